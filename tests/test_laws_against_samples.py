"""The laws against samples: within 4 standard errors, where a law 3% off is rejected by as much."""

import numpy as np
import pytest
from statistics_checks import assert_sampled, mean_and_error, standard_errors_between

from rmt_vn import Network, laws, samplers
from rmt_vn.laws.annealed import log_trace_moments
from rmt_vn.measures import jacobian_vni


def assert_law(law, value, stderr):
    """Control: enough samples to reject the law 3% off, either way."""
    assert_sampled(value, law, stderr, wrong=(0.97 * law, 1.03 * law))


def traces(network, n_networks, seed, block=5000):
    """Tr C² and (Tr C)², C = J Jᵀ, of n_networks networks: shape (2, n_networks)."""
    rng, blocks = np.random.default_rng(seed), []
    for _ in range(n_networks // block):
        *_, last = samplers.walk_jacobian(network, block, rng=rng)
        jacobian = last.jacobian * np.exp(last.log_norm)[:, None, None]
        gram = jacobian @ np.swapaxes(jacobian, -2, -1)
        blocks.append([np.sum(gram**2, axis=(1, 2)), np.trace(gram, axis1=1, axis2=2) ** 2])
    return np.concatenate(blocks, axis=1)


# L/N is kept below 1/4: the spread of (Tr C)² grows as e^{8L/N}, and means of long tails have no honest error.
@pytest.mark.parametrize(
    ("network", "n_networks"),
    [
        (Network.uniform(16, 3, activation="linear"), 20_000),
        (Network.uniform(16, 3, activation="relu"), 80_000),
        (Network.uniform(16, 3, activation="relu", weights="orthogonal"), 60_000),
        (Network((8, 20, 10, 14), activation="linear"), 20_000),
        (Network((8, 14, 20, 10), activation="linear", weights="orthogonal"), 20_000),
        (Network.uniform(16, 3, activation="linear", weights="orthogonal", keep=0.8, sigma_w=1.2), 20_000),
    ],
    ids=["linear", "relu", "relu haar", "rectangular", "haar rectangular", "haar dropout"],
)
def test_annealed_traces(network, n_networks):
    sampled = traces(network, n_networks, seed=1)
    for moment, values in zip(np.exp(log_trace_moments(network)), sampled, strict=True):
        assert_law(moment, *mean_and_error(values))


def test_annealed_ratio_is_not_the_mean_ratio():
    # Three numbers that are easily taken for one another: S2, the mean of Tr C²/(Tr C)², and the mean VNI.
    network = Network.uniform(20, 10, activation="linear")
    square, pair = traces(network, 5000, seed=2)
    ratio, stderr = mean_and_error(square / pair)
    assert standard_errors_between(ratio, laws.annealed_participation(network), stderr) > 10
    assert standard_errors_between(ratio, laws.exact_vni(network), stderr) > 10


EXACT = {
    "linear": Network.uniform(20, 10, activation="linear"),
    "linear rectangular": Network((10, 30, 6, 20, 8), activation="linear"),
    "linear haar rectangular": Network((6, 12, 8, 15, 9), activation="linear", weights="orthogonal"),
    "linear dropout": Network((12, 16, 16, 16, 16), activation="linear", keep=0.7),
    "linear haar dropout": Network.uniform(16, 6, activation="linear", weights="orthogonal", keep=0.7),
    "relu": Network.uniform(20, 10, activation="relu"),
    "relu haar": Network.uniform(20, 10, activation="relu", weights="orthogonal"),
    "relu rectangular dropout": Network((9, 24, 12, 18, 10), activation="relu", keep=0.8),
    "relu bias": Network((12, 16, 9, 16, 12), activation="relu", sigma_w=1.4, sigma_b=1.0),
    "relu haar bias": Network((12, 16, 9, 16, 12), activation="relu", weights="orthogonal", sigma_b=0.5),
}


@pytest.mark.parametrize("network", EXACT.values(), ids=EXACT)
@pytest.mark.parametrize(
    ("method", "n_networks"), [pytest.param("jacobian", 8000, marks=pytest.mark.slow), ("chain", 200_000)]
)
def test_exact_law(network, method, n_networks):
    sampled = samplers.sample_vni(network, n_networks, rng=3, method=method)
    assert_law(laws.exact_vni(network), sampled.value, sampled.stderr)


@pytest.mark.parametrize("name", ["linear", "relu", "relu haar"])
def test_first_order_law_is_rejected_where_depth_is_half_the_width(name):
    for method, n_networks in (("jacobian", 2000), ("chain", 20_000)):
        sampled = samplers.sample_vni(EXACT[name], n_networks, rng=4, method=method)
        assert standard_errors_between(sampled.value, laws.first_order_vni(EXACT[name]), sampled.stderr) > 10


def test_one_width_three_per_cent_off_is_rejected():
    # Control inside the law: fan-ins of 103 for 100, the last layer's width left alone.
    for kind in ({"activation": "linear"}, {"activation": "relu", "weights": "orthogonal"}):
        network = Network.uniform(100, 50, **kind)
        sampled = samplers.sample_vni(network, 150_000, rng=5)
        wrong = laws.exact_vni(Network((103,) * 50 + (100,), **kind))
        assert_sampled(sampled.value, laws.exact_vni(network), sampled.stderr, wrong=[wrong])


# S4 comes in two halves. One is about t: `effective_depth` against the slopes of real forward passes, in networks so
# wide (and, by their Gram matrices, so cheap) that their O(1/N) corrections do not show. The other is about R: at N of
# a hundred, where matrices can be multiplied, ρ² against R at the depth each network has really had.
UNIVERSAL = {
    "tanh": {"activation": "tanh", "sigma_w": 1.5},
    "tanh haar": {"activation": "tanh", "sigma_w": 1.8, "weights": "orthogonal"},
    "hard_tanh": {"activation": "hard_tanh", "sigma_w": 1.4},
    "hard_tanh haar": {"activation": "hard_tanh", "sigma_w": 1.6, "weights": "orthogonal"},
}


def realised_depth(network, slopes):
    """t of networks whose hidden layers have the slopes of shape (networks, n_l), by the formula of S4."""
    steps = [1 / network.widths[0], *(np.mean(d**4, axis=1) / np.mean(d**2, axis=1) ** 2 / d.shape[1] for d in slopes)]
    if network.weights == "orthogonal":
        steps = [r - 1 / n for r, n in zip(steps, network.widths, strict=False)]
    return sum(steps)


@pytest.mark.parametrize("kind", UNIVERSAL.values(), ids=UNIVERSAL)
def test_effective_depth_is_the_depth_of_wide_networks(kind):
    # In units of 1/N. 3% must show also in the Haar networks' r − 1, which is a fourth of r.
    width, depth, repeats, variance = 50_000, 12, 20, 2.0
    network = Network.uniform(width, depth, **kind)
    one_input = np.full((1, width), np.sqrt(variance))
    t = []
    for seed in range(repeats):
        # A single input has a Gram matrix of one number: Gaussian weights stand for Haar ones up to O(1/N).
        gaussian = Network.uniform(width, depth, activation=network.activation, sigma_w=network.sigma_w)
        layers = list(samplers.walk_activations(gaussian, one_input, rng=seed, method="gram"))[:-1]
        slopes = [1 - x**2 if kind["activation"] == "tanh" else (np.abs(x) < 1).astype(float) for x in layers]
        t.append(realised_depth(network, slopes)[0] * width)
    law = laws.effective_depth(network, input_variance=variance) * width
    assert_law(law, *mean_and_error(t))


def ratio_to_the_universal_law(network, n_networks, rng, block=50):
    """Mean ρ² off the diagonal over the mean of R at each network's own depth, with its standard error."""
    width, squares, law = network.widths[-1], [], []
    for _ in range(n_networks // block):
        *hidden, last = samplers.walk_jacobian(network, block, rng=rng)
        squares.append((jacobian_vni(last.rows) - 1 / width) / (1 - 1 / width))
        law.append(laws.universal_vni(realised_depth(network, [layer.slopes for layer in hidden])))
    squares, law = np.concatenate(squares), np.concatenate(law)
    return squares.mean() / law.mean(), mean_and_error(squares - law)[1] / law.mean()


# In the quick tests, the law of ρ that is S4's is held against tanh networks: see test_laws_correlation.py.
@pytest.mark.slow
@pytest.mark.parametrize("kind", UNIVERSAL.values(), ids=UNIVERSAL)
def test_universal_law(kind):
    # S4 is a limit: at fixed t, ρ² is above R by c/N of itself, c from 1 (linear) to about 3 (hard-tanh, Haar). Twice
    # the ratio at N = 80 less the ratio at N = 40 leaves O(1/N²), 1.5e-3, beside a standard error of 4e-3 or less.
    # Twice as wide, a network costs some ten times as much, and its error is the same.
    rng = np.random.default_rng(7)
    n_networks = 2000 if "weights" in kind else 5000
    (wide, wide_error), (narrow, narrow_error) = (
        ratio_to_the_universal_law(Network.uniform(n, depth, **kind), size, rng)
        for n, depth, size in ((80, 9, n_networks), (40, 5, 2 * n_networks))
    )
    assert_law(1, 2 * wide - narrow, np.hypot(2 * wide_error, narrow_error))
