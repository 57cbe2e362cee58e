"""The standard error of an estimated VNI, its degrees of freedom, and the half-width of an interval."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import numpy as np
from scipy.special import stdtrit


def standard_error(deviations: np.ndarray, pairs: float = 0.0, known: float = 0.0) -> tuple[float, float]:
    """Standard error, and degrees of freedom for Student's t.

    The mean square J of the deviations estimates the variance, but counts the part p that comes from pairs of samples
    twice. So p times the share 2p/J is subtracted: the variance is V = J − T with T = 2p²/J. Of the estimate `pairs` of
    p a part is `known`, and no less; where it exceeds J/2, V is p itself, which cannot be more than J.
    """
    groups = len(deviations)
    variance = np.mean(deviations**2)
    if not variance > 0:
        return 0.0, inf
    if variance <= 2 * known:
        # All of the variance comes from pairs, of which it is known how much they vary.
        return float(np.sqrt(known)), inf
    # The variance of G values scatters as one of f degrees of freedom, 2/f = excess/G + 2/(G − 1). The excess kurtosis
    # is Fisher's estimate, since the plain one of a few values is far too low where tails are heavy. It is taken three
    # times, since even Fisher's is too low more often than not, and a low variance goes with a low VNI.
    plain = np.mean(deviations**4) / variance**2 - 3
    excess = (groups - 1) * ((groups + 1) * plain + 6) / ((groups - 2) * (groups - 3))
    freedom = 2 / (3 * max(excess, 0.0) / groups + 2 / (groups - 1))
    part = min(max(pairs, known), variance)
    if part > variance / 2:
        return float(np.sqrt(part)), max(freedom, 1.0)
    # dV/V = (J + T)/(J − T) dJ/J.
    taken = 2 * part**2 / variance
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


def pair_variance(
    overlaps: np.ndarray, n_samples: int, n_varying: int, overlap: float, centred: bool
) -> tuple[float, float]:
    """The part of the variance of the VNI that comes from pairs of samples, as estimated, and as it is at least.

    It is 2 Var h/(P(P − 1)), h = (z_p·z_q)². For Gaussian nodes Var h = 2 VNI², and that is taken to be the least,
    since the estimate from a few samples is too low there; it is exact for independent nodes, whose r² has the variance
    2 (d − 1)/(d² (d + 2)), d = P − 1.

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
    scale = (1 - overlap) ** 2
    return float(found * scale), float(gaussian * scale)
