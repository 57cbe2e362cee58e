"""What the programs of this package share: options, errors in one line, interrupts, and an output that may be closed.

It imports nothing that takes time, so that a program answers ``--help`` at once.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

__all__ = ["OneLineParser", "printable", "run_program", "say", "whole_number"]


class OneLineParser(argparse.ArgumentParser):
    """An argument parser whose errors are one printable line, without the usage before it; exit code 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {printable(message)}\n")

    def _print_message(self, message: str, file: Any = None) -> None:
        # argparse hides it if help cannot be written.
        if file is not sys.stdout:
            super()._print_message(message, file)
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
    line = " ".join(text.split())
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in line)


def run_program(main: Callable[[], int]) -> int:
    """Run a program, whatever has become of its output.

    Parameters
    ----------
    main : callable
        What the program does. It prints by `say`, and returns the exit code.

    Returns
    -------
    int
        The exit code: that of `main`, or 130 if it was interrupted.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # whoever started the program has closed it, and wants to hear nothing
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            # A terminal that knows no Greek shows question marks rather than a traceback.
            stream.reconfigure(errors="replace")
    try:
        return main()
    except KeyboardInterrupt:
        pass
    # Only here the interrupted functions are gone, and any progress bar of theirs with them.
    print("interrupted", file=sys.stderr)
    return 130


def say(text: str) -> bool:
    """Print a text at once. Nothing is raised where it cannot be written, so that the work goes on.

    Returns
    -------
    bool
        False if the text could not be written, because the disk is full, say; one line on standard error then says why.
        A reader who has gone (``… | head``) has seen enough, which is no fault.
    """
    try:
        print(text, flush=True)
        return True
    except BrokenPipeError:
        fault = None
    except OSError as error:
        fault = error.strerror
    # What could not be written waits in the stream; it and all that follows go nowhere.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    if fault is not None:
        print(f"standard output cannot be written: {fault}", file=sys.stderr)
    return fault is None
