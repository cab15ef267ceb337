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
    candidates = scores[:, 1:]
    own = scores.gather(1, targets[:, None])  # [B, 1]

    is_nan = torch.isnan(candidates)
    if is_nan.any():
        n_rows = int(is_nan.any(1).sum())
        raise ValueError(f"{n_rows} of {len(scores)} rows of scores contain NaN.")
    excluded = torch.isneginf(own[:, 0])
    if excluded.any():
        row = int(excluded.nonzero()[0, 0])
        raise ValueError(
            f"the target of row {row} (item {int(targets[row])}) is scored -inf: "
            "it was excluded, or cannot be ranked."
        )

    higher = (candidates > own).sum(1)
    equal = (candidates == own).sum(1) - 1  # the target itself is no other
    return 1 + higher + (equal + 1) // 2  # (n + 1) // 2 is n / 2, rounded up


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
