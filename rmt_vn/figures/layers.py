"""Effective nodes of measured layers: what ``rmt-vn measure --plot`` draws. No claim of the study, so not in NAMES."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from rmt_vn.figures.style import COLOURS, RC, new_figure
from rmt_vn.measures import NodeVNI
from rmt_vn.whole_files import move_into, staging_folder

_MOST_NAMES = 12


def draw_layers(layers: Mapping[str, NodeVNI], file: Path) -> None:
    """Effective nodes with their intervals, and how many nodes there are, layer by layer, into a picture.

    Raises
    ------
    ValueError
        If the ending of the file is that of no picture.
    OSError
        If it cannot be written.
    """
    x = np.arange(1, len(layers) + 1)
    measured = list(layers.values())
    effective = np.array([each.effective_nodes for each in measured])
    # 1/VNI of the ends of the VNI's interval, which need not be within [1/N, 1].
    ends = np.array([1 / np.clip(each.confidence_interval(), 1 / each.n_nodes, 1.0) for each in measured]).T
    bars = np.maximum([effective - ends[1], ends[0] - effective], 0.0)
    with matplotlib.rc_context(RC):
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
            label="effective nodes, 95%",
        )
        axes.set_yscale("log")
        axes.set_ylim(0.8, 1.5 * max(each.n_nodes for each in measured))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_xlim(0.5, len(x) + 0.5)
        axes.set_ylabel("nodes")
        if len(x) <= _MOST_NAMES:
            rotation = 0 if sum(map(len, layers)) <= 30 else 45
            axes.set_xticks(x, list(layers), rotation=rotation, ha="right" if rotation else "center")
        else:
            axes.set_xlabel("layer")
        axes.legend(loc="best")
        _write_whole(figure, file)


def _write_whole(figure: Figure, file: Path) -> None:
    """Beside its place, and moved there: what was there stays if this fails."""
    try:
        with staging_folder(file.parent) as folder:
            staged = Path(folder) / file.name
            figure.savefig(staged)
            move_into(file.parent, [staged])
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(file)) from None
