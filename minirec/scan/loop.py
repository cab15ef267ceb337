"""The linear recurrence as it is defined, one step after another (notebook 09).

It is the oracle that every other implementation is held to. B rows, N positions, D channels.
"""

import torch
from torch import Tensor


def loop(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    """Compute h_t = a_t h_{t-1} + b_t step by step; autograd goes through every step.

    Parameters
    ----------
    a, b : Tensor
        Coefficients and inputs [B, N, D], with N >= 1.
    h0 : Tensor
        The state before the first step [B, D].

    Returns
    -------
    Tensor
        The states [B, N, D].

    References
    ----------
    RecBLR, Eq. 5, where a is alpha and b is beta x; notebook 09.
    """
    h = h0
    states = []
    # Each slice a[:, t] would have a gradient as large as a; unbind has one for all slices.
    for a_t, b_t in zip(a.unbind(1), b.unbind(1), strict=True):
        h = a_t * h + b_t
        states.append(h)
    return torch.stack(states, dim=1)
