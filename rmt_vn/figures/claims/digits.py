"""Handwritten digits: the VNI of every layer before and after training, and the accuracy that is reached."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from rmt_vn.experiments import Engine, run
from rmt_vn.figures.digits_runs import digits_run
from rmt_vn.figures.evidence import Evidence
from rmt_vn.figures.style import COLOURS, MARKERS, kind, marks, new_figure
from rmt_vn.figures.tables import table
from rmt_vn.figures.xor_runs import mean_over_replicas
from rmt_vn.network import WEIGHTS, Network

CLAIM = (
    "On real digits too nodes vanish with depth, sooner with Gaussian than with Haar weights; training lowers the "
    "VNI of deep Gaussian networks and raises that of Haar networks"
)

CAPTION = (
    "VNI of the hidden layers of tanh networks of width 32 and depth L over handwritten digits, before training "
    "(open, dotted lines) and after it (filled, solid lines), with Gaussian (left) and Haar weights (right). Points "
    "are means over networks. The legends give the mean accuracy on new digits, after training."
)

LAWS: tuple[str, ...] = ()

PRESETS = {
    "quick": {"width": 32, "depths": [4, 24], "learning_rate": 1e-3, "steps": 300, "replicas": 4},
    "paper": {"width": 32, "depths": [4, 16, 64], "learning_rate": 3e-4, "steps": 3000, "replicas": 10},
}


def compute(
    *, seed: int, engine: Engine, width: int, depths: list[int], learning_rate: float, steps: int, replicas: int
) -> dict:
    networks = [
        Network((64, *[width] * (depth - 1), 10), activation="tanh", weights=weights)
        for weights in WEIGHTS
        for depth in depths
    ]
    common = {"learning_rate": learning_rate, "steps": steps, "replicas": replicas, "seed": seed}
    results = run(digits_run, [{"network": network, **common} for network in networks], engine=engine, label="digits")
    layers, accuracies = [], []
    for network, result in zip(networks, results, strict=True):
        setting = (network.weights, network.depth)
        for when, name in enumerate(("start", "end")):
            vni, error = mean_over_replicas(result["vni"][when])
            layers += [
                (*setting, name, layer, *each) for layer, each in enumerate(zip(vni, error, strict=True), start=1)
            ]
        accuracies.append((*setting, replicas, *(float(each) for each in mean_over_replicas(result["accuracy"][-1]))))
    return {
        "layers": table(("weights", "depth", "when", "layer", "vni", "stderr"), layers),
        "accuracy": table(("weights", "depth", "runs", "accuracy", "stderr"), accuracies),
    }


def evidence(tables: dict) -> list[Evidence]:
    layers, accuracy = tables["layers"], tables["accuracy"]
    deep = layers["depth"] == layers["depth"].max()
    gaussian, haar = (layers["weights"] == weights for weights in WEIGHTS)
    start, end = (layers["when"] == when for when in ("start", "end"))
    last = layers["layer"] == layers["depth"] - 1
    first = layers["layer"] == 1
    vni = layers["vni"]
    return [
        Evidence(
            "VNI of the last hidden layer over that of the first, before training, deepest Gaussian networks",
            float((vni[deep & gaussian & start & last] / vni[deep & gaussian & start & first])[0]),
            low=1.5,
        ),
        Evidence(
            "VNI of the last hidden layer of the deepest networks before training, Gaussian over Haar",
            float((vni[deep & gaussian & start & last] / vni[deep & haar & start & last])[0]),
            low=1.2,
        ),
        Evidence(
            "VNI of the last hidden layer after training over that before, deepest Gaussian networks",
            float((vni[deep & gaussian & end & last] / vni[deep & gaussian & start & last])[0]),
            high=0.9,
        ),
        Evidence(
            "VNI of the last hidden layer after training over that before, deepest Haar networks",
            float((vni[deep & haar & end & last] / vni[deep & haar & start & last])[0]),
            low=1.3,
        ),
        Evidence(
            "mean accuracy of the shallowest networks on new digits, with the worse kind of weights",
            accuracy["accuracy"][accuracy["depth"] == accuracy["depth"].min()].min(),
            low=0.8,
        ),
    ]


def draw(tables: dict) -> Figure:
    layers, accuracy = tables["layers"], tables["accuracy"]
    figure = new_figure(height=2.7)
    panels = figure.subplots(1, 2, sharey=True)
    depths = np.unique(layers["depth"]).tolist()
    for axes, weights, title in zip(panels, WEIGHTS, ("Gaussian weights", "Haar weights"), strict=True):
        for index, depth in enumerate(depths):
            for when in ("start", "end"):
                at = (layers["weights"] == weights) & (layers["depth"] == depth) & (layers["when"] == when)
                axes.errorbar(
                    layers["layer"][at] / (depth - 1),
                    layers["vni"][at],
                    yerr=2 * layers["stderr"][at],
                    color=COLOURS[index],
                    marker=MARKERS[index],
                    markevery=max(1, depth // 8),
                    errorevery=max(1, depth // 8),
                    markerfacecolor="white" if when == "start" else COLOURS[index],
                    linestyle=":" if when == "start" else "-",
                    linewidth=0.8,
                    elinewidth=0.8,
                    markeredgewidth=0.8,
                )
        right = accuracy["accuracy"][accuracy["weights"] == weights].tolist()
        told = [f"$L = {depth}$: {100 * each:.0f}%" for depth, each in zip(depths, right, strict=True)]
        axes.legend(handles=marks(told), loc="upper left", title="accuracy on new digits", title_fontsize=6.5)
        axes.set_title(title)
        axes.set(xlabel="layer / hidden layers", ylim=(0, 1.02), xlim=(0, 1.05))
    panels[0].set_ylabel("VNI over digits")
    handles = [kind("before training", filled=False, linestyle=":"), kind("after training")]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return figure
