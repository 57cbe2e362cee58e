r"""S3, the exact mean VNI at any widths and depth: linear and ReLU networks, Gaussian and Haar weights, dropout.

**Question.** What is the mean VNI of a network of finite widths and depth, exactly?

**Assumptions.** Two nodes of the last layer are two rows of W_L D_{L−1} W_{L−1} ⋯ D_1 W_1, with Gaussian or Haar
weights. D_l is the identity, or a mask of independent fair (ReLU) or biased (dropout) coins, independent of the
weights: that this is so for ReLU, with biases too, is proved in `hyperbolic.masks`. Widths are any integers.

**Method.** The Gram matrix of the two rows walks on the hyperbolic plane (`hyperbolic.walk`). In the upper half-plane
its height is the ratio of the diagonal entries of its triangular root. One layer multiplies the roots, so heights
multiply, and E Y^{1/2+iν} is a product of one factor per layer, from which E ρ² is recovered (`hyperbolic.transforms`).

**Result.** E VNI = 1/n_L + (1 − 1/n_L)(1 − S), S = ∫_0^∞ ν tanh(πν) ĥ(ν) Π_l m_l(ν) dν, with m_n for Gaussian weights
of fan-in n, m_{n_in}/m_{max(n_in, n_out)} for Haar weights, and the mean of m_k over the number of live nodes k after a
mask. A linear residual block is a layer of random fan-in too (S8, `hyperbolic.residual_fan_in`). A Gaussian layer of
fan-in n is the diffusion of S4, run for a random time Σ_j τ_j with exponential τ_j of means 2/((n+2j)(n+2j−1)).

**Source.** Spherical functions and transforms: Helgason 1984, chapter IV. Wishart matrices and their truncations:
Muirhead 1982, chapter 3.
"""

from __future__ import annotations

from collections.abc import Sequence

import mpmath as mp
import sympy as sp

from theory.derivation import Claim, Derivation, Step
from theory.hyperbolic.masks import FAIR_SIGN, live_nodes, signs_and_invariants
from theory.hyperbolic.transforms import (
    CASIMIR,
    HALF,
    QUARTER,
    chi_moment,
    factor,
    gaussian_transform,
    n,
    nu,
    one_layer_integral,
    sech_integral,
    transform_ratio,
)
from theory.hyperbolic.walk import y

LAWS: tuple[str, ...] = ("exact_vni", "exact_vni_complement")

m = sp.symbols("m", positive=True)
S = sp.Symbol("S", positive=True)


def frame_transform(columns: sp.Expr, size: sp.Expr) -> sp.Expr:
    """Transform of two rows of a Haar matrix cut to some columns: m_k/m_n.

    Gaussian rows are X = T F, a Bartlett root T times an independent uniform frame F. Cut to k columns, X is Gaussian
    of fan-in k and F has a root T′: the heights obey Y(X) = Y(T) Y(T′), so m_k = m_n · (transform of T′).
    """
    return gaussian_transform(columns) / gaussian_transform(size)


def mean_vni(live: sp.Expr, complement: sp.Expr = S) -> sp.Expr:
    """E VNI of that many live nodes: each is paired with itself, and with the others at E ρ² = 1 − S."""
    return sp.expand((live + live * (live - 1) * (1 - complement)) / live**2)


def masked_transform(width: int, probability: sp.Expr = HALF) -> sp.Expr:
    """E m_k over k ~ Bin(width, probability) given k ≥ 1; m_1 = 0, since two rows of length one are parallel."""
    weights = [sp.binomial(width, k) * probability**k * (1 - probability) ** (width - k) for k in range(width + 1)]
    mean = sum(weights[k] * gaussian_transform(sp.Integer(k)) for k in range(2, width + 1))
    return mean / (1 - weights[0])


# A layer as a random time.


def log_transform_series(order: int) -> sp.Expr:
    """ln m_n to 1/n^order, by ln Γ(z + α) ~ (z + α − ½) ln z − z + ½ ln 2π + Σ_j (−1)^{j+1} B_{j+1}(α)/(j(j+1)z^j), z =
    n/2.

    The four shifts α add up so that all terms before the sum cancel.
    """
    above = (-QUARTER + sp.I * nu / 2, -QUARTER - sp.I * nu / 2)
    below = (sp.Integer(0), -HALF)
    total = sp.Integer(0)
    for j in range(1, order + 1):
        bernoulli = sum(sp.bernoulli(j + 1, shift) for shift in above) - sum(sp.bernoulli(j + 1, s) for s in below)
        total += (-1) ** (j + 1) * bernoulli / (j * (j + 1)) * (2 / n) ** j
    return sp.expand(total)


def random_time_mean(fan_in: sp.Expr = n) -> sp.Expr:
    """Mean of the time Σ_j τ_j for which a Gaussian layer runs the diffusion: ψ(n/2) − ψ((n−1)/2).

    The partial fractions 2/((n+2j)(n+2j−1)) = 2/(n+2j−1) − 2/(n+2j) summed over j.
    """
    return sp.digamma(fan_in / 2) - sp.digamma((fan_in - 1) / 2)


def mean_log_height(fan_in: sp.Expr = n) -> sp.Expr:
    """E ln Y² of a layer, ½ the derivative of the moments: E ln(1 − ρ²) for one layer, and additive over layers."""
    p = sp.symbols("p")
    log_square = [2 * sp.diff(sp.log(chi_moment(q, p)), p).subs(p, 0) for q in (fan_in - 1, fan_in)]
    return sp.simplify(log_square[0] - log_square[1])


# In numbers.


def gaussian_complement(fan_ins: Sequence[int]) -> mp.mpf:
    """1 − E ρ² of Gaussian layers by S3."""
    return sech_integral(lambda frequency: mp.fprod(factor(fan_in, frequency) for fan_in in fan_ins))


def derive() -> Derivation:
    """S3, and each layer as the diffusion of S4 at a random time."""
    ratio, series = transform_ratio(), log_transform_series(3)
    log_cosh = -2 * sp.log(sp.cosh(y))
    M = sp.Function("M")
    live = live_nodes(signs_and_invariants((1, 2), FAIR_SIGN))
    hat = sp.Symbol(r"\hat{h}")
    steps = (
        Step(
            "Two rows of Gaussian weights of fan-in $n$ are $T F$: a frame $F$ of two orthonormal rows, uniform and "
            "independent of the Bartlett root $T = \\begin{pmatrix}a&0\\\\g&b\\end{pmatrix}$, $a\\sim\\chi_n$, "
            "$b\\sim\\chi_{n-1}$, $g\\sim N(0,1)$. $F$ times the next Gaussian matrix is again two rows of Gaussian "
            "weights, independent of $T$. So the two rows of the Jacobian are $T_L T_{L-1}\\cdots T_1 F_1$, one "
            "independent triangular factor per weight matrix."
        ),
        Step(
            "Diagonal entries of triangular matrices multiply. With $Y = b/a$ the height of $TT^T$ in the upper "
            "half-plane (`hyperbolic.walk`), $Y = Y_L\\cdots Y_1$, and the means of $Y^{1/2+i\\nu}$ multiply: "
            "$M(\\nu) = \\prod_l m_l(\\nu)$. The walk is isotropic, so $1 - E\\rho^2 = E[1/\\cosh r]$, and by the "
            "inversion of `hyperbolic.transforms`",
            sp.Eq(S, sp.Integral(nu * sp.tanh(sp.pi * nu) * hat * M(nu), (nu, 0, sp.oo)), evaluate=False),
        ),
        Step(
            "A layer of $n_L$ nodes has $n_L$ pairs of a node with itself, for which $\\rho=1$, and $n_L(n_L-1)$ other "
            "pairs. This is S3:",
            sp.Eq(sp.Symbol(r"E\,VNI"), mean_vni(sp.Symbol("n_L", positive=True)), evaluate=False),
        ),
        Step(
            "Haar weights. A Gaussian pair of rows is $T F$. Cut to $k$ of its $n$ columns it is Gaussian of fan-in "
            "$k$, while $F$, cut, has a root $T'$ of its own: heights multiply, $m_k = m_n\\cdot m'$. So a Haar step "
            "has the transform $m_{n_{in}}/m_{\\max(n_{in},n_{out})}$, one if it does not widen."
        ),
        Step(
            "ReLU. By `hyperbolic.masks` the Jacobian is, up to signs of its rows, a product of independent matrices "
            "and masks of fair coins, with biases or without. A mask with $k$ live nodes makes the fan-in $k$, and "
            "$m_n$ becomes $E\\,m_k$ over $k\\sim\\mathrm{Bin}(n,\\tfrac12)$ given $k\\ge1$, with $m_1=0$; for $n=2$,",
            sp.Eq(sp.Symbol(r"E\,m_k"), masked_transform(2), evaluate=False),
        ),
        Step(
            "The inputs are not masked. Of the last layer only live nodes count, so $1/n_L$ becomes $E[1/k\\mid "
            "k\\ge1]$. Dropout: the same with $\\mathrm{Bin}(n,p)$."
        ),
        Step(
            "Reading a layer as time. $\\Gamma(z+1)=z\\Gamma(z)$ gives the ratio of neighbours",
            sp.Eq(sp.Symbol(r"m_{n+2}/m_n"), sp.factor(ratio), evaluate=False),
        ),
        Step(
            "and $m_n\\to1$, so $m_n(\\nu) = \\prod_{j\\ge0}[1 + (\\nu^2+\\tfrac14)/((n+2j)(n+2j-1))]^{-1}$. Brownian "
            "motion has the transform $e^{-(\\nu^2+1/4)t/2}$, and at an exponential time of mean $\\tau$ it has "
            "$[1+(\\nu^2+\\tfrac14)\\tau/2]^{-1}$: a layer is the diffusion, run for a sum of exponential times of "
            "means $2/((n+2j)(n+2j-1))$, in total",
            sp.Eq(
                sp.Symbol(r"E\,\tau"),
                random_time_mean().replace(sp.polygamma, lambda _, w: sp.Function("psi")(w)),
                evaluate=False,
            ),
        ),
        Step(
            "One sees it also in $E\\ln(1-\\rho^2)$, which the diffusion takes down at rate exactly 1, and a layer by "
            "exactly this much. In wide layers, by Stirling's series,",
            sp.Eq(sp.Symbol(r"\ln m_n"), sum(sp.factor(series.coeff(n, -j)) / n**j for j in (1, 2)), evaluate=False),
        ),
        Step(
            "so $L$ layers with $t=\\sum_l1/n_l$ fixed have $M\\to e^{-(\\nu^2+1/4)t/2}$, which is S4. The term in "
            "$1/n^2$ is the first correction: $t$ is $\\sum_lE\\tau_l$, which is $\\sum_l1/n_l$ plus $O(1/n^2)$ per "
            "layer."
        ),
    )
    claims = (
        Claim(
            "One layer of fan-in $n$: $E\\rho^2=1/n$ exactly, so $E\\,\\mathrm{VNI}=1/m+(1-1/m)/n$ over $m$ nodes",
            mean_vni(m, one_layer_integral()),
            1 / m + (1 - 1 / m) / n,
        ),
        Claim("A Haar matrix that is not cut makes no step", frame_transform(n, n), sp.Integer(1)),
        Claim(
            "A Gaussian layer is a Haar layer cut from a larger one, and a root: $m_k=m_n(m_k/m_n)$",
            frame_transform(m, n) * gaussian_transform(n),
            gaussian_transform(m),
        ),
        Claim(
            "ReLU, two nodes: the fan-in is 2 with the probability of two live nodes of one or more, by enumeration "
            "with biases",
            masked_transform(2),
            live[2] / (live[1] + live[2]) * gaussian_transform(sp.Integer(2)),
        ),
        Claim(
            "$m_n = \\prod_{j\\ge0}[1 + (\\nu^2+\\tfrac14)/((n+2j)(n+2j-1))]^{-1}$: its ratio $m_{n+2}/m_n$",
            ratio,
            1 + CASIMIR / (n * (n - 1)),
        ),
        Claim(
            "$\\ln m_n = -\\tfrac12(\\nu^2+\\tfrac14)/n + O(1/n^2)$, so $m_n^{tn}\\to e^{-(\\nu^2+1/4)t/2}$: S4",
            series.coeff(n, -1),
            -CASIMIR / 2,
        ),
        Claim(
            "The mean time of a layer: its values at $n$ and $n+2$ differ by the first term, $2/(n(n-1))$",
            random_time_mean() - random_time_mean(n + 2).replace(sp.polygamma, _one_step_down),
            2 / (n * (n - 1)),
        ),
        Claim("A layer lowers $E\\ln(1-\\rho^2)$ by its mean time", mean_log_height(), -random_time_mean()),
        Claim(
            "and the diffusion lowers it at rate exactly 1",
            -sp.diff(log_cosh, y, 2) / 2 - sp.tanh(y) * sp.diff(log_cosh, y) / 2,
            sp.Integer(1),
        ),
        Claim(
            "In wide layers a Haar step $m_k/m_n$ is the diffusion run for $1/k-1/n$, as `universal` says",
            sp.simplify(series.coeff(n, -1) * (1 / m - 1 / n)),
            -CASIMIR / 2 * (1 / m - 1 / n),
        ),
    )
    return Derivation("S3: the exact mean VNI, heights multiply", steps, claims)


def _one_step_down(order: sp.Expr, z: sp.Expr) -> sp.Expr:
    """ψ(z) = ψ(z − 1) + 1/(z − 1)."""
    return sp.polygamma(order, z - 1) + 1 / (z - 1)
