"""S4 and S8, the effective depth t of a network: what each of its matrices, and each of its residual blocks, adds."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from rmt_vn.checks import checked_count, checked_kind, checked_numbers
from rmt_vn.gaussian_averages import second_moment, slope_moment
from rmt_vn.mean_field import fixed_point, layer_moments, moments_along, variances_along_depth
from rmt_vn.network import Network, ResidualNetwork, Weights
from rmt_vn.residual_mean_field import blocks_mean_field, depth_phase


def effective_depth(network: Network | ResidualNetwork, *, input_variance: float | None = None) -> float:
    """t, the effective depth of a network (S4, S8).

    Each weight matrix adds r_l/n_l (Gaussian) or r_l/n_l − 1/max(n_l, n_{l+1}) (Haar: r_l − 1 over n_l where the
    layer does not widen), with r_l = (μ_2/μ_1²) at its inputs' activation and r_0 = 1 for the inputs themselves. Each
    block of a residual network adds `residual_block_depth`, embedding and readout what matrices add.

    Parameters
    ----------
    network : Network or ResidualNetwork
    input_variance : float, optional
        ‖x_0‖²/n_0. If given, μ_k follow the length map layer by layer from there; if not, they are taken at q*, or in
        residual networks, which have no q*, along the map from 1.

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
    checked_kind("network", network, Network, ResidualNetwork)
    if isinstance(network, ResidualNetwork):
        ends = [effective_depth(end) for end in (network.embedding, network.readout) if end is not None]
        return float(np.sum(block_depths(network, input_variance=input_variance)) + sum(ends))
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


def residual_block_depth(branch_ratio: ArrayLike, branch_depth: ArrayLike, width: int) -> float | np.ndarray:
    """What a residual block adds to the effective depth (S8): (2a/N + a²t_B)/(1 + a)².

    a² t_B is what the branch does to itself, 2a/N is its random overlap with the skip connection. a → ∞ is the branch
    alone, t_B; as a → 0, a block costs 2a/N. A sequence of blocks and layers adds up, and it may be a branch in turn.

    Parameters
    ----------
    branch_ratio : float or array_like
        a = E Tr BBᵀ/(N s²) ≥ 0, B the Jacobian of the branch and s the factor of the skip connection.
    branch_depth : float or array_like
        t_B ≥ 0, the effective depth of the branch as a network of its own.
    width : int
        N.

    Returns
    -------
    float or ndarray

    Raises
    ------
    TypeError, ValueError
        If an argument is negative or NaN, or not a number.

    Examples
    --------
    >>> residual_block_depth(1.0, 0.02, 100)
    0.01
    """
    a, t = checked_numbers("branch_ratio", branch_ratio), checked_numbers("branch_depth", branch_depth)
    for name, values in (("branch_ratio", a), ("branch_depth", t)):
        if not np.all(values >= 0):
            raise ValueError(f"{name} must be ≥ 0, got {values[~(values >= 0)].flat[0]}")
    with np.errstate(divide="ignore", over="ignore"):
        share = 1 / (1 + 1 / a)  # a/(1 + a)
    depth = 2 * share * (1 - share) / checked_count("width", width) + share**2 * t
    return depth if depth.ndim else float(depth)


def block_depths(network: ResidualNetwork, *, input_variance: float | None = None) -> np.ndarray:
    """What each block adds to the effective depth, shape (L,). Parameters and errors as `effective_depth`."""
    found = blocks_mean_field(network, input_variance=input_variance)
    first, *second = network.branch_shapes
    branch = layer_depth(*first, network.weights) + np.zeros(network.depth)
    for n_in, n_out in second:
        branch += layer_depth(n_in, n_out, network.weights) + (found.slope_ratio - 1) / n_in
    # For Haar weights the two terms of a matrix may cancel to −1e-20.
    return np.asarray(residual_block_depth(found.branch_ratio, np.maximum(branch, 0.0), network.width))


def pre_norm_slope(network: ResidualNetwork) -> float:
    """2κ/N, κ = σ_1²μ_1/E φ²: with pre-LN the effective depth grows as (2κ/N) ln L (S8).

    The stream's mean square grows as lβ²σ_2² E φ², by which LN divides the Jacobian of the branch: a_l → κ/l, whatever
    β and σ_2 are, and a block adds 2a_l/N.

    Raises
    ------
    ValueError
        If the network is not of that kind: LN before the branch, s = 1 and β > 0 that does not change with L.

    Examples
    --------
    >>> network = ResidualNetwork(100, 1000, 100, "relu", sigma_w=(2**0.5, 1), normalization="pre")
    >>> round(pre_norm_slope(network), 9)
    0.02
    """
    checked_kind("network", network, ResidualNetwork)
    if depth_phase(network) != "logarithmic":
        raise ValueError(
            "the effective depth grows like ln L with normalization 'pre', skip 1 and a number > 0 as branch_scale, "
            f"got {network.normalization!r}, {network.skip:g} and {network.branch_scale!r}"
        )
    q = network.sigma_w[0] ** 2
    kappa = q * slope_moment(network.activation, q, 1) / second_moment(network.activation, q)
    return 2 * kappa / network.width


def slope_ratio(network: Network) -> float:
    """μ_2/μ_1² at q*, dropout included."""
    mu1, mu2 = layer_moments(network, moments_variance(network))
    return mu2 / mu1**2


def moments_variance(network: Network) -> float:
    """The variance at which to take μ_k: q*, or any where φ is homogeneous and μ_k does not depend on it."""
    return 1.0 if network.activation.is_homogeneous else fixed_point(network).q_star
