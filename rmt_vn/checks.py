"""Checks of arguments that many functions share; each error names the value and the valid range, in one line."""

from __future__ import annotations

import operator
import os
import stat
from collections.abc import Iterable
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["checked_choice", "checked_count", "checked_kind", "checked_numbers", "one_line", "regular_file"]

_LONGEST_MESSAGE = 300


def checked_count(name: str, value: Any, least: int = 1, most: int | None = None) -> int:
    """The value as an int.

    Parameters
    ----------
    name : str
        The name of the argument in the message.
    value : object
    least, most : int
        The valid range, both ends included; without `most` there is no upper end.

    Raises
    ------
    TypeError
        If the value is no integer (a bool is none).
    ValueError
        If it is out of range.

    Examples
    --------
    >>> checked_count("depth", 3)
    3
    """
    valid = f"{name} must be an integer " + (f"≥ {least}" if most is None else f"from {least} to {most}")
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{valid}, got {value!r}")
    count = operator.index(value)
    if count < least or (most is not None and count > most):
        raise ValueError(f"{valid}, got {value!r}")
    return count


def checked_choice(name: str, value: Any, known: Iterable[str]) -> str:
    """The value, if it is one of the known words.

    Raises
    ------
    ValueError
        If it is not; the message lists them.

    Examples
    --------
    >>> checked_choice("weights", "gaussian", ("gaussian", "orthogonal"))
    'gaussian'
    """
    words = tuple(known)
    if not isinstance(value, str) or value not in words:
        raise ValueError(f"{name} must be one of {', '.join(words)}, got {value!r}")
    return value


def checked_kind(name: str, value: Any, *kinds: type) -> None:
    """Nothing, if the value is of one of these types.

    Raises
    ------
    TypeError
        If it is not; the message names them.

    Examples
    --------
    >>> checked_kind("depth", 3, int, float)
    """
    if not isinstance(value, kinds):
        valid = " or a ".join(kind.__name__ for kind in kinds)
        raise TypeError(f"{name} must be a {valid}, got {type(value).__name__}")


def checked_numbers(name: str, values: ArrayLike) -> np.ndarray:
    """The values as an array of float64; what numpy would convert without a word, though it is no number, is refused.

    Parameters
    ----------
    name : str
        What the message calls them.
    values : array_like
        Real numbers of any kind. They may be infinite or NaN: what is valid beyond that is for the caller to say.

    Raises
    ------
    TypeError
        If they are complex, text, truth values or a masked array, or if rows are of different lengths.

    Examples
    --------
    >>> checked_numbers("t", [1, 2])
    array([1., 2.])
    """
    if isinstance(values, np.ma.MaskedArray):
        raise TypeError(f"{name} must be real numbers, got a masked array; give those that are not masked")
    try:
        array = np.asarray(values)
    except ValueError:
        raise TypeError(f"{name} must be a number or an array of them, got rows of different lengths") from None
    if array.dtype == object:
        wrong = (each for each in array.flat if isinstance(each, bool) or not isinstance(each, (Real, Decimal)))
        for each in wrong:
            raise TypeError(f"{name} must be real numbers, got {each!r}")
    elif array.dtype.kind not in "fiu":
        raise TypeError(f"{name} must be real numbers, got dtype {array.dtype}")
    with np.errstate(over="ignore"):  # of longer floats and integers, what is beyond float64 is infinite
        try:
            return array.astype(float)
        except OverflowError:
            raise TypeError(f"{name} must be numbers within the range of float64") from None


def one_line(error: Exception) -> str:
    """What an error of another library says, in one line that is not too long: it may hold what a file holds."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _LONGEST_MESSAGE else text[:_LONGEST_MESSAGE] + "…"


def regular_file(path: str | os.PathLike[str]) -> os.stat_result:
    """The status of a file; what may never end, or never begin, when it is read is refused.

    Raises
    ------
    ValueError
        If it is a folder, a device, a pipe or a socket.
    OSError
        If there is none.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{os.fspath(path)}: not a regular file")
    return status
