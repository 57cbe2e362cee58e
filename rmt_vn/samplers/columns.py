"""Any activation: whole Jacobians of networks of few inputs, at O(width n_0²) a layer, exactly.

Of W_l the Jacobian of n_0 inputs needs what it makes of the signal and of the n_0 columns of J_{l−1}: n_0 + 1 vectors.
The image of the signal decides D_l; given it, those of directions across the signal are as random as before: normal, or
of Haar weights orthonormal to it and to each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from rmt_vn.ensembles import orthonormal_columns
from rmt_vn.network import Network
from rmt_vn.rng import RNG
from rmt_vn.samplers.forward import JacobianLayer
from rmt_vn.samplers.jacobian import walk_layers
from rmt_vn.samplers.rows import through_images, unit_vectors


def walk_columns(
    network: Network, n_networks: int, *, rng: RNG = None, input_variance: float | None = None
) -> Iterator[JacobianLayer]:
    """As `walk_jacobian`, with the same distribution, and no weight matrix drawn: for widths beyond the n_0 inputs."""
    rng = np.random.default_rng(rng)
    product = partial(_columns_through, network, rng)
    yield from walk_layers(network, n_networks, rng, input_variance, through_images, product)


def _columns_through(
    network: Network, rng: np.random.Generator, n_out: int, image: np.ndarray, x: np.ndarray, jacobian: np.ndarray
) -> np.ndarray:
    """W J, shape (networks, n_out, n_0), given W x̂ = image (of Haar weights, that of the whole rotation)."""
    n_in = x.shape[-1]
    vectors = np.concatenate([unit_vectors(x)[..., None], jacobian], axis=-1)
    triangle = np.asarray(np.linalg.qr(vectors, mode="r"))
    # The first vector of the basis is x̂ or −x̂.
    along, across = triangle[:, :1, :1] * triangle[:, :1, 1:], triangle[:, 1:, 1:]
    fresh = rng.standard_normal((*image.shape, across.shape[1]))
    gain = network.sigma_w / np.sqrt(n_in)
    if network.weights == "orthogonal":
        gain *= np.sqrt(image.shape[1])
        fresh -= image[..., None] * ((image[:, None, :] / gain**2) @ fresh)
        fresh = orthonormal_columns(fresh)
    return (image[..., None] * along + gain * fresh @ across)[:, :n_out]
