"""The fused BD-LRU on the GPU, in Triton: gates, recurrence and output gate in one pass, and back.

RecBLR, Eqs. 5 to 8. Notebook 11 derives both passes, notebook 12 what kernels ask for.

    r, i       the recurrence gate and the input gate before their sigmoids s_r and s_i; side by
               side in `gates` [B, N, 2H]
    x, z       the input, and the output's gate before its SiLU; [B, N, H]
    decay      softplus(Lambda) >= 0, [H]
    t          decay * s_r = -log alpha >= 0
    beta       sqrt(1 - alpha^2) = sqrt(-expm1(-2 t))
    h, y       h_n = alpha_n h_{n-1} + beta_n s_i x_n;   y_n = SiLU(z_n) h_n
    G          the gradient with respect to h_n: grad_y_n SiLU(z_n) + k_{n+1}
    k          what flows backward out of position n: alpha_n G_n
    q          t times the gradient of t = -G alpha h_{n-1} t + G s_i x alpha^2 t / beta; from it
               r's gradient, q (1 - s_r), and decay's, sum(q) / decay
    not_r      1 - s_r, and so on

Lanes, tiles, strides and the rest are minirec.scan.triton_scan's, but time is one chunk, and w
counts its positions: where lanes are few, `bd_lru` takes the formula, around the scan that has
more chunks.
"""

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from minirec.scan.launching import launch
from minirec.scan.triton_scan import load_state, load_tile, own_lanes

# exp(x) = exp2(x log2 e): exp2 is one instruction, exp five.
LOG2_E = tl.constexpr(1.4426950408889634)

# (1 - exp(-t)) / t as a series: the coefficients of t^0, t^1, ...
SERIES = tl.constexpr(tuple((-1) ** k / math.factorial(k + 1) for k in range(12)))

# Lanes of a program and warps that share them; positions in a tile, of 4 tensors forward and of 6
# backward; whether the walk backwards reads a tile while the one before is worked on. Measured on
# an H200 with these values only: both passes at [2048, 200, 128] take 1.9 times what their bytes
# need in float32, 3.3 times in bfloat16. For an H100 or H200 the compiler turns an element into 86
# instructions forward and 155 backward, half of them for addresses and masks, and gives a thread
# 168 and 128 registers; with 128 lanes to a warp it is 73 and 121. Reading ahead, the walk
# backwards needs 231 registers. minirec.experiments.benchmarks.kernels lists what to time.
BLOCK = 64
WARPS = 1
UNROLL = 8
UNROLL_BACK = 4
PREFETCH_BACK = False


@triton.jit
def _sigmoid(x: tl.tensor) -> tuple[tl.tensor, tl.tensor]:
    """Return sigmoid(x) and 1 - sigmoid(x).

    Nothing is subtracted, so neither loses digits; below x = -86, sigmoid(x) stays at 2e-38.
    """
    e = tl.exp2(tl.minimum(x * -LOG2_E, 125))
    root = tl.rsqrt(1 + e)  # one instruction, where a division takes eight
    return root * root, e * root * root


@triton.jit
def _alpha_beta(t: tl.tensor) -> tuple[tl.tensor, tl.tensor, tl.tensor]:
    """Return alpha = exp(-t), beta = sqrt(1 - alpha^2) and t / beta.

    With v = 1 - alpha, beta^2 = v (2 - v). A small v comes from a series, as 1 - exp(-t) cancels.
    """
    # v / t = 1 - t/2! + t^2/3! - ..., by Horner's rule. Below t = 0.25 the first term left out,
    # t^TERMS / (TERMS + 1)!, is less than a rounding of the first one.
    TERMS: tl.constexpr = 12 if t.dtype == tl.float64 else 6
    series = tl.full(t.shape, SERIES[TERMS - 1], t.dtype)
    for j in tl.static_range(1, TERMS):
        series = series * t + SERIES[TERMS - 1 - j]

    alpha = tl.exp2(-t * LOG2_E)
    v = tl.where(t < 0.25, t * series, 1 - alpha)

    # As t goes to 0, so does t / beta, like sqrt(t / 2), though the root's slope 1 / beta has no
    # bound.
    squared = tl.maximum(v * (2 - v), 1e-37)
    root = tl.rsqrt(squared)
    return alpha, squared * root, t * root


@triton.jit(do_not_specialize=["N"])
def _walk(
    r_ptr: tl.tensor,
    x_ptr: tl.tensor,
    z_ptr: tl.tensor,
    i_ptr: tl.tensor,
    decay_ptr: tl.tensor,
    h0_ptr: tl.tensor,
    y_ptr: tl.tensor,
    h_ptr: tl.tensor,
    g_row: tl.int64,
    g_step: tl.int64,
    g_channel: tl.tensor,
    x_row: tl.int64,
    x_step: tl.int64,
    x_channel: tl.tensor,
    z_row: tl.int64,
    z_step: tl.int64,
    z_channel: tl.tensor,
    lanes: tl.int64,
    H: tl.int64,
    N: tl.tensor,
    ACC: tl.constexpr,
    BLOCK: tl.constexpr,
    UNROLL: tl.constexpr,
) -> None:
    """Walk forwards and write every output and state. g_row, g_step, g_channel: gates' strides."""
    lane, row, channel, live = own_lanes(lanes, H, BLOCK)
    r_ptr += row * g_row + channel * g_channel
    i_ptr += row * g_row + channel * g_channel
    x_ptr += row * x_row + channel * x_channel
    z_ptr += row * z_row + channel * z_channel
    here = row * N * H + channel  # in y and h, which are contiguous

    decay = tl.load(decay_ptr + channel).to(ACC)
    h = load_state(h0_ptr, lane, live, ACC, BLOCK)
    next_r = load_tile(r_ptr, g_step, 0, N, live, UNROLL)
    next_i = load_tile(i_ptr, g_step, 0, N, live, UNROLL)
    next_x = load_tile(x_ptr, x_step, 0, N, live, UNROLL)
    next_z = load_tile(z_ptr, z_step, 0, N, live, UNROLL)
    for w in range(0, N, UNROLL):
        r = next_r
        i = next_i
        x = next_x
        z = next_z
        # The next tile is on its way while this one is worked on.
        next_r = load_tile(r_ptr, g_step, w + UNROLL, N, live, UNROLL)
        next_i = load_tile(i_ptr, g_step, w + UNROLL, N, live, UNROLL)
        next_x = load_tile(x_ptr, x_step, w + UNROLL, N, live, UNROLL)
        next_z = load_tile(z_ptr, z_step, w + UNROLL, N, live, UNROLL)

        for u in tl.static_range(UNROLL):
            s_r, _ = _sigmoid(r[u].to(ACC))
            alpha, beta, _ = _alpha_beta(decay * s_r)
            s_i, _ = _sigmoid(i[u].to(ACC))
            h = alpha * h + beta * s_i * x[u].to(ACC)
            tl.store(h_ptr + here, h, live & (w + u < N))

            z_n = z[u].to(ACC)
            s_z, _ = _sigmoid(z_n)
            tl.store(y_ptr + here, z_n * s_z * h, live & (w + u < N))
            here += H


@triton.jit
def _load_tiles(
    r_ptr: tl.tensor,
    i_ptr: tl.tensor,
    x_ptr: tl.tensor,
    z_ptr: tl.tensor,
    grad_ptr: tl.tensor,
    before_ptr: tl.tensor,
    g_step: tl.tensor,
    x_step: tl.tensor,
    z_step: tl.tensor,
    y_step: tl.tensor,
    H: tl.tensor,
    w: tl.tensor,
    N: tl.tensor,
    live: tl.tensor,
    UNROLL: tl.constexpr,
) -> tuple[tuple[tl.tensor, ...], ...]:
    """Load the tiles of the walk backwards from w on: r, i, x, z, y's gradient and h_{n-1}."""
    r = load_tile(r_ptr, -g_step, w, N, live, UNROLL)
    i = load_tile(i_ptr, -g_step, w, N, live, UNROLL)
    x = load_tile(x_ptr, -x_step, w, N, live, UNROLL)
    z = load_tile(z_ptr, -z_step, w, N, live, UNROLL)
    grad = load_tile(grad_ptr, -y_step, w, N, live, UNROLL)
    before = load_tile(before_ptr, -H, w, N - 1, live, UNROLL)
    return r, i, x, z, grad, before


@triton.jit(do_not_specialize=["N"])
def _walk_back(
    r_ptr: tl.tensor,
    x_ptr: tl.tensor,
    z_ptr: tl.tensor,
    grad_ptr: tl.tensor,
    i_ptr: tl.tensor,
    decay_ptr: tl.tensor,
    h_ptr: tl.tensor,
    h0_ptr: tl.tensor,
    grad_last_ptr: tl.tensor,
    grad_r_ptr: tl.tensor,
    grad_i_ptr: tl.tensor,
    grad_x_ptr: tl.tensor,
    grad_z_ptr: tl.tensor,
    q_ptr: tl.tensor,
    grad_h0_ptr: tl.tensor,
    g_row: tl.int64,
    g_step: tl.int64,
    g_channel: tl.tensor,
    x_row: tl.int64,
    x_step: tl.int64,
    x_channel: tl.tensor,
    z_row: tl.int64,
    z_step: tl.int64,
    z_channel: tl.tensor,
    y_row: tl.int64,
    y_step: tl.int64,
    y_channel: tl.tensor,
    lanes: tl.int64,
    H: tl.int64,
    N: tl.tensor,
    PREFETCH: tl.constexpr,
    ACC: tl.constexpr,
    BLOCK: tl.constexpr,
    UNROLL: tl.constexpr,
) -> None:
    """Walk backwards and write all gradients, q summed over each lane.

    g_row, g_step, g_channel: gates' strides; y_row, y_step, y_channel: those of y's gradient.
    """
    lane, row, channel, live = own_lanes(lanes, H, BLOCK)
    n = N - 1  # where the walk begins
    r_ptr += row * g_row + n * g_step + channel * g_channel
    i_ptr += row * g_row + n * g_step + channel * g_channel
    x_ptr += row * x_row + n * x_step + channel * x_channel
    z_ptr += row * z_row + n * z_step + channel * z_channel
    grad_ptr += row * y_row + n * y_step + channel * y_channel
    here = (row * N + n) * H + channel  # in h and in x's and z's gradients, contiguous
    out = (row * N + n) * 2 * H + channel  # in the gradients of r and i, the halves of gates'
    before_ptr = h_ptr + here - H  # h_{n-1} goes with position n

    decay = tl.load(decay_ptr + channel).to(ACC)
    q_sum = tl.full([BLOCK], 0, ACC)
    h = tl.load(h_ptr + here, live).to(ACC)
    h0 = load_state(h0_ptr, lane, live, ACC, BLOCK)
    k = load_state(grad_last_ptr, lane, live, ACC, BLOCK)
    if PREFETCH:
        next_tiles = _load_tiles(
            r_ptr,
            i_ptr,
            x_ptr,
            z_ptr,
            grad_ptr,
            before_ptr,
            g_step,
            x_step,
            z_step,
            y_step,
            H,
            0,
            N,
            live,
            UNROLL,
        )
    for w in range(0, N, UNROLL):
        # Reading ahead, the next tile is on its way while this one is worked on.
        loaded = _load_tiles(
            r_ptr,
            i_ptr,
            x_ptr,
            z_ptr,
            grad_ptr,
            before_ptr,
            g_step,
            x_step,
            z_step,
            y_step,
            H,
            w + UNROLL if PREFETCH else w,
            N,
            live,
            UNROLL,
        )
        if PREFETCH:
            r, i, x, z, grad, before = next_tiles
            next_tiles = loaded
        else:
            r, i, x, z, grad, before = loaded

        for u in tl.static_range(UNROLL):
            h_before = tl.where(w + u < N - 1, before[u].to(ACC), h0)
            inside = live & (w + u < N)
            x_n = x[u].to(ACC)
            z_n = z[u].to(ACC)
            grad_n = grad[u].to(ACC)

            # What the forward walk had, computed again.
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

            # Beyond the beginning k and q_sum stay as they are: nothing was read there.
            h = h_before
            k = tl.where(w + u < N, alpha * G, k)
            q_sum = tl.where(w + u < N, q_sum + q, q_sum)
            here -= H
            out -= 2 * H

    tl.store(q_ptr + lane, q_sum, live)
    if grad_h0_ptr is not None:
        tl.store(grad_h0_ptr + lane, k, live)


def bd_lru_forward(
    gates: Tensor, x: Tensor, z: Tensor, decay: Tensor, h0: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Compute the BD-LRU's outputs and states.

    Parameters
    ----------
    gates : Tensor
        r and i side by side [B, N, 2H], of any strides.
    x, z : Tensor
        The input and the output's gate [B, N, H], of any strides.
    decay : Tensor
        softplus(Lambda) [H].
    h0 : Tensor, optional
        The state before the first position [B, H]; zeros unless given.

    Returns
    -------
    y, h : Tensor
        Outputs and states [B, N, H], of x's dtype.

    References
    ----------
    Notebook 11.
    """
    y = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    h = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    if h0 is not None:
        h0 = h0.contiguous()

    # r and i have the same strides: the kernel takes them once, from r.
    r, i = gates.chunk(2, dim=-1)
    launch(
        _walk,
        x,
        (r, x, z),
        (i, decay.contiguous(), h0, y, h),
        block=BLOCK,
        warps=WARPS,
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
    """Compute the gradients of the inputs from those of the outputs.

    Parameters
    ----------
    gates, x, z, decay, h0
        As in `bd_lru_forward`; at least one position.
    h : Tensor
        The states that `bd_lru_forward` gave [B, N, H].
    grad_y : Tensor
        The gradient of y [B, N, H], of any strides.
    grad_last : Tensor, optional
        The gradient of the final state h[:, -1] [B, H]; zeros unless given.

    Returns
    -------
    grad_gates, grad_x, grad_z : Tensor
        The gradients of gates [B, N, 2H], x and z [B, N, H].
    grad_log_decay : Tensor
        The gradient of log decay [H], in float32, or float64 for float64; divided by decay, that
        of decay.
    grad_h0 : Tensor or None
        [B, H]; None without h0.

    References
    ----------
    Notebook 11.
    """
    B, _, H = x.shape
    grad_gates = torch.empty(gates.shape, dtype=gates.dtype, device=gates.device)
    grad_x = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    grad_z = torch.empty(z.shape, dtype=z.dtype, device=z.device)

    # q summed over each lane; the sum over rows follows below.
    if x.numel() > 0:
        q = torch.empty((B, H), dtype=decay.dtype, device=x.device)
    else:
        q = decay.new_zeros(1, H)  # no kernel will run

    grad_h0 = None
    if h0 is not None:
        h0 = h0.contiguous()
        grad_h0 = torch.zeros_like(h0)
    if grad_last is not None:
        grad_last = grad_last.contiguous()

    r, i = gates.chunk(2, dim=-1)
    grad_r, grad_i = grad_gates.chunk(2, dim=-1)
    launch(
        _walk_back,
        x,
        (r, x, z, grad_y),
        (
            i,
            decay.contiguous(),
            h,
            h0,
            grad_last,
            grad_r,
            grad_i,
            grad_x,
            grad_z,
            q,
            grad_h0,
        ),
        block=BLOCK,
        warps=WARPS,
        unroll=UNROLL_BACK,
        more=(PREFETCH_BACK,),
    )
    return grad_gates, grad_x, grad_z, q.sum(0), grad_h0
