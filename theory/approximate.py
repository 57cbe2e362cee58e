r"""S4 at a finite width: the effective depth of a layer to order 1/n².

**Question.** S4 is the limit of wide layers. What does a layer of n nodes add to the effective depth beyond r/n, so
that the law of finite networks is known to the next order?

**Assumptions.** Those of S4: Gaussian or Haar weights, and D with independent entries, independent of what it
multiplies. w = φ′² are the squared slopes of the layer's nodes, μ_k = E w^k.

**Method.** The shape of the 2×2 Gram matrix Σ w_i z_i z_iᵀ is expanded to fourth order in 1/√n, and the spherical
function of the step of S3's walk that it is, to fourth order in the step. A Haar matrix of size N has the factor of a
Gaussian one over m_N, because multiplying it by a Wishart root of N degrees of freedom makes it Gaussian.

**Result.** Given w, a layer adds P_2 − 4P_3 + 11P_2²/2, P_k = Σ w^k/(Σ w)^k. Averaged over n independent slopes that is
r/n + (17r²/2 − r − 6c)/n², r = μ_2/μ_1², c = μ_3/μ_1³; Haar weights take 1/N + 3/(2N²) away.

**Source.** Spherical functions of the hyperbolic plane: Helgason 1984. The expansion is ours. S3's factors m_n(ν), with
which it must agree and does, are derived in `exact`.
"""

from __future__ import annotations

import sympy as sp

from theory.derivation import Claim, Derivation, Step

LAWS: tuple[str, ...] = ("approximate_vni",)

t, p = sp.symbols("t p", positive=True)
ratio, third = sp.symbols("r c", positive=True)


def spherical_series() -> tuple[sp.Expr, sp.Expr]:
    """What is left of φ″ + coth(s) φ′ + λφ at orders 0 and 2 of s for φ = 1 − λs²/4 + λ(λ + 2/3)s⁴/64."""
    s, rate = sp.symbols("s lambda", positive=True)
    phi = 1 - rate * s**2 / 4 + rate * (rate + sp.Rational(2, 3)) * s**4 / 64
    coth = 1 / s + s / 3
    left = sp.expand(sp.diff(phi, s, 2) + coth * sp.diff(phi, s) + rate * phi)
    return left.coeff(s, 0), left.coeff(s, 2)


def gram_moments() -> tuple[sp.Expr, sp.Expr]:
    """E s² and E s⁴ for the Gram matrix Σ w_i z_i z_iᵀ/Σ w, to order 1/n², in P_2 = Σw²/(Σw)² and P_3.

    With τ, δ, ε for half its trace less 1, half the difference of its diagonal and what is off it, tanh s =
    √(δ² + ε²)/(1 + τ). The moments of one z zᵀ give those of the sums.
    """
    two, three = sp.symbols("P_2 P_3", positive=True)
    z_1, z_2 = sp.symbols("z_1 z_2")
    tau, delta, eps = (z_1**2 + z_2**2) / 2 - 1, (z_1**2 - z_2**2) / 2, z_1 * z_2

    def mean(expression: sp.Expr) -> sp.Expr:
        terms = sp.Poly(sp.expand(expression), z_1, z_2).terms()
        return sum(value * sp.prod([normal_moment(k) for k in powers]) for powers, value in terms)

    square = delta**2 + eps**2
    variance = {name: mean(each**2) for name, each in (("tau", tau), ("delta", delta), ("eps", eps))}
    second_moment = two * mean(square)
    # Third moments of sums are Σw³ times those of one; fourth ones, to this order, pairs of second ones.
    third = three * mean(square * tau)
    with_trace = two**2 * mean(square) * variance["tau"]
    fourth = two**2 * (3 * variance["delta"] ** 2 + 3 * variance["eps"] ** 2 + 2 * variance["delta"] * variance["eps"])
    # tanh² s = (δ² + ε²)(1 − 2τ + 3τ² − …), and s² = tanh² s + (2/3) tanh⁴ s + ….
    return sp.expand(second_moment - 2 * third + 3 * with_trace + sp.Rational(2, 3) * fourth), sp.expand(fourth)


def normal_moment(power: int) -> sp.Integer:
    return sp.Integer(0) if power % 2 else sp.factorial2(power - 1)


def layer_depth_from_moments() -> tuple[sp.Expr, sp.Expr]:
    """−2 ln m/λ for m = E φ(s) to order 1/n², and P_2 − 4P_3 + 11P_2²/2."""
    two, three, rate, small = sp.symbols("P_2 P_3 lambda epsilon", positive=True)
    square, fourth = (each.subs({two: small * two, three: small**2 * three}) for each in gram_moments())
    mean = 1 - rate / 4 * square + rate * (rate + sp.Rational(2, 3)) / 64 * fourth
    depth = sp.series(-2 * sp.log(mean) / rate, small, 0, 3).removeO()
    return sp.expand(depth.subs(small, 1)), two - 4 * three + sp.Rational(11, 2) * two**2


def sums_of_slopes() -> sp.Expr:
    """The coefficient of 1/n² when the sums P_2 and P_3 are of n independent slopes, in r = μ_2/μ_1² and c = μ_3/μ_1³.

    E P_2 = r/n + (r/n²)(3(r − 1) − 2(c/r − 1)), a mean of a ratio, and E P_3 = c/n².
    """
    scatter = ratio * (3 * (ratio - 1) - 2 * (third / ratio - 1))
    return sp.expand(scatter - 4 * third + sp.Rational(11, 2) * ratio**2)


def mean_of_a_ratio() -> tuple[sp.Expr, sp.Expr]:
    """n²(E[Σw²/(Σw)²] − r/n) to order 1, from the second derivatives of y/x² at the means of x = Σw/n, y = Σw²/n."""
    x, y = sp.symbols("x y", positive=True)
    function, at = y / x**2, {x: 1, y: ratio}
    # Var w = r − 1 and Cov(w, w²) = c − r in units of μ_1; E y = r is linear, so Var w² does not enter.
    correction = sp.diff(function, x, 2).subs(at) * (ratio - 1) / 2 + sp.diff(function, x, y).subs(at) * (third - ratio)
    return sp.expand(correction), sp.expand(ratio * (3 * (ratio - 1) - 2 * (third / ratio - 1)))


def masked_step() -> tuple[sp.Expr, sp.Expr]:
    """The 1/n² of −2 ln m/(ν² + ¼) for a Wishart matrix of n degrees of freedom, from S3's gamma functions; and 3/2."""
    n, nu = sp.symbols("n nu", positive=True)
    # ln Γ(x + a) for large x = n/2: (x + a − ½) ln x − x + B_2(a)/2x − B_3(a)/6x² + ….
    x = n / 2

    def log_gamma(a: sp.Expr) -> sp.Expr:
        return (a - sp.Rational(1, 2)) * sp.log(x) + sp.bernoulli(2, a) / (2 * x) - sp.bernoulli(3, a) / (6 * x**2)

    quarter = sp.Rational(1, 4)
    top = log_gamma(-quarter + sp.I * nu / 2) + log_gamma(-quarter - sp.I * nu / 2)
    log_m = sp.expand(sp.expand(top - log_gamma(sp.Integer(0)) - log_gamma(-sp.Rational(1, 2))))
    depth = sp.simplify(-2 * log_m / (nu**2 + quarter))
    return sp.simplify(depth), 1 / n + sp.Rational(3, 2) / n**2


def finite_depth(shape: tuple[int, int], weights: str, slopes: tuple[sp.Expr, sp.Expr]) -> sp.Expr:
    """What a layer adds to the effective depth, (n_in, n_out) and (r, c) given."""
    n, size = sp.Integer(shape[0]), sp.Integer(max(shape))
    depth = slopes[0] / n + sums_of_slopes().subs(dict(zip((ratio, third), slopes, strict=True))) / n**2
    return depth - (1 / size + sp.Rational(3, 2) / size**2) * int(weights == "orthogonal")


def derive() -> Derivation:
    steps = (
        Step(
            r"**The depth of a layer to order 1/n².** Given weights $w_i=\varphi'^2_i$, two rows of the layer above "
            r"have a Gram matrix $\sum_iw_iz_iz_i^\mathsf{T}$. Its shape is a step of length $s$ of S3's walk, and the "
            r"layer's factor is the mean of the spherical function of $s$. In the limit of small steps it is "
            r"$e^{-(\nu^2+1/4)t/2}$, and to the next order",
            sp.Eq(t, layer_depth_from_moments()[1], evaluate=False),
        ),
        Step(
            r"Averaged over $n$ independent slopes, with $r=\mu_2/\mu_1^2$ and $c=\mu_3/\mu_1^3$, that is $r/n$ and "
            r"$1/n^2$ times the following. A Haar matrix of size $N$ has the factor of a Gaussian one over $m_N$, and "
            r"so $1/N+3/(2N^2)$ less.",
            sums_of_slopes(),
        ),
    )
    claims = (
        Claim(r"the spherical function to order $s^4$", sp.Matrix(spherical_series()), sp.Matrix([0, 0])),
        Claim(r"a layer's depth, $P_2-4P_3+\frac{11}{2}P_2^2$", *layer_depth_from_moments()),
        Claim(r"the mean of $\sum w^2/(\sum w)^2$ to order $1/n^2$", *mean_of_a_ratio()),
        Claim(
            r"averaged over slopes: $\frac{17}{2}r^2-r-6c$",
            sums_of_slopes(),
            sp.Rational(17, 2) * ratio**2 - ratio - 6 * third,
        ),
        Claim(r"S3's Gaussian step has depth $1/n+\frac{3}{2n^2}$", *masked_step()),
        Claim(
            r"for masks ($r=1/P$, $c=1/P^2$) it is $k$ live nodes' $1/k+\frac{3}{2k^2}$, averaged over $k$",
            sums_of_slopes().subs({ratio: 1 / p, third: 1 / p**2}),
            (1 / p**2 - 1 / p) + sp.Rational(3, 2) / p**2,
        ),
    )
    return Derivation("S4 at a finite width", steps, claims)
