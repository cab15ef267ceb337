"""JSON lines: one object per line."""

import io
import json
from typing import Any

from minirec.data.readers.columns import Rows
from minirec.data.readers.header import find_positions, missing_fields_error
from minirec.errors import DataError


def json_rows(name: str, text: str, columns: dict[str, str] | None) -> Rows:
    """Yield the wanted values of each JSON object.

    Parameters
    ----------
    name : str
        Name of the file, for error messages.
    text : str
        All of the file.
    columns : dict or None
        The key of each role, see `find_positions`.

    Yields
    ------
    line, texts
        Number of the line; user, item and perhaps time, numbers too as the file writes them.

    Raises
    ------
    DataError
        If a line is not one JSON object, or a value is missing or neither a string nor a number.
    """
    keys: list[str] | None = None
    for line, content in enumerate(io.StringIO(text, newline=""), start=1):
        if not content.strip():
            continue
        where = f"{name}, line {line:,}"
        record = _parse_record(where, content)
        if keys is None:
            keys = _wanted_keys(where, record, columns)  # the first record stands for all
        yield line, _values(where, record, keys)


def is_json(first_line: str) -> bool:
    """Whether a file whose first line that is not blank is this one holds JSON."""
    return first_line.lstrip().startswith(("{", "["))


def _parse_record(where: str, content: str) -> dict[str, Any]:
    """Return a line's object, its numbers as strings: a float would lose digits of them."""
    try:
        record = json.loads(content, parse_int=str, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{where}: not a JSON object ({error}). Each line must hold one whole object."
        ) from None
    if not isinstance(record, dict):
        raise DataError(f"{where}: not a JSON object. Each line must hold one whole object.")
    return record


def _wanted_keys(where: str, record: dict[str, Any], columns: dict[str, str] | None) -> list[str]:
    """Return the keys of the user, the item and perhaps the time."""
    keys = list(record)
    positions = find_positions(keys, columns)
    if positions is None:
        raise missing_fields_error(where, keys, columns)
    return [keys[position] for position in positions]


def _values(where: str, record: dict[str, Any], keys: list[str]) -> tuple[str, ...]:
    """Return the values of the keys, each of which must be a string or (by now) was a number."""
    values = []
    for key in keys:
        value = record.get(key)
        if not isinstance(value, str):
            what = f"the key {key!r} is missing"
            if key in record:
                what = f"{key!r} must be a string or a number"
            raise DataError(f"{where}: {what}. Mend the line or drop it.")
        values.append(value)
    return tuple(values)
