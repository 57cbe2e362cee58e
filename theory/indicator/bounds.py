r"""The indicator: what the VNI is, between which bounds it lies, and what it counts.

**Question.** A layer has N nodes with correlation coefficients ρ_ij. The vanishing node indicator is VNI = (1/N²) Σ_ij
ρ_ij². Which values can it take, and what does it count?

**Assumptions.** None but ρ_ii = 1 and that the matrix ρ is symmetric and positive semidefinite, as every correlation
matrix is.

**Method.** Sums of squares (Lagrange's identity) and power sums of the eigenvalues of ρ, for any number of them.

**Result.** 1/N ≤ VNI ≤ 1, with equality for uncorrelated and for identical (or opposite) nodes. For m equal groups of
identical nodes, uncorrelated between groups, 1/VNI = m. It is the participation ratio of ρ.

**Source.** Chang and Lin 2019, who define the VNI and its bounds.
"""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp

from theory.derivation import Claim, Derivation, Step

LAWS: tuple[str, ...] = ()

N, m, g = sp.symbols("N m g", positive=True)
_x, _y = sp.symbols("lambda_i lambda_j", real=True)


def vni(correlation: sp.Matrix) -> sp.Expr:
    """(1/N²) Σ_ij ρ_ij² of a correlation matrix."""
    size = correlation.rows
    return sum(entry**2 for entry in correlation) / sp.Integer(size) ** 2


def double_sum(polynomial: sp.Expr) -> sp.Expr:
    """Σ_ij f(λ_i, λ_j) over N numbers, for symbolic N, in their power sums P_k = Σ_i λ_i^k.

    The monomial λ_i^a λ_j^b sums to P_a P_b, and P_0 = N.
    """
    total = sp.Integer(0)
    for (a, b), coefficient in sp.Poly(polynomial, _x, _y).terms():
        total += coefficient * power_sum(a) * power_sum(b)
    return sp.expand(total)


def power_sum(k: int) -> sp.Expr:
    """The symbol P_k = Σ_i λ_i^k, which is N at k = 0."""
    return N if k == 0 else sp.Symbol(f"P_{k}", positive=True)


def gram_determinant_as_squares(u: Sequence[sp.Expr], v: Sequence[sp.Expr]) -> sp.Expr:
    """Σ_{a<b} (u_a v_b − u_b v_a)², which Lagrange's identity equates to ‖u‖²‖v‖² − (u·v)²."""
    pairs = [(a, b) for b in range(len(u)) for a in range(b)]
    return sum((u[a] * v[b] - u[b] * v[a]) ** 2 for a, b in pairs)


def groups(sizes: Sequence[int]) -> sp.Matrix:
    """Correlation matrix of uncorrelated groups of identical nodes: blocks of ones on the diagonal."""
    return sp.diag(*(sp.ones(size, size) for size in sizes))


def group_square(size: sp.Expr) -> sp.Expr:
    """Σ_ij ρ_ij² over one group of identical nodes, counted pair by pair."""
    i, j = sp.symbols("i j", integer=True)
    return sp.Sum(1, (i, 1, size), (j, 1, size)).doit()


def participation_ratio(covariance: sp.Matrix) -> sp.Expr:
    """(Tr A)²/Tr A², the number of directions that share the variance of A."""
    return covariance.trace() ** 2 / (covariance * covariance).trace()


def derive() -> Derivation:
    rho = sp.Symbol("rho", real=True)
    u, v = sp.symbols("u_1:5", real=True), sp.symbols("v_1:5", real=True)
    dot = sum(a * b for a, b in zip(u, v, strict=True))
    square_u, square_v = sum(a**2 for a in u), sum(b**2 for b in v)
    p1, p2 = power_sum(1), power_sum(2)
    spread = double_sum((_x - _y) ** 2) / 2
    i, j, k = sp.symbols("i j k", integer=True, positive=True)
    eigenvalue = sp.IndexedBase("lambda")
    pairs = sp.Sum((eigenvalue[i] - eigenvalue[j]) ** 2, (i, 1, N), (j, 1, N))
    equal_groups = sp.Sum(group_square(g), (k, 1, m)).doit() / (m * g) ** 2
    three = sp.Matrix(3, 3, lambda i, j: 1 if i == j else sp.Symbol(f"rho_{min(i, j) + 1}{max(i, j) + 1}"))
    lines = (
        Step(
            r"**Bounds.** The N diagonal terms of the double sum are one, the others are squares: $\mathrm{VNI} - "
            r"1/N = N^{-2}\sum_{i\ne j}\rho_{ij}^2 \ge 0$. In the other direction each $\rho_{ij}^2 \le 1$, because "
            r"with centred samples $u, v$ of two nodes $\rho = u\cdot v/(\|u\|\|v\|)$, and Lagrange's identity "
            r"writes the missing part as a sum of squares (shown with four samples)."
        ),
        Step(
            r"Hence $1/N \le \mathrm{VNI} \le 1$, with equality for uncorrelated nodes and for identical (or "
            r"opposite) ones.",
            sp.Eq(square_u * square_v - dot**2, gram_determinant_as_squares(u, v), evaluate=False),
        ),
        Step(
            r"The same by eigenvalues. Let $\lambda_i \ge 0$ be those of $\rho$, with power sums $P_k = \sum_i "
            r"\lambda_i^k$: $P_1 = \mathrm{Tr}\,\rho = N$ and $P_2 = \mathrm{Tr}\,\rho^2 = N^2\,\mathrm{VNI}$. For "
            r"any number N of them, $\sum_{ij} \lambda_i^a \lambda_j^b = P_a P_b$ gives",
            sp.Eq(pairs / 2, spread, evaluate=False),
        ),
        Step(
            r"which is not negative, so $N^2\,\mathrm{VNI} \ge N$ with equality only if all $\lambda_i$ are one; and "
            r"$P_1^2 - P_2 = \sum_{i\ne j}\lambda_i\lambda_j \ge 0$ gives $\mathrm{VNI} \le 1$, with equality only "
            r"if a single eigenvalue is left."
        ),
        Step(
            r"**What it counts.** Let the nodes fall into m groups, identical within a group, uncorrelated between "
            r"groups, with $g_a$ nodes in group a. Each group adds its $g_a^2$ pairs, so $\mathrm{VNI} = \sum_a "
            r"(g_a/N)^2$, and $1/m$ when the groups are equal: $N_\mathrm{eff} = 1/\mathrm{VNI}$ is then the number "
            r"of groups.",
            sp.Eq(sp.Symbol("VNI"), equal_groups, evaluate=False),
        ),
        Step(
            r"For unequal groups $\sum_a (g_a/N)^2 \ge 1/m$, by the identity above with $g_a$ for $\lambda_i$: "
            r"groups count for less when one dominates."
        ),
        Step(
            r"**Participation ratio.** $\rho$ is the covariance of the nodes standardised to unit variance. Its "
            r"trace is N, and $\mathrm{Tr}\,\rho^2 = \sum_{ij}\rho_{ij}\rho_{ji}$, so "
            r"$(\mathrm{Tr}\,\rho)^2/\mathrm{Tr}\,\rho^2 = N_\mathrm{eff}$. The participation ratio of the "
            r"covariance itself is another quantity unless all variances agree."
        ),
    )
    claims = (
        Claim(
            r"Lagrange's identity: $\|u\|^2\|v\|^2-(u\cdot v)^2$ is a sum of squares, so $\rho_{ij}^2\le 1$",
            sp.expand(square_u * square_v - dot**2),
            sp.expand(gram_determinant_as_squares(u, v)),
        ),
        Claim(
            r"$N^2(\mathrm{VNI}-1/N)=\frac12\sum_{ij}(\lambda_i-\lambda_j)^2/N$ for any N",
            spread.subs(p1, N) / N,
            p2 - N,
        ),
        Claim(
            r"$N^2(1-\mathrm{VNI})=\sum_{i\ne j}\lambda_i\lambda_j$ for any N",
            (double_sum(_x * _y) - p2).subs(p1, N),
            N**2 - p2,
        ),
        Claim(r"two nodes: $\mathrm{VNI}=(1+\rho^2)/2$", vni(sp.Matrix([[1, rho], [rho, 1]])), (1 + rho**2) / 2),
        Claim(r"m equal groups of identical nodes: $\mathrm{VNI}=1/m$", equal_groups, 1 / m),
        Claim(
            r"unequal groups (of 3, 2 and 1 nodes): $\mathrm{VNI}=\sum_a(g_a/N)^2$",
            vni(groups((3, 2, 1))),
            sum(sp.Rational(size, 6) ** 2 for size in (3, 2, 1)),
        ),
        Claim(
            r"$1/\mathrm{VNI}=(\mathrm{Tr}\,\rho)^2/\mathrm{Tr}\,\rho^2$ (any three nodes)",
            participation_ratio(three),
            1 / vni(three),
        ),
    )
    return Derivation("The vanishing node indicator", lines, claims)
