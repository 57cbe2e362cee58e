"""Single networks over inputs that are given, against whole networks that are multiplied out here."""

import json
import math
import re
from itertools import pairwise

import numpy as np
import pytest
from joblib import Parallel
from scipy.special import ndtr
from statistics_checks import assert_sampled, mean_and_error

from rmt_vn import Network, laws, measures
from rmt_vn.baseline import interval_of_another
from rmt_vn.prediction import blocks, given_inputs, predict
from rmt_vn.samplers.activations import walk_both

PHI = {"tanh": np.tanh, "relu": lambda h: np.maximum(h, 0), "gelu": lambda h: h * ndtr(h)}


def data(n_samples, n_inputs=8, dimensions=5):
    """Inputs as data are: of few dimensions, with outliers, not about zero, and one coordinate that never varies."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n_samples, dimensions)) * rng.uniform(0.3, 2, (n_samples, 1))
    x = x @ rng.standard_normal((dimensions, n_inputs)) / 2 + rng.standard_normal(n_inputs) / 3
    x[:, -1] = 0.5
    return x


# --- by brute force: draw all weights, pass the inputs on, measure as users measure -----------------------------------


def brute_force(network, x, n_networks, rng):
    """VNI of pre-activations and activations, shape (2, L, networks); the last layer has no φ."""
    return np.moveaxis([_one_network(network, x, rng) for _ in range(n_networks)], 0, -1)


def _one_network(network, x, rng):
    found = []
    for layer, (n_in, n_out) in enumerate(pairwise(network.widths), start=1):
        w = rng.standard_normal((n_out, n_in)) / math.sqrt(n_in)
        if network.weights == "orthogonal":
            n = max(n_in, n_out)
            q, r = np.linalg.qr(rng.standard_normal((n, n)))
            w = math.sqrt(n / n_in) * (q * np.sign(np.diag(r)))[:n_out, :n_in]
        h = x @ (network.sigma_w * w).T + network.sigma_b * rng.standard_normal(n_out)
        mask = (rng.random(n_out) < network.keep) / network.keep
        x = h if layer == network.depth else PHI[network.activation.name](h) * mask
        found.append([measures.vni(each).value for each in (h, x)])
    return np.transpose(found)


def simulated(predicted):
    rows = predicted.layers
    return np.array([[row.simulated_pre_activation_vni for row in rows], [row.simulated_vni for row in rows]])


def check_means(network, x, n_networks):
    predicted = simulated(predict(network, inputs=x, n_networks=n_networks, rng=0))
    fresh = brute_force(network, x, n_networks, np.random.default_rng(1))
    (value, error), (expected, of_expected) = (mean_and_error(np.moveaxis(each, -1, 0)) for each in (predicted, fresh))
    errors = np.hypot(error, of_expected)
    # Not over other inputs, nor with what is measured of φ taken for what is before it.
    other = np.mean(simulated(predict(network, inputs=data(len(x), dimensions=2), n_networks=20, rng=0)), axis=-1)
    assert_sampled(value, expected, errors, wrong=[other, expected[::-1], np.roll(expected, 1, axis=1)], k=4.5)


@pytest.mark.slow
def test_means_are_those_of_networks_multiplied_out():
    check_means(Network((8, 12, 9, 5), "tanh", sigma_w=1.5, sigma_b=0.3), data(300), 50)


def test_means_where_no_weights_are_drawn():
    check_means(Network((8, 90, 30, 5), "relu", sigma_w=1.4), data(40), 25)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "n_samples"),
    [
        (Network((8, 12, 7, 12), "relu", "orthogonal", 1.4, keep=0.8), 300),
        (Network((8, 100, 60, 9), "gelu", "orthogonal", 1.4, sigma_b=0.2), 40),
        (Network((8, *[30] * 3), "gelu", sigma_w=1.4, keep=0.9), 600),
    ],
)
def test_means_of_other_networks(network, n_samples):
    check_means(network, data(n_samples), 60)


@pytest.mark.slow
def test_intervals_hold_95_percent_of_networks():
    network, x = Network((8, 15, 15), "tanh", sigma_w=1.3), data(300)
    fresh = brute_force(network, x, 400, np.random.default_rng(2))[1]
    rows = [predict(network, inputs=x, n_networks=100, rng=seed).layers for seed in range(5)]
    held = []
    for factor in (1, 2 / 3):
        centres = [[(row.vni, *row.interval()) for row in each] for each in rows]
        held.append(
            np.mean(
                [
                    np.abs(fresh[layer] - mean - factor * ((low + high) / 2 - mean)) <= factor * (high - low) / 2
                    for each in centres
                    for layer, (mean, low, high) in enumerate(each)
                ]
            )
        )
    # Of 400 networks, and 500 simulated ones; two layers of one network are not independent.
    assert abs(held[0] - 0.95) < 3.5 * math.sqrt(0.95 * 0.05 * (1 / 400 + 1 / 500)), held
    assert held[1] < 0.9  # intervals narrowed by a third


# --- in single precision ----------------------------------------------------------------------------------------------


def test_single_precision_is_good_enough_where_it_is_used(monkeypatch):
    network, x = Network((8, 20, 20), "tanh", sigma_w=1.3, sigma_b=0.2), data(400)
    means = []
    for large in (2**28, 1):
        monkeypatch.setattr(given_inputs, "_LARGE", large)
        means.append(mean_and_error(np.moveaxis(simulated(predict(network, inputs=x, n_networks=25, rng=0)), -1, 0)))
    (double, error), (single, of_single) = means
    assert_sampled(single, double, np.hypot(error, of_single))


@pytest.mark.parametrize(
    ("network", "scale"),
    [
        (Network((8, 20), "tanh", sigma_w=0.8, sigma_b=3.0), 1e-4),  # all inputs are close to each other
        (Network((8, 20), "tanh", sigma_w=5.0, sigma_b=30.0), 1.0),  # some nodes are at 1 but for their last digits
        (Network((8, 20), "relu", sigma_w=1.4), 1e-32),  # near underflow
    ],
)
def test_single_precision_is_left_where_it_has_too_few_digits(network, scale):
    x = (scale * data(50)).astype(np.float32)
    ((h, of_h),) = walk_both(network, x, rng=np.random.default_rng(0), method="weights")
    assert h.dtype == of_h.dtype == np.float64
    # The same weights again, in double precision throughout.
    rng = np.random.default_rng(0)
    w = rng.standard_normal((8, 20), dtype=np.float32) * np.float32(network.sigma_w / np.sqrt(8))
    expected = x.astype(float) @ w.astype(float) + network.sigma_b * rng.standard_normal(20)
    assert np.array_equal(h, expected) and np.array_equal(of_h, PHI[network.activation.name](expected))


def test_single_precision_stays_where_it_is_enough():
    walk = walk_both(Network((8, *[20] * 3), "relu"), data(50).astype(np.float32), rng=np.random.default_rng(0))
    assert {each.dtype.name for layer in walk for each in layer} == {"float32"}


# --- what is said -----------------------------------------------------------------------------------------------------

LAYERS = Network((8, *[40] * 3, 5), "tanh")


def test_a_law_stands_beside_only_where_it_speaks_of_these_inputs():
    rng = np.random.default_rng(0)
    clouds = rng.standard_normal((500, 8))
    wide = predict(LAYERS, inputs=clouds, n_networks=4, rng=0)
    assert wide.statement == "S7" and wide.layers[-1].law_vni is None
    law = laws.wide_input_vni(LAYERS, input_variance=float(np.mean(clouds**2)))
    assert [row.law_vni for row in wide.layers[:-1]] == pytest.approx(law[:-1])
    assert f"S7 says {law[-2]:.4g} of layer 3" in wide.verdict[-1]
    ball = predict(LAYERS, inputs=1 + 1e-3 * clouds, n_networks=4, rng=0)
    assert ball.statement == "S4" and ball.layers[1].law_vni == pytest.approx(
        predict(LAYERS, n_networks=40).layers[1].law_vni, rel=0.01
    )
    linear = predict(Network((8, 20, 20), "linear"), inputs=3 * clouds + 1, n_networks=4, rng=0)
    assert linear.statement == "S3"
    assert [row.law_vni for row in linear.layers] == pytest.approx(
        [laws.exact_vni(Network(widths, "linear")) for widths in ((8, 20), (8, 20, 20))]
    )
    for network, x, told in (
        (LAYERS, data(300), "No law speaks of these inputs: their covariance has .* of 8"),
        (LAYERS, clouds + 1, "neither in a small ball round a point nor like N"),
        (LAYERS, clouds * rng.uniform(0.1, 3, (500, 1)), "neither in a small ball"),
        (Network((8, 20, 5), "relu"), clouds, "No law covers this network over inputs like N"),
    ):
        silent = predict(network, inputs=x, n_networks=4, rng=0)
        assert silent.statement is None and {row.law_vni for row in silent.layers} == {None}
        assert re.search(told, silent.verdict[-1])


def test_the_numbers_are_near_the_law_where_it_speaks():
    clouds = np.random.default_rng(0).standard_normal((600, 30))
    network = Network((30, *[30] * 3), "tanh", sigma_w=1.2)
    predicted = predict(network, inputs=clouds, n_networks=20, output="activation", rng=0)
    for row in predicted.layers:
        assert row.vni == pytest.approx(row.law_vni, rel=0.1, abs=4 * row.stderr)


def test_what_the_inputs_alone_do_is_said():
    predicted = predict(
        Network((8, *[40] * 3), "relu", sigma_w=1.4), inputs=data(300, dimensions=2), rng=0, n_networks=4
    )
    first = predicted.layers[0]
    (told,) = [each for each in predicted.verdict if each.startswith("In layer 1, where there is no depth yet")]
    assert f"{1 / first.pre_activation_vni:.3g} effective nodes of 40" in told
    assert "Over the 300 given inputs, means and intervals are those of 4 simulated networks" in predicted.verdict[-2]
    assert predicted.n_samples == 300 and predicted.inputs == "given"
    assert predicted.input_variance == pytest.approx(np.mean(data(300, dimensions=2) ** 2))
    assert json.dumps(predicted.to_dict())


def test_a_prediction_is_a_baseline():
    predicted = predict(LAYERS, inputs=data(60), n_networks=4, rng=0)
    null = predicted.baseline()
    assert null.layers == ("1", "2", "3", "4") and null.replicas == 4 and null.n_nodes["4"] == 5
    for row in predicted.layers:
        name = str(row.layer)
        assert null.mean(name) == pytest.approx(row.vni) and null.interval(name) == row.interval()
        assert row.interval() == interval_of_another(row.simulated_vni)
        of_h = predicted.baseline(kind="pre-activations")
        assert of_h.values[name].tolist() == list(row.simulated_pre_activation_vni)
    assert predict(LAYERS, n_networks=40, rng=0).baseline().replicas == 40
    with pytest.raises(ValueError, match="kind must be one of"):
        predicted.baseline(kind="nodes")


def test_the_last_layer_is_linear_where_told():
    network = Network((8, 20, 20), "relu", keep=0.7)
    for output, same in (("linear", True), ("activation", False)):
        last = predict(network, inputs=data(50), n_networks=4, output=output, rng=0).layers[-1]
        assert (last.simulated_vni == last.simulated_pre_activation_vni) == same


def test_the_same_seed_gives_the_same_numbers():
    one, same, other = (simulated(predict(LAYERS, inputs=data(50), n_networks=5, rng=seed)) for seed in (0, 0, 1))
    assert np.array_equal(one, same) and not np.array_equal(one, other)


def test_numbers_do_not_depend_on_how_many_workers_there_are(monkeypatch):
    # In single precision, with weights and without.
    monkeypatch.setattr(given_inputs, "_LARGE", 1)
    for network in (Network((8, 160, 160), "tanh", sigma_w=1.3), Network((8, 700, 20), "relu", sigma_b=0.1)):
        found = []
        for workers in (1, 3):
            monkeypatch.setattr(blocks, "Parallel", lambda n_jobs, w=workers, **how: Parallel(n_jobs=w, **how))
            found.append(simulated(predict(network, inputs=data(300), n_networks=4, rng=3)))
        assert np.array_equal(*found)


def test_networks_without_a_varying_node_are_left_out():
    narrow = Network((8, 2, 2, 2), "relu", sigma_w=1.4)
    row = predict(narrow, inputs=data(50), n_networks=40, output="activation", rng=0).layers[-1]
    n_left = np.sum(~np.isnan(row.simulated_vni))
    assert 2 <= n_left < 40 and 0.5 <= row.interval()[0] <= row.vni <= row.interval()[1] <= 1 and row.stderr > 0
    with pytest.raises(ValueError, match=r"no node of layer \d+ varies over the inputs in all but one of 5"):
        predict(Network((8, *[1] * 30), "relu"), inputs=data(50), n_networks=5, output="activation", rng=0)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"inputs": data(50)[:, :7]}, r"n_0 = 8\), got shape \(50, 7\)"),
        ({"inputs": data(4)}, r"samples ≥ 5, n_0 = 8\), got shape \(4, 8\)"),
        ({"inputs": np.ones((50, 8))}, "inputs must differ, got 50 equal ones"),
        ({"inputs": np.full((50, 8), np.nan)}, "inputs must be finite, got 400 NaN or infinite values of 400"),
        ({"inputs": data(50) * 1j}, "inputs must be an array of real numbers"),
        ({"inputs": data(50), "input_variance": 1.0}, "leave input_variance out, got 1.0"),
        ({"inputs": data(50), "n_networks": 1}, "n_networks must be an integer ≥ 2, got 1"),
        ({"inputs": "narrow"}, "inputs must be one of ball, wide, got 'narrow'"),
    ],
)
def test_one_line_says_what_is_wrong(arguments, told):
    with pytest.raises((TypeError, ValueError), match=told) as error:
        predict(LAYERS, **arguments)
    assert "\n" not in str(error.value)


def test_growth_beyond_doubles_is_told():
    with pytest.raises(OverflowError, match="activations overflow at layer 2 of 3: lower sigma_w"):
        list(walk_both(Network((8, 9, 9, 9), "relu", sigma_w=1e80), 1e150 * data(50), rng=np.random.default_rng(0)))
    with pytest.raises(ValueError, match=r"leaves its range at layer 2.* or input_variance, got 1\.\d+e\+100"):
        predict(Network((8, 9, 9, 9), "relu", sigma_w=1e90), inputs=1e50 * data(50), n_networks=2, rng=0)
