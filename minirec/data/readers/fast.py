r"""The fast way through a large file: pandas reads it, and a count of bytes proves nothing lost.

pandas' parser is much faster than a loop over rows in Python, but it is forgiving: it leaves out
surplus fields and blank lines, fills in fields that a row lacks, and makes 7 of `007` and 1000.0
of `1e3`. In a log, each of these must be an error with its line, or stay as it is written: the
careful way (file.py) does that. So pandas' columns are used only if it is proven that pandas had
nothing to forgive.

The idea of the proof
---------------------
Write the columns that pandas found out again: every field, a separator between two fields, a
newline behind every row. If they take as many bytes as the file holds, nothing was dropped. For
pandas may make less of a field, a row or a line than stands in the file, but never more: a field
that it read, written again in the ordinary way, is at most as long as what it was read from. So a
dropped byte is missing in the sum, and no other place can make up for it. Nothing is really
written, the bytes are only counted::

    the file          pandas finds    written again    bytes
    1,25,9\n          1 25 9          1,25,9\n         7 of 7    plain
    1,025,9\n         1 25 9          1,25,9\n         7 of 8    a zero was dropped
    1,25,9,4\n        1 25 9          1,25,9\n         7 of 9    a field was dropped
    \n1,25,9\n        1 25 9          1,25,9\n         7 of 8    a line was dropped

Two things are longer written again than in the file, and would break the proof:

- a field that a row lacks: pandas fills it in, and the sum holds a separator that is not there.
  A column of integers is no longer int64 then; in a column of texts, the field is empty;
- a float: 1e3 is written 1000.0.

So only columns of int64 and of texts that are not empty are accepted. A file in which empty texts
really stand goes the careful way as well, though nothing is wrong with it.

The steps: `_plain_rows` brings the rows into one form, `_guess_kinds` says how pandas shall read
each column, `_parse` reads and counts, `typed_columns` makes ids and seconds. Whatever a step
cannot vouch for makes it return None, and the careful way reads the file instead.
"""

import csv
import io
import warnings
from typing import Literal

import numpy as np
import pandas as pd

from minirec.data.readers.columns import (
    ORDINARY_INTEGER,
    Column,
    Columns,
    distinct_once,
    typed_columns,
)
from minirec.data.readers.layout import Layout
from minirec.errors import DataError

# How pandas shall read a column: as integers; as texts of which there are few distinct ones; as
# texts of any sort.
Kind = Literal["integers", "labels", "texts"]

SPACE = ord(" ")
NEWLINE = ord("\n")


def read_fast(raw: bytes, first_line_end: int, layout: Layout | None) -> Columns | None:
    """Read a file by pandas, if its rows are plain.

    Rows are not plain if they have quotes, missing or surplus fields or blank lines, among others.

    Parameters
    ----------
    raw : bytes
        All of the file.
    first_line_end : int
        Where in `raw` the first line that is not blank ends.
    layout : Layout or None
        How a table is written; None for lines of `user item item ...`.

    Returns
    -------
    users, items, timestamps, or None
        Exactly what the careful way returns. None where the rows are not plain, or hold an error:
        then the careful way must read them.
    """
    rows = _plain_rows(raw, first_line_end, layout)
    if rows is None:
        return None
    if layout is None:
        return _read_sequences(rows)
    return _read_table(rows, layout)


def _plain_rows(raw: bytes, first_line_end: int, layout: Layout | None) -> bytes | None:
    """Return the rows below the header, each ended by one newline; None if that cannot be done."""
    # A lone return ends a line too, but not in a plain file.
    if not raw.startswith((b"\n", b"\r\n"), first_line_end):
        return None

    rows = raw
    if layout is not None and layout.has_header:
        rows = raw[raw.index(b"\n", first_line_end) + 1 :]

    # Looking first saves the copy that replace() makes.
    if b"\r" in rows:
        rows = rows.replace(b"\r\n", b"\n")
        if b"\r" in rows:
            return None
    if not rows.endswith(b"\n"):
        rows += b"\n"

    if layout is not None and layout.quoted and b'"' in rows:
        return None
    return rows


def _read_table(rows: bytes, layout: Layout) -> Columns | None:
    """Read the rows of a table; None unless they are plain and without error."""
    first_row = rows[: rows.index(b"\n")].decode(errors="replace")
    kinds = _guess_kinds(first_row, layout)
    if len(kinds) != layout.n_fields:
        return None

    columns = _parse(rows, layout.separator, kinds)
    if columns is None:
        # The first row does not stand for all: perhaps ids only begin as integers, or pandas made
        # numbers of labels, such as 1000.0 of 1e3. So everything is read as texts, all but the
        # times: those that change their form further down are left to the careful way.
        time_fields = layout.wanted[2:]
        for field in range(layout.n_fields):
            if field not in time_fields:
                kinds[field] = "texts"
        columns = _parse(rows, layout.separator, kinds)
    if columns is None:
        return None

    wanted = [columns[field] for field in layout.wanted]
    try:
        return typed_columns(wanted, name_line=str)
    except DataError:
        return None  # the careful way meets the same error, and can name its line


def _guess_kinds(first_row: str, layout: Layout) -> list[Kind]:
    """Say how each column shall be read, judging from the first row."""
    id_fields = layout.wanted[:2]
    kinds: list[Kind] = []
    for field, text in enumerate(first_row.split(layout.separator)):
        if ORDINARY_INTEGER.fullmatch(text):
            kinds.append("integers")
        elif field in id_fields:
            kinds.append("labels")  # the same ids come again and again
        else:
            kinds.append("texts")
    return kinds


def _read_sequences(lines: bytes) -> Columns | None:
    r"""Read lines of `user item item ...`; None unless all are integers, one mark between two.

    The lines differ in length, so they are read as one long column, a word per row, and taken
    apart afterwards. For the lines `1 2 3` and `4 5`::

        words            1      2      3      4      5
        marks            blank  blank  \n     blank  \n
        ends_line        False  False  True   False  True
        starts_line      True   False  False  True   False
        users, repeated         1      1             4
        items                   2      3             5
    """
    one_word_per_row = lines.translate(bytes.maketrans(b" \t", b"\n\n"))
    columns = _parse(one_word_per_row, separator=",", kinds=["integers"])
    if columns is None:
        return None
    words = columns[0]

    # Now it is proven that the file is nothing but words of digits, each with exactly one mark
    # behind it: a blank, a tab or a newline. In ASCII, the marks come before all digits.
    characters = np.frombuffer(lines, dtype=np.uint8)
    marks = characters[np.flatnonzero(characters <= SPACE)]
    ends_line = marks == NEWLINE
    starts_line = np.append(True, ends_line[:-1])
    if (starts_line & ends_line).any():
        return None  # a user without an item

    words_per_line = np.diff(np.flatnonzero(ends_line), prepend=-1)
    users = np.repeat(words[starts_line], words_per_line - 1)
    items = words[~starts_line]
    return users, items, None


def _parse(rows: bytes, separator: str, kinds: list[Kind]) -> list[Column] | None:
    """Read all columns by pandas; None unless the count of bytes proves that nothing was dropped.

    A column is int64 where its kind is "integers", else a Categorical.
    """
    # pandas splits fast at single characters only. So '::' is two separators ':' to it, and every
    # second of its fields is empty and passed over.
    step = len(separator)
    n_pandas_fields = step * (len(kinds) - 1) + 1
    places = range(0, n_pandas_fields, step)

    frame = _read_csv(rows, separator[0], n_pandas_fields, dict(zip(places, kinds, strict=True)))
    if frame is None:
        return None

    columns: list[Column] = []
    for place, kind in zip(places, kinds, strict=True):
        if kind == "integers":
            columns.append(frame[place].to_numpy())
        elif kind == "labels":
            columns.append(frame[place].array)  # a Categorical since pandas parsed it
        else:
            columns.append(distinct_once(frame[place]))

    # Written again, a row has a separator before each of pandas' fields but the first, and a
    # newline at its end: as many bytes as it has fields.
    n_bytes = n_pandas_fields * len(frame)
    for column in columns:
        n_bytes_of_column = _written_bytes(column)
        if n_bytes_of_column is None:
            return None
        n_bytes += n_bytes_of_column
    return columns if n_bytes == len(rows) else None


def _read_csv(
    rows: bytes, separator: str, n_fields: int, kinds: dict[int, Kind]
) -> pd.DataFrame | None:
    """Return the fields whose kind is given; None where pandas refuses the rows."""
    dtypes: dict[int, str | type] = {}
    for field, kind in kinds.items():
        if kind == "labels":
            dtypes[field] = "category"
        elif kind == "texts":
            dtypes[field] = str
        # Integers are left to pandas to infer: it is not to force them on what is none.

    # It warns of columns that hold integers further up and texts further down.
    with warnings.catch_warnings(action="ignore"):
        try:
            return pd.read_csv(
                io.BytesIO(rows),
                sep=separator,
                header=None,
                names=range(n_fields),
                usecols=list(kinds),
                index_col=False,
                dtype=dtypes,
                na_filter=False,  # 'NA' and 'null' are texts like any other
                quoting=csv.QUOTE_NONE,
            )
        except ValueError:
            return None


def _written_bytes(column: Column) -> int | None:
    """Count the bytes of a column's fields, written again; None where that would prove nothing."""
    if isinstance(column, pd.Categorical):
        return _bytes_of_texts(column)
    return _bytes_of_integers(column)


def _bytes_of_texts(column: pd.Categorical) -> int | None:
    """Count the bytes of a column of texts, each distinct one measured once."""
    # pandas makes numbers of labels if all of them look like numbers. Integers are judged by the
    # count, for none is longer than what it was read from; floats can be.
    if column.categories.inferred_type not in ("string", "integer"):
        return None

    lengths = np.array([len(str(text).encode()) for text in column.categories])
    if not lengths.all():
        return None  # an empty text may be a field that a row lacks
    if lengths.max(initial=0) > csv.field_size_limit():
        return None  # the careful way refuses a field that long
    return int(lengths[column.codes].sum())


def _bytes_of_integers(column: np.ndarray) -> int | None:
    """Count the digits of a column of integers; None unless they are int64 and have no sign."""
    if column.dtype != np.int64 or len(column) == 0 or column.min() < 0:
        return None

    # Every number has at least as many digits as the smallest one. It has one more for each power
    # of ten, up to the length of the largest one, that it reaches.
    fewest = len(str(column.min()))
    most = len(str(column.max()))
    n_digits = len(column) * fewest
    for exponent in range(fewest, most):
        n_digits += int(np.count_nonzero(column >= 10**exponent))
    return n_digits
