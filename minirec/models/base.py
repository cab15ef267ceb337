"""The contract every recommender keeps, and the little that the neural ones share.

Items are Long[B, N] with dense ids 1..V, padded with 0 on the right; no row is empty. Three steps,
each adding one promise:

    scores(items) -> Float[B, V + 1]   every recommender: all that evaluation and serving need
    last(items)   -> Float[B, d]       neural models: the representation of each whole row
    encode(items) -> Float[B, N, d]    models with objective "next-item": that of every prefix

`encode(items)[b, t]` represents the prefix `items[b, :t + 1]` and nothing else: not what follows,
not the padding, not the other rows. Recurrent models also stream, one item at a time
(`StreamingModel`).

Glossary: B batch, N positions, d model width, V items, L layers.
"""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """What a model was trained on, and what it needs to speak in raw ids."""

    item_ids: np.ndarray  # of item i at i - 1
    counts: np.ndarray  # counts[i]: how often item i occurs in the log; counts[0] = 0
    fingerprint: str  # of the log
    split: str = ""  # the split's fingerprint, where it is known


class Scorer(Protocol):
    """Anything that can be evaluated: a model of ours, the planted oracle, your own class."""

    @property
    def max_len(self) -> int | None:
        """How many of the last items it reads; None: all."""

    def scores(self, items: Tensor) -> Tensor:
        """Score every item as the next one: items [B, N] -> [B, V + 1], column 0 at -inf."""


class StreamingModel(Protocol):
    """What a recurrent model adds to the contract: reading a history one item at a time.

    The state is a dict of tensors whose sizes do not depend on the history. Stepping through a
    history gives what `encode` gives at each position. GLINT-RU and RecBLR also have
    `state_after(items, lengths)`: the state after a whole history, in one pass.
    """

    def init_state(self, batch_size: int) -> dict[str, Tensor]:
        """Return the state of batch_size rows before their first item."""

    def step(self, state: dict[str, Tensor], items: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Read one more item per row, Long[B]; id 0 leaves its row unchanged.

        Returns the representations [B, d] and the new state.
        """


class Recommender(nn.Module):
    """Anything that scores every item as the next one.

    A subclass defines `scores(items: Long[B, N]) -> Float[B, V + 1]`, with column 0 at -inf.

    Parameters
    ----------
    n_items : int
        Number of items V; their ids are 1..V.

    Raises
    ------
    ValueError
        If n_items is below 1.
    """

    name = "recommender"  # as in the registry
    objective: str  # how it is trained: "next-item", "prefix", "cloze", or "count" (no gradients)
    max_len: int | None = None  # how many of the last items it reads; None: all
    vocabulary: Vocabulary | None = None  # set by `fit` and `load_model`

    def __init__(self, n_items: int):
        super().__init__()
        if n_items < 1:
            raise ValueError(f"n_items must be at least 1; got {n_items}.")
        self.n_items = n_items
        self.options: dict[str, Any] = {}  # the keywords that build it again

    def scores(self, items: Tensor) -> Tensor:
        """Score every item as the next one: items [B, N] -> [B, V + 1], column 0 at -inf."""
        raise NotImplementedError(f"{type(self).__name__} does not define `scores`.")


class NeuralRecommender(Recommender):
    """A recommender that represents a prefix as a vector and scores items by inner products.

    The inner products are those of the representation with the items' embeddings. What a subclass
    defines depends on its objective:

    - "next-item": `encode(items: Long[B, N]) -> Float[B, N, d]`, whose position t represents
      items[:, :t + 1] and nothing else.
    - "prefix": `last`, or an `encode` that sees the whole row and counts at its last position only.
    - "cloze": both; its `encode` sees the whole row and accepts the mask token, id V + 1.

    Parameters
    ----------
    n_items : int
        Number of items V.
    d_model : int
        Width d of embeddings and representations.
    max_len : int
        How many of the last items the model reads.
    n_layers : int
        Checked here for all; the layers are the subclass's.

    Raises
    ------
    ValueError
        If a size is below 1.

    References
    ----------
    GLINT-RU, Eqs. 3, 4 and 13, notebook 02.
    """

    objective = "next-item"
    max_len: int
    padding_class: bool = False  # whether row 0 is one class more of the softmax while training

    def __init__(self, n_items: int, d_model: int, max_len: int, n_layers: int = 1):
        super().__init__(n_items)
        if d_model < 1 or max_len < 1:
            raise ValueError(
                f"d_model and max_len must be at least 1; got {d_model} and {max_len}."
            )
        if n_layers < 1:
            raise ValueError(f"n_layers must be at least 1; got {n_layers}.")
        self.d_model = d_model
        self.max_len = max_len

        # Row 0 is the padding; a cloze model has one more row behind the items, the mask token.
        n_special = 2 if self.objective == "cloze" else 1
        self.item_embedding = nn.Embedding(n_items + n_special, d_model, padding_idx=0)

    def encode(self, items: Tensor) -> Tensor:
        """Represent every prefix: items [B, N] -> [B, N, d]."""
        raise NotImplementedError(f"{type(self).__name__} does not define `encode`.")

    def last(self, items: Tensor) -> Tensor:
        """Represent each whole row: items [B, N] -> [B, d]."""
        rows = torch.arange(len(items), device=items.device)
        ends = (items > 0).sum(1) - 1
        return self.encode(items)[rows, ends]

    def output_weights(self) -> Tensor:
        """Return the embeddings that are scored, [V + 1, d]: row i is item i."""
        return self.item_embedding.weight[: self.n_items + 1]

    def scores(self, items: Tensor) -> Tensor:
        """Score every item as the next one: items [B, N] -> [B, V + 1], column 0 at -inf.

        Eq. 13 before its softmax (notebook 02). Raises ValueError for ids that `check_ids` refuses.
        """
        check_ids(items, self.n_items)
        return without_padding(self.last(items) @ self.output_weights().T)

    def multiply_adds(self, n: int) -> int:
        """Return the multiply-adds of one row of n items through the layers, from the sizes alone.

        Counted are matrix products, convolutions and attention, of the forward pass in eval mode;
        not counted are what goes element by element, and the item scores (d V more per target).
        """
        raise NotImplementedError(f"{type(self).__name__} does not count its multiply-adds.")


def without_padding(scores: Tensor) -> Tensor:
    """Set column 0, which is no item, to -inf.

    Parameters
    ----------
    scores : Tensor
        Scores [..., V + 1].

    Returns
    -------
    Tensor
        A copy [..., V + 1].
    """
    return F.pad(scores[..., 1:], (1, 0), value=-torch.inf)


def hold_padded(real: Tensor, new: Tensor, old: Tensor, batch_dim: int = 0) -> Tensor:
    """Take `new` for the rows that read an item, and `old` for those that were given padding.

    Parameters
    ----------
    real : Tensor
        Bool[B], False for a row that was given id 0.
    new, old : Tensor
        A part of a state after the step and before it, of one shape.
    batch_dim : int
        Which dimension of `new` and `old` counts the rows.

    Returns
    -------
    Tensor
        Of the shape of `new`.
    """
    shape = [1] * new.dim()
    shape[batch_dim] = -1
    return new.where(real.view(shape), old)


def moved_to_the_end(items: Tensor, width: int) -> Tensor:
    """Move the padding of each row to its left, for models that read rows of a fixed length.

    Parameters
    ----------
    items : Tensor
        Item ids [B, N], padded with 0 on the right.
    width : int
        Length W of the rows that are returned.

    Returns
    -------
    Tensor
        Long[B, W]: the last W items of each row, padded with 0 on the left.
    """
    lengths = (items > 0).sum(1, keepdim=True)
    window = torch.arange(width, device=items.device)
    sources = lengths - width + window  # [B, W], negative before the first item
    return items.gather(1, sources.clamp_min(0)) * (sources >= 0)


def initialise(module: nn.Module) -> None:
    """Draw a module's weights anew, for `nn.Module.apply`.

    Weights of linear maps and embeddings come from a normal distribution with standard deviation
    0.02; biases become 0. Other modules are left alone.

    Parameters
    ----------
    module : nn.Module
        Changed in place.
    """
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)


def check_ids(items: Tensor, n_items: int) -> None:
    """Refuse what the hot path does not look for.

    Parameters
    ----------
    items : Tensor
        Item ids [B, N].
    n_items : int
        Number of items V.

    Raises
    ------
    ValueError
        For ids out of range, an empty row, or a zero before the end of a row.
    """
    expected = f"item ids must lie in 1..{n_items}, padded with 0 on the right"
    if items.numel() == 0:
        raise ValueError(f"{expected}; got no items at all.")
    if items.min() < 0 or items.max() > n_items:
        raise ValueError(f"{expected}; got {int(items.min())}..{int(items.max())}.")

    real = items > 0
    begins_with_padding = ~real[:, 0]
    if begins_with_padding.any():
        raise ValueError(
            f"row {_first_true(begins_with_padding)} starts with padding: it is empty, or padded "
            "on the left; pad on the right."
        )
    has_gap = (real[:, 1:] & ~real[:, :-1]).any(1)  # an item directly after a 0
    if has_gap.any():
        raise ValueError(
            f"row {_first_true(has_gap)} has a 0 inside the sequence; 0 is padding and stands on "
            "the right only."
        )


def _first_true(flags: Tensor) -> int:
    return int(flags.nonzero()[0, 0])


class _Judges:
    """Which modules are judged at this moment, and the modes to return to.

    Modules and not models, because two models may share a part. Each judge is there from one
    assignment to one deletion, so that Ctrl-C at any other moment leaves nothing half noted.
    """

    def __init__(self) -> None:
        self.modes: dict[object, dict[nn.Module, bool]] = {}  # of each judge's modules: training?

    def add(self, judge: object, modules: list[nn.Module]) -> None:
        """Note a judge; of a module that another one judges, the mode is the one it had before."""
        modes = {module: module.training for module in modules}
        for others in self.modes.values():
            modes.update({module: others[module] for module in modules if module in others})
        self.modes[judge] = modes

    def remove(self, judge: object) -> dict[nn.Module, bool]:
        """Forget a judge; return the modes of the modules that nobody judges any more."""
        modes = self.modes.pop(judge, {})
        return {module: mode for module, mode in modes.items() if not self.have(module)}

    def have(self, module: nn.Module) -> bool:
        """Whether somebody judges a module."""
        return any(module in modes for modes in self.modes.values())


# Read and written under the lock. It is reentrant: a garbage collection may run while it is held,
# and end a `with` block that takes it again.
_lock = threading.RLock()
_judges = _Judges()
_trained: dict[object, tuple[int, set[nn.Module]]] = {}  # of each run: its thread, what it trains


def _threads_that_train(module: nn.Module) -> set[int]:
    return {thread for thread, modules in _trained.values() if module in modules}


@contextlib.contextmanager
def judging(model: Scorer) -> Iterator[torch.device]:
    """Hold a model in eval mode and compute no gradients, for as long as the `with` block runs.

    Any number of threads may judge a model at once: the first puts it into eval mode, and after the
    last each of its modules is in its own mode again.

    Parameters
    ----------
    model : Scorer
        A model of this package, or anything with `scores(items)`; only an nn.Module has modes.

    Yields
    ------
    torch.device
        Where the model's weights are, and where its items must be: "cpu" for what has none.

    Raises
    ------
    RuntimeError
        For a model that another thread is training.
    """
    if not isinstance(model, nn.Module):
        with torch.inference_mode():
            yield torch.device("cpu")
        return

    tensors = list(model.state_dict().values())
    device = tensors[0].device if tensors else torch.device("cpu")
    modules = list(model.modules())
    judge = object()
    try:
        _begin_judging(judge, model, modules)
        with torch.inference_mode():
            yield device
    finally:
        _end_judging(judge, model, modules)


def _begin_judging(judge: object, model: nn.Module, modules: list[nn.Module]) -> None:
    """Put a model into eval mode, and note the modes that its modules had."""
    this_thread = threading.get_ident()
    with _lock:
        if any(_threads_that_train(module) - {this_thread} for module in modules):
            raise RuntimeError(
                f"{name_of(model)} is being trained in another thread, which changes its weights "
                "and mode from step to step. Wait until that has ended, or use a copy that was "
                "made before, by copy.deepcopy."
            )
        _judges.add(judge, modules)
        if any(module.training for module in modules):
            model.eval()


def _end_judging(judge: object, model: nn.Module, modules: list[nn.Module]) -> None:
    """Put each module that nobody judges any more back into the mode that was noted."""
    with _lock:
        done = _judges.remove(judge)
        # A model may do more than note a mode, if all of it is free to be changed.
        if done.get(model) and len(done) == len(modules):
            model.train()
        for module, was_training in done.items():
            module.training = was_training


@contextlib.contextmanager
def training(model: nn.Module) -> Iterator[None]:
    """Keep other threads from judging or training a model while this one trains it.

    Parameters
    ----------
    model : nn.Module
        The model, all of its parts included.

    Raises
    ------
    RuntimeError
        If it is being trained or judged already.
    """
    modules = set(model.modules())
    run = object()
    try:
        with _lock:
            for doing, is_done in (("trained", _threads_that_train), ("scored", _judges.have)):
                if any(is_done(module) for module in modules):
                    raise RuntimeError(
                        f"{name_of(model)} is being {doing} already; wait until that has ended, or "
                        "train a copy, by copy.deepcopy."
                    )
            _trained[run] = (threading.get_ident(), modules)
        yield
    finally:
        with _lock:
            _trained.pop(run, None)


def name_of(model: object) -> str:
    """Return what a model is called in results and messages.

    Parameters
    ----------
    model : object
        A recommender of this package, or one from elsewhere.

    Returns
    -------
    str
        Its name in the registry; of a model without a `name`, its class's.
    """
    return getattr(model, "name", type(model).__name__)
