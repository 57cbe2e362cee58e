"""Effective dimensions of the node covariance C: participation ratio, effective rank, stable rank."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from rmt_vn.measures.arrays import as_samples
from rmt_vn.measures.nodes import Nodes, varying_nodes
from rmt_vn.measures.paging import pieces


def participation_ratio(activations: ArrayLike, *, node_axis: int | None = None, corrected: bool = False) -> float:
    """(Tr C)²/Tr C² of the node covariance C, between 1 and the number of nodes.

    This is the effective dimension of the covariance matrix; 1/VNI is that of the correlation matrix.

    Parameters
    ----------
    activations, node_axis
        As for `vni`.
    corrected : bool
        The ratio of the sample (the default) is too low, and below the number of samples. With True it is the ratio of
        two estimates that are unbiased for any distribution, of (Tr C)² and of Tr C² (Himeno & Yamada 2014; the same as
        sums over distinct samples, Chen, Zhang & Zhong 2010), limited to between 1 and the number of nodes. A ratio of
        unbiased estimates has a bias itself, of the size of its own relative variance; that of the sample has one of
        about the number of nodes over that of samples. It needs four samples.

    Raises
    ------
    ValueError
        As `vni`, or if there are too few samples.
    """
    nodes, scale = _covered(activations, node_axis)
    gram = _gram(nodes, scale)
    trace, square = float(np.trace(gram)), float(np.vdot(gram, gram))
    if not corrected:
        return trace**2 / square
    p = nodes.shape[0]
    if p < 4:
        raise ValueError(f"a corrected participation ratio needs at least 4 samples, got {p}")
    return corrected_ratio(trace, square, _fourth(nodes, scale), p, nodes.array.shape[1])


def effective_rank(activations: ArrayLike, *, node_axis: int | None = None) -> float:
    """exp(−Σ_k p_k ln p_k), p_k = λ_k/Tr C the spectrum of the node covariance C: between 1 and the number of nodes.

    The effective rank of Roy & Vetterli (2007), of the sample's C: with few samples it is too low, and below their
    number. Parameters and errors as `vni`.
    """
    return rank_of(_gram(*_covered(activations, node_axis)))


def stable_rank(activations: ArrayLike, *, node_axis: int | None = None) -> float:
    """Tr C/λ_max of the node covariance C, ‖X‖_F²/‖X‖² of the deviations X: between 1 and the number of nodes.

    The stable rank of Rudelson & Vershynin (2007), of X; too low for few samples. Parameters and errors as `vni`.
    """
    return stable_rank_of(_gram(*_covered(activations, node_axis)))


def corrected_ratio(trace: float, square: float, fourth: float, n_samples: int, n_nodes: int) -> float:
    """The ratio of unbiased estimates, from Tr A, Tr A² and Σ_p ‖x_p‖⁴; A = Σ_p x_p x_pᵀ, x_p the P deviations."""
    p = n_samples
    trace_squared, square = trace**2 / (p - 1) ** 2, square / (p - 1) ** 2
    q = p * fourth / (p - 1)
    # Their common factor (P − 1)/(P(P − 2)(P − 3)) is left out.
    above = 2 * square + (p * p - 3 * p + 1) * trace_squared - q
    below = (p - 1) * (p - 2) * square + trace_squared - q
    return float(np.clip(above / below, 1, n_nodes)) if below > 0 else float(n_nodes)


def rank_of(gram: np.ndarray) -> float:
    """exp of the entropy of the spectrum."""
    spectrum = np.linalg.eigvalsh(gram)
    share = spectrum[spectrum > 0] / spectrum[spectrum > 0].sum()
    return float(np.exp(-np.sum(share * np.log(share))))


def stable_rank_of(gram: np.ndarray) -> float:
    return float(np.trace(gram) / np.linalg.eigvalsh(gram)[-1])


def _covered(activations: ArrayLike, node_axis: int | None) -> tuple[Nodes, np.ndarray]:
    """The varying nodes, and factors of at most 1 that undo their scaling, up to one that all share."""
    nodes = varying_nodes(as_samples(activations, node_axis=node_axis))
    scale = nodes.scale.astype(np.float64)
    return nodes, scale / scale.max()


def _gram(nodes: Nodes, scale: np.ndarray) -> np.ndarray:
    """A = X Xᵀ or Xᵀ X of the deviations X, up to a factor, whichever is smaller: both have the same spectrum."""
    n_samples, n_varying = nodes.shape
    gram = np.zeros((min(n_samples, n_varying),) * 2)
    if n_samples < n_varying:
        for columns in pieces(0, n_varying, n_samples):
            x = nodes.piece(columns=columns) * scale[columns]
            x -= x.mean(axis=0)
            gram += x @ x.T
        return gram
    total = np.zeros(n_varying)
    for rows in pieces(0, n_samples, n_varying):
        x = nodes.piece(rows) * scale
        gram += x.T @ x
        total += x.sum(axis=0)
    return gram - np.outer(total, total / n_samples)


def _fourth(nodes: Nodes, scale: np.ndarray) -> float:
    """Σ_p ‖x_p‖⁴ of the deviations."""
    n_samples, n_varying = nodes.shape
    mean = sum((nodes.piece(rows) * scale).sum(axis=0) for rows in pieces(0, n_samples, n_varying)) / n_samples
    norms = (np.sum((nodes.piece(rows) * scale - mean) ** 2, axis=1) for rows in pieces(0, n_samples, n_varying))
    return float(sum(np.vdot(each, each) for each in norms))
