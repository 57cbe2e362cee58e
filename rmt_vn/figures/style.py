"""How figures look: one column wide, and legible in grey and for the colour-blind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

# The colours of Okabe & Ito (2008), ordered so that neighbours differ in lightness too.
COLOURS = ("#000000", "#D55E00", "#56B4E9", "#009E73", "#CC79A7", "#E69F00", "#0072B2")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
COLUMN = 3.5  # inches

RC: dict[Any, Any] = {
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "legend.fontsize": 6.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.5,
    "mathtext.fontset": "cm",
    "savefig.dpi": 300,
    "pdf.fonttype": 42,
    "svg.hashsalt": "rmt_vn",
}


@contextmanager
def own_style() -> Iterator[None]:
    """Within the ``with`` block: matplotlib's defaults and `RC`, whatever the user's own matplotlibrc says."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RC)
        yield


def new_figure(*, height: float, width: float = COLUMN) -> Figure:
    """An empty figure, by default one column wide; sizes are in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def points(axes: Axes, x: np.ndarray, y: np.ndarray, stderr: np.ndarray, index: int, *, filled: bool = True, **kwargs):
    """Draw samples: markers with bars of two standard errors, not joined by lines."""
    colour = COLOURS[index % len(COLOURS)]
    return axes.errorbar(
        x,
        y,
        yerr=2 * stderr,
        linestyle="none",
        marker=MARKERS[index % len(MARKERS)],
        color=colour,
        markerfacecolor=colour if filled else "white",
        markeredgewidth=0.8,
        elinewidth=0.8,
        capsize=1.5,
        **kwargs,
    )


def marks(labels: Iterable[str]) -> list[Line2D]:
    """Entries of a legend that name the colours and markers, in their order."""
    return [
        Line2D([], [], color=colour, marker=marker, linestyle="none", label=label)
        for colour, marker, label in zip(COLOURS, MARKERS, labels, strict=False)
    ]


def kind(label: str, *, filled: bool = True, linestyle: Literal["-", "--", ":", "none"] = "-") -> Line2D:
    """The entry of a legend that names filled or open markers, or a style of line, of any colour."""
    face = None if filled else "white"
    return Line2D(
        [], [], color="0.4", marker="o", markerfacecolor=face, linestyle=linestyle, linewidth=0.7, label=label
    )
