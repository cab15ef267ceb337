"""SMLP4Rec (Gao et al., 2024): perceptrons that mix along the sequence and along the channels, side by side, and no attention.

The paper mixes along a third direction too, the features of an item (its brand, its category); the logs here have none, so that mixer is left out.
Where others differ: rows have a fixed length, and in the released code the padding that fills them up is mixed like items; here rows are moved to the
end and their padding is set to 0 before every mixing, so that it has no say. There, several layers are one layer applied several times; here each has
weights of its own.

B batch, N positions, W the fixed length (max_len), d model width.
"""

import torch
from torch import Tensor, nn

from minirec.models.base import NeuralRecommender, initialise


class MixerLayer(nn.Module):
    """sequence(LayerNorm(x)), along the positions of each channel, + channels(LayerNorm(x)), along the channels of each position; no residual."""

    def __init__(self, d_model: int, max_len: int, dropout: float):
        super().__init__()
        self.norm, self.sequence, self.channels = (
            nn.LayerNorm(d_model),
            _perceptron(max_len, dropout),
            _perceptron(d_model, dropout),
        )

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """x [B, W, d], real Bool[B, W] -> [B, W, d]."""
        x = self.norm(x) * real[..., None]
        return self.sequence(x.transpose(1, 2)).transpose(1, 2) + self.channels(x)


class SMLP4Rec(NeuralRecommender):
    """L mixer layers over the last W items, and LayerNorm at the last position, which represents the row."""

    name = "smlp4rec"
    objective = "prefix"

    def __init__(
        self,
        n_items: int,
        *,
        d_model: int = 64,
        n_layers: int = 1,
        dropout: float = 0.2,
        max_len: int = 50,
    ):
        super().__init__(n_items, d_model, max_len, n_layers)
        self.layers = nn.ModuleList(MixerLayer(d_model, max_len, dropout) for _ in range(n_layers))
        self.norm = nn.LayerNorm(d_model, eps=1e-12)
        nn.init.normal_(self.item_embedding.weight[1:], std=0.02)
        self.layers.apply(initialise)

    def last(self, items: Tensor) -> Tensor:
        """items [B, N] -> the representation of each whole row [B, d]; of a row longer than W, of its last W items."""
        at = (
            (items > 0).sum(1, keepdim=True)
            - self.max_len
            + torch.arange(self.max_len, device=items.device)
        )  # negative before the first item
        items = items.gather(1, at.clamp_min(0)) * (at >= 0)
        x = self.item_embedding(items)
        for layer in self.layers:
            x = layer(x, items > 0)
        return self.norm(x[:, -1])


def _perceptron(width: int, dropout: float) -> nn.Module:
    widen, narrow = (
        nn.Linear(width, 3 * width, bias=False),
        nn.Linear(3 * width, width, bias=False),
    )  # 3: as released
    return nn.Sequential(widen, nn.GELU(), nn.Dropout(dropout), narrow, nn.Dropout(dropout))
