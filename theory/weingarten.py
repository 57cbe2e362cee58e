r"""Weingarten's formula: moments of Haar orthogonal matrices, and the recursion of S2.

**Question.** As for Gaussian weights, but W is σ_w times an orthogonal matrix drawn with equal weight from all of them
(Haar measure), or a corner of one: what are the mean traces of C′ = D W C Wᵀ D?

**Assumptions.** O is Haar distributed on the orthogonal n × n matrices. An n_out × n_in layer is its corner of n_out
rows and n_in columns with n = max(n_in, n_out), scaled by σ_w √(n/n_in) so that a node keeps its variance. The D_i are
independent of O and of each other, with moments μ_k.

**Method.** The mean of O_{i_1 a_1} … O_{i_2k a_2k} is invariant when all rows, or all columns, are rotated together.
The tensors that are invariant under rotations are the products of δ's, one for each pairing of the 2k indices, so the
mean is Σ_{π,σ} Wg(π, σ) δ_π(i) δ_σ(a). Contracting the row indices by a third pairing must give that pairing back,
since O is orthogonal; this says that the matrix Wg is the inverse of the Gram matrix G(π, σ) = n^{number of loops of π
and σ}. Wg is found here by solving for it, symbolically in n.

**Result.** Wg([1,1]) = (n + 1)/(n(n − 1)(n + 2)) and Wg([2]) = −1/(n(n − 1)(n + 2)) at four indices. The pair (E Tr C²,
E (Tr C)²) obeys a linear 2×2 recursion, as for Gaussian weights; without slopes a square layer changes nothing.

**Source.** Weingarten 1978; Collins and Śniady 2006, whose values at four indices are met below.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import sympy as sp
from sympy.polys.matrices import DomainMatrix

from theory import wick
from theory.derivation import Claim, Derivation, Step
from theory.wick import mu1, mu2, n, n_in, n_out, sigma_w

LAWS: tuple[str, ...] = ()

Partition = tuple[int, ...]


@cache
def pair_partitions(k: int) -> tuple[wick.Pairing, ...]:
    """The (2k−1)!! pair partitions of 2k points."""
    return tuple(wick.pairings(range(2 * k)))


def gram_matrix(k: int, n: sp.Expr) -> sp.Matrix:
    """G(π, σ) = n^{number of loops of π and σ}, over the pair partitions of 2k points."""
    pairs = pair_partitions(k)
    return sp.Matrix(len(pairs), len(pairs), lambda i, j: n ** len(wick.loops(pairs[i], pairs[j])))


@cache
def weingarten_function(k: int, n: sp.Expr) -> dict[Partition, sp.Expr]:
    """Wg by loop type, from G Wg = 1.

    Relabelling the points changes neither G nor, therefore, its inverse, so Wg(π, σ) depends on the lengths of the
    loops of π and σ alone: there are as many unknowns as partitions of k, and one equation for each.
    """
    pairs = pair_partitions(k)
    base = pairs[0]
    kind = {}
    for pairing in pairs:
        kind.setdefault(wick.loops(base, pairing), pairing)
    kinds = list(kind)
    system = sp.zeros(len(kinds), len(kinds))
    for row, representative in enumerate(kind.values()):
        for pairing in pairs:
            column = kinds.index(wick.loops(pairing, representative))
            system[row, column] += n ** len(wick.loops(base, pairing))
    identity = sp.Matrix([1 if representative == base else 0 for representative in kind.values()])
    solution = system.LUsolve(identity)
    return {lengths: sp.factor(value) for lengths, value in zip(kinds, solution, strict=True)}


def weingarten_matrix(k: int, n: sp.Expr) -> sp.Matrix:
    """Wg(π, σ) over the pair partitions of 2k points."""
    pairs, function = pair_partitions(k), weingarten_function(k, n)
    return sp.Matrix(len(pairs), len(pairs), lambda i, j: function[wick.loops(pairs[i], pairs[j])])


def entries(rows: Sequence[int], columns: Sequence[int], n: sp.Expr) -> sp.Expr:
    """E Π O_{i a} over the given row and column indices, an even number of them, O Haar of size n."""
    k = len(rows) // 2
    function = weingarten_function(k, n)

    def fitting(indices: Sequence[int]) -> list[wick.Pairing]:
        return [pairing for pairing in pair_partitions(k) if all(indices[a] == indices[b] for a, b in pairing)]

    total = sum(function[wick.loops(pi, sigma)] for pi in fitting(rows) for sigma in fitting(columns))
    return sp.factor(total)


@cache
def expectation(
    traces: tuple[int, ...],
    n_in: sp.Expr,
    n_out: sp.Expr,
    size: sp.Expr,
    slopes: tuple[sp.Expr, ...] | None = None,
    sigma_w: sp.Expr = sp.S.One,
) -> sp.Expr:
    """E Π_k Tr (D W C Wᵀ D)^k over the k in `traces`, as a polynomial in p_m = Tr C^m.

    As `wick.expectation`, for the n_out × n_in corner of a Haar matrix of the given size.
    """
    weight = sum(traces)
    rows, columns = wick.joined_rows(traces), wick.joined_columns(traces)
    pairs, function = pair_partitions(weight), weingarten_function(weight, size)
    of_rows = [wick.sum_over_rows(wick.loops(pi, rows), n_out, slopes) for pi in pairs]
    of_columns = [wick.traces_of_columns(wick.loops(sigma, columns)) for sigma in pairs]
    coefficient: dict[sp.Expr, sp.Expr] = {}
    for pi, row in zip(pairs, of_rows, strict=True):
        for sigma, column in zip(pairs, of_columns, strict=True):
            coefficient[column] = coefficient.get(column, 0) + row * function[wick.loops(pi, sigma)]
    gain = (sigma_w**2 * size / n_in) ** weight
    return sum(sp.factor(gain * value) * column for column, value in coefficient.items())


def haar_recursion(
    n_in: sp.Expr,
    n_out: sp.Expr,
    mu1: sp.Expr = 1,
    mu2: sp.Expr = 1,
    sigma_w: sp.Expr = 1,
    size: sp.Expr | None = None,
) -> sp.Matrix:
    """The map of (E Tr C², E (Tr C)²) under one Haar layer D W, at any widths (S2).

    Parameters
    ----------
    n_in, n_out : Expr
    mu1, mu2, sigma_w : Expr
    size : Expr, optional
        Of the Haar matrix of which W is a corner; max(n_in, n_out) by default.
    """
    n_in, n_out, mu1, mu2, sigma_w = map(sp.sympify, (n_in, n_out, mu1, mu2, sigma_w))
    chosen = sp.Max(n_in, n_out) if size is None else sp.sympify(size)
    if chosen == 1:
        # Wg has a pole at n = 1, the recursion has none.
        return haar_recursion(n, n, mu1, mu2, sigma_w, size=n).subs(n, 1)
    means = (expectation(traces, n_in, n_out, chosen, (mu1, mu2), sigma_w) for traces in ((2,), (1, 1)))
    return wick.trace_recursion(*means)


def unit_vector_moment(k: int, n: sp.Expr) -> sp.Expr:
    """E u_1^{2k} for a uniform unit vector u, without Weingarten's formula.

    A normal vector g is its length times u, and the two are independent: E u_1^{2k} = E g_1^{2k} / E ‖g‖^{2k}.
    """
    return wick.chi_square_moment(k, sp.Integer(1)) / wick.chi_square_moment(k, n)


def _in_front(matrix: sp.Matrix) -> sp.Expr:
    """The matrix, for display, with the common factor of its entries in front."""
    numerator, denominator = sp.Integer(0), sp.Integer(1)
    for entry in matrix:
        top, bottom = sp.fraction(sp.together(entry))
        numerator, denominator = sp.gcd(numerator, top), sp.lcm(denominator, bottom)
    factor = sp.factor(numerator / denominator)
    inside = matrix.applyfunc(lambda entry: sp.collect(sp.expand(sp.cancel(entry / factor)), (mu1, mu2)))
    return sp.MatMul(factor, inside, evaluate=False)


def derive() -> Derivation:
    two = weingarten_function(2, n)
    inverse_claims = []
    for k in (1, 2, 3):
        # Over the field of rational functions of n, which is many times faster than expressions.
        gram, inverse = (DomainMatrix.from_Matrix(m).to_field() for m in (gram_matrix(k, n), weingarten_matrix(k, n)))
        product = (gram.convert_to(inverse.domain) * inverse).to_Matrix()
        inverse_claims.append(
            Claim(
                rf"$G\,\mathrm{{Wg}}=1$ over the pair partitions of {2 * k} indices, {product.rows} in number",
                product,
                sp.eye(product.rows),
            )
        )
    square = haar_recursion(n, n, mu1, mu2, sigma_w, size=n)
    wide = haar_recursion(n_in, n_out, mu1, mu2, sigma_w, size=n_in)
    tall = haar_recursion(n_in, n_out, mu1, mu2, sigma_w, size=n_out)
    square_stated = sp.Matrix(
        [
            [n * mu1**2 + 2 * mu2, mu2 - mu1**2],
            [2 * (mu2 - mu1**2), (n + 1) * mu1**2 + mu2],
        ]
    ) / (n + 2)
    lines = (
        Step(
            r"**Four indices.** The pair partitions of four points are 12|34, 13|24 and 14|23. Each makes two loops "
            r"with itself and one with any other, so",
            sp.Eq(sp.Symbol("G"), gram_matrix(2, n), evaluate=False),
        ),
        Step(
            r"Its inverse has two different entries: on the diagonal, where the loops have lengths 1 and 1, and off "
            r"it, where there is one of length 2.",
            sp.Eq(sp.Function("Wg")(1, 1), two[1, 1], evaluate=False),
        ),
        Step(r"and", sp.Eq(sp.Function("Wg")(2), two[2,], evaluate=False)),
        Step(
            r"**Moments of entries** follow: all nine pairs of pairings fit when all indices agree, so "
            r"$\mathbb{E}\,o_{11}^4 = 3\,\mathrm{Wg}([1,1]) + 6\,\mathrm{Wg}([2])$:",
            sp.Eq(sp.Function("E")(sp.Symbol("o_11") ** 4), entries([1] * 4, [1] * 4, n), evaluate=False),
        ),
        Step(
            r"With six indices there are 15 partitions and three kinds of loops, of lengths (1,1,1), (2,1) and (3).",
            sp.Matrix([weingarten_function(3, n)[lengths] for lengths in ((1, 1, 1), (2, 1), (3,))]),
        ),
        Step(
            r"**The recursion.** Gaussian weights used one pairing for rows and columns alike; now the rows take "
            r"$\pi$, the columns $\sigma$, with weight $\mathrm{Wg}(\pi,\sigma)$, and the loops of either are "
            r"counted as before. A square layer multiplies $(\mathbb{E}\,\mathrm{Tr}\,C^2, "
            r"\mathbb{E}\,(\mathrm{Tr}\,C)^2)$ by",
            _in_front(square),
        ),
        Step(
            r"A layer that narrows, $n_\mathrm{out} \le n_\mathrm{in}$, is a corner of an $n_\mathrm{in}\times "
            r"n_\mathrm{in}$ matrix. It multiplies by",
            _in_front(wide),
        ),
        Step(
            r"and a layer that widens, a corner of an $n_\mathrm{out}\times n_\mathrm{out}$ matrix, by",
            _in_front(tall),
        ),
    )
    rows_orthogonal = n * entries([1, 1, 2, 2], [1, 1, 1, 1], n) + n * (n - 1) * entries([1, 2, 1, 2], [1, 1, 2, 2], n)
    claims = (
        *inverse_claims,
        Claim(r"$\mathrm{Wg}([1,1])=\frac{n+1}{n(n-1)(n+2)}$", two[1, 1], (n + 1) / (n * (n - 1) * (n + 2))),
        Claim(r"$\mathrm{Wg}([2])=-\frac{1}{n(n-1)(n+2)}$", two[2,], -1 / (n * (n - 1) * (n + 2))),
        Claim(r"$\mathbb{E}\,o_{11}^4=\frac{3}{n(n+2)}$", entries([1] * 4, [1] * 4, n), 3 / (n * (n + 2))),
        Claim(
            r"$\mathbb{E}\,o_{11}^6=\frac{15}{n(n+2)(n+4)}$",
            entries([1] * 6, [1] * 6, n),
            15 / (n * (n + 2) * (n + 4)),
        ),
        Claim(
            r"$\mathbb{E}\,o_{11}^{2k}$ is that of a coordinate of a uniform unit vector, k = 1, 2, 3",
            sp.Matrix([entries([1] * 2 * k, [1] * 2 * k, n) for k in (1, 2, 3)]),
            sp.Matrix([unit_vector_moment(k, n) for k in (1, 2, 3)]),
        ),
        Claim(r"rows are orthogonal: $\mathbb{E}\,(\sum_a o_{1a}o_{2a})^2=0$", rows_orthogonal, sp.Integer(0)),
        Claim(r"S2, Haar, square: the $2\times2$ recursion", square, sigma_w**4 * square_stated),
        Claim(
            r"without slopes a square layer changes no trace: the recursion is the identity",
            haar_recursion(n, n, size=n),
            sp.eye(2),
        ),
        Claim(
            r"without slopes a layer that widens only scales: $(n_\mathrm{out}/n_\mathrm{in})^2$ times the identity",
            haar_recursion(n_in, n_out, size=n_out),
            (n_out / n_in) ** 2 * sp.eye(2),
        ),
        Claim(
            r"a small corner of a large Haar matrix is Gaussian: the recursion becomes Wick's as its size grows",
            haar_recursion(n_in, n_out, mu1, mu2, sigma_w, size=n).applyfunc(lambda entry: sp.limit(entry, n, sp.oo)),
            wick.gaussian_recursion(n_in, n_out, mu1, mu2, sigma_w),
        ),
    )
    return Derivation("Haar weights: Weingarten's formula", lines, claims)
