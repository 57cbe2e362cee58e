"""Singular values and Lyapunov exponents of deep products, against exact multiplication, plain samples and the laws."""

import functools

import mpmath as mp
import numpy as np
import pytest
from statistics_checks import assert_sampled, mean_and_error

from rmt_vn import Network, laws, samplers
from rmt_vn.samplers import log_singular_values, sample_log_singular_values, sample_lyapunov

# Each comparison is of many numbers at once.
STANDARD_ERRORS = 5


# --- accuracy ---------------------------------------------------------------------------------------------------------


def exact_log_singular_values(matrices, digits):
    """Multiplied as integers, of which so many digits are kept, and decomposed at that precision."""
    product, shift = np.eye(matrices[0].shape[1], dtype=int).astype(object), 0
    for matrix in matrices:
        entries = np.frompyfunc(int, 1, 1)(np.ldexp(matrix, 60))
        assert np.array_equal(np.ldexp(entries.astype(float), -60), matrix)
        product = entries @ product
        excess = max(0, max(abs(entry).bit_length() for entry in product.flat) - int(digits * 3.33))
        product, shift = product >> excess, shift + excess - 60
    with mp.workdps(digits):
        values = mp.svd_r(mp.matrix(product.tolist()), compute_uv=False)
        return [mp.log(value) + shift * mp.log(2) for value in values]


def relative_errors(values, exact):
    """Of the singular values, from their logarithms, which may be so large that doubles resolve no more than 1e-13."""
    return np.array([float(abs(mp.expm1(mp.mpf(value) - true))) for value, true in zip(values, exact, strict=True)])


def gaussian_matrices(depth, n, seed):
    """Entries of 40 binary places: exactly the integers of the oracle."""
    return np.ldexp(np.round(np.ldexp(np.random.default_rng(seed).standard_normal((depth, n, n)), 40)), -40)


def graded(depth, n, octaves):
    """Rows of very different sizes, in another order in each matrix, as from saturated activations."""
    rng = np.random.default_rng(1)
    matrices = np.ldexp(np.round(np.ldexp(rng.standard_normal((depth, n, n)), 20)), -20)
    return [np.ldexp(each, -octaves * rng.permutation(n)[:, None]) for each in matrices]


PRODUCTS = {
    "200 Gaussian 20 x 20": (gaussian_matrices(200, 20, seed=1), 400),
    "1000 Gaussian 8 x 8": (gaussian_matrices(1000, 8, seed=2), 1000),
    "graded rows": (graded(100, 10, octaves=4), 1300),
    # The standard frame meets the smallest first, or the middle one: it is an eigenvector.
    "sizes in the wrong order": ([np.array([[1.0, 1, 1], [0, 2, 1], [0, 0, 4]])] * 100, 200),
    "sizes in no order": ([np.array([[2.0, 1, 1], [0, 1, 1], [0, 0, 4]])] * 100, 200),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_small_singular_values_are_as_accurate_as_large_ones(name):
    matrices, digits = PRODUCTS[name]
    exact = exact_log_singular_values(matrices, digits)
    assert relative_errors(log_singular_values(matrices), exact).max() < 1e-10
    # Control: one entry of one matrix a little different, which moves no singular value by much.
    matrices = list(matrices)
    matrices[-1] = matrices[-1].copy()
    matrices[-1][0, 0] *= 1 + 1e-6
    assert 1e-10 < relative_errors(log_singular_values(matrices), exact).max() < 1e-3


def test_the_plain_way_loses_what_this_keeps():
    matrices, digits = PRODUCTS["200 Gaussian 20 x 20"]
    exact = exact_log_singular_values(matrices, digits)
    assert exact[0] - exact[-1] > 150 * np.log(10)
    product = functools.reduce(lambda product, matrix: matrix @ product, matrices)
    lost = relative_errors(np.log(np.linalg.svd(product, compute_uv=False)), exact) > 0.5
    # Sixteen digits below the largest there is nothing but rounding.
    assert np.array_equal(lost, [float(value - exact[0]) < -16 * np.log(10) for value in exact])
    assert lost.sum() > 10


def test_spreads_beyond_the_range_of_doubles():
    matrices, _ = PRODUCTS["1000 Gaussian 8 x 8"]
    logs = log_singular_values(matrices)
    assert logs[0] - logs[-1] > 650 * np.log(10)
    # Sum rule: their sum is ln |det|.
    assert logs.sum() == pytest.approx(sum(np.linalg.slogdet(matrix)[1] for matrix in matrices), rel=1e-13, abs=1e-9)


@pytest.mark.parametrize("widths", [(5, 5), (4, 7, 3), (3, 9, 9, 8), (9, 4, 9), (6, 1, 5), (1, 1, 1)])
def test_short_products_of_any_shape(widths):
    rng = np.random.default_rng(3)
    matrices = [rng.standard_normal(shape) for shape in zip(widths[1:], widths[:-1], strict=True)]
    product = np.linalg.multi_dot([*matrices[::-1], np.eye(widths[0])])
    rank = min(widths)
    logs = log_singular_values(iter(matrices))
    expected = np.linalg.svd(product, compute_uv=False)
    assert logs.shape == expected.shape
    assert np.exp(logs[:rank]) == pytest.approx(expected[:rank], rel=1e-11)
    assert np.all(logs[rank:] == -np.inf)
    transposed = log_singular_values([matrix.T for matrix in matrices[::-1]])
    assert transposed[:rank] == pytest.approx(logs[:rank], abs=1e-11)


@pytest.mark.parametrize("scale", [5e-324, 1e-300, 1.0, 1e300])
def test_sizes_at_the_ends_of_the_range(scale):
    logs = log_singular_values([scale * np.eye(3)] * 50 + [np.diag([1.0, 1e-150, 1e150])] * 50)
    assert logs == pytest.approx(50 * (np.log(scale) + np.array([1, 0, -1]) * np.log(1e150)), abs=1e-9)


def test_rank_that_is_lost_is_told():
    alive = np.array([1.0, 0.0, 2.0, 0.0, 1.0])[:, None]
    matrices = np.random.default_rng(4).standard_normal((4, 5, 5))
    logs = log_singular_values([matrices[0], alive * matrices[1], matrices[2], matrices[3] * alive.T])
    assert np.all(np.isfinite(logs[:3])) and np.all(logs[3:] == -np.inf)
    # Two matrices of three live nodes each, of which one is the same.
    other = np.array([0.0, 1.0, 0.0, 1.0, 1.0])[:, None]
    logs = log_singular_values([alive * matrices[0], other * np.eye(5), matrices[1]])
    assert np.isfinite(logs[0]) and np.all(logs[1:] == -np.inf)
    assert np.all(log_singular_values([matrices[0], np.zeros((2, 5)), np.ones((3, 2))]) == -np.inf)


@pytest.mark.parametrize(
    ("matrices", "error", "message"),
    [
        ([], ValueError, "at least one, got none"),
        ([np.ones(3)], ValueError, r"matrix 1 must have shape .*got \(3,\)"),
        ([np.ones((2, 0))], ValueError, r"matrix 1 must have shape .*got \(2, 0\)"),
        ([np.ones((3, 2)), np.ones((2, 2))], ValueError, r"matrix 2 must have n_in = 3 .*got \(2, 2\)"),
        ([np.ones((2, 2)), [[1.0, np.nan], [np.inf, 1.0]]], ValueError, "matrix 2 must be finite, got 2 NaN"),
        ([np.ones((2, 2), dtype=complex)], TypeError, "matrix 1 must be an array of real numbers"),
        ([[["a"]]], TypeError, "matrix 1 must be an array of real numbers"),
        (np.ones((2, 2)), ValueError, r"matrix 1 must have shape .*got \(2,\)"),
    ],
)
def test_impossible_matrices(matrices, error, message):
    with pytest.raises(error, match=message):
        log_singular_values(matrices)


# --- distribution -----------------------------------------------------------------------------------------------------

KINDS = {
    "linear": Network.uniform(5, 3, activation="linear"),
    "linear rectangular": Network((4, 9, 3, 6), activation="linear", sigma_w=1.3),
    "linear bottleneck": Network((6, 2, 6, 4), activation="linear"),
    "linear dropout": Network.uniform(5, 3, activation="linear", keep=0.6),
    "relu": Network.uniform(6, 3, activation="relu"),
    "relu bias dropout": Network((6, 9, 8, 5), activation="relu", sigma_b=1.0, keep=0.8),
    "relu haar": Network.uniform(6, 3, activation="relu", weights="orthogonal"),
    "tanh": Network.uniform(5, 3, activation="tanh", sigma_w=2.0),
    "tanh haar up and down": Network((3, 6, 2, 5), activation="tanh", weights="orthogonal", sigma_w=2.0),
    "hard_tanh bias": Network((4, 7, 3, 5), activation="hard_tanh", sigma_w=1.7, sigma_b=0.5),
}
BY_BARTLETT = ("linear", "linear rectangular", "linear bottleneck", "linear dropout", "relu", "relu bias dropout")


def spectra(network, method, seed, n_networks=2000):
    """exp(−|ln s − 1|/2) and ranks: bounded, so that means are normal, and good for zeros too."""
    if method == "product":
        *_, last = samplers.walk_jacobian(network, n_networks, rng=seed)
        with np.errstate(divide="ignore"):
            logs = np.log(np.linalg.svd(last.jacobian, compute_uv=False)) + last.log_norm[:, None]
        logs[logs < -25] = -np.inf  # rank lost, but for rounding
    else:
        logs = sample_log_singular_values(network, n_networks, rng=seed, method=method)
    assert np.all(np.diff(np.maximum(logs, -1e9)) <= 0)
    values = np.exp(logs)
    return np.concatenate([np.sqrt(values), values / (1 + values), values == 0], axis=1)


def deviation(one, other):
    """Largest difference of means, in standard errors; that of equal constants is 0."""
    stderr = np.sqrt((one.var(axis=0, ddof=1) + other.var(axis=0, ddof=1)) / len(one))
    return np.max(np.abs(one.mean(axis=0) - other.mean(axis=0)) / np.where(stderr > 0, stderr, 1e-12))


@pytest.mark.parametrize("name", BY_BARTLETT)
def test_triangles_alone_have_the_singular_values_of_the_full_product(name):
    assert deviation(spectra(KINDS[name], "bartlett", 1), spectra(KINDS[name], "product", 2)) < STANDARD_ERRORS


@pytest.mark.parametrize("name", KINDS)
def test_matrix_by_matrix_has_the_singular_values_of_the_full_product(name):
    ours = spectra(KINDS[name], "matrices", 1, n_networks=600)
    assert deviation(ours, spectra(KINDS[name], "product", 2, n_networks=600)) < STANDARD_ERRORS


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("linear", Network.uniform(5, 4, activation="linear")),
        ("linear", Network((5, 5, 5, 6), activation="linear")),
        ("linear bottleneck", Network((6, 2, 5, 4), activation="linear", sigma_w=(5 / 6) ** 0.5)),
        ("relu", Network.uniform(6, 3, activation="linear", keep=0.6, sigma_w=0.6)),
        ("linear", Network.uniform(5, 3, activation="linear", sigma_w=1.03)),
    ],
    ids=["a layer more", "a node more", "a hidden node less", "other masks", "sigma_w"],
)
def test_the_same_comparison_tells_networks_apart(name, other):
    assert deviation(spectra(KINDS[name], "product", 2), spectra(other, "bartlett", 1)) > STANDARD_ERRORS


def test_deep_products_by_both_methods():
    """Beyond one block of rows and one group of factors: means of ln s_k over networks."""
    network = Network.uniform(40, 40, activation="linear")
    fast, plain = (sample_log_singular_values(network, 30, rng=1, method=m) for m in ("bartlett", "matrices"))
    assert deviation(fast, plain) < STANDARD_ERRORS
    assert deviation(fast, 1.05 * plain) > STANDARD_ERRORS
    # A product of many factors, each one drawn: also the exact mean of their sum.
    total = fast.sum(axis=1)
    law = laws.mean_log_determinant(network) / 2
    value, stderr = mean_and_error(total)
    assert_sampled(value, law, stderr, k=STANDARD_ERRORS)


def test_haar_weights_alone_stretch_all_directions_alike():
    network = Network.uniform(12, 80, activation="linear", weights="orthogonal", sigma_w=1.7)
    logs = sample_log_singular_values(network, 2, rng=1)
    assert logs == pytest.approx(np.full((2, 12), 80 * np.log(1.7)), abs=1e-12)
    assert sample_lyapunov(network, 2, rng=1).value == pytest.approx(np.full(12, np.log(1.7)), abs=1e-14)


def test_relu_networks_lose_rank_as_often_as_coins_say():
    network = Network.uniform(3, 4, activation="relu")
    rank = np.isfinite(sample_log_singular_values(network, 2000, rng=1)).sum(axis=1)
    # Each of four layers has 3, 2 or 1 live nodes with probabilities 1, 3, 3 of 7; rank is the least of them.
    expected = 1 - (4 / 7) ** 4, (4 / 7) ** 4 - (1 / 7) ** 4, (1 / 7) ** 4
    counts, expected = np.bincount(rank, minlength=4)[1:], 2000 * np.array(expected)
    assert_sampled(counts, expected, np.sqrt(expected), k=STANDARD_ERRORS)


# --- Lyapunov exponents -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "n_networks"), [("bartlett", 1000), ("matrices", 50)])
@pytest.mark.parametrize("n", [2, 4, 16])
def test_lyapunov_exponents_are_those_of_the_law(n, method, n_networks):
    network = Network.uniform(n, 100, activation="linear")
    sampled = sample_lyapunov(network, n_networks, rng=n, method=method)
    law = laws.lyapunov_exponents(network)
    # Controls: 3% off, and with one degree of freedom less; 10% for the fewer samples of the slower method.
    wrong = (1.03 if method == "bartlett" else 1.1) * law, np.append(law[1:], law[-1])
    assert_sampled(sampled.value, law, sampled.stderr, wrong=wrong)


@pytest.mark.parametrize("weights", ["gaussian", "orthogonal"])
@pytest.mark.parametrize("widths", [(4, 9, 5, 6), (8, 3, 8)])
def test_lyapunov_exponents_of_other_widths(widths, weights):
    network = Network(widths, activation="linear", weights=weights, sigma_w=1.2)
    law = laws.lyapunov_exponents(network)
    for method in ("bartlett", "matrices") if weights == "gaussian" else ("matrices",):
        sampled = sample_lyapunov(network, 1000, rng=2, method=method)
        assert sampled.value.shape == (min(widths),)
        assert_sampled(sampled.value, law, sampled.stderr, wrong=[law + 0.1])


@pytest.mark.parametrize("network", [Network((6, 5, 7, 6), activation="relu"), KINDS["relu bias dropout"]])
def test_lyapunov_exponents_of_masked_networks_by_both_methods(network):
    fast, plain = (sample_lyapunov(network, 2000, rng=3, method=m) for m in ("bartlett", "matrices"))
    finite = np.isfinite(fast.value)
    assert finite[0] and not finite[-1] and np.array_equal(finite, np.isfinite(plain.value))
    difference, stderr = fast.value[finite] - plain.value[finite], np.hypot(fast.stderr, plain.stderr)[finite]
    assert np.all(np.abs(difference) < 4 * stderr)
    assert np.all(np.abs(difference - 0.1) > 4 * stderr)
    # Networks that have lost rank stretch the rest by nothing.
    assert np.all(fast.value[~finite] == -np.inf) and np.all(np.isnan(fast.stderr[~finite]))


def test_exponents_add_up_to_the_determinant():
    network = Network.uniform(10, 60, activation="tanh", sigma_w=1.5)
    sampled = sample_lyapunov(network, 3, rng=1)
    # The same networks, since both methods draw them in the same order.
    logs = sample_log_singular_values(network, 3, rng=1)
    assert 60 * sampled.value.sum() == pytest.approx(logs.sum(axis=1).mean(), rel=1e-11)
    assert np.all(60 * sampled.value[0] < logs[:, 0].mean() + 1e-9)


@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_standard_errors_are_honest(name):
    network = KINDS[name]
    estimates = [sample_lyapunov(network, 40, rng=seed) for seed in range(50)]
    spread = np.std([each.value[0] for each in estimates], ddof=1)
    # The spread of 50 values is known to 1/√98 = 10%: 4 of those.
    assert np.mean([each.stderr[0] for each in estimates]) == pytest.approx(spread, rel=0.4)


# --- what both have in common -----------------------------------------------------------------------------------------


def both(network, n_networks, **options):
    yield sample_log_singular_values(network, n_networks, **options)
    yield sample_lyapunov(network, n_networks, **options).value


@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_same_seed_same_numbers(name):
    one, again, other = (list(both(KINDS[name], 5, rng=seed)) for seed in (7, np.random.SeedSequence(7), 8))
    for a, b, c in zip(one, again, other, strict=True):
        assert np.array_equal(a, b) and not np.array_equal(a, c)


def test_what_a_sample_says_of_itself():
    sampled = sample_lyapunov(KINDS["relu"], 5, rng=1)
    assert (sampled.n_networks, sampled.network, sampled.method) == (5, KINDS["relu"], "bartlett")
    assert sample_lyapunov(KINDS["relu haar"], 5, rng=1).method == "matrices"


@pytest.mark.parametrize("sample", [sample_log_singular_values, sample_lyapunov])
def test_impossible_arguments(sample):
    for wrong in (0, -3, 2.5, True, "10"):
        with pytest.raises((TypeError, ValueError), match=f"n_networks must be an integer ≥ .*got {wrong!r}"):
            sample(KINDS["relu"], wrong, rng=1)
    with pytest.raises(ValueError, match="method must be one of auto, matrices, bartlett, got 'fast'"):
        sample(KINDS["relu"], 10, method="fast")
    for name in ("tanh", "relu haar"):
        with pytest.raises(ValueError, match="method 'bartlett' is for Gaussian weights and activation 'linear' or"):
            sample(KINDS[name], 10, method="bartlett")
    for name in ("tanh", "relu", "linear"):
        for wrong in (np.nan, np.inf, -0.5):
            with pytest.raises(ValueError, match=f"input_variance.*{wrong}"):
                sample(KINDS[name], 10, rng=1, input_variance=wrong)
