"""The user, the item and the time are found by the usual names, or by those that were given."""

import pytest
from reader_files import read, write

from minirec.errors import DataError


@pytest.mark.parametrize(
    "header",
    [
        "user,item,timestamp",
        "user_id,item_id,time",
        "userId,movieId,timestamp",
        "reviewerID,asin,unixReviewTime",
        "User;Item;Timestamp",
        "user|item|timestamp",
        "user item timestamp",
        '"user","item","timestamp"',
    ],
)
def test_the_usual_column_names_are_recognised(tmp_path, header):
    separator = next(mark for mark in ",;| " if mark in header)
    row = separator.join("123")
    found = read(write(tmp_path / "log.csv", f"{header}\n{row}\n"))
    assert list(found) == [[1], [2], [3]]


@pytest.mark.parametrize(
    "name, text",
    [
        ("log.csv", "when,who,what\n3,1,2\n"),
        ("log.json", '{"who": 1, "what": "2", "when": 3}\n'),
        ("log.inter", "who:token\twhat:token\twhen:float\n1\t2\t3\n"),
    ],
)
def test_columns_with_other_names_are_found_by_the_names_given(tmp_path, name, text):
    columns = {"user": "who", "item": "what", "timestamp": "when"}
    found = read(write(tmp_path / name, text), columns)
    assert list(found) == [[1], [2], [3]]


@pytest.mark.parametrize("separator", [",", "\t"])
def test_an_unnamed_first_column_is_passed_over(tmp_path, separator):
    header = separator.join(["", "user", "item"])
    row = separator.join(["0", "1", "2"])
    users, items, _ = read(write(tmp_path / "log.tsv", f"{header}\n{row}"))
    assert users == [1]
    assert items == [2]


def test_naming_columns_without_a_timestamp_reads_no_times(tmp_path):
    path = write(tmp_path / "log.csv", "user,item,timestamp\n1,2,n/a\n")
    _, _, times = read(path, {"user": "user", "item": "item"})
    assert times is None


def test_the_missing_column_is_named_as_it_was_asked_for(tmp_path):
    path = write(tmp_path / "log.csv", "who,what\n1,2\n")
    with pytest.raises(DataError, match="line 1: nothing for the item, 'sku', among 'who', 'what'"):
        read(path, {"user": "who", "item": "sku"})


@pytest.mark.parametrize("columns", [{"user": "a"}, {"user": "a", "item": "b", "rating": "c"}, {}])
def test_columns_name_user_and_item_and_perhaps_timestamp(tmp_path, columns):
    path = write(tmp_path / "log.csv", "a,b,c\n1,2,3\n")
    with pytest.raises(DataError, match="columns must name 'user' and 'item'"):
        read(path, columns)
