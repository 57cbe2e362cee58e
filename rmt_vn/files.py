"""Activations from NPY, NPZ and CSV files, which may be damaged or hostile: nothing in them is trusted.

Nothing in a file is run (pickles are refused); arrays that would fill the memory are refused before they are read;
damaged files give an error of one line.
"""

from __future__ import annotations

import csv
import io
import math
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Protocol

import numpy as np

__all__ = ["read_activations"]

SUFFIXES = (".npy", ".npz", ".csv")
LARGEST = 2**30

_CHUNK = 2**24
_LONGEST_HEADER = 2**14


def read_activations(path: str | os.PathLike, *, max_bytes: int = LARGEST) -> dict[str, np.ndarray]:
    """The arrays of a file, by the names of their layers.

    ======  ==============================================================================================
    suffix  is
    ======  ==============================================================================================
    .npy    one layer, mapped and not read: it may be larger than the memory
    .npz    several layers, each under its name (`numpy.savez`, `numpy.savez_compressed`)
    .csv    one layer, a sample a line, with or without a header; a first column whose header is empty is a table's
            index (pandas writes one) and is left out
    ======  ==============================================================================================

    Parameters
    ----------
    path : path
    max_bytes : int
        The most memory that all arrays of an NPZ file, or a CSV file, may take. A mapped NPY file takes none.

    Returns
    -------
    dict of str to ndarray
        Real numbers of any type and byte order, in C or Fortran order, as they are in the file: finite or not, of any
        shape. An NPY or CSV file has one layer, named as the file.

    Raises
    ------
    ValueError
        In one line that names the file, if it is none of these, is empty or damaged, holds Python objects (which are
        never loaded), text or complex numbers, has lines of unequal length, or is too large.
    OSError
        If it cannot be opened.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"{path}: the name of the file must end in {', '.join(SUFFIXES)}")
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{path}: not a regular file")
    if status.st_size == 0:
        raise ValueError(f"{path}: the file is empty, 0 bytes")
    try:
        if suffix == ".npz":
            return _read_npz(path, max_bytes)
        return {path.stem: _read_npy(path) if suffix == ".npy" else _read_csv(path, max_bytes)}
    except ValueError as error:
        raise ValueError(f"{path}: {_one_line(error)}") from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


# --- NPY --------------------------------------------------------------------------------------------------------------


def _read_npy(path: Path) -> np.ndarray:
    with path.open("rb") as file:
        shape, fortran, dtype = _npy_header(file)
        offset, size = file.tell(), os.fstat(file.fileno()).st_size
    _check_size(shape, dtype, size - offset)
    return np.memmap(path, dtype, "r", offset, shape, "F" if fortran else "C")


def _npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether in Fortran order, and type; the file then stands at the first number."""
    head = io.BytesIO(file.read(_LONGEST_HEADER))  # so that no header fills the memory, whatever length it declares
    if not head.getvalue().startswith(np.lib.format.MAGIC_PREFIX):
        raise ValueError(f"not an NPY file: it begins with {head.read(6)!r}")
    try:
        version = np.lib.format.read_magic(head)
        readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in readers:
            raise ValueError(f"version {version} is not known")
        shape, fortran, dtype = readers[version](head)
    except Exception as error:  # numpy also tries headers of Python 2, and may fail with undocumented errors
        raise ValueError(f"the NPY header is damaged: {_one_line(error)}") from None
    file.seek(head.tell())
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are never loaded; save an array of numbers")
    if dtype.kind not in "fiub":
        raise ValueError(f"it must hold real numbers, got dtype {dtype}")
    if min(shape, default=1) < 0:
        raise ValueError(f"the NPY header is damaged: shape {shape}")
    return shape, fortran, dtype


def _check_size(shape: tuple[int, ...], dtype: np.dtype, present: int) -> None:
    declared = math.prod(shape) * dtype.itemsize  # of Python's integers, which do not overflow
    if declared == 0:
        raise ValueError(f"the array is empty, shape {shape}")
    if declared != present:
        fault = "truncated" if present < declared else "damaged"
        raise ValueError(f"{fault}: shape {shape} of {dtype} takes {declared} bytes, there are {present}")


# --- NPZ --------------------------------------------------------------------------------------------------------------


def _read_npz(path: Path, max_bytes: int) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _check_members(members, max_bytes)
            return {member.filename.removesuffix(".npy"): _read_member(archive, member) for member in members}
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, OverflowError) as error:
        # zipfile raises RuntimeError for files with a password.
        raise ValueError(f"not a readable NPZ file: {_one_line(error) or type(error).__name__}") from None


def _check_members(members: list[zipfile.ZipInfo], max_bytes: int) -> None:
    if not members:
        raise ValueError("there are no arrays in it")
    names = [member.filename for member in members]
    if strangers := [name for name in names if not name.endswith(".npy")]:
        raise ValueError(f"all members must be NPY files, got {strangers[0]!r}")
    if len(set(names)) < len(names):
        raise ValueError("two of its arrays have the same name")
    # zipfile reads no more of a member than this, whatever it unpacks to.
    declared = sum(member.file_size for member in members)
    if declared > max_bytes:
        raise ValueError(
            f"its arrays take {declared} bytes, the limit is {max_bytes}; save each layer as NPY, which is mapped"
        )


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    layer = member.filename.removesuffix(".npy")
    try:
        with archive.open(member) as file:
            shape, fortran, dtype = _npy_header(file)
            _check_size(shape, dtype, member.file_size - file.tell())
            numbers = np.empty(math.prod(shape), dtype)
            _fill(memoryview(numbers.view(np.uint8)), file)  # type: ignore[arg-type]
    except ValueError as error:
        raise ValueError(f"layer {layer!r}: {error}") from None
    return numbers.reshape(shape, order="F" if fortran else "C")


class _Reader(Protocol):
    """What is read from: an open file, or a member of an archive."""

    def read(self, size: int = -1, /) -> bytes: ...
    def readinto(self, buffer: memoryview, /) -> int | None: ...


def _fill(buffer: memoryview, file: _Reader) -> None:
    filled = 0
    while filled < len(buffer):
        read = file.readinto(buffer[filled : filled + _CHUNK])
        if not read:
            raise ValueError(f"truncated: {len(buffer)} bytes are declared, there are {filled}")
        filled += read
    file.read(1)  # reading to the end checks the checksum


# --- CSV --------------------------------------------------------------------------------------------------------------


def _read_csv(path: Path, max_bytes: int) -> np.ndarray:
    if (size := path.stat().st_size) > max_bytes:
        raise ValueError(f"the file takes {size} bytes, the limit is {max_bytes}; save it as NPY, which is mapped")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"not a text file: {error.reason} at byte {error.start}") from None
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if _is_data(line)]
    if not lines:
        raise ValueError("there are no numbers in it")
    first = next(_fields(lines[:1]))
    header = not all(map(_is_number, first))
    index = header and len(first) > 1 and not first[0].strip()
    rows = lines[1:] if header else lines
    if not rows:
        raise ValueError("there is a header, and no numbers below it")
    columns = range(int(index), len(first))
    try:
        array = np.loadtxt(
            (line for _, line in rows),
            delimiter=",",
            quotechar='"',
            comments=None,
            ndmin=2,
            usecols=columns if index else None,
        )
        # numpy accepts lines of unequal length if columns are chosen, or if all lines below the header agree.
        fits = array.shape[1] == len(columns) and not (index and any(len(row) != len(first) for row in _fields(rows)))
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(_first_fault(rows, len(first), columns))
    return array


def _is_data(line: str) -> bool:
    """Not blank, and no comment (numpy.savetxt marks headers with #)."""
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _fields(lines: list[tuple[int, str]]) -> Iterator[list[str]]:
    try:
        yield from csv.reader(line for _, line in lines)
    except csv.Error as error:
        raise ValueError(f"not a CSV file: {error}") from None


def _first_fault(rows: list[tuple[int, str]], length: int, columns: range) -> str:
    for (number, _), fields in zip(rows, _fields(rows), strict=False):
        if len(fields) != length:
            return f"line {number} has {len(fields)} values, the first line has {length}"
        for column in columns:
            if not _is_number(fields[column]):
                return f"line {number}, column {column + 1}: {_shortened(fields[column])} is not a number"
    return "not a table of numbers"


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _shortened(field: str) -> str:
    return repr(field if len(field) <= 20 else field[:20] + "…")
