"""How much the VNI over wide inputs scatters from network to network, for any activation, by simulated networks."""

from __future__ import annotations

import numpy as np

from rmt_vn.network import Network
from rmt_vn.prediction.blocks import in_blocks
from rmt_vn.samplers.forward import block_sizes
from rmt_vn.samplers.input_clouds import walk_clouds

# Inputs² × networks × nodes of all layers: one or two seconds of one core.
_WORK = 2.5e9
_FEWEST_INPUTS, _MOST_INPUTS = 64, 128
# Numbers that are passed on at a time: they stay within the cache.
_BLOCK_FLOATS = 2**18
# The inputs to each network come in four independent groups: three ways to make two halves of them.
_HALVES = np.array([[[0, 1], [2, 3]], [[0, 2], [1, 3]], [[0, 3], [1, 2]]])
# Nodes of a layer are exchangeable: the first ones stand for all.
_MOST_NODES = 512
# What varies by less than this of its mean square does so by rounding.
_ROUNDING = 1e-10
_NEARLY_ONE = 1 - 1e-12
# Over inputs × nodes, some four errors of the mean of ρ² of independent nodes.
_OFFSET = 16


def simulated_wide_vni(
    network: Network, input_variance: float, n_networks: int, *, linear_output: bool, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """VNI over inputs N(0, v I) of each layer of single random networks, in increasing order.

    Each network is given 64 to 128 inputs, the fewer the larger it is, in four independent groups. With r and r′ the
    coefficients of two groups, the mean of r r′ is an estimate of ρ² that independent nodes do not bias. Its bias by
    the division through sample variances is twice as large for groups of half the size, and is removed so. What one
    pair of groups says of a network and what the other two say have independent errors: their covariance over networks
    is the variance of the truth. The estimates are drawn together about their mean until they have this variance, and
    that of the errors of the mean and of the variance. This is done in Fisher's z of the mean of ρ² over i ≠ j.

    Few inputs leave some nodes constant that more of them would make vary (of ReLU, next to none of whose inputs are
    above zero). Nodes are counted as over some 2000 inputs, the rare ones as uncorrelated with all others.

    The more nodes, the less do networks differ, while the error of so few inputs remains. In the first few layers of
    wide networks the covariance is lost in it. There the variance is taken to be up to four times that of layers whose
    nodes are independent given the layer before, and the interval is too wide more often than too narrow.

    Parameters
    ----------
    network : Network
        Of any activation, with biases and dropout. Dropped nodes are left out, as all that do not vary.
    input_variance : float
        v > 0.
    n_networks : int
        At least two.
    linear_output : bool
        Whether the last layer has neither φ nor dropout: its activations are its pre-activations.
    rng : Generator
        The numbers do not depend on how many threads there are.

    Returns
    -------
    pre_activations, activations : ndarray, shape (L, n_networks)
        Networks none of whose nodes varies in a layer (a narrow one, of ReLU or with dropout) have no VNI there; the
        others stand for them, by their quantiles. NaN in layers where fewer than two networks have a VNI.

    Raises
    ------
    OverflowError
        If the activations grow beyond 1e150.
    """
    n_inputs = _affordable_inputs(network, n_networks)
    sizes = block_sizes(n_networks, _BLOCK_FLOATS // (n_inputs * (n_inputs + max(network.widths[1:]))))

    def estimated(size: int, rng: np.random.Generator) -> np.ndarray:
        walk = walk_clouds(network, size, n_inputs, input_variance=input_variance, linear_output=linear_output, rng=rng)
        return np.array([[_estimates(each) for each in layer] for layer in walk])

    estimates = np.concatenate(in_blocks(estimated, sizes, rng), axis=-1)
    widths = np.array(network.widths[1:])
    # A square Haar matrix adds nothing to the scatter of the layers before.
    scatters = np.cumsum(4 / widths**2) if network.weights == "gaussian" else 4 / widths**2
    settled = [
        [_settled(each, width, scatter, n_inputs, rng) for each in layer]
        for layer, width, scatter in zip(estimates, widths, scatters, strict=True)
    ]
    pre_activations, activations = np.array(settled).swapaxes(0, 1)
    return pre_activations, activations


def _affordable_inputs(network: Network, n_networks: int) -> int:
    """Inputs to each network, a multiple of eight."""
    affordable = np.sqrt(_WORK / (n_networks * sum(network.widths[1:])))
    return int(np.clip(affordable, _FEWEST_INPUTS, _MOST_INPUTS)) // 8 * 8


def _estimates(deviations: np.ndarray) -> np.ndarray:
    """The mean of ρ² by each pair of groups, then of `_HALVES`; counts of nodes; for a batch (size, inputs, nodes).

    Shape (12, size). The means are over i ≠ j of nodes that vary over the inputs; the counts are of nodes that vary
    over one group of inputs and over two of them, on average, and over all inputs.
    """
    size, n_inputs, width = deviations.shape
    groups = deviations.reshape(size, 4, n_inputs // 4, width)
    sums, squares = groups.sum(axis=2), np.einsum("sgpn,sgpn->sgn", groups, groups)

    def inverse_norms(unions: np.ndarray) -> np.ndarray:
        """Of all nodes, over unions of groups, in any shape: (size, *shape, nodes)."""
        n_samples = unions.shape[-1] * n_inputs // 4
        return _inverse_norms(sums[:, unions].sum(axis=-2), squares[:, unions].sum(axis=-2), n_samples)

    of_groups, of_halves = inverse_norms(np.arange(4)[:, None]), inverse_norms(_HALVES)
    varying = inverse_norms(np.arange(4)) > 0
    by_pair = _sums_over_pairs_of_groups(groups[..., :_MOST_NODES], of_groups[..., :_MOST_NODES])
    by_half = _sums_over_halves(groups[..., :_MOST_NODES], of_halves[..., :_MOST_NODES])
    measured = np.count_nonzero(varying[:, :_MOST_NODES], axis=-1)
    counts = [np.count_nonzero(each, axis=-1).reshape(size, -1).mean(axis=1) for each in (of_groups, of_halves)]
    means = np.hstack([by_pair, by_half]) / np.maximum(measured * (measured - 1), 1)[:, None]
    return np.vstack([means.T, *counts, np.count_nonzero(varying, axis=-1)])


def _sums_over_pairs_of_groups(groups: np.ndarray, inverse_norms: np.ndarray) -> np.ndarray:
    """`_sum_of_squares` of all pairs of groups, shape (size, 6), in the order 01, 02, 03, 12, 13, 23."""
    normalized, varies = groups * inverse_norms[:, :, None, :], inverse_norms > 0
    later = [slice(first + 1, None) for first in range(3)]
    sums = [
        _sum_of_squares(normalized[:, [first]], normalized[:, rest], varies[:, [first]] & varies[:, rest])
        for first, rest in enumerate(later)
    ]
    return np.hstack(sums)


def _sums_over_halves(groups: np.ndarray, inverse_norms: np.ndarray) -> np.ndarray:
    """`_sum_of_squares` of unions of two groups with the other two, shape (size, 3)."""
    size, _, n_samples, width = groups.shape
    shape = size, len(_HALVES), 2 * n_samples, width
    one, other = (groups[:, _HALVES[:, side]].reshape(shape) for side in (0, 1))
    weights = inverse_norms[:, :, 0] * inverse_norms[:, :, 1]
    one *= weights[:, :, None, :]
    return _sum_of_squares(one, other, weights > 0)


def _inverse_norms(sums: np.ndarray, squares: np.ndarray, n_samples: int) -> np.ndarray:
    """One over the norm of each node's deviations from its mean, from sums over samples; zero for constant nodes."""
    centred = squares - sums**2 / n_samples
    varies = centred > _ROUNDING * squares
    return np.where(varies, 1 / np.sqrt(np.where(varies, centred, 1.0)), 0.0)


def _sum_of_squares(one: np.ndarray, other: np.ndarray, varies: np.ndarray) -> np.ndarray:
    """Σ r_ij r′_ij over i ≠ j of nodes that vary in both of two parts of the inputs; shape (size, parts).

    The sum over all i and j is that of the squares of the overlaps of samples of one part with those of the other.
    Centring the overlaps centres the nodes; the product of both has them at length one.
    """
    overlaps = one @ np.swapaxes(other, -1, -2)
    overlaps -= overlaps.mean(axis=-1, keepdims=True)
    overlaps -= overlaps.mean(axis=-2, keepdims=True)
    return np.einsum("sgpq,sgpq->sg", overlaps, overlaps) - np.count_nonzero(varies, axis=-1)


def _settled(estimates: np.ndarray, width: int, scatter: float, n_inputs: int, rng: np.random.Generator) -> np.ndarray:
    """VNI of single networks without the errors of few inputs, in increasing order; shape (n_networks,).

    `scatter` is the relative variance that the mean of ρ² has at least, while it is small: 4/n² from each layer, as
    n(n − 1)/2 coefficients have that are uncorrelated and whose squares scatter as those of Gaussian ones.
    """
    n_networks = estimates.shape[-1]
    estimates = estimates[:, estimates[-1] > 0]
    if estimates.shape[-1] < 2:
        return np.full(n_networks, np.nan)
    by_pair, by_half, counts = np.split(estimates, [6, 6 + len(_HALVES)])
    n = counts[-1] + _found_by_more_inputs(counts, width, rng)
    unseen = counts[-1] * (counts[-1] - 1) / np.maximum(n * (n - 1), 1)
    offset = _OFFSET / (n_inputs * n)
    z = 2 * _z(by_half.mean(axis=0) * unseen, offset) - _z(by_pair.mean(axis=0) * unseen, offset)
    total = float(z.var(ddof=1))
    square = max(0.0, float(np.mean(by_half * unseen)))
    true = _true_variance(_z(by_pair * unseen, offset), scatter * square**2 / 4 / (square + float(offset.mean())))
    with_error = true + max(0.0, total - true) / len(z)
    shrunk = z.mean() + np.sqrt(min(1.0, with_error / total) if total > 0 else 1.0) * (z - z.mean())
    square = np.clip((1 + offset) * np.tanh(np.maximum(shrunk, 0)) ** 2 - offset, 0, 1)
    levels = np.arange(1, n_networks + 1) / (n_networks + 1)
    return np.quantile(1 / n + (1 - 1 / n) * square, levels, method="weibull")


def _z(square: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Fisher's z of a mean of ρ²: its error depends little on ρ², and it is finite also where errors make ρ² < 0."""
    return np.arctanh(np.sqrt(np.clip((square + offset) / (1 + offset), 0, _NEARLY_ONE)))


def _true_variance(z: np.ndarray, least: float) -> float:
    """Variance over networks of the true z, by pairs of groups, shape (6, n_networks), and a share for its own error.

    Of the pairs, the first and the last share no group, nor do the second and the last but one, and so on.
    """
    z = z - z.mean(axis=1, keepdims=True)
    products = (z[:3] * z[:2:-1]).mean(axis=0)
    n = len(products)
    variance, error = max(float(products.sum() / (n - 1)), least), float(products.std(ddof=1) / np.sqrt(n))
    # An interval whose variance is known to ±e of itself misses what one that is wider by about e² would hold. Where
    # the error is all there is, the truth is a few times the least.
    return variance + min(error**2 / max(variance, error, 1e-300), 3 * least)


def _found_by_more_inputs(counts: np.ndarray, width: int, rng: np.random.Generator) -> np.ndarray:
    """How many nodes more would vary over 16 times as many inputs, in each network.

    Nodes that few inputs make vary are found in ever smaller numbers, as the inputs are doubled: by a constant factor,
    to which the last two doublings are continued four times.
    """
    first, last = np.diff(counts.mean(axis=1))
    ratio = min(1.0, last / first) if first > 0 else 0.0
    silent = width - counts[-1]
    share = last * sum(ratio**doubling for doubling in range(1, 5)) / max(float(silent.mean()), 1e-9)
    return rng.binomial(silent.astype(int), min(1.0, share))
