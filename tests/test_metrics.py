"""Ranks and metrics, against plain loops and scikit-learn.

The loops know ties and infinities; scikit-learn judges where there are no ties.
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.strategies import composite, floats, integers, just, lists, one_of, sampled_from
from sklearn.metrics import label_ranking_average_precision_score, ndcg_score, top_k_accuracy_score

from minirec.metrics import check_ranks, count_ranks, mrr, ndcg, recall, target_ranks

inf = math.inf
nan = math.nan
TIED = sampled_from([-inf, -1.0, 0.0, 0.5, inf])  # few values, so that most rows have ties
COLUMN_0 = sampled_from([nan, inf, -inf, 0.0])


@composite
def scored_targets(draw):
    """(scores [B, V + 1] as lists, targets [B]).

    No target is at -inf, and column 0 holds anything.
    """
    n_items = draw(integers(1, 8))
    n_rows = draw(integers(1, 5))
    rows = []
    targets = []
    for _ in range(n_rows):
        scores = draw(lists(one_of(TIED, floats(-5, 5)), min_size=n_items, max_size=n_items))
        target = draw(integers(1, n_items))
        if scores[target - 1] == -inf:
            scores[target - 1] = draw(one_of(just(inf), floats(-5, 5)))
        rows.append([draw(COLUMN_0), *scores])
        targets.append(target)
    return rows, targets


def rank_by_hand(row, target):
    higher = 0
    equal = 0
    for item in range(1, len(row)):
        if item == target:
            continue
        if row[item] > row[target]:
            higher += 1
        if row[item] == row[target]:
            equal += 1
    return 1 + higher + math.ceil(equal / 2)


@given(scored_targets())
def test_a_rank_is_one_plus_the_higher_plus_half_the_equal_rounded_up(case):
    rows, targets = case
    ranks = target_ranks(torch.tensor(rows, dtype=torch.float64), torch.tensor(targets))
    by_hand = [rank_by_hand(row, target) for row, target in zip(rows, targets, strict=True)]
    assert ranks.tolist() == by_hand


@given(scored_targets())
def test_column_0_is_never_a_candidate(case):
    rows, targets = case
    scores = torch.tensor(rows, dtype=torch.float64)
    targets = torch.tensor(targets)
    ranks = target_ranks(scores, targets)
    for value in (nan, inf, -inf, 0.5):
        changed = scores.clone()
        changed[:, 0] = value
        assert torch.equal(target_ranks(changed, targets), ranks)


@pytest.mark.parametrize("n_items", [1, 2, 3, 10, 11])
def test_a_constant_score_earns_the_middle_rank(n_items):
    rank = target_ranks(torch.zeros(1, n_items + 1), torch.tensor([1]))
    assert rank.item() == math.ceil((n_items + 1) / 2)


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


def test_among_sampled_candidates_a_rank_counts_these_alone():
    scores = torch.tensor([[-inf, 5.0, 1.0, 3.0, 3.0, 2.0]]).repeat(3, 1)
    targets = torch.tensor([4, 4, 4])
    candidates = torch.tensor([[5, 2, 0], [1, 3, 0], [1, 2, 5]])  # 0 for none
    assert count_ranks(scores, targets, candidates).tolist() == [1, 3, 2]


@pytest.mark.parametrize("column", [1, 2], ids=["the target's own", "a candidate's"])
def test_a_nan_among_sampled_candidates_is_an_error(column):
    scores = torch.tensor([[-inf, 1.0, 2.0, 3.0]])
    scores[0, column] = nan
    targets = torch.tensor([1])
    ranks = count_ranks(scores, targets, torch.tensor([[2, 3]]))
    with pytest.raises(ValueError, match="1 of 1 rows of scores contain NaN"):
        check_ranks(ranks, targets)


@composite
def untied(draw):
    """(scores [B, V] without ties, targets [B] in 0..V - 1, k < V)"""
    rng = np.random.default_rng(draw(integers(0, 10**6)))
    n_items = draw(integers(3, 30))
    n_rows = draw(integers(1, 9))
    scores = rng.permuted(np.tile(np.arange(n_items) / 7, (n_rows, 1)), axis=1)
    targets = rng.integers(0, n_items, n_rows)
    k = draw(integers(1, n_items - 1))
    return scores, targets, k


def ranks_of(scores, targets):
    padding = np.zeros((len(scores), 1))
    padded = np.concatenate([padding, scores], axis=1)
    return target_ranks(torch.from_numpy(padded), torch.from_numpy(targets) + 1)


@given(untied())
def test_recall_is_sklearns_top_k_accuracy(case):
    scores, targets, k = case
    theirs = top_k_accuracy_score(targets, scores, k=k, labels=range(scores.shape[1]))
    assert recall(ranks_of(scores, targets), k) == pytest.approx(theirs, abs=1e-12)


@given(untied())
def test_ndcg_is_sklearns(case):
    scores, targets, k = case
    relevance = np.eye(scores.shape[1])[targets]
    theirs = ndcg_score(relevance, scores, k=k)
    assert ndcg(ranks_of(scores, targets), k) == pytest.approx(theirs, abs=1e-12)


@given(untied())
def test_untruncated_mrr_is_sklearns_label_ranking_average_precision(case):
    scores, targets, _ = case
    n_items = scores.shape[1]
    relevance = np.eye(n_items, dtype=int)[targets]
    theirs = label_ranking_average_precision_score(relevance, scores)
    assert mrr(ranks_of(scores, targets), n_items) == pytest.approx(theirs, abs=1e-12)


@given(ranks=lists(integers(1, 40), min_size=1, max_size=20), k=integers(1, 45))
def test_metrics_are_means_of_gains_that_end_after_rank_k(ranks, k):
    within = [rank for rank in ranks if rank <= k]
    mean_recall = len(within) / len(ranks)
    mean_mrr = math.fsum(1 / rank for rank in within) / len(ranks)
    mean_ndcg = math.fsum(math.log(2) / math.log(rank + 1) for rank in within) / len(ranks)
    assert recall(ranks, k) == pytest.approx(mean_recall, abs=1e-14)
    assert mrr(ranks, k) == pytest.approx(mean_mrr, abs=1e-14)
    assert ndcg(ranks, k) == pytest.approx(mean_ndcg, abs=1e-14)


@pytest.mark.parametrize("metric", [recall, mrr, ndcg])
@pytest.mark.parametrize(
    "ranks, k", [([], 10), ([0], 10), ([1], 0)], ids=["no ranks", "a rank of 0", "k of 0"]
)
def test_metrics_of_nonsense_are_errors(metric, ranks, k):
    with pytest.raises(ValueError, match="ranks from 1 up"):
        metric(ranks, k)
