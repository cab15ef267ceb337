"""The mutants still fit the code that they break, and the command tells killed from survived."""

import ast
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import mutant_list
import mutants
import pytest
from mutant_list import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted({mutant.file for mutant in MUTANTS})

# A package of one function, and what its tests ask of it.
PACKAGE = "def least(numbers):\n    least = min(numbers)\n    return least\n"
TESTS = "from minirec.core import least\n\ndef test_it():\n    assert least([2, 1]) == 1\n"


@pytest.mark.parametrize("file", FILES)
def test_every_fault_still_has_its_place_and_changes_the_code(file):
    text = (ROOT / file).read_text(encoding="utf-8")
    whole = ast.dump(ast.parse(text))
    for mutant in MUTANTS:
        if mutant.file != file:
            continue
        mutated = mutant_list.mutated(text, mutant)
        assert mutated is not None, f"{mutant.name}: {mutant.before!r} is not there once"
        assert ast.dump(ast.parse(mutated)) != whole, f"{mutant.name}: it changes nothing"


def test_every_fault_has_a_name_of_its_own():
    counts = Counter(mutant.name for mutant in MUTANTS)
    assert [name for name, count in counts.items() if count > 1] == []


def test_the_tests_that_should_fail_are_there():
    tests = {file for mutant in MUTANTS for file in mutant.tests}
    assert [file for file in sorted(tests) if not (ROOT / file).is_file()] == []


@pytest.fixture
def toy(tmp_path, monkeypatch) -> Path:
    """A checkout of a package with a test, and a folder for temporary files beside it."""
    root = tmp_path / "checkout"
    for name, text in {
        "minirec/__init__.py": "",
        "minirec/core.py": PACKAGE,
        "tests/test_core.py": TESTS,
        "data/none.txt": "",
        "conftest.py": "",
        "pyproject.toml": "",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(mutants, "ROOT", root)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    return root


def fault(before: str, after: str, name: str = "a fault") -> Mutant:
    return Mutant(name, "minirec/core.py", before, after, ("tests/test_core.py",))


@pytest.mark.slow
@pytest.mark.parametrize(
    "before, after, outcome, status",
    [
        ("min(numbers)", "max(numbers)", "killed", 0),
        ("def least", "def most", "killed", 0),  # the test cannot even import it
        ("min(numbers)", "sorted(numbers)[0]", "SURVIVED", 1),
        ("least", "most", "NOT THERE ONCE", 1),
        ("mean", "min", "NOT THERE ONCE", 1),
    ],
)
def test_a_mutant_is_killed_survives_or_has_no_place(toy, capsys, before, after, outcome, status):
    assert mutants.run([fault(before, after)], n_jobs=1) == status
    assert f"1   {outcome}" in capsys.readouterr().out


@pytest.mark.slow
def test_a_mutant_that_never_ends_is_killed_by_timeout(toy, capsys, monkeypatch):
    monkeypatch.setattr(mutants, "SECONDS_MORE", 0)
    monkeypatch.setattr(mutants, "TIMES_AS_LONG", 2)
    endless = fault("    least = min(numbers)", "    while True: least = min(numbers)")
    assert mutants.run([endless], n_jobs=1) == 0
    assert "1   killed by timeout" in capsys.readouterr().out


@pytest.mark.slow
def test_of_several_side_by_side_each_has_its_own_fault(toy, capsys):
    faults = [
        fault("min(numbers)", "max(numbers)", "wrong"),
        fault("min(numbers)", "sorted(numbers)[0]", "another way"),
        fault("return least", "return None", "nothing"),
    ]
    assert mutants.run(faults, n_jobs=2) == 1
    printed = capsys.readouterr().out
    assert "2   killed" in printed
    assert printed.endswith("SURVIVED: another way\n")


@pytest.mark.slow
def test_tests_that_fail_without_a_mutant_kill_nothing(toy, capsys):
    (toy / "tests/test_core.py").write_text("def test_it():\n    assert False\n")
    assert mutants.run([fault("min(numbers)", "max(numbers)")], n_jobs=1) == 2
    assert "tests/test_core.py fails without a mutant" in capsys.readouterr().out


@pytest.mark.slow
def test_the_checkout_stays_as_it_is_and_nothing_is_left_behind(toy):
    mutants.run([fault("min(numbers)", "max(numbers)")], n_jobs=1)
    assert (toy / "minirec/core.py").read_text() == PACKAGE
    assert sorted(path.name for path in toy.rglob("*") if path.is_file()) == [
        "__init__.py",
        "conftest.py",
        "core.py",
        "none.txt",
        "pyproject.toml",
        "test_core.py",
    ]
    assert os.listdir(tempfile.gettempdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals are those of POSIX")
def test_ctrl_c_leaves_nothing_behind(tmp_path):
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "tests/mutants.py", "--only", "minirec/metrics.py"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("mutants-*/job-0/pyproject.toml")):
        assert time.monotonic() < deadline, "the copy was not made"
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert said.decode() == "Interrupted; nothing is left behind.\n"
    assert process.returncode == 1
    assert list(tmp_path.iterdir()) == []


def test_a_word_chooses_mutants_by_name_or_file(capsys):
    assert mutants.main(["--list", "--only", "storage"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert "minirec/storage.py: a file may hold code" in listed
    assert all("storage" in line for line in listed)


@pytest.mark.parametrize(
    "words, message",
    [
        (["--only", "no such mutant"], "no mutant has 'no such mutant'"),
        (["--jobs", "0"], "--jobs must be at least 1; got 0"),
    ],
)
def test_what_cannot_be_asked_is_refused(capsys, words, message):
    with pytest.raises(SystemExit):
        mutants.main(words)
    assert message in capsys.readouterr().err
