"""The feed-forward block of self-attentive and recurrent recommenders (notebook 13).

d : model width
x : the input, [..., d]
f : the activation
W_1, W_2 : weight matrices, b_1, b_2 their biases
"""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F


class FeedForward(nn.Module):
    """Transform each position by itself, in a space four times as wide.

    LayerNorm(x + W_2 f(W_1 x + b_1) + b_2), with dropout after the activation and after W_2.

    Parameters
    ----------
    d_model : int
        Width of input and output.
    dropout : float
        Share of values left out while training.
    activation : callable
        f, from a tensor to a tensor of the same shape; SiLU unless given.

    References
    ----------
    RecBLR, Eq. 4, with the dropout, residual and LayerNorm around it; derived in notebook 13.
    """

    def __init__(
        self,
        d_model: int,
        dropout: float,
        activation: Callable[[Tensor], Tensor] = F.silu,
    ):
        super().__init__()
        self.widen = nn.Linear(d_model, 4 * d_model)
        self.narrow = nn.Linear(4 * d_model, d_model)
        self.activation = activation
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(d_model, eps=1e-12)  # RecBole's; PyTorch's default is 1e-5

    def forward(self, x: Tensor) -> Tensor:
        """Transform every position, [..., d] -> [..., d]."""
        wide = self.dropout(self.activation(self.widen(x)))
        return self.norm(x + self.dropout(self.narrow(wide)))
