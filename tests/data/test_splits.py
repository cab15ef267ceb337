"""The splits: leave-one-out, by time and by separate files, against plain Python."""

import dataclasses
import math
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import booleans, integers, lists, sampled_from, tuples
from logs import log, random_log, rows_of

from minirec.data.interactions import Interactions
from minirec.data.splits import split_files
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


def moments_by_hand(times, held_out):
    """The times of the two cuts: the quantiles', kept apart and off the ends."""
    by_time = sorted(times)
    distinct = sorted(set(times))
    valid_from = by_time[math.ceil((len(by_time) - 1) * (1 - 2 * held_out))]
    test_from = by_time[math.ceil((len(by_time) - 1) * (1 - held_out))]
    if valid_from == distinct[0]:
        valid_from = distinct[1]
    if valid_from == distinct[-1]:
        valid_from = distinct[-2]
    if test_from <= valid_from:
        test_from = distinct[distinct.index(valid_from) + 1]
    return valid_from, test_from


# Times of which many are equal, so that a quantile often falls on the first or the last.
CROWDED = lists(sampled_from([1, 1, 1, 1, 5, 6, 6, 9, 9, 9, 9]), min_size=3, max_size=30)


@given(times=CROWDED.filter(lambda times: len(set(times)) >= 3), held_out=sampled_from([0.1, 0.3]))
def test_no_phase_is_empty_where_there_are_three_distinct_times(times, held_out):
    times = sorted(times)
    data = log([[1] * len(times)] * 2, times=[times, times])
    split = data.split("temporal", held_out=held_out)
    valid_from, test_from = moments_by_hand(times * 2, held_out)
    n_train = sum(time < valid_from for time in times)
    n_before_test = sum(time < test_from for time in times)
    assert 0 < n_train < n_before_test < len(times)
    assert split.train_ends.tolist() == [n_train, len(times) + n_train]
    assert split.valid.positions.tolist() == [n_train, len(times) + n_train]
    assert split.test.positions.tolist() == [n_before_test, len(times) + n_before_test]


def test_four_days_of_equal_size_are_two_for_training_and_one_for_each_phase():
    days = [1, 1, 2, 2, 3, 3, 4, 4]
    split = log([[1] * 8] * 20, times=[days] * 20).split("temporal")
    assert split.valid.positions.tolist() == [8 * user + 4 for user in range(20)]
    assert split.test.positions.tolist() == [8 * user + 6 for user in range(20)]


@pytest.mark.parametrize("times", [[5, 5, 5], [5, 5, 6]])
def test_fewer_than_three_distinct_times_cannot_be_cut_and_the_error_says_so(times):
    with pytest.raises(DataError, match="at least three distinct times"):
        log([[1, 2, 3]], times=[times]).split("temporal")


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
        (log([[1, 2, 3]]), {"kind": "files"}, ValueError),
        (log([[1, 2]], times=[[4, 4]]), {"kind": "temporal"}, DataError),
        (random_log(0, latest=9), {"kind": "temporal", "held_out": 0.5}, ValueError),
    ],
)
def test_an_impossible_split_is_refused(data, options, error):
    with pytest.raises(error):
        data.split(**options)


def made(rows, timestamps=True):
    """A log of (user, item, time)."""
    users, items, times = zip(*rows, strict=True)
    return Interactions.from_columns(users, items, times if timestamps else None, source="file")


def rows_by_user(rows):
    """The items of each user, in the order of the rows."""
    items_of = defaultdict(list)
    for user, item, _ in rows:
        items_of[user].append(item)
    return items_of


def asked(split, phase):
    """What a phase asks, in raw ids: for each judged user the history and the answer."""
    data = split.interactions
    raw = data.item_ids[data.items - 1].tolist()
    targets = split.targets(phase)
    where = zip(targets.users.tolist(), targets.starts, targets.positions, strict=True)
    return {data.user_ids[user]: (raw[begin:at], raw[at]) for user, begin, at in where}


def trained_on(split):
    """The raw items that each raw user trains on, where there are any."""
    data = split.interactions
    sequences = {
        data.user_ids[user]: data.item_ids[split.train_sequence(user) - 1].tolist()
        for user in range(data.n_users)
    }
    return {user: items for user, items in sequences.items() if items}


ROWS = lists(tuples(integers(0, 6), sampled_from("abcdefgh"), integers(0, 9)), min_size=1)


@given(train=ROWS, valid=ROWS, test=ROWS, with_valid=booleans())
def test_each_file_gives_its_users_history_or_their_target(train, valid, test, with_valid):
    wanted_train = dict(rows_by_user(train))
    asked_in_test = rows_by_user(test)
    asked_in_valid = rows_by_user(valid) if with_valid else {}
    histories = {user: list(items) for user, items in wanted_train.items()}
    wanted_valid = {}
    for user, items in wanted_train.items():
        if with_valid and user in asked_in_valid:
            wanted_valid[user] = (items, asked_in_valid[user][0])
        elif not with_valid and len(items) >= 2:
            wanted_valid[user] = (items[:-1], items[-1])
            wanted_train[user] = items[:-1]
    for user, items in asked_in_valid.items():
        histories[user] = histories.get(user, []) + items
    wanted_test = {
        user: (histories[user], items[0])
        for user, items in asked_in_test.items()
        if user in histories
    }

    files = [made(rows, timestamps=False) for rows in (train, test, valid)]
    if not wanted_valid or not wanted_test:
        with pytest.raises(DataError, match="are the users named alike"):
            split_files(*files[: 2 + with_valid])
        return
    split = split_files(*files[: 2 + with_valid])
    assert trained_on(split) == wanted_train
    assert asked(split, "valid") == wanted_valid
    assert asked(split, "test") == wanted_test

    data = split.interactions
    users = {*histories, *asked_in_test}
    items = {item for rows in [train, test, *[valid] * with_valid] for _, item, _ in rows}
    assert set(data.user_ids.tolist()) == users
    assert data.item_ids.tolist() == sorted(items)
    assert split.too_short == len(users - {*wanted_valid, *wanted_test})
    assert f"{split.too_short:,} users not judged" in repr(split)


TRAIN = [("u", 1, 1), ("u", 2, 5), ("v", 3, 2), ("v", 1, 7)]


@pytest.mark.parametrize(
    "test, kept",
    [
        ([("u", 3, 5), ("v", 2, 8)], True),
        ([("u", 3, 4), ("v", 2, 8)], False),
        ([("u", 3, 6), ("v", 2, 7), ("w", 2, 0)], True),
    ],
    ids=["files follow in time", "one user goes back", "each user by itself"],
)
def test_times_are_kept_where_the_files_follow_each_other_for_every_user(test, kept):
    data = split_files(made(TRAIN), made(test)).interactions
    if not kept:
        assert data.timestamps is None
        return
    in_files = sorted(TRAIN + test, key=lambda row: row[0])  # stable, so by user alone
    assert data.timestamps.tolist() == [time for _, _, time in in_files]


def test_times_are_left_out_where_a_file_has_none():
    test = made([("u", 3, 9)], timestamps=False)
    assert split_files(made(TRAIN), test).interactions.timestamps is None


def test_times_are_left_out_where_the_files_have_clocks_of_their_own():
    train = dataclasses.replace(made(TRAIN), time_unit="seconds")
    later = made([("u", 3, 9000), ("v", 2, 9000)])
    for unit, kept in [("seconds", True), ("milliseconds", False)]:
        split = split_files(train, dataclasses.replace(later, time_unit=unit))
        assert (split.interactions.timestamps is not None) == kept


def test_a_row_that_stands_in_two_files_is_refused_and_named():
    with pytest.raises(DataError, match=r"more than one of them: 1, first user 'v', item '3'"):
        split_files(made(TRAIN), made([("u", 1, 9), ("v", 3, 2)]))


def test_integers_beside_strings_are_strings_and_meet_what_is_written_alike():
    train = Interactions.from_columns(["x", "7"] * 2, [10, 20, 20, 10])
    test = Interactions.from_columns([7, 8], ["10", "007"])
    split = split_files(train, test)
    assert split.interactions.item_ids.tolist() == ["007", "10", "20"]
    assert asked(split, "test") == {"7": (["20", "10"], "10")}


def test_decimal_ids_beside_others_are_refused():
    train = Interactions.from_columns([1, 1], [1, 2])
    test = Interactions.from_columns([1], [1.5])
    with pytest.raises(DataError, match="the item ids of one are decimal numbers"):
        split_files(train, test)


def test_integers_beyond_the_precision_of_decimals_stay_what_they_are():
    train = Interactions.from_columns([1, 1], [2**53, 2**53 + 1])
    test = Interactions.from_columns([1], np.array([2**63 + 1], dtype=np.uint64))
    split = split_files(train, test)
    assert split.interactions.item_ids.tolist() == [str(2**53), str(2**53 + 1), str(2**63 + 1)]


def test_a_model_of_other_files_has_another_fingerprint():
    train = made(TRAIN)
    one = split_files(train, made([("u", 3, 9)]))
    other = split_files(train, made([("u", 1, 9)]))
    assert one.fingerprint.startswith("files ")
    assert one.interactions.fingerprint != other.interactions.fingerprint
