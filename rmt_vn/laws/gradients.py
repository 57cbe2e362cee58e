"""S5, gradients are another matter: they grow as χ^L but for the signal mode; the nodes (S3, S4) do not contain χ."""

from __future__ import annotations

import warnings
from itertools import pairwise

import numpy as np
from numpy.polynomial.hermite_e import hermegauss

from rmt_vn.checks import checked_kind
from rmt_vn.gaussian_averages import LARGEST_VARIANCE, signal_moments
from rmt_vn.laws.approximate import OutsideDomainWarning
from rmt_vn.laws.effective_depth import moments_variance
from rmt_vn.laws.residual_mode import residual_parts_along_depth
from rmt_vn.laws.signal_mode import pair_along_depth
from rmt_vn.mean_field import fixed_point, layer_moments, variances_along_depth
from rmt_vn.network import Network, ResidualNetwork

# Nodes and weights for means over a normal variable z, and the coefficients of polynomials through those nodes.
_Z, _WEIGHTS = hermegauss(7)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
_COEFFICIENTS = np.linalg.inv(np.vander(_Z, increasing=True))
# ln q scatters by at most so much, as far as polynomials of z go.
_WIDEST = 1.0


def gradient_growth(network: Network | ResidualNetwork, *, input_variance: float | None = None) -> np.ndarray:
    """E‖∂_l‖² / E‖∂_L‖², the mean squared gradient at each layer relative to the last one's (S5).

    The mean over networks and over gradients ∂_L of any direction, independent of the network. For homogeneous φ
    (linear, the ReLU family) it is χ^L exactly, χ_l = σ_w² μ_1 (Schoenholz et al. 2017). For others a step back
    multiplies what lies across the signal by χ_l and what lies along it by χ_q², and mixes the two (the signal mode,
    see `rmt_vn.laws.signal_mode`), at variances that scatter from network to network and with them the factors. All of
    that is followed to order 1/width a layer.

    It stops where ln q scatters by more than one, Π χ_q/√N of order one: a warning then says so, and variances count as
    they are in infinitely wide networks if they must. And it is a mean: where its logarithm is far from that of χ^L, a
    few networks have most of it.

    In residual networks (S8) a block's factor is s²(1 + a) across the signal (over the variance of the sum, where LN is
    applied to that) and, without LN, what `rmt_vn.laws.residual_mode` says along it, at the variances of infinitely
    wide networks: corrections are of order L/width.

    Parameters
    ----------
    network : Network or ResidualNetwork
    input_variance : float, optional
        ‖x_0‖²/n_0. By default that whose pre-activations have variance q*, and 1 for a residual network.

    Returns
    -------
    ndarray, shape (L + 1,)
        At x_0, x_1, …, x_L; the last is 1. Of a residual network one for each of its `widths`: at the inputs of an
        embedding, and at the outputs of a readout, too.

    Warns
    -----
    OutsideDomainWarning
        Where ln q scatters by more than one.

    Raises
    ------
    ValueError
        If a moment is needed at a q* that does not exist, or a variance is out of range.

    Examples
    --------
    >>> from rmt_vn import Network, ResidualNetwork
    >>> network = Network.uniform(100, 20, activation="softplus", sigma_w=1.35)
    >>> f"{gradient_growth(network)[0]:.1e}"
    '2.3e-03'
    """
    checked_kind("network", network, Network, ResidualNetwork)
    if isinstance(network, ResidualNetwork):
        _, log_growth = residual_parts_along_depth(network, input_variance=input_variance)
        # Embedding and readout, of σ = 1, change no mean square.
        log_growth = np.pad(
            log_growth, [int(end is not None) for end in (network.inputs, network.outputs)], mode="edge"
        )
        with np.errstate(over="ignore"):
            return np.exp(log_growth)
    variances_along_depth(network, input_variance)  # which refuses what is no variance
    if network.activation.is_homogeneous:
        chi = network.sigma_w**2 * layer_moments(network, moments_variance(network))[0]
        log_growth = np.log(chi) * np.arange(network.depth, -1, -1)
    else:
        log_growth, widest = _log_growth(network, input_variance)
        if np.isnan(log_growth).any():
            # Polynomials of ln q cannot follow: at the variances of infinitely wide networks, then.
            *_, logs = zip(*pair_along_depth(network, input_variance), strict=True)
            log_growth = np.array(logs)[::-1]
        if widest > _WIDEST:
            warnings.warn(
                "S5 does not hold here: the variances q of the pre-activations scatter from network to network, ln q "
                f"by a standard deviation of {widest:.2g}, where {_WIDEST:g} is the most that is followed; sample the "
                "gradients by samplers.walk_jacobian(network, n_networks)",
                OutsideDomainWarning,
                stacklevel=2,
            )
    with np.errstate(over="ignore"):
        return np.exp(log_growth)


def _log_growth(network: Network, input_variance: float | None) -> tuple[np.ndarray, float]:
    """ln of the growth, NaN where it cannot be followed, and the widest scatter of ln q of a layer.

    By a recursion in (E a², E B) given q_l, back from x_L: polynomials through seven values of ln q in each layer.

    U_l(q_l) = E[A_l(q_l, q_{l+1}) U_{l+1}(q_{l+1}) | q_l] is the pair at x_{l−1}, for A_l the matrix of the layer.
    """
    if input_variance is None:
        input_variance = (fixed_point(network).q_star - network.sigma_b**2) / network.sigma_w**2
    orthogonal = network.weights == "orthogonal"
    mean, deviation = np.log(max(network.sigma_w**2 * input_variance + network.sigma_b**2, 1e-200)), 0.0
    # Haar layers are had from Gaussian ones, whose variances scatter more, and from derivatives with respect to q.
    scale = np.sqrt(2 / max(network.widths[:2])) if orthogonal else 0.0
    layers, widest = [], 0.0
    for shape in pairwise(network.widths):
        log_q = mean + scale * _Z
        layers.append((mean, deviation, scale, log_q, *_layer(network, shape, log_q)))
        log_next = layers[-1][-1]
        spread = _spread(log_next, log_next.mean())
        scale = min(spread, _WIDEST)
        if orthogonal:
            log_next = _layer(network, shape, mean + deviation * _Z, fixed_length=True)[-1]
        mean = _WEIGHTS @ log_next @ _WEIGHTS
        total = _spread(log_next, mean)
        widest, deviation = max(widest, spread, total), min(total, _WIDEST)
        if widest > 2 * _WIDEST:
            return np.full(network.depth + 1, np.nan), widest
    width = network.widths[-1]
    pair = np.outer([1 / width, 1 - 1 / width], np.ones(len(_Z)))
    log_growth, log_scale = [0.0], 0.0
    # At x_L, whatever the variance of a layer L + 1 would be.
    centre, unit = mean, 1.0
    for shape, (mean, deviation, scale, log_q, matrices, log_next) in zip(
        reversed(list(pairwise(network.widths))), reversed(layers), strict=True
    ):
        at_next = np.einsum("ikj,cj->cik", _values((log_next - centre) / unit), pair)
        pair = np.einsum("abik,bik,k->ai", matrices, at_next, _WEIGHTS)
        if orthogonal:
            pair = _of_fixed_length(network, shape, pair, log_q, scale)
        centre, unit = mean, max(scale, 1e-12)
        size = float(_values(deviation / unit * _Z) @ pair.sum(axis=0) @ _WEIGHTS)
        if not size > 0:
            unknown = np.full(network.depth + 1 - len(log_growth), np.nan)
            return np.append(log_growth, unknown)[::-1], max(widest, 2 * _WIDEST)
        pair = pair / size
        log_scale += np.log(size)
        log_growth.append(log_scale)
    return np.array(log_growth)[::-1], widest


def _spread(values: np.ndarray, mean: float) -> float:
    return float(np.sqrt(_WEIGHTS @ (values - mean) ** 2 @ _WEIGHTS))


def _values(z: np.ndarray) -> np.ndarray:
    """The matrix that takes a polynomial's values at the seven nodes to those at z, shape (*z.shape, 7)."""
    return np.vander(z.ravel(), len(_Z), increasing=True).reshape(*z.shape, len(_Z)) @ _COEFFICIENTS


def _of_fixed_length(
    network: Network, shape: tuple[int, int], pair: np.ndarray, log_q: np.ndarray, scale: float
) -> np.ndarray:
    """The pair behind a Haar layer, from E a² and the mean square of D g times the gain, of a Gaussian layer.

    The image of the signal by Gaussian weights is that by Haar ones times √(χ²_N/N). Of a mean over it, f(S) with S
    the signal's part of q, what Haar weights have is f − S²f″/N to order 1/N. For E a², which scales as S, f is S E a².
    """
    n_in, size = shape[0], max(shape)
    signal = np.exp(log_q) - network.sigma_b**2
    derivatives = np.arange(1, len(_Z))[:, None] * _COEFFICIENTS[1:]
    by_log_q = np.vander(_Z, len(_Z) - 1, increasing=True) @ derivatives / scale
    by_log_signal = (signal / np.exp(log_q))[:, None] * by_log_q
    sharpened = np.eye(len(_Z)) - (by_log_signal @ by_log_signal - by_log_signal) / size
    mode, whole = sharpened @ (signal * pair[0]) / signal, sharpened @ pair[1]
    return np.array([mode, (n_in - 1) / max(size - 1, 1) * (whole - mode)])


def _layer(
    network: Network, shape: tuple[int, int], log_q: np.ndarray, *, fixed_length: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Matrices of (E a², E B), shape (2, 2, q, z), and ln of the next variance, shape (q, z), of one layer.

    z stands for the layer's Σ φ². Given it, the means of other sums over the nodes are linear in it. With Haar weights
    the matrices give E a² and the mean square of D g times the gain. The signal's image has a length that scatters as
    that by Gaussian weights does; with `fixed_length` it has one that does not.
    """
    n_in, n_out = shape
    weight, bias, keep = network.sigma_w**2, network.sigma_b**2, network.keep
    q = np.clip(np.exp(log_q), 1e-200, LARGEST_VARIANCE)[:, None]
    each = [signal_moments(network.activation, float(variance)) for variance in q[:, 0]]

    def at(name: str) -> np.ndarray:
        return np.array([getattr(moments, name) for moments in each])[:, None]

    part, signal, signal_slope, square = 1 - bias / q, at("signal"), at("signal_slope"), at("along_square")
    variance = (1 + at("signal_scatter")) / keep - 1
    scatter = variance
    if fixed_length:
        scatter = np.maximum(variance - 2 * (part * at("along") / signal) ** 2 * n_out / max(shape), 1e-9)
    scatter = scatter / n_out
    # Wilson–Hilferty: a χ² variable, of mean one and this variance, as the cube of a normal one.
    ratio = np.maximum(1 - scatter / 9 + np.sqrt(scatter) / 3 * _Z, 0.01) ** 3

    def given(mean: np.ndarray, product: np.ndarray) -> np.ndarray:
        """The mean of a sum over nodes given Σ φ²; `product` is the mean of its terms times φ²/E φ²."""
        return mean + (product - mean) / variance * (ratio - 1)

    mean_square, input_square = signal * q / keep, part * q / weight
    along, along_product = part * at("along") / signal, part * at("along_signal") / keep
    along_terms = (part**2 * square + part * (1 - part) * signal_slope / signal) / keep
    rest = along_terms - along**2 - (along_product - along) ** 2 / variance
    along_ratio = (given(along, along_product) ** 2 + np.maximum(rest, 0.0) / n_out) / ratio**2
    length = q * (part**2 * at("slope_length") + part * (1 - part) * at("mu1")) / keep
    length_product = q * (part**2 * square * signal + part * (1 - part) * signal_slope) / keep**2
    slope = given(at("mu1") / keep, signal_slope / keep**2)
    weighted = given(signal_slope / keep**2, at("square_slope") / keep**3) / ratio

    others = max(n_out - 1, 1)
    to_mode = n_out / n_in * mean_square * ratio / input_square * along_ratio
    noise = n_out / n_in / input_square * given(length, length_product) / others - to_mode / others
    noise = np.maximum(noise, 0.0)
    rest_slope = (n_out * slope - weighted) / others
    gain = weight * ((n_in - 1) if network.weights == "gaussian" else max(shape)) / n_in
    matrices = np.array([[to_mode, noise], [gain * weighted, gain * rest_slope]])
    return matrices, np.log(weight * mean_square * ratio + bias)
