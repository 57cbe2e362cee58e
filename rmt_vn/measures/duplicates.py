"""Correlations of nodes, and groups of nodes that are nearly copies of each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from rmt_vn.measures.arrays import as_samples
from rmt_vn.measures.nodes import Nodes, varying_nodes
from rmt_vn.measures.paging import pieces
from rmt_vn.measures.products import correlated


def correlation(activations: ArrayLike, *, node_axis: int | None = None, constant: str = "omit") -> np.ndarray:
    """Correlation coefficients ρ_ij of the varying nodes over the samples.

    Parameters and errors as `vni`.

    Returns
    -------
    ndarray, shape (varying nodes, varying nodes)
    """
    nodes = _in_double(as_samples(activations, node_axis=node_axis), constant)
    if nodes.shape[0] > nodes.shape[1]:
        return correlated(nodes)[0]
    directions = _directions(nodes)
    return directions @ directions.T


def near_duplicates(
    activations: ArrayLike, *, threshold: float = 0.99, node_axis: int | None = None, constant: str = "omit"
) -> list[np.ndarray]:
    """Groups of nodes that are nearly copies of each other, up to sign and scale, the largest first.

    Nodes with |ρ_ij| ≥ threshold are linked, and a group is all that links connect. Two of its nodes may thus be less
    correlated than the threshold says: if they are two links apart, |ρ| ≥ 2 threshold² − 1. With P samples, some two of
    N independent nodes have |ρ| ≈ √(2 ln(N²/2)/P), so a low threshold needs many samples. It takes memory for the links
    and for nodes × nodes, or samples × nodes, numbers, whichever are fewer.

    Parameters
    ----------
    activations, node_axis, constant
        As for `vni`.
    threshold : float
        From 0 (excluded) to 1.

    Returns
    -------
    list of ndarray of int
        Columns of the nodes of each group of two or more.

    Raises
    ------
    ValueError
        As `vni`, or if the threshold is out of its range.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((100, 3))
    >>> near_duplicates(x[:, [0, 1, 0, 2, 0, 1]])
    [array([0, 2, 4]), array([1, 5])]
    """
    array = as_samples(activations, node_axis=node_axis)
    checked_threshold(threshold)
    nodes = _in_double(array, constant)
    n_samples, n_varying = nodes.shape
    # The correlations at once, or piece by piece from the directions: whichever is less to hold.
    held = correlated(nodes)[0] if n_samples > n_varying else _directions(nodes)
    links = []
    for rows in pieces(0, n_varying, n_varying):
        rho = held[rows] if n_samples > n_varying else held[rows] @ held.T
        above, right = np.nonzero(np.abs(rho) >= threshold * (1 - 1e-12))
        links.append((above + rows.start, right))
    return linked_groups(np.concatenate(links, axis=1), nodes.varying)


def _in_double(array: np.ndarray, constant: str) -> Nodes:
    """The varying nodes, in float64: float32 products do not tell copies from near-duplicates."""
    return replace(varying_nodes(array, constant=constant), dtype=np.float64)


def _directions(nodes: Nodes) -> np.ndarray:
    """Deviations from the means, scaled to length one, shape (varying nodes, samples)."""
    n_samples, n_varying = nodes.shape
    directions = np.empty((n_varying, n_samples))
    for columns in pieces(0, n_varying, n_samples):
        x = nodes.piece(columns=columns)
        x -= x.mean(axis=0)
        x /= np.linalg.norm(x, axis=0)
        directions[columns] = x.T
    return directions


def checked_threshold(threshold: float) -> None:
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must be above 0 and at most 1, got {threshold}")


def linked_groups(links: np.ndarray, names: np.ndarray) -> list[np.ndarray]:
    """Groups of two or more that links, shape (2, number), connect: the names of their members, the largest first."""
    size = len(names)
    graph = coo_array((np.ones(links.shape[1], dtype=bool), (links[0], links[1])), shape=(size, size))
    of = connected_components(graph, directed=False)[1]
    order = np.argsort(of, kind="stable")
    groups = np.split(names[order], np.flatnonzero(np.diff(of[order])) + 1)
    return sorted((group for group in groups if len(group) > 1), key=lambda group: (-len(group), group[0]))
