"""S4 and S8 at a finite width: the VNI of any network to order 1/width, and where it is not to be trusted."""

from __future__ import annotations

import warnings
from itertools import groupby, pairwise

import numpy as np

from rmt_vn.checks import checked_kind
from rmt_vn.gaussian_averages import LARGEST_VARIANCE, gaussian_mean, signal_moments, slope_moment
from rmt_vn.laws.effective_depth import effective_depth, layer_depth
from rmt_vn.laws.hyperbolic.masks import live_count_distribution
from rmt_vn.laws.residual_mode import residual_mode_ratio
from rmt_vn.laws.signal_mode import layer_variances, mode_ratio, signal_mode_vni, variance_scatter
from rmt_vn.laws.universal import universal_vni
from rmt_vn.network import Network, ResidualNetwork, Weights

# How far the signal mode may raise the VNI, by its own law, before S4 is said not to hold.
_TOLERANCE = 0.1
# In standard deviations of ln q, and what the warning says of it.
_SHIFTS = {
    0.0: "",
    -1.0: " where the variances q are one standard deviation below their limit",
    1.0: " where the variances q are one standard deviation above their limit",
}


class OutsideDomainWarning(UserWarning):
    """A law was asked about a network outside the domain in which it holds."""


def approximate_vni(network: Network | ResidualNetwork, *, input_variance: float | None = None) -> float:
    """The mean VNI by S4, corrected to order 1/width, for any activation and either weight family.

    E[1/k] + (1 − E[1/k]) R(t) over the number k ≥ 1 of live nodes of the last layer, with each layer's effective depth
    taken to order 1/n²: r/n + (17r²/2 − r − 6 μ_3/μ_1³)/n², and 1/N + 3/(2N²) less for Haar weights. An approximation,
    within 10% where it does not warn (measured from N = 50 on). S3 is exact where it applies.

    S4 needs the signal mode to stay small, and the variances q_l to be nearly the same in all networks. Where the
    mode's own law (`signal_mode_vni`) is more than 10% above S4, at the variances of the length map or at variances one
    standard deviation off, a warning says so. Then ``samplers.sample_vni(network, n_networks)`` is what answers, or its
    fast approximation ``method="signal_chain"``, which follows the mode.

    Residual networks (S8) have 1/N + (1 − 1/N) R(t), N the nodes of the stream or of the readout, without a correction
    of t: it warns where the signal mode makes more than 10% of it.

    Parameters
    ----------
    network : Network or ResidualNetwork
    input_variance : float, optional
        ‖x_0‖²/n_0. If given, all moments follow the length map layer by layer from there; if not, they are taken at
        q*, or in residual networks along the map from 1.

    Warns
    -----
    OutsideDomainWarning
        Where S4 or S8 does not hold; the message says by how much, and what to call instead.

    Raises
    ------
    ValueError
        If a moment is needed at a q* that does not exist, or a variance is out of range.

    Examples
    --------
    >>> from rmt_vn import Network
    >>> round(approximate_vni(Network.uniform(100, 50, activation="linear")), 4)
    0.32
    """
    checked_kind("network", network, Network, ResidualNetwork)
    if isinstance(network, ResidualNetwork):
        value, with_mode = _residual_vni(network, input_variance)
        if abs(with_mode / value - 1) > _TOLERANCE:
            _warn("S8", value, f"{with_mode:.3g}")
        return value
    variances = layer_variances(network, input_variance)
    value = last_approximate_vni(network, variances)
    if network.activation.is_homogeneous:
        # Nothing feeds the mode, and no moment depends on the variances.
        return value
    for shift, of_the_variances in _SHIFTS.items():
        shifted = variances * np.exp(shift * variance_scatter(network, variances))
        shifted = np.minimum(shifted, LARGEST_VARIANCE)
        with_mode = _with_mode(network, shifted)
        if abs(with_mode / value - 1) > _TOLERANCE:
            _warn("S4", value, f"{with_mode:.3g}{of_the_variances}", ', or faster, method="signal_chain"')
            break
    return value


def _warn(law: str, value: float, with_mode: str, faster: str = "") -> None:
    warnings.warn(
        f"{law} does not hold here: it says that the VNI is {value:.4g}, but the signal mode takes it to about "
        f"{with_mode}. Sample it: samplers.sample_vni(network, n_networks){faster}",
        OutsideDomainWarning,
        stacklevel=3,
    )


def _residual_vni(network: ResidualNetwork, input_variance: float | None) -> tuple[float, float]:
    """S8, and S8 with the law of the signal mode above it."""
    alone = 1 / network.widths[-1]
    value = alone + (1 - alone) * float(universal_vni(effective_depth(network, input_variance=input_variance)))
    ratio = residual_mode_ratio(network, input_variance=input_variance)
    return value, value + (1 - value) * float(signal_mode_vni(ratio))


def approximate_parts_along_depth(
    network: Network, *, input_variance: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """What `approximate_vni` is made of in the networks that end at layer 1, 2, …, L, without a warning.

    E[1/k] over the live nodes of each layer, and E ρ² of two nodes of it: two arrays of shape (L,).
    """
    variances = layer_variances(network, input_variance)
    layers = list(zip(network.widths[1:], variances.tolist(), strict=True))
    shares = {layer: _lone_share(network, *layer) for layer in set(layers)}
    return np.array([shares[layer] for layer in layers]), np.asarray(universal_vni(_finite_depths(network, variances)))


def last_approximate_vni(network: Network, variances: np.ndarray) -> float:
    """S4 at the last layer, at variances q_1, …, q_L."""
    alone = _lone_share(network, network.widths[-1], float(variances[-1]))
    return float(alone + (1 - alone) * universal_vni(_finite_depths(network, variances)[-1]))


def _with_mode(network: Network, variances: np.ndarray) -> float:
    """S4 with the law of the signal mode above it: exact where either is all there is."""
    value = last_approximate_vni(network, variances)
    return value + (1 - value) * float(signal_mode_vni(mode_ratio(network, variances)))


def _lone_share(network: Network, width: int, variance: float) -> float:
    """E[1/k] over the number k ≥ 1 of live nodes of a layer."""
    activation, live = network.activation, network.live_probability
    if activation.log_slope is not None:
        # A smooth slope is zero nowhere, or at single points.
        live = network.keep
    if live is None:
        kept = gaussian_mean(lambda h: (activation.dphi(h) != 0).astype(float), variance, activation.kinks)
        live = min(kept, 1.0) * network.keep
    if live > 1 - 1e-9:
        return 1 / width
    k, weight = live_count_distribution(width, live)
    return float(weight @ (1 / k))


def _finite_depths(network: Network, variances: np.ndarray) -> np.ndarray:
    """The effective depth of the first 1, 2, …, L layers, each to order 1/n², shape (L,)."""
    shapes = list(pairwise(network.widths))
    steps = [np.array([_layer_depth(shapes[0], network.weights, 1.0, 1.0)])]
    for (shape, q), run in groupby(zip(shapes[1:], variances.tolist(), strict=False)):
        mu1, mu2, mu3 = (mu * network.keep ** (1 - 2 * k) for k, mu in enumerate(_slope_moments(network, q), start=1))
        step = _layer_depth(shape, network.weights, mu2 / mu1**2, mu3 / mu1**3)
        steps.append(np.full(sum(1 for _ in run), step))
    return np.cumsum(np.concatenate(steps))


def _slope_moments(network: Network, q: float) -> tuple[float, float, float]:
    """μ_1, μ_2, μ_3, from the quadrature that the signal mode needs too, within its range."""
    if q > LARGEST_VARIANCE:
        return tuple(slope_moment(network.activation, q, k) for k in (1, 2, 3))  # type: ignore[return-value]
    moments = signal_moments(network.activation, q)
    return moments.mu1, moments.mu2, moments.mu3


def _layer_depth(shape: tuple[int, int], weights: Weights, ratio: float, third: float) -> float:
    """What a layer adds: `layer_depth`, and what sums over n nodes add to it at order 1/n²."""
    frame = 1.5 / max(shape) ** 2 if weights == "orthogonal" else 0.0
    correction = (8.5 * ratio**2 - ratio - 6 * third) / shape[0] ** 2 - frame
    return max(layer_depth(*shape, weights, slope_ratio=ratio) + correction, 0.0)
