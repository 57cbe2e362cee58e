"""A scheduler, its workers and those who ask them as processes, on which the faults of a cluster are caused."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
STUDY = Path(__file__).with_name("cluster_study.py")

# Seconds within which a loss is to be told.
TOLD = 10


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
