"""Results kept in a folder, one file each: whole or not at all, and numbers only.

joblib.Memory would not do: it unpickles whatever it finds, forgets all results when one line of a function changes, and
says nothing when the disk is full.

A folder may be shared: whoever may write to it may read what others have kept there, and takes their numbers for true.
Its key says of what a result is, and nothing proves that it is; so share a folder with people whom you trust.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
from platformdirs import user_cache_path

from rmt_vn.whole_files import move_into, staging_folder

__all__ = ["OWN_FOLDER", "Numbers", "is_kept", "keep", "recall", "usable_folder"]

Numbers = dict[str, np.ndarray]

OWN_FOLDER = user_cache_path("rmt_vn", appauthor=False)


def usable_folder(folder: Path) -> Path:
    """This folder if it can be written, or else, with a warning, one's own in place of that of somebody else.

    A folder that everybody can write to is used with a warning: whoever has an account can put false numbers there.

    Raises
    ------
    OSError
        If it is no folder, or cannot be written though it is one's own, or is nobody's.
    """
    folder = folder.expanduser()
    if _exists(folder) and not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "it is no folder", str(folder))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
        mode = folder.stat().st_mode
    except PermissionError:
        place = next(each for each in (folder, *folder.absolute().parents) if _exists(each))
        if _is_mine(place) or folder == OWN_FOLDER:
            raise
        warnings.warn(
            f"{place} belongs to {_owner(place)}, and its mode {stat.S_IMODE(place.stat().st_mode):o} lets you write "
            f"nothing there: results are kept in {OWN_FOLDER}",
            stacklevel=1,  # of the same text once
        )
        return usable_folder(OWN_FOLDER)
    if os.name == "posix" and mode & stat.S_IWOTH:
        warnings.warn(
            f"{folder}, which belongs to {_owner(folder)}, can be written by everybody on this machine (mode "
            f"{stat.S_IMODE(mode):o}): the numbers that are kept there are as true as all of them are honest",
            stacklevel=1,
        )
    return folder


def keep(folder: Path, key: str, result: Numbers) -> None:
    """Write a result; another process sees it whole or not at all.

    Raises
    ------
    TypeError
        If the result is not a dict of arrays of numbers or strings.
    OSError
        If it cannot be written; nothing is left behind.
    """
    if not isinstance(result, dict) or any(np.asarray(value).dtype.hasobject for value in result.values()):
        raise TypeError(f"a result must be a dict of arrays of numbers or strings, got {result!r:.200}")
    path = _path(folder, key)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not path.parent.exists():
            path.parent.mkdir(exist_ok=True)
            _share(path.parent, folder)
        with staging_folder(folder) as staging:
            staged = staging / path.name
            # Key and names are kept with the numbers, so that a file under a wrong name, or of few fields, is noticed.
            fields = {f"result.{name}": value for name, value in result.items()}
            np.savez(staged, **fields, key=np.array(key), names=np.array(list(result), str))  # type: ignore[arg-type]
            _share(staged, folder)
            if path.is_dir() and not path.is_symlink():  # no result, as `recall` has said
                path.rename(staging / "folder")
            move_into(path.parent, [staged])
    except OSError as error:
        fault = f"{error.strerror}; results cannot be kept in this folder"
        theirs = next((each for each in (path, path.parent) if _exists(each) and not _is_mine(each)), None)
        if theirs is not None:
            fault += f", where {theirs.relative_to(folder)} belongs to {_owner(theirs)}"
        raise OSError(error.errno, fault, str(folder)) from error


def recall(folder: Path, key: str) -> Numbers | None:
    """The result that was kept under this key; None if there is none, or, with a warning, if its file is damaged."""
    path = _path(folder, key)
    try:
        with open(_regular(path), "rb") as stream, np.load(stream, allow_pickle=False) as file:
            entry = {name: file[name] for name in file.files}
        if entry.pop("key").item() != key:
            raise ValueError("it holds another result")
        return {str(name): entry[f"result.{name}"] for name in entry.pop("names")}
    except FileNotFoundError:
        return None
    except Exception as error:  # whatever is wrong with it, it is not a result
        fault = f"{path} is damaged and is computed again ({type(error).__name__}: {error})"
    warnings.warn(fault, stacklevel=2)
    return None


def is_kept(folder: Path, key: str) -> bool:
    """Whether there is a file for this key, sound or not; a file that may not be read is none, with a warning."""
    path = _path(folder, key)
    if os.access(path, os.R_OK):
        return True
    if _exists(path):
        # The same words for all of somebody's results, so that a user sees one line.
        told = f"results that {_owner(path)} has kept in {folder} may not be read by you, and are computed again"
        warnings.warn(told, stacklevel=1)
    return False


def _path(folder: Path, key: str) -> Path:
    # Files are spread over folders: with many thousands in one, some file systems are slow.
    return folder / key[:2] / f"{key}.npz"


def _regular(path: Path) -> int:
    """The descriptor of a regular file that is read; opening a pipe would wait for who writes to it."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError("it is no regular file")
    return descriptor


def _share(path: Path, folder: Path) -> None:
    """Let those read it, and write to it if it is a folder, who may write to `folder`; the umask is for all others."""
    if os.name != "posix":
        return
    shared, own = folder.stat(), path.stat()
    if not shared.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return
    with suppress(PermissionError):  # of a group that is not one's own
        if own.st_gid != shared.st_gid:
            os.chown(path, -1, shared.st_gid)
    mode = own.st_mode
    for write, all_three in ((stat.S_IWGRP, stat.S_IRWXG), (stat.S_IWOTH, stat.S_IRWXO)):
        if shared.st_mode & write:
            mode |= all_three if path.is_dir() else all_three & 0o044
    if path.is_dir():
        mode |= shared.st_mode & (stat.S_ISGID | stat.S_ISVTX)
    path.chmod(stat.S_IMODE(mode))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:  # in a folder that may not be entered
        return False


def _is_mine(path: Path) -> bool:
    return not hasattr(os, "geteuid") or path.stat().st_uid == os.geteuid()


def _owner(path: Path) -> str:
    """The name of a file's owner, or the number where it has no name."""
    try:
        return path.owner()
    except KeyError:
        return f"user {path.stat().st_uid}"
    except (OSError, NotImplementedError):
        return "somebody"
