"""Files that are written whole or not at all: first beside their place, then moved there."""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has none: there leftovers stay
    fcntl = None  # type: ignore[assignment]

__all__ = ["move_into", "staging_folder", "write_whole"]

_PREFIX = ".rmt_vn-"
_NAME = re.compile(rf"{re.escape(_PREFIX)}\w{{8}}", re.ASCII)
# A file in each staging folder, locked as long as the process lives that has made the folder.
_LOCK = "in-use"


@contextmanager
def staging_folder(out: Path) -> Iterator[Path]:
    """A hidden folder inside `out`, on the same file system, that is removed at the end of a ``with`` block.

    A process that is killed leaves its folder behind: it is removed by whoever next asks for one in `out`. It is known
    by the lock on a file in it, which the system lets go of when the process ends, and no sooner.

    Raises
    ------
    OSError
        If `out` cannot be written.
    """
    for left in out.glob(f"{_PREFIX}*"):
        _sweep(left)
    folder, lock = _new_folder(out)
    try:
        yield folder
    finally:
        try:
            _remove(folder)
        finally:
            os.close(lock)


def _new_folder(out: Path) -> tuple[Path, int]:
    """An empty folder, and the descriptor of its lock, which is held."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=out))
        try:
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        except FileNotFoundError:  # swept by another process as soon as it was made
            continue
        except BaseException:
            os.rmdir(folder)
            raise
        _locked(lock, wait=True)
        # If another process had it first, it has removed the folder by now.
        if os.fstat(lock).st_nlink:
            return folder, lock
        os.close(lock)


def _locked(file: int, *, wait: bool) -> bool:
    """Whether this process now holds the lock of an open file; some file systems have none."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except (AttributeError, OSError):
        return False


def _sweep(folder: Path) -> None:
    """Remove a staging folder of one's own, if the process that has made it has ended."""
    with suppress(OSError):
        status = folder.lstat()
        mine = not hasattr(os, "geteuid") or status.st_uid == os.geteuid()
        if not (mine and stat.S_ISDIR(status.st_mode) and _NAME.fullmatch(folder.name)):
            return
        try:
            lock = os.open(folder / _LOCK, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        except FileNotFoundError:  # killed before there was a lock, or after it was removed: then nothing else is in it
            folder.rmdir()
            return
        try:
            if _locked(lock, wait=False):
                _remove(folder)
        finally:
            os.close(lock)


def _remove(folder: Path) -> None:
    """Remove a staging folder, the lock last: if it is killed meanwhile, what is left is still known for what it is."""
    with suppress(FileNotFoundError):
        for inside in list(folder.iterdir()):
            if inside.is_dir() and not inside.is_symlink():
                shutil.rmtree(inside)
            elif inside.name != _LOCK:
                inside.unlink(missing_ok=True)
        (folder / _LOCK).unlink()
        folder.rmdir()


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
