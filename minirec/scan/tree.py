"""Two parallel scans in plain PyTorch, to be read (notebook 09). Both need about log2 N steps, each over many positions at once.

A pair (a, b) stands for the step h -> a h + b. To `combine` two is associative, so any order of brackets will do. The first pair meets h = 0.
"""

import torch
from torch import Tensor


def combine(a1: Tensor, b1: Tensor, a2: Tensor, b2: Tensor) -> tuple[Tensor, Tensor]:
    """The step that does (a1, b1) and then (a2, b2)."""
    return a1 * a2, a2 * b1 + b2


def hillis_steele(a: Tensor, b: Tensor) -> Tensor:
    """a, b [B, N, D] -> h [B, N, D]: in round s, position t takes in what ends at t - 2^s. ceil(log2 N) rounds, N log2 N products."""
    reach = 1
    while reach < a.shape[1]:
        a_joined, b_joined = combine(a[:, :-reach], b[:, :-reach], a[:, reach:], b[:, reach:])
        a, b = (
            torch.cat([a[:, :reach], a_joined], dim=1),
            torch.cat([b[:, :reach], b_joined], dim=1),
        )
        reach *= 2
    return b


def blelloch(a: Tensor, b: Tensor) -> Tensor:
    """a, b [B, N, D] -> h [B, N, D]: join neighbours, scan the pairs, half as many, and fill in between. 2 log2 N rounds, but only about 2 N products."""
    n = a.shape[1]
    if n == 1:
        return b
    even = n - n % 2
    odd_states = blelloch(
        *combine(a[:, 0:even:2], b[:, 0:even:2], a[:, 1:even:2], b[:, 1:even:2])
    )  # h_1, h_3, ...
    between = a[:, 2::2] * odd_states[:, : (n - 1) // 2] + b[:, 2::2]  # h_2, h_4, ...
    even_states = torch.cat([b[:, :1], between], dim=1)
    paired = torch.stack([even_states[:, : n // 2], odd_states], dim=2).flatten(1, 2)
    return torch.cat([paired, even_states[:, n // 2 :]], dim=1)


def tree(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    """h_t = a_t h_{t-1} + b_t from h0 [B, D], by `blelloch`; N >= 1."""
    first = a[:, :1] * h0[:, None] + b[:, :1]
    return blelloch(a, torch.cat([first, b[:, 1:]], dim=1))
