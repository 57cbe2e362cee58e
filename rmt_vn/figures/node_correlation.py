"""The phenomenon itself: correlations of the nodes of one network, layer by layer."""

from __future__ import annotations

from functools import partial

import numpy as np
from matplotlib.figure import Figure

from rmt_vn import measures
from rmt_vn.experiments import along_depth, run
from rmt_vn.figures.style import new_figure
from rmt_vn.network import WEIGHTS, Network
from rmt_vn.samplers import JacobianLayer

CLAIM = "Hidden nodes become correlated with depth, sooner with Gaussian than with Haar weights"

PRESETS = {
    "quick": {"width": 50, "depths": [1, 10, 30, 90], "sigma_w": 1.2},
    "paper": {"width": 100, "depths": [1, 20, 60, 180], "sigma_w": 1.2},
}


def compute(*, seed: int, jobs: int | None, width: int, depths: list[int], sigma_w: float) -> dict:
    tasks = [
        {
            "network": Network.uniform(width, depths[-1], activation="tanh", weights=weights, sigma_w=sigma_w),
            "depths": tuple(depths),
            "n_samples": 1,
            "rng": child,
        }
        for weights, child in zip(WEIGHTS, np.random.SeedSequence(seed).spawn(len(WEIGHTS)), strict=True)
    ]
    matrices = run(partial(along_depth, measure=correlations), tasks, jobs=jobs, label="node_correlation")
    return {
        "matrices": {
            "correlation": np.stack([_ordered(each[0]) for each in matrices]),
            "depth": np.array(depths),
            "weights": np.array(WEIGHTS),
        }
    }


def correlations(layer: JacobianLayer) -> np.ndarray:
    return measures.jacobian_correlation(layer.jacobian)


def _ordered(matrices: np.ndarray) -> np.ndarray:
    """Each layer's nodes in the order of the leading eigenvector of its ρ_ij², so that groups stand together."""
    ordered = []
    for matrix in matrices:
        order = np.argsort(np.linalg.eigh(matrix**2)[1][:, -1])
        ordered.append(matrix[np.ix_(order, order)])
    return np.stack(ordered)


def draw(tables: dict) -> Figure:
    table = tables["matrices"]
    squared = table["correlation"] ** 2
    figure = new_figure(height=1.95)
    panels = figure.subplots(len(squared), squared.shape[1])
    for row, weights in enumerate(table["weights"]):
        for column, depth in enumerate(table["depth"]):
            axes = panels[row, column]
            image = axes.imshow(squared[row, column], vmin=0, vmax=1, cmap="magma_r", interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(True)
            axes.set_xlabel(f"VNI {squared[row, column].mean():.2f}", labelpad=2, fontsize=7)
            if row == 0:
                axes.set_title(f"$l = {depth}$", pad=3)
        panels[row, 0].set_ylabel({"gaussian": "Gaussian", "orthogonal": "Haar"}[weights])
    figure.colorbar(image, ax=panels, label="$\\rho_{ij}^2$", shrink=0.8, aspect=18, pad=0.02)
    return figure
