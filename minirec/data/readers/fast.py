"""The fast way through a large file: pandas' parser, if what that finds proves to be all that the file holds."""

import contextlib
import csv
import io
import warnings

import numpy as np
import pandas as pd

from minirec.data.readers.columns import ORDINARY_INTEGER, Columns, categorical, typed_columns
from minirec.data.readers.layout import Layout
from minirec.errors import DataError


def read_fast(rows: bytes, layout: Layout | None) -> Columns | None:
    """The fast way: None where the rows are not plain, as those with quotes, missing or surplus fields or blank lines are."""
    if b"\r" in rows:
        rows = rows.replace(b"\r\n", b"\n")
    if not rows.endswith(b"\n"):
        rows += b"\n"
    if b"\r" in rows or (layout and layout.quoted and b'"' in rows):
        return None
    if layout is None:
        return fast_sequences(rows)
    kinds = [
        None
        if ORDINARY_INTEGER.fullmatch(text)
        else "category"
        if field in layout.wanted[:2]
        else str
        for field, text in enumerate(
            rows[: rows.index(b"\n")].decode(errors="replace").split(layout.separator)
        )
    ]
    as_texts = [
        kind if field in layout.wanted[2:] else str for field, kind in enumerate(kinds)
    ]  # where the first row does not stand for all
    for kinds in (kinds, as_texts):
        if len(kinds) == layout.n_fields and (columns := _parse(rows, layout.separator, kinds)):
            with contextlib.suppress(DataError):  # the careful way will say where
                return typed_columns([columns[field] for field in layout.wanted], where=str)
    return None


def fast_sequences(lines: bytes) -> Columns | None:
    """The fast way through `user item item ...` lines of integers, which are read as one column, a word a row."""
    found = _parse(lines.translate(bytes.maketrans(b" \t", b"\n\n")), ",", [None])
    if not found:
        return None
    words, text = found[0], np.frombuffer(lines, dtype=np.uint8)
    last = text[np.flatnonzero(text <= ord(" "))] == ord(
        "\n"
    )  # whether a word ends its line: a word is digits, and one mark follows it
    first = np.append(True, last[:-1])
    if (first & last).any():
        return None  # a user without an item
    return (
        np.repeat(words[first], np.diff(np.flatnonzero(last), prepend=-1) - 1),
        words[~first],
        None,
    )


def _parse(rows: bytes, separator: str, kinds: list) -> list | None:
    """The columns by pandas: int64 where the kind is None, a Categorical where it is "category" or str. None unless the columns, written out again,
    take as many bytes as `rows`: nothing is read longer than it is written, so then no zero, sign or blank, no field and no line was dropped."""
    step = len(
        separator
    )  # pandas knows separators of one character: between the two of '::' lies an empty field
    dtypes = {step * field: kind for field, kind in enumerate(kinds)}
    width = step * (len(kinds) - 1) + 1
    with warnings.catch_warnings(action="ignore"):  # of integers further up and texts further down
        try:
            frame = pd.read_csv(
                io.BytesIO(rows),
                sep=separator[0],
                header=None,
                names=range(width),
                usecols=list(dtypes),
                index_col=False,
                dtype={at: kind for at, kind in dtypes.items() if kind},
                na_filter=False,
                quoting=csv.QUOTE_NONE,
            )
        except ValueError:
            return None
    columns = [
        categorical(frame[at]) if kind is str else frame[at].array if kind else frame[at].to_numpy()
        for at, kind in dtypes.items()
    ]
    return columns if sum(map(_written_bytes, columns)) + width * len(frame) == len(rows) else None


def _written_bytes(column: np.ndarray | pd.Categorical) -> float:
    """The bytes of a column's texts, or of its integers as one ordinarily writes them; NaN where that would prove nothing."""
    if isinstance(
        column, pd.Categorical
    ):  # pandas may have made numbers of texts: an integer is never longer than what it was made of
        lengths = np.array([len(str(text).encode()) for text in column.categories])
        proves = (
            column.categories.inferred_type in ("string", "integer") and lengths.all()
        )  # an empty text may be a field that a row lacks
        proves &= (
            lengths.max(initial=0) <= csv.field_size_limit()
        )  # beyond it the careful way refuses
        return lengths[column.codes].sum() if proves else np.nan
    if column.dtype != np.int64 or len(column) == 0 or column.min() < 0:
        return np.nan
    fewest, most = len(str(column.min())), len(str(column.max()))
    return len(column) * fewest + sum(
        np.count_nonzero(column >= 10**digits) for digits in range(fewest, most)
    )
