"""Columns of raw ids and whole seconds out of columns of texts: what every reader ends in.

The way of a column::

    rows of texts  ->  columns of texts  ->  ids as int64 or as strings, times as int64
                   |                     |
          columns_from_rows        typed_columns

A column of texts is a pandas Categorical: each distinct text is kept once, in `categories`, and
every row has its number, in `codes`. Ids repeat a lot, so whatever is asked of a text is asked
once per distinct text and not once per row.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from decimal import ROUND_FLOOR, Decimal
from typing import TypeAlias

import numpy as np
import pandas as pd

from minirec.errors import DataError

# A timestamp as files write it: 12, -5, 978300760.9, .5, 8.8125e8. Neither 'nan' nor 1_000.
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?", re.ASCII | re.IGNORECASE)

# An integer that int() and str() give back as it was written: no leading zero, no plus sign.
ORDINARY_INTEGER = re.compile(r"-?[1-9]\d{0,18}|0", re.ASCII)

INT64_LIMIT = 2**63  # int64 holds -INT64_LIMIT and what lies between, but not INT64_LIMIT

# A column already read as integers, or the texts of one, each distinct text kept once.
Column: TypeAlias = np.ndarray | pd.Categorical

# What a reader returns: users, items, and the times or None, one entry per interaction.
Columns: TypeAlias = tuple[Column, Column, np.ndarray | None]

# What a format's careful way yields for each row that is not blank: the number of its line, and
# the texts of the user, the item and perhaps the time.
Rows: TypeAlias = Iterator[tuple[int, tuple[str, ...]]]

# Names the line of a row, for error messages: "log.csv, line 4,218".
NameLine: TypeAlias = Callable[[int], str]


def columns_from_rows(name: str, rows: Rows) -> Columns:
    """Collect the rows of the careful way into columns.

    Parameters
    ----------
    name : str
        Name of the file, for error messages.
    rows : iterator of (line number, texts)
        What `table_rows`, `json_rows` or `sequence_rows` yields.

    Returns
    -------
    users, items, timestamps
        As `typed_columns` returns them.

    Raises
    ------
    DataError
        If there is no row, or a text is not what its column needs.
    """
    lines: list[int] = []
    texts_of_rows: list[tuple[str, ...]] = []
    for line, texts in rows:
        lines.append(line)
        texts_of_rows.append(texts)
    if not lines:
        raise DataError(f"{name} is empty below its header: there is nothing to read.")

    def name_line(row: int) -> str:
        return f"{name}, line {lines[row]:,}"

    columns = [
        distinct_once(np.array(texts, dtype=object)) for texts in zip(*texts_of_rows, strict=True)
    ]
    return typed_columns(columns, name_line)


def distinct_once(texts: np.ndarray | pd.Series) -> pd.Categorical:
    """Return texts as a Categorical, the distinct ones in the order in which they first occur."""
    codes, distinct = pd.factorize(texts)
    return pd.Categorical.from_codes(codes, pd.Index(distinct, dtype=object), validate=False)


def typed_columns(columns: Sequence[Column], name_line: NameLine) -> Columns:
    """Turn columns of texts into ids and whole seconds.

    Parameters
    ----------
    columns : sequence of two or three columns
        Users, items and perhaps times, each [rows]: a Categorical of texts, or already int64.
    name_line : callable
        Takes the number of a row, counted from 0, and names its line, for error messages.

    Returns
    -------
    users, items : int64 array or Categorical of strings, [rows]
        int64 if every id of the column is an integer written the ordinary way.
    timestamps : int64 array [rows] or None
        Whole seconds; None if there were only two columns.

    Raises
    ------
    DataError
        If an id is missing, or a timestamp is missing, no number, or beyond int64.
    """
    users = _ids(columns[0])
    items = _ids(columns[1])

    for role, ids in (("user", users), ("item", items)):
        if isinstance(ids, pd.Categorical) and "" in ids.categories:
            first_row = int(np.argmax(ids == ""))
            raise DataError(f"{name_line(first_row)}: the {role} is missing; drop the row.")

    if len(columns) == 2:
        return users, items, None
    return users, items, _seconds(columns[2], name_line)


def _ids(column: Column) -> Column:
    """Return ids as int64 if all are ordinary integers, else as strings without outer blanks."""
    if not isinstance(column, pd.Categorical):
        return column

    # str: pandas' parser may have made integers of the categories (see fast.py).
    ids = [str(text).strip(" \t") for text in column.categories]

    if all(_fits_int64(text) for text in ids):
        integers = np.array([int(text) for text in ids], dtype=np.int64)
        return integers[column.codes]

    # Blanks may have been all that told two texts apart: join those that are the same id now.
    merged = distinct_once(np.array(ids, dtype=object))
    codes = merged.codes[column.codes]
    return pd.Categorical.from_codes(codes, merged.categories, validate=False)


def _fits_int64(text: str) -> bool:
    """Whether a text is an integer that int64 holds and gives back as it was written."""
    if not ORDINARY_INTEGER.fullmatch(text):
        return False
    return -INT64_LIMIT <= int(text) < INT64_LIMIT


def _seconds(column: Column, name_line: NameLine) -> np.ndarray:
    """Return times as whole seconds; DataError with the line of the first that is none."""
    if not isinstance(column, pd.Categorical):
        return column

    seconds = np.empty(len(column.categories), dtype=np.int64)
    for code, text in enumerate(column.categories):
        text = str(text).strip()  # pandas makes integers of labels that all look like some
        complaint = _complaint_about_time(text)
        if complaint is not None:
            first_row = int(np.argmax(column.codes == code))
            raise DataError(f"{name_line(first_row)}: {complaint}")
        seconds[code] = _whole_second(text)
    return seconds[column.codes]


def _complaint_about_time(text: str) -> str | None:
    """Say what is wrong with a timestamp, or None if nothing is."""
    if not NUMBER.fullmatch(text):
        what = f"the timestamp {text!r} is not a number" if text else "the timestamp is missing"
        return (
            f"{what}. Timestamps must be integers or decimals (seconds since 1970). Drop the row; "
            "for dates, read the file with pandas.read_csv(parse_dates=...) and use "
            "Interactions.from_frame; without the column, rows keep the order of the file."
        )
    if not -INT64_LIMIT <= Decimal(text) < INT64_LIMIT:
        return f"the timestamp {text[:40]} is too large; it should be seconds since 1970."
    return None


def _whole_second(text: str) -> int:
    """Cut a number to whole seconds, exactly at any size: nothing goes through a float."""
    if text.isdecimal() and len(text) < 20:  # digits alone, as nearly always: the quick way
        return int(text)
    return int(Decimal(text).to_integral_value(ROUND_FLOOR))
