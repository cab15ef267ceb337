"""Tables, the careful way: row by row, knowing the line."""

import csv
from collections.abc import Generator, Iterable
from contextlib import closing
from itertools import chain
from operator import itemgetter

from minirec.data.readers.careful import Rows
from minirec.data.readers.layout import Layout
from minirec.data.readers.lines import LONGEST_LINE, Line
from minirec.errors import DataError, shown

# The number of the line on which a row begins, and all its fields.
FieldsOfRows = Generator[tuple[int, list[str]]]


def table_rows(name: str, lines: Iterable[Line], layout: Layout) -> Rows:
    """Yield the wanted fields of each row of a table.

    Parameters
    ----------
    name : str
        Name of the file, for error messages.
    lines : iterable of (number, text)
        All its lines, as `numbered_lines` yields them.
    layout : Layout
        How it is written.

    Yields
    ------
    line, texts
        Number of the line on which a row begins; the texts of the wanted fields.

    Raises
    ------
    DataError
        If a row has too few or too many fields, or quotes do not match up.
    """
    below_header = (line for line in lines if line[0] >= layout.first_row)
    if layout.quoted:
        rows = _split_quoted(name, below_header, layout)
    else:
        rows = _split_plain(below_header, layout.separator)

    wanted_fields = itemgetter(*layout.wanted.positions)
    with closing(rows):
        for line, fields in rows:
            if len(fields) < 2 and not "".join(fields).strip():
                continue  # a blank line
            if len(fields) != layout.n_fields:
                raise DataError(
                    f"{name}, line {line:,}: {len(fields)} fields where there should be "
                    f"{layout.n_fields}. Complete the line or drop it."
                )
            yield line, wanted_fields(fields)


def _split_plain(lines: Iterable[Line], separator: str) -> FieldsOfRows:
    """Yield each line's number and fields, where quotes are characters like any other."""
    for line, text in lines:
        content = text.rstrip("\r\n")
        # Between blanks, no field can be empty: any number of them part two fields.
        yield line, content.split() if separator == " " else content.split(separator)


def _split_quoted(name: str, lines: Iterable[Line], layout: Layout) -> FieldsOfRows:
    """Yield each row's first line and fields, where a quoted field may span several lines."""
    lines = iter(lines)
    first = next(lines, None)
    if first is None:
        return
    line = first[0]
    texts = (text for _, text in chain([first], lines))
    if layout.separator == " ":
        texts = (text.strip(" \t\r\n") + "\n" for text in texts)  # a blank at the end parts nothing
    rows = csv.reader(
        texts,
        delimiter=layout.separator,
        skipinitialspace=layout.separator == " " or layout.blank_before_quote,
        strict=True,
    )
    lines_read = 0
    usual_limit = csv.field_size_limit(LONGEST_LINE)  # reviews are longer than the module's own
    try:
        for fields in rows:
            yield line + lines_read, fields
            lines_read = rows.line_num
    except csv.Error as error:
        raise DataError(
            f"{name}, line {line + lines_read:,}: the quotes do not match up, or a field is too "
            f"long ({shown(error)}). Close or double the quotes, or shorten the field."
        ) from None
    finally:
        csv.field_size_limit(usual_limit)
