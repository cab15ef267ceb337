"""What SASRec, BERT4Rec and LinRec share (notebook 05).

Item and position embeddings, then layers of attention and a feed-forward.

B batch, N positions, d model width, L layers, H heads.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minirec.layers.feed_forward import FeedForward
from minirec.models.base import NeuralRecommender, initialise


class TransformerLayer(nn.Module):
    """The encoder layer of Vaswani et al. (2017): attention, then a feed-forward with GELU.

    x' = LayerNorm(x + attention(x) W_o + b_o), and the feed-forward normalises in the same way;
    dropout on both branches.

    Parameters
    ----------
    attention : nn.Module
        Called with x [B, N, d] and `real`, as in `forward`; returns [B, N, d].
    d_model : int
        Width d.
    dropout : float
        Share of values left out of each branch while training.

    References
    ----------
    Notebook 05.
    """

    def __init__(self, attention: nn.Module, d_model: int, dropout: float):
        super().__init__()
        self.attention = attention
        self.output = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(d_model, eps=1e-12)
        self.feed_forward = FeedForward(d_model, dropout, F.gelu)

    def forward(self, x: Tensor, real: Tensor | None = None) -> Tensor:
        """x: [B, N, d]. Returns [B, N, d].

        real: Bool[B, N], False at padding; None where no position attends to padding.
        """
        attended = self.output(self.attention(x, real))
        x = self.norm(x + self.dropout(attended))
        return self.feed_forward(x)


class TransformerRecommender(NeuralRecommender):
    """LayerNorm(item + position embedding), dropout, then L layers.

    Positions count from the oldest item in view.

    Parameters
    ----------
    n_items : int
        Number of items V.
    d_model, max_len, n_layers : int
        Width d, number of positions, number of layers L.
    dropout : float
        Share of values left out while training, of the embeddings and of both branches of a layer.
    attention : callable
        Makes one layer's attention.

    References
    ----------
    Notebook 05.
    """

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
        self.norm = nn.LayerNorm(d_model, eps=1e-12)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(
            TransformerLayer(attention(), d_model, dropout) for _ in range(n_layers)
        )
        self.apply(initialise)
        nn.init.zeros_(self.item_embedding.weight[0])

    def encode(self, items: Tensor) -> Tensor:
        """Represent every position: items [B, N] -> [B, N, d].

        Position t has read items[:, :t + 1] where attention is causal, else the whole row.
        """
        self.check_length(items)

        # Causal attention never meets the padding, which lies behind the items.
        real = None if self.objective == "next-item" else items > 0

        # Padding may lie beyond the last position that has an embedding; nobody looks at it.
        positions = torch.arange(items.shape[1], device=items.device).clamp_max(self.max_len - 1)

        x = self.item_embedding(items) + self.positions(positions)
        x = self.dropout(self.norm(x))
        for layer in self.layers:
            x = layer(x, real)
        return x

    def check_length(self, items: Tensor) -> None:
        """Refuse rows with more than max_len items: their positions have no embedding."""
        if items.shape[1] > self.max_len and (items[:, self.max_len :] > 0).any():
            longest = int((items > 0).sum(1).max())
            raise ValueError(
                f"{self.name} has {self.max_len} positions; a row has {longest} items. "
                f"Give it the last {self.max_len}."
            )
