"""Many calls of one function: over processes or a cluster, each result kept as soon as it is there."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from functools import cache
from math import inf
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from rmt_vn.checks import checked_count
from rmt_vn.experiments import cluster, processes
from rmt_vn.experiments.cache import Numbers, is_kept, keep, recall, usable_folder
from rmt_vn.experiments.calls import Lost, Raised
from rmt_vn.experiments.fingerprint import Memo, fingerprint
from rmt_vn.whole_files import staging_folder

# How often in a row workers may be lost without a single new result.
_FRUITLESS = 3
_MOST_JOBS = 1024
# In a worker, where code does not change: the fingerprints of functions seen before.
_MEMO: Memo = {}
# Functions that are sent by value are others each time.
_MEMO_SIZE = 100


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
        A cluster to work on instead of this machine. Its workers may come later, and come and go: a warning tells of
        those that are lost, and of waiting where there are none.
    patience : float
        Seconds to wait for a cluster that has no workers, or whose scheduler does not answer; by default for ever.

    Raises
    ------
    ValueError
        If `jobs` is not an integer from 1 to 1024, or `patience` not a positive number.
    """

    jobs: int | None = None
    cache: str | Path | None = None
    client: Any = None
    patience: float = inf

    def __post_init__(self) -> None:
        if self.jobs is not None:
            checked_count("jobs", self.jobs, most=_MOST_JOBS)
        if not (isinstance(self.patience, Real) and self.patience > 0):
            raise ValueError(f"patience must be a positive number of seconds, got {self.patience!r}")


def run(
    function: Callable[..., Numbers], tasks: Sequence[Mapping[str, Any]], *, engine: Engine, label: str = "sweep"
) -> Iterator[Numbers]:
    """Compute function(**task) for every task, and yield the results in the order of the tasks.

    Every result is kept as soon as it is computed, under a key made of the task, of the code that it depends on and of
    the versions of numpy and scipy; what was kept before is not computed again. Only a few results are in memory at a
    time; on a cluster at most 100, and four more for each of its threads. BLAS rounds differently on one thread and on
    two, so it always has one thread here: the numbers depend neither on the number of processes nor on the cores of the
    machine.

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
    Exception
        What the function raises, with its traceback in the worker. Where the error cannot be unpickled, it is a
        RuntimeError with the same words.
    OSError
        If results cannot be kept, for example because the disk is full; those kept before remain.
    RuntimeError
        If workers are killed again and again, usually because memory is short, or lack a package.
    ConnectionError
        If the scheduler of a cluster is gone.
    TimeoutError
        If nobody has worked on a cluster for longer than `engine.patience`.
    """
    with _folder_of(engine) as folder:
        memo: Memo = {}
        _MEMO.clear()  # for the case that the work is done in this process
        keys = [_key(function, task, memo) for task in tasks]
        _compute_missing(function, tasks, keys, folder, engine, label)
        for task, key in zip(tasks, keys, strict=True):
            result = recall(folder, key)
            if result is None:  # damaged, or somebody has emptied the cache in the meantime
                ((_, result),) = _results(function, [(0, key, task)], engine, label)
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
    with bar:
        while missing:
            before = len(missing)
            # Checked again, since another run on the same cache may have been faster.
            asked = ((index, keys[index], tasks[index]) for index in missing if not is_kept(folder, keys[index]))
            try:
                with closing(_results(function, asked, engine, label)) as results:
                    for index, result in results:
                        keep(folder, keys[index], result)
                        bar.update()
            except Lost as lost:
                missing = [index for index in missing if not is_kept(folder, keys[index])]
                fruitless = fruitless + 1 if len(missing) == before else 0
                if fruitless == _FRUITLESS:
                    raise RuntimeError(f"{label}: {lost}, {fruitless} times in a row (out of memory?)") from None
                warnings.warn(f"{label}: {lost}; going on", stacklevel=2)
            else:
                missing = []


def _results(
    function: Callable[..., Numbers],
    asked: Iterable[tuple[int, str, Mapping[str, Any]]],
    engine: Engine,
    label: str,
) -> Generator[tuple[int, Numbers]]:
    """Index and result for each index, key and task, as they come."""
    calls = ((index, key, function, task) for index, key, task in asked)
    if engine.client is None:
        outcomes = processes.outcomes(engine.jobs, _call, calls, label=label)
    else:
        outcomes = cluster.outcomes(engine.client, _call, calls, label=label, patience=engine.patience)
    with closing(outcomes):
        for index, outcome in outcomes:
            if isinstance(outcome, Raised):
                raise outcome.error
            yield index, outcome


def _key(function: Callable[..., Numbers], task: Mapping[str, Any], memo: Memo) -> str:
    return fingerprint([np.__version__, scipy.__version__, function, dict(task)], memo)


def _call(
    index: int, key: str, function: Callable[..., Numbers], task: Mapping[str, Any]
) -> tuple[int, Numbers | Raised]:
    """One task, computed by a worker."""
    global _MEMO
    _one_blas_thread()
    if len(_MEMO) > _MEMO_SIZE:
        _MEMO = {}  # a new one, since other threads may be reading
    try:
        if _key(function, task, _MEMO) != key:
            raise RuntimeError(
                "a worker finds other code, other constants or another numpy or scipy than the process that asks it: "
                "install the same there, and let no function change a global variable"
            )
        return index, function(**task)
    except (Exception, SystemExit) as error:
        return index, Raised(error)


@cache
def _one_blas_thread() -> None:
    """Limit BLAS to one thread for the whole process: workers may run several tasks at a time, so it is not undone."""
    threadpool_limits(1)


def _folder_of(engine: Engine) -> AbstractContextManager[Path]:
    if engine.cache is not None:
        return nullcontext(usable_folder(Path(engine.cache)))
    return staging_folder(Path(tempfile.gettempdir()))
