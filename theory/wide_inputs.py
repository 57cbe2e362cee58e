r"""S7, wide inputs: two inputs are a chain; a nonlinearity parts them, and the scatter of each layer joins them.

**Question.** Over inputs N(0, I), instead of a small ball, how correlated are the nodes of a deep network whose
activation is odd? Does nonlinearity stop vanishing?

**Assumptions.** Proved: the participation is a mean over pairs of inputs, for every network; given the layer before,
the nodes of a Gaussian layer are independent Gaussian pairs; the mean and the scatter of the correlation of two inputs
of equal norms to first order in 1/n, for any odd φ, Gaussian and Haar weights (`input_pairs.hermite_map`,
`input_pairs.one_layer`); the diffusion limit N → ∞ at fixed α = N(1−c) and depth L/N, its stationary law and its
collapse. *Not* proved, only measured: that the norms may be held at the length map within the chain (they scatter too),
and the step from the participation to the VNI.

**Method.** Traces of the covariance of the nodes are written as means over draws of inputs. A layer moves y = artanh ρ
by the Hermite map, which parts two inputs, and by its scatter, which joins them. In wide, nearly linear layers both are
small; the diffusion that follows is described by its generator, scale function and stationary density.

**Result.** Tr C²/(Tr C)² = E K_12²/(E K_11)², with K the Gram matrix of the activations at two independent inputs. For
nearly linear φ, time L/N: dy = (½ − α) tanh y dt + dB. For α > ½ it has the stationary density ∝ (cosh y)^{1−2α}, with
E ρ² = 1/(2α); for α ≤ ½ it has none and |y| → ∞: all inputs, and with them all nodes, become one.

**Source.** Those of `input_pairs.hermite_map` and `input_pairs.one_layer`; Feller's boundary classification as in
Karlin and Taylor 1981, chapter 15. The chain, α and its threshold are ours.
"""

from __future__ import annotations

from itertools import product

import mpmath as mp
import sympy as sp

from theory.derivation import Claim, Derivation, Step
from theory.input_pairs.hermite_map import correlation_map, normal_mean, q, rho
from theory.input_pairs.one_layer import HALF, sample_density, y

LAWS: tuple[str, ...] = ("wide_input_limit", "wide_input_participation", "wide_input_vni")

alpha, kappa = sp.symbols("alpha kappa", positive=True)


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


def mean_square_behind_one_layer(name: str, inputs: int, variance: float) -> float:
    """E F_q(ρ)², the participation behind one layer but for its scatter, at pre-activation variance q.

    The correlation ρ of two inputs N(0, I) is a sample correlation of as many uncorrelated Gaussian pairs as there are
    input nodes. The trapezoid rule in y = artanh ρ has no error to speak of.
    """
    image = sp.lambdify((rho, q), correlation_map(name), "mpmath")
    step, ends = mp.mpf("0.02"), 300
    terms = (
        image(mp.tanh(k * step), mp.mpf(variance)) ** 2 * sample_density(k * step, mp.mpf(0), mp.mpf(inputs))
        for k in range(-ends, ends + 1)
    )
    return float(step * mp.fsum(terms))


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
    """The participation by inputs; the diffusion, its balance and its collapse."""
    f = sp.Function("f")(y)

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
            "What one layer does to the correlation of two inputs is a map $F_q$, whose slope at zero is $c$ "
            "(`input_pairs.hermite_map`), and a scatter about it (`input_pairs.one_layer`). "
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
