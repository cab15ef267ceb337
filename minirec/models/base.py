"""The contract every recommender keeps, and the little that the neural ones share.

B batch, N positions, d model width, V items. Items are Long[B, N] with ids 1..V, padded with 0 on the right; no row is empty.
"""

import contextlib
from dataclasses import dataclass

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


class Recommender(nn.Module):
    """Anything that scores every item as the next one: a subclass defines `scores(items: Long[B, N]) -> Float[B, V + 1]`, column 0 at -inf."""

    name = "recommender"  # as in the registry
    max_len: int | None = None  # how many of the last items it reads; None: all
    vocabulary: Vocabulary | None = None  # set by `fit` and `load_model`

    def __init__(self, n_items: int):
        super().__init__()
        if n_items < 1:
            raise ValueError(f"n_items must be at least 1; got {n_items}.")
        self.n_items = n_items
        self.options: dict = {}  # the keywords that build it again


class NeuralRecommender(Recommender):
    """A recommender that represents a prefix as a vector and scores items by its inner products with their embeddings (GLINT-RU, Eqs. 3, 4 and 13, notebook 02).

    A subclass with objective "next-item" defines `encode(items: Long[B, N]) -> Float[B, N, d]`, whose position t represents items[:, :t + 1] and
    nothing else. One with "prefix" defines `last`, or an `encode` that sees the whole row and counts at its last position only; one with "cloze"
    both: its `encode` sees the whole row and accepts the mask token, id V + 1.
    """

    objective = "next-item"

    def __init__(self, n_items: int, d_model: int, max_len: int, n_layers: int = 1):
        super().__init__(n_items)
        if d_model < 1 or max_len < 1:
            raise ValueError(
                f"d_model and max_len must be at least 1; got {d_model} and {max_len}."
            )
        if n_layers < 1:
            raise ValueError(f"n_layers must be at least 1; got {n_layers}.")
        self.d_model, self.max_len = d_model, max_len
        n_special = 2 if self.objective == "cloze" else 1  # padding, and the mask token
        self.item_embedding = nn.Embedding(n_items + n_special, d_model, padding_idx=0)

    def last(self, items: Tensor) -> Tensor:
        """items [B, N] -> the representation of each whole row [B, d]."""
        end = (items > 0).sum(1) - 1
        return self.encode(items)[torch.arange(len(items), device=items.device), end]

    def output_weights(self) -> Tensor:
        """The embeddings that are scored, [V + 1, d]: row i is item i."""
        return self.item_embedding.weight[: self.n_items + 1]

    def scores(self, items: Tensor) -> Tensor:
        """items [B, N] -> [B, V + 1], column 0 at -inf (Eq. 13 before its softmax, notebook 02). Raises ValueError for ids that `check_ids` refuses."""
        check_ids(items, self.n_items)
        return without_padding(self.last(items) @ self.output_weights().T)


def without_padding(scores: Tensor) -> Tensor:
    """scores [..., V + 1] with column 0, which is no item, at -inf."""
    return F.pad(scores[..., 1:], (1, 0), value=-torch.inf)


def initialise(module: nn.Module) -> None:
    """For `apply`: weights of linear maps and embeddings from a normal distribution of deviation 0.02, biases 0."""
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)


def check_ids(items: Tensor, n_items: int) -> None:
    """Refuses what the hot path does not look for: ids out of range, an empty row, a zero before the end of a row."""
    if items.numel() == 0 or items.min() < 0 or items.max() > n_items:
        found = f"{int(items.min())}..{int(items.max())}" if items.numel() else "no items at all"
        raise ValueError(
            f"item ids must lie in 1..{n_items}, padded with 0 on the right; got {found}."
        )
    real = items > 0
    for wrong, what in (
        (~real[:, 0], "starts with padding: it is empty, or padded on the left; pad on the right."),
        (
            (real[:, 1:] & ~real[:, :-1]).any(1),
            "has a 0 inside the sequence; 0 is padding and stands on the right only.",
        ),
    ):
        if wrong.any():
            raise ValueError(f"row {int(wrong.nonzero()[0, 0])} {what}")


@contextlib.contextmanager
def judging(model):
    """Eval mode and no gradients, for as long as the block runs; gives the device the model is on."""
    training, device = getattr(model, "training", False), torch.device("cpu")
    if isinstance(model, torch.nn.Module):
        device = next(iter(model.state_dict().values()), torch.empty(0)).device
        model.eval()
    try:
        with torch.inference_mode():
            yield device
    finally:
        if training:
            model.train()


def name_of(model) -> str:
    """As the registry has it; of a model from elsewhere, its class's."""
    return getattr(model, "name", type(model).__name__)
