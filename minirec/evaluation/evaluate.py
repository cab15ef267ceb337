"""How well a recommender ranks what users really chose next: for models and baselines alike.

B batch, N positions, V items, T targets. A row is a target's number, 0..T - 1.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from minirec import metrics
from minirec.data.batching import flat_ranges, history_batches
from minirec.data.splits import Split
from minirec.evaluation.negatives import sample_negatives
from minirec.models.base import Scorer, judging, name_of

PROTOCOLS = ("full", "uniform-100", "popular-100")


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The rank of every judged user's target, and the metrics that follow from the ranks."""

    name: str  # of the model
    which: str  # "valid" or "test"
    protocol: str
    k: int  # of the metrics: a rank beyond k earns nothing
    users: np.ndarray  # int64[T], dense ids of the judged users
    ranks: np.ndarray  # int64[T], in the order of `users`
    exclude_seen: bool = False
    seed: int | None = None  # of sampled negatives; None where all items are candidates

    @property
    def recall(self) -> float:
        """Recall@k."""
        return metrics.recall(self.ranks, self.k)

    @property
    def mrr(self) -> float:
        """MRR@k."""
        return metrics.mrr(self.ranks, self.k)

    @property
    def ndcg(self) -> float:
        """NDCG@k."""
        return metrics.ndcg(self.ranks, self.k)

    @property
    def figures(self) -> dict[str, float]:
        """The three metrics and the number of users, as run records keep them."""
        return {
            "recall": self.recall,
            "mrr": self.mrr,
            "ndcg": self.ndcg,
            "users": len(self.ranks),
        }

    def __repr__(self) -> str:
        return (
            f"{self.name}: Recall@{self.k} {self.recall:.4f}   MRR@{self.k} {self.mrr:.4f}   "
            f"NDCG@{self.k} {self.ndcg:.4f}   "
            f"({self.which}, {self.protocol} ranking, {len(self.ranks):,} users)"
        )


def evaluate(
    model: Scorer,
    split: Split,
    *,
    which: str = "test",
    protocol: str = "full",
    k: int = 10,
    exclude_seen: bool = False,
    seed: int = 0,
) -> Evaluation:
    """Rank each user's target among all items, or among 100 sampled ones.

    The most memory it needs is one batch of scores, [B, V + 1].

    Parameters
    ----------
    model : Scorer
        Anything with `scores(items)`; it sees the last `model.max_len` items of a history.
    split : Split
        The data, as the model was trained on it.
    which : str
        The phase, "valid" or "test".
    protocol : str
        Against what a target is ranked: "full" (all items), "uniform-100" or "popular-100" (see
        `sample_negatives`).
    k : int
        Of Recall@k, MRR@k and NDCG@k.
    exclude_seen : bool
        Take a user's history out of the candidates; never the target.
    seed : int
        Of the negatives. They depend on (seed, which, user) alone, so they are the same for every
        model.

    Returns
    -------
    Evaluation
        The ranks and their metrics.

    Raises
    ------
    ValueError
        For an unknown protocol or phase; for a model of other data or of another split; where a
        score is NaN or a target is scored -inf, naming the model.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol must be one of {', '.join(PROTOCOLS)}; got {protocol!r}.")
    targets = split.targets(which)
    sampled = protocol != "full"
    negatives = sample_negatives(split, which, protocol, seed=seed) if sampled else None

    ranks = np.zeros(len(targets), dtype=np.int64)
    for rows, answers, scores in scored_batches(model, split, which):
        # Full ranking with everything allowed needs no mask, and so no copy of the scores.
        if sampled or exclude_seen:
            drawn = None if negatives is None else negatives[rows]
            seen = _seen_items(split, which, rows) if exclude_seen else None
            candidates = _candidate_mask(scores, answers, drawn, seen)
            scores = scores.masked_fill(~candidates, -math.inf)
        try:
            ranks[rows] = metrics.target_ranks(scores, answers).cpu().numpy()
        except ValueError as error:
            raise ValueError(f"{name_of(model)}: {error}") from None

    return Evaluation(
        name=name_of(model),
        which=which,
        protocol=protocol,
        k=k,
        users=targets.users,
        ranks=ranks,
        exclude_seen=exclude_seen,
        seed=seed if sampled else None,
    )


def _seen_items(split: Split, which: str, rows: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return every item of the rows' histories, as (row of the batch, item), Long[M] each.

    It is the whole history, not only the part that the model was shown.
    """
    targets = split.targets(which)
    starts = targets.starts[rows]
    batch_rows, positions = flat_ranges(starts, targets.positions[rows] - starts)
    items = split.interactions.items[positions].astype(np.int64)
    return torch.from_numpy(batch_rows), torch.from_numpy(items)


def _candidate_mask(
    scores: Tensor,
    answers: Tensor,
    negatives: np.ndarray | None,
    seen: tuple[Tensor, Tensor] | None,
) -> Tensor:
    """Return what a target is ranked among, Bool[B, V + 1].

    scores: [B, V + 1], for their shape and device; answers: the targets [B]; negatives: the sampled
    candidates [B, 100], None for all items; seen: what is taken out, None for nothing.
    """
    if negatives is None:
        candidates = torch.ones_like(scores, dtype=torch.bool)
    else:
        candidates = torch.zeros_like(scores, dtype=torch.bool)
        candidates.scatter_(1, torch.from_numpy(negatives).to(scores.device), True)
    if seen is not None:
        candidates[seen] = False
    # Last of all, so that a target stays a candidate though the user has chosen it before.
    return candidates.scatter_(1, answers[:, None], True)


def scored_batches(
    model: Scorer, split: Split, which: str
) -> Iterator[tuple[np.ndarray, Tensor, Tensor]]:
    """Score a phase batch by batch, without gradients and in eval mode.

    Parameters
    ----------
    model : Scorer
        As for `evaluate`.
    split : Split
        The data.
    which : str
        The phase, "valid" or "test".

    Yields
    ------
    tuple
        Row numbers int64[B], target items Long[B] and scores Float[B, V + 1], the last two on the
        model's device. Rows come in the order that batches best; every row comes once.

    Raises
    ------
    ValueError
        For a model of other data or of another split, and for scores of a wrong shape.
    """
    _refuse_other_data(model, split)
    n_items = split.interactions.n_items

    with judging(model) as device:
        for rows, items, answers in history_batches(split, which, model.max_len):
            scores = model.scores(torch.from_numpy(items).to(device))
            if scores.shape != (len(rows), n_items + 1):
                raise ValueError(
                    f"{name_of(model)} gives scores of shape {list(scores.shape)}; it must score "
                    f"padding and every item: [{len(rows)}, {n_items + 1}]."
                )
            yield rows, torch.from_numpy(answers).to(device), scores


def _refuse_other_data(model: Scorer, split: Split) -> None:
    """Raise where the model was made for, or trained on, other data than these."""
    data = split.interactions
    n_items = getattr(model, "n_items", data.n_items)
    if n_items != data.n_items:
        raise ValueError(
            f"{name_of(model)} knows {n_items:,} items, the data has {data.n_items:,}; "
            "it was made for other data."
        )

    trained_on = getattr(model, "vocabulary", None)
    if trained_on is None:
        return
    if trained_on.fingerprint != data.fingerprint:
        raise ValueError(
            f"{name_of(model)} was trained on other data than this: their fingerprints are "
            f"{trained_on.fingerprint} and {data.fingerprint}. Evaluate it on the data it was "
            "trained on."
        )
    if trained_on.split not in ("", split.fingerprint):
        raise ValueError(
            f"{name_of(model)} was trained on the split '{trained_on.split}', and this is "
            f"'{split.fingerprint}': it may have seen what it is asked for. Split the data as for "
            "training."
        )
