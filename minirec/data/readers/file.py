"""An interaction log in any of the usual formats becomes columns of raw ids and whole seconds.

The formats, plain or gzipped; a file's content decides which it is:

- MovieLens `ratings.dat` (user::item::rating::time) and `u.data` (the same, separated by tabs),
  also inside their zip;
- Amazon 5-core JSON lines;
- RecBole `.inter`;
- CSV or TSV with a header;
- lines of `user item item ...`, the oldest item first, without times.

The steps: the bytes (content.py); the first line that is not blank, which says how the rest is
written (json_lines.py, layout.py, header.py); the rows (tables.py, json_lines.py, sequences.py);
the columns (columns.py). A large table or file of sequences takes the fast way through its rows
(fast.py) if that proves to lose nothing. All others, and every error, take the careful way: row by
row, knowing the line.
"""

import os
import re
from pathlib import Path

from minirec.data.readers.columns import Columns, columns_from_rows
from minirec.data.readers.content import decoded, file_content
from minirec.data.readers.fast import read_fast
from minirec.data.readers.header import USUAL_NAMES
from minirec.data.readers.json_lines import is_json, json_rows
from minirec.data.readers.layout import find_layout
from minirec.data.readers.sequences import sequence_rows
from minirec.data.readers.tables import table_rows
from minirec.errors import DataError

FAST_BYTES = 1 << 20  # below this size, the careful way is fast enough

UTF8_MARK = b"\xef\xbb\xbf"  # the byte order mark that some editors put before UTF-8

LINE_NOT_BLANK = re.compile(rb"[^\r\n]*\S[^\r\n]*")


def read_interactions_file(
    path: str | os.PathLike[str], columns: dict[str, str] | None = None
) -> Columns:
    """Read an interaction log: one row per interaction, in file order.

    Parameters
    ----------
    path : str or path-like
        A file in one of the formats listed at the head of this module.
    columns : dict, optional
        The header's fields (or the JSON keys), such as {"user": "customer", "item": "sku",
        "timestamp": "when"}; left out, the usual names are recognised. Without "timestamp" no
        times are read.

    Returns
    -------
    users, items : int64 array or pandas Categorical of strings, [interactions]
        Raw ids: int64 where every id of the column is an integer written the ordinary way, else
        strings ('007' stays '007'). Blanks around them are dropped.
    timestamps : int64 array [interactions] or None
        Cut to whole seconds; None where the file has no times, or none were asked for.

    Raises
    ------
    DataError
        If anything is amiss; it names the file, the line and what to do.
    """
    if columns is not None and not {"user", "item"} <= set(columns) <= set(USUAL_NAMES):
        raise DataError(
            f"columns must name 'user' and 'item', and may name 'timestamp'; got {columns}."
        )
    name, raw = file_content(Path(path))
    raw = raw.removeprefix(UTF8_MARK)

    # The first line that is not blank says how the whole file is written.
    found = LINE_NOT_BLANK.search(raw)
    if found is None:
        raise DataError(f"{name} is empty: there is nothing to read.")
    line = raw.count(b"\n", 0, found.start()) + 1
    first_line = decoded(name, found.group(), line)

    if is_json(first_line):
        return columns_from_rows(name, json_rows(name, decoded(name, raw), columns))

    layout = find_layout(name, line, first_line, columns)
    if len(raw) >= FAST_BYTES:
        fast_columns = read_fast(raw, found.end(), layout)
        if fast_columns is not None:
            return fast_columns

    text = decoded(name, raw)
    rows = sequence_rows(name, text) if layout is None else table_rows(name, text, layout)
    return columns_from_rows(name, rows)
