"""BERT4Rec (Sun et al., 2019): bidirectional self-attention, trained to fill in hidden items.

To recommend, a mask token is appended and what it is filled with is read. Where others differ: a
bias for each item is added to the scores, which the contract's inner product has no room for; and
the framework that the GLINT-RU paper measured it in makes room for the mask token by dropping the
oldest item of every row, ours only of a row that is full.

B batch, N positions, d model width, V items; the mask token is V + 1.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minirec.layers.attention import SoftmaxAttention
from minirec.models.transformer import TransformerRecommender


class BERT4Rec(TransformerRecommender):
    """A bidirectional transformer, and LayerNorm(GELU(W x + b)) before the scores.

    Parameters
    ----------
    n_items : int
        Number of items V.
    d_model : int
        Width d.
    n_layers, n_heads : int
        Number of layers, and of attention heads in each.
    dropout : float
        Share of values left out while training: of the embeddings, the attention's weights and
        both branches of a layer.
    max_len : int
        How many tokens it reads, the mask token among them.

    References
    ----------
    Sun et al. (2019); softmax attention: notebook 05.
    """

    name = "bert4rec"
    objective = "cloze"

    def __init__(
        self,
        n_items: int,
        *,
        d_model: int = 64,
        n_layers: int = 2,
        n_heads: int = 2,
        dropout: float = 0.2,
        max_len: int = 200,
    ):
        def attention() -> nn.Module:
            return SoftmaxAttention(d_model, n_heads, dropout=dropout)

        super().__init__(n_items, d_model, max_len, n_layers, dropout, attention)
        self.head = nn.Sequential(
            nn.Linear(d_model, d_model),
            nn.GELU(),
            nn.LayerNorm(d_model, eps=1e-12),
        )

    def encode(self, items: Tensor) -> Tensor:
        """Represent every position by its whole row: tokens [B, N] -> [B, N, d]."""
        return self.head(super().encode(items))

    def last(self, items: Tensor) -> Tensor:
        """Represent each whole row: items [B, N] -> [B, d].

        Read at a mask token behind the row's last item. A row that is full drops its oldest item
        for it.
        """
        self.check_length(items)

        # Append the mask token: [B, N + 1].
        lengths = (items > 0).sum(1, keepdim=True)
        masked = F.pad(items, (0, 1)).scatter(1, lengths, self.n_items + 1)

        # The same rows, one item to the left: for those that have no position left for the mask.
        without_oldest = F.pad(masked[:, 1:], (0, 1))
        is_full = lengths.eq(self.max_len)
        return super().last(torch.where(is_full, without_oldest, masked))

    def multiply_adds(self, n: int) -> int:
        """Return the multiply-adds of a row of n tokens; `last` adds one to the items, the mask."""
        d = self.d_model
        maps = 4 * d**2  # queries, keys, values and the attention's output
        pairs = 2 * n * d  # one position's query by n keys, and its n weights by the values
        feed_forward = 8 * d**2  # d to 4 d, and back
        head = d**2
        return n * (len(self.layers) * (maps + pairs + feed_forward) + head)
