"""Run the whole suite as `make test` does: unit tests and notebooks side by side.

    python tests/side_by_side.py [arguments of pytest]

On two cores two processes take about half the time of one. The unit tests run under coverage, and
what they print is seen while they run. What the notebooks print is kept, and shown when both have
ended, so that neither output tears the other. The arguments are given to both; where one of them
names a file or a folder, pytest runs what is asked for in one process. A failure of either is a
failure of the whole.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

PASSED = 0
NO_TESTS = 5  # pytest's exit status where nothing is left to run, after -k for example

# Coverage is counted here and not by pytest's plugin, with which nbval would count it in every
# notebook's kernel as well: with the current releases a kernel never answers to that.
PYTEST = [sys.executable, "-m", "pytest"]
COVERED_PYTEST = [sys.executable, "-m", "coverage", "run", "-m", "pytest"]

# Both note which tests failed, for --last-failed: in one place, one would undo the other's note.
OWN_CACHE = ["-o", "cache_dir=.pytest_cache/notebooks"]


def run_suite(arguments: list[str]) -> int:
    """Run all of it side by side, or the part that the arguments name; return an exit status."""
    if any(names_a_path(argument) for argument in arguments):
        return wait_for(subprocess.Popen(part_command(arguments)))
    return run_side_by_side(unit_tests_command(arguments), notebooks_command(arguments))


def names_a_path(argument: str) -> bool:
    """Whether there is such a file or folder; a test in it may be named after two colons."""
    path, _, _ = argument.partition("::")
    return path != "" and Path(path).exists()


def part_command(arguments: list[str]) -> list[str]:
    return [*COVERED_PYTEST, "--nbval", *arguments]


def unit_tests_command(arguments: list[str]) -> list[str]:
    return [*COVERED_PYTEST, *arguments, "tests"]


def notebooks_command(arguments: list[str]) -> list[str]:
    return [*PYTEST, "--nbval", *OWN_CACHE, *arguments, "notebooks"]


def run_side_by_side(unit_tests: list[str], notebooks: list[str]) -> int:
    """Run both commands at once; return an exit status for the two."""
    with tempfile.TemporaryFile() as kept:
        beside = subprocess.Popen(notebooks, stdout=kept, stderr=subprocess.STDOUT)
        unit_status = wait_for(subprocess.Popen(unit_tests))
        print("\nThe unit tests have ended; waiting for the notebooks ...", flush=True)
        notebook_status = wait_for(beside)
        kept.seek(0)
        sys.stdout.buffer.write(kept.read())
    print(f"\nunit tests (above the notebooks): {in_words(unit_status)}")
    print(f"notebooks: {in_words(notebook_status)}", flush=True)
    return of_both(unit_status, notebook_status)


def wait_for(process: subprocess.Popen) -> int:
    """Return the exit status of the process when it has ended, interrupted or not."""
    try:
        return process.wait()
    except KeyboardInterrupt:  # it was interrupted as well, and has yet to say how far it came
        return process.wait()


def in_words(status: int) -> str:
    known = {PASSED: "passed", NO_TESTS: "no test to run"}
    return known.get(status, f"FAILED with exit status {status}")


def of_both(unit_status: int, notebook_status: int) -> int:
    """Return a failure if there is one; no test to run is no failure beside tests that passed."""
    for status in (unit_status, notebook_status):
        if status not in (PASSED, NO_TESTS):
            return status
    return min(unit_status, notebook_status)


if __name__ == "__main__":
    sys.exit(run_suite(sys.argv[1:]))
