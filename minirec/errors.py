"""The exceptions a user meets."""


class DataError(ValueError):
    """Something is wrong with the data, not with the program.

    The message says what is wrong, where it stands and what to do.
    """


class CheckpointError(ValueError):
    """A checkpoint that cannot be continued; the message says what differs and what to do."""
