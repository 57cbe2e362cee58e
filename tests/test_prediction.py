"""Predictions: laws row by row, intervals that hold the share of networks that they say, and verdicts."""

import math
import re
import warnings
from dataclasses import replace

import numpy as np
import pytest
from brute_force import ball_vni

from rmt_vn import Network, laws, mean_field
from rmt_vn.laws.approximate import OutsideDomainWarning
from rmt_vn.prediction import ball_scatter, predict

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


def by_brute_force(network, n_networks, seed):
    """VNI of pre-activations and activations, shape (n_networks, L, 2)."""
    rng = np.random.default_rng(seed)
    same = {name: getattr(network, name) for name in ("weights", "sigma_w", "sigma_b", "keep")}
    drawn = (ball_vni(rng, network.widths, activation=network.activation.name, **same) for _ in iter(int, 1))
    return np.array([one for _, one in zip(range(n_networks), filter(None, drawn), strict=False)])


@pytest.mark.parametrize("network", NETWORKS, ids=name_of)
def test_each_row_is_what_the_laws_say_of_the_network_that_ends_there(network):
    predicted = predict(network, input_variance=0.7, n_networks=40, output="activation")
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
        assert row.law_vni == pytest.approx(law, rel=1e-12)
        assert (row.stderr == 0 and row.vni == row.law_vni) if exact else row.stderr > 0
        assert row.effective_nodes == 1 / row.vni
        assert row.gradient == gradient[row.layer]
    assert predicted.statement == ("S3" if exact else "S4")


def test_the_last_layer_is_linear_unless_asked():
    """A last layer of six ReLU nodes has three live ones; a linear one has six, and S3 says what of either."""
    network = Network((5, 9, 4, 6), activation="relu", sigma_w=1.1)
    linear, bent = (predict(network, n_networks=40, rng=1, output=output) for output in ("linear", "activation"))
    assert bent.layers[-1].vni == pytest.approx(laws.exact_vni(network), rel=1e-12)
    last = linear.layers[-1]
    assert last.vni == last.pre_activation_vni == last.law_vni and last.interval() == last.interval(
        kind="pre-activations"
    )
    # A pair of nodes has the same mean of ρ² in both.
    k = np.arange(1, 7)
    weight = np.array([math.comb(6, each) for each in k]) / (2**6 - 1)
    alone = float(weight @ (1 / k))
    assert (last.vni - 1 / 6) / (5 / 6) == pytest.approx((bent.layers[-1].vni - alone) / (1 - alone), rel=1e-10)
    assert linear.layers[:-1] == bent.layers[:-1]


# --- intervals --------------------------------------------------------------------------------------------------------

SMALL = [
    Network.uniform(16, 8, activation="tanh"),
    Network.uniform(16, 8, activation="hard_tanh", weights="orthogonal", sigma_w=1.5),
    Network((12, 24, 6, 24, 24), activation="relu", sigma_b=0.3),
    Network((12, 24, 6, 24, 24), activation="gelu", keep=0.8),
]
# What is multiplied out where it is small is followed by some nodes where it is not.
LARGE = [
    Network((40, *[40] * 7, 10), activation="tanh", sigma_w=1.3),
    *(
        pytest.param(network, marks=pytest.mark.slow)
        for network in (
            Network((40, *[40] * 7, 10), activation="softplus", sigma_w=1.35),
            Network((40, *[40] * 5), activation="relu", sigma_w=2**0.5),
            Network((40, *[40] * 5), activation="erf", weights="orthogonal", sigma_w=1.3),
        )
    ),
    Network((40, 40, 3, 40, 40), activation="silu", sigma_w=1.4, sigma_b=0.2, keep=0.9),
]


def shares(network, intervals, n_fresh):
    """How many of fresh networks lie in the intervals, of each layer and both kinds of nodes, shape (L, 2)."""
    low, high = np.moveaxis(intervals, -1, 0)
    fresh = by_brute_force(network, n_fresh, 4)
    return np.mean((low - 1e-12 <= fresh) & (fresh <= high + 1e-12), axis=0)


def intervals_of(predicted):
    return np.array(
        [[row.interval(kind=kind) for kind in ("pre-activations", "activations")] for row in predicted.layers]
    )


def five_errors(n_networks, n_fresh):
    """The share of fresh networks between the quantiles of n simulated ones has the mean 0.95.

    k = 5, for some fifty layers. The probability between the quantiles has the variance 0.95 × 0.05/(n + 2), the share
    given it that of a binomial.
    """
    return 5 * math.sqrt(0.95 * 0.05 * (1 / (n_networks + 2) + 1 / n_fresh))


@pytest.mark.parametrize("network", SMALL, ids=name_of)
def test_intervals_hold_95_percent_of_networks(network):
    predicted = predict(network, rng=3)
    found = shares(network, intervals_of(predicted), 400)
    assert np.abs(found - 0.95).max() < five_errors(1000, 400)
    # The negative control: the intervals of networks of half the depth.
    half = intervals_of(predict(cut(network, network.depth // 2), rng=3))[-1:]
    assert shares(network, np.repeat(half, network.depth, axis=0), 400)[-1].max() < 0.95 - five_errors(1000, 400)


@pytest.mark.parametrize("network", LARGE, ids=name_of)
def test_intervals_from_some_nodes_hold_95_percent_of_networks(network, monkeypatch):
    monkeypatch.setattr(ball_scatter, "_WORK", 0)
    predicted = predict(network, rng=3)
    found = shares(network, intervals_of(predicted), 400)
    # The variance of whole layers is found to some 15%, which moves the share by up to two percent.
    assert np.abs(found - 0.95).max() < five_errors(1000, 400) + 0.02
    fresh = by_brute_force(network, 400, 5)
    for kind, means in ((0, "pre_activation_vni"), (1, "vni")):
        mean, stderr = fresh[:, -1, kind].mean(), fresh[:, -1, kind].std() / math.sqrt(400)
        said = getattr(predicted.layers[-1], means)
        # The mean for Haar weights is 1 to 2% low.
        low = 0.02 * mean if network.weights == "orthogonal" else 0.0
        error = math.hypot(stderr, predicted.layers[-1].stderr)
        assert -4 * error - low < said - mean < 4 * error < 0.1 * mean
    # The negative control: the same test rejects the intervals that hold 80%.
    narrow = np.array(
        [[row.interval(0.8, kind=kind) for kind in ("pre-activations", "activations")] for row in predicted.layers]
    )
    assert shares(network, narrow, 400)[-1].max() < 0.95 - five_errors(1000, 400) - 0.02


def test_where_all_is_one_or_nothing_the_interval_is_a_point():
    orthogonal = predict(Network.uniform(10, 3, activation="linear", weights="orthogonal"), n_networks=40)
    assert all(
        row.interval() == pytest.approx((0.1, 0.1)) and row.vni == pytest.approx(0.1) for row in orthogonal.layers
    )
    lone = predict(Network((4, 3, 1)), n_networks=40).layers[-1]
    assert (
        lone.vni == pytest.approx(1, abs=1e-12)
        and lone.interval() == pytest.approx((1, 1), abs=1e-12)
        and max(lone.interval()) <= 1
    )


@pytest.mark.parametrize(
    "network",
    [
        Network((40, *[40] * 5, 1)),
        Network((40, 1, 40, 40), "relu", sigma_b=0.1),
        Network((1, 40, 40), "softplus", weights="orthogonal"),
        Network.uniform(40, 5, activation="linear", weights="orthogonal"),
        Network.uniform(6, 400, sigma_b=0.1),
    ],
    ids=repr,
)
def test_edge_cases_of_some_nodes(network, monkeypatch):
    """They follow from what is multiplied out, where that is one number for all networks."""
    plain = predict(network, rng=1, n_networks=200)
    monkeypatch.setattr(ball_scatter, "_WORK", 0)
    followed = predict(network, rng=1, n_networks=200)
    for one, other in zip(plain.layers, followed.layers, strict=True):
        assert one.interval() == pytest.approx(other.interval(), rel=0.5, abs=1e-9)
        assert one.vni == pytest.approx(other.vni, rel=0.1)


def test_blocks_of_networks_that_become_one_at_different_depths(monkeypatch):
    """Two blocks of 300, the shape of whose layers changes behind the depth at which one of them is done."""
    monkeypatch.setattr(ball_scatter, "_WORK", 0)
    for widths in ((6, *[6] * 300, 3), (5, *[5] * 250, 30)):
        last = predict(Network(widths, "relu", sigma_w=2**0.5), rng=0).layers[-1]
        assert last.width == widths[-1] and last.interval() == pytest.approx((1, 1), abs=1e-6)


@pytest.mark.parametrize(
    "network",
    [
        Network((40, 2, 30, 40), "relu", sigma_w=1.5, sigma_b=0.3),
        Network((12, 40, 5, 3, 64), "softplus", sigma_w=3.0, sigma_b=0.3),
    ],
    ids=name_of,
)
def test_wide_layers_behind_narrow_ones(network, monkeypatch):
    """Many of their values are 1, others as low as the rank allows."""
    monkeypatch.setattr(ball_scatter, "_WORK", 0)
    found = shares(network, intervals_of(predict(network, rng=3)), 400)
    assert np.abs(found - 0.95).max() < five_errors(600, 400) + 0.02


def test_gradients_of_layers_of_one_or_two_nodes_are_numbers():
    network = Network((26, 26, 2, 1, 64), "softplus", sigma_w=1.5, sigma_b=0.3, keep=0.5)
    assert all(row.gradient > 0 for row in predict(network, input_variance=1e-6, n_networks=40).layers)


def test_the_same_question_has_the_same_answer():
    network = Network.uniform(12, 5)
    once, again, other = (predict(network, n_networks=40, **seed) for seed in ({"rng": 0}, {"rng": 0}, {"rng": 1}))
    assert once == again
    assert once != other and once.layers[0].law_vni == other.layers[0].law_vni


# --- verdicts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "gradients", "nodes"),
    [
        (Network.uniform(100, 50, activation="linear"), "neither", "vanishing"),
        (Network.uniform(100, 50, activation="linear", weights="orthogonal"), "neither", "kept"),
        (Network.uniform(500, 20, activation="linear", sigma_w=0.7), "vanish", "kept"),
        (Network.uniform(500, 20, activation="linear", sigma_w=1.3), "explode", "kept"),
        (Network.uniform(50, 50, activation="relu", sigma_w=1.0), "vanish", "vanishing"),
        (Network.uniform(50, 50, activation="relu", sigma_w=2.0), "explode", "vanishing"),
    ],
)
def test_verdicts(network, gradients, nodes):
    predicted = predict(network, n_networks=40)
    assert (predicted.gradients, predicted.nodes) == (gradients, nodes)
    told = " ".join(predicted.verdict)
    assert f"Gradients {gradients}" in told and f"Nodes are {nodes}" in told
    assert "For inputs in a small ball round a point: means exact (S3)" in told
    # χ = σ_w² or σ_w²/2 in every layer.
    chi = network.sigma_w**2 * (0.5 if network.activation.name == "relu" else 1)
    assert math.log(predicted.gradient_growth) == pytest.approx(network.depth * math.log(chi), abs=1e-9)


@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_the_depths_at_which_nodes_are_gone(activation):
    network = Network.uniform(40, 60, activation=activation)
    predicted = predict(network, n_networks=40)
    live = 40 * network.live_probability
    depths = range(1, 61)
    # E ρ² of two nodes is the same for live ones and for all: of S3 what is left without the share of single nodes.
    alone = np.mean(1 / live) if activation == "linear" else _mean_inverse_binomial(40)
    mean_square = (np.array([laws.exact_vni(cut(network, depth)) for depth in depths]) - alone) / (1 - alone)
    vni = 1 / 40 + (1 - 1 / 40) * mean_square

    def first(condition):
        return int(np.argmax(condition)) + 1

    assert predicted.half_depth == first(1 / vni < 20)
    assert predicted.two_nodes_depth == first(1 / vni < 2)
    assert predicted.vanishing_from == first(mean_square > 0.1)
    assert f"fewer than two are left at layer {predicted.two_nodes_depth}" in predicted.verdict[1]
    shallow = predict(Network.uniform(40, 1, activation="linear"), n_networks=40)
    assert (shallow.half_depth, shallow.two_nodes_depth, shallow.vanishing_from) == (None, None, None)
    assert "stays below 0.1 in every layer" in shallow.verdict[1]


def _mean_inverse_binomial(n):
    k = np.arange(1, n + 1)
    weight = np.array([math.comb(n, each) for each in k.tolist()], dtype=float)
    return float(weight @ (1 / k) / weight.sum())


@pytest.mark.parametrize(
    "network",
    [
        Network((784, *[64] * 5, 10), activation="relu", sigma_w=2**0.5),
        Network.uniform(64, 30, activation="softplus", sigma_w=1.35),
        Network.uniform(1024, 10, activation="linear"),
        Network.uniform(64, 100, activation="tanh", weights="orthogonal"),
    ],
    ids=name_of,
)
def test_verdicts_do_not_contradict_themselves(network):
    predicted = predict(network, n_networks=40, rng=1)
    told = " ".join(predicted.verdict)
    for factor in re.findall(r"([\d.]+) times", told):
        assert float(factor) >= 1
    assert ("times as wide" in told) <= (predicted.nodes == "vanishing")
    growth = float(re.search(r"by a factor of (\S+) from", told)[1])
    assert (0.1 <= growth <= 10) == ("neither vanish nor explode" in told)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", OutsideDomainWarning)
        law = laws.approximate_vni(network, input_variance=1.0)
    assert bool(caught) == ("S4 does not hold here" in told)
    if caught:
        assert predicted.layers[-1].vni > 1.1 * law
        assert "times as wide" not in told  # S4 is no adviser where it does not hold


def test_the_advised_width_keeps_the_nodes():
    network = Network.uniform(60, 20, activation="linear")
    (factor,) = re.findall(r"([\d.]+) times", predict(network, n_networks=40).verdict[2])
    wider = Network.uniform(round(60 * float(factor)), 20, activation="linear")
    n = wider.widths[-1]
    assert (laws.exact_vni(wider) - 1 / n) / (1 - 1 / n) == pytest.approx(0.1, rel=0.05)


@pytest.mark.slow
def test_over_wide_inputs_another_law_stands_beside():
    network = Network.uniform(50, 20, sigma_w=1.5)
    predicted = predict(network, inputs="wide", rng=1)
    assert predicted.statement == "S7"
    law = laws.wide_input_vni(network, input_variance=1.0)
    assert [row.law_vni for row in predicted.layers] == [*law[:-1].tolist(), None]
    # S7 is good to 10%.
    assert predicted.layers[-2].vni == pytest.approx(law[-2], rel=0.1)
    assert all(row.interval()[0] < row.vni < row.interval()[1] for row in predicted.layers)
    assert f"S7 says {law[-2]:.4g} of layer 19" in predicted.verdict[-1]
    bent = predict(Network.uniform(30, 3, activation="relu", sigma_b=0.1), inputs="wide", rng=1)
    assert bent.statement is None and "no law covers this case" in bent.verdict[-1]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"inputs": "narrow"}, "inputs must be one of ball, wide, got 'narrow'"),
        ({"output": "softmax"}, "output must be one of linear, activation, got 'softmax'"),
        ({"n_networks": 39}, "n_networks must be an integer ≥ 40"),
        ({"n_networks": 100.0}, "got 100.0"),
        ({"input_variance": -1.0}, "input_variance must be a number from 0"),
        ({"input_variance": math.nan}, "got nan"),
    ],
)
def test_wrong_arguments(arguments, told):
    with pytest.raises((TypeError, ValueError), match=told):
        predict(Network.uniform(5, 2), **arguments)


@pytest.mark.parametrize("weights", ["gaussian", "orthogonal"])
def test_live_nodes_of_a_flat_activation_are_not_any_nodes(weights, monkeypatch):
    """Hard tanh is live where |h| < 1: rows with small components along the signal, all the more of few inputs."""
    monkeypatch.setattr(ball_scatter, "_WORK", 0)
    network = Network((3, 60, 20), activation="hard_tanh", weights=weights, sigma_w=1.0)
    first = predict(network, input_variance=4.0, rng=1).layers[0]
    rng = np.random.default_rng(2)
    options = {"activation": "hard_tanh", "weights": weights, "v": 4.0}
    drawn = np.array([ball_vni(rng, network.widths, **options)[0] for _ in range(400)])
    (every, live), errors = drawn.mean(axis=0), drawn.std(axis=0) / 20
    assert abs(first.vni - live) < 4 * math.hypot(errors[1], first.stderr)
    assert abs(first.pre_activation_vni - every) < 4 * errors[0] + 1e-12
    # The negative control: as if live nodes were any, 1/3 and what is left to chance.
    assert live > every + 20 * errors[1]
