"""`design`: the width that keeps the VNI within a target."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from rmt_vn import laws
from rmt_vn.checks import checked_count
from rmt_vn.mean_field import length_map
from rmt_vn.network import WEIGHTS, Network, Weights
from rmt_vn.prediction.expected import moments_along_depth
from rmt_vn.results import Result

_WIDEST_DESIGN = 10**9
_DEEPEST_DESIGN = 10**5


@dataclass(frozen=True, repr=False)
class Design(Result):
    """The narrowest network of equal widths whose mean VNI, in its last layer, stays within a target.

    Attributes
    ----------
    weights : {"gaussian", "orthogonal"}
    width : int
    vni : float
        Its mean VNI (S3 where it applies, else S4).
    effective_depth : float
    """

    weights: Weights
    width: int
    vni: float
    effective_depth: float


def design(depth: int, vni: float, *, input_variance: float = 1.0, **parameters: Any) -> tuple[Design, ...]:
    """The width that keeps the VNI within a target at some depth, for Gaussian and for orthogonal weights.

    Parameters
    ----------
    depth : int
        L, at most 100 000.
    vni : float
        The largest mean VNI that the last layer may have, 0 < vni < 1.
    input_variance : float
        As in `predict`.
    **parameters
        Of `Network`, but for widths: activation, sigma_w, sigma_b, keep. Weights, if given, are the only kind.

    Returns
    -------
    tuple of Design
        One for each kind of weights, Gaussian first.

    Raises
    ------
    ValueError
        If a parameter is out of range, or no width up to 10⁹ is enough.

    Examples
    --------
    >>> [each.width for each in design(50, 0.32, activation="linear")]
    [101, 4]
    """
    depth = checked_count("depth", depth, most=_DEEPEST_DESIGN)
    if isinstance(vni, bool) or not isinstance(vni, (int, float)) or not 0 < vni < 1:
        raise ValueError(f"vni must be a number between 0 and 1, got {vni!r}")
    kinds = (parameters.pop("weights"),) if "weights" in parameters else WEIGHTS
    # Neither the variances nor the moments depend on the widths or on the kind of weights.
    narrow = Network.uniform(1, depth, **parameters)
    moments = moments_along_depth(narrow, length_map(narrow, input_variance))
    return tuple(_narrowest(depth, float(vni), moments, {**parameters, "weights": kind}) for kind in kinds)


def _narrowest(depth: int, target: float, moments: Sequence[tuple[float, float]], parameters: dict[str, Any]) -> Design:
    covered = Network.uniform(1, 1, **parameters).live_probability is not None
    weights = parameters["weights"]
    # What a layer adds to t is linear in its ratio, so that the mean ratio of the layers is enough.
    ratio = fmean(mu2 / mu1**2 for mu1, mu2 in moments[:-1]) if depth > 1 else 1.0

    def at(width: int) -> Design:
        first, later = (laws.layer_depth(width, width, weights, slope_ratio=each) for each in (1.0, ratio))
        t = first + (depth - 1) * later
        if covered:
            vni = laws.exact_vni(Network.uniform(width, depth, **parameters))
        else:
            vni = 1 / width + (1 - 1 / width) * float(laws.universal_vni(t))
        return Design(weights, width, vni, t)

    # VNI ≥ 1/N, and it falls with the width: double it until it is enough, then halve the gap.
    low, high = 0, math.ceil(min(1 / target, _WIDEST_DESIGN))
    while at(high).vni > target:
        if high >= _WIDEST_DESIGN:
            raise ValueError(f"no width up to {_WIDEST_DESIGN} keeps the VNI below {target} at depth {depth}")
        low, high = high, min(2 * high, _WIDEST_DESIGN)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if at(middle).vni <= target else (middle, high)
    return at(high)
