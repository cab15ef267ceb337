"""Which fields of a record are the user, the item and the time.

A *role* is what a field is to us: "user", "item" or "timestamp". A caller may say which field has
each role, by name or by position (`Request.columns`, such as {"user": "customer", "item": 4});
otherwise the usual names are recognised. A *field* is a column of a table or a key of a JSON
record.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from minirec.data.times import BETWEEN_1980_AND_2100
from minirec.errors import DataError, shown

ROLES = ("user", "item", "timestamp")

# Compared without case, and without whatever is neither a letter nor a digit. Of several names in
# one header, the first here wins: a person comes before a session, a product before its variants.
USUAL_NAMES = {
    "user": (
        "user",
        "userid",
        "reviewerid",
        "visitorid",
        "customerid",
        "customer",
        "memberid",
        "profileid",
        "username",
        "uid",
        "userpseudoid",
        "sessionid",
        "session",
    ),
    "item": (
        "item",
        "itemid",
        "movieid",
        "parentasin",
        "asin",
        "productid",
        "product",
        "businessid",
        "bookid",
        "gameid",
        "trackid",
        "songid",
        "newsid",
        "articleid",
        "venueid",
        "isbn",
    ),
    "timestamp": (
        "timestamp",
        "time",
        "unixreviewtime",
        "unixtime",
        "datetime",
        "eventtimestamp",
        "eventtime",
        "eventts",
        "timestampms",
        "timems",
        "ts",
        "date",
        "eventdate",
        "createdat",
        "created",
    ),
}

SHOWN_FIELDS = 12  # an error message lists this many fields of a record at most

# A value that is hardly anything but a point in time: a date, or seconds, milliseconds,
# microseconds or nanoseconds since 1970 that lie between the years 1980 and 2100.
DATE = re.compile(r"\s*(\d{4}[-/]\d{1,2}[-/]\d{1,2}([T ]\d{1,2}:.*)?|\d{8}T\d{4}.*)\s*", re.ASCII)
EPOCH = re.compile(r"\s*\d{9,19}(\.\d+)?\s*", re.ASCII)

WORDS_FOR_TIME = {"time", "timestamp", "date", "datetime", "ts"}


@dataclass(frozen=True)
class Request:
    """What a caller asks of a file.

    columns: the field of each role, by its name or its position; None to recognise the usual names.
    where: fields, by name or position, and the text that each must hold for a row to be read.
    """

    columns: Mapping[str, str | int] | None = None
    where: Mapping[str | int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.columns is None:
            return
        if not {"user", "item"} <= set(self.columns) <= set(ROLES):
            raise DataError(
                "columns must name 'user' and 'item', and may name 'timestamp'; got "
                f"{dict(self.columns)}."
            )
        if len(set(self.columns.values())) < len(self.columns):
            raise DataError(
                "columns must name another field for each role; got the same one twice in "
                f"{dict(self.columns)}."
            )

    @property
    def asked(self) -> list[str | int]:
        """The fields that are asked for, by name or position: those with a role, then filters."""
        return [*(self.columns or {}).values(), *self.where]

    @property
    def by_position(self) -> bool:
        """Whether a field is asked for by its position, as in a table without a header."""
        return any(isinstance(field, int) for field in self.asked)


@dataclass(frozen=True)
class Wanted:
    """Which fields are read, by position: the user, the item, perhaps the time, then the filters.

    labels: how messages call each role's field, such as "column 'user_id'" or "field 0".
    filters: the texts that the fields after the roles must hold.
    unread_times: labels of fields that are not read and look like time.
    """

    positions: tuple[int, ...]
    labels: tuple[str, ...]
    filters: tuple[str, ...] = ()
    unread_times: tuple[str, ...] = ()

    @property
    def has_time(self) -> bool:
        """Whether a time is read."""
        return len(self.labels) == len(ROLES)

    def sentence(self, unit: str, order: str = "the order of the file") -> str:
        """Say what was read as what.

        Parameters
        ----------
        unit : str
            That of the times, in words.
        order : str
            What orders the rows where no time is read.
        """
        parts = []
        for role, label in zip(("user", "item", "time"), self.labels, strict=False):
            parts.append(f"{role} = {label}")
        said = ", ".join(parts)
        if self.has_time:
            said += f" ({unit})"
        else:
            said += f"; no time column was read: {order} counts"
        if self.unread_times:
            look = "looks" if len(self.unread_times) == 1 else "look"
            said += f"; not read: {', '.join(self.unread_times)}, which {look} like time"
        return said


def _plain(name: str) -> str:
    """Return a field's name as it is compared: small letters and digits, without RecBole's type."""
    # RecBole writes a field's type behind its name, as in user_id:token.
    untyped = name.split(":")[0]
    return "".join(letter for letter in untyped.lower() if letter.isalnum())


def find_roles(names: Sequence[str]) -> dict[str, int | None]:
    """Find the fields with the usual names.

    Parameters
    ----------
    names : sequence of str
        The names of a record's fields.

    Returns
    -------
    dict
        The position of each role, None where no field has a usual name of it.
    """
    plain_names = [_plain(name) for name in names]
    return {role: _first_found(usual, plain_names) for role, usual in USUAL_NAMES.items()}


def looks_like_time(name: str | None, value: str) -> bool:
    """Whether a field holds points in time, judged by its name, if it has one, and a value."""
    if DATE.fullmatch(value):
        return True
    if EPOCH.fullmatch(value):
        return _is_recent(float(value))
    if name is None or not value:
        return False
    words = re.findall(r"[A-Z]*[a-z]+|[A-Z]+", name.split(":")[0])
    return any(word.lower() in WORDS_FOR_TIME for word in words)


def choose_fields(
    names: Sequence[str] | None, values: Sequence[str], request: Request, kind: str = "column"
) -> Wanted | None:
    """Choose the fields to read.

    Parameters
    ----------
    names : sequence of str or None
        The names of the fields; None in a table without a header.
    values : sequence of str
        The values of the first record, to see which fields look like time.
    request : Request
        What the caller asks for.
    kind : str
        What a field is called: "column" or "key".

    Returns
    -------
    Wanted or None
        None if a field is missing: `missing_fields_error` says which.
    """
    positions = _position_of_each_role(names, len(values), request)
    filters = [_position(names, len(values), asked) for asked in request.where]
    if _missing_roles(positions, request) or None in filters:
        return None
    if _names_there_twice(names, positions, request):
        return None

    of_roles = [position for position in positions.values() if position is not None]
    all_positions = [*of_roles, *(position for position in filters if position is not None)]

    def label(position: int) -> str:
        return f"field {position}" if names is None else f"{kind} {shown(names[position])}"

    unread = []
    for position, value in enumerate(values):
        name = None if names is None else names[position]
        if position not in all_positions and looks_like_time(name, value):
            unread.append(label(position))
    return Wanted(
        positions=tuple(all_positions),
        labels=tuple(label(position) for position in of_roles),
        filters=tuple(request.where.values()),
        unread_times=tuple(unread),
    )


def missing_fields_error(
    where: str, fields: Sequence[str], request: Request, has_names: bool = True
) -> DataError:
    """Return the error for a record in which `choose_fields` missed something.

    Parameters
    ----------
    where : str
        File and line, such as "log.csv, line 1".
    fields : sequence of str
        Its first record, or the names of its fields.
    request : Request
        As for `choose_fields`.
    has_names : bool
        Whether the fields are names; where only positions count, they are not.

    Returns
    -------
    DataError
        To be raised by the caller.
    """
    names = fields if has_names else None
    positions = _position_of_each_role(names, len(fields), request)
    twice = _names_there_twice(names, positions, request)
    if twice and not _missing_roles(positions, request):
        listed = " and ".join(shown(name) for name in twice)
        return DataError(
            f"{where}: several fields are called {listed}. Rename all but one, or give the "
            "positions of the fields, counted from 0, as in columns={'user': 0, 'item': 1, "
            "'timestamp': 3} (--columns user=0,item=1,timestamp=3)."
        )
    missing = _missing_roles(positions, request)
    columns = request.columns
    wanted = [
        f"the {role}" if columns is None else f"the {role}, {columns[role]!r}," for role in missing
    ]
    for asked in request.where:
        if _position(names, len(fields), asked) is None:
            wanted.append(f"the filter on {asked!r}")

    among = ", ".join(shown(field) for field in fields[:SHOWN_FIELDS])
    if len(fields) > SHOWN_FIELDS:
        among += " ..."
    return DataError(
        f"{where}: nothing for {' and '.join(wanted)} among {among}. If the fields have other "
        "names, pass columns={'user': ..., 'item': ..., 'timestamp': ...}; if this line is no "
        "header, give the positions of the fields, counted from 0, as in "
        "columns={'user': 0, 'item': 1, 'timestamp': 3} (--columns user=0,item=1,timestamp=3)."
    )


def other_columns_error(first: str, wanted: Wanted, name: str, other: Wanted) -> DataError:
    """Return the error for files of one log in which the roles have different fields."""
    return DataError(
        f"{name}: here {', '.join(other.labels)} would be read, but {', '.join(wanted.labels)} in "
        f"{first}. Files of one log need the same fields; say which by columns=."
    )


def no_row_passes_error(name: str, wanted: Wanted) -> DataError:
    """Return the error for a log of whose rows the filters leave none."""
    texts = ", ".join(shown(text) for text in wanted.filters)
    return DataError(
        f"{name}: no row holds {texts} in the fields to filter by; check where= (--where)."
    )


def filtered_sentence(wanted: Wanted, n_left: int, n_rows: int) -> str:
    """Say how many rows the filters left, in words to append; nothing if there are no filters."""
    if not wanted.filters:
        return ""
    return f"; {n_left:,} of {n_rows:,} rows passed the filter"


def _is_recent(number: float) -> bool:
    """Whether a number is a time between 1980 and 2100, in any of the usual units."""
    earliest, latest = BETWEEN_1980_AND_2100
    return any(earliest <= number / unit <= latest for unit in (1, 1e3, 1e6, 1e9))


def _position_of_each_role(
    names: Sequence[str] | None, n_fields: int, request: Request
) -> dict[str, int | None]:
    """Return the position of each role that is sought; None where no field has it."""
    if request.columns is None:
        return find_roles(names) if names is not None else dict.fromkeys(ROLES)
    positions = {}
    for role in ROLES:
        if role in request.columns:
            positions[role] = _position(names, n_fields, request.columns[role])
    return positions


def _position(names: Sequence[str] | None, n_fields: int, asked: str | int) -> int | None:
    """Return the position of a field that is asked for by name or position, or None."""
    if isinstance(asked, int):
        return asked if 0 <= asked < n_fields else None
    if names is None:
        return None
    stripped = [name.strip() for name in names]
    position = _first_found([asked], stripped)
    if position is None:
        position = _first_found([asked], [name.split(":")[0] for name in stripped])
    return position


def _names_there_twice(
    names: Sequence[str] | None, positions: Mapping[str, int | None], request: Request
) -> list[str]:
    """Return the names of chosen fields that other fields have, too; not of those by position."""
    if names is None:
        return []
    twice = []
    for role, position in positions.items():
        by_position = request.columns is not None and isinstance(request.columns[role], int)
        if position is None or by_position:
            continue
        if list(names).count(names[position]) > 1:
            twice.append(names[position])
    return twice


def _first_found(sought: Sequence[str], names: Sequence[str]) -> int | None:
    """Return the position of the first sought name that is there, or None."""
    for name in sought:
        if name in names:
            return names.index(name)
    return None


def _missing_roles(positions: Mapping[str, int | None], request: Request) -> list[str]:
    """Return the roles without a field. Only a time that nobody asked for may be absent."""
    missing = [role for role, position in positions.items() if position is None]
    if request.columns is None and "timestamp" in missing:
        missing.remove("timestamp")
    return missing
