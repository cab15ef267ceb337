"""Metrics on planted data in expectation under the true distribution of the next item."""

import numpy as np
from scipy import stats

from minirec import metrics
from minirec.data.batching import padded
from minirec.data.splits import Split
from minirec.evaluation.evaluate import scored_batches
from minirec.models.base import name_of


def expected_metrics(
    model, split: Split, oracle, *, which: str = "test", k: int = 10
) -> dict[str, float]:
    """Recall, MRR and NDCG at k of `model` on planted data, in expectation over the true distribution of the next item instead of at the drawn one.

    oracle: a `PlantedOracle`; without ties between scores no model can exceed it, because it puts the probable items first.
    """
    targets, sums = split.targets(which), np.zeros(3)
    for rows, _, scores in scored_batches(model, split, which):
        begin = targets.starts[
            rows
        ]  # the oracle sees the whole history, however little of it the model reads
        if scores[:, 1:].isnan().any():
            raise ValueError(f"{name_of(model)}: the scores contain NaN.")
        truth = oracle.probabilities(
            padded(split.interactions.items, begin, targets.positions[rows] - begin)
        )[:, 1:]
        first, last = (
            stats.rankdata(-scores[:, 1:].cpu(), method, axis=1) for method in ("min", "max")
        )  # of the items scored equal
        ranks = first + (last - first + 1) // 2
        sums += (
            truth * np.stack([metrics.gains(metric, ranks, k) for metric in metrics.GAINS])
        ).sum((1, 2))
    return dict(zip(metrics.GAINS, map(float, sums / len(targets))))
