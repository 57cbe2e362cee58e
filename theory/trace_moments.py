r"""S2 at every order: exact trace moments of linear networks, through zonal polynomials.

**Question.** The recursion of S2 mixes Tr C² and (Tr C)². Which combinations of traces, of any order, does a layer C →
W C Wᵀ only multiply by a number, and by which?

**Assumptions.** W is Gaussian, as in `wick`, or a Haar corner, as in `weingarten`, and D = 1.

**Method.** The zonal polynomial Z_κ of a partition κ of k is the symmetric polynomial in the eigenvalues y_1, …, y_m of
C that (1) is an eigenfunction of the radial Laplace–Beltrami operator Δ = Σ_i y_i² ∂_i² + Σ_{i≠j} y_i²/(y_i − y_j) ∂_i,
and (2) has y^κ as its leading monomial: it is a combination of m_κ and of monomials of lower partitions. This is the
Jack polynomial at α = 2. Its normalisation is James's: the coefficient of p_1^k is one, p_j = Tr C^j. (Muirhead's C_κ
is the multiple for which Σ_κ C_κ = (Tr C)^k; the factor is 2^k k!/(2k)! times the number of standard Young tableaux of
shape 2κ.)

**Result.** E Z_κ(W C Wᵀ) = n_in^{−|κ|} Π_{(i,j)∈κ} (n_out + 2(j−1) − (i−1)) Z_κ(C) for Gaussian W. An n_out × n_in
corner, unscaled, of a Haar matrix of size n multiplies Z_κ by Z_κ(1_{n_out})/Z_κ(1_n).

**Source.** James 1964, Muirhead 1982 (section 7.2); Macdonald 1995 for Jack polynomials.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import permutations

import sympy as sp
from sympy.utilities.iterables import partitions

from theory import weingarten, wick
from theory.derivation import Claim, Derivation, Step
from theory.wick import n, n_in, n_out, power_sum

LAWS: tuple[str, ...] = ("trace_moment",)

Partition = tuple[int, ...]


def partitions_of(k: int) -> tuple[Partition, ...]:
    """Partitions of k, from (k) down to (1, …, 1)."""
    found = [tuple(sorted((part for part in p for _ in range(p[part])), reverse=True)) for p in partitions(k)]
    return tuple(sorted(found, reverse=True))


def eigenvalues_of_matrix(k: int) -> tuple[sp.Symbol, ...]:
    """The variables y_1, …, y_k; as many as the weight tell all partitions of k apart."""
    return sp.symbols(f"y_1:{k + 1}")


def monomial(partition: Partition) -> sp.Poly:
    """m_κ, the sum of all distinct y_1^{a_1} … y_k^{a_k} whose exponents are the parts of κ in some order."""
    y = eigenvalues_of_matrix(sum(partition))
    exponents = set(permutations(partition + (0,) * (len(y) - len(partition))))
    return sp.Poly(dict.fromkeys(exponents, 1), *y)


def laplace_beltrami(function: sp.Poly) -> sp.Poly:
    """Δ f = Σ_i y_i² f_ii + Σ_{i<j} (y_i² f_i − y_j² f_j)/(y_i − y_j); the division leaves no remainder."""
    y = function.gens
    square = [sp.Poly(v**2, *y) for v in y]
    total = sum((square[i] * function.diff(v).diff(v) for i, v in enumerate(y)), sp.Poly(0, *y))
    for j in range(len(y)):
        for i in range(j):
            difference = square[i] * function.diff(y[i]) - square[j] * function.diff(y[j])
            total += difference.exquo(sp.Poly(y[i] - y[j], *y))
    return total


def in_monomials(function: sp.Poly, k: int) -> list[sp.Expr]:
    """Coefficients of a symmetric polynomial of weight k on the m_κ: those of the leading monomials y^κ."""
    return [function.coeff_monomial(kappa + (0,) * (k - len(kappa))) for kappa in partitions_of(k)]


@cache
def operator_matrix(k: int) -> sp.Matrix:
    """Δ on the symmetric polynomials of weight k in k variables, in the basis m_κ; column κ is Δ m_κ."""
    return sp.Matrix([in_monomials(laplace_beltrami(monomial(kappa)), k) for kappa in partitions_of(k)]).T


@cache
def power_sum_matrix(k: int) -> sp.Matrix:
    """The products p_λ = Π p_{λ_i} in the basis m_κ; column λ is p_λ."""
    y = eigenvalues_of_matrix(k)
    columns = []
    for parts in partitions_of(k):
        product = sp.Poly(1, *y)
        for part in parts:
            product *= sp.Poly(sum(v**part for v in y), *y)
        columns.append(in_monomials(product, k))
    return sp.Matrix(columns).T


@cache
def monomial_coefficients(partition: Partition) -> sp.Matrix:
    """Z_κ on the m_λ up to a factor: the eigenvector of Δ whose leading monomial is y^κ, with coefficient one."""
    k = sum(partition)
    matrix, place = operator_matrix(k), partitions_of(k).index(partition)
    (vector,) = (matrix - matrix[place, place] * sp.eye(matrix.rows)).nullspace()
    return vector / vector[place]


@cache
def zonal_polynomial(partition: Partition) -> sp.Expr:
    """Z_κ in the traces p_j = Tr C^j, with coefficient one of p_1^k."""
    k = sum(partition)
    coefficients = power_sum_matrix(k).LUsolve(monomial_coefficients(partition))
    coefficients /= coefficients[-1]
    products = (sp.prod(power_sum(part) for part in parts) for parts in partitions_of(k))
    return sum(c * product for c, product in zip(coefficients, products, strict=True))


def at_identity(partition: Partition, n: sp.Expr) -> sp.Expr:
    """Z_κ(1_n): all traces are n."""
    zonal = zonal_polynomial(partition)
    return sp.factor(zonal.subs({symbol: n for symbol in zonal.free_symbols}))


def average(function: sp.Expr, mean_of_traces: Callable[[Partition], sp.Expr]) -> sp.Expr:
    """E f(C′), term by term, for a polynomial f in the traces, given E Π Tr C′^k as a function of the tuple of k."""
    symbols = sorted(function.free_symbols, key=lambda symbol: int(symbol.name[2:]))
    total = sp.Integer(0)
    for exponents, coefficient in sp.Poly(function, *symbols).terms():
        traces = sum(((int(s.name[2:]),) * e for s, e in zip(symbols, exponents, strict=True)), ())
        total += coefficient * mean_of_traces(tuple(sorted(traces, reverse=True)))
    return sp.expand(total)


def eigenvalue(partition: Partition, n_in: sp.Expr, n_out: sp.Expr) -> sp.Expr:
    """λ with E Z_κ(W C Wᵀ) = λ Z_κ(C) for a Gaussian layer: the coefficient of p_1^k on the left; Z_κ(C) has one."""
    n_in, n_out = sp.sympify(n_in), sp.sympify(n_out)
    left = layer_average(zonal_polynomial(partition), n_in, n_out)
    p = [power_sum(j) for j in range(1, sum(partition) + 1)]
    return sp.factor(sp.Poly(left, *p).coeff_monomial(p[0] ** sum(partition)))


def box_product(partition: Partition, n: sp.Expr) -> sp.Expr:
    """Π_{(i,j)∈κ} (n + 2(j−1) − (i−1)): row i and column j run over the boxes of κ, both from one."""
    return sp.prod(n + 2 * column - row for row, length in enumerate(partition) for column in range(length))


def bartlett_product(partition: Partition, n: sp.Expr) -> sp.Expr:
    """Π_i E (χ²_{n−i+1})^{k_i}, by integration of the densities."""
    return sp.prod(wick.chi_square_moment(length, n - row) for row, length in enumerate(partition))


def standard_tableaux(partition: Partition) -> sp.Integer:
    """Number of standard Young tableaux, by hook lengths."""
    columns = [sum(length > column for length in partition) for column in range(partition[0])]
    hooks = [
        length - column + columns[column] - row - 1 for row, length in enumerate(partition) for column in range(length)
    ]
    return sp.factorial(sum(partition)) / sp.prod(hooks)


def zonal_c(partition: Partition) -> sp.Expr:
    """Muirhead's C_κ, a multiple of Z_κ."""
    k = sum(partition)
    doubled = standard_tableaux(tuple(2 * part for part in partition))
    return sp.expand(2**k * sp.factorial(k) / sp.factorial(2 * k) * doubled * zonal_polynomial(partition))


def elementary(k: int) -> sp.Expr:
    """e_k in the traces p_j, by Newton: k e_k = Σ (−1)^{j−1} e_{k−j} p_j."""
    if k == 0:
        return sp.Integer(1)
    return sp.expand(sum((-1) ** (j - 1) * elementary(k - j) * power_sum(j) for j in range(1, k + 1)) / k)


def layer_average(function: sp.Expr, n_in: sp.Expr, n_out: sp.Expr) -> sp.Expr:
    """E f(W C Wᵀ) by Wick's formula."""
    return average(function, lambda traces: wick.expectation(traces, n_in, n_out))


def derive() -> Derivation:
    p1, p2, p3 = (power_sum(j) for j in (1, 2, 3))
    weights = (1, 2, 3, 4)
    shapes = [kappa for k in weights for kappa in partitions_of(k)]
    mean = sp.Function("E")
    lines = [
        Step(
            r"**The operator is triangular.** On the monomials of weight 2, $m_{(2)} = \sum y_i^2$ and $m_{(1,1)} = "
            r"\sum_{i<j} y_i y_j$ in two variables, $\Delta$ acts as",
            operator_matrix(2),
        ),
        Step(
            r"Its eigenvalues, on the diagonal, are all different for a given weight up to 4, so each $\kappa$ has "
            r"one eigenfunction with leading monomial $y^\kappa$. In weight 2 they are"
        ),
        *(Step(rf"for $\kappa={_name(kappa)}$:", _named(kappa)) for kappa in partitions_of(2)),
        Step(r"and in weight 3"),
        *(Step(rf"for $\kappa={_name(kappa)}$:", _named(kappa)) for kappa in partitions_of(3)),
        Step(
            r"**The eigenvalue of a layer.** Wick's formula gives $\mathbb{E}\,Z_\kappa(WCW^\mathsf{T})$ in the "
            r"traces of C, and it comes out as a multiple of $Z_\kappa(C)$: for each of the eleven partitions of "
            r"weight up to 4 the two sides agree as polynomials in $p_1 \ldots p_4$, $n_\mathrm{in}$ and "
            r"$n_\mathrm{out}$. To find the multiple, compare the coefficients of $p_1^k$. On the right it is "
            r"$\lambda$. On the left, only the pairing that joins each C to itself makes k loops of columns, and it "
            r"leaves one loop of rows for each trace: $\lambda$ is $n_\mathrm{in}^{-k}$ times $Z_\kappa$ with every "
            r"trace replaced by $n_\mathrm{out}$, which is $Z_\kappa$ of the identity. For $\kappa = (2,1)$",
            sp.Eq(sp.Symbol("lambda"), eigenvalue((2, 1), n_in, n_out), evaluate=False),
        ),
        Step(
            r"**All weights.** For every $\kappa$ the multiple is "
            r"$n_\mathrm{in}^{-|\kappa|}\prod_{(i,j)\in\kappa}(n_\mathrm{out}+2(j-1)-(i-1))$. This rests on two "
            r"facts that are not derived here. Since $W^\mathsf{T}W$ has no preferred direction, the splitting "
            r"formula $\int Z_\kappa(A H C H^\mathsf{T})\,dH = Z_\kappa(A) Z_\kappa(C)/Z_\kappa(1)$ over rotations H "
            r"(Muirhead 1982, section 7.2) gives $\lambda = \mathbb{E}\,Z_\kappa(W^\mathsf{T}W)/Z_\kappa(1)$; and "
            r"$Z_\kappa(A)/Z_\kappa(1)$ is the average over H of $\prod_i \Delta_i(HAH^\mathsf{T})^{k_i-k_{i+1}}$, "
            r"$\Delta_i$ the leading minors (a spherical function; Helgason 1984, chapter IV). Write $n_\mathrm{in} "
            r"W^\mathsf{T}W = TT^\mathsf{T}$ with T lower triangular. By Gram and Schmidt, $t_{ii}^2$ is the part of "
            r"the i-th column's square that is orthogonal to the columns before: $\chi^2$ with $n_\mathrm{out}-i+1$ "
            r"degrees of freedom, all independent (Bartlett). Since $\Delta_i = t_{11}^2\cdots t_{ii}^2$, the "
            r"product of minors is $\prod_i (t_{ii}^2)^{k_i}$, and $\mathbb{E}\,(\chi^2_m)^k = m(m+2)\cdots(m+2k-2)$ "
            r"gives row i of $\kappa$ its factors, box by box."
        ),
        Step(
            r"**Haar corners.** With $Z_\kappa(1_n) = \prod(n+2(j-1)-(i-1))$, Weingarten's formula gives in the same "
            r"way that an $n_\mathrm{out}\times n_\mathrm{in}$ corner, unscaled, of a Haar matrix of size n "
            r"multiplies $Z_\kappa$ by $Z_\kappa(1_{n_\mathrm{out}})/Z_\kappa(1_n)$, for (2,1)",
            sp.Eq(
                mean(sp.Symbol("Z'")) / sp.Symbol("Z"),
                at_identity((2, 1), n_out) / at_identity((2, 1), n),
                evaluate=False,
            ),
        ),
    ]
    agreement = [
        Claim(
            rf"weight {k}: $\mathbb{{E}}\,Z_\kappa(WCW^\mathsf{{T}})$ by Wick's formula is $n_\mathrm{{in}}^{{-{k}}}"
            rf"\prod(n_\mathrm{{out}}+2(j-1)-(i-1))\,Z_\kappa(C)$, all $\kappa$",
            sp.Matrix([layer_average(zonal_polynomial(kappa), n_in, n_out)
                       for kappa in partitions_of(k)]),
            sp.Matrix([sp.expand(box_product(kappa, n_out) * zonal_polynomial(kappa) / n_in**k)
                       for kappa in partitions_of(k)]),
        )
        for k in weights
    ]  # fmt: skip
    corners = [
        Claim(
            rf"weight {k}: a Haar corner multiplies $Z_\kappa$ by $Z_\kappa(1_{{n_\mathrm{{out}}}})/Z_\kappa(1_n)$, "
            rf"all $\kappa$",
            sp.Matrix([_corner(kappa) for kappa in partitions_of(k)]),
            sp.Matrix([box_product(kappa, n_out) * zonal_polynomial(kappa) for kappa in partitions_of(k)]).expand(),
        )
        for k in (1, 2, 3)
    ]
    claims = (
        Claim(
            r"$\Delta$ has the eigenvalues $\sum_i k_i(k_i-i)+k(m-1)$ on m variables (here m = k), k = 1 to 4",
            sp.Matrix([operator_matrix(k)[i, i] for k in weights for i in range(len(partitions_of(k)))]),
            sp.Matrix(
                [
                    sum(part * (part - i) for i, part in enumerate(kappa, start=1)) + sum(kappa) * (sum(kappa) - 1)
                    for kappa in shapes
                ]
            ),
        ),
        Claim(r"$Z_{(2,1)}=p_1^3+p_1p_2-2p_3$ (James 1964)", zonal_polynomial((2, 1)), p1**3 + p1 * p2 - 2 * p3),
        Claim(
            r"$C_{(2,1)}=\frac{12}{5}m_{(2,1)}+\frac{18}{5}m_{(1,1,1)}$ (Muirhead 1982)",
            power_sum_matrix(3).LUsolve(sp.Matrix([0, sp.Rational(12, 5), sp.Rational(18, 5)])),
            sp.Matrix([zonal_c((2, 1)).coeff(p3), zonal_c((2, 1)).coeff(p1 * p2), zonal_c((2, 1)).coeff(p1**3)]),
        ),
        Claim(
            r"$\sum_\kappa C_\kappa=(\mathrm{Tr}\,C)^k$, k = 1 to 4",
            sp.Matrix([sp.expand(sum(zonal_c(kappa) for kappa in partitions_of(k))) for k in weights]),
            sp.Matrix([p1**k for k in weights]),
        ),
        Claim(
            r"$Z_\kappa(1_n)=\prod_{(i,j)\in\kappa}(n+2(j-1)-(i-1))$, weights 1 to 4",
            sp.Matrix([sp.expand(at_identity(kappa, n)) for kappa in shapes]),
            sp.Matrix([sp.expand(box_product(kappa, n)) for kappa in shapes]),
        ),
        *agreement,
        Claim(
            r"the same eigenvalues from Bartlett's $\prod_i\mathbb{E}\,(\chi^2_{n-i+1})^{k_i}$, weights 1 to 4",
            sp.Matrix([sp.expand(bartlett_product(kappa, n)) for kappa in shapes]),
            sp.Matrix([sp.expand(box_product(kappa, n)) for kappa in shapes]),
        ),
        *corners,
    )
    return Derivation("S2 at every order: trace moments by zonal polynomials", tuple(lines), claims)


def _name(partition: Partition) -> str:
    return "(" + ",".join(map(str, partition)) + ")"


def _named(partition: Partition) -> sp.Eq:
    return sp.Eq(sp.Symbol(f"Z_{_name(partition)}"), zonal_polynomial(partition), evaluate=False)


def _corner(partition: Partition) -> sp.Expr:
    """Z_κ(1_n) E Z_κ(O C Oᵀ) for an unscaled n_out × n_in corner of a Haar matrix of size n."""
    k = sum(partition)
    scale = at_identity(partition, n) * (n_in / n) ** k
    mean = average(zonal_polynomial(partition), lambda traces: weingarten.expectation(traces, n_in, n_out, n))
    p = [power_sum(j) for j in range(1, k + 1)]
    polynomial = sp.Poly(mean, *p, domain=sp.ZZ.frac_field(n, n_in, n_out))
    return sum(sp.cancel(scale * c) * sp.prod(x**e for x, e in zip(p, es, strict=True)) for es, c in polynomial.terms())
