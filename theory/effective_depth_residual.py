r"""S8, the effective depth of residual networks: what a block adds to it, and what LayerNorm does.

**Question.** By how much does the clock of `universal` advance in a residual block x → s x + branch? How does that add
up with depth, with LayerNorm and without?

**Assumptions.** The Jacobian B of a branch is fresh in each block, and as random if it is rotated from either side; a =
E Tr BBᵀ/(N s²). Widths go to infinity with t fixed. Neglected are a block's terms of order 1/N²: over L ~ N blocks a
relative error of order 1/N, which the tests measure where the law is exact (`hyperbolic.residual_fan_in`), and else by
samples: for t = ½, a = 1, m = N, linear, ReLU, tanh and GELU branches, and LayerNorm or none, E ρ² is R(t) − 0.4/N to
R(t) + 0.3/N with Gaussian weights, and R(t) + 0.2/N to R(t) + 1.4/N with Haar weights.

**Method.** J = (s + B_L) ⋯ (s + B_1), and two rows of it meet B from the right: R ← R(s + B). Of their Gram matrix the
new mean and covariance follow from contractions over the entries of B (`weingarten`, `wick`), and depend on the old
one alone, because B is rotated at will. `effective_depth` turns them into a step of the clock.

**Result.** A block adds (2a/N + a² t_B)/(1 + a)², t_B the depth of its branch. a → ∞ is the branch alone, a → 0 costs
2a/N. With LN before the branch a_l → κ/l, κ = σ_1² μ_1/E φ², and t ~ (2κ/N) ln L; L branches of variance c/L have t →
2c/N.

**Source.** Residual networks of shrinking branches: Hayou and Yang 2023, Li and Nica 2023. Weingarten's formula:
Collins and Śniady 2006. The formula of a block is ours.
"""

from __future__ import annotations

from itertools import product

import sympy as sp

from theory import weingarten, wick
from theory.derivation import Claim, Derivation, Step
from theory.effective_depth import depth_of, gaussian_layer_depth
from theory.wick import mu1, mu2

LAWS: tuple[str, ...] = ("pre_norm_slope", "residual_block_depth")

N, m, s, a, t_B = sp.symbols("N m s a t_B", positive=True)
kappa, v_0, b, c, L = sp.symbols("kappa v_0 b c L", positive=True)


# Blocks.


def closing() -> tuple[sp.Matrix, sp.Matrix]:
    """R(1 + B) for rows R = [T 0] O, and T × the first two rows of 1 + O B Oᵀ × O; three nodes, O turns two of them."""
    half = sp.symbols("h", real=True)  # the tangent of half the angle
    cosine, sine = (1 - half**2) / (1 + half**2), 2 * half / (1 + half**2)
    turn = sp.Matrix([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    root, branch = sp.Matrix(2, 2, sp.symbols("T_11 T_12 T_21 T_22")), sp.Matrix(3, 3, sp.symbols("b_1:10"))
    rows = root.row_join(sp.zeros(2, 1)) * turn * (sp.eye(3) + branch)
    new = root * (sp.eye(3) + turn * branch * turn.T)[:2, :] * turn
    return rows.applyfunc(sp.cancel), new.applyfunc(sp.cancel)


def branch_entries(rows: tuple[int, int], columns: tuple[int, int]) -> sp.Expr:
    """E B_ij B_pq for B = U Λ V, U and V Haar, in terms of a = Σ Λ²/(N s²)."""
    # Σ_kl Λ_k Λ_l E[U_ik U_pl] E[V_kj V_lq]: only k = l is left.
    return a * s**2 * N * weingarten.entries(rows, (0, 0), N) * weingarten.entries((0, 0), columns, N)


def overlap_covariance() -> tuple[sp.Matrix, sp.Matrix]:
    """Of X = R B Rᵀ, all E X_ij X_pq, and those of H = X + Xᵀ; with R = [T 0], which may be had by rotation.

    T is any 2 × 2 matrix. Its Gram matrix G = TTᵀ is what the result depends on.
    """
    root = sp.Matrix(2, 2, sp.symbols("T_11 T_12 T_21 T_22"))
    index = list(product(range(2), repeat=2))

    def mean_of(first: tuple[int, int], second: tuple[int, int]) -> sp.Expr:
        (i, j), (x, y) = first, second
        return sum(
            root[i, p] * root[j, q] * root[x, u] * root[y, v] * branch_entries((p, u), (q, v))
            for (p, q), (u, v) in product(index, repeat=2)
        )

    one = sp.Matrix(4, 4, lambda x, y: sp.expand(mean_of(index[x], index[y])))
    swap = sp.Matrix(4, 4, lambda x, y: int(index[x] == index[y][::-1]))
    both = (sp.eye(4) + swap) * one * (sp.eye(4) + swap)
    return one, both.applyfunc(sp.expand)


def stated_overlap() -> tuple[sp.Matrix, sp.Matrix]:
    """a s² G ⊗ G/N, and 2a s² (G_ip G_jq + G_iq G_jp)/N."""
    root = sp.Matrix(2, 2, sp.symbols("T_11 T_12 T_21 T_22"))
    gram, index = root * root.T, list(product(range(2), repeat=2))
    straight = sp.Matrix(4, 4, lambda x, y: gram[index[x][0], index[y][0]] * gram[index[x][1], index[y][1]])
    crossed = sp.Matrix(4, 4, lambda x, y: gram[index[x][0], index[y][1]] * gram[index[x][1], index[y][0]])
    return a * s**2 / N * straight, 2 * a * s**2 / N * (straight + crossed)


def square_moments() -> tuple[sp.Expr, sp.Expr]:
    """Scale and spread of C = BBᵀ = U Λ² Uᵀ: E C_ij C_pq = scale δ_ij δ_pq + spread (δ_ip δ_jq + δ_iq δ_jp).

    In terms of p_2 = E Tr C² and p_1² = E (Tr C)², by Weingarten's formula.
    """
    p_1, p_2 = wick.power_sum(1), wick.power_sum(2)

    def mean_of(indices: tuple[int, int, int, int]) -> sp.Expr:
        same, other = (weingarten.entries(indices, columns, N) for columns in ((0, 0, 0, 0), (0, 0, 1, 1)))
        return sp.factor(p_2 * same + (p_1**2 - p_2) * other)

    return mean_of((0, 0, 1, 1)), mean_of((0, 1, 0, 1))


def branch_depth(square: sp.Expr, squared: sp.Expr) -> sp.Expr:
    """t_B = spread/scale, to leading order, of a branch of given E Tr C² and E (Tr C)²."""
    of_scale, of_spread = square_moments()
    at = {wick.power_sum(2): square, wick.power_sum(1): sp.sqrt(squared)}
    return sp.factor((of_spread / of_scale).subs(at))


def two_matrices() -> sp.Expr:
    """`branch_depth` of W_2 D W_1, W_1 of m × N and W_2 of N × m, by Wick's formula."""
    one = wick.gaussian_recursion(N, m, mu1, mu2)
    after = wick.gaussian_recursion(m, N) * one * sp.Matrix([N, N**2])
    return branch_depth(*after)


def block_depth(ratio: sp.Expr = a, branch: sp.Expr = t_B, width: sp.Expr = N) -> sp.Expr:
    """What a block adds to t: mean and covariance of G′ = s²G + s(X + Xᵀ) + R BBᵀ Rᵀ.

    The terms of odd order in B have the mean 0, as −B is as random as B. RBBᵀRᵀ has the mean a s² G and the spread
    a² s⁴ t_B.
    """
    of_block = s**2 * 2 * ratio * s**2 / width + (ratio * s**2) ** 2 * branch
    return sp.factor(depth_of(s**2 * (1 + ratio), sp.Integer(0), of_block))


# LayerNorm.


def layer_norm_jacobian() -> tuple[sp.Matrix, sp.Matrix, sp.Matrix]:
    """σ times the Jacobian of LN on three nodes, 1 − 11ᵀ/3 − zzᵀ/3 with z = LN(x), and what it makes of 1 and of x."""
    x = sp.Matrix(sp.symbols("x_1:4", real=True))
    centred = x - sp.ones(3, 1) * sum(x) / 3
    variance, value = (centred.T * centred)[0] / 3, sp.symbols("variance", positive=True)
    z = centred / sp.sqrt(variance)
    derivative = (sp.sqrt(variance) * z.jacobian(x)).subs(variance, value).subs(value, variance).applyfunc(sp.cancel)
    projection = (sp.eye(3) - sp.ones(3, 3) / 3 - z * z.T / 3).applyfunc(sp.cancel)
    return derivative, projection, (derivative * sp.ones(3, 1).row_join(x)).applyfunc(sp.cancel)


def pre_norm_ratio(block: sp.Expr = L) -> sp.Expr:
    """a_l where LN stands before the branch: the stream's mean square grows by b = β²σ_2² E φ² a block, from v_0.

    LN divides the Jacobian of the branch, of square β²σ_1²σ_2² μ_1 = κb, by the stream's v_{l−1}.
    """
    stream, number = sp.Function("v"), sp.symbols("number", integer=True)
    grown = sp.rsolve(stream(number + 1) - stream(number) - b, stream(number), {stream(0): v_0})
    return kappa * b / grown.subs(number, block - 1)


def pre_norm_sum(depth: sp.Expr = L) -> sp.Expr:
    """Σ_l a_l over the first blocks: κ(ψ(L + v_0/b) − ψ(v_0/b))."""
    return kappa * (sp.digamma(depth + v_0 / b) - sp.digamma(v_0 / b))


def pre_norm_slope(weighted: sp.Expr = kappa, width: sp.Expr = N) -> sp.Expr:
    """dt/d ln L as L → ∞: 2a_l/N for each block, a_l → κ/l; other terms are of order a_l² and have a finite sum."""
    at_block = sp.limit(pre_norm_ratio() * L, L, sp.oo)
    first_order = sp.diff(block_depth(a, t_B, width), a).subs(a, 0)
    return first_order * at_block.subs(kappa, weighted)


def derive() -> Derivation:
    """Two rows, the moments of a branch, a block, and what normalization does."""
    rows, walked = closing()
    overlap, both = overlap_covariance()
    stated_one, stated_both = stated_overlap()
    derivative, projection, removed = layer_norm_jacobian()
    gamma = sp.symbols("gamma", positive=True)
    block, stated_block = block_depth(), (2 * a / N + a**2 * t_B) / (1 + a) ** 2
    p_1, p_2 = wick.power_sum(1), wick.power_sum(2)
    scale_c, spread_c = square_moments()
    steps = (
        Step(
            "**Blocks.** Rows of $J=(s+B_L)\\cdots(s+B_1)$ meet the last block first and are multiplied from the "
            "right, $R\\leftarrow R(s+B)$. With $R=[T\\;0]O$ the new Gram matrix is $TST^T$, $S$ that of two rows of "
            "$s+OBO^T$, and $OBO^T$ is as random as $B$: two rows are a chain of their own. From the left, "
            "$J\\leftarrow(s+B)J$, a row would get a share of all others."
        ),
        Step(
            "$B=U\\Lambda V$ with Haar $U$, $V$: entries are uncorrelated, of variance $as^2/N$. So $X=RBR^T$ has the "
            "covariance $as^2\\,G\\otimes G/N$, and in $G'=s^2G+s(X+X^T)+RBB^TR^T$ the middle term has the spread "
            "$2as^4/N$. $BB^T=U\\Lambda^2U^T$ has, by Weingarten's formula, the spread",
            sp.Eq(sp.Symbol("spread"), spread_c, evaluate=False),
        ),
        Step(
            "which relative to its squared mean is $t_B$, as if the branch were a network: $1/N$ for one Gaussian "
            "matrix, 0 for a Haar matrix, $1/N+r/m$ for $W_2DW_1$, $r=\\mu_2/\\mu_1^2$. Products of the two are odd "
            "in $B$ and have no mean. Together, S8:",
            sp.Eq(sp.Symbol("dt"), stated_block, evaluate=False),
        ),
        Step(
            "**LayerNorm.** By differentiation its Jacobian is $(1-\\mathbf{1}\\mathbf{1}^T/N-zz^T/N)/\\sigma$, "
            "$z=\\mathrm{LN}(x)$: the mean and the signal are removed, the signal mode with them, and the rest is "
            "rescaled, which no correlation sees. A Haar frame cut from $N$ to $N-2$ columns would cost "
            "$1/(N-2)-1/N$, of the order that is neglected."
        ),
        Step(
            "**Pre-LN.** The stream's variance grows by $b=\\beta^2\\sigma_2^2E\\varphi^2$ a block, and LN divides the "
            "branch by it:",
            sp.Eq(sp.Symbol("a_l"), sp.factor(pre_norm_ratio(sp.Symbol("l", positive=True))), evaluate=False),
        ),
        Step(
            "so that $\\sum_la_l=\\kappa(\\psi(L+v_0/b)-\\psi(v_0/b))\\sim\\kappa\\ln L$, while terms of second order "
            "in $a_l$ have a finite sum. The effective depth grows as $(2\\kappa/N)\\ln L$."
        ),
    )
    claims = (
        Claim("Two rows close: $R(1+B)$ is $T$ times two rows of $1+OBO^T$, turned by $O$ (three nodes)", rows, walked),
        Claim("$RBR^T$ has the covariance $as^2\\,G\\otimes G/N$", overlap, stated_one),
        Claim("and $RBR^T+RB^TR^T$ the spread $2as^2/N$", both, stated_both),
        Claim(
            "$C=BB^T$: its scale and spread have the traces $E\\,(\\mathrm{Tr}\\,C)^2$ and $E\\,\\mathrm{Tr}\\,C^2$",
            sp.Matrix([N**2 * scale_c + 2 * N * spread_c, N * scale_c + (N**2 + N) * spread_c]).applyfunc(sp.cancel),
            sp.Matrix([p_1**2, p_2]),
        ),
        Claim(
            "One Gaussian matrix: $t_B=1/N$",
            branch_depth(*(wick.gaussian_recursion(N, N) * sp.Matrix([N, N**2]))),
            1 / N,
        ),
        Claim("One Haar matrix: $t_B=0$", branch_depth(N, N**2), sp.Integer(0)),
        Claim(
            "$W_2DW_1$, $m=\\gamma N$: $N\\,t_B\\to1+(\\mu_2/\\mu_1^2)/\\gamma$",
            sp.limit(sp.cancel(N * two_matrices().subs(m, gamma * N)), N, sp.oo),
            1 + mu2 / mu1**2 / gamma,
        ),
        Claim("S8: a block adds $(2a/N+a^2t_B)/(1+a)^2$", block, stated_block),
        Claim("$a\\to\\infty$: the branch alone", sp.limit(block, a, sp.oo), t_B),
        Claim("$a\\to0$: a block costs $2a/N$", sp.diff(block, a).subs(a, 0), 2 / N),
        Claim("$L$ branches of variance $c/L$: $t\\to2c/N$", sp.limit(L * block.subs(a, c / L), L, sp.oo), 2 * c / N),
        Claim(
            "One Gaussian matrix: a layer of fan-in $N(1+a)^2/(a(a+2))$, as `hyperbolic.residual_fan_in` says",
            block_depth(a, 1 / N),
            (1 - (1 + a) ** -2) / N,
        ),
        Claim("LN: $\\sigma\\times$ its Jacobian is $1-\\mathbf{1}\\mathbf{1}^T/N-zz^T/N$", derivative, projection),
        Claim("which takes $\\mathbf{1}$ and $x$ to zero", removed, sp.zeros(3, 2)),
        Claim(
            "A frame cut from $N$ to $N-2$ columns costs $2/N^2$ to leading order",
            sp.limit(N**2 * (gaussian_layer_depth(N - 2) - gaussian_layer_depth(N)).subs(mu2, mu1**2), N, sp.oo),
            sp.Integer(2),
        ),
        Claim(
            "Pre-LN: $\\sum_la_l=\\kappa(\\psi(L+v_0/b)-\\psi(v_0/b))$, its increment",
            sp.expand_func(pre_norm_sum(L + 1) - pre_norm_sum(L)),
            pre_norm_ratio(L + 1),
        ),
        Claim("and grows like $\\kappa\\ln L$", sp.limit(pre_norm_sum().diff(L) * L, L, sp.oo), kappa),
        Claim("Pre-LN: $dt/d\\ln L\\to2\\kappa/N$", pre_norm_slope(), 2 * kappa / N),
    )
    return Derivation("S8: what a residual block adds to the effective depth", steps, claims)
