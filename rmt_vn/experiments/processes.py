"""Calls in worker processes on this machine."""

from __future__ import annotations

import multiprocessing.resource_tracker
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import BrokenExecutor
from contextlib import closing, contextmanager
from typing import Any

import joblib.externals.loky.backend.resource_tracker
from joblib import Parallel, cpu_count, delayed, parallel_config
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError
from threadpoolctl import threadpool_limits

from rmt_vn.experiments.calls import Lost


def outcomes(
    jobs: int | None, call: Callable[..., Any], arguments: Iterable[tuple[Any, ...]], *, label: str
) -> Generator[Any]:
    """Yield call(*each) for each of the arguments, in the order in which they are done.

    Parameters
    ----------
    jobs : int or None
        Number of processes, by default one for each core; one alone is this process.
    call : callable
    arguments : iterable of tuple
    label : str
        The beginning of all that is told.

    Raises
    ------
    Lost
        If a worker process was killed, and with it all that was in hand; there will be others.
    RuntimeError
        If what is sent to a worker, or what it sends, cannot be unpickled.
    """
    calls = (delayed(call)(*each) for each in arguments)
    try:
        with (
            _workers(cpu_count() if jobs is None else jobs),
            warnings.catch_warnings(),
            closing(_begun(calls)) as results,
        ):
            # A user who interrupts knows that tasks are cut short.
            warnings.filterwarnings("ignore", r"\d+ tasks", UserWarning, "joblib")
            yield from results
    except TerminatedWorkerError as error:
        raise Lost("a worker process was killed") from error
    except BrokenExecutor as error:
        raise RuntimeError(f"{label}: {error}") from error


def _begun(calls: Iterator[Any]) -> Generator[Any, None, None]:
    """The results of calls, as they come; the workers are started before this returns.

    They inherit that interrupts are blocked: one that came while they import what they need would be a traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):
        return Parallel(return_as="generator_unordered", batch_size=1)(calls)
    # Whoever starts one of these two unblocks interrupts.
    multiprocessing.resource_tracker.ensure_running()
    joblib.externals.loky.backend.resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return Parallel(return_as="generator_unordered", batch_size=1)(calls)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _workers(jobs: int) -> Iterator[None]:
    local = parallel_config(
        "loky", n_jobs=jobs, inner_max_num_threads=1, initializer=_end_with, initargs=(os.getpid(),)
    )
    with threadpool_limits(1), _quiet_tracker(), local:
        yield


@contextmanager
def _quiet_tracker() -> Iterator[None]:
    """No warnings by the process that cleans up what killed workers leave behind: whoever interrupts knows of them.

    It is started with the warning options of this process.
    """
    option = "ignore:resource_tracker:UserWarning"
    sys.warnoptions.append(option)
    try:
        yield
    finally:
        sys.warnoptions.remove(option)


def _end_with(parent: int) -> None:
    """In a worker: leave interrupts to the process that started it, and end as soon as that process has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch():
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def stop_workers() -> None:
    """End the worker processes that wait for more work; otherwise they end soon after the program does."""
    get_reusable_executor().shutdown(wait=True, kill_workers=True)
