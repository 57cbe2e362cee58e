"""Numbers that break: arguments at the ends of their ranges, where sums round over their bounds and doubles run out."""

import math
import re
import time
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import mpmath as mp
import numpy as np
import pytest

from rmt_vn import Network, laws, samplers
from rmt_vn.activations import ACTIVATIONS
from rmt_vn.laws.exact import exact_vni_along_depth
from rmt_vn.laws.hyperbolic.masks import live_count_distribution, live_count_quadrature
from rmt_vn.mean_field import length_map, moments_along
from rmt_vn.prediction import predict
from rmt_vn.tables import tabulated

POINTWISE = {
    "universal_vni": laws.universal_vni,
    "universal_vni_complement": laws.universal_vni_complement,
    "correlation_density": lambda x: laws.correlation_density(0.3, x),
    "correlation_cdf": lambda x: laws.correlation_cdf(0.3, x),
    "correlation_p_value": lambda x: laws.correlation_p_value(0.3, x),
    "correlation_quantile": lambda x: laws.correlation_quantile(0.3, x),
    "fuss_catalan_density": lambda x: laws.fuss_catalan_density(2, x),
    "complex_ginibre_density": lambda x: laws.complex_ginibre_density(2, 2, x),
    "spectral_density": lambda x: laws.spectral_density(Network.uniform(5, 2, activation="linear"), x),
    "spectral_distribution": lambda x: laws.spectral_distribution(Network.uniform(5, 2, activation="linear"), x),
}


# --- what is no real number -------------------------------------------------------------------------------------------

NO_NUMBERS = [0.5 + 0j, np.array([0.5 + 0j]), "0.5", np.array(["0.5"]), True, np.array([True]), None, [1, [2]]]


@pytest.mark.parametrize("law", POINTWISE.values(), ids=POINTWISE)
@pytest.mark.parametrize("argument", [*NO_NUMBERS, np.ma.masked_array([0.1, 0.5], [True, False])], ids=repr)
def test_what_is_no_real_number_is_refused_in_one_line(law, argument):
    with pytest.raises(TypeError, match=r"^[^\n]*must be [^\n]*number[^\n]*, got [^\n]*") as refused:
        law(argument)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("law", POINTWISE.values(), ids=POINTWISE)
@pytest.mark.parametrize(
    "kind", [Fraction, Decimal, np.float32, np.longdouble, np.array], ids=lambda kind: kind.__name__
)
def test_real_numbers_of_any_kind_are_taken(law, kind):
    assert np.asarray(law(kind(0.5))) == np.asarray(law(0.5))


# --- bounds -----------------------------------------------------------------------------------------------------------

DEPTHS = np.concatenate([[0.0, 5e-324, 1e-300], np.geomspace(1e-20, 1e5, 400), [1e300, np.inf]])


def test_the_universal_law_stays_between_zero_and_one():
    for law in (laws.universal_vni, laws.universal_vni_complement):
        values = law(DEPTHS)
        assert values.min() >= 0 and values.max() <= 1
    assert laws.universal_vni(1000) == laws.universal_vni(np.inf) == laws.universal_vni_complement(0) == 1


@pytest.mark.parametrize("weights", ["gaussian", "orthogonal"])
@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_exact_vni_is_between_one_over_n_and_one(activation, weights):
    for n in (1, 2, 3, 5, 7, 10, 11, 49):
        for widths in ((n, 1, n), (1, n), (n, n, n), (n,) * 3000):
            network = Network(widths, activation, weights)
            value, complement = laws.exact_vni(network), laws.exact_vni_complement(network)
            assert (1 - 1e-15) / n <= value <= 1
            assert 0 <= complement <= 1
            if 1 in widths[:-1]:
                assert value == pytest.approx(1, abs=1e-14)


def test_probabilities_are_between_zero_and_one():
    rho = np.array([-1.0, -1e-300, 0.0, 5e-324, 1e-300, 1e-16, 1e-3, 0.5, 1 - 1e-16, 1.0])
    wide = Network.uniform(10**9, 2, activation="relu")
    for what in (0.0, 1e-300, np.float32(1), 10**400, wide, Network.uniform(2, 2, activation="linear")):
        for law in (laws.correlation_cdf, laws.correlation_p_value):
            values = law(what, rho)
            assert values.min() >= 0 and values.max() <= 1


def test_an_error_beyond_rounding_is_not_hidden_by_the_bounds(monkeypatch):
    from rmt_vn.laws.hyperbolic import transforms

    monkeypatch.setattr(transforms, "_WEIGHTS", transforms._WEIGHTS * (1 + 1e-9))
    with pytest.raises(ArithmeticError, match="from 0 to 1"):
        laws.universal_vni(np.inf)


# --- masks of wide layers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "probability"), [(300, 0.5), (5000, 0.5), (10**5, 0.9), (10**6, 1e-4), (10**7, 0.5)])
def test_a_hundred_counts_average_as_all_do(n, probability):
    few, all_ = live_count_quadrature(n, probability), live_count_distribution(n, probability)
    assert len(few[0]) < 400
    for smooth in (lambda k: 1 / k, lambda k: 1 / (k * (k - 1) + 31.0**2), lambda k: np.exp(-900 / k)):
        assert few[1] @ smooth(few[0]) == pytest.approx(all_[1] @ smooth(all_[0]), rel=1e-12)


def test_a_wide_layer_of_masks_is_quick_and_right():
    start = time.perf_counter()
    # To the first two orders in 1/n: each of L layers of n/2 live nodes adds 2/n, the inputs 1/n, and 1/n_L is 2/n.
    assert laws.exact_vni(Network.uniform(10**9, 5, activation="relu")) == pytest.approx(11e-9, rel=1e-7)
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize("weights", ["gaussian", "orthogonal"])
@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_all_depths_in_one_pass_are_those_one_by_one(activation, weights):
    network = Network((7, 30, 30, 30, 5, 1, 4, 9, 2), activation, weights, keep=0.8)
    prefixes = [replace(network, widths=network.widths[: depth + 2]) for depth in range(network.depth)]
    np.testing.assert_allclose(
        exact_vni_along_depth(network), [laws.exact_vni(each) for each in prefixes], rtol=1e-13, atol=0
    )


def test_all_depths_of_a_deep_network_are_quick():
    start = time.perf_counter()
    values = exact_vni_along_depth(Network((5, *[10] * 5001), "relu"))
    assert time.perf_counter() - start < 3
    assert values.shape == (5001,) and values[-1] == pytest.approx(1, abs=1e-14)


# --- Fuss–Catalan -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 7, 10**6, 10**15, 10**40])
def test_fuss_catalan_at_any_depth(depth):
    """By bisection on the curve as it is published, at 200 digits."""
    with mp.workdps(200):
        top = (depth + 1) * mp.exp(depth * mp.log1p(mp.mpf(1) / depth))
        for x in (1e-30, 0.3, float(top) / 3, float(top) * (1 - 1e-9)):
            low, high = mp.mpf(10) ** -40 / (depth + 1), mp.pi / (depth + 1)

            def log_x(phi):
                sines = mp.log(mp.sin(phi)) + depth * mp.log(mp.sin(depth * phi))
                return (depth + 1) * mp.log(mp.sin((depth + 1) * phi)) - sines

            for _ in range(350):
                middle = (low + high) / 2
                low, high = (middle, high) if log_x(middle) > mp.log(mp.mpf(x)) else (low, middle)
            logs = (depth - 1) * mp.log(mp.sin(depth * low)) - depth * mp.log(mp.sin((depth + 1) * low))
            density = mp.sin(low) ** 2 * mp.exp(logs) / mp.pi
            assert laws.fuss_catalan_density(depth, x) == pytest.approx(float(density), rel=1e-12)
        assert laws.fuss_catalan_density(depth, float(top) * (1 + 1e-9)) == 0


# --- scales far from 1 ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sigma_w", "depth"), [(0.1, 90), (0.1, 120), (0.1, 154), (10.0, 90), (10.0, 150)])
def test_edges_far_from_one(sigma_w, depth):
    low, high = laws.spectral_edges(Network.uniform(10, depth, activation="linear", sigma_w=sigma_w))
    log_top = (depth + 1) * math.log(depth + 1) - depth * math.log(depth) + 2 * depth * math.log(sigma_w)
    assert low == 0 and math.log(high) == pytest.approx(log_top, abs=1e-10)


@pytest.mark.parametrize(("sigma_w", "weights"), [(1e-3, "gaussian"), (1e3, "gaussian"), (1e-3, "orthogonal")])
def test_eigenvalues_beyond_doubles_are_told(sigma_w, weights):
    network = Network.uniform(10, 200, activation="relu", sigma_w=sigma_w, weights=weights)
    for law in (laws.spectral_edges, lambda network: laws.spectral_density(network, 1.0)):
        with pytest.raises(ValueError, match=rf"range of doubles.*sigma_w, got {sigma_w}"):
            law(network)
    network = replace(network, activation=ACTIVATIONS["linear"], weights="orthogonal")
    with pytest.raises(ValueError, match="range of doubles"):
        laws.spectral_atoms(network)


def test_a_variance_that_grows_beyond_its_range_names_what_to_lower():
    for network, variance in (
        (Network.uniform(100, 400, activation="linear", sigma_w=10), 1.0),
        (Network.uniform(3, 2, activation="linear", sigma_w=1e99), 1e200),
        (Network.uniform(3, 9, activation="gelu", sigma_w=10), 1.0),
    ):
        told = f"lower sigma_w, got {network.sigma_w:g}, or input_variance, got {variance:g}"
        with pytest.raises(ValueError, match=re.escape(told)):
            length_map(network, variance)


# --- very deep networks -----------------------------------------------------------------------------------------------


def test_a_table_is_its_function():
    calls = []

    def function(x):
        calls.append(x)
        return math.log(math.expm1(math.exp(x)))

    table = tabulated(function)
    x = np.random.default_rng(1).uniform(-30, 0, 2000)
    # The function has a zero in the range, next to which an absolute rounding error is all that can be asked for.
    np.testing.assert_allclose([table(each) for each in x], np.log(np.expm1(np.exp(x))), rtol=2e-14, atol=2e-15)
    assert len(calls) <= 30 * 22


def test_a_deep_length_map_and_its_moments_against_hermite():
    """Critical tanh, whose variances fall as 1/(2l) and never repeat: by Gauss and Hermite, good where q is small."""
    network = Network.uniform(3, 3000, activation="tanh")
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights = weights / weights.sum()
    q = np.empty(3000)
    q[0] = 0.02
    for layer in range(1, 3000):
        q[layer] = weights @ np.tanh(np.sqrt(q[layer - 1]) * nodes) ** 2
    np.testing.assert_allclose(length_map(network, 0.02), q, rtol=1e-11)
    slopes = np.cosh(np.sqrt(q[:, None]) * nodes) ** -2.0
    truth = np.stack([slopes**2 @ weights, slopes**4 @ weights], axis=1)
    np.testing.assert_allclose(moments_along(network, q), truth, rtol=1e-12)
    t = 1 / 3 + (truth[:-1, 1] / truth[:-1, 0] ** 2).sum() / 3
    assert laws.effective_depth(network, input_variance=0.02) == pytest.approx(t, rel=1e-10)


def test_very_deep_networks_are_quick():
    network = Network.uniform(10, 50_000, activation="tanh")
    start = time.perf_counter()
    assert laws.effective_depth(network, input_variance=1.0) > 5000
    assert time.perf_counter() - start < 10


# --- large variances --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "activation",
    [
        "tanh",
        "hard_tanh",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("gelu", "sin", "softplus", "silu")),
    ],
)
def test_spectra_at_large_variances_against_products(activation):
    """Brute force: 12 networks of 200 nodes, two layers, whose spectra scatter by far less than twelve times 1/200."""
    network = Network.uniform(200, 2, activation=activation, sigma_w=1.5)
    phi, slope = network.activation.phi, network.activation.dphi
    rng = np.random.default_rng(3)
    values = []
    for _ in range(12):
        x, jacobian = rng.standard_normal(200) * np.sqrt(1000), np.eye(200)
        for _ in range(2):
            w = 1.5 / np.sqrt(200) * rng.standard_normal((200, 200))
            h = w @ x
            x, jacobian = phi(h), slope(h)[:, None] * (w @ jacobian)
        values.append(np.linalg.svd(jacobian, compute_uv=False) ** 2)
    x = np.array([0.1, 1.0, 4.0])
    fractions = np.mean(np.array(values)[:, :, None] <= x, axis=1)
    stderr = fractions.std(axis=0, ddof=1) / np.sqrt(12)
    start = time.perf_counter()
    law = laws.spectral_distribution(network, x, input_variance=1000.0)
    assert time.perf_counter() - start < 20
    assert np.all(np.abs(fractions.mean(axis=0) - law) < 4 * stderr + 2 / 200)
    if activation != "sin":  # which looks the same at any variance
        other = laws.spectral_distribution(network, x, input_variance=300.0)
        assert np.abs(other - law).max() > 4 * stderr.max() or activation in ("gelu", "softplus", "silu")


def test_variances_beyond_the_range_are_told_at_once():
    for network in (
        Network.uniform(5, 1, activation="softplus", sigma_w=1e6),
        Network.uniform(5, 3, activation="tanh", sigma_w=1e6),
    ):
        start = time.perf_counter()
        with pytest.raises(ValueError, match=r"from 0 to 1e\+08, got"):
            laws.spectral_density(network, 1.0, input_variance=1.0)
        assert time.perf_counter() - start < 1


def test_spectra_too_narrow_to_be_found_are_told():
    network = Network.uniform(5, 1, activation="tanh", weights="orthogonal")
    with pytest.raises(ArithmeticError, match="too close together"):
        laws.spectral_density(network, 1.0, input_variance=1e-10)


def test_the_few_eigenvalues_above_zero_are_found_wherever_they_are():
    """Hard tanh at a large variance: p = P(|h| < 1) is tiny, and the rest of a Gaussian layer from σ_w² (1 ± √p)²."""
    network = Network.uniform(10, 1, activation="hard_tanh", sigma_w=1.5)
    low, high = laws.spectral_edges(network, input_variance=4e7)
    alive = math.erf(1 / math.sqrt(2 * 2.25 * 4e7))
    assert (low, high) == pytest.approx((2.25 * (1 - alive**0.5) ** 2, 2.25 * (1 + alive**0.5) ** 2), rel=1e-9)


# --- what underflows in samplers --------------------------------------------------------------------------------------

MP_LOG_SLOPES = {
    "tanh": lambda x: mp.log(mp.sech(x) ** 2),
    "erf": lambda x: mp.log(2 / mp.sqrt(mp.pi)) - x * x,
    "sigmoid": lambda x: -mp.log(4 * mp.cosh(x / 2) ** 2),
    "softplus": lambda x: -mp.log(1 + mp.exp(-x)),
    "gelu": lambda x: mp.log(abs(mp.erfc(-x / mp.sqrt(2)) / 2 + x * mp.npdf(x))),
    "silu": lambda x: mp.log(abs((1 + mp.exp(-x) + x * mp.exp(-x)) / (1 + mp.exp(-x)) ** 2)),
}


@pytest.mark.parametrize("name", MP_LOG_SLOPES)
def test_logarithms_of_slopes_against_mpmath(name):
    x = np.array([-3000.0, -800, -40, -6, -1.5, -0.9, -0.2, 0.0, 0.4, 5, 50, 3000])
    with mp.workdps(40):
        truth = [float(MP_LOG_SLOPES[name](mp.mpf(each))) for each in x]
    np.testing.assert_allclose(ACTIVATIONS[name].log_slope(x), truth, rtol=1e-13, atol=1e-14)


def true_vni(network, variance, rng):
    """VNI of one network by products in mpmath, in which nothing underflows."""
    with mp.workdps(40):
        x = mp.matrix((rng.standard_normal(network.widths[0]) * np.sqrt(variance)).tolist())
        jacobian = mp.eye(network.widths[0])
        for n_in, n_out in zip(network.widths[:-1], network.widths[1:], strict=True):
            w = mp.matrix((rng.standard_normal((n_out, n_in)) * network.sigma_w / np.sqrt(n_in)).tolist())
            h = w * x
            jacobian = w * jacobian
            for i in range(n_out):
                size = mp.exp(MP_LOG_SLOPES[network.activation.name](h[i]))
                for j in range(network.widths[0]):
                    jacobian[i, j] *= size
            x = mp.matrix([MP_PHI[network.activation.name](each) for each in h])
        covariance = jacobian * jacobian.T
        n = network.widths[-1]
        squares = [covariance[i, j] ** 2 / (covariance[i, i] * covariance[j, j]) for i in range(n) for j in range(n)]
        return float(sum(squares) / n**2)


MP_PHI = {"gelu": lambda x: x * mp.erfc(-x / mp.sqrt(2)) / 2, "softplus": lambda x: mp.log1p(mp.exp(x))}


@pytest.mark.parametrize("name", MP_PHI)
@pytest.mark.parametrize("method", ["jacobian", "chain"])
def test_slopes_that_underflow_in_a_bottleneck(name, method):
    """A layer of two nodes at large variance: where the slopes of both underflow, the network is not to be drawn anew.

    The signs of GELU's slopes are lost with them, which no VNI sees. Without the logarithms GELU's mean is 0.03 lower.
    """
    network = Network((4, 2, 4), name)
    rng = np.random.default_rng(5)
    truth = np.array([true_vni(network, 1e6, rng) for _ in range(200)])
    sampled = samplers.sample_vni(network, 20_000, method=method, input_variance=1e6, rng=1)
    stderr = np.hypot(truth.std(ddof=1) / np.sqrt(len(truth)), sampled.stderr)
    assert abs(sampled.value - truth.mean()) < 4 * stderr


def test_nodes_whose_slopes_underflow_are_live_nodes():
    """After one layer of n nodes VNI is (1/n)(1 + (n − 1)/n_0), at any variance: exactly, whatever φ."""
    for name in ("gelu", "silu", "tanh", "sigmoid", "softplus", "erf"):
        for method in ("jacobian", "chain"):
            sampled = samplers.sample_vni(Network((9, 5), name), 4000, method=method, input_variance=1e6, rng=2)
            assert abs(sampled.value - (1 + 4 / 9) / 5) < 4 * sampled.stderr


@pytest.mark.parametrize("activation", ["gelu", "silu", "softplus", "sigmoid", "tanh", "erf"])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_bottlenecks_at_large_variance_have_no_warning(activation, n):
    network = Network((8, n, 8), activation)
    for method in ("jacobian", "chain"):
        sampled = samplers.sample_vni(network, 50, method=method, input_variance=1e4, rng=1)
        assert sampled.value == pytest.approx(1, abs=1e-12) if n == 1 else 1 / 8 < sampled.value < 1 + 1e-12


def test_a_prediction_with_a_bottleneck_at_large_variance():
    network = Network((64, 32, 2, 32, 64), "gelu", sigma_w=1.5)
    last = predict(network, input_variance=10_000).layers[-1]
    low, high = last.interval()
    assert 1 / 64 < low < high <= 1


def test_singular_values_of_slopes_that_underflow():
    """One layer: those of D W, against mpmath's of the same draw."""
    network = Network((3, 3), "tanh")
    found = samplers.sample_log_singular_values(network, 5, rng=7, input_variance=1e4, method="matrices")
    assert np.all(np.isfinite(found)) and found.min() < -300
    rng = np.random.default_rng(7)
    x = rng.standard_normal((5, 3))
    x *= np.sqrt(3e4) / np.linalg.norm(x, axis=1, keepdims=True)
    for row, inputs in zip(found, x, strict=True):
        w = rng.standard_normal((3, 3)) / np.sqrt(3)
        rng.standard_normal(3)  # biases
        h = w @ inputs
        with mp.workdps(2000):
            product = mp.diag([mp.sech(mp.mpf(each)) ** 2 for each in h.tolist()]) * mp.matrix(w.tolist())
            truth = [float(mp.log(each)) for each in mp.svd_r(product, compute_uv=False)]
        np.testing.assert_allclose(row, truth, rtol=1e-9)


def test_slopes_too_small_for_singular_values_are_told():
    for variance in (1e7, 1e30):
        with pytest.raises(ValueError, match="variance of the inputs"):
            samplers.sample_log_singular_values(Network((3, 3), "gelu"), 5, rng=7, input_variance=variance)


@pytest.mark.parametrize("entries", [(1e-200, 1e200), (1e-300, 1e300, 1.0), (5e-324, 1e308)])
def test_singular_values_further_apart_than_doubles_divide(entries):
    found = samplers.log_singular_values([np.diag(entries)])
    np.testing.assert_allclose(found, np.sort(np.log(entries))[::-1], rtol=1e-12, atol=1e-12)


def test_rows_of_any_size():
    rng = np.random.default_rng(1)
    matrices = [10.0 ** rng.uniform(-300, 300, (3, 1)) * rng.standard_normal((3, 3)) for _ in range(3)]
    with mp.workdps(3000):
        product = mp.eye(3)
        for each in matrices:
            product = mp.matrix(each.tolist()) * product
        truth = [float(mp.log(each)) for each in mp.svd_r(product, compute_uv=False)]
    np.testing.assert_allclose(samplers.log_singular_values(matrices), truth, rtol=1e-12)


@pytest.mark.parametrize("activation", ["linear", "relu", "leaky_relu"])
def test_inputs_at_zero_are_the_limit_of_small_ones(activation):
    network = Network((6, 5, 4), activation)
    for method in ("jacobian", "chain"):
        at_zero, small = (
            samplers.sample_vni(network, 2000, method=method, input_variance=v, rng=3).value for v in (0, 1.0)
        )
        assert at_zero == small


def test_weights_of_any_scale_under_and_overflow_nowhere():
    for sigma_w in (1e-100, 1e100):
        for activation in ("linear", "relu", "tanh", "gelu"):
            network = Network((6, 5, 4), activation, sigma_w=sigma_w)
            if activation in ("linear", "relu") or sigma_w < 1:
                assert 0 < samplers.sample_vni(network, 20, method="jacobian", rng=1).value < 1
    with pytest.raises(OverflowError, match="sigma_w"):
        samplers.sample_vni(Network.uniform(4, 5, activation="gelu", sigma_w=1e90), 5, rng=1, input_variance=1.0)
