"""Mean field of wide residual networks (S8): the variances of stream and branch, block by block."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rmt_vn.checks import checked_kind
from rmt_vn.gaussian_averages import LARGEST_VARIANCE, checked_variance, second_moment, signal_moments, slope_moment
from rmt_vn.mean_field import moments_along
from rmt_vn.network import ResidualNetwork
from rmt_vn.results import Result
from rmt_vn.tables import tabulated

__all__ = ["DepthPhase", "ResidualMeanField", "blocks_mean_field", "depth_phase"]

DepthPhase = Literal["bounded", "logarithmic", "root", "linear"]

# Blocks from which on a table of the branch's variance is quicker than the quadrature, and the ln q that it is for.
_LONG, _TABULATED = 1000, (math.log(1e-300), math.log(1e7))
# The last ln q for averages without a closed form.
_HIGHEST = math.log(LARGEST_VARIANCE) - 1e-9
# The ln q from which on the quadrature for the signal's moments, with panels that grow, is the quicker one.
_LARGE = math.log(100.0)
# Variances at which an activation is as it is in a stream that has grown large.
_GROWN = (1e4, 4e4)


@dataclass(frozen=True, eq=False, repr=False)
class ResidualMeanField(Result):
    """The mean field of a wide residual network along its depth.

    Attributes
    ----------
    log_stream : ndarray, shape (L + 1,)
        ln v_l, of the mean square of x_0, x_1, …, x_L (logarithms, because a stream may grow beyond doubles).
    pre_activation : ndarray, shape (L,)
        q_l, the variance of W_1 u in each block.
    branch_ratio : ndarray, shape (L,)
        a_l = E Tr BBᵀ/(N s²), B the Jacobian of the branch: by how much it outweighs the skip connection.
    slope_ratio : ndarray, shape (L,)
        r_l = μ_2/μ_1² of the nodes between W_1 and W_2; 1 for a branch of a single matrix.
    chi : ndarray, shape (L,)
        The growth of a mean squared gradient, across the signal, in each block on its way back: s²(1 + a), over v_l
        before LN where that is applied to the sum.
    phase : {"bounded", "logarithmic", "root", "linear"}
        How the effective depth grows with L: see `depth_phase`.
    """

    log_stream: np.ndarray
    pre_activation: np.ndarray
    branch_ratio: np.ndarray
    slope_ratio: np.ndarray
    chi: np.ndarray
    phase: DepthPhase


def blocks_mean_field(network: ResidualNetwork, *, input_variance: float | None = None) -> ResidualMeanField:
    """Variances along the stream, block by block, in the limit of wide layers.

    With φ(W_1 u) of mean square E φ²(q), a block takes v to s²v + b, b = β²σ_2² E φ²(q), and its branch has the
    Jacobian ratio a = β²σ_1²σ_2² μ_1(q)/s², over v where LN stands before it. q is σ_1² behind LN, else σ_1²v.

    Parameters
    ----------
    network : ResidualNetwork
    input_variance : float, optional
        The mean square of an input, > 0; by default 1.

    Raises
    ------
    ValueError
        If the input variance is not > 0, or a variance leaves the range in which φ can be averaged over.

    Examples
    --------
    >>> found = blocks_mean_field(ResidualNetwork(64, 3, 64, "relu", sigma_w=(2**0.5, 1), normalization="pre"))
    >>> (found.branch_ratio * [1, 2, 3]).round(9).tolist(), found.phase
    ([1.0, 1.0, 1.0], 'logarithmic')
    """
    checked_kind("network", network, ResidualNetwork)
    v = checked_variance("input_variance", 1.0 if input_variance is None else input_variance)
    if v == 0:
        raise ValueError("input_variance must be > 0 for a residual network, got 0")
    inner, outer = network.sigma_w[0] ** 2, network.beta**2 * math.prod(s**2 for s in network.sigma_w[1:])
    log_q, log_stream = _variances(network, math.log(v), inner, outer)
    with np.errstate(over="ignore"):
        pre_activation = np.exp(log_q)
    mu1, mu2 = _slope_moments(network, pre_activation).T
    branch_ratio = outer * inner * mu1 / network.skip**2
    chi = network.skip**2 * (1 + branch_ratio)
    if network.normalization == "pre":
        with np.errstate(over="ignore"):
            branch_ratio = branch_ratio * np.exp(-log_stream[:-1])
        chi = network.skip**2 * (1 + branch_ratio)
    elif network.normalization == "post":
        at_each = {q: second_moment(network.activation, q) for q in set(pre_activation.tolist())}
        second = np.array([at_each[q] for q in pre_activation.tolist()])
        chi = chi / (network.skip**2 * pre_activation / inner + outer * second)
    return ResidualMeanField(log_stream, pre_activation, branch_ratio, mu2 / mu1**2, chi, depth_phase(network))


def _variances(network: ResidualNetwork, log_input: float, inner: float, outer: float) -> tuple[np.ndarray, np.ndarray]:
    """ln q_1, …, ln q_L and ln v_0, …, ln v_L."""
    depth, log_inner, log_skip = network.depth, math.log(inner), 2 * math.log(network.skip)
    if network.normalization == "post":
        # From the first block on the stream is normalized.
        log_stream = np.append(log_input, np.zeros(depth))
        return log_inner + log_stream[:-1], log_stream
    log_stream = np.empty(depth + 1)
    log_stream[0] = log_input
    if network.normalization == "pre":
        branch = outer * second_moment(network.activation, inner)
        for block in range(depth):
            before = float(log_stream[block]) + log_skip
            log_stream[block + 1] = np.logaddexp(before, math.log(branch)) if branch > 0 else before
        return np.full(depth, log_inner), log_stream
    if network.activation.is_homogeneous:
        growth = network.skip**2 + outer * inner * second_moment(network.activation, 1.0)
        log_stream = log_input + math.log(growth) * np.arange(depth + 1)
        return log_inner + log_stream[:-1], log_stream
    gain = _log_gain(network)
    for block in range(depth):
        now = float(log_stream[block])
        try:
            added = outer * inner * math.exp(gain(now + log_inner, block))
        except (ValueError, OverflowError) as error:
            raise ValueError(
                f"the variance of the pre-activations leaves its range at block {block + 1} of {depth}: {error}; lower "
                f"skip, got {network.skip:g}, or branch_scale, got {network.branch_scale}"
            ) from None
        log_stream[block + 1] = now + math.log(network.skip**2 + added)
    return log_inner + log_stream[:-1], log_stream


def _log_gain(network: ResidualNetwork) -> Callable[[float, int], float]:
    """ln(E φ²/q) at ln q; by a table from the thousandth block on.

    Variances below 1e-200 count as that one: φ is linear on either side of zero there. Where it is so far out too
    (GELU), variances beyond 10⁸ count as that.
    """
    highest = math.inf

    def gain(log_q: float) -> float:
        log_q = min(max(log_q, math.log(1e-200)), highest)
        if log_q > _LARGE and network.activation.second_moment is None:
            return math.log(signal_moments(network.activation, math.exp(log_q)).signal)
        return math.log(second_moment(network.activation, math.exp(log_q))) - log_q

    if abs(gain(_HIGHEST) - gain(_HIGHEST - 5)) < 1e-3:
        highest = _HIGHEST
    table = tabulated(gain)

    def at(log_q: float, block: int) -> float:
        return table(log_q) if block >= _LONG and _TABULATED[0] < log_q < _TABULATED[1] else gain(log_q)

    return at


def _slope_moments(network: ResidualNetwork, variances: np.ndarray) -> np.ndarray:
    """μ_1 and μ_2 at each variance, shape (L, 2)."""
    activation = network.activation
    if activation.is_homogeneous:
        variances = np.ones(network.depth)
    large = (variances > math.exp(_LARGE)) & (activation.slope_moment is None)
    moments = np.empty((network.depth, 2))
    if not large.all():
        moments[~large] = moments_along(network.branch[0], variances[~large])
    logs = np.minimum(np.log(np.maximum(variances[large], 1.0)), _HIGHEST)
    for k, name in enumerate(("mu1", "mu2")):

        def log_moment(log_q: float, name: str = name) -> float:
            return math.log(getattr(signal_moments(activation, math.exp(log_q)), name))

        table = tabulated(log_moment) if len(logs) > _LONG else log_moment
        moments[large, k] = [math.exp((table if x < _TABULATED[1] else log_moment)(x)) for x in logs.tolist()]
    return moments


def depth_phase(network: ResidualNetwork) -> DepthPhase:
    """How the effective depth of residual networks grows as their depth does, all else being equal.

    "bounded" with branches of variance 1/L, or where the stream outgrows the branch; "logarithmic" with pre-LN, which
    divides the branch's Jacobian by a stream that grows like √l; "root" (like √L) without LN where φ saturates;
    "linear", as in plain networks, with post-LN and where the branch keeps its size relative to the stream.
    """
    checked_kind("network", network, ResidualNetwork)
    if network.beta == 0 or isinstance(network.branch_scale, str):
        return "bounded"
    if network.normalization == "pre":
        return "linear" if network.skip < 1 else "logarithmic" if network.skip == 1 else "bounded"
    if network.normalization == "post" or network.activation.is_homogeneous or network.skip < 1:
        return "linear"
    # The stream grows without end: what is μ_1 then?
    near, far = (slope_moment(network.activation, q, 1) for q in _GROWN)
    if math.log(far / near) > -0.25 * math.log(_GROWN[1] / _GROWN[0]):
        return "linear"
    return "root" if network.skip == 1 else "bounded"
