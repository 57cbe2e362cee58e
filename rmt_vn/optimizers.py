"""Optimizers: gradient descent, momentum, RMSProp and Adam, with the formulas and constants of PyTorch's defaults.

`init` and `update` work on lists of arrays whose first axis runs over replicas, each with its own learning rate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from rmt_vn.checks import checked_choice

__all__ = ["OptimizerName", "State", "init", "update"]

OptimizerName = Literal["sgd", "momentum", "rmsprop", "adam"]

MOMENTUM = 0.9
RMSPROP_DECAY = 0.99
ADAM_DECAYS = (0.9, 0.999)
EPSILON = 1e-8


@dataclass(eq=False)
class State:
    """What an optimizer remembers: its name, the number of steps done, and its running means, a list for each kind."""

    name: OptimizerName
    step: int
    means: list[list[np.ndarray]]


def init(name: OptimizerName, parameters: Sequence[np.ndarray]) -> State:
    """The state of an optimizer before its first step.

    Parameters
    ----------
    name : {"sgd", "momentum", "rmsprop", "adam"}
    parameters : sequence of ndarray, shapes (replicas, …)

    Raises
    ------
    ValueError
        If there is no optimizer of that name.
    """
    checked_choice("optimizer", name, OPTIMIZERS)
    _, n_means = OPTIMIZERS[name]
    return State(name, 0, [[np.zeros_like(p) for p in parameters] for _ in range(n_means)])


@np.errstate(over="ignore", invalid="ignore")
def update(
    parameters: Sequence[np.ndarray], gradients: Sequence[np.ndarray], state: State, learning_rate: ArrayLike
) -> None:
    """One step, in place: `parameters` and `state` change, `gradients` do not.

    Parameters
    ----------
    parameters, gradients : sequence of ndarray, shapes (replicas, …)
    state : State
        As from `init`.
    learning_rate : float or array_like, shape (replicas,)

    Raises
    ------
    ValueError
        If a learning rate is not a positive finite number, or there are not as many as replicas.
    """
    rates = learning_rates(learning_rate, len(parameters[0])).tolist()
    direction, _ = OPTIMIZERS[state.name]
    state.step += 1
    for p, g, *means in zip(parameters, gradients, *state.means, strict=True):
        # One replica after the other, so that its numbers stay in the cache from one line of the formula to the next.
        for k, rate in enumerate(rates):
            p[k] -= rate * direction(g[k], state.step, *(mean[k] for mean in means))


def learning_rates(learning_rate: ArrayLike, replicas: int) -> np.ndarray:
    """One learning rate for each replica, shape (replicas,); errors as `update`."""
    rates = np.asarray(learning_rate)
    if rates.dtype.kind not in "fiu":
        raise TypeError(f"learning_rate must be a positive number, or one for each replica, got {learning_rate!r}")
    if rates.shape not in ((), (replicas,)):
        raise ValueError(f"learning_rate must be one number or {replicas}, one a replica, got shape {rates.shape}")
    wrong = rates[~((rates > 0) & (rates < np.inf))]
    if wrong.size:
        raise ValueError(f"learning_rate must be positive and finite, got {wrong.flat[0]}")
    return np.broadcast_to(rates.astype(float), (replicas,))


def _sgd(g: np.ndarray, step: int) -> np.ndarray:
    return g


def _momentum(g: np.ndarray, step: int, m: np.ndarray) -> np.ndarray:
    m *= MOMENTUM
    m += g
    return m


def _rmsprop(g: np.ndarray, step: int, v: np.ndarray) -> np.ndarray:
    v *= RMSPROP_DECAY
    v += (1 - RMSPROP_DECAY) * g * g
    return g / (np.sqrt(v) + EPSILON)


def _adam(g: np.ndarray, step: int, m: np.ndarray, v: np.ndarray) -> np.ndarray:
    """m̂/(√v̂ + ε), with m̂ = m/(1 − β_1^t) and v̂ = v/(1 − β_2^t) (Kingma & Ba 2015)."""
    beta_1, beta_2 = ADAM_DECAYS
    m *= beta_1
    m += (1 - beta_1) * g
    v *= beta_2
    v += (1 - beta_2) * g * g
    # Both corrections go into the denominator, and everything is computed in one array.
    correction = 1 - beta_1**step
    root = np.sqrt(v)
    root *= correction / (1 - beta_2**step) ** 0.5
    root += correction * EPSILON
    return np.divide(m, root, out=root)


# The step as a function of gradient, step number and running means, and how many running means there are.
OPTIMIZERS: dict[str, tuple[Callable[..., np.ndarray], int]] = {
    "sgd": (_sgd, 0),
    "momentum": (_momentum, 1),
    "rmsprop": (_rmsprop, 1),
    "adam": (_adam, 2),
}
