"""`design_residual`: the width, or the scale of the branches, that keeps a residual network's VNI within a target."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from rmt_vn import laws
from rmt_vn.checks import checked_choice, checked_count
from rmt_vn.laws.universal import universal_vni
from rmt_vn.network import ResidualNetwork
from rmt_vn.prediction.designing import checked_target
from rmt_vn.prediction.expected import with_caveat
from rmt_vn.prediction.residual import is_exact
from rmt_vn.results import Result
from rmt_vn.rng import RNG
from rmt_vn.samplers import sample_vni

_DEEPEST, _WIDEST = 10**5, 10**7
# Nodes of all blocks up to which networks are sampled, how many, and how often: of wider ones S8 is the better known.
_WORK, _NETWORKS, _ROUNDS = 3e4, 200, 1
_LARGEST_SCALE = 1000.0
# β is found to this part of itself.
_FINE = 1e-4


@dataclass(frozen=True, repr=False)
class ResidualDesign(Result):
    """A residual network whose mean VNI, behind its last block, stays within a target.

    Attributes
    ----------
    network : ResidualNetwork
        The narrowest with branches of that scale, or the one of that width whose branches have the largest scale.
    beta : float
        β, the scale as a number.
    vni, stderr : float
        Its mean VNI, and the standard error of that; 0 where a law says it.
    effective_depth : float
        By S8.
    method : {"exact law", "rows", "law"}
        Where the mean comes from: the exact law of linear branches, exact samples, or S8.
    caveat : str or None
        Why the mean is an approximation, if it is one.
    """

    network: ResidualNetwork
    beta: float
    vni: float
    stderr: float
    effective_depth: float
    method: Literal["exact law", "rows", "law"]
    caveat: str | None = None


def design_residual(
    depth: int,
    vni: float,
    *,
    width: int | None = None,
    branch_scale: float | str | None = None,
    hidden_ratio: float | None = 1.0,
    input_variance: float = 1.0,
    rng: RNG = None,
    **parameters: Any,
) -> ResidualDesign:
    """The width that keeps the VNI of a residual network within a target; or, of a given width, the largest β.

    S8 says it, corrected by exact samples where these take no more than seconds: S8 leaves out terms of order 1/N,
    which matter in narrow networks only. The correction is that of 200 networks, and the VNI that of 200 others, so the
    VNI may exceed the target by about its standard error. Linear branches of one Gaussian matrix have an exact law.

    Parameters
    ----------
    depth : int
        L, the number of blocks, at most 100 000.
    vni : float
        The largest mean VNI that the stream may have behind the last block, 0 < vni < 1.
    width : int, optional
        N, if it is β that is asked for.
    branch_scale : float or "1/sqrt(L)", optional
        β, or its rule, if it is the width that is asked for; by default the rule.
    hidden_ratio : float or None
        m/N, of the nodes between the branch's two matrices. None: a single matrix, of activation "linear".
    input_variance : float
        As in `predict`.
    rng : seed or Generator
    **parameters
        Of `ResidualNetwork`, but for numbers of nodes: activation, weights, sigma_w, skip, normalization.

    Returns
    -------
    ResidualDesign

    Raises
    ------
    ValueError
        If a parameter is out of range, both width and branch_scale are given, or no width up to 10⁷ is enough.

    Examples
    --------
    >>> design_residual(200, 0.1, activation="linear", hidden_ratio=None).network.width
    28
    >>> found = design_residual(200, 0.1, width=64, activation="linear", hidden_ratio=None)
    >>> round(found.beta, 3)
    0.126
    """
    depth, target = checked_count("depth", depth, most=_DEEPEST), checked_target(vni)
    if width is not None and branch_scale is not None:
        raise ValueError(f"give width, {width!r}, or branch_scale, {branch_scale!r}, and the other is found")
    if isinstance(branch_scale, str):
        checked_choice("branch_scale, where it is no number ≥ 0,", branch_scale, ("1/sqrt(L)",))
    if hidden_ratio is not None and not 0 < hidden_ratio <= 1000:
        raise ValueError(f"hidden_ratio must be a number between 0 and 1000, or None, got {hidden_ratio!r}")

    def network_of(width: int, scale: Any) -> ResidualNetwork:
        hidden = None if hidden_ratio is None else max(1, round(hidden_ratio * width))
        return ResidualNetwork(width, depth, hidden, branch_scale=scale, **parameters)

    def found_with(correction: float) -> ResidualNetwork:
        def keeps(network: ResidualNetwork) -> bool:
            return _law(network, input_variance, correction) <= target

        if width is None:
            scale = "1/sqrt(L)" if branch_scale is None else branch_scale
            return _narrowest(lambda width: network_of(width, scale), keeps, target)
        return _strongest(lambda scale: network_of(checked_count("width", width), scale), keeps, target)

    network = found_with(1.0)
    t = laws.effective_depth(network, input_variance=input_variance)
    if is_exact(network):
        return ResidualDesign(network, network.beta, _law(network, input_variance, 1.0), 0.0, t, "exact law")
    told = with_caveat(laws.approximate_vni, network, input_variance)[1]
    if depth * (network.width + (network.hidden or 0)) > _WORK:
        return ResidualDesign(network, network.beta, _law(network, input_variance, 1.0), 0.0, t, "law", told)
    streams = np.random.default_rng(rng).spawn(_ROUNDS + 1)
    for stream in streams[:-1]:
        seen = sample_vni(network, _NETWORKS, rng=stream, input_variance=input_variance).value
        by_law = laws.effective_depth(network, input_variance=input_variance)
        network = found_with(_depth_at((seen - 1 / network.width) / (1 - 1 / network.width)) / by_law)
    sampled = sample_vni(network, _NETWORKS, rng=streams[-1], input_variance=input_variance)
    t = laws.effective_depth(network, input_variance=input_variance)
    return ResidualDesign(network, network.beta, sampled.value, sampled.stderr, t, "rows")


def _law(network: ResidualNetwork, input_variance: float, correction: float) -> float:
    """The mean VNI, exactly or by S8 with an effective depth so many times as large."""
    if is_exact(network):
        return laws.exact_vni(network)
    t = correction * laws.effective_depth(network, input_variance=input_variance)
    return 1 / network.width + (1 - 1 / network.width) * float(universal_vni(t))


def _depth_at(vni: float) -> float:
    """The t at which R(t) is this, between 1e-9 and 100."""
    low, high = 1e-9, 100.0
    for _ in range(60):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if float(universal_vni(middle)) < vni else (low, middle)
    return high


def _narrowest(
    network_of: Callable[[int], ResidualNetwork], keeps: Callable[[ResidualNetwork], bool], target: float
) -> ResidualNetwork:
    low, high = 2, max(3, math.ceil(1 / target))
    while not keeps(network_of(high)):
        if high >= _WIDEST:
            raise ValueError(f"no width up to {_WIDEST} keeps the VNI below {target}")
        low, high = high, min(2 * high, _WIDEST)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if keeps(network_of(middle)) else (middle, high)
    return network_of(high)


def _strongest(
    network_of: Callable[[float], ResidualNetwork], keeps: Callable[[ResidualNetwork], bool], target: float
) -> ResidualNetwork:
    low, high = 1e-9, _LARGEST_SCALE
    if not keeps(network_of(low)):
        width = network_of(low).width
        raise ValueError(f"no branch_scale keeps the VNI of {width} nodes below {target}: widen the stream")

    def is_weak_enough(scale: float) -> bool:
        try:
            return keeps(network_of(scale))
        except ValueError:  # the variance of the stream leaves its range
            return False

    if is_weak_enough(high):
        return network_of(high)
    while high / low > 1 + _FINE:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if is_weak_enough(middle) else (low, middle)
    return network_of(low)
