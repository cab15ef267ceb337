"""What RecBLR, Mamba4Rec and LRURec share: layers of a recurrence that is linear in its state, each followed by a feed-forward (notebook 11).

B batch, N positions, d model width, L layers.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minirec.layers.feed_forward import FeedForward
from minirec.models.base import NeuralRecommender


class RecurrentLayer(nn.Module):
    """A recurrence with dropout, residual and LayerNorm, then `feed_forward`. The recurrence has forward, init_state and step, as the models have."""

    def __init__(
        self,
        recurrent: nn.Module,
        d_model: int,
        dropout: float,
        feed_forward: nn.Module,
        residual: bool = True,
    ):
        super().__init__()
        self.recurrent, self.residual = recurrent, residual
        self.dropout, self.norm, self.feed_forward = (
            nn.Dropout(dropout),
            nn.LayerNorm(d_model, eps=1e-12),
            feed_forward,
        )

    def forward(self, x: Tensor) -> Tensor:
        """x [B, N, d] -> [B, N, d]."""
        return self.after(x, self.recurrent(x))

    def after(self, x: Tensor, recurred: Tensor) -> Tensor:
        """What follows the recurrence, position by position: x and its output [..., d] -> [..., d]."""
        recurred = self.dropout(recurred)
        return self.feed_forward(self.norm(x + recurred if self.residual else recurred))


class RecurrentRecommender(NeuralRecommender):
    """LayerNorm(dropout(embedding)), then L layers; the last one's output at position t represents items[:, :t + 1] (notebook 11).

    recurrence() makes one layer's recurrence. residual and feed_forward: whether a layer has them.
    """

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
        self.dropout, self.norm = nn.Dropout(dropout), nn.LayerNorm(d_model, eps=1e-12)
        self.layers = nn.ModuleList(
            RecurrentLayer(
                recurrence(),
                d_model,
                dropout,
                FeedForward(d_model, dropout, activation) if feed_forward else nn.Identity(),
                residual,
            )
            for _ in range(n_layers)
        )

    def encode(self, items: Tensor) -> Tensor:
        """items [B, N] -> [B, N, d]; position t has read items[:, :t + 1]."""
        x = self.embed(items)
        for layer in self.layers:
            x = layer(x)
        return x

    def embed(self, items: Tensor) -> Tensor:
        """items [...] -> what the first layer reads [..., d]."""
        return self.norm(self.dropout(self.item_embedding(items)))

    def init_state(self, batch_size: int) -> dict[str, Tensor]:
        """Before the first item: the layers' states, stacked [L, B, ...], and "representation", the latest [B, d]; zeros, of a size that never changes."""
        state = stack([layer.recurrent.init_state(batch_size) for layer in self.layers])
        return state | {"representation": self.norm.weight.new_zeros(batch_size, self.d_model)}

    def step(self, state: dict[str, Tensor], items: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """One more item for each row, Long[B]; 0 leaves its row as it was. Returns (representation [B, d], the new state)."""
        x, states = self.embed(items), []
        for at, layer in enumerate(self.layers):
            recurred, after = layer.recurrent.step(
                {name: part[at] for name, part in state.items() if name != "representation"}, x
            )
            x = layer.after(x, recurred)
            states.append(after)
        real = items > 0
        new = {
            name: part.where(real.view(1, -1, *[1] * (part.dim() - 2)), state[name])
            for name, part in stack(states).items()
        }
        new["representation"] = x.where(real[:, None], state["representation"])
        return new["representation"], new


def stack(states: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The layers' states as one."""
    return {name: torch.stack([state[name] for state in states]) for name in states[0]}
