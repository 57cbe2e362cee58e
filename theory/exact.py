"""The exact mean VNI of a linear (or ReLU) network at any widths and depth: where S3 comes from.

**Assumptions.** Two nodes of the last layer are two rows of W_L D_{L−1} W_{L−1} ⋯ D_1 W_1, with Gaussian or Haar
weights and D_l the identity, or a mask of independent fair (ReLU) or biased (dropout) coins. Widths are any integers.

**Idea.** The 2×2 Gram matrix of the two rows, up to scale, is a point of the hyperbolic plane (`diffusion`). In the
upper half-plane its height is Y = b/a, the ratio of the diagonal entries of its triangular root. One layer multiplies
the roots, so heights multiply, and E Y^{1/2+iν} is a product of one factor per layer: the spherical transform. It
remains to read E ρ² off the transform, which is one integral.

**Result.** E VNI = 1/n_L + (1 − 1/n_L)(1 − S), S = ∫_0^∞ ν tanh(πν) ĥ(ν) Π_l m_l(ν) dν. Besides: a Gaussian layer of
fan-in n *is* the diffusion of S4, run for a random time Σ_j τ_j with exponential τ_j of means 2/((n+2j)(n+2j−1)).

**Sources.** Spherical functions and transforms: Helgason 1984, chapter IV. Wishart matrices and their truncations:
Muirhead 1982, chapter 3. The integral over four gamma functions: de Branges 1972, Wilson 1980 (DLMF 5.13.5); it is
quoted, and checked; all else is derived.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import mpmath as mp
import sympy as sp

from theory.derivation import Claim, Derivation, Step

n, m, a = sp.symbols("n m a", positive=True)
k = sp.symbols("k", integer=True, nonnegative=True)
nu, y = sp.symbols("nu y", real=True)
u, x = sp.symbols("u x", positive=True)
HALF, QUARTER = sp.Rational(1, 2), sp.Rational(1, 4)

WORKING_DIGITS = 45
# Trapezoid rule: the integrands are even and analytic for |Im ν| < 1/2, so step h errs by about e^{−π/h}, 1e-38.
_NU_STEP = 0.0359
_NEGLIGIBLE = 1e-40


# The spherical transform of a layer.


def height_of_root() -> sp.Expr:
    """Y of the Gram matrix T Tᵀ, T = [[a, 0], [g, b]]: 1/Y = X_0 + X_1 = G_11/√det G, since the determinant is scaled
    to 1."""
    alpha, beta = sp.symbols("a b", positive=True)
    g = sp.symbols("g", real=True)
    root = sp.Matrix([[alpha, 0], [g, beta]])
    gram = root * root.T
    return sp.sqrt(sp.factor(gram.det())) / gram[0, 0]


def height_eigenvalue() -> sp.Expr:
    """Eigenvalue of Y^{1/2+iν} under the Laplacian Y²(∂_X² + ∂_Y²) of the upper half-plane."""
    height = sp.symbols("Y", positive=True)
    wave = height ** (HALF + sp.I * nu)
    return sp.expand(sp.simplify(height**2 * sp.diff(wave, height, 2) / wave))


def chi_moment(degrees: sp.Expr, power: sp.Expr) -> sp.Expr:
    """E χ^power of a chi variable: the integral of x^{degrees−1} e^{−x²/2}, continued in the power."""
    p, q = sp.symbols("p q", positive=True)
    integral = sp.integrate(x ** (q - 1 + p) * sp.exp(-(x**2) / 2), (x, 0, sp.oo))
    mass = sp.integrate(x ** (q - 1) * sp.exp(-(x**2) / 2), (x, 0, sp.oo))
    return sp.powsimp(integral / mass).subs({p: power, q: degrees})


def gaussian_transform(fan_in: sp.Expr = n, frequency: sp.Expr = nu) -> sp.Expr:
    """m_n(ν) = E Y^{1/2+iν} = E b^{1/2+iν} · E a^{−1/2−iν}, a ~ χ_n and b ~ χ_{n−1} independent."""
    power = HALF + sp.I * frequency
    return sp.powsimp(chi_moment(fan_in - 1, power) * chi_moment(fan_in, -power))


def transform_ratio() -> sp.Expr:
    """m_{n+2}/m_n: all four gamma functions move by one step of Γ(z + 1) = z Γ(z)."""
    shifted = gaussian_transform(n + 2).replace(sp.gamma, lambda z: (z - 1) * sp.gamma(z - 1))
    return sp.simplify(sp.expand(sp.simplify(shifted / gaussian_transform(n))))


def log_transform_series(order: int) -> sp.Expr:
    """ln m_n to 1/n^order, by ln Γ(z + α) ~ (z + α − ½) ln z − z + ½ ln 2π + Σ_j (−1)^{j+1} B_{j+1}(α)/(j(j+1)z^j), z =
    n/2.

    The four shifts α add up so that all terms before the sum cancel.
    """
    above = (-QUARTER + sp.I * nu / 2, -QUARTER - sp.I * nu / 2)
    below = (sp.Integer(0), -HALF)
    total = sp.Integer(0)
    for j in range(1, order + 1):
        bernoulli = sum(sp.bernoulli(j + 1, shift) for shift in above) - sum(sp.bernoulli(j + 1, s) for s in below)
        total += (-1) ** (j + 1) * bernoulli / (j * (j + 1)) * (2 / n) ** j
    return sp.expand(total)


def frame_transform(columns: sp.Expr, size: sp.Expr) -> sp.Expr:
    """Transform of two rows of a Haar matrix cut to some columns: m_k/m_n.

    Gaussian rows are X = T F, a Bartlett root T times an independent uniform frame F. Cut to k columns, X is Gaussian
    of fan-in k and F has a root T′: the heights obey Y(X) = Y(T) Y(T′), so m_k = m_n · (transform of T′).
    """
    return gaussian_transform(columns) / gaussian_transform(size)


def random_time_mean(fan_in: sp.Expr = n) -> sp.Expr:
    """Mean of the time Σ_j τ_j for which a Gaussian layer runs the diffusion: ψ(n/2) − ψ((n−1)/2).

    The partial fractions 2/((n+2j)(n+2j−1)) = 2/(n+2j−1) − 2/(n+2j) summed over j.
    """
    return sp.digamma(fan_in / 2) - sp.digamma((fan_in - 1) / 2)


def mean_log_height(fan_in: sp.Expr = n) -> sp.Expr:
    """E ln Y² of a layer, ½ the derivative of the moments: E ln(1 − ρ²) for one layer, and additive over layers."""
    p = sp.symbols("p")
    log_square = [2 * sp.diff(sp.log(chi_moment(q, p)), p).subs(p, 0) for q in (fan_in - 1, fan_in)]
    return sp.simplify(log_square[0] - log_square[1])


# Reading the correlation off the transform.


def distance_density(fan_in: sp.Expr = n) -> sp.Expr:
    """Density of cosh s on (1, ∞), s the distance that one Gaussian layer walks: (n−1) x^{−n}.

    The density of (a, g, b) is carried to G = T Tᵀ, then to G = λ × the point at distance s and angle θ, then λ is
    integrated out. It depends on G through det G and Tr G alone: so the angle is uniform.
    """
    alpha, beta, scale = sp.symbols("a b lambda", positive=True)
    g, s, theta = sp.symbols("g s theta", real=True)
    entries = sp.Matrix([alpha**2, alpha * g, g**2 + beta**2])
    jacobian = sp.factor(sp.Abs(entries.jacobian((alpha, g, beta)).det()))
    chi_density = alpha ** (fan_in - 1) * beta ** (fan_in - 2) / jacobian  # × e^{−Tr G/2}
    determinant = sp.symbols("det", positive=True)
    of_gram = sp.powsimp(sp.simplify(chi_density.subs(beta, sp.sqrt(determinant) / alpha)))
    polar = scale * sp.Matrix(
        [sp.cosh(s) + sp.sinh(s) * sp.cos(theta), sp.sinh(s) * sp.sin(theta), sp.cosh(s) - sp.sinh(s) * sp.cos(theta)]
    )
    volume = sp.factor(sp.simplify(polar.jacobian((scale, s, theta)).det())) / sp.sinh(s)  # dcosh(s) = sinh(s) ds
    weight = sp.powsimp(sp.Abs(volume) * of_gram.subs(determinant, scale**2))
    shape = sp.integrate(sp.powsimp(weight * sp.exp(-scale * x)), (scale, 0, sp.oo))
    # ∫_1^∞ x^{−n} dx = 1/(n−1), for n > 1.
    constant = sp.simplify(shape * x**fan_in)
    return shape / constant * (fan_in - 1)


def power_transform(power: sp.Expr = a) -> sp.Expr:
    """The transform ∫_1^∞ P_{−1/2+iν}(x) x^{−a} dx, from m_a = (a−1) ∫_1^∞ P_{−1/2+iν}(x) x^{−a} dx.

    (a−1)Γ((a−1)/2) = 2Γ((a+1)/2) lets it reach down to a = 1.
    """
    b = sp.symbols("b", positive=True)
    transform = gaussian_transform(b) / (b - 1)
    return transform.subs(sp.gamma((b - 1) / 2), 2 * sp.gamma((b + 1) / 2) / (b - 1)).subs(b, power)


def h_hat() -> sp.Expr:
    """ĥ(ν), the transform of 1/x: `power_transform` at a = 1."""
    return power_transform(sp.Integer(1))


def wilson_integral(parameters: Sequence[sp.Expr]) -> sp.Expr:
    """(1/2π) ∫_0^∞ |Π_j Γ(a_j + iξ) / Γ(2iξ)|² dξ over four (or three) parameters (de Branges; Wilson; DLMF 5.13.5).

    Π_{i<j} Γ(a_i + a_j), over Γ(a_1 + a_2 + a_3 + a_4) if they are four.
    """
    pairs = sp.prod([sp.gamma(p + q) for i, p in enumerate(parameters) for q in parameters[i + 1 :]])
    return pairs / sp.gamma(sum(parameters)) if len(parameters) == 4 else pairs


def plancherel_weight() -> tuple[sp.Expr, sp.Expr]:
    """ν tanh(πν), and the same as |Γ(1/4 + iν/2) Γ(3/4 + iν/2)/Γ(iν)|²/(2π), simplified by duplication and
    reflection."""
    doubled = [
        sp.gammasimp(sp.gamma(QUARTER + z) * sp.gamma(3 * QUARTER + z) / sp.gamma(HALF + 2 * z))
        for z in (sp.I * nu / 2, -sp.I * nu / 2)
    ]
    reflected = sp.simplify(sp.gammasimp(sp.gamma(HALF + sp.I * nu) * sp.gamma(HALF - sp.I * nu)))
    poles = sp.simplify(sp.gammasimp(sp.gamma(sp.I * nu) * sp.gamma(-sp.I * nu)))
    return nu * sp.tanh(sp.pi * nu), sp.simplify(doubled[0] * doubled[1] * reflected / poles / (2 * sp.pi))


def one_layer_integral() -> sp.Expr:
    """∫_0^∞ ν tanh(πν) ĥ(ν) m_n(ν) dν in closed form: Wilson's integral at 1/4, 3/4, 1/4, (2n−1)/4 with ν = 2ξ."""
    half = sp.symbols("half", positive=True)  # n/2
    parameters = (QUARTER, 3 * QUARTER, QUARTER, half - QUARTER)
    constants = real_gammas(h_hat()) * real_gammas(gaussian_transform(2 * half))
    # dν = 2 dξ; the Plancherel weight has 1/2π, and so has Wilson's integral.
    integral = 2 * constants * wilson_integral(parameters)
    integral = integral.subs(sp.gamma(half + HALF), (half - HALF) * sp.gamma(half - HALF))
    return sp.simplify(sp.gammasimp(integral).subs(half, n / 2))


def real_gammas(expression: sp.Expr) -> sp.Expr:
    """What a transform has besides its complex gamma functions: those go into `wilson_integral`."""
    return expression.replace(sp.gamma, lambda z: sp.Integer(1) if z.has(sp.I) else sp.gamma(z))


def mean_inverse_cosh(fan_in: sp.Expr = n) -> sp.Expr:
    """E[1/cosh s] of one Gaussian layer, by `distance_density`."""
    b = sp.symbols("b", positive=True)
    return sp.simplify(sp.integrate(distance_density(b + 1) / x, (x, 1, sp.oo)).subs(b, fan_in - 1))


# The integral of S3, in numbers.


@cache
def factor(fan_in: int, frequency: mp.mpf) -> mp.mpf:
    """m_n(ν), to be called within `nu_integral`: gamma functions for n ≤ 3, then m_{n+2}/m_n."""
    if fan_in <= 3:
        z = mp.mpf(2 * fan_in - 1) / 4 + 0.5j * frequency
        return abs(mp.gamma(z)) ** 2 * mp.rgamma(mp.mpf(fan_in) / 2) * mp.rgamma(mp.mpf(fan_in - 1) / 2)
    below = fan_in - 2
    return factor(below, frequency) * (1 + (frequency**2 + 0.25) / (below * (below - 1)))


@cache
def inversion_weight(frequency: mp.mpf) -> mp.mpf:
    """ν tanh(πν) ĥ(ν), to be called within `nu_integral`."""
    h = abs(mp.gamma(0.25 + 0.5j * frequency)) ** 2 / (2 * mp.sqrt(mp.pi))
    return frequency * mp.tanh(mp.pi * frequency) * h


def nu_integral(integrand: Callable[[mp.mpf], mp.mpf]) -> mp.mpf:
    """∫_0^∞ of an even function of ν, analytic for |Im ν| < 1/2 and zero at 0, to 38 digits: the trapezoid rule."""
    with mp.workdps(WORKING_DIGITS):
        step, total, j = mp.mpf(_NU_STEP), mp.mpf(0), 0
        while True:
            j += 1
            term = integrand(step * j)
            total += term
            if step * j > 1 and abs(term) <= _NEGLIGIBLE * abs(total):
                return +(step * total)


def sech_integral(transform: Callable[[mp.mpf], mp.mpf]) -> mp.mpf:
    """S = ∫_0^∞ ν tanh(πν) ĥ(ν) M(ν) dν = E[1/cosh r] = 1 − E ρ², for a walk with spherical transform M."""
    return nu_integral(lambda frequency: inversion_weight(frequency) * transform(frequency))


def gaussian_complement(fan_ins: Sequence[int]) -> mp.mpf:
    """1 − E ρ² of Gaussian layers by S3."""
    return sech_integral(lambda frequency: mp.fprod(factor(fan_in, frequency) for fan_in in fan_ins))


def universal_complement(t: mp.mpf) -> mp.mpf:
    """1 − R(t) by S4."""
    return sech_integral(lambda frequency: mp.exp(-(frequency**2 + 0.25) * t / 2))


def derive() -> Derivation:
    """S3, one layer in closed form, and S4 as its limit."""
    transform, ratio, hat = gaussian_transform(), transform_ratio(), h_hat()
    series = log_transform_series(3)
    weight, weight_by_gammas = plancherel_weight()
    density, one_layer = distance_density(), one_layer_integral()
    casimir = nu**2 + QUARTER
    eigenvalue = height_eigenvalue()
    log_cosh = -2 * sp.log(sp.cosh(y))
    S, M = sp.Symbol("S"), sp.Function("M")
    with mp.workdps(WORKING_DIGITS):
        wilson_numbers = tuple(mp.mpf(v) for v in ("0.3", "0.7", "1.1", "0.9"))
        wilson = nu_integral(
            lambda v: (
                abs(mp.fprod(mp.gamma(p + 0.5j * v) for p in wilson_numbers) * mp.rgamma(1j * v)) ** 2 / (4 * mp.pi)
            )
        )
        point, distance = mp.mpf("1.7"), mp.mpf("0.9")
        spherical = mp.hyp2f1(0.5 + 1j * point, 0.5 - 1j * point, 1, -(mp.sinh(distance / 2) ** 2)).real
        laplace = _circle_average(lambda c: (mp.cosh(distance) + mp.sinh(distance) * c) ** (-0.5 - 1j * point)).real
        inverted = sech_integral(lambda v: mp.hyp2f1(0.5 + 1j * v, 0.5 - 1j * v, 1, -0.5).real)  # P(x): (1 − x)/2

    steps = (
        Step(
            "Two rows of Gaussian weights of fan-in $n$ are $T F$: a frame $F$ of two orthonormal rows, uniform and "
            "independent of the Bartlett root $T = \\begin{pmatrix}a&0\\\\g&b\\end{pmatrix}$, $a\\sim\\chi_n$, "
            "$b\\sim\\chi_{n-1}$, $g\\sim N(0,1)$. $F$ times the next Gaussian matrix is again two rows of Gaussian "
            "weights, independent of $T$. So the two rows of the Jacobian are $T_L T_{L-1}\\cdots T_1 F_1$, one "
            "independent triangular factor per weight matrix."
        ),
        Step(
            "Diagonal entries of triangular matrices multiply. With $Y = b/a$ the height of $TT^T$ in the upper "
            "half-plane, $Y = Y_L\\cdots Y_1$, and the waves $Y^{1/2+i\\nu}$ are eigenfunctions of the Laplacian, of "
            "eigenvalue",
            eigenvalue,
        ),
        Step(
            "Their means multiply, and one layer's is a product of two moments of chi variables, $E\\,\\chi_k^p = "
            "2^{p/2}\\,\\Gamma((k+p)/2)/\\Gamma(k/2)$, hence the spherical transform of a Gaussian layer",
            sp.Eq(sp.Function("m_n")(nu), transform, evaluate=False),
        ),
        Step(
            "Why a spherical transform: the law of $TT^T$ does not change under rotations. Carried from $(a,g,b)$ to "
            "$G=TT^T$ the density is $\\propto \\det(G)^{(n-3)/2}e^{-\\mathrm{Tr}\\,G/2}$: the angle is uniform, and "
            "the distance $s$ that the layer walks has, in $x=\\cosh s$, the density",
            sp.powsimp(density),
        ),
        Step(
            "So the mean of a wave is the mean of its angle average $P_{-1/2+i\\nu}(\\cosh s) = "
            "\\frac1{2\\pi}\\int_0^{2\\pi}(\\cosh s + \\sinh s\\cos\\theta)^{-1/2-i\\nu}d\\theta$, and with $n=a$ any "
            "real number above one $m_a(\\nu) = (a-1)\\int_1^\\infty P_{-1/2+i\\nu}(x)\\,x^{-a}dx$. This is the "
            "transform of a power; at $a=1$, that of $1/x$:",
            sp.Eq(sp.Symbol(r"\hat{h}"), hat, evaluate=False),
        ),
        Step(
            "Inversion. Claim: $1/x = \\int_0^\\infty \\nu\\tanh(\\pi\\nu)\\,\\hat h(\\nu)P_{-1/2+i\\nu}(x)\\,d\\nu$. "
            "Integrate both sides against $(a-1)x^{-a}$ over $x>1$. On the left, $(a-1)/a$. On the right "
            "$\\int\\nu\\tanh(\\pi\\nu)\\hat h\\,m_a\\,d\\nu$, where by reflection and duplication "
            "$\\nu\\tanh\\pi\\nu = "
            "|\\Gamma(\\tfrac14+\\tfrac{i\\nu}2)\\Gamma(\\tfrac34+\\tfrac{i\\nu}2)/\\Gamma(i\\nu)|^2/2\\pi$, so that "
            "it is Wilson's integral, with the value",
            one_layer.subs(n, a),
        ),
        Step(
            "The two agree for every $a>1$, and a function on $x>1$ is determined by these integrals (they are its "
            "Mellin transform). So the claim is true; and its case $a=n$ says that one Gaussian layer gives exactly "
            "$E\\rho^2 = 1/n$."
        ),
        Step(
            "Average the claim over the walk, $x = \\cosh r$: $E\\,P_{-1/2+i\\nu}(\\cosh r) = \\prod_l m_l(\\nu) = "
            "M(\\nu)$, and by `diffusion` $1 - E\\rho^2 = E[1/\\cosh r]$. This is S3, with $E\\,\\mathrm{VNI} = 1/n_L "
            "+ (1-1/n_L)(1-S)$:",
            sp.Eq(S, sp.Integral(weight * hat * M(nu), (nu, 0, sp.oo)), evaluate=False),
        ),
        Step(
            "Haar weights. A Gaussian pair of rows is $T F$. Cut to $k$ of its $n$ columns it is Gaussian of fan-in "
            "$k$, while $F$, cut, has a root $T'$ of its own: heights multiply, $m_k = m_n\\cdot m'$. So a Haar step "
            "has the transform $m_{n_{in}}/m_{\\max(n_{in},n_{out})}$, one if it does not widen."
        ),
        Step(
            "ReLU. Let $S_l$ be the signs of $h_l$. Flipping the sign of a row of $W_l$ leaves its law alone and "
            "flips one sign of $h_l$, so given the layers below and $|h_l|$ the signs are fair coins, and $D_l = "
            "(1+S_l)/2$ is a mask of fair coins. It leaves $W_l$ with rows in a half-space; multiply them by fresh "
            "random signs, which commute with $D_l$ and are absorbed by the columns of $W_{l+1}$, and they are free "
            "Gaussian (Haar) rows again. So the Jacobian is, up to signs of its rows, a product of independent "
            "matrices and masks: a mask with $k$ live nodes makes the fan-in $k$, and $m_n$ becomes $E\\,m_k$ over "
            "$k\\sim\\mathrm{Bin}(n,\\tfrac12)$ given $k\\ge1$, with $m_1=0$. Dropout: $\\mathrm{Bin}(n,p)$."
        ),
        Step(
            "Reading a layer as time. $\\Gamma(z+1)=z\\Gamma(z)$ gives the ratio of neighbours",
            sp.Eq(sp.Symbol(r"m_{n+2}/m_n"), sp.factor(ratio), evaluate=False),
        ),
        Step(
            "and $m_n\\to1$, so $m_n(\\nu) = \\prod_{j\\ge0}[1 + (\\nu^2+\\tfrac14)/((n+2j)(n+2j-1))]^{-1}$. Brownian "
            "motion has the transform $e^{-(\\nu^2+1/4)t/2}$, and at an exponential time of mean $\\tau$ it has "
            "$[1+(\\nu^2+\\tfrac14)\\tau/2]^{-1}$: a layer is the diffusion, run for a sum of exponential times of "
            "means $2/((n+2j)(n+2j-1))$, in total",
            sp.Eq(
                sp.Symbol(r"E\,\tau"),
                random_time_mean().replace(sp.polygamma, lambda _, w: sp.Function("psi")(w)),
                evaluate=False,
            ),
        ),
        Step(
            "One sees it also in $E\\ln(1-\\rho^2)$, which the diffusion takes down at rate exactly 1, and a layer by "
            "exactly this much. In wide layers, by Stirling's series,",
            sp.Eq(sp.Symbol(r"\ln m_n"), sum(sp.factor(series.coeff(n, -j)) / n**j for j in (1, 2)), evaluate=False),
        ),
        Step(
            "so $L$ layers with $t=\\sum_l1/n_l$ fixed have $M\\to e^{-(\\nu^2+1/4)t/2}$: S4. The term in $1/n^2$ is "
            "the first correction: $t$ is $\\sum_lE\\tau_l$, which is $\\sum_l1/n_l$ plus $O(1/n^2)$ per layer."
        ),
    )
    claims = (
        Claim(
            "The height of $TT^T$ is $Y = b/a$",
            height_of_root(),
            sp.Symbol("b", positive=True) / sp.Symbol("a", positive=True),
        ),
        Claim("$\\Delta Y^{1/2+i\\nu} = -(\\nu^2+\\tfrac14)Y^{1/2+i\\nu}$", eigenvalue, -casimir),
        Claim(
            "$m_n(\\nu) = |\\Gamma(\\frac{2n-1}4+\\frac{i\\nu}2)|^2/(\\Gamma(\\frac n2)\\Gamma(\\frac{n-1}2))$",
            transform,
            sp.gamma((2 * n - 1) / 4 + sp.I * nu / 2)
            * sp.gamma((2 * n - 1) / 4 - sp.I * nu / 2)
            / (sp.gamma(n / 2) * sp.gamma((n - 1) / 2)),
        ),
        Claim("$m_n(i/2) = 1$: constants are preserved", gaussian_transform(n, sp.I / 2), sp.Integer(1)),
        Claim(
            "$m_{n+2}/m_n = 1 + (\\nu^2+\\tfrac14)/(n(n-1))$; with $m_\\infty=1$, the product form",
            ratio,
            1 + casimir / (n * (n - 1)),
        ),
        Claim(
            "$\\ln m_n = -\\tfrac12(\\nu^2+\\tfrac14)/n + O(1/n^2)$, so $m_n^{tn}\\to e^{-(\\nu^2+1/4)t/2}$: S4",
            series.coeff(n, -1),
            -casimir / 2,
        ),
        Claim(
            "The mean time of a layer: its values at $n$ and $n+2$ differ by the first term, $2/(n(n-1))$",
            random_time_mean() - random_time_mean(n + 2).replace(sp.polygamma, _one_step_down),
            2 / (n * (n - 1)),
        ),
        Claim("A layer lowers $E\\ln(1-\\rho^2)$ by its mean time", mean_log_height(), -random_time_mean()),
        Claim(
            "and the diffusion lowers it at rate exactly 1",
            -sp.diff(log_cosh, y, 2) / 2 - sp.tanh(y) * sp.diff(log_cosh, y) / 2,
            sp.Integer(1),
        ),
        Claim("The distance of one layer: $\\cosh s$ has density $(n-1)x^{-n}$", density, (n - 1) * x ** (-n)),
        Claim(
            "$\\hat h(\\nu) = |\\Gamma(\\tfrac14+\\tfrac{i\\nu}2)|^2/(2\\sqrt\\pi)$",
            hat,
            sp.gamma(QUARTER + sp.I * nu / 2) * sp.gamma(QUARTER - sp.I * nu / 2) / (2 * sp.sqrt(sp.pi)),
        ),
        Claim(
            "The weight as gamma functions is $\\nu\\tanh\\pi\\nu$",
            weight_by_gammas.rewrite(sp.exp),
            weight.rewrite(sp.exp),
        ),
        Claim(
            "One layer: $\\int\\nu\\tanh(\\pi\\nu)\\hat h\\,m_n\\,d\\nu = 1-1/n$ for every $n$, so $E\\rho^2=1/n$ "
            "exactly",
            one_layer,
            1 - 1 / n,
        ),
        Claim("and so says the density of the distance: $E[1/\\cosh s] = 1-1/n$", mean_inverse_cosh(), 1 - 1 / n),
        Claim("A Haar matrix that is not cut makes no step", frame_transform(n, n), sp.Integer(1)),
        Claim(
            "In wide layers a Haar step $m_k/m_n$ is the diffusion run for $1/k-1/n$, as `diffusion` says",
            sp.simplify(series.coeff(n, -1) * (1 / m - 1 / n)),
            -casimir / 2 * (1 / m - 1 / n),
        ),
        Claim(
            "Wilson's integral, at four arbitrary parameters",
            wilson,
            _wilson_number(wilson_numbers),
        ),
        Claim("The inversion formula, at $x=2$", inverted, mp.mpf(1) / 2),
        Claim("The angle average of a wave is $P_{-1/2+i\\nu}$, at an arbitrary point", laplace, spherical),
    )
    return Derivation("The exact mean VNI: heights multiply", steps, claims)


def _circle_average(f: Callable[[mp.mpf], mp.mpc], points: int = 240) -> mp.mpc:
    return mp.fsum(f(mp.cos(2 * mp.pi * j / points)) for j in range(points)) / points


def _wilson_number(parameters: Sequence[mp.mpf]) -> mp.mpf:
    with mp.workdps(WORKING_DIGITS):
        pairs = mp.fprod(mp.gamma(p + q) for i, p in enumerate(parameters) for q in parameters[i + 1 :])
        return pairs * mp.rgamma(mp.fsum(parameters))


def _one_step_down(order: sp.Expr, z: sp.Expr) -> sp.Expr:
    """ψ(z) = ψ(z − 1) + 1/(z − 1)."""
    return sp.polygamma(order, z - 1) + 1 / (z - 1)
