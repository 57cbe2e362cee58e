"""The chain of the correlation of two inputs, layer by layer: its distribution on a grid of y = artanh ρ.

n Gaussian pairs of correlation tanh ζ have a sample correlation tanh y (means known) of density, exactly,

    p(y) = C_n (cosh(y − ζ))^{−(n−½)} √(cosh y/cosh ζ) ₂F₁(½, ½; n + ½; (1 + tanh y tanh ζ)/2),

C_n = (n−1) Γ(n)/(√(2π) Γ(n+½)) (Hotelling 1953, in y). Activations are not Gaussian pairs: with n/`variance` in place
of n and ζ moved so that the mean is right to first order in 1/n, the same density has their mean and variance. Linear
networks have n and ζ unchanged, and the chain is exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from scipy.sparse import csr_array, eye_array
from scipy.sparse.linalg import spsolve
from scipy.special import gammaln, hyp2f1

from rmt_vn.laws.input_pairs.one_layer import LayerStatistics, evaluate, held_share
from rmt_vn.network import Network

# Beyond it 1 − ρ² is below 1e-13.
_FARTHEST = 16.0
_FEWEST = 1.05  # nodes: Hotelling's density needs more than one
_NARROWEST = 0.75  # steps to a standard deviation, for the density to be seen by its values on the grid
_FINENESS = 0.5  # of a standard deviation: the trapezoid rule in y has an error of e^{−8π²}


def mean_squares(network: Network, statistics: list[LayerStatistics]) -> Iterator[tuple[float, float]]:
    """(E ρ² behind the nonlinearity but for the scatter of the layer, E ρ² of its activations), layer by layer.

    Before them the inputs, N(0, I) in n_0 dimensions: (0, 1/n_0).
    """
    grid = _grid(network)
    square = np.tanh(grid) ** 2
    chance = _transition(np.zeros(1), np.array([float(network.widths[0])]), grid).toarray()[0]
    yield 0.0, float(chance @ square)
    known = None
    for (n_in, n_out), layer in zip(pairwise(network.widths), statistics, strict=True):
        if n_out == 1:  # the last layer: all its correlations are ±1
            yield float(chance @ square), 1.0
            return
        if known is None or known[0] is not layer or known[1] != (n_in, n_out):
            held = held_share(network, n_in, n_out)
            image, step = _layer(layer, n_out, held, grid)
            step = step.T.tocsr()
            known = (layer, (n_in, n_out))
        shrunk = float(chance @ np.tanh(image) ** 2)
        chance = step @ chance
        yield shrunk, float(chance @ square)


def stationary_mean_square(layer: LayerStatistics, width: int, held: float) -> float:
    """E ρ² after infinitely many equal layers, in which ρ has a stationary law."""
    grid = np.arange(0.0, _FARTHEST, _FINENESS / np.sqrt(width))
    _, step = _layer(layer, width, held, grid)
    # Σ_i p_i (P − 1)_ij = 0 for j ≥ 1, in units of p_0.
    balance = (step.T - eye_array(len(grid))).tocsc()
    chance = np.append(1.0, spsolve(balance[1:, 1:], -balance[1:, [0]].toarray()[:, 0]))
    return float(chance @ np.tanh(grid) ** 2 / chance.sum())


def _layer(layer: LayerStatistics, n_out: int, held: float, grid: np.ndarray) -> tuple[np.ndarray, csr_array]:
    """The Hermite map of the grid, and the transition from it."""
    image = grid + np.tanh(grid) * evaluate(layer.shift, grid)
    variance = np.maximum(evaluate(layer.variance, grid) - held * evaluate(layer.held_variance, grid), 1e-12)
    drift = evaluate(layer.drift, grid) - held * evaluate(layer.held_drift, grid)
    # The density itself drifts by ½ tanh(ζ) variance/n.
    centre = image + (np.tanh(grid) * drift - 0.5 * variance * np.tanh(image)) / n_out
    return image, _transition(centre, np.maximum(n_out / variance, _FEWEST), grid)


def _grid(network: Network) -> np.ndarray:
    """y from 0 to where the diffusion of a linear network does not get, in steps that resolve every layer's scatter."""
    t = sum(1 / n for n in network.widths)
    farthest = min(_FARTHEST, t + 12 * np.sqrt(t))
    step = _FINENESS / np.sqrt(max(network.widths))
    return np.arange(0.0, farthest + step, step)


def _transition(centre: np.ndarray, n: np.ndarray, grid: np.ndarray) -> csr_array:
    """P(grid point | centre), a row for each centre; y < 0 is folded, what is beyond the grid stays at its end."""
    step = grid[1]
    reach = min(12 / np.sqrt(n.min()), 40 / (n.min() - 1) + 1.0)
    band = int(min(np.ceil(reach / step) + 2, 2 * len(grid)))
    columns = np.rint(centre / step).astype(int)[:, None] + np.arange(-band, band + 1)
    y, zeta, n = columns * step, centre[:, None], n[:, None]
    # ₂F₁ at 1 itself overflows for large n.
    argument = np.minimum((1 + np.tanh(y) * np.tanh(zeta)) / 2, 1 - 1e-13)
    log_constant = np.log(n - 1) + gammaln(n) - gammaln(n + 0.5)
    log_density = log_constant - (n - 0.5) * _log_cosh(y - zeta) + (_log_cosh(y) - _log_cosh(zeta)) / 2
    density = np.exp(log_density - log_density.max(axis=1, keepdims=True)) * hyp2f1(0.5, 0.5, n + 0.5, argument)
    density /= density.sum(axis=1, keepdims=True)
    # Haar weights may scatter by less than a step: then three points have the mean and the variance.
    narrow = (n[:, 0] * step**2 * _NARROWEST**2 > 1) & (band >= 1)
    offset = (zeta - columns[:, band, None] * step)[narrow, 0] / step
    second = 1 / (n[narrow, 0] * step**2) + offset**2
    density[narrow] = 0.0
    density[narrow, band - 1 : band + 2] = np.stack([second - offset, 2 - 2 * second, second + offset], axis=1) / 2
    folded = np.minimum(np.abs(columns), len(grid) - 1)
    rows = np.repeat(np.arange(len(centre)), columns.shape[1])
    return csr_array((density.ravel(), (rows, folded.ravel())), shape=(len(centre), len(grid)))


def _log_cosh(y: np.ndarray) -> np.ndarray:
    """ln(2 cosh y), without overflow."""
    return np.abs(y) + np.log1p(np.exp(-2 * np.abs(y)))
