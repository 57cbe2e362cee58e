r"""The tool of S6: free factors multiply their S-transforms, checked against Wick's formula.

**Question.** At fixed depth L and N → ∞ the moments m_k = (1/N) Tr (J Jᵀ)^k stop fluctuating. How are they found, and
do D² and W C Wᵀ behave as free factors?

**Assumptions.** D² and W C Wᵀ are asymptotically free, so that their S-transforms multiply (Voiculescu 1987). This is
the theorem used. It is checked here against Wick's formula, up to the fourth moment of a square layer and the third of
a layer of any shape, for D independent of W.

**Method.** For a distribution with moments m_k let ψ(z) = Σ_k m_k z^k, χ its inverse series and S(z) = χ(z) (1 + z)/z,
the S-transform. (This χ is a series; the growth of gradients, also χ, does not occur here.) Moments are read back from
S by Lagrange's inversion.

**Result.** The moments of D W C Wᵀ D are those of the product of S-transforms of D², of W Wᵀ and of C. For Gaussian W
of shape c = n_out/n_in, S = 1/(c + z). S of a variable that is a with probability p, and else 0, is (1 + z)/(a(p + z)).

**Source.** Voiculescu 1987; Pennington, Schoenholz and Ganguli 2017, 2018 (Jacobian spectra).
"""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp

from theory import wick
from theory.annealed import epsilon
from theory.derivation import Claim, Derivation, Step
from theory.wick import n

LAWS: tuple[str, ...] = ()

a, c, p, zeta = sp.symbols("a c p zeta", positive=True)
z = sp.Symbol("z")


def truncated(function: sp.Expr, terms: int) -> sp.Expr:
    """The first terms of the Taylor series of a function of z, by differentiation."""
    total = sp.Integer(0)
    for k in range(terms):
        total += sp.factor(function.subs(z, 0)) / sp.factorial(k) * z**k
        function = sp.diff(function, z)
    return total


def leading_terms(polynomial: sp.Expr, terms: int) -> sp.Expr:
    """The first terms of a polynomial in z."""
    parts = sp.Poly(polynomial, z)
    return sum(sp.factor(parts.coeff_monomial(z**k)) * z**k for k in range(terms))


def s_transform(moments: Sequence[sp.Expr]) -> sp.Expr:
    """S(z) of a distribution with moments m_1, …, m_K: its first K terms.

    The inverse χ of ψ is found coefficient by coefficient, from ψ(χ(z)) = z.
    """
    count = len(moments)
    inverse = z / moments[0]
    for k in range(2, count + 1):
        inside = sp.Poly(sum(m * inverse**j for j, m in enumerate(moments, start=1)), z)
        inverse -= sp.factor(inside.coeff_monomial(z**k)) / moments[0] * z**k
    return leading_terms(sp.expand(inverse / z) * (1 + z), count)


def moment(k: int, transform: sp.Expr) -> sp.Expr:
    """m_k of the distribution with S-transform S(z), by Lagrange's inversion of χ(z) = z S(z)/(1 + z).

    m_k = (1/k) [z^{k−1}] ((1 + z)/S(z))^k.
    """
    function = ((1 + z) / transform) ** k
    return sp.factor(sp.diff(function, z, k - 1).subs(z, 0) / sp.factorial(k))


def planar_limit(
    k: int, before: Sequence[sp.Expr], slopes: Sequence[sp.Expr] | None = None, shape: sp.Expr = sp.S.One
) -> sp.Expr:
    """lim (1/n) E Tr (D W C Wᵀ D)^k as n = n_in → ∞ with n_out = shape · n, by Wick's formula (σ_w = 1).

    Before the layer (1/n) Tr C^j → the given m_j.
    """
    mean = wick.expectation((k,), n, shape * n, None if slopes is None else tuple(slopes))
    mean = mean.subs({wick.power_sum(j): n * m for j, m in enumerate(before, start=1)})
    return sp.expand(sp.expand(mean / n).subs(n, 1 / epsilon)).subs(epsilon, 0)


def two_values(a: sp.Expr, p: sp.Expr) -> sp.Expr:
    """S(z) of a variable that is a with probability p, and else 0: ψ(ζ) = p a ζ/(1 − a ζ) solved for ζ."""
    inverse = sp.solve(sp.Eq(p * a * zeta / (1 - a * zeta), z), zeta)[0]
    return sp.factor(inverse * (1 + z) / z)


def derive() -> Derivation:
    m, mu = sp.symbols("m_1:5", positive=True), sp.symbols("mu_1:5", positive=True)
    series = leading_terms(s_transform(mu) * s_transform(m) * truncated(1 / (1 + z), 4), 4)
    free = sp.Matrix([moment(k, series) for k in (1, 2, 3, 4)])
    planar = sp.Matrix([planar_limit(k, m, mu) for k in (1, 2, 3, 4)])
    wishart = [planar_limit(k, [sp.Integer(1)] * 4, shape=c) for k in (1, 2, 3, 4)]
    square = [moment.subs(c, 1) for moment in wishart]
    psi = sp.Symbol("psi")
    lines = (
        Step(
            r"**Two coefficients.** $\psi = m_1 z + m_2 z^2 + \ldots$ has the inverse $\chi = z/m_1 - (m_2/m_1^3) "
            r"z^2 + \ldots$, so",
            sp.Eq(sp.Function("S")(z), s_transform(m[:2]), evaluate=False),
        ),
        Step(
            r"**Gaussian W.** The planar pairings of $(WW^\mathsf{T})^k$, W square, satisfy $M = 1 + z M^2$ "
            r"with $M = 1 + \psi$ (cut at the partner of the first W). So $z = \psi/(1+\psi)^2$, that is $S = "
            r"1/(1+z)$. With $n_\mathrm{out} = c\,n_\mathrm{in}$ the S-transform of $W^\mathsf{T}W$ is",
            1 / (c + z),
        ),
        Step(
            r"**Two values.** A variable that is a with probability p, and else 0, has $\psi(\zeta) = "
            r"p\,a\zeta/(1 - a\zeta)$, and the S-transform",
            two_values(a, p),
        ),
        Step(
            r"**Freeness.** The limit of $\frac1n\mathbb{E}\,\mathrm{Tr}\,(DWCW^\mathsf{T}D)^k$ by Wick's formula is "
            r"a polynomial in the moments of C and of $D^2$. Its second one is",
            planar[1],
        ),
        Step(r"and the product of the three S-transforms gives the same."),
    )
    claims = (
        Claim(
            r"freeness: $\lim\frac1n\mathbb{E}\,\mathrm{Tr}\,(D^2WCW^\mathsf{T})^k$ by Wick's formula is the moment "
            r"of $S_{D^2}S_{WW^\mathsf{T}}S_C$, any $\mu_k$ and any $m_k$ of C, k = 1 to 4",
            planar,
            free.expand(),
        ),
        Claim(
            r"Marchenko–Pastur: planar pairings give the Catalan numbers 1, 2, 5, 14",
            sp.Matrix(square),
            sp.Matrix([sp.binomial(2 * k, k) / (k + 1) for k in range(1, 5)]),
        ),
        Claim(
            r"$M=1+zM^2$ is solved by $S=1/(1+z)$: $\chi=z/(1+z)^2$",
            sp.solve(sp.Eq(1 + psi, 1 + z * (1 + psi) ** 2), z)[0].subs(psi, z) * (1 + z) / z,
            1 / (1 + z),
        ),
        Claim(
            r"Gaussian W of any shape: $S_{W^\mathsf{T}W}=1/(c+z)$, four coefficients from Wick's formula",
            s_transform(wishart),
            truncated(1 / (c + z), 4),
        ),
        Claim(
            r"two values, a with probability p and else 0: $S=(1+z)/(a(p+z))$",
            two_values(a, p),
            (1 + z) / (a * (p + z)),
        ),
    )
    return Derivation("Free probability: S-transforms multiply", lines, claims)
