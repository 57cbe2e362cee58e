r"""S1, the first-order law of the thesis: VNI ≈ 1/N + (L/N)(μ_2/μ_1² − 1 − s_1).

**Question.** What is left of the exact annealed ratio (`annealed`) when the layers are wide and the depth is fixed? Is
it the law of the thesis, and is it the mean VNI?

**Assumptions.** W is Gaussian or Haar, the slopes D_i are independent with moments μ_1 and μ_2, and the inputs are
isotropic. All widths grow together, and the depth stays. For the second proof D² and W C Wᵀ are asymptotically free.

**Method.** The exact Möbius map of one layer is differentiated at infinite width. A second proof multiplies
S-transforms (`spectrum.free_probability`) and knows nothing of the recursion.

**Result.** Layers add up: a Gaussian layer adds 1/n_in + (r − 1)/n_out, and a Haar layer 1/max(n_in, n_out) less than
that, with r = μ_2/μ_1². At width N this is S1 with s_1 = −1 (Gaussian) or 0 (Haar). The mean VNI begins with 1/n_L + t,
where t is the effective depth of S4; S1 exceeds it by (r − 1)/n_L, which does not grow with the depth.

**Source.** Chang and Lin 2019 (S1, from m_2/m_1²); Pennington, Schoenholz and Ganguli 2017, 2018 (s_1, μ_k).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import sympy as sp

from theory.annealed import WEIGHTS, L, N, epsilon, layer_map, n_in, n_out, r, size, taylor, x_before
from theory.derivation import Claim, Derivation, Step
from theory.spectrum.free_probability import moment, planar_limit, s_transform, z
from theory.wick import mu1, mu2, sigma_w

LAWS: tuple[str, ...] = ("first_order_vni",)

s1 = sp.Symbol("s_1", real=True)
S1 = {"gaussian": -1, "orthogonal": 0}


@cache
def layer_increment(weights: str) -> sp.Expr:
    """What one layer adds to x, to first order in 1/width.

    Every width is written as itself over ε, and x, of order 1/width, as ε x; the map is differentiated at ε = 0.
    """
    wide = {symbol: symbol / epsilon for symbol in (n_in, n_out, size)}
    after = sp.cancel(layer_map(weights).subs(wide | {x_before: epsilon * x_before}, simultaneous=True))
    return sp.expand(sp.cancel(sp.diff(after, epsilon).subs(epsilon, 0)) - x_before)


def first_order(widths: Sequence[sp.Expr], ratio: sp.Expr, weights: str) -> sp.Expr:
    """The annealed ratio of a network of these widths n_0, …, n_L to first order in 1/width: 1/n_0 + Σ_l increment."""
    widths = [sp.sympify(width) for width in widths]
    total = 1 / widths[0]
    for before, after in pairwise(widths):
        chosen = before if before == after else sp.Max(before, after)
        total += layer_increment(weights).subs({n_in: before, n_out: after, r: ratio, size: chosen}, simultaneous=True)
    return total


def exact_first_order(widths: Sequence[sp.Expr], sizes: Sequence[sp.Expr], weights: str) -> sp.Expr:
    """The term of order 1/width of the exact ratio after all layers, by differentiation of the whole.

    Symbols only: the widths n_0, …, n_L, and for Haar weights the sizes S_l of the matrices of which W_l are corners.
    """
    wide = sp.cancel(layer_map(weights).subs({symbol: symbol / epsilon for symbol in (n_in, n_out, size)}))
    x = epsilon / widths[0]
    for before, after, corner_of in zip(widths, widths[1:], sizes, strict=False):
        x = wide.subs({n_in: before, n_out: after, size: corner_of, x_before: x}, simultaneous=True)
    return taylor(x, 1)[1]


def off_diagonal(widths: Sequence[sp.Expr], ratio: sp.Expr, weights: str) -> sp.Expr:
    """Σ_{i≠j} E C_ij² / E (Tr C)² to first order: without the terms i = j of the last layer, those with r."""
    return first_order(widths, ratio, weights) - ratio * sp.diff(layer_increment(weights), r).subs(n_out, widths[-1])


def effective_depth(widths: Sequence[sp.Expr], ratio: sp.Expr, weights: str) -> sp.Expr:
    """t as S4 states it: r_l/n_l for each W_l, with r = 1 at the inputs, less 1/max(n_l, n_{l+1}) for Haar weights."""
    frames = [sp.Max(*shape) for shape in pairwise(widths)]
    ratios = [1] + [ratio] * (len(frames) - 1)
    return sum(
        a / width - (1 / frame if weights == "orthogonal" else 0)
        for a, width, frame in zip(ratios, widths, frames, strict=False)
    )


def thesis(widths: Sequence[sp.Expr], ratio: sp.Expr, weights: str) -> sp.Expr:
    """S1 as it is stated for any widths: 1/n_L, what each D_l adds, and what each W_l adds."""
    frames = [(before if before == after else sp.Max(before, after)) for before, after in pairwise(widths)]
    steps = [
        1 / before - (1 / frame if weights == "orthogonal" else 0)
        for before, frame in zip(widths, frames, strict=False)
    ]
    return 1 / widths[-1] + sum((ratio - 1) / width for width in widths[1:]) + sum(steps)


def weight_transform(limits: Sequence[sp.Expr]) -> tuple[sp.Expr, sp.Expr]:
    """The leading two coefficients of S_{WWᵀ}, written as (1/σ_w²)(1 + s_1 z): returns (1/σ_w², s_1)."""
    series = sp.Poly(s_transform(limits), z)
    first = series.coeff_monomial(1)
    return first, sp.cancel(series.coeff_monomial(z) / first)


def jacobian_moments(weights_s1: sp.Expr = s1) -> tuple[sp.Expr, sp.Expr]:
    """m_1 and m_2 of J Jᵀ with L layers, from S = (S_{D²} S_{WWᵀ})^L."""
    layer = sp.expand(s_transform((mu1, mu2)) * (1 + weights_s1 * z) / sigma_w**2)
    first, second = (sp.factor(layer.coeff(z, power)) for power in (0, 1))
    whole = first**L * (1 + L * sp.factor(second / first) * z)
    return sp.powsimp(moment(1, whole), force=True), sp.powsimp(moment(2, whole), force=True)


def second_moment_ratio(weights_s1: sp.Expr = s1) -> sp.Expr:
    """m_2/m_1² of J Jᵀ."""
    m1, m2 = jacobian_moments(weights_s1)
    return sp.expand(sp.simplify(m2 / m1**2))


def derive() -> Derivation:
    n, sizes = sp.symbols("n_0:4", positive=True), sp.symbols("S_1:3", positive=True)
    increments = {weights: layer_increment(weights).subs({n_in: N, n_out: N, size: N}) for weights in WEIGHTS}
    ratio, rate = second_moment_ratio(), mu2 / mu1**2 - 1 - s1
    lines = (
        Step(
            r"**One layer.** Write $r = \mu_2/\mu_1^2$. Before the first layer the annealed ratio is $x = 1/n_0$. "
            r"With all widths of order $1/\varepsilon$ and x of order $\varepsilon$, the Möbius map of `annealed` "
            r"adds, up to $\varepsilon^2$,",
            sp.Eq(sp.Symbol("x'") - sp.Symbol("x"), layer_increment("gaussian"), evaluate=False),
        ),
        Step(
            r"for Gaussian weights, and for Haar weights, cut from a matrix of size $S = \max(n_\mathrm{in}, "
            r"n_\mathrm{out})$,",
            sp.Eq(sp.Symbol("x'") - sp.Symbol("x"), layer_increment("orthogonal"), evaluate=False),
        ),
        Step(
            r"neither of which depends on x: layers add up. With all widths N the sum is $1/N + (L/N)\,r$ for "
            r"Gaussian and $1/N + (L/N)(r-1)$ for Haar weights, which is the law of the thesis, $s_1$ being $-1$ and "
            r"$0$:",
            1 / N + L / N * (r - 1 - s1),
        ),
        Step(
            r"With other widths, write $r/n_l = 1/n_l + (r-1)/n_l$ and sort: $1/n_L$, then $(r-1)/n_l$ for each "
            r"$D_l$, then for each $W_l$ $1/n_{l-1}$ (Gaussian) or $1/n_{l-1} - 1/\max(n_{l-1}, n_l)$ (Haar)."
        ),
        Step(
            r"**And the VNI?** The annealed ratio is a double sum over nodes. Its diagonal, $i=j$, is the part with "
            r"$r$ of the last layer, $r/n_L$, where the VNI has $1/n_L$, since $\rho_{ii}=1$. What is off the "
            r"diagonal is, to this order, the mean of $\rho_{ij}^2$. It is found by leaving the last r out, and it "
            r"is the effective depth t of S4: so the mean VNI begins with $1/n_L + t$, and S1 exceeds that by "
            r"$(r-1)/n_L$, which does not grow with L.",
        ),
        Step(
            r"**The same by free probability.** $D^2$ has the S-transform $\frac{1}{\mu_1}(1 - (\mu_2/\mu_1^2 - 1)z + "
            r"\ldots)$, and that of $WW^\mathsf{T}$ is $\frac{1}{\sigma_w^2}(1 + s_1 z + \ldots)$ by the definition of "
            r"$s_1$: a Gaussian W has $m_2 = 2\sigma_w^4$ (`wick`, two planar pairings of three), hence $s_1 = -1$; an "
            r"orthogonal one has $WW^\mathsf{T} = \sigma_w^2$, hence $s_1 = 0$."
        ),
        Step(
            r"With $C = J_{l-1}J_{l-1}^\mathsf{T}$, the next $D W C W^\mathsf{T} D$ has the spectrum of $D^2 "
            r"\cdot WCW^\mathsf{T}$, and $WCW^\mathsf{T}$ that of $W^\mathsf{T}W \cdot C$: two products of free "
            r"factors. Hence $S_{JJ^\mathsf{T}} = (S_{D^2} S_{WW^\mathsf{T}})^L$. Its first coefficient is "
            r"$(\sigma_w^2\mu_1)^{-L}$, and the second L times as large relative to it as one layer's. Reading $m_1$ "
            r"and $m_2$ back,",
            sp.Eq(sp.Symbol("m_2") / sp.Symbol("m_1") ** 2, 1 + L * rate, evaluate=False),
        ),
        Step(
            r"and $\mathrm{Tr}\,C^2/(\mathrm{Tr}\,C)^2 = m_2 N/(m_1 N)^2$ is $1/N$ of it: the law of the thesis,",
            1 / N + L / N * rate,
        ),
    )
    claims = (
        *(
            Claim(
                rf"S1, {weights} ($s_1={value}$), L, N, $\mu_1$, $\mu_2$ symbolic",
                1 / N + sp.Sum(increments[weights], (sp.Symbol("l"), 1, L)).doit(),
                (1 / N + L / N * (r - 1 - s1)).subs(s1, value),
            )
            for weights, value in S1.items()
        ),
        *(
            Claim(
                rf"S1 at any widths, {weights}: three layers, summed layer by layer",
                first_order(n, r, weights),
                thesis(n, r, weights),
            )
            for weights in WEIGHTS
        ),
        *(
            Claim(
                rf"S1 at any widths, {weights}: two layers, by differentiating the exact ratio",
                exact_first_order(n[:3], sizes, weights),
                thesis(n[:3], r, weights).subs({sp.Max(n[0], n[1]): sizes[0], sp.Max(n[1], n[2]): sizes[1]}),
            )
            for weights in WEIGHTS
        ),
        *(
            Claim(
                rf"the mean of $\rho_{{ij}}^2$ to first order is the effective depth t of S4, {weights}: three layers",
                off_diagonal(n, r, weights),
                effective_depth(n, r, weights),
            )
            for weights in WEIGHTS
        ),
        *(
            Claim(
                rf"{weights} W: $S=\frac{{1}}{{\sigma_w^2}}(1+s_1z)$ with $s_1={value}$",
                sp.Matrix(weight_transform((sigma_w**2, sigma_w**4 * second))),
                sp.Matrix([1 / sigma_w**2, value]),
            )
            for (weights, value), second in zip(S1.items(), (planar_limit(2, [sp.Integer(1)] * 2), 1), strict=True)
        ),
        Claim(r"$m_1=(\sigma_w^2\mu_1)^L$ by S-transforms", jacobian_moments()[0], (sigma_w**2 * mu1) ** L),
        Claim(r"$m_2/m_1^2=1+L(\mu_2/\mu_1^2-1-s_1)$ by S-transforms", ratio, 1 + L * rate),
        *(
            Claim(
                rf"S1 by S-transforms is S1 by the exact recursion, {weights}",
                second_moment_ratio(sp.Integer(value)) / N,
                1 / N + L * increments[weights].subs(r, mu2 / mu1**2),
            )
            for weights, value in S1.items()
        ),
    )
    return Derivation("S1: the first-order law of the thesis", lines, claims)
