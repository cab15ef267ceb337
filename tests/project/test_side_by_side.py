"""`make test` runs the parts of the suite at once, and a failure of any is seen."""

import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import nbformat.v4 as v4
import pytest
import side_by_side

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def ends_with(status: int) -> list[str]:
    return python(f"raise SystemExit({status})")


def status_of(*commands: list[str]) -> int:
    names = ["first", "second", "third"]
    return side_by_side.run_at_once(dict(zip(names, commands, strict=False)))


@pytest.mark.parametrize(
    "statuses, whole",
    [
        ([0, 0, 0], 0),
        ([1, 0, 0], 1),
        ([0, 1, 0], 1),
        ([0, 0, 1], 1),
        ([0, 5, 5], 0),  # -k found tests in one part only
        ([5, 5, 0], 0),
        ([5, 5, 5], 5),
        ([5, 0, 1], 1),
        ([4, 5, 5], 4),
        ([5, 5, 4], 4),
    ],
)
def test_the_whole_fails_where_any_part_does(statuses, whole):
    assert status_of(*map(ends_with, statuses)) == whole


@pytest.mark.skipif(sys.platform == "win32", reason="no process is killed by a signal there")
def test_a_part_that_is_killed_is_a_failure():
    killed = python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert status_of(ends_with(0), killed) != 0
    assert status_of(killed, ends_with(0)) != 0


def test_the_outputs_follow_each_other_and_the_verdicts_come_last(capfd):
    slowly = "import sys, time\nfor i in range(3): print('{}', i, flush=True); time.sleep(0.05)\n"
    fails = "print('aside', file=sys.stderr, flush=True); sys.exit(1)"
    first = python(slowly.format("unit"))
    second = python(slowly.format("cell") + fails)
    status_of(first, second)

    told = [line for line in capfd.readouterr().out.split("\n") if line]
    assert told == [
        *["unit 0", "unit 1", "unit 2"],
        "===== second =====",
        *["cell 0", "cell 1", "cell 2", "aside"],
        "===== all of it =====",
        "first: passed",
        "second: FAILED with exit status 1",
    ]


def test_the_parts_run_at_once(tmp_path):
    """Each waits until the others have begun."""
    meet = (
        "import pathlib, sys, time\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "(folder / sys.argv[2]).touch()\n"
        "until = time.monotonic() + 60\n"
        "while len(list(folder.iterdir())) < 3:\n"
        "    assert time.monotonic() < until\n"
        "    time.sleep(0.01)\n"
    )
    parts = [[*python(meet), str(tmp_path), name] for name in ("a", "b", "c")]
    assert status_of(*parts) == 0


def folders_of(command: list[str]) -> list[str]:
    return [argument for argument in command if (ROOT / argument).is_dir()]


def test_every_test_of_the_whole_suite_is_in_exactly_one_part():
    most, long, notebooks = side_by_side.parts([]).values()
    assert [*folders_of(most), *folders_of(notebooks)] == SETTINGS["testpaths"]
    left_out = [argument for argument in most if argument.startswith("--ignore=")]
    assert left_out == [f"--ignore={folder}" for folder in folders_of(long)]
    assert "--nbval" in notebooks


def test_every_part_is_given_the_arguments():
    for command in side_by_side.parts(["-k", "metrics"]).values():
        assert command[command.index("-k") + 1] == "metrics"


def test_coverage_is_counted_in_the_unit_tests_only():
    *unit_tests, notebooks = side_by_side.parts([]).values()
    assert all("coverage" in command for command in unit_tests)
    assert "coverage" not in notebooks


@pytest.mark.parametrize(
    "argument, names",
    [
        ("tests/test_metrics.py", True),
        ("tests/test_metrics.py::test_one", True),
        ("notebooks", True),
        ("-x", False),
        ("metrics", False),
        ("tests/test_of_nothing.py", False),
        ("", False),
        ("::", False),
    ],
)
def test_a_part_is_asked_for_by_a_path(monkeypatch, argument, names):
    monkeypatch.chdir(ROOT)
    assert side_by_side.names_a_path(argument) == names


def test_a_part_runs_alone_with_notebooks_as_notebooks(monkeypatch, capfd):
    shows = python("import sys; print(sys.argv[1:]); sys.exit(3)")
    monkeypatch.setattr(side_by_side, "COVERED_PYTEST", shows)
    monkeypatch.chdir(ROOT)
    assert side_by_side.run_suite(["-x", "tests/test_metrics.py"]) == 3
    assert capfd.readouterr().out == "['--nbval', '-x', 'tests/test_metrics.py']\n"


# ----- A small suite ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small_suite(tmp_path_factory) -> Path:
    """A folder with tests that pass, and with a notebook that prints another word than stored."""
    folder = tmp_path_factory.mktemp("suite")
    for room in ("tests", *side_by_side.LONG):
        (folder / room).mkdir()
        test = f"def test_{Path(room).name}():\n    pass\n"
        (folder / room / f"test_of_{Path(room).name}.py").write_text(test)
    (folder / "notebooks").mkdir()
    expected = v4.new_output("stream", name="stdout", text="stored\n")
    cell = v4.new_code_cell("print('fresh')", execution_count=1, outputs=[expected])
    kernel = {"name": "python3", "display_name": "Python 3"}
    notebook = v4.new_notebook(cells=[cell], metadata={"kernelspec": kernel})
    nbformat.write(notebook, folder / "notebooks/small.ipynb")
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --nbval-current-env\n")
    return folder


def run_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, ROOT / "tests/side_by_side.py", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.mark.slow
def test_a_cell_that_fails_beside_tests_that_pass_is_shown_and_fails_the_whole(small_suite):
    finished = run_in(small_suite, "-v")
    assert finished.returncode == 1
    for name in ("test_tests", "test_scan", "test_experiments"):
        assert finished.stdout.count(f"{name} PASSED") == 1
    assert "fresh" in finished.stdout
    assert finished.stdout.endswith("notebooks: FAILED with exit status 1\n")
