"""GLINT-RU: what the one-pass form saves, and where an epoch's time goes (notebook 08).

One pass represents every prefix of a row; the papers' codes make a sample for every prefix.

B rows, N positions, d model width.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from minirec.data.batching import Batch, Epoch, TrainingBatches, padded
from minirec.experiments.benchmarks.systems import AUGMENTED, Side, epochs_in_turns, split_of
from minirec.losses import full_softmax_loss, represent
from minirec.profiling import synchronize

NO_DROPOUT: dict[str, Any] = {"dropout": 0.0, "inner_dropout": 0.0}
SOFTMAX = "full softmax, both ways"  # the part that the others are compared with


@dataclass(frozen=True)
class Contender:
    """A side, and what is tried to find its best batch size."""

    side: Side
    batch_sizes: tuple[int, ...]
    n_batches: int  # in a sample


def benchmark_glint_ru(n_users: int | None = None, repeats: int = 5) -> pd.DataFrame:
    """Measure training epochs, one-pass and prefix-augmented; an encoder alone; an epoch's parts.

    The data are MovieLens-1M and Beauty where they lie on this machine, else planted. The
    augmented side runs the plain model on every prefix. Epochs are measured on a sample of their
    batches, spread evenly over the batches' sizes, and scaled by count. Each side has the batch
    size and the number of threads that serve it best, found first.

    Parameters
    ----------
    n_users : int, optional
        So many planted users, for a quick look.
    repeats : int
        How often each is measured.

    Returns
    -------
    DataFrame
        Seconds per epoch, as `take_turns` returns them.
    """
    threads = torch.get_num_threads()
    frames = []
    for measure, data in ((_epoch, "ml-1m"), (_encoder, "beauty"), (_parts, "beauty")):
        try:
            frames.append(measure(data, n_users, repeats))
        finally:
            torch.set_num_threads(threads)  # a side may have chosen fewer
    return pd.concat(frames, ignore_index=True)


def _epoch(data: str, n_users: int | None, repeats: int) -> pd.DataFrame:
    """Measure a training epoch at MovieLens-1M's shape.

    Raises RuntimeError if the two sides do not compute the same loss.
    """
    split, name = split_of(data, n_users)
    one_pass = Side(split, "glint-ru", 128, 200, **NO_DROPOUT)
    augmented = Side(split, "glint-ru", 128, 200, augmented=True, pad=True, **NO_DROPOUT)
    _same_loss(one_pass, augmented)
    contenders = {
        "one pass": Contender(one_pass, batch_sizes=(2048, 8192), n_batches=16),
        AUGMENTED: Contender(augmented, batch_sizes=(64, 256), n_batches=2),
    }
    return _tuned(f"epoch, {name}, d = 128, N = 200", contenders, repeats)


@torch.no_grad()
def _same_loss(one_pass: Side, augmented: Side) -> None:
    """Raise RuntimeError unless both sides have the same loss for some users' histories."""
    data = one_pass.split.interactions
    short_enough = np.flatnonzero(np.diff(data.offsets) <= one_pass.max_len)
    for user in short_enough[:4]:
        items = data.sequence(user).astype(np.int64)
        history = torch.from_numpy(items)
        whole = Batch(history[None, :-1], history[None, 1:])

        # The prefixes items[:1], items[:2], ..., each with the item that follows it.
        lengths = np.arange(1, len(items))
        rows = padded(items, np.zeros_like(lengths), lengths)
        prefixes = Batch(torch.from_numpy(rows), history[1:])

        ours = float(one_pass.loss(*one_pass.tensors(whole)))
        theirs = float(augmented.loss(*augmented.tensors(prefixes)))
        if abs(ours - theirs) > 1e-5:
            raise RuntimeError(
                f"one pass and a sample per prefix disagree about the loss: {ours} and {theirs}."
            )


def _encoder(data: str, n_users: int | None, repeats: int) -> pd.DataFrame:
    """Measure forward and backward of the encoder alone, without scores."""
    split, name = split_of(data, n_users)

    def side(augmented: bool, pad: bool) -> Side:
        return Side(
            split,
            "glint-ru",
            64,
            100,
            train=False,
            augmented=augmented,
            pad=pad,
            **NO_DROPOUT,
        )

    contenders = {
        "one pass": Contender(
            side(augmented=False, pad=False), batch_sizes=(2048, 8192), n_batches=16
        ),
        AUGMENTED: Contender(
            side(augmented=True, pad=True), batch_sizes=(128, 512, 2048), n_batches=4
        ),
        "a sample a prefix, in length buckets": Contender(
            side(augmented=True, pad=False), batch_sizes=(512, 2048, 8192), n_batches=16
        ),
    }
    return _tuned(f"encoder alone, {name}, d = 64, N = 100", contenders, repeats)


def _tuned(case: str, contenders: dict[str, Contender], repeats: int) -> pd.DataFrame:
    """Measure epochs of the contenders in turns, each with what serves it best."""
    sides = {}
    for name, contender in contenders.items():
        side = contender.side.tune(contender.batch_sizes, contender.n_batches)
        threads = "1 thread" if side.threads == 1 else f"{side.threads} threads"
        sides[f"{name}, batch {side.batch_size:,}, {threads}"] = side
    return epochs_in_turns(case, sides, repeats)


def _parts(data: str, n_users: int | None, repeats: int) -> pd.DataFrame:
    """Measure where a training epoch's time goes, with dropout; ratios to the full softmax."""
    split, name = split_of(data, n_users)
    side = Side(split, "glint-ru", 64, 100, dropout=0.5, inner_dropout=0.3)
    batches = TrainingBatches(split, "next-item", 100, 2048, 0)
    n_epochs = min(repeats, 3)
    parts = pd.DataFrame([_time_parts(side, batches.epoch(epoch)) for epoch in range(n_epochs)])

    # The sums are taken epoch by epoch, before the median.
    everything = parts.sum(axis=1)
    all_but_the_softmax = parts.drop(columns=SOFTMAX).sum(axis=1)
    parts["all"] = everything
    parts["all but the softmax"] = all_but_the_softmax
    seconds = parts.median()
    return pd.DataFrame(
        {
            "case": f"parts of an epoch, {name}, d = 64, N = 100",
            "name": seconds.index,
            "seconds": seconds.values,
            "ratio": seconds.values / seconds[SOFTMAX],
        }
    )


def _time_parts(side: Side, batches: Epoch) -> dict[str, float]:
    """Train on the batches of one epoch; return the seconds of each part."""
    parts = (SOFTMAX, "building batches", "encoder forward", "encoder backward", "Adam")
    seconds = dict.fromkeys(parts, 0.0)

    @contextlib.contextmanager
    def timed(part: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        synchronize()  # a GPU's part belongs to the part that asked for it
        seconds[part] += time.perf_counter() - begin

    for i in range(len(batches)):
        with timed("building batches"):
            items, targets = side.tensors(batches[i])
        with timed("encoder forward"):
            encoded, targets = represent(side.model, "next-item", items, targets)

        # Cut between encoder and softmax, so that each way back can be timed by itself.
        cut = encoded.detach().requires_grad_()
        with timed(SOFTMAX):
            full_softmax_loss(cut, side.model.output_weights(), targets).backward()
        with timed("encoder backward"):
            encoded.backward(cut.grad)

        with timed("Adam"):
            side.optimizer.step()
            side.optimizer.zero_grad()
    return seconds
