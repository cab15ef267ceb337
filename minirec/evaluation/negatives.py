"""The sampled candidates of a target, drawn as RecBole draws them.

T targets.
"""

import numpy as np

from minirec.data.batching import flat_ranges
from minirec.data.splits import Split


def sample_negatives(split: Split, which: str, protocol: str, *, seed: int = 0) -> np.ndarray:
    """The sampled candidates of every target: int64[T, 100], drawn with replacement; repeats count once.

    "uniform-100" draws each item alike, "popular-100" in proportion to its occurrences in train, valid and test together. A draw that is a target
    of this user up to and including the phase (any item but the user's first) is drawn again. Each draw is a hash of (seed, phase, user, draw, try).
    """
    data, targets = split.interactions, split.targets(which)
    cumulative = np.cumsum(
        data.item_counts()[1:]
        if protocol == "popular-100"
        else np.ones(data.n_items, dtype=np.int64)
    )
    rows, at = flat_ranges(targets.starts + 1, targets.positions - targets.starts)
    codes = (
        rows * (data.n_items + 1) + data.items[at]
    )  # of each row, the user's items after the first, up to the target
    forbidden = np.sort(
        np.append(codes, np.iinfo(np.int64).max)
    )  # the last one, so that every key has a place before the end
    negatives = np.zeros((len(targets), 100), dtype=np.int64)
    todo = np.indices(negatives.shape).reshape(2, -1)
    for attempt in range(1000):
        uniform = _hash_uniform(
            seed, ("valid", "test").index(which), targets.users[todo[0]], todo[1], attempt
        )
        negatives[todo[0], todo[1]] = 1 + np.searchsorted(
            cumulative, (uniform * cumulative[-1]).astype(np.int64), side="right"
        )
        codes = todo[0] * (data.n_items + 1) + negatives[todo[0], todo[1]]
        todo = todo[:, forbidden[np.searchsorted(forbidden, codes)] == codes]
        if todo.shape[1] == 0:
            return negatives
    raise ValueError(
        f"user {data.user_ids[targets.users[todo[0, 0]]]} has chosen (nearly) every one of the {data.n_items} items, so no negative "
        f"can be sampled; use protocol='full'."
    )


def _hash_uniform(*keys) -> np.ndarray:
    """A number in [0, 1) for each tuple of keys, by chained splitmix64 finalisers: no state, so no order of drawing matters."""
    state = np.zeros(1, dtype=np.uint64)  # an array, which overflows without a warning
    for key in keys:
        state = state + np.asarray(key).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = state ^ (state >> np.uint64(31))
    return (state >> np.uint64(11)) * 2.0**-53
