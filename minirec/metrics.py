"""Ranks of the targets, and the three metrics that are functions of them (GLINT-RU section 4.1; notebook 01).

B targets, V items. A rank of 1 is best. Every metric is a mean over the targets, computed in float64.
"""

import numpy as np
import torch
from torch import Tensor

GAINS = {
    "recall": np.ones_like,
    "mrr": np.reciprocal,
    "ndcg": lambda ranks: 1 / np.log2(ranks + 1),
}  # of ranks up to k; beyond, nothing


def target_ranks(scores: Tensor, targets: Tensor) -> Tensor:
    """The rank of each target among its candidates: 1 + #{scored higher} + ceil(#{others scored equal} / 2).

    scores: Float[B, V + 1], column 0 (padding) is never a candidate, nor is an item at -inf ever above a target. targets: Long[B] in 1..V.
    Returns Long[B]. A tie counts as half won, so that a constant score earns the middle rank and not the first.
    Raises ValueError where a score is NaN or a target's is -inf.
    """
    if targets.numel() and (targets.min() < 1 or targets.max() >= scores.shape[1]):
        raise ValueError(
            f"targets must lie in 1..{scores.shape[1] - 1}; got {int(targets.min())}..{int(targets.max())}."
        )
    candidates = scores[:, 1:]
    own = scores.gather(1, targets[:, None])
    if torch.isnan(candidates).any():
        raise ValueError(
            f"{int(torch.isnan(candidates).any(1).sum())} of {len(scores)} rows of scores contain NaN."
        )
    if torch.isneginf(own).any():
        row = int(torch.isneginf(own[:, 0]).nonzero()[0, 0])
        raise ValueError(
            f"the target of row {row} (item {int(targets[row])}) is scored -inf: it was excluded, or cannot be ranked."
        )
    higher = (candidates > own).sum(1)
    equal = (candidates == own).sum(1) - 1
    return 1 + higher + (equal + 1) // 2


def gains(metric: str, ranks, k: int = 10) -> np.ndarray:
    """What each rank earns: 0 beyond k, else 1 ("recall"), 1 / rank ("mrr") or 1 / log2(rank + 1) ("ndcg"): float64 of the ranks' shape."""
    ranks = np.asarray(ranks, dtype=np.float64)
    if ranks.size == 0 or ranks.min() < 1 or k < 1:
        raise ValueError(
            f"a metric needs ranks from 1 up and k >= 1; got {ranks.size} ranks{f' from {ranks.min():g}' if ranks.size else ''}, k = {k}."
        )
    return np.where(ranks <= k, GAINS[metric](ranks), 0)


def recall(ranks, k: int = 10) -> float:
    """Recall@k, the same as the hit rate when there is one target: the share of ranks at most k. ranks: any array of ranks."""
    return float(gains("recall", ranks, k).mean())


def mrr(ranks, k: int = 10) -> float:
    """MRR@k: the mean of 1 / rank, 0 beyond k."""
    return float(gains("mrr", ranks, k).mean())


def ndcg(ranks, k: int = 10) -> float:
    """NDCG@k with one target: the mean of 1 / log2(rank + 1), 0 beyond k."""
    return float(gains("ndcg", ranks, k).mean())
