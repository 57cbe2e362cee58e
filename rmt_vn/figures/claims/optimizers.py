"""The share of networks that fail to learn, for four optimizers over their learning rates, at several depths."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from rmt_vn.experiments import Engine
from rmt_vn.experiments.sweeps import Point
from rmt_vn.figures.evidence import Evidence
from rmt_vn.figures.failure_statistics import wilson_interval
from rmt_vn.figures.style import COLOURS, MARKERS, new_figure
from rmt_vn.figures.tables import Table, table
from rmt_vn.figures.xor_runs import failed, training_runs, xor_network

CLAIM = "With every optimizer, the largest learning rate at which networks learn falls with their depth"

CAPTION = (
    "Share of tanh networks of depth L that fail to learn continuous XOR, with 95% intervals, against the learning "
    "rate, for four optimizers. Lines join the points of one depth, which are moved sideways a little, so that "
    "their bars can be told apart."
)

LAWS: tuple[str, ...] = ()

_PAPER_RATES = {
    "sgd": [0.001, 0.003, 0.01, 0.03, 0.1],
    "momentum": [1e-4, 3e-4, 0.001, 0.003, 0.01],
    "rmsprop": [3e-5, 1e-4, 3e-4, 1e-3],
    "adam": [3e-5, 1e-4, 3e-4, 1e-3, 3e-3],
}

PRESETS = {
    "quick": {
        "width": 8,
        "depths": [8, 96],
        "learning_rates": {
            "sgd": [0.03, 0.1],
            "momentum": [0.003, 0.01],
            "rmsprop": [3e-4, 1e-3],
            "adam": [3e-4, 1e-3],
        },
        "steps": 500,
        "replicas": 10,
    },
    "paper": {"width": 16, "depths": [8, 32, 96], "learning_rates": _PAPER_RATES, "steps": 2500, "replicas": 20},
}


def compute(
    *,
    seed: int,
    engine: Engine,
    width: int,
    depths: list[int],
    learning_rates: dict[str, list[float]],
    steps: int,
    replicas: int,
) -> dict:
    points: list[Point] = [
        {
            "network": xor_network(width, depth, "gaussian"),
            "optimizer": optimizer,
            "learning_rate": rate,
            "measure_at": (0, steps),
        }
        for optimizer, rates in learning_rates.items()
        for rate in rates
        for depth in depths
    ]
    results = training_runs(points, replicas=replicas, seed=seed, engine=engine, label="optimizers")
    rows = [
        (
            point["optimizer"],
            point["network"].depth,
            point["learning_rate"],
            replicas,
            np.count_nonzero(failed(result["accuracy"][-1])),
            np.count_nonzero(result["diverged"]),
            np.nanmean(result["jacobian_vni"][0]),
            np.nanmedian(result["gradient"][-1]),
        )
        for point, result in zip(points, results, strict=True)
    ]
    names = ("optimizer", "depth", "learning_rate", "runs", "failed", "diverged")
    return {"settings": table((*names, "initial_jacobian_vni", "final_gradient"), rows)}


def largest_rate(settings: Table, optimizer: str, depth: int) -> float:
    """The largest of the learning rates at which no more than half of the runs fail; 0 if there is none."""
    at = (settings["optimizer"] == optimizer) & (settings["depth"] == depth)
    return float(settings["learning_rate"][at & (2 * settings["failed"] <= settings["runs"])].max(initial=0.0))


def evidence(tables: dict) -> list[Evidence]:
    settings = tables["settings"]
    rows = []
    for optimizer in dict.fromkeys(settings["optimizer"].tolist()):
        shallow, deep = (
            largest_rate(settings, optimizer, depth) for depth in (settings["depth"].min(), settings["depth"].max())
        )
        says = f"{optimizer}: largest rate at which no more than half fail, of the deepest networks over the shallowest"
        rows.append(Evidence(says, deep / shallow if shallow else np.nan, high=0.5))
    return rows


def draw(tables: dict) -> Figure:
    settings = tables["settings"]
    figure = new_figure(height=3.6)
    panels = figure.subplots(2, 2, sharey=True)
    titles = {"sgd": "SGD", "momentum": "SGD with momentum", "rmsprop": "RMSProp", "adam": "Adam"}
    for axes, optimizer in zip(panels.flat, dict.fromkeys(settings["optimizer"].tolist()), strict=True):
        for index, depth in enumerate(np.unique(settings["depth"]).tolist()):
            at = (settings["optimizer"] == optimizer) & (settings["depth"] == depth)
            share = settings["failed"][at] / settings["runs"][at]
            low, high = wilson_interval(settings["failed"][at], settings["runs"][at])
            axes.errorbar(
                settings["learning_rate"][at] * 1.05 ** (index - 1),
                share,
                yerr=np.abs([share - low, high - share]),
                marker=MARKERS[index],
                color=COLOURS[index],
                linewidth=0.6,
                elinewidth=0.8,
                label=f"$L = {depth}$",
            )
        axes.set(xscale="log", ylim=(-0.04, 1.04))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_title(titles[optimizer])
    for axes in panels[1]:
        axes.set_xlabel("learning rate")
    for axes in panels[:, 0]:
        axes.set_ylabel("failure probability")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(handles))
    return figure
