"""Measures of Jacobians (…, nodes, inputs): for isotropic inputs in a small ball the node covariance is C = J Jᵀ."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from rmt_vn.measures.arrays import finite_array


def jacobian_vni(jacobian: ArrayLike) -> np.ndarray:
    """VNI of the nodes, for inputs in a small ball. Nodes that are not live have rows of zeros and are left out.

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
    return mean_square_overlap(unit_rows(_checked_jacobian(jacobian)))


def jacobian_correlation(jacobian: ArrayLike) -> np.ndarray:
    """ρ_ij = C_ij/√(C_ii C_jj), C = J Jᵀ; zero for nodes that are not live. Shape (..., nodes, nodes)."""
    directions = unit_rows(_checked_jacobian(jacobian))
    return directions @ np.swapaxes(directions, -2, -1)


def jacobian_participation_ratio(jacobian: ArrayLike) -> np.ndarray:
    """(Tr C)²/Tr C², C = J Jᵀ, shape (...); its reciprocal is what the thesis uses in place of the VNI."""
    array = _checked_jacobian(jacobian)
    scale = np.abs(array).max(axis=(-2, -1), keepdims=True)
    if not np.all(scale > 0):
        raise ValueError("a Jacobian is zero throughout; at least one entry must not be")
    array = array / scale
    return np.sum(array**2, axis=(-2, -1)) ** 2 / _gram_square(array)


def mean_square_overlap(directions: np.ndarray) -> np.ndarray:
    """(1/N²) Σ_ij (dᵢ·dⱼ)² over the N unit rows; rows of zeros do not count."""
    live = np.sum(directions.any(axis=-1), axis=-1)
    return _gram_square(directions) / live**2


def unit_rows(jacobian: np.ndarray) -> np.ndarray:
    """The rows scaled to length one; rows of zeros stay zero. An error if all rows are zero."""
    largest = np.abs(jacobian).max(axis=-1, keepdims=True)
    if not np.all(largest.any(axis=-2)):
        raise ValueError("all rows of a Jacobian are zero; at least one node must be live")
    # Dividing by the largest entry first keeps the squares in range.
    scaled = jacobian / np.where(largest > 0, largest, 1.0)
    length = np.linalg.norm(scaled, axis=-1, keepdims=True)
    return scaled / np.where(length > 0, length, 1.0)


def _gram_square(rows: np.ndarray) -> np.ndarray:
    """‖R Rᵀ‖² = ‖Rᵀ R‖² (Frobenius), from the smaller of the two."""
    transposed = np.swapaxes(rows, -2, -1)
    gram = rows @ transposed if rows.shape[-2] <= rows.shape[-1] else transposed @ rows
    return np.sum(gram**2, axis=(-2, -1))


def _checked_jacobian(jacobian: ArrayLike) -> np.ndarray:
    array = finite_array("jacobian", jacobian)
    if array.ndim < 2 or 0 in array.shape[-2:]:
        raise ValueError(f"a Jacobian must have shape (..., nodes, inputs), both at least 1, got {array.shape}")
    return array
