"""The law of ρ itself, behind S3 and S4: is a correlation more than depth alone would give?

Two nodes walk at random on the hyperbolic plane (see `rmt_vn.laws.spherical`), and ρ = tanh y with y the distance from
a geodesic through the start. With M(ν) the spherical transform of the walk, a(x) = (1/2π) ∫ M(ν) e^{iνx} dν belongs to
its projection along horocycles, and y has the density

    p(y) = (2√2/π) cosh y ∫_{|y|}^∞ −a′(x) K(κ) (cosh x + cosh y)^{−1/2} dx,

κ = (cosh x − cosh y)/(cosh x + cosh y), K the complete elliptic integral of parameter κ. (For the diffusion of S4, −a′
is x/t times a normal density.) In P(|y| > Y) an elliptic integral of the third kind takes the place of K. Each layer of
S3 is that diffusion run for a random time, so a(x) falls with |x|: all terms are positive, and tails keep their
relative accuracy.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ellipkm1, elliprj, expm1, log1p

from rmt_vn.laws.exact import _live_counts
from rmt_vn.laws.spherical import _STIRLING
from rmt_vn.network import Network

LogFactor = Callable[[np.ndarray], np.ndarray]

# Where ln M(0) = −t/8 has fallen below this, all but 1e-36 of the law is at |ρ| = 1 in double precision.
_MERGED = -85.0
# Below this t, ρ² is zero in double precision.
_NO_DEPTH = 1e-200
# The last ρ < 1, and its y: no other y is asked for.
_LAST = float(np.nextafter(1, 0))
_FARTHEST = float(np.arctanh(_LAST))
# Below e^{−760} a density is zero in double precision; e^{−45} of the whole is nothing.
_UNDERFLOW, _DIGITS = 760.0, 45.0

# Contours ν(u) = iτ + w (sinh u + iβ(cosh u − 1)): bent, so that e^{iνx} falls where M has no more than a power of ν to
# fall by. For a Gaussian M the trapezoid rule in u converges as e^{−2πδ/h}, δ = π/4 − arctan β, which is 1e-17.
_BEND, _STEP, _LONGEST, _PIECE = np.tan(np.pi / 8), 0.065, 400, 16
# Nearer to x = 0, in units of its width, a(x) carries nothing.
_NEAREST = 1e-9
# The integrals over x: x = y + w e^{v − e^{−v}}, by the trapezoid rule in v.
_LOWEST, _HIGHEST, _FINENESS = -3.6, 5.7, 0.1
_FARTHEST_X = 600.0  # from y; t/2 and 9 √t more at the largest t
_BLOCK = 1 << 20
_ROWS = 256


def correlation_density(rho: ArrayLike, depth: float | Network) -> float | np.ndarray:
    """Probability density of the correlation ρ of two nodes of the last layer.

    Parameters
    ----------
    rho : float or array_like
        Outside [−1, 1] the density is zero; at ±1, where it may be infinite, it is that of the last ρ before.
    depth : float or Network
        An effective depth t ≥ 0 for the limit of wide networks (S4), or a linear or ReLU network, dropout and biases
        included, for the exact law at its widths (S3): that of two pre-activations of a network that is alive.

    Returns
    -------
    float or ndarray
        Of the shape of ρ; relative error below 1e-10. Atoms are left out: at ρ = 0 where Haar weights meet no mask (the
        whole law, at t = 0), at ±1 where a layer feeds the next by one node. In shallow networks of Haar weights the
        density may be infinite at ρ = 0: the value there means nothing.

    Raises
    ------
    TypeError, ValueError
        If ρ is NaN, if t is negative or NaN, if the network has another activation (take its `effective_depth`), or a
        last layer of one node.

    Examples
    --------
    >>> from rmt_vn import Network
    >>> round(correlation_density(0.2, Network((3, 3), activation="linear")), 6)  # uniform on [−1, 1]
    0.5
    """
    rho, walk = _checked_correlations(rho), _walk(depth)
    inside = np.abs(rho) <= 1
    near = np.minimum(np.abs(rho), _LAST)
    density = _integral(walk, np.arctanh(near), _log_density_kernel) / ((1 - near) * (1 + near))
    return _like(rho, np.where(inside, density, 0.0))


def correlation_cdf(rho: ArrayLike, depth: float | Network) -> float | np.ndarray:
    """P(ρ' ≤ ρ), for the correlation ρ' of two nodes of the last layer; atoms included.

    Parameters and errors as `correlation_density`. Accurate relative to itself in the lower tail, as
    `correlation_p_value`; the upper is its mirror image.

    Examples
    --------
    >>> correlation_cdf([-0.5, 0.0, 0.5], 0.1).round(4)
    array([0.0449, 0.5   , 0.9551])
    """
    rho, walk = _checked_correlations(rho), _walk(depth)
    half = _beyond(walk, np.abs(rho)) / 2
    return _like(rho, np.where(rho < 0, half + np.where(rho == -1, walk.merged / 2, 0.0), 1 - half))


def correlation_p_value(rho: ArrayLike, depth: float | Network) -> float | np.ndarray:
    """P(|ρ'| ≥ |ρ|): how often depth alone makes two nodes as correlated as that, either way.

    Parameters and errors as `correlation_density`. Accurate relative to itself, to 1e-10, down to the smallest normal
    double; with masks (ReLU, dropout) an absolute error of 1e-18 comes on top.

    Examples
    --------
    In ReLU networks of width 100, ρ = 0.7 is too much to be due to depth after 5 layers; after 50, it is nothing
    special.

    >>> from rmt_vn import Network
    >>> [f"{correlation_p_value(0.7, Network.uniform(100, depth, activation='relu')):.2g}" for depth in (5, 50)]
    ['0.0056', '0.49']
    """
    rho, walk = _checked_correlations(rho), _walk(depth)
    at = np.where(np.abs(rho) == 1, walk.merged, np.where(rho == 0, walk.start, 0.0))
    return _like(rho, _beyond(walk, np.abs(rho)) + at)


def correlation_quantile(p: ArrayLike, depth: float | Network) -> float | np.ndarray:
    """The ρ below which a correlation is with probability p: the inverse of `correlation_cdf`.

    Of uniform p, it makes samples of ρ, about a thousand a second.

    Parameters
    ----------
    p : float or array_like
        Between 0 and 1.
    depth : float or Network
        As in `correlation_density`, with the same errors.

    Returns
    -------
    float or ndarray
        Of the shape of p. From t = 20 on, more and more of it rounds to ±1.

    Raises
    ------
    ValueError
        If p is outside [0, 1] or NaN.

    Examples
    --------
    >>> correlation_quantile([0.025, 0.5, 0.975], 0.1).round(4)
    array([-0.5611,  0.    ,  0.5611])
    """
    p, walk = np.asarray(p, dtype=float), _walk(depth)
    if not np.all((p >= 0) & (p <= 1)):
        raise ValueError(f"probability p must be from 0 to 1, got {p[~((p >= 0) & (p <= 1))].flat[0]}")
    distance = _distance_beyond(walk, 2 * np.minimum(p, 1 - p).ravel()).reshape(p.shape)
    return _like(p, np.copysign(np.tanh(distance), p - 0.5) + 0.0)


def correlation_moment(order: int, depth: float | Network) -> float:
    """E ρ^order, for the correlation ρ of two nodes of the last layer.

    E ρ² is R(t) under S4, and 1 − S under S3. E ρ⁴ = (3R + R′ − 1)/2 under S4. Odd moments are zero.

    Parameters
    ----------
    order : int
        At least 0.
    depth : float or Network
        As in `correlation_density`, with the same errors.

    Returns
    -------
    float
        Relative error below 1e-10.

    Raises
    ------
    TypeError, ValueError
        If the order is not an integer ≥ 0.

    Examples
    --------
    >>> from rmt_vn import Network
    >>> round(correlation_moment(4, Network((6, 6), activation="linear")), 6)  # 3/(6 · 8)
    0.0625
    """
    if isinstance(order, bool) or not hasattr(order, "__index__"):
        raise TypeError(f"order must be an integer ≥ 0, got {order!r}")
    if (order := operator.index(order)) < 0:
        raise ValueError(f"order must be an integer ≥ 0, got {order}")
    walk = _walk(depth)
    if order == 0 or order % 2:
        return float(order == 0)
    if walk.spread is None:
        return walk.merged
    # ∫ ρ^k dP = ∫ P(|ρ| > tanh y) d tanh^k y.
    v = np.arange(_LOWEST, _HIGHEST, _FINENESS)
    y = min(walk.spread, 1.0) * np.exp(v - np.exp(-v))
    slope = order * np.tanh(y) ** (order - 1) / np.cosh(y) ** 2
    beyond = _integral(walk, y, _log_tail_kernel)
    return walk.merged + float(np.sum(beyond * slope * y * (1 + np.exp(-v)))) * _FINENESS


# --- the walk ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Walk:
    """The walk of two nodes, ready for integrals over x; with no spread, nothing but atoms.

    Attributes
    ----------
    start, merged : float
        Probabilities of ρ = 0, M(∞), and of |ρ| = 1, 1 − M(i/2).
    spread : float or None
        Root of the curvature of ln M at zero: the width of a(x), about √t.
    reach : float
        Where a(x) has fallen to nothing.
    edges, shift, peak : ndarray, shapes (K − 1,), (K,), (K,)
        Contour k, with its τ and ln M(iτ), is good for x up to edge k.
    nodes, terms : ndarray, shape (K, J)
        −a′(x) = e^{peak − τx} Re Σ_j terms_j e^{i nodes_j x}.
    """

    start: float
    merged: float
    spread: float | None = None
    reach: float = np.inf
    edges: np.ndarray | None = None
    shift: np.ndarray | None = None
    peak: np.ndarray | None = None
    nodes: np.ndarray | None = None
    terms: np.ndarray | None = None

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


def _walk(depth: float | Network) -> _Walk:
    if isinstance(depth, Network):
        if depth.live_probability is None:
            raise ValueError(
                f"the exact law of ρ is for 'linear' and 'relu' only, got {depth.activation!r}; "
                "for other activations give laws.effective_depth(network)"
            )
        if depth.widths[-1] < 2:
            raise ValueError(f"a correlation needs at least 2 nodes in the last layer, got {depth.widths[-1]}")
        return _network_walk(depth)
    if isinstance(depth, bool) or not isinstance(depth, Real):
        raise TypeError(f"depth must be an effective depth t ≥ 0 or a Network, got {depth!r}")
    if not depth >= 0:
        raise ValueError(f"effective depth t must be ≥ 0, got {depth}")
    return _diffusion(float(depth))


@lru_cache(maxsize=64)
def _diffusion(t: float) -> _Walk:
    if t < _NO_DEPTH or t > -8 * _MERGED:
        return _Walk(float(t < 1), float(t > 1))
    return _prepared(lambda nu: -(nu**2 + 0.25) * t / 2, np.inf, 0.0, 0.0)


@lru_cache(maxsize=64)
def _network_walk(network: Network) -> _Walk:
    layers = [_Layer(*network.widths[:2], 1.0, network.weights, 1)]
    layers += [_Layer(*s, network.live_probability, network.weights, c) for s, c in network.hidden_shapes.items()]
    start = float(np.prod([layer.no_step**layer.count for layer in layers]))
    with np.errstate(divide="ignore"):  # fan-in 1
        log_apart = sum(layer.count * np.log1p(-layer.merging) for layer in layers)
    merged = -float(np.expm1(log_apart))
    if np.exp(log_apart) - start <= 1e-14 * start:
        return _Walk(start, merged)
    pole = min(layer.pole for layer in layers)
    return _prepared(lambda nu: sum(layer.count * layer.log_step(nu) for layer in layers), pole, start, merged)


def _prepared(log_factor: LogFactor, pole: float, start: float, merged: float) -> _Walk:
    """Contours for −a′(x), through the saddle points iτ of M(ν) e^{iνx} below the first pole of M, near one another.

    No term of the sum is then much larger than the whole, however small that is.
    """
    if log_factor(np.zeros(1, dtype=complex))[0].real < _MERGED:
        return _Walk(0.0, 1.0)

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
        if x > _FARTHEST:
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
    return _Walk(start, merged, spread, reach, edges, shift, peak, np.hstack(nodes), np.hstack(terms))


@dataclass(frozen=True)
class _Layer:
    """`count` weight matrices, fed by those of n_in nodes that are alive. As in S3, but for complex ν."""

    n_in: int
    n_out: int
    alive: float
    weights: str
    count: int

    @property
    def fan_ins(self) -> tuple[np.ndarray, np.ndarray]:
        """Values of k ≥ 1, and their probabilities.

        Four values to a standard deviation are as good as all: smooth functions have the same mean up to e^{−2π²4²}.
        """
        if self.alive == 1:
            return np.array([self.n_in]), np.ones(1)
        stride = max(1, int(np.sqrt(self.n_in * self.alive * (1 - self.alive)) / 4))
        k, probability = (array[::stride] for array in _live_counts(self.n_in, self.alive))
        return k, probability / probability.sum()

    @property
    def no_step(self) -> float:
        """Probability that the layer leaves ρ as it is: no node is masked."""
        k, probability = self.fan_ins
        keeps = self.weights == "orthogonal" and self.n_out <= self.n_in and k[-1] == self.n_in > 1
        return float(probability[-1]) if keeps else 0.0

    @property
    def merging(self) -> float:
        """Probability that one node feeds all."""
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
        frame = _log_gaussian_step(max(self.n_in, self.n_out), flat, haar) if haar else np.zeros(1)
        k, probability = self.fan_ins
        if len(k) == 1:
            return (_log_gaussian_step(k, flat, haar) - frame).reshape(nu.shape)
        # ln E[m_k/frame], m_1 = 0.
        deficit, mean, peak = np.full(len(flat), -probability[k == 1].sum(), dtype=complex), 0.0, -np.inf
        k, probability = k[k > 1], probability[k > 1]
        size = max(1, _BLOCK // (4 * len(flat)))
        for start in range(0, len(k), size):
            log_m = _log_gaussian_step(k[start : start + size, None], flat, haar) - frame
            weight = probability[start : start + size]
            with np.errstate(over="ignore", invalid="ignore"):
                deficit += weight @ expm1(log_m)
            top = np.maximum(peak, log_m.real.max(axis=0))
            mean = mean * np.exp(peak - top) + weight @ np.exp(log_m - top)
            peak = top
        # A wide layer's factor is 1 − O(1/n): its logarithm must be accurate relative to that small number.
        small = np.abs(deficit) < 0.5
        return np.where(small, log1p(np.where(small, deficit, 0)), np.log(mean) + peak).reshape(nu.shape)


def _log_gaussian_step(fan_in: np.ndarray | int, nu: np.ndarray, relative: bool) -> np.ndarray:
    """ln m_n(ν) for complex ν off the poles: see `spherical.log_gaussian_step`.

    If relative, m_n is left without e^{−πν/2} where Re ν > 1: ratios for different n keep their digits at large ν.
    """
    n, c = np.asarray(fan_in, dtype=float), nu**2 + 0.25
    head = np.zeros(np.broadcast_shapes(n.shape, nu.shape), dtype=complex)
    for _ in range(4):
        product = np.zeros_like(head)
        for _ in range(5):
            product += (1 + product) * (c / (n * (n - 1)))
            n = n + 2
        head -= log1p(product)
    a = (2 * n - 1) / 4
    z = 0.5j * nu
    far = relative & (nu.real > 1)
    angle = np.arctanh(np.where(far, a / np.where(far, z, 1), z / a))  # artanh(z/a) = artanh(a/z) + iπ/2
    return head + _log_gamma_pair(a, z, angle) - _log_gamma_pair(a, 0.25, np.arctanh(0.25 / a))


def _log_gamma_pair(a: np.ndarray, z: np.ndarray | float, angle: np.ndarray) -> np.ndarray:
    """ln Γ(a + z) Γ(a − z) but for what does not depend on z, by Stirling's series; angle = artanh(z/a)."""
    total = (a - 0.5) * log1p(-((z / a) ** 2)) + 2 * z * angle
    for k, coefficient in enumerate(_STIRLING):
        total = total + coefficient * ((a + z) ** -(2 * k + 1) + (a - z) ** -(2 * k + 1))
    return total


# --- integrals over the walk ------------------------------------------------------------------------------------------


def _beyond(walk: _Walk, rho: np.ndarray) -> np.ndarray:
    """P(|ρ'| > ρ) for ρ ≥ 0, and zero beyond 1, where `merged` is an atom at 1."""
    if walk.spread is None:
        return np.where(rho < 1, walk.merged, 0.0)
    inner = (rho > 0) & (rho < 1)
    tail = _integral(walk, np.arctanh(np.where(inner, rho, 0.5)), _log_tail_kernel) + walk.merged
    return np.where(inner, tail, np.where(rho == 0, 1 - walk.start, 0.0))


def _distance_beyond(walk: _Walk, q: np.ndarray) -> np.ndarray:
    """y ≥ 0 with P(|y'| > y) = q; infinite where that rounds to |ρ| = 1."""
    distance = np.where(q < 1 - walk.start, np.inf, 0.0)
    if walk.spread is None:
        return distance
    # At 38 standard deviations a normal tail is the smallest double.
    grid = np.minimum(np.append(min(walk.spread, 1.0) * np.linspace(0.1, 38, 120), _FARTHEST), _FARTHEST)
    tail = walk.merged + _integral(walk, grid, _log_tail_kernel)
    (todo,) = np.nonzero((q > tail[-1]) & (q < 1 - walk.start))
    distance[todo] = np.interp(-np.log(q[todo]), -np.log(np.maximum(tail, 5e-324)), grid)
    low, high = np.zeros(len(q)), np.full(len(q), _FARTHEST)
    # Newton's method for ln P, within brackets.
    for _ in range(60):
        y = distance[todo]
        tail = walk.merged + _integral(walk, y, _log_tail_kernel)
        above = tail > q[todo]
        low[todo], high[todo] = np.where(above, y, low[todo]), np.where(above, high[todo], y)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            guess = y + tail * np.log(tail / q[todo]) / (2 * _integral(walk, y, _log_density_kernel))
        inside = (guess >= low[todo]) & (guess <= high[todo])
        distance[todo] = np.where(inside, guess, (low[todo] + high[todo]) / 2)
        todo = todo[np.abs(distance[todo] - y) > 1e-13 * y]
    return distance


def _integral(walk: _Walk, y: np.ndarray, log_kernel: Callable) -> np.ndarray:
    """(2√2/π) ∫_y^∞ −a′(x) kernel(x, y) dx, y ≥ 0; a density or a probability of the continuous part."""
    if walk.spread is None or not y.size:
        return np.zeros(y.shape)
    # Where a(x) peaks away from zero, at about t/2, it is √t wide.
    step = _FINENESS * min(1.0, 8 / walk.spread)
    values = np.empty(y.size)
    for start in range(0, y.size, _ROWS):
        # At y = 0 the kernel is a limit.
        at = np.maximum(y.ravel()[start : start + _ROWS, None], 1e-20 * walk.spread)
        width = 1 / (1 / walk.spread + walk.shift[np.searchsorted(walk.edges, at)])
        v = np.arange(_LOWEST, min(_HIGHEST, np.log(walk.reach / width.min())), step)
        beyond = np.minimum(width * np.exp(v - np.exp(-v)), _FARTHEST_X)
        log_slope = walk.log_slope((at + beyond).ravel()).reshape(beyond.shape)
        log_term = log_slope + log_kernel(at, beyond) + np.log(beyond) + np.log1p(np.exp(-v))
        values[start : start + _ROWS] = np.exp(log_term).sum(axis=1)
    return (2 * np.sqrt(2) / np.pi * step) * values.reshape(y.shape)


def _log_density_kernel(y: np.ndarray, d: np.ndarray) -> np.ndarray:
    """ln of cosh y K(κ) (cosh x + cosh y)^{−1/2}, x = y + d."""
    sum_ = _scaled_cosh(y + d / 2) * _scaled_cosh(d / 2)  # (cosh x + cosh y) e^{−x}/2
    complement = np.exp(-d) * _scaled_cosh(y) / sum_  # 1 − κ
    return np.log(ellipkm1(complement) * _scaled_cosh(y)) + (y - d) / 2 - np.log(2 * sum_) / 2


def _log_tail_kernel(y: np.ndarray, d: np.ndarray) -> np.ndarray:
    """ln of ∫_y^x 2 cosh y′ K(κ) (cosh x + cosh y′)^{−1/2} dy′, x = y + d.

    = sinh y (cosh x + cosh y)^{−1/2} Σ_± 2 [Π(n_±|κ) − K(κ)], n_± = (cosh x − cosh y)/(cosh x ± 1); and Π(n|κ) − K(κ) =
    (n/3) R_J(0, 1 − κ, 1, 1 − n), Carlson's integral, which is positive.
    """
    x = y + d
    sum_ = _scaled_cosh(y + d / 2) * _scaled_cosh(d / 2)
    difference = _scaled_sinh(y + d / 2) * _scaled_sinh(d / 2)
    total = np.zeros(x.shape)
    half = np.exp(-d / 2)
    for scaled in (_scaled_sinh, _scaled_cosh):
        square = scaled(x / 2) ** 2  # (cosh x ± 1) e^{−x}/2
        # Arguments times e^{d/2}, so that none underflows: R_J is homogeneous of degree −3/2.
        carlson = elliprj(0, half * _scaled_cosh(y) / sum_, 1 / half, half * scaled(y / 2) ** 2 / square)
        total += difference / square * carlson
    return np.log(_scaled_sinh(y) * total * (2 / 3)) + y + (3 * d / 2 - x) / 2 - np.log(2 * sum_) / 2


def _scaled_cosh(x: np.ndarray) -> np.ndarray:
    """e^{−x} cosh x."""
    return (1 + np.exp(-2 * x)) / 2


def _scaled_sinh(x: np.ndarray) -> np.ndarray:
    """e^{−x} sinh x."""
    return -np.expm1(-2 * x) / 2


# --- input and output -------------------------------------------------------------------------------------------------


def _checked_correlations(rho: ArrayLike) -> np.ndarray:
    values = np.asarray(rho, dtype=float)
    if np.isnan(values).any():
        raise ValueError(f"correlations must not be NaN, got {rho!r}")
    return values


def _like(points: np.ndarray, values: np.ndarray) -> float | np.ndarray:
    return values if points.ndim else float(values)
