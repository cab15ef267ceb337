"""RecBLR's gated recurrent layer: a short causal convolution, the behaviour-dependent LRU, an output gate (notebooks 08 and 11).

B batch, N positions, d model width, H inner width, k kernel size. u the layer's input; x, z its two halves; r, i the gates before their sigmoids.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minirec.layers.temporal_conv import TemporalConv
from minirec.scan.bd_lru import bd_lru, decay_and_scale

MEMORY = (
    0.9,
    0.999,
)  # left of a state after a step with the gate fully open, at the start: in the first channel and in the last


class GatedRecurrentLayer(nn.Module):
    """x, z = split(W_in u);  x = SiLU(conv(x));  r, i = split(W_g x + b_g);  h = BD-LRU(r, i, x);  y = W_out (SiLU(z) * h) (RecBLR, notebook 11).

    behaviour_gates=False: alpha = exp(-softplus(Lambda)) for every item and no input gate, a real LRU. temporal_conv=False: x = SiLU(x).
    """

    def __init__(
        self,
        d_model: int,
        expand: int = 2,
        kernel_size: int = 4,
        *,
        temporal_conv: bool = True,
        behaviour_gates: bool = True,
    ):
        super().__init__()
        d_inner, self.n_before = (
            expand * d_model,
            kernel_size - 1 if temporal_conv else 0,
        )  # items of the past that the convolution reads
        self.input = nn.Linear(d_model, 2 * d_inner, bias=False)
        self.conv = (
            TemporalConv(d_inner, kernel_size, depthwise=True, causal=True)
            if temporal_conv
            else None
        )
        self.gates = nn.Linear(d_inner, 2 * d_inner) if behaviour_gates else _always_open
        self.Lambda = nn.Parameter(initial_Lambda(d_inner))
        self.output = nn.Linear(d_inner, d_model, bias=False)

    def forward(self, u: Tensor) -> Tensor:
        """u [B, N, d] -> [B, N, d]; position t has seen u[:, :t + 1]."""
        return self._run(u)[0]

    def init_state(self, batch_size: int) -> dict[str, Tensor]:
        """Before the first item: {"h": [B, H], "inputs": the last k - 1 of x before the convolution [B, k - 1, H]}, zeros."""
        zeros, d_inner = self.Lambda.new_zeros, len(self.Lambda)
        return {
            "h": zeros(batch_size, d_inner),
            "inputs": zeros(batch_size, self.n_before, d_inner),
        }

    def read(self, u: Tensor, real: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """`forward`, and the state after each row's last real position; real [B, N], False at the padding on the right."""
        y, h, x = self._run(u, real)
        windows = F.pad(x, (0, 0, self.n_before, 0)).unfold(
            1, self.n_before, 1
        )  # [B, N + 1, H, k - 1]: at n, what stands before item n
        return y, {"h": h, "inputs": windows[torch.arange(len(x), device=x.device), real.sum(1)].mT}

    def step(self, state: dict[str, Tensor], u: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """One more position u [B, d]: returns what `forward` gives there [B, d], and the new state."""
        x, z = self.input(u).chunk(2, dim=-1)
        window = torch.cat([state["inputs"], x[:, None]], dim=1)
        x = F.silu(
            x if self.conv is None else (window * self.conv.weight[:, 0].T).sum(1) + self.conv.bias
        )
        r, i = self.gates(x).chunk(2, dim=-1)
        log_alpha, scale = decay_and_scale(r, self.Lambda)
        h = log_alpha.exp() * state["h"] + scale * torch.sigmoid(i) * x
        return self.output(F.silu(z) * h), {"h": h, "inputs": window[:, 1:]}

    def _run(self, u: Tensor, real: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """u -> y [B, N, d], the final state [B, H], to which padding (`real` False) adds nothing, and x before its convolution [B, N, H]."""
        x, z = self.input(u).chunk(2, dim=-1)
        convolved = F.silu(x if self.conv is None else self.conv(x))
        gates = self.gates(convolved)
        if real is not None:  # sigmoid(-inf) = 0: alpha = 1 and nothing comes in
            gates = gates.masked_fill(~real[..., None], -math.inf)
        y, h = bd_lru(gates, convolved, z, self.Lambda)
        return self.output(y), h, x


def _always_open(x: Tensor) -> Tensor:
    """In the place of the gates r, i: sigmoid(inf) = 1 for every item."""
    return x.new_full((2 * x.shape[-1],), math.inf).expand(*x.shape[:-1], -1)


def initial_Lambda(n: int) -> Tensor:
    """Lambda [n], evenly spaced so that exp(-softplus(Lambda)), what is left of a state after one step, goes from 0.9 to 0.999 (RecBLR, notebook 08)."""
    first, last = (
        math.log(math.expm1(-math.log(left))) for left in MEMORY
    )  # the inverse of softplus
    return torch.linspace(first, last, n)
