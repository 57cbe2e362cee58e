"""Any activation: several walks of a few rows through each network, each as exact as one (`rows`) and less dear.

Rows of the Jacobian in front of a layer's slopes D are a x̂ᵀ + R z, where z are fresh rows across the signal's direction
x̂. What the layer makes of them follows from two small arrays, and only to make those takes O(n): the Gram matrix of
the rows x̂ D and z D, and their products with the image W x̂ of the layer before. Fresh rows of other signs are as likely
as z. So there is, at O(1) a layer, a walk for each choice of signs, and the mean over some of them scatters much less
from network to network than one of them.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from rmt_vn.ensembles import orthonormal_columns
from rmt_vn.network import Network
from rmt_vn.samplers.rows import forward_pass, gram_root, padded
from rmt_vn.samplers.signal_chain import root_of_sum


def turned_rows_vni(
    network: Network, n_networks: int, count: int, turns: int, rng: np.random.Generator, input_variance: float | None
) -> np.ndarray:
    """The VNI over live nodes of each network, from the pairs of some rows: the mean over several walks of them.

    No layer has fewer than count + 1 nodes.
    """
    shapes = list(pairwise(network.widths))
    directions, images, slopes = forward_pass(network, n_networks, rng, input_variance)
    live = slopes[-1] != 0
    nodes = np.argsort(~live, axis=-1, kind="stable")[:, :count, None]
    basis = (np.arange(network.widths[-1]) == nodes) * live[:, None, :]
    # Rows are `inward` times the basis; networks last, one behind the other for each turn.
    inward = np.broadcast_to(np.eye(count)[..., None], (count, count, n_networks * turns))
    for layer in reversed(range(network.depth)):
        along, root = _behind(network, shapes[layer], basis, images[layer])
        mode, rest = _walked(inward, _for_turns(along, turns), _for_turns(root, turns))
        rest = rest * rng.choice([-1.0, 1.0], size=(count, n_networks * turns))
        size = np.sqrt(np.sum(rest**2, axis=(0, 1)) + np.sum(mode**2, axis=0))
        inward = np.concatenate([mode[:, None], rest], axis=1) / size
        slope = slopes[layer - 1] if layer > 0 else np.ones((n_networks, network.widths[0]))
        basis = _fresh(network, shapes[layer], directions[layer], count, rng) * slope[:, None]
    root = _for_turns(gram_root(basis), turns)
    rows = np.einsum("ijn,jkn->ikn", inward, root)
    vni = _pairs_vni(np.einsum("ijn,kjn->ikn", rows, rows), np.tile(np.count_nonzero(live, axis=-1), turns))
    return vni.reshape(turns, n_networks).mean(axis=0)


def _behind(
    network: Network, shape: tuple[int, int], basis: np.ndarray, image: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What W makes of basis rows: their components along x̂, and the root of their Gram matrix across it."""
    n_in, n_out = shape
    along = basis @ image[:, :n_out, None]
    if network.weights == "gaussian":
        return along[..., 0], network.sigma_w / np.sqrt(n_in) * gram_root(basis)
    n = max(n_in, n_out)
    gain = network.sigma_w * np.sqrt(n / n_in)
    return along[..., 0], gain * gram_root(padded(basis, n) - along / gain**2 * image[:, None, :])


def _walked(inward: np.ndarray, along: np.ndarray, root: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Components along x̂ of the rows inward × basis, and the lower triangular root of their Gram matrix across it."""
    count = len(inward)
    mode = np.einsum("ijn,jn->in", inward, along)
    if inward.shape[1] == count:
        return mode, root
    # (v, R) times ((r, 0), (s, S)) is (v r + R s, R S).
    vector = inward[:, 0] * root[0, 0] + np.einsum("ijn,jn->in", inward[:, 1:], root[1:, 0])
    product = np.zeros((count, count, inward.shape[-1]))
    for middle in range(count):
        product[middle:, : middle + 1] += inward[middle:, middle + 1, None] * root[middle + 1, None, 1 : middle + 2]
    return mode, root_of_sum(product, vector)


def _fresh(
    network: Network, shape: tuple[int, int], direction: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """x̂ and fresh rows across it, Gaussian or a frame."""
    n_in = shape[0]
    n = n_in if network.weights == "gaussian" else max(shape)
    direction = padded(direction, n)[:, None]
    fresh = rng.standard_normal((len(direction), count, n))
    fresh -= (fresh @ np.swapaxes(direction, -2, -1)) * direction
    if network.weights == "orthogonal":
        fresh = np.swapaxes(orthonormal_columns(np.swapaxes(fresh, -2, -1)), -2, -1)
    return np.concatenate([direction, fresh], axis=-2)[..., :n_in]


def _for_turns(numbers: np.ndarray, turns: int) -> np.ndarray:
    """The numbers of networks, networks last, one behind the other for each turn."""
    return np.tile(np.moveaxis(numbers, 0, -1), turns)


def _pairs_vni(gram: np.ndarray, live: np.ndarray) -> np.ndarray:
    """1/k + (1 − 1/k) E ρ², with ρ² averaged over the pairs of live rows at hand."""
    square = np.einsum("iin->in", gram)
    square = np.where(square > 0, square, 1.0)
    seen = np.minimum(live, len(gram))
    total = (gram**2 / (square[:, None] * square[None])).sum(axis=(0, 1))
    return 1 / live + (1 - 1 / live) * (total - seen) / np.maximum(seen * (seen - 1), 1)
