"""What a finite sample adds to ρ², for nodes of any distribution."""

from __future__ import annotations

import numpy as np

from rmt_vn.measures.paging import pieces


def debiasing(
    square: np.ndarray, joint: np.ndarray, n_samples: np.ndarray, *, centred: bool = True
) -> tuple[np.ndarray, np.ndarray]:
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


def rest(linear: float, excess: float) -> float:
    """(1 − s)² of the notes of `vni`."""
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
    """w of the notes of `vni` for many samples; c(k − k₀ + b) of each of some samples; and (1 − s)².

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
    of_some, k_of_each = np.vdot(r, r) / pairs, distinct(u, u) / pairs
    linear, excess = debiasing(square, k, p, centred=centred)
    apart = rest(linear, excess)
    form = z @ r
    # Σ over i ≠ j of r_ij z_i z_j³, of r_ij² z_i² z_j² and of r_ij² z_j⁴, where r_ij is of the other samples, and r_ij²
    # of two others: without correlation, what is left says nothing.
    cubes = np.sum(form * z * u, axis=1) - apart / p * distinct(u, u2)
    mixed = np.sum(by_squares(u, r) * u, axis=1)
    mixed -= apart * (2 / p * np.sum((z * u) @ r * z * u, axis=1) - distinct(u2, u2) / p**2)
    single = np.sum(u2 * np.einsum("ij,ij->j", r, r), axis=1)
    single -= apart * (2 / p * np.sum(form * z * u2, axis=1) - distinct(u, u2 * u) / p**2)
    total = np.sum((u @ u.T) ** 2, axis=1) + u2 @ (2 * norms @ u - 3 * u2.sum(axis=0))
    of_self = distinct(u2, u2) + 2 * distinct(u, u2 * u)
    squares = mixed + 2 * single - apart * of_others(total, of_self, u, k) * (p - 1) / p**2
    gaussian = 3 * ((p - 1) / (p + 1) if centred else p / (p + 2))
    b = (squares - 4 * cubes) / pairs + gaussian * (of_some - apart * k / p)
    bent = debiasing(of_some, k_of_each + b, p, centred=centred)[1]
    # Without correlation k of all samples counts, not of some: between those two its error would.
    more = excess - debiasing(of_some, k_of_each.mean(), p, centred=centred)[1]
    return float(linear - bent.mean() - apart * more), bent, apart


def distinct(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Σ x_i y_j over i ≠ j, sample by sample."""
    return x.sum(axis=1) * y.sum(axis=1) - np.sum(x * y, axis=1)


def of_others(total: np.ndarray, of_self: np.ndarray, u: np.ndarray, k: float) -> np.ndarray:
    """Mean over the other samples, from the sum over all, linear in u_i u_j; of some, who are made to have k of all."""
    n = u.shape[1]
    # Where no two nodes are ever alive together, nothing is to be rescaled.
    of_some = distinct(u, u).mean() or 1.0
    return (total - of_self) / (len(u) - 1) * (k * n * (n - 1) / of_some)


def by_squares(x: np.ndarray, r: np.ndarray) -> np.ndarray:
    """Σ_i x_i r_ij², sample by sample; in pieces, not to hold nodes² numbers a second time."""
    return sum(x[:, rows] @ np.square(r[rows]) for rows in pieces(0, *r.shape))
