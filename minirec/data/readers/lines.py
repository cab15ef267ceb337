"""The lines of a text file, one at a time, however large the file is."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from minirec.errors import DataError

LONGEST_LINE = 64 << 20  # bytes; no line of a log is as long

UTF8_MARK = b"\xef\xbb\xbf"  # the byte order mark that some editors put before UTF-8

# A line's number, counted from 1, and its text with the line end.
Line = tuple[int, str]


def numbered_lines(name: str, path: Path) -> Iterator[Line]:
    r"""Yield the lines of a file, which may end in \n, \r\n or \r.

    A byte that is not UTF-8 becomes a lone surrogate, which no text in UTF-8 holds: it is an error
    only if it stands in a field that is read (`bad_byte`).

    Parameters
    ----------
    name : str
        Name of the file, for error messages.
    path : Path
        A plain file.

    Yields
    ------
    line, text
        The number of the line, from 1, and its text with the line end.

    Raises
    ------
    DataError
        If a line is longer than LONGEST_LINE.
    """
    line = 0
    with path.open("rb") as file:
        while piece := file.readline(LONGEST_LINE):
            if len(piece) == LONGEST_LINE:
                raise DataError(
                    f"{name}, line {line + 1:,}: the line is longer than {LONGEST_LINE >> 20} MiB. "
                    "A log has a line per event, or per user; is this a log?"
                )
            if line == 0:
                piece = piece.removeprefix(UTF8_MARK)
            for content in piece.splitlines(keepends=True):  # a lone \r ends a line, too
                line += 1
                yield line, content.decode("utf-8", "surrogateescape")


def first_lines(name: str, path: Path, how_many: int) -> list[Line]:
    """Return the first lines that are not blank, without their ends; DataError if none is."""
    not_blank = (
        (line, text.rstrip("\r\n")) for line, text in numbered_lines(name, path) if text.strip()
    )
    head = list(islice(not_blank, how_many))
    if not head:
        raise DataError(f"{name} is empty: there is nothing to read.")
    return head


def bad_byte(text: str) -> int | None:
    """Return the first byte of a text that was not UTF-8, or None if all were."""
    if text.isascii():
        return None
    for letter in text:
        if "\udc80" <= letter <= "\udcff":
            return ord(letter) - 0xDC00
    return None
