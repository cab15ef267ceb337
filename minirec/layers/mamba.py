"""The Mamba block: a selective state-space model behind a short causal convolution.

The symbols are those of Gu and Dao (2023).

N : positions
d : model width
E : inner width, the number of channels
S : states per channel
k : kernel size of the convolution
u : the block's input, [batch, N, d]
x : what the state-space model reads, [batch, N, E]
z : what its output is gated by, [batch, N, E]
dt : how much time an item takes, per channel, [batch, N, E]
A : how fast each state decays, [E, S], negative; stored as log_rates = log(-A)
B : how an item is written into a channel's states, [batch, N, S]
C : how a channel's states are read, [batch, N, S]
D : the weights of the skip connection, [E]; stored as skip
h : the states, [batch, E, S]
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minirec.layers.temporal_conv import TemporalConv
from minirec.scan import linear_recurrence

# The smallest and the largest time step before any training; drawn log-uniformly between them.
STEP_SIZES = (1e-3, 1e-1)


class Mamba(nn.Module):
    """Convolve, recur with states whose decay and input the items decide, gate the output.

        x, z     = split(W_in u)
        x        = SiLU(conv(x))
        dt, B, C = functions of x
        h_t      = exp(dt A) h_{t-1} + dt B x_t
        y        = W_out (SiLU(z) * (C h + D x))

    Each of the E channels has S states that decay at rates of their own, -A = 1 .. S before any
    training, for a time dt that the item decides. This is like RecBLR's gate, but with S states
    in the place of one, and without its sqrt(1 - alpha^2).

    Parameters
    ----------
    d_model : int
        d, the width of input and output.
    d_state : int
        S, the number of states per channel.
    kernel_size : int
        k, the number of inputs that the causal convolution reads.
    expand : int
        E / d.

    References
    ----------
    Gu and Dao, 2023, "Mamba: Linear-time sequence modeling with selective state spaces".
    """

    def __init__(
        self,
        d_model: int,
        d_state: int = 32,
        kernel_size: int = 4,
        expand: int = 2,
    ):
        super().__init__()
        d_inner = expand * d_model
        rank = math.ceil(d_model / 16)  # of the map from x to dt, as in the authors' code
        self.d_state = d_state
        self.rank = rank

        self.input = nn.Linear(d_model, 2 * d_inner, bias=False)  # W_in
        self.output = nn.Linear(d_inner, d_model, bias=False)  # W_out
        self.conv = TemporalConv(d_inner, kernel_size, depthwise=True, causal=True)
        self.select = nn.Linear(d_inner, rank + 2 * d_state, bias=False)  # dt's input, B and C
        self.time = nn.Linear(rank, d_inner)  # from its low rank to dt, before the softplus

        rates = torch.arange(1.0, d_state + 1)  # -A, the same for every channel
        log_rates = rates.log().repeat(d_inner, 1)
        self.log_rates = nn.Parameter(log_rates)
        self.skip = nn.Parameter(torch.ones(d_inner))
        self._initialise_time()

    def _initialise_time(self) -> None:
        """Draw the map to dt so that, where its input is 0, dt is between the STEP_SIZES."""
        shortest, longest = STEP_SIZES
        log_steps = torch.empty_like(self.time.bias)
        nn.init.uniform_(log_steps, math.log(shortest), math.log(longest))
        steps = log_steps.exp()

        bound = self.rank**-0.5
        nn.init.uniform_(self.time.weight, -bound, bound)
        with torch.no_grad():
            # The inverse of softplus: softplus(bias) = steps.
            bias = steps + torch.log(-torch.expm1(-steps))
            self.time.bias.copy_(bias)

    def forward(self, u: Tensor) -> Tensor:
        """Return y, [batch, N, d] -> [batch, N, d]; position t has seen u[:, :t + 1]."""
        x, z = self.input(u).chunk(2, dim=-1)
        x = F.silu(self.conv(x))
        decay, driven, C = self._coefficients(x)

        # All E S states of a row are channels of one recurrence.
        h = linear_recurrence(decay.flatten(2), driven.flatten(2))
        h = h.view_as(driven)  # [batch, N, E, S]
        return self._read(h, C, x, z)

    def init_state(self, batch_size: int) -> dict[str, Tensor]:
        """Return the state before the first item, zeros.

        "h": [batch, E, S]; "inputs": the last k - 1 of x before the convolution, oldest first,
        [batch, k - 1, E].
        """
        d_inner = len(self.skip)
        return {
            "h": self.skip.new_zeros(batch_size, d_inner, self.d_state),
            "inputs": self.skip.new_zeros(batch_size, self.conv.kernel_size - 1, d_inner),
        }

    def step(self, state: dict[str, Tensor], u: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Read one more item, u [batch, d].

        Returns what `forward` gives there, [batch, d], and the new state.
        """
        x, z = self.input(u).chunk(2, dim=-1)
        x, inputs = self.conv.step(state["inputs"], x)
        x = F.silu(x)
        decay, driven, C = self._coefficients(x)
        h = decay * state["h"] + driven
        y = self._read(h, C, x, z)
        return y, {"h": h, "inputs": inputs}

    def _coefficients(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return what the items decide: exp(dt A), dt B x and C, from x [..., E].

        The first two, [..., E, S] each, are the recurrence's coefficients; C is [..., S].
        """
        sizes = (self.rank, self.d_state, self.d_state)
        time, B, C = self.select(x).split(sizes, dim=-1)
        dt = self.time(time)  # [..., E], before the softplus
        # From here in float32 or better: bfloat16 would round a decay of 0.999 to 1.
        dt = F.softplus(dt.to(torch.promote_types(dt.dtype, torch.float32)))
        rates = self.log_rates.exp()  # -A, [E, S]
        decay = torch.exp(-dt[..., None] * rates)

        dt_x = dt * x
        driven = dt_x[..., None] * B[..., None, :]
        return decay, driven, C

    def _read(self, h: Tensor, C: Tensor, x: Tensor, z: Tensor) -> Tensor:
        """Return y, [..., d], from the states h [..., E, S]."""
        read = h.to(C.dtype) @ C[..., None]  # C h, [..., E, 1]
        read = read[..., 0] + self.skip * x
        return self.output(F.silu(z) * read)
