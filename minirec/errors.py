"""The exceptions a user meets, and how their messages quote what stands in a file."""

LONGEST_SHOWN = 80  # characters of a foreign text in a message


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
