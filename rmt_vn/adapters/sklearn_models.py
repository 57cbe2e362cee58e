"""scikit-learn: the hidden layers of its multilayer perceptrons, from their weights alone, and from fresh ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from rmt_vn.baseline import Baseline, baseline
from rmt_vn.rng import RNG

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
    x = _checked(mlp, inputs)
    return _hidden(mlp.activation, x, mlp.coefs_, mlp.intercepts_)


def reinitialized_mlp(mlp: Any, inputs: ArrayLike, *, replicas: int = 20, rng: RNG = None, jobs: int = 1) -> Baseline:
    """The null of a scikit-learn MLP: its shapes with weights as it draws them before it is fitted, on the same inputs.

    It draws weights and biases uniformly within ±√(6/(fan-in + fan-out)), with 2 in place of 6 for the activation
    "logistic" (Glorot & Bengio 2010).

    Parameters
    ----------
    mlp : MLPClassifier or MLPRegressor
        A fitted one; it stays as it is.
    inputs : array_like, shape (samples, features)
        As they go into ``predict``, behind any scaling.
    replicas, rng, jobs
        As of `rmt_vn.baseline.baseline`.

    Returns
    -------
    Baseline
        Its layers are "1", "2", …: those that `mlp_activations` returns.

    Raises
    ------
    TypeError, ValueError
        As `mlp_activations`, and `rmt_vn.baseline.baseline`.
    """
    x = _checked(mlp, inputs)
    factor = 2.0 if mlp.activation == "logistic" else 6.0

    def run(seed: int) -> list[np.ndarray]:
        drawn = np.random.default_rng(seed)
        coefs, intercepts = [], []
        for n_in, n_out in (each.shape for each in mlp.coefs_):
            bound = (factor / (n_in + n_out)) ** 0.5
            coefs.append(drawn.uniform(-bound, bound, (n_in, n_out)))
            intercepts.append(drawn.uniform(-bound, bound, n_out))
        return _hidden(mlp.activation, x, coefs, intercepts)

    return baseline(run, replicas=replicas, rng=rng, jobs=jobs)


def _checked(mlp: Any, inputs: ArrayLike) -> np.ndarray:
    if not hasattr(mlp, "coefs_"):
        raise TypeError(f"mlp must be a fitted MLPClassifier or MLPRegressor, got {type(mlp).__name__} without coefs_")
    x = np.asarray(inputs, dtype=float)
    features = len(mlp.coefs_[0])
    if x.ndim != 2 or x.shape[1] != features:
        raise ValueError(f"inputs must have shape (samples, {features}), got {x.shape}")
    return x


def _hidden(
    activation: str, x: np.ndarray, coefs: Sequence[np.ndarray], intercepts: Sequence[np.ndarray]
) -> list[np.ndarray]:
    hidden = []
    for w, b in zip(coefs[:-1], intercepts[:-1], strict=True):
        x = _SKLEARN[activation](x @ w + b)
        hidden.append(x)
    return hidden
