"""Sweeps on a Dask cluster of threads in this process."""

import threading
import time

import numpy as np
import pytest
from cluster_processes import until

from rmt_vn.experiments import Engine, run
from rmt_vn.experiments.cluster import outcomes

distributed = pytest.importorskip("dask.distributed")


@pytest.fixture(scope="module")
def started():
    with (
        distributed.LocalCluster(
            n_workers=0, threads_per_worker=1, processes=False, dashboard_address=None, protocol="tcp"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield cluster, client


@pytest.fixture
def cluster(started):
    """A cluster without workers, and its client."""
    yield started
    started[0].scale(0)
    until(lambda: not started[1].ncores())


@pytest.fixture
def client(cluster):
    """The client of one worker."""
    cluster[0].scale(1)
    cluster[1].wait_for_workers(1)
    return cluster[1]


def indices(number):
    return [{"index": index} for index in range(number)]


def where(index, grown):
    while not grown.exists():
        time.sleep(0.01)
    time.sleep(0.05)
    return {"index": np.array(index), "thread": np.array(threading.current_thread().name)}


def test_a_cluster_that_starts_empty_and_grows(cluster, tmp_path):
    """README's example. The first worker has its hands full when the others come: it must leave them something."""
    growing_cluster, client = cluster
    grown = tmp_path / "grown"

    def grow():
        time.sleep(0.2)
        for workers in (1, 3):
            growing_cluster.scale(workers)
            client.wait_for_workers(workers)
        grown.touch()

    growing = threading.Thread(target=grow)
    with pytest.warns(UserWarning, match="sweep: there are no workers; waiting") as told:
        growing.start()
        tasks = [{"index": index, "grown": grown} for index in range(30)]
        results = list(run(where, tasks, engine=Engine(client=client, cache=tmp_path / "sweeps")))
    growing.join()
    assert len(told) == 1
    assert [int(each["index"]) for each in results] == list(range(30))
    threads = [str(each["thread"]) for each in results]
    assert len(set(threads)) == 3 and all("Dask" in name for name in threads), threads
    assert min(map(threads.count, threads)) >= 4, threads


def test_patience_ends_and_few_calls_are_in_hand_at_a_time(cluster):
    asked = iter(range(10**6))
    with (
        pytest.warns(UserWarning, match="there are no workers; waiting"),
        pytest.raises(TimeoutError, match=r"^sweep: there are no workers, for \d s$"),
    ):
        list(outcomes(cluster[1], abs, ((index,) for index in asked), label="sweep", patience=0.5))
    assert 10 <= next(asked) <= 1000


@pytest.mark.parametrize("patience", [0, -1, float("nan"), None])
def test_patience_is_positive(patience):
    with pytest.raises(ValueError, match=f"positive number of seconds, got {patience}"):
        Engine(patience=patience)


def test_an_address_is_no_client():
    with pytest.raises(TypeError, match=r"must be a dask.distributed.Client, got 'tcp://"):
        list(run(where, indices(1), engine=Engine(client="tcp://127.0.0.1:8786")))


class NeedsTwo(Exception):
    """pickle.loads calls it with one argument."""

    def __init__(self, what, value):
        super().__init__(f"no {what} at {value}")


class HoldsALock(Exception):
    def __init__(self):
        super().__init__("locked")
        self.lock = threading.Lock()


def _needs_two(index):
    raise NeedsTwo("value", index)


def _holds_a_lock(index):
    raise HoldsALock


def _arithmetic(index):
    raise ArithmeticError(f"no value at {index}")


@pytest.fixture(params=["one process", "two", "cluster"])
def engine(request):
    if request.param == "cluster":
        return Engine(client=request.getfixturevalue("client"))
    return Engine(jobs=1 if request.param == "one process" else 2)


@pytest.mark.parametrize(
    ("function", "says"),
    [(_needs_two, "no value at 0"), (_holds_a_lock, "locked"), (_arithmetic, "no value at 0")],
)
def test_an_error_of_any_kind_is_told_with_its_traceback(function, says, engine):
    with pytest.raises(Exception, match=says) as caught:
        list(run(function, indices(1), engine=engine))
    shown = "".join([str(caught.getrepr()), *getattr(caught.value, "__notes__", [])])
    assert f"in {function.__name__}" in shown or f"def {function.__name__}" in shown
    if function is _arithmetic:
        assert type(caught.value) is ArithmeticError and str(caught.value) == says
    elif engine.jobs == 1:
        assert type(caught.value) in (NeedsTwo, HoldsALock)
    else:
        assert type(caught.value) is RuntimeError and says in str(caught.value)
        assert type(caught.value.__cause__ or caught.value) is RuntimeError


def _a_lock(index):
    return {"lock": threading.Lock()}


def test_results_that_cannot_be_sent_are_told(client):
    with pytest.raises(RuntimeError, match=r"^sweep: .*cannot pickle '_thread.lock' object"):
        list(run(_a_lock, indices(1), engine=Engine(client=client)))
