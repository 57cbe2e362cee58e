"""A report in a terminal: sentences and a table of at most 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from rmt_vn.program import printable
from rmt_vn.reports.layer import FreshNetworks, LayerReport
from rmt_vn.results import readable

COLUMNS = 80
# Names of layers are cut to what other columns leave, but no shorter.
_SHORTEST_NAME = 8
_IDLE = ("const", "dead", "dup")
_GAP = "  "


def as_text(layers: Sequence[LayerReport], told: Sequence[str], notes: Sequence[str]) -> str:
    """Sentences, then a row for each layer, then what must be known of single layers.

    Parameters
    ----------
    layers : sequence of LayerReport
    told : sequence of str
        What the report says in sentences.
    notes : sequence of str
        Of the whole report.
    """
    columns = _columns(layers)
    if _room(columns) < _longest(layers):
        columns = _narrower(columns, layers)
    remarks = [*notes, *(f"{_name(each)}: {each.note}" for each in layers if each.note)]
    remarks += [f"{_name(each)}: no comparison, {each.no_fresh}" for each in layers if each.no_fresh]
    texts = [
        "\n".join(map(_filled, told)),
        "\n".join(_table(layers, columns)),
        _filled(_legend(columns)),
        "\n".join(map(_filled, remarks)),
    ]
    return "\n\n".join(filter(None, texts))


def _filled(text: str, head: str = "") -> str:
    return textwrap.fill(printable(text), COLUMNS, initial_indent=head, subsequent_indent=_GAP, break_on_hyphens=False)


def _columns(layers: Sequence[LayerReport]) -> dict[str, list[str]]:
    """The columns behind the names, each with its head; what no layer has is no column."""
    measured = [each for each in layers if each.measured is not None]
    columns = {
        "nodes": [str(each.measured.n_nodes) for each in measured if each.measured is not None],
        "effective (95%)": [_with_range(each.effective_nodes, each.interval) for each in measured],
    }
    if any(each.fresh is not None for each in measured):
        columns["fresh (95%)"] = [_of_fresh(each.fresh) for each in measured]
        columns["rank"] = ["-" if each.fresh is None else rank(each.fresh) for each in measured]
    if any(each.law_vni is not None for each in measured):
        columns["law"] = ["-" if each.law_vni is None else readable(1 / each.law_vni) for each in measured]
    if any(each.measured.constant_nodes for each in measured if each.measured is not None):
        columns["const"] = [str(each.measured.constant_nodes) for each in measured if each.measured is not None]
    if any(each.dead_nodes for each in measured):
        columns["dead"] = [str(each.dead_nodes) for each in measured]
    if any(each.near_duplicates for each in measured):
        columns["dup"] = ["-" if each.near_duplicates is None else str(each.near_duplicates) for each in measured]
    return columns


def _narrower(columns: Mapping[str, list[str]], layers: Sequence[LayerReport]) -> dict[str, list[str]]:
    """The same with one column for all idle nodes."""
    kept = {head: cells for head, cells in columns.items() if head not in _IDLE}
    if len(kept) == len(columns):
        return kept
    measured = [(each.measured, each.near_duplicates or 0) for each in layers if each.measured is not None]
    return kept | {"idle": [str(each.constant_nodes + copies) for each, copies in measured]}


def _sizes(columns: Mapping[str, Sequence[str]]) -> dict[str, int]:
    return {head: max(map(len, (head, *cells))) for head, cells in columns.items()}


def _room(columns: Mapping[str, Sequence[str]]) -> int:
    """What columns leave of a line for names."""
    return COLUMNS - sum(size + len(_GAP) for size in _sizes(columns).values())


def _longest(layers: Sequence[LayerReport]) -> int:
    return max([len("layer"), *(len(_name(each)) for each in layers)])


def _table(layers: Sequence[LayerReport], columns: Mapping[str, Sequence[str]]) -> list[str]:
    sizes, width = _sizes(columns), max(min(_longest(layers), _room(columns)), _SHORTEST_NAME)
    rows = zip(*columns.values(), strict=True)
    lines = [_GAP.join(["layer".ljust(width), *(head.rjust(size) for head, size in sizes.items())])]
    for each in layers:
        if each.measured is None:
            head = f"{_shortened(_name(each), width).ljust(width)}{_GAP}not measured: "
            lines.append(_filled(each.fault, head))
            continue
        cells = [cell.rjust(size) for cell, size in zip(next(rows), sizes.values(), strict=True)]
        lines.append(_GAP.join([_shortened(_name(each), width).ljust(width), *cells]).rstrip())
    return lines


def _legend(columns: Mapping[str, object]) -> str:
    meanings = {
        "fresh (95%)": "fresh: networks with weights drawn anew, on the same inputs: their mean, and the range of 95% "
        "of them",
        "rank": "rank: how many of them have fewer effective nodes",
        "law": "law: for inputs in a small ball, whatever the data",
        "const": "const: nodes that do not vary over the samples",
        "dead": "dead: those of them that are zero throughout",
        "dup": "dup: nodes that nearly copy another one",
        "idle": "idle: nodes that do not vary over the samples, or nearly copy another one",
    }
    told = "; ".join(meaning for head, meaning in meanings.items() if head in columns)
    return told and f"{told}."


def _with_range(value: float | None, ends: tuple[float, float] | None) -> str:
    if value is None or ends is None:
        return "-"
    low, high = ends
    return f"{readable(value)} ({readable(low)}-{readable(high)})" if low == low else readable(value)


def _of_fresh(fresh: FreshNetworks | None) -> str:
    return "-" if fresh is None else _with_range(fresh.mean, (fresh.low, fresh.high))


def rank(fresh: FreshNetworks) -> str:
    """How many fresh networks have fewer effective nodes, of how many."""
    return f"{fresh.fewer:g}/{fresh.n_networks}"


def _name(each: LayerReport) -> str:
    return printable(each.name) or "(model)"


def _shortened(name: str, width: int) -> str:
    """The end of a long name, which tells one layer of a model from the next."""
    return name if len(name) <= width else "…" + name[len(name) - width + 1 :]
