"""Stage 5: the notebooks, those with cells tagged gpu first, through nbval."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

from minirec.experiments.gpu.each_test import counted, outcomes, run_apart, run_here
from minirec.experiments.gpu.job import Job, LeftOutError, Row, not_reached

NOTEBOOKS = Path(__file__).resolve().parents[3] / "notebooks"
NBVAL = [
    "--nbval",
    "--nbval-current-env",
    "--nbval-cell-timeout=120",
    "--nbval-kernel-startup-timeout=60",
]
AT_ONCE = 4  # notebooks, where there are cores for them
WORTH_A_START = 15  # seconds: with less left, no further notebook is started


def run(job: Job) -> None:
    """Compare each notebook's outputs with a fresh run's, as long as there is time.

    The dry run takes the first cell of the first notebook.
    """
    for module in ("pytest", "nbval", "ipykernel"):
        if find_spec(module) is None:
            raise LeftOutError(f"{module} is not installed")
    notebooks = by_worth(NOTEBOOKS)
    if not notebooks:
        raise LeftOutError("the folder notebooks is not here")
    if job.dry_run:
        first = min(notebooks)
        run_here(job, [*NBVAL, f"{first}::Cell 0"])
        return

    def compare(notebook: Path) -> None:
        if job.left() < WORTH_A_START:
            job.note(task=notebook.name, not_reached=True)
            return
        run_apart(job, [*NBVAL, str(notebook)])

    n_at_once = max(1, min(AT_ONCE, (os.cpu_count() or 1) // 4))
    with ThreadPoolExecutor(n_at_once) as pool:
        list(pool.map(compare, notebooks))


def by_worth(folder: Path) -> list[Path]:
    """Return the notebooks: first those with cells tagged gpu, then the other lessons."""
    notebooks = sorted(folder.glob("*.ipynb"))
    return sorted(notebooks, key=lambda path: not has_gpu_cell(path))


def has_gpu_cell(notebook: Path) -> bool:
    """Return whether a cell is tagged gpu."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return any("gpu" in cell["metadata"].get("tags", []) for cell in cells)


def in_words(rows: list[Row]) -> list[str]:
    """Return how many cells passed, and which did not."""
    head = f"cells: {counted(rows)}"
    failed = [f"{row['test']}: {row['reason']}" for row in outcomes(rows)["failed"]]
    return [head, *failed, *not_reached(rows)]
