"""How much single networks scatter about the mean VNI: simulated networks, the one asked for or a narrower twin."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
from joblib import Parallel, delayed
from scipy.special import expit, logit
from threadpoolctl import threadpool_limits

from rmt_vn.mean_field import length_map
from rmt_vn.measures import jacobian_vni
from rmt_vn.network import Network
from rmt_vn.prediction.expected import effective_depths, moments_along_depth
from rmt_vn.progress import progress
from rmt_vn.samplers import walk_jacobian
from rmt_vn.samplers.forward import block_sizes

# Multiplications that the simulated networks may take in all: one or two seconds of one core.
_WORK = 2e10
# Numbers of the matrices that are multiplied at a time: they stay within the cache.
_BLOCK_FLOATS = 2**17
# Twins of wide networks are no narrower than this where the network is not; more inputs than a multiple of the nodes
# change little.
_NARROWEST = 16
_MOST_INPUTS_PER_NODE = 4


def twin_of(network: Network, n_networks: int) -> Network:
    """The network itself, or one that is several times narrower and shallower: what can be simulated at once."""
    shrink = 1
    twin = network
    while n_networks * _work(twin.widths) > _WORK and shrink < max(network.widths):
        shrink += 1
        twin = replace(network, widths=_shrunk(network.widths, shrink))
    return twin


def simulated_vni(
    network: Network,
    twin: Network,
    vni: np.ndarray,
    t: np.ndarray,
    input_variance: float,
    n_networks: int,
    *,
    rng: np.random.Generator,
) -> np.ndarray:
    """VNI of each layer of simulated networks, in increasing order.

    Parameters
    ----------
    network, twin : Network
        What is asked for, and what is simulated; the same, or as `twin_of`.
    vni, t : ndarray, shape (L,)
        Mean VNI and effective depth of the network's layers, to which a twin's log odds are carried over.

    Returns
    -------
    ndarray, shape (L, n_networks)
    """
    sampled = np.sort(_sample_layers(twin, input_variance, n_networks, rng), axis=1)
    if twin == network:
        return sampled
    twin_t = effective_depths(twin, moments_along_depth(twin, length_map(twin, input_variance)))
    offsets = _log_odds(sampled) - _log_odds(sampled.mean(axis=1))[:, None]
    carried = np.array([np.interp(t, twin_t, each) for each in offsets.T]).T
    return expit(_log_odds(vni)[:, None] + carried)


def _log_odds(vni: np.ndarray) -> np.ndarray:
    """ln(VNI/(1 − VNI)), finite also where all nodes are one."""
    return logit(np.minimum(vni, 1 - 2.0**-53))


def _sample_layers(network: Network, input_variance: float, n_networks: int, rng: np.random.Generator) -> np.ndarray:
    """VNI of each layer of simulated networks, shape (L, n_networks)."""
    blocks = block_sizes(n_networks, _BLOCK_FLOATS // (max(network.widths[1:]) * max(network.widths)))

    def sampled(size: int, rng: np.random.Generator) -> np.ndarray:
        walk = walk_jacobian(network, size, rng=rng, input_variance=input_variance)
        return np.array([jacobian_vni(layer.jacobian) for layer in walk])

    # Each block has a generator of its own: the numbers do not depend on the number of threads. BLAS threads would only
    # get in their way.
    calls = (delayed(sampled)(size, child) for size, child in zip(blocks, rng.spawn(len(blocks)), strict=True))
    with threadpool_limits(1):
        parallel = Parallel(n_jobs=-1, prefer="threads", return_as="generator")
        done = list(progress(parallel(calls), "simulated networks", len(blocks)))
    return np.minimum(np.concatenate(done, axis=1), 1.0)  # rounding


def _work(widths: tuple[int, ...]) -> float:
    """Multiplications in a walk: each layer's product with the Jacobian so far, and the Gram matrix of its rows."""
    n_0 = widths[0]
    return float(sum(n_out * n_in * n_0 + n_out * n_out * n_0 for n_in, n_out in pairwise(widths)))


def _shrunk(widths: tuple[int, ...], shrink: int) -> tuple[int, ...]:
    n_0 = min(widths[0], _MOST_INPUTS_PER_NODE * max(widths[1:]))
    kept = [n_0, *widths[1:-1:shrink], widths[-1]]
    return tuple(max(round(width / shrink), min(width, _NARROWEST)) for width in kept)
