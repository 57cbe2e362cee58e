"""The spherical transform of one step of the hyperbolic walk, and its inversion, which gives S3 and S4.

Two rows of the Jacobian J form a 2×2 Gram matrix. With each further layer it makes a step of a random walk on
GL(2)/O(2), which up to scale is the hyperbolic plane. One layer multiplies the spherical transform of the walk's law by
a factor m(ν) (Helgason 1984, ch. IV), and with r the distance walked, S = E[1/cosh r] is recovered by Mehler–Fock
inversion,

    S = ∫_0^∞ ν tanh(πν) ĥ(ν) M(ν) dν,    ĥ(ν) = |Γ(1/4 + iν/2)|² / (2√π),    M = Π_l m_l.

The mean VNI needs nothing else: E ρ² = 1 − S for two nodes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import gamma, log1p

LogFactor = Callable[[np.ndarray], np.ndarray]

# The integrand is even and analytic for |Im ν| < 1/2, so the trapezoid rule with step h errs by about e^{−π/h}: h =
# π/46 leaves 1e-20. ĥ decays as e^{−πν/2}, which is 1e-21 at ν = 31.
_DIGITS = 46.0
_REACH = 31.0

# By so much rounding may carry a sum over 1.
_EXCESS = 1e-12

# Stirling coefficients B_2k / (2k(2k−1)).
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360)
_STIRLING_FROM = 40


def mehler_fock_density(nu: np.ndarray) -> np.ndarray:
    """ν tanh(πν) ĥ(ν); its integral over ν > 0 is one."""
    return nu * np.tanh(np.pi * nu) * np.abs(gamma(0.25 + 0.5j * nu)) ** 2 / (2 * np.sqrt(np.pi))


_STEP = np.pi / _DIGITS
NODES = _STEP * np.arange(1, int(_REACH / _STEP) + 1)
_WEIGHTS = _STEP * mehler_fock_density(NODES)


def mean_square_correlation(log_factor: LogFactor) -> np.ndarray:
    """1 − S = E ρ², summed as a positive quantity: accurate relative to itself, however small.

    Parameters
    ----------
    log_factor : callable
        ln M(ν), from an array (K,) to an array (..., K).

    Returns
    -------
    ndarray, shape (...)
    """
    return mean_square_correlation_from(log_factor(NODES))


def mean_square_correlation_from(log_factors: np.ndarray) -> np.ndarray:
    """1 − S from ln M(ν) at `NODES`, shape (..., nodes): see `mean_square_correlation`."""
    return _probability(-np.expm1(log_factors) @ _WEIGHTS)


def mean_sech_distance(log_factor: LogFactor) -> np.ndarray:
    """S = E[1/cosh r] = 1 − E ρ², accurate relative to itself down to the smallest normal double.

    On the line Im ν = 1/2 every spherical transform is bounded by M(i/2) = 1, so the trapezoid error is below
    e^{−π/h}, to be held against S, which is about M(0): h = π/(46 − ln M(0)). The sum ends where M ĥ has fallen by
    e^{−46}.

    Parameters
    ----------
    log_factor : callable
        ln M(ν), from an array (..., K) to an array (..., K); one row per walk.

    Returns
    -------
    ndarray, shape (...)
    """
    at_zero = log_factor(np.zeros(1))
    # Below e^{−800}, S is zero in double precision whatever the integral says.
    at_zero = np.maximum(at_zero, -800.0)
    coarse = np.geomspace(1e-3, _REACH, 80)
    fallen = log_factor(coarse) - at_zero - np.pi / 2 * coarse < -_DIGITS
    reach = np.where(fallen.any(axis=-1), coarse[np.argmax(fallen, axis=-1)], _REACH)[..., None]
    count = int(np.ceil(np.max(reach * (_DIGITS - at_zero) / np.pi)))
    nu = reach * np.arange(1, count + 1) / count
    integrand = mehler_fock_density(nu) * np.exp(log_factor(nu) - at_zero)
    return _probability((reach / count * np.exp(at_zero))[..., 0] * integrand.sum(axis=-1))


def _probability(values: np.ndarray) -> np.ndarray:
    """The values, between 0 and 1: what is beyond them by more than rounding is an error, and is not hidden."""
    if not np.all((values >= -_EXCESS) & (values <= 1 + _EXCESS)):
        raise ArithmeticError(f"means that must be from 0 to 1 came out from {np.min(values)} to {np.max(values)}")
    return np.clip(values, 0.0, 1.0)


def log_gaussian_step(fan_in: np.ndarray | int, nu: np.ndarray) -> np.ndarray:
    """ln m_n(ν) of one Gaussian layer with fan-in n.

    m_n(ν) = |Γ((2n−1)/4 + iν/2)|² / (Γ(n/2) Γ((n−1)/2)) = Π_{j≥0} [1 + (ν² + 1/4)/((n+2j)(n+2j−1))]^{−1}.

    Each factor of the product is the transform of hyperbolic Brownian motion at an exponential time: a layer is the
    diffusion of S4 run for a random time of mean ψ(n/2) − ψ((n−1)/2) ≈ 1/n. All terms of the sum have one sign, so the
    logarithm keeps its relative accuracy for any n; its tail, from n ≥ 40 on, is the difference of Stirling series.

    Parameters
    ----------
    fan_in : int or ndarray
        n ≥ 1; n = 1 gives −∞ (two nodes fed by one are perfectly correlated).
    nu : ndarray
        ν ≥ 0, broadcast against `fan_in`.
    """
    n = np.asarray(fan_in, dtype=float)
    c = nu**2 + 0.25
    head = np.zeros(np.broadcast_shapes(n.shape, np.shape(nu)))
    if n.min() < _STIRLING_FROM:
        with np.errstate(divide="ignore"):
            for _ in range(_STIRLING_FROM // 2):
                head -= np.log1p(c / (n * (n - 1)))
                n = n + 2
    # |Γ(a + iy)|² / (Γ(a + d) Γ(a − d)), d = 1/4: the same even function at −y² and at d².
    a, y, d = (2 * n - 1) / 4, nu / 2, 0.25
    tail = (a - 0.5) * (np.log1p((y / a) ** 2) - np.log1p(-((d / a) ** 2)))
    tail = tail - 2 * y * np.arctan(y / a) - 2 * d * np.arctanh(d / a)
    inverse = 1 / (a + 1j * y)
    power, above, below = inverse, 1 / (a + d), 1 / (a - d)
    for k, coefficient in enumerate(_STIRLING):
        tail = tail + coefficient * (2 * power.real - above ** (2 * k + 1) - below ** (2 * k + 1))
        power = power * inverse**2
    return head + tail


def log_gaussian_step_off_axis(fan_in: np.ndarray | int, nu: np.ndarray, relative: bool) -> np.ndarray:
    """ln m_n(ν) for complex ν off the poles: see `log_gaussian_step`.

    If relative, m_n is left without e^{−πν/2} where Re ν > 1: ratios for different n keep their digits at large ν.
    """
    n, c = np.asarray(fan_in, dtype=float), nu**2 + 0.25
    head = np.zeros(np.broadcast_shapes(n.shape, nu.shape), dtype=complex)
    for _ in range(4):
        product = np.zeros_like(head)
        for _ in range(5):
            product += (1 + product) * (c / (n * (n - 1)))
            n = n + 2
        head -= log1p(product)
    a = (2 * n - 1) / 4
    z = 0.5j * nu
    far = relative & (nu.real > 1)
    angle = np.arctanh(np.where(far, a / np.where(far, z, 1), z / a))  # artanh(z/a) = artanh(a/z) + iπ/2
    return head + _log_gamma_pair(a, z, angle) - _log_gamma_pair(a, 0.25, np.arctanh(0.25 / a))


def _log_gamma_pair(a: np.ndarray, z: np.ndarray | float, angle: np.ndarray) -> np.ndarray:
    """ln Γ(a + z) Γ(a − z) but for what does not depend on z, by Stirling's series; angle = artanh(z/a)."""
    total = (a - 0.5) * log1p(-((z / a) ** 2)) + 2 * z * angle
    for k, coefficient in enumerate(_STIRLING):
        total = total + coefficient * ((a + z) ** -(2 * k + 1) + (a - z) ** -(2 * k + 1))
    return total
