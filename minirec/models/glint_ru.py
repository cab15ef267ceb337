"""GLINT-RU (Zhang et al., KDD 2025; Eqs. 3 to 13, notebook 06).

B batch, N positions, d model width, k kernel size, H heads. X the embeddings, M the mixed experts,
Z the data-gated M, R the representation; `attended` and `recurred` are the two experts' outputs.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minirec.layers.attention import LinearAttention
from minirec.layers.gated_mlp import GatedMLP
from minirec.layers.selective_gru import SelectiveGRU
from minirec.layers.temporal_conv import TemporalConv
from minirec.models.base import NeuralRecommender, hold_padded


class GLINTRU(NeuralRecommender):
    """Two experts that read the history, mixed, gated by the data, and a gated MLP.

        M = a_1 attention(X) + a_2 selective_gru(X)     (Eq. 10)
        Z = GeLU(X W + b) * M                           (Eq. 11)
        R = gated_mlp(Z)                                (Eq. 12)

    Parameters
    ----------
    n_items : int
        Number of items.
    d_model : int
        Width d.
    n_heads : int, optional
        Heads of the attention, H; 1 for form "paper" and 8 for "released" unless given.
    dropout : float
        Share left out while training of the embeddings, and (released) of attention's output.
    inner_dropout : float, optional
        Share left out in gate, mixing and MLP; for form "released" only, 0.3 unless given.
    max_len : int
        How many of the last items it reads.
    kernel_size : int
        Of the temporal convolutions, k; odd.
    form : {"released", "paper"}
        "paper": the equations as printed. "released": as the authors' code has it, with a dense
        layer, dropout, residual and LayerNorm after attention, Z and R.
    attention, gru, temporal_conv, gated_mlp : bool
        False leaves that part out (the paper's Table 4).

    Raises
    ------
    ValueError
        If both experts are left out, or an option has an impossible value.

    References
    ----------
    GLINT-RU, Eqs. 3 to 13; notebook 06.
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
        released = form == "released"
        if n_heads is None:
            n_heads = 8 if released else 1
        if inner_dropout is None:
            inner_dropout = 0.3 if released else 0.0
        self.form = form
        self.kernel_size = kernel_size
        self.has_temporal_conv = temporal_conv

        self.dropout = nn.Dropout(dropout)
        self.attention = LinearAttention(d_model, n_heads, form) if attention else None
        self.gru: SelectiveGRU | None = None
        if gru:
            self.gru = SelectiveGRU(d_model, kernel_size, form, temporal_conv, inner_dropout)
        if attention and gru:  # the weights of attention and of the GRU, before their softmax
            self.mixing = nn.Parameter(torch.full((2,), 0.5))
        self.data_gate = nn.Linear(d_model, d_model)
        self.mlp = GatedMLP(d_model, form) if gated_mlp else None

        if released:
            self.inner_dropout = nn.Dropout(inner_dropout)
            # One module after Z and after R, as released.
            self.norm = nn.LayerNorm(d_model, eps=1e-12)
            self.gate_output = nn.Linear(d_model, d_model)
            if attention:
                self.attention_output = nn.Linear(d_model, d_model)
                self.attention_norm = nn.LayerNorm(d_model, eps=1e-12)
        self._initialise()

    def _initialise(self) -> None:
        """Draw the weights anew; the released form keeps PyTorch's own start of convolutions."""
        redrawn: tuple[type[nn.Linear | TemporalConv], ...] = (nn.Linear,)
        if self.form == "paper":
            redrawn = (nn.Linear, TemporalConv)
        for module in self.modules():
            if isinstance(module, redrawn):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.xavier_normal_(self.item_embedding.weight[1:])

    def forward(self, items: Tensor) -> Tensor:
        """Run the model as the paper draws it: items [B, N] -> [B, N, d].

        Read the last position only: its convolutions look ahead and its attention sees the whole
        row, so no other position represents a prefix.
        """
        x = self.dropout(self.item_embedding(items))  # Eqs. 3 and 4
        real = items > 0
        attended = None if self.attention is None else self.attention(x, real)  # Eq. 2
        recurred = None if self.gru is None else self.gru(x, real[..., None])  # Eqs. 5 to 9
        return self._after_experts(x, attended, recurred)

    def encode(self, items: Tensor) -> Tensor:
        """Represent every prefix at once (notebook 08): items [B, N] -> [B, N, d].

        Position t is exactly what `forward` on items[:, :t + 1] gives at its last position.
        """
        x = self.dropout(self.item_embedding(items))
        attended = None if self.attention is None else self.attention.every_prefix(x)
        recurred = None if self.gru is None else self.gru.every_prefix(x)
        return self._after_experts(x, attended, recurred)

    def _after_experts(self, x: Tensor, attended: Tensor | None, recurred: Tensor | None) -> Tensor:
        """Everything after the experts, which is the same at every position.

        x and the experts' outputs (None: left out): [..., d]. Returns R, [..., d].
        """
        released = self.form == "released"
        if released and attended is not None:
            attended = self.attention_norm(self.dropout(self.attention_output(attended)) + x)

        mixed = self._mix(attended, recurred)  # Eq. 10
        z = F.gelu(self.data_gate(x)) * mixed  # Eq. 11
        if released:
            z = self.norm(self.inner_dropout(self.gate_output(z)) + x)

        if self.mlp is None:
            return z
        r = self.mlp(z)  # Eq. 12
        if released:
            r = self.norm(self.inner_dropout(r) + z)
        return r

    def _mix(self, attended: Tensor | None, recurred: Tensor | None) -> Tensor:
        """M = a_1 attention + a_2 GRU (Eq. 10, notebook 06); one expert alone is M itself."""
        if attended is None:
            assert recurred is not None  # the constructor keeps at least one expert
            return recurred
        if recurred is None:
            return attended
        weights = self.mixing.softmax(0)
        return weights[0] * attended + weights[1] * recurred

    def last(self, items: Tensor) -> Tensor:
        """Represent each whole row: items [B, N] -> [B, d].

        By the state after all items but the last, and one step.
        """
        before = (items > 0).sum(1) - 1
        last_items = items.gather(1, before[:, None])[:, 0]
        representation, _ = self.step(self.state_after(items, before), last_items)
        return representation

    def init_state(self, batch_size: int) -> dict[str, Tensor]:
        """Return the state before the first item: the latest representation, and the experts'.

        Its size depends on d, H and k, not on the history.
        """
        state = {"representation": self.data_gate.weight.new_zeros(batch_size, self.d_model)}
        for expert in self._experts():
            state.update(expert.init_state(batch_size))
        return state

    def state_after(self, items: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Return the state for `step` after the first lengths[b] >= 0 items of each row, at once.

        items: [B, N]; lengths: Long[B]. "representation" stays 0: only a step fills it.
        """
        x = self.dropout(self.item_embedding(items))
        state = self.init_state(len(x))
        for expert in self._experts():
            state.update(expert.state_after(x, lengths))
        return state

    def step(self, state: dict[str, Tensor], items: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Read one more item per row, Long[B]; 0 leaves its row as it was.

        Returns the representations [B, d] and the new state.
        """
        x = self.dropout(self.item_embedding(items))
        after = {}
        attended = None
        recurred = None
        if self.attention is not None:
            attended, sums = self.attention.step(state, x)
            after.update(sums)
        if self.gru is not None:
            recurred, window = self.gru.step(state, x)
            after.update(window)
        after["representation"] = self._after_experts(x, attended, recurred)

        real = items > 0
        new = {name: hold_padded(real, part, state[name]) for name, part in after.items()}
        return new["representation"], new

    def _experts(self) -> list[LinearAttention | SelectiveGRU]:
        return [expert for expert in (self.attention, self.gru) if expert is not None]

    def multiply_adds(self, n: int) -> int:
        """Return the multiply-adds of a row of n items through `forward`, without item scores.

        `encode`, which computes every prefix at once, takes more.
        """
        d = self.d_model
        dense = d**2  # one linear map from d to d
        released = self.form == "released"

        total = dense  # the data gate
        if self.attention is not None:
            total += 3 * dense  # queries, keys, values
            # Per head, the outer product of a key and its value, and the query by their sum:
            # (d / H) squared each.
            total += 2 * d * (d // self.attention.n_heads)
        if self.gru is not None:
            d_gate = max(1, d // 2) if released else d
            total += dense  # the dense layer before the first convolution
            total += 6 * dense  # three gates of the GRU's cell, each from input and from state
            total += 2 * d * d_gate + dense  # the selective gate's two maps, and the crossing
            if self.has_temporal_conv:
                total += 2 * self.kernel_size * dense  # a matrix per tap, before and after the GRU
        if self.mlp is not None:
            n_maps = 3 if released else 2  # gate and output, and the released form's value
            total += n_maps * dense
        if released:
            total += dense  # after the data gate
            if self.attention is not None:
                total += dense  # after attention
        return n * total
