"""``rmt-vn api``: the Python API on one page."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from rmt_vn.reference import reference

__all__ = ["run"]


def run(options: argparse.Namespace) -> Iterator[str]:
    """The reference."""
    yield reference()
