"""What train prints can be run: the next command, whatever the ids are and the terminal shows."""

import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

import minirec
from minirec.cli import main, shared

ROOT = Path(__file__).resolve().parents[2]

ITEMS = {
    "negative": [-114, -112, -104, -7, -1],
    "two items": ["a", "b"],
    "one item": ["only"],
    "seven items": [1, 2, 3, 4, 5, 6, 7],
    "decimals": [0.125, -2.5, 1e22],
    "beyond 2^53": [2**53, 2**53 + 1, 2**53 + 2],
    "unicode, commas and quotes": [
        "café",
        "日本, 東京",
        '"π" r²',
        "o'k",
        "😀",
        "null",
        "$HOME `x`",
    ],
    "dashes": ["-", "--k", "-x,y", "--", "-1e5"],
    "blanks": [" a", "b ", "c  d", " e "],
    "signs": ["a=b", "a\\b", "#", "*", "~", "!", "%s"],
    "500 characters": [f"{letter * 500}, {letter}" for letter in "abcd"],
    "leading zeros": ["007", "7", "07"],
}


def frame_of(items):
    """Six users, each of whom chooses four items in a row."""
    users = [user for user in range(6) for _ in range(4)]
    chosen = [items[(user + step) % len(items)] for user in range(6) for step in range(4)]
    return pd.DataFrame({"user": users, "item": chosen, "timestamp": range(24)})


@pytest.fixture
def of_frame(monkeypatch):
    """Let train take a frame for what --data names."""

    def take(frame):
        data = minirec.Interactions.from_frame(frame)
        monkeypatch.setattr(shared, "load_file", lambda *args, **how: data)

    return take


def suggested(printed):
    """The words behind `python -m minirec` of the printed next command, as a shell splits them."""
    (line,) = re.findall(r"^next +python -m minirec (.+)$", printed, re.MULTILINE)
    return shlex.split(line)


@pytest.mark.parametrize("items", ITEMS.values(), ids=ITEMS)
def test_the_next_command_recommends_from_the_first_users_items(cli, of_frame, tmp_path, items):
    of_frame(frame_of(items))
    trained = cli("train --model last-item --data x", out=tmp_path / "a model.pt")
    assert trained.status == 0
    words = suggested(trained.out)
    listed = cli("", *words)
    assert listed.status == 0
    assert "unknown" not in listed.out
    assert "most popular" not in listed.out

    rows = cli("", *words, "--json").json()
    assert len(rows) == min(10, len(set(items)))
    assert {str(row["item"]) for row in rows} == {str(item) for item in items}
    typed = minirec.load_model(tmp_path / "a model.pt")
    expected = minirec.recommend(typed, [(items * 3)[:3]], 10)
    assert [row["score"] for row in rows] == expected["score"].tolist()


def test_an_item_that_cannot_be_typed_is_left_out_of_the_next_command(cli, of_frame, tmp_path):
    of_frame(frame_of(["good", "\x1b[2J", "a\nb", "x" * 10_000, "fine"]))
    words = suggested(cli("train --model last-item --data x", out=tmp_path / "m.pt").out)
    assert words[2] == "--history=good"
    assert cli("", *words).status == 0


def test_others_stand_in_where_none_of_the_first_items_can_be_typed(cli, of_frame, tmp_path):
    of_frame(frame_of(["\x1b[2J", "a\nb", "\u202eabc", "fine"]))
    words = suggested(cli("train --model last-item --data x", out=tmp_path / "m.pt").out)
    assert words[2] == "--history=fine"
    listed = cli("", *words)
    assert listed.status == 0
    assert "unknown" not in listed.out


def test_where_no_item_can_be_typed_the_history_is_empty(cli, of_frame, tmp_path):
    of_frame(frame_of(["\x1b[2J", "a\nb", "\x00c"]))
    words = suggested(cli("train --model last-item --data x", out=tmp_path / "m.pt").out)
    assert words[2] == "--history="
    assert "the most popular items" in cli("", *words).out


def test_a_file_whose_name_begins_with_a_dash_can_be_used(cli, log_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trained = cli("train --model last-item --out=-m.pt", data=log_file)
    assert cli("", *suggested(trained.out)).status == 0


def test_foreign_ids_reach_a_terminal_harmlessly_and_json_as_they_are(cli, of_frame, tmp_path):
    items = ["\x1b[2Jwiped", "a\nb", "y" * 500, "\u202eabc", "fine"]
    of_frame(frame_of(items))
    out = tmp_path / "m.pt"
    trained = cli("train --model last-item --data x --log", out=out)
    listed = cli("recommend", out, "--history", "fine,\x1b[2Jtyped")
    for printed in (trained, listed):
        assert printed.status == 0
        assert printed.out.replace("\n", "").isprintable()
    assert "\\x1b[2Jwiped" in listed.out
    assert "y" * 80 + "..." in listed.out
    assert "y" * 81 not in listed.out
    assert max(map(len, listed.out.splitlines())) < 120

    rows = cli("recommend --json --history fine", out).json()
    assert {row["item"] for row in rows} == set(items)


def test_a_complete_history_is_told_that_nothing_is_left(cli, log_file, tmp_path):
    cli("train --model last-item", data=log_file, out=tmp_path / "m.pt")
    everything = "ant,bee,cat,dog,eel,fox,gnu,hen"
    words = ["--exclude-seen", "--history", everything, "--history", "ant,bee"]
    listed = cli("recommend", tmp_path / "m.pt", *words)
    assert listed.status == 0
    assert f"history 1: {everything}   (all items are in it" in listed.out
    assert len(listed.out.splitlines()) == 1 + 1 + 1 + 6


def odd_file(folder):
    """A log of items that many a terminal cannot show."""
    path = folder / "odd.csv"
    names = ["日本", "café", "😀", "π r²", "plain"]
    lines = [f"{user},{names[(user + step) % 5]},{step}" for user in range(6) for step in range(5)]
    path.write_text("user,item,timestamp\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp437", "shift_jis"])
def test_a_terminal_that_cannot_show_the_ids_stops_nothing(monkeypatch, tmp_path, encoding):
    def printed_by(*words):
        terminal = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        monkeypatch.setattr(sys, "stdout", terminal)
        assert main([str(word) for word in words]) == 0
        return terminal.buffer.getvalue().decode(encoding)

    data = odd_file(tmp_path)
    words = ["--model", "last-item", "--log", "--out", tmp_path / "m.pt"]
    trained = printed_by("train", "--data", data, *words)
    listed = printed_by(*suggested(trained))
    assert "unknown" not in listed
    assert "most popular" not in listed
    assert "\\U0001f600" in listed


@pytest.mark.slow
def test_a_process_whose_terminal_cannot_show_the_ids_ends_well(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "cp1252"}

    def printed_by(*words):
        done = subprocess.run(
            [sys.executable, "-m", "minirec", *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            encoding="cp1252",
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    odd_file(tmp_path)
    trained = printed_by("train", "--data", "odd.csv", "--model", "last-item", "--log")
    listed = printed_by(*suggested(trained))
    assert "\\u65e5\\u672c" in listed


def test_a_stream_without_an_encoding_is_printed_to_as_it_is(monkeypatch, capsys):
    class Plain:
        """As an embedding program may put in place of stdout."""

        def __init__(self):
            self.text = ""

        def write(self, text):
            self.text += text

        def flush(self):
            pass

    plain = Plain()
    monkeypatch.setattr(sys, "stdout", plain)
    assert main(["datasets", "--json"]) == 0
    assert "planted" in [row["name"] for row in json.loads(plain.text)]


SHORT_OF_MEMORY = {
    "python": MemoryError(),
    "numpy": MemoryError("Unable to allocate 3.0 TiB for an array"),
    "torch": RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory\nat line 1"),
    "gpu": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3 GiB\nmore"),
}


@pytest.mark.parametrize("error", SHORT_OF_MEMORY.values(), ids=SHORT_OF_MEMORY)
def test_want_of_memory_is_said_in_words_with_a_way_out(cli, log_file, monkeypatch, error):
    def refuse(*args, **how):
        raise error

    monkeypatch.setattr(minirec, "fit", refuse)
    printed = cli("train --model last-item", data=log_file, out=log_file.parent / "m.pt")
    assert printed.status == 1
    assert printed.err.startswith("error: not enough memory; ")
    assert "--batch-size" in printed.err
    assert str(error).partition("\n")[0] in printed.err
    assert len(printed.err.splitlines()) == 1


@pytest.mark.parametrize("error", [RuntimeError("a shape is wrong"), ValueError("no such thing")])
def test_other_errors_do_not_speak_of_memory(cli, log_file, monkeypatch, error):
    def refuse(*args, **how):
        raise error

    monkeypatch.setattr(minirec, "fit", refuse)
    printed = cli("train --model last-item", data=log_file, out=log_file.parent / "m.pt")
    assert printed.err == f"error: {error}\n"
