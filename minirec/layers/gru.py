"""The gated recurrent unit, as GLINT-RU prints it and as PyTorch computes it (Eq. 1 and Eq. 6, notebook 02).

B batch, N positions. x the input, h the state before the step, h' after it, r the reset gate, z the update gate, c the candidate; W meets x, U meets h.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class GRUCell(nn.Module):
    """One step of a GRU; rows of the weights are stacked in the order reset, update, candidate, as in torch.nn.GRU.

    form="paper", Eq. 1:                                      form="torch", torch.nn.GRU:
        r = sigmoid(W_r x + U_r h + b_r)                          r = sigmoid(W_r x + b_r + U_r h + u_r)
        z = sigmoid(W_z x + U_z h + b_z)                          z = sigmoid(W_z x + b_z + U_z h + u_z)
        c = tanh(W x + U (r * h) + b)                             c = tanh(W x + b + r * (U h + u))
        h' = z * c + (1 - z) * h                                  h' = (1 - z) * c + z * h

    They differ in where the reset gate acts, in which way z turns, and in PyTorch's second bias u (notebook 02, section 7: when they are equal).
    """

    def __init__(self, d_input: int, d_state: int, bias: bool = True, form: str = "paper"):
        super().__init__()
        if form not in ("paper", "torch"):
            raise ValueError(f"form must be 'paper' or 'torch'; got {form!r}.")
        self.d_state, self.form = d_state, form
        self.weight_x = nn.Parameter(nn.init.xavier_uniform_(torch.empty(3 * d_state, d_input)))
        self.weight_h = nn.Parameter(nn.init.xavier_uniform_(torch.empty(3 * d_state, d_state)))
        self.bias_x = nn.Parameter(torch.zeros(3 * d_state)) if bias else None
        self.bias_h = nn.Parameter(torch.zeros(3 * d_state)) if bias and form == "torch" else None

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        """x: [..., d_input], h: [..., d_state] -> the next state [..., d_state]."""
        return self.step(self.project(x), h)

    def project(self, x: Tensor) -> Tensor:
        """W x + b for r, z and c at once, [..., 3 d_state]: the part that needs no state."""
        return nn.functional.linear(x, self.weight_x, self.bias_x)

    def step(self, projected: Tensor, h: Tensor) -> Tensor:
        """projected: [..., 3 d_state] from `project`; h: [..., d_state] -> the next state [..., d_state]."""
        x_r, x_z, x_c = projected.chunk(3, dim=-1)
        if self.form == "torch":
            h_r, h_z, h_c = nn.functional.linear(h, self.weight_h, self.bias_h).chunk(3, dim=-1)
            r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
            candidate = torch.tanh(x_c + r * h_c)
            return torch.lerp(candidate, h.to(candidate.dtype), z)
        h_r, h_z = nn.functional.linear(h, self.weight_h[: 2 * self.d_state]).chunk(2, dim=-1)
        r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
        candidate = torch.tanh(x_c + nn.functional.linear(r * h, self.weight_h[2 * self.d_state :]))
        return torch.lerp(h.to(candidate.dtype), candidate, z)


class GRU(nn.Module):
    """The cell along a sequence, h_n = GRUCell(x_n, h_{n-1}) (Eq. 6, notebook 02).

    Parameters
    ----------
    d_input : int
        Width of the inputs.
    d_state : int
        Width of the state.
    bias : bool
        Whether the cell has biases.
    form : {"paper", "torch"}
        The cell's form. "torch" runs PyTorch's own kernel (cuDNN's on a GPU) on the cell's weights;
        "paper" walks along the sequence step by step.

    References
    ----------
    GLINT-RU, Eqs. 1 and 6; derived in notebook 02.
    """

    def __init__(self, d_input: int, d_state: int, bias: bool = True, form: str = "paper"):
        super().__init__()
        self.cell = GRUCell(d_input, d_state, bias, form)

    def forward(self, x: Tensor, h: Tensor | None = None) -> Tensor:
        """Return the state after every step, [B, N, d_state].

        x: [B, N, d_input]; h: the state before the first step [B, d_state], zeros if not given.
        """
        if h is None:
            h = x.new_zeros(len(x), self.cell.d_state)
        if self.cell.form == "torch":
            return self._by_pytorch(x, h)
        projected = self.cell.project(x)
        states = []
        for t in range(x.shape[1]):
            h = self.cell.step(projected[:, t], h)
            states.append(h)
        return torch.stack(states, dim=1)

    def _by_pytorch(self, x: Tensor, h: Tensor) -> Tensor:
        states, _ = torch.gru(
            x,
            h[None],
            list(self.cell.parameters()),
            has_biases=self.cell.bias_x is not None,
            num_layers=1,
            dropout=0.0,
            train=True,  # only dropout would depend on it; without it cuDNN has no backward
            bidirectional=False,
            batch_first=True,
        )
        return states

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "GRU":
        """Move or convert the weights as every module does, then lay them side by side again."""
        super()._apply(fn, recurse)
        if self.cell.form == "torch":
            self._flatten()
        return self

    def _flatten(self) -> None:
        """Put the weights into one contiguous chunk, as cuDNN wants them; nothing on a CPU.

        Moving a module gives each weight memory of its own. PyTorch's GRU knows how to mend that,
        so one is made around our weights for as long as it takes.
        """
        cell = self.cell
        shell = nn.GRU(
            cell.weight_x.shape[1],
            cell.d_state,
            bias=cell.bias_x is not None,
            batch_first=True,
            device="meta",
        )
        shell.weight_ih_l0 = cell.weight_x
        shell.weight_hh_l0 = cell.weight_h
        if cell.bias_x is not None:
            shell.bias_ih_l0 = cell.bias_x
            shell.bias_hh_l0 = cell.bias_h
        shell.flatten_parameters()
