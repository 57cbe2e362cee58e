"""What the laws say of the layers of a report, where these are those of a fully connected `Network`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rmt_vn.checks import checked_kind
from rmt_vn.network import Network
from rmt_vn.prediction.expected import caveat, law_along_depth
from rmt_vn.reports.layer import LayerReport


def with_law(
    layers: Sequence[LayerReport], network: Network, input_variance: float
) -> tuple[list[LayerReport], str | None]:
    """The rows with the mean VNI of pre-activations over a small ball (S3 or S4), and what speaks against it.

    Raises
    ------
    TypeError
        If it is no `Network`.
    ValueError
        If the measured layers are neither all layers of the network nor its hidden ones.
    """
    checked_kind("network", network, Network)
    measured = [place for place, each in enumerate(layers) if each.measured is not None]
    widths = tuple(each.measured.n_nodes for each in layers if each.measured is not None)
    if widths not in (network.widths[1:], network.widths[1:-1]):
        raise ValueError(
            f"network must be that of the measured layers, which have {_listed(widths)} nodes, got the widths "
            f"{network.described_widths} (the inputs are the first)"
        )
    n, pairs = np.array(network.widths[1:]), law_along_depth(network, input_variance)[1]
    of_all = (1 / n + (1 - 1 / n) * pairs).tolist()
    rows = list(layers)
    for place, vni in zip(measured, of_all, strict=False):
        rows[place] = replace(rows[place], law_vni=vni)
    return rows, caveat(network, input_variance)


def _listed(widths: Sequence[int]) -> str:
    shown = list(map(str, widths[:8]))
    return ", ".join([*shown, f"… ({len(widths)} layers)"] if len(widths) > 8 else shown)
