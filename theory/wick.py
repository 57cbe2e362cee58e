r"""Wick's formula: moments of W C Wᵀ for Gaussian weights, and the recursion of S2.

**Question.** C is the node covariance of one layer, W a Gaussian n_out × n_in matrix with entries of variance
σ_w²/n_in, D a diagonal matrix of slopes. What are the mean traces of the next covariance C′ = D W C Wᵀ D, at any finite
width?

**Assumptions.** The entries of W are independent and normal. The entries D_i are independent of W and of each other,
with moments μ_k = E D_i^{2k}. C is fixed and symmetric; only its traces p_k = Tr C^k will enter.

**Method.** Wick's formula says that the mean of a product of 2k entries of W is a sum over the pairings of the 2k
factors: paired entries must have equal row and equal column. A product of traces of C′ is a chain of factors whose row
indices are joined in one way and whose column indices, through C, in another. Drawing a pairing on top of either turns
the chain into loops: each loop of rows is one free index, each loop of columns that passes m times through C is one
factor Tr C^m.

**Result.** The mean of every product of traces of C′ is a polynomial in the traces of C. The pair (E Tr C², E (Tr C)²)
obeys a linear 2×2 recursion, exactly, at any width and depth.

**Source.** Isserlis 1918, Wick 1950; for products of random layers, Hanin and Nica 2020.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import sympy as sp
from sympy.utilities.iterables import multiset_partitions

from theory.derivation import Claim, Derivation, Step

LAWS: tuple[str, ...] = ()

n_in, n_out, n, sigma_w = sp.symbols("n_in n_out n sigma_w", positive=True)
mu1, mu2 = sp.symbols("mu_1 mu_2", positive=True)

_mean, _trace, _next = sp.Function("E"), sp.Function("Tr"), sp.Symbol("C'")

Pairing = tuple[tuple[int, int], ...]


def power_sum(k: int) -> sp.Symbol:
    """The symbol p_k = Tr C^k."""
    return sp.Symbol(f"p_{k}")


def pairings(points: Sequence[int]) -> Iterator[Pairing]:
    """All (2k−1)!! ways to pair 2k points."""
    if not points:
        yield ()
        return
    first, *others = points
    for position, partner in enumerate(others):
        for rest in pairings(others[:position] + others[position + 1 :]):
            yield ((first, partner), *rest)


def loops(first: Pairing, second: Pairing) -> tuple[int, ...]:
    """Lengths of the loops drawn by two pairings of the same points: pairs of `second` in each, longest first."""
    step = {}
    for name, pairing in (("first", first), ("second", second)):
        step[name] = {a: b for pair in pairing for a, b in (pair, pair[::-1])}
    unseen, lengths = set(step["first"]), []
    while unseen:
        start = point = min(unseen)
        length = 0
        while True:
            across = step["second"][point]
            unseen -= {point, across}
            length += 1
            point = step["first"][across]
            if point == start:
                break
        lengths.append(length)
    return tuple(sorted(lengths, reverse=True))


def joined_columns(traces: Sequence[int]) -> Pairing:
    """In W_{ia} C_{ab} W_{jb}, the t-th such factor, W number 2t is joined to W number 2t + 1 through C."""
    return tuple((2 * t, 2 * t + 1) for t in range(sum(traces)))


def joined_rows(traces: Sequence[int]) -> Pairing:
    """The last row index of a factor is the first of the next, cyclically within each trace Tr (W C Wᵀ)^k."""
    pairs, start = [], 0
    for k in traces:
        pairs += [(2 * (start + t) + 1, 2 * (start + (t + 1) % k)) for t in range(k)]
        start += k
    return tuple(pairs)


def sum_over_rows(lengths: Sequence[int], width: sp.Expr, slopes: Sequence[sp.Expr] | None = None) -> sp.Expr:
    """Σ E Π D_i^{2r} over one row index i for each loop, r its length.

    Loops run over the same n rows, so some may meet on the same row i, where E D_i^{2r} D_i^{2s} is μ_{r+s} and not
    μ_r μ_s: sum over the ways to group the loops, n(n−1)… ways to place the groups on distinct rows.

    Parameters
    ----------
    lengths : sequence of int
    width : Expr
        n_out.
    slopes : sequence of Expr, optional
        μ_1, μ_2, …; without it D = 1.
    """
    if slopes is None:
        return width ** len(lengths)
    total = sp.Integer(0)
    for grouping in multiset_partitions(list(range(len(lengths)))):
        placements = sp.prod(width - taken for taken in range(len(grouping)))
        total += placements * sp.prod(slopes[sum(lengths[loop] for loop in group) - 1] for group in grouping)
    return sp.expand(total)


def traces_of_columns(lengths: Sequence[int]) -> sp.Expr:
    """Π Tr C^m over the loops of the column indices."""
    return sp.prod(power_sum(m) for m in lengths)


@cache
def expectation(
    traces: tuple[int, ...],
    n_in: sp.Expr,
    n_out: sp.Expr,
    slopes: tuple[sp.Expr, ...] | None = None,
    sigma_w: sp.Expr = sp.S.One,
) -> sp.Expr:
    """E Π_k Tr (D W C Wᵀ D)^k over the k in `traces`, as a polynomial in p_m = Tr C^m.

    Parameters
    ----------
    traces : tuple of int
        (2,) is E Tr C′², (1, 1) is E (Tr C′)².
    n_in, n_out : Expr
        Shape of W.
    slopes : tuple of Expr, optional
        μ_1, …, μ_k with k the sum of `traces`; without it D = 1.
    sigma_w : Expr
    """
    rows, columns = joined_rows(traces), joined_columns(traces)
    weight = sum(traces)
    total = sum(
        sum_over_rows(loops(pairing, rows), n_out, slopes) * traces_of_columns(loops(pairing, columns))
        for pairing in pairings(range(2 * weight))
    )
    return sp.expand(total * (sigma_w**2 / n_in) ** weight)


def entries(rows: Sequence[int], columns: Sequence[int], variance: sp.Expr) -> sp.Expr:
    """E Π W_{i a} over the given row and column indices, for entries of the given variance."""
    equal = sum(
        all(rows[a] == rows[b] and columns[a] == columns[b] for a, b in pairing)
        for pairing in pairings(range(len(rows)))
    )
    return equal * variance ** sp.Rational(len(rows), 2) if equal else sp.Integer(0)


def trace_recursion(square: sp.Expr, squared: sp.Expr) -> sp.Matrix:
    """The 2×2 matrix that maps (Tr C², (Tr C)²) to the two given means, E Tr C′² and E (Tr C′)²."""
    p1, p2 = power_sum(1), power_sum(2)
    rows = [[sp.Poly(mean, p1, p2).coeff_monomial(basis) for basis in (p2, p1**2)] for mean in (square, squared)]
    return sp.Matrix(rows).applyfunc(sp.factor)


def gaussian_recursion(
    n_in: sp.Expr, n_out: sp.Expr, mu1: sp.Expr = 1, mu2: sp.Expr = 1, sigma_w: sp.Expr = 1
) -> sp.Matrix:
    """The map of (E Tr C², E (Tr C)²) under one Gaussian layer D W, at any widths (S2)."""
    n_in, n_out, mu1, mu2, sigma_w = map(sp.sympify, (n_in, n_out, mu1, mu2, sigma_w))
    means = (expectation(traces, n_in, n_out, (mu1, mu2), sigma_w) for traces in ((2,), (1, 1)))
    return trace_recursion(*means)


def chi_square_moment(k: int, degrees: sp.Expr) -> sp.Expr:
    """E (χ²)^k by its density x^{n/2−1} e^{−x/2}, without Wick's formula."""
    x = sp.Symbol("x", positive=True)
    half = sp.Symbol("h", positive=True)
    density = x ** (half - 1) * sp.exp(-x / 2)
    mean = sp.integrate(x**k * density, (x, 0, sp.oo)) / sp.integrate(density, (x, 0, sp.oo))
    return sp.factor(sp.gammasimp(mean).subs(half, degrees / 2))


def derive() -> Derivation:
    p1, p2, p3 = (power_sum(k) for k in (1, 2, 3))
    square, squared = (expectation(traces, n_in, n_out) for traces in ((2,), (1, 1)))
    recursion = gaussian_recursion(n_in, n_out, mu1, mu2, sigma_w)
    by_hand = (sigma_w**2 / n_in) ** 2 * sp.Matrix(
        [
            [n_out * (n_out - 1) * mu1**2 + 2 * n_out * mu2, n_out * mu2],
            [2 * n_out * mu2, n_out * (n_out - 1) * mu1**2 + n_out * mu2],
        ]
    )
    wishart = expectation((3,), n, n_out).subs({p1: n, p2: n, p3: n}) * n**3
    lines = (
        Step(
            r"**One pair.** Take $D = 1$ and $\sigma_w = 1$ first, $C' = WCW^\mathsf{T}$. "
            r"$\mathbb{E}\,\mathrm{Tr}\,WCW^\mathsf{T} = \sum_{iab} \mathbb{E}[W_{ia}W_{ib}]\,C_{ab}$ has one "
            r"pairing. It makes one loop of rows, hence a factor $n_\mathrm{out}$, and one loop of columns through "
            r"one C:",
            sp.Eq(_mean(_trace(_next)), expectation((1,), n_in, n_out), evaluate=False),
        ),
        Step(
            r"**Two pairs.** Four entries have three pairings. In $\mathrm{Tr}\,(WCW^\mathsf{T})^2$ the one that "
            r"pairs within each $W C W^\mathsf{T}$ leaves one loop of rows and two of columns, "
            r"$n_\mathrm{out}\,p_1^2$; the one that pairs each W with its neighbour along the trace leaves two of "
            r"rows and one of columns, $n_\mathrm{out}^2\,p_2$; the crossed one leaves one of each, "
            r"$n_\mathrm{out}\,p_2$:",
            sp.Eq(_mean(_trace(_next**2)), sp.factor(square), evaluate=False),
        ),
        Step(
            r"In $(\mathrm{Tr}\,WCW^\mathsf{T})^2$ the first leaves two loops of each kind and the other two one of "
            r"each:",
            sp.Eq(_mean(_trace(_next) ** 2), sp.factor(squared), evaluate=False),
        ),
        Step(
            r"**With slopes.** Each row index i now carries $D_i^2$. A row loop of length r sums $D_i^{2r}$; two "
            r"loops of length one sum $D_i^2 D_j^2$ over all i and j, of which $n_\mathrm{out}(n_\mathrm{out}-1)$ "
            r"terms with $i\ne j$ average to $\mu_1^2$ and $n_\mathrm{out}$ terms with $i=j$ to $\mu_2$. The pair "
            r"$(\mathbb{E}\,\mathrm{Tr}\,C^2, \mathbb{E}\,(\mathrm{Tr}\,C)^2)$ is therefore multiplied, layer by "
            r"layer, by",
            recursion,
        ),
        Step(
            r"The result is linear in $p_2$ and $p_1^2$, so that averaging over the earlier layers, on which C "
            r"depends, changes nothing: the recursion is exact at any depth."
        ),
    )
    row = [sp.expand(expectation((k,), n, sp.Integer(1)) * n**k) for k in range(1, 5)]
    claims = (
        Claim(
            r"2k points have $(2k-1)!!$ pairings, k = 1 to 5",
            sp.Matrix([sum(1 for _ in pairings(range(2 * k))) for k in range(1, 6)]),
            sp.Matrix([sp.factorial2(2 * k - 1) for k in range(1, 6)]),
        ),
        Claim(
            r"$\mathbb{E}\,\mathrm{Tr}\,(WCW^\mathsf{T})^2=[n_\mathrm{out}(n_\mathrm{out}+1)p_2+n_\mathrm{out}p_1^2]/n_\mathrm{in}^2$",
            square,
            (n_out * (n_out + 1) * p2 + n_out * p1**2) / n_in**2,
        ),
        Claim(
            r"$\mathbb{E}\,(\mathrm{Tr}\,WCW^\mathsf{T})^2=[2n_\mathrm{out}p_2+n_\mathrm{out}^2p_1^2]/n_\mathrm{in}^2$",
            squared,
            (2 * n_out * p2 + n_out**2 * p1**2) / n_in**2,
        ),
        Claim(r"S2, Gaussian: the $2\times2$ recursion with $\mu_1$, $\mu_2$ and $\sigma_w$", recursion, by_hand),
        Claim(
            r"a single row is $\chi^2$: $\mathbb{E}\,(\mathrm{Tr}\,WW^\mathsf{T})^k$ from the density, k = 1 to 4",
            sp.Matrix([row[k - 1].subs({power_sum(m): n for m in range(1, 5)}) for k in range(1, 5)]),
            sp.Matrix([chi_square_moment(k, n) for k in range(1, 5)]),
        ),
        Claim(
            r"Wishart: $\mathbb{E}\,\mathrm{Tr}\,(GG^\mathsf{T})^3=nm(n^2+m^2+3nm+3n+3m+4)$ for an $m\times n$ "
            r"matrix G of standard normals",
            wishart,
            n * n_out * (n**2 + n_out**2 + 3 * n * n_out + 3 * n + 3 * n_out + 4),
        ),
        Claim(
            r"slopes that are all one change nothing (weight 4)",
            expectation((2, 1, 1), n_in, n_out, (sp.Integer(1),) * 4),
            expectation((2, 1, 1), n_in, n_out),
        ),
    )
    return Derivation("Gaussian weights: Wick's formula", lines, claims)
