"""The VNI of single random networks over inputs in a small ball: the network itself, simulated at its own widths.

Small networks are multiplied out, and so are those of few inputs. Of larger ones some nodes are followed at some depths
(`samplers.gram_chain`), whole layers follow from these (`some_nodes`), and between the depths the quantiles of the log
odds are interpolated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy.special import expit, logit

from rmt_vn.activations import Activation
from rmt_vn.laws.universal import universal_vni
from rmt_vn.measures import jacobian_vni
from rmt_vn.network import Network
from rmt_vn.prediction.blocks import in_blocks
from rmt_vn.prediction.simulated import SimulatedVNI, summary
from rmt_vn.prediction.some_nodes import (
    Estimate,
    Pairs,
    Scatter,
    mean_squares_of_layers,
    pairs_of,
    universal_scatter,
)
from rmt_vn.samplers import walk_jacobian
from rmt_vn.samplers.columns import walk_columns
from rmt_vn.samplers.forward import block_sizes
from rmt_vn.samplers.gram_chain import NARROW, NodeGrams, walk_grams

# Multiplications that networks may take in all if they are to be multiplied out: about a second or two.
_WORK = 1.2e10
# Numbers of the matrices that are multiplied at a time: they stay within the cache.
_BLOCK_FLOATS = 2**17
# Nodes that are followed (near the inputs, and further on), networks at a time, and depths at which they are followed
# where layers are equally wide.
_NODES, _FEWER_NODES, _BLOCK, _DEPTHS = 20, 14, 300, 8
# A layer that adds more than this to the effective depth is as good as narrow.
_SATURATED = 0.1
# Nodes that are followed behind a narrow layer.
_BEHIND_NARROW = 48
# Fewer nodes are followed from this effective depth on.
_NEAR = 0.08
# Beyond this many changes of the width not every one has a depth of its own.
_MOST_CHANGES = 24
# Where all networks have come as close as this to one effective node they stay there.
_MERGED = 1e-9


def simulate_ball(
    network: Network,
    input_variance: float,
    n_networks: int,
    *,
    exact: np.ndarray,
    added: np.ndarray,
    rng: np.random.Generator,
) -> tuple[SimulatedVNI, SimulatedVNI]:
    """The VNI of the pre-activations of all nodes, and of the activations of live nodes.

    Parameters
    ----------
    network : Network
    input_variance : float
    n_networks : int
    exact : ndarray, shape (L,)
        E ρ² of two nodes of each layer where it is known exactly, else NaN.
    added : ndarray, shape (L,)
        The effective depth of each weight matrix.
    rng : Generator

    Returns
    -------
    every, live : SimulatedVNI
    """
    if not is_multiplied_out(network, n_networks):
        return _followed(network, input_variance, n_networks, exact, added, rng)
    every, live = _multiplied_out(network, input_variance, n_networks, rng)
    return summary(np.sort(every, axis=1)), summary(np.sort(live, axis=1))


def is_multiplied_out(network: Network, n_networks: int) -> bool:
    """Whether so many networks can be multiplied out within a second or two."""
    return n_networks * _work(network.widths) <= _WORK


def _work(widths: tuple[int, ...]) -> float:
    """Multiplications in a walk: each layer's product with the Jacobian so far, and the Gram matrix of its rows."""
    n_0 = widths[0]
    if _few_inputs(widths):
        # What takes as long as the random numbers and the rest that each node needs is counted, too.
        return float(sum(n_out * (n_0**2 + 1500) for n_out in widths[1:]))
    return float(sum(n_out * n_in * n_0 + n_out * n_out * n_0 for n_in, n_out in pairwise(widths)))


def _few_inputs(widths: tuple[int, ...]) -> bool:
    """Whether it is quicker to draw what weights make of n_0 + 1 vectors than to draw the weights."""
    return 3 * widths[0] <= max(widths)


def _multiplied_out(
    network: Network, input_variance: float, n_networks: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """VNI of each layer, of the rows of all nodes and of live ones, each of shape (L, n_networks)."""
    if _few_inputs(network.widths):
        walk, vectors = walk_columns, network.widths[0] + 1
    else:
        walk, vectors = walk_jacobian, max(network.widths)

    def sample(size: int, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
        found = []
        for layer in walk(network, size, rng=rng, input_variance=input_variance):
            found.append((jacobian_vni(layer.rows), jacobian_vni(layer.jacobian)))
            if found[-1][0].min() > 1 - _MERGED:
                # All nodes of each network have become one, and they stay one.
                found += [(np.ones(size), np.ones(size))] * (network.depth - len(found))
                break
        return found

    sizes = block_sizes(n_networks, _BLOCK_FLOATS // (max(network.widths[1:]) * vectors))
    every, live = np.concatenate(in_blocks(sample, sizes, rng), axis=2).transpose(1, 0, 2)
    return np.minimum(every, 1.0), np.minimum(live, 1.0)  # rounding


def _followed(
    network: Network,
    input_variance: float,
    n_networks: int,
    exact: np.ndarray,
    added: np.ndarray,
    rng: np.random.Generator,
) -> tuple[SimulatedVNI, SimulatedVNI]:
    chosen = chosen_depths(network.widths)
    nodes = {depth: _nodes_at(network, depth, added) for depth in chosen}

    def sample(size: int, rng: np.random.Generator) -> list[NodeGrams]:
        found = []
        for grams in walk_grams(network, size, nodes, rng=rng, input_variance=input_variance):
            found.append(grams)
            if np.all(_squares(grams.every)[:, 0, 1:] > 1 - _MERGED):
                break
        return found

    blocks = in_blocks(sample, block_sizes(n_networks, _BLOCK), rng)
    known = chosen[: max(len(block) for block in blocks)]
    every, live = [], []
    for index, depth in enumerate(known):
        shape = min(nodes[depth], network.widths[depth]), network.widths[depth]
        grams = [block[index] if index < len(block) else _merged(block[-1], depth, *shape) for block in blocks]
        theory = _theory(network, depth, added, grams, float(exact[depth - 1]))
        n, n_live = np.full(n_networks, float(network.widths[depth])), np.concatenate([each.n_live for each in grams])
        every.append(_whole_layer(np.concatenate([_squares(each.every) for each in grams]), n, theory))
        if _has_flat_parts(network.activation):
            # What is known is of any nodes. Live ones have small components along the signal, and other rows.
            theory = replace(theory, mean=Estimate(theory.mean.value, math.inf))
        live.append(_whole_layer(np.concatenate([_squares(each.live) for each in grams]), n_live, theory))
    return _along_depth(network, known, every), _along_depth(network, known, live)


def _has_flat_parts(activation: Activation) -> bool:
    """Whether φ is flat between kinks or beyond them, so that |h| tells which nodes are live, and not sign(h) alone."""
    if activation.is_homogeneous or not activation.kinks:
        return False
    first, last = activation.kinks[0], activation.kinks[-1]
    between = [first - 1, *((low + high) / 2 for low, high in pairwise(activation.kinks)), last + 1]
    return bool(np.any(activation.dphi(np.array(between)) == 0))


def _nodes_at(network: Network, depth: int, added: np.ndarray) -> int:
    """The further from the inputs, the more do networks differ, and the fewer nodes tell by how much.

    Behind a narrow layer the values of whole layers are not spread as those of some nodes are: there are more then.
    """
    if depth > 1 and _narrowest(network, added[:depth]) <= NARROW:
        return _BEHIND_NARROW
    return _NODES if added[:depth].sum() < _NEAR else _FEWER_NODES


def _narrowest(network: Network, added: np.ndarray) -> float:
    """The fewest nodes of the hidden layers before; of saturated layers, which add much to t, as many as 2.4/t_l."""
    return min(*network.widths[1 : len(added)], _SATURATED * NARROW / max(added[1:].max(), 1e-9))


def _merged(before: NodeGrams, depth: int, nodes: int, width: int) -> NodeGrams:
    """What comes deeper in networks all of whose nodes have become one: they stay one."""
    size = len(before.n_live)
    ones = np.ones((size, nodes, nodes))
    return NodeGrams(depth, ones, ones, np.full(size, float(width)), before.effective_depth)


def chosen_depths(widths: tuple[int, ...]) -> list[int]:
    """Depths at which nodes are followed: all of a few; else some a constant factor apart, and where widths change."""
    depth = len(widths) - 1
    if depth <= _DEPTHS:
        return list(range(1, depth + 1))
    spread = np.geomspace(1, depth, _DEPTHS).round().astype(int).tolist()
    at_changes = (layer + after for layer in range(1, depth) if widths[layer] != widths[layer + 1] for after in (0, 1))
    changes = sorted(set(at_changes))
    if len(changes) > _MOST_CHANGES:
        changes = [changes[i] for i in np.linspace(0, len(changes) - 1, _MOST_CHANGES).round().astype(int)]
    return sorted({*spread, *changes})


@dataclass(frozen=True, eq=False)
class _Theory:
    """What is known of a layer beside its nodes.

    Attributes
    ----------
    population : float
        The nodes are as good as so many at random of as many as this: of the whole rotation if n_in components of its
        rows are kept, and of more if fewer are; for Gaussian weights inf.
    mean : Estimate
        E ρ² of two nodes: exactly, or by S4 with the slopes that single networks have.
    depths : ndarray, or None
        Effective depths of the inputs and the hidden layers before; None where S4 has no word, as layers are narrow.
    path : float
        How much R(t) scatters with the slopes, relative to its mean, squared.
    mode : float
        Σ t_l/n_l over the hidden layers before, where φ feeds the signal mode; else 0.
    independent : bool
        Whether ρ of two pairs of nodes are independent, as in the first layer if its weights are Gaussian.
    """

    population: float
    mean: Estimate
    depths: np.ndarray | None
    path: float
    mode: float
    independent: bool


def _theory(network: Network, depth: int, added: np.ndarray, grams: list[NodeGrams], exact: float) -> _Theory:
    n_in, n_out = network.widths[depth - 1 : depth + 1]
    # Rows of a rotation are orthonormal; corners of them are, the less so the fewer of their components are kept.
    population = math.inf if network.weights == "gaussian" else max(n_in, n_out) ** 2 / n_in
    by_slopes = np.asarray(universal_vni(np.concatenate([each.effective_depth for each in grams])))
    mean, before = float(by_slopes.mean()), added[:depth]
    wide = before.sum() > 0 and network.widths[0] > NARROW and (depth == 1 or _narrowest(network, before) > NARROW)
    law = Estimate(exact, 0.0) if math.isfinite(exact) else Estimate(mean, 1e-12 if wide else np.inf)
    path = float(by_slopes.std() / mean) ** 2 if mean > 0 else 0.0
    fed = 0.0 if network.activation.is_homogeneous else float(np.sum(before[1:] / np.array(network.widths[1:depth])))
    return _Theory(population, law, before if wide else None, path, fed, depth == 1 and network.weights == "gaussian")


def _scatter(pairs: Pairs, theory: _Theory) -> Scatter | None:
    if theory.independent:
        return Scatter(apart=0.0, node=0.0, error=0.0)
    if theory.depths is None:
        return None
    off = abs(pairs.mean.value / theory.mean.value - 1) - 2 * pairs.mean.stderr / pairs.mean.value
    return universal_scatter(theory.depths, theory.path, max(off, 0.0), mode=theory.mode)


def _squares(gram: np.ndarray) -> np.ndarray:
    """ρ², shape (n_networks, nodes, nodes), zero for nodes that are not there."""
    size = np.einsum("nii->ni", gram)
    size = np.where(size > 0, size, np.inf)
    return np.minimum(gram**2 / (size[:, :, None] * size[:, None, :]), 1.0)


def _whole_layer(squares: np.ndarray, n: np.ndarray, theory: _Theory) -> tuple[np.ndarray, float, float]:
    """VNI of layers of n nodes from ρ² of some of them: values, the mean and its standard error."""
    at_hand = np.minimum(n, squares.shape[1])
    several = n > 1
    others = np.zeros(len(n))
    stderr = 0.0
    if several.any():
        pairs = pairs_of(squares[several], at_hand[several])
        if np.all(n <= at_hand):
            others[several], stderr = pairs.values, pairs.mean.stderr
        else:
            mean_n = 1 / float(np.mean(1 / n[several]))
            known = theory.population, _scatter(pairs, theory), theory.mean
            others[several], stderr = mean_squares_of_layers(pairs, max(mean_n, 2.0), *known)
    values = 1 / n + (1 - 1 / n) * others
    return values, float(values.mean()), stderr


def _along_depth(network: Network, chosen: list[int], layers: list[tuple[np.ndarray, float, float]]) -> SimulatedVNI:
    """All layers: between the depths at which networks were followed, by interpolation of log odds in ln l."""
    values = np.sort([each[0] for each in layers], axis=1)
    odds = logit(np.minimum(values, 1 - 2.0**-53))
    depths, known = np.log(np.arange(1, network.depth + 1)), np.log(chosen)
    every = expit(np.array([np.interp(depths, known, each) for each in odds.T]).T)
    mean = expit(np.interp(depths, known, logit(np.minimum([each[1] for each in layers], 1 - 2.0**-53))))
    stderr = np.interp(depths, known, [each[2] for each in layers])
    return SimulatedVNI(every, mean, stderr)
