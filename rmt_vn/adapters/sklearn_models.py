"""scikit-learn: the hidden layers of its multilayer perceptrons, from their weights alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

# scikit-learn's names of activations.
_SKLEARN: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "identity": lambda h: h,
    "logistic": expit,
    "tanh": np.tanh,
    "relu": lambda h: np.maximum(h, 0.0),
}


def mlp_activations(mlp: Any, inputs: ArrayLike) -> list[np.ndarray]:
    """Activations of the hidden layers of a fitted scikit-learn MLPClassifier or MLPRegressor, from its weights.

    Parameters
    ----------
    mlp : MLPClassifier or MLPRegressor
        Anything with ``coefs_``, ``intercepts_`` and ``activation``.
    inputs : array_like, shape (samples, features)
        As they go into ``predict``, behind any scaling.

    Returns
    -------
    list of ndarray, each of shape (samples, nodes)

    Raises
    ------
    TypeError
        If `mlp` is no fitted MLP.
    ValueError
        If `inputs` have the wrong shape.
    """
    if not hasattr(mlp, "coefs_"):
        raise TypeError(f"mlp must be a fitted MLPClassifier or MLPRegressor, got {type(mlp).__name__} without coefs_")
    x = np.asarray(inputs, dtype=float)
    features = len(mlp.coefs_[0])
    if x.ndim != 2 or x.shape[1] != features:
        raise ValueError(f"inputs must have shape (samples, {features}), got {x.shape}")
    hidden = []
    for coefs, intercepts in zip(mlp.coefs_[:-1], mlp.intercepts_[:-1], strict=True):
        x = _SKLEARN[mlp.activation](x @ coefs + intercepts)
        hidden.append(x)
    return hidden
