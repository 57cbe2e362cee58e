"""The data behind a figure: tables of named columns, and the files in which they are kept."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

Table = dict[str, np.ndarray]


def table(names: Sequence[str], rows: Iterable[Sequence]) -> Table:
    """A table out of its rows; `names` are the names of its columns."""
    return {name: np.asarray(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def write_table(stem: Path, columns: Table) -> Path:
    """Write a table: as CSV, with every number to its last bit, or as NPZ if a column has more than one dimension."""
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
