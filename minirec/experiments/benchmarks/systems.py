"""Every system at the papers' sizes (GLINT-RU, Table 3).

Training, inference and memory, and how times grow with N, d and the batch.

B rows, N positions, d model width.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from minirec.data.batching import Batch, TrainingBatches
from minirec.data.datasets import find_file, load_dataset
from minirec.data.planted import generate_planted
from minirec.data.splits import Split
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
PAIRS_UP_TO = 1_000  # N up to which a system that looks at every pair, one by one, is measured
WEIGHTS_UP_TO = 2**27  # a system that needs more at some N is left out there


def split_of(name: str, n_users: int | None, data_home: str | None = None) -> tuple[Split, str]:
    """Return real data where they are on this machine, else planted histories.

    Parameters
    ----------
    name : str
        A named data set.
    n_users : int, optional
        Always so many planted users, for a quick look.
    data_home : str, optional
        Where to look first.

    Returns
    -------
    Split
        Leave-one-out.
    str
        What to call it.
    """
    if find_file(name, data_home) is not None and n_users is None:
        return load_dataset(name, data_home=data_home).split(), name
    planted = generate_planted(0, n_users=n_users or N_USERS)
    return planted.split(), f"planted, for want of {name}"


def build(name: str, n_items: int, on: str = "auto", **options: Any) -> Any:
    """Build a model with those of the options that it has.

    Parameters
    ----------
    name : str
        A system, as `build_model` knows it.
    n_items : int
        Number of items.
    on : str
        The device, as `choose_device` knows it; unless given, the GPU if there is one.
    **options
        Options of some of the systems.

    Returns
    -------
    NeuralRecommender
        With the same weights every time. Whether it has `encode` and `step` depends on the system.
    """
    torch.manual_seed(0)
    return build_model(name, n_items, **options_it_has(name, options)).to(choose_device(on))


def options_it_has(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the options that a system has."""
    known = model_options(name)
    return {key: value for key, value in options.items() if key in known}


def device() -> str:
    """Return the GPU, if there is one, as PyTorch names it."""
    return choose_device("auto").type


def histories(rows: int, n: int, n_items: int) -> Tensor:
    """Draw rows of n items at random, the same every time: Long[rows, n]."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(1, n_items + 1, (rows, n), generator=generator).to(device())


class Side:
    """One way through an epoch: a system, its batches, and a number of threads.

    Parameters
    ----------
    split : Split
        What it trains on.
    name : str
        The system.
    d_model, max_len : int
        d and N.
    augmented : bool
        Train on a sample for every prefix, not by the system's own objective.
    pad : bool
        Fill every row up to max_len, as the papers' codes do.
    train : bool
        A step has the loss and Adam's step; without, the encoder alone, forward and backward.
    on : str
        The device, as `choose_device` knows it; unless given, the GPU if there is one.
    **options
        More options of the model, as far as it has them.

    Attributes
    ----------
    device : torch.device
        Where the model and the batches are.
    batches : list of (items, targets)
        The sampled batches, on the device; set by `sample`. Items: Long[B, N].
    times : float
        How many such samples an epoch takes; set by `sample`.
    batch_size : int
        Of the sample, in targets; set by `sample`.
    threads : int
        How many threads a run uses.
    """

    def __init__(
        self,
        split: Split,
        name: str,
        d_model: int,
        max_len: int,
        *,
        augmented: bool = False,
        pad: bool = False,
        train: bool = True,
        on: str = "auto",
        **options: Any,
    ):
        n_items = split.interactions.n_items
        self.device = choose_device(on)
        self.model = build(name, n_items, on, d_model=d_model, max_len=max_len, **options)
        self.optimizer = torch.optim.Adam(self.model.parameters(), fused=True)
        self.objective = "prefix" if augmented else self.model.objective
        self.split = split
        self.max_len = max_len
        self.pad = pad
        self.train = train
        self.threads = torch.get_num_threads()

    def sample(self, batch_size: int, n: int) -> "Side":
        """Take n of an epoch's batches, spread evenly over their widths. Returns itself."""
        epoch = TrainingBatches(
            self.split,
            self.objective,
            self.max_len,
            batch_size,
            seed=0,
            prefixes_per_user=2**31,  # all of them
        ).epoch(0)

        # Widths are known once a batch is built. Of a long epoch, so many batches are enough.
        looked_at = np.random.default_rng(0).permutation(len(epoch))[: 20 * n]
        batches = sorted((epoch[i] for i in looked_at), key=_width)

        # The middle one of each n-th of the sorted batches; fewer where there are fewer batches.
        middles = (np.arange(n) + 0.5) * len(batches) / n
        chosen = np.unique(middles.astype(int))
        self.batches = [self.tensors(batches[i]) for i in chosen]
        self.times = len(epoch) / len(chosen)
        self.batch_size = batch_size
        return self

    def tensors(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return a batch's items [B, N], as wide as max_len if this side pads, and its targets."""
        items = batch.inputs.to(self.device)
        targets = batch.targets.to(self.device)
        if self.pad:
            items = F.pad(items, (0, self.max_len - items.shape[1]))
        return items, targets

    def loss(self, items: Tensor, targets: Tensor) -> Tensor:
        """Return the training loss; without `train` a sum that needs no item scores."""
        if self.objective == "prefix" and self.model.name == "glint-ru":
            # The model as it is written: its `last` would take a shortcut.
            end = (items > 0).sum(1) - 1
            representations = self.model(items)[torch.arange(len(items)), end]
        else:
            representations, targets = represent(self.model, self.objective, items, targets)
        if not self.train:
            return representations.sum()
        return full_softmax_loss(representations, self.model.output_weights(), targets)

    def run(self) -> None:
        """Go through the sampled batches: forward and backward, and with `train` Adam's step.

        No gradient is left, so memory ends as it began.
        """
        torch.set_num_threads(self.threads)
        for items, targets in self.batches:
            self.loss(items, targets).backward()
            if self.train:
                self.optimizer.step()
            self.optimizer.zero_grad()

    def tune(self, batch_sizes: Sequence[int], n: int) -> "Side":
        """Choose batch size and threads by the time of an epoch; take n batches. Returns itself."""
        all_threads = torch.get_num_threads()
        seconds = {}  # of an epoch, by batch size and threads
        for batch_size in batch_sizes:
            self.sample(batch_size, max(1, n // 4))
            for threads in sorted({1, all_threads}):  # small steps are faster on one
                self.threads = threads
                frame = epochs_in_turns("", {"": self}, 1)
                seconds[batch_size, threads] = frame["seconds"][0]
        best_batch_size, best_threads = min(seconds, key=lambda choice: seconds[choice])
        self.threads = best_threads
        torch.set_num_threads(all_threads)
        return self.sample(best_batch_size, n)


def _width(batch: Batch) -> int:
    return batch.inputs.shape[1]


def epochs_in_turns(case: str, sides: Mapping[str, Side], repeats: int) -> pd.DataFrame:
    """Measure an epoch of each side from its sample.

    Parameters
    ----------
    case : str
        What is measured, in words.
    sides : dict of str to Side
        Name to side, each with a sample.
    repeats : int
        How often.

    Returns
    -------
    DataFrame
        What `take_turns` returns: median seconds per epoch of each side.
    """
    runs = {name: side.run for name, side in sides.items()}
    times = {name: side.times for name, side in sides.items()}
    return take_turns(case, runs, repeats, times)


@dataclass(frozen=True)
class Comparison:
    """All systems on one data set, trained in one way."""

    way: str  # "own objective", or AUGMENTED
    where: str  # data and sizes in words
    sides: dict[str, Side]  # by system, each with a sample


def _comparisons(
    sizes: dict[str, tuple[int, int]] | None, n_users: int | None, n: int, rows: int
) -> Iterator[Comparison]:
    """Yield what is compared on each data set, by n batches of each system.

    First by each system's own objective, in one pass where it can: 2,048 targets in a batch, or
    4 `rows` where a prefix is a sample. Then by padded samples, the same for all: `rows` in a
    batch.
    """
    for data, (d_model, max_len) in (sizes or SIZES).items():
        split, name = split_of(data, n_users)
        where = f"{name}, d = {d_model}, N = {max_len}"

        own = {}
        for system in SYSTEMS:
            side = Side(split, system, d_model, max_len)
            batch_size = 4 * rows if side.objective == "prefix" else 2048
            own[system] = side.sample(batch_size, n)
        yield Comparison("own objective", where, own)

        padded = {}
        for system in SYSTEMS:
            side = Side(split, system, d_model, max_len, augmented=True, pad=True)
            padded[system] = side.sample(rows, max(1, n // 2))
        yield Comparison(AUGMENTED, where, padded)


def benchmark_train(
    n_users: int | None = None,
    repeats: int = 3,
    sizes: dict[str, tuple[int, int]] | None = None,
    n: int = 4,
    rows: int = 64,
) -> pd.DataFrame:
    """Measure an epoch over every target, from a sample of its batches.

    By each system's own objective (BERT4Rec's: over every hidden item), and by padded samples for
    all. A batch has 2,048 targets; where a prefix is a sample, 4 `rows` of like length, or `rows`
    padded ones.

    Parameters
    ----------
    n_users : int, optional
        So many planted users, for a quick look.
    repeats : int
        How often each is measured.
    sizes : dict of str to (int, int), optional
        Data set to d and N; those of the papers unless given.
    n : int
        Batches in a sample.
    rows : int
        Rows in a padded batch.

    Returns
    -------
    DataFrame
        Seconds per epoch of every system, the fastest first, with the ratio to GLINT-RU's.
    """
    keep_memory()
    frames = []
    for comparison in _comparisons(sizes, n_users, n, rows):
        case = f"epoch, {comparison.way}, {comparison.where}"
        frames.append(ranked(epochs_in_turns(case, comparison.sides, repeats)))
    return pd.concat(frames, ignore_index=True)


def benchmark_memory(
    n_users: int | None = None,
    sizes: dict[str, tuple[int, int]] | None = None,
    rows: int = 64,
) -> pd.DataFrame:
    """Measure the memory that one training step and one inference of 256 rows need.

    Parameters
    ----------
    n_users : int, optional
        So many planted users, for a quick look.
    sizes : dict of str to (int, int), optional
        Data set to d and N; those of the papers unless given.
    rows : int
        Rows in a padded batch.

    Returns
    -------
    DataFrame
        Column mib: the most at a time, beside the weights and Adam's state.
    """
    found = []
    for comparison in _comparisons(sizes, n_users, 1, rows):
        case = f"training step, {comparison.way}, {comparison.where}"
        for system, side in comparison.sides.items():
            found.append((case, system, peak_memory(side.run)))
        # Inference does not depend on how a model was trained: once is enough.
        if comparison.way == AUGMENTED:
            case = f"inference, {ROWS_AT_ONCE} rows, {comparison.where}"
            for system, side in comparison.sides.items():
                items = histories(ROWS_AT_ONCE, side.max_len, side.model.n_items)
                read = partial(infer, side.model, items)
                found.append((case, system, peak_memory(read)))
    return pd.DataFrame(found, columns=["case", "name", "mib"])


@torch.inference_mode()
def benchmark_inference(
    repeats: int = 3,
    sizes: Sequence[tuple[int, int]] = ((64, 50), (64, 100), (128, 200)),
    n_histories: int = 2048,
    n_items: int = 12_101,
) -> pd.DataFrame:
    """Measure how long representations of histories take.

    Read whole, as the papers measure; and by one step from a stored state, for those that have
    one.

    Parameters
    ----------
    repeats : int
        How often each is measured.
    sizes : sequence of (int, int)
        d and N.
    n_histories : int
        How many histories.
    n_items : int
        Items in the catalogue; those of Beauty unless given.

    Returns
    -------
    DataFrame
        Seconds for all histories, the fastest first, with the ratio to GLINT-RU's.
    """
    keep_memory()
    frames = []
    for d_model, n in sizes:
        built = partial(build, n_items=n_items, d_model=d_model, max_len=n)
        models = {name: built(name).eval() for name in SYSTEMS}
        models["sasrec, one layer"] = built("sasrec", n_layers=1).eval()

        items = histories(n_histories, n, n_items)
        whole: dict[str, Callable[[], Any]] = {
            name: partial(infer, model, items) for name, model in models.items()
        }
        one_more = dict(whole)  # who has no state reads the whole history again
        for name, model in models.items():
            if hasattr(model, "step"):
                state = model.init_state(n_histories)
                one_more[name] = partial(model.step, state, items[:, 0])

        of_histories = f"{n_histories:,} histories of {n}, d = {d_model}"
        frames.append(ranked(take_turns(f"reading {of_histories}", whole, repeats)))
        frames.append(ranked(take_turns(f"one more item after {of_histories}", one_more, repeats)))
    return pd.concat(frames, ignore_index=True)


@torch.inference_mode()
def infer(model: NeuralRecommender, items: Tensor) -> None:
    """Represent histories, a block of rows at a time.

    Parameters
    ----------
    model : NeuralRecommender
        In eval mode.
    items : Tensor
        Long[B, N].
    """
    for rows in items.split(ROWS_AT_ONCE):
        model.last(rows)


@dataclass(frozen=True)
class Shape:
    """What is measured while N, d or the batch grows."""

    case: str  # in words
    rows: int  # B
    n: int  # N
    d_model: int


def benchmark_length(
    repeats: int = 3,
    lengths: Sequence[int] = (50, 200, 1000, 10_000),
    widths: Sequence[int] = (32, 64, 128, 256),
    batches: Sequence[int] = (1, 16, 256),
    tokens: int = TOKENS,
) -> pd.DataFrame:
    """Measure how forward and backward of every system grow, without item scores.

    Over the same number of positions as rows get longer; then wider; then more at a time.

    Parameters
    ----------
    repeats : int
        How often each is measured.
    lengths : sequence of int
        N, at d = 64.
    widths : sequence of int
        d, at N = 100.
    batches : sequence of int
        B, at N = 100 and d = 64.
    tokens : int
        Positions at a time while N or d grows.

    Returns
    -------
    DataFrame
        Seconds per pass. A system whose weights would not fit at some N is left out there.
    """
    keep_memory()
    frames = []
    for shape in _growing_shapes(lengths, widths, batches, tokens):
        items = histories(shape.rows, shape.n, 1000)
        runs: dict[str, Callable[[], Any]] = {}
        for name in SYSTEMS:
            # Its weights grow with N squared.
            if name == "smlp4rec" and 6 * shape.n * shape.n > WEIGHTS_UP_TO:
                continue
            # It adds up a vector for each pair of positions: over a minute a pass on a CPU.
            if name == "narm" and shape.n > PAIRS_UP_TO:
                continue
            model = build(name, 1000, d_model=shape.d_model, max_len=shape.n + 1)
            runs[name] = partial(_forward_and_backward, model, items)
        frames.append(take_turns(shape.case, runs, repeats))
    return pd.concat(frames, ignore_index=True)


def _growing_shapes(
    lengths: Sequence[int], widths: Sequence[int], batches: Sequence[int], tokens: int
) -> list[Shape]:
    """List the shapes of `benchmark_length`, in its order."""
    shapes = []
    for n, d_model in [*((n, 64) for n in lengths), *((100, d) for d in widths)]:
        case = f"{tokens:,} positions in rows of N = {n:,}, d = {d_model}"
        shapes.append(Shape(case, max(1, tokens // n), n, d_model))
    for rows in batches:
        shapes.append(Shape(f"{rows} rows of N = 100, d = 64", rows, 100, 64))
    return shapes


def _forward_and_backward(model: Any, items: Tensor) -> None:
    """Represent every position where the model can, else whole rows; then the gradients."""
    read = model.encode if model.objective == "next-item" else model.last
    read(items).sum().backward()


def ranked(frame: pd.DataFrame) -> pd.DataFrame:
    """Sort one case by seconds, with the ratio to GLINT-RU's.

    Parameters
    ----------
    frame : DataFrame
        One case, as `take_turns` returns it, with "glint-ru" among its names.

    Returns
    -------
    DataFrame
        The same rows, the fastest first.
    """
    seconds = frame.set_index("name")["seconds"]
    return frame.assign(ratio=frame["seconds"] / seconds["glint-ru"]).sort_values("seconds")
