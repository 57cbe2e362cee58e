"""Activation functions φ with their slopes φ′, kinks, and Gaussian moments where these are known in closed form."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from scipy.special import erf as _erf
from scipy.special import erfc, erfcx, expit, log_expit, ndtr

__all__ = ["ACTIVATIONS", "Activation", "get", "leaky_relu"]

Function = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Activation:
    """An activation function, as the mean-field theory and the samplers need it.

    Parameters
    ----------
    phi, dphi : callable
        φ and φ′, each from an array to an array of the same shape.
    kinks : tuple of float
        Where φ or φ′ is not smooth; Gaussian averages are split there.
    name : str
        For messages and legends.
    second_moment : callable, optional
        q ↦ E φ(√q z)², z ~ N(0, 1), in closed form; without it, quadrature is used.
    slope_moment : callable, optional
        (q, k) ↦ μ_k = E φ′(√q z)^{2k}, in closed form; without it, quadrature is used.
    log_slope : callable, optional
        h ↦ ln |φ′(h)|, from an array to an array, for φ′ that underflow without being zero. Without it, a node whose φ′
        is zero in double precision does not count as live.

    Examples
    --------
    >>> softsign = Activation(lambda x: x / (1 + abs(x)), lambda x: (1 + abs(x)) ** -2.0, kinks=(0.0,))
    >>> softsign.is_odd
    True
    """

    phi: Function
    dphi: Function
    kinks: tuple[float, ...] = ()
    name: str = "custom"
    second_moment: Callable[[float], float] | None = None
    slope_moment: Callable[[float, int], float] | None = None
    log_slope: Function | None = None

    def __post_init__(self) -> None:
        for label, function in (("phi", self.phi), ("dphi", self.dphi)):
            if not callable(function):
                raise TypeError(f"{label} must be a function of an array, got {function!r}")
        try:
            kinks = tuple(sorted(float(kink) for kink in self.kinks))
        except (TypeError, ValueError) as error:
            raise TypeError(f"kinks must be a sequence of finite numbers, got {self.kinks!r}") from error
        if not np.all(np.isfinite(kinks)):
            raise ValueError(f"kinks must be finite numbers, got {self.kinks!r}")
        object.__setattr__(self, "kinks", kinks)

    def __repr__(self) -> str:
        return f"<Activation {self.name}>"

    def __str__(self) -> str:
        return self.name

    @cached_property
    def is_odd(self) -> bool:
        """Whether φ(−x) = −φ(x), on a grid over |x| ≤ 10."""
        x = np.linspace(0.0, 10.0, 401)
        with np.errstate(all="ignore"):
            even_part, scale = np.abs(self.phi(-x) + self.phi(x)), np.abs(self.phi(x)).max()
        return bool(np.all(even_part <= 1e-12 * scale))

    @cached_property
    def is_homogeneous(self) -> bool:
        """Whether φ(λx) = λφ(x) for λ > 0 (linear, ReLU family), so that μ_k does not depend on q."""
        x = np.geomspace(1e-3, 1e3, 61)
        with np.errstate(all="ignore"):
            return all(
                bool(np.allclose(self.phi(sign * x), self.phi(np.array([sign])) * x, rtol=1e-12, atol=0.0))
                for sign in (-1.0, 1.0)
            )


class _Bound(partial):
    """A partial that equals another of the same function and arguments, so that networks compare by value."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Bound) and (self.func, self.keywords) == (other.func, other.keywords)

    def __hash__(self) -> int:
        return hash((self.func, *sorted(self.keywords.items())))


def _one(x: np.ndarray) -> np.ndarray:
    return np.ones_like(x)


def _identity(x: np.ndarray) -> np.ndarray:
    return np.asarray(x) * 1.0


def _leaky(x: np.ndarray, slope: float) -> np.ndarray:
    return np.where(x > 0, x, slope * x)


def _leaky_slope(x: np.ndarray, slope: float) -> np.ndarray:
    return np.where(np.asarray(x) > 0, 1.0, slope)


def _leaky_second(q: float, slope: float) -> float:
    return q * (1 + slope**2) / 2


def _leaky_mu(q: float, k: int, slope: float) -> float:
    return (1 + slope ** (2 * k)) / 2


def _relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0.0)


def _tanh_slope(x: np.ndarray) -> np.ndarray:
    # 1/cosh², which neither cancels nor overflows so.
    decay = np.exp(-2 * np.abs(x))
    return 4 * decay / (1 + decay) ** 2


def _tanh_log_slope(x: np.ndarray) -> np.ndarray:
    return np.log(4) - 2 * np.abs(x) - 2 * np.log1p(np.exp(-2 * np.abs(x)))


def _clip(x: np.ndarray) -> np.ndarray:
    return np.clip(x, -1.0, 1.0)


def _clip_slope(x: np.ndarray) -> np.ndarray:
    return np.where(np.abs(x) < 1, 1.0, 0.0)


def _clip_second(q: float) -> float:
    if q == 0:
        return 0.0
    a = 1 / np.sqrt(2 * q)
    return float(q * (_erf(a) - 2 * a * np.exp(-a * a) / np.sqrt(np.pi)) + erfc(a))


def _clip_mu(q: float, k: int) -> float:
    return 1.0 if q == 0 else float(_erf(1 / np.sqrt(2 * q)))


def _erf_slope(x: np.ndarray) -> np.ndarray:
    return 2 / np.sqrt(np.pi) * np.exp(-np.square(x))


def _erf_log_slope(x: np.ndarray) -> np.ndarray:
    return np.log(2 / np.sqrt(np.pi)) - np.square(x)


def _erf_second(q: float) -> float:
    return float(2 / np.pi * np.arcsin(2 * q / (1 + 2 * q)))


def _erf_mu(q: float, k: int) -> float:
    return float((4 / np.pi) ** k / np.sqrt(1 + 4 * k * q))


def _sigmoid_slope(x: np.ndarray) -> np.ndarray:
    return expit(x) * expit(-np.asarray(x))


def _sigmoid_log_slope(x: np.ndarray) -> np.ndarray:
    return log_expit(x) + log_expit(-np.asarray(x))


def _softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(0.0, x)


def _gelu(x: np.ndarray) -> np.ndarray:
    return x * ndtr(x)


def _gelu_slope(x: np.ndarray) -> np.ndarray:
    return ndtr(x) + x * np.exp(-np.square(x) / 2) / np.sqrt(2 * np.pi)


def _gelu_log_slope(x: np.ndarray) -> np.ndarray:
    # Φ(x) is Mills' ratio times the density: for x < 0 neither underflows.
    mills = np.sqrt(np.pi / 2) * erfcx(-np.minimum(x, 0) / np.sqrt(2))
    below = np.log(np.abs(x + mills)) - np.square(x) / 2 - np.log(2 * np.pi) / 2
    return np.where(np.asarray(x) < -1, below, np.log(np.abs(_gelu_slope(np.maximum(x, -1)))))


def _silu(x: np.ndarray) -> np.ndarray:
    return x * expit(x)


def _silu_slope(x: np.ndarray) -> np.ndarray:
    return expit(x) * (1 + x * expit(-np.asarray(x)))


def _silu_log_slope(x: np.ndarray) -> np.ndarray:
    return log_expit(x) + np.log(np.abs(1 + x * expit(-np.asarray(x))))


def _sin_second(q: float) -> float:
    return float(-np.expm1(-2 * q) / 2)


def _sin_mu(q: float, k: int) -> float:
    # cos^{2k} = 4^{-k} [C(2k, k) + 2 Σ_{j≥1} C(2k, k−j) cos 2jx], and E cos(a√q z) = e^{−a²q/2}.
    row = [1]
    for j in range(2 * k):
        row.append(row[-1] * (2 * k - j) // (j + 1))
    return float(row[k] + 2 * sum(row[k - j] * np.exp(-2 * j * j * q) for j in range(1, k + 1))) / 4**k


def leaky_relu(slope: float = 0.01) -> Activation:
    """Leaky ReLU, max(x, 0) + slope·min(x, 0)."""
    if not np.isfinite(slope):
        raise ValueError(f"slope must be a finite number, got {slope!r}")
    at = {"slope": float(slope)}
    return Activation(
        _Bound(_leaky, **at), _Bound(_leaky_slope, **at), (0.0,), "leaky_relu",
        _Bound(_leaky_second, **at), _Bound(_leaky_mu, **at),
    )  # fmt: skip


ACTIVATIONS: dict[str, Activation] = {
    activation.name: activation
    for activation in (
        Activation(
            _identity, _one, (), "linear",
            _Bound(_leaky_second, slope=1.0), _Bound(_leaky_mu, slope=1.0),
        ),
        Activation(
            _relu, _Bound(_leaky_slope, slope=0.0), (0.0,), "relu",
            _Bound(_leaky_second, slope=0.0), _Bound(_leaky_mu, slope=0.0),
        ),
        leaky_relu(),
        Activation(np.tanh, _tanh_slope, (), "tanh", log_slope=_tanh_log_slope),
        Activation(_clip, _clip_slope, (-1.0, 1.0), "hard_tanh", _clip_second, _clip_mu),
        Activation(_erf, _erf_slope, (), "erf", _erf_second, _erf_mu, _erf_log_slope),
        Activation(expit, _sigmoid_slope, (), "sigmoid", log_slope=_sigmoid_log_slope),
        Activation(_softplus, expit, (), "softplus", log_slope=log_expit),
        Activation(_gelu, _gelu_slope, (), "gelu", log_slope=_gelu_log_slope),
        Activation(_silu, _silu_slope, (), "silu", log_slope=_silu_log_slope),
        Activation(np.sin, np.cos, (), "sin", _sin_second, _sin_mu),
    )
}  # fmt: skip


def get(name: str) -> Activation:
    """The activation of that name.

    Raises
    ------
    ValueError
        If there is none; the message lists the known names.
    """
    if name in ACTIVATIONS:
        return ACTIVATIONS[name]
    near = difflib.get_close_matches(str(name), ACTIVATIONS, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"unknown activation {name!r}; known: {', '.join(ACTIVATIONS)}{hint}")
