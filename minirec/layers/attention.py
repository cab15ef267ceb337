"""Attention: softmax, GLINT-RU's linear kind, and the latter as a running sum (notebook 05).

B : batch
N : positions
d : model width
H : heads
e : width of a head, d = H e
q, k, v : queries, keys and values, [B, H, N, e]
C : chunks that the running sum cuts the positions into
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# A vector shorter than this is divided by this, so that zeros stay zeros instead of becoming NaN.
EPSILON = 1e-12

# Pairs within a chunk and sums between chunks cost alike where a chunk is as long as a head is
# wide. For heads narrower than this, such chunks would be so short that calling the products
# costs more than computing them (notebook 05).
SHORTEST_CHUNK = 16


def softmax_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    causal: bool = False,
    real: Tensor | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """Return softmax(q k^T / sqrt(e)) v.

    Every position meets every other, so time grows with N squared.

    Parameters
    ----------
    q, k, v : Tensor
        Queries, keys and values, [B, H, N, e].
    causal : bool
        Whether position t meets positions 0 .. t only.
    real : Tensor, optional
        Bool[B, N], False where the row is padding, which no position meets.
    dropout : float
        Share of the attention weights left out.

    Returns
    -------
    Tensor
        For each query the weighted mean of the values, [B, H, N, e].

    References
    ----------
    Vaswani et al., 2017; derived in notebook 05.
    """
    if real is None:
        return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=causal)

    mask = real[:, None, None, :]  # [B, 1, 1, N], the same for all heads and queries
    if causal:
        # PyTorch takes a mask or is_causal, not both.
        n_queries = q.shape[2]
        n_keys = k.shape[2]
        pairs = torch.ones(n_queries, n_keys, dtype=torch.bool, device=q.device)
        mask = mask & pairs.tril()  # [B, 1, N, N]
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)


def linear_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return q (k^T v), the same product as (q k^T) v with its brackets moved.

    k^T v is an e x e matrix, so time grows with N e^2 instead of N^2 e.

    Parameters
    ----------
    q, k, v : Tensor
        Queries, keys and values, [B, H, N, e].

    Returns
    -------
    Tensor
        Every query's answer from the whole row, [B, H, N, e].

    References
    ----------
    GLINT-RU, Eq. 2; derived in notebook 05.
    """
    return q @ (k.mT @ v)


def running_linear_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    chunk: int | None = None,
) -> Tensor:
    """Return `linear_attention` at the last position of every prefix, all at once.

    out_t = q_t sum_{s <= t} k_s^T v_s.

    The positions are cut into chunks. Within a chunk every position meets the earlier ones pair
    by pair, (q k^T masked) v. What lies in the chunks before, it asks of one sum of k^T v, an
    e x e matrix carried from chunk to chunk. Time and memory grow with N (chunk + e); no position
    has a matrix of its own, which would be N e^2.

    Parameters
    ----------
    q, k, v : Tensor
        Queries, keys and values, [B, H, N, e]; any N.
    chunk : int, optional
        Positions per chunk; the larger of 16 and e unless given.

    Returns
    -------
    Tensor
        Every query's answer from its own prefix, [B, H, N, e].

    Raises
    ------
    ValueError
        If chunk is below 1.

    References
    ----------
    GLINT-RU, Eq. 2; derived in notebook 05.
    """
    n_positions = q.shape[2]
    if chunk is None:
        chunk = max(SHORTEST_CHUNK, q.shape[3])
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1; got {chunk}.")
    if n_positions <= chunk:
        return _by_pairs(q, k, v)

    q = _in_chunks(q, chunk)
    k = _in_chunks(k, chunk)
    v = _in_chunks(v, chunk)

    sums = k.mT @ v  # of each chunk by itself, [B, H, C, e, e]
    carried = sums.cumsum(2) - sums  # of all chunks before it
    out = _by_pairs(q, k, v) + q @ carried
    return out.flatten(2, 3)[:, :, :n_positions]


def _by_pairs(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Let every position meet itself and the earlier ones: (q k^T masked) v, [..., N, e]."""
    return (q @ k.mT).tril() @ v


def _in_chunks(x: Tensor, chunk: int) -> Tensor:
    """Cut the positions into chunks, [B, H, N, e] -> [B, H, C, chunk, e].

    Zeros fill the last chunk; a key of zeros adds nothing to any sum.
    """
    missing = -x.shape[2] % chunk
    padded = F.pad(x, (0, 0, 0, missing))
    return padded.unflatten(2, (-1, chunk))


class SoftmaxAttention(nn.Module):
    """Attend with several heads; queries, keys and values come from one sequence.

    Parameters
    ----------
    d_model : int
        Width of input and output.
    n_heads : int
        H, a divisor of d_model.
    causal : bool
        Whether position t sees positions 0 .. t only.
    dropout : float
        Share of the attention weights left out while training.

    Raises
    ------
    ValueError
        If n_heads does not divide d_model.

    References
    ----------
    Vaswani et al., 2017; derived in notebook 05.
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int = 1,
        causal: bool = False,
        dropout: float = 0.0,
    ):
        super().__init__()
        _check_heads(d_model, n_heads)
        self.n_heads = n_heads
        self.causal = causal
        self.dropout = dropout
        self.query = nn.Linear(d_model, d_model)
        self.key = nn.Linear(d_model, d_model)
        self.value = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, real: Tensor | None = None) -> Tensor:
        """Return the heads' answers side by side, [B, N, d] -> [B, N, d].

        real: Bool[B, N], False where the row is padding, which is not seen.
        """
        q = _to_heads(self.query(x), self.n_heads)
        k = _to_heads(self.key(x), self.n_heads)
        v = _to_heads(self.value(x), self.n_heads)
        dropout = self.dropout if self.training else 0.0
        return _merge(softmax_attention(q, k, v, self.causal, real, dropout))


class LinearAttention(nn.Module):
    """Attend without a softmax: A'(Q, K, V) = X1(elu Q) (X2(elu K)^T V), head by head.

    X1 divides each query by its length. X2 has two forms:

    - "paper": it divides each feature of the keys by that feature's length along the sequence;
    - "released": it divides each key by its own length, as X1 does, and the result by sqrt(e).

    Lengths below 1e-12 count as 1e-12.

    Three ways lead to the same values at the end of every prefix: `forward` on each prefix alone,
    `every_prefix` in one pass, and `step`, position by position.

    Parameters
    ----------
    d_model : int
        Width of input and output.
    n_heads : int
        H, a divisor of d_model.
    form : {"paper", "released"}
        Which X2.

    Raises
    ------
    ValueError
        If form is neither of the two, or n_heads does not divide d_model.

    References
    ----------
    GLINT-RU, Eq. 2; derived in notebook 05.
    """

    def __init__(self, d_model: int, n_heads: int = 1, form: str = "paper"):
        super().__init__()
        if form not in ("paper", "released"):
            raise ValueError(f"form must be 'paper' or 'released'; got {form!r}.")
        _check_heads(d_model, n_heads)
        self.n_heads = n_heads
        self.form = form
        self.query = nn.Linear(d_model, d_model)
        self.key = nn.Linear(d_model, d_model)
        self.value = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, real: Tensor | None = None) -> Tensor:
        """Let every position see the whole row, [B, N, d] -> [B, N, d].

        real: Bool[B, N], False where the row is padding, which is not seen.
        """
        q, k, v = self._project(x, real)
        if self.form == "paper":
            k = F.normalize(k, dim=2, eps=EPSILON)  # along the sequence: the paper's X2
        return _merge(linear_attention(q, k, v))

    def every_prefix(self, x: Tensor) -> Tensor:
        """Return at t what `forward` on x[:, :t + 1] gives there, [B, N, d] -> [B, N, d].

        The length that the paper's X2 divides by grows with every position, for all keys alike.
        So the keys stay as they are, and the query is divided instead, by the length so far.
        """
        q, k, v = self._project(x)
        if self.form == "paper":
            q = q / _length(k.square().cumsum(2))
        return _merge(running_linear_attention(q, k, v))

    def init_state(self, batch_size: int) -> dict[str, Tensor]:
        """Return the state before the first position, zeros.

        "sums": k^T v summed over the positions so far, [B, H, e, e]; "squares": the squares of
        the keys' features, summed likewise, [B, H, 1, e].
        """
        weight = self.key.weight  # for its dtype and device
        width = weight.shape[0] // self.n_heads
        return {
            "sums": weight.new_zeros(batch_size, self.n_heads, width, width),
            "squares": weight.new_zeros(batch_size, self.n_heads, 1, width),
        }

    def state_after(self, x: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Return the state after the first lengths[b] >= 0 positions of each row, in one pass.

        It is what as many steps would give. x: [B, N, d], lengths: Long[B].
        """
        positions = torch.arange(x.shape[1], device=x.device)
        read = positions < lengths[:, None]  # Bool[B, N]
        _, k, v = self._project(x, read)
        return {
            "sums": k.mT @ v,
            "squares": k.square().sum(2, keepdim=True),
        }

    def step(self, state: dict[str, Tensor], x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Read one more position, x [B, d].

        Returns what `every_prefix` gives there, [B, d], and the new state.
        """
        q, k, v = self._project(x[:, None])  # a row of one position
        state = {
            "sums": state["sums"] + k.mT @ v,
            "squares": state["squares"] + k.square(),
        }
        if self.form == "paper":
            q = q / _length(state["squares"])
        answer = q @ state["sums"]  # [B, H, 1, e]
        return _merge(answer)[:, 0], state

    def _project(self, x: Tensor, real: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Return all that Eq. 2 does to each position by itself: q, k and v, [B, H, N, e] each.

        The paper's X2, which needs the whole sequence, is left to the caller. x: [B, N, d];
        real: Bool[B, N], False where the row is padding.
        """
        q = _to_heads(self.query(x), self.n_heads)
        k = _to_heads(self.key(x), self.n_heads)
        v = _to_heads(self.value(x), self.n_heads)

        q = F.elu(q)
        q = F.normalize(q, dim=-1, eps=EPSILON)  # X1
        k = F.elu(k)

        if self.form == "released":
            k = F.normalize(k, dim=-1, eps=EPSILON)  # the released X2
            # The product is linear in v, so its division by sqrt(e) can be done here.
            width = v.shape[-1]
            v = v / width**0.5

        if real is not None:
            # The row is seen through sums over k, to which a key of zeros adds nothing.
            k = k * real[:, None, :, None]
        return q, k, v


def _check_heads(d_model: int, n_heads: int) -> None:
    if n_heads < 1 or d_model % n_heads != 0:
        raise ValueError(
            "d_model must be divisible by n_heads; "
            f"got d_model = {d_model} and n_heads = {n_heads}."
        )


def _to_heads(x: Tensor, n_heads: int) -> Tensor:
    """Cut the features into heads, [B, N, d] -> [B, H, N, e]."""
    heads = x.unflatten(-1, (n_heads, -1))  # [B, N, H, e]
    return heads.transpose(1, 2)


def _merge(heads: Tensor) -> Tensor:
    """Lay the heads side by side again, [B, H, N, e] -> [B, N, d]."""
    return heads.transpose(1, 2).flatten(2)


def _length(squares: Tensor) -> Tensor:
    """Return the square root, at least EPSILON.

    It is the squares that are cut: below the cut the gradient is then 0. The root of an uncut 0
    has an infinite slope.
    """
    return squares.clamp_min(EPSILON**2).sqrt()
