"""The mean of ρ² over pairs of nodes, from products of different samples: those of a sample with itself are biased."""

from __future__ import annotations

from typing import Any

import numpy as np

# What 1 − κ₀ − m may be by rounding if each node is one part's alone.
_ROUNDING = 1e-12


def overlap_of_different_parts(
    square: Any, within: Any, own: Any, n_samples: Any, of_sizes: Any, *, centred: bool = True, left: Any = None
) -> Any:
    """w of the notes of `vni`.

    Parameters
    ----------
    square : float or ndarray
        v, the mean of r_ij² over i ≠ j.
    within : float or ndarray
        κ, the part of v that is products of a part of the samples with itself.
    own : float or ndarray
        κ₀, the same for each node with itself, instead of with others.
    n_samples, of_sizes : float or ndarray
        Samples of all parts, P = Σ n, and Σ n².
    left : float or ndarray, optional
        m, what of v − κ the subtraction of means explains, if samples are not independent.

    Returns
    -------
    ndarray
        NaN where products of different parts are zero for all nodes.
    """
    if not centred:
        left = 0.0
    elif left is None:
        left = left_by_means(square, within, own, n_samples, of_sizes)
    over, between = np.broadcast_arrays(square - within - left, 1 - own - left)
    return np.divide(over, between, out=np.full(between.shape, np.nan), where=np.abs(between) > _ROUNDING)


def left_by_means(square: Any, within: Any, own: Any, n_samples: Any, of_sizes: Any) -> Any:
    """m of the notes of `vni`, for samples that are independent of each other.

    Let samples be large or small by a common factor √s_p, Σ s_p = P, and nodes independent else. Deviations a_p from
    their mean then have E a_p a_q = −(s_p + s_q − 1)/P for p ≠ q, and s_p (1 − 2/P) + 1/P for p = q. Squares of these,
    summed over samples of one part, are κ, which tells Σ s_p²; over those of different parts they are m.
    """
    p = n_samples
    # The share of pairs of different samples that are in one part.
    together = (of_sizes - p) / (p * (p - 1))
    slope, constant = 2 * (1 - 2 / p), 1 - 3 / p
    of_scales = within * (p - 1) ** 2 - slope - 1 / p + together * constant
    mean_square = of_scales / (p * (1 - 2 / p) ** 2 + together * slope)
    # Nodes that are correlated make κ larger, too: Gaussian ones by 2ρ².
    equal = (1 - together) / (p * (p - 1))
    mean_square = mean_square - 2 * np.clip((square - within - equal) / (1 - own), 0, 1)
    return (1 - together) * (slope * mean_square - constant) / (p - 1) ** 2
