"""Interrupts (Ctrl-C): one line where nothing is to be cleaned up, `KeyboardInterrupt` where something is.

It imports next to nothing, so that a program begins with it.
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import NoReturn

__all__ = ["INTERRUPTED", "interrupts_are_raised", "leave_when_interrupted"]

# The exit code of a program that was interrupted, as shells have it.
INTERRUPTED = 128 + signal.SIGINT


def leave_when_interrupted() -> None:
    """From now on an interrupt ends this process with one line on standard error, whatever it is about to do.

    Raised while modules are imported, or while Python ends, `KeyboardInterrupt` is a traceback, or becomes another
    error. A process that ignores interrupts, as those do that a shell starts in the background, still does.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


@contextmanager
def interrupts_are_raised() -> Iterator[None]:
    """Within the ``with`` block an interrupt is a `KeyboardInterrupt` again, so that what was begun is cleaned up.

    After the first one there is nothing more to say: another ends the process at once.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is not _leave:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, _leave_silently)
        raise
    else:
        signal.signal(signal.SIGINT, before)


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    try:
        os.write(2, b"interrupted\n")
    finally:
        os._exit(INTERRUPTED)


def _leave_silently(number: int, frame: FrameType | None) -> NoReturn:
    os._exit(INTERRUPTED)
