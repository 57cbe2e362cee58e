"""The accumulator: batches in any split and order, merged or not, are the whole; hostile means; bad input."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmt_vn import measures
from rmt_vn.measures import VNIAccumulator, vni

properties = settings(deadline=None, derandomize=True, max_examples=20)


def hostile(n_samples, n_nodes=6, seed=0):
    """Mean 10⁶, spread 1, and correlations of all sizes."""
    rng = np.random.default_rng(seed)
    return 1e6 + rng.standard_normal((n_samples, n_nodes)) @ rng.standard_normal((n_nodes, n_nodes)) / n_nodes**0.5


def fed(batches):
    layer = VNIAccumulator()
    for batch in batches:
        layer.update(batch)
    return layer


def numbers(layer):
    """All that it measures."""
    result = layer.vni()
    return np.array(
        [
            *(result.value, result.stderr, *result.confidence_interval(), result.plug_in),
            *(layer.participation_ratio(), layer.effective_rank(), layer.stable_rank()),
            *layer.covariance().ravel(),
            *layer.mean(),
        ]
    )


# Few samples, all of which are kept, and many.
@pytest.mark.parametrize("n_samples", [40, 700])
@properties
@given(data=st.data())
def test_any_split_and_order_is_the_whole(n_samples, data):
    x = hostile(n_samples)
    cuts = data.draw(st.lists(st.integers(0, n_samples), max_size=12).map(sorted))
    x_in_order = x[np.random.default_rng(data.draw(st.integers(0, 99))).permutation(n_samples)]
    parts = np.split(x_in_order, cuts)
    merged = VNIAccumulator()
    for part in parts:
        merged.merge(fed([part]))
    in_order = numbers(fed([x_in_order]))
    for layer, in_parts in ((fed(parts), True), (merged, n_samples <= 256)):
        # Parts that are left out are of neighbours, in the order given; those of merged accumulators are others.
        np.testing.assert_allclose(numbers(layer)[4:], in_order[4:], rtol=1e-12, atol=1e-12)
        if in_parts:
            np.testing.assert_allclose(numbers(layer)[:4], in_order[:4], rtol=1e-9)
        if n_samples <= 256:
            assert layer.vni() == vni(x_in_order)
        assert abs(layer.vni().value - fed([x]).vni().value) < layer.vni().stderr
        np.testing.assert_allclose(numbers(layer)[4:], numbers(fed([x]))[4:], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("n_samples", [2, 4, 20, 21, 100, 255, 256])
def test_up_to_256_samples_it_is_the_function_to_the_last_bit(n_samples):
    x = hostile(n_samples)
    for batch in (1, 7, n_samples):
        layer = fed(np.split(x, list(range(batch, n_samples, batch))))
        assert repr(layer.vni()) == repr(vni(x))  # NaN is NaN


@pytest.mark.parametrize("n_samples", [30, 400])
def test_one_sample_at_a_time_is_the_whole(n_samples):
    x = hostile(n_samples)
    np.testing.assert_allclose(numbers(fed(x[:, None])), numbers(fed([x])), rtol=1e-12, atol=1e-12)


def test_the_whole_is_what_the_functions_say():
    x = hostile(700)
    layer = fed([x])
    exact = np.cov((x - 1e6).T)
    np.testing.assert_allclose(layer.covariance(), exact, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(layer.mean() - 1e6, (x - 1e6).mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(layer.correlation(), measures.correlation(x), atol=1e-12)
    assert layer.participation_ratio() == pytest.approx(measures.participation_ratio(x), rel=1e-12)
    assert layer.effective_rank() == pytest.approx(measures.effective_rank(x), rel=1e-12)
    assert layer.stable_rank() == pytest.approx(measures.stable_rank(x), rel=1e-12)
    streamed, at_once = layer.vni(), vni(x)
    assert streamed.plug_in == pytest.approx(at_once.plug_in, rel=1e-12)
    # Of the correction k alone is of 256 samples and not of all.
    assert streamed.value == pytest.approx(at_once.value, abs=0.5 * at_once.stderr)
    assert streamed.stderr == pytest.approx(at_once.stderr, rel=0.3)


def test_merging_is_associative_and_leaves_the_other_alone():
    parts = [hostile(n, seed=n) for n in (1, 300, 45)]

    def joined(*layers):
        for each in layers[1:]:
            layers[0].merge(each)
        return layers[0]

    left = joined(joined(fed([parts[0]]), fed([parts[1]])), fed([parts[2]]))
    other = joined(fed([parts[1]]), fed([parts[2]]))
    before = numbers(other)
    right = joined(fed([parts[0]]), other)
    np.testing.assert_allclose(numbers(left)[4:], numbers(right)[4:], rtol=1e-12, atol=1e-12)
    assert abs(left.vni().value - right.vni().value) < 0.2 * left.vni().stderr
    np.testing.assert_array_equal(numbers(other), before)
    empty = VNIAccumulator()
    empty.merge(VNIAccumulator())
    assert (empty.n_samples, empty.n_nodes) == (0, 0)


def test_a_naive_sum_of_squares_would_fail():
    """Negative control: with means of 10⁶ the textbook formula has lost the digits that the tests above ask for."""
    x = hostile(700)
    naive = x.T @ x / 700 - np.outer(x.mean(axis=0), x.mean(axis=0))
    assert np.abs(naive * 700 / 699 - fed([x]).covariance()).max() > 1e-6


def held(layer):
    """Numbers of all arrays that hang on it, views by what they are views of."""
    arrays = [each for each in vars(layer).values() if isinstance(each, np.ndarray)]
    return sum((each if each.base is None else each.base).size for each in arrays)


@pytest.mark.parametrize("n_nodes", [1, 2, 16, 100, 258, 522, 600])
def test_it_holds_no_more_than_it_says(n_nodes):
    x = np.random.default_rng(1).standard_normal((700, n_nodes))
    merged = fed(np.split(x[:400], 4))
    merged.merge(fed([x[400:]]))
    for layer in (fed([x]), fed(np.split(x, 5)), merged):
        layer.vni(), layer.effective_rank()
        assert held(layer) <= n_nodes * (n_nodes + 1) / 2 + 260 * n_nodes + 256
        assert held(layer) <= n_nodes**2 + (0 if n_nodes >= 522 else 34_400)


def test_an_update_takes_little_besides():
    x = np.random.default_rng(1).standard_normal((100_000, 100), dtype=np.float32)
    layer = fed([x[:10]])
    tracemalloc.start()
    layer.update(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # As float64 it would be 80 MB.
    assert peak < 20e6


@pytest.mark.parametrize("n_nodes", [1, 2, 3, 4, 5, 6])
def test_any_number_of_nodes(n_nodes):
    """Half of a matrix is packed in another way for odd numbers than for even ones."""
    x = hostile(300, n_nodes)
    layer = fed(np.split(x, 3))
    np.testing.assert_allclose(layer.covariance(), np.atleast_2d(np.cov((x - 1e6).T)), rtol=1e-12, atol=1e-12)
    for dead in range(n_nodes - 2):
        x[:, dead] = 0.1
        assert fed([x]).near_duplicates(threshold=1e-9)[0].tolist() == list(range(dead + 1, n_nodes))


@pytest.mark.parametrize("batch", [1, 50])
def test_dead_nodes(batch):
    x = np.insert(hostile(300), [2, 6], 0.1, axis=1)
    layer = fed(np.split(x, 300 // batch))
    result = layer.vni()
    assert (result.n_nodes, result.constant_nodes, result.n_samples) == (8, 2, 300)
    assert result.plug_in == pytest.approx(vni(x).plug_in, rel=1e-12)
    assert layer.correlation().shape == (6, 6)
    with pytest.raises(ValueError, match="all 3 nodes are constant over the samples"):
        fed([np.full((4, 3), 0.1), np.full((2, 3), 0.1)]).vni()


def test_near_duplicates_and_axes_as_the_functions():
    x = hostile(300)[:, [0, 1, 2, 0, 1, 0]]
    layer = fed([x])
    expected = [[0, 3, 5], [1, 4]]
    assert [group.tolist() for group in layer.near_duplicates()] == expected
    assert [group.tolist() for group in measures.near_duplicates(x)] == expected
    images = np.random.default_rng(2).standard_normal((4, 3, 5, 5))
    layer = VNIAccumulator()
    layer.update(images, node_axis=1)
    assert (layer.n_samples, layer.n_nodes) == (100, 3)
    assert layer.vni().plug_in == pytest.approx(vni(images, node_axis=1).plug_in)


def test_one_node_is_one_node():
    for n_samples in (7, 300):
        assert fed([hostile(n_samples, 1)]).vni().value == 1


def test_what_is_refused_leaves_all_as_it_was():
    layer = fed([hostile(300)])
    before = numbers(layer)
    with pytest.raises(ValueError, match="must be finite, got 1 NaN or infinite values of 12"):
        layer.update(np.array([[1, 2, 3, np.nan, 5, 6], [0] * 6]))
    with pytest.raises(ValueError, match="must have the 6 nodes of the first, got 5"):
        layer.update(np.ones((3, 5)))
    with pytest.raises(ValueError, match="must have the 6 nodes of the first, got 2"):
        layer.merge(fed([hostile(5, 2)]))
    with pytest.raises(ValueError, match="differences whose squares are finite"):
        layer.update(np.full((2, 6), 1e200))
    with pytest.raises(TypeError, match="real numbers"):
        layer.update([["a"] * 6])
    layer.update(np.zeros((0, 6)))
    np.testing.assert_array_equal(numbers(layer), before)


@pytest.mark.parametrize("measure", ["vni", "covariance", "correlation", "effective_rank", "near_duplicates"])
def test_too_few_samples(measure):
    for layer in (VNIAccumulator(), fed([np.ones((1, 3))])):
        with pytest.raises(ValueError, match=rf"at least 2 samples \(rows\), got {layer.n_samples}"):
            getattr(layer, measure)()
    with pytest.raises(ValueError, match=r"at least 1 samples \(rows\), got 0"):
        VNIAccumulator().mean()


def test_samples_that_come_after_a_merge_count():
    """Of 200 nodes 128 tell of the error; here the two have others, and what both have is chosen from each."""
    x = np.random.default_rng(0).standard_normal((900, 200)) + np.random.default_rng(1).standard_normal((900, 1))
    x[:300, :5] = x[300:600, 5:10] = 0
    layer = fed([x[:300]])
    layer.merge(fed([x[300:600]]))
    layer.update(x[600:])
    one, other = vni(x), layer.vni()
    assert abs(one.value - other.value) < 0.3 * one.stderr
    assert other.stderr == pytest.approx(one.stderr, rel=0.3)


def test_many_small_accumulators_are_as_good_as_one():
    """Merged in part after part, so that no part is most of the samples."""
    x = np.exp(np.random.default_rng(2).standard_normal((500, 8)))
    merged = VNIAccumulator()
    for sample in x:
        merged.merge(fed([sample[None]]))
    one, other = vni(x), merged.vni()
    assert abs(one.unlimited - other.unlimited) < 0.5 * one.stderr
    assert other.stderr == pytest.approx(one.stderr, rel=0.5)


@pytest.mark.parametrize("n_nodes", [6, 140])
def test_merging_an_accumulator_with_itself_doubles_its_samples(n_nodes):
    x = hostile(300, n_nodes)
    layer = fed([x])
    layer.merge(layer)
    np.testing.assert_allclose(layer.covariance(), np.cov(np.repeat(x - 1e6, 2, axis=0).T), rtol=1e-9, atol=1e-9)
    assert layer.n_samples == 600
    # A part as it is after others were added to it would make the sums of parts unlike those of all samples.
    measured = layer.vni()
    assert measured.value == pytest.approx(vni(np.repeat(x, 2, axis=0)).value, abs=0.5 * measured.stderr)


@pytest.mark.parametrize("in_merged", [False, True])
def test_samples_of_zeros_are_kept_no_more_than_others(in_merged):
    """Padding: chosen by their values, all 256 samples kept were zeros, and the error a sixtieth."""
    rng = np.random.default_rng(3)
    x = np.maximum(rng.standard_normal((1200, 140)) + rng.standard_normal((1200, 1)), 0)
    x[::4] = 0
    layer = VNIAccumulator()
    for batch in np.split(x, 60):
        if in_merged:
            layer.merge(fed([batch]))
        else:
            layer.update(batch)
    one, other = vni(x), layer.vni()
    assert abs(one.value - other.value) < one.stderr
    assert other.stderr == pytest.approx(one.stderr, rel=0.35)


def test_nodes_that_tell_of_the_error_but_do_not_vary():
    """Those that vary in the first batch do; if it is one sample 128 of them are taken at random."""
    x = np.zeros((300, 2000))
    x[:, [3, 50, 700, 1500]] = hostile(300, 4)
    result = fed([x[:1], x[1:]]).vni()
    assert np.isnan(result.value)
    assert "fewer than two of the nodes that tell of the error vary" in result.caveats[-1]
    assert result.plug_in == pytest.approx(vni(x).plug_in)
    assert fed([x]).vni().value == pytest.approx(vni(x).value, abs=vni(x).stderr)


def test_whole_numbers_are_exact():
    """Rounding explains nothing of them."""
    x = 10**15 + np.random.default_rng(4).integers(0, 3, (100, 5))
    assert fed([x]).vni() == vni(x)
    assert not vni(x).caveats
    assert fed([x.astype(float)]).vni().caveats


def test_differences_whose_squares_are_too_small():
    for n_samples in (50, 300):
        x = 1e-160 * (hostile(n_samples) - 1e6)
        with pytest.raises(ValueError, match="6 of 6 nodes vary by less than some 1e-146"):
            fed([x]).vni()
        assert fed([1e100 * x]).vni().value == pytest.approx(vni(x).value, abs=0.1)


@pytest.mark.parametrize("n_nodes", [3, 140])
def test_squares_about_the_first_sample_are_finite_too(n_nodes):
    layer = fed([np.full((1, n_nodes), 3e153)])
    with pytest.raises(ValueError, match="differences whose squares are finite"):
        for sample in np.random.default_rng(5).standard_normal((300, 1, n_nodes)):
            layer.update(sample)
    assert layer.n_samples > 1
    assert np.isfinite(layer.covariance()).all()
    assert np.isfinite(layer.vni().plug_in)


@pytest.mark.parametrize("groups", [None, 0])
def test_accumulators_whose_nodes_vary_at_different_times(groups):
    """Of those that tell of the error they have none in common: nothing is known of it, but all else is."""
    x = hostile(300, 300)
    x[:150, :150] = x[150:, 150:] = 0
    one, other = VNIAccumulator(), VNIAccumulator()
    one.update(x[:150], groups=groups)
    other.update(x[150:200], groups=groups)
    one.merge(other)
    one.update(x[200:], groups=groups)
    result = one.vni()
    assert np.isnan(result.value)
    assert "fewer than two" in result.caveats[-1]
    assert (result.n_samples, result.n_groups) == (300, 300)
    assert result.plug_in == pytest.approx(vni(x).plug_in)
