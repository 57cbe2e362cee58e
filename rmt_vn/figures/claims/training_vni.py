"""The VNI of the last hidden layer during training, for runs that learn and for runs that fail."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rmt_vn.experiments import Engine, run
from rmt_vn.figures.claims import training_failure
from rmt_vn.figures.evidence import STANDARD_ERRORS, Evidence
from rmt_vn.figures.style import COLOURS, MARKERS, kind, marks, new_figure
from rmt_vn.figures.tables import Table, table
from rmt_vn.figures.xor_runs import (
    adam_points,
    failed,
    mean_over_replicas,
    setting_of,
    training_runs,
    xor_layers,
    xor_network,
)
from rmt_vn.network import WEIGHTS

CLAIM = (
    "Training raises the VNI of networks that learn, at every depth and with both kinds of weights, and raises it "
    "less in networks that fail"
)

LAWS: tuple[str, ...] = ()

CAPTION = (
    "Tanh networks of width 16 and depth L, trained on continuous XOR by Adam at two learning rates (thin and thick "
    "lines). Top: VNI of the last hidden layer over the inputs, during training. Middle: VNI of the Jacobian from "
    "the first to the last hidden layer. Bottom: the same for every hidden layer of the deepest networks, before "
    "(grey crosses) and after training. Points are means over the runs of a setting that learned (filled, solid "
    "lines) and over those that failed (open, dotted lines), where there are at least two of them."
)

# Widths of lines: the smaller learning rate is thin, the larger one thick.
RATE_LINES = (0.5, 1.3)
# The colour of networks before training, whatever their depth.
BEFORE = "0.55"

# These are some of the runs of training_failure, which the cache keeps: they need not be trained twice.
PRESETS = {
    "quick": training_failure.PRESETS["quick"] | {"widths": [16]},
    "paper": {
        **training_failure.PRESETS["paper"],
        "widths": [16],
        "depths": [8, 32, 96],
        "learning_rates": [3e-4, 1e-3],
    },
}


def compute(*, seed: int, engine: Engine, replicas: int, **grid) -> dict:
    points = adam_points(**grid)
    results = training_runs(points, replicas=replicas, seed=seed, engine=engine, label="training_vni")
    rows = []
    for point, result in zip(points, results, strict=True):
        weights, _, depth, rate = setting_of(point)
        for outcome, which in _outcomes(result["accuracy"][-1]):
            columns = [
                each.tolist() for name in ("vni", "jacobian_vni") for each in mean_over_replicas(result[name][:, which])
            ]
            setting = (weights, depth, rate, outcome, np.count_nonzero(which))
            rows += [(*setting, step, *each) for step, *each in zip(grid["measure_at"], *columns, strict=True)]
    names = ("weights", "depth", "learning_rate", "outcome", "runs", "step")
    return {
        "means": table((*names, "vni", "vni_stderr", "jacobian_vni", "jacobian_vni_stderr"), rows),
        "layers": _layers(grid, replicas, seed, engine),
    }


def _layers(grid: dict, replicas: int, seed: int, engine: Engine) -> Table:
    """Jacobian VNI of every layer of the deepest networks, before and after training."""
    (width,), depth, steps = grid["widths"], grid["depths"][-1], grid["measure_at"][-1]
    settings = [(weights, rate) for weights in WEIGHTS for rate in grid["learning_rates"]]
    common = {"steps": steps, "replicas": tuple(range(replicas)), "seed": seed}
    tasks = [
        {"network": xor_network(width, depth, weights), "learning_rate": rate, **common} for weights, rate in settings
    ]
    rows = []
    for (weights, rate), result in zip(
        settings, run(xor_layers, tasks, engine=engine, label="training_vni"), strict=True
    ):
        for outcome, which in _outcomes(result["accuracy"]):
            for when, vni in zip(("start", "end"), result["jacobian_vni"][..., which], strict=True):
                columns = zip(*(each.tolist() for each in mean_over_replicas(vni)), strict=True)
                setting = (weights, depth, rate, outcome, when)
                rows += [(*setting, layer, *each) for layer, each in enumerate(columns, start=1)]
    names = ("weights", "depth", "learning_rate", "outcome", "when", "layer")
    return table((*names, "jacobian_vni", "stderr"), rows)


def _outcomes(accuracy: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The runs that learned, and those that failed but did not diverge; each only if there are two, as errors need."""
    lost = failed(accuracy)
    for outcome, which in (("learned", ~lost), ("failed", lost & np.isfinite(accuracy))):
        if np.count_nonzero(which) > 1:
            yield outcome, which


def rises(means: Table, outcome: str, weights: str) -> tuple[np.ndarray, np.ndarray]:
    """Rise of the Jacobian VNI from the first step to the last at each setting, and its standard error."""
    same = (means["outcome"] == outcome) & (means["weights"] == weights)
    start, end = (same & (means["step"] == step) for step in (means["step"].min(), means["step"].max()))
    error = np.hypot(means["jacobian_vni_stderr"][start], means["jacobian_vni_stderr"][end])
    return means["jacobian_vni"][end] - means["jacobian_vni"][start], error


def evidence(tables: dict) -> list[Evidence]:
    means = tables["means"]
    least, ahead = [], []
    for weights in WEIGHTS:
        learned, error = rises(means, "learned", weights)
        lost, _ = rises(means, "failed", weights)
        least.append(np.min(learned / error))
        ahead.append(learned.min() - lost.max())
    return [
        Evidence(
            "smallest rise of the Jacobian VNI of runs that learn, over depths, rates and weights, in standard errors",
            min(least),
            low=STANDARD_ERRORS,
        ),
        Evidence(
            "smallest rise of runs that learn minus largest rise of runs that fail, with the same weights",
            min(ahead),
            low=0.1,
        ),
    ]


def draw(tables: dict) -> Figure:
    means = tables["means"]
    figure = new_figure(height=5.9)
    panels = figure.subplots(3, 2, sharey=True)
    depths = np.unique(means["depth"]).tolist()
    for row, (name, label) in enumerate((("vni", "VNI over the inputs"), ("jacobian_vni", "Jacobian VNI"))):
        for axes, weights in zip(panels[row], WEIGHTS, strict=True):
            for index, depth in enumerate(depths):
                for outcome in ("learned", "failed"):
                    for rate, width in zip(np.unique(means["learning_rate"]).tolist(), RATE_LINES, strict=False):
                        at = (
                            (means["weights"] == weights)
                            & (means["depth"] == depth)
                            & (means["outcome"] == outcome)
                            & (means["learning_rate"] == rate)
                        )
                        axes.errorbar(
                            means["step"][at],
                            means[name][at],
                            yerr=2 * means[f"{name}_stderr"][at],
                            marker=MARKERS[index],
                            color=COLOURS[index],
                            markerfacecolor=COLOURS[index] if outcome == "learned" else "white",
                            linestyle="-" if outcome == "learned" else ":",
                            linewidth=width,
                            elinewidth=0.7,
                            markersize=3,
                            markeredgewidth=0.7,
                        )
            axes.set_xscale("symlog", linthresh=100, linscale=0.5)
            axes.set(xlim=(-15, 1.3 * means["step"].max()), ylim=(0, 1.03))
        panels[row, 0].set_ylabel(label)
    for axes, weights in zip(panels[0], ("Gaussian weights", "Haar weights"), strict=True):
        axes.set_title(weights)
    for axes in panels[1]:
        axes.set_xlabel("training step")
    for axes, weights in zip(panels[2], WEIGHTS, strict=True):
        _draw_layers(axes, tables["layers"], weights, len(depths) - 1)
    panels[2, 0].set_ylabel(f"Jacobian VNI, $L = {depths[-1]}$")
    rates = np.unique(means["learning_rate"]).tolist()
    handles = [
        *marks(f"$L = {depth}$" for depth in depths),
        Line2D([], [], color=BEFORE, marker="x", linestyle="none", label="before training"),
        kind("learned"),
        kind("failed", filled=False, linestyle=":"),
        *(
            Line2D([], [], color="0.4", linewidth=width, label=f"learning rate {rate:g}")
            for rate, width in zip(rates, RATE_LINES, strict=False)
        ),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=4, columnspacing=1.0)
    return figure


def _draw_layers(axes: Axes, layers: Table, weights: str, index: int) -> None:
    """Every layer before training, in grey, and after it, for runs that learned and runs that failed."""
    of = layers["weights"] == weights
    hidden = layers["layer"].max()
    for outcome in ("learned", "failed"):
        for rate, width in zip(np.unique(layers["learning_rate"]).tolist(), RATE_LINES, strict=False):
            for when in ("start", "end"):
                at = of & (layers["outcome"] == outcome) & (layers["when"] == when)
                at &= layers["learning_rate"] == rate
                axes.errorbar(
                    layers["layer"][at],
                    layers["jacobian_vni"][at],
                    yerr=2 * layers["stderr"][at],
                    marker="x" if when == "start" else MARKERS[index],
                    color=BEFORE if when == "start" else COLOURS[index],
                    markerfacecolor="white" if outcome == "failed" else None,
                    linestyle=":" if outcome == "failed" else "-",
                    linewidth=width,
                    elinewidth=0.7,
                    markersize=3,
                    markeredgewidth=0.7,
                    markevery=max(1, hidden // 8),
                    errorevery=max(1, hidden // 8),
                )
    axes.set(xlabel="layer", ylim=(0, 1.03))
