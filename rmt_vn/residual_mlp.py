"""A residual network in plain numpy, forward and backward, for many replicas at once; see `mlp` for what is where.

In a block z = s x + β (W_2 φ(W_1 u + b_1) + b_2), with u = x, or LN(x) with normalization "pre"; the next block's x is
z, or LN(z) with "post". LN has no parameters of its own. The list x holds what each matrix is multiplied with, and h
what comes of it, where the last matrix of a block has its z. So h[0] is the embedded input, and h[-1] the output.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rmt_vn.mlp import centred, slopes, vni_or_nan
from rmt_vn.network import ResidualNetwork

__all__ = ["backward", "forward", "layer_jacobian_vni", "layer_vni"]

# A network that diverges shows it by NaN and infinity in the results; thousands of warnings would add nothing.
_quiet = np.errstate(over="ignore", invalid="ignore", divide="ignore")


@_quiet
def forward(
    network: ResidualNetwork, weights: Sequence[np.ndarray], x: Sequence[np.ndarray], h: Sequence[np.ndarray]
) -> None:
    """Streams and pre-activations of all blocks, from the inputs in x[0], written into x and h.

    Parameters
    ----------
    network : ResidualNetwork
    weights : sequence of ndarray
        As from `mlp.layers`.
    x, h : sequence of ndarray
        As from `mlp.workspace`, with inputs in x[0][:, :n_0]. The output is h[-1].
    """
    n, k = network.width, len(network.branch)
    pre, post = (network.normalization == which for which in ("pre", "post"))
    np.matmul(weights[0], x[0], out=h[0])
    stream = h[0]
    for first in range(1, len(weights) - 1, k):
        x[first][:, :n] = normalized(stream) if pre else stream
        if k == 2:
            np.matmul(weights[first], x[first], out=h[first])
            x[first + 1][:, : network.hidden] = network.activation.phi(h[first])
        last = first + k - 1
        np.matmul(weights[last], x[last], out=h[last])
        h[last] *= network.beta
        h[last] += network.skip * stream
        stream = normalized(h[last]) if post else h[last]
    x[-1][:, :n] = stream
    np.matmul(weights[-1], x[-1], out=h[-1])


@_quiet
def backward(
    network: ResidualNetwork,
    weights: Sequence[np.ndarray],
    x: Sequence[np.ndarray],
    h: Sequence[np.ndarray],
    delta: np.ndarray,
    gradients: Sequence[np.ndarray],
) -> None:
    """Gradients with respect to all weights and biases, written into `gradients`.

    Parameters
    ----------
    network, weights, x, h
        As `forward` left them.
    delta : ndarray, shape (replicas, outputs, samples)
        ∂loss/∂output.
    gradients : sequence of ndarray
        Of the shapes of `weights`.
    """
    n, k = network.width, len(network.branch)
    pre, post = (network.normalization == which for which in ("pre", "post"))
    np.matmul(delta, x[-1].mT, out=gradients[-1])
    stream = weights[-1][..., :n].mT @ delta
    for last in range(len(weights) - 2, 0, -k):
        first = last - k + 1
        if post:
            stream = through_norm(stream, h[last])
        branch = network.beta * stream
        np.matmul(branch, x[last].mT, out=gradients[last])
        if k == 2:
            branch = weights[last][..., : network.hidden].mT @ branch
            branch *= slopes(network.activation, x[last][:, : network.hidden], h[first])
            np.matmul(branch, x[first].mT, out=gradients[first])
        branch = weights[first][..., :n].mT @ branch
        if pre:
            branch = through_norm(branch, h[first - 1])
        stream = network.skip * stream + branch
    np.matmul(stream, x[0].mT, out=gradients[0])


def normalized(x: np.ndarray) -> np.ndarray:
    """LN(x) over the nodes, (…, nodes, samples): zero mean and unit variance; zero where all nodes are the same."""
    moved = x - x.mean(axis=-2, keepdims=True)
    return moved * _precision(moved)


def through_norm(delta: np.ndarray, x: np.ndarray) -> np.ndarray:
    """LN's Jacobian at x, (I − 11ᵀ/N − zzᵀ/N)/size with z = LN(x), times delta. It is its own transpose."""
    moved = x - x.mean(axis=-2, keepdims=True)
    z = moved * _precision(moved)
    rest = delta - delta.mean(axis=-2, keepdims=True) - z * np.mean(z * delta, axis=-2, keepdims=True)
    return rest * _precision(moved)


def _precision(moved: np.ndarray) -> np.ndarray:
    size = np.sqrt(np.mean(moved * moved, axis=-2, keepdims=True))
    return np.where(size == 0, 0, 1 / size)


@_quiet
def layer_vni(network: ResidualNetwork, h: Sequence[np.ndarray]) -> np.ndarray:
    """VNI of the stream behind each block over the samples of `forward`, as `mlp.layer_vni`, shape (L, replicas)."""
    streams = h[len(network.branch) : -1 : len(network.branch)]
    return np.array([vni_or_nan(centred(normalized(z) if network.normalization == "post" else z)) for z in streams])


@_quiet
def layer_jacobian_vni(
    network: ResidualNetwork, weights: Sequence[np.ndarray], x: Sequence[np.ndarray], h: Sequence[np.ndarray]
) -> np.ndarray:
    """VNI of J_l J_lᵀ for J_l = ∂x_l/∂x_0, x_l the stream behind block l, the mean over the samples of `forward`.

    It is the VNI over a small isotropic ball round the embedded input of a sample. x_0 itself has 1/N.

    Returns
    -------
    ndarray, shape (L, replicas)
        NaN where the stream has no live node or is not finite.
    """
    n, k = network.width, len(network.branch)
    pre, post = (network.normalization == which for which in ("pre", "post"))
    jacobian = np.broadcast_to(np.eye(n), (*h[0].mT.shape, n))
    values = []
    for first in range(1, len(weights) - 1, k):
        last = first + k - 1
        branch = through_norm(jacobian, h[first - 1].mT[..., None]) if pre else jacobian
        branch = weights[first][:, None, :, :n] @ branch
        if k == 2:
            diagonal = slopes(network.activation, x[last][:, : network.hidden], h[first]).mT[..., None]
            branch = weights[last][:, None, :, : network.hidden] @ (diagonal * branch)
        jacobian = network.skip * jacobian + network.beta * branch
        if post:
            jacobian = through_norm(jacobian, h[last].mT[..., None])
        # The VNI does not depend on the scale, and products of many blocks leave the range of numbers.
        largest = np.abs(jacobian).max(axis=(-2, -1), keepdims=True)
        jacobian = jacobian / np.where(largest > 0, largest, 1)
        values.append(vni_or_nan(jacobian).mean(axis=-1))
    return np.array(values)
