"""The plain sampler, against which the fast ones are tested: draw the matrices and multiply them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np

from rmt_vn.checks import checked_count, checked_kind
from rmt_vn.network import Network, ResidualNetwork
from rmt_vn.progress import progress
from rmt_vn.rng import RNG
from rmt_vn.samplers.forward import (
    JacobianLayer,
    Propagate,
    Signal,
    live_layer,
    random_signal,
    through_matrices,
    unit_norm,
)
from rmt_vn.samplers.residual_blocks import walk_residual_jacobian


def walk_jacobian(
    network: Network | ResidualNetwork, n_networks: int, *, rng: RNG = None, input_variance: float | None = None
) -> Iterator[JacobianLayer]:
    """Multiply the matrices of n_networks random networks, layer by layer, from the inputs on.

    D_l comes from a forward pass at a random input, unless φ is linear. A layer without a live node, which ReLU and
    dropout can leave, is drawn again: networks are sampled on the condition that each layer has a live node. Products
    are rescaled at each layer, and the logarithm of their norm is kept.

    Of a residual network there is a product for each block, the Jacobian of the stream x_l (of the sum behind its LN,
    with normalization "post"), and one more for a readout; all slopes are one.

    Parameters
    ----------
    network, n_networks, rng, input_variance
        As in `sample_vni`. Memory grows as n_networks × width².

    Yields
    ------
    JacobianLayer
        For l = 1, …, L.
    """
    checked_kind("network", network, Network, ResidualNetwork)
    rng = np.random.default_rng(rng)
    if isinstance(network, ResidualNetwork):
        yield from walk_residual_jacobian(network, n_networks, rng, input_variance)
    else:
        yield from walk_layers(network, n_networks, rng, input_variance, through_matrices, _multiplied)


def walk_layers(
    network: Network,
    n_networks: int,
    rng: np.random.Generator,
    input_variance: float | None,
    propagate: Propagate,
    product: Callable[[int, np.ndarray, np.ndarray, np.ndarray], np.ndarray],
) -> Iterator[JacobianLayer]:
    """As `walk_jacobian`, with W J from n_out, what `propagate` draws of W, the signal before it and J."""
    n_0 = network.widths[0]
    signal = Signal(random_signal(network, n_networks, rng, input_variance), np.zeros(n_networks))
    jacobian = np.broadcast_to(np.eye(n_0) / np.sqrt(n_0), (n_networks, n_0, n_0))
    log_norm = np.full(n_networks, np.log(n_0) / 2)
    for shape in pairwise(network.widths):
        x = signal.x
        drawn, slopes, signal = live_layer(network, shape, signal, rng, propagate)
        layer = JacobianLayer(product(shape[1], drawn, x, jacobian), slopes.values, log_norm + slopes.log_scale)
        yield layer
        jacobian, log_norm = unit_norm(layer)


def sample_along_depth(
    network: Network | ResidualNetwork,
    depths: Sequence[int],
    n_networks: int,
    *,
    measure: Callable[[JacobianLayer], np.ndarray],
    rng: RNG = None,
) -> np.ndarray:
    """measure(layer) at several depths of the same random networks; a `sample` function for `experiments.monte_carlo`.

    Returns
    -------
    ndarray, shape (n_networks, len(depths), …)
        In the order of increasing depth.

    Raises
    ------
    TypeError, ValueError
        If the depths are not different integers from 1 to the depth of the network, or there are none.
    """
    wanted = {checked_count("each depth", depth, most=network.depth) for depth in depths}
    if not wanted or len(wanted) < len(depths):
        raise ValueError(f"depths must be different integers from 1 to {network.depth}, got {depths!r:.200}")
    walk = walk_jacobian(network, n_networks, rng=rng)
    layers = enumerate(progress(walk, "layers", network.depth), start=1)
    return np.stack([measure(layer) for depth, layer in layers if depth in wanted], axis=1)


def _multiplied(n_out: int, w: np.ndarray, x: np.ndarray, jacobian: np.ndarray) -> np.ndarray:
    return w @ jacobian
