"""LinRec (Liu et al., 2023): SASRec's layers with linear attention in place of softmax attention (GLINT-RU, Eq. 2, notebook 05).

The attention sees the whole row in both directions, so only the last position keeps the contract, and it is trained on prefixes. Where others differ:
the released code also divides by the square root of a head's width, and lets padding take part; here padding is not seen.
"""

from minirec.layers.attention import LinearAttention
from minirec.models.transformer import TransformerRecommender


class LinRec(TransformerRecommender):
    """A transformer whose attention is elu(Q), normalised, times (elu(K), normalised, transposed times V): linear in N."""

    name = "linrec"
    objective = "prefix"

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
            lambda: LinearAttention(d_model, n_heads, form="paper"),
        )
