"""LRURec (Yue et al., 2024): a complex-valued linear recurrent unit and a feed-forward.

Where others differ: the released code trains the input's scale gamma by itself, has biases in the
recurrence and one for each item's score, draws all weights but the eigenvalues with deviation 0.02,
and pads rows on the left to a power of two for its scan. Ours ties gamma to the eigenvalues, adds a
skip D x (`layers.linear_rnn.LRU`), keeps its and PyTorch's own start but for the embeddings, and
needs no padding.

B batch, d model width, H = 2 d width of the recurrence.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minirec.layers.linear_rnn import LRU
from minirec.models.recurrent import RecurrentRecommender


class ComplexRecurrence(LRU):
    """The LRU with its state as a dict of real tensors, as the models' contract has it.

    References
    ----------
    Orvieto et al. (2023); notebook 09.
    """

    def init_state(self, batch_size: int) -> dict[str, Tensor]:
        """Before the first item: {"h": zeros [B, H, 2]}, real and imaginary part."""
        return {"h": self.nu.new_zeros(batch_size, len(self.nu), 2)}

    def step(  # type: ignore[override]  # the state is a dict here, a complex tensor in the layer
        self, state: dict[str, Tensor], x: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Read one more position x [B, d]; returns `forward`'s output there and the new state."""
        y, h = super().step(torch.view_as_complex(state["h"]), x)
        return y, {"h": torch.view_as_real(h)}


class LRURec(RecurrentRecommender):
    """Layers of a complex LRU, twice as wide as the model, and a feed-forward with GELU.

    The eigenvalues start with |lambda| in 0.8 .. 0.99, as released.

    Parameters
    ----------
    n_items : int
        Number of items.
    d_model : int
        Width d.
    n_layers : int
        Number of layers.
    dropout : float
        Share of values left out while training, of the embeddings and of both parts of a layer.
    max_len : int
        How many of the last items it reads.

    References
    ----------
    Yue et al. (2024); the LRU: notebook 09, the layers: notebook 13.
    """

    name = "lrurec"

    def __init__(
        self,
        n_items: int,
        *,
        d_model: int = 64,
        n_layers: int = 2,
        dropout: float = 0.2,
        max_len: int = 200,
    ):
        def recurrence() -> nn.Module:
            return ComplexRecurrence(d_model, 2 * d_model, ring=(0.8, 0.99))

        super().__init__(
            n_items,
            d_model,
            max_len,
            n_layers,
            dropout,
            recurrence,
            activation=F.gelu,
        )
        nn.init.normal_(self.item_embedding.weight[1:], std=0.02)

    def multiply_adds(self, n: int) -> int:
        """Return the multiply-adds of a row of n items through the layers, without item scores.

        The recurrence itself goes element by element and does not count.
        """
        d = self.d_model
        into = 4 * d**2  # B, d to 2 d: a real and an imaginary part
        out_of = 4 * d**2  # C, 2 d to d: likewise
        feed_forward = 8 * d**2  # d to 4 d, and back
        return n * len(self.layers) * (into + out_of + feed_forward)
