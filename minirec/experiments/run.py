"""Training the runs that have no record yet."""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import torch

from minirec.data.splits import Split
from minirec.devices import choose_device
from minirec.experiments.benchmarks import measure
from minirec.experiments.records import (
    benchmark_folder,
    forget_peak_memory,
    provenance,
    record_run,
    refuse_existing,
    save_record,
)
from minirec.experiments.tables import TIMED
from minirec.experiments.units import Unit, recorded
from minirec.models import build_model
from minirec.models.base import Recommender
from minirec.storage import check_writable
from minirec.training import History, StopTraining, fit

# Beside those of Table 3: how times grow with length, width and batch; the third data set; and the
# kernel sizes and Light GLINT-RU.
OF_CLAIMS = ("length", "train-video-games", "glint-ru-variants")


def run(
    todo: list[Unit],
    out: str | Path,
    *,
    command: Sequence[str],
    data_home: str | Path | None = None,
    budget: float = math.inf,
    unit_budget: float = math.inf,
    checkpoints: str | Path = "runs/reproduce",
    say: Callable[[str], object] = print,
) -> None:
    """Train the units that have no record, one after the other, and record each as it ends.

    A run that the call's budget or Ctrl-C cuts short leaves no record; the next call continues it
    from its checkpoint.

    Parameters
    ----------
    todo : list of Unit
        The runs that are wanted.
    out : str or Path
        The folder of the records.
    command : sequence of str
        The words typed, for the records.
    data_home : str or Path, optional
        Where data sets lie; see `load_dataset`.
    budget : float
        Seconds for this call.
    unit_budget : float
        Seconds of training after which a run ends for good, recorded as ended by its budget.
    checkpoints : str or Path
        The folder of the unfinished runs.
    say : callable
        Takes a line about each run.

    Raises
    ------
    ValueError
        Where something in `out` is not a record.
    FileExistsError
        Where another run's record has the name that this one's would have.
    """
    deadline = time.monotonic() + budget

    def spent(history: History) -> bool:
        """Return whether the run has used its own budget."""
        return _seconds(history) >= unit_budget

    def stop_in_time(history: History) -> None:
        """End the training after an epoch that used up either budget."""
        if time.monotonic() >= deadline or spent(history):
            raise StopTraining

    splits: dict[str, Split] = {}  # a data set is read once, whatever the number of its runs
    for unit in todo:
        checkpoint = Path(checkpoints) / f"{unit.name}.ckpt"
        if recorded([unit], out):
            checkpoint.unlink(missing_ok=True)  # there if the last call died behind the record
            continue
        path = Path(out) / f"{unit.name}.json"
        refuse_existing(path)  # now, not after hours of training
        if time.monotonic() >= deadline:
            return
        check_writable(path)

        if unit.recorded_data not in splits:
            splits[unit.recorded_data] = unit.load(data_home).split()
        split = splits[unit.recorded_data]

        model, history = _train(unit, split, checkpoint, stop_in_time)

        # Either budget ends the training in the same way. A run that has used its own is finished;
        # one that this call's budget or Ctrl-C ended is not, and keeps its checkpoint.
        ended_early = history.stopped in ("budget", "interrupted")
        if ended_early and not spent(history):
            n_epochs = len(history.epochs)
            say(f"{unit.name}: {n_epochs} epochs so far; the same command continues it")
            return

        record = record_run(model, split, history, command)
        save_record(path, record)
        checkpoint.unlink(missing_ok=True)
        say(_summary(unit, record))
        del model, history  # the next run's memory is counted without them


def _train(
    unit: Unit, split: Split, checkpoint: Path, on_epoch: Callable[[History], None]
) -> tuple[Recommender, History]:
    """Train one unit, from its checkpoint if there is one."""
    forget_peak_memory()
    torch.manual_seed(unit.settings["seed"])
    model = build_model(unit.model, split.interactions.n_items, **unit.options)
    history = fit(
        model, split, checkpoint=checkpoint, on_epoch=on_epoch, progress=False, **unit.settings
    )
    return model, history


def _seconds(history: History) -> float:
    """Return the seconds of all epochs, those before a resume included."""
    return sum(epoch["seconds"] for epoch in history.epochs)


def _summary(unit: Unit, record: dict) -> str:
    """Return a finished run as one line."""
    n_epochs = len(record["history"])
    minutes = record["seconds"] / 60
    figures = record["metrics"]["test"][unit.settings["select"]]
    return (
        f"{unit.name}: {record['ended']} after {n_epochs} epochs, {minutes:.1f} min, "
        f"test NDCG@10 {figures['ndcg']:.4f}"
    )


def time_systems(
    out: str | Path,
    command: Sequence[str],
    names: Sequence[str] = (*TIMED, *OF_CLAIMS),
    say: Callable[[str], object] = print,
) -> None:
    """Run benchmarks that have no record yet.

    Unless named, those behind GLINT-RU's Table 3 and behind its other claims on costs.

    On the GPU if there is one. Only those run that have no record of this device in `out`; each
    leaves its record there, in `benchmark_folder`.

    Parameters
    ----------
    out : str or Path
        The folder of the records.
    command : sequence of str
        The words typed, for the records.
    names : sequence of str
        The benchmarks.
    say : callable
        Takes a line about each benchmark.
    """
    device = choose_device("auto")
    for name in names:
        path = benchmark_folder(out, device) / f"{name}.json"
        if path.exists():
            continue
        record = provenance(device, command)
        rows = measure(name).to_dict("records")
        # What a row has no figure of, times or memory, is left out: JSON has no NaN.
        record["rows"] = [{key: row[key] for key in row if not pd.isna(row[key])} for row in rows]
        save_record(path, record)
        say(f"measured {name}: {path}")
