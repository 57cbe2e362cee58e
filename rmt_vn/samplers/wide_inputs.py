"""The participation of nodes over wide inputs for any activation and biases, by four inputs to each random network."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from rmt_vn.checks import checked_count, checked_kind
from rmt_vn.ensembles import biases, haar
from rmt_vn.gaussian_averages import checked_variance, second_moment
from rmt_vn.network import Network
from rmt_vn.results import ConfidenceInterval, Result, student_interval
from rmt_vn.rng import RNG
from rmt_vn.samplers.forward import block_sizes, dropout_mask

_BLOCK_FLOATS = 2**18
# Two independent differences of four inputs, in each of three ways.
_PAIRINGS = (((0, 1), (2, 3)), ((0, 2), (1, 3)), ((0, 3), (1, 2)))


@dataclass(frozen=True, eq=False, repr=False)
class SampledParticipation(Result):
    """A Monte Carlo estimate of E Tr C²/E (Tr C)² after each layer.

    Attributes
    ----------
    value, stderr : ndarray, shape (L,)
        The ratio of means, and its standard error to first order.
    n_networks : int
    network : Network
    """

    value: np.ndarray
    stderr: np.ndarray
    n_networks: int
    network: Network

    def confidence_interval(self, level: float = 0.95) -> ConfidenceInterval:
        """A confidence interval of the ratio in each layer, by Student's t.

        Raises
        ------
        ValueError
            If the level is not between 0 and 1.
        """
        return student_interval(self.value, self.stderr, self.n_networks - 1, level)


def sample_wide_participation(
    network: Network, n_networks: int, *, input_variance: float = 1.0, rng: RNG = None
) -> SampledParticipation:
    """E Tr C²/E (Tr C)² of the covariance C of a layer's nodes over inputs N(0, v I), after each layer (S7).

    Four inputs to each network are enough. For two independent differences of activations, d and d′, over one network,
    Tr C² = E (d·d′)²/4 and (Tr C)² = E |d|²|d′|²/4. Given the Gram matrix of the four, the pre-activations of the next
    layer are drawn without its weights: exactly the distribution of the network, at O(n) a layer.

    This is a ratio of means over networks, as S2 is. Where networks differ much it is above the mean of Tr C²/(Tr C)²:
    for ReLU of width 100 by nothing that shows up to 5 layers, and more and more later.

    Parameters
    ----------
    network : Network
        Of any activation, with biases and dropout (one mask for all inputs).
    n_networks : int
        Random networks, at least 2.
    input_variance : float
        Variance v of each coordinate of the inputs, > 0.
    rng : seed or Generator

    Returns
    -------
    SampledParticipation

    Raises
    ------
    TypeError, ValueError
        If a parameter is not what it should be.
    OverflowError
        If the activations grow beyond the range of doubles.

    Examples
    --------
    >>> from rmt_vn import Network
    >>> sample_wide_participation(Network.uniform(100, 2, activation="relu"), 4000, rng=1).value.round(3)
    array([0.016, 0.024])
    """
    checked_kind("network", network, Network)
    n_networks = checked_count("n_networks", n_networks, least=2)
    variance = checked_variance("input_variance", input_variance)
    if variance == 0:
        raise ValueError("input_variance must be above 0: equal inputs have no covariance")
    rng = np.random.default_rng(rng)
    sizes = block_sizes(n_networks, _BLOCK_FLOATS // (4 * max(network.widths)))
    cosines, logs = np.concatenate([_of_block(network, size, variance, rng) for size in sizes], axis=1)
    # Weights |d|²|d′|², up to a factor common to all networks of a layer; cosines of d with d′, squared.
    weights = np.exp(logs - logs.max(axis=(0, 2), keepdims=True, initial=-1e300))
    product, square = weights.mean(axis=2), (weights * cosines).mean(axis=2)
    value = square.mean(axis=0) / product.mean(axis=0)
    residual = (square - value * product) / product.mean(axis=0)
    return SampledParticipation(value, residual.std(axis=0, ddof=1) / np.sqrt(n_networks), n_networks, network)


def _of_block(network: Network, size: int, variance: float, rng: np.random.Generator) -> np.ndarray:
    """(cos², ln |d|²|d′|²) of each network, layer and pairing: shape (2, size, L, 3)."""
    x = np.sqrt(variance) * rng.standard_normal((size, 4, network.widths[0]))
    # A homogeneous φ takes a common factor of all networks along, which keeps the numbers within range.
    gain = (
        network.sigma_w * np.sqrt(second_moment(network.activation, 1.0)) if network.activation.is_homogeneous else 1.0
    )
    scale, layers = 1.0, []
    for layer, (n_in, n_out) in enumerate(pairwise(network.widths), start=1):
        with np.errstate(over="ignore", invalid="ignore"):
            h = pre_activations_of_few(network, x, n_in, n_out, rng)
            h += scale * biases(network, n_out, batch=(size,), rng=rng)[:, None, :]
            x = network.activation.phi(h) * dropout_mask(network, (size, 1, n_out), rng) / gain
        scale /= gain
        if not np.all(np.isfinite(x)):
            raise OverflowError(f"activations overflow at layer {layer} of {network.depth}: lower sigma_w")
        layers.append(_differences(x))
    return np.stack(layers, axis=2)


def pre_activations_of_few(
    network: Network, x: np.ndarray, n_in: int, n_out: int, rng: np.random.Generator
) -> np.ndarray:
    """W x for fresh weights of each network, from a root of the Gram matrix of its few inputs.

    x has shape (size, inputs, n_in), and the pre-activations (size, inputs, n_out).
    """
    root = np.swapaxes(np.linalg.qr(np.swapaxes(x, 1, 2), mode="r"), 1, 2)
    rank, n = root.shape[2], max(n_in, n_out)
    if network.weights == "gaussian":
        draws, gain = rng.standard_normal((len(x), rank, n_out)), 1 / np.sqrt(n_in)
    else:
        draws = np.swapaxes(haar(n, rank, batch=(len(x),), rng=rng)[:, :n_out], 1, 2)
        gain = np.sqrt(n / n_in)
    return network.sigma_w * gain * root @ draws


def _differences(x: np.ndarray) -> np.ndarray:
    """(cos², ln |d|²|d′|²) for three pairings of four inputs; shape (2, size, 3)."""
    cosines, logs = np.zeros((2, len(x), 3))
    for column, ((a, b), (c, d)) in enumerate(_PAIRINGS):
        first, second = x[:, a] - x[:, b], x[:, c] - x[:, d]
        sizes = np.linalg.norm(first, axis=1), np.linalg.norm(second, axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            cosine = np.sum(first / sizes[0][:, None] * (second / sizes[1][:, None]), axis=1)
            cosines[:, column] = np.where(np.isfinite(cosine), cosine, 0.0) ** 2
            logs[:, column] = 2 * (np.log(sizes[0]) + np.log(sizes[1]))
    return np.stack([cosines, logs])
