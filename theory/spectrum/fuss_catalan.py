r"""S6 in closed form: the Fuss–Catalan law of wide, square, linear, Gaussian layers.

**Question.** Which moments, which density and which edge has the spectrum of J Jᵀ, if J is a product of L square
Gaussian matrices and N → ∞?

**Assumptions.** Linear layers of equal width, Gaussian weights, σ_w = 1. Independent Gaussian matrices are
asymptotically free (`spectrum.free_probability`).

**Method.** S = (1 + z)^{−L}, whose moments Lagrange's inversion gives for any L. The equation x = (1 + u)^{L+1}/u of
`spectrum.wide_layers` is real on a curve, which a single angle runs along.

**Result.** m_k = binom((L+1)k, k)/(Lk + 1). With an angle φ between 0 and π/(L+1), x = sin^{L+1}((L+1)φ)/(sin φ
sin^L(Lφ)) has the density sin²φ sin^{L−1}(Lφ)/(π sin^L((L+1)φ)). The spectrum ends at (L+1)^{L+1}/L^L.

**Source.** Penson and Życzkowski 2011; Forrester and Liu 2015 (this parametrisation).
"""

from __future__ import annotations

import sympy as sp

from theory.derivation import Claim, Derivation, Step
from theory.spectrum.free_probability import moment, planar_limit, z
from theory.spectrum.wide_layers import u

LAWS: tuple[str, ...] = ("fuss_catalan_density",)

L, phi = sp.symbols("L phi", positive=True)


def fuss_catalan(k: int, layers: sp.Expr) -> sp.Expr:
    """m_k of J Jᵀ for linear Gaussian layers, S = (1 + z)^{−L}."""
    return moment(k, (1 + z) ** (-layers))


def fuss_catalan_curve() -> tuple[sp.Expr, sp.Expr, sp.Expr]:
    """1 + u on the upper side of the spectrum, x and the density there, as functions of φ."""
    top, low, step = sp.sin((L + 1) * phi), sp.sin(L * phi), sp.sin(phi)
    point = top / low * sp.exp(sp.I * phi)
    return point, top ** (L + 1) / (step * low**L), step**2 * low ** (L - 1) / (sp.pi * top**L)


def upper_edge() -> sp.Expr:
    """x where d ln x/du = 0, with x = (1 + u)^{L+1}/u."""
    (at,) = sp.solve(sp.diff((L + 1) * sp.log(1 + u) - sp.log(u), u), u)
    return ((1 + u) ** (L + 1) / u).subs(u, at)


def _log_polar(product: sp.Expr) -> sp.Expr:
    """ln of a product of positive factors and a phase."""
    phase = sp.Mul(*(factor for factor in product.args if isinstance(factor, sp.exp)))
    return sp.log(product / phase) + phase.exp


def _binomial(top: sp.Expr, k: int) -> sp.Expr:
    """A binomial coefficient as a polynomial in its upper entry."""
    return sp.prod(top - j for j in range(k)) / sp.factorial(k)


def derive() -> Derivation:
    wishart = [planar_limit(k, [sp.Integer(1)] * 4) for k in (1, 2, 3, 4)]
    two_layers = [planar_limit(k, wishart) for k in (1, 2, 3, 4)]
    point, x, density = fuss_catalan_curve()
    beyond = sp.sin(phi) / sp.sin(L * phi) * sp.exp(sp.I * (L + 1) * phi)
    lines = (
        Step(
            r"**Moments.** $S = 1/(1+z)$ for one layer, and $(1+z)^{-L}$ for L layers. Lagrange's inversion gives the "
            r"Fuss–Catalan numbers,",
            sp.Eq(
                sp.Symbol("m_k"),
                sp.binomial((sp.Symbol("L") + 1) * sp.Symbol("k"), sp.Symbol("k"))
                / (sp.Symbol("L") * sp.Symbol("k") + 1),
                evaluate=False,
            ),
        ),
        Step(r"for L = 2: 1, 3, 12, 55, 273."),
        Step(
            r"**Density.** $x=(1+u)^{L+1}/u$ is real on the curve $1+u=\sin((L+1)\varphi)\,"
            r"e^{\pm i\varphi}/\sin L\varphi$, where $u=\sin\varphi\,e^{\pm i(L+1)\varphi}/\sin L\varphi$. There",
            sp.Eq(sp.Symbol("x"), x, evaluate=False),
        ),
        Step(r"and the density is", density),
        Step(
            r"**Edge.** For positive u, $x(u)$ is least at $u=1/L$. Below that x no solution is real:",
            sp.Eq(sp.Symbol("x_+"), upper_edge(), evaluate=False),
        ),
    )
    claims = (
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
        Claim(
            r"$u=\sin\varphi\,e^{i(L+1)\varphi}/\sin L\varphi$ on the curve",
            sp.expand((point - 1 - beyond).rewrite(sp.exp) * sp.sin(L * phi).rewrite(sp.exp)),
            sp.Integer(0),
        ),
        Claim(
            r"$(L+1)\ln(1+u)-\ln u=\ln x$ there, phases included",
            sp.expand_log((L + 1) * _log_polar(point) - _log_polar(beyond), force=True),
            sp.expand_log(sp.log(x), force=True),
        ),
        Claim(
            r"$\mathrm{Im}\,u/(\pi x)$ is the density",
            sp.powsimp(sp.sin((L + 1) * phi) * sp.sin(phi) / sp.sin(L * phi) / sp.pi / x / density, force=True),
            sp.Integer(1),
        ),
        Claim(
            r"the upper edge is $(L+1)^{L+1}/L^L$",
            sp.expand_log(sp.log(sp.factor(upper_edge())), force=True),
            (L + 1) * sp.log(L + 1) - L * sp.log(L),
        ),
    )
    return Derivation("S6 in closed form: the Fuss–Catalan law", lines, claims)
