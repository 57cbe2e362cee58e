"""S6 at finite width: the expected characteristic polynomial, by finite free multiplicative convolution."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from rmt_vn.network import Network


def expected_characteristic_polynomial(widths: Sequence[int] | np.ndarray) -> tuple[Fraction, ...]:
    """E det(x − J Jᵀ) of a linear Gaussian network, exactly.

    Z_κ of one column is k! e_k, e_k the elementary symmetric polynomial, so that each layer multiplies E e_k by
    n_out(n_out−1)…(n_out−k+1)/n_in^k: the finite free multiplicative convolution of the layers' own polynomials, which
    are Laguerre's (Marcus, Spielman & Srivastava 2022). Of the distribution of the entries only the variance enters.

    Parameters
    ----------
    widths : sequence of int
        n_0, n_1, …, n_L. The weights have variance 1/fan-in; σ_w multiplies the k-th coefficient by σ_w^{2Lk}.

    Returns
    -------
    tuple of Fraction, length n_L + 1
        (−1)^k E e_k(J Jᵀ), k = 0 … n_L: the coefficients of x^{n_L}, …, x, 1, as `numpy.polyval` takes them.

    Raises
    ------
    TypeError, ValueError
        If the widths are not as above.

    Examples
    --------
    >>> expected_characteristic_polynomial((2, 2))  # x² − 2x + 1/2
    (Fraction(1, 1), Fraction(-2, 1), Fraction(1, 2))
    """
    widths = Network(widths, activation="linear").widths
    counts = Counter(widths)
    fan_ins = math.prod(widths[:-1])
    coefficients = [Fraction(1)]
    for k in range(widths[-1]):
        # E e_k is Π_l n_l!/(n_l − k)! / (k! Π n_in^k); this is its ratio to the next.
        ratio = Fraction(math.prod((n - k) ** count for n, count in counts.items()), (k + 1) * fan_ins)
        if ratio == 0:
            break
        coefficients.append(-coefficients[-1] * ratio)
    return (*coefficients, *[Fraction(0)] * (widths[-1] + 1 - len(coefficients)))
