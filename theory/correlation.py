r"""The law of a single ρ, behind S3 and S4: its density, at any depth and any widths.

**Question.** How is the correlation ρ of two nodes distributed, beyond its mean square?

**Assumptions.** Those of `universal` (many wide layers, effective depth t) or of `exact` (any widths): two nodes walk
on the hyperbolic plane, isotropically about the start, and M(ν) is the spherical transform of the walk,
e^{−(ν²+1/4)t/2} or Π_l m_l(ν).

**Method.** The even eigenfunctions F_ν(y) of the Laplacian have the mean M(ν). The weight with which they make up the
density is found from their amplitude far out, and the formula is proved by Wilson's integral: it gives the right
moments of cosh y for one layer of every fan-in.

**Result.** y = artanh ρ has the density

    p(y) = (cosh y/π²) ∫_0^∞ ν sinh(πν) ĥ(ν)² ₂F₁(1/4 + iν/2, 1/4 − iν/2; 1/2; −sinh² y) M(ν) dν.

For the diffusion it is also an integral of positive terms, with K the complete elliptic integral of parameter κ = k²,

    p_t(y) = 4√2 cosh y e^{−t/8} (2πt)^{−3/2} ∫_{|y|}^∞ x e^{−x²/2t} K(κ) (cosh x + cosh y)^{−1/2} dx,
    κ = (cosh x − cosh y)/(cosh x + cosh y).

Distribution function, p-values and quantiles follow from P(|y| < Y), which the same integral gives term by term.

**Source.** Chang and Lin 2019 have the mean only. Spherical functions: Helgason 1984. The heat kernel of the hyperbolic
plane: McKean 1970. Connection of hypergeometric functions: DLMF 15.8.2. Wilson's integral as in
`hyperbolic.transforms`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import mpmath as mp
import sympy as sp

from theory.derivation import Claim, Derivation, Step
from theory.hyperbolic.transforms import (
    CASIMIR,
    HALF,
    QUARTER,
    WORKING_DIGITS,
    factor,
    gaussian_transform,
    h_hat,
    n,
    nu,
    nu_integral,
    real_gammas,
    wilson_integral,
)
from theory.hyperbolic.walk import y

LAWS: tuple[str, ...] = ("correlation_cdf", "correlation_density", "correlation_p_value", "correlation_quantile")

m = sp.symbols("m", positive=True)
z = sp.symbols("z", real=True)


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
    """The density of y."""
    ours, gauss = in_hypergeometric_variable()
    barrier = potential()
    by_formula, by_law = one_layer_cosh_moment()
    M = sp.Function("M")
    with mp.workdps(WORKING_DIGITS):
        depth, place = mp.mpf("0.8"), mp.mpf("0.9")
        diffusion = diffusion_transform(depth)
        spectral, positive = density(place, diffusion), positive_density(place, depth)
        one_layer = density(place, lambda v: factor(6, v))
        one_layer_law = mp.sech(place) ** 5 / mp.beta(0.5, 2.5)
        mass = probability_within(mp.mpf(7), diffusion_transform(mp.mpf("0.3")))
        within = probability_within(place, diffusion)
        summed = 2 * mp.quad(lambda v: positive_density(v, depth), [0, place], method="gauss-legendre", maxdegree=4)

    steps = (
        Step(
            "In wide networks the density of $y$ solves $\\partial_tp = \\tfrac12p'' - \\tfrac12(\\tanh y\\,p)'$. "
            "With $p = \\sqrt{\\cosh y}\\,\\psi$ it is Schrödinger's equation in imaginary time, $\\psi_t = "
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
            "walked (Mellin, as in `hyperbolic.transforms`), so for every isotropic walk; true for every $m>1$, it "
            "determines the law of $\\cosh y$, and $y$ is symmetric. At $m=2$ it is S3."
        ),
        Step(
            "Positive form for the diffusion. McKean's heat kernel of the plane, integrated along the curve at "
            "distance $y$ from the geodesic, is an elliptic integral $K$ of parameter $\\kappa = (\\cosh x - \\cosh "
            "y)/(\\cosh x + \\cosh y)$. In $p_t(y) = 4\\sqrt2\\cosh y\\,e^{-t/8}(2\\pi t)^{-3/2}\\int_{|y|}^\\infty "
            "x\\,e^{-x^2/2t}K(\\kappa)(\\cosh x+\\cosh y)^{-1/2}dx$ every term is positive."
        ),
        Step(
            "Integrated, $(\\cosh y\\,F_\\nu')' = -(\\nu^2+\\tfrac14)\\cosh y\\,F_\\nu$ gives $P(|y|<Y)$ as the same "
            "integral with $-2\\cosh(Y)F_\\nu'(Y)/(\\nu^2+\\tfrac14)$ in place of $\\cosh(y)F_\\nu(y)$. The law of "
            "$\\rho$ is symmetric, so this is its distribution function, the p-value of an observed $\\rho$, and, "
            "inverted, its quantile."
        ),
    )
    claims = (
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
    )
    return Derivation("The law of a correlation", steps, claims)
