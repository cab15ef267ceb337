"""The dense selective GRU, GLINT-RU's recurrent expert (notebooks 06 and 08).

B : batch
N : positions
d : model width
k : kernel size of the two convolutions
r : their reach, (k - 1) / 2: how many positions each looks ahead
t : the last position of a prefix
X : the input, [B, N, d]
L : the dense layer's output, what the first convolution reads
C : the convolved input, what the GRU reads
H : the GRU's states
G : the gated states, what the second convolution reads
Y : the output
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minirec.layers.gru import GRU
from minirec.layers.selective_gate import SelectiveGate
from minirec.layers.temporal_conv import NoConv, TemporalConv, last_inputs


class SelectiveGRU(nn.Module):
    """Convolve, recur, gate, convolve.

        L = X W_0 + b_0
        C = conv(L)
        H = GRU(C)
        G = gate(C, H)
        Y = conv'(G)

    The convolutions are centred and look r positions ahead. So Y at a position t depends on where
    the row ends, unless it ends at t. `forward` is the equations as printed; `every_prefix` and
    `step` give at every t what the equations give for the prefix that ends there.

    Parameters
    ----------
    d_model : int
        d, the width of input, states and output.
    kernel_size : int
        k, odd.
    form : {"paper", "released"}
        "paper": the printed cell, with biases, and a gate of full width. "released": PyTorch's
        cell without biases, and a gate of width d / 2.
    temporal_conv : bool
        Whether there are convolutions; without them C = L and Y = G.
    dropout : float
        Share of gate values left out while training; the released code has one.

    Raises
    ------
    ValueError
        If form is neither of the two, or kernel_size has no middle.

    References
    ----------
    GLINT-RU, Eqs. 5 to 9; put together in notebook 06. The form for every prefix at once is
    derived in notebook 08.
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
        if form == "paper":
            cell_form = "paper"
            gate_width = d_model
        elif form == "released":
            cell_form = "torch"
            gate_width = max(1, d_model // 2)
        else:
            raise ValueError(f"form must be 'paper' or 'released'; got {form!r}.")

        self.dense = nn.Linear(d_model, d_model)  # W_0, b_0
        self.conv = _convolution(d_model, kernel_size, temporal_conv)
        self.gru = GRU(d_model, d_model, bias=form == "paper", form=cell_form)
        self.gate = SelectiveGate(d_model, gate_width, dropout)
        self.output_conv = _convolution(d_model, kernel_size, temporal_conv)  # conv'

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """Return Y by the equations as printed, [B, N, d] -> [B, N, d].

        Only at the last real position is it free of the future. real: [B, N, 1], 0 at padding.
        """
        dense = self.dense(x) * real  # so that the convolution meets zeros at padding, not b_0
        c = self.conv(dense)
        g = self.gate(c, self.gru(c)) * real
        return self.output_conv(g)

    def every_prefix(self, x: Tensor) -> Tensor:
        """Return at t what `forward` on x[:, :t + 1] gives there, [B, N, d] -> [B, N, d].

        In the prefix that ends at t, the windows up to position t - r are complete. They, and so
        the states up to t - r, are the same in every longer prefix: one run of the GRU computes
        them for all. Only the last r windows are cut off at t. For these each prefix takes r
        steps of its own, all prefixes at the same time (notebook 08).
        """
        r = self.conv.reach
        n_positions = x.shape[1]
        ends = self.conv.ends(self.dense(x))  # C at t - r .. t for every t, [r + 1, B, N, d]

        # ends[0] at t is the complete window at t - r; where t < r there is none.
        if n_positions > r:
            shared = self.gru(ends[0][:, r:])
            states = F.pad(shared, (0, 0, r, 0))  # at t the state at t - r, zeros where t < r
        else:
            states = torch.zeros_like(x)

        t = torch.arange(n_positions, device=x.device)
        return self._finish(ends, states, t[None])

    def init_state(self, batch_size: int) -> dict[str, Tensor]:
        """Return the state before the first item, zeros.

        "h": the GRU's state r positions ago, [B, d], the newest that is the same for all longer
        prefixes; "inputs": the last 2r of L, oldest first, [B, 2r, d]; "age": the number of items
        so far, Long[B].
        """
        weight = self.dense.weight  # for its dtype and device
        d_model = len(weight)
        return {
            "h": weight.new_zeros(batch_size, d_model),
            "inputs": weight.new_zeros(batch_size, 2 * self.conv.reach, d_model),
            "age": weight.new_zeros(batch_size, dtype=torch.long),
        }

    def state_after(self, x: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Return the state after the first lengths[b] >= 0 positions of each row, in one pass.

        It is what as many steps would give. x: [B, N, d], lengths: Long[B].
        """
        r = self.conv.reach
        dense = self.dense(x)

        # After n items the state to keep is the one at n - 1 - r, whose window ends at n - 1 and
        # so holds nothing that comes later in the row. With a state of zeros put in front, it
        # stands at n - r. Where n <= r there is no such position yet, and the zeros are kept.
        states = self.gru(self.conv(dense))
        states = F.pad(states, (0, 0, 1, 0))  # [B, N + 1, d]
        rows = torch.arange(len(x), device=x.device)
        return {
            "h": states[rows, (lengths - r).clamp_min(0)],
            "inputs": last_inputs(dense, lengths, 2 * r),
            "age": lengths,
        }

    def step(self, state: dict[str, Tensor], x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Read one more position, x [B, d].

        Returns what `every_prefix` gives there, [B, d], and the new state.
        """
        r = self.conv.reach
        t = state["age"]  # the new position, Long[B]

        # The windows at t - r .. t read L at t - 2r .. t and nothing else.
        dense = self.dense(x)
        window = torch.cat([state["inputs"], dense[:, None]], dim=1)  # [B, 2r + 1, d]
        ends = self.conv.ends(window)[:, :, -1]  # of the longest prefix, [r + 1, B, d]

        # The kept state moves from t - 1 - r to t - r, if there is such a position.
        moved = self.gru.cell(ends[0], state["h"])
        is_there = (t >= r)[:, None]
        h = torch.where(is_there, moved, state["h"])

        # A row of one position, as `_finish` wants it.
        row = self._finish(ends[:, :, None], h[:, None], t[:, None])  # [B, 1, d]
        new_state = {"h": h, "inputs": window[:, 1:], "age": t + 1}
        return row[:, 0], new_state

    def _finish(self, ends: Tensor, states: Tensor, t: Tensor) -> Tensor:
        """Take the r steps that belong to each prefix alone, and return Y at its end, [B, N, d].

        ends: C at t - r .. t, [r + 1, B, N, d]; states: H at t - r, [B, N, d]; t: the last
        position of each prefix, Long[B, N] or [1, N].
        """
        r = self.conv.reach

        # Position t - r + m exists where t >= r - m. The shortest prefixes begin within these
        # steps: before their first item the state stays 0, and the gated state counts as 0.
        exists = torch.stack([t >= r - m for m in range(r + 1)])
        exists = exists[..., None].to(states.dtype)  # [r + 1, B or 1, N, 1]

        own = [states]
        for m in range(1, r + 1):
            state = self.gru.cell(ends[m], own[-1])
            own.append(state * exists[m])

        gated = self.gate(ends, torch.stack(own)) * exists  # G at t - r .. t
        return self.output_conv.at_end(gated)


def _convolution(d_model: int, kernel_size: int, temporal_conv: bool) -> TemporalConv | NoConv:
    if temporal_conv:
        return TemporalConv(d_model, kernel_size)
    return NoConv()
