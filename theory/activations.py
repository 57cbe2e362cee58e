r"""Activations: the Gaussian moments μ_k and E φ² that have a closed form.

**Question.** With h = √q z, z normal, what are μ_k = E φ′(h)^{2k} and E φ(h)², for linear, ReLU family, hard tanh, erf
and sin? The first enter every law of depth, the second the length map q ↦ σ_w² E φ² + σ_b².

**Assumptions.** q > 0; k is a positive integer (for erf any k > 0). The slope at a kink does not matter, it has no
weight.

**Method.** Integrals over the normal density, taken by sympy, of exponentials and of indicator functions; for erf,
whose square has no elementary integral, the derivative of E f(√q z) with respect to q, which is ½ E f″ (the density
obeys the heat equation).

**Result.** μ_k is 1 (linear), (1 + a^{2k})/2 (ReLU family of slope a), erf(1/√(2q)) (hard tanh), (4/π)^k/√(1 + 4kq)
(erf), and a sum of exponentials (sin). E φ² is q, q(1 + a²)/2, an error function and an exponential, (2/π) arcsin(2q/(1
+ 2q)), and (1 − e^{−2q})/2.

**Source.** Poole et al. 2016 and Schoenholz et al. 2017 (length map); Pennington, Schoenholz and Ganguli 2018 (μ_k);
Williams 1997 for the arcsine.
"""

from __future__ import annotations

from functools import cache

import mpmath
import sympy as sp

from theory.derivation import DIGITS, Claim, Derivation, Step

LAWS: tuple[str, ...] = ()

q, k, u = sp.symbols("q k u", positive=True)
a = sp.Symbol("a", real=True)
h = sp.Symbol("h", real=True)
NAMES = ("linear", "leaky_relu", "relu", "hard_tanh", "erf", "sin")


def density(h: sp.Expr, q: sp.Expr) -> sp.Expr:
    """The density of h = √q z."""
    return sp.exp(-(h**2) / (2 * q)) / sp.sqrt(2 * sp.pi * q)


@cache
def half_mean(power: int, low: sp.Expr = sp.S.Zero, high: sp.Expr = sp.oo) -> sp.Expr:
    """∫ h^power over low < h < high of the normal density, by integration."""
    return sp.simplify(sp.integrate(h**power * density(h, q), (h, low, high)))


@cache
def gaussian_of_gaussian(rate: sp.Expr) -> sp.Expr:
    """E e^{−rate h²}, by integration; rate > 0."""
    c = sp.Symbol("c", positive=True)
    return (sp.integrate(sp.exp(-c * h**2), (h, -sp.oo, sp.oo)) / sp.sqrt(2 * sp.pi * q)).subs(c, rate + 1 / (2 * q))


@cache
def characteristic(frequency: sp.Expr) -> sp.Expr:
    """E cos(frequency · h), by integration."""
    c = sp.Symbol("c", positive=True)
    value = sp.simplify(sp.integrate(sp.cos(c * h) * density(h, q), (h, -sp.oo, sp.oo)))
    return value.subs(c, frequency)


def mean_of_cosines(power: int) -> sp.Expr:
    """E cos(h)^power for an even power, multiplied out in exponentials e^{±ih}."""
    product = sp.Poly((u + 1) ** power, u)
    # (e^{ih} + e^{−ih})^p = Σ_j C(p, j) e^{i(2j − p)h}, of which the sines have no mean.
    total = sum(
        coefficient * (1 if 2 * j == power else characteristic(sp.Integer(abs(2 * j - power))))
        for (j,), coefficient in product.terms()
    )
    return sp.expand(total / 2**power)


def mu(name: str, order: sp.Expr = k, variance: sp.Expr = q, slope: sp.Expr = a) -> sp.Expr:
    """μ_k = E φ′(√q z)^{2k}.

    Parameters
    ----------
    name : str
        One of `NAMES`.
    order : Expr
        k: a positive integer for sin, any positive number otherwise.
    variance : Expr
        q.
    slope : Expr
        Of the leaky ReLU on the negative side.

    Raises
    ------
    ValueError
        If there is no closed form of that name.
    """
    if name == "linear":
        found = 2 * half_mean(0)
    elif name in ("leaky_relu", "relu"):
        negative = slope ** (2 * order) if name == "leaky_relu" else 0
        found = half_mean(0) * (1 + negative)
    elif name == "hard_tanh":
        found = 2 * half_mean(0, sp.S.Zero, sp.S.One)
    elif name == "erf":
        steepest = sp.diff(sp.erf(h), h).subs(h, 0)
        found = (steepest**2) ** order * sp.simplify(gaussian_of_gaussian(2 * sp.sympify(order)))
    elif name == "sin":
        found = mean_of_cosines(2 * int(order))
    else:
        raise ValueError(f"closed forms are known for {', '.join(NAMES)}, got {name!r}")
    return found.subs(q, variance)


def second_moment(name: str, variance: sp.Expr = q, slope: sp.Expr = a) -> sp.Expr:
    """E φ(√q z)². Parameters and errors as `mu`."""
    if name == "linear":
        found = 2 * half_mean(2)
    elif name in ("leaky_relu", "relu"):
        found = half_mean(2) * (1 + (slope**2 if name == "leaky_relu" else 0))
    elif name == "hard_tanh":
        found = 2 * half_mean(2, sp.S.Zero, sp.S.One) + 2 * half_mean(0, sp.S.One, sp.oo)
    elif name == "erf":
        found = erf_second_moment()
    elif name == "sin":
        found = sp.expand((1 - characteristic(sp.Integer(2))) / 2)
    else:
        raise ValueError(f"closed forms are known for {', '.join(NAMES)}, got {name!r}")
    return found.subs(q, variance)


@cache
def erf_derivative() -> sp.Expr:
    """d/dq E φ(√q z)² for φ = erf.

    It is ½ E (φ²)″ = E φ′² + E φφ″. With φ″ = −2h φ′ and Stein's E h g(h) = q E g′(h),

        E φφ″ = −2 E h φφ′ = −2q (E φ′² + E φφ″),

    an equation for E φφ″.
    """
    unknown = sp.Symbol("A")
    slopes = mu("erf", sp.S.One)
    (curved,) = sp.solve(sp.Eq(unknown, -2 * q * (slopes + unknown)), unknown)
    return sp.factor(slopes + curved)


@cache
def erf_second_moment() -> sp.Expr:
    """E erf(√q z)², integrated from q = 0, where it is zero, with u = √(1 + 4q) for the variable."""
    old = (u**2 - 1) / 4
    integrand = sp.simplify(erf_derivative().subs(q, old) * sp.diff(old, u))
    return sp.integrate(integrand, (u, 1, sp.sqrt(1 + 4 * q)))


def derive() -> Derivation:
    mean, phi = sp.Function("E"), sp.Symbol("phi")
    cosines = [
        sum(sp.binomial(2 * j, j - i) * sp.exp(-2 * i**2 * q) for i in range(-j, j + 1)) / 4**j for j in (1, 2, 3)
    ]
    arc = sp.expand_trig(sp.sin(sp.expand(sp.pi / 2 * second_moment("erf"))))
    with mpmath.workdps(DIGITS + 20):
        at = mpmath.mpf(7) / 10
        erf_numeric = 2 / mpmath.pi * mpmath.asin(2 * at / (1 + 2 * at))
        erf_quadrature = mpmath.quad(
            lambda y: mpmath.erf(y) ** 2 * mpmath.exp(-(y**2) / (2 * at)) / mpmath.sqrt(2 * mpmath.pi * at),
            [-20, -8, -4, -2, 0, 2, 4, 8, 20],
        )
    edge = 1 / sp.sqrt(2 * q)
    hard = q * sp.erf(edge) - sp.sqrt(2 * q / sp.pi) * sp.exp(-1 / (2 * q)) + 1 - sp.erf(edge)
    lines = (
        Step(
            r"**Linear and ReLU family.** $\phi(h) = h$ for $h > 0$ and $ah$ for $h < 0$: each half line has the "
            r"mass $\frac12$ and half the second moment q. So",
            sp.Eq(sp.Symbol("mu_k"), mu("leaky_relu"), evaluate=False),
        ),
        Step(r"and", sp.Eq(mean(phi**2), second_moment("leaky_relu"), evaluate=False)),
        Step(r"with $a = 0$ for ReLU and $a = 1$ for linear. No $\mu_k$ depends on q."),
        Step(
            r"**Hard tanh** has slope one for $|h| < 1$ and zero outside, so all $\mu_k$ are the mass inside,",
            sp.Eq(sp.Symbol("mu_k"), mu("hard_tanh"), evaluate=False),
        ),
        Step(
            r"and $\mathbb{E}\,\phi^2$ is the second moment inside plus the mass outside:",
            sp.Eq(mean(phi**2), second_moment("hard_tanh"), evaluate=False),
        ),
        Step(
            r"**erf** has the slope $(2/\sqrt\pi)e^{-h^2}$, whose powers are Gaussian:",
            sp.Eq(sp.Symbol("mu_k"), mu("erf"), evaluate=False),
        ),
        Step(
            r"For its square use $\frac{d}{dq}\mathbb{E}f(h) = \frac12\mathbb{E}f''(h)$ with $f = \phi^2$, hence "
            r"$\mathbb{E}\,\phi'^2 + \mathbb{E}\,\phi\phi''$. Here $\phi'' = -2h\phi'$, and integration by parts, "
            r"$\mathbb{E}\,h g(h) = q\,\mathbb{E}\,g'(h)$, turns $A = \mathbb{E}\,\phi\phi''$ into $-2q(\mu_1 + A)$. "
            r"Solved,",
            sp.Eq(sp.Derivative(mean(phi**2), q), erf_derivative(), evaluate=False),
        ),
        Step(
            r"and integrated from $q = 0$ with $u = \sqrt{1+4q}$, which makes it rational,",
            sp.Eq(mean(phi**2), second_moment("erf"), evaluate=False),
        ),
        Step(
            r"This is $(2/\pi)\arcsin\frac{2q}{1+2q}$: half of $\pi$ times either is an angle between 0 and $\pi/2$ "
            r"with that sine.",
            sp.Eq(sp.sin(sp.pi / 2 * mean(phi**2)), sp.factor(arc), evaluate=False),
        ),
        Step(
            r"**sin** and its slope are sums of $e^{\pm ih}$, and $\mathbb{E}\cos(jh) = e^{-j^2q/2}$:",
            sp.Eq(mean(phi**2), second_moment("sin"), evaluate=False),
        ),
        Step(
            r"and, for example, multiplying out $\cos^4$,",
            sp.Eq(sp.Symbol("mu_2"), mu("sin", sp.Integer(2)), evaluate=False),
        ),
        Step(
            r"The other activations of the package (tanh, sigmoid, softplus, GELU, SiLU) are integrated numerically, "
            r"between kinks."
        ),
    )
    claims = (
        Claim(r"linear: $\mu_k=1$, $\mathbb{E}\,\phi^2=q$", _pair("linear"), sp.Matrix([1, q])),
        Claim(
            r"ReLU family: $\mu_k=\frac12(1+a^{2k})$, $\mathbb{E}\,\phi^2=\frac q2(1+a^2)$",
            _pair("leaky_relu"),
            sp.Matrix([(1 + a ** (2 * k)) / 2, q * (1 + a**2) / 2]),
        ),
        Claim(r"hard tanh: $\mu_k=\mathrm{erf}(1/\sqrt{2q})$", mu("hard_tanh"), sp.erf(edge)),
        Claim(
            r"hard tanh: "
            r"$\mathbb{E}\,\phi^2=q\,\mathrm{erf}(1/\sqrt{2q})-\sqrt{2q/\pi}\,e^{-1/(2q)}+\mathrm{erfc}(1/\sqrt{2q})$",
            second_moment("hard_tanh"),
            hard,
        ),
        Claim(r"erf: $\mu_k=(4/\pi)^k/\sqrt{1+4kq}$", mu("erf"), (4 / sp.pi) ** k / sp.sqrt(1 + 4 * k * q)),
        Claim(r"erf: $\sin(\frac\pi2\mathbb{E}\,\phi^2)=2q/(1+2q)$", arc, 2 * q / (1 + 2 * q)),
        Claim(
            r"erf: $\frac{d}{dq}\frac2\pi\arcsin\frac{2q}{1+2q}$ is the derivative found",
            erf_derivative(),
            sp.simplify(sp.diff(2 / sp.pi * sp.asin(2 * q / (1 + 2 * q)), q)),
        ),
        Claim(r"erf: $\mathbb{E}\,\phi^2$ by quadrature at q = 0.7", erf_quadrature, erf_numeric),
        Claim(r"sin: $\mathbb{E}\,\phi^2=\frac12(1-e^{-2q})$", second_moment("sin"), (1 - sp.exp(-2 * q)) / 2),
        Claim(
            r"sin: $\mu_k=4^{-k}\sum_{j=-k}^{k}\binom{2k}{k-j}e^{-2j^2q}$, k = 1, 2, 3",
            sp.Matrix([mu("sin", sp.Integer(j)) for j in (1, 2, 3)]),
            sp.Matrix(cosines),
        ),
        Claim(
            r"small signals see the slope at 0: $\lim_{q\to0}\mathbb{E}\,\phi^2/q=\phi'(0)^2$ (hard tanh, erf, sin)",
            sp.Matrix([sp.limit(second_moment(name) / q, q, 0) for name in ("hard_tanh", "erf", "sin")]),
            sp.Matrix([1, 4 / sp.pi, 1]),
        ),
    )
    return Derivation("Activations: moments in closed form", lines, claims)


def _pair(name: str) -> sp.Matrix:
    return sp.Matrix([mu(name), second_moment(name)])
