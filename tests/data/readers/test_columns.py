"""Ids are integers only if all are written as integers are; times are whole seconds, exactly."""

import numpy as np
import pytest
from reader_files import WAYS, choose_way, write

from minirec.data.readers import read_interactions_file


def file_of_users(path, users):
    return write(path, "user,item\n" + "".join(f"{user},1\n" for user in users))


@pytest.mark.parametrize("way", WAYS)
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
def test_ids_that_are_not_all_ordinary_integers_stay_as_written(tmp_path, monkeypatch, way, ids):
    choose_way(monkeypatch, way)
    users, _, _ = read_interactions_file(file_of_users(tmp_path / "log.csv", ids))
    assert users.tolist() == ids


@pytest.mark.parametrize("way", WAYS)
def test_integer_ids_fill_the_whole_of_int64(tmp_path, monkeypatch, way):
    choose_way(monkeypatch, way)
    ids = [2**63 - 1, -(2**63), 0, -1, 10**18 - 1, 10**18]
    users, _, _ = read_interactions_file(file_of_users(tmp_path / "log.csv", ids))
    assert users.dtype == np.int64
    assert users.tolist() == ids


@pytest.mark.parametrize("way", WAYS)
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
def test_a_timestamp_is_its_whole_second_exactly(tmp_path, monkeypatch, way, written, second):
    choose_way(monkeypatch, way)
    path = write(tmp_path / "log.csv", f"user,item,time\n1,2,{written}\n")
    _, _, times = read_interactions_file(path)
    assert times.dtype == np.int64
    assert times.tolist() == [second]
