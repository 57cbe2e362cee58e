"""``rmt-vn measure``: the effective nodes of layers whose activations are in a file."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from rmt_vn import measures
from rmt_vn.baseline import Baseline
from rmt_vn.command.fresh_files import null_of_files
from rmt_vn.command.tables import table, to_json
from rmt_vn.files import FileContents, read_activations
from rmt_vn.measures import NodeVNI
from rmt_vn.measures.rounding import unit_roundoff
from rmt_vn.program import printable
from rmt_vn.reports.assembled import assembled
from rmt_vn.reports.layer import LayerReport
from rmt_vn.reports.measured import layer_of_array
from rmt_vn.results import readable

__all__ = ["run"]

_ANSWERS = {None: None, "yes": True, "no": False}


def run(options: argparse.Namespace) -> Iterator[str]:
    """A table, or JSON; then the picture is drawn and the page written, if they are asked for."""
    contents = _read(options, options.file)
    unit_roundoff(options.precision, np.dtype(float))  # an unknown name is no fault of a layer
    measured, faults = _measure_all(contents, options.node_axis, options.precision)
    assumed = [*contents.notes, *_assumed(contents, measured, options.node_axis)]
    notes = [*(f"{name}: {caveat}" for name, each in measured.items() for caveat in each.caveats), *assumed]
    report = None
    if options.null is not None or options.html is not None:
        null = None if options.null is None else _null(options, contents.names, {**measured, **faults})
        report = assembled(_rows(contents, measured, faults, options.node_axis), null, notes=assumed)
    if options.json:
        layers = [_record(name, measured.get(name), faults.get(name)) for name in contents.names]
        told = {} if report is None else {"report": report.to_dict()}
        yield to_json({"file": str(options.file), "layers": layers, "notes": notes} | told)
    elif options.null is not None:
        yield str(report)
    else:
        head = ("layer", "nodes", "constant", "samples", "eff. nodes", "VNI", "95% interval", "plug-in")
        rows = [_row(name, measured.get(name), faults.get(name)) for name in contents.names]
        yield "\n".join([*table(head, rows), *([""] if notes else []), *map(printable, notes)])
    if not measured:
        name, fault = next(iter(faults.items()))
        raise ValueError(f"{options.file}: nothing could be measured; layer {name!r}: {fault}")
    if options.plot is not None and report is not None:
        report.plot(options.plot)
    elif options.plot is not None:
        from rmt_vn.figures.measured_layers import draw_layers

        draw_layers(measured, options.plot)
    if report is not None and options.html is not None:
        report.to_html(options.html)


def _read(options: argparse.Namespace, file: Path) -> FileContents:
    return read_activations(
        file,
        layers=None if options.layers is None else options.layers.split(","),
        header=_ANSWERS[options.header],
        index=_ANSWERS[options.index],
    )


def _null(options: argparse.Namespace, names: Sequence[str], this: Mapping[str, NodeVNI | str]) -> Baseline:
    def read(file: Path) -> dict[str, NodeVNI | str]:
        measured, faults = _measure_all(_read(options, file), options.node_axis, options.precision)
        return {**measured, **faults}

    return null_of_files(options.null, read, {name: this[name] for name in names})


def _rows(
    contents: FileContents, measured: Mapping[str, NodeVNI], faults: Mapping[str, str], node_axis: int | None
) -> list[LayerReport]:
    axis = -1 if node_axis is None else node_axis
    return [
        LayerReport(name, None, faults[name])
        if name in faults
        else layer_of_array(name, contents.arrays[name], measured[name], node_axis=axis)
        for name in contents.names
    ]


def _measure_all(
    contents: FileContents, node_axis: int | None, precision: str | None
) -> tuple[dict[str, NodeVNI], dict[str, str]]:
    """The layers that can be measured, and why each of the others cannot be, in the order of the file."""
    measured, faults = {}, {}
    for name in contents.names:
        if name in contents.faults:
            faults[name] = contents.faults[name]
            continue
        try:
            measured[name] = _measured(contents.arrays[name], node_axis, precision)
        except (ValueError, TypeError) as error:
            faults[name] = str(error)
    return measured, faults


def _measured(array: np.ndarray, node_axis: int | None, precision: str | None) -> NodeVNI:
    if node_axis is None and array.ndim > 3:
        raise ValueError(
            f"it has {array.ndim} axes, shape {array.shape}: --node-axis must say which one numbers the nodes, for "
            "example 1 for channels in PyTorch's order, -1 for channels last"
        )
    if array.ndim < 2:
        raise ValueError(f"it must have two axes (samples, nodes) or more, got shape {array.shape}")
    axis = -1 if node_axis is None else node_axis
    if not -array.ndim <= axis < array.ndim:
        valid = f"from {-array.ndim} to {array.ndim - 1}"
        raise ValueError(f"--node-axis must be an axis of shape {array.shape}, {valid}, got {axis}")
    if array.shape[axis] == 1:
        raise ValueError("it has one node, which has no other to correlate with")
    measured = measures.vni(array, node_axis=axis, precision=precision)
    if math.isnan(measured.value):
        raise ValueError("; ".join(measured.caveats))
    return measured


def _assumed(contents: FileContents, measured: Mapping[str, NodeVNI], node_axis: int | None) -> Iterator[str]:
    """Which axis was taken for that of the nodes where it might be another one, and which samples as groups."""
    groups = [name for name, each in measured.items() if each.n_groups < each.n_samples]
    if groups:
        yield f"samples at one place of the first axis taken as a group, groups as independent: {', '.join(groups)}"
    names = [name for name in measured if contents.arrays[name].ndim == 3]
    if names and node_axis is None:
        yield (
            f"of three axes the last one taken as the nodes, the others as samples (--node-axis names another one): "
            f"{', '.join(names)}"
        )


def _record(name: str, each: NodeVNI | None, fault: str | None) -> dict[str, object]:
    if each is None:
        return {"layer": name, "fault": fault}
    return {"layer": name, "fault": None} | each.to_dict() | {"interval": each.confidence_interval()}


def _row(name: str, each: NodeVNI | None, fault: str | None) -> tuple[str, ...]:
    if each is None:
        return printable(name), f"not measured: {printable(str(fault))}"
    low, high = each.confidence_interval()
    interval = f"{low:.4f} to {high:.4f}"
    counts = (str(each.n_nodes), str(each.constant_nodes), str(each.n_samples))
    return (
        printable(name),
        *counts,
        readable(each.effective_nodes, 4),
        f"{each.value:.4g}",
        interval,
        f"{each.plug_in:.4g}",
    )
