"""The first line of a CSV file: whether it is a header, as far as it tells itself, and else a question to the user."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from itertools import count
from operator import eq

from rmt_vn.files.lines import Lines, records

# What people and programs write where a number is missing.
_GAPS = frozenset({"", "-", "?", "na", "n/a", "#n/a", "<na>", "nil", "none", "null"})


@dataclass(frozen=True)
class FirstLine:
    """What is to be known of the first line, which may be too long to be kept.

    Attributes
    ----------
    number : int
        Of the line, from 1 on.
    length : int
        How many fields it has.
    field : str
        The first one.
    numbers : int
        How many of the others are numbers.
    in_a_row : bool
        Whether all others are 0, 1, 2, … or 1, 2, 3, …
    other, gap : tuple of (int, str) or None
        The first one of the others that is no number, and the first one that is a gap, each with its column from 0 on.
    """

    number: int
    length: int
    field: str
    numbers: int
    in_a_row: bool
    other: tuple[int, str] | None
    gap: tuple[int, str] | None

    @property
    def unnamed(self) -> bool:
        """Whether the first column has no name, as where pandas writes an index."""
        return self.length > 1 and not self.field.strip()


def first_line(lines: Lines) -> FirstLine:
    """Read it; an error if there is none."""
    field, numbers, in_a_row, base = "", 0, True, 0.0
    other = gap = None
    for record in records(lines):
        column, fields = record.column, record.fields
        if not column:
            field, fields, column = fields[0], fields[1:], 1
        if (values := floats(fields)) is not None:
            base = values[0] if values and not numbers else base
            in_a_row = in_a_row and base in (0, 1) and all(map(eq, values, count(base + numbers)))
            numbers += len(values)
        else:
            found = [is_number(each) for each in fields]
            numbers, in_a_row = numbers + sum(found), False
            others = [(place, each) for place, each in enumerate(fields, column) if not found[place - column]]
            other = other or others[0]
            gap = gap or next((each for each in others if is_gap(each[1])), None)
        if record.ends:
            return FirstLine(record.number, column + len(fields), field, numbers, in_a_row, other, gap)
    raise ValueError("there are no numbers in it")


def is_header(first: FirstLine, index: bool | None) -> bool:
    """Whether the line is a header, as far as it tells itself: its numbers may yet turn out to be names.

    Raises
    ------
    ValueError
        If it may be either, or a sample with a gap.
    """
    unnamed = index is not False and first.unnamed
    numbers, other, gap = first.numbers, first.other, first.gap
    if not (index or unnamed):
        numeric, of_first = is_number(first.field), (0, first.field)
        numbers += numeric
        other = other if numeric else of_first
        gap = of_first if is_gap(first.field) else gap
    doubtful = gap if not numbers else other
    if numbers and not other and unnamed and not first.in_a_row:
        doubtful = (0, first.field)
    if doubtful:
        raise ValueError(doubt(first.number, *doubtful, header=True, index=index is None))
    return not numbers or unnamed


def floats(fields: list[str]) -> array[float] | None:
    """The numbers that fields are, as most programs write them; None if any is none.

    Python alone takes 1_000, and digits of all scripts.
    """
    try:
        values = array("d", map(float, fields))
    except ValueError:
        return None
    plain = "".join(fields)
    if "_" in plain or not (plain.isascii() or all(field.strip().isascii() for field in fields)):
        return None
    return values


def is_number(field: str) -> bool:
    return floats([field]) is not None


def is_gap(field: str) -> bool:
    """Whether it is what people and programs write where a number is missing."""
    return field.strip().lower() in _GAPS


def doubt(line: int, column: int, field: str, *, header: bool, index: bool) -> str:
    """That a field is no number, and what to say if its line may be a header, or if its column may be an index."""
    shown = repr(field if len(field) <= 20 else field[:20] + "…")
    hints = [
        f"; if the {place} is {name}, say --{option} yes (in Python {option}=True)"
        for place, name, option, may_be in (
            ("line", "a header", "header", header),
            ("column", "an index", "index", index and column == 0 and (line == 1 or not is_gap(field))),
        )
        if may_be
    ]
    if any(sign in field for sign in ";\t"):
        hints = ["; columns must be separated by commas"]
    return f"line {line}, column {column + 1}: {shown} is not a number{''.join(hints)}"
