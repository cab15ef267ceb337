"""Files for the tests of the readers: written in every format, and read in both ways."""

import gzip
import json

from hypothesis import strategies as st

from minirec.data.readers import Request
from minirec.data.readers import file as door
from minirec.errors import DataError

# From how many bytes on the fast way is tried.
WAYS = {"fast": 0, "careful": 1 << 60}


def no_number(word):
    return not word.strip("-").isdecimal()


numbers = st.integers(0, 10**9)
words = st.text("abcXYZ019_-é水", min_size=1, max_size=6).filter(no_number)
seconds = st.integers(0, 2 * 10**9)


def logs(ids):
    """Rows of (user, item, time)."""
    return st.lists(st.tuples(ids, ids, seconds), min_size=1, max_size=30)


def write(path, content):
    """Write text or bytes, packed if the name ends in .gz; return the path."""
    if isinstance(content, str):
        content = content.encode()
    if path.suffix == ".gz":
        content = gzip.compress(content)
    path.write_bytes(content)
    return path


def lines(template, rows):
    return "".join(template.format(user, item, time) + "\n" for user, item, time in rows)


def ratings_dat(rows):
    return lines("{}::{}::4::{}", rows)


def u_data(rows):
    return lines("{}\t{}\t4\t{}", rows)


def json_lines(rows):
    text = ""
    for user, item, time in rows:
        record = {"asin": item, "overall": 5.0, "reviewerID": user, "unixReviewTime": time}
        text += json.dumps(record) + "\n"
    return text


def recbole_inter(rows):
    header = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    return header + lines("{}\t{}\t4.0\t{}.0", rows)


def csv_with_the_time_first(rows):
    return "timestamp,userId,movieId\n" + lines("{2},{0},{1}", rows)


def csv_with_notes(rows):
    text = "item,user,timestamp,note\n"
    for user, item, time in rows:
        note = "abc"[time % 3]
        text += f"{item},{user},{time},{note}\n"
    return text


def tsv_with_quotes(rows):
    return "user\ttitle\titem\ttime\n" + lines('{}\t"a ""b"""\t{}\t{}', rows)


# The text of rows in each format, by the name of a file that holds it.
WRITERS = {
    "ratings.dat": ratings_dat,
    "u.data": u_data,
    "reviews.json": json_lines,
    "log.inter": recbole_inter,
    "log.csv": csv_with_the_time_first,
    "notes.csv": csv_with_notes,
    "log.tsv": tsv_with_quotes,
}


def choose_way(monkeypatch, way):
    """Try the fast way on every file, or on none."""
    monkeypatch.setattr(door, "FAST_BYTES", WAYS[way])


def forbid_the_careful_way(monkeypatch):
    """Try the fast way on every file; what it does not read is an error of the test."""
    choose_way(monkeypatch, "fast")
    monkeypatch.delattr(door, "_read_carefully")


def read(path, columns=None, where=None, trusted=False):
    """What stands in a file: users, items and times, as lists; None for no times."""
    request = columns if isinstance(columns, str) else Request(columns, where or {})
    log = door.read_interactions_file(path, request, trusted)
    times = None if log.timestamps is None else log.timestamps.tolist()
    return list(log.users), list(log.items), times


def read_as(path, columns=None, where=None):
    """Which fields of a file are read, in words."""
    request = columns if isinstance(columns, str) else Request(columns, where or {})
    return door.read_interactions_file(path, request).read_as


def outcomes(monkeypatch, path, columns=None, where=None):
    """What each of the two ways finds in a file: all it says, or the words of its error."""
    found = []
    for way in WAYS:
        choose_way(monkeypatch, way)
        try:
            columns_found = read(path, columns, where)
        except DataError as error:
            found.append(str(error))
        else:
            kinds = [type(values[0]) for values in columns_found if values]
            found.append((kinds, columns_found, read_as(path, columns, where)))
    return found
