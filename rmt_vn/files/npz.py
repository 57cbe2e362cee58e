"""NPZ files: several layers, each a member of a ZIP archive. What is wrong with one is no fault of the others."""

from __future__ import annotations

import io
import math
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rmt_vn.checks import one_line
from rmt_vn.files.npy import CHUNK, check_size, fill, npy_header

# What zipfile unpacks without more memory than it is asked for.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def read_npz(
    path: Path, layers: Sequence[str] | None, max_bytes: int
) -> tuple[tuple[str, ...], dict[str, np.ndarray], dict[str, str]]:
    """The names of all layers or of those asked for, the arrays of those that can be read, and why others cannot be."""
    with _ReadInParts(io.FileIO(path)) as file:
        try:
            archive = zipfile.ZipFile(file)
        except MemoryError:
            raise
        except Exception as error:  # a damaged list of members has errors of many kinds
            raise ValueError(f"not a readable NPZ file: {one_line(error)}") from None
        members = archive.infolist()
        names = dict.fromkeys(map(_layer, members))
        if not members:
            raise ValueError("there are no arrays in it")
        if strangers := [name for name in layers or () if name not in names]:
            raise ValueError(f"no layer {strangers[0]!r}; it has {', '.join(names)}")
        wanted = names if layers is None else dict.fromkeys(layers)
        return tuple(wanted), *_read_members(archive, [each for each in members if _layer(each) in wanted], max_bytes)


class _ReadInParts(io.BufferedReader):
    """A file of which no more than a part is read at a time: zipfile would read a list of members of any length."""

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = CHUNK + 1 if size is None or size < 0 else min(size, CHUNK + 1)
        data = super().read(wanted)
        if len(data) > CHUNK:
            raise ValueError(f"its list of members takes more than {CHUNK} bytes")
        return data


def _layer(member: zipfile.ZipInfo) -> str:
    return member.filename.removesuffix(".npy")


def _read_members(
    archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], max_bytes: int
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    # zipfile reads no more of a member than this, whatever it unpacks to.
    declared = sum(member.file_size for member in members if member.compress_type in _METHODS)
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
        elif member.compress_type not in _METHODS:
            method = f"compression method {member.compress_type}"
            faults[layer] = f"member {member.filename!r} has {method}; numpy writes 0 (stored) and 8 (deflated) alone"
        else:
            try:
                arrays[layer] = _read_member(archive, member)
            except MemoryError:
                raise
            except Exception as error:  # damage has errors of many kinds
                faults[layer] = one_line(error)
    return arrays, faults


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(member) as file:
        shape, fortran, dtype = npy_header(file)
        check_size(shape, dtype, member.file_size - file.tell())
        numbers = np.empty(math.prod(shape), dtype)
        fill(numbers, file)
        file.read(1)  # reading to the end checks the checksum
    return numbers.reshape(shape, order="F" if fortran else "C")
