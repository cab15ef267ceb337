"""GRU4Rec (Hidasi et al., 2016), the first baseline of both papers (notebook 02).

B batch, N positions, d model width, L layers. x an input, h a state.
"""

from typing import Any

import torch
from torch import Tensor, nn

from minirec.layers.gru import GRU
from minirec.models.base import NeuralRecommender, hold_padded


class GRU4Rec(NeuralRecommender):
    """Embed, drop, run L GRU layers, map the state back to the width of the embeddings.

    The embeddings are Eqs. 3 and 4 of GLINT-RU, the layers Eq. 6, the scores Eq. 13.

    Parameters
    ----------
    n_items : int
        Number of items.
    d_model : int
        Width d of embeddings and representations.
    n_layers : int
        Number of layers L.
    dropout : float
        Share of embedded values left out while training.
    max_len : int
        How many of the last items it reads.
    d_state : int, optional
        Width of the GRU's state; twice d_model unless given.
    form : {"torch", "paper"}
        PyTorch's GRU, which is fast, or Eq. 1's, step by step.

    Raises
    ------
    ValueError
        If a size is below 1, or there is no such form.

    References
    ----------
    GLINT-RU, Eqs. 1, 3, 4, 6 and 13; notebook 02.
    """

    name = "gru4rec"
    layers: Any  # nn.ModuleList of GRU, whose type a ModuleList does not tell

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
        if d_state is None:
            d_state = 2 * d_model
        if n_layers < 1 or d_state < 1:
            raise ValueError(
                f"n_layers and d_state must be at least 1; got {n_layers} and {d_state}."
            )
        self.d_state = d_state
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList()
        for i in range(n_layers):
            d_input = d_model if i == 0 else d_state
            self.layers.append(GRU(d_input, d_state, bias=False, form=form))
        self.output = nn.Linear(d_state, d_model)
        nn.init.xavier_normal_(self.item_embedding.weight[1:])

    def encode(self, items: Tensor) -> Tensor:
        """Represent every prefix: items [B, N] -> [B, N, d]; t has read items[:, :t + 1]."""
        x = self.dropout(self.item_embedding(items))
        for layer in self.layers:
            x = layer(x)
        return self.output(x)

    def init_state(self, batch_size: int) -> dict[str, Tensor]:
        """Return the state before the first item: {"h": zeros [L, B, d_state]}."""
        h = self.output.weight.new_zeros(len(self.layers), batch_size, self.d_state)
        return {"h": h}

    def step(self, state: dict[str, Tensor], items: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Read one more item per row, Long[B]; 0 leaves its row as it was.

        Returns the representations [B, d] and the new state.
        """
        real = items > 0
        x = self.dropout(self.item_embedding(items))
        states = []
        for layer, h in zip(self.layers, state["h"], strict=True):
            x = hold_padded(real, layer.cell(x, h), h)
            states.append(x)
        return self.output(x), {"h": torch.stack(states)}

    def multiply_adds(self, n: int) -> int:
        """Return the multiply-adds of a row of n items through the layers, without item scores."""
        d = self.d_model
        s = self.d_state
        # Every cell has three gates (reset, update, candidate), each with a map of the input and
        # one of the state. The first layer reads embeddings, the others states.
        first = 3 * (d * s + s * s)
        others = (len(self.layers) - 1) * 3 * (s * s + s * s)
        output = s * d
        return n * (first + others + output)
