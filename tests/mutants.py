"""Break the core on purpose, one place at a time, and see whether a test notices.

    python tests/mutants.py [--only WORD] [--jobs N] [--list]

A mutant is the package with one small fault in it, such as a tired person makes: < in place of <=,
a check that is gone, a mean over batches in place of targets. `mutant_list.py` holds them, each
with the test files that should fail. A mutant that no test kills shows that a test is missing.

Nothing is changed in the checkout: each job works on a copy in a temporary folder, which is gone
afterwards, by Ctrl-C too. First all test files that are named run on the copy as it is, because a
test that fails in any case would kill everything. All of it takes half an hour or so with one job.

The exit status is 1 where a mutant survives, or its text no longer stands in its file once; 2
where the tests fail without a mutant.
"""

import argparse
import contextlib
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mutant_list
from mutant_list import Mutant

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("minirec", "tests", "data", "conftest.py", "pyproject.toml")

# The plugins, which are for notebooks, take seconds to load. So they stay out, and so do the
# options that only they know.
PYTEST_OPTIONS = ("-x", "-q", "-p", "no:cacheprovider", "-o", "addopts=")

# A mutant may never end. It gets so many times what its tests take without it, and so many seconds.
TIMES_AS_LONG = 4
SECONDS_MORE = 60
LONGEST_UNMUTATED = 900  # seconds that one test file may take without a mutant

KILLED = "killed"
BY_TIMEOUT = "killed by timeout"
SURVIVED = "SURVIVED"
NOT_ONCE = "NOT THERE ONCE"

PASSED = 0
FAILED = 1
CANNOT_BE_COLLECTED = 2  # the package cannot be imported, for example


class Copy:
    """A copy of the package and its tests, for one job.

    Parameters
    ----------
    folder : Path
        An empty folder, in which everything that a run leaves behind stays.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", ".*")
                shutil.copytree(source, folder / name, ignore=ignored)
            else:
                shutil.copy2(source, folder / name)
        self.caches = 0
        self.cache_of_unmutated = self.new_cache()
        self.moment = int(time.time())

    def new_cache(self) -> Path:
        """Return an empty folder for compiled kernels."""
        self.caches += 1
        cache = self.folder / f"numba-{self.caches}"
        cache.mkdir()
        return cache

    def cache_for(self, mutant: Mutant) -> Path:
        """Return where kernels that are compiled for a mutant may be kept.

        A fault among the kernels begins with nothing compiled: what decides whether old machine
        code still fits (minirec/scan/compiled.py) stands there, too, and may be what is broken.
        """
        if mutant.file.startswith("minirec/scan/"):
            return self.new_cache()
        return self.cache_of_unmutated

    def judge(self, mutant: Mutant, seconds: float, running: "Running") -> str:
        """Put the fault in, run the tests that should fail, take it out; return what came of it."""
        path = self.folder / mutant.file
        original = path.read_text(encoding="utf-8")
        mutated = mutant_list.mutated(original, mutant)
        if mutated is None:
            return NOT_ONCE
        self.write(path, mutated)
        try:
            status = self.run_tests(mutant.tests, seconds, self.cache_for(mutant), running)
        finally:
            self.write(path, original)
        if status is None:
            return BY_TIMEOUT
        if status == PASSED:
            return SURVIVED
        if status in (FAILED, CANNOT_BE_COLLECTED):
            return KILLED
        raise RuntimeError(f"pytest ended with status {status} at the mutant {mutant.name!r}.")

    def write(self, path: Path, text: str) -> None:
        """Write a file that is younger than all before it, by whole seconds.

        That is how finely Python tells a file's age: else what it compiled of one mutant could pass
        for the next one.
        """
        self.moment += 1
        path.write_text(text, encoding="utf-8")
        os.utime(path, (self.moment, self.moment))

    def run_tests(
        self, tests: Sequence[str], seconds: float, cache: Path, running: "Running"
    ) -> int | None:
        """Run test files until the first failure; return pytest's status, None for a timeout."""
        command = [sys.executable, "-m", "pytest", *PYTEST_OPTIONS, *tests]
        environment = {
            **os.environ,
            "PYTHONPATH": str(self.folder),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "NUMBA_CACHE_DIR": str(cache),
            "TMPDIR": str(self.folder),
        }
        return running.run(command, self.folder, environment, seconds)


class Running:
    """The processes under way, each the head of a group, so that all of it can be ended."""

    def __init__(self) -> None:
        self.processes: set[subprocess.Popen] = set()
        self.lock = threading.Lock()
        self.is_over = False

    def run(
        self, command: list[str], folder: Path, environment: dict[str, str], seconds: float
    ) -> int | None:
        """Run a command; return its status, None where it had to be ended after so many seconds."""
        with self.lock:
            if self.is_over:
                raise KeyboardInterrupt
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            self.processes.add(process)
        try:
            return process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            end_group(process)
            with self.lock:
                self.processes.discard(process)

    def end_all(self) -> None:
        """End whatever is under way, and let nothing more begin."""
        with self.lock:
            self.is_over = True
            for process in self.processes:
                end_group(process)


def end_group(process: subprocess.Popen) -> None:
    """End a process and all that it has started, and wait for it."""
    with contextlib.suppress(ProcessLookupError):  # where all of it has ended by itself
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def time_unmutated(copy: Copy, files: Sequence[str], running: Running) -> dict[str, float] | None:
    """Run each test file without a mutant: the seconds that it takes; None where one fails."""
    seconds_of = {}
    for file in files:
        began = time.perf_counter()
        status = copy.run_tests([file], LONGEST_UNMUTATED, copy.cache_of_unmutated, running)
        seconds_of[file] = time.perf_counter() - began
        if status != PASSED:
            print(f"{file} fails without a mutant (status {status}): mend that first.")
            return None
        print(f"{seconds_of[file]:6.1f} s   {file}", flush=True)
    return seconds_of


def judge_all(
    mutants: Sequence[Mutant],
    copies: Sequence[Copy],
    seconds_of: dict[str, float],
    running: Running,
) -> dict[str, str]:
    """Judge mutants, as many at a time as there are copies; return the outcome of each by name."""
    free: queue.Queue[Copy] = queue.Queue()
    for copy in copies:
        free.put(copy)

    def judge(mutant: Mutant) -> str:
        usual = sum(seconds_of[file] for file in mutant.tests)
        copy = free.get()
        began = time.perf_counter()
        try:
            outcome = copy.judge(mutant, TIMES_AS_LONG * usual + SECONDS_MORE, running)
        finally:
            free.put(copy)
        print(f"{time.perf_counter() - began:6.1f} s   {outcome:<17}   {mutant.name}", flush=True)
        return outcome

    with ThreadPoolExecutor(len(copies)) as pool:
        outcomes = [pool.submit(judge, mutant) for mutant in mutants]
        try:
            return {
                mutant.name: outcome.result()
                for mutant, outcome in zip(mutants, outcomes, strict=True)
            }
        except BaseException:
            # The pool waits for what is under way, and must not begin the rest.
            pool.shutdown(wait=False, cancel_futures=True)
            running.end_all()
            raise


def run(mutants: Sequence[Mutant], n_jobs: int) -> int:
    """Judge mutants and print a table; return an exit status."""
    running = Running()
    with tempfile.TemporaryDirectory(prefix="mutants-", ignore_cleanup_errors=True) as folder:
        try:
            copies = []
            for number in range(n_jobs):
                place = Path(folder) / f"job-{number}"
                place.mkdir()
                copies.append(Copy(place))
            files = sorted({file for mutant in mutants for file in mutant.tests})
            print("Without a mutant:")
            seconds_of = time_unmutated(copies[0], files, running)
            if seconds_of is None:
                return 2
            print("With each mutant:")
            outcomes = judge_all(mutants, copies, seconds_of, running)
        finally:
            running.end_all()  # before the folder that they write into is gone
    return report(outcomes)


def report(outcomes: dict[str, str]) -> int:
    """Print how many mutants had which outcome, and who was not killed; return an exit status."""
    print()
    for outcome, count in Counter(outcomes.values()).most_common():
        print(f"{count:>5}   {outcome}")
    print(f"{len(outcomes):>5}   in all")
    at_large = {name: outcome for name, outcome in outcomes.items() if "killed" not in outcome}
    for name, outcome in at_large.items():
        print(f"{outcome}: {name}")
    return 1 if at_large else 0


def interrupt(*_: object) -> None:
    """Answer a signal as Ctrl-C is answered, also where a shell has left that to nobody."""
    raise KeyboardInterrupt


def main(typed: Sequence[str] | None = None) -> int:
    """Read the command line, and do what it says; return an exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--only", metavar="WORD", default="", help="those with this word in their name or file"
    )
    parser.add_argument("--jobs", type=int, default=1, help="so many side by side (default: 1)")
    parser.add_argument("--list", action="store_true", help="print the mutants, and run nothing")
    options = parser.parse_args(typed)
    if options.jobs < 1:
        parser.error(f"--jobs must be at least 1; got {options.jobs}.")

    chosen = []
    for mutant in mutant_list.MUTANTS:
        if options.only in mutant.name or options.only in mutant.file:
            chosen.append(mutant)
    if not chosen:
        parser.error(f"no mutant has {options.only!r} in its name or file.")
    if options.list:
        for mutant in chosen:
            print(f"{mutant.file}: {mutant.name}")
        return 0
    return run(chosen, options.jobs)


if __name__ == "__main__":
    try:
        signal.signal(signal.SIGINT, interrupt)
        signal.signal(signal.SIGTERM, interrupt)
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("Interrupted; nothing is left behind.")
