"""The VNI's products of different parts of the samples, without each part in turn, from sums over the parts."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

import numpy as np

from rmt_vn.measures.indicator.bias import overlap_of_different_parts

# What is left of a node's sum of squares by rounding, relative to what it was.
ROUNDING = 1e-12
# Of less, differences of fourth powers lose more than half of their digits.
_LITTLE = 1e-4


@dataclass(frozen=True)
class Overlaps:
    """v, w of the notes of `vni`, and the number of nodes that vary, without each part in turn; and κ₀ of all parts."""

    square: np.ndarray
    overlap: np.ndarray
    count: np.ndarray
    own: float


def overlaps_without_each(
    products: np.ndarray, totals: np.ndarray, sizes: np.ndarray, *, independent: bool, centred: bool
) -> Overlaps:
    """From sums C_h of products and T_h of deviations from the mean over each part h, of nodes at length one.

    Without part h the mean moves by δ = −T_h/(P − n_h), and products over another part g are C − Tδᵀ − δTᵀ + nδδᵀ of
    that part. Sums of squares of these over all others are expanded, so that the work is one pass over the parts, and
    not one for each part that is left out. Where a part makes up nearly all of a node, the sums of the others have lost
    their digits in those of all, and are taken by themselves.
    """
    left = sizes.sum() - sizes
    step = -totals / left[:, None]
    diagonals = products.diagonal(axis1=1, axis2=2)
    scatter = diagonals.sum(axis=0) - diagonals - left[:, None] * step**2
    alive = scatter > ROUNDING
    count = np.count_nonzero(alive, axis=1)
    pairs = np.where(count > 1, count * (count - 1.0), nan)
    w = np.where(alive, 1 / np.where(alive, scatter, 1.0), 0.0)
    v = w * step

    # What the parts add up to, and what they do if one of n samples counts n times.
    sums = np.stack([np.ones_like(sizes), sizes]) @ products.reshape(len(sizes), -1)
    full, weighted = sums.reshape(2, *products.shape[1:])
    squares, thirds = np.zeros((2, *full.shape))
    # Of each part, wᵀC²w, wᵀ(C ∘ ΣC)w, (wT)ᵀCv and vᵀCv.
    own_square, own_full, own_third, own_weighted = np.zeros((4, len(sizes)))
    both = np.stack([w * totals, v], axis=1)
    for h, c in enumerate(products):
        own_third[h], own_weighted[h] = both[h] @ (c @ v[h])
        own_full[h] = w[h] @ (c * full @ w[h])
        own = c * c
        own_square[h] = w[h] @ (own @ w[h])
        squares += own
        np.multiply(c, totals[h][:, None], out=own)
        thirds += own
    # wᵀ(what the others add up to, about their own mean)²w.
    s = _dots(v, step)
    squared = _dots(w @ full**2, w) - 2 * own_full + own_square
    squared += left * (left * s**2 - 2 * (_dots(v @ full, v) - own_weighted))
    square = (squared - count) / pairs

    seconds = totals.T @ totals
    # Σ w_i w_j of squares over i and j, and, for κ₀, of those with i = j.
    of_sizes = np.sum(sizes**2) - sizes**2
    uneven = sizes @ totals - sizes[:, None] * totals
    own_seconds = seconds.diagonal() - totals**2
    total = _dots(w @ squares, w) - own_square - 4 * (_dots(w @ thirds, v) - own_third)
    total += 2 * (_dots(v @ weighted, v) - sizes * own_weighted + _dots(v @ seconds, v) - _dots(v, totals) ** 2)
    total += 2 * _dots(w, own_seconds) * s + of_sizes * s**2 - 4 * _dots(v, uneven) * s
    own = squares.diagonal() - diagonals**2 - 4 * (thirds.diagonal() - diagonals * totals) * step
    own += step**2 * (2 * (weighted.diagonal() - sizes[:, None] * diagonals) + 4 * own_seconds)
    own += step**3 * (of_sizes[:, None] * step - 4 * uneven)
    own_sum = _dots(own, w**2)
    within = (total - own_sum) / pairs
    own_mean = own_sum / np.maximum(count, 1)
    by_means = None if independent else _left_by_means(products, totals, sizes, step, w) / pairs
    for h in np.flatnonzero(np.any(alive & (scatter < _LITTLE), axis=1)).tolist():
        others = np.arange(len(sizes)) != h
        square[h], within[h], own_mean[h], left_of_h = _of_others(
            products[others], totals[others], sizes[others], independent=independent
        )
        if by_means is not None:
            by_means[h] = left_of_h
    overlap = overlap_of_different_parts(square, within, own_mean, left, of_sizes, centred=centred, left=by_means)
    return Overlaps(square, overlap, count, float(np.mean(np.sum(diagonals**2, axis=0))))


def _of_others(
    products: np.ndarray, totals: np.ndarray, sizes: np.ndarray, *, independent: bool
) -> tuple[float, float, float, float]:
    """v, κ, κ₀ and m of the notes of `vni` of some parts, as they are written there."""
    size = sizes.sum()
    step = totals.sum(axis=0) / size
    moved = totals[:, :, None] * step
    c = products - moved - moved.transpose(0, 2, 1) + sizes[:, None, None] * np.outer(step, step)
    scatter = c.sum(axis=0).diagonal()
    alive = scatter > ROUNDING
    inverse = 1 / np.sqrt(scatter[alive])
    c = c[:, alive][:, :, alive] * np.outer(inverse, inverse)
    t = (totals - np.outer(sizes, step))[:, alive] * inverse
    of_nodes = np.sum(t**2, axis=0)
    by_means = np.zeros(c.shape[1:])
    if not independent:
        by_means = 2 / size * np.einsum("hij,hi,hj->ij", c, t, t) - np.outer(of_nodes, of_nodes) / size**2
    whole, own = c.sum(axis=0) ** 2, np.sum(c**2, axis=0)
    return _off_diagonal(whole), _off_diagonal(own), float(own.diagonal().mean()), _off_diagonal(by_means)


def _off_diagonal(matrix: np.ndarray) -> float:
    """The mean over i ≠ j; NaN where there is no pair."""
    n = len(matrix)
    return float((matrix.sum() - np.trace(matrix)) / (n * (n - 1))) if n > 1 else nan


def _left_by_means(
    products: np.ndarray, totals: np.ndarray, sizes: np.ndarray, step: np.ndarray, inverse: np.ndarray
) -> np.ndarray:
    """m of the notes of `vni` without each part, summed over i ≠ j: for parts whose samples may depend on each other.

    2/P Σ_h C_ij T_i T_j − (Σ_h T_i²)(Σ_h T_j²)/P², to leading order in the number of parts.
    """
    # Of part g (first axis) without part h (second axis): t = w(T − nδ), and sums over the nodes, as polynomials in n.
    v, n = inverse * step, sizes[:, None]
    t = totals[:, None] * inverse - n[:, None] * v
    diagonals, squares = products.diagonal(axis1=1, axis2=2), totals**2
    across = totals @ v.T
    along = across - n * _dots(v, step)
    of_each = np.einsum("ghi,ghi->gh", t @ products, t) + along * (n * (along + 2 * across) - 2 * squares @ inverse.T)
    own = (diagonals * squares) @ (inverse**2).T - 2 * (totals * (n * diagonals + squares)) @ (inverse * v).T
    own += (n**2 * diagonals + 5 * n * squares) @ (v**2).T
    of_each -= own + n**2 * (n * _dots(v, v * step**2) - 4 * totals @ (v**2 * step).T)
    np.fill_diagonal(of_each, 0.0)
    of_nodes = (squares.sum(axis=0) - squares) * inverse - 2 * (sizes @ totals - n * totals) * v
    of_nodes += (np.sum(sizes**2) - n**2) * v * step
    left = sizes.sum() - sizes
    return 2 * of_each.sum(axis=0) / left - (of_nodes.sum(axis=1) ** 2 - _dots(of_nodes, of_nodes)) / left**2


def _dots(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Row by row."""
    return np.einsum("hi,hi->h", x, y)
