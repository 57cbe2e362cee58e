"""The effective nodes of measured layers: the picture of ``rmt-vn measure --plot``.

It shows a user's own network and makes no claim of the study, so it is none of `rmt_vn.figures.NAMES`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from rmt_vn.figures.style import COLOURS, new_figure, own_style
from rmt_vn.measures import NodeVNI
from rmt_vn.whole_files import move_into, staging_folder

FORMATS = ("png", "pdf", "svg")

# Names of layers are shown up to this many layers, and of each name this many characters.
_MOST_NAMES = 12
_MOST_CHARACTERS = 24


def draw_layers(layers: Mapping[str, NodeVNI], file: Path) -> None:
    """Draw the effective nodes of each layer, with 95% intervals, and how many nodes it has; write the picture.

    Parameters
    ----------
    layers : mapping of str to NodeVNI
        What was measured of each layer, by its name, in the order in which it is drawn; at least one layer.
    file : Path
        Where the picture goes. Its suffix, in capitals or not, is that of one of `FORMATS`.

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
    if not layers:
        raise ValueError("there must be at least one layer to draw, got none")
    with own_style(), warnings.catch_warnings():
        # Names may hold characters that the font lacks; they are drawn as boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        _write_whole(_figure(layers), file)


def _figure(layers: Mapping[str, NodeVNI]) -> Figure:
    x = np.arange(1, len(layers) + 1)
    measured = list(layers.values())
    effective = np.array([each.effective_nodes for each in measured])
    # 1/VNI of the ends of the interval of the VNI, which need not be within [1/N, 1].
    ends = np.array([1 / np.clip(each.confidence_interval(), 1 / each.n_nodes, 1.0) for each in measured]).T
    bars = np.maximum([effective - ends[1], ends[0] - effective], 0.0)
    figure = new_figure(height=2.4)
    axes = figure.subplots()
    axes.plot(x, [each.n_nodes for each in measured], "_", color="0.5", markersize=9, label="nodes")
    axes.errorbar(
        x,
        effective,
        yerr=bars,
        linestyle="none",
        marker="o",
        color=COLOURS[0],
        elinewidth=0.8,
        capsize=1.5,
        label="effective nodes, 95% interval",
    )
    axes.set_yscale("log")
    axes.set_ylim(0.8, 1.5 * max(each.n_nodes for each in measured))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xlim(0.5, len(x) + 0.5)
    axes.set_ylabel("nodes")
    if len(x) <= _MOST_NAMES:
        names = [_shown(name) for name in layers]
        rotation = 0 if sum(map(len, names)) <= 30 else 45
        # Names are text: a dollar sign begins no formula.
        axes.set_xticks(x, names, rotation=rotation, ha="right" if rotation else "center", parse_math=False)
    else:
        axes.set_xlabel("layer")
    figure.legend(loc="outside upper center", ncols=2)
    return figure


def _shown(name: str) -> str:
    """A name as it is drawn: escaped where it cannot be, and not so long that it leaves no room for the picture."""
    printable = "".join(each if each.isprintable() else repr(each)[1:-1] for each in name)
    return printable if len(printable) <= _MOST_CHARACTERS else printable[: _MOST_CHARACTERS - 1] + "…"


def _write_whole(figure: Figure, file: Path) -> None:
    """Beside its place, and moved there: what was there stays if this fails."""
    try:
        with staging_folder(file.parent) as folder:
            staged = folder / file.name
            figure.savefig(staged)
            move_into(file.parent, [staged])
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(file)) from None
