"""Training runs on the engine, and the statistics of how many fail."""

import sys
import warnings

import numpy as np
import pytest
from scipy.stats import binomtest

from rmt_vn import mlp
from rmt_vn.experiments import Engine, run
from rmt_vn.figures.claims import residual_training
from rmt_vn.figures.claims.walking_dead import early_warning, two_way
from rmt_vn.figures.deep_networks import KINDS
from rmt_vn.figures.digits_runs import digits_run
from rmt_vn.figures.failure_counts import at_best_rate, counted
from rmt_vn.figures.failure_statistics import half_point, trend_in_proportions, wilson_interval
from rmt_vn.figures.xor_runs import (
    FAILED_BELOW,
    adam_points,
    failed,
    training_runs,
    xor_layers,
    xor_network,
)

POINT = {"network": xor_network(8, 6, "gaussian"), "optimizer": "adam", "learning_rate": 3e-3, "measure_at": (0, 40)}


def runs(point, replicas, **engine):
    (result,) = training_runs([point], replicas=replicas, seed=1, engine=Engine(**engine))
    return result


def test_more_replicas_refine_the_result(tmp_path):
    few, many = (runs(POINT, replicas, jobs=1, cache=tmp_path) for replicas in (10, 13))
    for name, values in few.items():
        np.testing.assert_array_equal(values, many[name][..., :10], err_msg=name)
    # Of 13 only the last three were trained: the first ten are one kept result, the others another.
    assert len(list(tmp_path.rglob("*.npz"))) == 2
    assert many["vni"].shape == (2, 13) and np.all((many["jacobian_vni"] > 1 / 8) & (many["jacobian_vni"] <= 1))


def test_a_replica_begins_alike_at_every_rate_and_with_every_optimizer():
    start = [
        runs({**POINT, **other}, 3, jobs=1)["vni"][0]
        for other in ({}, {"learning_rate": 1e-4}, {"optimizer": "sgd"}, {"network": xor_network(8, 7, "gaussian")})
    ]
    assert np.array_equal(start[0], start[1]) and np.array_equal(start[0], start[2])
    assert not np.any(start[0] == start[3])


def test_the_same_numbers_by_one_process_and_by_two():
    layer_by_layer = {"learning_rate": 3e-3, "steps": 30, "replicas": (0, 1, 2), "seed": 1}
    tasks = [{"network": xor_network(8, depth, "orthogonal"), **layer_by_layer} for depth in (4, 6)]
    one, two = (list(run(xor_layers, tasks, engine=Engine(jobs=jobs))) for jobs in (1, 2))
    for by_one, by_two in zip(one, two, strict=True):
        assert by_one["jacobian_vni"].shape[0] == 2
        for name in by_one:
            assert by_one[name].tobytes() == by_two[name].tobytes(), name


def test_diverged_runs_are_counted_apart_and_quietly():
    # A linear net runs away at such a rate; tanh only saturates.
    network = xor_network(8, 6, "gaussian")
    linear = type(network)(network.widths, activation="linear")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = runs({**POINT, "network": linear, "optimizer": "sgd", "learning_rate": 1e6}, 4, jobs=1)
    assert result["diverged"].all() and np.isnan(result["accuracy"][-1]).all()
    assert failed(result["accuracy"][-1]).all()
    assert not runs(POINT, 4, jobs=1)["diverged"].any()


def test_what_has_failed():
    assert failed(np.array([0.5, FAILED_BELOW - 0.01, np.nan])).all()
    assert not failed(np.array([FAILED_BELOW, 1.0])).any()


def test_the_grid_has_every_setting_once():
    points = adam_points([4, 8], [2, 3, 5], [1e-3], [0, 10])
    assert len({repr(point) for point in points}) == len(points) == 2 * 2 * 3


# --- proportions ------------------------------------------------------------------------------------------------------


def test_wilson_interval_is_that_of_scipy():
    for failures, total in ((0, 10), (3, 10), (10, 10), (57, 200)):
        expected = binomtest(failures, total).proportion_ci(0.95, method="wilson")
        np.testing.assert_allclose(
            wilson_interval(failures, total), (expected.low, expected.high), rtol=1e-12, atol=1e-15
        )


def test_trend_is_standard_normal_without_one_and_large_with_one():
    rng, scores, total = np.random.default_rng(0), np.log([8, 32, 128]), np.full((2, 3), 30)
    # Strata differ from one another, which is no trend.
    null = [trend_in_proportions(rng.binomial(total, [[0.3], [0.6]]), total, scores) for _ in range(2000)]
    # k = 4 standard errors of mean and standard deviation.
    assert abs(np.mean(null)) < 4 / np.sqrt(2000) and abs(np.std(null) - 1) < 4 / np.sqrt(4000)
    risen = [trend_in_proportions(rng.binomial(total, [[0.2, 0.3, 0.4]] * 2), total, scores) for _ in range(200)]
    assert np.mean(risen) > 2
    assert np.isnan(trend_in_proportions([0, 0, 0], [9, 9, 9], scores))


def test_half_point_is_where_half_fail_and_its_error_covers():
    rng, x = np.random.default_rng(1), np.arange(-4.0, 5.0)
    p = 1 / (1 + np.exp(-(x - 0.3) / 0.5))
    found = np.array([half_point(rng.binomial(25, p), np.full(9, 25), x) for _ in range(2000)])
    # Making the proportions rise steadily shifts the mean a little; that is a part of a step of 1.
    assert abs(found[:, 0].mean() - 0.3) < 0.02
    assert found[:, 0].std() == pytest.approx(np.sqrt(np.mean(found[:, 1] ** 2)), rel=0.15)


def _table(rows):
    names = (
        "weights",
        "width",
        "depth",
        "learning_rate",
        "replica",
        "step",
        "vni",
        "jacobian_vni",
        "gradient",
        "failed",
    )
    return {name: np.array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def test_the_two_way_table_by_hand():
    rows = []
    for replica, (start, end, vni, lost) in enumerate(
        # gradient at the start, at the end, VNI at the end, failed
        [
            (0.1, 2.0, 0.95, False),
            (0.2, 0.05, 0.95, False),
            (0.3, 0.15, 0.99, True),
            (0.3, 0.01, 0.99, True),
            (0.3, 3.0, 0.5, True),
        ]
    ):
        rows += [("gaussian", 8, 9, 1e-3, replica, 0, 0.0, 0.4, start, lost)]
        rows += [("gaussian", 8, 9, 1e-3, replica, 9, 0.0, vni, end, lost)]
    # No network of this depth has learned: what its gradients would need is not known, and it is left out.
    rows += [("gaussian", 8, 99, 1e-3, 0, step, 0.0, 0.99, 1.0, True) for step in (0, 9)]
    counts = two_way(_table(rows))
    counted = {tuple(key): n for *key, n in zip(*(column.tolist() for column in counts.values()), strict=True) if n}
    # Learning began from 0.1 and 0.2, and has ended with 0.05 and 2.
    assert counted == {
        ("could begin", True, True, True): 1, ("could begin", True, True, False): 1,
        ("could begin", True, False, True): 1,
        ("could begin", False, True, True): 1, ("could begin", False, True, False): 1,
        ("as learned", True, True, True): 1, ("as learned", True, True, False): 1,
        ("as learned", True, False, False): 1,
        ("as learned", False, True, True): 2,
    }  # fmt: skip


def test_early_warning_compares_runs_of_one_setting_only():
    rng = np.random.default_rng(2)

    def share(shift):
        rows = []
        for depth in (8, 64):  # the deeper fail more, and begin with the larger VNI: no warning within a depth
            for replica in range(200):
                lost = bool(rng.random() < depth / 80)
                vni = depth / 100 + 0.1 * rng.random() + shift * lost
                rows += [("gaussian", 8, depth, 1e-3, replica, step, 0.0, vni, 1.0, lost) for step in (0, 9)]
        return early_warning(_table(rows))

    assert abs(share(0.0)[1]) < 4
    assert share(0.05)[1] > 4 and share(0.05)[0] > 0.5


def test_the_best_rate_has_the_fewest_failures_then_the_best_accuracy():
    settings = {
        "kind": np.array(["a", "a", "a", "b", "b"]),
        "width": np.full(5, 8),
        "depth": np.full(5, 4),
        "learning_rate": np.array([1e-4, 1e-3, 1e-2, 1e-4, 1e-3]),
        "failed": np.array([3, 1, 1, 0, 2]),
        "mean_accuracy": np.array([0.99, 0.7, 0.8, 0.6, 0.9]),
    }
    best = at_best_rate(settings)
    assert best["kind"].tolist() == ["a", "b"] and best["learning_rate"].tolist() == [1e-2, 1e-4]


@pytest.mark.parametrize("kind", KINDS)
def test_networks_of_all_kinds_have_as_many_matrices(kind):
    network = KINDS[kind](8, 16)
    assert len(mlp.matrices(network)) == 16 and network.widths[1] == 8


# --- digits -----------------------------------------------------------------------------------------------------------


def test_on_digits_too_a_replica_begins_alike_at_every_rate():
    slow, fast = (digits_run(KINDS["plain tanh"](12, 5, 64, 10), rate, 60, 3, seed=0) for rate in (1e-6, 1e-2))
    for name in ("accuracy", "gradient", "vni", "jacobian_vni"):
        np.testing.assert_array_equal(slow[name][0], fast[name][0], err_msg=name)
    assert fast["jacobian_vni"].shape == (2, 4, 3)
    # 500 digits that are guessed have an accuracy of 0.1 ± 0.013, but for what classes have in common.
    assert np.all(slow["accuracy"][1] < 0.3) and np.all(fast["accuracy"][1] > 0.6)


def test_a_run_that_is_nearer_to_guessing_than_to_all_right_has_failed():
    def counts(guessing, *accuracies):
        run = {"accuracy": np.array([[guessing] * 3, accuracies]), "diverged": np.isnan(accuracies)}
        rows = counted(
            [("plain tanh", 8, 4, 1e-3)],
            [run | dict.fromkeys(("jacobian_vni", "vni", "gradient"), np.ones((2, 3)))],
            guessing=guessing,
        )
        return [float(rows[name][0]) for name in ("failed", "diverged", "mean_accuracy")]

    assert counts(0.1, 0.54, 0.56, np.nan) == pytest.approx([2, 1, 0.4])
    assert counts(0.5, FAILED_BELOW - 0.01, FAILED_BELOW, 1.0) == pytest.approx([1, 0, 2.49 / 3])


def test_without_scikit_learn_nothing_is_trained_and_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"rmt_vn\[data\]"):
        residual_training.compute(seed=0, engine=Engine(jobs=1, cache=tmp_path), **residual_training.PRESETS["quick"])
    assert not list(tmp_path.rglob("*.npz"))
