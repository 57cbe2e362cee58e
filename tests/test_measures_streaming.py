"""The accumulator: batches in any split and order, merged or not, are the whole; hostile means; bad input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmt_vn import measures
from rmt_vn.measures import VNIAccumulator, vni

properties = settings(deadline=None, derandomize=True, max_examples=40)


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
            *(result.value, result.stderr, *result.interval, result.plug_in),
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
    whole = numbers(fed([x]))
    cuts = data.draw(st.lists(st.integers(0, n_samples), max_size=12).map(sorted))
    order = np.random.default_rng(data.draw(st.integers(0, 99))).permutation(n_samples)
    parts = np.split(x[order], cuts)
    np.testing.assert_allclose(numbers(fed(parts)), whole, rtol=1e-12, atol=1e-12)
    merged = VNIAccumulator()
    for part in parts:
        merged.merge(fed([part]))
    np.testing.assert_allclose(numbers(merged), whole, rtol=1e-12, atol=1e-12)


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


def test_up_to_twenty_samples_it_is_the_function():
    # So many groups has the jackknife, and their order does not matter.
    x = hostile(20)
    streamed, at_once = fed(np.split(x, 5)).vni(), vni(x)
    for name in ("value", "stderr", "interval", "effective_nodes", "plug_in"):
        assert getattr(streamed, name) == pytest.approx(getattr(at_once, name), rel=1e-9)


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
    np.testing.assert_allclose(numbers(left), numbers(right), rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(numbers(other), before)
    empty = VNIAccumulator()
    empty.merge(VNIAccumulator())
    assert (empty.n_samples, empty.n_nodes) == (0, 0)


def test_a_naive_sum_of_squares_would_fail():
    """Negative control: with means of 10⁶ the textbook formula has lost the digits that the tests above ask for."""
    x = hostile(700)
    naive = x.T @ x / 700 - np.outer(x.mean(axis=0), x.mean(axis=0))
    assert np.abs(naive * 700 / 699 - fed([x]).covariance()).max() > 1e-6


def test_it_holds_no_more_than_it_says():
    layer = fed(np.random.default_rng(1).standard_normal((30, 1000, 300)))
    held = sum(each.size for each in vars(layer).values() if isinstance(each, np.ndarray))
    assert layer.n_samples == 30_000
    assert held <= 300**2 + (256 + 10) * 300


@pytest.mark.parametrize("batch", [1, 50])
def test_dead_nodes(batch):
    x = np.insert(hostile(300), [2, 6], 0.1, axis=1)
    layer = fed(np.split(x, 300 // batch))
    result = layer.vni()
    assert (result.n_nodes, result.dead_nodes, result.n_samples) == (8, 2, 300)
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
