"""The law of φ′(√q z)², z ~ N(0, 1), as nodes and weights of a quadrature, also for functions with a pole nearby."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise

import numpy as np
from numpy.polynomial import chebyshev
from scipy.special import ndtr

from rmt_vn.activations import Activation
from rmt_vn.gaussian_averages import LARGEST_VARIANCE, checked_variance

# P(|z| > 8.3) = 1e-16.
_REACH = 8.3
_DEGREE = 28
# Nodes on a segment that carries all of the weight: enough for averages to be exact up to rounding. A segment with
# less of the weight gets fewer nodes, but as many as eight digits of its part need.
_MOST_NODES, _FEWEST_NODES = 20, 10
_LEGENDRE = {count: np.polynomial.legendre.leggauss(count) for count in range(_FEWEST_NODES, _MOST_NODES + 1)}
# Height of the contour over the real axis, in panels; interpolants lose two digits at most there.
_HEIGHT = 0.2
# A segment of the contour is so many times as long as it is high: the most nodes are then exact up to rounding, even
# for poles on the real axis.
_STRIDE = 2.0
# Panels are halved so often at most, while |ln φ′| changes by more than this over one.
_HALVINGS, _STEEPEST = 5, 5.0
# The contour turns φ′² by no more than this angle.
_TURN = 2.1
# It is no lower than this over its usual height: slopes that are rounding errors would have it go to zero.
_LOWEST = 0.01
# Differences of φ′² below this fraction of the largest may be rounding errors; they make no extremum.
_NOISE = 1e-12
# Squared slopes below this fraction of the largest are not resolved.
_NEGLIGIBLE = 1e-280
# |φ′| at a vertex counts as zero below this fraction of the largest; panels shrink there to the rounding error of φ′.
_ZERO = 1e-12
_ZERO_LEVELS = 24
# Slopes below this of the largest count as zero in the tails: of products of some layers the range of doubles is left.
_LEAST = 1e-75
# Where tails are looked for, and how long those are that are worth a piece of their own.
_GRID, _LONG_TAIL = 0.5, 40.0
# Variance from which on a Gaussian is uniform modulo π, to rounding.
_WRAPPED = 20.0
# Stands for slopes that underflow but are not zero by definition of φ.
_UNDERFLOWN = 1e-300


@dataclass(frozen=True, eq=False)
class SlopeLaw:
    """The law of a random variable s ≥ 0: E f(s) = f(0) (1 − mass) + Σ_k weights_k f(squares_k), f analytic.

    The nodes of its continuous part have Im s ≤ 0 and their weights are complex: f may have its poles in Im s > 0, or
    on the real axis, where it is then the limit from above.

    Attributes
    ----------
    weights, squares : ndarray, shape (nodes,)
    mass : float
        P(s ≠ 0).
    atoms : dict of float to float
        Values s > 0 of positive probability, with their probabilities.
    """

    weights: np.ndarray
    squares: np.ndarray
    mass: float
    atoms: dict[float, float]

    @cached_property
    def moment_weights(self) -> np.ndarray:
        """weights_k and weights_k squares_k, shape (nodes, 2)."""
        return np.stack([self.weights, self.weights * self.squares], axis=1)


@lru_cache(maxsize=128)
def slope_law(activation: Activation, variance: float, keep: float = 1.0, levels: int = 3) -> SlopeLaw:
    """The law of φ′(√q z)², times 0 or 1/p² under dropout with keep probability p.

    Between its kinks φ′ is interpolated on panels, and the Gaussian average is taken along a polygon in the complex
    plane, through the kinks and the extrema of φ′², on the side of the real axis where Im φ′² < 0.

    Parameters
    ----------
    activation : Activation
    variance : float
        q ≥ 0.
    keep : float
        p, in (0, 1].
    levels : int
        The panels shrink so often, fourfold, towards kinks and extrema: functions with a pole may be averaged up to a
        relative distance of about 16^{−levels} from the extreme values of φ′².
    """
    atoms: dict[float, float] = {}
    weights: list[np.ndarray] = []
    squares: list[np.ndarray] = []
    if activation.dphi is np.cos:
        # Of √q z modulo π nothing is left but e^{−2q}, and cos² knows no more.
        variance = min(variance, _WRAPPED)
    checked_variance(f"the variance of the pre-activations of {activation.name}", variance, LARGEST_VARIANCE)
    if variance == 0:
        tiny = np.finfo(float).tiny
        for slope in activation.dphi(np.array([-tiny, tiny])).tolist():
            atoms[slope**2] = atoms.get(slope**2, 0.0) + 0.5
    else:
        scale = float(np.sqrt(variance))
        reach = _REACH * scale
        for left, right in pairwise(_ends(activation, reach)):
            slope = _Slope(activation, left, right, scale)
            if np.ptp(slope.values) <= 1e-15 * slope.largest:
                square = float(slope.values.flat[0]) ** 2
                atoms[square] = atoms.get(square, 0.0) + _probability(left, right, scale)
            else:
                nodes, steps = slope.contour(levels)
                weights.append(steps * np.exp(-((nodes / scale) ** 2) / 2) / (scale * np.sqrt(2 * np.pi)))
                squares.append(slope(nodes) ** 2)
    atoms = {square / keep**2: probability * keep for square, probability in atoms.items() if square > 0}
    mass = sum(atoms.values()) + keep * float(sum(np.sum(part.real) for part in weights))
    s = np.concatenate([np.array(list(atoms), dtype=complex), *(part / keep**2 for part in squares)])
    s[np.abs(s) < _UNDERFLOWN] = _UNDERFLOWN
    probabilities = np.concatenate([np.array(list(atoms.values()), dtype=complex), *(keep * part for part in weights)])
    return SlopeLaw(probabilities, s, keep if abs(mass - keep) < 1e-13 else mass, atoms)


def _ends(activation: Activation, reach: float) -> list[float]:
    """The ends of the pieces that φ′ is averaged over: ± reach, the kinks, and where tails begin that say nothing more.

    Beyond the first and the last end φ′ is next to nothing, and counts as zero. Where it has stopped changing, to
    rounding, wide Gaussians would be averaged over many panels that all say the same.
    """
    ends = [kink for kink in activation.kinks if abs(kink) < reach]
    for sign in (-1.0, 1.0):
        start = max([0.0, *(sign * kink for kink in activation.kinks if abs(kink) < reach)])
        x = np.append(np.arange(start + _GRID, reach, _GRID), reach)
        sizes = np.abs(activation.dphi(sign * x))
        vanishes = sizes[-1] <= _LEAST * sizes.max()
        differs = sizes > _LEAST * sizes.max() if vanishes else np.abs(sizes - sizes[-1]) > 1e-15 * sizes.max()
        last = np.max(np.flatnonzero(differs), initial=-1)
        if last < 0 or (not vanishes and reach - x[last] < _LONG_TAIL):
            ends.append(sign * reach)
        elif vanishes:
            low, high = x[last], x[last + 1]
            for _ in range(50):
                middle = (low + high) / 2
                is_low = abs(float(activation.dphi(np.array(sign * middle)))) > _LEAST * sizes.max()
                low, high = (middle, high) if is_low else (low, middle)
            ends.append(sign * low)
        else:
            ends += [sign * x[last + 1], sign * reach]
    return sorted(ends)


def _probability(left: float, right: float, scale: float) -> float:
    """P(left < √q z < right); beyond the reach there is nothing."""
    low, high = (np.sign(x) * np.inf if abs(x) == _REACH * scale else x / scale for x in (left, right))
    return float(ndtr(-low) - ndtr(-high) if low > 0 else ndtr(high) - ndtr(low))


class _Slope:
    """φ′ between two kinks, at complex arguments near the real axis: a Chebyshev interpolant on each panel.

    Each is made on a window about twice as wide as its panel, outside of whose ends interpolants are worst.
    """

    def __init__(self, activation: Activation, left: float, right: float, scale: float) -> None:
        self.width = min(1.0, scale)
        self.scale = scale
        self.panels = np.linspace(left, right, 1 + int(np.ceil((right - left) / self.width)))
        for _ in range(_HALVINGS):
            # If slopes fall steeply, those at one end of a panel would be lost in the rounding errors of the other end.
            sizes = np.log(np.maximum(np.abs(activation.dphi(self.panels)), _UNDERFLOWN))
            is_steep = np.abs(np.diff(sizes)) > _STEEPEST
            self.panels = np.sort(np.append(self.panels, (self.panels[:-1] + self.panels[1:])[is_steep] / 2))
        middles, widths = (self.panels[:-1] + self.panels[1:]) / 2, np.diff(self.panels)
        self.lows, self.highs = np.maximum(middles - widths, left), np.minimum(middles + widths, right)
        points = chebyshev.chebpts1(_DEGREE + 1)
        x = (self.lows + self.highs)[:, None] / 2 + (self.highs - self.lows)[:, None] / 2 * points
        self.values = np.asarray(activation.dphi(x), dtype=float)
        transform = 2 / (_DEGREE + 1) * chebyshev.chebvander(points, _DEGREE).T
        transform[0] /= 2
        self.coefficients = transform @ self.values.T
        self.largest = float(np.abs(self.values).max())
        # Rounding errors on the real axis would grow off it.
        self.coefficients[np.abs(self.coefficients) < 1e-16 * np.abs(self.values).max(axis=1)] = 0.0
        self.slopes = chebyshev.chebder(self.coefficients) * 2 / (self.highs - self.lows)

    def _panel(self, x: np.ndarray) -> np.ndarray:
        return np.clip(np.searchsorted(self.panels, x.real, side="right") - 1, 0, len(self.panels) - 2)

    def __call__(self, x: np.ndarray, derivative: bool = False) -> np.ndarray:
        index = self._panel(x)
        low, high = self.lows[index], self.highs[index]
        coefficients = self.slopes if derivative else self.coefficients
        return chebyshev.chebval((2 * x - low - high) / (high - low), coefficients[:, index], tensor=False)

    def vertices(self) -> np.ndarray:
        """The two ends, and the extrema of φ′² between: zeros of φ′ and of φ″, by bisection from a fine grid."""
        grid = np.linspace(self.panels[0], self.panels[-1], 1 + 64 * (len(self.panels) - 1))
        found = []
        for derivative in (False, True):
            signs = np.sign(self(grid, derivative))
            left = np.flatnonzero(signs[:-1] * signs[1:] <= 0)
            low, high = grid[left], grid[left + 1]
            for _ in range(50):
                middle = (low + high) / 2
                same = np.sign(self(middle, derivative)) == signs[left]
                low, high = np.where(same, middle, low), np.where(same, high, middle)
            found.append(low)
        end = self.panels[-1]
        least = _NOISE * self.largest**2
        kept = [self.panels[0]]
        squares = [float(self(kept[0]) ** 2)]
        for x in np.unique(np.concatenate(found)):
            square = float(self(x) ** 2)
            if abs(square - squares[-1]) > least and x < end:
                kept.append(x)
                squares.append(square)
        if len(kept) > 1 and abs(float(self(end) ** 2) - squares[-1]) <= least:
            kept.pop()
        return np.array([*kept, end])

    def contour(self, levels: int) -> tuple[np.ndarray, np.ndarray]:
        """Nodes and steps of Gauss–Legendre along a polygon from end to end."""
        stops = self.vertices()
        parts = [
            part
            for left, right, rise in zip(stops[:-1], stops[1:], np.diff(self(stops) ** 2), strict=True)
            for part in self._parts(left, right, -np.sign(rise), levels)
        ]
        return np.concatenate([nodes for nodes, _ in parts]), np.concatenate([steps for _, steps in parts])

    def _parts(self, left: float, right: float, side: float, levels: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Between two extrema: up from the real axis at 45°, along it, and down; at the ends of the reach, along it."""
        reach = _REACH * self.scale
        starts = [stop for stop in (left, right) if abs(stop) < reach]
        heights = [min(_HEIGHT * self.width, (right - left) / 2)] * 2
        for end, (stop, inward) in enumerate(((left, 1), (right, -1))):
            if stop not in starts:
                heights[end] = 0.0
            while heights[end] > self._height(stop + inward * heights[end]):
                heights[end] /= 2
        up, down = (heights[0] * (1 + 1j * side), heights[1] * (-1 + 1j * side))
        if heights[0]:
            yield from self._ray(left, up, levels)
        x, stop = left + heights[0], right - heights[1]
        # A point a little past the last corner serves as well as the corner.
        corners = []
        while x < stop - 1e-9 * self.width:
            corners.append(x + 1j * side * self._height(x))
            from_left = x - left if heights[0] else np.inf
            to_right = right - x if heights[1] else np.inf
            x += min(_STRIDE * self._height(x), from_left, max(to_right / 2, heights[1]))
        if corners:
            if heights[0]:
                corners[0] = left + up
            corners.append(right + down if heights[1] else right + 1j * side * self._height(right))
            yield self._legendre(np.array(corners))
        if heights[1]:
            yield from ((nodes[::-1], -steps[::-1]) for nodes, steps in self._ray(right, down, levels))

    def _height(self, x: float) -> float:
        size, steepness = float(self(np.array(x))), float(self(np.array(x), derivative=True))
        highest = _HEIGHT * np.diff(self.panels)[self._panel(np.array(x))]
        if size**2 < _NEGLIGIBLE * self.largest**2:
            return float(highest)
        turn = _TURN * abs(size) / max(2 * abs(steepness), np.finfo(float).tiny)
        return float(min(highest, max(turn, _LOWEST * highest)))

    def _ray(self, vertex: float, arm: complex, levels: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Nodes and steps from a vertex to vertex + arm, on panels that shrink towards the vertex by equal ratios."""
        if abs(float(self(np.array(vertex)))) < _ZERO * self.largest:
            levels = _ZERO_LEVELS
        ratio = 0.25
        yield self._legendre(np.array([vertex, vertex + arm * ratio**levels]))
        for level in range(levels, 0, -1):
            nodes, weights = self._rule(vertex, abs(arm) * ratio ** (level - 1))
            away = arm * ratio ** (level - (1 + nodes) / 2)
            yield vertex + away, away * (-np.log(ratio) / 2) * weights

    def _legendre(self, polygon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        parts = []
        for start, end in pairwise(polygon):
            nodes, weights = self._rule(min(start.real, end.real, key=abs), abs(end - start))
            parts.append((start + (end - start) / 2 * (1 + nodes), (end - start) / 2 * weights))
        return np.concatenate([nodes for nodes, _ in parts]), np.concatenate([steps for _, steps in parts])

    def _rule(self, x: float, length: float) -> tuple[np.ndarray, np.ndarray]:
        """Gauss–Legendre nodes and weights on (−1, 1) for a segment of such length, no closer to zero than x."""
        log_share = min(0.0, np.log(length / self.scale) - (x / self.scale) ** 2 / 2)
        digits = 1 + log_share / -np.log(np.finfo(float).eps)
        return _LEGENDRE[max(_FEWEST_NODES, int(np.ceil(_MOST_NODES * digits)))]
