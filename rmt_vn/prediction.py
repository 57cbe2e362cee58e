"""What theory predicts for one network, layer by layer, in numbers and in words; and the width that a target needs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from statistics import fmean
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from scipy.special import expit, logit

from rmt_vn import laws
from rmt_vn.checks import checked_choice, checked_count
from rmt_vn.laws.exact import exact_vni_along_depth
from rmt_vn.mean_field import length_map, moments_along
from rmt_vn.measures import jacobian_vni
from rmt_vn.network import WEIGHTS, Network, Weights
from rmt_vn.progress import progress
from rmt_vn.results import Result
from rmt_vn.rng import RNG
from rmt_vn.samplers import walk_jacobian
from rmt_vn.samplers.forward import block_sizes

__all__ = ["Design", "LayerPrediction", "Prediction", "design", "predict"]

Inputs = Literal["ball", "wide"]
INPUTS = get_args(Inputs)
Statement = Literal["S3", "S4", "S7"]
# Gradients keep their size if the root mean square changes less than tenfold from the last layer to the first.
KEPT = 10.0
# Nodes vanish where the mean ρ² of two nodes exceeds this: VNI without the 1/N that each node has with itself.
VANISHING = 0.1

_COVERAGE = 0.95
# Multiplications that the simulated networks may take in all: a quarter of a second of one core.
_WORK = 3e9
# Numbers of the matrices that are multiplied at a time: they stay within the cache.
_BLOCK_FLOATS = 2**17
# Twins of wide networks are no narrower than this where the network is not; more inputs than a multiple of the nodes
# change little.
_NARROWEST = 16
_MOST_INPUTS_PER_NODE = 2
_WIDEST_DESIGN = 10**9
_DEEPEST_DESIGN = 10**5


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
    interval : tuple of float, or None
        In which the VNI of a single random network lies with probability 0.95; None where it is not known.
    gradient : float
        E‖∂_l‖²/E‖∂_L‖² (S5).
    """

    derived: ClassVar[tuple[str, ...]] = ("effective_nodes",)

    layer: int
    width: int
    q: float
    chi: float
    effective_depth: float
    vni: float
    interval: tuple[float, float] | None
    gradient: float

    @property
    def effective_nodes(self) -> float:
        """1/VNI."""
        return 1 / self.vni


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
        Where the VNI comes from: exact, the universal law of wide networks, or the closure for wide inputs.
    layers : tuple of LayerPrediction
        For l = 1, …, L.
    gradient_growth : float
        E‖∂_0‖²/E‖∂_L‖²: how much a mean squared gradient has grown when it arrives at the inputs (S5).
    simulated : Network, or None
        The network whose samples gave the intervals: this one, or its twin.
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

    def _first(self, holds) -> int | None:
        return next((row.layer for row in self.layers if holds(row, _live_nodes(self.network, row.width))), None)

    @property
    def verdict(self) -> tuple[str, ...]:
        """What the numbers mean, in sentences."""
        advice = (self._advice(),) if self.nodes == "vanishing" and self.inputs == "ball" else ()
        return (self._on_gradients(), self._on_nodes(), *advice, self._on_validity())

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
        designs = design(network.depth, VANISHING, input_variance=self.input_variance, **parameters)
        widths = " or ".join(f"{each.width} with {each.weights} weights" for each in designs)
        return f"Layers of equal widths keep the VNI below {VANISHING} at this depth from a width of {widths} on."

    def _on_validity(self) -> str:
        if self.statement == "S7":
            return (
                "Wide inputs: S3 and S4 do not apply, they are about inputs in a small ball. The VNI is that of S7, a "
                "closure, not a theorem; it takes inputs N(0, I) of full rank."
            )
        exact = "S3, exact" if self.statement == "S3" else "S4, the law of wide networks"
        return f"For inputs in a small ball round a point ({exact}); over wide inputs S3 and S4 do not apply."


def predict(
    network: Network,
    *,
    input_variance: float = 1.0,
    inputs: Inputs = "ball",
    n_networks: int = 200,
    rng: RNG = None,
) -> Prediction:
    """What theory says of a random network, layer by layer.

    The mean VNI is that of S3 where it applies (linear, ReLU), else of S4, with q_l and the moments μ_k from the length
    map. The interval is about the *network*, not about the mean: the middle 95% of `n_networks` simulated networks.
    Where to simulate the network itself would take long, they are of a twin, so many times narrower and shallower, and
    thus of the same effective depth. At equal effective depth the scatter about the mean, in log odds, is nearly the
    same; it is carried over to the predicted mean, from the twin's last layers well, from its first two roughly.

    Parameters
    ----------
    network : Network
    input_variance : float
        ‖x_0‖²/n_0, the mean square of an input: 1 for standardized ones.
    inputs : {"ball", "wide"}
        Over which inputs nodes are correlated. S3 and S4 are about a small ball round a point. Over inputs N(0, v I)
        they do not apply; there S7 stands in, without an interval.
    n_networks : int
        Simulated networks, at least 40: their quantiles are the interval.
    rng : seed or Generator
        Of the simulated networks; give a seed for intervals that stay the same.

    Returns
    -------
    Prediction

    Raises
    ------
    ValueError
        If a parameter is out of range, a variance leaves the range of the length map, or S7 is asked of a network that
        it does not cover (one whose φ is not odd, or with biases or dropout).

    Examples
    --------
    >>> from rmt_vn import Network
    >>> predicted = predict(Network.uniform(20, 10, activation="linear"), rng=0)
    >>> round(predicted.layers[-1].vni, 6), predicted.gradients, predicted.nodes
    (0.359617, 'keep', 'vanishing')
    """
    checked_choice("inputs", inputs, INPUTS)
    # Fewer have no quantiles at 2.5%.
    n_networks = checked_count("n_networks", n_networks, least=40)
    q = length_map(network, input_variance)
    moments = _moments(network, q)
    t = _effective_depths(network, moments)
    vni = laws.wide_input_vni(network, input_variance=input_variance) if inputs == "wide" else _mean_vni(network, t)
    intervals: list[Any] = [None] * network.depth
    simulated = None
    if inputs == "ball":
        simulated = _twin(network, n_networks)
        intervals = _intervals(network, simulated, vni, t, input_variance, n_networks, np.random.default_rng(rng))
    gradient = laws.gradient_growth(network, input_variance=input_variance)
    layers = tuple(
        LayerPrediction(
            layer=layer + 1,
            width=network.widths[layer + 1],
            q=float(q[layer]),
            chi=network.sigma_w**2 * moments[layer][0],
            effective_depth=float(t[layer]),
            vni=float(vni[layer]),
            interval=intervals[layer],
            gradient=float(gradient[layer + 1]),
        )
        for layer in range(network.depth)
    )
    statement: Statement = "S7" if inputs == "wide" else "S4" if network.live_probability is None else "S3"
    return Prediction(network, inputs, float(input_variance), statement, layers, float(gradient[0]), simulated)


def _live_nodes(network: Network, width: int) -> float:
    """Expected number of nodes with φ′ ≠ 0: half of them for ReLU, times the kept ones."""
    return max(1.0, width * (network.live_probability or 1.0))


def _moments(network: Network, q: np.ndarray) -> list[tuple[float, float]]:
    """(μ_1, μ_2) of each layer."""
    return [(mu1, mu2) for mu1, mu2 in moments_along(network, q).tolist()]


def _effective_depths(network: Network, moments: list[tuple[float, float]]) -> np.ndarray:
    """t after each weight matrix; the inputs of the first have no slopes."""
    ratios = [1.0, *(mu2 / mu1**2 for mu1, mu2 in moments[:-1])]
    shapes = zip(network.widths[:-1], network.widths[1:], strict=True)
    steps = (
        laws.layer_depth(*shape, network.weights, slope_ratio=ratio)
        for shape, ratio in zip(shapes, ratios, strict=True)
    )
    return np.array(list(accumulate(steps)))


def _mean_vni(network: Network, t: np.ndarray) -> np.ndarray:
    """S3 of the networks that end at each layer, where it applies; else S4."""
    if network.live_probability is not None:
        return exact_vni_along_depth(network)
    alone = 1 / np.array(network.widths[1:])
    return alone + (1 - alone) * laws.universal_vni(t)


# --- scatter ----------------------------------------------------------------------------------------------------------


def _intervals(
    network: Network,
    twin: Network,
    vni: np.ndarray,
    t: np.ndarray,
    input_variance: float,
    n_networks: int,
    rng: np.random.Generator,
) -> list[tuple[float, float]]:
    sampled = _sample_layers(twin, input_variance, n_networks, rng)
    tails = ((1 - _COVERAGE) / 2, (1 + _COVERAGE) / 2)
    # Weibull's quantiles of samples are those that the next sample exceeds with just these probabilities.
    bounds = np.quantile(sampled, tails, axis=1, method="weibull")
    if twin != network:
        twin_t = _effective_depths(twin, _moments(twin, length_map(twin, input_variance)))
        offsets = _log_odds(bounds) - _log_odds(sampled.mean(axis=1))
        bounds = np.array([expit(_log_odds(vni) + np.interp(t, twin_t, each)) for each in offsets])
    return list(zip(*bounds.tolist(), strict=True))


def _log_odds(vni: np.ndarray) -> np.ndarray:
    """ln(VNI/(1 − VNI)), finite also where all nodes are one."""
    return logit(np.minimum(vni, 1 - 2.0**-53))


def _sample_layers(network: Network, input_variance: float, n_networks: int, rng: np.random.Generator) -> np.ndarray:
    """VNI of each layer of simulated networks, shape (L, n_networks)."""
    blocks = block_sizes(n_networks, _BLOCK_FLOATS // (max(network.widths[1:]) * max(network.widths)))
    walks = (
        walk_jacobian(network, size, rng=rng, input_variance=input_variance)
        for size in progress(blocks, "simulated networks")
    )
    sampled = np.concatenate([np.array([jacobian_vni(layer.jacobian) for layer in walk]) for walk in walks], axis=1)
    return np.minimum(sampled, 1.0)  # rounding


def _twin(network: Network, n_networks: int) -> Network:
    """The network itself, or one that is several times narrower and shallower: what can be simulated at once."""
    shrink = 1
    twin = network
    while n_networks * _work(twin.widths) > _WORK and shrink < max(network.widths):
        shrink += 1
        twin = replace(network, widths=_shrunk(network.widths, shrink))
    return twin


def _work(widths: tuple[int, ...]) -> float:
    """Multiplications in a walk: each layer's product with the Jacobian so far, and the Gram matrix of its rows."""
    n_0 = widths[0]
    return float(sum(n_out * n_in * n_0 + n_out * n_out * n_0 for n_in, n_out in pairwise(widths)))


def _shrunk(widths: tuple[int, ...], shrink: int) -> tuple[int, ...]:
    n_0 = min(widths[0], _MOST_INPUTS_PER_NODE * max(widths[1:]))
    kept = [n_0, *widths[1:-1:shrink], widths[-1]]
    return tuple(max(round(width / shrink), min(width, _NARROWEST)) for width in kept)


# --- design -----------------------------------------------------------------------------------------------------------


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


def design(depth: int, vni: float, *, input_variance: float = 1.0, **parameters) -> tuple[Design, ...]:
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
    moments = _moments(narrow, length_map(narrow, input_variance))
    return tuple(_narrowest(depth, float(vni), moments, {**parameters, "weights": kind}) for kind in kinds)


def _narrowest(depth: int, target: float, moments: Sequence[tuple[float, float]], parameters: dict) -> Design:
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
