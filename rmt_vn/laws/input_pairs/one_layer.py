"""What one nonlinear layer does to two inputs: the mean and the scatter of their correlation.

Two pre-activation vectors h, h′ with correlation ρ = tanh y are, node by node, independent Gaussian pairs of variance q
(Gaussian weights, given the layer before). With s = (φ(h) + φ(h′))/2 and d = (φ(h) − φ(h′))/2 an odd φ has E s d = 0,
and the correlation tanh y′ of the n activations obeys, with sums over nodes,

    sinh y′ = (Σs² − Σd²) / (2 √(Σs² Σd² − (Σsd)²)).

Without scatter y′ = ½ ln(E s²/E d²), the Hermite map. To first order in 1/n, with κ_s = E s⁴/(E s²)²,
κ_d = E d⁴/(E d²)² and κ_sd = E s²d²/(E s² E d²),

    E y′ = ½ ln(E s²/E d²) + [½ κ_sd tanh y′ − ¼(κ_s − κ_d)]/n,    Var y′ = ¼(κ_s + κ_d − 2κ_sd)/n.

For linear φ, κ_s = κ_d = 3 and κ_sd = 1: drift ½ tanh(y)/n and variance 1/n, the diffusion of S4. Haar weights hold the
sums of h², h′² and hh′ fixed, which takes their part out of the scatter. (Derived in `theory/input_pairs/`.)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rmt_vn.activations import Activation
from rmt_vn.gaussian_averages import gaussian_mean, second_moment
from rmt_vn.network import Network

LARGEST_VARIANCE = 100.0
# Below this, an odd φ is linear to within 1e-8 of itself where it is analytic at zero.
_LINEAR_VARIANCE = 1e-8
_NODES = 16  # in sech y; functions of y are smooth in it, at kinks too
_REACH = 9.0  # standard deviations
_LEGENDRE = np.polynomial.legendre.leggauss(12)
_LARGEST_STEP = 0.2  # of ln q, between variances at which the statistics are integrated


class LayerStatistics(NamedTuple):
    """Of one nonlinear layer at one variance q, as Chebyshev series in sech y (but for `norms`).

    Attributes
    ----------
    shift : ndarray
        (y′ − y)/tanh y, with y′ the Hermite map of y.
    drift : ndarray
        n E(y′ − Hermite map)/tanh y, Gaussian weights.
    variance : ndarray
        n Var y′, Gaussian weights.
    held_drift, held_variance : ndarray
        What is taken from both where the sums of h², h′² and hh′ are held fixed (Haar weights).
    norms : ndarray, shape (2,)
        Of a squared norm: d ln E φ²/d ln q, by which a relative deviation of it shrinks, and its scatter over that of a
        linear layer, ½(E φ⁴/(E φ²)² − 1).
    """

    shift: np.ndarray
    drift: np.ndarray
    variance: np.ndarray
    held_drift: np.ndarray
    held_variance: np.ndarray
    norms: np.ndarray

    @property
    def variance_at_zero(self) -> float:
        """n Var y′ of two inputs that are not correlated."""
        return float(evaluate(self.variance, np.zeros(1))[0])

    @property
    def held_variance_at_zero(self) -> float:
        """What is held of it."""
        return float(evaluate(self.held_variance, np.zeros(1))[0])


def statistics_along(activation: Activation, variances: np.ndarray) -> list[LayerStatistics]:
    """The statistics at each of some variances; between few of them by splines in ln q, where they are many.

    Raises
    ------
    ValueError
        If a variance is above 100, where the integrals would take too long.
    """
    if variances.max() > LARGEST_VARIANCE:
        raise ValueError(
            f"S7 is computed for pre-activation variances up to {LARGEST_VARIANCE:g}, got {variances.max():.6g}; "
            "lower sigma_w or input_variance"
        )
    logs = np.log(np.maximum(variances, _LINEAR_VARIANCE))
    # Variances that differ by a part in 10⁴ count as one: 1 − c differs by two parts in 10⁴ then.
    _, first, back = np.unique(logs.round(4), return_index=True, return_inverse=True)
    distinct = logs[first]
    n_nodes = 4 + int(np.ceil(np.ptp(distinct) / _LARGEST_STEP))
    at = distinct if len(distinct) <= n_nodes else np.linspace(distinct[0], distinct[-1], n_nodes)
    computed = [layer_statistics(activation, float(np.exp(log))) for log in at]
    if len(at) < len(distinct):
        fields = zip(*computed, strict=True)
        # Imported here, because scipy.interpolate is slow to import.
        from scipy.interpolate import CubicSpline

        splines = [CubicSpline(at, np.array(field))(distinct) for field in fields]
        computed = [LayerStatistics(*rows) for rows in zip(*splines, strict=True)]
    return [computed[index] for index in back]


def layer_statistics(activation: Activation, q: float) -> LayerStatistics:
    """The statistics of a layer whose pre-activations have variance q > 0."""
    x = np.polynomial.chebyshev.chebpts1(_NODES)
    y = np.arccosh(2 / (1 + x))
    values = np.array([_at(activation, q, distance) for distance in y]).T
    series = [np.polynomial.chebyshev.chebfit(x, row, _NODES - 1) for row in values]
    phi, dphi, kinks = activation.phi, activation.dphi, activation.kinks
    second = second_moment(activation, q)
    damping = gaussian_mean(lambda h: phi(h) * dphi(h) * h, q, kinks) / second
    scatter = (gaussian_mean(lambda h: (phi(h) ** 2 / second) ** 2, q, kinks) - 1) / 2
    return LayerStatistics(*(*series, np.array([damping, scatter])))


def held_share(network: Network, n_in: int, n_out: int) -> float:
    """Which share of its scatter through quadratic sums a layer is without: n_out of max(n_in, n_out) coordinates."""
    return min(1.0, n_out / n_in) if network.weights == "orthogonal" else 0.0


def evaluate(series: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A series of `LayerStatistics` at y."""
    return np.polynomial.chebyshev.chebval(2 / np.cosh(np.minimum(np.abs(y), 700.0)) - 1, series)


def _at(activation: Activation, q: float, y: float) -> tuple[float, float, float, float, float]:
    """shift, drift, variance, held_drift and held_variance at one y > 0."""
    # h, h′ = a ± b with independent a, b: variances q(1 ± ρ)/2.
    a, b, weight = _half_plane(q / (1 + np.exp(-2 * y)), q / (1 + np.exp(2 * y)), activation.kinks)
    with_b, without = activation.phi(a + b), activation.phi(a - b)
    s2, d2, sd = (with_b + without) ** 2, (with_b - without) ** 2, with_b**2 - without**2
    mean_s, mean_d = np.sum(weight * s2), np.sum(weight * d2)
    s2, d2, sd = s2 / mean_s, d2 / mean_d, sd / np.sqrt(mean_s * mean_d)
    # Hermite polynomials of degree 2 of both, and −4 n times the change of density where their sums are held.
    u, v = a * a / (q / (1 + np.exp(-2 * y))), b * b / (q / (1 + np.exp(2 * y)))
    quadratics = ((u - 1) / np.sqrt(2), (v - 1) / np.sqrt(2))
    bend = (u + v) ** 2 - 8 * (u + v) + 8
    s_parts, d_parts = (np.array([np.sum(weight * f * part) for part in quadratics]) for f in (s2, d2))
    cross = np.sum(weight * sd * np.sqrt(u * v) * np.sign(a * b))
    slope = np.tanh(image := 0.5 * np.log(mean_s / mean_d))

    def first_order(ss: float, dd: float, s_d: float, product: float) -> tuple[float, float]:
        """(drift, variance) of y′, from n times the (co)variances of the sums of s², of d², of both, and of sd."""
        return (0.5 * product * slope - (ss - dd) / 4) / np.tanh(y), (ss + dd - 2 * s_d) / 4

    both = np.sum(weight * s2 * d2)
    free = first_order(np.sum(weight * s2 * s2) - 1, np.sum(weight * d2 * d2) - 1, both - 1, both)
    held = first_order(s_parts @ s_parts, d_parts @ d_parts, s_parts @ d_parts, cross**2)
    held_mean = np.sum(weight * bend * (s2 - d2)) / 8 / np.tanh(y)
    return (image - y) / np.tanh(y), *free, held[0] + held_mean, held[1]


def _half_plane(
    variance_a: float, variance_b: float, kinks: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points (a, b ≥ 0) and weights for means of functions even in a and b, split where a ± b meets a kink.

    a goes over both signs folded into a ≥ 0, as φ is odd.
    """
    scale_a, scale_b = np.sqrt(variance_a), np.sqrt(variance_b)
    breaks = np.array(kinks)
    meetings = np.abs(np.subtract.outer(breaks, breaks)).ravel() / 2
    b, weight_b = _panels(np.union1d(_edges(scale_b), np.clip(np.r_[meetings, np.abs(breaks)], 0, _REACH * scale_b)))
    b, weight_b = b[:, None], weight_b[:, None]
    edges = np.broadcast_to(_edges(scale_a), (len(b), len(_edges(scale_a))))
    crossings = np.clip(np.hstack([breaks - b, breaks + b]), 0, _REACH * scale_a) if len(breaks) else b[:, :0]
    a, weight_a = _panels(np.sort(np.hstack([edges, crossings]), axis=1))
    density = np.exp(-(a**2) / (2 * variance_a) - b**2 / (2 * variance_b)) * 2 / (np.pi * scale_a * scale_b)
    return a, b, density * weight_a * weight_b


def _edges(scale: float) -> np.ndarray:
    """Panels over 0 to 9 standard deviations: at most 3/2 of them wide, and 3/2 in x, as in `gaussian_mean`."""
    return np.linspace(0, _REACH * scale, 1 + int(np.ceil(_REACH / 1.5 * max(1.0, scale))))


def _panels(edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = _LEGENDRE
    half = np.diff(edges)[..., None] / 2
    points = edges[..., :-1, None] + half * (1 + nodes)
    shape = (*edges.shape[:-1], -1)
    return points.reshape(shape), (half * weights).reshape(shape)
