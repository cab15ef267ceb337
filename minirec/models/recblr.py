"""RecBLR (Liu et al., CIKM 2024), recurrent in the user's behaviour (notebook 11). B batch, N positions, d model width."""

import torch
from torch import Tensor, nn

from minirec.layers.bd_lru import GatedRecurrentLayer
from minirec.models.base import initialise
from minirec.models.recurrent import RecurrentRecommender, stack


class RecBLR(RecurrentRecommender):
    """Layers of the gated recurrent layer around a behaviour-dependent linear recurrent unit, and a feed-forward (notebook 11).

    temporal_conv, behaviour_gates, feed_forward = False leave that part out; without the behaviour-dependent gates it is a real LRU.
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
    ):
        options = {
            "kernel_size": kernel_size,
            "temporal_conv": temporal_conv,
            "behaviour_gates": behaviour_gates,
        }
        super().__init__(
            n_items,
            d_model,
            max_len,
            n_layers,
            dropout,
            lambda: GatedRecurrentLayer(d_model, **options),
            feed_forward=feed_forward,
        )
        self.layers.apply(initialise)  # as released; its convolution is as PyTorch makes it
        nn.init.normal_(self.item_embedding.weight[1:], std=0.02)

    def state_after(self, items: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """The state for `step` after the first lengths[b] >= 0 items of each row [B, N], N >= 1, in one pass."""
        x, states = self.embed(items), []
        real = torch.arange(items.shape[1], device=items.device) < lengths[:, None]
        for layer in self.layers:
            recurred, state = layer.recurrent.read(x, real)
            x = layer.after(x, recurred)
            states.append(state)
        latest = (
            x[torch.arange(len(x), device=x.device), (lengths - 1).clamp_min(0)]
            * (lengths > 0)[:, None]
        )
        return stack(states) | {"representation": latest}
