"""S6 at finite width: the exact density of squared singular values of products of complex Ginibre matrices.

For complex weights the squared singular values of a product are a determinantal process at any width, and their density
is known in closed form; for real ones it is not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from rmt_vn.checks import checked_count, checked_numbers

# Where a bound on the density in the far tail has fallen below e^{−750}, the density is zero in double precision.
_UNDERFLOW = 750.0
_DIGITS = 16


def complex_ginibre_density(n: int, depth: int, x: ArrayLike) -> np.ndarray:
    """Density at x of a squared singular value, taken at random, of a product of complex Ginibre matrices.

    The matrices are n × n, with independent complex normal entries of mean square 1/n. In units of n^{−L}, with L the
    depth, the density is (1/n) Σ_{k<n} P_k φ_k, of biorthogonal P_k, the expected characteristic polynomial at size k,
    and φ_k = (−1)^k k!^{−L−1} G^{L,1}_{1,L+1}(−k; 0, …, 0, 0 | x), a Meijer G-function (Akemann, Ipsen & Kieburg 2013).

    Parameters
    ----------
    n : int
        Width, ≥ 1.
    depth : int
        L, the number of matrices, ≥ 1.
    x : array_like
        Finite. Left of zero the density is zero; at zero it is n for one matrix, and infinite for more.

    Returns
    -------
    ndarray, shape of x
        Relative error below 1e-12, the tails included. A point takes 10 milliseconds at n = 8, 0.2 s at 50.

    Raises
    ------
    TypeError, ValueError
        If n or depth is not an integer ≥ 1, or x not finite.

    Examples
    --------
    >>> complex_ginibre_density(1, 1, [-1.0, 0.0, 1.0]).round(6)  # e^{−x}
    array([0.      , 1.      , 0.367879])
    """
    n, depth = checked_count("n", n), checked_count("depth", depth)
    points = checked_numbers("x", x)
    if not np.isfinite(points).all():
        raise ValueError(f"x must be finite, got {x!r}")
    at_zero = float(n) if depth == 1 else np.inf
    values = [
        0.0 if point < 0 else at_zero if point == 0 else _density(n, depth, point) for point in points.ravel().tolist()
    ]
    return np.array(values).reshape(points.shape)


def _density(n: int, depth: int, point: float) -> float:
    # Imported here, because mpmath is slow to import and no other law needs it.
    from mpmath import mp

    # φ_k falls as e^{−L x^{1/L}}, and P_k φ_k has at most n powers of x from each of its two factors.
    decay = depth * n * point ** (1 / depth)
    if decay - 2 * n * max(0.0, np.log(point) + depth * np.log(n)) > _UNDERFLOW:
        return 0.0
    spare = 10
    while True:
        with mp.workdps(_DIGITS + spare):
            total, size = _kernel(n, depth, mp.mpf(point) * mp.mpf(n) ** depth)
            # Cancellation costs as many digits as the largest term has more than the sum.
            if size < abs(total) * mp.mpf(10) ** spare:
                return float(total * mp.mpf(n) ** (depth - 1))
        spare *= 2


def _kernel(n: int, depth: int, x: Any) -> tuple[Any, Any]:
    """Σ_k P_k(x) φ_k(x), and the same with all terms made positive, at mpmath's working precision.

    The Mellin transform of φ_k is (−1)^k k!^{−L−1} Γ(s)^L (1−s)_k. It is inverted by the trapezoid rule in w along s =
    c(2 − cosh w + i sinh w), a hyperbola round the poles 0, −1, −2, …, on which Γ(s)^L x^{−s} falls off doubly
    exponentially. It crosses the real axis at c, near the saddle, so that nothing cancels in the tail and at zero.
    """
    from mpmath import mp

    signed, positive = [], []
    for k in range(n):
        top = mp.factorial(k)
        terms = [(-1) ** j * mp.binomial(k, j) * (top / mp.factorial(j)) ** depth * x**j for j in range(k + 1)]
        signed.append(mp.fsum(terms) / top ** (depth + 1))
        positive.append(mp.fsum(terms, absolute=True) / top ** (depth + 1))

    # Where ψ(c) = ln(x)/L, roughly.
    log_x = mp.log(x)
    saddle = mp.exp(log_x / depth) + 0.5 if log_x > -2 * depth else -depth / (log_x + depth * mp.euler)

    def integrand(w: Any) -> tuple[Any, Any]:
        cosh, sinh = mp.cosh(w), mp.sinh(w)
        s = saddle * mp.mpc(2 - cosh, sinh)
        factor = saddle * mp.mpc(-sinh, cosh) * mp.exp(depth * mp.loggamma(s) - s * log_x) / mp.pi
        value, size = mp.zero, mp.zero
        for k in reversed(range(n)):
            value = signed[k] + (k + 1 - s) * value
            size = positive[k] + abs(k + 1 - s) * size
        return mp.im(factor * value), abs(factor) * size

    def along(start: Any, step: Any) -> tuple[Any, Any]:
        total, size, largest = mp.zero, mp.zero, mp.zero
        j = 0
        while True:
            value, bound = integrand(start + j * step)
            total, size, largest = total + value, size + bound, max(largest, bound)
            if bound < largest * mp.eps:
                return total * step, size * step
            j += 1

    step = 1 / (2 + mp.sqrt(saddle * depth))
    total = along(step, step)[0] + step * integrand(0)[0] / 2
    while True:
        # At the points halfway between, the rule has the opposite error; the mean of the two is the rule of half the
        # step, and has twice as many correct digits as the two have in common.
        between, size = along(step / 2, step)
        apart, total = abs(between - total), (between + total) / 2
        if apart < max(abs(total) * mp.mpf("1e-10"), 1000 * mp.eps * size):
            return total, size
        step /= 2
