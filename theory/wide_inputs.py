r"""S7, wide inputs: two inputs are a chain; a nonlinearity parts them, and the scatter of each layer joins them.

**Question.** Over inputs N(0, I), instead of a small ball, how correlated are the nodes of a deep network whose
activation is odd? Does nonlinearity stop vanishing?

**Assumptions.** Proved: the participation is a mean over pairs of inputs, for every network; given the layer before,
the nodes of a Gaussian layer are independent Gaussian pairs; the mean and the scatter of the correlation of two inputs
of equal norms to first order in 1/n, for any odd φ, Gaussian and Haar weights; the diffusion limit N → ∞ at fixed
α = N(1−c) and depth L/N, its stationary law and its collapse. *Not* proved, only measured: that the norms may be held
at the length map within the chain (they scatter too), and the step from the participation to the VNI.

**Method.** Hermite expansions (Mehler, Price) for the map of ρ; with s = (φ+φ′)/2 and d = (φ−φ′)/2 the correlation is
a function of three sums, expanded to second order (the delta method); Haar weights as Gaussian ones whose quadratic
sums are held fixed; the diffusion by its generator, scale function and stationary density.

**Result.** With y = artanh ρ, E y′ = ½ ln(E s²/E d²) + [½κ_sd tanh y′ − ¼(κ_s − κ_d)]/n, Var y′ = ¼(κ_s + κ_d −
2κ_sd)/n. For nearly linear φ, time L/N: dy = (½ − α) tanh y dt + dB. For α > ½ it has the stationary density ∝
(cosh y)^{1−2α}, with E ρ² = 1/(2α); for α ≤ ½ it has none and |y| → ∞: all inputs, and with them all nodes, become one.

**Source.** Mehler 1866; Price 1958; Williams 1997 for the arcsine; Hotelling 1953 for the law of a sample correlation;
Cramér 1946 for the delta method; Poole et al. 2016 and Schoenholz et al. 2017 for correlation maps; Feller's boundary
classification as in Karlin and Taylor 1981, chapter 15. The chain, α and its threshold are ours.
"""

from __future__ import annotations

from functools import cache
from itertools import product

import mpmath as mp
import sympy as sp

from theory.derivation import DIGITS, Claim, Derivation, Step

LAWS: tuple[str, ...] = ("wide_input_limit", "wide_input_participation", "wide_input_vni")

rho, z, x, y, zeta = sp.symbols("rho z x y zeta", real=True)
q, t, c, n, alpha, kappa = sp.symbols("q t c n alpha kappa", positive=True)
HALF = sp.Rational(1, 2)
ACTIVATIONS = {"linear": x, "erf": sp.erf(x), "sin": sp.sin(x)}


# The participation, by inputs.


def participation_by_nodes(inputs: int, nodes: int, *, centred: bool) -> tuple[sp.Expr, sp.Expr]:
    """(Tr C², (Tr C)²) for the covariance of some nodes over some equally likely inputs; uncentred: E x_i x_j."""
    data = _activations(inputs, nodes)
    if centred:
        data = data - sp.ones(inputs, inputs) * data / inputs
    covariance = data.T * data / inputs
    return sp.expand((covariance * covariance).trace()), sp.expand(covariance.trace() ** 2)


def participation_by_inputs(inputs: int, nodes: int) -> tuple[sp.Expr, sp.Expr]:
    """n² times (E K_12², E K_11K_22) over two independent draws of inputs."""
    data = _activations(inputs, nodes)
    gram = data * data.T
    pairs = tuple(product(range(inputs), repeat=2))
    top = sum(gram[a, b] ** 2 for a, b in pairs)
    bottom = sum(gram[a, a] * gram[b, b] for a, b in pairs)
    return sp.expand(top / inputs**2), sp.expand(bottom / inputs**2)


def participation_by_differences(inputs: int, nodes: int) -> tuple[sp.Expr, sp.Expr]:
    """(E (d·d′)²/4, E |d|²|d′|²/4) over the differences d, d′ of four independent draws of inputs."""
    data = _activations(inputs, nodes)
    top = bottom = sp.Integer(0)
    for a, b, third, fourth in product(range(inputs), repeat=4):
        first, second = data[a, :] - data[b, :], data[third, :] - data[fourth, :]
        top += first.dot(second) ** 2
        bottom += first.dot(first) * second.dot(second)
    return sp.expand(top / 4 / inputs**4), sp.expand(bottom / 4 / inputs**4)


def participation_by_four(inputs: int, nodes: int) -> tuple[sp.Expr, sp.Expr]:
    """n² times (E[K_12² − 2K_12K_13 + K_12K_34], E[K_11K_22 − 2K_11K_23 + K_12K_34]), the same by Gram matrices."""
    data = _activations(inputs, nodes)
    gram = data * data.T
    top = bottom = sp.Integer(0)
    for a, b, third, fourth in product(range(inputs), repeat=4):
        mixed = gram[a, b] * gram[third, fourth]
        top += gram[a, b] ** 2 - 2 * gram[a, b] * gram[a, third] + mixed
        bottom += gram[a, a] * gram[b, b] - 2 * gram[a, a] * gram[b, third] + mixed
    return sp.expand(top / inputs**4), sp.expand(bottom / inputs**4)


def _activations(inputs: int, nodes: int) -> sp.Matrix:
    return sp.Matrix(inputs, nodes, lambda row, column: sp.Symbol(f"x_{row}{column}", real=True))


# The Hermite map.


def normal_mean(f: sp.Expr, variable: sp.Symbol = z) -> sp.Expr:
    """E f over a standard normal variable, integrated by sympy."""
    return sp.simplify(sp.integrate(f * sp.exp(-(variable**2) / 2), (variable, -sp.oo, sp.oo)) / sp.sqrt(2 * sp.pi))


@cache
def hermite_generating_mean() -> sp.Expr:
    """E e^{αx − α²/2} e^{βy − β²/2} for a Gaussian pair with correlation ρ: y = ρx + κz, κ² = 1 − ρ².

    The two factors generate Hermite polynomials: e^{αx−α²/2} = Σ_j He_j(x) α^j/j!.
    """
    first, second, rest = sp.symbols("alpha beta kappa", real=True)
    over_z = normal_mean(sp.exp(second * rest * z))
    over_x = normal_mean(sp.exp((first + second * rho) * x), x)
    exponent = sp.expand_log(sp.log(over_z * over_x), force=True) - first**2 / 2 - second**2 / 2
    return sp.exp(sp.simplify(sp.expand(exponent).subs(rest**2, 1 - rho**2)))


def mehler_matrix(order: int) -> sp.Matrix:
    """E He_j(x) He_k(y), j, k ≤ order, read off `hermite_generating_mean`."""
    first, second = sp.symbols("alpha beta", real=True)
    mean = hermite_generating_mean()

    def entry(j: int, k: int) -> sp.Expr:
        return sp.diff(sp.diff(mean, first, j), second, k).subs({first: 0, second: 0})

    return sp.Matrix(order + 1, order + 1, lambda j, k: sp.expand(entry(j, k)))


def covariance(name: str) -> sp.Expr:
    """E φ(h)φ(h′) for a Gaussian pair of variance q and correlation ρ, for an activation that has it in closed form.

    Price: its derivative is q E φ′(h)φ′(h′), and at ρ = 0 it is zero, φ being odd.
    """
    s = sp.symbols("s", real=True)
    return sp.factor(sp.integrate(q * slope_product(name).subs(rho, s), (s, 0, rho)), deep=True)


def correlation_map(name: str) -> sp.Expr:
    """ρ of φ(h), φ(h′) as a function of ρ of h, h′ at variance q."""
    return covariance(name) / second_moment(name)


def slope_product(name: str) -> sp.Expr:
    """E φ′(h) φ′(h′) for a Gaussian pair of variance q and correlation ρ.

    erf: φ′φ′ = (4/π) e^{−h² − h′²}, a Gaussian integral, det(1 + 2Σ)^{−1/2}. sin: cos h cos h′ = ½ cos(h + h′)
    + ½ cos(h − h′), with variances 2q(1 ± ρ), and E cos of a normal variable.
    """
    if name == "linear":
        return sp.Integer(1)
    if name == "erf":
        sigma = q * sp.Matrix([[1, rho], [rho, 1]])
        return 4 / sp.pi / sp.sqrt(sp.expand((sp.eye(2) + 2 * sigma).det()))
    omega = sp.symbols("omega", positive=True)
    cosine = normal_mean(sp.cos(omega * z))
    total = sum(cosine.subs(omega**2, 2 * q * (1 + sign * rho)) for sign in (1, -1)) / 2
    return sp.simplify(sp.expand(total * sp.exp(q))) * sp.exp(-q)


def linear_share(name: str) -> sp.Expr:
    """c(q) = a_1²/Σ_k a_k²: the slope of the map at ρ = 0."""
    return sp.simplify(sp.diff(correlation_map(name), rho).subs(rho, 0))


def first_coefficient_squared(name: str) -> sp.Expr:
    """a_1², a_1 = E z φ(√q z) = √q E φ′(√q z), by integration."""
    slope = sp.diff(ACTIVATIONS[name], x).subs(x, sp.sqrt(q) * z)
    return sp.simplify(q * normal_mean(slope) ** 2)


def second_moment(name: str) -> sp.Expr:
    """Σ_k a_k² = E φ(√q z)²: the covariance at ρ = 1."""
    return covariance(name).subs(rho, 1)


# The scatter of one layer.


def correlation_of_sums() -> sp.Expr:
    """sinh² y′ from S = Σs², D = Σd² and M = Σsd, where φ = s + d and φ′ = s − d."""
    S, D, M = sp.symbols("S D M", positive=True)
    first, second, both = S + D + 2 * M, S + D - 2 * M, S - D
    square = both**2 / (first * second)
    return sp.factor(sp.simplify(square / (1 - square)))


def second_order() -> sp.Expr:
    """y′ to second order in a, b, m: S = E s²(1 + a), D = E d²(1 + b), M² = E s² E d² m², at E s²/E d² = e^{2y}."""
    a, b, m, eps = sp.symbols("a b m varepsilon", real=True)
    ratio = sp.exp(2 * y)
    value = sp.asinh(
        (ratio * (1 + eps * a) - (1 + eps * b))
        / (2 * sp.exp(y) * sp.sqrt((1 + eps * a) * (1 + eps * b) - eps**2 * m**2))
    )
    terms = [sp.diff(value, eps, order).subs(eps, 0) / sp.factorial(order) for order in (1, 2)]
    return sum(_in_exponentials(term) for term in terms)


def _in_exponentials(term: sp.Expr) -> sp.Expr:
    """With w = e^y > 0, so that √(cosh² y) is cosh y."""
    w = sp.symbols("w", positive=True)
    rational = term.rewrite(sp.exp).subs(sp.exp(2 * y), w**2).subs(sp.exp(y), w).subs(sp.exp(-y), 1 / w)
    return sp.factor(sp.simplify(sp.powdenest(sp.factor(sp.simplify(rational)), force=True))).subs(w, sp.exp(y))


def mean_and_variance() -> tuple[sp.Expr, sp.Expr]:
    """n times (E y′ − Hermite map, Var y′), from the covariances of the sums of n independent nodes."""
    a, b, m = sp.symbols("a b m", real=True)
    k_s, k_d, k_sd = sp.symbols("kappa_s kappa_d kappa_sd", positive=True)
    expansion = sp.expand(second_order_stated())
    moments = {(2, 0, 0): k_s - 1, (0, 2, 0): k_d - 1, (1, 1, 0): k_sd - 1, (0, 0, 2): k_sd}
    terms = sp.Poly(expansion, a, b, m).terms()
    mean = sum(coefficient * moments.get(powers, 0) for powers, coefficient in terms if sum(powers) == 2)
    linear = sum(coefficient * a ** powers[0] * b ** powers[1] for powers, coefficient in terms if sum(powers) == 1)
    variance = sum(
        coefficient * moments.get(powers, 0) for powers, coefficient in sp.Poly(sp.expand(linear**2), a, b, m).terms()
    )
    return sp.expand(mean), sp.expand(variance)


def second_order_stated() -> sp.Expr:
    """½(a − b) − ¼(a² − b²) + ½ tanh(y) m²."""
    a, b, m = sp.symbols("a b m", real=True)
    return (a - b) / 2 - (a**2 - b**2) / 4 + sp.tanh(y) * m**2 / 2


def gaussian_kurtoses() -> dict[sp.Symbol, sp.Expr]:
    """κ_s, κ_d, κ_sd where φ is linear: s and d are independent normal variables."""
    k_s, k_d, k_sd = sp.symbols("kappa_s kappa_d kappa_sd", positive=True)
    fourth = normal_mean(z**4)
    return {k_s: fourth, k_d: fourth, k_sd: normal_mean(z**2) ** 2}


def held_density() -> sp.Expr:
    """n times the logarithm of the density of one node's (a, b), sums of a², b², ab held, over the Gaussian one.

    Two orthonormal vectors in n dimensions: one coordinate of each has the density (1 − r²/n)^{(n−4)/2} in units of
    1/√n, r² = a² + b².
    """
    r, step = sp.symbols("r epsilon", positive=True)
    log_density = (1 / step - 4) / 2 * sp.log(1 - r**2 * step) + r**2 / 2
    leading = sp.series(log_density, step, 0, 2).removeO().coeff(step, 1)
    # Normalized: its mean over the Gaussian pair, in which r² is exponential of mean 2, is taken off.
    u = sp.symbols("u", positive=True)
    mean = sp.integrate(leading.subs(r, sp.sqrt(u)) * sp.exp(-u / 2) / 2, (u, 0, sp.oo))
    return sp.expand(leading - mean)


# The exact law of the scatter of Gaussian pairs.


def hotelling() -> sp.Expr:
    """The density of y, up to the constant (n−1) Γ(n)/(√(2π) Γ(n+½))."""
    argument = (1 + sp.tanh(y) * sp.tanh(zeta)) / 2
    spread = sp.cosh(y - zeta) ** (HALF - n) * sp.sqrt(sp.cosh(y) / sp.cosh(zeta))
    return spread * sp.hyper((HALF, HALF), (n + HALF,), argument)


def sample_density(distance: mp.mpf, centre: mp.mpf, count: mp.mpf) -> mp.mpf:
    """Hotelling's density of a sample correlation, in y = artanh r; ζ = artanh ρ."""
    constant = (count - 1) * mp.gamma(count) / mp.sqrt(2 * mp.pi) / mp.gamma(count + 0.5)
    spread = mp.cosh(distance - centre) ** (0.5 - count) * mp.sqrt(mp.cosh(distance) / mp.cosh(centre))
    argument = (1 + mp.tanh(distance) * mp.tanh(centre)) / 2
    return constant * spread * mp.hyp2f1(0.5, 0.5, count + 0.5, argument)


def sample_density_by_chi(distance: mp.mpf, centre: mp.mpf, count: mp.mpf) -> mp.mpf:
    """The same from sinh y = (a sinh ζ + g)/b, with a ~ χ_n, g ~ N(0, 1), b ~ χ_{n−1} independent.

    Along x/|x| the second vector of Gaussian pairs has the component ρ|x| + √(1−ρ²) g, across it √(1−ρ²) b. Given a and
    b, sinh y is normal; the integral over both is in polar coordinates, a = r cos θ, b = r sin θ, and that over r a
    Gamma function.
    """
    u, v = mp.sinh(distance), mp.sinh(centre)

    def over_angle(theta: mp.mpf) -> mp.mpf:
        cosine, sine = mp.cos(theta), mp.sin(theta)
        # ∫ r^{2n−1} e^{−r²/2 − r²(u sin θ − v cos θ)²/2} dr: r^{n−1}, r^{n−2} of the χ, r of b as a Jacobian, r of dr.
        precision = 1 + (u * sine - v * cosine) ** 2
        return (cosine * sine) ** (count - 1) * precision ** (-count)

    angular = mp.quad(over_angle, mp.linspace(0, mp.pi / 2, 9))
    radial = 2 ** (count - 1) * mp.gamma(count)
    norm = 2 ** (count / 2 - 1) * mp.gamma(count / 2) * 2 ** ((count - 1) / 2 - 1) * mp.gamma((count - 1) / 2)
    return mp.cosh(distance) * angular * radial / norm / mp.sqrt(2 * mp.pi)


# The diffusion limit.


def cubic_map() -> sp.Expr:
    """The Hermite map of φ = h − κh³ at small q: ρ − (1−c)(ρ − ρ³), with 1 − c to lowest order in q."""
    first = sp.symbols("x", real=True)
    phi = sp.sqrt(q) * first - kappa * q ** sp.Rational(3, 2) * first**3
    a1, a3 = (normal_mean(phi * sp.expand(h), first) for h in (first, first**3 - 3 * first))
    return sp.factor(sp.series((a3**2 / 6) / (a1**2 + a3**2 / 6), q, 0, 3).removeO())


def parting_rate() -> sp.Expr:
    """The rate of y = artanh ρ when ρ moves by −(1−c)(ρ − ρ³), times N = α/(1 − c)."""
    return sp.simplify((-alpha * (rho - rho**3) / (1 - rho**2)).subs(rho, sp.tanh(y)))


def generator(f: sp.Expr) -> sp.Expr:
    """½ f″ + (½ − α) tanh(y) f′: the scatter of a linear layer, and the parting."""
    scatter = sp.diff(f, y, 2) / 2 + sp.tanh(y) / 2 * sp.diff(f, y)
    return scatter + parting_rate() * sp.diff(f, y)


def stationary_flux() -> sp.Expr:
    """(½ − α) tanh(y) p − ½ p′ of p = (cosh y)^{1−2α}: zero where it is stationary."""
    p = sp.cosh(y) ** (1 - 2 * alpha)
    return sp.simplify(((HALF - alpha) * sp.tanh(y) * p - sp.diff(p, y) / 2) / p)


def stationary_mean_square() -> sp.Expr:
    """E tanh² y under (cosh y)^{−m}, m = 2α − 1: with ∫ (cosh y)^{−m} dy = B(m/2, ½)."""
    m = 2 * alpha - 1

    def mass(power: sp.Expr) -> sp.Expr:
        return sp.gamma(power / 2) * sp.gamma(HALF) / sp.gamma((power + 1) / 2)

    return sp.simplify(1 - sp.expand_func(mass(m + 2) / mass(m)))


def scale_derivative() -> sp.Expr:
    """exp(−∫ 2(½−α) tanh): the derivative of the scale function, which the generator sends to zero."""
    return sp.cosh(y) ** (2 * alpha - 1)


def scale_of_infinity(strength: sp.Expr) -> sp.Expr:
    """∫_0^∞ (cosh y)^{2α−1} dy: finite where paths leave for infinity for good (Feller)."""
    return sp.integrate(sp.cosh(y) ** (2 * strength - 1), (y, 0, sp.oo))


def derive() -> Derivation:
    """The participation by inputs; the map; the scatter; the diffusion, its balance and its collapse."""
    erf_map, sin_map = correlation_map("erf"), correlation_map("sin")
    mean, variance = mean_and_variance()
    linear = gaussian_kurtoses()
    k_s, k_d, k_sd = sp.symbols("kappa_s kappa_d kappa_sd", positive=True)
    S, D, M = sp.symbols("S D M", positive=True)
    r = sp.symbols("r", positive=True)
    argument = 2 * q / (1 + 2 * q)
    f = sp.Function("f")(y)
    with mp.workdps(DIGITS + 20):
        at = mp.mpf("0.7"), mp.mpf("0.4"), mp.mpf(5)
        stated_density, derived_density = sample_density(*at), sample_density_by_chi(*at)
        panels = [-mp.inf, -4, -1, 0, 1, 4, mp.inf]
        mass = mp.quad(lambda distance: sample_density(distance, mp.mpf("0.4"), mp.mpf(9)), panels)
        chance = mp.quad(
            lambda distance: mp.tanh(distance) ** 2 * sample_density(distance, mp.mpf(0), mp.mpf(9)), panels
        )
        root, cuts = mp.sqrt(mp.mpf("1.3")), [-15, -6, -3, -1, 0, 1, 3, 6, 15]
        first = mp.quad(lambda s: s * mp.erf(root * s) * mp.npdf(s), cuts, method="gauss-legendre")
        total = mp.quad(lambda s: mp.erf(root * s) ** 2 * mp.npdf(s), cuts, method="gauss-legendre")
        share_by_quadrature, ninth = first**2 / total, mp.mpf(1) / 9
        share = mp.mpf("2.6") / mp.mpf("3.6") / mp.asin(mp.mpf("2.6") / mp.mpf("3.6"))

    steps = (
        Step(
            "Look at inputs instead of nodes. With the Gram matrix $K_{ab} = x_a\\cdot x_b/n$ of activations at inputs "
            "drawn independently, $\\mathrm{Tr}\\,C^2 = n^2E\\,K_{12}^2$ and $\\mathrm{Tr}\\,C = n\\,E\\,K_{11}$, "
            "exactly, for every "
            "network. For a centred $C$ four inputs take their place, through $d = x_1-x_2$ and $d' = x_3-x_4$: "
            "$\\mathrm{Tr}\\,C^2 = E(d\\cdot d')^2/4 = n^2E[K_{12}^2-2K_{12}K_{13}+K_{12}K_{34}]$ and "
            "$(\\mathrm{Tr}\\,C)^2 = E|d|^2|d'|^2/4 = n^2E[K_{11}K_{22}-2K_{11}K_{23}+K_{12}K_{34}]$. Given $K$, the "
            "nodes of "
            "the next layer of Gaussian weights are independent, so the Gram matrix of any inputs is a Markov chain. "
            "For "
            "an odd $\\varphi$ nodes have the mean zero, and two inputs are enough."
        ),
        Step(
            "Hermite polynomials have the generating function $e^{\\alpha x-\\alpha^2/2} = "
            "\\sum_jHe_j(x)\\alpha^j/j!$. Over a Gaussian pair with correlation $\\rho$ the mean of the product of "
            "two is",
            sp.Eq(
                sp.Symbol(r"E\,e^{\alpha x-\alpha^2/2}e^{\beta y-\beta^2/2}"), hermite_generating_mean(), evaluate=False
            ),
        ),
        Step(
            "so $E\\,He_j(x)He_k(y) = \\delta_{jk}k!\\rho^k$ (Mehler). In a wide layer, two inputs whose "
            "pre-activations have "
            "the correlation $\\rho$ leave $\\varphi(\\sqrt q\\,z) = \\sum_ka_kHe_k(z)/\\sqrt{k!}$ with the "
            "correlation "
            "$F_q(\\rho) = \\sum_ka_k^2\\rho^k/\\sum_ka_k^2$, odd $k$ only. Its slope "
            "at zero is $c = a_1^2/\\sum_ka_k^2\\le1$, and $c=1$ only if $\\varphi$ is linear. The derivative of the "
            "numerator is $q\\,E\\varphi'\\varphi'$ (Price), which gives closed forms. For erf,",
            sp.Eq(sp.Symbol(r"F_q(\rho)"), erf_map, evaluate=False),
        ),
        Step("and for sin,", sp.Eq(sp.Symbol(r"F_q(\rho)"), sin_map, evaluate=False)),
        Step("Their slopes: for erf", sp.Eq(c, linear_share("erf"), evaluate=False)),
        Step("and for sin", sp.Eq(c, linear_share("sin"), evaluate=False)),
        Step(
            "A layer of $n$ nodes scatters about that. With $s = (\\varphi(h)+\\varphi(h'))/2$, $d = "
            "(\\varphi(h)-\\varphi(h'))/2$, sums $S$, $D$, $M$ of $s^2$, $d^2$, $sd$ over the nodes, and "
            "$\\tanh y'$ the correlation,",
            sp.Eq(sp.Symbol(r"\sinh^2y'"), correlation_of_sums(), evaluate=False),
        ),
        Step(
            "$h$ and $h'$ are exchangeable, so $E\\,sd = 0$. With $S = E s^2(1+a)$, $D = E d^2(1+b)$, $M^2 = E s^2E "
            "d^2\\,m^2$ per node, "
            "to second order (the delta method), $y'$ is $\\frac12\\ln(E s^2/E d^2) = \\mathrm{artanh}\\,F_q$ plus",
            second_order_stated(),
        ),
        Step(
            "so that with $\\kappa_s = E s^4/(E s^2)^2$, $\\kappa_d$ likewise and $\\kappa_{sd} = E s^2d^2/(E s^2E "
            "d^2)$ its mean "
            "exceeds the map by $1/n$ times the first of these and its variance is $1/n$ times the second",
            sp.Matrix([mean, variance]),
        ),
        Step(
            "For Gaussian pairs, $\\kappa_s = \\kappa_d = 3$ and $\\kappa_{sd} = 1$: drift $\\tanh(y)/2n$, variance "
            "$1/n$, which is S4's "
            "diffusion. There the law of the sample correlation is known exactly (Hotelling). With $\\tanh\\zeta$ the "
            "correlation of the pairs, $y'$ has the density",
            hotelling(),
        ),
        Step(
            "Haar weights keep the sums of $h^2$, $h'^2$ and $hh'$ (a layer that does not narrow), which takes out of "
            "the covariances "
            "of $s^2$, $d^2$ and $sd$ their parts along the quadratic Hermite polynomials, and weights the means "
            "by $1 + 1/n$ times, $r^2$ the sum of squares of the two standardized coordinates,",
            held_density(),
        ),
        Step(
            "Now let $\\varphi$ be nearly linear, $h-\\kappa h^3$. Then $F_q(\\rho) = \\rho-(1-c)(\\rho-\\rho^3)$, "
            "with $1-c$ to "
            "lowest order",
            cubic_map(),
        ),
        Step(
            "Let $N\\to\\infty$ with $\\alpha = N(1-c)$ and the time $L/N$ fixed. Then $q\\sim N^{-1/2}$ returns to "
            "the "
            "length map in $N^{1/2}$ layers, far fewer than $N$, so it may be taken as fixed, and $y$ is a diffusion "
            "with the generator",
            generator(f),
        ),
        Step(
            "For $\\alpha = 0$ it is S4's. Its stationary density is $(\\cosh y)^{1-2\\alpha}$, which has a finite "
            "mass only for "
            "$\\alpha>\\frac12$. Then",
            sp.Eq(sp.Symbol(r"E\,\rho^2"), stationary_mean_square(), evaluate=False),
        ),
        Step(
            "The scale function has the derivative $(\\cosh y)^{2\\alpha-1}$. For $\\alpha<\\frac12$ its integral is "
            "finite: paths "
            "leave for infinity for good, $\\rho\\to\\pm1$. At $\\alpha = \\frac12$ the diffusion is Brownian motion, "
            "whose "
            "$|y|$ exceeds any bound with a probability that goes to one. So for $\\alpha\\le\\frac12$ everything "
            "collapses, "
            "whatever $\\sigma_w$; and vanishing does not stop wherever $c<1$. At a finite width the same decides: "
            "the mean "
            "of $y'-y$ at $y\\to\\infty$ is negative where nodes are kept."
        ),
        Step(
            "*What is measured and not proved.* The chain holds the norms of both inputs at the length map; its "
            "$E\\,\\rho^2$ is within 3% of samples from 20 nodes on. Where norms do scatter, as in linear networks, "
            "the "
            "participation exceeds $E\\,\\rho^2$. The VNI divides by the variances of nodes, which the participation "
            "does not, and "
            "the step from one to the other needs the whole spectrum of $C$; one curve fits samples within 10%, and "
            "the "
            "package says where."
        ),
    )
    claims = (
        Claim(
            "Two inputs: $(\\mathrm{Tr}\\,C^2, (\\mathrm{Tr}\\,C)^2) = n^2(E\\,K_{12}^2, E\\,K_{11}K_{22})$ (three "
            "inputs, two nodes)",
            sp.Matrix(participation_by_inputs(3, 2)),
            sp.Matrix(participation_by_nodes(3, 2, centred=False)),
        ),
        Claim(
            "Four inputs: the same for centred $C$, by Gram matrices (three inputs, two nodes)",
            sp.Matrix(participation_by_four(3, 2)),
            sp.Matrix(participation_by_nodes(3, 2, centred=True)),
        ),
        Claim(
            "and by the differences of two and two of them",
            sp.Matrix(participation_by_differences(3, 2)),
            sp.Matrix(participation_by_nodes(3, 2, centred=True)),
        ),
        Claim(
            "Mehler, all orders at once: $E\\,G(\\alpha)G(\\beta) = e^{\\rho\\alpha\\beta}$",
            hermite_generating_mean(),
            sp.exp(rho * sp.Symbol("alpha", real=True) * sp.Symbol("beta", real=True)),
        ),
        Claim(
            "$E\\,He_jHe_k = \\delta_{jk}k!\\rho^k$, spelled out to $k=5$",
            mehler_matrix(5),
            sp.diag(*[sp.factorial(k) * rho**k for k in range(6)]),
        ),
        Claim(
            "erf: $\\rho\\to\\arcsin(\\frac{2q\\rho}{1+2q})/\\arcsin(\\frac{2q}{1+2q})$",
            erf_map,
            sp.asin(argument * rho) / sp.asin(argument),
        ),
        Claim("sin: $\\rho\\to\\sinh(q\\rho)/\\sinh q$", sin_map, sp.sinh(q * rho) / sp.sinh(q)),
        Claim("linear: $\\rho\\to\\rho$, so $c=1$", linear_share("linear"), sp.Integer(1)),
        Claim(
            "erf: the slope is $a_1^2/E\\varphi^2$",
            linear_share("erf"),
            first_coefficient_squared("erf") / second_moment("erf"),
        ),
        Claim(
            "sin: the slope is $a_1^2/E\\varphi^2 = q/\\sinh q$",
            first_coefficient_squared("sin") / second_moment("sin"),
            q / sp.sinh(q),
        ),
        Claim("erf at $q=1.3$: $c$ by quadrature of its definition", share_by_quadrature, share),
        Claim(
            "The correlation by sums: $\\sinh^2y' = (S-D)^2/4(SD-M^2)$",
            correlation_of_sums(),
            (S - D) ** 2 / 4 / (S * D - M**2),
        ),
        Claim(
            "To second order: $\\frac12(a-b)-\\frac14(a^2-b^2)+\\frac12\\tanh(y)m^2$",
            second_order(),
            second_order_stated().rewrite(sp.exp),
        ),
        Claim(
            "$n(E y'-\\mathrm{artanh}\\,F_q) = \\frac12\\kappa_{sd}\\tanh y-\\frac14(\\kappa_s-\\kappa_d)$",
            mean,
            k_sd * sp.tanh(y) / 2 - (k_s - k_d) / 4,
        ),
        Claim(
            "$n\\,\\mathrm{Var}\\,y' = \\frac14(\\kappa_s+\\kappa_d-2\\kappa_{sd})$",
            variance,
            (k_s + k_d - 2 * k_sd) / 4,
        ),
        Claim(
            "Linear: drift $\\frac12\\tanh y$ and variance 1",
            sp.Matrix([mean.subs(linear), variance.subs(linear)]),
            sp.Matrix([sp.tanh(y) / 2, 1]),
        ),
        Claim("Hotelling's density at $n=5$, by the $\\chi$ variables it is made of", derived_density, stated_density),
        Claim("Its mass at $n=9$", mass, mp.mpf(1)),
        Claim("Its $E\\,\\rho^2 = 1/n$ at $\\zeta=0$, $n=9$", chance, ninth),
        Claim("Haar: the held density, $-(r^4-8r^2+8)/4$", held_density(), -(r**4 - 8 * r**2 + 8) / 4),
        Claim("$\\varphi = h-\\kappa h^3$: $1-c = 6\\kappa^2q^2+\\dots$", cubic_map(), 6 * kappa**2 * q**2),
        Claim("Parting, in $y$: $-\\alpha\\tanh y$", parting_rate(), -alpha * sp.tanh(y)),
        Claim(
            "The generator: $\\frac12f''+(\\frac12-\\alpha)\\tanh(y)f'$",
            generator(f),
            sp.diff(f, y, 2) / 2 + (HALF - alpha) * sp.tanh(y) * sp.diff(f, y),
        ),
        Claim("No flux in the stationary density $(\\cosh y)^{1-2\\alpha}$", stationary_flux(), sp.Integer(0)),
        Claim("$E\\,\\rho^2 = 1/2\\alpha$", stationary_mean_square(), 1 / (2 * alpha)),
        Claim(
            "The scale function: the generator sends it to zero",
            sp.simplify(sp.diff(scale_derivative(), y) / 2 + (HALF - alpha) * sp.tanh(y) * scale_derivative()),
            sp.Integer(0),
        ),
        Claim(
            "Its integral is finite for $\\alpha<\\frac12$: $\\pi/2$ at $\\alpha = 0$",
            scale_of_infinity(sp.Integer(0)),
            sp.pi / 2,
        ),
    )
    return Derivation("S7, wide inputs: parting against scatter", steps, claims)
