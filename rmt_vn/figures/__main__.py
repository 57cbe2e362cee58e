"""The command line: ``python -m rmt_vn.figures [NAME …]``."""

from __future__ import annotations

from rmt_vn.interrupts import interrupts_are_raised, leave_when_interrupted

if __name__ == "__main__":
    leave_when_interrupted()  # also while the rest is imported

import argparse
import os
import sys
import tempfile
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

from platformdirs import user_cache_path

from rmt_vn import figures
from rmt_vn.program import OneLineParser, run_program, say, tell, whole_number

if TYPE_CHECKING:
    from rmt_vn.experiments import Engine

FORMATS = ("png", "pdf", "svg")
DEFAULT_CACHE = user_cache_path("rmt_vn", appauthor=False)
DEFAULT_OUT = {"quick": Path("figures/quick"), "paper": Path("figures")}


def _formats(text: str) -> tuple[str, ...]:
    chosen = tuple(dict.fromkeys(text.split(",")))
    if not set(chosen) <= set(FORMATS):
        raise argparse.ArgumentTypeError(f"must be some of {','.join(FORMATS)}, got {text!r}")
    return chosen


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="python -m rmt_vn.figures",
        description="Regenerate the figures: for each, the pictures, the data behind them (CSV, or NPZ for arrays) and "
        "a manifest (claim, evidence, parameters, seed, version); index.html shows all that lie in the folder. The "
        "same seed gives the same data, however and wherever it is computed. What was computed once is kept and not "
        "computed again: an interrupted run goes on where it stopped.",
        epilog="examples:\n"
        "  python -m rmt_vn.figures                              every figure, quickly, into figures/quick/\n"
        "  python -m rmt_vn.figures scaling_collapse --seed 7    one figure, other random networks\n"
        "  python -m rmt_vn.figures --preset paper --format pdf --out ~/paper/figures\n"
        "  python -m rmt_vn.figures --preset paper --scheduler tcp://10.0.0.1:8786    on a Dask cluster",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="figures to make (default: all; see --list)")
    parser.add_argument("--list", action="store_true", help="list the figures and what each shows, and stop")
    parser.add_argument(
        "--preset",
        choices=DEFAULT_OUT,
        default="quick",
        help="quick: all in about a minute on two cores (default); paper: the committed figures, about an hour",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder to write to (default: figures/quick/, or figures/ for paper)"
    )
    parser.add_argument("--seed", type=whole_number(0), default=0, metavar="N", help="base seed (default: 0)")
    parser.add_argument(
        "--jobs", type=whole_number(1), metavar="N", help="number of processes (default: one for each core)"
    )
    kept = parser.add_mutually_exclusive_group()
    kept.add_argument(
        "--cache",
        type=Path,
        default=DEFAULT_CACHE,
        metavar="DIR",
        help=f"folder where results are kept (default: {DEFAULT_CACHE}); it may be deleted at any time; "
        "whoever may write to it shares it, so share it with people whom you trust",
    )
    kept.add_argument("--no-cache", dest="cache", action="store_const", const=None, help="keep no results")
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="work on the Dask cluster of this scheduler, tcp://host:port"
    )
    parser.add_argument(
        "--format",
        type=_formats,
        default=("png", "pdf"),
        metavar="F[,F]",
        help="some of png, pdf, svg (default: png,pdf); index.html shows png, or else svg",
    )
    return parser


def _check_writable(parser: argparse.ArgumentParser, option: str, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        _refuse_folder(parser, option, folder, error)


def _refuse_folder(parser: argparse.ArgumentParser, option: str, folder: Path, error: OSError) -> NoReturn:
    parser.error(f"{option} must be a folder that can be written, got {str(folder)!r} ({error.strerror})")


def _client(parser: argparse.ArgumentParser, address: str) -> Any:
    from rmt_vn.experiments.cluster import connected

    try:
        return connected(address)
    except ImportError:
        parser.error("--scheduler needs the extra 'cluster': python -m pip install 'rmt_vn[cluster]'")
    except ConnectionError as error:
        parser.error(f"--scheduler must be the address of a Dask scheduler, got {address!r} ({error})")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code.

    0; 1 if a figure failed, its claim is not borne out, or standard output could not be written; 2 for bad arguments;
    130 if interrupted.
    """
    return run_program(lambda: _run(arguments))


def _run(arguments: list[str] | None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        modules = {name: figures.load(name) for name in options.names or figures.NAMES}
    except ValueError as error:
        parser.error(str(error))
    if options.list:
        return 0 if say("\n".join(f"{name:20}  {module.CLAIM}" for name, module in modules.items())) else 1
    out = options.out or DEFAULT_OUT[options.preset]
    _check_writable(parser, "--out", out)
    from rmt_vn.experiments import Engine, stop_workers
    from rmt_vn.experiments.cache import usable_folder

    try:
        engine = Engine(jobs=options.jobs)
    except ValueError as error:
        parser.error(f"--{error}")
    if options.cache is not None:
        try:
            options.cache = usable_folder(options.cache)
        except OSError as error:
            _refuse_folder(parser, "--cache (or else --no-cache)", options.cache, error)
    if sys.flags.optimize:
        # Workers must run the same code.
        os.environ["PYTHONOPTIMIZE"] = str(sys.flags.optimize)
    with (
        interrupts_are_raised(),
        nullcontext() if options.scheduler is None else _client(parser, options.scheduler) as client,
    ):
        engine = replace(engine, cache=options.cache, client=client)
        try:
            return _make_all(modules, options, out, engine)
        except KeyboardInterrupt:
            kept = ["the same command goes on where this one stopped"] if options.cache else []
            raise KeyboardInterrupt(f"finished figures are in {out}", *kept) from None
        finally:
            stop_workers()


def _make_all(modules: dict[str, ModuleType], options: argparse.Namespace, out: Path, engine: Engine) -> int:
    from rmt_vn.experiments.cluster import SchedulerGone
    from rmt_vn.figures.output import make

    failed, doubtful, written = [], [], True
    for name, module in modules.items():
        started = time.perf_counter()
        try:
            (picture, *_), evidence = make(
                name, preset=options.preset, out=out, seed=options.seed, engine=engine, formats=options.format
            )
        except SchedulerGone as error:  # it makes no other figure either
            tell(f"{error}; finished figures are in {out}")
            return 1
        except Exception as error:  # the other figures are still made
            failed.append(name)
            tell(f"{name}: FAILED: {type(error).__name__}: {error}")
        else:
            told = say(f"{name}: {module.CLAIM} → {picture} ({time.perf_counter() - started:.1f} s)")
            written = told and written
            for each in evidence:
                if not each.holds:
                    doubtful.append(name)
                    value = f"{each.says} = {each.value:.3g}, expected {each.expected}"
                    tell(f"{name}: the claim is not borne out: {value}")
    if failed:
        tell(f"{len(failed)} of {len(modules)} figures failed: {', '.join(failed)}")
    return 0 if written and not failed and not doubtful else 1


if __name__ == "__main__":
    sys.exit(main())
