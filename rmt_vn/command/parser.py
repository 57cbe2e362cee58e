"""The commands of ``rmt-vn`` and their options: a light module, for ``--help`` must answer at once."""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Iterable
from pathlib import Path

import rmt_vn
from rmt_vn.program import OneLineParser, whole_number

__all__ = ["EXAMPLES", "new_parser"]

# Of deeper networks, predictions take more than some minutes.
_MOST_LAYERS = 2000
# Descriptions are as wide as what argparse fills by itself on a common terminal.
_COLUMNS = 78

EXAMPLES = {
    "predict": (
        "rmt-vn predict --widths 784,200x50,10 --activation tanh --weights gaussian --sigma-w 1",
        "rmt-vn predict --widths 100x21 --activation relu --sigma-w 1.414 --json",
        "rmt-vn predict --widths 64,50x4,10 --activation relu --inputs digits.npy",
        "rmt-vn predict --residual 64x24 --branch 256 --activation gelu --normalization pre",
        "rmt-vn predict --residual 64x24 --activation relu --sigma-w 1.414,1 --branch-scale '1/sqrt(L)'",
    ),
    "measure": (
        "rmt-vn measure activations.npz",
        "rmt-vn measure activations.csv --json",
        "rmt-vn measure conv.npy --node-axis 1 --plot conv.png",
        "rmt-vn measure trained.npz --null fresh1.npz fresh2.npz fresh3.npz --html report.html",
    ),
    "design": (
        "rmt-vn design --depth 20 --vni 0.2",
        "rmt-vn design --depth 100 --vni 0.1 --activation relu --weights orthogonal",
        "rmt-vn design --depth 200 --vni 0.1 --activation relu --sigma-w 1.414 --residual",
        "rmt-vn design --depth 200 --vni 0.1 --activation tanh --residual --width 64 --normalization none",
    ),
    "api": ("rmt-vn api",),
    "cite": ("rmt-vn cite",),
}

# Of each command: the module that runs it, its line in the list of commands, and what it does.
_COMMANDS = {
    "predict": (
        "predicting",
        "Predict the effective nodes of a random network, layer by layer.",
        "Predict what a network does at initialization, when its weights are random. For each layer, the table has the "
        "variance q of the pre-activations; chi, the factor by which the mean squared gradient grows on its way back "
        "through the layer; the effective depth t; the vanishing node indicator (VNI), between 1/width and 1, and an "
        "interval that holds 95% of random networks; the effective nodes, 1/VNI; and the mean squared gradient, that "
        "of the last layer being 1. Sentences below it say what the numbers mean. Of a residual network, given by "
        "--residual instead of --widths, the rows are its blocks x -> s x + b W_2 phi(W_1 x).",
    ),
    "measure": (
        "measuring",
        "Measure the effective nodes of a network's layers from their activations.",
        "Measure how many of a layer's nodes are effective. A file holds the activations of one layer, or of several "
        "(.npz), over some samples. For each layer, the table has its number of nodes, those that do not vary over the "
        "samples, the number of samples, the effective nodes 1/VNI, the vanishing node indicator (VNI) with its bias "
        "removed and a 95% confidence interval, and the plain estimate, which is too high for few samples. A layer "
        "that cannot be measured has a row that says why.",
    ),
    "design": (
        "designing",
        "Find the width that keeps a network's nodes from vanishing.",
        "Find the narrowest network of equal widths whose mean vanishing node indicator (VNI) stays within a target in "
        "its last layer, for Gaussian and for orthogonal weights. A VNI of 0.1 means 10 effective nodes. An exact law "
        "says it for linear and ReLU networks; others are sampled, which takes seconds to a minute, and the table has "
        "the standard error of their VNI. With --residual residual networks of the same depth are designed too, with "
        "and without normalization, and with branches as they are and scaled by 1/sqrt(depth).",
    ),
    "api": (
        "describing",
        "Print the Python API on one page.",
        "Print every public function in one line each. Python's help(), or pydoc, has the whole documentation of each.",
    ),
    "cite": (
        "citing",
        "Print BibTeX entries for this software and for the work that it is about.",
        "Print BibTeX entries for this software, and for the preprint and the thesis that describe vanishing nodes.",
    ),
}


def new_parser() -> argparse.ArgumentParser:
    """The parser of all commands; what it parses has the command's `module` and its `parser`."""
    parser = OneLineParser(
        prog="rmt-vn",
        description=textwrap.fill(
            "The deeper a network, the more alike its nodes: a wide layer then does the work of a few. This "
            "program predicts, from a network's widths and weights, and measures, from its activations, how many "
            "of its nodes are effective.",
            _COLUMNS,
        ),
        epilog=_examples(example for examples in EXAMPLES.values() for example in examples)
        + "\n\nrmt-vn COMMAND --help explains a command and its options.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"rmt-vn {rmt_vn.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    options = {"predict": _add_predict_options, "measure": _add_measure_options, "design": _add_design_options}
    for name, (module, line, description) in _COMMANDS.items():
        command = commands.add_parser(
            name,
            help=line,
            description=textwrap.fill(description, _COLUMNS),
            epilog=_examples(EXAMPLES[name]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(module=module, parser=command)
        if name in options:
            options[name](command)
            command.add_argument("--json", action="store_true", help="print JSON: all layers, and all digits")
    return parser


def _examples(lines: Iterable[str]) -> str:
    return "examples:\n" + "\n".join(f"  {line}" for line in lines)


def _add_predict_options(parser: argparse.ArgumentParser) -> None:
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument(
        "--widths",
        type=_widths,
        metavar="N,NxL,...",
        help="the number of inputs, then of nodes in each layer; 200x50 stands for fifty layers of 200 nodes; at most "
        f"{_MOST_LAYERS} layers",
    )
    kind.add_argument(
        "--residual",
        type=_blocks,
        metavar="NxL",
        help="a residual network instead: the width N of its stream, and its number L of blocks, at most "
        f"{_MOST_LAYERS}; the blocks are x -> s x + b W_2 phi(W_1 x)",
    )
    _add_network_options(parser, weights="gaussian")
    _add_residual_options(parser)
    residual = parser.add_argument_group("options of residual networks, with --residual NxL")
    residual.add_argument(
        "--branch",
        type=whole_number(1),
        metavar="M",
        help="nodes between W_1 and W_2 (default: N; with --activation linear a single matrix, b W x)",
    )
    residual.add_argument(
        "--embedding", type=whole_number(1), metavar="N0", help="inputs of a linear layer before the first block"
    )
    residual.add_argument(
        "--readout", type=whole_number(1), metavar="NL", help="outputs of a linear layer behind the last block"
    )
    parser.set_defaults(input_variance=None)  # inputs in a file have one of their own
    parser.add_argument(
        "--inputs",
        default="ball",
        metavar="{ball,wide,FILE}",
        help="over which inputs nodes are compared: ball, a small ball round one input (default), wide, normally "
        "distributed inputs, or those in an .npy, .npz or .csv file, a row each",
    )
    parser.add_argument(
        "--output",
        default="linear",
        metavar="{linear,activation}",
        help="whether the last layer is linear (default), or has the activation function too",
    )
    _add_seed(parser, "seed of the simulated networks that give the intervals (default: 0)")


def _add_measure_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="an .npy, .npz or .csv file: a row for each sample, a column for a node"
    )
    parser.add_argument(
        "--layers", metavar="NAME[,NAME]", help="measure only these layers of an .npz file (default: all of them)"
    )
    parser.add_argument(
        "--node-axis",
        type=whole_number(),
        metavar="AXIS",
        help="the axis of the array that numbers the nodes; all others number samples (default: -1, the last one, of "
        "arrays of two or three axes; of more it must be given: 1 for images whose channels come second, as in "
        "PyTorch, -1 if they come last)",
    )
    parser.add_argument(
        "--precision",
        metavar="NAME",
        help="in which the activations were computed, if it is less than that of the file: float32, float16, bfloat16 "
        "or tf32; nodes that vary by no more than rounding in it are constant (default: that of the array)",
    )
    for name, told in (
        ("header", "whether the first line of a .csv file has the names of the nodes"),
        ("index", "whether the first column of a .csv file numbers or names the samples, and is no node"),
    ):
        parser.add_argument(
            f"--{name}", choices=("yes", "no"), help=f"{told} (default: told by the file, or you are asked)"
        )
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="OUT.png",
        help="also draw the effective nodes into this file, a .png, .pdf or .svg picture",
    )
    parser.add_argument(
        "--null",
        type=Path,
        nargs="+",
        metavar="FRESH",
        help="compare with fresh networks, of the same architecture but with weights drawn anew: a file of activations "
        "for each, like FILE and over the same inputs, at least 2 (20 are usual); the table then says how many of them "
        "have fewer effective nodes, and sentences what is data, what is depth and what is training",
    )
    parser.add_argument(
        "--html",
        type=Path,
        metavar="OUT.html",
        help="also write all this, with a picture, into one page for a browser",
    )


def _add_design_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--depth", type=whole_number(), required=True, metavar="L", help="the number of layers")
    parser.add_argument(
        "--vni",
        type=_number,
        required=True,
        metavar="V",
        help="the largest mean VNI that the last layer may have, between 0 and 1",
    )
    _add_network_options(parser, weights=None)
    parser.add_argument("--residual", action="store_true", help="design residual networks of that many blocks too")
    _add_residual_options(parser)
    residual = parser.add_argument_group("options of residual networks, with --residual")
    residual.add_argument(
        "--width",
        type=whole_number(1),
        metavar="N",
        help="the width of the stream, if it is the largest scale b of the branches that is asked for",
    )
    residual.add_argument(
        "--branch-ratio",
        type=_number,
        metavar="R",
        help="nodes between W_1 and W_2 for each of the stream (default: 1; with --activation linear a single matrix)",
    )
    _add_seed(parser, "seed of the random networks that are sampled, where no law is exact (default: 0)")


def _add_seed(parser: argparse.ArgumentParser, told: str) -> None:
    parser.add_argument("--seed", type=whole_number(), default=0, metavar="N", help=told)


def _add_network_options(parser: argparse.ArgumentParser, *, weights: str | None) -> None:
    # `Network` checks the names; to know them here, scipy would have to be imported.
    parser.add_argument(
        "--activation",
        default="tanh",
        metavar="NAME",
        help="the activation function: linear, relu, leaky_relu, tanh, hard_tanh, erf, sigmoid, softplus, gelu, "
        "silu or sin (default: tanh)",
    )
    parser.add_argument(
        "--weights",
        default=weights,
        metavar="{gaussian,orthogonal}",
        help=f"how weights are drawn (default: {weights or 'both, one after the other'})",
    )
    parser.add_argument(
        "--sigma-w",
        type=_scales,
        default=(1.0,),
        metavar="S",
        help="weight scale: weights have the variance S^2 divided by the fan-in (default: 1); S1,S2 for W_1 and W_2 of "
        "a residual network",
    )
    parser.add_argument(
        "--sigma-b", type=_number, default=0.0, metavar="S", help="standard deviation of the biases (default: 0)"
    )
    parser.add_argument(
        "--keep",
        type=_number,
        default=1.0,
        metavar="P",
        help="under dropout, the probability of keeping a node; PyTorch and Keras take 1 - P (default: 1, no dropout)",
    )
    parser.add_argument(
        "--input-variance",
        type=_number,
        default=1.0,
        metavar="V",
        help="mean square of the numbers in an input; standardized data have 1 (default: 1)",
    )


def _add_residual_options(parser: argparse.ArgumentParser) -> None:
    residual = parser.add_argument_group("options of residual blocks, with --residual")
    residual.add_argument(
        "--branch-scale",
        type=_branch_scale,
        metavar="B",
        help="b, by which the branch is multiplied: a number, or 1/sqrt(L), which keeps the effective depth bounded "
        "however many blocks there are (predict: default 1)",
    )
    residual.add_argument("--skip", type=_number, metavar="S", help="s, of the skip connection (default: 1)")
    residual.add_argument(
        "--normalization",
        metavar="{none,pre,post}",
        help="LayerNorm: none; pre, of what enters the branch; post, of the sum (predict: default none)",
    )


def _branch_scale(text: str) -> float | str:
    try:
        return text if text == "1/sqrt(L)" else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, or 1/sqrt(L), got {text!r}") from None


def _scales(text: str) -> tuple[float, ...]:
    return tuple(_number(part) for part in text.split(","))


def _blocks(text: str) -> tuple[int, int]:
    """64x24: a stream of 64 nodes, 24 blocks."""
    match = re.fullmatch(r"(\d{1,10})x(\d{1,10})", text.strip(), re.ASCII)
    if not match or not 1 <= int(match[2]) <= _MOST_LAYERS:
        raise argparse.ArgumentTypeError(f"must be like 64x24, a width and 1 to {_MOST_LAYERS} blocks, got {text!r}")
    return int(match[1]), int(match[2])


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
