"""A pandas frame becomes columns of raw ids and times, by the same rules as a file.

The usual names of columns are recognised, values that stand for a missing one are refused, and
times are read with full precision.
"""

from collections.abc import Hashable

import numpy as np
import pandas as pd

from minirec.data.raw_ids import missing_codes
from minirec.data.readers.coded import Log
from minirec.data.readers.header import Wanted, find_roles, looks_like_time
from minirec.data.times import NotATime, moments_of_column, ticks
from minirec.errors import DataError, shown

RECOGNISE = "auto"  # a time column with a usual name is read, if there is one


def columns_of_frame(
    frame: pd.DataFrame, user: Hashable | None, item: Hashable | None, timestamp: Hashable | None
) -> Log:
    """Read the users, the items and perhaps the times of a frame.

    Parameters
    ----------
    frame : pandas.DataFrame
        [M rows]
    user, item : Hashable or None
        The names of the columns, mostly strings; None recognises the usual ones.
    timestamp : Hashable or None
        The name of the time column; "auto" recognises the usual ones and may find none; None reads
        no times.

    Returns
    -------
    Log
        The rows of the frame, [M]. Ids are as they are, but that floats which are all whole numbers
        become integers: pandas makes floats of integers where a value is missing.

    Raises
    ------
    DataError
        For a column that is not there or there twice, a missing id, or a value that is no time.
    """
    usual = find_roles([str(name) for name in frame.columns])
    user_at = _position(frame, "user", user, usual["user"])
    item_at = _position(frame, "item", item, usual["item"])
    time_at = None
    if timestamp == RECOGNISE:
        if usual["timestamp"] is not None:
            time_at = _position(frame, "timestamp", None, usual["timestamp"])
    elif timestamp is not None:
        time_at = _position(frame, "timestamp", timestamp, None)

    users = _ids(frame.iloc[:, user_at], "user")
    items = _ids(frame.iloc[:, item_at], "item")
    positions = [user_at, item_at]
    times = None
    unit = ""
    if time_at is not None:
        positions.append(time_at)
        times, unit = _times(frame.iloc[:, time_at])
    read_as = _wanted(frame, positions).sentence(unit, order="the order of the rows")
    return Log(users, items, times, unit, read_as)


def _position(frame: pd.DataFrame, role: str, name: Hashable | None, recognised: int | None) -> int:
    """Return where a role's column stands; DataError unless it is there once."""
    if name is None:
        if recognised is None:
            raise DataError(
                f"the frame has no column for the {role} among {_names(frame)}. Name it with "
                f"{role}=."
            )
        name = frame.columns[recognised]

    positions = [position for position, other in enumerate(frame.columns) if other == name]
    if not positions:
        way_out = f"Name it with {role}=" + (", or give None." if role == "timestamp" else ".")
        raise DataError(f"the frame has no column {shown(name)}; it has {_names(frame)}. {way_out}")
    if len(positions) > 1:
        raise DataError(
            f"the frame has {len(positions)} columns {shown(name)}, one of which should be the "
            f"{role}; rename or drop the others."
        )
    return positions[0]


def _names(frame: pd.DataFrame) -> str:
    """List the names of the columns."""
    return ", ".join(shown(name) for name in frame.columns) or "no columns at all"


def _ids(column: pd.Series, role: str) -> np.ndarray | pd.Categorical:
    """Return a column of raw ids, [M]; DataError where one is missing."""
    is_categorical = isinstance(column.dtype, pd.CategoricalDtype)
    if is_categorical and not column.isna().any():
        column = column.astype(column.cat.categories.dtype)

    if pd.api.types.is_bool_dtype(column.dtype):
        raise DataError(
            f"column {shown(column.name)} holds True and False, which name no {role}; turn them "
            "into strings or numbers first."
        )
    if not pd.api.types.is_numeric_dtype(column.dtype):
        return _strings(column, role)
    _refuse_missing(column.isna().to_numpy(), column, role)
    # A column that may hold missing values has a kind of its own around that of its numbers.
    numbers = column.to_numpy(dtype=getattr(column.dtype, "numpy_dtype", None))
    return _whole_if_all_are(numbers) if numbers.dtype.kind == "f" else numbers


def _strings(column: pd.Series, role: str) -> np.ndarray | pd.Categorical:
    """Return ids that are strings, each distinct one kept once; other objects as they are."""
    values = column.to_numpy(dtype=object)
    codes, distinct = pd.factorize(values)  # None and NaN have the code -1
    texts = [value if isinstance(value, str) else "no text" for value in distinct]
    _refuse_missing(np.isin(codes, [-1, *missing_codes(texts)]), column, role)

    if not all(isinstance(value, str) for value in distinct):
        return values  # whether ids may be of their kind is decided where they become dense
    return pd.Categorical.from_codes(codes, pd.Index(distinct, dtype=object), validate=False)


def _refuse_missing(missing: np.ndarray, column: pd.Series, role: str) -> None:
    """Raise DataError with the number of rows without an id and the first of them, if any."""
    n_missing = int(missing.sum())
    if n_missing == 0:
        return
    first_row = int(np.argmax(missing))
    value = column.iloc[first_row]
    written = f" ({shown(value)})" if isinstance(value, str) and value else ""
    where = f"at row {first_row:,}{written}; drop it"
    if n_missing > 1:
        where = f"in {n_missing:,} rows, first at row {first_row:,}{written}; drop them"
    raise DataError(f"column {shown(column.name)}: the {role} is missing {where}.")


def _whole_if_all_are(numbers: np.ndarray) -> np.ndarray:
    """Return floats as int64 if all are whole numbers that it holds, else as they are."""
    wide = numbers.astype(np.float64, copy=False)  # float16 knows no 2^63
    are_whole = (np.floor(wide) == wide) & (np.abs(wide) < 2.0**63)
    return numbers.astype(np.int64) if are_whole.all() else numbers


def _times(column: pd.Series) -> tuple[np.ndarray, str]:
    """Return a column of times as integers, int64[M], and their unit in words."""
    try:
        return ticks(moments_of_column(column))
    except NotATime as error:
        raise DataError(
            f"column {shown(column.name)}, row {error.index:,}: {error.complaint}"
        ) from None


def _wanted(frame: pd.DataFrame, positions: list[int]) -> Wanted:
    """Return what is read of a frame: the columns at these positions, in the order of the roles."""
    labels = [f"column {shown(name)}" for name in frame.columns]
    unread = []
    for position, label in enumerate(labels):
        if position not in positions and _looks_like_time(frame.iloc[:, position]):
            unread.append(label)
    return Wanted(
        positions=tuple(positions),
        labels=tuple(labels[position] for position in positions),
        unread_times=tuple(unread),
    )


def _looks_like_time(column: pd.Series) -> bool:
    """Whether a column holds datetimes, or looks like time by its name and first value."""
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return True
    return len(column) > 0 and looks_like_time(str(column.name), str(column.iloc[0]))
