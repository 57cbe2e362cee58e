"""Every figure of the study. ``python -m rmt_vn.figures`` computes, judges and draws them.

=====================  ===============================================================================================
`claims`               one module for each figure: its claim, its caption, and how it is computed, judged and drawn
`output`               writes the files of a figure: pictures, the data behind them, and a manifest
`tables`, `evidence`   the data behind a figure; the numbers on which its claim rests
`style`                how figures look
`gallery`              two pages that show all figures of a folder
`measured_layers`      the picture of ``rmt-vn measure --plot`` and of reports
`xor_runs`             training runs on continuous XOR, which five claims share
`failure_statistics`   statistics of the numbers of runs that fail
=====================  ===============================================================================================
"""

from __future__ import annotations

import difflib
import importlib
from types import ModuleType

NAMES = (
    "node_correlation",
    "correlation_distribution",
    "vni_depth_width",
    "scaling_collapse",
    "effective_nodes",
    "three_indicators",
    "width_profile",
    "jacobian_spectrum",
    "lyapunov_spectrum",
    "phase_diagram",
    "signal_mode",
    "residual_networks",
    "gradients_and_nodes",
    "wide_inputs",
    "training_vni",
    "training_failure",
    "walking_dead",
    "optimizers",
    "residual_training",
    "representation_power",
    "digits",
    "own_data",
)


def load(name: str) -> ModuleType:
    """The module of a figure, below `rmt_vn.figures.claims`.

    Raises
    ------
    ValueError
        If there is no figure of that name; the message suggests a similar one, if there is one.
    """
    if name not in NAMES:
        near = "".join(f" did you mean {each!r}?" for each in difflib.get_close_matches(name, NAMES, n=1))
        raise ValueError(f"unknown figure {name!r};{near} known: {', '.join(NAMES)}")
    return importlib.import_module(f"rmt_vn.figures.claims.{name}")
