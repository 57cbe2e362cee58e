"""The effective nodes of measured layers: the picture of ``rmt-vn measure --plot``, and of a report.

It shows a user's own network and makes no claim of the study, so it is none of `rmt_vn.figures.NAMES`.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from rmt_vn.figures.style import COLOURS, COLUMN, new_figure, own_style
from rmt_vn.measures import NodeVNI
from rmt_vn.whole_files import write_whole

FORMATS = ("png", "pdf", "svg")

# Names of layers are shown up to this many layers, and of each name this many characters.
_MOST_NAMES = 12
# Up to so many layers there is room for each one's marks in a column.
_MOST_IN_COLUMN = 30
# Light blue, against which black marks and the grey of the nodes stand out.
_BAND, _DARK_BAND = "#BFE0F5", "#1B4965"
_LIGHT_INK = "#E4E6E9"
_IN_DARKNESS: dict[Any, Any] = {
    "text.color": _LIGHT_INK,
    "axes.edgecolor": _LIGHT_INK,
    "axes.labelcolor": _LIGHT_INK,
    "xtick.color": _LIGHT_INK,
    "ytick.color": _LIGHT_INK,
}
_MOST_CHARACTERS = 24


def draw_layers(
    layers: Mapping[str, NodeVNI | None],
    file: Path,
    *,
    fresh: Mapping[str, Sequence[float]] | None = None,
    law: Mapping[str, float] | None = None,
) -> None:
    """Draw the effective nodes of each layer, with 95% intervals, and how many nodes it has; write the picture.

    Parameters
    ----------
    layers : mapping of str to NodeVNI or None
        What was measured of each layer, by its name, in the order in which it is drawn; at least one layer. A layer
        without a measure is a gap.
    file : Path
        Where the picture goes. Its suffix, in capitals or not, is that of one of `FORMATS`.
    fresh : mapping of str to three numbers, optional
        Effective nodes of networks with fresh weights, where there are any: mean, low and high end of the middle 95%.
    law : mapping of str to float, optional
        Effective nodes by a law, where it has a word.

    Raises
    ------
    ValueError
        If there is no layer, or if the suffix is that of none of `FORMATS`; then nothing is written.
    OSError
        If the picture cannot be written. What was there before is left as it was.
    """
    if file.suffix[1:].lower() not in FORMATS:
        known = ", ".join(f".{each}" for each in FORMATS)
        raise ValueError(f"the name of a picture must end in one of {known}; got {str(file)!r}")
    with _drawing():
        write_whole(file, _figure(layers, fresh or {}, law or {}, _width(layers)).savefig)


def picture_of_layers(
    layers: Mapping[str, NodeVNI | None],
    *,
    fresh: Mapping[str, Sequence[float]] | None = None,
    law: Mapping[str, float] | None = None,
    width: float = COLUMN,
    dark: bool = False,
) -> bytes:
    """The same picture as SVG without a background, so many inches wide, in light or dark surroundings.

    Parameters and errors as `draw_layers`.
    """
    written = io.BytesIO()
    with _drawing(dark):
        figure = _figure(layers, fresh or {}, law or {}, width)
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    return written.getvalue()


@contextmanager
def _drawing(dark: bool = False) -> Iterator[None]:
    """Our style, its ink light where surroundings are dark."""
    with own_style(), warnings.catch_warnings():
        if dark:
            matplotlib.rcParams.update(_IN_DARKNESS)
        # Names may hold characters that the font lacks; they are drawn as boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def _width(layers: Mapping[str, object]) -> float:
    """One column, or two where there are so many layers that they would be drawn over each other."""
    return COLUMN if len(layers) <= _MOST_IN_COLUMN else 2 * COLUMN


def _figure(
    layers: Mapping[str, NodeVNI | None],
    fresh: Mapping[str, Sequence[float]],
    law: Mapping[str, float],
    width: float,
) -> Figure:
    places = {name: place for place, name in enumerate(layers, 1)}
    measured = {name: each for name, each in layers.items() if each is not None}
    if not measured:
        raise ValueError("there must be at least one layer to draw, got none")
    figure = new_figure(height=2.4 if width <= COLUMN else 3.0, width=width)
    axes = figure.subplots()
    dense = len(layers) / width > _MOST_IN_COLUMN / COLUMN
    half = 0.5 if dense else 0.38
    x = np.array([places[name] for name in measured])
    nodes = np.array([each.n_nodes for each in measured.values()])
    ink = matplotlib.rcParams["text.color"]
    band, line, cross = (_DARK_BAND, COLOURS[2], COLOURS[5]) if ink == _LIGHT_INK else (_BAND, COLOURS[6], COLOURS[1])
    named: list[Any] = [axes.hlines(nodes, x - half, x + half, color="0.5", linewidth=0.9, label="nodes")]
    if fresh:
        at = np.array([places[name] for name in fresh])
        mean, low, high = np.array(list(fresh.values()), dtype=float).T
        # Of a single network there is no range.
        named += [
            axes.bar(at, high - low, 2 * half, low, color=band, label="fresh networks, middle 95%"),
            axes.hlines(mean, at - half, at + half, color=line, linewidth=1.2, label="their mean"),
        ]
    if law:
        at = np.array([places[name] for name in law])
        style: dict[str, Any] = {"linestyle": "none", "marker": "x", "markersize": 4, "markeredgewidth": 0.9}
        named += axes.plot(at, list(law.values()), label="law, over a small ball", color=cross, **style)
    effective = np.array([each.effective_nodes for each in measured.values()])
    # 1/VNI of the ends of the interval of the VNI, which need not be within [1/N, 1].
    ends = np.array([1 / np.clip(each.confidence_interval(), 1 / each.n_nodes, 1.0) for each in measured.values()]).T
    bars = axes.errorbar(
        x,
        effective,
        yerr=np.maximum([effective - ends[1], ends[0] - effective], 0.0),
        linestyle="none",
        marker="o",
        markersize=2 if dense else 3.5,
        color=ink,
        elinewidth=0.6 if dense else 0.8,
        capsize=0 if dense else 1.5,
        label=("this network, 95% interval" if fresh else "effective nodes, 95% interval"),
    )
    axes.set_yscale("log")
    axes.set_ylim(0.8, 1.5 * nodes.max())
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("")
    axes.set_xlim(0.5, len(layers) + 0.5)
    axes.set_ylabel("effective nodes" if fresh else "nodes")
    if len(layers) <= _MOST_NAMES:
        names = [_shown(name) for name in layers]
        rotation = 0 if sum(map(len, names)) <= 30 else 45
        # Names are text: a dollar sign begins no formula.
        ticks = list(places.values())
        axes.set_xticks(ticks, names, rotation=rotation, ha="right" if rotation else "center", parse_math=False)
    else:
        axes.set_xlabel("layer, in the order of the table" if fresh else "layer")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(handles=[*named, bars], loc="outside upper center", ncols=2 if width <= COLUMN else 5)
    return figure


def _shown(name: str) -> str:
    """A name as it is drawn: escaped where it cannot be, and not so long that it leaves no room for the picture."""
    printable = "".join(each if each.isprintable() else repr(each)[1:-1] for each in name)
    return printable if len(printable) <= _MOST_CHARACTERS else printable[: _MOST_CHARACTERS - 1] + "…"
