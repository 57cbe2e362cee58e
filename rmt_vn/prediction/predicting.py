"""`predict`: what theory says of a network, and how much single networks scatter about it."""

from __future__ import annotations

from typing import Any

import numpy as np

from rmt_vn import laws
from rmt_vn.checks import checked_choice, checked_count
from rmt_vn.mean_field import length_map
from rmt_vn.network import Network
from rmt_vn.prediction.expected import caveat, effective_depths, mean_vni, moments_along_depth, with_caveat
from rmt_vn.prediction.scatter import simulated_vni, twin_of
from rmt_vn.prediction.verdict import INPUTS, Inputs, LayerPrediction, Prediction, Statement
from rmt_vn.rng import RNG


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
    moments = moments_along_depth(network, q)
    t = effective_depths(network, moments)
    vni = (
        laws.wide_input_vni(network, input_variance=input_variance)
        if inputs == "wide"
        else mean_vni(network, input_variance)
    )
    scatter: list[Any] = [None] * network.depth
    simulated = None
    if inputs == "ball":
        simulated = twin_of(network, n_networks)
        sampled = simulated_vni(network, simulated, vni, t, input_variance, n_networks, rng=np.random.default_rng(rng))
        scatter = [tuple(each) for each in sampled.tolist()]
    gradient, on_gradients = with_caveat(laws.gradient_growth, network, input_variance)
    layers = tuple(
        LayerPrediction(
            layer=layer + 1,
            width=network.widths[layer + 1],
            q=float(q[layer]),
            chi=network.sigma_w**2 * moments[layer][0],
            effective_depth=float(t[layer]),
            vni=float(vni[layer]),
            gradient=float(gradient[layer + 1]),
            simulated_vni=scatter[layer],
        )
        for layer in range(network.depth)
    )
    statement: Statement = "S7" if inputs == "wide" else "S4" if network.live_probability is None else "S3"
    growth, on_nodes = float(gradient[0]), caveat(network, input_variance) if inputs == "ball" else None
    told = ". ".join(each for each in (on_nodes, on_gradients) if each is not None) or None
    return Prediction(network, inputs, float(input_variance), statement, layers, growth, simulated, told)
