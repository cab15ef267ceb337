"""From flat sequences to padded batches: histories to judge, and windows or prefixes to train on.

B rows, N the longest row of its own batch, M interactions, W windows. Items are int64[B, N], padded
with 0 on the right; a target of 0 is no target. A row is given by where it starts in the flat items
and by its length.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from minirec.data.splits import Split

SCORES_PER_BATCH = 2**22  # floats in one batch of scores: 16 MiB
WIDTH_OF_STATES = 64  # hidden states of a batch of histories are bounded as if they were this wide
BATCHES_PER_POOL = 32  # more batches per pool mean less padding, fewer mean a freer shuffle
PREFIXES_PER_USER = 8  # per epoch, drawn anew each time
MASK_SHARE = 0.2  # the share of the items that a "cloze" model has hidden

OBJECTIVES = ("next-item", "prefix", "cloze")


@dataclass(frozen=True, eq=False)
class Batch:
    """What one training step reads."""

    inputs: np.ndarray  # int64[B, N]
    targets: np.ndarray  # int64[B, N], 0 where there is none; int64[B] for "prefix"


@dataclass(frozen=True, eq=False)
class LazyBatches:
    """A sequence of batches, each built from its row numbers when it is asked for."""

    rows: list[np.ndarray]
    build: Callable[[np.ndarray], Batch]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> Batch:
        return self.build(self.rows[i])


@dataclass(frozen=True, eq=False)
class Rows:
    """What an epoch is made of, before it is cut into batches."""

    lengths: np.ndarray  # int64[rows]: how many items each row has
    n_targets: np.ndarray  # int64[rows]
    build: Callable[[np.ndarray], Batch]  # row numbers -> their batch


class TrainingBatches:
    """One epoch after another of batches of about batch_size targets, as wide as their longest row.

    Everything about epoch e follows from (seed, e), so that a position in training is just two
    numbers: epoch and batch.

    Parameters
    ----------
    split : Split
        Its training part is used.
    objective : {"next-item", "prefix", "cloze"}
        What a model is trained to do, see `minirec.models.base`.
    max_len : int
        Items per row at most; longer histories are cut into windows.
    batch_size : int
        Targets per batch, roughly.
    seed : int
        Of the order of the rows, and of what is drawn.
    prefixes_per_user : int
        For "prefix": how many prefixes of each user an epoch has.

    Raises
    ------
    ValueError
        For an unknown objective, numbers below 1, or where there is nothing to learn from.
    """

    def __init__(
        self,
        split: Split,
        objective: str,
        max_len: int,
        batch_size: int,
        seed: int,
        prefixes_per_user: int = PREFIXES_PER_USER,
    ):
        if objective not in OBJECTIVES:
            raise ValueError(
                f"objective must be 'next-item', 'prefix' or 'cloze'; got {objective!r}."
            )
        if batch_size < 1 or prefixes_per_user < 1:
            raise ValueError(
                "batch_size, in targets, and prefixes_per_user must be at least 1; "
                f"got {batch_size} and {prefixes_per_user}."
            )
        self.objective = objective
        self.max_len = max_len
        self.batch_size = batch_size
        self.seed = seed
        self.prefixes_per_user = prefixes_per_user

        self.items = split.interactions.items
        self.mask_token = split.interactions.n_items + 1
        self.starts = split.interactions.offsets[:-1]
        # A user's first item has no predecessor, so it is no target.
        self.n_targets = np.maximum(split.train_ends - self.starts - 1, 0)
        if not self.n_targets.any():
            raise ValueError(
                "no user has two training interactions, so there is nothing to learn from."
            )

        lengths = self.n_targets
        if objective == "cloze":  # a hidden item needs no predecessor: the first may be hidden too
            lengths = lengths + (self.n_targets > 0)
        self.windows = windows(self.starts, lengths, max_len)

    def epoch(self, epoch: int) -> LazyBatches:
        """Return the batches of an epoch, which counts from 0."""
        rng = np.random.default_rng([self.seed, epoch])
        if self.objective == "next-item":
            rows = self._next_item_rows()
        elif self.objective == "prefix":
            rows = self._prefix_rows(rng)
        else:
            rows = self._cloze_rows(rng)
        batches = bucketed(rows.lengths, rows.n_targets, self.batch_size, rng)
        return LazyBatches(batches, rows.build)

    def _next_item_rows(self) -> Rows:
        """Take every window; the target at each position is the item after it."""
        starts, lengths, counted = self.windows

        def build(rows: np.ndarray) -> Batch:
            inputs = padded(self.items, starts[rows], lengths[rows])
            targets = padded(self.items, starts[rows] + 1, lengths[rows])
            n_counted_before = (lengths - counted)[rows, None]
            positions = np.arange(targets.shape[1])
            targets[positions < n_counted_before] = 0  # a target of the window before
            return Batch(inputs, targets)

        return Rows(lengths, counted, build)

    def _prefix_rows(self, rng: np.random.Generator) -> Rows:
        """Draw some prefixes of each user, none twice; the target is the item after them."""
        users, positions = flat_ranges(self.starts + 1, self.n_targets)  # of all possible targets
        # Each user's targets in random order, of which the first prefixes_per_user are taken.
        order = np.lexsort((rng.random(len(users)), users))
        place_in_order = positions - self.starts[users]  # from 1, whichever position stands there
        is_taken = place_in_order <= self.prefixes_per_user
        targets = positions[order][is_taken]
        lengths = np.minimum(targets - self.starts[users[is_taken]], self.max_len)

        def build(rows: np.ndarray) -> Batch:
            inputs = padded(self.items, targets[rows] - lengths[rows], lengths[rows])
            return Batch(inputs, self.items[targets[rows]].astype(np.int64))

        return Rows(lengths, np.ones_like(lengths), build)

    def _cloze_rows(self, rng: np.random.Generator) -> Rows:
        """Take every window with some of its items hidden, which are the targets."""
        starts, lengths, counted = self.windows
        window, position = flat_ranges(np.zeros_like(lengths), lengths)
        may_be_hidden = position >= (lengths - counted)[window]
        hidden = (rng.random(len(window)) < MASK_SHARE) & may_be_hidden
        n_hidden = np.bincount(window[hidden], minlength=len(lengths))
        is_last = position == lengths[window] - 1
        hidden |= is_last & (n_hidden[window] == 0)  # at least one item of each window
        begins = np.cumsum(lengths) - lengths  # of each window in the flat `hidden`

        def build(rows: np.ndarray) -> Batch:
            items = padded(self.items, starts[rows], lengths[rows])
            is_hidden = padded(hidden, begins[rows], lengths[rows]).astype(bool)
            inputs = np.where(is_hidden, self.mask_token, items)
            return Batch(inputs, np.where(is_hidden, items, 0))

        return Rows(lengths, np.maximum(n_hidden, 1), build)


def history_batches(
    split: Split, which: str, max_len: int | None
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Walk over the histories of a phase in batches, rows of like length together.

    Parameters
    ----------
    split : Split
        The split.
    which : {"valid", "test"}
        The phase.
    max_len : int or None
        How many of the last items of each history to give; None: all.

    Yields
    ------
    rows : numpy.ndarray
        int64[B]: the numbers of the batch's targets in `split.targets(which)`.
    items : numpy.ndarray
        int64[B, N]: their histories.
    answers : numpy.ndarray
        int64[B]: the target items.
    """
    targets = split.targets(which)
    items = split.interactions.items
    lengths = np.minimum(targets.positions - targets.starts, max_len or len(items))
    order = np.argsort(lengths, kind="stable")
    most_rows = max(1, SCORES_PER_BATCH // (split.interactions.n_items + 1))

    begin = 0
    while begin < len(order):
        rows = order[begin : begin + most_rows]
        rows = rows[: _rows_that_fit(lengths[rows])]
        begin += len(rows)
        positions = targets.positions[rows]
        histories = padded(items, positions - lengths[rows], lengths[rows])
        yield rows, histories, items[positions].astype(np.int64)


def _rows_that_fit(lengths: np.ndarray) -> int:
    """How many of the first rows, sorted by length, have states within the bound; at least one."""
    n_rows = np.arange(1, len(lengths) + 1)
    n_floats = (
        n_rows * lengths * WIDTH_OF_STATES
    )  # the last row is the longest: all are padded to it
    return max(1, int((n_floats <= SCORES_PER_BATCH).sum()))


def flat_ranges(starts: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Write out ranges, one after the other.

    Parameters
    ----------
    starts, lengths : numpy.ndarray
        int64[R]: range i is starts[i] .. starts[i] + lengths[i] - 1.

    Returns
    -------
    rows, positions : numpy.ndarray
        int64[sum of the lengths]: the range that each element belongs to, and the element.
    """
    rows = np.repeat(np.arange(len(starts)), lengths)
    begins = np.cumsum(lengths) - lengths  # of each range in what is returned
    positions = np.arange(lengths.sum()) + np.repeat(starts - begins, lengths)
    return rows, positions


def padded(flat: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Gather rows of unequal length into one array, padded with 0 on the right.

    Parameters
    ----------
    flat : numpy.ndarray
        [M]: where the rows lie.
    starts, lengths : numpy.ndarray
        int64[B]: row i is flat[starts[i] : starts[i] + lengths[i]].

    Returns
    -------
    numpy.ndarray
        int64[B, longest].
    """
    columns = np.arange(lengths.max())
    is_inside = columns < lengths[:, None]
    positions = np.where(is_inside, starts[:, None] + columns, 0)
    return np.where(is_inside, flat[positions], 0).astype(np.int64)


def windows(
    starts: np.ndarray, lengths: np.ndarray, max_len: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut ranges into windows of at most max_len positions that overlap by half.

    Every position counts in exactly one window, and has at least max_len / 2 positions before it
    there, once that many exist. An empty range has no window.

    Parameters
    ----------
    starts, lengths : numpy.ndarray
        int64[R]: range i is starts[i] .. starts[i] + lengths[i] - 1.
    max_len : int
        Positions per window at most.

    Returns
    -------
    starts, lengths, counted : numpy.ndarray
        int64[W]: window w is positions starts[w] .. starts[w] + lengths[w] - 1, of which the last
        counted[w] count.
    """
    stride = max(1, max_len // 2)
    beyond_the_first = np.maximum(0, lengths - max_len)
    n_more = -(-beyond_the_first // stride)  # rounded up
    n_windows = np.where(lengths > 0, 1 + n_more, 0)

    owner, nth = flat_ranges(np.zeros_like(starts), n_windows)
    # Where a window begins and ends, and where the one before it ended, from the range's start.
    ends = np.minimum(max_len + nth * stride, lengths[owner])
    begins = np.maximum(0, ends - max_len)
    ends_before = np.where(nth > 0, np.minimum(max_len + (nth - 1) * stride, lengths[owner]), 0)
    return starts[owner] + begins, ends - begins, ends - ends_before


def bucketed(
    lengths: np.ndarray, targets: np.ndarray, batch_size: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Cut rows into batches of like lengths, in random order; every row is in exactly one batch.

    The rows are shuffled into pools of BATCHES_PER_POOL batches and sorted by length inside a pool,
    so that who meets whom changes every epoch.

    Parameters
    ----------
    lengths, targets : numpy.ndarray
        int64[rows]: the length of each row, and how many targets it has.
    batch_size : int
        Targets per batch, roughly.
    rng : numpy.random.Generator
        Draws the order.

    Returns
    -------
    list of numpy.ndarray
        The row numbers of each batch.
    """
    n_batches = max(1, round(targets.sum() / batch_size))
    n_pools = min(len(lengths), max(1, round(n_batches / BATCHES_PER_POOL)))
    batches = []
    for pool in np.array_split(rng.permutation(len(lengths)), n_pools):
        by_length = pool[np.argsort(lengths[pool], kind="stable")]
        batches += _equal_parts(by_length, targets[by_length], batch_size)
    return [batches[i] for i in rng.permutation(len(batches))]


def _equal_parts(rows: np.ndarray, targets: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Cut rows, in their order, into parts of about equally many targets."""
    n_targets_up_to = np.cumsum(targets)
    total = n_targets_up_to[-1]
    n_parts = max(1, round(total / batch_size))
    cuts = np.searchsorted(n_targets_up_to, np.arange(1, n_parts) * total / n_parts)
    return [part for part in np.split(rows, cuts) if len(part)]
