"""The signal mode: the one direction of a layer's inputs that a gradient follows at a rate of its own (S4, S5).

D_l is not independent of W_l: both know the signal x_{l−1}. A row g of the Jacobian, followed backwards through a layer,
obeys g_{l−1}·x_{l−1} = Σ_i g_i φ′(h_i)(h_i − b_i), so its component a along the signal's direction is multiplied,
squared, by G ≈ χ_q² a layer, while everything across it, of square length B, is multiplied by χ. The means obey a 2×2
linear recursion, (E a², E B) ← [[G, b/(n − 1)], [M, χ]] (E a², E B), in the limit of wide layers.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from rmt_vn.mean_field import SignalMoments, fixed_point, signal_moments, variances_along_depth
from rmt_vn.network import Network


def signal_mode_share(network: Network, *, input_variance: float | None = None) -> np.ndarray:
    """The signal mode's share of a gradient's mean square, E a²/(E a² + E B), at each layer (S4).

    The gradient starts at x_L with a random direction, where the share is 1/n_L, and is followed back to the inputs. A
    share of about 1/n_l is what any direction has; S3 and S4 hold where it stays so or falls. Where it grows to order
    one, all rows of the Jacobian turn to the same direction and the VNI goes to 1.

    Parameters
    ----------
    network : Network
    input_variance : float, optional
        ‖x_0‖²/n_0. If given, the variances follow the length map from there; if not, they are taken at q*.

    Returns
    -------
    ndarray, shape (L + 1,)
        At x_0, x_1, …, x_L.

    Raises
    ------
    ValueError
        If a variance is needed at a q* that does not exist, or is out of range.

    Examples
    --------
    >>> from rmt_vn import Network
    >>> network = Network.uniform(100, 40, activation="softplus", sigma_w=1.35)
    >>> [round(float(share), 2) for share in signal_mode_share(network)[[0, 20, 40]]]
    [0.08, 0.07, 0.01]
    """
    return np.array([mode / (mode + rest) for mode, rest, _ in _back_from_the_end(network, input_variance)])[::-1]


def log_gradient_growth(network: Network, input_variance: float | None) -> np.ndarray:
    """ln E‖∂_l‖²/E‖∂_L‖² at x_0, …, x_L by the recursion of the signal mode."""
    means = _back_from_the_end(network, input_variance)
    return np.array([np.log(mode + rest) + log_scale for mode, rest, log_scale in means])[::-1]


def layer_step(network: Network, shape: tuple[int, int], variance: float, moments: SignalMoments) -> np.ndarray:
    """The matrix of one layer: what a step back from x_l to x_{l−1} does to the pair (E a², E B).

    Parameters
    ----------
    network : Network
    shape : (int, int)
        n_{l−1} and n_l.
    variance : float
        q_l, of the layer's pre-activations.
    moments : SignalMoments
        At that variance.

    Returns
    -------
    ndarray, shape (2, 2)
    """
    n_in, n_out = shape
    weight, keep = network.sigma_w**2, network.keep
    # The part of a pre-activation's variance that is the signal's, the rest being the bias's.
    part = 1.0 if network.activation.is_homogeneous else (variance - network.sigma_b**2) / variance
    projection = part * moments.along**2 / moments.signal
    length = part * moments.slope_length + (1 - part) * moments.mu1
    mode_to_mode = weight / keep * n_out / n_in * projection
    others = max(n_out - 1, 1)
    rest_to_mode = weight / keep * n_out / n_in * (length - projection) / others
    slope, signal_slope = moments.mu1 / keep, moments.signal_slope / keep**2
    # The directions across the signal share what the slopes leave of all n_out of them.
    rest_slope = (n_out * slope - signal_slope) / others
    if network.weights == "gaussian":
        across = weight * (n_in - 1) / n_in
        mode_to_rest, rest_to_rest = across * signal_slope, across * rest_slope
    else:
        # A Haar matrix keeps lengths: what goes to the signal's direction is missing across it.
        size = max(n_in, n_out)
        gain, kept = weight * size / n_in, (n_in - 1) / max(size - 1, 1)
        mode_to_rest = kept * (gain * signal_slope - mode_to_mode)
        rest_to_rest = kept * (gain * rest_slope - rest_to_mode)
    return np.array([[mode_to_mode, rest_to_mode], [mode_to_rest, rest_to_rest]])


def layer_steps(network: Network, input_variance: float | None) -> list[np.ndarray]:
    """`layer_step` of the layers 1, …, L."""
    shapes = list(pairwise(network.widths))
    variances = variances_along_depth(network, input_variance)
    if variances is None:
        variances = np.full(network.depth, 1.0 if network.activation.is_homogeneous else fixed_point(network).q_star)
    known: dict[tuple[tuple[int, int], float], np.ndarray] = {}
    moments: dict[float, SignalMoments] = {}
    for shape, q in zip(shapes, variances.tolist(), strict=True):
        if q not in moments:
            moments[q] = signal_moments(network.activation, q)
        if (shape, q) not in known:
            known[shape, q] = layer_step(network, shape, q, moments[q])
    return [known[key] for key in zip(shapes, variances.tolist(), strict=True)]


def _back_from_the_end(network: Network, input_variance: float | None) -> Iterator[tuple[float, float, float]]:
    """(E a², E B) e^{−log_scale} and log_scale at x_L, …, x_0, from a gradient of unit length in any direction."""
    width = network.widths[-1]
    state, log_scale = np.array([1 / width, 1 - 1 / width]), 0.0
    yield *state.tolist(), log_scale
    for step in reversed(layer_steps(network, input_variance)):
        state = step @ state
        size = state.sum()
        state = state / size
        log_scale += float(np.log(size))
        yield *state.tolist(), log_scale
