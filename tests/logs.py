"""Small interaction logs for the tests: written by hand as lists of items, or drawn at random."""

import numpy as np

from minirec.data.interactions import Interactions


def log(rows, n_items: int | None = None, times=None) -> Interactions:
    """rows: one list of dense item ids a user, oldest first; times: as many lists of integers. Items up to n_items exist whether they occur or not."""
    flat = np.concatenate(rows).astype(np.int32)
    n_items = n_items or int(flat.max())
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    return Interactions(
        flat,
        offsets,
        np.arange(1, n_items + 1),
        np.arange(len(rows)),
        None if times is None else np.concatenate(times).astype(np.int64),
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
    """Random items, repeats included; timestamps in 0..latest, many of them equal, if latest is given."""
    rng = np.random.default_rng(seed)
    rows = [
        rng.integers(1, n_items + 1, size=rng.integers(shortest, longest + 1))
        for _ in range(n_users)
    ]
    return log(
        rows,
        n_items,
        None
        if latest is None
        else [np.sort(rng.integers(0, latest + 1, size=len(row))) for row in rows],
    )


def rows_of(data: Interactions) -> list[list[int]]:
    """The log as Python lists."""
    return [
        data.items[begin:end].tolist() for begin, end in zip(data.offsets[:-1], data.offsets[1:])
    ]
