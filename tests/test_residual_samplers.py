"""Residual networks, sampled: rows against matrices, matrices against plain numpy, great depth, and activations."""

import time
from dataclasses import replace

import numpy as np
import pytest
from brute_force import ACTIVATIONS, weight_matrix
from scipy.stats import ks_2samp
from threadpoolctl import threadpool_limits

from rmt_vn import ResidualNetwork, samplers
from rmt_vn.measures import jacobian_correlation

AGREE, DISAGREE = 1e-3, 1e-4

KINDS = {
    "tanh": ResidualNetwork(5, 3, 8, "tanh", sigma_w=(1.5, 1.2), branch_scale=0.8),
    "linear haar, one matrix": ResidualNetwork(5, 3, activation="linear", weights="orthogonal", inputs=4),
    "relu pre": ResidualNetwork(6, 3, 4, "relu", sigma_w=(1.4, 1), normalization="pre", skip=0.7),
    "gelu pre haar": ResidualNetwork(6, 3, 9, "gelu", "orthogonal", normalization="pre", branch_scale=2.0, outputs=4),
    "tanh post": ResidualNetwork(6, 3, 9, "tanh", sigma_w=2.0, normalization="post", inputs=5, outputs=7),
    "relu post haar": ResidualNetwork(6, 3, 4, "relu", "orthogonal", normalization="post", branch_scale="1/sqrt(L)"),
}


def correlations(network, method, seed, n_networks=4000):
    return np.abs(samplers.sample_correlation(network, n_networks, rng=seed, method=method))


@pytest.mark.parametrize("network", KINDS.values(), ids=KINDS)
def test_rows_of_residual_networks_have_the_law_of_the_full_product(network):
    assert ks_2samp(correlations(network, "jacobian", 1), correlations(network, "chain", 2)).pvalue > AGREE


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("tanh", {"depth": 2}),
        ("tanh", {"branch_scale": 0.8}),
        ("tanh", {"hidden": 1}),
        ("tanh", {"normalization": "pre"}),
        ("linear haar, one matrix", {"weights": "gaussian"}),
    ],
)
def test_comparing_rows_tells_residual_networks_apart(name, change):
    network = replace(KINDS[name], branch_scale=3.0)
    plain, rows = correlations(network, "jacobian", 1), correlations(replace(network, **change), "chain", 2)
    assert ks_2samp(plain, rows).pvalue < DISAGREE


def brute_jacobian(rng, network):
    """The Jacobian by finite differences of a forward pass that is written out."""
    phi = ACTIVATIONS[network.activation.name][0]
    layers = list(zip(network.branch_shapes, network.sigma_w, strict=True))
    matrices = [
        [weight_matrix(rng, n_out, n_in, network.weights, sigma_w) for (n_in, n_out), sigma_w in layers]
        for _ in range(network.depth)
    ]

    def normalized(x):
        return (x - x.mean(0)) / x.std(0)

    def stream(x):
        for branch in matrices:
            y = normalized(x) if network.normalization == "pre" else x
            y = phi(branch[0] @ y) if len(branch) == 2 else y
            x = network.skip * x + network.beta * branch[-1] @ y
            x = normalized(x) if network.normalization == "post" else x
        return x

    n = network.width
    x = rng.normal(size=n)
    x *= np.sqrt(n) / np.linalg.norm(x)
    step = 1e-5 * np.eye(n)
    return (stream(x[:, None] + step) - stream(x[:, None] - step)) / 2e-5


@pytest.mark.parametrize(
    "name", ["tanh post", *(pytest.param(name, marks=pytest.mark.slow) for name in ("tanh", "gelu pre haar"))]
)
def test_matrices_have_the_law_of_finite_differences(name):
    network = replace(KINDS[name], inputs=None, outputs=None)
    rng = np.random.default_rng(4)
    brute = np.array([brute_jacobian(rng, network) for _ in range(1000)])
    *_, last = samplers.walk_jacobian(network, 1000, rng=5)
    rho = jacobian_correlation(last.jacobian)[:, 0, 1]
    assert ks_2samp(rho, jacobian_correlation(brute)[:, 0, 1]).pvalue > AGREE
    sizes, brute_sizes = (np.log(np.linalg.norm(each, axis=(1, 2))) for each in (last.jacobian, brute))
    assert ks_2samp(last.log_norm + sizes, brute_sizes).pvalue > AGREE
    # The same comparison sees half as much again.
    assert ks_2samp(last.log_norm + sizes + 0.4, brute_sizes).pvalue < DISAGREE


DEEP = {
    "grows": ResidualNetwork(4, 1500, activation="linear", weights="orthogonal", skip=9.0),
    "shrinks": ResidualNetwork(4, 1500, 4, "relu", skip=0.1, branch_scale=0.1),
    "pre grows": ResidualNetwork(4, 1500, 4, "tanh", normalization="pre", skip=3.0),
    "pre shrinks": ResidualNetwork(4, 1500, 4, "tanh", normalization="pre", skip=0.1, branch_scale=1e-200),
    "post": ResidualNetwork(4, 1500, 4, "gelu", normalization="post", branch_scale=1e-8),
}


def all_finite(network):
    for method in ("jacobian", "chain"):
        assert np.all(np.abs(samplers.sample_correlation(network, 2, rng=1, method=method)) <= 1 + 1e-12)
    *_, last = samplers.walk_jacobian(network, 2, rng=1)
    assert np.all(np.isfinite(last.log_norm)) and np.all(np.isfinite(last.jacobian))


@pytest.mark.parametrize("name", ["grows", "pre shrinks"])
def test_deep_networks_neither_overflow_nor_underflow(name):
    all_finite(replace(DEEP[name], depth=350))


@pytest.mark.slow
@pytest.mark.parametrize("network", DEEP.values(), ids=DEEP)
def test_ten_thousand_blocks_neither_overflow_nor_underflow(network):
    all_finite(replace(network, depth=10_000))


def test_a_stream_that_leaves_the_doubles_is_told():
    with pytest.raises(OverflowError, match="stream of a residual network leaves the range"):
        samplers.sample_vni(ResidualNetwork(3, 3000, 3, "tanh", skip=3.0), 2, rng=1)
    with pytest.raises(OverflowError, match="activations overflow at block"):
        samplers.sample_activations(ResidualNetwork(3, 3000, 3, "relu", skip=3.0), np.ones((1, 3)), rng=1)


def test_what_is_asked_wrongly_is_refused():
    network = KINDS["tanh"]
    with pytest.raises(ValueError, match="'signal_chain' is for plain networks"):
        samplers.sample_vni(network, 2, method="signal_chain")
    with pytest.raises(ValueError, match="input_variance must be > 0"):
        samplers.sample_vni(network, 2, input_variance=0)
    with pytest.raises(ValueError, match=r"n_0 = 5"):
        samplers.sample_activations(network, np.ones((2, 4)))
    with pytest.raises(ValueError, match="at least 2 nodes"):
        samplers.sample_correlation(replace(network, outputs=1), 2)


INPUTS = np.random.default_rng(0).standard_normal((3, 5))


def outputs(network, method, seed, repeats=400):
    rng = np.random.default_rng(seed)
    found = [samplers.sample_activations(network, INPUTS, rng=rng, method=method) for _ in range(repeats)]
    return np.array([[x[0, 0], x[0, 0] * x[1, 0], x[0, 0] * x[1, 1], x[2, -1] * x[1, -1]] for x in found]).T


def least_pvalue(network, other):
    pairs = zip(outputs(network, "weights", 1), outputs(other, "gram", 2), strict=True)
    return 4 * min(ks_2samp(a, b).pvalue for a, b in pairs)


@pytest.mark.parametrize("name", ["tanh", *(pytest.param(name, marks=pytest.mark.slow) for name in list(KINDS)[1:])])
def test_activations_need_no_weight_matrices(name):
    network = replace(KINDS[name], width=5, inputs=None)
    assert least_pvalue(network, network) > AGREE


def test_activations_of_other_networks_are_told_apart():
    network = replace(KINDS["tanh"], inputs=None)
    assert least_pvalue(network, replace(network, normalization="post")) < DISAGREE


def test_activations_come_block_by_block():
    network = replace(KINDS["gelu pre haar"], inputs=3)
    shapes = [x.shape for x in samplers.walk_activations(network, np.ones((2, 3)), rng=1)]
    assert shapes == [(2, 6)] * 3 + [(2, 4)]


def test_equal_seeds_give_equal_numbers():
    for network in (KINDS["relu pre"], ResidualNetwork(5, 4, activation="linear")):
        one, two, other = (samplers.sample_vni(network, 5, rng=seed).values for seed in (3, 3, 4))
        assert np.array_equal(one, two) and not np.array_equal(one, other)


@pytest.mark.slow
def test_rows_of_wide_networks_are_quick():
    """N = 1000, 200 blocks, 20 networks: at most 10 s of one thread, and far less than the matrices take."""
    network = ResidualNetwork(1000, 200, 1000, "tanh", normalization="pre", branch_scale=2.0)
    with threadpool_limits(1):
        start = time.process_time()
        samplers.sample_vni(network, 20, rng=1)
        rows = time.process_time() - start
        start = time.process_time()
        samplers.sample_vni(replace(network, depth=2), 2, rng=1, method="jacobian")
        plain = (time.process_time() - start) * 100 * 10
    print(f"rows {rows:.1f} s, matrices about {plain:.0f} s")
    assert rows < 10 < plain / 10
