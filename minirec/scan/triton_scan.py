"""The linear recurrence h_n = a_n h_{n-1} + b_n on the GPU, forward and backward, in Triton (notebook 10). Without autograd: see minirec.scan.

    B, N, D    rows (users), positions, channels; a, b, h and the gradients are [B, N, D], h0 is [B, D]
    lane       one of the B * D pairs (row, channel): a recurrence of its own, owned by one thread; a program owns BLOCK neighbouring lanes
    n          a position; w, of a chunk's positions in the order in which it walks, forward or backward. UNROLL of them are read together, and already while
               the UNROLL before them are worked on: a load written after a store would wait for it, as the compiler cannot know that they never meet
    h          the state, in a register, in float32 (float64 for float64), whatever the tensors' dtype
    g          the gradient of the loss with respect to h_n, by every way: grad_n + a_{n+1} g_{n+1}
    k          what flows backward out of position n: a_n g_n; so g_{n-1} = grad_{n-1} + k, and the k that leaves position 0 is h0's gradient
    C, length  number of chunks of time and positions in each (the last may be shorter); start [B, C, D] the state (or the k) that enters each chunk

One walk along time is all there is. Where the lanes alone do not fill the chip, time is cut into chunks, and the same walk runs three times: over each
chunk from zero, keeping only its end and its product of a; over these ends, one "position" a chunk; over each chunk again, from the state that truly
enters it. This reads a and b twice. A product beyond the dtype's range (|a| > 1 over a long chunk) is infinite, as the state itself would be.
"""

import os

import torch
import triton
import triton.language as tl
from torch import Tensor

INTERPRETED = os.environ.get("TRITON_INTERPRET", "").lower() in (
    "1",
    "true",
    "yes",
    "on",
)  # set before the import: the kernels run on any machine, slowly

# Not yet measured on a GPU; read off the compiler's output for one (sm_90): loads of 8 bytes where channels are adjacent, no register spilled.
BLOCK, WARPS = (
    64,
    1,
)  # two lanes a thread, one warp a program: small programs, so that few lanes still spread over many multiprocessors
UNROLL, UNROLL_BACK = 16, 8  # positions read together, of 2 tensors or of 3


@triton.jit
def _place(lanes, D, N, length, REVERSE: tl.constexpr, BLOCK: tl.constexpr):
    """This program's lane, row, channel, live (it exists), all [BLOCK]; chunk, its first position in walking order, how many it has, its place in start."""
    lane = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(
        0, BLOCK
    )  # 64 bits, as every offset made of it: tensors outgrow 2^31 elements
    chunk = tl.num_programs(1) - 1 - tl.program_id(1) if REVERSE else tl.program_id(1)
    count = tl.minimum(N - chunk * length, length)
    n = chunk * length + count - 1 if REVERSE else chunk * length
    return (
        lane,
        lane // D,
        lane % D,
        lane < lanes,
        chunk,
        n,
        count,
        (lane // D * tl.num_programs(1) + tl.program_id(1)) * D + lane % D,
    )


@triton.jit
def _state(ptr, place, live, ACC: tl.constexpr, BLOCK: tl.constexpr):
    """What stands at `place` [BLOCK]; zeros where there is no tensor."""
    return tl.full([BLOCK], 0, ACC) if ptr is None else tl.load(ptr + place, live).to(ACC)


@triton.jit
def _read(ptr, step, w, count, live, UNROLL: tl.constexpr):
    """The UNROLL positions of one tensor from w on, a tuple of [BLOCK], of which those before `count` exist; ptr: position 0 in walking order."""
    ptr, left, values = ptr + w * step, count - w, ()
    for u in tl.static_range(UNROLL):
        values += (tl.load(ptr, live & (u < left)),)
        ptr += step
    return values


@triton.jit(do_not_specialize=["N", "length"])
def _walk(
    a_ptr,
    b_ptr,
    start_ptr,
    h_ptr,
    a_row: tl.int64,
    a_step: tl.int64,
    a_channel,
    b_row: tl.int64,
    b_step: tl.int64,
    b_channel,
    lanes: tl.int64,
    D: tl.int64,
    N,
    length,
    ACC: tl.constexpr,
    BLOCK: tl.constexpr,
    UNROLL: tl.constexpr,
):
    lane, row, channel, live, chunk, n, count, place = _place(lanes, D, N, length, False, BLOCK)
    a_ptr += row * a_row + n * a_step + channel * a_channel
    b_ptr += row * b_row + n * b_step + channel * b_channel
    h_ptr += (row * N + n) * D + channel
    h = _state(start_ptr, place, live, ACC, BLOCK)
    next_a, next_b = (
        _read(a_ptr, a_step, 0, count, live, UNROLL),
        _read(b_ptr, b_step, 0, count, live, UNROLL),
    )
    for w in range(0, count, UNROLL):
        a, b = next_a, next_b
        next_a, next_b = (
            _read(a_ptr, a_step, w + UNROLL, count, live, UNROLL),
            _read(b_ptr, b_step, w + UNROLL, count, live, UNROLL),
        )
        for u in tl.static_range(UNROLL):
            h = a[u].to(ACC) * h + b[u].to(ACC)
            tl.store(h_ptr, h, live & (w + u < count))
            h_ptr += D


@triton.jit(do_not_specialize=["N", "length"])
def _walk_back(
    a_ptr,
    grad_ptr,
    h_ptr,
    h0_ptr,
    start_ptr,
    grad_a_ptr,
    grad_b_ptr,
    grad_h0_ptr,
    a_row: tl.int64,
    a_step: tl.int64,
    a_channel,
    g_row: tl.int64,
    g_step: tl.int64,
    g_channel,
    lanes: tl.int64,
    D: tl.int64,
    N,
    length,
    ACC: tl.constexpr,
    BLOCK: tl.constexpr,
    UNROLL: tl.constexpr,
):
    lane, row, channel, live, chunk, n, count, place = _place(lanes, D, N, length, True, BLOCK)
    a_ptr += row * a_row + n * a_step + channel * a_channel
    grad_ptr += row * g_row + n * g_step + channel * g_channel
    here = (row * N + n) * D + channel
    before_ptr, n_before = (
        h_ptr + here - D,
        count - (chunk == 0).to(tl.int32),
    )  # only position 0 has no h before it but h0
    k, h0 = _state(start_ptr, place, live, ACC, BLOCK), _state(h0_ptr, lane, live, ACC, BLOCK)
    next_a, next_grad = (
        _read(a_ptr, -a_step, 0, count, live, UNROLL),
        _read(grad_ptr, -g_step, 0, count, live, UNROLL),
    )
    next_before = _read(before_ptr, -D, 0, n_before, live, UNROLL)
    for w in range(0, count, UNROLL):
        a, grad, before = next_a, next_grad, next_before
        next_a, next_grad = (
            _read(a_ptr, -a_step, w + UNROLL, count, live, UNROLL),
            _read(grad_ptr, -g_step, w + UNROLL, count, live, UNROLL),
        )
        next_before = _read(before_ptr, -D, w + UNROLL, n_before, live, UNROLL)
        for u in tl.static_range(UNROLL):
            g = grad[u].to(ACC) + k
            tl.store(grad_b_ptr + here, g, live & (w + u < count))
            tl.store(
                grad_a_ptr + here,
                g * tl.where(w + u < n_before, before[u].to(ACC), h0),
                live & (w + u < count),
            )
            k = tl.where(w + u < count, a[u].to(ACC) * g, k)
            here -= D
    if grad_h0_ptr is not None:
        tl.store(grad_h0_ptr + lane, k, live & (chunk == 0))


@triton.jit(do_not_specialize=["N", "length"])
def _chunk_ends(
    a_ptr,
    b_ptr,
    product_ptr,
    end_ptr,
    a_row: tl.int64,
    a_step: tl.int64,
    a_channel,
    b_row: tl.int64,
    b_step: tl.int64,
    b_channel,
    lanes: tl.int64,
    D: tl.int64,
    N,
    length,
    REVERSE: tl.constexpr,
    ACC: tl.constexpr,
    BLOCK: tl.constexpr,
    UNROLL: tl.constexpr,
):
    lane, row, channel, live, chunk, n, count, place = _place(lanes, D, N, length, REVERSE, BLOCK)
    a_ptr += row * a_row + n * a_step + channel * a_channel
    b_ptr += row * b_row + n * b_step + channel * b_channel
    if REVERSE:
        a_step, b_step = -a_step, -b_step
    product, state = tl.full([BLOCK], 1, ACC), tl.full([BLOCK], 0, ACC)
    for w in range(0, count, UNROLL):
        a, b = (
            _read(a_ptr, a_step, w, count, live, UNROLL),
            _read(b_ptr, b_step, w, count, live, UNROLL),
        )
        for u in tl.static_range(UNROLL):
            after = (
                a[u].to(ACC) * (state + b[u].to(ACC))
                if REVERSE
                else a[u].to(ACC) * state + b[u].to(ACC)
            )
            state = tl.where(w + u < count, after, state)
            product = tl.where(w + u < count, product * a[u].to(ACC), product)
    tl.store(product_ptr + place, product, live)
    tl.store(end_ptr + place, state, live)


def scan_forward(
    a: Tensor, b: Tensor, h0: Tensor | None = None, *, n_chunks: int | None = None
) -> Tensor:
    """h_n = a_n h_{n-1} + b_n. a, b: [B, N, D], any strides; h0: [B, D], zeros if None -> h [B, N, D], contiguous, of b's dtype."""
    h = torch.empty(b.shape, dtype=b.dtype, device=b.device)
    start, chunked = _cut(b, n_chunks, h0, (a, b), REVERSE=False)
    launch(_walk, b, (a, b), start, h, **chunked)
    return h


def scan_backward(
    a: Tensor, h: Tensor, h0: Tensor | None, grad: Tensor, *, n_chunks: int | None = None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The gradients of a, b [B, N, D] and h0 [B, D] (None without h0) from grad [B, N, D], that of h. a, grad: any strides; h: scan_forward's."""
    grad_a, grad_b = (
        torch.empty(a.shape, dtype=a.dtype, device=a.device),
        torch.empty(h.shape, dtype=h.dtype, device=h.device),
    )
    h0, grad_h0 = (None, None) if h0 is None else (h0.contiguous(), h0.new_zeros(h0.shape))
    start, chunked = _cut(h, n_chunks, None, (a, grad), REVERSE=True)
    launch(
        _walk_back,
        h,
        (a, grad),
        h,
        h0,
        start,
        grad_a,
        grad_b,
        grad_h0,
        unroll=UNROLL_BACK,
        **chunked,
    )
    return grad_a, grad_b, grad_h0


def chunks_for(B: int, N: int, D: int, n_multiprocessors: int) -> int:
    """The number of chunks of time, 1 for a plain walk (notebook 10 counts lanes and bytes).

    A walk waits 0.6 us for memory once every UNROLL positions, and moves 12 bytes a position and lane, at 36 GB/s a multiprocessor (an H200's
    4.8 TB/s over its 132): so many lanes keep it busy, and chunks make twice as many. They move 20 bytes, which fewer than 4 do not make up for,
    and launch two more kernels, 5 us each, by which a short walk is over. A data sheet's figures and guesses, not measured here.
    """
    busy = n_multiprocessors * 36e9 * 0.6e-6 / (12 * UNROLL)
    C = min(N // UNROLL, int(2 * busy / max(1, B * D)))
    return C if C > 3 and N >= 512 else 1


def chunks(like: Tensor, n_chunks: int | None = None) -> tuple[int, int]:
    """How many chunks a tensor [B, N, D] is walked in, and how many positions each has; none is empty. n_chunks: asked for by the caller."""
    B, N, D = like.shape
    if n_chunks is None:
        n_chunks = chunks_for(
            B,
            N,
            D,
            torch.cuda.get_device_properties(like.device).multi_processor_count
            if like.is_cuda
            else 132,
        )
    length = max(
        1, triton.cdiv(N, max(1, min(n_chunks, N, 2**15)))
    )  # a grid's second axis ends at 65,535
    return max(1, triton.cdiv(N, length)), length


def _cut(
    like: Tensor, n_chunks: int | None, start: Tensor | None, strided: tuple, REVERSE: bool
) -> tuple[Tensor | None, dict[str, int]]:
    """What enters each chunk in walking order, [B, C, D]: start [B, D] (None: zeros), then what a walk over the chunks' ends gives; C and length."""
    (B, _, D), (C, length) = like.shape, chunks(like, n_chunks)
    chunked = {"C": C, "length": length}
    if C == 1:
        return None if start is None else start.contiguous(), chunked
    product, end = torch.empty(
        (2, B, C, D), dtype=torch.promote_types(like.dtype, torch.float32), device=like.device
    )
    launch(_chunk_ends, like, strided, product, end, REVERSE=REVERSE, **chunked)
    first = torch.zeros_like(end[:, 0]) if start is None else start.to(end.dtype)
    return torch.cat(
        [first[:, None], scan_forward(product, end, first, n_chunks=1)[:, :-1]], dim=1
    ), chunked


def launch(
    kernel,
    like: Tensor,
    strided: tuple[Tensor, ...],
    *others: Tensor | None,
    C: int = 1,
    unroll: int | None = None,
    **constants,
) -> None:
    """Runs a kernel over all lanes and C chunks of a [B, N, D] tensor, on its device. strided: tensors whose strides it takes; others: contiguous."""
    if like.numel() == 0:
        return
    (B, N, D), strides = like.shape, [stride for tensor in strided for stride in tensor.stride()]
    block, unroll, accumulator = (
        min(BLOCK, triton.next_power_of_2(B * D)),
        unroll or UNROLL,
        tl.float32,
    )
    if like.dtype == torch.float64:  # twice the registers a number
        unroll, accumulator = max(1, unroll // 2), tl.float64
    with torch.cuda.device_of(like):
        kernel[(triton.cdiv(B * D, block), C)](
            *strided,
            *others,
            *strides,
            B * D,
            D,
            N,
            ACC=accumulator,
            BLOCK=block,
            UNROLL=unroll,
            num_warps=WARPS,
            **constants,
        )
