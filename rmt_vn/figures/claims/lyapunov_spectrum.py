"""S6 for many layers: Lyapunov exponents, exact and sampled, and singular values that approach them with depth."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rmt_vn import laws
from rmt_vn.experiments import Engine, Estimate, monte_carlo
from rmt_vn.figures.evidence import STANDARD_ERRORS, Evidence, largest_deviation
from rmt_vn.figures.style import COLOURS, new_figure, points
from rmt_vn.figures.tables import Table, table
from rmt_vn.network import Network
from rmt_vn.samplers import sample_log_singular_values
from rmt_vn.samplers.lyapunov import lyapunov_rates

CLAIM = (
    "The singular values of deep linear networks separate exponentially with depth, at rates that are known exactly "
    "for every width"
)

CAPTION = (
    "Top: Lyapunov exponents λ_k of linear networks with Gaussian weights and width N. They are the rates per layer "
    "at which the logarithms of the singular values grow, from the largest, k = 1, to the smallest, k = N. Points "
    "are random networks, thin lines join the exact values (S6), and the dashed line is their limit for wide layers. "
    "Bottom: logarithms of the six singular values s_k of products of L random matrices of width 6, divided by L. "
    "The grey lines are the exact exponents that they approach."
)

LAWS: tuple[str, ...] = ("lyapunov_exponents",)

WIDTHS = (2, 4, 16, 64)
LAYERS = 100
SHOWN = 6  # the width of the network whose singular values are followed

PRESETS = {
    "quick": {"n_networks": 200, "depths": [2, 8, 32, 128, 512, 2048], "n_products": 30, "replicates": 1},
    "paper": {"n_networks": 200, "depths": [2, 8, 32, 128, 512, 2048], "n_products": 100, "replicates": 10},
}


def compute(*, seed: int, engine: Engine, n_networks: int, depths: list[int], n_products: int, replicates: int) -> dict:
    shared: dict[str, Any] = {"replicates": replicates, "seed": seed, "engine": engine, "label": "lyapunov_spectrum"}
    exponents = monte_carlo(
        lyapunov_rates,
        [{"network": _linear(width, LAYERS), "n_networks": n_networks, "method": "bartlett"} for width in WIDTHS],
        **shared,
    )
    products = monte_carlo(
        logs_per_layer, [{"network": _linear(SHOWN, depth), "n_networks": n_products} for depth in depths], **shared
    )
    return {
        "exponents": table(
            ("width", "k", "sampled", "stderr", "exact"),
            [row for width, estimate in zip(WIDTHS, exponents, strict=True) for row in _rows(width, width, estimate)],
        ),
        "products": table(
            ("depth", "k", "sampled", "stderr", "limit"),
            [row for depth, estimate in zip(depths, products, strict=True) for row in _rows(depth, SHOWN, estimate)],
        ),
    }


def logs_per_layer(network: Network, n_networks: int, *, rng: np.random.Generator) -> np.ndarray:
    """(1/L) ln s_k, the logarithms of the singular values per layer."""
    return sample_log_singular_values(network, n_networks, rng=rng) / network.depth


def _linear(width: int, depth: int) -> Network:
    return Network.uniform(width, depth, activation="linear")


def _rows(first: int, width: int, estimate: Estimate) -> list[tuple]:
    columns = (estimate.mean.tolist(), estimate.stderr.tolist(), laws.lyapunov_exponents(_linear(width, 1)).tolist())
    return [(first, k, *row) for k, row in enumerate(zip(*columns, strict=True), start=1)]


def evidence(tables: dict) -> list[Evidence]:
    exponents, products = tables["exponents"], tables["products"]
    k, width, sampled, stderr = (exponents[name] for name in ("k", "width", "sampled", "stderr"))
    wider = np.concatenate([laws.lyapunov_exponents(_linear(each + 1, 1))[:each] for each in WIDTHS])
    told_apart = [np.max((np.abs(sampled - wider) / stderr)[width == each]) for each in WIDTHS]
    inner = k < width
    deepest = products["depth"] == products["depth"].max()
    logs = products["depth"] * products["sampled"]
    return [
        Evidence(
            "largest deviation of a sampled Lyapunov exponent from the exact one, in standard errors",
            largest_deviation(sampled, exponents["exact"], stderr),
            high=STANDARD_ERRORS,
        ),
        Evidence(
            "largest deviation from those of a network one node wider, in standard errors, at the width where it "
            "is smallest",
            min(told_apart),
            low=STANDARD_ERRORS,
        ),
        Evidence(
            "largest distance of an exact exponent from its limit ½ ln(1 − k/N), but for the last of each width",
            np.max(np.abs(exponents["exact"] - _limit(k / width))[inner]),
            high=0.06,
        ),
        # E ln s_k − L λ_k tends to a constant of order one.
        Evidence(
            "largest deviation of (1/L) ln s_k from λ_k at the largest depth, beyond 2/L, in standard errors",
            largest_deviation(
                products["sampled"][deepest],
                products["limit"][deepest],
                products["stderr"][deepest],
                2 / products["depth"][deepest],
            ),
            high=STANDARD_ERRORS,
        ),
        Evidence(
            "orders of magnitude between the largest and the smallest singular value at the largest depth",
            np.ptp(logs[deepest]) / np.log(10),
            low=1000,
        ),
    ]


def _limit(ratio: np.ndarray) -> np.ndarray:
    """½ ln(1 − k/N), the limit of λ_k as N → ∞ at a fixed ratio k/N; −∞ where the ratio is 1."""
    with np.errstate(divide="ignore"):
        return np.log1p(-ratio) / 2


def draw(tables: dict) -> Figure:
    figure = new_figure(height=4.4)
    against_index, against_depth = figure.subplots(2, 1, height_ratios=(1, 1))
    _draw_exponents(against_index, tables["exponents"])
    _draw_products(against_depth, tables["products"])
    return figure


def _draw_exponents(axes: Axes, exponents: Table) -> None:
    ratio = np.linspace(0, 1, 300)[:-1]
    axes.plot(ratio, _limit(ratio), color="0.5", linestyle="--")
    for index, width in enumerate(WIDTHS):
        at = exponents["width"] == width
        k, exact, sampled, stderr = (exponents[name][at] for name in ("k", "exact", "sampled", "stderr"))
        axes.plot(k / width, exact, color=COLOURS[index], linewidth=0.7)
        # A few of many points, and the last two, at which the widths differ.
        shown = (k % max(1, width // 16) == 0) | (k >= width - 1)
        label = f"$N = {width}$"
        points(axes, k[shown] / width, sampled[shown], stderr[shown], index, filled=width < 16, label=label)
    handles = [
        *axes.get_legend_handles_labels()[0],
        Line2D([], [], color="0.3", linewidth=0.7, label="exact, S6"),
        Line2D([], [], color="0.5", linestyle="--", label=r"$N \to \infty$: $\frac{1}{2}\,\ln(1 - k/N)$"),
    ]
    axes.legend(handles=handles, loc="lower left")
    axes.set(xlabel="index over width $k/N$", ylabel=r"Lyapunov exponent $\lambda_k$", xlim=(0, 1.03), ylim=(-2.9, 0.1))


def _draw_products(axes: Axes, products: Table) -> None:
    for k in range(1, SHOWN + 1):
        at = products["k"] == k
        limit = products["limit"][at][0]
        axes.axhline(limit, color="0.6", linewidth=0.7, zorder=1)
        points(axes, products["depth"][at], products["sampled"][at], products["stderr"][at], k - 1)
        # The first two are so close that their names must make room for one another.
        up = {1: 2.5, 2: -0.5}.get(k, 0)
        axes.annotate(
            f"$\\lambda_{k}$", (1, limit), (2, up), ("axes fraction", "data"), "offset points", va="center", fontsize=6
        )
    axes.set(xscale="log", xlabel="depth $L$", ylabel=r"$(1/L)\,\ln s_k$")
    axes.set_title(f"singular values, $N = {SHOWN}$; lines: exact exponents, S6", loc="left", fontsize=7)
