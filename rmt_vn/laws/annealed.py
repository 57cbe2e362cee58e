"""S2, exact annealed moments at any width and depth: E Tr C² and E (Tr C)² for C = J Jᵀ."""

from __future__ import annotations

from itertools import groupby, pairwise

import numpy as np

from rmt_vn.checks import checked_kind
from rmt_vn.laws.effective_depth import moments_variance
from rmt_vn.mean_field import layer_moments
from rmt_vn.network import Network


def log_trace_moments(network: Network) -> tuple[float, float]:
    """(ln E Tr C², ln E (Tr C)²) for C = J Jᵀ, exactly, at any widths and depth.

    The pair obeys a 2×2 linear recursion, layer by layer: Wick's formula for Gaussian weights, Weingarten's (Collins &
    Śniady 2006) for Haar weights, with independent entries of D_l of moments μ_1, μ_2 (taken at q*). It is exact for
    linear and ReLU networks, dropout included, as a mean over all networks, also those with a layer without a live
    node; for other activations D_l is not independent of the weights, and it holds to leading order in 1/width.

    Raises
    ------
    ValueError
        If μ_k is needed at a q* that does not exist.
    """
    checked_kind("network", network, Network)
    mu1, mu2 = layer_moments(network, moments_variance(network))
    scale = network.sigma_w**2 * mu1
    inputs = network.widths[0]
    traces, log_scale = np.array([1.0 / inputs, 1.0]), 2 * np.log(inputs)
    for (n_in, n_out), run in groupby(pairwise(network.widths)):
        repeats = sum(1 for _ in run)
        step = _trace_recursion(n_in, n_out, mu2 / mu1**2, network.weights)
        growth = np.abs(np.linalg.eigvals(step)).max()
        traces = np.linalg.matrix_power(step / growth, repeats) @ traces
        size = traces.max()
        traces = traces / size
        log_scale += repeats * (np.log(growth) + 2 * np.log(scale)) + np.log(size)
    log_a, log_b = log_scale + np.log(traces)
    return float(log_a), float(log_b)


def annealed_participation(network: Network) -> float:
    """E Tr C² / E (Tr C)² for C = J Jᵀ (S2), between 1/n_L and 1.

    It is a ratio of means, neither the mean of Tr C²/(Tr C)² nor the mean VNI; the three agree to first order in L/N
    only.

    Examples
    --------
    >>> from rmt_vn import Network
    >>> round(annealed_participation(Network.uniform(50, 50, activation="linear")), 3)
    0.868
    """
    log_a, log_b = log_trace_moments(network)
    return float(np.exp(log_a - log_b))


def _trace_recursion(n_in: int, n_out: int, ratio: float, weights: str) -> np.ndarray:
    """The map of (E Tr C², E (Tr C)²) under one layer, in units of (σ_w² μ_1)²; ratio = μ_2/μ_1²."""
    off_diagonal_square = np.zeros(2)
    diagonal_pair = np.zeros(2)
    if weights == "gaussian":
        # E (wᵢCwⱼ)² = Tr C²/n², E (wᵢCwᵢ)(wⱼCwⱼ) = (Tr C)²/n², E (wᵢCwᵢ)² = ((Tr C)² + 2 Tr C²)/n².
        diagonal_square = np.array([2.0, 1.0]) / n_in**2
        off_diagonal_square[0] = diagonal_pair[1] = 1 / n_in**2
    else:
        # A corner of an N × N Haar matrix, N = max(n_in, n_out), scaled by √(N/n_in) so that h keeps its variance.
        n = max(n_in, n_out)
        gain = (n / n_in) ** 2
        diagonal_square = gain * np.array([2.0, 1.0]) / (n * (n + 2))
        if n > 1:
            off_diagonal_square = gain * np.array([n, -1.0]) / (n * (n - 1) * (n + 2))
            diagonal_pair = gain * np.array([-2.0, n + 1.0]) / (n * (n - 1) * (n + 2))
    pairs = n_out * (n_out - 1)
    return np.array(
        [
            pairs * off_diagonal_square + n_out * ratio * diagonal_square,
            pairs * diagonal_pair + n_out * ratio * diagonal_square,
        ]
    )
