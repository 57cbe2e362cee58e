"""Activations of a batch of inputs through one random network, with and without drawing its weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from rmt_vn.checks import checked_choice, checked_kind
from rmt_vn.ensembles import biases, haar, weight_matrices
from rmt_vn.measures.arrays import finite_array
from rmt_vn.network import Network, ResidualNetwork
from rmt_vn.progress import progress
from rmt_vn.rng import RNG
from rmt_vn.samplers.forward import dropout_mask, last_of
from rmt_vn.samplers.residual_blocks import layer_normalized

Draw = Callable[[Network, np.ndarray, int, int, np.random.Generator], tuple[np.ndarray, np.ndarray]]

# What is smaller has left the range in which float32 keeps its digits.
_SMALLEST = 1e-30


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
    checked_kind("network", network, Network, ResidualNetwork)
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
    checked_kind("network", network, Network, ResidualNetwork)
    x, rng = _checked_inputs(network, inputs), np.random.default_rng(rng)
    if isinstance(network, ResidualNetwork):
        yield from _walk_blocks(network, x, rng, _drawing(network, x, method))
        return
    for _, activations in walk_both(network, x, rng=rng, method=method):
        yield activations


def walk_both(
    network: Network,
    inputs: np.ndarray,
    *,
    rng: np.random.Generator,
    method: Literal["auto", "weights", "gram"] = "auto",
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """As `walk_activations`, h_l and x_l: of inputs of float64, or of float32 where both are computed so.

    Of float32, a layer is computed again in float64, and so are all behind it, where some node varies by less than a
    thousandth of its size: its deviations then keep four digits in single precision, and rounding is no correlation.
    """
    x = inputs
    draw = _drawing(network, x, method)
    for layer, (n_in, n_out) in enumerate(pairwise(network.widths), start=1):
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            left, right = draw(network, x, n_in, n_out, rng)
            b, mask = biases(network, n_out, rng=rng), dropout_mask(network, (n_out,), rng)
            h, x = _layer(network, left, right, b, mask)
            if x.dtype == np.float32 and not (_keeps_digits(h) and _keeps_digits(x)):
                h, x = _layer(network, left.astype(np.float64), right, b, mask)
        if not np.all(np.isfinite(x)):
            raise OverflowError(
                f"activations overflow at layer {layer} of {network.depth}: lower sigma_w, got {network.sigma_w}"
            )
        yield h, x


def _drawing(network: Network | ResidualNetwork, inputs: np.ndarray, method: str) -> Draw:
    checked_choice("method", method, ("auto", "weights", "gram"))
    if method == "auto":
        widest = max(network.widths + tuple(network.branch_shapes[0] if isinstance(network, ResidualNetwork) else ()))
        method = "gram" if 2 * len(inputs) < widest else "weights"
    return _drawn_weights if method == "weights" else _drawn_images


def _walk_blocks(network: ResidualNetwork, x: np.ndarray, rng: np.random.Generator, draw: Draw) -> Iterator[np.ndarray]:
    def through(layer: Network, x: np.ndarray) -> np.ndarray:
        n_in, n_out = layer.widths
        left, right = draw(layer, x, n_in, n_out, rng)
        return left @ right

    branch, norm = network.branch, network.normalization
    if network.embedding is not None:
        x = through(network.embedding, x)
    for block in range(1, network.depth + 1):
        with np.errstate(over="ignore", invalid="ignore"):
            signal = layer_normalized(x)[0] if norm == "pre" else x
            for layer in branch:
                signal = layer.activation.phi(through(layer, signal))
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
        yield through(network.readout, x)


def _layer(
    network: Network, left: np.ndarray, right: np.ndarray, b: np.ndarray, mask: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    h = left @ right.astype(left.dtype, copy=False)
    h += b.astype(left.dtype, copy=False)
    return h, network.activation.phi(h) * mask.astype(left.dtype, copy=False)


def _keeps_digits(x: np.ndarray) -> bool:
    """Whether all nodes vary over the samples by a thousandth of their size, or are zero, far from underflow."""
    low, high = x.min(axis=0), x.max(axis=0)
    size = np.maximum(high, -low)
    return bool(np.all((high - low >= 1e-3 * size) & ((size == 0) | (size > _SMALLEST))))


def _drawn_weights(
    network: Network, x: np.ndarray, n_in: int, n_out: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Two matrices whose product is W x for all samples: x, and fresh weights."""
    if x.dtype == np.float32 and network.weights == "gaussian":
        w = rng.standard_normal((n_in, n_out), dtype=np.float32)
        w *= np.float32(network.sigma_w / np.sqrt(n_in))
        return x, w
    return x, weight_matrices(n_out, n_in, network.weights, sigma_w=network.sigma_w, rng=rng).T


def _drawn_images(
    network: Network, x: np.ndarray, n_in: int, n_out: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The same: a root of the Gram matrix of the samples, and what W makes of as many orthonormal inputs."""
    root = _gram_root(x.astype(np.float64, copy=False))
    rank = root.shape[1]
    if network.weights == "gaussian":
        draws = rng.standard_normal((rank, n_out))
        scale = network.sigma_w / np.sqrt(n_in)
    else:
        n = max(n_in, n_out)
        draws = haar(n, rank, rng=rng)[:n_out].T
        scale = network.sigma_w * np.sqrt(n / n_in)
    return scale * root, draws


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
