"""The sampled protocols' negatives: who may be drawn, how often, and that nothing but (seed, phase, user) decides."""

import dataclasses

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

PROTOCOLS = ["uniform-100", "popular-100"]


@given(
    seed=integers(0, 10**6),
    which=sampled_from(["valid", "test"]),
    kind=sampled_from(["leave-one-out", "temporal"]),
    protocol=sampled_from(PROTOCOLS),
)
def test_a_negative_is_an_item_that_is_no_target_of_its_user_so_far(seed, which, kind, protocol):
    split = random_log(seed, n_items=40, latest=60).split(kind)
    negatives, rows, t = (
        sample_negatives(split, which, protocol, seed=seed),
        rows_of(split.interactions),
        split.targets(which),
    )
    assert negatives.shape == (len(t), 100) and negatives.min() >= 1 and negatives.max() <= 40
    for drawn, user, start, at in zip(negatives.tolist(), t.users, t.starts, t.positions):
        assert not set(drawn) & set(rows[user][1 : at - start + 1])


def drawn_for_the_only_user(which, protocol):
    """After items 1 2 3 | valid 4 | test 5 of 6: everything that may be drawn is, in a hundred draws."""
    split = log([[1, 2, 3, 4, 5]], n_items=5 if protocol == "popular-100" else 6).split()
    return set(sample_negatives(split, which, protocol).ravel().tolist())


def test_the_users_first_item_and_strangers_may_be_drawn():
    assert drawn_for_the_only_user("test", "uniform-100") == {1, 6}


def test_the_test_target_may_be_drawn_in_the_valid_phase():
    assert drawn_for_the_only_user("valid", "uniform-100") == {1, 5, 6}


def test_items_that_nobody_chose_are_not_popular():
    split = log([[1, 2, 3, 4, 5]], n_items=6).split()
    assert set(sample_negatives(split, "test", "popular-100").ravel().tolist()) == {1}


def z_of_chi_square(split, protocol, weights):
    """The p-value of the counts drawn, given that each user draws among the allowed in proportion to weights[V + 1]."""
    data, negatives = split.interactions, sample_negatives(split, "test", protocol, seed=3)
    expected = np.zeros(data.n_items + 1)
    for row in rows_of(data):
        allowed = weights.astype(float)
        allowed[[0, *row[1:]]] = 0
        expected += 100 * allowed / allowed.sum()
    counts = np.bincount(negatives.ravel(), minlength=data.n_items + 1)
    return chi2.sf(((counts - expected)[1:] ** 2 / expected[1:]).sum(), data.n_items - 1)


@pytest.fixture(scope="module")
def skewed():
    """Items of very unequal popularity; few enough of each user's own that the draws are nearly independent of them."""
    rng = np.random.default_rng(0)
    share = 1 / np.arange(1, 61)
    return log([rng.choice(60, size=5, p=share / share.sum()) + 1 for _ in range(600)], 60).split()


def test_uniform_negatives_are_drawn_alike(skewed):
    assert 1e-4 < z_of_chi_square(skewed, "uniform-100", np.ones(61)) < 1 - 1e-4


def test_popular_negatives_are_drawn_in_proportion_to_all_occurrences(skewed):
    occurrences = np.bincount(
        [item for row in rows_of(skewed.interactions) for item in row], minlength=61
    )
    assert 1e-4 < z_of_chi_square(skewed, "popular-100", occurrences) < 1 - 1e-4


def test_the_chi_square_notices_the_other_protocol(skewed):
    assert z_of_chi_square(skewed, "popular-100", np.ones(61)) < 1e-9


@given(
    seed=integers(0, 10**6), which=sampled_from(["valid", "test"]), protocol=sampled_from(PROTOCOLS)
)
def test_a_users_negatives_do_not_depend_on_who_else_is_judged(seed, which, protocol):
    split = random_log(seed, n_items=40).split()
    chosen = np.random.default_rng(seed).permutation(len(split.targets(which)))[:5]
    fewer = dataclasses.replace(
        split,
        **{which: Targets(*(values[chosen] for values in vars(split.targets(which)).values()))},
    )
    assert np.array_equal(
        sample_negatives(fewer, which, protocol, seed=seed),
        sample_negatives(split, which, protocol, seed=seed)[chosen],
    )


def test_seed_phase_and_user_change_the_negatives():
    rows = [[1, 2, 2, 2, 2]] * 2  # what may be drawn is the same for both users and phases
    split = log(rows, 1000).split()
    draws = [
        sample_negatives(split, which, "uniform-100", seed=seed)
        for which in ("valid", "test")
        for seed in (0, 1, 2**40)
    ]
    assert len({tuple(row) for draw in draws for row in draw.tolist()}) == 12


class LowestIs:
    """Scores one item below all others."""

    max_len, name = None, "lowest"

    def __init__(self, item, n_items):
        self.item, self.n_items = item, n_items

    def scores(self, items):
        return (
            torch.arange(self.n_items + 1.0)
            .index_fill(0, torch.tensor([self.item]), -1.0)
            .expand(len(items), -1)
        )


def test_repeated_draws_count_once():
    split = log([[1, 2, 3]], n_items=30).split()
    distinct = set(sample_negatives(split, "test", "uniform-100").ravel().tolist())
    assert (
        evaluate(LowestIs(3, 30), split, protocol="uniform-100").ranks.tolist()
        == [1 + len(distinct)]
        and len(distinct) < 100
    )


def test_every_model_is_judged_on_the_same_negatives():
    split = random_log(0, n_items=500, shortest=3).split()
    ranks = [
        evaluate(model, split, protocol="uniform-100").ranks
        for model in (LowestIs(1, 500), LowestIs(2, 500))
    ]
    untouched = [
        not {1, 2} & {*row.tolist(), target}
        for row, target in zip(
            sample_negatives(split, "test", "uniform-100"),
            split.interactions.items[split.test.positions],
        )
    ]
    assert sum(untouched) > 5 and np.array_equal(*(r[untouched] for r in ranks))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_user_who_chose_everything_is_named(protocol):
    with pytest.raises(ValueError, match="user 1 has chosen .* of the 3 items.*protocol='full'"):
        sample_negatives(log([[1, 2, 3], [1, 2, 3, 1]], n_items=3).split(), "test", protocol)
