"""S6, wide layers: the whole spectrum, against which single points are checked.

The spectrum is where u(x + i0) is complex; the density is −Im u/(π r_L x), and the distribution function is the
imaginary part of a primitive, too, in closed form. A curve found on a wrong branch has a distribution function that is
not monotone, or moments other than those of the series of x(u).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from rmt_vn.laws.spectrum.free_probability.s_transforms import Spectrum, log_limit_moments, spectrum_of
from rmt_vn.laws.spectrum.free_probability.subordination import Branch, density_of_log, fraction_below, solve
from rmt_vn.network import Network

# Edges are looked for up to e^500 times the mean.
_HIGHEST = 500.0
# The mean is within e^±this: its square may be out of the range of doubles.
_FARTHEST = 709.5
# A mass below this counts as none in the search for the bottom.
_THIN = 1e-10
_DEPTHS = np.geomspace(1.0, 1e8, 120)
# So many of these depths at once: deeper ones would be too deep for some spectra.
_SHALLOW = 8
# Depths as close as this to one another are not halved again.
_NEAREST = 1.0
# The first two moments, integrated on few nodes, must agree so well with theirs: another sheet is far off.
_SHEET = 1e-2
_MONOTONE = 1e-9
_NODES = 128
# A relative standard deviation below which spectra may be too narrow to be found.
_NARROW = 0.1
# Fraction of eigenvalues above zero below which the mean of all is far from theirs.
_FEW = 0.1
# Distance in ln x at which a point counts as an edge, and beyond the bound on eigenvalues at which there are none.
_AT_EDGE, _BEYOND = 1e-14, 1e-3
# Points that the others start from.
_FIRST = 24
# Refinements of where density begins, each by so many points.
_SECTIONS, _ROUNDS = 24, 4


@dataclass(frozen=True, eq=False)
class Curve:
    """A spectrum, where it is, and its distribution function at some points: what single points are checked against.

    Attributes
    ----------
    low, high : float
        Edges in ln x; low is −∞ where the density reaches down to zero.
    bottom, ceiling : float
        ln x below which there is no mass but an atom at zero, and above which there is none.
    log_x, below : ndarray
        Increasing.
    branch : Branch
        Solutions all over the curve.
    """

    spectrum: Spectrum
    low: float
    high: float
    bottom: float
    ceiling: float
    log_x: np.ndarray
    below: np.ndarray
    branch: Branch

    def checked(self, log_x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Density of ln x and distribution function, which must be between those of the curve's points to either side.

        Raises
        ------
        ArithmeticError
            If not.
        """
        solution = solve(self.spectrum, log_x, self.branch)
        density, below = density_of_log(self.spectrum, solution), fraction_below(self.spectrum, solution)
        index = np.searchsorted(self.log_x, log_x)
        least = np.concatenate([[0.0], self.below])[index] - _MONOTONE
        most = np.concatenate([self.below, [1.0]])[index] + _MONOTONE
        is_wrong = ~((density > -_MONOTONE) & (below > least) & (below < most))
        if is_wrong.any():
            at = np.flatnonzero(is_wrong)[0]
            raise ArithmeticError(
                f"a wrong branch at x = {np.exp(log_x[at]):g}: {below[at]:g} of the eigenvalues would be below it, and "
                f"it must be between {least[at]:g} and {most[at]:g}"
            )
        return np.maximum(density, 0.0), below


@lru_cache(maxsize=32)
def curve_of(network: Network, input_variance: float | None) -> Curve:
    """The curve of a network whose spectrum is not discrete.

    Raises
    ------
    ArithmeticError
        If it is on a wrong branch, or not found.
    """
    spectrum = spectrum_of(network, input_variance)
    # In units of their mean, which may be far from 1, and its square farther.
    log_mean, log_square = log_limit_moments(network, 2, input_variance)
    if not abs(log_mean) < _FARTHEST:
        raise ValueError(
            f"the eigenvalues of J Jᵀ leave the range of doubles: their mean is e^{log_mean:.6g}, and it must be "
            f"between e^-{_FARTHEST:g} and e^{_FARTHEST:g}; change sigma_w, got {network.sigma_w}"
        )
    square = float(np.exp(min(log_square - 2 * log_mean, _FARTHEST)))
    try:
        return _found(spectrum, log_mean, square)
    except ArithmeticError as error:
        spread = np.sqrt(abs(square - 1))
        if spread > _NARROW:
            raise
        raise ArithmeticError(
            f"the eigenvalues of J Jᵀ are within a relative {spread:.2g} of their mean, too close together for their "
            f"density to be found ({error}); a larger variance of the pre-activations spreads them"
        ) from None


def _found(spectrum: Spectrum, log_mean: float, square: float) -> Curve:
    """The curve, from the logarithm of its mean and the mean square in units of that."""
    middle, spread = log_mean, np.sqrt(abs(square - 1))
    live = 1 - spectrum.atoms.get(0.0, 0.0)
    if live < _FEW:
        # What is not at zero may be close together, far from the mean of all.
        middle, spread = log_mean - np.log(live), np.sqrt(abs(square * live - 1))
    # The bound is the product of the layers', in deep networks far too high.
    ceiling = min(spectrum.largest, log_mean + _HIGHEST) + _BEYOND
    bottom, branch = _bottom(spectrum, log_mean)
    first = np.concatenate(
        [np.linspace(bottom, ceiling - _BEYOND, _FIRST // 2), middle + spread * np.linspace(-3, 3, _FIRST // 2)]
    )
    branch = branch.joined(first, solve(spectrum, first))
    grid = np.unique(
        np.concatenate(
            [
                ceiling - _BEYOND - np.geomspace(1e-6, ceiling - bottom, 96),
                np.linspace(bottom, ceiling - _BEYOND, 48, endpoint=False),
                middle + spread * np.linspace(-3, 3, 49),
                [ceiling],
            ]
        )
    )
    grid = grid[(grid >= bottom) & (grid <= ceiling)]
    solution = solve(spectrum, grid, branch)
    branch = branch.joined(grid, solution)
    is_inside = density_of_log(spectrum, solution) > 0
    if not is_inside.any():
        raise ArithmeticError(f"no support was found between {np.exp(bottom):g} and {np.exp(spectrum.largest):g}")
    first, last = np.flatnonzero(is_inside)[[0, -1]]
    low = -np.inf if first == 0 else _edge(spectrum, branch, grid[first], grid[first - 1])
    high = _edge(spectrum, branch, grid[last], grid[min(last + 1, len(grid) - 1)])
    high = min(high, spectrum.largest + _AT_EDGE)
    log_x, weights = _nodes(bottom, low, high)
    solution = solve(spectrum, log_x, branch)
    below = fraction_below(spectrum, solution)
    _check_monotone(below)
    ends = (bottom if low == -np.inf else low, high)
    _check_moments(spectrum, log_mean, square, ends, log_x, weights, below)
    return Curve(spectrum, low, high, bottom, ceiling, log_x, below, branch.joined(log_x, solution))


def _bottom(spectrum: Spectrum, log_mean: float) -> tuple[float, Branch]:
    """ln x below which there is no mass but an atom at zero, and the solutions on the way there."""
    at_zero = spectrum.atoms.get(0.0, 0.0)
    branch = None
    waiting = [log_mean - depths[::-1] for depths in np.split(_DEPTHS, range(_SHALLOW, len(_DEPTHS)))][::-1]
    while waiting:
        log_x = waiting.pop()
        try:
            solution = solve(spectrum, log_x, branch)
        except ArithmeticError:
            # Far below the bottom variables leave the range of doubles: look halfway first.
            if branch is None or branch.log_x[0] - log_x[0] < _NEAREST:
                raise
            waiting += [log_x, (branch.log_x[:1] + log_x) / 2]
            continue
        branch = branch.joined(log_x, solution) if branch else Branch(log_x, solution)
        is_none = fraction_below(spectrum, solution) - at_zero < _THIN
        if is_none.any():
            return float(log_x[is_none].max()), branch
    raise ArithmeticError(f"more than {_THIN:g} of the eigenvalues are below e^{-_DEPTHS.max():g} of their mean")


def _edge(spectrum: Spectrum, branch: Branch, inside: float, outside: float) -> float:
    """Where the density of ln x begins, between a point where there is some and one where there is none."""
    step = abs(outside - inside)
    for _ in range(_ROUNDS):
        points = np.linspace(inside, outside, _SECTIONS + 2)
        is_inside = density_of_log(spectrum, solve(spectrum, points, branch)) > 0
        last = max(np.flatnonzero(is_inside), default=0)
        inside, outside = points[last], points[min(last + 1, len(points) - 1)]
    # (π − Im σ)² is analytic at a square-root edge, and zero there: Lagrange's interpolation of ln x in it.
    edge, direction = outside, np.sign(inside - outside)
    for reach in (1e-3, 1e-4):
        points = edge + direction * reach * step * np.arange(1, 6)
        squares = (np.pi - solve(spectrum, points, branch).sigma.imag) ** 2
        if np.all(np.diff(squares) > 0) and squares[0] > 0:
            factors = [np.delete(squares, i) / np.delete(squares - squares[i], i) for i in range(len(squares))]
            edge = float(sum(point * np.prod(factor) for point, factor in zip(points, factors, strict=True)))
    return float(edge) if min(inside, outside) <= edge <= max(inside, outside) else float(outside)


def _nodes(bottom: float, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Increasing ln x all over the spectrum, and weights of integrals over it.

    Square roots at the edges, and an exponential where there is no lower one, are made smooth.
    """
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    if low == -np.inf:
        s = np.sqrt(high - bottom) * (1 - nodes) / 2
        return high - s**2, weights * s * np.sqrt(high - bottom)
    angle = np.pi * (1 - nodes) / 2
    return (high + low) / 2 + (high - low) / 2 * np.cos(angle), weights * np.sin(angle) * np.pi / 4 * (high - low)


def _check_monotone(below: np.ndarray) -> None:
    if not (np.all(np.diff(below) > -_MONOTONE) and np.all((below > -_MONOTONE) & (below < 1 + _MONOTONE))):
        raise ArithmeticError("the distribution function found is not monotone from 0 to 1: a wrong branch")


def _check_moments(
    spectrum: Spectrum,
    log_mean: float,
    square: float,
    ends: tuple[float, float],
    log_x: np.ndarray,
    weights: np.ndarray,
    below: np.ndarray,
) -> None:
    """m_k is the integral of k x^k (1 − F) over ln x; below the nodes F is what is at zero, above them are atoms.

    All x in units of the mean: m_1 is 1, and m_2 the given square.
    """
    low, high = (end - log_mean for end in ends)
    at_zero = spectrum.atoms.get(0.0, 0.0)
    atoms = {np.log(x) - log_mean: mass for x, mass in spectrum.atoms.items() if x > 0}
    for k, moment in enumerate((1.0, square), start=1):
        found = np.sum(weights * k * np.exp(k * (log_x - log_mean)) * (1 - below)) + np.exp(k * low) * (1 - at_zero)
        found += sum(mass * (np.exp(k * y) - np.exp(k * high)) for y, mass in atoms.items() if y > high)
        if not abs(found - moment) < _SHEET * moment:
            raise ArithmeticError(
                f"moment {k} of the density found is {found:g} in units of the mean, not {moment:g}: a wrong branch"
            )
