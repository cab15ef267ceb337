"""Columns of raw ids and whole seconds out of columns of texts: what every reader ends in."""

import re
from collections.abc import Iterator
from decimal import ROUND_FLOOR, Decimal

import numpy as np
import pandas as pd

from minirec.errors import DataError

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?", re.ASCII | re.IGNORECASE)

ORDINARY_INTEGER = re.compile(r"-?[1-9]\d{0,18}|0", re.ASCII)

Ids = np.ndarray | pd.Categorical

Columns = tuple[Ids, Ids, np.ndarray | None]

Rows = Iterator[
    tuple
]  # (line number, user, item and perhaps time, all but the first as strings) of each row that is not blank


def columns_of(name: str, rows: Rows) -> Columns:
    """The careful way: fields as strings first, then each column as a whole."""
    rows = list(rows)
    if not rows:
        raise DataError(f"{name} is empty below its header: there is nothing to read.")
    lines, *columns = zip(*rows)
    return typed_columns(
        [categorical(np.array(texts, dtype=object)) for texts in columns],
        lambda row: f"{name}, line {lines[row]:,}",
    )


def categorical(texts) -> pd.Categorical:
    """Return texts as a Categorical, each distinct one kept once."""
    codes, distinct = pd.factorize(texts)
    return pd.Categorical.from_codes(codes, pd.Index(distinct, dtype=object), validate=False)


def typed_columns(columns: list, where) -> Columns:
    """Users, items and perhaps times, as int64 or as they were written; where(row) names a row's line, for errors."""
    users, items, *times = columns
    ids = _ids(users), _ids(items)
    for role, column in zip(("user", "item"), ids):
        if isinstance(column, pd.Categorical) and "" in column.categories:
            raise DataError(
                f"{where(np.argmax(column == ''))}: the {role} is missing; drop the row."
            )
    return *ids, _seconds(times[0], where) if times else None


def _ids(column) -> Ids:
    """int64 if all ids are integers written the ordinary way, else strings without the blanks around them, each kept once."""
    if not isinstance(column, pd.Categorical):
        return column
    distinct = [str(text).strip(" \t") for text in column.categories]
    if all(ORDINARY_INTEGER.fullmatch(text) and -(2**63) <= int(text) < 2**63 for text in distinct):
        return np.array([int(text) for text in distinct], dtype=np.int64)[column.codes]
    merged = categorical(
        np.array(distinct, dtype=object)
    )  # blanks may have been all that told some apart
    return pd.Categorical.from_codes(merged.codes[column.codes], merged.categories, validate=False)


def _seconds(column, where) -> np.ndarray:
    """Whole seconds, exact at any size: nothing goes through a float. where(row) names a row's line."""
    if not isinstance(column, pd.Categorical):
        return column
    seconds = np.empty(len(column.categories), dtype=np.int64)
    for code, text in enumerate(column.categories):
        text = text.strip()
        if not NUMBER.fullmatch(text):
            what = f"the timestamp {text!r} is not a number" if text else "the timestamp is missing"
            raise DataError(
                f"{where(np.argmax(column.codes == code))}: {what}. Timestamps must be integers or decimals (seconds since 1970). Drop the row; "
                "for dates, read the file with pandas.read_csv(parse_dates=...) and use Interactions.from_frame; without the column, rows "
                "keep the order of the file."
            )
        if not -(2**63) <= Decimal(text) < 2**63:
            raise DataError(
                f"{where(np.argmax(column.codes == code))}: the timestamp {text[:40]} is too large; it should be seconds since 1970."
            )
        seconds[code] = (
            int(text)
            if text.isdecimal() and len(text) < 20
            else int(Decimal(text).to_integral_value(ROUND_FLOOR))
        )
    return seconds[column.codes]
