"""Samples in groups: the VNI and its error by leaving out groups; which samples a group has; streaming and arrays."""

import re

import numpy as np
import pytest
from populations import mixing, true_vni
from statistics_checks import standard_errors_between

from rmt_vn.measures import VNIAccumulator, participation_ratio, plug_in_vni, vni
from rmt_vn.measures.indicator import part_sums

GROUPS, TIMES, NODES = 24, 16, 12


def sequences(rng, n_groups=GROUPS, nodes=NODES, memory=0.95):
    """Shape (groups, times, nodes): three factors and a source for each node, all of which change slowly."""
    a = mixing("three factors", nodes)
    s = rng.standard_normal((n_groups, TIMES, a.shape[1]))
    for time in range(1, TIMES):
        s[:, time] = memory * s[:, time - 1] + (1 - memory**2) ** 0.5 * s[:, time]
    return s @ a.T


TRUTH = true_vni(mixing("three factors", NODES))


@pytest.mark.parametrize("n_groups", [6, 40])
def test_intervals_hold_the_truth_and_those_of_independent_samples_do_not(n_groups):
    """92% at least are asked for, k = 4 standard errors; as if all samples were independent, fewer than 75% hold it."""
    rng, repeats = np.random.default_rng(3), 200
    held = np.zeros(2)
    values = []
    for _ in range(repeats):
        x = sequences(rng, n_groups=n_groups)
        results = vni(x), vni(x.reshape(-1, NODES))
        values.append(results[0].unlimited)
        held += [low <= TRUTH <= high for low, high in (each.confidence_interval() for each in results)]
    least = 0.92 - 4 * (0.92 * 0.08 / repeats) ** 0.5
    assert held[0] / repeats > least and held[1] / repeats < 0.75
    allowed = 0.2 * np.std(values) + 4 * np.std(values) / repeats**0.5
    assert abs(np.mean(values) - TRUTH) < allowed


def test_some_nodes_tell_of_all(monkeypatch):
    """Of 200 nodes 128 tell what is to be corrected; by all of them it is the same to a fifth of the error."""
    x = sequences(np.random.default_rng(4), nodes=200)
    result = vni(x)
    monkeypatch.setattr(part_sums, "TELLING_NODES", 200)
    exact = vni(x)
    assert result.plug_in == pytest.approx(plug_in_vni(x), rel=1e-12) == exact.plug_in
    assert 0 < abs(result.unlimited - exact.unlimited) < 0.2 * exact.stderr
    assert result.stderr == pytest.approx(exact.stderr, rel=0.2)


def test_which_samples_are_a_group():
    x = sequences(np.random.default_rng(5))
    expected = vni(x)
    flat, labels = x.reshape(-1, NODES), np.repeat(np.arange(GROUPS), TIMES)
    assert vni(flat, groups=labels) == expected == vni(x, groups=0) == vni(x, groups=np.arange(GROUPS))
    assert vni(np.moveaxis(x, 0, 1), groups=1).value == pytest.approx(expected.value, rel=1e-12)
    assert vni(np.moveaxis(x, -1, 0), node_axis=0).value == pytest.approx(expected.value, rel=1e-12)
    words = np.array(["b", "a", *map(str, range(GROUPS - 2))])
    assert vni(flat, groups=words[labels]) == expected
    mixed = np.random.default_rng(6).permutation(len(flat))
    # The order in which groups come decides which are put together; here there are fewer than 32.
    assert vni(flat[mixed], groups=labels[mixed]).stderr == pytest.approx(expected.stderr, rel=1e-9)
    assert vni(flat).n_groups == len(flat) and vni(flat, groups=np.arange(len(flat))).n_groups == len(flat)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (2, r"one of the axes \[0, 1\]"),
        (5, r"one of the axes \[0, 1\]"),
        (0.5, r"one of the axes"),
        (np.zeros(7), r"labels of shape \(24, 16\) or \(24,\), got shape \(7,\)"),
    ],
)
def test_what_are_no_groups(groups, message):
    with pytest.raises(ValueError, match=message):
        vni(np.ones((GROUPS, TIMES, NODES)), groups=groups)


def test_groups_are_centred():
    with pytest.raises(ValueError, match="centre=True alone"):
        vni(np.random.default_rng(0).standard_normal((6, 5, 4)), centre=False)


@pytest.mark.parametrize("n_groups", [1, 2, 3])
def test_few_groups_tell_nothing_of_the_error(n_groups):
    result = vni(sequences(np.random.default_rng(7), n_groups=n_groups))
    assert np.isnan([result.value, result.stderr, *result.confidence_interval()]).all()
    assert np.isfinite(result.plug_in) and re.match(rf"{n_groups} groups? of samples tells? nothing", result.caveats[0])


@pytest.mark.parametrize("n_groups", [10, 70, 300])
def test_batches_are_the_whole(n_groups):
    x = 1e5 + sequences(np.random.default_rng(8), n_groups=n_groups)
    expected = vni(x)
    for cuts in ([], [1], [3, 4, 9], range(0, n_groups, 7)):
        layer = VNIAccumulator()
        for batch in np.split(x, cuts):
            layer.update(batch)
        result = layer.vni()
        for name in ("value", "stderr", "plug_in"):
            assert getattr(result, name) == pytest.approx(getattr(expected, name), rel=1e-7)
        assert (result.n_groups, result.n_samples) == (n_groups, n_groups * TIMES)


def test_merged_groups_have_the_same_error_but_for_which_are_put_together():
    x = sequences(np.random.default_rng(9), n_groups=30)
    one, other, empty = VNIAccumulator(), VNIAccumulator(), VNIAccumulator()
    one.update(x[:11])
    other.update(x[11:] + 0.0)
    empty.merge(one)
    empty.merge(other)
    assert empty.vni().value == pytest.approx(vni(x).value, rel=1e-10)
    assert empty.vni().stderr == pytest.approx(vni(x).stderr, rel=1e-10)
    assert one.vni().n_groups == 11


@pytest.mark.parametrize("n_nodes", [20, 130])
def test_all_other_measures_of_groups_are_those_of_the_samples(n_nodes):
    rng = np.random.default_rng(14)
    x = 1e5 + rng.standard_normal((12, 25, n_nodes)) @ rng.standard_normal((n_nodes, n_nodes)) / n_nodes**0.5
    x[0, 0] += 30  # samples are held as deviations from the first
    x[..., 3] = 7.0
    in_batches, merged = VNIAccumulator(), VNIAccumulator()
    for batch in np.split(x, [5, 6]):
        in_batches.update(batch)
        one = VNIAccumulator()
        one.update(batch)
        merged.merge(one)
    samples = x.reshape(-1, n_nodes)
    varying = np.delete(samples, 3, axis=1)
    for layer in (in_batches, merged):
        assert layer.n_samples == 300 and layer.vni().constant_nodes == 1
        np.testing.assert_allclose(layer.mean(), samples.mean(axis=0), rtol=1e-13)
        np.testing.assert_allclose(layer.covariance(), np.cov(samples.T), atol=1e-9)
        np.testing.assert_allclose(layer.correlation(), np.corrcoef(varying.T), atol=1e-10)
        assert layer.participation_ratio() == pytest.approx(participation_ratio(samples), rel=1e-9)
        assert layer.vni().plug_in == pytest.approx(plug_in_vni(samples), rel=1e-9)


def test_groups_whose_squares_overflow_are_refused_and_leave_all_as_it_was():
    x = sequences(np.random.default_rng(15), n_groups=8)
    layer, far = VNIAccumulator(), VNIAccumulator()
    layer.update(x)
    before, mean = layer.vni(), layer.mean()
    with pytest.raises(ValueError, match="squares are finite"):
        layer.update(x + 1e155)
    assert layer.vni() == before and np.array_equal(layer.mean(), mean)
    far.update(x + 1e155)
    with pytest.raises(ValueError, match="squares are finite"):
        layer.merge(far)
    assert layer.vni() == before and np.array_equal(layer.mean(), mean)


def test_groups_from_the_first_batch_on():
    x = sequences(np.random.default_rng(10))
    layer, other = VNIAccumulator(), VNIAccumulator()
    layer.update(x[0])
    before = layer.vni()
    with pytest.raises(ValueError, match="samples of the batches before have no groups"):
        layer.update(x[1:])
    assert layer.vni() == before
    other.update(x[1:])
    with pytest.raises(ValueError, match="samples of one of the two have groups"):
        layer.merge(other)
    # Samples of two axes are groups of their own beside groups.
    other.update(x[0])
    assert other.vni().n_groups == GROUPS - 1 + TIMES


def test_more_groups_of_the_same_kind_make_the_error_smaller():
    rng = np.random.default_rng(11)
    few, many = (np.mean([vni(sequences(rng, n_groups=n)).stderr for _ in range(20)]) for n in (36, 324))
    # One over the root of nine, to the tenth that 20 of each tell: four standard errors of a scatter of a fifth.
    assert standard_errors_between(few / many, 3, 3 * 0.06) < 4


def test_channels_that_few_images_show():
    """Each channel is live in one image of twelve; independent channels. k = 4 standard errors of 200 shares."""
    rng, n_nodes, held, told = np.random.default_rng(12), 40, [], []
    for _ in range(200):
        x = np.abs(rng.standard_normal((16, 20, n_nodes))) * (rng.random((16, 1, n_nodes)) < 1 / 12)
        result = vni(x)
        low, high = result.confidence_interval()
        held.append(low <= 1 / n_nodes <= high)
        told.append(bool(result.caveats))
    # As if the channels that are live in some image were all, no interval could hold 1/40 where one is not.
    assert np.mean(held) > 0.92 - 4 * (0.92 * 0.08 / 200) ** 0.5 and np.mean(told) > 0.9


@pytest.mark.parametrize("n_groups", [8, 40])
def test_groups_of_very_unequal_size(n_groups):
    """From one to four hundred samples, half of whose variance they share: 85% at least are asked for, k = 4."""
    rng, held, blind = np.random.default_rng(13), [], []
    a = mixing("three factors", NODES)
    for _ in range(200):
        sizes = np.minimum(1 + (6 * rng.pareto(1.2, n_groups)).astype(int), 400)
        labels = np.repeat(np.arange(n_groups), sizes)
        of_group, own = (
            rng.standard_normal((n_groups, a.shape[1]))[labels],
            rng.standard_normal((len(labels), a.shape[1])),
        )
        x = (of_group + own) @ a.T
        for shares, result in ((held, vni(x, groups=labels)), (blind, vni(x))):
            low, high = result.confidence_interval()
            shares.append(low <= TRUTH <= high)
    least = 0.85 - 4 * (0.85 * 0.15 / 200) ** 0.5
    assert np.mean(held) > least > np.mean(blind)


@pytest.mark.parametrize(
    ("groups", "match"),
    [
        ([np.nan, 1, 2, np.nan], "a label for each sample, got 2 masked or NaN"),
        (np.ma.masked_array([1, 2, 3, 4], mask=[0, 1, 0, 0]), "a label for each sample, got 1 masked or NaN"),
        (np.array(["NaT", "2020", "2021", "2022"], dtype="M8[Y]"), "a label for each sample, got 1 masked or NaN"),
        (["a", None, "b", None], "labels that can be sorted"),
    ],
)
def test_missing_labels_are_refused(groups, match):
    x = np.random.default_rng(0).standard_normal((4, 3))
    for measure in (vni, VNIAccumulator().update):
        with pytest.raises(ValueError, match=match):
            measure(x, groups=groups)
