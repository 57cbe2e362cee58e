"""Any activation: two rows of the Jacobian at O(width) a layer, with exactly the distribution of the full product."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from rmt_vn.ensembles import haar
from rmt_vn.measures import jacobian_correlation
from rmt_vn.network import Network
from rmt_vn.samplers.forward import Signal, alive_layer, random_signal


def pair_rows(
    network: Network, n_samples: int, rng: np.random.Generator, input_variance: float | None, live: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Two rows of W_L D_{L−1} W_{L−1} … W_1 of each network, at O(width) a layer, and the live nodes of layer L.

    The forward pass sees of each W only W x̂, so it draws that alone. Given it, the rest of W is as random as before on
    the complement of x̂: on the way back, two rows a become a W = (a·Wx̂) x̂ᵀ + a new Gaussian pair of rows (or Haar
    frame) with the Gram matrix of a, orthogonal to x̂.
    """
    signal = Signal(random_signal(network, n_samples, rng, input_variance), np.zeros(n_samples))
    shapes = list(pairwise(network.widths))
    forward = []
    for shape in shapes:
        direction = _unit(signal.x)
        # A signal that has underflowed has no direction; any will do, for h = 0 whatever W is.
        direction[~direction.any(axis=-1), 0] = 1.0
        image, slopes, signal = alive_layer(network, shape, signal, rng, _through_images)
        forward.append((direction, image, slopes))
    last_slopes = forward[-1][2]
    nodes = np.argsort(last_slopes == 0, axis=-1, kind="stable")[:, :2] if live else np.tile([0, 1], (n_samples, 1))
    rows = (np.arange(network.widths[-1]) == nodes[..., None]).astype(float)
    for shape, (direction, image, _), before in zip(
        reversed(shapes), reversed(forward), [*(slopes for *_, slopes in forward[-2::-1]), None], strict=True
    ):
        rows = _rows_through(network, shape, rows, direction, image, rng)
        if before is not None:
            rows = rows * before[:, None, :]
        rows = rows / np.abs(rows).max(axis=(-2, -1), keepdims=True)
    return rows, np.count_nonzero(last_slopes, axis=-1)


def pair_vni(rows: np.ndarray, live: np.ndarray) -> np.ndarray:
    squared = jacobian_correlation(rows)[:, 0, -1] ** 2
    return 1 / live + (1 - 1 / live) * squared


def _through_images(
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


def _rows_through(
    network: Network,
    shape: tuple[int, int],
    rows: np.ndarray,
    direction: np.ndarray,
    image: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """a W for two rows a (samples, 2, n_out), given W x̂ = image."""
    n_in, n_out = shape
    samples = len(rows)
    along = rows @ image[:, :n_out, None]
    if network.weights == "gaussian":
        fresh = network.sigma_w / np.sqrt(n_in) * rng.standard_normal((samples, 2, n_in))
        fresh -= (fresh @ direction[..., None]) * direction[:, None, :]
        return along * direction[:, None, :] + _lower_root(rows) @ fresh
    n = max(n_in, n_out)
    gain = network.sigma_w * np.sqrt(n / n_in)
    padded = np.zeros((samples, n))
    padded[:, :n_in] = direction
    across = np.zeros((samples, 2, n))
    across[..., :n_out] = rows
    across -= along / gain**2 * image[:, None, :]
    fresh = rng.standard_normal((samples, 2, n))
    fresh -= (fresh @ padded[..., None]) * padded[:, None, :]
    frame = _orthonormal_pair(fresh)
    return (along * padded[:, None, :] + gain * _lower_root(across) @ frame)[..., :n_in]


def _orthonormal_pair(rows: np.ndarray) -> np.ndarray:
    first = _unit(rows[:, 0])
    return np.stack([first, _unit(_without(rows[:, 1], first))], axis=1)


def _lower_root(rows: np.ndarray) -> np.ndarray:
    """Lower triangular root of the Gram matrix of two rows, by Gram–Schmidt: good also where they are parallel."""
    first, second = rows[:, 0], rows[:, 1]
    unit = _unit(first)
    root = np.zeros((len(rows), 2, 2))
    root[:, 0, 0] = np.linalg.norm(first, axis=-1)
    root[:, 1, 0] = np.sum(second * unit, axis=-1)
    root[:, 1, 1] = np.linalg.norm(_without(second, unit), axis=-1)
    return root


def _without(vectors: np.ndarray, unit: np.ndarray) -> np.ndarray:
    return vectors - np.sum(vectors * unit, axis=-1, keepdims=True) * unit


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors over their lengths; zero vectors stay zero. Scaled first, so that no square under- or overflows."""
    largest = np.abs(vectors).max(axis=-1, keepdims=True)
    scaled = vectors / np.where(largest > 0, largest, 1.0)
    length = np.linalg.norm(scaled, axis=-1, keepdims=True)
    return scaled / np.where(length > 0, length, 1.0)
