"""The command line: ``python -m rmt_vn.figures [NAME …]``."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import NoReturn

from rmt_vn import figures

FORMATS = ("png", "pdf", "svg")
DEFAULT_OUT = {"quick": Path("figures/quick"), "paper": Path("figures")}


class _Parser(argparse.ArgumentParser):
    """Errors in one line, exit code 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n")


def _whole_number(least: int):
    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"must be an integer ≥ {least}, got {text!r}")
        return int(text)

    return parse


def _formats(text: str) -> tuple[str, ...]:
    chosen = tuple(dict.fromkeys(text.split(",")))
    if not set(chosen) <= set(FORMATS):
        raise argparse.ArgumentTypeError(f"must be some of {','.join(FORMATS)}, got {text!r}")
    return chosen


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m rmt_vn.figures",
        description="Regenerate the figures: for each, the pictures, the data behind them (CSV, or NPZ for arrays) and "
        "a manifest (claim, parameters, seed, version). The same seed gives the same data, whatever --jobs is.",
        epilog="examples:\n"
        "  python -m rmt_vn.figures                              every figure, quickly, into figures/quick/\n"
        "  python -m rmt_vn.figures scaling_collapse --seed 7    one figure, other random networks\n"
        "  python -m rmt_vn.figures --preset paper --format png,pdf --out ~/paper/figures",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="figures to make (default: all; see --list)")
    parser.add_argument("--list", action="store_true", help="list the figures and what each shows, and stop")
    parser.add_argument(
        "--preset",
        choices=DEFAULT_OUT,
        default="quick",
        help="quick: all within a minute on two cores (default); paper: the committed figures, some minutes",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder to write to (default: figures/quick/, or figures/ for paper)"
    )
    parser.add_argument("--seed", type=_whole_number(0), default=0, metavar="N", help="base seed (default: 0)")
    parser.add_argument(
        "--jobs", type=_whole_number(1), metavar="N", help="number of processes (default: one for each core)"
    )
    parser.add_argument(
        "--format", type=_formats, default=("png",), metavar="F[,F]", help="png, pdf, svg (default: png)"
    )
    return parser


def _check_writable(parser: argparse.ArgumentParser, out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()
    except OSError as error:
        parser.error(f"--out must be a folder that can be written, got {str(out)!r} ({error.strerror})")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, 1 if a figure failed, 2 for bad arguments, 130 if interrupted."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        modules = {name: figures.load(name) for name in options.names or figures.NAMES}
    except ValueError as error:
        parser.error(str(error))
    if options.list:
        for name, module in modules.items():
            print(f"{name:20}  {module.CLAIM}")
        return 0
    out = options.out or DEFAULT_OUT[options.preset]
    _check_writable(parser, out)
    from rmt_vn.figures.output import make

    failed = []
    for name, module in modules.items():
        started = time.perf_counter()
        try:
            picture, *_ = make(
                name, preset=options.preset, out=out, seed=options.seed, jobs=options.jobs, formats=options.format
            )
        except KeyboardInterrupt:
            print(f"interrupted while making {name}; finished figures are in {out}", file=sys.stderr)
            return 130
        except Exception as error:  # the other figures are still made
            failed.append(name)
            print(f"{name}: FAILED: {type(error).__name__}: {error}", file=sys.stderr)
        else:
            print(f"{name}: {module.CLAIM} → {picture} ({time.perf_counter() - started:.1f} s)", flush=True)
    if failed:
        print(f"{len(failed)} of {len(modules)} figures failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    # A terminal that knows no Greek shows question marks rather than a traceback.
    sys.stdout.reconfigure(errors="replace")
    sys.exit(main())
