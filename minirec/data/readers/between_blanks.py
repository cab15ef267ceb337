"""Whether lines of words between blanks are sequences, `user item item ...`, or a table.

Nothing in a file says so, and a table that passes for sequences becomes a log whose items are
ratings and times. So whatever looks like a table is refused, and its reader asked for a word.
"""

import re
from collections.abc import Sequence

from minirec.data.readers.header import looks_like_time
from minirec.data.readers.lines import Line
from minirec.errors import DataError, shown

# How collections of networks begin the lines above their rows.
COMMENT_MARKS = ("%", "#")

# What may separate the fields of rows whose first line does not show it.
OTHER_SEPARATORS = ("::", "\t", ",", ";", "|", "^", "\x01")

NUMBER = re.compile(r"[-+]?\d+(\.\d*)?(e[-+]?\d+)?", re.ASCII | re.IGNORECASE)

MOST_COLUMNS = 8  # lines of more words that are equally long are sequences after all

LARGEST_RATING = 10

ENOUGH_LINES = 10  # that hold nothing but small integers, so that these are ratings

# From this share of the lines on that are parted alike, these are rows of a table.
MOST_LINES = 0.5


def refuse_table(name: str, head: Sequence[Line]) -> None:
    """Raise DataError where lines that would pass for `user item item ...` are rows of a table.

    Parameters
    ----------
    name : str
        Name of the file.
    head : sequence of (number, text)
        Its first lines that are not blank; at least one.

    Raises
    ------
    DataError
        It says how to have the lines read as what they are.
    """
    line, first_line = head[0]
    if first_line.startswith(COMMENT_MARKS):
        raise DataError(
            f"{name}, line {line:,}: the file begins with a comment. If its lines are rows of a "
            "table, name the fields by position, counted from 0, as in columns={'user': 0, "
            "'item': 1} (--columns user=0,item=1); if they are sequences, take the comment out."
        )
    _refuse_separated_rows(name, head)

    rows = [text.split() for _, text in head]
    if len({len(row) for row in rows}) > 1 or not 2 <= len(rows[0]) <= MOST_COLUMNS:
        return  # lines of unequal length: sequences
    has_header = is_header_of_numbers(rows)
    columns = list(zip(*rows[has_header:], strict=True))
    roles = _roles_of_columns(columns)
    if roles is None and has_header:
        roles = {"user": 0, "item": 1}
    if roles is not None:
        raise _table_error(f"{name}, line {line:,}", roles, len(columns), _rating_column(columns))


def is_header_of_numbers(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row holds no number, and all others nothing but numbers and times."""
    if len(rows) < 2 or any(_is_number_or_time(text) for text in rows[0]):
        return False
    return all(_is_number_or_time(text) for row in rows[1:] for text in row)


def _is_number_or_time(text: str) -> bool:
    """Whether a word is a number or a point in time."""
    return NUMBER.fullmatch(text) is not None or looks_like_time(None, text)


def _refuse_separated_rows(name: str, head: Sequence[Line]) -> None:
    """Raise DataError where the lines below the first are fields between something else.

    So it is where a title stands above a table. The first line does not show the separator, or
    the file would have been known for a table.
    """
    below = [text for _, text in head[1:]]
    for separator in OTHER_SEPARATORS:
        counts = [text.count(separator) for text in below]
        if not any(counts):
            continue
        usual = max(counts, key=counts.count)
        if usual > 0 and counts.count(usual) > MOST_LINES * len(counts):
            line, first_line = head[0]
            raise DataError(
                f"{name}, line {line:,}: {shown(first_line)} names no user and item, but the lines "
                f"below are fields between {shown(separator)}. Take out what stands above the "
                "table, and separate its fields by a comma, tab, semicolon or |. If each line "
                "really is a user and their items, pass columns='sequences' (--columns sequences)."
            )


def _table_error(where: str, roles: dict[str, int], width: int, rating: int | None) -> DataError:
    """Return the error for a table, which tells how to read it."""
    guessed = {position: role for role, position in roles.items()}
    if rating is not None:
        guessed.setdefault(rating, "rating")
    guess = " ".join(guessed[position] for position in sorted(guessed)).replace("stamp", "")
    typed = ",".join(f"{role}={position}" for role, position in roles.items())
    return DataError(
        f"{where}: looks like a table of {guess}, {width} fields per line. Name the columns: "
        f"columns={roles} (--columns {typed}), counted from 0. If each line really is a user and "
        "their items, pass columns='sequences' (--columns sequences)."
    )


def _roles_of_columns(columns: Sequence[Sequence[str]]) -> dict[str, int] | None:
    """Guess the roles of a table's columns; None if these are as well items of sequences."""
    if len(columns) < 3:
        return None
    time = _time_column(columns)
    if time is None and _rating_column(columns) is None:
        return None
    ids = [position for position in range(len(columns)) if position != time]
    roles = {"user": ids[0], "item": ids[1]}
    if time is not None:
        roles["timestamp"] = time
    return roles


def _time_column(columns: Sequence[Sequence[str]]) -> int | None:
    """Return the position of the column of times, None if there is none.

    Large ids look like times, too. So where users or items do, it must be the only such column.
    """
    times = []
    for position, texts in enumerate(columns):
        if all(looks_like_time(None, text) for text in texts):
            times.append(position)
    if not times or (min(times) < 2 and len(times) > 1):
        return None
    return times[0]


def _rating_column(columns: Sequence[Sequence[str]]) -> int | None:
    """Return 2 if the third column holds ratings and the second does not, else None.

    Ratings are decimals, or small integers where at least ten lines have nothing else.
    """
    if len(columns) < 3:
        return None
    items = columns[1]
    ratings = columns[2]
    if all(re.fullmatch(r"-?\d+\.\d+", text) for text in ratings):
        return 2
    few = all(_is_small(text) for text in ratings) and not all(_is_small(text) for text in items)
    return 2 if few and len(ratings) >= ENOUGH_LINES else None


def _is_small(text: str) -> bool:
    """Whether a text is a number that may be a rating."""
    try:
        return 0 <= float(text) <= LARGEST_RATING
    except ValueError:
        return False
