"""Every format gives back what was written into it; what is amiss is an error with its line."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reader_files import WAYS, WRITERS, choose_way, logs, numbers, read, words, write

from minirec.errors import DataError


@pytest.mark.slow
@pytest.mark.parametrize("packing", ["", ".gz"])
@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=logs(numbers) | logs(words))
def test_a_file_gives_back_the_rows_written_into_it(
    tmp_path, monkeypatch, way, name, packing, rows
):
    choose_way(monkeypatch, way)
    path = write(tmp_path / f"{name}{packing}", WRITERS[name](rows))
    users, items, times = read(path)
    assert list(zip(users, items, times, strict=True)) == rows


def sequences_of(ids):
    """Lists of (user, items)."""
    return st.lists(st.tuples(ids, st.lists(ids, min_size=1)), min_size=1, max_size=10)


@pytest.mark.slow
@pytest.mark.parametrize("packing", ["", ".gz"])
@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequences=sequences_of(numbers) | sequences_of(words))
def test_sequence_lines_give_an_interaction_for_each_item_in_file_order(
    tmp_path, monkeypatch, way, packing, sequences
):
    choose_way(monkeypatch, way)
    text = "".join(f"{user} {' '.join(map(str, items))}\n" for user, items in sequences)
    users, items, times = read(write(tmp_path / f"log.txt{packing}", text))

    written = [(user, item) for user, items in sequences for item in items]
    assert list(zip(users, items, strict=True)) == written
    assert times is None


@pytest.mark.parametrize("way", WAYS)
def test_a_quoted_field_may_hold_the_separator_and_line_ends(tmp_path, monkeypatch, way):
    choose_way(monkeypatch, way)
    path = write(tmp_path / "log.csv", 'user,item\n"a, b","c\nd"\n')
    users, items, _ = read(path)
    assert users == ["a, b"]
    assert items == ["c\nd"]


@pytest.mark.parametrize("way", WAYS)
def test_the_mark_of_utf8_and_windows_line_ends_are_no_part_of_the_data(tmp_path, monkeypatch, way):
    choose_way(monkeypatch, way)
    path = write(tmp_path / "log.csv", b"\xef\xbb\xbfuser,item\r\n1,2\r\n\r\n3,4\r\n")
    users, items, _ = read(path)
    assert users == [1, 3]
    assert items == [2, 4]


@pytest.mark.parametrize("first", ["ann", "7"])
def test_the_mark_of_utf8_is_no_part_of_the_first_id(tmp_path, first):
    path = write(tmp_path / "log.txt", f"\ufeff{first} 1 2\nbob 3 4 5\n".encode())
    users, _, _ = read(path)
    assert users == [first, first, "bob", "bob", "bob"]


@pytest.mark.parametrize("text", ["1 02 3\n4 5 6\n", "1 5 6\n4 02 3 7\n"])
def test_a_leading_zero_stays_in_an_id_of_sequences(tmp_path, text):
    _, items, _ = read(write(tmp_path / "log.txt", text))
    assert sorted(items)[:2] == ["02", "3"]


@pytest.mark.parametrize("large", ["9223372036854775808", "99999999999999999999"])
def test_an_id_of_sequences_beyond_64_bits_keeps_its_digits(tmp_path, large):
    _, items, _ = read(write(tmp_path / "log.txt", f"1 {large} 3\n4 5 6 7\n"))
    assert items == [large, "3", "5", "6", "7"]


HEADER = "user,item,rating,timestamp\n"
MANY = "1,2,3,4\n" * 4_216

# What is wrong: the name of a file, its content, and words of the error.
BAD = {
    "empty": ("log.csv", "", "log.csv is empty"),
    "blank": ("log.csv", " \n\n \t\n", "log.csv is empty"),
    "header only": ("log.csv", HEADER + "\n", "log.csv is empty below its header"),
    "time no number": (
        "log.csv",
        HEADER + MANY + "1,2,3,n/a\n",
        "log.csv, line 4,218: the timestamp 'n/a' is neither a number",
    ),
    "after blank lines": (
        "log.csv",
        "\n" + HEADER + "\n\n1,2,3,x\n",
        "log.csv, line 5: the timestamp 'x' is neither a number",
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
        "log.csv, line 2: the timestamp is missing",
    ),
    "time with underscores": (
        "log.csv",
        HEADER + "1,2,3,1_000\n",
        "log.csv, line 2: the timestamp '1_000' is neither a number",
    ),
    "time too large": (
        "log.csv",
        HEADER + "1,2,3,9e99\n",
        "log.csv, line 2: the timestamp '9e99' is too large",
    ),
    "time far too large": (
        "log.csv",
        HEADER + f"1,2,3,{'9' * 5_000}\n",
        "log.csv, line 2: the timestamp '9999999999",
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
        "log.csv, line 3: in the user, the byte 0xe9 is not UTF-8",
    ),
    "utf-16": ("log.csv", HEADER.encode("utf-16"), "log.csv is UTF-16 text"),
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
    "lonely users": ("log.txt", "\n4\n5\n", "log.txt, line 2: the user '4' has no item"),
    "comment": ("log.txt", "% bip\n1 2\n", "log.txt, line 1: the file begins with a comment"),
    "half a json line": (
        "log.json",
        '{"user": 1, "item": 2}\n{"user": 1,\n',
        "log.json, line 2: not a JSON object",
    ),
    "json list of lists": ("log.json", "[[1, 2]]\n", "log.json, record 1: not a JSON object"),
    "json list, broken": ("log.json", '[{"user": 1},\n', "log.json: not a JSON array"),
    "json list of nothing": ("log.json", "[]\n", "log.json holds no record"),
    "python dicts": (
        "log.json",
        "{'user': 1, 'item': 2}\n",
        "log.json, line 1: not JSON but a Python dict",
    ),
    "json time in later records": (
        "log.json",
        '{"user": 1, "item": 2}\n{"user": 1, "item": 2, "time": 5}\n',
        "log.json, line 1: the key 'time' is missing, which",
    ),
    "json better item in later records": (
        "log.json",
        '{"user": 1, "asin": 2}\n{"user": 1, "asin": 2, "parent_asin": 5}\n',
        "log.json, line 1: the key 'parent_asin' is missing, which",
    ),
    "json NaN": (
        "log.json",
        '{"user": 1, "item": 2}\n{"user": NaN, "item": 2}\n',
        "log.json, line 2: the user is missing (NaN)",
    ),
    "lists of recbole": (
        "log.inter",
        "user_id:token\titem_id_list:token_seq\titem_id:token\n1\t1 2\t3\n",
        "log.inter, line 1: the field 'item_id_list:token_seq' is a list",
    ),
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
        "log.json, line 1: the timestamp 'noon' is neither a number",
    ),
    "not gzip": ("log.csv.gz", None, "log.csv.gz is not a gzip file, despite its name"),
    "broken zip": ("ml.zip", b"PK\x03\x04" + bytes(40), "ml.zip: the zip file cannot be unpacked"),
}


@pytest.mark.parametrize("packing", ["", ".gz"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name, content, message", BAD.values(), ids=BAD.keys())
def test_bad_input_is_one_error_that_names_file_and_line(
    tmp_path, monkeypatch, way, name, content, message, packing
):
    choose_way(monkeypatch, way)
    if content is None or name.endswith(".zip"):
        packing = ""
        path = tmp_path / name
        path.write_bytes(content or b"user,item\n1,2\n")
    else:
        path = write(tmp_path / f"{name}{packing}", content)

    with pytest.raises(DataError) as caught:
        read(path)
    assert message.replace(name, f"{name}{packing}") in str(caught.value)
