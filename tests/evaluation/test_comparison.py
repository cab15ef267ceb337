"""compare: the paired t-test against scipy's, the bootstrap against resampling users one by one."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import integers, sampled_from
from logs import log
from scipy.stats import ttest_rel

from minirec import Evaluation, compare, evaluate
from minirec.models.baselines import Popularity

METRICS = ["recall", "mrr", "ndcg"]


def gain(metric, rank):
    """What a rank up to k earns."""
    if metric == "recall":
        return 1.0
    if metric == "mrr":
        return 1 / rank
    return math.log(2) / math.log(rank + 1)


def evaluation(ranks, **changes):
    ranks = np.asarray(ranks)
    plain = Evaluation("some model", "test", "full", 10, np.arange(len(ranks)), ranks)
    return dataclasses.replace(plain, **changes)


def random_pair(seed, n=80):
    a, b = np.random.default_rng(seed).integers(1, 25, (2, n))
    return evaluation(a), evaluation(np.where(np.arange(n) % 3, a, b))


def gains(e, metric):
    return np.array([gain(metric, rank) if rank <= e.k else 0.0 for rank in e.ranks.tolist()])


@given(seed=integers(0, 10**6), metric=sampled_from(METRICS), k=integers(2, 20))
def test_the_t_test_is_scipys_paired_one(seed, metric, k):
    a, b = (dataclasses.replace(e, k=k) for e in random_pair(seed))
    ours = compare(a, b, metric=metric, n_bootstrap=10)
    theirs = ttest_rel(gains(a, metric), gains(b, metric))
    assert ours.t == pytest.approx(theirs.statistic, rel=1e-9)
    assert ours.p == pytest.approx(theirs.pvalue, rel=1e-9)
    difference = gains(a, metric).mean() - gains(b, metric).mean()
    assert ours.difference == pytest.approx(difference, abs=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_the_interval_is_that_of_resampled_users(metric):
    a, b = random_pair(5, n=200)
    difference = gains(a, metric) - gains(b, metric)
    rng = np.random.default_rng(1)
    means = [difference[rng.integers(0, 200, 200)].mean() for _ in range(20_000)]
    low, high = np.quantile(means, [0.025, 0.975])

    ours = compare(a, b, metric=metric, n_bootstrap=20_000)
    tolerance = 0.08 * np.std(means)
    assert ours.low == pytest.approx(low, abs=tolerance)
    assert ours.high == pytest.approx(high, abs=tolerance)


def test_the_interval_is_the_same_for_the_same_seed_only():
    a, b = random_pair(5)
    results = [compare(a, b, n_bootstrap=200, seed=seed) for seed in (0, 0, 1)]
    intervals = [(result.low, result.high) for result in results]
    assert intervals[0] == intervals[1]
    assert intervals[1] != intervals[2]


def test_exchanging_the_two_turns_the_sign():
    a, b = random_pair(5)
    one = compare(a, b)
    other = compare(b, a)
    assert (one.difference, one.t, one.p) == pytest.approx((-other.difference, -other.t, other.p))


def test_nothing_is_tested_where_nothing_varies():
    a = evaluation([1, 3, 20])
    same = compare(a, a)
    assert (same.difference, same.low, same.high) == (0, 0, 0)
    assert math.isnan(same.p)

    constant = compare(evaluation([1, 1]), evaluation([3, 3]))
    assert math.isnan(constant.p)
    assert constant.low == constant.high == constant.difference == pytest.approx(0.5)


def test_an_evaluation_against_itself_over_again_differs_by_nothing():
    split = log([[1, 2, 3, 1], [2, 2, 1]]).split()
    model = Popularity(3).count(split)
    assert compare(evaluate(model, split), evaluate(model, split)).difference == 0


@pytest.mark.parametrize(
    "change",
    [
        {"users": np.array([0, 1, 3])},
        {"which": "valid"},
        {"protocol": "uniform-100"},
        {"k": 5},
        {"exclude_seen": True},
        {"seed": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_evaluations_that_are_no_pairs_are_refused(change):
    a = evaluation([1, 2, 3])
    with pytest.raises(ValueError, match="can be paired"):
        compare(a, dataclasses.replace(a, **change))


def test_evaluations_of_different_numbers_of_users_are_refused():
    with pytest.raises(ValueError, match=r"3 users and .* 2 users"):
        compare(evaluation([1, 2, 3]), evaluation([1, 2]))


@pytest.mark.parametrize(
    "options", [{"exclude_seen": True}, {"protocol": "uniform-100", "seed": 1}]
)
def test_evaluate_notes_what_compare_needs_to_tell_settings_apart(options):
    split = log([[1, 2, 3, 1], [2, 2, 1]], 9).split()
    model = Popularity(9).count(split)
    plain = {key: value for key, value in options.items() if key == "protocol"}
    with pytest.raises(ValueError, match="can be paired"):
        compare(evaluate(model, split, **plain), evaluate(model, split, **options))


def test_an_unknown_metric_is_refused():
    with pytest.raises(ValueError, match="metric must be one of recall, mrr, ndcg"):
        compare(evaluation([1, 2]), evaluation([1, 3]), metric="auc")
