"""RecBLR's gated recurrent layer, around a behaviour-dependent LRU (notebooks 08 and 11).

B : batch
N : positions
d : model width
H : inner width
k : kernel size of the convolution
u : the layer's input, [B, N, d]
x : what the recurrence reads, [B, N, H]
z : what its output is gated by, [B, N, H]
r : the recurrence gate before its sigmoid, which decides how fast the state decays, [B, N, H]
i : the input gate before its sigmoid, which decides how much of x comes in, [B, N, H]
Lambda : one parameter per channel, [H]; softplus(Lambda) is its fastest rate of decay
alpha : what is left of a state after one step, exp(-softplus(Lambda) sigmoid(r))
h : the state, [B, H]
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minirec.layers.temporal_conv import NoConv, TemporalConv, last_inputs
from minirec.scan.bd_lru import bd_lru, decay_and_scale

# What is left of a state after one step with the gate fully open, before any training: in the
# first channel and in the last.
MEMORY = (0.9, 0.999)


class GatedRecurrentLayer(nn.Module):
    """Convolve, recur with a decay that the items decide, and gate the output.

        x, z = split(W_in u)
        x    = SiLU(conv(x))
        r, i = split(W_g x + b_g)
        h_n  = alpha_n h_{n-1} + sqrt(1 - alpha_n^2) sigmoid(i_n) x_n
        y    = W_out (SiLU(z) * h)

    Parameters
    ----------
    d_model : int
        d, the width of input and output.
    expand : int
        H / d.
    kernel_size : int
        k, the number of inputs that the causal convolution reads.
    temporal_conv : bool
        Whether there is a convolution; without it x = SiLU(x).
    behaviour_gates : bool
        Whether the items decide. Without the gates alpha = exp(-softplus(Lambda)) for every item
        and all of x comes in: a real LRU.

    References
    ----------
    RecBLR (Liu et al., 2024); the recurrence is derived in notebook 08, the layer in notebook 11.
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
        d_inner = expand * d_model
        self.input = nn.Linear(d_model, 2 * d_inner, bias=False)  # W_in

        self.conv: TemporalConv | NoConv
        if temporal_conv:
            self.conv = TemporalConv(d_inner, kernel_size, depthwise=True, causal=True)
        else:
            self.conv = NoConv()
        self.n_before = self.conv.kernel_size - 1  # earlier inputs that the convolution reads

        self.gates: nn.Linear | OpenGates
        if behaviour_gates:
            self.gates = nn.Linear(d_inner, 2 * d_inner)  # W_g, b_g
        else:
            self.gates = OpenGates()

        self.Lambda = nn.Parameter(initial_Lambda(d_inner))
        self.output = nn.Linear(d_inner, d_model, bias=False)  # W_out

    def forward(self, u: Tensor) -> Tensor:
        """Return y, [B, N, d] -> [B, N, d]; position t has seen u[:, :t + 1]."""
        x, z = self.input(u).chunk(2, dim=-1)
        x = F.silu(self.conv(x))
        gates = self.gates(x)
        gated, _ = bd_lru(gates, x, z, self.Lambda)  # SiLU(z) * h
        return self.output(gated)

    def init_state(self, batch_size: int) -> dict[str, Tensor]:
        """Return the state before the first item, zeros.

        "h": the state of the recurrence, [B, H]; "inputs": the last k - 1 of x before the
        convolution, oldest first, [B, k - 1, H].
        """
        d_inner = len(self.Lambda)
        return {
            "h": self.Lambda.new_zeros(batch_size, d_inner),
            "inputs": self.Lambda.new_zeros(batch_size, self.n_before, d_inner),
        }

    def read(self, u: Tensor, real: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return what `forward` gives, [B, N, d], and the state after each row's last real item.

        u: [B, N, d]; real: Bool[B, N], False at the padding on the right.
        """
        x, z = self.input(u).chunk(2, dim=-1)
        convolved = F.silu(self.conv(x))

        # sigmoid(-inf) = 0: at the padding alpha = 1 and nothing comes in, so that the state after
        # the whole row is the one after the last real item.
        gates = self.gates(convolved)
        gates = gates.masked_fill(~real[..., None], -math.inf)

        gated, h = bd_lru(gates, convolved, z, self.Lambda)
        lengths = real.sum(1)
        inputs = last_inputs(x, lengths, self.n_before)
        return self.output(gated), {"h": h, "inputs": inputs}

    def step(self, state: dict[str, Tensor], u: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Read one more item, u [B, d].

        Returns what `forward` gives there, [B, d], and the new state.
        """
        x, z = self.input(u).chunk(2, dim=-1)
        x, inputs = self.conv.step(state["inputs"], x)
        x = F.silu(x)

        r, i = self.gates(x).chunk(2, dim=-1)
        log_alpha, scale = decay_and_scale(r, self.Lambda)  # scale = sqrt(1 - alpha^2)
        alpha = log_alpha.exp()
        h = alpha * state["h"] + scale * torch.sigmoid(i) * x

        y = self.output(F.silu(z) * h)
        return y, {"h": h, "inputs": inputs}


class OpenGates(nn.Module):
    """Stand in the place of the gates' linear map where there is none: both gates fully open."""

    def forward(self, x: Tensor) -> Tensor:
        """Return r and i side by side, [..., H] -> [..., 2H]: sigmoid(inf) = 1 for every item."""
        *leading, width = x.shape
        gates = x.new_full((2 * width,), math.inf)
        return gates.expand(*leading, -1)


def initial_Lambda(n: int) -> Tensor:
    """Return Lambda before any training, evenly spaced.

    Parameters
    ----------
    n : int
        H, the number of channels.

    Returns
    -------
    Tensor
        Lambda, [n], such that exp(-softplus(Lambda)), which is left of a state after one step
        with the gate fully open, goes from 0.9 in the first channel to 0.999 in the last.

    References
    ----------
    RecBLR; derived in notebook 08.
    """
    shortest, longest = MEMORY
    first = _inverse_softplus(-math.log(shortest))
    last = _inverse_softplus(-math.log(longest))
    return torch.linspace(first, last, n)


def _inverse_softplus(y: float) -> float:
    """Return the x with log(1 + exp(x)) = y."""
    return math.log(math.expm1(y))
