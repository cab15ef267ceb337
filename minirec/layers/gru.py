"""The gated recurrent unit, as GLINT-RU prints it and as PyTorch computes it (notebook 02).

B : batch
N : positions
x : the input
h : the state before the step; h' the state after it
r : the reset gate, how much of the old state the candidate sees
z : the update gate, how far the state moves
h~ : the candidate for the new state
W_r, W_z, W : the weights that meet x
U_r, U_z, U : the weights that meet h
b_r, b_z, b : the biases
c_r, c_z, c : PyTorch's second biases
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class GRUCell(nn.Module):
    """Take one step of a GRU.

    form="paper", Eq. 1:

        r  = sigmoid(W_r x + U_r h + b_r)
        z  = sigmoid(W_z x + U_z h + b_z)
        h~ = tanh(W x + U (r * h) + b)
        h' = z * h~ + (1 - z) * h

    form="torch", as torch.nn.GRU:

        r  = sigmoid(W_r x + b_r + U_r h + c_r)
        z  = sigmoid(W_z x + b_z + U_z h + c_z)
        h~ = tanh(W x + b + r * (U h + c))
        h' = (1 - z) * h~ + z * h

    Where they differ: the reset gate acts before U or after it; z turns to the candidate or to
    the old state; PyTorch has a second bias c. Notebook 02, section 7, shows when they are equal.

    Parameters
    ----------
    d_input : int
        Width of the input.
    d_state : int
        Width of the state.
    bias : bool
        Whether there are biases: b, and in PyTorch's form c.
    form : {"paper", "torch"}
        Which of the two cells.

    Attributes
    ----------
    weight_x, weight_h : nn.Parameter
        W, [3 d_state, d_input], and U, [3 d_state, d_state]: the rows for reset gate, update gate
        and candidate on top of each other, in this order, as in torch.nn.GRU.
    bias_x, bias_h : nn.Parameter or None
        b and c, [3 d_state] each, in the same order; None where the cell has none.

    Raises
    ------
    ValueError
        If form is neither of the two.

    References
    ----------
    GLINT-RU, Eq. 1; derived in notebook 02.
    """

    def __init__(
        self,
        d_input: int,
        d_state: int,
        bias: bool = True,
        form: str = "paper",
    ):
        super().__init__()
        if form not in ("paper", "torch"):
            raise ValueError(f"form must be 'paper' or 'torch'; got {form!r}.")
        self.d_state = d_state
        self.form = form

        rows = 3 * d_state
        self.weight_x = nn.Parameter(torch.empty(rows, d_input))
        self.weight_h = nn.Parameter(torch.empty(rows, d_state))
        nn.init.xavier_uniform_(self.weight_x)
        nn.init.xavier_uniform_(self.weight_h)

        second_bias = bias and form == "torch"
        self.bias_x = nn.Parameter(torch.zeros(rows)) if bias else None
        self.bias_h = nn.Parameter(torch.zeros(rows)) if second_bias else None

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        """Return the next state, [..., d_state]. x: [..., d_input], h: [..., d_state]."""
        return self.step(self.project(x), h)

    def project(self, x: Tensor) -> Tensor:
        """Return W x + b for r, z and c side by side, [..., d_input] -> [..., 3 d_state].

        It needs no state, so a whole sequence may be projected at once before the first step.
        """
        return F.linear(x, self.weight_x, self.bias_x)

    def step(self, projected: Tensor, h: Tensor) -> Tensor:
        """Return the next state, [..., d_state].

        projected: [..., 3 d_state], from `project`; h: [..., d_state].
        """
        if self.form == "torch":
            return self._step_as_torch(projected, h)
        return self._step_as_printed(projected, h)

    def _step_as_printed(self, projected: Tensor, h: Tensor) -> Tensor:
        x_r, x_z, x_c = projected.chunk(3, dim=-1)

        # U (r * h) has to wait for r, so U_r and U_z meet h first.
        gate_rows = self.weight_h[: 2 * self.d_state]
        candidate_rows = self.weight_h[2 * self.d_state :]
        h_r, h_z = F.linear(h, gate_rows).chunk(2, dim=-1)
        r = torch.sigmoid(x_r + h_r)
        z = torch.sigmoid(x_z + h_z)
        candidate = torch.tanh(x_c + F.linear(r * h, candidate_rows))

        # lerp(a, b, z) = (1 - z) a + z b. Under autocast the candidate may be in bfloat16.
        return torch.lerp(h.to(candidate.dtype), candidate, z)

    def _step_as_torch(self, projected: Tensor, h: Tensor) -> Tensor:
        x_r, x_z, x_c = projected.chunk(3, dim=-1)

        # r acts on U h + c, so one product serves all three.
        h_r, h_z, h_c = F.linear(h, self.weight_h, self.bias_h).chunk(3, dim=-1)
        r = torch.sigmoid(x_r + h_r)
        z = torch.sigmoid(x_z + h_z)
        candidate = torch.tanh(x_c + r * h_c)

        return torch.lerp(candidate, h.to(candidate.dtype), z)


class GRU(nn.Module):
    """Run the cell along a sequence: h_n = GRUCell(x_n, h_{n-1}).

    Parameters
    ----------
    d_input : int
        Width of the inputs.
    d_state : int
        Width of the state.
    bias : bool
        Whether the cell has biases.
    form : {"paper", "torch"}
        The cell's form. "torch" runs PyTorch's own kernel (cuDNN's on a GPU) on the cell's
        weights; "paper" walks along the sequence step by step.

    References
    ----------
    GLINT-RU, Eqs. 1 and 6; derived in notebook 02.
    """

    def __init__(
        self,
        d_input: int,
        d_state: int,
        bias: bool = True,
        form: str = "paper",
    ):
        super().__init__()
        self.cell = GRUCell(d_input, d_state, bias, form)

    def forward(self, x: Tensor, h: Tensor | None = None) -> Tensor:
        """Return the state after every step, [B, N, d_state].

        x: [B, N, d_input]; h: the state before the first step, [B, d_state], zeros if not given.
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
        """Run the function behind torch.nn.GRU on the cell's weights."""
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
            device="meta",  # its own weights, which ours replace at once, take no memory
        )
        shell.weight_ih_l0 = cell.weight_x
        shell.weight_hh_l0 = cell.weight_h
        if cell.bias_x is not None:
            shell.bias_ih_l0 = cell.bias_x
            shell.bias_hh_l0 = cell.bias_h
        shell.flatten_parameters()
