"""Predictors that learn by counting: what a neural model has to beat (notebook 01). B batch, N positions, V items."""

import numpy as np
import torch
from torch import Tensor

from minirec.models.base import Recommender, without_padding


class Popularity(Recommender):
    """Scores every item by how often it occurs in training, whatever the history."""

    name = "popularity"
    max_len = 1
    objective = "count"

    def __init__(self, n_items: int):
        super().__init__(n_items)
        self.register_buffer("counts", torch.zeros(n_items + 1))

    def count(self, split) -> "Popularity":
        """Counts the training interactions of `split`; returns itself."""
        self.counts.copy_(torch.from_numpy(split.train_counts()))
        return self

    def scores(self, items: Tensor) -> Tensor:
        """items [B, N] -> training counts [B, V + 1]."""
        return without_padding(self.counts.repeat(len(items), 1))


class LastItem(Recommender):
    """A first-order Markov chain: scores an item by how often it directly followed the last one in training, ties by popularity."""

    name = "last-item"
    max_len = 1
    objective = "count"

    def __init__(self, n_items: int):
        super().__init__(n_items)
        self.register_buffer(
            "popularity", torch.zeros(n_items + 1, dtype=torch.float64)
        )  # float64, so that no tie is made by rounding
        self.register_buffer(
            "pairs", torch.zeros(0, dtype=torch.long)
        )  # sorted codes last * (V + 1) + next
        self.register_buffer("pair_counts", torch.zeros(0, dtype=torch.float64))

    def count(self, split) -> "LastItem":
        """Counts the training transitions of `split`; returns itself."""
        items, ends = (
            split.interactions.items.astype(np.int64),
            np.repeat(split.train_ends, np.diff(split.interactions.offsets)),
        )
        at = np.flatnonzero(
            np.arange(1, len(items) + 1) < ends
        )  # where a position and its successor both train
        pairs, counts = np.unique(
            items[at] * (self.n_items + 1) + items[at + 1], return_counts=True
        )
        self.pairs, self.pair_counts = torch.from_numpy(pairs), torch.from_numpy(counts).double()
        occurrences = split.train_counts()
        self.popularity.copy_(
            torch.from_numpy(occurrences / (occurrences.sum() + 1))
        )  # below 1: decides only between equal transition counts
        return self

    def _load_from_state_dict(self, state, prefix, *args):
        for name in ("pairs", "pair_counts"):  # their size is known only now
            setattr(
                self, name, torch.empty_like(state[prefix + name], device=self.popularity.device)
            )
        super()._load_from_state_dict(state, prefix, *args)

    def scores(self, items: Tensor) -> Tensor:
        """items [B, N] -> [B, V + 1]: transition count + popularity share."""
        scores = self.popularity.repeat(len(items), 1)
        last = items.gather(1, (items > 0).sum(1, keepdim=True) - 1)[:, 0] * (self.n_items + 1)
        begin, end = (
            torch.searchsorted(self.pairs, last),
            torch.searchsorted(self.pairs, last + self.n_items + 1),
        )
        rows = torch.repeat_interleave(torch.arange(len(items), device=items.device), end - begin)
        at = torch.arange(len(rows), device=items.device) - torch.repeat_interleave(
            (end - begin).cumsum(0) - end, end - begin
        )
        scores[rows, self.pairs[at] - last[rows]] += self.pair_counts[at]
        return without_padding(scores)
