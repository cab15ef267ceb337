"""The selective gate: what the convolved input lets through of the GRU's states (notebook 04).

d : model width
C : the convolved input, which the gate reads, [..., d]
H : the GRU's states, which it acts on, [..., d]
Phi : the feature crossing, a linear map of H
W_1, W_2, W_H : weight matrices, b_1, b_2, b_H their biases
"""

from torch import Tensor, nn
from torch.nn import functional as F


class SelectiveGate(nn.Module):
    """Let the convolved input decide how much of each crossed feature of the states passes.

    gate(C) * Phi(H), with Phi(H) = H W_H + b_H and gate(C) = SiLU(C W_1 + b_1) W_2 + b_2.

    Parameters
    ----------
    d_model : int
        Width of C and H.
    d_hidden : int, optional
        Width inside the gate: d_model unless given, as the paper prints it; half of it in the
        released code.
    dropout : float
        Share of gate values left out while training; the released code has one, the paper none.

    Raises
    ------
    ValueError
        If d_hidden is below 1.

    References
    ----------
    GLINT-RU, Eqs. 7 and 9; derived in notebook 04.
    """

    def __init__(
        self,
        d_model: int,
        d_hidden: int | None = None,
        dropout: float = 0.0,
    ):
        super().__init__()
        if d_hidden is None:
            d_hidden = d_model
        if d_hidden < 1:
            raise ValueError(f"d_hidden must be at least 1; got {d_hidden}.")
        self.narrow = nn.Linear(d_model, d_hidden)  # W_1, b_1
        self.widen = nn.Linear(d_hidden, d_model)  # W_2, b_2
        self.crossing = nn.Linear(d_model, d_model)  # W_H, b_H
        self.dropout = nn.Dropout(dropout)

    def gate(self, c: Tensor) -> Tensor:
        """Return the gate's values, [..., d] -> [..., d].

        No sigmoid confines them to 0 .. 1: a gate may amplify a feature or turn its sign.
        """
        hidden = F.silu(self.narrow(c))
        return self.dropout(self.widen(hidden))

    def forward(self, c: Tensor, h: Tensor) -> Tensor:
        """Return the gated states, [..., d]. c, h: [..., d], what the gate reads and acts on."""
        return self.gate(c) * self.crossing(h)
