r"""Depth: S2 in closed form, its 1/N expansion, and the thesis's law S1 out of it.

Question. The 2×2 recursions of `wick` and `weingarten` take the pair (E Tr C², E (Tr C)²) through one layer. What
do L layers make of it, and what is left of that when the layers are wide?

Assumptions. Those of the recursions: W Gaussian or Haar, independent slopes D_i with moments μ_1 and μ_2; the
inputs are isotropic, C = 1 before the first layer. For the expansion, widths grow together at fixed depth.

What it is about. The annealed ratio E Tr C²/E (Tr C)², a ratio of means. It is neither the mean of Tr C²/(Tr C)²
nor the mean VNI; the three agree to first order in L/N only, and there the law of the thesis stands.

Source. Chang and Lin 2019 (S1); Hanin and Nica 2020 for L/N as the parameter of such products.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import sympy as sp

from theory import weingarten, wick
from theory.derivation import Claim, Derivation, Step

N, L, t, epsilon, r, size = sp.symbols("N L t epsilon r S", positive=True)
n_in, n_out = wick.n_in, wick.n_out
_x = sp.Symbol("x", positive=True)
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
    return sp.cancel((step[0, 0] * _x + step[0, 1]) / (step[1, 0] * _x + step[1, 1]))


@cache
def layer_increment(weights: str) -> sp.Expr:
    """What one layer adds to x, to first order in 1/width.

    Every width is written as itself over ε, and x, of order 1/width, as ε x; the map is differentiated at ε = 0.
    """
    wide = {symbol: symbol / epsilon for symbol in (n_in, n_out, size)}
    after = sp.cancel(layer_map(weights).subs(wide | {_x: epsilon * _x}, simultaneous=True))
    return sp.expand(sp.cancel(sp.diff(after, epsilon).subs(epsilon, 0)) - _x)


def first_order(widths: Sequence[sp.Expr], ratio: sp.Expr, weights: str) -> sp.Expr:
    """The annealed ratio of a network of these widths n_0, …, n_L to first order in 1/width: 1/n_0 + Σ_l increment."""
    widths = [sp.sympify(width) for width in widths]
    total = 1 / widths[0]
    for before, after in pairwise(widths):
        chosen = before if before == after else sp.Max(before, after)
        total += layer_increment(weights).subs({n_in: before, n_out: after, r: ratio, size: chosen}, simultaneous=True)
    return total


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


def exact_first_order(widths: Sequence[sp.Expr], sizes: Sequence[sp.Expr], weights: str) -> sp.Expr:
    """The term of order 1/width of the exact ratio after all layers, by differentiation of the whole.

    Symbols only: the widths n_0, …, n_L, and for Haar weights the sizes S_l of the matrices of which W_l are corners.
    """
    wide = sp.cancel(layer_map(weights).subs({symbol: symbol / epsilon for symbol in (n_in, n_out, size)}))
    x = epsilon / widths[0]
    for before, after, corner_of in zip(widths, widths[1:], sizes, strict=False):
        x = wide.subs({n_in: before, n_out: after, size: corner_of, _x: x}, simultaneous=True)
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


def derive() -> Derivation:
    square, squared = annealed_traces()
    step = recursion("gaussian", N, N)
    n, sizes = sp.symbols("n_0:4", positive=True), sp.symbols("S_1:3", positive=True)
    s1 = sp.Symbol("s_1")
    rate = {weights: N * layer_increment(weights).subs({n_out: N, size: N}) for weights in WEIGHTS}
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
            r"$p_1^2 + 2p_2$ and $p_1^2 - p_2$ (`zonal`), which are the left eigenvectors. Decompose the start, $(N, "
            r"N^2)$, and multiply each part by its eigenvalue L times:",
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
            r"Before the first layer $x = 1/n_0$. With all widths of order $1/\varepsilon$ and x of order "
            r"$\varepsilon$, a layer adds, up to $\varepsilon^2$,",
            sp.Eq(sp.Symbol("x'") - sp.Symbol("x"), layer_increment("gaussian"), evaluate=False),
        ),
        Step(
            r"and for Haar weights, cut from a matrix of size $S = \max(n_\mathrm{in}, n_\mathrm{out})$,",
            sp.Eq(sp.Symbol("x'") - sp.Symbol("x"), layer_increment("orthogonal"), evaluate=False),
        ),
        Step(
            r"neither of which depends on x: layers add up. With all widths N the sum is $1/N + (L/N)\,r$ for "
            r"Gaussian and $1/N + (L/N)(r-1)$ for Haar weights, which is the law of the thesis, $s_1$ being $-1$ and "
            r"$0$ (`free_probability`):",
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
            r"S1, Gaussian ($s_1=-1$), L, N, $\mu_1$, $\mu_2$ symbolic",
            1 / N + sp.Sum(rate["gaussian"] / N, (sp.Symbol("l"), 1, L)).doit(),
            (1 / N + L / N * (r - 1 - s1)).subs(s1, -1),
        ),
        Claim(
            r"S1, Haar ($s_1=0$), L, N, $\mu_1$, $\mu_2$ symbolic",
            1 / N + sp.Sum(rate["orthogonal"] / N, (sp.Symbol("l"), 1, L)).doit(),
            (1 / N + L / N * (r - 1 - s1)).subs(s1, 0),
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
        Claim(
            r"linear Haar layers of constant width change nothing: the ratio stays $1/N$",
            layer_map("orthogonal").subs({r: 1, n_in: N, n_out: N, size: N}),
            _x,
        ),
    )
    return Derivation("Depth: exact moments and the first-order law", lines, claims)


def _closed_form(width: sp.Expr, depth: sp.Expr) -> sp.Expr:
    """The statement of S2, as it is printed."""
    symmetric = (width**2 + 2 * width) * (1 + 2 / width) ** depth
    antisymmetric = (width**2 - width) * (1 - 1 / width) ** depth
    return (symmetric - antisymmetric) / (symmetric + 2 * antisymmetric)
