r"""Products of Gaussian matrices at finite width: determinants, Lyapunov exponents, the complex density.

Question. J is a product of L Gaussian matrices. How fast does it stretch each direction, what is the mean of its
characteristic polynomial, and, where the entries are complex, what is the density of its squared singular values?

Assumptions. Independent normal entries of mean square 1/n_in, real but for the last part. Widths n_in, n_out, n.

Source. Newman 1986 (exponents); Goodman 1963 (determinants); Marcus, Spielman and Srivastava 2022 (finite free
convolution); Akemann, Ipsen and Kieburg 2013 (complex products; from there, and not derived here: the joint density of
the squared singular values x_i is proportional to the determinants of x_i^{j−1} and of functions w_j(x_i) with Mellin
transform Γ(s)^{L−1} Γ(s + j − 1)).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import sympy as sp

from theory import wick, zonal
from theory.derivation import Claim, Derivation, Step
from theory.wick import n, n_in, n_out, power_sum

L, k, s, degrees, x = sp.symbols("L k s d x", positive=True)


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


def elementary(k: int) -> sp.Expr:
    """e_k in the traces p_j, by Newton: k e_k = Σ (−1)^{j−1} e_{k−j} p_j."""
    if k == 0:
        return sp.Integer(1)
    return sp.expand(sum((-1) ** (j - 1) * elementary(k - j) * power_sum(j) for j in range(1, k + 1)) / k)


def layer_average(function: sp.Expr, n_in: sp.Expr, n_out: sp.Expr) -> sp.Expr:
    """E f(W C Wᵀ) by Wick's formula."""
    return zonal.average(function, lambda traces: wick.expectation(traces, n_in, n_out))


def characteristic_polynomial(widths: Sequence[int]) -> list[sp.Expr]:
    """(−1)^k E e_k(J Jᵀ), the highest power of x first, layer by layer from e_k(1) = binom(n_0, k)."""
    coefficients = []
    for k in range(widths[-1] + 1):
        value = sp.binomial(widths[0], k)
        for fan_in, fan_out in pairwise(widths):
            value *= sp.ff(fan_out, k) / sp.Integer(fan_in) ** k
        coefficients.append((-1) ** k * value)
    return coefficients


def dual_moment(m: int, k: int, depth: sp.Expr) -> sp.Expr:
    """∫ x^m φ_k dx, the Mellin transform (−1)^k k!^{−L−1} Γ(s)^L (1−s)_k at s = m + 1: entries of mean square one."""
    return (-1) ** k * sp.factorial(m) ** depth * sp.rf(-m, k) / sp.factorial(k) ** (depth + 1)


def polynomial(k: int, depth: sp.Expr) -> list[sp.Expr]:
    """P_k: coefficients of x^0 … x^k, entries of mean square one."""
    return [(-1) ** (k + j) * sp.binomial(k, j) * (sp.factorial(k) / sp.factorial(j)) ** depth for j in range(k + 1)]


def complex_moment(m: int, width: int, depth: sp.Expr) -> sp.Expr:
    """∫ x^m times the density, entries of mean square 1/n: Σ_{k<n} ∫ x^m P_k φ_k."""
    total = sum(
        coefficient * dual_moment(m + j, k, depth)
        for k in range(width)
        for j, coefficient in enumerate(polynomial(k, depth))
    )
    return total / (width * sp.Integer(width) ** (m * depth))


def derive() -> Derivation:
    sizes = range(5)
    mean = sp.Function("E")
    square = layer_average(elementary(2) ** 2, n_in, sp.Integer(2)).subs({power_sum(j): n_in for j in range(1, 5)})
    lines = (
        Step(
            r"**Frames.** Carry an orthonormal frame $E$ of k columns through the layers, by QR after each. A layer "
            r"multiplies it by a Gaussian matrix whose law does not depend on the frame, so the diagonals $R_{kk}$ of "
            r"different layers are independent, and $n_\mathrm{in}R_{kk}^2$ is the square of the part of the k-th "
            r"column that is orthogonal to those before: $\chi^2$ with $n_\mathrm{out}-k+1$ degrees of freedom "
            r"(Bartlett, as in `zonal`). The k-volume is the product of the $R_{kk}$, at every depth."
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
        Step(
            r"**The characteristic polynomial.** $Z_{(1^k)}=k!\,e_k$, so by `zonal` a layer multiplies "
            r"$\mathbb{E}\,e_k$ by $n_\mathrm{out}(n_\mathrm{out}-1)\cdots(n_\mathrm{out}-k+1)/n_\mathrm{in}^k$, and "
            r"$\det(x-C)=\sum(-1)^k e_k(C)\,x^{n-k}$. For three layers of width 2,",
            sp.Poly(characteristic_polynomial((2, 2, 2, 2)), x).as_expr(),
        ),
        Step(
            r"**Complex entries.** Let $\varphi_k$ have the Mellin transform "
            r"$\int x^{s-1}\varphi_k\,dx=(-1)^k k!^{-L-1}\,\Gamma(s)^L(1-s)_k$, a Meijer G-function in the span of the "
            r"$w_j$. At $s=m+1$ it vanishes for $m<k$; and with $P_k=\sum_j(-1)^{k+j}\binom kj(k!/j!)^L x^j$, the "
            r"mean of $\det(x-JJ^\dagger)$ at size k, $\int P_j\varphi_k\,dx=\delta_{jk}$. The density of one of n "
            r"points of a determinantal process is $\frac1n\sum_{k<n}P_k\varphi_k$. For n = 2 its second moment is",
            sp.simplify(complex_moment(2, 2, L)),
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
        Claim(
            r"$\mathbb{E}\,e_k(WCW^\mathsf{T})=n_\mathrm{out}\cdots(n_\mathrm{out}-k+1)\,e_k(C)/n_\mathrm{in}^k$ by "
            r"Wick's formula, k = 0 to 4",
            sp.Matrix([layer_average(elementary(k), n_in, n_out) if k else sp.Integer(1) for k in sizes]),
            sp.Matrix([sp.expand(sp.expand_func(sp.ff(n_out, k)) * elementary(k) / n_in**k) for k in sizes]),
        ),
        Claim(
            r"$Z_{(1^k)}=k!\,e_k$, k = 1 to 4",
            sp.Matrix([zonal.zonal_polynomial((1,) * k) for k in sizes[1:]]),
            sp.Matrix([sp.expand(sp.factorial(k) * elementary(k)) for k in sizes[1:]]),
        ),
        Claim(
            r"one layer: monic Laguerre polynomials, $n_\mathrm{out}=3$, $n_\mathrm{in}=5$",
            sp.Poly(characteristic_polynomial((5, 3)), x).as_expr(),
            sp.expand(-6 * sp.assoc_laguerre(3, 2, 5 * x) / 5**3),
        ),
        Claim(
            r"$\int P_j\varphi_k\,dx=\delta_{jk}$ for any L, j, k = 0 to 4",
            sp.Matrix(5, 5, lambda j, k: sum(c * dual_moment(m, k, L) for m, c in enumerate(polynomial(j, L)))),
            sp.eye(5),
        ),
        Claim(
            r"L = 1: $k!^2\varphi_k=(-1)^kk!\,e^{-x}L_k(x)$, moments 0 to 4 by integration",
            sp.Matrix(
                5,
                5,
                lambda m, k: sp.integrate(
                    sp.expand(x**m * (-1) ** k * sp.laguerre(k, x) / sp.factorial(k)) * sp.exp(-x), (x, 0, sp.oo)
                ),
            ),
            sp.Matrix(5, 5, lambda m, k: dual_moment(m, k, sp.Integer(1))),
        ),
        Claim(
            r"mass one, mean one, and the second moment $\frac12[(n+1)(1+\frac1n)^L-(n-1)(1-\frac1n)^L]$ of the "
            r"complex Wick formula, for any L, n = 1, 2, 3",
            sp.Matrix(3, 3, lambda m, i: sp.powsimp(sp.expand(complex_moment(m, i + 1, L)), force=True)),
            sp.Matrix(3, 3, lambda m, i: 1 if m < 2 else _second_moment(i + 1)),
        ),
    )
    return Derivation("Products at finite width: determinants, exponents, the complex density", lines, claims)


def _second_moment(n: int) -> sp.Expr:
    """Each complex layer multiplies p_1² ± p_2 by 1 ± 1/n: only W and its conjugate pair. At the start it is n² ± n."""
    n = sp.Integer(n)
    return ((n + 1) * (1 + 1 / n) ** L - (n - 1) * (1 - 1 / n) ** L) / 2
