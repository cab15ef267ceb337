"""An interaction log in any of the usual formats becomes columns of raw ids and times.

The formats, plain or packed (gz, bz2, xz, or a zip with one table); the content decides which it
is, not the name:

- CSV, TSV and the like, with a header, or without one where fields are given by position;
- MovieLens `ratings.dat` (user::item::rating::time) and `u.data` (the same, separated by tabs);
- RecBole `.inter`;
- JSON lines, or one JSON array of objects;
- Parquet;
- lines of `user item item ...`, the oldest item first, without times.

Which way a file goes
---------------------
::

    path  ->  Content  ->  Source  ->  Coded, Moments  ->  Log

- Content: a plain file on the disk, text or Parquet; everything else is unpacked or refused
  (content.py, with formats.py, unpacking.py and archives.py).
- Source: how a text is written, and which of its fields are read, as its first lines say
  (lines.py, layout.py, header.py).
- Coded, Moments: the users and items as texts, and the times, by one of two ways. The careful way
  goes row by row (tables.py, json_records.py or sequences.py; careful.py collects the rows). The
  fast way takes all rows at once: those of large tables and of Parquet (engine.py), and lines of
  nothing but integers (sequences.py).
- Log: raw ids (coded.py), and one integer for each time (minirec.data.times).

The fast way counts only where it proves to have lost nothing. All other files take the careful way,
and so does every text with an error, for that way knows the line.

Words
-----
role
    What a field is to us: user, item or timestamp.
request, wanted
    The fields that a caller asks for; the fields that are read, by position.
layout
    How the rows of a table are written: what separates fields, how many, and where rows begin.
row
    The number of a line and the texts of its wanted fields: one interaction.
moments, ticks
    Times, exact; the int64 that stand for them.
"""

import glob
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from minirec.data.readers import engine
from minirec.data.readers.careful import Collector, Rows
from minirec.data.readers.coded import Log, ids_of, timestamps_of
from minirec.data.readers.content import Content, opened
from minirec.data.readers.header import (
    Request,
    Wanted,
    filtered_sentence,
    no_row_passes_error,
    other_columns_error,
)
from minirec.data.readers.json_records import (
    JsonReader,
    is_json,
    records_of_array,
    records_of_lines,
)
from minirec.data.readers.layout import N_LINES_JUDGED, find_layout
from minirec.data.readers.lines import first_lines, numbered_lines
from minirec.data.readers.sequences import Sequences, integer_sequences
from minirec.data.readers.tables import table_rows
from minirec.errors import DataError, shown

FAST_BYTES = 1 << 20  # below this size, the careful way is fast enough

SEQUENCES = "sequences"  # what a caller says where lines are `user item item ...` beyond doubt


@dataclass(frozen=True)
class Source:
    """One text file, ready to be read."""

    name: str
    wanted: Wanted
    rows: Rows  # the careful way: not begun yet, and to be read once
    unit: str = "line"  # what the numbers of the rows count
    table: engine.Table | None = None  # where the fast way may be tried
    sequences: Sequences | None = None  # where lines are `user item item ...`

    def sentence(self, unit_of_times: str) -> str:
        """Say what was read as what, once it has been read."""
        if self.sequences is not None:
            return self.sequences.sentence()
        return self.wanted.sentence(unit_of_times)


def read_interactions_file(
    path: str | os.PathLike[str], request: Request | str | None = None, trusted: bool = False
) -> Log:
    """Read an interaction log: one row per interaction, in file order.

    Parameters
    ----------
    path : str or path-like
        A file in one of the formats listed at the head of this module, or a pattern such as
        "logs/2024-*.csv": then the files that match, in the order of their names, are one log.
    request : Request, "sequences" or None
        Which fields to read; None recognises the usual names. "sequences" reads lines of
        `user item item ...` even if they look like rows of a table.
    trusted : bool
        Whether a packed file may be unpacked whatever its size.

    Returns
    -------
    Log
        Raw ids: int64 where every id of the column is an integer, else strings ('007' stays
        '007'), without blanks around them. Times with full precision; None where the file has
        none, or none were asked for.

    Raises
    ------
    DataError
        If anything is amiss; it names the file, the line and what to do.
    """
    if request is None:
        request = Request()
    paths = _matching_files(path)
    with ExitStack() as stack:
        contents = [stack.enter_context(opened(one, trusted=trusted)) for one in paths]
        kinds = {content.kind for content in contents}
        if kinds == {"parquet"}:
            return _read_parquet(contents, request)
        if "parquet" in kinds:
            raise DataError(f"{path}: some files are Parquet and some are text; read one kind.")
        return _read_text(contents, request)


def _matching_files(path: str | os.PathLike[str]) -> list[Path]:
    """Return the file itself, or those that match a pattern with *, ? or [...], sorted by name.

    DataError where none does. A file whose own name holds such a sign is that file.
    """
    if os.path.lexists(path) or not glob.has_magic(str(path)):
        return [Path(path)]
    found = sorted(glob.glob(str(path), recursive=True))
    if not found:
        raise DataError(f"no file matches {shown(path)}.")
    return [Path(one) for one in found]


def _read_parquet(contents: Sequence[Content], request: Request | str) -> Log:
    """Read Parquet files."""
    if not engine.is_installed():
        raise DataError(
            f"{contents[0].name}: Parquet needs Polars; install it with: pip install polars"
        )
    if isinstance(request, str):
        raise DataError(
            f"{contents[0].name}: a Parquet file holds columns and no lines of `user item item "
            f"...`; leave out columns={request!r}."
        )
    names = [content.name for content in contents]
    return engine.read_parquet(names, [content.path for content in contents], request)


def _read_text(contents: Sequence[Content], request: Request | str) -> Log:
    """Read text files: the fast way where that loses nothing, else the careful one."""
    sources = [_source(content, request) for content in contents]
    first = sources[0]
    if len(sources) == 1 and first.sequences is not None:
        log = _integers(first.sequences, contents[0].path)
        if log is not None:
            return log
    for source in sources[1:]:
        if source.wanted.labels != first.wanted.labels:
            raise other_columns_error(first.name, first.wanted, source.name, source.wanted)

    tables = [source.table for source in sources if source.table is not None]
    n_bytes = sum(content.path.stat().st_size for content in contents)
    if len(tables) == len(sources) and n_bytes >= FAST_BYTES and engine.is_installed():
        log = engine.read_tables(tables)
        if log is not None:
            return log
    return _read_carefully(sources)


def _read_carefully(sources: Sequence[Source]) -> Log:
    """Read files row by row; DataError with the line where anything is amiss."""
    first = sources[0]
    wanted = first.wanted
    collector = Collector(wanted.has_time, wanted.filters)
    for source in sources:
        collector.add(source.name, source.rows, source.unit)
    if collector.is_empty:
        raise no_row_passes_error(first.name, wanted)
    users, items, moments = collector.columns()
    n_left = len(users.codes)
    n_rows = n_left + collector.n_filtered_out
    timestamps, unit = timestamps_of(moments, collector.name_row)
    return Log(
        ids_of(users, "user", collector.name_row),
        ids_of(items, "item", collector.name_row),
        timestamps,
        unit,
        first.sentence(unit) + filtered_sentence(wanted, n_left, n_rows),
    )


def _source(content: Content, request: Request | str) -> Source:
    """Find out how a text file is written; DataError where that cannot be."""
    name = content.name
    path = content.path
    head = first_lines(name, path, N_LINES_JUDGED)
    if isinstance(request, str):
        return _sequences(name, path)

    first_line = head[0][1]
    if is_json(first_line):
        return _json(name, path, first_line, request)

    layout = find_layout(name, head, request)
    if layout is None:
        return _sequences(name, path)
    rows_in_head = [text for number, text in head if number >= layout.first_row]
    table = None
    # Polars separates fields by one character, and takes a blank before a quote for text.
    if rows_in_head and layout.separator != " " and not layout.blank_before_quote:
        table = engine.Table(path, layout, rows_in_head[0])
    rows = table_rows(name, numbered_lines(name, path), layout)
    return Source(name, layout.wanted, rows, table=table)


def _json(name: str, path: Path, first_line: str, request: Request) -> Source:
    """Return a file of JSON."""
    is_array = first_line.lstrip().startswith("[")
    if is_array:
        records = records_of_array(name, path)
    else:
        records = records_of_lines(name, numbered_lines(name, path))
    reader = JsonReader(name, records, request)
    unit = "record" if is_array else "line"
    return Source(name, reader.wanted, reader.rows(), unit)


def _sequences(name: str, path: Path) -> Source:
    """Return a file of lines of `user item item ...`."""
    sequences = Sequences(name)
    wanted = Wanted((0, 1), ("the first word of a line", "the others"))
    rows = sequences.rows(numbered_lines(name, path))
    return Source(name, wanted, rows, sequences=sequences)


def _integers(sequences: Sequences, path: Path) -> Log | None:
    """Read lines of `user item item ...` that hold nothing but integers; None for others."""
    found = integer_sequences(path)
    if found is None:
        return None
    sequences.lonely_users = found.lonely_users
    return Log(found.users, found.items, None, "", sequences.sentence())
