"""A file of activations by its suffix: what all kinds of files share, and what is told of each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rmt_vn.checks import one_line, regular_file
from rmt_vn.files.npy import read_npy
from rmt_vn.files.npz import read_npz
from rmt_vn.files.text_table import read_text_table

SUFFIXES = (".npy", ".npz", ".csv")
LARGEST = 2**30


@dataclass(frozen=True, eq=False)
class FileContents:
    """What a file of activations holds.

    Attributes
    ----------
    names : tuple of str
        All layers, in the order of the file, or in that in which they were asked for.
    arrays : dict of str to ndarray
        The layers that could be read, by their names: real numbers of any type and byte order, in C or Fortran order,
        as they are in the file: finite or not, of any shape.
    faults : dict of str to str
        Why each of the others could not be read, in one line.
    notes : tuple of str
        What was taken to be what, or was left out: "line 1 taken as a header".
    """

    names: tuple[str, ...]
    arrays: dict[str, np.ndarray]
    faults: dict[str, str]
    notes: tuple[str, ...] = ()


def read_activations(
    path: str | os.PathLike,
    *,
    layers: Sequence[str] | None = None,
    header: bool | None = None,
    index: bool | None = None,
    max_bytes: int = LARGEST,
) -> FileContents:
    """The arrays of a file, by the names of their layers, and what is wrong with those that cannot be read.

    ======  ==============================================================================================
    suffix  is
    ======  ==============================================================================================
    .npy    one layer; if it takes more than 64 MiB it is mapped and not read: it may be larger than the memory
    .npz    several layers, each under its name (`numpy.savez`, `numpy.savez_compressed`)
    .csv    one layer, a sample a line and a node a column, with or without a header and an index; lines that begin
            with # are left out, and blank ones, which are gaps between numbers of a single column
    ======  ==============================================================================================

    Parameters
    ----------
    path : path
    layers : sequence of str, optional
        Read only these layers: of an NPZ file nothing else is then looked at. All of them by default.
    header : bool, optional
        Of CSV files: whether the first line has the names of the nodes. By default it has if none of its fields is a
        number and none is a gap, such as an empty field or NA. If it has increasing whole numbers, which may be either,
        you are asked.
    index : bool, optional
        Of CSV files: whether the first column numbers or names the samples, and is left out. By default it does if its
        name in the header is empty, as pandas writes it. If it has increasing whole numbers, you are asked.
    max_bytes : int
        The most memory that all arrays read from an NPZ or CSV file may take; while they are read there is no more than
        some 100 MB beside them, whatever is in the file. A mapped NPY file takes none; it is mapped from max_bytes on
        if that is less than 64 MiB.

    Returns
    -------
    FileContents
        An NPY or CSV file has one layer, named as the file.

    Raises
    ------
    ValueError
        In one line that names the file, if it is none of these, is a folder, device or pipe, is empty or damaged, or is
        too large, if a layer is asked for that is not there, or where it cannot be known whether a line is a header or
        a column an index. Of an NPY or CSV file also if it holds Python objects (which are never loaded), text or
        complex numbers, has gaps, or lines of unequal length; of an NPZ file these are faults of the layer alone, as is
        a compression that numpy does not write.
    OSError
        If it cannot be opened.

    Notes
    -----
    While an array that is mapped is in use, no other program must shorten its file, as by writing it anew: the
    operating system would end the process that reads it (SIGBUS), without a message. Copy such a file first.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"{path}: the name of the file must end in {', '.join(SUFFIXES)}")
    if regular_file(path).st_size == 0:
        raise ValueError(f"{path}: the file is empty, 0 bytes")
    try:
        if suffix != ".csv" and (header, index) != (None, None):
            raise ValueError("only CSV files have a header and an index")
        if suffix == ".npz":
            return FileContents(*read_npz(path, layers, max_bytes))
        if layers is not None and set(layers) != {path.stem}:
            raise ValueError(f"no layer {next(name for name in layers if name != path.stem)!r}; it has {path.stem}")
        if suffix == ".npy":
            return FileContents((path.stem,), {path.stem: read_npy(path, max_bytes)}, {})
        array, notes = read_text_table(path, max_bytes, header=header, index=index)
        return FileContents((path.stem,), {path.stem: array}, {}, notes)
    except ValueError as error:
        raise ValueError(f"{path}: {one_line(error)}") from None
