"""Attention: the softmax kind, the linear kind of GLINT-RU, and the linear kind as a running sum (Eq. 2, notebook 05).

B batch, N positions, H heads, e width of a head, d = H e. Queries, keys and values are [B, H, N, e].
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPSILON = 1e-12  # a vector shorter than this is divided by this
SHORTEST_CHUNK = 16  # where pairs within a chunk and sums between chunks cost alike for narrow heads; for wide ones that is at e (notebook 05)


def softmax_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    causal: bool = False,
    real: Tensor | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """softmax(q k^T / sqrt(e)) v, [B, H, N, e]: every position meets every other, so time grows with N squared.

    causal: position t meets 0 .. t only; real: Bool[B, N], False where the row is padding, which nobody meets. dropout: the share of weights left out.
    """
    mask = None if real is None else real[:, None, None, :]
    if causal and mask is not None:
        mask, causal = (
            mask & torch.ones(q.shape[2], k.shape[2], dtype=torch.bool, device=q.device).tril(),
            False,
        )
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, dropout_p=dropout, is_causal=causal
    )


def linear_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """q (k^T v), [B, H, N, e]: the same product as (q k^T) v with its brackets moved, so time grows with N e squared (Eq. 2, notebook 05)."""
    return q @ (k.mT @ v)


def running_linear_attention(q: Tensor, k: Tensor, v: Tensor, chunk: int | None = None) -> Tensor:
    """out_t = q_t sum_{s <= t} k_s^T v_s, [B, H, N, e]: `linear_attention` at the last position of every prefix at once (Eq. 2, notebook 05).

    Inside a chunk by pairs, (q k^T masked) v; between chunks by the carried sum of k^T v, one [e, e] per head and chunk. Any N; time and memory grow
    with N (chunk + e), never with N e squared. chunk: the larger of 16 and e unless given.
    """
    n, chunk = q.shape[2], max(SHORTEST_CHUNK, q.shape[3]) if chunk is None else chunk
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1; got {chunk}.")
    if n <= chunk:
        return (q @ k.mT).tril() @ v
    q, k, v = (
        F.pad(x, (0, 0, 0, -n % chunk)).unflatten(2, (-1, chunk)) for x in (q, k, v)
    )  # [B, H, N / chunk, chunk, e]
    sums = k.mT @ v
    carried = sums.cumsum(2) - sums  # over the chunks before
    return ((q @ k.mT).tril() @ v + q @ carried).flatten(2, 3)[:, :, :n]


class SoftmaxAttention(nn.Module):
    """Multi-head attention with queries, keys and values from one sequence (notebook 05). causal: position t sees 0 .. t only. dropout: of its weights."""

    def __init__(self, d_model: int, n_heads: int = 1, causal: bool = False, dropout: float = 0.0):
        super().__init__()
        self.n_heads, self.causal, self.dropout = n_heads, causal, dropout
        self.query, self.key, self.value = _projections(d_model, n_heads)

    def forward(self, x: Tensor, real: Tensor | None = None) -> Tensor:
        """x: [B, N, d] -> [B, N, d], heads side by side. real: Bool[B, N], False where the row is padding, which is not seen."""
        q, k, v = (_to_heads(part(x), self.n_heads) for part in (self.query, self.key, self.value))
        return _merge(
            softmax_attention(q, k, v, self.causal, real, self.dropout if self.training else 0.0)
        )


class LinearAttention(nn.Module):
    """A'(Q, K, V) = X1(elu Q) (X2(elu K)^T V), heads side by side (Eq. 2, notebook 05).

    X1 divides each query by its length, head by head. form="paper": X2 divides each feature of the keys by its length along the sequence;
    form="released": X2 divides each key by its own length, as X1 does, and the result by sqrt(e). Lengths below 1e-12 count as 1e-12.
    """

    def __init__(self, d_model: int, n_heads: int = 1, form: str = "paper"):
        super().__init__()
        if form not in ("paper", "released"):
            raise ValueError(f"form must be 'paper' or 'released'; got {form!r}.")
        self.n_heads, self.form = n_heads, form
        self.query, self.key, self.value = _projections(d_model, n_heads)

    def forward(self, x: Tensor, real: Tensor | None = None) -> Tensor:
        """x: [B, N, d] -> [B, N, d]; every position sees the whole row. real: Bool[B, N], False where the row is padding, which is not seen."""
        q, k, v = self._project(x, real)
        if self.form == "paper":
            k = F.normalize(k, dim=2, eps=EPSILON)
        return _merge(linear_attention(q, k, v))

    def every_prefix(self, x: Tensor) -> Tensor:
        """x: [B, N, d] -> [B, N, d]; at t what `forward` on x[:, :t + 1] gives there. The paper's length along the sequence becomes a running one."""
        q, k, v = self._project(x)
        if self.form == "paper":
            q = q / _length(k.square().cumsum(2))
        return _merge(running_linear_attention(q, k, v))

    def init_state(self, batch_size: int) -> dict[str, Tensor]:
        """Before the first item: {"sums": zeros [B, H, e, e], "squares": zeros [B, H, 1, e]}."""
        weight, width = self.key.weight, self.key.weight.shape[0] // self.n_heads
        return {
            "sums": weight.new_zeros(batch_size, self.n_heads, width, width),
            "squares": weight.new_zeros(batch_size, self.n_heads, 1, width),
        }

    def state_after(self, x: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """The state after the first lengths[b] >= 0 positions of each row of x [B, N, d], in one pass: what as many steps would give."""
        _, k, v = self._project(x, torch.arange(x.shape[1], device=x.device) < lengths[:, None])
        return {"sums": k.mT @ v, "squares": k.square().sum(2, keepdim=True)}

    def step(self, state: dict[str, Tensor], x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """One more position x [B, d]: returns what `every_prefix` gives there [B, d], and the new state."""
        q, k, v = self._project(x[:, None])
        state = {"sums": state["sums"] + k.mT @ v, "squares": state["squares"] + k.square()}
        if self.form == "paper":
            q = q / _length(state["squares"])
        return _merge(q @ state["sums"])[:, 0], state

    def _project(self, x: Tensor, real: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """x [B, N, d] -> queries of length 1, keys (of length 1 too in the released form; 0 at padding), values; [B, H, N, e] each."""
        q, k, v = (_to_heads(part(x), self.n_heads) for part in (self.query, self.key, self.value))
        q, k = F.normalize(F.elu(q), dim=-1, eps=EPSILON), F.elu(k)
        if self.form == "released":
            k, v = F.normalize(k, dim=-1, eps=EPSILON), v / v.shape[-1] ** 0.5
        return q, k if real is None else k * real[:, None, :, None], v


def _to_heads(x: Tensor, n_heads: int) -> Tensor:
    return x.unflatten(-1, (n_heads, -1)).transpose(1, 2)


def _merge(heads: Tensor) -> Tensor:
    return heads.transpose(1, 2).flatten(2)


def _length(squares: Tensor) -> Tensor:
    """The square root, at least EPSILON; where it is cut the gradient is 0, not infinite."""
    return squares.clamp_min(EPSILON**2).sqrt()


def _projections(d_model: int, n_heads: int) -> tuple[nn.Linear, nn.Linear, nn.Linear]:
    if n_heads < 1 or d_model % n_heads:
        raise ValueError(
            f"d_model must be divisible by n_heads; got d_model = {d_model} and n_heads = {n_heads}."
        )
    return nn.Linear(d_model, d_model), nn.Linear(d_model, d_model), nn.Linear(d_model, d_model)
