"""Single networks over wide inputs: intervals that hold 95% of fresh ones, at any depth, activation and shape."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.special import erf, ndtr

from rmt_vn import Network, laws
from rmt_vn.measures import jacobian_vni
from rmt_vn.prediction import wide_scatter
from rmt_vn.prediction.wide_scatter import simulated_wide_vni
from rmt_vn.samplers import walk_jacobian

PHI = {
    "tanh": np.tanh,
    "relu": lambda h: np.maximum(h, 0),
    "gelu": lambda h: h * ndtr(h),
    "softplus": lambda h: np.log1p(np.exp(h)),
    "erf": erf,
}
LINEAR_LAYER = {"sigma_w": 3**-0.5, "sigma_b": 900**-0.5}  # as nn.Linear of 300 inputs begins
QUICK = {
    "three input dimensions": Network((3, *[20] * 6), "tanh", sigma_w=1.2),
    "biases": Network((20, *[24] * 4, 10), "relu", **LINEAR_LAYER),
    "dropout": Network((20, *[24] * 4), "gelu", sigma_w=1.4, keep=0.7),
}
THOROUGH = {
    "deep": Network.uniform(50, 40, activation="tanh", sigma_w=1.2),
    "he": Network.uniform(60, 15, activation="relu", sigma_w=2**0.5),
    "gelu": Network((50, *[60] * 12), "gelu", sigma_w=1.4, sigma_b=0.1),
    "softplus": Network((40, *[60] * 10), "softplus", sigma_w=1.2),
    "funnel": Network((100, 80, 60, 40, 25, 10), "relu", sigma_w=2**0.5),
    "bottleneck": Network((50, 40, 2, 40, 40, 10), "gelu", sigma_w=1.4, sigma_b=0.2),
}


def simulated(network, n_networks, seed, variance=1.0, linear_output=True):
    rng = np.random.default_rng(seed)
    return simulated_wide_vni(network, variance, n_networks, linear_output=linear_output, rng=rng)


# --- by brute force: draw all weights, pass on thousands of inputs, correlate the nodes -------------------------------


def brute_force(network, n_networks, n_inputs, layers, rng):
    """VNI of pre-activations and activations, shape (2, layers, networks); the last layer has no φ."""
    return np.moveaxis([_one_network(network, n_inputs, layers, rng) for _ in range(n_networks)], 0, -1)


def _one_network(network, n_inputs, layers, rng):
    x = rng.standard_normal((n_inputs, network.widths[0]))
    found = []
    for layer, (n_in, n_out) in enumerate(pairwise(network.widths), start=1):
        w = rng.standard_normal((n_out, n_in)) / math.sqrt(n_in)
        if network.weights == "orthogonal":
            n = max(n_in, n_out)
            q, r = np.linalg.qr(rng.standard_normal((n, n)))
            w = math.sqrt(n / n_in) * (q * np.sign(np.diag(r)))[:n_out, :n_in]
        h = x @ (network.sigma_w * w).T + network.sigma_b * rng.standard_normal(n_out)
        x = PHI[network.activation.name](h) * (rng.random(n_out) < network.keep) if layer < network.depth else h
        if layer in layers:
            found.append((_mean_square_correlation(h), _mean_square_correlation(x)))
    return np.transpose(found)


def _mean_square_correlation(x):
    x = x[:, np.ptp(x, axis=0) > 0]
    n = x.shape[1]
    off = (np.sum(np.corrcoef(x.T) ** 2) - n) / (n * (n - 1))
    # Independent nodes have r² = 1/(P − 1) on average.
    return 1 / n + (1 - 1 / n) * max(0.0, off - (1 - off) / (len(x) - 2))


def shares(sampled, fresh, layers):
    """How many fresh networks lie in the 95% intervals, shape (2, layers)."""
    ends = [np.quantile(each[np.array(layers) - 1], (0.025, 0.975), axis=1, method="weibull") for each in sampled]
    low, high = np.swapaxes(ends, 0, 1)[..., None]
    return np.mean((low <= fresh) & (fresh <= high), axis=-1)


def errors(k, n_networks, n_fresh):
    """As `five_errors` of the intervals in a small ball."""
    return k * math.sqrt(0.95 * 0.05 * (1 / (n_networks + 2) + 1 / n_fresh))


def check(network, n_networks, n_fresh, n_inputs):
    layers = (network.depth // 2, network.depth)
    fresh = brute_force(network, n_fresh, n_inputs, layers, np.random.default_rng(5))
    sampled = simulated(network, n_networks, 1)
    found = shares(sampled, fresh, layers)
    assert np.abs(found - 0.95).max() < errors(3.5, n_networks, n_fresh), found
    # Negative control: intervals narrowed by a third.
    narrow = [np.exp(2 / 3 * np.log(each) + np.log(each).mean(axis=1)[:, None] / 3) for each in sampled]
    assert shares(narrow, fresh, layers).max() < 0.95 - errors(2, n_networks, n_fresh)
    return sampled, fresh, layers


@pytest.mark.parametrize("network", QUICK.values(), ids=QUICK)
def test_intervals_hold_95_percent_of_networks(network):
    check(network, 300, 120, 500)


@pytest.mark.slow
@pytest.mark.parametrize("network", THOROUGH.values(), ids=THOROUGH)
def test_intervals_hold_95_percent_of_larger_networks(network):
    check(network, 400, 300, 1500)


@pytest.mark.slow
@pytest.mark.parametrize(
    "network",
    [Network((256, *[400] * 4), "tanh", sigma_w=1.3), Network((12, *[40] * 12), "erf", "orthogonal", sigma_w=1.5)],
    ids=["wide and shallow", "haar"],
)
def test_where_networks_hardly_differ_intervals_are_rather_too_wide(network):
    # The error of some hundred inputs is several times the scatter of networks here.
    layers = (network.depth // 2, network.depth)
    fresh = brute_force(network, 100, 1500, layers, np.random.default_rng(5))
    sampled = simulated(network, 200, 1)
    assert shares(sampled, fresh, layers).min() > 0.95 - errors(2, 200, 100)
    ours = np.array(sampled)[:, np.array(layers) - 1]
    lengths = [np.ptp(np.quantile(each, (0.025, 0.975), axis=-1), axis=0) for each in (ours, fresh)]
    assert np.all(lengths[0] < 2.5 * lengths[1])


def test_intervals_of_half_the_depth_do_not():
    network = Network.uniform(20, 12, activation="relu", sigma_w=2**0.5)
    fresh = brute_force(network, 100, 500, (12,), np.random.default_rng(6))
    sampled = simulated(network, 200, 0)
    half = [np.roll(each, 6, axis=0) for each in sampled]
    assert shares(sampled, fresh, (12,)).min() > 0.95 - errors(3, 200, 100)
    assert shares(half, fresh, (12,)).max() < 0.7


# --- what the numbers are ---------------------------------------------------------------------------------------------


def mean_and_error(sampled):
    return sampled.mean(axis=1), sampled.std(axis=1, ddof=1) / math.sqrt(sampled.shape[1])


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_few_inputs_do_not_bias(activation, monkeypatch):
    network = Network((20, *[20] * 4), activation, sigma_w=1.3)
    means = []
    for n_inputs in (64, 256):
        monkeypatch.setattr(wide_scatter, "_FEWEST_INPUTS", n_inputs)
        monkeypatch.setattr(wide_scatter, "_MOST_INPUTS", n_inputs)
        means.append(mean_and_error(np.concatenate(simulated(network, 250, n_inputs))))
    (few, few_error), (many, many_error) = means
    assert np.all(np.abs(few - many) < 4.5 * np.hypot(few_error, many_error))


def test_near_the_law_for_odd_activations():
    network = Network((40, *[40] * 6), "tanh", sigma_w=1.2)
    sampled = simulated(network, 150, 2, linear_output=False)[1]
    mean, error = mean_and_error(sampled)
    law = laws.wide_input_vni(network)
    # Its own accuracy: "mostly within 5%, within 10% in all cases".
    assert np.all(np.abs(mean - law) < 0.1 * law + 4 * error)


@pytest.mark.parametrize("activation", ["sigmoid", "gelu", "relu"])
def test_inputs_that_are_close_are_a_small_ball(activation):
    # So close that with 16 digits of x their differences would be rounding.
    network = Network((20, *[16] * 4), activation, sigma_b=0.5)
    pre_activations, activations = simulated(network, 300, 3, variance=1e-36, linear_output=False)
    walk = walk_jacobian(network, 300, rng=4, input_variance=1e-36)
    mean, error = mean_and_error(activations)
    ball, ball_error = mean_and_error(np.array([jacobian_vni(layer.jacobian) for layer in walk]))
    assert np.all(np.abs(mean - ball) < 4 * np.hypot(error, ball_error))
    assert np.all(pre_activations.min(axis=1) >= 1 / 16)


def test_networks_that_bring_all_inputs_together_have_a_vni():
    network = Network((20, *[16] * 40), "sigmoid", sigma_w=3**-0.5, sigma_b=0.1)
    sampled = simulated(network, 40, 0)[0]
    assert 0.5 < sampled[-1].mean() < 1 and sampled[-1].min() > sampled[0].max()


def test_where_all_nodes_are_one():
    lone, _ = simulated(Network((4, 3, 1)), 40, 0)
    assert np.all(lone[-1] == 1)
    _, copies = simulated(Network.uniform(3, 80), 40, 0)
    assert copies[-1].min() > 0.999


def test_networks_without_a_varying_node_have_no_vni():
    network = Network((5, *[2] * 3), "relu", sigma_b=1.0, keep=0.5)
    _, activations = simulated(network, 200, 0, linear_output=False)
    assert np.all((activations >= 0.5) & (activations <= 1))
    _, none = simulated(Network((5, *[1] * 60), "relu", keep=0.5), 40, 0)
    assert np.all(none[0] == 1) and np.all(np.isnan(none[-1]))


def test_the_last_layer_is_linear_where_told():
    network = Network((5, 10, 10), "relu", keep=0.5)
    for sampled in (simulated(network, 40, 0), simulated(network, 40, 0, linear_output=False)):
        assert all(np.all(np.diff(each) >= 0) for each in sampled)
    (linear, of_linear), (_, of_relu) = simulated(network, 40, 0), sampled
    assert np.array_equal(linear[-1], of_linear[-1]) and not np.array_equal(linear[-1], of_relu[-1])


def test_growth_beyond_doubles_is_told():
    with pytest.raises(OverflowError, match="layer 2 of 3: lower sigma_w"):
        simulated(Network.uniform(4, 3, activation="softplus", sigma_w=1e90), 40, 0)
    scale_free = simulated(Network.uniform(4, 3, activation="relu", sigma_w=1e90), 40, 0)
    assert scale_free[0] == pytest.approx(simulated(Network.uniform(4, 3, activation="relu"), 40, 0)[0])


def test_the_same_seed_gives_the_same_numbers():
    network = Network((5, 10, 10), "gelu")
    assert np.array_equal(simulated(network, 40, 0), simulated(network, 40, 0))
    assert not np.array_equal(simulated(network, 40, 0), simulated(network, 40, 1))
