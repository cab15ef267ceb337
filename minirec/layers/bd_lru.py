"""RecBLR's behaviour-dependent LRU, and the gated layer around it (notebooks 09 and 13).

B : batch
N : positions
d : model width
H : width of the recurrence; d without the gated layer
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
from minirec.scan.bd_lru import bd_lru, bd_lru_states, decay_and_scale

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
    initial_decays : {"spread", "random"}
        What Lambda starts as (`initial_Lambda`).

    Raises
    ------
    ValueError
        If initial_decays is neither of the two.

    References
    ----------
    Liu et al. (2024). The layer is RecBLR, Algorithm 1, put together in notebook 13; the recurrence
    is RecBLR, Eqs. 5 to 8, derived in notebook 09.
    """

    def __init__(
        self,
        d_model: int,
        expand: int = 2,
        kernel_size: int = 4,
        *,
        temporal_conv: bool = True,
        behaviour_gates: bool = True,
        initial_decays: str = "spread",
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

        self.gates = nn.Linear(d_inner, 2 * d_inner) if behaviour_gates else OpenGates()  # W_g, b_g
        self.Lambda = nn.Parameter(initial_Lambda(d_inner, initial_decays))
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

        gates = _shut_at_padding(self.gates(convolved), real)
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

        h = _next_state(state["h"], self.gates(x), x, self.Lambda)
        y = self.output(F.silu(z) * h)
        return y, {"h": h, "inputs": inputs}


class BehaviourDependentLRU(nn.Module):
    """Recur with a decay that the items decide, on the layer's input itself, and nothing else.

        r, i = split(W_g u + b_g)
        h_n  = alpha_n h_{n-1} + sqrt(1 - alpha_n^2) sigmoid(i_n) u_n
        y    = h

    It is what is left of the gated recurrent layer without its linear maps, its convolution and
    the gate of its output, which belongs to the second of the linear maps: H = d and x = u.

    Parameters
    ----------
    d_model : int
        d, the width of input, state and output.
    behaviour_gates : bool
        As in `GatedRecurrentLayer`.
    initial_decays : {"spread", "random"}
        What Lambda starts as (`initial_Lambda`).

    Raises
    ------
    ValueError
        If initial_decays is neither of the two.

    References
    ----------
    RecBLR, Eqs. 5 to 8, "BD-LRU only" in its Table 3 (Liu et al., 2024); derived in notebook 09.
    """

    def __init__(
        self, d_model: int, *, behaviour_gates: bool = True, initial_decays: str = "spread"
    ):
        super().__init__()
        self.gates = nn.Linear(d_model, 2 * d_model) if behaviour_gates else OpenGates()  # W_g, b_g
        self.Lambda = nn.Parameter(initial_Lambda(d_model, initial_decays))

    def forward(self, u: Tensor) -> Tensor:
        """Return h, [B, N, d] -> [B, N, d]; position t has seen u[:, :t + 1]."""
        h = bd_lru_states(self.gates(u), u, self.Lambda)
        return h.to(u.dtype)

    def init_state(self, batch_size: int) -> dict[str, Tensor]:
        """Return the state before the first item: {"h": zeros [B, d]}."""
        return {"h": self.Lambda.new_zeros(batch_size, len(self.Lambda))}

    def read(self, u: Tensor, real: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return what `forward` gives, [B, N, d], and the state after each row's last real item.

        u: [B, N, d]; real: Bool[B, N], False at the padding on the right.
        """
        gates = _shut_at_padding(self.gates(u), real)
        h = bd_lru_states(gates, u, self.Lambda).to(u.dtype)
        return h, {"h": h[:, -1]}

    def step(self, state: dict[str, Tensor], u: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Read one more item, u [B, d].

        Returns what `forward` gives there, [B, d], and the new state.
        """
        h = _next_state(state["h"], self.gates(u), u, self.Lambda)
        return h, {"h": h}


class OpenGates(nn.Module):
    """Stand in the place of the gates' linear map where there is none: both gates fully open."""

    def forward(self, x: Tensor) -> Tensor:
        """Return r and i side by side, [..., H] -> [..., 2H]: sigmoid(inf) = 1 for every item."""
        *leading, width = x.shape
        gates = x.new_full((2 * width,), math.inf)
        return gates.expand(*leading, -1)


def initial_Lambda(n: int, decays: str = "spread") -> Tensor:
    """Return Lambda before any training.

    exp(-softplus(Lambda)) is what is left of a state after one step with the gate fully open.

    Parameters
    ----------
    n : int
        H, the number of channels.
    decays : {"spread", "random"}
        "spread": Lambda is evenly spaced, and what is left goes from 0.9 in the first channel to
        0.999 in the last. "random": Lambda is drawn from the standard normal distribution, so what
        is left, 1 / (1 + exp(Lambda)), lies around a half, between 0.12 and 0.88 in 19 channels of
        20.

    Returns
    -------
    Tensor
        Lambda, [n].

    Raises
    ------
    ValueError
        If decays is neither of the two.

    Notes
    -----
    RecBLR's Table 3 has a row with a random initialisation in the place of the one that spreads the
    decays. Neither the paper nor the released code says which distribution it is. Ours is the one
    of `torch.randn`. With the small deviation of the other weights, 0.02, nothing would be random:
    all channels would start by keeping a half.

    References
    ----------
    Lambda is that of RecBLR, Eq. 8; derived in notebook 09.
    """
    if decays not in ("spread", "random"):
        raise ValueError(f"initial_decays must be 'spread' or 'random'; got {decays!r}.")
    if decays == "random":
        return torch.randn(n)
    shortest, longest = MEMORY
    first = _inverse_softplus(-math.log(shortest))
    last = _inverse_softplus(-math.log(longest))
    return torch.linspace(first, last, n)


def _shut_at_padding(gates: Tensor, real: Tensor) -> Tensor:
    """Shut both gates at the padding, so that it leaves the state as it is.

    sigmoid(-inf) = 0: there alpha = 1 and nothing comes in. So the state after the whole row is the
    one after its last real item. gates: [B, N, 2H]; real: Bool[B, N].
    """
    return gates.masked_fill(~real[..., None], -math.inf)


def _next_state(h: Tensor, gates: Tensor, x: Tensor, Lambda: Tensor) -> Tensor:
    """Return the state after one more input: h and x [B, H], gates [B, 2H], Lambda [H].

    RecBLR, Eqs. 5 to 8 (notebook 09).
    """
    r, i = gates.chunk(2, dim=-1)
    log_alpha, scale = decay_and_scale(r, Lambda)  # scale = sqrt(1 - alpha^2)
    return log_alpha.exp() * h + scale * torch.sigmoid(i) * x


def _inverse_softplus(y: float) -> float:
    """Return the x with log(1 + exp(x)) = y."""
    return math.log(math.expm1(y))
