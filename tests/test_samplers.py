"""The samplers: fast ones against plain ones, exact properties, long products, seeds, and bad input."""

import collections
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import digamma
from scipy.stats import ks_2samp
from statistics_checks import assert_sampled, mean_and_error

from rmt_vn import Network, laws, samplers
from rmt_vn.measures import jacobian_vni, plug_in_vni
from rmt_vn.samplers import walk_jacobian
from rmt_vn.samplers.columns import walk_columns

# Agreement: p > 1e-3 (one seed in a thousand fails, and the seeds are fixed). Disagreement: p < 1e-4.
AGREE, DISAGREE = 1e-3, 1e-4


def same_law(a, b):
    """p-value of the two-sample Kolmogorov–Smirnov test; rounded, because atoms (ρ = ±1) differ by rounding errors."""
    return ks_2samp(np.round(a, 9), np.round(b, 9)).pvalue


def correlations(network, n_networks, method, seed):
    return samplers.sample_correlation(network, n_networks, rng=seed, method=method)


KINDS = {
    "linear": Network.uniform(5, 3, activation="linear"),
    "linear rectangular": Network((4, 9, 3, 6), activation="linear"),
    "linear haar up and down": Network((3, 7, 4, 4, 6), activation="linear", weights="orthogonal"),
    "linear dropout": Network.uniform(5, 3, activation="linear", keep=0.6),
    "linear haar dropout": Network.uniform(5, 3, activation="linear", weights="orthogonal", keep=0.6),
    "linear bottleneck": Network((6, 2, 6, 4), activation="linear"),
    "relu": Network.uniform(6, 3, activation="relu"),
    "relu bias": Network((6, 9, 4, 5), activation="relu", sigma_b=1.0),
    "relu haar": Network.uniform(6, 3, activation="relu", weights="orthogonal"),
    "relu haar bias dropout": Network((4, 8, 6, 5), activation="relu", weights="orthogonal", sigma_b=0.5, keep=0.8),
    "relu bottleneck": Network((5, 2, 3, 4), activation="relu"),
    "tanh": Network.uniform(5, 3, activation="tanh", sigma_w=2.0),
    "tanh haar": Network.uniform(5, 3, activation="tanh", weights="orthogonal", sigma_w=2.0),
    "tanh haar up and down": Network((3, 6, 2, 5), activation="tanh", weights="orthogonal", sigma_w=2.0),
    "hard_tanh bias": Network((4, 7, 3, 5), activation="hard_tanh", sigma_w=1.7, sigma_b=0.5),
    "hard_tanh haar": Network.uniform(4, 3, activation="hard_tanh", weights="orthogonal", sigma_w=1.7),
    "gelu dropout": Network((4, 7, 5, 5), activation="gelu", sigma_w=1.1, sigma_b=0.5, keep=0.7),
    "gelu haar bottleneck": Network((5, 2, 6, 4), activation="gelu", weights="orthogonal", sigma_w=1.1, sigma_b=0.5),
}


@pytest.mark.parametrize("network", KINDS.values(), ids=KINDS)
def test_two_nodes_alone_have_the_correlation_they_have_in_the_full_product(network):
    plain, chain = (correlations(network, 20_000, method, seed=7) for method in ("jacobian", "chain"))
    assert same_law(plain**2, chain**2) > AGREE
    assert same_law(plain, chain) > AGREE


@pytest.mark.parametrize(
    ("network", "other"),
    [
        (Network.uniform(5, 3, activation="linear"), Network.uniform(5, 4, activation="linear")),
        (Network.uniform(5, 3, activation="linear"), Network((4, 4, 4, 5), activation="linear")),
        (KINDS["relu haar"], Network.uniform(6, 4, activation="relu", weights="orthogonal")),
        (KINDS["tanh"], Network.uniform(5, 4, activation="tanh", sigma_w=2.0)),
        (KINDS["tanh haar"], Network((4, 4, 4, 5), activation="tanh", weights="orthogonal", sigma_w=2.0)),
        (KINDS["tanh"], Network.uniform(5, 3, activation="tanh", sigma_w=1.0)),
    ],
    ids=["a layer more", "fan-in 4 for 5", "relu: a layer more", "tanh: a layer more", "tanh: fan-in", "tanh: sigma_w"],
)
def test_the_same_comparison_tells_networks_apart(network, other):
    # Control: with as many samples, plain of one against chain of the other.
    plain, chain = correlations(network, 20_000, "jacobian", 7), correlations(other, 20_000, "chain", 7)
    assert same_law(plain, chain) < DISAGREE


def vni_of_walk(walk, network, seed):
    *_, last = walk(network, 4000, rng=seed)
    return jacobian_vni(last.jacobian), last.log_norm


@pytest.mark.parametrize("name", [name for name in KINDS if "dropout" not in name or "haar" in name])
def test_columns_have_the_law_of_the_full_product(name):
    """The VNI of whole layers, and their size."""
    network = KINDS[name]
    (vni, size), (columns_vni, columns_size) = (vni_of_walk(walk, network, 8) for walk in (walk_jacobian, walk_columns))
    assert same_law(vni, columns_vni) > AGREE
    assert same_law(size, columns_size) > AGREE


def test_columns_of_other_networks_are_told_apart():
    network = Network((3, 8, 8, 8), activation="tanh", sigma_w=2.0)
    vni, size = vni_of_walk(walk_jacobian, network, 8)
    haar_vni, _ = vni_of_walk(walk_columns, replace(network, weights="orthogonal"), 8)
    _, larger = vni_of_walk(walk_columns, replace(network, sigma_w=2.4), 8)
    assert same_law(vni, haar_vni) < DISAGREE and same_law(size, larger) < DISAGREE


@pytest.mark.parametrize("name", ["linear dropout", "relu haar bias dropout", "gelu dropout", "hard_tanh haar"])
def test_mean_vni_of_both_methods(name):
    plain, chain = (
        samplers.sample_vni(KINDS[name], n, rng=3, method=m) for n, m in ((10_000, "jacobian"), (40_000, "chain"))
    )
    assert_sampled(chain.value, plain.value, np.hypot(plain.stderr, chain.stderr), wrong=[1.05 * plain.value])


RNG = np.random.default_rng(0)
FEW, MANY = RNG.standard_normal((3, 6)), RNG.standard_normal((9, 6))
TWICE = FEW[[0, 1, 0]]


def statistics(network, inputs, method, seed, repeats=1500):
    """An activation, its square, products within a node and a layer, and the VNI, of independent networks."""
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(repeats):
        x = samplers.sample_activations(network, inputs, rng=rng, method=method)
        values.append([x[0, 0], x[0, 0] * x[1, 0], x[0, 0] * x[1, 1], x[2, -1] * x[1, -1], plug_in_vni(x)])
    return np.array(values).T


def least_pvalue(network, other, inputs):
    plain, gram = statistics(network, inputs, "weights", 1), statistics(other, inputs, "gram", 2)
    # Bonferroni over the statistics.
    return len(plain) * min(same_law(a, b) for a, b in zip(plain, gram, strict=True))


ACTIVATION_KINDS = {
    "gaussian": (Network((6, 6, 6), activation="tanh", sigma_w=1.5), FEW),
    "gaussian rectangular bias": (Network((6, 11, 4), activation="gelu", sigma_w=1.5, sigma_b=0.7), FEW),
    "gaussian more samples than inputs": (Network((6, 3, 8), activation="tanh", sigma_w=1.5), MANY),
    "gaussian same input twice": (Network((6, 5, 4), activation="tanh", sigma_w=1.5), TWICE),
    "haar": (Network((6, 6, 6), activation="tanh", weights="orthogonal", sigma_w=1.5), FEW),
    "haar up": (Network((6, 9, 12), activation="tanh", weights="orthogonal", sigma_w=1.5), FEW),
    "haar down": (Network((6, 4, 3), activation="tanh", weights="orthogonal", sigma_w=1.5), FEW),
    "haar more samples than inputs": (
        Network((6, 8, 5), activation="hard_tanh", weights="orthogonal", sigma_w=1.5, sigma_b=0.4), MANY,
    ),
    "haar same input twice": (Network((6, 8, 5), activation="tanh", weights="orthogonal"), TWICE),
    "dropout": (Network((6, 9, 9), activation="tanh", sigma_w=1.5, keep=0.8), FEW),
}  # fmt: skip


# One of each family of weights, with biases and rectangular, always; all with the slow tests.
QUICK_KINDS = {"gaussian rectangular bias", "haar up", "haar more samples than inputs"}


@pytest.mark.parametrize(
    ("network", "inputs"),
    [
        each if name in QUICK_KINDS else pytest.param(*each, marks=pytest.mark.slow)
        for name, each in ACTIVATION_KINDS.items()
    ],
    ids=ACTIVATION_KINDS,
)
def test_activations_need_no_weights(network, inputs):
    assert least_pvalue(network, network, inputs) > AGREE


@pytest.mark.parametrize(
    "other",
    [
        Network((6, 6, 6), activation="tanh", sigma_w=1.5 * 1.2),
        Network((6, 6, 6, 6), activation="tanh", sigma_w=1.5),
        Network((6, 6, 6), activation="tanh", sigma_w=1.5, weights="orthogonal"),
    ],
    ids=["sigma_w", "a layer more", "haar"],
)
def test_the_comparison_of_activations_tells_networks_apart(other):
    assert least_pvalue(ACTIVATION_KINDS["gaussian"][0], other, FEW) < DISAGREE


@pytest.mark.parametrize("weights", ["gaussian", "orthogonal"])
@pytest.mark.parametrize("widths", [(40, 40), (40, 200), (200, 40)])
def test_gram_resolves_nearly_equal_inputs(widths, weights):
    # One linear layer maps a difference of 1e-6 as it maps anything: mean square σ_w² of its own. A Cholesky root of
    # X Xᵀ, good to 1e-8 of |x|, would get 1e-6 wrong by per cents, and 1e-9 altogether.
    network = Network(widths, activation="linear", weights=weights)
    x = np.random.default_rng(5).standard_normal(widths[0])
    step = np.random.default_rng(6).standard_normal(widths[0])
    for size in (1e-6, 1e-9):
        inputs = np.stack([x, x + size * step])
        actual = inputs[1] - inputs[0]
        squares = []
        for seed in range(400):
            y = samplers.sample_activations(network, inputs, rng=seed, method="gram")
            squares.append(np.mean((y[1] - y[0]) ** 2) / np.mean(actual**2))
        # χ² with 400 × n_L ≥ 16 000 degrees of freedom: 4 s.e. are at most 0.045; semi-orthogonal: less.
        assert np.mean(squares) == pytest.approx(1, abs=0.045)


def test_equal_inputs_stay_equal():
    for weights in ("gaussian", "orthogonal"):
        network = Network((6, 30, 30), activation="tanh", weights=weights, sigma_b=0.3)
        x = samplers.sample_activations(network, TWICE, rng=1, method="gram")
        assert x[0] == pytest.approx(x[2], rel=1e-12, abs=1e-14)
        assert not np.allclose(x[0], x[1], rtol=0.1)


def test_walk_activations_gives_the_same_numbers_layer_by_layer():
    network = Network((6, 5, 4), activation="tanh")
    *_, last = layers = list(samplers.walk_activations(network, FEW, rng=4))
    assert [layer.shape for layer in layers] == [(3, 5), (3, 4)]
    assert np.array_equal(last, samplers.sample_activations(network, FEW, rng=4))


@pytest.mark.slow
@pytest.mark.parametrize(("activation", "sigma_w"), [("linear", 0.1), ("relu", 30.0)])
def test_tens_of_thousands_of_layers_of_jacobians(activation, sigma_w):
    # σ_w^20000 is 10^−20000 and 10^29542. ln σ_w enters the log-norm once a layer, and is all that enters.
    def last_log_norm(sigma_w):
        network = Network.uniform(3, 20_000, activation=activation, sigma_w=sigma_w)
        *_, layer = collections.deque(samplers.walk_jacobian(network, 2, rng=1), maxlen=1)
        assert np.all(np.isfinite(layer.jacobian))
        assert np.all(np.abs(layer.jacobian).max(axis=(1, 2)) > 1e-3 * sigma_w)
        return layer.log_norm

    # The last layer's own σ_w is still in its rows.
    difference = last_log_norm(sigma_w) - last_log_norm(1.0)
    assert difference == pytest.approx(np.full(2, 19_999 * np.log(sigma_w)), rel=1e-9)


@pytest.mark.parametrize(
    ("width", "depth", "kind"),
    [
        pytest.param(50, 100_000, {"activation": "linear"}, marks=pytest.mark.slow),
        pytest.param(50, 40_000, {"activation": "relu", "weights": "orthogonal"}, marks=pytest.mark.slow),
        pytest.param(3, 20_000, {"activation": "tanh", "sigma_w": 0.01}, marks=pytest.mark.slow),
        pytest.param(
            3, 10_000, {"activation": "leaky_relu", "sigma_w": 50.0, "weights": "orthogonal"}, marks=pytest.mark.slow
        ),
    ],
    ids=["linear", "relu haar", "tanh, signals vanish", "leaky_relu haar, signals explode"],
)
def test_tens_of_thousands_of_layers_of_chains(width, depth, kind):
    # So much deeper than wide, all nodes are one: 1 − ρ² is about e^{−L/8N} or less, 1e-43 at N = 50, L = 40 000.
    rho = correlations(Network.uniform(width, depth, **kind), 10, "chain", 1)
    assert np.abs(rho) == pytest.approx(np.ones(10), rel=1e-12)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_log_norm_grows_at_the_lyapunov_exponent(n):
    # Newman 1986: λ_1 = ½[ln(2/N) + ψ(N/2)] a layer, from any start. Skip the first layers, which align J.
    walks, skip, depth = 200, 300, 1300
    network = Network.uniform(n, depth, activation="linear")
    norms = [layer.log_norm for layer in samplers.walk_jacobian(network, walks, rng=2)]
    growth = (norms[-1] - norms[skip]) / (depth - 1 - skip)
    exponent = 0.5 * (np.log(2 / n) + digamma(n / 2))
    # Control: the second exponent, and the first of a network one node wider.
    wrong = (0.5 * (np.log(2 / n) + digamma((n - 1) / 2)), 0.5 * (np.log(2 / (n + 1)) + digamma((n + 1) / 2)))
    value, stderr = mean_and_error(growth)
    assert_sampled(value, exponent, stderr, wrong=wrong)


def all_samples(rng):
    relu, tanh = KINDS["relu"], KINDS["tanh"]
    return [
        samplers.sample_vni(relu, 20, rng=rng(), method="jacobian").value,
        samplers.sample_vni(relu, 20, rng=rng(), method="chain").value,
        samplers.sample_vni(tanh, 20, rng=rng(), method="chain").value,
        *samplers.sample_correlation(tanh, 3, rng=rng(), method="chain"),
        *samplers.sample_activations(ACTIVATION_KINDS["haar"][0], FEW, rng=rng(), method="gram")[0],
        *samplers.sample_activations(ACTIVATION_KINDS["haar"][0], FEW, rng=rng(), method="weights")[0],
    ]


@pytest.mark.parametrize(
    "rng",
    [lambda: 11, lambda: np.random.SeedSequence(11), lambda: np.random.default_rng(11)],
    ids=["int", "SeedSequence", "Generator"],
)
def test_same_seed_same_numbers(rng):
    assert all_samples(rng) == all_samples(lambda: 11)
    assert all_samples(rng) != all_samples(lambda: 12)


def test_a_generator_is_advanced():
    rng = np.random.default_rng(1)
    first, second = (samplers.sample_vni(KINDS["relu"], 20, rng=rng).value for _ in range(2))
    assert first != second


def test_no_global_state():
    np.random.seed(3)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = all_samples(lambda: None), all_samples(lambda: None)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002
    assert first != second


@pytest.mark.parametrize(("method", "chosen"), [("auto", "chain"), ("chain", "chain"), ("jacobian", "jacobian")])
def test_what_a_sample_says_of_itself(method, chosen):
    sampled = samplers.sample_vni(KINDS["tanh"], 50, rng=1, method=method)
    assert (sampled.n_networks, sampled.network, sampled.method) == (50, KINDS["tanh"], chosen)
    assert type(sampled.value) is float and type(sampled.stderr) is float
    assert 1 / 5 <= sampled.value <= 1
    with pytest.raises(AttributeError):
        sampled.value = 0.0


@pytest.mark.parametrize(
    ("name", "method"), [("relu", "chain"), ("tanh", "chain"), ("linear", "jacobian"), ("relu bias", "jacobian")]
)
def test_standard_error_is_honest(name, method):
    estimates = [samplers.sample_vni(KINDS[name], 300, rng=seed, method=method) for seed in range(50)]
    spread = np.std([e.value for e in estimates], ddof=1)
    # The spread of 50 values is known to 1/√98 = 10%: 4 of those.
    assert np.mean([e.stderr for e in estimates]) == pytest.approx(spread, rel=0.4)


@pytest.mark.parametrize("method", ["jacobian", "chain"])
@pytest.mark.parametrize("weights", ["gaussian", "orthogonal"])
@pytest.mark.parametrize("widths", [(30, 2, 30), pytest.param((30, 3, 4, 3, 30), marks=pytest.mark.slow)])
def test_networks_that_die_are_drawn_again(widths, weights, method):
    # A ReLU layer of width 2 is dead with probability 1/4, of width 3 with 1/8.
    network = Network(widths, activation="relu", weights=weights)
    sampled = samplers.sample_vni(network, 60_000, rng=5, method=method)
    law = laws.exact_vni(network)
    assert_sampled(sampled.value, law, sampled.stderr, wrong=[0.97 * law])


def test_a_layer_that_cannot_live_is_an_error():
    with pytest.raises(ValueError, match="no node of a layer of 2"):
        samplers.sample_vni(Network.uniform(2, 3, activation="linear", keep=1e-9), 2, rng=1, method="jacobian")


@pytest.mark.parametrize("sample", [samplers.sample_vni, samplers.sample_correlation])
@pytest.mark.parametrize("method", ["jacobian", "chain"])
def test_impossible_numbers_of_samples(sample, method):
    for wrong in (0, -3, 2.5, True, "10"):
        with pytest.raises((TypeError, ValueError), match=f"n_networks must be an integer ≥ .*got {wrong!r}"):
            sample(KINDS["relu"], wrong, rng=1, method=method)


def test_one_sample_has_no_standard_error():
    with pytest.raises(ValueError, match="n_networks must be an integer ≥ 2, got 1"):
        samplers.sample_vni(KINDS["relu"], 1)
    assert samplers.sample_correlation(KINDS["relu"], 1, rng=1).shape == (1,)


def test_one_node_has_no_correlation():
    with pytest.raises(ValueError, match="at least 2 nodes in the last layer, got 1"):
        samplers.sample_correlation(Network((3, 4, 1)), 10)
    for method in ("jacobian", "chain"):
        for activation in ("linear", "tanh"):
            one = samplers.sample_vni(Network((3, 4, 1), activation=activation), 10, rng=1, method=method)
            assert one.value == pytest.approx(1, rel=1e-12)


def test_unknown_methods():
    with pytest.raises(ValueError, match="method must be one of auto, jacobian, chain, signal_chain, got 'fast'"):
        samplers.sample_vni(KINDS["relu"], 10, method="fast")
    with pytest.raises(ValueError, match="method must be one of auto, jacobian, chain, got 'fast'"):
        samplers.sample_correlation(KINDS["relu"], 10, method="fast")
    with pytest.raises(ValueError, match="method must be one of auto, weights, gram, got 'fast'"):
        samplers.sample_activations(Network((3, 4)), np.ones((2, 3)), method="fast")


@pytest.mark.parametrize("method", ["auto", "weights", "gram"])
@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (np.ones((4, 5)), r"shape \(samples ≥ 1, n_0 = 3\), got \(4, 5\)"),
        (np.ones(3), r"got \(3,\)"),
        (np.ones((0, 3)), r"got \(0, 3\)"),
        (np.ones((2, 2, 3)), r"got \(2, 2, 3\)"),
        ([[1.0, np.nan, np.inf]], "finite, got 2 NaN or infinite"),
    ],
)
def test_impossible_inputs(inputs, message, method):
    with pytest.raises(ValueError, match=message):
        samplers.sample_activations(Network((3, 4)), inputs, method=method)


def test_inputs_that_are_not_numbers():
    for wrong in ([["a", "b", "c"]], np.ones((2, 3), dtype=complex)):
        with pytest.raises(TypeError, match="real numbers"):
            samplers.sample_activations(Network((3, 4)), wrong)


@pytest.mark.parametrize("method", ["weights", "gram"])
def test_overflow_names_its_layer(method):
    network = Network.uniform(3, 50, activation="linear", sigma_w=1e100)
    with pytest.raises(OverflowError, match="overflow at layer 4 of 50: lower sigma_w, got 1e"):
        samplers.sample_activations(network, np.ones((2, 3)), rng=1, method=method)


@pytest.mark.parametrize("activation", ["tanh", "relu", "linear"])
@pytest.mark.parametrize("method", ["jacobian", "chain"])
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -0.5])
def test_impossible_input_variance(wrong, method, activation):
    network = Network.uniform(3, 2, activation=activation)
    for sample in (samplers.sample_vni, samplers.sample_correlation):
        with pytest.raises(ValueError, match=f"input_variance.*{wrong}"):
            sample(network, 10, rng=1, method=method, input_variance=wrong)
