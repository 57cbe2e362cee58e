r"""Wide layers of any widths: each layer multiplies x(u) by a factor of its own.

Question. Layers have widths n_0, …, n_L in fixed ratios r_l = n_l/n_0, Gaussian or Haar weights, and slopes of any law.
As all widths grow, which equation gives the eigenvalues of J Jᵀ, their density, and their distribution function?

Definition. u = (1/n_0) Tr J Jᵀ (x − J Jᵀ)^{−1}, an expansion in 1/x whose coefficients are the moments of J Jᵀ, counted
per input; x(u) is its inverse. Only nonzero eigenvalues count, so A B and B A have the same u.

Assumptions. Factors that follow each other are asymptotically free, so that their S-transforms multiply (Voiculescu
1987); as in `free_probability` this is checked here against Wick's formula. The S-transform of a matrix on n_l nodes is
a function of w = u/r_l.

Source. Pennington, Schoenholz and Ganguli 2018 (spectra of Jacobians); Forrester and Liu 2015 (parametrisation of the
Fuss–Catalan law).
"""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp

from theory import wick
from theory.derivation import Claim, Derivation, Step
from theory.free_probability import epsilon, s_transform, truncated, z
from theory.wick import n

a, c, p, zeta = sp.symbols("a c p zeta", positive=True)
L = sp.Symbol("L", positive=True)
phi = sp.Symbol("phi", positive=True)
u, r, r_out = sp.symbols("u r r_out", positive=True)


def planar_limit(k: int, before: Sequence[sp.Expr], slopes: Sequence[sp.Expr] | None = None) -> sp.Expr:
    """lim (1/n_in) E Tr (D W C Wᵀ D)^k with n_out = c n_in, where (1/n_in) Tr C^j → the given m_j; by Wick."""
    mean = wick.expectation((k,), n, c * n, None if slopes is None else tuple(slopes))
    mean = mean.subs({wick.power_sum(j): n * m for j, m in enumerate(before, start=1)})
    return sp.expand(sp.expand(mean / n).subs(n, 1 / epsilon)).subs(epsilon, 0)


def two_values(a: sp.Expr, p: sp.Expr) -> sp.Expr:
    """S(z) of a variable that is a with probability p, and else 0: ψ(ζ) = p a ζ/(1 − a ζ) solved for ζ."""
    inverse = sp.solve(sp.Eq(p * a * zeta / (1 - a * zeta), z), zeta)[0]
    return sp.factor(inverse * (1 + z) / z)


def moment_per_input(k: int, product: sp.Expr) -> sp.Expr:
    """[x^{−k}] of u, from u x(u) as a function of u: Lagrange's (1/k) [u^{k−1}] (u x(u))^k."""
    return sp.factor(sp.diff(product**k, u, k - 1).subs(u, 0) / sp.factorial(k))


def layer(before: Sequence[sp.Expr], slopes: Sequence[sp.Expr]) -> sp.Expr:
    """u x(u) after a Gaussian layer of ratio c upon C and before slopes, of given moments: the first terms."""
    count = len(before)
    inputs = (1 + u) / s_transform(before).subs(z, u)
    by_slopes = 1 / s_transform(slopes).subs(z, u / c)
    return _series(inputs * gaussian_factor(sp.Integer(1), c) * by_slopes, count)


def gaussian_factor(r: sp.Expr, r_out: sp.Expr) -> sp.Expr:
    """What Gaussian W multiplies x by, σ_w = 1: 1/S of WᵀW at w = u/r."""
    return (r_out + u) / r


def haar_factor(r: sp.Expr, r_out: sp.Expr) -> sp.Expr:
    """What a narrowing Haar W multiplies x by, σ_w = 1: WᵀW is a projection upon n_out of n_in directions."""
    return sp.factor(1 / two_values(sp.Integer(1), r_out / r).subs(z, u / r))


def primitive(output: sp.Expr) -> dict[str, tuple[sp.Expr, sp.Expr]]:
    """Of each factor of x: its logarithm and the term that it adds to the primitive, for eigenvalues per output r_L.

    The average T(ζ) = E[s/(1 − ζs)] over r n_0 nodes has u = r ζ T(ζ), and E ln(1 − ζs) has the derivative −T.
    """
    mean = sp.Function("T")
    t = sp.Symbol("t", positive=True)
    entropy = -sp.Integral(mean(t), (t, 0, zeta))
    return {
        "inputs": (-sp.log(u), -u - output * sp.log(u)),
        "shift": (sp.log(c + u), u + (output - c) * sp.log(c + u)),
        "slopes": (sp.log(mean(zeta)), output * sp.log(mean(zeta)) + r * zeta * mean(zeta) + r * entropy),
    }


def primitive_rest(kind: str) -> sp.Expr:
    """Derivative of a term less (r_L + u) times that of the logarithm: zero if it is the primitive's."""
    output = sp.Symbol("r_L", positive=True)
    logarithm, term = primitive(output)[kind]
    if kind != "slopes":
        return sp.diff(term, u) - (output + u) * sp.diff(logarithm, u)
    return sp.diff(term, zeta) - (output + r * zeta * sp.Function("T")(zeta)) * sp.diff(logarithm, zeta)


def fuss_catalan_curve() -> tuple[sp.Expr, sp.Expr, sp.Expr]:
    """1 + u on the upper side of the spectrum, x and the density there, as functions of φ."""
    top, low, step = sp.sin((L + 1) * phi), sp.sin(L * phi), sp.sin(phi)
    point = top / low * sp.exp(sp.I * phi)
    return point, top ** (L + 1) / (step * low**L), step**2 * low ** (L - 1) / (sp.pi * top**L)


def _series(function: sp.Expr, terms: int) -> sp.Expr:
    return truncated(function.subs(u, z), terms).subs(z, u)


def _log_polar(product: sp.Expr) -> sp.Expr:
    """ln of a product of positive factors and a phase."""
    phase = sp.Mul(*(factor for factor in product.args if isinstance(factor, sp.exp)))
    return sp.log(product / phase) + phase.exp


def derive() -> Derivation:
    m, mu = sp.symbols("m_1:4", positive=True), sp.symbols("mu_1:4", positive=True)
    wishart = [planar_limit(k, [sp.Integer(1)] * 4) for k in (1, 2, 3, 4)]
    by_wick = sp.Matrix([planar_limit(k, m, mu) for k in (1, 2, 3)])
    product = layer(m, mu)
    by_factors = sp.Matrix([moment_per_input(k, product) for k in (1, 2, 3)])
    point, x, density = fuss_catalan_curve()
    beyond = sp.sin(phi) / sp.sin(L * phi) * sp.exp(sp.I * (L + 1) * phi)
    kinds = ("inputs", "shift", "slopes")
    lines = (
        Step(
            r"**One factor.** On its own n nodes a matrix has $\psi(1/x)=w$, so $x=1/\chi(w)=\frac{1+w}{w\,S(w)}$. "
            r"With a free factor A, $S_{AC}=S_AS_C$: x is multiplied by $1/S_A(w)$. Counted per input, $u=r\,w$ is the "
            r"same for $D\,W\,C\,W^\mathsf{T}D$ and its cyclic permutations, whatever the number of nodes. From the "
            r"inputs, $x=(1+u)/u$, layer upon layer:"
        ),
        Step(
            r"**Gaussian W**, from $r$ to $r'$. $W^\mathsf{T}W$ has the planar moments of Marchenko and Pastur and "
            r"$S=1/(c+w)$ with $c=r'/r$, whence the factor, times $\sigma_w^2$,",
            gaussian_factor(r, r_out),
        ),
        Step(
            r"**Haar W.** Narrowing, $W^\mathsf{T}W$ is $\sigma_w^2$ times a projection upon a fraction $r'/r$. "
            r"Widening, it is $\sigma_w^2r'/r$. The first has the factor, times $\sigma_w^2$,",
            haar_factor(r, r_out),
        ),
        Step(
            r"**Slopes.** With $s=\varphi'^2$, $\psi(\zeta)=\mathbb{E}\frac{\zeta s}{1-\zeta s}=w$ makes "
            r"$S=\zeta(1+w)/w$, and the factor is $T(\zeta)/(1+w)$, $T=\mathbb{E}\frac{s}{1-\zeta s}$. If s is a "
            r"with probability p and else 0,",
            sp.factor(1 / two_values(a, p).subs(z, sp.Symbol("w"))),
        ),
        Step(
            r"**Density.** At $x+i0$ the density of eigenvalues per output is $-\mathrm{Im}\,u/(\pi r_Lx)$. The "
            r"distribution function is $-\mathrm{Im}/(\pi r_L)$ of the primitive of $(r_L+u)\,d\ln x$, to which each "
            r"factor adds a term: $1/u$ adds $-u-r_L\ln u$; $c+u$ adds $u+(r_L-c)\ln(c+u)$; and $T(\zeta)$, with "
            r"$u=r\zeta T$, adds $r_L\ln T+u+r\,\mathbb{E}\ln(1-\zeta s)$."
        ),
        Step(
            r"**Linear, square, Gaussian.** $x=(1+u)^{L+1}/u$ is real on the curve $1+u=\sin((L+1)\varphi)\,"
            r"e^{\pm i\varphi}/\sin L\varphi$, where $u=\sin\varphi\,e^{\pm i(L+1)\varphi}/\sin L\varphi$. There",
            sp.Eq(sp.Symbol("x"), x, evaluate=False),
        ),
        Step(r"and the density is", density),
    )
    claims = (
        Claim(
            r"Gaussian W of any shape: $S_{W^\mathsf{T}W}=1/(c+z)$, four coefficients from Wick's formula",
            s_transform(wishart),
            truncated(1 / (c + z), 4),
        ),
        Claim(
            r"freeness: moments of $DWCW^\mathsf{T}D$ by Wick's formula are those of the factors, any shape, any $m_k$ "
            r"and $\mu_k$, k = 1 to 3",
            by_wick,
            by_factors.expand(),
        ),
        Claim(
            r"Haar W, narrowing: the factor is $(r'+u)/(r+u)$",
            haar_factor(r, r_out),
            (r_out + u) / (r + u),
        ),
        Claim(
            r"slopes a or 0: the factor is $a(p+w)/(1+w)$",
            1 / two_values(a, p),
            a * (p + z) / (1 + z),
        ),
        Claim(
            r"the terms of the primitive have the derivative $(r_L+u)\,d\ln x/du$",
            sp.Matrix([primitive_rest(kind) for kind in kinds]).applyfunc(sp.simplify),
            sp.zeros(3, 1),
        ),
        Claim(
            r"$u=\sin\varphi\,e^{i(L+1)\varphi}/\sin L\varphi$ on the curve",
            sp.expand((point - 1 - beyond).rewrite(sp.exp) * sp.sin(L * phi).rewrite(sp.exp)),
            sp.Integer(0),
        ),
        Claim(
            r"$(L+1)\ln(1+u)-\ln u=\ln x$ there, phases included",
            sp.expand_log((L + 1) * _log_polar(point) - _log_polar(beyond), force=True),
            sp.expand_log(sp.log(x), force=True),
        ),
        Claim(
            r"$\mathrm{Im}\,u/(\pi x)$ is the density",
            sp.powsimp(sp.sin((L + 1) * phi) * sp.sin(phi) / sp.sin(L * phi) / sp.pi / x / density, force=True),
            sp.Integer(1),
        ),
    )
    return Derivation("Free products: wide layers of any widths and slopes", lines, claims)
