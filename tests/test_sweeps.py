"""Sweeps of any function: what is swept, and what is refused in a line that helps."""

import importlib
import os
import subprocess
import sys

import numpy as np
import pytest
from kinds_of_functions import KINDS, PREAMBLE, in_notebook

from rmt_vn import Network
from rmt_vn.experiments import Engine, monte_carlo, stop_workers
from rmt_vn.experiments.fingerprint import fingerprint
from rmt_vn.experiments.sweeps import name_of
from rmt_vn.samplers import sample_along_depth, sample_vni

POINT = {"scale": 2.0}
ALONE = Engine(jobs=1)


def every_kind(chosen=lambda kind: True):
    return [
        pytest.param(name, marks=[pytest.mark.slow] if kind.is_heavy else [])
        for name, kind in KINDS.items()
        if chosen(kind)
    ]


@pytest.fixture(scope="module")
def in_module(tmp_path_factory):
    """Define a function in a file of its own, which the worker processes can import."""
    folder = tmp_path_factory.mktemp("modules")
    stop_workers()  # those that are started now know the folder
    sys.path.insert(0, str(folder))

    def define(name):
        module = f"kind_{list(KINDS).index(name)}"
        (folder / f"{module}.py").write_text(PREAMBLE + KINDS[name].source)
        return importlib.import_module(module).sample

    yield define
    stop_workers()
    sys.path.remove(str(folder))


def swept(sample):
    """The estimate by two processes, each of which finds the same key, is that of the function called here."""
    (estimate,) = monte_carlo(sample, [POINT], replicates=2, seed=5, engine=Engine(jobs=2))
    seeds = [np.random.SeedSequence(5, spawn_key=(*name_of(POINT), replicate)) for replicate in range(2)]
    alone = np.concatenate([sample(rng=np.random.default_rng(seed), **POINT) for seed in seeds])
    np.testing.assert_allclose(estimate.mean, alone.mean(axis=0), rtol=1e-12)


@pytest.mark.parametrize("name", every_kind())
@pytest.mark.parametrize("place", ["notebook", "module"])
def test_a_function_is_swept_or_refused_in_a_line_that_helps(name, place, in_module):
    sample = in_notebook(KINDS[name].source) if place == "notebook" else in_module(name)
    refused = getattr(KINDS[name], f"refused_in_{place}")
    if refused is None:
        before = fingerprint(sample)
        swept(sample)
        assert fingerprint(sample) == before  # calls leave no trace
        return
    with pytest.raises(TypeError, match=refused) as error:
        swept(sample)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


@pytest.mark.parametrize("name", every_kind(lambda kind: kind.refused_in_module is None))
def test_a_change_of_a_function_of_any_kind_is_seen(name):
    kind = KINDS[name]
    key = fingerprint(in_notebook(kind.source))
    assert fingerprint(in_notebook(kind.source)) == key
    assert fingerprint(in_notebook(kind.source.replace(kind.old, kind.new))) != key


def keys(heavy):
    kinds = [kind for kind in KINDS.values() if kind.refused_in_module is None and kind.is_heavy == heavy]
    return [fingerprint(in_notebook(kind.source)) for kind in kinds]


@pytest.mark.parametrize("heavy", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_key_of_every_kind_is_the_same_in_every_process(heavy):
    done = subprocess.run(
        [sys.executable, "-c", f"import test_sweeps; print(*test_sweeps.keys({heavy}))"],
        env=os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == keys(heavy)


# --- in a script ------------------------------------------------------------------------------------------------------

SCRIPT = """
from functools import cached_property, lru_cache
from rmt_vn.experiments import Engine, monte_carlo

@lru_cache
def shift(n):
    return n + 1.5

class Model:
    @cached_property
    def shift(self):
        return shift(1)

MODEL = Model()

def sample(scale, *, rng):
    return MODEL.shift + scale * rng.standard_normal((5, 2))

if __name__ == "__main__":
    (estimate,) = monte_carlo(sample, [{"scale": 0.0}], replicates=2, seed=1, engine=Engine(jobs=2))
    print(*estimate.mean, estimate.count)
"""


@pytest.mark.slow
def test_caches_of_a_script_are_sent_by_value(tmp_path):
    # By name, a worker would look for them in its own __main__.
    (tmp_path / "study.py").write_text(SCRIPT)
    command = [sys.executable, "-W", "error", tmp_path / "study.py"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (done.stdout.split(), done.stderr) == (["2.5", "2.5", "10"], "")


# --- what a sample is -------------------------------------------------------------------------------------------------


def test_a_number_is_one_sample():
    values = {}

    def sample(scale, *, rng):
        values[len(values)] = scale * rng.standard_normal()
        return values[len(values) - 1]

    (estimate,) = monte_carlo(sample, [POINT], replicates=4, seed=0, engine=ALONE)
    drawn = list(values.values())
    assert estimate.count == len(drawn) == 4 and estimate.mean.shape == estimate.stderr.shape == ()
    np.testing.assert_allclose(estimate.mean, np.mean(drawn), rtol=1e-12)
    np.testing.assert_allclose(estimate.stderr, np.std(drawn, ddof=1) / 2, rtol=1e-12)


def test_the_mean_of_truth_values_is_how_often():
    (estimate,) = monte_carlo(lambda *, rng: rng.random(1000) < 0.25, [{}], replicates=4, seed=0, engine=ALONE)
    stderr = np.sqrt(0.25 * 0.75 / 4000)
    assert abs(estimate.mean - 0.25) < 4 * stderr < abs(estimate.mean - 0.3)


def test_points_may_differ_in_shape_and_replicates_in_number():
    def sample(n, *, rng):
        return rng.standard_normal((rng.integers(1, 5), n))

    estimates = monte_carlo(sample, [{"n": 2}, {"n": 3}], replicates=5, seed=0, engine=ALONE)
    assert [estimate.mean.shape for estimate in estimates] == [(2,), (3,)]


def test_replicates_of_a_point_have_one_shape():
    def sample(n, *, rng):
        return rng.standard_normal((4, rng.integers(1, 3)))  # of shape (1,) or (2,), which numpy would broadcast

    with pytest.raises(ValueError, match=r"one shape, got \((1|2),\) and \((1|2),\) in replicate 0 and replicate \d+"):
        monte_carlo(sample, [{"n": 2}], replicates=20, seed=0, engine=ALONE)


@pytest.mark.parametrize(
    ("returned", "error", "message"),
    [
        (None, TypeError, "samples must be real numbers, got None"),
        ("1.5", TypeError, "samples must be real numbers"),
        ([1 + 2j], TypeError, "samples must be real numbers, got dtype complex"),
        ({"mean": 1.5}, TypeError, r"samples must be real numbers, got \{'mean': 1.5\}"),
        (np.ma.masked_array([1.0, 2.0], [True, False]), TypeError, "masked"),
        ([[1.0], [1.0, 2.0]], TypeError, "samples must be .*rows of different lengths"),
        (np.ones((0, 3)), ValueError, r"at least one sample, got an array of shape \(0, 3\)"),
    ],
)
def test_a_sample_is_of_real_numbers(returned, error, message):
    with pytest.raises(error, match=message):
        monte_carlo(lambda *, rng: returned, [{}], replicates=2, seed=0, engine=ALONE)


# --- arguments --------------------------------------------------------------------------------------------------------


def normal(scale, *, rng):
    return scale * rng.standard_normal((50, 2))


@pytest.mark.parametrize("sample", [3, "normal", None])
def test_a_sample_must_be_a_function(sample):
    with pytest.raises(TypeError, match="must be a function, got"):
        monte_carlo(sample, [POINT], replicates=1, seed=0)


@pytest.mark.parametrize("points", [POINT, ["scale"], [3], [{1: 2}]])
def test_points_must_be_dicts(points):
    with pytest.raises(TypeError, match="dict"):
        monte_carlo(normal, points, replicates=1, seed=0, engine=ALONE)


def test_a_seed_that_is_not_given_is_drawn_and_told():
    one, other = (monte_carlo(normal, [POINT], replicates=2, seed=None, engine=ALONE)[0] for _ in range(2))
    assert one.seed != other.seed and (one.mean != other.mean).all()
    (again,) = monte_carlo(normal, [POINT], replicates=2, seed=one.seed, engine=ALONE)
    assert again.mean.tobytes() == one.mean.tobytes() and again.to_dict() == one.to_dict()


@pytest.mark.parametrize("seed", [-1, 1.5, True, "1", np.random.default_rng(0), [1, 2]])
def test_a_seed_must_be_a_natural_number(seed):
    with pytest.raises((TypeError, ValueError), match="seed must be an integer ≥ 0, got"):
        monte_carlo(normal, [POINT], replicates=1, seed=seed, engine=ALONE)


def test_integers_of_numpy_are_integers():
    (estimate,) = monte_carlo(
        normal, [POINT], replicates=np.int64(2), seed=np.uint8(3), engine=Engine(jobs=np.int32(1))
    )
    (same,) = monte_carlo(normal, [POINT], replicates=2, seed=3, engine=ALONE)
    assert estimate.to_dict() == same.to_dict()


@pytest.mark.parametrize("jobs", [0, -3, 10**9, 2.5, "2", "all", True])
def test_jobs_must_be_in_range(jobs):
    with pytest.raises((TypeError, ValueError), match=f"^jobs must be an integer from 1 to 1024, got {jobs!r}$"):
        Engine(jobs=jobs)


@pytest.mark.parametrize("depths", [[3, 7], [0], [-1], [2.0], [True], [], [2, 2]])
def test_depths_are_those_of_the_network(depths):
    points = [{"network": Network.uniform(4, 5), "depths": depths, "n_networks": 2, "measure": np.shape}]
    with pytest.raises((TypeError, ValueError), match=r"depths? must be .*from 1 to 5, got"):
        sample_along_depth(**points[0], rng=0)


def test_results_of_samplers_are_taken_for_their_values():
    (estimate,) = monte_carlo(
        sample_vni, [{"network": Network((4, 4)), "n_networks": 9}], replicates=1, seed=0, engine=ALONE
    )
    assert estimate.count == 9
