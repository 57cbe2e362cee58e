"""S8: how skip connections keep nodes, in one effective depth."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from rmt_vn import laws
from rmt_vn.experiments import Engine, monte_carlo
from rmt_vn.figures.evidence import STANDARD_ERRORS, Evidence, largest_deviation
from rmt_vn.figures.style import COLOURS, new_figure, points
from rmt_vn.figures.tables import table
from rmt_vn.network import Network, ResidualNetwork
from rmt_vn.samplers import sample_vni

CLAIM = (
    "One effective depth t says how nodes vanish in plain and residual networks (S4, S8): it grows in proportion to "
    "depth in plain networks and with post-LN, like ln L with pre-LN, and stays bounded with branches of variance 1/L"
)

CAPTION = (
    "Networks of N = 100 nodes with Gaussian weights and tanh, plain (σ_w = 1) and of residual blocks x + βW₂φ(W₁u) "
    "with as many nodes in the branch: β = 1/√L without normalization, β = 1 with LayerNorm before the branch (pre-LN) "
    "and behind the sum (post-LN). Left: mean VNI against the number L of layers or blocks; points are random "
    "networks, lines the laws, the dotted line is 1/N. Right, above: effective depth t of the same four, with the "
    "slope 2κ/N against ln L to which pre-LN tends (dashed). Right, below: the mean ρ² of two nodes of all these "
    "samples against t, and the one curve R(t)."
)

LAWS: tuple[str, ...] = ("effective_depth", "pre_norm_slope", "universal_vni")

WIDTH = 100
KINDS = ("plain", "post-LN", "pre-LN", "1/√L")
SAMPLED = (2, 4, 8, 16, 32, 64, 128, 256)
DEPTHS = tuple(np.unique(np.geomspace(1, 512, 40).round().astype(int)).tolist())

PRESETS = {
    "quick": {"n_networks": 10, "replicates": 1, "deepest": 64},
    "paper": {"n_networks": 60, "replicates": 2, "deepest": 256},
}


def compute(*, seed: int, engine: Engine, n_networks: int, replicates: int, deepest: int) -> dict:
    keys = [(name, depth) for name in KINDS for depth in SAMPLED if depth <= deepest]
    tasks = [
        {"network": network_of(name, depth), "n_networks": n_networks, "input_variance": 1.0} for name, depth in keys
    ]
    sampled = monte_carlo(sample_vni, tasks, replicates=replicates, seed=seed, engine=engine, label="residual_networks")
    samples = [
        (name, depth, *law(name, depth), float(one.mean), float(one.stderr))
        for (name, depth), one in zip(keys, sampled, strict=True)
    ]
    theory = [(name, depth, *law(name, depth)) for name in KINDS for depth in DEPTHS]
    columns = ("kind", "depth", "effective_depth", "law")
    return {"samples": table((*columns, "vni", "stderr"), samples), "theory": table(columns, theory)}


def network_of(name: str, depth: int) -> Network | ResidualNetwork:
    if name == "plain":
        return Network.uniform(WIDTH, depth, activation="tanh")
    kinds = {"pre-LN": (1.0, "pre"), "post-LN": (1.0, "post"), "1/√L": ("1/sqrt(L)", "none")}
    scale, norm = kinds[name]
    return ResidualNetwork(WIDTH, depth, WIDTH, "tanh", branch_scale=scale, normalization=norm)  # type: ignore[arg-type]


def law(name: str, depth: int) -> tuple[float, float]:
    """t, and 1/N + (1 − 1/N) R(t)."""
    t = laws.effective_depth(network_of(name, depth), input_variance=1.0)
    return t, 1 / WIDTH + (1 - 1 / WIDTH) * float(laws.universal_vni(t))


def evidence(tables: dict) -> list[Evidence]:
    samples, theory = tables["samples"], tables["theory"]
    vni, said = samples["vni"], samples["law"]
    t = {(k, d): x for k, d, x in zip(theory["kind"], theory["depth"], theory["effective_depth"], strict=True)}
    deep, middle = max(DEPTHS), min(DEPTHS, key=lambda depth: abs(depth - 64))
    plain, post, pre, kept = KINDS
    deepest = samples["depth"] == samples["depth"].max()
    of = {name: float(vni[deepest & (samples["kind"] == name)][0]) for name in KINDS}
    slope = (t[pre, deep] - t[pre, middle]) / np.log(deep / middle)
    return [
        # S4 and S8 leave out terms of order 1/N.
        Evidence(
            "largest deviation of a sample from the law beyond 4% of it, in standard errors",
            largest_deviation(vni, said, samples["stderr"], 0.04 * said),
            high=STANDARD_ERRORS,
        ),
        Evidence("least growth of t per layer, all layers over the first 16, plain and post-LN",
                 min(_growth(t, plain), _growth(t, post)), 0.9, 1.1),
        Evidence(
            "slope of t against ln L with pre-LN, over 2κ/N",
            slope / laws.pre_norm_slope(network_of(pre, deep)),  # type: ignore[arg-type]
            0.9,
            1.1,
        ),
        Evidence("t at the largest depth over that at about L = 64, 1/√L", t[kept, deep] / t[kept, middle], 0.95, 1.05),
        Evidence("least excess of the VNI over 1/N at the largest depth sampled, plain and post-LN over pre-LN",
                 (min(of[plain], of[post]) - 1 / WIDTH) / (of[pre] - 1 / WIDTH), low=3.0),
        Evidence("effective nodes at the largest depth sampled, β = 1/√L", 1 / of[kept], low=WIDTH / 5),
    ]  # fmt: skip


def _growth(t: dict, name: str) -> float:
    """Of t per layer, over all layers and over the first sixteen or so."""
    first, last = min(DEPTHS, key=lambda depth: abs(depth - 16)), max(DEPTHS)
    return t[name, last] / last / (t[name, first] / first)


def draw(tables: dict) -> Figure:
    figure = new_figure(height=3.4, width=5.0)
    grid = figure.add_gridspec(2, 2, width_ratios=(1.25, 1))
    left, above, below = (figure.add_subplot(part) for part in (grid[:, 0], grid[0, 1], grid[1, 1]))
    samples, theory = tables["samples"], tables["theory"]
    grid_t = np.geomspace(2e-3, 20, 200)
    below.plot(grid_t, np.asarray(laws.universal_vni(grid_t)), color="0.4", label="$R(t)$")
    labels = {"1/√L": "residual, $\\beta = 1/\\sqrt{L}$", "pre-LN": "residual, pre-LN", "post-LN": "residual, post-LN"}
    for index, name in enumerate(KINDS):
        at, along = samples["kind"] == name, theory["kind"] == name
        depth, t = theory["depth"][along], theory["effective_depth"][along]
        left.plot(depth, theory["law"][along], color=COLOURS[index])
        above.plot(depth, t, color=COLOURS[index])
        vni, stderr = samples["vni"][at], samples["stderr"][at]
        points(left, samples["depth"][at], vni, stderr, index, label=labels.get(name, name))
        square = (vni - 1 / WIDTH) / (1 - 1 / WIDTH)
        points(below, samples["effective_depth"][at], square, stderr, index)
        if name == "pre-LN":
            slope = laws.pre_norm_slope(network_of(name, int(depth[-1])))  # type: ignore[arg-type]
            late = depth >= 8
            above.plot(depth[late], t[-1] + slope * np.log(depth[late] / depth[-1]), color="0.2", linestyle="--",
                       linewidth=0.8, label="slope $2\\kappa/N$")  # fmt: skip
    left.axhline(1 / WIDTH, color="0.6", linewidth=0.6, linestyle=":", label="$1/N$")
    left.set(xscale="log", yscale="log", xlabel="layers or blocks $L$", ylabel="VNI", ylim=(0.008, 1.15))
    left.legend(loc="upper left", handletextpad=0.3)
    above.set(xscale="log", yscale="log", xlabel="layers or blocks $L$", ylabel="effective depth $t$")
    above.legend(loc="upper left", handletextpad=0.3)
    below.set(xscale="log", yscale="log", xlabel="effective depth $t$", ylabel="mean $\\rho^2$", ylim=(1.5e-3, 1.3))
    below.legend(loc="lower right")
    return figure
