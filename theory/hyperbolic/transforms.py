r"""Spherical transforms: one layer multiplies that of the walk by a factor, and S = E[1/cosh r] is recovered from it.

**Question.** Two rows of Gaussian weights of fan-in n move the Gram matrix of two nodes by a random step. What is the
spherical transform of that step, and how is E[1/cosh r] after many steps recovered from the product of transforms?

**Assumptions.** Weights are Gaussian with independent entries; n is any number above one. Steps are isotropic.

**Method.** The transform is E Y^{1/2+iν}, Y the height of `hyperbolic.walk`: a product of two moments of chi variables.
The inversion formula is proved by its integrals against powers of x = cosh r, each of which is Wilson's integral.

**Result.** m_n(ν) = |Γ((2n−1)/4 + iν/2)|²/(Γ(n/2) Γ((n−1)/2)), and S = ∫_0^∞ ν tanh(πν) ĥ(ν) M(ν) dν with ĥ(ν) = |Γ(1/4
+ iν/2)|²/(2√π), where M is the product of the transforms of all steps.

**Source.** Helgason 1984, chapter IV (spherical functions and transforms); Muirhead 1982, chapter 3 (Wishart matrices).
The integral over four gamma functions, de Branges 1972 and Wilson 1980 (DLMF 5.13.5), is quoted, and checked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import mpmath as mp
import sympy as sp

from theory.derivation import Claim, Derivation, Step

LAWS: tuple[str, ...] = ()

n, a = sp.symbols("n a", positive=True)
nu = sp.symbols("nu", real=True)
x = sp.symbols("x", positive=True)
HALF, QUARTER = sp.Rational(1, 2), sp.Rational(1, 4)
CASIMIR = nu**2 + QUARTER

WORKING_DIGITS = 45
# Trapezoid rule: the integrands are even and analytic for |Im ν| < 1/2, so step h errs by about e^{−π/h}, 1e-38.
_NU_STEP = 0.0359
_NEGLIGIBLE = 1e-40


# The spherical transform of a layer.


@cache
def chi_moment_of_symbols() -> tuple[sp.Expr, sp.Symbol, sp.Symbol]:
    """E χ^p with q degrees of freedom, by integration, and the symbols p and q."""
    p, q = sp.symbols("p q", positive=True)
    integral = sp.integrate(x ** (q - 1 + p) * sp.exp(-(x**2) / 2), (x, 0, sp.oo))
    mass = sp.integrate(x ** (q - 1) * sp.exp(-(x**2) / 2), (x, 0, sp.oo))
    return sp.powsimp(integral / mass), p, q


def chi_moment(degrees: sp.Expr, power: sp.Expr) -> sp.Expr:
    """E χ^power of a chi variable: the integral of x^{degrees−1} e^{−x²/2}, continued in the power."""
    moment, p, q = chi_moment_of_symbols()
    return moment.subs({p: power, q: degrees})


def gaussian_transform(fan_in: sp.Expr = n, frequency: sp.Expr = nu) -> sp.Expr:
    """m_n(ν) = E Y^{1/2+iν} = E b^{1/2+iν} · E a^{−1/2−iν}, a ~ χ_n and b ~ χ_{n−1} independent."""
    power = HALF + sp.I * frequency
    return sp.powsimp(chi_moment(fan_in - 1, power) * chi_moment(fan_in, -power))


def transform_ratio() -> sp.Expr:
    """m_{n+2}/m_n: all four gamma functions move by one step of Γ(z + 1) = z Γ(z)."""
    shifted = gaussian_transform(n + 2).replace(sp.gamma, lambda z: (z - 1) * sp.gamma(z - 1))
    return sp.simplify(sp.expand(sp.simplify(shifted / gaussian_transform(n))))


@cache
def distance_density() -> sp.Expr:
    """Density of cosh s on (1, ∞), s the distance that one Gaussian layer walks: (n−1) x^{−n}.

    The density of (a, g, b) is carried to G = T Tᵀ, then to G = λ × the point at distance s and angle θ, then λ is
    integrated out. It depends on G through det G and Tr G alone: so the angle is uniform.
    """
    alpha, beta, scale = sp.symbols("a b lambda", positive=True)
    g, s, theta = sp.symbols("g s theta", real=True)
    entries = sp.Matrix([alpha**2, alpha * g, g**2 + beta**2])
    jacobian = sp.factor(sp.Abs(entries.jacobian((alpha, g, beta)).det()))
    chi_density = alpha ** (n - 1) * beta ** (n - 2) / jacobian  # × e^{−Tr G/2}
    determinant = sp.symbols("det", positive=True)
    of_gram = sp.powsimp(sp.simplify(chi_density.subs(beta, sp.sqrt(determinant) / alpha)))
    polar = scale * sp.Matrix(
        [sp.cosh(s) + sp.sinh(s) * sp.cos(theta), sp.sinh(s) * sp.sin(theta), sp.cosh(s) - sp.sinh(s) * sp.cos(theta)]
    )
    volume = sp.factor(sp.simplify(polar.jacobian((scale, s, theta)).det())) / sp.sinh(s)  # dcosh(s) = sinh(s) ds
    weight = sp.powsimp(sp.Abs(volume) * of_gram.subs(determinant, scale**2))
    shape = sp.integrate(sp.powsimp(weight * sp.exp(-scale * x)), (scale, 0, sp.oo))
    # ∫_1^∞ x^{−n} dx = 1/(n−1), for n > 1.
    constant = sp.simplify(shape * x**n)
    return shape / constant * (n - 1)


# Reading the correlation off the transform.


def power_transform(power: sp.Expr = a) -> sp.Expr:
    """The transform ∫_1^∞ P_{−1/2+iν}(x) x^{−a} dx, from m_a = (a−1) ∫_1^∞ P_{−1/2+iν}(x) x^{−a} dx.

    (a−1)Γ((a−1)/2) = 2Γ((a+1)/2) lets it reach down to a = 1.
    """
    b = sp.symbols("b", positive=True)
    transform = gaussian_transform(b) / (b - 1)
    return transform.subs(sp.gamma((b - 1) / 2), 2 * sp.gamma((b + 1) / 2) / (b - 1)).subs(b, power)


def h_hat() -> sp.Expr:
    """ĥ(ν), the transform of 1/x: `power_transform` at a = 1."""
    return power_transform(sp.Integer(1))


def wilson_integral(parameters: Sequence[sp.Expr]) -> sp.Expr:
    """(1/2π) ∫_0^∞ |Π_j Γ(a_j + iξ) / Γ(2iξ)|² dξ over four (or three) parameters (de Branges; Wilson; DLMF 5.13.5).

    Π_{i<j} Γ(a_i + a_j), over Γ(a_1 + a_2 + a_3 + a_4) if they are four.
    """
    pairs = sp.prod([sp.gamma(p + q) for i, p in enumerate(parameters) for q in parameters[i + 1 :]])
    return pairs / sp.gamma(sum(parameters)) if len(parameters) == 4 else pairs


def plancherel_weight() -> tuple[sp.Expr, sp.Expr]:
    """ν tanh(πν), and the same as |Γ(1/4 + iν/2) Γ(3/4 + iν/2)/Γ(iν)|²/(2π), simplified by duplication and
    reflection."""
    doubled = [
        sp.gammasimp(sp.gamma(QUARTER + z) * sp.gamma(3 * QUARTER + z) / sp.gamma(HALF + 2 * z))
        for z in (sp.I * nu / 2, -sp.I * nu / 2)
    ]
    reflected = sp.simplify(sp.gammasimp(sp.gamma(HALF + sp.I * nu) * sp.gamma(HALF - sp.I * nu)))
    poles = sp.simplify(sp.gammasimp(sp.gamma(sp.I * nu) * sp.gamma(-sp.I * nu)))
    return nu * sp.tanh(sp.pi * nu), sp.simplify(doubled[0] * doubled[1] * reflected / poles / (2 * sp.pi))


def one_layer_integral() -> sp.Expr:
    """∫_0^∞ ν tanh(πν) ĥ(ν) m_n(ν) dν in closed form: Wilson's integral at 1/4, 3/4, 1/4, (2n−1)/4 with ν = 2ξ."""
    half = sp.symbols("half", positive=True)  # n/2
    parameters = (QUARTER, 3 * QUARTER, QUARTER, half - QUARTER)
    constants = real_gammas(h_hat()) * real_gammas(gaussian_transform(2 * half))
    # dν = 2 dξ; the Plancherel weight has 1/2π, and so has Wilson's integral.
    integral = 2 * constants * wilson_integral(parameters)
    integral = integral.subs(sp.gamma(half + HALF), (half - HALF) * sp.gamma(half - HALF))
    return sp.simplify(sp.gammasimp(integral).subs(half, n / 2))


def real_gammas(expression: sp.Expr) -> sp.Expr:
    """What a transform has besides its complex gamma functions: those go into `wilson_integral`."""
    return expression.replace(sp.gamma, lambda z: sp.Integer(1) if z.has(sp.I) else sp.gamma(z))


def mean_inverse_cosh(fan_in: sp.Expr = n) -> sp.Expr:
    """E[1/cosh s] of one Gaussian layer, by `distance_density`."""
    b = sp.symbols("b", positive=True)
    density = distance_density().subs(n, b + 1)
    return sp.simplify(sp.integrate(density / x, (x, 1, sp.oo)).subs(b, fan_in - 1))


# The inversion in numbers.


@cache
def factor(fan_in: int, frequency: mp.mpf) -> mp.mpf:
    """m_n(ν), to be called within `nu_integral`: gamma functions for n ≤ 3, then m_{n+2}/m_n."""
    if fan_in <= 3:
        z = mp.mpf(2 * fan_in - 1) / 4 + 0.5j * frequency
        return abs(mp.gamma(z)) ** 2 * mp.rgamma(mp.mpf(fan_in) / 2) * mp.rgamma(mp.mpf(fan_in - 1) / 2)
    below = fan_in - 2
    return factor(below, frequency) * (1 + (frequency**2 + 0.25) / (below * (below - 1)))


@cache
def inversion_weight(frequency: mp.mpf) -> mp.mpf:
    """ν tanh(πν) ĥ(ν), to be called within `nu_integral`."""
    h = abs(mp.gamma(0.25 + 0.5j * frequency)) ** 2 / (2 * mp.sqrt(mp.pi))
    return frequency * mp.tanh(mp.pi * frequency) * h


def nu_integral(integrand: Callable[[mp.mpf], mp.mpf]) -> mp.mpf:
    """∫_0^∞ of an even function of ν, analytic for |Im ν| < 1/2 and zero at 0, to 38 digits: the trapezoid rule."""
    with mp.workdps(WORKING_DIGITS):
        step, total, j = mp.mpf(_NU_STEP), mp.mpf(0), 0
        while True:
            j += 1
            term = integrand(step * j)
            total += term
            if step * j > 1 and abs(term) <= _NEGLIGIBLE * abs(total):
                return +(step * total)


def sech_integral(transform: Callable[[mp.mpf], mp.mpf]) -> mp.mpf:
    """S = ∫_0^∞ ν tanh(πν) ĥ(ν) M(ν) dν = E[1/cosh r] = 1 − E ρ², for a walk with spherical transform M."""
    return nu_integral(lambda frequency: inversion_weight(frequency) * transform(frequency))


def derive() -> Derivation:
    """The transform of one layer, and the inversion formula."""
    transform, ratio, hat = gaussian_transform(), transform_ratio(), h_hat()
    weight, weight_by_gammas = plancherel_weight()
    density, one_layer = distance_density(), one_layer_integral()
    with mp.workdps(WORKING_DIGITS):
        wilson_numbers = tuple(mp.mpf(v) for v in ("0.3", "0.7", "1.1", "0.9"))
        wilson = nu_integral(
            lambda v: (
                abs(mp.fprod(mp.gamma(p + 0.5j * v) for p in wilson_numbers) * mp.rgamma(1j * v)) ** 2 / (4 * mp.pi)
            )
        )
        point, distance = mp.mpf("1.7"), mp.mpf("0.9")
        spherical = mp.hyp2f1(0.5 + 1j * point, 0.5 - 1j * point, 1, -(mp.sinh(distance / 2) ** 2)).real
        laplace = _circle_average(lambda c: (mp.cosh(distance) + mp.sinh(distance) * c) ** (-0.5 - 1j * point)).real
        inverted = sech_integral(lambda v: mp.hyp2f1(0.5 + 1j * v, 0.5 - 1j * v, 1, -0.5).real)  # P(x): (1 − x)/2
    steps = (
        Step(
            "Two rows of Gaussian weights of fan-in $n$ have the Bartlett root $T = \\begin{pmatrix}a&0\\\\g&b"
            "\\end{pmatrix}$, $a\\sim\\chi_n$, $b\\sim\\chi_{n-1}$, $g\\sim N(0,1)$, all independent, and the height "
            "$Y=b/a$. The mean of $Y^{1/2+i\\nu}$ is a product of two moments of chi variables, $E\\,\\chi_k^p = "
            "2^{p/2}\\,\\Gamma((k+p)/2)/\\Gamma(k/2)$, which is the spherical transform of a Gaussian layer:",
            sp.Eq(sp.Function("m_n")(nu), transform, evaluate=False),
        ),
        Step(
            "Why a spherical transform: the law of $TT^T$ does not change under rotations. Carried from $(a,g,b)$ to "
            "$G=TT^T$ the density is $\\propto \\det(G)^{(n-3)/2}e^{-\\mathrm{Tr}\\,G/2}$: the angle is uniform, and "
            "the distance $s$ that the layer walks has, in $x=\\cosh s$, the density",
            sp.powsimp(density),
        ),
        Step(
            "So the mean of a wave is the mean of its angle average $P_{-1/2+i\\nu}(\\cosh s) = "
            "\\frac1{2\\pi}\\int_0^{2\\pi}(\\cosh s + \\sinh s\\cos\\theta)^{-1/2-i\\nu}d\\theta$, and with $n=a$ any "
            "real number above one $m_a(\\nu) = (a-1)\\int_1^\\infty P_{-1/2+i\\nu}(x)\\,x^{-a}dx$. This is the "
            "transform of a power; at $a=1$, that of $1/x$:",
            sp.Eq(sp.Symbol(r"\hat{h}"), hat, evaluate=False),
        ),
        Step(
            "Inversion. Claim: $1/x = \\int_0^\\infty \\nu\\tanh(\\pi\\nu)\\,\\hat h(\\nu)P_{-1/2+i\\nu}(x)\\,d\\nu$. "
            "Integrate both sides against $(a-1)x^{-a}$ over $x>1$. On the left, $(a-1)/a$. On the right "
            "$\\int\\nu\\tanh(\\pi\\nu)\\hat h\\,m_a\\,d\\nu$, where by reflection and duplication "
            "$\\nu\\tanh\\pi\\nu = "
            "|\\Gamma(\\tfrac14+\\tfrac{i\\nu}2)\\Gamma(\\tfrac34+\\tfrac{i\\nu}2)/\\Gamma(i\\nu)|^2/2\\pi$, so that "
            "it is Wilson's integral, with the value",
            one_layer.subs(n, a),
        ),
        Step(
            "The two agree for every $a>1$, and a function on $x>1$ is determined by these integrals (they are its "
            "Mellin transform). So the claim is true. Averaged over a walk of isotropic steps, $x=\\cosh r$, it says "
            "that $E[1/\\cosh r] = \\int_0^\\infty\\nu\\tanh(\\pi\\nu)\\,\\hat h(\\nu)M(\\nu)\\,d\\nu$, "
            "$M = E\\,P_{-1/2+i\\nu}(\\cosh r)$ being the product of the transforms of the steps."
        ),
    )
    claims = (
        Claim(
            "$m_n(\\nu) = |\\Gamma(\\frac{2n-1}4+\\frac{i\\nu}2)|^2/(\\Gamma(\\frac n2)\\Gamma(\\frac{n-1}2))$",
            transform,
            sp.gamma((2 * n - 1) / 4 + sp.I * nu / 2)
            * sp.gamma((2 * n - 1) / 4 - sp.I * nu / 2)
            / (sp.gamma(n / 2) * sp.gamma((n - 1) / 2)),
        ),
        Claim("$m_n(i/2) = 1$: constants are preserved", gaussian_transform(n, sp.I / 2), sp.Integer(1)),
        Claim(
            "$m_{n+2}/m_n = 1 + (\\nu^2+\\tfrac14)/(n(n-1))$",
            ratio,
            1 + CASIMIR / (n * (n - 1)),
        ),
        Claim("The distance of one layer: $\\cosh s$ has density $(n-1)x^{-n}$", density, (n - 1) * x ** (-n)),
        Claim(
            "$\\hat h(\\nu) = |\\Gamma(\\tfrac14+\\tfrac{i\\nu}2)|^2/(2\\sqrt\\pi)$",
            hat,
            sp.gamma(QUARTER + sp.I * nu / 2) * sp.gamma(QUARTER - sp.I * nu / 2) / (2 * sp.sqrt(sp.pi)),
        ),
        Claim(
            "The weight as gamma functions is $\\nu\\tanh\\pi\\nu$",
            weight_by_gammas.rewrite(sp.exp),
            weight.rewrite(sp.exp),
        ),
        Claim(
            "One layer: $\\int\\nu\\tanh(\\pi\\nu)\\hat h\\,m_n\\,d\\nu = 1-1/n$ for every $n$",
            one_layer,
            1 - 1 / n,
        ),
        Claim("and so says the density of the distance: $E[1/\\cosh s] = 1-1/n$", mean_inverse_cosh(), 1 - 1 / n),
        Claim("Wilson's integral, at four arbitrary parameters", wilson, _wilson_number(wilson_numbers)),
        Claim("The inversion formula, at $x=2$", inverted, mp.mpf(1) / 2),
        Claim("The angle average of a wave is $P_{-1/2+i\\nu}$, at an arbitrary point", laplace, spherical),
    )
    return Derivation("Spherical transforms: one layer is one factor", steps, claims)


def _circle_average(f: Callable[[mp.mpf], mp.mpc], points: int = 240) -> mp.mpc:
    return mp.fsum(f(mp.cos(2 * mp.pi * j / points)) for j in range(points)) / points


def _wilson_number(parameters: Sequence[mp.mpf]) -> mp.mpf:
    with mp.workdps(WORKING_DIGITS):
        pairs = mp.fprod(mp.gamma(p + q) for i, p in enumerate(parameters) for q in parameters[i + 1 :])
        return pairs * mp.rgamma(mp.fsum(parameters))
