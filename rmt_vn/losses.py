"""Logistic, softmax and squared loss, with their gradients with respect to the outputs, for many replicas at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from scipy.special import expit

__all__ = ["LOSSES", "Loss", "logistic", "softmax", "squared"]

Loss = Literal["logistic", "softmax", "squared"]

# A network that diverges shows it by NaN and infinity in the results; thousands of warnings would add nothing.
_quiet = np.errstate(over="ignore", invalid="ignore")


@_quiet
def logistic(outputs: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of ln(1 + e^{−yz}) over the samples, and its gradient.

    Parameters
    ----------
    outputs : ndarray, shape (replicas, 1, samples)
        z.
    labels : ndarray, shape (replicas or 1, samples)
        y, −1 or 1.

    Returns
    -------
    loss : ndarray, shape (replicas,)
        float64.
    gradient : ndarray, shape of the outputs
        ∂loss/∂z.
    """
    y = labels.astype(outputs.dtype, copy=False)[:, None]
    loss = np.logaddexp(0, -y * outputs)
    return loss[:, 0].mean(axis=-1, dtype=float), -y * expit(-y * outputs) / outputs.shape[-1]


@_quiet
def softmax(outputs: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of −ln(e^{z_y}/Σ_k e^{z_k}) over the samples, and its gradient.

    Parameters
    ----------
    outputs : ndarray, shape (replicas, classes, samples)
        z.
    labels : ndarray, shape (replicas or 1, samples)
        y, integers from 0 to classes − 1.

    Returns
    -------
    loss, gradient
        As `logistic`.
    """
    log_p = outputs - outputs.max(axis=1, keepdims=True)
    log_p -= np.log(np.exp(log_p).sum(axis=1, keepdims=True))
    is_y = np.arange(outputs.shape[1])[:, None] == labels[:, None]
    loss = np.where(is_y, log_p, 0).sum(axis=1)
    return -loss.mean(axis=-1, dtype=float), (np.exp(log_p) - is_y) / outputs.dtype.type(outputs.shape[-1])


@_quiet
def squared(outputs: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of ½‖z − y‖² over the samples, and its gradient.

    Parameters
    ----------
    outputs : ndarray, shape (replicas, n_L, samples)
        z.
    labels : ndarray, shape (replicas or 1, samples, n_L)
        y.

    Returns
    -------
    loss, gradient
        As `logistic`.
    """
    error = outputs - labels.mT.astype(outputs.dtype, copy=False)
    loss = np.square(error, dtype=float).sum(axis=1) / 2
    return loss.mean(axis=-1), error / outputs.shape[-1]


LOSSES: dict[str, Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]] = {
    loss.__name__: loss for loss in (logistic, softmax, squared)
}
