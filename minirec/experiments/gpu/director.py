"""Run the stages one after the other, each in a process of its own, and leave what they found.

A stage that fails, hangs or breaks the GPU's context ends itself and no other: its process is given
its share of the time and then killed, with all that it started. A process starts while the stage
before it is still running, because its imports take seconds: it imports, then waits for a line that
says when it began and when it has to be over.
"""

import contextlib
import importlib.metadata
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from minirec.devices import choose_device
from minirec.experiments.gpu import files
from minirec.experiments.gpu.job import Row, failures, read_rows
from minirec.experiments.gpu.stages import Stage, seconds_for, summary_lines
from minirec.experiments.recblr import PAPER
from minirec.experiments.records import device_in_words, provenance

ROOT = Path(__file__).resolve().parents[3]  # the project's folder
PROJECT_RESULTS = ROOT / "data" / "results"

SCHEMA = 1  # of gpu.json

# Seconds of the minutes asked for that no stage gets: the interpreter's start, and the last files.
MARGIN = 15.0
# A stage is told to end so many seconds before it is killed.
GRACE = 4.0
# A process that died is started again for what is left of its stage, unless that is less.
WORTH_A_START = 20.0
# Between two looks at a stage that is running, whose findings so far are then written.
LOOK_EVERY = 30.0

# What some stage can use and a rented machine may lack, by the name of the module.
OPTIONAL = (
    "triton",
    "pytest",
    "hypothesis",
    "nbval",
    "ipykernel",
    "seaborn",
    "accelerated_scan",
    "fla",
    "mambapy",
    "liger_kernel",
    "cut_cross_entropy",
)


@dataclass
class Plan:
    """What a call was asked to do."""

    out: Path
    stages: list[Stage]
    minutes: float
    dry_run: bool
    data_home: str | None
    resume: Path  # the folder of an earlier call, often `out` itself
    command: list[str]  # the words typed


@dataclass
class Outcome:
    """How a stage went."""

    number: int
    name: str
    title: str
    state: str = "running"  # then "done", "failed", "late" or "left out"
    reason: str = ""  # why it failed or was left out
    seconds: float = 0.0
    rows: list[Row] = field(default_factory=list)


class Director:
    """Runs the stages of a plan.

    Parameters
    ----------
    plan : Plan
        What to do.
    scratch : Path
        An empty folder for logs and files of stages.
    deadline : float
        When the last stage has to be over, in seconds as `time.time` counts them.
    say : callable
        Takes a line about each stage.
    """

    def __init__(self, plan: Plan, scratch: Path, deadline: float, say: Callable[[str], object]):
        self.plan = plan
        self.scratch = scratch
        self.deadline = deadline
        self.say = say
        self.outcomes: list[Outcome] = []
        self.waiting: dict[str, subprocess.Popen] = {}  # stages that warm up, by name
        self.left_out: list[str] = []  # files, with the reason
        self.provenance = provenance(choose_device("cpu" if plan.dry_run else "auto"), plan.command)
        self.machine = machine(plan.dry_run)
        self.absent = [name for name in OPTIONAL if not _installed(name)]

        # What has a record is not trained again, the project's records and an earlier call's.
        self.results = scratch / "results"
        self.results.mkdir()
        if not plan.dry_run:
            for folder in (PROJECT_RESULTS, PROJECT_RESULTS / PAPER):
                for path in folder.glob("*.json"):
                    files.write_bytes(self.results / path.name, path.read_bytes())
        self.known = {path.name for path in self.results.iterdir()}
        files.unzip(plan.resume / files.RUNS, self.results)
        files.unzip(plan.resume / files.UNFINISHED, self.checkpoints)

    @property
    def checkpoints(self) -> Path:
        """The folder of unfinished training runs."""
        return self.scratch / "results" / "checkpoints"

    def run(self) -> None:
        """Run every stage of the plan; files are written after each."""
        try:
            for i, stage in enumerate(self.plan.stages):
                self.run_in_turn(stage, self.plan.stages[i + 1 :])
        finally:
            for process in self.waiting.values():
                _kill(process)

    def run_in_turn(self, stage: Stage, still_to_come: list[Stage]) -> None:
        """Run one stage with its share of the time that is left."""
        seconds = seconds_for(stage, still_to_come, self.deadline - time.time())
        outcome = Outcome(stage.number, stage.name, stage.title)
        self.outcomes.append(outcome)
        self.say(f"{stage.number} {stage.title}: at most {seconds:.0f} s")
        following = still_to_come[0] if still_to_come else None
        try:
            self.run_stage(stage, outcome, seconds, following)
        except KeyboardInterrupt:
            outcome.state = "failed"
            outcome.reason = "interrupted"
            raise
        finally:
            self.write()
        self.say(self.about(stage, outcome)[0])

    def run_stage(
        self, stage: Stage, outcome: Outcome, seconds: float, following: Stage | None
    ) -> None:
        """Run one stage until it is over or its time is, and let the following one warm up."""
        began = time.time()
        until = began + seconds
        n_rows = -1
        while True:
            process = self.waiting.pop(stage.name, None) or self.start(stage)
            _tell(process, f"{time.time()} {until - GRACE}")
            if following is not None and following.warms_up and following.name not in self.waiting:
                self.waiting[following.name] = self.start(following)
            status = self.wait_for(process, stage, outcome, until)

            outcome.rows = read_rows(self.folder(stage))
            # A process that died may have left tasks undone, which another one can do.
            died = status not in (0, None)
            got_further = len(outcome.rows) > n_rows
            if not (died and got_further and until - time.time() > WORTH_A_START):
                break
            n_rows = len(outcome.rows)

        outcome.seconds = time.time() - began
        outcome.state = {0: "done", None: "late"}.get(status, "failed")
        if outcome.state == "failed":
            outcome.reason = _last_line(self.log(stage))
        for row in outcome.rows:
            if "left_out" in row:
                outcome.state = "left out"
                outcome.reason = row["left_out"]

    def start(self, stage: Stage) -> subprocess.Popen:
        """Start a stage's process, which imports what it needs and then waits to be told."""
        self.folder(stage).mkdir(exist_ok=True)
        with open(self.log(stage), "ab") as log:
            return subprocess.Popen(
                self.words(stage),
                cwd=ROOT,
                env=_environment(self.plan.dry_run),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that all it starts can be killed with it
            )

    def words(self, stage: Stage) -> list[str]:
        """Return the command of a stage's process."""
        words = [sys.executable, "-m", f"{__package__}.child", stage.name]
        words += ["--folder", str(self.folder(stage)), "--results", str(self.results)]
        if self.plan.dry_run:
            words.append("--dry-run")
        if self.plan.data_home:
            words += ["--data-home", self.plan.data_home]
        return words

    def wait_for(
        self, process: subprocess.Popen, stage: Stage, outcome: Outcome, until: float
    ) -> int | None:
        """Wait for a process; return its exit status, None if it had to be killed."""
        try:
            while (left := until - time.time()) > 0:
                try:
                    return process.wait(min(left, LOOK_EVERY))
                except subprocess.TimeoutExpired:
                    outcome.rows = read_rows(self.folder(stage))
                    self.write()
            return None
        finally:
            _kill(process)

    def folder(self, stage: Stage) -> Path:
        """Return the folder in which a stage leaves what it finds."""
        return self.scratch / stage.name

    def log(self, stage: Stage) -> Path:
        """Return the file that takes what a stage prints."""
        return self.scratch / f"{stage.name}.log"

    def about(self, stage: Stage, outcome: Outcome) -> list[str]:
        """Return what the summary says of a stage."""
        head = f"{stage.number} {stage.title}: {outcome.state}"
        if outcome.state != "running":
            head += f" after {outcome.seconds:.0f} s"
        if outcome.reason:
            head += f": {outcome.reason}"
        if outcome.state == "left out":
            return [_cut(head)]
        try:
            lines = summary_lines(stage, outcome.rows)
        except Exception as error:  # a summary must not cost the findings
            lines = [f"no summary: {type(error).__name__}: {error}"]
        return [_cut(line) for line in (head, *(f"  {line}" for line in lines))]

    def summary(self) -> list[str]:
        """Return a screen of lines about the whole call."""
        versions = self.provenance["versions"]
        lines = [
            f"{self.provenance['date']}   {self.provenance['device']}",
            "   ".join(f"{name} {version}" for name, version in versions.items()),
            ", ".join(f"{name} {value}" for name, value in self.machine.items()),
            f"not installed: {', '.join(self.absent) or 'nothing that could be used'}",
        ]
        for stage, outcome in zip(self.plan.stages, self.outcomes, strict=False):
            lines += self.about(stage, outcome)
        if self.left_out:
            lines.append("; ".join(self.left_out))
        return [_cut(line) for line in lines]

    def write(self) -> None:
        """Write every file of the results anew; a full disk does not stop the stages."""
        try:
            self.write_files(self.plan.out)
        except OSError as error:
            self.say(f"the results could not be written: {error}")

    def write_files(self, out: Path) -> None:
        """Write every file of the results into a folder."""
        made: list[Path] = []
        for stage in self.plan.stages:
            # A name that begins with a dot is of a file that is being written.
            made += sorted((self.folder(stage) / "files").glob("[!.]*"))
        new_records = [path for path in self.results.glob("*.json") if path.name not in self.known]
        unfinished = list(self.checkpoints.glob("*.ckpt"))

        self.left_out = files.copy_files(out, made)
        self.left_out += files.write_zip(out, files.RUNS, new_records)
        self.left_out += files.write_zip(out, files.UNFINISHED, unfinished)
        logs = {f"{s.number} {s.title}": self.log(s) for s in self.plan.stages}
        files.write_log(out, logs)
        found = {
            "schema": SCHEMA,
            **self.provenance,
            "dry_run": self.plan.dry_run,
            "minutes": self.plan.minutes,
            "machine": self.machine,
            "not_installed": self.absent,
            "stages": [asdict(outcome) for outcome in self.outcomes],
        }
        files.write_findings(out, found)
        prefix = "dry run on a CPU: " if self.plan.dry_run else ""
        text = "".join(f"{prefix}{line}\n" for line in self.summary())
        files.write_text(out / files.SUMMARY, text)


def run(plan: Plan, began: float, say: Callable[[str], object]) -> bool:
    """Run the stages of a plan within its minutes.

    Parameters
    ----------
    plan : Plan
        What to do.
    began : float
        When this call began, in seconds as `time.time` counts them.
    say : callable
        Takes a line at a time: how each stage goes, and at the end the summary.

    Returns
    -------
    bool
        Whether every stage was done, in full or as far as its time reached.
    """
    plan.out.mkdir(parents=True, exist_ok=True)
    deadline = began + max(0.0, plan.minutes * 60 - MARGIN)
    with tempfile.TemporaryDirectory(prefix="minirec-gpu-") as scratch:
        director = Director(plan, Path(scratch), deadline, say)
        try:
            director.run()
        finally:
            for line in director.summary():
                say(line)
    for outcome in director.outcomes:
        if outcome.state == "failed" or failures(outcome.rows):
            return False
    return True


def machine(dry_run: bool) -> dict[str, Any]:
    """Return what else one has to know of the machine to understand its figures.

    Parameters
    ----------
    dry_run : bool
        Leave the GPU alone.

    Returns
    -------
    dict
        The host's processor and number of cores; on a GPU the versions of CUDA and Triton, its
        multiprocessors and its memory in GiB.
    """
    told: dict[str, Any] = {
        "host": device_in_words(torch.device("cpu")),
        "cores": os.cpu_count(),
    }
    if dry_run or not torch.cuda.is_available():
        return told
    properties = torch.cuda.get_device_properties(0)
    return told | {
        "cuda": torch.version.cuda,
        "triton": _version("triton"),
        "multiprocessors": properties.multi_processor_count,
        "memory_gib": round(properties.total_memory / 2**30, 1),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _environment(dry_run: bool) -> dict[str, str]:
    """Return the environment of a stage: the project is found though it is not installed."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
    if environment.get("MINIREC_DATA"):  # stages run in the project's folder, not in this one
        environment["MINIREC_DATA"] = str(Path(environment["MINIREC_DATA"]).expanduser().resolve())
    environment.setdefault("GOMP_SPINCOUNT", "1000")  # threads that wait do not spin for long
    environment.setdefault("MPLBACKEND", "Agg")
    if dry_run:
        # Small work is done soonest by one thread.
        environment |= {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
        environment["TRITON_INTERPRET"] = "1"
    return environment


def _tell(process: subprocess.Popen, line: str) -> None:
    """Send a line to a process that waits for it; one that has died says so by its status."""
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(f"{line}\n".encode())
        process.stdin.flush()
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()


def _kill(process: subprocess.Popen) -> None:
    """End a process and all that it started."""
    if os.name != "posix":
        if process.poll() is None:
            process.kill()
    else:
        # A notebook's kernel has a session of its own, so the group alone would not do.
        for pid in _descendants(process.pid):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # also what outlives the process itself
    # A process that the GPU's driver does not let go of is no reason to wait.
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)


def _descendants(pid: int) -> list[int]:
    """Return the processes that a process has started, and theirs, where Linux tells."""
    children: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):  # it has ended meanwhile
            # The name in brackets may hold blanks; after it come the state and the parent.
            parent = int(status.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(status.parent.name))
    found: list[int] = []
    waiting = [pid]
    while waiting:
        of_this = children.get(waiting.pop(), [])
        found += of_this
        waiting += of_this
    return found


def _last_line(log: Path) -> str:
    """Return the last line of a log that says something."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    said = [line.strip() for line in lines if line.strip()]
    return said[-1] if said else "it printed nothing"


def _cut(line: str, width: int = 160) -> str:
    return line if len(line) <= width else f"{line[: width - 3]}..."
