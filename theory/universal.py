r"""S4, the universal law: in wide layers ρ is a diffusion in the effective depth t, and the VNI goes to R(t).

**Question.** How does one layer change the correlation of two nodes, and what does that become in a wide network, after
many layers?

**Assumptions.** Two nodes of a layer see the layer below through two rows of Gaussian weights of fan-in n. All widths
go to infinity with the effective depth t fixed. What slopes and Haar weights do to the clock comes next.

**Method.** Given all layers above, ρ becomes, one layer further, the sample correlation of n pairs with correlation ρ.
Its moments are expanded in n^{−1/2}. The diffusion that follows is Brownian motion on the hyperbolic plane
(`hyperbolic.walk`), whose spherical transform (`hyperbolic.transforms`) gives the mean of ρ² as an integral.

**Result.** dρ = −½ρ(1−ρ²)dt + (1−ρ²)dB, and y = artanh ρ obeys dy = ½ tanh(y) dt + dB. R(t) = E ρ² = 1 − ∫_0^∞ ν
tanh(πν) ĥ(ν) e^{−(ν²+1/4)t/2} dν, which begins as t − 3t²/2 + 7t³/2 and ends as 1 − (πΓ(1/4)²/(2√2)) t^{−3/2} e^{−t/8}.

**Source.** The sample correlation: Muirhead 1982, sections 3.2 and 5.1. Covariance of nodes as a diffusion in
depth/width: Hanin and Nica 2020; Li, Nica and Roy 2022. Radial parts of hyperbolic Brownian motion: Helgason 1984.
"""

from __future__ import annotations

from functools import cache

import mpmath as mp
import sympy as sp

from theory.derivation import Claim, Derivation, Step
from theory.hyperbolic.transforms import CASIMIR, HALF, h_hat, nu, sech_integral
from theory.hyperbolic.walk import height_eigenvalue, laplacian, y

LAWS: tuple[str, ...] = (
    "universal_vni",
    "universal_vni_complement",
)

rho = sp.symbols("rho", real=True)
n, t, eps = sp.symbols("n t varepsilon", positive=True)


# One layer.


def bartlett_correlation() -> tuple[sp.Expr, sp.Expr]:
    """The sample correlation of n pairs, from the triangular root T of their Gram matrix, and x with ρ′ = x/√(1+x²).

    T = [[a, 0], [g, b]] is the root for uncorrelated pairs, A = [[1, 0], [ρ, √(1−ρ²)]] makes their correlation ρ.
    """
    a, b = sp.symbols("a b", positive=True)
    g = sp.symbols("g", real=True)
    root = sp.Matrix([[1, 0], [rho, sp.sqrt(1 - rho**2)]]) * sp.Matrix([[a, 0], [g, b]])
    gram = root * root.T
    x = (a * rho / sp.sqrt(1 - rho**2) + g) / b
    return gram[0, 1] / sp.sqrt(gram[0, 0] * gram[1, 1]), x


@cache
def one_step_moments() -> tuple[sp.Expr, sp.Expr, sp.Expr]:
    """n E[ρ′ − ρ], n E[(ρ′ − ρ)²] and n E[(ρ′ − ρ)⁴] as n → ∞, from ρ′ = x/√(1 + x²).

    With ε = n^{−1/2}: a² = n(1 + √2 ε α) and b² = n(1 − ε² + √2 ε β) where α and β have mean 0 and, to this order,
    variance 1; g is standard normal; all three are independent. ρ′ is expanded in ε and averaged term by term.
    """
    alpha, beta, g = sp.symbols("alpha beta g", real=True)
    kappa = sp.symbols("kappa", positive=True)  # √(1 − ρ²)
    a = sp.sqrt(1 + sp.sqrt(2) * eps * alpha)
    b = sp.sqrt(1 - eps**2 + sp.sqrt(2) * eps * beta)
    above = rho * a + kappa * eps * g
    new = above / sp.sqrt(above**2 + kappa**2 * b**2)
    step = sum(sp.diff(new, eps, k).subs(eps, 0) * eps**k / sp.factorial(k) for k in (1, 2))
    step = sp.expand(step.subs(rho**2 + kappa**2, 1))
    moments = []
    for power in (1, 2, 4):
        at_order = sp.expand(step**power).coeff(eps, 2)
        terms = sp.Poly(at_order, alpha, beta, g).terms()
        mean = sum(c * sp.prod([_normal_moment(k) for k in powers]) for powers, c in terms)
        moments.append(sp.factor(sp.expand(sp.expand(mean).subs(kappa, sp.sqrt(1 - rho**2)))))
    return tuple(moments)


def _normal_moment(k: int) -> int:
    return 0 if k % 2 else int(sp.factorial2(k - 1)) if k else 1


# The diffusion.


def fisher_rates() -> tuple[sp.Expr, sp.Expr]:
    """Itô's formula for y = artanh ρ: its mean and its variance per unit of t, as functions of y."""
    mean, variance, _ = one_step_moments()
    z = sp.atanh(rho)
    drift = sp.simplify(sp.diff(z, rho) * mean + HALF * sp.diff(z, rho, 2) * variance)
    return drift.subs(rho, sp.tanh(y)), sp.simplify(sp.diff(z, rho) ** 2 * variance)


def generator(f: sp.Expr) -> sp.Expr:
    """A f = ½(1−ρ²)² f″ − ½ρ(1−ρ²) f′ for a polynomial f(ρ)."""
    return sp.expand(HALF * (1 - rho**2) ** 2 * sp.diff(f, rho, 2) - HALF * rho * (1 - rho**2) * sp.diff(f, rho))


def moment_series(f: sp.Expr, order: int) -> sp.Expr:
    """E f(ρ_t) = Σ_k (t^k/k!) (A^k f)(0), to t^order: the expansion in t of the semigroup (asymptotic as t → 0)."""
    series, term = sp.Integer(0), sp.expand(f)
    for k in range(order + 1):
        series += t**k / sp.factorial(k) * term.subs(rho, 0)
        term = generator(term)
    return series


# The mean of ρ².


def brownian_transform() -> sp.Expr:
    """M(ν) of Brownian motion: dM/dt = ½ × eigenvalue × M, M = 1 at t = 0."""
    transform = sp.Function("M")
    equation = sp.Eq(transform(t).diff(t), height_eigenvalue() / 2 * transform(t))
    return sp.dsolve(equation, transform(t), ics={transform(0): 1}).rhs


def tail_constant(h0: sp.Expr) -> sp.Expr:
    """K in ∫_0^∞ ν tanh(πν) ĥ(ν) e^{−(ν²+1/4)t/2} dν ~ K t^{−3/2} e^{−t/8}, given ĥ(0).

    Laplace's method: at late t only small ν count, where ν tanh(πν) ĥ(ν) ~ π ĥ(0) ν².
    """
    curvature = sp.limit(nu * sp.tanh(sp.pi * nu) / nu**2, nu, 0)
    v = sp.symbols("v", positive=True)
    gaussian = sp.integrate(v**2 * sp.exp(-(v**2) * t / 2), (v, 0, sp.oo))
    return sp.simplify(curvature * h0 * gaussian * t ** sp.Rational(3, 2))


def universal_complement(t: mp.mpf) -> mp.mpf:
    """1 − R(t) by S4."""
    return sech_integral(lambda frequency: mp.exp(-(frequency**2 + 0.25) * t / 2))


def universal_slope(depth: mp.mpf) -> mp.mpf:
    """R′(t) by S4."""
    return sech_integral(lambda f: (f**2 + 0.25) / 2 * mp.exp(-(f**2 + 0.25) * depth / 2))


def derive() -> Derivation:
    """The diffusion of a correlation, and R(t) as an integral, at early and at late depth."""
    correlation, x = bartlett_correlation()
    mean, variance, fourth = one_step_moments()
    drift, rate = fisher_rates()
    series = moment_series(rho**2, 5)
    f = sp.Function("f")
    tail = tail_constant(h_hat().subs(nu, 0))
    rho_new, R = sp.Symbol(r"\rho'"), sp.Function("R")
    transform = brownian_transform()

    steps = (
        Step(
            "Two rows of weights of fan-in $n$, seen through the correlation $\\rho$ of what lies above them, are $n$ "
            "Gaussian pairs with correlation $\\rho$. Write their rows as $A\\,T\\,F$: $F$ has two orthonormal rows, "
            "$T = \\begin{pmatrix} a & 0\\\\ g & b\\end{pmatrix}$ is the Bartlett root with $a^2\\sim\\chi^2_n$, "
            "$b^2\\sim\\chi^2_{n-1}$, $g\\sim N(0,1)$ independent, and $A$ carries $\\rho$. The new correlation is "
            "that of $AT(AT)^T$, a function of one number $x$:",
            sp.Eq(rho_new, sp.Symbol("x") / sp.sqrt(1 + sp.Symbol("x") ** 2), evaluate=False),
        ),
        Step("with", sp.Eq(sp.Symbol("x"), x, evaluate=False)),
        Step(
            "Expand in $n^{-1/2}$: $a^2/n$ and $b^2/n$ are $1$ plus independent fluctuations of variance $2/n$, and "
            "$E\\,b^2/n = 1 - 1/n$. Averaging term by term, the mean step is, to order $1/n$,",
            sp.Eq(sp.Symbol(r"E[\rho' - \rho]"), mean / n, evaluate=False),
        ),
        Step("and its variance", sp.Eq(sp.Symbol(r"\mathrm{Var}\,\rho'"), variance / n, evaluate=False)),
        Step(
            "Fourth moments are of order $1/n^2$, so in the limit of many thin steps $\\rho$ is a diffusion with time "
            "$dt = 1/n$ per layer: $d\\rho = -\\tfrac12\\rho(1-\\rho^2)\\,dt + (1-\\rho^2)\\,dB$."
        ),
        Step(
            "Fisher's $z$, $y = \\mathrm{artanh}\\,\\rho$, makes the noise constant. By Itô's formula its drift is",
            sp.Eq(sp.Symbol(r"E[dy]/dt"), drift, evaluate=False),
        ),
        Step(
            "By `hyperbolic.walk` $\\rho=\\tanh y$ with $y$ the distance to a geodesic of the hyperbolic plane, and "
            "half the Laplacian is the generator of $dy = \\tfrac12\\tanh y\\,dt + dB$. So the walk of two nodes is "
            "Brownian motion on that plane. It starts at the identity and is isotropic about it, so $R(t) = "
            "E\\rho_t^2 = 1 - E[1/\\cosh r_t]$. Its waves decay by half their eigenvalue, hence the spherical "
            "transform",
            sp.Eq(sp.Function("M")(nu), transform, evaluate=False),
        ),
        Step(
            "and, by the inversion formula of `hyperbolic.transforms`, S4:",
            sp.Eq(
                R(t),
                1 - sp.Integral(nu * sp.tanh(sp.pi * nu) * sp.Symbol(r"\hat{h}") * transform, (nu, 0, sp.oo)),
                evaluate=False,
            ),
        ),
        Step(
            "At finite width $E\\,\\mathrm{VNI}\\approx1/n_L+(1-1/n_L)R(t)$, the $n_L$ terms $\\rho_{ii}^2=1$ of the "
            "double sum being known. At early times, $R(t) = \\sum_k t^k (A^k\\rho^2)(0)/k!$:",
            sp.Eq(R(t), series, evaluate=False),
        ),
        Step(
            "At late times Laplace's method on the integral of S4 needs only "
            "$\\nu\\tanh\\pi\\nu\\;\\hat h(\\nu) \\sim \\pi\\hat h(0)\\nu^2$, $\\hat h(0) = "
            "\\Gamma(1/4)^2/(2\\sqrt\\pi)$: nodes vanish to one exponentially, at rate $1/8$,",
            sp.Eq(1 - R(t), tail * t ** sp.Rational(-3, 2) * sp.exp(-t / 8), evaluate=False),
        ),
    )
    claims = (
        Claim(
            "The correlation of $AT$ is $x/\\sqrt{1+x^2}$ (squares compared)",
            sp.simplify(correlation**2),
            sp.simplify(x**2 / (1 + x**2)),
        ),
        Claim("Mean step: $n\\,E[\\rho'-\\rho] \\to -\\tfrac12\\rho(1-\\rho^2)$", mean, -HALF * rho * (1 - rho**2)),
        Claim("Variance of a step: $n\\,\\mathrm{Var}\\,\\rho' \\to (1-\\rho^2)^2$", variance, (1 - rho**2) ** 2),
        Claim(
            "Fourth moments vanish: $n\\,E(\\rho'-\\rho)^4 \\to 0$, so the limit is a diffusion", fourth, sp.Integer(0)
        ),
        Claim("Itô: the drift of $y = \\mathrm{artanh}\\,\\rho$ is $\\tfrac12\\tanh y$", drift, sp.tanh(y) / 2),
        Claim("Itô: the variance of $y$ grows at rate 1, so its noise is $dB$", rate, sp.Integer(1)),
        Claim(
            "$\\tfrac12\\Delta f(y) = \\tfrac12 f'' + \\tfrac12\\tanh y\\,f'$: Brownian motion and Fisher's $z$ agree",
            laplacian(f(y), "fermi") / 2,
            rate * f(y).diff(y, 2) / 2 + drift * f(y).diff(y),
        ),
        Claim("Brownian motion has the transform $e^{-(\\nu^2+1/4)t/2}$", transform, sp.exp(-CASIMIR * t / 2)),
        Claim(
            "$R(t) = t - \\tfrac32t^2 + \\tfrac72t^3 - \\tfrac{89}8t^4 + \\tfrac{1783}{40}t^5 + O(t^6)$",
            series,
            t - 3 * t**2 / 2 + 7 * t**3 / 2 - 89 * t**4 / 8 + 1783 * t**5 / 40,
        ),
        Claim(
            "The tail: $1-R(t) \\sim \\frac{\\pi\\Gamma(1/4)^2}{2\\sqrt2}\\,t^{-3/2}e^{-t/8}$",
            tail,
            sp.pi * sp.gamma(sp.Rational(1, 4)) ** 2 / (2 * sp.sqrt(2)),
        ),
    )
    return Derivation("S4: correlations diffuse on the hyperbolic plane", steps, claims)
