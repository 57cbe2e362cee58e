"""Many calls of one function: over processes or a cluster, each result kept as soon as it is there."""

from __future__ import annotations

import multiprocessing.resource_tracker
import os
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import joblib.externals.loky.backend.resource_tracker
import numpy as np
import scipy
from joblib import Parallel, cpu_count, delayed, parallel_config
from joblib.externals.loky import get_reusable_executor
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from rmt_vn.checks import checked_count
from rmt_vn.experiments.cache import Numbers, is_kept, keep, recall, usable_folder
from rmt_vn.experiments.fingerprint import Memo, fingerprint
from rmt_vn.whole_files import staging_folder

# How often in a row all workers may be lost without a single new result.
_PATIENCE = 3
_MOST_JOBS = 1024
# In a worker, where code does not change: the fingerprints of functions seen before.
_MEMO: Memo = {}


@dataclass(frozen=True)
class Engine:
    """Where work is done and where results are kept.

    Parameters
    ----------
    jobs : int, optional
        Number of processes on this machine; by default one for each core.
    cache : path, optional
        Folder where results are kept, so that an interrupted run goes on where it stopped and nothing is computed
        twice. By default they are forgotten at the end of the run. Numbers found there are taken for true: whoever may
        write to the folder may read what others have kept there, so share it with people whom you trust. In place of a
        folder of somebody else that you cannot write to your own is used, with a warning.
    client : dask.distributed.Client, optional
        A cluster to work on instead of this machine.

    Raises
    ------
    ValueError
        If `jobs` is not an integer from 1 to 1024.
    """

    jobs: int | None = None
    cache: str | Path | None = None
    client: Any = None

    def __post_init__(self) -> None:
        if self.jobs is not None:
            checked_count("jobs", self.jobs, most=_MOST_JOBS)


def run(
    function: Callable[..., Numbers], tasks: Sequence[Mapping[str, Any]], *, engine: Engine, label: str = "sweep"
) -> Iterator[Numbers]:
    """Compute function(**task) for every task, and yield the results in the order of the tasks.

    Every result is kept as soon as it is computed, under a key made of the task, of the code that it depends on and of
    the versions of numpy and scipy; what was kept before is not computed again. Only a few results are in memory at a
    time. BLAS rounds differently on one thread and on two, so it always has one thread here: the numbers depend neither
    on the number of processes nor on the cores of the machine.

    Parameters
    ----------
    function : callable
        It returns a dict of arrays of numbers, and must depend on its arguments alone.
    tasks : sequence of dict
        Its arguments; random numbers come from seeds that are among them.
    engine : Engine
    label : str
        For the progress bar, which is shown on terminals only.

    Yields
    ------
    dict of ndarray

    Raises
    ------
    OSError
        If results cannot be kept, for example because the disk is full; those kept before remain.
    RuntimeError
        If worker processes are killed again and again, usually because memory is short.
    """
    with _folder_of(engine) as folder:
        memo: Memo = {}
        _MEMO.clear()  # for the case that the work is done in this process
        keys = [_key(function, task, memo) for task in tasks]
        _compute_missing(function, tasks, keys, folder, engine, label)
        for task, key in zip(tasks, keys, strict=True):
            result = recall(folder, key)
            if result is None:  # damaged, or somebody has emptied the cache in the meantime
                with threadpool_limits(1):
                    result = function(**task)
                keep(folder, key, result)
            yield result


def _compute_missing(
    function: Callable[..., Numbers],
    tasks: Sequence[Mapping[str, Any]],
    keys: Sequence[str],
    folder: Path,
    engine: Engine,
    label: str,
) -> None:
    """Keep the results of all tasks that are not kept yet."""
    missing = [index for index, key in enumerate(keys) if not is_kept(folder, key)]
    # In random order: the mean time of a chunk then soon predicts the time that is left, and two runs on one cache
    # share the work instead of doing the same.
    np.random.default_rng().shuffle(missing)
    fruitless = 0
    # Smoothing 0 is the mean over this run; what earlier runs have kept does not count as work done.
    bar = tqdm(total=len(keys), initial=len(keys) - len(missing), desc=label, smoothing=0, leave=False, disable=None)
    with bar, _workers(engine):
        while missing:
            before = len(missing)
            try:
                # Checked again, since another run on the same cache may have been faster.
                waiting = (index for index in missing if not is_kept(folder, keys[index]))
                calls = (delayed(_call)(index, keys[index], function, tasks[index]) for index in waiting)
                with (
                    warnings.catch_warnings(),
                    closing(_begun(calls)) as results,
                ):
                    # A user who interrupts knows that tasks are cut short.
                    warnings.filterwarnings("ignore", r"\d+ tasks", UserWarning, "joblib")
                    for index, result in results:
                        keep(folder, keys[index], result)
                        bar.update()
            except BrokenExecutor:
                warnings.warn(f"{label}: a worker process was killed; going on with a new one", stacklevel=2)
            missing = [index for index in missing if not is_kept(folder, keys[index])]
            fruitless = fruitless + 1 if len(missing) == before else 0
            if fruitless == _PATIENCE:
                raise RuntimeError(f"{label}: worker processes were killed {fruitless} times in a row (out of memory?)")


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


def _key(function: Callable[..., Numbers], task: Mapping[str, Any], memo: Memo) -> str:
    return fingerprint([np.__version__, scipy.__version__, function, dict(task)], memo)


def _call(index: int, key: str, function: Callable[..., Numbers], task: Mapping[str, Any]) -> tuple[int, Numbers]:
    """One task, computed and kept by a worker."""
    _one_blas_thread()
    if _key(function, task, _MEMO) != key:
        raise RuntimeError(
            "a worker finds other code, other constants or another numpy or scipy than the process that asks it: "
            "install the same there, and let no function change a global variable"
        )
    return index, function(**task)


@cache
def _one_blas_thread() -> None:
    """Limit BLAS to one thread for the whole process: workers may run several tasks at a time, so it is not undone."""
    threadpool_limits(1)


def _folder_of(engine: Engine) -> AbstractContextManager[Path]:
    if engine.cache is not None:
        return nullcontext(usable_folder(Path(engine.cache)))
    return staging_folder(Path(tempfile.gettempdir()))


@contextmanager
def _workers(engine: Engine) -> Iterator[None]:
    if engine.client is not None:
        with parallel_config("dask", client=engine.client):
            yield
        return
    jobs = cpu_count() if engine.jobs is None else engine.jobs
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
