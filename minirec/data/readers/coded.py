"""Columns of texts, each distinct text kept once, and what becomes of them: raw ids and times."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from minirec.data.raw_ids import missing_codes, typed_ids
from minirec.data.readers.lines import bad_byte
from minirec.data.times import Moments, NotATime, ticks
from minirec.errors import DataError

# Names the line of a row, for error messages: "log.csv, line 4,218".
NameRow: TypeAlias = Callable[[int], str]


class Coded(NamedTuple):
    """A column of texts: row r holds texts[codes[r]]."""

    codes: np.ndarray  # int[rows]
    texts: list[str]  # distinct


class Log(NamedTuple):
    """What was read of a file or a frame: a row per interaction, in the order of the source."""

    users: pd.Categorical | np.ndarray  # raw ids [rows]: numbers, or strings
    items: pd.Categorical | np.ndarray
    timestamps: np.ndarray | None  # int64[rows]
    time_unit: str  # in words; empty without times
    read_as: str  # which fields were read, in words


def ids_of(column: Coded, role: str, name_row: NameRow) -> pd.Categorical:
    """Turn a column of texts into raw ids.

    Parameters
    ----------
    column : Coded
        The texts.
    role : str
        "user" or "item", for error messages.
    name_row : callable
        Names the line of a row.

    Returns
    -------
    pandas.Categorical
        Its categories are the distinct ids, sorted: int64 if all are written as integers are, else
        strings without outer blanks.

    Raises
    ------
    DataError
        If an id is missing, or not UTF-8.
    """
    _refuse_missing(column, role, name_row)
    _refuse_bad_bytes(column, role, name_row)

    # Two texts may be one id, such as '12' and '12.0': ids are sorted and told apart anew.
    ids, place_of = np.unique(typed_ids(column.texts), return_inverse=True)
    codes = place_of.astype(np.int32)[column.codes]
    kind = None if ids.dtype.kind == "i" else object
    return pd.Categorical.from_codes(codes, pd.Index(ids, dtype=kind), validate=False)


def timestamps_of(moments: Moments | None, name_row: NameRow) -> tuple[np.ndarray | None, str]:
    """Turn the times of a log into integers, if it has any.

    Parameters
    ----------
    moments : Moments or None
        The times; None where none are read.
    name_row : callable
        Names the line of a row.

    Returns
    -------
    timestamps : int64 array [rows] or None
        As `minirec.data.times.ticks` returns them.
    unit : str
        In words; empty without times.

    Raises
    ------
    DataError
        With the line of the first time that is of another unit than the first one.
    """
    if moments is None:
        return None, ""
    try:
        return ticks(moments)
    except NotATime as error:
        raise DataError(f"{name_row(error.index)}: {error.complaint}") from None


def find_row(row: int, lengths: Sequence[int]) -> tuple[int, int]:
    """Return the part that a row of a column is in, and its place in that part, both from 0.

    Parameters
    ----------
    row : int
        Counted from 0 over all parts; there must be such a row.
    lengths : sequence of int
        How many rows each part has.
    """
    part = 0
    while row >= lengths[part]:
        row -= lengths[part]
        part += 1
    return part, row


def _refuse_missing(column: Coded, role: str, name_row: NameRow) -> None:
    """Raise DataError where an id is empty, or one of the words for nothing."""
    missing = missing_codes(column.texts)
    if not missing:
        return
    rows = np.flatnonzero(np.isin(column.codes, missing))
    text = column.texts[column.codes[rows[0]]].strip()
    what = f" ({text})" if text else ""
    others = "" if len(rows) == 1 else f", and in {len(rows) - 1:,} more"
    raise DataError(
        f"{name_row(int(rows[0]))}: the {role} is missing{what}{others}; drop such rows."
    )


def _refuse_bad_bytes(column: Coded, role: str, name_row: NameRow) -> None:
    """Raise DataError where a text was not UTF-8."""
    for code, text in enumerate(column.texts):
        byte = bad_byte(text)
        if byte is not None:
            row = int(np.argmax(column.codes == code))
            raise DataError(
                f"{name_row(row)}: in the {role}, the byte 0x{byte:02x} is not UTF-8 text. Save "
                "the file as UTF-8 first."
            )
