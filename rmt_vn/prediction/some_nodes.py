"""From the correlations of some nodes of each random network to the VNI of its whole layers.

A layer's VNI is 1/n + (1 − 1/n) U, where U averages ρ² over the pairs of its n nodes, and the nodes are exchangeable.
So the variance of U over networks follows from three means that some nodes of each network tell without bias: of
ρ₁₂²ρ₃₄², of ρ₁₂²ρ₁₃² and of ρ₁₂⁴ (Hoeffding's decomposition of a U-statistic). Where the layers are wide and the
network is shallow, networks differ so little that some nodes do not show it: there theory helps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from rmt_vn.laws.trace_moments import trace_moment_along_depth

# The least share of chance between pairs of nodes that is left where a layer has all nodes of a rotation.
_LEAST_CHANCE = 0.1
# Steps in which the mean and the variance are brought this close, relative to themselves.
_MOST_STEPS, _CLOSE = 100, 1e-7
# Where they do not come so close: halvings of the interval of the shift and of the scale, and the largest scale.
_HALVINGS, _LARGEST_SCALE = 50, 4.0
# Log odds beyond which U is 0 or 1 in double precision.
_LEAST, _MOST = -700.0, 36.0
# S4 is off for the mean by so much of it: found is 0.2% for tanh, 600 to 2048 nodes behind 100 inputs.
_LAW_OFF = 0.002
# How the covariances fall behind their leading order with the effective depth t: as (1 + 4t)^−p. Fitted to 20 000 walks
# of linear networks (width 400, t from 0.02 to 1): found are 1.01 to 1.05 of it for pairs with a node in common, and
# 0.79 to 1.10 for others, with standard errors of 1 to 3% and of 2 to 15% (from t = 0.05 on). It is not asked beyond.
_FALL, _APART_POWER, _NODE_POWER, _DEEPEST = 4.0, 2.1, 5 / 3, 1.0
# What the signal mode adds to the covariance, in units of Σ t_l/n_l over the hidden layers. Fitted, too: found is 0.3
# to 1.8 ± 0.3 for tanh, sigmoid, GELU, SiLU, hard tanh and Haar erf at 60 and 100 nodes, where the mode is small, and 0
# to 0.45 ± 0.3 for linear and ReLU, which have none.
_OF_THE_MODE = 1.2
# The share of itself by which theory may be off, and how many times what S4 is off for the mean beyond that.
_THEORY_ERROR, _TIMES_MEAN_ERROR = 0.15, 3.0
# Total effective depth at which leading orders are taken.
_SMALL_DEPTH = 1e-3
# Sample and theory that differ by more standard deviations than this are not put together: the sample is believed.
_APART = 3.0


@dataclass(frozen=True)
class Estimate:
    """A number and its standard error."""

    value: float
    stderr: float

    def with_prior(self, prior: Estimate) -> Estimate:
        """The two put together with weights 1/stderr², unless they contradict each other."""
        variance, other = self.stderr**2, prior.stderr**2
        apart = abs(self.value - prior.value) > _APART * math.sqrt(variance + other)
        if apart or variance == 0 or not math.isfinite(other):
            return self
        if not math.isfinite(variance) or other == 0:
            return prior
        value = (self.value * other + prior.value * variance) / (variance + other)
        return Estimate(value, math.sqrt(variance * other / (variance + other)))


@dataclass(frozen=True, eq=False)
class Pairs:
    """ρ² over the pairs of some nodes of each network, and how it varies over networks.

    Attributes
    ----------
    values : ndarray, shape (n_networks,)
        The mean of ρ² over the pairs of each network.
    mean : Estimate
        E ρ².
    apart, shared : Estimate
        The covariances of ρ₁₂² with ρ₃₄², and of ρ₁₂² with ρ₁₃².
    same : float
        The variance of ρ₁₂².
    """

    values: np.ndarray
    mean: Estimate
    apart: Estimate
    shared: Estimate
    same: float


@dataclass(frozen=True)
class Scatter:
    """How ρ² scatters over wide networks by theory, relative to (E ρ²)².

    Attributes
    ----------
    apart, node : float
        The covariance of ρ₁₂² and ρ₃₄², and what two pairs with a node in common have beyond it.
    error : float
        The share of either by which it may be off.
    """

    apart: float
    node: float
    error: float


def pairs_of(squares: np.ndarray, counts: np.ndarray) -> Pairs:
    """The pairs of some nodes of each network.

    Parameters
    ----------
    squares : ndarray, shape (n_networks, nodes, nodes)
        ρ² of two nodes, zero for nodes that are not there; what is on the diagonal does not matter.
    counts : ndarray, shape (n_networks,)
        How many nodes of each network are there, at least 2.
    """
    squares = squares * (1 - np.eye(squares.shape[1]))
    k = counts.astype(float)
    by_node = squares.sum(axis=2)
    total, shared, same = by_node.sum(axis=1), np.sum(by_node**2, axis=1), np.sum(squares**2, axis=(1, 2))
    values = total / (k * (k - 1))
    mean = _mean_of(values)
    sharing = (shared - same)[k >= 3] / (k * (k - 1) * (k - 2))[k >= 3]
    four = k >= 4
    apart = (total**2 - 4 * shared + 2 * same)[four] / (k * (k - 1) * (k - 2) * (k - 3))[four]
    return Pairs(
        values=values,
        mean=mean,
        apart=_covariance(apart, values[four], mean),
        shared=_covariance(sharing, values[k >= 3], mean),
        same=float(np.mean(same / (k * (k - 1)))) - mean.value**2,
    )


def _mean_of(values: np.ndarray) -> Estimate:
    return Estimate(float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values))))


def _covariance(products: np.ndarray, values: np.ndarray, mean: Estimate) -> Estimate:
    """The mean of the products less the square of the mean, which is known to the square of its standard error."""
    if len(products) < 2:
        return Estimate(0.0, math.inf)
    value = float(products.mean()) - mean.value**2 + mean.stderr**2
    return Estimate(value, _mean_of(products - 2 * mean.value * values).stderr)


def universal_scatter(depths: np.ndarray, path: float, mean_error: float, *, mode: float) -> Scatter | None:
    """`Scatter` in wide networks; None beyond an effective depth of 1.

    Given the covariance C that the layers before have made, two nodes of a Gaussian layer have E ρ² = Tr C²/(Tr C)², to
    leading order. It scatters with the traces, whose moments are those of S2, and with the slopes that single networks
    have. As E ρ² itself, both covariances are then functions of the effective depth.

    Parameters
    ----------
    depths : ndarray, shape (layers,)
        Effective depths of the inputs and of each hidden layer so far; their sum is above 0.
    path : float
        Var R(t)/(E R(t))² over networks, t the effective depth of a network with the slopes that it has.
    mean_error : float
        The share of itself by which S4 is off for the mean, since networks that are no walks do not scatter as walks.
    mode : float
        Σ t_l/n_l over the hidden layers where φ feeds the signal mode, else 0.
    """
    t = float(depths.sum())
    if t > _DEEPEST:
        return None

    def moment(*partition: int) -> float:
        return float(trace_moment_along_depth(depths * (_SMALL_DEPTH / t), partition)[-1])

    square, both = moment(2), moment(1, 1)
    traces = moment(2, 2) / square**2 + moment(1, 1, 1, 1) / both**2 - 2 * moment(2, 1, 1) / (square * both)
    node = 2 * (moment(4) / moment(2, 2) + square / both - 2 * moment(3) / moment(2, 1))
    times, fall = t / _SMALL_DEPTH, 1 + _FALL * t
    beside = path + _OF_THE_MODE * mode
    return Scatter(
        apart=max(traces, 0.0) * times**2 * fall**-_APART_POWER + beside,
        node=max(node, 0.0) * times * fall**-_NODE_POWER,
        error=_THEORY_ERROR + _TIMES_MEAN_ERROR * mean_error,
    )


def mean_squares_of_layers(
    pairs: Pairs, n: float, population: float, scatter: Scatter | None, mean: Estimate
) -> tuple[np.ndarray, float]:
    """U of whole layers of n nodes: that of some nodes, moved in log odds to the mean and the variance of U.

    Parameters
    ----------
    pairs : Pairs
    n : float
        Nodes of the layer, at least 2.
    population : float
        The nodes are so many at random of as many as this: for Haar matrices those of the whole rotation, else inf.
    scatter : Scatter, or None
        What theory says of covariances, where it says something.
    mean : Estimate
        What theory says of E ρ², with a standard error of zero where it is exact.

    Returns
    -------
    values : ndarray, shape (n_networks,)
    stderr : float
        Of their mean.
    """
    variance = _variance(pairs, n, population)
    if scatter is not None:
        variance = variance.with_prior(_variance_by_theory(pairs, n, population, scatter))
    # What pairs leave to chance is there in any case, also where errors make covariances negative.
    spread = math.sqrt(max(variance.value, _of_few(n, population, 0.0, pairs.same)))
    if mean.stderr > 0:
        # A law is taken to hold to a fifth of the spread, where the sample does not contradict it, and to 0.2% at best.
        off = max(mean.stderr, 0.2 * spread, _LAW_OFF * mean.value)
        mean = pairs.mean.with_prior(Estimate(mean.value, off))
    # Where networks hardly differ, the error of the mean is as large as what they differ by.
    return moved(pairs.values, mean.value, spread**2 + mean.stderr**2), mean.stderr


def _variance(pairs: Pairs, n: float, population: float) -> Estimate:
    """Of U of n nodes, from covariances as they are found."""
    node, chance = pairs.shared.value - pairs.apart.value, pairs.same - 2 * pairs.shared.value + pairs.apart.value
    value = pairs.apart.value + _of_few(n, population, node, chance)
    return Estimate(value, pairs.apart.stderr + 4 / n * pairs.shared.stderr)


def _variance_by_theory(pairs: Pairs, n: float, population: float, scatter: Scatter) -> Estimate:
    square = pairs.mean.value**2
    covariances = square * scatter.apart + _of_few(n, population, square * scatter.node, 0.0)
    return Estimate(covariances + _of_few(n, population, 0.0, pairs.same), covariances * scatter.error)


def _of_few(n: float, population: float, node: float, chance: float) -> float:
    """What the n nodes of a layer add to the variance, less the more of the population they are."""
    rest = max(1 - n / population, 0.0)
    # Rows of a Haar matrix are normalized one by one, which leaves something to chance where all of them are there.
    return 4 * (n - 2) / (n * (n - 1)) * rest * node + 2 / (n * (n - 1)) * max(rest**2, _LEAST_CHANCE) * chance


def moved(values: np.ndarray, mean: float, variance: float) -> np.ndarray:
    """Numbers between 0 and 1, shifted and stretched in log odds until they have this mean and variance."""
    odds = np.clip(logit(np.clip(values, 0.0, 1.0)), _LEAST, _MOST)
    shift, scale = float(odds.mean()), 1.0
    spread, found = odds - shift, expit(odds)
    for _ in range(_MOST_STEPS):
        deviation, slope, off = float(found.std()), float(np.mean(found * (1 - found))), mean - float(found.mean())
        if abs(off) <= _CLOSE * mean and abs(deviation**2 - variance) <= _CLOSE * variance:
            return found
        if deviation > 0:
            scale *= float(np.clip(math.sqrt(variance) / deviation, 0.5, 2.0))
        if slope > 0:
            shift += float(np.clip(off / slope, -1.0, 1.0))
        found = expit(shift + scale * spread)
    return _moved_safely(spread, mean, variance)


def _moved_safely(spread: np.ndarray, mean: float, variance: float) -> np.ndarray:
    """As `moved`, by bisection: where values lie at 0 and 1, steps to first order do not lead there."""

    def with_mean(scale: float) -> np.ndarray:
        low, high = _LEAST - scale * float(spread.max()), -_LEAST - scale * float(spread.min())
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if expit(middle + scale * spread).mean() < mean else (low, middle)
        return expit(high + scale * spread)

    small, large = 0.0, _LARGEST_SCALE
    for _ in range(_HALVINGS):
        scale = (small + large) / 2
        small, large = (scale, large) if with_mean(scale).var() < variance else (small, scale)
    return with_mean(large)
