"""`design`: the width that keeps the VNI within a target."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from rmt_vn import laws
from rmt_vn.checks import checked_count
from rmt_vn.laws.approximate import last_approximate_vni
from rmt_vn.laws.signal_mode import layer_variances, mode_ratio, signal_mode_vni
from rmt_vn.network import WEIGHTS, Network, Weights
from rmt_vn.prediction.expected import caveat, check_scale
from rmt_vn.prediction.sampled_width import WIDEST, Widths, sampled_width
from rmt_vn.results import ConfidenceInterval, Result, student_interval
from rmt_vn.rng import RNG

_DEEPEST_DESIGN = 10**5
# Deeper networks are not sampled.
_DEEPEST_SAMPLE = 2000
_TOO_DEEP = f"Networks of more than {_DEEPEST_SAMPLE} layers are not sampled: the width is by S4, an approximation"
# In the laws of such networks, variances that follow each other and differ by less than this, in ln q, are one.
_ONE_VARIANCE = 1e-3
# The VNI that the signal mode may add to theirs.
_LARGE_MODE = 0.01
_TOO_LARGE = (
    "Exact samples would take long at this width and depth: the width is by the signal chain, whose mean VNI is off by "
    "up to 1%, by up to 2% where the signal mode takes over, and by up to 6% where the variances q scatter by a factor "
    "of two"
)

Method = Literal["exact law", "rows", "signal chain", "law"]


@dataclass(frozen=True, repr=False)
class Design(Result):
    """The narrowest network of equal widths whose mean VNI, in its last layer, stays within a target.

    Attributes
    ----------
    weights : {"gaussian", "orthogonal"}
    width : int
    vni : float
        Its mean VNI.
    stderr : float
        The standard error of that mean; 0 where a law says it.
    effective_depth : float
    method : {"exact law", "rows", "signal chain", "law"}
        Where the mean comes from: S3, exact samples, samples of the signal chain, or S4.
    caveat : str or None
        Why the mean is an approximation, if it is one.
    """

    weights: Weights
    width: int
    vni: float
    stderr: float
    effective_depth: float
    method: Method
    caveat: str | None = None

    def confidence_interval(self, level: float = 0.95) -> ConfidenceInterval:
        """A confidence interval of the mean VNI, by the normal law.

        Parameters
        ----------
        level : float
            Between 0 and 1.

        Raises
        ------
        ValueError
            If the level is not between 0 and 1.
        """
        return student_interval(self.vni, self.stderr, math.inf, level)


def design(
    depth: int, vni: float, *, input_variance: float = 1.0, rng: RNG = None, **parameters: Any
) -> tuple[Design, ...]:
    """The width that keeps the VNI within a target at some depth, for Gaussian and for orthogonal weights.

    S3 says it for linear and ReLU networks. Others are sampled, exactly where that takes no more than about half a
    minute, with a standard error of about 0.5% of the target; `Design.method` and `Design.caveat` say where not.

    Parameters
    ----------
    depth : int
        L, at most 100 000.
    vni : float
        The largest mean VNI that the last layer may have, 0 < vni < 1.
    input_variance : float
        As in `predict`.
    rng : seed or Generator
        Of the sampled networks; give a seed for a width that stays the same.
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
    found = design_by_law(depth, vni, input_variance=input_variance, **parameters)
    depth, vni = int(depth), float(vni)
    # A generator for each kind of weights: asked for alone, a kind has the width that it has beside the other.
    streams = dict(zip(WEIGHTS, np.random.default_rng(rng).spawn(len(WEIGHTS)), strict=True))
    parameters.pop("weights", None)
    return tuple(_sampled(each, depth, vni, input_variance, parameters, streams[each.weights]) for each in found)


def design_by_law(depth: int, vni: float, *, input_variance: float = 1.0, **parameters: Any) -> tuple[Design, ...]:
    """What `design` finds by the laws alone, S3 or S4, in no time; parameters and results are those of `design`.

    Raises
    ------
    ValueError
        As `design`.
    """
    depth = checked_count("depth", depth, most=_DEEPEST_DESIGN)
    vni = checked_target(vni)
    kinds = (parameters.pop("weights"),) if "weights" in parameters else WEIGHTS
    return tuple(_lawful(depth, vni, input_variance, {**parameters, "weights": kind}) for kind in kinds)


def checked_target(vni: float) -> float:
    """The largest VNI that is allowed, if it is one.

    Raises
    ------
    ValueError
        If it is not a number between 0 and 1.
    """
    if isinstance(vni, bool) or not isinstance(vni, (int, float)) or not 0 < vni < 1:
        raise ValueError(f"vni must be a number between 0 and 1, got {vni!r}")
    return float(vni)


def _lawful(depth: int, target: float, input_variance: float, parameters: dict[str, Any]) -> Design:
    # The variances do not depend on the width.
    network = Network.uniform(1, depth, **parameters)
    check_scale(network)
    variances = layer_variances(network, input_variance)
    if depth > _DEEPEST_SAMPLE:
        variances = _merged(variances)

    def at(width: int) -> float:
        network = Network.uniform(width, depth, **parameters)
        if network.live_probability is not None:
            return laws.exact_vni(network)
        return last_approximate_vni(network, variances)

    # VNI ≥ 1/N, and it falls with the width: double it until it is enough, then halve the gap.
    low, high = 0, math.ceil(min(1 / target, WIDEST))
    while at(high) > target:
        if high >= WIDEST:
            raise _none_enough(target, depth)
        low, high = high, min(2 * high, WIDEST)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if at(middle) <= target else (middle, high)
    found = Network.uniform(high, depth, **parameters)
    t = laws.effective_depth(found, input_variance=input_variance)
    if found.live_probability is not None:
        return Design(found.weights, high, at(high), 0.0, t, "exact law")
    told = caveat(found, input_variance) if depth <= _DEEPEST_SAMPLE else _caveat_of_deep(found, variances)
    return Design(found.weights, high, at(high), 0.0, t, "law", told)


def _merged(variances: np.ndarray) -> np.ndarray:
    """Runs of nearly equal variances, each replaced by its mean: every one costs quadratures, of 100 000 layers."""
    merged = variances.copy()
    logs = np.log(np.maximum(variances, np.finfo(float).tiny))
    start = 0
    for stop in range(1, len(logs) + 1):
        if stop == len(logs) or abs(logs[stop] - logs[start]) > _ONE_VARIANCE:
            merged[start:stop] = variances[start:stop].mean()
            start = stop
    return merged


def _caveat_of_deep(network: Network, variances: np.ndarray) -> str:
    mode = float(signal_mode_vni(mode_ratio(network, variances)))
    return _TOO_DEEP if mode < _LARGE_MODE else f"{_TOO_DEEP}. It does not hold here: the signal mode takes over"


def _sampled(
    found: Design,
    depth: int,
    target: float,
    input_variance: float,
    parameters: dict[str, Any],
    rng: np.random.Generator,
) -> Design:
    """What the laws have found, or where they are not exact, what samples find from there."""
    if found.method == "exact law":
        return found
    if depth > _DEEPEST_SAMPLE:
        return found

    def network_of(width: int) -> Network:
        return Network.uniform(width, depth, weights=found.weights, **parameters)

    mean = sampled_width(Widths(network_of, input_variance, rng), target, found.width)
    if mean is None:
        raise _none_enough(target, depth)
    return Design(
        weights=found.weights,
        width=mean.width,
        vni=mean.vni,
        stderr=mean.stderr,
        effective_depth=laws.effective_depth(network_of(mean.width), input_variance=input_variance),
        method="rows" if mean.exact else "signal chain",
        caveat=None if mean.exact else _TOO_LARGE,
    )


def _none_enough(target: float, depth: int) -> ValueError:
    return ValueError(f"no width up to {WIDEST} keeps the VNI below {target} at depth {depth}")
