"""Any activation at O(1) a layer: the chain of a few nodes' components along the signal and Gram matrix across it.

Given the signal, a layer acts on the rows of the Jacobian in two ways (S4, the signal mode). Their components along the
signal, a, are multiplied by √G and gain Gaussian noise with the covariance of the rows; their Gram matrix across it, B,
is multiplied by χ, scatters as a Wishart matrix of n/r degrees of freedom, and is fed by M a aᵀ. Besides these numbers
the chain carries the signal's variance q, which scatters from network to network.

It is an approximation: other sums over the nodes of a layer are replaced by their means at that q, or by normal
variables. The mean VNI is off by less than 1% from N = 50 on where the mode is small (compared with 8000 networks by
rows), by up to 2% where it takes over, and by up to 6% where q itself scatters by a factor of two or more. The samplers
by rows and by matrices have no such error.
"""

from __future__ import annotations

import math
from dataclasses import astuple, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from rmt_vn.activations import Activation
from rmt_vn.gaussian_averages import LARGEST_VARIANCE, SignalMoments, signal_moments
from rmt_vn.network import Network
from rmt_vn.samplers.chain import sample_live_counts
from rmt_vn.samplers.forward import default_input_variance

# Moments are taken on a grid of ln q and interpolated between: second differences of a few 1e-4 of a moment.
_GRID = 0.05
_LOWEST = math.log(1e-24)
# Beyond this variance, where the quadrature ends, an activation is taken to be what it is there.
_HIGHEST = math.log(LARGEST_VARIANCE) - 2 * _GRID


def signal_chain_vni(
    network: Network, n_networks: int, count: int, rng: np.random.Generator, input_variance: float | None
) -> np.ndarray:
    """The VNI over live nodes of independent chains, 1/k + (1 − 1/k) E ρ², ρ² averaged over the pairs of some nodes."""
    nodes = min(count, network.widths[-1])
    if nodes == 1:
        return np.ones(n_networks)
    gram, live = signal_chain_gram(network, n_networks, nodes, rng, input_variance)
    square = np.einsum("iin->in", gram)
    correlations = gram**2 / (square[:, None] * square[None])
    pairs = (correlations.sum(axis=(0, 1)) - nodes) / (nodes * (nodes - 1))
    alone = 1 / sample_live_counts(network.widths[-1], live, n_networks, rng)
    return alone + (1 - alone) * pairs


def signal_chain_gram(
    network: Network, n_networks: int, nodes: int, rng: np.random.Generator, input_variance: float | None
) -> tuple[np.ndarray, float]:
    """Gram matrices of some live nodes' rows, shape (nodes, nodes, n_networks), each up to a factor, and P(live)."""
    if network.activation.is_homogeneous:
        # The slopes are fair coins, with biases as without them.
        network = replace(network, sigma_b=0.0)
    variances = _forward(network, n_networks, rng, input_variance)
    shapes = list(pairwise(network.widths))
    last = _moments(network.activation, variances[-1])
    mode, root = _last_rows(network, nodes, variances[-1], rng)
    for layer in range(network.depth - 1, 0, -1):
        # Back through D_l and W_l, from the rows that W_{l+1} has made.
        log_q = variances[layer - 1]
        moments = _moments(network.activation, log_q)
        scatter = _scatter(network, shapes[layer], moments)
        to_mode, noise, to_rest, kept = _layer_step(network, shapes[layer - 1], log_q, variances[layer], moments, rng)
        shaken = _wishart(root, scatter, rng)
        noisy = np.einsum("ijn,jn->in", root, rng.standard_normal(mode.shape))
        root = root_of_sum(np.sqrt(kept) * shaken, np.sqrt(to_rest) * mode)
        mode = np.sqrt(to_mode) * mode + np.sqrt(noise) * noisy
        size = np.sqrt(np.sum(root**2, axis=(0, 1)) + np.sum(mode**2, axis=0))
        root, mode = root / size, mode / size
    root = _wishart(root, wishart_scatter(network, shapes[0], np.full(n_networks, input_depth(network))), rng)
    return np.einsum("ijn,kjn->ikn", root, root) + mode[:, None] * mode[None], float(np.mean(last.live))


def input_depth(network: Network) -> float:
    """What the Gaussian matrix of n_0 inputs adds to the effective depth across the signal, to order 1/n_0²."""
    inputs = 1 / max(network.widths[0] - 1, 1)
    return inputs + 1.5 * inputs**2


def _forward(
    network: Network, n_networks: int, rng: np.random.Generator, input_variance: float | None
) -> list[np.ndarray]:
    """ln q_1, …, ln q_L of each network."""
    weight, bias = network.sigma_w**2, network.sigma_b**2
    if input_variance is None:
        input_variance = default_input_variance(network)
    variances = [np.full(n_networks, _log(weight * input_variance + bias))]
    for shape in list(pairwise(network.widths))[:-1]:
        log_q = variances[-1]
        moments = _moments(network.activation, log_q)
        n_in, n_out = shape
        part = _signal_part(network, log_q)
        scatter = (1 + moments.signal_scatter) / network.keep - 1
        if network.weights == "orthogonal":
            # The image of the signal's direction has a length of its own for all N of its components together.
            scatter = scatter - 2 * (part * moments.along / moments.signal) ** 2 * n_out / max(n_in, n_out)
        scatter = np.maximum(scatter, 1e-12) / n_out
        mean_square = np.maximum(rng.standard_gamma(1 / scatter) * scatter, np.finfo(float).tiny)
        log_signal = np.log(moments.signal / network.keep * mean_square) + log_q
        variances.append(np.logaddexp(_log(weight) + log_signal, _log(bias)))
    return variances


def _last_rows(
    network: Network, nodes: int, log_q: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(a, root of B) of the rows of live nodes of W_L: a is h − b in units of |x|, and h is such that φ′(h) ≠ 0."""
    n_in, n_out = network.widths[-2:]
    part = _signal_part(network, log_q)
    scale = np.exp(np.clip(log_q, _LOWEST, _HIGHEST) / 2)
    mode = np.empty((nodes, len(log_q)))
    todo = np.ones(mode.shape, dtype=bool)
    for _ in range(1000):
        h, rest = rng.standard_normal((2, np.count_nonzero(todo)))
        _, network_of = np.nonzero(todo)
        # Given h, the signal's share of it: a regression with what is left over.
        mode[todo] = np.sqrt(part[network_of]) * h + np.sqrt(1 - part[network_of]) * rest
        todo[todo] = network.activation.dphi(scale[network_of] * h) == 0
        if not todo.any():
            break
    else:
        raise ValueError("no live node in 1000 draws; take a larger sigma_w or input_variance")
    mode /= math.sqrt(n_in)
    triangles = root_across(network, (n_in, n_out), mode.T)
    return mode, np.ascontiguousarray(np.moveaxis(triangles, 0, -1))


def root_across(network: Network, shape: tuple[int, int], mode: np.ndarray) -> np.ndarray:
    """A lower triangular root of B, (n_networks, nodes, nodes), for rows of a matrix of this shape and σ_w = 1.

    Their components along the signal are `mode`, (n_networks, nodes).
    """
    n_in, n_out = shape
    identity = np.broadcast_to(np.eye(mode.shape[1]), (*mode.shape, mode.shape[1]))
    if network.weights == "gaussian":
        return identity * math.sqrt((n_in - 1) / n_in)
    size = max(n_in, n_out)
    gain, kept = size / n_in, (n_in - 1) / max(size - 1, 1)
    # Whole rows of a Haar matrix are orthonormal: what is along the signal is missing across it.
    square = np.maximum(np.sum(mode**2, axis=1) / gain, np.finfo(float).tiny)
    missing = (1 - np.sqrt(1 - np.minimum(square, 1))) / (square * gain)
    symmetric = identity - missing[:, None, None] * mode[:, :, None] * mode[:, None, :]
    return np.swapaxes(np.linalg.qr(math.sqrt(gain * kept) * symmetric, mode="r"), -2, -1)


def _layer_step(
    network: Network,
    shape: tuple[int, int],
    log_q: np.ndarray,
    log_next: np.ndarray,
    moments: Any,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What layer l makes of a aᵀ and B at x_l: a aᵀ into a aᵀ, B into a aᵀ, a aᵀ into B, B into B, at x_{l−1}."""
    n_in, n_out = shape
    weight, keep = network.sigma_w**2, network.keep
    part = _signal_part(network, log_q)
    # The lengths of the signal at x_l and x_{l−1} are those of this network, not their means.
    growth = np.exp(log_next - log_q) * _signal_part(network, log_next) / part
    along = part * moments.along / moments.signal
    to_mode = n_out / n_in * growth * _scattered_along(network, n_out, growth, part, along, moments, rng) ** 2
    across = part * moments.slope_length + (1 - part) * moments.mu1 - along**2 * moments.signal / part
    others = max(n_out - 1, 1)
    noise = np.maximum(weight / keep * n_out / n_in * across, 0.0) / others
    signal_slope = moments.signal_slope / keep**2
    rest_slope = np.maximum(n_out * moments.mu1 / keep - signal_slope, 0.0) / others
    if network.weights == "gaussian":
        gain = weight * (n_in - 1) / n_in
        return to_mode, noise, gain * signal_slope, gain * rest_slope
    size = max(n_in, n_out)
    gain, kept = weight * size / n_in, (n_in - 1) / max(size - 1, 1)
    to_rest = kept * np.maximum(gain * signal_slope - to_mode, 0.0)
    return to_mode, noise, to_rest, kept * np.maximum(gain * rest_slope - noise, 0.0)


def _scattered_along(
    network: Network,
    n: int,
    growth: np.ndarray,
    part: np.ndarray,
    along: np.ndarray,
    moments: Any,
    rng: np.random.Generator,
) -> np.ndarray:
    """Σ φφ′(h − b)/Σ φ² over the n nodes of each network, given its Σ φ²: a mean of n, normal up to O(1/n)."""
    keep = network.keep
    excess = growth * part * keep / (network.sigma_w**2 * moments.signal) - 1
    variance = (1 + moments.signal_scatter) / keep - 1
    covariance = part * moments.along_signal / keep - along
    square = part**2 * moments.along_square + part * (1 - part) * moments.signal_slope / moments.signal
    residual = square / keep - along**2 - covariance**2 / variance
    noise = np.sqrt(np.maximum(residual, 0.0) / n) * rng.standard_normal(len(along))
    return (along + covariance / variance * excess + noise) / (1 + excess)


def _scatter(network: Network, shape: tuple[int, int], moments: Any) -> np.ndarray:
    """One over the degrees of freedom with which W_{l+1} and D_l, across the signal x_l, make a Gram matrix scatter.

    Of the sums Σ D²/n, Σ D⁴/n and Σ D⁶/n over n nodes, the shape of two rows' Gram matrix Σ_i D_i² z_i z_iᵀ sees
    P_2 = Σ D⁴/(Σ D²)² and P_3 = Σ D⁶/(Σ D²)³ as P_2 − 4 P_3 + 11 P_2²/2, to order 1/n².
    """
    n, keep = shape[0], network.keep
    mu1, mu2, mu3 = moments.mu1 / keep, moments.mu2 / keep**3, moments.mu3 / keep**5
    slope, slope_square = moments.signal_slope / keep**2, moments.signal_slope_square / keep**4
    total = np.maximum(n * mu1 - slope, np.finfo(float).tiny)
    # The mean of a ratio of sums over n nodes, to order 1/n.
    ratio = 1 + (3 * (mu2 / mu1**2 - 1) - 2 * (mu3 / (mu1 * mu2) - 1)) / n
    second = ratio * (n * mu2 - 2 * slope_square + slope**2) / total**2
    third = (n * mu3 - slope**3) / total**3
    return wishart_scatter(network, shape, second + 5.5 * second**2 - 4 * third)


def wishart_scatter(network: Network, shape: tuple[int, int], depth: np.ndarray) -> np.ndarray:
    """x = 1/ν of the Wishart matrix that adds as much, x + 3x²/2, less what the rows of a Haar matrix do not add."""
    if network.weights == "orthogonal":
        frame = 1 / max(max(shape) - 1, 1)
        depth = depth - frame - 1.5 * frame**2
    return (np.sqrt(1 + 6 * np.maximum(depth, 0.0)) - 1) / 3


def _wishart(root: np.ndarray, scatter: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """root T for the triangle T of a Wishart matrix with mean one and 1/scatter degrees of freedom (Bartlett)."""
    if not scatter.any():
        return root
    nodes = len(root)
    degrees = 1 / np.maximum(scatter, 1e-12)
    diagonal = 2 * rng.standard_gamma(np.maximum(degrees - np.arange(nodes)[:, None], 0.0) / 2)
    triangle = np.zeros(root.shape)
    triangle[range(nodes), range(nodes)] = np.sqrt(diagonal)
    below = np.tril_indices(nodes, -1)
    # Of fewer degrees of freedom than nodes, the matrix is singular.
    # So it is of a last degree that is not a whole one, a part of whose column keeps the mean.
    part = np.sqrt(np.clip(degrees - np.arange(nodes)[:, None], 0.0, 1.0))
    triangle[below] = rng.standard_normal((len(below[0]), root.shape[-1])) * part[below[1]]
    product = np.zeros(root.shape)
    for middle in range(nodes):
        product[middle:, : middle + 1] += root[middle:, middle, None] * triangle[middle, None, : middle + 1]
    return product / np.sqrt(degrees)


def root_of_sum(root: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """The lower triangular root of root rootᵀ + vector vectorᵀ, by Givens rotations: good also where it is singular."""
    root, vector = root.copy(), vector.copy()
    for j in range(len(root)):
        length = np.maximum(np.hypot(root[j, j], vector[j]), np.finfo(float).tiny)
        cosine, sine = root[j, j] / length, vector[j] / length
        column = root[j:, j].copy()
        root[j:, j] = cosine * column + sine * vector[j:]
        vector[j:] = cosine * vector[j:] - sine * column
    return root


def _signal_part(network: Network, log_q: np.ndarray) -> np.ndarray:
    """The part of the pre-activations' variance that is the signal's, the rest being the bias's."""
    return np.maximum(-np.expm1(_log(network.sigma_b**2) - log_q), np.finfo(float).eps)


def _moments(activation: Activation, log_q: np.ndarray) -> Any:
    """`SignalMoments` whose numbers are arrays, the averages at each q, interpolated in ln q."""
    position = np.clip(log_q, _LOWEST, _HIGHEST) / _GRID
    first = math.floor(position.min())
    grid = np.arange(first, math.floor(position.max()) + 2)
    table = np.array([_grid_moments(activation, each) for each in grid.tolist()]).T
    return SignalMoments(*(np.interp(position, grid, row) for row in table))


@lru_cache(maxsize=4096)
def _grid_moments(activation: Activation, index: int) -> tuple[float, ...]:
    return astuple(signal_moments(activation, math.exp(index * _GRID)))


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf
