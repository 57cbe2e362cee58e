"""Progress of what may take a while: a bar on the terminal of whoever waits."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

__all__ = ["progress"]

Item = TypeVar("Item")

# Seconds before which no bar is shown.
_PATIENCE = 2


def progress(items: Iterable[Item], label: str, total: int | None = None) -> Iterator[Item]:
    """The items one by one, with a bar on standard error if they take more than two seconds and it is a terminal.

    There is no bar in worker processes and threads, whose bars would overwrite each other's.

    Parameters
    ----------
    items : iterable
    label : str
        What is counted.
    total : int, optional
        Their number, if `items` has no length.

    Yields
    ------
    item
    """
    alone = multiprocessing.parent_process() is None and threading.current_thread() is threading.main_thread()
    with tqdm(
        items, label, total, leave=False, delay=_PATIENCE, dynamic_ncols=True, disable=None if alone else True
    ) as bar:
        yield from bar
