"""S5 and S8, the signal mode of residual networks: how much of a gradient is along the stream, and how it grows.

A row g of the Jacobian, followed backwards through s I + B without LN, has a part along the stream x, of square A, and
one across it, of square R. In the limit of wide layers their means obey a linear recursion, as in plain networks. With
p = s²v/(s²v + b) the stream's share of the sum at the block's end, the direction of the sum is √p x̂ + √(1−p) ŷ, y the
output of the branch, and y is followed back to x̂ by √(b/v) c, c = E[φφ′h]/E φ². So the mode is multiplied by
(s²v + bc)²/(v(s²v + b)), and everything else by s²(1 + a): homogeneous φ have c = 1, and the two are the same. LN
before the branch leaves s²p of the mode, LN behind the sum nothing: with LN no mode grows.
"""

from __future__ import annotations

from itertools import repeat

import numpy as np

from rmt_vn.gaussian_averages import LARGEST_VARIANCE, signal_moments
from rmt_vn.laws.effective_depth import block_depths, effective_depth
from rmt_vn.laws.signal_mode import ratio_of_pairs
from rmt_vn.network import ResidualNetwork
from rmt_vn.residual_mean_field import ResidualMeanField, blocks_mean_field

# Variances below this count as it: φ is linear on either side of zero there.
_SMALLEST = 1e-24


def residual_parts_along_depth(
    network: ResidualNetwork, *, input_variance: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The signal mode's share of a gradient's mean square, and ln of that mean square, at x_0, x_1, …, x_L.

    The gradient starts at x_L, in any direction and of length one. With LN the share is what any direction has, 1/N.

    Returns
    -------
    shares, log_growth : ndarray, shape (L + 1,)
    """
    found = blocks_mean_field(network, input_variance=input_variance)
    width = network.width
    if network.normalization != "none" or network.activation.is_homogeneous:
        log_growth = np.append(np.cumsum(np.log(found.chi[::-1]))[::-1], 0.0)
        return np.full(network.depth + 1, 1 / width), log_growth
    state, shares, logs = np.array([1 / width, 1 - 1 / width]), [1 / width], [0.0]
    for step in _steps(network, found)[::-1]:
        state = step @ state
        size = state.sum()
        state = state / size
        shares.append(state[0])
        logs.append(logs[-1] + float(np.log(size)))
    return np.array(shares[::-1]), np.array(logs[::-1])


def residual_mode_ratio(network: ResidualNetwork, *, input_variance: float | None = None) -> float:
    """κ, by how much the signal mode has grown above the rest: `rmt_vn.laws.signal_mode.ratio_of_pairs`; 0 with LN."""
    if network.normalization != "none" or network.activation.is_homogeneous:
        return 0.0
    steps = _steps(network, blocks_mean_field(network, input_variance=input_variance))
    depths = block_depths(network, input_variance=input_variance).tolist()
    embedding = 0.0 if network.embedding is None else effective_depth(network.embedding)
    return ratio_of_pairs(zip(steps[::-1], depths[::-1], repeat(1)), network.width, embedding)


def _steps(network: ResidualNetwork, found: ResidualMeanField) -> np.ndarray:
    """The matrices of all blocks, without LN, shape (L, 2, 2): from (A, R) at x_l to that at x_{l−1}."""
    width, skip, others = network.width, network.skip**2, max(network.width - 1, 1)
    variances = np.clip(found.pre_activation, _SMALLEST, LARGEST_VARIANCE).tolist()
    known = {q: signal_moments(network.activation, q) for q in set(variances)}
    at = [known[q] for q in variances]
    signal, along, slope_length = np.array([(m.signal, m.along, m.slope_length) for m in at]).T
    mu1, signal_slope = np.array([(m.mu1, m.signal_slope) for m in at]).T
    # Of the branch, over the variance of the stream: its output, and what else of it comes to be along x.
    scale = network.beta**2 * float(np.prod(np.square(network.sigma_w)))
    output, noise = scale * signal, scale * np.maximum(slope_length - along**2 / signal, 0.0)
    follow, share = along / signal, skip / (skip + output)
    # Of W_2's image of g, a part is along φ(h), and D weighs it as the signal does.
    nodes = network.branch_shapes[0][1]
    weighted, unweighted = scale * width / nodes * signal_slope, scale * (mu1 - signal_slope / nodes)
    fresh = np.array([1 - share, share / others]) * weighted + unweighted
    mode_to_mode = (skip + output * follow) ** 2 / (skip + output) + noise / width
    rest_to_mode = skip * (1 - share) * (1 - follow) ** 2 / others + noise / width
    mode_to_rest = skip * (1 - share) + fresh[0] * (width - 1) / width
    rest_to_rest = skip * (1 - (1 - share) / others) + fresh[1] * (width - 1) / width
    return np.moveaxis(np.array([[mode_to_mode, rest_to_mode], [mode_to_rest, rest_to_rest]]), -1, 0)
