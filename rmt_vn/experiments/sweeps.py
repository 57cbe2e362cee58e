"""Monte Carlo over a grid of points: means, standard errors and counts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rmt_vn.checks import checked_count
from rmt_vn.experiments.cache import Numbers
from rmt_vn.experiments.engine import Engine, run
from rmt_vn.network import Network
from rmt_vn.results import ConfidenceInterval, Result, student_interval

Point = dict[str, Any]

# Seeds are made from the names of parameters. Every number that was ever drawn depends on them, so the names of the
# first committed figures are kept here, whatever the parameters are called today.
_SEED_NAMES = {"n_networks": "n_samples"}


@dataclass(frozen=True, eq=False, repr=False)
class Estimate(Result):
    """Means over independent samples at one point of a sweep.

    Attributes
    ----------
    point : dict
        The parameters.
    mean, stderr : ndarray
        Of the shape of one sample; the standard error of a single sample is NaN.
    count : int
        Number of independent samples.
    """

    point: Point
    mean: np.ndarray
    stderr: np.ndarray
    count: int

    def confidence_interval(self, level: float = 0.95) -> ConfidenceInterval:
        """A confidence interval of the means, by Student's t.

        Raises
        ------
        ValueError
            If the level is not between 0 and 1.
        """
        return student_interval(self.mean, self.stderr, self.count - 1, level)


def monte_carlo(
    sample: Callable[..., Any],
    points: Sequence[Point],
    *,
    replicates: int,
    seed: int,
    engine: Engine | None = None,
    label: str = "sweep",
) -> list[Estimate]:
    """Estimate the mean of sample(**point) at every point of a grid.

    The seed of each replicate depends on `seed`, on the parameters of the point and on the number of the replicate, and
    on nothing else. So a larger grid or another order changes no number that was there before; and with more replicates
    those computed before are used again, if `engine` keeps results.

    Parameters
    ----------
    sample : callable
        sample(rng=…, **point) → array whose first axis runs over independent samples, or a result of
        `rmt_vn.samplers`, whose `values` they are.
    points : sequence of dict
        Parameters with a `repr` that tells them apart: numbers, strings, tuples, `Network`.
    replicates : int
        Calls of `sample` for each point; each is one chunk of work, for which some seconds are a good length.
    seed : int
    engine : Engine, optional
        Where the work is done and results are kept; by default all cores of this machine, and nothing is kept.
    label : str
        For the progress bar, which is shown on terminals only.

    Returns
    -------
    list of Estimate
        In the order of the points; for one seed the same numbers bit by bit, wherever they are computed.

    Raises
    ------
    ValueError
        If `replicates` is not a positive integer, or the `repr` of a point differs from process to process.

    Examples
    --------
    >>> from rmt_vn import Network
    >>> from rmt_vn.samplers import sample_vni
    >>> points = [{"network": Network.uniform(20, depth, activation="linear"), "n_networks": 500} for depth in (5, 10)]
    >>> estimates = monte_carlo(sample_vni, points, replicates=2, seed=0, engine=Engine(jobs=1))
    >>> [estimate.count for estimate in estimates]
    [1000, 1000]
    """
    replicates = checked_count("replicates", replicates)
    chunks = _Chunks(sample, points, replicates, seed)
    pooled: list[Numbers] = []
    for index, moments in enumerate(run(_moments, chunks, engine=engine or Engine(), label=label)):
        if index < len(points):
            pooled.append(moments)
        else:
            pooled[index % len(points)] = _merged(pooled[index % len(points)], moments)
    return [_estimate(point, moments) for point, moments in zip(points, pooled, strict=True)]


def tidy(estimates: Sequence[Estimate]) -> dict[str, np.ndarray]:
    """One row for each point and component, as columns of equal length: `pandas.DataFrame(tidy(estimates))`.

    Parameters
    ----------
    estimates : sequence of Estimate
        All with the same parameters.

    Returns
    -------
    dict of ndarray
        The parameters (a network as its width, depth, activation, weights, sigma_w and sigma_b), `component` if a
        sample has more than one number (the index in the flattened sample), `mean`, `stderr`, `count`.
    """
    rows = []
    for estimate in estimates:
        point = {key: value for name, given in estimate.point.items() for key, value in _columns(name, given).items()}
        for component, (mean, stderr) in enumerate(zip(estimate.mean.flat, estimate.stderr.flat, strict=True)):
            which = {"component": component} if estimate.mean.ndim else {}
            rows.append(point | which | {"mean": mean, "stderr": stderr, "count": estimate.count})
    return {name: np.array([row[name] for row in rows]) for name in (rows[0] if rows else ())}


class _Chunks(Sequence):
    """The arguments of `_moments` for every replicate of every point, made when asked for: there may be millions."""

    def __init__(self, sample: Callable[..., Any], points: Sequence[Point], replicates: int, seed: int):
        self._sample, self._points, self._replicates, self._seed = sample, points, replicates, seed
        self._names = [name_of(point) for point in points]

    def __len__(self) -> int:
        return self._replicates * len(self._points)

    def __getitem__(self, index: int) -> Point:  # type: ignore[override]
        if not 0 <= index < len(self):
            raise IndexError(index)
        replicate, at = divmod(index, len(self._points))
        seed = np.random.SeedSequence(self._seed, spawn_key=(*self._names[at], replicate))
        return {"sample": self._sample, "point": self._points[at], "seed": seed}


def name_of(point: Point) -> tuple[int, ...]:
    """Eight numbers below 2³² that belong to these parameters alone, for the `spawn_key` of a seed."""
    named = sorted(((_SEED_NAMES.get(name, name), value) for name, value in point.items()), key=lambda each: each[0])
    text = f"[{', '.join(f'({name!r}, {_seed_text(value)})' for name, value in named)}]"
    if " at 0x" in text:
        raise ValueError(f"the repr of a point must be the same in every process, got {text}")
    return tuple(np.frombuffer(hashlib.sha256(text.encode()).digest(), dtype="<u4").tolist())


def _seed_text(value: Any) -> str:
    """The value as text that no other value has."""
    if not isinstance(value, Network):
        return repr(value)
    keep = None if value.keep == 1 else value.keep
    return (
        f"Network(widths={value.widths}, activation={value.activation!r}, weights={value.weights!r}, "
        f"sigma_w={value.sigma_w}, sigma_b={value.sigma_b}, dropout={keep})"
    )


def _moments(sample: Callable[..., Any], point: Point, seed: np.random.SeedSequence) -> Numbers:
    drawn = sample(rng=np.random.default_rng(seed), **point)
    values = np.asarray(getattr(drawn, "values", drawn), dtype=float)
    mean = values.mean(axis=0)
    return {"count": np.array(len(values)), "mean": mean, "squares": np.sum((values - mean) ** 2, axis=0)}


def _merged(one: Numbers, other: Numbers) -> Numbers:
    """Pool counts, means and sums of squared deviations (Chan, Golub & LeVeque 1983)."""
    total, shift = one["count"] + other["count"], other["mean"] - one["mean"]
    return {
        "count": total,
        "mean": one["mean"] + shift * other["count"] / total,
        "squares": one["squares"] + other["squares"] + shift**2 * one["count"] * other["count"] / total,
    }


def _estimate(point: Point, moments: Numbers) -> Estimate:
    count = int(moments["count"])
    stderr = np.sqrt(moments["squares"] / (count - 1) / count) if count > 1 else np.full_like(moments["mean"], np.nan)
    return Estimate(point, np.asarray(moments["mean"]), np.asarray(stderr), count)


def _columns(name: str, value: object) -> dict[str, object]:
    if not isinstance(value, Network):
        return {name: value if isinstance(value, int | float | str) else str(value)}
    return {
        "width": value.widths[-1],
        "depth": value.depth,
        "activation": value.activation.name,
        **{each: getattr(value, each) for each in ("weights", "sigma_w", "sigma_b")},
    }
