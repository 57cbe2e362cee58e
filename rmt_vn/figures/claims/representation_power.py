"""What a linear readout recovers of the inputs from random layers, against their effective nodes."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rmt_vn import measures
from rmt_vn.experiments import Engine, monte_carlo
from rmt_vn.figures.evidence import Evidence
from rmt_vn.figures.style import COLOURS, new_figure, points
from rmt_vn.figures.tables import table
from rmt_vn.network import Network
from rmt_vn.samplers import walk_activations, walk_jacobian

CLAIM = (
    "What a linear readout recovers of narrow inputs falls with the effective nodes; of wide inputs as "
    "much can be lost by a network that keeps its nodes"
)

CAPTION = (
    "Share of the variance of the inputs that the best linear readout recovers from a layer of a random tanh network "
    "with a little noise added, against the effective nodes of that layer. Left: inputs in a small ball. Right: "
    "inputs from the normal distribution N(0, I). Lines join the layers of one kind of network, from the first at "
    "the upper right to the last. Points are random networks with Gaussian (filled) or Haar weights (open)."
)

LAWS: tuple[str, ...] = ()

# σ_w², weights
CASES = ((1.0, "gaussian"), (1.0, "orthogonal"), (2.0, "gaussian"), (2.0, "orthogonal"))

# Standard deviation of the noise of each node, over the root mean square signal of the layer. Without noise a linear
# readout would invert any invertible J, however small its singular values, and nothing would ever be lost.
NOISE = 0.1

PRESETS = {
    "quick": {"width": 50, "depths": [1, 2, 5, 10, 20, 50, 100], "inputs": 2000, "networks": 6},
    "paper": {"width": 100, "depths": [1, 2, 5, 10, 20, 50, 100, 200], "inputs": 5000, "networks": 30},
}


def compute(*, seed: int, engine: Engine, width: int, depths: list[int], inputs: int, networks: int) -> dict:
    cases = [
        Network.uniform(width, depths[-1], activation="tanh", weights=weights, sigma_w=square**0.5)
        for square, weights in CASES
    ]
    rows = []
    grid = [{"network": network, "depths": tuple(depths)} for network in cases]
    for sample, kind, more in ((narrow_readout, "narrow", {}), (wide_readout, "wide", {"inputs": inputs})):
        estimates = monte_carlo(
            sample,
            [point | more for point in grid],
            replicates=networks,
            seed=seed,
            engine=engine,
            label="representation_power",
        )
        rows += [
            (kind, square, weights, depth, *mean, *stderr)
            for (square, weights), estimate in zip(CASES, estimates, strict=True)
            for depth, mean, stderr in zip(depths, estimate.mean, estimate.stderr, strict=True)
        ]
    names = ("inputs", "sigma_w_squared", "weights", "depth", "explained", "vni", "explained_stderr", "vni_stderr")
    return {"samples": table(names, rows)}


def narrow_readout(network: Network, depths: tuple[int, ...], *, rng: np.random.Generator) -> np.ndarray:
    """What share of the variance of inputs in a small ball the best linear readout recovers from noisy nodes; the VNI.

    The best readout of x from J x + noise recovers (1/n_0) Σ_i s_i²/(s_i² + η²), s_i the singular values of J, when the
    noise has variance η² (the Wiener filter): no samples are needed. Shape (1, len(depths), 2).
    """
    values = []
    for depth, layer in enumerate(walk_jacobian(network, 1, rng=rng), start=1):
        if depth in depths:
            power = np.linalg.svd(layer.jacobian[0], compute_uv=False) ** 2
            noise = NOISE**2 * power.sum() / layer.jacobian.shape[-2]
            explained = np.sum(power / (power + noise)) / network.widths[0]
            values.append((explained, measures.jacobian_vni(layer.jacobian)[0]))
    return np.array(values)[None]


def wide_readout(network: Network, depths: tuple[int, ...], inputs: int, *, rng: np.random.Generator) -> np.ndarray:
    """The same for inputs from N(0, I), by a ridge regression of the inputs on a layer, measured on new inputs.

    The noise of the nodes is averaged over, not drawn: it adds η² to the diagonal of their covariance, and η²‖w‖² to
    the error of a readout w.
    """
    x = rng.standard_normal((2 * inputs, network.widths[0]))
    values = []
    for depth, activations in enumerate(walk_activations(network, x, rng=rng), start=1):
        if depth in depths:
            z = activations / np.sqrt(np.mean(activations**2))
            (z_train, z_test), (x_train, x_test) = np.split(z, 2), np.split(x, 2)
            covariance = z_train.T @ z_train / inputs + NOISE**2 * np.eye(z.shape[1])
            readout = np.linalg.solve(covariance, z_train.T @ x_train / inputs)
            error = np.mean((z_test @ readout - x_test) ** 2) + NOISE**2 * np.mean(np.sum(readout**2, axis=0))
            values.append((1 - error / np.mean(x_test**2), measures.plug_in_vni(activations)))
    return np.array(values)[None]


def evidence(tables: dict) -> list[Evidence]:
    samples = tables["samples"]
    gaussian = samples["weights"] == "gaussian"
    narrow = samples["inputs"] == "narrow"
    first, last = (samples["depth"] == depth for depth in (samples["depth"].min(), samples["depth"].max()))
    critical, chaotic = (samples["sigma_w_squared"] == square for square in (1.0, 2.0))
    lost = samples["explained"][narrow & gaussian & first] - samples["explained"][narrow & gaussian & last]
    order = np.argsort(samples["vni"][narrow])
    rank = np.argsort(np.argsort(-samples["explained"][narrow][order]))
    wide_chaotic = ~narrow & gaussian & chaotic & last
    narrow_critical = narrow & gaussian & critical & last
    return [
        Evidence(
            "smallest loss of recovered variance from the first layer to the last, narrow inputs, Gaussian weights",
            lost.min(),
            low=0.3,
        ),
        Evidence(
            "rank correlation of recovered variance and effective nodes over all layers and networks, narrow inputs",
            np.corrcoef(np.arange(len(rank)), rank)[0, 1],
            low=0.9,
        ),
        Evidence(
            "VNI of the last layer, Gaussian weights: of chaotic networks, wide inputs, over critical, narrow inputs",
            float(samples["vni"][wide_chaotic][0] / samples["vni"][narrow_critical][0]),
            high=0.6,
        ),
        Evidence(
            "share of the variance of wide inputs that is recovered from the last layer of those chaotic networks",
            float(samples["explained"][wide_chaotic][0]),
            high=0.2,
        ),
    ]


def draw(tables: dict) -> Figure:
    samples = tables["samples"]
    figure = new_figure(height=2.7)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, kind, title in zip(panels, ("narrow", "wide"), ("narrow (a small ball)", "wide, $N(0, I)$"), strict=True):
        for index, (square, weights) in enumerate(CASES):
            at = (samples["inputs"] == kind) & (samples["sigma_w_squared"] == square) & (samples["weights"] == weights)
            vni, error = samples["vni"][at], samples["vni_stderr"][at]
            points(
                axes,
                1 / vni,
                samples["explained"][at],
                samples["explained_stderr"][at],
                index,
                filled=weights == "gaussian",
            )
            axes.errorbar(
                1 / vni,
                samples["explained"][at],
                xerr=2 * error / vni**2,
                color=COLOURS[index],
                linewidth=0.5,
                elinewidth=0.8,
            )
        axes.set(xscale="log", xlabel="effective nodes $1/\\mathrm{VNI}$", xlim=(1, 130), ylim=(-0.04, 1.03))
        axes.set_title(f"inputs: {title}", fontsize=7)
    panels[0].set_ylabel("share of the inputs' variance\nthat a readout recovers")
    handles = [
        Line2D(
            [], [], color=COLOURS[index], marker="os^D"[index], linewidth=0.5,
            markerfacecolor=COLOURS[index] if weights == "gaussian" else "white",
            label=f"$\\sigma_w^2 = {square:g}$, {'Gaussian' if weights == 'gaussian' else 'Haar'}",
        )
        for index, (square, weights) in enumerate(CASES)
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside upper center", ncols=2)
    return figure
