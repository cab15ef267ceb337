"""GLINT-RU (Zhang et al., KDD 2025; Eqs. 3 to 13, notebook 06). B batch, N positions, d model width, k kernel size, H heads."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minirec.layers.attention import LinearAttention
from minirec.layers.gated_mlp import GatedMLP
from minirec.layers.selective_gru import SelectiveGRU
from minirec.layers.temporal_conv import TemporalConv
from minirec.models.base import NeuralRecommender


class GLINTRU(NeuralRecommender):
    """M = a1 attention(X) + a2 selective_gru(X);  Z = GeLU(X W + b) * M;  R = gated_mlp(Z) (Eqs. 10 to 12, notebook 06).

    form="paper": the equations as printed. form="released": as the authors' code has it, with a dense layer, dropout, residual and LayerNorm after
    attention, Z and R. n_heads: 1 for "paper", 8 for "released" unless given. dropout is that of the embedding and of attention's output; inner_dropout
    (released only, 0.3 unless given) that of gate, mixing and MLP. attention, gru, temporal_conv, gated_mlp = False leave that part out (Table 4).
    """

    name = "glint-ru"

    def __init__(
        self,
        n_items: int,
        *,
        d_model: int = 64,
        n_heads: int | None = None,
        dropout: float = 0.5,
        inner_dropout: float | None = None,
        max_len: int = 200,
        kernel_size: int = 3,
        form: str = "released",
        attention: bool = True,
        gru: bool = True,
        temporal_conv: bool = True,
        gated_mlp: bool = True,
    ):
        super().__init__(n_items, d_model, max_len)
        if not (attention or gru):
            raise ValueError(
                "attention and gru are both left out: no expert is left; keep at least one."
            )
        if form == "paper" and inner_dropout is not None:
            raise ValueError(
                "inner_dropout belongs to form='released'; the paper's form drops embeddings only."
            )
        self.form, released, inner = (
            form,
            form == "released",
            0.3 if inner_dropout is None else inner_dropout,
        )
        self.dropout = nn.Dropout(dropout)
        self.attention = (
            LinearAttention(d_model, n_heads if n_heads is not None else 8 if released else 1, form)
            if attention
            else None
        )
        self.gru = (
            SelectiveGRU(d_model, kernel_size, form, temporal_conv, inner if released else 0.0)
            if gru
            else None
        )
        self.mixing = (
            nn.Parameter(torch.full((2,), 0.5)) if attention and gru else None
        )  # of attention, of the GRU, before their softmax
        self.data_gate = nn.Linear(d_model, d_model)
        self.mlp = GatedMLP(d_model, form) if gated_mlp else None
        if released:
            self.inner_dropout = nn.Dropout(inner)
            self.norm = nn.LayerNorm(
                d_model, eps=1e-12
            )  # one module after Z and after R, as released
            self.gate_output = nn.Linear(d_model, d_model)
            self.attention_output = nn.Linear(d_model, d_model) if attention else None
            self.attention_norm = nn.LayerNorm(d_model, eps=1e-12) if attention else None
        for module in self.modules():
            if isinstance(module, nn.Linear) or (
                form == "paper" and isinstance(module, TemporalConv)
            ):  # as released: PyTorch's convolutions
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.xavier_normal_(self.item_embedding.weight[1:])

    def forward(self, items: Tensor) -> Tensor:
        """The plain model, items [B, N] -> [B, N, d]: its convolutions look ahead and its attention sees the whole row, so read the last position only."""
        x, real = self.dropout(self.item_embedding(items)), items > 0
        return self._mix(
            x, self.attention and self.attention(x, real), self.gru and self.gru(x, real[..., None])
        )

    def encode(self, items: Tensor) -> Tensor:
        """items [B, N] -> [B, N, d]; position t is what `forward` on items[:, :t + 1] gives at its last, exactly (notebook 07)."""
        x = self.dropout(self.item_embedding(items))
        return self._mix(
            x,
            self.attention and self.attention.every_prefix(x),
            self.gru and self.gru.every_prefix(x),
        )

    def last(self, items: Tensor) -> Tensor:
        """items [B, N] -> the representation of each whole row [B, d]: the state after all items but the last, and one step."""
        lengths = (items > 0).sum(1) - 1
        return self.step(self.state_after(items, lengths), items.gather(1, lengths[:, None])[:, 0])[
            0
        ]

    def init_state(self, batch_size: int) -> dict[str, Tensor]:
        """The state before the first item: that of the experts and the latest representation; its size depends on d, H and k, not on the history."""
        state = {"representation": self.data_gate.weight.new_zeros(batch_size, self.d_model)}
        return state | {
            name: part
            for expert in self._experts
            for name, part in expert.init_state(batch_size).items()
        }

    def state_after(self, items: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """The state for `step` after the first lengths[b] items of each row, in one pass; but for "representation", which only a step fills."""
        x = self.dropout(self.item_embedding(items))
        return self.init_state(len(x)) | {
            name: part
            for expert in self._experts
            for name, part in expert.state_after(x, lengths).items()
        }

    def step(self, state: dict[str, Tensor], items: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """One more item for each row, Long[B]; 0 leaves its row as it was. Returns (representation [B, d], the new state)."""
        x, real = self.dropout(self.item_embedding(items)), items > 0
        attended, sums = self.attention.step(state, x) if self.attention else (None, {})
        recurred, window = self.gru.step(state, x) if self.gru else (None, {})
        new = {**sums, **window, "representation": self._mix(x, attended, recurred)}
        new = {
            name: part.where(real.view(-1, *[1] * (part.dim() - 1)), state[name])
            for name, part in new.items()
        }
        return new["representation"], new

    _experts = property(lambda self: [expert for expert in (self.attention, self.gru) if expert])

    def _mix(self, x: Tensor, attended: Tensor | None, recurred: Tensor | None) -> Tensor:
        """Everything after the experts, which is the same at every position: x and the experts' outputs [..., d] -> R [..., d]."""
        released = self.form == "released"
        if attended is not None and released:
            attended = self.attention_norm(self.dropout(self.attention_output(attended)) + x)
        mixed = recurred if attended is None else attended
        if self.mixing is not None:
            weights = self.mixing.softmax(0)
            mixed = weights[0] * attended + weights[1] * recurred  # Eq. 10
        z = F.gelu(self.data_gate(x)) * mixed  # Eq. 11
        if released:
            z = self.norm(self.inner_dropout(self.gate_output(z)) + x)
        if self.mlp is None:
            return z
        return self.norm(self.inner_dropout(self.mlp(z)) + z) if released else self.mlp(z)  # Eq. 12
