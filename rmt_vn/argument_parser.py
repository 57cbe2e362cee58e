"""What the command lines of this package share: errors in one line, and numbers that are checked."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NoReturn

__all__ = ["OneLineParser", "whole_number"]


class OneLineParser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, without the usage before it; exit code 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())}\n")


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
