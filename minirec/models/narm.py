"""NARM (Li et al., 2017): a GRU, and attention from its last state to all states before it.

    h_t         = GRU(e_{x_t}, h_{t-1})                                  e: the embeddings
    a_{t,j}     = v . sigmoid(A_1 h_t + A_2 h_j)                         for j <= t
    c_t         = [sum over j <= t of a_{t,j} h_j ; h_t]                 local beside global
    score_t(i)  = e_i . (B c_t)                                          the bilinear decoder

Where others differ: the paper's cell applies its reset gate before the product with the state, and
has no dropout in its equations but 25% of the embeddings and 50% of c_t in its experiments. The
authors' code takes hard sigmoids, and a softmax of a_{t,.} over the positions, which the paper does
not print. RecBole's code follows the printed equations, with weights a_{t,j} of any sign and sum,
PyTorch's GRU without biases, and both dropouts; ours is that form. Two things are ours: the weights
of the GRU start as those of our GRU4Rec (Xavier, uniform), where RecBole leaves PyTorch's start;
and all positions of a row are represented in one pass, where both codes cut a row into one sample
per prefix.

The attention reads the states of the whole history, whose number grows with it. So there is no
state of a fixed size, and NARM does not stream, though its GRU could.

B batch, N positions, d model width, s width of a state; Q queries in a block, and K keys, which are
the positions up to the block's end.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from minirec.layers.gru import GRU
from minirec.models.base import NeuralRecommender

# A sum A_1 h_t + A_2 h_j is s numbers for each pair of positions, and no product of two matrices
# replaces it. So pairs are gone through in blocks of so many queries. More at once would leave a
# CPU's cache, fewer would be many small operations.
QUERIES_PER_BLOCK = 16

# What backward needs of the pairs is kept for rows of up to so many items: N / 2 times s numbers
# per position, or 128 MiB for 2,048 positions in rows of 256 and states of 128. For longer rows it
# is computed anew in backward, a block at a time, so that memory grows with N per row, not with N
# squared.
KEPT_UP_TO = 256


class AdditiveAttention(nn.Module):
    """Sum the states, each with the weight v . sigmoid(A_1 h_t + A_2 h_j).

    There is no softmax: weights may be negative, and a long row may have a large sum.

    Parameters
    ----------
    d_state : int
        Width s of the states.
    """

    def __init__(self, d_state: int):
        super().__init__()
        self.to_query = nn.Linear(d_state, d_state, bias=False)  # A_1
        self.to_key = nn.Linear(d_state, d_state, bias=False)  # A_2
        self.to_weight = nn.Linear(d_state, 1, bias=False)  # v

    def forward(self, states: Tensor) -> Tensor:
        """Let every position attend to itself and those before it: [B, N, s] -> [B, N, s]."""
        queries = self.to_query(states)
        keys = self.to_key(states)
        positions = torch.arange(states.shape[1], device=states.device)

        weighted_sum: Callable[..., Tensor] = self._weighted_sum
        if states.shape[1] > KEPT_UP_TO:
            weighted_sum = self._weighted_sum_anew

        blocks = []
        for start, end in _blocks(states.shape[1]):
            not_later = positions[:end] <= positions[start:end, None]  # [Q, K]
            block = weighted_sum(queries[:, start:end], keys[:, :end], states[:, :end], not_later)
            blocks.append(block)
        return torch.cat(blocks, dim=1)

    def of_one(self, newest: Tensor, states: Tensor, real: Tensor) -> Tensor:
        """Let one state per row attend to all states of its row.

        newest: [B, s]; states: [B, N, s]; real: Bool[B, N], False at padding. Returns [B, s].
        """
        query = self.to_query(newest)[:, None]
        return self._weighted_sum(query, self.to_key(states), states, real[:, None])[:, 0]

    def _weighted_sum(self, queries: Tensor, keys: Tensor, states: Tensor, seen: Tensor) -> Tensor:
        """Sum the states that each query sees.

        queries: [B, Q, s]; keys, states: [B, K, s]; seen: Bool[Q, K] or [B, Q, K]. Returns
        [B, Q, s].
        """
        pairs = torch.sigmoid(queries[:, :, None] + keys[:, None])  # [B, Q, K, s]
        weights = self.to_weight(pairs)[..., 0] * seen
        return weights @ states

    def _weighted_sum_anew(self, *block: Tensor) -> Tensor:
        """Do the same, but keep only the arguments for backward, which computes the rest anew."""
        # It draws no random numbers, so there is no generator's state to restore.
        return checkpoint(self._weighted_sum, *block, use_reentrant=False, preserve_rng_state=False)


class NARM(NeuralRecommender):
    """Embed, run L GRU layers, join the attention's output to the newest state, map back to d.

    Dropout follows the embeddings and the joined vector.

    Parameters
    ----------
    n_items : int
        Number of items.
    d_model : int
        Width d of embeddings and representations.
    n_layers : int
        Number L of GRU layers; attention reads the states of the last one.
    dropout : float
        Share of embedded values left out while training; 0.25 in the paper.
    inner_dropout : float
        Share of the joined vector's values left out while training; 0.5 in the paper.
    max_len : int
        How many of the last items it reads.
    d_state : int, optional
        Width s of the GRU's state; twice d_model unless given.

    Raises
    ------
    ValueError
        If a size is below 1.

    References
    ----------
    Li, Ren, Chen, Ren, Lian and Ma, "Neural attentive session-based recommendation", CIKM 2017.
    The GRU: notebook 02.
    """

    name = "narm"

    def __init__(
        self,
        n_items: int,
        *,
        d_model: int = 64,
        n_layers: int = 1,
        dropout: float = 0.25,
        inner_dropout: float = 0.5,
        max_len: int = 200,
        d_state: int | None = None,
    ):
        super().__init__(n_items, d_model, max_len, n_layers)
        if d_state is None:
            d_state = 2 * d_model
        if d_state < 1:
            raise ValueError(f"d_state must be at least 1; got {d_state}.")
        self.d_state = d_state
        self.dropout = nn.Dropout(dropout)
        self.inner_dropout = nn.Dropout(inner_dropout)
        self.layers = nn.ModuleList()
        for i in range(n_layers):
            d_input = d_model if i == 0 else d_state
            self.layers.append(GRU(d_input, d_state, bias=False, form="torch"))
        self.attention = AdditiveAttention(d_state)
        self.output = nn.Linear(2 * d_state, d_model, bias=False)  # B

        nn.init.xavier_normal_(self.item_embedding.weight[1:])
        for linear in (
            self.attention.to_query,
            self.attention.to_key,
            self.attention.to_weight,
            self.output,
        ):
            nn.init.xavier_normal_(linear.weight)

    def encode(self, items: Tensor) -> Tensor:
        """Represent every prefix: items [B, N] -> [B, N, d]; t has read items[:, :t + 1]."""
        states = self.states(items)
        return self.decode(self.attention(states), states)

    def last(self, items: Tensor) -> Tensor:
        """Represent each whole row: items [B, N] -> [B, d].

        As `encode` at the last items, but only they are queries: the cost of the attention grows
        with N, not with N squared.
        """
        states = self.states(items)
        rows = torch.arange(len(items), device=items.device)
        ends = (items > 0).sum(1) - 1
        newest = states[rows, ends]
        return self.decode(self.attention.of_one(newest, states, items > 0), newest)

    def states(self, items: Tensor) -> Tensor:
        """Run the GRU layers: items [B, N] -> the last layer's states [B, N, s]."""
        x = self.dropout(self.item_embedding(items))
        for layer in self.layers:
            x = layer(x)
        return x

    def decode(self, local: Tensor, newest: Tensor) -> Tensor:
        """Map the attention's output and the newest state, [..., s] each, to [..., d]."""
        joined = self.inner_dropout(torch.cat([local, newest], dim=-1))
        return self.output(joined)

    def multiply_adds(self, n: int) -> int:
        """Return the multiply-adds of a row of n items through the layers, without item scores."""
        d = self.d_model
        s = self.d_state
        # Every cell has three gates, each with a map of the input and one of the state.
        first = 3 * (d * s + s * s)
        others = (len(self.layers) - 1) * 3 * (s * s + s * s)
        maps = 2 * s * s  # A_1 and A_2
        output = 2 * s * d

        n_pairs = sum((end - start) * end for start, end in _blocks(n))
        pair = 2 * s  # s for v . sigmoid(...), and s for the weight times the state
        return n * (first + others + maps + output) + n_pairs * pair


def _blocks(n: int) -> Iterator[tuple[int, int]]:
    """Cut n queries into blocks: where each starts and ends.

    A block is computed against the keys up to its end. So pairs whose key comes after the query are
    computed only within a block, and nearly half of all pairs are saved.
    """
    for start in range(0, n, QUERIES_PER_BLOCK):
        yield start, min(start + QUERIES_PER_BLOCK, n)
