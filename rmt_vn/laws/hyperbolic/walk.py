"""The walk behind the law of ρ, projected along horocycles: −a′(x), from the spherical transform M(ν).

a(x) = (1/2π) ∫ M(ν) e^{iνx} dν is integrated along contours through the saddle points of M(ν) e^{iνx} on the imaginary
axis, so that it is accurate relative to itself however far out x is. M is the product of the factors of S3, or that of
the diffusion of S4.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import log1p

from rmt_vn.laws.hyperbolic.steps import Refusal, network_steps
from rmt_vn.laws.hyperbolic.transforms import LogFactor
from rmt_vn.network import Network, ResidualNetwork

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
def network_walk(network: Network | ResidualNetwork) -> Walk:
    refusal = Refusal("the exact law of ρ", "; for others give laws.effective_depth(network)")
    steps = network_steps(network, refusal)
    start = float(np.prod([step.no_step**step.count for step in steps]))
    with np.errstate(divide="ignore"):  # fan-in 1
        log_apart = sum(step.count * np.log1p(-step.merging) for step in steps)
    merged = 0.0 - float(np.expm1(log_apart))
    if np.exp(log_apart) - start <= 1e-14 * start:
        return Walk(start, merged)
    pole = min((step.pole for step in steps), default=np.inf)

    def log_factor(nu: np.ndarray) -> np.ndarray:
        return np.sum([step.count * step.log_factor_off_axis(nu) for step in steps], axis=0)

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
