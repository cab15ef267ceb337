"""The linear recurrence h_n = a_n h_{n-1} + b_n on the GPU, forward and backward, in Triton.

Notebook 10 derives it. Without autograd: that is in minirec.scan.recurrence.

    B, N, D    rows (users), positions, channels; a, b, h and the gradients are [B, N, D],
               h0 is [B, D]
    lane       one of the B * D pairs (row, channel): a recurrence of its own, owned by one
               thread; a program owns BLOCK neighbouring lanes
    live       which of a program's lanes exist
    n          a position
    w          a position of a chunk, counted in the order of the walk, forward or backward
    tile       UNROLL positions that are read together, and already while the tile before them is
               worked on: a load written after a store would wait for it, as the compiler cannot
               know that the two never meet
    h          the state, in a register, in float32 (float64 for float64), whatever the tensors'
               dtype
    g          the gradient of the loss with respect to h_n, by every way: grad_n + a_{n+1} g_{n+1}
    k          what flows backward out of position n: a_n g_n; so g_{n-1} = grad_{n-1} + k, and
               the k that leaves position 0 is h0's gradient
    C, length  number of chunks of time, and positions in each (the last may be shorter)
    start      [B, C, D], the state (or the k) that enters each chunk, in the order of the walk

    x_row, x_step, x_channel    x's strides: elements from row to row, from position to position
                                and from channel to channel
    ACC        the type of the arithmetic

One walk along time is all there is. Where the lanes alone do not fill the chip, time is cut into
chunks, and the same walk runs three times: over each chunk from zero, keeping only its end and
its product of a; over these ends, with one "position" per chunk; over each chunk again, from the
state that truly enters it. This reads a and b twice. A product beyond the dtype's range (|a| > 1
over a long chunk) is infinite, as the state itself would be.
"""

import os

import torch
import triton
import triton.language as tl
from torch import Tensor

# Whether the kernels run in Triton's interpreter: on any machine, slowly. The variable must be
# set before this module is imported.
INTERPRETED = os.environ.get("TRITON_INTERPRET", "").lower() in ("1", "true", "yes", "on")

# Two lanes per thread and one warp per program: small programs, so that few lanes still spread
# over many multiprocessors. Measured on an H200 at [2048, 200, 128] in float32: the bare kernels
# reach 76% of a copy's bandwidth forward and 82% backward. This is the best of six pairs of BLOCK
# and WARPS; narrower and wider programs and more warps lose 5 to 20%.
BLOCK = 64
WARPS = 1

# Positions in a tile, of 2 tensors forward and of 3 backward. All six pairs were measured with
# these; other values were not. The compiler's output for an H100 or H200 (sm_90) has loads of
# 8 bytes where channels are adjacent, and no register spilled.
UNROLL = 16
UNROLL_BACK = 8


# ----- What all kernels share ---------------------------------------------------------------------
#
# Parameters are annotated tl.tensor even where a whole number is passed, or None for a pointer:
# Triton then makes a stride of 1 a constant, from which it learns that channels are adjacent.
# Annotated tl.int64, a number is always passed as one.


@triton.jit
def own_lanes(
    lanes: tl.tensor,
    D: tl.tensor,
    BLOCK: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor, tl.tensor, tl.tensor]:
    """Return this program's lanes, their rows and channels, and which exist; [BLOCK] each."""
    # 64 bits, as every offset made of it: tensors outgrow 2^31 elements.
    lane = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    return lane, lane // D, lane % D, lane < lanes


@triton.jit
def own_chunk(
    N: tl.tensor,
    length: tl.tensor,
    REVERSE: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor, tl.tensor]:
    """Return this program's chunk, the position where its walk begins, and its length."""
    chunk = tl.program_id(1)
    if REVERSE:
        chunk = tl.num_programs(1) - 1 - chunk
    count = tl.minimum(N - chunk * length, length)
    n = chunk * length
    if REVERSE:
        n = n + count - 1
    return chunk, n, count


@triton.jit
def start_place(row: tl.tensor, channel: tl.tensor, D: tl.tensor) -> tl.tensor:
    """Return where in `start` [B, C, D] this program's lanes have their entry; [BLOCK]."""
    return (row * tl.num_programs(1) + tl.program_id(1)) * D + channel


@triton.jit
def load_state(
    ptr: tl.tensor,
    place: tl.tensor,
    live: tl.tensor,
    ACC: tl.constexpr,
    BLOCK: tl.constexpr,
) -> tl.tensor:
    """Load what stands at `place` [BLOCK]; zeros where there is no tensor (ptr is None)."""
    return tl.full([BLOCK], 0, ACC) if ptr is None else tl.load(ptr + place, live).to(ACC)


@triton.jit
def load_tile(
    ptr: tl.tensor,
    step: tl.tensor,
    w: tl.tensor,
    count: tl.tensor,
    live: tl.tensor,
    UNROLL: tl.constexpr,
) -> tuple[tl.tensor, ...]:
    """Load one tensor's tile from w on: UNROLL positions, a tuple of [BLOCK].

    ptr points to w = 0, and `step` leads from one position of the walk to the next. Only those
    before `count` exist; the others are not read.
    """
    ptr += w * step
    left = count - w
    values = ()
    for u in tl.static_range(UNROLL):  # unrolled by the compiler, which knows values' length
        value = tl.load(ptr, live & (u < left))
        values += (value,)  # type: ignore[assignment]  # mypy takes () for its type
        ptr += step
    return values


# ----- The kernels --------------------------------------------------------------------------------


@triton.jit(do_not_specialize=["N", "length"])
def _walk(
    a_ptr: tl.tensor,
    b_ptr: tl.tensor,
    start_ptr: tl.tensor,
    h_ptr: tl.tensor,
    a_row: tl.int64,
    a_step: tl.int64,
    a_channel: tl.tensor,
    b_row: tl.int64,
    b_step: tl.int64,
    b_channel: tl.tensor,
    lanes: tl.int64,
    D: tl.int64,
    N: tl.tensor,
    length: tl.tensor,
    ACC: tl.constexpr,
    BLOCK: tl.constexpr,
    UNROLL: tl.constexpr,
) -> None:
    """Walk forwards over this program's chunk and write every state."""
    _, row, channel, live = own_lanes(lanes, D, BLOCK)
    _, n, count = own_chunk(N, length, False)
    a_ptr += row * a_row + n * a_step + channel * a_channel
    b_ptr += row * b_row + n * b_step + channel * b_channel
    h_ptr += (row * N + n) * D + channel  # h is contiguous

    h = load_state(start_ptr, start_place(row, channel, D), live, ACC, BLOCK)
    next_a = load_tile(a_ptr, a_step, 0, count, live, UNROLL)
    next_b = load_tile(b_ptr, b_step, 0, count, live, UNROLL)
    for w in range(0, count, UNROLL):
        a = next_a
        b = next_b
        # The next tile is on its way while this one is worked on.
        next_a = load_tile(a_ptr, a_step, w + UNROLL, count, live, UNROLL)
        next_b = load_tile(b_ptr, b_step, w + UNROLL, count, live, UNROLL)

        for u in tl.static_range(UNROLL):
            h = a[u].to(ACC) * h + b[u].to(ACC)
            tl.store(h_ptr, h, live & (w + u < count))
            h_ptr += D


@triton.jit(do_not_specialize=["N", "length"])
def _walk_back(
    a_ptr: tl.tensor,
    grad_ptr: tl.tensor,
    h_ptr: tl.tensor,
    h0_ptr: tl.tensor,
    start_ptr: tl.tensor,
    grad_a_ptr: tl.tensor,
    grad_b_ptr: tl.tensor,
    grad_h0_ptr: tl.tensor,
    a_row: tl.int64,
    a_step: tl.int64,
    a_channel: tl.tensor,
    g_row: tl.int64,
    g_step: tl.int64,
    g_channel: tl.tensor,
    lanes: tl.int64,
    D: tl.int64,
    N: tl.tensor,
    length: tl.tensor,
    ACC: tl.constexpr,
    BLOCK: tl.constexpr,
    UNROLL: tl.constexpr,
) -> None:
    """Walk backwards over this program's chunk and write the gradients of a, b and h0."""
    lane, row, channel, live = own_lanes(lanes, D, BLOCK)
    chunk, n, count = own_chunk(N, length, True)
    a_ptr += row * a_row + n * a_step + channel * a_channel
    grad_ptr += row * g_row + n * g_step + channel * g_channel
    here = (row * N + n) * D + channel  # in h and in the gradients, which are contiguous

    # h_{n-1} goes with position n. Only position 0 has no h before it but h0.
    before_ptr = h_ptr + here - D
    n_before = count - (chunk == 0).to(tl.int32)

    k = load_state(start_ptr, start_place(row, channel, D), live, ACC, BLOCK)
    h0 = load_state(h0_ptr, lane, live, ACC, BLOCK)
    next_a = load_tile(a_ptr, -a_step, 0, count, live, UNROLL)
    next_grad = load_tile(grad_ptr, -g_step, 0, count, live, UNROLL)
    next_before = load_tile(before_ptr, -D, 0, n_before, live, UNROLL)
    for w in range(0, count, UNROLL):
        a = next_a
        grad = next_grad
        before = next_before
        # The next tile is on its way while this one is worked on.
        next_a = load_tile(a_ptr, -a_step, w + UNROLL, count, live, UNROLL)
        next_grad = load_tile(grad_ptr, -g_step, w + UNROLL, count, live, UNROLL)
        next_before = load_tile(before_ptr, -D, w + UNROLL, n_before, live, UNROLL)

        for u in tl.static_range(UNROLL):
            g = grad[u].to(ACC) + k
            tl.store(grad_b_ptr + here, g, live & (w + u < count))
            h_before = tl.where(w + u < n_before, before[u].to(ACC), h0)
            tl.store(grad_a_ptr + here, g * h_before, live & (w + u < count))
            # Beyond the chunk's end k stays as it is: a and grad were not read there.
            k = tl.where(w + u < count, a[u].to(ACC) * g, k)
            here -= D

    if grad_h0_ptr is not None:
        tl.store(grad_h0_ptr + lane, k, live & (chunk == 0))


@triton.jit(do_not_specialize=["N", "length"])
def _chunk_ends(
    a_ptr: tl.tensor,
    b_ptr: tl.tensor,
    product_ptr: tl.tensor,
    end_ptr: tl.tensor,
    a_row: tl.int64,
    a_step: tl.int64,
    a_channel: tl.tensor,
    b_row: tl.int64,
    b_step: tl.int64,
    b_channel: tl.tensor,
    lanes: tl.int64,
    D: tl.int64,
    N: tl.tensor,
    length: tl.tensor,
    REVERSE: tl.constexpr,
    ACC: tl.constexpr,
    BLOCK: tl.constexpr,
    UNROLL: tl.constexpr,
) -> None:
    """Walk over this program's chunk from zero; write only where it ends and its product of a.

    Under REVERSE b is the gradient of h, and the end is the k that leaves the chunk.
    """
    _, row, channel, live = own_lanes(lanes, D, BLOCK)
    _, n, count = own_chunk(N, length, REVERSE)
    a_ptr += row * a_row + n * a_step + channel * a_channel
    b_ptr += row * b_row + n * b_step + channel * b_channel
    if REVERSE:
        a_step = -a_step
        b_step = -b_step

    product = tl.full([BLOCK], 1, ACC)
    state = tl.full([BLOCK], 0, ACC)
    for w in range(0, count, UNROLL):
        a = load_tile(a_ptr, a_step, w, count, live, UNROLL)
        b = load_tile(b_ptr, b_step, w, count, live, UNROLL)
        for u in tl.static_range(UNROLL):
            if REVERSE:
                after = a[u].to(ACC) * (state + b[u].to(ACC))
            else:
                after = a[u].to(ACC) * state + b[u].to(ACC)
            # Beyond the chunk's end both stay as they are: a and b were not read there.
            state = tl.where(w + u < count, after, state)
            product = tl.where(w + u < count, product * a[u].to(ACC), product)

    place = start_place(row, channel, D)
    tl.store(product_ptr + place, product, live)
    tl.store(end_ptr + place, state, live)


# ----- Tensors in, tensors out --------------------------------------------------------------------


def scan_forward(
    a: Tensor, b: Tensor, h0: Tensor | None = None, *, n_chunks: int | None = None
) -> Tensor:
    """Compute h_n = a_n h_{n-1} + b_n.

    Parameters
    ----------
    a, b : Tensor
        Coefficients and inputs [B, N, D], of any strides.
    h0 : Tensor, optional
        The state before the first position [B, D]; zeros unless given.
    n_chunks : int, optional
        Chunks of time; `chunks_for` chooses unless given.

    Returns
    -------
    Tensor
        The states [B, N, D], contiguous, of b's dtype.

    References
    ----------
    Notebook 10.
    """
    h = torch.empty(b.shape, dtype=b.dtype, device=b.device)
    n_chunks, length = chunks(b, n_chunks)
    start = _chunk_starts(b, (a, b), h0, n_chunks, length, reverse=False)
    launch(_walk, b, (a, b), start, h, n_chunks=n_chunks, length=length)
    return h


def scan_backward(
    a: Tensor, h: Tensor, h0: Tensor | None, grad: Tensor, *, n_chunks: int | None = None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Compute the gradients of a, b and h0 from that of h.

    Parameters
    ----------
    a : Tensor
        The coefficients [B, N, D], of any strides.
    h : Tensor
        The states that `scan_forward` gave [B, N, D].
    h0 : Tensor or None
        As in `scan_forward`.
    grad : Tensor
        The gradient of h [B, N, D], of any strides.
    n_chunks : int, optional
        Chunks of time; `chunks_for` chooses unless given.

    Returns
    -------
    grad_a, grad_b : Tensor
        [B, N, D], contiguous.
    grad_h0 : Tensor or None
        [B, D]; None without h0.

    References
    ----------
    Notebooks 09 and 10.
    """
    grad_a = torch.empty(a.shape, dtype=a.dtype, device=a.device)
    grad_b = torch.empty(h.shape, dtype=h.dtype, device=h.device)
    grad_h0 = None
    if h0 is not None:
        h0 = h0.contiguous()
        grad_h0 = torch.zeros_like(h0)

    n_chunks, length = chunks(h, n_chunks)
    start = _chunk_starts(h, (a, grad), None, n_chunks, length, reverse=True)
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
        n_chunks=n_chunks,
        unroll=UNROLL_BACK,
        length=length,
    )
    return grad_a, grad_b, grad_h0


def chunks_for(B: int, N: int, D: int, n_multiprocessors: int) -> int:
    """Choose a number of chunks of time from a count of lanes and bytes.

    A walk waits 0.6 us for memory once every UNROLL positions, and moves 12 bytes per position
    and lane, at 36 GB/s per multiprocessor (an H200's 4.8 TB/s over its 132): so many lanes keep
    it busy, and chunks make twice as many. They move 20 bytes, which fewer than 4 chunks do not
    make up for, and launch two more kernels, counted as 5 us each, by which time a short walk is
    over.

    These are a data sheet's figures and guesses, and measured on an H200 the choice is often
    wrong: a chunked walk takes about 0.19 ms to launch each way, so at the widths measured it
    never paid at N = 1,024 and below, and where it paid it wanted more chunks than it gets here
    ([1, 65536, 512]: 256 to 1,024 instead of 58).

    Parameters
    ----------
    B, N, D : int
        Rows, positions and channels.
    n_multiprocessors : int
        Multiprocessors of the GPU.

    Returns
    -------
    int
        The number of chunks; 1 for a plain walk.

    References
    ----------
    Notebook 10.
    """
    seconds_per_wait = 0.6e-6
    bytes_per_second = n_multiprocessors * 36e9
    bytes_per_wait = 12 * UNROLL  # of one lane
    lanes_to_be_busy = bytes_per_second * seconds_per_wait / bytes_per_wait

    n_chunks = int(2 * lanes_to_be_busy / max(1, B * D))
    n_chunks = min(N // UNROLL, n_chunks)
    if n_chunks < 4 or N < 512:
        return 1
    return n_chunks


def chunks(like: Tensor, n_chunks: int | None = None) -> tuple[int, int]:
    """Cut the time of a tensor into chunks of one length, none of them empty.

    Parameters
    ----------
    like : Tensor
        [B, N, D].
    n_chunks : int, optional
        How many the caller asks for; `chunks_for` chooses unless given.

    Returns
    -------
    n_chunks, length : int
        How many chunks there are, and how many positions each has (the last may have fewer).
    """
    B, N, D = like.shape
    if n_chunks is None:
        n_multiprocessors = 132  # an H200's, where there is no GPU to ask, as for fake tensors
        if like.is_cuda and torch.cuda.is_initialized():
            properties = torch.cuda.get_device_properties(like.device)
            n_multiprocessors = properties.multi_processor_count
        n_chunks = chunks_for(B, N, D, n_multiprocessors)

    n_chunks = max(1, min(n_chunks, N, 2**15))  # a grid's second axis ends at 65,535
    length = max(1, triton.cdiv(N, n_chunks))
    # With the length rounded up, fewer chunks may be enough.
    return max(1, triton.cdiv(N, length)), length


def _chunk_starts(
    like: Tensor,
    strided: tuple[Tensor, Tensor],
    start: Tensor | None,
    n_chunks: int,
    length: int,
    *,
    reverse: bool,
) -> Tensor | None:
    """Find what enters each chunk, in the order of the walk: [B, C, D].

    strided: a with b, or, walking backwards, a with the gradient of h. start [B, D] enters the
    first chunk; None: zeros. One chunk needs no more than start, which stays None if it is.
    """
    if n_chunks == 1:
        return None if start is None else start.contiguous()

    B, _, D = like.shape
    dtype = torch.promote_types(like.dtype, torch.float32)

    # 1. Walk every chunk from zero; keep where it ends and its product of a.
    product = torch.empty((B, n_chunks, D), dtype=dtype, device=like.device)
    end = torch.empty((B, n_chunks, D), dtype=dtype, device=like.device)
    launch(
        _chunk_ends,
        like,
        strided,
        product,
        end,
        n_chunks=n_chunks,
        length=length,
        REVERSE=reverse,
    )

    # 2. Scan over the chunks: after_c = product_c * before_c + end_c.
    first = torch.zeros_like(end[:, 0]) if start is None else start.to(dtype)
    after = scan_forward(product, end, first, n_chunks=1)

    # 3. A chunk starts where the one before it ended.
    return torch.cat([first[:, None], after[:, :-1]], dim=1)


def launch(
    kernel: triton.JITFunction,
    like: Tensor,
    strided: tuple[Tensor, ...],
    *others: Tensor | None,
    n_chunks: int = 1,
    unroll: int | None = None,
    **named: int,
) -> None:
    """Run a kernel over all lanes and chunks of a tensor, on its device.

    A kernel takes, in this order: the strided tensors, the others, the strides of the strided
    ones (row, step, channel of each), the number of lanes, D, N; the rest by name.

    Parameters
    ----------
    kernel : triton.JITFunction
        What to run.
    like : Tensor
        [B, N, D]: gives the numbers of lanes and positions, the device and the arithmetic's type.
    strided : tuple of Tensor
        Tensors whose strides the kernel takes.
    *others : Tensor or None
        Contiguous tensors.
    n_chunks : int
        Chunks of time.
    unroll : int, optional
        Positions in a tile; UNROLL unless given.
    **named : int
        More of the kernel's arguments.
    """
    if like.numel() == 0:
        return
    B, N, D = like.shape
    lanes = B * D
    block = min(BLOCK, triton.next_power_of_2(lanes))
    strides = [stride for tensor in strided for stride in tensor.stride()]

    if unroll is None:
        unroll = UNROLL
    accumulator = tl.float32
    if like.dtype == torch.float64:
        accumulator = tl.float64
        unroll = max(1, unroll // 2)  # a number takes twice the registers

    grid = (triton.cdiv(lanes, block), n_chunks)
    with torch.cuda.device_of(like):
        kernel[grid](
            *strided,
            *others,
            *strides,
            lanes,
            D,
            N,
            ACC=accumulator,
            BLOCK=block,
            UNROLL=unroll,
            num_warps=WARPS,
            **named,
        )
