"""Ids are integers only if all are written as integers are; what stands for nothing is no id."""

import pytest
from reader_files import WAYS, choose_way, read, write

from minirec.data.readers import careful
from minirec.errors import DataError


def file_of_users(path, users):
    return write(path, "user,item\n" + "".join(f"{user},1\n" for user in users))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "ids",
    [
        ["007", "12"],
        ["1.5", "2"],
        ["1.", "2"],
        ["NULLs", "na", "none", "null", "-"],
        ["+5", "6"],
        ["1e3", "4"],
        ["9223372036854775808", "1"],
        ["١٢", "3"],
        ["-0", "1"],
        ["9" * 5_000, "1"],
    ],
)
def test_ids_that_are_not_all_ordinary_integers_stay_as_written(tmp_path, monkeypatch, way, ids):
    choose_way(monkeypatch, way)
    users, _, _ = read(file_of_users(tmp_path / "log.csv", ids))
    assert users == ids


@pytest.mark.parametrize("way", WAYS)
def test_integer_ids_fill_the_whole_of_int64(tmp_path, monkeypatch, way):
    choose_way(monkeypatch, way)
    ids = [2**63 - 1, -(2**63), 0, -1, 10**18 - 1, 10**18]
    users, _, _ = read(file_of_users(tmp_path / "log.csv", ids))
    assert {type(user) for user in users} == {int}
    assert users == ids


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["log.csv", "log.json"])
def test_integral_floats_are_integers(tmp_path, monkeypatch, way, name):
    choose_way(monkeypatch, way)
    ids = ["12.0", "12", "-7.00", "9007199254740993.0"]
    if name == "log.csv":
        path = file_of_users(tmp_path / name, ids)
    else:
        path = write(tmp_path / name, "".join(f'{{"user": {i}, "item": 1}}\n' for i in ids))
    users, _, _ = read(path)
    assert users == [12, 12, -7, 9007199254740993]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("role", ["user", "item"])
@pytest.mark.parametrize("word", ["NULL", "NaN", "nan", "None", "NA", r"\N", " NA ", "N/A", "<NA>"])
def test_a_word_for_nothing_is_no_id(tmp_path, monkeypatch, way, role, word):
    choose_way(monkeypatch, way)
    other = {"user": "item", "item": "user"}[role]
    path = write(tmp_path / "log.csv", f"{role},{other}\na,b\n{word},b\nc,d\n{word},e\n")
    with pytest.raises(DataError) as caught:
        read(path)
    message = f"log.csv, line 3: the {role} is missing ({word.strip()}), and in 1 more"
    assert message in str(caught.value)


@pytest.mark.parametrize("way", WAYS)
def test_an_empty_id_is_missing_and_counted(tmp_path, monkeypatch, way):
    choose_way(monkeypatch, way)
    path = write(tmp_path / "log.csv", "user,item\na,b\n,b\n  ,d\n,e\n")
    with pytest.raises(DataError, match="line 3: the user is missing, and in 2 more"):
        read(path)


@pytest.mark.parametrize("way", WAYS)
def test_an_id_that_is_no_utf8_is_an_error_and_a_title_is_none_of_our_business(
    tmp_path, monkeypatch, way
):
    choose_way(monkeypatch, way)
    rows = "user,title,item\n1,Amélie,2\n3,Brazil,4\n".encode("latin-1")
    assert read(write(tmp_path / "log.csv", rows))[:2] == ([1, 3], [2, 4])
    with pytest.raises(DataError, match="line 2: in the item, the byte 0xe9 is not UTF-8"):
        read(tmp_path / "log.csv", {"user": "user", "item": "title"})


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "written, tick",
    [
        ("9007199254740993", 2**53 + 1),
        ("9223372036854775807", 2**63 - 1),
        ("-5", -5),
        ("978300760.9", 978300760_900),
        ("-1.5", -1500),
        ("8.8125e8", 881250000),
        (" 12 ", 12),
        ("007", 7),
        ("+7", 7),
        ("2001-09-09T01:46:40Z", 1_000_000_000),
        ("2001-09-09 03:46:40.25+02:00", 1_000_000_000_250),
        ("2001-09-09", 999_993_600),
    ],
)
def test_a_time_keeps_its_full_precision(tmp_path, monkeypatch, way, written, tick):
    choose_way(monkeypatch, way)
    path = write(tmp_path / "log.csv", f"user,item,time\n1,2,{written}\n")
    _, _, times = read(path)
    assert times == [tick]


@pytest.mark.parametrize("way", WAYS)
def test_numbers_and_dates_in_one_column_are_an_error_with_a_line(tmp_path, monkeypatch, way):
    choose_way(monkeypatch, way)
    monkeypatch.setattr(careful, "ROWS_AT_ONCE", 2)
    rows = "1,2,5\n1,3,6\n1,4,7\n1,5,2020-01-01\n"
    with pytest.raises(DataError, match="line 5: "):
        read(write(tmp_path / "log.csv", "user,item,time\n" + rows))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("word", ["null", "Undefined", "none", "n/a"])
def test_a_word_that_may_be_a_name_is_no_id_among_integers(tmp_path, monkeypatch, way, word):
    choose_way(monkeypatch, way)
    path = file_of_users(tmp_path / "log.csv", ["7", word, "12.0"])
    with pytest.raises(DataError, match=rf"line 3: the user is missing \({word}\)"):
        read(path)
    users, _, _ = read(file_of_users(tmp_path / "log.csv", ["7", word, "x"]))
    assert users == ["7", word, "x"]


@pytest.mark.parametrize("way", WAYS)
def test_seconds_and_milliseconds_in_one_column_are_refused(tmp_path, monkeypatch, way):
    choose_way(monkeypatch, way)
    rows = "1,2,1500012228\n1,3,1500012229000\n"
    path = write(tmp_path / "log.csv", "user,item,time\n" + rows)
    with pytest.raises(DataError, match="line 3: the timestamp 1500012229000 seems to count milli"):
        read(path)
    small = write(tmp_path / "log.csv", "user,item,time\n" + rows + "1,4,5\n")
    assert read(small)[2] == [1500012228, 1500012229000, 5]
