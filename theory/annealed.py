r"""S2, exact annealed moments at any width and depth: the ratio E Tr C²/E (Tr C)² for C = J Jᵀ.

**Question.** The 2×2 recursions of `wick` and `weingarten` take the pair (E Tr C², E (Tr C)²) through one layer. What
do L layers make of it, in closed form and in powers of 1/N?

**Assumptions.** Those of the recursions: W is Gaussian or Haar, the slopes D_i are independent with moments μ_1 and
μ_2, and the inputs are isotropic, so that C = 1 before the first layer.

**Method.** The recursion is linear. With constant width it is diagonalised, and its eigenvectors are the zonal
polynomials of weight 2 (`trace_moments`). The ratio of the two means goes through a Möbius map at each layer.

**Result.** With λ_1 = 1 + 2/N and λ_2 = 1 − 1/N, the ratio of a linear Gaussian network of width N is ((N² + 2N)λ_1^L −
(N² − N)λ_2^L)/((N² + 2N)λ_1^L + 2(N² − N)λ_2^L). It is a ratio of means: neither the mean of Tr C²/(Tr C)² nor the mean
VNI. The three agree to first order in L/N only (`first_order`).

**Source.** Chang and Lin 2019 have the first order. Hanin and Nica 2020 have L/N as the parameter of such products.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import sympy as sp

from theory import weingarten, wick
from theory.derivation import Claim, Derivation, Step

LAWS: tuple[str, ...] = ("annealed_participation", "log_trace_moments")

N, L, t, epsilon, r, size = sp.symbols("N L t epsilon r S", positive=True)
n_in, n_out = wick.n_in, wick.n_out
x_before = sp.Symbol("x", positive=True)
WEIGHTS = ("gaussian", "orthogonal")


def recursion(
    weights: str, n_in: sp.Expr, n_out: sp.Expr, ratio: sp.Expr = sp.S.One, size: sp.Expr | None = None
) -> sp.Matrix:
    """The 2×2 recursion of one layer in units of (σ_w² μ_1)², with ratio = μ_2/μ_1².

    Raises
    ------
    ValueError
        If `weights` is neither "gaussian" nor "orthogonal".
    """
    if weights not in WEIGHTS:
        raise ValueError(f"weights must be one of {WEIGHTS}, got {weights!r}")
    if weights == "gaussian":
        return wick.gaussian_recursion(n_in, n_out, 1, ratio)
    return weingarten.haar_recursion(n_in, n_out, 1, ratio, size=size)


def annealed_pair(widths: Sequence[sp.Expr], ratio: sp.Expr, weights: str) -> sp.Matrix:
    """(E Tr C², E (Tr C)²) of a network of these widths n_0, …, n_L, in units of (σ_w² μ_1)^{2L}; isotropic inputs."""
    pair = sp.Matrix([widths[0], widths[0] ** 2])
    for shape in pairwise(widths):
        pair = recursion(weights, *shape, ratio) * pair
    return pair


@cache
def linear_modes() -> tuple[tuple[sp.Expr, sp.Matrix], ...]:
    """Eigenvalues and eigenvectors of the square linear Gaussian recursion, larger eigenvalue first."""
    step = recursion("gaussian", N, N)
    modes = [(sp.expand(value), vector) for value, _, (vector,) in step.eigenvects()]
    return tuple(sorted(modes, key=lambda mode: mode[0].subs(N, 2), reverse=True))


def annealed_traces(width: sp.Expr = N, depth: sp.Expr = L) -> sp.Matrix:
    """(E Tr C², E (Tr C)²) after linear Gaussian layers of constant width, by the eigenvectors; σ_w = 1."""
    (first, u), (second, v) = linear_modes()
    amplitudes = sp.Matrix.hstack(u, v).LUsolve(sp.Matrix([N, N**2])).applyfunc(sp.cancel)
    pair = amplitudes[0] * first**depth * u + amplitudes[1] * second**depth * v
    return pair.subs(N, width)


def annealed_ratio(width: sp.Expr = N, depth: sp.Expr = L) -> sp.Expr:
    """E Tr C²/E (Tr C)² after linear Gaussian layers of constant width (S2)."""
    square, squared = annealed_traces(width, depth)
    return square / squared


def layer_map(weights: str) -> sp.Expr:
    """The annealed ratio x after a layer, from x before it: the 2×2 recursion acts on x as a Möbius map.

    In n_in, n_out, r = μ_2/μ_1² and, for Haar weights, the size S of the matrix of which W is a corner.
    """
    step = recursion(weights, n_in, n_out, r, size)
    return sp.cancel((step[0, 0] * x_before + step[0, 1]) / (step[1, 0] * x_before + step[1, 1]))


def taylor(function: sp.Expr, order: int) -> list[sp.Expr]:
    """Coefficients of 1, ε, …, ε^order of a function that is smooth at ε = 0."""
    coefficients = []
    for k in range(order + 1):
        coefficients.append(sp.factor(function.subs(epsilon, 0)) / sp.factorial(k))
        function = sp.diff(function, epsilon)
    return coefficients


def annealed_expansion(order: int) -> list[sp.Expr]:
    """Coefficients of 1, 1/N, …, 1/N^order of the linear Gaussian annealed ratio at fixed L."""
    square, squared = (sp.expand(trace * epsilon**2) for trace in annealed_traces(1 / epsilon))
    return taylor(square / squared, order)


def derive() -> Derivation:
    square, squared = annealed_traces()
    step = recursion("gaussian", N, N)
    mean, trace = sp.Function("E"), sp.Function("Tr")
    ratio = mean(trace(sp.Symbol("C") ** 2)) / mean(trace(sp.Symbol("C")) ** 2)
    closed = _closed_form(N, L)
    lines = (
        Step(
            r"**Linear, Gaussian, all widths N.** With $\mu_1 = \mu_2 = \sigma_w = 1$ each layer multiplies the pair "
            r"$(\mathbb{E}\,\mathrm{Tr}\,C^2, \mathbb{E}\,(\mathrm{Tr}\,C)^2)$ by",
            step,
        ),
        Step(
            r"with eigenvalues $\lambda_1 = 1 + 2/N$ and $\lambda_2 = 1 - 1/N$; they belong to the zonal polynomials "
            r"$p_1^2 + 2p_2$ and $p_1^2 - p_2$ (`trace_moments`), which are the left eigenvectors. Decompose the "
            r"start, $(N, N^2)$, and multiply each part by its eigenvalue L times:",
            sp.Eq(ratio, closed, evaluate=False),
        ),
        Step(
            r"**Wide layers.** At fixed L, in powers of $1/N$:",
            sp.Eq(ratio, sum(c / N**k for k, c in enumerate(annealed_expansion(2))), evaluate=False),
        ),
        Step(
            r"the first term of which is S1, and the second is not that of the mean VNI (S4), $-\frac32 L^2/N^2$ for "
            r"large L: the annealed ratio bends upward. At fixed depth to width $t = L/N$ it tends to",
            sp.simplify(sp.limit(annealed_ratio(N, N * t), N, sp.oo)),
        ),
        Step(
            r"**Any slopes.** Let $r = \mu_2/\mu_1^2$. The recursion is linear in the pair, so the ratio $x$ of its "
            r"two members goes through a Möbius map, in which $\mu_1$ and $\sigma_w$ cancel. For Gaussian weights",
            sp.Eq(sp.Symbol("x'"), layer_map("gaussian"), evaluate=False),
        ),
        Step(
            r"and for Haar weights, of which W is a corner of a matrix of size S,",
            sp.Eq(sp.Symbol("x'"), layer_map("orthogonal"), evaluate=False),
        ),
    )
    claims = (
        Claim(
            r"$(p_2,p_1^2)$: the left eigenvectors are the zonal $p_1^2+2p_2$ and $p_1^2-p_2$, with $1+2/N$ and "
            r"$1-1/N$",
            sp.Matrix([[2, 1], [-1, 1]]) * step,
            sp.diag(1 + 2 / N, 1 - 1 / N) * sp.Matrix([[2, 1], [-1, 1]]),
        ),
        Claim(r"S2 at depth zero: $(N,N^2)$", annealed_traces(N, sp.S.Zero).applyfunc(sp.expand), sp.Matrix([N, N**2])),
        Claim(
            r"S2 from L to L + 1, L symbolic: the closed pair obeys the recursion",
            (step * sp.Matrix([square, squared])).applyfunc(sp.powsimp),
            annealed_traces(N, L + 1),
        ),
        Claim(
            r"S2: "
            r"$\frac{\mathbb{E}\,\mathrm{Tr}\,C^2}{\mathbb{E}\,(\mathrm{Tr}\,C)^2}=\frac{(N^2+2N)\lambda_1^L-(N^2-N)\lambda_2^L}{(N^2+2N)\lambda_1^L+2(N^2-N)\lambda_2^L}$",
            sp.Matrix([3 * square, 3 * squared]),
            sp.Matrix(sp.fraction(closed)),
        ),
        Claim(
            r"its expansion: $0+(L+1)/N+\frac12L(L+1)/N^2$",
            sp.Matrix(annealed_expansion(2)),
            sp.Matrix([0, L + 1, L * (L + 1) / 2]),
        ),
        Claim(
            r"at fixed $t=L/N$ it tends to $(e^{3t}-1)/(e^{3t}+2)$",
            sp.limit(annealed_ratio(N, N * t), N, sp.oo),
            (sp.exp(3 * t) - 1) / (sp.exp(3 * t) + 2),
        ),
        Claim(
            r"linear Haar layers of constant width change nothing: the ratio stays what it was",
            layer_map("orthogonal").subs({r: 1, n_in: N, n_out: N, size: N}),
            x_before,
        ),
    )
    return Derivation("S2: exact annealed moments at any width and depth", lines, claims)


def _closed_form(width: sp.Expr, depth: sp.Expr) -> sp.Expr:
    """The statement of S2, as it is printed."""
    symmetric = (width**2 + 2 * width) * (1 + 2 / width) ** depth
    antisymmetric = (width**2 - width) * (1 - 1 / width) ** depth
    return (symmetric - antisymmetric) / (symmetric + 2 * antisymmetric)
