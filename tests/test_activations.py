"""Activations: φ′ is the slope of φ, and closed-form moments, quadrature and 30-digit arithmetic agree."""

from dataclasses import replace

import mpmath as mp
import numpy as np
import pytest
from oracles import MP_ACTIVATIONS, MP_SLOPES, mp_gaussian_mean

from rmt_vn import Activation, Network
from rmt_vn.activations import ACTIVATIONS, get, leaky_relu
from rmt_vn.gaussian_averages import gaussian_mean, second_moment, slope_moment
from rmt_vn.mean_field import fixed_point
from rmt_vn.samplers import sample_activations

KINKED = {"relu", "leaky_relu", "hard_tanh"}
SMOOTH = sorted(set(ACTIVATIONS) - KINKED)
CLOSED_FORM = ["linear", "relu", "leaky_relu", "hard_tanh", "erf", "sin"]
QUADRATURE = ["gelu", "sigmoid", "silu", "softplus", "tanh"]
VARIANCES = [0.0, 1e-6, 0.369, 1.0, 10.0, 100.0]
SOFTSIGN = Activation(lambda x: x / (1 + np.abs(x)), lambda x: (1 + np.abs(x)) ** -2.0, (0.0,), "softsign")


def test_the_oracle_and_the_registry_know_the_same_activations():
    assert set(MP_ACTIVATIONS) == set(MP_SLOPES) == set(ACTIVATIONS)
    assert set(CLOSED_FORM) | set(QUADRATURE) == set(ACTIVATIONS)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_phi_is_what_its_name_says(name):
    x = np.linspace(-20, 20, 161)
    expected = [float(MP_ACTIVATIONS[name](mp.mpf(point))) for point in x]
    np.testing.assert_allclose(ACTIVATIONS[name].phi(x), expected, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("name", SMOOTH)
def test_dphi_is_the_derivative_of_a_smooth_phi(name):
    x = np.linspace(-20, 20, 81)
    with mp.workdps(40):
        expected = [float(mp.diff(MP_ACTIVATIONS[name], mp.mpf(point))) for point in x]
    np.testing.assert_allclose(ACTIVATIONS[name].dphi(x), expected, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", sorted(KINKED))
def test_dphi_is_the_one_sided_difference_on_either_side_of_a_kink(name):
    activation = ACTIVATIONS[name]
    step = 2.0**-10  # all points are multiples of the step, so a difference of piecewise linear φ is nearly exact
    x = np.arange(-4, 4, 0.25)
    left = (activation.phi(x) - activation.phi(x - step)) / step
    right = (activation.phi(x + step) - activation.phi(x)) / step
    np.testing.assert_allclose(activation.dphi(x - step / 2), left, rtol=1e-12)
    np.testing.assert_allclose(activation.dphi(x + step / 2), right, rtol=1e-12)
    assert tuple(x[~np.isclose(left, right)]) == activation.kinks


def test_the_slope_of_tanh_keeps_its_digits_where_it_is_small():
    x = np.array([-300.0, -40.0, -9.0, 0.1, 8.0, 15.0, 19.0, 120.0])
    expected = [float(mp.sech(mp.mpf(point)) ** 2) for point in x]
    np.testing.assert_allclose(ACTIVATIONS["tanh"].dphi(x), expected, rtol=1e-15, atol=0)
    assert abs((1 - np.tanh(19.0) ** 2) / expected[6] - 1) > 0.01


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_finite_far_out(name):
    # exp(1000) overflows: the formulas must not meet it.
    x = np.array([-1e5, -1e3, 1e3, 1e5])
    assert np.isfinite(ACTIVATIONS[name].phi(x)).all()
    assert np.isfinite(ACTIVATIONS[name].dphi(x)).all()


@pytest.mark.parametrize("q", VARIANCES)
@pytest.mark.parametrize("name", CLOSED_FORM)
def test_closed_form_moments_agree_with_quadrature(name, q):
    activation = ACTIVATIONS[name]
    by_quadrature = gaussian_mean(lambda x: activation.phi(x) ** 2, q, activation.kinks)
    assert activation.second_moment(q) == pytest.approx(by_quadrature, rel=1e-12, abs=1e-300)
    for k in (1, 2):
        by_quadrature = gaussian_mean(lambda x, k=k: activation.dphi(x) ** (2 * k), q, activation.kinks)
        assert activation.slope_moment(q, k) == pytest.approx(by_quadrature, rel=1e-12)


@pytest.mark.parametrize("q", [1e-6, 0.369, 100.0])
@pytest.mark.parametrize("name", CLOSED_FORM)
def test_closed_form_second_moments_to_thirty_digits(name, q):
    expected = mp_gaussian_mean(lambda x: MP_ACTIVATIONS[name](x) ** 2, q, ACTIVATIONS[name].kinks)
    assert second_moment(ACTIVATIONS[name], q) == pytest.approx(float(expected), rel=1e-12, abs=0)


@pytest.mark.parametrize("q", [0.01, 1.0, pytest.param(100.0, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", QUADRATURE)
def test_quadrature_to_thirty_digits(name, q):
    activation = ACTIVATIONS[name]
    expected = mp_gaussian_mean(lambda x: MP_ACTIVATIONS[name](x) ** 2, q)
    assert second_moment(activation, q) == pytest.approx(float(expected), rel=1e-12)
    for k in (1, 2):
        expected = mp_gaussian_mean(lambda x, k=k: MP_SLOPES[name](x) ** (2 * k), q)
        assert slope_moment(activation, q, k) == pytest.approx(float(expected), rel=1e-12)


def test_gauss_hermite_is_wrong_across_a_kink_and_ours_is_not():
    q = 0.369
    mu1 = float(mp.erf(1 / mp.sqrt(2 * q)))  # P(|√q z| < 1)
    assert mu1 == pytest.approx(0.900, abs=5e-4)
    hard_tanh = ACTIVATIONS["hard_tanh"]
    x, weights = np.polynomial.hermite_e.hermegauss(200)
    gauss_hermite = weights @ hard_tanh.dphi(np.sqrt(q) * x) ** 2 / weights.sum()
    assert abs(gauss_hermite - mu1) > 1e-2
    assert gaussian_mean(lambda x: hard_tanh.dphi(x) ** 2, q, hard_tanh.kinks) == pytest.approx(mu1, abs=1e-12)
    assert slope_moment(hard_tanh, q, 1) == pytest.approx(mu1, abs=1e-12)


def test_flags():
    odd = {name for name, activation in ACTIVATIONS.items() if activation.is_odd}
    homogeneous = {name for name, activation in ACTIVATIONS.items() if activation.is_homogeneous}
    assert odd == {"linear", "tanh", "hard_tanh", "erf", "sin"}
    assert homogeneous == {"linear", "relu", "leaky_relu"}
    assert SOFTSIGN.is_odd
    assert not SOFTSIGN.is_homogeneous


@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0, -0.5])
def test_leaky_relu_of_any_slope(slope):
    activation = leaky_relu(slope)
    np.testing.assert_array_equal(activation.phi(np.array([-2.0, 3.0])), [-2 * slope, 3.0])
    # Half the Gaussian sees slope 1, half the other.
    assert second_moment(activation, 4.0) == pytest.approx(4 * (1 + slope**2) / 2)
    assert slope_moment(activation, 4.0, 2) == pytest.approx((1 + slope**4) / 2)


@pytest.mark.parametrize("sigmas", [(2.0, 0.0), (1.0, 0.5)])
def test_a_users_own_activation_has_a_mean_field(sigmas):
    sigma_w, sigma_b = sigmas
    field = fixed_point(Network((5, 5), SOFTSIGN, sigma_w=sigma_w, sigma_b=sigma_b))

    def moment(f):
        return float(mp_gaussian_mean(f, field.q_star, (0.0,)))

    assert field.q_star == pytest.approx(sigma_w**2 * moment(lambda x: (x / (1 + abs(x))) ** 2) + sigma_b**2, rel=1e-12)
    assert field.mu1 == pytest.approx(moment(lambda x: (1 + abs(x)) ** -4), rel=1e-12)
    assert field.mu2 == pytest.approx(moment(lambda x: (1 + abs(x)) ** -8), rel=1e-12)


def test_a_users_own_kinks_are_heeded():
    # Soft thresholding: sign(x) max(|x| − 1/2, 0), kinks at ±1/2, and μ_k = P(|x| > 1/2) for every k.
    shrink = Activation(
        lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0), lambda x: 1.0 * (np.abs(x) > 0.5), (0.5, -0.5), "shrink"
    )
    field = fixed_point(Network((5, 5), shrink, sigma_w=0.8, sigma_b=1.0))
    second = mp_gaussian_mean(lambda x: max(abs(x) - 0.5, 0) ** 2, field.q_star, shrink.kinks)
    assert field.q_star == pytest.approx(0.64 * float(second) + 1, rel=1e-12)
    tail = float(mp.erfc(0.5 / mp.sqrt(2 * field.q_star)))
    assert (field.mu1, field.mu2) == (pytest.approx(tail, rel=1e-12), pytest.approx(tail, rel=1e-12))


@pytest.mark.parametrize("name", CLOSED_FORM)
def test_a_twin_without_closed_forms_has_the_same_mean_field(name):
    twin = replace(ACTIVATIONS[name], second_moment=None, slope_moment=None)
    known, found = (
        fixed_point(Network((5, 5), activation, sigma_w=0.9, sigma_b=0.7)) for activation in (ACTIVATIONS[name], twin)
    )
    assert found.q_star == pytest.approx(known.q_star, rel=1e-11)  # 1e-12 divided by 1 − slope of the length map
    assert found.rate == pytest.approx(known.rate, rel=1e-11)
    assert found.phase == known.phase


def test_a_users_own_activation_is_sampled():
    x = sample_activations(Network((3, 4, 5), SOFTSIGN), np.eye(3), rng=0)
    assert x.shape == (3, 5)
    assert (np.abs(x) < 1).all()
    assert x.any()


@pytest.mark.parametrize(("phi", "dphi", "label"), [(3, np.cos, "phi"), (np.sin, None, "dphi"), ("sin", np.cos, "phi")])
def test_phi_and_dphi_are_functions(phi, dphi, label):
    with pytest.raises(TypeError, match=f"^{label} must be a function of an array"):
        Activation(phi, dphi)


@pytest.mark.parametrize("kinks", [(np.nan,), (0.0, np.inf), ("a",), (None,), 5], ids=repr)
def test_kinks_are_finite_numbers(kinks):
    with pytest.raises((TypeError, ValueError)) as error:
        Activation(np.sin, np.cos, kinks=kinks)
    assert "kinks must be" in str(error.value)
    assert repr(kinks) in str(error.value)


@pytest.mark.parametrize("slope", [np.nan, np.inf])
def test_a_slope_is_finite(slope):
    with pytest.raises(ValueError, match=f"slope must be a finite number, got {slope}"):
        leaky_relu(slope)


def test_an_average_that_is_not_finite_is_an_error():
    with pytest.raises(ValueError, match=r"average at variance 1\.0 is nan; the function must be finite"):
        gaussian_mean(lambda x: np.full_like(x, np.nan), 1.0)


def test_get_knows_names_and_nothing_else():
    assert get("tanh") is ACTIVATIONS["tanh"]
    with pytest.raises(ValueError, match=r"unknown activation 'tan'; known: linear, .*did you mean 'tanh'"):
        get("tan")
