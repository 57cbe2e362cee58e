"""CSV files: a sample a line, a node a column; which lines are headers and which columns indices is never guessed.

A line all of whose fields are numbers is a sample, and one without any number a header, if it is the first. Names that
are numbers, and gaps, could be either: where the file does not tell, the user is asked.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

# What people and programs write where a number is missing.
_GAPS = frozenset({"", "-", "?", "na", "n/a", "#n/a", "<na>", "nil", "none", "null"})
_ASK_HEADER = "say --header yes or --header no (in Python header=True or header=False)"
_ASK_INDEX = "say --index yes or --index no (in Python index=True or index=False)"

_Lines = list[tuple[int, str]]


def read_text_table(
    path: Path, max_bytes: int, *, header: bool | None, index: bool | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The numbers of a CSV file, and what was taken for a header or an index."""
    lines = _data_lines(path, max_bytes)
    first, below = _first_record(lines)
    if index and len(first) == 1:
        raise ValueError("there is one column; if it is an index, there are no numbers")
    # pandas writes no name over its index.
    unnamed = index is not False and len(first) > 1 and not first[0].strip()
    headed = _is_header(lines, index, unnamed=unnamed) if header is None else header
    indexed = bool(index or (headed and unnamed))
    rows = below if headed else lines
    if not rows:
        raise ValueError("there is a header, and no numbers below it")
    if headed and indexed and not next(_records(rows[:1]))[0].strip():
        raise ValueError(f"line {rows[0][0]} has no index in column 1; if it is a second header, delete it")
    array = _numbers(rows, len(first), indexed=indexed, hinted=index is None)
    if header is None and _may_be_names(array[0], array[1:]):
        ask = (
            "delete it if it is a second header, else say --header yes (in Python header=True)"
            if headed
            else _ASK_HEADER
        )
        raise ValueError(f"line {rows[0][0]} ({_shown(array[0])}) may be the names of the nodes or a sample: {ask}")
    if index is None and not indexed and array.shape[1] > 1 and _may_be_names(array[:, 0], array[:, 1:]):
        raise ValueError(f"column 1 ({_shown(array[:, 0])}) may be an index of the samples or a node: {_ASK_INDEX}")
    notes = ((headed, f"line {lines[0][0]} taken as a header"), (indexed, "column 1 taken as an index"))
    return array, tuple(note for taken, note in notes if taken)


# --- lines and fields -------------------------------------------------------------------------------------------------


def _data_lines(path: Path, max_bytes: int) -> _Lines:
    """Lines with their numbers, but those that are blank or comments (numpy.savetxt marks headers with #)."""
    if (size := path.stat().st_size) > max_bytes:
        raise ValueError(f"the file takes {size} bytes, the limit is {max_bytes}; save it as NPY, which is mapped")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"not a text file: {error.reason} at byte {error.start}") from None
    lines = [
        (number, line)
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not lines:
        raise ValueError("there are no numbers in it")
    return lines


def _first_record(lines: _Lines) -> tuple[list[str], _Lines]:
    """The fields of the first line, and the lines below it; a quoted name may go on in the next line."""
    reader = csv.reader((line for _, line in lines), strict=True)
    try:
        return next(reader), lines[reader.line_num :]
    except csv.Error as error:
        raise ValueError(f"not a CSV file: {error}") from None


def _records(lines: _Lines) -> Iterator[list[str]]:
    try:
        yield from csv.reader(line for _, line in lines)
    except csv.Error as error:
        raise ValueError(f"not a CSV file: {error}") from None


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return field.isascii() and "_" not in field  # as Python alone writes numbers


# --- headers and indices ----------------------------------------------------------------------------------------------


def _is_header(lines: _Lines, index: bool | None, *, unnamed: bool) -> bool:
    """Whether the first line is a header, as far as it tells itself: its numbers may yet turn out to be names."""
    first, below = _first_record(lines)
    start = int(bool(index or unnamed))
    names, number = first[start:], lines[0][0]
    numeric = [_is_number(name) for name in names]
    if not any(numeric):
        doubtful = [name.strip().lower() in _GAPS for name in names]
    elif not all(numeric):
        doubtful = [not each for each in numeric]
    elif not unnamed:
        return False
    else:
        if not _counts(np.array(names, float)):
            raise ValueError(_doubt(number, 0, first[0], header=True, index=index is None))
        if not index and not _labels([record[0] for record in _records(below)]):
            raise ValueError(f"line {number} may be the names of the nodes, or a sample with a gap: {_ASK_HEADER}")
        return True
    if any(doubtful):
        column = start + doubtful.index(True)
        raise ValueError(_doubt(number, column, first[column], header=True, index=index is None))
    return True


def _labels(fields: list[str]) -> bool:
    """Whether a column is an index beyond doubt: whole numbers in a row, or words, and nowhere a gap."""
    numeric = [_is_number(field) for field in fields]
    if any(numeric):
        return all(numeric) and _counts(np.array(fields, float))
    return all(field.strip() for field in fields)


def _counts(values: np.ndarray) -> bool:
    """Whether they are 0, 1, 2, … or 1, 2, 3, …"""
    return bool(values[0] in (0, 1) and np.array_equal(values, values[0] + np.arange(len(values))))


def _may_be_names(values: np.ndarray, others: np.ndarray) -> bool:
    """Whether the numbers of a line or column may number nodes or samples: whole, increasing, and unlike the others."""
    if len(values) < 2 or not np.all(values == np.floor(values)) or not np.all(values[1:] > values[:-1]):
        return False
    return _counts(values) or any(np.any(row != np.floor(row)) for row in others)


# --- numbers ----------------------------------------------------------------------------------------------------------


def _numbers(rows: _Lines, length: int, *, indexed: bool, hinted: bool) -> np.ndarray:
    columns = range(int(indexed), length)
    try:
        array = np.loadtxt(
            (line for _, line in rows),
            delimiter=",",
            quotechar='"',
            comments=None,
            ndmin=2,
            usecols=columns if indexed else None,
        )
        # numpy accepts lines of unequal length if columns are chosen, or if all lines below the header agree.
        fits = array.shape[1] == len(columns) and not (indexed and any(len(row) != length for row in _records(rows)))
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(_first_fault(rows, length, columns, hinted=hinted))
    return array


def _first_fault(rows: _Lines, length: int, columns: range, *, hinted: bool) -> str:
    for (number, _), fields in zip(rows, _records(rows), strict=False):
        if len(fields) != length:
            return f"line {number} has {len(fields)} values, the first line has {length}"
        for column in columns:
            if not _is_number(fields[column]):
                return _doubt(number, column, fields[column], header=False, index=hinted and length > 1)
    return "not a table of numbers"


def _doubt(line: int, column: int, field: str, *, header: bool, index: bool) -> str:
    """That a field is no number, and what to say if its line may be a header, or if its column may be an index."""
    shown = repr(field if len(field) <= 20 else field[:20] + "…")
    hints = [
        f"; if the {place} is {name}, say --{option} yes (in Python {option}=True)"
        for place, name, option, may_be in (
            ("line", "a header", "header", header),
            ("column", "an index", "index", index and column == 0),
        )
        if may_be
    ]
    return f"line {line}, column {column + 1}: {shown} is not a number{''.join(hints)}"


def _shown(values: np.ndarray) -> str:
    """0, 1, …, 39"""
    *others, last = (f"{value:g}" for value in (values if len(values) <= 3 else values[[0, 1, -1]]))
    return ", ".join([*others, "…", last] if len(values) > 3 else [*others, last])
