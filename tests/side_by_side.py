"""Run the whole suite as `make test` does: in parts, all at once.

    python tests/side_by_side.py [arguments of pytest]

A process of pytest keeps about one core busy. With more parts than a small machine has cores, none
idles long before the last part ends. The unit tests run under coverage, and each part leaves a
file of it, to be combined. What the first part prints is seen while it runs; what the others print
is kept, and shown when the first has ended, so that no output tears another.

The arguments are given to every part. Where one of them names a file or a folder, pytest runs what
is asked for in one process. A failure of any part is a failure of the whole.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

PASSED = 0
NO_TESTS = 5  # pytest's exit status where nothing is left to run, after -k for example

# About half the time of the unit tests.
LONG = ["tests/scan", "tests/experiments"]

# Coverage is counted here and not by pytest's plugin, with which nbval would count it in every
# notebook's kernel as well: with the current releases a kernel never answers to that.
PYTEST = [sys.executable, "-m", "pytest"]
COVERED_PYTEST = [sys.executable, "-m", "coverage", "run", "--parallel-mode", "-m", "pytest"]


def run_suite(arguments: list[str]) -> int:
    """Run all of it at once, or what the arguments name; return an exit status."""
    if any(names_a_path(argument) for argument in arguments):
        return wait_for(subprocess.Popen([*COVERED_PYTEST, "--nbval", *arguments]))
    return run_at_once(parts(arguments))


def names_a_path(argument: str) -> bool:
    """Whether there is such a file or folder; a test in it may be named after two colons."""
    path, _, _ = argument.partition("::")
    return path != "" and Path(path).exists()


def parts(arguments: list[str]) -> dict[str, list[str]]:
    """The command of each part of the whole suite, by the name of the part."""
    left_out = [f"--ignore={folder}" for folder in LONG]
    return {
        "unit tests": [*COVERED_PYTEST, *left_out, *arguments, "tests"],
        f"unit tests of {' and '.join(LONG)}": [
            *COVERED_PYTEST,
            *own_cache("long"),
            *arguments,
            *LONG,
        ],
        "notebooks": [*PYTEST, "--nbval", *own_cache("notebooks"), *arguments, "notebooks"],
    }


def own_cache(name: str) -> list[str]:
    """Keep what a part notes for --last-failed apart, where no other part undoes it."""
    return ["-o", f"cache_dir=.pytest_cache/{name}"]


def run_at_once(commands: dict[str, list[str]]) -> int:
    """Run the commands at once, show their outputs one after another; return an exit status."""
    first, *others = commands
    statuses = {}
    with tempfile.TemporaryDirectory() as folder:
        logs = {name: Path(folder) / f"{number}.log" for number, name in enumerate(others)}
        beside = {name: start(commands[name], logs[name]) for name in others}
        statuses[first] = wait_for(subprocess.Popen(commands[first]))
        for name in others:
            print(f"\n===== {name} =====\n", flush=True)
            statuses[name] = wait_for(beside[name])
            sys.stdout.buffer.write(logs[name].read_bytes())
            sys.stdout.buffer.flush()

    print("\n===== all of it =====\n")
    for name, status in statuses.items():
        print(f"{name}: {in_words(status)}", flush=True)
    return of_all(list(statuses.values()))


def start(command: list[str], log: Path) -> subprocess.Popen:
    """Start the command; whatever it prints goes to the log."""
    with open(log, "wb") as file:
        return subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)


def wait_for(process: subprocess.Popen) -> int:
    """Return the exit status of the process when it has ended, interrupted or not."""
    try:
        return process.wait()
    except KeyboardInterrupt:  # it was interrupted as well, and has yet to say how far it came
        return process.wait()


def in_words(status: int) -> str:
    known = {PASSED: "passed", NO_TESTS: "no test to run"}
    return known.get(status, f"FAILED with exit status {status}")


def of_all(statuses: list[int]) -> int:
    """Return a failure if there is one; no test to run is no failure beside tests that passed."""
    for status in statuses:
        if status not in (PASSED, NO_TESTS):
            return status
    return min(statuses)


if __name__ == "__main__":
    sys.exit(run_suite(sys.argv[1:]))
