"""RecBLR (Liu et al., CIKM 2024): behaviour-dependent linear recurrence (notebook 13).

B batch, N positions, d model width, k kernel size of the temporal convolution.
"""

import torch
from torch import Tensor, nn

from minirec.layers.bd_lru import BehaviourDependentLRU, GatedRecurrentLayer
from minirec.models.base import initialise
from minirec.models.recurrent import RecurrentRecommender, stack


class RecBLR(RecurrentRecommender):
    """A stack of layers, each a gated recurrent layer and a feed-forward network.

    The gated recurrent layer is built around a behaviour-dependent linear recurrent unit.

    Parameters
    ----------
    n_items : int
        Number of items.
    d_model : int
        Width d; the recurrence is twice as wide, unless gated_layer is False.
    n_layers : int
        Number of layers.
    dropout : float
        Share of values left out while training, of the embeddings and of both parts of a layer.
    max_len : int
        How many of the last items it reads.
    kernel_size : int
        How many items the temporal convolution reads, k.
    temporal_conv, behaviour_gates, feed_forward : bool
        False leaves that part out; without the behaviour-dependent gates it is a real LRU.
    gated_layer : bool
        False leaves out all of the gated recurrent layer but the recurrence, which is then as wide
        as the model: no linear maps, no convolution (whatever temporal_conv and kernel_size say),
        no gate of the output. The behaviour-dependent gates are the recurrence's own and stay.
    initial_decays : {"spread", "random"}
        How much of a state the channels keep in one step before any training: from 0.9 to 0.999,
        or as a draw from a normal distribution has it (`layers.bd_lru.initial_Lambda`).
    padding_class : bool
        True makes the padding's row of the embedding one more class of the softmax while training,
        one that is never the target, and draws it at the start like the items' rows. The released
        code does so, since it takes the cross-entropy over its whole embedding table. The padding
        is never recommended, and no score depends on its row.

    Raises
    ------
    ValueError
        If a size is below 1, or initial_decays is neither of the two.

    Notes
    -----
    The rows of the paper's Table 3 are n_layers=1, gated_layer=False ("BD-LRU only"),
    temporal_conv=False, feed_forward=False and initial_decays="random", each by itself.

    References
    ----------
    Liu et al. (2024). The embedding and the scores are RecBLR, Eqs. 1 and 2, the layers RecBLR,
    Algorithm 1 and RecBLR, Eq. 4, notebook 13; the recurrence is RecBLR, Eqs. 5 to 8, notebook 09.
    """

    name = "recblr"

    def __init__(
        self,
        n_items: int,
        *,
        d_model: int = 64,
        n_layers: int = 2,
        dropout: float = 0.2,
        max_len: int = 200,
        kernel_size: int = 4,
        temporal_conv: bool = True,
        behaviour_gates: bool = True,
        feed_forward: bool = True,
        gated_layer: bool = True,
        initial_decays: str = "spread",
        padding_class: bool = False,
    ):
        def recurrence() -> nn.Module:
            if not gated_layer:
                return BehaviourDependentLRU(
                    d_model, behaviour_gates=behaviour_gates, initial_decays=initial_decays
                )
            return GatedRecurrentLayer(
                d_model,
                kernel_size=kernel_size,
                temporal_conv=temporal_conv,
                behaviour_gates=behaviour_gates,
                initial_decays=initial_decays,
            )

        super().__init__(
            n_items,
            d_model,
            max_len,
            n_layers,
            dropout,
            recurrence,
            feed_forward=feed_forward,
        )
        self.kernel_size = kernel_size
        self.has_temporal_conv = temporal_conv
        self.has_behaviour_gates = behaviour_gates
        self.has_feed_forward = feed_forward
        self.has_gated_layer = gated_layer
        self.padding_class = padding_class

        # As released: linear maps and embeddings; its convolution starts as PyTorch makes it.
        self.layers.apply(initialise)
        first_drawn = 0 if padding_class else 1
        nn.init.normal_(self.item_embedding.weight[first_drawn:], std=0.02)

    def state_after(self, items: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Return the state for `step` after the first lengths[b] >= 0 items of each row.

        items: [B, N], N >= 1; lengths: Long[B]. One pass, not as many steps.
        """
        rows = torch.arange(len(items), device=items.device)
        positions = torch.arange(items.shape[1], device=items.device)
        real = positions < lengths[:, None]

        x = self.embed(items)
        states = []
        for layer in self.layers:
            recurred, after = layer.recurrent.read(x, real)
            x = layer.after(x, recurred)
            states.append(after)

        state = stack(states)
        latest = x[rows, (lengths - 1).clamp_min(0)]
        state["representation"] = latest * (lengths > 0)[:, None]  # zeros before the first item
        return state

    def multiply_adds(self, n: int) -> int:
        """Return the multiply-adds of a row of n items through the layers, without item scores.

        The recurrence itself goes element by element and does not count.
        """
        d = self.d_model
        width = 2 * d if self.has_gated_layer else d  # of the recurrence
        total = 0
        if self.has_gated_layer:
            total += 4 * d**2 + 2 * d**2  # into the two halves, each 2 d wide; from 2 d back to d
        if self.has_gated_layer and self.has_temporal_conv:
            total += width * self.kernel_size  # k weights for each channel
        if self.has_behaviour_gates:
            total += 2 * width**2  # two gates
        if self.has_feed_forward:
            total += 8 * d**2  # d to 4 d, and back
        return n * len(self.layers) * total
