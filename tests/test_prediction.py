"""Predictions: laws row by row, intervals that hold the share of networks that they say, and verdicts."""

import math
from dataclasses import replace

import numpy as np
import pytest

from rmt_vn import Network, laws, mean_field, samplers
from rmt_vn.measures import jacobian_vni
from rmt_vn.prediction import predict, scatter

NETWORKS = [
    Network((30, *[20] * 5, 7), activation="tanh", sigma_w=1.3, sigma_b=0.2),
    Network((30, *[20] * 5, 7), activation="tanh", weights="orthogonal", keep=0.8),
    Network((5, 9, 4, 6), activation="relu", sigma_w=1.1),
    Network((5, 9, 4, 6), activation="linear", weights="orthogonal"),
]


def cut(network, depth):
    return replace(network, widths=network.widths[: depth + 1])


def name_of(network):
    return f"{network.activation.name}-{network.weights}"


@pytest.mark.parametrize("network", NETWORKS, ids=name_of)
def test_each_row_is_what_the_laws_say_of_the_network_that_ends_there(network):
    predicted = predict(network, input_variance=0.7, n_networks=40)
    assert [row.layer for row in predicted.layers] == list(range(1, network.depth + 1))
    assert tuple(row.width for row in predicted.layers) == network.widths[1:]
    gradient = laws.gradient_growth(network, input_variance=0.7)
    assert predicted.gradient_growth == gradient[0]
    for row in predicted.layers:
        part = cut(network, row.layer)
        assert row.q == mean_field.length_map(part, 0.7)[-1]
        assert row.chi == pytest.approx(network.sigma_w**2 * mean_field.layer_moments(network, row.q)[0], rel=1e-12)
        t = laws.effective_depth(part, input_variance=0.7)
        assert row.effective_depth == pytest.approx(t, rel=1e-12, abs=1e-15)
        exact = network.live_probability is not None
        law = laws.exact_vni(part) if exact else laws.approximate_vni(part, input_variance=0.7)
        assert row.vni == pytest.approx(law, rel=1e-12)
        assert row.effective_nodes == 1 / row.vni
        assert row.gradient == gradient[row.layer]
    assert predicted.statement == ("S3" if exact else "S4")


# --- intervals --------------------------------------------------------------------------------------------------------

INTERVALS = [
    Network.uniform(24, 12, activation="tanh"),
    Network.uniform(24, 12, activation="hard_tanh", weights="orthogonal", sigma_w=1.5),
    Network.uniform(24, 12, activation="relu"),
    Network((12, 24, 6, 24, 24), activation="linear"),
]


def shares(network, intervals, n_fresh):
    """How many of fresh networks lie in the intervals, layer by layer."""
    low, high = np.array(intervals).T[:, :, None]
    walk = samplers.walk_jacobian(network, n_fresh, rng=4, input_variance=1.0)
    sampled = np.array([jacobian_vni(layer.jacobian) for layer in walk])
    return np.mean((low <= sampled) & (sampled <= high), axis=1)


def five_errors(n_networks, n_fresh):
    """The share of fresh networks between the quantiles of n simulated ones has the mean 0.95.

    k = 5, for some fifty layers. The probability between the quantiles has the variance 0.95 × 0.05/(n + 2), the share
    given it that of a binomial.
    """
    return 5 * math.sqrt(0.95 * 0.05 * (1 / (n_networks + 2) + 1 / n_fresh))


@pytest.mark.parametrize("network", INTERVALS, ids=name_of)
def test_intervals_hold_95_percent_of_networks(network):
    predicted = predict(network, n_networks=1000, rng=3)
    assert predicted.simulated == network
    intervals = [row.interval() for row in predicted.layers]
    allowed = five_errors(1000, 1000)
    assert np.abs(shares(network, intervals, 1000) - 0.95).max() < allowed
    # Negative controls: the intervals narrowed by 30%, or moved by 35% of their lengths, in the logarithm.
    middle, half = np.mean(np.log(intervals), axis=1), np.ptp(np.log(intervals), axis=1) / 2
    for factor, shift in ((0.7, 0), (1, 0.7), (1, -0.7)):
        wrong = np.exp([middle + (shift - factor) * half, middle + (shift + factor) * half]).T
        assert np.abs(shares(network, wrong, 1000) - 0.95).max() > allowed


@pytest.mark.parametrize(
    "network",
    [
        Network.uniform(48, 24, activation="tanh"),
        Network.uniform(48, 24, activation="relu", weights="orthogonal"),
        Network((100, *[48] * 20, 10), activation="linear"),
    ],
    ids=name_of,
)
def test_twins_of_wide_networks_have_nearly_their_scatter(network, monkeypatch):
    monkeypatch.setattr(scatter, "_WORK", 2e8)
    predicted = predict(network, n_networks=200)
    twin = predicted.simulated
    assert max(twin.widths[1:]) <= 30 and twin.depth <= 15
    assert twin.widths[-1] == max(round(twin.widths[1] / 48 * network.widths[-1]), min(network.widths[-1], 16))
    found = shares(network, [row.interval() for row in predicted.layers], 250)
    # About right, rather too wide, once some layers lie behind; the first two only roughly.
    assert found[3:].min() > 0.95 - five_errors(200, 250) and found.min() > 0.75


def test_where_all_is_one_or_nothing_the_interval_is_a_point():
    orthogonal = predict(Network.uniform(10, 3, activation="linear", weights="orthogonal"), n_networks=40)
    assert all(
        row.interval() == pytest.approx((0.1, 0.1)) and row.vni == pytest.approx(0.1) for row in orthogonal.layers
    )
    lone = predict(Network((4, 3, 1)), n_networks=40).layers[-1]
    assert lone.vni == 1 and lone.interval() == pytest.approx((1, 1), abs=1e-12) and max(lone.interval()) <= 1


def test_twins_of_networks_that_end_in_one_node(monkeypatch):
    monkeypatch.setattr(scatter, "_WORK", 1e7)
    lone = predict(Network((40, *[40] * 5, 1)), n_networks=40)
    assert lone.simulated.widths[1] < 40
    assert lone.layers[-1].interval() == pytest.approx((1, 1), abs=1e-12)


def test_the_same_question_has_the_same_answer():
    network = Network.uniform(12, 5)
    once, again, other = (predict(network, n_networks=40, **seed) for seed in ({"rng": 0}, {"rng": 0}, {"rng": 1}))
    assert once == again
    assert once != other and once.layers[0].vni == other.layers[0].vni


# --- verdicts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "gradients", "nodes"),
    [
        (Network.uniform(100, 50, activation="linear"), "keep", "vanishing"),
        (Network.uniform(100, 50, activation="linear", weights="orthogonal"), "keep", "alive"),
        (Network.uniform(500, 20, activation="linear", sigma_w=0.7), "vanish", "alive"),
        (Network.uniform(500, 20, activation="linear", sigma_w=1.3), "explode", "alive"),
        (Network.uniform(50, 50, activation="relu", sigma_w=1.0), "vanish", "vanishing"),
        (Network.uniform(50, 50, activation="relu", sigma_w=2.0), "explode", "vanishing"),
    ],
)
def test_verdicts(network, gradients, nodes, monkeypatch):
    monkeypatch.setattr(scatter, "_WORK", 1e8)
    predicted = predict(network, n_networks=40)
    assert (predicted.gradients, predicted.nodes) == (gradients, nodes)
    told = " ".join(predicted.verdict)
    assert f"Gradients {gradients}" in told and f"Nodes are {nodes}" in told
    assert "over wide inputs S3 and S4 do not apply" in told
    # χ = σ_w² or σ_w²/2 in every layer.
    chi = network.sigma_w**2 * (0.5 if network.activation.name == "relu" else 1)
    assert math.log(predicted.gradient_growth) == pytest.approx(network.depth * math.log(chi), abs=1e-9)


@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_the_depths_at_which_nodes_are_gone(activation):
    network = Network.uniform(40, 60, activation=activation)
    predicted = predict(network, n_networks=40)
    live = 40 * network.live_probability
    effective = np.array([1 / laws.exact_vni(cut(network, depth)) for depth in range(1, 61)])

    def first(condition):
        return int(np.argmax(condition)) + 1

    assert predicted.half_depth == first(effective < live / 2)
    assert predicted.two_nodes_depth == first(effective < 2)
    mean_square = (1 / effective - 1 / live) / (1 - 1 / live)
    assert predicted.vanishing_from == first(mean_square > 0.1)
    assert f"fewer than two are left at layer {predicted.two_nodes_depth}" in predicted.verdict[1]
    shallow = predict(Network.uniform(40, 1, activation="linear"), n_networks=40)
    assert (shallow.half_depth, shallow.two_nodes_depth, shallow.vanishing_from) == (None, None, None)
    assert "half are gone in no layer" in shallow.verdict[1]


def test_over_wide_inputs_it_says_that_s4_does_not_apply():
    network = Network.uniform(50, 20, sigma_w=1.5)
    predicted = predict(network, inputs="wide")
    assert predicted.statement == "S7"
    assert [row.vni for row in predicted.layers] == laws.wide_input_vni(network).tolist()
    assert {row.interval() for row in predicted.layers} == {None} and predicted.simulated is None
    assert "S3 and S4 do not apply" in predicted.verdict[2]
    with pytest.raises(ValueError, match="S7 needs an odd activation"):
        predict(Network.uniform(50, 20, activation="relu"), inputs="wide")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"inputs": "narrow"}, "inputs must be one of ball, wide, got 'narrow'"),
        ({"n_networks": 39}, "n_networks must be an integer ≥ 40"),
        ({"n_networks": 100.0}, "got 100.0"),
        ({"input_variance": -1.0}, "input_variance must be a number from 0"),
        ({"input_variance": math.nan}, "got nan"),
    ],
)
def test_wrong_arguments(arguments, told):
    with pytest.raises((TypeError, ValueError), match=told):
        predict(Network.uniform(5, 2), **arguments)
