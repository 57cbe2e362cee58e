"""S1 and S3 on samples: VNI against depth at several widths."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from rmt_vn import laws
from rmt_vn.experiments import monte_carlo
from rmt_vn.figures.style import COLOURS, new_figure, points
from rmt_vn.figures.tables import table
from rmt_vn.network import Network
from rmt_vn.samplers.chain import chain_vni

CLAIM = "VNI grows in proportion to depth and inversely to width at first; S1 says no more than that, S3 is exact"

WIDTHS = (10, 30, 100, 300)
DEPTHS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)

PRESETS = {"quick": {"n_samples": 2000}, "paper": {"n_samples": 100_000}}


def compute(*, seed: int, jobs: int | None, n_samples: int) -> dict:
    estimates = monte_carlo(
        chain_vni,
        [
            {"network": Network.uniform(width, depth, activation="linear"), "n_samples": n_samples}
            for width in WIDTHS
            for depth in DEPTHS
        ],
        replicates=1,
        seed=seed,
        jobs=jobs,
        label="vni_depth_width",
    )
    rows = [
        (network.widths[0], network.depth, float(estimate.mean), float(estimate.stderr))
        for estimate in estimates
        for network in [estimate.point["network"]]
    ]
    lines = [
        (width, depth, laws.exact_vni(network), laws.first_order_vni(network))
        for width in WIDTHS
        for depth in np.unique(np.geomspace(1, DEPTHS[-1], 60).round().astype(int)).tolist()
        for network in [Network.uniform(width, depth, activation="linear")]
    ]
    return {
        "samples": table(("width", "depth", "vni", "stderr"), rows),
        "theory": table(("width", "depth", "exact", "first_order"), lines),
    }


def draw(tables: dict) -> Figure:
    figure = new_figure(height=2.6)
    axes = figure.subplots()
    samples, theory = tables["samples"], tables["theory"]
    for index, width in enumerate(WIDTHS):
        at, along = samples["width"] == width, theory["width"] == width
        axes.loglog(theory["depth"][along], theory["exact"][along], color=COLOURS[index])
        line = theory["first_order"][along]
        axes.loglog(theory["depth"][along][line < 1.5], line[line < 1.5], color=COLOURS[index], linestyle=":")
        points(axes, samples["depth"][at], samples["vni"][at], samples["stderr"][at], index, label=f"$N = {width}$")
    axes.plot([], [], color="0.4", label="exact, S3")
    axes.plot([], [], color="0.4", linestyle=":", label="first order, S1")
    axes.legend(loc="lower right")
    axes.set(xlabel="depth $L$", ylabel="VNI", xlim=(0.9, 1200), ylim=(5e-3, 1.3))
    return figure
