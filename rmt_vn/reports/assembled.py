"""Rows, fresh networks and law, put together to a report."""

from __future__ import annotations

from collections.abc import Sequence

from rmt_vn.baseline import Baseline
from rmt_vn.network import Network
from rmt_vn.reports.against import against
from rmt_vn.reports.law import with_law
from rmt_vn.reports.layer import LayerReport
from rmt_vn.reports.result import Report


def assembled(
    layers: Sequence[LayerReport],
    null: Baseline | None = None,
    *,
    network: Network | None = None,
    input_variance: float = 1.0,
    notes: Sequence[str] = (),
) -> Report:
    """The report of measured layers. Errors as of `rmt_vn.reports.law.with_law`."""
    notes = list(notes)
    if network is not None:
        layers, against_it = with_law(layers, network, input_variance)
        notes += [f"law: {against_it}"] if against_it else []
    if null is not None:
        layers = against(layers, null)
        if (of_all := null.notes.get("")) and "" not in null.layers:
            notes.append(f"fresh networks: {of_all}")
    return Report(tuple(layers), tuple(notes), null)
