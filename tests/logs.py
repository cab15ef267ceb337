"""Small interaction logs for the tests: written by hand as lists of items, or drawn at random."""

import numpy as np

from minirec.data.interactions import Interactions


def log(rows, n_items: int | None = None, times=None) -> Interactions:
    """A log of dense item ids, one list per user, oldest first.

    Items up to n_items exist whether they occur or not. times: as many lists of integers.
    """
    items = np.concatenate(rows).astype(np.int32)
    n_items = n_items or int(items.max())
    lengths = [len(row) for row in rows]
    timestamps = None
    if times is not None:
        timestamps = np.concatenate(times).astype(np.int64)
    return Interactions(
        items=items,
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        item_ids=np.arange(1, n_items + 1),
        user_ids=np.arange(len(rows)),
        timestamps=timestamps,
    )


def random_log(
    seed: int,
    *,
    n_users: int = 20,
    n_items: int = 30,
    shortest: int = 1,
    longest: int = 12,
    latest: int | None = None,
) -> Interactions:
    """Random items, repeats included.

    With `latest` there are timestamps in 0..latest, many of them equal.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(n_users):
        length = rng.integers(shortest, longest + 1)
        rows.append(rng.integers(1, n_items + 1, size=length))
    if latest is None:
        return log(rows, n_items)
    times = [np.sort(rng.integers(0, latest + 1, size=len(row))) for row in rows]
    return log(rows, n_items, times)


def rows_of(data: Interactions) -> list[list[int]]:
    """The log as Python lists."""
    return [data.sequence(user).tolist() for user in range(data.n_users)]
