"""Activations of a batch of inputs through one random network, with and without drawing its weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from rmt_vn.checks import checked_choice
from rmt_vn.ensembles import biases, haar, weight_matrices
from rmt_vn.measures.arrays import finite_array
from rmt_vn.network import Network, ResidualNetwork
from rmt_vn.progress import progress
from rmt_vn.rng import RNG
from rmt_vn.samplers.forward import dropout_mask, last_of
from rmt_vn.samplers.residual_blocks import layer_normalized


def sample_activations(
    network: Network | ResidualNetwork,
    inputs: ArrayLike,
    *,
    rng: RNG = None,
    method: Literal["auto", "weights", "gram"] = "auto",
) -> np.ndarray:
    """Activations x_L of a batch of inputs through one random network.

    Parameters
    ----------
    network : Network or ResidualNetwork
        Under dropout one mask is drawn per layer, the same for all inputs: the outputs of one thinned network.
    inputs : array_like, shape (samples, n_0)
    rng : seed or Generator
    method : {"auto", "weights", "gram"}
        "weights" draws every W_l. "gram" has the same distribution and draws no W_l: the inputs of a layer are X = RᵀU
        with U Uᵀ = I, so that h = Rᵀ(U Wᵀ), where U Wᵀ is a Gaussian matrix (or a corner of a Haar matrix) of only as
        many rows as there are samples. "auto" is "gram" where that is faster, with fewer samples than half the nodes of
        the widest layer.

    Returns
    -------
    ndarray, shape (samples, n_L)

    Raises
    ------
    ValueError
        If the inputs have the wrong shape or are not finite.
    OverflowError
        If the activations grow beyond the range of doubles.
    """
    layers = walk_activations(network, inputs, rng=rng, method=method)
    return last_of(progress(layers, "layers", network.depth))


def walk_activations(
    network: Network | ResidualNetwork,
    inputs: ArrayLike,
    *,
    rng: RNG = None,
    method: Literal["auto", "weights", "gram"] = "auto",
) -> Iterator[np.ndarray]:
    """x_1, …, x_L of one random network, layer by layer: parameters and numbers are those of `sample_activations`.

    Of a residual network they are the stream behind each block, and the outputs of a readout last.
    """
    x = _checked_inputs(network, inputs)
    rng = np.random.default_rng(rng)
    checked_choice("method", method, ("auto", "weights", "gram"))
    if method == "auto":
        widest = max(network.widths + tuple(network.branch_shapes[0] if isinstance(network, ResidualNetwork) else ()))
        method = "gram" if 2 * len(x) < widest else "weights"
    pre_activations = _from_weights if method == "weights" else _from_gram
    if isinstance(network, ResidualNetwork):
        yield from _walk_blocks(network, x, rng, pre_activations)
        return
    for layer, (n_in, n_out) in enumerate(pairwise(network.widths), start=1):
        with np.errstate(over="ignore", invalid="ignore"):
            h = pre_activations(network, x, n_in, n_out, rng)
            h += biases(network, n_out, rng=rng)
            x = network.activation.phi(h)
            x = x * dropout_mask(network, (n_out,), rng)
        if not np.all(np.isfinite(x)):
            raise OverflowError(
                f"activations overflow at layer {layer} of {network.depth}: lower sigma_w, got {network.sigma_w}"
            )
        yield x


def _walk_blocks(
    network: ResidualNetwork, x: np.ndarray, rng: np.random.Generator, pre_activations: Callable[..., np.ndarray]
) -> Iterator[np.ndarray]:
    branch, norm = network.branch, network.normalization
    if network.embedding is not None:
        x = pre_activations(network.embedding, x, *network.embedding.widths, rng)
    for block in range(1, network.depth + 1):
        with np.errstate(over="ignore", invalid="ignore"):
            signal = layer_normalized(x)[0] if norm == "pre" else x
            for layer in branch:
                signal = layer.activation.phi(pre_activations(layer, signal, *layer.widths, rng))
            x = network.skip * x + network.beta * signal
        if not np.all(np.isfinite(x)):
            raise OverflowError(
                f"activations overflow at block {block} of {network.depth}: lower skip, got {network.skip:g}, or "
                f"branch_scale, got {network.branch_scale}"
            )
        if norm == "post":
            x = layer_normalized(x)[0]
        yield x
    if network.readout is not None:
        yield pre_activations(network.readout, x, *network.readout.widths, rng)


def _from_weights(network: Network, x: np.ndarray, n_in: int, n_out: int, rng: np.random.Generator) -> np.ndarray:
    return x @ weight_matrices(n_out, n_in, network.weights, sigma_w=network.sigma_w, rng=rng).T


def _from_gram(network: Network, x: np.ndarray, n_in: int, n_out: int, rng: np.random.Generator) -> np.ndarray:
    root = _gram_root(x)
    rank = root.shape[1]
    if network.weights == "gaussian":
        draws = rng.standard_normal((rank, n_out))
        scale = network.sigma_w / np.sqrt(n_in)
    else:
        n = max(n_in, n_out)
        draws = haar(n, rank, rng=rng)[:n_out].T
        scale = network.sigma_w * np.sqrt(n / n_in)
    return (scale * root) @ draws


def _gram_root(x: np.ndarray) -> np.ndarray:
    """A root of X Xᵀ, (samples, rank): Rᵀ of Xᵀ = Q R."""
    if len(x) < x.shape[1]:
        # A Cholesky factor of X Xᵀ takes a fifth of the time of QR, but its relative error is 1e-16 times the square of
        # the condition number, which its diagonal tells.
        try:
            root = np.linalg.cholesky(x @ x.T)
        except np.linalg.LinAlgError:
            pass
        else:
            diagonal = np.diagonal(root)
            if diagonal.min() > 1e-3 * diagonal.max():
                return root
    return np.transpose(np.linalg.qr(x.T, mode="r"))


def _checked_inputs(network: Network | ResidualNetwork, inputs: ArrayLike) -> np.ndarray:
    x = finite_array("inputs", inputs)
    if x.ndim != 2 or len(x) < 1 or x.shape[1] != network.widths[0]:
        raise ValueError(f"inputs must have shape (samples ≥ 1, n_0 = {network.widths[0]}), got {x.shape}")
    return x
