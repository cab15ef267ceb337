"""LRURec (Yue et al., 2024): a complex-valued linear recurrent unit and a feed-forward.

Where others differ: the released code trains the input's scale gamma by itself, has biases in the recurrence and one for each item's score, draws all
weights but the eigenvalues with deviation 0.02, and pads rows on the left to a power of two for its scan. Ours ties gamma to the eigenvalues, adds a
skip D x (`layers.linear_rnn.LRU`), keeps its and PyTorch's own start but for the embeddings, and needs no padding.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minirec.layers.linear_rnn import LRU
from minirec.models.recurrent import RecurrentRecommender


class ComplexRecurrence(LRU):
    """The LRU, its state as real tensors by name."""

    def init_state(self, batch_size: int) -> dict[str, Tensor]:
        """Before the first item: {"h": zeros [B, H, 2]}, real and imaginary part."""
        return {"h": self.nu.new_zeros(batch_size, len(self.nu), 2)}

    def step(self, state: dict[str, Tensor], x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """One more position x [B, d]: returns what `forward` gives there [B, d], and the new state."""
        y, h = super().step(torch.view_as_complex(state["h"]), x)
        return y, {"h": torch.view_as_real(h)}


class LRURec(RecurrentRecommender):
    """Layers of a complex LRU, twice as wide as the model, |lambda| in 0.8 .. 0.99 at the start as released, and a feed-forward with GELU."""

    name = "lrurec"

    def __init__(
        self,
        n_items: int,
        *,
        d_model: int = 64,
        n_layers: int = 2,
        dropout: float = 0.2,
        max_len: int = 200,
    ):
        super().__init__(
            n_items,
            d_model,
            max_len,
            n_layers,
            dropout,
            lambda: ComplexRecurrence(d_model, 2 * d_model, ring=(0.8, 0.99)),
            activation=F.gelu,
        )
        nn.init.normal_(self.item_embedding.weight[1:], std=0.02)
