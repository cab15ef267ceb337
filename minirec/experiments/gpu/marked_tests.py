"""Stage 1: the tests marked gpu, which no machine without one can run."""

from importlib.util import find_spec
from pathlib import Path

from minirec.experiments.gpu.each_test import counted, outcomes, run_pytest
from minirec.experiments.gpu.job import Job, LeftOutError, Row

TESTS = Path(__file__).resolve().parents[3] / "tests"
NO_TESTS = 5  # pytest's exit status where it finds none


def run(job: Job) -> None:
    """Run the tests marked gpu; the dry run only finds them, and finds that there is no GPU."""
    if find_spec("pytest") is None:
        raise LeftOutError("pytest is not installed")
    files = files_with_marked_tests(TESTS)
    if not files:
        raise LeftOutError("the folder tests is not here, or has no test marked gpu")
    status = run_pytest(job, ["-m", "gpu", *map(str, files)])
    job.note(files=len(files), status=status)


def files_with_marked_tests(folder: Path) -> list[Path]:
    """Return the test files that speak of the mark: importing all the others would take long."""
    found = []
    for path in sorted(folder.rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        if "mark.gpu" in text and "project" not in path.parts:
            found.append(path)
    return found


def in_words(rows: list[Row]) -> list[str]:
    """Return how many passed, which did not, and which files need what is not installed."""
    lines = [counted(rows)]
    if not any("status" in row for row in rows):
        lines[0] += " before its time was over"
    ended = outcomes(rows)
    lines += [f"{row['test']}: {row['reason']}" for row in ended["failed"]]
    lines += [f"{row['test']}: {row['reason']}" for row in ended["skipped"] if "reason" in row]
    return lines
