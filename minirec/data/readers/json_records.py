"""JSON: one object per line, or one array of objects."""

import json
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from minirec.data.readers.careful import Rows
from minirec.data.readers.header import (
    ROLES,
    Request,
    Wanted,
    choose_fields,
    find_roles,
    missing_fields_error,
)
from minirec.data.readers.lines import Line
from minirec.errors import DataError, shown

LARGEST_ARRAY = 1 << 30  # bytes; an array is read as a whole, lines one by one

# Where a record stands, such as "log.json, line 3"; its number; the record.
Records = Iterator[tuple[str, int, dict[str, Any]]]


class JsonReader:
    """The wanted values of JSON objects.

    The first record stands for all: its keys decide which are read. A record that lacks one of
    them is an error, and so is a first record that lacks what a later one has.

    Parameters
    ----------
    name : str
        Name of the file, for error messages.
    records : iterator
        Where each record stands, its number, and the record.
    request : Request
        Which keys to read.

    Raises
    ------
    DataError
        If the first record lacks a key.
    """

    def __init__(self, name: str, records: Records, request: Request) -> None:
        self.name = name
        self.request = request
        first = next(records, None)
        if first is None:
            raise DataError(f"{name} holds no record: there is nothing to read.")
        self._records = chain([first], records)
        self._first, _, record = first

        values = [value if isinstance(value, str) else "" for value in record.values()]
        wanted = choose_fields(list(record), values, request, kind="key")
        if wanted is None:
            _refuse_wrapped(self._first, record)
            raise missing_fields_error(self._first, list(record), request)
        self.wanted: Wanted = wanted
        names = list(record)
        self._keys = [names[position] for position in wanted.positions]

    def rows(self) -> Rows:
        """Yield (number of the line or the record, texts) for each record.

        Raises DataError where a record lacks a key, or has a value that is neither text nor number.
        """
        known_shapes: set[tuple[str, ...]] = set()
        for where, number, record in self._records:
            shape = tuple(record)
            if shape not in known_shapes:
                self._compare_with_first(where, shape)
                known_shapes.add(shape)
            yield number, _values(where, record, self._keys)

    def _compare_with_first(self, where: str, names: tuple[str, ...]) -> None:
        """Raise DataError where a record has a better key than those the first one offered."""
        if self.request.columns is not None:
            return  # the keys were given
        for index, role in enumerate(ROLES):
            position = find_roles(names)[role]
            if position is None:
                continue
            read = self._keys[index] if index < len(self.wanted.labels) else None
            better = names[position]
            if better != read and _comes_first(role, better, read):
                raise DataError(
                    f"{self._first}: the key {shown(better)} is missing, which {where} has. Mend "
                    "the record or drop it, or say by columns= which keys to read."
                )


def _refuse_wrapped(where: str, record: dict[str, Any]) -> None:
    """Raise DataError where the records stand in a list inside one object."""
    for key, value in record.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            raise DataError(
                f"{where}: the records seem to stand in the list {shown(key)} inside one object. "
                f"Write each on a line of its own, as with: jq -c '.[{json.dumps(key)}][]'."
            )


def _comes_first(role: str, one: str, other: str | None) -> bool:
    """Whether the first of two keys would be taken for a role if both were there."""
    return other is None or find_roles([other, one])[role] == 1


def is_json(first_line: str) -> bool:
    """Whether a file whose first line that is not blank is this one holds JSON."""
    return first_line.lstrip().startswith(("{", "["))


def records_of_lines(name: str, lines: Iterable[Line]) -> Records:
    """Yield the object of each line, its numbers as strings: a float would lose digits of them.

    Raises DataError where a line that is not blank holds anything else.
    """
    for line, text in lines:
        if not text.strip():
            continue
        where = f"{name}, line {line:,}"
        try:
            record = _loads(text)
        except (ValueError, RecursionError) as error:
            raise _not_json(where, text, error) from None
        if not isinstance(record, dict):
            raise DataError(f"{where}: not a JSON object. Each line must hold one whole object.")
        yield where, line, record


def records_of_array(name: str, path: Path) -> Records:
    """Yield the objects of one JSON array, which is read as a whole.

    Raises DataError if the file is too large for that, is no JSON, or holds anything but objects.
    """
    n_bytes = path.stat().st_size
    if n_bytes > LARGEST_ARRAY:
        raise DataError(
            f"{name}: one JSON array of {n_bytes >> 20:,} MiB, which would have to be read as a "
            "whole. Turn it into lines, one object each, as with: jq -c '.[]'."
        )
    try:
        array = _loads(path.read_text("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name}: not a JSON array ({error}). Mend the file.") from None
    for index, record in enumerate(array, start=1):
        where = f"{name}, record {index:,}"
        if not isinstance(record, dict):
            raise DataError(f"{where}: not a JSON object. The array must hold objects alone.")
        yield where, index, record


def _loads(text: str) -> Any:
    """Return what JSON says, numbers as they are written."""
    return json.loads(text, parse_int=str, parse_float=str, parse_constant=str)


def _not_json(where: str, text: str, error: Exception) -> DataError:
    """Return the error for a line that is no JSON."""
    if text.lstrip().startswith(("{'", "{u'", '{u"')):
        return DataError(
            f"{where}: not JSON but a Python dict, in single quotes. Convert the file first, each "
            "line by json.dumps(ast.literal_eval(line))."
        )
    if text.strip() == "{":
        return DataError(
            f"{where}: a JSON object on several lines. Write each object on a line of its own, as "
            "with: jq -c . (or jq -c '.data[]', if they stand in a list called data)."
        )
    return DataError(f"{where}: not a JSON object ({error}). Each line must hold one whole object.")


def _kind(value: Any) -> str:
    """Name the kind of a value that is neither a string nor a number."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    return "a list" if isinstance(value, list) else "an object"


def _values(where: str, record: dict[str, Any], keys: list[str]) -> tuple[str, ...]:
    """Return the values of the keys, each of which must be a string or (by now) was a number."""
    values = []
    for key in keys:
        value = record.get(key)
        if not isinstance(value, str):
            what = f"the key {shown(key)} is missing"
            if key in record:
                what = f"{shown(key)} must be a string or a number, and is {_kind(value)}"
            raise DataError(f"{where}: {what}. Mend the record or drop it.")
        values.append(value)
    return tuple(values)
