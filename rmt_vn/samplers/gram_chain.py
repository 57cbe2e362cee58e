"""Any activation: Gram matrices of some nodes at many depths of the same networks, after one exact forward pass.

The forward pass is that of the sampler by rows: every pre-activation of every layer is drawn, and of each W only W x̂.
From a depth l the rows of the Jacobian are followed back by the chain of `rmt_vn.samplers.signal_chain`: their components
along the signal and their Gram matrix across it. But the sums over the nodes of a layer that the chain needs are those of
the network itself, not means. What is left of approximation: the Gram matrix Σ_i D_i² z_i z_iᵀ across the signal is drawn
as a Wishart matrix, whose degrees of freedom are those that add the same effective depth.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np

from rmt_vn.ensembles import orthonormal_columns
from rmt_vn.network import Network
from rmt_vn.samplers.forward import Signal, live_layer, random_signal
from rmt_vn.samplers.rows import gram_root, padded, through_images, unit_vectors
from rmt_vn.samplers.signal_chain import (
    Step,
    degrees_for,
    gram_at_the_inputs,
    input_depth,
    root_across,
    root_of_sum,
    wide_step,
    wishart_product,
)

# Layers of no more nodes than this are followed exactly: a Wishart matrix does not stand for them.
_NARROW = 24


@dataclass(frozen=True, eq=False)
class NodeGrams:
    """Gram matrices of the rows of some nodes of W_l D_{l−1} … W_1, for independent random networks.

    Attributes
    ----------
    depth : int
        l.
    every, live : ndarray, shape (nodes, nodes, n_networks)
        Of any nodes, and of live ones, each up to a factor; zero where a network has fewer.
    n_live : ndarray, shape (n_networks,)
        How many nodes of the layer are live.
    effective_depth : ndarray, shape (n_networks,)
        t of each network, from the slopes that it has.
    """

    depth: int
    every: np.ndarray
    live: np.ndarray
    n_live: np.ndarray
    effective_depth: np.ndarray


def walk_grams(
    network: Network,
    n_networks: int,
    depths: Collection[int],
    nodes: int,
    *,
    rng: np.random.Generator,
    input_variance: float | None,
) -> Iterator[NodeGrams]:
    """At each of these depths, in increasing order, the Gram matrices of so many nodes, or of all if there are fewer.

    Different depths share the forward pass of each network, and are independent otherwise.
    """
    signal = Signal(random_signal(network, n_networks, rng, input_variance), np.zeros(n_networks))
    shapes = list(pairwise(network.widths))
    steps: list[Step] = []
    t = np.full(n_networks, input_depth(network))
    if network.weights == "orthogonal":
        t = t - _frame_depth(shapes[0])
    for depth, shape in enumerate(shapes, start=1):
        image, slopes, signal = live_layer(network, shape, signal, rng, through_images)
        image = image / network.sigma_w
        if depth in depths:
            yield _grams(network, shape, steps, image[:, : shape[1]], slopes.values != 0, nodes, t, rng)
        if depth < network.depth:
            step, added = _step(network, shape, shapes[depth], image, slopes.values, unit_vectors(signal.x))
            steps.append(step)
            t = t + added


def _grams(
    network: Network,
    shape: tuple[int, int],
    steps: list[Step],
    image: np.ndarray,
    live: np.ndarray,
    nodes: int,
    t: np.ndarray,
    rng: np.random.Generator,
) -> NodeGrams:
    count = min(nodes, shape[1])

    def followed(mode: np.ndarray) -> np.ndarray:
        return gram_at_the_inputs(network, mode, root_across(network, shape, mode), reversed(steps), rng)

    every = followed(image[:, :count].T)
    n_live = np.count_nonzero(live, axis=1)
    if live.all():
        of_live = every
    else:
        first = np.argsort(~live, axis=1, kind="stable")[:, :count]
        there = np.arange(count)[:, None] < n_live
        of_live = followed(np.take_along_axis(image, first, axis=1).T) * there[:, None] * there[None]
    return NodeGrams(len(steps) + 1, every, of_live, n_live.astype(float), t)


def _step(
    network: Network,
    shape: tuple[int, int],
    next_shape: tuple[int, int],
    image: np.ndarray,
    slopes: np.ndarray,
    direction: np.ndarray,
) -> tuple[Step, np.ndarray]:
    """What D_l and W_l of each network do to rows at x_l, and the effective depth that they add to the next matrix.

    Parameters
    ----------
    image : ndarray, shape (n_networks, n_l)
        W_l x̂_{l−1}/σ_w.
    slopes, direction : ndarray, shape (n_networks, n_l)
        The diagonal of D_l, up to a factor, and x̂_l.
    """
    slopes = slopes / np.abs(slopes).max(axis=1, keepdims=True)
    n_in, n_out = shape
    square = slopes**2
    sums = _sums(square, slopes * image[:, :n_out], direction)
    frame = 0.0 if network.weights == "gaussian" else _frame_depth(next_shape)
    added = np.maximum(sums.depth - frame, 0.0)
    if n_out <= _NARROW:
        exact = {"image": image, "slopes": slopes, "direction": direction}
        return partial(_narrow_step, network, shape, next_shape, **exact), added
    if network.weights == "gaussian":
        return partial(_wide_step, shape, sums=sums, scatter=degrees_for(network, next_shape, sums.scatter)), added
    # What is along the signal is missing across it, and of the components of a row of the rotation n_in are kept.
    gain, kept = max(shape) / n_in, (n_in - 1) / (max(shape) - 1)
    noise = np.sum(sums.along[1:] ** 2, axis=0) / (n_out - 1)
    numbers = {
        "to_mode": sums.along[0] ** 2,
        "noise": noise,
        "to_across": kept * np.maximum(gain * sums.root[0, 0] ** 2 - sums.along[0] ** 2, 0.0),
        "across": kept * np.maximum(gain * sums.across / (n_out - 1) - noise, 0.0),
        "scatter": degrees_for(network, next_shape, sums.depth),
    }
    return partial(wide_step, **numbers), added


@dataclass(frozen=True, eq=False)
class _Sums:
    """Sums over the nodes of a layer that decide what D_l and W_l do to rows, as arrays with the networks last.

    In an orthonormal basis x̂, ŵ, v̂, …: D² x̂ is in the plane of x̂ and ŵ, and D W x̂_{l−1} in the space of all three.

    Attributes
    ----------
    along : ndarray, shape (3, n_networks)
        The components of D W x̂_{l−1}.
    root : ndarray, shape (3, 3, n_networks)
        A lower triangular root of D² in that space.
    across, rest : ndarray, shape (n_networks,)
        The trace of D² across x̂, and on what is left.
    depth, scatter : ndarray, shape (n_networks,)
        The effective depth of D² across x̂, and that of what is left.
    """

    along: np.ndarray
    root: np.ndarray
    across: np.ndarray
    rest: np.ndarray
    depth: np.ndarray
    scatter: np.ndarray


def _sums(square: np.ndarray, image: np.ndarray, direction: np.ndarray) -> _Sums:
    """The sums from D_l², D_l W_l x̂_{l−1} and x̂_l, each (n_networks, n_l)."""
    basis = [direction]
    for vector in (square * direction, image):
        basis.append(_orthogonal_part(vector, basis))
    along = np.array([np.sum(each * image, axis=1) for each in basis])
    # Products of D x̂, D ŵ and D v̂; x̂ᵀD²v̂ = 0.
    products = np.array([[np.sum(square * one * other, axis=1) for other in basis] for one in basis])
    m, weighted = products[0, 0], np.sum(square**2 * direction**2, axis=1)
    total, fourth, sixth = (np.sum(square**k, axis=1) for k in (1, 2, 3))
    traces = total - m, fourth - 2 * weighted + m**2, sixth - m**3
    # What ŵ and v̂ take is drawn by itself; the rest keeps what there is in all.
    taken = np.moveaxis(products[1:, 1:], -1, 0)
    left = [trace - np.trace(np.linalg.matrix_power(taken, k), axis1=1, axis2=2) for k, trace in enumerate(traces, 1)]
    across, rest = (np.maximum(each, np.finfo(float).tiny) for each in (traces[0], left[0]))
    return _Sums(
        along=along,
        root=_cholesky(products),
        across=across,
        rest=rest,
        scatter=_depth(left[1] / rest**2, left[2] / rest**3),
        depth=_depth(traces[1] / across**2, traces[2] / across**3),
    )


def _depth(second: np.ndarray, third: np.ndarray) -> np.ndarray:
    """The effective depth of Σ_i D_i² z_i z_iᵀ to order 1/n², from Σ D⁴/(Σ D²)² and Σ D⁶/(Σ D²)³."""
    return np.maximum(second + 5.5 * second**2 - 4 * third, 0.0)


def _orthogonal_part(vectors: np.ndarray, basis: list[np.ndarray]) -> np.ndarray:
    """Unit vectors along what is left of vectors across others; zero where that is rounding."""
    size = np.linalg.norm(vectors, axis=1, keepdims=True)
    for _ in range(2):
        for each in basis:
            vectors = vectors - np.sum(vectors * each, axis=1, keepdims=True) * each
    left = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(left > 1e-10 * size, vectors / np.where(left > 0, left, 1.0), 0.0)


def _cholesky(products: np.ndarray) -> np.ndarray:
    """A lower triangular root of positive semidefinite 3 × 3 matrices, shape (3, 3, n_networks)."""
    root = np.zeros_like(products)
    for j in range(3):
        root[j, j] = np.sqrt(np.maximum(products[j, j] - np.sum(root[j, :j] ** 2, axis=0), 0.0))
        for i in range(j + 1, 3):
            rest = products[i, j] - np.sum(root[i, :j] * root[j, :j], axis=0)
            root[i, j] = np.where(root[j, j] > 0, rest / np.where(root[j, j] > 0, root[j, j], 1.0), 0.0)
    return root


def _wide_step(
    shape: tuple[int, int],
    mode: np.ndarray,
    root: np.ndarray,
    rng: np.random.Generator,
    *,
    sums: _Sums,
    scatter: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """(a, root of B) of rows after D_l and a Gaussian W_l: exact in the space of x̂, ŵ and v̂, a Wishart matrix for the rest."""
    n_in, others = shape[0], shape[1] - 1
    across = np.sqrt(sums.rest / others) * wishart_product(root, scatter, rng)
    parts = np.einsum("ijn,cjn->cin", root, rng.standard_normal((2, *mode.shape))) / np.sqrt(others)
    parts = np.concatenate([mode[None], parts])
    for column in range(3):
        across = root_of_sum(across, np.sum(sums.root[column:, column, None] * parts[column:], axis=0))
    return np.sum(sums.along[:, None] * parts, axis=0), np.sqrt((n_in - 1) / n_in) * across


def _narrow_step(
    network: Network,
    shape: tuple[int, int],
    next_shape: tuple[int, int],
    mode: np.ndarray,
    root: np.ndarray,
    rng: np.random.Generator,
    *,
    image: np.ndarray,
    slopes: np.ndarray,
    direction: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """As `wide_step`, exactly: the rows across the signal are drawn, and multiplied by D_l and W_l."""
    rows = mode.T[..., None] * direction[:, None, :] + _rows_across(network, next_shape, root, direction, rng)
    rows = rows * slopes[:, None, :]
    n_in, n_out = shape
    along = rows @ image[:, :n_out, None]
    kept = (n_in - 1) / n_in
    if network.weights == "orthogonal":
        size = max(shape)
        rows = padded(rows, size) - along * (n_in / size) * image[:, None, :]
        kept = size / n_in * (n_in - 1) / max(size - 1, 1)
    found = np.zeros((len(rows), rows.shape[1], rows.shape[1]))
    triangles = gram_root(rows)
    found[..., : triangles.shape[-1]] = triangles
    return along[..., 0].T, np.ascontiguousarray(np.moveaxis(np.sqrt(kept) * found, 0, -1))


def _rows_across(
    network: Network, shape: tuple[int, int], root: np.ndarray, direction: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Rows orthogonal to the signal, (n_networks, nodes, n), that a matrix of this shape has made with the root of B."""
    n = shape[0]
    size = n if network.weights == "gaussian" else max(shape)
    count = min(len(root), size - 1) if network.weights == "orthogonal" else len(root)
    along = padded(direction, size)[:, None, :]
    fresh = rng.standard_normal((len(direction), count, size))
    fresh -= (fresh @ np.swapaxes(along, -2, -1)) * along
    scale = max(n - 1, 1)
    if network.weights == "orthogonal" and count > 0:
        fresh = np.swapaxes(orthonormal_columns(np.swapaxes(fresh, -2, -1)), -2, -1)[..., :n]
        scale = scale / (size - 1)
    return np.moveaxis(root, -1, 0)[..., :count] @ fresh / np.sqrt(scale)


def _frame_depth(shape: tuple[int, int]) -> float:
    """What the orthonormal rows of a Haar matrix take from the effective depth, to order 1/N²."""
    frame = 1 / max(max(shape) - 1, 1)
    return frame + 1.5 * frame**2
