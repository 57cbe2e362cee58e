"""From some nodes to whole layers: covariances without bias, theory of the scatter, and the chain of Gram matrices."""

import itertools
import math

import numpy as np
import pytest
from brute_force import ball_vni
from statistics_checks import assert_sampled

from rmt_vn import Network, laws, samplers
from rmt_vn.laws.trace_moments import trace_moment_along_depth
from rmt_vn.prediction.some_nodes import Estimate, mean_squares_of_layers, moved, pairs_of, universal_scatter
from rmt_vn.samplers.gram_chain import walk_grams


def squared_correlations(gram):
    size = np.einsum("nii->ni", gram)
    return gram**2 / (size[:, :, None] * size[:, None, :])


def test_moments_are_means_over_distinct_nodes():
    squares = np.random.default_rng(1).random((5, 6, 6))
    squares = (squares + squares.swapaxes(1, 2)) / 2
    pairs = pairs_of(squares, np.full(5, 6))
    by_network = {"apart": [], "shared": [], "same": [], "mean": []}
    for each in squares:
        quadruples = list(itertools.permutations(range(6), 4))
        by_network["apart"].append(np.mean([each[a, b] * each[c, d] for a, b, c, d in quadruples]))
        by_network["shared"].append(np.mean([each[a, b] * each[a, c] for a, b, c, _ in quadruples]))
        by_network["same"].append(np.mean([each[a, b] ** 2 for a, b, *_ in quadruples]))
        by_network["mean"].append(np.mean([each[a, b] for a, b, *_ in quadruples]))
    found = {name: np.array(values) for name, values in by_network.items()}
    np.testing.assert_allclose(pairs.values, found["mean"], rtol=1e-12)
    # The square of the mean of five networks is larger than that of the true mean by its variance.
    square = found["mean"].mean() ** 2 - found["mean"].var(ddof=1) / 5
    assert pairs.apart.value == pytest.approx(found["apart"].mean() - square, rel=1e-10)
    assert pairs.shared.value == pytest.approx(found["shared"].mean() - square, rel=1e-10)
    assert pairs.same == pytest.approx(found["same"].mean() - found["mean"].mean() ** 2, rel=1e-10)


def test_nodes_that_are_not_there_do_not_count():
    squares = np.random.default_rng(2).random((4, 7, 7))
    fewer = squares.copy()
    fewer[:, 5:] = fewer[:, :, 5:] = 0
    one, other = pairs_of(fewer, np.full(4, 5)), pairs_of(squares[:, :5, :5], np.full(4, 5))
    np.testing.assert_allclose(one.values, other.values, rtol=1e-12)
    assert one.same == pytest.approx(other.same, rel=1e-9)
    for name in ("apart", "shared"):
        assert getattr(one, name).value == pytest.approx(getattr(other, name).value, rel=1e-9)


@pytest.mark.parametrize(("mean", "variance"), [(0.3, 0.01), (0.02, 1e-6), (0.9, 0.02), (0.3, 0.0)])
def test_moved_values_have_the_mean_and_variance(mean, variance):
    values = np.random.default_rng(3).beta(2, 5, 500)
    found = moved(values, mean, variance)
    assert found.mean() == pytest.approx(mean, rel=1e-6) and found.var() == pytest.approx(variance, rel=1e-4, abs=1e-12)
    assert np.all(np.diff(found[np.argsort(values)]) >= 0)


@pytest.mark.parametrize("partition", [(2,), (1, 1), (3,), (2, 1), (4,), (2, 2), (2, 1, 1), (1, 1, 1, 1)])
def test_moments_along_depth_are_those_of_whole_widths(partition):
    widths = (40, 25, 30, 20)
    found = trace_moment_along_depth(1 / np.array(widths), partition)
    for layers in (1, 2, 3):
        # Both sides up to what depends on the weight alone, which (1, …, 1) tells; a power of the last width is not in.
        ones = (1,) * sum(partition)
        exact = laws.trace_moment(widths[: layers + 1], partition) / laws.trace_moment(widths[: layers + 1], ones)
        along = trace_moment_along_depth(1 / np.array(widths), ones)
        ratio = found[layers] / along[layers]
        assert ratio == pytest.approx(float(exact), rel=1e-10)


def test_estimates_are_put_together_by_their_errors():
    both = Estimate(1.0, 0.1).with_prior(Estimate(1.2, 0.2))
    assert both.value == pytest.approx(1.04) and both.stderr == pytest.approx(0.1 * 0.8**0.5)
    assert Estimate(1.0, 0.1).with_prior(Estimate(3.0, 0.2)) == Estimate(1.0, 0.1)
    assert Estimate(1.0, 0.1).with_prior(Estimate(0.0, math.inf)) == Estimate(1.0, 0.1)
    assert Estimate(0.0, math.inf).with_prior(Estimate(2.0, 0.2)) == Estimate(2.0, 0.2)


@pytest.mark.parametrize(
    ("activation", "parameters"), [("linear", {}), ("relu", {"sigma_w": 2**0.5}), ("gelu", {"sigma_w": 1.5})]
)
def test_the_variance_of_whole_layers(activation, parameters):
    """Of 1500 networks of width 40 by brute force, against twenty nodes of others with and without theory."""
    network = Network.uniform(40, 4, activation=activation, **parameters)
    rng = np.random.default_rng(4)
    every = np.array([ball_vni(rng, network.widths, activation=activation, **parameters)[-1][0] for _ in range(1500)])
    truth = (every - 1 / 40) / (1 - 1 / 40)
    (grams,) = walk_grams(network, 4000, {4: 20}, rng=rng, input_variance=1.0)
    pairs = pairs_of(squared_correlations(grams.every), np.full(4000, 20))
    stderr = truth.var() * math.sqrt(2 / 1500)
    assert_sampled(pairs.mean.value, truth.mean(), math.hypot(pairs.mean.stderr, truth.std() / 1500**0.5))
    by_slopes = laws.universal_vni(grams.effective_depth)
    parts = [Network(network.widths[: layers + 1], activation, **parameters) for layers in (1, 2, 3, 4)]
    depths = np.diff([laws.effective_depth(part, input_variance=1.0) for part in parts], prepend=0.0)
    fed = 0.0 if activation in ("linear", "relu") else float(np.sum(depths[1:] / 40))
    theory = universal_scatter(depths, by_slopes.var() / by_slopes.mean() ** 2, 0.0, mode=fed)
    for scatter in (None, theory):
        whole, _ = mean_squares_of_layers(pairs, 40, math.inf, scatter, pairs.mean)
        # The variance of the variance of samples; the covariances of 4000 networks are known to 10% of it.
        assert abs(whole.var() - truth.var()) < 4 * stderr + 0.1 * truth.var()
        # Twenty nodes scatter more.
        assert pairs.values.var() - truth.var() > 4 * stderr + 0.1 * truth.var()


@pytest.mark.parametrize(
    "network",
    [
        Network.uniform(60, 5, activation="softplus", sigma_w=1.35),
        Network.uniform(60, 5, activation="silu", sigma_w=1.39, sigma_b=0.5**0.5),
        Network((20, 60, 3, 60), activation="tanh", sigma_w=1.5, weights="orthogonal"),
        Network((3, 60, 60), activation="sin", sigma_w=1.5),
        Network.uniform(60, 5, activation="hard_tanh", sigma_w=2.0, keep=0.8),
    ],
    ids=repr,
)
def test_the_chain_of_gram_matrices_has_the_mean_of_full_matrices(network):
    depth = network.depth
    (grams,) = walk_grams(network, 4000, {depth: 8}, rng=np.random.default_rng(5), input_variance=1.0)
    pairs = pairs_of(squared_correlations(grams.live + 1e-100 * np.eye(8)), np.minimum(8, grams.n_live))
    exact = samplers.sample_vni(network, 1000, rng=6, method="jacobian", input_variance=1.0)
    alone = 1 / grams.n_live
    value = alone + (1 - alone) * pairs.values
    error = math.hypot(exact.stderr, value.std() / 4000**0.5)
    # The negative control: five percent more, and the chain of means where the mode takes over.
    assert_sampled(value.mean(), exact.value, error, wrong=[1.05 * exact.value])


@pytest.mark.parametrize(
    ("network", "input_variance", "wrong"),
    [
        # All but constant slopes: what the signal takes from orthonormal rows they have to give back.
        (Network.uniform(40, 2, activation="softplus", weights="orthogonal", sigma_w=2.0, sigma_b=0.1), 1e-6, [0.0258]),
        (Network.uniform(60, 3, activation="erf", weights="orthogonal", sigma_w=1.5), 1.0, []),
        (Network((2, 40, 12), activation="sin", weights="orthogonal"), 1e-6, [0.387]),
    ],
    ids=repr,
)
def test_haar_matrices_keep_rows_orthonormal(network, input_variance, wrong):
    """Wrong: the VNI where the two or three special dimensions, or the inputs, are drawn as for Gaussian weights.

    The chain is not exact: 0.1% is allowed beside four standard errors.
    """
    rng, n = np.random.default_rng(7), network.widths[-1]
    (grams,) = walk_grams(network, 3000, {network.depth: 12}, rng=rng, input_variance=input_variance)
    pairs = pairs_of(squared_correlations(grams.every), np.full(3000, 12))
    of_network = {name: getattr(network, name) for name in ("weights", "sigma_w", "sigma_b")}
    name = network.activation.name
    every = [ball_vni(rng, network.widths, activation=name, v=input_variance, **of_network)[-1][0] for _ in range(600)]
    value, error = 1 / n + (1 - 1 / n) * pairs.mean.value, (1 - 1 / n) * pairs.mean.stderr
    allowed = 4 * math.hypot(error, np.std(every) / 600**0.5) + 0.001 * value
    assert abs(value - np.mean(every)) < allowed
    assert all(abs(other - np.mean(every)) > allowed for other in [*wrong, 1.05 * value])
