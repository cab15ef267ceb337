"""What SASRec, BERT4Rec and LinRec share: item and position embeddings, and layers of attention and a feed-forward (notebook 05).

B batch, N positions, d model width, L layers.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minirec.layers.feed_forward import FeedForward
from minirec.models.base import NeuralRecommender, initialise


class TransformerLayer(nn.Module):
    """LayerNorm(x + W_o attention(x)), then the feed-forward with GELU: the encoder layer of Vaswani et al. (2017), with dropout on both branches."""

    def __init__(self, attention: nn.Module, d_model: int, dropout: float):
        super().__init__()
        self.attention, self.output = attention, nn.Linear(d_model, d_model)
        self.dropout, self.norm = nn.Dropout(dropout), nn.LayerNorm(d_model, eps=1e-12)
        self.feed_forward = FeedForward(d_model, dropout, F.gelu)

    def forward(self, x: Tensor, real: Tensor | None = None) -> Tensor:
        """x [B, N, d] -> [B, N, d]. real: Bool[B, N], False at padding; None where nobody meets it."""
        return self.feed_forward(self.norm(x + self.dropout(self.output(self.attention(x, real)))))


class TransformerRecommender(NeuralRecommender):
    """LayerNorm(item + position embedding), dropout, then L layers. attention() makes one layer's. Positions count from the oldest item in view."""

    def __init__(
        self,
        n_items: int,
        d_model: int,
        max_len: int,
        n_layers: int,
        dropout: float,
        attention: Callable[[], nn.Module],
    ):
        super().__init__(n_items, d_model, max_len, n_layers)
        self.positions = nn.Embedding(max_len, d_model)
        self.norm, self.dropout = nn.LayerNorm(d_model, eps=1e-12), nn.Dropout(dropout)
        self.layers = nn.ModuleList(
            TransformerLayer(attention(), d_model, dropout) for _ in range(n_layers)
        )
        self.apply(initialise)
        nn.init.zeros_(self.item_embedding.weight[0])

    def encode(self, items: Tensor) -> Tensor:
        """items [B, N] -> [B, N, d]; position t has read items[:, :t + 1] where attention is causal, else the whole row."""
        self.check_length(items)
        real = (
            None if self.objective == "next-item" else items > 0
        )  # causal attention never meets the padding, which lies behind
        at = torch.arange(items.shape[1], device=items.device).clamp_max(
            self.max_len - 1
        )  # padding may lie beyond, and is never looked at
        x = self.dropout(self.norm(self.item_embedding(items) + self.positions(at)))
        for layer in self.layers:
            x = layer(x, real)
        return x

    def check_length(self, items: Tensor) -> None:
        """Refuses rows longer than max_len: there is no embedding for their positions."""
        if items.shape[1] > self.max_len and (items[:, self.max_len :] > 0).any():
            raise ValueError(
                f"{self.name} has {self.max_len} positions; a row has {int((items > 0).sum(1).max())} items. Give it the last {self.max_len}."
            )
