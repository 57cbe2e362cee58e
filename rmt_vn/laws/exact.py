"""S3, the exact mean VNI at any widths and depth: linear and ReLU networks, Gaussian and Haar weights, dropout."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rmt_vn.laws.hyperbolic.masks import live_count_distribution
from rmt_vn.laws.hyperbolic.transforms import log_gaussian_step, mean_sech_distance, mean_square_correlation
from rmt_vn.network import Network, mask_probability

_BLOCK = 2048


def exact_vni(network: Network) -> float:
    """The exact mean VNI of the Jacobian (S3): a theorem at any widths and depth, with no fitted number in it.

    E VNI = 1/n_L + (1 − 1/n_L)(1 − S), where S is the inversion of a product of one factor per weight matrix (see
    `rmt_vn.laws.hyperbolic.transforms`). For ReLU, and under dropout, the VNI is that of the live nodes of a network
    with at least one in each layer: every hidden fan-in n becomes k ~ Bin(n, p), given k ≥ 1, and 1/n_L becomes
    E[1/k | k ≥ 1]. Biases are allowed: they leave the signs of h independent fair coins.

    Parameters
    ----------
    network : Network
        With activation "linear" or "relu".

    Returns
    -------
    float
        Relative error below 1e-10.

    Raises
    ------
    ValueError
        For any other activation; S4 covers those.

    Examples
    --------
    >>> from rmt_vn import Network
    >>> round(exact_vni(Network.uniform(100, 100, activation="linear")), 6)
    0.478616
    """
    alone, others = _self_and_others(network)
    return float(alone + others * mean_square_correlation(lambda nu: _log_factor(network, nu)))


def exact_vni_complement(network: Network) -> float:
    """1 − E VNI (S3) without cancellation. Parameters and errors as `exact_vni`."""
    _, others = _self_and_others(network)
    return float(others * mean_sech_distance(lambda nu: _log_factor(network, nu)))


def _covered_probability(network: Network) -> float:
    return mask_probability(
        network, "S3, the exact law,", "; for other activations use S4, laws.approximate_vni(network)"
    )


def _self_and_others(network: Network) -> tuple[float, float]:
    """E[1/k] and 1 − E[1/k] over the number k ≥ 1 of live nodes in the last layer, neither by subtraction."""
    probability = _covered_probability(network)
    width = network.widths[-1]
    if probability == 1:
        return 1 / width, (width - 1) / width
    k, weight = live_count_distribution(width, probability)
    return float(weight @ (1 / k)), float(weight @ ((k - 1) / k))


def _log_factor(network: Network, nu: np.ndarray) -> np.ndarray:
    """ln M(ν) = Σ_l ln m_l(ν). The inputs are never masked."""
    probability = _covered_probability(network)
    total = _log_step(network.widths[:2], 1.0, network.weights, nu)
    for shape, count in network.hidden_shapes.items():
        total = total + count * _log_step(shape, probability, network.weights, nu)
    return total


def _log_step(shape: tuple[int, ...], probability: float, weights: str, nu: np.ndarray) -> np.ndarray:
    n_in, n_out = shape
    if n_in == 1:
        return np.full(nu.shape, -np.inf)
    if weights == "orthogonal" and probability == 1 and n_out <= n_in:
        return np.zeros(nu.shape)
    log_m = log_gaussian_step(n_in, nu) if probability == 1 else _log_masked_step(n_in, probability, nu)
    if weights == "orthogonal":
        log_m = log_m - log_gaussian_step(max(n_in, n_out), nu)
    return log_m


def _log_masked_step(n: int, probability: float, nu: np.ndarray) -> np.ndarray:
    """ln E[m_k(ν) | k ≥ 1], k ~ Bin(n, p)."""
    mean, deficit = np.zeros(nu.shape), np.zeros(nu.shape)
    for k, weight in _blocks(*live_count_distribution(n, probability)):
        log_m = log_gaussian_step(k[:, None], nu)
        mean += weight @ np.exp(log_m)
        deficit -= weight @ np.expm1(log_m)
    # A wide layer's factor is 1 − O(1/n): its logarithm must be accurate relative to that small number.
    return np.where(deficit < 0.5, np.log1p(-np.minimum(deficit, 0.5)), np.log(mean))


def _blocks(k: np.ndarray, weight: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for start in range(0, len(k), _BLOCK):
        yield k[start : start + _BLOCK], weight[start : start + _BLOCK]
