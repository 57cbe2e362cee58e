"""S2, the annealed moments; S5, gradients; S7, wide inputs."""

from itertools import pairwise

import numpy as np
import pytest

from rmt_vn import Network, laws
from rmt_vn.laws.annealed import log_trace_moments
from rmt_vn.mean_field import fixed_point


def trace_moments(network):
    return np.exp(log_trace_moments(network))


@pytest.mark.parametrize(("n", "depth"), [(2, 1), (2, 30), (3, 4), (20, 10), (50, 50), (1000, 500)])
def test_linear_gaussian_closed_form(n, depth):
    a, b = (n**2 + 2 * n) * (1 + 2 / n) ** depth, (n**2 - n) * (1 - 1 / n) ** depth
    ours = laws.annealed_participation(Network.uniform(n, depth, activation="linear"))
    assert ours == pytest.approx((a - b) / (a + 2 * b), rel=1e-11)


def test_published_value():
    assert round(laws.annealed_participation(Network.uniform(50, 50, activation="linear")), 3) == 0.868


def zonal_gaussian_step(traces, n_in, n_out):
    """One linear Gaussian layer through the zonal polynomials Z_(2) = (Tr)² + 2 Tr², Z_(11) = (Tr)² − Tr²."""
    square, pair = traces
    z2 = (pair + 2 * square) * n_out * (n_out + 2) / n_in**2
    z11 = (pair - square) * n_out * (n_out - 1) / n_in**2
    return (z2 - z11) / 3, (z2 + 2 * z11) / 3


def haar_fourth_moment(n, rows, columns):
    """E Π o_{i_k j_k} over four entries: Σ over pairings p of rows, q of columns, Wg(p, q), for Haar O(n), n > 1."""
    pairings = (((0, 1), (2, 3)), ((0, 2), (1, 3)), ((0, 3), (1, 2)))
    total = 0.0
    for p in pairings:
        for q in pairings:
            if all(rows[a] == rows[b] for a, b in p) and all(columns[a] == columns[b] for a, b in q):
                total += ((n + 1) if p == q else -1) / (n * (n - 1) * (n + 2))
    return total


def entrywise_step(c, n_out, ratio, fourth_moment):
    """(E Tr C′², E (Tr C′)²), C′ = D W c Wᵀ D with diagonal c, summed entry by entry; E d² = 1, E d⁴ = `ratio`."""
    square = pair = 0.0
    for i in range(n_out):
        for j in range(n_out):
            scale = ratio if i == j else 1.0
            for a, c_a in enumerate(c):
                for b, c_b in enumerate(c):
                    square += scale * c_a * c_b * fourth_moment((i, j, i, j), (a, a, b, b))
                    pair += scale * c_a * c_b * fourth_moment((i, i, j, j), (a, a, b, b))
    return square, pair


def gaussian_fourth_moment(n_in):
    def moment(rows, columns):
        pairings = (((0, 1), (2, 3)), ((0, 2), (1, 3)), ((0, 3), (1, 2)))
        same = [all(rows[a] == rows[b] and columns[a] == columns[b] for a, b in p) for p in pairings]
        return sum(same) / n_in**2

    return moment


def semi_orthogonal_fourth_moment(n_in, n_out):
    n = max(n_in, n_out)
    return lambda rows, columns: (n / n_in) ** 2 * haar_fourth_moment(n, rows, columns)


def fourth_moment_of(weights, n_in, n_out):
    if weights == "gaussian":
        return gaussian_fourth_moment(n_in)
    return semi_orthogonal_fourth_moment(n_in, n_out)


def test_oracle_of_haar_moments():
    # Values in print: E o_11⁴ = 3/(n(n + 2)), and Σ_j o_11² o_1j² = o_11², of mean 1/n.
    for n in (2, 3, 7):
        assert haar_fourth_moment(n, (0,) * 4, (0,) * 4) == pytest.approx(3 / (n * (n + 2)))
        both = sum(haar_fourth_moment(n, (0,) * 4, (0, 0, j, j)) for j in range(n))
        assert both == pytest.approx(1 / n)


SHAPES = [(2, 2), (3, 5), (5, 3), (4, 1), (1, 4), (6, 2)]


@pytest.mark.parametrize(("n_in", "n_out"), [*SHAPES, (1, 1)])
def test_one_gaussian_layer_by_zonal_polynomials(n_in, n_out):
    # C_0 = 1: Tr C² = n_in, (Tr C)² = n_in².
    ours = trace_moments(Network((n_in, n_out), activation="linear"))
    assert ours == pytest.approx(zonal_gaussian_step((n_in, n_in**2), n_in, n_out), rel=1e-12)


def test_rectangular_gaussian_products_by_zonal_polynomials():
    widths, traces = (4, 7, 2, 9, 3), (4, 16)
    for n_in, n_out in pairwise(widths):
        traces = zonal_gaussian_step(traces, n_in, n_out)
    assert trace_moments(Network(widths, activation="linear")) == pytest.approx(traces, rel=1e-12)


@pytest.mark.parametrize("weights", ["gaussian", "orthogonal"])
@pytest.mark.parametrize("keep", [1.0, 0.5])
@pytest.mark.parametrize(("n_in", "n_out"), SHAPES)
def test_one_layer_entry_by_entry(n_in, n_out, keep, weights):
    # Dropout on a linear layer: E d² = 1/p and E d⁴ = 1/p³.
    traces = entrywise_step(np.ones(n_in), n_out, 1 / keep, fourth_moment_of(weights, n_in, n_out))
    network = Network((n_in, n_out), activation="linear", weights=weights, keep=keep)
    assert trace_moments(network) == pytest.approx(np.array(traces) / keep**2, rel=1e-12)


@pytest.mark.parametrize("weights", ["gaussian", "orthogonal"])
@pytest.mark.parametrize("widths", [(4, 3, 5), (3, 5, 2), (2, 4, 4), (5, 2, 3)])
def test_two_layers_entry_by_entry(widths, weights):
    # The second layer sees C = diag(c) of any c: the recursion is linear in (Tr C², (Tr C)²), so two spectra give it.
    n_0, n_1, n_2 = widths
    spectra = np.array([[1.0] * n_1, [1.0] + [0.0] * (n_1 - 1)])
    before = np.array([[np.sum(c**2), np.sum(c) ** 2] for c in spectra])
    moment = fourth_moment_of(weights, n_1, n_2)
    after = np.array([entrywise_step(c, n_2, 2.0, moment) for c in spectra])
    step = np.linalg.solve(before, after)
    first = np.array(entrywise_step(np.ones(n_0), n_1, 2.0, fourth_moment_of(weights, n_0, n_1)))
    # ReLU: E d² = E d⁴ = 1/2, so μ_2/μ_1² = 2 and every layer brings (1/2)².
    ours = trace_moments(Network(widths, activation="relu", weights=weights))
    assert ours == pytest.approx(first @ step / 16, rel=1e-12)


@pytest.mark.parametrize("weights", ["gaussian", "orthogonal"])
def test_any_slopes_at_the_fixed_point(weights):
    network = Network((3, 4), activation="tanh", weights=weights, sigma_w=1.7)
    field = fixed_point(network)
    traces = entrywise_step(np.ones(3), 4, field.mu2 / field.mu1**2, fourth_moment_of(weights, 3, 4))
    assert trace_moments(network) == pytest.approx(np.array(traces) * field.chi**2, rel=1e-12)


def test_rotations_change_nothing():
    network = Network.uniform(6, 1000, activation="linear", weights="orthogonal", sigma_w=0.5)
    assert log_trace_moments(network) == pytest.approx(np.log([6, 36]) + 1000 * 4 * np.log(0.5), rel=1e-12)


@pytest.mark.parametrize("weights", ["gaussian", "orthogonal"])
@pytest.mark.parametrize("sigma_w", [0.01, 1.0, 100.0])
def test_a_hundred_thousand_layers(weights, sigma_w):
    network = Network.uniform(5, 10**5, activation="relu", weights=weights, sigma_w=sigma_w)
    square, pair = log_trace_moments(network)
    assert np.isfinite([square, pair]).all()
    # The scale enters as σ_w⁴ a layer and nowhere else.
    unit = log_trace_moments(Network.uniform(5, 10**5, activation="relu", weights=weights))
    assert square - unit[0] == pytest.approx(4e5 * np.log(sigma_w), rel=1e-9, abs=1e-6)
    assert 1 / 5 <= laws.annealed_participation(network) <= 1


def test_depth_merges_all_nodes():
    # λ_2/λ_1 → 0: Tr C² and (Tr C)² grow alike, and their ratio tends to one.
    assert laws.annealed_participation(Network.uniform(50, 5000, activation="linear")) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("weights", ["gaussian", "orthogonal"])
@pytest.mark.parametrize("activation", ["linear", "relu", "hard_tanh"])
@pytest.mark.parametrize("profile", [(1, 1, 1, 1), (2, 1, 3, 2, 1)])
def test_first_order_law_is_the_annealed_first_order(profile, activation, weights):
    kind = {"activation": activation, "weights": weights, "sigma_w": 1.0 if activation != "hard_tanh" else 1.5}
    networks = [Network(tuple(scale * n for n in profile), **kind) for scale in (2000, 4000, 8000)]
    errors = np.array([abs(laws.annealed_participation(n) - laws.first_order_vni(n)) for n in networks])
    if activation == "linear" and weights == "orthogonal" and len(set(profile)) == 1:
        assert errors == pytest.approx(0, abs=1e-12)
    else:
        # Halving 1/N must quarter what the first order leaves; corrections to the slope are of order 1/N.
        assert np.diff(np.log(errors)) / np.log(2) == pytest.approx([-2, -2], abs=0.05)


@pytest.mark.parametrize("weights", ["gaussian", "orthogonal"])
def test_gradients_of_wide_layers_grow_as_chi_to_the_depth(weights):
    # The signal mode is one direction of n: what it adds goes as 1/n.
    deviations = []
    for width in (10**4, 10**5, 10**6):
        network = Network.uniform(width, 12, activation="tanh", weights=weights, sigma_w=1.6, sigma_b=0.1)
        growth, chi = laws.gradient_growth(network), fixed_point(network).chi
        deviations.append(np.abs(growth / chi ** np.arange(12.0, -1, -1) - 1).max())
    assert deviations[1:] == pytest.approx([deviations[0] / 10, deviations[0] / 100], rel=0.01)
    assert deviations[0] < 30 / 10**4


@pytest.mark.parametrize(
    ("kind", "chi"),
    [
        ({"activation": "linear", "sigma_w": 0.9}, 0.81),
        ({"activation": "relu", "sigma_w": 2**0.5}, 1.0),
        ({"activation": "relu", "sigma_w": 2.0, "weights": "orthogonal"}, 2.0),
        ({"activation": "relu", "sigma_w": 1.0, "keep": 0.8}, 1 / 1.6),
        ({"activation": "linear", "sigma_w": 1.0, "keep": 0.25}, 4.0),
    ],
)
def test_gradients_do_not_depend_on_the_widths(kind, chi):
    assert laws.gradient_growth(Network((5, 90, 2, 30, 7), **kind)) == pytest.approx(
        chi ** np.array([4.0, 3, 2, 1, 0]), rel=1e-12
    )


def test_gradients_along_the_length_map():
    # erf has closed forms: μ_1 = (4/π)/√(1 + 4q), E φ² = (2/π) arcsin(2q/(1 + 2q)).
    q, chi = 1.3**2 * 4.0, []
    for _ in range(3):
        chi.append(1.3**2 * 4 / np.pi / np.sqrt(1 + 4 * q))
        q = 1.3**2 * 2 / np.pi * np.arcsin(2 * q / (1 + 2 * q))
    network = Network((5 * 10**8, 8 * 10**8, 3 * 10**8, 4 * 10**8), activation="erf", sigma_w=1.3)
    expected = [chi[0] * chi[1] * chi[2], chi[1] * chi[2], chi[2], 1]
    # Where layers are so wide that the signal mode, one direction of n, adds less than 1e-7.
    assert laws.gradient_growth(network, input_variance=4.0) == pytest.approx(expected, rel=1e-7)


def test_gradients_beyond_the_doubles_are_infinite_or_zero():
    for sigma_w, end in ((100.0, np.inf), (0.01, 0.0)):
        growth = laws.gradient_growth(Network.uniform(3, 1000, activation="linear", sigma_w=sigma_w))
        assert growth[0] == end
        assert growth[-1] == 1


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("wrong", [-1.0, np.nan])
def test_impossible_variance_of_the_inputs_of_gradients(wrong, activation):
    with pytest.raises(ValueError, match=f"input_variance.*{wrong}"):
        laws.gradient_growth(Network.uniform(3, 4, activation=activation), input_variance=wrong)
