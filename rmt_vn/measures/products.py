"""Products of the deviations of nodes, and the correlations that are made of them."""

from __future__ import annotations

import numpy as np

from rmt_vn.measures.nodes import Nodes
from rmt_vn.measures.paging import pieces


def add_gram(total: np.ndarray, x: np.ndarray) -> None:
    """Add x xᵀ to what `mirror` makes symmetric in the end: half the products, and little memory."""
    for rows in pieces(0, *total.shape):
        total[rows, : rows.stop] += x[rows] @ x[: rows.stop].T


def mirror(total: np.ndarray) -> None:
    """Above the blocks of `add_gram` what is below."""
    for rows in pieces(0, *total.shape):
        total[: rows.start, rows] = total[rows, : rows.start].T


def correlated(nodes: Nodes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """R, nodes × nodes, and the means of the pieces and the lengths of the deviations from them."""
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
