"""Mamba4Rec (Liu et al., 2024): a Mamba block and a feed-forward.

Where others differ: the released code draws all linear maps anew, the block's too, with deviation
0.02, and sets the time step's bias to 0, so that every channel starts with steps of about
softplus(0) = 0.69; ours keeps the block's own start, and PyTorch's of the feed-forward. As
released, a single layer has no residual around its block.

d model width, S states per channel, k kernel size of the temporal convolution.
"""

import math

from torch import nn
from torch.nn import functional as F

from minirec.layers.mamba import Mamba
from minirec.models.recurrent import RecurrentRecommender


class Mamba4Rec(RecurrentRecommender):
    """Layers of a Mamba block and a feed-forward with GELU.

    Parameters
    ----------
    n_items : int
        Number of items.
    d_model : int
        Width d; the block is twice as wide inside.
    n_layers : int
        Number of layers.
    dropout : float
        Share of values left out while training, of the embeddings and of both parts of a layer.
    max_len : int
        How many of the last items it reads.
    kernel_size : int
        How many items the block's temporal convolution reads, k.
    d_state : int
        States per channel, S.

    References
    ----------
    Liu et al. (2024); the layers: notebook 13, the comparison: notebook 14.
    """

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
        def recurrence() -> nn.Module:
            return Mamba(d_model, d_state, kernel_size)

        super().__init__(
            n_items,
            d_model,
            max_len,
            n_layers,
            dropout,
            recurrence,
            activation=F.gelu,
            residual=n_layers > 1,
        )
        self.kernel_size = kernel_size
        self.d_state = d_state
        nn.init.normal_(self.item_embedding.weight[1:], std=0.02)

    def multiply_adds(self, n: int) -> int:
        """Return the multiply-adds of a row of n items through the layers, without item scores.

        The recurrence itself goes element by element and does not count.
        """
        d = self.d_model
        inner = 2 * d
        rank = math.ceil(d / 16)  # of the time step
        maps = 2 * d * inner + inner * d  # into x and z, and from y back
        convolution = inner * self.kernel_size
        select = inner * (rank + 2 * self.d_state)  # x to the time step's rank, B and C
        time_step = rank * inner
        read = inner * self.d_state  # C by the states of every channel
        feed_forward = 8 * d**2  # d to 4 d, and back
        block = maps + convolution + select + time_step + read
        return n * len(self.layers) * (block + feed_forward)
