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
from minirec.errors import printable, shown
from minirec.evaluation.negatives import candidates_of
from minirec.models.base import Scorer, judging, name_of

PROTOCOLS = ("full", "uniform-100", "popular-100")


class NaNScores(ValueError):
    """A model's scores contain NaN, so that nothing can be ranked; the message names the model."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The rank of every judged user's target, and the metrics that follow from the ranks."""

    name: str  # of the model
    which: str  # "valid" or "test"
    protocol: str
    k: int  # of the metrics: a rank beyond k earns nothing
    users: np.ndarray  # int64[T], dense ids of the judged users
    ranks: np.ndarray  # int64[T], in the order of `users`
    exclude_seen: bool | str = False
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
    exclude_seen: bool | str = False,
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
    exclude_seen : bool or "window"
        Take a user's history out of the candidates, but never the target. "window" takes out only
        what the model has read, its last `model.max_len` items, as LRURec's code does.
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
        For an unknown protocol, phase or exclude_seen, and a k below 1; for a model of other
        data or of another split; where a score is NaN or a target is scored -inf, naming the model.
    RuntimeError
        For a model that another thread is training.
    """
    check_k(k)
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol must be one of {', '.join(PROTOCOLS)}; got {protocol!r}.")
    if exclude_seen not in (False, True, "window"):
        raise ValueError(f"exclude_seen must be False, True or 'window'; got {exclude_seen!r}.")
    targets = split.targets(which)
    sampled = protocol != "full"
    candidates = None
    if sampled:
        candidates = candidates_of(split, which, protocol, seed=seed)

    # Ranks stay on the model's device until all are counted: looking at each batch would make the
    # host wait for a GPU each time.
    numbers: list[np.ndarray] = []
    ranks: list[Tensor] = []
    answered: list[Tensor] = []
    for rows, answers, scores in scored_batches(model, split, which):
        among = None if candidates is None else candidates[rows].to(scores.device)
        if exclude_seen:
            longest = model.max_len if exclude_seen == "window" else None
            seen = _seen_items(split, which, rows, longest, scores.device)
            scores, among = _without_seen(scores, answers, among, seen)
        numbers.append(rows)
        ranks.append(metrics.count_ranks(scores, answers, among))
        answered.append(answers)

    order = np.argsort(np.concatenate(numbers))  # the targets' own order
    all_ranks = torch.cat(ranks).cpu()[order]
    try:
        metrics.check_ranks(all_ranks, torch.cat(answered).cpu()[order])
    except ValueError as error:
        has_nan = bool((all_ranks == metrics.NAN_AMONG_SCORES).any())
        kind = NaNScores if has_nan else ValueError
        raise kind(f"{name_of(model)}: {error}") from None

    return Evaluation(
        name=name_of(model),
        which=which,
        protocol=protocol,
        k=k,
        users=targets.users,
        ranks=all_ranks.numpy(),
        exclude_seen=exclude_seen,
        seed=seed if sampled else None,
    )


def check_k(k: int) -> None:
    """Raise ValueError unless k is an integer from 1 up."""
    is_integer = isinstance(k, int | np.integer) and not isinstance(k, bool)
    if not is_integer or k < 1:
        raise ValueError(f"k must be an integer from 1 up; got {k!r}.")


def _seen_items(
    split: Split, which: str, rows: np.ndarray, longest: int | None, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return the items of the rows' histories, as (row of the batch, item), Long[M] each.

    longest: how many of the last items count; None: all, also those that the model was not shown.
    """
    targets = split.targets(which)
    starts = targets.starts[rows]
    if longest is not None:
        starts = np.maximum(starts, targets.positions[rows] - longest)
    batch_rows, positions = flat_ranges(starts, targets.positions[rows] - starts)
    items = split.interactions.items[positions].astype(np.int64)
    return torch.from_numpy(batch_rows).to(device), torch.from_numpy(items).to(device)


def _without_seen(
    scores: Tensor, answers: Tensor, among: Tensor | None, seen: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor | None]:
    """Take what was seen out of the candidates, but never the target.

    scores: [B, V + 1]; answers: the targets [B]; among: the sampled candidates [B, C], None for all
    items; seen: from `_seen_items`. Returns scores and candidates, copies where they changed.
    """
    is_seen = torch.zeros_like(scores, dtype=torch.bool)
    is_seen[seen] = True
    # A target stays a candidate though the user has chosen it before.
    is_seen.scatter_(1, answers[:, None], False)
    if among is None:
        return scores.masked_fill(is_seen, -math.inf), None
    return scores, among.masked_fill(is_seen.gather(1, among), 0)


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
        for rows, items, answers in history_batches(split, which, model.max_len, device):
            scores = model.scores(items)
            if scores.shape != (len(rows), n_items + 1):
                raise ValueError(
                    f"{name_of(model)} gives scores of shape {list(scores.shape)}; it must score "
                    f"padding and every item: [{len(rows)}, {n_items + 1}]."
                )
            yield rows, answers, scores


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
            f"{printable(trained_on.fingerprint)} and {data.fingerprint}. Evaluate it on the data "
            "it was trained on."
        )
    if trained_on.split not in ("", split.fingerprint):
        raise ValueError(
            f"{name_of(model)} was trained on the split {shown(trained_on.split)}, and this "
            f"is '{split.fingerprint}': it may have seen what it is asked for. Split the data as "
            "for training."
        )
