"""Results kept in a folder, one file each: whole or not at all, and numbers only.

joblib.Memory would not do: it unpickles whatever it finds, forgets all results when one line of a function changes, and
says nothing when the disk is full.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from rmt_vn.whole_files import move_into, staging_folder

Numbers = dict[str, np.ndarray]


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
        path.parent.mkdir(parents=True, exist_ok=True)
        with staging_folder(path.parent) as staging:
            staged = Path(staging) / path.name
            # The key is kept with the numbers, so that a file under a wrong name is noticed.
            np.savez(staged, **{f"result.{name}": value for name, value in result.items()}, key=np.array(key))  # type: ignore[arg-type]
            move_into(path.parent, [staged])
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}; results cannot be kept in this folder", str(folder)) from error


def recall(folder: Path, key: str) -> Numbers | None:
    """The result that was kept under this key; None if there is none, or, with a warning, if its file is damaged."""
    path = _path(folder, key)
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            entry = {name: file[name] for name in file.files}
        if entry.pop("key").item() != key:
            raise ValueError("it holds another result")
    except FileNotFoundError:
        return None
    except Exception as error:  # whatever is wrong with it, it is not a result
        warnings.warn(f"{path} is damaged and is computed again ({type(error).__name__}: {error})", stacklevel=2)
        return None
    return {name.removeprefix("result."): value for name, value in entry.items()}


def is_kept(folder: Path, key: str) -> bool:
    """Whether there is a file for this key, sound or not."""
    return _path(folder, key).exists()


def _path(folder: Path, key: str) -> Path:
    # Files are spread over folders: with many thousands in one, some file systems are slow.
    return folder / key[:2] / f"{key}.npz"
