"""What is predicted of a network: the numbers of each layer, and what they mean in sentences."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from rmt_vn.baseline import Baseline, interval_of_another
from rmt_vn.checks import checked_choice
from rmt_vn.laws.effective_depth import effective_depth
from rmt_vn.laws.universal import universal_vni
from rmt_vn.network import Network, ResidualNetwork
from rmt_vn.results import Result, readable

Inputs = Literal["ball", "wide"]
INPUTS = get_args(Inputs)
Over = Literal["ball", "wide", "given"]
Output = Literal["linear", "activation"]
OUTPUTS = get_args(Output)
Kind = Literal["activations", "pre-activations"]
KINDS = get_args(Kind)
Statement = Literal["S3", "S4", "S7", "S8"]
# Gradients vanish or explode if their root mean square changes more than this from the last layer to the inputs.
TENFOLD = 10.0
# Nodes vanish where the mean ρ² of two nodes exceeds this: VNI without the 1/n that each node has with itself.
VANISHING = 0.1


@dataclass(frozen=True, repr=False)
class LayerPrediction(Result):
    """What is to be expected of one layer.

    Attributes
    ----------
    layer : int
        l, from 1: of a residual network its blocks, and the readout last.
    width : int
        n_l.
    q : float
        Variance q_l of the pre-activations.
    chi : float
        χ_l = σ_w² μ_1 at q_l: how much a mean squared gradient grows on its way back through the layer.
    effective_depth : float
        t of the first l weight matrices (S4).
    vni, stderr : float
        Mean VNI over random networks, of the activations of the nodes that are live (over wide inputs and given ones:
        that are not constant), and its standard error: zero where a law (S3, S8) gives it exactly.
    pre_activation_vni : float
        Mean VNI of the pre-activations of all nodes.
    law_vni : float, or None
        What the law says of `vni` (S3, S4, S7 or S8); None where no law covers the network.
    gradient : float
        E‖∂_l‖²/E‖∂_L‖² (S5).
    simulated_vni, simulated_pre_activation_vni : tuple of float
        The same of single simulated networks: in increasing order, but over given inputs network by network, with NaN
        where no node of a network varies.
    """

    derived: ClassVar[tuple[str, ...]] = ("effective_nodes",)

    layer: int
    width: int
    q: float
    chi: float
    effective_depth: float
    vni: float
    stderr: float
    pre_activation_vni: float
    law_vni: float | None
    gradient: float
    simulated_vni: tuple[float, ...] = field(repr=False)
    simulated_pre_activation_vni: tuple[float, ...] = field(repr=False)

    @property
    def effective_nodes(self) -> float:
        """1/VNI of the activations."""
        return 1 / self.vni

    def interval(self, level: float = 0.95, *, kind: Kind = "activations") -> tuple[float, float]:
        """The interval in which the VNI of a single random network lies with this probability.

        It is that of `rmt_vn.baseline.interval_of_another` from the simulated networks: from 39 of them on, its ends at
        95% are quantiles.

        Parameters
        ----------
        level : float
        kind : {"activations", "pre-activations"}
            Of the activations of live nodes, or of the pre-activations of all.

        Raises
        ------
        ValueError
            If the level is not between 0 and 1, or the kind is unknown.
        """
        checked_choice("kind", kind, KINDS)
        values = np.array(self.simulated_vni if kind == "activations" else self.simulated_pre_activation_vni)
        low, high = interval_of_another(values[~np.isnan(values)], level=level)
        return max(low, 1 / self.width), max(high, 1 / self.width)

    def to_dict(self) -> dict[str, Any]:
        """As of every result, with the 95% intervals."""
        return super().to_dict() | {
            "interval": self.interval(),
            "pre_activation_interval": self.interval(kind="pre-activations"),
        }


@dataclass(frozen=True, repr=False)
class Prediction(Result):
    """What is to be expected of a network; see `predict`.

    Attributes
    ----------
    network : Network or ResidualNetwork
    inputs : {"ball", "wide", "given"}
        Over which inputs nodes are correlated: a small ball round a point, N(0, input_variance I), or those that were
        given.
    output : {"linear", "activation"}
        Whether the last layer has no activation function, or has one; "linear" for a residual network.
    input_variance : float
        ‖x_0‖²/n_0: of given inputs, their mean.
    statement : {"S3", "S4", "S7", "S8"}, or None
        The law beside the simulated networks: exact, the universal law of wide networks, the law of wide inputs, or
        that of residual networks.
    layers : tuple of LayerPrediction
        For l = 1, …, L.
    gradient_growth : float
        E‖∂_0‖²/E‖∂_L‖²: how much a mean squared gradient has grown when it arrives at the inputs (S5).
    nodes_caveat, gradients_caveat : str or None
        Why S4 or S8, and why S5, does not hold for this network, if it does not. Over given inputs `nodes_caveat` says
        why no law speaks of them, if none does.
    n_samples : int, or None
        How many inputs were given.
    """

    derived: ClassVar[tuple[str, ...]] = ("gradients", "nodes", "vanishing_from", "half_depth", "two_nodes_depth")

    network: Network | ResidualNetwork
    inputs: Over
    output: Output
    input_variance: float
    statement: Statement | None
    layers: tuple[LayerPrediction, ...]
    gradient_growth: float
    nodes_caveat: str | None = None
    gradients_caveat: str | None = None
    n_samples: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """As of every result, with the verdict."""
        return super().to_dict() | {"verdict": list(self.verdict)}

    def baseline(self, *, kind: Kind = "activations") -> Baseline:
        """The simulated networks as the null of one that was measured; its layers are "1", …, "L".

        Over given inputs a replica is one network in all layers. Else the values of each layer are in increasing order,
        and those of different layers are not of the same network.

        Parameters
        ----------
        kind : {"activations", "pre-activations"}
            Of the activations of live nodes, or of the pre-activations of all.
        """
        checked_choice("kind", kind, KINDS)
        names = tuple(str(row.layer) for row in self.layers)
        values = [
            np.array(row.simulated_vni if kind == "activations" else row.simulated_pre_activation_vni)
            for row in self.layers
        ]
        n_nodes = [row.width for row in self.layers]
        return Baseline(names, dict(zip(names, values, strict=True)), dict(zip(names, n_nodes, strict=True)), {})

    @property
    def gradients(self) -> Literal["vanish", "explode", "neither"]:
        """Whether gradients "vanish" or "explode", more than tenfold in the root mean square, or "neither"."""
        growth = math.sqrt(self.gradient_growth)
        return "vanish" if growth < 1 / TENFOLD else "explode" if growth > TENFOLD else "neither"

    @property
    def nodes(self) -> Literal["kept", "vanishing"]:
        """Whether nodes are "kept", or "vanishing": the mean ρ² of two nodes of some layer exceeds 0.1.

        It is that of pre-activations.
        """
        return "kept" if self.vanishing_from is None else "vanishing"

    @property
    def vanishing_from(self) -> int | None:
        """The first layer in which the mean ρ² of two nodes' pre-activations exceeds 0.1; None if there is none."""
        return self._first(_is_vanishing)

    @property
    def half_depth(self) -> int | None:
        """The first layer whose pre-activations have fewer effective nodes than half its nodes; None if there is none.

        Square Gaussian matrices alone halve the effective nodes in two layers: VNI = 1/N + l/N to first order.
        """
        return self._first(lambda row: row.pre_activation_vni > 2 / row.width)

    @property
    def two_nodes_depth(self) -> int | None:
        """The first layer of more than two nodes with fewer than two effective nodes; None if there is none."""
        return self._first(lambda row: row.width > 2 and row.pre_activation_vni > 0.5)

    def _first(self, holds: Callable[[LayerPrediction], bool]) -> int | None:
        return next((row.layer for row in self.layers if holds(row)), None)

    @property
    def _part(self) -> str:
        return "block" if isinstance(self.network, ResidualNetwork) else "layer"

    @property
    def verdict(self) -> tuple[str, ...]:
        """What the numbers mean, in sentences."""
        advice = self._advice() if self.nodes == "vanishing" and self.inputs == "ball" else None
        caveats = (f"{each}." for each in (self.nodes_caveat, self.gradients_caveat) if each is not None)
        told = (
            self._on_gradients(),
            self._on_nodes(),
            self._on_inputs(),
            advice,
            self._on_validity(),
            *caveats,
        )
        return tuple(each for each in told if each is not None)

    def _on_gradients(self) -> str:
        factor = f"{math.sqrt(self.gradient_growth):.2g}"
        size = f"their root mean square changes by a factor of {factor} from the last layer to the inputs"
        return {
            "vanish": f"Gradients vanish: {size}.",
            "explode": f"Gradients explode: {size}.",
            "neither": f"Gradients neither vanish nor explode: {size}, less than tenfold.",
        }[self.gradients]

    def _on_nodes(self) -> str:
        last = self.layers[-1]
        end = f"the last layer has {readable(last.effective_nodes)} effective nodes of {last.width}"
        if self.vanishing_from is None:
            return f"Nodes are kept: the mean rho^2 of two nodes stays below {VANISHING} in every layer, and {end}."
        part, few = self._part, self.two_nodes_depth
        first = f"{part} {self.vanishing_from}"
        above = [_is_vanishing(row) for row in self.layers[self.vanishing_from - 1 :] if row.width > 1]
        # Later layers may make nodes less correlated than given or wide inputs leave them.
        where = f"from {first} on" if all(above) else f"in {sum(above)} of {len(self.layers)} {part}s, first in {first}"
        told = f"Nodes are vanishing: the mean rho^2 of two nodes is above {VANISHING} {where}, and {end}"
        return told + (f"; fewer than two are left at {part} {few}." if few else ".")

    def _on_inputs(self) -> str | None:
        """How much of it is the given inputs' own doing."""
        if self.inputs != "given" or self.layers[0].width < 2:
            return None
        first = self.layers[0]
        if isinstance(self.network, ResidualNetwork):
            return f"In block 1 there are {readable(1 / first.pre_activation_vni)} effective nodes of {first.width}."
        return (
            f"In layer 1, where there is no depth yet, these inputs alone leave {1 / first.pre_activation_vni:.3g} "
            f"effective nodes of {first.width}, and a mean rho^2 of two nodes of {_mean_square(first):.3g}."
        )

    def _advice(self) -> str | None:
        """What would keep the nodes, by S4 or S8: None where these do not hold, or would not tell that they vanish."""
        if self.nodes_caveat is not None:
            return None
        depths = np.linspace(0.0, 0.2, 201)
        allowed = np.interp(VANISHING, np.asarray(universal_vni(depths)), depths)
        factor = self.layers[-1].effective_depth / allowed
        if factor <= 1:
            return None
        if isinstance(self.network, ResidualNetwork):
            return self._advice_for_blocks(factor, allowed)
        told = f"By S4, the mean rho^2 of two nodes is {VANISHING} if layers and inputs are {factor:.2g} times as wide"
        if self.network.weights == "orthogonal":
            return f"{told}."
        haar = replace(self.network, weights="orthogonal")
        rest = effective_depth(haar, input_variance=self.input_variance) / allowed
        widths = "less at the widths as they are" if rest <= 1 else f"the same at {rest:.2g} times the widths"
        return f"{told}; with orthogonal weights it is {widths}."

    def _advice_for_blocks(self, factor: float, allowed: float) -> str:
        told = f"By S8, the mean rho^2 of two nodes is {VANISHING} if stream and branches are {factor:.2g} times"
        if isinstance(self.network, Network) or isinstance(self.network.branch_scale, str):
            return f"{told} as wide."
        scaled = replace(self.network, branch_scale="1/sqrt(L)")
        rest = effective_depth(scaled, input_variance=self.input_variance) / allowed
        widths = "less at the width as it is" if rest <= 1 else f"the same at {rest:.2g} times the width"
        return f"{told} as wide; with branches scaled by 1/sqrt(L), {scaled.beta:.2g}, it is {widths}."

    def _on_validity(self) -> str:
        if self.inputs == "wide":
            known = [row for row in self.layers if row.law_vni is not None]
            beside = (
                f"S7 says {known[-1].law_vni:.4g} of layer {known[-1].layer}" if known else "no law covers this case"
            )
            drawn = f"Over inputs N(0, {self.input_variance:g} I), means and intervals are those of simulated networks"
            return f"{drawn}; {beside}."
        if self.inputs == "given":
            count = len(self.layers[-1].simulated_vni)
            drawn = (
                f"Over the {self.n_samples} given inputs, means and intervals are those of {count} simulated networks"
            )
            known = [row for row in self.layers if row.law_vni is not None]
            if not known:
                return f"{drawn}."
            return f"{drawn}; {self.statement} says {known[-1].law_vni:.4g} of layer {known[-1].layer}."
        exact = self.layers[-1].stderr == 0
        means = f"exact ({self.statement}), intervals" if exact else "and intervals"
        told = f"For inputs in a small ball round a point: means {means} of simulated networks"
        if exact:
            return f"{told}."
        networks = "residual networks" if isinstance(self.network, ResidualNetwork) else "networks"
        law = f"{self.statement}, the law of wide {networks}, says {self.layers[-1].law_vni:.4g} of the last layer"
        return f"{told}; {law}."


def _is_vanishing(row: LayerPrediction) -> bool:
    return row.width > 1 and _mean_square(row) > VANISHING


def _mean_square(row: LayerPrediction) -> float:
    """The mean ρ² of the pre-activations of two nodes of a layer."""
    return (row.pre_activation_vni - 1 / row.width) / (1 - 1 / row.width)
