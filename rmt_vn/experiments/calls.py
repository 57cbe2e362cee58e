"""What can become of a call on its way to a worker and back."""

from __future__ import annotations

import traceback
from typing import Any

from cloudpickle import dumps, loads


class Lost(Exception):
    """Calls that were in hand are lost with those who had them in hand; there are others who can be asked."""


class Raised:
    """What a function has raised, in place of its result.

    Errors of some classes can be pickled and not unpickled, of others not even pickled. On its way from one process to
    another such an error becomes a RuntimeError with the same words; the traceback goes along as a note.
    """

    def __init__(self, error: BaseException):
        self.error = error

    def __reduce__(self) -> tuple[Any, ...]:
        error = self.error
        note = "In a worker:\n" + "".join(traceback.format_exception(error)).rstrip()
        try:
            arrives = isinstance(loads(dumps(error)), BaseException)
        except Exception:
            arrives = False
        if not arrives:
            error = RuntimeError("".join(traceback.format_exception_only(self.error)).strip())
        return _arrived, (error, note)


def _arrived(error: BaseException, note: str) -> Raised:
    error.add_note(note)
    return Raised(error)
