"""Which fields are read is asked for by name or position, said in words, never guessed wrong."""

import pytest
from reader_files import WAYS, choose_way, outcomes, read, read_as, write

from minirec.errors import DataError

ROWS = [(6, 100, 4, 1500012228), (10, 102, 1, 1500041553), (23, 107, 5, 1500032845)] * 10


def table(separator, rows=ROWS, header=""):
    return header + "".join(separator.join(map(str, row)) + "\n" for row in rows)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("separator", [",", "\t", ";", "|", "::", " ", "   "])
def test_a_table_without_a_header_is_read_by_position(tmp_path, monkeypatch, way, separator):
    choose_way(monkeypatch, way)
    path = write(tmp_path / "log", table(separator))
    users, items, times = read(path, {"user": 0, "item": 1, "timestamp": 3})
    assert list(zip(users, items, times, strict=True)) == [(u, i, t) for u, i, _, t in ROWS]


@pytest.mark.parametrize("way", WAYS)
def test_a_header_above_columns_asked_for_by_position_is_no_row(tmp_path, monkeypatch, way):
    choose_way(monkeypatch, way)
    path = write(tmp_path / "log.csv", table(",", header="who,what,stars,when\n"))
    users, _, times = read(path, {"user": 0, "item": 1, "timestamp": 3})
    assert len(users) == len(ROWS)
    assert times[0] == 1500012228


def test_comments_above_the_rows_are_passed_over_where_columns_are_given(tmp_path):
    text = "% bip weighted\n# by hand\n" + table(" ")
    users, items, _ = read(write(tmp_path / "out.net", text), {"user": 0, "item": 1})
    assert (users[0], items[0], len(users)) == (6, 100, len(ROWS))


@pytest.mark.parametrize("position", [4, -1, 99])
def test_a_position_that_is_not_there_is_an_error_that_shows_the_fields(tmp_path, position):
    path = write(tmp_path / "log.csv", table(","))
    with pytest.raises(DataError, match=r"line 1: nothing for the item, .*among '6', '100', '4'"):
        read(path, {"user": 0, "item": position})


@pytest.mark.parametrize("lines", [1, 5])
def test_a_table_without_a_header_and_without_columns_is_told_about_positions(tmp_path, lines):
    path = write(tmp_path / "log.csv", table(",", ROWS[:lines]))
    with pytest.raises(DataError, match=r"--columns user=0,item=1,timestamp=3"):
        read(path)


@pytest.mark.parametrize(
    "rows",
    [
        ROWS,
        ROWS[:1],
        [(u, i, f"{r}.0") for u, i, r, _ in ROWS],
        [(u, i, r) for u, i, r, _ in ROWS],
        [(f"user{u}", f"B{i}", "2017-07-14") for u, i, _, _ in ROWS],
        [(u, i, t * 1000) for u, i, _, t in ROWS],
    ],
)
def test_a_table_between_blanks_is_not_taken_for_sequences(tmp_path, rows):
    path = write(tmp_path / "log.txt", table(" ", rows))
    with pytest.raises(DataError, match=r"line 1: looks like a table of user item.*sequences"):
        read(path)


def test_sequences_that_look_like_a_table_can_be_said_to_be_sequences(tmp_path):
    path = write(tmp_path / "log.txt", table(" ", ROWS[:2]))
    users, items, times = read(path, "sequences")
    assert users == [6, 6, 6, 10, 10, 10]
    assert items == [100, 4, 1500012228, 102, 1, 1500041553]
    assert times is None


@pytest.mark.parametrize(
    "text",
    [
        "1 2 3 4\n5 6 7 8\n",
        "1 200 300\n2 300 200\n" * 20,
        "1 3 4\n2 5 1\n" * 20,  # every item is a small number
        "a b c d e f g h i j\n" * 5,
        "1 1500012228 1500041553\n2 1500041553 1500012228\n",  # every item is a large one
        "6 100\n10 102\n",
    ],
)
def test_sequences_of_equal_length_are_still_sequences(tmp_path, text):
    users, _, times = read(write(tmp_path / "log.txt", text))
    assert len(users) == sum(len(line.split()) - 1 for line in text.splitlines())
    assert times is None


@pytest.mark.parametrize("way", WAYS)
def test_users_without_an_item_are_left_out_and_counted(tmp_path, monkeypatch, way):
    choose_way(monkeypatch, way)
    for text in ("0 1 2\n1 3\n2 \n3\n", "0 1 b\n1 3\n2 \n3\n"):
        path = write(tmp_path / "train.txt", text)
        assert [str(user) for user in read(path)[0]] == ["0", "0", "1"]
        assert "2 users without an item left out" in read_as(path)


def test_excels_line_about_the_separator_is_no_header(tmp_path):
    path = write(tmp_path / "log.csv", "sep=;\nuser;item\n1;2,5\n")
    assert read(path)[:2] == ([1], ["2,5"])


def test_it_is_said_which_columns_were_taken(tmp_path):
    path = write(tmp_path / "events.csv", "timestamp,visitorid,event,itemid\n1433221332117,1,a,2\n")
    said = "user = column 'visitorid', item = column 'itemid', time = column 'timestamp'"
    assert read_as(path) == f"{said} (milliseconds)"


@pytest.mark.parametrize("name, value", [("when", "2017-07-14"), ("loggedOn", "1500012228")])
def test_a_column_that_looks_like_time_and_is_not_read_is_named(tmp_path, name, value):
    path = write(tmp_path / "log.csv", f"user,item,{name}\n1,2,{value}\n")
    for columns in (None, {"user": "user", "item": "item"}):
        said = read_as(path, columns)
        assert "no time column was read: the order of the file counts" in said
        assert f"not read: column '{name}', which looks like time" in said


@pytest.mark.parametrize("name", ["rating", "runtime", "update", "candidate", "phone"])
def test_other_columns_are_not_said_to_look_like_time(tmp_path, name):
    path = write(tmp_path / "log.csv", f"user,item,{name}\n1,2,117\n")
    assert "looks like time" not in read_as(path)


@pytest.mark.parametrize(
    "names, wanted",
    [
        (("asin", "parent_asin"), "parent_asin"),
        (("sessionId", "userId"), "userId"),
        (("User ID", "session"), "User ID"),
        (("date", "timestamp"), "timestamp"),
        (("event-time", "date"), "event-time"),
    ],
)
def test_of_two_usual_names_the_better_one_is_taken(tmp_path, names, wanted):
    others = {"asin": "user", "sessionId": "item", "User ID": "item"}.get(names[0], "user,item")
    for order in (names, names[::-1]):
        header = ",".join([others, *order])
        path = write(tmp_path / "log.csv", f"{header}\n{'5,' * header.count(',')}5\n")
        assert f"'{wanted}'" in read_as(path)


EVENTS = "user,event,item\n1,view,2\n1,buy,3\n2, buy,4\n2,view,5\n"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("column", ["event", 1])
def test_a_filter_reads_the_rows_that_hold_a_text(tmp_path, monkeypatch, way, column):
    choose_way(monkeypatch, way)
    path = write(tmp_path / "events.csv", EVENTS)
    assert read(path, where={column: "buy"}, columns={"user": 0, "item": 2})[:2] == ([1, 2], [3, 4])
    said = read_as(path, {"user": "user", "item": "item"}, {"event": "buy"})
    assert "2 of 4 rows passed the filter" in said


def test_a_filter_on_a_key_reads_the_records_that_hold_a_text(tmp_path):
    lines = '{"user": 1, "item": 2, "event": "view"}\n{"user": 1, "item": 3, "event": "buy"}\n'
    path = write(tmp_path / "log.json", lines)
    assert read(path, where={"event": "buy"})[:2] == ([1], [3])


@pytest.mark.parametrize("way", WAYS)
def test_a_filter_that_no_row_passes_is_an_error(tmp_path, monkeypatch, way):
    choose_way(monkeypatch, way)
    path = write(tmp_path / "events.csv", EVENTS)
    with pytest.raises(DataError, match="no row holds"):
        read(path, where={"event": "sale"})
    with pytest.raises(DataError, match="nothing for the filter on 'kind'"):
        read(path, where={"kind": "sale"})


def test_both_ways_agree_about_filtered_rows_with_an_error_in_them(tmp_path, monkeypatch):
    path = write(tmp_path / "events.csv", EVENTS + "3,view,NULL\n")
    fast, careful = outcomes(monkeypatch, path, None, {"event": "buy"})
    assert fast == careful
    assert "the item is missing" in outcomes(monkeypatch, path, None, {"event": "view"})[0]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("packing", ["", ".gz"])
def test_a_pattern_reads_several_files_as_one_log(tmp_path, monkeypatch, way, packing):
    choose_way(monkeypatch, way)
    write(tmp_path / f"2024-02.csv{packing}", "item,user,time\nx,007,5\n")
    write(tmp_path / f"2024-01.csv{packing}", "user,item,time\n7,y,2024-01-01\n".replace("7", "8"))
    with pytest.raises(DataError, match=r"2024-02\.csv"):  # numbers here, dates there
        read(tmp_path / "2024-*.csv*")
    write(tmp_path / f"2024-01.csv{packing}", "user,item,time\n8,y,4\n")
    assert read(tmp_path / "2024-*.csv*") == (["8", "007"], ["y", "x"], [4, 5])


@pytest.mark.parametrize("way", WAYS)
def test_an_error_in_one_of_several_files_names_that_file(tmp_path, monkeypatch, way):
    choose_way(monkeypatch, way)
    write(tmp_path / "a.csv", "user,item\n1,2\n")
    write(tmp_path / "b.csv", "user,item\n1,2\n1,\n")
    with pytest.raises(DataError, match=r"b\.csv, line 3: the item is missing"):
        read(tmp_path / "?.csv")


def test_files_of_one_log_that_offer_other_fields_are_refused(tmp_path):
    write(tmp_path / "a.csv", "user,item\n1,2\n")
    write(tmp_path / "b.csv", "session,item\n1,2\n")
    with pytest.raises(DataError, match="Files of one log need the same fields"):
        read(tmp_path / "?.csv")
    with pytest.raises(DataError, match="no file matches"):
        read(tmp_path / "*.tsv")
