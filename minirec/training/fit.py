"""fit: one training loop for every model, whatever its objective."""

import inspect
import math
import time

import torch

from minirec.data.batching import PREFIXES_PER_USER, TrainingBatches
from minirec.data.splits import Split
from minirec.devices import choose_device
from minirec.evaluation import PROTOCOLS, evaluate
from minirec.models.base import Vocabulary, name_of
from minirec.training.history import History
from minirec.training.settings import PRECISIONS, SCHEDULES
from minirec.training.trainer import Run, epoch_entry


def fit(
    model,
    split: Split,
    *,
    epochs: int = 100,
    batch_size: int = 2048,
    lr: float = 1e-3,
    patience: int | None = 10,
    seed: int = 0,
    device: str = "auto",
    precision: str = "float32",
    select: str = "full",
    objective: str | None = None,
    prefixes_per_user: int = PREFIXES_PER_USER,
    lr_schedule: str = "constant",
    checkpoint=None,
    checkpoint_seconds: float = 60.0,
    progress: bool | None = None,
    on_epoch=None,
) -> History:
    """Trains `model` on split's training part with Adam; ends with the weights that were best on valid NDCG@10.

    batch_size counts targets. patience: epochs without a better valid NDCG@10 before stopping (None: never). select: the protocol of that choice.
    objective: the model's own unless given; "prefix" trains a next-item model on prefixes_per_user sampled prefixes of each user an epoch, by `last`.
    lr_schedule: "constant", or "cosine" (step by step from lr towards 0 at the end of the last epoch). precision: "float32" or "bfloat16" (autocast).
    device: "auto", "cpu" or "cuda". checkpoint: a path, written every checkpoint_seconds and after every epoch; if it exists the run goes on from it,
    bit for bit on the CPU with the same versions and number of threads. progress: a bar (None: only on a terminal). on_epoch(history): called after
    every epoch. Ctrl-C ends it and keeps the best. Raises FloatingPointError at a loss not finite, CheckpointError for another run's checkpoint.
    """
    for name, value, known in (
        ("precision", precision, PRECISIONS),
        ("select", select, PROTOCOLS),
        ("lr_schedule", lr_schedule, SCHEDULES),
    ):
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}; got {value!r}.")
    if epochs < 1 or lr <= 0 or (patience is not None and patience < 1):
        raise ValueError(
            f"epochs and patience must be at least 1 and lr positive; got {epochs}, {patience}, {lr}."
        )
    if not isinstance(split, Split):
        raise TypeError(f"fit trains on a split, interactions.split(); got {type(split).__name__}.")
    if not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed must be an integer from 0 up; got {seed!r}.")
    data = split.interactions
    if model.n_items != data.n_items:
        raise ValueError(
            f"the model knows {model.n_items:,} items, the data has {data.n_items:,}; build it with n_items of this data."
        )
    objective = model.objective if objective is None else objective
    possible = ("next-item", "prefix") if model.objective == "next-item" else (model.objective,)
    if objective not in possible:
        raise ValueError(
            f"the objective of {name_of(model)} can be {' or '.join(map(repr, possible))}; got {objective!r}."
        )
    settings = {
        "batch_size": batch_size,
        "lr": lr,
        "lr_schedule": lr_schedule,
        "seed": seed,
        "precision": precision,
        "select": select,
        "objective": objective,
        "prefixes_per_user": prefixes_per_user if objective == "prefix" else None,
        "epochs": epochs,
        "patience": patience,
    }
    vocabulary = Vocabulary(data.item_ids, data.item_counts(), data.fingerprint, split.fingerprint)
    if objective == "count":
        begin, model.vocabulary = time.perf_counter(), vocabulary
        valid = evaluate(model.count(split), split, which="valid", protocol=select)
        return History(
            [epoch_entry(1, math.nan, valid, time.perf_counter() - begin)],
            1,
            "counted",
            settings | {"device": "cpu"},
        )
    device = choose_device(device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        batches = TrainingBatches(
            split, objective, model.max_len, batch_size, seed, prefixes_per_user
        )
        run = Run(
            model.to(device),
            split,
            batches,
            settings | {"device": device.type},
            device,
            checkpoint,
            checkpoint_seconds,
        )
        return run.train(vocabulary, progress, on_epoch or (lambda history: None))


FIT_DEFAULTS = {
    name: parameter.default for name, parameter in inspect.signature(fit).parameters.items()
}
