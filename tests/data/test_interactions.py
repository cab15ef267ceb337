"""Interactions: order, duplicates, raw ids, frames and k-core, against plain Python."""

import dataclasses
import datetime
import math
from collections import Counter
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis.strategies import integers, lists, sampled_from, tuples
from logs import log, random_log

from minirec.data.interactions import Interactions
from minirec.errors import DataError

SEEDS = integers(0, 10**6)
RAW_IDS = {
    "small integers": [3, 7, 11],
    "large integers": [2**53, 2**53 + 1, 2**62],
    "negative integers": [-5, -1, 4],
    "unsigned": np.array([5, 2**63 + 1, 2**63 + 3], dtype=np.uint64),
    "strings": ["b-1", "ä", "10"],
    "digits": ["007", "7", "70"],
    "decimals": [0.5, 1.0, 2.25],
}


def columns(rows):
    return [np.array(column) for column in zip(*rows, strict=True)]


def random_rows(seed: int, n: int = 400) -> list[tuple[int, int, int]]:
    """(user, item, timestamp) in file order, with many ties.

    More rows than a sort handles by insertion.
    """
    rng = np.random.default_rng(seed)
    users = rng.integers(10, 16, n).tolist()
    items = rng.integers(100, 400, n).tolist()
    times = rng.integers(0, 5, n).tolist()
    return list(zip(users, items, times, strict=True))


def naive_sequences(rows, drop_repeats=True) -> dict:
    """user -> [(timestamp, item)], by Python's stable sort.

    Exact repeats are dropped after their first.
    """
    found = {}
    for user, item, time in sorted(rows, key=lambda row: row[2]):
        sequence = found.setdefault(user, [])
        if not drop_repeats or (time, item) not in sequence:
            sequence.append((time, item))
    return found


def raw_sequences(data: Interactions) -> dict:
    found = {}
    for user, rows in data.to_frame().groupby("user"):
        times = rows["timestamp"].tolist()
        found[user] = list(zip(times, rows["item"].tolist(), strict=True))
    return found


@given(seed=SEEDS)
def test_order_is_by_timestamp_then_file_order(seed):
    rows = random_rows(seed)
    assert raw_sequences(Interactions.from_columns(*columns(rows))) == naive_sequences(rows)


@given(
    seed=SEEDS,
    n_user_bits=sampled_from([1, 20, 40]),
    n_time_bits=sampled_from([1, 30, 62, 64]),
)
def test_order_is_the_same_however_many_bits_users_and_times_have(seed, n_user_bits, n_time_bits):
    """Together they may not fit in the 64 bits that are sorted at once."""
    rng = np.random.default_rng(seed)
    few = 2 ** min(n_user_bits, 4)
    users = rng.integers(0, 2**n_user_bits, few)[rng.integers(0, few, 300)]
    least = -(2 ** (n_time_bits - 1))
    few_times = rng.integers(least, -least, 40, dtype=np.int64)
    times = np.append(few_times, [least, -least - 1])[rng.integers(0, 42, 300)]
    items = np.arange(300)
    data = Interactions.from_columns(users, items, times)

    expected = sorted(range(300), key=lambda row: (users[row], times[row], row))
    assert (data.items - 1).tolist() == expected
    assert data.timestamps.tolist() == times[expected].tolist()


@given(rows=lists(tuples(integers(0, 3), integers(0, 3), integers(0, 2)), min_size=1, max_size=30))
def test_rows_that_repeat_user_item_and_timestamp_are_one_interaction(rows):
    data = Interactions.from_columns(*columns(rows))
    assert raw_sequences(data) == naive_sequences(rows)
    n_distinct = len(set(rows))
    assert data.n_interactions == n_distinct
    assert data.n_duplicates == len(rows) - n_distinct


def test_the_duplicates_left_out_are_shown():
    data = Interactions.from_columns([1, 1, 1, 1], [5, 5, 5, 6], [0, 0, 0, 0])
    assert "2 duplicates left out" in repr(data)


@given(seed=SEEDS)
def test_without_timestamps_every_row_is_kept_in_file_order(seed):
    rows = [(user, item, 0) for user, item, _ in random_rows(seed)]
    users, items, _ = columns(rows)
    data = Interactions.from_columns(users, items)
    for user, sequence in naive_sequences(rows, drop_repeats=False).items():
        dense = data.user_ids.tolist().index(user)
        found = data.item_ids[data.sequence(dense) - 1]
        assert found.tolist() == [item for _, item in sequence]
    assert sorted(data.user_ids) == sorted(set(users.tolist()))


def test_columns_of_unequal_length_are_refused():
    with pytest.raises(DataError, match="equally many"):
        Interactions.from_columns([1, 1, 2], [1, 2], [1, 2])


@pytest.mark.parametrize("per_user", [1, 2, 30])
def test_an_interaction_takes_12_bytes_and_a_user_8_so_never_more_than_24(per_user):
    n = 3000
    data = Interactions.from_columns(
        np.arange(n) // per_user, np.arange(n) % 70, np.arange(n)[::-1]
    )
    n_bytes = 0
    for array in (data.items, data.offsets, data.timestamps):
        memory = array if array.base is None else array.base  # a view keeps all of its base
        n_bytes += memory.nbytes
    assert n_bytes <= 12 * n + 8 * (data.n_users + 1)


@pytest.mark.parametrize("raw", RAW_IDS.values(), ids=RAW_IDS)
def test_raw_ids_lead_to_dense_ids_and_back(raw):
    data = Interactions.from_columns(["someone"] * 3, raw)
    codes = data.encode_items(raw)
    assert sorted(codes) == [1, 2, 3]
    assert data.item_ids[codes - 1].tolist() == list(raw)
    assert data.item_ids[data.items - 1].tolist() == list(raw)


@pytest.mark.parametrize("raw", RAW_IDS.values(), ids=RAW_IDS)
def test_an_unknown_raw_id_is_zero(raw):
    data = Interactions.from_columns(["someone"] * 3, raw)
    first, second, _ = data.encode_items(raw)
    assert data.encode_items([raw[1], "unknown", raw[0]]).tolist() == [second, 0, first]


def test_integer_ids_are_found_by_their_digits():
    data = Interactions.from_columns([1, 1, 1], [12, 2**53, 2**53 + 1])
    assert data.encode_items(["12", str(2**53 + 1), "12.5", "x"]).tolist() == [1, 3, 0, 0]


def test_no_raw_ids_are_no_dense_ids():
    for raw in ([1, 2], ["a", "b"]):
        assert Interactions.from_columns([1, 1], raw).encode_items([]).tolist() == []


def rows_of_frame(frame: pd.DataFrame) -> list[tuple]:
    return list(frame.itertuples(index=False, name=None))


@given(seed=SEEDS, names=sampled_from([str, int, float, lambda i: f"item {i}"]))
def test_frames_round_trip(seed, names):
    frame = pd.DataFrame(random_rows(seed), columns=["user", "item", "timestamp"]).drop_duplicates()
    frame["user"] = frame["user"].map(names)
    frame["item"] = frame["item"].map(names)
    data = Interactions.from_frame(frame.sample(frac=1, random_state=seed))
    again = Interactions.from_frame(data.to_frame())
    assert again.fingerprint == data.fingerprint
    assert np.array_equal(again.timestamps, data.timestamps)
    assert sorted(rows_of_frame(data.to_frame())) == sorted(rows_of_frame(frame))


def test_a_frame_may_name_its_columns_otherwise():
    frame = pd.DataFrame({"who": ["b", "a", "b"], "what": [5, 6, 7], "when": [9, 1, 2]})
    data = Interactions.from_frame(frame, user="who", item="what", timestamp="when")
    assert data.to_frame().to_numpy().tolist() == [["a", 6, 1], ["b", 7, 2], ["b", 5, 9]]


@pytest.mark.parametrize(
    "unit, per_second", [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)]
)
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/St_Johns"])
def test_datetimes_count_from_1970_in_the_unit_that_loses_nothing(zone, unit, per_second):
    utc = ZoneInfo("UTC")
    # Clocks go back in Berlin while the first six pass; the last lies before 1970.
    begin = datetime.datetime(2024, 10, 27, 0, 30, 0, 123_456, tzinfo=utc)
    moments = [begin + datetime.timedelta(minutes=40 * i) for i in range(6)]
    moments.append(datetime.datetime(1969, 12, 31, 23, 59, 58, 500_000, tzinfo=utc))
    moments = [moment.astimezone(ZoneInfo(zone)) for moment in moments]
    timestamps = pd.Series(moments).dt.as_unit(unit)
    frame = pd.DataFrame({"user": 1, "item": range(7), "timestamp": timestamps})

    epoch = datetime.datetime(1970, 1, 1, tzinfo=utc)
    microseconds = [(moment - epoch) // datetime.timedelta(microseconds=1) for moment in moments]
    coarsest = min(per_second, 10**6)  # nothing here is finer than a microsecond
    expected = sorted(math.floor(time * coarsest / 10**6) for time in microseconds)
    data = Interactions.from_frame(frame)
    assert data.timestamps.tolist() == expected
    assert data.time_unit == {1: "seconds", 10**3: "milliseconds"}.get(coarsest, "microseconds")


def test_datetimes_without_a_zone_are_utc():
    timestamps = pd.to_datetime(["2001-09-09 01:46:40", "1970-01-01 00:00:00"])
    frame = pd.DataFrame({"user": 1, "item": [1, 2], "timestamp": timestamps})
    assert Interactions.from_frame(frame).timestamps.tolist() == [0, 1_000_000_000]


def test_decimals_of_timestamps_order_rows_and_tell_repeats_apart():
    """Times are not cut to seconds: the 5.9 and 5.1 of one second are two moments."""
    times = [5.9, 5.1, -0.5, 5.9, 5.1]
    frame = pd.DataFrame({"user": 1, "item": [10, 20, 30, 10, 10], "timestamp": times})
    data = Interactions.from_frame(frame)
    rows = data.to_frame()[["item", "timestamp"]]
    assert rows.to_numpy().tolist() == [[30, -500], [20, 5100], [10, 5100], [10, 5900]]
    assert data.n_duplicates == 1


def test_integer_clocks_keep_every_digit():
    times = [2**62 + 1, 2**62, 2**62 + 3]
    frame = pd.DataFrame({"user": 1, "item": [1, 2, 3], "timestamp": times})
    assert Interactions.from_frame(frame).timestamps.tolist() == sorted(times)


@pytest.mark.parametrize("kind", ["Int64", "Float64", "int32", "float32"])
def test_any_numeric_column_is_a_clock(kind):
    frame = pd.DataFrame({"user": 1, "item": [1, 2], "timestamp": pd.array([7, 3], dtype=kind)})
    assert Interactions.from_frame(frame).timestamps.tolist() == [3, 7]


def test_times_in_columns_may_be_all_that_they_may_be_in_frames():
    data = Interactions.from_columns(
        [1, 1, 1], [7, 8, 9], ["2017-07-14", "2017-07-13", "1970-01-01"]
    )
    assert data.to_frame()["item"].tolist() == [9, 8, 7]
    assert data.time_unit == "seconds"
    with pytest.raises(DataError, match="mine, row 1: the timestamp inf"):
        Interactions.from_columns([1, 1], [7, 8], [1.5, np.inf], source="mine")


def test_later_changes_to_a_column_do_not_reach_the_interactions():
    column = np.array([1, 2])
    data = Interactions.from_columns(column, column, column)
    column[:] = 9
    assert data.to_frame().to_numpy().tolist() == [[1, 1, 1], [2, 2, 2]]


def test_later_changes_to_a_frame_do_not_reach_the_interactions():
    frame = pd.DataFrame({"user": [1, 1], "item": [1, 2], "timestamp": [1, 2]})
    data = Interactions.from_frame(frame)
    frame.loc[0, ["item", "timestamp"]] = 2
    assert data.to_frame().to_numpy().tolist() == [[1, 1, 1], [1, 2, 2]]


GOOD = {"user": ["a", "b"], "item": [1, 2], "timestamp": [3.0, 4.0]}
BAD_FRAMES = {
    "no user column": ({"item": [1]}, {}, "no column for the user among 'item'.*user="),
    "no item column": ({"user": [1]}, {}, "no column for the item among 'user'.*item="),
    "no such user": (GOOD, {"user": "who"}, "no column 'who'; it has 'user', 'item'.*user="),
    "a missing user": (
        GOOD | {"user": ["a", None]},
        {},
        "column 'user': the user is missing at row 1; drop it",
    ),
    "a missing item": (
        GOOD | {"item": [np.nan, 1]},
        {},
        "column 'item': the item is missing at row 0; drop it",
    ),
    "a missing time": (GOOD | {"timestamp": [1.0, np.nan]}, {}, "row 1: .* missing"),
    "a missing date": (
        GOOD | {"timestamp": [pd.NaT, pd.Timestamp(0)]},
        {},
        "column 'timestamp', row 0: the timestamp is missing, in 1 of 2 rows; drop",
    ),
    "time in words": (GOOD | {"timestamp": ["noon", "dusk"]}, {}, "row 0: .*'noon' is neither"),
    "an infinite time": (GOOD | {"timestamp": [1, np.inf]}, {}, "row 1"),
    "a time beyond 64 bits": (GOOD | {"timestamp": [1e30, 0]}, {}, "row 0"),
    "no such clock": (GOOD, {"timestamp": "when"}, "no column 'when'"),
    "no rows": ({"user": [], "item": []}, {}, "no rows at all"),
    "no rows, with times": ({"user": [], "item": [], "timestamp": []}, {}, "no rows at all"),
}


@pytest.mark.parametrize("content, options, message", BAD_FRAMES.values(), ids=BAD_FRAMES)
def test_a_bad_frame_is_one_clear_error(content, options, message):
    with pytest.raises(DataError, match=message):
        Interactions.from_frame(pd.DataFrame(content), **options)


@pytest.mark.parametrize(
    "rows",
    [[[1, 2], []], [[1, 0, 2]], [[1, 4]], [[-1]]],
    ids=["an empty row", "padding inside", "beyond the last", "negative"],
)
def test_impossible_sequences_are_refused(rows):
    with pytest.raises(DataError):
        log(rows, n_items=3)


def naive_k_core(rows: list[tuple], k: int) -> list[tuple]:
    while True:
        users = Counter(row[0] for row in rows)
        items = Counter(row[1] for row in rows)
        kept = [row for row in rows if users[row[0]] >= k and items[row[1]] >= k]
        if len(kept) == len(rows):
            return rows
        rows = kept


@given(seed=SEEDS, k=integers(1, 4))
def test_k_core_is_the_fixed_point_of_dropping(seed, k):
    data = random_log(seed, n_users=15, n_items=12, longest=6, latest=3)
    expected = naive_k_core(rows_of_frame(data.to_frame()), k)
    if expected:
        assert rows_of_frame(data.k_core(k).to_frame()) == expected
    else:
        with pytest.raises(DataError, match=f"{k}-core"):
            data.k_core(k)


def test_k_core_keeps_what_was_said_about_the_data():
    rows = {"user": [1, 1, 2], "item": [5, 5, 6], "time": [978300760, 978300761, 978300762]}
    data = Interactions.from_frame(pd.DataFrame(rows))
    core = data.k_core(2)
    assert core.n_interactions == 2
    assert core.read_as == data.read_as != ""
    assert core.time_unit == "seconds"


def test_statistics_are_the_definitions():
    s = log([[1, 2, 2], [3]], n_items=4).statistics()
    assert s.tolist() == [2, 4, 4, 2.0, 50.0]


@pytest.mark.parametrize(
    "change",
    [
        {"items": np.array([1, 2, 2])},
        {"items": np.array([2, 1, 3])},
        {"offsets": np.array([0, 2, 3])},
        {"item_ids": np.array([1, 2, 4])},
    ],
)
def test_the_fingerprint_changes_with_items_order_users_and_raw_ids(change):
    data = log([[1], [2, 3]])
    changed = {name: new.astype(getattr(data, name).dtype) for name, new in change.items()}
    assert dataclasses.replace(data, **changed).fingerprint != data.fingerprint


@pytest.mark.parametrize("missing", [None, math.nan])
def test_a_missing_id_is_an_error_with_its_row(missing):
    with pytest.raises(DataError, match=r"missing .* at row 1;"):
        Interactions.from_columns(np.array(["a", missing, "b"], dtype=object), [1, 2, 3])


@pytest.mark.parametrize(
    "ids",
    [[1, "1", 2], pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-03"]), [1.5, "1", True]],
)
def test_ids_that_are_neither_all_numbers_nor_all_strings_are_refused(ids):
    with pytest.raises(DataError, match="all numbers or all strings"):
        Interactions.from_frame(pd.DataFrame({"user": [1, 1, 2], "item": ids}))
