"""The exceptions a user meets."""


class DataError(ValueError):
    """Something is wrong with the data, not with the program; the message says what, where, and what to do."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be continued; the message says what differs and what to do."""
