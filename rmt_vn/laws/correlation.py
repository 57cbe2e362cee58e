"""S3 and S4, the distribution of a single ρ: is a correlation larger than depth alone would make it?

Two nodes walk at random on the hyperbolic plane (`rmt_vn.laws.hyperbolic`), and ρ = tanh y with y the distance from a
geodesic through the start. With M(ν) the spherical transform of the walk, a(x) = (1/2π) ∫ M(ν) e^{iνx} dν belongs to
its projection along horocycles, and y has the density

    p(y) = (2√2/π) cosh y ∫_{|y|}^∞ −a′(x) K(κ) (cosh x + cosh y)^{−1/2} dx,

κ = (cosh x − cosh y)/(cosh x + cosh y), K the complete elliptic integral of parameter κ. (For the diffusion of S4, −a′
is x/t times a normal density.) In P(|y| > Y) an elliptic integral of the third kind takes the place of K. Each layer of
S3 is that diffusion run for a random time, so a(x) falls with |x|: all terms are positive, and tails keep their
relative accuracy.
"""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ellipkm1, elliprj

from rmt_vn.checks import checked_count, checked_numbers
from rmt_vn.laws.hyperbolic.walk import FARTHEST, LAST, Walk, diffusion, network_walk
from rmt_vn.network import Network, ResidualNetwork

# The integrals over x: x = y + w e^{v − e^{−v}}, by the trapezoid rule in v.
_LOWEST, _HIGHEST, _FINENESS = -3.6, 5.7, 0.1
_FARTHEST_X = 600.0  # from y; t/2 and 9 √t more at the largest t
_ROWS = 256
_ROUNDING = 1e-10


def correlation_density(network_or_t: Network | ResidualNetwork | float, rho: ArrayLike) -> float | np.ndarray:
    """Probability density of the correlation ρ of two nodes of the last layer.

    Parameters
    ----------
    network_or_t : Network, ResidualNetwork or float
        A linear or ReLU network, dropout and biases included, for the exact law at its widths (S3): that of two
        pre-activations, given a live node in every layer. Or a linear residual network, branches of a single Gaussian
        matrix (S8): two nodes of the stream, or of the readout. Or an effective depth t ≥ 0, for the limit of wide
        networks (S4).
    rho : float or array_like
        Outside [−1, 1] the density is zero; at ±1, where it may be infinite, it is that of the last ρ before.

    Returns
    -------
    float or ndarray
        Of the shape of ρ; relative error below 1e-10. Atoms are left out: at ρ = 0 where Haar weights meet no mask (the
        whole law, at t = 0), at ±1 where a layer feeds the next by one node. In shallow networks of Haar weights the
        density may be infinite at ρ = 0: the value there means nothing.

    Raises
    ------
    TypeError, ValueError
        If ρ is NaN, if t is negative or NaN, if the network has another activation (take its `effective_depth`), or a
        last layer of one node.

    Examples
    --------
    >>> from rmt_vn import Network
    >>> round(correlation_density(Network((3, 3), activation="linear"), 0.2), 6)  # uniform on [−1, 1]
    0.5
    """
    rho, walk = _checked_correlations(rho), _walk(network_or_t)
    inside = np.abs(rho) <= 1
    near = np.minimum(np.abs(rho), LAST)
    density = _integral(walk, np.arctanh(near), _log_density_kernel) / ((1 - near) * (1 + near))
    return _like(rho, np.where(inside, density, 0.0))


def correlation_cdf(network_or_t: Network | ResidualNetwork | float, rho: ArrayLike) -> float | np.ndarray:
    """P(ρ' ≤ ρ), for the correlation ρ' of two nodes of the last layer; atoms included.

    Parameters and errors as `correlation_density`. The relative error is small in the lower tail, as that of
    `correlation_p_value`; the upper tail is its mirror image.

    Examples
    --------
    >>> correlation_cdf(0.1, [-0.5, 0.0, 0.5]).round(4)
    array([0.0449, 0.5   , 0.9551])
    """
    rho, walk = _checked_correlations(rho), _walk(network_or_t)
    half = _beyond(walk, np.abs(rho)) / 2
    return _like(rho, np.where(rho < 0, half + np.where(rho == -1, walk.merged / 2, 0.0), 1 - half))


def correlation_p_value(network_or_t: Network | ResidualNetwork | float, rho: ArrayLike) -> float | np.ndarray:
    """P(|ρ'| ≥ |ρ|): how often depth alone makes two nodes as correlated as that, positively or negatively.

    Parameters and errors as `correlation_density`. The relative error is below 1e-10 down to the smallest normal
    double; with masks (ReLU, dropout) there is an absolute error of 1e-18 besides.

    Examples
    --------
    In ReLU networks of width 100, ρ = 0.7 is too large to be due to depth alone after 5 layers; after 50 it is common.

    >>> from rmt_vn import Network
    >>> [f"{correlation_p_value(Network.uniform(100, depth, activation='relu'), 0.7):.2g}" for depth in (5, 50)]
    ['0.0056', '0.49']
    """
    rho, walk = _checked_correlations(rho), _walk(network_or_t)
    at = np.where(np.abs(rho) == 1, walk.merged, np.where(rho == 0, walk.start, 0.0))
    return _like(rho, _beyond(walk, np.abs(rho)) + at)


def correlation_quantile(network_or_t: Network | ResidualNetwork | float, p: ArrayLike) -> float | np.ndarray:
    """The ρ below which a correlation is with probability p: the inverse of `correlation_cdf`.

    Applied to uniform random p it gives samples of ρ, about a thousand a second.

    Parameters
    ----------
    network_or_t : Network, ResidualNetwork or float
        As in `correlation_density`, with the same errors.
    p : float or array_like
        Between 0 and 1.

    Returns
    -------
    float or ndarray
        Of the shape of p. From t = 20 on, more and more values round to ±1.

    Raises
    ------
    ValueError
        If p is outside [0, 1] or NaN.

    Examples
    --------
    >>> correlation_quantile(0.1, [0.025, 0.5, 0.975]).round(4)
    array([-0.5611,  0.    ,  0.5611])
    """
    p, walk = checked_numbers("probability p", p), _walk(network_or_t)
    if not np.all((p >= 0) & (p <= 1)):
        raise ValueError(f"probability p must be from 0 to 1, got {p[~((p >= 0) & (p <= 1))].flat[0]}")
    distance = _distance_beyond(walk, 2 * np.minimum(p, 1 - p).ravel()).reshape(p.shape)
    return _like(p, np.copysign(np.tanh(distance), p - 0.5) + 0.0)


def correlation_moment(network_or_t: Network | ResidualNetwork | float, order: int) -> float:
    """E ρ^order, for the correlation ρ of two nodes of the last layer.

    E ρ² is R(t) under S4, and 1 − S under S3. E ρ⁴ = (3R + R′ − 1)/2 under S4. Odd moments are zero.

    Parameters
    ----------
    network_or_t : Network, ResidualNetwork or float
        As in `correlation_density`, with the same errors.
    order : int
        At least 0.

    Returns
    -------
    float
        Relative error below 1e-10.

    Raises
    ------
    TypeError, ValueError
        If the order is not an integer ≥ 0.

    Examples
    --------
    >>> from rmt_vn import Network
    >>> round(correlation_moment(Network((6, 6), activation="linear"), 4), 6)  # 3/(6 · 8)
    0.0625
    """
    order = checked_count("order", order, least=0)
    walk = _walk(network_or_t)
    if order == 0 or order % 2:
        return float(order == 0)
    if walk.contours is None:
        return walk.merged
    # ∫ ρ^k dP = ∫ P(|ρ| > tanh y) d tanh^k y.
    v = np.arange(_LOWEST, _HIGHEST, _FINENESS)
    y = min(walk.contours.spread, 1.0) * np.exp(v - np.exp(-v))
    slope = order * np.tanh(y) ** (order - 1) / np.cosh(y) ** 2
    beyond = _integral(walk, y, _log_tail_kernel)
    return walk.merged + float(np.sum(beyond * slope * y * (1 + np.exp(-v)))) * _FINENESS


# --- integrals over the walk ------------------------------------------------------------------------------------------


def _beyond(walk: Walk, rho: np.ndarray) -> np.ndarray:
    """P(|ρ'| > ρ) for ρ ≥ 0, and zero beyond 1, where `merged` is an atom at 1."""
    if walk.contours is None:
        return np.where(rho < 1, walk.merged, 0.0)
    inner = (rho > 0) & (rho < 1)
    tail = _integral(walk, np.arctanh(np.where(inner, rho, 0.5)), _log_tail_kernel) + walk.merged
    # Near ρ = 0 rounding may carry the tail over what is left of 1.
    whole = 1 - walk.start
    return np.where(
        inner, np.where(tail < whole + _ROUNDING, np.minimum(tail, whole), tail), np.where(rho == 0, whole, 0)
    )


def _distance_beyond(walk: Walk, q: np.ndarray) -> np.ndarray:
    """y ≥ 0 with P(|y'| > y) = q; infinite where that rounds to |ρ| = 1."""
    distance = np.where(q < 1 - walk.start, np.inf, 0.0)
    if walk.contours is None:
        return distance
    # At 38 standard deviations a normal tail is the smallest double.
    grid = np.minimum(np.append(min(walk.contours.spread, 1.0) * np.linspace(0.1, 38, 120), FARTHEST), FARTHEST)
    tail = walk.merged + _integral(walk, grid, _log_tail_kernel)
    (todo,) = np.nonzero((q > tail[-1]) & (q < 1 - walk.start))
    distance[todo] = np.interp(-np.log(q[todo]), -np.log(np.maximum(tail, 5e-324)), grid)
    low, high = np.zeros(len(q)), np.full(len(q), FARTHEST)
    # Newton's method for ln P, within brackets.
    for _ in range(60):
        y = distance[todo]
        tail = walk.merged + _integral(walk, y, _log_tail_kernel)
        above = tail > q[todo]
        low[todo], high[todo] = np.where(above, y, low[todo]), np.where(above, high[todo], y)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            guess = y + tail * np.log(tail / q[todo]) / (2 * _integral(walk, y, _log_density_kernel))
        inside = (guess >= low[todo]) & (guess <= high[todo])
        distance[todo] = np.where(inside, guess, (low[todo] + high[todo]) / 2)
        todo = todo[np.abs(distance[todo] - y) > 1e-13 * y]
    return distance


def _integral(walk: Walk, y: np.ndarray, log_kernel: Callable) -> np.ndarray:
    """(2√2/π) ∫_y^∞ −a′(x) kernel(x, y) dx, y ≥ 0; a density or a probability of the continuous part."""
    contours = walk.contours
    if contours is None or not y.size:
        return np.zeros(y.shape)
    # Where a(x) peaks away from zero, at about t/2, it is √t wide.
    step = _FINENESS * min(1.0, 8 / contours.spread)
    values = np.empty(y.size)
    for start in range(0, y.size, _ROWS):
        # At y = 0 the kernel is a limit.
        at = np.maximum(y.ravel()[start : start + _ROWS, None], 1e-20 * contours.spread)
        width = 1 / (1 / contours.spread + contours.shift[np.searchsorted(contours.edges, at)])
        v = np.arange(_LOWEST, min(_HIGHEST, np.log(contours.reach / width.min())), step)
        beyond = np.minimum(width * np.exp(v - np.exp(-v)), _FARTHEST_X)
        log_slope = contours.log_slope((at + beyond).ravel()).reshape(beyond.shape)
        log_term = log_slope + log_kernel(at, beyond) + np.log(beyond) + np.log1p(np.exp(-v))
        values[start : start + _ROWS] = np.exp(log_term).sum(axis=1)
    return (2 * np.sqrt(2) / np.pi * step) * values.reshape(y.shape)


def _log_density_kernel(y: np.ndarray, d: np.ndarray) -> np.ndarray:
    """ln of cosh y K(κ) (cosh x + cosh y)^{−1/2}, x = y + d."""
    sum_ = _scaled_cosh(y + d / 2) * _scaled_cosh(d / 2)  # (cosh x + cosh y) e^{−x}/2
    complement = np.exp(-d) * _scaled_cosh(y) / sum_  # 1 − κ
    return np.log(ellipkm1(complement) * _scaled_cosh(y)) + (y - d) / 2 - np.log(2 * sum_) / 2


def _log_tail_kernel(y: np.ndarray, d: np.ndarray) -> np.ndarray:
    """ln of ∫_y^x 2 cosh y′ K(κ) (cosh x + cosh y′)^{−1/2} dy′, x = y + d.

    = sinh y (cosh x + cosh y)^{−1/2} Σ_± 2 [Π(n_±|κ) − K(κ)], n_± = (cosh x − cosh y)/(cosh x ± 1); and Π(n|κ) − K(κ) =
    (n/3) R_J(0, 1 − κ, 1, 1 − n), Carlson's integral, which is positive.
    """
    x = y + d
    sum_ = _scaled_cosh(y + d / 2) * _scaled_cosh(d / 2)
    difference = _scaled_sinh(y + d / 2) * _scaled_sinh(d / 2)
    total = np.zeros(x.shape)
    half = np.exp(-d / 2)
    for scaled in (_scaled_sinh, _scaled_cosh):
        square = scaled(x / 2) ** 2  # (cosh x ± 1) e^{−x}/2
        # Arguments times e^{d/2}, so that none underflows: R_J is homogeneous of degree −3/2.
        carlson = elliprj(0, half * _scaled_cosh(y) / sum_, 1 / half, half * scaled(y / 2) ** 2 / square)
        total += difference / square * carlson
    return np.log(_scaled_sinh(y) * total * (2 / 3)) + y + (3 * d / 2 - x) / 2 - np.log(2 * sum_) / 2


def _scaled_cosh(x: np.ndarray) -> np.ndarray:
    """e^{−x} cosh x."""
    return (1 + np.exp(-2 * x)) / 2


def _scaled_sinh(x: np.ndarray) -> np.ndarray:
    """e^{−x} sinh x."""
    return -np.expm1(-2 * x) / 2


# --- input and output -------------------------------------------------------------------------------------------------


def _walk(network_or_t: Network | ResidualNetwork | float) -> Walk:
    if isinstance(network_or_t, Network | ResidualNetwork):
        if network_or_t.widths[-1] < 2:
            raise ValueError(f"a correlation needs at least 2 nodes in the last layer, got {network_or_t.widths[-1]}")
        return network_walk(network_or_t)
    if isinstance(network_or_t, bool) or not isinstance(network_or_t, Real):
        raise TypeError(f"network_or_t must be a Network or an effective depth t ≥ 0, got {network_or_t!r}")
    if not network_or_t >= 0:
        raise ValueError(f"effective depth t must be ≥ 0, got {network_or_t}")
    try:
        return diffusion(float(network_or_t))
    except OverflowError:  # an integer beyond doubles
        return diffusion(np.inf)


def _checked_correlations(rho: ArrayLike) -> np.ndarray:
    values = checked_numbers("correlation rho", rho)
    if np.isnan(values).any():
        raise ValueError(f"correlations must not be NaN, got {rho!r}")
    return values


def _like(points: np.ndarray, values: np.ndarray) -> float | np.ndarray:
    return values if points.ndim else float(values)
