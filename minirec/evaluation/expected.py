"""Metrics on planted data in expectation under the true distribution of the next item.

B batch, V items.
"""

from typing import TYPE_CHECKING

import numpy as np
from scipy import stats
from torch import Tensor

from minirec import metrics
from minirec.data.batching import padded
from minirec.data.splits import Split
from minirec.evaluation.evaluate import Scorer, scored_batches
from minirec.models.base import name_of

if TYPE_CHECKING:
    from minirec.data.planted import PlantedOracle


def expected_metrics(
    model: Scorer, split: Split, oracle: "PlantedOracle", *, which: str = "test", k: int = 10
) -> dict[str, float]:
    """Return Recall, MRR and NDCG at k of a model on planted data, free of the luck of the draw.

    `evaluate` asks for the rank of the one item that was drawn. Here every item counts, with the
    probability by which it could have been drawn.

    Parameters
    ----------
    model : Scorer
        Anything that `evaluate` accepts.
    split : Split
        Of planted data.
    oracle : PlantedOracle
        Knows the true probabilities. Without ties between scores no model can exceed it, because it
        puts the probable items first.
    which : str
        The phase, "valid" or "test".
    k : int
        Ranks beyond k earn nothing.

    Returns
    -------
    dict
        "recall", "mrr" and "ndcg", means over the judged users.

    Raises
    ------
    ValueError
        Where a score is NaN, naming the model.
    """
    items = split.interactions.items
    targets = split.targets(which)
    sums = np.zeros(len(metrics.GAINS))

    for rows, _, scores in scored_batches(model, split, which):
        if scores[:, 1:].isnan().any():
            raise ValueError(f"{name_of(model)}: the scores contain NaN.")

        # The oracle sees the whole history, however little of it the model reads.
        starts = targets.starts[rows]
        histories = padded(items, starts, targets.positions[rows] - starts)
        truth = oracle.probabilities(histories)[:, 1:]  # [B, V]

        ranks = _ranks_of_all_items(scores[:, 1:])
        gains = np.stack([metrics.gains(metric, ranks, k) for metric in metrics.GAINS])  # [3, B, V]
        sums += (truth * gains).sum((1, 2))

    means = sums / len(targets)
    return {metric: float(mean) for metric, mean in zip(metrics.GAINS, means, strict=True)}


def _ranks_of_all_items(scores: Tensor) -> np.ndarray:
    """Return the rank every item would have if it were the target, [B, V]: a tie is half won.

    The rank is the one of `metrics.target_ranks`. Of the items scored equal, scipy gives the
    smallest and the largest rank; there are largest - smallest others.
    """
    descending = -scores.cpu()
    smallest = stats.rankdata(descending, "min", axis=1)
    largest = stats.rankdata(descending, "max", axis=1)
    return smallest + (largest - smallest + 1) // 2
