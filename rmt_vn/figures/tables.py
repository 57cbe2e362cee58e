"""The data behind a figure: tables of named columns, and the files they are kept in."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

Table = dict[str, np.ndarray]


def table(names: Sequence[str], rows: Iterable[Sequence]) -> Table:
    """Named columns out of rows."""
    return {name: np.asarray(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def write_table(stem: Path, columns: Table) -> Path:
    """Columns of equal length as CSV, numbers to the last bit; arrays of more dimensions as NPZ."""
    if any(column.ndim != 1 for column in columns.values()):
        path = stem.with_suffix(".npz")
        np.savez(path, **columns)  # type: ignore[arg-type]
        return path
    path = stem.with_suffix(".csv")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))
    return path
