"""Readers: every format gives back what was written into it; everything amiss is one error that names file and line."""

import gzip
import json
import stat
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minirec.data.readers import file as formats
from minirec.data.readers import read_interactions_file
from minirec.errors import DataError

WAYS = {"fast": 0, "careful": 1 << 60}  # from how many bytes on the fast way is tried
numbers = st.integers(0, 10**9)
words = st.text("abcXYZ019_-é水", min_size=1, max_size=6).filter(
    lambda word: not word.strip("-").isdecimal()
)
seconds = st.integers(0, 2 * 10**9)


def logs(ids):
    return st.lists(st.tuples(ids, ids, seconds), min_size=1, max_size=30)


def write(path, content):
    content = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def lines(template, rows):
    return "".join(template.format(user, item, time) + "\n" for user, item, time in rows)


def json_lines(rows):
    return "".join(
        json.dumps({"asin": item, "overall": 5.0, "reviewerID": user, "unixReviewTime": time})
        + "\n"
        for user, item, time in rows
    )


WRITERS = {
    "ratings.dat": lambda rows: lines("{}::{}::4::{}", rows),
    "u.data": lambda rows: lines("{}\t{}\t4\t{}", rows),
    "reviews.json": json_lines,
    "log.inter": lambda rows: (
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
        + lines("{}\t{}\t4.0\t{}.0", rows)
    ),
    "log.csv": lambda rows: (
        "timestamp,userId,movieId\n"
        + "".join(f"{time},{user},{item}\n" for user, item, time in rows)
    ),
    "notes.csv": lambda rows: (
        "item,user,timestamp,note\n"
        + "".join(f"{item},{user},{time},{'abc'[time % 3]}\n" for user, item, time in rows)
    ),
    "log.tsv": lambda rows: (
        "user\ttitle\titem\ttime\n"
        + "".join(f'{user}\t"a ""b"""\t{item}\t{time}\n' for user, item, time in rows)
    ),
}


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    monkeypatch.setattr(formats, "FAST_BYTES", WAYS[request.param])


@pytest.mark.parametrize("packing", ["", ".gz"])
@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=logs(numbers) | logs(words))
def test_a_file_gives_back_the_rows_written_into_it(tmp_path, way, name, packing, rows):
    users, items, times = read_interactions_file(
        write(tmp_path / f"{name}{packing}", WRITERS[name](rows))
    )
    assert list(zip(users.tolist(), items.tolist(), times.tolist())) == rows


@pytest.mark.parametrize("packing", ["", ".gz"])
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sequences=st.lists(st.tuples(numbers, st.lists(numbers, min_size=1)), min_size=1, max_size=10)
    | st.lists(st.tuples(words, st.lists(words, min_size=1)), min_size=1, max_size=10)
)
def test_sequence_lines_give_an_interaction_for_each_item_in_file_order(
    tmp_path, way, packing, sequences
):
    text = "".join(f"{user} {' '.join(map(str, items))}\n" for user, items in sequences)
    users, items, times = read_interactions_file(write(tmp_path / f"log.txt{packing}", text))
    assert list(zip(users.tolist(), items.tolist())) == [
        (user, item) for user, items in sequences for item in items
    ]
    assert times is None


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


def outcomes(monkeypatch, path):
    """What each of the two ways finds in a file: types and values of its columns, or the words of its error."""
    found = []
    for least in WAYS.values():
        monkeypatch.setattr(formats, "FAST_BYTES", least)
        try:
            found.append(
                [
                    None if column is None else (type(column), column.dtype.kind, column.tolist())
                    for column in read_interactions_file(path)
                ]
            )
        except DataError as error:
            found.append(str(error))
    return found


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
        at = data.draw(st.integers(0, len(damaged)))
        damaged[at : at + data.draw(st.integers(0, 2))] = data.draw(st.sampled_from(DAMAGES))
    fast, careful = outcomes(monkeypatch, write(tmp_path / name, bytes(damaged)))
    assert fast == careful


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("\t\nuser\titem\n1\t2\n", [1]),
        ("  \nuser item\n1 2\n", [1]),
        ("\t\nuser:token\titem:token\n1\t2\n", [1]),  # separators alone above the header
        (f"user,item\n1,{'a' * 131_072}\n", [1]),
        (f"user,item\n1,{'a' * 131_073}\n", "too long"),
        (f"user,item,note\n1,2,{'a' * 131_073}\n", "too long"),
        ("\u00a0\n1 2\n", "has no item"),
        (f"user,item,timestamp\n1,2,{'0' * 4301}\n", [1]),
    ],
)
def test_both_ways_agree_about_odd_lines(tmp_path, monkeypatch, text, wanted):
    fast, careful = outcomes(monkeypatch, write(tmp_path / "log.csv", text))
    assert fast == careful
    assert wanted in careful if isinstance(wanted, str) else careful[0][2] == wanted


@pytest.mark.parametrize("user, item", [(12, 34), ("ann", "tv-1"), (12, "tv-1")])
@pytest.mark.parametrize("name", ["ratings.dat", "u.data", "log.inter", "log.csv"])
def test_a_plain_file_takes_the_fast_way(tmp_path, monkeypatch, name, user, item):
    monkeypatch.setattr(formats, "FAST_BYTES", 0)
    monkeypatch.delattr(formats, "columns_of")
    users, items, times = read_interactions_file(
        write(tmp_path / name, WRITERS[name]([(user, item, 5)] * 3))
    )
    assert (users.tolist(), items.tolist(), times.tolist()) == ([user] * 3, [item] * 3, [5] * 3)


def test_ids_that_only_begin_as_integers_take_the_fast_way_too(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "FAST_BYTES", 0)
    monkeypatch.delattr(formats, "columns_of")
    users, _, _ = read_interactions_file(
        write(tmp_path / "log.csv", WRITERS["log.csv"]([(12, 34, 5), ("ann", 34, 5)]))
    )
    assert users.tolist() == ["12", "ann"]


def test_plain_sequence_lines_take_the_fast_way(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "FAST_BYTES", 0)
    monkeypatch.delattr(formats, "columns_of")
    users, items, _ = read_interactions_file(write(tmp_path / "log.txt", "1 2 3\r\n4 5\t6\n7 8"))
    assert (users.tolist(), items.tolist()) == ([1, 1, 4, 4, 7], [2, 3, 5, 6, 8])


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
    fast, careful = outcomes(
        monkeypatch,
        write(tmp_path / "log.csv", "user,item,time\n" + f"{usual}\n" * 200_000 + f"{odd}\n"),
    )  # pandas reads in pieces
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


@pytest.mark.parametrize(
    "ids",
    [
        ["007", "12"],
        ["1.0", "2"],
        ["+5", "6"],
        ["1e3", "4"],
        ["9223372036854775808", "1"],
        ["١٢", "3"],
        ["-0", "1"],
        ["9" * 5_000, "1"],
    ],
)
def test_ids_that_are_not_all_ordinary_integers_stay_as_written(tmp_path, way, ids):
    users, _, _ = read_interactions_file(
        write(tmp_path / "log.csv", "user,item\n" + "".join(f"{user},1\n" for user in ids))
    )
    assert users.tolist() == ids


def test_integer_ids_fill_the_whole_of_int64(tmp_path, way):
    ids = [2**63 - 1, -(2**63), 0, -1, 10**18 - 1, 10**18]
    users, _, _ = read_interactions_file(
        write(tmp_path / "log.csv", "user,item\n" + "".join(f"{user},1\n" for user in ids))
    )
    assert users.dtype == np.int64 and users.tolist() == ids


@pytest.mark.parametrize(
    "written, second",
    [
        ("9007199254740993", 2**53 + 1),
        ("9223372036854775807", 2**63 - 1),
        ("-5", -5),
        ("978300760.9", 978300760),
        ("-1.5", -2),
        ("9007199254740993.75", 2**53 + 1),
        ("8.8125e8", 881250000),
        (" 12 ", 12),
        ("007", 7),
    ],
)
def test_a_timestamp_is_its_whole_second_exactly(tmp_path, way, written, second):
    _, _, times = read_interactions_file(
        write(tmp_path / "log.csv", f"user,item,time\n1,2,{written}\n")
    )
    assert times.dtype == np.int64 and times.tolist() == [second]


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
    found = read_interactions_file(
        write(tmp_path / "log.csv", f"{header}\n{separator.join('123')}\n")
    )
    assert [column.tolist() for column in found] == [[1], [2], [3]]


@pytest.mark.parametrize(
    "name, text",
    [
        ("log.csv", "when,who,what\n3,1,2\n"),
        ("log.json", '{"who": 1, "what": "2", "when": 3.5}\n'),
        ("log.inter", "who:token\twhat:token\twhen:float\n1\t2\t3\n"),
    ],
)
def test_columns_with_other_names_are_found_by_the_names_given(tmp_path, name, text):
    found = read_interactions_file(
        write(tmp_path / name, text), {"user": "who", "item": "what", "timestamp": "when"}
    )
    assert [column.tolist() for column in found] == [[1], [2], [3]]


@pytest.mark.parametrize("separator", [",", "\t"])
def test_an_unnamed_first_column_is_passed_over(tmp_path, separator):
    text = "\n".join(separator.join(fields) for fields in (["", "user", "item"], ["0", "1", "2"]))
    assert [
        column.tolist() for column in read_interactions_file(write(tmp_path / "log.tsv", text))[:2]
    ] == [[1], [2]]


def test_naming_columns_without_a_timestamp_reads_no_times(tmp_path):
    path = write(tmp_path / "log.csv", "user,item,timestamp\n1,2,n/a\n")
    assert read_interactions_file(path, {"user": "user", "item": "item"})[2] is None


def test_a_quoted_field_may_hold_the_separator_and_line_ends(tmp_path, way):
    users, items, _ = read_interactions_file(
        write(tmp_path / "log.csv", 'user,item\n"a, b","c\nd"\n')
    )
    assert (users.tolist(), items.tolist()) == (["a, b"], ["c\nd"])


def test_the_mark_of_utf8_and_windows_line_ends_are_no_part_of_the_data(tmp_path, way):
    users, items, _ = read_interactions_file(
        write(tmp_path / "log.csv", b"\xef\xbb\xbfuser,item\r\n1,2\r\n\r\n3,4\r\n")
    )
    assert (users.tolist(), items.tolist()) == ([1, 3], [2, 4])


@pytest.mark.parametrize(
    "member, text",
    [
        ("ml-1m/ratings.dat", "1::2::5::3\n"),
        ("ml-100k/u.data", "1\t2\t5\t3\n"),
        ("ml-25m/ratings.csv", "userId,movieId,rating,timestamp\n1,2,5.0,3\n"),
    ],
)
def test_the_ratings_are_found_inside_a_zip(tmp_path, member, text):
    with zipfile.ZipFile(tmp_path / "ml.zip", "w") as archive:
        archive.writestr("ml/README", "something else")
        archive.writestr(member, text)
    assert [column.tolist() for column in read_interactions_file(tmp_path / "ml.zip")] == [
        [1],
        [2],
        [3],
    ]


@pytest.mark.parametrize(
    "member",
    [
        "../ratings.dat",
        "ml/../../ratings.dat",
        "/etc/ratings.dat",
        "C:/ratings.dat",
        "C:ratings.dat",
        "..\\ratings.dat",
        "ml/link",
    ],
)
def test_a_zip_with_a_member_that_leaves_its_folder_is_refused(tmp_path, member):
    with zipfile.ZipFile(tmp_path / "ml.zip", "w") as archive:
        archive.writestr("ml/ratings.dat", "1::2::5::3\n")
        entry = zipfile.ZipInfo("placeholder")
        entry.filename = member
        entry.external_attr = (stat.S_IFLNK if member == "ml/link" else stat.S_IFREG) << 16
        archive.writestr(entry, "1::2::5::3\n")
    with pytest.raises(DataError, match="refused, because its member"):
        read_interactions_file(tmp_path / "ml.zip")


HEADER = "user,item,rating,timestamp\n"
MANY = "1,2,3,4\n" * 4_216
BAD = {
    "empty": ("log.csv", "", "log.csv is empty"),
    "blank": ("log.csv", " \n\n \t\n", "log.csv is empty"),
    "header only": ("log.csv", HEADER + "\n", "log.csv is empty below its header"),
    "time no number": (
        "log.csv",
        HEADER + MANY + "1,2,3,n/a\n",
        "log.csv, line 4,218: the timestamp 'n/a' is not a number",
    ),
    "after blank lines": (
        "log.csv",
        "\n" + HEADER + "\n\n1,2,3,x\n",
        "log.csv, line 5: the timestamp 'x' is not a number",
    ),
    "after a two-line field": (
        "log.csv",
        'user,item\n"a\nb",1\nc,\n',
        "log.csv, line 4: the item is missing",
    ),
    "time missing": ("log.csv", HEADER + "1,2,3,\n", "log.csv, line 2: the timestamp is missing"),
    "time not finite": (
        "log.csv",
        HEADER + "1,2,3,nan\n",
        "log.csv, line 2: the timestamp 'nan' is not a number",
    ),
    "time with underscores": (
        "log.csv",
        HEADER + "1,2,3,1_000\n",
        "log.csv, line 2: the timestamp '1_000' is not a number",
    ),
    "time too large": (
        "log.csv",
        HEADER + "1,2,3,9e99\n",
        "log.csv, line 2: the timestamp 9e99 is too large",
    ),
    "time far too large": (
        "log.csv",
        HEADER + f"1,2,3,{'9' * 5_000}\n",
        "log.csv, line 2: the timestamp 9999999999",
    ),
    "user missing": (
        "log.csv",
        HEADER + "1,2,3,4\n,2,3,4\n",
        "log.csv, line 3: the user is missing",
    ),
    "item blank": ("log.csv", HEADER + "1, ,3,4\n", "log.csv, line 2: the item is missing"),
    "short row": (
        "log.csv",
        HEADER + "1,2,3,4\n1,2\n",
        "log.csv, line 3: 2 fields where there should be 4",
    ),
    "long row": (
        "log.csv",
        HEADER + "1,2,3,4,5\n",
        "log.csv, line 2: 5 fields where there should be 4",
    ),
    "short row of ratings": (
        "ratings.dat",
        "1::2::3::4\n1::2::3\n",
        "ratings.dat, line 2: 3 fields where there should be 4",
    ),
    "line end within": (
        "u.data",
        "1\t2\t3\t4\n1\t2\t3\r\t4\n",
        "u.data, line 2: 3 fields where there should be 4",
    ),
    "open quote": (
        "log.csv",
        HEADER + '1,"2,3,4\n5,6,7,8\n',
        "log.csv, line 2: the quotes do not match up",
    ),
    "latin-1": (
        "log.csv",
        (HEADER + "1,2,3,4\ncafé,2,3,4\n").encode("latin-1"),
        "log.csv, line 3: the byte 0xe9 is not UTF-8",
    ),
    "latin-1 elsewhere": (
        "log.csv",
        (HEADER + "1,2,é,4\n").encode("latin-1"),
        "log.csv, line 2: the byte 0xe9 is not UTF-8",
    ),
    "utf-16": ("log.csv", HEADER.encode("utf-16"), "log.csv, line 1: the byte 0xff is not UTF-8"),
    "no item column": (
        "log.csv",
        "user,sku,timestamp\n1,2,3\n",
        "log.csv, line 1: nothing for the item among 'user', 'sku', 'timestamp'",
    ),
    "no header": (
        "log.csv",
        "1,2,3\n4,5,6\n",
        "log.csv, line 1: nothing for the user and the item among '1', '2', '3'",
    ),
    "lonely user": ("log.txt", "1 2 3\n\n4\n", "log.txt, line 3: the user '4' has no item"),
    "lonely user and a blank": (
        "log.txt",
        "1 2 3\n4 \n",
        "log.txt, line 2: the user '4' has no item",
    ),
    "half a json line": (
        "log.json",
        '{"user": 1, "item": 2}\n{"user": 1,\n',
        "log.json, line 2: not a JSON object",
    ),
    "json list": ("log.json", '[{"user": 1, "item": 2}]\n', "log.json, line 1: not a JSON object"),
    "json key missing": (
        "log.json",
        '{"user": 1, "item": 2}\n\n{"user": 1}\n',
        "log.json, line 3: the key 'item' is missing",
    ),
    "json keys unknown": (
        "log.json",
        '{"who": 1, "item": 2}\n',
        "log.json, line 1: nothing for the user among 'who', 'item'",
    ),
    "json null": (
        "log.json",
        '{"user": null, "item": 2}\n',
        "log.json, line 1: 'user' must be a string or a number",
    ),
    "json time": (
        "log.json",
        '{"user": 1, "item": 2, "time": "noon"}\n',
        "log.json, line 1: the timestamp 'noon' is not a number",
    ),
    "not gzip": ("log.csv.gz", None, "log.csv.gz is not a gzip file, despite its name"),
    "zip of nothing": (
        "ml.zip",
        b"PK\x05\x06" + bytes(18),
        "ml.zip holds no ratings.dat, u.data or ratings.csv",
    ),
    "broken zip": ("ml.zip", b"PK\x03\x04" + bytes(40), "ml.zip: the zip file cannot be unpacked"),
}


@pytest.mark.parametrize("packing", ["", ".gz"])
@pytest.mark.parametrize("name, content, message", BAD.values(), ids=BAD.keys())
def test_bad_input_is_one_error_that_names_file_and_line(
    tmp_path, way, name, content, message, packing
):
    if content is None or name.endswith(".zip"):
        (tmp_path / name).write_bytes(content or b"user,item\n1,2\n")
        packing = ""
    else:
        write(tmp_path / f"{name}{packing}", content)
    with pytest.raises(DataError) as caught:
        read_interactions_file(tmp_path / f"{name}{packing}")
    assert message.replace(name, f"{name}{packing}") in str(caught.value)


def test_the_missing_column_is_named_as_it_was_asked_for(tmp_path):
    path = write(tmp_path / "log.csv", "who,what\n1,2\n")
    with pytest.raises(DataError, match="line 1: nothing for the item, 'sku', among 'who', 'what'"):
        read_interactions_file(path, {"user": "who", "item": "sku"})


@pytest.mark.parametrize("columns", [{"user": "a"}, {"user": "a", "item": "b", "rating": "c"}, {}])
def test_columns_name_user_and_item_and_perhaps_timestamp(tmp_path, columns):
    with pytest.raises(DataError, match="columns must name 'user' and 'item'"):
        read_interactions_file(write(tmp_path / "log.csv", "a,b,c\n1,2,3\n"), columns)


@pytest.mark.parametrize("damage", ["cut", "flip", "garbage after"])
def test_a_damaged_gzip_is_an_error_that_names_it(tmp_path, damage):
    packed = bytearray(
        gzip.compress(
            lines(
                "{}::{}::4::{}", [(user, user * 7 % 1000, 10**9 + user) for user in range(3_000)]
            ).encode()
        )
    )
    if damage == "cut":
        del packed[len(packed) // 2 :]
    elif damage == "flip":
        packed[len(packed) // 2] ^= 0xFF
    else:
        packed += b"garbage"
    (tmp_path / "ratings.dat.gz").write_bytes(packed)
    with pytest.raises(DataError, match="ratings.dat.gz: the gzip file is cut short or damaged"):
        read_interactions_file(tmp_path / "ratings.dat.gz")


def test_a_damaged_member_of_a_zip_is_an_error_that_names_the_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "ml.zip", "w") as archive:
        archive.writestr("ml/ratings.dat", "1::2::5::3\n")
    content = (tmp_path / "ml.zip").read_bytes()
    (tmp_path / "ml.zip").write_bytes(content.replace(b"1::2::5::3", b"1::2::5::4"))
    with pytest.raises(DataError, match="ml.zip: the zip file cannot be unpacked .*CRC"):
        read_interactions_file(tmp_path / "ml.zip")


def test_a_folder_is_an_error_that_says_which_file_to_pass(tmp_path):
    write(tmp_path / "README", "what this is\n")
    write(tmp_path / "ratings.dat", "1::2::5::3\n")
    with pytest.raises(
        DataError, match="is a folder; pass the file inside it, such as .*ratings.dat"
    ):
        read_interactions_file(tmp_path)


def test_a_file_that_is_not_there_is_an_error_that_names_it(tmp_path):
    with pytest.raises(DataError, match="nowhere.csv cannot be read: No such file"):
        read_interactions_file(tmp_path / "nowhere.csv")
