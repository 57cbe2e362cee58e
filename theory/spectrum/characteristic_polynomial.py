r"""S6 at finite width: the mean of the characteristic polynomial of J Jᵀ, linear Gaussian networks.

**Question.** J is a product of L Gaussian matrices of any widths. What is the mean of det(x − J Jᵀ)?

**Assumptions.** Linear layers, with independent real normal weights of mean square 1/n_in.

**Method.** The coefficients are the elementary symmetric functions e_k of the eigenvalues, which are zonal polynomials:
Z of the partition (1, …, 1) is k! e_k. A layer only multiplies them by a number (`trace_moments`).

**Result.** A layer multiplies E e_k by n_out (n_out − 1) ⋯ (n_out − k + 1)/n_in^k, from e_k(1) = binom(n_0, k) at the
inputs.

**Source.** Marcus, Spielman and Srivastava 2022 (finite free convolution); James 1964 (zonal polynomials).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import sympy as sp

from theory import trace_moments
from theory.derivation import Claim, Derivation, Step
from theory.trace_moments import elementary, layer_average
from theory.wick import n_in, n_out

LAWS: tuple[str, ...] = ("expected_characteristic_polynomial",)

x = sp.Symbol("x", positive=True)


def characteristic_polynomial(widths: Sequence[int]) -> list[sp.Expr]:
    """(−1)^k E e_k(J Jᵀ), the highest power of x first, layer by layer from e_k(1) = binom(n_0, k)."""
    coefficients = []
    for k in range(widths[-1] + 1):
        value = sp.binomial(widths[0], k)
        for fan_in, fan_out in pairwise(widths):
            value *= sp.ff(fan_out, k) / sp.Integer(fan_in) ** k
        coefficients.append((-1) ** k * value)
    return coefficients


def derive() -> Derivation:
    sizes = range(5)
    lines = (
        Step(
            r"**Coefficients.** $\det(x-C)=\sum_k(-1)^k e_k(C)\,x^{n-k}$. In the traces $p_j=\mathrm{Tr}\,C^j$ the "
            r"third of them is, by Newton's identities,",
            sp.Eq(sp.Symbol("e_3"), elementary(3), evaluate=False),
        ),
        Step(
            r"**One layer.** $Z_{(1^k)}=k!\,e_k$, so by `trace_moments` a layer multiplies "
            r"$\mathbb{E}\,e_k$ by $n_\mathrm{out}(n_\mathrm{out}-1)\cdots(n_\mathrm{out}-k+1)/n_\mathrm{in}^k$.",
        ),
        Step(
            r"**Many layers.** The factors multiply, since the layers are independent. For three layers of width 2,",
            sp.Poly(characteristic_polynomial((2, 2, 2, 2)), x).as_expr(),
        ),
    )
    claims = (
        Claim(
            r"$\mathbb{E}\,e_k(WCW^\mathsf{T})=n_\mathrm{out}\cdots(n_\mathrm{out}-k+1)\,e_k(C)/n_\mathrm{in}^k$ by "
            r"Wick's formula, k = 0 to 4",
            sp.Matrix([layer_average(elementary(k), n_in, n_out) if k else sp.Integer(1) for k in sizes]),
            sp.Matrix([sp.expand(sp.expand_func(sp.ff(n_out, k)) * elementary(k) / n_in**k) for k in sizes]),
        ),
        Claim(
            r"$Z_{(1^k)}=k!\,e_k$, k = 1 to 4",
            sp.Matrix([trace_moments.zonal_polynomial((1,) * k) for k in sizes[1:]]),
            sp.Matrix([sp.expand(sp.factorial(k) * elementary(k)) for k in sizes[1:]]),
        ),
        Claim(
            r"one layer: monic Laguerre polynomials, $n_\mathrm{out}=3$, $n_\mathrm{in}=5$",
            sp.Poly(characteristic_polynomial((5, 3)), x).as_expr(),
            sp.expand(-6 * sp.assoc_laguerre(3, 2, 5 * x) / 5**3),
        ),
    )
    return Derivation("S6: the expected characteristic polynomial", lines, claims)
