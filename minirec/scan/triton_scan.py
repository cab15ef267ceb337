"""The linear recurrence h_n = a_n h_{n-1} + b_n on the GPU, forward and backward, in Triton.

Notebook 12 derives it. Without autograd: that is in minirec.scan.recurrence.

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
    after      [B, C, D], the state (or the k) that leaves each chunk, in the order of the walk

    x_row, x_step, x_channel    x's strides: elements from row to row, from position to position
                                and from channel to channel
    ACC        the type of the arithmetic

One walk along time is all there is. Where the lanes alone do not fill the chip, time is cut into
chunks, and the same walk runs three times: over each chunk from zero, keeping only its end and
its product of a; over these ends, with one "position" per chunk; over each chunk again, from the
state that truly enters it. This reads a and b twice. A product beyond the dtype's range (|a| > 1
over a long chunk) is infinite, as the state itself would be. minirec.scan.chunking chooses how many
chunks.
"""

import os

import torch
import triton
import triton.language as tl
from torch import Tensor

from minirec.scan import chunking
from minirec.scan.launching import launch

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
def after_place(row: tl.tensor, channel: tl.tensor, D: tl.tensor) -> tl.tensor:
    """Return where in `after` [B, C, D] this program's lanes have their entry; [BLOCK]."""
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
def load_start(
    first_ptr: tl.tensor,
    after_ptr: tl.tensor,
    lane: tl.tensor,
    row: tl.tensor,
    channel: tl.tensor,
    D: tl.tensor,
    live: tl.tensor,
    ACC: tl.constexpr,
    BLOCK: tl.constexpr,
) -> tl.tensor:
    """Load what enters this program's chunk: `first` [B, D], or what left the chunk before it.

    There is one chunk where there is no `after` (after_ptr is None).
    """
    start = load_state(first_ptr, lane, live, ACC, BLOCK)
    if after_ptr is not None:
        chunk = tl.program_id(1)
        before = after_place(row, channel, D) - D
        after = tl.load(after_ptr + before, live & (chunk > 0)).to(ACC)
        start = tl.where(chunk > 0, after, start)
    return start


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
    h0_ptr: tl.tensor,
    after_ptr: tl.tensor,
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
    lane, row, channel, live = own_lanes(lanes, D, BLOCK)
    _, n, count = own_chunk(N, length, False)
    a_ptr += row * a_row + n * a_step + channel * a_channel
    b_ptr += row * b_row + n * b_step + channel * b_channel
    h_ptr += (row * N + n) * D + channel  # h is contiguous

    h = load_start(h0_ptr, after_ptr, lane, row, channel, D, live, ACC, BLOCK)
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
    after_ptr: tl.tensor,
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

    k = load_start(None, after_ptr, lane, row, channel, D, live, ACC, BLOCK)
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
    next_a = load_tile(a_ptr, a_step, 0, count, live, UNROLL)
    next_b = load_tile(b_ptr, b_step, 0, count, live, UNROLL)
    for w in range(0, count, UNROLL):
        a = next_a
        b = next_b
        # The next tile is on its way while this one is worked on.
        next_a = load_tile(a_ptr, a_step, w + UNROLL, count, live, UNROLL)
        next_b = load_tile(b_ptr, b_step, w + UNROLL, count, live, UNROLL)

        for u in tl.static_range(UNROLL):
            if REVERSE:
                after = a[u].to(ACC) * (state + b[u].to(ACC))
            else:
                after = a[u].to(ACC) * state + b[u].to(ACC)
            # Beyond the chunk's end both stay as they are: a and b were not read there.
            state = tl.where(w + u < count, after, state)
            product = tl.where(w + u < count, product * a[u].to(ACC), product)

    place = after_place(row, channel, D)
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
        Chunks of time; `chunking.chunks_for` chooses unless given.

    Returns
    -------
    Tensor
        The states [B, N, D], contiguous, of b's dtype.

    References
    ----------
    Notebook 12.
    """
    h = torch.empty(b.shape, dtype=b.dtype, device=b.device)
    n_chunks, length = chunks(b, n_chunks)
    if h0 is not None:
        h0 = h0.contiguous()
    after = _after_chunks(b, (a, b), h0, n_chunks, length, reverse=False)
    launch(
        _walk,
        b,
        (a, b),
        (h0, after, h),
        block=BLOCK,
        warps=WARPS,
        unroll=UNROLL,
        n_chunks=n_chunks,
        more=(length,),
    )
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
        Chunks of time; `chunking.chunks_for` chooses unless given.

    Returns
    -------
    grad_a, grad_b : Tensor
        [B, N, D], contiguous.
    grad_h0 : Tensor or None
        [B, D]; None without h0.

    References
    ----------
    Notebooks 10 and 12.
    """
    grad_a = torch.empty(a.shape, dtype=a.dtype, device=a.device)
    grad_b = torch.empty(h.shape, dtype=h.dtype, device=h.device)
    grad_h0 = None
    if h0 is not None:
        h0 = h0.contiguous()
        grad_h0 = torch.zeros_like(h0)

    n_chunks, length = chunks(h, n_chunks)
    after = _after_chunks(h, (a, grad), None, n_chunks, length, reverse=True)
    launch(
        _walk_back,
        h,
        (a, grad),
        (h, h0, after, grad_a, grad_b, grad_h0),
        block=BLOCK,
        warps=WARPS,
        unroll=UNROLL_BACK,
        n_chunks=n_chunks,
        more=(length,),
    )
    return grad_a, grad_b, grad_h0


def chunks(like: Tensor, n_chunks: int | None = None) -> tuple[int, int]:
    """Cut the time of a tensor into chunks of one length, none of them empty.

    Parameters
    ----------
    like : Tensor
        [B, N, D].
    n_chunks : int, optional
        How many the caller asks for; `chunking.chunks_for` chooses unless given.

    Returns
    -------
    n_chunks, length : int
        How many chunks there are, and how many positions each has (the last may have fewer).
    """
    B, N, D = like.shape
    if n_chunks is None:
        n_chunks = chunking.chunks_for(B, N, D, multiprocessors(like.device))
    n_chunks = max(1, min(n_chunks, N, 2**15))  # a grid's second axis ends at 65,535
    length = max(1, -(-N // n_chunks))  # rounded up
    # With the length rounded up, fewer chunks may be enough.
    return max(1, -(-N // length)), length


def multiprocessors(device: torch.device) -> int:
    """Count a GPU's multiprocessors; an H200's where there is none to ask, as for fake tensors."""
    if device.type == "cuda" and torch.cuda.is_initialized():
        return torch.cuda.get_device_properties(device).multi_processor_count
    return 132


def _after_chunks(
    like: Tensor,
    strided: tuple[Tensor, Tensor],
    first: Tensor | None,
    n_chunks: int,
    length: int,
    *,
    reverse: bool,
) -> Tensor | None:
    """Find what leaves each chunk, in the order of the walk: [B, C, D]; None: there is only one.

    strided: a with b, or, walking backwards, a with the gradient of h. first [B, D] enters the
    first chunk; None: zeros.
    """
    if n_chunks == 1:
        return None

    # 1. Walk every chunk from zero; keep where it ends and its product of a.
    B, _, D = like.shape
    dtype = torch.promote_types(like.dtype, torch.float32)
    product = torch.empty((B, n_chunks, D), dtype=dtype, device=like.device)
    end = torch.empty((B, n_chunks, D), dtype=dtype, device=like.device)
    launch(
        _chunk_ends,
        like,
        strided,
        (product, end),
        block=BLOCK,
        warps=WARPS,
        unroll=UNROLL,
        n_chunks=n_chunks,
        more=(length, reverse),
    )

    # 2. Scan over the chunks: after_c = product_c * after_{c-1} + end_c.
    return scan_forward(product, end, first, n_chunks=1)
