"""S6 in closed form: the Fuss–Catalan law of products of wide square Gaussian matrices."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import zeta

from rmt_vn.checks import checked_count, checked_numbers

# ln tan of half the angle: beyond, x is outside the range of doubles or at the top edge to rounding.
_REACH = 760.0
_BISECTIONS = 62
# ln(sin y / y) = −Σ ζ(2k) y^{2k}/(k π^{2k}): enough terms for y < 1/2, though L + 1 times what is left of it counts.
_K = np.arange(1, 12)
_LOG_SINC = zeta(2 * _K) / (_K * np.pi ** (2 * _K))


def fuss_catalan_density(depth: int, x: ArrayLike) -> np.ndarray:
    """Limiting density at x of the squared singular values of a product of L square Gaussian matrices, variance 1/N.

    Its moments are the Fuss–Catalan numbers C((L+1)k, k)/(Lk+1). The points B e^{±iφ} of the curve on which
    x = B^{L+1}/(B − 1) is real are B = sin((L+1)φ)/sin(Lφ), 0 < φ < π/(L+1), whence

      x = sin^{L+1}((L+1)φ)/(sin φ sin^L(Lφ)),  density = sin²φ sin^{L−1}(Lφ)/(π sin^L((L+1)φ))

    (Penson & Życzkowski 2011; the parametrisation is that of Biane and of Forrester & Liu 2015).

    Parameters
    ----------
    depth : int
        L, the number of matrices, ≥ 1.
    x : array_like
        Zero density outside 0 ≤ x ≤ (L+1)^{L+1}/L^L; infinite at zero.

    Returns
    -------
    ndarray, shape of x
        Relative error below 1e-12, the neighbourhood of both edges included.

    Raises
    ------
    TypeError, ValueError
        If depth is not an integer ≥ 1, or any x is NaN.

    Examples
    --------
    >>> fuss_catalan_density(1, [-1.0, 0.0, 1.0, 4.0]).round(6)  # √(4/x − 1)/(2π)
    array([0.      ,      inf, 0.275664, 0.      ])
    """
    layers = checked_count("depth", depth)
    points = checked_numbers("x", x)
    if np.isnan(points).any():
        raise ValueError(f"x must be numbers, got {x!r}")
    # The edge as the sum of two doubles: half a unit in its last place is felt close to it.
    edge = Fraction((layers + 1) ** (layers + 1), layers**layers)
    top = float(edge)
    rest = float(edge - Fraction(top))
    density = np.where(points == 0, np.inf, 0.0)
    inside = (points > 0) & ((top - points) + rest > 0)
    positive = points[inside]
    near = np.log1p(np.minimum((top - positive) + rest, positive) / positive)
    density[inside] = _density(layers, np.where(positive > top / 2, near, np.log(top) - np.log(positive)))
    return density


def _density(layers: int, below: np.ndarray) -> np.ndarray:
    low, high = np.full(below.shape, -_REACH / 2), np.full(below.shape, _REACH)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        is_low = _log_top_over_x(layers, middle) < below
        low, high = np.where(is_low, middle, low), np.where(is_low, high, middle)
    phi, log_sine = _angles(layers, (low + high) / 2)
    log_density = 2 * np.log(np.sin(phi)) + (layers - 1) * np.log(np.sin(layers * phi)) - layers * log_sine
    with np.errstate(over="ignore"):
        return np.exp(log_density) / np.pi


def _angles(layers: int, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """φ with tan((L+1)φ/2) = e^t, and ln sin((L+1)φ) = −ln cosh t, precise at both ends."""
    phi = 2 * np.arctan(np.exp(np.minimum(t, 700.0))) / (layers + 1)
    return phi, np.log(2) - np.logaddexp(t, -t)


def _log_top_over_x(layers: int, t: np.ndarray) -> np.ndarray:
    """ln(top/x) on the curve. The leading terms cancel, so that it is made of ln(sin y / y)."""
    phi, log_sine = _angles(layers, t)
    outer = (layers + 1) * phi
    log_sinc = np.where(outer < 0.5, _log_sinc(np.minimum(outer, 0.5)), log_sine - np.log(outer))
    return _log_sinc(phi) + layers * _log_sinc(layers * phi) - (layers + 1) * log_sinc


def _log_sinc(y: np.ndarray) -> np.ndarray:
    squared = np.minimum(y, 0.5) ** 2
    series = -squared * np.polynomial.polynomial.polyval(squared, _LOG_SINC)
    return np.where(y < 0.5, series, np.log(np.sin(y) / y))
