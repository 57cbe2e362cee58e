"""`Network`, the description of a random network, which laws, samplers and predictions take as their argument."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import numpy as np

from rmt_vn import activations
from rmt_vn.activations import Activation
from rmt_vn.checks import checked_choice, checked_count
from rmt_vn.results import Result

__all__ = ["WEIGHTS", "Network", "Weights"]

Weights = Literal["gaussian", "orthogonal"]
WEIGHTS = get_args(Weights)
_WIDEST = 10**9
_LARGEST = 1e100
_SMALLEST = 1e-100


@dataclass(frozen=True, repr=False)
class Network(Result):
    """A random multilayer perceptron at initialization, x_l = φ(W_l x_{l−1} + b_l).

    Parameters
    ----------
    widths : sequence of int
        n_0, n_1, …, n_L: the number of inputs, then the widths of the L layers.
    activation : str or Activation
        φ, by name (see `rmt_vn.activations.ACTIVATIONS`) or your own `Activation`.
    weights : {"gaussian", "orthogonal"}
        Independent N(0, sigma_w²/fan-in) entries, or sigma_w × a Haar (semi-)orthogonal matrix.
    sigma_w : float
        Scale of the weights, from 1e-100 to 1e100: they have variance sigma_w²/fan-in.
    sigma_b : float
        Standard deviation of the biases, ≥ 0.
    keep : float
        Under dropout, the probability p with which each node of every layer is *kept*, 0 < p ≤ 1; kept nodes are
        multiplied by 1/p. By default 1, no dropout. (PyTorch's and Keras's rate is 1 − p.)

    Raises
    ------
    TypeError, ValueError
        If a parameter is not what it should be; the message names the value and the valid range.

    Examples
    --------
    >>> Network((784, 200, 200, 10), activation="tanh").depth
    3
    """

    widths: tuple[int, ...]
    activation: Activation = "tanh"  # type: ignore[assignment]
    weights: Weights = "gaussian"
    sigma_w: float = 1.0
    sigma_b: float = 0.0
    keep: float = 1.0
    # How many hidden-to-next weight matrices there are of each shape (n_in, n_out). The laws are products over
    # layers, so this is all they need of `widths`, however deep the network is.
    hidden_shapes: Counter[tuple[int, int]] = field(init=False, repr=False, compare=False)

    if TYPE_CHECKING:  # the types above are what is read; these are what may be given

        def __init__(
            self,
            widths: Sequence[int] | np.ndarray,
            activation: Activation | str = "tanh",
            weights: Weights = "gaussian",
            sigma_w: float = 1.0,
            sigma_b: float = 0.0,
            keep: float = 1.0,
        ) -> None: ...

    def __post_init__(self) -> None:
        def store(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        store("widths", _checked_widths(self.widths))
        store("hidden_shapes", Counter(zip(self.widths[1:], self.widths[2:], strict=False)))
        if isinstance(self.activation, str):
            store("activation", activations.get(self.activation))
        elif not isinstance(self.activation, Activation):
            raise TypeError(f"activation must be a name or an Activation, got {self.activation!r}")
        checked_choice("weights", self.weights, WEIGHTS)
        store("sigma_w", _checked_number("sigma_w", self.sigma_w, f"≥ {_SMALLEST:g}", lambda s: s >= _SMALLEST))
        store("sigma_b", _checked_number("sigma_b", self.sigma_b, "≥ 0", lambda s: s >= 0))
        store("keep", _checked_number("keep", self.keep, "in (0, 1]", lambda p: 0 < p <= 1))

    @classmethod
    def uniform(cls, width: int, depth: int, **parameters: Any) -> Self:
        """The network whose inputs and `depth` layers all have `width` nodes.

        Examples
        --------
        >>> Network.uniform(100, 50, activation="relu").widths == (100,) * 51
        True
        """
        return cls((width,) * (checked_count("depth", depth) + 1), **parameters)

    def __repr__(self) -> str:
        activation = self.activation.name
        return (
            f"Network({self.described_widths}, {activation}, {self.weights}, sigma_w={self.sigma_w:.6g}, "
            f"sigma_b={self.sigma_b:.6g}, keep={self.keep:.6g})"
        )

    @property
    def described_widths(self) -> str:
        """The widths in short, repeated ones once: "784, 200×60, 10"."""
        runs = ((width, sum(1 for _ in run)) for width, run in groupby(self.widths))
        return ", ".join(f"{width}×{count}" if count > 1 else f"{width}" for width, count in runs)

    @property
    def depth(self) -> int:
        """L, the number of weight matrices."""
        return len(self.widths) - 1

    @property
    def live_probability(self) -> float | None:
        """Probability that a node is live, in linear and ReLU networks, where D_l is a random mask; None for others.

        The signs of a ReLU network's h are independent fair coins, with or without biases; dropout is one more coin.
        """
        coins = {activations.get("linear"): 1.0, activations.get("relu"): 0.5}
        coin = coins.get(self.activation)
        return None if coin is None else coin * self.keep

    @property
    def s1(self) -> int:
        """First S-transform coefficient of W Wᵀ: −1 Gaussian, 0 orthogonal."""
        return -1 if self.weights == "gaussian" else 0


def mask_probability(network: Network, what: str, instead: str = "") -> float:
    """`Network.live_probability`, where D_l is a random mask.

    Raises
    ------
    ValueError
        For other activations: `what` is for 'linear' and 'relu' only, and `instead` says what to take.
    """
    if network.live_probability is None:
        raise ValueError(f"{what} is for 'linear' and 'relu' only, got {network.activation!r}{instead}")
    return network.live_probability


def _checked_widths(widths: Sequence[int] | np.ndarray) -> tuple[int, ...]:
    if isinstance(widths, (str, bytes)) or not isinstance(widths, (Sequence, np.ndarray)):
        raise TypeError(f"widths must be a sequence of integers (n_0, …, n_L), got {widths!r}")
    checked = tuple(widths)
    for kind in set(map(type, checked)):
        if not issubclass(kind, (int, np.integer)) or issubclass(kind, bool):
            wrong = next(width for width in checked if type(width) is kind)
            raise TypeError(f"each width must be an integer from 1 to {_WIDEST}, got {wrong!r}")
    if len(checked) < 2:
        raise ValueError(f"widths must be at least two, the inputs and one layer, got {checked!r}")
    for width in (min(checked), max(checked)):
        if not 1 <= width <= _WIDEST:
            raise ValueError(f"each width must be an integer from 1 to {_WIDEST}, got {width}")
    return tuple(map(int, checked))


def _checked_number(name: str, value: object, valid: str, is_valid: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number {valid}, got {value!r}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    # Between 1e-100 and 1e100, because the square must be a double too.
    if not (number <= _LARGEST and is_valid(number)):
        raise ValueError(f"{name} must be a number {valid} and at most {_LARGEST:g}, got {value!r}")
    return number
