"""How the rows of a table are written, found out from its first line."""

import csv
import re
from dataclasses import dataclass

from minirec.data.readers.header import find_positions, missing_fields_error

# Tried in this order on a header line.
SEPARATORS = (",", "\t", ";", "|", " ")

# user, item, rating, time: MovieLens-100K has no header, so its rows must speak for themselves.
U_DATA_LINE = re.compile(r"\d+\t\d+\t\d(\.\d+)?\t\d{9,10}", re.ASCII)


@dataclass(frozen=True)
class Layout:
    """How the rows of a table are written."""

    separator: str  # between two fields of a row
    n_fields: int  # per row
    wanted: tuple[int, ...]  # positions of the user, the item and perhaps the time
    has_header: bool = False  # whether the first row that is not blank names the fields
    quoted: bool = False  # whether a field may stand in quotes


RATINGS_DAT = Layout("::", n_fields=4, wanted=(0, 1, 3))
U_DATA = Layout("\t", n_fields=4, wanted=(0, 1, 3))


def find_layout(
    name: str, line: int, first_line: str, columns: dict[str, str] | None
) -> Layout | None:
    """Find out how a whole file is written from its first line that is not blank.

    Parameters
    ----------
    name : str
        Name of the file: `ratings.dat` and `u.data` are known by it.
    line : int
        Number of that line, for error messages.
    first_line : str
        Its text, without the line end.
    columns : dict or None
        The field's name for each role, see `find_positions`. If given, there must be a header.

    Returns
    -------
    Layout or None
        None if the file is no table: then its lines are `user item item ...`.

    Raises
    ------
    DataError
        If the line has several fields, but not those that are needed.
    """
    # 1. MovieLens' two formats without a header.
    if columns is None:
        plain_name = name.removesuffix(".gz")
        if first_line.count("::") == 3 or plain_name.endswith("ratings.dat"):
            return RATINGS_DAT
        if U_DATA_LINE.fullmatch(first_line.strip()) or plain_name.endswith("u.data"):
            return U_DATA

    # 2. A header: the first separator that uncovers a user and an item is the file's.
    widest: list[str] = []
    for separator in SEPARATORS:
        fields = _split_header(first_line, separator)
        positions = find_positions(fields, columns)
        if positions is not None:
            return _layout_of_header(separator, fields, positions)
        if separator != " " and len(fields) > len(widest):
            widest = fields

    # 3. Neither. With several fields it is a table that lacks something. Fields between blanks do
    #    not count: sequences are written so.
    if columns is not None or len(widest) > 1:
        raise missing_fields_error(f"{name}, line {line:,}", widest, columns)
    return None


def _split_header(first_line: str, separator: str) -> list[str]:
    """Return the fields of a header, without blanks around them; none where quotes are open."""
    try:
        fields = next(csv.reader([first_line], delimiter=separator, strict=True))
    except csv.Error:
        return []
    return [field.strip() for field in fields]


def _layout_of_header(separator: str, fields: list[str], positions: tuple[int, ...]) -> Layout:
    """Return the layout of a table with this header."""
    # RecBole gives every field a type, as in user_id:token, and never quotes.
    from_recbole = all(":" in field for field in fields)
    return Layout(
        separator=separator,
        n_fields=len(fields),
        wanted=positions,
        has_header=True,
        quoted=not from_recbole,
    )
