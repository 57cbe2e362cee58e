"""``rmt-vn measure``: the effective nodes of layers whose activations are in a file."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator

import numpy as np

from rmt_vn import measures
from rmt_vn.command.tables import table, to_json
from rmt_vn.files import read_activations
from rmt_vn.measures import NodeVNI
from rmt_vn.program import printable

__all__ = ["run"]


def run(options: argparse.Namespace) -> Iterator[str]:
    """A table, or JSON; then the picture is drawn, if one is asked for."""
    arrays = read_activations(options.file)
    if options.layers is not None:
        wanted = options.layers.split(",")
        if strangers := [name for name in wanted if name not in arrays]:
            raise ValueError(f"{options.file}: no layer {strangers[0]!r}; it has {', '.join(arrays)}")
        arrays = {name: arrays[name] for name in wanted}
    measured = {name: _measured(name, array, options.node_axis) for name, array in arrays.items()}
    if options.json:
        layers = [
            {"layer": name} | each.to_dict() | {"interval": each.confidence_interval()}
            for name, each in measured.items()
        ]
        yield to_json({"file": str(options.file), "layers": layers})
    else:
        head = ("layer", "nodes", "constant", "samples", "eff. nodes", "VNI", "95% interval", "plug-in")
        yield "\n".join(table(head, [_row(name, each) for name, each in measured.items()]))
    if options.plot is not None:
        from rmt_vn.figures.measured_layers import draw_layers

        draw_layers(measured, options.plot)


def _measured(name: str, array: np.ndarray, node_axis: int) -> NodeVNI:
    try:
        if not -array.ndim <= node_axis < array.ndim:
            raise ValueError(f"there is no axis {node_axis} for nodes in shape {array.shape}")
        if array.ndim >= 2 and array.shape[node_axis] == 1:
            raise ValueError("it has one node, which has no other to correlate with")
        measured = measures.vni(array, node_axis=node_axis)
        if math.isnan(measured.value):
            raise ValueError(f"it has {measured.n_samples} samples; an estimate with an error takes 5")
        return measured
    except (ValueError, TypeError) as error:
        raise ValueError(f"layer {name!r}: {error}") from None


def _row(name: str, each: NodeVNI) -> tuple[str, ...]:
    low, high = each.confidence_interval()
    interval = f"{low:.4f} to {high:.4f}"
    counts = (str(each.n_nodes), str(each.constant_nodes), str(each.n_samples))
    return (
        printable(name),
        *counts,
        f"{each.effective_nodes:.4g}",
        f"{each.value:.4g}",
        interval,
        f"{each.plug_in:.4g}",
    )
