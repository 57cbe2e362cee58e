"""What is predicted of a network: the numbers of each layer, and what they mean in sentences."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from rmt_vn.network import Network
from rmt_vn.prediction.designing import design_by_law
from rmt_vn.results import Result

Inputs = Literal["ball", "wide"]
INPUTS = get_args(Inputs)
Statement = Literal["S3", "S4", "S7"]
# Gradients keep their size if the root mean square changes less than tenfold from the last layer to the first.
KEPT = 10.0
# Nodes vanish where the mean ρ² of two nodes exceeds this: VNI without the 1/N that each node has with itself.
VANISHING = 0.1


@dataclass(frozen=True, repr=False)
class LayerPrediction(Result):
    """What theory says of one layer.

    Attributes
    ----------
    layer : int
        l, from 1.
    width : int
        n_l.
    q : float
        Variance q_l of the pre-activations.
    chi : float
        χ_l = σ_w² μ_1 at q_l: how much a mean squared gradient grows on its way back through the layer.
    effective_depth : float
        t of the first l weight matrices (S4).
    vni : float
        Mean VNI over random networks.
    gradient : float
        E‖∂_l‖²/E‖∂_L‖² (S5).
    simulated_vni : tuple of float, or None
        VNI of single simulated networks, in increasing order; None where none were simulated.
    """

    derived: ClassVar[tuple[str, ...]] = ("effective_nodes",)

    layer: int
    width: int
    q: float
    chi: float
    effective_depth: float
    vni: float
    gradient: float
    simulated_vni: tuple[float, ...] | None = field(default=None, repr=False)

    @property
    def effective_nodes(self) -> float:
        """1/VNI."""
        return 1 / self.vni

    def interval(self, level: float = 0.95) -> tuple[float, float] | None:
        """The interval in which the VNI of a single random network lies with this probability; None where not known.

        Its ends are quantiles of the simulated networks, Weibull's: those that the next network exceeds with just
        these probabilities. n networks have none beyond level = 1 − 2/(n + 1).

        Raises
        ------
        ValueError
            If the level is not between 0 and 1.
        """
        if not 0 < level < 1:
            raise ValueError(f"level must be a number between 0 and 1, got {level!r}")
        if self.simulated_vni is None:
            return None
        low, high = np.quantile(self.simulated_vni, ((1 - level) / 2, (1 + level) / 2), method="weibull").tolist()
        return low, high

    def to_dict(self) -> dict[str, Any]:
        """As of every result, with the 95% interval."""
        return super().to_dict() | {"interval": self.interval()}


@dataclass(frozen=True, repr=False)
class Prediction(Result):
    """What theory says of a network; see `predict`.

    Attributes
    ----------
    network : Network
    inputs : {"ball", "wide"}
        Over which inputs nodes are correlated: a small ball round a point, or N(0, input_variance I).
    input_variance : float
    statement : {"S3", "S4", "S7"}
        Where the VNI comes from: exact, the universal law of wide networks, or the law of wide inputs.
    layers : tuple of LayerPrediction
        For l = 1, …, L.
    gradient_growth : float
        E‖∂_0‖²/E‖∂_L‖²: how much a mean squared gradient has grown when it arrives at the inputs (S5).
    simulated : Network, or None
        The network whose samples gave the intervals: this one, or its twin.
    caveat : str or None
        Why the laws, S4 or S5, do not hold for this network, if they do not.
    """

    derived: ClassVar[tuple[str, ...]] = (
        "gradients",
        "nodes",
        "vanishing_from",
        "half_depth",
        "two_nodes_depth",
    )

    network: Network
    inputs: Inputs
    input_variance: float
    statement: Statement
    layers: tuple[LayerPrediction, ...]
    gradient_growth: float
    simulated: Network | None
    caveat: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As of every result, with the verdict."""
        return super().to_dict() | {"verdict": list(self.verdict)}

    @property
    def gradients(self) -> Literal["vanish", "explode", "keep"]:
        """Whether gradients "vanish", "explode" or "keep" their size: by a factor of 10 in the root mean square."""
        growth = math.sqrt(self.gradient_growth)
        return "vanish" if growth < 1 / KEPT else "explode" if growth > KEPT else "keep"

    @property
    def nodes(self) -> Literal["alive", "vanishing"]:
        """Whether nodes are "alive", or "vanishing": the mean ρ² of two nodes of some layer exceeds 0.1."""
        return "alive" if self.vanishing_from is None else "vanishing"

    @property
    def vanishing_from(self) -> int | None:
        """The first layer in which the mean ρ² of two (live) nodes exceeds 0.1; None if there is none."""
        return self._first(lambda row, live: row.vni > 1 / live + (1 - 1 / live) * VANISHING)

    @property
    def half_depth(self) -> int | None:
        """The first layer with fewer effective nodes than half of its (live) nodes; None if there is none.

        Square Gaussian matrices alone halve the effective nodes in two layers: VNI = 1/N + l/N to first order.
        """
        return self._first(lambda row, live: row.effective_nodes < live / 2)

    @property
    def two_nodes_depth(self) -> int | None:
        """The first layer of more than two nodes whose VNI exceeds 1/2: fewer than two effective nodes are left."""
        return self._first(lambda row, live: live > 2 and row.vni > 0.5)

    def _first(self, holds: Callable[[LayerPrediction, float], bool]) -> int | None:
        return next((row.layer for row in self.layers if holds(row, _live_nodes(self.network, row.width))), None)

    @property
    def verdict(self) -> tuple[str, ...]:
        """What the numbers mean, in sentences."""
        advice = (self._advice(),) if self.nodes == "vanishing" and self.inputs == "ball" else ()
        caveat = () if self.caveat is None else (f"{self.caveat}.",)
        return (self._on_gradients(), self._on_nodes(), *advice, *caveat, self._on_validity())

    def _on_gradients(self) -> str:
        size = (
            f"by a factor of {math.sqrt(self.gradient_growth):.2g} (root mean square) from the last layer to the inputs"
        )
        return {
            "vanish": f"Gradients vanish: they change {size}.",
            "explode": f"Gradients explode: they change {size}.",
            "keep": f"Gradients keep their size: they change {size}.",
        }[self.gradients]

    def _on_nodes(self) -> str:
        last = self.layers[-1]
        end = f"{last.effective_nodes:.3g} effective nodes of {last.width} in the last layer"
        if self.vanishing_from is None:
            told = f"Nodes are alive: {end}"
        else:
            told = (
                f"Nodes are vanishing: from layer {self.vanishing_from} on the mean rho^2 is above {VANISHING}; {end}"
            )
        half, two = self.half_depth, self.two_nodes_depth
        told += "; half are gone " + (f"at layer {half}" if half else "in no layer")
        return told + (f", fewer than two are left at layer {two}." if two else ".")

    def _advice(self) -> str:
        network = self.network
        parameters = {name: getattr(network, name) for name in ("activation", "sigma_w", "sigma_b", "keep")}
        designs = design_by_law(network.depth, VANISHING, input_variance=self.input_variance, **parameters)
        widths = " or ".join(f"{each.width} with {each.weights} weights" for each in designs)
        return f"Layers of equal widths keep the VNI below {VANISHING} at this depth from a width of {widths} on."

    def _on_validity(self) -> str:
        if self.statement == "S7":
            return (
                "Wide inputs: S3 and S4 do not apply, they are about inputs in a small ball. The VNI is that of S7, by "
                "the law of pairs of N(0, I) inputs, with a fitted step from pairs to the VNI that is not proved."
            )
        exact = "S3, exact" if self.statement == "S3" else "S4, the law of wide networks"
        return f"For inputs in a small ball round a point ({exact}); over wide inputs S3 and S4 do not apply."


def _live_nodes(network: Network, width: int) -> float:
    """Expected number of nodes with φ′ ≠ 0: half of them for ReLU, times the kept ones."""
    return max(1.0, width * (network.live_probability or 1.0))
