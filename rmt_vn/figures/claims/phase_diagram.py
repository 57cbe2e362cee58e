"""Mean field: how gradients change, and how fast nodes vanish, over the plane of σ_w and σ_b."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from rmt_vn.experiments import Engine, run
from rmt_vn.figures.evidence import Evidence
from rmt_vn.figures.style import new_figure
from rmt_vn.mean_field import fixed_point
from rmt_vn.network import Network

CLAIM = (
    "Where gradients keep their size, nodes vanish all the same: along the whole line χ = 1 the VNI grows with "
    "every layer"
)

CAPTION = (
    "Wide tanh networks with Gaussian weights of variance σ_w² over the fan-in and biases of standard deviation σ_b. "
    "Left: χ, the factor by which the mean squared gradient changes in each layer. Right: what each layer adds to N "
    "times the VNI, to first order. Contours are labelled with their values; the orange line is χ = 1 on both sides."
)

LAWS: tuple[str, ...] = ()

PRESETS = {"quick": {"points": 25}, "paper": {"points": 80}}


def compute(*, seed: int, engine: Engine, points: int) -> dict:  # deterministic: theory only
    sigma_w, sigma_b = np.linspace(0.5, 3, points), np.linspace(0, 1, points)
    tasks = [{"sigma_w": each, "sigma_b": sigma_b} for each in sigma_w.tolist()]
    rows = list(run(mean_field_row, tasks, engine=engine, label="phase_diagram"))
    plane = {name: np.stack([row[name] for row in rows]) for name in ("chi", "rate")}
    return {"plane": {"sigma_w": sigma_w, "sigma_b": sigma_b, **plane}}


def mean_field_row(sigma_w: float, sigma_b: np.ndarray) -> dict[str, np.ndarray]:
    """χ, and what a layer adds to N · VNI to first order, μ_2/μ_1², for tanh networks with Gaussian weights."""
    fields = [
        fixed_point(Network.uniform(2, 1, activation="tanh", sigma_w=sigma_w, sigma_b=b)) for b in sigma_b.tolist()
    ]
    return {name: np.array([getattr(field, name) for field in fields]) for name in ("chi", "rate")}


def evidence(tables: dict) -> list[Evidence]:
    plane = tables["plane"]
    # Without biases and with σ_w ≤ 1 signals die out, q* = 0, and there φ′ = 1.
    quiet = plane["sigma_w"] <= 1
    error = plane["chi"][quiet, plane["sigma_b"] == 0] - plane["sigma_w"][quiet] ** 2
    rate = plane["rate"][np.abs(plane["chi"] - 1) < 0.05]
    return [
        Evidence("largest error of χ without biases at σ_w ≤ 1, where it is σ_w²", np.max(np.abs(error)), high=1e-9),
        Evidence("smallest rise of N · VNI in a layer, near χ = 1", rate.min(), low=1),
        # Faster here than there: neither number fixes the other.
        Evidence("largest rise of N · VNI in a layer over the smallest, near χ = 1", rate.max() / rate.min(), low=1.5),
    ]


def draw(tables: dict) -> Figure:
    plane = tables["plane"]
    figure = new_figure(height=2.3)
    panels = figure.subplots(1, 2, sharey=True)
    quantities = (
        ("chi", "gradients: factor $\\chi$", [0.4, 0.7, 1, 1.3, 1.6]),
        ("rate", "nodes: rise of $N\\,$VNI", [1.1, 1.3, 1.6, 2, 2.5]),
    )
    for axes, (name, title, levels) in zip(panels, quantities, strict=True):
        values = plane[name].T
        axes.contourf(plane["sigma_w"], plane["sigma_b"], values, levels=levels, cmap="Greys", alpha=0.5, extend="both")
        lines = axes.contour(plane["sigma_w"], plane["sigma_b"], values, levels=levels, colors="0.3", linewidths=0.5)
        axes.clabel(lines, fontsize=6, fmt="%g")
        axes.contour(plane["sigma_w"], plane["sigma_b"], plane["chi"].T, levels=[1], colors="#D55E00", linewidths=1.6)
        axes.set_title(title)
        axes.set_xlabel("$\\sigma_w$")
    panels[0].set_ylabel("$\\sigma_b$")
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}
    for x, y, phase in ((0.53, 0.92, "ordered"), (2.0, 0.04, "chaotic")):
        panels[0].text(x, y, phase, fontsize=7, bbox=box)
    panels[1].text(1.9, 0.92, "$\\chi = 1$", fontsize=7, color="#D55E00", bbox=box)
    return figure
