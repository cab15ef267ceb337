"""Readers: an interaction log in any of the usual formats becomes columns of raw ids and whole seconds.

Read are, plain or gzipped: MovieLens `ratings.dat` (user::item::rating::time) and `u.data` (the same, tab-separated), also inside their zip; Amazon
5-core JSON lines; RecBole `.inter`; CSV or TSV with a header; and `user item item ...` lines, oldest first, without times. The content decides.

A large file takes the fast way, pandas' parser, if what that finds proves to be all that the file holds. All others, and every error, take the
careful way: field by field, knowing the line.
"""

import contextlib
import csv
import gzip
import io
import json
import re
import stat
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from decimal import ROUND_FLOOR, Decimal
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from minirec.data.interactions import DataError

FAST_BYTES = 1 << 20  # below this, the careful way is fast enough
USUAL_NAMES = {
    "user": ("user", "userid", "reviewerid"),
    "item": ("item", "itemid", "movieid", "asin"),
    "timestamp": ("timestamp", "time", "unixreviewtime"),
}  # compared without case and underscores
SEPARATORS = (",", "\t", ";", "|", " ")
IN_ZIP = ("ratings.dat", "u.data", "ratings.csv")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?", re.ASCII | re.IGNORECASE)
ORDINARY_INTEGER = re.compile(r"-?[1-9]\d{0,18}|0", re.ASCII)
U_DATA_LINE = re.compile(r"\d+\t\d+\t\d(\.\d+)?\t\d{9,10}", re.ASCII)

Ids = np.ndarray | pd.Categorical
Columns = tuple[Ids, Ids, np.ndarray | None]
Rows = Iterator[
    tuple
]  # (line number, user, item and perhaps time, all but the first as strings) of each row that is not blank


class Layout(NamedTuple):
    """How the rows of a file are written: its separator, fields a row, the positions of user, item and perhaps time; whether it has a header and
    may quote fields."""

    separator: str
    n_fields: int
    wanted: tuple[int, ...]
    has_header: bool = False
    quoted: bool = False


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
    name, raw = _content(Path(path))
    raw = raw.removeprefix(b"\xef\xbb\xbf")  # the mark some editors put before UTF-8
    first = re.search(rb"[^\r\n]*\S[^\r\n]*", raw)
    if first is None:
        raise DataError(f"{name} is empty: there is nothing to read.")
    top = raw.count(b"\n", 0, first.start()) + 1
    first_line = _text(name, first.group(), top)
    if first_line.lstrip().startswith(("{", "[")):
        return _columns(name, _json_rows(name, _text(name, raw), columns))
    layout = _layout(f"{name}, line {top:,}", name.removesuffix(".gz"), first_line, columns)
    if len(raw) >= FAST_BYTES and raw.startswith(
        (b"\n", b"\r\n"), first.end()
    ):  # a lone return ends a line too, but not of a plain file
        if found := _fast(
            raw[raw.index(b"\n", first.end()) + 1 :] if layout and layout.has_header else raw,
            layout,
        ):
            return found
    return _columns(
        name,
        _split_rows(name, _text(name, raw), layout)
        if layout
        else _sequence_rows(name, _text(name, raw)),
    )


def _content(path: Path) -> tuple[str, bytes]:
    """The file's name, for messages, and its bytes, unpacked."""
    if path.is_dir():
        inside = sorted(
            (entry for entry in path.iterdir() if entry.is_file()),
            key=lambda entry: (entry.name not in IN_ZIP, entry.name),
        )
        raise DataError(
            f"{path} is a folder; pass the file inside it{f', such as {inside[0]}' if inside else ''}."
        )
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None
    if raw[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return _from_zip(path)
    if raw[:2] == b"\x1f\x8b":
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(
                f"{path}: the gzip file is cut short or damaged ({error}). Download or copy it again."
            ) from None
    elif path.suffix == ".gz" and raw:
        raise DataError(
            f"{path} is not a gzip file, despite its name; if it is plain text, take .gz off the name."
        )
    return str(path), raw


def _from_zip(path: Path) -> tuple[str, bytes]:
    """The ratings inside an archive. One that would write outside its folder is not trusted at all, even though nothing is written here."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            for member in members:
                parts = member.filename.replace("\\", "/").split("/")
                if (
                    ".." in parts
                    or parts[0] == ""
                    or ":" in parts[0]
                    or stat.S_ISLNK(member.external_attr >> 16)
                ):
                    raise DataError(
                        f"{path}: refused, because its member {member.filename!r} points outside the archive's own folder. "
                        "Get the archive from its original source."
                    )
            ratings = [
                m for wanted in IN_ZIP for m in members if m.filename.split("/")[-1] == wanted
            ]
            if not ratings:
                raise DataError(
                    f"{path} holds no {', '.join(IN_ZIP[:-1])} or {IN_ZIP[-1]}; unpack it and pass the file with the ratings."
                )
            return f"{path}/{ratings[0].filename}", archive.read(ratings[0])
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        NotImplementedError,
        RuntimeError,
    ) as error:  # the last: an encrypted member
        raise DataError(
            f"{path}: the zip file cannot be unpacked ({error}). Download or copy it again."
        ) from None


def _text(name: str, raw: bytes, first_line: int = 1) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line = first_line + raw.count(b"\n", 0, error.start)
        raise DataError(
            f"{name}, line {line:,}: the byte 0x{raw[error.start]:02x} is not UTF-8 text. Save the file as UTF-8 first."
        ) from None


def _layout(
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
            wanted = _positions(where, fields, columns)
            typed = all(
                ":" in field for field in fields
            )  # RecBole writes user_id:token, and never quotes
            return Layout(separator, len(fields), wanted, has_header=True, quoted=not typed)
    if columns is not None or len(widest) > 1:
        _positions(where, widest, columns)  # raises, and says what is missing
    return None


def _positions(where: str, fields: list[str], columns: dict[str, str] | None) -> tuple[int, ...]:
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


def _fast(rows: bytes, layout: Layout | None) -> Columns | None:
    """The fast way: None where the rows are not plain, as those with quotes, missing or surplus fields or blank lines are."""
    if b"\r" in rows:
        rows = rows.replace(b"\r\n", b"\n")
    if not rows.endswith(b"\n"):
        rows += b"\n"
    if b"\r" in rows or (layout and layout.quoted and b'"' in rows):
        return None
    if layout is None:
        return _fast_sequences(rows)
    kinds = [
        None
        if ORDINARY_INTEGER.fullmatch(text)
        else "category"
        if field in layout.wanted[:2]
        else str
        for field, text in enumerate(
            rows[: rows.index(b"\n")].decode(errors="replace").split(layout.separator)
        )
    ]
    as_texts = [
        kind if field in layout.wanted[2:] else str for field, kind in enumerate(kinds)
    ]  # where the first row does not stand for all
    for kinds in (kinds, as_texts):
        if len(kinds) == layout.n_fields and (columns := _parse(rows, layout.separator, kinds)):
            with contextlib.suppress(DataError):  # the careful way will say where
                return _typed([columns[field] for field in layout.wanted], where=str)
    return None


def _fast_sequences(lines: bytes) -> Columns | None:
    """The fast way through `user item item ...` lines of integers, which are read as one column, a word a row."""
    found = _parse(lines.translate(bytes.maketrans(b" \t", b"\n\n")), ",", [None])
    if not found:
        return None
    words, text = found[0], np.frombuffer(lines, dtype=np.uint8)
    last = text[np.flatnonzero(text <= ord(" "))] == ord(
        "\n"
    )  # whether a word ends its line: a word is digits, and one mark follows it
    first = np.append(True, last[:-1])
    if (first & last).any():
        return None  # a user without an item
    return (
        np.repeat(words[first], np.diff(np.flatnonzero(last), prepend=-1) - 1),
        words[~first],
        None,
    )


def _parse(rows: bytes, separator: str, kinds: list) -> list | None:
    """The columns by pandas: int64 where the kind is None, a Categorical where it is "category" or str. None unless the columns, written out again,
    take as many bytes as `rows`: nothing is read longer than it is written, so then no zero, sign or blank, no field and no line was dropped."""
    step = len(
        separator
    )  # pandas knows separators of one character: between the two of '::' lies an empty field
    dtypes = {step * field: kind for field, kind in enumerate(kinds)}
    width = step * (len(kinds) - 1) + 1
    with warnings.catch_warnings(action="ignore"):  # of integers further up and texts further down
        try:
            frame = pd.read_csv(
                io.BytesIO(rows),
                sep=separator[0],
                header=None,
                names=range(width),
                usecols=list(dtypes),
                index_col=False,
                dtype={at: kind for at, kind in dtypes.items() if kind},
                na_filter=False,
                quoting=csv.QUOTE_NONE,
            )
        except ValueError:
            return None
    columns = [
        _categorical(frame[at])
        if kind is str
        else frame[at].array
        if kind
        else frame[at].to_numpy()
        for at, kind in dtypes.items()
    ]
    return columns if sum(map(_written_bytes, columns)) + width * len(frame) == len(rows) else None


def _written_bytes(column: np.ndarray | pd.Categorical) -> float:
    """The bytes of a column's texts, or of its integers as one ordinarily writes them; NaN where that would prove nothing."""
    if isinstance(
        column, pd.Categorical
    ):  # pandas may have made numbers of texts: an integer is never longer than what it was made of
        lengths = np.array([len(str(text).encode()) for text in column.categories])
        proves = (
            column.categories.inferred_type in ("string", "integer") and lengths.all()
        )  # an empty text may be a field that a row lacks
        proves &= (
            lengths.max(initial=0) <= csv.field_size_limit()
        )  # beyond it the careful way refuses
        return lengths[column.codes].sum() if proves else np.nan
    if column.dtype != np.int64 or len(column) == 0 or column.min() < 0:
        return np.nan
    fewest, most = len(str(column.min())), len(str(column.max()))
    return len(column) * fewest + sum(
        np.count_nonzero(column >= 10**digits) for digits in range(fewest, most)
    )


def _split_rows(name: str, text: str, layout: Layout) -> Rows:
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


def _columns(name: str, rows: Rows) -> Columns:
    """The careful way: fields as strings first, then each column as a whole."""
    rows = list(rows)
    if not rows:
        raise DataError(f"{name} is empty below its header: there is nothing to read.")
    lines, *columns = zip(*rows)
    return _typed(
        [_categorical(np.array(texts, dtype=object)) for texts in columns],
        lambda row: f"{name}, line {lines[row]:,}",
    )


def _categorical(texts) -> pd.Categorical:
    codes, distinct = pd.factorize(texts)
    return pd.Categorical.from_codes(codes, pd.Index(distinct, dtype=object), validate=False)


def _typed(columns: list, where) -> Columns:
    """Users, items and perhaps times, as int64 or as they were written; where(row) names a row's line, for errors."""
    users, items, *times = columns
    ids = _ids(users), _ids(items)
    for role, column in zip(("user", "item"), ids):
        if isinstance(column, pd.Categorical) and "" in column.categories:
            raise DataError(
                f"{where(np.argmax(column == ''))}: the {role} is missing; drop the row."
            )
    return *ids, _seconds(times[0], where) if times else None


def _ids(column) -> Ids:
    """int64 if all ids are integers written the ordinary way, else strings without the blanks around them, each kept once."""
    if not isinstance(column, pd.Categorical):
        return column
    distinct = [str(text).strip(" \t") for text in column.categories]
    if all(ORDINARY_INTEGER.fullmatch(text) and -(2**63) <= int(text) < 2**63 for text in distinct):
        return np.array([int(text) for text in distinct], dtype=np.int64)[column.codes]
    merged = _categorical(
        np.array(distinct, dtype=object)
    )  # blanks may have been all that told some apart
    return pd.Categorical.from_codes(merged.codes[column.codes], merged.categories, validate=False)


def _seconds(column, where) -> np.ndarray:
    """Whole seconds, exact at any size: nothing goes through a float. where(row) names a row's line."""
    if not isinstance(column, pd.Categorical):
        return column
    seconds = np.empty(len(column.categories), dtype=np.int64)
    for code, text in enumerate(column.categories):
        text = text.strip()
        if not NUMBER.fullmatch(text):
            what = f"the timestamp {text!r} is not a number" if text else "the timestamp is missing"
            raise DataError(
                f"{where(np.argmax(column.codes == code))}: {what}. Timestamps must be integers or decimals (seconds since 1970). Drop the row; "
                "for dates, read the file with pandas.read_csv(parse_dates=...) and use Interactions.from_frame; without the column, rows "
                "keep the order of the file."
            )
        if not -(2**63) <= Decimal(text) < 2**63:
            raise DataError(
                f"{where(np.argmax(column.codes == code))}: the timestamp {text[:40]} is too large; it should be seconds since 1970."
            )
        seconds[code] = (
            int(text)
            if text.isdecimal() and len(text) < 20
            else int(Decimal(text).to_integral_value(ROUND_FLOOR))
        )
    return seconds[column.codes]


def _json_rows(name: str, text: str, columns: dict[str, str] | None) -> Rows:
    keys = None
    for line, content in enumerate(io.StringIO(text, newline=""), 1):
        if not content.strip():
            continue
        where = f"{name}, line {line:,}"
        try:
            record = json.loads(
                content, parse_int=str, parse_float=str, parse_constant=str
            )  # numbers as written: no digit is lost
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{where}: not a JSON object ({error}). Each line must hold one whole object."
            ) from None
        if not isinstance(record, dict):
            raise DataError(f"{where}: not a JSON object. Each line must hold one whole object.")
        keys = keys or [
            list(record)[position] for position in _positions(where, list(record), columns)
        ]  # the first record stands for all
        for key in keys:
            if not isinstance(record.get(key), str):
                what = (
                    f"{key!r} must be a string or a number"
                    if key in record
                    else f"the key {key!r} is missing"
                )
                raise DataError(f"{where}: {what}. Mend the line or drop it.")
        yield line, *(record[key] for key in keys)


def _sequence_rows(name: str, text: str) -> Rows:
    """One user a line, oldest item first; a user's further lines continue the first."""
    for line, content in enumerate(io.StringIO(text, newline=""), 1):
        user, *items = content.rstrip("\r\n").replace("\t", " ").strip(" ").split(" ")
        if user and not items:
            raise DataError(
                f"{name}, line {line:,}: the user {user!r} has no item. A line is a user and at least one item, separated by blanks."
            )
        yield from ((line, user, item) for item in items if item)
