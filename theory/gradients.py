r"""S5, gradients are another matter: they grow as χ^L, which the laws of the nodes do not contain.

**Question.** A gradient δ at the output of a layer becomes Wᵀ D δ at its input. How does its mean square change, and
does the same number enter the laws of the nodes?

**Assumptions.** W is Gaussian or a Haar corner, as in `wick` and `weingarten`; D has independent entries with moments E
D_i = m and E D_i² = μ_1, and is independent of W; δ is fixed, or depends on later layers only (Schoenholz et al. 2017).

**Method.** The mean square is a sum over pairs of entries of W, of which only those in one row contribute. For the
nodes, what is invariant under a rescaling of each row of J is compared with what is not.

**Result.** One layer multiplies the mean square by χ = σ_w² μ_1, at any widths, so L layers multiply it by the product
of their χ_l. ρ_ij is unchanged by any positive factor on each node, and the recursion of S2 contains μ_2/μ_1² alone.

**Source.** Schoenholz et al. 2017 (χ); Chang and Lin 2019, whose point it is that the two challenges differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import sympy as sp

from theory import annealed, weingarten, wick
from theory.derivation import Claim, Derivation, Step
from theory.wick import mu1, n_in, n_out, sigma_w

LAWS: tuple[str, ...] = ("gradient_growth",)

chi = sp.Symbol("chi", positive=True)
size = annealed.size


@cache
def entry_products(weights: str) -> tuple[sp.Expr, sp.Expr]:
    """E W_{ia}² and E W_{ia} W_{ja}, i ≠ j, of one layer.

    Raises
    ------
    ValueError
        If `weights` is neither "gaussian" nor "orthogonal".
    """
    if weights not in annealed.WEIGHTS:
        raise ValueError(f"weights must be one of {annealed.WEIGHTS}, got {weights!r}")
    rows = ((1, 1), (1, 2))
    if weights == "gaussian":
        same, other = (wick.entries(pair, (1, 1), sigma_w**2 / n_in) for pair in rows)
    else:
        gain = sigma_w**2 * size / n_in
        same, other = (gain * weingarten.entries(pair, (1, 1), size) for pair in rows)
    return sp.cancel(same), sp.cancel(other)


def step_back(weights: str, delta: Sequence[sp.Expr], mean_slope: sp.Expr) -> sp.Expr:
    """E ‖Wᵀ D δ‖² = Σ_a Σ_ij E[W_ia W_ja] E[D_i D_j] δ_i δ_j for a fixed δ; all n_in columns a add the same."""
    same, other = entry_products(weights)
    column = sum(
        same * mu1 * d**2 if i == j else other * mean_slope**2 * d * e
        for i, d in enumerate(delta)
        for j, e in enumerate(delta)
    )
    return sp.expand(n_in * column)


def growth(chis: Sequence[sp.Expr]) -> list[sp.Expr]:
    """E‖∂_l‖²/E‖∂_L‖² at x_0, …, x_L: the product of χ over the layers in between (S5)."""
    total = [sp.Integer(1)]
    for factor in reversed(chis):
        total.append(total[-1] * sp.sympify(factor))
    return total[::-1]


def correlation_squared(covariance: sp.Matrix) -> sp.Matrix:
    """ρ_ij² = C_ij²/(C_ii C_jj)."""
    return sp.Matrix(
        covariance.rows,
        covariance.cols,
        lambda i, j: sp.cancel(covariance[i, j] ** 2 / (covariance[i, i] * covariance[j, j])),
    )


def derive() -> Derivation:
    delta, m = sp.symbols("delta_1:4", real=True), sp.Symbol("m", real=True)
    length = sum(d**2 for d in delta)
    r = annealed.r
    scaled = {
        "gaussian": wick.gaussian_recursion(n_in, n_out, mu1, r * mu1**2, sigma_w),
        "orthogonal": weingarten.haar_recursion(n_in, n_out, mu1, r * mu1**2, sigma_w, size=size),
    }
    covariance = sp.Matrix(3, 3, lambda i, j: sp.Symbol(f"C_{min(i, j) + 1}{max(i, j) + 1}", positive=True))
    scales = sp.diag(*sp.symbols("s_1:4", positive=True))
    mean = sp.Function("E")
    p1 = wick.power_sum(1)
    forward = {
        "gaussian": wick.expectation((1,), n_in, n_out, (mu1,), sigma_w),
        "orthogonal": weingarten.expectation((1,), n_in, n_out, size, (mu1,), sigma_w),
    }
    lines = (
        Step(
            r"**One step back.** $\mathbb{E}\,\|W^\mathsf{T}D\delta\|^2 = \sum_a\sum_{ij} "
            r"\mathbb{E}[W_{ia}W_{ja}]\,\mathbb{E}[D_iD_j]\,\delta_i\delta_j$. Two entries of one column pair only "
            r"if their rows agree; for Gaussian weights",
            sp.Eq(mean(sp.Symbol("W_ia") ** 2), entry_products("gaussian")[0], evaluate=False),
        ),
        Step(
            r"and for a corner of a Haar matrix of size S, $\mathbb{E}\,o_{ia}^2 = 1/S$ scaled by $\sigma_w^2 "
            r"S/n_\mathrm{in}$ is the same. There are $n_\mathrm{in}$ columns, so the widths cancel, and the factor "
            r"of one layer is",
            sp.Eq(chi, n_in * entry_products("gaussian")[0] * mu1, evaluate=False),
        ),
        Step(
            r"What arrives is independent of the earlier layers, so the factors multiply: "
            r"$\mathbb{E}\,\|J^\mathsf{T}\delta\|^2 = \chi^L\|\delta\|^2$, or the product of the $\chi_l$ where q, "
            r"and with it $\mu_1$, changes from layer to layer."
        ),
        Step(
            r"The same from the other side: averaged over directions of $\delta$ it is "
            r"$\mathbb{E}\,\mathrm{Tr}\,JJ^\mathsf{T}/n_L$ times $\|\delta\|^2$, and each layer multiplies "
            r"$\mathrm{Tr}\,C$ by $\chi\,n_\mathrm{out}/n_\mathrm{in}$."
        ),
        Step(
            r"**The nodes do not see it.** $\rho_{ij} = C_{ij}/\sqrt{C_{ii}C_{jj}}$ is unchanged when each row of J "
            r"is multiplied by a positive number of its own: by $\sigma_w$, by any power of $\chi$, and by the "
            r"slopes of the last layer. S3 and S4 are laws of $\rho$: what enters them is the ratio of slopes, "
            r"$\mu_2/\mu_1^2$, alone."
        ),
        Step(
            r"The annealed ratio (S2, S1) is a ratio of two traces of the same degree, and its recursion in units of "
            r"$(\sigma_w^2\mu_1)^2 = \chi^2$ contains $r = \mu_2/\mu_1^2$ and the widths only."
        ),
        Step(
            r"So at $\chi = 1$ the mean square of a gradient is the same at every depth, while the VNI grows, at "
            r"first, by $(r - 1 - s_1)/N$ per layer: a network can have lost its nodes and have healthy gradients."
        ),
    )
    claims = (
        *(
            Claim(
                rf"S5, {weights}: $\mathbb{{E}}\,\|W^\mathsf{{T}}D\delta\|^2=\sigma_w^2\mu_1\|\delta\|^2$ at any "
                r"widths (three nodes, any $\delta$ and any mean slope)",
                step_back(weights, delta, m),
                sp.expand(sigma_w**2 * mu1 * length),
            )
            for weights in annealed.WEIGHTS
        ),
        *(
            Claim(
                rf"S5, {weights}, from the other side: $\mathbb{{E}}\,\mathrm{{Tr}}\,C'=\chi\,\frac{{n_\mathrm{{out}}}}"
                r"{n_\mathrm{in}}\,\mathrm{Tr}\,C$",
                forward[weights],
                sigma_w**2 * mu1 * n_out / n_in * p1,
            )
            for weights in annealed.WEIGHTS
        ),
        Claim(
            r"layer by layer: $\chi_{l+1}\cdots\chi_L$ at $x_l$",
            sp.Matrix(growth(sp.symbols("chi_1:4"))),
            sp.Matrix([sp.prod(sp.symbols("chi_1:4")[layer:]) for layer in range(4)]),
        ),
        *(
            Claim(
                rf"S2, {weights}: the recursion in units of $\chi^2$ contains $\mu_2/\mu_1^2$ and the widths only",
                (matrix / (sigma_w**2 * mu1) ** 2).applyfunc(sp.cancel),
                matrix.subs({sigma_w: 1, mu1: 1}),
            )
            for weights, matrix in scaled.items()
        ),
        Claim(
            r"S3, S4: $\rho_{ij}^2$ is unchanged by any positive factor on each node",
            correlation_squared(scales * covariance * scales),
            correlation_squared(covariance),
        ),
    )
    return Derivation("S5: gradients, which the nodes do not see", lines, claims)
