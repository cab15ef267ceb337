"""How the rows of a table are written, found out from its first line."""

import contextlib
import csv
import re
from typing import NamedTuple

from minirec.errors import DataError

USUAL_NAMES = {
    "user": ("user", "userid", "reviewerid"),
    "item": ("item", "itemid", "movieid", "asin"),
    "timestamp": ("timestamp", "time", "unixreviewtime"),
}  # compared without case and underscores

SEPARATORS = (",", "\t", ";", "|", " ")

U_DATA_LINE = re.compile(r"\d+\t\d+\t\d(\.\d+)?\t\d{9,10}", re.ASCII)


class Layout(NamedTuple):
    """How the rows of a file are written: its separator, fields a row, the positions of user, item and perhaps time; whether it has a header and
    may quote fields."""

    separator: str
    n_fields: int
    wanted: tuple[int, ...]
    has_header: bool = False
    quoted: bool = False


def find_layout(
    where: str, name: str, first_line: str, columns: dict[str, str] | None
) -> Layout | None:
    """What the first line that is not blank says of the whole file; None if its lines are `user item item ...`."""
    if columns is None and (first_line.count("::") == 3 or name.endswith("ratings.dat")):
        return Layout("::", 4, (0, 1, 3))
    if columns is None and (U_DATA_LINE.fullmatch(first_line.strip()) or name.endswith("u.data")):
        return Layout("\t", 4, (0, 1, 3))
    widest: list[str] = []
    for separator in SEPARATORS:
        with contextlib.suppress(DataError, csv.Error):
            fields = [
                field.strip()
                for field in next(csv.reader([first_line], delimiter=separator, strict=True))
            ]
            widest = max(widest, fields if separator != " " else [], key=len)
            wanted = find_positions(where, fields, columns)
            typed = all(
                ":" in field for field in fields
            )  # RecBole writes user_id:token, and never quotes
            return Layout(separator, len(fields), wanted, has_header=True, quoted=not typed)
    if columns is not None or len(widest) > 1:
        find_positions(where, widest, columns)  # raises, and says what is missing
    return None


def find_positions(
    where: str, fields: list[str], columns: dict[str, str] | None
) -> tuple[int, ...]:
    """Where the header has user, item and, if asked for or recognised, time. Raises DataError where one is missing."""
    plain = [field.split(":")[0] for field in fields]
    known = (
        [field.lower().replace("_", "") for field in plain]
        if columns is None
        else [*fields, *plain]
    )
    sought = (
        USUAL_NAMES
        if columns is None
        else {role: (columns[role],) for role in USUAL_NAMES if role in columns}
    )
    found = {
        role: next((known.index(name) % len(fields) for name in names if name in known), None)
        for role, names in sought.items()
    }
    missing = [
        role
        for role, position in found.items()
        if position is None and (role != "timestamp" or columns is not None)
    ]
    if missing:
        wanted = " and ".join(
            f"the {role}" if columns is None else f"the {role}, {columns[role]!r},"
            for role in missing
        )
        raise DataError(
            f"{where}: nothing for {wanted} among {', '.join(map(repr, fields[:12]))}{' ...' if len(fields) > 12 else ''}. "
            "If the fields have other names, pass columns={'user': ..., 'item': ..., 'timestamp': ...}; a file without a header line needs one."
        )
    return tuple(position for position in found.values() if position is not None)
