"""Monte Carlo over a grid of points: means, standard errors and counts."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rmt_vn.checks import checked_count, checked_numbers
from rmt_vn.experiments.cache import Numbers
from rmt_vn.experiments.engine import Engine, run
from rmt_vn.experiments.sending import check_can_be_sent
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
    seed : int
        The seed of the sweep, with which it gives the same numbers again.
    """

    point: Point
    mean: np.ndarray
    stderr: np.ndarray
    count: int
    seed: int

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
    seed: int | None,
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
        sample(rng=…, **point) → array whose first axis runs over independent samples, of one shape at each point; a
        number, which is one sample; or a result of `rmt_vn.samplers`, whose `values` they are. Any function will do
        that draws from `rng` alone, also a lambda, a closure, a method or an object that can be called.
    points : sequence of dict
        Parameters with a `repr` that tells them apart: numbers, strings, tuples, `Network`.
    replicates : int
        Calls of `sample` for each point; each is one chunk of work, for which some seconds are a good length.
    seed : int or None
        None draws one from the operating system; each estimate tells it.
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
    TypeError
        If `sample` cannot be called, cannot be sent to other processes, depends on a random generator that is there
        before, or returns what are no real numbers; if a point is no dict, or `replicates` or `seed` no integer.
    ValueError
        If `replicates` or `seed` is out of range, the `repr` of a point differs from process to process, or replicates
        of a point return samples of different shapes, or none.

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
    seed = secrets.randbits(53) if seed is None else checked_count("seed", seed, least=0)
    engine = engine or Engine()
    if not callable(sample):
        raise TypeError(f"sample must be a function, got {sample!r:.200}")
    points = _checked_points(points)
    if engine.jobs != 1 and engine.client is None:
        check_can_be_sent(sample)
    chunks = _Chunks(sample, points, replicates, seed)
    pooled: list[Numbers] = []
    for index, moments in enumerate(run(_moments, chunks, engine=engine, label=label)):
        if index < len(points):
            pooled.append(moments)
        else:
            replicate, at = divmod(index, len(points))
            pooled[at] = _merged(pooled[at], moments, f"replicate 0 and replicate {replicate} at {points[at]!r:.200}")
    return [_estimate(point, moments, seed) for point, moments in zip(points, pooled, strict=True)]


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


def _checked_points(points: Sequence[Point]) -> list[Point]:
    if isinstance(points, Mapping):
        raise TypeError(f"points must be a list of dicts, got one dict, {points!r:.200}")
    points = list(points)
    for point in points:
        if not isinstance(point, Mapping) or not all(isinstance(name, str) for name in point):
            raise TypeError(f"each point must be a dict of parameters by name, got {point!r:.200}")
    return points


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
    values = _samples(getattr(drawn, "values", drawn) if isinstance(drawn, Result) else drawn)
    if len(values) == 0:
        raise ValueError(f"sample must return at least one sample, got an array of shape {values.shape}")
    mean = values.mean(axis=0)
    return {"count": np.array(len(values)), "mean": mean, "squares": np.sum((values - mean) ** 2, axis=0)}


def _samples(drawn: Any) -> np.ndarray:
    """An axis of independent samples first; of truth values, which count as 0 and 1, the mean is how often."""
    try:
        array = np.asanyarray(drawn)
    except ValueError:  # rows of different lengths, which are refused below
        array = drawn
    else:
        array = array.astype(float) if array.dtype == bool else array
    return np.atleast_1d(checked_numbers("samples", array))


def _merged(one: Numbers, other: Numbers, which: str) -> Numbers:
    """Pool counts, means and sums of squared deviations (Chan, Golub & LeVeque 1983)."""
    if one["mean"].shape != other["mean"].shape:
        raise ValueError(
            f"samples of a point must have one shape, got {one['mean'].shape} and {other['mean'].shape} in {which}"
        )
    total, shift = one["count"] + other["count"], other["mean"] - one["mean"]
    return {
        "count": total,
        "mean": one["mean"] + shift * other["count"] / total,
        "squares": one["squares"] + other["squares"] + shift**2 * one["count"] * other["count"] / total,
    }


def _estimate(point: Point, moments: Numbers, seed: int) -> Estimate:
    count = int(moments["count"])
    stderr = np.sqrt(moments["squares"] / (count - 1) / count) if count > 1 else np.full_like(moments["mean"], np.nan)
    return Estimate(point, np.asarray(moments["mean"]), np.asarray(stderr), count, seed)


def _columns(name: str, value: object) -> dict[str, object]:
    if not isinstance(value, Network):
        return {name: value if isinstance(value, int | float | str) else str(value)}
    return {
        "width": value.widths[-1],
        "depth": value.depth,
        "activation": value.activation.name,
        **{each: getattr(value, each) for each in ("weights", "sigma_w", "sigma_b")},
    }
