"""S6, wide layers: what the law of J Jᵀ is made of, as a product of S-transforms (Voiculescu 1987).

Count eigenvalues per input: u = (1/n_0) Tr J Jᵀ (x − J Jᵀ)^{−1}, and write r_l = n_l/n_0, w = u/r_l. Each factor of J
multiplies x(u) by 1/S(w), with S its S-transform among the n_l nodes that it acts on:

- inputs: x = (1 + u)/u;
- Gaussian W, r to r': × σ_w² (r' + u)/r. Haar, narrowing: × σ_w² (r' + u)/(r + u); widening: × σ_w² r'/r;
- D: × E[s/(1 − ζs)]/(1 + w), where s is φ′² and ζ solves E[ζs/(1 − ζs)] = w. If s is a or zero, P(s = a) = p: × a (p +
  w)/(1 + w).

So x(u) is a product of powers of c + u, and of one average for each law of φ′² with more than one value.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import prod
from typing import Any, NamedTuple

import numpy as np

from rmt_vn.gaussian_averages import slope_moment
from rmt_vn.laws.effective_depth import moments_variance
from rmt_vn.laws.spectrum.free_probability.squared_slopes import SlopeLaw, slope_law
from rmt_vn.mean_field import variances_along_depth
from rmt_vn.network import Network

# Fractions of eigenvalues below this count as none.
_NO_MASS = 1e-12
# Relative difference of variances that is rounding.
_SAME_VARIANCE = 1e-14


class SmoothLayers(NamedTuple):
    """Layers of a law of φ′² with more than one value: its nodes, r_l, how many such layers there are, and its q."""

    law: SlopeLaw
    ratio: float
    repeats: int
    variance: float


@dataclass(frozen=True, eq=False)
class Spectrum:
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
    smooth: tuple[SmoothLayers, ...]
    rank: float
    output: float
    radius: float
    largest: float
    atoms: dict[float, float]

    @property
    def is_discrete(self) -> bool:
        return sum(self.atoms.values()) > 1 - _NO_MASS


@lru_cache(maxsize=32)
def spectrum_of(network: Network, input_variance: float | None) -> Spectrum:
    """The factors of x(u), layer by layer."""
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
        law = slope_law(network.activation, variance, network.keep, levels)
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
    return Spectrum(
        log_scale=float(log_scale),
        powers={c: k for c, k in powers.items() if k},
        smooth=tuple(SmoothLayers(law, ratio, count, q) for (law, ratio, q), count in smooth.items()),
        rank=rank,
        output=ratios[-1],
        radius=float(radius),
        largest=float(largest),
        atoms=_atoms(network, rank, laws),
    )


def limit_moments(network: Network, count: int, input_variance: float | None) -> np.ndarray:
    """m_1, …, m_count, shape (count,), by Lagrange's inversion: r_L m_k = (1/k) [u^{k−1}] (u x(u))^k."""
    return np.array([float(moment) for moment in _limit_moments(network, count, input_variance)])


def log_limit_moments(network: Network, count: int, input_variance: float | None) -> list[float]:
    """ln m_1, …, ln m_count of `limit_moments`, wherever the scale of J is."""
    # Imported here, because mpmath is slow to import.
    from mpmath import mp

    return [float(mp.log(moment)) for moment in _limit_moments(network, count, input_variance)]


def _limit_moments(network: Network, count: int, input_variance: float | None) -> list[Any]:
    """The moments as mpmath's numbers, which have no least and no largest."""
    # Imported here, because mpmath is slow to import.
    from mpmath import mp

    spectrum = spectrum_of(network, input_variance)
    # Reverting a series of moments cancels about a digit per order.
    with mp.workdps(30 + 2 * count):
        logarithm = [mp.mpf(0)] * count
        for shift, exponent in spectrum.powers.items():
            logarithm[0] += exponent * mp.log(shift)
            for n in range(1, count):
                logarithm[n] -= exponent * mp.mpf(-1 / mp.mpf(shift)) ** n / n
        for layers in spectrum.smooth:
            mu = [mp.mpf(m) for m in _slope_moments(network, layers.variance, count)]
            logarithm[0] += layers.repeats * mp.log(mu[0])
            for n in range(1, count):
                # [w^n] ln(w/χ(w)) of the inverse χ of ψ(z) = z T(z) is −(1/n) [z^n] T(z)^{−n}.
                coefficient = -_power_series(mu, -n)[n] / n
                logarithm[n] += layers.repeats * coefficient / mp.mpf(layers.ratio) ** n
        # [u^{k−1}] e^{k ln(u x(u))}: f′ = k (ln u x)′ f, coefficient by coefficient.
        scale = mp.exp(mp.mpf(spectrum.log_scale) + logarithm[0])
        moments = []
        for k in range(1, count + 1):
            f = [mp.mpf(1)]
            for n in range(1, k):
                f.append(sum(k * j * logarithm[j] * f[n - j] for j in range(1, n + 1)) / n)
            moments.append(scale**k * f[k - 1] / k / mp.mpf(spectrum.output))
    return moments


def _layer_variances(network: Network, input_variance: float | None) -> list[float]:
    variances = variances_along_depth(network, input_variance)
    if variances is None:
        return [moments_variance(network)] * network.depth
    merged = variances.tolist()
    for layer in range(1, len(merged)):
        # Once the length map has converged one law serves all layers above.
        if abs(merged[layer] - merged[layer - 1]) < _SAME_VARIANCE * merged[layer]:
            merged[layer] = merged[layer - 1]
    return merged


def _slope_moments(network: Network, variance: float, count: int) -> list[float]:
    """μ_1, …, μ_count, dropout included."""
    keep = network.keep
    return [slope_moment(network.activation, variance, k) * keep ** (1 - 2 * k) for k in range(1, count + 1)]


def _atoms(network: Network, rank: float, laws: list[SlopeLaw]) -> dict[float, float]:
    """At zero, what the rank lacks. Above, the inputs that no Haar layer projects out and that meet one value of D.

    With more than one layer that takes more than half of each D, and one value of φ′² only can have it.
    """
    widths = network.widths
    lost = 1 - rank * widths[0] / widths[-1]
    atoms = {0.0: lost} if lost > _NO_MASS else {}
    if network.weights == "orthogonal":
        kept = widths[0] - sum(max(0, n_in - n_out) for n_in, n_out in pairwise(widths))
        with np.errstate(over="ignore"):
            gain = np.exp(2 * network.depth * np.log(network.sigma_w))
        gain *= prod(max(1, n_out / n_in) for n_in, n_out in pairwise(widths))
        if network.depth == 1:
            choices = [[item] for item in laws[0].atoms.items()]
        else:
            choices = [[max(law.atoms.items(), key=lambda item: item[1], default=(0.0, 0.0)) for law in laws]]
        for choice in choices:
            mass = (kept - sum((1 - p) * n for (_, p), n in zip(choice, widths[1:], strict=True))) / widths[-1]
            if mass > _NO_MASS:
                location = float(gain * prod(s for s, _ in choice))
                if not 0 < location < np.inf:
                    raise ValueError(
                        "the eigenvalues of J Jᵀ leave the range of doubles, in which their atom is "
                        f"{location}; change sigma_w, got {network.sigma_w}"
                    )
                atoms[location] = mass
    return dict(sorted(atoms.items()))


def _power_series(series: list, exponent: int) -> list:
    """Coefficients of f^α, of as many terms, by J. C. P. Miller's recurrence."""
    power = [series[0] ** exponent]
    for n in range(1, len(series)):
        terms = (((exponent + 1) * k - n) * series[k] * power[n - k] for k in range(1, n + 1))
        power.append(sum(terms) / (n * series[0]))
    return power
