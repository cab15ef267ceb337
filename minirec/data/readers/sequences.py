"""Lines of `user item item ...`, oldest item first."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minirec.data.readers.careful import Rows
from minirec.data.readers.lines import Line
from minirec.errors import DataError, shown

LARGEST_AT_ONCE = 1 << 28  # bytes of a file that is read as a whole; others are read line by line

MOST_DIGITS = 18  # of integers that surely fit 64 bits

SPACE = ord(" ")
NEWLINE = ord("\n")
ZERO = ord("0")


class Sequences:
    """The interactions of lines of `user item item ...`, and the users without an item.

    A line is one user, then items, the oldest first; blanks or tabs separate them. Further lines
    of a user continue the first. A user without an item is passed over and counted: lists that
    were made by splitting others have such.

    Parameters
    ----------
    name : str
        Name of the file, for error messages.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.lonely_users = 0

    def rows(self, lines: Iterable[Line]) -> Rows:
        """Yield (line, (user, item)) for each item; DataError where no user has any."""
        first_lonely = None
        n_interactions = 0
        for line, text in lines:
            # Not split() alone: it would also split at characters that may be part of an id, such
            # as a no-break space.
            words = text.rstrip("\r\n").replace("\t", " ").split(" ")
            words = [word for word in words if word]
            if not words:
                continue  # a blank line

            user = words[0]
            items = words[1:]
            if not items:
                self.lonely_users += 1
                first_lonely = first_lonely or (line, user)
            n_interactions += len(items)
            for item in items:
                yield line, (user, item)

        if first_lonely is not None and n_interactions == 0:
            line, user = first_lonely
            raise DataError(
                f"{self.name}, line {line:,}: the user {shown(user)} has no item, and nor has any "
                "other. A line is a user and their items, separated by blanks."
            )

    def sentence(self) -> str:
        """Say what was read as what."""
        said = "lines of user item item ...; no times: the order of the file counts"
        if self.lonely_users:
            users = "1 user" if self.lonely_users == 1 else f"{self.lonely_users:,} users"
            said += f"; {users} without an item left out"
        return said


class Integers(NamedTuple):
    """The interactions of lines that hold nothing but integers."""

    users: np.ndarray  # int64[interactions]
    items: np.ndarray  # int64[interactions]
    lonely_users: int


def integer_sequences(path: Path) -> Integers | None:
    r"""Read lines of `user item item ...` all at once, if every word is an ordinary integer.

    For the lines `1 2 3` and `4 5`::

        words           1      2      3      4      5
        line of a word  0      0      0      1      1
        starts a line   True   False  False  True   False
        users, repeated        1      1             4
        items                  2      3             5

    Parameters
    ----------
    path : Path
        A plain file.

    Returns
    -------
    Integers or None
        Exactly what the lines one by one would give; None where they must be read so.
    """
    if path.stat().st_size > LARGEST_AT_ONCE:
        return None
    content = path.read_bytes().replace(b"\r\n", b"\n")
    if content.translate(None, b"0123456789 \t\n"):
        return None  # something else than integers

    # In ASCII, the marks between words come before all digits.
    characters = np.frombuffer(content, dtype=np.uint8)
    is_digit = characters > SPACE
    change = np.diff(is_digit.astype(np.int8), prepend=0, append=0)
    starts = np.flatnonzero(change == 1)
    lengths = np.flatnonzero(change == -1) - starts
    has_leading_zero = (characters[starts] == ZERO) & (lengths > 1)
    if len(starts) == 0 or lengths.max() > MOST_DIGITS or has_leading_zero.any():
        return None

    words = np.fromstring(content, dtype=np.int64, sep=" ")
    line_of_word = np.searchsorted(np.flatnonzero(characters == NEWLINE), starts)
    starts_line = np.diff(line_of_word, prepend=-1) != 0
    items_of_line = np.diff(np.append(np.flatnonzero(starts_line), len(words))) - 1
    if not items_of_line.any():
        return None  # no user has an item: an error, which names the line
    users = np.repeat(words[starts_line], items_of_line)
    return Integers(users, words[~starts_line], int(np.count_nonzero(items_of_line == 0)))
