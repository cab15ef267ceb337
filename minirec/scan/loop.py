"""The linear recurrence as it is defined, one step after another (notebook 08): the oracle that every other implementation is held to."""

import torch
from torch import Tensor


def loop(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    """h_t = a_t h_{t-1} + b_t. a, b [B, N, D], h0 [B, D] -> h [B, N, D]; N >= 1. Autograd goes through every step."""
    h, states = h0, []
    for a_t, b_t in zip(
        a.unbind(1), b.unbind(1)
    ):  # slices a[:, t] would each have a gradient as large as a
        h = a_t * h + b_t
        states.append(h)
    return torch.stack(states, dim=1)
