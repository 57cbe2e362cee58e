"""How does one layer change the correlation of two nodes, and what does that become in a wide network? (S4)

**Assumptions.** Two nodes of a layer see the layer below through two rows of weights. Given all that lies above, their
correlation coefficient ρ becomes, one layer further, the *sample* correlation of n pairs with correlation ρ: n is the
fan-in, and the weights are Gaussian or Haar orthogonal. Nodes pass through D = diag φ′ with independent entries,
μ_k = E φ′^{2k}.

**Result.** As n → ∞ with the effective depth t fixed, ρ is a diffusion, dρ = −½ρ(1−ρ²)dt + (1−ρ²)dB; Fisher's z, y =
artanh ρ, obeys dy = ½ tanh(y) dt + dB, and is the signed distance of a Brownian particle on the hyperbolic plane to a
geodesic through its start. The mean of ρ² is R(t) = 1 − E[1/cosh r_t], r_t being the distance from the start.

**Sources.** Bartlett's decomposition and the sample correlation: Muirhead 1982, sections 3.2 and 5.1. Covariance of
nodes as a diffusion in depth/width: Hanin & Nica 2020; Li, Nica & Roy 2022. Radial parts of hyperbolic Brownian motion:
Helgason 1984.
"""

from __future__ import annotations

from itertools import product

import sympy as sp

from theory.derivation import Claim, Derivation, Step

rho = sp.symbols("rho", real=True)
y, r, s, theta = sp.symbols("y r s theta", real=True)
n, t, eps = sp.symbols("n t varepsilon", positive=True)
nu = sp.symbols("nu", real=True)
mu1, mu2 = sp.symbols("mu_1 mu_2", positive=True)
HALF = sp.Rational(1, 2)


# One layer.


def bartlett_correlation() -> tuple[sp.Expr, sp.Expr]:
    """The sample correlation of n pairs, from the triangular root T of their Gram matrix, and x with ρ′ = x/√(1+x²).

    T = [[a, 0], [g, b]] is the root for uncorrelated pairs, A = [[1, 0], [ρ, √(1−ρ²)]] makes their correlation ρ.
    """
    a, b = sp.symbols("a b", positive=True)
    g = sp.symbols("g", real=True)
    root = sp.Matrix([[1, 0], [rho, sp.sqrt(1 - rho**2)]]) * sp.Matrix([[a, 0], [g, b]])
    gram = root * root.T
    x = (a * rho / sp.sqrt(1 - rho**2) + g) / b
    return gram[0, 1] / sp.sqrt(gram[0, 0] * gram[1, 1]), x


def one_step_moments() -> tuple[sp.Expr, sp.Expr, sp.Expr]:
    """n E[ρ′ − ρ], n E[(ρ′ − ρ)²] and n E[(ρ′ − ρ)⁴] as n → ∞, from ρ′ = x/√(1 + x²).

    With ε = n^{−1/2}: a² = n(1 + √2 ε α) and b² = n(1 − ε² + √2 ε β) where α and β have mean 0 and, to this order,
    variance 1; g is standard normal; all three are independent. ρ′ is expanded in ε and averaged term by term.
    """
    alpha, beta, g = sp.symbols("alpha beta g", real=True)
    kappa = sp.symbols("kappa", positive=True)  # √(1 − ρ²)
    a = sp.sqrt(1 + sp.sqrt(2) * eps * alpha)
    b = sp.sqrt(1 - eps**2 + sp.sqrt(2) * eps * beta)
    above = rho * a + kappa * eps * g
    new = above / sp.sqrt(above**2 + kappa**2 * b**2)
    step = sum(sp.diff(new, eps, k).subs(eps, 0) * eps**k / sp.factorial(k) for k in (1, 2))
    step = sp.expand(step.subs(rho**2 + kappa**2, 1))
    moments = []
    for power in (1, 2, 4):
        at_order = sp.expand(step**power).coeff(eps, 2)
        terms = sp.Poly(at_order, alpha, beta, g).terms()
        mean = sum(c * sp.prod([_normal_moment(k) for k in powers]) for powers, c in terms)
        moments.append(sp.factor(sp.expand(sp.expand(mean).subs(kappa, sp.sqrt(1 - rho**2)))))
    return tuple(moments)


def weighted_step() -> tuple[sp.Expr, sp.Expr]:
    """n E[ρ′ − ρ] and n Var ρ′ when pair k is weighted by D_k², with means μ_1 and E D⁴ = μ_2.

    The sums S_ij = Σ_k D_k² u_ik u_jk have means n μ_1 Σ_ij and covariances n(μ_2 E[u_i u_j u_k u_l] − μ_1² Σ_ij Σ_kl),
    the fourth moment by Isserlis; ρ′ = S_12/√(S_11 S_22) is expanded to second order in them.
    """
    sigma = sp.Matrix([[1, rho], [rho, 1]])
    pairs = ((0, 0), (0, 1), (1, 1))
    sums = sp.symbols("S_11 S_12 S_22", positive=True)
    correlation = sums[1] / sp.sqrt(sums[0] * sums[2])
    at_mean = {variable: mu1 * sigma[pair] for variable, pair in zip(sums, pairs, strict=True)}

    def covariance(first: tuple[int, int], second: tuple[int, int]) -> sp.Expr:
        (i, j), (k, m) = first, second
        isserlis = sigma[i, j] * sigma[k, m] + sigma[i, k] * sigma[j, m] + sigma[i, m] * sigma[j, k]
        return mu2 * isserlis - mu1**2 * sigma[i, j] * sigma[k, m]

    mean = variance = sp.Integer(0)
    for (u, first), (v, second) in product(list(zip(sums, pairs, strict=True)), repeat=2):
        cov = covariance(first, second)
        mean += sp.diff(correlation, u, v).subs(at_mean) * cov / 2
        variance += (sp.diff(correlation, u) * sp.diff(correlation, v)).subs(at_mean) * cov
    return sp.factor(sp.simplify(mean)), sp.factor(sp.simplify(variance))


def gaussian_layer_depth(fan_in: sp.Expr = n) -> sp.Expr:
    """What a Gaussian layer adds to t: the dt for which `weighted_step` is one step of the diffusion."""
    return sp.simplify(weighted_step()[1] / (1 - rho**2) ** 2) / fan_in


def haar_layer_depth(n_in: sp.Expr, n_out: sp.Expr) -> sp.Expr:
    """What a Haar layer adds to t.

    With N = max(n_in, n_out), two Gaussian rows are X = T F: the Bartlett root T, which adds 1/N, times an independent
    uniform frame F of two orthonormal rows. X D, of n_in live columns, adds what a Gaussian layer does, so the Haar
    part F D adds the difference.
    """
    return gaussian_layer_depth(n_in) - gaussian_layer_depth(sp.Max(n_in, n_out)).subs(mu2, mu1**2)


def _normal_moment(k: int) -> int:
    return 0 if k % 2 else int(sp.factorial2(k - 1)) if k else 1


# The diffusion.


def fisher_rates() -> tuple[sp.Expr, sp.Expr]:
    """Itô's formula for y = artanh ρ: its mean and its variance per unit of t, as functions of y."""
    mean, variance, _ = one_step_moments()
    z = sp.atanh(rho)
    drift = sp.simplify(sp.diff(z, rho) * mean + HALF * sp.diff(z, rho, 2) * variance)
    return drift.subs(rho, sp.tanh(y)), sp.simplify(sp.diff(z, rho) ** 2 * variance)


def generator(f: sp.Expr) -> sp.Expr:
    """A f = ½(1−ρ²)² f″ − ½ρ(1−ρ²) f′ for a polynomial f(ρ)."""
    return sp.expand(HALF * (1 - rho**2) ** 2 * sp.diff(f, rho, 2) - HALF * rho * (1 - rho**2) * sp.diff(f, rho))


def moment_series(f: sp.Expr, order: int) -> sp.Expr:
    """E f(ρ_t) = Σ_k (t^k/k!) (A^k f)(0), to t^order: the expansion in t of the semigroup (asymptotic as t → 0)."""
    series, term = sp.Integer(0), sp.expand(f)
    for k in range(order + 1):
        series += t**k / sp.factorial(k) * term.subs(rho, 0)
        term = generator(term)
    return series


# The hyperbolic plane.


def gram_point(coordinates: str) -> tuple[sp.Expr, sp.Expr, sp.Expr]:
    """The point (X_0, X_1, X_2) of the hyperboloid X_0² − X_1² − X_2² = 1 for a 2×2 Gram matrix of determinant one.

    The matrix is [[X_0 + X_1, X_2], [X_2, X_0 − X_1]]. In polar coordinates r is the distance to the identity; in Fermi
    coordinates y is the distance to, and s the length along, the geodesic X_2 = 0 of uncorrelated pairs.
    """
    if coordinates == "polar":
        return sp.cosh(r), sp.sinh(r) * sp.cos(theta), sp.sinh(r) * sp.sin(theta)
    return sp.cosh(y) * sp.cosh(s), sp.cosh(y) * sp.sinh(s), sp.sinh(y)


def metric(coordinates: str) -> sp.Matrix:
    """The hyperbolic metric dX_1² + dX_2² − dX_0² in those coordinates."""
    variables = (r, theta) if coordinates == "polar" else (y, s)
    tangent = sp.Matrix(gram_point(coordinates)).jacobian(variables)
    return sp.simplify(tangent.T * sp.diag(-1, 1, 1) * tangent)


def laplacian(f: sp.Expr, coordinates: str) -> sp.Expr:
    """The Laplace–Beltrami operator |g|^{−1/2} ∂_i(|g|^{1/2} g^{ij} ∂_j f) of `metric` (orthogonal coordinates)."""
    variables = (r, theta) if coordinates == "polar" else (y, s)
    g = metric(coordinates)
    volume = sp.sinh(r) if coordinates == "polar" else sp.cosh(y)
    return sum(sp.diff(volume / g[i, i] * sp.diff(f, v), v) / volume for i, v in enumerate(variables))


def gram_correlation(coordinates: str) -> sp.Expr:
    """ρ of the Gram matrix at that point, squared."""
    x0, x1, x2 = gram_point(coordinates)
    return sp.simplify(x2**2 / ((x0 + x1) * (x0 - x1)))


def angle_average(power: int) -> sp.Expr:
    """The mean of (1 − ρ²)^power over the angle at distance r, as a function of c = cosh r; by residues.

    1 − ρ² = 1/(1 + sinh²r sin²θ) = 1/(P − Q cos 2θ), P = (c²+1)/2, Q = (c²−1)/2. With z = e^{2iθ} the mean is the
    residue of z^{power−1}/(Pz − Q(z²+1)/2)^power at the pole in the unit disc, z_0 = (c−1)/(c+1).
    """
    c, z = sp.symbols("c z", positive=True)
    inside, outside = (c - 1) / (c + 1), (c + 1) / (c - 1)
    # −Q/2 (z − z_0)(z − 1/z_0) is the denominator, so the residue is a derivative at z_0.
    rest = z ** (power - 1) / (-(c**2 - 1) / 4 * (z - outside)) ** power
    residue = sp.diff(rest, z, power - 1).subs(z, inside) / sp.factorial(power - 1)
    return sp.expand(sp.factor(residue)).subs(c, sp.cosh(r))


# Late times.


def tail_constant(h0: sp.Expr) -> sp.Expr:
    """K in ∫_0^∞ ν tanh(πν) ĥ(ν) e^{−(ν²+1/4)t/2} dν ~ K t^{−3/2} e^{−t/8}, given ĥ(0).

    Laplace's method: at late t only small ν count, where ν tanh(πν) ĥ(ν) ~ π ĥ(0) ν².
    """
    curvature = sp.limit(nu * sp.tanh(sp.pi * nu) / nu**2, nu, 0)
    v = sp.symbols("v", positive=True)
    gaussian = sp.integrate(v**2 * sp.exp(-(v**2) * t / 2), (v, 0, sp.oo))
    return sp.simplify(curvature * h0 * gaussian * t ** sp.Rational(3, 2))


def derive() -> Derivation:
    """The diffusion of a correlation, its geometry, and R(t) at early and late depth."""
    correlation, x = bartlett_correlation()
    mean, variance, fourth = one_step_moments()
    weighted_mean, weighted_variance = weighted_step()
    drift, rate = fisher_rates()
    series = moment_series(rho**2, 5)
    f = sp.Function("f")
    polar, fermi = (gram_point(kind) for kind in ("polar", "fermi"))
    average = angle_average(1)
    h0 = sp.gamma(sp.Rational(1, 4)) ** 2 / (2 * sp.sqrt(sp.pi))
    tail = tail_constant(h0)
    n_in, n_out = sp.symbols("n_in n_out", positive=True)
    haar = haar_layer_depth(n_in, n_out)
    rho_new, R = sp.Symbol(r"\rho'"), sp.Function("R")

    steps = (
        Step(
            "Two rows of weights of fan-in $n$, seen through the correlation $\\rho$ of what lies above them, are $n$ "
            "Gaussian pairs with correlation $\\rho$. Write their rows as $A\\,T\\,F$: $F$ has two orthonormal rows, "
            "$T = \\begin{pmatrix} a & 0\\\\ g & b\\end{pmatrix}$ is the Bartlett root with $a^2\\sim\\chi^2_n$, "
            "$b^2\\sim\\chi^2_{n-1}$, $g\\sim N(0,1)$ independent, and $A$ carries $\\rho$. The new correlation is "
            "that of $AT(AT)^T$, a function of one number $x$:",
            sp.Eq(rho_new, sp.Symbol("x") / sp.sqrt(1 + sp.Symbol("x") ** 2), evaluate=False),
        ),
        Step("with", sp.Eq(sp.Symbol("x"), x, evaluate=False)),
        Step(
            "Expand in $n^{-1/2}$: $a^2/n$ and $b^2/n$ are $1$ plus independent fluctuations of variance $2/n$, and "
            "$E\\,b^2/n = 1 - 1/n$. Averaging term by term, the mean step is, to order $1/n$,",
            sp.Eq(sp.Symbol(r"E[\rho' - \rho]"), mean / n, evaluate=False),
        ),
        Step("and its variance", sp.Eq(sp.Symbol(r"\mathrm{Var}\,\rho'"), variance / n, evaluate=False)),
        Step(
            "Fourth moments are of order $1/n^2$, so in the limit of many thin steps $\\rho$ is a diffusion with time "
            "$dt = 1/n$ per layer: $d\\rho = -\\tfrac12\\rho(1-\\rho^2)\\,dt + (1-\\rho^2)\\,dB$."
        ),
        Step(
            "With $D = \\mathrm{diag}\\,\\varphi'$ between the layers the pairs are weighted by $D_k^2$. Fluctuations "
            "of the common scale leave a correlation alone; of the rest, mean and variance are multiplied by "
            "$\\mu_2/\\mu_1^2$. Only the clock changes, and a Gaussian layer adds to the effective depth",
            sp.Eq(sp.Symbol("dt"), gaussian_layer_depth(), evaluate=False),
        ),
        Step(
            "A Gaussian pair of rows is a Bartlett root times an independent Haar frame. The root alone adds $1/N$, "
            "with $N = \\max(n_{in}, n_{out})$ the size of the orthogonal matrix; what is left is the Haar layer's:",
            sp.Eq(sp.Symbol("dt"), haar, evaluate=False),
        ),
        Step(
            "Fisher's $z$, $y = \\mathrm{artanh}\\,\\rho$, makes the noise constant. By Itô's formula its drift is",
            sp.Eq(sp.Symbol(r"E[dy]/dt"), drift, evaluate=False),
        ),
        Step(
            "The geometry. Up to scale a 2×2 Gram matrix is a point of the hyperboloid $X_0^2 - X_1^2 - X_2^2 = 1$, "
            "$G = \\begin{pmatrix} X_0+X_1 & X_2\\\\ X_2 & X_0-X_1\\end{pmatrix}$, on which $G\\mapsto AGA^T$, $\\det "
            "A=1$, acts by isometries: the hyperbolic plane. In Fermi coordinates, $y$ being the signed distance to "
            "the geodesic $X_2=0$ and $s$ the place along it, $X = (\\cosh y\\cosh s, \\cosh y\\sinh s, \\sinh y)$ "
            "and the metric is",
            metric("fermi"),
        ),
        Step(
            "There $\\rho = X_2/\\sqrt{(X_0+X_1)(X_0-X_1)} = \\tanh y$: Fisher's $z$ *is* the distance to the "
            "geodesic of uncorrelated pairs. Brownian motion has generator $\\tfrac12\\Delta$; on functions of $y$ it "
            "is",
            sp.Eq(sp.Symbol(r"A\,f(y)"), sp.expand(laplacian(f(y), "fermi") / 2), evaluate=False),
        ),
        Step(
            "which is the generator of $dy = \\tfrac12\\tanh y\\,dt + dB$. So the walk of two nodes is Brownian "
            "motion on the hyperbolic plane. It starts at the identity and is isotropic about it: in polar "
            "coordinates $X = (\\cosh r, \\sinh r\\cos\\theta, \\sinh r\\sin\\theta)$ the angle $\\theta$ is uniform, "
            "and $\\sinh y = \\sinh r\\sin\\theta$. The mean of $1-\\rho^2 = 1/(1+\\sinh^2 r\\sin^2\\theta)$ over it "
            "is a residue:",
            sp.Eq(sp.Symbol(r"E[1 - {\rho}^2 \mid r]"), average, evaluate=False),
        ),
        Step(
            "So $R(t) = E\\rho_t^2 = 1 - E[1/\\cosh r_t]$. At early times, $R(t) = \\sum_k t^k (A^k\\rho^2)(0)/k!$:",
            sp.Eq(R(t), series, evaluate=False),
        ),
        Step(
            "At late times Laplace's method on the integral of S4 (derived in `exact`) needs only "
            "$\\nu\\tanh\\pi\\nu\\;\\hat h(\\nu) \\sim \\pi\\hat h(0)\\nu^2$, $\\hat h(0) = "
            "\\Gamma(1/4)^2/(2\\sqrt\\pi)$: nodes vanish to one exponentially, at rate $1/8$,",
            sp.Eq(1 - R(t), tail * t ** sp.Rational(-3, 2) * sp.exp(-t / 8), evaluate=False),
        ),
    )
    claims = (
        Claim(
            "The correlation of $AT$ is $x/\\sqrt{1+x^2}$ (squares compared)",
            sp.simplify(correlation**2),
            sp.simplify(x**2 / (1 + x**2)),
        ),
        Claim("Mean step: $n\\,E[\\rho'-\\rho] \\to -\\tfrac12\\rho(1-\\rho^2)$", mean, -HALF * rho * (1 - rho**2)),
        Claim("Variance of a step: $n\\,\\mathrm{Var}\\,\\rho' \\to (1-\\rho^2)^2$", variance, (1 - rho**2) ** 2),
        Claim(
            "Fourth moments vanish: $n\\,E(\\rho'-\\rho)^4 \\to 0$, so the limit is a diffusion", fourth, sp.Integer(0)
        ),
        Claim(
            "With $D$ between layers the mean step is that times $\\mu_2/\\mu_1^2$",
            weighted_mean,
            -HALF * rho * (1 - rho**2) * mu2 / mu1**2,
        ),
        Claim(
            "and so is the variance: $dt = (\\mu_2/\\mu_1^2)/n$", weighted_variance, (1 - rho**2) ** 2 * mu2 / mu1**2
        ),
        Claim(
            "A Haar layer adds $(\\mu_2/\\mu_1^2)/n_{in} - 1/\\max(n_{in}, n_{out})$",
            haar,
            mu2 / mu1**2 / n_in - 1 / sp.Max(n_in, n_out),
        ),
        Claim("Itô: the drift of $y = \\mathrm{artanh}\\,\\rho$ is $\\tfrac12\\tanh y$", drift, sp.tanh(y) / 2),
        Claim("Itô: the variance of $y$ grows at rate 1, so its noise is $dB$", rate, sp.Integer(1)),
        Claim(
            "Fermi coordinates: the metric is $dy^2 + \\cosh^2 y\\,ds^2$", metric("fermi"), sp.diag(1, sp.cosh(y) ** 2)
        ),
        Claim(
            "Polar coordinates: the metric is $dr^2 + \\sinh^2 r\\,d\\theta^2$",
            metric("polar"),
            sp.diag(1, sp.sinh(r) ** 2),
        ),
        Claim(
            "$\\rho^2 = \\tanh^2 y$, $y$ the distance to the geodesic",
            gram_correlation("fermi").rewrite(sp.exp),
            (sp.tanh(y) ** 2).rewrite(sp.exp),
        ),
        Claim(
            "$\\tfrac12\\Delta f(y) = \\tfrac12 f'' + \\tfrac12\\tanh y\\,f'$: Brownian motion and Fisher's $z$ agree",
            laplacian(f(y), "fermi") / 2,
            rate * f(y).diff(y, 2) / 2 + drift * f(y).diff(y),
        ),
        Claim(
            "Polar and Fermi: $\\rho^2 = \\sinh^2 r\\sin^2\\theta/(1+\\sinh^2 r\\sin^2\\theta)$",
            gram_correlation("polar"),
            (polar[2] ** 2 / (1 + polar[2] ** 2)),
        ),
        Claim("and $\\rho^2 = \\sinh^2 y/(1+\\sinh^2 y)$", fermi[2] ** 2 / (1 + fermi[2] ** 2), sp.tanh(y) ** 2),
        Claim("Angle average: $E[\\rho^2\\mid r] = 1 - 1/\\cosh r$", 1 - average, 1 - 1 / sp.cosh(r)),
        Claim(
            "$R(t) = t - \\tfrac32t^2 + \\tfrac72t^3 - \\tfrac{89}8t^4 + \\tfrac{1783}{40}t^5 + O(t^6)$",
            series,
            t - 3 * t**2 / 2 + 7 * t**3 / 2 - 89 * t**4 / 8 + 1783 * t**5 / 40,
        ),
        Claim(
            "The tail: $1-R(t) \\sim \\frac{\\pi\\Gamma(1/4)^2}{2\\sqrt2}\\,t^{-3/2}e^{-t/8}$",
            tail,
            sp.pi * sp.gamma(sp.Rational(1, 4)) ** 2 / (2 * sp.sqrt(2)),
        ),
    )
    return Derivation("One layer, many layers: correlations diffuse on the hyperbolic plane", steps, claims)
