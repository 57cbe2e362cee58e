"""Functions on their way to other processes: where joblib's pickling needs help, and what nothing can send."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from joblib.externals.loky.backend.reduction import dumps, register

from rmt_vn.checks import one_line


def check_can_be_sent(function: Callable[..., Any]) -> None:
    """Refuse a function that cannot be sent to other processes before any of them is started.

    Raises
    ------
    TypeError
        If it, or what it uses, cannot be pickled, for example because a global variable of a notebook holds a lock.
    """
    try:
        dumps(function)
    except Exception as error:  # it may be raised by anybody's code
        raise TypeError(
            f"{getattr(function, '__qualname__', type(function).__qualname__)} cannot be sent to other processes "
            f"({one_line(error)}); let it make what it needs itself, define it in a module that they can import, or "
            "work in one process: Engine(jobs=1)"
        ) from error


def _of_cached(function: Any) -> str | tuple:
    """A function under functools.lru_cache: by its name, if others can import it, and else with an empty cache."""
    if function.__module__ != "__main__" and "<locals>" not in function.__qualname__:
        return function.__qualname__
    return _cached, (function.__wrapped__, function.cache_parameters())


def _cached(function: Callable[..., Any], parameters: dict[str, Any]) -> Any:
    return functools.lru_cache(**parameters)(function)


def _of_cached_property(found: Any) -> tuple:
    """Up to Python 3.11 it holds a lock."""
    return _cached_property, (found.func, found.attrname)


def _cached_property(function: Callable[..., Any], name: str) -> Any:
    made: Any = functools.cached_property(function)
    made.attrname = name
    return made


register(type(functools.lru_cache(len)), _of_cached)
register(functools.cached_property, _of_cached_property)
