"""The standard error of an estimated VNI, its degrees of freedom, and the half-width of an interval."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import numpy as np
from scipy.special import stdtrit


def standard_error(deviations: np.ndarray, pairs: float) -> tuple[float, float]:
    """Standard error, and degrees of freedom for Student's t.

    The mean square J of the deviations estimates the variance, but counts the part p that comes from pairs of samples
    twice. So p times the share 2p/J is subtracted: the variance is V = J − T with T = 2p²/J, or p where p exceeds J/2.
    """
    groups = len(deviations)
    variance = np.mean(deviations**2)
    if not variance > 0:
        return 0.0, inf
    if variance <= 2 * pairs:
        # All of the variance comes from pairs, of which there are so many that it is known well.
        return float(np.sqrt(pairs)), inf
    # The variance of G values scatters as one of f degrees of freedom, 2/f = excess/G + 2/(G − 1). The excess kurtosis
    # is Fisher's estimate, since the plain one of a few values is far too low where tails are heavy. It is taken three
    # times, since even Fisher's is too low more often than not, and a low variance goes with a low VNI.
    plain = np.mean(deviations**4) / variance**2 - 3
    excess = (groups - 1) * ((groups + 1) * plain + 6) / ((groups - 2) * (groups - 3))
    freedom = 2 / (3 * max(excess, 0.0) / groups + 2 / (groups - 1))
    # dV/V = (J + T)/(J − T) dJ/J.
    taken = 2 * pairs**2 / variance
    freedom *= ((variance - taken) / (variance + taken)) ** 2
    return float(np.sqrt(variance - taken)), max(freedom, 1.0)


def variance_parts(stderr: float, freedom: float, known: float = 0.0) -> tuple[tuple[float, float], ...]:
    """stderr² in two parts: a known one, with infinite degrees of freedom, and the rest with those of its estimate."""
    known = min(known, stderr**2)
    return (known, inf), (stderr**2 - known, freedom)


def half_width(variances: Sequence[tuple[float, float]], level: float) -> float:
    """Half the width of a confidence interval: Student's t for each part of the variance (Banerjee 1960).

    Raises
    ------
    ValueError
        If the level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be a number between 0 and 1, got {level!r}")
    quantile = (1 + level) / 2
    return float(np.sqrt(sum(stdtrit(freedom, quantile) ** 2 * variance for variance, freedom in variances)))


def pair_variance(overlaps: np.ndarray, n_samples: int, n_varying: int, overlap: float, centred: bool) -> float:
    """The part of the variance of the VNI that comes from pairs of samples: 2 Var h/(P(P − 1)), h = (z_p·z_q)².

    It is no less than that of Gaussian nodes, for which Var h = 2 VNI², since the estimate from a few samples is too
    low there; that bound is exact for independent nodes, whose r² has the variance 2 (d − 1)/(d² (d + 2)), d = P − 1.

    What single samples contribute to h is subtracted. If the nodes are copies of each other, so that `overlap` is one,
    the scatter of their common scale is no error of the VNI.
    """
    m = len(overlaps)
    # Deviations from means add up to zero, so that overlaps of two samples are negative on average, by a fraction of
    # the overlaps of samples with themselves. In wide layers this would be most of h.
    own = overlaps.diagonal()
    mean = (overlaps.sum() - own.sum()) / (m - 1) / own.sum()
    h = (overlaps - (own[:, None] + own) * (mean / 2)) ** 2
    np.fill_diagonal(h, 0)
    of_one = h.sum(axis=1) / (m - 2)
    h -= of_one[:, None] + of_one - h.sum() / ((m - 1) * (m - 2))
    np.fill_diagonal(h, 0)
    found = 2 * np.vdot(h, h) / (m * (m - 3)) / (n_samples * (n_samples - 1))
    off, d = 1 - 1 / n_varying, n_samples - centred
    overlap = min(max(overlap, 0.0), 1.0)
    gaussian = 4 * off * (1 / n_varying + off * overlap) ** 2 / ((d - 1) * (d + 2))
    return float(max(found, gaussian) * (1 - overlap) ** 2)
