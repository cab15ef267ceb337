"""The sampled protocols' negatives: who may be drawn, how often, and what decides.

Nothing but (seed, phase, user) does.
"""

import dataclasses
import gc
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis.strategies import integers, sampled_from
from logs import log, random_log, rows_of
from scipy.stats import chi2

from minirec import evaluate
from minirec.data.splits import Targets
from minirec.evaluation import sample_negatives
from minirec.evaluation.negatives import candidates_of

PROTOCOLS = ["uniform-100", "popular-100"]


@given(
    seed=integers(0, 10**6),
    which=sampled_from(["valid", "test"]),
    kind=sampled_from(["leave-one-out", "temporal"]),
    protocol=sampled_from(PROTOCOLS),
)
def test_a_negative_is_an_item_that_is_no_target_of_its_user_so_far(seed, which, kind, protocol):
    split = random_log(seed, n_items=40, latest=60).split(kind)
    negatives = sample_negatives(split, which, protocol, seed=seed)
    rows = rows_of(split.interactions)
    targets = split.targets(which)
    assert negatives.shape == (len(targets), 100)
    assert negatives.min() >= 1
    assert negatives.max() <= 40
    for number, drawn in enumerate(negatives.tolist()):
        row = rows[targets.users[number]]
        target = targets.positions[number] - targets.starts[number]  # its place in the row
        assert not set(drawn) & set(row[1 : target + 1])


def drawn_for_the_only_user(which):
    """After items 1 2 3 | valid 4 | test 5 of 6: a hundred draws find all that may be drawn."""
    split = log([[1, 2, 3, 4, 5]], n_items=6).split()
    return set(sample_negatives(split, which, "uniform-100").ravel().tolist())


def test_the_users_first_item_and_strangers_may_be_drawn():
    assert drawn_for_the_only_user("test") == {1, 6}


def test_the_test_target_may_be_drawn_in_the_valid_phase():
    assert drawn_for_the_only_user("valid") == {1, 5, 6}


def test_items_that_nobody_chose_are_not_popular():
    split = log([[1, 2, 3, 4, 5]], n_items=6).split()
    assert set(sample_negatives(split, "test", "popular-100").ravel().tolist()) == {1}


def p_of_chi_square(split, protocol, weights):
    """The p-value of the counts drawn, if each user draws in proportion to weights[V + 1].

    Among the items that this user may draw.
    """
    data = split.interactions
    negatives = sample_negatives(split, "test", protocol, seed=3)
    expected = np.zeros(data.n_items + 1)
    for row in rows_of(data):
        allowed = weights.astype(float)
        allowed[[0, *row[1:]]] = 0
        expected += 100 * allowed / allowed.sum()
    counts = np.bincount(negatives.ravel(), minlength=data.n_items + 1)
    statistic = ((counts - expected)[1:] ** 2 / expected[1:]).sum()
    return chi2.sf(statistic, data.n_items - 1)


@pytest.fixture(scope="module")
def skewed():
    """Items of very unequal popularity.

    Each user has so few of them that the draws are nearly independent of the user's own items.
    """
    rng = np.random.default_rng(0)
    share = 1 / np.arange(1, 61)
    share = share / share.sum()
    rows = [rng.choice(60, size=5, p=share) + 1 for _ in range(600)]
    return log(rows, 60).split()


def test_uniform_negatives_are_drawn_alike(skewed):
    assert 1e-4 < p_of_chi_square(skewed, "uniform-100", np.ones(61)) < 1 - 1e-4


def test_popular_negatives_are_drawn_in_proportion_to_all_occurrences(skewed):
    occurrences = np.bincount(np.concatenate(rows_of(skewed.interactions)), minlength=61)
    assert 1e-4 < p_of_chi_square(skewed, "popular-100", occurrences) < 1 - 1e-4


def test_the_chi_square_notices_the_other_protocol(skewed):
    assert p_of_chi_square(skewed, "popular-100", np.ones(61)) < 1e-9


@given(
    seed=integers(0, 10**6), which=sampled_from(["valid", "test"]), protocol=sampled_from(PROTOCOLS)
)
def test_a_users_negatives_do_not_depend_on_who_else_is_judged(seed, which, protocol):
    split = random_log(seed, n_items=40).split()
    targets = split.targets(which)
    chosen = np.random.default_rng(seed).permutation(len(targets))[:5]
    fewer_targets = Targets(
        targets.users[chosen], targets.starts[chosen], targets.positions[chosen]
    )
    fewer = dataclasses.replace(split, **{which: fewer_targets})

    of_fewer = sample_negatives(fewer, which, protocol, seed=seed)
    of_all = sample_negatives(split, which, protocol, seed=seed)
    assert np.array_equal(of_fewer, of_all[chosen])


def test_seed_phase_and_user_change_the_negatives():
    rows = [[1, 2, 2, 2, 2]] * 2  # what may be drawn is the same for both users and phases
    split = log(rows, 1000).split()
    different = set()
    for which in ("valid", "test"):
        for seed in (0, 1, 2**40):
            negatives = sample_negatives(split, which, "uniform-100", seed=seed)
            different |= {tuple(row) for row in negatives.tolist()}
    assert len(different) == 12


class LowestIs:
    """Scores one item below all others."""

    name = "lowest"
    max_len = None

    def __init__(self, item, n_items):
        self.item = item
        self.n_items = n_items

    def scores(self, items):
        scores = torch.arange(self.n_items + 1.0)
        scores[self.item] = -1.0
        return scores.expand(len(items), -1)


def test_repeated_draws_count_once():
    split = log([[1, 2, 3]], n_items=30).split()
    distinct = set(sample_negatives(split, "test", "uniform-100").ravel().tolist())
    assert len(distinct) < 100
    ranks = evaluate(LowestIs(3, 30), split, protocol="uniform-100").ranks
    assert ranks.tolist() == [1 + len(distinct)]


def test_every_model_is_judged_on_the_same_negatives():
    split = random_log(0, n_items=500, shortest=3).split()
    first = evaluate(LowestIs(1, 500), split, protocol="uniform-100").ranks
    second = evaluate(LowestIs(2, 500), split, protocol="uniform-100").ranks

    # The two models differ in items 1 and 2 alone, so where neither is a candidate they agree.
    negatives = sample_negatives(split, "test", "uniform-100")
    answers = split.interactions.items[split.test.positions]
    candidates = np.column_stack([negatives, answers])
    untouched = ~np.isin(candidates, [1, 2]).any(axis=1)
    assert untouched.sum() > 5
    assert np.array_equal(first[untouched], second[untouched])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_user_who_chose_everything_is_named(protocol):
    split = log([[1, 2, 3], [1, 2, 3, 1]], n_items=3).split()
    with pytest.raises(ValueError, match=r"user 1 has chosen .* of the 3 items.*protocol='full'"):
        sample_negatives(split, "test", protocol)


@given(seed=integers(0, 10**6), which=sampled_from(["valid", "test"]))
def test_candidates_are_the_negatives_each_once(seed, which):
    split = random_log(seed, n_items=40, latest=60).split()
    negatives = sample_negatives(split, which, "uniform-100", seed=seed)
    candidates = candidates_of(split, which, "uniform-100", seed=seed)
    assert candidates.shape == negatives.shape
    for drawn, row in zip(negatives.tolist(), candidates.tolist(), strict=True):
        real = [item for item in row if item > 0]
        assert real == sorted(set(drawn))


def test_candidates_are_drawn_once_for_each_split_phase_protocol_and_seed(monkeypatch):
    asked = []

    def counting(split, which, protocol, *, seed):
        asked.append((which, protocol, seed))
        return sample_negatives(split, which, protocol, seed=seed)

    monkeypatch.setattr("minirec.evaluation.negatives.sample_negatives", counting)
    data = random_log(0, n_items=200)
    split = data.split()
    wanted = [
        ("valid", "uniform-100", 0),
        ("valid", "uniform-100", 1),
        ("valid", "popular-100", 0),
        ("test", "uniform-100", 0),
    ]
    for _ in range(2):
        for which, protocol, seed in wanted:
            candidates_of(split, which, protocol, seed=seed)
    assert asked == wanted
    candidates_of(data.split(), *wanted[0][:2], seed=0)  # another split has its own
    assert asked == [*wanted, wanted[0]]


def test_candidates_are_forgotten_with_their_split():
    split = random_log(0, n_items=200).split()
    drawn = weakref.ref(candidates_of(split, "test", "uniform-100"))
    assert drawn() is not None
    del split
    gc.collect()
    assert drawn() is None
