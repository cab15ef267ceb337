"""The two splits: leave-one-out and by time, against plain Python."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import integers, sampled_from
from logs import log, random_log, rows_of

from minirec.errors import DataError

SEEDS = integers(0, 10**6)


@given(seed=SEEDS)
def test_leave_one_out_holds_out_the_last_two_of_every_user(seed):
    data = random_log(seed, longest=6)
    rows = rows_of(data)
    split = data.split()
    judged = [user for user, row in enumerate(rows) if len(row) >= 3]
    for user, row in enumerate(rows):
        expected = row[:-2] if user in judged else row
        assert split.train_sequence(user).tolist() == expected

    for phase, back in (("valid", 2), ("test", 1)):
        targets = split.targets(phase)
        assert targets.users.tolist() == judged
        answers = data.items[targets.positions].tolist()
        assert answers == [rows[user][-back] for user in judged]
        for user, begin, end in zip(judged, targets.starts, targets.positions, strict=True):
            assert data.items[begin:end].tolist() == rows[user][:-back]


@given(seed=SEEDS, kind=sampled_from(["leave-one-out", "temporal"]))
def test_training_sequences_are_views(seed, kind):
    split = random_log(seed, n_users=40, shortest=3, latest=50).split(kind)
    sequences = [split.train_sequence(u) for u in range(split.interactions.n_users)]
    assert all(np.shares_memory(s, split.interactions.items) for s in sequences if len(s))


def test_users_too_short_to_be_judged_are_trained_on_counted_and_shown():
    split = log([[1, 2], [1, 2, 3], [4]]).split()
    assert [split.train_sequence(u).tolist() for u in range(3)] == [[1, 2], [1], [4]]
    assert split.too_short == 2
    assert "2 users too short" in repr(split)


def test_a_log_without_anyone_to_judge_cannot_be_split():
    with pytest.raises(DataError, match="no user has the 3 interactions"):
        log([[1, 2], [2]]).split()


@given(seed=SEEDS, kind=sampled_from(["leave-one-out", "temporal"]))
def test_training_counts_are_the_occurrences_in_training(seed, kind):
    split = random_log(seed, n_users=40, shortest=3, latest=50).split(kind)
    counted = Counter(item for u in range(40) for item in split.train_sequence(u).tolist())
    assert split.train_counts().tolist() == [counted[i] for i in range(31)]


def temporal_case(seed, held_out):
    data = random_log(seed, n_users=40, longest=9, latest=60)
    return data, data.split("temporal", held_out=held_out)


@given(seed=SEEDS, held_out=sampled_from([0.1, 0.2, 0.3]))
def test_no_training_interaction_is_as_late_as_any_held_out_one(seed, held_out):
    data, split = temporal_case(seed, held_out)
    begins = data.offsets[:-1]
    ranges = [np.arange(a, b) for a, b in zip(begins, split.train_ends, strict=True)]
    trained_on = np.concatenate(ranges)
    held_out_ones = np.setdiff1d(np.arange(data.n_interactions), trained_on)
    assert data.timestamps[trained_on].max() < data.timestamps[held_out_ones].min()


@given(seed=SEEDS, held_out=sampled_from([0.1, 0.2, 0.3]))
def test_temporal_targets_are_the_first_of_their_user_in_the_phase(seed, held_out):
    data, split = temporal_case(seed, held_out)
    by_time = sorted(data.timestamps.tolist())
    valid_from = by_time[math.ceil((len(by_time) - 1) * (1 - 2 * held_out))]
    test_from = by_time[math.ceil((len(by_time) - 1) * (1 - held_out))]
    for phase, begin, end in (("valid", valid_from, test_from), ("test", test_from, math.inf)):
        expected = []
        for user in range(data.n_users):
            first, last = data.offsets[user : user + 2]
            late = [at for at in range(first, last) if data.timestamps[at] >= begin]
            if late and late[0] > first and data.timestamps[late[0]] < end:
                expected.append((user, first, late[0]))
        targets = split.targets(phase)
        found = zip(targets.users, targets.starts, targets.positions, strict=True)
        assert list(found) == expected


@given(seed=SEEDS)
def test_a_temporal_split_counts_the_users_it_does_not_judge(seed):
    data, split = temporal_case(seed, 0.1)
    judged = {*split.valid.users.tolist(), *split.test.users.tolist()}
    assert split.too_short == data.n_users - len(judged)


@pytest.mark.parametrize(
    "data, options, error",
    [
        (log([[1, 2, 3]]), {"kind": "temporal"}, DataError),
        (log([[1, 2, 3]]), {"kind": "random"}, ValueError),
        (log([[1, 2]], times=[[4, 4]]), {"kind": "temporal"}, DataError),
        (random_log(0, latest=9), {"kind": "temporal", "held_out": 0.5}, ValueError),
    ],
)
def test_an_impossible_split_is_refused(data, options, error):
    with pytest.raises(error):
        data.split(**options)
