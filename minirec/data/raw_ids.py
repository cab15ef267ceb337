"""Between the raw ids of a log, numbers or strings, and dense ones that count from 0 or from 1.

M interactions, n distinct raw ids.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from minirec.errors import DataError

# What pandas calls ids that are all numbers or all strings.
ONE_KIND = ("string", "integer", "floating", "mixed-integer-float", "empty")

# What programs write where a value is missing: databases, R, spreadsheets, and pandas, which reads
# these words as missing itself. In exactly this case: a "Na", "NONE" or "null" may well be a name.
MISSING_WORDS = frozenset(
    {
        "",
        "NULL",
        r"\N",
        "NA",
        "<NA>",
        "N/A",
        "#N/A",
        "NaN",
        "nan",
        "None",
    }
)

# Words that may be names among names, but stand for a missing value among integers.
WORDS_AMONG_INTEGERS = frozenset({"null", "none", "nan", "na", "n/a", "nil", "undefined"})

# An integer that int() and str() give back as it was written, without leading zero or plus sign;
# decimals that are all zero may follow, as pandas writes them in columns with missing values.
ORDINARY_INTEGER = re.compile(r"(-?[1-9]\d{0,18}|0)(?:\.0+)?", re.ASCII)

INT64_LIMIT = 2**63  # int64 holds -INT64_LIMIT and what lies between, but not INT64_LIMIT


def is_missing(text: str) -> bool:
    """Whether a text stands for a missing value: one of MISSING_WORDS, blanks around it aside."""
    return text.strip(" \t") in MISSING_WORDS


def missing_codes(texts: Sequence[str]) -> list[int]:
    """Say which of a column's distinct texts stand for a missing value.

    Parameters
    ----------
    texts : sequence of n strings
        The distinct texts of a column of ids.

    Returns
    -------
    list of int
        Their places in `texts`: those of MISSING_WORDS; if there is none, those of
        WORDS_AMONG_INTEGERS in any case, provided that all others are integers.
    """
    missing = [code for code, text in enumerate(texts) if is_missing(text)]
    if missing:
        return missing
    words = []
    others = []
    for code, text in enumerate(texts):
        if text.strip(" \t").lower() in WORDS_AMONG_INTEGERS:
            words.append(code)
        else:
            others.append(text)
    if not words or not others or typed_ids(others).dtype == object:
        return []
    return words


def typed_ids(texts: Sequence[str]) -> np.ndarray:
    """Turn the distinct texts of a column of ids into integers, if all are ordinary ones.

    Ordinary integers are written as Python writes them, perhaps with decimals that are all zero:
    12, -5 and 12.0, which is 12 as well. Neither 007 nor +5, 1e3 or -0: these may be labels that
    a number would not give back.

    Parameters
    ----------
    texts : sequence of n strings
        Blanks and tabs around them do not count.

    Returns
    -------
    numpy.ndarray
        [n]: int64 if all of them are ordinary integers that int64 holds; else the strings without
        the blanks, as objects. Several texts may become one id.
    """
    stripped = [text.strip(" \t") for text in texts]
    integers = []
    for text in stripped:
        match = ORDINARY_INTEGER.fullmatch(text)
        if match is None:
            return np.array(stripped, dtype=object)
        integers.append(int(match[1]))
    if integers and not -INT64_LIMIT <= min(integers) <= max(integers) < INT64_LIMIT:
        return np.array(stripped, dtype=object)
    return np.array(integers, dtype=np.int64)


def encode_items(raw: Sequence[Any] | np.ndarray | pd.Index, index: pd.Index) -> np.ndarray:
    """Return the dense id of each raw item id.

    Parameters
    ----------
    raw : sequence of n ids
        Raw ids; where the ids of the index are integers, the string '12' finds 12.
    index : pandas.Index
        The raw ids of items 1, 2, 3, ...

    Returns
    -------
    numpy.ndarray
        int64[n]: the position in `index` plus one, 0 where the id is unknown.
    """
    raw = pd.Index(raw)
    if index.inferred_type == "string":
        return index.get_indexer(raw.map(str)).astype(np.int64) + 1

    integers_are_sought = index.dtype.kind in "iuf" and raw.dtype.kind not in "iuf"
    if not integers_are_sought:
        return index.get_indexer(raw).astype(np.int64) + 1

    codes = np.zeros(len(raw), dtype=np.int64)
    is_number = pd.to_numeric(raw, errors="coerce").notna()
    # Read once more without the others: one id that is no number makes all of them floats.
    numbers = pd.to_numeric(raw[is_number])
    codes[is_number] = index.get_indexer(numbers) + 1
    return codes


def dense_ids(raw: Any) -> tuple[np.ndarray, np.ndarray]:
    """Replace raw ids by codes that number the distinct ones in their sorted order.

    Parameters
    ----------
    raw : array-like of M ids, or pandas.Categorical
        Numbers or strings; readers deliver strings as a Categorical.

    Returns
    -------
    codes : numpy.ndarray
        int[M]: which of the distinct ids each one is, from 0.
    distinct : numpy.ndarray
        The n distinct raw ids, sorted.

    Raises
    ------
    DataError
        Where an id is missing, or numbers and strings are mixed.
    """
    if isinstance(raw, pd.Categorical):
        return _dense_categories(raw)
    raw = np.asarray(raw)
    if _is_small_range(raw):
        return _dense_small_integers(raw)

    codes, distinct = pd.factorize(raw, sort=True)
    if len(codes) and codes.min() < 0:
        row = int(np.argmax(codes < 0))
        raise DataError(f"a user or item id is missing (None or NaN) at row {row:,}; drop the row.")
    distinct = np.asarray(distinct)
    if not _are_of_one_kind(distinct):
        raise DataError(
            "user ids, and item ids, must be all numbers or all strings; turn dates, pairs or "
            "a mixture into strings first, as in frame['item'].astype(str)."
        )
    return codes, distinct


def _are_of_one_kind(ids: np.ndarray) -> bool:
    """Whether ids are all numbers or all strings."""
    if ids.dtype.kind in "iufUT":
        return True
    return pd.api.types.infer_dtype(ids, skipna=False) in ONE_KIND


def _dense_categories(raw: pd.Categorical) -> tuple[np.ndarray, np.ndarray]:
    """`dense_ids` of ids that are stored once each: only the distinct ones are sorted."""
    codes, used = dense_ids(raw.codes)
    names = np.asarray(raw.categories)[used]
    if names.dtype.kind not in "iuf":
        names = names.astype(object)  # strings
    order = np.argsort(names)
    place_of = np.argsort(order).astype(np.int32)  # the inverse of the permutation
    return place_of[codes], names[order]


def _is_small_range(raw: np.ndarray) -> bool:
    """Whether a table with a place for every possible id is about as small as the column itself."""
    if len(raw) == 0 or raw.dtype.kind not in "iu":
        return False
    return bool(raw.min() >= 0 and raw.max() < 4 * len(raw) + 1024)


def _dense_small_integers(raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`dense_ids` by a table instead of a hash: mark the ids that occur, and count the marks."""
    present = np.zeros(int(raw.max()) + 1, dtype=bool)
    present[raw] = True
    code_of = np.cumsum(present, dtype=np.int32) - np.int32(1)
    return code_of[raw], np.flatnonzero(present)
