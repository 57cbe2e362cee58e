"""S7, wide inputs: a closure (not a theorem) for the VNI over N(0, I) inputs instead of a small ball."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from rmt_vn.laws.universal import layer_depth, universal_vni, universal_vni_complement
from rmt_vn.mean_field import gaussian_mean, second_moment, variances_along_depth
from rmt_vn.network import Network


def wide_input_vni(network: Network, *, input_variance: float = 1.0) -> np.ndarray:
    """VNI over wide inputs after each layer (S7), for odd activations.

    Weights let correlations diffuse as in S4; an odd nonlinearity shrinks them, ρ → cρ to first order, with
    c = a_1²/Σ_k a_k² over its Hermite coefficients at the variance q_l of the length map. With v_l the mean of ρ² off
    the diagonal before the l-th nonlinearity:

        v_1 = R(d_0),   v_{l+1} = R(R⁻¹(c_l² v_l) + d_l),   VNI_l = 1/n_l + (1 − 1/n_l) c_l² v_l,

    where d_l, the depth that one weight matrix adds, is 1/n_l (Gaussian) or 1/n_l − 1/max(n_l, n_{l+1}) (Haar).
    The closure neglects the higher Hermite terms ρ³, ρ⁵, … and the spread of ρ², so it is too low where v is not small
    and c < 1: tanh samples, 200 layers of 100 nodes deep, lie 14% above it at σ_w² = 2.5 and 28% at 1.5 (figure
    `wide_inputs`). And
    it takes inputs of full rank: fewer input dimensions than nodes bound the number of effective nodes.

    Parameters
    ----------
    network : Network
        With an odd activation, no biases, no dropout, and at least two nodes in every layer but the last.
    input_variance : float
        Variance of each coordinate of the inputs.

    Returns
    -------
    ndarray, shape (L,)

    Raises
    ------
    ValueError
        If the network is not covered, or a variance is out of range.
    """
    _check_covered(network)
    c = np.ones(network.depth)
    variances = variances_along_depth(network, input_variance)
    if variances is not None:
        c = np.array([_linear_share(network, q) for q in variances])
    vni = np.empty(network.depth)
    depth = 0.0
    for layer, (n_in, n_out) in enumerate(zip(network.widths[:-1], network.widths[1:], strict=True)):
        depth += layer_depth(n_in, n_out, network.weights)
        remaining = c[layer] ** 2 * universal_vni(depth)
        vni[layer] = 1 / n_out + (1 - 1 / n_out) * remaining
        if c[layer] < 1:
            depth = _depth_of_universal_vni(remaining)
    return vni


def _check_covered(network: Network) -> None:
    if not network.activation.is_odd:
        raise ValueError(f"S7 needs an odd activation (tanh, erf, hard_tanh, sin, linear), got {network.activation!r}")
    if network.sigma_b > 0:
        raise ValueError(f"S7 needs sigma_b = 0 (a bias makes φ(h + b) not odd), got {network.sigma_b}")
    if network.keep < 1:
        raise ValueError(f"S7 does not cover dropout; it needs keep = 1, got {network.keep}")
    if min(network.widths[:-1]) < 2:
        raise ValueError("S7 is a closure for wide layers; all widths but the last must be ≥ 2, got 1")


def _linear_share(network: Network, q: float) -> float:
    """c = a_1²/Σ_k a_k² at variance q, with a_1 = E[z φ(√q z)]; 1 at q = 0."""
    if q == 0:
        return 1.0
    phi, kinks = network.activation.phi, network.activation.kinks
    a1 = gaussian_mean(lambda x: x * phi(x), q, kinks) / np.sqrt(q)
    return min(1.0, a1**2 / second_moment(network.activation, q))


def _depth_of_universal_vni(v: float) -> float:
    """R⁻¹(v) for 0 ≤ v < 1. −ln(1 − R) rises with a slope between 1/8 and 1, which brackets the root."""
    if v == 0:
        return 0.0
    target = -np.log1p(-v)

    def excess(t: float) -> float:
        return float(universal_vni(t) / v - 1 if v < 0.5 else -target - np.log(universal_vni_complement(t)))

    return brentq(excess, target * (1 - 1e-9), 8 * target, xtol=1e-15, rtol=1e-13)
