r"""Plane waves over frames: the function ₀F₁ of 2×2 matrices, as a power series in determinant and trace.

**Question.** X has two rows of N entries, H runs over all frames of two orthonormal rows. What is F, the mean of
e^{Tr X Hᵀ}, as a function of X Xᵀ?

**Assumptions.** Frames are uniform, so that F depends on d = det X Xᵀ/16 and τ = Tr X Xᵀ/4 alone. N ≥ 2.

**Method.** H Hᵀ = 1 says that F, as a function of the entries of X, obeys Σ_k ∂_{ik} ∂_{jk} F = δ_ij F. The chain rule
makes of it two differential equations in d and τ, which determine all coefficients from F(0, 0) = 1.

**Result.** F = Σ_kj d^k τ^j/((c)_{2k+j} (c − ½)_k k! j!), c = N/2.

**Source.** The series: Muirhead 1975; ₀F₁ as a mean over frames: Muirhead 1982, section 7.4.
"""

from __future__ import annotations

import mpmath as mp
import sympy as sp

from theory.derivation import DIGITS, Claim, Derivation, Step
from theory.hyperbolic.transforms import HALF

LAWS: tuple[str, ...] = ()

N = sp.symbols("N", positive=True)
k, j = sp.symbols("k j", integer=True, nonnegative=True)
d, tau = sp.symbols("d tau", positive=True)
F = sp.Function("F")(d, tau)


def plane_wave_equations() -> tuple[sp.Expr, sp.Expr, sp.Expr]:
    """Sum, difference and the mixed one of Σ_k ∂_{ik} ∂_{jk} f = δ_ij f, f(X) = F(d, τ) of XXᵀ/4, X of N columns.

    f is a mean of e^{Tr X Hᵀ} over frames H, H Hᵀ = 1. Each column (x, y) of X adds to XXᵀ = [[p, q], [q, s]], and
    what the chain rule gives is of second degree in the column, so that the sum over columns is known.
    """
    x, y, p, q, s = sp.symbols("x y p q s")
    # The Gram matrix as a function of one column, of value [[p, q], [q, s]] at (x, y).
    u, v = sp.symbols("u v")
    entries = (p - x**2 + u**2, q - x * y + u * v, s - y**2 + v**2)
    trace, determinant = (entries[0] + entries[2]) / 4, (entries[0] * entries[2] - entries[1] ** 2) / 16

    def over_columns(first: sp.Symbol, second: sp.Symbol) -> sp.Expr:
        slopes = [(sp.diff(f, first), sp.diff(f, second), sp.diff(f, first, second)) for f in (determinant, trace)]
        (d_1, d_2, d_12), (t_1, t_2, t_12) = slopes
        found = d_12 * F.diff(d) + t_12 * F.diff(tau)
        found += d_1 * d_2 * F.diff(d, 2) + t_1 * t_2 * F.diff(tau, 2) + (d_1 * t_2 + d_2 * t_1) * F.diff(d, tau)
        terms = sp.Poly(sp.expand(found.subs({u: x, v: y})), x, y).terms()
        of_all = {(0, 0): N, (2, 0): p, (1, 1): q, (0, 2): s}
        return sum(value * of_all[powers] for powers, value in terms)

    equations = [over_columns(u, u) - F, over_columns(v, v) - F, over_columns(u, v)]
    values = {p: 2 * tau + x, s: 2 * tau - x, q: sp.sqrt(4 * tau**2 - x**2 - 16 * d)}
    one, two, mixed = (each.subs(values, simultaneous=True) for each in equations)
    return (
        sp.factor(sp.expand(one + two) / 2),
        sp.factor(sp.expand(one - two) / x),
        sp.factor(sp.expand(mixed) / values[q]),
    )


def coefficient(first: sp.Expr = k, second: sp.Expr = j) -> sp.Expr:
    """Of d^k τ^j in F: 1/((c)_{2k+j} (c − ½)_k k! j!), c = N/2."""
    c = N / 2
    rising = sp.gamma(c + 2 * first + second) / sp.gamma(c) * sp.gamma(c - HALF + first) / sp.gamma(c - HALF)
    return 1 / (rising * sp.gamma(first + 1) * sp.gamma(second + 1))


def ratio(numerator: sp.Expr, denominator: sp.Expr) -> sp.Expr:
    """A quotient of products of gamma functions, by Γ(z + 1) = z Γ(z) wherever arguments differ by integers."""
    counts: dict[sp.Expr, sp.Expr] = {}
    rest = sp.Integer(1)
    quotient = sp.powsimp(numerator / denominator)
    for base, power in quotient.as_powers_dict().items():
        if not isinstance(base, sp.gamma):
            rest *= base**power
            continue
        z = sp.expand(base.args[0])
        known = next((at for at in counts if sp.expand(z - at).is_Integer), z)
        steps = int(z - known)
        rest *= sp.prod(known + i for i in range(steps)) ** power / sp.prod(z + i for i in range(-steps)) ** power
        counts[known] = counts.get(known, sp.Integer(0)) + power
    return sp.factor(sp.powsimp(rest)) * sp.prod(sp.gamma(z) ** power for z, power in counts.items())


def two_columns(first: mp.mpf, second: mp.mpf) -> tuple[mp.mpf, mp.mpf]:
    """F for N = 2 by its series, and as the mean over rotations and reflections, ½ I_0(α+β) + ½ I_0(α−β)."""
    with mp.workdps(DIGITS + 20):
        det, trace = (first * second / 4) ** 2, (first**2 + second**2) / 4
        series = mp.fsum(
            det**m / (mp.rf(1, 2 * m) * mp.rf(0.5, m) * mp.factorial(m)) * mp.hyp0f1(1 + 2 * m, trace)
            for m in range(40)
        )
        return series, (mp.besseli(0, first + second) + mp.besseli(0, first - second)) / 2


def derive() -> Derivation:
    """Two differential equations, and their solution."""
    total, difference, mixed = plane_wave_equations()
    along = ratio(coefficient(k, j + 1), coefficient())
    across = ratio(coefficient(k, j + 2), coefficient(k + 1))
    steps = (
        Step(
            "Each plane wave has $\\sum_k\\partial_{ik}\\partial_{jk}e^{\\mathrm{Tr}XH^T}=(HH^T)_{ij}\\,"
            "e^{\\mathrm{Tr}XH^T}$, and $HH^T=1$. For a function of $d$ and $\\tau$ the difference of the two "
            "equations with $i=j$ is, and so is the one with $i\\ne j$,",
            sp.Eq(F.diff(tau, 2), d * F.diff(d, 2) + (N - 1) * F.diff(d) / 2, evaluate=False),
        ),
        Step(
            "and their sum, with this,",
            sp.Eq(tau * F.diff(tau, 2) + 2 * d * F.diff(d, tau) + N * F.diff(tau) / 2, F, evaluate=False),
        ),
        Step(
            "In a power series the second leads from $\\tau^j$ to $\\tau^{j+1}$, the first from $d^k$ to "
            "$d^{k+1}$. The coefficients are",
            sp.Eq(sp.Symbol("a_kj"), coefficient(), evaluate=False),
        ),
    )
    claims = (
        Claim(
            "Plane waves over frames, the sum of both rows: "
            "$\\tau(F_{\\tau\\tau}+dF_{dd}+\\tfrac{N-1}2F_d)/2+2dF_{d\\tau}+\\tfrac N2F_\\tau=F$",
            total,
            tau * (F.diff(tau, 2) + d * F.diff(d, 2) + (N - 1) * F.diff(d) / 2) / 2
            + 2 * d * F.diff(d, tau)
            + N * F.diff(tau) / 2
            - F,
        ),
        Claim(
            "and the difference: $F_{\\tau\\tau}=dF_{dd}+\\tfrac{N-1}2F_d$, which the mixed equation says too",
            sp.Matrix([difference * 2, mixed * 4]),
            sp.Matrix([F.diff(tau, 2) - d * F.diff(d, 2) - (N - 1) * F.diff(d) / 2] * 2),
        ),
        Claim(
            "The coefficients obey the first: $(j+1)(j+2k+\\tfrac N2)\\,a_{k,j+1}=a_{k,j}$",
            (j + 1) * (j + 2 * k + N / 2) * along,
            sp.Integer(1),
        ),
        Claim(
            "and the second: $(j+2)(j+1)\\,a_{k,j+2}=(k+1)(k+\\tfrac{N-1}2)\\,a_{k+1,j}$",
            (j + 2) * (j + 1) * across,
            (k + 1) * (k + (N - 1) / 2),
        ),
        Claim("$N=2$: $F$ by rotations and reflections of the plane", *two_columns(mp.mpf("1.3"), mp.mpf("0.4"))),
    )
    return Derivation("Plane waves over frames", steps, claims)
