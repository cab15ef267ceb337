"""RecBLR's gated recurrent layer: a short causal convolution, the behaviour-dependent LRU, an output gate (notebooks 08 and 11).

B batch, N positions, d model width, H inner width, k kernel size. u the layer's input; x, z its two halves; r, i the gates before their sigmoids.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minirec.layers.temporal_conv import TemporalConv
from minirec.scan import linear_recurrence
from minirec.scan.bd_lru import bd_lru, decay_and_scale

MEMORY = (0.9, 0.999)  # left of a state after a step with the gate fully open, at the start: in the first channel and in the last


class GatedRecurrentLayer(nn.Module):
    """x, z = split(W_in u);  x = SiLU(conv(x));  r, i = split(W_g x + b_g);  h = BD-LRU(r, i, x);  y = W_out (SiLU(z) * h) (RecBLR, notebook 11).

    behaviour_gates=False: alpha = exp(-softplus(Lambda)) for every item and no input gate, a real LRU. temporal_conv=False: x = SiLU(x).
    """

    def __init__(self, d_model: int, expand: int = 2, kernel_size: int = 4, *, temporal_conv: bool = True, behaviour_gates: bool = True):
        super().__init__()
        d_inner = expand * d_model
        self.input = nn.Linear(d_model, 2 * d_inner, bias=False)
        self.conv = TemporalConv(d_inner, kernel_size, depthwise=True, causal=True) if temporal_conv else None
        self.gates = nn.Linear(d_inner, 2 * d_inner) if behaviour_gates else None
        self.Lambda = nn.Parameter(initial_Lambda(d_inner))
        self.output = nn.Linear(d_inner, d_model, bias=False)

    def forward(self, u: Tensor) -> Tensor:
        """u [B, N, d] -> [B, N, d]; position t has seen u[:, :t + 1]."""
        x, z = self.input(u).chunk(2, dim=-1)
        return self.output(self._recur(x, z)[0])

    def init_state(self, batch_size: int) -> dict[str, Tensor]:
        """Before the first item: {"h": [B, H], "inputs": the last k - 1 of x before the convolution [B, k - 1, H]}, zeros."""
        weight = self.output.weight
        window = self.conv.kernel_size - 1 if self.conv is not None else 0
        return {"h": weight.new_zeros(batch_size, weight.shape[1]), "inputs": weight.new_zeros(batch_size, window, weight.shape[1])}

    def read(self, u: Tensor, real: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """`forward`, and the state after each row's last real position; real [B, N], False at the padding on the right."""
        x, z = self.input(u).chunk(2, dim=-1)
        y, h = self._recur(x, z, real)
        window = self.init_state(len(u))["inputs"]
        at = real.sum(1)[:, None] + torch.arange(window.shape[1], device=u.device)  # in the padded row, whose item t stands at t + k - 1
        inputs = torch.cat([window.to(x.dtype), x], dim=1).gather(1, at[..., None].expand(-1, -1, x.shape[2]))
        return self.output(y), {"h": h, "inputs": inputs}

    def step(self, state: dict[str, Tensor], u: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """One more position u [B, d]: returns what `forward` gives there [B, d], and the new state."""
        x, z = self.input(u).chunk(2, dim=-1)
        window = torch.cat([state["inputs"], x[:, None]], dim=1)
        if self.conv is not None:
            x = (window * self.conv.weight[:, 0].T).sum(1) + self.conv.bias
        x = F.silu(x)
        log_alpha, b = self._decay_and_drive(x)
        h = log_alpha.exp() * state["h"] + b
        return self.output(F.silu(z) * h), {"h": h, "inputs": window[:, 1:]}

    def _recur(self, x: Tensor, z: Tensor, real: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x before its convolution, z [B, N, H] -> SiLU(z) * h [B, N, H] and the final state [B, H], to which padding (`real` False) adds nothing."""
        x = F.silu(x if self.conv is None else self.conv(x))
        if self.gates is not None:
            gates = self.gates(x)
            if real is not None:  # sigmoid(-inf) = 0: alpha = 1 and nothing comes in
                gates = gates.masked_fill(~real[..., None], -math.inf)
            return bd_lru(gates, x, z, self.Lambda)
        log_alpha, b = self._decay_and_drive(x)
        alpha = log_alpha.exp().expand_as(x)
        if real is not None:
            alpha, b = alpha.where(real[..., None], 1), b * real[..., None]
        h = linear_recurrence(alpha, b)
        return F.silu(z) * h, h[:, -1]

    def _decay_and_drive(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x [..., H] -> log alpha and sqrt(1 - alpha^2) sigmoid(i) x; without gates both are open, and alpha is the same for every item: [H]."""
        r, i = torch.full_like(self.Lambda, math.inf).expand(2, -1) if self.gates is None else self.gates(x).chunk(2, dim=-1)
        log_alpha, scale = decay_and_scale(r, self.Lambda)
        return log_alpha.to(x.dtype), scale.to(x.dtype) * torch.sigmoid(i).to(x.dtype) * x


def initial_Lambda(n: int) -> Tensor:
    """Lambda [n], evenly spaced so that exp(-softplus(Lambda)), what is left of a state after one step, goes from 0.9 to 0.999 (RecBLR, notebook 08)."""
    first, last = (math.log(math.expm1(-math.log(left))) for left in MEMORY)  # the inverse of softplus
    return torch.linspace(first, last, n)
