"""One log, written in the ways in which logs come, is read as the same histories, in order."""

import bz2
import datetime
import gzip
import io
import json
import lzma
import random
import zipfile

import pytest
from reader_files import WAYS, choose_way

from minirec.data.datasets import load_file

BEGIN = 1_500_000_000
UTC = datetime.UTC


def shuffled_rows():
    """(user, item, seconds): unlike moments, all of a user's within a few seconds, in no order."""
    generator = random.Random(3)
    rows = []
    for user in range(1, 25):
        for step in range(6):
            item = 100 + generator.randrange(15)
            rows.append((user, item, BEGIN + 1000 * user + step * 0.25))
    generator.shuffle(rows)
    return rows


ROWS = shuffled_rows()


def histories(rows):
    """user -> items, oldest first, by Python's sort."""
    found = {}
    for user, item, _ in sorted(rows, key=lambda row: row[2]):
        found.setdefault(str(user), []).append(str(item))
    return found


def moment(seconds):
    return datetime.datetime.fromtimestamp(seconds, UTC)


def table(template, header="", rows=ROWS):
    """Rows by a template that may use user, item, time (seconds), date and ms."""
    text = header
    for user, item, time in rows:
        text += template.format(
            user=user, item=item, time=time, ms=round(time * 1000), date=moment(time)
        )
    return text


BY_POSITION = {"user": 0, "item": 2, "timestamp": 1}

# name of the file, its text, and how it is to be read.
DRESSES = {
    "seconds with fractions": ("log.csv", table("{user},{item},{time}\n", "user,item,time\n"), {}),
    "milliseconds": ("log.csv", table("{user},{item},{ms}\n", "userId,itemId,timestamp\n"), {}),
    "microseconds": ("log.tsv", table("{user}\t{item}\t{ms}000\n", "uid\titem\tts\n"), {}),
    "nanoseconds": ("log.csv", table("{ms}000000;{user};{item}\n", "ts;User ID;Item ID\n"), {}),
    "exponents": (
        "log.inter",
        table("{user}\t{item}\t{time:.12e}\n", "user_id:token\titem_id:token\ttimestamp:float\n"),
        {},
    ),
    "ISO 8601, Z": (
        "log.csv",
        table("{user},{item},{date:%Y-%m-%dT%H:%M:%S.%fZ}\n", "user,item,date\n"),
        {},
    ),
    "a blank and no zone": (
        "log.csv",
        table("{user},{item},{date:%Y-%m-%d %H:%M:%S.%f}\n", "user,item,created_at\n"),
        {},
    ),
    "the suffix UTC": (
        "log.csv",
        table("{user},{item},{date:%Y-%m-%d %H:%M:%S.%f} UTC\n", "user,item,event_time\n"),
        {},
    ),
    "an offset": (
        "log.csv",
        table("{user},{item},{date:%Y-%m-%d %H:%M:%S.%f}+00:00\n", "user,item,datetime\n"),
        {},
    ),
    "no header": ("log.csv", table("{user},{time},{item},4.0\n"), {"columns": BY_POSITION}),
    "no header, tabs": (
        "log",
        table("{user}\t{date:%Y-%m-%dT%H:%M:%S.%fZ}\t{item}\tx y\n"),
        {"columns": BY_POSITION},
    ),
    "blanks and a comment": (
        "out.net",
        table("{user} {time} {item}\n", "% bip\n"),
        {"columns": BY_POSITION},
    ),
    "quotes and CRLF": (
        "log.csv",
        table('"{user}";"{item}";"{time}"\r\n', '"user";"item";"time"\r\n'),
        {},
    ),
    "Excel": (
        "log.csv",
        "\ufeffsep=;\r\n" + table("{user};{item};{time}\r\n", "user;item;time\r\n"),
        {},
    ),
    "an unread column": (
        "log.csv",
        table("{user},{item},a,{time},\n", "user_id,item_id,note,time,more\n"),
        {},
    ),
    "floats as ids": ("log.csv", table("{user}.0,{item}.0,{time}\n", "user,item,time\n"), {}),
    "words as ids": ("log.csv", table("u{user},i{item},{time}\n", "user,item,time\n"), {}),
    "other events beside": (
        "events.csv",
        table("{user},{item},{time},buy\n{item},{user},{time},view\n", "user,item,time,event\n"),
        {"where": {"event": "buy"}},
    ),
    "JSON lines": (
        "log.jsonl",
        "".join(
            json.dumps({"reviewerID": u, "asin": "?", "parent_asin": i, "timestamp": t}) + "\n"
            for u, i, t in ROWS
        ),
        {},
    ),
    "JSON array": (
        "log.json",
        json.dumps(
            [
                {"user_id": u, "business_id": str(i), "date": moment(t).isoformat()}
                for u, i, t in ROWS
            ],
            indent=1,
        ),
        {},
    ),
}


def found(path, options):
    """user -> items, oldest first, without the letters that words have before their number."""
    data = load_file(str(path), **options)
    histories_found = {}
    for user, raw in enumerate(data.user_ids):
        items = [str(data.item_ids[item - 1]).lstrip("i") for item in data.sequence(user)]
        histories_found[str(raw).lstrip("u")] = items
    assert data.read_as.startswith("user = ")
    assert "time = " in data.read_as
    return histories_found


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name, text, options", DRESSES.values(), ids=DRESSES)
def test_the_histories_are_the_same(tmp_path, monkeypatch, way, name, text, options):
    choose_way(monkeypatch, way)
    path = tmp_path / name
    path.write_bytes(text.encode())
    assert found(path, options) == histories(ROWS)


def zipped(content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("export/README.txt", "what this is")
        archive.writestr("export/interactions.csv", content)
    return file.getvalue()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "name, pack",
    [
        ("log.csv.gz", gzip.compress),
        ("log.csv.bz2", bz2.compress),
        ("log.csv.xz", lzma.compress),
        ("log.zip", zipped),
    ],
)
def test_the_histories_are_the_same_when_packed(tmp_path, monkeypatch, way, name, pack):
    choose_way(monkeypatch, way)
    path = tmp_path / name
    _, text, options = DRESSES["seconds with fractions"]
    path.write_bytes(pack(text.encode()))
    assert found(path, options) == histories(ROWS)
