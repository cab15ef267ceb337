"""The fused BD-LRU on the GPU: from the gates before their sigmoids to SiLU(z) * h in one pass, and one pass back, in Triton (notebook 10).

    r, i       the recurrence and the input gate before their sigmoids s_r, s_i; together `gates` [B, N, 2H]; x, z [B, N, H] the input and the output's gate
    decay      softplus(Lambda) >= 0, [H];   t = decay * s_r = -log alpha >= 0;   beta = sqrt(1 - alpha^2) = sqrt(-expm1(-2 t))
    h, y       h_n = alpha_n h_{n-1} + beta_n s_i x_n;   y_n = SiLU(z_n) h_n
    G, k       the gradient with respect to h_n: grad_y_n SiLU(z_n) + k_{n+1}; and k_n = alpha_n G_n, what flows backward out of position n
    q          t times the gradient of t = -G alpha h_{n-1} t + G s_i x alpha^2 t / beta; from it r's gradient, q (1 - s_r), and decay's, sum(q) / decay

Lanes and the rest are minirec.scan.triton_scan's, but time is one chunk: where lanes are few, `bd_lru` takes the formula, around the scan that has more.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from minirec.scan.triton_scan import _place, _read, _state, launch

LOG2_E = tl.constexpr(
    1.4426950408889634
)  # exp(x) = exp2(x log2 e): exp2 is one instruction, exp five
UNROLL, UNROLL_BACK = (
    8,
    4,
)  # positions read together, of 4 tensors or of 6; not yet measured on a GPU


@triton.jit
def _sigmoid(x):
    """sigmoid(x) and 1 - sigmoid(x). Nothing is subtracted, so neither loses digits; below x = -86, sigmoid(x) stays at 2e-38."""
    e = tl.exp2(tl.minimum(-x * LOG2_E, 125))
    root = tl.rsqrt(1 + e)  # one instruction, where a division takes eight
    return root * root, e * root * root


@triton.jit
def _alpha_beta(t):
    """alpha = exp(-t), beta = sqrt(1 - alpha^2) and t / beta. With v = 1 - alpha, beta^2 = v (2 - v); a small v comes from a series, as 1 - exp(-t) cancels."""
    TERMS: tl.constexpr = (
        12 if t.dtype == tl.float64 else 6
    )  # below t = 0.25 the next one, t^TERMS / (TERMS + 1)!, is less than a rounding of the first
    series = tl.full(t.shape, 1, t.dtype)
    for j in tl.static_range(TERMS - 1):  # v / t = 1 - t/2 (1 - t/3 (1 - t/4 (...)))
        series = 1 - t * (1.0 / (TERMS - j)) * series
    alpha = tl.exp2(-t * LOG2_E)
    v = tl.where(t < 0.25, t * series, 1 - alpha)
    squared = tl.maximum(
        v * (2 - v), 1e-37
    )  # as t goes to 0, so does t / beta, like sqrt(t / 2), though the root's slope 1 / beta has no bound
    root = tl.rsqrt(squared)
    return alpha, squared * root, t * root


@triton.jit(do_not_specialize=["N"])
def _walk(
    r_ptr,
    x_ptr,
    z_ptr,
    i_ptr,
    decay_ptr,
    h0_ptr,
    y_ptr,
    h_ptr,
    g_row: tl.int64,
    g_step: tl.int64,
    g_channel,
    x_row: tl.int64,
    x_step: tl.int64,
    x_channel,
    z_row: tl.int64,
    z_step: tl.int64,
    z_channel,
    lanes: tl.int64,
    H: tl.int64,
    N,
    ACC: tl.constexpr,
    BLOCK: tl.constexpr,
    UNROLL: tl.constexpr,
):
    lane, row, channel, live, chunk, n, count, place = _place(
        lanes, H, N, N, False, BLOCK
    )  # one chunk, of all N
    gates, here = row * g_row + channel * g_channel, row * N * H + channel
    x_ptr += row * x_row + channel * x_channel
    z_ptr += row * z_row + channel * z_channel
    decay, h = tl.load(decay_ptr + channel).to(ACC), _state(h0_ptr, lane, live, ACC, BLOCK)
    next_r, next_i = (
        _read(r_ptr + gates, g_step, 0, N, live, UNROLL),
        _read(i_ptr + gates, g_step, 0, N, live, UNROLL),
    )
    next_x, next_z = (
        _read(x_ptr, x_step, 0, N, live, UNROLL),
        _read(z_ptr, z_step, 0, N, live, UNROLL),
    )
    for w in range(0, N, UNROLL):
        r, i, x, z, ahead = next_r, next_i, next_x, next_z, w + UNROLL
        next_r, next_i = (
            _read(r_ptr + gates, g_step, ahead, N, live, UNROLL),
            _read(i_ptr + gates, g_step, ahead, N, live, UNROLL),
        )
        next_x, next_z = (
            _read(x_ptr, x_step, ahead, N, live, UNROLL),
            _read(z_ptr, z_step, ahead, N, live, UNROLL),
        )
        for u in tl.static_range(UNROLL):
            alpha, beta, _ = _alpha_beta(decay * _sigmoid(r[u].to(ACC))[0])
            h = alpha * h + beta * _sigmoid(i[u].to(ACC))[0] * x[u].to(ACC)
            tl.store(h_ptr + here, h, live & (w + u < N))
            tl.store(y_ptr + here, z[u].to(ACC) * _sigmoid(z[u].to(ACC))[0] * h, live & (w + u < N))
            here += H


@triton.jit(do_not_specialize=["N"])
def _walk_back(
    r_ptr,
    x_ptr,
    z_ptr,
    grad_ptr,
    i_ptr,
    decay_ptr,
    h_ptr,
    h0_ptr,
    grad_last_ptr,
    grad_r_ptr,
    grad_i_ptr,
    grad_x_ptr,
    grad_z_ptr,
    q_ptr,
    grad_h0_ptr,
    g_row: tl.int64,
    g_step: tl.int64,
    g_channel,
    x_row: tl.int64,
    x_step: tl.int64,
    x_channel,
    z_row: tl.int64,
    z_step: tl.int64,
    z_channel,
    y_row: tl.int64,
    y_step: tl.int64,
    y_channel,
    lanes: tl.int64,
    H: tl.int64,
    N,
    ACC: tl.constexpr,
    BLOCK: tl.constexpr,
    UNROLL: tl.constexpr,
):
    lane, row, channel, live, chunk, n, count, place = _place(lanes, H, N, N, True, BLOCK)
    gates, here, out = (
        row * g_row + n * g_step + channel * g_channel,
        (row * N + n) * H + channel,
        (row * N + n) * 2 * H + channel,
    )
    x_ptr += row * x_row + n * x_step + channel * x_channel
    z_ptr += row * z_row + n * z_step + channel * z_channel
    grad_ptr += row * y_row + n * y_step + channel * y_channel
    before_ptr, decay, q_sum = (
        h_ptr + here - H,
        tl.load(decay_ptr + channel).to(ACC),
        tl.full([BLOCK], 0, ACC),
    )
    h, h0, k = (
        tl.load(h_ptr + here, live).to(ACC),
        _state(h0_ptr, lane, live, ACC, BLOCK),
        _state(grad_last_ptr, lane, live, ACC, BLOCK),
    )
    for w in range(0, N, UNROLL):
        r, i = (
            _read(r_ptr + gates, -g_step, w, N, live, UNROLL),
            _read(i_ptr + gates, -g_step, w, N, live, UNROLL),
        )
        x, z = _read(x_ptr, -x_step, w, N, live, UNROLL), _read(z_ptr, -z_step, w, N, live, UNROLL)
        grad, before = (
            _read(grad_ptr, -y_step, w, N, live, UNROLL),
            _read(before_ptr, -H, w, N - 1, live, UNROLL),
        )
        for u in tl.static_range(UNROLL):
            h_before, inside = tl.where(w + u < N - 1, before[u].to(ACC), h0), live & (w + u < N)
            x_n, z_n, grad_n = x[u].to(ACC), z[u].to(ACC), grad[u].to(ACC)
            s_r, not_r = _sigmoid(r[u].to(ACC))
            s_i, not_i = _sigmoid(i[u].to(ACC))
            s_z, not_z = _sigmoid(z_n)
            t = decay * s_r
            alpha, beta, ratio = _alpha_beta(t)
            G = grad_n * z_n * s_z + k
            q = G * alpha * (s_i * x_n * alpha * ratio - t * h_before)
            tl.store(grad_r_ptr + out, q * not_r, inside)
            tl.store(grad_i_ptr + out, G * beta * x_n * s_i * not_i, inside)
            tl.store(grad_x_ptr + here, G * beta * s_i, inside)
            tl.store(grad_z_ptr + here, grad_n * h * s_z * (1 + z_n * not_z), inside)
            h, k, q_sum = (
                h_before,
                tl.where(w + u < N, alpha * G, k),
                tl.where(w + u < N, q_sum + q, q_sum),
            )
            here, out = here - H, out - 2 * H
    tl.store(q_ptr + lane, q_sum, live)
    if grad_h0_ptr is not None:
        tl.store(grad_h0_ptr + lane, k, live)


def bd_lru_forward(
    gates: Tensor, x: Tensor, z: Tensor, decay: Tensor, h0: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """gates [B, N, 2H] = (r, i), x and z [B, N, H], any strides; decay [H], h0 [B, H] or None (zeros) -> y and h [B, N, H], of x's dtype."""
    y, h = (
        torch.empty(x.shape, dtype=x.dtype, device=x.device),
        torch.empty(x.shape, dtype=x.dtype, device=x.device),
    )
    r, i = gates.chunk(2, dim=-1)
    launch(
        _walk,
        x,
        (r, x, z),
        i,
        decay.contiguous(),
        None if h0 is None else h0.contiguous(),
        y,
        h,
        unroll=UNROLL,
    )
    return y, h


def bd_lru_backward(
    gates: Tensor,
    x: Tensor,
    z: Tensor,
    decay: Tensor,
    h0: Tensor | None,
    h: Tensor,
    grad_y: Tensor,
    grad_last: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
    """From grad_y [B, N, H] (any strides) and grad_last, the gradient of h[:, -1] [B, H] or None: those of gates [B, N, 2H], x, z [B, N, H], log decay [H]
    (float32, or float64 for float64; divided by decay, that of decay) and h0 ([B, H], None without h0). h: bd_lru_forward's. N is at least 1."""
    (r, i), (B, _, H) = gates.chunk(2, dim=-1), x.shape
    grad_gates, grad_x, grad_z = (
        torch.empty(each.shape, dtype=each.dtype, device=each.device) for each in (gates, x, z)
    )
    q = (
        torch.empty((B, H), dtype=decay.dtype, device=x.device)
        if x.numel()
        else decay.new_zeros(1, H)
    )
    h0, grad_h0 = (None, None) if h0 is None else (h0.contiguous(), h0.new_zeros(h0.shape))
    launch(
        _walk_back,
        x,
        (r, x, z, grad_y),
        i,
        decay.contiguous(),
        h,
        h0,
        None if grad_last is None else grad_last.contiguous(),
        *grad_gates.chunk(2, dim=-1),
        grad_x,
        grad_z,
        q,
        grad_h0,
        unroll=UNROLL_BACK,
    )
    return grad_gates, grad_x, grad_z, q.sum(0), grad_h0
