"""`Network` and `ResidualNetwork`: descriptions of random networks, which laws, samplers and predictions take."""

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

__all__ = ["NORMALIZATIONS", "WEIGHTS", "Network", "Normalization", "ResidualNetwork", "Weights"]

Weights = Literal["gaussian", "orthogonal"]
WEIGHTS = get_args(Weights)
Normalization = Literal["none", "pre", "post"]
NORMALIZATIONS = get_args(Normalization)
BranchRule = Literal["1/sqrt(L)"]
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
        store("activation", _checked_activation(self.activation))
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


@dataclass(frozen=True, repr=False)
class ResidualNetwork(Result):
    """A random residual network at initialization, L blocks x → s x + β W_2 φ(W_1 u) of a stream of width N.

    u is x, or LN(x) with normalization "pre"; with "post" LN is applied to the sum. LN takes from a vector the mean
    over its nodes and divides by their standard deviation. There are no biases, which are zero at initialization.

    Parameters
    ----------
    width : int
        N, of the stream.
    depth : int
        L, the number of blocks.
    hidden : int, optional
        m, the nodes between W_1 and W_2. By default the branch is a single matrix, β W u, and has no φ.
    activation : str or Activation
        φ; must be "linear" where the branch is a single matrix.
    weights : {"gaussian", "orthogonal"}
        As in `Network`, for all matrices.
    sigma_w : float or (float, float)
        σ_1 and σ_2: W_1 has entries of variance σ_1²/N, W_2 of variance σ_2²/m. One number is both, or that of the
        single matrix.
    skip : float
        s > 0.
    branch_scale : float or "1/sqrt(L)"
        β ≥ 0, or the rule that it follows as the depth changes.
    normalization : {"none", "pre", "post"}
    inputs, outputs : int, optional
        Nodes of an embedding's inputs, x_0 = E input, and of a readout's outputs, R x_L: matrices as the others, of
        σ = 1. By default there is none.

    Raises
    ------
    TypeError, ValueError
        If a parameter is not what it should be; the message names the value and the valid range.

    Examples
    --------
    >>> network = ResidualNetwork(64, 25, hidden=128, activation="relu", sigma_w=(2**0.5, 1), branch_scale="1/sqrt(L)")
    >>> network.beta
    0.2
    """

    width: int
    depth: int
    hidden: int | None = None
    activation: Activation = "tanh"  # type: ignore[assignment]
    weights: Weights = "gaussian"
    sigma_w: tuple[float, ...] = 1.0  # type: ignore[assignment]
    skip: float = 1.0
    branch_scale: float | BranchRule = 1.0
    normalization: Normalization = "none"
    inputs: int | None = None
    outputs: int | None = None

    if TYPE_CHECKING:

        def __init__(
            self,
            width: int,
            depth: int,
            hidden: int | None = None,
            activation: Activation | str = "tanh",
            weights: Weights = "gaussian",
            sigma_w: float | Sequence[float] = 1.0,
            skip: float = 1.0,
            branch_scale: float | BranchRule = 1.0,
            normalization: Normalization = "none",
            inputs: int | None = None,
            outputs: int | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        def store(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        store("width", checked_count("width", self.width, most=_WIDEST))
        store("depth", checked_count("depth", self.depth, most=_WIDEST))
        for name in ("hidden", "inputs", "outputs"):
            if getattr(self, name) is not None:
                store(name, checked_count(name, getattr(self, name), most=_WIDEST))
        store("activation", _checked_activation(self.activation))
        if self.hidden is None and self.activation.name != "linear":
            raise ValueError(
                f"hidden must be given where the branch has an activation, got None with {self.activation!r}; a branch "
                "of a single matrix is 'linear'"
            )
        checked_choice("weights", self.weights, WEIGHTS)
        checked_choice("normalization", self.normalization, NORMALIZATIONS)
        least = 1 if self.normalization == "none" else 3
        if self.width < least:
            raise ValueError(
                f"width must be at least {least} with normalization {self.normalization!r}, got {self.width}"
            )
        store("sigma_w", _checked_scales(self.sigma_w, 1 if self.hidden is None else 2))
        store("skip", _checked_number("skip", self.skip, "> 0", lambda s: s > 0))
        if isinstance(self.branch_scale, str):
            checked_choice("branch_scale, where it is no number ≥ 0,", self.branch_scale, get_args(BranchRule))
        else:
            store("branch_scale", _checked_number("branch_scale", self.branch_scale, "≥ 0", lambda s: s >= 0))

    @property
    def beta(self) -> float:
        """β, the number that multiplies the branch."""
        return self.depth**-0.5 if isinstance(self.branch_scale, str) else self.branch_scale

    @property
    def branch_shapes(self) -> tuple[tuple[int, int], ...]:
        """(n_in, n_out) of the branch's one or two matrices, W_1 first."""
        if self.hidden is None:
            return ((self.width, self.width),)
        return (self.width, self.hidden), (self.hidden, self.width)

    @property
    def branch(self) -> tuple[Network, ...]:
        """The branch's matrices, W_1 with the φ behind it first, as networks of one layer each."""
        ends = (self.activation,) if self.hidden is None else (self.activation, activations.get("linear"))
        layers = zip(self.branch_shapes, ends, self.sigma_w, strict=True)
        return tuple(Network(shape, phi, self.weights, sigma_w) for shape, phi, sigma_w in layers)

    @property
    def embedding(self) -> Network | None:
        """E as a network of one linear layer, where there is one."""
        return None if self.inputs is None else Network((self.inputs, self.width), "linear", self.weights)

    @property
    def readout(self) -> Network | None:
        """R as a network of one linear layer, where there is one."""
        return None if self.outputs is None else Network((self.width, self.outputs), "linear", self.weights)

    @property
    def widths(self) -> tuple[int, ...]:
        """Those of the inputs, where there is an embedding, of x_0, x_1, …, x_L, and of the outputs of a readout."""
        ends = [() if each is None else (each,) for each in (self.inputs, self.outputs)]
        return ends[0] + (self.width,) * (self.depth + 1) + ends[1]


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


def _checked_activation(activation: Activation | str) -> Activation:
    if isinstance(activation, str):
        return activations.get(activation)
    if not isinstance(activation, Activation):
        raise TypeError(f"activation must be a name or an Activation, got {activation!r}")
    return activation


def _checked_scales(sigma_w: float | Sequence[float], count: int) -> tuple[float, ...]:
    """One number for each of `count` matrices."""
    scales = (sigma_w,) * count if isinstance(sigma_w, Real) else sigma_w
    if not isinstance(scales, (tuple, list, np.ndarray)) or len(scales) != count:
        raise ValueError(f"sigma_w must be a number > 0, or {count}, one for each matrix of the branch, got {scales!r}")
    return tuple(_checked_number("sigma_w", each, "> 0", lambda s: s > 0) for each in scales)


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
        most = "" if valid.endswith("]") else f" and at most {_LARGEST:g}"
        raise ValueError(f"{name} must be a number {valid}{most}, got {value!r}")
    return number
