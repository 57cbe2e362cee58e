"""Tables for people, and JSON for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

__all__ = ["table", "to_json"]


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Columns that line up, the first to the left; a row of two cells is a name and a remark, as long as it is."""
    full = [row for row in (head, *rows) if len(row) == len(head)]
    sizes = [max(map(len, column)) for column in zip(*full, strict=True)]
    sizes[0] = max(len(row[0]) for row in (head, *rows))
    return [
        "  ".join(
            cell.rjust(size) if column else cell.ljust(size)
            for column, (cell, size) in enumerate(zip(row, sizes, strict=len(row) > 2))
        ).rstrip()
        for row in (head, *rows)
    ]


def to_json(record: dict[str, Any]) -> str:
    return json.dumps(_finite(record), indent=2, allow_nan=False)


def _finite(value: Any) -> Any:
    """The same with null for ∞ and NaN, of which JSON knows nothing."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
