"""Sweeps on a cluster of processes: workers come late, leave, fall silent or lack the package; schedulers end.

Each fault is caused, and what is told of it must be told within seconds.
"""

import contextlib
import signal
import socket
import threading
import time

import pytest
from cluster_processes import TOLD, Processes, at_work, done, failed, registered, told, until

from rmt_vn.experiments.cluster import connected

pytest.importorskip("dask.distributed")

# Seconds within which a new worker is to be used.
USED = 5

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
