"""A training run that stands still: its steps one by one, to be timed and profiled.

B rows, N positions, d model width.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from minirec.data.batching import TrainingBatches
from minirec.data.planted import generate_planted
from minirec.data.splits import Split
from minirec.devices import choose_device
from minirec.experiments.benchmarks.systems import build, split_of
from minirec.experiments.gpu.job import Job
from minirec.training.settings import Settings
from minirec.training.trainer import Run

N_USERS_DRY = 40  # of planted data


@dataclass(frozen=True)
class Sizes:
    """The sizes of models and batches."""

    d_model: int
    max_len: int
    batch_size: int  # in targets


SIZES = Sizes(d_model=128, max_len=200, batch_size=2048)  # the papers' on MovieLens-1M
SIZES_DRY = Sizes(d_model=8, max_len=12, batch_size=256)


def sizes_for(job: Job) -> Sizes:
    """Return the papers' sizes, or those of the dry run."""
    return SIZES_DRY if job.dry_run else SIZES


def split_for(job: Job) -> tuple[Split, str]:
    """Return MovieLens-1M (5-core) where it lies on this machine, else planted histories.

    Returns
    -------
    Split
        Leave-one-out.
    str
        What to call it.
    """
    if job.dry_run:
        return generate_planted(0, n_users=N_USERS_DRY).split(), "planted, small"
    return split_of("ml-1m", None, job.data_home)


class StandingRun:
    """The first epoch of a run, any step of which can be taken at any time.

    Parameters
    ----------
    split : Split
        What is trained on.
    system : str
        The model's name.
    sizes : Sizes
        Of model and batches.
    precision : str
        "float32" or "bfloat16".

    Attributes
    ----------
    run : Run
        The run.
    epoch : Epoch
        Its first epoch.
    """

    def __init__(self, split: Split, system: str, sizes: Sizes, precision: str = "float32"):
        n_items = split.interactions.n_items
        model = build(system, n_items, d_model=sizes.d_model, max_len=sizes.max_len)
        device = choose_device("auto")
        settings = Settings(
            batch_size=sizes.batch_size,
            lr=1e-3,
            lr_schedule="constant",
            seed=0,
            precision=precision,
            select="full",
            objective=model.objective,
            prefixes_per_user=4 if model.objective == "prefix" else None,
            epochs=1,
            patience=None,
            device=device.type,
        )
        batches = TrainingBatches(
            split, model.objective, model.max_len, sizes.batch_size, 0, 4, device
        )
        self.run = Run(model, split, batches, settings, device, None, 60.0)
        self.epoch = batches.epoch(0)
        if self.run.graphs is not None:
            self.run.graphs.load(self.epoch)
        model.train()

    def eager(self, i: int) -> Tensor:
        """Take the step of batch i one kernel at a time; return its loss."""
        return self.run.step(self.epoch[i])

    def usual(self, i: int) -> Tensor:
        """Take the step of batch i as training does: on a GPU by its graph."""
        return self.eager(i) if self.run.graphs is None else self.run.graphs(i)

    @property
    def failure(self) -> str:
        """Why a step could not be captured; empty if it could, or if there is no GPU."""
        return "" if self.run.graphs is None else self.run.graphs.failure


def milliseconds(step: Callable[[int], Any], n_steps: int) -> dict[str, float | None]:
    """Time a block of warm steps.

    Parameters
    ----------
    step : callable
        Takes the number of a step.
    n_steps : int
        Steps 0 to n_steps - 1 are taken twice, and timed the second time.

    Returns
    -------
    dict
        Per step: "device_ms", by the GPU's clock from before the first to after the last (None
        where there is no GPU), and "host_ms", until the host had launched the last one.
    """
    for i in range(n_steps):
        step(i)
    if not torch.cuda.is_available():
        began = time.perf_counter()
        for i in range(n_steps):
            step(i)
        return {"device_ms": None, "host_ms": (time.perf_counter() - began) * 1e3 / n_steps}

    begin = torch.cuda.Event(enable_timing=True)
    end = torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    began = time.perf_counter()
    begin.record()
    for i in range(n_steps):
        step(i)
    end.record()
    host_seconds = time.perf_counter() - began
    end.synchronize()
    return {
        "device_ms": begin.elapsed_time(end) / n_steps,
        "host_ms": host_seconds * 1e3 / n_steps,
    }
