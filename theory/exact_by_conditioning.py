r"""S3 by another road: exact conditional moments of a sample correlation, without hyperbolic geometry.

**Question.** `exact` finds E ρ² by harmonic analysis on the hyperbolic plane. Does a computation that knows nothing of
it agree, at two and three layers?

**Assumptions.** As in `exact`: Gaussian layers, with masks for ReLU; and one Haar layer that widens, by the law of its
truncated Gram matrix.

**Method.** Given the correlation ρ of two nodes, the next layer's is the sample correlation of n Gaussian pairs, whose
conditional moments are known exactly. They are averaged over ρ, layer after layer.

**Result.** Two layers of fan-ins m and n have 1 − E ρ² = (1 − 1/n)(1 − 1/m) ₃F₂(1, 1, ½; n/2 + 1, m/2 + 1; 1), and E ρ²
= ln 2 at m = n = 2. Two and three layers, masked and Haar ones agree with S3 to 30 digits.

**Source.** Moments of a sample correlation: Hotelling 1953; Muirhead 1982, section 5.1. The law of a truncated Haar
matrix: Muirhead 1982, theorem 3.3.1.
"""

from __future__ import annotations

from collections.abc import Callable

import mpmath as mp
import sympy as sp

from theory.derivation import Claim, Derivation, Step
from theory.exact import gaussian_complement, m
from theory.hyperbolic.transforms import HALF, WORKING_DIGITS, factor, n, sech_integral

LAWS: tuple[str, ...] = ("exact_vni", "exact_vni_complement")

k = sp.symbols("k", integer=True, nonnegative=True)
u = sp.symbols("u", positive=True)

# Trapezoid rule in y: the integrands are analytic for |Im y| < π/2, so step h errs by about e^{−π²/h}, 1e-38.
_Y_STEP = 0.1125


def mixing_probability() -> sp.Expr:
    """P(K = k | ρ² = u): K is Poisson of mean wu/(1−u), w = a²/2 ~ Γ(n/2); given K, ρ′² is Beta(k + ½, (n−1)/2).

    For ρ′² = x²/(1 + x²) with bx = aδ + g, δ² = u/(1−u), and (aδ + g)² is a chi-square with 1 + 2K degrees of freedom.
    """
    w, left = sp.symbols("w left", positive=True)  # left = 1 − u, and e^{−w} e^{−wu/(1−u)} = e^{−w/(1−u)}
    q = sp.symbols("q", positive=True)
    integral = sp.integrate(w ** (q - 1 + k) * sp.exp(-w / left), (w, 0, sp.oo))
    mixed = sp.powsimp(sp.simplify(integral * (u / left) ** k / sp.gamma(q) / sp.factorial(k)))
    return mixed.subs({left: 1 - u, q: n / 2})


def conditional_complement_series(order: int) -> tuple[sp.Expr, sp.Expr]:
    """E[1 − ρ′² | ρ² = u] to u^order, by the mixture, and (1 − 1/n)(1−u) ₂F₁(1, 1; n/2+1; u).

    Given K = k the mean of 1 − ρ′² is that of a Beta variable, ((n−1)/2)/(k + n/2).
    """
    mixture = sum(sp.rf(n / 2, j) / sp.factorial(j) * u**j * (n - 1) / 2 / (j + n / 2) for j in range(order + 1)) * sum(
        sp.ff(n / 2, j) / sp.factorial(j) * (-u) ** j for j in range(order + 1)
    )
    closed = (1 - 1 / n) * (1 - u) * sum(sp.factorial(j) / sp.rf(n / 2 + 1, j) * u**j for j in range(order + 1))
    return tuple(
        sum(sp.factor(sp.expand(side).coeff(u, j)) * u**j for j in range(order + 1)) for side in (mixture, closed)
    )


def beta_average() -> sp.Expr:
    """E[(1−u)u^k] for u ~ Beta(½, (n−1)/2), the law of ρ² after one layer."""
    return sp.gammasimp(
        sp.gamma(k + HALF) * sp.gamma((n + 1) / 2) / sp.gamma(k + 1 + n / 2) * sp.gamma(n / 2)
        / (sp.gamma(HALF) * sp.gamma((n - 1) / 2))
    )  # fmt: skip


def two_layers_of_width_two() -> sp.Expr:
    """E[1 − ρ²] after two layers of width 2, by the chain: the mean of −(1−u) ln(1−u)/(2u) over u ~ Beta(½, ½).

    That is −1/(2π) d/dβ B(−½, β) at β = 3/2.
    """
    beta = sp.symbols("beta", positive=True)
    integral = sp.gamma(-HALF) * sp.gamma(beta) / sp.gamma(beta - HALF)
    return sp.simplify(sp.expand_func(-sp.diff(integral, beta).subs(beta, sp.Rational(3, 2)) / (2 * sp.pi)))


def conditional_complement(fan_in: int, square: mp.mpf) -> mp.mpf:
    """E[1 − ρ′² | ρ² = square] of one more Gaussian layer, in numbers."""
    if fan_in == 1:
        return mp.mpf(0)
    return (1 - mp.mpf(1) / fan_in) * (1 - square) * mp.hyp2f1(1, 1, mp.mpf(fan_in) / 2 + 1, square)


def chain_of_two(first: int, last: Callable[[mp.mpf], mp.mpf]) -> mp.mpf:
    """E last(ρ²) over one Gaussian layer: ρ = tanh y has density ∝ (1−ρ²)^{(n−3)/2}, y that of cosh^{−(n−1)} y."""
    with mp.workdps(WORKING_DIGITS):
        terms = [_first_density(first, v) * last(mp.tanh(v) ** 2) for v in _half_line(first - 1)]
        return 2 * mp.mpf(_Y_STEP) * mp.fsum(terms)


def chain_of_three(first: int, last: int) -> mp.mpf:
    """E[1 − ρ²] after Gaussian layers of fan-in `first`, 2, `last`.

    The law of ρ′ after a layer of fan-in 2 is elementary: (1/π)(1−ρ²)(1−ρ′²)^{−1/2} ₂F₁(1, 1; ½; ρ²ρ′²), with
    ₂F₁(1, 1; ½; c²) = 1/(1−c²) + c arcsin(c)/(1−c²)^{3/2}.
    """
    with mp.workdps(WORKING_DIGITS):
        after = [
            (mp.cosh(v), mp.sinh(v), conditional_complement(last, mp.tanh(v) ** 2) / mp.cosh(v)) for v in _half_line(3)
        ]
        total = mp.mpf(0)
        for v in _half_line(first):
            cosh, sinh = mp.cosh(v), mp.sinh(v)
            inner = mp.mpf(0)
            for cosh_after, sinh_after, weight in after:
                # c = s/p and 1 − c² = q/p², where q = cosh(v + v′) cosh(v − v′).
                p, s = cosh * cosh_after, sinh * sinh_after
                q = (p - s) * (p + s)
                inner += weight * p * p / q * (1 + s * mp.atan(s / mp.sqrt(q)) / mp.sqrt(q))
            total += inner * _first_density(first, v) / cosh**2 / mp.pi
        return 4 * mp.mpf(_Y_STEP) ** 2 * total


def truncated_haar_complement() -> mp.mpf:
    """1 − E ρ² of two rows of a 6 × 6 Haar matrix cut to 3 columns, from the law of their Gram matrix G.

    That law is ∝ det(G)^{(k−3)/2} det(1−G)^{(n−k−3)/2} (Muirhead 1982, theorem 3.3.1): uniform over 0 < G < 1 here.
    With diagonal (p, q), |G_12|² < min(pq, (1−p)(1−q)); all but one integral is elementary.
    """
    with mp.workdps(WORKING_DIGITS):

        def near_one(w: mp.mpf) -> mp.mpf:
            inner = mp.log((1 + w) / (1 - w)) - 2 * w - 2 * w**3 / 3
            return 2 * (1 - w**2) ** 1.5 / w * inner

        dirichlet = mp.gamma(1.5) ** 2 / mp.gamma(4)
        squares = 2 * (dirichlet + mp.quad(near_one, [0, 0.5, 1])) / 3
        return 1 - squares / (4 * dirichlet)


def _first_density(fan_in: int, v: mp.mpf) -> mp.mpf:
    return mp.sech(v) ** (fan_in - 1) / mp.beta(0.5, mp.mpf(fan_in - 1) / 2)


def _half_line(decay: int) -> list[mp.mpf]:
    """Midpoints of the trapezoid rule on y > 0 for a function that falls as e^{−decay·y}."""
    step = mp.mpf(_Y_STEP)
    return [step * (j + 0.5) for j in range(int(92 / (decay * _Y_STEP)))]


def _masked(n_nodes: int, value: Callable[[int], mp.mpf]) -> mp.mpf:
    """E value(k) over k ~ Bin(n, ½), given k ≥ 1; value(1) = 0."""
    return mp.fsum(mp.binomial(n_nodes, j) * value(j) for j in range(2, n_nodes + 1)) / (mp.mpf(2) ** n_nodes - 1)


def derive() -> Derivation:
    """The conditional moments, two layers in closed form, and numbers at two and three layers against S3."""
    mixture, closed = conditional_complement_series(6)
    mixing = mixing_probability()
    with mp.workdps(WORKING_DIGITS):
        log_two = 1 - mp.log(2)
        two = chain_of_two(3, lambda square: conditional_complement(5, square))
        masked_chain = chain_of_two(3, lambda square: _masked(4, lambda j: conditional_complement(j, square)))
        masked_s3 = sech_integral(lambda v: factor(3, v) * _masked(4, lambda j: factor(j, v)))

    steps = (
        Step(
            "Given $\\rho^2=u$, the new $\\rho'^2$ is a mixture "
            "of Beta$(K+\\tfrac12, \\tfrac{n-1}2)$ variables, where $K$ is a Poisson variable with a random mean:",
            sp.Eq(sp.Symbol(r"P(K=k)"), mixing, evaluate=False),
        ),
        Step(
            "so $E[1-\\rho'^2\\mid u] = \\frac{n-1}2E\\frac1{K+n/2} = (1-\\tfrac1n)(1-u)\\,{}_2F_1(1,1;\\tfrac "
            "n2+1;u)$, by Euler's transformation. Over one more layer, $u\\sim$ Beta$(\\tfrac12,\\tfrac{m-1}2)$, term "
            "by term:",
            sp.Eq(
                sp.Symbol(r"1-E{\rho}^2"),
                (1 - 1 / n) * (1 - 1 / m) * sp.hyper((1, 1, HALF), (n / 2 + 1, m / 2 + 1), 1),
                evaluate=False,
            ),
        ),
        Step(
            "symmetric in the two layers, as S3 demands. Two layers of width two give $E\\rho^2 = \\ln 2$. A third "
            "layer of fan-in 2 between two others has an elementary kernel, and leaves a double integral to compute "
            "in numbers."
        ),
    )
    claims = (
        Claim(
            "The mixture: $P(K=k) = \\frac{(n/2)_k}{k!}u^k(1-u)^{n/2}$",
            mixing,
            sp.gamma(k + n / 2) / sp.gamma(n / 2) / sp.factorial(k) * u**k * (1 - u) ** (n / 2),
        ),
        Claim(
            "$E[1-\\rho'^2\\mid u] = (1-\\tfrac1n)(1-u)\\,{}_2F_1(1,1;\\tfrac n2+1;u)$, to $u^6$ for every $n$",
            sp.together(mixture - closed),
            sp.Integer(0),
        ),
        Claim(
            "Two layers: $E[(1-u)u^k] = (1-\\tfrac1n)(\\tfrac12)_k/(\\tfrac n2+1)_k$, term by term of the ${}_3F_2$",
            sp.gammasimp(
                beta_average() / (sp.gamma(k + HALF) * sp.gamma(n / 2 + 1) / (sp.gamma(HALF) * sp.gamma(k + n / 2 + 1)))
            ),
            1 - 1 / n,
        ),
        Claim("Two layers of width two, by the chain: $E\\rho^2 = \\ln2$", 1 - two_layers_of_width_two(), sp.log(2)),
        Claim("The same by S3", gaussian_complement((2, 2)), log_two),
        Claim("Two layers, fan-ins 3 and 5: S3 and the chain of conditional moments", gaussian_complement((3, 5)), two),
        Claim("Three layers, fan-ins 6, 2, 4: S3 and the chain", gaussian_complement((6, 2, 4)), chain_of_three(6, 4)),
        Claim("ReLU, fan-ins 3 and 4 (masked): S3 and the chain", masked_s3, masked_chain),
        Claim(
            "Haar, a 6×6 matrix cut to 3 columns: S3 and the law of the truncated Gram matrix",
            sech_integral(lambda v: factor(3, v) / factor(6, v)),
            truncated_haar_complement(),
        ),
    )
    return Derivation("S3 by another road: conditional moments", steps, claims)
