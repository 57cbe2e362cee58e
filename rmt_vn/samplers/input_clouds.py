"""Clouds of random inputs on their way through random networks: the deviations that correlations are made of.

Of each network one more input is followed than is measured, as the centre that deviations are taken from. Where a
network brings all inputs together, deviations keep all their digits so: once they are too small for activations to tell
them from the centre, they go on through the slopes of φ there, which is then exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from rmt_vn.ensembles import biases, weight_matrices
from rmt_vn.network import Network
from rmt_vn.samplers.forward import dropout_mask
from rmt_vn.samplers.wide_inputs import pre_activations_of_few

# Deviations so small a share of the centre go on through slopes: rounding and curvature both matter at 1e-7 of them.
_NEAR = 1e-7
# So small ones do too, before they underflow; and squares of what is larger than _LARGEST might overflow.
_TINY, _LARGEST = 1e-100, 1e150


def walk_clouds(
    network: Network,
    size: int,
    n_inputs: int,
    *,
    input_variance: float,
    linear_output: bool,
    rng: np.random.Generator,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pre-activations and activations over inputs N(0, v I) of a batch of random networks, layer by layer.

    Parameters
    ----------
    size, n_inputs : int
        Networks, and inputs to each of them.
    linear_output : bool
        Whether the last layer has neither φ nor dropout.

    Yields
    ------
    pre_activations, activations : ndarray, shape (size, n_inputs, n_l)
        Deviations from those of one more input, in a unit of each network's own. A node that does not vary over the
        inputs is constant up to rounding.

    Raises
    ------
    OverflowError
        If the activations grow beyond 1e150.
    """
    rows = np.sqrt(input_variance) * rng.standard_normal((size, n_inputs + 1, network.widths[0]))
    rows[:, 1:] -= rows[:, :1]
    linear = np.zeros((size, 1, 1), dtype=bool)
    scale = np.ones((size, 1))
    for layer, shape in enumerate(pairwise(network.widths), start=1):
        with np.errstate(over="ignore", invalid="ignore"):
            h = _propagated(network, rows, shape, rng)
            if network.sigma_b > 0:
                h[:, 0] += biases(network, shape[1], batch=(size,), rng=rng) / scale
            if linear_output and layer == network.depth:
                rows = h
            else:
                linear |= _coincide(h)
                rows = _activated(network, h, linear) * dropout_mask(network, (size, 1, shape[1]), rng)
        if not np.abs(rows).max() < _LARGEST:
            raise OverflowError(
                f"activations overflow at layer {layer} of {network.depth}: lower sigma_w, got {network.sigma_w}"
            )
        yield h[:, 1:], rows[:, 1:]
        rows, scale = _rescaled(network, rows, scale, linear)


def _propagated(network: Network, rows: np.ndarray, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """W x for fresh weights of each network, drawn themselves or by way of the Gram matrix of the rows."""
    n_in, n_out = shape
    # A Haar matrix costs more than the Gram matrix as long as it is larger, a Gaussian one if it is twice as large.
    if rows.shape[1] * (2 if network.weights == "gaussian" else 1) < n_in:
        return pre_activations_of_few(network, rows, n_in, n_out, rng)
    w = weight_matrices(n_out, n_in, network.weights, sigma_w=network.sigma_w, batch=rows.shape[:1], rng=rng)
    return rows @ np.swapaxes(w, -1, -2)


def _coincide(h: np.ndarray) -> np.ndarray:
    """Whether all inputs of a network have become one, as far as φ can tell; shape (size, 1, 1)."""
    centre, deviation = np.abs(h[:, 0]).max(axis=-1), np.abs(h[:, 1:]).max(axis=(-1, -2))
    return np.asarray((deviation < _NEAR * centre) | (deviation < _TINY))[:, None, None]


def _activated(network: Network, h: np.ndarray, linear: np.ndarray) -> np.ndarray:
    """φ of the centre, and the deviations of φ from it: differences, or slopes times deviations where `linear`."""
    at = h.copy()
    at[:, 1:] += h[:, :1]
    x = network.activation.phi(at)
    x[:, 1:] -= x[:, :1]
    if linear.any():
        slopes = network.activation.dphi(h[:, :1])
        x[:, 1:] = np.where(linear, slopes * h[:, 1:], x[:, 1:])
    return x


def _rescaled(
    network: Network, rows: np.ndarray, scale: np.ndarray, linear: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of about one where φ is homogeneous, with their scale; deviations of about one where only multiplied."""
    centre, deviation = (np.abs(part).max(axis=(-1, -2))[:, None, None] for part in (rows[:, :1], rows[:, 1:]))
    unit = np.ones_like(centre)
    if network.activation.is_homogeneous:
        unit = _or_one(np.where(linear, centre, np.maximum(centre, deviation)))
    with np.errstate(over="ignore"):
        scale = scale * unit[:, 0]
    rows[:, :1] /= unit
    rows[:, 1:] /= np.where(linear, _or_one(deviation), unit)
    return rows, scale


def _or_one(sizes: np.ndarray) -> np.ndarray:
    return np.where(sizes > 0, sizes, 1.0)
