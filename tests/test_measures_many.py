"""Many samples: what each of them contributes, and the bias that is left, against deletion, loops and known truth."""

from itertools import permutations

import numpy as np
import pytest
from populations import mixing, sample, true_vni

from rmt_vn.measures import VNIAccumulator, unbiased_vni, vni
from rmt_vn.measures.indicator.many_samples import (
    from_correlation,
    from_overlaps,
    influence_of_leaving_out,
    influence_to_first_order,
    vni_of_many_samples,
)
from rmt_vn.measures.indicator.part_sums import PartSums
from rmt_vn.measures.nodes import varying_nodes


def off_diagonal(x, centre=True):
    """The mean of r_ij² over i ≠ j, of nodes that live."""
    measured = vni(x, centre=centre)
    n = measured.n_nodes - measured.constant_nodes
    return (measured.plug_in - 1 / n) / (1 - 1 / n)


def standardized(x):
    return (x - x.mean(axis=0)) / x.std(axis=0)


def products(z):
    """r_ij with zeros on the diagonal."""
    r = z.T @ z / len(z)
    np.fill_diagonal(r, 0)
    return r


def heavy(n_samples, n_nodes, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_t(3, (n_samples, n_nodes)) @ rng.standard_normal((n_nodes, n_nodes))


@pytest.mark.parametrize("shape", [(8, 3), (30, 5), (300, 12)])
def test_a_sample_left_out_is_a_sample_deleted(shape):
    x = heavy(*shape)
    p = shape[0]
    found = influence_of_leaving_out(standardized(x), products(standardized(x)), 0.0, 1.0, p - 1)
    deleted = np.array([off_diagonal(np.delete(x, q, axis=0)) for q in range(p)])
    expected = (p - 1) * (off_diagonal(x) - deleted)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    # Negative control: the first order, but for its mean, is another thing where a sample is large.
    first = influence_to_first_order(standardized(x), products(standardized(x)), 0.0, p)
    assert np.abs(found - found.mean() - first).max() > 0.05 * found.std()


def test_a_node_that_lives_by_the_sample_is_dead_without_it():
    x = heavy(12, 4)
    x[:, 1] = 0
    x[5, 1] = 1
    found = influence_of_leaving_out(standardized(x), products(standardized(x)), 0.0, 1.0, 11)
    expected = 11 * (off_diagonal(x) - off_diagonal(np.delete(x, 5, axis=0)))
    assert found[5] == pytest.approx(expected, rel=1e-9)


def test_a_sample_left_out_where_nodes_are_not_centred():
    x = heavy(15, 4)
    z = x / np.sqrt(np.mean(x**2, axis=0))
    found = influence_of_leaving_out(z, products(z), 0.0, 1.0, 15)
    deleted = np.array([off_diagonal(np.delete(x, q, axis=0), centre=False) for q in range(15)])
    np.testing.assert_allclose(found, 15 * (off_diagonal(x, centre=False) - deleted), rtol=1e-9, atol=1e-9)


def test_what_samples_have_with_themselves_is_the_loop():
    """What v loses with a sample, of products of samples with themselves: its own, and others' in the scales."""
    p, n = 7, 4
    z = standardized(heavy(p, n))
    u, t = z * z, 1 / (p - 1)
    g = 1 / (1 - t * u)
    pairs = list(permutations(range(n), 2))
    k = np.mean([np.mean(u[:, i] * u[:, j]) for i, j in pairs])
    taken = influence_of_leaving_out(z, products(z), 0.0, k, p - 1) - influence_of_leaving_out(
        z, products(z), 1.0, k, p - 1
    )
    for q in range(p):
        others = [u[o] for o in range(p) if o != q]
        loop = [
            t * u[q, i] * u[q, j] + np.mean([each[i] * each[j] for each in others]) * (1 - g[q, i] * g[q, j])
            for i, j in pairs
        ]
        assert taken[q] == pytest.approx(np.mean(loop), rel=1e-10)


def measured(path, nodes, n_samples, correction=0.0):
    counts = {"n_nodes": len(nodes.varying), "n_samples": n_samples, "constant_nodes": 0}
    return vni_of_many_samples(**path(nodes), counts=counts, correction=correction)


@pytest.mark.parametrize("path", [from_correlation, from_overlaps])
def test_what_leaving_out_parts_corrects(path):
    """Groups of four nodes with sources of heavy tails, from either side; k = 4 standard errors."""
    a = mixing("groups of four", 40)
    rng = np.random.default_rng(2)
    values, plain = [], []
    for _ in range(200):
        x = sample(a, 300, "t5", rng)
        sums = PartSums(np.arange(40))
        sums.update(x)
        nodes = varying_nodes(x)
        plain.append(measured(path, nodes, 300).value)
        values.append(measured(path, nodes, 300, sums.left_out(40, independent=True)[0].correction).value)
    spread = np.std(values, ddof=1)
    assert abs(np.mean(values) - true_vni(a)) < 0.2 * spread + 4 * spread / 200**0.5
    # Negative control: without it, what scales estimated from the same samples add is left.
    assert abs(np.mean(plain) - np.mean(values)) > 4 * np.std(np.subtract(plain, values)) / 200**0.5


def test_both_sides_say_the_same():
    x = sample(mixing("three factors", 30), 400, "elliptical", np.random.default_rng(3))
    one, other = (measured(path, varying_nodes(x), 400) for path in (from_correlation, from_overlaps))
    assert one.value == pytest.approx(other.value, rel=1e-9)
    assert one.stderr == pytest.approx(other.stderr, rel=1e-6)
    assert one.confidence_interval() == pytest.approx(other.confidence_interval(), rel=1e-6)


def test_all_that_is_said_is_invariant():
    x = heavy(300, 7)
    rng = np.random.default_rng(4)
    said = vni(x)
    for each in (
        x[:, rng.permutation(7)],
        x * rng.uniform(1e-3, 1e3, 7),
        x * rng.choice([-1, 1], 7),
        x + rng.uniform(-10, 10, 7),
    ):
        result = vni(each)
        assert (result.value, result.stderr) == pytest.approx((said.value, said.stderr), rel=1e-9)
        assert result.confidence_interval() == pytest.approx(said.confidence_interval(), rel=1e-9)
    # In another order other samples are in one part.
    result = vni(x[rng.permutation(300)])
    assert result.plug_in == pytest.approx(said.plug_in, rel=1e-12)
    assert 0 < abs(result.value - said.value) < 0.3 * said.stderr


@pytest.mark.parametrize("n_samples", [300, 1000])
def test_copies_of_all_nodes_change_little(n_samples):
    """As a rule less than a third of the error; with samples much larger than all others as much as two errors."""
    changes = []
    for seed in range(15):
        x = np.random.default_rng(seed).standard_t(5, (n_samples, 20))
        once, twice = vni(x), vni(np.repeat(x, 2, axis=1))
        assert once.plug_in == pytest.approx(twice.plug_in, rel=1e-12)
        changes.append(abs(once.value - twice.value) / once.stderr)
    assert np.median(changes) < 1 / 3
    assert max(changes) < 2.5


def test_an_accumulator_that_kept_nearly_all_knows_nearly_all():
    """256 of 260: the error of k, which is theirs, is that of the four that are missing."""
    x = sample(mixing("independent", 30), 260, "elliptical", np.random.default_rng(6))
    layer = VNIAccumulator()
    layer.update(x)
    assert layer.vni().stderr < 1.5 * vni(x).stderr
    assert abs(layer.vni().value - vni(x).value) < layer.vni().stderr


@pytest.mark.parametrize("shape", [(400, 3), (300, 1000)])
@pytest.mark.parametrize("centre", [True, False])
def test_nodes_that_are_never_alive_together(shape, centre):
    """One node a sample: uncorrelated where they are not centred, and hardly correlated where they are."""
    x = np.zeros(shape)
    x[np.arange(shape[0]), np.arange(shape[0]) % min(shape[1], 150)] = np.random.default_rng(7).uniform(1, 2, shape[0])
    result = vni(x, centre=centre)
    n_live = shape[1] - result.constant_nodes
    assert n_live == min(shape[1], 150)
    # Heights have the mean 3/2 and the mean square 7/3.
    rho = -centre * 2.25 / (n_live * 7 / 3 - 2.25)
    assert result.value == pytest.approx(1 / n_live + (1 - 1 / n_live) * rho**2, abs=4 * result.stderr)
    assert 0 <= result.confidence_interval()[0] <= result.confidence_interval()[1] <= 1


@pytest.mark.parametrize(("n_samples", "n_nodes"), [(300, 20), (300, 400), (700, 90)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_value_alone_is_that_of_vni(n_samples, n_nodes, dtype):
    # Of heavy tails, where the correction matters, and with constant nodes.
    x = heavy(n_samples, n_nodes).astype(dtype)
    x[:, 3] = 1.0
    measured, value = vni(x), unbiased_vni(x)
    assert abs(value - measured.value) < 0.1 * measured.stderr
    # Negative control: what is corrected is not small beside that.
    assert abs(measured.plug_in - measured.value) > 0.5 * measured.stderr


def test_the_value_alone_of_few_samples_and_of_groups_is_the_value():
    x = heavy(60, 8)
    assert unbiased_vni(x) == vni(x).value and np.isnan(unbiased_vni(x[:4]))
    images = x.reshape(10, 6, 8)
    assert unbiased_vni(images) == vni(images).value
    assert unbiased_vni(images, node_axis=1) == vni(images, node_axis=1).value
    labels = np.arange(60) // 5
    assert unbiased_vni(x, groups=labels) == vni(x, groups=labels).value != vni(x).value
    assert unbiased_vni(np.repeat(x[:, :1], 3, axis=1)[:50]) == pytest.approx(1)
    assert unbiased_vni(heavy(400, 1)) == 1
    for wrong in (x[0], np.ones((300, 5)), np.full((300, 5), np.nan)):
        with pytest.raises(ValueError, match=r"activations|nodes"):
            unbiased_vni(wrong)
