"""The VNI without its bias, its error and interval, where the truth is known. The full study is a benchmark."""

from functools import cache

import numpy as np
import pytest
from populations import Study, mixing, sample, true_vni
from scipy.special import stdtrit
from scipy.stats import kurtosis
from statistics_checks import assert_sampled, mean_and_error

from rmt_vn.measures import VNIAccumulator, plug_in_vni, sketch_vni, vni
from rmt_vn.measures.indicator.error import half_width, pair_variance, standard_error, variance_parts


def reach(stderr, freedom, known=0.0):
    """Half the width of a 95% interval."""
    return half_width(variance_parts(stderr, freedom, known), 0.95)


def streamed(x):
    layer = VNIAccumulator()
    layer.update(x)
    return layer.vni()


# Five samples, some, and many; the hard corners: no correlation but common size, few samples, groups with tails.
CASES = [
    (vni, "independent", "gaussian", 5),
    (vni, "independent", "elliptical", 20),
    (vni, "three factors", "gaussian", 40),
    (vni, "groups of four", "t5", 40),
    (vni, "spectrum 1/k", "elliptical", 300),
    (vni, "groups of four", "t5", 300),
    (streamed, "independent", "elliptical", 300),
    (streamed, "groups of four", "gaussian", 300),
]


@cache
def study_of(measure, name, tails, n_samples):
    return Study(measure, name, tails, n_samples, nodes=12, repeats=300)


@pytest.mark.parametrize("case", CASES)
def test_bias_error_and_interval(case):
    study = study_of(*case)
    # A bias of 2% or 0.2 standard errors is allowed, and k = 4 standard errors of this test on top of it.
    allowed = max(0.02 * study.truth, 0.2 * study.spread) + 4 * study.spread / study.repeats**0.5
    assert abs(study.bias) < allowed
    # 92% is claimed of each, k = 4 again.
    least = 0.92 - 4 * (0.92 * 0.08 / study.repeats) ** 0.5
    assert study.coverage() > least
    # Negative control: intervals of 0.4 of that length hold the truth too seldom.
    assert study.coverage(0.4) < least
    assert 0.7 < study.relative_stderr < 2.2


@pytest.mark.slow
def test_intervals_are_neither_short_nor_long():
    """92 to 97% are asked for, here of all cases together; k = 4 standard errors of 2400 intervals."""
    studies = [study_of(*case) for case in CASES]
    n = sum(study.repeats for study in studies)
    low, high = (share + sign * 4 * (share * (1 - share) / n) ** 0.5 for share, sign in ((0.92, -1), (0.97, 1)))
    short, right, long = (np.mean([study.coverage(stretch) for study in studies]) for stretch in (0.7, 1.0, 1.6))
    assert short < low < right < high < long


def of_mean_zero(draws):
    return draws - draws.mean(axis=1, keepdims=True)


@pytest.mark.parametrize("pairs", [0.0, 0.2, 0.3])
def test_degrees_of_freedom_foretell_the_scatter_of_the_variance(pairs):
    """f degrees of freedom: a relative variance of 2/f, the more the more of the variance is taken off."""
    draws = of_mean_zero(np.random.default_rng(8).standard_normal((3000, 200)))
    stderr, freedom = np.array([standard_error(deviations, pairs) for deviations in draws]).T
    scatter = np.var(stderr**2) / np.mean(stderr**2) ** 2
    # 4 × √(2/3000) = 10% of that scatter, and 5% that 2/f varies. In half of the samples there is no excess kurtosis.
    assert np.median(2 / freedom) == pytest.approx(scatter, rel=0.15)
    # Negative control: without what was taken off, 2/199.
    assert (abs(2 / 199 / scatter - 1) < 0.15) == (pairs == 0)


def test_degrees_of_freedom_count_thrice_the_excess_kurtosis():
    draws = of_mean_zero(np.random.default_rng(9).standard_t(9, (50, 20)))
    excess = np.maximum(kurtosis(draws, axis=1, bias=False), 0)
    # Why thrice: it is 1.2, and half of the estimates from twenty values are below a third of that.
    assert np.median(excess) < 1.2 / 3
    expected = np.maximum(2 / (3 * excess / 20 + 2 / 19), 1)
    np.testing.assert_allclose([standard_error(deviations, 0.0)[1] for deviations in draws], expected, rtol=1e-12)


@pytest.mark.parametrize("tails", [5, 9])
def test_thrice_the_excess_is_needed(tails):
    """Means of squares with heavy tails: twenty of them seldom show how heavy; k = 4 standard errors of 4000 shares."""
    squares = np.random.default_rng(11).standard_t(tails, (4000, 20)) ** 2
    truth = tails / (tails - 2)
    held, once = [], []
    for each in squares:
        deviations = (each - each.mean()) / 20**0.5 * (20 / 19) ** 0.5
        stderr, freedom = standard_error(deviations, 0.0)
        distance = abs(1 / each.mean() - 1 / truth) / (stderr / each.mean() ** 2)
        held.append(distance < stdtrit(freedom, 0.975))
        once.append(distance < stdtrit(2 / (2 / freedom / 3 + (1 - 1 / 3) * 2 / 19), 0.975))
    noise = (0.95 * 0.05 / 4000) ** 0.5
    assert np.mean(held) > 0.92 - 4 * noise
    # Negative control: with the excess as it is estimated, more of them miss.
    assert np.mean(once) < np.mean(held) - 2 * noise


@pytest.mark.parametrize("known", [0.0, 0.3, 0.8])
def test_a_known_part_of_the_variance_and_an_estimated_one(known):
    """Banerjee: 95% and more; of a normal variable with variance one, of which 1 − known is told by five values."""
    rng = np.random.default_rng(12)
    x, told = rng.standard_normal(20_000), (1 - known) * rng.chisquare(4, 20_000) / 4
    ours = [abs(a) < reach((known + b) ** 0.5, 4, known) for a, b in zip(x, told, strict=True)]
    noise = (0.95 * 0.05 / 20_000) ** 0.5
    assert 0.95 - 4 * noise < np.mean(ours) < 0.97
    # Negative control: as if all were known, which makes little difference where most of it is.
    assert (np.mean(np.abs(x) < 1.96 * np.sqrt(known + told)) < 0.95 - 4 * noise) == (known < 0.5)


def test_what_is_known_alone():
    assert reach(2.0, 3.0, 4.0) == reach(2.0, np.inf) == pytest.approx(2 * 1.959964, rel=1e-6)
    assert reach(2.0, 3.0, 5.0) == reach(2.0, np.inf)
    assert reach(2.0, 3.0) == pytest.approx(2 * 3.182446, rel=1e-6)


def test_where_pairs_make_up_the_variance_it_is_theirs():
    """Efron & Stein: pairs count twice in the mean square of deviations."""
    ones = np.tile([1.0, -1.0], 10)
    assert standard_error(ones, 0.5, 0.5) == (pytest.approx(0.5**0.5), np.inf)
    assert standard_error(ones, 0.6, 0.8) == (pytest.approx(0.8**0.5), np.inf)
    # Estimated, not known, it is as uncertain as the deviations, and cannot exceed their mean square.
    assert standard_error(ones, 0.8, 0.1) == (pytest.approx(0.8**0.5), pytest.approx(19))
    assert standard_error(ones, 7.0, 0.1) == (pytest.approx(1), pytest.approx(19))
    # A share of them, 2 × 0.25, is taken off once; 0.125 of 1. Deviations of one size have no tails: f = 19.
    assert standard_error(ones, 0.25) == (pytest.approx(0.875**0.5), pytest.approx(19 * (0.875 / 1.125) ** 2))
    assert standard_error(ones) == (pytest.approx(1), pytest.approx(19))


def test_pairs_of_samples_of_independent_gaussian_nodes():
    """All of the variance of v − (1 − v)/(P − 2) is theirs, where overlaps of samples (here: none) say nothing else."""
    p, n, repeats = 8, 10, 4000
    rng = np.random.default_rng(10)
    plug_in = np.array([plug_in_vni(rng.standard_normal((p, n))) for _ in range(repeats)])
    values = plug_in - (1 - plug_in) / (p - 2)
    scatter = np.var((values - values.mean()) ** 2) ** 0.5 / repeats**0.5
    right, wrong = (pair_variance(np.eye(p), p, n, 0.0, centred)[1] for centred in (True, False))
    # Negative control: as if the means were known.
    assert_sampled(values.var(), right, scatter, wrong=[wrong])


def test_the_plug_in_would_fail_where_it_is_known_to():
    study = Study(vni, "independent", "gaussian", 20, nodes=12, repeats=100)
    assert study.plug_in_bias == pytest.approx((1 - 1 / 12) / 19, rel=0.1)
    assert study.plug_in_bias > max(0.02 * study.truth, 0.2 * study.spread) + 4 * study.spread / 10


def test_independent_nodes_of_any_distribution_have_no_bias():
    """By permutation of the samples of one node, E r² = 1/(P − 1): for exponential nodes as for Gaussian ones."""
    rng = np.random.default_rng(1)
    values = np.array([vni(rng.exponential(size=(9, 6)) ** 2).unlimited for _ in range(1500)])
    value, stderr = mean_and_error(values)
    # Negative control: with the degree of freedom of the mean forgotten, E r² would be 1/P.
    assert_sampled(value, 1 / 6, stderr, wrong=[1 / 6 + 5 / 6 * (1 / 8 - 1 / 9)])


def test_nodes_that_are_not_centred():
    """Against zero: means are part of ρ then, and independent nodes of mean zero have E r² = 1/P."""
    a = mixing("three factors", 12)
    rng = np.random.default_rng(2)
    values = np.array([vni(sample(a, 12, "gaussian", rng), centre=False).unlimited for _ in range(300)])
    spread = values.std(ddof=1)
    assert abs(values.mean() - true_vni(a)) < 0.2 * spread + 4 * spread / 300**0.5
    ones = np.ones((50, 4)) + 1e-9 * rng.standard_normal((50, 4))
    assert vni(ones, centre=False).plug_in == pytest.approx(1)
    x = np.array([[3.0, 4.0, 0.0], [4.0, -3.0, 0.0]] * 3)
    result = vni(x, centre=False)
    assert (result.plug_in, result.constant_nodes) == (pytest.approx(1 / 2), 1)
    with pytest.raises(ValueError, match="1 of 3 nodes are zero over the samples, the first at column 2"):
        vni(x, centre=False, constant="raise")


@pytest.mark.parametrize("n_samples", [5, 20, 300])
def test_copies_of_one_node_are_one_node_whatever_its_tails(n_samples):
    node = np.random.default_rng(3).standard_t(5, (n_samples, 1))
    result = vni(node * np.arange(1, 9))
    assert result.value == pytest.approx(1, abs=1e-9)
    assert result.stderr < 1e-9
    assert result.confidence_interval() == pytest.approx((1, 1), abs=1e-8)
    assert result.effective_nodes == pytest.approx(1)


@pytest.mark.parametrize("n_samples", [2, 3, 4])
def test_four_samples_have_a_plug_in_and_no_more(n_samples):
    x = np.random.default_rng(4).standard_normal((n_samples, 6))
    result = vni(x)
    assert result.plug_in == pytest.approx(plug_in_vni(x))
    assert np.isnan([result.value, result.stderr, *result.confidence_interval(), result.effective_nodes]).all()


@pytest.mark.parametrize("n_samples", [2, 7, 300])
def test_one_node_is_one_node(n_samples):
    result = vni(np.arange(n_samples)[:, None])
    assert (result.value, result.stderr, result.confidence_interval(), result.effective_nodes) == (1, 0, (1, 1), 1)


def test_nodes_that_live_by_one_sample_alone():
    x = np.zeros((8, 5))
    x[np.arange(5), np.arange(5)] = 1
    x[:, 0] = np.arange(8)
    result = vni(x)
    assert np.isfinite([result.value, result.stderr, *result.confidence_interval()]).all()


def test_effective_nodes_and_interval_go_with_the_value():
    rng = np.random.default_rng(5)
    results = [vni(rng.standard_normal((30, 10))) for _ in range(50)]
    assert min(each.unlimited for each in results) < 1 / 10 < max(each.unlimited for each in results)
    for each in results:
        low, high = each.confidence_interval()
        assert 1 / 10 <= low <= each.value <= high <= 1 and each.value == max(each.unlimited, 1 / 10)
        assert each.effective_nodes == pytest.approx(1 / each.value)


@pytest.mark.parametrize(("n_samples", "nodes"), [(2000, 300), (500, 3000)])
def test_a_sketch_errs_as_it_says(n_samples, nodes):
    x = sample(mixing("three factors", nodes), n_samples, "gaussian", np.random.default_rng(6))
    expected = vni(x)
    sketches = [sketch_vni(x, probes=16, rng=seed) for seed in range(12)]
    plug_in = np.array([each.plug_in for each in sketches])
    # k = 4 of the scatter of twelve; a sketch without its probes' independence, or of the wrong scale, would be off.
    assert abs(plug_in.mean() - expected.plug_in) < 4 * plug_in.std(ddof=1) / 12**0.5
    assert plug_in.std(ddof=1) < (2 / 16) ** 0.5 * expected.plug_in
    assert np.mean([each.value - each.plug_in for each in sketches]) == pytest.approx(
        expected.value - expected.plug_in, rel=0.2
    )
    assert 0.5 < np.mean([each.stderr for each in sketches]) / plug_in.std(ddof=1) < 2
    with pytest.raises(ValueError, match="probes must be an integer ≥ 2, got 1"):
        sketch_vni(x, probes=1)


# --- nodes that are seldom other than zero ----------------------------------------------------------------------------


@pytest.mark.parametrize(("nodes", "n_samples"), [(20, 6), (20, 10), (20, 40), (100, 8), (100, 40)])
def test_sparse_nodes_that_few_samples_do_not_show(nodes, n_samples):
    """One in ten values is one, the rest zero; independent nodes. 92% at least, k = 4 standard errors of 200 shares."""
    rng, held, told, blind = np.random.default_rng(13), [], [], []
    for _ in range(200):
        result = vni(1.0 * (rng.random((n_samples, nodes)) < 0.1))
        low, high = result.confidence_interval()
        held.append(low <= 1 / nodes <= high)
        told.append(result.caveats != ())
        blind.append(result.n_nodes - result.constant_nodes < nodes)
    assert np.mean(held) > 0.92 - 4 * (0.92 * 0.08 / 200) ** 0.5
    # As if the nodes that vary in these samples were all that do, no interval could hold 1/nodes where one is missing.
    assert np.mean(blind) > 0.2 and np.mean(told) > 0.5 * np.mean(blind)


def test_what_is_not_known_has_no_error():
    """Two nodes, one of which fires once: without that sample there is nothing to correlate."""
    x = np.zeros((100, 50))
    x[:, 0] = np.random.default_rng(14).standard_normal(100)
    x[40, 1] = 1.0
    result = vni(x)
    assert np.isnan([result.value, result.stderr, result.effective_nodes, *result.confidence_interval()]).all()
    assert "fewer than two nodes vary" in result.caveats[-1] and result.plug_in > 0


def test_a_sketch_errs_as_it_says_where_a_sample_makes_up_nearly_all():
    """The value is then far more uncertain than the plug-in VNI, whose error was stated for it; k = 4."""
    x = np.eye(300)[:, :200]
    sketches = [sketch_vni(x, rng=seed) for seed in range(30)]
    values, errors = (np.array([getattr(each, name) for each in sketches]) for name in ("unlimited", "stderr"))
    assert abs(np.mean(errors) / values.std(ddof=1) - 1) < 4 / 58**0.5
    assert np.mean(errors) > 10 * np.std([each.plug_in for each in sketches])
