"""fit: one training loop for every model, whatever its objective."""

import inspect
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, cast

import numpy as np
import torch

from minirec.data.batching import PREFIXES_PER_USER, TrainingBatches
from minirec.data.splits import Split
from minirec.devices import choose_device
from minirec.errors import shown
from minirec.evaluation import evaluate
from minirec.models.base import NeuralRecommender, Recommender, Vocabulary, name_of, training
from minirec.training.history import History
from minirec.training.random_numbers import alone_on
from minirec.training.settings import Settings
from minirec.training.trainer import Run, epoch_entry


def fit(
    model: Recommender,
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
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_seconds: float = 60.0,
    progress: bool | None = None,
    on_epoch: Callable[[History], object] | None = None,
    cuda_graphs: bool = True,
) -> History:
    """Train a model with Adam; it ends with the weights that were best on valid NDCG@10.

    A model that only counts (objective "count") is fitted by counting, whatever the settings.

    A model that has been trained may be trained on, with data that have the same items in the same
    order: on a log that has grown, for example, by users or by interactions.

    Several models may be trained at once, in as many threads. On a CPU they take turns, step by
    step, and each comes out as it does alone; a GPU trains one at a time. The caller's random
    generators go on as if there had been no training.

    If training diverges, the model keeps its best weights so far, or else those that it began with,
    and the checkpoint keeps what it held before.

    Parameters
    ----------
    model : Recommender
        Trained in place; afterwards in eval mode, on `device`, with a vocabulary.
    split : Split
        Its training part is learned, its valid phase chooses the best epoch.
    epochs : int
        At most so many.
    batch_size : int
        In targets, not in rows.
    lr : float
        Adam's learning rate, at the start.
    patience : int, optional
        Epochs without a better valid NDCG@10 before training stops; None: never.
    seed : int
        Of the batches and of dropout, not of the model's first weights.
    device : str
        "auto", "cpu" or "cuda".
    precision : str
        "float32", or "bfloat16" (autocast).
    select : str
        The protocol of valid NDCG@10: "full", "uniform-100" or "popular-100".
    objective : str, optional
        The model's own unless given. "prefix" trains a next-item model by `last`, on sampled
        prefixes.
    prefixes_per_user : int
        How many prefixes of each user an epoch samples, under the objective "prefix".
    lr_schedule : str
        "constant", or "cosine": step by step from lr towards 0 at the end of the last epoch.
    checkpoint : str or path, optional
        A file, written every checkpoint_seconds and after every epoch. If it exists, the run goes
        on from it: bit for bit on the CPU with the same versions and number of threads.
    checkpoint_seconds : float
        See checkpoint.
    progress : bool, optional
        Show a bar; None: only on a terminal.
    on_epoch : callable, optional
        Called with the history after every epoch. It may raise `StopTraining` to end the run there:
        the best weights are kept, and the history's `stopped` is "budget". Ctrl-C does the same at
        any time, and `stopped` is "interrupted".
    cuda_graphs : bool
        On a GPU, record each shape's step once as a CUDA graph and replay it: the same steps, with
        one launch instead of hundreds. Where a step cannot be recorded a warning says why, and the
        run goes on without.

    Returns
    -------
    History
        An entry per epoch, the best epoch, and why training stopped.

    Raises
    ------
    ValueError
        For a setting that is impossible, or that this model cannot have, and for a model of another
        catalogue, or that was trained on other items than the data's.
    TypeError
        For data that are not split.
    FloatingPointError
        If training diverged: at a loss or a weight that is not finite, a weight beyond 1e12, or NaN
        among the scores of the valid phase.
    RuntimeError
        If this model is being scored or trained already, or another thread trains on the GPU.
    CheckpointError
        For the checkpoint of another run.
    """
    _refuse_what_does_not_fit(model, split)
    objective = _chosen_objective(model, objective)
    counting = objective == "count"
    chosen_device = torch.device("cpu") if counting else choose_device(device)
    settings = Settings(
        batch_size=batch_size,
        lr=lr,
        lr_schedule=lr_schedule,
        seed=seed,
        precision=precision,
        select=select,
        objective=objective,
        prefixes_per_user=prefixes_per_user if objective == "prefix" else None,
        epochs=epochs,
        patience=patience,
        device=chosen_device.type,
    )
    data = split.interactions
    vocabulary = Vocabulary(data.item_ids, data.item_counts(), data.fingerprint, split.fingerprint)

    if counting:
        with training(model):
            return _count(model, split, settings, vocabulary)

    neural = cast(NeuralRecommender, model)  # every model that does not count is one

    with training(neural), alone_on(chosen_device):
        batches = TrainingBatches(
            split, objective, neural.max_len, batch_size, seed, prefixes_per_user, chosen_device
        )
        neural.to(chosen_device)
        run = Run(
            neural,
            split,
            batches,
            settings,
            chosen_device,
            checkpoint,
            checkpoint_seconds,
            cuda_graphs,
        )
        return run.train(vocabulary, progress, on_epoch)


def _refuse_what_does_not_fit(model: Recommender, split: Split) -> None:
    if not isinstance(split, Split):
        raise TypeError(f"fit trains on a split, interactions.split(); got {type(split).__name__}.")
    n_items = split.interactions.n_items
    if model.n_items != n_items:
        raise ValueError(
            f"the model knows {model.n_items:,} items, the data has {n_items:,}; "
            "build it with n_items of this data."
        )
    if model.vocabulary is not None:
        _refuse_other_items(model.vocabulary.item_ids, split.interactions.item_ids)


def _refuse_other_items(known: np.ndarray, given: np.ndarray) -> None:
    """Raise unless the items that a model has learned are those of the data, one by one.

    A model knows an item by its number alone, so its weights would come to mean other items.
    """
    way_out = (
        "To go on training needs the same items in the same order; for these data, build a new "
        "model."
    )
    if len(known) != len(given):
        raise ValueError(
            f"the model was trained on {len(known):,} items, the data has {len(given):,}. {way_out}"
        )
    for i, (old, new) in enumerate(zip(known.tolist(), given.tolist(), strict=True), start=1):
        if old != new or isinstance(old, float) != isinstance(new, float):
            raise ValueError(
                f"the model was trained on other items: item {i} was {_id_in_words(old)}, and in "
                f"the data it is {_id_in_words(new)}. {way_out}"
            )


def _id_in_words(raw: Any) -> str:
    """Return a raw id with its type, because '1' may be a number or a text."""
    kind = "the text" if isinstance(raw, str) else "the number"
    return f"{kind} {shown(raw)}"


def _chosen_objective(model: Recommender, asked: str | None) -> str:
    """Return the objective to train by: the one asked for, if the model can have it, or its own."""
    possible = [model.objective]
    if model.objective == "next-item":
        possible.append("prefix")  # a model of every prefix can learn from some of them

    objective = model.objective if asked is None else asked
    if objective not in possible:
        in_words = " or ".join(repr(name) for name in possible)
        raise ValueError(f"the objective of {name_of(model)} can be {in_words}; got {objective!r}.")
    return objective


def _count(model: Any, split: Split, settings: Settings, vocabulary: Vocabulary) -> History:
    """Fit a model that has `count(split)` instead of gradients; its history is a single epoch."""
    began = time.perf_counter()
    model.vocabulary = vocabulary
    valid = evaluate(model.count(split), split, which="valid", protocol=settings.select)
    entry = epoch_entry(1, math.nan, valid, time.perf_counter() - began)
    return History([entry], best_epoch=1, stopped="counted", settings=asdict(settings))


# The default of every keyword of `fit`, for callers that show or record them.
FIT_DEFAULTS = {
    name: parameter.default for name, parameter in inspect.signature(fit).parameters.items()
}
