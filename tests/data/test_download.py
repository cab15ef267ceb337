"""Downloads, against a real local server that misbehaves.

The final name is the whole file or nothing, and the next attempt succeeds.
"""

import gzip
import hashlib
import io
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from minirec import DataError, load_dataset
from minirec.data import datasets
from minirec.storage import atomic_write

pytestmark = pytest.mark.slow

LINES = "".join(
    f"{user}::{item}::5::{10**9 + user * item}\n" for user in range(1, 41) for item in range(1, 31)
)
COUNTS = (40, 30, 1_200)


def movielens_zip():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("ml-1m/ratings.dat", LINES)
    return packed.getvalue()


def amazon_json():
    lines = []
    for line in LINES.split():
        user, item, _, time = line.split("::")
        record = {"reviewerID": user, "asin": item, "unixReviewTime": int(time)}
        lines.append(json.dumps(record) + "\n")
    return gzip.compress("".join(lines).encode())


class Server(ThreadingHTTPServer):
    """Serves `content`; `conduct` says how, request by request, the last for ever.

    `halfway` is set once half of it has gone out in a stall.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, content, name):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = content
        self.conduct = ["well"]
        self.requests = 0
        self.halfway = threading.Event()
        self.done = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}/{name}"

    def handle_error(self, request, client_address):
        """A client that goes away early is what some of these tests are about."""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.requests += 1
        conduct = server.conduct.pop(0) if len(server.conduct) > 1 else server.conduct[0]
        if conduct in ("404", "500"):
            return self.send_error(int(conduct))
        if conduct == "hangs up at once":
            return self.hang_up()

        self.send_response(200)
        if conduct not in ("half of unknown length", "well, of unknown length"):
            self.send_header("Content-Length", str(self.announced(conduct)))
        self.end_headers()
        self.wfile.write(self.body(conduct))
        if conduct == "hangs up halfway":
            self.hang_up()
        if conduct == "stalls":
            server.halfway.set()
            server.done.wait(30)

    def announced(self, conduct):
        n_bytes = len(self.server.content)
        if conduct == "announces too much":
            return n_bytes + 1_000
        if conduct == "announces too little":
            return n_bytes // 2
        return n_bytes

    def body(self, conduct):
        content = self.server.content
        middle = len(content) // 2
        if conduct in ("sends half", "hangs up halfway", "stalls", "half of unknown length"):
            return content[:middle]
        if conduct == "sends nothing":
            return b""
        if conduct == "sends a web page":
            return b"<html>Please log in</html>".ljust(len(content))
        if conduct == "flips a byte":
            return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        return content

    def hang_up(self):
        """The connection is reset rather than closed."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def log_message(self, *args):
        """Quiet."""


@pytest.fixture(params=["ml-1m", "beauty"])
def named(request, monkeypatch, tmp_path):
    """(name, its file, server): a MovieLens set, proved by its md5, an Amazon set, by counts."""
    monkeypatch.delenv("MINIREC_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(datasets, "TIMEOUT", 0.5)
    monkeypatch.setattr(datasets, "default_folder", lambda: tmp_path / "data")
    name = request.param
    known = datasets.NAMED_SETS[name]
    content = movielens_zip() if name == "ml-1m" else amazon_json()
    with Server(content, Path(known.url).name) as server:
        md5 = hashlib.md5(content).hexdigest() if known.md5 else None
        ours = replace(known, url=server.url, md5=md5, counts=COUNTS)
        monkeypatch.setitem(datasets.NAMED_SETS, name, ours)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield name, tmp_path / "data" / Path(known.url).name, server
        server.done.set()
        server.shutdown()
        thread.join()


FAILURES = {
    "404": "HTTP Error 404",
    "500": "HTTP Error 500",
    "hangs up at once": "",
    "hangs up halfway": "",
    "stalls": "timed out",
    "sends half": "the connection ended after",
    "sends nothing": "the connection ended after 0 of",
    "announces too much": "the connection ended after",
    "announces too little": "",
    "half of unknown length": "",
    "flips a byte": "",
    "sends a web page": "",
}


@pytest.mark.parametrize("conduct, reason", FAILURES.items(), ids=FAILURES.keys())
def test_after_a_failed_download_nothing_is_left_and_the_next_attempt_succeeds(
    named, conduct, reason
):
    name, file, server = named
    server.conduct = [conduct, "well"]
    with pytest.raises(DataError) as caught:
        load_dataset(name)
    assert reason in str(caught.value)
    assert list(file.parent.iterdir()) == []
    assert load_dataset(name).n_interactions == COUNTS[2]
    assert file.read_bytes() == server.content


def test_a_failed_download_says_the_source_and_what_to_do_by_hand(named):
    name, file, server = named
    server.conduct = ["404"]
    with pytest.raises(DataError) as caught:
        load_dataset(name)
    assert f"Download {server.url} by hand and put it at {file}." in str(caught.value)


def test_a_server_that_is_not_there_is_an_error_that_names_it(named):
    name, _, server = named
    server.shutdown()
    server.server_close()
    with pytest.raises(DataError, match=f"{server.url} could not be downloaded: .*refused"):
        load_dataset(name)


@pytest.mark.parametrize("conduct", ["well", "well, of unknown length"])
def test_what_is_downloaded_is_what_the_source_sent(named, conduct):
    name, file, server = named
    server.conduct = [conduct]
    data = load_dataset(name)
    assert file.read_bytes() == server.content
    assert (data.n_users, data.n_items, data.n_interactions) == COUNTS


def test_a_download_prints_its_licence_and_its_source(named, capsys):
    name, _, server = named
    load_dataset(name)
    printed = capsys.readouterr().out
    assert datasets.NAMED_SETS[name].licence in printed
    assert server.url in printed


def test_without_a_terminal_a_download_writes_nothing_to_stderr(named, capsys):
    load_dataset(named[0])
    assert capsys.readouterr().err == ""


def test_with_a_terminal_a_download_shows_its_progress(named, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    name, file, _ = named
    load_dataset(name)
    assert "100%" in terminal.getvalue()
    assert file.name in terminal.getvalue()


def test_a_second_load_downloads_nothing(named):
    name, _, server = named
    load_dataset(name)
    load_dataset(name)
    assert server.requests == 1


def test_a_download_goes_into_data_home_where_one_is_given(named, tmp_path):
    name, file, _ = named
    load_dataset(name, data_home=tmp_path / "mine")
    assert [found.name for found in (tmp_path / "mine").iterdir()] == [file.name]
    assert not file.parent.exists()


def test_download_false_asks_no_server_and_says_where_the_data_could_lie(named):
    name, file, server = named
    with pytest.raises(DataError, match=f"'{name}' is not in {file.parent}"):
        load_dataset(name, download=False)
    assert server.requests == 0


def test_leftovers_of_earlier_downloads_do_no_harm(named):
    name, file, server = named
    file.parent.mkdir()
    leftovers = [file.with_name(f"{file.name}.part"), file.with_name(f".{file.name}.0a1b2c3d.part")]
    for leftover in leftovers:
        leftover.write_bytes(server.content[:100] * 1_000)
    assert load_dataset(name).n_interactions == COUNTS[2]
    assert file.read_bytes() == server.content


def test_a_download_that_holds_other_data_than_announced_is_not_kept(named, monkeypatch):
    name, file, _ = named
    known = datasets.NAMED_SETS[name]
    other = replace(known, md5=known.md5 and "0" * 32, counts=(1, 2, 3))
    monkeypatch.setitem(datasets.NAMED_SETS, name, other)
    found = r"md5|it holds 40 users, 30 items and 1,200 interactions, not 1, 2 and 3"
    with pytest.raises(DataError, match=found):
        load_dataset(name)
    assert list(file.parent.iterdir()) == []


LOADS = """
import sys
from dataclasses import replace

from minirec.data import datasets

name, url, home = sys.argv[1:]
datasets.NAMED_SETS[name] = replace(datasets.NAMED_SETS[name], url=url)
datasets.load_dataset(name, data_home=home)
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is a matter of POSIX")
@pytest.mark.parametrize("named", ["ml-1m"], indirect=True)
def test_a_process_killed_while_downloading_leaves_nothing_under_the_final_name(named):
    name, file, server = named
    server.conduct = ["stalls", "well"]
    command = [sys.executable, "-c", LOADS, name, server.url, str(file.parent)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    assert server.halfway.wait(30)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not file.exists()
    assert load_dataset(name).n_interactions == COUNTS[2]


def test_a_file_is_replaced_only_once_it_is_whole(tmp_path):
    path = tmp_path / "new folder" / "model.pt"
    with atomic_write(path) as file:
        file.write(b"first")
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as file:
        file.write(np.arange(100_000).tobytes())
        file.flush()
        assert path.read_bytes() == b"first"
        raise KeyboardInterrupt
    assert [(entry.name, entry.read_bytes()) for entry in path.parent.iterdir()] == [
        ("model.pt", b"first")
    ]
