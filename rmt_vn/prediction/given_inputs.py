"""The VNI of single random networks over inputs that are given: whole passes, measured as activations are measured."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from rmt_vn.measures import participation_ratio, unbiased_vni
from rmt_vn.measures.arrays import finite_array
from rmt_vn.measures.indicator.few_samples import FEW_SAMPLES
from rmt_vn.network import Network, ResidualNetwork
from rmt_vn.prediction.blocks import in_blocks
from rmt_vn.prediction.expected import caveat
from rmt_vn.samplers.activations import walk_both

# Multiplications for all networks by default, some five seconds of one core; what a measure costs beside its own, in
# multiplications; and how many networks there are then.
_WORK, _PER_MEASURE, _FEWEST, _MOST = 2e11, 4e7, 20, 100
# From so many multiplications a layer on, a pass is computed in float32, which halves the time.
_LARGE = 2**28
# Fewer samples have no estimate without bias.
_FEWEST_SAMPLES = 5
# Laws are of isotropic inputs: these have at least this part of n_0 effective dimensions.
_ISOTROPIC = 0.95
# Inputs are about zero if their mean has at most this part of their mean square, and in a small ball if their
# deviations have at most this part of it, or of one where it is larger: then a hundredth of the signs of h differ.
_CENTRED, _BALL = 0.02, 1e-4
# Squared lengths of Gaussian inputs have a relative variance of 2/n_0; no more than so many times this is near it.
_LENGTHS = 3


def checked_inputs(network: Network | ResidualNetwork, inputs: ArrayLike) -> np.ndarray:
    """The inputs as float64.

    Raises
    ------
    TypeError, ValueError
        If they are no real numbers, not finite, fewer than five, of another shape than (samples, n_0), or all equal.
    """
    x = finite_array("inputs", inputs)
    n_0 = network.widths[0]
    if x.ndim != 2 or x.shape[1] != n_0 or len(x) < _FEWEST_SAMPLES:
        raise ValueError(
            f'inputs must be "ball", "wide" or an array of shape (samples ≥ {_FEWEST_SAMPLES}, n_0 = {n_0}), got shape '
            f"{x.shape}"
        )
    if np.all(x == x[0]):
        raise ValueError(f"inputs must differ, got {len(x)} equal ones: nodes that do not vary have no correlations")
    return x


def affordable_networks(network: Network | ResidualNetwork, n_samples: int) -> int:
    """How many networks are simulated by default: 20 to 100."""
    shapes = list(pairwise(network.widths))
    if isinstance(network, ResidualNetwork):
        shapes += network.branch_shapes * network.depth
    passes = sum(n_samples * n_in * n_out for n_in, n_out in shapes)
    # Up to 256 samples each is left out once, in twenty groups.
    repeated = 21 if n_samples <= FEW_SAMPLES else 1
    measures = sum(repeated * n_samples * n * min(n_samples, n) + _PER_MEASURE for n in network.widths[1:])
    return int(np.clip(_WORK / (passes + 2 * measures), _FEWEST, _MOST))


def simulated_over_inputs(
    network: Network, inputs: np.ndarray, n_networks: int, *, linear_output: bool, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """VNI over these inputs of each layer of single random networks.

    Each network is drawn whole, and what it makes of the inputs is measured by `rmt_vn.measures.unbiased_vni`: what
    `rmt_vn.measures.vni` says of a network's activations over the same inputs is one more number of the same kind.

    Parameters
    ----------
    network : Network
        Under dropout one mask is drawn for each layer, the same for all inputs.
    inputs : ndarray, shape (samples, n_0)
    n_networks : int
    linear_output : bool
        Whether the last layer has neither φ nor dropout: its activations are its pre-activations.
    rng : Generator
        The numbers do not depend on how many threads there are.

    Returns
    -------
    pre_activations, activations : ndarray, shape (L, n_networks)
        Network by network in all layers. NaN where no node of a network varies.

    Raises
    ------
    OverflowError
        If the activations grow beyond the range of doubles.
    """
    widest = max(n_in * n_out for n_in, n_out in pairwise(network.widths))
    x = inputs.astype(np.float32 if len(inputs) * widest > _LARGE else np.float64)

    def simulated(_: int, rng: np.random.Generator) -> np.ndarray:
        layers = walk_both(network, x, rng=rng)
        found = []
        for layer, (h, x_l) in enumerate(layers, start=1):
            of_h = _measured(h)
            found.append((of_h, of_h if linear_output and layer == network.depth else _measured(x_l)))
        return np.array(found)

    values = np.stack(in_blocks(simulated, [1] * n_networks, rng), axis=-1)
    return values[:, 0], values[:, 1]


def law_over_inputs(
    network: Network | ResidualNetwork, inputs: np.ndarray, mean_square: float
) -> tuple[str | None, str]:
    """Of which inputs the laws speak that are as these, "ball" or "wide"; or None, and why they do not speak."""
    n_0 = network.widths[0]
    mean = inputs.mean(axis=0)
    deviations = inputs - mean
    spread = float(np.mean(deviations**2))
    dimensions = participation_ratio(inputs, corrected=True)
    if dimensions < _ISOTROPIC * n_0:
        return None, (
            f"No law speaks of these inputs: their covariance has {dimensions:.3g} effective dimensions of {n_0}, and "
            "laws are of isotropic inputs"
        )
    normalized = isinstance(network, ResidualNetwork) and network.normalization != "none"
    if (network.activation.name == "linear" and not normalized) or spread <= _BALL * min(1.0, mean_square):
        told = caveat(network, mean_square)
        return ("ball", "") if told is None else (None, told)
    if isinstance(network, ResidualNetwork):
        return None, "No law speaks of these inputs: they are not in a small ball round a point, as S8 needs them"
    lengths = np.sum(deviations**2, axis=1)
    even = lengths.var() <= _LENGTHS * 2 / n_0 * lengths.mean() ** 2
    if np.mean(mean**2) <= (_CENTRED + 1 / len(inputs)) * mean_square and even:
        return "wide", ""
    return None, "No law speaks of these inputs: they are neither in a small ball round a point nor like N(0, v I)"


def _measured(x: np.ndarray) -> float:
    try:
        return unbiased_vni(x)
    except ValueError:
        return np.nan  # no node varies
