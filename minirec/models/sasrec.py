"""SASRec (Kang and McAuley, 2018): self-attention that looks back only.

Where others differ: the paper normalises before the attention, and queries only, has a feed-forward as wide as the model, with ReLU, and trains on one
sampled negative an item. The framework that the GLINT-RU paper measured it in has LayerNorm behind each branch, a feed-forward four times as wide,
GELU, and the full softmax; ours is that form.
"""

from minirec.layers.attention import SoftmaxAttention
from minirec.models.transformer import TransformerRecommender


class SASRec(TransformerRecommender):
    """A causal transformer: position t attends to items[:, :t + 1]."""

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
        super().__init__(
            n_items,
            d_model,
            max_len,
            n_layers,
            dropout,
            lambda: SoftmaxAttention(d_model, n_heads, causal=True, dropout=dropout),
        )
