"""Products of different parts of the samples: what they are, by loops, and what the subtraction of means leaves."""

from itertools import permutations

import numpy as np
import pytest
from populations import mixing, sample, true_vni
from statistics_checks import assert_sampled, mean_and_error

from rmt_vn.measures import VNIAccumulator, vni
from rmt_vn.measures.indicator.bias import left_by_means, overlap_of_different_parts
from rmt_vn.measures.indicator.few_samples import vni_of_few_samples
from rmt_vn.measures.indicator.leaving_out import part_numbers
from rmt_vn.measures.nodes import varying_nodes


def directions(x):
    a = x - x.mean(axis=0)
    return a / np.linalg.norm(a, axis=0)


def by_definition(parts, of_groups=False):
    """w of the notes of `vni`, by loops over pairs of nodes and parts of the samples."""
    x = np.concatenate(parts)
    a = np.split(directions(x), np.cumsum([len(part) for part in parts])[:-1])
    p, n = x.shape
    square, within, by_means = [], [], []
    for i, j in permutations(range(n), 2):
        products = [part[:, i] @ part[:, j] for part in a]
        square.append(sum(products) ** 2)
        within.append(sum(each**2 for each in products))
        sums = np.array([(part[:, i].sum(), part[:, j].sum()) for part in a])
        common = 2 / p * np.sum(products * sums[:, 0] * sums[:, 1])
        by_means.append(common - np.sum(sums[:, 0] ** 2) * np.sum(sums[:, 1] ** 2) / p**2)
    own = np.mean([sum((part[:, i] @ part[:, i]) ** 2 for part in a) for i in range(n)])
    left = np.mean(by_means)
    if not of_groups:
        of_sizes = sum(len(part) ** 2 for part in parts)
        left = left_by_means(np.mean(square), np.mean(within), own, p, of_sizes)
    return (np.mean(square) - np.mean(within) - left) / (1 - own - left)


def jackknifed(parts, of_groups=False):
    """VNI and standard error, the parts left out in turn."""
    n = parts[0].shape[1]

    def of(some):
        return 1 / n + (1 - 1 / n) * by_definition(some, of_groups)

    whole = of(parts)
    without = np.array([of(parts[:at] + parts[at + 1 :]) for at in range(len(parts))])
    repeats = sum(len(part) for part in parts) / np.array([len(part) for part in parts])
    correction = np.sum((1 - 1 / repeats) * (whole - without))
    deviations = (repeats - 1) * (whole - without) - correction
    return whole + correction, np.mean(deviations**2 / (repeats - 1)) ** 0.5


@pytest.mark.parametrize("n_samples", [6, 20, 70])
def test_the_estimate_is_what_its_notes_say(n_samples):
    x = sample(mixing("three factors", 5), n_samples, "t5", np.random.default_rng(1)) + 3
    numbers = part_numbers(0, n_samples)
    parts = [x[numbers == number] for number in np.unique(numbers)]
    assert len(parts) == min(n_samples, 32)
    assert vni(x).unlimited == pytest.approx(min(jackknifed(parts)[0], 1), rel=1e-9)


@pytest.mark.parametrize("n_groups", [5, 40])
def test_the_estimate_from_groups_is_what_its_notes_say(n_groups):
    x = sample(mixing("three factors", 5), 6 * n_groups, "t5", np.random.default_rng(2))
    numbers = np.repeat(part_numbers(0, n_groups), 6)
    value, stderr = jackknifed([x[numbers == number] for number in np.unique(numbers)], of_groups=True)
    result = vni(x, groups=np.repeat(np.arange(n_groups), 6))
    assert (result.unlimited, result.stderr) == (
        pytest.approx(min(value, 1), rel=1e-9),
        pytest.approx(stderr, rel=1e-6),
    )


@pytest.mark.parametrize("spike", [1e3, 1e5])
@pytest.mark.parametrize("of_groups", [False, True])
def test_one_sample_far_from_all_others(spike, of_groups):
    """Without its part sums of the others had lost their digits: values were anywhere, and errors larger than one."""
    x = sample(mixing("three factors", 5), 40, "gaussian", np.random.default_rng(9))
    x[[0, 21], [1, 2]] = spike
    numbers = np.repeat(np.arange(10), 4) if of_groups else part_numbers(0, 40)
    value, stderr = jackknifed([x[numbers == number] for number in np.unique(numbers)], of_groups)
    result = vni(x, groups=numbers if of_groups else None)
    assert result.unlimited == pytest.approx(min(value, 1), rel=1e-5)
    assert result.stderr == pytest.approx(stderr, rel=0.1 - 0.09999 * of_groups)


@pytest.mark.parametrize("shape", [(20, 3), (300, 140), (300, 1000)])
def test_nodes_that_are_other_than_zero_once_tell_nothing_without_centring(shape):
    """Products of different samples are all zero: of correlations nothing is known."""
    x = np.zeros(shape)
    x[np.arange(shape[1]) % shape[0], np.arange(shape[1])] = 1
    result = vni(x, centre=False)
    assert np.isnan(result.value)
    assert "tell" in result.caveats[-1]
    assert result.plug_in >= 1 / shape[1]


def of_overlaps(x):
    nodes = varying_nodes(x)
    return vni_of_few_samples(nodes, {"n_nodes": x.shape[1], "n_samples": len(x), "constant_nodes": nodes.constant})


@pytest.mark.parametrize("shape", [(12, 30), (60, 30), (250, 20)])
def test_sums_of_parts_and_overlaps_of_samples_say_the_same(shape):
    x = 1e4 + np.random.default_rng(3).standard_t(4, shape)
    # A node that is constant without one part.
    x[:, 1] = 0
    x[3, 1] = 1
    of_parts, of_samples = vni(x), of_overlaps(x)
    for name in ("unlimited", "stderr", "plug_in"):
        assert getattr(of_parts, name) == pytest.approx(getattr(of_samples, name), rel=1e-7), name
    assert of_parts.confidence_interval() == pytest.approx(of_samples.confidence_interval(), rel=1e-7)


@pytest.mark.parametrize("measure", [vni, of_overlaps])
@pytest.mark.parametrize("constant", [0, 2])
def test_nodes_that_vary_in_one_part_alone(measure, constant):
    """If all nodes vary their number is known: that fewer do without a part is part of the error, and of no bias."""
    x = np.random.default_rng(5).standard_normal((12, 6))
    x[:, 1] = np.arange(12) == 3
    measured = measure(np.hstack([x, np.zeros((12, constant))]))

    def of(rows, n=None):
        some = x[rows][:, np.ptp(x[rows], axis=0) > 0]
        n = n or some.shape[1]
        return 1 / n + (1 - 1 / n) * by_definition(list(some[:, None]))

    whole = of(np.arange(12))
    fewer, same = (np.array([of(np.arange(12) != left, n) for left in range(12)]) for n in (None, 6))
    assert fewer[3] > same[3]
    corrected = [whole + 11 / 12 * np.sum(whole - each) for each in (same, fewer)]
    assert measured.unlimited == pytest.approx(corrected[constant > 0], rel=1e-9)
    assert measured.unlimited != pytest.approx(corrected[constant == 0], rel=1e-3)
    # The deviations, less twice what is counted twice of them.
    mean_square = np.mean((11 * (whole - fewer) - np.sum(11 / 12 * (whole - fewer))) ** 2 / 11)
    assert mean_square / 2 < measured.stderr**2 <= mean_square * (1 + 1e-9)


@pytest.mark.parametrize("sizes", [(1,) * 6, (2,) * 10, (4, 4, 4, 1)])
@pytest.mark.parametrize("spread", [0.0, 0.8])
def test_what_the_subtraction_of_means_leaves(sizes, spread):
    """Of independent nodes times a common scale: the squares of the covariances of deviations, by their matrix."""
    p, rng = sum(sizes), np.random.default_rng(4)
    scales = np.exp(spread * rng.standard_normal(p))
    scales *= p / scales.sum()
    centring = np.eye(p) - 1 / p
    part = np.repeat(np.arange(len(sizes)), sizes)
    same = part[:, None] == part
    within, between = [], []
    # Which samples are in one part is a matter of chance.
    for _ in range(3000):
        squares = (centring * rng.permutation(scales) @ centring / (p - 1)) ** 2
        within.append(squares[same].sum())
        between.append(squares[~same].sum())
    pairs = np.sum(~same) / (p * (p - 1))
    # v such that no correlation is seen.
    found = left_by_means(
        np.mean(within) + pairs / (p * (p - 1)), np.mean(within), 0.0, p, sum(size**2 for size in sizes)
    )
    error = 4 * np.std(between) / len(between) ** 0.5 + 1e-9
    assert abs(found - np.mean(between)) < error
    # Negative control: as if all samples were of one scale.
    assert (abs(pairs / (p * (p - 1)) - np.mean(between)) < error) == (spread == 0)


@pytest.mark.parametrize(("n_samples", "tails"), [(6, "gaussian"), (20, "gaussian"), (20, "elliptical")])
def test_uncorrelated_nodes_have_no_bias_before_anything_is_left_out(n_samples, tails):
    """Of so many nodes that a bias of one thousandth shows; k = 4 standard errors."""
    rng, n, values, wrong = np.random.default_rng(5), 60, [], []
    for _ in range(400):
        a = directions(sample(np.eye(n), n_samples, tails, rng))
        overlaps, squares = a @ a.T, a * a
        square = (np.sum(overlaps**2) - n) / (n * (n - 1))
        within = (np.sum(squares.sum(axis=1) ** 2) - np.sum(squares**2)) / (n * (n - 1))
        own = np.sum(squares**2) / n
        values.append(overlap_of_different_parts(square, within, own, n_samples, n_samples))
        wrong.append(overlap_of_different_parts(square, within, own, n_samples, n_samples, left=0.0))
    value, stderr = mean_and_error(np.array(values))
    # The scale of few samples is itself estimated from them: a hundredth of 1/P is left.
    assert abs(value) < 0.02 / n_samples + 4 * stderr
    assert_sampled(np.mean(wrong), 1 / (n_samples * (n_samples - 1)), 0.3 / n_samples**2, wrong=[])
    assert abs(np.mean(wrong)) > 0.02 / n_samples + 4 * stderr


@pytest.mark.parametrize(
    ("n_samples", "nodes"),
    [
        (256, 20),
        (257, 20),
        *(pytest.param(*each, marks=pytest.mark.slow) for each in ((512, 20), (513, 20), (256, 132), (257, 132))),
    ],
)
def test_no_seam(n_samples, nodes):
    """Lognormal nodes in groups of four: before there was one estimator the bias went from 0.3 to 1.3 errors at 257."""
    rng, repeats = np.random.default_rng(6), 60
    truth = (1 + 3 * ((np.exp(0.8) - 1) / (np.e - 1)) ** 2) / nodes
    values = [vni(np.exp(sample(mixing("groups of four", nodes), n_samples, "gaussian", rng))) for _ in range(repeats)]
    found = np.array([each.unlimited for each in values])
    spread = found.std(ddof=1)
    assert abs(found.mean() - truth) < 0.4 * spread + 4 * spread / repeats**0.5
    # Negative control: the plug-in estimate.
    plug_in = np.array([each.plug_in for each in values])
    assert nodes < 100 or abs(plug_in.mean() - truth) > 0.4 * spread + 4 * spread / repeats**0.5


def test_many_nodes_of_many_samples_are_the_same_from_batches():
    x = sample(mixing("three factors", 160), 700, "t5", np.random.default_rng(7))
    layer = VNIAccumulator()
    for batch in np.array_split(x, 9):
        layer.update(batch)
    one, other = vni(x), layer.vni()
    assert abs(one.value - other.value) < 0.3 * one.stderr
    assert other.stderr == pytest.approx(one.stderr, rel=0.3)
    assert true_vni(mixing("three factors", 160)) == pytest.approx(one.value, abs=4 * one.stderr)


def test_parts_are_at_random_and_the_same_however_samples_come():
    whole = part_numbers(0, 10_000)
    pieces = [part_numbers(first, last - first) for first, last in ((0, 1), (1, 40), (40, 5000), (5000, 10_000))]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)
    assert sorted(whole[:32]) == list(range(32))
    # Counts of 32 parts: chi-squared of 31 degrees of freedom, k = 4 of its standard deviations.
    excess = np.sum((np.bincount(whole, minlength=32) - 312.5) ** 2) / 312.5 - 31
    assert abs(excess) < 4 * 62**0.5


@pytest.mark.parametrize(("n_samples", "nodes"), [(200, 20), (1000, 100)])
def test_sorted_samples_are_as_good_as_any(n_samples, nodes):
    """Ten classes, one after the other: with parts of neighbours the VNI was 10 to 13% too low; k = 4 s.e."""
    rng, repeats = np.random.default_rng(8), 40
    means = rng.standard_normal((10, nodes))
    means -= means.mean(axis=0)
    c = means.T @ means / 10 + 0.5 * np.eye(nodes)
    truth = np.mean(c**2 / np.outer(c.diagonal(), c.diagonal()))
    values, held = [], []
    for _ in range(repeats):
        classes = np.sort(rng.integers(10, size=n_samples))
        result = vni(means[classes] + 0.5**0.5 * rng.standard_normal((n_samples, nodes)))
        low, high = result.confidence_interval()
        values.append(result.unlimited)
        held.append(low <= truth <= high)
    spread = np.std(values, ddof=1)
    assert abs(np.mean(values) - truth) < 0.2 * spread + 4 * spread / repeats**0.5 < 0.05 * truth
    assert np.mean(held) > 0.92 - 4 * (0.92 * 0.08 / repeats) ** 0.5
