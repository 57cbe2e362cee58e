r"""The scatter of one layer, behind S7: the correlation of two inputs behind n nodes, about the Hermite map.

**Question.** Behind a layer of n nodes, what are the mean and the variance of the correlation of two inputs?

**Assumptions.** Those of `input_pairs.hermite_map`, except that the layer is wide. Given the layer before, the nodes of
a Gaussian layer are independent Gaussian pairs; those of a Haar layer that does not narrow are such pairs with the sums
of h², h′² and hh′ held fixed. The mean and the variance are to first order in 1/n. For linear φ and Gaussian weights
the law is exact.

**Method.** With s = (φ(h) + φ(h′))/2 and d = (φ(h) − φ(h′))/2 the correlation is a function of three sums, expanded to
second order (the delta method). Haar weights are Gaussian ones whose quadratic sums are held fixed. Hotelling's density
of a sample correlation is found again from the χ variables that it is made of.

**Result.** With y = artanh ρ, E y′ = ½ ln(E s²/E d²) + [½κ_sd tanh y′ − ¼(κ_s − κ_d)]/n, Var y′ = ¼(κ_s + κ_d −
2κ_sd)/n, with κ_s = E s⁴/(E s²)², κ_d likewise and κ_sd = E s²d²/(E s² E d²). For linear φ and Gaussian weights these
are a drift of ½ tanh(y)/n and a variance of 1/n, the diffusion of S4.

**Source.** Cramér 1946 for the delta method; Hotelling 1953 for the law of a sample correlation.
"""

from __future__ import annotations

import mpmath as mp
import sympy as sp

from theory.derivation import DIGITS, Claim, Derivation, Step
from theory.input_pairs.hermite_map import normal_mean, z

LAWS: tuple[str, ...] = ()

y, zeta = sp.symbols("y zeta", real=True)
n = sp.symbols("n", positive=True)
HALF = sp.Rational(1, 2)


# The scatter of one layer.


def correlation_of_sums() -> sp.Expr:
    """sinh² y′ from S = Σs², D = Σd² and M = Σsd, where φ = s + d and φ′ = s − d."""
    S, D, M = sp.symbols("S D M", positive=True)
    first, second, both = S + D + 2 * M, S + D - 2 * M, S - D
    square = both**2 / (first * second)
    return sp.factor(sp.simplify(square / (1 - square)))


def second_order() -> sp.Expr:
    """y′ to second order in a, b, m: S = E s²(1 + a), D = E d²(1 + b), M² = E s² E d² m², at E s²/E d² = e^{2y}."""
    a, b, m, eps = sp.symbols("a b m varepsilon", real=True)
    ratio = sp.exp(2 * y)
    value = sp.asinh(
        (ratio * (1 + eps * a) - (1 + eps * b))
        / (2 * sp.exp(y) * sp.sqrt((1 + eps * a) * (1 + eps * b) - eps**2 * m**2))
    )
    terms = [sp.diff(value, eps, order).subs(eps, 0) / sp.factorial(order) for order in (1, 2)]
    return sum(_in_exponentials(term) for term in terms)


def _in_exponentials(term: sp.Expr) -> sp.Expr:
    """With w = e^y > 0, so that √(cosh² y) is cosh y."""
    w = sp.symbols("w", positive=True)
    rational = term.rewrite(sp.exp).subs(sp.exp(2 * y), w**2).subs(sp.exp(y), w).subs(sp.exp(-y), 1 / w)
    return sp.factor(sp.simplify(sp.powdenest(sp.factor(sp.simplify(rational)), force=True))).subs(w, sp.exp(y))


def mean_and_variance() -> tuple[sp.Expr, sp.Expr]:
    """n times (E y′ − Hermite map, Var y′), from the covariances of the sums of n independent nodes."""
    a, b, m = sp.symbols("a b m", real=True)
    k_s, k_d, k_sd = sp.symbols("kappa_s kappa_d kappa_sd", positive=True)
    expansion = sp.expand(second_order_stated())
    moments = {(2, 0, 0): k_s - 1, (0, 2, 0): k_d - 1, (1, 1, 0): k_sd - 1, (0, 0, 2): k_sd}
    terms = sp.Poly(expansion, a, b, m).terms()
    mean = sum(coefficient * moments.get(powers, 0) for powers, coefficient in terms if sum(powers) == 2)
    linear = sum(coefficient * a ** powers[0] * b ** powers[1] for powers, coefficient in terms if sum(powers) == 1)
    variance = sum(
        coefficient * moments.get(powers, 0) for powers, coefficient in sp.Poly(sp.expand(linear**2), a, b, m).terms()
    )
    return sp.expand(mean), sp.expand(variance)


def second_order_stated() -> sp.Expr:
    """½(a − b) − ¼(a² − b²) + ½ tanh(y) m²."""
    a, b, m = sp.symbols("a b m", real=True)
    return (a - b) / 2 - (a**2 - b**2) / 4 + sp.tanh(y) * m**2 / 2


def gaussian_kurtoses() -> dict[sp.Symbol, sp.Expr]:
    """κ_s, κ_d, κ_sd where φ is linear: s and d are independent normal variables."""
    k_s, k_d, k_sd = sp.symbols("kappa_s kappa_d kappa_sd", positive=True)
    fourth = normal_mean(z**4)
    return {k_s: fourth, k_d: fourth, k_sd: normal_mean(z**2) ** 2}


def held_density() -> sp.Expr:
    """n times the logarithm of the density of one node's (a, b), sums of a², b², ab held, over the Gaussian one.

    Two orthonormal vectors in n dimensions: one coordinate of each has the density (1 − r²/n)^{(n−4)/2} in units of
    1/√n, r² = a² + b².
    """
    r, step = sp.symbols("r epsilon", positive=True)
    log_density = (1 / step - 4) / 2 * sp.log(1 - r**2 * step) + r**2 / 2
    leading = sp.series(log_density, step, 0, 2).removeO().coeff(step, 1)
    # Normalized: its mean over the Gaussian pair, in which r² is exponential of mean 2, is taken off.
    u = sp.symbols("u", positive=True)
    mean = sp.integrate(leading.subs(r, sp.sqrt(u)) * sp.exp(-u / 2) / 2, (u, 0, sp.oo))
    return sp.expand(leading - mean)


# The exact law of the scatter of Gaussian pairs.


def hotelling() -> sp.Expr:
    """The density of y, up to the constant (n−1) Γ(n)/(√(2π) Γ(n+½))."""
    argument = (1 + sp.tanh(y) * sp.tanh(zeta)) / 2
    spread = sp.cosh(y - zeta) ** (HALF - n) * sp.sqrt(sp.cosh(y) / sp.cosh(zeta))
    return spread * sp.hyper((HALF, HALF), (n + HALF,), argument)


def sample_density(distance: mp.mpf, centre: mp.mpf, count: mp.mpf) -> mp.mpf:
    """Hotelling's density of a sample correlation, in y = artanh r; ζ = artanh ρ."""
    constant = (count - 1) * mp.gamma(count) / mp.sqrt(2 * mp.pi) / mp.gamma(count + 0.5)
    spread = mp.cosh(distance - centre) ** (0.5 - count) * mp.sqrt(mp.cosh(distance) / mp.cosh(centre))
    argument = (1 + mp.tanh(distance) * mp.tanh(centre)) / 2
    return constant * spread * mp.hyp2f1(0.5, 0.5, count + 0.5, argument)


def sample_density_by_chi(distance: mp.mpf, centre: mp.mpf, count: mp.mpf) -> mp.mpf:
    """The same from sinh y = (a sinh ζ + g)/b, with a ~ χ_n, g ~ N(0, 1), b ~ χ_{n−1} independent.

    Along x/|x| the second vector of Gaussian pairs has the component ρ|x| + √(1−ρ²) g, across it √(1−ρ²) b. Given a and
    b, sinh y is normal; the integral over both is in polar coordinates, a = r cos θ, b = r sin θ, and that over r a
    Gamma function.
    """
    u, v = mp.sinh(distance), mp.sinh(centre)

    def over_angle(theta: mp.mpf) -> mp.mpf:
        cosine, sine = mp.cos(theta), mp.sin(theta)
        # ∫ r^{2n−1} e^{−r²/2 − r²(u sin θ − v cos θ)²/2} dr: r^{n−1}, r^{n−2} of the χ, r of b as a Jacobian, r of dr.
        precision = 1 + (u * sine - v * cosine) ** 2
        return (cosine * sine) ** (count - 1) * precision ** (-count)

    angular = mp.quad(over_angle, mp.linspace(0, mp.pi / 2, 9))
    radial = 2 ** (count - 1) * mp.gamma(count)
    norm = 2 ** (count / 2 - 1) * mp.gamma(count / 2) * 2 ** ((count - 1) / 2 - 1) * mp.gamma((count - 1) / 2)
    return mp.cosh(distance) * angular * radial / norm / mp.sqrt(2 * mp.pi)


def derive() -> Derivation:
    """The delta method, Gaussian pairs, and Haar weights."""
    mean, variance = mean_and_variance()
    linear = gaussian_kurtoses()
    k_s, k_d, k_sd = sp.symbols("kappa_s kappa_d kappa_sd", positive=True)
    S, D, M = sp.symbols("S D M", positive=True)
    r = sp.symbols("r", positive=True)
    with mp.workdps(DIGITS + 20):
        at = mp.mpf("0.7"), mp.mpf("0.4"), mp.mpf(5)
        stated_density, derived_density = sample_density(*at), sample_density_by_chi(*at)
        panels = [-mp.inf, -4, -1, 0, 1, 4, mp.inf]
        mass = mp.quad(lambda distance: sample_density(distance, mp.mpf("0.4"), mp.mpf(9)), panels)
        chance = mp.quad(
            lambda distance: mp.tanh(distance) ** 2 * sample_density(distance, mp.mpf(0), mp.mpf(9)), panels
        )
        ninth = mp.mpf(1) / 9

    steps = (
        Step(
            "A layer of $n$ nodes scatters about the Hermite map $F_q$ of `input_pairs.hermite_map`. "
            "With $s = (\\varphi(h)+\\varphi(h'))/2$, $d = "
            "(\\varphi(h)-\\varphi(h'))/2$, sums $S$, $D$, $M$ of $s^2$, $d^2$, $sd$ over the nodes, and "
            "$\\tanh y'$ the correlation,",
            sp.Eq(sp.Symbol(r"{\sinh}^2y'"), correlation_of_sums(), evaluate=False),
        ),
        Step(
            "$h$ and $h'$ are exchangeable, so $E\\,sd = 0$. With $S = E s^2(1+a)$, $D = E d^2(1+b)$, $M^2 = E s^2E "
            "d^2\\,m^2$ per node, "
            "to second order (the delta method), $y'$ is $\\frac12\\ln(E s^2/E d^2) = \\mathrm{artanh}\\,F_q$ plus",
            second_order_stated(),
        ),
        Step(
            "so that with $\\kappa_s = E s^4/(E s^2)^2$, $\\kappa_d$ likewise and $\\kappa_{sd} = E s^2d^2/(E s^2E "
            "d^2)$ its mean "
            "exceeds the map by $1/n$ times the first of these and its variance is $1/n$ times the second",
            sp.Matrix([mean, variance]),
        ),
        Step(
            "For Gaussian pairs, $\\kappa_s = \\kappa_d = 3$ and $\\kappa_{sd} = 1$: drift $\\tanh(y)/2n$, variance "
            "$1/n$, which is S4's "
            "diffusion. There the law of the sample correlation is known exactly (Hotelling). With $\\tanh\\zeta$ the "
            "correlation of the pairs, $y'$ has the density",
            hotelling(),
        ),
        Step(
            "Haar weights keep the sums of $h^2$, $h'^2$ and $hh'$ (a layer that does not narrow), which takes out of "
            "the covariances "
            "of $s^2$, $d^2$ and $sd$ their parts along the quadratic Hermite polynomials, and weights the means "
            "by $1 + 1/n$ times, $r^2$ the sum of squares of the two standardized coordinates,",
            held_density(),
        ),
    )
    claims = (
        Claim(
            "The correlation by sums: $\\sinh^2y' = (S-D)^2/4(SD-M^2)$",
            correlation_of_sums(),
            (S - D) ** 2 / 4 / (S * D - M**2),
        ),
        Claim(
            "To second order: $\\frac12(a-b)-\\frac14(a^2-b^2)+\\frac12\\tanh(y)m^2$",
            second_order(),
            second_order_stated().rewrite(sp.exp),
        ),
        Claim(
            "$n(E y'-\\mathrm{artanh}\\,F_q) = \\frac12\\kappa_{sd}\\tanh y-\\frac14(\\kappa_s-\\kappa_d)$",
            mean,
            k_sd * sp.tanh(y) / 2 - (k_s - k_d) / 4,
        ),
        Claim(
            "$n\\,\\mathrm{Var}\\,y' = \\frac14(\\kappa_s+\\kappa_d-2\\kappa_{sd})$",
            variance,
            (k_s + k_d - 2 * k_sd) / 4,
        ),
        Claim(
            "Linear: drift $\\frac12\\tanh y$ and variance 1",
            sp.Matrix([mean.subs(linear), variance.subs(linear)]),
            sp.Matrix([sp.tanh(y) / 2, 1]),
        ),
        Claim("Hotelling's density at $n=5$, by the $\\chi$ variables it is made of", derived_density, stated_density),
        Claim("Its mass at $n=9$", mass, mp.mpf(1)),
        Claim("Its $E\\,\\rho^2 = 1/n$ at $\\zeta=0$, $n=9$", chance, ninth),
        Claim("Haar: the held density, $-(r^4-8r^2+8)/4$", held_density(), -(r**4 - 8 * r**2 + 8) / 4),
    )
    return Derivation("The scatter of one layer: two inputs behind n nodes", steps, claims)
