"""The plain sampler, against which the fast ones are tested: draw the matrices and multiply them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from rmt_vn.checks import checked_count
from rmt_vn.ensembles import weight_matrices
from rmt_vn.network import Network
from rmt_vn.progress import progress
from rmt_vn.results import Result
from rmt_vn.rng import RNG
from rmt_vn.samplers.forward import Propagate, Signal, live_layer, random_signal


@dataclass(frozen=True, eq=False, repr=False)
class JacobianLayer(Result):
    """One layer of a batch of simulated Jacobians, J_l = D_l W_l J_{l−1} = e^{log_norm} × slopes × rows.

    Slopes that underflow (GELU at h = −50, say) are given by what counts of them: they are not zero.

    Attributes
    ----------
    rows : ndarray, shape (networks, n_l, n_0)
        W_l J_{l−1}, scaled so that J_{l−1} has unit Frobenius norm: the Jacobian of the pre-activations, a row for each
        node.
    slopes : ndarray, shape (networks, n_l)
        The diagonal of D_l: φ′(h_l), times 0 or 1/p under dropout. Where all of a layer are below 1e-100 a common
        factor is taken out, and none but zeros are below 1e-150.
    log_norm : ndarray, shape (networks,)
        The logarithm of the scale that was divided by.
    """

    rows: np.ndarray
    slopes: np.ndarray
    log_norm: np.ndarray

    @property
    def jacobian(self) -> np.ndarray:
        """J_l e^{−log_norm}, shape (networks, n_l, n_0)."""
        return self.slopes[..., None] * self.rows


def walk_jacobian(
    network: Network, n_networks: int, *, rng: RNG = None, input_variance: float | None = None
) -> Iterator[JacobianLayer]:
    """Multiply the matrices of n_networks random networks, layer by layer, from the inputs on.

    D_l comes from a forward pass at a random input, unless φ is linear. A layer without a live node, which ReLU and
    dropout can leave, is drawn again: networks are sampled on the condition that each layer has a live node. Products
    are rescaled at each layer, and the logarithm of their norm is kept.

    Parameters
    ----------
    network, n_networks, rng, input_variance
        As in `sample_vni`. Memory grows as n_networks × width².

    Yields
    ------
    JacobianLayer
        For l = 1, …, L.
    """
    rng = np.random.default_rng(rng)
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
        jacobian = layer.jacobian
        # A power of two is taken out first, so that no square under- or overflows.
        power = np.frexp(np.abs(jacobian).max(axis=(-2, -1)))[1]
        jacobian = np.ldexp(jacobian, -power[:, None, None])
        norm = np.linalg.norm(jacobian, axis=(-2, -1))
        jacobian /= norm[:, None, None]
        log_norm = layer.log_norm + np.log(np.ldexp(norm, power))


def sample_along_depth(
    network: Network,
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


def through_matrices(
    network: Network, n_out: int, n_in: int, x: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    w = weight_matrices(n_out, n_in, network.weights, sigma_w=network.sigma_w, batch=x.shape[:1], rng=rng)
    return w, (w @ x[..., None])[..., 0]


def _multiplied(n_out: int, w: np.ndarray, x: np.ndarray, jacobian: np.ndarray) -> np.ndarray:
    return w @ jacobian
