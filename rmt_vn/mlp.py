"""A multilayer perceptron in plain numpy, forward and backward, for many replicas at once.

x_l = φ(W_l x_{l−1} + b_l) for the hidden layers; the last layer is linear, its h_L = W_L x_{L−1} + b_L is the output.
Columns are samples here, x_l has shape (replicas, n_l, samples), so that W x reads as it is written. The bias is the
last column of W_l, which meets a row of ones below x_{l−1}: one product does both, and one product both gradients.
All parameters of a replica are one row of one array (replicas, P), and the W_l are views into it.
Residual networks keep their parameters in the same way; how they go forward and backward is in `residual_mlp`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import DTypeLike

from rmt_vn import ensembles, measures
from rmt_vn.activations import Activation
from rmt_vn.network import Network, ResidualNetwork
from rmt_vn.rng import RNG

__all__ = [
    "backward",
    "centred",
    "forward",
    "initial_parameters",
    "layer_jacobian_vni",
    "layer_norms",
    "layer_vni",
    "layers",
    "matrices",
    "n_parameters",
    "slopes",
    "vni_or_nan",
    "workspace",
]

# A network that diverges shows it by NaN and infinity in the results; thousands of warnings would add nothing.
_quiet = np.errstate(over="ignore", invalid="ignore")


def matrices(network: Network | ResidualNetwork) -> list[Network]:
    """Its weight matrices in the order in which a signal meets them, as networks of one layer each.

    Of a residual network these are the embedding, W_1 and W_2 (or W) of each block, and the readout.

    Raises
    ------
    ValueError
        If a residual network has no embedding or no readout.
    """
    if isinstance(network, Network):
        return [replace(network, widths=shape) for shape in pairwise(network.widths)]
    if network.embedding is None or network.readout is None:
        raise ValueError(
            "a residual network that is trained needs an embedding and a readout, got inputs = "
            f"{network.inputs} and outputs = {network.outputs}"
        )
    return [network.embedding, *network.branch * network.depth, network.readout]


def layers(network: Network | ResidualNetwork, parameters: np.ndarray) -> list[np.ndarray]:
    """The matrices [W_1 b_1], …, [W_L b_L] of parameters (or of their gradients), as views, in the order of `matrices`.

    Parameters
    ----------
    network : Network or ResidualNetwork
    parameters : ndarray, shape (replicas, P)

    Returns
    -------
    list of ndarray, shapes (replicas, n_l, n_{l−1} + 1)
        Without the + 1 if P leaves no room for biases.

    Raises
    ------
    ValueError
        If P is the number of parameters of this network neither with biases nor without.
    """
    biased = parameters.shape[1] != n_parameters(network, biases=False)
    if biased and parameters.shape[1] != n_parameters(network):
        raise ValueError(
            f"parameters must have {n_parameters(network)} columns, or {n_parameters(network, biases=False)} without "
            f"biases, got {parameters.shape[1]}"
        )
    views, start = [], 0
    for n_in, n_out in (each.widths for each in matrices(network)):
        stop = start + n_out * (n_in + biased)
        views.append(parameters[:, start:stop].reshape(-1, n_out, n_in + biased))
        start = stop
    return views


def n_parameters(network: Network | ResidualNetwork, *, biases: bool = True) -> int:
    """P, the number of weights and biases."""
    return sum(n_out * (n_in + biases) for n_in, n_out in (each.widths for each in matrices(network)))


def initial_parameters(
    network: Network | ResidualNetwork, *, rngs: Sequence[RNG], biases: bool = True, dtype: DTypeLike = np.float64
) -> np.ndarray:
    """Weights and biases at initialization, as `network` describes them.

    Parameters
    ----------
    network : Network or ResidualNetwork
        Without dropout.
    rngs : sequence of seeds or Generators
        One for each replica, so that no replica depends on what others there are.
    biases : bool
        Whether there are biases; they are drawn with standard deviation sigma_b, and are zero if it is 0, as it is in
        residual networks.
    dtype : float32 or float64

    Returns
    -------
    ndarray, shape (replicas, P)

    Raises
    ------
    ValueError
        If the network has dropout, or sigma_b > 0 with `biases=False`, or the dtype is another one.
    """
    drawn = matrices(network)
    if drawn[0].keep < 1:
        raise ValueError(f"only networks without dropout can be trained, got keep = {drawn[0].keep}")
    if not biases and drawn[0].sigma_b > 0:
        raise ValueError(f"biases=False needs sigma_b = 0, got {drawn[0].sigma_b}")
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise ValueError(f"dtype must be float32 or float64, got {np.dtype(dtype)}")
    parameters = np.empty((len(rngs), n_parameters(network, biases=biases)), dtype)
    views = layers(network, parameters)
    for replica, seed in enumerate(rngs):
        rng = np.random.default_rng(seed)
        for w, layer in zip(views, drawn, strict=True):
            n_in, n_out = layer.widths
            w[replica, :, :n_in] = ensembles.weight_matrices(n_out, n_in, layer.weights, sigma_w=layer.sigma_w, rng=rng)
            if biases:
                w[replica, :, n_in] = ensembles.biases(layer, n_out, rng=rng)
    return parameters


def workspace(weights: Sequence[np.ndarray], samples: int) -> tuple[list, list]:
    """Arrays for what a forward pass computes, to be used again in every step: fresh memory costs more time than tanh.

    Returns
    -------
    x : list of ndarray
        What each matrix is multiplied with: x_0, …, x_{L−1}, each (replicas, n_l + 1, samples) with its row of ones, if
        there are biases.
    h : list of ndarray
        One for each matrix: h_1, …, h_L, each (replicas, n_l, samples). The last is the output.
    """
    x = [np.ones((len(w), w.shape[2], samples), w.dtype) for w in weights]
    h = [np.empty((len(w), w.shape[1], samples), w.dtype) for w in weights]
    return x, h


@_quiet
def forward(network: Network, weights: Sequence[np.ndarray], x: Sequence[np.ndarray], h: Sequence[np.ndarray]) -> None:
    """Activations and pre-activations of all layers, from the inputs in x[0], written into x and h.

    Parameters
    ----------
    network : Network
    weights : sequence of ndarray, shapes (replicas, n_l, n_{l−1} + 1)
        As from `layers`.
    x, h : sequence of ndarray
        As from `workspace`, with inputs in x[0][:, :n_0]. The output is h[-1].
    """
    for layer, w in enumerate(weights):
        if layer > 0:
            x[layer][:, : network.widths[layer]] = network.activation.phi(h[layer - 1])
        np.matmul(w, x[layer], out=h[layer])


@_quiet
def backward(
    network: Network,
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
    delta : ndarray, shape (replicas, n_L, samples)
        δ_L = ∂loss/∂h_L.
    gradients : sequence of ndarray
        Of the shapes of `weights`.
    """
    for layer in reversed(range(network.depth)):
        np.matmul(delta, x[layer].mT, out=gradients[layer])
        if layer > 0:
            n = network.widths[layer]
            delta = weights[layer][..., :n].mT @ delta
            delta *= slopes(network.activation, x[layer][:, :n], h[layer - 1])


def slopes(activation: Activation, x: np.ndarray, h: np.ndarray) -> np.ndarray:
    """φ′(h), where x = φ(h), which saves tanh a second evaluation: at width 32 it costs half as much as W x."""
    if activation.phi is not np.tanh:
        return activation.dphi(h)
    squares = x * x
    return np.subtract(1, squares, out=squares)


@_quiet
def layer_vni(network: Network, h: Sequence[np.ndarray]) -> np.ndarray:
    """VNI of each hidden layer over the samples of `forward`: `measures.plug_in_vni`, for all replicas at once.

    Over inputs of n_0 dimensions it starts at about 1/n_0, since few inputs cannot make many nodes independent.

    Returns
    -------
    ndarray, shape (L − 1, replicas)
        NaN where a layer has no live node or is not finite.
    """
    values = [vni_or_nan(centred(network.activation.phi(each))) for each in h[:-1]]
    return np.array(values).reshape(network.depth - 1, len(h[0]))


def centred(nodes: np.ndarray) -> np.ndarray:
    """Nodes less their means over the samples, in float64, shape (…, nodes, samples)."""
    # The first sample is subtracted before the mean, so that a constant node gives zeros, not rounding errors.
    moved = nodes.astype(float) - nodes[..., :1]
    return moved - moved.mean(axis=-1, keepdims=True)


@_quiet
def layer_jacobian_vni(
    network: Network, weights: Sequence[np.ndarray], x: Sequence[np.ndarray], h: Sequence[np.ndarray]
) -> np.ndarray:
    """VNI of J_l J_lᵀ for J_l = ∂x_l/∂x_1 = D_l W_l … D_2 W_2, the mean over the samples of `forward`.

    It is the VNI over a small isotropic ball in the first hidden layer, round the activations of a sample. It is exact
    and costs a forward pass of n_1 vectors for each sample. It starts at 1/n_1 however few inputs there are.

    Returns
    -------
    ndarray, shape (L − 1, replicas)
        For l = 1, …, L − 1. NaN where a layer has no live node or is not finite.
    """
    replicas, n_1, samples = h[0].shape
    jacobian = np.broadcast_to(np.eye(n_1), (replicas, samples, n_1, n_1))
    values = np.empty((network.depth - 1, replicas))
    values[:1] = 1 / n_1
    for layer in range(1, network.depth - 1):
        n = network.widths[layer]
        phi = x[layer + 1][:, : network.widths[layer + 1]]
        diagonal = slopes(network.activation, phi, h[layer]).mT[..., None]
        jacobian = diagonal * (weights[layer][:, None, :, :n] @ jacobian)
        # The VNI does not depend on the scale, and products of many layers leave the range of numbers.
        largest = np.abs(jacobian).max(axis=(-2, -1), keepdims=True)
        jacobian /= np.where(largest > 0, largest, 1)
        values[layer] = vni_or_nan(jacobian).mean(axis=-1)
    return values


def vni_or_nan(rows: np.ndarray) -> np.ndarray:
    """`measures.jacobian_vni` of rows (…, nodes, columns), and NaN where that is not defined."""
    has_one = np.isfinite(rows).all(axis=(-2, -1)) & rows.any(axis=(-2, -1))
    vni = np.full(rows.shape[:-2], np.nan)
    vni[has_one] = measures.jacobian_vni(rows[has_one])
    return vni


@_quiet
def layer_norms(gradients: Sequence[np.ndarray]) -> np.ndarray:
    """Frobenius norms of the matrices' gradients (or weights), biases included, shape (L, replicas), float64."""
    norms = []
    for gradient in gradients:
        largest = np.abs(gradient).max(axis=(-2, -1)).astype(float)
        # Squares of very small or large numbers leave the range of floats.
        scale = np.where(largest > 0, largest, 1)
        norms.append(scale * np.linalg.norm(gradient / scale[:, None, None], axis=(-2, -1)))
    return np.array(norms)
