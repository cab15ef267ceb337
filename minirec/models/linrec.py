"""LinRec (Liu et al., 2023): SASRec's layers with linear attention (GLINT-RU, Eq. 2, notebook 05).

Linear attention takes the place of softmax attention. It sees the whole row in both directions, so
only the last position keeps the contract, and the model is trained on prefixes. Where others
differ: the released code also divides by the square root of a head's width, and lets padding take
part; here padding is not seen.

N positions, d model width, H heads.
"""

from torch import nn

from minirec.layers.attention import LinearAttention
from minirec.models.transformer import TransformerRecommender


class LinRec(TransformerRecommender):
    """A transformer whose attention takes time in proportion to N.

    Its attention is elu(Q), normalised, times (elu(K), normalised, transposed, times V).

    Parameters
    ----------
    n_items : int
        Number of items.
    d_model : int
        Width d.
    n_layers, n_heads : int
        Number of layers, and of attention heads in each.
    dropout : float
        Share of values left out while training: of the embeddings and both branches of a layer.
    max_len : int
        How many of the last items it reads.

    References
    ----------
    Liu et al. (2023); GLINT-RU, Eq. 2, notebook 05.
    """

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
        def attention() -> nn.Module:
            return LinearAttention(d_model, n_heads, form="paper")

        super().__init__(n_items, d_model, max_len, n_layers, dropout, attention)
        self.n_heads = n_heads

    def multiply_adds(self, n: int) -> int:
        """Return the multiply-adds of a row of n items through the layers, without item scores."""
        d = self.d_model
        maps = 4 * d**2  # queries, keys, values and the attention's output
        # Per position and head, the outer product of a key and its value, and the query by their
        # sum: (d / H) squared each.
        products = 2 * d * (d // self.n_heads)
        feed_forward = 8 * d**2  # d to 4 d, and back
        return n * len(self.layers) * (maps + products + feed_forward)
