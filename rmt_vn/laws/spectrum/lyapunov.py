"""S6, deep linear networks: Lyapunov exponents, at which singular values separate, and the mean log-determinant."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
from scipy.special import psi

from rmt_vn.checks import checked_kind
from rmt_vn.network import Network

# ψ(x) − ln x ~ −1/(2x) − Σ_k B_2k/(2k x^{2k}); from x = 10 on, the first term left out is below 1e-15 of the sum.
_SERIES = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12)
_SERIES_FROM = 10.0


def lyapunov_exponents(network: Network) -> np.ndarray:
    """Lyapunov exponents of a linear network: the mean rates, per layer, at which directions stretch.

    λ_k = (1/L) E ln R_kk, where J E = Q R is the QR decomposition of any fixed orthonormal frame E of the inputs,
    carried through the layers: exact at every depth. With all widths N and Gaussian weights, λ_k = ln σ_w + ½[ln(2/N) +
    ψ((N−k+1)/2)] (Newman 1986), towards which (1/L) ln s_k of the singular values of J tends as L → ∞; with Haar
    weights, λ_k = ln σ_w. At other widths a Gaussian layer adds ln σ_w + ½[ln(2/n_in) + ψ((n_out−k+1)/2)], a Haar layer
    the logarithm of a beta variable, and the λ_k are the exponents of the network repeated for ever if n_0 = n_L.

    Parameters
    ----------
    network : Network
        With activation "linear" and no dropout.

    Returns
    -------
    ndarray, shape (min(widths),)
        In decreasing order. For Gaussian layers of equal width and σ_w = 1, relative error below 1e-13.

    Raises
    ------
    ValueError
        For any other activation, and under dropout.

    Examples
    --------
    >>> from rmt_vn import Network
    >>> lyapunov_exponents(Network.uniform(2, 100, activation="linear")).round(6)
    array([-0.288608, -0.981755])
    """
    _check_linear(network)
    layers = Counter((n_in, n_out, n_out) for n_in, n_out in pairwise(network.widths))
    return np.log(network.sigma_w) + _log_squared_stretches(layers, network) / (2 * network.depth)


def mean_log_determinant(network: Network) -> float:
    """E ln det (J Jᵀ) of a linear network, exactly, at any widths and depth.

    The determinant is the product of the nonzero squared singular values of J, min(widths) of them: det (J Jᵀ) where
    the last layer is narrowest, det (Jᵀ J) where the inputs are. J = A B at the narrowest layer, of width m, and the
    product is det (AᵀA) det (BBᵀ): a frame of m is carried through A towards the outputs, and through Bᵀ towards the
    inputs. For Gaussian weights this gives Σ_{k≤m} [Σ_l ln(2σ_w²/n_{l−1}) + Σ_n ψ((n−k+1)/2)], n over all widths but
    one m (Goodman 1963; Ipsen & Kieburg 2014: the order of the widths does not matter). Equal to 2L Σ λ_k where the
    inputs are narrowest.

    Parameters
    ----------
    network : Network
        With activation "linear" and no dropout.

    Raises
    ------
    ValueError
        For any other activation, and under dropout.

    Examples
    --------
    >>> from rmt_vn import Network
    >>> round(mean_log_determinant(Network.uniform(1, 1, activation="linear")), 6)  # E ln z² = −γ − ln 2
    -1.270363
    """
    _check_linear(network)
    widths = network.widths
    narrowest = widths.index(min(widths))
    layers = Counter(
        (n_in, n_out, n_in if layer < narrowest else n_out) for layer, (n_in, n_out) in enumerate(pairwise(widths))
    )
    scale = 2 * network.depth * min(widths) * np.log(network.sigma_w)
    return float(scale + _log_squared_stretches(layers, network).sum())


def _check_linear(network: Network) -> None:
    checked_kind("network", network, Network)
    if network.live_probability != 1:
        raise ValueError(
            "Lyapunov exponents and determinants are exact for activation 'linear' without dropout, Gaussian or Haar "
            f"weights, any widths; got {network.activation!r}, keep = {network.keep}"
        )


def _log_squared_stretches(layers: Counter[tuple[int, int, int]], network: Network) -> np.ndarray:
    """Σ over layers of E ln R_kk² at σ_w = 1, k = 1 … min(widths).

    `layers` counts (n_in, n_out, n_to) with n_to the one of the two widths into which the frame is carried.
    """
    before = np.arange(min(network.widths))  # k − 1, the directions already taken
    total = np.zeros(len(before))
    for (n_in, n_out, n_to), count in layers.items():
        degrees = n_to - before
        if network.weights == "gaussian":
            # R_kk² n_in is χ² with n_to − k + 1 degrees of freedom (Bartlett): ln 2 + ψ of half of them.
            total += count * (_log_ratio(degrees, n_in) + _psi_minus_log(degrees / 2))
        else:
            # R_kk² of the corner of an N × N Haar matrix is the part n_to − k + 1 of N − k + 1 in a beta variable.
            n = max(n_in, n_out)
            parts = _log_ratio(degrees, n - before) + _psi_minus_log(degrees / 2) - _psi_minus_log((n - before) / 2)
            total += count * (np.log(n / n_in) + parts)
    return total


def _log_ratio(a: np.ndarray, b: np.ndarray | int) -> np.ndarray:
    """ln(a/b), accurate relative to itself near a = b too."""
    return np.where(2 * a > b, np.log1p((a - b) / b), np.log(a / b))


def _psi_minus_log(x: np.ndarray) -> np.ndarray:
    """ψ(x) − ln x, about −1/(2x), without the cancellation."""
    far = np.maximum(x, _SERIES_FROM)
    series = -0.5 / far - np.polynomial.polynomial.polyval(far**-2, (0.0, *_SERIES))
    return np.where(x < _SERIES_FROM, psi(x) - np.log(x), series)
