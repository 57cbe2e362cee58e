"""Sweeps of any function: what is swept, and what is refused in a line that helps."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from kinds_of_functions import KINDS, PREAMBLE, in_notebook

from rmt_vn.experiments import Engine, monte_carlo, stop_workers
from rmt_vn.experiments.fingerprint import fingerprint
from rmt_vn.experiments.sweeps import name_of

POINT = {"scale": 2.0}
ALONE = Engine(jobs=1)


@pytest.fixture(scope="module")
def in_module(tmp_path_factory):
    """Define a function in a file of its own, which the worker processes can import."""
    folder = tmp_path_factory.mktemp("modules")
    stop_workers()  # those that are started now know the folder
    sys.path.insert(0, str(folder))

    def define(kind):
        name = f"kind_{list(KINDS).index(kind)}"
        (folder / f"{name}.py").write_text(PREAMBLE + KINDS[kind].source + "\n")
        return importlib.import_module(name).sample

    yield define
    stop_workers()
    sys.path.remove(str(folder))


def swept(sample):
    """The mean over two replicates, computed by two processes that check the key; refused or right."""
    (estimate,) = monte_carlo(sample, [POINT], replicates=2, seed=5, engine=Engine(jobs=2))
    seeds = [np.random.SeedSequence(5, spawn_key=(*name_of(POINT), replicate)) for replicate in range(2)]
    alone = np.concatenate([sample(rng=np.random.default_rng(seed), **POINT) for seed in seeds])
    np.testing.assert_allclose(estimate.mean, alone.mean(axis=0), rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["in_notebook", "in_module"])
def test_a_function_is_swept_or_refused_in_a_line_that_helps(kind, place, in_module):
    sample = in_notebook(KINDS[kind].source) if place == "in_notebook" else in_module(kind)
    refused = getattr(KINDS[kind], place)
    if refused is None:
        before = fingerprint(sample)
        swept(sample)
        assert fingerprint(sample) == before  # calls leave no trace
        return
    with pytest.raises(TypeError, match=refused) as error:
        swept(sample)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


@pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if kind.in_module is None])
def test_a_change_of_a_function_of_any_kind_is_seen(kind):
    source, (old, new) = KINDS[kind].source, KINDS[kind].change
    assert source.count(old) == 1
    key = fingerprint(in_notebook(source))
    assert fingerprint(in_notebook(source)) == key
    assert fingerprint(in_notebook(source.replace(old, new))) != key


def test_the_key_of_every_kind_is_the_same_in_every_process():
    def key(source):
        try:
            return fingerprint(in_notebook(source))
        except TypeError:
            return "refused"

    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("kinds_of_functions.py")],
        env=os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [key(kind.source) for kind in KINDS.values()]
