r"""The fast way through large tables: Polars reads them, on all cores and in little memory.

Polars parses, unpacks Parquet and keeps each distinct text once; a log of any size goes through in
pieces, so that only 16 bytes of an interaction stay in memory. A log of more than
`ROWS_SORTED_OUTSIDE` interactions is also put in order by Polars, which keeps what does not fit
into memory on the disk meanwhile.

Polars is more forgiving than the careful way (careful.py): it fills in fields that a row lacks.
What it read counts only if it is proven that there was nothing to forgive:

1. No row has too many fields: Polars refuses such a row, provided that it reads all its fields.
2. No row has too few: either no row's last field is empty (a missing field would be read as empty),
   or nothing is quoted, and the separators in the file are as many as its rows need.
3. Lines end in newlines: a return alone ends a line for the careful way, too, not for Polars.
4. Where fields may stand in quotes, none stands inside a field: Polars takes "a \"b\"" for one.
5. No id is empty or missing, and every time is one.

Where that cannot be shown, or Polars refuses the file, `read_tables` returns None; then the careful
way reads it, or says what is wrong and in which line.
"""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from minirec.data.readers.coded import Coded, Log, NameRow, find_row, ids_of, timestamps_of
from minirec.data.readers.header import (
    Request,
    Wanted,
    choose_fields,
    filtered_sentence,
    missing_fields_error,
    no_row_passes_error,
    other_columns_error,
)
from minirec.data.readers.layout import Layout
from minirec.data.times import (
    Moments,
    NotATime,
    concatenate,
    moments_of_column,
    moments_of_texts,
)
from minirec.errors import DataError, shown

if TYPE_CHECKING:
    import polars as pl

# From so many rows on, Polars sorts, on the disk if need be; below, numpy does, which is faster.
ROWS_SORTED_OUTSIDE = 20_000_000

# Memory that Polars may fill before it moves what it does not need at once to the disk.
MEMORY_IN_MIB = "1000"

TEXTS_AT_ONCE = 1 << 20  # times in words are turned into moments in pieces of so many

BYTES_AT_ONCE = 1 << 24

QUOTE = ord('"')

LARGEST_WHOLE = 2.0**63  # int64 holds whole floats below it

# Beside a quote that begins or ends a field, or is doubled inside one, stands one of these.
BESIDE_QUOTES = np.frombuffer(b',;|\t\r\n"', dtype=np.uint8)

INTEGER = re.compile(r"-?\d{1,18}", re.ASCII)


class Table(NamedTuple):
    """A text file that is a table."""

    path: Path
    layout: Layout
    first_row: str  # its text, to see how times are written


class Marks(NamedTuple):
    """The characters in a file that decide about its rows."""

    separators: int  # how many there are
    has_quotes: bool
    has_stray_quotes: bool  # with neither a separator nor another quote beside them
    has_lonely_returns: bool  # not followed by a newline


def polars() -> ModuleType:
    """Return Polars, with a limit to its memory; ImportError where it is not installed."""
    os.environ.setdefault("POLARS_OOC_MEMORY_BUDGET_MB", MEMORY_IN_MIB)
    import polars

    return polars


def is_installed() -> bool:
    """Whether Polars can be used here."""
    try:
        polars()
    except ImportError:
        return False
    return True


def read_tables(tables: Sequence[Table]) -> Log | None:
    """Read text tables, one after the other, if their rows are plain.

    Parameters
    ----------
    tables : sequence of Table
        The files; the same roles are read from each.

    Returns
    -------
    Log or None
        Exactly what the careful way returns. None where the rows are not plain, or hold an error:
        then the careful way must read them.
    """
    engine = polars()
    with_integers = all(_time_is_integer(table) for table in tables)
    for time_type in [engine.Int64, engine.String] if with_integers else [engine.String]:
        try:
            return _read(tables, time_type)
        except (engine.exceptions.PolarsError, NotATime, DataError):
            continue
    return None


def _read(tables: Sequence[Table], time_type: "type[pl.DataType]") -> Log | None:
    """Read text tables, their times as integers or as texts; None if they are not plain."""
    types = _types_of_ids()
    parts = []
    for table in tables:
        part = _plain_rows(table, types, time_type)
        if part is None:
            return None
        parts.append(part)
        del part  # the list alone holds it
    # How a row is named does not matter: where one is amiss, the careful way says so anew.
    return _log(str(tables[0].path), parts, tables[0].layout.wanted, name_row=str)


def _plain_rows(
    table: Table, types: dict[str, "pl.Categorical"], time_type: "type[pl.DataType]"
) -> "pl.DataFrame | None":
    """Return the wanted columns of one text table; None if it is not plain."""
    rows = _scan(table, types, time_type).collect(engine="streaming")
    if len(rows) == 0 or not _is_plain(table, rows):
        return None
    return rows.drop("last is empty", "between is empty")


def _types_of_ids() -> dict[str, "pl.Categorical"]:
    """Return the types of the columns of ids: each distinct text is kept once, and numbered."""
    engine = polars()
    return {role: engine.Categorical(engine.Categories.random()) for role in ("user", "item")}


def _scan(
    table: Table, types: dict[str, "pl.Categorical"], time_type: "type[pl.DataType]"
) -> "pl.LazyFrame":
    """Return a plan that reads the wanted fields of a text table."""
    engine = polars()
    layout = table.layout
    # Polars separates fields by one character. So '::' is two separators ':' to it, and every
    # second of its fields is empty.
    step = len(layout.separator)
    n_fields = step * (layout.n_fields - 1) + 1
    fields = [f"field {place}" for place in range(n_fields)]
    schema = dict.fromkeys(fields, engine.String)
    wanted = [fields[step * position] for position in layout.wanted.positions]
    if layout.wanted.has_time:
        schema[wanted[2]] = time_type

    frame = engine.scan_csv(
        table.path,
        has_header=False,
        skip_lines=layout.first_row - 1,
        separator=layout.separator[0],
        quote_char='"' if layout.quoted else None,
        schema=schema,
        empty_string_is_null=False,
        glob=False,
    )
    # All fields are looked at, for Polars notices too many of them only then.
    checks = [engine.col(field) == "" for place, field in enumerate(fields) if place % step]
    checks += [engine.col(field).is_not_null() for field in fields if field not in wanted]
    last = engine.col(fields[-1])
    is_number = fields[-1] in wanted[2:] and time_type != engine.String
    columns = [
        engine.all_horizontal(engine.lit(True), *checks).alias("between is empty"),
        (last.is_null() if is_number else last == "").alias("last is empty"),
    ]
    texts = [engine.col(field) for field in wanted]
    if layout.wanted.has_time and time_type == engine.String:
        # At once, piece by piece: the texts of all times together would not fit into memory.
        texts[2] = texts[2].map_batches(
            _moments_of_piece, return_dtype=_type_of_moments(), is_elementwise=True
        )
    columns += _wanted_columns(texts, layout.wanted, types)
    frame = frame.select(columns)
    return _filtered(frame, layout.wanted)


def _type_of_moments() -> "pl.Struct":
    """Return the type of a column that holds `Moments`."""
    engine = polars()
    return engine.Struct(
        {"whole": engine.Int64, "fraction": engine.Int64, "is a date": engine.Boolean}
    )


def _moments_of_piece(texts: "pl.Series") -> "pl.Series":
    """Turn the times of some rows, which are texts, into moments; DataError if one is none."""
    engine = polars()
    try:
        moments = moments_of_texts(texts.to_list())
    except NotATime as error:
        # Polars hands on copies of errors, which it can make of those with one argument.
        raise DataError(error.complaint) from None
    fraction = moments.fraction
    if fraction is None:
        fraction = np.zeros_like(moments.whole)
    columns = {"whole": moments.whole, "fraction": fraction}
    are_dates = engine.lit(moments.are_dates).alias("is a date")
    return engine.DataFrame(columns).with_columns(are_dates).to_struct(texts.name)


def _wanted_columns(
    fields: Sequence["pl.Expr"], wanted: Wanted, types: dict[str, "pl.Categorical"]
) -> list["pl.Expr"]:
    """Return the columns user, item, perhaps time, and the filters'."""
    columns = [fields[0].cast(types["user"]).alias("user")]
    columns.append(fields[1].cast(types["item"]).alias("item"))
    if wanted.has_time:
        columns.append(fields[2].alias("time"))
    for number, field in enumerate(fields[len(wanted.labels) :]):
        columns.append(field.str.strip_chars().alias(f"filter {number}"))
    return columns


def _filtered(frame: "pl.LazyFrame", wanted: Wanted) -> "pl.LazyFrame":
    """Add the column "passes": whether a row's filters hold what they must."""
    engine = polars()
    names = [f"filter {number}" for number in range(len(wanted.filters))]
    holds = [engine.col(name) == text for name, text in zip(names, wanted.filters, strict=True)]
    passes = engine.all_horizontal(*holds) if holds else engine.lit(True)
    return frame.with_columns(passes.alias("passes")).drop(names)


def _is_plain(table: Table, rows: "pl.DataFrame") -> bool:
    """Whether nothing was forgiven: points 1 to 4 at the head of this file."""
    layout = table.layout
    marks = _find_marks(table.path, layout)
    if marks.has_lonely_returns or not rows["between is empty"].all():
        return False
    if layout.quoted and marks.has_stray_quotes:
        return False
    if layout.quoted and marks.has_quotes:
        return not rows["last is empty"].any()
    return marks.separators == len(rows) * len(layout.separator) * (layout.n_fields - 1)


def _find_marks(path: Path, layout: Layout) -> Marks:
    """Look for the marks in the rows of a file."""
    separator = ord(layout.separator[0])
    separators = 0
    has_quotes = False
    has_stray_quotes = False
    end_of_last = b""
    has_lonely_returns = False
    with path.open("rb") as file:
        for _ in range(layout.first_row - 1):
            header = file.readline().removesuffix(b"\n").removesuffix(b"\r")
            has_lonely_returns = has_lonely_returns or b"\r" in header
        while piece := file.read(BYTES_AT_ONCE):
            if piece.endswith(b"\r"):
                piece += file.read(1)
            characters = np.frombuffer(piece, dtype=np.uint8)
            separators += int(np.count_nonzero(characters == separator))
            has_quotes = has_quotes or b'"' in piece
            # A quote may stand at the very end of the last piece, or begin this one.
            around = end_of_last + piece
            has_stray_quotes = has_stray_quotes or _has_stray_quote(around)
            end_of_last = around[-2:]
            if b"\r" in piece:
                has_lonely_returns |= piece.count(b"\r") > piece.count(b"\r\n")
    return Marks(separators, has_quotes, has_stray_quotes, has_lonely_returns)


def _has_stray_quote(piece: bytes) -> bool:
    """Whether a quote stands between two characters that are neither separators nor quotes.

    The careful way refuses such quotes in a field that begins with one, and takes them for
    characters like any other elsewhere.
    """
    if b'"' not in piece:
        return False
    characters = np.frombuffer(piece, dtype=np.uint8)
    quotes = np.flatnonzero(characters[1:-1] == QUOTE) + 1
    beside = [np.isin(characters[quotes + step], BESIDE_QUOTES) for step in (-1, 1)]
    return not (beside[0] | beside[1]).all()


def _time_is_integer(table: Table) -> bool:
    """Whether the first row's time is an integer, as nearly always; true where none is read."""
    layout = table.layout
    if not layout.wanted.has_time:
        return True
    fields = table.first_row.split(layout.separator)
    position = layout.wanted.positions[2]
    return position < len(fields) and INTEGER.fullmatch(fields[position].strip(' "')) is not None


def read_parquet(names: Sequence[str], paths: Sequence[Path], request: Request) -> Log:
    """Read Parquet files, one after the other.

    Parameters
    ----------
    names : sequence of str
        Their names, for messages.
    paths : sequence of Path
        The files.
    request : Request
        Which columns to read.

    Returns
    -------
    Log
        Their rows.

    Raises
    ------
    DataError
        If a column or a value is missing, or of a type that is neither ids nor times.
    """
    engine = polars()
    types = _types_of_ids()
    parts = []
    chosen: Wanted | None = None
    for name, path in zip(names, paths, strict=True):
        try:
            frame = engine.scan_parquet(path, glob=False)
            wanted = _choose_of_schema(name, frame, request)
            part = _scan_parquet(name, frame, wanted, types).collect(engine="streaming")
        except engine.exceptions.PolarsError as error:
            first_line = str(error).partition("\n")[0]
            raise DataError(
                f"{name}: the Parquet file cannot be read ({shown(first_line)})."
            ) from None
        if chosen is not None and chosen.labels != wanted.labels:
            raise other_columns_error(names[0], chosen, name, wanted)
        chosen = wanted
        parts.append(part)
        del part  # the list alone holds it
    assert chosen is not None  # there is at least one file
    n_rows = [len(part) for part in parts]

    def name_row(row: int) -> str:
        part, place = find_row(row, n_rows)
        return f"{names[part]}, row {place:,}"

    if sum(n_rows) == 0:
        raise DataError(f"{names[0]} holds no row: there is nothing to read.")
    return _log(names[0], parts, chosen, name_row)


def _choose_of_schema(name: str, frame: "pl.LazyFrame", request: Request) -> Wanted:
    """Choose the columns of a Parquet file."""
    schema = frame.collect_schema()
    names = list(schema)
    # A column of dates looks like time whatever its name is.
    values = ["2000-01-01" if kind.is_temporal() else "" for kind in schema.values()]
    wanted = choose_fields(names, values, request)
    if wanted is None:
        raise missing_fields_error(name, names, request)
    return wanted


def _scan_parquet(
    name: str, frame: "pl.LazyFrame", wanted: Wanted, types: dict[str, "pl.Categorical"]
) -> "pl.LazyFrame":
    """Return a plan that reads the wanted columns of a Parquet file."""
    engine = polars()
    schema = frame.collect_schema()
    names = [list(schema)[position] for position in wanted.positions]
    fields = []
    for number, column in enumerate(names):
        kind = schema[column]
        is_time = wanted.has_time and number == 2
        is_id = kind.is_numeric() or kind in (engine.String, engine.Categorical, engine.Enum)
        if not is_id and not (is_time and kind.is_temporal()):
            raise DataError(
                f"{name}: the column {shown(column)} is of type {kind}, which is neither ids nor "
                "times. Turn it into integers or strings first."
            )
        field = engine.col(column)
        # Missing ids become empty texts, which are refused with their row.
        fields.append(field if is_time else _texts(field, kind).fill_null(""))
    return _filtered(frame.select(_wanted_columns(fields, wanted, types)), wanted)


def _texts(field: "pl.Expr", kind: "pl.DataType") -> "pl.Expr":
    """Return a column as texts; whole floats as CSV has them, 1000.0, and not as 1e3."""
    engine = polars()
    texts = field.cast(engine.String)
    if not kind.is_float():
        return texts
    is_whole = (field == field.floor()) & (field.abs() < LARGEST_WHOLE)
    whole = field.cast(engine.Int64, strict=False).cast(engine.String) + ".0"
    return engine.when(is_whole).then(whole).otherwise(texts)


def _log(name: str, parts: list["pl.DataFrame"], wanted: Wanted, name_row: NameRow) -> Log:
    """Turn the rows of files into raw ids and times.

    The list of parts is emptied, so that the memory of its rows is free before they are sorted.
    """
    rows = polars().concat(parts)
    parts.clear()
    n_rows = len(rows)
    name_kept_row = name_row
    if wanted.filters:
        passes = rows["passes"].to_numpy()
        kept = np.flatnonzero(passes)
        if len(kept) == 0:
            raise no_row_passes_error(name, wanted)
        rows = rows.filter(passes)

        def name_kept_row(row: int) -> str:
            return name_row(int(kept[row]))

    users = ids_of(_coded(rows["user"]), "user", name_kept_row)
    items = ids_of(_coded(rows["item"]), "item", name_kept_row)
    moments = _moments(rows["time"], name_kept_row) if wanted.has_time else None
    timestamps, unit = timestamps_of(moments, name_kept_row)
    del rows
    del moments
    if len(users) >= ROWS_SORTED_OUTSIDE:
        users, items, timestamps = _sorted_outside(users, items, timestamps)
    read_as = wanted.sentence(unit) + filtered_sentence(wanted, len(users), n_rows)
    return Log(users, items, timestamps, unit, read_as)


def _coded(column: "pl.Series") -> Coded:
    """Return a column of texts that Polars has numbered."""
    engine = polars()
    numbers = column.to_physical().to_numpy()
    distinct = column.unique()
    texts_by_number = dict(
        zip(distinct.to_physical().to_list(), distinct.cast(engine.String).to_list(), strict=True)
    )
    used = sorted(texts_by_number)
    texts = [texts_by_number[number] for number in used]
    if used[-1] == len(used) - 1:
        return Coded(numbers, texts)
    # Numbers whose rows were all filtered out have left gaps: the others are counted anew.
    codes = np.searchsorted(np.array(used, dtype=numbers.dtype), numbers).astype(np.int32)
    return Coded(codes, texts)


def _moments(column: "pl.Series", name_row: NameRow) -> Moments:
    """Return the times of a column; DataError with the row of the first that is none."""
    engine = polars()
    n_missing = column.null_count()
    if n_missing:
        row = int(np.argmax(column.is_null().to_numpy()))
        raise DataError(
            f"{name_row(row)}: the timestamp is missing, in {n_missing:,} rows in all; drop them."
        )
    if column.dtype == _type_of_moments():
        return _moments_of_pieces(column)
    try:
        if column.dtype == engine.String:
            return _moments_of_strings(column)
        return moments_of_column(pd.Series(column.to_numpy()))
    except NotATime as error:
        raise DataError(f"{name_row(error.index)}: {error.complaint}") from None


def _moments_of_strings(column: "pl.Series") -> Moments:
    """Return the times of a column of texts, read in pieces; NotATime for the first that is none.

    Text needs several times the memory of the times in it.
    """
    parts: list[Moments] = []
    n_read = 0
    for piece in _pieces(column):
        try:
            parts.append(moments_of_texts(piece))
        except NotATime as error:
            raise NotATime(n_read + error.index, error.complaint) from None
        n_read += len(piece)
    return concatenate(parts)


def _moments_of_pieces(column: "pl.Series") -> Moments:
    """Return the times that `_moments_of_piece` has made; DataError if some are not dates."""
    are_dates = column.struct.field("is a date")
    if are_dates.any() != are_dates.all():
        raise DataError("times are numbers in one place and dates in another.")
    fraction = column.struct.field("fraction").to_numpy()
    whole = column.struct.field("whole").to_numpy()
    return Moments(whole, fraction if fraction.any() else None, bool(are_dates.all()))


def _pieces(column: "pl.Series") -> Iterator[list[str]]:
    """Yield the texts of a column in lists of at most TEXTS_AT_ONCE."""
    for piece in column.to_frame().iter_slices(TEXTS_AT_ONCE):
        yield piece.to_series().to_list()


def _sorted_outside(
    users: pd.Categorical, items: pd.Categorical, timestamps: np.ndarray | None
) -> tuple[pd.Categorical, pd.Categorical, np.ndarray | None]:
    """Put rows in the order of (user, time, place in the file), on the disk where need be."""
    engine = polars()
    columns = {"user": users.codes, "item": items.codes}
    if timestamps is not None:
        columns["time"] = timestamps
    by = ["user", "time", "row"] if timestamps is not None else ["user", "row"]
    ordered = (
        engine.DataFrame(columns)
        .lazy()
        .with_row_index("row")
        .sort(by)
        .drop("row")
        .collect(engine="streaming")
    )

    def in_order(column: str, before: pd.Categorical) -> pd.Categorical:
        codes = ordered[column].to_numpy()
        return pd.Categorical.from_codes(codes, before.categories, validate=False)

    times = None if timestamps is None else ordered["time"].to_numpy()
    return in_order("user", users), in_order("item", items), times
