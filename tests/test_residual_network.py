"""`ResidualNetwork`: what it accepts, what it says of itself, and the mean field of its stream."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from brute_force import ACTIVATIONS
from statistics_checks import assert_sampled, mean_and_error

from rmt_vn import Network, ResidualNetwork, laws, samplers
from rmt_vn.residual_mean_field import blocks_mean_field

RELU = {"hidden": 30, "activation": "relu", "sigma_w": (2**0.5, 1.0)}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"width": 0}, "width must be an integer from 1"),
        ({"depth": 2.0}, "depth must be an integer from 1"),
        ({"hidden": 0}, "hidden must be an integer from 1"),
        ({"hidden": None}, "hidden must be given"),
        ({"inputs": -1}, "inputs must be an integer"),
        ({"outputs": True}, "outputs must be an integer"),
        ({"activation": "tanhh"}, "unknown activation"),
        ({"activation": 3}, "activation must be a name"),
        ({"weights": "haar"}, "weights must be one of gaussian, orthogonal"),
        ({"sigma_w": (1.0,)}, "sigma_w must be a number > 0, or 2"),
        ({"sigma_w": (1.0, 0.0)}, "sigma_w must be a number > 0"),
        ({"sigma_w": True}, "sigma_w must be a number > 0"),
        ({"sigma_w": float("nan")}, "sigma_w must be a number > 0"),
        ({"skip": 0}, "skip must be a number > 0"),
        ({"branch_scale": -1}, "branch_scale must be a number ≥ 0"),
        ({"branch_scale": "1/L"}, "must be one of 1/sqrt"),
        ({"normalization": "batch"}, "normalization must be one of none, pre, post"),
        ({"normalization": "pre", "width": 2}, "width must be at least 3"),
    ],
)
def test_what_is_wrong_is_named(wrong, message):
    with pytest.raises((TypeError, ValueError), match=message) as caught:
        ResidualNetwork(**{"width": 9, "depth": 3, "hidden": 5} | wrong)
    assert "\n" not in str(caught.value)


def test_it_says_what_it_is():
    network = ResidualNetwork(9, 16, 5, branch_scale="1/sqrt(L)", inputs=3, outputs=2)
    assert network.widths == (3, *(9,) * 17, 2)
    assert network.beta == 0.25 and replace(network, depth=4).beta == 0.5
    assert [layer.widths for layer in network.branch] == [(9, 5), (5, 9)]
    assert network.branch[0].activation.name == "tanh" and network.branch[1].activation.name == "linear"
    assert network.sigma_w == (1.0, 1.0)
    assert json.loads(json.dumps(network.to_dict()))["branch_scale"] == "1/sqrt(L)"
    assert "depth=16" in repr(network) and network == replace(network)
    assert hash(network) == hash(replace(network))


@pytest.mark.parametrize("norm", ["none", "pre", "post"])
@pytest.mark.parametrize("activation", ["tanh", "gelu"])
def test_variances_by_quadrature(norm, activation):
    """The definitions, block by block, with averages by the trapezoid rule: exact for functions as smooth as these."""
    z = np.linspace(-10, 10, 2001)
    weight = np.exp(-(z**2) / 2)
    weight /= weight.sum()
    network = ResidualNetwork(50, 3, 80, activation, sigma_w=(1.5, 0.7), skip=0.9, branch_scale=1.3, normalization=norm)
    found = blocks_mean_field(network, input_variance=0.6)
    (phi, slope), v = ACTIVATIONS[activation], 0.6
    for block in range(3):
        q = 1.5**2 * (1.0 if norm == "pre" else v)
        h = np.sqrt(q) * z
        mu1, mu2 = weight @ slope(h) ** 2, weight @ slope(h) ** 4
        branch = (1.3 * 0.7) ** 2 * (weight @ phi(h) ** 2)
        a = (1.3 * 0.7 * 1.5) ** 2 * mu1 / 0.81 / (v if norm == "pre" else 1.0)
        assert found.pre_activation[block] == pytest.approx(q, rel=1e-12)
        assert found.branch_ratio[block] == pytest.approx(a, rel=1e-10)
        assert found.slope_ratio[block] == pytest.approx(mu2 / mu1**2, rel=1e-10)
        total = 0.81 * v + branch
        assert found.chi[block] == pytest.approx(0.81 * (1 + a) / (total if norm == "post" else 1.0), rel=1e-10)
        t_branch = 1 / 50 + mu2 / mu1**2 / 80
        block_depth = laws.residual_block_depth(a, t_branch, 50)
        assert block_depth == pytest.approx((2 * a / 50 + a**2 * t_branch) / (1 + a) ** 2, rel=1e-12)
        v = 1.0 if norm == "post" else total
        assert found.log_stream[block + 1] == pytest.approx(math.log(v), abs=1e-10)


@pytest.mark.parametrize("norm", ["none", "pre"])
def test_the_stream_has_the_variance_of_the_mean_field(norm):
    network = ResidualNetwork(40, 6, normalization=norm, **RELU)
    rng = np.random.default_rng(1)
    x = rng.standard_normal((1, 40))
    x *= np.sqrt(40) / np.linalg.norm(x)
    squares = [[np.mean(y**2) for y in samplers.walk_activations(network, x, rng=rng)] for _ in range(400)]
    law = np.exp(blocks_mean_field(network).log_stream[1:])
    value, stderr = mean_and_error(squares)
    assert_sampled(value, law, stderr, wrong=[1.15 * law])


def test_tables_of_many_blocks_are_the_map():
    long, short = (ResidualNetwork(20, depth, 20, "tanh", branch_scale=0.3) for depth in (1100, 1000))
    found = blocks_mean_field(long, input_variance=0.01)
    assert found.log_stream[:1001] == pytest.approx(blocks_mean_field(short, input_variance=0.01).log_stream, abs=1e-12)
    steps = np.diff(np.exp(found.log_stream))
    # v grows by β²E tanh², which varies slowly.
    assert np.abs(np.diff(steps[900:1100])).max() < 1e-5


def test_variances_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"leaves its range at block 15 of 100: .* lower skip, got 2"):
        blocks_mean_field(ResidualNetwork(20, 100, 20, "tanh", skip=2.0))
    for wrong in (0, -1, math.nan):
        with pytest.raises(ValueError, match="input_variance must be"):
            blocks_mean_field(ResidualNetwork(20, 100, 20), input_variance=wrong)


def test_streams_beyond_doubles_have_logarithms():
    found = blocks_mean_field(ResidualNetwork(20, 5000, **RELU))
    assert found.log_stream[-1] == pytest.approx(5000 * math.log(2))
    assert found.branch_ratio == pytest.approx(np.ones(5000))
    with_norm = ResidualNetwork(20, 5000, **RELU, normalization="pre", skip=3.0)
    assert laws.effective_depth(with_norm) == pytest.approx(laws.effective_depth(replace(with_norm, depth=100)))


def test_activations_that_are_all_but_homogeneous_at_large_variances_follow_the_stream_there():
    """As ReLU does, of which GELU is a smooth version: v doubles with each block, and a is 1."""
    network = ResidualNetwork(20, 300, 20, "gelu", sigma_w=(2**0.5, 1.0))
    found = blocks_mean_field(network, input_variance=1e5)
    assert np.diff(found.log_stream)[50:] == pytest.approx(math.log(2) * np.ones(250), rel=1e-4)
    assert found.branch_ratio[50:] == pytest.approx(np.ones(250), rel=1e-4)


@pytest.mark.parametrize(
    ("network", "phase", "growth"),
    [
        (ResidualNetwork(40, 1, **RELU), "linear", 2.0),
        (ResidualNetwork(40, 1, **RELU, normalization="post"), "linear", 2.0),
        (ResidualNetwork(40, 1, **RELU, normalization="pre", skip=0.9), "linear", 2.0),
        (ResidualNetwork(40, 1, **RELU, normalization="pre", skip=1.1), "bounded", 1.0),
        (ResidualNetwork(40, 1, **RELU, branch_scale="1/sqrt(L)"), "bounded", 1.0),
        (ResidualNetwork(40, 1, **RELU, branch_scale=0), "bounded", 1.0),
        (ResidualNetwork(40, 1, 20, "tanh"), "root", 2**0.5),
        (ResidualNetwork(40, 1, 20, "sin"), "linear", 2.0),
    ],
)
def test_phases_are_how_the_effective_depth_grows(network, phase, growth):
    assert blocks_mean_field(network).phase == phase
    few, many = (laws.effective_depth(replace(network, depth=depth)) for depth in (1500, 3000))
    assert many == pytest.approx(growth * few, rel=0.02)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_with_pre_norm_the_effective_depth_grows_like_a_logarithm(activation):
    def network(depth):
        return ResidualNetwork(100, depth, 60, activation, sigma_w=(1.3, 0.8), branch_scale=1.7, normalization="pre")

    slope = laws.pre_norm_slope(network(1))
    depths = [laws.effective_depth(network(depth)) for depth in (1000, 10_000, 100_000)]
    for few, many in ((0, 1), (1, 2)):
        assert (depths[many] - depths[few]) / math.log(10) == pytest.approx(slope, rel=0.02)
    assert blocks_mean_field(network(1)).phase == "logarithmic"
    # Neither σ_2, β nor m is in it; σ_1 is, for tanh.
    other = replace(network(1), sigma_w=(1.3, 3.0), branch_scale=0.2, hidden=7)
    assert laws.pre_norm_slope(other) == pytest.approx(slope)
    steeper = laws.pre_norm_slope(replace(network(1), sigma_w=(3.0, 0.8)))
    assert (steeper == pytest.approx(slope)) == (activation == "relu")


def test_only_pre_norm_has_the_slope():
    for change in ({"normalization": "post"}, {"skip": 0.9}, {"branch_scale": "1/sqrt(L)"}, {"branch_scale": 0}):
        with pytest.raises(ValueError, match="grows like ln L with normalization 'pre'"):
            laws.pre_norm_slope(replace(ResidualNetwork(40, 3, **RELU, normalization="pre"), **change))


def test_block_depths_add_up_and_nest():
    """A branch that is itself a network has the sum of what its parts add."""
    assert laws.residual_block_depth(np.inf, 0.3, 10) == pytest.approx(0.3)
    assert laws.residual_block_depth(0.0, 0.3, 10) == 0
    assert laws.residual_block_depth(1e-8, 0.3, 10) == pytest.approx(2e-9, rel=1e-6)
    network = ResidualNetwork(40, 7, **RELU, inputs=11, outputs=12)
    bare = replace(network, inputs=None, outputs=None)
    ends = laws.effective_depth(Network((11, 40, 12), "linear"))
    assert laws.effective_depth(network) == pytest.approx(laws.effective_depth(bare) + ends)
    for wrong in ((-1, 0.1, 5), (0.1, math.nan, 5), (0.1, 0.1, 0)):
        with pytest.raises(ValueError, match="must be"):
            laws.residual_block_depth(*wrong)
