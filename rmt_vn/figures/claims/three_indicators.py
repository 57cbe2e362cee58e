"""S2 and S3: the VNI, the participation ratio and the annealed ratio are three different numbers."""

from __future__ import annotations

from functools import partial

import numpy as np
from matplotlib.figure import Figure

from rmt_vn import laws, measures
from rmt_vn.experiments import Engine, monte_carlo
from rmt_vn.figures.evidence import STANDARD_ERRORS, Evidence, largest_deviation
from rmt_vn.figures.style import COLOURS, new_figure, points
from rmt_vn.figures.tables import table
from rmt_vn.network import Network
from rmt_vn.samplers import JacobianLayer, sample_along_depth

CLAIM = (
    "Three indicators of vanishing nodes agree to first order in L/N and no further: VNI, participation ratio and "
    "annealed ratio"
)

CAPTION = (
    "Three indicators for linear networks with Gaussian weights against the effective depth t = L/N; C is the "
    "covariance matrix of the nodes of a layer, and E the mean over networks. Circles are the VNI of random "
    "networks, and the solid line its exact law (S3). Squares are the participation ratio of the same networks. The "
    "dashed line is the annealed ratio (S2), in which numerator and denominator are averaged apart."
)

LAWS: tuple[str, ...] = ("annealed_participation", "exact_vni")

PRESETS = {
    "quick": {"width": 50, "depths": [1, 2, 4, 8, 16, 32, 64, 128], "n_networks": 40, "replicates": 8},
    "paper": {"width": 50, "depths": [1, 2, 4, 8, 16, 32, 64, 128], "n_networks": 40, "replicates": 200},
}


def compute(*, seed: int, engine: Engine, width: int, depths: list[int], n_networks: int, replicates: int) -> dict:
    (estimate,) = monte_carlo(
        partial(sample_along_depth, measure=indicators),
        [
            {
                "network": Network.uniform(width, depths[-1], activation="linear"),
                "depths": tuple(depths),
                "n_networks": n_networks,
            }
        ],
        replicates=replicates,
        seed=seed,
        engine=engine,
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
    """VNI and Tr C²/(Tr C)² of each network, shape (networks, 2)."""
    jacobian = layer.jacobian
    return np.stack([measures.jacobian_vni(jacobian), 1 / measures.jacobian_participation_ratio(jacobian)], axis=-1)


def evidence(tables: dict) -> list[Evidence]:
    samples, theory = tables["samples"], tables["theory"]
    t, vni, participation = samples["t"], samples["vni"], samples["participation"]
    exact = np.interp(t, theory["t"], theory["exact_vni"])
    annealed = np.interp(t, theory["t"], theory["annealed"])
    first, late = t < 0.05, t > 0.3
    apart = (participation - vni) / np.hypot(samples["participation_stderr"], samples["vni_stderr"])
    return [
        Evidence(
            "largest deviation of a sampled VNI from the exact law (S3), in standard errors",
            largest_deviation(vni, exact, samples["vni_stderr"], allowed=1e-3),  # interpolation
            high=STANDARD_ERRORS,
        ),
        Evidence(
            "largest relative difference of the participation ratio from the VNI below t = 0.05",
            np.max(np.abs(participation / exact - 1)[first]),
            high=0.1,
        ),
        Evidence(
            "smallest excess of the participation ratio over the VNI beyond t = 0.3, in standard errors",
            apart[late].min(),
            low=STANDARD_ERRORS,
        ),
        Evidence(
            "smallest excess of the annealed ratio (S2) over the participation ratio beyond t = 0.3, in standard "
            "errors",
            np.min((annealed - participation)[late] / samples["participation_stderr"][late]),
            low=STANDARD_ERRORS,
        ),
    ]


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
        label="participation ratio, sampled\n$E[\\mathrm{Tr}C^2/(\\mathrm{Tr}C)^2]$",
    )
    axes.semilogx(theory["t"], theory["exact_vni"], color=COLOURS[0], label="VNI, exact (S3)")
    points(axes, samples["t"], samples["vni"], samples["vni_stderr"], 0, label="VNI, sampled")
    axes.legend(loc="upper left")
    axes.set(xlabel="effective depth $t = L/N$", ylabel="indicator", ylim=(0, 1.02))
    return figure
