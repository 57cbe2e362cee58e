"""A linear residual block I + W, Gaussian W, is a Gaussian matrix of random fan-in: with which probabilities.

Two rows of I + W, divided by the standard deviation √(a/N) of the entries of W, have a noncentral Wishart Gram matrix
with noncentrality 2λ times the identity, λ = N/(2a). Its density is that of the central matrix times
₀F₁(N/2; λS/2) e^{−2λ}, and for 2×2 matrices

    ₀F₁(c; X) = Σ_k (det X)^k ₀F₁(c + 2k; Tr X) / ((c)_{2k} (c − 1/2)_k k!)

(Muirhead 1975). A factor (det S)^k turns N degrees of freedom into N + 2k, and the shape of a Wishart matrix is
independent of its trace. So the shape is that of a mixture of central ones: fan-in N + 2K, where

    P(K = k, J = j) = e^{−2λ} λ^{2k+j} (N/2)_k (N + 2k)_j / ((N/2)_{2k+j} k! j!),

with the mode at k = λ/(a + 2), j = 2λ(a + 1)/(a + 2) up to order one.
"""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln

# Four values to a standard deviation sum smooth functions up to e^{−2π²4²}; what lies beyond so many weighs 1e-18.
_DENSITY, _DEVIATIONS, _MORE = 4, 9, 30
# From here on K scatters by less than a millionth of what it is.
_CERTAIN, _LARGEST = 1e13, 1e150
# Stirling's series is rounding from here on.
_STIRLING_FROM = 1000.0


def fan_in_quadrature(width: int, branch_ratio: float) -> tuple[np.ndarray, np.ndarray]:
    """Some fan-ins N + 2k with weights: averages of smooth functions over the mixture are sums over them.

    Parameters
    ----------
    width : int
        N.
    branch_ratio : float
        a > 0, N times the variance of the entries of W.

    Returns
    -------
    fan_ins, weights : ndarray, shape (K,)
        About a hundred at the most, however large λ is.
    """
    with np.errstate(over="ignore"):
        rate = width / 2 / np.float64(branch_ratio)
    mean_k, mean_j = rate / (branch_ratio + 2), 2 * rate * (1 + branch_ratio) / (branch_ratio + 2)
    if rate > _CERTAIN:
        return np.array([min(width + 2 * mean_k, _LARGEST)]), np.ones(1)
    spread_k, spread_j = _spreads(width, mean_k, mean_j)
    k, j = _lattice(mean_k, spread_k), _lattice(mean_j, spread_j)
    log_weight = _log_weight(width, rate, k[:, None], j, round(mean_k), round(mean_j))
    weight = np.exp(log_weight - log_weight.max()).sum(axis=1)
    kept = weight > 0
    return width + 2 * k[kept], weight[kept] / weight.sum()


def _spreads(width: int, k: float, j: float) -> tuple[float, float]:
    """Standard deviations of K and J, from the curvature of ln P at the mode (with means no less than one)."""
    k, j, half = max(k, 1.0), max(j, 1.0), width / 2
    d = 2 * k + j
    both = 1 / (width + d) - 1 / (half + d)
    curvature = -np.array([[4 * both - 1 / (half + k) - 1 / k, 2 * both], [2 * both, both - 1 / j]])
    spread_k, spread_j = np.sqrt(np.diag(np.linalg.inv(curvature)))
    return float(spread_k), float(spread_j)


def _lattice(mean: float, spread: float) -> np.ndarray:
    """Integers ≥ 0 round the mean, all of them or as many as a quadrature needs."""
    stride = max(1, int(spread / _DENSITY))
    reach = int(_DEVIATIONS * spread / stride) + (_MORE if stride == 1 else 0)
    centre = round(mean)
    return centre + stride * np.arange(max(-reach, -(centre // stride)), reach + 1.0)


def _log_weight(width: int, rate: float, k: np.ndarray, j: np.ndarray, k_0: float, j_0: float) -> np.ndarray:
    """ln P(k, j), relative to that of (k_0, j_0)."""
    half, d, d_0 = width / 2, 2 * k + j, 2 * k_0 + j_0
    gammas = (
        (1, half + k, half + k_0),
        (1, width + d, width + d_0),
        (-1, width + 2 * k, width + 2 * k_0),
        (-1, half + d, half + d_0),
        (-1, k + 1, k_0 + 1),
        (-1, j + 1, j_0 + 1),
    )
    return (d - d_0) * np.log(rate) + sum(sign * _log_gamma_ratio(x, x_0) for sign, x, x_0 in gammas)


def _log_gamma_ratio(x: np.ndarray, x_0: float) -> np.ndarray:
    """ln Γ(x)/Γ(x_0); where both are large, from their difference, so that it does not cancel."""
    if min(x_0, x.min()) < _STIRLING_FROM:
        return gammaln(x) - gammaln(x_0)
    change = x - x_0
    series = [(1 / y - 1 / (30 * y**3)) / 12 for y in (x, x_0)]
    return change * np.log(x_0) + (x - 0.5) * np.log1p(change / x_0) - change + series[0] - series[1]
