"""Arrays to numbers: node correlations, VNI, effective number of nodes, participation ratio.

Activations are arrays (samples, nodes), and nodes are centred over the samples. Jacobians are arrays
(…, nodes, inputs), whose node covariance for isotropic inputs is C = J Jᵀ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

DEAD = ("omit", "raise")


@dataclass(frozen=True)
class NodeVNI:
    """The vanishing node indicator of one layer's activations.

    Attributes
    ----------
    value : float
        VNI = (1/N²) Σ_ij ρ_ij² over the N live nodes, between 1/N and 1.
    effective_nodes : float
        1/VNI.
    n_nodes : int
        Nodes in the array, dead ones included.
    n_samples : int
    dead_nodes : int
        Nodes constant over the samples; they have no correlations and are left out of N.
    """

    value: float
    effective_nodes: float
    n_nodes: int
    n_samples: int
    dead_nodes: int


def vni(activations: ArrayLike, *, dead: str = "omit") -> NodeVNI:
    """Vanishing node indicator of activations (Chang & Lin 2019).

    The plug-in estimate: with P samples it is high by (1 − 1/N)/(P − 1) for independent nodes.

    Parameters
    ----------
    activations : array_like, shape (samples, nodes)
        At least two samples.
    dead : {"omit", "raise"}
        What to do about nodes that are constant over the samples.

    Raises
    ------
    ValueError
        If the array has the wrong shape, NaN or infinite values, fewer than two samples, or no live node.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((1000, 4))
    >>> vni(np.repeat(x, 5, axis=1)).effective_nodes.__round__(1)
    4.0
    """
    array = _checked_activations(activations)
    directions = _node_directions(array, dead)
    value = float(_mean_square_overlap(directions))
    return NodeVNI(
        value=value,
        effective_nodes=1 / value,
        n_nodes=array.shape[1],
        n_samples=array.shape[0],
        dead_nodes=array.shape[1] - len(directions),
    )


def correlation(activations: ArrayLike, *, dead: str = "omit") -> np.ndarray:
    """Correlation coefficients ρ_ij of the live nodes over the samples.

    Parameters and errors as `vni`.

    Returns
    -------
    ndarray, shape (live nodes, live nodes)
    """
    directions = _node_directions(_checked_activations(activations), dead)
    return directions @ directions.T


def participation_ratio(activations: ArrayLike) -> float:
    """(Tr C)²/Tr C² of the node covariance C, between 1 and the number of nodes.

    The effective dimension of the covariance; 1/VNI is the same of the correlation matrix. Parameters and errors as
    `vni`.
    """
    deviations = _deviations(_checked_activations(activations), common_scale=True)
    if not deviations.any():
        raise ValueError(f"all {deviations.shape[1]} nodes are constant over the samples; at least one must vary")
    return float(jacobian_participation_ratio(deviations.T))


def jacobian_vni(jacobian: ArrayLike) -> np.ndarray:
    """VNI of the rows of Jacobians, for inputs in a small ball. Rows of zeros are dead nodes and left out.

    Parameters
    ----------
    jacobian : array_like, shape (..., nodes, inputs)

    Returns
    -------
    ndarray, shape (...)

    Raises
    ------
    ValueError
        If values are NaN or infinite, or a Jacobian has no live row.
    """
    return _mean_square_overlap(_unit_rows(_checked_jacobian(jacobian)))


def jacobian_correlation(jacobian: ArrayLike) -> np.ndarray:
    """ρ_ij = C_ij/√(C_ii C_jj), C = J Jᵀ; zero for dead nodes. Shape (..., nodes, nodes)."""
    directions = _unit_rows(_checked_jacobian(jacobian))
    return directions @ np.swapaxes(directions, -2, -1)


def jacobian_participation_ratio(jacobian: ArrayLike) -> np.ndarray:
    """(Tr C)²/Tr C², C = J Jᵀ, shape (...); its reciprocal is what the thesis uses in place of the VNI."""
    array = _checked_jacobian(jacobian)
    scale = np.abs(array).max(axis=(-2, -1), keepdims=True)
    if not np.all(scale > 0):
        raise ValueError("a Jacobian is zero throughout; at least one entry must not be")
    array = array / scale
    return np.sum(array**2, axis=(-2, -1)) ** 2 / _gram_square(array)


def _mean_square_overlap(directions: np.ndarray) -> np.ndarray:
    """(1/N²) Σ_ij (dᵢ·dⱼ)² over the N unit rows; rows of zeros do not count."""
    live = np.sum(directions.any(axis=-1), axis=-1)
    return _gram_square(directions) / live**2


def _gram_square(rows: np.ndarray) -> np.ndarray:
    """‖R Rᵀ‖² = ‖Rᵀ R‖² (Frobenius), from the smaller of the two."""
    transposed = np.swapaxes(rows, -2, -1)
    gram = rows @ transposed if rows.shape[-2] <= rows.shape[-1] else transposed @ rows
    return np.sum(gram**2, axis=(-2, -1))


def _unit_rows(jacobian: np.ndarray) -> np.ndarray:
    largest = np.abs(jacobian).max(axis=-1, keepdims=True)
    if not np.all(largest.any(axis=-2)):
        raise ValueError("all rows of a Jacobian are zero; at least one node must be alive")
    # Dead rows stay zero. Dividing by the largest entry first keeps the squares in range.
    scaled = jacobian / np.where(largest > 0, largest, 1.0)
    length = np.linalg.norm(scaled, axis=-1, keepdims=True)
    return scaled / np.where(length > 0, length, 1.0)


def _node_directions(array: np.ndarray, dead: str) -> np.ndarray:
    """The live nodes' deviations from their means as unit vectors, shape (live nodes, samples)."""
    if dead not in DEAD:
        raise ValueError(f"dead must be one of {', '.join(DEAD)}, got {dead!r}")
    deviations = _deviations(array, common_scale=False)
    live = deviations.any(axis=0)
    n_dead = int(np.sum(~live))
    if n_dead == array.shape[1] or (n_dead and dead == "raise"):
        raise ValueError(
            f"{n_dead} of {array.shape[1]} nodes are constant over the samples, the first at column "
            f"{int(np.argmin(live))}; a correlation needs nodes that vary"
        )
    return _unit_rows(deviations.T[live])


def _deviations(array: np.ndarray, *, common_scale: bool) -> np.ndarray:
    """Deviations of the nodes from their means, up to a factor (of each or of all); zero for a constant node."""
    # Taken from the first sample before the mean: a constant column gives zero, not the mean's rounding error. Halved
    # and scaled to at most one, because differences and sums of finite numbers may overflow.
    shifted = array / 2 - array[0] / 2
    largest = np.abs(shifted).max(axis=None if common_scale else 0)
    shifted /= np.where(largest > 0, largest, 1.0)
    return shifted - shifted.mean(axis=0)


def _checked_activations(activations: ArrayLike) -> np.ndarray:
    array = finite_array("activations", activations)
    if array.ndim != 2:
        raise ValueError(f"activations must have two axes (samples, nodes), got shape {array.shape}")
    if array.shape[0] < 2:
        raise ValueError(f"activations must have at least 2 samples (rows), got {array.shape[0]}")
    if array.shape[1] < 1:
        raise ValueError(f"activations must have at least 1 node (column), got shape {array.shape}")
    return array


def _checked_jacobian(jacobian: ArrayLike) -> np.ndarray:
    array = finite_array("jacobian", jacobian)
    if array.ndim < 2 or 0 in array.shape[-2:]:
        raise ValueError(f"a Jacobian must have shape (..., nodes, inputs), both at least 1, got {array.shape}")
    return array


def finite_array(name: str, values: ArrayLike) -> np.ndarray:
    """The values as float64, or an error that says how many of them are NaN or infinite, or that they are not real."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must be an array of real numbers, got dtype {array.dtype}")
    array = array.astype(np.float64, copy=False)
    n_bad = array.size - int(np.count_nonzero(np.isfinite(array)))
    if n_bad:
        raise ValueError(f"{name} must be finite, got {n_bad} NaN or infinite values of {array.size}")
    return array
