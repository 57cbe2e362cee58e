"""Parameters to results: Monte Carlo over a grid of points, in parallel, with the same numbers however it is run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import Parallel, cpu_count, delayed, parallel_config
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from rmt_vn.network import Network
from rmt_vn.samplers import JacobianLayer, walk_jacobian

Point = dict[str, Any]


@dataclass(frozen=True)
class Estimate:
    """Means over independent samples at one point of a sweep.

    Attributes
    ----------
    point : dict
        The parameters.
    mean, stderr : ndarray
        Of the shape of one sample.
    count : int
        Number of independent samples.
    """

    point: Point
    mean: np.ndarray
    stderr: np.ndarray
    count: int


def monte_carlo(
    sample: Callable[..., np.ndarray],
    points: Sequence[Point],
    *,
    replicates: int,
    seed: int,
    jobs: int | None = None,
    label: str = "",
) -> list[Estimate]:
    """Estimate E sample(**point) at every point.

    Parameters
    ----------
    sample : callable
        sample(rng=…, **point) → array whose first axis runs over independent samples. Defined at the top level of a
        module, so that another process can find it.
    points : sequence of dict
        Parameters with a `repr` that tells them apart: numbers, strings, tuples, `Network`.
    replicates : int
        Calls of `sample` for each point, each with a seed of its own.
    seed : int
    jobs, label
        As in `run`.

    Returns
    -------
    list of Estimate
        In the order of the points; for one seed the same numbers bit by bit, whatever `jobs` is.
    """
    tasks = [
        {"sample": sample, "point": point, "seed": _seed_of(point, replicate, seed)}
        for point in points
        for replicate in range(replicates)
    ]
    moments = run(_moments, tasks, jobs=jobs, label=label)
    grouped = (moments[start : start + replicates] for start in range(0, len(moments), replicates))
    return [_merged(point, group) for point, group in zip(points, grouped, strict=True)]


def run(function: Callable[..., Any], tasks: Sequence[Point], *, jobs: int | None = None, label: str = "") -> list[Any]:
    """function(**task) for every task, in their order, over processes, with BLAS on one thread.

    BLAS rounds differently on one thread and on two; on one thread everywhere, the numbers do not depend on `jobs`.

    Parameters
    ----------
    function : callable
        Defined at the top level of a module.
    tasks : sequence of dict
    jobs : int, optional
        Number of processes; by default one for each core.
    label : str
        For the progress bar, which is shown on terminals only.

    Raises
    ------
    ValueError
        If `jobs` is not a positive integer.
    """
    jobs = cpu_count() if jobs is None else jobs
    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1:
        raise ValueError(f"jobs must be an integer ≥ 1, got {jobs!r}")
    calls = (delayed(function)(**task) for task in tasks)
    with threadpool_limits(1), parallel_config("loky", n_jobs=jobs, inner_max_num_threads=1):
        results = Parallel(return_as="generator")(calls)
        return list(tqdm(results, total=len(tasks), desc=label, leave=False, disable=None))


def along_depth(
    network: Network,
    depths: Sequence[int],
    n_samples: int,
    *,
    measure: Callable[[JacobianLayer], np.ndarray],
    rng: np.random.Generator,
) -> np.ndarray:
    """measure(layer) at some depths of the same random networks, to be used as a `sample` of `monte_carlo`.

    Returns
    -------
    ndarray, shape (n_samples, len(depths), …)
        In the order of increasing depth.
    """
    layers = enumerate(walk_jacobian(network, n_samples, rng=rng), start=1)
    wanted = set(depths)
    return np.stack([measure(layer) for depth, layer in layers if depth in wanted], axis=1)


def _seed_of(point: Point, replicate: int, seed: int) -> np.random.SeedSequence:
    """The child of the base seed that belongs to one replicate of one point.

    It depends on nothing else: a larger grid, more replicates or another order of work change no number that was there.
    """
    digest = hashlib.sha256(repr(sorted(point.items())).encode()).digest()
    return np.random.SeedSequence(seed, spawn_key=(*np.frombuffer(digest, dtype="<u4").tolist(), replicate))


def _moments(sample: Callable[..., np.ndarray], point: Point, seed: np.random.SeedSequence) -> tuple:
    values = np.asarray(sample(rng=np.random.default_rng(seed), **point), dtype=float)
    mean = values.mean(axis=0)
    return len(values), mean, np.sum((values - mean) ** 2, axis=0)


def _merged(point: Point, moments: Sequence[tuple]) -> Estimate:
    """Pool counts, means and sums of squared deviations (Chan, Golub & LeVeque 1983)."""
    count, mean, squares = moments[0]
    for more, other_mean, other_squares in moments[1:]:
        total, shift = count + more, other_mean - mean
        mean = mean + shift * more / total
        squares = squares + other_squares + shift**2 * count * more / total
        count = total
    return Estimate(point, mean, np.sqrt(squares / (count - 1) / count), count)
