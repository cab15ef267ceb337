"""GLINT-RU: every prefix in one pass beside a sample for every prefix; where an epoch's time goes (notebook 07).

B rows, N positions, d model width.
"""

import time

import numpy as np
import pandas as pd
import torch

from minirec.data.batching import Batch, TrainingBatches, padded
from minirec.experiments.benchmarks.systems import AUGMENTED, Side, epochs_in_turns, split_of
from minirec.losses import full_softmax_loss, represent

NO_DROPOUT = {"dropout": 0.0, "inner_dropout": 0.0}


def benchmark_glint_ru(n_users: int | None = None, repeats: int = 5) -> pd.DataFrame:
    """Training epochs, one-pass and prefix-augmented; an encoder alone; the parts of an epoch. n_users: fewer, for a quick look.

    The data are MovieLens-1M and Beauty where they lie on this machine, else planted. The augmented side runs the plain model on every prefix.
    Epochs are measured on a sample of their batches, spread evenly over the batches' sizes, and scaled by count.
    Each side has the batch size and the number of threads that serve it best, found first.
    """
    threads = torch.get_num_threads()
    frames = []
    for case, data in ((_epoch, "ml-1m"), (_encoder, "beauty"), (_parts, "beauty")):
        try:
            frames.append(case(data, n_users, repeats))
        finally:
            torch.set_num_threads(threads)  # a side may have chosen fewer
    return pd.concat(frames, ignore_index=True)


def _epoch(data: str, n_users, repeats) -> pd.DataFrame:
    """A training epoch at MovieLens-1M's shape; raises RuntimeError if the two sides do not compute the same loss."""
    split, name = split_of(data, n_users)
    one_pass, augmented = (
        Side(split, "glint-ru", 128, 200, augmented=each, pad=each, **NO_DROPOUT)
        for each in (False, True)
    )
    _same_loss(one_pass, augmented)
    return _tuned(
        f"epoch, {name}, d = 128, N = 200",
        {"one pass": (one_pass, (2048, 8192), 16), AUGMENTED: (augmented, (64, 256), 2)},
        repeats,
    )


@torch.no_grad()
def _same_loss(one_pass, augmented) -> None:
    data = one_pass.split.interactions
    for user in np.flatnonzero(np.diff(data.offsets) <= one_pass.max_len)[:4]:
        items = data.sequence(user).astype(np.int64)
        lengths = np.arange(1, len(items))
        whole, prefixes = (
            Batch(items[None, :-1], items[None, 1:]),
            Batch(padded(items, np.zeros_like(lengths), lengths), items[1:]),
        )
        losses = [
            float(side.loss(*side.tensors(batch)))
            for side, batch in ((one_pass, whole), (augmented, prefixes))
        ]
        if abs(losses[0] - losses[1]) > 1e-5:
            raise RuntimeError(
                f"one pass and a sample a prefix disagree about the loss: {losses[0]} and {losses[1]}."
            )


def _encoder(data: str, n_users, repeats) -> pd.DataFrame:
    """Forward and backward of the encoder alone, without scores."""
    split, name = split_of(data, n_users)
    kinds = {
        "one pass": ({}, (2048, 8192), 16),
        AUGMENTED: ({"augmented": True, "pad": True}, (128, 512, 2048), 4),
        "a sample a prefix, in length buckets": ({"augmented": True}, (512, 2048, 8192), 16),
    }
    sides = {
        what: (Side(split, "glint-ru", 64, 100, train=False, **how, **NO_DROPOUT), sizes, n)
        for what, (how, sizes, n) in kinds.items()
    }
    return _tuned(f"encoder alone, {name}, d = 64, N = 100", sides, repeats)


def _tuned(case: str, sides: dict[str, tuple], repeats: int) -> pd.DataFrame:
    """Epochs of sides in turns, each with what serves it best. sides: name -> (side, batch sizes to try, batches to sample)."""
    named = {}
    for what, (side, batch_sizes, n) in sides.items():
        side.tune(batch_sizes, n)
        named[
            f"{what}, batch {side.batch_size:,}, {side.threads} thread{'s' * (side.threads > 1)}"
        ] = side
    return epochs_in_turns(case, named, repeats)


def _parts(data: str, n_users, repeats) -> pd.DataFrame:
    """Where a training epoch's time goes, with dropout; the ratio is to the full softmax."""
    split, name = split_of(data, n_users)
    side, batches = (
        Side(split, "glint-ru", 64, 100, dropout=0.5, inner_dropout=0.3),
        TrainingBatches(split, "next-item", 100, 2048, 0),
    )
    parts = pd.DataFrame(
        [_time_parts(side, batches.epoch(epoch)) for epoch in range(min(repeats, 3))]
    )
    epochs = parts.assign(
        **{"all": parts.sum(axis=1), "all but the softmax": parts.iloc[:, 1:].sum(axis=1)}
    ).median()
    return pd.DataFrame(
        {
            "case": f"parts of an epoch, {name}, d = 64, N = 100",
            "name": epochs.index,
            "seconds": epochs.values,
            "ratio": epochs.values / epochs.iloc[0],
        }
    )


def _time_parts(side, batches) -> dict[str, float]:
    seconds = dict.fromkeys(
        (
            "full softmax, both ways",
            "building batches",
            "encoder forward",
            "encoder backward",
            "Adam",
        ),
        0.0,
    )

    def timed(part, work):
        begin = time.perf_counter()
        result = work()
        seconds[part] += time.perf_counter() - begin
        return result

    for i in range(len(batches)):
        items, targets = timed("building batches", lambda: side.tensors(batches[i]))
        encoded, targets = timed(
            "encoder forward", lambda: represent(side.model, "next-item", items, targets)
        )
        cut = encoded.detach().requires_grad_()
        timed(
            "full softmax, both ways",
            lambda: full_softmax_loss(cut, side.model.output_weights(), targets).backward(),
        )
        timed("encoder backward", lambda: encoded.backward(cut.grad))
        timed("Adam", lambda: (side.optimizer.step(), side.optimizer.zero_grad()))
    return seconds
