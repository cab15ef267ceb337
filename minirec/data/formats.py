"""Readers: an interaction log in any of the usual formats becomes columns of raw ids and whole seconds.

Read are, plain or gzipped: MovieLens `ratings.dat` (user::item::rating::time) and `u.data` (the same, tab-separated), also inside their zip; Amazon
5-core JSON lines; RecBole `.inter`; CSV or TSV with a header; and `user item item ...` lines, oldest first, without times. The content decides.

Large files of plain rows take the fast way (compiled.py). All others, and every error, take the careful way: field by field, knowing the line.
"""

import contextlib
import csv
import gzip
import io
import json
import re
import stat
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

FAST_BYTES = 4 << 20  # below this, compiling would cost more than it saves
USUAL_NAMES = {"user": ("user", "userid", "reviewerid"), "item": ("item", "itemid", "movieid", "asin"),
               "timestamp": ("timestamp", "time", "unixreviewtime")}  # compared without case and underscores
SEPARATORS = (",", "\t", ";", "|", " ")
IN_ZIP = ("ratings.dat", "u.data", "ratings.csv")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?", re.ASCII | re.IGNORECASE)
ORDINARY_INTEGER = re.compile(r"-?[1-9]\d{0,18}|0", re.ASCII)
U_DATA_LINE = re.compile(r"\d+\t\d+\t\d(\.\d+)?\t\d{9,10}", re.ASCII)

Ids = np.ndarray | pd.Categorical
Columns = tuple[Ids, Ids, np.ndarray | None]
Rows = Iterator[tuple]  # (line number, user, item and perhaps time, all but the first as strings) of each row that is not blank


class Layout(NamedTuple):
    """How the rows of a file are written: its separator, fields a row, the positions of user, item and perhaps time; whether it has a header, may
    quote fields, and repeats the last field (`user item item ...`)."""

    separator: str
    n_fields: int
    wanted: tuple[int, ...]
    has_header: bool = False
    quoted: bool = False
    repeats: bool = False


def read_interactions_file(path, columns: dict[str, str] | None = None) -> Columns:
    """(users, items, timestamps or None): a row an interaction, in file order.

    Raw ids are int64 where every id of the column is an integer written the ordinary way, else a pd.Categorical of strings ('007' stays '007');
    blanks around them are dropped. Timestamps are int64, cut to whole seconds. `columns` names the header's fields (or the JSON keys), such as
    {"user": "customer", "item": "sku", "timestamp": "when"}; left out, the usual names are recognised. Without "timestamp" no times are read.
    Anything amiss is a DataError that names file and line.
    """
    if columns is not None and not {"user", "item"} <= set(columns) <= set(USUAL_NAMES):
        raise DataError(f"columns must name 'user' and 'item', and may name 'timestamp'; got {columns}.")
    name, raw = _content(Path(path))
    raw = raw.removeprefix(b"\xef\xbb\xbf")  # the mark some editors put before UTF-8
    first = re.search(rb"[^\r\n]*\S[^\r\n]*", raw)
    if first is None:
        raise DataError(f"{name} is empty: there is nothing to read.")
    top = raw.count(b"\n", 0, first.start()) + 1
    first_line = _text(name, first.group(), top)
    if first_line.lstrip()[0] in "{[":
        return _columns(name, _json_rows(name, _text(name, raw), columns))
    layout = _layout(f"{name}, line {top:,}", name.removesuffix(".gz"), first_line, columns)
    if len(raw) >= FAST_BYTES and (found := _scan(raw, (raw.find(b"\n", first.end()) + 1 or len(raw)) if layout.has_header else 0, layout)):
        return found
    return _sequences(name, _text(name, raw)) if layout.repeats else _columns(name, _split_rows(name, _text(name, raw), layout))


def _content(path: Path) -> tuple[str, bytes]:
    """The file's name, for messages, and its bytes, unpacked."""
    if path.is_dir():
        inside = sorted((entry for entry in path.iterdir() if entry.is_file()), key=lambda entry: (entry.name not in IN_ZIP, entry.name))
        raise DataError(f"{path} is a folder; pass the file inside it{f', such as {inside[0]}' if inside else ''}.")
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
            raise DataError(f"{path}: the gzip file is cut short or damaged ({error}). Download or copy it again.") from None
    elif path.suffix == ".gz" and raw:
        raise DataError(f"{path} is not a gzip file, despite its name; if it is plain text, take .gz off the name.")
    return str(path), raw


def _from_zip(path: Path) -> tuple[str, bytes]:
    """The ratings inside an archive. One that would write outside its folder is not trusted at all, even though nothing is written here."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            for member in members:
                parts = member.filename.replace("\\", "/").split("/")
                if ".." in parts or parts[0] == "" or ":" in parts[0] or stat.S_ISLNK(member.external_attr >> 16):
                    raise DataError(f"{path}: refused, because its member {member.filename!r} points outside the archive's own folder. "
                                    "Get the archive from its original source.")
            ratings = [m for wanted in IN_ZIP for m in members if m.filename.split("/")[-1] == wanted]
            if not ratings:
                raise DataError(f"{path} holds no {', '.join(IN_ZIP[:-1])} or {IN_ZIP[-1]}; unpack it and pass the file with the ratings.")
            return f"{path}/{ratings[0].filename}", archive.read(ratings[0])
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:  # the last: an encrypted member
        raise DataError(f"{path}: the zip file cannot be unpacked ({error}). Download or copy it again.") from None


def _text(name: str, raw: bytes, first_line: int = 1) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line = first_line + raw.count(b"\n", 0, error.start)
        raise DataError(f"{name}, line {line:,}: the byte 0x{raw[error.start]:02x} is not UTF-8 text. Save the file as UTF-8 first.") from None


def _layout(where: str, name: str, first_line: str, columns: dict[str, str] | None) -> Layout:
    """What the first line that is not blank says of the whole file."""
    if columns is None and (first_line.count("::") == 3 or name.endswith("ratings.dat")):
        return Layout("::", 4, (0, 1, 3))
    if columns is None and (U_DATA_LINE.fullmatch(first_line.strip()) or name.endswith("u.data")):
        return Layout("\t", 4, (0, 1, 3))
    widest: list[str] = []
    for separator in SEPARATORS:
        with contextlib.suppress(DataError, csv.Error):
            fields = [field.strip() for field in next(csv.reader([first_line], delimiter=separator, strict=True))]
            widest = max(widest, fields if separator != " " else [], key=len)
            wanted = _positions(where, fields, columns)
            typed = all(":" in field for field in fields)  # RecBole writes user_id:token, and never quotes
            return Layout(separator, len(fields), wanted, has_header=True, quoted=not typed)
    if columns is not None or len(widest) > 1:
        _positions(where, widest, columns)  # raises, and says what is missing
    return Layout(" ", 2, (0, 1), repeats=True)


def _positions(where: str, fields: list[str], columns: dict[str, str] | None) -> tuple[int, ...]:
    """Where the header has user, item and, if asked for or recognised, time. Raises DataError where one is missing."""
    plain = [field.split(":")[0] for field in fields]
    known = [field.lower().replace("_", "") for field in plain] if columns is None else [*fields, *plain]
    sought = USUAL_NAMES if columns is None else {role: (columns[role],) for role in USUAL_NAMES if role in columns}
    found = {role: next((known.index(name) % len(fields) for name in names if name in known), None) for role, names in sought.items()}
    missing = [role for role, position in found.items() if position is None and (role != "timestamp" or columns is not None)]
    if missing:
        wanted = " and ".join(f"the {role}" if columns is None else f"the {role}, {columns[role]!r}," for role in missing)
        raise DataError(f"{where}: nothing for {wanted} among {', '.join(map(repr, fields[:12]))}{' ...' if len(fields) > 12 else ''}. "
                        "If the fields have other names, pass columns={'user': ..., 'item': ..., 'timestamp': ...}; a file without a header line needs one.")
    return tuple(position for position in found.values() if position is not None)


def _scan(raw: bytes, start: int, layout: Layout) -> Columns | None:
    """The fast way, for ids that are all integers or else all texts; None where the file is not plain enough for it."""
    from minirec.data.compiled import INTEGER, SECONDS, TEXT, scan_rows  # brings numba, which small files can do without
    for kind in (INTEGER,) if layout.repeats else (INTEGER, TEXT):
        if found := scan_rows(raw, start, layout, (kind, kind, SECONDS)[:len(layout.wanted)]):
            users, items = found[:2] if kind == INTEGER else (_spread(*column) for column in found[:2])
            return users, items, found[2] if len(found) == 3 else None
    return None


def _split_rows(name: str, text: str, layout: Layout) -> Rows:
    lines, line, header_next, chosen = io.StringIO(text, newline=""), 0, layout.has_header, itemgetter(*layout.wanted)
    rows = csv.reader(lines, delimiter=layout.separator, strict=True) if layout.quoted else \
        (content.rstrip("\r\n").split(layout.separator) for content in lines)
    try:
        for fields in rows:
            top, line = line + 1, rows.line_num if layout.quoted else line + 1  # a quoted field may span lines
            if len(fields) < 2 and not "".join(fields).strip():
                continue
            if header_next:
                header_next = False
            elif len(fields) == layout.n_fields:
                yield top, *chosen(fields)
            else:
                raise DataError(f"{name}, line {top:,}: {len(fields)} fields where there should be {layout.n_fields}. Complete the line or drop it.")
    except csv.Error as error:
        raise DataError(f"{name}, line {line + 1:,}: the quotes do not match up ({error}). Close or double them.") from None


def _columns(name: str, rows: Rows) -> Columns:
    """The careful way: fields as strings first, then each column as a whole."""
    rows = list(rows)
    if not rows:
        raise DataError(f"{name} is empty below its header: there is nothing to read.")
    lines, users, items, *times = zip(*rows)
    where = lambda row: f"{name}, line {lines[row]:,}"  # noqa: E731
    ids = _ids(users), _ids(items)
    for role, column in zip(("user", "item"), ids):
        if isinstance(column, pd.Categorical) and "" in column.categories:
            raise DataError(f"{where(np.argmax(column == ''))}: the {role} is missing; drop the row.")
    return *ids, _seconds(times[0], where) if times else None


def _ids(texts) -> Ids:
    return _spread(*pd.factorize(np.array(texts, dtype=object)))


def _spread(codes: np.ndarray, distinct) -> Ids:
    """A column of ids: int64 if all are integers written the ordinary way, else strings without the blanks around them, each kept once."""
    distinct = [text.strip(" \t") for text in distinct]
    if all(ORDINARY_INTEGER.fullmatch(text) and -2**63 <= int(text) < 2**63 for text in distinct):
        return np.array([int(text) for text in distinct], dtype=np.int64)[codes]
    numbers, distinct = pd.factorize(np.array(distinct, dtype=object))  # blanks may have been all that told some apart
    return pd.Categorical.from_codes(numbers[codes], pd.Index(distinct, dtype=object), validate=False)


def _seconds(texts, where) -> np.ndarray:
    """Whole seconds, exact at any size: nothing goes through a float. where(row) names a row's line."""
    seconds = np.empty(len(texts), dtype=np.int64)
    for row, text in enumerate(texts):
        if len(text) > 18 or not (text.isascii() and text.isdecimal()):
            text = text.strip()
            if not NUMBER.fullmatch(text):
                what = f"the timestamp {text!r} is not a number" if text else "the timestamp is missing"
                raise DataError(f"{where(row)}: {what}. Timestamps must be integers or decimals (seconds since 1970). Drop the row; for dates, read the file "
                                "with pandas.read_csv(parse_dates=...) and use Interactions.from_frame; without the column, rows keep the order of the file.")
            if not -2**63 <= Decimal(text) < 2**63:
                raise DataError(f"{where(row)}: the timestamp {text[:40]} is too large; it should be seconds since 1970.")
            text = Decimal(text).to_integral_value(ROUND_FLOOR)
        seconds[row] = int(text)
    return seconds


def _json_rows(name: str, text: str, columns: dict[str, str] | None) -> Rows:
    keys = None
    for line, content in enumerate(io.StringIO(text, newline=""), 1):
        if not content.strip():
            continue
        where = f"{name}, line {line:,}"
        try:
            record = json.loads(content, parse_int=str, parse_float=str, parse_constant=str)  # numbers as written: no digit is lost
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: not a JSON object ({error}). Each line must hold one whole object.") from None
        if not isinstance(record, dict):
            raise DataError(f"{where}: not a JSON object. Each line must hold one whole object.")
        keys = keys or [list(record)[position] for position in _positions(where, list(record), columns)]  # the first record stands for all
        for key in keys:
            if not isinstance(record.get(key), str):
                what = f"{key!r} must be a string or a number" if key in record else f"the key {key!r} is missing"
                raise DataError(f"{where}: {what}. Mend the line or drop it.")
        yield line, *(record[key] for key in keys)


def _sequences(name: str, text: str) -> Columns:
    """One user a line, oldest item first; a user's further lines continue the first."""
    users, items = [], []
    for line, content in enumerate(io.StringIO(text, newline=""), 1):
        words = [word for word in content.rstrip("\r\n").replace("\t", " ").split(" ") if word]
        if len(words) == 1:
            raise DataError(f"{name}, line {line:,}: the user {words[0]!r} has no item. A line is a user and at least one item, separated by blanks.")
        users += words[:1] * (len(words) - 1)
        items += words[1:]
    return _ids(users), _ids(items), None
