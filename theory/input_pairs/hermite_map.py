r"""The Hermite map, behind S7: what a wide layer makes of the correlation of two inputs.

**Question.** The pre-activations of two inputs have the correlation ρ. Which correlation do their activations have?

**Assumptions.** In each node they are a Gaussian pair, with the same variance q for both inputs; φ is odd; the layer is
so wide that means over its nodes are expectations.

**Method.** Hermite expansions. The generating function gives the means of products of two Hermite polynomials, for all
orders at once (Mehler). The derivative of a covariance in ρ is q times the mean of the product of the two slopes
(Price), which gives closed forms.

**Result.** F_q(ρ) = Σ_k a_k² ρ^k/Σ_k a_k², odd k only, with φ(√q z) = Σ_k a_k He_k(z)/√k!. Its slope at zero is
c = a_1²/Σ_k a_k², the share of φ's mean square that is linear. For erf F_q(ρ) is arcsin(2qρ/(1+2q))/arcsin(2q/(1+2q)),
for sin it is sinh(qρ)/sinh q.

**Source.** Mehler 1866; Price 1958; Williams 1997 for the arcsine; Poole et al. 2016 and Schoenholz et al. 2017 for
correlation maps.
"""

from __future__ import annotations

from functools import cache

import mpmath as mp
import sympy as sp

from theory.derivation import DIGITS, Claim, Derivation, Step

LAWS: tuple[str, ...] = ()

rho, z, x = sp.symbols("rho z x", real=True)
q, c = sp.symbols("q c", positive=True)
ACTIVATIONS = {"linear": x, "erf": sp.erf(x), "sin": sp.sin(x)}


def normal_mean(f: sp.Expr, variable: sp.Symbol = z) -> sp.Expr:
    """E f over a standard normal variable, integrated by sympy."""
    return sp.simplify(sp.integrate(f * sp.exp(-(variable**2) / 2), (variable, -sp.oo, sp.oo)) / sp.sqrt(2 * sp.pi))


@cache
def hermite_generating_mean() -> sp.Expr:
    """E e^{αx − α²/2} e^{βy − β²/2} for a Gaussian pair with correlation ρ: y = ρx + κz, κ² = 1 − ρ².

    The two factors generate Hermite polynomials: e^{αx−α²/2} = Σ_j He_j(x) α^j/j!.
    """
    first, second, rest = sp.symbols("alpha beta kappa", real=True)
    over_z = normal_mean(sp.exp(second * rest * z))
    over_x = normal_mean(sp.exp((first + second * rho) * x), x)
    exponent = sp.expand_log(sp.log(over_z * over_x), force=True) - first**2 / 2 - second**2 / 2
    return sp.exp(sp.simplify(sp.expand(exponent).subs(rest**2, 1 - rho**2)))


def mehler_matrix(order: int) -> sp.Matrix:
    """E He_j(x) He_k(y), j, k ≤ order, read off `hermite_generating_mean`."""
    first, second = sp.symbols("alpha beta", real=True)
    mean = hermite_generating_mean()

    def entry(j: int, k: int) -> sp.Expr:
        return sp.diff(sp.diff(mean, first, j), second, k).subs({first: 0, second: 0})

    return sp.Matrix(order + 1, order + 1, lambda j, k: sp.expand(entry(j, k)))


def covariance(name: str) -> sp.Expr:
    """E φ(h)φ(h′) for a Gaussian pair of variance q and correlation ρ, for an activation that has it in closed form.

    Price: its derivative is q E φ′(h)φ′(h′), and at ρ = 0 it is zero, φ being odd.
    """
    s = sp.symbols("s", real=True)
    return sp.factor(sp.integrate(q * slope_product(name).subs(rho, s), (s, 0, rho)), deep=True)


def correlation_map(name: str) -> sp.Expr:
    """ρ of φ(h), φ(h′) as a function of ρ of h, h′ at variance q."""
    return covariance(name) / second_moment(name)


def slope_product(name: str) -> sp.Expr:
    """E φ′(h) φ′(h′) for a Gaussian pair of variance q and correlation ρ.

    erf: φ′φ′ = (4/π) e^{−h² − h′²}, a Gaussian integral, det(1 + 2Σ)^{−1/2}. sin: cos h cos h′ = ½ cos(h + h′)
    + ½ cos(h − h′), with variances 2q(1 ± ρ), and E cos of a normal variable.
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


def derive() -> Derivation:
    """Mehler's formula; the map and its slope at zero, for erf and sin in closed form."""
    erf_map, sin_map = correlation_map("erf"), correlation_map("sin")
    argument = 2 * q / (1 + 2 * q)
    with mp.workdps(DIGITS + 20):
        root, cuts = mp.sqrt(mp.mpf("1.3")), [-15, -6, -3, -1, 0, 1, 3, 6, 15]
        first = mp.quad(lambda s: s * mp.erf(root * s) * mp.npdf(s), cuts, method="gauss-legendre")
        total = mp.quad(lambda s: mp.erf(root * s) ** 2 * mp.npdf(s), cuts, method="gauss-legendre")
        share_by_quadrature = first**2 / total
        share = mp.mpf("2.6") / mp.mpf("3.6") / mp.asin(mp.mpf("2.6") / mp.mpf("3.6"))

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
            "so $E\\,He_j(x)He_k(y) = \\delta_{jk}k!\\rho^k$ (Mehler). In a wide layer, two inputs whose "
            "pre-activations have "
            "the correlation $\\rho$ leave $\\varphi(\\sqrt q\\,z) = \\sum_ka_kHe_k(z)/\\sqrt{k!}$ with the "
            "correlation "
            "$F_q(\\rho) = \\sum_ka_k^2\\rho^k/\\sum_ka_k^2$, odd $k$ only. Its slope "
            "at zero is $c = a_1^2/\\sum_ka_k^2\\le1$, and $c=1$ only if $\\varphi$ is linear. The derivative of the "
            "numerator is $q\\,E\\varphi'\\varphi'$ (Price), which gives closed forms. For erf,",
            sp.Eq(sp.Symbol(r"F_q(\rho)"), erf_map, evaluate=False),
        ),
        Step("and for sin,", sp.Eq(sp.Symbol(r"F_q(\rho)"), sin_map, evaluate=False)),
        Step("Their slopes: for erf", sp.Eq(c, linear_share("erf"), evaluate=False)),
        Step("and for sin", sp.Eq(c, linear_share("sin"), evaluate=False)),
    )
    claims = (
        Claim(
            "Mehler, all orders at once: $E\\,G(\\alpha)G(\\beta) = e^{\\rho\\alpha\\beta}$",
            hermite_generating_mean(),
            sp.exp(rho * sp.Symbol("alpha", real=True) * sp.Symbol("beta", real=True)),
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
    )
    return Derivation("The Hermite map: two inputs behind a wide layer", steps, claims)
