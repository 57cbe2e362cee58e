"""Which deep networks learn: plain ones, residual ones that keep their nodes, and residual ones that do not."""

from __future__ import annotations

from itertools import product

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import norm

from rmt_vn.experiments import Engine, run
from rmt_vn.experiments.sweeps import Point
from rmt_vn.figures.deep_networks import KINDS, LEAST, MOST, PLAIN, POST
from rmt_vn.figures.digits_runs import digits_run
from rmt_vn.figures.evidence import Evidence
from rmt_vn.figures.failure_counts import at_best_rate, counted, share, taken
from rmt_vn.figures.failure_statistics import trend_in_proportions, wilson_interval
from rmt_vn.figures.style import COLOURS, MARKERS, new_figure
from rmt_vn.figures.style import kind as entry
from rmt_vn.figures.tables import Table
from rmt_vn.figures.xor_runs import training_runs
from rmt_vn.network import Network

CLAIM = (
    "At the best rate networks that fail to learn XOR begin with a VNI near one, plain ones and also post-LN ones that "
    "differ in β alone and have no smaller gradients; residual networks that keep their nodes learn, digits too, at "
    "nearly any rate, but without skip connections kept nodes are not enough: deep Haar networks learn at small rates "
    "only"
)

CAPTION = (
    "Share of networks of width N with L weight matrices that fail to learn continuous XOR, or handwritten digits, by "
    "Adam, with 95% intervals: those that end nearer to guessing than to no error on new samples. Above, against L at "
    "the best of several learning rates: plain networks of the smallest N (left; Gaussian weights unless Haar is said) "
    "and residual tanh networks of it with two matrices in a block (right). Middle: the next N (left), and digits "
    "(right). Below, against 1 − VNI of the Jacobian over the hidden layers before training, the median over "
    "networks that have one. Left: post-LN at one depth, where lines join networks that differ in β alone, which grows "
    "to the right; of the largest N (open, dotted) there are not all β. Right: all networks, at the best rate; a 1 − "
    "VNI of less than 10⁻⁶ is drawn there. Points are moved sideways a little, so that their bars can be told apart."
)

LAWS: tuple[str, ...] = ()

# A VNI before training above which nodes have vanished, and one below which they are kept. Between them is no verdict.
VANISHED, KEPT = 0.9, 0.6
# Matrices of what is called shallow.
SHALLOW = 16
# A smaller 1 − VNI is drawn here.
SHOWN_FROM = 1e-6

MAIN = [*PLAIN, "residual (β = 1/√L)", "pre-LN (β = 1)", LEAST, MOST]
# Tanh networks alone: those that are trained at all widths, and on digits.
COMPARED = ["plain tanh", "Haar tanh", *MAIN[len(PLAIN) :]]
# Each grid: all of its kinds at all of its widths and depths. With N = 32 post-LN of the largest β begins with the VNI
# that N = 8 has with β = 1.
PRESETS = {
    "quick": {
        "grids": [
            {"kinds": ["plain tanh", "Haar tanh", "residual (β = 1/√L)"], "widths": [8], "depths": [8, 48]},
            {"kinds": [LEAST, MOST], "widths": [8], "depths": [48]},
            {"kinds": [MOST], "widths": [16], "depths": [24]},
        ],
        "learning_rates": [3e-3],
        "steps": 150,
        "replicas": 10,
        "on_digits": {
            "kinds": ["Haar tanh", "residual (β = 1/√L)"],
            "width": 16,
            "depths": [48],
            "learning_rates": [1e-2],
            "steps": 50,
            "replicas": 5,
        },
    },
    "paper": {
        "grids": [
            {"kinds": MAIN, "widths": [8], "depths": [16, 64, 128]},
            {"kinds": [kind for kind in POST if kind not in MAIN], "widths": [8], "depths": [128]},
            {
                "kinds": ["plain tanh", "Haar tanh", "residual (β = 1/√L)", "pre-LN (β = 1)"],
                "widths": [8],
                "depths": [256],
            },
            {"kinds": COMPARED, "widths": [16, 32], "depths": [16, 64, 128]},
            {"kinds": ["post-LN (β = 1)"], "widths": [32], "depths": [128]},
        ],
        "learning_rates": [3e-5, 1e-4, 3e-4, 1e-3],
        "steps": 2500,
        "replicas": 10,
        "on_digits": {
            "kinds": [kind for kind in COMPARED if kind != LEAST],
            "width": 32,
            "depths": [16, 64, 128],
            "learning_rates": [3e-5, 1e-4, 1e-3],
            "steps": 2000,
            "replicas": 5,
        },
    },
}


def compute(
    *,
    seed: int,
    engine: Engine,
    grids: list[dict],
    learning_rates: list[float],
    steps: int,
    replicas: int,
    on_digits: dict,
) -> dict:
    # Digits first: if scikit-learn is missing that is said before anything is trained.
    digits = digits_settings(seed, engine, **on_digits)
    grid = [
        setting for each in grids for setting in product(each["kinds"], each["widths"], each["depths"], learning_rates)
    ]
    points: list[Point] = [
        {"network": KINDS[kind](*shape), "optimizer": "adam", "learning_rate": rate, "measure_at": (0, steps)}
        for kind, *shape, rate in grid
    ]
    runs = training_runs(points, replicas=replicas, seed=seed, engine=engine, label="residual_training")
    settings = counted(grid, runs, guessing=0.5)
    return {"settings": settings, "best": at_best_rate(settings), "digits": digits}


def digits_settings(
    seed: int,
    engine: Engine,
    *,
    kinds: list[str],
    width: int,
    depths: list[int],
    learning_rates: list[float],
    steps: int,
    replicas: int,
) -> Table:
    """The same kinds of networks of one width on handwritten digits, at every rate."""
    grid = list(product(kinds, [width], depths, learning_rates))
    tasks = [
        {
            "network": KINDS[kind](*shape, inputs=64, outputs=10),
            "learning_rate": rate,
            "steps": steps,
            "replicas": replicas,
            "seed": seed,
        }
        for kind, *shape, rate in grid
    ]
    runs = run(digits_run, tasks, engine=engine, label="residual_training on digits")
    of_last_layer = [{**each, **{name: each[name][:, -1] for name in ("vni", "jacobian_vni")}} for each in runs]
    return counted(grid, of_last_layer, guessing=0.1)


def evidence(tables: dict) -> list[Evidence]:
    best = tables["best"]
    of_residual, of_plain = zip(*(kept_and_failed(tables[task]) for task in ("settings", "digits")), strict=True)
    vanished = best["jacobian_vni"] > VANISHED
    beta, cross = post_norm(best, best["width"].min())
    begin = f"begin with a VNI below {KEPT:g}"
    return [
        Evidence(
            f"share that fails, at any learning rate, of residual networks of more than {SHALLOW} matrices that "
            f"{begin}: of XOR and digits the larger",
            max(of_residual),
            high=0.1,
        ),
        Evidence(
            f"share that fails, at the largest learning rate, of the deepest plain networks that {begin}: of XOR and "
            "digits the smaller",
            min(of_plain),
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


def kept_and_failed(settings: Table) -> tuple[float, float]:
    """Of networks that keep their nodes the shares that fail: of residual ones, and of deepest plain ones when fast.

    Shallow residual networks are left out: their branches are so small that at small rates they do not get far.
    """
    kept, plain = settings["jacobian_vni"] < KEPT, is_plain(settings)
    deepest = settings["depth"] == settings["depth"][plain & kept].max()
    fastest = settings["learning_rate"] == settings["learning_rate"].max()
    residual = kept & ~plain & (settings["depth"] > SHALLOW)
    return share(settings, residual), share(settings, kept & plain & deepest & fastest)


def post_norm(rows: Table, width: int) -> tuple[np.ndarray, np.ndarray]:
    """β and places of the rows of post-LN networks of that width at their largest depth, in the order of β."""
    places = np.flatnonzero(np.isin(rows["kind"], list(POST)) & (rows["width"] == width))
    places = places[rows["depth"][places] == rows["depth"][places].max()]
    beta = np.array([POST[kind](8, 8).beta for kind in rows["kind"][places].tolist()])
    order = np.argsort(beta, kind="stable")
    return beta[order], places[order]


def is_plain(rows: Table) -> np.ndarray:
    """Which rows are of networks without skip connections."""
    return np.array([isinstance(KINDS[kind](8, 8), Network) for kind in rows["kind"].tolist()])


def draw(tables: dict) -> Figure:
    best, settings, digits = tables["best"], tables["settings"], at_best_rate(tables["digits"])
    widths = np.unique(best["width"]).tolist()
    of_width = {width: taken(best, best["width"] == width) for width in widths}
    figure = new_figure(height=7.0, width=5.0)
    ((left, right), (wider, on_digits), (below, all_kinds)) = figure.subplots(3, 2, sharey=True)
    against_depth(left, of_width[widths[0]], list(PLAIN))
    against_depth(right, taken(of_width[widths[0]], ~is_plain(of_width[widths[0]])), COMPARED)
    against_depth(wider, of_width[widths[1]], COMPARED)
    against_depth(on_digits, digits, COMPARED)
    depths = np.unique(best["depth"]).tolist()
    for axes in (left, right, wider, on_digits):
        axes.set(xlabel="matrices $L$", xscale="log", xlim=(0.8 * depths[0], 1.25 * depths[-1]))
        axes.set_xticks(depths, [str(depth) for depth in depths])
        axes.set_xticks([], minor=True)
    (beta, _), *_ = crosses = [post_norm(settings, width) for width in (widths[0], widths[-1])]
    narrow, wide = (taken(settings, places) for _, places in crosses)
    for index, rate in enumerate(np.unique(narrow["learning_rate"]).tolist()):
        named = f"rate {np.format_float_positional(rate)}"
        for post, label, line in ((narrow, named, "-"), (wide, None, ":")):
            rows = taken(post, post["learning_rate"] == rate)
            x = missing(rows) * 1.25**index
            failures(below, rows, x, index, label=label, filled=post is narrow, linestyle=line)
    shown = {**{f"$N = {width}$": rows for width, rows in of_width.items()}, "digits": digits}
    for index, (of, rows) in enumerate(shown.items()):
        for name, group in (("plain", taken(rows, is_plain(rows))), ("residual", taken(rows, ~is_plain(rows)))):
            label, filled = f"{name}, {of}", name == "plain"
            failures(all_kinds, group, missing(group), index, label=label, filled=filled, linestyle="none")
    for axes in (below, all_kinds):
        axes.set(xlabel="$1 -$ VNI before training", xscale="log", xlim=(2, SHOWN_FROM / 2))
    for axes in (left, wider, below):
        axes.set(ylabel="failure probability", ylim=(-0.04, 1.04))
    titles = {
        left: f"plain, $N = {widths[0]}$, best rate",
        right: f"residual, $N = {widths[0]}$, best rate",
        wider: f"$N = {widths[1]}$, best rate",
        on_digits: f"digits, $N = {digits['width'][0]}$, best rate",
        below: f"post-LN, β from {beta[0]:g} to {beta[-1]:g}, $L = {narrow['depth'][0]}$",
        all_kinds: "all, best rate",
    }
    styles = [entry(f"$N = {widths[0]}$"), entry(f"$N = {widths[-1]}$", filled=False, linestyle=":")]
    for axes, title in titles.items():
        handles = [*axes.get_legend_handles_labels()[0], *(styles if axes is below else [])]
        axes.legend(
            handles=handles, title=title, title_fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2,
            columnspacing=1.0,
        )  # fmt: skip
    return figure


def missing(rows: Table) -> np.ndarray:
    """1 − VNI before training, where it can be drawn on a logarithmic axis."""
    return np.maximum(1 - rows["jacobian_vni"], SHOWN_FROM)


def against_depth(axes: Axes, rows: Table, kinds: list[str]) -> None:
    """Draw the shares that fail of those kinds, moved sideways, with a line for each."""
    for index, kind in enumerate(kinds):
        of_kind = taken(rows, rows["kind"] == kind)
        if of_kind["kind"].size:
            failures(axes, of_kind, of_kind["depth"] * 1.04 ** (index - len(kinds) / 2), index, label=kind)


def failures(
    axes: Axes, rows: Table, x: np.ndarray, index: int, *, label: str | None, filled: bool = True, linestyle: str = "-"
) -> None:
    """Draw the shares that fail, with 95% intervals."""
    shares = rows["failed"] / rows["runs"]
    low, high = wilson_interval(rows["failed"], rows["runs"])
    axes.errorbar(
        x,
        shares,
        yerr=np.abs([shares - low, high - shares]),
        color=COLOURS[index],
        marker=MARKERS[index],
        markerfacecolor=COLOURS[index] if filled else "white",
        linestyle=linestyle,
        linewidth=0.6,
        elinewidth=0.6,
        markeredgewidth=0.8,
        label=label,
    )
