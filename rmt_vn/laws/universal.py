"""S4, the universal law: at large width the VNI depends on the effective depth t alone.

It takes D_l, the slopes of a layer, to be independent of what it multiplies. D_l is not: it knows the signal x_{l−1},
as W_l does. The one direction that they share is the signal mode (`rmt_vn.laws.signal_mode`), whose share of a row of
the Jacobian grows by Λ = χ_q²/χ a layer; S4 needs Λ^L ≪ N. Homogeneous φ have Λ = 1 and feed nothing into it.
`rmt_vn.laws.approximate` is S4 at a finite width, and says where it does not hold.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from rmt_vn.checks import checked_numbers
from rmt_vn.laws.hyperbolic.transforms import mean_sech_distance, mean_square_correlation
from rmt_vn.mean_field import fixed_point, layer_moments, moments_along, variances_along_depth
from rmt_vn.network import Network, Weights

# Rows of t at a time: bounds the memory of the (rows × nodes) integrand to some MB.
_BLOCK = 1024


def universal_vni(t: ArrayLike) -> float | np.ndarray:
    """R(t), the VNI of an infinitely wide network of effective depth t (S4).

    R(t) = 1 − ∫_0^∞ ν tanh(πν) ĥ(ν) e^{−(ν²+1/4)t/2} dν = E tanh² y_t, where dy = ½ tanh(y) dt + dB and y_0 = 0.
    R(t) = t − 3t²/2 + 7t³/2 − …, and 1 − R(t) ~ (π Γ(1/4)²/(2√2)) t^{−3/2} e^{−t/8}.

    Parameters
    ----------
    t : float or array_like
        Effective depth, ≥ 0; ∞ is allowed.

    Returns
    -------
    float or ndarray
        Of the shape of t; relative error below 1e-12.

    Raises
    ------
    TypeError, ValueError
        If t is not made of real numbers, or any is negative or NaN.

    Examples
    --------
    >>> round(universal_vni(1.0), 6)
    0.469574
    """
    return _over_depths(mean_square_correlation, t)


def universal_vni_complement(t: ArrayLike) -> float | np.ndarray:
    """1 − R(t) without cancellation, down to the smallest normal double (t about 5600).

    Parameters, errors and accuracy as `universal_vni`.
    """
    return _over_depths(mean_sech_distance, t)


def effective_depth(network: Network, *, input_variance: float | None = None) -> float:
    """t, the effective depth of a network (S4).

    Each weight matrix adds r_l/n_l (Gaussian) or r_l/n_l − 1/max(n_l, n_{l+1}) (Haar: r_l − 1 over n_l where the
    layer does not widen), with r_l = (μ_2/μ_1²) at its inputs' activation and r_0 = 1 for the inputs themselves.

    Parameters
    ----------
    network : Network
    input_variance : float, optional
        ‖x_0‖²/n_0. If given, μ_k follow the length map layer by layer from there; if not, they are taken at q*.

    Raises
    ------
    ValueError
        If μ_k is needed at a q* that does not exist, or a variance is out of range.

    Examples
    --------
    >>> from rmt_vn import Network
    >>> effective_depth(Network.uniform(100, 50, activation="linear"))
    0.5
    """
    variances = variances_along_depth(network, input_variance)
    if variances is None:
        ratio = slope_ratio(network)
        hidden = sum(
            count * layer_depth(*shape, network.weights, slope_ratio=ratio)
            for shape, count in network.hidden_shapes.items()
        )
    else:
        moments = moments_along(network, variances[:-1]).tolist()
        shapes = zip(network.widths[1:], network.widths[2:], strict=False)
        hidden = sum(
            layer_depth(*shape, network.weights, slope_ratio=mu2 / mu1**2)
            for shape, (mu1, mu2) in zip(shapes, moments, strict=True)
        )
    n_0, n_1 = network.widths[:2]
    return layer_depth(n_0, n_1, network.weights) + hidden


def layer_depth(n_in: int, n_out: int, weights: Weights, *, slope_ratio: float = 1.0) -> float:
    """What one weight matrix adds to the effective depth (S4).

    Parameters
    ----------
    n_in, n_out : int
        Its fan-in and fan-out.
    weights : {"gaussian", "orthogonal"}
    slope_ratio : float
        μ_2/μ_1² of the nodes that feed it; 1 for the inputs of the network.
    """
    frame = 1 / max(n_in, n_out) if weights == "orthogonal" else 0.0
    return slope_ratio / n_in - frame


def slope_ratio(network: Network) -> float:
    """μ_2/μ_1² at q*, dropout included."""
    mu1, mu2 = layer_moments(network, moments_variance(network))
    return mu2 / mu1**2


def moments_variance(network: Network) -> float:
    """The variance at which to take μ_k: q*, or any where φ is homogeneous and μ_k does not depend on it."""
    return 1.0 if network.activation.is_homogeneous else fixed_point(network).q_star


def _over_depths(inversion, t: ArrayLike) -> float | np.ndarray:
    depths = checked_numbers("effective depth t", t)
    if not np.all(depths >= 0):
        wrong = depths[~(depths >= 0)].flat[0]
        raise ValueError(f"effective depth t must be ≥ 0, got {wrong}")
    flat = depths.reshape(-1, 1)
    blocks = [flat[start : start + _BLOCK] for start in range(0, len(flat), _BLOCK)]
    values = [inversion(lambda nu, rows=rows: -(nu**2 + 0.25) * rows / 2) for rows in blocks]
    result = np.concatenate(values).reshape(depths.shape) if values else np.empty(depths.shape)
    return result if depths.ndim else float(result)
