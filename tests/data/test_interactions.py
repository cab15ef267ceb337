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


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/St_Johns"])
def test_datetimes_become_seconds_since_1970(zone, unit):
    utc = ZoneInfo("UTC")
    # Clocks go back in Berlin while the first six pass; the last lies before 1970.
    begin = datetime.datetime(2024, 10, 27, 0, 30, 0, 700_000, tzinfo=utc)
    moments = [begin + datetime.timedelta(minutes=40 * i) for i in range(6)]
    moments.append(datetime.datetime(1969, 12, 31, 23, 59, 58, 500_000, tzinfo=utc))
    moments = [moment.astimezone(ZoneInfo(zone)) for moment in moments]
    timestamps = pd.Series(moments).dt.as_unit(unit)
    frame = pd.DataFrame({"user": 1, "item": range(7), "timestamp": timestamps})
    expected = sorted(math.floor(moment.timestamp()) for moment in moments)
    assert Interactions.from_frame(frame).timestamps.tolist() == expected


def test_datetimes_without_a_zone_are_utc():
    timestamps = pd.to_datetime(["2001-09-09 01:46:40", "1970-01-01 00:00:00"])
    frame = pd.DataFrame({"user": 1, "item": [1, 2], "timestamp": timestamps})
    assert Interactions.from_frame(frame).timestamps.tolist() == [0, 1_000_000_000]


def test_decimal_timestamps_are_cut_to_seconds_before_sorting():
    frame = pd.DataFrame({"user": 1, "item": [10, 20, 30], "timestamp": [5.9, 5.1, -0.5]})
    rows = Interactions.from_frame(frame).to_frame()[["item", "timestamp"]]
    assert rows.to_numpy().tolist() == [[30, -1], [10, 5], [20, 5]]


def test_integer_clocks_keep_every_digit():
    times = [2**62 + 1, 2**62, 2**62 + 3]
    frame = pd.DataFrame({"user": 1, "item": [1, 2, 3], "timestamp": times})
    assert Interactions.from_frame(frame).timestamps.tolist() == sorted(times)


@pytest.mark.parametrize("kind", ["Int64", "Float64", "int32", "float32"])
def test_any_numeric_column_is_a_clock(kind):
    frame = pd.DataFrame({"user": 1, "item": [1, 2], "timestamp": pd.array([7, 3], dtype=kind)})
    assert Interactions.from_frame(frame).timestamps.tolist() == [3, 7]


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
    "no user column": ({"item": [1]}, {}, "no column 'user'"),
    "no item column": ({"user": [1]}, {}, "no column 'item'"),
    "a missing user": (
        GOOD | {"user": ["a", None]},
        {},
        "column 'user' has a missing value at row 1",
    ),
    "a missing item": (
        GOOD | {"item": [np.nan, 1]},
        {},
        "column 'item' has a missing value at row 0",
    ),
    "a missing time": (GOOD | {"timestamp": [1.0, np.nan]}, {}, "missing value at row 1"),
    "a missing date": (
        GOOD | {"timestamp": [pd.NaT, pd.Timestamp(0)]},
        {},
        "missing value at row 0",
    ),
    "time in words": (GOOD | {"timestamp": ["noon", "dusk"]}, {}, "not numeric"),
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
    [[1, "1", 2], pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-03"]), [True, False, True]],
)
def test_ids_that_are_neither_all_numbers_nor_all_strings_are_refused(ids):
    with pytest.raises(DataError, match="all numbers or all strings"):
        Interactions.from_frame(pd.DataFrame({"user": [1, 1, 2], "item": ids}))
