"""One shell in which only the layer changes, so that layers can be compared (lessons 02 to 05).

B : batch
N : positions
d : model width, the same for embeddings, layer and representation
x : the embedded items, and what becomes of them
"""

import torch
from torch import Tensor, nn

from minirec.layers.attention import LinearAttention
from minirec.layers.gru import GRU
from minirec.layers.selective_gate import SelectiveGate
from minirec.layers.temporal_conv import TemporalConv
from minirec.models.base import NeuralRecommender


class OneLayerRecommender(NeuralRecommender):
    """Embed, drop, one layer with residual and LayerNorm, and a linear map.

    Parameters
    ----------
    n_items : int
        Number of items.
    layer : nn.Module
        [B, N, d] -> [B, N, d]. Its output at position t depends on the positions 0 .. t and on
        nothing else, so that every position can be trained at once.
    d_model : int
        Width d.
    dropout : float
        Share of values left out while training, of the embeddings and of the layer's output.
    max_len : int
        How many of the last items it reads.

    Raises
    ------
    ValueError
        If a size is below 1.

    Examples
    --------
    >>> model = OneLayerRecommender(500, GRU(64, 64, bias=False, form="torch"), d_model=64)

    References
    ----------
    The embeddings are GLINT-RU, Eqs. 3 and 4, the scores Eq. 13; notebook 02.
    """

    name = "one-layer"

    def __init__(
        self,
        n_items: int,
        layer: nn.Module,
        *,
        d_model: int = 64,
        dropout: float = 0.2,
        max_len: int = 200,
    ):
        super().__init__(n_items, d_model, max_len)
        self.dropout = nn.Dropout(dropout)
        self.layer = layer
        self.norm = nn.LayerNorm(d_model)
        self.output = nn.Linear(d_model, d_model)
        nn.init.xavier_normal_(self.item_embedding.weight[1:])  # the padding's row stays 0

    def encode(self, items: Tensor) -> Tensor:
        """Represent every prefix: items [B, N] -> [B, N, d]; t has read items[:, :t + 1]."""
        x = self.dropout(self.item_embedding(items))
        x = self.norm(x + self.dropout(self.layer(x)))
        return self.output(x)


class NoLayer(nn.Module):
    """Stand in the place of a layer that is left out: zeros, so that only the residual is left."""

    def forward(self, x: Tensor) -> Tensor:
        """Return zeros, [B, N, d] -> [B, N, d]."""
        return torch.zeros_like(x)


class DenseGRU(nn.Module):
    """A linear map, a causal convolution and a GRU: H = GRU(conv(X W_0 + b_0)).

    The cell is PyTorch's without biases, as in GLINT-RU's released code.

    Parameters
    ----------
    d_model : int
        Width d of input, state and output.
    kernel_size : int
        How many positions the convolution reads, the last of them its own.

    References
    ----------
    GLINT-RU, Eqs. 5 and 6, but for the window, which the paper centres; derived in notebook 03.
    """

    def __init__(self, d_model: int, kernel_size: int = 3):
        super().__init__()
        self.dense = nn.Linear(d_model, d_model)
        self.conv = TemporalConv(d_model, kernel_size, causal=True)
        self.gru = GRU(d_model, d_model, bias=False, form="torch")

    def forward(self, x: Tensor) -> Tensor:
        """Return the GRU's states, [B, N, d] -> [B, N, d]."""
        return self.gru(self.conv(self.dense(x)))


class GatedGRU(DenseGRU):
    """The dense GRU, a selective gate on its states and a second causal convolution.

    C = conv(X W_0 + b_0), Y = conv'(gate(C, GRU(C))). The gate is half as wide inside, as in
    GLINT-RU's released code.

    Parameters
    ----------
    d_model : int
        Width d of input, state and output.
    kernel_size : int
        How many positions each convolution reads, the last of them its own.

    References
    ----------
    GLINT-RU, Eqs. 5 to 9, but for the windows, which the paper centres (`layers.selective_gru`);
    derived in notebooks 02, 03 and 04.
    """

    def __init__(self, d_model: int, kernel_size: int = 3):
        super().__init__(d_model, kernel_size)
        self.gate = SelectiveGate(d_model, max(1, d_model // 2))
        self.output_conv = TemporalConv(d_model, kernel_size, causal=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return Y, [B, N, d] -> [B, N, d]."""
        c = self.conv(self.dense(x))
        gated = self.gate(c, self.gru(c))
        return self.output_conv(gated)


class CausalLinearAttention(LinearAttention):
    """GLINT-RU's linear attention with every position asking its own prefix only.

    Parameters
    ----------
    d_model, n_heads, form
        Those of `LinearAttention`.

    References
    ----------
    GLINT-RU, Eq. 2; derived in notebook 05.
    """

    def forward(self, x: Tensor, real: Tensor | None = None) -> Tensor:
        """Return `every_prefix`, [B, N, d] -> [B, N, d].

        real is not needed: padding stands on the right, after every position that counts.
        """
        return self.every_prefix(x)
