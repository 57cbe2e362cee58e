"""Which deep networks learn: plain ones, residual ones that keep their nodes, and residual ones that do not."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import norm

from rmt_vn.experiments import Engine
from rmt_vn.experiments.sweeps import Point
from rmt_vn.figures.evidence import Evidence
from rmt_vn.figures.failure_statistics import trend_in_proportions, wilson_interval
from rmt_vn.figures.style import COLOURS, MARKERS, new_figure
from rmt_vn.figures.style import kind as entry
from rmt_vn.figures.tables import Table, table
from rmt_vn.figures.xor_runs import failed, training_runs
from rmt_vn.network import Network, ResidualNetwork

CLAIM = (
    "At the best rate networks that fail to learn begin with a VNI near one, plain ones and also post-LN ones that "
    "differ in β alone and have no smaller gradients; residual networks that keep their nodes learn at nearly any "
    "rate, but without skip connections kept nodes are not enough: deep Haar networks learn at small rates only"
)

CAPTION = (
    "Share of networks of width N with L weight matrices that fail to learn continuous XOR by Adam, with 95% "
    "intervals. Above, N the smallest: at the best of several learning rates, plain networks (left; Gaussian weights "
    "unless Haar is said) and residual tanh networks with two matrices in a block (right). Below: against 1 − VNI of "
    "the Jacobian over the hidden layers before training, the median over networks that have one. Left: post-LN at one "
    "depth, where lines join networks that differ in β alone, which grows to the right; of the larger N (open, dotted) "
    "there are two β. Right: all networks, at the best rate; a 1 − VNI of less than 10⁻⁶ is drawn there. Points are "
    "moved sideways a little, so that their bars can be told apart."
)

LAWS: tuple[str, ...] = ()

# A VNI before training above which nodes have vanished, and one below which they are kept. Between them is no verdict.
VANISHED, KEPT = 0.9, 0.6
# A smaller 1 − VNI is drawn here.
SHOWN_FROM = 1e-6


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
# (2022), "The principles of deep learning theory", section 5.3.4.
PLAIN: dict[str, Callable[[int, int], Network]] = {
    "plain tanh": plain("tanh"),
    "Haar tanh": plain("tanh", weights="orthogonal"),
    "plain ReLU": plain("relu", 2**0.5),
    "plain hard tanh": plain("hard_tanh"),
    "plain GELU": plain("gelu", 1.98305826**0.5, 0.17292239**0.5),
}
# Post-LN that differs in β alone. With σ_1 = ½ tanh is nearly linear, so that gradients keep nearly the same size,
# whatever β is, while what a block adds to t grows with β from 0 to what two layers of a plain network add.
POST: dict[str, Callable[[int, int], ResidualNetwork]] = {
    f"post-LN (β = {beta:g})": residual(sigma_w=(0.5, 1), branch_scale=beta, normalization="post")
    for beta in (0.25, 0.5, 1, 2, 4, 8)
}
LEAST, *_, MOST = POST
SKIPPING = {
    "residual (β = 1/√L)": residual(branch_scale="1/sqrt(L)"),
    "pre-LN (β = 1)": residual(normalization="pre"),
    **POST,
}
KINDS: dict[str, Callable[[int, int], Network | ResidualNetwork]] = {**PLAIN, **SKIPPING}

MAIN = [*PLAIN, "residual (β = 1/√L)", "pre-LN (β = 1)", LEAST, MOST]
# Each grid: all of its kinds at all of its widths and depths. In the last grid of the paper post-LN with the largest β
# begins with the VNI that a narrower one has with β = 1.
PRESETS = {
    "quick": {
        "grids": [
            {"kinds": ["plain tanh", "Haar tanh", "residual (β = 1/√L)"], "widths": [8], "depths": [8, 48]},
            {"kinds": [LEAST, MOST], "widths": [8], "depths": [48]},
        ],
        "learning_rates": [3e-3],
        "steps": 150,
        "replicas": 10,
    },
    "paper": {
        "grids": [
            {"kinds": MAIN, "widths": [8], "depths": [16, 64, 128]},
            {"kinds": [kind for kind in POST if kind not in MAIN], "widths": [8], "depths": [128]},
            {"kinds": ["plain tanh", "Haar tanh", "residual (β = 1/√L)"], "widths": [8], "depths": [256]},
            {
                "kinds": ["plain tanh", "residual (β = 1/√L)", "post-LN (β = 1)", MOST],
                "widths": [32],
                "depths": [128],
            },
        ],
        "learning_rates": [3e-5, 1e-4, 3e-4, 1e-3],
        "steps": 2500,
        "replicas": 10,
    },
}


def point_of(kind: str, width: int, depth: int, learning_rate: float, steps: int) -> Point:
    network = KINDS[kind](width, depth)
    return {"network": network, "optimizer": "adam", "learning_rate": learning_rate, "measure_at": (0, steps)}


def compute(
    *, seed: int, engine: Engine, grids: list[dict], learning_rates: list[float], steps: int, replicas: int
) -> dict:
    grid = [
        setting for each in grids for setting in product(each["kinds"], each["widths"], each["depths"], learning_rates)
    ]
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
    kept, plain = settings["jacobian_vni"] < KEPT, is_plain(settings)
    # Shallow residual networks have so small branches that at small rates they do not get far.
    deep = settings["depth"] > settings["depth"].min()
    deepest = settings["depth"] == settings["depth"][plain & kept].max()
    fastest = settings["learning_rate"] == settings["learning_rate"].max()
    vanished = best["jacobian_vni"] > VANISHED
    beta, cross = post_norm(best)
    begin = f"begin with a VNI below {KEPT:g}"
    return [
        Evidence(
            f"share that fails, at any learning rate, of residual networks, the shallowest apart, that {begin}",
            share(settings, kept & deep & ~plain),
            high=0.1,
        ),
        Evidence(
            f"share that fails, at the largest learning rate, of the deepest plain networks that {begin}",
            share(settings, kept & deepest & plain & fastest),
            low=0.5,
        ),
        Evidence(
            f"share that fails, at the best rate, where the VNI begins above {VANISHED:g}, less that of others",
            share(best, vanished) - share(best, ~vanished),
            low=0.25,
        ),
        Evidence(
            "p-value of a trend of failure with β, at the best rate, of post-LN networks of one width and depth",
            norm.sf(trend_in_proportions(best["failed"][cross], best["runs"][cross], np.log(beta))),
            high=1e-3,
        ),
        Evidence(
            "least median gradient of these before training, over that at the smallest β",
            best["gradient"][cross][1:].min() / best["gradient"][cross][0],
            low=1.0,
        ),
        Evidence(
            "share that fails, at the best rate, of the shallowest networks",
            share(best, best["depth"] == best["depth"].min()),
            high=0.25,
        ),
    ]


def post_norm(rows: Table) -> tuple[np.ndarray, np.ndarray]:
    """β and places of the rows of post-LN networks, of the smallest width at their largest depth, by β and rate."""
    beta = np.array([POST[kind](8, 8).beta if kind in POST else np.nan for kind in rows["kind"].tolist()])
    places = np.flatnonzero(np.isfinite(beta) & (rows["width"] == rows["width"].min()))
    places = places[rows["depth"][places] == rows["depth"][places].max()]
    places = places[np.lexsort((rows["learning_rate"][places], beta[places]))]
    return beta[places], places


def share(rows: Table, at: np.ndarray) -> float:
    """Of the runs of those rows, the share that failed."""
    return rows["failed"][at].sum() / rows["runs"][at].sum()


def is_plain(rows: Table) -> np.ndarray:
    """Which rows are of networks without skip connections."""
    return np.array([isinstance(KINDS[kind](8, 8), Network) for kind in rows["kind"].tolist()])


def draw(tables: dict) -> Figure:
    best, settings = tables["best"], tables["settings"]
    widths = np.unique(best["width"]).tolist()
    narrow = best["width"] == widths[0]
    figure = new_figure(height=5.0, width=5.0)
    ((left, right), (below, all_kinds)) = figure.subplots(2, 2, sharey=True)
    for axes, kinds in ((left, PLAIN), (right, SKIPPING)):
        shown = [kind for kind in kinds if np.count_nonzero(narrow & (best["kind"] == kind)) > 1]
        for index, kind in enumerate(shown):
            at = narrow & (best["kind"] == kind)
            failures(axes, best, at, best["depth"] * 1.04 ** (index - len(shown) / 2), index, label=kind)
        depths = np.unique(best["depth"]).tolist()
        axes.set(xlabel="matrices $L$", xscale="log", xlim=(0.8 * depths[0], 1.25 * depths[-1]))
        axes.set_xticks(depths, [str(depth) for depth in depths])
        axes.set_xticks([], minor=True)
    beta, cross = post_norm(settings)
    wide = (settings["width"] > widths[0]) & np.isin(settings["kind"], list(POST))
    for index, rate in enumerate(np.unique(settings["learning_rate"]).tolist()):
        x, at_rate = missing(settings) * 1.25**index, settings["learning_rate"] == rate
        failures(below, settings, cross[at_rate[cross]], x, index, label=f"rate {np.format_float_positional(rate)}")
        failures(below, settings, wide & at_rate, x, index, linestyle=":", filled=False)
    groups = ((is_plain(best), "plain", 0), (~is_plain(best), "residual", 1))
    for (group, name, index), width in product(groups, widths):
        at, label = group & (best["width"] == width), f"{name}, $N = {width}$"
        failures(all_kinds, best, at, missing(best), index, linestyle="none", label=label, filled=width == widths[0])
    for axes in (below, all_kinds):
        axes.set(xlabel="$1 -$ VNI before training", xscale="log", xlim=(2, SHOWN_FROM / 2))
    for axes in (left, below):
        axes.set(ylabel="failure probability", ylim=(-0.04, 1.04))
    styles = [entry(f"$N = {widths[0]}$"), entry(f"$N = {widths[-1]}$", filled=False, linestyle=":")]
    more = styles if len(widths) > 1 else []
    of = f", $N = {widths[0]}$, best rate"
    varied = f"post-LN, β from {beta[0]:g} to {beta[-1]:g}, $L = {settings['depth'][cross[0]]}$"
    named = (f"plain{of}", f"residual{of}", varied, "all, best rate")
    for axes, title in zip(figure.axes, named, strict=True):
        handles = [*axes.get_legend_handles_labels()[0], *(more if axes is below else [])]
        axes.legend(
            handles=handles, title=title, title_fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2,
            columnspacing=1.0,
        )  # fmt: skip
    return figure


def missing(rows: Table) -> np.ndarray:
    """1 − VNI before training, where it can be drawn on a logarithmic axis."""
    return np.maximum(1 - rows["jacobian_vni"], SHOWN_FROM)


def failures(
    axes: Axes,
    rows: Table,
    at: np.ndarray,
    x: np.ndarray,
    index: int,
    *,
    filled: bool = True,
    linestyle: str = "-",
    **kwargs,
) -> None:
    """Draw the shares that fail of those rows, with 95% intervals."""
    shares = rows["failed"][at] / rows["runs"][at]
    low, high = wilson_interval(rows["failed"][at], rows["runs"][at])
    colour = COLOURS[index]
    axes.errorbar(
        x[at],
        shares,
        yerr=np.abs([shares - low, high - shares]),
        color=colour,
        marker=MARKERS[index],
        markerfacecolor=colour if filled else "white",
        linestyle=linestyle,
        linewidth=0.6,
        elinewidth=0.6,
        markeredgewidth=0.8,
        **kwargs,
    )
