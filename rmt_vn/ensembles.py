"""Random weight matrices at initialization: Gaussian, and Haar (uniformly distributed orthogonal frames); biases."""

from __future__ import annotations

import numpy as np

from rmt_vn.checks import checked_choice, checked_count
from rmt_vn.network import WEIGHTS, Network, Weights
from rmt_vn.rng import RNG

__all__ = ["biases", "haar", "orthonormal_columns", "weight_matrices"]


def haar(n: int, columns: int | None = None, *, batch: tuple[int, ...] = (), rng: RNG = None) -> np.ndarray:
    """Haar-distributed n × k frames: QᵀQ = I, and the distribution of Q does not change under rotations.

    The Q of a QR decomposition of a Gaussian matrix is Haar only after its columns are multiplied by the signs of
    R's diagonal (Mezzadri 2007); without that, LAPACK's sign convention biases it.

    Parameters
    ----------
    n : int
        Rows, ≥ 1.
    columns : int, optional
        k, from 1 to n; n by default: the orthogonal group.
    batch : tuple of int
        Leading shape: how many frames.
    rng : seed or Generator

    Returns
    -------
    ndarray, shape (*batch, n, k)
    """
    n = checked_count("n", n)
    k = n if columns is None else checked_count("columns", columns, most=n)
    return orthonormal_columns(np.random.default_rng(rng).standard_normal((*batch, n, k)))


def orthonormal_columns(matrices: np.ndarray) -> np.ndarray:
    """Gram–Schmidt of the columns, by QR, with R's diagonal made positive. Shape (..., n, k), k ≤ n, as given."""
    q, r = np.linalg.qr(matrices)
    signs = np.where(np.diagonal(r, axis1=-2, axis2=-1) < 0, -1.0, 1.0)
    q *= signs[..., None, :]
    return q


def weight_matrices(
    n_out: int, n_in: int, weights: Weights, *, sigma_w: float = 1.0, batch: tuple[int, ...] = (), rng: RNG = None
) -> np.ndarray:
    """Random weight matrices W whose pre-activations h = W x have variance sigma_w² ‖x‖²/n_in.

    Gaussian: independent N(0, sigma_w²/n_in) entries. Orthogonal: sigma_w × Haar with W Wᵀ = sigma_w² I where
    n_out ≤ n_in; else WᵀW = sigma_w² (n_out/n_in) I, the factor keeping the variance of h.

    Returns
    -------
    ndarray, shape (*batch, n_out, n_in)
    """
    checked_choice("weights", weights, WEIGHTS)
    rng = np.random.default_rng(rng)
    if weights == "gaussian":
        w = rng.standard_normal((*batch, n_out, n_in))
        w *= sigma_w / np.sqrt(n_in)
        return w
    frame = haar(max(n_out, n_in), min(n_out, n_in), batch=batch, rng=rng)
    scale = sigma_w * np.sqrt(max(n_out, n_in) / n_in)
    return scale * (frame if n_out > n_in else np.swapaxes(frame, -2, -1))


def biases(network: Network, n_out: int, *, batch: tuple[int, ...] = (), rng: RNG = None) -> np.ndarray:
    """Biases b_l ~ N(0, sigma_b²), shape (*batch, n_out)."""
    return network.sigma_b * np.random.default_rng(rng).standard_normal((*batch, n_out))
