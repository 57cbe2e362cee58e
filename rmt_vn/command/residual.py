"""The network that options describe, plain or residual, and how JSON describes it."""

from __future__ import annotations

import argparse
from typing import Any

from rmt_vn.network import Network, ResidualNetwork

__all__ = ["check_plain", "described", "network_of", "one_scale", "residual_parameters"]

# What describes residual networks alone, and plain ones alone, with the names of the options.
_RESIDUAL = ("branch", "branch_scale", "skip", "normalization", "embedding", "readout", "width", "branch_ratio")
_PLAIN = {"sigma_b": 0.0, "keep": 1.0, "output": "linear"}


def network_of(options: argparse.Namespace) -> Network | ResidualNetwork:
    """The network of ``rmt-vn predict``.

    Raises
    ------
    ValueError
        If an option is of the other kind of network, or a parameter is out of range.
    """
    if options.residual is not None:
        width, depth = options.residual
        parameters = residual_parameters(options)
        ends = {"inputs": options.embedding, "outputs": options.readout}
        hidden = (
            {} if options.activation == "linear" and options.branch is None else {"hidden": options.branch or width}
        )
        return ResidualNetwork(width, depth, **hidden, **ends, **parameters)
    check_plain(options)
    return Network(
        options.widths, options.activation, options.weights, one_scale(options), options.sigma_b, options.keep
    )


def check_plain(options: argparse.Namespace) -> None:
    """Raise a ValueError if an option is of residual networks."""
    for name in _RESIDUAL:
        if getattr(options, name, None) is not None:
            raise ValueError(f"--{name.replace('_', '-')} is of residual networks: give --residual too")


def residual_parameters(options: argparse.Namespace) -> dict[str, Any]:
    """The parameters of `ResidualNetwork` that are no numbers of nodes or blocks, those that are given.

    Raises
    ------
    ValueError
        If an option is of plain networks.
    """
    for name, default in _PLAIN.items():
        if getattr(options, name, default) != default:
            raise ValueError(f"--{name.replace('_', '-')} is of plain networks, which --widths describes")
    given = {"branch_scale": options.branch_scale, "skip": options.skip, "normalization": options.normalization}
    scales = options.sigma_w if len(options.sigma_w) > 1 else options.sigma_w[0]
    kinds = {} if options.weights is None else {"weights": options.weights}
    told = {name: value for name, value in given.items() if value is not None}
    return {"activation": options.activation, "sigma_w": scales, **kinds, **told}


def one_scale(options: argparse.Namespace) -> float:
    """The scale of a plain network's weights, which is one number."""
    if len(options.sigma_w) > 1:
        raise ValueError("--sigma-w must be one number for a plain network; two are of residual ones")
    return float(options.sigma_w[0])


def described(network: Network | ResidualNetwork) -> dict[str, Any]:
    """What describes a network."""
    both = {"widths": network.widths, "activation": network.activation.name, "weights": network.weights}
    if isinstance(network, Network):
        return both | {"sigma_w": network.sigma_w, "sigma_b": network.sigma_b, "keep": network.keep}
    return both | {
        "residual": {"width": network.width, "depth": network.depth, "hidden": network.hidden},
        "sigma_w": network.sigma_w,
        "skip": network.skip,
        "branch_scale": network.branch_scale,
        "normalization": network.normalization,
    }
