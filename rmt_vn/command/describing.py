"""``rmt-vn api``: the Python API on one page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from rmt_vn.reference import reference

__all__ = ["run"]


def run(options: argparse.Namespace) -> Iterator[str]:
    """The reference."""
    if sys.flags.optimize > 1:
        raise ValueError("this page is made of docstrings, which python -OO leaves out: run it without -OO")
    yield reference()
