"""What users give for an array of numbers, as one that loses nothing; or an error of one line that says what to do."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from rmt_vn.checks import one_line
from rmt_vn.measures.paging import blocks

# Beyond it float64 holds not all integers.
_LAST_INTEGER = 2**53


def real_array(name: str, values: Any) -> np.ndarray:
    """An array of real numbers: of an array, nested lists, a masked array, a tensor of any device, or a data frame.

    Raises
    ------
    TypeError
        If it cannot be had, or holds anything but real numbers.
    ValueError
        If values are masked.
    """
    _check_unmasked(name, values)
    try:
        array = _of_tensor(values) if hasattr(values, "detach") and hasattr(values, "cpu") else np.asarray(values)
    except MemoryError:
        raise
    except Exception as error:  # each library that has arrays of its own refuses with errors of its own
        raise TypeError(f"{name} must be an array of real numbers: {one_line(error)}") from None
    if hasattr(values, "columns") and hasattr(values, "dtypes"):
        array = _of_frame(name, values, array)
    # Types that other packages add to numpy, such as bfloat16; each of those with few digits fits into float32.
    elif array.dtype.kind == "V" and array.dtype.type is not np.void and np.can_cast(array.dtype, np.float32):
        array = array.astype(np.float32)
    if array.dtype.kind == "O" and array.size:
        first = type(array.flat[0]).__name__
        raise TypeError(
            f"{name} must be an array of real numbers, got dtype object, the first is of type {first}; "
            "make it one by numpy.asarray(..., dtype=float)"
        )
    if array.dtype.kind not in "fiub":
        hint = "; make it float32 where it is made" if array.dtype.kind == "V" and array.dtype.names is None else ""
        raise TypeError(f"{name} must be an array of real numbers, got dtype {array.dtype}{hint}")
    return array


def check_exact(name: str, array: np.ndarray) -> None:
    """An error that counts the numbers of an array that float64 cannot hold exactly."""
    kind, size = array.dtype.kind, array.dtype.itemsize
    if (size <= 8 if kind == "f" else size < 8) or not array.size:
        return
    n_bad = sum(_count_inexact(values) for _, values in blocks(array if array.ndim == 2 else array.reshape(1, -1)))
    if n_bad:
        bound = "" if kind == "f" else ", integers at most 2**53"
        raise ValueError(
            f"{name} must be numbers that float64 holds exactly{bound}, got {n_bad} others of {array.size} "
            f"(dtype {array.dtype}); subtract what all share, or round them by astype(float)"
        )


def _count_inexact(values: np.ndarray) -> int:
    if values.dtype.kind == "f":
        with np.errstate(over="ignore", under="ignore"):
            return int(np.count_nonzero((values != values.astype(np.float64)) & ~np.isnan(values)))
    low = -_LAST_INTEGER if values.dtype.kind == "i" else 0
    return int(np.count_nonzero((values > _LAST_INTEGER) | (values < low)))


def _check_unmasked(name: str, values: Any) -> None:
    parts = values if isinstance(values, list | tuple) else [values]
    masked = [part for part in parts if isinstance(part, np.ma.MaskedArray)]
    if n_masked := sum(int(np.ma.count_masked(part)) for part in masked):
        size = sum(part.size for part in masked)
        raise ValueError(
            f"{name} must have no masked values, got {n_masked} of {size}; leave out the samples or nodes with them"
        )


def _of_tensor(tensor: Any) -> np.ndarray:
    tensor = tensor.detach().cpu()
    try:
        return np.asarray(tensor)
    except TypeError:  # numpy has no bfloat16
        return np.asarray(tensor.float())


def _of_frame(name: str, frame: Any, array: np.ndarray) -> np.ndarray:
    """The numbers of a data frame; an error names the column that is to blame."""
    columns = list(zip(frame.columns, frame.dtypes, array.T, strict=True))
    for column, dtype, values in columns:
        if getattr(dtype, "kind", "f") not in "fiub" and values.dtype.kind not in "fiub":
            raise TypeError(f"{name} must be an array of real numbers, got dtype {dtype} in column {column!r}")
        try:
            numbers = values.astype(np.float64)
        except (TypeError, ValueError):
            fault = f"column {column!r} has values that are no numbers, or missing"
            raise TypeError(f"{name} must be an array of real numbers, {fault}") from None
        # A column of floats beside it has rounded the integers already.
        if re.match("u?int64", str(dtype).lower()) and np.any(np.abs(numbers) >= _LAST_INTEGER):
            raise ValueError(
                f"{name} must be numbers that float64 holds exactly, column {column!r} has integers from 2**53 on"
            )
    return array.astype(np.float64) if array.dtype.kind == "O" else array
