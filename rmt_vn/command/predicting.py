"""``rmt-vn predict``: what to expect of a random network, layer by layer."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from rmt_vn.command.residual import described, network_of
from rmt_vn.command.tables import table, to_json
from rmt_vn.files import SUFFIXES, read_activations
from rmt_vn.prediction import LayerPrediction, Prediction, predict
from rmt_vn.results import readable

__all__ = ["run"]

# Tables for people show no more layers than this; --json has all.
_MOST_ROWS = 24


def run(options: argparse.Namespace) -> Iterator[str]:
    """A table and a verdict, or JSON."""
    if options.seed < 0:
        raise ValueError(f"--seed must be an integer from 0, got {options.seed}")
    network = network_of(options)
    # Threads gain nothing with matrices of some hundred rows, and fight over the cores of a busy machine.
    with threadpool_limits(1):
        inputs = _inputs(options.inputs)
        asked = {"input_variance": options.input_variance, "inputs": inputs, "output": options.output}
        predicted = predict(network, rng=options.seed, **asked)
        yield to_json(_record(predicted)) if options.json else _text(predicted)


def _inputs(told: str) -> str | np.ndarray:
    """A word, or the inputs in the file that is named."""
    if not told.lower().endswith(SUFFIXES):
        return told
    contents = read_activations(Path(told))
    if len(contents.names) != 1:
        raise ValueError(f"{told}: it must hold one array of inputs, got {len(contents.names)}")
    (name,) = contents.names
    if name in contents.faults:
        raise ValueError(f"{told}: {contents.faults[name]}")
    return contents.arrays[name]


def _record(predicted: Prediction) -> dict[str, Any]:
    return {
        **described(predicted.network),
        "inputs": predicted.inputs,
        "output": predicted.output,
        "n_samples": predicted.n_samples,
        "input_variance": predicted.input_variance,
        "statement": predicted.statement,
        "layers": [row.to_dict() for row in predicted.layers],
        "gradient_growth": predicted.gradient_growth,
        "gradients": predicted.gradients,
        "nodes": predicted.nodes,
        "vanishing_from": predicted.vanishing_from,
        "half_depth": predicted.half_depth,
        "two_nodes_depth": predicted.two_nodes_depth,
        "verdict": predicted.verdict,
    }


def _text(predicted: Prediction) -> str:
    rows = _some(predicted.layers)
    left_out = len(predicted.layers) - len(rows)
    # Where all nodes are live, what is true of activations is true of pre-activations.
    both = any(not math.isclose(row.vni, row.pre_activation_vni, rel_tol=1e-6) for row in predicted.layers)
    head = ("layer", "width", "q", "chi", "depth t", "gradient", "VNI", "95% of networks", "eff. nodes")
    more = ("VNI of h", "95% of networks") if both else ()
    lines = table((*head, *more), [_row(row, both=both) for row in rows])
    if both:
        which = "live nodes" if predicted.inputs == "ball" else "nodes that are not constant"
        of_h = "VNI of h, and rho^2 below: of the pre-activations of all nodes"
        lines.append(f"(VNI: of the activations of {which}; {of_h})")
    if left_out:
        lines.append(f"({left_out} of {len(predicted.layers)} layers not shown; --json has all)")
    return "\n".join([*lines, "", *predicted.verdict])


def _row(row: LayerPrediction, *, both: bool) -> tuple[str, ...]:
    low, high = row.interval()
    numbers = (f"{each:.4g}" for each in (row.q, row.chi, row.effective_depth))
    own = (f"{row.gradient:.3g}", f"{row.vni:.4g}", f"{low:.4f} to {high:.4f}", readable(row.effective_nodes, 4))
    low, high = row.interval(kind="pre-activations")
    more = (f"{row.pre_activation_vni:.4g}", f"{low:.4f} to {high:.4f}") if both else ()
    return (str(row.layer), str(row.width), *numbers, *own, *more)


def _some(rows: Sequence[LayerPrediction]) -> list[LayerPrediction]:
    """All of a few, else the first, the last, and some that are as far apart in between as one factor allows."""
    if len(rows) <= _MOST_ROWS:
        return list(rows)
    return [rows[index - 1] for index in np.unique(np.geomspace(1, len(rows), _MOST_ROWS).round().astype(int))]
