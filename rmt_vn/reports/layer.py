"""What a report says of one layer: what was measured, where fresh networks lie, and one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rmt_vn.measures import NodeVNI
from rmt_vn.results import Result, readable

# Nodes whose |ρ| is no less than this nearly copy each other.
DUPLICATE = 0.99


@dataclass(frozen=True, repr=False)
class FreshNetworks(Result):
    """Where the fresh networks lie in one layer, and where this network lies among them; all in effective nodes.

    Attributes
    ----------
    mean : float
        1/VNI of the mean VNI.
    low, high : float
        The interval in which one more fresh network lies with a probability of 95%; NaN for a single one.
    fewer : float
        How many of them have fewer effective nodes than this network: its rank. Those that have as many count one half.
    n_networks : int
        Of so many that could be measured in this layer.
    """

    mean: float
    low: float
    high: float
    fewer: float
    n_networks: int

    @property
    def is_below_all(self) -> bool:
        """Whether this network has fewer effective nodes than each fresh one."""
        return self.fewer == 0

    @property
    def is_above_all(self) -> bool:
        """Whether this network has more effective nodes than each fresh one."""
        return self.fewer == self.n_networks


@dataclass(frozen=True, repr=False)
class LayerReport(Result):
    """What a report says of one layer.

    Attributes
    ----------
    name : str
    measured : NodeVNI, or None
        Of this network.
    fault : str
        Why it could not be measured; empty if it was.
    fresh : FreshNetworks, or None
        Of the fresh networks, if there are any with this layer.
    no_fresh : str
        Why there is none; empty if there is one, or if there are no fresh networks at all.
    law_vni : float, or None
        What the law says of fresh networks over inputs in a small ball (S3 or S4), where there is one.
    dead_nodes : int
        Nodes that are zero in all samples; of `constant_nodes`, and of those only.
    near_duplicates : int, or None
        Nodes that could be left out, since another one nearly copies them: |ρ| ≥ 0.99 up to sign and scale. None where
        there are so few samples that independent nodes would look so too, or where nodes were drawn.
    note : str
        What keeps the numbers from being taken at their word; empty if nothing does.
    """

    derived: ClassVar[tuple[str, ...]] = ("sentence", "effective_nodes", "interval")

    name: str
    measured: NodeVNI | None
    fault: str = ""
    fresh: FreshNetworks | None = None
    no_fresh: str = ""
    law_vni: float | None = None
    dead_nodes: int = 0
    near_duplicates: int | None = None
    note: str = ""

    @property
    def effective_nodes(self) -> float | None:
        """1/VNI of this network; None if it could not be measured."""
        return None if self.measured is None else self.measured.effective_nodes

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95% confidence interval of the effective nodes, over samples."""
        if self.measured is None:
            return None
        low, high = self.measured.confidence_interval()
        return 1 / high, 1 / low

    @property
    def sentence(self) -> str:
        """What the numbers say."""
        measured = self.measured
        if measured is None:
            return f"Not measured: {self.fault.rstrip('.')}."
        told = f"{readable(measured.effective_nodes)} of {measured.n_nodes} nodes are effective"
        if self.fresh is not None:
            told += self._against(self.fresh)
        elif self.no_fresh:
            told += f"; no comparison: {self.no_fresh}"
        if self.law_vni is not None:
            told += f"; over a small ball a law says {readable(1 / self.law_vni)}"
        return "; ".join(filter(None, (told, self.idle))) + "."

    @property
    def idle(self) -> str:
        """Which nodes do nothing of their own, in words; empty if there are none."""
        told = []
        if self.measured is not None and (constant := self.measured.constant_nodes):
            zero = f", {self.dead_nodes} of them zero throughout" if self.dead_nodes else ""
            told.append(f"{constant} {'is' if constant == 1 else 'are'} constant{zero}")
        if self.near_duplicates:
            told.append(f"{self.near_duplicates} nearly {'copies' if self.near_duplicates == 1 else 'copy'} another")
        return "; ".join(told)

    def _against(self, fresh: FreshNetworks) -> str:
        n, mean = fresh.n_networks, f"(mean {readable(fresh.mean)})"
        if fresh.is_below_all or fresh.is_above_all:
            return f", {'fewer' if fresh.is_below_all else 'more'} than in all {n} fresh networks {mean}"
        return f"; {fresh.fewer:g} of {n} fresh networks {'has' if fresh.fewer == 1 else 'have'} fewer {mean}"
