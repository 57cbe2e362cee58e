"""Lines and records of CSV files, of which little is in memory at a time, however long the file or a line of it is."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from typing import IO, NamedTuple

# Characters that are read at a time. A field of more is an error, here as in the csv module.
_CHUNK = 2**18


class Lines:
    """Data lines, but those that are blank or comments (numpy.savetxt marks headers with #).

    A line that is long comes in pieces, each of which but the first begins with a comma.

    Attributes
    ----------
    number : int
        Of the line that came last, from 1 on.
    ends : bool
        Whether it, or the piece of it that came last, was the end of the line.
    comments : int
        How many lines were left out as comments.
    gap : int or None
        The first blank line that has data before and after it.
    """

    def __init__(self, file: IO[str]) -> None:
        self._file, self._rest = file, ""
        self._waiting: deque[str] = deque()
        self._whole, self._in_comment, self._begun = True, False, False
        self._blank: int | None = None
        self.number, self.ends, self.comments = 0, True, 0
        self.gap: int | None = None

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> str:
        while self._waiting or self._read():
            line = self._waiting.popleft()
            begins, self.ends = self.ends, self._whole
            self.number += begins
            if begins:
                start = line.lstrip()
                if not start and self.ends:
                    self._blank = self._blank or (self.number if self._begun else None)
                    continue
                self._in_comment = start.startswith("#")
                self.comments += self._in_comment
            if not self._in_comment:
                self._taken()
                return line + "\n" * self.ends
        raise StopIteration

    def at_hand(self) -> list[str]:
        """The lines that were read already, or the next ones, to be parsed at once; none where that needs more care."""
        if not (self.ends and (self._waiting or self._read()) and self._whole):
            return []
        lines = list(self._waiting)
        text = "".join(lines)
        # numpy takes characters for blanks that Python's float does not.
        return lines if text.isprintable() and '"' not in text and "#" not in text else []

    def drop(self) -> None:
        """Go on behind the lines at hand."""
        self.number += len(self._waiting)
        self._waiting.clear()
        self._taken()

    @property
    def are_read(self) -> bool:
        """Whether more of the file must be read before the next line comes."""
        return self.ends and not self._waiting

    def _taken(self) -> None:
        self._begun = True
        self.gap = self.gap or self._blank

    def _read(self) -> bool:
        read = self._file.read(_CHUNK)
        text = self._rest + read
        if not text:
            return False
        end = text.rfind("\n") if len(read) == _CHUNK else len(text.removesuffix("\n"))
        self._whole = end >= 0
        if not self._whole:
            end = text.rfind(",")
            if end <= 0:
                number = self.number + self.ends
                raise ValueError(f"not a CSV file: line {number} has a field of more than {_CHUNK} characters")
        self._waiting.extend(text[:end].split("\n"))
        self._rest = text[end + self._whole :]
        return True


class Record(NamedTuple):
    """Fields of a line, or of a piece of a long one, and the column of the first of them, from 0 on."""

    number: int
    column: int
    fields: list[str]
    ends: bool


def records(lines: Lines) -> Iterator[Record]:
    """The records of the lines; a quoted name may go on in the next line."""
    taken: list[int] = []
    reader, column = csv.reader(_noted(lines, taken), strict=True), 0
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise ValueError(f"not a CSV file: line {lines.number}: {error}") from None
        # A piece that goes on begins with a comma.
        record = Record(taken[0], column, fields[1:] if column else fields, lines.ends)
        taken.clear()
        column = 0 if lines.ends else column + len(record.fields)
        yield record


def _noted(lines: Lines, taken: list[int]) -> Iterator[str]:
    for line in lines:
        taken.append(lines.number)
        yield line
