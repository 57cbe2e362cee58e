"""The signal mode: the one direction of a layer's inputs that a gradient follows at a rate of its own (S4, S5).

D_l is not independent of W_l: both know the signal x_{l−1}. A row g of the Jacobian, followed backwards through a
layer, obeys g_{l−1}·x_{l−1} = Σ_i g_i φ′(h_i)(h_i − b_i). So its component a along the signal's direction is
multiplied, squared, by G = χ_q² (at q*), while the square of its length across it, B, is multiplied by χ. The means
obey a linear recursion in the limit of wide layers, (E a², E B) ← [[G, b/(n − 1)], [M, χ]] (E a², E B).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby, pairwise

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import erfcx

from rmt_vn.checks import checked_kind
from rmt_vn.gaussian_averages import SignalMoments, signal_moments
from rmt_vn.laws.effective_depth import layer_depth
from rmt_vn.mean_field import fixed_point, variances_along_depth
from rmt_vn.network import Network

# A signal that has died out is as one of this variance, where every activation is linear on either side of zero.
_SMALLEST = 1e-200


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
    checked_kind("network", network, Network)
    return np.array([mode / (mode + rest) for mode, rest, _ in pair_along_depth(network, input_variance)])[::-1]


def signal_mode_outlier(network: Network, *, input_variance: float | None = None) -> float:
    """The eigenvalue of J Jᵀ that the signal mode is, where it lies beyond `spectral_edges` (S4, S6).

    ‖J x̂_0‖² ‖Jᵀ x̂_L‖²/Π G_l in the limit of wide layers: J is then, but for the bulk that S6 describes, of rank one.
    To leading order where it is far beyond the edge; within the bulk there is no such eigenvalue.

    Parameters
    ----------
    network : Network
        Its widths count by their ratios only.
    input_variance : float, optional
        ‖x_0‖²/n_0. If given, the variances follow the length map from there; if not, they are taken at q*.

    Returns
    -------
    float
        NaN where the mode falls, Π G_l ≤ Π χ_l, and there is none.

    Raises
    ------
    ValueError
        If a variance is needed at a q* that does not exist, or is out of range.

    Examples
    --------
    >>> from rmt_vn import Network, laws
    >>> network = Network.uniform(400, 12, activation="softplus", sigma_w=1.35)
    >>> [round(float(x), 2) for x in (laws.spectral_edges(network)[-1], signal_mode_outlier(network))]
    [0.52, 0.93]
    """
    checked_kind("network", network, Network)
    shapes = list(pairwise(network.widths))
    steps = layer_steps(network, layer_variances(network, input_variance))
    if sum(np.log(step[0, 0] / step[1, 1]) for step in steps) <= 0:
        return float("nan")
    forward, backward, log_outlier = np.array([1.0, 0.0]), np.array([1.0, 0.0]), 0.0
    for (n_in, n_out), step in zip(shapes, steps, strict=True):
        # What leaves the mode is of length b = e(n − 1), and what is across it goes forward as it goes back.
        across = np.array([[step[0, 0], 0.0], [step[0, 1] * max(n_out - 1, 1), step[1, 1] * n_out / n_in]])
        forward = across @ forward / step[0, 0]
    for step in reversed(steps):
        backward = step @ backward / step[0, 0]
        log_outlier += np.log(step[0, 0])
    return float(forward.sum() * backward.sum() * np.exp(log_outlier))


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
    biased = not network.activation.is_homogeneous
    part = 1 - biased * network.sigma_b**2 / max(variance, _SMALLEST)
    projection = part * moments.along**2 / moments.signal
    length = part * moments.slope_length + (1 - part) * moments.mu1
    mode_to_mode = weight / keep * n_out / n_in * projection
    others = max(n_out - 1, 1)
    rest_to_mode = weight / keep * n_out / n_in * (length - projection) / others
    slope, signal_slope = moments.mu1 / keep, moments.signal_slope / keep**2
    # The directions across the signal share what the slopes leave of all n_out of them; of one or two, perhaps nothing.
    rest_slope = max(n_out * slope - signal_slope, 0.0) / others
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


def layer_steps(network: Network, variances: np.ndarray) -> list[np.ndarray]:
    """`layer_step` of the layers 1, …, L at their variances q_1, …, q_L."""
    keys = list(zip(pairwise(network.widths), variances.tolist(), strict=True))
    moments = {q: signal_moments(network.activation, q) for q in set(variances.tolist())}
    known = {(shape, q): layer_step(network, shape, q, moments[q]) for shape, q in set(keys)}
    return [known[key] for key in keys]


def layer_variances(network: Network, input_variance: float | None) -> np.ndarray:
    """q_1, …, q_L: along the length map, or q* throughout, or any where φ is homogeneous and none matters."""
    variances = variances_along_depth(network, input_variance)
    if variances is not None:
        return variances
    return np.full(network.depth, 1.0 if network.activation.is_homogeneous else fixed_point(network).q_star)


def pair_along_depth(network: Network, input_variance: float | None) -> Iterator[tuple[float, float, float]]:
    """(E a², E B) e^{−log_scale} and log_scale at x_L, …, x_0, from a gradient of unit length in any direction."""
    width = network.widths[-1]
    state, log_scale = np.array([1 / width, 1 - 1 / width]), 0.0
    yield *state.tolist(), log_scale
    for step in reversed(layer_steps(network, layer_variances(network, input_variance))):
        state = step @ state
        size = state.sum()
        state = state / size
        log_scale += float(np.log(size))
        yield *state.tolist(), log_scale


def signal_mode_vni(ratio: ArrayLike) -> float | np.ndarray:
    """The VNI of an infinitely wide network whose rows share a mode, κ times as long, squared, as the rest of them.

    (1 − E 1/(1 + κξ²))² with ξ ~ N(0, 1), where E 1/(1 + κξ²) = √(π/2κ) e^{1/2κ} erfc(1/√2κ). It is the limit of wide
    networks at depths L ≈ ln N/ln Λ, Λ > 1, where the effective depth is still 0: each row of the Jacobian is a
    Gaussian amplitude ξ of the mode, and a rest that is orthogonal to those of other rows.

    Parameters
    ----------
    ratio : float or array_like
        κ ≥ 0, the mean square of a row's part along the mode over that of the rest.

    Examples
    --------
    >>> round(signal_mode_vni(1.0), 6)
    0.118557
    """
    kappa = np.asarray(ratio, dtype=float)
    if not np.all(kappa >= 0):
        raise ValueError(f"the ratio κ must be ≥ 0, got {kappa[~(kappa >= 0)].flat[0]}")
    # Below 1e-30 the value is κ², beyond doubles; √π x erfcx(x) is E 1/(1 + κξ²) at x = 1/√2κ.
    root = 1 / np.sqrt(2 * np.maximum(kappa, 1e-30))
    value = (1 - np.sqrt(np.pi) * root * erfcx(root)) ** 2
    return value if kappa.ndim else float(value)


def mode_ratio(network: Network, variances: np.ndarray) -> float:
    """κ, by how much the signal mode has grown above the rest in rows of W_L D_{L−1} … W_1 (S4): `ratio_of_pairs`."""
    if network.activation.is_homogeneous:
        return 0.0
    shapes = list(pairwise(network.widths))
    layers = []
    below = zip(shapes[1:], shapes[:-1], variances[:-1].tolist(), strict=True)
    for (shape, shape_below, q), run in groupby(reversed(list(below))):
        moments = signal_moments(network.activation, q)
        n_in, n_out = shape
        depth = layer_depth(n_in, n_out, network.weights, slope_ratio=moments.mu2 / moments.mu1**2 / network.keep)
        layers.append((layer_step(network, shape_below, q, moments), depth, sum(1 for _ in run)))
    return ratio_of_pairs(layers, network.widths[-2], layer_depth(*shapes[0], network.weights))


def ratio_of_pairs(layers: Iterable[tuple[np.ndarray, float, int]], last_width: int, first_depth: float) -> float:
    """κ, by how much the signal mode has grown above the rest in two rows of a Jacobian.

    The means of (a_1a_2)², a_1a_2B_12, B_12², (a_1²B_22 + a_2²B_11)/2 and B_11B_22 of two rows obey a linear recursion
    too. With C = B + a aᵀ, E C_12²/(E C_11C_22) is (e^{3t} − 1)/(e^{3t} + 2) without a mode; of all that is missing to
    one there, the mode makes up (κ/(1 + κ))². Exact in the limit of `signal_mode_vni`; elsewhere it is dominated by the
    networks with most of the mode, and so is too large rather than too small.

    Parameters
    ----------
    layers : iterable of (ndarray, float, int)
        From the last on: the matrix by which (E a², E B) is followed back, the effective depth of the scatter of B
        before that, and how many such layers there are in a row.
    last_width : int
        Nodes where the rows begin.
    first_depth : float
        The scatter at the inputs.
    """
    share = 1 / last_width
    pairs = np.array([share**2, 0.0, 0.0, share * (1 - share), (1 - share) ** 2])
    walk = np.array([0.0, 1.0])
    for step, depth, repeats in layers:
        pairs = _powers(_pair_step(step) @ _shaken(depth), repeats, pairs)
        walk = _powers(_shaken(depth)[2::2, 2::2], repeats, walk)
    last = _shaken(first_depth)
    pairs, walk = last @ pairs, last[2::2, 2::2] @ walk
    shared, separate = pairs[0] + 2 * pairs[1] + pairs[2], pairs[0] + 2 * pairs[3] + pairs[4]
    # Where all rows have turned to one direction, the last digits of the two are rounding.
    ratio, alone = min(shared / separate, 1 - 1e-12), walk[0] / walk[1]
    root = np.sqrt(max((ratio - alone) / max(1 - alone, 1e-12), 0.0))
    return float(root / max(1 - root, 1e-12))


def _pair_step(step: np.ndarray) -> np.ndarray:
    """What a ← √G a + N(0, eB), B ← χB + M a aᵀ does to the five means of `mode_ratio`."""
    (g, e), (m, x) = step
    return np.array(
        [
            [g * g, 4 * g * e, 2 * e * e, 2 * g * e, e * e],
            [g * m, g * x + e * m, e * x, 0.0, 0.0],
            [m * m, 2 * x * m, x * x, 0.0, 0.0],
            [g * m, 0.0, 0.0, g * x + e * m, e * x],
            [m * m, 0.0, 0.0, 2 * x * m, x * x],
        ]
    )


def _shaken(depth: float) -> np.ndarray:
    """What the scatter of B in a layer of that effective depth does to them: (B_12², B_11B_22) walks."""
    step = np.eye(5)
    step[2, 2] += depth
    step[2, 4] += depth
    step[4, 2] += 2 * depth
    return step


def _powers(step: np.ndarray, repeats: int, state: np.ndarray) -> np.ndarray:
    """step^repeats state, in a scale of its own."""
    if repeats < 16:
        for _ in range(repeats):
            state = step @ state
            state = state / state.sum()
        return state
    growth = np.abs(np.linalg.eigvals(step)).max()
    state = np.linalg.matrix_power(step / growth, repeats) @ state
    return state / state.sum()


def variance_scatter(network: Network, variances: np.ndarray) -> np.ndarray:
    """The standard deviation of ln q_l from network to network, l = 1, …, L, to leading order in 1/width.

    A layer of n nodes has a mean square that scatters by its own variance over n, and χ_q carries on what the layers
    below have brought.
    """
    scatter = np.zeros(network.depth)
    weight, keep = network.sigma_w**2, network.keep
    moments = {q: signal_moments(network.activation, q) for q in set(variances[:-1].tolist())}
    for layer, (width, q) in enumerate(zip(network.widths[1:-1], variances.tolist(), strict=False)):
        at, q = moments[q], max(q, _SMALLEST)
        signal = weight / keep * at.signal * q
        total = signal + network.sigma_b**2
        fresh = ((1 + at.signal_scatter) / keep - 1) / width
        if network.weights == "orthogonal":
            # Of the image of the signal's direction, all components together have a length that does not scatter.
            fresh -= 2 * (at.along / at.signal) ** 2 / max(network.widths[layer : layer + 2])
        carried = weight / keep * at.along * q / total
        scatter[layer + 1] = np.sqrt(max(fresh, 0.0) * (signal / total) ** 2 + (carried * scatter[layer]) ** 2)
    return scatter
