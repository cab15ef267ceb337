"""RecBLR (Liu et al., CIKM 2024): layers of a behaviour-dependent linear recurrent unit and a feed-forward (notebook 11).

B batch, N positions, d model width, L layers, H = 2d the inner width, k kernel size.
"""

import torch
from torch import Tensor, nn

from minirec.layers.bd_lru import GatedRecurrentLayer
from minirec.layers.feed_forward import FeedForward
from minirec.models.base import NeuralRecommender


class RecBLRLayer(nn.Module):
    """The gated recurrent layer with dropout, residual and LayerNorm, then the feed-forward."""

    def __init__(self, d_model: int, dropout: float, kernel_size: int, temporal_conv: bool, behaviour_gates: bool, feed_forward: bool):
        super().__init__()
        self.recurrent = GatedRecurrentLayer(d_model, kernel_size=kernel_size, temporal_conv=temporal_conv, behaviour_gates=behaviour_gates)
        self.dropout, self.norm = nn.Dropout(dropout), nn.LayerNorm(d_model, eps=1e-12)
        self.feed_forward = FeedForward(d_model, dropout) if feed_forward else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """x [B, N, d] -> [B, N, d]."""
        return self.after(x, self.recurrent(x))

    def after(self, x: Tensor, recurred: Tensor) -> Tensor:
        """What follows the recurrence, position by position: x and its output [..., d] -> [..., d]."""
        return self.feed_forward(self.norm(x + self.dropout(recurred)))


class RecBLR(NeuralRecommender):
    """LayerNorm(dropout(embedding)), then L layers; the last one's output at position t represents items[:, :t + 1] (notebook 11).

    temporal_conv, behaviour_gates, feed_forward = False leave that part out; without the behaviour-dependent gates it is a real LRU.
    """

    name = "recblr"

    def __init__(self, n_items: int, *, d_model: int = 64, n_layers: int = 2, dropout: float = 0.2, max_len: int = 200, kernel_size: int = 4,
                 temporal_conv: bool = True, behaviour_gates: bool = True, feed_forward: bool = True):
        super().__init__(n_items, d_model, max_len)
        if n_layers < 1:
            raise ValueError(f"n_layers must be at least 1; got {n_layers}.")
        self.dropout, self.norm = nn.Dropout(dropout), nn.LayerNorm(d_model, eps=1e-12)
        parts = (temporal_conv, behaviour_gates, feed_forward)
        self.layers = nn.ModuleList(RecBLRLayer(d_model, dropout, kernel_size, *parts) for _ in range(n_layers))
        self.apply(_initialise)
        nn.init.normal_(self.item_embedding.weight[1:], std=0.02)

    def encode(self, items: Tensor) -> Tensor:
        """items [B, N] -> [B, N, d]; position t has read items[:, :t + 1]."""
        x = self._embed(items)
        for layer in self.layers:
            x = layer(x)
        return x

    def init_state(self, batch_size: int) -> dict[str, Tensor]:
        """Before the first item: {"h": [L, B, H], "inputs": [L, B, k - 1, H], "representation": the latest [B, d]}, zeros, of a size that never changes."""
        state = _stack([layer.recurrent.init_state(batch_size) for layer in self.layers])
        return state | {"representation": self.norm.weight.new_zeros(batch_size, self.d_model)}

    def state_after(self, items: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """The state for `step` after the first lengths[b] >= 0 items of each row [B, N], N >= 1, in one pass."""
        x, states = self._embed(items), []
        real = torch.arange(items.shape[1], device=items.device) < lengths[:, None]
        for layer in self.layers:
            recurred, state = layer.recurrent.read(x, real)
            x = layer.after(x, recurred)
            states.append(state)
        latest = x[torch.arange(len(x), device=x.device), (lengths - 1).clamp_min(0)] * (lengths > 0)[:, None]
        return _stack(states) | {"representation": latest}

    def step(self, state: dict[str, Tensor], items: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """One more item for each row, Long[B]; 0 leaves its row as it was. Returns (representation [B, d], the new state)."""
        x, states = self._embed(items), []
        for at, layer in enumerate(self.layers):
            recurred, after = layer.recurrent.step({"h": state["h"][at], "inputs": state["inputs"][at]}, x)
            x = layer.after(x, recurred)
            states.append(after)
        new, real = _stack(states), (items > 0)[:, None]
        new = {name: part.where(real.unsqueeze(-1) if part.dim() == 4 else real, state[name]) for name, part in new.items()}
        new["representation"] = x.where(real, state["representation"])
        return new["representation"], new

    def _embed(self, items: Tensor) -> Tensor:
        return self.norm(self.dropout(self.item_embedding(items)))


def _stack(states: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The layers' states as one."""
    return {name: torch.stack([state[name] for state in states]) for name in states[0]}


def _initialise(module: nn.Module) -> None:
    """As released: normal weights of deviation 0.02, no biases; the convolution as PyTorch makes it."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
