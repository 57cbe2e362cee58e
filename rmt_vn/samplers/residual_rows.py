"""Residual networks: a few rows of the Jacobian at O(width) a block, with exactly the distribution of the full product.

As in plain networks (`rows`), the forward pass sees of each matrix only what it makes of one vector, and draws that
alone. On the way back a row r becomes s r + gain × r W_2 D W_1 P, by fresh rows across those vectors.
"""

from __future__ import annotations

import numpy as np

from rmt_vn.network import ResidualNetwork
from rmt_vn.samplers.residual_blocks import first_signal, walk_blocks, without_mean_and_signal
from rmt_vn.samplers.rows import rows_through, through_images, unit_vectors


def sample_residual_rows(
    network: ResidualNetwork, n_networks: int, count: int, rng: np.random.Generator, input_variance: float | None
) -> np.ndarray:
    """Some rows of the Jacobian of each network, shape (n_networks, min(count, n_L), n_0), up to a common factor."""
    inputs, x, embedding = first_signal(network, n_networks, rng, input_variance, through_images)
    blocks = []
    for block, stream in walk_blocks(network, x, rng, through_images):
        blocks.append(block)
        x = stream
    n_out = network.widths[-1]
    rows = np.broadcast_to(np.eye(min(count, n_out), n_out), (n_networks, min(count, n_out), n_out))
    if network.readout is not None:
        image, _ = through_images(network.readout, n_out, network.width, x, rng)
        rows = rows_through(network.readout, (network.width, n_out), rows, unit_vectors(x), image, rng)
    matrices = network.branch
    while blocks:
        block = blocks.pop()
        if block.normalized is not None:
            rows = without_mean_and_signal(rows, block.normalized)
        branch = rows
        for number in reversed(range(len(matrices))):
            if number == 0:
                branch = branch * block.slopes[:, None, :]
            direction = unit_vectors(block.inputs[number])
            shape = network.branch_shapes[number]
            branch = rows_through(matrices[number], shape, branch, direction, block.drawn[number], rng)
        if network.normalization == "pre":
            branch = without_mean_and_signal(branch, block.inputs[0])
        rows = network.skip * rows + block.gain[:, None, None] * branch
        rows = rows / np.abs(rows).max(axis=(-2, -1), keepdims=True)
    if network.embedding is not None and embedding is not None:
        shape = (network.widths[0], network.width)
        rows = rows_through(network.embedding, shape, rows, unit_vectors(inputs), embedding, rng)
    return rows
