r"""S4, the effective depth t: what a layer adds to it.

**Question.** By how much does the clock of `universal` advance in one layer, Gaussian or Haar, with slopes D = diag φ′
between layers?

**Assumptions.** D has independent entries, μ_k = E φ′^{2k}, that are independent of what they multiply. Exact for ReLU
(`hyperbolic.masks`), this is an assumption for other activations. Widths go to infinity with t fixed.

**Method.** The correlation of a Gram matrix of given mean and small covariance is expanded to second order. A
covariance β(G_ip G_jq + G_iq G_jp) about a mean m G makes one step dt = β/m² of the diffusion of `universal`;
fluctuations of the common scale leave a correlation alone.

**Result.** t adds over weight matrices. A Gaussian layer adds (μ_2/μ_1²)/n_in, and a Haar layer 1/max(n_in, n_out)
less.

**Source.** The sample correlation: Muirhead 1982, section 5.1. Depth over width as a clock: Hanin and Nica 2020; Li,
Nica and Roy 2022.
"""

from __future__ import annotations

from functools import cache
from itertools import product

import sympy as sp

from theory.derivation import Claim, Derivation, Step
from theory.universal import generator, n, rho

LAWS: tuple[str, ...] = ("effective_depth", "layer_depth")

mu1, mu2 = sp.symbols("mu_1 mu_2", positive=True)
mean, scale, spread = sp.symbols("mean scale spread", positive=True)


# The clock.


@cache
def correlation_step() -> tuple[sp.Expr, sp.Expr]:
    """E[ρ′ − ρ] and Var ρ′ of a Gram matrix S of mean `mean` Σ and small covariances, to first order in them.

    Cov(S_ij, S_pq) = scale Σ_ij Σ_pq + spread (Σ_ip Σ_jq + Σ_iq Σ_jp); ρ′ = S_12/√(S_11 S_22) to second order.
    """
    sigma = sp.Matrix([[1, rho], [rho, 1]])
    sums = list(zip(sp.symbols("S_11 S_12 S_22", positive=True), ((0, 0), (0, 1), (1, 1)), strict=True))
    correlation = sums[1][0] / sp.sqrt(sums[0][0] * sums[2][0])
    at_mean = {variable: mean * sigma[pair] for variable, pair in sums}
    drift = variance = sp.Integer(0)
    for (u, (i, j)), (v, (p, q)) in product(sums, repeat=2):
        symmetrised = sigma[i, p] * sigma[j, q] + sigma[i, q] * sigma[j, p]
        covariance = scale * sigma[i, j] * sigma[p, q] + spread * symmetrised
        drift += sp.diff(correlation, u, v).subs(at_mean) * covariance / 2
        variance += (sp.diff(correlation, u) * sp.diff(correlation, v)).subs(at_mean) * covariance
    return sp.factor(sp.simplify(drift)), sp.factor(sp.simplify(variance))


def depth_of(at_mean: sp.Expr, at_scale: sp.Expr, at_spread: sp.Expr) -> sp.Expr:
    """The dt for which `correlation_step` is one step of the diffusion."""
    step = sp.cancel(correlation_step()[1] / (1 - rho**2) ** 2)
    return step.subs({mean: at_mean, scale: at_scale, spread: at_spread}, simultaneous=True)


# Layers.


def gaussian_layer_depth(fan_in: sp.Expr = n) -> sp.Expr:
    """What a Gaussian layer adds to t, its pairs weighted by D_k², with means μ_1 and E D⁴ = μ_2.

    The sums S_ij = Σ_k D_k² u_ik u_jk have means n μ_1 Σ_ij and covariances n(μ_2 E[u_i u_j u_k u_l] − μ_1² Σ_ij Σ_kl),
    the fourth moment by Isserlis.
    """
    return depth_of(fan_in * mu1, fan_in * (mu2 - mu1**2), fan_in * mu2)


def haar_layer_depth(n_in: sp.Expr, n_out: sp.Expr) -> sp.Expr:
    """What a Haar layer adds to t.

    With N = max(n_in, n_out), two Gaussian rows are X = T F: the Bartlett root T, which adds 1/N, times an independent
    uniform frame F of two orthonormal rows. X D, of n_in live columns, adds what a Gaussian layer does, so the Haar
    part F D adds the difference.
    """
    return gaussian_layer_depth(n_in) - gaussian_layer_depth(sp.Max(n_in, n_out)).subs(mu2, mu1**2)


def derive() -> Derivation:
    """The clock, Gaussian layers and Haar layers."""
    mean_step = generator(rho)
    variance_step = generator(rho**2) - 2 * rho * mean_step
    drift, variance = correlation_step()
    n_in, n_out = sp.symbols("n_in n_out", positive=True)
    haar = haar_layer_depth(n_in, n_out)
    steps = (
        Step(
            "**The clock.** A Gram matrix of mean $mG$ and covariance $\\beta(G_{ip}G_{jq}+G_{iq}G_{jp})$ has a "
            "correlation that makes one step of the diffusion of `universal`; fluctuations of the common scale leave "
            "it alone. The step is",
            sp.Eq(sp.Symbol("dt"), sp.Symbol("beta") / sp.Symbol("m") ** 2, evaluate=False),
        ),
        Step(
            "**Layers.** A Gaussian layer has $m=n\\mu_1$ and $\\beta=n\\mu_2$. Gaussian rows are a Bartlett root, "
            "which alone adds $1/N$, times a Haar frame of size $N=\\max(n_{in},n_{out})$. What is left is the Haar "
            "layer's:",
            sp.Eq(sp.Symbol("dt"), haar, evaluate=False),
        ),
    )
    claims = (
        Claim(
            "The drift of $\\rho$ is $\\beta/m^2$ times that of `universal`",
            drift * mean**2 / spread,
            mean_step,
        ),
        Claim("and so is its variance", variance * mean**2 / spread, variance_step),
        Claim("A Gaussian layer adds $(\\mu_2/\\mu_1^2)/n$", gaussian_layer_depth(), mu2 / mu1**2 / n),
        Claim(
            "A Haar layer adds $(\\mu_2/\\mu_1^2)/n_{in} - 1/\\max(n_{in}, n_{out})$",
            haar,
            mu2 / mu1**2 / n_in - 1 / sp.Max(n_in, n_out),
        ),
    )
    return Derivation("S4: what a layer adds to the effective depth", steps, claims)
