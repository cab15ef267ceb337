"""The counting predictors, against counting by hand."""

import math
from collections import Counter
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis.strategies import integers, sampled_from
from logs import log, random_log

from minirec import evaluate
from minirec.data.planted import PlantedOracle, generate_planted
from minirec.models.baselines import LastItem, Popularity

N_ITEMS = 12
SEEDS = integers(0, 10**6)
KINDS = sampled_from(["leave-one-out", "temporal"])


def counted_by_hand(split):
    """(occurrences, transitions) in training, as Counters."""
    items = Counter()
    pairs = Counter()
    for user in range(split.interactions.n_users):
        row = split.train_sequence(user).tolist()
        items.update(row)
        pairs.update(pairwise(row))
    return items, pairs


def random_split(seed, kind):
    return random_log(seed, n_users=30, n_items=N_ITEMS, longest=9, latest=60).split(kind)


@given(seed=SEEDS, kind=KINDS)
def test_popularity_scores_are_training_counts(seed, kind):
    split = random_split(seed, kind)
    items, _ = counted_by_hand(split)
    scores = Popularity(N_ITEMS).count(split).scores(torch.tensor([[3, 1], [2, 0]]))
    expected = [-math.inf, *(items[i] for i in range(1, N_ITEMS + 1))]
    assert scores.tolist() == [expected, expected]


@given(seed=SEEDS, kind=KINDS)
def test_last_item_orders_by_transition_count_then_popularity(seed, kind):
    split = random_split(seed, kind)
    items, pairs = counted_by_hand(split)
    every_item = torch.arange(1, N_ITEMS + 1)[:, None]
    scores = LastItem(N_ITEMS).count(split).scores(every_item)
    assert torch.isneginf(scores[:, 0]).all()
    for last, row in enumerate(scores[:, 1:].tolist(), start=1):
        keys = [(pairs[last, i], items[i]) for i in range(1, N_ITEMS + 1)]
        by_score = sorted(range(N_ITEMS), key=row.__getitem__)
        by_count = sorted(range(N_ITEMS), key=keys.__getitem__)
        assert by_score == by_count
        assert len(set(row)) == len(set(keys))  # equal scores only where both counts are equal


def test_ties_between_large_counts_are_decided_by_popularity():
    # 2 and 3 follow 1 equally often, 3 occurs once more
    row = [1, 2] * 3000 + [1, 3] * 3000 + [3, 5, 5, 4, 4]
    scores = LastItem(5).count(log([row]).split()).scores(torch.tensor([[1]]))
    assert scores[0, 3] > scores[0, 2]


@given(seed=SEEDS)
def test_last_item_reads_only_the_last_item(seed):
    split = random_split(seed, "leave-one-out")
    model = LastItem(N_ITEMS).count(split)
    with_history = model.scores(torch.tensor([[4, 7, 0, 0], [1, 2, 3, 7]]))
    without = model.scores(torch.tensor([[7], [7]]))
    assert torch.equal(with_history, without)


def test_an_item_never_followed_falls_back_to_popularity():
    split = log([[1, 2, 2, 3, 1], [2, 1, 5, 5]], n_items=6).split()  # training: 1 2 2 and 2 1
    scores = LastItem(6).count(split).scores(torch.tensor([[6], [4]]))
    assert scores.argsort(dim=1, descending=True)[:, :2].tolist() == [[2, 1]] * 2


def test_users_with_a_single_training_item_have_no_transitions():
    split = log([[1, 2, 3], [2, 3, 1]]).split()
    assert LastItem(3).count(split).pairs.numel() == 0


@pytest.mark.parametrize("model_class", [Popularity, LastItem])
def test_what_was_counted_survives_the_state_dict(model_class):
    split = random_split(5, "leave-one-out")
    items = torch.arange(1, N_ITEMS + 1)[:, None]
    model = model_class(N_ITEMS).count(split)
    again = model_class(N_ITEMS)
    again.load_state_dict(model.state_dict())
    expected = model.scores(items)
    for value in model.state_dict().values():
        value.zero_()  # the copy must not live on the original's memory
    assert torch.equal(again.scores(items), expected)


def test_the_baselines_and_the_oracle_are_evaluated_alike():
    split = generate_planted(0, n_users=50).split()
    for model in (Popularity(500).count(split), LastItem(500).count(split), PlantedOracle()):
        assert len(evaluate(model, split).ranks) == 50
