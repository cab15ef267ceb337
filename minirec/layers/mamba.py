"""The Mamba block: a selective state-space model behind a short causal convolution (Gu and Dao, 2023), run by `linear_recurrence`.

B batch, N positions, d model width, E = 2d inner width, S states a channel, k kernel size.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minirec.layers.temporal_conv import TemporalConv
from minirec.scan import linear_recurrence

STEP_SIZES = (1e-3, 1e-1)  # of the time step at the start, drawn log-uniformly


class Mamba(nn.Module):
    """x, z = split(W_in u);  x = SiLU(conv(x));  dt, B, C = functions of x;  h_t = exp(dt A) h_{t-1} + dt B x_t;  y = W_out (SiLU(z) * (C h + D x)).

    Each of the E channels has S states that decay at rates of their own, -A = 1 .. S at the start, for a time dt = softplus(...) that the item
    decides: like RecBLR's gate, but with S states in place of one, and without its sqrt(1 - alpha^2).
    """

    def __init__(self, d_model: int, d_state: int = 32, kernel_size: int = 4, expand: int = 2):
        super().__init__()
        d_inner, rank = expand * d_model, math.ceil(d_model / 16)
        self.d_state, self.rank = d_state, rank
        self.input, self.output = (
            nn.Linear(d_model, 2 * d_inner, bias=False),
            nn.Linear(d_inner, d_model, bias=False),
        )
        self.conv = TemporalConv(d_inner, kernel_size, depthwise=True, causal=True)
        self.select, self.time = (
            nn.Linear(d_inner, rank + 2 * d_state, bias=False),
            nn.Linear(rank, d_inner),
        )
        self.log_rates, self.skip = (
            nn.Parameter(torch.arange(1.0, d_state + 1).log().repeat(d_inner, 1)),
            nn.Parameter(torch.ones(d_inner)),
        )
        steps = torch.empty(d_inner).uniform_(*map(math.log, STEP_SIZES)).exp()
        with torch.no_grad():
            self.time.weight.uniform_(-(rank**-0.5), rank**-0.5)
            self.time.bias.copy_(
                steps + torch.log(-torch.expm1(-steps))
            )  # softplus of this is `steps`

    def forward(self, u: Tensor) -> Tensor:
        """u [B, N, d] -> [B, N, d]; position t has seen u[:, :t + 1]."""
        x, z = self.input(u).chunk(2, dim=-1)
        x = F.silu(self.conv(x))
        decay, driven, read = self._selected(x)
        h = linear_recurrence(decay.flatten(2), driven.flatten(2)).view_as(driven)
        return self._read(h, read, x, z)

    def init_state(self, batch_size: int) -> dict[str, Tensor]:
        """Before the first item: {"h": [B, E, S], "inputs": the last k - 1 of x before the convolution [B, k - 1, E]}, zeros."""
        zeros, d_inner = self.skip.new_zeros, len(self.skip)
        return {
            "h": zeros(batch_size, d_inner, self.d_state),
            "inputs": zeros(batch_size, self.conv.kernel_size - 1, d_inner),
        }

    def step(self, state: dict[str, Tensor], u: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """One more position u [B, d]: returns what `forward` gives there [B, d], and the new state."""
        x, z = self.input(u).chunk(2, dim=-1)
        window = torch.cat([state["inputs"], x[:, None]], dim=1)
        x = F.silu((window * self.conv.weight[:, 0].T).sum(1) + self.conv.bias)
        decay, driven, read = self._selected(x)
        h = decay * state["h"] + driven
        return self._read(h, read, x, z), {"h": h, "inputs": window[:, 1:]}

    def _selected(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x [..., E] -> exp(dt A) and dt B x [..., E, S], C [..., S]."""
        time, write, read = self.select(x).split((self.rank, self.d_state, self.d_state), dim=-1)
        dt = F.softplus(self.time(time))
        return (
            torch.exp(-dt[..., None] * self.log_rates.exp()),
            (dt * x)[..., None] * write[..., None, :],
            read,
        )

    def _read(self, h: Tensor, read: Tensor, x: Tensor, z: Tensor) -> Tensor:
        return self.output(F.silu(z) * ((h @ read[..., None])[..., 0] + self.skip * x))
