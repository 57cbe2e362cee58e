"""Linear and ReLU networks, linear residual ones: two nodes as a random walk on the hyperbolic plane, O(1) a layer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from rmt_vn.network import Network, ResidualNetwork, mask_probability

# Beyond this cosh r, 1 − ρ² is 0 in double precision and stays so.
_MERGED = 1e150


def walks_alone(network: Network | ResidualNetwork) -> bool:
    """Whether the Gram matrix of two nodes is a Markov chain by itself."""
    if isinstance(network, ResidualNetwork):
        return (network.hidden, network.weights, network.normalization) == (None, "gaussian", "none")
    return network.live_probability is not None


def chain_vni(network: Network | ResidualNetwork, n_networks: int, rng: np.random.Generator) -> np.ndarray:
    """VNI of independent walks, each the mean over the direction of its end point: E[ρ² | r] = 1 − 1/cosh r."""
    excess = _walk_chain(network, n_networks, rng)
    probability = 1.0 if isinstance(network, ResidualNetwork) else mask_probability(network, "the walk")
    live = sample_live_counts(network.widths[-1], probability, n_networks, rng)
    return 1 / live + (1 - 1 / live) * (1 - 1 / (1 + excess))


def chain_correlation(network: Network | ResidualNetwork, n_networks: int, rng: np.random.Generator) -> np.ndarray:
    """ρ = tanh y, where sinh y = sinh r cos θ: y is the distance to a geodesic through the start of the walk."""
    excess = np.minimum(_walk_chain(network, n_networks, rng), _MERGED)
    x = np.sqrt(excess * (excess + 2)) * np.cos(2 * np.pi * rng.random(n_networks))
    return x / np.sqrt(1 + x * x)


def _walk_chain(network: Network | ResidualNetwork, n_networks: int, rng: np.random.Generator) -> np.ndarray:
    """cosh r − 1 after all layers: r is the hyperbolic distance walked by the shape of two nodes' Gram matrix.

    A layer is a step of random length s in a random direction θ, and cosh r′ = cosh r cosh s + sinh r sinh s cos θ. The
    distribution of the walk does not depend on the order of the steps, so layers of one shape are taken together. The
    result is infinite once |ρ| of the two nodes is 1 in double precision.
    """
    excess = np.zeros(n_networks)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for step, count in _steps(network, n_networks, rng):
            for _ in range(count):
                length = step()
                if length is None:
                    break
                cosine = np.cos(2 * np.pi * rng.random(n_networks))
                cosine *= np.sqrt(excess * (excess + 2)) * np.sqrt(length * (length + 2))
                excess = np.maximum(excess + length + excess * length + cosine, 0.0)
                excess[~(excess < _MERGED)] = np.inf
    return excess


def _steps(
    network: Network | ResidualNetwork, n_networks: int, rng: np.random.Generator
) -> list[tuple[Callable[[], np.ndarray | None], int]]:
    """Draws cosh s − 1 of one step, and how many such steps there are, for each kind of layer."""
    if isinstance(network, ResidualNetwork):
        steps: list[tuple[Callable[[], np.ndarray | None], int]] = []
        ratio = (network.beta * network.sigma_w[0] / network.skip) ** 2
        if ratio > 0 and network.width > 1:
            steps.append((partial(_block_step, network.width, ratio, n_networks, rng), network.depth))
        for end in (network.embedding, network.readout):
            steps += [] if end is None else _steps(end, n_networks, rng)
        return steps
    probability = mask_probability(network, "the walk")
    kinds = [(network.widths[:2], 1.0, 1)]
    kinds += [(shape, probability, count) for shape, count in network.hidden_shapes.items()]
    return [(partial(_chain_step, shape, p, network.weights, n_networks, rng), count) for shape, p, count in kinds]


def _block_step(width: int, ratio: float, n_networks: int, rng: np.random.Generator) -> np.ndarray:
    """cosh s − 1 for two rows of I + W, the N ≥ 2 entries of a row of W of variance a/N each.

    Their Gram matrix is that of the first two columns, MMᵀ with M = I + √(a/N) Z, plus a/N times a Wishart matrix of
    N − 2 degrees of freedom. cosh s − 1 = (Tr G/2 − √det G)/√det G, from terms of one sign.
    """
    noise = np.sqrt(ratio / width)
    z11, z12, z21, z22 = rng.standard_normal((4, n_networks))
    b11, b12, b22 = _bartlett_gram(np.full(n_networks, width - 2.0), n_networks, rng)
    m11, m22 = 1 + noise * z11, 1 + noise * z22
    a11, a12, a22 = m11**2 + (noise * z12) ** 2, noise * (m11 * z21 + m22 * z12), m22**2 + (noise * z21) ** 2
    scale = noise**2
    determinant = (m11 * m22 - scale * z12 * z21) ** 2 + scale**2 * np.maximum(b11 * b22 - b12**2, 0.0)
    determinant += scale * np.maximum(a22 * b11 + a11 * b22 - 2 * a12 * b12, 0.0)
    # G_11 − G_22, without the ones that cancel.
    difference = noise * (z11 - z22) * (m11 + m22) + scale * (z12**2 - z21**2 + b11 - b22)
    trace, root = a11 + a22 + scale * (b11 + b22), np.sqrt(determinant)
    return (difference**2 + 4 * (a12 + scale * b12) ** 2) / (2 * root * (trace + 2 * root))


def _chain_step(
    shape: tuple[int, ...], live_probability: float, weights: str, n_networks: int, rng: np.random.Generator
) -> np.ndarray | None:
    """cosh s − 1 for the 2×2 Gram factor T Tᵀ of one layer, cosh s = Tr TTᵀ/(2 det T); None if s is always 0."""
    n_in, n_out = shape
    k = sample_live_counts(n_in, live_probability, n_networks, rng)
    if weights == "gaussian":
        # The sphericity statistic of a 2×2 Wishart matrix with k degrees of freedom: (1/cosh s)^{k−1} is uniform
        # (Muirhead 1982, section 8.3).
        return np.expm1(rng.standard_exponential(n_networks) / (k - 1))
    n = max(n_in, n_out)
    if n_in == n and live_probability == 1:
        return None
    # A 2 × k corner of an n × n Haar matrix: T Tᵀ is matrix beta, A(A + B)⁻¹ in distribution for Wishart A and B.
    a11, a12, a22 = _bartlett_gram(k, n_networks, rng)
    b11, b12, b22 = _bartlett_gram(n - k, n_networks, rng)
    s11, s12, s22 = a11 + b11, a12 + b12, a22 + b22
    det_a, det_s = a11 * a22 - a12**2, s11 * s22 - s12**2
    step = (s22 * a11 - 2 * s12 * a12 + s11 * a22) / (2 * np.sqrt(det_a * det_s)) - 1
    return np.where(k == 1, np.inf, np.where(k == n, 0.0, np.maximum(step, 0.0)))


def _bartlett_gram(
    degrees: np.ndarray, n_networks: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Entries of a 2×2 Wishart matrix T Tᵀ (Bartlett): T_11² ~ χ²_k, T_22² ~ χ²_{k−1}, T_21 ~ N(0, 1), T_12 = 0."""
    t11 = np.sqrt(2 * rng.standard_gamma(degrees / 2, n_networks))
    t21 = rng.standard_normal(n_networks) * (degrees > 0)
    t22_squared = 2 * rng.standard_gamma(np.maximum(degrees - 1, 0) / 2, n_networks)
    return t11**2, t11 * t21, t21**2 + t22_squared


def sample_live_counts(n: int, live_probability: float, n_networks: int, rng: np.random.Generator) -> np.ndarray:
    """k ~ Bin(n, live_probability) given k ≥ 1."""
    if live_probability == 1:
        return np.full(n_networks, float(n))
    k = rng.binomial(n, live_probability, n_networks)
    (empty,) = np.nonzero(k == 0)
    if len(empty):
        # Given k ≥ 1, the first live node has a truncated geometric distribution; the nodes after it are independent.
        log_dead = np.log1p(-live_probability)
        some = -np.expm1(n * log_dead)
        first = np.ceil(np.log1p(-some * rng.random(len(empty))) / log_dead)
        first = np.clip(first, 1, n).astype(int)
        k[empty] = 1 + rng.binomial(n - first, live_probability)
    return k.astype(float)
