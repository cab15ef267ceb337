"""The exceptions a user meets, and how their messages quote what stands in a file."""

LONGEST_SHOWN = 80  # characters of a foreign text in a message
LONGEST_PATH = 200  # characters of a path in a message


class DataError(ValueError):
    """Something is wrong with the data, not with the program.

    The message says what is wrong, where it stands and what to do.
    """


class CheckpointError(ValueError):
    """A checkpoint that cannot be continued; the message says what differs and what to do."""


def shown(text: object) -> str:
    r"""Return a text from a file as a message may show it: in quotes, harmless, and not too long.

    Ids, fields and the names of an archive's members are written by others: raw, they could move
    the cursor of a terminal, or fill it.

    Parameters
    ----------
    text : object
        What the file holds; anything but a string is shown as `str` writes it.

    Returns
    -------
    str
        In quotes; control characters are escaped, as in '\x1b[2J'; cut to 80 characters and '...'.
    """
    written = repr(str(text)[: LONGEST_SHOWN + 1])  # repr escapes all that is not printable
    if len(written) <= LONGEST_SHOWN + 2:  # the two quotes
        return written
    return f"{written[: LONGEST_SHOWN + 1]}...{written[0]}"


def printable(text: object, longest: int = LONGEST_SHOWN) -> str:
    r"""Return a text as a table for people may show it: harmless, and not too long.

    Parameters
    ----------
    text : object
        A raw id, for example.
    longest : int
        In characters.

    Returns
    -------
    str
        Without quotes; what is not printable is escaped, as in \x1b[2J; cut to the longest length
        and '...'.
    """
    harmless = _escaped(str(text)[: longest + 1])
    if len(harmless) <= longest:
        return harmless
    return f"{harmless[:longest]}..."


def printable_path(path: object) -> str:
    """Return a path as a message may show it: harmless, and not too long.

    Parameters
    ----------
    path : object
        The path of a file or folder, or of a member of an archive.

    Returns
    -------
    str
        As `printable` returns it, but that of more than 200 characters those in the middle are left
        out: the end of a path tells more than its beginning.
    """
    harmless = _escaped(str(path))
    if len(harmless) <= LONGEST_PATH:
        return harmless
    beginning = LONGEST_PATH // 4
    end = LONGEST_PATH - beginning - len("...")
    return f"{harmless[:beginning]}...{harmless[-end:]}"


def _escaped(text: str) -> str:
    """Return a text with each character that is not printable as Python writes it."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
