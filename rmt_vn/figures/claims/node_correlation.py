"""Vanishing nodes at sight: squared correlations of the nodes of random networks, layer by layer."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from rmt_vn import measures
from rmt_vn.experiments import Engine, run
from rmt_vn.figures.evidence import Evidence
from rmt_vn.figures.style import new_figure
from rmt_vn.network import WEIGHTS, Network
from rmt_vn.samplers import JacobianLayer, sample_along_depth

CLAIM = "Hidden nodes become correlated with depth, and sooner with Gaussian than with Haar weights"

CAPTION = (
    "Squared correlation coefficients ρ_ij² of all pairs of nodes i, j in four layers of two random tanh networks, "
    "one with Gaussian and one with Haar orthogonal weights, over inputs in a small ball. Each square is a layer; "
    "its nodes are sorted so that correlated ones stand together. Below it is the VNI of the layer, which is the "
    "mean of the square."
)

LAWS: tuple[str, ...] = ()

PRESETS = {
    "quick": {"width": 50, "depths": [1, 10, 30, 90], "sigma_w": 1.2},
    "paper": {"width": 100, "depths": [1, 20, 60, 180], "sigma_w": 1.2},
}


def compute(*, seed: int, engine: Engine, width: int, depths: list[int], sigma_w: float) -> dict:
    tasks = [
        {
            "network": Network.uniform(width, depths[-1], activation="tanh", weights=weights, sigma_w=sigma_w),
            "depths": tuple(depths),
            "seed": child,
        }
        for weights, child in zip(WEIGHTS, np.random.SeedSequence(seed).spawn(len(WEIGHTS)), strict=True)
    ]
    results = run(correlations_along_depth, tasks, engine=engine, label="node_correlation")
    return {
        "matrices": {
            "correlation": np.stack([_ordered(result["correlation"]) for result in results]),
            "depth": np.array(depths),
            "weights": np.array(WEIGHTS),
        }
    }


def correlations_along_depth(network: Network, depths: tuple[int, ...], seed: np.random.SeedSequence) -> dict:
    """The matrices ρ_ij of some layers of one random network."""
    layers = sample_along_depth(network, depths, 1, measure=_correlation, rng=np.random.default_rng(seed))
    return {"correlation": layers[0]}


def _correlation(layer: JacobianLayer) -> np.ndarray:
    return measures.jacobian_correlation(layer.jacobian)


def _ordered(matrices: np.ndarray) -> np.ndarray:
    """The nodes of each layer sorted by the first eigenvector of its ρ_ij², so that correlated ones are together."""
    ordered = []
    for matrix in matrices:
        order = np.argsort(np.linalg.eigh(matrix**2)[1][:, -1])
        ordered.append(matrix[np.ix_(order, order)])
    return np.stack(ordered)


def evidence(tables: dict) -> list[Evidence]:
    correlation = tables["matrices"]["correlation"]
    vni = np.mean(correlation**2, axis=(-2, -1))
    gaussian, haar = vni
    return [
        Evidence("smallest rise of the VNI from one of the layers shown to the next", np.diff(vni).min(), low=0),
        Evidence(
            "smallest excess of the VNI with Gaussian weights over that with Haar weights",
            np.min(gaussian - haar),
            low=0,
        ),
        # One layer of Haar weights keeps tanh's nodes all but independent.
        Evidence(
            "VNI after one layer of Haar weights, in units of 1/N, its value for independent nodes",
            haar[0] * correlation.shape[-1],
            high=1.5,
        ),
    ]


def draw(tables: dict) -> Figure:
    table = tables["matrices"]
    squared = table["correlation"] ** 2
    figure = new_figure(height=1.85)
    panels = figure.subplots(len(squared), squared.shape[1])
    for row, weights in enumerate(table["weights"]):
        for column, depth in enumerate(table["depth"]):
            axes = panels[row, column]
            image = axes.imshow(squared[row, column], vmin=0, vmax=1, cmap="magma_r", interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(True)
            axes.set_xlabel(f"VNI {squared[row, column].mean():.2f}", labelpad=2, fontsize=7)
            if row == 0:
                axes.set_title(f"layer {depth}", pad=3)
        panels[row, 0].set_ylabel({"gaussian": "Gaussian", "orthogonal": "Haar"}[weights])
    figure.colorbar(image, ax=panels, label="squared correlation $\\rho_{ij}^2$", shrink=0.8, aspect=18, pad=0.02)
    return figure
