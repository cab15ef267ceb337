"""Frames by the same rules as files: names, missing ids, times, and what is said of them."""

import itertools

import numpy as np
import pandas as pd
import pytest

from minirec.data.interactions import Interactions
from minirec.errors import DataError

USER_NAMES = ["user", "user_id", "userId", "User ID", "USER", "user_id:token", "reviewerID"]
ITEM_NAMES = ["item", "item_id", "itemId", "Item ID", "movieId", "item_id:token", "asin"]
TIME_NAMES = ["timestamp", "time", "Timestamp", "timestamp:float", "unixReviewTime", "TIME"]


@pytest.mark.parametrize(
    "user, item, time", list(zip(USER_NAMES, ITEM_NAMES, [*TIME_NAMES, "time"], strict=True))
)
def test_the_usual_names_are_recognised(user, item, time):
    frame = pd.DataFrame({"price": [9, 9], time: [2, 1], item: [5, 6], user: ["a", "a"]})
    data = Interactions.from_frame(frame)
    assert data.to_frame().to_numpy().tolist() == [["a", 6, 1], ["a", 5, 2]]
    assert data.read_as == (
        f"user = column {user!r}, item = column {item!r}, time = column {time!r} "
        "(the log's own clock)"
    )


def test_a_frame_without_a_time_says_so():
    frame = pd.DataFrame({"user": [1, 1], "item": [5, 6], "price": [2, 1]})
    data = Interactions.from_frame(frame)
    assert data.timestamps is None
    assert data.time_unit == ""
    assert data.read_as == (
        "user = column 'user', item = column 'item'; no time column was read: "
        "the order of the rows counts"
    )


@pytest.mark.parametrize("options", [{"timestamp": None}, {"timestamp": "turn"}])
def test_columns_that_look_like_time_and_are_not_read_are_named(options):
    dates = pd.to_datetime(["2017-07-14", "2017-07-13"])
    frame = pd.DataFrame({"user": 1, "item": [5, 6], "turn": [1, 2], "Time": [2, 1], "seen": dates})
    data = Interactions.from_frame(frame, **options)
    assert data.to_frame()["item"].tolist() == [5, 6]
    assert data.read_as.endswith("; not read: column 'Time', column 'seen', which look like time")


def test_the_time_need_not_be_there_unless_it_is_named():
    frame = pd.DataFrame({"user": [1], "item": [5]})
    assert Interactions.from_frame(frame, timestamp="auto").timestamps is None
    with pytest.raises(DataError, match=r"no column 'timestamp'.*or give None"):
        Interactions.from_frame(frame, timestamp="timestamp")


@pytest.mark.parametrize("role", ["user", "item", "timestamp"])
@pytest.mark.parametrize("named", [True, False])
def test_a_wanted_column_that_is_there_twice_is_refused(role, named):
    frame = pd.DataFrame([[1, 5, 9, 7]], columns=["user", "item", "timestamp", role])
    options = {role: role} if named else {}
    with pytest.raises(DataError, match=f"2 columns '{role}'.*rename or drop"):
        Interactions.from_frame(frame, **options)


def test_other_columns_may_be_there_twice():
    frame = pd.DataFrame([[1, 5, 0, 0]], columns=["user", "item", "price", "price"])
    assert Interactions.from_frame(frame).n_interactions == 1


def test_names_need_not_be_strings():
    frame = pd.DataFrame([[5, 1, 3], [6, 1, 2]])
    data = Interactions.from_frame(frame, user=1, item=0, timestamp=2)
    assert data.to_frame()["item"].tolist() == [6, 5]
    assert data.read_as.startswith("user = column '1', item = column '0', time = column '2'")


MISSING = ["", " ", "NULL", "NaN", "nan", "None", "NA", "N/A", "<NA>", r"\N", None, np.nan]


@pytest.mark.parametrize("dtype", [object, "str", "category"])
@pytest.mark.parametrize("missing", MISSING)
@pytest.mark.parametrize("role", ["user", "item"])
def test_a_word_for_a_missing_id_is_refused_with_how_many_and_the_first(missing, role, dtype):
    ids = pd.Series(["a", "b", missing, "c", missing, missing, "d"], dtype=dtype)
    frame = pd.DataFrame({"user": 1, "item": 2, "timestamp": range(7)})
    frame[role] = ids
    with pytest.raises(DataError, match=f"the {role} is missing in 3 rows, first at row 2.*drop"):
        Interactions.from_frame(frame)


@pytest.mark.parametrize("dtype", ["float64", "Int64", "Float64", object])
def test_a_missing_number_is_refused_as_an_id(dtype):
    ids = pd.Series([1, None, 3], dtype=dtype)
    with pytest.raises(DataError, match=r"the item is missing at row 1; drop it\."):
        Interactions.from_frame(pd.DataFrame({"user": 1, "item": ids}))


def test_words_and_empty_fields_are_counted_together():
    ids = ["a", None, "NULL", "b", "", np.nan]
    with pytest.raises(DataError, match="missing in 4 rows, first at row 1;"):
        Interactions.from_frame(pd.DataFrame({"user": ids, "item": 1}))


@pytest.mark.parametrize("name", ["Nan", "NONE", "null", "Null Island", "nana", "0"])
def test_words_that_only_resemble_a_missing_value_are_ids(name):
    data = Interactions.from_frame(pd.DataFrame({"user": [name, "a"], "item": [1, 2]}))
    assert name in data.user_ids.tolist()


@pytest.mark.parametrize("dtype", ["float64", "float32", "Float64", "float16", "Sparse[float64]"])
def test_floats_that_are_all_whole_numbers_are_integers_as_ids(dtype):
    ids = pd.Series([12, 3, 7], dtype=dtype)
    data = Interactions.from_frame(pd.DataFrame({"user": 1, "item": ids}))
    assert data.item_ids.tolist() == [3, 7, 12]
    assert data.item_ids.dtype == np.int64


@pytest.mark.parametrize("ids", [[0.5, 1.0, 2.25], [1.0, 2.0, 1e30], [1.0, 2.0**63]])
def test_other_floats_stay_what_they_are(ids):
    data = Interactions.from_frame(pd.DataFrame({"user": 1, "item": ids}))
    assert data.item_ids.tolist() == ids
    assert data.item_ids.dtype == np.float64


@pytest.mark.parametrize("dtype", ["Int64", "UInt8", "int16", "Sparse[int64]", "category", object])
def test_integers_of_any_kind_are_ids(dtype):
    ids = pd.Series([12, 3, 7], dtype=dtype)
    data = Interactions.from_frame(pd.DataFrame({"user": 1, "item": ids}))
    assert data.item_ids.tolist() == [3, 7, 12]
    assert data.item_ids[data.items - 1].tolist() == [12, 3, 7]


def test_strings_of_digits_stay_strings_in_a_frame():
    data = Interactions.from_frame(pd.DataFrame({"user": ["1", "2"], "item": ["12", "007"]}))
    assert data.user_ids.tolist() == ["1", "2"]
    assert data.item_ids.tolist() == ["007", "12"]


@pytest.mark.parametrize("dtype", [bool, "boolean", object, "category"])
@pytest.mark.parametrize("role", ["user", "item", "timestamp"])
def test_true_and_false_are_neither_ids_nor_times(dtype, role):
    frame = pd.DataFrame({"user": [1, 2], "item": [5, 6], "timestamp": [8, 9]})
    frame[role] = pd.Series([True, False], dtype=dtype)
    with pytest.raises(DataError, match=r"True|all numbers or all strings"):
        Interactions.from_frame(frame)


def test_a_bad_time_is_named_with_its_column_and_row():
    frame = pd.DataFrame({"user": 1, "item": [5, 6, 7], "When:str": ["2017-07-14", "x", "y"]})
    with pytest.raises(DataError, match=r"column 'When:str', row 1: the timestamp 'x' is neither"):
        Interactions.from_frame(frame, timestamp="When:str")


# The order and the ties of times are the same however they are written.
TENTHS = [978300760 * 10 + 3, 978300760 * 10 + 1, 978300761 * 10, 978300760 * 10 + 3]
WRITTEN = {
    "floats": [time / 10 for time in TENTHS],
    "strings": [f"{time / 10}" for time in TENTHS],
    "integers": [time * 100 for time in TENTHS],
    "datetimes": pd.to_datetime([time * 100 for time in TENTHS], unit="ms"),
    "datetimes with a zone": pd.to_datetime(
        [time * 100 for time in TENTHS], unit="ms", utc=True
    ).tz_convert("Asia/Tokyo"),
    "dates in strings": [
        str(pd.Timestamp(time * 100, unit="ms", tz="America/St_Johns")) for time in TENTHS
    ],
}


@pytest.mark.parametrize("one, other", list(itertools.combinations(WRITTEN, 2)))
def test_times_are_the_same_however_they_are_written(one, other):
    found = []
    for name in (one, other):
        frame = pd.DataFrame({"user": 1, "item": [5, 6, 7, 5], "timestamp": WRITTEN[name]})
        data = Interactions.from_frame(frame)
        found.append((rows_of(data), data.timestamps.tolist(), data.n_duplicates, data.time_unit))
    assert found[0] == found[1]
    assert found[0][0] == [6, 5, 7]
    assert found[0][2:] == (1, "milliseconds")


def rows_of(data: Interactions) -> list:
    return data.to_frame()["item"].tolist()


def test_a_role_without_a_usual_column_is_named_with_the_columns_there_are():
    frame = pd.DataFrame({"who": [1], "item": [2]})
    with pytest.raises(DataError, match=r"no column for the user among 'who', 'item'.*user="):
        Interactions.from_frame(frame)
