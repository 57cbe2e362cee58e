"""Products of nodes, and the correlations that follow from them."""

from __future__ import annotations

import numpy as np
from scipy.linalg.lapack import dtfttr

from rmt_vn.measures.nodes import Nodes
from rmt_vn.measures.paging import pieces


def add_gram(total: np.ndarray, x: np.ndarray) -> None:
    """Add the lower blocks of x xᵀ to `total`, which `mirror` completes: half the products, and little memory."""
    for rows in pieces(0, *total.shape):
        total[rows, : rows.stop] += x[rows] @ x[: rows.stop].T


def mirror(total: np.ndarray) -> None:
    """Copy what is below the diagonal blocks of `add_gram` to above them."""
    for rows in pieces(0, *total.shape):
        total[: rows.start, rows] = total[rows, : rows.start].T


def correlated(nodes: Nodes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The correlation matrix R, nodes × nodes; the means of the pieces; the lengths of the deviations from them."""
    n_samples, n_varying = nodes.shape
    rho, total = np.zeros((n_varying, n_varying)), np.zeros(n_varying)
    for rows in pieces(0, n_samples, n_varying):
        x = nodes.piece(rows)
        add_gram(rho, x.T)
        total += np.ones(len(x), x.dtype) @ x
    mirror(rho)
    mean = total / n_samples if nodes.centred else np.zeros(n_varying)
    for rows in pieces(0, *rho.shape):
        rho[rows] -= np.outer(n_samples * mean[rows], mean)
    size = np.sqrt(rho.diagonal())
    rho /= size
    rho /= size[:, None]
    return rho, mean, size


def correlations(scatter: np.ndarray) -> np.ndarray:
    """r_ij from sums of products of deviations from the means."""
    inverse = 1 / np.sqrt(scatter.diagonal())
    return scatter * inverse * inverse[:, None]


def unpacked(packed: np.ndarray, n_nodes: int) -> np.ndarray:
    """A symmetric matrix from LAPACK's rectangular full packed format, as `dsfrk` adds to it."""
    upper = np.triu(dtfttr(n_nodes, packed)[0])
    return upper + np.triu(upper, 1).T


def mean_square_correlation(nodes: Nodes) -> float:
    """(1/N²) Σ_ij r_ij², from correlations or from overlaps of samples, whichever are fewer."""
    n_samples, n_varying = nodes.shape
    if n_samples > n_varying:
        held = correlated(nodes)[0]
    else:
        held = np.zeros((n_samples, n_samples))
        for columns in pieces(0, n_varying, n_samples):
            x = nodes.piece(columns=columns)
            x -= x.mean(axis=0, dtype=np.float64).astype(x.dtype)
            x /= np.sqrt(np.sum(x * x, axis=0, dtype=np.float64)).astype(x.dtype)
            add_gram(held, x)
        mirror(held)
    return float(np.vdot(held, held)) / n_varying**2
