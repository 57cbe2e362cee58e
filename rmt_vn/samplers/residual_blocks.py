"""Residual networks: the forward pass from block to block, and the plain sampler, which multiplies their matrices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rmt_vn.network import Network, ResidualNetwork
from rmt_vn.samplers.forward import JacobianLayer, Propagate, random_signal, through_matrices, unit_norm


@dataclass
class Block:
    """What the forward pass of a batch of networks leaves of a block, whose Jacobian is s I + gain × W_2 D W_1 P_u.

    With normalization "post" that is followed by P_z/size; P_u = I − 11ᵀ/N − uuᵀ/N is there with "pre" alone.

    Attributes
    ----------
    inputs : list of ndarray, shapes (networks, N) and (networks, m)
        u, and φ(W_1 u): what each matrix of the branch is multiplied with.
    drawn : list of ndarray
        Of each matrix, what `propagate` draws of it.
    slopes : ndarray, shape (networks, m)
        The diagonal of D.
    gain : ndarray, shape (networks,)
        β, divided with "pre" by the stream's standard deviation over its nodes.
    normalized : ndarray or None, shape (networks, N)
        z, behind LN, with "post".
    size : ndarray, shape (networks,)
        Of the sum before LN, with "post"; else one.
    """

    inputs: list[np.ndarray]
    drawn: list[np.ndarray]
    slopes: np.ndarray
    gain: np.ndarray
    normalized: np.ndarray | None
    size: np.ndarray


def layer_normalized(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """LN of vectors (…, nodes), and the standard deviations that it divides by; zero where all nodes are the same."""
    centred = x - x.mean(axis=-1, keepdims=True)
    size = np.sqrt(np.mean(centred**2, axis=-1))
    return centred / np.where(size > 0, size, 1.0)[..., None], size


def without_mean_and_signal(rows: np.ndarray, normalized: np.ndarray) -> np.ndarray:
    """Rows (networks, rows, N) times I − 11ᵀ/N − zzᵀ/N, for z behind LN: LN's Jacobian, but for its size."""
    rows = rows - rows.mean(axis=-1, keepdims=True)
    return rows - (rows @ normalized[..., None]) * (normalized / normalized.shape[-1])[:, None, :]


def first_signal(
    network: ResidualNetwork,
    n_networks: int,
    rng: np.random.Generator,
    input_variance: float | None,
    propagate: Propagate,
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Random inputs, the stream x_0, and what was drawn of the embedding if there is one."""
    variance = 1.0 if input_variance is None else input_variance
    if variance == 0:
        raise ValueError("input_variance must be > 0 for a residual network, got 0")
    first = network.embedding or Network((network.width,) * 2, "linear")
    inputs = random_signal(first, n_networks, rng, variance)
    if network.embedding is None:
        return inputs, inputs, None
    drawn, x = propagate(first, network.width, first.widths[0], inputs, rng)
    return inputs, x, drawn


def walk_blocks(
    network: ResidualNetwork, x: np.ndarray, rng: np.random.Generator, propagate: Propagate
) -> Iterator[tuple[Block, np.ndarray]]:
    """Each block in turn, and the stream behind it (up to a factor, where nothing depends on its size).

    Raises
    ------
    OverflowError
        If a stream that is not normalized grows beyond doubles, and its size matters.
    """
    skip, norm, branch = network.skip, network.normalization, network.branch
    with np.errstate(divide="ignore"):
        log_beta = np.log(network.beta)
    log_scale = np.zeros(len(x))
    for _ in range(network.depth):
        log_gain = np.full(len(x), log_beta)
        u = x
        if norm == "pre":
            u, size = layer_normalized(x)
            log_gain -= log_scale + np.log(np.where(size > 0, size, 1.0))
        inputs, drawn, slopes, signal = [], [], [], u
        for layer in branch:
            n_in, n_out = layer.widths
            inputs.append(signal)
            with np.errstate(over="ignore", invalid="ignore"):
                matrix, h = propagate(layer, n_out, n_in, signal, rng)
            if not np.all(np.isfinite(h)):
                raise OverflowError(
                    f"the stream of a residual network leaves the range of doubles: lower skip, got {skip:g}, or "
                    f"branch_scale, got {network.branch_scale}, or normalize"
                )
            drawn.append(matrix)
            slopes.append(layer.activation.dphi(h))
            signal = layer.activation.phi(h)
        x = skip * x + np.exp(log_beta - log_scale)[:, None] * signal
        normalized, size = None, np.ones(len(x))
        if norm == "post":
            x, size = layer_normalized(x)
            normalized = x
        elif norm == "pre" or network.activation.is_homogeneous:
            # LN keeps u as it is, and φ(λh) = λφ(h): of the size, the logarithm is enough.
            largest = np.abs(x).max(axis=-1)
            x = x / np.where(largest > 0, largest, 1.0)[:, None]
            if norm == "pre":
                log_scale = log_scale + np.log(np.where(largest > 0, largest, 1.0))
        yield Block(inputs, drawn, slopes[0], np.exp(log_gain), normalized, size), x


def walk_residual_jacobian(
    network: ResidualNetwork, n_networks: int, rng: np.random.Generator, input_variance: float | None
) -> Iterator[JacobianLayer]:
    """The Jacobian of the stream behind each block, and that of the readout's outputs if there is one."""
    n_0 = network.widths[0]
    _, x, embedding = first_signal(network, n_networks, rng, input_variance, through_matrices)
    jacobian = np.broadcast_to(np.eye(n_0) / np.sqrt(n_0), (n_networks, n_0, n_0))
    if embedding is not None:
        jacobian = embedding @ jacobian
    log_norm = np.full(n_networks, np.log(n_0) / 2)
    ones = np.ones((n_networks, network.width))
    for block, stream in walk_blocks(network, x, rng, through_matrices):
        layer = JacobianLayer(_through_block(network, block, jacobian), ones, log_norm)
        yield layer
        jacobian, log_norm = unit_norm(layer)
        x = stream
    if network.readout is not None:
        n_out = network.widths[-1]
        matrices, _ = through_matrices(network.readout, n_out, network.width, x, rng)
        yield JacobianLayer(matrices @ jacobian, np.ones((n_networks, n_out)), log_norm)


def _through_block(network: ResidualNetwork, block: Block, jacobian: np.ndarray) -> np.ndarray:
    branch = jacobian
    if network.normalization == "pre":
        branch = _columns_without(branch, block.inputs[0])
    branch = block.slopes[..., None] * (block.drawn[0] @ branch)
    for matrices in block.drawn[1:]:
        branch = matrices @ branch
    total = network.skip * jacobian + block.gain[:, None, None] * branch
    if block.normalized is None:
        return total
    return _columns_without(total, block.normalized) / block.size[:, None, None]


def _columns_without(columns: np.ndarray, normalized: np.ndarray) -> np.ndarray:
    return np.swapaxes(without_mean_and_signal(np.swapaxes(columns, -2, -1), normalized), -2, -1)
