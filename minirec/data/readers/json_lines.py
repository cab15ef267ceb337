"""JSON lines: one object a line."""

import io
import json

from minirec.data.readers.columns import Rows
from minirec.data.readers.layout import find_positions
from minirec.errors import DataError


def json_rows(name: str, text: str, columns: dict[str, str] | None) -> Rows:
    """Yield the line number and the wanted values of each JSON record."""
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
            list(record)[position] for position in find_positions(where, list(record), columns)
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
