"""Which samples belong together: positions of one image, times of one sequence, which are not independent."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike


def group_numbers(shape: tuple[int, ...], node_axis: int | None, groups: ArrayLike | None) -> np.ndarray | None:
    """The number of each sample's group, 0, 1, … in the order in which groups first come; None if each is its own.

    Parameters
    ----------
    shape : tuple of int
        Of the activations, two axes or more.
    node_axis : int, optional
        The axis of the nodes; the last by default.
    groups : int, array_like, or None
        An axis of the activations: what lies at one place of it is a group. Or a label for each place of the other
        axes, or of the first of them. By default the first axis that is not the nodes', if there are two such axes or
        more; else each sample is a group.

    Returns
    -------
    ndarray of int, shape (samples,), or None
        Samples in the order of `as_samples`.

    Raises
    ------
    ValueError
        If it is no axis of samples, or the labels do not fit, or some are missing.
    """
    nodes = (-1 if node_axis is None else node_axis) % len(shape)
    others = [axis for axis in range(len(shape)) if axis != nodes]
    of_samples = tuple(shape[axis] for axis in others)
    if groups is None:
        if len(others) == 1:
            return None
        groups = others[0]
    labels = np.asarray(groups)
    # NaN is not equal to itself.
    if n_missing := int(np.count_nonzero(np.ma.getmaskarray(np.ma.asarray(groups)) | (labels != labels))):
        raise ValueError(f"groups must have a label for each sample, got {n_missing} masked or NaN")
    if labels.ndim == 0:
        return _along(labels, others, of_samples, shape)
    if labels.shape == of_samples[:1]:
        labels = np.broadcast_to(labels.reshape(-1, *[1] * (len(others) - 1)), of_samples)
    if labels.shape != of_samples:
        valid = " or ".join(map(str, dict.fromkeys((of_samples, of_samples[:1]))))
        raise ValueError(f"groups must be an axis, or labels of shape {valid}, got shape {labels.shape}")
    return _in_order(labels.ravel())


def _along(axis: Any, others: list[int], of_samples: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    if axis.dtype.kind not in "iu" or not -len(shape) <= axis < len(shape) or int(axis) % len(shape) not in others:
        raise ValueError(f"groups must be one of the axes {others} of shape {shape}, or labels, got {axis}")
    place = others.index(int(axis) % len(shape))
    numbers = np.arange(of_samples[place]).reshape([-1 if at == place else 1 for at in range(len(others))])
    return np.broadcast_to(numbers, of_samples).ravel()


def _in_order(labels: np.ndarray) -> np.ndarray:
    if labels.dtype.kind in "iu" and len(labels) and not np.any(labels[1:] < labels[:-1]):
        return np.concatenate([[0], np.cumsum(labels[1:] != labels[:-1])])
    try:
        _, first, number = np.unique(labels, return_index=True, return_inverse=True)
    except TypeError as error:
        raise ValueError(f"groups must have labels that can be sorted, as numbers or strings: {error}") from None
    return np.argsort(np.argsort(first))[number]
