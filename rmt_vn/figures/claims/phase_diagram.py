"""Mean field: whether gradients keep their size, and how fast nodes vanish, over the (σ_w, σ_b) plane."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from rmt_vn.experiments import Engine, run
from rmt_vn.figures.evidence import Evidence
from rmt_vn.figures.style import new_figure
from rmt_vn.mean_field import fixed_point
from rmt_vn.network import Network

CLAIM = "χ and the VNI are two axes: the line χ = 1 keeps gradients, not nodes"

PRESETS = {"quick": {"points": 25}, "paper": {"points": 80}}


def compute(*, seed: int, engine: Engine, points: int) -> dict:  # deterministic: theory only
    sigma_w, sigma_b = np.linspace(0.5, 3, points), np.linspace(0, 1, points)
    tasks = [{"sigma_w": each, "sigma_b": sigma_b} for each in sigma_w.tolist()]
    rows = list(run(mean_field_row, tasks, engine=engine, label="phase_diagram"))
    plane = {name: np.stack([row[name] for row in rows]) for name in ("chi", "rate")}
    return {"plane": {"sigma_w": sigma_w, "sigma_b": sigma_b, **plane}}


def mean_field_row(sigma_w: float, sigma_b: np.ndarray) -> dict[str, np.ndarray]:
    """χ and μ_2/μ_1² of tanh networks with Gaussian weights."""
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
        Evidence("largest error of χ where it must be σ_w²: no biases, σ_w ≤ 1", np.max(np.abs(error)), high=1e-9),
        Evidence("smallest growth of N VNI in a layer near χ = 1: nodes vanish all along the line", rate.min(), low=1),
        # Faster here than there: neither number fixes the other.
        Evidence("largest growth of N VNI in a layer near χ = 1, over the smallest", rate.max() / rate.min(), low=1.5),
    ]


def draw(tables: dict) -> Figure:
    plane = tables["plane"]
    figure = new_figure(height=2.3)
    panels = figure.subplots(1, 2, sharey=True)
    quantities = (
        ("chi", "gradients: growth $\\chi$", [0.4, 0.7, 1, 1.3, 1.6]),
        ("rate", "nodes: growth of $N\\,$VNI", [1.1, 1.3, 1.6, 2, 2.5]),
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
