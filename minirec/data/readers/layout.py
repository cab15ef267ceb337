"""How the rows of a table are written, found out from its first lines."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from minirec.data.readers.between_blanks import (
    COMMENT_MARKS,
    NUMBER,
    is_header_of_numbers,
    refuse_table,
)
from minirec.data.readers.header import (
    Request,
    Wanted,
    choose_fields,
    looks_like_time,
    missing_fields_error,
)
from minirec.data.readers.lines import Line
from minirec.errors import DataError, shown

# Tried in this order on a header line.
SEPARATORS = ("::", ",", "\t", ";", "|", " ")

# Tried in this order on rows without a header; "::" is MovieLens's.
SEPARATORS_OF_ROWS = ("::", "\t", ",", ";", "|", " ")

# user, item, rating, time: MovieLens-100K has no header, so its rows must speak for themselves.
U_DATA_LINE = re.compile(r"\d+\t\d+\t\d(\.\d+)?\t\d{9,10}", re.ASCII)

# Excel's own first line, which says what separates the fields below: sep=;
EXCEL_LINE = re.compile(r"sep=(.)", re.IGNORECASE)

TIME_OF_DAY = re.compile(r"\d{1,2}:\d\d", re.ASCII)  # how one begins

N_LINES_JUDGED = 100  # the first lines of a file say how all of it is written


@dataclass(frozen=True)
class Layout:
    """How the rows of a table are written."""

    separator: str  # between two fields of a row; a blank stands for any number of them
    n_fields: int  # per row
    wanted: Wanted
    first_row: int  # number of the line on which the rows begin
    quoted: bool = False  # whether a field may stand in quotes
    blank_before_quote: bool = False  # whether a blank may stand between separator and quote


def find_layout(name: str, head: Sequence[Line], request: Request) -> Layout | None:
    """Find out how a whole file is written from its first lines.

    Parameters
    ----------
    name : str
        Name of the file: `ratings.dat` and `u.data` are known by it.
    head : sequence of (number, text)
        The first lines that are not blank, without line ends; at least one.
    request : Request
        Which fields to read.

    Returns
    -------
    Layout or None
        None if the file is no table: then its lines are `user item item ...`.

    Raises
    ------
    DataError
        If it is a table, but not known which fields of it to read.
    """
    head = list(head)
    separators: Sequence[str] = SEPARATORS
    excel_line = EXCEL_LINE.fullmatch(head[0][1].strip())
    if excel_line is not None and len(head) > 1:
        separators = (excel_line[1],)
        del head[0]

    if request.by_position:
        return _layout_by_position(name, head, request)
    if request.columns is None and not request.where:
        movielens = _layout_of_movielens(name, head)
        if movielens is not None:
            return movielens

    # The first separator that uncovers a user and an item in the first line is the file's.
    line, first_line = head[0]
    widest: list[str] = []
    for separator in separators:
        names = _split(first_line, separator)
        wanted = _choose_below_header(names, head, separator, request)
        if wanted is not None:
            # RecBole gives every field a type, as in user_id:token, and never quotes.
            from_recbole = all(":" in field for field in names)
            if from_recbole:
                _refuse_lists(name, line, names)
            layout = Layout(separator, len(names), wanted, line + 1)
            return layout if from_recbole else _with_quotes(name, layout, head)
        if separator != " " and len(names) > len(widest):
            widest = names

    # With several fields, it is a table that lacks something. Fields between blanks do not count:
    # sequences are written so.
    if request.columns is not None or request.where or len(widest) > 1:
        raise missing_fields_error(f"{name}, line {line:,}", widest, request)
    refuse_table(name, head)
    return None


def _layout_of_movielens(name: str, head: Sequence[Line]) -> Layout | None:
    """Return the layout of MovieLens' two formats without a header, or None."""
    line, first_line = head[0]
    plain_name = re.sub(r"\.(gz|bz2|xz)$", "", name)
    separator = None
    if first_line.count("::") == 3 or plain_name.endswith("ratings.dat"):
        separator = "::"
    elif U_DATA_LINE.fullmatch(first_line.strip()) or plain_name.endswith("u.data"):
        separator = "\t"
    if separator is None or _has_usual_names(first_line):
        return None
    wanted = Wanted((0, 1, 3), ("field 0", "field 1", "field 3"))
    return Layout(separator, 4, wanted, line)


def _has_usual_names(line: str) -> bool:
    """Whether a line is a header with usual names for the user and the item."""
    for separator in SEPARATORS:
        names = _split(line, separator)
        if choose_fields(names, names, Request()) is not None:
            return True
    return False


def _with_quotes(name: str, layout: Layout, head: Sequence[Line]) -> Layout:
    """Add whether fields stand in quotes to a layout, and look how times between blanks stand."""
    lines = [text for _, text in head]
    if layout.separator == "::":
        return layout
    if layout.separator == " ":
        _refuse_time_in_two_fields(name, layout, head)
        # Without quotes, tabs may stand among the blanks.
        has_header = layout.first_row > head[0][0]
        return replace(layout, quoted=has_header or any('"' in line for line in lines))
    quote_after_blank = re.compile(re.escape(layout.separator) + ' +"')
    has_blank = any(quote_after_blank.search(line) for line in lines)
    return replace(layout, quoted=True, blank_before_quote=has_blank)


def _refuse_time_in_two_fields(name: str, layout: Layout, head: Sequence[Line]) -> None:
    """Raise DataError where a blank inside the times, 2017-07-14 06:03, parts them in two."""
    if not layout.wanted.has_time:
        return
    time_at = layout.wanted.positions[2]
    for line, text in head:
        fields = text.split()
        if time_at + 1 < len(fields) and TIME_OF_DAY.match(fields[time_at + 1]):
            raise DataError(
                f"{name}, line {line:,}: fields are separated by blanks, so that the time would be "
                f"read as {shown(fields[time_at])} without {shown(fields[time_at + 1])}. Put "
                "another separator between the fields, or a T between day and time of day."
            )


def _choose_below_header(
    names: Sequence[str], head: Sequence[Line], separator: str, request: Request
) -> Wanted | None:
    """Choose the fields below a header with these names; None if one is missing."""
    values = [""] * len(names)
    if len(head) > 1:
        first_row = _split(head[1][1], separator)
        if len(first_row) == len(names):
            values = first_row
    return choose_fields(names, values, request)


def _layout_by_position(name: str, head: list[Line], request: Request) -> Layout:
    """Return the layout of a table whose fields are asked for by position."""
    while len(head) > 1 and head[0][1].startswith(COMMENT_MARKS):
        del head[0]
    line, first_line = head[0]
    separator = _separator_of_rows([text for _, text in head], request)
    fields = _split(first_line, separator)

    names = fields if _is_header(fields, head, separator, request) else None
    values = fields
    if names is not None:
        line = head[1][0]
        below = _split(head[1][1], separator)
        values = below if len(below) == len(fields) else [""] * len(fields)
    wanted = choose_fields(names, values, request)
    if wanted is None:
        raise missing_fields_error(
            f"{name}, line {line:,}", fields, request, has_names=names is not None
        )
    return _with_quotes(name, Layout(separator, len(fields), wanted, line), head)


def _separator_of_rows(lines: Sequence[str], request: Request) -> str:
    """Return the separator that parts all lines into equally many fields, enough of them."""
    asked = request.asked
    least = 1 + max(1, *(one for one in asked if isinstance(one, int)))
    for separator in SEPARATORS_OF_ROWS:
        widths = {len(_split(line, separator)) for line in lines}
        if len(widths) == 1 and widths.pop() >= least:
            is_mixed = separator == "\t" and _are_numbers_between_blanks(lines)
            return " " if is_mixed else separator

    # None parts them evenly: a row is at fault, which reading it will find.
    n_fields = [len(_split(lines[0], separator)) for separator in SEPARATORS_OF_ROWS]
    return SEPARATORS_OF_ROWS[n_fields.index(max(n_fields))]


def _are_numbers_between_blanks(lines: Sequence[str]) -> bool:
    """Whether lines are equally many numbers each, be it tabs or blanks that separate them.

    Collections of networks write `user item`, then tabs before the weight and the time.
    """
    rows = [line.split() for line in lines]
    alike = len({len(row) for row in rows}) == 1
    return alike and all(NUMBER.fullmatch(word) for row in rows for word in row)


def _is_header(
    fields: Sequence[str], head: Sequence[Line], separator: str, request: Request
) -> bool:
    """Whether the first line of a table is a header, though fields are asked for by position."""
    if len(head) < 2:
        return False
    asked = request.asked
    if any(isinstance(one, str) for one in asked):
        return True  # a name is asked for as well

    # Names above numbers; a time that the second line has and the first has not; or a usual name
    # for the user and the item.
    rows = [fields, *(_split(text, separator) for _, text in head[1:])]
    if is_header_of_numbers(_asked_for(rows, asked)):
        return True
    below = rows[1]
    for field, value in zip(fields, below, strict=False):
        if looks_like_time(None, value) and not looks_like_time(None, field):
            return True
    wanted = choose_fields(fields, fields, Request())
    return wanted is not None


def _asked_for(rows: Sequence[Sequence[str]], positions: Sequence[str | int]) -> list[list[str]]:
    """Return of each row the fields at these positions, those that it has."""
    chosen = []
    for row in rows:
        has = [at for at in positions if isinstance(at, int) and at < len(row)]
        chosen.append([row[at] for at in has])
    return chosen


def _split(line: str, separator: str) -> list[str]:
    """Return the fields of a line, without blanks around them; none where quotes are open."""
    if separator == " " and '"' not in line:
        return line.split()
    if separator == "::":
        return [field.strip() for field in line.split(separator)]
    if separator == " ":
        line = line.strip()
    try:
        fields = next(csv.reader([line], delimiter=separator, skipinitialspace=True, strict=True))
    except csv.Error:
        return []
    return [field.strip() for field in fields]


def _refuse_lists(name: str, line: int, names: Sequence[str]) -> None:
    """Raise DataError for RecBole's benchmark files, in which a row holds a whole history."""
    for field in names:
        field_name, _, kind = field.partition(":")
        if field_name.endswith("_list") and kind.endswith("_seq"):
            raise DataError(
                f"{name}, line {line:,}: the field {shown(field)} is a list: this is one of "
                "RecBole's benchmark files, which repeat every history for each of its items. Pass "
                "the data set's own .inter file, with one interaction per line."
            )
