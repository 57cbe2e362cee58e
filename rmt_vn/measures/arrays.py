"""Arrays that users give: which axes are samples, and errors of one line for values that cannot be measured."""

from __future__ import annotations

import operator

import numpy as np
from numpy.typing import ArrayLike

from rmt_vn.measures.conversion import check_exact, real_array


def finite_array(name: str, values: ArrayLike) -> np.ndarray:
    """The values as float64; an error says how many of them are NaN or infinite, or that they are not real."""
    given = real_array(name, values)
    check_exact(name, given)
    array = given.astype(np.float64, copy=False)
    n_bad = array.size - int(np.count_nonzero(np.isfinite(array)))
    if n_bad:
        raise not_finite(name, n_bad, array.size)
    return array


def as_samples(activations: ArrayLike, *, node_axis: int | None = None) -> np.ndarray:
    """Activations of any number of axes as (samples, nodes): all axes but that of the nodes are samples.

    Parameters
    ----------
    activations : array_like
        For example (batch, nodes), (batch, time, nodes), or (batch, channels, height, width). Also a tensor, on any
        device, or a data frame of numbers.
    node_axis : int, optional
        The axis of the nodes. Of two or three axes it is the last by default, so that three are taken as (batch, time,
        nodes). Of four or more it must be given: the channels of a convolution are axis 1 in PyTorch's order, and -1
        where channels come last.

    Returns
    -------
    ndarray, shape (samples, nodes)
        Samples of one item of the batch stay neighbours. A view of the array where possible; the dtype is kept.

    Raises
    ------
    TypeError
        If the values are not real numbers, or `node_axis` is no integer.
    ValueError
        If there are fewer than two axes, no such axis, or no node; if there are four axes or more and `node_axis` is
        not given; if values are masked, or are numbers that float64 does not hold exactly.

    Examples
    --------
    >>> as_samples(np.zeros((32, 3, 8, 8)), node_axis=1).shape
    (2048, 3)
    """
    array = real_array("activations", activations)
    if array.ndim < 2:
        raise ValueError(f"activations must have two axes (samples, nodes) or more, got shape {array.shape}")
    if node_axis is None and array.ndim > 3:
        raise ValueError(
            f"activations have {array.ndim} axes, shape {array.shape}: node_axis must say which one numbers the nodes, "
            "for example 1 for channels in PyTorch's order, -1 for channels last"
        )
    if node_axis is not None and not hasattr(node_axis, "__index__"):
        raise TypeError(f"node_axis must be an integer, got {node_axis!r}")
    axis = -1 if node_axis is None else operator.index(node_axis)
    if not -array.ndim <= axis < array.ndim:
        valid = f"from {-array.ndim} to {array.ndim - 1}"
        raise ValueError(f"node_axis must be an axis of shape {array.shape}, {valid}, got {axis}")
    moved = np.moveaxis(array, axis, -1)
    if moved.shape[-1] < 1:
        raise ValueError(f"activations must have at least 1 node (column), got shape {array.shape}")
    samples = moved.reshape(-1, moved.shape[-1]) if moved.ndim > 2 else moved
    check_exact("activations", samples)
    return samples


def not_finite(name: str, n_bad: int, size: int) -> ValueError:
    return ValueError(f"{name} must be finite, got {n_bad} NaN or infinite values of {size}")
