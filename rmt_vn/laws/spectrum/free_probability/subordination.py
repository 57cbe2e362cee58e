"""S6, wide layers: x(u) = x + i0 solved for u, on the physical sheet.

With u the variables ζ_j of the laws of φ′² are solved for: the subordination functions of free convolution, each in its
half-plane where x is in the upper one, and only one solution has them all there (Belinschi & Bercovici 2007). So a
solution is known from others by where its variables are, or, if all are real, by where they go as x leaves the real
axis. It is found

- from solutions nearby, by Newton's method;
- where that does not find it, or nothing is near, from −x, where all is real and monotone, through the upper
  half-plane, where u is analytic: x = e^y e^{iθ}, θ from π to 0.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import log1p

from rmt_vn.laws.spectrum.free_probability.s_transforms import Spectrum

# π − θ on the way from −x to x: in equal steps, which nearly always suffice, and by ratios, near a square-root edge.
_ROTATIONS = (np.linspace(0, np.pi, 7)[1:], np.pi * (1 - np.append(0.7 ** np.arange(1, 90), 0.0)))
_NEWTON_STEPS = 60
# Newton steps from a solution nearby; if more are needed, it was not near.
_FEW_STEPS = 12
_LONGEST_STEP = 3.0
_NEARBY = 1e-3
# A step as short as this leaves its square.
_CONVERGED = 1e-10
_RESIDUAL = 1e-11
# Angle by which the cut of a logarithm is turned.
_CUT = 0.45
# How far rounding may put a variable outside of its half-plane; and how far at most if it was not followed there.
_SIDE, _SIDE_OF_NEARBY = 1e-5, 1e-10
# Errors of ln x(u): of a factor, and of an average over φ′² of more than one value.
_ROUNDING, _AVERAGING = 1e-15, 3e-14
# Averages over so many (points × nodes) at a time stay in the cache.
_BLOCK = 1 << 15


class Solution(NamedTuple):
    """σ = ln(−u/(rank + u)), shape (points,), and τ_j = ln(−ζ_j), shape (smooth factors, points).

    Both have imaginary parts from 0 (x < 0) to π; between, x is in the upper half-plane. They are about linear in ln x.
    """

    sigma: np.ndarray
    tau: np.ndarray


class Branch(NamedTuple):
    """Solutions at increasing ln x, four or more."""

    log_x: np.ndarray
    solution: Solution

    def joined(self, log_x: np.ndarray, solution: Solution) -> Branch:
        """This branch with more points."""
        together, first = np.unique(np.concatenate([self.log_x, log_x]), return_index=True)
        sigma, tau = (np.concatenate(parts, axis=-1) for parts in zip(self.solution, solution, strict=True))
        return Branch(together, Solution(sigma[first], tau[:, first]))

    def between(self, log_x: np.ndarray) -> Solution:
        """Lagrange's interpolation between the nearest four, or beyond the ends; but not out of the strip."""
        first = np.clip(np.searchsorted(self.log_x, log_x) - 2, 0, len(self.log_x) - 4)
        index = first + np.arange(4)[:, None]
        at = self.log_x[index]
        weights = [np.prod([(log_x - at[j]) / (at[i] - at[j]) for j in range(4) if j != i], axis=0) for i in range(4)]
        values = (np.sum(v[..., index] * weights, axis=-2) for v in self.solution)
        return Solution(*(v.real + 1j * np.clip(v.imag, 0.0, np.pi) for v in values))


def solve(spectrum: Spectrum, log_x: np.ndarray, near: Branch | None = None) -> Solution:
    """The solution at x + i0, x = e^{log_x}, certified to be on the right sheet as far as half-planes tell.

    Solutions at other points make it faster.

    Raises
    ------
    ArithmeticError
        If none is found.
    """
    y = (log_x - spectrum.log_scale).astype(complex)
    # Newton's method may go astray, and out of the range of doubles: what it finds is looked at afterwards.
    with np.errstate(all="ignore"):
        if not spectrum.powers and len(spectrum.smooth) == 1:
            solution = _read_off(spectrum, y - 1j * np.pi)
            return _real_where_it_is(spectrum, solution, newton_step(spectrum, y - 1j * np.pi, solution).slope)
        found, is_found = _nothing(spectrum, y), np.zeros(len(y), dtype=bool)
        if near:
            found, is_found = from_nearby(spectrum, y, near.between(log_x))
        if not is_found.all():
            rotated = _rotated(spectrum, y[~is_found])
            found.sigma[~is_found], found.tau[:, ~is_found] = rotated
    return found


def density_of_log(spectrum: Spectrum, solution: Solution) -> np.ndarray:
    """The density of ln x, −Im u/(π r_L); zero where u is real to rounding."""
    growth = _exponential(solution.sigma)
    # Of u and of rank + u, which have the same imaginary part, the smaller.
    smaller = np.where(np.abs(growth) < 1, -growth, 1.0) * spectrum.rank / (1 + growth)
    return -smaller.imag / (np.pi * spectrum.output)


def fraction_below(spectrum: Spectrum, solution: Solution) -> np.ndarray:
    """The fraction of eigenvalues up to x: −Im/(π r_L) of the primitive of (r_L + u) d ln x."""
    sigma, tau = solution
    u, output = _u(spectrum, sigma), spectrum.output
    log_minus_u, logs = _log_shifted(spectrum, sigma)
    primitive = -u - output * log_minus_u
    for c, exponent in spectrum.powers.items():
        primitive = primitive + exponent * (u + (output - c) * logs[c])
    if spectrum.smooth:
        count, ratio, _ = _columns(spectrum)
        mean, entropy = _averages(spectrum, _exponential(tau))[1], _entropies(spectrum, _exponential(tau))
        primitive = primitive + np.sum(count * (output * _log_lower(mean) + u + ratio * entropy), axis=0)
    return -primitive.imag / (np.pi * output)


# --- the equation -----------------------------------------------------------------------------------------------------


class _Step(NamedTuple):
    """Newton's steps of σ and τ towards ln(−x) − log_scale = y, the residual of that, d ln x/dσ, and dτ/dσ."""

    sigma: np.ndarray
    tau: np.ndarray
    residual: np.ndarray
    slope: np.ndarray
    pulls: np.ndarray

    @property
    def size(self) -> np.ndarray:
        return np.max(np.abs(np.vstack([self.sigma, self.tau])), axis=0)


def newton_step(spectrum: Spectrum, y: np.ndarray, solution: Solution) -> _Step:
    sigma, tau = solution
    growth = _exponential(sigma)
    rest = spectrum.rank / (1 + growth)
    u = -growth * rest
    du = u * rest / spectrum.rank
    log_minus_u, logs = _log_shifted(spectrum, sigma)
    residual = y + log_minus_u
    slope = -rest / spectrum.rank
    for c, exponent in spectrum.powers.items():
        residual = residual - exponent * logs[c]
        slope = slope + exponent * du / (c - spectrum.rank + rest)
    if not spectrum.smooth:
        step = residual / slope
        return _Step(step, tau, residual, slope, tau)
    count, ratio, mass = _columns(spectrum)
    minus_zeta = _exponential(tau)
    live, mean, second = _averages(spectrum, minus_zeta)
    psi = minus_zeta * mean
    # ψ/(mass + ψ) at w_j over that at ζ_j: about linear in τ and in σ, and precise at both ends.
    w, left = u / ratio, (mass * ratio - spectrum.rank + rest) / ratio
    excess = np.where(np.abs(w) < np.abs(left), w + psi, left - live)
    steepness = minus_zeta * second * mass / (psi * live)
    gaps = log1p(mass * excess / (-psi * left)) / steepness
    pulls = rest / spectrum.rank * mass / left / steepness
    own = count * (second / mean - 1)
    residual = residual - np.sum(count * _log_lower(mean) + own * gaps, axis=0)
    slope = slope + np.sum(own * pulls, axis=0)
    step = residual / slope
    return _Step(step, gaps + pulls * step, residual, slope, pulls)


def _columns(spectrum: Spectrum) -> np.ndarray:
    """Counts, ratios r and masses P(s ≠ 0) of the smooth layers, each shape (smooth factors, 1)."""
    return np.array([(f.repeats, f.ratio, f.law.mass) for f in spectrum.smooth]).T[:, :, None]


def _newton(spectrum: Spectrum, y: np.ndarray, start: Solution, precision: float, most: int) -> tuple[Solution, _Step]:
    """Solve ln(−x) − log_scale = y by Newton's method from a solution nearby. Also the last step."""
    sigma, tau = start.sigma.copy(), start.tau.copy()
    last = _Step(*(np.full_like(part, np.inf) for part in (sigma, tau, sigma, sigma, tau)))
    active = np.arange(len(sigma))
    for _ in range(most):
        step = newton_step(spectrum, y[active], Solution(sigma[active], tau[:, active]))
        size = step.size
        short = 1 / np.maximum(1.0, size / _LONGEST_STEP)
        sigma[active] += short * step.sigma
        tau[:, active] += short * step.tau
        for whole, part in zip(last, step, strict=True):
            whole[..., active] = part
        active = active[size >= precision]  # nor what is no number, and will be none
        if not len(active):
            break
    return Solution(sigma, tau), last


def _log_shifted(spectrum: Spectrum, sigma: np.ndarray) -> tuple[np.ndarray, dict[float, np.ndarray]]:
    """ln(−u), and ln(c + u) for all c: to an absolute error of rounding times their size, though 1/c may be small."""
    growth = _exponential(sigma)
    log_rest = -log1p(growth)
    log_rest -= 2j * np.pi * (log_rest.imag > np.pi / 2)
    rest = spectrum.rank / (1 + growth)
    u = -growth * rest
    logs = {}
    for c in spectrum.powers:
        if c == spectrum.rank:
            logs[c] = np.log(c) + log_rest
        else:
            is_small = np.abs(u) < c / 2
            logs[c] = np.where(
                is_small,
                np.log(c) + log1p(np.where(is_small, u / c, 0.0)),
                _log_lower(np.where(is_small, c, c - spectrum.rank + rest)),
            )
    return np.log(spectrum.rank) + sigma + log_rest, logs


def _averages(spectrum: Spectrum, minus_zeta: np.ndarray) -> np.ndarray:
    """E 1/(1 − ζs), E s/(1 − ζs) and E s/(1 − ζs)² over each law, shape (3, smooth factors, points)."""
    found = np.empty((3, *minus_zeta.shape), dtype=complex)
    for layers, at, (live, mean, second) in zip(spectrum.smooth, minus_zeta, found.swapaxes(0, 1), strict=True):
        weights, squares = layers.law.moment_weights, layers.law.squares
        for block in _blocks(len(at), len(squares)):
            resolvent = 1 / (1 + at[block, None] * squares)
            live[block], mean[block] = (resolvent @ weights).T
            second[block] = (resolvent * resolvent) @ weights[:, 1]
    return found


def _entropies(spectrum: Spectrum, minus_zeta: np.ndarray) -> np.ndarray:
    """E ln(1 − ζs) over each law, shape (smooth factors, points)."""
    found = np.empty(minus_zeta.shape, dtype=complex)
    for layers, at, total in zip(spectrum.smooth, minus_zeta, found, strict=True):
        for block in _blocks(len(at), len(layers.law.squares)):
            inside = 1 + at[block, None] * layers.law.squares
            # As `_log_upper`, an order of magnitude faster in real numbers.
            angle = np.arctan2(inside.imag, inside.real)
            angle += 2 * np.pi * (angle < _CUT - np.pi)
            total[block] = np.log(np.abs(inside)) @ layers.law.weights + 1j * (angle @ layers.law.weights)
    return found


def _blocks(points: int, nodes: int) -> list[slice]:
    step = max(1, _BLOCK // nodes)
    return [slice(start, start + step) for start in range(0, points, step)]


def _log_upper(z: np.ndarray) -> np.ndarray:
    """ln z, its cut turned away from the real axis: for z in the upper half-plane, and somewhat below on both sides."""
    return np.log(z * np.exp(-1j * _CUT)) + 1j * _CUT


def _log_lower(z: np.ndarray) -> np.ndarray:
    return _log_upper(z.conj()).conj()


def _exponential(z: np.ndarray) -> np.ndarray:
    """e^z, exactly real where Im z is 0 or π."""
    return np.exp(z.real) * (
        np.where(z.imag == np.pi, -1.0, np.cos(z.imag)) + 1j * np.sin(np.where(z.imag == np.pi, 0.0, z.imag))
    )


def _u(spectrum: Spectrum, sigma: np.ndarray) -> np.ndarray:
    growth = _exponential(sigma)
    return -growth * spectrum.rank / (1 + growth)


# --- its solution -----------------------------------------------------------------------------------------------------


def _nothing(spectrum: Spectrum, y: np.ndarray) -> Solution:
    return Solution(np.zeros(len(y), dtype=complex), np.zeros((len(spectrum.smooth), len(y)), dtype=complex))


def from_nearby(spectrum: Spectrum, y: np.ndarray, start: Solution) -> tuple[Solution, np.ndarray]:
    """Solutions, and which of them are certain to be on the right sheet, wherever they come from."""
    y = y - 1j * np.pi
    solution, step = _newton(spectrum, y, start, _CONVERGED, _FEW_STEPS)
    solution = _real_where_it_is(spectrum, solution, step.slope)
    # Real solutions must enter the strip as x = |x| e^{iθ} leaves the real axis: at Im = π down, at Im = 0 up.
    variables = np.vstack(solution)
    is_real = (variables.imag == 0) | (variables.imag == np.pi)
    moves = np.vstack([np.ones_like(step.slope), step.pulls]) / step.slope
    goes_in = moves.real * np.where(variables.imag == 0, 1.0, -1.0) > 0
    is_inside = (variables.imag > -_SIDE_OF_NEARBY) & (variables.imag < np.pi + _SIDE_OF_NEARBY)
    certain = np.all(np.where(is_real, goes_in, is_inside), axis=0)
    return solution, certain & _is_physical(spectrum, y, solution, step)


def _rotated(spectrum: Spectrum, y: np.ndarray) -> Solution:
    """Solutions followed from −x through the upper half-plane."""
    first = [-np.log(np.sum(f.law.weights * f.law.squares).real) for f in spectrum.smooth]
    sigma, tau = _nothing(spectrum, y)
    real, _ = _newton(spectrum, y, Solution(sigma, tau + np.array(first).reshape(-1, 1)), _NEARBY, _NEWTON_STEPS)
    todo = np.arange(len(y))
    for rotation in _ROTATIONS:
        solution = Solution(real.sigma[todo], real.tau[:, todo])
        for turn in rotation:
            precision = _CONVERGED if turn == np.pi else _NEARBY
            solution, step = _newton(spectrum, y[todo] - 1j * turn, solution, precision, _NEWTON_STEPS)
        solution = _real_where_it_is(spectrum, solution, step.slope)
        sigma[todo], tau[:, todo] = solution
        todo = todo[~_is_physical(spectrum, y[todo], solution, step)]
        if not len(todo):
            return Solution(sigma, tau)
    raise ArithmeticError(
        f"no solution on the physical sheet was found at ln x = {(y[todo[0]] + spectrum.log_scale).real:g} and "
        f"{len(todo) - 1} other points"
    )


def _read_off(spectrum: Spectrum, y: np.ndarray) -> Solution:
    """The solution where D is all there is, ζ = 1/x: a Haar layer that does not widen."""
    tau = -y[None] - np.log(spectrum.smooth[0].ratio)
    live, mean, _ = _averages(spectrum, _exponential(tau))
    return Solution(_log_upper(_exponential(tau) * mean / live)[0], tau)


def _real_where_it_is(spectrum: Spectrum, solution: Solution, slope: np.ndarray) -> Solution:
    """The same, with u exactly real where it is so to rounding: that of ln x over its derivative, zero at an edge."""
    error = _ROUNDING * sum(map(abs, spectrum.powers.values())) + _AVERAGING * sum(f.repeats for f in spectrum.smooth)
    sigma, tau = solution
    nearest = np.pi * (sigma.imag > np.pi / 2)
    is_real = np.abs(sigma.imag - nearest) < error / np.abs(slope)
    return Solution(
        np.where(is_real, sigma.real + 1j * nearest, sigma),
        np.where(is_real, tau.real + 1j * np.pi * (tau.imag > np.pi / 2), tau),
    )


def _is_physical(spectrum: Spectrum, y: np.ndarray, solution: Solution, step: _Step) -> np.ndarray:
    """Whether the equation is solved, by the last step or before it, and all variables are in their half-planes."""
    sides = np.vstack(solution).imag
    return (
        ((step.size < _CONVERGED) | (np.abs(step.residual) < _RESIDUAL * (1 + np.abs(y))))
        & np.all((sides > -_SIDE) & (sides < np.pi + _SIDE), axis=0)
        & (np.abs(_u(spectrum, solution.sigma)) < spectrum.radius * (1 + _SIDE))
    )
