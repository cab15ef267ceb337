"""GLINT-RU: every prefix in one pass beside a sample for every prefix; where an epoch's time goes; inference beside softmax attention.

B rows, N positions, d model width.
"""

import time

import numpy as np
import pandas as pd
import torch

from minirec.benchmark.timing import take_turns
from minirec.data.batching import TrainingBatches, padded
from minirec.data.datasets import find_file, load_dataset
from minirec.data.planted import generate_planted
from minirec.losses import full_softmax_loss
from minirec.models import build_model

ROWS_AT_ONCE = 256  # inference goes through its histories so many at a time, whichever the model
N_USERS = 6_000  # of planted data


def benchmark_glint_ru(n_users: int | None = None, repeats: int = 5, lengths=(50, 200, 1000), n_histories: int = 2048) -> pd.DataFrame:
    """Training epochs, one-pass and prefix-augmented; an encoder alone; the parts of an epoch; inference. n_users: fewer, for a quick look.

    The data are MovieLens-1M and Beauty where they lie on this machine, else planted. The augmented side runs the plain model on every prefix.
    Epochs are measured on a sample of their batches, spread evenly over the batches' sizes, and scaled by count.
    Each side has the batch size and the number of threads that serve it best, found first.
    """
    threads = torch.get_num_threads()
    cases = [lambda: _epoch("ml-1m", n_users, repeats), lambda: _encoder("beauty", n_users, repeats), lambda: _parts("beauty", n_users, repeats),
             *(lambda n=n: _inference(n, n_histories, repeats) for n in lengths)]
    frames = []
    for case in cases:
        try:
            frames.append(case())
        finally:
            torch.set_num_threads(threads)  # a side may have chosen fewer
    return pd.concat(frames, ignore_index=True)


def split_of(name: str, n_users: int | None):
    """(the split, what to call it): the real data where they are here, else planted histories."""
    if find_file(name) is not None and n_users is None:
        return load_dataset(name).split(), name
    return generate_planted(0, n_users=n_users or N_USERS).split(), f"planted, for want of {name}"


class _Side:
    """One way through an epoch: its model, batches and number of threads; and one step of it."""

    def __init__(self, split, d_model: int, max_len: int, augmented: bool, pad: bool = False, train: bool = True, dropout=(0.0, 0.0)):
        torch.manual_seed(0)
        self.model = build_model("glint-ru", split.interactions.n_items, d_model=d_model, max_len=max_len,
                                 dropout=dropout[0], inner_dropout=dropout[1])
        self.optimizer = torch.optim.Adam(self.model.parameters(), fused=True)
        self.split, self.max_len, self.augmented, self.pad, self.train = split, max_len, augmented, pad, train

    def sample(self, batch_size: int, n: int) -> None:
        """Takes n of an epoch's batches, spread evenly over their sizes."""
        objective = "prefix" if self.augmented else "next-item"
        epoch = TrainingBatches(self.split, objective, self.max_len, batch_size, 0, prefixes_per_user=2**31 if self.augmented else 1).epoch(0)
        batches = sorted((epoch[i] for i in np.random.default_rng(0).permutation(len(epoch))[:20 * n]), key=lambda batch: batch.inputs.shape[1])
        middles = ((np.arange(n) + 0.5) * len(batches) / n).astype(int)
        batches = [batches[i] for i in sorted(set(middles))]
        self.batches = [(torch.from_numpy(self._padded(batch.inputs)), torch.from_numpy(batch.targets)) for batch in batches]
        self.times = len(epoch) / len(batches)

    def _padded(self, items):
        return np.pad(items, ((0, 0), (0, self.max_len - items.shape[1]))) if self.pad else items

    def represent(self, items, targets):
        """The representation that goes with every target, and the targets."""
        if not self.augmented:
            return self.model.encode(items)[targets > 0], targets[targets > 0]
        ends = (items > 0).sum(1) - 1
        return self.model(items)[torch.arange(len(items)), ends], targets

    def loss(self, items, targets):
        representations, targets = self.represent(items, targets)
        return full_softmax_loss(representations, self.model.output_weights(), targets) if self.train else representations.sum()

    def run(self) -> None:
        """The sampled batches: forward and backward, and with train the loss and Adam's step."""
        torch.set_num_threads(self.threads)
        for items, targets in self.batches:
            self.optimizer.zero_grad(set_to_none=True)
            self.loss(items, targets).backward()
            if self.train:
                self.optimizer.step()

    def tune(self, batch_sizes, n: int) -> "_Side":
        """Chooses batch size and threads by the time of an epoch, from a sample for each."""
        times = {}
        choices = sorted({1, torch.get_num_threads()})
        for batch_size in batch_sizes:
            self.sample(batch_size, max(1, n // 4))
            for self.threads in choices:
                self.run()
                begin = time.perf_counter()
                self.run()
                times[batch_size, self.threads] = (time.perf_counter() - begin) * self.times
        self.batch_size, self.threads = min(times, key=times.get)
        torch.set_num_threads(choices[-1])
        self.sample(self.batch_size, n)
        return self

    def named(self, what: str) -> str:
        return f"{what}, batch {self.batch_size:,}, {self.threads} thread{'s' * (self.threads > 1)}"


def _epoch(data: str, n_users, repeats) -> pd.DataFrame:
    """A training epoch at MovieLens-1M's shape; raises RuntimeError if the two sides do not compute the same loss."""
    split, name = split_of(data, n_users)
    one_pass, augmented = _Side(split, 128, 200, augmented=False), _Side(split, 128, 200, augmented=True, pad=True)
    _same_loss(one_pass, augmented)
    sides = [one_pass.tune((2048, 8192), 16).named("one pass"), augmented.tune((64, 256), 2).named("a sample a prefix, padded")]
    return take_turns(f"epoch, {name}, d = 128, N = 200", dict(zip(sides, (one_pass.run, augmented.run))), repeats,
                      dict(zip(sides, (one_pass.times, augmented.times))))


@torch.no_grad()
def _same_loss(one_pass, augmented) -> None:
    data = one_pass.split.interactions
    users = np.flatnonzero(np.diff(data.offsets) <= one_pass.max_len)[:4]
    losses = np.zeros((2, len(users)))
    for i, user in enumerate(users):
        sequence = data.sequence(user).astype(np.int64)
        lengths = np.arange(1, len(sequence))
        items, prefixes = map(torch.from_numpy, (sequence, augmented._padded(padded(sequence, np.zeros_like(lengths), lengths))))
        losses[:, i] = one_pass.loss(items[None, :-1], items[None, 1:]), augmented.loss(prefixes, items[1:])
    if np.abs(losses[0] - losses[1]).max() > 1e-5:
        raise RuntimeError(f"one pass and a sample a prefix disagree about the loss: {losses[0]} and {losses[1]}.")


def _encoder(data: str, n_users, repeats) -> pd.DataFrame:
    """Forward and backward of the encoder alone, without scores."""
    split, name = split_of(data, n_users)
    kinds = {"one pass": (_Side(split, 64, 100, augmented=False, train=False), (2048, 8192), 16),
             "a sample a prefix, padded": (_Side(split, 64, 100, augmented=True, pad=True, train=False), (128, 512, 2048), 4),
             "a sample a prefix, in length buckets": (_Side(split, 64, 100, augmented=True, train=False), (512, 2048, 8192), 16)}
    sides = {side.tune(sizes, n).named(what): side for what, (side, sizes, n) in kinds.items()}
    return take_turns(f"encoder alone, {name}, d = 64, N = 100", {what: side.run for what, side in sides.items()}, repeats,
                      {what: side.times for what, side in sides.items()})


def _parts(data: str, n_users, repeats) -> pd.DataFrame:
    """Where a training epoch's time goes, with dropout; the ratio is to the full softmax."""
    split, name = split_of(data, n_users)
    side, batches = _Side(split, 64, 100, augmented=False, dropout=(0.5, 0.3)), TrainingBatches(split, "next-item", 100, 2048, 0)
    epochs = pd.DataFrame([_time_parts(side, batches.epoch(epoch)) for epoch in range(min(repeats, 3))]).median()
    return pd.DataFrame({"case": f"parts of an epoch, {name}, d = 64, N = 100", "name": epochs.index, "seconds": epochs.values,
                         "ratio": epochs.values / epochs.iloc[0]})


def _time_parts(side, batches) -> dict[str, float]:
    softmax = "full softmax, both ways"
    seconds = dict.fromkeys((softmax, "building batches", "encoder forward", "encoder backward", "Adam"), 0.0)

    def timed(part, work):
        begin = time.perf_counter()
        result = work()
        seconds[part] += time.perf_counter() - begin
        return result

    for i in range(len(batches)):
        items, targets = timed("building batches", lambda: [torch.from_numpy(part) for part in vars(batches[i]).values()])
        encoded, targets = timed("encoder forward", lambda: side.represent(items, targets))
        cut = encoded.detach().requires_grad_()
        timed(softmax, lambda: full_softmax_loss(cut, side.model.output_weights(), targets).backward())
        timed("encoder backward", lambda: encoded.backward(cut.grad))
        timed("Adam", lambda: (side.optimizer.step(), side.optimizer.zero_grad(set_to_none=True)))
    everything = sum(seconds.values())
    return {**seconds, "all": everything, "all but the softmax": everything - seconds[softmax]}


def _inference(n: int, n_histories: int, repeats: int) -> pd.DataFrame:
    """From histories of n items to their representations."""
    n_items, d_model = 12_101, 64
    torch.manual_seed(0)
    items = torch.randint(1, n_items + 1, (n_histories, n))
    glint = build_model("glint-ru", n_items, d_model=d_model).eval()
    models = {"GLINT-RU, last": glint.last, "GLINT-RU, plain model": lambda rows: glint(rows)[:, -1],
              **{f"SASRec, {layers} layer{'s' * (layers > 1)}": build_model("sasrec", n_items, d_model=d_model, max_len=n, n_layers=layers).eval().last
                 for layers in (1, 2)}}

    def run(represent):
        with torch.inference_mode():
            for rows in items.split(ROWS_AT_ONCE):
                represent(rows)

    runs = {name: (lambda represent=represent: run(represent)) for name, represent in models.items()}
    return take_turns(f"inference, {n_histories:,} histories of {n}, d = {d_model}", runs, min(repeats, 3))
