"""A Parquet file is read as the frame that was written into it."""

import datetime
import sys

import pandas as pd
import polars as pl
import pytest
from reader_files import read, read_as

from minirec import Interactions
from minirec.data.readers import engine
from minirec.errors import DataError

DAYS = [datetime.datetime(2017, 7, 14, 6, 3, second, 250_000) for second in (9, 8, 7)]


def parquet(path, **columns):
    pl.DataFrame(columns).write_parquet(path)
    return path


@pytest.mark.parametrize(
    "users",
    [
        [3, 1, 2],
        [2**62, -5, 0],
        ["b", "a", "007"],
        [3.0, 1.0, 2.0],
        [3e16, -1.5e17, 2.0],  # which is how Polars would write them
        pl.Series([3, 1, 2], dtype=pl.UInt8),
        pl.Series(["b", "a", "b"], dtype=pl.Categorical),
    ],
)
def test_ids_come_back_as_they_were_written(tmp_path, users):
    path = parquet(tmp_path / "log.parquet", user=users, item=[7, 8, 9])
    assert read(path) == (list(users), [7, 8, 9], None)


@pytest.mark.parametrize(
    "times, wanted",
    [
        ([5, 4, 3], [5, 4, 3]),
        ([5.25, 4.0, 3.5], [5250, 4000, 3500]),
        (pl.Series(DAYS, dtype=pl.Datetime("us")), [1500012189250, 1500012188250, 1500012187250]),
        (
            pl.Series(DAYS, dtype=pl.Datetime("ns")).dt.replace_time_zone("Europe/Berlin"),
            [1500004989250, 1500004988250, 1500004987250],
        ),
        (pl.Series(DAYS).dt.date(), [1499990400] * 3),
        (["2017-07-14T06:03:09.25Z"] * 3, [1500012189250] * 3),
    ],
)
def test_times_of_every_type_keep_their_precision_as_in_a_frame(tmp_path, times, wanted):
    path = parquet(tmp_path / "log.parquet", user=[1, 2, 3], item=[7, 8, 9], time=times)
    assert read(path)[2] == wanted
    frame = pd.DataFrame({column.name: column.to_numpy() for column in pl.read_parquet(path)})
    assert Interactions.from_frame(frame).timestamps.tolist() == wanted


def test_what_was_taken_and_what_was_not_is_said(tmp_path):
    path = parquet(tmp_path / "log.parquet", visitorid=[1], itemid=[2], seen=DAYS[:1])
    said = "user = column 'visitorid', item = column 'itemid'; no time column was read"
    assert read_as(path).startswith(said)
    assert "not read: column 'seen', which looks like time" in read_as(path)


@pytest.mark.parametrize(
    "columns, message",
    [
        ({"user": [1, None], "item": [2, 3]}, "row 1: the user is missing"),
        ({"user": ["a", "NULL"], "item": [2, 3]}, r"row 1: the user is missing \(NULL\)"),
        ({"user": [1, 2], "item": [2, 3], "time": [5, None]}, "row 1: the timestamp is missing"),
        ({"user": [1, 2], "item": [2, 3], "time": ["5", "soon"]}, "row 1: the timestamp 'soon'"),
        ({"user": [[1], [2]], "item": [2, 3]}, "the column 'user' is of type List"),
        ({"user": [True, False], "item": [2, 3]}, "the column 'user' is of type Bool"),
        ({"who": [1, 2], "item": [2, 3]}, "nothing for the user among 'who', 'item'"),
        ({"user": [], "item": []}, "holds no row"),
    ],
)
def test_what_is_amiss_is_an_error_that_names_file_and_row(tmp_path, columns, message):
    if not columns["item"]:
        columns = {name: pl.Series([], dtype=pl.Int64) for name in columns}
    with pytest.raises(DataError, match=rf"log\.parquet.*{message}"):
        read(parquet(tmp_path / "log.parquet", **columns))


def test_a_damaged_file_is_an_error_that_names_it(tmp_path):
    path = parquet(tmp_path / "log.parquet", user=[1, 2] * 50, item=[2, 3] * 50)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    content[-20] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"log\.parquet"):
        read(path)


def test_a_filter_and_a_pattern_work_as_on_text(tmp_path):
    parquet(tmp_path / "1.parquet", user=[1, 2], item=[3, 4], event=["buy", "view"])
    parquet(tmp_path / "2.parquet", user=["x"], item=[5], event=["buy"])
    assert read(tmp_path / "*.parquet", where={"event": "buy"})[:2] == (["1", "x"], [3, 5])


def test_a_filter_that_no_row_passes_is_an_error_that_names_the_file(tmp_path):
    path = parquet(tmp_path / "log.parquet", user=[1], item=[3], event=["view"])
    with pytest.raises(DataError, match=r"log\.parquet: no row holds 'buy'"):
        read(path, where={"event": "buy"})


def test_a_row_of_a_later_file_is_named_by_that_file(tmp_path):
    parquet(tmp_path / "1.parquet", user=["a", "b"], item=[1, 2])
    parquet(tmp_path / "2.parquet", user=["c", None], item=[3, 4])
    with pytest.raises(DataError, match=r"2\.parquet, row 1: the user is missing"):
        read(tmp_path / "*.parquet")


def test_files_of_one_log_with_other_columns_are_refused(tmp_path):
    parquet(tmp_path / "1.parquet", user=[1], item=[3])
    parquet(tmp_path / "2.parquet", user=[1], asin=[3])
    with pytest.raises(DataError, match=r"2\.parquet: here .*'asin' would be read, but .*'item'"):
        read(tmp_path / "*.parquet")


def test_a_parquet_file_is_not_read_as_sequences(tmp_path):
    path = parquet(tmp_path / "log.parquet", user=[1], item=[3])
    with pytest.raises(DataError, match="holds columns and no lines"):
        read(path, "sequences")


def test_text_and_parquet_are_not_one_log(tmp_path):
    parquet(tmp_path / "log.1", user=[1], item=[3])
    (tmp_path / "log.2").write_text("user,item\n1,3\n")
    with pytest.raises(DataError, match=r"log\.\*: some files are Parquet and some are text"):
        read(tmp_path / "log.*")


@pytest.mark.parametrize(
    "texts, message",
    [
        (["5", "4", "3", "soon"], "row 3: the timestamp 'soon' is neither"),
        (["5", "4", "2017-07-14", "2017-07-15"], "row 2: the timestamp is a date"),
    ],
)
def test_a_time_that_is_none_is_named_in_whichever_piece_it_stands(
    tmp_path, monkeypatch, texts, message
):
    monkeypatch.setattr(engine, "TEXTS_AT_ONCE", 2)
    path = parquet(tmp_path / "log.parquet", user=[1] * 4, item=[7, 8, 9, 7], time=texts)
    with pytest.raises(DataError, match=rf"log\.parquet, {message}"):
        read(path)


def test_times_in_words_are_the_same_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "TEXTS_AT_ONCE", 2)
    times = ["5", "4.5", "3"]
    path = parquet(tmp_path / "log.parquet", user=[1] * 3, item=[7, 8, 9], time=times)
    assert read(path)[2] == [5000, 4500, 3000]


def test_without_polars_it_is_said_what_to_install(tmp_path, monkeypatch):
    path = parquet(tmp_path / "log.parquet", user=[1], item=[2])
    monkeypatch.setitem(sys.modules, "polars", None)  # an import of it fails
    with pytest.raises(DataError, match="pip install polars"):
        read(path)
