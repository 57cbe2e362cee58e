"""What all results have in common: a short repr, `to_dict` for JSON, and confidence intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, NamedTuple

import numpy as np
from scipy.special import stdtrit

__all__ = ["ConfidenceInterval", "Result", "student_interval"]

# A repr shows sequences of no more entries than this; of longer ones it says how many they are.
_MOST_SHOWN = 6


class ConfidenceInterval(NamedTuple):
    """The two ends of a confidence interval, named as scipy names them: numbers, or arrays of them."""

    low: Any
    high: Any


class Result:
    """The base of what functions return: frozen dataclasses, and properties that follow from their fields."""

    # Names of properties that are shown beside the fields.
    derived: ClassVar[tuple[str, ...]] = ()

    def __repr__(self) -> str:
        shown = (f"{name}={_short(value)}" for name, value in self._shown().items())
        return f"{type(self).__name__}({', '.join(shown)})"

    def to_dict(self) -> dict[str, Any]:
        """What the result holds as numbers, strings, lists and dicts, which `json.dumps` takes.

        Arrays become lists, activations their names, and results within results dicts. NaN and infinite numbers stay
        as they are; JSON itself has none.
        """
        return {name: _plain(value) for name, value in self._shown().items()}

    def _shown(self) -> dict[str, Any]:
        names = [each.name for each in fields(self) if each.repr]  # type: ignore[arg-type]
        return {name: getattr(self, name) for name in (*self.derived, *names)}


def readable(effective: float, digits: int = 3) -> str:
    """A number of effective nodes as people read it: so many digits, or the whole number.

    Examples
    --------
    >>> readable(9.7182), readable(28.04), readable(1234.5), readable(1234.5, digits=5)
    ('9.72', '28.0', '1234', '1234.5')
    """
    return f"{effective:.0f}" if effective >= 10**digits - 0.5 else f"{effective:#.{digits}g}".rstrip(".")


def student_interval(mean: Any, stderr: Any, freedom: float, level: float) -> ConfidenceInterval:
    """Mean ± standard error times a quantile of Student's t: a confidence interval of that level.

    Raises
    ------
    ValueError
        If the level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be a number between 0 and 1, got {level!r}")
    half = float(stdtrit(freedom, (1 + level) / 2)) * stderr
    return ConfidenceInterval(mean - half, mean + half)


def _plain(value: Any) -> Any:
    if isinstance(value, Result):
        return value.to_dict()
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray) and value.size > _MOST_SHOWN:
        return f"<array of shape {value.shape}>"
    if isinstance(value, list | tuple) and len(value) > _MOST_SHOWN:
        return f"<{len(value)} entries>"
    if isinstance(value, list | tuple):
        return f"({', '.join(map(_short, value))})"
    return f"{value:.6g}" if isinstance(value, float) else repr(value)
