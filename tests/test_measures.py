"""Measures: the VNI and its relatives against the double loop of their definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statistics_checks import assert_sampled, mean_and_error

from rmt_vn.measures import (
    correlation,
    jacobian_correlation,
    jacobian_participation_ratio,
    jacobian_vni,
    participation_ratio,
    plug_in_vni,
    vni,
)

properties = settings(deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)
SHAPES = [(2, 2), (2, 9), (40, 1), (40, 7), (12, 12), (7, 40), (300, 5)]


def gaussian(shape, seed=0):
    """Independent nodes mixed at random, so that correlations of all sizes occur."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal(shape) @ rng.standard_normal((shape[1], shape[1]))


def naive_vni(x):
    """(1/N²) Σ_ij ρ_ij², one pair at a time."""
    n = x.shape[1]
    return sum(np.corrcoef(x[:, i], x[:, j])[0, 1] ** 2 for i in range(n) for j in range(n)) / n**2


def orthonormal_nodes(n_samples, n_nodes, seed=0):
    """Nodes of mean 0, variance 1/n_samples and no correlation over the samples, all exactly."""
    columns = np.random.default_rng(seed).standard_normal((n_samples, n_nodes))
    return np.linalg.qr(columns - columns.mean(axis=0))[0]


# --- the VNI of activations -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)  # few samples and many, more than nodes and fewer: three ways
def test_vni_is_the_double_loop(shape):
    x = gaussian(shape)
    result = vni(x)
    assert result.plug_in == pytest.approx(naive_vni(x), rel=1e-12)
    assert plug_in_vni(x) == pytest.approx(naive_vni(x), rel=1e-12)
    assert (result.n_samples, result.n_nodes, result.constant_nodes) == (*shape, 0)


def test_vni_of_more_nodes_than_many_samples():
    x = gaussian((300, 1000))
    expected = np.mean(np.corrcoef(x.T) ** 2)
    assert vni(x).plug_in == pytest.approx(expected, rel=1e-12)
    assert plug_in_vni(x) == pytest.approx(expected, rel=1e-12)


@properties
@given(st.integers(1, 6), st.integers(1, 8), seeds)
def test_m_groups_of_identical_nodes_count_as_m(m, size, seed):
    groups = orthonormal_nodes(12, m, seed)
    assert vni(np.repeat(groups, size, axis=1)).plug_in == pytest.approx(1 / m, rel=1e-12)


@properties
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_unequal_groups_count_by_their_squared_shares(sizes):
    groups = orthonormal_nodes(12, len(sizes))
    expected = sum(size**2 for size in sizes) / sum(sizes) ** 2
    assert vni(np.repeat(groups, sizes, axis=1)).plug_in == pytest.approx(expected, rel=1e-12)


@properties
@given(st.integers(2, 15), st.integers(1, 15), seeds)
def test_vni_lies_between_one_over_n_and_one(n_samples, n_nodes, seed):
    x = np.random.default_rng(seed).standard_normal((n_samples, n_nodes))
    value = vni(x).plug_in
    # The correlation matrix has trace N and rank at most P − 1, so its mean square is at least 1/(P − 1) too.
    assert max(1 / n_nodes, 1 / (n_samples - 1)) * (1 - 1e-12) <= value <= 1 + 1e-12


@properties
@given(st.integers(2, 12), st.integers(1, 12), seeds, st.data())
def test_vni_does_not_see_order_scale_sign_shift_or_duplication(n_samples, n_nodes, seed, data):
    x = np.random.default_rng(seed).standard_normal((n_samples, n_nodes))
    value = pytest.approx(vni(x).plug_in, rel=1e-9)  # a shift by 1000 costs three of the sixteen digits

    def per_node(elements):
        return np.array(data.draw(st.lists(elements, min_size=n_nodes, max_size=n_nodes)))

    nodes, samples = (data.draw(st.permutations(range(n))) for n in (n_nodes, n_samples))
    assert vni(x[:, nodes]).plug_in == value
    assert vni(x[samples]).plug_in == value
    assert vni(x * per_node(st.floats(1e-6, 1e6))).plug_in == value
    assert vni(x * per_node(st.sampled_from([-1, 1]))).plug_in == value
    assert vni(x + per_node(st.floats(-1e3, 1e3))).plug_in == value
    assert vni(np.tile(x, 3)).plug_in == value
    assert vni(np.tile(x, (3, 1))).plug_in == value


def test_the_bias_of_few_samples_is_the_one_documented():
    # For independent Gaussian nodes E ρ² = 1/(P − 1).
    n_samples, n_nodes, repeats = 12, 20, 2000
    rng = np.random.default_rng(3)
    values = np.array([plug_in_vni(rng.standard_normal((n_samples, n_nodes))) for _ in range(repeats)])
    value, stderr = mean_and_error(values)

    def law(mean_square):
        return 1 / n_nodes + (1 - 1 / n_nodes) * mean_square

    # Negative controls: the bias forgotten, and the mean forgotten to have cost one degree of freedom.
    assert_sampled(value, law(1 / (n_samples - 1)), stderr, wrong=[law(0), law(1 / n_samples)])


@pytest.mark.parametrize("shape", SHAPES)
def test_correlation_is_numpys(shape):
    x = gaussian(shape)
    rho = correlation(x)
    np.testing.assert_allclose(rho, np.atleast_2d(np.corrcoef(x.T)), atol=1e-12)


@pytest.mark.parametrize("scale", [1e300, 1e-300, 1.5e308, 1e-290])
def test_extreme_magnitudes(scale):
    x = np.clip(gaussian((30, 5)) / 10, -1, 1)
    expected = naive_vni(x)
    assert vni(x * scale).plug_in == pytest.approx(expected, rel=1e-12)
    assert participation_ratio(x * scale) == pytest.approx(participation_ratio(x), rel=1e-12)
    assert jacobian_vni(x * scale) == pytest.approx(jacobian_vni(x), rel=1e-12)
    assert jacobian_participation_ratio(x * scale) == pytest.approx(jacobian_participation_ratio(x), rel=1e-12)


def test_every_node_has_a_scale_of_its_own():
    x = gaussian((30, 3))
    result = vni(x * [1e300, 1.0, 1e-300])
    assert result.constant_nodes == 0
    assert result.plug_in == pytest.approx(naive_vni(x), rel=1e-12)
    assert jacobian_vni(x.T * np.array([[1e300], [1.0], [1e-300]])) == pytest.approx(jacobian_vni(x.T), rel=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int8, np.int64, np.uint8, bool])
def test_any_real_dtype_counts_as_the_same_numbers_in_double_precision(dtype):
    # In 8 or 16 bits sums over 200 samples of such numbers overflow.
    x = np.random.default_rng(1).integers(0, 2 if dtype is bool else 120, (200, 6)).astype(dtype)
    assert vni(x).plug_in == pytest.approx(naive_vni(x.astype(np.float64)), rel=1e-12)
    assert vni(x.tolist()) == vni(x)


def test_the_input_is_left_alone():
    x = gaussian((10, 4))
    before = x.copy()
    vni(x), correlation(x), participation_ratio(x), jacobian_vni(x), jacobian_participation_ratio(x)
    np.testing.assert_array_equal(x, before)


# --- dead nodes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", [0, 1, 3000, 4098])
def test_a_node_that_varies_in_one_sample_alone_is_seen_wherever_it_is(row):
    x = gaussian((4099, 3)).astype(np.float32)
    x[:, 1] = 2.0
    assert vni(x).constant_nodes == 1
    for value in (1.0, 3.0):
        x[row, 1] = value
        assert vni(x).constant_nodes == 0
    x[row, 1] = np.nan
    with pytest.raises(ValueError, match="got 1 NaN or infinite values of 12297"):
        vni(x)


# The mean of P copies of 0.1 is not 0.1 in floating point: deviations from it would be noise, not zero.
@pytest.mark.parametrize("constant", [0.0, 0.1, -1 / 3, 1e300, 1e-300, np.pi * 1e8])
@pytest.mark.parametrize("n_samples", [2, 3, 7, 1000])
def test_dead_nodes_are_left_out_and_counted(constant, n_samples):
    x = gaussian((n_samples, 5))
    with_dead = np.insert(x, [0, 3, 5], constant, axis=1)
    result = vni(with_dead)
    assert (result.n_nodes, result.constant_nodes) == (8, 3)
    assert result.plug_in == pytest.approx(vni(x).plug_in, rel=1e-12)
    np.testing.assert_allclose(correlation(with_dead), correlation(x), atol=1e-12)


def test_dead_nodes_are_an_error_for_who_says_so():
    x = np.insert(gaussian((9, 5)), [2, 5], 0.1, axis=1)
    for measure in (vni, correlation):
        with pytest.raises(ValueError, match="2 of 7 nodes are constant over the samples, the first at column 2"):
            measure(x, constant="raise")
        measure(x[:, :2], constant="raise")


def test_what_rounding_explains_is_no_life():
    x = gaussian((9, 3))
    x[:, 1] = 1.0
    x[4, 1] = np.nextafter(1.0, 2.0)  # one unit in the last place
    assert vni(x).constant_nodes == 1
    x[4, 1] += 1e-13
    assert vni(x).constant_nodes == 0
    assert vni(x, precision="float32").constant_nodes == 1
    with pytest.raises(ValueError, match="1 of 3 nodes are constant over the samples but for rounding, the first at"):
        vni(x, constant="raise", precision="float32")


@pytest.mark.parametrize("measure", [vni, correlation, participation_ratio])
def test_all_dead_is_an_error(measure):
    with pytest.raises(ValueError, match=r"(all 4|4 of 4) nodes are constant over the samples.*var(y|ies)"):
        measure(np.full((6, 4), 0.1))


@pytest.mark.parametrize("constant", ["keep", "", None, 3], ids=repr)
def test_unknown_word_for_constant_nodes(constant):
    with pytest.raises(ValueError, match="constant must be one of omit, raise") as error:
        vni(gaussian((9, 3)), constant=constant)
    assert repr(constant) in str(error.value)


# --- Jacobians --------------------------------------------------------------------------------------------------------


def naive_jacobian_vni(jacobian):
    c = jacobian @ jacobian.T
    n = len(c)
    return sum(c[i, j] ** 2 / (c[i, i] * c[j, j]) for i in range(n) for j in range(n)) / n**2


@pytest.mark.parametrize("shape", [(1, 1), (4, 4), (9, 3), (3, 9), (5, 1)])
def test_jacobian_vni_is_the_double_loop(shape):
    jacobian = gaussian(shape)
    assert jacobian_vni(jacobian) == pytest.approx(naive_jacobian_vni(jacobian), rel=1e-12)


def test_a_batch_is_a_loop():
    batch = np.random.default_rng(2).standard_normal((2, 3, 5, 4))
    for measure in (jacobian_vni, jacobian_participation_ratio, jacobian_correlation):
        expected = [[measure(jacobian) for jacobian in row] for row in batch]
        np.testing.assert_allclose(measure(batch), expected, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(
        jacobian_vni(batch), [[naive_jacobian_vni(jacobian) for jacobian in row] for row in batch], rtol=1e-12
    )


def test_zero_rows_are_left_out_of_each_jacobian_of_a_batch():
    batch = np.random.default_rng(2).standard_normal((4, 6, 5))
    batch[1, 2] = batch[2, :3] = 0
    batch[3, 1:] = 0
    live = [jacobian[jacobian.any(axis=1)] for jacobian in batch]
    np.testing.assert_allclose(jacobian_vni(batch), [naive_jacobian_vni(jacobian) for jacobian in live], rtol=1e-12)
    rho = jacobian_correlation(batch)
    np.testing.assert_allclose(np.diagonal(rho, axis1=1, axis2=2), batch.any(axis=2), atol=1e-12)
    assert not rho[1, 2].any()


def test_a_jacobian_is_the_layer_seen_by_isotropic_inputs():
    jacobian = gaussian((7, 5))
    inputs = orthonormal_nodes(40, 5)  # covariance exactly proportional to the identity
    outputs = inputs @ jacobian.T
    assert jacobian_vni(jacobian) == pytest.approx(vni(outputs).plug_in, rel=1e-12)
    np.testing.assert_allclose(jacobian_correlation(jacobian), correlation(outputs), atol=1e-12)
    assert jacobian_participation_ratio(jacobian) == pytest.approx(participation_ratio(outputs), rel=1e-12)


@pytest.mark.parametrize("measure", [jacobian_vni, jacobian_participation_ratio])
def test_a_jacobian_of_zeros_is_an_error(measure):
    batch = np.ones((3, 2, 2))
    batch[1] = 0
    with pytest.raises(ValueError, match=r"Jacobian (is|are) zero.*at least one"):
        measure(batch)


# --- participation ratio ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spectrum", [(1, 1, 1, 1), (5, 0, 0), (4, 3, 2, 1), (1, 1e-3), (2,)])
@pytest.mark.parametrize("n_samples", [6, 30])
def test_participation_ratio_of_known_covariances(spectrum, n_samples):
    variances = np.array(spectrum, dtype=float)
    n = len(variances)
    rotation = np.linalg.qr(gaussian((n, n)))[0]
    x = orthonormal_nodes(n_samples, n) * np.sqrt(variances) @ rotation + 10.0
    expected = variances.sum() ** 2 / (variances**2).sum()
    assert participation_ratio(x) == pytest.approx(expected, rel=1e-12)
    jacobian = rotation.T * np.sqrt(variances)
    assert jacobian_participation_ratio(jacobian) == pytest.approx(expected, rel=1e-12)


def test_participation_ratio_and_effective_nodes_differ_where_scales_do():
    x = orthonormal_nodes(20, 4)
    assert participation_ratio(x) == pytest.approx(4)
    assert participation_ratio(x * [100, 1, 1, 1]) == pytest.approx(10003**2 / (10000**2 + 3))
    assert 1 / vni(x * [100, 1, 1, 1]).plug_in == pytest.approx(4)


# --- bad input --------------------------------------------------------------------------------------------------------

OF_ACTIVATIONS = [vni, correlation, participation_ratio]
OF_JACOBIANS = [jacobian_vni, jacobian_correlation, jacobian_participation_ratio]


@pytest.mark.parametrize("measure", OF_ACTIVATIONS + OF_JACOBIANS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_counted(measure, bad):
    x = gaussian((9, 4))
    x[[1, 5, 8], [0, 2, 2]] = bad
    with pytest.raises(ValueError, match="must be finite, got 3 NaN or infinite values of 36"):
        measure(x)


@pytest.mark.parametrize("measure", OF_ACTIVATIONS + OF_JACOBIANS)
@pytest.mark.parametrize("dtype", [complex, object, str])
def test_values_that_are_not_real_numbers_are_refused(measure, dtype):
    with pytest.raises(TypeError, match="must be an array of real numbers, got dtype") as error:
        measure(gaussian((5, 3)).astype(dtype))
    assert str(gaussian((5, 3)).astype(dtype).dtype) in str(error.value)


@pytest.mark.parametrize("measure", OF_ACTIVATIONS)
@pytest.mark.parametrize("n_samples", [0, 1])
def test_fewer_than_two_samples(measure, n_samples):
    with pytest.raises(ValueError, match=rf"at least 2 samples \(rows\), got {n_samples}"):
        measure(np.ones((n_samples, 3)))


@pytest.mark.parametrize("measure", OF_ACTIVATIONS)
@pytest.mark.parametrize("shape", [(), (5,), (0,)])
def test_activations_have_two_axes(measure, shape):
    with pytest.raises(ValueError, match=r"two axes \(samples, nodes\) or more, got shape") as error:
        measure(np.ones(shape))
    assert str(shape) in str(error.value)


@pytest.mark.parametrize("measure", OF_ACTIVATIONS)
def test_no_nodes(measure):
    with pytest.raises(ValueError, match=r"at least 1 node \(column\), got shape \(5, 0\)"):
        measure(np.ones((5, 0)))


@pytest.mark.parametrize("measure", OF_JACOBIANS)
@pytest.mark.parametrize("shape", [(), (5,), (0, 3), (3, 0), (4, 0, 3)])
def test_jacobians_have_nodes_and_inputs(measure, shape):
    with pytest.raises(ValueError, match=r"shape \(..., nodes, inputs\), both at least 1, got") as error:
        measure(np.ones(shape))
    assert str(shape) in str(error.value)
