"""The careful way through a file: row by row, knowing the line, in little memory.

Rows go into lists of a few thousand, and these into arrays: a text that occurs often is kept once,
and an interaction takes some 30 bytes however long its row is.
"""

from collections.abc import Generator
from contextlib import closing
from itertools import islice
from typing import TypeAlias

import numpy as np

from minirec.data.readers.coded import Coded, find_row
from minirec.data.times import Moments, NotATime, concatenate, moments_of_texts
from minirec.errors import DataError

# Of a row that is not blank: the number of its line, and the texts of the wanted fields.
Row: TypeAlias = tuple[int, tuple[str, ...]]
Rows: TypeAlias = Generator[Row]

ROWS_AT_ONCE = 1 << 16


class Coder:
    """Replaces texts by numbers, the distinct texts in the order in which they first occur."""

    def __init__(self) -> None:
        self._number_of: dict[str, int] = {}
        self._parts: list[np.ndarray] = []

    def add(self, texts: tuple[str, ...]) -> None:
        """Take the next texts of the column."""
        number_of = self._number_of
        numbers = [number_of.setdefault(text, len(number_of)) for text in texts]
        self._parts.append(np.array(numbers, dtype=np.int32))

    def coded(self) -> Coded:
        """Return the column."""
        return Coded(np.concatenate(self._parts), list(self._number_of))


class Collector:
    """Collects the rows of one file or of several into columns.

    Parameters
    ----------
    has_time : bool
        Whether a row's third text is its time.
    filters : tuple of str
        What the texts behind user, item and time must be for a row to count.
    """

    def __init__(self, has_time: bool, filters: tuple[str, ...]) -> None:
        self.has_time = has_time
        self.filters = filters
        self.n_filtered_out = 0
        self.users = Coder()
        self.items = Coder()
        self._moments: list[Moments] = []
        self._lines: list[np.ndarray] = []
        self._names: list[str] = []  # what stands before the lines of each part: "log.csv, line"

    def add(self, name: str, rows: Rows, unit: str = "line") -> None:
        """Take all rows of a file; DataError where there is none, or a time is none."""
        n_read = 0
        with closing(rows):
            while chunk := list(islice(rows, ROWS_AT_ONCE)):
                n_read += len(chunk)
                if self.filters:
                    chunk = self._passing(chunk)
                if chunk:
                    self._take(f"{name}, {unit}", chunk)
        if n_read == 0:
            raise DataError(f"{name} is empty below its header: there is nothing to read.")

    def name_row(self, row: int) -> str:
        """Name the line of a row, counted from 0: 'log.csv, line 4,218'."""
        part, place = find_row(row, [len(lines) for lines in self._lines])
        return f"{self._names[part]} {self._lines[part][place]:,}"

    def columns(self) -> tuple[Coded, Coded, Moments | None]:
        """Return users, items and times; DataError where some are numbers and others dates."""
        moments = None
        if self.has_time:
            try:
                moments = concatenate(self._moments)
            except NotATime as error:
                raise DataError(f"{self.name_row(error.index)}: {error.complaint}") from None
        return self.users.coded(), self.items.coded(), moments

    @property
    def is_empty(self) -> bool:
        """Whether no row has passed the filters."""
        return not self._lines

    def _passing(self, chunk: list[Row]) -> list[Row]:
        """Return the rows whose last texts are what the filters want."""
        n_filters = len(self.filters)
        passing = []
        for line, texts in chunk:
            found = tuple(text.strip() for text in texts[-n_filters:])
            if found == self.filters:
                passing.append((line, texts))
        self.n_filtered_out += len(chunk) - len(passing)
        return passing

    def _take(self, name: str, chunk: list[Row]) -> None:
        """Append rows to the columns; `name` stands before a line's number, as "log.csv, line"."""
        lines = np.array([line for line, _ in chunk], dtype=np.int64)
        columns = list(zip(*(texts for _, texts in chunk), strict=True))
        if self.has_time:
            try:
                moments = moments_of_texts(columns[2])
            except NotATime as error:
                raise DataError(f"{name} {lines[error.index]:,}: {error.complaint}") from None
            self._moments.append(moments)
        self.users.add(columns[0])
        self.items.add(columns[1])
        self._lines.append(lines)
        self._names.append(name)
