"""What all samplers of Jacobians share: the forward pass, which decides the slopes D_l, and what is told of a layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from rmt_vn.activations import Activation
from rmt_vn.ensembles import biases, weight_matrices
from rmt_vn.gaussian_averages import checked_variance
from rmt_vn.mean_field import fixed_point
from rmt_vn.network import Network
from rmt_vn.results import Result

# Draws weights for a batch of signals (networks, n_in); returns them with W x, (networks, n_out).
Propagate = Callable[[Network, int, int, np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]]

_MOST_REDRAWS = 1000
# Slopes below this need care, and what is below e^_LEAST of it counts by its logarithm alone.
_SMALL, _LEAST = 1e-100, float(np.log(1e-150))
# The square root of n_0 times this is a double.
_LARGEST_INPUT = 1e290


@dataclass
class Signal:
    """The forward pass of a batch of networks: activations x e^{log_scale}, each of shape (networks, nodes)."""

    x: np.ndarray
    log_scale: np.ndarray


@dataclass
class Slopes:
    """The diagonals of D of a batch of networks: φ′(h) times the mask of dropout is ± values e^{log_scale − lift}.

    Attributes
    ----------
    values : ndarray, shape (networks, nodes)
        None below 1e-150 but those of nodes that are not live, which are zero. Next to the largest of its layer, what
        is so small does not change a product; but it is a live node.
    log_scale : ndarray, shape (networks,)
        Zero but where all of a layer's slopes are below 1e-100.
    lift : ndarray, shape (networks, nodes)
    """

    values: np.ndarray
    log_scale: np.ndarray
    lift: np.ndarray


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


def unit_norm(layer: JacobianLayer) -> tuple[np.ndarray, np.ndarray]:
    """J_l of unit Frobenius norm, and the logarithm of the scale that it was divided by."""
    # A power of two is taken out first, so that no square under- or overflows.
    jacobian = layer.jacobian
    power = np.frexp(np.abs(jacobian).max(axis=(-2, -1)))[1]
    jacobian = np.ldexp(jacobian, -power[:, None, None])
    norm = np.linalg.norm(jacobian, axis=(-2, -1))
    return jacobian / norm[:, None, None], layer.log_norm + np.log(np.ldexp(norm, power))


def default_input_variance(network: Network) -> float:
    """‖x_0‖²/n_0 of inputs whose pre-activations have variance q*; 1 where φ is homogeneous and none is needed."""
    if network.activation.is_homogeneous:
        return 1.0
    # At q* = 0, inputs so small that no activation is anything but linear on either side of zero.
    return max((fixed_point(network).q_star - network.sigma_b**2) / network.sigma_w**2, 1e-24)


def random_signal(
    network: Network, n_networks: int, rng: np.random.Generator, input_variance: float | None
) -> np.ndarray:
    """Inputs uniform on the sphere ‖x_0‖² = n_0 v, shape (networks, n_0)."""
    if input_variance is None:
        input_variance = default_input_variance(network)
    input_variance = checked_variance("input_variance", input_variance, _LARGEST_INPUT)
    if input_variance == 0 and network.activation.is_homogeneous and network.sigma_b == 0:
        # Nothing depends on the scale of the inputs; at zero, where φ may have its kink, the limit of small ones.
        input_variance = 1.0
    direction = rng.standard_normal((n_networks, network.widths[0]))
    length = np.linalg.norm(direction, axis=-1, keepdims=True)
    return direction * (np.sqrt(network.widths[0] * input_variance) / length)


def live_layer(
    network: Network, shape: tuple[int, int], signal: Signal, rng: np.random.Generator, propagate: Propagate
) -> tuple[np.ndarray, Slopes, Signal]:
    """Weights, diagonal of D and signal behind one layer of each network; drawn again where no node is live.

    `propagate` draws weights for a batch of signals and returns them with W x.
    """
    n_in, n_out = shape
    samples = len(signal.x)
    todo = np.arange(samples)
    for _ in range(_MOST_REDRAWS):
        # What is too large for doubles is found below, and told.
        with np.errstate(over="ignore", invalid="ignore"):
            drawn, h = propagate(network, n_out, n_in, signal.x[todo], rng)
            h += biases(network, n_out, batch=h.shape[:1], rng=rng) * np.exp(-signal.log_scale[todo, None])
        if not np.all(np.isfinite(h)):
            raise OverflowError(
                f"pre-activations of a layer of {n_out} leave the range of doubles: lower sigma_w, got "
                f"{network.sigma_w}, or the variance of the inputs"
            )
        mask = dropout_mask(network, h.shape, rng)
        found = _slopes(network.activation, h, mask)
        if len(todo) == samples:
            w, slopes, x = drawn, found, network.activation.phi(h) * mask
        else:
            w[todo], x[todo] = drawn, network.activation.phi(h) * mask
            slopes.values[todo], slopes.log_scale[todo], slopes.lift[todo] = found.values, found.log_scale, found.lift
        todo = todo[~slopes.values[todo].any(axis=-1)]
        if not len(todo):
            break
    else:
        raise ValueError(
            f"no node of a layer of {n_out} was live in {_MOST_REDRAWS} draws; widen it or keep more nodes"
        )
    log_scale = signal.log_scale
    if network.activation.is_homogeneous:
        # φ(λh) = λφ(h): the slopes do not notice a common scale of signal and biases. Without biases a signal may
        # shrink for ever, and its scale does not matter at all.
        size = np.abs(x).max(axis=-1)
        x /= size[:, None]
        if network.sigma_b > 0:
            log_scale = log_scale + np.log(size)
    return w, slopes, Signal(x, log_scale)


def _slopes(activation: Activation, h: np.ndarray, mask: np.ndarray) -> Slopes:
    """The diagonals of D, shape (networks, nodes), where some φ′ underflow too."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        values = activation.dphi(h) * mask
        sizes = np.abs(values)
        live = sizes > 0 if activation.log_slope is None else mask > 0
        small = live & (sizes < _SMALL)
        if not small.any():
            return Slopes(values, np.zeros(len(h)), np.zeros_like(values))
        logs = np.log(sizes)
        if activation.log_slope is not None:
            logs[small] = activation.log_slope(h[small]) + np.log(mask[small])
        largest = logs.max(axis=-1)
        log_scale = np.where(np.isfinite(largest) & (largest < np.log(_SMALL)), largest, 0.0)
        logs -= log_scale[:, None]
    lift = np.where(np.isfinite(logs), np.maximum(_LEAST - logs, 0.0), 0.0)
    changed = np.isfinite(logs) & ((lift > 0) | (log_scale[:, None] != 0))
    logs = np.where(changed, logs + lift, 0.0)
    return Slopes(np.where(changed, np.copysign(np.exp(logs), values), values), log_scale, lift)


def through_matrices(
    network: Network, n_out: int, n_in: int, x: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    w = weight_matrices(n_out, n_in, network.weights, sigma_w=network.sigma_w, batch=x.shape[:1], rng=rng)
    return w, (w @ x[..., None])[..., 0]


def dropout_mask(network: Network, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Entries 1/p with probability p, else 0; ones without dropout."""
    if network.keep == 1:
        return np.ones(shape)
    return (rng.random(shape) < network.keep) / network.keep


def block_sizes(n_networks: int, size: int) -> list[int]:
    size = max(1, size)
    full, rest = divmod(n_networks, size)
    return [size] * full + [rest] * (rest > 0)


def last_of(layers: Iterator):
    *_, last = layers
    return last
