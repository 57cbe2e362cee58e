"""The VNI of single random residual networks, block by block.

Over a small ball round a point, small networks are multiplied out. Of larger ones some nodes are followed to some of
the blocks by the exact sampler of rows, from which whole layers follow (`some_nodes`); between these blocks quantiles
are interpolated. Over wide inputs, and over inputs of your own, whole networks are drawn and passed through.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from scipy.special import expit, logit

from rmt_vn.laws.effective_depth import layer_depth, residual_block_depth
from rmt_vn.laws.universal import universal_vni
from rmt_vn.measures import jacobian_correlation, jacobian_vni, unbiased_vni
from rmt_vn.network import ResidualNetwork
from rmt_vn.prediction.blocks import in_blocks
from rmt_vn.prediction.simulated import SimulatedVNI, summary
from rmt_vn.prediction.some_nodes import Estimate, mean_squares_of_layers, pairs_of, universal_scatter
from rmt_vn.samplers import walk_activations, walk_jacobian
from rmt_vn.samplers.forward import block_sizes
from rmt_vn.samplers.residual_blocks import first_signal, walk_blocks
from rmt_vn.samplers.residual_rows import sample_residual_rows
from rmt_vn.samplers.rows import through_images

# Multiplications that networks may take in all if they are to be multiplied out: a second or two.
_WORK = 1.2e10
_BLOCK_FLOATS = 2**17
# Nodes that are followed, networks at a time, and blocks to which they are followed.
_NODES, _BLOCK, _DEPTHS = 16, 50, 5
# Steps of the walk in each block, where theory says how networks scatter: found is 0.88 to 1.10 of it, at widths 48 and
# 64 with all three kinds of normalization.
_STEPS = 8
# Inputs to each network, if they are wide: by so many a VNI is known to a per cent or so.
_WIDE_INPUTS = 1024


def is_residual_multiplied_out(network: ResidualNetwork, n_networks: int) -> bool:
    """Whether so many networks can be multiplied out within a second or two."""
    products = sum(n_in * n_out for n_in, n_out in network.branch_shapes) + network.width**2
    return n_networks * network.depth * products * network.widths[0] <= _WORK


def simulate_residual_ball(
    network: ResidualNetwork, input_variance: float, n_networks: int, t: np.ndarray, rng: np.random.Generator
) -> SimulatedVNI:
    """The VNI of each layer of single random networks over a small ball.

    Parameters
    ----------
    network : ResidualNetwork
    input_variance : float
    n_networks : int
    t : ndarray
        The effective depth of each layer.
    rng : Generator
    """
    if is_residual_multiplied_out(network, n_networks):

        def multiplied(size: int, rng: np.random.Generator) -> np.ndarray:
            layers = walk_jacobian(network, size, rng=rng, input_variance=input_variance)
            return np.array([jacobian_vni(layer.rows) for layer in layers])

        largest = max(*network.widths, *network.branch_shapes[0])
        sizes = block_sizes(n_networks, max(1, _BLOCK_FLOATS // (largest * max(network.widths))))
        values = np.concatenate(in_blocks(multiplied, sizes, rng), axis=1)
        return summary(np.sort(np.minimum(values, 1.0), axis=1))
    depths, path = some_blocks(network.depth, _DEPTHS), _scatter_of_depths(network, input_variance, n_networks, rng)
    followed = [first_blocks(network, depth) for depth in depths]
    if network.readout is not None:
        depths, followed = [*depths, network.depth + 1], [*followed, network]
    layers = [
        _whole_layer(each, input_variance, n_networks, t[:depth], float(path[min(depth, network.depth) - 1]), rng)
        for each, depth in zip(followed, depths, strict=True)
    ]
    values = np.sort([each for each, _ in layers], axis=1)
    odds, at = logit(np.minimum(values, 1 - 2.0**-53)), np.log(np.arange(1, len(t) + 1))
    every = expit(np.array([np.interp(at, np.log(depths), each) for each in odds.T]).T)
    stderr = np.interp(at, np.log(depths), [each for _, each in layers])
    return SimulatedVNI(every, every.mean(axis=1), stderr)


def simulate_residual_inputs(
    network: ResidualNetwork, inputs: np.ndarray, n_networks: int, rng: np.random.Generator
) -> np.ndarray:
    """The VNI of each layer of single random networks over these inputs, as `unbiased_vni` measures it.

    Returns
    -------
    ndarray, shape (layers, n_networks)
        Network by network; NaN where no node of a network varies.
    """

    def passed(_: int, rng: np.random.Generator) -> list[float]:
        return [_measured(x) for x in walk_activations(network, inputs, rng=rng)]

    return np.array(in_blocks(passed, [1] * n_networks, rng)).T


def simulate_residual_wide(
    network: ResidualNetwork, input_variance: float, n_networks: int, rng: np.random.Generator
) -> np.ndarray:
    """As `simulate_residual_inputs`, each network with 1024 inputs N(0, v I) of its own."""
    scale = math.sqrt(input_variance)

    def passed(_: int, rng: np.random.Generator) -> list[float]:
        inputs = scale * rng.standard_normal((_WIDE_INPUTS, network.widths[0]))
        return [_measured(x) for x in walk_activations(network, inputs, rng=rng)]

    return np.sort(np.array(in_blocks(passed, [1] * n_networks, rng)).T, axis=1)


def _measured(x: np.ndarray) -> float:
    try:
        return unbiased_vni(x)
    except ValueError:
        return np.nan  # no node varies


def first_blocks(network: ResidualNetwork, depth: int) -> ResidualNetwork:
    """The network that ends behind a block, without a readout; its branches are scaled as they were."""
    return replace(network, depth=depth, branch_scale=network.beta, outputs=None)


def some_blocks(depth: int, most: int) -> list[int]:
    """All of a few, else some that are a constant factor apart, the first and the last among them."""
    if depth <= most:
        return list(range(1, depth + 1))
    return np.unique(np.geomspace(1, depth, most).round().astype(int)).tolist()


def _scatter_of_depths(
    network: ResidualNetwork, input_variance: float, n_networks: int, rng: np.random.Generator
) -> np.ndarray:
    """Var R(t)/(E R(t))² behind each block, t being that of the slopes and sizes that single networks have, (L,)."""
    x = first_signal(network, n_networks, rng, input_variance, through_images)[1]
    scales = float(np.prod(np.square(network.sigma_w))) / network.skip**2
    branch = sum(layer_depth(*shape, network.weights) for shape in network.branch_shapes)
    t, scatter = np.zeros(n_networks), []
    for block, _ in walk_blocks(network, x, rng, through_images):
        mu1, mu2 = (np.maximum(np.mean(block.slopes**k, axis=1), 1e-300) for k in (2, 4))
        mixed = 0.0 if network.hidden is None else (mu2 / mu1**2 - 1) / network.hidden
        t = t + residual_block_depth(block.gain**2 * scales * mu1, np.maximum(branch + mixed, 0.0), network.width)
        vni = np.asarray(universal_vni(t))
        scatter.append(vni.var() / max(vni.mean(), 1e-300) ** 2)
    return np.array(scatter)


def _whole_layer(
    network: ResidualNetwork,
    input_variance: float,
    n_networks: int,
    t: np.ndarray,
    path: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, float]:
    """VNI of the last layer of single networks, in any order, and the standard error of its mean, from some nodes."""

    def squares(size: int, rng: np.random.Generator) -> np.ndarray:
        return jacobian_correlation(sample_residual_rows(network, size, _NODES, rng, input_variance)) ** 2

    found = np.concatenate(in_blocks(squares, block_sizes(n_networks, _BLOCK), rng))
    n, nodes = float(network.widths[-1]), found.shape[1]
    if nodes == 1:
        return np.ones(n_networks), 0.0
    pairs = pairs_of(found, np.full(n_networks, nodes))
    others = pairs.values
    if n > nodes:
        # A block is as good as many small steps: two nodes have more in common than behind one Gaussian matrix.
        steps = np.repeat(np.maximum(np.diff(t, prepend=0.0), 1e-12) / _STEPS, _STEPS)
        scatter = universal_scatter(steps, path, 0.0, mode=0.0)
        others, _ = mean_squares_of_layers(pairs, n, math.inf, scatter, Estimate(pairs.mean.value, math.inf))
    return 1 / n + (1 - 1 / n) * others, pairs.mean.stderr
