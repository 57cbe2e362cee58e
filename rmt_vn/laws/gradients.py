"""S5, gradients are another matter: they scale as χ^L but for the signal mode; the nodes (S3, S4) do not contain χ."""

from __future__ import annotations

import numpy as np

from rmt_vn.laws.signal_mode import log_mode_growth
from rmt_vn.laws.universal import moments_variance
from rmt_vn.mean_field import layer_moments, variances_along_depth
from rmt_vn.network import Network


def gradient_growth(network: Network, *, input_variance: float | None = None) -> np.ndarray:
    """E‖∂_l‖² / E‖∂_L‖², the mean squared gradient at each layer relative to the last one's (S5).

    The mean over networks and over gradients ∂_L of any direction, independent of the network. One step back through a
    layer multiplies what lies across the signal by χ_l = σ_w² μ_1, whatever the widths (Schoenholz et al. 2017), and
    what lies along it by χ_q², and mixes the two: the recursion of the signal mode (`rmt_vn.laws.signal_mode`). For
    homogeneous φ (linear, the ReLU family) that is χ^L exactly. For others it holds in the limit of wide layers at the
    variances of the length map: it stops where Π χ_q/√N is not small, where the variances scatter from network to
    network and a few networks have most of the mean.

    Parameters
    ----------
    network : Network
    input_variance : float, optional
        ‖x_0‖²/n_0; all moments then follow the length map from there. By default they are taken at q*.

    Returns
    -------
    ndarray, shape (L + 1,)
        At x_0, x_1, …, x_L; the last is 1.

    Raises
    ------
    ValueError
        If a moment is needed at a q* that does not exist, or a variance is out of range.

    Examples
    --------
    >>> from rmt_vn import Network
    >>> network = Network.uniform(100, 40, activation="softplus", sigma_w=1.35)
    >>> f"{gradient_growth(network)[20]:.1e}"
    '1.6e-03'
    """
    if network.activation.is_homogeneous:
        variances_along_depth(network, input_variance)  # which refuses what is no variance
        chi = network.sigma_w**2 * layer_moments(network, moments_variance(network))[0]
        log_growth = np.log(chi) * np.arange(network.depth, -1, -1)
    else:
        log_growth = log_mode_growth(network, input_variance)
    with np.errstate(over="ignore"):
        return np.exp(log_growth)
