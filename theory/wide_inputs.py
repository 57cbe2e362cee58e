r"""S7, wide inputs: a nonlinearity shrinks correlations, and a layer of weights lets them diffuse. It is a closure.

**Question.** Over inputs N(0, I), instead of a small ball, two nodes of a wide layer are nearly a Gaussian pair with
correlation ρ. What does an odd activation make of ρ, and where do shrinkage and diffusion balance?

**Assumptions.** φ is odd; pre-activations are Gaussian pairs of variance q, the same for all nodes (wide layers). For
S7 itself, three more, which are not true, only small errors at first, and are said in the steps: higher Hermite terms,
the spread of ρ, and the rank of the inputs are neglected. S7 is a closure, not a theorem; what is proved here is what
it is made of.

**Method.** The map of ρ is expanded in Hermite polynomials (Mehler) and found in closed form for erf and sin (Price).
Its slope at zero, and the diffusion of `universal`, act in turn, as two flows.

**Result.** ρ → Σ_k a_k² ρ^k/Σ_k a_k², about cρ with c = a_1²/Σ_{k≥1} a_k². The closure is v_{l+1} = R(R⁻¹(c²v_l) +
1/n_l), and its balance is at R′(R⁻¹(v))/N = (1−c²)v, with the small solution v = g − 3g² + …, g = 1/(N(1−c²)).

**Source.** Mehler 1866 for the Hermite expansion; Price 1958 for its derivative; Williams 1997 for the arcsine; Poole
et al. 2016 and Schoenholz et al. 2017 for correlation maps. R(t) is derived in `universal`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import mpmath as mp
import sympy as sp

from theory.derivation import Claim, Derivation, Step
from theory.hyperbolic.transforms import WORKING_DIGITS
from theory.universal import moment_series, universal_complement, universal_slope

LAWS: tuple[str, ...] = ("wide_input_vni",)

rho, z, x = sp.symbols("rho z x", real=True)
q, t, v, g, c, N = sp.symbols("q t v g c N", positive=True)
HALF = sp.Rational(1, 2)
ACTIVATIONS = {"linear": x, "erf": sp.erf(x), "sin": sp.sin(x)}


# The Hermite map.


def normal_mean(f: sp.Expr, variable: sp.Symbol = z) -> sp.Expr:
    """E f over a standard normal variable, integrated by sympy."""
    return sp.simplify(sp.integrate(f * sp.exp(-(variable**2) / 2), (variable, -sp.oo, sp.oo)) / sp.sqrt(2 * sp.pi))


@cache
def hermite_generating_mean() -> sp.Expr:
    """E e^{αx − α²/2} e^{βy − β²/2} for a Gaussian pair with correlation ρ: y = ρx + κz, κ² = 1 − ρ².

    The two factors generate Hermite polynomials: e^{αx−α²/2} = Σ_j He_j(x) α^j/j!.
    """
    alpha, beta, kappa = sp.symbols("alpha beta kappa", real=True)
    over_z = normal_mean(sp.exp(beta * kappa * z))
    over_x = normal_mean(sp.exp((alpha + beta * rho) * x), x)
    exponent = sp.expand_log(sp.log(over_z * over_x), force=True) - alpha**2 / 2 - beta**2 / 2
    return sp.exp(sp.simplify(sp.expand(exponent).subs(kappa**2, 1 - rho**2)))


def mehler_matrix(order: int) -> sp.Matrix:
    """E He_j(x) He_k(y), j, k ≤ order, read off `hermite_generating_mean`."""
    alpha, beta = sp.symbols("alpha beta", real=True)
    mean = hermite_generating_mean()

    def entry(j: int, k: int) -> sp.Expr:
        return sp.diff(sp.diff(mean, alpha, j), beta, k).subs({alpha: 0, beta: 0})

    return sp.Matrix(order + 1, order + 1, lambda j, k: sp.expand(entry(j, k)))


@cache
def covariance(name: str) -> sp.Expr:
    """E φ(h_i)φ(h_j) for a Gaussian pair of variance q and correlation ρ, for an activation that has it in closed form.

    Price: its derivative is q E φ′(h_i)φ′(h_j), and at ρ = 0 it is zero, φ being odd.
    """
    s = sp.symbols("s", real=True)
    return sp.factor(sp.integrate(q * slope_product(name).subs(rho, s), (s, 0, rho)), deep=True)


def correlation_map(name: str) -> sp.Expr:
    """ρ of φ(h_i), φ(h_j) as a function of ρ of h_i, h_j at variance q."""
    return covariance(name) / second_moment(name)


@cache
def slope_product(name: str) -> sp.Expr:
    """E φ′(h_i) φ′(h_j) for a Gaussian pair of variance q and correlation ρ.

    erf: φ′φ′ = (4/π) e^{−h_i² − h_j²}, a Gaussian integral, det(1 + 2Σ)^{−1/2}. sin: cos h_i cos h_j = ½ cos(h_i + h_j)
    + ½ cos(h_i − h_j), with variances 2q(1 ± ρ), and E cos of a normal variable.
    """
    if name == "linear":
        return sp.Integer(1)
    if name == "erf":
        sigma = q * sp.Matrix([[1, rho], [rho, 1]])
        return 4 / sp.pi / sp.sqrt(sp.expand((sp.eye(2) + 2 * sigma).det()))
    omega = sp.symbols("omega", positive=True)
    cosine = normal_mean(sp.cos(omega * z))
    total = sum(cosine.subs(omega**2, 2 * q * (1 + sign * rho)) for sign in (1, -1)) / 2
    return sp.simplify(sp.expand(total * sp.exp(q))) * sp.exp(-q)


def linear_share(name: str) -> sp.Expr:
    """c(q) = a_1²/Σ_k a_k²: the slope of the map at ρ = 0."""
    return sp.simplify(sp.diff(correlation_map(name), rho).subs(rho, 0))


def first_coefficient_squared(name: str) -> sp.Expr:
    """a_1², a_1 = E z φ(√q z) = √q E φ′(√q z), by integration."""
    slope = sp.diff(ACTIVATIONS[name], x).subs(x, sp.sqrt(q) * z)
    return sp.simplify(q * normal_mean(slope) ** 2)


def second_moment(name: str) -> sp.Expr:
    """Σ_k a_k² = E φ(√q z)²: the covariance at ρ = 1."""
    return covariance(name).subs(rho, 1)


# Two flows.


@cache
def inverse_depth_series(order: int) -> sp.Expr:
    """R⁻¹(v) to v^order: the series of R(t), reversed term by term."""
    series = moment_series(rho**2, order)
    inverse = v
    for power in range(2, order + 1):
        value = sp.expand(series.subs(t, inverse))
        inverse -= value.coeff(v, power) * v**power
    return sp.expand(inverse)


@cache
def diffusion_rate_series(order: int) -> sp.Expr:
    """R′(R⁻¹(v)) to v^order: how fast mean square correlations grow, per unit of depth, at v."""
    rate = sp.diff(moment_series(rho**2, order + 1), t).subs(t, inverse_depth_series(order + 1))
    return sum(sp.expand(rate).coeff(v, k) * v**k for k in range(order + 1))


def flow_limit() -> tuple[sp.Expr, sp.Expr]:
    """(v_{l+1} − v_l)/ε for small ε when 1/N = ε/N and 1 − c² = ε(1−c²): the step as a flow, to first order in v^3.

    Returned with R′(R⁻¹(v))/N − (1−c²)v, in which the two flows only add.
    """
    eps = sp.symbols("varepsilon", positive=True)
    order = 5
    shrunk = v * (1 - eps * (1 - c**2))
    depth = inverse_depth_series(order).subs(v, shrunk) + eps / N
    step = sp.diff(moment_series(rho**2, order).subs(t, depth), eps).subs(eps, 0)
    flow = diffusion_rate_series(3) / N - (1 - c**2) * v
    return tuple(sum(sp.expand(side).coeff(v, k) * v**k for k in range(4)) for side in (sp.expand(step), flow))


def balance_series(order: int) -> sp.Expr:
    """v where the flows balance, to g^order: v = g R′(R⁻¹(v)), g = 1/(N(1−c²))."""
    rate = diffusion_rate_series(order - 1)
    solution = sp.Integer(0)
    for power in range(1, order + 1):
        value = sp.expand(g * rate.subs(v, solution))
        solution = sum(value.coeff(g, k) * g**k for k in range(power + 1))
    return solution


def cubic_error() -> sp.Expr:
    """What S7 leaves out of E ρ² after the nonlinearity, to second order in v: the term ρ³ of the Hermite map.

    (cρ + c_3 ρ³)² has the mean c²v + 2c c_3 E ρ⁴, where E ρ⁴ = 3v² at small v (`correlation_moments`).
    """
    third = sp.symbols("c_3", positive=True)
    fourth = moment_series(rho**4, 2).subs(t, inverse_depth_series(2))
    mapped = sp.Poly(sp.expand((c * rho + third * rho**3) ** 2), rho)
    moments = {2: v, 4: sp.expand(fourth).coeff(v, 2) * v**2, 6: 0}
    return sp.expand(sum(coefficient * moments[power] for (power,), coefficient in mapped.terms()) - c**2 * v)


# In numbers.


def universal(depth: mp.mpf) -> mp.mpf:
    """R(t)."""
    return 1 - universal_complement(depth)


def depth_of(value: mp.mpf) -> mp.mpf:
    """R⁻¹(v), by Newton's method from R ≈ t: R is concave, so it climbs to the root without passing it."""
    with mp.workdps(WORKING_DIGITS):
        depth = mp.mpf(value)
        while True:
            complement = universal_complement(depth)
            slope = universal_slope(depth)
            step = (value - 1 + complement) / slope
            depth += step
            if abs(step) < mp.mpf(10) ** -18 * depth:  # Newton doubles the digits
                return depth


def two_flows(fan_ins: Sequence[int], shares: Sequence[mp.mpf]) -> list[mp.mpf]:
    """c_l² v_l of S7 after each layer: diffusion by 1/n, then shrinkage by c²."""
    with mp.workdps(WORKING_DIGITS):
        remaining, values = mp.mpf(0), []
        for fan_in, share in zip(fan_ins, shares, strict=True):
            before = depth_of(remaining) if remaining else mp.mpf(0)
            remaining = share**2 * universal(before + mp.mpf(1) / fan_in)
            values.append(remaining)
        return values


def derive() -> Derivation:
    """The Hermite map, c for erf and sin, S7 as two flows, and their balance."""
    erf_map, sin_map = correlation_map("erf"), correlation_map("sin")
    step, flow = flow_limit()
    balance = balance_series(3)
    rate = diffusion_rate_series(3)
    R = sp.Function("R")
    alpha, beta = sp.symbols("alpha beta", real=True)
    argument = 2 * q / (1 + 2 * q)
    series = moment_series(rho**2, 5)
    a, b = sp.symbols("a b", positive=True)  # two depths
    inverse = inverse_depth_series(5)
    with mp.workdps(WORKING_DIGITS):
        variance = mp.mpf("1.3")
        root, panels = mp.sqrt(variance), [-15, -6, -3, -1, 0, 1, 3, 6, 15]
        first = mp.quad(lambda s: s * mp.erf(root * s) * mp.npdf(s), panels, method="gauss-legendre")
        total = mp.quad(lambda s: mp.erf(root * s) ** 2 * mp.npdf(s), panels, method="gauss-legendre")
        share_by_quadrature = first**2 / total
        share = 2 * variance / (1 + 2 * variance) / mp.asin(2 * variance / (1 + 2 * variance))
        # The balance is exact in the depth t of the same v: N(1 − c²) = R′(t)/R(t).
        depth = mp.mpf("1.4")
        slope_over_value = universal_slope(depth) / universal(depth)
        value = universal(depth)
        balanced = universal_slope(depth_of(value)) / slope_over_value

    steps = (
        Step(
            "Hermite polynomials have the generating function $e^{\\alpha x-\\alpha^2/2} = "
            "\\sum_jHe_j(x)\\alpha^j/j!$. Over a Gaussian pair with correlation $\\rho$ the mean of the product of "
            "two is",
            sp.Eq(
                sp.Symbol(r"E\,e^{\alpha x-\alpha^2/2}e^{\beta y-\beta^2/2}"), hermite_generating_mean(), evaluate=False
            ),
        ),
        Step(
            "so $E\\,He_j(x)He_k(y) = \\delta_{jk}k!\\rho^k$ (Mehler). An odd function $\\varphi(\\sqrt q\\,z) = "
            "\\sum_ka_kHe_k(z)/\\sqrt{k!}$ maps $\\rho\\to\\sum_ka_k^2\\rho^k/\\sum_ka_k^2$, odd $k$ only. Its slope "
            "at zero is $c = a_1^2/\\sum_ka_k^2\\le1$, and $c=1$ only if $\\varphi$ is linear. The derivative of the "
            "numerator is $q\\,E\\varphi'\\varphi'$ (Price), which gives closed forms. For erf,",
            sp.Eq(sp.Symbol(r"\rho'"), erf_map, evaluate=False),
        ),
        Step("and for sin,", sp.Eq(sp.Symbol(r"\rho'"), sin_map, evaluate=False)),
        Step("Their slopes: for erf", sp.Eq(c, linear_share("erf"), evaluate=False)),
        Step("and for sin", sp.Eq(c, linear_share("sin"), evaluate=False)),
        Step(
            "Both tend to one as $q\\to0$: a small signal sees a linear network. Now alternate. With $v$ the mean of "
            "$\\rho^2$ off the diagonal, the nonlinearity takes $v$ to $c^2v$. The weights let it diffuse: if $c^2v$ "
            "is $R$ at some depth, they add $1/n$ to that depth,",
            sp.Eq(sp.Symbol("v_{l+1}"), R(sp.Symbol(r"R^{-1}(c^2 v_l)") + 1 / N), evaluate=False),
        ),
        Step(
            "With $c=1$ depths add and S4 is back. In a wide, weakly nonlinear layer both steps are small, and $v$ "
            "flows with the velocity $R'(R^{-1}(v))/N - (1-c^2)v$: diffusion pushes up, nonlinearity down. The push is",
            sp.Eq(sp.Symbol(r"R'(R^{-1}(v))"), rate, evaluate=False),
        ),
        Step(
            "They balance where, with $v=R(t)$, $N(1-c^2) = R'(t)/R(t)$. The right side goes from $\\infty$ to 0 as "
            "$t$ grows, so for $c<1$ there is a balance, and vanishing stops. With $g = 1/(N(1-c^2))$ it is at",
            sp.Eq(v, balance, evaluate=False),
        ),
        Step(
            "Chaotic networks hold $q$, so $c<1$: they keep their width, with $v\\approx g$, of order $1/N$. Ordered "
            "and critical networks lose the signal, $q\\to0$ and $c\\to1$, and with it the protection: they go the "
            "way of S4. At the other end, near $v=1$, $R'/(1-R)\\to\\tfrac18$: a protection $1-c^2$ balances at "
            "$1-v\\approx8N(1-c^2)$, so it must be far below $1/8N$ for nodes to merge."
        ),
        Step(
            "What S7 neglects. *Higher Hermite terms*: $\\rho^3$ adds, at small $v$, the following to $c^2v$, so S7 "
            "is too low, and badly where $v$ is near 1, where all terms add up to 1 instead of $c$:",
            cubic_error(),
        ),
        Step(
            "*The spread of $\\rho$*: after shrinkage the law of $\\rho$ is not that of the diffusion at any depth; "
            "$R^{-1}$ keeps only its second moment. *The rank of the inputs*: $n_0$ dimensions allow no more than "
            "$n_0$ independent linear functions, and nonlinearity makes new directions that S7 counts as free. "
            "*Gaussian pairs, equal $q$*: true of wide layers only. And $\\varphi$ must be odd: nodes of a ReLU have "
            "means."
        ),
    )
    claims = (
        Claim(
            "Mehler, all orders at once: $E\\,G(\\alpha)G(\\beta) = e^{\\rho\\alpha\\beta}$",
            hermite_generating_mean(),
            sp.exp(rho * alpha * beta),
        ),
        Claim(
            "$E\\,He_jHe_k = \\delta_{jk}k!\\rho^k$, spelled out to $k=5$",
            mehler_matrix(5),
            sp.diag(*[sp.factorial(k) * rho**k for k in range(6)]),
        ),
        Claim(
            "erf: $\\rho\\to\\arcsin(\\frac{2q\\rho}{1+2q})/\\arcsin(\\frac{2q}{1+2q})$",
            erf_map,
            sp.asin(argument * rho) / sp.asin(argument),
        ),
        Claim("sin: $\\rho\\to\\sinh(q\\rho)/\\sinh q$", sin_map, sp.sinh(q * rho) / sp.sinh(q)),
        Claim("linear: $\\rho\\to\\rho$, so $c=1$", linear_share("linear"), sp.Integer(1)),
        Claim(
            "erf: the slope is $a_1^2/E\\varphi^2$",
            linear_share("erf"),
            first_coefficient_squared("erf") / second_moment("erf"),
        ),
        Claim(
            "sin: the slope is $a_1^2/E\\varphi^2 = q/\\sinh q$",
            first_coefficient_squared("sin") / second_moment("sin"),
            q / sp.sinh(q),
        ),
        Claim("erf at $q=1.3$: $c$ by quadrature of its definition", share_by_quadrature, share),
        Claim(
            "$c=1$: depths add, $R(R^{-1}(R(a))+b) = R(a+b)$, so S7 is S4 (to fifth order in $a$)",
            sum(
                sp.expand(series.subs(t, _truncated(inverse.subs(v, series.subs(t, a)), a, 5) + b)).coeff(a, k) * a**k
                for k in range(6)
            ),
            sum(sp.expand(series.subs(t, a + b)).coeff(a, k) * a**k for k in range(6)),
        ),
        Claim("The step as a flow: $R'(R^{-1}(v))/N-(1-c^2)v$ (to $v^3$)", step, flow),
        Claim("The push: $R'(R^{-1}(v)) = 1-3v+6v^2+\\dots$", rate - rate.coeff(v, 3) * v**3, 1 - 3 * v + 6 * v**2),
        Claim("The balance: $v = g-3g^2+15g^3+\\dots$", balance, g - 3 * g**2 + 15 * g**3),
        Claim("The balance at $v=R(1.4)$: $g\\,R'(R^{-1}(v)) = v$", balanced, value),
        Claim("The cubic term adds $6c\\,c_3v^2$", cubic_error(), 6 * c * sp.symbols("c_3", positive=True) * v**2),
    )
    return Derivation("S7, wide inputs: shrinkage against diffusion", steps, claims)


def _truncated(expression: sp.Expr, variable: sp.Symbol, order: int) -> sp.Expr:
    return sum(sp.expand(expression).coeff(variable, k) * variable**k for k in range(order + 1))
