"""Ranks and metrics, against plain loops (ties and infinities included) and, where there are no ties, against scikit-learn."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.strategies import composite, floats, integers, just, lists, one_of, sampled_from
from sklearn.metrics import label_ranking_average_precision_score, ndcg_score, top_k_accuracy_score

from minirec.metrics import mrr, ndcg, recall, target_ranks

inf, nan = math.inf, math.nan
TIED = sampled_from([-inf, -1.0, 0.0, 0.5, inf])  # few values, so that most rows have ties
COLUMN_0 = sampled_from([nan, inf, -inf, 0.0])


@composite
def scored_targets(draw):
    """(scores [B, V + 1] as lists, targets [B]); no target is at -inf, and column 0 holds anything."""
    n_items, rows, targets = draw(integers(1, 8)), [], []
    for _ in range(draw(integers(1, 5))):
        row = draw(lists(one_of(TIED, floats(-5, 5)), min_size=n_items, max_size=n_items))
        targets.append(draw(integers(1, n_items)))
        if row[targets[-1] - 1] == -inf:
            row[targets[-1] - 1] = draw(one_of(just(inf), floats(-5, 5)))
        rows.append([draw(COLUMN_0), *row])
    return rows, targets


def rank_by_hand(row, target):
    higher = equal = 0
    for item in range(1, len(row)):
        if item != target:
            higher += row[item] > row[target]
            equal += row[item] == row[target]
    return 1 + higher + math.ceil(equal / 2)


@given(scored_targets())
def test_a_rank_is_one_plus_the_higher_plus_half_the_equal_rounded_up(case):
    rows, targets = case
    ranks = target_ranks(torch.tensor(rows, dtype=torch.float64), torch.tensor(targets))
    assert ranks.tolist() == [rank_by_hand(row, target) for row, target in zip(rows, targets)]


@given(scored_targets())
def test_column_0_is_never_a_candidate(case):
    scores, targets = torch.tensor(case[0], dtype=torch.float64), torch.tensor(case[1])
    anything = [
        torch.cat([torch.full_like(scores[:, :1], value), scores[:, 1:]], 1)
        for value in (nan, inf, -inf, 0.5)
    ]
    assert all(
        torch.equal(target_ranks(changed, targets), target_ranks(scores, targets))
        for changed in anything
    )


@pytest.mark.parametrize("n_items", [1, 2, 3, 10, 11])
def test_a_constant_score_earns_the_middle_rank(n_items):
    assert target_ranks(torch.zeros(1, n_items + 1), torch.tensor([1])).item() == math.ceil(
        (n_items + 1) / 2
    )


@pytest.mark.parametrize(
    "row, target, message",
    [
        ([0, 1, nan], 1, "1 of 2 rows of scores contain NaN"),
        ([0, nan, 1], 1, "NaN"),
        ([0, -inf, 1], 1, r"row 1 \(item 1\)"),
        ([0, 1, 2], 0, r"1\.\.2"),
        ([0, 1, 2], 3, r"1\.\.2"),
    ],
)
def test_what_has_no_rank_is_an_error(row, target, message):
    with pytest.raises(ValueError, match=message):
        target_ranks(torch.tensor([[0.0, 1.0, 2.0], row]), torch.tensor([1, target]))


@composite
def untied(draw):
    """(scores [B, V] without ties, targets [B] in 0..V - 1, k <= V)"""
    rng, n_items = np.random.default_rng(draw(integers(0, 10**6))), draw(integers(3, 30))
    scores = rng.permuted(np.tile(np.arange(n_items) / 7, (draw(integers(1, 9)), 1)), axis=1)
    return scores, rng.integers(0, n_items, len(scores)), draw(integers(1, n_items - 1))


def ranks_of(scores, targets):
    padded = np.concatenate([np.zeros((len(scores), 1)), scores], axis=1)
    return target_ranks(torch.from_numpy(padded), torch.from_numpy(targets) + 1)


@given(untied())
def test_recall_is_sklearns_top_k_accuracy(case):
    scores, targets, k = case
    assert recall(ranks_of(scores, targets), k) == pytest.approx(
        top_k_accuracy_score(targets, scores, k=k, labels=range(scores.shape[1])), abs=1e-12
    )


@given(untied())
def test_ndcg_is_sklearns(case):
    scores, targets, k = case
    relevance = np.eye(scores.shape[1])[targets]
    assert ndcg(ranks_of(scores, targets), k) == pytest.approx(
        ndcg_score(relevance, scores, k=k), abs=1e-12
    )


@given(untied())
def test_untruncated_mrr_is_sklearns_label_ranking_average_precision(case):
    scores, targets, _ = case
    relevance = np.eye(scores.shape[1], dtype=int)[targets]
    assert mrr(ranks_of(scores, targets), scores.shape[1]) == pytest.approx(
        label_ranking_average_precision_score(relevance, scores), abs=1e-12
    )


@given(ranks=lists(integers(1, 40), min_size=1, max_size=20), k=integers(1, 45))
def test_metrics_are_means_of_gains_that_end_after_rank_k(ranks, k):
    mean = lambda gain: math.fsum(gain(r) for r in ranks if r <= k) / len(ranks)
    assert recall(ranks, k) == pytest.approx(mean(lambda r: 1), abs=1e-14)
    assert mrr(ranks, k) == pytest.approx(mean(lambda r: 1 / r), abs=1e-14)
    assert ndcg(ranks, k) == pytest.approx(mean(lambda r: math.log(2) / math.log(r + 1)), abs=1e-14)


@pytest.mark.parametrize("metric", [recall, mrr, ndcg])
@pytest.mark.parametrize(
    "ranks, k", [([], 10), ([0], 10), ([1], 0)], ids=["no ranks", "a rank of 0", "k of 0"]
)
def test_metrics_of_nonsense_are_errors(metric, ranks, k):
    with pytest.raises(ValueError, match="ranks from 1 up"):
        metric(ranks, k)
