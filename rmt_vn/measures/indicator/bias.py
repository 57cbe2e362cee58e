"""What a finite sample adds to ρ², for nodes of any distribution."""

from __future__ import annotations

from typing import Any

import numpy as np

from rmt_vn.measures.paging import pieces


def debiasing(
    square: float | np.ndarray, joint: float | np.ndarray, n_samples: int | np.ndarray, *, centred: bool = True
) -> tuple[Any, Any]:
    """l and c(k − k₀) of the notes of `vni`, from v, k and P. Means cost a degree of freedom if they are taken off."""
    p = np.asarray(n_samples, dtype=float)
    if centred:
        linear = square - (1 - square) / (p - 2)
        weight = (p**2 - 1) / (p * (p - 2) * (p - 3))
        gaussian = (1 + 2 * square) * (p - 1) / (p + 1)
    else:
        linear = square - (1 - square) / (p - 1)
        weight = (p + 2) / (p * (p - 1))
        gaussian = (1 + 2 * square) * p / (p + 2)
    return linear, weight * (joint - gaussian)


def uncorrelated_part(linear: float, excess: float) -> float:
    """(1 − s)² of the notes of `vni`: 1 where nodes are uncorrelated, 0 where they are copies of one."""
    s = min(max(float(linear), 0.0), 1.0)
    for _ in range(3):
        s = min(max(float(linear - (1 - s) ** 2 * excess), 0.0), 1.0)
    return (1 - s) ** 2


def corrected(
    square: float,
    k: float,
    z: np.ndarray,
    r: np.ndarray,
    n_samples: int,
    *,
    centred: bool = True,
) -> tuple[float, np.ndarray, float]:
    """w of the notes of `vni` for many samples; c(k − k₀ + b) of each of some samples; and their `uncorrelated_part`.

    Parameters
    ----------
    square : float
        v, the mean of r_ij² over i ≠ j.
    k : float
        As there, the mean over i ≠ j of r_ij² between squares of all samples.
    z : ndarray, shape (some samples, some nodes)
        With mean zero and variance one over all samples.
    r : ndarray, shape (some nodes, some nodes)
        Their r_ij of all samples, with zeros on the diagonal.
    """
    p, n = n_samples, len(r)
    pairs = n * (n - 1)
    u = z * z
    u2, norms = u * u, u.sum(axis=1)
    of_some, k_of_each = np.vdot(r, r) / pairs, sum_over_pairs(u, u) / pairs
    linear, excess = debiasing(square, k, p, centred=centred)
    uncorrelated = uncorrelated_part(linear, excess)
    form = z @ r
    # Σ over i ≠ j of r_ij z_i z_j³, of r_ij² z_i² z_j² and of r_ij² z_j⁴. Where nodes are uncorrelated, r_ij must come
    # from other samples than z, and r_ij² from two others: else a sample's own part in r_ij would count as correlation.
    cubes = np.sum(form * z * u, axis=1) - uncorrelated / p * sum_over_pairs(u, u2)
    mixed = np.sum(sums_weighted_by_squares(u, r) * u, axis=1)
    mixed -= uncorrelated * (2 / p * np.sum((z * u) @ r * z * u, axis=1) - sum_over_pairs(u2, u2) / p**2)
    single = np.sum(u2 * np.einsum("ij,ij->j", r, r), axis=1)
    single -= uncorrelated * (2 / p * np.sum(form * z * u2, axis=1) - sum_over_pairs(u, u2 * u) / p**2)
    total = np.sum((u @ u.T) ** 2, axis=1) + u2 @ (2 * norms @ u - 3 * u2.sum(axis=0))
    of_self = sum_over_pairs(u2, u2) + 2 * sum_over_pairs(u, u2 * u)
    squares = mixed + 2 * single - uncorrelated * mean_over_others(total, of_self, u, k) * (p - 1) / p**2
    gaussian = 3 * ((p - 1) / (p + 1) if centred else p / (p + 2))
    b = (squares - 4 * cubes) / pairs + gaussian * (of_some - uncorrelated * k / p)
    excess_of_each = debiasing(of_some, k_of_each + b, p, centred=centred)[1]
    # Where nodes are uncorrelated, k is that of all samples: the difference to that of some would add to the error.
    more = excess - debiasing(of_some, k_of_each.mean(), p, centred=centred)[1]
    return float(linear - excess_of_each.mean() - uncorrelated * more), excess_of_each, uncorrelated


def sum_over_pairs(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Σ x_i y_j over pairs of nodes i ≠ j, sample by sample."""
    return x.sum(axis=1) * y.sum(axis=1) - np.sum(x * y, axis=1)


def mean_over_others(total: np.ndarray, of_self: np.ndarray, u: np.ndarray, k: float) -> np.ndarray:
    """Mean over the other samples of what is linear in u_i u_j, from the sum over all of some samples.

    It is rescaled from the k of these samples to the k of all.
    """
    n = u.shape[1]
    # Where no sample moves two nodes at once, nothing is to be rescaled.
    of_some = sum_over_pairs(u, u).mean() or 1.0
    return (total - of_self) / (len(u) - 1) * (k * n * (n - 1) / of_some)


def sums_weighted_by_squares(x: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Σ_i x_i r_ij², sample by sample; in pieces, so that r is not held a second time."""
    return sum(x[:, rows] @ np.square(r[rows]) for rows in pieces(0, *r.shape))
