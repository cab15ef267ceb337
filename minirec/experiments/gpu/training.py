"""Stage 2: every system trained for two epochs, and the milliseconds of its steps."""

from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from minirec.data.splits import Split
from minirec.experiments.benchmarks.systems import SYSTEMS, build
from minirec.experiments.gpu.job import Job, Row, failures, found_by, not_reached
from minirec.experiments.gpu.steps import Sizes, StandingRun, milliseconds, sizes_for, split_for
from minirec.layers.gru import GRU
from minirec.training import fit

FIRST = ["glint-ru", "recblr", "sasrec", "gru4rec", "mamba4rec", "lrurec"]  # the worthiest first
LARGE_BATCH = 8192  # targets
N_STEPS = 60  # that are timed; enough for every width to come up
N_STEPS_DRY = 2


def run(job: Job) -> None:
    """Train each system, then time its steps; the two of this course also with large batches."""
    split, data = split_for(job)
    sizes = sizes_for(job)
    job.note(data=data, d_model=sizes.d_model, max_len=sizes.max_len)

    tasks = {}
    for system in [*FIRST, *(name for name in SYSTEMS if name not in FIRST)]:
        tasks[system] = partial(measure, job, split, system, sizes, "float32")
    if not job.dry_run:
        large = Sizes(sizes.d_model, sizes.max_len, LARGE_BATCH)
        for system in ("glint-ru", "recblr"):
            name = f"{system}, {LARGE_BATCH:,} targets, bfloat16"
            tasks[name] = partial(measure, job, split, system, large, "bfloat16")
    job.each(tasks)


def measure(job: Job, split: Split, system: str, sizes: Sizes, precision: str) -> Row:
    """Train one system and time its steps.

    Parameters
    ----------
    job : Job
        The stage.
    split : Split
        What is trained on.
    system : str
        The model's name.
    sizes : Sizes
        Of model and batches.
    precision : str
        "float32" or "bfloat16".

    Returns
    -------
    dict
        Seconds of both epochs, valid evaluation included (the first one's include compiling and
        capturing); steps per epoch; milliseconds per step of device and host, as training takes
        them and, on a GPU, without graphs; for models with GRUs those of cuDNN's GRU alone.
    """
    model = build(system, split.interactions.n_items, d_model=sizes.d_model, max_len=sizes.max_len)
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    history = fit(
        model,
        split,
        epochs=1 if job.dry_run else 2,
        batch_size=sizes.batch_size,
        precision=precision,
        patience=None,
        progress=False,
    )
    standing = StandingRun(split, system, sizes, precision)
    n_steps = min(len(standing.epoch), N_STEPS_DRY if job.dry_run else N_STEPS)
    found: Row = {
        "system": system,
        "batch_size": sizes.batch_size,
        "precision": precision,
        "seconds": [epoch["seconds"] for epoch in history.epochs],
        "loss": [epoch["loss"] for epoch in history.epochs],
        "valid_ndcg": [epoch["valid_ndcg"] for epoch in history.epochs],
        "steps": len(standing.epoch),
        "n_timed": n_steps,
        **milliseconds(standing.usual, n_steps),
        "capture_failed": standing.failure,
    }
    if on_gpu:
        found["peak_mib"] = torch.cuda.max_memory_allocated() / 2**20
        eager = milliseconds(standing.eager, n_steps)
        found |= {f"eager_{name}": value for name, value in eager.items()}
    gru = cudnn_steps(standing, precision)
    if gru is not None:
        found["gru_alone_ms"] = milliseconds(gru, n_steps)["device_ms"]
    return found


def cudnn_steps(standing: StandingRun, precision: str) -> Any:
    """Return a step of the run's GRU layers alone, both ways, by torch.nn.GRU; None without any.

    It takes the number of a step, as the run's own steps do, and has the shape of its batch.
    """
    layers = [
        module
        for module in standing.run.model.modules()
        if isinstance(module, GRU) and module.cell.form == "torch"
    ]
    if not layers:
        return None
    device = standing.run.device
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    grus = []
    for layer in layers:
        gru = nn.GRU(layer.cell.weight_x.shape[1], layer.cell.d_state, batch_first=True)
        grus.append(gru.to(device, dtype))

    @cache
    def batch(n_rows: int, width: int, d_input: int) -> Tensor:
        """Return an input, made before the clock starts: the first round is not timed."""
        return torch.zeros(n_rows, width, d_input, device=device, dtype=dtype, requires_grad=True)

    def step(i: int) -> None:
        shape = standing.epoch.fixed_shape(i)
        for gru in grus:
            states, _ = gru(batch(shape.n_rows, shape.width, gru.input_size))
            states.backward(torch.ones_like(states))

    return step


def in_words(rows: list[Row]) -> list[str]:
    """Return a line for each system, and one for each that failed."""
    lines = []
    for row in found_by(rows, ""):
        seconds = " then ".join(f"{value:.2f}" for value in row["seconds"])
        device = "" if row["device_ms"] is None else f"device {row['device_ms']:.2f} ms, "
        line = (
            f"{row['task']}: {seconds} s per epoch; per step {device}host {row['host_ms']:.2f} ms"
        )
        if "eager_device_ms" in row:
            line += f" (no graph {row['eager_device_ms']:.2f}, {row['eager_host_ms']:.2f})"
        if row.get("gru_alone_ms"):
            line += f"; GRU alone {row['gru_alone_ms']:.2f}"
        if row["capture_failed"]:
            line += f"; NOT captured: {row['capture_failed']}"
        lines.append(line)
    return failures(rows) + not_reached(rows) + lines
