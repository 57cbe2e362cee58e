"""What the programs of this package share: options, errors in one line, interrupts, and an output that may be closed.

It imports nothing that takes time, so that a program answers ``--help`` at once.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from rmt_vn.interrupts import INTERRUPTED

__all__ = ["OneLineParser", "printable", "run_program", "say", "tell", "whole_number"]


class OneLineParser(argparse.ArgumentParser):
    """An argument parser whose errors are one printable line, without the usage before it; exit code 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}")

    def _print_message(self, message: str, file: Any = None) -> None:
        # argparse hides it if help cannot be written.
        if file is not sys.stdout:
            tell(message)
        elif not say(message.rstrip("\n")):
            self.exit(1)


def whole_number(least: int | None = None) -> Callable[[str], int]:
    """A type of arguments: integers of at most 18 digits, from `least` on."""
    valid = "an integer" if least is None else f"an integer ≥ {least}"

    def parse(text: str) -> int:
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdecimal() and len(digits) <= 18):
            raise argparse.ArgumentTypeError(f"must be {valid}, got {text!r}")
        if least is not None and int(text) < least:
            raise argparse.ArgumentTypeError(f"must be {valid}, got {text!r}")
        return int(text)

    return parse


def printable(text: str) -> str:
    """The text in one line, and escaped where a terminal would obey it rather than show it.

    Names of layers and of files come from elsewhere, and may hold such characters.

    Examples
    --------
    >>> print(printable("a\\x1b[2J\\nb"))
    a\\x1b[2J b
    """
    return _escaped(" ".join(text.split()))


def _escaped(text: str) -> str:
    return "".join(each if each.isprintable() or each == "\n" else repr(each)[1:-1] for each in text)


def run_program(main: Callable[[], int]) -> int:
    """Run a program, whatever has become of its output.

    Parameters
    ----------
    main : callable
        What the program does. It prints by `say` and `tell`, and returns the exit code.

    Returns
    -------
    int
        The exit code: that of `main`, or 130 if it was interrupted; what the `KeyboardInterrupt` says is told.
    """
    _open_what_is_closed()
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that knows no Greek shows question marks rather than a traceback.
            stream.reconfigure(errors="replace")
    try:
        with _warnings_of_one_line():
            return main()
    except KeyboardInterrupt as interrupt:
        # Only here the interrupted functions are gone, and any progress bar of theirs with them.
        tell("; ".join(["interrupted", *map(str, interrupt.args)]))
        return INTERRUPTED
    finally:
        _written("", sys.stderr)  # or Python would fail to write, at its end, what a warning could not


def _open_what_is_closed() -> None:
    """Whoever has closed a standard stream before the program began wants to hear nothing.

    Otherwise the first file that is opened would be taken for the stream, by this process and by those it starts.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # which takes the lowest number that is free
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


@contextmanager
def _warnings_of_one_line() -> Iterator[None]:
    before = warnings.formatwarning
    warnings.formatwarning = lambda message, *_, **__: printable(f"warning: {message}") + "\n"
    try:
        yield
    finally:
        warnings.formatwarning = before


def say(text: str) -> bool:
    """Print a text at once, escaped where a terminal would obey it. Nothing is raised where it cannot be written, so
    that the work goes on.

    Returns
    -------
    bool
        False if the text could not be written, because the disk is full, say; one line on standard error then says why.
        A reader who has gone (``… | head``) has seen enough, which is no fault.
    """
    fault = _written(f"{_escaped(text)}\n", sys.stdout)
    if fault is not None:
        tell(f"standard output cannot be written: {fault}")
    return fault is None


def tell(text: str) -> None:
    """Print one printable line on standard error, if it can be written."""
    _written(f"{printable(text)}\n", sys.stderr)


def _written(text: str, stream: Any) -> str | None:
    """None if the text was written, or nobody reads it, or else why not."""
    try:
        stream.write(text)
        stream.flush()
        return None
    except BrokenPipeError:
        fault = None
    except OSError as error:
        fault = error.strerror
    # What could not be written waits in the stream; it and all that follows go nowhere.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
    return fault
