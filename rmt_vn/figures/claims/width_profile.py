"""S3 at unequal widths: the sum of 1/n_l decides, not the number of parameters."""

from __future__ import annotations

from itertools import pairwise

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
    "In networks of unequal widths the sum of 1/n over the layers decides: equal sums end at the same VNI, equal "
    "numbers of parameters do not"
)

CAPTION = (
    "Linear networks with Gaussian weights and 40 layers in three shapes: of constant width, a funnel that narrows, "
    "and a bottleneck in the middle. Top: their widths n_l, chosen for equal sums of 1/n_l. Middle: the mean VNI of "
    "each layer of these networks. Bottom: the same for networks of these shapes with equal numbers of parameters. "
    "Points are random networks, lines the exact law (S3)."
)

LAWS: tuple[str, ...] = ("exact_vni",)

# n_0 … n_{L−1} up to a common factor; the last layer has 60 nodes in all of them.
_LAYER = np.arange(40)
SHAPES = {
    "constant": np.ones(40),
    "funnel": 8.0 ** (-_LAYER / 39),
    "bottleneck": np.where(np.abs(_LAYER - 19.5) < 3, 0.12, 1.0),
}
LAST = 60
SAMPLED = (1, 4, 8, 12, 16, 18, 20, 22, 24, 28, 32, 36, 40)

PRESETS = {"quick": {"n_networks": 4000, "replicates": 1}, "paper": {"n_networks": 4000, "replicates": 25}}


def compute(*, seed: int, engine: Engine, n_networks: int, replicates: int) -> dict:
    profiles = {
        (comparison, name): (*np.rint(scale(shape) * shape).astype(int).tolist(), LAST)
        for comparison, scale in (("equal sum of 1/n", _to_equal_sum), ("equal parameters", _to_equal_parameters))
        for name, shape in SHAPES.items()
    }
    cut = {
        (*key, depth): Network(widths[: depth + 1], activation="linear")
        for key, widths in profiles.items()
        for depth in range(1, len(widths))
    }
    sampled = {key: network for key, network in cut.items() if key[-1] in SAMPLED}
    estimates = monte_carlo(
        sample_vni,
        [{"network": network, "n_networks": n_networks} for network in sampled.values()],
        replicates=replicates,
        seed=seed,
        engine=engine,
        label="width_profile",
    )
    samples = [(*key, float(each.mean), float(each.stderr)) for key, each in zip(sampled, estimates, strict=True)]
    theory = [
        (*key, network.widths[-1], inverse_sum(network.widths), parameters(network.widths), laws.exact_vni(network))
        for key, network in cut.items()
    ]
    key = ("comparison", "shape", "depth")
    return {
        "samples": table((*key, "vni", "stderr"), samples),
        "theory": table((*key, "width", "inverse_sum", "parameters", "exact"), theory),
    }


def inverse_sum(widths: tuple[int, ...]) -> float:
    """Σ 1/n_l over the fan-ins n_0 … n_{L−1}."""
    return float(sum(1 / width for width in widths[:-1]))


def parameters(widths: tuple[int, ...]) -> int:
    """Number of weights."""
    return sum(n_in * n_out for n_in, n_out in pairwise(widths))


def _to_equal_sum(shape: np.ndarray) -> float:
    return LAST * float(np.mean(1 / shape))


def _to_equal_parameters(shape: np.ndarray) -> float:
    # The weights number a c² + b c at scale c, and 60² each where all widths are 60.
    a, b = float(np.sum(shape[:-1] * shape[1:])), float(shape[-1] * LAST)
    return (np.sqrt(b**2 + 4 * a * len(shape) * LAST**2) - b) / (2 * a)


def evidence(tables: dict) -> list[Evidence]:
    samples, theory = tables["samples"], tables["theory"]
    exact = dict(zip(_keys(theory), theory["exact"].tolist(), strict=True))
    last = theory["depth"] == theory["depth"].max()
    equal_sum, equal_size = (last & (theory["comparison"] == each) for each in ("equal sum of 1/n", "equal parameters"))
    return [
        Evidence(
            "largest deviation of a sample from the exact law (S3), in standard errors",
            largest_deviation(samples["vni"], [exact[key] for key in _keys(samples)], samples["stderr"]),
            high=STANDARD_ERRORS,
        ),
        Evidence(
            "largest minus smallest VNI of the last layer among networks of equal sums of 1/n",
            np.ptp(theory["exact"][equal_sum]),
            high=0.02,
        ),
        Evidence(
            "largest minus smallest VNI of the last layer among networks of equal numbers of parameters",
            np.ptp(theory["exact"][equal_size]),
            low=0.1,
        ),
        # Widths are integers, so that neither can be made quite equal.
        Evidence(
            "relative difference of the sums of 1/n that are called equal",
            _relative_range(theory["inverse_sum"][equal_sum]),
            high=0.03,
        ),
        Evidence(
            "relative difference of the numbers of parameters that are called equal",
            _relative_range(theory["parameters"][equal_size]),
            high=0.03,
        ),
    ]


def _keys(table: dict) -> list[tuple]:
    return list(zip(*(table[name].tolist() for name in ("comparison", "shape", "depth")), strict=True))


def _relative_range(values: np.ndarray) -> float:
    return np.ptp(values) / np.mean(values)


def draw(tables: dict) -> Figure:
    figure = new_figure(height=4.4)
    widths, *panels = figure.subplots(3, 1, sharex=True, height_ratios=(1, 1.6, 1.6))
    samples, theory = tables["samples"], tables["theory"]
    for axes, comparison in zip(panels, dict.fromkeys(theory["comparison"].tolist()), strict=True):
        for index, shape in enumerate(SHAPES):
            at, along = ((table["shape"] == shape) & (table["comparison"] == comparison) for table in (samples, theory))
            axes.plot(theory["depth"][along], theory["exact"][along], color=COLOURS[index])
            points(axes, samples["depth"][at], samples["vni"][at], samples["stderr"][at], index, label=shape)
            if axes is panels[0]:
                widths.step(theory["depth"][along], theory["width"][along], color=COLOURS[index], where="mid")
        axes.set(ylabel="VNI", ylim=(0, 0.75))
        axes.set_title(
            {"equal parameters": "equal numbers of parameters"}.get(comparison, "equal sums of $1/n_l$"), loc="left"
        )
    widths.set(ylabel="width $n_l$", yscale="log", yticks=[20, 60, 180])
    widths.set_yticklabels(["20", "60", "180"])
    widths.minorticks_off()
    widths.set_title("widths, for equal sums of $1/n_l$", loc="left")
    panels[0].legend(loc="upper left", title="points: samples; lines: exact, S3", title_fontsize=6.5, alignment="left")
    panels[1].set(xlabel="layer $l$", xlim=(0, 41))
    return figure
