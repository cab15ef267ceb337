"""Ranks of the targets, and the three metrics that are functions of them (notebook 01).

As in GLINT-RU, section 4.1. A rank of 1 is best. Every metric is a mean over the targets, computed
in float64.

B targets, V items, k the rank up to which a metric looks.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor


def target_ranks(scores: Tensor, targets: Tensor) -> Tensor:
    """Rank each target among its candidates.

    rank = 1 + #{scored higher} + ceil(#{others scored equal} / 2). A tie counts as half won, so
    that a constant score earns the middle rank and not the first.

    Parameters
    ----------
    scores : Tensor
        Float[B, V + 1]. Column 0 (padding) is never a candidate, and an item at -inf is never
        above a target.
    targets : Tensor
        Long[B], item ids in 1..V.

    Returns
    -------
    Tensor
        Long[B].

    Raises
    ------
    ValueError
        If a target is out of range, a score is NaN, or a target's score is -inf.

    References
    ----------
    Notebook 01.
    """
    if targets.numel() > 0 and (targets.min() < 1 or targets.max() >= scores.shape[1]):
        raise ValueError(
            f"targets must lie in 1..{scores.shape[1] - 1}; "
            f"got {int(targets.min())}..{int(targets.max())}."
        )
    ranks = count_ranks(scores, targets)
    check_ranks(ranks, targets)
    return ranks


# What stands in place of a rank that there cannot be.
NAN_AMONG_SCORES = 0
TARGET_EXCLUDED = -1


def count_ranks(scores: Tensor, targets: Tensor, candidates: Tensor | None = None) -> Tensor:
    """Rank each target without looking at the result, so that no GPU has to be waited for.

    Parameters
    ----------
    scores : Tensor
        Float[B, V + 1]; column 0 (padding) is never a candidate.
    targets : Tensor
        Long[B], item ids in 1..V.
    candidates : Tensor, optional
        Long[B, C]: the other items that a target is ranked among, each once, and 0 for none; all
        items unless given.

    Returns
    -------
    Tensor
        Long[B], as `target_ranks` gives them; NAN_AMONG_SCORES where a candidate's score is NaN,
        TARGET_EXCLUDED where the target's is -inf.
    """
    own = scores.gather(1, targets[:, None])  # [B, 1]
    if candidates is None:
        others = scores[:, 1:]
        n_targets_among_them = 1
    else:
        others = scores.gather(1, candidates).masked_fill(candidates == 0, -torch.inf)
        n_targets_among_them = 0

    higher = (others > own).sum(1)
    equal = (others == own).sum(1) - n_targets_among_them
    ranks = 1 + higher + (equal + 1) // 2  # (n + 1) // 2 is n / 2, rounded up

    is_excluded = torch.isneginf(own[:, 0])
    has_nan = torch.isnan(others).any(1) | torch.isnan(own[:, 0])
    ranks = ranks.masked_fill(is_excluded, TARGET_EXCLUDED)
    return ranks.masked_fill(has_nan, NAN_AMONG_SCORES)


def check_ranks(ranks: Tensor, targets: Tensor) -> None:
    """Raise where `count_ranks` found that a target cannot be ranked.

    Parameters
    ----------
    ranks, targets : Tensor
        Long[B]: what `count_ranks` gave, and was given.

    Raises
    ------
    ValueError
        If a score is NaN, or a target's score is -inf.
    """
    n_rows_with_nan = int((ranks == NAN_AMONG_SCORES).sum())
    if n_rows_with_nan > 0:
        raise ValueError(f"{n_rows_with_nan} of {len(ranks)} rows of scores contain NaN.")
    excluded = (ranks == TARGET_EXCLUDED).nonzero()
    if len(excluded) > 0:
        row = int(excluded[0, 0])
        raise ValueError(
            f"the target of row {row} (item {int(targets[row])}) is scored -inf: "
            "it was excluded, or cannot be ranked."
        )


def _recall_gain(ranks: np.ndarray) -> np.ndarray:
    return np.ones_like(ranks)


def _mrr_gain(ranks: np.ndarray) -> np.ndarray:
    return np.reciprocal(ranks)


def _ndcg_gain(ranks: np.ndarray) -> np.ndarray:
    return 1 / np.log2(ranks + 1)


# What a rank up to k earns, by metric; ranks beyond k earn nothing.
GAINS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "recall": _recall_gain,
    "mrr": _mrr_gain,
    "ndcg": _ndcg_gain,
}


def gains(metric: str, ranks: ArrayLike, k: int = 10) -> np.ndarray:
    """Compute what each rank earns; a metric is the mean of its gains.

    Parameters
    ----------
    metric : {"recall", "mrr", "ndcg"}
        A rank of at most k earns 1, 1 / rank or 1 / log2(rank + 1).
    ranks : array_like
        Any array of ranks, 1 the best.
    k : int
        A rank beyond k earns 0.

    Returns
    -------
    ndarray
        float64 of the ranks' shape.

    Raises
    ------
    ValueError
        If there are no ranks, one is below 1, or k is.

    References
    ----------
    Notebook 01.
    """
    ranks = np.asarray(ranks, dtype=np.float64)
    if ranks.size == 0 or ranks.min() < 1 or k < 1:
        found = f"{ranks.size} ranks"
        if ranks.size > 0:
            found += f" from {ranks.min():g}"
        raise ValueError(f"a metric needs ranks from 1 up and k >= 1; got {found}, k = {k}.")
    return np.where(ranks <= k, GAINS[metric](ranks), 0)


def recall(ranks: ArrayLike, k: int = 10) -> float:
    """Compute Recall@k: the share of ranks at most k.

    With one target per list it is the same as the hit rate.

    Parameters
    ----------
    ranks : array_like
        Any array of ranks, 1 the best.
    k : int
        The last rank that counts.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    ValueError
        As `gains` does.

    References
    ----------
    Notebook 01.
    """
    return float(gains("recall", ranks, k).mean())


def mrr(ranks: ArrayLike, k: int = 10) -> float:
    """Compute MRR@k, the mean reciprocal rank: the mean of 1 / rank, 0 beyond k.

    Parameters
    ----------
    ranks : array_like
        Any array of ranks, 1 the best.
    k : int
        The last rank that counts.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    ValueError
        As `gains` does.

    References
    ----------
    Notebook 01.
    """
    return float(gains("mrr", ranks, k).mean())


def ndcg(ranks: ArrayLike, k: int = 10) -> float:
    """Compute NDCG@k with one target: the mean of 1 / log2(rank + 1), 0 beyond k.

    Parameters
    ----------
    ranks : array_like
        Any array of ranks, 1 the best.
    k : int
        The last rank that counts.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    ValueError
        As `gains` does.

    References
    ----------
    Notebook 01.
    """
    return float(gains("ndcg", ranks, k).mean())
