"""Predictors that learn by counting: what a neural model has to beat (notebook 01).

B batch, N positions, V items.
"""

from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from minirec.models.base import Recommender, without_padding


class TrainingSplit(Protocol):
    """What counting needs of a split; `minirec.Split` has it.

    Described here because models do not import the room that reads data.
    """

    @property
    def interactions(self) -> Any:
        """The log: `items`, all users' one after another, and `offsets`, where each begins."""

    @property
    def train_ends(self) -> np.ndarray:
        """Where each user's training items end in `interactions.items`: int64[n_users]."""

    def train_counts(self) -> np.ndarray:
        """How often each item occurs in training: int64[V + 1]."""


class Popularity(Recommender):
    """Scores every item by how often it occurs in training, whatever the history.

    Parameters
    ----------
    n_items : int
        Number of items V.

    References
    ----------
    Notebook 01.
    """

    name = "popularity"
    objective = "count"
    max_len = 1
    counts: Tensor  # [V + 1]

    def __init__(self, n_items: int):
        super().__init__(n_items)
        self.register_buffer("counts", torch.zeros(n_items + 1))

    def count(self, split: TrainingSplit) -> Self:
        """Count the training interactions of a `minirec.Split`; returns the model itself."""
        self.counts.copy_(torch.from_numpy(split.train_counts()))
        return self

    def scores(self, items: Tensor) -> Tensor:
        """Repeat the training counts for every row: items [B, N] -> [B, V + 1]."""
        return without_padding(self.counts.repeat(len(items), 1))


class LastItem(Recommender):
    """A first-order Markov chain: what followed the last item in training.

    Scores an item by how often it directly followed the last one; ties go by popularity. The
    transitions that occurred are kept as a sorted list of codes, last * (V + 1) + next, because a
    table of all pairs would have V * V entries.

    Parameters
    ----------
    n_items : int
        Number of items V.

    References
    ----------
    Notebook 01.
    """

    name = "last-item"
    objective = "count"
    max_len = 1
    popularity: Tensor  # [V + 1], each item's share of the training interactions
    pairs: Tensor  # the codes of the transitions that occurred, sorted
    pair_counts: Tensor  # how often each of them did

    def __init__(self, n_items: int):
        super().__init__(n_items)
        # In float64, so that rounding makes no ties.
        self.register_buffer("popularity", torch.zeros(n_items + 1, dtype=torch.float64))
        self.register_buffer("pairs", torch.zeros(0, dtype=torch.long))
        self.register_buffer("pair_counts", torch.zeros(0, dtype=torch.float64))

    def count(self, split: TrainingSplit) -> Self:
        """Count the training transitions of a `minirec.Split`; returns the model itself."""
        items = split.interactions.items.astype(np.int64)
        lengths = np.diff(split.interactions.offsets)

        # A transition from position i to i + 1 counts where both belong to the same user's
        # training items, that is where i + 1 lies before the end of them.
        ends = np.repeat(split.train_ends, lengths)  # for every position, its user's
        next_positions = np.arange(1, len(items) + 1)
        positions = np.flatnonzero(next_positions < ends)

        codes = items[positions] * (self.n_items + 1) + items[positions + 1]
        pairs, counts = np.unique(codes, return_counts=True)
        self.pairs = torch.from_numpy(pairs)
        self.pair_counts = torch.from_numpy(counts).double()

        # Below 1, so that popularity decides only between equal transition counts.
        occurrences = split.train_counts()
        shares = occurrences / (occurrences.sum() + 1)
        self.popularity.copy_(torch.from_numpy(shares))
        return self

    def scores(self, items: Tensor) -> Tensor:
        """Add transition counts and shares of popularity: items [B, N] -> [B, V + 1]."""
        scores = self.popularity.repeat(len(items), 1)
        ends = (items > 0).sum(1, keepdim=True) - 1
        last = items.gather(1, ends)[:, 0]

        # The transitions from `last` are those with codes from last * (V + 1) on, a run in the
        # sorted list: row b's goes from begin[b] up to end[b].
        first_code = last * (self.n_items + 1)
        begin = torch.searchsorted(self.pairs, first_code)
        end = torch.searchsorted(self.pairs, first_code + self.n_items + 1)
        n_found = end - begin

        # All rows' runs one after another: entry i belongs to rows[i] and stands at found[i].
        rows = torch.repeat_interleave(torch.arange(len(items), device=items.device), n_found)
        entries_before = n_found.cumsum(0) - n_found
        shift = torch.repeat_interleave(begin - entries_before, n_found)
        found = torch.arange(len(rows), device=items.device) + shift

        next_items = self.pairs[found] - first_code[rows]
        scores[rows, next_items] += self.pair_counts[found]
        return without_padding(scores)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Make room for the counted transitions, whose number is known only now; then load."""
        for name in ("pairs", "pair_counts"):
            stored = state_dict[prefix + name]
            setattr(self, name, torch.empty_like(stored, device=self.popularity.device))
        super()._load_from_state_dict(state_dict, prefix, *args)
