"""Lines of `user item item ...`, oldest item first."""

import io

from minirec.data.readers.columns import Rows
from minirec.errors import DataError


def sequence_rows(name: str, text: str) -> Rows:
    """One user a line, oldest item first; a user's further lines continue the first."""
    for line, content in enumerate(io.StringIO(text, newline=""), 1):
        user, *items = content.rstrip("\r\n").replace("\t", " ").strip(" ").split(" ")
        if user and not items:
            raise DataError(
                f"{name}, line {line:,}: the user {user!r} has no item. A line is a user and at least one item, separated by blanks."
            )
        yield from ((line, user, item) for item in items if item)
