"""The selective gate: what the convolved input lets through of the GRU's crossed features (Eq. 7 and Eq. 9, notebook 04). d width."""

from torch import Tensor, nn
from torch.nn import functional as F


class SelectiveGate(nn.Module):
    """G(C, H) = (SiLU(C W1 + b1) W2 + b2) * (H W_H + b_H) (Eq. 7 and Eq. 9, notebook 04).

    The first factor is the gate, the second the feature crossing Phi(H). d_hidden is the gate's inner width: d_model as the paper prints it, half of it
    in the released code, which also drops gate values (dropout).
    """

    def __init__(self, d_model: int, d_hidden: int | None = None, dropout: float = 0.0):
        super().__init__()
        d_hidden = d_model if d_hidden is None else d_hidden
        if d_hidden < 1:
            raise ValueError(f"d_hidden must be at least 1; got {d_hidden}.")
        self.narrow, self.widen = nn.Linear(d_model, d_hidden), nn.Linear(d_hidden, d_model)
        self.crossing = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(dropout)

    def gate(self, c: Tensor) -> Tensor:
        """c: [..., d] -> the gate's values [..., d]; not confined to 0 .. 1: a gate may amplify, or turn a sign."""
        return self.dropout(self.widen(F.silu(self.narrow(c))))

    def forward(self, c: Tensor, h: Tensor) -> Tensor:
        """c: what the gate reads, h: the states it acts on, both [..., d] -> [..., d]."""
        return self.gate(c) * self.crossing(h)
