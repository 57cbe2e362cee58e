"""S6: singular values of the Jacobians of random networks, against the law of free probability."""

from __future__ import annotations

from math import ceil

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rmt_vn import laws
from rmt_vn.experiments import Engine, monte_carlo
from rmt_vn.figures.evidence import STANDARD_ERRORS, Evidence, largest_deviation
from rmt_vn.figures.style import COLOURS, marks, new_figure, points
from rmt_vn.figures.tables import table
from rmt_vn.network import WEIGHTS, Network
from rmt_vn.samplers import sample_log_singular_values

CLAIM = (
    "The spectrum of the Jacobian spreads with depth as free probability says (S6), and far faster with Gaussian "
    "than with Haar weights"
)

CAPTION = (
    "Density of log10 s² for the singular values s of the Jacobian J of random tanh networks of depth L, with "
    "Gaussian (top) and Haar weights (bottom). Points are histograms over random networks, lines the law of wide "
    "layers (S6)."
)

LAWS: tuple[str, ...] = ("spectral_density", "spectral_distribution", "spectral_edges")

SIGMA_W = 1.3
DEPTHS = (2, 8, 32)
BINS = 16
# The quantiles of the spectrum at which the bins begin and end.
COVERED = (0.02, 0.99)
# The lower quantile is looked for down to this far below the upper edge of the spectrum, in ln s².
REACH = 60

PRESETS = {
    "quick": {"widths": [32, 64], "n_networks": 32, "replicates": 1},
    "paper": {"widths": [80, 160], "n_networks": 10, "replicates": 12},
}


def compute(*, seed: int, engine: Engine, widths: list[int], n_networks: int, replicates: int) -> dict:
    # The law is that of wide layers: it knows no width.
    shapes = [(weights, depth) for weights in WEIGHTS for depth in DEPTHS]
    bins = {shape: _bins(_network(100, *shape)) for shape in shapes}
    keys = [(width, *shape) for width in widths for shape in shapes]
    estimates = monte_carlo(
        fractions,
        [{"network": _network(*key), "edges": bins[key[1:]], "n_networks": n_networks} for key in keys],
        replicates=replicates,
        seed=seed,
        engine=engine,
        label="jacobian_spectrum",
    )
    samples, theory, curves = [], [], []
    for key, estimate in zip(keys, estimates, strict=True):
        columns = [*estimate.mean, *estimate.stderr]
        samples += [(*key, *row) for row in zip(*(column.tolist() for column in columns), strict=True)]
    for weights, depth in shapes:
        edges = np.array(bins[weights, depth])
        law, deeper = (_below(_network(100, weights, each), edges) for each in (depth, depth + ceil(depth / 4)))
        rows = zip(edges[:-1].tolist(), edges[1:].tolist(), law[1:].tolist(), deeper[1:].tolist(), strict=True)
        theory += [(weights, depth, *row) for row in rows]
        top = np.log(laws.spectral_edges(_network(100, weights, depth))[1])
        # Close together at the edge, where density ends in a square root.
        y = top - (top - edges[0]) * np.linspace(1, 0, 101) ** 2
        density = np.exp(y) * laws.spectral_density(_network(100, weights, depth), np.exp(y))
        density[-1] = 0.0
        curves += [(weights, depth, *row) for row in zip(y.tolist(), density.tolist(), strict=True)]
    return {
        "samples": table(("width", "weights", "depth", "inside", "below", "inside_stderr", "below_stderr"), samples),
        "theory": table(("weights", "depth", "low", "high", "below", "below_deeper"), theory),
        "curves": table(("weights", "depth", "log_square", "density"), curves),
    }


def fractions(network: Network, edges: tuple[float, ...], n_networks: int, *, rng: np.random.Generator) -> np.ndarray:
    """The fractions of the ln s² of each network that lie in each bin, and below its upper edge."""
    logs = 2 * sample_log_singular_values(network, n_networks, rng=rng)
    below = np.mean(logs[:, None, :] <= np.array(edges)[:, None], axis=-1)
    return np.stack([np.diff(below), below[:, 1:]], axis=1)


def _network(width: int, weights: str, depth: int) -> Network:
    return Network.uniform(width, depth, activation="tanh", weights=weights, sigma_w=SIGMA_W)


def _below(network: Network, log_square: np.ndarray) -> np.ndarray:
    return laws.spectral_distribution(network, np.exp(log_square))


def _bins(network: Network) -> tuple[float, ...]:
    """Edges of bins of equal width in ln s²; together the bins hold the part `COVERED` of the spectrum."""
    top = np.log(laws.spectral_edges(network)[1])
    y = np.linspace(top - REACH, top, 150)[:-1]
    low, high = np.interp(COVERED, _below(network, y), y)
    # Rounded, so that samples do not depend on the last bits of the law.
    return tuple(np.linspace(low, high, BINS + 1).round(3).tolist())


def evidence(tables: dict) -> list[Evidence]:
    samples, theory = tables["samples"], tables["theory"]
    # The error of a finite width N falls as 1/N, so twice the samples at 2N minus those at N are all but free of it.
    narrow, wide = (samples["width"] == width for width in np.unique(samples["width"]))
    below = 2 * samples["below"][wide] - samples["below"][narrow]
    stderr = np.hypot(2 * samples["below_stderr"][wide], samples["below_stderr"][narrow])
    shapes = [(theory["weights"] == weights) & (theory["depth"] == depth) for weights in WEIGHTS for depth in DEPTHS]
    deviations = np.abs(below - theory["below_deeper"]) / stderr
    gaussian, haar = np.array([_spread(theory["high"][at], samples["below"][wide][at]) for at in shapes]).reshape(2, -1)
    return [
        Evidence(
            "largest deviation of the fraction of singular values below a point, extrapolated to N → ∞, from the law "
            "(S6), in standard errors",
            largest_deviation(below, theory["below"], stderr),
            high=STANDARD_ERRORS,
        ),
        Evidence(
            "largest deviation from the law of a quarter more layers, in standard errors, at the depth and weights "
            "where it is smallest",
            min(np.max(deviations[at]) for at in shapes),
            low=STANDARD_ERRORS,
        ),
        Evidence(
            "smallest factor by which the spread of ln s² grows from one depth to the next",
            np.min([gaussian[1:] / gaussian[:-1], haar[1:] / haar[:-1]]),
            low=1.2,
        ),
        Evidence(
            "smallest ratio of the spread of ln s² with Gaussian weights to that with Haar weights",
            np.min(gaussian / haar),
            low=1.5,
        ),
    ]


def _spread(log_square: np.ndarray, below: np.ndarray) -> float:
    """Distance between the quantiles of ln s² at 10% and 90%."""
    return float(np.diff(np.interp([0.1, 0.9], below, log_square))[0])


def draw(tables: dict) -> Figure:
    figure = new_figure(height=3.9)
    panels = figure.subplots(2, 1, sharex=True, sharey=True)
    samples, theory, curves = tables["samples"], tables["theory"], tables["curves"]
    wide = samples["width"] == samples["width"].max()
    for axes, weights in zip(panels, WEIGHTS, strict=True):
        for index, depth in enumerate(DEPTHS):
            along, at = ((each["weights"] == weights) & (each["depth"] == depth) for each in (curves, theory))
            # s² by powers of ten.
            decade = np.log(10)
            y, density = curves["log_square"][along] / decade, curves["density"][along] * decade
            axes.plot(y, density, color=COLOURS[index])
            low, high = theory["low"][at] / decade, theory["high"][at] / decade
            inside, stderr = (samples[name][wide][at] / (high - low) for name in ("inside", "inside_stderr"))
            points(axes, (low + high) / 2, inside, stderr, index)
        axes.set(ylabel="density per decade of $s^2$", yscale="log", ylim=(4e-3, 3))
        axes.set_title({"gaussian": "Gaussian weights", "orthogonal": "Haar weights"}[weights], loc="left")
    handles = [*marks(f"$L = {depth}$" for depth in DEPTHS), Line2D([], [], color="0.4", label="$N \\to \\infty$, S6")]
    panels[0].legend(handles=handles, loc="upper left")
    panels[1].set(xlabel="$\\log_{10} s^2$, singular values $s$ of $J$")
    return figure
