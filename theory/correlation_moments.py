r"""The moments of ρ, behind S3 and S4: E ρ⁴ and the variance of ρ², in wide networks and at finite width.

**Question.** S3 and S4 give the mean of ρ². How does ρ² of a single pair of nodes fluctuate round it?

**Assumptions.** Those of `universal` (many wide layers, effective depth t) or of `exact` (any widths).

**Method.** The generator of the diffusion, applied to powers of ρ, gives a chain of equations for the moments. At
finite width the mean of (1 − ρ²)² over the angle is a sum of two powers of 1/cosh r, whose transforms are known.

**Result.** In wide networks E ρ⁴ = (3R + R′ − 1)/2, so that Var ρ² = (3R + R′ − 1)/2 − R². At any width E (1 − ρ²)² is
S3 with the additional factor ½ + ¼(ν² + ¼). This is about one pair of nodes: the VNI averages over pairs that are not
independent, and its own variance is another question.

**Source.** Chang and Lin 2019 have the mean only. Spherical functions: Helgason 1984.
"""

from __future__ import annotations

from collections.abc import Callable

import mpmath as mp
import sympy as sp

from theory.derivation import Claim, Derivation, Step
from theory.hyperbolic.transforms import (
    CASIMIR,
    HALF,
    WORKING_DIGITS,
    h_hat,
    mean_inverse_cosh,
    n,
    nu,
    power_transform,
    sech_integral,
)
from theory.hyperbolic.walk import angle_average
from theory.universal import generator, moment_series, rho, t, universal_complement, universal_slope

LAWS: tuple[str, ...] = ("correlation_moment",)

k = sp.symbols("k", integer=True, positive=True)


def moment_equation() -> sp.Expr:
    """A ρ^{2k}, divided by ρ^{2k−2}: with M_k = E ρ^{2k}, it says M_k′ = k[(2k−1)M_{k−1} − (4k−1)M_k + 2k M_{k+1}]."""
    return sp.collect(sp.expand(sp.powsimp(sp.expand(generator(rho ** (2 * k)) / rho ** (2 * k - 2)))), rho)


def fourth_moment(mean: sp.Expr) -> sp.Expr:
    """E ρ⁴ = (3R + R′ − 1)/2: the moment equation at k = 1, solved for M_2."""
    return (sp.diff(mean, t) + 3 * mean - 1) / 2


def variance(mean: sp.Expr) -> sp.Expr:
    """Var ρ² = (3R + R′ − 1)/2 − R²."""
    return fourth_moment(mean) - mean**2


def fourth_power_transform() -> sp.Expr:
    """The factor by which E[(1−ρ²)²] differs from S under the integral: ½ + (ν²+¼)/4.

    The angle average of (1−ρ²)² is (x^{−1} + x^{−3})/2, x = cosh r, and powers of 1/x have the transforms of `exact`.
    """
    x = sp.symbols("x", positive=True)
    average = angle_average(2).subs(sp.cosh(sp.symbols("r", real=True)), x)
    cubic = power_transform(sp.Integer(3)).replace(
        sp.gamma, lambda w: (w - 1) * sp.gamma(w - 1) if w.has(sp.I) else sp.gamma(w)
    )
    ratio = sp.simplify(sp.expand(cubic / h_hat()))
    return sp.expand(average.coeff(x, -1) + average.coeff(x, -3) * ratio)


def fourth_moment_of(transform: Callable[[mp.mpf], mp.mpf]) -> mp.mpf:
    """E ρ⁴ of a walk with spherical transform M, in numbers: E (1 − ρ²)² by the factor, and E (1 − ρ²) = S."""
    return 1 - sech_integral(lambda v: (2 - (0.5 + (v**2 + 0.25) / 4)) * transform(v))


def derive() -> Derivation:
    """E ρ⁴ and Var ρ²."""
    R, M = sp.Function("R"), sp.Function("M")
    series = moment_series(rho**2, 5)
    fourth_series = moment_series(rho**4, 4)
    equation, extra = moment_equation(), fourth_power_transform()
    b, x = sp.symbols("b x", positive=True)
    cubed = sp.integrate(b * x ** (-b - 4), (x, 1, sp.oo)).subs(b, n - 1)  # E[1/cosh³s], density (n−1)x^{−n}
    one_layer_fourth = 1 - sp.Rational(3, 2) * mean_inverse_cosh() + cubed / 2
    with mp.workdps(WORKING_DIGITS):
        depth = mp.mpf("0.8")
        by_equation = (3 * (1 - universal_complement(depth)) + universal_slope(depth) - 1) / 2
        by_transform = fourth_moment_of(lambda v: mp.exp(-(v**2 + 0.25) * depth / 2))

    steps = (
        Step(
            "The generator of `universal`, applied to $\\rho^{2k}$, gives for $M_k = E\\rho^{2k}$ the "
            "chain of equations $M_k' = k[(2k-1)M_{k-1} - (4k-1)M_k + 2kM_{k+1}]$: each moment is the one before it "
            "and its derivative. At $k=1$ this is $R' = 1 - 3R + 2E\\rho^4$, so",
            sp.Eq(sp.Symbol(r"E{\rho}^4"), fourth_moment(R(t)), evaluate=False),
        ),
        Step(
            "and the variance of $\\rho^2$ is",
            sp.Eq(sp.Symbol(r"\mathrm{Var}\,\rho^2"), variance(R(t)), evaluate=False),
        ),
        Step(
            "It starts as $2t^2$, the variance of $t$ times a squared normal variable, and ends at zero, where all "
            "nodes are one. The angle average of $(1-\\rho^2)^2$ is $(\\cosh^{-1}r+\\cosh^{-3}r)/2$, so at finite "
            "width too the moment is S3 with one more factor,",
            sp.Eq(
                sp.Symbol(r"E[(1-{\rho}^2)^2]"),
                sp.Integral(nu * sp.tanh(sp.pi * nu) * sp.Symbol(r"\hat{h}") * extra * M(nu), (nu, 0, sp.oo)),
                evaluate=False,
            ),
        ),
    )
    claims = (
        Claim(
            "$A\\rho^{2k} = k[(2k-1)\\rho^{2k-2} - (4k-1)\\rho^{2k} + 2k\\rho^{2k+2}]$, for every $k$",
            equation,
            k * ((2 * k - 1) - (4 * k - 1) * rho**2 + 2 * k * rho**4),
        ),
        Claim(
            "$E\\rho^4 = (3R+R'-1)/2$, against the series by the generator",
            sum(sp.expand(fourth_moment(series)).coeff(t, j) * t**j for j in range(5)),
            fourth_series,
        ),
        Claim(
            "$\\mathrm{Var}\\,\\rho^2 = 2t^2 - 14t^3 + O(t^4)$",
            sum(sp.expand(variance(series)).coeff(t, j) * t**j for j in range(4)),
            2 * t**2 - 14 * t**3,
        ),
        Claim(
            "$E[(1-\\rho^2)^2]$ is S with the factor $\\tfrac12+\\tfrac14(\\nu^2+\\tfrac14)$", extra, HALF + CASIMIR / 4
        ),
        Claim(
            "One layer: $E\\rho^4 = 3/(n(n+2))$, as for a coordinate on the sphere", one_layer_fourth, 3 / (n * (n + 2))
        ),
        Claim("$E\\rho^4$ at $t=0.8$: by the equation and by the transform", by_equation, by_transform),
    )
    return Derivation("The moments of a correlation", steps, claims)
