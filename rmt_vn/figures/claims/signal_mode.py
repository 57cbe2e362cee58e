"""S4 and where it ends: the signal mode, which takes over where its share grows with depth, from about Λ = 1 on."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from rmt_vn import laws
from rmt_vn.experiments import Engine, monte_carlo, run
from rmt_vn.figures.evidence import STANDARD_ERRORS, Evidence, largest_deviation
from rmt_vn.figures.style import COLOURS, kind, new_figure, points
from rmt_vn.figures.tables import table
from rmt_vn.mean_field import fixed_point
from rmt_vn.network import Network
from rmt_vn.samplers import sample_vni

CLAIM = (
    "The universal law (S4) holds where the signal mode's share falls from layer to layer, Λ well below 1; as Λ comes "
    "to 1 and passes it, the VNI rises far above what the effective depth says"
)

CAPTION = (
    "Top: mean VNI against depth L of networks of N = 100 nodes with Gaussian weights, softplus without biases and "
    "SiLU with biases of variance 1/2, each at two σ_w. Points are random networks, "
    "dashed lines S4, solid lines the chain that follows the mode. Bottom: Λ, by which the mode's share of a row of "
    "the Jacobian grows in each layer, over the plane of σ_w and σ_b. Contours are labelled with their values; the "
    "orange line is Λ = 1, and in the plain grey region on the right variances grow without bound."
)

LAWS: tuple[str, ...] = ("effective_depth", "universal_vni")

WIDTH = 100
# Activation, σ_w, σ_b and a name for each network.
KINDS = (
    ("softplus", 1.0, 0.0),
    ("softplus", 1.35, 0.0),
    ("silu", 0.9, 0.5**0.5),
    ("silu", 1.39, 0.5**0.5),
)
LABELS = {"softplus": "softplus", "silu": "SiLU"}
SAMPLED = (2, 5, 10, 20, 30, 40)
DEPTHS = tuple(range(2, 41, 2))

PRESETS = {
    "quick": {"n_networks": 60, "n_chains": 1500, "replicates": 1, "grid": 10},
    "paper": {"n_networks": 200, "n_chains": 10_000, "replicates": 4, "grid": 40},
}


def compute(*, seed: int, engine: Engine, n_networks: int, n_chains: int, replicates: int, grid: int) -> dict:
    def estimates(depths, repeats, **sampling):
        tasks = [{"network": network_of(*each, depth), **sampling} for each in KINDS for depth in depths]
        each = monte_carlo(sample_vni, tasks, replicates=repeats, seed=seed, engine=engine, label="signal_mode")
        keys = [(*which, depth) for which in KINDS for depth in depths]
        return [(*key, float(one.mean), float(one.stderr)) for key, one in zip(keys, each, strict=True)]

    samples = estimates(SAMPLED, replicates, n_networks=n_networks)
    chains = estimates(sorted({*DEPTHS, *SAMPLED}), 1, n_networks=n_chains, method="signal_chain")
    theory = [
        (*row[:4], universal(network_of(*row[:4])), fixed_point(network_of(*row[:4])).signal_growth, *row[4:])
        for row in chains
    ]
    sigma_w, sigma_b = np.linspace(0.5, 1.5, grid), np.linspace(0, 1.5, grid)
    tasks = [{"activation": name, "sigma_w": w, "sigma_b": sigma_b} for name in LABELS for w in sigma_w.tolist()]
    rows = list(run(growth_row, tasks, engine=engine, label="signal_mode"))
    growth = np.stack([row["growth"] for row in rows]).reshape(len(LABELS), grid, grid)
    planes = dict(zip(LABELS, growth, strict=True))
    key = ("activation", "sigma_w", "sigma_b", "depth")
    return {
        "samples": table((*key, "vni", "stderr"), samples),
        "theory": table((*key, "universal", "growth", "chain", "chain_stderr"), theory),
        "plane": {"sigma_w": sigma_w, "sigma_b": sigma_b, **planes},
    }


def network_of(activation: str, sigma_w: float, sigma_b: float, depth: int) -> Network:
    return Network.uniform(WIDTH, depth, activation=activation, sigma_w=sigma_w, sigma_b=sigma_b)


def universal(network: Network) -> float:
    """S4 as it stands, whether or not it holds."""
    alone = 1 / WIDTH
    return alone + (1 - alone) * float(laws.universal_vni(laws.effective_depth(network)))


def growth_row(activation: str, sigma_w: float, sigma_b: np.ndarray) -> dict[str, np.ndarray]:
    """Λ at each σ_b; NaN where variances grow without bound."""
    row = []
    for bias in sigma_b.tolist():
        try:
            field = fixed_point(Network.uniform(2, 1, activation=activation, sigma_w=sigma_w, sigma_b=bias))
        except ValueError:
            row.append(np.nan)
        else:
            row.append(field.signal_growth)
    return {"growth": np.array(row)}


def evidence(tables: dict) -> list[Evidence]:
    samples, theory = tables["samples"], tables["theory"]
    law = {key: index for index, key in enumerate(_keys(theory))}
    at = np.array([law[key] for key in _keys(samples)])
    vni, stderr = samples["vni"], samples["stderr"]
    # Just below Λ = 1 the mode does not grow for ever, but to many times the 1/N that any direction has.
    growth = theory["growth"][at]
    growing = growth > 0.95
    deepest = samples["depth"] == max(SAMPLED)
    excess = vni / theory["universal"][at] - 1
    chain, chain_stderr = theory["chain"][at], theory["chain_stderr"][at]
    return [
        Evidence(
            "largest deviation of a sample from the chain beyond 2% of it, in standard errors",
            largest_deviation(vni, chain, np.hypot(stderr, chain_stderr), 0.02 * chain),
            high=STANDARD_ERRORS,
        ),
        # S4 leaves out terms of order 1/N, a few per cent at N = 100, and a mode that is small, but not nothing.
        Evidence(
            "largest deviation of a sample from S4 beyond 10% of it where Λ < 0.95, in standard errors",
            largest_deviation(vni[~growing], theory["universal"][at][~growing], stderr[~growing],
                              0.1 * theory["universal"][at][~growing]),
            high=STANDARD_ERRORS,
        ),
        Evidence("smallest excess over S4 at L = 40 where Λ > 0.95", excess[growing & deepest].min(), low=0.15),
        Evidence("largest excess over S4 at L = 40 where Λ < 0.95", excess[~growing & deepest].max(), high=0.12),
        Evidence("excess over S4 at L = 40 where Λ is largest", excess[deepest][growth[deepest].argmax()], low=0.5),
        Evidence("largest Λ of softplus in the plane", np.nanmax(tables["plane"]["softplus"]), low=1.1),
    ]  # fmt: skip


def _keys(of: dict) -> list[tuple]:
    return list(zip(*(of[name].tolist() for name in ("activation", "sigma_w", "sigma_b", "depth")), strict=True))


def draw(tables: dict) -> Figure:
    figure = new_figure(height=4.4)
    (top, bottom) = figure.subplots(2, 2, sharey="row", height_ratios=(1.3, 1))
    samples, theory, plane = tables["samples"], tables["theory"], tables["plane"]
    for index, (name, sigma_w, _) in enumerate(KINDS):
        axes, colour = top[index // 2], COLOURS[index % 2]
        at, along = ((each["activation"] == name) & (each["sigma_w"] == sigma_w) for each in (samples, theory))
        depth, growth = theory["depth"][along], theory["growth"][along][0]
        axes.plot(depth, theory["chain"][along], color=colour)
        axes.plot(depth, theory["universal"][along], color=colour, linestyle="--")
        label = f"$\\sigma_w = {sigma_w:g}$, $\\Lambda = {growth:.2f}$"
        points(axes, samples["depth"][at], samples["vni"][at], samples["stderr"][at], index % 2, label=label)
    for axes, title in zip(top, LABELS.values(), strict=True):
        axes.set(title=title, xlabel="depth $L$", ylim=(0, 1))
        axes.legend(loc="upper left", handletextpad=0.2)
    top[0].set_ylabel("VNI")
    entries = [kind("samples", linestyle="none"), kind("chain"), kind("S4", linestyle="--")]
    for entry in entries[1:]:
        entry.set_marker("")
    figure.legend(handles=entries, loc="outside upper center", ncols=3)
    # Without biases q* of SiLU is 0 and Λ another: a jump that contours cannot draw.
    with_bias = plane["sigma_b"] > 0
    sigma_w, sigma_b = plane["sigma_w"], plane["sigma_b"][with_bias]
    for axes, name in zip(bottom, LABELS, strict=True):
        values, levels = plane[name].T[with_bias], [0.4, 0.6, 0.8, 1, 1.1]
        axes.set_facecolor("0.9")
        axes.contourf(sigma_w, sigma_b, values, levels=levels, cmap="Greys", alpha=0.5, extend="both")
        lines = axes.contour(sigma_w, sigma_b, values, levels=levels, colors="0.3", linewidths=0.5)
        axes.clabel(lines, fontsize=6, fmt="%g")
        axes.contour(sigma_w, sigma_b, values, levels=[1], colors="#D55E00", linewidths=1.6)
        axes.set(xlabel="$\\sigma_w$", title="$\\Lambda$")
    bottom[0].set_ylabel("$\\sigma_b$")
    return figure
