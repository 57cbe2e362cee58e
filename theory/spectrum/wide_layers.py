r"""S6, wide layers: each layer multiplies x(u) by a factor of its own, and this is the law of the spectrum of J Jᵀ.

**Question.** Layers have widths n_0, …, n_L in fixed ratios r_l = n_l/n_0, Gaussian or Haar weights, and slopes of any
law. As all widths grow, which equation gives the eigenvalues of J Jᵀ, their density, and their distribution function?

**Assumptions.** Factors that follow each other are asymptotically free, so that their S-transforms multiply
(`spectrum.free_probability`). The S-transform of a matrix on n_l nodes is a function of w = u/r_l.

**Method.** Let u = (1/n_0) Tr J Jᵀ (x − J Jᵀ)^{−1}, an expansion in 1/x whose coefficients are the moments of J Jᵀ,
counted per input, and let x(u) be its inverse. Only nonzero eigenvalues count, so A B and B A have the same u, and one
equation takes in all layers.

**Result.** x = (1 + u)/u at the inputs. Gaussian W multiplies x by σ_w²(r′ + u)/r, Haar W by σ_w²(r′ + u)/(r + u) where
it narrows and by σ_w² r′/r where it widens, and slopes by E[s/(1 − ζs)]/(1 + w). The density is −Im u/(π r_L x) at x +
i0, and the distribution function has a primitive in closed form. Edges are where dx/du = 0, and atoms are zeros and
poles.

**Source.** Voiculescu 1987; Pennington, Schoenholz and Ganguli 2018 (spectra of Jacobians).
"""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp

from theory.derivation import Claim, Derivation, Step
from theory.spectrum.free_probability import a, c, p, planar_limit, s_transform, truncated, two_values, z, zeta

LAWS: tuple[str, ...] = (
    "spectral_atoms",
    "spectral_density",
    "spectral_distribution",
    "spectral_edges",
    "spectral_moments",
)

u, r, r_out = sp.symbols("u r r_out", positive=True)


def moment_per_input(k: int, product: sp.Expr) -> sp.Expr:
    """[x^{−k}] of u, from u x(u) as a function of u: Lagrange's (1/k) [u^{k−1}] (u x(u))^k."""
    series = sp.Poly(truncated(product.subs(u, z), k), z)
    return sp.factor((series**k).coeff_monomial(z ** (k - 1)) / k)


def layer(before: Sequence[sp.Expr], slopes: Sequence[sp.Expr]) -> sp.Expr:
    """u x(u) after a Gaussian layer of ratio c upon C and before slopes, of given moments: the first terms."""
    count = len(before)
    inputs = (1 + u) / s_transform(before).subs(z, u)
    by_slopes = 1 / s_transform(slopes).subs(z, u / c)
    product = inputs * gaussian_factor(sp.Integer(1), c) * by_slopes
    return truncated(product.subs(u, z), count).subs(z, u)


def gaussian_factor(r: sp.Expr, r_out: sp.Expr) -> sp.Expr:
    """What Gaussian W multiplies x by, σ_w = 1: 1/S of WᵀW at w = u/r."""
    return (r_out + u) / r


def haar_factor(r: sp.Expr, r_out: sp.Expr) -> sp.Expr:
    """What a narrowing Haar W multiplies x by, σ_w = 1: WᵀW is a projection upon n_out of n_in directions."""
    return sp.factor(1 / two_values(sp.Integer(1), r_out / r).subs(z, u / r))


def slopes_factor(value: sp.Expr, probability: sp.Expr, r: sp.Expr) -> sp.Expr:
    """What slopes multiply x by on r n_0 nodes, if s is `value` with that probability, and else 0."""
    return sp.factor(1 / two_values(value, probability).subs(z, u / r))


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


def zeros_at_the_origin(r_out: sp.Expr, live: sp.Expr) -> list[sp.Expr]:
    """Where u x(u) = 0 after a Gaussian layer from r = 1 and slopes of which a part is live, the others zero.

    As x rises to zero from below, u falls from zero to minus the number of nonzero eigenvalues per input.
    """
    v = sp.Symbol("v", real=True)
    whole = (1 + u) * gaussian_factor(sp.Integer(1), r_out) * slopes_factor(sp.Integer(1), live, r_out)
    return sp.solve(sp.numer(sp.cancel(whole)).subs(u, v), v)


def atom(x: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """Place and mass per input of the atom that u → ∞ belongs to: x(u) = x_0 (1 + mass/u + O(1/u²))."""
    v = sp.Symbol("v", positive=True)
    near = sp.cancel(x.subs(u, 1 / v))
    place = near.subs(v, 0)
    return sp.simplify(place), sp.simplify(sp.diff(near, v).subs(v, 0) / place)


def derive() -> Derivation:
    m, mu = sp.symbols("m_1:4", positive=True), sp.symbols("mu_1:4", positive=True)
    by_wick = sp.Matrix([planar_limit(k, m, mu, shape=c) for k in (1, 2, 3)])
    product = layer(m, mu)
    by_factors = sp.Matrix([moment_per_input(k, product) for k in (1, 2, 3)])
    kinds = ("inputs", "shift", "slopes")
    place, mass = atom((1 + u) / u * haar_factor(sp.Integer(1), r) * slopes_factor(a, p, r))
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
        Step(r"**Edges.** Outside the spectrum u is real and $x(u)$ is monotone. The spectrum ends where $dx/du=0$."),
        Step(
            r"**The atom at zero.** As x rises to zero from below, u falls from 0 to minus the number of nonzero "
            r"eigenvalues per input, and $x(u)$ vanishes there. Its zeros are $-1$ (inputs), $-r_l$ (Gaussian or "
            r"narrowing Haar weights) and $-p_lr_l$ (slopes, zero with probability $1-p_l$). The first that u meets is "
            r"the largest, so the rank per input is the least of the numbers $1$, $r_l$, $p_lr_l$. The other outputs "
            r"are the atom."
        ),
        Step(
            r"**Atoms elsewhere.** An atom of mass m per input at $x_0>0$ is a pole, $u\approx x_0m/(x-x_0)$, so it is "
            r"found at $u\to\infty$, where $x=x_0(1+m/u+\ldots)$. Gaussian weights send x to infinity there, and such "
            r"networks have no atom. After a Haar layer that narrows from 1 to r, and slopes that are a with "
            r"probability p and else 0, the mass is, where it is positive,",
            sp.Eq(sp.Symbol("m"), mass, evaluate=False),
        ),
    )
    claims = (
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
            r"a Gaussian layer to $r'$, then slopes that are zero with probability $1-p$: $x(u)=0$ at $-1$ and $-pr'$",
            sp.expand(sp.prod(u - zero for zero in zeros_at_the_origin(r_out, p))),
            sp.expand((u + 1) * (u + p * r_out)),
        ),
        Claim(
            r"a Haar layer that narrows to r, then slopes a or 0: an atom at a of mass $1-(1-r)-(1-p)r$ per input",
            sp.Matrix([place, mass]),
            sp.Matrix([a, 1 - (1 - r) - (1 - p) * r]),
        ),
    )
    return Derivation("S6: the spectrum of wide layers of any widths and slopes", lines, claims)
