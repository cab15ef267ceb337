"""From flat sequences to padded batches: histories to judge, and windows, prefixes or masked windows to train on.

B rows, N the longest row of its own batch, M interactions. Items are Long[B, N], padded with 0 on the right; a target of 0 is no target.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minirec.data.splits import Split

SCORES_PER_BATCH = 2**22  # floats in one batch of scores, or of hidden states 64 wide: 16 MiB
BATCHES_PER_POOL = 32  # a pool is sorted by length: more batches in a pool mean less padding, fewer mean a freer shuffle
PREFIXES_PER_USER = (
    8  # training on prefixes sees this many of each user in an epoch, drawn anew each time
)
MASK_SHARE = 0.2  # a "cloze" model has this share of the items hidden


def flat_ranges(starts: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(row, position) of every element of the ranges starts[i] .. starts[i] + lengths[i] - 1, row after row."""
    rows = np.repeat(np.arange(len(starts)), lengths)
    return rows, np.arange(lengths.sum()) + np.repeat(
        starts - (np.cumsum(lengths) - lengths), lengths
    )


def padded(flat: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Rows flat[starts[i] : starts[i] + lengths[i]] as one int64[B, longest], padded with 0 on the right."""
    at = np.arange(lengths.max())
    inside = at < lengths[:, None]
    return np.where(inside, flat[np.where(inside, starts[:, None] + at, 0)], 0).astype(np.int64)


def history_batches(split: Split, which: str, max_len: int | None):
    """Yields (row numbers, items [B, N], target items [B]) over a phase: the last max_len items, rows of like length together."""
    targets, items = split.targets(which), split.interactions.items
    lengths = np.minimum(targets.positions - targets.starts, max_len or len(items))
    order, most = (
        np.argsort(lengths, kind="stable"),
        max(1, SCORES_PER_BATCH // (split.interactions.n_items + 1)),
    )
    while len(order):
        widths = lengths[
            order[:most]
        ]  # sorted, so the last row is the longest: keep as many as its width allows, at least one
        n = max(1, int((np.arange(1, len(widths) + 1) * widths * 64 <= SCORES_PER_BATCH).sum()))
        rows, order = order[:n], order[n:]
        positions = targets.positions[rows]
        yield (
            rows,
            padded(items, positions - lengths[rows], lengths[rows]),
            items[positions].astype(np.int64),
        )


def windows(
    starts: np.ndarray, lengths: np.ndarray, max_len: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cuts ranges into windows of at most max_len that overlap by half, so that every position counts in exactly one window, and with at
    least max_len / 2 positions before it once that many exist. Empty ranges have no window.

    (starts, lengths, counted): window w is positions starts[w] .. starts[w] + lengths[w] - 1, of which the last counted[w] count.
    """
    stride = max(1, max_len // 2)
    n_windows = np.where(lengths > 0, 1 + np.maximum(0, -(-(lengths - max_len) // stride)), 0)
    owner, nth = flat_ranges(np.zeros_like(starts), n_windows)
    ends = np.minimum(max_len + nth * stride, lengths[owner])  # relative to the owner's start
    begins = np.maximum(0, ends - max_len)
    before = np.where(nth > 0, np.minimum(max_len + (nth - 1) * stride, lengths[owner]), 0)
    return starts[owner] + begins, ends - begins, ends - before


@dataclass(frozen=True, eq=False)
class Batch:
    """inputs int64[B, N]; targets int64[B, N] for "next-item" and "cloze" (0: not a target), int64[B] for "prefix"."""

    inputs: np.ndarray
    targets: np.ndarray


class TrainingBatches:
    """One epoch after another of batches of about batch_size targets, each trimmed to its longest row.

    Everything about epoch e follows from (seed, e), so a position in training is just two numbers: epoch and batch.
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
        if objective not in ("next-item", "prefix", "cloze"):
            raise ValueError(
                f"objective must be 'next-item', 'prefix' or 'cloze'; got {objective!r}."
            )
        if min(batch_size, prefixes_per_user) < 1:
            raise ValueError(
                f"batch_size, in targets, and prefixes_per_user must be at least 1; got {batch_size} and {prefixes_per_user}."
            )
        self.items, self.objective, self.max_len = split.interactions.items, objective, max_len
        self.batch_size, self.seed, self.prefixes_per_user, self.mask_token = (
            batch_size,
            seed,
            prefixes_per_user,
            split.interactions.n_items + 1,
        )
        self.starts = split.interactions.offsets[:-1]
        self.n_targets = np.maximum(split.train_ends - self.starts - 1, 0)
        if not self.n_targets.any():
            raise ValueError(
                "no user has two training interactions, so there is nothing to learn from."
            )
        first_too = (objective == "cloze") & (
            self.n_targets > 0
        )  # a cloze target needs no predecessor, the others do
        self.windows = windows(self.starts, self.n_targets + first_too, max_len)

    def epoch(self, epoch: int) -> "LazyBatches":
        """The batches of an epoch."""
        rng = np.random.default_rng([self.seed, epoch])
        lengths, n_targets, build = {
            "next-item": self._next_item,
            "prefix": self._prefix,
            "cloze": self._cloze,
        }[self.objective](rng)
        return LazyBatches(bucketed(lengths, n_targets, self.batch_size, rng), build)

    def _next_item(self, rng):
        starts, lengths, counted = self.windows

        def build(rows):
            targets = padded(self.items, starts[rows] + 1, lengths[rows])
            targets[np.arange(targets.shape[1]) < (lengths - counted)[rows, None]] = (
                0  # counted in the window before
            )
            return Batch(padded(self.items, starts[rows], lengths[rows]), targets)

        return lengths, counted, build

    def _prefix(self, rng):
        users, positions = flat_ranges(
            self.starts + 1, self.n_targets
        )  # every position that has a predecessor
        order = np.lexsort((rng.random(len(users)), users))
        drawn = (
            positions - self.starts[users] <= self.prefixes_per_user
        )  # as many of each user as there are, up to prefixes_per_user
        chosen = positions[order][drawn]
        lengths = np.minimum(chosen - self.starts[users[drawn]], self.max_len)

        def build(rows):
            return Batch(
                padded(self.items, chosen[rows] - lengths[rows], lengths[rows]),
                self.items[chosen[rows]].astype(np.int64),
            )

        return lengths, np.ones_like(lengths), build

    def _cloze(self, rng):
        starts, lengths, counted = self.windows
        owner, at = flat_ranges(np.zeros_like(lengths), lengths)
        hidden = (rng.random(len(owner)) < MASK_SHARE) & (at >= (lengths - counted)[owner])
        n_hidden, begins = (
            np.bincount(owner[hidden], minlength=len(lengths)),
            np.cumsum(lengths) - lengths,
        )
        hidden |= (n_hidden[owner] == 0) & (at == lengths[owner] - 1)  # hide at least the last item

        def build(rows):
            masked = padded(hidden, begins[rows], lengths[rows]).astype(bool)
            items = padded(self.items, starts[rows], lengths[rows])
            return Batch(np.where(masked, self.mask_token, items), np.where(masked, items, 0))

        return lengths, np.maximum(n_hidden, 1), build


@dataclass(frozen=True, eq=False)
class LazyBatches:
    """A sequence of batches, each built from its row numbers when it is asked for."""

    rows: list[np.ndarray]
    build: Callable[[np.ndarray], Batch]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i: int) -> Batch:
        return self.build(self.rows[i])


def bucketed(
    lengths: np.ndarray, targets: np.ndarray, batch_size: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Row numbers in batches of about batch_size targets and of like lengths, in random order; every row is in exactly one batch.

    The rows are shuffled into pools of BATCHES_PER_POOL batches and sorted by length inside a pool, so that who meets whom changes every epoch.
    """
    n_batches = max(1, round(targets.sum() / batch_size))
    order, batches = rng.permutation(len(lengths)), []
    for pool in np.array_split(order, min(len(order), max(1, round(n_batches / BATCHES_PER_POOL)))):
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        reached = np.cumsum(targets[pool])
        n = max(1, round(reached[-1] / batch_size))
        cuts = np.searchsorted(reached, np.arange(1, n) * reached[-1] / n)
        batches += [rows for rows in np.split(pool, cuts) if len(rows)]
    return [batches[i] for i in rng.permutation(len(batches))]
