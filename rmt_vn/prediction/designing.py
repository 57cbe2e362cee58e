"""`design`: the width that keeps the VNI within a target."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from rmt_vn import laws
from rmt_vn.checks import checked_count
from rmt_vn.laws.approximate import last_approximate_vni
from rmt_vn.laws.signal_mode import layer_variances
from rmt_vn.network import WEIGHTS, Network, Weights
from rmt_vn.prediction.expected import caveat
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
    caveat : str or None
        Why S4 does not hold for this network, if it does not: it then has a larger VNI.
    """

    weights: Weights
    width: int
    vni: float
    effective_depth: float
    caveat: str | None = None


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
    return tuple(_narrowest(depth, float(vni), input_variance, {**parameters, "weights": kind}) for kind in kinds)


def _narrowest(depth: int, target: float, input_variance: float, parameters: dict[str, Any]) -> Design:
    # They do not depend on the width.
    variances = layer_variances(Network.uniform(1, depth, **parameters), input_variance)

    def network_of(width: int) -> Network:
        return Network.uniform(width, depth, **parameters)

    def at(width: int) -> float:
        network = network_of(width)
        if network.live_probability is not None:
            return laws.exact_vni(network)
        return last_approximate_vni(network, variances)

    # VNI ≥ 1/N, and it falls with the width: double it until it is enough, then halve the gap.
    low, high = 0, math.ceil(min(1 / target, _WIDEST_DESIGN))
    while at(high) > target:
        if high >= _WIDEST_DESIGN:
            raise ValueError(f"no width up to {_WIDEST_DESIGN} keeps the VNI below {target} at depth {depth}")
        low, high = high, min(2 * high, _WIDEST_DESIGN)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if at(middle) <= target else (middle, high)
    found = network_of(high)
    t = laws.effective_depth(found, input_variance=input_variance)
    return Design(found.weights, high, at(high), t, caveat(found, input_variance))
