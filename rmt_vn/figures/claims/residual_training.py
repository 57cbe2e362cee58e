"""Which deep networks learn: plain ones, residual ones that keep their nodes, and residual ones that do not."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
from matplotlib.figure import Figure

from rmt_vn.experiments import Engine
from rmt_vn.experiments.sweeps import Point
from rmt_vn.figures.evidence import Evidence
from rmt_vn.figures.failure_statistics import wilson_interval
from rmt_vn.figures.style import COLOURS, MARKERS, new_figure
from rmt_vn.figures.tables import Table, table
from rmt_vn.figures.xor_runs import failed, training_runs
from rmt_vn.network import Network, ResidualNetwork

CLAIM = (
    "Residual networks that keep their nodes learn at any depth and learning rate shown, and plain ones that keep them "
    "at small rates; most residual networks with a VNI above 0.99 fail as plain ones do, although their gradients are "
    "larger"
)

CAPTION = (
    "Share of networks of width N with L weight matrices that fail to learn continuous XOR by Adam, at "
    "the best of several learning rates, with 95% intervals. Left: against L; points are moved sideways a little, so "
    "that their bars can be told apart. Right: against the VNI of the Jacobian over the hidden layers, before "
    "training, the median over networks that have one. Filled markers and solid lines: plain networks, with Gaussian "
    "weights unless Haar is said. Open markers and dotted lines: residual tanh networks, with two matrices in a block. "
    "Without LayerNorm their branches have the variance 1/blocks; with pre-LN β is 1; with post-LN it is 1, or it is "
    "8, which leaves little of the skip connection."
)

LAWS: tuple[str, ...] = ()

# A VNI before training above which nodes have vanished, and one below which they are kept. Between them is no verdict:
# post-LN with β = 1, N = 8 and L = 128 begins at 0.95, and ten of ten networks learned.
VANISHED, KEPT = 0.99, 0.6


def plain(activation: str, sigma_w: float = 1.0, sigma_b: float = 0.0, **kind) -> Callable[[int, int], Network]:
    return lambda width, depth: Network(
        (2, *[width] * (depth - 1), 1), activation=activation, sigma_w=sigma_w, sigma_b=sigma_b, **kind
    )


def residual(**kind) -> Callable[[int, int], ResidualNetwork]:
    """Blocks of two matrices, and as many of them that with embedding and readout there are `depth` matrices."""
    return lambda width, depth: ResidualNetwork(
        width, depth // 2 - 1, width, activation="tanh", inputs=2, outputs=1, **kind
    )


# All at scales where gradients neither grow nor vanish exponentially. Those of GELU are of Roberts, Yaida and Hanin
# (2022), "The principles of deep learning theory", section 5.3.4. Post-LN with a small σ_1 is nearly linear, and its
# large β leaves little of the skip connection.
KINDS: dict[str, Callable[[int, int], Network | ResidualNetwork]] = {
    "plain tanh": plain("tanh"),
    "Haar tanh": plain("tanh", weights="orthogonal"),
    "plain ReLU": plain("relu", 2**0.5),
    "plain hard tanh": plain("hard_tanh"),
    "plain GELU": plain("gelu", 1.98305826**0.5, 0.17292239**0.5),
    "residual": residual(branch_scale="1/sqrt(L)"),
    "pre-LN": residual(normalization="pre"),
    "post-LN, β = 1": residual(normalization="post"),
    "post-LN, β = 8": residual(sigma_w=(0.5, 1), branch_scale=8, normalization="post"),
}


PRESETS = {
    "quick": {
        "kinds": ["plain tanh", "Haar tanh", "residual", "post-LN, β = 8"],
        "widths": [8],
        "depths": [16, 64],
        "learning_rates": [1e-3],
        "steps": 500,
        "replicas": 10,
    },
    "paper": {
        "kinds": list(KINDS),
        "widths": [8],
        "depths": [16, 64, 128],
        "learning_rates": [1e-4, 3e-4, 1e-3, 3e-3],
        "steps": 2500,
        "replicas": 10,
    },
}


def point_of(kind: str, width: int, depth: int, learning_rate: float, steps: int) -> Point:
    network = KINDS[kind](width, depth)
    return {"network": network, "optimizer": "adam", "learning_rate": learning_rate, "measure_at": (0, steps)}


def compute(
    *,
    seed: int,
    engine: Engine,
    kinds: list[str],
    widths: list[int],
    depths: list[int],
    learning_rates: list[float],
    steps: int,
    replicas: int,
) -> dict:
    grid = list(product(kinds, widths, depths, learning_rates))
    points = [point_of(*setting, steps) for setting in grid]
    runs = training_runs(points, replicas=replicas, seed=seed, engine=engine, label="residual_training")
    rows = [
        (
            *setting,
            replicas,
            np.count_nonzero(failed(result["accuracy"][-1])),
            np.count_nonzero(result["diverged"]),
            np.nan_to_num(result["accuracy"][-1], nan=0.5).mean(),
            # Before training; replicas begin alike at every rate.
            np.count_nonzero(~np.isfinite(result["jacobian_vni"][0])),
            *(median(result[name][0]) for name in ("jacobian_vni", "vni", "gradient")),
        )
        for setting, result in zip(grid, runs, strict=True)
    ]
    columns = ("kind", "width", "depth", "learning_rate", "runs", "failed", "diverged", "mean_accuracy", "dead")
    settings = table((*columns, "jacobian_vni", "vni", "gradient"), rows)
    return {"settings": settings, "best": at_best_rate(settings)}


def median(values: np.ndarray) -> float:
    """Of those networks that are not dead at a sample: narrow and deep ReLU networks often are, and have no VNI."""
    alive = values[np.isfinite(values)]
    return float(np.median(alive)) if alive.size else np.nan


def at_best_rate(settings: Table) -> Table:
    """The rows with the fewest failures of each kind, width and depth; of equal ones that of the best mean accuracy.

    The best is chosen by the same runs that are counted, so that it looks a little better than it is.
    """
    keys = list(zip(*(settings[name].tolist() for name in ("kind", "width", "depth")), strict=True))
    # Best last, since of equal keys a dict keeps the last value.
    order = np.lexsort((settings["mean_accuracy"], -settings["failed"]))
    best = {keys[row]: row for row in order.tolist()}
    chosen = [best[key] for key in dict.fromkeys(keys)]
    return {name: column[chosen] for name, column in settings.items()}


def evidence(tables: dict) -> list[Evidence]:
    settings, best = tables["settings"], tables["best"]
    vanished, kept = best["jacobian_vni"] > VANISHED, best["jacobian_vni"] < KEPT
    deepest, residual = best["depth"] == best["depth"].max(), ~is_plain(best)
    everywhere = (settings["depth"] == settings["depth"].max()) & (settings["jacobian_vni"] < KEPT)
    gradients = [np.median(best["gradient"][deepest & at]) for at in (vanished & residual, kept)]
    begin = f"networks that begin with a VNI below {KEPT:g}"
    return [
        Evidence(
            f"share that fails, at any learning rate, of the deepest residual {begin}",
            share(settings, everywhere & ~is_plain(settings)),
            high=0.1,
        ),
        Evidence(
            f"share that fails, at any learning rate, of the deepest plain {begin}",
            share(settings, everywhere & is_plain(settings)),
            low=0.2,
        ),
        Evidence(
            f"share that fails, at the best rate, of the deepest plain {begin}",
            share(best, deepest & kept & ~residual),
            high=0.5,
        ),
        Evidence(
            f"share that fails, at the best rate, of the deepest residual networks with a VNI above {VANISHED:g}",
            share(best, deepest & vanished & residual),
            low=0.5,
        ),
        Evidence(
            "median gradient before training of these networks, over that of the deepest that keep their nodes",
            gradients[0] / gradients[1],
            low=1.0,
        ),
        Evidence(
            "share that fails, at the best rate, of the shallowest networks",
            share(best, best["depth"] == best["depth"].min()),
            high=0.25,
        ),
    ]


def share(rows: Table, at: np.ndarray) -> float:
    """Of the runs of those rows, the share that failed."""
    return rows["failed"][at].sum() / rows["runs"][at].sum()


def is_plain(rows: Table) -> np.ndarray:
    """Which rows are of networks without skip connections."""
    return np.array([isinstance(KINDS[kind](8, 8), Network) for kind in rows["kind"].tolist()])


def draw(tables: dict) -> Figure:
    best = tables["best"]
    widths = np.unique(best["width"]).tolist()
    figure = new_figure(height=1.6 + 1.5 * len(widths))
    panels = figure.subplots(len(widths), 2, sharey=True, sharex="col", squeeze=False)
    kinds = list(dict.fromkeys(best["kind"].tolist()))
    for row, width in zip(panels, widths, strict=True):
        for index, kind in enumerate(kinds):
            at = (best["width"] == width) & (best["kind"] == kind)
            # There are more kinds than colours: those of residual networks have open markers.
            filled = is_plain(best)[at].all()
            shares = best["failed"][at] / best["runs"][at]
            low, high = wilson_interval(best["failed"][at], best["runs"][at])
            colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
            for axes, x in ((row[0], best["depth"][at] * 1.03 ** (index - 3)), (row[1], best["jacobian_vni"][at])):
                axes.errorbar(
                    x,
                    shares,
                    yerr=np.abs([shares - low, high - shares]),
                    color=colour,
                    marker=marker,
                    markerfacecolor=colour if filled else "white",
                    linestyle=("-" if filled else ":") if axes is row[0] else "none",
                    linewidth=0.6,
                    elinewidth=0.6,
                    markeredgewidth=0.8,
                    label=kind,
                )
        row[0].set(ylabel=f"failure probability, $N = {width}$", xscale="log", ylim=(-0.04, 1.04))
        depths = np.unique(best["depth"]).tolist()
        row[0].set_xticks(depths, [str(depth) for depth in depths])
        row[0].set_xticks([], minor=True)
    panels[-1, 0].set_xlabel("matrices $L$")
    panels[-1, 1].set_xlabel("Jacobian VNI before training")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, columnspacing=1.0)
    return figure
