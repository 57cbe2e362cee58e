"""What is known of a layer's VNI: its value, error and interval."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NodeVNI:
    """The vanishing node indicator of one layer's activations.

    Attributes
    ----------
    value : float
        VNI = (1/N²) Σ_ij ρ_ij² over the N varying nodes, its finite-sample bias removed: it may come out a little below
        1/N, the least it can be, as any unbiased estimate must. NaN for fewer than five samples.
    stderr : float
        Standard error of `value` over samples of that size.
    interval : tuple of float
        A 95% confidence interval of the VNI. Its lower end is not cut off at 1/N.
    effective_nodes : float
        1/VNI, between 1 and N.
    plug_in : float
        The thesis's estimate, the VNI of the sample: high by (1 − 1/N)/(P − 1) for P samples of independent nodes.
    n_nodes : int
        Nodes in the array, constant ones included.
    n_samples : int
    constant_nodes : int
        Nodes constant over the samples; they have no correlations and are left out of N.
    """

    value: float
    stderr: float
    interval: tuple[float, float]
    effective_nodes: float
    plug_in: float
    n_nodes: int
    n_samples: int
    constant_nodes: int


def summarized(value: float, stderr: float, within: float, **fields: float) -> NodeVNI:
    """A `NodeVNI` with its interval, by what `reach` says, but symmetric in 1/VNI: there it is the least skewed."""
    value = min(float(value), 1.0)
    n_varying = fields["n_nodes"] - fields["constant_nodes"]
    # An estimate may be so low by chance that its reciprocal says nothing.
    centre = 1 / max(value, 0.5 / n_varying)
    half = float(within) * centre**2
    high = 1 / (centre - half) if centre - half > 1 else 1.0
    effective = 1 / min(max(value, 1 / n_varying), 1.0)
    return NodeVNI(value, float(stderr), (float(1 / (centre + half)), float(high)), effective, **fields)
