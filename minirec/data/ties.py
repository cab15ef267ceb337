"""Ties: interactions of one user with the same timestamp, whose true order is not recorded.

Amazon's reviews are dated by the day; MovieLens' ratings by the second, but people rate a whole
page at a time. So which item is a user's last one, and with it the target of leave-one-out, may
depend on the order in which a copy of the data lists them.

M interactions; a run is a stretch of tied interactions, or a single one that is not tied.
"""

import operator

import numpy as np

from minirec.errors import DataError

ORDERS = ("file", "id", "random")


def name_of_data(source: str, ties: str) -> str:
    """Name data after their source and, if it is not the file's, the order of their ties.

    Parameters
    ----------
    source : str
        Of the data.
    ties : str
        "file", "id", or "random" and its seed, as in "random 3".

    Returns
    -------
    str
        Such as "beauty", "beauty, ties by id" or "beauty, ties random 3".
    """
    if ties == "file":
        return source
    by = "by " if ties == "id" else ""
    return f"{source}, ties {by}{ties}"


def runs(users: np.ndarray, timestamps: np.ndarray) -> np.ndarray:
    """Give every run of a log that is sorted by user and time a number.

    Parameters
    ----------
    users : numpy.ndarray
        int[M].
    timestamps : numpy.ndarray
        int64[M].

    Returns
    -------
    numpy.ndarray
        int64[M]: the run that each interaction belongs to, from 0.
    """
    begins = np.ones(len(users), dtype=bool)
    begins[1:] = (users[1:] != users[:-1]) | (timestamps[1:] != timestamps[:-1])
    return np.cumsum(begins) - 1


def reordered(runs: np.ndarray, items: np.ndarray, order: str, seed: int) -> np.ndarray:
    """Put each run into another order.

    Parameters
    ----------
    runs : numpy.ndarray
        From `runs`, int64[M].
    items : numpy.ndarray
        Dense ids, which are numbered in the order of the raw ids, int32[M].
    order : str
        "id", or "random": every order of a run is equally likely.
    seed : int
        Of the random orders. One seed gives one order, whatever the order before.

    Returns
    -------
    numpy.ndarray
        int64[M]: which interaction comes first, second and so on.
    """
    by_id = np.lexsort((items, runs))
    if order == "id":
        return by_id
    draws = np.random.default_rng(seed).random(len(items))
    return by_id[np.lexsort((draws, runs[by_id]))]


def check_order(order: str, has_times: bool, source: str) -> None:
    """Raise where ties cannot be put into an order.

    Parameters
    ----------
    order : str
        The order that is asked for.
    has_times : bool
        Whether the log knows its times; if not, nothing says what is tied.
    source : str
        What messages call the data.

    Raises
    ------
    ValueError
        For an order that is none of ORDERS.
    DataError
        For a log without times.
    """
    if order not in ORDERS:
        raise ValueError(f"ties must be one of {', '.join(ORDERS)}; got {order!r}.")
    if order != "file" and not has_times:
        raise DataError(
            f"{source or 'the data'} has no times, so nothing says which interactions are tied; "
            "load a copy that has them, or leave ties at 'file'."
        )


def checked_seed(seed: int) -> int:
    """Return the seed of a random order as a plain integer.

    Parameters
    ----------
    seed : int
        Whatever the caller gave; an integer of NumPy is one.

    Returns
    -------
    int
        The same number.

    Raises
    ------
    ValueError
        For anything but an integer from 0 up. None would give another order every time, which no
        name could tell apart.
    """
    message = f"the seed of a random order of ties must be an integer from 0 up; got {seed!r}."
    if isinstance(seed, bool):
        raise ValueError(message)
    try:
        number = operator.index(seed)
    except TypeError:
        raise ValueError(message) from None
    if number < 0:
        raise ValueError(message)
    return number
