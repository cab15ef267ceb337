"""Tables, the careful way: row by row, knowing the line."""

import csv
import io
from collections.abc import Iterator
from operator import itemgetter

from minirec.data.readers.columns import Rows
from minirec.data.readers.layout import Layout
from minirec.errors import DataError

# The number of the line on which a row begins, and all its fields.
FieldsOfRows = Iterator[tuple[int, list[str]]]


def table_rows(name: str, text: str, layout: Layout) -> Rows:
    """Yield the wanted fields of each row of a table, below its header.

    Parameters
    ----------
    name : str
        Name of the file, for error messages.
    text : str
        All of the file.
    layout : Layout
        How it is written.

    Yields
    ------
    line, texts
        Number of the line on which a row begins; the texts of user, item and perhaps time.

    Raises
    ------
    DataError
        If a row has too few or too many fields, or quotes do not match up.
    """
    if layout.quoted:
        rows = _split_quoted(name, text, layout.separator)
    else:
        rows = _split_plain(text, layout.separator)

    wanted_fields = itemgetter(*layout.wanted)
    header_comes = layout.has_header
    for line, fields in rows:
        if header_comes:
            # Above the header, a line of separators alone is as good as blank.
            header_comes = _is_blank(fields)
            continue
        if len(fields) < 2 and _is_blank(fields):
            continue
        if len(fields) != layout.n_fields:
            raise DataError(
                f"{name}, line {line:,}: {len(fields)} fields where there should be "
                f"{layout.n_fields}. Complete the line or drop it."
            )
        yield line, wanted_fields(fields)


def _is_blank(fields: list[str]) -> bool:
    """Whether there is nothing but blanks in any field."""
    return not "".join(fields).strip()


def _split_plain(text: str, separator: str) -> FieldsOfRows:
    """Yield each line's number and fields, where quotes are characters like any other."""
    for line, content in enumerate(io.StringIO(text, newline=""), start=1):
        yield line, content.rstrip("\r\n").split(separator)


def _split_quoted(name: str, text: str, separator: str) -> FieldsOfRows:
    """Yield each row's first line and fields, where a quoted field may span several lines."""
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    lines_read = 0
    try:
        for fields in rows:
            yield lines_read + 1, fields
            lines_read = rows.line_num
    except csv.Error as error:
        raise DataError(
            f"{name}, line {lines_read + 1:,}: the quotes do not match up, or a field is too long "
            f"({error}). Close or double the quotes, or shorten the field."
        ) from None
