r"""The bias of the indicator: what P samples make of the correlation of two nodes, whatever their distribution.

**Question.** Two nodes have the correlation coefficient ρ, and r is that of P samples. How far is r² from ρ² on
average? What is the mean VNI of nodes that do not vanish at all? What is r without one of the samples?

**Assumptions.** Samples are independent, and moments up to the fourth are finite. The bias for any distribution is to
first order in 1/P; that of independent normal nodes is exact. Without loss of generality nodes have mean zero and
variance one.

**Method.** For normal nodes r is one coordinate of a uniform direction. In general r² is a function of five sample
means, of x, y, x², y² and xy; the bias is half the sum of its second derivatives times the covariances (the delta
method). Leaving out a sample changes sums of products by rank one.

**Result.** Independent normal nodes have E r² = 1/(P−1), so E VNI = 1/N + (1 − 1/N)/(P − 1). For any distribution E r²
= ρ² + Q/P with Q = μ_22 − 2ρ(μ_31 + μ_13) + ρ²(μ_40 + μ_22 + μ_04), which is (1 − ρ²)(1 − 2ρ²) for normal nodes.

**Source.** The density of a sample correlation: Fisher 1915. The delta method: Cramér 1946, 27.7. What the statistic
without a sample says of the variance: Efron and Stein 1981.
"""

from __future__ import annotations

from itertools import product

import sympy as sp

from theory.derivation import Claim, Derivation, Step

LAWS: tuple[str, ...] = ()

N, P, d, kappa = sp.symbols("N P d kappa", positive=True)
rho, r, z_1, z_2 = sp.symbols("rho r z_1 z_2", real=True)
# Powers of x and y in the five means.
_POWERS = ((1, 0), (0, 1), (2, 0), (0, 2), (1, 1))


def boundary_term() -> sp.Expr:
    """The derivative of r (1−r²)^{(d−1)/2}, in units of the density (1−r²)^{(d−3)/2}: a polynomial in r."""
    power = (d - 3) / 2
    inside = sp.diff(r * (1 - r**2) ** (power + 1), r) / (1 - r**2) ** power
    return sp.expand(sp.powsimp(sp.expand(inside)))


def mean_square_of_direction(dimension: sp.Expr) -> sp.Expr:
    """E r² for one coordinate r of a uniform direction in d dimensions, by its density ∝ (1 − r²)^{(d−3)/2}.

    The boundary term a + b r² has the mean zero, so E r² = −a/b.
    """
    polynomial = sp.Poly(boundary_term(), r)
    return sp.factor(-polynomial.coeff_monomial(1) / polynomial.coeff_monomial(r**2)).subs(d, dimension)


def sampled_vni(nodes: sp.Expr, samples: sp.Expr) -> sp.Expr:
    """Mean VNI of N independent nodes measured on P samples: N entries are 1, N(N−1) have the mean square 1/(P−1)."""
    return (nodes + nodes * (nodes - 1) * mean_square_of_direction(samples - 1)) / nodes**2


def moment(a: int, b: int) -> sp.Expr:
    """μ_ab = E x^a y^b of nodes of mean zero and variance one, whose correlation is ρ."""
    known = {(0, 0): sp.S.One, (1, 0): sp.S.Zero, (0, 1): sp.S.Zero, (2, 0): sp.S.One, (0, 2): sp.S.One, (1, 1): rho}
    return known.get((a, b), sp.Symbol(f"mu_{a}{b}", real=True))


def first_order_bias() -> sp.Expr:
    """P (E r² − ρ²) to first order, by second derivatives and covariances of the five means."""
    means = sp.symbols("x y xx yy xy", real=True)
    x, y, xx, yy, xy = means
    square = (xy - x * y) ** 2 / ((xx - x**2) * (yy - y**2))
    here = {mean: moment(*power) for mean, power in zip(means, _POWERS, strict=True)}
    total = sp.S.Zero
    for (first, (a, b)), (second, (c, d)) in product(zip(means, _POWERS, strict=True), repeat=2):
        covariance = moment(a + c, b + d) - moment(a, b) * moment(c, d)
        total += sp.diff(square, first, second).subs(here) * covariance / 2
    return sp.expand(sp.simplify(total))


def bias() -> sp.Expr:
    """Q = μ_22 − 2ρ(μ_31 + μ_13) + ρ²(μ_40 + μ_22 + μ_04)."""
    return (
        moment(2, 2) - 2 * rho * (moment(3, 1) + moment(1, 3)) + rho**2 * (moment(4, 0) + moment(2, 2) + moment(0, 4))
    )


def with_moments(expression: sp.Expr, moments: dict[tuple[int, int], sp.Expr]) -> sp.Expr:
    """The same for given fourth moments μ_ab."""
    return expression.subs({moment(a, b): value for (a, b), value in moments.items()})


def elliptical_moments(scale: sp.Expr = kappa) -> dict[tuple[int, int], sp.Expr]:
    """Fourth moments of Gaussian nodes times a random scale of both, κ = E scale⁴/(E scale²)²; κ = 1: Gaussian."""
    two = scale * (1 + 2 * rho**2)
    return {(4, 0): 3 * scale, (0, 4): 3 * scale, (2, 2): two, (3, 1): 3 * scale * rho, (1, 3): 3 * scale * rho}


def left_out_square(square: sp.Expr, first: sp.Expr, second: sp.Expr) -> sp.Expr:
    """r² without a sample whose two values, in units of the standard deviations, are z_1 and z_2; from r."""
    t = 1 / (P - 1)
    return (square - t * first * second) ** 2 / ((1 - t * first**2) * (1 - t * second**2))


def derive() -> Derivation:
    x, y = sp.symbols("x_1:5", real=True), sp.symbols("y_1:5", real=True)
    all_of, others = (
        sum(a * b for a, b in zip(x[start:], y[start:], strict=True))
        - sum(x[start:]) * sum(y[start:]) / sp.Integer(4 - start)
        for start in (0, 1)
    )
    one = (x[0] - sum(x) / 4) * (y[0] - sum(y) / 4)
    s_xx, s_yy, s_xy, d_x, d_y = sp.symbols("S_xx S_yy S_xy d_x d_y", positive=True)
    rank_one = P / (P - 1)
    without = (s_xy - rank_one * d_x * d_y) ** 2 / ((s_xx - rank_one * d_x**2) * (s_yy - rank_one * d_y**2))
    in_units = left_out_square(s_xy / sp.sqrt(s_xx * s_yy), d_x * sp.sqrt(P / s_xx), d_y * sp.sqrt(P / s_yy))
    gaussian = (1 - rho**2) * (1 - 2 * rho**2)
    mean = sp.Function("E")
    lines = (
        Step(
            r"**Independent normal nodes.** From P samples one subtracts the mean, which leaves vectors in $d = P - "
            r"1$ dimensions; those of independent normal nodes point in independent uniform directions, so $r$ is "
            r"distributed as one coordinate of a uniform direction. The slice of the sphere at height r is a sphere "
            r"of radius $\sqrt{1-r^2}$ in $d-1$ dimensions, of area $\propto (1-r^2)^{(d-2)/2}$, and the surface is "
            r"slanted by $1/\sqrt{1-r^2}$: the density is $\propto (1-r^2)^{(d-3)/2}$. What vanishes at $r = \pm1$ "
            r"has a derivative of integral zero; take that of $r(1-r^2)^{(d-1)/2}$, which is the density times",
            boundary_term(),
        ),
        Step(r"whose mean is therefore zero:", sp.Eq(mean(r**2), mean_square_of_direction(d), evaluate=False)),
        Step(
            r"(Without any integral: the d coordinates are exchangeable, and their squares add up to one.) The VNI "
            r"of nodes that do not vanish at all is therefore measured, on average, as",
            sp.Eq(mean(sp.Symbol("VNI")), 1 / N + (1 - 1 / N) / (P - 1), evaluate=False),
        ),
        Step(
            r"**Any distribution.** With the sample means of $x, y, x^2, y^2, xy$ the squared coefficient is $r^2 = "
            r"(\overline{xy} - \bar x\bar y)^2/((\overline{x^2} - \bar x^2)(\overline{y^2} - \bar y^2))$. Their "
            r"covariances are $1/P$ times those of one sample, $\mu_{a+c,b+d} - \mu_{ab}\mu_{cd}$, and half the second "
            r"derivatives times them add up to $\mathbb{E}\,r^2 = \rho^2 + Q/P + O(P^{-2})$ with",
            sp.Eq(sp.Symbol("Q"), bias(), evaluate=False),
        ),
        Step(
            r"No third moment is left: that the means are estimated makes no difference in this order. For independent "
            r"nodes $Q = 1$ whatever they are; uncorrelated ones that are large together have $Q = \mu_{22}$; copies "
            r"of one node have none; and Gaussian ones",
            sp.Eq(sp.Symbol("Q"), gaussian, evaluate=False),
        ),
        Step(
            r"**A sample left out.** The sum of products of deviations from the mean loses $P/(P-1)$ times the product "
            r"of that sample's deviations (the others' mean moves the other way). In units of the standard deviations, "
            r"with $t = 1/(P-1)$, the coefficient of the others is therefore, squared,",
            left_out_square(r, z_1, z_2),
        ),
    )
    copies = dict.fromkeys(((4, 0), (0, 4), (2, 2), (3, 1), (1, 3)), moment(4, 0))
    claims = (
        Claim(r"$\mathbb{E}\,r^2=1/(P-1)$ for independent nodes", mean_square_of_direction(P - 1), 1 / (P - 1)),
        Claim(
            r"bias: $\mathbb{E}\,\mathrm{VNI}=1/N+(1-1/N)/(P-1)$",
            sp.factor(sampled_vni(N, P)),
            sp.factor(1 / N + (1 - 1 / N) / (P - 1)),
        ),
        Claim(r"$P(\mathbb{E}\,r^2-\rho^2)\to Q$ by the delta method, any distribution", first_order_bias(), bias()),
        Claim(r"Gaussian nodes: $Q=(1-\rho^2)(1-2\rho^2)$", with_moments(bias(), elliptical_moments(1)), gaussian),
        Claim(
            r"Gaussian nodes of a common random scale: $\kappa$ times that",
            with_moments(bias(), elliptical_moments()),
            kappa * gaussian,
        ),
        Claim(r"independent nodes: $Q=1$", with_moments(bias().subs(rho, 0), {(2, 2): sp.S.One}), sp.S.One),
        Claim(r"copies of one node: $Q=0$", with_moments(bias().subs(rho, 1), copies), sp.S.Zero),
        Claim(
            r"sums of products of deviations lose $P/(P-1)$ times one product (four samples)",
            sp.expand(all_of - sp.Rational(4, 3) * one),
            sp.expand(others),
        ),
        Claim(
            r"$r^2$ without a sample, in units of the standard deviations", sp.simplify(in_units), sp.simplify(without)
        ),
    )
    return Derivation("What samples make of a correlation", lines, claims)
