"""The dense selective GRU, GLINT-RU's recurrent expert: convolve, recur, gate, convolve (Eqs. 5 to 9, notebook 06); and its every-prefix form (notebook 07).

B batch, N positions, d width, k kernel size, r = (k - 1) / 2. L dense input, C convolved input, H states, G gated states, Y output.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minirec.layers.gru import GRU
from minirec.layers.selective_gate import SelectiveGate
from minirec.layers.temporal_conv import TemporalConv


class NoConv(nn.Identity):
    """In the place of a TemporalConv: C = L, Y = G, and every prefix ends in its last item alone."""

    reach = 0
    ends = staticmethod(lambda x: x[None])
    at_end = staticmethod(lambda ends: ends[0])


class SelectiveGRU(nn.Module):
    """L = X W_0 + b_0;  C = conv(L);  H = GRU(C);  G = gate(C, H);  Y = conv'(G) (Eqs. 5 to 9, notebook 06).

    form="paper": the printed cell, with biases, and a gate of full width. form="released": PyTorch's cell without biases, a gate of width d / 2 with dropout.
    """

    def __init__(
        self,
        d_model: int,
        kernel_size: int = 3,
        form: str = "paper",
        temporal_conv: bool = True,
        dropout: float = 0.0,
    ):
        super().__init__()
        if form not in ("paper", "released"):
            raise ValueError(f"form must be 'paper' or 'released'; got {form!r}.")
        paper = form == "paper"
        conv = TemporalConv if temporal_conv else NoConv
        self.dense = nn.Linear(d_model, d_model)
        self.conv = conv(d_model, kernel_size)
        self.gru = GRU(d_model, d_model, bias=paper, form="paper" if paper else "torch")
        self.gate = SelectiveGate(d_model, d_model if paper else max(1, d_model // 2), dropout)
        self.output_conv = conv(d_model, kernel_size)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """The equations as printed: x [B, N, d] -> Y [B, N, d], where only the last real position is free of the future. real: [B, N, 1], 0 at padding."""
        c = self.conv(self.dense(x) * real)  # so that convolutions meet zeros at padding, not b_0
        g = self.gate(c, self.gru(c)) * real
        return self.output_conv(g)

    def every_prefix(self, x: Tensor) -> Tensor:
        """x: [B, N, d] -> [B, N, d]; at t what `forward` on x[:, :t + 1] gives there, in one pass (notebook 07).

        The states up to t - r serve every prefix from t on; each prefix then takes r steps of its own, all prefixes together.
        """
        r = self.conv.reach
        ends = self.conv.ends(self.dense(x))
        states = (
            F.pad(self.gru(ends[0][:, r:]), (0, 0, r, 0)) if x.shape[1] > r else torch.zeros_like(x)
        )
        return self._read(ends, states, torch.arange(x.shape[1], device=x.device)[None])

    def init_state(self, batch_size: int) -> dict[str, Tensor]:
        """Before the first item: {"h": the state r positions ago [B, d], "inputs": the last 2r of L [B, 2r, d], "age": items so far Long[B]}, zeros."""
        zeros, d = self.dense.weight.new_zeros, len(self.dense.weight)
        return {
            "h": zeros(batch_size, d),
            "inputs": zeros(batch_size, 2 * self.conv.reach, d),
            "age": zeros(batch_size, dtype=torch.long),
        }

    def state_after(self, x: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """The state after the first lengths[b] >= 0 positions of each row of x [B, N, d], in one pass: what as many steps would give."""
        dense, r = self.dense(x), self.conv.reach
        states = F.pad(
            self.gru(self.conv(dense)), (0, 0, 1, 0)
        )  # a state of zeros before the first position
        rows, windows = (
            torch.arange(len(x), device=x.device),
            F.pad(dense, (0, 0, 2 * r, 0)).unfold(1, 2 * r, 1),
        )  # [B, N + 1, d, 2r]
        return {
            "h": states[rows, (lengths - r).clamp_min(0)],
            "inputs": windows[rows, lengths].mT,
            "age": lengths,
        }

    def step(self, state: dict[str, Tensor], x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """One more position x [B, d]: returns what `every_prefix` gives there [B, d], and the new state."""
        r = self.conv.reach
        window = torch.cat([state["inputs"], self.dense(x)[:, None]], dim=1)
        ends = self.conv.ends(window)[:, :, -1]
        older = (state["age"] >= r)[:, None]  # is there a position t - r?
        h = torch.where(older, self.gru.cell(ends[0], state["h"]), state["h"])
        return self._read(ends[:, :, None], h[:, None], state["age"][:, None])[:, 0], {
            "h": h,
            "inputs": window[:, 1:],
            "age": state["age"] + 1,
        }

    def _read(self, ends: Tensor, h: Tensor, age: Tensor) -> Tensor:
        """ends [r + 1, B, N, d] and the states at t - r [B, N, d] -> Y at t [B, N, d]. age: t, Long[B, N] or [1, N]."""
        r, cell = self.conv.reach, self.gru.cell
        exists = torch.stack([age >= r - m for m in range(r + 1)])[..., None].to(
            h.dtype
        )  # is there a position t - r + m?
        states = [h]
        for m in range(1, r + 1):
            states.append(cell(ends[m], states[-1]) * exists[m])
        return self.output_conv.at_end(self.gate(ends, torch.stack(states)) * exists)
