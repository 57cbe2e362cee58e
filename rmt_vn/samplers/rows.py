"""Any activation: a few rows of the Jacobian at O(width) a layer, with exactly the distribution of the full product."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from rmt_vn.ensembles import haar, orthonormal_columns
from rmt_vn.measures import jacobian_vni
from rmt_vn.network import Network
from rmt_vn.samplers.forward import Signal, live_layer, random_signal


def sample_rows(
    network: Network,
    n_networks: int,
    count: int,
    rng: np.random.Generator,
    input_variance: float | None,
    *,
    live: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Some rows of W_L D_{L−1} W_{L−1} … W_1 of each network, and the diagonal of D_L.

    The forward pass sees of each W only W x̂, so it draws that alone. Given it, the rest of W is as random as before on
    the complement of x̂: on the way back, rows a become a W = (a·Wx̂) x̂ᵀ + fresh rows orthogonal to x̂ (Gaussian, or a
    Haar frame) with the Gram matrix that a has across Wx̂.

    Returns
    -------
    rows : ndarray, shape (n_networks, min(count, n_L), n_0)
        Up to a common factor. With `live`, those of live nodes come first and the rest are zero; else of any nodes.
    slopes : ndarray, shape (n_networks, n_L)
    """
    shapes = list(pairwise(network.widths))
    directions, images, slopes = forward_pass(network, n_networks, rng, input_variance)
    dead = live & (slopes[-1] == 0)
    nodes = np.argsort(dead, axis=-1, kind="stable")[:, :count, None]
    rows = (np.arange(network.widths[-1]) == nodes) * ~dead[:, None, :]
    for layer in reversed(range(network.depth)):
        rows = rows_through(network, shapes[layer], rows, directions[layer], images[layer], rng)
        if layer > 0:
            rows = rows * slopes[layer - 1][:, None, :]
        rows = rows / np.abs(rows).max(axis=(-2, -1), keepdims=True)
    return rows, slopes[-1]


def forward_pass(
    network: Network, n_networks: int, rng: np.random.Generator, input_variance: float | None
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Of each layer the signal's direction x̂_{l−1}, its image W_l x̂_{l−1} and the diagonal of D_l, networks first."""
    signal = Signal(random_signal(network, n_networks, rng, input_variance), np.zeros(n_networks))
    directions, images, slopes = [], [], []
    for shape in pairwise(network.widths):
        directions.append(unit_vectors(signal.x))
        image, slope, signal = live_layer(network, shape, signal, rng, through_images)
        images.append(image)
        slopes.append(slope.values)
    return directions, images, slopes


def rows_vni(rows: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """The VNI over live nodes, 1/k + (1 − 1/k) E ρ², with ρ² averaged over the pairs of live rows at hand."""
    live = np.count_nonzero(slopes, axis=-1)
    seen = np.minimum(live, rows.shape[-2])
    pairs = np.maximum(seen * (seen - 1), 1)
    mean_square = (seen**2 * jacobian_vni(rows) - seen) / pairs
    return 1 / live + (1 - 1 / live) * mean_square


def through_images(
    network: Network, n_out: int, n_in: int, x: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Instead of W, the image W x̂ of the signal's direction alone: all of W that the forward pass sees.

    For Haar weights that of the whole N × N rotation, N = max(n_in, n_out), of which W is a corner.
    """
    if network.weights == "gaussian":
        image = network.sigma_w / np.sqrt(n_in) * rng.standard_normal((len(x), n_out))
    else:
        n = max(n_in, n_out)
        image = network.sigma_w * np.sqrt(n / n_in) * haar(n, 1, batch=x.shape[:1], rng=rng)[..., 0]
    return image, image[:, :n_out] * np.linalg.norm(x, axis=-1, keepdims=True)


def rows_through(
    network: Network,
    shape: tuple[int, int],
    rows: np.ndarray,
    direction: np.ndarray,
    image: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """a W for rows a (networks, rows, n_out), given W x̂ = image."""
    n_in, n_out = shape
    n = n_in if network.weights == "gaussian" else max(n_in, n_out)
    along = rows @ image[:, :n_out, None]
    if network.weights == "gaussian":
        gain, root = network.sigma_w / np.sqrt(n_in), gram_root(rows)
    else:
        gain = network.sigma_w * np.sqrt(n / n_in)
        across = padded(rows, n) - along / gain**2 * image[:, None, :]
        root = gram_root(across)
    direction = padded(direction, n)[:, None, :]
    fresh = rng.standard_normal((len(rows), root.shape[-1], n))
    fresh -= (fresh @ np.swapaxes(direction, -2, -1)) * direction
    if network.weights == "orthogonal":
        fresh = np.swapaxes(orthonormal_columns(np.swapaxes(fresh, -2, -1)), -2, -1)
    return (along * direction + gain * root @ fresh)[..., :n_in]


def gram_root(rows: np.ndarray) -> np.ndarray:
    """A root of the Gram matrix of rows, lower triangular, by QR: good also where rows are all but parallel."""
    return np.swapaxes(np.linalg.qr(np.swapaxes(rows, -2, -1), mode="r"), -2, -1)


def padded(vectors: np.ndarray, n: int) -> np.ndarray:
    """Vectors with zeros behind, up to n entries."""
    return np.concatenate([vectors, np.zeros((*vectors.shape[:-1], n - vectors.shape[-1]))], axis=-1)


def unit_vectors(vectors: np.ndarray) -> np.ndarray:
    """Directions of vectors (networks, nodes), scaled first so that no square under- or overflows.

    A signal that has underflowed to zero has none; any will do, for h = 0 whatever W is.
    """
    scaled = vectors.copy()
    scaled[~scaled.any(axis=-1), 0] = 1.0
    scaled /= np.abs(scaled).max(axis=-1, keepdims=True)
    return scaled / np.linalg.norm(scaled, axis=-1, keepdims=True)
