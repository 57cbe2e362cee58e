"""S4, the universal law and its effective depth, and S1, its tangent."""

from fractions import Fraction
from functools import cache
from itertools import pairwise

import mpmath as mp
import numpy as np
import pytest
from numpy.polynomial import Polynomial
from oracles import MP_ACTIVATIONS, MP_SLOPES, inversion_density, mp_gaussian_mean
from scipy.linalg import expm

from rmt_vn import Network, activations, laws

DIGITS = 40
DEPTHS = [1e-8, 1e-5, 1e-3, 0.03, 0.3, 1.0, 2.5, 10.0, 40.0, 170.0, 900.0, 5000.0]
# R(t) = t − 3t²/2 + 7t³/2 − 89t⁴/8 + 1783t⁵/40 − …
SERIES = [Fraction(0), Fraction(1), Fraction(-3, 2), Fraction(7, 2), Fraction(-89, 8), Fraction(1783, 40)]


def reference(t):
    """(R(t), 1 − R(t)) by 40-digit quadrature."""
    with mp.workdps(DIGITS):
        t = mp.mpf(t)
        width = min(1, 1 / mp.sqrt(t))
        # The integrand is below 1e-24 of its peak past ν = 36 and past 15/√t.
        end = min(mp.mpf(36), 15 / mp.sqrt(t))
        points = [0, width / 2]
        while points[-1] < end:
            points.append(min(2 * points[-1], end))

        # `quad` stops at an absolute error: take e^{−t/8} out, and R(t) itself from an integral of its own size.
        s = mp.exp(-t / 8) * mp.quad(
            lambda nu: inversion_density(nu) * mp.exp(-(nu**2) * t / 2), points, method="gauss-legendre"
        )
        if t > 0.1:
            return 1 - s, s
        rise = mp.quad(
            lambda nu: -inversion_density(nu) * mp.expm1(-(nu**2 + mp.mpf(1) / 4) * t / 2), [*points[:-1], 60]
        )
        return rise, 1 - rise


@pytest.mark.parametrize("t", DEPTHS)
def test_universal_law_to_ten_digits(t):
    vni, complement = reference(t)
    assert float(abs(laws.universal_vni(t) / vni - 1)) < 1e-10
    assert float(abs(laws.universal_vni_complement(t) / complement - 1)) < 1e-10


def test_published_value():
    assert round(laws.universal_vni(1.0), 6) == 0.469574


def test_series_from_the_generator():
    # dρ = −½ρ(1−ρ²)dt + (1−ρ²)dB: E f(ρ_t) has the Taylor coefficients (Aᵏf)(0)/k!, in rational arithmetic.
    def generator(f):
        free = Polynomial([Fraction(1), Fraction(0), Fraction(-1)])
        rho = Polynomial([Fraction(0), Fraction(1)])
        slope = Polynomial([k * c for k, c in enumerate(f.coef)][1:])
        curvature = Polynomial([k * c for k, c in enumerate(slope.coef)][1:])
        return free * free * curvature * Fraction(1, 2) - rho * free * slope * Fraction(1, 2)

    f, coefficients, factorial = Polynomial([Fraction(0), Fraction(0), Fraction(1)]), [], Fraction(1)
    for k in range(6):
        factorial *= max(k, 1)
        coefficients.append(f.coef[0] / factorial)
        f = generator(f)
    assert coefficients == SERIES


@pytest.mark.parametrize("terms", [1, 2, 3, 4, 5])
def test_what_the_series_leaves_is_its_next_term(terms):
    t = np.array([0.01, 0.02])
    partial = sum(float(SERIES[k]) * t**k for k in range(terms + 1))
    slope = np.diff(np.log(abs(laws.universal_vni(t) - partial))) / np.log(2)
    # The term after the next is about 5t of it: a slope within 0.1/ln 2 of the next power, and half way to no other.
    assert slope == pytest.approx(terms + 1, abs=0.15)


def test_solution_of_the_kolmogorov_equation():
    # v = 1 − E tanh² y obeys v_t = ½ tanh(y) v_y + ½ v_yy: Chebyshev collocation on |y| ≤ 10, where no path ends
    # by t = 4. It converges as e^{−πn/40}, the poles of tanh being at ±iπ/2: 1e-11 at n = 160 with some to spare.
    n, reach = 160, 10.0
    x = np.cos(np.pi * np.arange(n + 1) / n)
    sign = np.array([2.0, *np.ones(n - 1), 2.0]) * (-1.0) ** np.arange(n + 1)
    derivative = np.outer(sign, 1 / sign) / (x[:, None] - x + np.eye(n + 1))
    derivative -= np.diag(derivative.sum(axis=1))
    derivative /= reach
    y = reach * x
    operator = 0.5 * np.tanh(y)[:, None] * derivative + 0.5 * derivative @ derivative
    inner = slice(1, n)
    start = 1 / np.cosh(y[inner]) ** 2
    for t in (0.1, 1.0, 4.0):
        v = expm(t * operator[inner, inner]) @ start
        assert laws.universal_vni_complement(t) == pytest.approx(v[n // 2 - 1], rel=1e-9)


def test_tail():
    t = np.array([1000.0, 2000.0, 4000.0])
    constant = np.pi * float(mp.gamma(0.25)) ** 2 / (2 * np.sqrt(2))
    excess = abs(laws.universal_vni_complement(t) / (constant * t**-1.5 * np.exp(-t / 8)) - 1)
    # The next term is of relative size 1/t, the one after 1/t².
    assert np.diff(np.log(excess)) / np.log(2) == pytest.approx([-1, -1], abs=0.05)
    assert excess[-1] < 0.01


def test_ends():
    assert laws.universal_vni(0.0) == 0
    assert laws.universal_vni_complement(0.0) == pytest.approx(1, abs=1e-14)
    assert laws.universal_vni(np.inf) == pytest.approx(1, abs=1e-14)
    assert laws.universal_vni_complement(np.inf) == 0


@pytest.mark.parametrize("law", [laws.universal_vni, laws.universal_vni_complement])
def test_shapes(law):
    assert type(law(1.0)) is float
    assert type(law(1)) is float
    assert law([]).shape == (0,)
    assert law(np.empty((3, 0))).shape == (3, 0)
    grid = np.geomspace(1e-3, 300, 6).reshape(2, 3)
    assert law(grid).shape == (2, 3)
    assert law(grid) == pytest.approx(np.vectorize(law)(grid), rel=1e-12)


def test_many_depths_at_once():
    t = np.linspace(0, 30, 3000)
    together = laws.universal_vni(t)
    assert np.all(np.diff(together) > 0)
    assert together[[0, 1023, 1024, 2999]] == pytest.approx(
        [laws.universal_vni(x) for x in t[[0, 1023, 1024, 2999]]], rel=1e-12
    )


@pytest.mark.parametrize("law", [laws.universal_vni, laws.universal_vni_complement])
@pytest.mark.parametrize(("wrong", "named"), [(-0.5, "-0.5"), (np.nan, "nan"), ([1.0, -2.5, 3.0], "-2.5")])
def test_impossible_depths(law, wrong, named):
    with pytest.raises(ValueError, match=f"≥ 0, got {named}"):
        law(wrong)


@pytest.mark.parametrize(
    ("activation", "weights"), [("linear", "gaussian"), ("relu", "gaussian"), ("relu", "orthogonal")]
)
def test_exact_law_tends_to_the_approximate_one_as_one_over_width_squared(activation, weights):
    widths = np.array([100, 200, 400, 800, 1600])
    networks = [Network.uniform(n, n, activation=activation, weights=weights) for n in widths]
    errors = [abs(laws.exact_vni(network) - laws.approximate_vni(network)) for network in networks]
    # Corrections to a slope of −2 are of relative order 1/N: 0.1 allows 1/N at N = 100 with a factor of ten.
    assert np.diff(np.log(errors)) / np.log(2) == pytest.approx([-2] * 4, abs=0.1)


@pytest.mark.parametrize(
    ("activation", "weights"), [("linear", "gaussian"), ("relu", "gaussian"), ("relu", "orthogonal")]
)
def test_exact_law_tends_to_the_universal_law_as_one_over_width(activation, weights):
    widths = np.array([100, 200, 400, 800, 1600])
    errors = []
    for n in widths:
        network = Network.uniform(n, n, activation=activation, weights=weights)
        universal = 1 / n + (1 - 1 / n) * laws.universal_vni(laws.effective_depth(network))
        errors.append(abs(laws.exact_vni(network) - universal))
    # Corrections to a slope of −1 are of relative order 1/N: 0.05 allows 1/N at N = 100 with a factor of five.
    assert np.diff(np.log(errors)) / np.log(2) == pytest.approx([-1] * 4, abs=0.05)


@pytest.mark.parametrize("activation", ["linear", pytest.param("relu", marks=pytest.mark.slow)])
def test_a_million_wide_and_a_million_deep(activation):
    network = Network.uniform(10**6, 10**6, activation=activation)
    assert laws.exact_vni(network) == pytest.approx(laws.approximate_vni(network), rel=1e-5)
    assert laws.exact_vni_complement(network) == pytest.approx(1 - laws.approximate_vni(network), rel=1e-5)


@cache
def next_variance(name, q, sigma_w, sigma_b, keep=1.0):
    phi, kinks = MP_ACTIVATIONS[name], activations.ACTIVATIONS[name].kinks
    return sigma_w**2 * mp_gaussian_mean(lambda x: phi(x) ** 2, q, kinks) / keep + sigma_b**2


@cache
def fixed_variance(name, sigma_w, sigma_b):
    """q*, where the next variance is the same: a few steps of the map, then the secant method."""
    q = mp.mpf("0.6")
    for _ in range(4):
        q = next_variance(name, q, sigma_w, sigma_b)
    with mp.workdps(20):
        return mp.findroot(
            lambda q: next_variance(name, q, sigma_w, sigma_b) - q, (q, q * mp.mpf("1.05")), solver="secant", tol=1e-28
        )


@cache
def slope_ratio(name, q, keep=1.0):
    """μ_2/μ_1² of φ′(√q z), times a mask that is 1/p with probability p."""
    dphi, kinks = MP_SLOPES[name], activations.ACTIVATIONS[name].kinks
    mu1, mu2 = (mp_gaussian_mean(lambda x, k=k: dphi(x) ** (2 * k), q, kinks) for k in (1, 2))
    return mu2 / mu1**2 / keep


def depth_by_hand(widths, ratios, weights):
    """Σ over weight matrices of r/n_in, minus 1/max(n_in, n_out) for frames."""
    total = mp.mpf(0)
    for (n_in, n_out), ratio in zip(pairwise(widths), ratios, strict=True):
        total += ratio / n_in - (mp.mpf(1) / max(n_in, n_out) if weights == "orthogonal" else 0)
    return float(total)


@pytest.mark.parametrize("weights", ["gaussian", "orthogonal"])
@pytest.mark.parametrize(
    ("name", "sigma_w", "sigma_b"),
    [("tanh", 1.8, 0.0), ("erf", 1.3, 0.2), ("hard_tanh", 1.5, 0.1), ("sin", 1.6, 0.0), ("gelu", 1.2, 0.4)],
)
def test_effective_depth_at_the_fixed_point(name, sigma_w, sigma_b, weights):
    ratio = slope_ratio(name, fixed_variance(name, sigma_w, sigma_b))
    kind = {"activation": name, "weights": weights, "sigma_w": sigma_w, "sigma_b": sigma_b}
    ours = laws.effective_depth(Network.uniform(30, 8, **kind))
    gaussian, haar = 1 / 30 + 7 * float(ratio) / 30, 7 * (float(ratio) - 1) / 30
    assert ours == pytest.approx(gaussian if weights == "gaussian" else haar, rel=1e-10)


@pytest.mark.parametrize("weights", ["gaussian", "orthogonal"])
@pytest.mark.parametrize("name", ["relu", "leaky_relu"])
def test_effective_depth_of_homogeneous_activations_needs_no_fixed_point(name, weights):
    # σ_w = 3: the variance grows for ever, and μ_2/μ_1² does not notice.
    widths = (7, 20, 20, 5, 9)
    ratio = slope_ratio(name, mp.mpf(2))
    ours = laws.effective_depth(Network(widths, activation=name, weights=weights, sigma_w=3.0))
    assert ours == pytest.approx(depth_by_hand(widths, [1, ratio, ratio, ratio], weights), rel=1e-12)


@pytest.mark.parametrize("weights", ["gaussian", "orthogonal"])
@pytest.mark.parametrize(
    ("name", "keep"), [("tanh", 1.0), ("hard_tanh", 1.0), ("softplus", 1.0), ("gelu", 0.7), ("relu", 0.7)]
)
def test_effective_depth_along_the_length_map(name, keep, weights):
    widths, variance = (7, 20, 12, 5, 30, 9), 2.3
    q, ratios = 1.4**2 * variance + 0.3**2, [1]
    with mp.workdps(15):
        for _ in range(len(widths) - 2):
            ratios.append(slope_ratio(name, q, keep or 1.0))
            q = next_variance(name, q, 1.4, 0.3, keep or 1.0)
    network = Network(widths, activation=name, weights=weights, sigma_w=1.4, sigma_b=0.3, keep=keep)
    ours = laws.effective_depth(network, input_variance=variance)
    assert ours == pytest.approx(depth_by_hand(widths, ratios, weights), rel=1e-10)


def test_rotations_have_no_depth():
    assert laws.effective_depth(Network.uniform(30, 100, activation="linear", weights="orthogonal")) == 0
    small = Network.uniform(30, 100, activation="tanh", weights="orthogonal", sigma_w=0.8)
    assert laws.effective_depth(small) == pytest.approx(0, abs=1e-12)


def test_order_of_layers_does_not_matter_to_the_depth():
    depths = [
        laws.effective_depth(Network(widths, activation="gelu", sigma_b=0.3))
        for widths in ((6, 4, 50, 9, 3), (6, 50, 9, 4, 3))
    ]
    assert depths[0] == pytest.approx(depths[1], rel=1e-14)


def test_effective_depth_where_there_is_no_fixed_point():
    custom = activations.Activation(lambda x: x + np.tanh(x), lambda x: 2 - np.tanh(x) ** 2, name="steep")
    network = Network.uniform(10, 3, activation=custom, sigma_w=1.2)
    with pytest.raises(ValueError, match="q\\* does not exist"):
        laws.effective_depth(network)
    assert laws.effective_depth(network, input_variance=1.0) > 0.3


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("wrong", [-1.0, np.nan])
def test_impossible_input_variance(wrong, activation):
    with pytest.raises(ValueError, match=f"input_variance.*{wrong}"):
        laws.effective_depth(Network.uniform(10, 3, activation=activation), input_variance=wrong)


def test_first_order_law_of_the_design():
    assert laws.first_order_vni(Network.uniform(100, 50, activation="linear")) == pytest.approx(0.51, rel=1e-12)


@pytest.mark.parametrize("weights", ["gaussian", "orthogonal"])
@pytest.mark.parametrize("name", sorted(activations.ACTIVATIONS))
def test_first_order_law_is_the_thesis_formula(name, weights):
    kind = {"activation": name, "weights": weights, "sigma_w": 0.9, "sigma_b": 0.3}
    ratio = slope_ratio(name, fixed_variance(name, 0.9, 0.3))
    s1 = -1 if weights == "gaussian" else 0
    thesis = 1 / 70 + 33 / 70 * (float(ratio) - 1 - s1)
    assert laws.first_order_vni(Network.uniform(70, 33, **kind)) == pytest.approx(thesis, rel=1e-12)


@pytest.mark.parametrize(
    "kind",
    [
        {"activation": "linear"},
        {"activation": "relu"},
        {"activation": "relu", "weights": "orthogonal"},
        {"activation": "linear", "keep": 0.8},
    ],
)
@pytest.mark.parametrize("profile", [(1, 1, 1, 1, 1, 1), (1, 3, 2, 1, 4, 2)])
def test_first_order_law_is_the_tangent_of_the_exact_law(kind, profile):
    # What is left is of second order in 1/N: multiplying all widths by 2 divides it by 4.
    networks = [Network(tuple(scale * n for n in profile), **kind) for scale in (800, 1600, 3200)]
    errors = [abs(laws.exact_vni(network) - laws.first_order_vni(network)) for network in networks]
    assert np.diff(np.log(errors)) / np.log(2) == pytest.approx([-2, -2], abs=0.05)


def test_first_order_law_is_the_tangent_of_the_universal_law():
    # One more layer adds as much to S1 as to R(t) at t → 0.
    deep, deeper = (Network.uniform(10**6, depth, activation="tanh", sigma_w=1.5) for depth in (4, 5))
    by_first_order = laws.first_order_vni(deeper) - laws.first_order_vni(deep)
    by_depth = laws.universal_vni(laws.effective_depth(deeper)) - laws.universal_vni(laws.effective_depth(deep))
    assert by_first_order == pytest.approx(by_depth, rel=1e-4)
