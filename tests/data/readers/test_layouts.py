"""Lines are read as the table or the sequences that they are, or refused with a way to say so."""

import pytest
from reader_files import WAYS, choose_way, read, read_as, write

from minirec.errors import DataError

ROWS = [(6, 100, 1500012228), (10, 102, 1500041553), (23, 107, 1500032845)] * 5
USERS = [6, 10, 23] * 5
ITEMS = [100, 102, 107] * 5
TIMES = [1500012228, 1500041553, 1500032845] * 5


def table(template, header=""):
    return header + "".join(template.format(*row) + "\n" for row in ROWS)


@pytest.mark.parametrize(
    "text, advice",
    [
        (table("{} {} {}", "cust prod when\n"), "user=0,item=1,timestamp=2"),
        (table("{} {} 4 {}", "u_id i_id rating t\n"), "user=0,item=1,timestamp=3"),
        (table("{} {}", "person thing\n"), "user=0,item=1"),
        (table("{2} {0} {1}"), "user=1,item=2,timestamp=0"),
        (table("{0} {2} {1}"), "user=0,item=2,timestamp=1"),
    ],
)
def test_a_table_between_blanks_is_refused_with_columns_that_read_it(tmp_path, text, advice):
    path = write(tmp_path / "log.txt", text)
    with pytest.raises(DataError, match=rf"looks like a table of .*--columns {advice}\)"):
        read(path)
    columns = {}
    for pair in advice.split(","):
        role, position = pair.split("=")
        columns[role] = int(position)
    users, items, times = read(path, columns)
    assert users == USERS
    assert items == ITEMS
    assert times == (TIMES if "timestamp" in columns else None)


@pytest.mark.parametrize(
    "text, separator",
    [
        ("Export\n" + table("{},{},2017-07-14 06:03:48", "user,item,time\n"), "','"),
        ("Export of 2020\n\n" + table("{}\t{}\t{}", "user\titem\ttime\n"), r"'\\t'"),
        ("1:\n" + table("{},{},2005-09-06 10:00:00"), "','"),
        (table("{}^{}^2017-07-14 06:03:48", "user^item^time\n"), r"'\^'"),
        (table("{}\x01{}\x01{}"), r"'\\x01'"),
    ],
)
def test_rows_that_the_first_line_does_not_announce_are_no_sequences(tmp_path, text, separator):
    path = write(tmp_path / "log.csv", text)
    with pytest.raises(
        DataError, match=f"line 1: .*the lines below are fields between {separator}"
    ):
        read(path)


def test_sequences_some_of_which_hold_a_comma_are_still_sequences(tmp_path):
    path = write(tmp_path / "log.txt", "ann x y\nbob x,1 z\ncid y\ndan z x\n")
    users, items, _ = read(path)
    assert users == ["ann", "ann", "bob", "bob", "cid", "dan", "dan"]
    assert items == ["x", "y", "x,1", "z", "y", "z", "x"]


@pytest.mark.parametrize("first", ["", "user item date clock\n", "user item date\n"])
def test_a_time_that_blanks_part_in_two_is_refused(tmp_path, first):
    path = write(tmp_path / "log.txt", table("{} {} 2017-07-14 06:03:48", first))
    columns = {"user": 0, "item": 1, "timestamp": 2}
    with pytest.raises(DataError, match=r"read as '2017-07-14' without '06:03:48'"):
        read(path, columns)


def test_between_blanks_quotes_are_no_part_of_an_id(tmp_path):
    path = write(tmp_path / "log.txt", table('"u {}"  "i{}" {} '))
    users, items, times = read(path, {"user": 0, "item": 1, "timestamp": 2})
    assert users == [f"u {user}" for user in USERS]
    assert items == [f"i{item}" for item in ITEMS]
    assert times == TIMES


@pytest.mark.parametrize("way", WAYS)
def test_a_quote_may_stand_behind_a_separator_and_a_blank(tmp_path, monkeypatch, way):
    choose_way(monkeypatch, way)
    path = write(tmp_path / "log.csv", table('"u,{}", "i{}", {}', '"user", "item", "time"\n'))
    users, items, times = read(path)
    assert users == [f"u,{user}" for user in USERS]
    assert items == [f"i{item}" for item in ITEMS]
    assert times == TIMES


@pytest.mark.parametrize(
    "columns", [{"user": 0, "item": 1}, {"user": 0, "item": 1, "timestamp": 3}]
)
def test_numbers_between_blanks_and_tabs_are_one_field_each(tmp_path, columns):
    # So are the files of KONECT: blanks between user and item, tabs before weight and time.
    path = write(tmp_path / "out.net", table("{} {}\t1\t{}", "% bip weighted\n"))
    users, items, _ = read(path, columns)
    assert users == USERS
    assert items == ITEMS


@pytest.mark.parametrize("way", WAYS)
def test_unusual_names_above_numbers_are_no_row(tmp_path, monkeypatch, way):
    choose_way(monkeypatch, way)
    path = write(tmp_path / "log.csv", table("{},{}", "who,what\n"))
    users, items, _ = read(path, {"user": 0, "item": 1})
    assert users == USERS
    assert items == ITEMS
    assert "column 'who'" in read_as(path, {"user": 0, "item": 1})


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["my_ratings.dat", "u.data", "log.dat"])
@pytest.mark.parametrize("separator", ["\t", "::", ","])
def test_a_header_counts_whatever_the_name_of_the_file(tmp_path, monkeypatch, way, name, separator):
    choose_way(monkeypatch, way)
    header = separator.join(["user_id", "item_id", "rating", "timestamp"]) + "\n"
    path = write(tmp_path / name, table(separator.join(["{}", "{}", "4", "{}"]), header))
    assert read(path) == (USERS, ITEMS, TIMES)


@pytest.mark.parametrize(
    "columns",
    [{"user": 0, "item": 0}, {"user": "a", "item": "a"}, {"user": 0, "item": 1, "timestamp": 1}],
)
def test_one_field_for_two_roles_is_refused(tmp_path, columns):
    path = write(tmp_path / "log.csv", table("{},{},{}", "a,b,c\n"))
    with pytest.raises(DataError, match="the same one twice"):
        read(path, columns)


@pytest.mark.parametrize("name", ["user_id", "item_id", "time"])
def test_of_two_fields_with_one_name_none_is_chosen(tmp_path, name):
    path = write(tmp_path / "log.csv", table("{},{},{},9", f"user_id,item_id,time,{name}\n"))
    with pytest.raises(DataError, match=rf"line 1: several fields are called '{name}'"):
        read(path)
    assert read(path, {"user": 0, "item": 1, "timestamp": 2}) == (USERS, ITEMS, TIMES)


@pytest.mark.parametrize(
    "text, message",
    [
        (
            '{"data": [{"user": 1, "item": 2}]}',
            r"""in the list 'data' .*jq -c '\.\["data"\]\[\]'""",
        ),
        ('{\n "user": 1,\n "item": 2\n}\n', r"line 1: a JSON object on several lines.*jq -c"),
        ('{"user": null, "item": 2}', "'user' must be a string or a number, and is null"),
        ('{"user": 1, "item": [2]}', "'item' must be a string or a number, and is a list"),
        ("-- MySQL dump 10.13\nINSERT INTO t VALUES (1, 2);\n", "dump of a SQL database"),
        ("--\n-- PostgreSQL database dump\n--\n", "dump of a SQL database"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:4d\n", "pointer of Git LFS"),
    ],
)
def test_records_that_are_not_one_per_line_are_told_how_to_become_so(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read(write(tmp_path / "log.json", text))
