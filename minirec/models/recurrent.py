"""What RecBLR, Mamba4Rec and LRURec share (notebook 13).

Layers of a recurrence that is linear in its state, each followed by a feed-forward.

B batch, N positions, d model width, L layers.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minirec.layers.feed_forward import FeedForward
from minirec.models.base import NeuralRecommender, hold_padded


class RecurrentLayer(nn.Module):
    """A recurrence with dropout, residual and LayerNorm, then a feed-forward.

    Parameters
    ----------
    recurrent : nn.Module
        The recurrence, [B, N, d] -> [B, N, d]. It also has `init_state(batch_size)` and
        `step(state, x: [B, d])`, as the models have.
    d_model : int
        Width d.
    dropout : float
        Share of the recurrence's output left out while training.
    feed_forward : nn.Module
        [..., d] -> [..., d].
    residual : bool
        Whether the layer's input is added to the recurrence's output.

    References
    ----------
    Notebook 13.
    """

    def __init__(
        self,
        recurrent: nn.Module,
        d_model: int,
        dropout: float,
        feed_forward: nn.Module,
        residual: bool = True,
    ):
        super().__init__()
        self.residual = residual
        self.recurrent = recurrent
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(d_model, eps=1e-12)
        self.feed_forward = feed_forward

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, N, d]. Returns [B, N, d]."""
        return self.after(x, self.recurrent(x))

    def after(self, x: Tensor, recurred: Tensor) -> Tensor:
        """Apply what follows the recurrence, position by position.

        x, recurred: [..., d], the layer's input and its recurrence's output. Returns [..., d].
        """
        recurred = self.dropout(recurred)
        if self.residual:
            recurred = x + recurred
        return self.feed_forward(self.norm(recurred))


class RecurrentRecommender(NeuralRecommender):
    """LayerNorm(dropout(embedding)), then L layers.

    The last layer's output at position t represents items[:, :t + 1]. The embedding is that of
    RecBLR, Eq. 1.

    Parameters
    ----------
    n_items : int
        Number of items V.
    d_model, max_len, n_layers : int
        Width d, how many of the last items it reads, number of layers L.
    dropout : float
        Share of values left out while training, of the embeddings and of both parts of a layer.
    recurrence : callable
        Makes one layer's recurrence.
    activation : callable
        Of the feed-forward.
    residual, feed_forward : bool
        Whether a layer has them.

    References
    ----------
    Notebook 13.
    """

    layers: Any  # nn.ModuleList of RecurrentLayer, whose type a ModuleList does not tell

    def __init__(
        self,
        n_items: int,
        d_model: int,
        max_len: int,
        n_layers: int,
        dropout: float,
        recurrence: Callable[[], nn.Module],
        *,
        activation: Callable[[Tensor], Tensor] = F.silu,
        residual: bool = True,
        feed_forward: bool = True,
    ):
        super().__init__(n_items, d_model, max_len, n_layers)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(d_model, eps=1e-12)
        self.layers = nn.ModuleList()
        for _ in range(n_layers):
            recurrent = recurrence()
            block = FeedForward(d_model, dropout, activation) if feed_forward else nn.Identity()
            self.layers.append(RecurrentLayer(recurrent, d_model, dropout, block, residual))

    def encode(self, items: Tensor) -> Tensor:
        """Represent every prefix: items [B, N] -> [B, N, d]; t has read items[:, :t + 1]."""
        x = self.embed(items)
        for layer in self.layers:
            x = layer(x)
        return x

    def embed(self, items: Tensor) -> Tensor:
        """Embed the items for the first layer (RecBLR, Eq. 1): items [...] -> [..., d]."""
        return self.norm(self.dropout(self.item_embedding(items)))

    def init_state(self, batch_size: int) -> dict[str, Tensor]:
        """Return the state before the first item: zeros, of a size that never changes.

        The layers' states, stacked [L, B, ...], and "representation", the latest one [B, d].
        """
        state = stack([layer.recurrent.init_state(batch_size) for layer in self.layers])
        state["representation"] = self.norm.weight.new_zeros(batch_size, self.d_model)
        return state

    def step(self, state: dict[str, Tensor], items: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Read one more item per row, Long[B]; 0 leaves its row as it was.

        Returns the representations [B, d] and the new state.
        """
        x = self.embed(items)
        states = []
        for i, layer in enumerate(self.layers):
            recurred, after = layer.recurrent.step(_of_layer(state, i), x)
            x = layer.after(x, recurred)
            states.append(after)

        real = items > 0
        new = {}
        for name, part in stack(states).items():
            new[name] = hold_padded(real, part, state[name], batch_dim=1)  # [L, B, ...]
        new["representation"] = hold_padded(real, x, state["representation"])
        return new["representation"], new


def stack(states: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Join the layers' states into one.

    Parameters
    ----------
    states : list of dict
        Each layer's state, its parts [B, ...].

    Returns
    -------
    dict
        Of the same names, each part [L, B, ...].
    """
    return {name: torch.stack([state[name] for state in states]) for name in states[0]}


def _of_layer(state: dict[str, Tensor], i: int) -> dict[str, Tensor]:
    """Take layer i's part out of a model's state: the reverse of `stack`."""
    return {name: part[i] for name, part in state.items() if name != "representation"}
