"""Files that are written whole or not at all: first beside their place, then moved there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

__all__ = ["move_into", "staging_folder", "write_whole"]


def staging_folder(out: Path) -> tempfile.TemporaryDirectory[str]:
    """A hidden folder inside `out`, on the same file system, that is removed at the end of a ``with`` block.

    Raises
    ------
    OSError
        If `out` cannot be written.
    """
    return tempfile.TemporaryDirectory(prefix=".rmt_vn-", dir=out)


def move_into(out: Path, files: Iterable[Path]) -> list[Path]:
    """Move files to `out`, one after the other; each replaces what was there at once, so none is seen half-written.

    Returns
    -------
    list of Path
        Where they are now.
    """
    places = []
    for file in files:
        places.append(out / file.name)
        os.replace(file, places[-1])
    return places


def write_whole(file: Path, write: Callable[[Path], object]) -> None:
    """Write one file beside its place, and move it there: what was there before stays if this fails.

    Parameters
    ----------
    file : Path
    write : callable
        Writes a file of that name, of which it is given the path.

    Raises
    ------
    OSError
        If it cannot be written; the error names `file`.
    """
    try:
        with staging_folder(file.parent) as folder:
            staged = Path(folder) / file.name
            write(staged)
            move_into(file.parent, [staged])
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(file)) from None
