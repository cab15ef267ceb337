"""How well a recommender ranks what users really chose next: one `evaluate` for models and baselines.

B batch, N positions, V items, T targets.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

from minirec import metrics
from minirec.data.batching import flat_ranges, history_batches
from minirec.data.splits import Split
from minirec.evaluation.negatives import sample_negatives
from minirec.models.base import judging, name_of

PROTOCOLS = ("full", "uniform-100", "popular-100")


@dataclass(frozen=True, eq=False)
class Evaluation:
    """ranks: int64[T], one a judged user, in the order of `users` (dense ids); recall, mrr, ndcg are at k; seed is that of sampled negatives."""

    name: str
    which: str
    protocol: str
    k: int
    users: np.ndarray
    ranks: np.ndarray
    exclude_seen: bool = False
    seed: int | None = None

    recall = property(lambda self: metrics.recall(self.ranks, self.k))
    mrr = property(lambda self: metrics.mrr(self.ranks, self.k))
    ndcg = property(lambda self: metrics.ndcg(self.ranks, self.k))
    figures = property(
        lambda self: {
            "recall": self.recall,
            "mrr": self.mrr,
            "ndcg": self.ndcg,
            "users": len(self.ranks),
        },
        doc="As run records keep them.",
    )

    def __repr__(self):
        return (
            f"{self.name}: Recall@{self.k} {self.recall:.4f}   MRR@{self.k} {self.mrr:.4f}   NDCG@{self.k} {self.ndcg:.4f}"
            f"   ({self.which}, {self.protocol} ranking, {len(self.ranks):,} users)"
        )


def evaluate(
    model,
    split: Split,
    *,
    which: str = "test",
    protocol: str = "full",
    k: int = 10,
    exclude_seen: bool = False,
    seed: int = 0,
) -> Evaluation:
    """Ranks each user's target among all items, or among 100 sampled ones.

    model: anything with `scores(items)`; it sees the last `model.max_len` items. which: "valid" or "test". protocol: "full", "uniform-100" or
    "popular-100"; the negatives depend on (seed, which, user) alone, so they are the same for every model. exclude_seen takes a user's history
    out of the candidates, never the target. Memory is one batch of scores, [B, V + 1]. Raises ValueError where a score is NaN, naming the model.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol must be one of {', '.join(PROTOCOLS)}; got {protocol!r}.")
    targets = split.targets(which)
    negatives = None if protocol == "full" else sample_negatives(split, which, protocol, seed=seed)
    ranks = np.zeros(len(targets), dtype=np.int64)
    for rows, answers, scores in scored_batches(model, split, which):
        if (
            exclude_seen or negatives is not None
        ):  # full ranking needs no mask, and no copy of the scores
            candidates = torch.full_like(scores, negatives is None, dtype=torch.bool)
            if negatives is not None:
                candidates.scatter_(1, torch.from_numpy(negatives[rows]).to(scores.device), True)
            if exclude_seen:  # the whole history, not only what the model was shown
                row, at = flat_ranges(
                    targets.starts[rows], targets.positions[rows] - targets.starts[rows]
                )
                candidates[
                    torch.from_numpy(row),
                    torch.from_numpy(split.interactions.items[at].astype(np.int64)),
                ] = False
            scores = scores.masked_fill(~candidates.scatter_(1, answers[:, None], True), -math.inf)
        try:
            ranks[rows] = metrics.target_ranks(scores, answers).cpu().numpy()
        except ValueError as error:
            raise ValueError(f"{name_of(model)}: {error}") from None
    return Evaluation(
        name_of(model),
        which,
        protocol,
        k,
        targets.users,
        ranks,
        exclude_seen,
        None if negatives is None else seed,
    )


def scored_batches(model, split: Split, which: str):
    """Yields (row numbers, target items [B], scores [B, V + 1]) over one phase, without gradients, in eval mode."""
    n_items = split.interactions.n_items
    if getattr(model, "n_items", n_items) != n_items:
        raise ValueError(
            f"{name_of(model)} knows {model.n_items:,} items, the data has {n_items:,}; it was made for other data."
        )
    trained_on = getattr(model, "vocabulary", None)
    if trained_on is not None and trained_on.fingerprint != split.interactions.fingerprint:
        raise ValueError(
            f"{name_of(model)} was trained on other data than this: their fingerprints are {trained_on.fingerprint} and "
            f"{split.interactions.fingerprint}. Evaluate it on the data it was trained on."
        )
    if trained_on is not None and trained_on.split not in ("", split.fingerprint):
        raise ValueError(
            f"{name_of(model)} was trained on the split '{trained_on.split}', and this is '{split.fingerprint}': it may have seen what it is "
            f"asked for. Split the data as for training."
        )
    with judging(model) as device:
        for rows, items, answers in history_batches(split, which, model.max_len):
            scores = model.scores(torch.from_numpy(items).to(device))
            if scores.shape != (len(rows), n_items + 1):
                raise ValueError(
                    f"{name_of(model)} gives scores of shape {list(scores.shape)}; it must score padding and every item: "
                    f"[{len(rows)}, {n_items + 1}]."
                )
            yield rows, torch.from_numpy(answers).to(device), scores
