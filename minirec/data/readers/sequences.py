"""Lines of `user item item ...`, oldest item first."""

import io

from minirec.data.readers.columns import Rows
from minirec.errors import DataError


def sequence_rows(name: str, text: str) -> Rows:
    """Yield an interaction for each item of each line.

    A line is one user, then items, the oldest first; blanks or tabs separate them. Further lines
    of a user continue the first.

    Parameters
    ----------
    name : str
        Name of the file, for error messages.
    text : str
        All of the file.

    Yields
    ------
    line, texts
        Number of the line; user and item.

    Raises
    ------
    DataError
        If a user has no item.
    """
    for line, content in enumerate(io.StringIO(text, newline=""), start=1):
        # Not split() alone: it would also split at characters that may be part of an id, such as
        # a no-break space.
        words = content.rstrip("\r\n").replace("\t", " ").split(" ")
        words = [word for word in words if word]
        if not words:
            continue  # a blank line

        user = words[0]
        items = words[1:]
        if not items:
            raise DataError(
                f"{name}, line {line:,}: the user {user!r} has no item. A line is a user and at "
                "least one item, separated by blanks."
            )
        for item in items:
            yield line, (user, item)
