"""S4: mean squared correlations of nodes in nine kinds of network, against the effective depth."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rmt_vn import laws, measures
from rmt_vn.experiments import Engine, monte_carlo
from rmt_vn.figures.evidence import STANDARD_ERRORS, Evidence, largest_deviation
from rmt_vn.figures.style import marks, new_figure, points
from rmt_vn.figures.tables import table
from rmt_vn.network import Network
from rmt_vn.samplers import JacobianLayer, sample_along_depth

CLAIM = "Nine kinds of network lie on one curve: their VNI depends on the effective depth t alone"

CAPTION = (
    "Mean squared correlation of two different nodes of a layer against the effective depth t. Points are random "
    "networks with five activations, Gaussian (filled) or Haar weights (open) and many depths. The solid line is the "
    "law of wide layers, R(t) (S4); the dashed line is the first-order law (S1), its tangent at t = 0."
)

LAWS: tuple[str, ...] = ("effective_depth", "universal_vni")

SIGMA_W = {"linear": 1.0, "relu": 2**0.5, "tanh": 1.5, "hard_tanh": 1.5, "sin": 1.3}

PRESETS = {
    "quick": {"width": 64, "depths": [2, 5, 12, 30, 75, 190], "n_networks": 8, "replicates": 6},
    "paper": {"width": 100, "depths": [2, 5, 12, 30, 75, 190, 480, 1200], "n_networks": 20, "replicates": 8},
}


def compute(*, seed: int, engine: Engine, width: int, depths: list[int], n_networks: int, replicates: int) -> dict:
    networks = [
        Network.uniform(width, depths[-1], activation=activation, weights=weights, sigma_w=sigma_w)
        for activation, sigma_w in SIGMA_W.items()
        for weights in ("gaussian", "orthogonal")
        if (activation, weights) != ("linear", "orthogonal")  # which has t = 0 at any depth
    ]
    estimates = monte_carlo(
        partial(sample_along_depth, measure=mean_square_correlation),
        [{"network": network, "depths": tuple(depths), "n_networks": n_networks} for network in networks],
        replicates=replicates,
        seed=seed,
        engine=engine,
        label="scaling_collapse",
    )
    rows = [
        (network.activation.name, network.weights, width, depth, _effective_depth(network, depth), mean, stderr)
        for network, estimate in zip(networks, estimates, strict=True)
        for depth, mean, stderr in zip(depths, estimate.mean, estimate.stderr, strict=True)
    ]
    names = ("activation", "weights", "width", "depth", "t", "mean_square_correlation", "stderr")
    t = np.geomspace(0.008, 30, 200)
    return {
        "samples": table(names, rows),
        "theory": {"t": t, "universal": laws.universal_vni(t), "first_order": t},
    }


def mean_square_correlation(layer: JacobianLayer) -> np.ndarray:
    """(VNI − 1/N)/(1 − 1/N) of the pre-activations, which is the mean of ρ² over pairs of different nodes."""
    n = layer.rows.shape[-2]
    return (n * measures.jacobian_vni(layer.rows) - 1) / (n - 1)


def _effective_depth(network: Network, depth: int) -> float:
    return laws.effective_depth(replace(network, widths=network.widths[: depth + 1]))


def evidence(tables: dict) -> list[Evidence]:
    samples = tables["samples"]
    t, mean_square, stderr = samples["t"], samples["mean_square_correlation"], samples["stderr"]
    universal = laws.universal_vni(t)
    # S4 is the limit N → ∞. At finite N, S3 says what is missing where nodes are on or off, with the same μ_2/μ_1²: all
    # of it for ReLU and hard-tanh, too much where φ′ takes all values. So samples lie between: half of it, give or take
    # a half.
    columns = (samples[name].tolist() for name in ("weights", "width", "depth", "t"))
    half = (np.array([_with_masks(*row) for row in zip(*columns, strict=True)]) - universal) / 2
    # The collapse is sharp: on a curve 20% off in t, the same points would not lie.
    middle = (t > 0.1) & (t < 1)
    off = np.abs(mean_square - laws.universal_vni(1.2 * t) - half) > STANDARD_ERRORS * stderr + np.abs(half)
    return [
        Evidence(
            "largest deviation of a sample from R(t) (S4) with its correction for finite width, in standard errors",
            largest_deviation(mean_square, universal + half, stderr, np.abs(half)),
            high=STANDARD_ERRORS,
        ),
        Evidence(
            "share of the samples between t = 0.1 and 1 that a curve 20% off in t would miss",
            np.mean(off[middle]),
            low=0.3,
        ),
    ]


def _with_masks(weights: str, width: int, depth: int, t: float) -> float:
    """The exact mean of ρ² (S3) in a linear network of the same effective depth, with nodes dropped at random."""
    slope_ratio = (t * width - 1) / (depth - 1) if weights == "gaussian" else 1 + t * width / (depth - 1)
    masked = Network.uniform(width, depth, activation="linear", weights=weights, keep=min(1.0, 1 / slope_ratio))
    # One layer of Haar weights alone correlates no nodes: its VNI is the mean of 1/k over the k nodes that are on.
    alone = laws.exact_vni(replace(masked, widths=masked.widths[:2], weights="orthogonal"))
    return (laws.exact_vni(masked) - alone) / (1 - alone)


def draw(tables: dict) -> Figure:
    figure = new_figure(height=2.7)
    axes = figure.subplots()
    theory, samples = tables["theory"], tables["samples"]
    axes.semilogx(theory["t"], theory["universal"], color="0.35", zorder=1)
    below = theory["first_order"] < 1
    axes.semilogx(theory["t"][below], theory["first_order"][below], color="0.35", linestyle="--", zorder=1)
    for index, activation in enumerate(SIGMA_W):
        for weights in ("gaussian", "orthogonal"):
            at = (samples["activation"] == activation) & (samples["weights"] == weights)
            if at.any():
                points(
                    axes,
                    samples["t"][at],
                    samples["mean_square_correlation"][at],
                    samples["stderr"][at],
                    index,
                    filled=weights == "gaussian",
                )
    handles = [
        Line2D([], [], color="0.35", label="$R(t)$, S4"),
        Line2D([], [], color="0.35", linestyle="--", label="first order, $t$, S1"),
    ]
    handles += marks({"relu": "ReLU", "hard_tanh": "hard tanh"}.get(name, name) for name in SIGMA_W)
    handles += [
        Line2D([], [], color="0.5", marker="o", linestyle="none", label="filled: Gaussian weights"),
        Line2D([], [], color="0.5", marker="o", markerfacecolor="white", linestyle="none", label="open: Haar weights"),
    ]
    axes.legend(handles=handles, loc="upper left")
    axes.set(
        xlabel="effective depth $t$",
        ylabel="mean squared correlation of nodes\n$(\\mathrm{VNI} - 1/N)/(1 - 1/N)$",
        xlim=(0.008, 30),
        ylim=(0, 1.02),
    )
    return figure
