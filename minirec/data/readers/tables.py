"""Tables, the careful way: field by field, knowing the line."""

import csv
import io
from operator import itemgetter

from minirec.data.readers.columns import Rows
from minirec.data.readers.layout import Layout
from minirec.errors import DataError


def table_rows(name: str, text: str, layout: Layout) -> Rows:
    """Yield the line number and the wanted fields of each row."""
    lines, line, header_next, chosen = (
        io.StringIO(text, newline=""),
        0,
        layout.has_header,
        itemgetter(*layout.wanted),
    )
    rows = (
        csv.reader(lines, delimiter=layout.separator, strict=True)
        if layout.quoted
        else (content.rstrip("\r\n").split(layout.separator) for content in lines)
    )
    try:
        for fields in rows:
            top, line = (
                line + 1,
                rows.line_num if layout.quoted else line + 1,
            )  # a quoted field may span lines
            if (header_next or len(fields) < 2) and not "".join(
                fields
            ).strip():  # below the header, separators alone are empty fields
                continue
            if header_next:
                header_next = False
            elif len(fields) == layout.n_fields:
                yield top, *chosen(fields)
            else:
                raise DataError(
                    f"{name}, line {top:,}: {len(fields)} fields where there should be {layout.n_fields}. Complete the line or drop it."
                )
    except csv.Error as error:
        raise DataError(
            f"{name}, line {line + 1:,}: the quotes do not match up, or a field is too long ({error}). Close or double the quotes, or "
            "shorten the field."
        ) from None
