"""The sampled candidates of a target, drawn as RecBole draws them.

T targets, V items; a row is a target's number, 0..T - 1. A code is the number row * (V + 1) + item,
which names one item of one row: a set of such pairs becomes a sorted array of integers, and
membership a binary search.
"""

from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from minirec.data.batching import flat_ranges
from minirec.data.splits import Split

N_NEGATIVES = 100  # per target
MAX_ATTEMPTS = 1000  # at a draw, before it is given up


# What was drawn for a split, by (phase, protocol, seed); forgotten with the split.
_drawn: WeakKeyDictionary[Split, dict[tuple[str, str, int], Tensor]] = WeakKeyDictionary()


def candidates_of(split: Split, which: str, protocol: str, *, seed: int = 0) -> Tensor:
    """Return the sampled candidates of every target of a phase, drawn once for each split.

    Training judges a model after every epoch, always against the same candidates.

    Parameters
    ----------
    split, which, protocol, seed
        As for `sample_negatives`.

    Returns
    -------
    Tensor
        Long[T, 100], on the CPU: dense ids, ascending; 0 in place of a repeat, so that each counts
        once. Shared by all who ask: not to be changed.
    """
    drawn_for_split = _drawn.setdefault(split, {})
    key = (which, protocol, seed)
    if key not in drawn_for_split:
        candidates = np.sort(sample_negatives(split, which, protocol, seed=seed), axis=1)
        is_repeat = candidates[:, 1:] == candidates[:, :-1]
        candidates[:, 1:][is_repeat] = 0
        drawn_for_split[key] = torch.from_numpy(candidates)
    return drawn_for_split[key]


def sample_negatives(split: Split, which: str, protocol: str, *, seed: int = 0) -> np.ndarray:
    """Draw the sampled candidates of every target of a phase.

    A draw that is a target of this user up to and including the phase (any item but the user's
    first) is drawn again. Each draw is a hash of (seed, phase, user, draw, attempt), so that it is
    the same for every model and does not depend on who else is judged.

    Parameters
    ----------
    split : Split
        The split data.
    which : str
        The phase, "valid" or "test".
    protocol : str
        "uniform-100" draws each item alike; "popular-100" in proportion to how often it occurs in
        train, valid and test together.
    seed : int
        Another seed gives other negatives.

    Returns
    -------
    int64[T, 100]
        Dense ids, drawn with replacement: repeats count once as candidates.

    Raises
    ------
    ValueError
        Where a user has chosen (nearly) every item, so that nothing is left to draw.
    """
    data = split.interactions
    targets = split.targets(which)
    phase = ("valid", "test").index(which)
    cumulative = _cumulative_weights(split, protocol)
    forbidden = _forbidden_codes(split, which)

    # The draws that are still to be made, as (row, column) of the result: at first all of them.
    negatives = np.zeros((len(targets), N_NEGATIVES), dtype=np.int64)
    rows, columns = np.indices(negatives.shape).reshape(2, -1)

    for attempt in range(MAX_ATTEMPTS):
        uniform = _hash_uniform(seed, phase, targets.users[rows], columns, attempt)
        drawn = 1 + _index_by_weight(cumulative, uniform)
        negatives[rows, columns] = drawn

        # What came out forbidden stays in the list; the next attempt draws it anew.
        codes = rows * (data.n_items + 1) + drawn
        again = forbidden[np.searchsorted(forbidden, codes)] == codes
        rows = rows[again]
        columns = columns[again]
        if len(rows) == 0:
            return negatives

    raise ValueError(
        f"user {data.user_ids[targets.users[rows[0]]]} has chosen (nearly) every one of the "
        f"{data.n_items} items, so no negative can be sampled; use protocol='full'."
    )


def _cumulative_weights(split: Split, protocol: str) -> np.ndarray:
    """Return the running sum of the weights by which items 1..V are drawn, int64[V]."""
    data = split.interactions
    if protocol == "popular-100":
        weights = data.item_counts()[1:]
    else:
        weights = np.ones(data.n_items, dtype=np.int64)
    return np.cumsum(weights)


def _index_by_weight(cumulative: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Return, for each number in [0, 1), an index drawn in proportion to the weights."""
    tickets = (uniform * cumulative[-1]).astype(np.int64)
    return np.searchsorted(cumulative, tickets, side="right")


def _forbidden_codes(split: Split, which: str) -> np.ndarray:
    """Return the codes of what no row may draw: its user's items after the first, to the target."""
    data = split.interactions
    targets = split.targets(which)
    rows, positions = flat_ranges(targets.starts + 1, targets.positions - targets.starts)
    codes = rows * (data.n_items + 1) + data.items[positions]

    # The largest integer at the end makes every search end inside the array.
    return np.sort(np.append(codes, np.iinfo(np.int64).max))


def _hash_uniform(*keys: np.ndarray | int) -> np.ndarray:
    """Return a number in [0, 1) for each tuple of keys, by chained splitmix64 finalisers.

    There is no state as a generator has one, so the order of drawing does not matter.
    """
    state = np.zeros(1, dtype=np.uint64)  # an array, which overflows without a warning
    for key in keys:
        state = state + np.asarray(key).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = state ^ (state >> np.uint64(31))
    return (state >> np.uint64(11)) * 2.0**-53  # 53 bits, as many as a float64 keeps exactly
