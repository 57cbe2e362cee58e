r"""S6 at finite width, complex: the density of the squared singular values of products of complex Gaussian matrices.

**Question.** J is a product of L complex Gaussian n × n matrices. What is the density of its squared singular values?

**Assumptions.** Independent complex normal entries of mean square 1/n. Used and not derived here (Akemann, Ipsen and
Kieburg 2013): the joint density of the squared singular values x_i is proportional to the determinants of x_i^{j−1} and
of functions w_j(x_i) with Mellin transform Γ(s)^{L−1} Γ(s + j − 1).

**Method.** Points with such a density are a determinantal process. Polynomials P_j and functions φ_k in the span of the
w_j that are orthogonal to each other give its density; their integrals are read off Mellin transforms.

**Result.** The density is (1/n) Σ_{k<n} P_k φ_k, where P_k = Σ_j (−1)^{k+j} binom(k, j) (k!/j!)^L x^j, and φ_k has the
Mellin transform (−1)^k k!^{−L−1} Γ(s)^L (1 − s)_k, a Meijer G-function.

**Source.** Akemann, Ipsen and Kieburg 2013.
"""

from __future__ import annotations

from functools import cache

import sympy as sp

from theory.derivation import Claim, Derivation, Step

LAWS: tuple[str, ...] = ("complex_ginibre_density",)

L, x = sp.symbols("L x", positive=True)


def dual_moment(m: int, k: int, depth: sp.Expr) -> sp.Expr:
    """∫ x^m φ_k dx, the Mellin transform (−1)^k k!^{−L−1} Γ(s)^L (1−s)_k at s = m + 1: entries of mean square one."""
    return (-1) ** k * sp.factorial(m) ** depth * sp.rf(-m, k) / sp.factorial(k) ** (depth + 1)


def polynomial(k: int, depth: sp.Expr) -> list[sp.Expr]:
    """P_k: coefficients of x^0 … x^k, entries of mean square one."""
    return [(-1) ** (k + j) * sp.binomial(k, j) * (sp.factorial(k) / sp.factorial(j)) ** depth for j in range(k + 1)]


def complex_moment(m: int, width: int, depth: sp.Expr) -> sp.Expr:
    """∫ x^m times the density, entries of mean square 1/n: Σ_{k<n} ∫ x^m P_k φ_k."""
    total = sum(
        coefficient * dual_moment(m + j, k, depth)
        for k in range(width)
        for j, coefficient in enumerate(polynomial(k, depth))
    )
    return total / (width * sp.Integer(width) ** (m * depth))


def wick_second_moment(n: int) -> sp.Expr:
    """Each complex layer multiplies p_1² ± p_2 by 1 ± 1/n: only W and its conjugate pair. At the start it is n² ± n."""
    n = sp.Integer(n)
    return ((n + 1) * (1 + 1 / n) ** L - (n - 1) * (1 - 1 / n) ** L) / 2


@cache
def exponential_moment(m: int) -> sp.Expr:
    """∫ x^m e^{−x} dx over positive x, by integration."""
    return sp.integrate(x**m * sp.exp(-x), (x, 0, sp.oo))


def laguerre_moment(m: int, k: int) -> sp.Expr:
    """∫ x^m (−1)^k e^{−x} L_k(x)/k! dx, term by term."""
    terms = sp.Poly(x**m * (-1) ** k * sp.laguerre(k, x) / sp.factorial(k), x).terms()
    return sum(coefficient * exponential_moment(power) for (power,), coefficient in terms)


def derive() -> Derivation:
    lines = (
        Step(
            r"**Two families.** Let $\varphi_k$ have the Mellin transform "
            r"$\int x^{s-1}\varphi_k\,dx=(-1)^k k!^{-L-1}\,\Gamma(s)^L(1-s)_k$, a Meijer G-function in the span of the "
            r"$w_j$. At $s=m+1$ it vanishes for $m<k$; and with $P_k=\sum_j(-1)^{k+j}\binom kj(k!/j!)^L x^j$, the "
            r"mean of $\det(x-JJ^\dagger)$ at size k, $\int P_j\varphi_k\,dx=\delta_{jk}$."
        ),
        Step(
            r"**The density** of one of n points of a determinantal process is $\frac1n\sum_{k<n}P_k\varphi_k$. For "
            r"n = 2 its second moment is",
            sp.simplify(complex_moment(2, 2, L)),
        ),
    )
    claims = (
        Claim(
            r"$\int P_j\varphi_k\,dx=\delta_{jk}$ for any L, j, k = 0 to 4",
            sp.Matrix(5, 5, lambda j, k: sum(c * dual_moment(m, k, L) for m, c in enumerate(polynomial(j, L)))),
            sp.eye(5),
        ),
        Claim(
            r"L = 1: $k!^2\varphi_k=(-1)^kk!\,e^{-x}L_k(x)$, moments 0 to 4 by integration",
            sp.Matrix(5, 5, laguerre_moment),
            sp.Matrix(5, 5, lambda m, k: dual_moment(m, k, sp.Integer(1))),
        ),
        Claim(
            r"mass one, mean one, and the second moment $\frac12[(n+1)(1+\frac1n)^L-(n-1)(1-\frac1n)^L]$ of the "
            r"complex Wick formula, for any L, n = 1, 2, 3",
            sp.Matrix(3, 3, lambda m, i: sp.powsimp(sp.expand(complex_moment(m, i + 1, L)), force=True)),
            sp.Matrix(3, 3, lambda m, i: 1 if m < 2 else wick_second_moment(i + 1)),
        ),
    )
    return Derivation("S6: the density of complex Gaussian products at finite width", lines, claims)
