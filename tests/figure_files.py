"""The data files of figures, as anyone would read them: without this package."""

from pathlib import Path

import numpy as np


def read_table(path: Path):
    """Columns by name: a structured array of a CSV file, or the arrays of an NPZ file."""
    if path.suffix == ".csv":
        return np.genfromtxt(path, delimiter=",", names=True, dtype=None, encoding="utf-8")
    with np.load(path) as arrays:
        return dict(arrays)
