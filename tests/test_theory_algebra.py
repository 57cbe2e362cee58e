"""The derivations that need only algebra: claims hold, controls fail, and both the laws and values in print are met."""

from itertools import pairwise, product

import mpmath as mp
import numpy as np
import pytest
import sympy as sp
from derivations import ALGEBRA, derivation_of, meets, said_of

from rmt_vn import Activation, Network, laws, measures
from rmt_vn.activations import ACTIVATIONS, leaky_relu
from rmt_vn.gaussian_averages import signal_moments
from rmt_vn.laws.signal_mode import layer_step
from rmt_vn.mean_field import fixed_point
from theory import activations, annealed, first_order, gradients, signal_mode, trace_moments, weingarten, wick
from theory.indicator import bias, bounds
from theory.spectrum import (
    characteristic_polynomial,
    complex_ginibre,
    free_probability,
    fuss_catalan,
    lyapunov,
    wide_layers,
)

WEIGHTS = ("gaussian", "orthogonal")
n = sp.Symbol("n", positive=True)
p1, p2, p3, p4 = (wick.power_sum(k) for k in (1, 2, 3, 4))


def exact(number):
    """The rational number that a float is."""
    return sp.Rational(float(number))


def slope_ratio(network):
    """μ_2/μ_1² of a network by the derived moments at its q*, dropout included."""
    name = network.activation.name
    q_star = sp.Integer(1) if network.activation.is_homogeneous else exact(fixed_point(network).q_star)
    mu1, mu2 = (activations.mu(name, sp.Integer(k), q_star, slope=sp.Rational(1, 100)) for k in (1, 2))
    return sp.Rational(mu2 / mu1**2) if network.activation.is_homogeneous else exact(mu2 / mu1**2)


# These take two seconds and more each: their claims run with the slow tests, all others always.
SLOW_CLAIMS = {"activations", "effective_depth_residual", "signal_mode", "weingarten"}
DERIVATIONS = [pytest.param(name, marks=pytest.mark.slow) if name in SLOW_CLAIMS else name for name in ALGEBRA]


@pytest.mark.parametrize("name", DERIVATIONS)
def test_every_claim_holds_and_no_other_does(name):
    for claim in derivation_of(name).claims:
        assert claim.holds, claim.statement
        assert not claim.perturbed().holds, f"the control of this claim holds: {claim.statement}"


@pytest.mark.parametrize("name", DERIVATIONS)
def test_document_is_what_the_derivation_says(name):
    now, committed = said_of(name)
    assert now == committed, "stale: run python -m theory --markdown theory/README.md"


# Values from outside.


def test_weingarten_values_in_print():
    # Four indices: Collins & Śniady 2006. Six: Collins & Matsumoto 2009.
    two, three = weingarten.weingarten_function(2, n), weingarten.weingarten_function(3, n)
    common = n * (n - 1) * (n - 2) * (n + 2) * (n + 4)
    printed = [
        (two[1, 1], (n + 1) / (n * (n - 1) * (n + 2))),
        (two[(2,)], -1 / (n * (n - 1) * (n + 2))),
        (three[1, 1, 1], (n**2 + 3 * n - 2) / common),
        (three[2, 1], -(n + 2) / common),
        (three[(3,)], 2 / common),
    ]
    for derived, value in printed:
        assert sp.cancel(derived - value) == 0


@pytest.mark.parametrize(("k", "value"), [(1, 1 / n), (2, 3 / (n * (n + 2))), (3, 15 / (n * (n + 2) * (n + 4)))])
def test_moments_of_an_entry(k, value):
    # A coordinate of a point on the sphere (Mezzadri 2007 and any table); what QR without the sign fix fails.
    assert sp.cancel(weingarten.entries([1] * 2 * k, [1] * 2 * k, n) - value) == 0


def test_zonal_polynomials_in_print():
    # James 1964, in power sums, coefficient one of p_1^k.
    printed = {
        (2, 1): p1**3 + p1 * p2 - 2 * p3,
        (4,): p1**4 + 12 * p1**2 * p2 + 12 * p2**2 + 32 * p1 * p3 + 48 * p4,
        (3, 1): p1**4 + 5 * p1**2 * p2 - 2 * p2**2 + 4 * p1 * p3 - 8 * p4,
        (2, 2): p1**4 + 2 * p1**2 * p2 + 7 * p2**2 - 8 * p1 * p3 - 2 * p4,
        (2, 1, 1): p1**4 - p1**2 * p2 - 2 * p2**2 - 2 * p1 * p3 + 4 * p4,
        (1, 1, 1, 1): p1**4 - 6 * p1**2 * p2 + 3 * p2**2 + 8 * p1 * p3 - 6 * p4,
    }
    for partition, value in printed.items():
        assert sp.expand(trace_moments.zonal_polynomial(partition) - value) == 0


def test_zonal_polynomials_in_monomials():
    # Muirhead 1982, table of C_κ on M_(3), M_(2,1), M_(1,1,1).
    printed = {(3,): [1, sp.Rational(3, 5), sp.Rational(2, 5)], (2, 1): [0, sp.Rational(12, 5), sp.Rational(18, 5)]}
    for partition, row in printed.items():
        terms = [trace_moments.zonal_c(partition).coeff(basis) for basis in (p3, p1 * p2, p1**3)]
        assert list(trace_moments.power_sum_matrix(3) * sp.Matrix(terms)) == row


def test_fuss_catalan_numbers():
    # Penson & Życzkowski 2011; OEIS A000108, A001764, A002293.
    assert [fuss_catalan.fuss_catalan(k, sp.Integer(1)) for k in range(1, 6)] == [1, 2, 5, 14, 42]
    assert [fuss_catalan.fuss_catalan(k, sp.Integer(2)) for k in range(1, 6)] == [1, 3, 12, 55, 273]
    assert [fuss_catalan.fuss_catalan(k, sp.Integer(3)) for k in range(1, 6)] == [1, 4, 22, 140, 969]


# Loop counting against plain sums over indices.


@pytest.mark.parametrize("family", WEIGHTS)
@pytest.mark.parametrize(("n_in", "n_out"), [(3, 2), (2, 3), (2, 2)])
def test_recursion_is_the_sum_over_indices(family, n_in, n_out):
    c, mu = sp.symbols("c_1:4")[:n_in], {1: sp.Symbol("mu_1"), 2: sp.Symbol("mu_2")}
    size = max(n_in, n_out)

    def fourth(rows, columns):
        if family == "gaussian":
            return wick.entries(rows, columns, sp.Rational(1, n_in))
        return sp.Rational(size, n_in) ** 2 * weingarten.entries(rows, columns, sp.Integer(size))

    square = squared = 0
    for i, j, a, b in product(range(n_out), range(n_out), range(n_in), range(n_in)):
        slopes = mu[2] if i == j else mu[1] ** 2
        square += slopes * c[a] * c[b] * fourth((i, j, i, j), (a, a, b, b))
        squared += slopes * c[a] * c[b] * fourth((i, i, j, j), (a, a, b, b))
    recursion = wick.gaussian_recursion if family == "gaussian" else weingarten.haar_recursion
    step = recursion(sp.Integer(n_in), sp.Integer(n_out), mu[1], mu[2])
    traces = sp.Matrix([sum(x**2 for x in c), sum(c) ** 2])
    assert (step * traces - sp.Matrix([square, squared])).applyfunc(sp.expand) == sp.zeros(2, 1)


# The laws.


@meets("annealed_participation", "log_trace_moments")
@pytest.mark.parametrize(
    "network",
    [
        Network((5, 7, 3, 4), activation="linear", weights="gaussian", sigma_w=1.3),
        Network((5, 7, 3, 4), activation="relu", weights="gaussian", sigma_w=0.7),
        Network((6, 4, 9, 9, 2), activation="relu", weights="orthogonal", sigma_w=2**0.5),
        Network((4, 4, 4, 4), activation="leaky_relu", weights="orthogonal"),
        Network((9, 5, 6), activation="hard_tanh", weights="gaussian", sigma_w=1.1, sigma_b=0.2),
        Network((9, 5, 6), activation="erf", weights="orthogonal", sigma_w=1.4, sigma_b=0.3),
        Network((8, 6, 4), activation="sin", weights="orthogonal", sigma_w=1.2, sigma_b=0.1),
        Network((6, 5, 4), activation="relu", weights="orthogonal", keep=0.75),
        Network((1, 1, 1), activation="linear", weights="orthogonal"),
        Network((2, 1, 1, 3), activation="relu", weights="orthogonal"),
    ],
    ids=repr,
)
def test_annealed_law(network):
    keep = exact(network.keep)
    ratio = slope_ratio(network) / keep
    pair = annealed.annealed_pair([sp.Integer(width) for width in network.widths], ratio, network.weights)
    assert laws.annealed_participation(network) == pytest.approx(float(pair[0] / pair[1]), rel=1e-12)

    q_star = 1.0 if network.activation.is_homogeneous else fixed_point(network).q_star
    mu1 = activations.mu(network.activation.name, sp.Integer(1), exact(q_star), slope=sp.Rational(1, 100)) / keep
    chi = float(exact(network.sigma_w) ** 2 * mu1)
    expected = [np.log(float(trace)) + 2 * network.depth * np.log(chi) for trace in pair]
    assert laws.log_trace_moments(network) == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(("width", "depth"), [(1, 1), (1, 9), (2, 1), (3, 7), (50, 50), (100, 3)])
def test_annealed_closed_form(width, depth):
    ratio = annealed.annealed_ratio(sp.Integer(width), sp.Integer(depth))
    network = Network.uniform(width, depth, activation="linear")
    assert laws.annealed_participation(network) == pytest.approx(float(ratio), rel=1e-12)


@meets("first_order_vni")
@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("name", ["linear", "relu", "hard_tanh", "erf", "sin"])
def test_first_order_law(name, weights):
    # Widths that narrow, widen and stay.
    network = Network((30, 40, 20, 20), activation=name, weights=weights, sigma_b=0.3 if name != "linear" else 0.0)
    derived = first_order.first_order(network.widths, slope_ratio(network), weights)
    assert laws.first_order_vni(network) == pytest.approx(float(derived), rel=1e-12)
    uniform = Network.uniform(50, 7, activation=network.activation, weights=weights, sigma_b=network.sigma_b)
    rate = first_order.second_moment_ratio(sp.Integer(uniform.s1)).subs({annealed.L: 7})
    rate = rate.subs(wick.mu2, slope_ratio(uniform) * wick.mu1**2)
    assert laws.first_order_vni(uniform) == pytest.approx(float(sp.cancel(rate)) / 50, rel=1e-12)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("name", ["linear", "relu", "hard_tanh"])
def test_first_order_law_is_the_limit_of_the_annealed(name, weights):
    shape, scale = np.array([3, 4, 2, 2]), 10**5
    network = Network(tuple(int(width) for width in shape * scale), activation=name, weights=weights, sigma_b=0.5)
    # The next order is of relative size L²/N, 1e-4 here.
    assert laws.annealed_participation(network) == pytest.approx(laws.first_order_vni(network), rel=1e-3)
    derived = first_order.first_order(network.widths, slope_ratio(network), weights)
    assert laws.annealed_participation(network) == pytest.approx(float(derived), rel=1e-3)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("widths", [(30, 40, 20, 20), (7, 7), (5, 9)])
def test_effective_depth_is_the_annealed_off_the_diagonal(widths, weights):
    network = Network(widths, activation="relu", weights=weights)
    assert laws.effective_depth(network) == pytest.approx(
        float(first_order.off_diagonal(widths, slope_ratio(network), weights)), abs=1e-15
    )


@meets("lyapunov_exponents")
@pytest.mark.parametrize("width", [1, 2, 3, 8])
def test_lyapunov_exponents(width):
    derived = [float(lyapunov.lyapunov_exponent(sp.Integer(k), sp.Integer(width))) for k in range(1, width + 1)]
    assert laws.lyapunov_exponents(Network.uniform(width, 5, activation="linear")) == pytest.approx(derived, rel=1e-13)


@meets("mean_log_determinant")
@pytest.mark.parametrize("widths", [(1, 1), (3, 2, 4), (4, 4, 4), (2, 5, 3), (6, 5, 3)])
def test_mean_log_determinant(widths):
    derived = float(lyapunov.mean_log_determinant(widths))
    assert laws.mean_log_determinant(Network(widths, activation="linear")) == pytest.approx(derived, rel=1e-13)


@meets("expected_characteristic_polynomial", "trace_moment")
@pytest.mark.parametrize("widths", [(1, 1), (3, 2, 4), (4, 4, 4), (2, 5, 3), (6, 5, 3)])
def test_polynomials_and_moments_of_every_order(widths):
    polynomial = laws.expected_characteristic_polynomial(widths)
    assert list(map(sp.Rational, polynomial)) == characteristic_polynomial.characteristic_polynomial(widths)
    # Z_κ from moments of products of traces, against its eigenvalues.
    sizes = [sp.Integer(width) for width in widths]
    for kappa in ((2,), (2, 1), (2, 2)):
        mean = trace_moments.average(
            trace_moments.zonal_polynomial(kappa), lambda k: sp.Rational(laws.trace_moment(widths, k))
        )
        factors = [trace_moments.box_product(kappa, n_out) / n_in ** sum(kappa) for n_in, n_out in pairwise(sizes)]
        assert mean == trace_moments.at_identity(kappa, sizes[0]) * sp.prod(factors)


@pytest.mark.slow
@meets("complex_ginibre_density")
def test_complex_density():
    step = 0.3
    x = np.exp(np.arange(-30, 9, step))
    weight = step * x * laws.complex_ginibre_density(2, 2, x)
    derived = [float(complex_ginibre.complex_moment(m, 2, sp.Integer(2))) for m in range(4)]
    assert [weight @ x**m for m in range(4)] == pytest.approx(derived, rel=1e-8)


VARIANCES = (1e-3, 0.369, 1.0, 7.3, 250.0)


@pytest.mark.parametrize("variance", VARIANCES)
@pytest.mark.parametrize("name", ["linear", "relu", "hard_tanh", "erf", "sin"])
def test_closed_forms_of_activations(name, variance):
    activation = ACTIVATIONS[name]
    for k in (1, 2, 3):
        derived = activations.mu(name, sp.Integer(k), exact(variance))
        assert activation.slope_moment(variance, k) == pytest.approx(float(sp.N(derived, 30)), rel=1e-12)
    derived = activations.second_moment(name, exact(variance))
    # At small q the closed forms of the package cancel as q·ε.
    assert activation.second_moment(variance) == pytest.approx(float(sp.N(derived, 30)), rel=1e-12)


@pytest.mark.parametrize("slope", [-0.5, 0.01, 2.0])
def test_leaky_relu(slope):
    activation, exact_slope = leaky_relu(slope), exact(slope)
    derived = activations.mu("leaky_relu", sp.Integer(2), sp.Integer(3), exact_slope)
    assert activation.slope_moment(3.0, 2) == pytest.approx(float(derived), rel=1e-14)
    derived = activations.second_moment("leaky_relu", sp.Integer(3), exact_slope)
    assert activation.second_moment(3.0) == pytest.approx(float(derived), rel=1e-14)


def test_only_these_activations_have_closed_forms():
    closed = {name for name, activation in ACTIVATIONS.items() if activation.slope_moment is not None}
    assert closed == set(activations.NAMES)
    for function in (activations.mu, activations.second_moment):
        with pytest.raises(ValueError, match="tanh"):
            function("tanh")


@meets("gradient_growth")
@pytest.mark.parametrize("name", ["linear", "relu", "hard_tanh", "erf", "sin"])
@pytest.mark.parametrize("weights", WEIGHTS)
def test_gradient_growth(name, weights):
    sigma_w, sigma_b, signal = 1.2, 0.3, 0.8
    # So wide that the signal mode, one direction of n, and the scatter of the variances add less than 1e-6.
    widths = (9 * 10**8, 6 * 10**8, 7 * 10**8, 5 * 10**8)
    network = Network(widths, activation=name, weights=weights, sigma_w=sigma_w, sigma_b=sigma_b)
    # The length map and μ_1 by the derivations, from the inputs on.
    variance, chis = exact(sigma_w) ** 2 * exact(signal) + exact(sigma_b) ** 2, []
    for _ in range(network.depth):
        variance = exact(sp.N(variance, 30))
        chis.append(exact(sigma_w) ** 2 * activations.mu(name, sp.Integer(1), variance))
        variance = exact(sigma_w) ** 2 * activations.second_moment(name, variance) + exact(sigma_b) ** 2
    expected = [float(value) for value in gradients.growth(chis)]
    assert laws.gradient_growth(network, input_variance=signal) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", ["relu", "hard_tanh", "erf", "sin"])
def test_spectral_moments(name):
    network = Network.uniform(10, 5, activation=name, sigma_w=1.25, sigma_b=0.0 if name == "relu" else 0.5)
    q_star = sp.Integer(1) if network.activation.is_homogeneous else exact(fixed_point(network).q_star)
    slopes = [exact(sp.N(activations.mu(name, sp.Integer(k), q_star), 30)) for k in range(1, 5)]
    z = free_probability.z
    layer = free_probability.s_transform(slopes) / (exact(network.sigma_w) ** 2 * (1 + z))
    derived = [float(free_probability.moment(k, layer**5)) for k in range(1, 5)]
    assert laws.spectral_moments(network, 4) == pytest.approx(derived, rel=1e-12)


@meets("spectral_moments")
@pytest.mark.parametrize("weights", WEIGHTS)
def test_spectral_moments_of_any_widths(weights):
    # ReLU: a slope is one or zero with probability 1/2.
    widths = (6, 4, 3, 2) if weights == "orthogonal" else (6, 4, 9, 5)
    factor = {"gaussian": wide_layers.gaussian_factor, "orthogonal": wide_layers.haar_factor}[weights]
    ratios = [sp.Rational(width, widths[0]) for width in widths]
    slopes = 1 / free_probability.two_values(sp.Integer(1), sp.Rational(1, 2))
    u = wide_layers.u
    product = 1 + u
    for r, r_out in pairwise(ratios):
        product *= 2 * factor(r, r_out) * slopes.subs(free_probability.z, u / r_out)
    derived = [float(wide_layers.moment_per_input(k, product) / ratios[-1]) for k in range(1, 5)]
    network = Network(widths, activation="relu", weights=weights, sigma_w=2**0.5)
    assert laws.spectral_moments(network, 4) == pytest.approx(derived, rel=1e-12)


@meets("fuss_catalan_density")
@pytest.mark.parametrize("depth", [1, 3, 20])
def test_density_on_the_curve(depth):
    _, x, density = fuss_catalan.fuss_catalan_curve()
    at = [{fuss_catalan.L: depth, fuss_catalan.phi: part * sp.pi / (depth + 1)} for part in (0.2, 0.5, 0.9)]
    points, derived = ([float(expression.subs(values)) for values in at] for expression in (x, density))
    assert laws.fuss_catalan_density(depth, points) == pytest.approx(derived, rel=1e-12, abs=0)
    network = Network.uniform(10, depth, activation="linear")
    assert laws.spectral_density(network, points) == pytest.approx(derived, rel=1e-12, abs=0)


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_spectrum_of_linear_layers(depth):
    # x = (1 + u)/(u S(u)) is real outside the spectrum, and least at the upper edge.
    network = Network.uniform(10, depth, activation="linear")
    u = sp.Symbol("u")
    x = (1 + u) ** (depth + 1) / u
    edge = x.subs(u, max(sp.solve(sp.diff(sp.log(x), u), u)))
    assert laws.spectral_edges(network) == pytest.approx((0, float(edge)), rel=1e-12)
    assert laws.spectral_atoms(network) == {}
    nodes, legendre = np.polynomial.legendre.leggauss(60)
    reach = np.sqrt(20 * (depth + 1))
    s = reach * (1 + nodes) / 2
    points = float(edge) * np.exp(-(s**2))
    weights = legendre * reach * s * points
    for density in (laws.spectral_density(network, points), laws.fuss_catalan_density(depth, points)):
        for k in (1, 2, 3):
            derived = float(fuss_catalan.fuss_catalan(k, sp.Integer(depth)))
            assert np.sum(weights * density * points**k) == pytest.approx(derived, rel=1e-9)
    # Inside, u is the complex root with 1 + u in the sector of angle π/(L + 1).
    ends = (0.5, 1.5)
    for end in ends:
        roots = np.roots(sp.Poly((1 + u) ** (depth + 1) - end * u, u).all_coeffs())
        root = min((root for root in roots if root.imag > 1e-9), key=lambda root: np.angle(1 + root))
        assert laws.spectral_density(network, [end]) == pytest.approx([root.imag / np.pi / end], rel=1e-9)
    mass = np.sum(legendre / 2 * laws.spectral_density(network, 1 + nodes / 2))
    assert np.diff(laws.spectral_distribution(network, ends)) == pytest.approx([mass], rel=1e-9)


@meets("spectral_density", "spectral_distribution", "spectral_edges")
@pytest.mark.parametrize("widths", [(6, 9), (6, 4)])
def test_spectrum_of_a_relu_layer_is_that_of_the_equation(widths):
    u, r = wide_layers.u, sp.Rational(widths[1], widths[0])
    slopes = wide_layers.slopes_factor(sp.Integer(1), sp.Rational(1, 2), r)
    x = sp.factor(2 * (1 + u) / u * wide_layers.gaussian_factor(sp.Integer(1), r) * slopes)  # σ_w² = 2
    network = Network(widths, activation="relu", sigma_w=2**0.5)

    v = sp.Symbol("v", real=True)
    ends = [float(x.subs(u, root)) for root in sp.solve(sp.diff(x, u).subs(u, v), v)]
    # Apart from the atom at zero: half of the outputs are dead.
    assert laws.spectral_edges(network) == pytest.approx((min(ends), max(ends)), rel=1e-9)

    points = np.linspace(min(ends), max(ends), 7)[1:-1]
    # x is linear in 1/u and u here, so u is one of a conjugate pair: that in the lower half-plane, at x + i0.
    found = [min(np.roots(sp.Poly(sp.numer(sp.together(x - sp.Rational(float(at)))), u).all_coeffs()), key=np.imag)
             for at in points]  # fmt: skip
    density = [-root.imag / (np.pi * float(r) * at) for root, at in zip(found, points, strict=True)]
    assert laws.spectral_density(network, points) == pytest.approx(density, rel=1e-9)

    # At the upper edge all terms of the primitive are real; from there down it adds up what is above x.
    terms = wide_layers.primitive(r)
    primitive = terms["inputs"][1] + sum(terms["shift"][1].subs(wide_layers.c, shift) for shift in (1, r / 2))
    above = [complex(primitive.subs(u, complex(root))).imag / (np.pi * float(r)) for root in found]
    assert laws.spectral_distribution(network, points) == pytest.approx(1 - np.array(above), rel=1e-9)


@meets("spectral_atoms")
def test_atoms_of_a_relu_layer_are_those_derived():
    half = sp.Rational(1, 2)
    rank = min(-zero for zero in wide_layers.zeros_at_the_origin(sp.Rational(3, 2), half))
    atoms = laws.spectral_atoms(Network((6, 9), activation="relu", sigma_w=2**0.5))
    assert list(atoms.items()) == [pytest.approx((0, float(1 - rank / sp.Rational(3, 2))), rel=1e-12)]

    r, u = sp.Rational(2, 3), wide_layers.u
    slopes = wide_layers.slopes_factor(sp.Integer(1), half, r)
    place, mass = wide_layers.atom(2 * (1 + u) / u * wide_layers.haar_factor(sp.Integer(1), r) * slopes)
    atoms = laws.spectral_atoms(Network((6, 4), activation="relu", weights="orthogonal", sigma_w=2**0.5))
    derived = [(0, float(1 - mass / r)), (float(place), float(mass / r))]
    assert list(atoms.items()) == [pytest.approx(atom, rel=1e-12) for atom in derived]


def test_rate_of_the_mean_field():
    for weights, value in zip(WEIGHTS, (-1, 0), strict=True):
        network = Network.uniform(10, 2, activation="erf", weights=weights, sigma_w=1.5)
        assert fixed_point(network).rate == pytest.approx(float(slope_ratio(network) - 1 - value), rel=1e-12)


def test_indicator_meets_the_measures():
    # Three groups of identical nodes, of 3, 2 and 1, uncorrelated; one of them of opposite sign.
    basis = np.eye(3)
    jacobian = np.array([basis[0], 2 * basis[0], -basis[0], basis[1], 5 * basis[1], basis[2]])
    stated = bounds.vni(bounds.groups((3, 2, 1)))
    assert measures.jacobian_vni(jacobian) == pytest.approx(float(stated), rel=1e-14)


def test_bias_meets_the_measures():
    nodes, samples, repeats = 6, 8, 4000
    rng = np.random.default_rng(20190722)
    values = [measures.plug_in_vni(rng.standard_normal((samples, nodes))) for _ in range(repeats)]
    stderr = np.std(values, ddof=1) / np.sqrt(repeats)
    expected = float(bias.sampled_vni(sp.Integer(nodes), sp.Integer(samples)))
    # k = 4: a false alarm in 16 000 seeds, and this one is fixed. A bias of 1/P for 1/(P−1) is rejected.
    assert abs(np.mean(values) - expected) < 4 * stderr
    wrong = float(bias.sampled_vni(sp.Integer(nodes), sp.Integer(samples + 1)))
    assert abs(np.mean(values) - wrong) > 4 * stderr


@pytest.mark.slow
def test_first_order_bias_meets_the_measures():
    """Two mixtures of two independent exponential sources, skewed and of kurtosis 9."""
    a, b = sp.Rational(4, 5), sp.Rational(3, 5)
    mixing = ((a, b), (a, -b))
    s1, s2 = sp.symbols("s1 s2")
    of_source = {0: 1, 1: 0, 2: 1, 3: 2, 4: 9}

    def mean(power_x, power_y):
        product = sp.expand((a * s1 + b * s2) ** power_x * (a * s1 - b * s2) ** power_y)
        return sum(c * of_source[i] * of_source[j] for (i, j), c in sp.Poly(product, s1, s2).terms())

    rho = mean(1, 1)
    moments_of = {(i, 4 - i): mean(i, 4 - i) for i in range(5)}
    correlation = bias.rho
    expected = bias.with_moments(bias.bias(), moments_of).subs(correlation, rho)
    gaussian = bias.elliptical_moments(sp.Integer(1))
    wrong = bias.with_moments(bias.bias(), gaussian).subs(correlation, rho)
    samples, repeats = 400, 20_000
    rng = np.random.default_rng(20190723)
    values = np.empty(repeats)
    for i in range(repeats):
        x, y = np.array(mixing, dtype=float) @ (rng.standard_exponential((2, samples)) - 1)
        values[i] = 2 * measures.plug_in_vni(np.column_stack([x, y])) - 1
    excess = values - float(rho) ** 2
    stderr = np.std(excess, ddof=1) / np.sqrt(repeats)
    # k = 4. Negative control: what Gaussian nodes of that correlation would have.
    assert abs(np.mean(excess) - float(expected) / samples) < 4 * stderr
    assert abs(np.mean(excess) - float(wrong) / samples) > 4 * stderr


# Limits.


def test_depth_zero_and_one_layer():
    N, L = annealed.N, annealed.L
    assert sp.cancel(annealed.annealed_ratio(N, sp.Integer(0)) - 1 / N) == 0
    # One linear Gaussian layer: E Tr C² / E (Tr C)² = (2N + 1)/(N² + 2), Wishart.
    assert sp.cancel(annealed.annealed_ratio(N, sp.Integer(1)) - (2 * N + 1) / (N**2 + 2)) == 0
    assert annealed.annealed_ratio(sp.Integer(1), L).subs(L, 5) == 1


def test_identity_activation_and_haar_weights_change_nothing():
    widths = [sp.Integer(6)] * 4
    assert annealed.annealed_pair(widths, sp.Integer(1), "orthogonal") == sp.Matrix([6, 36])
    assert first_order.first_order(widths, sp.Integer(1), "orthogonal") == sp.Rational(1, 6)


def test_infinite_width():
    N = annealed.N
    assert sp.limit(annealed.annealed_ratio(N, sp.Integer(4)), N, sp.oo) == 0
    assert sp.limit(N * annealed.annealed_ratio(N, sp.Integer(4)), N, sp.oo) == 5


def test_unknown_weights_are_refused():
    for refuse in (lambda: annealed.recursion("uniform", 3, 3), lambda: gradients.entry_products("uniform")):
        with pytest.raises(ValueError, match="uniform"):
            refuse()


# The signal mode.


@meets("signal_mode_share")
@pytest.mark.parametrize("weights", WEIGHTS)
def test_signal_mode_share(weights):
    # φ = h + h²/4 + h³/10, whose averages are polynomials of q: exact in rational numbers.
    h = sp.Symbol("h")
    phi = h + h**2 / 4 + h**3 / 10
    slope = sp.diff(phi, h)
    activation = Activation(sp.lambdify(h, phi), sp.lambdify(h, slope), name="cubic")
    sigma_w, sigma_b, keep, signal = 0.6, 0.5, 0.75, 0.7
    widths = (9, 6, 7, 5)
    network = Network(widths, activation, weights, sigma_w=sigma_w, sigma_b=sigma_b, keep=keep)
    averages = {
        signal_mode.second: phi**2,
        signal_mode.along: phi * slope * h,
        signal_mode.length: slope**2 * h**2,
        signal_mode.mu1: slope**2,
        signal_mode.weighted: phi**2 * slope**2,
    }
    steps, q = [], exact(sigma_w) ** 2 * exact(signal) + exact(sigma_b) ** 2
    for n_in, n_out in pairwise(widths):
        at = {symbol: signal_mode.polynomial_mean(f, h).subs(signal_mode.q, q) for symbol, f in averages.items()}
        at |= {signal_mode.q: q, signal_mode.r: 1 - exact(sigma_b) ** 2 / q, signal_mode.p: exact(keep)}
        at |= {signal_mode.n_in: n_in, signal_mode.n_out: n_out, signal_mode.N: max(n_in, n_out)}
        steps.append(signal_mode.layer_matrix(weights).subs(at | {signal_mode.sigma_w: exact(sigma_w)}))
        q = exact(sigma_w) ** 2 * at[signal_mode.second] / exact(keep) + exact(sigma_b) ** 2
    states = [sp.Matrix([sp.Rational(1, widths[-1]), 1 - sp.Rational(1, widths[-1])])]
    for step in reversed(steps):
        states.append(step * states[-1])
    derived = [float(state[0] / sum(state)) for state in reversed(states)]
    assert laws.signal_mode_share(network, input_variance=signal) == pytest.approx(derived, rel=1e-10)


@meets("signal_mode_outlier")
def test_signal_mode_outlier():
    width = 10**6
    network = Network.uniform(width, 4, activation="softplus", sigma_w=1.3)
    q = fixed_point(network).q_star
    (g, e), (m, c) = layer_step(network, (width, width), q, signal_moments(network.activation, q))
    _, by_paths = signal_mode.outlier(4)
    values = {signal_mode.g: g, signal_mode.m: m, signal_mode.c: c, sp.Symbol("b", positive=True): e * (width - 1)}
    assert laws.signal_mode_outlier(network) == pytest.approx(float(by_paths.subs(values)), rel=1e-5)


@meets("signal_mode_vni")
@pytest.mark.parametrize("ratio", [0.1, 2.0, 30.0])
def test_signal_mode_vni(ratio):
    mean, _ = signal_mode.mode_mean(mp.mpf(ratio))
    assert laws.signal_mode_vni(ratio) == pytest.approx(float((1 - mean) ** 2), rel=1e-12)
