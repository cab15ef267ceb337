"""Mamba4Rec (Liu et al., 2024): a Mamba block and a feed-forward.

Where others differ: the released code draws all linear maps anew, the block's too, with deviation 0.02, and sets the time step's bias to 0, so that every
channel starts with steps of about softplus(0) = 0.69; ours keeps the block's own start, and PyTorch's of the feed-forward. As released, a single layer
has no residual around its block.
"""

from torch import nn
from torch.nn import functional as F

from minirec.layers.mamba import Mamba
from minirec.models.recurrent import RecurrentRecommender


class Mamba4Rec(RecurrentRecommender):
    """Layers of a Mamba block (d_state states a channel) and a feed-forward with GELU."""

    name = "mamba4rec"

    def __init__(
        self,
        n_items: int,
        *,
        d_model: int = 64,
        n_layers: int = 1,
        dropout: float = 0.2,
        max_len: int = 200,
        kernel_size: int = 4,
        d_state: int = 32,
    ):
        super().__init__(
            n_items,
            d_model,
            max_len,
            n_layers,
            dropout,
            lambda: Mamba(d_model, d_state, kernel_size),
            activation=F.gelu,
            residual=n_layers > 1,
        )
        nn.init.normal_(self.item_embedding.weight[1:], std=0.02)
