"""Beyond the mean: how ρ itself is distributed, at any depth, and how ρ² fluctuates.

**Assumptions.** Those of `diffusion` (many wide layers, effective depth t) or of `exact` (any widths): two nodes walk
on the hyperbolic plane, isotropically about the start, and M(ν) is the spherical transform of the walk,
e^{−(ν²+1/4)t/2} or Π_l m_l(ν).

**Result.** y = artanh ρ has the density

    p(y) = (cosh y/π²) ∫_0^∞ ν sinh(πν) ĥ(ν)² ₂F₁(1/4 + iν/2, 1/4 − iν/2; 1/2; −sinh² y) M(ν) dν.

For the diffusion it is also an integral of positive terms, with K the complete elliptic integral of parameter κ = k²,

    p_t(y) = 4√2 cosh y e^{−t/8} (2πt)^{−3/2} ∫_{|y|}^∞ x e^{−x²/2t} K(κ) (cosh x + cosh y)^{−1/2} dx,   κ = (cosh x −
    cosh y)/(cosh x + cosh y).

E ρ⁴ = (3R + R′ − 1)/2, so that Var ρ² = (3R + R′ − 1)/2 − R². All is about one pair of nodes: the VNI averages over
pairs that are not independent, and its own variance is another question.

**Sources.** The thesis and Chang & Lin 2019 have the mean only. Spherical functions: Helgason 1984. The heat kernel of
the hyperbolic plane: McKean 1970. Connection of hypergeometric functions: DLMF 15.8.2. Wilson's integral as in `exact`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import mpmath as mp
import sympy as sp

from theory.derivation import Claim, Derivation, Step
from theory.diffusion import angle_average, generator, moment_series
from theory.exact import (
    WORKING_DIGITS,
    factor,
    gaussian_transform,
    h_hat,
    mean_inverse_cosh,
    nu_integral,
    power_transform,
    real_gammas,
    sech_integral,
    universal_complement,
    wilson_integral,
)

n, m, t = sp.symbols("n m t", positive=True)
nu, y, z, rho = sp.symbols("nu y z rho", real=True)
k = sp.symbols("k", integer=True, positive=True)
HALF, QUARTER = sp.Rational(1, 2), sp.Rational(1, 4)
CASIMIR = nu**2 + QUARTER


# Moments.


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


# The density.


def eigenfunction(frequency: sp.Expr = nu) -> sp.Expr:
    """F_ν(y), the even solution of F″ + tanh(y) F′ = −(ν²+¼)F with F(0) = 1."""
    return sp.hyper((QUARTER + sp.I * frequency / 2, QUARTER - sp.I * frequency / 2), (HALF,), -(sp.sinh(y) ** 2))


def in_hypergeometric_variable() -> tuple[sp.Matrix, sp.Matrix]:
    """The coefficients of f″, f′, f in F″ + tanh(y)F′ + (ν²+¼)F with F(y) = f(z), z = −sinh²y, and in Gauss's equation
    × (−4).

    Gauss: z(1−z)f″ + (γ − (α+β+1)z)f′ − αβ f with α, β = ¼ ± iν/2 and γ = ½.
    """
    variable = -(sp.sinh(y) ** 2)
    first = sp.diff(variable, y)
    ours = sp.Matrix([first**2, sp.diff(variable, y, 2) + sp.tanh(y) * first, CASIMIR])
    alpha, beta, gamma = QUARTER + sp.I * nu / 2, QUARTER - sp.I * nu / 2, HALF
    gauss = sp.Matrix([z * (1 - z), gamma - (alpha + beta + 1) * z, -alpha * beta])
    theirs = (-4 * gauss).subs(z, variable)
    return tuple(side.applyfunc(lambda entry: sp.expand(sp.simplify(entry.rewrite(sp.exp)))) for side in (ours, theirs))


def potential() -> sp.Expr:
    """V in ψ_t = ½ψ″ − Vψ, where p = √(cosh y) ψ solves p_t = ½p″ − ½(tanh(y)p)′: a Pöschl–Teller barrier."""
    psi = sp.Function("psi")(y)
    root = sp.sqrt(sp.cosh(y))
    p = root * psi
    right = sp.diff(p, y, 2) / 2 - sp.diff(sp.tanh(y) * p, y) / 2
    return sp.simplify(sp.expand(sp.diff(psi, y, 2) / 2 - right / root).coeff(psi))


def weight_by_scattering() -> sp.Expr:
    """The spectral weight from the size of a wave far out.

    As y → ∞, √(cosh y) F_ν → A cos(νy + δ) with A = 2√π |Γ(iν)|/|Γ(¼+iν/2)|² (DLMF 15.8.2). Even waves on the line are
    then orthogonal with norm πA² δ(ν − ν′), so p has the weight 1/(πA²).
    """
    inverse_square = sp.simplify(sp.gammasimp(sp.gamma(sp.I * nu) * sp.gamma(-sp.I * nu)))
    modulus = sp.gamma(QUARTER + sp.I * nu / 2) * sp.gamma(QUARTER - sp.I * nu / 2)
    amplitude_square = 4 * sp.pi * inverse_square / modulus**2
    return 1 / (sp.pi * amplitude_square)


def weight() -> sp.Expr:
    """ν sinh(πν) ĥ(ν)²/π²."""
    return nu * sp.sinh(sp.pi * nu) * h_hat() ** 2 / sp.pi**2


def cosh_moment_transform(power: sp.Expr = m) -> sp.Expr:
    """∫ cosh^{1−m}(y) F_ν(y) dy = B(½, (m−1)/2) m_m(ν).

    One Gaussian layer of fan-in m has ρ² ~ Beta(½, (m−1)/2), so y has density cosh^{1−m}(y)/B(½, (m−1)/2); and E F_ν(y)
    = m_m(ν).
    """
    return sp.gamma(HALF) * sp.gamma((power - 1) / 2) / sp.gamma(power / 2) * gaussian_transform(power)


def one_layer_cosh_moment() -> tuple[sp.Expr, sp.Expr]:
    """E cosh^{−m} y for one Gaussian layer of fan-in n: by the formula for p (a Wilson integral), and from the Beta
    law."""
    p, q = sp.symbols("p q", positive=True)  # n/2, m/2
    # |Γ(¼+iξ)|⁴ from ĥ², and ν sinh(πν) = π/|Γ(iν)|²; dν = 2 dξ, and Wilson's 1/2π.
    constants = real_gammas(h_hat()) ** 2 / sp.pi**2 * real_gammas(gaussian_transform(2 * p))
    constants *= real_gammas(cosh_moment_transform(2 * q)) * sp.pi * 2 * 2 * sp.pi
    formula = constants * wilson_integral((QUARTER, QUARTER, p - QUARTER, q - QUARTER))

    def beta(b: sp.Expr) -> sp.Expr:
        return sp.gamma(HALF) * sp.gamma(b) / sp.gamma(b + HALF)

    law = beta(p + q - HALF) / beta(p - HALF)
    return tuple(sp.gammasimp(side).subs({p: n / 2, q: m / 2}) for side in (formula, law))


def second_moment_weight() -> sp.Expr:
    """What the formula for p gives for E[1−ρ²] = E cosh^{−2}y, in front of M(ν): weight × B(½, ½) m_2."""
    doubled = [
        sp.gammasimp(sp.gamma(QUARTER + w) * sp.gamma(3 * QUARTER + w) / sp.gamma(HALF + 2 * w))
        for w in (sp.I * nu / 2, -sp.I * nu / 2)
    ]
    reflected = sp.simplify(sp.gammasimp(sp.gamma(HALF + sp.I * nu) * sp.gamma(HALF - sp.I * nu)))
    product = sp.simplify(doubled[0] * doubled[1] * reflected)  # |Γ(¼+iν/2) Γ(¾+iν/2)|²
    two = cosh_moment_transform(sp.Integer(2))
    other = h_hat() * two / real_gammas(h_hat()) / real_gammas(two)  # the same, with two symbols for it
    return nu * sp.sinh(sp.pi * nu) * h_hat() / sp.pi**2 * sp.simplify(h_hat() * two / other) * product


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


# In numbers.


def diffusion_transform(depth: mp.mpf) -> Callable[[mp.mpf], mp.mpf]:
    """M(ν) = e^{−(ν²+1/4)t/2}."""
    return lambda frequency: mp.exp(-(frequency**2 + 0.25) * depth / 2)


def density(where: mp.mpf, transform: Callable[[mp.mpf], mp.mpf]) -> mp.mpf:
    """p(y) of a walk with spherical transform M, by the spectral integral (for ρ itself divide by 1 − ρ²)."""

    def integrand(frequency: mp.mpf) -> mp.mpf:
        half = 0.5j * frequency
        wave = mp.hyp2f1(0.25 + half, 0.25 - half, 0.5, -(mp.sinh(where) ** 2)).real
        return _numeric_weight(frequency) * wave * transform(frequency)

    return nu_integral(integrand) * mp.cosh(where)


def probability_within(where: mp.mpf, transform: Callable[[mp.mpf], mp.mpf]) -> mp.mpf:
    """P(|y| < where): since (cosh y F′)′ = −(ν²+¼) cosh y F, the density integrates to −2 cosh y F′/(ν²+¼)."""

    def integrand(frequency: mp.mpf) -> mp.mpf:
        half = 0.5j * frequency
        wave = mp.hyp2f1(1.25 + half, 1.25 - half, 1.5, -(mp.sinh(where) ** 2)).real
        return _numeric_weight(frequency) * wave * transform(frequency)

    return nu_integral(integrand) * mp.cosh(where) * mp.sinh(2 * where)


def positive_density(where: mp.mpf, depth: mp.mpf) -> mp.mpf:
    """p_t(y) of the diffusion by the integral of positive terms."""
    with mp.workdps(WORKING_DIGITS):
        cosh = mp.cosh(where)

        def integrand(w: mp.mpf) -> mp.mpf:
            far = mp.cosh(mp.sqrt(where**2 + 2 * depth * w))
            elliptic = mp.pi / (
                2 * mp.agm(1, mp.sqrt(2 * cosh / (far + cosh)))
            )  # K(κ), 1 − κ = 2 cosh y/(cosh x + cosh y)
            return mp.exp(-w) * elliptic / mp.sqrt(far + cosh)

        integral = mp.quad(integrand, [0, 1, 4, 12, 30, 60, 110], method="gauss-legendre")
        scale = 4 * mp.sqrt(2) * cosh * mp.exp(-depth / 8 - where**2 / (2 * depth))
        return scale * depth * (2 * mp.pi * depth) ** -1.5 * integral


@cache
def _numeric_weight(frequency: mp.mpf) -> mp.mpf:
    modulus = abs(mp.gamma(0.25 + 0.5j * frequency)) ** 4
    return frequency * mp.sinh(mp.pi * frequency) * modulus / (4 * mp.pi**3)


def derive() -> Derivation:
    """E ρ⁴ and Var ρ², the density of y and its limits."""
    R = sp.Function("R")
    series = moment_series(rho**2, 5)
    fourth_series = moment_series(rho**4, 4)
    equation, extra = moment_equation(), fourth_power_transform()
    ours, gauss = in_hypergeometric_variable()
    barrier = potential()
    by_formula, by_law = one_layer_cosh_moment()
    early = small_depth_density(2)
    late = late_density_constant()
    b, x = sp.symbols("b x", positive=True)
    cubed = sp.integrate(b * x ** (-b - 4), (x, 1, sp.oo)).subs(b, n - 1)  # E[1/cosh³s], density (n−1)x^{−n}
    one_layer_fourth = 1 - sp.Rational(3, 2) * mean_inverse_cosh() + cubed / 2
    tail = sp.pi * sp.gamma(QUARTER) ** 2 / (2 * sp.sqrt(2))
    M = sp.Function("M")
    log_cosh = sp.log(sp.cosh(y))
    with mp.workdps(WORKING_DIGITS):
        depth, place = mp.mpf("0.8"), mp.mpf("0.9")
        diffusion = diffusion_transform(depth)
        spectral, positive = density(place, diffusion), positive_density(place, depth)
        one_layer = density(place, lambda v: factor(6, v))
        one_layer_law = mp.sech(place) ** 5 / mp.beta(0.5, 2.5)
        mass = probability_within(mp.mpf(7), diffusion_transform(mp.mpf("0.3")))
        within = probability_within(place, diffusion)
        summed = 2 * mp.quad(lambda v: positive_density(v, depth), [0, place], method="gauss-legendre", maxdegree=4)
        slope = sech_integral(lambda v: (v**2 + 0.25) / 2 * diffusion(v))
        fourth_by_equation = (3 * (1 - universal_complement(depth)) + slope - 1) / 2
        fourth_by_transform = 1 - sech_integral(lambda v: (1.5 - (v**2 + 0.25) / 4) * diffusion(v))

    steps = (
        Step(
            "Moments first. The generator of `diffusion`, applied to $\\rho^{2k}$, gives for $M_k = E\\rho^{2k}$ the "
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
        Step(
            "The density. The density of $y$ solves $\\partial_tp = \\tfrac12p'' - \\tfrac12(\\tanh y\\,p)'$. With $p "
            "= \\sqrt{\\cosh y}\\,\\psi$ it is Schrödinger's equation in imaginary time, $\\psi_t = "
            "\\tfrac12\\psi''-V\\psi$, with the barrier",
            sp.Eq(sp.Symbol("V"), barrier, evaluate=False),
        ),
        Step(
            "which is $\\tfrac18(1+1/\\cosh^2y)$: no bound states, and waves of energy $\\tfrac12(\\nu^2+\\tfrac14)$; "
            "hence the decay at rate 1/8. The walk starts at $y=0$, so even waves will do. With $z=-\\sinh^2y$ their "
            "equation is Gauss's, and",
            sp.Eq(sp.Function(r"F_{\nu}")(y), eigenfunction(), evaluate=False),
        ),
        Step(
            "$F_\\nu(y)$ is an eigenfunction of the Laplacian of the plane that is one at the start: its angle "
            "average is $P_{-1/2+i\\nu}(\\cosh r)$, and $E F_\\nu(y) = M(\\nu)$ for every isotropic walk. Far out "
            "$\\sqrt{\\cosh y}\\,F_\\nu$ is a cosine of amplitude "
            "$2\\sqrt\\pi|\\Gamma(i\\nu)|/|\\Gamma(\\tfrac14+\\tfrac{i\\nu}2)|^2$; normalised waves make up the "
            "density,",
            sp.Eq(
                sp.Function("p")(y),
                sp.cosh(y) * sp.Integral(weight() * sp.Function(r"F_{\nu}")(y) * M(nu), (nu, 0, sp.oo)),
                evaluate=False,
            ),
        ),
        Step(
            "That the formula is right, weight and all, is again Wilson's integral. A layer of fan-in $m$ has density "
            "$\\cosh^{1-m}y/B(\\tfrac12,\\tfrac{m-1}2)$, so $\\int\\cosh^{1-m}(y)F_\\nu(y)\\,dy = "
            "B(\\tfrac12,\\tfrac{m-1}2)\\,m_m(\\nu)$. By the formula with $M=m_n$, $E\\cosh^{-m}y$ is then Wilson's "
            "integral at $\\tfrac14,\\tfrac14,\\tfrac{2n-1}4,\\tfrac{2m-1}4$:",
            by_formula,
        ),
        Step(
            "and this is what one layer of fan-in $n$ has. True for every $n>1$, it is true for every distance $r$ "
            "walked (Mellin, as in `exact`), so for every isotropic walk; true for every $m>1$, it determines the law "
            "of $\\cosh y$, and $y$ is symmetric. At $m=2$ it is S3."
        ),
        Step(
            "Positive form for the diffusion. McKean's heat kernel of the plane, integrated along the curve at "
            "distance $y$ from the geodesic (an elliptic integral), gives the second formula of the summary: every "
            "term positive, good at small $t$. There, with $y=\\sqrt t z$, the density of $z$ is the normal one times",
            early,
        ),
        Step(
            "So $\\rho$ is normal of width $\\sqrt t$ at first. At late times, at fixed $y$, Laplace's method on the "
            "first formula gives $p_t(y) \\sim C\\,t^{-3/2}e^{-t/8}\\cosh(y)F_0(y)$ with",
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
        Claim("$E\\rho^4$ at $t=0.8$: by the equation and by the transform", fourth_by_equation, fourth_by_transform),
        Claim(
            "The barrier is $\\tfrac18(1+\\cosh^{-2}y)$",
            barrier,
            (1 + 1 / sp.cosh(y) ** 2) / 8,
        ),
        Claim("With $z=-\\sinh^2y$ the equation of $F_\\nu$ is Gauss's", ours, gauss),
        Claim(
            "The weight by the amplitude of the waves is $\\nu\\sinh(\\pi\\nu)\\hat h^2/\\pi^2$",
            weight_by_scattering(),
            weight(),
        ),
        Claim(
            "The density of one layer, by $E\\cosh^{-m}y$ for every $n$ and $m$: Wilson's integral is the Beta law",
            by_formula,
            by_law,
        ),
        Claim(
            "Its second moment is S3 and S4: $\\int p\\cosh^{-2}y\\,dy$ has the weight $\\nu\\tanh(\\pi\\nu)\\hat h$",
            second_moment_weight(),
            nu * sp.tanh(sp.pi * nu) * h_hat(),
        ),
        Claim(
            "One layer of fan-in 6 at $y=0.9$: the formula, and $\\cosh^{-5}y/B(\\tfrac12,\\tfrac52)$",
            one_layer,
            one_layer_law,
        ),
        Claim("$p_t(y)$ at $t=0.8$, $y=0.9$: the spectral and the positive integral", spectral, positive),
        Claim("$P(|y|<0.9)$ at $t=0.8$: the spectral integral, and the positive density summed", within, summed),
        Claim("All probability is there: $P(|y|<7)$ at $t=0.3$", mass, mp.mpf(1)),
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
    return Derivation("Beyond the mean: the law of a correlation", steps, claims)
