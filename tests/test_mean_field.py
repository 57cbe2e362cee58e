"""Mean field: q* solves its equation, and the length map is what wide random networks do."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import MP_ACTIVATIONS, MP_SLOPES, mp_gaussian_mean
from statistics_checks import assert_sampled, mean_and_error

from rmt_vn import Activation, Network
from rmt_vn.activations import ACTIVATIONS, leaky_relu
from rmt_vn.gaussian_averages import gaussian_mean, second_moment, slope_moment
from rmt_vn.mean_field import fixed_point, layer_moments, length_map
from rmt_vn.samplers import sample_activations

CRITICAL_ERF = np.sqrt(np.pi) / 2  # erf′(0) = 2/√π


def one_layer(activation, sigma_w=1.0, sigma_b=0.0, **more):
    return Network((5, 5), activation, sigma_w=sigma_w, sigma_b=sigma_b, **more)


# --- q* ---------------------------------------------------------------------------------------------------------------


BOUNDED = ["tanh", "erf", "hard_tanh", "sin", "sigmoid"]
HALF_LINEAR = ["silu", "gelu", "softplus"]  # φ ~ x far to the right: like ReLU, bounded q needs σ_w² < 2


@pytest.mark.parametrize(
    ("name", "sigma_w", "sigma_b"),
    [(name, *sigmas) for name in BOUNDED for sigmas in [(1.3, 0.0), (0.8, 0.5), (2.5, 0.1), (8.0, 1.0)]]
    + [(name, *sigmas) for name in HALF_LINEAR for sigmas in [(0.8, 0.5), (1.2, 2.0)]],
)
def test_q_star_solves_its_equation(name, sigma_w, sigma_b):
    field = fixed_point(one_layer(name, sigma_w, sigma_b))
    second = mp_gaussian_mean(lambda x: MP_ACTIVATIONS[name](x) ** 2, field.q_star, ACTIVATIONS[name].kinks)
    # q* comes from the growth rate of q, which counts as zero below 1e-14.
    assert field.q_star == pytest.approx(sigma_w**2 * float(second) + sigma_b**2, rel=1e-12)


@pytest.mark.parametrize("sigmas", [(1.5, 0.3), (1.0, 0.0), (4.0, 0.0)])
def test_erf_solves_the_arcsine_equation(sigmas):
    sigma_w, sigma_b = map(mp.mpf, sigmas)
    expected = mp.findroot(
        lambda q: sigma_w**2 * 2 / mp.pi * mp.asin(2 * q / (1 + 2 * q)) + sigma_b**2 - q, sigma_w**2 + sigma_b**2
    )
    assert expected > 0.01  # not the root at 0
    assert fixed_point(one_layer("erf", *sigmas)).q_star == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("sigmas", [(1.5, 0.3), (1.2, 0.0), (4.0, 1.0)])
def test_sin_has_q_star_in_closed_form(sigmas):
    # q = a(1 − e^{−2q}) + b with a = σ_w²/2, b = σ_b²: q = a + b + W(−2a e^{−2(a+b)})/2, Lambert's W.
    a, b = mp.mpf(sigmas[0]) ** 2 / 2, mp.mpf(sigmas[1]) ** 2
    expected = a + b + mp.lambertw(-2 * a * mp.exp(-2 * (a + b))).real / 2
    assert fixed_point(one_layer("sin", *sigmas)).q_star == pytest.approx(float(expected), rel=1e-12)


@settings(deadline=None, derandomize=True)
@given(st.floats(0.1, 1.39), st.floats(0.01, 3))
def test_relu_q_star(sigma_w, sigma_b):
    field = fixed_point(one_layer("relu", sigma_w, sigma_b))
    assert field.q_star == pytest.approx(sigma_b**2 / (1 - sigma_w**2 / 2), rel=1e-11)
    assert field.chi == pytest.approx(sigma_w**2 / 2, rel=1e-14)
    assert field.phase == "ordered"


@settings(deadline=None, derandomize=True)
@given(st.floats(0.1, 0.98), st.floats(0.01, 3))
def test_linear_q_star(sigma_w, sigma_b):
    # 1e-14 of growth rate over a slope of 1 − σ_w² ≥ 0.04 is 3e-13.
    expected = sigma_b**2 / (1 - sigma_w**2)
    assert fixed_point(one_layer("linear", sigma_w, sigma_b)).q_star == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("sigma_b", [1e-4, 1e-7, 1e-30])
@pytest.mark.parametrize("name", ["linear", "tanh"])
def test_tiny_biases_leave_a_tiny_q_star(name, sigma_b):
    # At small q tanh is linear, up to 2q of q.
    expected = sigma_b**2 / (1 - 0.5**2)
    assert fixed_point(one_layer(name, 0.5, sigma_b)).q_star == pytest.approx(expected, rel=1e-6, abs=0)


@pytest.mark.parametrize(
    ("name", "sigma_w", "sigma_b"),
    [
        ("relu", 1.42, 0.0),
        ("relu", 1.42, 0.5),
        ("relu", np.sqrt(2), 0.5),
        ("relu", np.sqrt(2), 1e-5),
        ("linear", 1.01, 0.0),
        ("linear", 1.0, 0.1),
        ("leaky_relu", 1.42, 0.1),
        ("silu", 2.5, 0.1),
        ("linear", 1e90, 0.0),
    ],
)
def test_no_q_star_is_an_error_that_names_sigma_w(name, sigma_w, sigma_b):
    with pytest.raises(
        ValueError, match=r"q\* does not exist.*sigma_w = .*grows (without bound|beyond 1e\+08).*lower sigma_w"
    ) as error:
        fixed_point(one_layer(name, sigma_w, sigma_b))
    assert name in str(error.value)
    assert f"{sigma_w:.6g}" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_bounded_activation_always_has_a_q_star():
    # tanh² ≤ 1 bounds q by σ_w² + σ_b², however large that is; and q* → σ_w² as tanh → sign: E tanh²(√q z) is
    # 1 − O(1/√q), a relative 8e-4 at q = 10⁶: ∫(1 − tanh²) dx/√(2πq) = 2/√(2πq).
    sigma_w = 1500.0
    q_star = fixed_point(one_layer("tanh", sigma_w)).q_star
    assert q_star == pytest.approx(sigma_w**2 * (1 - 2 / np.sqrt(2 * np.pi) / sigma_w), rel=1e-5)


@pytest.mark.parametrize(("name", "sigma_w"), [("relu", np.sqrt(2)), ("linear", 1.0)])
@pytest.mark.parametrize("scale", [1 - 1e-16, 1.0])
def test_where_every_variance_is_fixed_the_network_is_critical(name, sigma_w, scale):
    field = fixed_point(one_layer(name, sigma_w * scale))
    assert field.phase == "critical"
    assert field.chi == pytest.approx(1, abs=1e-15)
    assert field.q_star == 1


@pytest.mark.parametrize("sigma_w", [0.3, 0.9, 1.0])
@pytest.mark.parametrize("name", ["tanh", "hard_tanh", "sin"])
def test_ordered_and_critical_signals_die_out(name, sigma_w):
    # |φ(x)| < |x| and φ′(0) = 1: every signal shrinks, at σ_w = 1 too.
    field = fixed_point(one_layer(name, sigma_w))
    assert field.q_star == 0
    assert (field.mu1, field.mu2, field.rate) == (1, 1, 1)
    assert field.chi == pytest.approx(sigma_w**2)
    assert field.phase == ("critical" if sigma_w == 1 else "ordered")


@pytest.mark.parametrize("excess", [1e-2, 1e-3, 1e-4])
def test_just_above_the_transition(excess):
    # E tanh² = q − 2q² + 17q³/3 − … in 1/σ_w² = E tanh²/q, with σ_w² = 1 + ε, gives q* = ε/2 + 5ε²/24 + O(ε³), and
    # E sech⁴ = 1 − 2q + 7q² − … then gives χ = 1 + ε²/3 + O(ε³). The next coefficients are of order one; 10 is ample.
    field = fixed_point(one_layer("tanh", np.sqrt(1 + excess)))
    assert field.q_star == pytest.approx(excess / 2, abs=excess**2)
    assert field.q_star == pytest.approx(excess / 2 + 5 * excess**2 / 24, abs=10 * excess**3)
    assert field.chi - 1 == pytest.approx(excess**2 / 3, abs=10 * excess**3 + 1e-13)
    assert field.phase == "chaotic"


@pytest.mark.parametrize("sigma_w_squared", [0.7, 1.5, 3.0])
def test_a_length_map_that_falls_has_its_fixed_point_too(sigma_w_squared):
    # cos: E cos²(√q z) = (1 + e^{−2q})/2 falls in q, from σ_w² at q = 0, so the map crosses the diagonal exactly once.
    cos = Activation(np.cos, lambda x: -np.sin(x), name="cos")
    expected = mp.findroot(lambda q: sigma_w_squared * (1 + mp.exp(-2 * q)) / 2 - q, sigma_w_squared / 2)
    q_star = fixed_point(one_layer(cos, np.sqrt(sigma_w_squared))).q_star
    assert q_star == pytest.approx(float(expected), rel=1e-12)


# --- χ, phase, rate, dropout ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "sigma_w", "sigma_b", "phase"),
    [
        ("tanh", 0.9, 0.0, "ordered"),
        ("tanh", 1.0, 0.0, "critical"),
        ("tanh", 1.5, 0.0, "chaotic"),
        ("tanh", 1.5, 2.0, "ordered"),
        ("erf", 0.99 * CRITICAL_ERF, 0.0, "ordered"),
        ("erf", CRITICAL_ERF, 0.0, "critical"),
        ("erf", 1.01 * CRITICAL_ERF, 0.0, "chaotic"),
        ("hard_tanh", 1.0, 0.0, "critical"),
        ("hard_tanh", 1.5, 0.0, "chaotic"),
        ("relu", 1.0, 0.0, "ordered"),
        ("relu", np.sqrt(2), 0.0, "critical"),
        ("linear", 0.999, 1.0, "ordered"),
        ("sin", 1.5, 0.0, "chaotic"),
    ],
)
def test_phases(name, sigma_w, sigma_b, phase):
    assert fixed_point(one_layer(name, sigma_w, sigma_b)).phase == phase


@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_chi_and_moments_at_q_star(name):
    field = fixed_point(one_layer(name, 1.7, 0.4))
    mu1, mu2 = (float(mp_gaussian_mean(lambda x, k=k: MP_SLOPES[name](x) ** (2 * k), field.q_star)) for k in (1, 2))
    assert field.mu1 == pytest.approx(mu1, rel=1e-12)
    assert field.mu2 == pytest.approx(mu2, rel=1e-12)
    assert field.chi == pytest.approx(1.7**2 * mu1, rel=1e-12)
    assert field.rate == pytest.approx(mu2 / mu1**2, rel=1e-12)  # − 1 − s_1 = 0 for Gaussian weights


@pytest.mark.parametrize(
    ("activation", "masked"), [("linear", 0), ("relu", 1), (leaky_relu(0.5), 2 * (1 + 0.5**4) / (1 + 0.5**2) ** 2 - 1)]
)
def test_rate_is_the_spread_of_slopes_plus_that_of_gaussian_weights(activation, masked):
    # μ_2/μ_1² − 1 is 0 for constant slopes, 1 for fair coins; Gaussian weights add −s_1 = 1, orthogonal ones nothing.
    gaussian, orthogonal = (fixed_point(one_layer(activation, weights=w)).rate for w in ("gaussian", "orthogonal"))
    assert gaussian == pytest.approx(masked + 1, rel=1e-14)
    assert orthogonal == pytest.approx(masked, rel=1e-14, abs=1e-15)


@pytest.mark.parametrize("keep", [0.25, 0.9, 1.0])
@pytest.mark.parametrize("name", ["linear", "relu", "tanh", "hard_tanh"])
def test_dropout_scales_the_moments(name, keep):
    # D is φ′/p with probability p, else 0: E D^{2k} = p^{1−2k} μ_k at the same variance.
    with_dropout = layer_moments(one_layer(name, keep=keep), 0.7)
    without = layer_moments(one_layer(name), 0.7)
    assert with_dropout == pytest.approx((without[0] / keep, without[1] / keep**3), rel=1e-14)


def test_dropout_raises_the_variance():
    # E (mask φ)² = E φ²/p: ReLU's q* is σ_b²/(1 − σ_w²/(2p)), and a rate per layer of 2/p − 1 + 1.
    keep = 0.8
    field = fixed_point(one_layer("relu", 1.1, 0.6, keep=keep))
    assert field.q_star == pytest.approx(0.6**2 / (1 - 1.1**2 / (2 * keep)), rel=1e-12)
    assert field.chi == pytest.approx(1.1**2 / (2 * keep), rel=1e-14)
    assert field.rate == pytest.approx(2 / keep, rel=1e-14)
    with pytest.raises(ValueError, match=r"q\* does not exist"):
        fixed_point(one_layer("relu", 1.3, 0.6, keep=keep))


# --- the length map ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tanh", "hard_tanh", "silu"])
def test_length_map_follows_the_recursion(name):
    network = Network((7, 3, 50, 4), name, sigma_w=1.2, sigma_b=0.3)  # widths do not matter
    expected = [1.2**2 * 2.5 + 0.3**2]
    for _ in range(2):
        second = mp_gaussian_mean(lambda x: MP_ACTIVATIONS[name](x) ** 2, expected[-1], ACTIVATIONS[name].kinks)
        expected.append(1.2**2 * float(second) + 0.3**2)
    np.testing.assert_allclose(length_map(network, 2.5), expected, rtol=1e-12)


@settings(deadline=None, derandomize=True)
@given(st.floats(0.5, 1.2), st.floats(0, 2), st.floats(0, 10), st.floats(0.3, 1))
def test_linear_length_map_is_a_geometric_series(sigma_w, sigma_b, variance, keep):
    network = Network.uniform(4, 6, activation="linear", sigma_w=sigma_w, sigma_b=sigma_b, keep=keep)
    a, b = sigma_w**2 / keep, sigma_b**2
    # The inputs themselves are never dropped: the first layer has no 1/p.
    expected = [a**layer * (sigma_w**2 * variance + b) + b * sum(a**j for j in range(layer)) for layer in range(6)]
    np.testing.assert_allclose(length_map(network, variance), expected, rtol=1e-12)


@pytest.mark.parametrize("variance", [1e-3, 1.0, 50.0])
@pytest.mark.parametrize("name", ["tanh", "erf", "hard_tanh", "sigmoid"])
def test_length_map_converges_to_q_star(name, variance):
    network = Network.uniform(4, 200, activation=name, sigma_w=1.6, sigma_b=0.3)
    assert length_map(network, variance)[-1] == pytest.approx(fixed_point(network).q_star, rel=1e-11)


def test_length_map_of_a_dying_signal():
    q = length_map(Network.uniform(4, 100, activation="tanh", sigma_w=0.5), 1.0)
    assert (np.diff(q) < 0).all()
    assert q[-1] < 1e-59  # at most a factor σ_w² = 1/4 a layer: 4^{-100} = 6e-61 of what it was, give or take tanh
    assert q[-1] > 0


@pytest.mark.parametrize("variance", [-1e-9, -1.0, np.nan, np.inf])
@pytest.mark.parametrize(
    "function",
    [
        lambda v: length_map(one_layer("tanh"), v),
        lambda v: gaussian_mean(np.tanh, v),
        lambda v: second_moment(ACTIVATIONS["relu"], v),
        lambda v: slope_moment(ACTIVATIONS["tanh"], v, 1),
        lambda v: layer_moments(one_layer("erf"), v),
    ],
    ids=["length_map", "gaussian_mean", "second_moment", "slope_moment", "layer_moments"],
)
def test_a_variance_out_of_range_is_an_error(function, variance):
    with pytest.raises(ValueError, match=r"variance must be a number from 0 to") as error:
        function(variance)
    assert repr(variance) in str(error.value)


def test_quadrature_ends_where_panels_would_be_too_many():
    for function in (
        lambda v: gaussian_mean(np.tanh, v),
        lambda v: second_moment(ACTIVATIONS["tanh"], v),
        lambda v: slope_moment(ACTIVATIONS["tanh"], v, 1),
    ):
        with pytest.raises(ValueError, match=r"from 0 to 1e\+08, got 110000000.0"):
            function(1.1e8)
    # A closed form has no such end.
    assert second_moment(ACTIVATIONS["relu"], 1e20) == 5e19


def test_a_length_map_that_explodes_is_an_error():
    with pytest.raises(ValueError, match=r"variance must be a number from 0 to .*, got"):
        length_map(Network.uniform(4, 40, activation="softplus", sigma_w=2.0), 1.0)


# --- against random networks ------------------------------------------------------------------------------------------


def _next_variances(network, inputs, n_networks, seed):
    """σ_w² (mean square of x_L) + σ_b² of many networks: what the length map predicts one layer further on."""
    mean_squares = [
        np.mean(sample_activations(network, inputs, rng=child) ** 2)
        for child in np.random.SeedSequence(seed).spawn(n_networks)
    ]
    return network.sigma_w**2 * np.array(mean_squares) + network.sigma_b**2


@pytest.mark.parametrize("weights", ["gaussian", "orthogonal"])
@pytest.mark.parametrize(
    ("name", "sigma_w", "sigma_b"), [("tanh", 1.4, 0.3), ("relu", 1.1, 0.6), ("sigmoid", 2.0, 0.5)]
)
def test_wide_networks_follow_the_length_map(name, sigma_w, sigma_b, weights):
    n_networks, width = 150, 2000
    network = Network((width,) * 4, name, weights, sigma_w, sigma_b)
    inputs = np.random.default_rng(5).standard_normal((4, width))
    inputs *= np.sqrt(width * 0.8) / np.linalg.norm(inputs, axis=1, keepdims=True)
    sampled = _next_variances(network, inputs, n_networks, seed=11)
    value, stderr = mean_and_error(sampled)

    def law(sigma_w_squared):
        longer = Network((width,) * 5, name, weights, np.sqrt(sigma_w_squared), sigma_b)
        return length_map(longer, 0.8)[-1]

    # The law is that of infinite width, off by about 1/2000 at width 2000; a standard error is 1/2000 to 3/1000.
    assert stderr < 4e-3 * value
    # Negative control: weights of 3% less or more variance are another network.
    assert_sampled(value, law(sigma_w**2), stderr, wrong=[law(0.97 * sigma_w**2), law(1.03 * sigma_w**2)])
