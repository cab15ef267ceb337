"""`make test` runs the halves of the suite side by side, and a failure of either is seen."""

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


@pytest.mark.parametrize(
    "unit_tests, notebooks, whole",
    [
        (0, 0, 0),
        (1, 0, 1),
        (0, 1, 1),
        (2, 1, 2),
        (0, 5, 0),  # -k found tests in one half only
        (5, 0, 0),
        (5, 5, 5),
        (5, 1, 1),
        (1, 5, 1),
        (4, 5, 4),
        (5, 4, 4),
    ],
)
def test_the_whole_fails_where_either_half_does(unit_tests, notebooks, whole):
    assert side_by_side.run_side_by_side(ends_with(unit_tests), ends_with(notebooks)) == whole


@pytest.mark.skipif(sys.platform == "win32", reason="no process is killed by a signal there")
def test_a_half_that_is_killed_is_a_failure():
    killed = python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert side_by_side.run_side_by_side(ends_with(0), killed) != 0
    assert side_by_side.run_side_by_side(killed, ends_with(0)) != 0


def test_the_outputs_follow_each_other_and_the_verdicts_come_last(capfd):
    slowly = "import time\nfor i in range(3): print('{name}', i, flush=True); time.sleep(0.05)\n"
    unit_tests = python(slowly.format(name="unit"))
    fails = "import sys; print('aside', file=sys.stderr, flush=True); sys.exit(1)"
    notebooks = python(slowly.format(name="cell") + fails)
    side_by_side.run_side_by_side(unit_tests, notebooks)

    lines = capfd.readouterr().out.split("\n")
    told = [line for line in lines if line.startswith(("unit ", "cell", "aside", "notebooks:"))]
    assert told[:7] == ["unit 0", "unit 1", "unit 2", "cell 0", "cell 1", "cell 2", "aside"]
    assert told[7].endswith(": passed")
    assert told[8] == "notebooks: FAILED with exit status 1"


def test_both_halves_run_at_once(tmp_path):
    """Each waits until the other has begun."""
    meet = (
        "import pathlib, sys, time\n"
        "pathlib.Path(sys.argv[1]).touch()\n"
        "until = time.monotonic() + 60\n"
        "while not pathlib.Path(sys.argv[2]).exists():\n"
        "    assert time.monotonic() < until\n"
        "    time.sleep(0.01)\n"
    )
    here, there = str(tmp_path / "unit"), str(tmp_path / "notebooks")
    unit_tests = [*python(meet), here, there]
    notebooks = [*python(meet), there, here]
    assert side_by_side.run_side_by_side(unit_tests, notebooks) == 0


def test_the_halves_are_the_folders_of_the_whole_suite_and_both_get_the_arguments():
    halves = [
        side_by_side.unit_tests_command(["-k", "metrics"]),
        side_by_side.notebooks_command(["-k", "metrics"]),
    ]
    assert [half[-3:] for half in halves] == [
        ["-k", "metrics", folder] for folder in SETTINGS["testpaths"]
    ]
    assert "--nbval" in halves[1]


def test_only_what_is_in_this_process_is_counted_by_coverage():
    assert "coverage" in side_by_side.unit_tests_command([])
    assert "coverage" not in side_by_side.notebooks_command([])


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


# ----- A small suite ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small_suite(tmp_path_factory) -> Path:
    """A folder with one test that passes and one notebook whose only cell prints another word."""
    folder = tmp_path_factory.mktemp("suite")
    (folder / "tests").mkdir()
    (folder / "tests/test_small.py").write_text("def test_that_passes():\n    pass\n")
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
    finished = run_in(small_suite)
    assert finished.returncode == 1
    assert "1 passed" in finished.stdout
    assert "1 failed" in finished.stdout
    assert "fresh" in finished.stdout
    assert finished.stdout.endswith("notebooks: FAILED with exit status 1\n")


@pytest.mark.slow
def test_a_part_runs_alone(small_suite):
    finished = run_in(small_suite, "-v", "tests/test_small.py")
    assert finished.returncode == 0
    assert "test_that_passes PASSED" in finished.stdout
    assert "small.ipynb" not in finished.stdout
