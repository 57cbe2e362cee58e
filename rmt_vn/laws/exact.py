"""S3, the exact mean VNI at any widths and depth: linear and ReLU networks, dropout, linear residual networks (S8)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from rmt_vn.checks import checked_kind
from rmt_vn.laws.hyperbolic.masks import live_count_quadrature
from rmt_vn.laws.hyperbolic.steps import Refusal, Step, layer_step, network_steps
from rmt_vn.laws.hyperbolic.transforms import (
    NODES,
    mean_sech_distance,
    mean_square_correlation,
    mean_square_correlation_from,
)
from rmt_vn.network import Network, ResidualNetwork, mask_probability

_REFUSAL = Refusal("S3, the exact law,", "; for others use S4 or S8, laws.approximate_vni(network)")


def exact_vni(network: Network | ResidualNetwork) -> float:
    """The exact mean VNI of the Jacobian (S3): a theorem at any widths and depth, with no fitted number in it.

    E VNI = 1/n_L + (1 − 1/n_L)(1 − S), where S is the inversion of a product of one factor per weight matrix (see
    `rmt_vn.laws.hyperbolic.transforms`). For ReLU, and under dropout, the VNI is that of the live nodes of a network
    with at least one in each layer: every hidden fan-in n becomes k ~ Bin(n, p), given k ≥ 1, and 1/n_L becomes
    E[1/k | k ≥ 1]. Biases are allowed: they leave the signs of h independent fair coins.

    A linear residual block x → s x + β W x, W Gaussian, is a Gaussian layer of a random fan-in ≥ N (S8, see
    `rmt_vn.laws.hyperbolic.residual_fan_in`).

    Parameters
    ----------
    network : Network or ResidualNetwork
        With activation "linear" or "relu"; residual with branches of a single Gaussian matrix, and no normalization.

    Returns
    -------
    float
        Relative error below 1e-10.

    Raises
    ------
    ValueError
        For any other; S4 and S8 cover those, `approximate_vni`.

    Examples
    --------
    >>> from rmt_vn import Network
    >>> round(exact_vni(Network.uniform(100, 100, activation="linear")), 6)
    0.478616
    """
    checked_kind("network", network, Network, ResidualNetwork)
    steps = network_steps(network, _REFUSAL)
    alone, others = _self_and_others(network.widths[-1], _live_probability(network))
    return min(1.0, float(alone + others * mean_square_correlation(lambda nu: _log_factor(steps, nu))))


def exact_vni_complement(network: Network | ResidualNetwork) -> float:
    """1 − E VNI (S3) without cancellation. Parameters and errors as `exact_vni`."""
    checked_kind("network", network, Network, ResidualNetwork)
    steps = network_steps(network, _REFUSAL)
    _, others = _self_and_others(network.widths[-1], _live_probability(network))
    return float(others * mean_sech_distance(lambda nu: _log_factor(steps, nu)))


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
    probability = mask_probability(network, *_REFUSAL)
    ends = {width: _self_and_others(width, probability)[0] for width in set(network.widths[1:])}
    alone = np.array([ends[width] for width in network.widths[1:]])
    # The inputs are never masked.
    layers = [(shape, probability if layer else 1.0) for layer, shape in enumerate(pairwise(network.widths))]
    known = {kind: layer_step(*kind, network.weights).log_factor(NODES) for kind in set(layers)}
    correlations, log_factor = np.empty(network.depth), np.zeros(len(NODES))
    for layer, kind in enumerate(layers):
        log_factor = log_factor + known[kind]
        correlations[layer] = mean_square_correlation_from(log_factor)
    return alone, correlations


def _live_probability(network: Network | ResidualNetwork) -> float:
    return 1.0 if isinstance(network, ResidualNetwork) else mask_probability(network, *_REFUSAL)


def _self_and_others(width: int, probability: float) -> tuple[float, float]:
    """E[1/k] and 1 − E[1/k] over the number k ≥ 1 of live nodes in the last layer, neither by subtraction."""
    if probability == 1:
        return 1 / width, (width - 1) / width
    k, weight = live_count_quadrature(width, probability)
    return float(weight @ (1 / k)), float(weight @ ((k - 1) / k))


def _log_factor(steps: list[Step], nu: np.ndarray) -> np.ndarray:
    """ln M(ν) = Σ ln m(ν) over all steps."""
    return sum((step.count * step.log_factor(nu) for step in steps), np.zeros(nu.shape))
