"""`predict`: what is to be expected of a random network, by simulated networks and the laws beside them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rmt_vn import laws
from rmt_vn.checks import checked_choice, checked_count
from rmt_vn.mean_field import length_map
from rmt_vn.network import Network
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
from rmt_vn.prediction.simulated import SimulatedVNI, summary, with_last_layer_of
from rmt_vn.prediction.verdict import INPUTS, OUTPUTS, Inputs, LayerPrediction, Output, Prediction, Statement
from rmt_vn.prediction.wide_scatter import simulated_wide_vni
from rmt_vn.rng import RNG

# Simulated networks by default: multiplied out, followed by some nodes, and over wide inputs.
_SMALL, _LARGE, _WIDE = 1000, 600, 200


def predict(
    network: Network,
    *,
    input_variance: float = 1.0,
    inputs: Inputs = "ball",
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

    Two VNIs are predicted of each layer, since both are measured: of the activations of the nodes that are live, and of
    the pre-activations of all nodes. For φ without flat pieces, and without dropout, they are the same over a ball.

    Parameters
    ----------
    network : Network
    input_variance : float
        ‖x_0‖²/n_0, the mean square of an input: 1 for standardized ones.
    inputs : {"ball", "wide"}
        Over which inputs nodes are correlated: in a small ball round a point, or N(0, v I).
    output : {"linear", "activation"}
        Whether the last layer is linear, as in most networks, or has φ (and dropout) too.
    n_networks : int, optional
        Simulated networks, at least 40: their quantiles are the interval. By default 1000, 600 of networks that
        are too large to be multiplied out, and 200 over wide inputs.
    rng : seed or Generator
        Of the simulated networks; give a seed for numbers that stay the same.

    Returns
    -------
    Prediction

    Raises
    ------
    ValueError
        If a parameter is out of range, a variance leaves the range of the length map, or over wide inputs no node of a
        layer varies in next to all networks.

    Examples
    --------
    >>> from rmt_vn import Network
    >>> predicted = predict(Network.uniform(20, 10, activation="linear"), rng=0)
    >>> round(predicted.layers[-1].vni, 6), predicted.gradients, predicted.nodes
    (0.359617, 'neither', 'vanishing')
    """
    checked_choice("inputs", inputs, INPUTS)
    checked_choice("output", output, OUTPUTS)
    check_scale(network)
    # Fewer have no quantiles at 2.5%.
    n_networks = checked_count(
        "n_networks", _affordable(network, inputs) if n_networks is None else n_networks, least=40
    )
    rng = np.random.default_rng(rng)
    q = length_map(network, input_variance)
    moments = moments_along_depth(network, q)
    t = effective_depths(network, moments)
    ask = _over_wide_inputs if inputs == "wide" else _over_a_ball
    every, live, law = ask(network, input_variance, n_networks, np.diff(t, prepend=0.0), output, rng)
    gradient, on_gradients = with_caveat(laws.gradient_growth, network, input_variance)
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
    statement: Statement | None = "S3" if network.live_probability is not None else "S4"
    if inputs == "wide":
        statement = None if law[0] is None else "S7"
    on_nodes = caveat(network, input_variance) if inputs == "ball" else None
    # Networks have been sampled here, as it asks for.
    on_nodes = on_nodes and on_nodes.partition(". Sample it")[0]
    return Prediction(
        network=network,
        inputs=inputs,
        output=output,
        input_variance=float(input_variance),
        statement=statement,
        layers=layers,
        gradient_growth=float(gradient[0]),
        nodes_caveat=on_nodes,
        gradients_caveat=on_gradients,
    )


def _affordable(network: Network, inputs: Inputs) -> int:
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
    alone, pairs = law_along_depth(network, input_variance)
    exact = network.live_probability is not None
    known = pairs if exact else exact_of_first_layer(network)
    every, live = simulate_ball(network, input_variance, n_networks, exact=known, added=added, rng=rng)
    one = 1 / np.array(network.widths[1:])
    laws_of_all, laws_of_live = (share + (1 - share) * pairs for share in (one, alone))
    if exact:
        every, live = (
            replace(simulated, mean=law, stderr=np.zeros(network.depth))
            for simulated, law in ((every, laws_of_all), (live, laws_of_live))
        )
    if output == "linear":
        live = with_last_layer_of(live, every)
        laws_of_live[-1] = laws_of_all[-1]
    return every, live, laws_of_live.tolist()


def _over_wide_inputs(
    network: Network, input_variance: float, n_networks: int, _: np.ndarray, output: Output, rng: np.random.Generator
) -> tuple[SimulatedVNI, SimulatedVNI, list[float | None]]:
    """As `_over_a_ball`, over inputs N(0, v I); the law is S7, where it covers the network and the layer has φ."""
    every, live = simulated_wide_vni(network, input_variance, n_networks, linear_output=output == "linear", rng=rng)
    unknown = np.isnan(live[:, 0] + every[:, 0])
    if unknown.any():
        raise ValueError(
            f"no node of layer {unknown.argmax() + 1} varies over the inputs in all but one of {n_networks} simulated "
            "networks, and so there is no VNI; widen the layers before it"
        )
    try:
        law: list[float | None] = laws.wide_input_vni(network, input_variance=input_variance).tolist()
    except ValueError:
        law = [None] * network.depth
    if output == "linear":
        law[-1] = None
    return summary(every), summary(live), law
