"""S4 on samples: mean squared correlations of all networks against their effective depth."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rmt_vn import laws, measures
from rmt_vn.experiments import along_depth, monte_carlo
from rmt_vn.figures.style import COLOURS, MARKERS, new_figure, points
from rmt_vn.figures.tables import table
from rmt_vn.network import Network
from rmt_vn.samplers import JacobianLayer

CLAIM = "One curve for all networks: the VNI depends on the effective depth t alone"

SIGMA_W = {"linear": 1.0, "relu": 2**0.5, "tanh": 1.5, "hard_tanh": 1.5, "sin": 1.3}

PRESETS = {
    "quick": {"width": 64, "depths": [2, 5, 12, 30, 75, 190], "n_samples": 16, "replicates": 6},
    "paper": {"width": 100, "depths": [2, 5, 12, 30, 75, 190, 480, 1200], "n_samples": 20, "replicates": 8},
}


def compute(*, seed: int, jobs: int | None, width: int, depths: list[int], n_samples: int, replicates: int) -> dict:
    networks = [
        Network.uniform(width, depths[-1], activation=activation, weights=weights, sigma_w=sigma_w)
        for activation, sigma_w in SIGMA_W.items()
        for weights in ("gaussian", "orthogonal")
        if (activation, weights) != ("linear", "orthogonal")  # which has t = 0 at any depth
    ]
    estimates = monte_carlo(
        partial(along_depth, measure=mean_square_correlation),
        [{"network": network, "depths": tuple(depths), "n_samples": n_samples} for network in networks],
        replicates=replicates,
        seed=seed,
        jobs=jobs,
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
    """(VNI − 1/N)/(1 − 1/N) of the pre-activations: the mean of ρ² over pairs of different nodes."""
    n = layer.rows.shape[-2]
    return (n * measures.jacobian_vni(layer.rows) - 1) / (n - 1)


def _effective_depth(network: Network, depth: int) -> float:
    return laws.effective_depth(replace(network, widths=network.widths[: depth + 1]))


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
        Line2D([], [], color="0.35", linestyle="--", label="$t$, S1"),
    ]
    handles += [
        Line2D(
            [], [], color=COLOURS[index], marker=MARKERS[index], linestyle="none", label=activation.replace("_", " ")
        )
        for index, activation in enumerate(SIGMA_W)
    ]
    handles += [
        Line2D([], [], color="0.5", marker="o", linestyle="none", label="filled: Gaussian"),
        Line2D([], [], color="0.5", marker="o", markerfacecolor="white", linestyle="none", label="open: Haar"),
    ]
    axes.legend(handles=handles, loc="upper left")
    axes.set(
        xlabel="effective depth $t$",
        ylabel="mean squared correlation of nodes\n$(\\mathrm{VNI} - 1/N)/(1 - 1/N)$",
        xlim=(0.008, 30),
        ylim=(0, 1.02),
    )
    return figure
