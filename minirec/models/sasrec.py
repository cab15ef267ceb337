"""SASRec (Kang and McAuley, 2018): self-attention that looks back only.

Where others differ: the paper normalises before the attention, and queries only, has a feed-forward
as wide as the model, with ReLU, and trains on one sampled negative per item. The framework that the
GLINT-RU paper measured it in has LayerNorm behind each branch, a feed-forward four times as wide,
GELU, and the full softmax; ours is that form.

N positions, d model width.
"""

from torch import nn

from minirec.layers.attention import SoftmaxAttention
from minirec.models.transformer import TransformerRecommender


class SASRec(TransformerRecommender):
    """A causal transformer: position t attends to items[:, :t + 1].

    Parameters
    ----------
    n_items : int
        Number of items.
    d_model : int
        Width d.
    n_layers, n_heads : int
        Number of layers, and of attention heads in each.
    dropout : float
        Share of values left out while training: of the embeddings, the attention's weights and
        both branches of a layer.
    max_len : int
        How many of the last items it reads.

    References
    ----------
    Kang and McAuley (2018); softmax attention: notebook 05.
    """

    name = "sasrec"

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
            return SoftmaxAttention(d_model, n_heads, causal=True, dropout=dropout)

        super().__init__(n_items, d_model, max_len, n_layers, dropout, attention)

    def multiply_adds(self, n: int) -> int:
        """Return the multiply-adds of a row of n items through the layers, without item scores."""
        d = self.d_model
        maps = 4 * d**2  # queries, keys, values and the attention's output
        pairs = 2 * n * d  # one position's query by n keys, and its n weights by the values
        feed_forward = 8 * d**2  # d to 4 d, and back
        return n * len(self.layers) * (maps + pairs + feed_forward)
