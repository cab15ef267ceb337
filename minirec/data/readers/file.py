"""Readers: an interaction log in any of the usual formats becomes columns of raw ids and whole seconds.

Read are, plain or gzipped: MovieLens `ratings.dat` (user::item::rating::time) and `u.data` (the same, tab-separated), also inside their zip; Amazon
5-core JSON lines; RecBole `.inter`; CSV or TSV with a header; and `user item item ...` lines, oldest first, without times. The content decides.

A large file takes the fast way, pandas' parser, if what that finds proves to be all that the file holds. All others, and every error, take the
careful way: field by field, knowing the line.
"""

import re
from pathlib import Path

from minirec.data.readers.columns import Columns, columns_of
from minirec.data.readers.content import decoded, file_content
from minirec.data.readers.fast import read_fast
from minirec.data.readers.json_lines import json_rows
from minirec.data.readers.layout import USUAL_NAMES, find_layout
from minirec.data.readers.sequences import sequence_rows
from minirec.data.readers.tables import table_rows
from minirec.errors import DataError

FAST_BYTES = 1 << 20  # below this, the careful way is fast enough


def read_interactions_file(path, columns: dict[str, str] | None = None) -> Columns:
    """(users, items, timestamps or None): a row an interaction, in file order.

    Raw ids are int64 where every id of the column is an integer written the ordinary way, else a pd.Categorical of strings ('007' stays '007');
    blanks around them are dropped. Timestamps are int64, cut to whole seconds. `columns` names the header's fields (or the JSON keys), such as
    {"user": "customer", "item": "sku", "timestamp": "when"}; left out, the usual names are recognised. Without "timestamp" no times are read.
    Anything amiss is a DataError that names file and line.
    """
    if columns is not None and not {"user", "item"} <= set(columns) <= set(USUAL_NAMES):
        raise DataError(
            f"columns must name 'user' and 'item', and may name 'timestamp'; got {columns}."
        )
    name, raw = file_content(Path(path))
    raw = raw.removeprefix(b"\xef\xbb\xbf")  # the mark some editors put before UTF-8
    first = re.search(rb"[^\r\n]*\S[^\r\n]*", raw)
    if first is None:
        raise DataError(f"{name} is empty: there is nothing to read.")
    top = raw.count(b"\n", 0, first.start()) + 1
    first_line = decoded(name, first.group(), top)
    if first_line.lstrip().startswith(("{", "[")):
        return columns_of(name, json_rows(name, decoded(name, raw), columns))
    layout = find_layout(f"{name}, line {top:,}", name.removesuffix(".gz"), first_line, columns)
    if len(raw) >= FAST_BYTES and raw.startswith(
        (b"\n", b"\r\n"), first.end()
    ):  # a lone return ends a line too, but not of a plain file
        if found := read_fast(
            raw[raw.index(b"\n", first.end()) + 1 :] if layout and layout.has_header else raw,
            layout,
        ):
            return found
    return columns_of(
        name,
        table_rows(name, decoded(name, raw), layout)
        if layout
        else sequence_rows(name, decoded(name, raw)),
    )
