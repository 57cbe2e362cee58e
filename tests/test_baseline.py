"""The null: fresh networks are one of its replicas, by rank and by interval, and networks that were trained are not."""

import json
from itertools import pairwise

import numpy as np
import pytest
from scipy.special import expit
from statistics_checks import assert_sampled, mean_and_error

from rmt_vn import Baseline, measures
from rmt_vn.adapters import mlp_activations, reinitialized_mlp
from rmt_vn.baseline import baseline, interval_of_another

WIDTHS = 8, 12, 12, 1


# --- networks of this file's own, many at a time ----------------------------------------------------------------------


def fresh_weights(n_networks, rng):
    return [rng.standard_normal((n_networks, m, n)) / m**0.5 for m, n in pairwise(WIDTHS)]


def passed(weights, x):
    """Activations of all layers; the last one is linear."""
    layers = [np.broadcast_to(x, (len(weights[0]), *x.shape))]
    for w in weights:
        h = layers[-1] @ w
        layers.append(np.tanh(h) if w is not weights[-1] else h)
    return layers


def trained(weights, x, labels, steps, rate=0.3):
    """Gradient descent on the mean square of the errors, by hand."""
    weights = [w.copy() for w in weights]
    for _ in range(steps):
        layers = passed(weights, x)
        back = (layers[-1] - labels) / len(x)
        for k in reversed(range(len(weights))):
            step = np.swapaxes(layers[k], 1, 2) @ back
            back = back @ np.swapaxes(weights[k], 1, 2) * (1 - layers[k] ** 2)
            weights[k] -= rate * step
    return weights


def hidden_vni(weights, x):
    """The VNI of the last hidden layer of each network."""
    return np.array([measures.unbiased_vni(each) for each in passed(weights, x)[-2]])


def data(seed):
    """Inputs of a few dimensions, as data have, and what is to be learned of them."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((60, 4)) @ rng.standard_normal((4, WIDTHS[0])) / 2
    return x, np.sign(x[:, :1])


def places(values, replicas):
    """Where the first of each (replicas + 1) values is among the others: 0 to 1."""
    nulls = [Baseline(("h",), {"h": each[1:]}, {"h": 12}, {}) for each in values.reshape(-1, replicas + 1)]
    ranks = [null.rank("h", value) for null, value in zip(nulls, values[:: replicas + 1], strict=True)]
    assert all(n == replicas for _, n in ranks)
    return np.array([below / n for below, n in ranks])


def check_ranks(n_networks, replicas, steps, k=4):
    rng = np.random.default_rng(1)
    x, labels = data(2)
    weights = fresh_weights(n_networks * (replicas + 1), rng)
    values = hidden_vni(weights, x)
    found = places(values, replicas)
    expected = np.arange(replicas + 1) / replicas
    for power in (1, 2):
        value, error = mean_and_error(found**power)
        assert_sampled(value, np.mean(expected**power), error, k=k)
    first = [w[:: replicas + 1] for w in weights]
    values[:: replicas + 1] = hidden_vni(trained(first, x, labels, steps), x)
    value, error = mean_and_error(places(values, replicas))
    assert abs(value - 0.5) > k * error, "networks that were trained are told"
    return found


def test_ranks_of_fresh_networks_are_uniform():
    check_ranks(40, 7, steps=150)


@pytest.mark.slow
def test_ranks_of_fresh_networks_are_uniform_thoroughly():
    found = check_ranks(200, 14, steps=40)
    counts = np.bincount((found * 14).round().astype(int), minlength=15)
    # χ² of 14 degrees of freedom: five standard deviations.
    assert np.sum((counts - 200 / 15) ** 2 / (200 / 15)) < 14 + 5 * 28**0.5


@pytest.mark.slow
def test_the_interval_of_a_hundred_replicas_holds_95_percent():
    rng, (x, labels) = np.random.default_rng(3), data(2)
    weights = fresh_weights(2000, rng)
    values = hidden_vni(weights, x)
    nulls, fresh = values[:1000].reshape(10, 100), values[1000:]
    intervals = [Baseline(("h",), {"h": each}, {"h": 12}, {}).interval("h") for each in nulls]

    def held(values):
        return np.mean([np.mean((low <= values) & (values <= high)) for low, high in intervals])

    # Its standard error is 0.01, √(0.95 × 0.05 (1/1000 + 1/1000)).
    assert 0.93 <= held(fresh) <= 0.97
    assert held(hidden_vni(trained([w[1000:] for w in weights], x, labels, 100), x)) < 0.9


# --- scikit-learn -----------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("activation", ["relu", "logistic"])
def test_replicas_of_scikit_learn_are_its_networks_before_they_are_fitted(activation):
    neural_network = pytest.importorskip("sklearn.neural_network")
    x, labels = data(5)

    def fitted(seed, rate, steps):
        options = {"activation": activation, "learning_rate_init": rate, "max_iter": steps, "random_state": seed}
        return neural_network.MLPClassifier((9, 7), **options).fit(x, labels[:, 0] > 0)

    mlp = fitted(0, 0.05, 60)
    coefs = [each.copy() for each in mlp.coefs_]
    null = reinitialized_mlp(mlp, x, replicas=30, rng=0)
    assert null.layers == ("1", "2") and null.n_nodes == {"1": 9, "2": 7}
    assert all(np.array_equal(one, other) for one, other in zip(coefs, mlp.coefs_, strict=True))
    # With so small steps they are as they were drawn.
    hidden = [mlp_activations(fitted(seed, 1e-12, 1), x) for seed in range(30)]
    fresh = np.array([[measures.vni(each).value for each in layers] for layers in hidden])
    (value, error), (expected, of_expected) = (
        mean_and_error(each) for each in (np.transpose([null.values[name] for name in null.layers]), fresh)
    )
    trained_values = [measures.vni(each).value for each in mlp_activations(mlp, x)]
    assert_sampled(value, expected, np.hypot(error, of_expected), wrong=[trained_values])
    with pytest.raises(ValueError, match=r"inputs must have shape \(samples, 8\)"):
        reinitialized_mlp(mlp, x[:, :5])
    with pytest.raises(TypeError, match="must be a fitted MLPClassifier"):
        reinitialized_mlp(neural_network.MLPClassifier(), x)


# --- the interval -----------------------------------------------------------------------------------------------------


def coverage(values, ends):
    low, high = np.transpose([ends(each[1:]) for each in values])
    return mean_and_error((low <= values[:, 0]) & (values[:, 0] <= high))


@pytest.mark.parametrize("n", [2, 5, 20, 60])
def test_intervals_of_another_hold_it_as_often_as_they_say(n):
    # Log odds that are normal; for quantiles, of 60 values, any distribution would do.
    values = expit(-3 + 0.5 * np.random.default_rng(n).standard_normal((1500, n + 1)))
    value, error = coverage(values, interval_of_another)
    short, _ = coverage(values, lambda each: each.mean() + np.array([-1.96, 1.96]) * each.std())
    # Between two order statistics quantiles are interpolated, which is exact for uniform numbers only.
    assert abs(value - 0.95) < 4 * error + (0.004 if n == 60 else 0)
    assert n == 60 or short < 0.95 - 4 * error
    wide, error = coverage(values, lambda each: interval_of_another(each, level=0.5))
    assert abs(wide - 0.5) < 4 * error + (0.01 if n in (5, 20, 60) else 0)


def test_intervals_that_need_no_distribution_begin_with_39_values():
    values = np.linspace(0.1, 0.2, 39)
    assert interval_of_another(values) == (0.1, 0.2)
    assert interval_of_another(values[:-1])[0] < 0.1
    assert interval_of_another(np.full(5, 1.0)) == (1, 1)
    assert interval_of_another([0.5, 1.0])[1] <= 1
    assert np.isnan(interval_of_another([0.5])).all()
    with pytest.raises(ValueError, match="level must be a number between 0 and 1, got 1"):
        interval_of_another(values, level=1)


# --- of any function of a seed ----------------------------------------------------------------------------------------

X = np.random.default_rng(0).standard_normal((40, 6))


def two_layers(seed):
    rng = np.random.default_rng(seed)
    first = np.tanh(X @ rng.standard_normal((6, 9)))
    return {"first": first, "second": np.tanh(first @ rng.standard_normal((9, 5)))}


def test_values_are_those_of_the_replicas():
    seeds = []
    null = baseline(lambda seed: seeds.append(seed) or two_layers(seed), replicas=5, rng=1)
    assert len(set(seeds)) == null.replicas == 5 and null.layers == ("first", "second")
    assert null.n_nodes == {"first": 9, "second": 5} and null.faults == null.notes == {}
    for name in null.layers:
        assert null.values[name].tolist() == [measures.vni(two_layers(seed)[name]).value for seed in seeds]
        assert null.mean(name) == pytest.approx(np.mean(null.values[name]))
    assert repr(null) == "<Baseline: 5 replicas, 2 layers measured, 0 not>"
    record = json.loads(json.dumps(null.to_dict()))
    assert record["intervals"]["first"] == list(null.interval("first")) and len(record["values"]["first"]) == 5


def test_the_same_seed_gives_the_same_numbers_for_any_number_of_workers():
    nulls = [baseline(two_layers, replicas=6, rng=rng, jobs=jobs) for rng, jobs in ((1, 1), (1, 3), (1, -1), (2, 1))]
    one, *same, other = (null.values["second"].tolist() for null in nulls)
    assert same == [one, one] and other != one


def test_layers_without_names_are_numbered():
    assert baseline(lambda seed: two_layers(seed)["first"], replicas=2, rng=0).layers == ("1",)
    assert baseline(lambda seed: list(two_layers(seed).values()), replicas=2, rng=0).layers == ("1", "2")
    four_axes = baseline(lambda seed: np.random.default_rng(seed).random((6, 3, 3, 4)), replicas=2, rng=0, node_axis=-1)
    assert four_axes.n_nodes == {"1": 4} and four_axes.faults == {}


def test_what_cannot_be_measured_is_told_and_the_rest_is_made():
    calls = []

    def run(seed):
        calls.append(seed)
        layers = two_layers(seed)
        layers["nan"] = np.full((40, 3), np.nan)
        layers["few"] = layers["first"][:3]
        layers["images"] = np.zeros((2, 3, 4, 4))
        if len(calls) == 2:
            layers["second"] = np.zeros((40, 5))
        if len(calls) > 3:
            layers["late"] = layers["first"]
        return layers

    null = baseline(run, replicas=4, rng=0)
    assert null.faults.keys() == {"nan", "few", "images"}
    assert "got 120 NaN or infinite values of 120" in null.faults["nan"] and "five" in null.faults["few"]
    assert "node_axis must say" in null.faults["images"]
    assert null.notes["second"].startswith("not measured in 1 of 4 fresh networks: 5 of 5 nodes are constant")
    assert null.notes["late"] == "not measured in 3 of 4 fresh networks: it is not in all of them"
    assert null.rank("second", 0.0) == (0, 3) and np.isnan(null.values["second"]).tolist() == [
        False,
        True,
        False,
        False,
    ]
    for ask in (null.mean, null.interval, lambda layer: null.rank(layer, 0.5)):
        with pytest.raises(ValueError, match="layer 'nan': "):
            ask("nan")
        with pytest.raises(KeyError, match="no layer 'third'"):
            ask("third")
    assert np.isnan(null.interval("late")).all() and null.mean("late") > 0
    assert json.dumps(null.to_dict())


def test_equal_values_count_half():
    null = Baseline(("h",), {"h": np.array([0.2, 0.3, 0.3 * (1 + 1e-12), 0.4])}, {"h": 10}, {})
    assert null.rank("h", 0.3) == (2, 4) and null.rank("h", 0.1) == (0, 4) and null.rank("h", 0.5) == (4, 4)
    with pytest.raises(ValueError, match="value must be a number, got nan"):
        null.rank("h", np.nan)


@pytest.mark.parametrize(
    ("run", "options", "told"),
    [
        (3, {}, "run must be a function of a seed, got int"),
        (two_layers, {"replicas": 1}, "replicas must be an integer ≥ 2, got 1"),
        (two_layers, {"jobs": 0}, "jobs must be an integer ≥ 1, or -1, got 0"),
        (lambda seed: X, {}, "the same activations for two seeds"),
        (lambda seed: {}, {}, "at least one layer, got none"),
        (lambda seed: 1 // 0, {}, "run failed for the seed .*: integer division or modulo by zero"),
    ],
)
def test_one_line_says_what_is_wrong(run, options, told):
    with pytest.raises((TypeError, ValueError), match=told) as error:
        baseline(run, **{"rng": 0, **options})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("jobs", [1, 2])
def test_it_can_be_interrupted(jobs):
    calls = []

    def run(seed):
        calls.append(seed)
        if len(calls) > 3:
            raise KeyboardInterrupt
        return two_layers(seed)

    with pytest.raises(KeyboardInterrupt):
        baseline(run, replicas=50, rng=0, jobs=jobs)
    assert len(calls) < 20
