"""The bias of ρ² in a finite sample, for nodes of any distribution, and its removal."""

from __future__ import annotations

from typing import Any

import numpy as np

from rmt_vn.measures.paging import pieces


def debiasing(
    square: float | np.ndarray, joint: float | np.ndarray, n_samples: int | np.ndarray, *, centred: bool = True
) -> tuple[Any, Any]:
    """l and c(k − k₀) of the notes of `vni`, from v, k and P. Centring costs one degree of freedom."""
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
    """(1 − s)² of the notes of `vni`: 1 if the nodes are uncorrelated, 0 if they are copies of one."""
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
    """w of the notes of `vni` for many samples; c(k − k₀ + b) for each sample of z; and the `uncorrelated_part`.

    Parameters
    ----------
    square : float
        v, the mean of r_ij² over i ≠ j.
    k : float
        k of the notes of `vni`, from all samples.
    z : ndarray, shape (some samples, some nodes)
        Nodes with mean zero and variance one over all samples.
    r : ndarray, shape (some nodes, some nodes)
        r_ij of these nodes over all samples, with zeros on the diagonal.
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
    # from other samples than z, and r_ij² from two others: else what a sample adds to r_ij would count as correlation.
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
    # Where nodes are uncorrelated, k of all samples is used: that of the samples in z would add to the error.
    more = excess - debiasing(of_some, k_of_each.mean(), p, centred=centred)[1]
    return float(linear - excess_of_each.mean() - uncorrelated * more), excess_of_each, uncorrelated


def sum_over_pairs(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Σ x_i y_j over pairs of nodes i ≠ j, sample by sample."""
    return x.sum(axis=1) * y.sum(axis=1) - np.sum(x * y, axis=1)


def mean_over_others(total: np.ndarray, of_self: np.ndarray, u: np.ndarray, k: float) -> np.ndarray:
    """For each sample, the mean over the others of what is linear in u_i u_j, from the sum over all samples of u.

    It is rescaled from the k of these samples to the k of all samples.
    """
    n = u.shape[1]
    # If no sample moves two nodes at once, there is nothing to rescale.
    of_some = sum_over_pairs(u, u).mean() or 1.0
    return (total - of_self) / (len(u) - 1) * (k * n * (n - 1) / of_some)


def sums_weighted_by_squares(x: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Σ_i x_i r_ij², sample by sample; in pieces, so that r is not held a second time."""
    return sum(x[:, rows] @ np.square(r[rows]) for rows in pieces(0, *r.shape))
