"""Mean field of wide networks: the length map, q*, χ, χ_q, μ_k and the phase.

Poole et al. (NeurIPS 2016) and Schoenholz et al. (ICLR 2017); μ_k as in Pennington, Schoenholz & Ganguli (2018).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from rmt_vn.checks import checked_kind
from rmt_vn.gaussian_averages import LARGEST_VARIANCE, checked_variance, second_moment, signal_moments, slope_moment
from rmt_vn.network import Network
from rmt_vn.results import Result
from rmt_vn.tables import tabulated

__all__ = ["MeanField", "fixed_point", "layer_moments", "length_map"]

Phase = Literal["ordered", "critical", "chaotic"]

_TINY_VARIANCE = 1e-12
# Logarithmic growth below this is rounding error.
_ROUNDING = 1e-14
# |χ − 1| below this is "critical": σ_w = √2 in floating point must count as √2.
_CRITICAL = 1e-9
# Layers from which on a table of the length map is quicker than the map, and the variances that it is for.
_LONG, _TABULATED = 1000, (1e-300, 1e7)


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


def layer_moments(network: Network, variance: float) -> tuple[float, float]:
    """(μ_1, μ_2): moments E D^{2k} of the entries of D_l at pre-activation variance q, dropout included."""
    checked_kind("network", network, Network)
    keep = network.keep
    mu1, mu2 = (slope_moment(network.activation, variance, k) * keep ** (1 - 2 * k) for k in (1, 2))
    if mu1 == 0:
        raise ValueError(f"μ_1 = E φ′² is 0 for {network.activation.name} at variance {variance:g}; it must be > 0")
    return mu1, mu2


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
    checked_kind("network", network, Network)
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
    checked_kind("network", network, Network)
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
