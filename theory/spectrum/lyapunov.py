r"""S6, Lyapunov exponents and the mean log-determinant of linear Gaussian networks, at any width.

**Question.** J is a product of L Gaussian matrices. How fast does it stretch each direction, and what is the mean of ln
det J Jᵀ?

**Assumptions.** Linear layers, with independent real normal weights of mean square 1/n_in. Widths are any integers.

**Method.** A frame of k orthonormal columns is carried through the layers by QR. The law of a Gaussian matrix does not
depend on the frame it is multiplied with, so what each layer stretches is independent of the others.

**Result.** λ_k = ½[ln(2/N) + ψ((N − k + 1)/2)]. The mean log-determinant, or that of the product of nonzero
eigenvalues, is a sum of such logarithms, with a full frame of the narrowest layer carried both ways.

**Source.** Newman 1986 (exponents); Goodman 1963 (determinants).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import sympy as sp

from theory import wick
from theory.derivation import Claim, Derivation, Step
from theory.trace_moments import elementary, layer_average
from theory.wick import n, n_in, power_sum

LAWS: tuple[str, ...] = ("lyapunov_exponents", "mean_log_determinant")

k, s, degrees, x = sp.symbols("k s d x", positive=True)


def chi_square_power(s: sp.Expr, degrees: sp.Expr) -> sp.Expr:
    """E (χ²)^s for any s, from the density."""
    density = x ** (degrees / 2 - 1) * sp.exp(-x / 2)
    return sp.integrate(x**s * density, (x, 0, sp.oo)) / sp.integrate(density, (x, 0, sp.oo))


def mean_log_chi_square(degrees: sp.Expr) -> sp.Expr:
    """E ln χ², the derivative of E (χ²)^s at s = 0."""
    d = sp.Symbol("d", positive=True)
    return sp.simplify(sp.diff(chi_square_power(s, d), s).subs(s, 0)).subs(d, degrees)


def log_stretch(k: sp.Expr, n_in: sp.Expr, n_to: sp.Expr) -> sp.Expr:
    """E ln R_kk² for a frame carried through one layer into n_to dimensions: n_in R_kk² is χ² with n_to − k + 1."""
    return mean_log_chi_square(n_to - k + 1) - sp.log(n_in)


def lyapunov_exponent(k: sp.Expr, width: sp.Expr) -> sp.Expr:
    """λ_k of layers of equal width."""
    return log_stretch(k, width, width) / 2


def mean_log_determinant(widths: Sequence[int]) -> sp.Expr:
    """E ln det (J Jᵀ), or of the product of the nonzero eigenvalues: frames out of the narrowest layer both ways."""
    narrowest = list(widths).index(min(widths))
    return sum(
        log_stretch(sp.Integer(k), sp.Integer(fan_in), sp.Integer(fan_in if layer < narrowest else fan_out))
        for layer, (fan_in, fan_out) in enumerate(pairwise(widths))
        for k in range(1, min(widths) + 1)
    )


def derive() -> Derivation:
    mean = sp.Function("E")
    square = layer_average(elementary(2) ** 2, n_in, sp.Integer(2)).subs({power_sum(j): n_in for j in range(1, 5)})
    lines = (
        Step(
            r"**Frames.** Carry an orthonormal frame $E$ of k columns through the layers, by QR after each. A layer "
            r"multiplies it by a Gaussian matrix whose law does not depend on the frame, so the diagonals $R_{kk}$ of "
            r"different layers are independent, and $n_\mathrm{in}R_{kk}^2$ is the square of the part of the k-th "
            r"column that is orthogonal to those before: $\chi^2$ with $n_\mathrm{out}-k+1$ degrees of freedom "
            r"(Bartlett, as in `trace_moments`). The k-volume is the product of the $R_{kk}$, at every depth."
        ),
        Step(
            r"**Its mean logarithm** is the derivative at 0 of "
            r"$\mathbb{E}\,(\chi^2_d)^s=2^s\Gamma(d/2+s)/\Gamma(d/2)$:",
            sp.Eq(mean(sp.log(sp.Symbol("chi_d^2"))), mean_log_chi_square(degrees), evaluate=False),
        ),
        Step(
            r"**Lyapunov exponents.** With all widths N, the rate of the k-th direction is",
            sp.Eq(sp.Symbol("lambda_k"), lyapunov_exponent(k, n), evaluate=False),
        ),
        Step(
            r"**The determinant.** At the narrowest layer $J=AB$, and the product of the nonzero eigenvalues of "
            r"$JJ^\mathsf{T}$ is $\det(A^\mathsf{T}A)\det(BB^\mathsf{T})$: a full frame of the narrowest layer, "
            r"carried through $A$ and through $B^\mathsf{T}$. For widths 3, 2, 4 its mean logarithm is",
            mean_log_determinant((3, 2, 4)),
        ),
    )
    claims = (
        Claim(
            r"$\mathbb{E}\ln\chi^2_d=\ln2+\psi(d/2)$",
            mean_log_chi_square(degrees),
            sp.log(2) + sp.digamma(degrees / 2),
        ),
        Claim(
            r"$\lambda_k=\frac12[\ln(2/N)+\psi((N-k+1)/2)]$ (Newman 1986)",
            lyapunov_exponent(k, n),
            (sp.log(2) - sp.log(n) + sp.digamma((n - k + 1) / 2)) / 2,
        ),
        Claim(
            r"N = 1: $\mathbb{E}\ln z^2=-\gamma-\ln2$",
            2 * lyapunov_exponent(sp.Integer(1), sp.Integer(1)),
            -sp.EulerGamma - sp.log(2),
        ),
        Claim(
            r"two rows: $\mathbb{E}\det(WW^\mathsf{T})^2$ by Wick's formula is that of $\chi^2_n\chi^2_{n-1}/n^2$",
            square,
            sp.expand(wick.chi_square_moment(2, n_in) * wick.chi_square_moment(2, n_in - 1) / n_in**4),
        ),
    )
    return Derivation("S6: Lyapunov exponents and the mean log-determinant", lines, claims)
