"""What is longer, wider or larger than the readers take is refused, or read another way."""

import pytest
from reader_files import choose_way, read, write

from minirec.data.readers import json_records, read_interactions_file, sequences
from minirec.data.readers import lines as lines_of_file
from minirec.errors import DataError


def test_a_line_without_an_end_is_refused_before_it_fills_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(lines_of_file, "LONGEST_LINE", 1 << 20)
    path = write(tmp_path / "log.csv", "user,item\n1," + "2" * (1 << 20))
    with pytest.raises(DataError, match=r"log\.csv, line 2: the line is longer than 1 MiB"):
        read(path)


def test_a_json_array_that_is_too_large_is_to_become_lines(tmp_path, monkeypatch):
    path = write(tmp_path / "log.json", '[{"user": 1, "item": 2}]')
    assert read(path)[:2] == ([1], [2])
    monkeypatch.setattr(json_records, "LARGEST_ARRAY", 10)
    with pytest.raises(DataError, match=r"log\.json: one JSON array of .*jq -c"):
        read(path)


def test_a_json_line_that_is_no_object_is_named(tmp_path):
    path = write(tmp_path / "log.json", '{"user": 1, "item": 2}\n5\n')
    with pytest.raises(DataError, match=r"log\.json, line 2: not a JSON object"):
        read(path)


def test_sequences_too_large_to_be_read_at_once_are_the_same(tmp_path, monkeypatch):
    path = write(tmp_path / "log.txt", "1 2 3\n4 5\n")
    at_once = read(path)
    monkeypatch.setattr(sequences, "LARGEST_AT_ONCE", 1)
    assert read(path) == at_once == ([1, 1, 4], [2, 3, 5], None)


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
@pytest.mark.parametrize("way", ["fast", "careful"])
def test_a_header_without_rows_is_an_error(tmp_path, monkeypatch, way, end):
    choose_way(monkeypatch, way)
    with pytest.raises(DataError, match=r"log\.csv is empty below its header"):
        read(write(tmp_path / "log.csv", "user,item" + end))


def test_of_many_fields_an_error_shows_the_first_twelve(tmp_path):
    names = [f"f{number}" for number in range(20)]
    with pytest.raises(DataError, match=r"'f0', 'f1', .*'f11' \.\.\."):
        read(write(tmp_path / "log.csv", ",".join(names)))


def test_of_a_role_and_a_filter_only_the_missing_one_is_named(tmp_path):
    path = write(tmp_path / "log.csv", "who,item,event\n1,2,buy\n")
    with pytest.raises(DataError, match="nothing for the user among 'who', 'item', 'event'"):
        read(path, where={"event": "buy"})


def test_a_name_cannot_be_found_in_a_single_row_without_a_header(tmp_path):
    path = write(tmp_path / "log.csv", "1,2\n")
    with pytest.raises(DataError, match="line 1: nothing for the item, 'sku', among '1', '2'"):
        read(path, {"user": 0, "item": "sku"})


def test_without_a_request_the_usual_names_are_recognised(tmp_path):
    log = read_interactions_file(write(tmp_path / "log.csv", "item,user\n1,2\n"))
    assert list(log.users) == [2]
