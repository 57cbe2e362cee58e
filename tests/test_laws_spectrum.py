"""S6, wide layers: the law of squared singular values against closed forms, its own moments, and samples."""

from functools import cache
from itertools import product
from math import comb

import mpmath as mp
import numpy as np
import pytest

from rmt_vn import Network, laws
from rmt_vn.activations import ACTIVATIONS, Activation
from rmt_vn.gaussian_averages import slope_moment
from rmt_vn.laws.spectrum.free_probability import subordination, whole_spectrum
from rmt_vn.laws.spectrum.free_probability.s_transforms import spectrum_of
from rmt_vn.laws.spectrum.free_probability.squared_slopes import slope_law
from rmt_vn.mean_field import fixed_point, length_map
from rmt_vn.samplers.jacobian import walk_jacobian

WEIGHTS = ("gaussian", "orthogonal")


def top_edge(depth):
    return (depth + 1) ** (depth + 1) / depth**depth


def linear(*widths, **parameters):
    return Network(widths, activation="linear", **parameters)


# --- closed forms -----------------------------------------------------------------------------------------------------


def fuss_catalan_by_mpmath(depth, x):
    """Fuss–Catalan density from its parametrisation, by bisection in 50 digits."""
    with mp.workdps(50):
        low, high = mp.mpf(10) ** -40, mp.pi / (depth + 1)
        for _ in range(165):
            phi = (low + high) / 2
            ratio = mp.sin((depth + 1) * phi) ** (depth + 1) / (mp.sin(phi) * mp.sin(depth * phi) ** depth)
            low, high = (phi, high) if ratio > x else (low, phi)
        return float(mp.sin(phi) ** 2 * mp.sin(depth * phi) ** (depth - 1) / mp.pi / mp.sin((depth + 1) * phi) ** depth)


@pytest.mark.parametrize("depth", [1, 2, 7, 50])
def test_closed_form_at_high_precision(depth):
    top = top_edge(depth)
    x = [1e-30, 1e-12, 0.1, 1.0, *(top * (1 - np.array([0.5, 0.2, 0.12, 0.1, 0.06, 0.03, 1e-3, 1e-6, 1e-9])))]
    expected = [fuss_catalan_by_mpmath(depth, mp.mpf(point)) for point in x]
    assert laws.fuss_catalan_density(depth, x) == pytest.approx(expected, rel=1e-12, abs=0)


def test_closed_form_of_two_layers():
    # Penson & Życzkowski 2011, in radicals.
    x = np.geomspace(1e-6, 6.7, 50)
    root = 27 + 3 * np.sqrt(81 - 12 * x)
    numerator = 2 ** (1 / 3) * root ** (2 / 3) - 6 * x ** (1 / 3)
    expected = 2 ** (1 / 3) * np.sqrt(3) / (12 * np.pi) * numerator / (x ** (2 / 3) * root ** (1 / 3))
    assert laws.fuss_catalan_density(2, x) == pytest.approx(expected, rel=1e-10, abs=0)


@pytest.mark.parametrize(
    "depth",
    [depth if depth in (1, 2, 3, 10, 50) else pytest.param(depth, marks=pytest.mark.slow) for depth in range(1, 51)],
)
def test_linear_gaussian_is_fuss_catalan(depth):
    network = Network.uniform(100, depth, activation="linear")
    top = top_edge(depth)
    x = np.concatenate([np.geomspace(1e-12, top / 2, 40), np.geomspace(1e-300, 1e-13, 9)[9 * (depth < 20) :]])
    x = np.concatenate([x, top * (1 - np.geomspace(0.5, 1e-6, 25))])
    density = laws.spectral_density(network, x)
    assert density == pytest.approx(laws.fuss_catalan_density(depth, x), rel=1e-8, abs=0)
    other = laws.fuss_catalan_density(depth + 1, x)
    assert np.all(abs(density / other - 1)[:40] > 1e-8)
    low, high = laws.spectral_edges(network)
    assert low == 0 and high == pytest.approx(top, rel=1e-12)
    numbers = [comb((depth + 1) * k, k) / (depth * k + 1) for k in range(1, 9)]
    assert laws.spectral_moments(network, 8) == pytest.approx(numbers, rel=1e-14, abs=0)


@pytest.mark.parametrize("ratio", [0.1, 0.5, 1.0, 2.0, 7.0])
def test_one_layer_is_marchenko_pastur(ratio):
    network = linear(100, round(100 * ratio), sigma_w=1.5)
    scale = 1.5**2
    low, high = scale * (1 - np.sqrt(ratio)) ** 2, scale * (1 + np.sqrt(ratio)) ** 2
    x = np.concatenate([low + (high - low) * np.array([1e-6, 1e-3, 0.2, 0.5, 0.9, 1 - 1e-6]), [-1.0, 2 * high, np.inf]])
    inside = np.clip((high - x) * (x - low), 0, np.inf)
    expected = np.where(x < high, np.sqrt(inside) / (2 * np.pi * scale * np.maximum(x, 1e-9) * ratio), 0)
    assert laws.spectral_density(network, x) == pytest.approx(np.where(x > 0, expected, 0), rel=2e-8, abs=0)
    assert laws.spectral_edges(network) == pytest.approx((low, high), rel=1e-12, abs=1e-300)
    assert laws.spectral_atoms(network) == ({0.0: pytest.approx(1 - 1 / ratio)} if ratio > 1 else {})
    assert laws.spectral_distribution(network, [0.0]) == pytest.approx([max(0, 1 - 1 / ratio)], abs=1e-15)
    if low > 0:
        assert laws.spectral_density(network, [0.0, low / 2]).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("sigma_w", [1.2, 1.5, 4.0])
def test_two_projections(sigma_w):
    # D of zeros and ones, P(D = 1) = p: the free product of two projections, by the angles between them.
    network = Network.uniform(10, 2, activation="hard_tanh", weights="orthogonal", sigma_w=sigma_w)
    p = fixed_point(network).mu1
    high = 4 * p * (1 - p)
    x = high * np.array([1e-9, 1e-3, 0.3, 0.7, 0.999, 1 - 1e-6])
    expected = np.sqrt(x * (high - x)) / (2 * np.pi * x * (1 - x))
    scale = sigma_w**4
    assert scale * laws.spectral_density(network, scale * x) == pytest.approx(expected, rel=2e-8, abs=0)
    atoms = [(0.0, 1 - p), (scale, 2 * p - 1)][: 1 + (p > 0.5)]
    assert list(laws.spectral_atoms(network).items()) == [pytest.approx(atom, rel=1e-12) for atom in atoms]
    steps = laws.spectral_distribution(network, scale * np.array([1 - 1e-9, 1.0]))
    assert np.diff(steps) == pytest.approx([max(0, 2 * p - 1)], abs=1e-7)


def test_two_projections_of_a_half():
    # The arcsine law: infinite at both edges.
    network = Network.uniform(10, 2, activation="relu", weights="orthogonal")
    x = np.array([1e-12, 1e-3, 0.5, 0.99, 1 - 1e-6])
    expected = 1 / (2 * np.pi * np.sqrt(x * (1 - x)))
    assert laws.spectral_density(network, x) == pytest.approx(expected, rel=1e-8, abs=0)
    expected = 0.5 + np.arcsin(np.sqrt(x)) / np.pi
    assert laws.spectral_distribution(network, x) == pytest.approx(expected, abs=1e-10)
    assert laws.spectral_edges(network) == pytest.approx((0.0, 1.0), abs=1e-12)


@pytest.mark.parametrize("name", ["tanh", "erf"])
def test_one_orthogonal_layer_leaves_the_law_of_the_slopes(name):
    network = Network.uniform(10, 1, activation=name, weights="orthogonal", sigma_w=1.6, sigma_b=0.3)
    q = fixed_point(network).q_star
    h = np.sqrt(q) * np.array([1e-3, 0.1, 0.5, 1.0, 2.0, 4.0])
    s = 1.6**2 * network.activation.dphi(h) ** 2
    log_slope = {"tanh": 4 * np.tanh(h), "erf": 4 * h}[name]
    expected = 2 * np.exp(-(h**2) / (2 * q)) / np.sqrt(2 * np.pi * q) / log_slope
    found = s * laws.spectral_density(network, s)
    # Close to the upper edge, where the density is infinite, s itself knows h to a relative 1e-16/h² only.
    assert found[1:] == pytest.approx(expected[1:], abs=1e-11)
    assert found[0] == pytest.approx(expected[0], rel=1e-8, abs=0)


@pytest.mark.slow
def test_a_gaussian_layer_of_tanh_against_silverstein():
    # v = −1/(x − ∫ s dH(s)/(1 + s v)) for D W Wᵀ D, by quadrature of mpmath and followed down from x + i.
    network = Network.uniform(10, 1, activation="tanh", sigma_w=1.5, sigma_b=0.2)
    q = mp.mpf(fixed_point(network).q_star)
    scale = mp.mpf(1.5) ** 2

    def equation(x, v):
        def integrand(h):
            s = scale * mp.sech(h) ** 4
            return s / (1 + s * v) * mp.exp(-(h**2) / (2 * q))

        mean = 2 * mp.quad(integrand, [0, 1, 2, 4, 9]) / mp.sqrt(2 * mp.pi * q)
        return v + 1 / (x - mean)

    for point in (0.05, 3.0):
        v = mp.mpc(0, 1)
        for height in (1, 0.2, 0):
            x = mp.mpc(point, height)
            v = mp.findroot(lambda v, x=x: equation(x, v), v)
        assert laws.spectral_density(network, [point]) == pytest.approx([float(v.imag / mp.pi)], rel=1e-10, abs=0)


# --- any network ------------------------------------------------------------------------------------------------------


def panels(low, high, count):
    nodes, weights = np.polynomial.legendre.leggauss(32)
    edges = np.linspace(low, high, count + 1)
    half = np.diff(edges)[:, None] / 2
    return (edges[:-1, None] + half * (1 + nodes)).ravel(), (half * weights).ravel()


def adaptively(function, low, high, rel=1e-10):
    """Integrals, of each row of values: panels are halved until that does not change them any more.

    Inner edges and the singularities that extrema of φ′² cause are closed in on so.
    """
    total, todo = 0.0, [(low, high)]
    for _ in range(60):
        ends = np.array(todo)
        halves = np.column_stack([ends[:, 0], ends.mean(axis=1), ends.mean(axis=1), ends[:, 1]]).reshape(-1, 2)
        nodes, weights = np.polynomial.legendre.leggauss(24)
        by_panel = []
        for panels in (ends, halves):
            half = np.diff(panels) / 2
            values = function((panels[:, :1] + half * (1 + nodes)).ravel())
            by_panel.append(np.sum(values.reshape(len(values), *half.shape[:1], -1) * half * weights, axis=-1))
        once, twice = by_panel[0], by_panel[1].reshape(len(by_panel[0]), -1, 2).sum(axis=-1)
        is_done = np.all(np.abs(twice - once) < rel, axis=0)
        total = total + twice[:, is_done].sum(axis=1)
        todo = halves.reshape(-1, 2, 2)[~is_done].reshape(-1, 2)
        if not len(todo):
            return total
    raise AssertionError(f"no convergence near {todo}")


def integrated(network, order=4, **at):
    """Mass and relative moments by quadrature of the density in ln x, smooth at the edges; with atoms and the rest."""
    low, high = laws.spectral_edges(network, **at)
    moments = laws.spectral_moments(network, order, **at)
    rest = 0.0
    if low == 0:
        grid = high * np.geomspace(max(1e-280, 1e-300 / high), 0.1, 50)
        below = laws.spectral_distribution(network, grid, **at)
        first = max(np.flatnonzero(below - below[0] < 1e-11)) if below[0] < 1e-9 else 0
        rest = below[first]
        ends = 0.0, np.sqrt(np.log(high / grid[first]))
    else:
        ends = 0.0, np.pi

    def integrand(t):
        if low == 0:
            x, stretch = high * np.exp(-(t**2)), 2 * t
        else:
            middle, half = np.log(high * low) / 2, np.log(high / low) / 2
            x, stretch = np.exp(middle + half * np.cos(t)), half * np.sin(t)
        density = x * laws.spectral_density(network, x, **at) * stretch
        return np.array([density, *(density * x**k / moments[k - 1] for k in range(1, order + 1))])

    found = adaptively(integrand, *ends)
    atoms = laws.spectral_atoms(network, **at)
    mass = found[0] + sum(atoms.values()) - (atoms.get(0.0, 0.0) if low == 0 else 0.0) + rest
    above = [sum(m * x**k for x, m in atoms.items()) / moments[k - 1] for k in range(1, order + 1)]
    return mass, found[1:] + above


# Slopes squared below the kink, or beyond both.
STEPS = {"relu": 0.0, "leaky_relu": 1e-4, "hard_tanh": 0.0}


def holds(network, **at):
    mass, moments = integrated(network, **at)
    assert mass == pytest.approx(1, abs=1e-8)
    assert moments == pytest.approx(np.ones(4), rel=1e-8)


@pytest.mark.parametrize("depth", [1, 2, pytest.param(10, marks=pytest.mark.slow), 50])
@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_mass_and_moments(name, weights, depth):
    parameters = {"sigma_w": 1.3, "sigma_b": 0.2}
    if ACTIVATIONS[name].is_homogeneous:
        parameters = {"sigma_w": 1.3}
    elif name == "softplus":
        # With wider weights its q* does not exist.
        parameters = {"sigma_w": 0.7, "sigma_b": 0.5}
    network = Network.uniform(10, depth, activation=name, weights=weights, **parameters)
    if weights == "orthogonal" and (name == "linear" or (depth == 1 and name in STEPS)):
        with pytest.raises(ValueError, match="discrete"):
            laws.spectral_density(network, [0.5])
        steps = {1.3 ** (2 * depth): 1.0}
        if name != "linear":
            live = fixed_point(network).mu1 if name == "hard_tanh" else 0.5
            steps = {STEPS[name] * 1.3**2: 1 - live, 1.3**2: live}
        for location, mass in steps.items():
            around = laws.spectral_distribution(network, location * np.array([1 - 1e-9, 1 + 1e-9]) - [1e-9, 0])
            assert np.diff(around) == pytest.approx([mass], abs=1e-12)
        return
    holds(network)


@pytest.mark.parametrize(
    "network",
    [
        Network((30, 10, 25, 40, 20), activation="relu", weights="gaussian"),
        Network((30, 10, 25, 40, 20), activation="linear", weights="orthogonal"),
        Network((20, 60, 30), activation="tanh", weights="gaussian", sigma_w=1.4),
        Network((20, 60, 30), activation="erf", weights="orthogonal", sigma_w=1.4, sigma_b=0.1),
        Network((10, 10, 10), activation="linear", weights="orthogonal", keep=0.8),
        Network((10, 12, 10), activation="tanh", weights="gaussian", sigma_w=1.2, keep=0.7),
        Network((1, 1000, 1), activation="relu", weights="gaussian"),
        Network((10, 10, 10), activation="leaky_relu", weights="orthogonal"),
        Network((10, 10, 10), activation="sin", weights="gaussian", sigma_w=1.3, sigma_b=0.3),
        Network((10, 10), activation="softplus", weights="orthogonal", sigma_b=0.5, sigma_w=0.7),
        Network(
            (10, 10, 10),
            activation=Activation(lambda x: x / (1 + abs(x)), lambda x: (1 + abs(x)) ** -2.0, kinks=(0.0,)),
            weights="orthogonal",
            sigma_w=1.5,
        ),
    ],
    ids=repr,
)
def test_mass_and_moments_of_other_networks(network):
    holds(network)


def test_a_gap():
    # Half of the slopes are 1/100 of the others: the spectrum falls into two parts, and so does the mass.
    network = Network.uniform(10, 1, activation="leaky_relu")
    below, above = laws.spectral_distribution(network, [1e-3, 0.05])
    assert below == pytest.approx(0.5, abs=1e-12) and above == pytest.approx(0.5, abs=1e-12)
    assert laws.spectral_density(network, np.geomspace(1e-3, 0.05, 7)).tolist() == [0.0] * 7


@pytest.mark.parametrize("name", ["relu", "erf"])
def test_the_distribution_is_the_integral_of_the_density(name):
    network = Network((20, 30, 25), activation=name, weights="orthogonal", sigma_w=1.3)
    low, high = laws.spectral_edges(network)
    ends = low + (high - low) * np.array([0.1, 0.3, 0.35, 0.9])
    found = np.diff(laws.spectral_distribution(network, ends))
    for a, b, mass in zip(ends[:-1], ends[1:], found, strict=True):
        x, weights = panels(a, b, 1)
        assert np.sum(weights * laws.spectral_density(network, x)) == pytest.approx(mass, abs=1e-10)


def test_moments_are_counted_by_hand():
    # m_2 of D W C Wᵀ D among planar pairings: layer by layer, as S2's recursion at infinite width.
    network = Network((20, 60, 30, 45), activation="erf", sigma_w=1.4, sigma_b=0.1)
    field = fixed_point(network)
    m1, m2 = 1.0, 1.0
    for n_in, n_out in [(20, 60), (60, 30), (30, 45)]:
        # (1/n_out) Tr: pairing within keeps (Tr C)², pairing across Tr C²; slopes meet twice in one of them.
        scale = 1.4**2
        m1, m2 = (
            scale * field.mu1 * m1,
            scale**2 * (field.mu2 * m1**2 + field.mu1**2 * n_out / n_in * m2),
        )
    assert laws.spectral_moments(network, 2) == pytest.approx([m1, m2], rel=1e-13, abs=0)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("name", ["linear", "relu", "tanh", "sigmoid"])
def test_two_moments_give_the_first_order_law(name, weights):
    network = Network.uniform(10, 7, activation=name, weights=weights, sigma_w=0.9)
    m1, m2 = laws.spectral_moments(network, 2)
    assert m2 / m1**2 - 1 == pytest.approx(7 * fixed_point(network).rate, rel=1e-11, abs=1e-14)
    assert m2 / m1**2 / 10 == pytest.approx(laws.first_order_vni(network), rel=1e-11)


def test_only_ratios_of_widths_and_the_scale_of_the_weights():
    narrow, wide = (Network((2 * n, 3 * n, n), activation="relu", sigma_w=sigma) for n, sigma in ((1, 1.0), (50, 2.0)))
    x = np.geomspace(1e-3, 1.0, 20)
    expected = laws.spectral_density(narrow, x)
    assert expected.max() > 0
    assert 16 * laws.spectral_density(wide, 16 * x) == pytest.approx(expected, rel=1e-10, abs=0)


def test_along_the_length_map():
    network = Network.uniform(10, 4, activation="hard_tanh", sigma_w=1.5, sigma_b=0.2)
    field = fixed_point(network)
    x = np.linspace(0.1, 4, 9)
    stays = laws.spectral_density(network, x, input_variance=(field.q_star - 0.2**2) / 1.5**2)
    assert stays == pytest.approx(laws.spectral_density(network, x), rel=1e-6)
    # Elsewhere each layer has a chance of its own to be live; the last has least to do with the length of the input.
    live = [slope_moment(network.activation, q, 1) for q in length_map(network, 30.0)]
    assert laws.spectral_moments(network, 1, input_variance=30.0) == pytest.approx(
        [np.prod(live) * 1.5**8], rel=1e-12, abs=0
    )
    assert laws.spectral_atoms(network, input_variance=30.0) == {0.0: pytest.approx(1 - min(live), rel=1e-12)}
    holds(network, input_variance=30.0)


@pytest.mark.slow
def test_layers_of_different_laws():
    network = Network.uniform(10, 6, activation="tanh", sigma_w=1.5, sigma_b=0.2)
    holds(network, input_variance=3.0)
    # From where the length map has converged, one law serves all layers.
    deep = spectrum_of(Network.uniform(10, 300, activation="tanh", sigma_w=1.5, sigma_b=0.2), 3.0)
    assert sum(layers.repeats for layers in deep.smooth) == 300
    assert len(deep.smooth) < 100 < max(layers.repeats for layers in deep.smooth)


def test_deep_networks():
    network = Network.uniform(10, 1000, activation="linear")
    x = np.geomspace(1e-300, top := 1001 * (1 + 1 / 1000) ** 1000 * (1 - 1e-5), 50)
    assert top < laws.spectral_edges(network)[1]
    assert laws.spectral_density(network, x) == pytest.approx(laws.fuss_catalan_density(1000, x), rel=1e-8, abs=0)


# --- the short cut against the long way ------------------------------------------------------------------------------


CURVES = [
    Network.uniform(10, 50, activation="linear"),
    Network((30, 10, 25, 40, 20), activation="linear", weights="orthogonal"),
    Network.uniform(10, 2, activation="relu", weights="orthogonal"),
    # With a gap, where all is real between two parts of the spectrum.
    Network.uniform(10, 1, activation="leaky_relu"),
    Network((20, 60, 30), activation="tanh", sigma_w=1.4),
    Network.uniform(10, 4, activation="gelu", weights="orthogonal", sigma_w=1.4, sigma_b=0.1),
    Network.uniform(10, 3, activation="softplus", sigma_w=0.7, sigma_b=0.5),
]


def along(curve, count):
    low = max(curve.low, curve.bottom)
    return np.linspace(low - 0.2, curve.high + 0.2, count)


def is_same(spectrum, a, b):
    """As far as rounding errors of ln x go, whose square root counts at an edge."""
    return np.all(np.abs(np.vstack(a) - np.vstack(b)) < 1e-6, axis=0)


@pytest.mark.parametrize("network", CURVES, ids=repr)
def test_solutions_from_nearby_are_those_followed_from_afar(network):
    curve = whole_spectrum.curve_of(network, None)
    log_x = along(curve, 301)
    quick = subordination.solve(curve.spectrum, log_x, curve.branch)
    slow = subordination.solve(curve.spectrum, log_x)
    assert is_same(curve.spectrum, quick, slow).all()
    inside = subordination.density_of_log(curve.spectrum, slow) > 1e-3
    densities = [subordination.density_of_log(curve.spectrum, solution)[inside] for solution in (quick, slow)]
    assert densities[0] == pytest.approx(densities[1], rel=1e-8, abs=0)


@pytest.mark.parametrize("network", CURVES, ids=repr)
def test_whatever_it_starts_from_no_other_solution_is_certain(network):
    curve = whole_spectrum.curve_of(network, None)
    log_x = along(curve, 101)
    spectrum, right = curve.spectrum, subordination.solve(curve.spectrum, log_x)
    y = (log_x - spectrum.log_scale).astype(complex)
    rng = np.random.default_rng(4)
    counts = np.zeros(3, dtype=int)
    for away in (0.1, 1.0, 4.0):
        for _ in range(4):
            shifted = [
                v + away * rng.standard_normal(v.shape) + 1j * away * rng.standard_normal(v.shape) for v in right
            ]
            # Real starts stay real: other real branches, inside of the spectrum, too.
            for start in (shifted, [v.real + 1j * np.pi * rng.integers(0, 2, v.shape) for v in shifted]):
                with np.errstate(all="ignore"):
                    found, is_certain = subordination.from_nearby(spectrum, y, subordination.Solution(*start))
                    is_solved = np.abs(subordination.newton_step(spectrum, y - 1j * np.pi, found).residual) < 1e-9
                same = is_same(spectrum, found, right)
                kinds = is_certain & same, is_certain & ~same, is_solved & ~is_certain & ~same
                counts += np.sum(kinds, axis=1)
    taken, wrong, refused = counts
    assert wrong == 0
    # Other solutions were there to be taken.
    assert taken > 100 and refused > 10


@pytest.mark.parametrize("network", [CURVES[0], CURVES[5]], ids=repr)
def test_points_cost_a_few_evaluations_each(monkeypatch, network):
    curve = whole_spectrum.curve_of(network, None)
    evaluated = []
    step = subordination.newton_step
    monkeypatch.setattr(
        subordination, "newton_step", lambda spectrum, y, at: evaluated.append(len(y)) or step(spectrum, y, at)
    )
    x = np.exp(np.linspace(curve.bottom if curve.low == -np.inf else curve.low, curve.high, 1002)[1:-1])
    laws.spectral_density(network, x)
    assert sum(evaluated) < 2.5 * 1000


# --- the law of the slopes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variance", [0.0, 1e-3, 0.3, 3.0])
@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_law_of_the_slopes(name, variance):
    law = slope_law(ACTIVATIONS[name], variance)
    for k in (1, 2, 5):
        moment = np.sum(law.weights * law.squares**k)
        assert moment == pytest.approx(slope_moment(ACTIVATIONS[name], variance, k), rel=2e-12, abs=0)
    kept = slope_law(ACTIVATIONS[name], variance, 0.5)
    assert kept.mass == pytest.approx(law.mass / 2, abs=1e-14)
    assert np.sum(kept.weights * kept.squares) == pytest.approx(2 * np.sum(law.weights * law.squares), rel=1e-12, abs=0)


def test_moment_function_on_its_cut():
    # E 1/(1 − ζs) at real ζ beyond 1: the limit from below, −iπ times the density of s at 1/ζ over ζ.
    q, zeta = 0.7, 1 / (1 - np.tanh(0.4) ** 2) ** 2
    law = slope_law(ACTIVATIONS["tanh"], q)
    found = np.sum(law.weights / (1 - zeta * law.squares))
    density_of_log = 2 * np.exp(-(0.4**2) / (2 * q)) / np.sqrt(2 * np.pi * q) / (4 * np.tanh(0.4))
    assert found.imag == pytest.approx(-np.pi * density_of_log, rel=1e-10)


# --- samples ----------------------------------------------------------------------------------------------------------


@cache
def sampled_eigenvalues(network, count, seed):
    *_, last = walk_jacobian(network, count, rng=seed)
    values = np.linalg.svd(last.jacobian, compute_uv=False) ** 2 * np.exp(2 * last.log_norm)[:, None]
    lacking = network.widths[-1] - values.shape[1]
    return np.concatenate([values, np.zeros((count, lacking))], axis=1) if lacking > 0 else values


def excess_counts(network, law, count=12, bins=10, seed=20191022):
    """How far the numbers of eigenvalues in bins of equal probability are off, less k = 5 standard errors of the mean.

    Eigenvalues repel, so that counts vary by about one, not as the square root of themselves: errors are between
    networks. In units of eigenvalues.
    """
    n = network.widths[-1]
    values = sampled_eigenvalues(network, count, seed)
    rounding = 1e-9 * values.max()
    edges = np.geomspace(values.max() * 1e-12, values.max() * 2, 400)
    below = laws.spectral_distribution(law, edges)
    atoms = laws.spectral_atoms(law)
    at_zero = atoms.get(0.0, 0.0)
    levels = at_zero + (1 - at_zero) * np.arange(1, bins) / bins
    cuts = np.exp(np.interp(levels, below, np.log(edges)))
    cuts = cuts[cuts > rounding]
    fractions = laws.spectral_distribution(law, cuts)
    counts = np.sum(values[:, :, None] <= cuts, axis=1)
    off = np.abs(counts.mean(axis=0) - n * fractions)
    return float(np.max(off - 5 * counts.std(axis=0, ddof=1) / np.sqrt(count)))


SAMPLED = [
    Network.uniform(200, 2, activation="linear"),
    Network.uniform(200, 1, activation="relu", sigma_w=2**0.5),
    Network((200, 300), activation="relu", weights="orthogonal", sigma_w=2**0.5),
    Network((200, 300, 150), activation="tanh", sigma_w=1.5, sigma_b=0.2),
    Network((150, 200, 200, 200), activation="hard_tanh", weights="orthogonal", sigma_w=1.2, sigma_b=0.1),
    Network((200, 200, 200), activation="erf", weights="orthogonal", sigma_w=1.4, keep=0.8),
]


@pytest.mark.parametrize("network", SAMPLED, ids=repr)
def test_samples(network):
    # Finite width moves about one eigenvalue per edge and bin, a part of it at random; one layer more moves many.
    assert excess_counts(network, network) < 1
    deeper = Network(
        (*network.widths, network.widths[-1]), network.activation, network.weights, network.sigma_w, network.sigma_b,
        network.keep,
    )  # fmt: skip
    assert excess_counts(network, deeper) > 3


# --- what is refused --------------------------------------------------------------------------------------------------


def test_points_outside():
    network = Network.uniform(10, 3, activation="linear")
    x = np.array([[-np.inf, -1.0, 0.0], [20.0, 1e300, np.inf]])
    assert laws.spectral_density(network, x).tolist() == [[0, 0, np.inf], [0, 0, 0]]
    assert laws.spectral_distribution(network, x).tolist() == [[0, 0, 0], [1, 1, 1]]
    assert laws.fuss_catalan_density(3, x).tolist() == [[0, 0, np.inf], [0, 0, 0]]
    assert laws.spectral_density(network, []).shape == laws.spectral_distribution(network, []).shape == (0,)
    assert laws.spectral_density(network, 1.0).shape == ()


def test_bad_input():
    network = Network.uniform(10, 3, activation="linear")
    for law in (laws.spectral_density, laws.spectral_distribution):
        with pytest.raises(ValueError, match="nan"):
            law(network, [1.0, np.nan])
        with pytest.raises(ValueError, match="input_variance"):
            law(network, [1.0], input_variance=-1.0)
    with pytest.raises(ValueError, match="nan"):
        laws.fuss_catalan_density(2, np.nan)
    for order, error in ((0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)):
        with pytest.raises(error, match="≥ 1"):
            laws.spectral_moments(network, order)
        with pytest.raises(error, match="≥ 1"):
            laws.fuss_catalan_density(order, 1.0)
    with pytest.raises(ValueError, match="discrete"):
        laws.spectral_edges(Network.uniform(10, 3, activation="linear", weights="orthogonal"))
    with pytest.raises(ValueError, match="q\\* does not exist"):
        laws.spectral_density(Network.uniform(10, 3, activation="softplus", sigma_w=2.0), [1.0])
    with pytest.raises(ValueError, match="range of doubles"):
        laws.spectral_edges(Network.uniform(10, 2000, activation="relu"))
    with pytest.raises(ValueError, match="is 0"):
        laws.spectral_edges(Network.uniform(10, 2, activation=Activation(np.zeros_like, np.zeros_like)))


@pytest.fixture
def fresh():
    yield
    whole_spectrum.curve_of.cache_clear()


@pytest.mark.parametrize(("name", "weights"), list(product(["linear", "tanh"], WEIGHTS)))
def test_a_wrong_branch_is_told(monkeypatch, fresh, name, weights):
    network = Network((10, 20, 10), activation=name, weights=weights, sigma_w=1.4, sigma_b=0.1 if name == "tanh" else 0)
    low, high = laws.spectral_edges(network)
    x = low + (high - low) * np.linspace(0.1, 0.9, 9)
    right = whole_spectrum.solve

    def conjugate(spectrum, log_x, near=None):
        sigma, tau = right(spectrum, log_x, near)
        return subordination.Solution(sigma.real + 1j * (2 * np.pi - sigma.imag), tau.conj() + 2j * np.pi)

    def elsewhere(spectrum, log_x, near=None):
        # The solution of another point, at one point only.
        return right(spectrum, np.where(np.arange(len(log_x)) == 4, log_x + 1.0, log_x))

    for wrong in (conjugate, elsewhere):
        monkeypatch.setattr(whole_spectrum, "solve", wrong)
        with pytest.raises(ArithmeticError, match="branch"):
            laws.spectral_density(network, x)
    # And where the whole curve is found on it.
    whole_spectrum.curve_of.cache_clear()
    monkeypatch.setattr(whole_spectrum, "solve", lambda s, log_x, near=None: right(s, log_x + 0.3, near))
    with pytest.raises(ArithmeticError, match="moment"):
        laws.spectral_density(network, x)
    monkeypatch.setattr(whole_spectrum, "solve", right)
    for steps in ("_NEWTON_STEPS", "_FEW_STEPS"):
        monkeypatch.setattr(subordination, steps, 0)
    with pytest.raises(ArithmeticError):
        laws.spectral_density(network, x)
