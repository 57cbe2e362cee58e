"""`predict`: what is to be expected of a random network, by simulated networks and the laws beside them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rmt_vn import laws
from rmt_vn.checks import checked_choice, checked_count
from rmt_vn.mean_field import length_map
from rmt_vn.network import Network
from rmt_vn.prediction.ball_scatter import SimulatedVNI, simulate_ball
from rmt_vn.prediction.expected import caveat, effective_depths, law_along_depth, moments_along_depth, with_caveat
from rmt_vn.prediction.verdict import INPUTS, OUTPUTS, Inputs, LayerPrediction, Output, Prediction, Statement
from rmt_vn.rng import RNG


def predict(
    network: Network,
    *,
    input_variance: float = 1.0,
    inputs: Inputs = "ball",
    output: Output = "linear",
    n_networks: int = 1000,
    rng: RNG = None,
) -> Prediction:
    """What is to be expected of a random network, layer by layer: the mean VNI, and the interval of single networks.

    The network itself is simulated, at its own widths, and its laws are stated beside. The mean is that of S3 where it
    applies (linear, ReLU), and exact; else that of the simulated networks. The interval is about the *network*, not
    about the mean: in it lies the VNI of 95% of random networks. Small networks are multiplied out; of others sixteen
    nodes of each layer are followed, from which the scatter of whole layers is computed
    (`rmt_vn.prediction.some_nodes`).

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
    n_networks : int
        Simulated networks, at least 40: their quantiles are the interval.
    rng : seed or Generator
        Of the simulated networks; give a seed for numbers that stay the same.

    Returns
    -------
    Prediction

    Raises
    ------
    ValueError
        If a parameter is out of range, or a variance leaves the range of the length map.

    Examples
    --------
    >>> from rmt_vn import Network
    >>> predicted = predict(Network.uniform(20, 10, activation="linear"), rng=0)
    >>> round(predicted.layers[-1].vni, 6), predicted.gradients, predicted.nodes
    (0.359617, 'neither', 'vanishing')
    """
    checked_choice("inputs", inputs, INPUTS)
    checked_choice("output", output, OUTPUTS)
    # Fewer have no quantiles at 2.5%.
    n_networks = checked_count("n_networks", n_networks, least=40)
    rng = np.random.default_rng(rng)
    q = length_map(network, input_variance)
    moments = moments_along_depth(network, q)
    t = effective_depths(network, moments)
    if inputs == "wide":
        every, live, law = over_wide_inputs(network, input_variance, n_networks, rng)
        statement: Statement | None = None if law is None else "S7"
    else:
        alone, pairs = law_along_depth(network, input_variance)
        exact = network.live_probability is not None
        statement = "S3" if exact else "S4"
        every, live = simulate_ball(
            network, input_variance, n_networks, exact=pairs if exact else None, added=np.diff(t, prepend=0.0), rng=rng
        )
        law = alone + (1 - alone) * pairs
        one = 1 / np.array(network.widths[1:])
        law_of_all = one + (1 - one) * pairs
        if output == "linear":
            law[-1] = law_of_all[-1]
        if exact:
            every, live = replace(every, mean=law_of_all, stderr=0 * t), replace(live, mean=law, stderr=0 * t)
    if output == "linear":
        live = with_last_layer_of(live, every)
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
            law_vni=None if law is None else float(law[layer]),
            gradient=float(gradient[layer + 1]),
            simulated_vni=tuple(live.values[layer].tolist()),
            simulated_pre_activation_vni=tuple(every.values[layer].tolist()),
        )
        for layer in range(network.depth)
    )
    caveats = (caveat(network, input_variance) if inputs == "ball" else None, on_gradients)
    told = ". ".join(each for each in caveats if each is not None) or None
    return Prediction(network, inputs, output, float(input_variance), statement, layers, float(gradient[0]), told)


def with_last_layer_of(live: SimulatedVNI, every: SimulatedVNI) -> SimulatedVNI:
    """A linear last layer has no φ: its activations are its pre-activations."""
    return SimulatedVNI(
        *(
            np.concatenate([one[:-1], other[-1:]])
            for one, other in ((live.values, every.values), (live.mean, every.mean), (live.stderr, every.stderr))
        )
    )
