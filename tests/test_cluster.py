"""Sweeps on a Dask cluster whose workers come late, leave, lack the package, and whose scheduler falls silent.

The quick tests have a cluster of threads in this process; for the slow ones each fault is caused on processes.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from rmt_vn.experiments import Engine, run
from rmt_vn.experiments.cluster import connected, outcomes

distributed = pytest.importorskip("dask.distributed")

ROOT = Path(__file__).parents[1]
STUDY = Path(__file__).with_name("cluster_study.py")

# Seconds within which a loss is to be told, and a new worker to be used.
TOLD = 10
USED = 5


# --- in this process --------------------------------------------------------------------------------------------------


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


# --- on processes -----------------------------------------------------------------------------------------------------

WITHOUT_THE_PACKAGE = """
import sys
from distributed.cli.dask_worker import main

class Without:
    def find_spec(self, name, path=None, target=None):
        if name == "rmt_vn":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Without())
main()
"""


class Processes:
    """A scheduler, its workers and those who ask them, each a process that writes what it says to a file."""

    def __init__(self, folder):
        self.folder, self.started = folder, []

    def start(self, name, *arguments):
        # Workers are given the package as they would be on a cluster: by an installation, or else by the path.
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        said, out = self.folder / f"{name}.said", self.folder / f"{name}.out"
        with said.open("a") as stderr, out.open("w") as stdout:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": path},
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        process.said, process.out = said, out
        self.started.append(process)
        return process

    def scheduler(self, port=0):
        file = self.folder / "scheduler.json"
        file.unlink(missing_ok=True)
        options = ["--host", "127.0.0.1", "--port", str(port), "--no-dashboard", "--scheduler-file", str(file)]
        process = self.start("scheduler", "-m", "distributed.cli.dask_scheduler", *options)

        def address():
            with contextlib.suppress(OSError, ValueError):
                return json.loads(file.read_text())["address"]

        self.address = until(address)
        return process

    def worker(self, name, *program):
        options = ["--no-nanny", "--no-dashboard", "--nthreads", "1", "--local-directory", str(self.folder)]
        program = program or ("-m", "distributed.cli.dask_worker")
        return self.start(name, *program, self.address, *options)

    def study(self, calls, seconds):
        return self.start("study", str(STUDY), self.address, str(calls), str(seconds))

    def end(self):
        for process in self.started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def until(condition, seconds=60):
    """What the condition gives, as soon as that is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)
    return found


def registered(worker):
    """Until the scheduler knows a worker; the time."""
    until(lambda: "Registered to" in worker.said.read_text())
    return time.time()


def at_work(processes, n_workers, calls, seconds):
    """The workers of a new scheduler, and a study that keeps them busy."""
    processes.scheduler()
    workers = [processes.worker(str(number)) for number in range(n_workers)]
    for worker in workers:
        registered(worker)
    study = processes.study(calls, seconds)
    until(lambda: " asks " in study.said.read_text())
    time.sleep(3)
    return workers, study


def told(study, what, *, since, within=TOLD):
    """Until a line of a study says something, no later than it must."""

    def line():
        for each in study.said.read_text().splitlines():
            if what in each:
                return each

    seconds = float(until(line).split()[0]) - since
    print(f"told after {seconds:.1f} s: {line()}")
    assert seconds < within, study.said.read_text()


def done(study, seconds=60):
    """When all is done, (process, time when it began) for each call."""
    assert study.wait(seconds) == 0, study.said.read_text()
    return [tuple(json.loads(line)) for line in study.out.read_text().splitlines()]


def failed(study, seconds=60):
    """The last line of a study that fails."""
    assert study.wait(seconds) == 1
    said = study.said.read_text()
    assert "Traceback" not in said
    return said.splitlines()[-1]


@pytest.fixture
def processes(tmp_path):
    started = Processes(tmp_path)
    yield started
    started.end()


@pytest.mark.slow
def test_workers_come_late_and_in_numbers_and_the_asking_process_does_nothing(processes):
    processes.scheduler()
    began = time.time()
    study = processes.study(150, 0.2)
    told(study, "study: there are no workers; waiting", since=began, within=30)  # it is started, and imports numpy
    workers = [processes.worker("first")]
    until(lambda: registered(workers[0]))
    workers += [processes.worker(name) for name in ("second", "third", "fourth")]
    since = {worker.pid: registered(worker) for worker in workers}
    calls = done(study)
    assert len(calls) == 150
    counts = {pid: sum(each == pid for each, _ in calls) for pid in since}
    firsts = {pid: min(when for each, when in calls if each == pid) - since[pid] for pid in since}
    print(
        f"calls of each worker {list(counts.values())}, the first after {[f'{each:.1f}' for each in firsts.values()]} s"
    )
    assert sum(counts.values()) == 150, "somebody else, the process that asks say, has done some"
    assert min(counts.values()) >= 10 and max(firsts.values()) < USED


@pytest.mark.slow
def test_lost_workers_are_told_and_replaced(processes):
    workers, study = at_work(processes, 2, 60, 0.2)
    workers[0].kill()
    told(study, "study: 1 of 2 workers are gone", since=time.time())
    workers[1].kill()
    killed = time.time()
    told(study, "study: 1 of 1 workers are gone", since=killed)
    told(study, "study: there are no workers; waiting", since=killed)
    third = processes.worker("third")
    registered(third)
    calls = done(study)
    assert len(calls) == 60 and third.pid in {pid for pid, _ in calls}


@pytest.mark.slow
def test_workers_that_are_cut_off_are_told(processes):
    """A process that is stopped keeps its connections, as a machine does that is cut off."""
    workers, study = at_work(processes, 2, 60, 0.4)
    workers[0].send_signal(signal.SIGSTOP)
    told(study, "study: 1 of 2 workers have been silent", since=time.time())
    workers[0].send_signal(signal.SIGCONT)
    assert len(done(study)) == 60
    assert study.said.read_text().count("silent") == 1


@pytest.mark.slow
def test_a_worker_without_the_package_is_told(processes):
    processes.scheduler()
    study = processes.study(5, 0.01)
    registered(processes.worker("bare", "-c", WITHOUT_THE_PACKAGE))
    since = time.time()
    line = failed(study)
    told(study, "study: a worker of the cluster lacks the package 'rmt_vn'; install there", since=since)
    assert "RuntimeError" in line
    assert study.said.read_text().count("\n") <= 3  # it asks; there were no workers; this


ANOTHER_NUMPY = """
import numpy
from distributed.cli.dask_worker import main
numpy.__version__ = "2.9.9"
main()
"""


@pytest.mark.slow
def test_a_worker_with_another_numpy_is_told(processes):
    processes.scheduler()
    study = processes.study(5, 0.01)
    processes.worker("another", "-c", ANOTHER_NUMPY)
    assert "RuntimeError a worker finds other code, other constants or another numpy" in failed(study)


@pytest.mark.slow
def test_a_call_that_ends_its_worker_is_told(processes, monkeypatch):
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "1")
    processes.scheduler()
    workers = [processes.worker(name) for name in ("first", "second", "third")]
    for worker in workers:
        registered(worker)
    assert "a call was tried 2 times, and its worker died each time (out of memory?)" in failed(processes.study(1, -1))


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_scheduler_that_is_gone_is_told(processes, how):
    _, study = at_work(processes, 1, 1000, 0.1)
    processes.started[0].send_signal(how)
    since = time.time()
    told(study, "study: the connection to the scheduler is lost; trying to connect again", since=since)
    assert "SchedulerGone study: the scheduler is gone, and with it the cluster" in failed(study)


@pytest.mark.slow
def test_a_scheduler_that_is_started_again_is_found(processes):
    scheduler = processes.scheduler()
    study = processes.study(20, 0.1)
    told(study, "there are no workers", since=0, within=float("inf"))
    scheduler.kill()
    scheduler.wait()
    processes.scheduler(port=processes.address.rpartition(":")[2])
    worker = processes.worker("first")
    assert {pid for pid, _ in done(study)} == {worker.pid}
    assert "the connection to the scheduler was lost; going on" in study.said.read_text()


@pytest.mark.slow
def test_a_scheduler_that_falls_silent_is_told_and_waited_for(processes):
    _, study = at_work(processes, 1, 40, 0.2)
    scheduler = processes.started[0]
    scheduler.send_signal(signal.SIGSTOP)
    told(study, "study: the scheduler does not answer; waiting", since=time.time())
    scheduler.send_signal(signal.SIGCONT)
    assert len(done(study)) == 40


# --- where there is no scheduler --------------------------------------------------------------------------------------


@contextlib.contextmanager
def listening(answer=None):
    """A port that accepts connections and says nothing, or always the same."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        accepted = []

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    accepted.append(server.accept()[0])
                    if answer is not None:
                        accepted[-1].sendall(answer)

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        for each in accepted:
            each.close()


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("nonsense://x", "unknown address scheme 'nonsense'"),
        ("", "missing port number"),
        ("tls://127.0.0.1:9", "TLS"),
        pytest.param("tcp://127.0.0.1:9", "Timed out trying to connect", marks=pytest.mark.slow),
    ],
)
def test_an_address_without_a_scheduler(address, says):
    since = time.monotonic()
    with pytest.raises(ConnectionError, match=says) as caught:
        connected(address)
    assert "\n" not in str(caught.value) and time.monotonic() - since < TOLD


@pytest.mark.slow
@pytest.mark.parametrize("answer", [None, b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x01\0\0\0\0\0\0\0" * 40, b"\0" * 400])
def test_a_port_where_something_else_listens(answer):
    since = time.monotonic()
    with (
        listening(answer) as port,
        pytest.raises(ConnectionError, match=r"^what listens there does not .* as a Dask scheduler does$"),
    ):
        connected(f"tcp://127.0.0.1:{port}")
    assert time.monotonic() - since < TOLD


@pytest.mark.slow
def test_the_figures_command_where_something_else_listens(processes):
    since = time.time()
    with listening() as port:
        process = processes.start("figures", "-m", "rmt_vn.figures", "--scheduler", f"tcp://127.0.0.1:{port}")
        assert process.wait(60) == 2
    said = process.said.read_text()
    print(f"after {time.time() - since:.1f} s: {said}")
    assert said.count("\n") == 1 and "does not answer as a Dask scheduler does" in said


@pytest.mark.slow
def test_the_figures_command_ends_with_its_scheduler(processes, monkeypatch):
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT", "5")  # as long as it tries to connect again
    scheduler = processes.scheduler()
    figures = processes.start("figures", "-m", "rmt_vn.figures", "--scheduler", processes.address, "--no-cache")
    until(lambda: "there are no workers" in figures.said.read_text())
    scheduler.kill()
    assert figures.wait(60) == 1
    last = figures.said.read_text().splitlines()[-1]
    assert (
        last
        == "node_correlation: the scheduler is gone, and with it the cluster; finished figures are in figures/quick"
    )
    assert "Traceback" not in figures.said.read_text()
