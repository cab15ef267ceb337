"""Two parallel scans in plain PyTorch, to be read (notebook 10).

Both need about log2 N rounds, each over many positions at once.

    B, N, D    rows, positions, channels
    (a, b)     a pair: the step h -> a h + b. The first step of all starts from h = 0
    combine    the pair that does two steps; it is associative, so any order of brackets will do
"""

import torch
from torch import Tensor


def combine(a1: Tensor, b1: Tensor, a2: Tensor, b2: Tensor) -> tuple[Tensor, Tensor]:
    """Join two steps into the one that does (a1, b1) and then (a2, b2).

    Parameters
    ----------
    a1, b1, a2, b2 : Tensor
        The two pairs, all of one shape.

    Returns
    -------
    tuple of Tensor
        The joined pair: a2 (a1 h + b1) + b2 = (a1 a2) h + (a2 b1 + b2).

    References
    ----------
    RecBLR, Eq. 12, which writes the later step on the left; its pairs are RecBLR, Eq. 11.
    Notebook 10.
    """
    return a1 * a2, a2 * b1 + b2


def hillis_steele(a: Tensor, b: Tensor) -> Tensor:
    """Scan in ceil(log2 N) rounds and about N log2 N products.

    After round s every pair covers the 2^s positions that end at its own: in each round,
    position t takes in the pair that ends where its own begins.

    Parameters
    ----------
    a, b : Tensor
        Coefficients and inputs [B, N, D], with N >= 1.

    Returns
    -------
    Tensor
        The states [B, N, D], from h = 0.

    References
    ----------
    RecBLR, Eqs. 9 and 14, by other rounds than the paper's; notebook 10.
    """
    reach = 1  # positions that each pair covers
    while reach < a.shape[1]:
        a_joined, b_joined = combine(a[:, :-reach], b[:, :-reach], a[:, reach:], b[:, reach:])

        # The first pairs reach back to the beginning already.
        a = torch.cat([a[:, :reach], a_joined], dim=1)
        b = torch.cat([b[:, :reach], b_joined], dim=1)
        reach *= 2
    return b


def blelloch(a: Tensor, b: Tensor) -> Tensor:
    """Scan in about 2 log2 N rounds, but only about 2 N products.

    Join neighbours, scan the pairs, of which there are half as many, and fill in between.

    Parameters
    ----------
    a, b : Tensor
        Coefficients and inputs [B, N, D], with N >= 1.

    Returns
    -------
    Tensor
        The states [B, N, D], from h = 0.

    References
    ----------
    RecBLR, Eqs. 9, 14 and 15; notebook 10. The paper's trees give every prefix without its own step
    and need a power of two; this one includes the step and takes any N.
    """
    n = a.shape[1]
    if n == 1:
        return b

    # 1. Join positions 0 and 1, 2 and 3, ...; where n is odd, the last one waits for step 3.
    even = n - n % 2
    a_pairs, b_pairs = combine(a[:, 0:even:2], b[:, 0:even:2], a[:, 1:even:2], b[:, 1:even:2])

    # 2. A scan over the pairs gives the states after positions 1, 3, ...
    odd_states = blelloch(a_pairs, b_pairs)

    # 3. From these, one step more leads to positions 2, 4, ...; the state at 0 is b itself.
    between = a[:, 2::2] * odd_states[:, : (n - 1) // 2] + b[:, 2::2]
    even_states = torch.cat([b[:, :1], between], dim=1)

    # 4. Lay the two side by side and read them in turn: 0, 1, 2, 3, ...
    in_turn = torch.stack([even_states[:, : n // 2], odd_states], dim=2).flatten(1, 2)
    left_over = even_states[:, n // 2 :]  # one position where n is odd, none where it is even
    return torch.cat([in_turn, left_over], dim=1)


def tree(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    """Compute h_t = a_t h_{t-1} + b_t from any initial state, by `blelloch`.

    Steps are joined before any state is known, so their coefficients are multiplied: a_2 a_3,
    a_4 a_5, ..., a_4 a_5 a_6 a_7, ..., counted from 0. A product beyond the largest number of its
    dtype is infinite: times a state that is not 0 it gives infinity, times 0 NaN. A loop multiplies
    the state by one coefficient after another and may stay finite: with all a = 1e30 in float32
    and all b = 0 its states are 0, and here they are NaN from position 3 on. Nothing overflows if
    |a| <= 1 and |h0| and all |b| add up to less than the largest number. A product too small for
    its dtype is rounded to 0.

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
    Notebook 10.
    """
    # The scan starts from 0, so h0 enters with the first input: b_1 becomes a_1 h0 + b_1.
    first = a[:, :1] * h0[:, None] + b[:, :1]
    return blelloch(a, torch.cat([first, b[:, 1:]], dim=1))
