"""Large arrays read in pieces, so that a mapped file need not fit into the memory."""

from __future__ import annotations

import mmap
from collections.abc import Iterator

import numpy as np

# Numbers in one piece: small enough that the copies of a piece stay far below the array, large enough for BLAS.
PIECE = 2**21
# Numbers in one block, which stays in the processor's cache while several operations work on it.
BLOCK = 2**18
# Bytes of a mapped file that may be in memory at a time, and bytes that are read along with one: a huge page.
_MAPPED, _AROUND = 2**25, 2**21


def pieces(start: int, stop: int, width: int, size: int = PIECE) -> Iterator[slice]:
    """Slices from start to stop, each of about `size` numbers if a row holds `width` of them."""
    step = max(1, size // width)
    return (slice(at, min(at + step, stop)) for at in range(start, stop, step))


def blocks(
    array: np.ndarray, rows: slice | np.ndarray = slice(None), columns: slice | np.ndarray = slice(None)
) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """Some rows and columns of an array in blocks that fit into the cache, each with its place among them.

    They are cut along the axis whose neighbours are further apart in memory. If the array is a mapped file, little of
    it is in memory at a time: pages are released once they were read, which else would pile up until memory is full.
    """
    index, outer = [rows, columns], _outer(array)
    inner = 1 - outer
    lengths = [length_of(each, size) for each, size in zip(index, array.shape, strict=True)]
    step = max(1, BLOCK // max(1, lengths[inner]))
    if file := _mapped(array):
        # Reading a row or column takes the bytes of it and around it, or fewer where the next one is nearer.
        width, height = (abs(array.strides[axis]) * _extent(index[axis], array.shape[axis]) for axis in (inner, outer))
        step = min(step, max(1, int(_MAPPED / min(width + _AROUND, max(1, height / max(1, lengths[outer]))))))
    at = [slice(0, length) for length in lengths]
    chosen = index[outer]
    for start in range(0, lengths[outer], step):
        at[outer] = slice(start, min(start + step, lengths[outer]))
        index[outer] = _part(chosen, at[outer], array.shape[outer])
        yield (at[0], at[1]), _chosen(array, *index)
        if file:
            file.madvise(mmap.MADV_DONTNEED)


def doubles(
    array: np.ndarray, rows: slice | np.ndarray = slice(None), columns: slice | np.ndarray = slice(None)
) -> np.ndarray:
    """A copy of some rows and columns, float64, in C order."""
    x = np.empty((length_of(rows, len(array)), length_of(columns, array.shape[1])))
    for at, values in blocks(array, rows, columns):
        x[at] = values
    return x


def length_of(index: slice | np.ndarray, size: int) -> int:
    return len(range(size)[index]) if isinstance(index, slice) else len(index)


def _chosen(array: np.ndarray, rows: slice | np.ndarray, columns: slice | np.ndarray) -> np.ndarray:
    if isinstance(columns, slice):
        return array[rows, columns]
    if isinstance(rows, slice):
        whole = array[rows]
        # `take` is several times as fast, but copies what is not in C order.
        return whole.take(columns, axis=1) if whole.flags.c_contiguous else array[rows, columns]
    # Rows and columns are chosen at once: rows chosen first would be copied in their whole width.
    return array[np.ix_(rows, columns)]


def _extent(index: slice | np.ndarray, size: int) -> int:
    """How many there are from the first that is chosen to the last."""
    chosen = range(size)[index] if isinstance(index, slice) else index
    return int(chosen[-1] - chosen[0]) + 1 if len(chosen) else 0


def _part(index: slice | np.ndarray, at: slice, size: int) -> slice | np.ndarray:
    if not isinstance(index, slice):
        return index[at]
    chosen = range(size)[index][at]
    return slice(chosen.start, chosen.stop, chosen.step)


def _outer(array: np.ndarray) -> int:
    """The axis whose neighbours are further apart in memory."""
    return int(abs(array.strides[1]) > abs(array.strides[0]))


def _mapped(array: np.ndarray) -> mmap.mmap | None:
    """The memory map that holds the array, if its pages can be released: a private map would lose changes."""
    shared, base = False, array
    while isinstance(base, np.ndarray):
        shared = shared or (isinstance(base, np.memmap) and base.mode != "c")
        base = base.base  # type: ignore[assignment]
    return base if shared and isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED") else None
