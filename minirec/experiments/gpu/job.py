"""What a stage is given: its time, its folder, and a place to note what it finds."""

import json
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from minirec.scan.chunking import best_of

Row = dict[str, Any]  # a finding: names and plain values
Task = Callable[[], Row | list[Row]]  # returns what it found

ROWS = "rows.jsonl"  # in a stage's folder: a finding per line
BROKEN = 70  # exit status of a process that cannot go on, though another one could


class LeftOutError(Exception):
    """Raised by a stage that this machine lacks something for; the message says what."""


@dataclass(frozen=True)
class Job:
    """One stage's work.

    Parameters
    ----------
    folder : Path
        Where the stage leaves its findings, line by line, and its files.
    results : Path
        The folder of run records, those of the project and those made by this call.
    until : float
        When the stage should be done, in seconds as `time.time` counts them.
    began : float
        When it was told to begin, counted likewise.
    dry_run : bool
        Everything in miniature, on a CPU.
    data_home : str, optional
        Where data sets lie; see `load_dataset`.
    """

    folder: Path
    results: Path
    until: float
    began: float = 0.0
    dry_run: bool = False
    data_home: str | None = None

    def left(self) -> float:
        """Return the seconds that are left."""
        return self.until - time.time()

    def say(self, line: str) -> None:
        """Print a line into the stage's log, at once."""
        print(line, flush=True)

    def note(self, **finding: Any) -> None:
        """Keep a finding, at once: whatever ends the stage later does not lose it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(finding, default=_plain)
        # JSON knows neither NaN nor infinity; Python writes them as words, which are read as None.
        row = json.loads(text, parse_constant=lambda not_finite: None)
        with open(self.folder / ROWS, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def rows(self) -> list[Row]:
        """Return the findings so far."""
        return read_rows(self.folder)

    def each(self, tasks: Mapping[str, Task]) -> None:
        """Do one task after the other and note what they return, as long as there is time.

        A task that fails is noted with its error, and the next one goes on. A task that has begun
        is never begun again, so that a stage whose process died can be started once more.

        Parameters
        ----------
        tasks : mapping
            By name. A task returns a row, or several, and is noted under its name.
        """
        begun = {row["begun"] for row in self.rows() if "begun" in row}
        for name, task in tasks.items():
            if name in begun:
                continue
            if self.left() <= 0:
                self.note(task=name, not_reached=True)
                continue
            self.say(f"{name} ({self.left():.0f} s left)")
            self.note(begun=name)
            try:
                found = task()
                for row in [found] if isinstance(found, dict) else found:
                    self.note(task=name, **row)
            except Exception as error:
                traceback.print_exc()
                self.note(task=name, error=in_a_line(error))
                if not _gpu_still_works():
                    self.say("the GPU's context is broken: a new process is needed")
                    raise SystemExit(BROKEN) from None


def read_rows(folder: Path) -> list[Row]:
    """Return the findings in a stage's folder; a last line cut short is left out."""
    try:
        text = (folder / ROWS).read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    whole, _, _ = text.rpartition("\n")
    return [json.loads(line) for line in whole.splitlines()]


def swept_chunks(stages_folder: Path) -> dict[tuple[int, int, int], int]:
    """Return the best numbers of chunks that the sweep of stage 4 has found so far.

    Parameters
    ----------
    stages_folder : Path
        Where each stage has its folder.

    Returns
    -------
    dict
        From (B, N, D) to a number of chunks: a table for `minirec.scan.chunking.chunking`.
    """
    measured = []
    for row in read_rows(stages_folder / "kernels"):
        if "chunks" in row:
            B, N, D = row["shape"]
            measured.append(((B, N, D), row["chunks"], row["ms"]))
    return best_of(measured)


def in_a_line(error: BaseException) -> str:
    """Return an error as one line with the name of its class."""
    first = str(error).strip().partition("\n")[0]
    name = type(error).__name__
    return f"{name}: {first}" if first else name


def found_by(rows: list[Row], name: str) -> list[Row]:
    """Return what the tasks whose names begin so have found; not those that found nothing."""
    nothing = {"error", "not_reached"}
    of_tasks = [row for row in rows if row.get("task", "").startswith(name) and "task" in row]
    return [row for row in of_tasks if not nothing & set(row)]


def failures(rows: list[Row]) -> list[str]:
    """Return a line for every task that failed."""
    return [f"{row['task']}: FAILED: {row['error']}" for row in rows if "error" in row]


def not_reached(rows: list[Row]) -> list[str]:
    """Return a line about tasks that did not end, and one about those that never began."""
    ended = {row["task"] for row in rows if "task" in row}
    cut_off = [row["begun"] for row in rows if "begun" in row and row["begun"] not in ended]
    never = [row["task"] for row in rows if "not_reached" in row]
    lines = []
    if cut_off:
        lines.append(f"begun and not ended: {', '.join(cut_off)}")
    if never:
        lines.append(f"no time was left for {', '.join(never)}")
    return lines


def _gpu_still_works() -> bool:
    """Return False after an error on the GPU that every later call in this process would meet."""
    if not torch.cuda.is_available():
        return True
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return False
    torch.cuda.empty_cache()
    return True


def _plain(value: Any) -> Any:
    """Turn NumPy's and PyTorch's numbers and arrays into Python's, for JSON."""
    if isinstance(value, np.generic | np.ndarray | torch.Tensor):
        return value.tolist()
    return str(value)
