"""Stage 1: the tests marked gpu, which no machine without one can run."""

import ast
from importlib.util import find_spec
from pathlib import Path

from minirec.experiments.gpu.each_test import counted, outcomes, run_here
from minirec.experiments.gpu.job import Job, LeftOutError, Row

TESTS = Path(__file__).resolve().parents[3] / "tests"


def run(job: Job) -> None:
    """Run the tests marked gpu; the dry run finds those of one file, and that there is no GPU."""
    if find_spec("pytest") is None:
        raise LeftOutError("pytest is not installed")
    files = files_with_marked_tests(TESTS)
    if not files:
        raise LeftOutError("the folder tests is not here, or has no test marked gpu")
    if job.dry_run:
        files = files[:1]
    status = run_here(job, ["-m", "gpu", *map(str, files)])
    job.note(files=len(files), status=status)


def files_with_marked_tests(folder: Path) -> list[Path]:
    """Return the test files that use the mark: importing all the others would take long."""
    paths = sorted(folder.rglob("test_*.py"))
    return [path for path in paths if _uses_mark(path.read_text(encoding="utf-8"))]


def _uses_mark(source: str) -> bool:
    """Return whether `pytest.mark.gpu` stands in the source, but not only in a string."""
    found = [node.attr for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)]
    return "gpu" in found


def in_words(rows: list[Row]) -> list[str]:
    """Return how many passed, which did not, and which files need what is not installed."""
    lines = [counted(rows)]
    if not any("status" in row for row in rows):
        lines[0] += " before its time was over"
    ended = outcomes(rows)
    lines += [f"{row['test']}: {row['reason']}" for row in ended["failed"]]
    lines += [f"{row['test']}: {row['reason']}" for row in ended["skipped"] if "reason" in row]
    return lines
