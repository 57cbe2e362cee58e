"""CSV files: a sample a line, a node a column; which lines are headers and which columns indices is never guessed.

A line all of whose fields are numbers is a sample, and one without any number a header, if it is the first. Names that
are numbers, and gaps, could be either: where the file does not tell, the user is asked. What is taken for a header or
an index, and what is left out as a comment, is said.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import numpy as np

from rmt_vn.files.first_line import FirstLine, doubt, first_line, floats, is_gap, is_header, is_number
from rmt_vn.files.lines import Lines, Record, records

_ASK_HEADER = "say --header yes or --header no (in Python header=True or header=False)"
_ASK_INDEX = "say --index yes or --index no (in Python index=True or index=False)"
_SECOND_HEADER = "delete it if it is a second header, else say --header yes (in Python header=True)"
_SECOND_INDEX = "delete it if it is a second index, else say --index yes (in Python index=True)"
# Numbers that are looked at together: what is computed of them takes little memory.
_BLOCK = 2**16


def read_text_table(
    path: Path, max_bytes: int, *, header: bool | None, index: bool | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The numbers of a CSV file; and what was taken for a header or an index, or left out."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            return _read(file, max_bytes, header, index)
    except UnicodeDecodeError as error:
        raise ValueError(f"not a text file: {error.reason}") from None


def _read(file: IO[str], max_bytes: int, header: bool | None, index: bool | None) -> tuple[np.ndarray, tuple[str, ...]]:
    first = first_line(Lines(file))
    if index and first.length == 1:
        raise ValueError("there is one column; if it is an index, there are no numbers")
    unnamed = index is not False and first.unnamed
    headed = is_header(first, index) if header is None else header
    indexed = bool(index or (headed and unnamed))
    if headed and indexed:
        asked = header is None and index is None and not first.other
        _check_labels(first.number, records(_data(file, headed)), asked=asked)
    lines = _data(file, headed)
    table = _numbers(lines, first, max_bytes, indexed=indexed, hinted=index is None)
    if lines.gap and first.length == 1:
        raise ValueError(f"line {lines.gap} is blank, which is a gap where there is one column")
    if header is None and _may_be_names(table[0], table[1:]):
        number = next(records(_data(file, headed))).number
        what = f"line {number} ({_shown(table[0])}) may be the names of the nodes or a sample"
        raise ValueError(f"{what}: {_SECOND_HEADER if headed else _ASK_HEADER}")
    notes = [
        *([f"line {first.number} taken as a header"] if headed else []),
        *(["column 1 taken as an index"] if indexed else []),
        *_other_index(table, index, indexed=indexed),
        *([f"{lines.comments} of the lines begin with #, and were left out"] if lines.comments else []),
    ]
    return table, tuple(notes)


def _data(file: IO[str], headed: bool) -> Lines:
    """The lines from the first sample on."""
    file.seek(0)
    lines = Lines(file)
    if headed:
        next(record for record in records(lines) if record.ends)
    return lines


# --- headers and indices ----------------------------------------------------------------------------------------------


def _check_labels(header: int, below: Iterator[Record], *, asked: bool) -> None:
    """An error if the first label is a gap, or, where that is asked, if it is not certain that all are labels."""
    base = None
    starts = (record for record in below if not record.column)
    for place, (number, _, (label, *_), _) in enumerate(starts):
        numeric = is_number(label)
        if not place:
            if is_gap(label):
                raise ValueError(f"line {number} has no index in column 1; if it is a second header, delete it")
            base = float(label) if numeric else None
        if not asked:
            return
        # Whole numbers in a row, or words, and nowhere a gap.
        if (base not in (0, 1) or float(label) != base + place) if numeric else (base is not None or is_gap(label)):
            raise ValueError(f"line {header} may be the names of the nodes, or a sample with a gap: {_ASK_HEADER}")


def _other_index(table: np.ndarray, index: bool | None, *, indexed: bool) -> list[str]:
    """An error or a note if the first column of those that are nodes may be an index of the samples."""
    values, others = table[:, 0], table[:, 1:]
    if index is False or not others.size:
        return []
    place = f"column {1 + indexed}"
    if index is None and _may_be_names(values, others):
        what = f"{place} ({_shown(values)}) may be an index of the samples or a node"
        raise ValueError(f"{what}: {_SECOND_INDEX if indexed else _ASK_INDEX}")
    if _vary(values) and not _has_fractions(values[:, None]) and _has_fractions(others):
        return [f"{place} taken as a node, though it has whole numbers alone, unlike the others"]
    return []


def _may_be_names(values: np.ndarray, others: np.ndarray) -> bool:
    """Whether the numbers of a line or column may number nodes or samples: whole, increasing, and unlike the others."""
    if len(values) < 2 or _has_fractions(values[:, None]) or not _steps(values, lambda low, high: low < high):
        return False
    in_a_row = values[0] in (0, 1) and _steps(values, lambda low, high: low + 1 == high)
    return in_a_row or _has_fractions(others)


def _vary(values: np.ndarray) -> bool:
    return not _steps(values, lambda low, high: low == high)


def _steps(values: np.ndarray, holds: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> bool:
    """Whether it holds of each number and the next one."""
    parts = (values[at : at + _BLOCK + 1] for at in range(0, len(values), _BLOCK))
    return all(bool(np.all(holds(part[:-1], part[1:]))) for part in parts)


def _has_fractions(table: np.ndarray) -> bool:
    """Whether any number is not whole, as NaN is not."""
    n_rows, n_columns = table.shape
    height = max(1, _BLOCK // max(1, n_columns))
    parts = (
        table[row : row + height, column : column + _BLOCK]
        for row in range(0, n_rows, height)
        for column in range(0, n_columns, _BLOCK)
    )
    return any(bool(np.any(part != np.floor(part))) for part in parts)


def _shown(values: np.ndarray) -> str:
    """0, 1, …, 39"""
    *others, last = (f"{value:g}" for value in (values if len(values) <= 3 else values[[0, 1, -1]]))
    return ", ".join([*others, "…", last] if len(values) > 3 else [*others, last])


# --- numbers ----------------------------------------------------------------------------------------------------------


def _numbers(lines: Lines, first: FirstLine, max_bytes: int, *, indexed: bool, hinted: bool) -> np.ndarray:
    """All numbers, in one array that grows where it is: there is no copy of it."""
    n_columns = first.length - indexed
    values = array("d")
    for part in _parts(lines, first.length, indexed=indexed, hinted=hinted):
        values.extend(part)
        if (size := values.itemsize * len(values)) > max_bytes:
            raise ValueError(
                f"up to line {lines.number} its numbers take {size} bytes, the limit is {max_bytes}; save it as NPY, "
                "which is mapped"
            )
    if not values:
        raise ValueError("there is a header, and no numbers below it")
    return np.frombuffer(values, np.float64).reshape(-1, n_columns)


def _parts(lines: Lines, length: int, *, indexed: bool, hinted: bool) -> Iterator[array[float]]:
    """The numbers of the lines in portions: of many lines at once where they are plain, else line by line."""
    careful = records(lines)
    while True:
        if (part := _at_once(lines.at_hand(), length, indexed)) is not None:
            lines.drop()
            yield part
            continue
        for record in careful:
            yield _checked(record, length, indexed=indexed, hinted=hinted)
            if lines.are_read:
                break
        else:
            return


def _at_once(lines: list[str], length: int, indexed: bool) -> array[float] | None:
    """The numbers of all lines; None if they are not plain numbers, all lines of one length."""
    if indexed:
        lines = [line.partition(",")[2] for line in lines]
    if not (lines and all(lines)):
        return None
    try:
        table = np.loadtxt(lines, delimiter=",", comments=None, ndmin=2)
    except ValueError:
        return None
    return array("d", table.tobytes()) if table.shape == (len(lines), length - indexed) else None


def _checked(record: Record, length: int, *, indexed: bool, hinted: bool) -> array[float]:
    number, column, fields, ends = record
    found = column + len(fields)
    if found > length or (ends and found < length):
        more = "" if ends else "at least "
        raise ValueError(f"line {number} has {more}{found} values, the first line has {length}")
    start = int(indexed and not column)
    values = floats(fields[start:])
    if values is None:
        place = next(place for place in range(start, len(fields)) if not is_number(fields[place]))
        raise ValueError(doubt(number, column + place, fields[place], header=False, index=hinted and length > 1))
    return values
