"""The fast way finds in any file exactly what the careful way finds, and reads what is plain."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reader_files import (
    WRITERS,
    choose_way,
    forbid_the_careful_way,
    lines,
    logs,
    numbers,
    outcomes,
    read,
    words,
    write,
)

from minirec.data.datasets import load_file
from minirec.data.readers import engine
from minirec.errors import DataError

pytestmark = pytest.mark.slow

DAMAGES = [
    b"",
    b"\n",
    b"\r\n",
    b"\r",
    b" ",
    b",",
    b"\t",
    b":",
    b'"',
    b"-",
    b"0",
    b".",
    b"x",
    b"\xe9",
    b"+",
    b"::",
    b",,",
    b"NA",
    b"nan",
    b"e3",
    b"5e2",
    b"1_0",
    b"True",
    b"'",
    b"#",
    b"\\",
    b"\0",
    b"\v",
    b"\x1a",
    b"\xef\xbb\xbf",
    b"9" * 19,
    "٣".encode(),
    "\u2028".encode(),
]


@settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["ratings.dat", "u.data", "log.inter", "log.csv", "notes.csv", "log.txt"]),
    rows=logs(numbers) | logs(words),
    data=st.data(),
)
def test_the_fast_way_reads_a_damaged_file_exactly_as_the_careful_way_does(
    tmp_path, monkeypatch, name, rows, data
):
    text = lines("{} {} {}", rows) if name == "log.txt" else WRITERS[name](rows)
    damaged = bytearray(text.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(damaged)))
        n_replaced = data.draw(st.integers(0, 2))
        damaged[start : start + n_replaced] = data.draw(st.sampled_from(DAMAGES))

    fast, careful = outcomes(monkeypatch, write(tmp_path / name, bytes(damaged)))
    assert fast == careful


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("\t\nuser\titem\n1\t2\n", [1]),
        ("  \nuser item\n1 2\n", [1]),
        ("\t\nuser:token\titem:token\n1\t2\n", [1]),  # separators alone above the header
        (f"user,item\n1,{'a' * 131_072}\n", [1]),
        (f"user,item,note\n1,2,{'a' * 131_073}\n", [1]),
        ("\u00a0\n1 2\n", [1]),
        (f"user,item,timestamp\n1,2,{'0' * 4301}\n", [1]),
    ],
)
def test_both_ways_agree_about_odd_lines(tmp_path, monkeypatch, text, wanted):
    fast, careful = outcomes(monkeypatch, write(tmp_path / "log.csv", text))
    assert fast == careful
    if isinstance(wanted, str):
        assert wanted in careful
    else:
        _, (users, _, _), _ = careful
        assert users == wanted


@pytest.mark.parametrize("user, item", [(12, 34), ("ann", "tv-1"), (12, "tv-1")])
@pytest.mark.parametrize("name", ["ratings.dat", "u.data", "log.inter", "log.csv"])
def test_a_plain_file_takes_the_fast_way(tmp_path, monkeypatch, name, user, item):
    forbid_the_careful_way(monkeypatch)
    path = write(tmp_path / name, WRITERS[name]([(user, item, 5)] * 3))
    users, items, times = read(path)
    assert users == [user] * 3
    assert items == [item] * 3
    assert times == [5] * 3


def test_ids_that_only_begin_as_integers_take_the_fast_way_too(tmp_path, monkeypatch):
    forbid_the_careful_way(monkeypatch)
    text = WRITERS["log.csv"]([(12, 34, 5), ("ann", 34, 5)])
    users, _, _ = read(write(tmp_path / "log.csv", text))
    assert users == ["12", "ann"]


def test_plain_sequence_lines_take_the_fast_way(tmp_path, monkeypatch):
    forbid_the_careful_way(monkeypatch)
    path = write(tmp_path / "log.txt", "1 2 3\r\n4 5\t6\n7 8")
    users, items, _ = read(path)
    assert users == [1, 1, 4, 4, 7]
    assert items == [2, 3, 5, 6, 8]


@pytest.mark.parametrize(
    "odd",
    [
        "7,8,9",
        "ann,8,9",
        "007,8,9",
        "7,8,9.5",
        "7,8,x",
        "7,,9",
        "7,8",
        "7,8,9,1",
        "7, 8,9",
        f"{2**63},8,9",
        "\n7,8,9",
        "7,8,",
    ],
)
@pytest.mark.parametrize("usual", ["1,2,3", "ann,tv-1,3"])
def test_one_odd_row_far_down_makes_no_difference_between_the_ways(
    tmp_path, monkeypatch, usual, odd
):
    # So far down that pandas, which reads in pieces, meets it in a later one.
    text = "user,item,time\n" + f"{usual}\n" * 200_000 + f"{odd}\n"
    fast, careful = outcomes(monkeypatch, write(tmp_path / "log.csv", text))
    assert fast == careful


@pytest.mark.parametrize(
    "text",
    [
        "1 2\r3 4\n",
        "1 2 \n",
        "1  2\n",
        " 1 2\n",
        "1 2\n3\n",
        "1 2\n\n3 4\n",
        "1 2\t\n",
        "1 02\n",
        "1 2,3\n",
        "1 2\v3\n",
        "1 1e3\n 2\n",
        "1 2\n3 4 5",
    ],
)
def test_odd_sequence_lines_make_no_difference_between_the_ways(tmp_path, monkeypatch, text):
    fast, careful = outcomes(monkeypatch, write(tmp_path / "log.txt", text))
    assert fast == careful


@pytest.mark.parametrize(
    "rows",
    [
        "1,2,3\n1,2,3,4\n5,6\n7,8,9\n",
        "a,b,3\nc,d\n\n",
        "a,b,3\nc,d\n\n\n",
        "a,b,c\nd,e,\nf,g,h,\n",
        "1,1e3,5\n1,2,3\n\n1,2,3\n",
        "1,2,3\n1,2,1e3\n01,2,3\n",
    ],
)
def test_damages_that_even_out_are_noticed(tmp_path, monkeypatch, rows):
    for header in ("user,item,time", "user,item,note"):
        fast, careful = outcomes(monkeypatch, write(tmp_path / "log.csv", f"{header}\n{rows}"))
        assert fast == careful


def test_ids_beyond_64_bits_that_are_read_as_times_are_an_error_either_way(tmp_path, monkeypatch):
    path = write(tmp_path / "log.csv", f"a,b,c\n1,1,{10**19}\n2,2,{10**19 + 1}\n")
    columns = {"user": "a", "item": "b", "timestamp": "c"}
    for way in ("fast", "careful"):
        choose_way(monkeypatch, way)
        with pytest.raises(DataError, match=r"line 2: the timestamp .* is too large"):
            read(path, columns)


EVENTS = [(user, item, time) for user, item in [(2, 7), (1, 9), (2, 8)] for time in (5, 3, 5)]


@pytest.mark.parametrize("name", ["log.csv", "log.txt"])
def test_a_log_sorted_outside_of_memory_is_the_same_log(tmp_path, monkeypatch, name):
    text = "user,item,time\n" if name == "log.csv" else "user,item\n"
    for user, item, time in EVENTS * 20:
        text += f"{user},{item},{time}\n" if name == "log.csv" else f"{user},{item}\n"
    path = str(write(tmp_path / name, text))
    forbid_the_careful_way(monkeypatch)
    in_memory = load_file(path)
    monkeypatch.setattr(engine, "ROWS_SORTED_OUTSIDE", 0)
    outside = load_file(path)
    assert outside.fingerprint == in_memory.fingerprint
    assert outside.n_duplicates == in_memory.n_duplicates
    assert np.array_equal(outside.user_ids, in_memory.user_ids)
    if name == "log.csv":
        assert outside.timestamps.tolist() == in_memory.timestamps.tolist()


@pytest.mark.parametrize(
    "rows",
    [
        "1,2,\n3,4,\n",  # the last field is empty in every row
        "1,2,\n3,4,x\n",
        '1,2,"x"\n3,"4","y, z"\n',
    ],
)
def test_empty_and_quoted_fields_take_the_fast_way_where_rows_are_whole(
    tmp_path, monkeypatch, rows
):
    forbid_the_careful_way(monkeypatch)
    path = write(tmp_path / "log.csv", "user,item,note\n" + rows)
    assert read(path)[:2] == ([1, 3], [2, 4])


def test_dates_take_the_fast_way(tmp_path, monkeypatch):
    forbid_the_careful_way(monkeypatch)
    rows = "1,2,2017-07-14 06:03:48.5\n1,3,2017-07-14 06:03:47\n"
    path = write(tmp_path / "log.csv", "user,item,date\n" + rows)
    assert read(path)[2] == [1500012228500, 1500012227000]


def test_line_ends_of_windows_take_the_fast_way_however_the_bytes_are_cut(tmp_path, monkeypatch):
    forbid_the_careful_way(monkeypatch)
    path = write(tmp_path / "log.csv", "user,item\r\n1,2\r\n3,4\r\n")
    for n_bytes in (1, 2, 3, 4):
        monkeypatch.setattr(engine, "BYTES_AT_ONCE", n_bytes)
        assert read(path)[:2] == ([1, 3], [2, 4])


def test_without_polars_large_tables_are_read_carefully(tmp_path, monkeypatch):
    choose_way(monkeypatch, "fast")
    monkeypatch.setitem(sys.modules, "polars", None)  # an import of it fails
    assert read(write(tmp_path / "log.csv", "user,item\n1,2\n"))[:2] == ([1], [2])


def test_sequences_and_the_planted_set_need_no_polars():
    code = (
        "import sys; sys.modules['polars'] = None; import minirec; "
        "print(minirec.load_dataset('planted').n_users)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "3000\n"


@pytest.mark.parametrize(
    "field", [r'"a \"b\" c"', '"a" b', '5" disk', '"say ""b"" so"', '""', '"a"']
)
@pytest.mark.parametrize("at_once", [1, 2, 3, 1 << 24])
def test_quotes_inside_a_field_make_no_difference_between_the_ways(
    tmp_path, monkeypatch, field, at_once
):
    monkeypatch.setattr(engine, "BYTES_AT_ONCE", at_once)
    text = "user,item,note\n" + f"1,2,x\n3,4,{field}\n" * 3
    fast, careful = outcomes(monkeypatch, write(tmp_path / "log.csv", text))
    assert fast == careful
