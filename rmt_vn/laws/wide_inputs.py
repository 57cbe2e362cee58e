"""S7, wide inputs: the VNI over N(0, v I) inputs instead of a small ball, for odd activations; where nodes collapse."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy.special import expit

from rmt_vn.checks import checked_kind
from rmt_vn.gaussian_averages import checked_variance, gaussian_mean, second_moment
from rmt_vn.laws.input_pairs.chain import mean_squares, stationary_mean_square
from rmt_vn.laws.input_pairs.one_layer import (
    LayerStatistics,
    evaluate,
    held_share,
    layer_statistics,
    statistics_along,
)
from rmt_vn.laws.universal import universal_vni, universal_vni_complement
from rmt_vn.mean_field import fixed_point, variances_along_depth
from rmt_vn.network import Network
from rmt_vn.results import Result

if TYPE_CHECKING:
    from scipy.interpolate import CubicSpline

# Of y = artanh ρ: where the drift of one layer is that of parallel inputs.
_FARTHEST = 40.0


def wide_input_vni(network: Network, *, input_variance: float = 1.0) -> np.ndarray:
    """VNI over inputs N(0, v I) after each layer (S7), for odd activations.

    The correlation ρ of two inputs goes through the Hermite map of each activation and the scatter of each layer: a
    chain, whose law is computed on a grid. It gives the participation of the nodes (`wide_input_participation`), and
    that gives the VNI. The chain is derived (to first order in 1/width in each layer); the step to the VNI is a curve
    fitted to samples, and for linear networks it is S3.

    Measured for tanh, erf, sin and hard_tanh with Gaussian weights, σ_w² from 1 to 2.5, 20 to 300 nodes, 3 to 300 input
    dimensions and 1 to 800 layers: mostly within 5% of the mean over networks, and within 10% in all cases
    (the worst are sin with σ_w² = 1.5, 8% too high, and tanh with σ_w = 1 and 20 nodes, 8% too low).
    With Haar weights the result is too high by up to 5/N of itself, so it serves for N ≥ 50.

    Parameters
    ----------
    network : Network
        With an odd activation, no biases, no dropout, and at least two nodes in every layer but the last.
    input_variance : float
        Variance v of each coordinate of the inputs.

    Returns
    -------
    ndarray, shape (L,)

    Raises
    ------
    ValueError
        If the network is not covered, if a variance is out of range, or if a pre-activation variance is above 100.

    Examples
    --------
    >>> from rmt_vn import Network
    >>> wide_input_vni(Network.uniform(50, 200, activation="tanh", sigma_w=1.5))[[0, 9, 199]].round(2)
    array([0.04, 0.11, 0.17])
    """
    return np.array([state.vni for state in _layers(network, input_variance)])


def wide_input_participation(network: Network, *, input_variance: float = 1.0) -> np.ndarray:
    """Tr C²/(Tr C)² after each layer, C the covariance of the nodes over inputs N(0, v I) (S7), for odd activations.

    It is the mean of K² over pairs of inputs, K = x·x′/n, over the squared mean of x·x/n, exactly. Where norms keep to
    the length map it is E ρ² of the chain; what their scatter adds is estimated. Between 1/n and 1, it is the inverse
    of the number of linear directions that the nodes use. Over the networks of `wide_input_vni` it is within 10% of the
    mean of samples (with three input dimensions, 14% too high in the first layers and 25% in linear networks).
    Parameters and errors as there.

    For other activations and with biases, `rmt_vn.samplers.sample_wide_participation`.
    """
    return np.array([state.participation for state in _layers(network, input_variance)])


@dataclass(frozen=True, repr=False)
class WideInputLimit(Result):
    """What an infinitely deep network of one width makes of two inputs.

    Attributes
    ----------
    alpha : float
        α = N(1 − c), with c = a_1²/Σ_k a_k² the linear share of φ at q*. In wide, nearly linear networks all inputs
        become one where α ≤ ½, and the mean of ρ² over pairs of inputs tends to 1/(2α) where α > ½.
    drift : float
        How much |artanh ρ| of two nearly parallel inputs grows in a layer, on average, at this width.
    mean_square_correlation : float
        The mean of ρ² over pairs of inputs; 1 where they collapse.
    """

    derived: ClassVar[tuple[str, ...]] = ("collapses",)

    alpha: float
    drift: float
    mean_square_correlation: float

    @property
    def collapses(self) -> bool:
        """Whether all inputs become one, up to their sign, and with them all nodes: where the drift is not negative."""
        return self.drift >= 0


def wide_input_limit(network: Network) -> WideInputLimit:
    """α = N(1 − c), whether all collapses, and E ρ² over pairs of inputs, as the depth goes to infinity (S7).

    The correlation tanh y of two inputs is followed by the chain of `wide_input_vni` at q*. Its drift tends to a
    constant as |y| → ∞. Where that is negative, y has a stationary law; elsewhere |y| goes to infinity, at any σ_w. For
    N → ∞ at a fixed α the chain is the diffusion dy = (½ − α) tanh(y) dt + dB at the time L/N, with E ρ² = 1/(2α) for
    α > ½ and collapse for α ≤ ½: nodes are kept where N(1 − c) > ½, and c < 1 alone does not keep them. At finite
    widths collapse reaches further, to α = 0.54 for tanh with σ_w² = 1.2, 0.61 with 1.5, and 0.86 with 2.5.

    Parameters
    ----------
    network : Network
        With an odd activation, no biases, no dropout, and layers of one width, at least 2.

    Returns
    -------
    WideInputLimit

    Raises
    ------
    ValueError
        If the network is not covered, or q* does not exist or is above 100.

    Examples
    --------
    >>> from rmt_vn import Network
    >>> [wide_input_limit(Network.uniform(n, 1, activation="tanh", sigma_w=1.2)).collapses for n in (20, 100)]
    [True, False]
    """
    _check_covered(network)
    if len(set(network.widths[1:])) > 1:
        raise ValueError(f"the limit of depth needs layers of one width, got {network.widths[1:]}")
    width, q = network.widths[-1], fixed_point(network).q_star
    if q == 0:  # the signal vanishes, and φ is linear: one network of S4
        drift = 0.5 / width if network.weights == "gaussian" else 0.0
        return WideInputLimit(0.0, drift, 1.0 if drift else 1 / network.widths[0])
    phi, kinks = network.activation.phi, network.activation.kinks
    share = gaussian_mean(lambda h: h * phi(h), q, kinks) ** 2 / q / second_moment(network.activation, q)
    statistics = layer_statistics(network.activation, q)
    held = held_share(network, width, width)
    far = np.array([_FARTHEST])
    rate = evaluate(statistics.drift, far) - held * evaluate(statistics.held_drift, far)
    drift = float((evaluate(statistics.shift, far) + rate / width)[0])
    mean_square = 1.0 if drift >= 0 else stationary_mean_square(statistics, width, held)
    return WideInputLimit(width * max(0.0, 1 - share), drift, mean_square)


def _check_covered(network: Network) -> None:
    """A ValueError where φ is not odd, or biases or dropout break the symmetry, or a hidden layer has one node."""
    checked_kind("network", network, Network)
    if not network.activation.is_odd:
        raise ValueError(f"S7 needs an odd activation (tanh, erf, hard_tanh, sin, linear), got {network.activation!r}")
    if network.sigma_b > 0:
        raise ValueError(f"S7 needs sigma_b = 0 (a bias makes φ(h + b) not odd), got {network.sigma_b}")
    if network.keep < 1:
        raise ValueError(f"S7 does not cover dropout; it needs keep = 1, got {network.keep}")
    if min(network.widths[:-1]) < 2:
        raise ValueError("S7 correlates the nodes of layers; all widths but the last must be ≥ 2, got 1")


@dataclass(frozen=True)
class _State:
    """After a layer, all means over networks and pairs of inputs.

    Attributes
    ----------
    mean_square : float
        E ρ² of two inputs.
    excess : float
        By how much the participation exceeds it, since norms scatter: nothing where they keep to the length map.
    flat : float
        The participation that a flat part of the spectrum has (1/n for n equal eigenvalues); dividing by the nodes'
        variances does not lower it.
    vni : float
    """

    mean_square: float
    excess: float
    flat: float
    vni: float

    @property
    def participation(self) -> float:
        return self.mean_square + self.excess


def _layers(network: Network, input_variance: float) -> list[_State]:
    _check_covered(network)
    checked_variance("input_variance", input_variance)
    variances = variances_along_depth(network, input_variance)
    statistics = statistics_along(network.activation, np.ones(network.depth) if variances is None else variances)
    pairs = mean_squares(network, statistics)
    _, start = next(pairs)
    states = [_State(start, 0.0, 1 / network.widths[0], float("nan"))]
    for shape, layer, pair in zip(pairwise(network.widths), statistics, pairs, strict=True):
        states.append(_next_state(states[-1], network, shape, layer, pair))
    return states[1:]


def _next_state(
    before: _State, network: Network, shape: tuple[int, int], layer: LayerStatistics, pair: tuple[float, float]
) -> _State:
    """The state behind one layer, from E ρ² before and after its scatter."""
    n_in, n_out = shape
    shrunk, mean_square = pair
    shrinkage = shrunk / before.mean_square
    damping, norm_scatter = layer.norms
    excess = before.excess * shrinkage
    held = held_share(network, n_in, n_out)
    # The nodes of this layer: independent mixtures of those before it, whose variances φ makes more equal where norms
    # are
    # fixed. The powers are fitted to samples.
    participation = min(before.participation, 1.0)
    free = _free_share(before)
    kept = damping ** (0.75 * (1 - participation) ** 4)
    spread = kept + (1 - kept) * free
    loss = 1 - _normalized(participation, before.flat) / participation
    off_diagonal = (shrunk + excess * spread) * (1 - loss * spread)
    if held:
        frame = 1 / max(n_in, n_out)
        off_diagonal = max(0.0, (off_diagonal - frame * shrinkage) / (1 - frame))
    vni = 1 / n_out + (1 - 1 / n_out) * off_diagonal
    # The scatter adds to the excess what it adds in a linear network, and less where φ bounds the norms.
    flat = before.flat * shrinkage
    damped = min(shrunk + excess * damping, 1.0)
    scatter = (layer.variance_at_zero - held * layer.held_variance_at_zero) / n_out
    gain = mean_square - shrunk
    next_flat = (flat * damped + gain / n_out) / (damped + gain)
    linear = _participation_of(_scattered(_normalized(damped, flat), shrunk, gain, scatter), next_flat)
    added = np.sqrt(norm_scatter) * (linear - damped - gain)
    next_excess = min(max(excess * damping + added, 0.0), 1 - mean_square)
    return _State(mean_square, next_excess, next_flat, vni)


def _free_share(state: _State) -> float:
    """The excess, in units of a linear network's at the same E ρ²: 1 where norms are free, 0 where they are fixed."""
    linear = _participation_of(state.mean_square, state.flat) - state.mean_square
    return min(1.0, state.excess / linear) if linear > 1e-9 else 1.0


def _normalized(participation: float, flat: float) -> float:
    """E ρ_ij² of independent Gaussian mixtures of nodes, from the participation of those nodes: fitted to samples.

    Mixtures of large variance are correlated more than others, so dividing by the variances lowers the mean square: by
    nothing where all eigenvalues are equal (s = 0), and by 2s of itself at small s, which holds exactly for linear
    networks. At s = 1 there is one direction, and all correlations are ±1.
    """
    s = min(max((participation - flat) / (1 - flat), 0.0), 1.0)
    return participation * (1 - s * (1 - s) ** 0.75 * (1 + np.exp(-10 * s**1.5)))


def _participation_of(normalized: float, flat: float) -> float:
    """The inverse of `_normalized`."""
    if _normalized(1.0, flat) <= normalized:
        return 1.0
    if _normalized(normalized, flat) >= normalized:
        return normalized
    # Imported here, because scipy.optimize is slow to import.
    from scipy.optimize import brentq

    return brentq(lambda p: _normalized(p, flat) - normalized, normalized, 1.0, xtol=1e-13)


def _scattered(v: float, shrunk: float, gain: float, depth: float) -> float:
    """E ρ² of nodes behind a linear layer, from v: what pairs of inputs gain from `shrunk` on, less as v is greater."""
    by_diffusion = _diffused(shrunk, depth) - shrunk
    return min(1.0, v + gain * ((_diffused(v, depth) - v) / by_diffusion if by_diffusion > 1e-12 else 1.0))


def _diffused(v: float, depth: float) -> float:
    """R(R⁻¹(v) + depth): E ρ² of nodes, a linear layer later."""
    if not 0 < v < 1:
        return float(universal_vni(depth)) if v == 0 else 1.0
    log_odds, log_depth = _universal_splines()
    t = float(np.exp(log_depth(np.log(v / (1 - v)))))
    return float(expit(log_odds(np.log(t + depth))))


@cache
def _universal_splines() -> tuple[CubicSpline, CubicSpline]:
    """ln R/(1 − R) of ln t, and the inverse: to 1e-8, in place of an integral and a root in each layer."""
    log_t = np.linspace(np.log(1e-10), np.log(5e3), 1200)
    t = np.exp(log_t)
    log_odds = np.log(universal_vni(t)) - np.log(universal_vni_complement(t))
    # Imported here, because scipy.interpolate is slow to import.
    from scipy.interpolate import CubicSpline

    return CubicSpline(log_t, log_odds), CubicSpline(log_odds, log_t)
