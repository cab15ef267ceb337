"""What the tests of the command line share: running a command, and a small log."""

import json
from dataclasses import dataclass

import pytest

from minirec.cli import main


@dataclass
class Printed:
    """What a command left: its exit status, stdout and stderr."""

    status: int
    out: str
    err: str

    def json(self):
        return json.loads(self.out)


@pytest.fixture
def cli(capsys):
    """Run a command: its words in one string, then words that may hold blanks, then flags."""

    def run(typed, *words, **flags):
        arguments = [*typed.split(), *words]
        for name, value in flags.items():
            arguments += [f"--{name.replace('_', '-')}", value]
        status = main([str(word) for word in arguments])
        printed = capsys.readouterr()
        return Printed(status, printed.out, printed.err)

    return run


@pytest.fixture
def log_file(tmp_path):
    """A small log of named items; each user walks along a ring of eight, which can be learned."""
    names = ["ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen"]
    lines = [
        f"{user},{names[(user * 3 + step) % 8]},{100 * step + user}"
        for user in range(40)
        for step in range(8)
    ]
    path = tmp_path / "walks.csv"
    path.write_text("user,item,timestamp\n" + "\n".join(lines) + "\n")
    return path


@pytest.fixture
def never_trained(monkeypatch):
    """Fail where a command trains, or a model is built."""

    def trained(*args, **kwargs):
        pytest.fail("it trained first")

    monkeypatch.setattr("minirec.fit", trained)
