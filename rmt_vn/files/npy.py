"""NPY files: one array each, mapped if it is large; and their headers, which members of NPZ files have too."""

from __future__ import annotations

import io
import math
import os
from pathlib import Path
from typing import IO, Literal

import numpy as np

from rmt_vn.checks import one_line

# Bytes up to which an NPY file is read, not mapped: if a file that is mapped becomes shorter, the process is ended.
SMALL = 2**26
# Bytes that are read at a time.
CHUNK = 2**20
_LONGEST_HEADER = 2**14


def read_npy(path: Path, max_bytes: int) -> np.ndarray:
    """The array: read if it is small, else mapped."""
    with path.open("rb") as file:
        before = os.fstat(file.fileno())
        shape, fortran, dtype = npy_header(file)
        order: Literal["F", "C"] = "F" if fortran else "C"
        offset = file.tell()
        check_size(shape, dtype, before.st_size - offset)
        if before.st_size > min(SMALL, max_bytes):
            return np.memmap(path, dtype, "r", offset, shape, order)
        numbers = np.empty(math.prod(shape), dtype)
        fill(numbers, file)
        after = os.fstat(file.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise ValueError("it was changed while it was read")
    return numbers.reshape(shape, order=order)


def fill(numbers: np.ndarray, file: IO[bytes]) -> None:
    """Read the numbers of an array of one axis."""
    buffer, filled = memoryview(numbers.view(np.uint8)), 0  # type: ignore[arg-type]
    while filled < len(buffer):
        read = file.readinto(buffer[filled : filled + CHUNK])  # type: ignore[attr-defined]
        if not read:
            raise ValueError(f"truncated: {len(buffer)} bytes are declared, there are {filled}")
        filled += read


def npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
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
        raise ValueError(f"the NPY header is damaged: {one_line(error)}") from None
    file.seek(head.tell())
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are never loaded; save an array of numbers")
    if dtype.kind == "V" and dtype.names is None:
        # numpy writes the short floating-point types that it does not have, such as bfloat16, as bytes without a type.
        raise ValueError(f"it must hold real numbers, got bytes without a type ({dtype.str}); save it as float32")
    if dtype.kind not in "fiub":
        raise ValueError(f"it must hold real numbers, got dtype {dtype}")
    if min(shape, default=1) < 0:
        raise ValueError(f"the NPY header is damaged: shape {shape}")
    return shape, fortran, dtype


def check_size(shape: tuple[int, ...], dtype: np.dtype, present: int) -> None:
    """An error if the numbers that a header declares are none, or do not take the bytes that there are."""
    declared = math.prod(shape) * dtype.itemsize  # of Python's integers, which do not overflow
    if declared == 0:
        raise ValueError(f"the array is empty, shape {shape}")
    if declared != present:
        fault = "truncated" if present < declared else "damaged"
        raise ValueError(f"{fault}: shape {shape} of {dtype} takes {declared} bytes, there are {present}")
