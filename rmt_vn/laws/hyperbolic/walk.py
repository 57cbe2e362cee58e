"""The walk behind the law of ρ, projected along horocycles: −a′(x), from the spherical transform M(ν).

a(x) = (1/2π) ∫ M(ν) e^{iνx} dν is integrated along contours through the saddle points of M(ν) e^{iνx} on the imaginary
axis, so that it is accurate relative to itself however far out x is. M is the product of the factors of S3, or that of
the diffusion of S4.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import expm1, log1p

from rmt_vn.laws.hyperbolic.masks import live_count_quadrature
from rmt_vn.laws.hyperbolic.transforms import LogFactor, log_gaussian_step_off_axis
from rmt_vn.network import Network, mask_probability

# Where ln M(0) = −t/8 has fallen below this, all but 1e-36 of the law is at |ρ| = 1 in double precision.
_MERGED = -85.0
# Below this t, ρ² is zero in double precision.
_NO_DEPTH = 1e-200
# The last ρ < 1, and its y: no other y is asked for.
LAST = float(np.nextafter(1, 0))
FARTHEST = float(np.arctanh(LAST))
# Below e^{−760} a density is zero in double precision; terms below e^{−45} of the whole are negligible.
_UNDERFLOW, _DIGITS = 760.0, 45.0

# Contours ν(u) = iτ + w (sinh u + iβ(cosh u − 1)): bent, so that e^{iνx} falls where M has no more than a power of ν to
# fall by. For a Gaussian M the trapezoid rule in u converges as e^{−2πδ/h}, δ = π/4 − arctan β, which is 1e-17.
_BEND, _STEP, _LONGEST, _PIECE = np.tan(np.pi / 8), 0.065, 400, 16
# Nearer to x = 0, in units of its width, a(x) carries nothing.
_NEAREST = 1e-9
_BLOCK = 1 << 20


@dataclass(frozen=True, eq=False)
class Contours:
    """−a′(x) of the continuous part of the law, as sums along contours.

    Attributes
    ----------
    spread : float
        Root of the curvature of ln M at zero: the width of a(x), about √t.
    reach : float
        Where a(x) has fallen to nothing.
    edges, shift, peak : ndarray, shapes (K − 1,), (K,), (K,)
        Contour k, with its τ and ln M(iτ), is good for x up to edge k.
    nodes, terms : ndarray, shape (K, J)
        −a′(x) = e^{peak − τx} Re Σ_j terms_j e^{i nodes_j x}.
    """

    spread: float
    reach: float
    edges: np.ndarray
    shift: np.ndarray
    peak: np.ndarray
    nodes: np.ndarray
    terms: np.ndarray

    def log_slope(self, x: np.ndarray) -> np.ndarray:
        """ln(−a′(x)) for x ≥ 0, shape (P,)."""
        contour = np.searchsorted(self.edges, x)
        total = np.empty(len(x))
        size = _BLOCK // self.nodes.shape[1]
        for start in range(0, len(x), size):
            k, rows = contour[start : start + size], slice(start, start + size)
            waves = np.exp(1j * self.nodes[k] * x[rows, None])
            total[rows] = np.einsum("pj,pj->p", self.terms[k], waves).real
        with np.errstate(divide="ignore"):
            return np.log(np.maximum(total, 0.0)) + self.peak[contour] - self.shift[contour] * x


@dataclass(frozen=True, eq=False)
class Walk:
    """The walk of two nodes: the atoms of the law of ρ, and what its continuous part is integrated from.

    Attributes
    ----------
    start, merged : float
        Probabilities of ρ = 0, M(∞), and of |ρ| = 1, 1 − M(i/2).
    contours : Contours or None
        None where the law is nothing but atoms.
    """

    start: float
    merged: float
    contours: Contours | None = None


@lru_cache(maxsize=64)
def diffusion(t: float) -> Walk:
    if t < _NO_DEPTH or t > -8 * _MERGED:
        return Walk(float(t < 1), float(t > 1))
    return _prepared(lambda nu: -(nu**2 + 0.25) * t / 2, np.inf, 0.0, 0.0)


@lru_cache(maxsize=64)
def network_walk(network: Network) -> Walk:
    probability = mask_probability(
        network, "the exact law of ρ", "; for other activations give laws.effective_depth(network)"
    )
    n_0, n_1 = network.widths[:2]
    layers = [_Layer(n_0, n_1, 1.0, network.weights, 1)]
    for (n_in, n_out), count in network.hidden_shapes.items():
        layers.append(_Layer(n_in, n_out, probability, network.weights, count))
    start = float(np.prod([layer.no_step**layer.count for layer in layers]))
    with np.errstate(divide="ignore"):  # fan-in 1
        log_apart = sum(layer.count * np.log1p(-layer.merging) for layer in layers)
    merged = -float(np.expm1(log_apart))
    if np.exp(log_apart) - start <= 1e-14 * start:
        return Walk(start, merged)
    pole = min(layer.pole for layer in layers)

    def log_factor(nu: np.ndarray) -> np.ndarray:
        return np.sum([layer.count * layer.log_step(nu) for layer in layers], axis=0)

    return _prepared(log_factor, pole, start, merged)


def _prepared(log_factor: LogFactor, pole: float, start: float, merged: float) -> Walk:
    """Contours for −a′(x), through the saddle points iτ of M(ν) e^{iνx} below the first pole of M, near one another.

    No term of the sum is then much larger than the whole, however small that is.
    """
    if log_factor(np.zeros(1, dtype=complex))[0].real < _MERGED:
        return Walk(0.0, 1.0)

    def log_moving(nu: np.ndarray) -> np.ndarray:
        log_m = log_factor(nu)
        return log_m + log1p(-start * np.exp(-log_m)) if start else log_m

    def saddle(tau: float, scale: float) -> tuple[float, float, float]:
        """ln M(iτ), the x to which the saddle belongs, and the width of M across it."""
        step = 0.01 * min(scale, pole - tau)
        here, beside = log_moving(1j * tau + np.array([0, step]))
        fall = max(here.real - beside.real, 1e-300)
        return here.real, -beside.imag / step, step / np.sqrt(2 * fall)

    tau, width = 0.0, 1.0
    for _ in range(4):  # from any scale to that of M
        width = saddle(0.0, width)[2]
    spread, enough, saddles = 1 / width, _UNDERFLOW, []
    while True:
        peak, x, width = saddle(tau, width)
        saddles.append((tau, peak, x, min(width, pole - tau)))
        fallen = (tau - 0.5) * x - peak  # −ln a(x) e^{x/2}, of which there are integrals
        if x > FARTHEST:
            enough = min(enough, fallen + _DIGITS)
        if fallen > enough or pole - tau < 1e-3:  # the pole is not felt before
            reach = x if fallen > enough else np.inf
            break
        tau += min(0.7 * width, (pole - tau) / 2)
    shift, peak, x, width = np.array(saddles).T
    edges = (x[1:] + x[:-1]) / 2
    nodes, terms, largest = [], [], np.zeros(len(shift))
    for begin in range(0, _LONGEST, _PIECE):
        u = _STEP * np.arange(begin, begin + _PIECE)
        nodes.append(width[:, None] * (np.sinh(u) + 1j * _BEND * (np.cosh(u) - 1)))
        nu = 1j * shift[:, None] + nodes[-1]
        slope = width[:, None] * (np.cosh(u) + 1j * _BEND * np.sinh(u)) * np.where(u == 0, 0.5, 1.0)
        terms.append(-1j * nu * slope * np.exp(log_moving(nu) - peak[:, None]) * (_STEP / np.pi))
        size = np.abs(terms[-1]) * np.exp(-nodes[-1].imag * np.append(_NEAREST * spread, edges)[:, None])
        largest = np.maximum(largest, size.max(axis=1))
        if np.all(size[:, -1] < 1e-18 * largest):
            break
    contours = Contours(spread, reach, edges, shift, peak, np.hstack(nodes), np.hstack(terms))
    return Walk(start, merged, contours)


@dataclass(frozen=True)
class _Layer:
    """`count` weight matrices, whose inputs are the live ones of n_in nodes. As in S3, but for complex ν."""

    n_in: int
    n_out: int
    live_probability: float
    weights: str
    count: int

    @property
    def fan_ins(self) -> tuple[np.ndarray, np.ndarray]:
        """Values of k ≥ 1, and their probabilities."""
        if self.live_probability == 1:
            return np.array([self.n_in]), np.ones(1)
        return live_count_quadrature(self.n_in, self.live_probability)

    @property
    def no_step(self) -> float:
        """Probability that the layer leaves ρ as it is: no node is masked."""
        k, probability = self.fan_ins
        keeps = self.weights == "orthogonal" and self.n_out <= self.n_in and k[-1] == self.n_in > 1
        return float(probability[-1]) if keeps else 0.0

    @property
    def merging(self) -> float:
        """Probability that all nodes have the same single live input."""
        k, probability = self.fan_ins
        return float(probability[0]) if k[0] == 1 else 0.0

    @property
    def pole(self) -> float:
        """The first pole iτ of the factor, that of the least k > 1."""
        k, _ = self.fan_ins
        return np.inf if self.no_step == 1 else k[k > 1][0] - 0.5

    def log_step(self, nu: np.ndarray) -> np.ndarray:
        """ln of the layer's factor of M(ν), that of S3."""
        if self.no_step == 1:
            return np.zeros(nu.shape, dtype=complex)
        flat, haar = nu.ravel(), self.weights == "orthogonal"
        frame = log_gaussian_step_off_axis(max(self.n_in, self.n_out), flat, haar) if haar else np.zeros(1)
        k, probability = self.fan_ins
        if len(k) == 1:
            return (log_gaussian_step_off_axis(k, flat, haar) - frame).reshape(nu.shape)
        # ln E[m_k/frame], m_1 = 0.
        deficit, mean, peak = np.full(len(flat), -probability[k == 1].sum(), dtype=complex), 0.0, -np.inf
        k, probability = k[k > 1], probability[k > 1]
        size = max(1, _BLOCK // (4 * len(flat)))
        for start in range(0, len(k), size):
            log_m = log_gaussian_step_off_axis(k[start : start + size, None], flat, haar) - frame
            weight = probability[start : start + size]
            with np.errstate(over="ignore", invalid="ignore"):
                deficit += weight @ expm1(log_m)
            top = np.maximum(peak, log_m.real.max(axis=0))
            mean = mean * np.exp(peak - top) + weight @ np.exp(log_m - top)
            peak = top
        # A wide layer's factor is 1 − O(1/n): its logarithm must be accurate relative to that small number.
        small = np.abs(deficit) < 0.5
        return np.where(small, log1p(np.where(small, deficit, 0)), np.log(mean) + peak).reshape(nu.shape)
