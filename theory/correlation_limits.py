r"""The law of ρ behind S4, early and late: normal of width √t at first, all but at ±1 at last.

**Question.** What does the law of ρ look like at small and at large effective depth?

**Assumptions.** Those of `universal`: many wide layers, effective depth t.

**Method.** The integral of positive terms of `correlation` is expanded at small t, with y = √t z. At large t Laplace's
method is applied to the spectral integral, at fixed y; the typical pair is followed by Itô's formula.

**Result.** At first z is normal, up to the factor 1 + t(z² − 1)/4. At last p_t(y) ~ C t^{−3/2} e^{−t/8} cosh(y) F_0(y)
at fixed y, with C = Γ(1/4)⁴/(4√2 π^{3/2}), while the typical pair is far out: E ln cosh y = t/2 exactly.

**Source.** The densities are those of `correlation`. Laplace's method is classical.
"""

from __future__ import annotations

from collections.abc import Callable

import sympy as sp

from theory.correlation import cosh_moment_transform
from theory.derivation import Claim, Derivation, Step
from theory.hyperbolic.transforms import HALF, QUARTER, h_hat, nu
from theory.hyperbolic.walk import y
from theory.universal import moment_series, rho, t

LAWS: tuple[str, ...] = ("correlation_density",)

z = sp.symbols("z", real=True)


def small_depth_density(order: int) -> sp.Expr:
    """√t p_t(√t z)/φ(z) to t^order: φ is the standard normal density.

    In the integral of positive terms x² = t(z² + 2w), ∫x e^{−x²/2t} g dx = t e^{−z²/2} ∫_0^∞ e^{−w} g dw, and g is
    expanded in t.
    """
    w = sp.symbols("w", positive=True)

    def cosh_of_root(square: sp.Expr) -> sp.Expr:
        return sum(t**j * square**j / sp.factorial(2 * j) for j in range(order + 2))

    def truncated(series: sp.Expr) -> sp.Expr:
        return sum(sp.expand(series).coeff(t, j) * t**j for j in range(order + 1))

    cosh_x, cosh_y = cosh_of_root(z**2 + 2 * w), cosh_of_root(z**2)
    small = sp.expand((cosh_x + cosh_y) / 2 - 1)
    inverse_root = truncated(sum(sp.binomial(-HALF, j) * small**j for j in range(order + 1)))
    inverse = truncated(sum((-small) ** j for j in range(order + 1)))
    kappa = truncated(sp.expand((cosh_x - cosh_y) / 2) * inverse)
    elliptic = sum(sp.binomial(2 * j, j) ** 2 / sp.Integer(16) ** j * kappa**j for j in range(order + 1))
    decay = sum((-t / 8) ** j / sp.factorial(j) for j in range(order + 1))
    series = truncated(truncated(cosh_y * decay) * truncated(inverse_root * truncated(elliptic)))
    # ∫_0^∞ w^j e^{−w} dw = j!
    return sp.expand(sum(c * sp.factorial(j) * z**i for (i, j), c in sp.Poly(series, z, w).terms()))


def small_depth_mean(f: Callable[[sp.Expr], sp.Expr], order: int) -> sp.Expr:
    """E f(y_t) to t^order from `small_depth_density`, for a smooth f."""
    density = small_depth_density(order)
    taylor = sp.series(f(z), z, 0, 2 * order + 1).removeO()
    scaled = sp.expand(taylor.subs(z, sp.sqrt(t) * z) * density)
    mean = sum(c * (sp.factorial2(i - 1) if i else 1) for (i,), c in sp.Poly(scaled, z).terms() if i % 2 == 0)
    return sum(sp.expand(mean).coeff(t, j) * t**j for j in range(order + 1))


def late_density_constant() -> sp.Expr:
    """C in p_t(y) ~ C t^{−3/2} e^{−t/8} cosh(y) F_0(y) at fixed y, by Laplace's method."""
    v = sp.symbols("v", positive=True)
    curvature = sp.limit(sp.sinh(sp.pi * v) / v, v, 0) * h_hat().subs(nu, 0) ** 2 / sp.pi**2
    return sp.simplify(curvature * sp.integrate(v**2 * sp.exp(-(v**2) * t / 2), (v, 0, sp.oo)) * t ** (3 * HALF))


def derive() -> Derivation:
    """The density of y at small and at large depth."""
    early, late = small_depth_density(2), late_density_constant()
    tail = sp.pi * sp.gamma(QUARTER) ** 2 / (2 * sp.sqrt(2))
    log_cosh = sp.log(sp.cosh(y))

    steps = (
        Step(
            "In the integral of positive terms of `correlation`, every term is good at small $t$. There, with "
            "$y=\\sqrt t z$, the density of $z$ is the normal one times",
            early,
        ),
        Step(
            "So $\\rho$ is normal of width $\\sqrt t$ at first. At late times, at fixed $y$, Laplace's method on the "
            "spectral integral gives $p_t(y) \\sim C\\,t^{-3/2}e^{-t/8}\\cosh(y)F_0(y)$ with",
            sp.Eq(sp.Symbol("C"), late, evaluate=False),
        ),
        Step(
            "the rare pairs that are still apart. The typical pair is far out: by Itô $d\\ln\\cosh y = \\tfrac12dt + "
            "\\tanh y\\,dB$, so $E\\ln\\cosh y_t = t/2$ exactly, and as $\\tanh^2y\\to1$, $(\\ln\\cosh y - "
            "t/2)/\\sqrt t$ becomes standard normal: $\\rho\\to\\pm1$ with equal chances, and $1-\\rho^2 = "
            "\\cosh^{-2}y$ is log-normal, about $e^{-t}$ for the typical pair although its mean falls as "
            "$t^{-3/2}e^{-t/8}$: the mean is made by the rare ones."
        ),
    )
    claims = (
        Claim("Early: normal times $1+t(z^2-1)/4+O(t^2)$", early.coeff(t, 1), (z**2 - 1) / 4),
        Claim("which keeps the probability (to $t^3$)", small_depth_mean(lambda v: sp.Integer(1), 3), sp.Integer(1)),
        Claim(
            "and has $E\\tanh^2y = R(t)$ (to $t^3$)",
            small_depth_mean(lambda v: sp.tanh(v) ** 2, 3),
            moment_series(rho**2, 3),
        ),
        Claim(
            "Late: the constant is $\\Gamma(1/4)^4/(4\\sqrt2\\pi^{3/2})$",
            late,
            sp.gamma(QUARTER) ** 4 / (4 * sp.sqrt(2) * sp.pi ** sp.Rational(3, 2)),
        ),
        Claim(
            "and $\\int\\cosh^{-2}y$ of the late density is the tail of $1-R$",
            sp.gammasimp(late * cosh_moment_transform(sp.Integer(2)).subs(nu, 0)),
            tail,
        ),
        Claim(
            "$E\\ln\\cosh y_t = t/2$ exactly",
            sp.diff(log_cosh, y, 2) / 2 + sp.tanh(y) * sp.diff(log_cosh, y) / 2,
            HALF,
        ),
    )
    return Derivation("The law of a correlation, early and late", steps, claims)
