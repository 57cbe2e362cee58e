"""S3, the exact mean VNI at any widths and depth: linear and ReLU networks, Gaussian and Haar weights, dropout."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from rmt_vn.laws.hyperbolic.masks import live_count_quadrature
from rmt_vn.laws.hyperbolic.transforms import (
    NODES,
    log_gaussian_step,
    mean_sech_distance,
    mean_square_correlation,
    mean_square_correlation_from,
)
from rmt_vn.network import Network, mask_probability


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
    alone, others = _self_and_others(network.widths[-1], _covered_probability(network))
    return min(1.0, float(alone + others * mean_square_correlation(lambda nu: _log_factor(network, nu))))


def exact_vni_complement(network: Network) -> float:
    """1 − E VNI (S3) without cancellation. Parameters and errors as `exact_vni`."""
    _, others = _self_and_others(network.widths[-1], _covered_probability(network))
    return float(others * mean_sech_distance(lambda nu: _log_factor(network, nu)))


def exact_vni_along_depth(network: Network) -> np.ndarray:
    """`exact_vni` of the networks that end at each layer, shape (L,), from one product over the layers.

    Errors as `exact_vni`.
    """
    alone, correlations = exact_parts_along_depth(network)
    return np.minimum(alone + (1 - alone) * correlations, 1.0)


def exact_parts_along_depth(network: Network) -> tuple[np.ndarray, np.ndarray]:
    """E[1/k] over the live nodes of each layer, and E ρ² of two nodes of it, live or not: two arrays of shape (L,).

    Errors as `exact_vni`.
    """
    probability = _covered_probability(network)
    ends = {width: _self_and_others(width, probability)[0] for width in set(network.widths[1:])}
    alone = np.array([ends[width] for width in network.widths[1:]])
    # The inputs are never masked.
    layers = [(shape, probability if layer else 1.0) for layer, shape in enumerate(pairwise(network.widths))]
    correlations, log_factor = np.empty(network.depth), np.zeros(len(NODES))
    known: dict[tuple[tuple[int, int], float], np.ndarray] = {}
    for layer, kind in enumerate(layers):
        if kind not in known:
            known[kind] = _log_step(*kind, network.weights, NODES)
        log_factor = log_factor + known[kind]
        correlations[layer] = mean_square_correlation_from(log_factor)
    return alone, correlations


def _covered_probability(network: Network) -> float:
    return mask_probability(
        network, "S3, the exact law,", "; for other activations use S4, laws.approximate_vni(network)"
    )


def _self_and_others(width: int, probability: float) -> tuple[float, float]:
    """E[1/k] and 1 − E[1/k] over the number k ≥ 1 of live nodes in the last layer, neither by subtraction."""
    if probability == 1:
        return 1 / width, (width - 1) / width
    k, weight = live_count_quadrature(width, probability)
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
    k, weight = live_count_quadrature(n, probability)
    log_m = log_gaussian_step(k[:, None], nu)
    deficit = -weight @ np.expm1(log_m)
    # A wide layer's factor is 1 − O(1/n): its logarithm must be accurate relative to that small number.
    return np.where(deficit < 0.5, np.log1p(-np.minimum(deficit, 0.5)), np.log(weight @ np.exp(log_m)))
