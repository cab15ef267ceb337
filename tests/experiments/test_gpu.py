"""The command for a GPU's minutes: a stage that fails, hangs or dies harms no other.

What the stages find on a GPU is not tested here; that each of them runs is, in miniature.
"""

import gzip
import json
import sys
import time
import types
import zipfile
from pathlib import Path

import pytest

from minirec.cli import main as minirec
from minirec.experiments.benchmarks.systems import SYSTEMS
from minirec.experiments.causes import causes
from minirec.experiments.gpu import command, director, files, lessons, steps, table_runs
from minirec.experiments.gpu.collect import collect
from minirec.experiments.gpu.each_test import outcomes, run_apart
from minirec.experiments.gpu.job import (
    BROKEN,
    Job,
    LeftOutError,
    failures,
    found_by,
    not_reached,
    read_rows,
    swept_chunks,
)
from minirec.experiments.gpu.marked_tests import files_with_marked_tests
from minirec.experiments.gpu.profiles import Event, covered, events_of
from minirec.experiments.gpu.stages import STAGES, chosen_stages, seconds_for, summary_lines
from minirec.experiments.orders import cells_of_orders
from minirec.experiments.recblr import units_of_figure_6, units_of_table
from minirec.experiments.records import load_records
from minirec.experiments.units import EARLIER, recorded, units
from minirec.models import MODELS, model_options
from minirec.training import FIT_DEFAULTS

TESTS = Path(__file__).resolve().parents[1]
DRY = "dry run on a CPU: "


@pytest.fixture
def job(tmp_path):
    return Job(tmp_path / "stage", tmp_path / "results", until=time.time() + 600, dry_run=True)


def plan(out, numbers, minutes=1.0, resume=None):
    return director.Plan(
        out=out,
        stages=chosen_stages(numbers),
        minutes=minutes,
        dry_run=True,
        data_home=None,
        resume=resume or out,
        command=["python"],
    )


class Scripted(director.Director):
    """A director whose stages are scripts. scripts: by the stage's number."""

    scripts: dict[int, str]

    def words(self, stage):
        script = f"input()\n{self.scripts[stage.number]}"  # it waits until it is told to begin
        return [sys.executable, "-c", script, str(self.folder(stage))]


def direct(tmp_path, scripts, seconds=60.0, resume=None):
    """Run scripts as stages; return how each ended."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    out = tmp_path / "out"
    director_of_scripts = Scripted(
        plan(out, list(scripts), resume=resume),
        scratch,
        time.time() + seconds,
        say=lambda line: None,
    )
    director_of_scripts.scripts = scripts
    director_of_scripts.run()
    return director_of_scripts.outcomes


NOTE = """
import sys, pathlib
folder = pathlib.Path(sys.argv[1])
with open(folder / "rows.jsonl", "a") as file:
    file.write('{"test": "t", "outcome": "passed"}\\n')
"""


# --- Time ---


def test_what_early_stages_leave_goes_to_the_later_ones():
    stages = list(STAGES)
    used = [0.5, 1.0, 0.0, 1.0, 0.2, 1.0, 1.0]  # the share of its own time that each stage uses
    left = 100.0
    for i, stage in enumerate(stages):
        first_share = 100 * stage.share / sum(other.share for other in stages)
        seconds = seconds_for(stage, stages[i + 1 :], left)
        assert seconds >= first_share - 1e-9
        left -= used[i] * seconds
    assert left == pytest.approx(0)  # the last one may have all that is left


@pytest.mark.slow
def test_a_stage_that_fails_or_hangs_does_not_stop_the_next(tmp_path):
    hangs = NOTE + "import time; time.sleep(600)"
    fails = NOTE + "raise ValueError('no such kernel')"
    failed, hung, well = direct(tmp_path, {1: fails, 3: hangs, 5: NOTE}, seconds=30)
    assert (failed.state, failed.reason) == ("failed", "ValueError: no such kernel")
    assert hung.state == "late"
    assert well.state == "done"
    assert [len(outcome.rows) for outcome in (failed, hung, well)] == [1, 1, 1]

    told = json.loads((tmp_path / "out" / files.FINDINGS).read_text())
    assert [stage["state"] for stage in told["stages"]] == ["failed", "late", "done"]
    assert "no such kernel" in (tmp_path / "out" / files.LOG).read_text()


@pytest.mark.slow
def test_what_a_late_stage_has_started_ends_with_it(tmp_path):
    touches_later = "import pathlib, sys, time; time.sleep(8); pathlib.Path(sys.argv[1]).touch()"
    mark = tmp_path / "mark"
    hangs = f"""
import subprocess, sys, time
words = [sys.executable, "-c", {touches_later!r}, {str(mark)!r}]
subprocess.Popen(words, start_new_session=True)  # as a notebook's kernel is started
time.sleep(600)
"""
    (outcome,) = direct(tmp_path, {1: hangs}, seconds=3)
    assert outcome.state == "late"
    time.sleep(8)
    assert not mark.exists()


@pytest.mark.slow
def test_a_process_that_dies_after_some_work_is_started_again_and_one_that_does_nothing_is_not(
    tmp_path,
):
    dies_twice = (
        NOTE + f"sys.exit({BROKEN} if len(open(folder / 'rows.jsonl').readlines()) < 3 else 0)"
    )
    only_dies = "import sys; print('at once'); sys.exit(1)"
    again, never = direct(tmp_path, {1: dies_twice, 2: only_dies}, seconds=300)
    assert again.state == "done"
    assert len(again.rows) == 3
    assert (never.state, never.reason) == ("failed", "at once")


# --- What a stage notes ---


def test_a_task_that_fails_is_noted_and_the_next_one_goes_on(job):
    def fail():
        raise RuntimeError("no such shape\nand more")

    job.each(
        {"a": fail, "b": lambda: {"ms": 2.0}, "c": lambda: [{"ms": 3.0}, {"ms": float("nan")}]}
    )
    rows = job.rows()
    assert failures(rows) == ["a: FAILED: RuntimeError: no such shape"]
    assert [row["ms"] for row in found_by(rows, "")] == [2.0, 3.0, None]


def test_a_stage_that_is_started_again_begins_no_task_twice(job):
    calls = []
    job.note(begun="a")  # and then its process died
    job.each({"a": lambda: calls.append("a"), "b": lambda: calls.append("b") or {}})
    job.each({"a": lambda: calls.append("a"), "b": lambda: calls.append("b") or {}})
    assert calls == ["b"]


def test_tasks_for_which_no_time_is_left_are_named(tmp_path):
    late = Job(tmp_path, tmp_path, until=time.time() - 1)
    late.each({"a": lambda: {}, "b": lambda: {}})
    assert not_reached(late.rows()) == ["no time was left for a, b"]
    assert failures(late.rows()) == []


def test_a_task_that_was_cut_off_is_named(job):
    job.each({"a": lambda: {}})
    job.note(begun="b")  # and then its process was killed
    assert not_reached(job.rows()) == ["begun and not ended: b"]


def test_a_last_line_that_was_cut_short_costs_no_other(job):
    job.note(ms=1)
    with open(job.folder / "rows.jsonl", "a") as file:
        file.write('{"ms": 2, "na')
    assert read_rows(job.folder) == [{"ms": 1}]


def test_a_summary_has_no_more_lines_than_its_stage_may_have():
    stage = next(stage for stage in STAGES if stage.name == "marked_tests")
    rows = [{"test": f"t{i}", "outcome": "failed", "reason": "no"} for i in range(50)]
    lines = summary_lines(stage, rows)
    assert len(lines) == stage.n_lines
    assert lines[-1].startswith(f"... and {51 - stage.n_lines + 1} lines more")


def test_the_longest_summary_fits_a_screen(tmp_path, monkeypatch):
    """Every stage has found more than it may say, and a file was left out."""
    monkeypatch.setattr(director, "summary_lines", lambda stage, rows: ["x"] * stage.n_lines)
    busy = director.Director(plan(tmp_path, None), tmp_path, time.time(), say=lambda line: None)
    busy.outcomes = [
        director.Outcome(stage.number, stage.name, stage.title, state="done") for stage in STAGES
    ]
    busy.left_out = ["a file is too large", "another one"]
    assert len(busy.summary()) <= 40


# --- Files ---


def test_a_file_that_is_too_large_is_left_out_and_named(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_BYTES", 1000)
    for name, size in (("large", 1001), ("small", 1000)):
        (tmp_path / name).write_bytes(bytes(size))
    out = tmp_path / "out"
    said = files.copy_files(out, [tmp_path / "large", tmp_path / "small"])
    assert [path.name for path in out.iterdir()] == ["small"]
    assert len(said) == 1
    assert said[0].startswith("large is larger than")


def test_of_a_long_log_the_end_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "LOG_BYTES", 10)
    (tmp_path / "log").write_text("x" * 50 + "the error.")
    files.write_log(tmp_path / "out", {"1 tests": tmp_path / "log", "2 none": tmp_path / "none"})
    assert (tmp_path / "out" / files.LOG).read_text() == "==== 1 tests (its end) ====\nthe error.\n"


def test_an_archive_writes_into_its_folder_alone_and_replaces_nothing(tmp_path):
    archive = tmp_path / "some.zip"
    with zipfile.ZipFile(archive, "w") as content:
        content.writestr("../outside.json", "new")
        content.writestr("there.json", "new")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "there.json").write_text("old")
    assert files.unzip(archive, folder) == ["outside.json"]
    assert (folder / "there.json").read_text() == "old"
    assert not (tmp_path / "outside.json").exists()


def test_records_and_the_unfinished_run_of_an_earlier_call_are_there_again(tmp_path):
    earlier = tmp_path / "earlier"
    (tmp_path / "one.json").write_text("{}")
    (tmp_path / "two.ckpt").write_text("half")
    files.write_zip(earlier, files.RUNS, [tmp_path / "one.json"])
    files.write_zip(earlier, files.UNFINISHED, [tmp_path / "two.ckpt"])
    direct(tmp_path, {5: "pass"}, resume=earlier)
    with zipfile.ZipFile(tmp_path / "out" / files.RUNS) as archive:
        assert archive.namelist() == ["one.json"]
    with zipfile.ZipFile(tmp_path / "out" / files.UNFINISHED) as archive:
        assert archive.read("two.ckpt") == b"half"


# --- Filing them ---


def results_of_a_call(folder, dry_run=False, record='{"schema": 1}'):
    """Write a folder as the command leaves it."""
    told = {"dry_run": dry_run, "device": "NVIDIA H200", "date": "2026-11-27T10:20:30+00:00"}
    files.write_text(folder / files.FINDINGS, json.dumps(told))
    (folder / "beauty-sasrec.json").write_text(record)
    files.write_zip(folder, files.RUNS, [folder / "beauty-sasrec.json"])


def test_records_are_filed_where_tables_find_them_and_replace_none(tmp_path, capsys):
    results_of_a_call(tmp_path / "came-back")
    home = tmp_path / "results"
    typed = ["reproduce", "--collect", str(tmp_path / "came-back"), "--out", str(home)]
    assert minirec(typed) == 0
    assert len(load_records(home)) == 1
    assert (home / "gpu" / "20261127T102030-nvidia-h200.json").exists()
    assert capsys.readouterr().out.count("filed ") == 2

    (home / "beauty-sasrec.json").write_text("mine")
    assert minirec(typed) == 0
    assert (home / "beauty-sasrec.json").read_text() == "mine"
    assert capsys.readouterr().out.count("is there already") == 2


def record_of(unit):
    """Return what a run of the unit would record, as far as tables look at it."""
    settings = {key: FIT_DEFAULTS[key] for key in ("lr", "lr_schedule", "batch_size", "precision")}
    settings |= {"objective": MODELS[unit.model].objective}
    return {
        "schema": 1,
        "model": unit.model,
        "data": unit.recorded_data,
        "options": model_options(unit.model) | unit.options,
        "settings": settings | unit.settings,
    }


def runs_of_tables(paper):
    """List the runs behind the tables and figures of a paper that a GPU's minutes are for."""
    seeds = table_runs.SEEDS
    if paper == "recblr":
        found = [cell.unit for cell in cells_of_orders()] + units_of_figure_6(seeds=seeds)
        found += [cause.unit for cause in causes() if cause.unit is not None]
        for table in (1, 3, 4):
            found += units_of_table(table, seeds=seeds)
        return found
    return [*units(seeds=seeds), *units(2, seeds=seeds), *units(4)]


@pytest.mark.slow
def test_every_run_of_the_tables_is_filed_where_its_table_looks(tmp_path):
    """Two different runs of one name would also show: one of them would not be found."""
    came_back = tmp_path / "came-back"
    results_of_a_call(came_back)
    paths = []
    for unit in table_runs.units_by_worth():
        path = came_back / f"{unit.name}.json"
        path.write_text(json.dumps(record_of(unit)))
        paths.append(path)
    files.write_zip(came_back, files.RUNS, paths)

    home = tmp_path / "results"
    collect(came_back, home)
    for paper, place in (("glint-ru", home), ("recblr", home / "recblr")):
        wanted = [unit for unit in runs_of_tables(paper) if unit.paper_data not in EARLIER]
        found = recorded(wanted, place)
        assert [record["file"] for _, record in found] == [f"{unit.name}.json" for unit in wanted]


def test_a_dry_run_an_empty_folder_and_foreign_files_are_not_filed(tmp_path):
    results_of_a_call(tmp_path / "dry", dry_run=True)
    results_of_a_call(tmp_path / "foreign", record='{"something": "else"}')
    home = tmp_path / "results"
    for name, complaint in (
        ("dry", "holds a dry run"),
        ("foreign", "not a run record"),
        ("nothing", "has no gpu.json"),
    ):
        with pytest.raises(ValueError, match=complaint):
            collect(tmp_path / name, home)
    assert not home.exists()


# --- Single stages ---


def test_a_machine_without_nbval_leaves_the_notebooks_out_by_name(job, monkeypatch):
    monkeypatch.setattr(lessons, "find_spec", lambda module: None if module == "nbval" else "here")
    with pytest.raises(LeftOutError, match="nbval is not installed"):
        lessons.run(job)


def test_files_with_tests_marked_gpu_are_found_and_no_others(tmp_path):
    (tmp_path / "test_marked.py").write_text("@pytest.mark.gpu\ndef test_a(): pass\n")
    (tmp_path / "test_plain.py").write_text("TEXT = '@pytest.mark.gpu'\ndef test_a(): pass\n")
    assert files_with_marked_tests(tmp_path) == [tmp_path / "test_marked.py"]
    assert TESTS / "training" / "test_on_gpu.py" in files_with_marked_tests(TESTS)


@pytest.mark.slow
def test_each_test_of_a_run_of_pytest_is_noted(job, tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]")
    (tmp_path / "test_some.py").write_text(
        "import pytest\n"
        "def test_good(): pass\n"
        "def test_bad(): assert 1 + 1 == 3\n"
        "@pytest.mark.skip(reason='none')\ndef test_ugly(): pass\n"
    )
    (tmp_path / "test_broken.py").write_text("import minirec.no_such_module\n")
    (tmp_path / "test_needy.py").write_text("import no_such_package\n")
    run_apart(job, ["--rootdir", str(tmp_path), str(tmp_path)])
    ended = outcomes(job.rows())
    assert [row["test"] for row in ended["passed"]] == ["test_some.py::test_good"]
    assert sorted(row["test"] for row in ended["skipped"]) == [
        "test_needy.py",
        "test_some.py::test_ugly",
    ]
    reasons = {row["test"]: row["reason"] for row in ended["failed"]}
    assert set(reasons) == {"test_some.py::test_bad", "test_broken.py"}
    assert reasons["test_some.py::test_bad"].startswith("assert (1 + 1) == 3")


def test_runs_of_the_tables_come_by_worth_and_none_twice():
    todo = table_runs.units_by_worth()
    names = [unit.name for unit in todo]
    assert len(names) == len(set(names))
    of_recblr = [unit.paper == "recblr" for unit in todo]
    assert of_recblr == sorted(of_recblr, reverse=True)  # RecBLR's tables before GLINT-RU's
    assert [unit.name for unit in todo][: len(cells_of_orders())] == [
        cell.unit.name for cell in cells_of_orders()
    ]

    others = [unit for unit in todo if unit.paper == "glint-ru"]
    data = [unit.data for unit in others]
    assert data == sorted(data, key=["ml-1m", "ml-1m-full", "beauty", "video-games"].index)
    seeds = [unit.settings["seed"] for unit in others if unit.data == "ml-1m"]
    assert seeds == sorted(seeds)
    assert set(seeds) == {0, 1, 2}
    assert others[0].name.startswith("ml-1m-recblr-full-")


def test_the_device_is_busy_while_any_kernel_runs():
    def event(start, duration):
        return Event("kernel", start, duration, on_device=True)

    events = [event(5.0, 1.0), event(0.0, 2.0), event(1.0, 3.0), event(1.5, 0.5)]
    assert covered(events) == 5.0


def test_a_step_of_a_trace_is_what_lies_within_its_annotation():
    mark = {"name": "step, by graph", "cat": "user_annotation", "ts": 1000, "dur": 500}
    inside = {"name": "gemm_kernel", "cat": "kernel", "ts": 1250, "dur": 100}
    before = {"name": "gemm_kernel", "cat": "kernel", "ts": 900, "dur": 50}
    host = {"name": "cudaGraphLaunch", "cat": "cuda_runtime", "ts": 1010, "dur": 20}
    found = events_of([mark, inside, before, host], "step, by graph")
    assert found == [
        Event("gemm_kernel", 0.25, 0.1, on_device=True),
        Event("cudaGraphLaunch", 0.01, 0.02, on_device=False),
    ]
    assert [event.kind for event in found] == ["products", "all else"]


class FakeEvent:
    """A CUDA event by a clock of this test's own."""

    now = 0.0

    def __init__(self, enable_timing):
        assert enable_timing

    def record(self):
        self.at = FakeEvent.now

    def synchronize(self):
        pass

    def elapsed_time(self, other):
        return other.at - self.at


def test_a_step_is_timed_warm_by_the_clocks_of_device_and_host(monkeypatch):
    host = iter([10.0, 10.006])  # seconds: before the first and after the last launch
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.synchronize", lambda: None)
    monkeypatch.setattr("torch.cuda.Event", FakeEvent)
    monkeypatch.setattr(steps.time, "perf_counter", lambda: next(host))
    taken = []

    def step(i):
        taken.append(i)
        FakeEvent.now += 100.0 if len(taken) <= 3 else 5.0  # the first round compiles

    found = steps.milliseconds(step, 3)
    assert taken == [0, 1, 2] * 2
    assert found == {"device_ms": 5.0, "host_ms": pytest.approx(2.0)}


# What the stages note on a GPU, made up, beside what has to be read of it.
TRAINED = {
    "task": "glint-ru",
    "seconds": [9.0, 2.0],
    "device_ms": 4.0,
    "host_ms": 0.1,
    "eager_device_ms": 15.0,
    "eager_host_ms": 14.0,
    "gru_alone_ms": 3.2,
    "capture_failed": "RuntimeError: no",
}
STEP = {"ms": 4.0, "n_kernels": 90, "device_busy": 0.985}
ROOFS = {"task": "the machine", "bandwidth": 4e12, "flops": 5e13}
SCAN_SHAPE = [2000, 1000, 125]  # at 32 bytes per element, 8 GB in all, a copy takes 2 ms
VARIANT = {"task": "variants a", "shape": [1, 64, 2], "operation": "bd_lru"}
NOTED = [
    ("training", [TRAINED], ["glint-ru: 9.00 then 2.00 s", "device 4.00 ms, host 0.10"]),
    ("training", [TRAINED], ["(no graph 15.00, 14.00)", "GRU alone 3.20", "NOT captured: Runtime"]),
    (
        "profiles",
        [{"task": "recblr", "system": "recblr", "steps": {"by graph": STEP}}],
        ["recblr: by graph 4.00 ms (90 kernels, device busy 98%)"],
    ),
    (
        "kernels",
        [
            ROOFS,
            {"task": "scan a", "shape": SCAN_SHAPE, "name": "ours, triton", "seconds": 4e-3},
            {"task": "scan a", "shape": SCAN_SHAPE, "name": "copy", "seconds": 2e-3},
            {"task": "scan a", "shape": SCAN_SHAPE, "name": "theirs", "seconds": 3e-3},
        ],
        ["copy 4 TB/s, product 50 TFLOP/s", "2000x1000x125 0.50", "2000x1000x125 theirs 0.75"],
    ),
    (
        "kernels",
        [
            {"task": "chunks a", "shape": [1, 64, 2], "chunks": 1, "ms": 0.9},
            {"task": "chunks a", "shape": [1, 64, 2], "chunks": 4, "ms": 0.3},
        ],
        ["best chunks: 1x64x2 4 (0.3 ms)"],
    ),
    (
        "kernels",
        [
            VARIANT | {"variant": "64 lanes", "ms": 4.0, "ratio": 1.0},
            VARIANT | {"variant": "32 lanes", "ms": 3.0, "ratio": 0.75},
        ],
        ["bd_lru 1x64x2 32 lanes (0.75)"],
    ),
    (
        "kernels",
        [
            {"task": "loss", "case": "V = 9", "name": "ours", "seconds": 3.0},
            {"task": "loss", "case": "V = 9", "name": "plain", "seconds": 4.0},
            {"task": "loss", "case": "V = 9", "name": "absent", "seconds": None},
            {"task": "loss", "case": "V = 9", "name": "floor: products", "seconds": 1.0},
            {"task": "loss", "case": "V = 9", "name": "floor", "seconds": 2.0},
        ],
        ["V = 9: 1.5 (plain 2.0)"],
    ),
    (
        "quality",
        [
            {
                "result": "judged",
                "system": "recblr",
                "seconds": 29.0,
                "valid_ndcg": 0.2,
                "data": "ml-1m",
                "test": {"ndcg": 0.183},
            }
        ],
        ["29.0 s", "test NDCG@10 0.1830", "the goal; published 540 s"],
    ),
    ("quality", [{"epoch": 3, "valid_ndcg": 0.1}], ["3 epochs", "not finished"]),
    (
        "table_runs",
        [{"task": "a", "unit": "a", "ended": "cut short"}],
        ["runs recorded: 0", "a: cut short"],
    ),
]


@pytest.mark.parametrize(("name", "rows", "wanted"), NOTED, ids=lambda value: str(value)[:20])
def test_a_summary_tells_what_was_noted(name, rows, wanted):
    (stage,) = [stage for stage in STAGES if stage.name == name]
    text = "\n".join(summary_lines(stage, rows))
    for words in wanted:
        assert words in text


# --- The command ---


def test_without_a_gpu_the_command_says_what_to_do_instead(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit):
        command.main(["--out", str(tmp_path)])
    assert "no CUDA GPU; --dry-run" in capsys.readouterr().err


@pytest.mark.parametrize("numbers", ["0", "1,8", "a", ""])
def test_a_stage_that_does_not_exist_is_refused(numbers, capsys):
    with pytest.raises(SystemExit):
        command.main(["--dry-run", "--out", "somewhere", "--stages", numbers])
    assert "stages are numbers from 1 to 7" in capsys.readouterr().err


@pytest.mark.slow
def test_the_dry_run_does_all_stages_in_miniature_and_says_so_in_every_line(tmp_path, capsys):
    assert command.main(["--dry-run", "--out", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith(DRY) for line in lines)

    told = json.loads((tmp_path / files.FINDINGS).read_text())
    assert [(stage["number"], stage["state"]) for stage in told["stages"]] == [
        (number, "done") for number in range(1, 8)
    ]
    for stage in told["stages"]:
        assert stage["rows"], stage["name"]
        assert failures(stage["rows"]) == []

    summary = (tmp_path / files.SUMMARY).read_text().splitlines()
    assert lines[-len(summary) :] == summary
    assert len(summary) <= 40
    assert not any("no summary" in line for line in summary)

    made = {path.name: path for path in tmp_path.iterdir()}
    assert len(made) <= 8
    assert all(path.stat().st_size <= files.MAX_BYTES for path in made.values())
    for system in ("glint-ru", "recblr"):
        trace = gzip.decompress(made[f"trace-{system}.json.gz"].read_bytes())
        assert json.loads(trace)["traceEvents"]
    assert made["profile.png"].read_bytes().startswith(b"\x89PNG")
    with zipfile.ZipFile(made[files.RUNS]) as archive:
        assert archive.namelist() == ["planted-gru4rec-full-seed0.json"]


@pytest.mark.slow
def test_the_proof_of_a_system_is_printed(monkeypatch, capsys):
    monkeypatch.setattr(command, "SYSTEMS", ["recblr"])
    assert command.main(["--prove"]) == 0
    assert "nothing asked for a number" in capsys.readouterr().out


def test_the_proof_prints_a_line_for_each_system_and_fails_where_one_is_not_provable(
    monkeypatch, capsys
):
    def prove(name):
        if name == "linrec":
            raise RuntimeError("a boolean mask makes a shape")
        return f"{name}: fixed shapes"

    module = types.ModuleType("minirec.experiments.proof")
    module.prove = prove
    monkeypatch.setitem(sys.modules, "minirec.experiments.proof", module)
    assert command.main(["--prove"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(SYSTEMS)
    assert "gru4rec: fixed shapes" in lines
    assert "linrec: NOT proved: RuntimeError: a boolean mask makes a shape" in lines


def test_later_stages_take_the_chunks_that_the_sweep_found_best(tmp_path):
    kernels = Job(tmp_path / "kernels", tmp_path, until=0)
    for n_chunks, ms in ((1, 3.0), (2, 1.0), (4, 2.0)):
        kernels.note(task="chunks of [1, 64, 8]", shape=[1, 64, 8], chunks=n_chunks, ms=ms)
    kernels.note(task="chunks of [2, 64, 8]", error="out of memory")
    kernels.note(task="scan", shape=[1, 64, 8], name="ours", seconds=1.0)
    assert swept_chunks(tmp_path) == {(1, 64, 8): 2}
    assert swept_chunks(tmp_path / "nothing") == {}
