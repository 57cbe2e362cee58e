"""S2 and S3 side by side: the VNI, the participation ratio and the annealed ratio are three numbers."""

from __future__ import annotations

from functools import partial

import numpy as np
from matplotlib.figure import Figure

from rmt_vn import laws, measures
from rmt_vn.experiments import along_depth, monte_carlo
from rmt_vn.figures.style import COLOURS, new_figure, points
from rmt_vn.figures.tables import table
from rmt_vn.network import Network
from rmt_vn.samplers import JacobianLayer

CLAIM = "VNI, participation ratio and annealed ratio agree to first order in L/N only"

PRESETS = {
    "quick": {"width": 50, "depths": [1, 2, 4, 8, 16, 32, 64, 128], "n_samples": 40, "replicates": 8},
    "paper": {"width": 50, "depths": [1, 2, 4, 8, 16, 32, 64, 128], "n_samples": 100, "replicates": 80},
}


def compute(*, seed: int, jobs: int | None, width: int, depths: list[int], n_samples: int, replicates: int) -> dict:
    (estimate,) = monte_carlo(
        partial(along_depth, measure=indicators),
        [
            {
                "network": Network.uniform(width, depths[-1], activation="linear"),
                "depths": tuple(depths),
                "n_samples": n_samples,
            }
        ],
        replicates=replicates,
        seed=seed,
        jobs=jobs,
        label="three_indicators",
    )
    lines = [
        (depth / width, laws.exact_vni(network), laws.annealed_participation(network))
        for depth in np.unique(np.geomspace(1, depths[-1], 60).round().astype(int)).tolist()
        for network in [Network.uniform(width, depth, activation="linear")]
    ]
    return {
        "samples": {
            "t": np.array(depths) / width,
            "vni": estimate.mean[:, 0],
            "vni_stderr": estimate.stderr[:, 0],
            "participation": estimate.mean[:, 1],
            "participation_stderr": estimate.stderr[:, 1],
        },
        "theory": table(("t", "exact_vni", "annealed"), lines),
    }


def indicators(layer: JacobianLayer) -> np.ndarray:
    """VNI and Tr C²/(Tr C)², shape (samples, 2)."""
    jacobian = layer.jacobian
    return np.stack([measures.jacobian_vni(jacobian), 1 / measures.jacobian_participation_ratio(jacobian)], axis=-1)


def draw(tables: dict) -> Figure:
    figure = new_figure(height=2.6)
    axes = figure.subplots()
    samples, theory = tables["samples"], tables["theory"]
    axes.semilogx(
        theory["t"],
        theory["annealed"],
        color=COLOURS[2],
        linestyle="--",
        label="annealed ratio, exact (S2)\n$E\\,\\mathrm{Tr}C^2 / E(\\mathrm{Tr}C)^2$",
    )
    points(
        axes,
        samples["t"],
        samples["participation"],
        samples["participation_stderr"],
        1,
        label="participation, sampled\n$E[\\mathrm{Tr}C^2/(\\mathrm{Tr}C)^2]$",
    )
    axes.semilogx(theory["t"], theory["exact_vni"], color=COLOURS[0], label="VNI, exact (S3)")
    points(axes, samples["t"], samples["vni"], samples["vni_stderr"], 0, label="VNI, sampled")
    axes.legend(loc="upper left")
    axes.set(xlabel="effective depth $t = L/N$", ylabel="indicator", ylim=(0, 1.02))
    return figure
