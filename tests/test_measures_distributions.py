"""The VNI of skewed, sparse, mixed and heavy-tailed nodes, in groups too; where its caveats are, and where not.

The whole study is `tests/benchmarks/coverage_of_vni.py`.
"""

from functools import partial

import numpy as np
import pytest
from populations import FUNCTIONS, SOURCES, Study, correlation, mixing, sample
from scipy.stats import kurtosis
from statistics_checks import mean_and_error, standard_errors_between

from rmt_vn.measures import VNIAccumulator, vni
from rmt_vn.measures.indicator.few_samples import vni_of_few_samples
from rmt_vn.measures.indicator.part_sums import PartSums
from rmt_vn.measures.nodes import varying_nodes

SEQUENCE, IMAGE = (16,), (4, 4)


# --- the populations themselves ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("tails", [*(name for name in SOURCES if name != "t3"), *FUNCTIONS])
@pytest.mark.parametrize("group", [(), (2, 3)])
def test_the_truth_of_the_study_is_true(tails, group):
    a = mixing("groups of four", 6)
    x = sample(a, 16000 // max(1, int(np.prod(group))), tails, np.random.default_rng(1), group=group)
    blocks = np.array([np.corrcoef(each.reshape(-1, 6), rowvar=False) for each in np.array_split(x, 20)])
    found, stderr = mean_and_error(blocks)
    of = np.triu_indices(6, 1)
    # k = 5: fifteen pairs. Negative control: the correlations of Gaussian nodes, where they differ by enough.
    assert standard_errors_between(found[of], correlation(a, tails)[of], stderr[of]) < 5
    assert tails not in FUNCTIONS or standard_errors_between(found[of], correlation(a)[of], stderr[of]) > 5


# --- bias and coverage ------------------------------------------------------------------------------------------------


# Distribution, shape, samples or groups, what a group has.
QUICK = [
    ("exponential", "groups of four", 40, ()),
    ("classes", "one factor", 40, ()),
    ("two scales", "groups of four", 40, ()),
    ("relu", "groups of four", 24, IMAGE),
]
SLOW = [
    *((tails, shape, 40, ()) for tails in (*SOURCES, "relu") for shape in ("one factor", "groups of four")),
    *((tails, "groups of four", 514, ()) for tails in ("gaussian", "exponential", "binary", "relu")),
    *((tails, "one factor", 32, group) for tails in ("gaussian", "relu", "lognormal") for group in (SEQUENCE, IMAGE)),
]


def check(cases, nodes, repeats):
    measure = partial(vni, node_axis=-1)
    studies = [
        Study(measure, shape, tails, n_samples, nodes=nodes, repeats=repeats, seed=[3, number], group=group)
        for number, (tails, shape, n_samples, group) in enumerate(cases)
    ]
    of_plug_in = []
    for case, study in zip(cases, studies, strict=True):
        # A bias of 2% or 0.2 standard errors is allowed, and k = 4 standard errors of this test on top of it.
        allowed = max(0.02 * study.truth, 0.2 * study.spread) + 4 * study.spread / repeats**0.5
        assert abs(study.bias) < allowed, case
        least = 0.92 - 4 * (0.92 * 0.08 / repeats) ** 0.5
        assert study.coverage() > least, case
        of_plug_in.append(study.plug_in_bias > allowed)
    # Negative controls: the plug-in estimate; of all cases together, intervals of 0.7 and 3 times that length.
    assert any(of_plug_in)
    count = repeats * len(cases)
    low, high = (share + sign * 4 * (share * (1 - share) / count) ** 0.5 for share, sign in ((0.92, -1), (0.97, 1)))
    short, right, long = (np.mean([each.coverage(stretch) for each in studies]) for stretch in (0.7, 1.0, 3.0))
    assert short < low < right < high < long


@pytest.mark.slow
def test_bias_and_coverage_of_some():
    check(QUICK, nodes=12, repeats=150)


@pytest.mark.slow
def test_bias_and_coverage_of_many():
    check(SLOW, nodes=20, repeats=150)


# --- what the result says of it ---------------------------------------------------------------------------------------


def test_kurtosis_is_that_of_the_nodes():
    rng = np.random.default_rng(4)
    x = rng.exponential(size=(20, 6))
    sums = PartSums(np.arange(6))
    sums.update(x)
    found = sums.left_out(6, independent=True)[0].kurtosis
    assert found == pytest.approx(np.mean(kurtosis(x, fisher=False)), rel=1e-9)
    # From parts of 32 samples it is the same on average; four standard errors of twenty.
    pairs = []
    for _ in range(20):
        x = rng.exponential(size=(1000, 20))
        sums = PartSums(np.arange(20))
        sums.update(x)
        pairs.append((sums.left_out(20, independent=True)[0].kurtosis, np.mean(kurtosis(x, fisher=False))))
    difference, stderr = mean_and_error(np.diff(pairs, axis=1)[:, 0])
    # Products of different samples of one part add up to less by the subtraction of means: by some 32/1000 of 9.
    assert abs(difference) < 4 * stderr + 0.3 and np.mean(pairs) > 7


def test_kurtosis_of_groups_is_that_of_their_sums_of_squares():
    rng = np.random.default_rng(5)
    x = rng.standard_normal((30, 5, 4)) * rng.exponential(size=(30, 1, 1))
    sums = PartSums(np.arange(4))
    sums.update(x.reshape(-1, 4), np.repeat(np.arange(30), 5))
    power = np.sum((x - x.mean(axis=(0, 1))) ** 2, axis=1)
    expected = np.mean(30 * np.sum(power**2, axis=0) / np.sum(power, axis=0) ** 2)
    assert sums.left_out(4, independent=False)[0].kurtosis == pytest.approx(expected, rel=1e-9)


def heavy(result):
    return any("make up much of what nodes vary by" in each for each in result.caveats)


def streamed(x):
    layer = VNIAccumulator()
    for batch in np.array_split(x, 3):
        layer.update(batch, node_axis=-1)
    return layer.vni()


# Samples of small layers; few and many of wide ones; groups. Each on its own way through the code.
WAYS = [(40, 20, ()), (300, 20, ()), (60, 132, ()), (300, 132, ()), (128, 20, SEQUENCE)]


@pytest.mark.parametrize(("n_samples", "nodes", "group"), WAYS)
@pytest.mark.parametrize("measure", [partial(vni, node_axis=-1), streamed])
def test_heavy_tails_are_told_of_and_others_are_not(measure, n_samples, nodes, group):
    rng, a = np.random.default_rng(6), mixing("groups of four", nodes)
    assert sum(heavy(measure(sample(a, n_samples, "lognormal", rng, group=group))) for _ in range(2)) >= 1
    for tails in ("gaussian", "relu"):
        assert not measure(sample(a, n_samples, tails, rng, group=group)).caveats
    assert not measure(np.tanh(2 * sample(a, n_samples, "gaussian", rng, group=group))).caveats


def test_many_samples_of_exponential_nodes_are_enough():
    rng, a = np.random.default_rng(7), mixing("independent", 20)
    assert sum(heavy(vni(sample(a, 1000, "exponential", rng))) for _ in range(10)) <= 1


@pytest.mark.parametrize("nodes", [12, 132])
def test_few_samples_are_told_of(nodes):
    rng = np.random.default_rng(8)
    assert vni(rng.standard_normal((9, nodes))).caveats[0].startswith("9 samples are few")
    assert streamed(rng.standard_normal((9, nodes))).caveats[0].startswith("9 samples are few")
    assert not vni(rng.standard_normal((10, nodes))).caveats
    for measure in (vni, streamed):
        assert measure(rng.standard_normal((5, 10, nodes))).caveats[0].startswith("5 groups of samples are few")
        assert not measure(rng.standard_normal((6, 10, nodes))).caveats


def test_both_ways_of_few_samples_say_the_same():
    x = sample(mixing("groups of four", 8), 50, "lognormal", np.random.default_rng(9))
    counts = {"n_nodes": 8, "n_samples": 50, "constant_nodes": 0}
    assert heavy(vni(x)) and vni(x).caveats == vni_of_few_samples(varying_nodes(x), counts).caveats


def test_nodes_that_vary_by_rounding_tell_nothing_from_batches_either():
    rng = np.random.default_rng(10)
    x = 5 + 1e-7 * rng.standard_normal((40, 10, 6))
    x[..., :2] += rng.standard_normal((40, 10, 2))
    for each in (x.astype(np.float32), x.astype(np.float32).reshape(400, 6)):
        one, other = vni(each), streamed(each)
        assert one.constant_nodes == other.constant_nodes == 4
        assert (other.plug_in, other.unlimited) == pytest.approx((one.plug_in, one.unlimited), rel=1e-6)
        assert other.stderr == pytest.approx(one.stderr, rel=1e-4)
