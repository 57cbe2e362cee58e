"""S6 in closed form: the Fuss–Catalan law of products of wide square Gaussian matrices."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import zeta

from rmt_vn.checks import checked_count, checked_numbers

# ln tan of half the angle: beyond, x is outside the range of doubles or at the top edge to rounding.
_REACH = 700.0
_BISECTIONS = 62
# ln(sin y / y) = −Σ ζ(2k) y^{2k}/(k π^{2k}): enough terms for y < 1/2.
_K = np.arange(1, 12)
_LOG_SINC = zeta(2 * _K) / (_K * np.pi ** (2 * _K))
_DEEPEST = 10**100


def fuss_catalan_density(depth: int, x: ArrayLike) -> np.ndarray:
    """Limiting density at x of the squared singular values of a product of L square Gaussian matrices, variance 1/N.

    Its moments are the Fuss–Catalan numbers C((L+1)k, k)/(Lk+1). The points B e^{±iφ} of the curve on which
    x = B^{L+1}/(B − 1) is real are B = sin((L+1)φ)/sin(Lφ), 0 < φ < π/(L+1), whence

      x = sin^{L+1}((L+1)φ)/(sin φ sin^L(Lφ)),  density = sin²φ sin^{L−1}(Lφ)/(π sin^L((L+1)φ))

    (Penson & Życzkowski 2011; the parametrisation is that of Biane and of Forrester & Liu 2015).

    Parameters
    ----------
    depth : int
        L, the number of matrices, ≥ 1 and at most 10¹⁰⁰.
    x : array_like
        Zero density outside 0 ≤ x ≤ (L+1)^{L+1}/L^L; infinite at zero.

    Returns
    -------
    ndarray, shape of x
        Relative error below 1e-12, the neighbourhood of both edges included.

    Raises
    ------
    TypeError, ValueError
        If depth is not an integer ≥ 1 and at most 10¹⁰⁰, or any x is NaN.

    Examples
    --------
    >>> fuss_catalan_density(1, [-1.0, 0.0, 1.0, 4.0]).round(6)  # √(4/x − 1)/(2π)
    array([0.      ,      inf, 0.275664, 0.      ])
    """
    layers = checked_count("depth", depth)
    if layers > _DEEPEST:
        raise ValueError(f"depth must be an integer ≥ 1 and at most 1e100, got {depth}")
    points = checked_numbers("x", x)
    if np.isnan(points).any():
        raise ValueError(f"x must be numbers, got {x!r}")
    top, rest = _edge(layers)
    density = np.where(points == 0, np.inf, 0.0)
    inside = (points > 0) & ((top - points) + rest > 0)
    positive = points[inside]
    near = np.log1p(np.minimum((top - positive) + rest, positive) / positive)
    density[inside] = _density(float(layers), np.where(positive > top / 2, near, np.log(top) - np.log(positive)))
    return density


def _edge(layers: int) -> tuple[float, float]:
    """(L+1)^{L+1}/L^L as the sum of two doubles: half a unit in its last place is felt close to it."""
    # Not at the top: mpmath is slow to import.
    from mpmath import mp

    with mp.workdps(60):
        edge = (layers + 1) * mp.exp(layers * mp.log1p(mp.mpf(1) / layers))
        top = float(edge)
        return top, float(edge - top)


def _density(layers: float, below: np.ndarray) -> np.ndarray:
    low, high = np.full(below.shape, -_REACH / 2), np.full(below.shape, _REACH)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        is_low = _log_top_over_x(layers, middle) < below
        low, high = np.where(is_low, middle, low), np.where(is_low, high, middle)
    t = (low + high) / 2
    phi, log_sine = _angles(layers, t)
    log_density = 2 * np.log(np.sin(phi)) - log_sine + (layers - 1) * _log_ratio(phi, t)
    with np.errstate(over="ignore"):
        return np.exp(log_density) / np.pi


def _angles(layers: float, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """φ with tan((L+1)φ/2) = e^t, and ln sin((L+1)φ) = −ln cosh t, precise at both ends."""
    return 2 * np.arctan(np.exp(t)) / (layers + 1), np.log(2) - np.logaddexp(t, -t)


def _log_ratio(phi: np.ndarray, t: np.ndarray) -> np.ndarray:
    """ln of sin(Lφ)/sin((L+1)φ) = cos φ + sinh(t) sin φ, accurate relative to itself however large L is."""
    return np.log1p(np.sinh(t) * np.sin(phi) - 2 * np.sin(phi / 2) ** 2)


def _log_top_over_x(layers: float, t: np.ndarray) -> np.ndarray:
    """ln(top/x) on the curve. Its terms cancel towards the edge: there, it is made of ln(sin y / y), term by term."""
    phi, log_sine = _angles(layers, t)
    outer = (layers + 1) * phi
    # (L+1)^{2k+1} − L^{2k+1} − 1 over (L+1)^{2k}.
    shares = 1 - layers * np.expm1(2 * _K * np.log1p(-1 / (layers + 1))) - (layers + 1.0) ** (-2 * _K)
    squared = np.minimum(outer, 0.5) ** 2
    near = squared * np.polynomial.polynomial.polyval(squared, _LOG_SINC * shares)
    far = np.log(outer * np.sin(phi) / phi) + layers * np.log1p(1 / layers) - log_sine + layers * _log_ratio(phi, t)
    return np.where(outer < 0.5, near, far)
