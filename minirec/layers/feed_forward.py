"""The feed-forward block of self-attentive and recurrent recommenders, position by position (notebook 11). d model width."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F


class FeedForward(nn.Module):
    """LayerNorm(x + W_2 f(W_1 x + b_1) + b_2), four times as wide inside, with dropout after both maps; f is SiLU unless given (notebook 11)."""

    def __init__(
        self, d_model: int, dropout: float, activation: Callable[[Tensor], Tensor] = F.silu
    ):
        super().__init__()
        self.widen, self.narrow, self.activation = (
            nn.Linear(d_model, 4 * d_model),
            nn.Linear(4 * d_model, d_model),
            activation,
        )
        self.dropout, self.norm = nn.Dropout(dropout), nn.LayerNorm(d_model, eps=1e-12)

    def forward(self, x: Tensor) -> Tensor:
        """x [..., d] -> [..., d]."""
        return self.norm(
            x + self.dropout(self.narrow(self.dropout(self.activation(self.widen(x)))))
        )
