"""S6, wide layers: the law of the squared singular values of J, the eigenvalues of J Jᵀ, as all widths grow together.

By free probability (Voiculescu 1987; for Jacobians Pennington, Schoenholz & Ganguli 2018). Count eigenvalues per
input: u = (1/n_0) Tr J Jᵀ (x − J Jᵀ)^{−1}, and write r_l = n_l/n_0, w = u/r_l. Each factor of J multiplies x(u) by
1/S(w), with S its S-transform among the n_l nodes that it acts on:

- inputs: x = (1 + u)/u;
- Gaussian W, r to r': × σ_w² (r' + u)/r. Haar, narrowing: × σ_w² (r' + u)/(r + u); widening: × σ_w² r'/r;
- D: × E[s/(1 − ζs)]/(1 + w), where s is φ′² and ζ solves E[ζs/(1 − ζs)] = w. If s is a or zero, P(s = a) = p: × a (p +
  w)/(1 + w).

The spectrum is where u(x + i0) is complex; the density is −Im u/(π r_L x), and the distribution function is the
imaginary part of a primitive, too, in closed form. For each x the solution is followed from −x, where all is real and
monotone, through the upper half-plane, where u is analytic: x = e^y e^{iθ}, θ from π to 0.
"""

from __future__ import annotations

import operator
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log1p

from rmt_vn.laws.slope_law import SlopeLaw, slope_law
from rmt_vn.laws.universal import moments_variance
from rmt_vn.mean_field import slope_moment, variances_along_depth
from rmt_vn.network import Network

# π − θ on the way from −x to x: in equal steps, which nearly always do, and by ratios, for a square-root edge nearby.
_ROTATIONS = (np.linspace(0, np.pi, 7)[1:], np.pi * (1 - np.append(0.7 ** np.arange(1, 90), 0.0)))
_NEWTON_STEPS = 60
_LONGEST_STEP = 3.0
_NEARBY = 1e-3
_CONVERGED = 1e-14
_RESIDUAL = 1e-11
# Angle by which the cut of a logarithm is turned.
_CUT = 0.45
# How far rounding may put a variable outside of its half-plane.
_SIDE = 1e-5
# Errors of ln x(u): of a factor, and of an average over φ′² of more than one value.
_ROUNDING, _AVERAGING = 1e-15, 3e-14
# Edges are looked for up to e^500 times the mean.
_HIGHEST = 500.0
# Mass that counts as none where the bottom is looked for.
_THIN = 1e-10
_DEEPEST = 1e8
_AT_ATOM = 1e-12
# Distance in ln x at which a point counts as an edge.
_AT_EDGE = 1e-14
# Rows of points at a time: bounds the memory of (points × nodes) to some MB.
_BLOCK = 512
# The first two moments, integrated on few nodes, must agree so well with theirs: another sheet is far off.
_SHEET = 1e-2
_MONOTONE = 1e-9
_NODES = 128
# Refinements of where density begins, each by so many points.
_SECTIONS, _ROUNDS = 24, 4


def spectral_density(network: Network, x: ArrayLike, *, input_variance: float | None = None) -> np.ndarray:
    """Density at x of the eigenvalues of J Jᵀ, an n_L × n_L matrix, in the limit of wide layers (S6).

    Where the law has atoms (`spectral_atoms`) this is the rest, and its integral is what they leave of 1.

    Parameters
    ----------
    network : Network
        Its widths count by their ratios only.
    x : array_like
        Zero density outside the support. At x = 0 the limit, which may be infinite.
    input_variance : float, optional
        ‖x_0‖²/n_0. If given, the law of φ′² follows the length map layer by layer from there; if not, it is that at q*.
        One law for each layer takes as many times longer.

    Returns
    -------
    ndarray, shape of x
        With one value of φ′² (linear, ReLU, hard tanh) relative error below 1e-9, or 1e-15 over the relative distance
        to an edge. Else the error is 1e-11 of the largest density of ln x, over x. A thousand points take 10 ms with
        one value of φ′², and a fraction of a second with smooth φ; the lowest 1e-10 of the spectrum are not resolved
        with the latter, and given as zero.

    Raises
    ------
    ValueError
        If any x is NaN; if the law consists of atoms; or if φ′² is needed at a q* that does not exist.
    ArithmeticError
        If what was found fails a check: it is not then returned.

    Examples
    --------
    >>> from rmt_vn import Network
    >>> network = Network.uniform(100, 1, activation="linear")
    >>> spectral_density(network, [-1.0, 1.0, 5.0]).round(6)  # Marchenko–Pastur: √3/(2π) at 1
    array([0.      , 0.275664, 0.      ])
    """
    points = _checked_points(x)
    curve = _curve(network, input_variance)
    if curve.is_discrete:
        raise ValueError(f"the law of J Jᵀ has no density: it is discrete, with atoms {curve.spectrum.atoms}")
    density = np.zeros(points.shape)
    log_x = _logarithms(points)
    low = max(curve.low, curve.bottom) if curve.spectrum.smooth else curve.low
    inside = (points > 0) & (log_x > low + _AT_EDGE) & (log_x < curve.high - _AT_EDGE)
    with np.errstate(over="ignore"):
        density[inside] = _checked(curve, log_x[inside])[0] / points[inside]
    if curve.low == -np.inf:
        density[points == 0] = np.inf
    return density


def spectral_distribution(network: Network, x: ArrayLike, *, input_variance: float | None = None) -> np.ndarray:
    """Fraction of eigenvalues of J Jᵀ that are at most x: the distribution function of S6, atoms included.

    It is no integral of the density but the imaginary part of a primitive, in closed form.

    Parameters
    ----------
    network, x, input_variance
        As in `spectral_density`.

    Returns
    -------
    ndarray, shape of x
        Absolute error below 1e-11.

    Raises
    ------
    ValueError, ArithmeticError
        As `spectral_density`, but discrete laws have a distribution function.

    Examples
    --------
    >>> from rmt_vn import Network
    >>> spectral_distribution(Network.uniform(100, 2, activation="relu"), [-1.0, 0.0, 100.0])
    array([0. , 0.5, 1. ])
    """
    points = _checked_points(x)
    curve = _curve(network, input_variance)
    fraction = np.zeros(points.shape)
    if curve.is_discrete:
        for location, mass in curve.spectrum.atoms.items():
            fraction += np.where(points >= location * (1 - _AT_ATOM), mass, 0.0)
        return fraction
    y = np.maximum(_logarithms(points), curve.bottom)
    # An atom belongs to the points at and above it; u may be infinite at an edge, too.
    for location in [curve.high, *(np.log(x) for x in curve.spectrum.atoms if x > 0)]:
        y = np.where(abs(y - location) < _AT_ATOM, location + 2 * _AT_ATOM, y)
    fraction[points >= 0] = curve.spectrum.atoms.get(0.0, 0.0)
    fraction[y > curve.ceiling] = 1.0
    finite = (points > 0) & (y <= curve.ceiling)
    fraction[finite] = np.clip(_checked(curve, y[finite])[1], 0.0, 1.0)
    return fraction


def spectral_edges(network: Network, *, input_variance: float | None = None) -> tuple[float, float]:
    """The least and the largest x between which `spectral_density` is not zero.

    There may be gaps between, and atoms at zero or above. Where the density has exponentially thin tails (smooth φ, a
    few Haar layers) the edge is where it falls below 1e-11 of the largest.

    Parameters
    ----------
    network, input_variance
        As in `spectral_density`; raises the same errors.

    Examples
    --------
    >>> from rmt_vn import Network
    >>> low, high = spectral_edges(Network.uniform(100, 2, activation="linear"))
    >>> low, round(high, 12)  # 27/4
    (0.0, 6.75)
    """
    curve = _curve(network, input_variance)
    if curve.is_discrete:
        raise ValueError(f"the law of J Jᵀ has no density: it is discrete, with atoms {curve.spectrum.atoms}")
    return float(np.exp(curve.low)), float(np.exp(curve.high))


def spectral_atoms(network: Network, *, input_variance: float | None = None) -> dict[float, float]:
    """Eigenvalues of J Jᵀ of which there is a positive fraction, with that fraction, in increasing order.

    At zero: rank lost to a narrow layer, to ReLU, to dropout. Elsewhere only with Haar weights: directions that no
    layer has touched (linear networks; hard tanh as long as 1 − L P(|h| > 1) > 0).

    Parameters
    ----------
    network, input_variance
        As in `spectral_density`.

    Examples
    --------
    >>> from rmt_vn import Network
    >>> spectral_atoms(Network((100, 400), activation="linear", weights="gaussian"))
    {0.0: 0.75}
    """
    return dict(_spectrum(network, input_variance).atoms)


def spectral_moments(network: Network, order: int, *, input_variance: float | None = None) -> np.ndarray:
    """m_1, …, m_order: limits of (1/n_L) Tr (J Jᵀ)^k, atoms included (S6).

    By Lagrange's inversion, r_L m_k = (1/k) [u^{k−1}] (u x(u))^k, from the moments μ_k of φ′² and not from the density.

    Parameters
    ----------
    network, input_variance
        As in `spectral_density`.
    order : int
        ≥ 1.

    Returns
    -------
    ndarray, shape (order,)
        Relative error below 1e-13 times what rounding errors of μ_k grow to.

    Raises
    ------
    TypeError, ValueError
        If order is not an integer ≥ 1; else as `spectral_density`.

    Examples
    --------
    >>> from rmt_vn import Network
    >>> spectral_moments(Network.uniform(100, 2, activation="linear"), 4)  # Fuss–Catalan
    array([ 1.,  3., 12., 55.])
    """
    if isinstance(order, bool) or not hasattr(order, "__index__"):
        raise TypeError(f"order must be an integer ≥ 1, got {order!r}")
    count = operator.index(order)
    if count < 1:
        raise ValueError(f"order must be an integer ≥ 1, got {order!r}")
    # Not at the top: mpmath is slow to import.
    from mpmath import mp

    spectrum = _spectrum(network, input_variance)
    # Reverting a series of moments cancels about a digit per order.
    with mp.workdps(30 + 2 * count):
        logarithm = [mp.mpf(0)] * count
        for shift, exponent in spectrum.powers.items():
            logarithm[0] += exponent * mp.log(shift)
            for n in range(1, count):
                logarithm[n] -= exponent * mp.mpf(-1 / mp.mpf(shift)) ** n / n
        for factor in spectrum.smooth:
            mu = [mp.mpf(m) for m in _slope_moments(network, factor.variance, count)]
            logarithm[0] += factor.count * mp.log(mu[0])
            for n in range(1, count):
                # [w^n] ln(w/χ(w)) of the inverse χ of ψ(z) = z T(z) is −(1/n) [z^n] T(z)^{−n}.
                coefficient = -_power_series(mu, -n)[n] / n
                logarithm[n] += factor.count * coefficient / mp.mpf(factor.ratio) ** n
        # [u^{k−1}] e^{k ln(u x(u))}: f′ = k (ln u x)′ f, coefficient by coefficient.
        scale = mp.exp(mp.mpf(spectrum.log_scale) + logarithm[0])
        moments = []
        for k in range(1, count + 1):
            f = [mp.mpf(1)]
            for n in range(1, k):
                f.append(sum(k * j * logarithm[j] * f[n - j] for j in range(1, n + 1)) / n)
            moments.append(float(scale**k * f[k - 1] / k / mp.mpf(spectrum.output)))
    return np.array(moments)


# --- what the spectrum is made of -------------------------------------------------------------------------------------


class _Smooth(NamedTuple):
    """Layers of a law of φ′² with more than one value: its nodes, r_l, how many such layers there are, and its q."""

    law: SlopeLaw
    ratio: float
    count: int
    variance: float


@dataclass(frozen=True, eq=False)
class _Spectrum:
    """x(u) = e^{log_scale} (−u)^{−1} Π (c + u)^{k_c} Π_j E[s/(1 − ζ_j s)]^{count_j}, up to its sign.

    Attributes
    ----------
    powers : dict
        c ↦ k_c.
    rank : float
        Rank of J over n_0: −u grows up to it as x → 0.
    output : float
        r_L.
    radius : float
        |u| is at most this: the image of the half-plane under the moment function of a Gaussian layer.
    largest : float
        Logarithm of a bound on the eigenvalues.
    atoms : dict
    """

    log_scale: float
    powers: dict[float, int]
    smooth: tuple[_Smooth, ...]
    rank: float
    output: float
    radius: float
    largest: float
    atoms: dict[float, float]


def _layer_variances(network: Network, input_variance: float | None) -> list[float]:
    variances = variances_along_depth(network, input_variance)
    if variances is None:
        return [moments_variance(network)] * network.depth
    return variances.tolist()


def _slope_moments(network: Network, variance: float, count: int) -> list[float]:
    """μ_1, …, μ_count, dropout included."""
    keep = network.dropout or 1.0
    return [slope_moment(network.activation, variance, k) * keep ** (1 - 2 * k) for k in range(1, count + 1)]


@lru_cache(maxsize=32)
def _spectrum(network: Network, input_variance: float | None) -> _Spectrum:
    widths = network.widths
    ratios = [n / widths[0] for n in widths]
    is_gaussian = network.weights == "gaussian"
    log_scale = 2 * network.depth * np.log(network.sigma_w)
    largest = log_scale
    radius = np.inf
    powers: Counter[float] = Counter({1.0: 1})
    smooth: Counter[tuple[SlopeLaw, float, float]] = Counter()
    rank = 1.0
    # A single Haar layer leaves φ′² as it is, with the singularities of its density.
    levels = 11 if network.depth == 1 and not is_gaussian else 3
    laws = []
    for (r_in, r_out), variance in zip(pairwise(ratios), _layer_variances(network, input_variance), strict=True):
        if is_gaussian:
            powers[r_out] += 1
            log_scale -= np.log(r_in)
            largest += 2 * np.log1p(np.sqrt(r_out / r_in))
            radius = min(radius, np.sqrt(r_in * r_out))
        elif r_out <= r_in:
            powers[r_out] += 1
            powers[r_in] -= 1
        else:
            log_scale += np.log(r_out / r_in)
            largest += np.log(r_out / r_in)
        law = slope_law(network.activation, variance, network.dropout or 1.0, levels)
        if not law.mass > 0:
            raise ValueError(f"φ′ is 0 for {network.activation.name} at variance {variance:g}; J Jᵀ is 0")
        laws.append(law)
        largest += np.log(np.abs(law.squares).max())
        rank = min(rank, r_out, law.mass * r_out)
        powers[r_out] -= 1
        if len(law.squares) == 1:
            powers[law.mass * r_out] += 1
            log_scale += np.log(law.squares[0].real)
        else:
            # 1 + w is (r + u)/r.
            log_scale += np.log(r_out)
            smooth[law, r_out, variance] += 1
    return _Spectrum(
        log_scale=float(log_scale),
        powers={c: k for c, k in powers.items() if k},
        smooth=tuple(_Smooth(law, ratio, count, q) for (law, ratio, q), count in smooth.items()),
        rank=rank,
        output=ratios[-1],
        radius=float(radius),
        largest=float(largest),
        atoms=_atoms(network, rank, laws),
    )


def _atoms(network: Network, rank: float, laws: list[SlopeLaw]) -> dict[float, float]:
    """At zero, what the rank lacks. Above, what of the inputs no Haar layer projects and no D but an atom of it meets.

    With more than one layer that takes more than half of each D, and one value of φ′² only can have it.
    """
    widths = network.widths
    lost = 1 - rank * widths[0] / widths[-1]
    atoms = {0.0: lost} if lost > _AT_ATOM else {}
    if network.weights == "orthogonal":
        kept = widths[0] - sum(max(0, n_in - n_out) for n_in, n_out in pairwise(widths))
        gain = np.exp(2 * network.depth * np.log(network.sigma_w))
        gain *= prod(max(1, n_out / n_in) for n_in, n_out in pairwise(widths))
        if network.depth == 1:
            choices = [[item] for item in laws[0].atoms.items()]
        else:
            choices = [[max(law.atoms.items(), key=lambda item: item[1], default=(0.0, 0.0)) for law in laws]]
        for choice in choices:
            mass = (kept - sum((1 - p) * n for (_, p), n in zip(choice, widths[1:], strict=True))) / widths[-1]
            if mass > _AT_ATOM:
                atoms[float(gain * prod(s for s, _ in choice))] = mass
    return dict(sorted(atoms.items()))


# --- the equation for u -----------------------------------------------------------------------------------------------


class _Solution(NamedTuple):
    """σ = ln(−u/(rank + u)), shape (points,), and τ_j = ln(−ζ_j), shape (smooth factors, points).

    Both have imaginary parts from 0 (x < 0) to π; between, x is in the upper half-plane. They are about linear in ln x.
    """

    sigma: np.ndarray
    tau: np.ndarray


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


def _log_shifted(spectrum: _Spectrum, sigma: np.ndarray) -> tuple[np.ndarray, dict[float, np.ndarray]]:
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


def _averages(factor: _Smooth, tau: np.ndarray) -> tuple[np.ndarray, ...]:
    """E 1/(1 − ζs), E s/(1 − ζs) and E s/(1 − ζs)² at ζ = −e^τ."""
    weights, squares = factor.law.weights, factor.law.squares
    resolvent = 1 / (1 + _exponential(tau)[:, None] * squares)
    weighted = weights * squares
    return resolvent @ weights, resolvent @ weighted, resolvent**2 @ weighted


def _newton_step(spectrum: _Spectrum, y: np.ndarray, solution: _Solution) -> tuple[np.ndarray, ...]:
    """Newton's steps of σ and τ towards ln(−x) − log_scale = y, the residual of that, and d ln x/dσ."""
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
    pending = []
    for j, factor in enumerate(spectrum.smooth):
        zeta = _exponential(tau[j])
        live, mean, second = _averages(factor, tau[j])
        psi = zeta * mean
        # ψ/(mass + ψ) at w_j over that at ζ_j: about linear in τ and in σ, and precise at both ends.
        w, left = u / factor.ratio, (factor.law.mass * factor.ratio - spectrum.rank + rest) / factor.ratio
        excess = np.where(np.abs(w) < np.abs(left), w + psi, left - live)
        gap = log1p(factor.law.mass * excess / (-psi * left))
        steepness = zeta * second * factor.law.mass / (psi * live)
        pull = rest / spectrum.rank * factor.law.mass / left
        own = second / mean - 1
        residual = residual - factor.count * (_log_lower(mean) + own * gap / steepness)
        slope = slope + factor.count * own * pull / steepness
        pending.append((gap, pull, steepness))
    d_sigma = residual / slope
    d_tau = np.array([(gap + pull * d_sigma) / steepness for gap, pull, steepness in pending])
    return d_sigma, d_tau.reshape(tau.shape), residual, slope


def _newton(spectrum: _Spectrum, y: np.ndarray, solution: _Solution, precision: float) -> _Solution:
    """Solve ln(−x) − log_scale = y by Newton's method from a solution nearby."""
    sigma, tau = solution.sigma.copy(), solution.tau.copy()
    active = np.arange(len(sigma))
    for _ in range(_NEWTON_STEPS):
        d_sigma, d_tau, *_ = _newton_step(spectrum, y[active], _Solution(sigma[active], tau[:, active]))
        size = np.max(np.abs(np.vstack([d_sigma, d_tau])), axis=0)
        short = 1 / np.maximum(1.0, size / _LONGEST_STEP)
        sigma[active] += short * d_sigma
        tau[:, active] += short * d_tau
        active = active[~(size < precision)]
        if not len(active):
            break
    return _Solution(sigma, tau)


def _solve(spectrum: _Spectrum, log_x: np.ndarray) -> _Solution:
    """The solution at x + i0, x = e^{log_x}, certified to be on the right sheet as far as half-planes tell."""
    y = (log_x - spectrum.log_scale).astype(complex)
    if not spectrum.powers and len(spectrum.smooth) == 1:
        return _real_where_it_is(spectrum, y, _read_off(spectrum.smooth[0], y - 1j * np.pi))
    first = [-np.log(np.sum(f.law.weights * f.law.squares).real) for f in spectrum.smooth]
    zeros = np.zeros(len(y), dtype=complex)
    start = _Solution(zeros, np.array(first, dtype=complex)[:, None] + zeros)
    real = _newton(spectrum, y, start, _NEARBY)
    sigma, tau = real.sigma.copy(), real.tau.copy()
    todo = np.arange(len(y))
    for rotation in _ROTATIONS:
        solution = _Solution(real.sigma[todo], real.tau[:, todo])
        for turn in rotation:
            solution = _newton(spectrum, y[todo] - 1j * turn, solution, _CONVERGED if turn == np.pi else _NEARBY)
        sigma[todo], tau[:, todo] = _real_where_it_is(spectrum, y[todo], solution)
        todo = todo[~_is_physical(spectrum, y[todo], solution)]
        if not len(todo):
            return _Solution(sigma, tau)
    raise ArithmeticError(
        f"no solution on the physical sheet was found at ln x = {log_x[todo[0]]:g} and {len(todo) - 1} other points"
    )


def _read_off(factor: _Smooth, y: np.ndarray) -> _Solution:
    """The solution where D is all there is, ζ = 1/x: a Haar layer that does not widen."""
    tau = -y - np.log(factor.ratio)
    live, mean, _ = _averages(factor, tau)
    return _Solution(_log_upper(_exponential(tau) * mean / live), tau[None])


def _real_where_it_is(spectrum: _Spectrum, y: np.ndarray, solution: _Solution) -> _Solution:
    """The same, with u exactly real where it is so to rounding: that of ln x over its derivative, zero at an edge."""
    slope = _newton_step(spectrum, y - 1j * np.pi, solution)[-1]
    error = _ROUNDING * sum(map(abs, spectrum.powers.values())) + _AVERAGING * sum(f.count for f in spectrum.smooth)
    sigma, tau = solution
    nearest = np.pi * (sigma.imag > np.pi / 2)
    is_real = np.abs(sigma.imag - nearest) < error / np.abs(slope)
    return _Solution(
        np.where(is_real, sigma.real + 1j * nearest, sigma),
        np.where(is_real, tau.real + 1j * np.pi * (tau.imag > np.pi / 2), tau),
    )


def _is_physical(spectrum: _Spectrum, y: np.ndarray, solution: _Solution) -> np.ndarray:
    """Whether the equation is solved and all variables are where free convolution has them.

    Only one solution has them all in their half-planes (Belinschi & Bercovici 2007).
    """
    residual = _newton_step(spectrum, y - 1j * np.pi, solution)[-2]
    sides = np.vstack(solution).imag
    return (
        (np.abs(residual) < _RESIDUAL * (1 + np.abs(y)))
        & np.all((sides > -_SIDE) & (sides < np.pi + _SIDE), axis=0)
        & (np.abs(_u(spectrum, solution.sigma)) < spectrum.radius * (1 + _SIDE))
    )


def _u(spectrum: _Spectrum, sigma: np.ndarray) -> np.ndarray:
    growth = _exponential(sigma)
    return -growth * spectrum.rank / (1 + growth)


def _per_logarithm(spectrum: _Spectrum, solution: _Solution) -> np.ndarray:
    """The density of ln x, −Im u/(π r_L); zero where u is real to rounding."""
    growth = _exponential(solution.sigma)
    # Of u and of rank + u, which have the same imaginary part, the smaller.
    smaller = np.where(np.abs(growth) < 1, -growth, 1.0) * spectrum.rank / (1 + growth)
    return -smaller.imag / (np.pi * spectrum.output)


def _below(spectrum: _Spectrum, solution: _Solution) -> np.ndarray:
    """The fraction of eigenvalues up to x: −Im/(π r_L) of the primitive of (r_L + u) d ln x."""
    sigma, tau = solution
    u, output = _u(spectrum, sigma), spectrum.output
    log_minus_u, logs = _log_shifted(spectrum, sigma)
    primitive = -u - output * log_minus_u
    for c, exponent in spectrum.powers.items():
        primitive = primitive + exponent * (u + (output - c) * logs[c])
    for j, factor in enumerate(spectrum.smooth):
        mean = _averages(factor, tau[j])[1]
        entropy = _log_upper(1 + _exponential(tau[j])[:, None] * factor.law.squares) @ factor.law.weights
        primitive = primitive + factor.count * (output * _log_lower(mean) + u + factor.ratio * entropy)
    return -primitive.imag / (np.pi * output)


# --- the curve as a whole ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Curve:
    """A spectrum, where it is, and its distribution function at some points: what single points are checked against.

    Attributes
    ----------
    low, high : float
        Edges in ln x; low is −∞ where the density reaches down to zero.
    bottom, ceiling : float
        ln x below which there is no mass but an atom at zero, and above which there is none.
    log_x, below : ndarray
        Increasing.
    """

    spectrum: _Spectrum
    is_discrete: bool
    low: float = -np.inf
    high: float = np.inf
    bottom: float = -np.inf
    ceiling: float = np.inf
    log_x: np.ndarray = field(default_factory=lambda: np.empty(0))
    below: np.ndarray = field(default_factory=lambda: np.empty(0))


@lru_cache(maxsize=32)
def _curve(network: Network, input_variance: float | None) -> _Curve:
    spectrum = _spectrum(network, input_variance)
    atoms = spectrum.atoms
    if sum(atoms.values()) > 1 - _AT_ATOM:
        return _Curve(spectrum, is_discrete=True)
    m1, m2 = spectral_moments(network, 2, input_variance=input_variance)
    if not (m1 > 0 and np.isfinite(m2)):
        raise ValueError(f"the eigenvalues of J Jᵀ leave the range of doubles: their mean is {m1:g}; change sigma_w")
    bottom = _bottom(spectrum, np.log(m1))
    # The bound is the product of the layers', in deep networks far too high.
    ceiling = min(spectrum.largest, np.log(m1) + _HIGHEST) + _NEARBY
    grid = np.unique(
        np.concatenate(
            [
                ceiling - _NEARBY - np.geomspace(1e-6, ceiling - bottom, 96),
                np.linspace(bottom, ceiling - _NEARBY, 48, endpoint=False),
                np.log(m1) + np.sqrt(abs(m2 / m1**2 - 1)) * np.linspace(-3, 3, 49),
                [ceiling],
            ]
        )
    )
    grid = grid[(grid >= bottom) & (grid <= ceiling)]
    is_inside = _per_logarithm(spectrum, _solve(spectrum, grid)) > 0
    if not is_inside.any():
        raise ArithmeticError(f"no support was found between {np.exp(bottom):g} and {np.exp(spectrum.largest):g}")
    first, last = np.flatnonzero(is_inside)[[0, -1]]
    low = -np.inf if first == 0 else _edge(spectrum, grid[first], grid[first - 1])
    high = min(_edge(spectrum, grid[last], grid[min(last + 1, len(grid) - 1)]), spectrum.largest + _AT_EDGE)
    # Square roots at the edges, and an exponential where there is no lower one, made smooth.
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    if low == -np.inf:
        s = np.sqrt(high - bottom) * (1 - nodes) / 2
        log_x, weights = high - s**2, weights * s * np.sqrt(high - bottom)
    else:
        angle = np.pi * (1 - nodes) / 2
        log_x = (high + low) / 2 + (high - low) / 2 * np.cos(angle)
        weights = weights * np.sin(angle) * np.pi / 4 * (high - low)
    below = _below(spectrum, _solve(spectrum, log_x))
    if not (
        np.all(np.diff(below[np.argsort(log_x)]) > -_MONOTONE)
        and np.all((below > -_MONOTONE) & (below < 1 + _MONOTONE))
    ):
        raise ArithmeticError("the distribution function found is not monotone from 0 to 1: a wrong branch")
    # m_k is the integral of k x^k (1 − F) over ln x; below the nodes F is what is at zero, above them there are atoms.
    at_zero, above = atoms.get(0.0, 0.0), {x: mass for x, mass in atoms.items() if x > np.exp(high)}
    start = bottom if low == -np.inf else low
    for k, moment in enumerate((m1, m2), start=1):
        found = np.sum(weights * k * np.exp(k * log_x) * (1 - below)) + np.exp(k * start) * (1 - at_zero)
        found += sum(mass * (x**k - np.exp(k * high)) for x, mass in above.items())
        if not abs(found - moment) < _SHEET * moment:
            raise ArithmeticError(f"moment {k} of the density found is {found:g}, not {moment:g}: a wrong branch")
    return _Curve(spectrum, False, low, high, bottom, ceiling, log_x, below)


def _bottom(spectrum: _Spectrum, log_mean: float) -> float:
    """ln x below which there is no mass but an atom at zero."""
    at_zero = spectrum.atoms.get(0.0, 0.0)
    for depth in np.geomspace(1.0, _DEEPEST, 120):
        log_x = np.array([log_mean - depth])
        if _below(spectrum, _solve(spectrum, log_x))[0] - at_zero < _THIN:
            return float(log_x[0])
    raise ArithmeticError(f"more than {_THIN:g} of the eigenvalues are below e^{-_DEEPEST:g} of their mean")


def _edge(spectrum: _Spectrum, inside: float, outside: float) -> float:
    """Where the density of ln x begins, between a point where there is some and one where there is none."""
    step = abs(outside - inside)
    for _ in range(_ROUNDS):
        points = np.linspace(inside, outside, _SECTIONS + 2)
        is_inside = _per_logarithm(spectrum, _solve(spectrum, points)) > 0
        last = max(np.flatnonzero(is_inside), default=0)
        inside, outside = points[last], points[min(last + 1, len(points) - 1)]
    # (π − Im σ)² is analytic at a square-root edge, and zero there: Lagrange's interpolation of ln x in it.
    edge, direction = outside, np.sign(inside - outside)
    for reach in (1e-3, 1e-4):
        points = edge + direction * reach * step * np.arange(1, 6)
        squares = (np.pi - _solve(spectrum, points).sigma.imag) ** 2
        if np.all(np.diff(squares) > 0) and squares[0] > 0:
            factors = [np.delete(squares, i) / np.delete(squares - squares[i], i) for i in range(len(squares))]
            edge = float(sum(point * np.prod(factor) for point, factor in zip(points, factors, strict=True)))
    return float(edge) if min(inside, outside) <= edge <= max(inside, outside) else float(outside)


def _checked(curve: _Curve, log_x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Density of ln x and distribution function, which must be between those of the curve's points to either side."""
    density, below = np.empty(len(log_x)), np.empty(len(log_x))
    for start in range(0, len(log_x), _BLOCK):
        block = slice(start, start + _BLOCK)
        solution = _solve(curve.spectrum, log_x[block])
        density[block], below[block] = _per_logarithm(curve.spectrum, solution), _below(curve.spectrum, solution)
    index = np.searchsorted(curve.log_x, log_x)
    least = np.concatenate([[0.0], curve.below])[index] - _MONOTONE
    most = np.concatenate([curve.below, [1.0]])[index] + _MONOTONE
    is_wrong = ~((density > -_MONOTONE) & (below > least) & (below < most))
    if is_wrong.any():
        at = np.flatnonzero(is_wrong)[0]
        raise ArithmeticError(
            f"a wrong branch at x = {np.exp(log_x[at]):g}: {below[at]:g} of the eigenvalues would be below it, and it "
            f"must be between {least[at]:g} and {most[at]:g}"
        )
    return np.maximum(density, 0.0), below


def _checked_points(x: ArrayLike) -> np.ndarray:
    points = np.asarray(x, dtype=float)
    if np.isnan(points).any():
        raise ValueError(f"x must be numbers, got {x!r}")
    return points


def _logarithms(points: np.ndarray) -> np.ndarray:
    """ln x; of points that are not positive, −∞."""
    return np.log(points, out=np.full(points.shape, -np.inf), where=points > 0)


def _power_series(series: list, exponent: int) -> list:
    """Coefficients of f^α, of as many terms, by J. C. P. Miller's recurrence."""
    power = [series[0] ** exponent]
    for n in range(1, len(series)):
        terms = (((exponent + 1) * k - n) * series[k] * power[n - k] for k in range(1, n + 1))
        power.append(sum(terms) / (n * series[0]))
    return power
