"""What the laws say along the depth of a network: moments of the slopes, effective depths, mean VNI."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate
from typing import Any

import numpy as np

from rmt_vn import laws
from rmt_vn.activations import ACTIVATIONS
from rmt_vn.laws.approximate import OutsideDomainWarning, approximate_parts_along_depth
from rmt_vn.laws.exact import exact_parts_along_depth
from rmt_vn.mean_field import moments_along
from rmt_vn.network import Network, ResidualNetwork

# Below this the variances of a few layers are rounded to those of zero.
_SMALLEST_SCALE = 1e-6


def check_scale(network: Network) -> None:
    """Raise a ValueError if the weights are so small that variances cannot be followed from layer to layer.

    Where φ is homogeneous, one scale is as good as another.
    """
    if network.sigma_w < _SMALLEST_SCALE and not network.activation.is_homogeneous:
        raise ValueError(
            f"sigma_w must be at least {_SMALLEST_SCALE:g} for {network.activation.name}, got {network.sigma_w:g}"
        )


def moments_along_depth(network: Network, q: np.ndarray) -> list[tuple[float, float]]:
    """(μ_1, μ_2) of each layer."""
    return [(mu1, mu2) for mu1, mu2 in moments_along(network, q).tolist()]


def effective_depths(network: Network, moments: list[tuple[float, float]]) -> np.ndarray:
    """t after each weight matrix; the inputs of the first have no slopes."""
    ratios = [1.0, *(mu2 / mu1**2 for mu1, mu2 in moments[:-1])]
    shapes = zip(network.widths[:-1], network.widths[1:], strict=True)
    steps = (
        laws.layer_depth(*shape, network.weights, slope_ratio=ratio)
        for shape, ratio in zip(shapes, ratios, strict=True)
    )
    return np.array(list(accumulate(steps)))


def law_along_depth(network: Network, input_variance: float) -> tuple[np.ndarray, np.ndarray]:
    """E[1/k] over the live nodes of each layer, and E ρ² of two nodes: by S3 where it applies, else S4. Shape (L,)."""
    if network.live_probability is not None:
        return exact_parts_along_depth(network)
    return approximate_parts_along_depth(network, input_variance=input_variance)


def exact_of_first_layer(network: Network) -> np.ndarray:
    """E ρ² of two nodes of the first layer, before which there is no φ, and NaN for others; shape (L,)."""
    linear = replace(network, widths=network.widths[:2], activation=ACTIVATIONS["linear"], keep=1.0)
    return np.array([*exact_parts_along_depth(linear)[1], *[np.nan] * (network.depth - 1)])


def caveat(network: Network | ResidualNetwork, input_variance: float) -> str | None:
    """What S4 or S8 says against itself, if the network is outside its domain; None where S3 is exact."""
    if isinstance(network, Network) and network.live_probability is not None:
        return None
    return with_caveat(laws.approximate_vni, network, input_variance)[1]


def with_caveat(
    law: Callable[..., Any], network: Network | ResidualNetwork, input_variance: float
) -> tuple[Any, str | None]:
    """What a law says of a network, and what it says against itself."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", OutsideDomainWarning)
        said = law(network, input_variance=input_variance)
    return said, str(told[0].message) if told else None
