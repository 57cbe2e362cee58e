r"""S4, S5: the signal mode, which D and W share, and the depth at which it takes over.

**Question.** D_l = diag φ′(h_l) and W_l both know the signal x_{l−1}. What does that do to the rows of the Jacobian,
which S4 takes to be multiplied by independent matrices, and to gradients?

**Assumptions.** W is Gaussian or a Haar corner. Given the signal, the rest of W is as random as before on the
complement of x_{l−1}. Sums over the n nodes of a layer are replaced by their means (n → ∞); h ~ N(0, q), of which the
part r q is the signal's and the rest the bias's. Under dropout nodes are kept with probability p and multiplied by 1/p.

**Method.** A row g is split into its component a along the signal and the rest, whose direction across the signal is
uniform. The means of a² and of the square B of the rest obey a linear recursion, whose coefficients are Gaussian
averages; so do, by Isserlis, the means of products of two rows.

**Result.** g_{l−1}·x_{l−1} = Σ g_i φ′_i (h_i − b_i): the mode's square is multiplied by χ_q² a layer at q*, everything
else by χ. Homogeneous φ feed nothing into it, in either weight family, with biases and dropout. What S4 assumes of D is
that the mode stays small, Λ^L ≪ N for Λ = χ_q²/χ. Where Λ > 1 the VNI goes to (1 − E 1/(1 + κξ²))², whatever t is.

**Source.** χ and χ_q: Poole et al. 2016, Schoenholz et al. 2017. Isserlis: Muirhead 1982. The recursion and its limit
are ours.
"""

from __future__ import annotations

import mpmath
import sympy as sp

from theory.derivation import DIGITS, Claim, Derivation, Step

LAWS: tuple[str, ...] = ("signal_mode_outlier", "signal_mode_share", "signal_mode_vni", "gradient_growth")

n_in, n_out, N = sp.symbols("n_in n_out N", positive=True)
q, r, p, sigma_w = sp.symbols("q r p sigma_w", positive=True)
# E φ², E φφ′h, E φ′²h², E φ′² and E φ²φ′².
second, along, length, mu1, weighted = sp.symbols("E_2 E_a E_l mu_1 E_w", positive=True)
kappa, t = sp.symbols("kappa t", positive=True)
g, e, m, c = sp.symbols("G e M chi", positive=True)


# One layer.


def along_the_signal() -> tuple[sp.Expr, sp.Expr]:
    """(Wᵀ D g)·x, and Σ g_i φ′_i (h_i − b_i) with h = W x + b, for two inputs and three nodes."""
    w = sp.Matrix(3, 2, sp.symbols("w_1:7"))
    x, b = sp.Matrix(sp.symbols("x_1:3")), sp.Matrix(sp.symbols("b_1:4"))
    row, slopes = sp.Matrix(sp.symbols("g_1:4")), sp.symbols("d_1:4")
    h = w * x + b
    back = w.T * sp.diag(*slopes) * row
    return sp.expand((back.T * x)[0]), sp.expand(sum(row[i] * slopes[i] * (h[i] - b[i]) for i in range(3)))


def across_the_signal() -> tuple[sp.Expr, sp.Expr]:
    """E (P·v)² of a vector P of length one, uniform across a unit vector in three dimensions, and |v_⊥|²/(n − 1)."""
    theta, polar, azimuth = sp.symbols("theta alpha beta", real=True)
    unit = sp.Matrix([sp.sin(polar) * sp.cos(azimuth), sp.sin(polar) * sp.sin(azimuth), sp.cos(polar)])
    one = sp.Matrix([sp.cos(polar) * sp.cos(azimuth), sp.cos(polar) * sp.sin(azimuth), -sp.sin(polar)])
    two = sp.Matrix([-sp.sin(azimuth), sp.cos(azimuth), 0])
    v = sp.Matrix(sp.symbols("v_1:4", real=True))
    uniform = sp.cos(theta) * one + sp.sin(theta) * two
    mean = sp.integrate(sp.expand((uniform.T * v)[0] ** 2), (theta, 0, 2 * sp.pi)) / (2 * sp.pi)
    return sp.simplify(mean), sp.simplify(((v.T * v)[0] - (unit.T * v)[0] ** 2) / 2)


def without_bias() -> tuple[sp.Expr, sp.Expr]:
    """E[φφ′(h − b)] and E[φ′²(h − b)²]: given h, h − b = r h + √(q r(1 − r)) y with y ~ N(0, 1)."""
    h, y, phi, slope = sp.symbols("h y varphi varphi'")
    signal = r * h + sp.sqrt(q * r * (1 - r)) * y
    averages = {phi * slope * h: along, slope**2 * h**2: length, slope**2: mu1}

    def mean(expression: sp.Expr) -> sp.Expr:
        by_y = sp.Poly(sp.expand(expression), y)
        total = sum(coefficient * {0: 1, 1: 0, 2: 1}[power] for (power,), coefficient in by_y.terms())
        return sp.expand(total).subs(averages)

    return mean(phi * slope * signal), mean(slope**2 * signal**2)


def layer_matrix(weights: str) -> sp.Matrix:
    """(E a², E B) at x_{l−1} from those at x_l; for Haar weights N = max(n_in, n_out)."""
    # In units of ‖x_{l−1}‖² = n_in r q/σ_w² and of ‖x_l‖² = n_out E φ²/p; each kept node weighs 1/p².
    mean_along, mean_length = without_bias()
    input_length = n_in * r * q / sigma_w**2
    projection = (n_out * mean_along / p) ** 2 / (n_out * second / p)
    to_mode = projection / input_length
    noise = (n_out * mean_length / p - projection) / input_length / (n_out - 1)
    slope, signal_slope = mu1 / p, weighted / second / p**2
    rest_slope = (n_out * slope - signal_slope) / (n_out - 1)
    if weights == "gaussian":
        kept = sigma_w**2 * (n_in - 1) / n_in
        return sp.Matrix([[to_mode, noise], [kept * signal_slope, kept * rest_slope]])
    gain, kept = sigma_w**2 * N / n_in, (n_in - 1) / (N - 1)
    return sp.Matrix([[to_mode, noise], [kept * (gain * signal_slope - to_mode), kept * (gain * rest_slope - noise)]])


def homogeneous_averages() -> dict[sp.Symbol, sp.Expr]:
    """The averages of φ(h) = α h for h > 0 and β h for h < 0."""
    up, down = sp.symbols("alpha beta", positive=True)
    square, fourth = (up**2 + down**2) / 2, (up**4 + down**4) / 2
    return {second: q * square, along: q * square, length: q * square, mu1: square, weighted: q * fourth}


def stein(degree: int = 3) -> tuple[sp.Expr, sp.Expr]:
    """E[φφ′h]/q and E[φ′² + φφ″] for a polynomial φ of any coefficients."""
    h = sp.Symbol("h")
    phi = sum(coefficient * h**k for k, coefficient in enumerate(sp.symbols(f"c_0:{degree + 1}")))
    slope, bend = sp.diff(phi, h), sp.diff(phi, h, 2)
    return polynomial_mean(phi * slope * h, h) / q, polynomial_mean(slope**2 + phi * bend, h)


def polynomial_mean(expression: sp.Expr, h: sp.Symbol) -> sp.Expr:
    """E f(h), h ~ N(0, q), of a polynomial f."""
    terms = sp.Poly(sp.expand(expression), h).terms()
    return sp.expand(sum(value * q ** (k // 2) * sp.factorial2(k - 1) for (k,), value in terms if k % 2 == 0))


# Two rows.


def isserlis(indices: tuple[int, ...], covariance: sp.Matrix) -> sp.Expr:
    """The mean of a product of jointly normal variables, by pairings."""
    if not indices:
        return sp.Integer(1)
    if len(indices) % 2:
        return sp.Integer(0)
    first, *rest = indices
    return sum(
        covariance[first, other] * isserlis((*rest[:k], *rest[k + 1 :]), covariance) for k, other in enumerate(rest)
    )


def pair_matrix() -> sp.Matrix:
    """The recursion of E(a_1a_2)², E a_1a_2B_12, E B_12², E(a_1²B_22 + a_2²B_11)/2 and E B_11B_22.

    One step is a ← √G a + ξ with ξ ~ N(0, e B), and B ← χ B + M a aᵀ.
    """
    a_1, a_2, b_11, b_12, b_22, x_1, x_2 = sp.symbols("a_1 a_2 B_11 B_12 B_22 x_1 x_2")
    covariance = e * sp.Matrix([[b_11, b_12], [b_12, b_22]])
    new_1, new_2 = sp.sqrt(g) * a_1 + x_1, sp.sqrt(g) * a_2 + x_2
    new_11, new_12, new_22 = c * b_11 + m * a_1**2, c * b_12 + m * a_1 * a_2, c * b_22 + m * a_2**2
    products = (
        new_1**2 * new_2**2,
        new_1 * new_2 * new_12,
        new_12**2,
        (new_1**2 * new_22 + new_2**2 * new_11) / 2,
        new_11 * new_22,
    )
    old = (a_1**2 * a_2**2, a_1 * a_2 * b_12, b_12**2, a_1**2 * b_22, b_11 * b_22)
    rows = []
    for each in products:
        terms = sp.Poly(sp.expand(each), x_1, x_2).terms()
        mean = sum(value * isserlis((0,) * i + (1,) * j, covariance) for (i, j), value in terms)
        # By the symmetry of the two rows a_2²B_11 has the mean of a_1²B_22.
        mean = sp.Poly(sp.expand(sp.expand(mean).subs(a_2**2 * b_11, a_1**2 * b_22)), a_1, a_2, b_11, b_12, b_22)
        swapped = {tuple(sp.Poly(term, a_1, a_2, b_11, b_12, b_22).monoms()[0]): k for k, term in enumerate(old)}
        swapped[0, 2, 1, 0, 0] = 3
        row = [sp.Integer(0)] * 5
        for powers, value in mean.terms():
            row[swapped[powers]] += value
        rows.append(row)
    return sp.Matrix(rows)


def stated_pair_matrix() -> sp.Matrix:
    return sp.Matrix(
        [
            [g**2, 4 * g * e, 2 * e**2, 2 * g * e, e**2],
            [g * m, g * c + e * m, e * c, 0, 0],
            [m**2, 2 * c * m, c**2, 0, 0],
            [g * m, 0, 0, g * c + e * m, e * c],
            [m**2, 0, 0, 2 * c * m, c**2],
        ]
    )


def scatter_ratio() -> tuple[sp.Expr, sp.Expr]:
    """d/dt of A = E B_12²/E B_11B_22 where B walks alone, and the same of (e^{3t} − 1)/(e^{3t} + 2)."""
    # One layer of depth dt: B_12² gains B_12² + B_11B_22, and B_11B_22 gains 2B_12².
    ratio = (sp.exp(3 * t) - 1) / (sp.exp(3 * t) + 2)
    return sp.simplify(1 + ratio - 2 * ratio**2), sp.simplify(sp.diff(ratio, t))


# The limit in which the mode is all there is.


def mode_mean(ratio: mpmath.mpf) -> tuple[mpmath.mpf, mpmath.mpf]:
    """E 1/(1 + κξ²): by quadrature, and as √(π/2κ) e^{1/2κ} erfc(1/√2κ)."""
    with mpmath.workdps(DIGITS + 20):
        integral = mpmath.quad(lambda x: mpmath.npdf(x) / (1 + ratio * x**2), mpmath.linspace(-16, 16, 65), maxdegree=8)
        x = 1 / mpmath.sqrt(2 * ratio)
        return integral, mpmath.sqrt(mpmath.pi) * x * mpmath.exp(x**2) * mpmath.erfc(x)


def annealed_mode() -> sp.Expr:
    """E(κξ_1ξ_2)²/E(1 + κξ_1²)(1 + κξ_2²), which the means of products of two rows know κ by."""
    normal = {0: 1, 2: 1}
    top = kappa**2 * normal[2] ** 2
    bottom = sp.expand((1 + kappa * normal[2]) ** 2)
    return sp.factor(top / bottom)


# The eigenvalue of J Jᵀ that the mode is.


def outlier(depth: int) -> tuple[sp.Expr, sp.Expr]:
    """‖J x̂_0‖² ‖Jᵀ x̂_L‖²/G^L by the recursions, and the square of J's rank-one part by paths, L layers alike.

    A path through J enters the mode from across it at some layer (M), stays (G), and leaves it at some layer (b), or
    begins or ends in it; across the signal it is multiplied by χ. Paths of different layers are orthogonal.
    """
    b = sp.Symbol("b", positive=True)
    forward = sp.Matrix([[g, 0], [b, c]]) ** depth * sp.Matrix([1, 0])
    backward = sp.Matrix([[g, 0], [m, c]]) ** depth * sp.Matrix([1, 0])
    leaving = 1 + sum(b * c ** (depth - k) / g ** (depth - k + 1) for k in range(1, depth + 1))
    entering = 1 + sum(m * c ** (k - 1) / g**k for k in range(1, depth + 1))
    return sp.factor(sum(forward) * sum(backward) / g**depth), sp.factor(leaving * entering * g**depth)


def derive() -> Derivation:
    chi = sigma_w**2 * mu1 / p
    chi_q = sigma_w**2 * along / (q * p)
    at_fixed_point = {second: r * q * p / sigma_w**2, n_in: n_out}
    matrices = {weights: layer_matrix(weights) for weights in ("gaussian", "orthogonal")}
    isotropic = sp.Matrix([1 / n_out, 1 - 1 / n_out])
    homogeneous = homogeneous_averages()
    left, right = stein()
    steps = (
        Step(
            r"**Along the signal.** A row $g$ at $x_l$ becomes $W_l^\mathsf{T}D_lg$ at $x_{l-1}$. With $h=Wx+b$ its "
            r"product with the signal is $\sum_i g_i\varphi'(h_i)(h_i-b_i)$: it is known from the forward pass alone."
        ),
        Step(
            r"Split $g=a\,\hat x_l+P$, where the direction of $P$ is uniform across $\hat x_l$, $\|P\|^2=B$. With $v_i="
            r"\varphi'_i(h_i-b_i)/\|x_{l-1}\|$ the new component is $a\,(\hat x_l\cdot v)+P\cdot v$, and the mean of "
            r"$(P\cdot v)^2$ is $B\,|v_\perp|^2/(n-1)$. Of $h$, the part $r=(q-\sigma_b^2)/q$ is the signal's. So "
            r"$\mathbb{E}a^2\leftarrow G\,\mathbb{E}a^2+e\,\mathbb{E}B$ with",
            sp.Eq(sp.Symbol("G"), matrices["gaussian"][0, 0], evaluate=False),
        ),
        Step(
            r"Across the signal what arrives is $\|Dg\|^2$, spread by fresh rows of $W$ over $n_\mathrm{in}-1$ of "
            r"$n_\mathrm{in}$ directions. Slopes weigh $a^2$ by $\mathbb{E}[\varphi^2\varphi'^2]/\mathbb{E}\varphi^2$. "
            r"A Haar matrix keeps lengths: what goes along the signal is missing across it."
        ),
        Step(
            r"**At q\*** the input and output of a layer are as long, and $G=\chi_q^2$, where $\chi_q=\sigma_w^2\,"
            r"\mathbb{E}[\varphi\varphi'h]/q=\sigma_w^2\,\mathbb{E}[\varphi'^2+\varphi\varphi'']$ is the slope of the "
            r"length map. So the mode's share grows by $\Lambda=\chi_q^2/\chi$ a layer from $1/n$, what any direction "
            r"has. **What S4 assumed of D** is that it is independent of what it multiplies; it needs $\Lambda^L\ll N$."
        ),
        Step(
            r"**Homogeneous φ** have $\varphi'(h)h=\varphi(h)$, and a share of $1/n$ stays $1/n$, at any widths, with "
            r"biases and dropout: there S3 and S4 need no such condition."
        ),
        Step(
            r"**Two rows.** $(a_1a_2)^2$, $a_1a_2B_{12}$, $B_{12}^2$, $a_1^2B_{22}$ and $B_{11}B_{22}$ obey a linear "
            r"recursion in the mean, by Isserlis, with matrix",
            stated_pair_matrix(),
        ),
        Step(
            r"**The limit.** Let $\Lambda>1$ and $N\to\infty$ with $\Lambda^L/N$ fixed. The effective depth vanishes, "
            r"$B_{12}$ with it, and $a$ is a Gaussian $\xi$ for each row: $C=I+\kappa\,\xi\xi^\mathsf{T}$, whose mean "
            r"square correlation is $(\mathbb{E}\,\kappa\xi^2/(1+\kappa\xi^2))^2$, with",
            sp.Eq(
                sp.Function("E")(1 / (1 + kappa * sp.Symbol("xi") ** 2)),
                sp.sqrt(sp.pi / (2 * kappa)) * sp.exp(1 / (2 * kappa)) * sp.erfc(1 / sp.sqrt(2 * kappa)),
                evaluate=False,
            ),
        ),
        Step(
            r"**The spectrum.** To leading order the mode is one eigenvalue of $JJ^\mathsf{T}$ beside the bulk, with "
            r"the directions in which $J$ takes $\hat x_0$ and $J^\mathsf{T}$ takes $\hat x_L$ as its vectors: "
            r"$\|J\hat x_0\|^2\,\|J^\mathsf{T}\hat x_L\|^2/\prod G_l$."
        ),
    )
    numbers = [mpmath.mpf(k) / 8 for k in (1, 8, 40)]
    claims = (
        Claim(r"$g_{l-1}\cdot x_{l-1}=\sum_ig_i\varphi'_i(h_i-b_i)$ (two inputs, three nodes)", *along_the_signal()),
        Claim(r"the mean of $(P\cdot v)^2$ is $|v_\perp|^2/(n-1)$ for $n=3$", *across_the_signal()),
        Claim(
            r"at q\*, $G=\chi_q^2$, with biases and dropout",
            sp.simplify(matrices["gaussian"][0, 0].subs(at_fixed_point)),
            chi_q**2,
        ),
        Claim(r"$\mathbb{E}[\varphi\varphi'h]/q=\mathbb{E}[\varphi'^2+\varphi\varphi'']$ (any cubic)", left, right),
        Claim(
            r"without a mode, wide layers multiply $B$ by $\chi$",
            sp.limit(matrices["gaussian"][1, 1].subs(n_in, n_out), n_out, sp.oo),
            chi,
        ),
        *(
            Claim(
                rf"S5, {weights}: φ of any two slopes leaves a share of $1/n$ as it is, and multiplies the whole by χ",
                sp.simplify((matrix * isotropic).subs(homogeneous)),
                sp.simplify((chi * sp.Matrix([1 / n_in, 1 - 1 / n_in])).subs(homogeneous)),
            )
            for weights, matrix in matrices.items()
        ),
        Claim(r"the recursion of two rows", pair_matrix(), stated_pair_matrix()),
        Claim(r"without a mode, $A'=1+A-2A^2$ is solved by $(e^{3t}-1)/(e^{3t}+2)$", *scatter_ratio()),
        Claim(r"with a mode alone, $A=(\kappa/(1+\kappa))^2$", annealed_mode(), (kappa / (1 + kappa)) ** 2),
        *(
            Claim(rf"$\mathbb{{E}}\,1/(1+\kappa\xi^2)$ at $\kappa={mpmath.nstr(each, 3)}$", *mode_mean(each))
            for each in numbers
        ),
        Claim(r"the mode's eigenvalue of $JJ^\mathsf{T}$ by paths through four layers", *outlier(4)),
    )
    return Derivation("The signal mode", steps, claims)
