"""`predict`: what is to be expected of a random network, by simulated networks and the laws beside them."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
from numpy.typing import ArrayLike

from rmt_vn import laws
from rmt_vn.checks import checked_choice, checked_count, checked_kind
from rmt_vn.mean_field import length_map
from rmt_vn.network import Network, ResidualNetwork
from rmt_vn.prediction.ball_scatter import is_multiplied_out, simulate_ball
from rmt_vn.prediction.expected import (
    caveat,
    check_scale,
    effective_depths,
    exact_of_first_layer,
    law_along_depth,
    moments_along_depth,
    with_caveat,
)
from rmt_vn.prediction.given_inputs import (
    affordable_networks,
    checked_inputs,
    law_over_inputs,
    simulated_over_inputs,
)
from rmt_vn.prediction.residual import affordable_residual, predict_residual
from rmt_vn.prediction.simulated import SimulatedVNI, summary, with_last_layer_of
from rmt_vn.prediction.verdict import INPUTS, OUTPUTS, Inputs, LayerPrediction, Output, Over, Prediction, Statement
from rmt_vn.prediction.wide_scatter import simulated_wide_vni
from rmt_vn.rng import RNG

# Simulated networks by default: multiplied out, followed by some nodes, and over wide inputs.
_SMALL, _LARGE, _WIDE = 1000, 600, 200


def predict(
    network: Network | ResidualNetwork,
    *,
    input_variance: float | None = None,
    inputs: Inputs | ArrayLike = "ball",
    output: Output = "linear",
    n_networks: int | None = None,
    rng: RNG = None,
) -> Prediction:
    """What is to be expected of a random network, layer by layer: the mean VNI, and the interval of single networks.

    The network itself is simulated, at its own widths, and its laws are stated beside. The mean is that of S3 where it
    applies (linear, ReLU), and exact; else that of the simulated networks. The interval is about the *network*, not
    about the mean: in it lies the VNI of 95% of random networks. Small networks are multiplied out; of others sixteen
    nodes of each layer are followed, from which the scatter of whole layers is computed
    (`rmt_vn.prediction.some_nodes`).

    Over wide inputs each network has 64 to 128 of them. The intervals are rather too wide in first layers, for Haar
    weights and where layers are wide and few, and may hold some per cent too few networks where many nodes hardly vary.

    Over inputs of your own whole networks are drawn, passed through and measured, as `rmt_vn.measures.vni` measures the
    one that you have: it is one more network of theirs if its weights are as random. What the inputs alone do shows in
    the first layer, and what depth does in the others. A law stands beside only where it speaks of such inputs.

    The layers of a residual network are the stream behind each of its blocks, and its readout. Of networks that are
    not multiplied out sixteen nodes are followed to five of the blocks. The mean is exact for branches of a single
    Gaussian matrix without normalization, and S8 stands beside it else. Over wide inputs each network has 1024 of them.

    Two VNIs are predicted of each layer, since both are measured: of the activations of the nodes that are live, and of
    the pre-activations of all nodes. For φ without flat pieces, and without dropout, they are the same over a ball.

    Parameters
    ----------
    network : Network or ResidualNetwork
    input_variance : float, optional
        ‖x_0‖²/n_0, the mean square of an input: 1 by default, as of standardized ones. Inputs of your own have theirs.
    inputs : {"ball", "wide"}, or array_like, shape (samples, n_0)
        Over which inputs nodes are correlated: in a small ball round a point, N(0, v I), or inputs of your own.
    output : {"linear", "activation"}
        Whether the last layer is linear, as in most networks, or has φ (and dropout) too. A residual network ends with
        its stream or a readout, which is linear.
    n_networks : int, optional
        Simulated networks, at least 40: their quantiles are the interval. By default 1000, 600 of networks that
        are too large to be multiplied out, and 200 over wide inputs. Over inputs of your own at least two, and 20 to
        100 by default, the fewer the larger they are: see `rmt_vn.baseline.interval_of_another`.
    rng : seed or Generator
        Of the simulated networks; give a seed for numbers that stay the same.

    Returns
    -------
    Prediction

    Raises
    ------
    ValueError
        If a parameter is out of range, a variance leaves the range of the length map, or no node of a layer varies over
        wide inputs, or your own, in next to all networks.

    Examples
    --------
    >>> from rmt_vn import Network
    >>> predicted = predict(Network.uniform(20, 10, activation="linear"), rng=0)
    >>> round(predicted.layers[-1].vni, 6), predicted.gradients, predicted.nodes
    (0.359617, 'neither', 'vanishing')
    """
    checked_kind("network", network, Network, ResidualNetwork)
    checked_choice("output", output, OUTPUTS)
    if isinstance(network, ResidualNetwork):
        if output != "linear":
            raise ValueError(f'output must be "linear" for a residual network, got {output!r}')
    else:
        check_scale(network)
    given = None if isinstance(inputs, str) else checked_inputs(network, inputs)
    if given is None:
        over = checked_choice("inputs", inputs, INPUTS)
        # Fewer have no quantiles at 2.5%.
        default = (
            affordable_residual(network, over) if isinstance(network, ResidualNetwork) else _affordable(network, over)
        )
        least = 40
        v = 1.0 if input_variance is None else input_variance
    else:
        if input_variance is not None:
            raise ValueError(
                f"inputs of your own have their mean square; leave input_variance out, got {input_variance}"
            )
        over, v = "given", float(np.mean(given**2))
        default, least = affordable_networks(network, len(given)), 2
    n_networks = checked_count("n_networks", default if n_networks is None else n_networks, least=least)
    rng = np.random.default_rng(rng)
    if isinstance(network, ResidualNetwork):
        return predict_residual(network, float(v), over=cast(Over, over), given=given, n_networks=n_networks, rng=rng)
    q = length_map(network, v)
    moments = moments_along_depth(network, q)
    t = effective_depths(network, moments)
    on_nodes = None
    if given is not None:
        every, live, law, statement, on_nodes = _over_given_inputs(network, given, v, n_networks, output, rng)
    elif over == "wide":
        every, live, law = _over_wide_inputs(network, v, n_networks, output, rng)
        statement = None if law[0] is None else "S7"
    else:
        every, live, law = _over_a_ball(network, v, n_networks, np.diff(t, prepend=0.0), output, rng)
        statement = _statement_of_ball(network)
        # Networks have been sampled here, as it asks for.
        on_nodes = caveat(network, v)
        on_nodes = on_nodes and on_nodes.partition(". Sample it")[0]
    gradient, on_gradients = with_caveat(laws.gradient_growth, network, v)
    layers = tuple(
        LayerPrediction(
            layer=layer + 1,
            width=network.widths[layer + 1],
            q=float(q[layer]),
            chi=network.sigma_w**2 * moments[layer][0],
            effective_depth=float(t[layer]),
            vni=float(live.mean[layer]),
            stderr=float(live.stderr[layer]),
            pre_activation_vni=float(every.mean[layer]),
            law_vni=law[layer],
            gradient=float(gradient[layer + 1]),
            simulated_vni=tuple(live.values[layer].tolist()),
            simulated_pre_activation_vni=tuple(every.values[layer].tolist()),
        )
        for layer in range(network.depth)
    )
    return Prediction(
        network=network,
        inputs=cast(Over, over),
        output=output,
        input_variance=float(v),
        statement=statement,
        layers=layers,
        gradient_growth=float(gradient[0]),
        nodes_caveat=on_nodes,
        gradients_caveat=on_gradients,
        n_samples=None if given is None else len(given),
    )


def _affordable(network: Network | ResidualNetwork, inputs: str) -> int:
    if isinstance(network, ResidualNetwork):
        return affordable_residual(network, inputs)
    if inputs == "wide":
        return _WIDE
    return _SMALL if is_multiplied_out(network, _SMALL) else _LARGE


def _over_a_ball(
    network: Network,
    input_variance: float,
    n_networks: int,
    added: np.ndarray,
    output: Output,
    rng: np.random.Generator,
) -> tuple[SimulatedVNI, SimulatedVNI, list[float | None]]:
    """VNI of the pre-activations of all nodes, of the activations of live ones, and what S3 or S4 says of these."""
    pairs = law_along_depth(network, input_variance)[1]
    exact = network.live_probability is not None
    known = pairs if exact else exact_of_first_layer(network)
    every, live = simulate_ball(network, input_variance, n_networks, exact=known, added=added, rng=rng)
    laws_of_all, laws_of_live = _laws_of_ball(network, input_variance)
    if exact:
        every, live = (
            replace(simulated, mean=law, stderr=np.zeros(network.depth))
            for simulated, law in ((every, laws_of_all), (live, laws_of_live))
        )
    if output == "linear":
        live = with_last_layer_of(live, every)
        laws_of_live[-1] = laws_of_all[-1]
    return every, live, laws_of_live.tolist()


def _laws_of_ball(network: Network, input_variance: float) -> tuple[np.ndarray, np.ndarray]:
    """What S3 or S4 says of the VNI of all nodes' pre-activations, and of live nodes' activations; shape (L,)."""
    alone, pairs = law_along_depth(network, input_variance)
    one = 1 / np.array(network.widths[1:])
    return one + (1 - one) * pairs, alone + (1 - alone) * pairs


def _statement_of_ball(network: Network) -> Statement:
    return "S3" if network.live_probability is not None else "S4"


def _over_wide_inputs(
    network: Network, input_variance: float, n_networks: int, output: Output, rng: np.random.Generator
) -> tuple[SimulatedVNI, SimulatedVNI, list[float | None]]:
    """As `_over_a_ball`, over inputs N(0, v I); the law is S7, where it covers the network and the layer has φ."""
    every, live = simulated_wide_vni(network, input_variance, n_networks, linear_output=output == "linear", rng=rng)
    _check_varying(every, live, n_networks)
    try:
        law: list[float | None] = laws.wide_input_vni(network, input_variance=input_variance).tolist()
    except ValueError:
        law = [None] * network.depth
    if output == "linear":
        law[-1] = None
    return summary(every), summary(live), law


def _over_given_inputs(
    network: Network,
    given: np.ndarray,
    mean_square: float,
    n_networks: int,
    output: Output,
    rng: np.random.Generator,
) -> tuple[SimulatedVNI, SimulatedVNI, list[float | None], Statement | None, str | None]:
    """As `_over_a_ball`, over these inputs; with the statement that speaks of them, or why none does."""
    every, live = simulated_over_inputs(network, given, n_networks, linear_output=output == "linear", rng=rng)
    _check_varying(every, live, n_networks)
    law: list[float | None] = [None] * network.depth
    statement: Statement | None = None
    kind, reason = law_over_inputs(network, given, mean_square)
    if kind == "ball":
        statement = _statement_of_ball(network)
        of_all, of_live = _laws_of_ball(network, mean_square)
        law = [*of_live[:-1].tolist(), float((of_all if output == "linear" else of_live)[-1])]
    elif kind == "wide":
        try:
            statement, law = "S7", laws.wide_input_vni(network, input_variance=mean_square).tolist()
        except ValueError as error:
            statement, reason = None, f"No law covers this network over inputs like N(0, v I): {error}"
        if output == "linear":
            law[-1] = None
    return summary(every), summary(live), law, statement, reason or None


def _check_varying(every: np.ndarray, live: np.ndarray, n_networks: int) -> None:
    """An error if some layer has a VNI in fewer than two networks."""
    unknown = np.sum(~np.isnan(live + every), axis=1) < 2
    if unknown.any():
        raise ValueError(
            f"no node of layer {unknown.argmax() + 1} varies over the inputs in all but one of {n_networks} simulated "
            "networks, and so there is no VNI; widen the layers before it"
        )
