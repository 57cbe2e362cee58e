r"""Samples: what P of them make of the correlation of two nodes, whatever their distribution.

Question. Two nodes have the correlation coefficient ρ, and r is that of P samples. How far is r² from ρ² on average?
What is r without one of the samples?

Assumptions. Samples are independent; moments up to the fourth are finite. The bias is to first order in 1/P. Without
loss of generality the nodes have mean zero and variance one.

Method. r² is a function of five sample means, of x, y, x², y² and xy; the bias is half the sum of its second
derivatives times the covariances (the delta method). Leaving out a sample changes sums of products by rank one.

Source. The delta method is Cramér's (1946, 27.7); the Gaussian case is classical (Fisher 1915). What the statistic
without a sample says of the variance: Efron and Stein 1981.
"""

from __future__ import annotations

from itertools import product

import sympy as sp

from theory.derivation import Claim, Derivation, Step

P, kappa = sp.symbols("P kappa", positive=True)
rho, r, z_1, z_2 = sp.symbols("rho r z_1 z_2", real=True)
# Powers of x and y in the five means.
_POWERS = ((1, 0), (0, 1), (2, 0), (0, 2), (1, 1))


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
    lines = (
        Step(
            r"**Bias.** With the sample means of $x, y, x^2, y^2, xy$ the squared coefficient is $r^2 = "
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
