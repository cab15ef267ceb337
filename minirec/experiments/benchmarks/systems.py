"""Every system at the papers' sizes: training, inference, memory, and how they grow with N, d and the batch (GLINT-RU, Table 3).

B rows, N positions, d model width.
"""

from functools import partial

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import pad

from minirec.data.batching import TrainingBatches
from minirec.data.datasets import find_file, load_dataset
from minirec.data.planted import generate_planted
from minirec.devices import choose_device
from minirec.losses import full_softmax_loss, represent
from minirec.models import MODELS, build_model, model_options
from minirec.models.base import NeuralRecommender
from minirec.profiling import keep_memory, peak_memory, take_turns

SIZES = {"beauty": (64, 100), "ml-1m": (128, 200)}  # d and N; Video Games has those of Beauty
SYSTEMS = [name for name, model in MODELS.items() if issubclass(model, NeuralRecommender)]
AUGMENTED = "a sample a prefix, padded"  # the one way to train that all of them share: the papers'
ROWS_AT_ONCE = 256  # of inference, whichever the model
N_USERS = 6_000  # of planted data
TOKENS = 20_000  # positions at a time while N, d or the batch grows: whole rows of every length
WEIGHTS_UP_TO = 2**27  # a system that needs more at some N is left out there


def split_of(name: str, n_users: int | None):
    """(the split, what to call it): the real data where they are here, else planted histories."""
    if find_file(name) is not None and n_users is None:
        return load_dataset(name).split(), name
    return generate_planted(0, n_users=n_users or N_USERS).split(), f"planted, for want of {name}"


def build(name: str, n_items: int, **options):
    """A model with those of the options that it has, on the GPU if there is one."""
    torch.manual_seed(0)
    return build_model(
        name,
        n_items,
        **{key: value for key, value in options.items() if key in model_options(name)},
    ).to(device())


def device() -> str:
    """The GPU, if there is one."""
    return choose_device("auto").type


class Side:
    """One way through an epoch: a system, its batches and number of threads; and one step of it. augmented: on a sample for every prefix."""

    def __init__(
        self,
        split,
        name: str,
        d_model: int,
        max_len: int,
        *,
        augmented: bool = False,
        pad: bool = False,
        train: bool = True,
        **options,
    ):
        self.model = build(
            name, split.interactions.n_items, d_model=d_model, max_len=max_len, **options
        )
        self.optimizer = torch.optim.Adam(self.model.parameters(), fused=True)
        self.objective = "prefix" if augmented else self.model.objective
        self.split, self.max_len, self.pad, self.train, self.threads = (
            split,
            max_len,
            pad,
            train,
            torch.get_num_threads(),
        )

    def sample(self, batch_size: int, n: int) -> "Side":
        """Takes n of an epoch's batches, spread evenly over their sizes."""
        epoch = TrainingBatches(
            self.split, self.objective, self.max_len, batch_size, 0, prefixes_per_user=2**31
        ).epoch(0)
        batches = sorted(
            (epoch[i] for i in np.random.default_rng(0).permutation(len(epoch))[: 20 * n]),
            key=lambda batch: batch.inputs.shape[1],
        )
        middles = np.unique(((np.arange(n) + 0.5) * len(batches) / n).astype(int))
        self.batches, self.times = (
            [self.tensors(batches[i]) for i in middles],
            len(epoch) / len(middles),
        )
        return self

    def tensors(self, batch):
        """A batch's items [B, N], as wide as max_len if this side pads, and its targets, on the device."""
        items, targets = (
            torch.from_numpy(part).to(device()) for part in (batch.inputs, batch.targets)
        )
        return pad(items, (0, self.max_len - items.shape[1])) if self.pad else items, targets

    def loss(self, items, targets):
        """The training loss, GLINT-RU's of prefixes by the model as written, not by its shortcut; without `train` a sum that needs no item scores."""
        if self.objective == "prefix" and self.model.name == "glint-ru":
            representations = self.model(items)[torch.arange(len(items)), (items > 0).sum(1) - 1]
        else:
            representations, targets = represent(self.model, self.objective, items, targets)
        return (
            full_softmax_loss(representations, self.model.output_weights(), targets)
            if self.train
            else representations.sum()
        )

    def run(self) -> None:
        """The sampled batches: forward and backward, and with train the loss and Adam's step. No gradient is left, so memory ends as it began."""
        torch.set_num_threads(self.threads)
        for items, targets in self.batches:
            self.loss(items, targets).backward()
            if self.train:
                self.optimizer.step()
            self.optimizer.zero_grad()

    def tune(self, batch_sizes, n: int) -> "Side":
        """Chooses batch size and threads by the time of an epoch, from a sample for each."""
        seconds, threads = {}, torch.get_num_threads()
        for batch_size in batch_sizes:
            self.sample(batch_size, max(1, n // 4))
            for self.threads in {1, threads}:
                seconds[batch_size, self.threads] = epochs_in_turns("", {"": self}, 1)["seconds"][0]
        self.batch_size, self.threads = min(seconds, key=seconds.get)
        torch.set_num_threads(threads)
        return self.sample(self.batch_size, n)


def epochs_in_turns(case: str, sides: dict[str, Side], repeats: int) -> pd.DataFrame:
    """Seconds of an epoch of each side, from its sample."""
    return take_turns(
        case,
        {name: side.run for name, side in sides.items()},
        repeats,
        {name: side.times for name, side in sides.items()},
    )


def _sides(sizes, n_users: int | None, n: int, rows: int):
    """(way, data and sizes in words, {system: its side}): by each own objective, in one pass where it can; then by padded samples, the same for all."""
    for data, (d_model, max_len) in (sizes or SIZES).items():
        split, name = split_of(data, n_users)
        where = f"{name}, d = {d_model}, N = {max_len}"
        own = {name: Side(split, name, d_model, max_len) for name in SYSTEMS}
        yield (
            "own objective",
            where,
            {
                name: side.sample(4 * rows if side.objective == "prefix" else 2048, n)
                for name, side in own.items()
            },
        )
        augmented = {
            name: Side(split, name, d_model, max_len, augmented=True, pad=True) for name in SYSTEMS
        }
        yield (
            AUGMENTED,
            where,
            {name: side.sample(rows, max(1, n // 2)) for name, side in augmented.items()},
        )


def benchmark_train(
    n_users: int | None = None, repeats: int = 3, sizes=None, n: int = 4, rows: int = 64
) -> pd.DataFrame:
    """An epoch over every target (of BERT4Rec's own: every hidden one), from a sample of its batches; by each own objective, and by padded samples for all.

    A batch has 2,048 targets; where a prefix is a sample, 4 `rows` of like length, or `rows` padded ones.
    """
    keep_memory()
    return pd.concat(
        [
            ranked(epochs_in_turns(f"epoch, {way}, {where}", sides, repeats))
            for way, where, sides in _sides(sizes, n_users, n, rows)
        ],
        ignore_index=True,
    )


def benchmark_memory(n_users: int | None = None, sizes=None, rows: int = 64) -> pd.DataFrame:
    """Column mib: what one training step and one inference of 256 rows need at most at a time, beside the weights and Adam's state."""
    found = []
    for way, where, sides in _sides(sizes, n_users, 1, rows):
        found += [
            (f"training step, {way}, {where}", system, peak_memory(side.run))
            for system, side in sides.items()
        ]
        if way == AUGMENTED:  # inference does not depend on how a model was trained: once is enough
            runs = {
                system: partial(
                    _infer, side.model, histories(ROWS_AT_ONCE, side.max_len, side.model.n_items)
                )
                for system, side in sides.items()
            }
            found += [
                (f"inference, {ROWS_AT_ONCE} rows, {where}", system, peak_memory(run))
                for system, run in runs.items()
            ]
    return pd.DataFrame(found, columns=["case", "name", "mib"])


@torch.inference_mode()
def benchmark_inference(
    repeats: int = 3,
    sizes=((64, 50), (64, 100), (128, 200)),
    n_histories: int = 2048,
    n_items: int = 12_101,
) -> pd.DataFrame:
    """n_histories representations after histories of N: read whole, as the papers measure; and by one step from a stored state, for those that have one."""
    keep_memory()
    frames = []
    for d_model, n in sizes:
        models = {name: build(name, n_items, d_model=d_model, max_len=n).eval() for name in SYSTEMS}
        models["sasrec, one layer"] = build(
            "sasrec", n_items, d_model=d_model, max_len=n, n_layers=1
        ).eval()
        items = histories(n_histories, n, n_items)
        whole = {name: partial(_infer, model, items) for name, model in models.items()}
        steps = {
            name: partial(model.step, model.init_state(n_histories), items[:, 0])
            for name, model in models.items()
            if hasattr(model, "step")
        }
        frames += [
            ranked(
                take_turns(f"{what} {n_histories:,} histories of {n}, d = {d_model}", runs, repeats)
            )
            for what, runs in (("reading", whole), ("one more item after", {**whole, **steps}))
        ]
    return pd.concat(frames, ignore_index=True)


def benchmark_length(
    repeats: int = 3,
    lengths=(50, 200, 1000, 10_000),
    widths=(32, 64, 128, 256),
    batches=(1, 16, 256),
    tokens: int = TOKENS,
) -> pd.DataFrame:
    """Forward and backward of every system, without item scores, over the same number of positions as rows get longer; then wider; then more at a time."""
    keep_memory()
    shapes = [(n, 64) for n in lengths] + [(100, d) for d in widths]
    grid = [
        (f"{tokens:,} positions in rows of N = {n:,}, d = {d}", max(1, tokens // n), n, d)
        for n, d in shapes
    ]
    grid += [(f"{b} rows of N = 100, d = 64", b, 100, 64) for b in batches]
    frames = []
    for case, rows, n, d_model in grid:
        runs, items = {}, histories(rows, n, 1000)
        for name in SYSTEMS:
            if name == "smlp4rec" and 6 * n * n > WEIGHTS_UP_TO:  # its weights grow with N squared
                continue
            model = build(name, 1000, d_model=d_model, max_len=n + 1)
            runs[name] = lambda model=model: (
                (model.encode if model.objective == "next-item" else model.last)(items)
                .sum()
                .backward()
            )
        frames.append(take_turns(case, runs, repeats))
    return pd.concat(frames, ignore_index=True)


def ranked(frame: pd.DataFrame) -> pd.DataFrame:
    """A case sorted by seconds, with the ratio to GLINT-RU's."""
    return frame.assign(
        ratio=frame["seconds"] / frame.set_index("name")["seconds"]["glint-ru"]
    ).sort_values("seconds")


def histories(rows: int, n: int, n_items: int) -> torch.Tensor:
    """Rows of n items drawn at random [rows, n]."""
    return torch.randint(1, n_items + 1, (rows, n), generator=torch.Generator().manual_seed(0)).to(
        device()
    )


@torch.inference_mode()
def _infer(model, items) -> None:
    for rows in items.split(ROWS_AT_ONCE):
        model.last(rows)
