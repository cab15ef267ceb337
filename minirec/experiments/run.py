"""Training the runs that have no record yet."""

import contextlib
import math
import time
from functools import cache
from pathlib import Path

import torch

from minirec.data.datasets import load_dataset
from minirec.devices import choose_device
from minirec.experiments.benchmarks import BENCHMARKS
from minirec.experiments.records import provenance, record_run, refuse_existing, save_record
from minirec.experiments.tables import TIMED
from minirec.experiments.units import Unit, recorded
from minirec.models import build_model
from minirec.training import fit


def run(
    todo: list[Unit],
    out,
    *,
    command: list[str],
    data_home=None,
    budget: float = math.inf,
    unit_budget: float = math.inf,
    checkpoints="runs/reproduce",
    say=print,
) -> None:
    """Trains those units that have no record in the folder `out`, one after the other, and leaves a record of each as it ends.

    budget: seconds for this call; a run that it cuts short is continued by the next call, from its checkpoint. unit_budget: seconds of training after
    which a run ends for good, and is recorded as ended by its budget. Ctrl-C is a budget that ends now. checkpoints: the folder for unfinished runs.
    Raises ValueError where something in `out` is not a record, and FileExistsError where another run's record has this one's name.
    """
    begin, split_of = (
        time.monotonic(),
        cache(lambda name: load_dataset(name, data_home=data_home).split()),
    )

    def spent(history) -> bool:
        return sum(epoch["seconds"] for epoch in history.epochs) >= unit_budget

    def stop(history) -> None:
        if time.monotonic() - begin >= budget or spent(history):
            raise KeyboardInterrupt

    for unit in todo:
        path, checkpoint = Path(out) / f"{unit.name}.json", Path(checkpoints) / f"{unit.name}.ckpt"
        if recorded([unit], out):
            continue
        refuse_existing(path)
        if time.monotonic() - begin >= budget:
            return
        split = split_of(unit.data)
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text(
                "5"
            )  # the most memory is counted anew for each run, where Linux counts it
        torch.manual_seed(unit.settings["seed"])
        model = build_model(unit.model, split.interactions.n_items, **unit.options)
        history = fit(
            model, split, checkpoint=checkpoint, on_epoch=stop, progress=False, **unit.settings
        )
        if history.stopped == "interrupted" and not spent(history):
            say(f"{unit.name}: {len(history.epochs)} epochs so far; the same command continues it")
            return
        record = record_run(model, split, history, command)
        save_record(path, record)
        checkpoint.unlink(missing_ok=True)
        figures = record["metrics"]["test"][unit.settings["select"]]
        say(
            f"{unit.name}: {record['ended']} after {len(history.epochs)} epochs, {record['seconds'] / 60:.1f} min, test NDCG@10 {figures['ndcg']:.4f}"
        )


def time_systems(out, command: list[str], say=print) -> None:
    """Runs the benchmarks behind Table 3, and how times grow with length, width and batch, where out/benchmarks has no record; leaves records there."""
    for what in (*TIMED, "length"):
        path = Path(out) / "benchmarks" / f"{what}.json"
        if not path.exists():
            save_record(
                path,
                {
                    **provenance(choose_device("auto"), command),
                    "rows": BENCHMARKS[what]().to_dict("records"),
                },
            )
            say(f"measured {what}: {path}")
