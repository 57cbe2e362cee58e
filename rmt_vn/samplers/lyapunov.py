"""Lyapunov exponents by QR decompositions: the rates per layer at which directions stretch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from rmt_vn.checks import checked_count, checked_kind
from rmt_vn.network import Network
from rmt_vn.progress import progress
from rmt_vn.rng import RNG
from rmt_vn.samplers.means import SampledMean
from rmt_vn.samplers.singular_values import chosen_method, live_widths, log_gain, random_matrices, triangular_factors


@dataclass(frozen=True, eq=False, repr=False)
class SampledLyapunov(SampledMean):
    """A Monte Carlo estimate of the Lyapunov exponents of random networks.

    Attributes
    ----------
    values : ndarray, shape (n_networks, min(widths))
        (1/L) Σ_l ln R_kk of each network, k = 1, 2, …
    value, stderr : ndarray, shape (min(widths),)
        Their means over the networks, and the standard errors; −inf and NaN where k exceeds the rank of some network's
        Jacobian, because a layer has fewer than k live nodes.
    n_networks : int
    network : Network
    method : {"matrices", "bartlett"}
    """

    method: Literal["matrices", "bartlett"]


def sample_lyapunov(
    network: Network,
    n_networks: int,
    *,
    rng: RNG = None,
    method: Literal["auto", "matrices", "bartlett"] = "auto",
    input_variance: float | None = None,
) -> SampledLyapunov:
    """Lyapunov exponents λ_k = (1/L) E ln R_kk of the Jacobians J = Q R of random networks.

    R_kk is the product over the layers of (R_l)_kk, where D_l W_l Q_{l−1} = Q_l R_l, Q_0 = I, so that no product of
    matrices is formed and nothing over- or underflows (Benettin et al. 1980). λ_k is also the limit of (1/L) ln s_k,
    for the singular values s_k of J, as L → ∞. Layers without a live node are drawn again.

    Parameters
    ----------
    network : Network
    n_networks : int
        Number of random networks, at least 2.
    rng : seed or Generator
    method : {"auto", "matrices", "bartlett"}
        "matrices" draws every W_l, with D_l from a forward pass at a random input. "bartlett" has the same distribution
        for linear and ReLU networks with Gaussian weights, whose R_kk are independent chi variables: O(N) a layer.
        "auto" is "bartlett" where that applies.
    input_variance : float, optional
        As in `sample_vni`.

    Raises
    ------
    ValueError
        If n_networks or input_variance is out of range, or "bartlett" does not apply to the network.

    Examples
    --------
    >>> from rmt_vn import Network
    >>> sampled = sample_lyapunov(Network.uniform(2, 1000, activation="linear"), 100, rng=1)
    >>> bool(np.all(np.abs(sampled.value - [-0.288608, -0.981755]) < 4 * sampled.stderr))
    True
    """
    checked_kind("network", network, Network)
    n_networks = checked_count("n_networks", n_networks, least=2)
    rng = np.random.default_rng(rng)
    chosen = chosen_method(network, method, input_variance)
    rates = lyapunov_rates(network, n_networks, rng=rng, method=chosen, input_variance=input_variance)
    return SampledLyapunov(rates, network, chosen)


def lyapunov_rates(
    network: Network, n_networks: int, *, rng: np.random.Generator, method: str, input_variance: float | None = None
) -> np.ndarray:
    """(1/L) ln R_kk of each of n_networks networks, shape (n_networks, min(widths))."""
    size = min(network.widths)
    if method == "matrices":
        draws = (
            sum(_log_diagonal(r, size) for r in triangular_factors(matrices))
            for matrices in random_matrices(network, n_networks, rng, input_variance)
        )
    else:
        draws = (_log_chi(widths, size, rng) + log_gain(network) for widths in live_widths(network, n_networks, rng))
    return np.stack(list(progress(draws, "networks", n_networks))) / network.depth


def _log_diagonal(r: np.ndarray, size: int) -> np.ndarray:
    """ln |R_kk|, −inf beyond the rank."""
    diagonal = np.zeros(size)
    seen = np.abs(np.diagonal(r))[:size]
    diagonal[: len(seen)] = seen
    with np.errstate(divide="ignore"):
        return np.log(diagonal)


def _log_chi(widths: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Σ_l ln R_kk, where R_kk² ~ χ² with n_l − k + 1 degrees of freedom; −inf beyond the rank."""
    rank = min(size, widths.min())
    logs = np.full(size, -np.inf)
    logs[:rank] = np.log(rng.chisquare(widths[1:, None] - np.arange(rank))).sum(axis=0) / 2
    return logs
