"""`predict` for residual networks: what the laws say block by block, beside simulated networks."""

from __future__ import annotations

from itertools import accumulate

import numpy as np

from rmt_vn import laws
from rmt_vn.laws.effective_depth import block_depths
from rmt_vn.network import ResidualNetwork
from rmt_vn.prediction.expected import with_caveat
from rmt_vn.prediction.given_inputs import law_over_inputs
from rmt_vn.prediction.residual_scatter import (
    first_blocks,
    is_residual_multiplied_out,
    simulate_residual_ball,
    simulate_residual_inputs,
    simulate_residual_wide,
    some_blocks,
)
from rmt_vn.prediction.simulated import SimulatedVNI, summary
from rmt_vn.prediction.verdict import LayerPrediction, Over, Prediction
from rmt_vn.residual_mean_field import blocks_mean_field

# Simulated networks by default: multiplied out, followed by some nodes, and over wide inputs.
_SMALL, _LARGE, _WIDE = 500, 200, 60
# Blocks up to which the exact law is evaluated at each.
_EXACT_DEPTHS = 200


def affordable_residual(network: ResidualNetwork, over: str) -> int:
    """How many networks are simulated by default, over a ball or wide inputs."""
    if over == "wide":
        return _WIDE
    return _SMALL if is_residual_multiplied_out(network, _SMALL) else _LARGE


def predict_residual(
    network: ResidualNetwork,
    input_variance: float,
    *,
    over: Over,
    given: np.ndarray | None,
    n_networks: int,
    rng: np.random.Generator,
) -> Prediction:
    """As `predict`, whose arguments these are."""
    t, law, caveat = law_along_blocks(network, input_variance)
    covered, told = True, caveat and caveat.partition(". Sample it")[0]
    if over == "ball":
        simulated = simulate_residual_ball(network, input_variance, n_networks, t, rng)
        if is_exact(network):
            simulated = SimulatedVNI(simulated.values, law, np.zeros(len(law)))
    elif given is None:
        simulated, covered = summary(simulate_residual_wide(network, input_variance, n_networks, rng)), False
    else:
        values = simulate_residual_inputs(network, given, n_networks, rng)
        if np.any(np.sum(~np.isnan(values), axis=1) < 2):
            raise ValueError(f"no node varies over the inputs in all but one of {n_networks} simulated networks")
        simulated = summary(values)
        kind, reason = law_over_inputs(network, given, input_variance)
        covered, told = kind == "ball", reason or None
    q, chi, gradient, on_gradients = _columns(network, input_variance)
    layers = tuple(
        LayerPrediction(
            layer=layer + 1,
            width=width,
            q=float(q[layer]),
            chi=float(chi[layer]),
            effective_depth=float(t[layer]),
            vni=float(simulated.mean[layer]),
            stderr=float(simulated.stderr[layer]),
            pre_activation_vni=float(simulated.mean[layer]),
            law_vni=float(law[layer]) if covered else None,
            gradient=float(gradient[layer + 1]),
            simulated_vni=tuple(simulated.values[layer].tolist()),
            simulated_pre_activation_vni=tuple(simulated.values[layer].tolist()),
        )
        for layer, width in enumerate(_widths(network))
    )
    return Prediction(
        network=network,
        inputs=over,
        output="linear",
        input_variance=input_variance,
        statement="S8" if covered else None,
        layers=layers,
        gradient_growth=float(gradient[0]),
        nodes_caveat=told,
        gradients_caveat=on_gradients,
        n_samples=None if given is None else len(given),
    )


def law_along_blocks(network: ResidualNetwork, input_variance: float) -> tuple[np.ndarray, np.ndarray, str | None]:
    """The effective depth and the mean VNI after each block, and after the readout; with what the law says against it.

    By the exact law where it covers the network, else S8; NaN where the exact law is not evaluated.

    Returns
    -------
    t, vni : ndarray, shape (L,), or (L + 1,) with a readout
    caveat : str or None
    """
    steps = block_depths(network, input_variance=input_variance).tolist()
    ends = [0.0 if end is None else laws.effective_depth(end) for end in (network.embedding, network.readout)]
    t = np.array(list(accumulate([ends[0] + steps[0], *steps[1:], *([ends[1]] if network.readout else [])])))
    if is_exact(network):
        depths = some_blocks(network.depth, _EXACT_DEPTHS)
        known = [laws.exact_vni(first_blocks(network, depth)) for depth in depths]
        vni = np.interp(np.arange(1, network.depth + 1), depths, known)
        return t, np.append(vni, laws.exact_vni(network)) if network.readout else vni, None
    one = 1 / np.array(_widths(network))
    caveat = with_caveat(laws.approximate_vni, network, input_variance)[1]
    return t, one + (1 - one) * np.asarray(laws.universal_vni(t)), caveat


def is_exact(network: ResidualNetwork) -> bool:
    """Whether the mean VNI is known exactly: branches of a single Gaussian matrix, without normalization."""
    return (network.hidden, network.weights, network.normalization) == (None, "gaussian", "none")


def _widths(network: ResidualNetwork) -> list[int]:
    """Nodes of what is predicted: of the stream behind each block, and of the readout."""
    return [network.width] * network.depth + ([] if network.outputs is None else [network.outputs])


def _columns(network: ResidualNetwork, input_variance: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, str | None]:
    """Of each layer that is predicted q, χ and the mean squared gradient, that of the last being one.

    A readout, of σ = 1, has the stream's mean square as q, and χ = 1.

    Returns
    -------
    q, chi, gradient : ndarray
        The gradient with one number more, first, at the inputs.
    caveat : str or None
    """
    found = blocks_mean_field(network, input_variance=input_variance)
    q, chi = found.pre_activation, found.chi
    if network.readout is not None:
        with np.errstate(over="ignore"):
            q, chi = np.append(q, np.exp(found.log_stream[-1])), np.append(chi, 1.0)
    gradient, caveat = with_caveat(laws.gradient_growth, network, input_variance)
    # x_0 behind an embedding is no layer here.
    return q, chi, np.append(gradient[0], gradient[-len(q) :]), caveat
