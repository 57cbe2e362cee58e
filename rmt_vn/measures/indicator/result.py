"""The result of measuring a layer's VNI: its value, standard error and confidence interval."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from math import nan

from rmt_vn.measures.indicator.error import half_width
from rmt_vn.results import ConfidenceInterval, Result


@dataclass(frozen=True, repr=False)
class NodeVNI(Result):
    """The vanishing node indicator of one layer's activations.

    Attributes
    ----------
    value : float
        VNI = (1/N²) Σ_ij ρ_ij² over the N varying nodes, its finite-sample bias removed, and no less than the least
        possible value, 1/`most_nodes`. NaN for fewer than five samples, or four groups of them.
    stderr : float
        Standard error of `value` over samples of that size.
    effective_nodes : float
        1/VNI, between 1 and N.
    plug_in : float
        The thesis's estimate, the VNI of the sample: too high by (1 − 1/N)/(P − 1) for P samples of independent nodes.
    n_nodes : int
        Nodes in the array, constant ones included.
    n_samples : int
    constant_nodes : int
        Nodes that do not vary over the samples, but for rounding; they have no correlations and are left out of N.
    n_groups : int
        Groups of samples that were taken to be independent of each other; all samples if each is its own.
    most_nodes : int
        The most effective nodes that there can be: N, or all nodes, if it seems that some of the constant ones vary too
        seldom to be seen to do so in these samples.
    unlimited : float
        The estimate before it is limited to between 1/`most_nodes` and 1: unbiased, to be averaged over samples.
    variances : tuple of pairs of float
        Independent parts of stderr², each with its degrees of freedom; infinite where the part is known.
    caveats : tuple of str
        What keeps the value or the interval from being taken at its word, in sentences; empty if nothing does.
    """

    value: float
    stderr: float
    effective_nodes: float
    plug_in: float
    n_nodes: int
    n_samples: int
    constant_nodes: int
    n_groups: int
    most_nodes: int
    unlimited: float
    variances: tuple[tuple[float, float], ...] = field(default=(), repr=False)
    caveats: tuple[str, ...] = ()

    def confidence_interval(self, level: float = 0.95) -> ConfidenceInterval:
        """A confidence interval of the VNI, symmetric in 1/VNI, where the estimate is the least skewed.

        Parameters
        ----------
        level : float
            Between 0 and 1.

        Returns
        -------
        ConfidenceInterval
            (low, high), between 1/`most_nodes` and 1. NaN for fewer than five samples, or four groups of them.

        Raises
        ------
        ValueError
            If the level is not between 0 and 1.
        """
        half = half_width(self.variances, level)
        if math.isnan(self.value):
            return ConfidenceInterval(nan, nan)
        least = 1 / self.most_nodes
        # An estimate may by chance be so low that its reciprocal means nothing.
        centre = 1 / max(self.unlimited, 0.5 * least)
        half *= centre**2
        low, high = 1 / (centre + half), 1 / (centre - half) if centre - half > 1 else 1.0
        return ConfidenceInterval(max(low, least), max(high, least))


def summarized(
    value: float,
    variances: tuple[tuple[float, float], ...],
    *,
    plug_in: float,
    caveats: tuple[str, ...] = (),
    **counts: int,
) -> NodeVNI:
    """The result, from an estimate that may be out of bounds, and the parts of its variance."""
    counts = {
        "n_groups": counts["n_samples"],
        "most_nodes": counts["n_nodes"] - counts["constant_nodes"],
        **counts,
    }
    limited = min(max(float(value), 1 / counts["most_nodes"]), 1.0)
    stderr = math.sqrt(sum(variance for variance, _ in variances))
    return NodeVNI(
        limited,
        stderr,
        1 / limited,
        plug_in,
        unlimited=min(float(value), 1.0),
        variances=variances,
        caveats=caveats,
        **counts,
    )


def of_one_node(counts: dict[str, int], caveats: tuple[str, ...] = ()) -> NodeVNI:
    """The result for a layer with one varying node, which is one effective node whatever the samples."""
    return summarized(1.0, (), plug_in=1.0, caveats=caveats, **counts)


def of_too_few_samples(plug_in: float, counts: dict[str, int], caveats: tuple[str, ...] = ()) -> NodeVNI:
    """The result for fewer than five samples: the plug-in estimate, and nothing else."""
    result = summarized(1.0, (), plug_in=plug_in, caveats=caveats, **counts)
    return replace(result, value=nan, stderr=nan, effective_nodes=nan, unlimited=nan)


def with_unseen_nodes(
    counts: dict[str, int], caveats: tuple[str, ...], found: float
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Counts and caveats where, as leaving out samples tells, about so many nodes vary, and some are not seen to."""
    constant = counts["constant_nodes"]
    if not constant or found <= counts["n_nodes"] - constant + 0.5:
        return counts, caveats
    told = (
        f"of the {constant} nodes that are constant over {counts['n_samples']} samples some vary too seldom to be seen"
    )
    return {**counts, "most_nodes": counts["n_nodes"]}, (
        *caveats,
        f"{told}: about {min(found, counts['n_nodes']):.0f} nodes vary in all",
    )
