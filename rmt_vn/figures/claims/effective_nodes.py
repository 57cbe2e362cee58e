"""S3 and S4 at large depth: the number of effective nodes falls to one, exponentially."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from scipy.special import gamma

from rmt_vn import laws
from rmt_vn.experiments import Engine, monte_carlo
from rmt_vn.figures.evidence import STANDARD_ERRORS, Evidence, largest_deviation
from rmt_vn.figures.style import COLOURS, new_figure, points
from rmt_vn.figures.tables import table
from rmt_vn.network import Network
from rmt_vn.samplers import sample_vni

CLAIM = "The number of effective nodes falls to one, in the end exponentially: 1 − VNI falls as t^(−3/2) exp(−t/8)"

CAPTION = (
    "Top: effective nodes 1/VNI of linear networks with Gaussian weights against depth over width, L/N, at three "
    "widths N; the thin grey line is one effective node. Bottom: 1 − VNI of the same networks, in the same colours "
    "and markers. Points are random networks and solid lines the exact law (S3). The dashed line is the law of wide "
    "layers (S4), for which t = L/N, and the dotted line what that law approaches at large t."
)

LAWS: tuple[str, ...] = ("exact_vni", "exact_vni_complement", "universal_vni_complement")

WIDTHS = (10, 30, 100)
DEPTH_TO_WIDTH = (0.1, 0.2, 0.5, 1, 2, 4, 8, 16, 24, 32)

PRESETS = {"quick": {"n_networks": 4000, "replicates": 2}, "paper": {"n_networks": 4000, "replicates": 100}}


def compute(*, seed: int, engine: Engine, n_networks: int, replicates: int) -> dict:
    estimates = monte_carlo(
        sample_vni,
        [{"network": _network(width, ratio), "n_networks": n_networks} for width in WIDTHS for ratio in DEPTH_TO_WIDTH],
        replicates=replicates,
        seed=seed,
        engine=engine,
        label="effective_nodes",
    )
    rows = [
        (network.widths[0], network.depth, float(estimate.mean), float(estimate.stderr))
        for estimate in estimates
        for network in [estimate.point["network"]]
    ]
    lines = [
        (width, network.depth, laws.exact_vni(network), laws.exact_vni_complement(network))
        for width in WIDTHS
        for ratio in np.geomspace(DEPTH_TO_WIDTH[0], 60, 80).tolist()
        for network in [_network(width, ratio)]
    ]
    t = np.linspace(0, 60, 121)
    tail = np.full(len(t), np.inf)
    tail[1:] = np.pi * gamma(0.25) ** 2 / (2 * np.sqrt(2)) * t[1:] ** -1.5 * np.exp(-t[1:] / 8)
    return {
        "samples": table(("width", "depth", "vni", "stderr"), rows),
        "theory": table(("width", "depth", "vni", "complement"), lines),
        "limit": {"t": t, "complement": laws.universal_vni_complement(t), "tail": tail},
    }


def _network(width: int, ratio: float) -> Network:
    return Network.uniform(width, max(1, round(ratio * width)), activation="linear")


def evidence(tables: dict) -> list[Evidence]:
    samples, theory, limit = tables["samples"], tables["theory"], tables["limit"]
    complement = np.array(
        [
            laws.exact_vni_complement(Network.uniform(width, depth, activation="linear"))
            for width, depth in zip(samples["width"].tolist(), samples["depth"].tolist(), strict=True)
        ]
    )
    # Deeper than this, what is left of 1 − VNI lies with one network in thousands, and a sample that holds too few of
    # them does not know its own error.
    common = samples["depth"] <= 24 * samples["width"]
    factor = (1 - samples["vni"][~common]) / complement[~common]
    # The tail without its power of t is a pure exponential, of which the logarithm has a constant slope.
    late = limit["t"] >= 30
    t = limit["t"][late]
    slope = np.gradient(np.log(limit["complement"][late]) + 1.5 * np.log(t), t)
    return [
        Evidence(
            "largest deviation of a sample from the exact law (S3) up to L/N = 24, in standard errors",
            largest_deviation(samples["vni"][common], 1 - complement[common], samples["stderr"][common]),
            high=STANDARD_ERRORS,
        ),
        Evidence(
            "largest factor between sampled and exact 1 − VNI (S3) beyond L/N = 24",
            np.max(np.maximum(factor, 1 / factor)),
            high=3,
        ),
        Evidence(
            "largest number of effective nodes of networks deeper than 20 widths",
            np.max(1 / theory["vni"][theory["depth"] > 20 * theory["width"]]),
            high=1.02,
        ),
        Evidence(
            "distance of the slope of ln[(1 − R(t)) t^(3/2)] at t = 60 from −1/8",
            abs(slope[-1] + 1 / 8),
            high=0.012,
        ),
        Evidence(
            "largest step of that slope away from −1/8 between t = 30 and 60",
            np.max(np.diff(np.abs(slope + 1 / 8))),
            high=0,
        ),
    ]


def draw(tables: dict) -> Figure:
    figure = new_figure(height=4.2)
    nodes, rest = figure.subplots(2, 1)
    samples, theory = tables["samples"], tables["theory"]
    for index, width in enumerate(WIDTHS):
        at, along = samples["width"] == width, theory["width"] == width
        x, vni, stderr = samples["depth"][at] / width, samples["vni"][at], samples["stderr"][at]
        nodes.loglog(theory["depth"][along] / width, 1 / theory["vni"][along], color=COLOURS[index])
        points(nodes, x, 1 / vni, stderr / vni**2, index, label=f"$N = {width}$")
        rest.semilogy(theory["depth"][along] / width, theory["complement"][along], color=COLOURS[index])
        points(rest, x, 1 - vni, stderr, index)
    limit = tables["limit"]
    rest.semilogy(limit["t"], limit["complement"], color="0.4", linestyle="--", label="$N \\to \\infty$, S4")
    # The leading term of the tail diverges at t = 0 and says nothing there.
    late = limit["t"] > 8
    rest.semilogy(
        limit["t"][late],
        limit["tail"][late],
        color="0.4",
        linestyle=":",
        label="its tail, $\\propto t^{-3/2} e^{-t/8}$",
    )
    nodes.plot([], [], color="0.4", label="exact, S3")
    nodes.axhline(1, color="0.7", linewidth=0.6, zorder=0)
    nodes.set(
        xlabel="depth / width, $L/N$",
        ylabel="effective nodes $1/\\mathrm{VNI}$",
        yticks=[1, 2, 5, 10],
        xlim=(0.09, 60),
        ylim=(0.9, 12),
    )
    nodes.set_yticklabels(["1", "2", "5", "10"])
    nodes.tick_params(axis="y", which="minor", left=False)
    nodes.legend(loc="upper right")
    rest.set(xlabel="depth / width, $L/N$", ylabel="$1 - \\mathrm{VNI}$", xlim=(0, 60), ylim=(1e-5, 1.3))
    rest.legend(loc="upper right")
    return figure
