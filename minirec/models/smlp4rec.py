"""SMLP4Rec (Gao et al., 2024): perceptrons that mix along the sequence and along the channels.

The two stand side by side, and there is no attention. The paper mixes along a third direction too,
the features of an item (its brand, its category); the logs here have none, so that mixer is left
out. Where others differ: rows have a fixed length, and in the released code the padding that fills
them up is mixed like items; here rows are moved to the end and their padding is set to 0 before
every mixing, so that it has no say. There, several layers are one layer applied several times; here
each has weights of its own.

B batch, N positions, W the fixed length (max_len), d model width.
"""

from torch import Tensor, nn

from minirec.models.base import NeuralRecommender, initialise, moved_to_the_end

EXPANSION = 3  # how many times wider a perceptron is inside, as released


class MixerLayer(nn.Module):
    """sequence(LayerNorm(x)) + channels(LayerNorm(x)), with no residual.

    The first perceptron runs along the positions of each channel, the second along the channels of
    each position.

    Parameters
    ----------
    d_model : int
        Width d.
    max_len : int
        Fixed length W of the rows.
    dropout : float
        Share of values left out of both perceptrons while training.
    """

    def __init__(self, d_model: int, max_len: int, dropout: float):
        super().__init__()
        self.norm = nn.LayerNorm(d_model)
        self.sequence = _perceptron(max_len, dropout)
        self.channels = _perceptron(d_model, dropout)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """x: [B, W, d]; real: Bool[B, W], False at padding. Returns [B, W, d]."""
        x = self.norm(x) * real[..., None]
        along_sequence = self.sequence(x.transpose(1, 2)).transpose(1, 2)
        return along_sequence + self.channels(x)


class SMLP4Rec(NeuralRecommender):
    """Mixer layers over the last W items, and LayerNorm at the last position.

    What stands at the last position represents the row.

    Parameters
    ----------
    n_items : int
        Number of items.
    d_model : int
        Width d.
    n_layers : int
        Number of mixer layers.
    dropout : float
        Share of values left out of the perceptrons while training.
    max_len : int
        How many of the last items it reads, W.
    """

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
        """Represent each whole row: items [B, N] -> [B, d].

        Of a row longer than W, only its last W items count.
        """
        items = moved_to_the_end(items, self.max_len)
        x = self.item_embedding(items)
        for layer in self.layers:
            x = layer(x, items > 0)
        return self.norm(x[:, -1])

    def multiply_adds(self, n: int) -> int:
        """Return the multiply-adds of a row through the layers, without item scores.

        The same for every n: a row is filled up to W.
        """
        d = self.d_model
        w = self.max_len
        sequence = d * 2 * EXPANSION * w**2  # in each channel, from w to 3 w, and back
        channels = w * 2 * EXPANSION * d**2  # at each position, from d to 3 d, and back
        return len(self.layers) * (sequence + channels)


def _perceptron(width: int, dropout: float) -> nn.Module:
    inner = EXPANSION * width
    return nn.Sequential(
        nn.Linear(width, inner, bias=False),
        nn.GELU(),
        nn.Dropout(dropout),
        nn.Linear(inner, width, bias=False),
        nn.Dropout(dropout),
    )
