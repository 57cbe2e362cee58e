"""NPZ files: several layers, each a member of a ZIP archive. What is wrong with one is no fault of the others."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from rmt_vn.checks import one_line
from rmt_vn.files.npy import check_size, npy_header

_CHUNK = 2**24


def read_npz(
    path: Path, layers: Sequence[str] | None, max_bytes: int
) -> tuple[tuple[str, ...], dict[str, np.ndarray], dict[str, str]]:
    """The names of all layers or of those asked for, the arrays of those that can be read, and why others cannot be."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            names = [_layer(member) for member in members]
            if not members:
                raise ValueError("there are no arrays in it")
            if strangers := [name for name in layers or () if name not in names]:
                raise ValueError(f"no layer {strangers[0]!r}; it has {', '.join(dict.fromkeys(names))}")
            wanted = tuple(dict.fromkeys(names if layers is None else layers))
            return wanted, *_read_members(archive, [each for each in members if _layer(each) in wanted], max_bytes)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OverflowError) as error:
        raise ValueError(f"not a readable NPZ file: {one_line(error)}") from None


def _layer(member: zipfile.ZipInfo) -> str:
    return member.filename.removesuffix(".npy")


def _read_members(
    archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], max_bytes: int
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    # zipfile reads no more of a member than this, whatever it unpacks to.
    declared = sum(member.file_size for member in members)
    if declared > max_bytes:
        raise ValueError(
            f"its arrays take {declared} bytes, the limit is {max_bytes}; save each layer as NPY, which is mapped"
        )
    arrays, faults = {}, {}
    times = Counter(map(_layer, members))
    for member in members:
        layer = _layer(member)
        if times[layer] > 1:
            faults[layer] = f"{times[layer]} members of the file have this name"
        elif not member.filename.endswith(".npy"):
            faults[layer] = "it is not an NPY file"
        else:
            try:
                arrays[layer] = _read_member(archive, member)
            except Exception as error:  # each kind of compression fails with errors of its own kind
                faults[layer] = one_line(error)
    return arrays, faults


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(member) as file:
        shape, fortran, dtype = npy_header(file)
        check_size(shape, dtype, member.file_size - file.tell())
        numbers = np.empty(math.prod(shape), dtype)
        _fill(memoryview(numbers.view(np.uint8)), file)  # type: ignore[arg-type]
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
