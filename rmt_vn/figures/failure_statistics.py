"""Statistics of the numbers of runs that fail: intervals, trends, and the position at which half of the runs fail."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm


def wilson_interval(failures: ArrayLike, runs: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """95% confidence interval of the probability of failure (Wilson 1927), with a length even where none or all fail.

    Parameters
    ----------
    failures, runs : array_like of int
        Of the same shape, with at least one run each.
    """
    k, n, z = np.asarray(failures, float), np.asarray(runs, float), norm.ppf(0.975)
    centre = (k + z**2 / 2) / (n + z**2)
    half = z / (n + z**2) * np.sqrt(k * (n - k) / n + z**2 / 4)
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)


def trend_in_proportions(failures: ArrayLike, runs: ArrayLike, scores: ArrayLike) -> float:
    """Standard score of a trend of failure with `scores`, within strata (Cochran–Armitage; Mantel 1963 for strata).

    Parameters
    ----------
    failures, runs : array_like, shape (strata, levels)
    scores : array_like, shape (levels,)
        What failure may grow with, such as ln L.

    Returns
    -------
    float
        Standard normal if failure does not depend on the score within any stratum, positive if it grows. NaN where all
        runs of every stratum fail, or none.
    """
    k, n, x = np.atleast_2d(failures).astype(float), np.atleast_2d(runs).astype(float), np.asarray(scores, float)
    total = n.sum(axis=1, keepdims=True)
    p = k.sum(axis=1, keepdims=True) / total
    excess = np.sum(x * (k - n * p))
    spread = np.sum(n * x**2, axis=1) - np.sum(n * x, axis=1) ** 2 / total[:, 0]
    variance = np.sum(p[:, 0] * (1 - p[:, 0]) * spread * total[:, 0] / (total[:, 0] - 1))
    return float(excess / np.sqrt(variance)) if variance > 0 else float("nan")


def half_point(failures: ArrayLike, runs: ArrayLike, positions: ArrayLike) -> tuple[float, float]:
    """Mean position at which runs begin to fail, and its standard error, free of any model (Spearman–Kärber).

    One step beyond the last position all runs are taken to fail, so that the value is a lower bound if some do not fail
    at the last position. One step before the first position no run is taken to fail.

    Parameters
    ----------
    failures, runs, positions : array_like, shape (levels,)
        Levels are in the order of increasing positions; there are at least two.
    """
    k, n, x = (np.asarray(each, float) for each in (failures, runs, positions))
    p = np.concatenate([[0.0], np.maximum.accumulate(k / n), [1.0]])
    x = np.concatenate([[2 * x[0] - x[1]], x, [2 * x[-1] - x[-2]]])
    inside = p[1:-1]
    variance = np.sum(inside * (1 - inside) / np.maximum(n - 1, 1) * ((x[2:] - x[:-2]) / 2) ** 2)
    return float(np.sum(np.diff(p) * (x[1:] + x[:-1]) / 2)), float(np.sqrt(variance))
