"""GRU4Rec (Hidasi et al., 2016), the first baseline of both papers (notebook 02). B batch, N positions, d model width, L layers."""

import torch
from torch import Tensor, nn

from minirec.layers.gru import GRU
from minirec.models.base import NeuralRecommender


class GRU4Rec(NeuralRecommender):
    """Embed (GLINT-RU, Eqs. 3 and 4), drop, run L GRU layers (Eq. 6), map the state back to the width of the embeddings, score by them (Eq. 13).

    d_state is the GRU's width, twice d_model unless given. form chooses PyTorch's GRU ("torch", fast) or Eq. 1's, step by step ("paper").
    """

    name = "gru4rec"

    def __init__(
        self,
        n_items: int,
        *,
        d_model: int = 64,
        n_layers: int = 1,
        dropout: float = 0.2,
        max_len: int = 200,
        d_state: int | None = None,
        form: str = "torch",
    ):
        super().__init__(n_items, d_model, max_len)
        d_state = 2 * d_model if d_state is None else d_state
        if n_layers < 1 or d_state < 1:
            raise ValueError(
                f"n_layers and d_state must be at least 1; got {n_layers} and {d_state}."
            )
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(
            GRU(d_state if layer else d_model, d_state, bias=False, form=form)
            for layer in range(n_layers)
        )
        self.output = nn.Linear(d_state, d_model)
        nn.init.xavier_normal_(self.item_embedding.weight[1:])

    def encode(self, items: Tensor) -> Tensor:
        """items [B, N] -> [B, N, d]; position t has read items[:, :t + 1]."""
        h = self.dropout(self.item_embedding(items))
        for layer in self.layers:
            h = layer(h)
        return self.output(h)

    def init_state(self, batch_size: int) -> dict[str, Tensor]:
        """The state before the first item: {"h": zeros [L, B, d_state]}."""
        return {
            "h": self.output.weight.new_zeros(len(self.layers), batch_size, self.output.in_features)
        }

    def step(self, state: dict[str, Tensor], items: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """One more item for each row, Long[B]; 0 leaves its row as it was. Returns (representation [B, d], the new state)."""
        x, states, real = self.dropout(self.item_embedding(items)), [], (items > 0)[:, None]
        for layer, h in zip(self.layers, state["h"]):
            x = torch.where(real, layer.cell(x, h), h)
            states.append(x)
        return self.output(x), {"h": torch.stack(states)}
