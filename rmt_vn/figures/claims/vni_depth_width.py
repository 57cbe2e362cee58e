"""S1 and S3: the VNI of random networks against depth, at several widths."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from rmt_vn import laws
from rmt_vn.experiments import Engine, monte_carlo
from rmt_vn.figures.evidence import STANDARD_ERRORS, Evidence, largest_deviation
from rmt_vn.figures.style import COLOURS, new_figure, points
from rmt_vn.figures.tables import table
from rmt_vn.network import Network
from rmt_vn.samplers import sample_vni

CLAIM = (
    "At first the VNI grows in proportion to depth and inversely to width, as the first-order law (S1) says; later "
    "only the exact law (S3) holds"
)

CAPTION = (
    "Mean VNI of the last layer of linear networks with Gaussian weights against depth L, at several widths N. "
    "Points are random networks, solid lines the exact law (S3), dotted lines the first-order law (S1)."
)

LAWS: tuple[str, ...] = ("exact_vni", "first_order_vni")

WIDTHS = (10, 30, 100, 300)
DEPTHS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)

PRESETS = {"quick": {"n_networks": 4000, "replicates": 1}, "paper": {"n_networks": 4000, "replicates": 25}}


def compute(*, seed: int, engine: Engine, n_networks: int, replicates: int) -> dict:
    estimates = monte_carlo(
        sample_vni,
        [
            {"network": Network.uniform(width, depth, activation="linear"), "n_networks": n_networks}
            for width in WIDTHS
            for depth in DEPTHS
        ],
        replicates=replicates,
        seed=seed,
        engine=engine,
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


def evidence(tables: dict) -> list[Evidence]:
    samples, theory = tables["samples"], tables["theory"]
    networks = [
        Network.uniform(width, depth, activation="linear")
        for width, depth in zip(samples["width"].tolist(), samples["depth"].tolist(), strict=True)
    ]
    vni, stderr = samples["vni"], samples["stderr"]
    exact = np.array([laws.exact_vni(network) for network in networks])
    first_order = np.array([laws.first_order_vni(network) for network in networks])
    # Beyond t = 10 what is left of 1 − VNI lies with rare networks, of which a sample may hold none.
    common = samples["depth"] <= 10 * samples["width"]
    late = samples["depth"] >= samples["width"]
    t = theory["depth"] / theory["width"]
    error = theory["first_order"] / theory["exact"] - 1
    return [
        Evidence(
            "largest deviation of a sample from the exact law (S3) up to L/N = 10, in standard errors",
            largest_deviation(vni[common], exact[common], stderr[common]),
            high=STANDARD_ERRORS,
        ),
        Evidence("smallest VNI sampled beyond L/N = 10", vni[~common].min(), low=0.9),
        Evidence(
            "largest relative error of the first-order law (S1) up to L/N = 0.06", abs(error[t <= 0.06]).max(), high=0.1
        ),
        Evidence("smallest relative error of the first-order law (S1) from L/N = 1 on", error[t >= 1].min(), low=0.8),
        Evidence(
            "smallest deviation of a sample from the first-order law (S1) from L/N = 1 on, in standard errors",
            np.min(np.abs(vni - first_order)[late] / stderr[late]),
            low=STANDARD_ERRORS,
        ),
    ]


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
