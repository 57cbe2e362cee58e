"""S3 and S4: the distribution of the correlation of two nodes, against histograms over random networks."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from rmt_vn import laws
from rmt_vn.experiments import Engine, run
from rmt_vn.figures.evidence import STANDARD_ERRORS, Evidence
from rmt_vn.figures.style import COLOURS, new_figure, points
from rmt_vn.figures.tables import table
from rmt_vn.network import Network
from rmt_vn.samplers import sample_correlation

CLAIM = (
    "The whole distribution of the correlation ρ of two nodes is known: it is nearly normal at first, and close to "
    "−1 and 1 in deep networks"
)

CAPTION = (
    "Points are histograms of ρ over many random networks of depth L and effective depth t. Top: linear networks; "
    "the lines are the exact law at their width (S3). Bottom: tanh networks; the lines are the law of wide layers "
    "(S4)."
)

LAWS: tuple[str, ...] = ("correlation_cdf", "correlation_density")

WIDTH = 20  # of the linear networks
DEPTHS = (2, 6, 20, 60)
EDGES = np.sin(np.linspace(-np.pi / 2, np.pi / 2, 23))  # finer towards ±1, where densities grow

PRESETS = {
    "quick": {"n_linear": 40_000, "tanh_width": 48, "n_tanh": 250, "replicates": 5},
    "paper": {"n_linear": 40_000, "tanh_width": 96, "n_tanh": 250, "replicates": 16},
}


def compute(*, seed: int, engine: Engine, n_linear: int, tanh_width: int, n_tanh: int, replicates: int) -> dict:
    studies = [(Network.uniform(WIDTH, depth, activation="linear"), n_linear) for depth in DEPTHS]
    studies += [(_tanh_network(tanh_width, depth / WIDTH), n_tanh) for depth in DEPTHS]
    seeds = np.random.SeedSequence(seed).spawn(len(studies))
    tasks = [
        {"network": network, "n_networks": n_networks, "seed": child}
        for (network, n_networks), parent in zip(studies, seeds, strict=True)
        for child in parent.spawn(replicates)
    ]
    results = list(run(histogram, tasks, engine=engine, label="correlation_distribution"))
    rho = np.sin(np.linspace(-np.pi / 2, np.pi / 2, 251)[1:-1])
    rows, lines = [], []
    for index, (network, _) in enumerate(studies):
        count = np.sum([result["count"] for result in results[index * replicates : (index + 1) * replicates]], axis=0)
        name, width, depth, t = network.activation.name, network.widths[0], network.depth, laws.effective_depth(network)
        rows += [(name, width, depth, t, *cell) for cell in zip(EDGES[:-1], EDGES[1:], count, strict=True)]
        density = np.asarray(laws.correlation_density(network if name == "linear" else t, rho))
        lines += [(name, depth, *point) for point in zip(rho, density, strict=True)]
    return {
        "samples": table(("activation", "width", "depth", "t", "low", "high", "count"), rows),
        "theory": table(("activation", "depth", "rho", "density"), lines),
    }


def _tanh_network(width: int, t: float) -> Network:
    """The tanh network of this width whose effective depth is nearest to t."""
    one, two = (laws.effective_depth(Network.uniform(width, depth, sigma_w=1.5)) for depth in (1, 2))
    return Network.uniform(width, 1 + round((t - one) / (two - one)), sigma_w=1.5)


def histogram(network: Network, n_networks: int, seed: np.random.SeedSequence) -> dict:
    """How many of the sampled ρ lie in each bin between `EDGES`."""
    rho = sample_correlation(network, n_networks, rng=np.random.default_rng(seed))
    return {"count": np.histogram(rho, EDGES)[0]}


def evidence(tables: dict) -> list[Evidence]:
    samples = tables["samples"]
    exact, deeper, universal, farther = [], [], [], []
    for at in _histograms(samples, "linear"):
        depth = int(samples["depth"][at][0])
        network, next_one = (Network.uniform(WIDTH, d, activation="linear") for d in (depth, depth + 1))
        exact.append(_excess(samples["count"][at], network))
        deeper.append(_excess(samples["count"][at], next_one))
    for at in _histograms(samples, "tanh"):
        t = samples["t"][at][0]
        universal.append(_excess(samples["count"][at], t))
        farther.append(_excess(samples["count"][at], 1.5 * t))
    return [
        Evidence(
            "largest χ² of a histogram of linear networks against the exact law (S3), in standard deviations "
            "above its mean",
            max(exact),
            high=STANDARD_ERRORS,
        ),
        Evidence(
            "smallest χ² of these histograms against the exact law of one layer more, in the same units",
            min(deeper),
            low=STANDARD_ERRORS,
        ),
        Evidence(
            "largest χ² of a histogram of tanh networks against the law of wide layers (S4), in the same units",
            max(universal),
            high=STANDARD_ERRORS,
        ),
        Evidence(
            "smallest χ² of these histograms against the law of wide layers at 1.5 t, in the same units",
            min(farther),
            low=STANDARD_ERRORS,
        ),
    ]


def _histograms(samples: dict, activation: str) -> list[np.ndarray]:
    """For each depth in turn, which rows of the table are its histogram."""
    of_it = samples["activation"] == activation
    return [of_it & (samples["depth"] == depth) for depth in np.unique(samples["depth"][of_it])]


def _excess(count: np.ndarray, law: float | Network) -> float:
    """χ² of the counts under a law of ρ, less the mean that it has if the law is true, over its standard deviation."""
    expected = np.diff(laws.correlation_cdf(law, EDGES)) * count.sum()
    # Bins with too few expected counts for χ² are added to the rarest of the others.
    rare = expected < 10
    rarest = np.argmin(np.where(rare, np.inf, expected))
    count, expected = count.astype(float), expected.copy()
    for cells in (count, expected):
        cells[rarest] += cells[rare].sum()
    free = np.count_nonzero(~rare) - 1
    square = np.sum((count - expected)[~rare] ** 2 / expected[~rare])
    return float((square - free) / np.sqrt(2 * free))


def draw(tables: dict) -> Figure:
    figure = new_figure(height=4.0)
    panels = figure.subplots(2, 1, sharex=True)
    samples, theory = tables["samples"], tables["theory"]
    kinds = {"linear": "exact, S3", "tanh": "$N \\to \\infty$, S4"}
    for axes, (activation, law) in zip(panels, kinds.items(), strict=True):
        for index, at in enumerate(_histograms(samples, activation)):
            low, high, count = (samples[name][at] for name in ("low", "high", "count"))
            total, width, depth = count.sum(), high - low, samples["depth"][at][0]
            label = f"$L = {depth}$, $t = {samples['t'][at][0]:.2g}$"
            share = count / total
            density, stderr = share / width, np.sqrt(share * (1 - share) / total) / width
            along = (theory["activation"] == activation) & (theory["depth"] == depth)
            axes.plot(theory["rho"][along], theory["density"][along], color=COLOURS[index], linewidth=0.9)
            points(axes, (low + high) / 2, density, stderr, index, label=label)
        axes.set(ylabel="probability density", ylim=(0, 2.2))
        width = samples["width"][samples["activation"] == activation][0]
        axes.set_title(f"{activation}, $N = {width}$; lines: {law}", pad=3)
        axes.legend(loc="upper center", ncols=2)
    panels[1].set(xlabel="correlation of two nodes $\\rho$", xlim=(-1.02, 1.02), xticks=[-1, -0.5, 0, 0.5, 1])
    return figure
