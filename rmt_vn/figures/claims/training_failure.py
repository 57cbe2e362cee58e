"""The share of networks that fail to learn against depth, at a fixed learning rate and at the best of several."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import norm

from rmt_vn.experiments import Engine
from rmt_vn.figures.evidence import Evidence
from rmt_vn.figures.failure_statistics import half_point, trend_in_proportions, wilson_interval
from rmt_vn.figures.style import COLOURS, MARKERS, kind, marks, new_figure
from rmt_vn.figures.tables import Table, table
from rmt_vn.figures.xor_runs import adam_points, failed, setting_of, training_runs
from rmt_vn.network import WEIGHTS

CLAIM = (
    "Failure to train grows with depth, later with Haar than with Gaussian weights; but most networks that fail at "
    "one learning rate learn at a smaller one"
)

LAWS: tuple[str, ...] = ()

CAPTION = (
    "Share of tanh networks of width N and depth L that fail to learn continuous XOR by Adam, with 95% intervals, "
    "with Gaussian (filled, solid lines) and Haar weights (open, dotted lines). Left: at the learning rate 0.001. "
    "Right: at the best of several learning rates, chosen for each depth. Top: against depth. Bottom: against depth "
    "over width. Points are moved sideways a little, so that their bars can be told apart."
)

# The usual learning rate of Adam.
FIXED_RATE = 1e-3

PRESETS = {
    "quick": {
        "widths": [8, 16],
        "depths": [8, 32, 96],
        "learning_rates": [3e-4, 1e-3],
        "measure_at": [0, 100, 500],
        "replicas": 10,
    },
    "paper": {
        "widths": [8, 16, 32],
        "depths": [8, 16, 32, 64, 96, 128],
        "learning_rates": [1e-4, 3e-4, 1e-3],
        "measure_at": [0, 100, 250, 500, 1000, 2500],
        "replicas": 20,
    },
}


def compute(*, seed: int, engine: Engine, replicas: int, **grid) -> dict:
    points = adam_points(**grid)
    runs = training_runs(points, replicas=replicas, seed=seed, engine=engine, label="training_failure")
    rows = [
        (
            *setting_of(point),
            replicas,
            np.count_nonzero(failed(result["accuracy"][-1])),
            np.count_nonzero(result["diverged"]),
            np.nanmean(result["accuracy"][-1]),
        )
        for point, result in zip(points, runs, strict=True)
    ]
    names = ("weights", "width", "depth", "learning_rate", "runs", "failed", "diverged", "mean_accuracy")
    settings = table(names, rows)
    halves = [
        (weights, width, "best" if best else f"{FIXED_RATE:g}", *half_depth(settings, weights, width, best=best))
        for weights in WEIGHTS
        for width in grid["widths"]
        for best in (False, True)
    ]
    return {
        "settings": settings,
        "trends": table(("along", "weights", "learning_rate", "standard_score"), _trends(settings)),
        "half_depths": table(("weights", "width", "learning_rate", "half_depth", "log_stderr"), halves),
    }


def _trends(settings: Table) -> list[tuple]:
    """Standard scores of the trends of failure with depth at fixed widths, and with width at fixed depths."""
    widths = np.unique(settings["width"])
    rows = []
    for weights in WEIGHTS:
        for best in (False, True):
            strata = [counts(settings, weights, width, best=best) for width in widths.tolist()]
            depths, failures, runs = (np.array(each) for each in zip(*strata, strict=True))
            rate = "best" if best else f"{FIXED_RATE:g}"
            rows.append(("depth", weights, rate, trend_in_proportions(failures, runs, np.log(depths[0]))))
            rows.append(("width", weights, rate, trend_in_proportions(failures.T, runs.T, np.log(widths))))
    return rows


def counts(settings: Table, weights: str, width: int, *, best: bool) -> tuple[np.ndarray, ...]:
    """Depths, failures and runs for one width and kind of weights, at the fixed learning rate or at each depth's best.

    The best is chosen by the same runs that are counted, so that it looks a little better than it is.
    """
    at = (settings["weights"] == weights) & (settings["width"] == width)
    depths = np.unique(settings["depth"][at])
    rate = np.isclose(settings["learning_rate"], FIXED_RATE)
    chosen = [at & (settings["depth"] == depth) & (rate | best) for depth in depths]
    failures = np.array([settings["failed"][which].min() for which in chosen])
    return depths, failures, np.array([settings["runs"][which].max() for which in chosen])


def evidence(tables: dict) -> list[Evidence]:
    settings = tables["settings"]
    widths = np.unique(settings["width"]).tolist()
    rows = []
    total = {}
    for best, name in ((False, f"at the learning rate {FIXED_RATE:g}"), (True, "at the best learning rate")):
        strata = [counts(settings, weights, width, best=best) for weights in WEIGHTS for width in widths]
        depths, failures, runs = (np.array(each) for each in zip(*strata, strict=True))
        total[best] = failures.sum()
        score = trend_in_proportions(failures, runs, np.log(depths[0]))
        rows.append(
            Evidence(
                f"p-value of a trend of failure with depth {name}, widths and weights apart", norm.sf(score), high=1e-3
            )
        )
    rows.append(
        Evidence(
            f"failures at the learning rate {FIXED_RATE:g} over failures at the best one",
            total[False] / total[True],
            low=1.3,
        )
    )
    gains = []
    for width in widths:
        (gaussian, _), (haar, _) = (half_depth(settings, weights, width, best=True) for weights in WEIGHTS)
        gains.append(haar / gaussian)
    rows.append(
        Evidence(
            "smallest ratio of the depths at which half fail, Haar over Gaussian, at the best rate", min(gains), low=1.2
        )
    )
    return rows


def half_depth(settings: Table, weights: str, width: int, *, best: bool) -> tuple[float, float]:
    """Depth at which half of the runs fail, and the standard error of its logarithm.

    It is a lower bound if some runs still learn at the largest depth.
    """
    depths, failures, runs = counts(settings, weights, width, best=best)
    position, error = half_point(failures, runs, np.log(depths))
    return float(np.exp(position)), error


def draw(tables: dict) -> Figure:
    settings = tables["settings"]
    figure = new_figure(height=4.1)
    panels = figure.subplots(2, 2, sharey=True)
    for column, best in enumerate((False, True)):
        for index, width in enumerate(np.unique(settings["width"]).tolist()):
            for weights in WEIGHTS:
                depths, failures, runs = counts(settings, weights, width, best=best)
                low, high = wilson_interval(failures, runs)
                share = failures / runs
                shift = 1.04 ** (2 * index - 1 + (weights != "gaussian"))  # so that bars can be told apart
                for axes, x in ((panels[0, column], depths), (panels[1, column], depths / width)):
                    axes.errorbar(
                        x * shift,
                        share,
                        yerr=np.abs([share - low, high - share]),
                        marker=MARKERS[index],
                        color=COLOURS[index],
                        markerfacecolor=COLOURS[index] if weights == "gaussian" else "white",
                        linestyle="-" if weights == "gaussian" else ":",
                        linewidth=0.6,
                        elinewidth=0.8,
                        markeredgewidth=0.8,
                    )
        panels[0, column].set_title("best learning rate" if best else f"learning rate {FIXED_RATE:g}")
        panels[0, column].set(xlabel="depth $L$", xscale="log", ylim=(-0.04, 1.04))
        panels[1, column].set(xlabel="depth / width, $L/N$", xscale="log")
    for axes in panels[:, 0]:
        axes.set_ylabel("failure probability")
    handles = [
        *marks(f"$N = {width}$" for width in np.unique(settings["width"])),
        kind("Gaussian"),
        kind("Haar", filled=False, linestyle=":"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), columnspacing=1.0)
    return figure
