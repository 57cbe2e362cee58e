"""Mean field of wide networks: Gaussian averages, the length map, q*, χ, χ_q, μ_k and the phase.

Poole et al. (NeurIPS 2016) and Schoenholz et al. (ICLR 2017); μ_k as in Pennington, Schoenholz & Ganguli (2018).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from numbers import Real
from typing import Literal

import numpy as np

from rmt_vn.activations import Activation
from rmt_vn.network import Network
from rmt_vn.results import Result
from rmt_vn.tables import tabulated

__all__ = [
    "MeanField",
    "SignalMoments",
    "fixed_point",
    "gaussian_mean",
    "layer_moments",
    "length_map",
    "second_moment",
    "signal_moments",
    "slope_moment",
]

Phase = Literal["ordered", "critical", "chaotic"]

LARGEST_VARIANCE = 1e8
_TINY_VARIANCE = 1e-12
# Logarithmic growth below this is rounding error.
_ROUNDING = 1e-14
# Below this variance an activation is taken to be linear on either side of zero.
_LINEAR_VARIANCE = 1e-24
# Above this variance panels of one width are more than a few hundred.
_MANY_PANELS = 100.0
# |χ − 1| below this is "critical": σ_w = √2 in floating point must count as √2.
_CRITICAL = 1e-9
# Layers from which on a table of the length map is quicker than the map, and the variances that it is for.
_LONG, _TABULATED = 1000, (1e-300, 1e7)
# Averages over the same variance are asked for again and again, by layers that share it and by widths that are tried.
_REMEMBERED = 2**15
_LEGENDRE = np.polynomial.legendre.leggauss(16)


@dataclass(frozen=True, repr=False)
class MeanField(Result):
    """The mean field of a wide network at its variance fixed point.

    Attributes
    ----------
    q_star : float
        Fixed point q* of the pre-activation variance.
    chi : float
        χ = σ_w² μ_1, the growth per layer of a mean squared gradient across the signal.
    chi_q : float
        χ_q = dq_{l+1}/dq_l = σ_w² E[φ′² + φφ″], the slope of the length map at q*.
    mu1, mu2 : float
        μ_k = E D^{2k} with D = φ′(√q* z), times (0 or 1/p) under dropout.
    phase : {"ordered", "critical", "chaotic"}
        χ below, at, or above one.
    rate : float
        μ_2/μ_1² − 1 − s_1: what one layer of width N adds to N × VNI at first (S1).
    signal_growth : float
        Λ, the growth per layer of the signal mode's share of a row of the Jacobian (S4): χ_q²/χ, and χ_q/χ where q* is
        0 and the signal itself shrinks by χ_q a layer. S4 needs Λ^L ≪ N.
    """

    q_star: float
    chi: float
    chi_q: float
    mu1: float
    mu2: float
    phase: Phase
    rate: float
    signal_growth: float


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


def layer_moments(network: Network, variance: float) -> tuple[float, float]:
    """(μ_1, μ_2): moments E D^{2k} of the entries of D_l at pre-activation variance q, dropout included."""
    keep = network.keep
    mu1, mu2 = (slope_moment(network.activation, variance, k) * keep ** (1 - 2 * k) for k in (1, 2))
    if mu1 == 0:
        raise ValueError(f"μ_1 = E φ′² is 0 for {network.activation.name} at variance {variance:g}; it must be > 0")
    return mu1, mu2


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


def length_map(network: Network, input_variance: float) -> np.ndarray:
    """Pre-activation variances q_1, …, q_L in the limit of wide layers.

    Parameters
    ----------
    network : Network
    input_variance : float
        ‖x_0‖²/n_0, the mean square of an input.

    Returns
    -------
    ndarray, shape (L,)

    Raises
    ------
    ValueError
        If a variance leaves the range 0 to 10⁸ where E φ² has no closed form, or of doubles where it has.
    """
    signal = checked_variance("input_variance", input_variance)
    step = partial(_next_variance, network)
    growth = tabulated(lambda log_q: math.log(step(math.exp(log_q))) - log_q)
    q = np.empty(network.depth)
    q[0] = network.sigma_w**2 * signal + network.sigma_b**2
    for layer in range(1, network.depth):
        before = float(q[layer - 1])
        try:
            if layer < _LONG or not _TABULATED[0] < before < _TABULATED[1]:
                q[layer] = step(before)
            else:
                q[layer] = before * math.exp(growth(math.log(before)))
        except ValueError as error:
            raise _out_of_range(network, signal, layer, str(error)) from None
        if q[layer] == q[layer - 1]:
            q[layer:] = q[layer]
            break
    if not np.isfinite(q[-1]):
        raise _out_of_range(network, signal, network.depth, "it grows beyond doubles")
    return q


def _out_of_range(network: Network, signal: float, layer: int, reason: str) -> ValueError:
    return ValueError(
        f"the variance of the pre-activations leaves its range at layer {layer}: {reason}; lower sigma_w, got "
        f"{network.sigma_w:g}, or input_variance, got {signal:g}"
    )


def moments_along(network: Network, variances: np.ndarray) -> np.ndarray:
    """`layer_moments` at each of many variances, shape (variances, 2); where a thousand differ, by a table."""
    different = np.unique(variances)
    if len(different) < _LONG:
        found = np.array([layer_moments(network, q) for q in different.tolist()])
    else:

        def log_moment(k: int, log_q: float) -> float:
            return math.log(layer_moments(network, math.exp(log_q))[k])

        logs = [tabulated(partial(log_moment, k)) for k in (0, 1)]
        found = np.array(
            [
                [math.exp(log(math.log(q))) for log in logs]
                if _TABULATED[0] < q < _TABULATED[1]
                else layer_moments(network, q)
                for q in different.tolist()
            ]
        )
    return found[np.searchsorted(different, variances)]


def variances_along_depth(network: Network, input_variance: float | None) -> np.ndarray | None:
    """`length_map` where μ_k change from layer to layer; None without an input variance, or where φ is homogeneous.

    Raises
    ------
    ValueError
        If `input_variance` is neither None nor a number ≥ 0, or a variance leaves its range.
    """
    if input_variance is None:
        return None
    checked_variance("input_variance", input_variance)
    return None if network.activation.is_homogeneous else length_map(network, input_variance)


def fixed_point(network: Network) -> MeanField:
    """q*, χ, χ_q, μ_1, μ_2, the phase, the rate and Λ of a wide network.

    q* is the first fixed point of the length map q ↦ σ_w² E φ(√q z)² + σ_b² on its way from q = 1, up where the map is
    above q there, else down. Where every q is fixed (ReLU with σ_w² = 2, say) it is 1.

    Raises
    ------
    ValueError
        If the variance grows without bound (ReLU with σ_w² > 2, linear with σ_w > 1), or if φ′ = 0 at q*.

    Examples
    --------
    >>> from rmt_vn import Network
    >>> fixed_point(Network.uniform(100, 10, activation="relu", sigma_w=2**0.5)).phase
    'critical'
    """
    q_star = _variance_fixed_point(network)
    mu1, mu2 = layer_moments(network, q_star)
    chi = network.sigma_w**2 * mu1
    phase: Phase = "critical" if abs(chi - 1) < _CRITICAL else "ordered" if chi < 1 else "chaotic"
    rate = mu2 / mu1**2 - 1 - network.s1
    chi_q = network.sigma_w**2 * signal_moments(network.activation, q_star).along / network.keep
    growth = chi_q**2 / chi if q_star > 0 else chi_q / chi
    return MeanField(
        q_star=q_star, chi=chi, chi_q=chi_q, mu1=mu1, mu2=mu2, phase=phase, rate=rate, signal_growth=growth
    )


def _signal(network: Network, q: float) -> float:
    """E x² of the nodes behind pre-activations of variance q, dropout included."""
    return second_moment(network.activation, q) / network.keep


def _next_variance(network: Network, q: float) -> float:
    return network.sigma_w**2 * _signal(network, q) + network.sigma_b**2


def _variance_fixed_point(network: Network) -> float:
    if network.activation.is_homogeneous:
        return _homogeneous_fixed_point(network)
    # Imported here, because scipy.optimize is slow to import.
    from scipy.optimize import brentq

    def log_growth(q: float) -> float:
        return float(np.log(_next_variance(network, q) / q))

    direction = np.sign(log_growth(1.0))
    if direction == 0:
        return 1.0
    # A map that starts above zero has a fixed point on the way down, however small; else zero is one.
    starts_at_zero = _next_variance(network, 0.0) == 0
    end = LARGEST_VARIANCE if direction > 0 else _TINY_VARIANCE if starts_at_zero else np.finfo(float).tiny
    near = far = 1.0
    while far != end:
        far = min(2 * far, end) if direction > 0 else max(far / 2, end)
        growth = direction * log_growth(far)
        if growth < -_ROUNDING:
            return float(np.exp(brentq(lambda s: log_growth(np.exp(s)), *np.log([near, far]), xtol=1e-15)))
        if growth > _ROUNDING:
            near = far
    if direction < 0:
        return 0.0
    raise ValueError(f"{_describe(network)} the variance grows beyond {LARGEST_VARIANCE:g}; lower sigma_w")


def _homogeneous_fixed_point(network: Network) -> float:
    """q* = σ_b²/(1 − α) of the linear map q ↦ αq + σ_b²."""
    bias = network.sigma_b**2
    alpha = network.sigma_w**2 * _signal(network, 1.0)
    if abs(alpha - 1) < _CRITICAL and bias == 0:
        return 1.0
    if alpha >= 1 - _ROUNDING:
        raise ValueError(
            f"{_describe(network)} the variance grows without bound; lower sigma_w, or give input_variance where a law "
            "takes it"
        )
    return bias / (1 - alpha)


def _describe(network: Network) -> str:
    return (
        f"q* does not exist: with {network.activation.name}, sigma_w = {network.sigma_w:.6g} and "
        f"sigma_b = {network.sigma_b:.6g}"
    )


def checked_variance(name: str, value: float, largest: float = np.finfo(float).max) -> float:
    """The value as a float, or a ValueError that names it and the valid range."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value <= largest:
        shown = value.item() if isinstance(value, np.generic) else value
        raise ValueError(f"{name} must be a number from 0 to {largest:g}, got {shown!r}")
    return float(value)
