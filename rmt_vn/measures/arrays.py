"""Arrays that users give: which axes are samples, and errors of one line for values that cannot be measured."""

from __future__ import annotations

import operator

import numpy as np
from numpy.typing import ArrayLike


def finite_array(name: str, values: ArrayLike) -> np.ndarray:
    """The values as float64; an error says how many of them are NaN or infinite, or that they are not real."""
    array = _real_array(name, values).astype(np.float64, copy=False)
    n_bad = array.size - int(np.count_nonzero(np.isfinite(array)))
    if n_bad:
        raise not_finite(name, n_bad, array.size)
    return array


def as_samples(activations: ArrayLike, *, node_axis: int = -1) -> np.ndarray:
    """Activations of any number of axes as (samples, nodes): all axes but that of the nodes are samples.

    Parameters
    ----------
    activations : array_like
        For example (batch, nodes), (batch, time, nodes), or (batch, channels, height, width).
    node_axis : int
        The axis of the nodes. The default is the last; the channels of a convolution in PyTorch's order are axis 1.

    Returns
    -------
    ndarray, shape (samples, nodes)
        Samples of one item of the batch stay neighbours. A view of the array where possible; the dtype is kept.

    Raises
    ------
    TypeError
        If the values are not real numbers, or `node_axis` is no integer.
    ValueError
        If there are fewer than two axes, no such axis, or no node.

    Examples
    --------
    >>> as_samples(np.zeros((32, 3, 8, 8)), node_axis=1).shape
    (2048, 3)
    """
    array = _real_array("activations", activations)
    if array.ndim < 2:
        raise ValueError(f"activations must have two axes (samples, nodes) or more, got shape {array.shape}")
    axis = operator.index(node_axis)
    if not -array.ndim <= axis < array.ndim:
        raise ValueError(f"node_axis must be an axis of shape {array.shape}, from {-array.ndim} on, got {axis}")
    moved = np.moveaxis(array, axis, -1)
    if moved.shape[-1] < 1:
        raise ValueError(f"activations must have at least 1 node (column), got shape {array.shape}")
    return moved.reshape(-1, moved.shape[-1]) if moved.ndim > 2 else moved


def not_finite(name: str, n_bad: int, size: int) -> ValueError:
    return ValueError(f"{name} must be finite, got {n_bad} NaN or infinite values of {size}")


def _real_array(name: str, values: ArrayLike) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must be an array of real numbers, got dtype {array.dtype}")
    return array
