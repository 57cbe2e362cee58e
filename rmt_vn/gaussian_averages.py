"""Gaussian averages: means over h ~ N(0, q) of an activation φ(h) and of its slope φ′(h), E φ² and μ_k among them.

In a wide layer pre-activations h are normal, so that what theory needs to know of an activation are means over them: of
φ² for the length map, of powers of φ′ for the Jacobian, of both and h for the signal mode (S4). Where an activation has
E φ² and μ_k in closed form, that is used. All else is a Gauss–Legendre quadrature whose panels end at the kinks of φ,
for variances up to 10⁸. Nothing here knows of networks: σ_w, σ_b and dropout come in with `mean_field`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from numbers import Real

import numpy as np

from rmt_vn.activations import Activation

__all__ = ["SignalMoments", "gaussian_mean", "second_moment", "signal_moments", "slope_moment"]

LARGEST_VARIANCE = 1e8
# Below this variance an activation is taken to be linear on either side of zero.
_LINEAR_VARIANCE = 1e-24
# Above this variance panels of one width are more than a few hundred.
_MANY_PANELS = 100.0
# Averages over the same variance are asked for again and again, by layers that share it and by widths that are tried.
_REMEMBERED = 2**15
_LEGENDRE = np.polynomial.legendre.leggauss(16)


@dataclass(frozen=True)
class SignalMoments:
    """Gaussian averages at one pre-activation variance q that the signal mode of a layer needs (S4), h ~ N(0, q).

    Those of what grows as h² are divided by q, so that they stay of order one where q is tiny. Dropout is not included.

    Attributes
    ----------
    signal : float
        E φ²/q.
    signal_scatter : float
        Var φ²/(E φ²)²: a layer of n nodes has a mean square that scatters by its root over √n.
    along : float
        E[φ φ′ h]/q.
    along_square, along_signal : float
        E[φ² φ′² h²] and E[φ³ φ′ h], over (E φ²)²: how the sums of φ φ′ h and of φ² scatter together.
    slope_length : float
        E[φ′² h²]/q.
    mu1, mu2, mu3 : float
        E φ′², E φ′⁴ and E φ′⁶.
    signal_slope, signal_slope_square : float
        E[φ² φ′²]/E φ² and E[φ² φ′⁴]/E φ²: means of φ′² and φ′⁴ as the signal weights the nodes.
    square_slope : float
        E[φ⁴ φ′²]/(E φ²)²: how what the signal weighs and φ² scatter together.
    live : float
        The probability that φ′ ≠ 0.
    """

    signal: float
    signal_scatter: float
    along: float
    along_square: float
    along_signal: float
    slope_length: float
    mu1: float
    mu2: float
    mu3: float
    signal_slope: float
    signal_slope_square: float
    square_slope: float
    live: float


def gaussian_mean(
    function: Callable[[np.ndarray], np.ndarray], variance: float, kinks: tuple[float, ...] = ()
) -> float:
    """E f(√q z) with z ~ N(0, 1), by Gauss–Legendre on panels that end at the kinks.

    Gauss–Hermite is wrong across a kink and too coarse for steep f. Panels at most 3/2 wide in x = √q z and 1 wide
    in z resolve functions that are analytic within about ±π/2 of the real axis (tanh, sigmoid) to rounding error.

    Parameters
    ----------
    function : callable
        f, from an array to an array of the same shape.
    variance : float
        q, from 0 to 10⁸. At q = 0 the limit q → 0+.
    kinks : tuple of float
        Where f is not smooth.

    Raises
    ------
    ValueError
        If q is out of range or the average is not finite.
    """
    q = checked_variance("variance", variance, LARGEST_VARIANCE)
    if q == 0:
        tiny = np.finfo(float).tiny
        mean = float(np.mean(function(np.array([-tiny, tiny]))))
    else:
        x, weights = _normal_nodes(q, kinks)
        mean = float(np.sum(weights * function(x)))
    if not np.isfinite(mean):
        raise ValueError(f"the Gaussian average at variance {q} is {mean}; the function must be finite on the reals")
    return mean


def _normal_nodes(q: float, kinks: tuple[float, ...], growth: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of a quadrature over N(0, q), q > 0, shape (panels, nodes of a panel).

    Panels are of one width, or beyond |x| = 24 each wider than the one before by the factor `growth`.
    """
    reach = 10 * np.sqrt(q)
    if growth is None:
        regular = np.linspace(-reach, reach, 1 + int(np.ceil(20 * max(1.0, np.sqrt(q) / 1.5))))
    else:
        outer = np.append(24 * growth ** np.arange(np.log(reach / 24) / np.log(growth)), reach)
        regular = np.concatenate([-outer[::-1], np.linspace(-24, 24, 33)[1:-1], outer])
    edges = np.union1d(regular, [kink for kink in kinks if abs(kink) < reach])
    half = np.diff(edges)[:, None] / 2
    nodes, weights = _LEGENDRE
    x = edges[:-1, None] + half * (1 + nodes)
    density = np.exp(-(x**2) / (2 * q)) / np.sqrt(2 * np.pi * q)
    return x, half * weights * density


def second_moment(activation: Activation, variance: float) -> float:
    """E φ(√q z)², z ~ N(0, 1); closed form where the activation has one."""
    if activation.second_moment is not None:
        return activation.second_moment(checked_variance("variance", variance))
    return gaussian_mean(lambda x: activation.phi(x) ** 2, variance, activation.kinks)


@lru_cache(maxsize=_REMEMBERED)
def slope_moment(activation: Activation, variance: float, k: int) -> float:
    """μ_k = E φ′(√q z)^{2k}, z ~ N(0, 1); closed form where the activation has one."""
    if activation.slope_moment is not None:
        return activation.slope_moment(checked_variance("variance", variance), k)
    return gaussian_mean(lambda x: activation.dphi(x) ** (2 * k), variance, activation.kinks)


def signal_moments(activation: Activation, variance: float) -> SignalMoments:
    """The averages that the signal mode needs, in one quadrature.

    Parameters
    ----------
    activation : Activation
    variance : float
        q, from 0 to 10⁸. Below 10⁻²⁴ the limit of small q, where φ is linear on either side of zero.

    Raises
    ------
    ValueError
        If q is out of range, or if φ or φ′ vanishes at this variance.
    """
    q = max(checked_variance("variance", variance, LARGEST_VARIANCE), _LINEAR_VARIANCE)
    averages = _signal_averages(activation, q)
    second, fourth, along, along_square, along_signal, signal_slope, signal_slope_square, square_slope = averages[:8]
    slope_length, mu1, mu2, mu3, live = averages[8:]
    if not (second > 0 and mu1 > 0):
        raise ValueError(f"E φ² and E φ′² must be > 0, got {second:g} and {mu1:g} for {activation.name} at {q:g}")
    return SignalMoments(
        signal=second / q,
        signal_scatter=fourth / second**2 - 1,
        along=along / q,
        along_square=along_square / second**2,
        along_signal=along_signal / second**2,
        slope_length=slope_length / q,
        mu1=mu1,
        mu2=mu2,
        mu3=mu3,
        signal_slope=signal_slope / second,
        signal_slope_square=signal_slope_square / second,
        square_slope=square_slope / second**2,
        live=min(live, 1.0),
    )


@lru_cache(maxsize=_REMEMBERED)
def _signal_averages(activation: Activation, q: float) -> list[float]:
    """The averages behind `SignalMoments`; at large q, where uniform panels are many, by panels that grow with |x|."""
    if q > _MANY_PANELS:
        few, more = (_averages_over(activation, *_normal_nodes(q, activation.kinks, growth)) for growth in (1.25, 1.12))
        # The last, where φ′ is not 0, may jump at an underflow of φ′ and is not so exact.
        if np.allclose(few[:-1], more[:-1], rtol=1e-10, atol=0.0):
            return more.tolist()
    return _averages_over(activation, *_normal_nodes(q, activation.kinks)).tolist()


def _averages_over(activation: Activation, x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    phi, slope = activation.phi(x), activation.dphi(x)
    square, slope_square = phi**2, slope**2
    along = phi * slope * x
    sizes = (square, square**2, along, along**2, along * square)
    weighted = (square * slope_square, square * slope_square**2, square**2 * slope_square)
    of_slopes = (slope_square * x**2, slope_square, slope_square**2, slope_square**3, slope != 0)
    return np.array([np.sum(weights * each) for each in (*sizes, *weighted, *of_slopes)])


def checked_variance(name: str, value: float, largest: float = np.finfo(float).max) -> float:
    """The value as a float, or a ValueError that names it and the valid range."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value <= largest:
        shown = value.item() if isinstance(value, np.generic) else value
        raise ValueError(f"{name} must be a number from 0 to {largest:g}, got {shown!r}")
    return float(value)
