"""Whatever a file holds, it is read or refused in words: no other error, and no half-read log."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reader_files import WAYS, WRITERS, choose_way, logs, numbers, read, words

from minirec.errors import DataError

pytestmark = pytest.mark.slow

NAMES = ["log.csv", "log.txt", "log.json", "log.inter", "u.data", "ratings.dat", "log.csv.gz", "x"]

# Pieces that files are made of, in which readers have stumbled.
PIECES = [
    "user,item,timestamp\n",
    "user\titem\n",
    "user_id:token\titem_id:token\n",
    '{"user": 1, "item": "2", "time": 3}\n',
    '[{"user": 1, "item": 2}]',
    "{'user': 1}\n",
    "1,2,3\n",
    "1::2::3::4\n",
    "1\t2\t3\t881250949\n",
    "1 2 3\n",
    "a b 4.0 2017-07-14\n",
    "sep=;\n",
    "% comment\n",
    "NULL,NaN,None\n",
    "\n",
    "\r",
    '"',
    ",",
    "\ufeff",
    "\0",
    "9" * 400,
    "-1e999",
    "2017-07-14T06:03:48Z",
    "\x1b[2J",
    "水",
]

ANY_COLUMNS = st.sampled_from(
    [None, "sequences", {"user": 0, "item": 1}, {"user": 0, "item": 1, "timestamp": 2}]
)


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    name=st.sampled_from(NAMES),
    content=st.binary(max_size=200) | st.lists(st.sampled_from(PIECES), max_size=12),
    columns=ANY_COLUMNS,
    way=st.sampled_from(list(WAYS)),
)
def test_any_content_is_read_or_refused_in_words(
    tmp_path, monkeypatch, name, content, columns, way
):
    choose_way(monkeypatch, way)
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else "".join(content).encode())
    read_or_refused(path, columns)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    name=st.sampled_from(sorted(WRITERS)),
    rows=logs(numbers) | logs(words),
    place=st.floats(0, 1),
    piece=st.sampled_from(PIECES) | st.binary(max_size=3),
    way=st.sampled_from(list(WAYS)),
)
def test_a_log_with_something_put_into_it_is_read_or_refused_in_words(
    tmp_path, monkeypatch, name, rows, place, piece, way
):
    choose_way(monkeypatch, way)
    content = WRITERS[name](rows).encode()
    at = int(place * len(content))
    piece = piece if isinstance(piece, bytes) else piece.encode()
    path = tmp_path / name
    path.write_bytes(content[:at] + piece + content[at:])
    read_or_refused(path, None)


def read_or_refused(path, columns):
    try:
        users, items, times = read(path, columns)
    except DataError as error:
        assert str(error).isprintable()
        assert len(str(error)) < 1500
    else:
        assert len(users) == len(items) > 0
        assert times is None or len(times) == len(users)
