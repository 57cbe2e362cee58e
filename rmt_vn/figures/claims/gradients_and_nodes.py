"""S5 and S3: mean squared gradients and VNI of ReLU networks below, at and above χ = 1."""

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
    "Vanishing gradients and vanishing nodes are two different challenges: χ decides whether gradients vanish or "
    "explode, and has no part in the VNI"
)

CAPTION = (
    "Random ReLU networks with Gaussian weights at three values of χ. Top: mean squared gradient at the inputs, over "
    "that at the last layer; the lines are χ to the power L (S5). Bottom: mean VNI of the last layer; the three "
    "lines of the exact law (S3) lie on one another. Points are moved sideways a little, so that they can be told "
    "apart."
)

LAWS: tuple[str, ...] = ("exact_vni", "gradient_growth")

CHI = (0.8, 1.0, 1.25)

PRESETS = {
    "quick": {"width": 60, "depths": [1, 5, 10, 15, 20, 25, 30], "n_networks": 40, "replicates": 10},
    "paper": {"width": 100, "depths": [1, 5, 10, 15, 20, 25, 30, 40, 50], "n_networks": 40, "replicates": 100},
}


def compute(*, seed: int, engine: Engine, width: int, depths: list[int], n_networks: int, replicates: int) -> dict:
    networks = [Network.uniform(width, depths[-1], activation="relu", sigma_w=(2 * chi) ** 0.5) for chi in CHI]
    estimates = monte_carlo(
        partial(sample_along_depth, measure=gradient_and_vni),
        [{"network": network, "depths": tuple(depths), "n_networks": n_networks} for network in networks],
        replicates=replicates,
        seed=seed,
        engine=engine,
        label="gradients_and_nodes",
    )
    samples = [
        (chi, depth, *mean, *stderr)
        for chi, estimate in zip(CHI, estimates, strict=True)
        for depth, mean, stderr in zip(depths, estimate.mean, estimate.stderr, strict=True)
    ]
    theory = [
        (chi, depth, float(laws.gradient_growth(network)[0]), laws.exact_vni(network))
        for chi in CHI
        for depth in range(1, depths[-1] + 1)
        for network in [Network.uniform(width, depth, activation="relu", sigma_w=(2 * chi) ** 0.5)]
    ]
    names = ("chi", "depth", "gradient", "vni", "gradient_stderr", "vni_stderr")
    return {
        "samples": table(names, samples),
        "theory": table(names[:4], theory),
    }


def gradient_and_vni(layer: JacobianLayer) -> np.ndarray:
    """Mean of ‖Jᵀδ‖² over unit gradients δ at the last layer, and the VNI, shape (networks, 2)."""
    jacobian = layer.jacobian
    squared = np.sum(jacobian**2, axis=(-2, -1)) * np.exp(2 * layer.log_norm) / jacobian.shape[-2]
    return np.stack([squared, measures.jacobian_vni(jacobian)], axis=-1)


def evidence(tables: dict) -> list[Evidence]:
    samples, theory = tables["samples"], tables["theory"]
    row = {key: index for index, key in enumerate(_keys(theory))}
    rows = [row[key] for key in _keys(samples)]
    depths = theory["depth"]
    return [
        Evidence(
            "largest deviation of a sampled mean squared gradient from χ^L (S5), in standard errors",
            largest_deviation(samples["gradient"], theory["gradient"][rows], samples["gradient_stderr"]),
            high=STANDARD_ERRORS,
        ),
        Evidence(
            "largest deviation of a sampled VNI from the exact law (S3), in standard errors",
            largest_deviation(samples["vni"], theory["vni"][rows], samples["vni_stderr"]),
            high=STANDARD_ERRORS,
        ),
        Evidence(
            "largest minus smallest χ^L of the three χ, at the largest depth",
            np.ptp(theory["gradient"][depths == depths.max()]),
            low=100,
        ),
        Evidence(
            "largest minus smallest exact VNI of the three χ, at the depth where they differ most",
            max(np.ptp(theory["vni"][depths == depth]) for depth in np.unique(depths)),
            high=0,
        ),
    ]


def _keys(table: dict) -> list[tuple]:
    return list(zip(table["chi"].tolist(), table["depth"].tolist(), strict=True))


def draw(tables: dict) -> Figure:
    figure = new_figure(height=3.9)
    gradient, nodes = figure.subplots(2, 1, sharex=True)
    samples, theory = tables["samples"], tables["theory"]
    for index, chi in enumerate(CHI):
        at, along = samples["chi"] == chi, theory["chi"] == chi
        shift = 0.25 * (index - 1)  # so that points of equal height can be told apart
        for axes, name in ((gradient, "gradient"), (nodes, "vni")):
            axes.plot(
                theory["depth"][along], theory[name][along], color=COLOURS[index], linestyle=("-", "--", ":")[index]
            )
            points(
                axes,
                samples["depth"][at] + shift,
                samples[name][at],
                samples[f"{name}_stderr"][at],
                index,
                label=f"$\\chi = {chi:g}$",
            )
    gradient.set(
        ylabel="mean squared gradient\n$E\\,\\Vert\\partial_0\\Vert^2 / \\Vert\\partial_L\\Vert^2$", yscale="log"
    )
    gradient.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(CHI))
    gradient.text(0.02, 0.93, "lines: $\\chi^L$, S5", transform=gradient.transAxes, fontsize=6.5)
    nodes.set(xlabel="depth $L$", ylabel="VNI", ylim=(0, 0.7))
    nodes.text(0.98, 0.05, "lines: exact, S3, the same for all", transform=nodes.transAxes, ha="right", fontsize=6.5)
    return figure
