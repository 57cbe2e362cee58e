"""S5, gradients are another matter: they scale as χ^L, which S3 and S4 do not contain."""

from __future__ import annotations

import numpy as np

from rmt_vn.laws.universal import moments_variance
from rmt_vn.mean_field import layer_moments, variances_along_depth
from rmt_vn.network import Network


def gradient_growth(network: Network, *, input_variance: float | None = None) -> np.ndarray:
    """E‖∂_l‖² / E‖∂_L‖², the mean squared gradient at each layer relative to the last one's (S5).

    One step back through a layer multiplies it by χ_l = σ_w² μ_1, whatever the widths (Schoenholz et al. 2017):
    E‖Jᵀδ‖² = χ^L ‖δ‖².

    Parameters
    ----------
    network : Network
    input_variance : float, optional
        ‖x_0‖²/n_0; μ_1 then follows the length map from there. By default it is taken at q*.

    Returns
    -------
    ndarray, shape (L + 1,)
        At x_0, x_1, …, x_L; the last is 1.

    Raises
    ------
    ValueError
        If μ_1 is needed at a q* that does not exist, or a variance is out of range.
    """
    variances = variances_along_depth(network, input_variance)
    if variances is None:
        chi = np.full(network.depth, layer_moments(network, moments_variance(network))[0])
    else:
        chi = np.array([layer_moments(network, q)[0] for q in variances])
    log_growth = np.cumsum(np.log(network.sigma_w**2 * chi)[::-1])[::-1]
    with np.errstate(over="ignore"):
        return np.exp(np.append(log_growth, 0.0))
