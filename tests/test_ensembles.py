"""Weight matrices: orthogonal to rounding error, and Haar, which a QR decomposition alone is not."""

import numpy as np
import pytest
from statistics_checks import mean_and_error, standard_errors_between

from rmt_vn import Network
from rmt_vn.ensembles import biases, haar, weight_matrices

# Each statistical test allows 4 standard errors: wrong by chance once in 16 000 seeds, and the seeds are fixed.


def z_score(samples, expected):
    mean, stderr = mean_and_error(samples)
    return standard_errors_between(mean, expected, stderr)


@pytest.mark.parametrize(
    ("n", "columns", "batch"), [(1, None, ()), (7, None, ()), (64, 64, ()), (9, 4, ()), (30, 1, ()), (5, 3, (2, 6))]
)
def test_frames_are_orthonormal(n, columns, batch):
    q = haar(n, columns, batch=batch, rng=1)
    k = columns or n
    assert q.shape == (*batch, n, k)
    np.testing.assert_allclose(np.swapaxes(q, -2, -1) @ q, np.broadcast_to(np.eye(k), (*batch, k, k)), atol=1e-12)


def qr_alone(n, n_samples, seed):
    """Q of a QR decomposition as LAPACK returns it: the bug that two published packages have."""
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((n_samples, n, n)))[0]


# Moments of Haar measure on O(n): Weingarten calculus (Collins & Śniady 2006).
HAAR_MOMENTS = {
    "trace": (lambda q: np.trace(q, axis1=1, axis2=2), lambda n: 0),
    "trace squared": (lambda q: np.trace(q, axis1=1, axis2=2) ** 2, lambda n: 1),
    "o11 o22": (lambda q: q[:, 0, 0] * q[:, 1, 1], lambda n: 0),
    "o11^4": (lambda q: q[:, 0, 0] ** 4, lambda n: 3 / (n * (n + 2))),
    "o11^2 o12^2": (lambda q: q[:, 0, 0] ** 2 * q[:, 0, 1] ** 2, lambda n: 1 / (n * (n + 2))),
    "o11^2 o22^2": (lambda q: q[:, 0, 0] ** 2 * q[:, 1, 1] ** 2, lambda n: (n + 1) / ((n - 1) * n * (n + 2))),
    "o11 o12 o21 o22": (
        lambda q: q[:, 0, 0] * q[:, 0, 1] * q[:, 1, 0] * q[:, 1, 1],
        lambda n: -1 / ((n - 1) * n * (n + 2)),
    ),
}


@pytest.mark.parametrize("n", [3, 6])
@pytest.mark.parametrize("name", HAAR_MOMENTS)
def test_square_frames_have_the_moments_of_haar_measure(name, n):
    statistic, expected = HAAR_MOMENTS[name]
    assert z_score(statistic(haar(n, batch=(40_000,), rng=2)), expected(n)) < 4


@pytest.mark.parametrize("n", [3, 6])
def test_negative_control_qr_without_the_sign_fix_is_rejected(n):
    q = qr_alone(n, 40_000, seed=2)
    for name in ("trace", "trace squared", "o11 o22"):
        statistic, expected = HAAR_MOMENTS[name]
        assert z_score(statistic(q), expected(n)) > 10
    # LAPACK's convention flips whole columns, so moments that are even in each column cannot see it: E o_11⁴ alone
    # would let the bug through.
    statistic, expected = HAAR_MOMENTS["o11^4"]
    assert z_score(statistic(q), expected(n)) < 4


def test_negative_control_a_wrong_fourth_moment_is_rejected():
    o11 = haar(6, batch=(40_000,), rng=2)[:, 0, 0]
    assert z_score(o11**4, 3 / 6**2) > 4  # the fourth moment of N(0, 1/n): what Gaussian entries would have


def test_both_halves_of_the_orthogonal_group_are_visited():
    # The determinant is a fair coin: rotations alone would have mean 1.
    assert z_score(np.linalg.det(haar(4, batch=(4000,), rng=3)), 0) < 4


@pytest.mark.parametrize("columns", [1, 2])
def test_tall_frames_are_corners_of_haar_matrices(columns):
    q = haar(5, columns, batch=(40_000,), rng=4)
    assert z_score(q[:, 2, 0] ** 4, 3 / (5 * 7)) < 4
    assert z_score(q[:, 0, 0], 0) < 4
    assert z_score(q[:, 0, -1] * q[:, 1, -1], 0) < 4


@pytest.mark.parametrize("shape", [(6, 6), (9, 4), (4, 9), (1, 5), (5, 1)])
def test_orthogonal_weights_are_semi_orthogonal(shape):
    n_out, n_in = shape
    w = weight_matrices(n_out, n_in, "orthogonal", sigma_w=1.7, batch=(3,), rng=5)
    assert w.shape == (3, n_out, n_in)
    transposed = np.swapaxes(w, -2, -1)
    if n_out <= n_in:
        gram, scale = w @ transposed, 1.7**2
    else:
        gram, scale = transposed @ w, 1.7**2 * n_out / n_in
    np.testing.assert_allclose(gram, np.broadcast_to(scale * np.eye(min(shape)), gram.shape), atol=1e-12)


@pytest.mark.parametrize("weights", ["gaussian", "orthogonal"])
@pytest.mark.parametrize("shape", [(8, 8), (12, 5), (5, 12)])
def test_pre_activations_have_the_variance_of_the_docstring(shape, weights):
    n_out, n_in = shape
    x = np.arange(1.0, n_in + 1)
    h = weight_matrices(n_out, n_in, weights, sigma_w=1.7, batch=(20_000,), rng=6) @ x
    expected = 1.7**2 * (x @ x) / n_in
    # One node of each matrix, for the nodes of one matrix are dependent.
    assert z_score(h[:, 0] ** 2, expected) < 4
    assert z_score(h[:, -1] ** 2, expected) < 4
    assert z_score(h[:, 0], 0) < 4
    # Negative control: off by the one factor there is to forget, n_in for n_out.
    if n_out != n_in:
        assert z_score(h[:, 0] ** 2, 1.7**2 * (x @ x) / n_out) > 4


def test_gaussian_weights_have_variance_sigma_w_squared_over_fan_in():
    w = weight_matrices(300, 700, "gaussian", sigma_w=0.8, rng=7).ravel()
    assert z_score(w, 0) < 4
    assert z_score(w**2, 0.64 / 700) < 4
    assert z_score(w**4, 3 * (0.64 / 700) ** 2) < 4
    assert z_score(w**2, 1.03 * 0.64 / 700) > 4  # negative control: 3% off


def test_biases_have_standard_deviation_sigma_b():
    network = Network((3, 4), sigma_b=0.3)
    b = biases(network, 50, batch=(2, 1000), rng=8)
    assert b.shape == (2, 1000, 50)
    assert z_score(b.ravel(), 0) < 4
    assert z_score(b.ravel() ** 2, 0.09) < 4
    assert z_score(b.ravel() ** 2, 1.03 * 0.09) > 4  # negative control: 3% off
    assert not biases(Network((3, 4)), 50, rng=8).any()


DRAWS = {
    "haar": lambda rng: haar(5, 3, rng=rng),
    "gaussian": lambda rng: weight_matrices(5, 3, "gaussian", rng=rng),
    "orthogonal": lambda rng: weight_matrices(5, 3, "orthogonal", rng=rng),
    "biases": lambda rng: biases(Network((3, 4), sigma_b=1.0), 5, rng=rng),
}


@pytest.mark.parametrize("name", DRAWS)
def test_same_seed_same_numbers(name):
    draw = DRAWS[name]
    first = draw(9)
    for rng in (9, np.random.SeedSequence(9), np.random.default_rng(9)):
        np.testing.assert_array_equal(draw(rng), first)
    assert not np.array_equal(draw(10), first)


@pytest.mark.parametrize("name", DRAWS)
def test_a_generator_moves_on_and_global_state_stays(name):
    generator = np.random.default_rng(9)
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - the global state is what must not change
    assert not np.array_equal(DRAWS[name](generator), DRAWS[name](generator))
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize("columns", [0, -1, 4, 10**6])
def test_columns_are_from_one_to_the_rows(columns):
    with pytest.raises((TypeError, ValueError), match=f"columns must be an integer from 1 to 3, got {columns}"):
        haar(3, columns)


@pytest.mark.parametrize("columns", [1.5, "2"], ids=repr)
def test_columns_are_an_integer(columns):
    with pytest.raises((TypeError, ValueError)) as error:
        haar(3, columns)
    assert "columns" in str(error.value)
    assert repr(columns) in str(error.value)


@pytest.mark.parametrize("weights", ["Gaussian", "haar", None], ids=repr)
def test_unknown_weights_are_an_error(weights):
    with pytest.raises(ValueError, match="weights must be one of gaussian, orthogonal"):
        weight_matrices(3, 3, weights)
