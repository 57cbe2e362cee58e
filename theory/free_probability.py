r"""Free probability: S1 again, and the spectrum of J Jᵀ at finite depth and infinite width.

Question. At fixed depth L and N → ∞ the moments m_k = (1/N) Tr (J Jᵀ)^k stop fluctuating. What are they?

Definition. For a distribution with moments m_k let ψ(z) = Σ_k m_k z^k, χ its inverse series and S(z) = χ(z) (1 +
z)/z, the S-transform. (This χ is a series; the growth of gradients, also χ, does not occur here.)

Assumptions. All widths are N. D² and W C Wᵀ are asymptotically free, so that their S-transforms multiply
(Voiculescu 1987); this is the theorem used, and it is checked here against Wick's formula up to the fourth moment.
W Wᵀ has S-transform (1/σ_w²)(1 + s_1 z + …).

Source. Pennington, Schoenholz and Ganguli 2017, 2018 (Jacobian spectra, μ_k, s_1); Chang and Lin 2019 (S1 from
m_2/m_1²); Penson and Życzkowski 2011 (Fuss–Catalan).
"""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp

from theory import moments, wick
from theory.derivation import Claim, Derivation, Step
from theory.wick import mu1, mu2, n, sigma_w

N, L = moments.N, moments.L
s1 = sp.Symbol("s_1", real=True)
z = sp.Symbol("z")
epsilon = moments.epsilon


def truncated(function: sp.Expr, terms: int) -> sp.Expr:
    """The first terms of the Taylor series of a function of z, by differentiation."""
    total = sp.Integer(0)
    for k in range(terms):
        total += sp.factor(function.subs(z, 0)) / sp.factorial(k) * z**k
        function = sp.diff(function, z)
    return total


def s_transform(moments: Sequence[sp.Expr]) -> sp.Expr:
    """S(z) of a distribution with moments m_1, …, m_K: its first K terms.

    The inverse χ of ψ is found coefficient by coefficient, from ψ(χ(z)) = z.
    """
    count = len(moments)
    inverse = z / moments[0]
    for k in range(2, count + 1):
        inside = sp.Poly(sum(m * inverse**j for j, m in enumerate(moments, start=1)), z)
        inverse -= sp.factor(inside.coeff_monomial(z**k)) / moments[0] * z**k
    return truncated(sp.expand(inverse / z) * (1 + z), count)


def moment(k: int, transform: sp.Expr) -> sp.Expr:
    """m_k of the distribution with S-transform S(z), by Lagrange's inversion of χ(z) = z S(z)/(1 + z).

    m_k = (1/k) [z^{k−1}] ((1 + z)/S(z))^k.
    """
    function = ((1 + z) / transform) ** k
    return sp.factor(sp.diff(function, z, k - 1).subs(z, 0) / sp.factorial(k))


def weight_transform(limits: Sequence[sp.Expr]) -> tuple[sp.Expr, sp.Expr]:
    """The leading two coefficients of S_{WWᵀ}, written as (1/σ_w²)(1 + s_1 z): returns (1/σ_w², s_1)."""
    series = sp.Poly(s_transform(limits), z)
    first = series.coeff_monomial(1)
    return first, sp.cancel(series.coeff_monomial(z) / first)


def planar_limit(k: int, before: Sequence[sp.Expr], slopes: Sequence[sp.Expr] | None = None) -> sp.Expr:
    """lim (1/n) E Tr (D W C Wᵀ D)^k as n → ∞, where (1/n) Tr C^j → the given m_j; by Wick's formula (σ_w = 1)."""
    mean = wick.expectation((k,), n, n, None if slopes is None else tuple(slopes))
    mean = mean.subs({wick.power_sum(j): n * m for j, m in enumerate(before, start=1)})
    return sp.expand(sp.expand(mean / n).subs(n, 1 / epsilon)).subs(epsilon, 0)


def jacobian_moments(weights_s1: sp.Expr = s1) -> tuple[sp.Expr, sp.Expr]:
    """m_1 and m_2 of J Jᵀ with L layers, from S = (S_{D²} S_{WWᵀ})^L."""
    layer = sp.expand(s_transform((mu1, mu2)) * (1 + weights_s1 * z) / sigma_w**2)
    first, second = (sp.factor(layer.coeff(z, power)) for power in (0, 1))
    whole = first**L * (1 + L * sp.factor(second / first) * z)
    return sp.powsimp(moment(1, whole), force=True), sp.powsimp(moment(2, whole), force=True)


def second_moment_ratio(weights_s1: sp.Expr = s1) -> sp.Expr:
    """m_2/m_1² of J Jᵀ."""
    m1, m2 = jacobian_moments(weights_s1)
    return sp.expand(sp.simplify(m2 / m1**2))


def fuss_catalan(k: int, layers: sp.Expr) -> sp.Expr:
    """m_k of J Jᵀ for linear Gaussian layers, S = (1 + z)^{−L}."""
    return moment(k, (1 + z) ** (-layers))


def derive() -> Derivation:
    m = sp.symbols("m_1:5", positive=True)
    mu = sp.symbols("mu_1:5", positive=True)
    product = sp.expand(s_transform(mu) * s_transform(m) / (1 + z))
    series = truncated(product, 4)
    free = sp.Matrix([moment(k, series) for k in (1, 2, 3, 4)])
    planar = sp.Matrix([planar_limit(k, m, mu) for k in (1, 2, 3, 4)])
    wishart = [planar_limit(k, [sp.Integer(1)] * 4) for k in (1, 2, 3, 4)]
    two_layers = [planar_limit(k, wishart) for k in (1, 2, 3, 4)]
    gaussian = (sigma_w**2, sigma_w**4 * wishart[1])
    haar = (sigma_w**2, sigma_w**4)
    catalan = [sp.binomial(2 * k, k) / (k + 1) for k in range(1, 6)]
    psi = sp.Symbol("psi")
    ratio, rate = second_moment_ratio(), mu2 / mu1**2 - 1 - s1
    lines = (
        Step(
            r"**Two coefficients.** $\psi = m_1 z + m_2 z^2 + \ldots$ has the inverse $\chi = z/m_1 - (m_2/m_1^3) "
            r"z^2 + \ldots$, so",
            sp.Eq(sp.Function("S")(z), s_transform(m[:2]), evaluate=False),
        ),
        Step(
            r"For $D^2$, with moments $\mu_1, \mu_2$, this is $\frac{1}{\mu_1}(1 - (\mu_2/\mu_1^2 - 1)z + \ldots)$. "
            r"For $WW^\mathsf{T}$ it is $\frac{1}{\sigma_w^2}(1 + s_1 z + \ldots)$ by the definition of $s_1$: a "
            r"Gaussian W has $m_2 = 2\sigma_w^4$ (`wick`, two planar pairings of three), hence $s_1 = -1$; an "
            r"orthogonal one has $WW^\mathsf{T} = \sigma_w^2$, hence $s_1 = 0$."
        ),
        Step(
            r"**S1.** With $C = J_{l-1}J_{l-1}^\mathsf{T}$, the next $D W C W^\mathsf{T} D$ has the spectrum of $D^2 "
            r"\cdot WCW^\mathsf{T}$, and $WCW^\mathsf{T}$ that of $W^\mathsf{T}W \cdot C$: two products of free "
            r"factors. Hence $S_{JJ^\mathsf{T}} = (S_{D^2} S_{WW^\mathsf{T}})^L$. Its first coefficient is "
            r"$(\sigma_w^2\mu_1)^{-L}$, and the second L times as large relative to it as one layer's. Reading $m_1$ "
            r"and $m_2$ back,",
            sp.Eq(sp.Symbol("m_2") / sp.Symbol("m_1") ** 2, 1 + L * rate, evaluate=False),
        ),
        Step(
            r"and $\mathrm{Tr}\,C^2/(\mathrm{Tr}\,C)^2 = m_2 N/(m_1 N)^2$ is $1/N$ of it: the law of the thesis,",
            1 / N + L / N * rate,
        ),
        Step(
            r"**All moments, linear Gaussian.** The planar pairings of $(WW^\mathsf{T})^k$ satisfy $M = 1 + z M^2$ "
            r"with $M = 1 + \psi$ (cut at the partner of the first W). So $z = \psi/(1+\psi)^2$, that is $S = "
            r"1/(1+z)$; and $(1+z)^{-L}$ for L layers. Lagrange's inversion gives the Fuss–Catalan numbers,",
            sp.Eq(
                sp.Symbol("m_k"),
                sp.binomial((sp.Symbol("L") + 1) * sp.Symbol("k"), sp.Symbol("k"))
                / (sp.Symbol("L") * sp.Symbol("k") + 1),
                evaluate=False,
            ),
        ),
        Step(
            r"for L = 2: 1, 3, 12, 55, 273.",
        ),
    )
    claims = (
        Claim(
            r"freeness: $\lim\frac1n\mathbb{E}\,\mathrm{Tr}\,(D^2WCW^\mathsf{T})^k$ by Wick's formula is the moment "
            r"of $S_{D^2}S_{WW^\mathsf{T}}S_C$, any $\mu_k$ and any $m_k$ of C, k = 1 to 4",
            planar,
            free.expand(),
        ),
        Claim(
            r"Gaussian W: $S=\frac{1}{\sigma_w^2}(1+s_1z)$ with $s_1=-1$",
            sp.Matrix(weight_transform(gaussian)),
            sp.Matrix([1 / sigma_w**2, -1]),
        ),
        Claim(
            r"orthogonal W: $s_1=0$",
            sp.Matrix(weight_transform(haar)),
            sp.Matrix([1 / sigma_w**2, 0]),
        ),
        Claim(r"$m_1=(\sigma_w^2\mu_1)^L$", jacobian_moments()[0], (sigma_w**2 * mu1) ** L),
        Claim(r"$m_2/m_1^2=1+L(\mu_2/\mu_1^2-1-s_1)$", ratio, 1 + L * rate),
        *(
            Claim(
                rf"S1 by S-transforms is S1 by the exact recursion, {weights}",
                second_moment_ratio(value) / N,
                1 / N
                + L * moments.layer_increment(weights).subs({moments.r: mu2 / mu1**2, wick.n_out: N, moments.size: N}),
            )
            for weights, value in (("gaussian", sp.Integer(-1)), ("orthogonal", sp.Integer(0)))
        ),
        Claim(
            r"Marchenko–Pastur: planar pairings give the Catalan numbers 1, 2, 5, 14",
            sp.Matrix(wishart),
            sp.Matrix(catalan[:4]),
        ),
        Claim(
            r"$M=1+zM^2$ is solved by $S=1/(1+z)$: $\chi=z/(1+z)^2$",
            sp.solve(sp.Eq(1 + psi, 1 + z * (1 + psi) ** 2), z)[0].subs(psi, z) * (1 + z) / z,
            1 / (1 + z),
        ),
        Claim(
            r"Fuss–Catalan for any L: $m_k=\frac{1}{Lk+1}\binom{(L+1)k}{k}$, k = 1 to 5",
            sp.Matrix([sp.expand(fuss_catalan(k, L)) for k in range(1, 6)]),
            sp.Matrix([sp.expand(_binomial((L + 1) * k, k) / (L * k + 1)) for k in range(1, 6)]).applyfunc(sp.cancel),
        ),
        Claim(
            r"L = 2: 1, 3, 12, 55, 273",
            sp.Matrix([fuss_catalan(k, sp.Integer(2)) for k in range(1, 6)]),
            sp.Matrix([1, 3, 12, 55, 273]),
        ),
        Claim(
            r"L = 2 by Wick's formula, layer upon layer, without S-transforms: 1, 3, 12, 55",
            sp.Matrix(two_layers),
            sp.Matrix([1, 3, 12, 55]),
        ),
    )
    return Derivation("Free probability: wide layers at finite depth", lines, claims)


def _binomial(top: sp.Expr, k: int) -> sp.Expr:
    """A binomial coefficient as a polynomial in its upper entry."""
    return sp.prod(top - j for j in range(k)) / sp.factorial(k)
