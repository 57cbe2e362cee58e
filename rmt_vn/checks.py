"""Checks of arguments that many functions share; each error names the value and the valid range."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

__all__ = ["checked_choice", "checked_count"]


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
