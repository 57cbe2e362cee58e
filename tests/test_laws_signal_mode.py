"""The signal mode (S4, S5): its recursion against products of plain matrices, its limit, and where S4 says it ends.

The oracle draws weights and multiplies them in plain numpy, with nothing of the package but the description of the
network. k = 4 standard errors: a false alarm in 16 000 seeds, and all seeds here are fixed.
"""

import functools
import warnings
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expit, ndtr

from rmt_vn import Network, laws, samplers
from rmt_vn.gaussian_averages import signal_moments
from rmt_vn.laws.approximate import OutsideDomainWarning
from rmt_vn.laws.signal_mode import layer_step, mode_ratio
from rmt_vn.mean_field import fixed_point, length_map

K = 4

PLAIN = {
    "tanh": (np.tanh, lambda h: np.cosh(h) ** -2.0),
    "softplus": (lambda h: np.logaddexp(0, h), expit),
    "gelu": (lambda h: h * ndtr(h), lambda h: ndtr(h) + h * np.exp(-h * h / 2) / np.sqrt(2 * np.pi)),
    "relu": (lambda h: np.maximum(h, 0), lambda h: (h > 0) * 1.0),
    "leaky_relu": (lambda h: np.maximum(h, 0.01 * h), lambda h: np.where(h > 0, 1.0, 0.01)),
}


def plain_weights(network, n_in, n_out, rng):
    if network.weights == "gaussian":
        return network.sigma_w / np.sqrt(n_in) * rng.standard_normal((n_out, n_in))
    size = max(n_in, n_out)
    q, r = np.linalg.qr(rng.standard_normal((size, min(n_in, n_out))))
    frame = q * np.sign(np.diag(r))
    return network.sigma_w * np.sqrt(size / n_in) * (frame if n_out > n_in else frame.T)


def plain_forward(network, variance, rng):
    """The activations x_0, …, x_L, the slopes with dropout and the weights of one network."""
    phi, slope = PLAIN[network.activation.name]
    x = rng.standard_normal(network.widths[0])
    signals, slopes, weights = [x * np.sqrt(len(x) * variance) / np.linalg.norm(x)], [], []
    for n_in, n_out in pairwise(network.widths):
        w = plain_weights(network, n_in, n_out, rng)
        h = w @ signals[-1] + network.sigma_b * rng.standard_normal(n_out)
        mask = (rng.random(n_out) < network.keep) / network.keep
        signals.append(phi(h) * mask)
        slopes.append(slope(h) * mask)
        weights.append(w)
    return signals, slopes, weights


@functools.cache
def plain_gradients(network, variance, n_networks, seed):
    """‖∂_l‖² and (∂_l·x̂_l)² for gradients of unit length of any direction at x_L, averaged over the directions."""
    rng, squares, along = np.random.default_rng(seed), [], []
    for _ in range(n_networks):
        signals, slopes, weights = plain_forward(network, variance, rng)
        gradient = np.eye(network.widths[-1]) / np.sqrt(network.widths[-1])
        square, mode = [1.0], [1 / network.widths[-1]]
        for x, d, w in zip(signals[-2::-1], slopes[::-1], weights[::-1], strict=True):
            gradient = (gradient * d) @ w
            square.append(np.sum(gradient**2))
            mode.append(np.sum((gradient @ x) ** 2) / (x @ x))
        squares.append(square[::-1])
        along.append(mode[::-1])
    return np.array(squares), np.array(along)


def slow_but(quick, cases):
    """The cases by their names; those that are not among the quick ones run with the slow tests."""
    return [case if name in quick else pytest.param(*case, marks=pytest.mark.slow) for name, case in cases.items()]


def mean_and_error(values):
    return values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))


# --- the coefficients of a layer --------------------------------------------------------------------------------------

LAYERS = {
    "softplus": ({"activation": "softplus", "sigma_w": 1.35}, (200, 1600), 400),
    "softplus bias": ({"activation": "softplus", "sigma_w": 1.2, "sigma_b": 0.9}, (200, 1600), 400),
    "tanh bias dropout": ({"activation": "tanh", "sigma_w": 1.8, "sigma_b": 0.7, "keep": 0.8}, (200, 1600), 400),
    "gelu narrowing": ({"activation": "gelu", "sigma_w": 1.5, "sigma_b": 0.5}, (1600, 800), 200),
    "softplus haar": ({"activation": "softplus", "sigma_w": 1.35, "weights": "orthogonal"}, (500, 500), 250),
    "tanh haar bias dropout widening": (
        {"activation": "tanh", "sigma_w": 1.8, "sigma_b": 0.7, "keep": 0.8, "weights": "orthogonal"}, (200, 1600), 200,
    ),
    "gelu haar bias narrowing": (
        {"activation": "gelu", "sigma_w": 1.5, "sigma_b": 0.5, "weights": "orthogonal"}, (1000, 600), 80,
    ),
}  # fmt: skip


def coefficients(network, variance, repeats, seed):
    """What one step back makes of a vector along x_1, and of a random one across it: (a², B) of each."""
    rng, values = np.random.default_rng(seed), []
    for _ in range(repeats):
        (x_0, x_1), (d,), (w,) = plain_forward(network, variance, rng)
        along = x_1 / np.linalg.norm(x_1)
        across = rng.standard_normal((len(x_1), 20))
        across -= np.outer(along, along @ across)
        across /= np.linalg.norm(across, axis=0)
        back = w.T @ (d[:, None] * np.column_stack([along, across]))
        mode = (x_0 @ back) ** 2 / (x_0 @ x_0)
        rest = np.sum(back**2, axis=0) - mode
        values.append([[mode[0], mode[1:].mean()], [rest[0], rest[1:].mean()]])
    return mean_and_error(np.array(values))


@pytest.mark.parametrize(
    ("kind", "widths", "repeats"),
    slow_but({"softplus bias"}, LAYERS),
    ids=LAYERS,
)
def test_coefficients_of_a_layer(kind, widths, repeats):
    network, variance = Network(widths, **kind), 1.3
    q = network.sigma_w**2 * variance + network.sigma_b**2
    law = layer_step(network, widths, q, signal_moments(network.activation, q))
    mean, stderr = coefficients(network, variance, repeats, seed=1)
    # The law is that of n → ∞ nodes: sums over 500 or more of them leave relative corrections of a few 1/n.
    tolerance = K * stderr + 3 / widths[1] * law
    assert np.all(np.abs(mean - law) < tolerance)
    # Control: what is fed, and both growths, are known well enough to tell 5% (the noise, 25%).
    assert np.all(np.abs(mean - law * [[1.05, 1.25], [1.05, 1.05]]) > tolerance)


# --- gradients through many layers ------------------------------------------------------------------------------------

NETWORKS = {
    "softplus": (Network.uniform(100, 10, activation="softplus", sigma_w=1.35), 1.0, 400),
    "softplus haar": (Network.uniform(100, 10, activation="softplus", sigma_w=1.35, weights="orthogonal"), 1.0, 300),
    "softplus bias rectangular": (
        Network((40, 80, 120, 60, 100), activation="softplus", sigma_w=1.35, sigma_b=0.7), 1.0, 400,
    ),
    "softplus haar bias dropout rectangular": (
        Network((40, 80, 120, 60, 100), "softplus", "orthogonal", sigma_w=1.8, sigma_b=0.7, keep=0.8), 1.0, 300,
    ),
    "tanh": (Network.uniform(100, 6, activation="tanh", sigma_w=2.0), 4.0, 300),
    "gelu haar": (Network((40, 80, 120, 60, 100), "gelu", "orthogonal", sigma_w=1.5, keep=0.8), 4.0, 300),
}  # fmt: skip


@pytest.mark.parametrize(("network", "variance", "n_networks"), NETWORKS.values(), ids=NETWORKS)
def test_gradients_and_their_mode(network, variance, n_networks):
    squares, along = plain_gradients(network, variance, n_networks, seed=2)
    growth = laws.gradient_growth(network, input_variance=variance)
    mean, stderr = mean_and_error(squares)
    assert np.all(np.abs(mean - growth) <= K * stderr + 1e-12)
    mode, mode_stderr = mean_and_error(along)
    share = laws.signal_mode_share(network, input_variance=variance)
    assert np.all(np.abs(mode - share * growth) <= K * mode_stderr + 1e-12)


DEEP = {
    "tanh": (Network.uniform(40, 16, activation="tanh", sigma_w=1.6), 1.0, 1500),
    "tanh haar": (Network.uniform(40, 12, activation="tanh", sigma_w=1.8, weights="orthogonal"), 1.0, 600),
    "softplus": (Network.uniform(60, 20, activation="softplus", sigma_w=1.35), 2.0, 1600),
}


@pytest.mark.parametrize(("network", "variance", "n_networks"), slow_but({"tanh", "tanh haar"}, DEEP), ids=DEEP)
def test_gradients_of_narrow_networks(network, variance, n_networks):
    # L/N is a third: what the scatter of the variances adds to the recursion of their means must show.
    mean, stderr = mean_and_error(plain_gradients(network, variance, n_networks, seed=9)[0])
    growth = laws.gradient_growth(network, input_variance=variance)
    assert np.all(np.abs(mean - growth) <= K * stderr + 1e-12)
    state = np.array([1 / network.widths[-1], 1 - 1 / network.widths[-1]])
    for q in length_map(network, variance)[::-1]:
        state = layer_step(network, network.widths[:2], q, signal_moments(network.activation, q)) @ state
    assert abs(mean[0] - state.sum()) > K * stderr[0]


@pytest.mark.parametrize("name", ["softplus", "softplus haar"])
def test_powers_of_chi_are_rejected_where_the_mode_grows(name):
    network, variance, n_networks = NETWORKS[name]
    mean, stderr = mean_and_error(plain_gradients(network, variance, n_networks, seed=2)[0])
    slopes = [signal_moments(network.activation, q).mu1 for q in length_map(network, variance)]
    chi = np.append(np.cumprod((network.sigma_w**2 * np.array(slopes))[::-1])[::-1], 1.0)
    assert mean[0] > chi[0] + 2 * K * stderr[0]


@pytest.mark.parametrize("weights", ["gaussian", "orthogonal"])
@pytest.mark.parametrize("name", ["linear", "relu", "leaky_relu"])
def test_homogeneous_activations_feed_nothing_into_the_mode(name, weights):
    network = Network((7, 20, 5, 5, 12), name, weights, sigma_w=1.3, sigma_b=0.4, keep=0.7)
    assert laws.signal_mode_share(network) == pytest.approx(1 / np.array(network.widths), rel=1e-10)
    # With biases, whatever part of the variance is the signal's: the coefficients change, what becomes of 1/n does not.
    q, moments = 2.0, signal_moments(network.activation, 2.0)
    chi = network.sigma_w**2 * moments.mu1 / network.keep
    for n_in, n_out in pairwise(network.widths):
        step = layer_step(network, (n_in, n_out), q, moments)
        after = step @ [1 / n_out, 1 - 1 / n_out]
        assert after == pytest.approx([chi / n_in, chi * (1 - 1 / n_in)], rel=1e-10)


def test_at_the_fixed_point_the_mode_grows_by_the_slope_of_the_length_map():
    # χ_q as a difference quotient of the length map itself, which knows nothing of gradients.
    for name, sigma_w, sigma_b in (("softplus", 1.35, 0.0), ("tanh", 1.8, 0.3), ("silu", 1.3, 0.5)):
        network = Network.uniform(400, 1, activation=name, sigma_w=sigma_w, sigma_b=sigma_b)
        field = fixed_point(network)
        signal = (field.q_star - sigma_b**2) / sigma_w**2
        around = [
            length_map(Network.uniform(400, 2, activation=name, sigma_w=sigma_w, sigma_b=sigma_b), signal + step)[1]
            for step in (-1e-4, 1e-4)
        ]
        slope = (around[1] - around[0]) / (2e-4 * sigma_w**2)
        assert field.chi_q == pytest.approx(slope, rel=1e-6)
        step = layer_step(network, (400, 400), field.q_star, signal_moments(network.activation, field.q_star))
        assert step[0, 0] == pytest.approx(slope**2, rel=1e-6)
        assert field.signal_growth == pytest.approx(slope**2 / field.chi, rel=1e-6)


@pytest.mark.parametrize(("sigma_w", "growth"), [(1.0, 0.70), (1.2, 0.99), (1.3, 1.12), (1.35, 1.17)])
def test_softplus_crosses_from_falling_to_growing_modes(sigma_w, growth):
    field = fixed_point(Network.uniform(10, 2, activation="softplus", sigma_w=sigma_w))
    assert round(field.signal_growth, 2) == growth


def test_homogeneous_activations_and_signals_that_die_out_have_a_neutral_mode():
    for kind in ({"activation": "relu", "sigma_w": 2**0.5}, {"activation": "tanh", "sigma_w": 0.7}):
        assert fixed_point(Network.uniform(10, 2, **kind)).signal_growth == pytest.approx(1, rel=1e-9)


# --- the limit in which the mode is all there is ----------------------------------------------------------------------


@pytest.mark.parametrize("ratio", [1e-6, 0.01, 0.3, 2.0])
def test_vni_of_a_mode_by_quadrature(ratio):
    def shared_part(x):
        return ratio * x**2 / (1 + ratio * x**2) * np.exp(-x * x / 2) / np.sqrt(2 * np.pi)

    shared = 2 * quad(shared_part, 0, 40, epsabs=0, epsrel=1e-11, limit=200)[0]
    assert laws.signal_mode_vni(ratio) == pytest.approx(shared**2, rel=1e-8)


def test_vni_of_a_mode_by_rows():
    # Rows that are a mode and a rest, in plain numbers: n = 300 coordinates for the rest.
    rng, ratio, n = np.random.default_rng(3), 1.5, 300
    rows = rng.standard_normal((400, 40, n)) / np.sqrt(n)
    mode = np.sqrt(ratio) * rng.standard_normal((400, 40, 1))
    rows = np.concatenate([rows, mode], axis=-1)
    rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
    square = (np.sum((rows @ np.swapaxes(rows, 1, 2)) ** 2, axis=(1, 2)) - 40) / (40 * 39)
    mean, stderr = mean_and_error(square)
    # Two rests of n coordinates have a mean square correlation of 1/n, and less beside a mode.
    assert abs(mean - laws.signal_mode_vni(ratio)) < K * stderr + 1 / n
    assert abs(mean - laws.signal_mode_vni(1.1 * ratio)) > K * stderr + 1 / n


def test_ends_of_the_mode():
    assert laws.signal_mode_vni(0.0) == pytest.approx(0, abs=1e-25)
    assert laws.signal_mode_vni([1e300, np.inf]) == pytest.approx([1, 1])
    with pytest.raises(ValueError, match=r"≥ 0, got -0\.5"):
        laws.signal_mode_vni([1.0, -0.5])


@pytest.mark.parametrize("depth", [60, 80])
def test_depth_at_which_the_mode_takes_over_is_logarithmic_in_the_width(depth):
    # N = 10⁶, depth 60 and 80: the effective depth is 2e-4, so that S4 says 1e-4. What is seen is the mode alone.
    network = Network.uniform(10**6, depth, activation="softplus", sigma_w=1.35)
    with pytest.warns(OutsideDomainWarning):
        assert laws.approximate_vni(network) < 3e-4
    sampled = samplers.sample_vni(network, 4000, rng=4, method="signal_chain")
    q = np.full(depth, fixed_point(network).q_star)
    law = laws.signal_mode_vni(mode_ratio(network, q))
    # In the limit; networks of 10⁶ nodes scatter by √(L/N) = 1% in their variances, and κ by some times as much.
    assert abs(sampled.value - law) < K * sampled.stderr + 0.02 * law
    for factor in (0.9, 1.1):
        wrong = laws.signal_mode_vni(factor * mode_ratio(network, q))
        assert abs(sampled.value - wrong) > K * sampled.stderr + 0.02 * law


# --- where S4 ends ----------------------------------------------------------------------------------------------------


def plain_vni(network, variance, n_networks, seed):
    """VNI over live nodes of the Jacobians of random networks, by plain products."""
    rng, values = np.random.default_rng(seed), []
    for _ in range(n_networks):
        _, slopes, weights = plain_forward(network, variance, rng)
        jacobian = np.eye(network.widths[0])
        for d, w in zip(slopes, weights, strict=True):
            jacobian = d[:, None] * (w @ jacobian)
            jacobian /= np.linalg.norm(jacobian)
        live = jacobian[jacobian.any(axis=1)]
        rows = live / np.linalg.norm(live, axis=1, keepdims=True)
        values.append(np.mean((rows @ rows.T) ** 2))
    return mean_and_error(np.array(values))


OUTSIDE = {
    "softplus": (Network.uniform(60, 20, activation="softplus", sigma_w=1.35), 2.0, 150),
    "softplus haar": (Network.uniform(60, 20, activation="softplus", sigma_w=1.35, weights="orthogonal"), 2.0, 100),
    "gelu, whose variance scatters": (Network.uniform(60, 16, activation="gelu", sigma_w=1.5), 1.0, 300),
}
INSIDE = {
    "tanh": (Network.uniform(60, 20, activation="tanh", sigma_w=1.5), 2.0, 150),
    "tanh haar bias": (
        Network.uniform(60, 20, activation="tanh", sigma_w=1.8, sigma_b=0.3, weights="orthogonal"), 2.0, 100,
    ),
    "leaky relu haar": (Network.uniform(60, 20, activation="leaky_relu", weights="orthogonal"), 1.0, 100),
    "tanh dropout": (Network.uniform(60, 10, activation="tanh", sigma_w=1.5, keep=0.8), 1.0, 150),
}  # fmt: skip


@pytest.mark.parametrize(
    ("network", "variance", "n_networks"), slow_but({"softplus", "gelu, whose variance scatters"}, OUTSIDE), ids=OUTSIDE
)
def test_where_the_law_warns_it_is_wrong_and_the_chain_is_right(network, variance, n_networks):
    mean, stderr = plain_vni(network, variance, n_networks, seed=5)
    with pytest.warns(OutsideDomainWarning, match="S4 does not hold here") as caught:
        law = laws.approximate_vni(network, input_variance=variance)
    assert f"{law:.4g}" in str(caught[0].message) and "signal_chain" in str(caught[0].message)
    assert abs(mean - law) > max(0.1 * mean, K * stderr)
    chain = samplers.sample_vni(network, 20_000, rng=6, method="signal_chain", input_variance=variance)
    assert abs(mean - chain.value) < K * np.hypot(stderr, chain.stderr)


@pytest.mark.parametrize(
    ("network", "variance", "n_networks"), slow_but({"tanh", "tanh haar bias"}, INSIDE), ids=INSIDE
)
def test_where_the_law_does_not_warn_it_holds(network, variance, n_networks):
    mean, stderr = plain_vni(network, variance, n_networks, seed=7)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        law = laws.approximate_vni(network, input_variance=variance)
    assert abs(mean - law) < K * stderr
    # Control: half as many standard errors tell a law 10% off.
    assert abs(mean - 1.1 * law) > K / 2 * stderr
    # The chain is said to be off by less than 1% where the mode is small.
    chain = samplers.sample_vni(network, 20_000, rng=6, method="signal_chain", input_variance=variance)
    assert abs(mean - chain.value) < K * np.hypot(stderr, chain.stderr) + 0.01 * mean


CHAINS = {
    "linear": Network.uniform(40, 20, activation="linear"),
    "linear rectangular": Network((10, 30, 12, 20, 16), activation="linear"),
    "relu": Network.uniform(60, 30, activation="relu", sigma_b=0.7),
    "relu haar": Network.uniform(60, 30, activation="relu", weights="orthogonal"),
    "linear haar rectangular": Network((40, 80, 30, 60, 50), activation="linear", weights="orthogonal"),
}


@pytest.mark.parametrize(
    "network",
    [
        pytest.param(each, marks=pytest.mark.slow) if name != "linear rectangular" else each
        for name, each in CHAINS.items()
    ],
    ids=CHAINS,
)
def test_the_signal_chain_is_held_to_the_exact_law(network):
    sampled = samplers.sample_vni(network, 40_000, rng=10, method="signal_chain")
    law = laws.exact_vni(network)
    assert abs(sampled.value - law) < K * sampled.stderr + 0.01 * law
    assert abs(sampled.value - 1.03 * law) > K * sampled.stderr + 0.01 * law


def test_the_signal_chain_of_what_is_extreme():
    # Signals that die out, variances beyond where moments are taken, single nodes, and last layers of one node.
    for network, variance in (
        (Network.uniform(20, 300, activation="tanh", sigma_w=0.3), 1.0),
        (Network.uniform(20, 60, activation="gelu", sigma_w=3.0), 1e4),
        (Network((3, 1, 4, 2), activation="tanh"), 1.0),
        (Network((3, 5, 4, 2), activation="hard_tanh", weights="orthogonal", sigma_w=5.0), 1.0),
    ):
        values = samplers.sample_vni(network, 200, rng=1, method="signal_chain", input_variance=variance).values
        assert np.all((values > 0) & (values <= 1 + 1e-12))
    one = samplers.sample_vni(Network((3, 4, 1)), 10, rng=1, method="signal_chain")
    assert one.value == 1


def test_the_chain_of_means_has_no_more_dimensions_than_inputs():
    """Three inputs: the Gram matrix of eight nodes has rank three. Within 2% and the errors of both."""
    network = Network((3, 60, 60), activation="sin", sigma_w=1.5)
    exact = samplers.sample_vni(network, 600, rng=1, method="jacobian", input_variance=1.0)
    chain = samplers.sample_vni(network, 4000, rng=2, method="signal_chain", input_variance=1.0)
    assert abs(chain.value - exact.value) < 4 * np.hypot(exact.stderr, chain.stderr) + 0.02 * exact.value


# --- the eigenvalue that the mode is ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("depth", "weights"),
    [
        (10, "gaussian"),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in ((14, "gaussian"), (10, "orthogonal"))),
    ],
)
def test_one_eigenvalue_lies_beyond_the_edge(depth, weights):
    network = Network.uniform(300, depth, activation="softplus", sigma_w=1.35, weights=weights)
    signal, rng, largest = fixed_point(network).q_star / network.sigma_w**2, np.random.default_rng(8), []
    for _ in range(40):
        _, slopes, matrices = plain_forward(network, signal, rng)
        jacobian = np.eye(300)
        for d, w in zip(slopes, matrices, strict=True):
            jacobian = d[:, None] * (w @ jacobian)
        largest.append(np.linalg.svd(jacobian, compute_uv=False)[:2] ** 2)
    (first, second), (first_error, second_error) = mean_and_error(np.array(largest))
    edge, law = laws.spectral_edges(network)[-1], laws.signal_mode_outlier(network)
    assert first > edge + K * first_error and second < edge + K * second_error
    # Networks of 300 nodes scatter in q, which raises the mean by about L/N of itself for each e-fold in ln q.
    assert abs(first - law) < K * first_error
    # Controls: not the mode's own square Π G, and not the bulk's edge.
    assert abs(first - fixed_point(network).chi_q ** (2 * depth)) > K * first_error


def test_no_eigenvalue_of_the_mode_where_it_falls():
    network = Network.uniform(100, 10, activation="tanh", sigma_w=1.8)
    assert np.isnan(laws.signal_mode_outlier(network))
