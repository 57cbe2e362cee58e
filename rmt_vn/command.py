"""The command line: ``rmt-vn predict``, ``measure``, ``design``, ``api`` and ``cite``, or ``python -m rmt_vn``."""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import rmt_vn
from rmt_vn import measures
from rmt_vn.activations import ACTIVATIONS
from rmt_vn.argument_parser import OneLineParser, whole_number
from rmt_vn.files import SUFFIXES, read_activations
from rmt_vn.measures import NodeVNI
from rmt_vn.network import WEIGHTS, Network
from rmt_vn.prediction import INPUTS, LayerPrediction, Prediction, design, predict
from rmt_vn.reference import reference

# Tables for people show no more layers than this; --json has all.
_MOST_ROWS = 24
_MOST_LAYERS = 10**5

EXAMPLES = {
    "predict": (
        "rmt-vn predict --widths 784,200x50,10 --activation tanh --weights gaussian --sigma-w 1",
        "rmt-vn predict --widths 100x21 --activation relu --sigma-w 1.414 --json",
    ),
    "measure": (
        "rmt-vn measure activations.npz",
        "rmt-vn measure activations.csv --json",
        "rmt-vn measure conv.npy --node-axis 1 --plot conv.png",
    ),
    "design": (
        "rmt-vn design --depth 100 --vni 0.1",
        "rmt-vn design --depth 100 --vni 0.1 --activation relu --weights orthogonal",
    ),
    "api": ("rmt-vn api",),
    "cite": ("rmt-vn cite",),
}


def _widths(text: str) -> tuple[int, ...]:
    """784,200x50,10: 784 inputs, fifty layers of 200 nodes, and one of 10."""
    widths: list[int] = []
    for part in text.split(","):
        if not (match := re.fullmatch(r"\s*(\d{1,10})(?:x(\d{1,10}))?\s*", part, re.ASCII)):
            raise argparse.ArgumentTypeError(f"must be like 784,200x50,10 (inputs first), got {text!r}")
        count = int(match[2] or 1)
        if not 1 <= count <= _MOST_LAYERS - len(widths):
            raise argparse.ArgumentTypeError(f"must be 1 to {_MOST_LAYERS} layers, got {text!r}")
        widths += [int(match[1])] * count
    return tuple(widths)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, got {text!r}") from None


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="rmt-vn",
        description="How much of a network's width is alive? Effective nodes, layer by layer: predicted, measured, and "
        "what keeps them.",
        epilog=_examples(example for examples in EXAMPLES.values() for example in examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"rmt-vn {rmt_vn.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, run: Callable[[argparse.Namespace], Any], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name,
            help=text,
            description=text,
            epilog=_examples(EXAMPLES[name]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(run=run, parser=command)
        return command

    predicting = add("predict", _predict, "What theory says of a random network, layer by layer.")
    predicting.add_argument(
        "--widths", type=_widths, required=True, metavar="N,NxL,...", help="inputs first: 784,200x50,10"
    )
    _add_network_options(predicting, weights="gaussian")
    predicting.add_argument(
        "--inputs", choices=INPUTS, default="ball", help="inputs in a small ball round a point (default), or N(0, v I)"
    )
    predicting.add_argument(
        "--seed", type=whole_number(), default=0, metavar="N", help="of the simulated networks (default: 0)"
    )

    measuring = add("measure", _measure, "Effective nodes of activations, layer by layer.")
    measuring.add_argument("file", type=Path, metavar="FILE", help=f"one of {', '.join(SUFFIXES)}, samples by nodes")
    measuring.add_argument("--layers", metavar="NAME[,NAME]", help="these layers of an .npz file only (default: all)")
    measuring.add_argument(
        "--node-axis",
        type=whole_number(),
        default=-1,
        metavar="AXIS",
        help="which axis numbers the nodes, the others being samples (default: -1, the last; 1 for images of channels)",
    )
    measuring.add_argument("--plot", type=Path, metavar="OUT.png", help="draw the effective nodes (png, pdf, svg)")

    designing = add("design", _design, "The width that keeps the VNI within a target at some depth.")
    designing.add_argument("--depth", type=whole_number(), required=True, metavar="L", help="number of layers")
    designing.add_argument(
        "--vni", type=_number, required=True, metavar="V", help="largest mean VNI of the last layer, 0 to 1"
    )
    _add_network_options(designing, weights=None)

    add("api", _api, "The Python API on one page: every function in a line. pydoc has the whole of each.")
    add("cite", _cite, "BibTeX for this software and for the work that it is about.")
    for command in (predicting, measuring, designing):
        command.add_argument("--json", action="store_true", help="for programs: all layers, all digits")
    return parser


def _examples(lines: Iterable[str]) -> str:
    return "examples:\n" + "\n".join(f"  {line}" for line in lines)


def _add_network_options(parser: argparse.ArgumentParser, *, weights: str | None) -> None:
    parser.add_argument(
        "--activation",
        choices=ACTIVATIONS,
        default="tanh",
        metavar="NAME",
        help=f"{', '.join(ACTIVATIONS)} (default: tanh)",
    )
    parser.add_argument("--weights", choices=WEIGHTS, default=weights, help=f"default: {weights or 'both'}")
    parser.add_argument(
        "--sigma-w", type=_number, default=1.0, metavar="S", help="weights have variance S^2/fan-in (default: 1)"
    )
    parser.add_argument("--sigma-b", type=_number, default=0.0, metavar="S", help="of the biases (default: 0)")
    parser.add_argument(
        "--keep",
        type=_number,
        default=1.0,
        metavar="P",
        help="under dropout, the probability of keeping a node (default: 1)",
    )
    parser.add_argument(
        "--input-variance", type=_number, default=1.0, metavar="V", help="mean square of an input (default: 1)"
    )


def _network_parameters(options: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(options, name) for name in ("activation", "sigma_w", "sigma_b", "keep")}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, or 2 for what it was given."""
    # A terminal that knows no Greek shows question marks rather than a traceback.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    options = _parser().parse_args(arguments)
    try:
        print(options.run(options), flush=True)
    except (ValueError, TypeError, ImportError) as error:
        options.parser.error(str(error))
    except BrokenPipeError:
        # Whoever read has seen enough (`rmt-vn … | head`); Python must not try again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        options.parser.error(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    return 0


# --- predict ----------------------------------------------------------------------------------------------------------


def _predict(options: argparse.Namespace) -> str:
    if options.seed < 0:
        raise ValueError(f"--seed must be an integer from 0, got {options.seed}")
    network = Network(options.widths, weights=options.weights, **_network_parameters(options))
    predicted = predict(network, input_variance=options.input_variance, inputs=options.inputs, rng=options.seed)
    return _to_json(_prediction_record(predicted)) if options.json else _prediction_text(predicted)


def _prediction_record(predicted: Prediction) -> dict[str, Any]:
    network = predicted.network
    return {
        "widths": network.widths,
        "activation": network.activation.name,
        "weights": network.weights,
        "sigma_w": network.sigma_w,
        "sigma_b": network.sigma_b,
        "keep": network.keep,
        "inputs": predicted.inputs,
        "input_variance": predicted.input_variance,
        "statement": predicted.statement,
        "layers": [row.to_dict() for row in predicted.layers],
        "simulated_widths": predicted.simulated and predicted.simulated.widths,
        "gradient_growth": predicted.gradient_growth,
        "gradients": predicted.gradients,
        "nodes": predicted.nodes,
        "vanishing_from": predicted.vanishing_from,
        "half_depth": predicted.half_depth,
        "two_nodes_depth": predicted.two_nodes_depth,
        "verdict": predicted.verdict,
    }


def _prediction_text(predicted: Prediction) -> str:
    rows = _some(predicted.layers)
    left_out = len(predicted.layers) - len(rows)
    head = ("layer", "width", "q", "chi", "depth t", "VNI", "95% of networks", "eff. nodes", "gradient")
    lines = _table(head, [_prediction_row(row) for row in rows])
    if left_out:
        lines.append(f"({left_out} of {len(predicted.layers)} layers not shown; --json has all)")
    return "\n".join([*lines, "", *predicted.verdict])


def _prediction_row(row: LayerPrediction) -> tuple[str, ...]:
    interval = "" if row.interval is None else f"{row.interval[0]:.4f} to {row.interval[1]:.4f}"
    numbers = (f"{each:.4g}" for each in (row.q, row.chi, row.effective_depth, row.vni))
    return (str(row.layer), str(row.width), *numbers, interval, f"{row.effective_nodes:.4g}", f"{row.gradient:.3g}")


def _some(rows: Sequence[LayerPrediction]) -> list[LayerPrediction]:
    """All of a few, else the first, the last, and some that are as far apart in between as one factor allows."""
    if len(rows) <= _MOST_ROWS:
        return list(rows)
    return [rows[index - 1] for index in np.unique(np.geomspace(1, len(rows), _MOST_ROWS).round().astype(int))]


# --- measure ----------------------------------------------------------------------------------------------------------


def _measure(options: argparse.Namespace) -> str:
    arrays = read_activations(options.file)
    if options.layers is not None:
        wanted = options.layers.split(",")
        if strangers := [name for name in wanted if name not in arrays]:
            raise ValueError(f"{options.file}: no layer {strangers[0]!r}; it has {', '.join(arrays)}")
        arrays = {name: arrays[name] for name in wanted}
    measured = {name: _measured(name, array, options.node_axis) for name, array in arrays.items()}
    if options.plot is not None:
        from rmt_vn.figures.measured_layers import draw_layers

        draw_layers(measured, options.plot)
    if options.json:
        layers = [
            {"layer": name} | each.to_dict() | {"interval": each.confidence_interval()}
            for name, each in measured.items()
        ]
        return _to_json({"file": str(options.file), "layers": layers})
    head = ("layer", "nodes", "constant", "samples", "eff. nodes", "VNI", "95% interval", "plug-in")
    return "\n".join(_table(head, [_measured_row(name, each) for name, each in measured.items()]))


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


def _measured_row(name: str, each: NodeVNI) -> tuple[str, ...]:
    low, high = each.confidence_interval()
    interval = f"{low:.4f} to {high:.4f}"
    counts = (str(each.n_nodes), str(each.constant_nodes), str(each.n_samples))
    # Names come from the file, and may hold what a terminal obeys.
    shown = name if name.isprintable() else repr(name)
    return (shown, *counts, f"{each.effective_nodes:.4g}", f"{each.value:.4g}", interval, f"{each.plug_in:.4g}")


# --- design, api, cite -----------------------------------------------------------------------------------------------


def _design(options: argparse.Namespace) -> str:
    kinds = {} if options.weights is None else {"weights": options.weights}
    found = design(
        options.depth, options.vni, input_variance=options.input_variance, **kinds, **_network_parameters(options)
    )
    if options.json:
        asked = {"depth": options.depth, "vni": options.vni, "input_variance": options.input_variance}
        return _to_json(asked | _network_parameters(options) | {"designs": [each.to_dict() for each in found]})
    rows = [(each.weights, str(each.width), f"{each.vni:.4g}", f"{each.effective_depth:.4g}") for each in found]
    return "\n".join(_table(("weights", "width", "VNI", "depth t"), rows))


def _api(options: argparse.Namespace) -> str:
    return reference()


BIBTEX = """\
@software{rmt_vn,
  author  = {{The rmt\\_vn developers}},
  title   = {rmt\\_vn: the law of vanishing nodes in random neural networks},
  version = {%s},
  year    = {2026}
}

@misc{ChangLin2019,
  author        = {Chang, Wen-Yu and Lin, Tsung-Nan},
  title         = {Vanishing Nodes: Another Phenomenon That Makes Training Deep Neural Networks Difficult},
  year          = {2019},
  eprint        = {1910.09745},
  archivePrefix = {arXiv}
}

@mastersthesis{Chang2019,
  author = {Chang, Wen-Yu},
  type   = {Thesis},
  title  = {Vanishing nodes},
  school = {National Taiwan University},
  year   = {2019},
  doi    = {10.6342/NTU201901446}
}"""


def _cite(options: argparse.Namespace) -> str:
    return BIBTEX % rmt_vn.__version__


# --- output -----------------------------------------------------------------------------------------------------------


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Columns that line up, the first to the left."""
    sizes = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(size) if column else cell.ljust(size)
            for column, (cell, size) in enumerate(zip(row, sizes, strict=True))
        ).rstrip()
        for row in (head, *rows)
    ]


def _to_json(record: dict[str, Any]) -> str:
    return json.dumps(_finite(record), indent=2, allow_nan=False)


def _finite(value: Any) -> Any:
    """The same with null for ∞ and NaN, of which JSON knows nothing."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
