"""The linear recurrence on a CPU, compiled by Numba: a walk along time (notebook 11).

    B, N, D    rows, positions, channels; a, b, h and the gradients are [B, N, D], h0 is [B, D]
    t          a position
    g          the gradient of the loss with respect to h_t: g_t = grad_t + a_{t+1} g_{t+1}
    block      some rows and some channels, with all their positions: what a thread takes at once

In kernels, `first_row` to `last_row` and `first` to `last` are the rows and channels of a block;
as in a slice, the last one is excluded.
"""

import ctypes
import functools
import math
import os
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from numba import njit
from torch import Tensor

from minirec.scan.compiled import compiled

# Elements; below, waking another thread costs more than it saves.
WORTH_SHARING = 1 << 15

# Blocks begin at a multiple of so many channels: no two threads write into one cache line.
VECTOR = 16

# The bare recurrence gives a thread at least so many: memory is read best in long runs.
WIDE = 256

# OpenMP's threads do not survive a fork: a child process works alone.
PROCESS = os.getpid()

Strided = tuple[np.ndarray, int, int]  # a tensor as `lines_of` hands it to a kernel
Block = tuple[int, int, int, int]  # first and last row, first and last channel
CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_void_p)  # a function that OpenMP can call


def scan_forward(a: Tensor, b: Tensor, h0: Tensor | None) -> Tensor:
    """Compute h_t = a_t h_{t-1} + b_t.

    Parameters
    ----------
    a, b : Tensor
        Coefficients and inputs [B, N, D], of any strides.
    h0 : Tensor or None
        The state before the first step [B, D]; None: zeros.

    Returns
    -------
    Tensor
        The states [B, N, D], contiguous, of b's dtype.

    References
    ----------
    Notebook 11.
    """
    carry = new_state(h0, b)
    h = torch.empty(b.shape, dtype=carry.dtype)
    run_kernel(_walk, (a, b), (carry, h), WIDE)
    return h.to(b.dtype)


def scan_backward(
    a: Tensor, h: Tensor, h0: Tensor | None, grad: Tensor
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Compute the gradients of a, b and h0 from that of h, in a walk backwards.

    With g_t = grad_t + a_{t+1} g_{t+1}, that of b_t is g_t, and that of a_t is g_t h_{t-1}.

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

    Returns
    -------
    grad_a, grad_b : Tensor
        [B, N, D], of a's dtype.
    grad_h0 : Tensor or None
        [B, D]; None without h0.

    References
    ----------
    Notebooks 10 and 11.
    """
    start = new_state(h0, h)
    carry = new_state(None, h)
    grad_a = torch.empty(h.shape, dtype=carry.dtype)
    grad_b = torch.empty(h.shape, dtype=carry.dtype)
    run_kernel(_walk_back, (a, h, grad), (start, carry, grad_a, grad_b), WIDE)

    # What has flowed back beyond position 0 is the gradient of h0.
    grad_h0 = None if h0 is None else carry.to(a.dtype)
    return grad_a.to(a.dtype), grad_b.to(a.dtype), grad_h0


@compiled(nogil=True)
def _walk(
    a: Strided,
    b: Strided,
    carry: np.ndarray,
    h: np.ndarray,
    first_row: int,
    last_row: int,
    first: int,
    last: int,
) -> None:
    """Walk forwards over a block. carry [B, D]: the state before, afterwards the final one."""
    for row in range(first_row, last_row):
        state = carry[row, first:last]  # a view: what is written into it is kept in carry
        for t in range(h.shape[1]):
            a_t = line(a, row, t, first, last)
            b_t = line(b, row, t, first, last)
            h_t = h[row, t, first:last]

            # Channels lie side by side in memory: this loop turns into vector instructions.
            for c in range(len(state)):
                state[c] = a_t[c] * state[c] + b_t[c]
                h_t[c] = state[c]


@compiled(nogil=True)
def _walk_back(
    a: Strided,
    h: Strided,
    grad: Strided,
    h0: np.ndarray,
    carry: np.ndarray,
    grad_a: np.ndarray,
    grad_b: np.ndarray,
    first_row: int,
    last_row: int,
    first: int,
    last: int,
) -> None:
    """Walk backwards over a block. carry [B, D]: zeros, afterwards the gradient of h0."""
    for row in range(first_row, last_row):
        g_next = carry[row, first:last]  # a_{t+1} g_{t+1}
        for t in range(grad_b.shape[1] - 1, -1, -1):
            a_t = line(a, row, t, first, last)
            grad_t = line(grad, row, t, first, last)
            before = line(h, row, t - 1, first, last) if t > 0 else h0[row, first:last]
            to_a = grad_a[row, t, first:last]
            to_b = grad_b[row, t, first:last]

            # Downwards, as t goes: then addresses only fall, which the processor guesses best
            # (notebook 11).
            for c in range(len(g_next) - 1, -1, -1):
                g = grad_t[c] + g_next[c]
                to_b[c] = g
                to_a[c] = g * before[c]
                g_next[c] = a_t[c] * g


@njit(inline="always")
def line(tensor: Strided, row: int, t: int, first: int, last: int) -> np.ndarray:
    """View channels first to last of one row at one position: side by side in memory."""
    flat, by_row, by_step = tensor
    start = row * by_row + t * by_step
    return flat[start + first : start + last]


def lines_of(tensor: Tensor) -> Strided:
    """Prepare a tensor for `line`, which finds the channels of any row and position in it.

    Parameters
    ----------
    tensor : Tensor
        [B, N, D], of any strides; copied only where channels do not lie side by side.

    Returns
    -------
    flat : ndarray
        The tensor's memory as one flat array.
    by_row, by_step : int
        Elements from one row to the next, and from one position to the next.
    """
    if tensor.stride(2) != 1 and tensor.shape[2] > 1:
        tensor = tensor.contiguous()

    length = 0  # elements of memory from the first of the tensor to its last
    if tensor.numel() > 0:
        length = 1
        for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
            length += (size - 1) * stride
    flat = tensor.as_strided((length,), (1,)).numpy()
    return flat, tensor.stride(0), tensor.stride(1)


def new_state(h0: Tensor | None, like: Tensor) -> Tensor:
    """Copy h0 [B, D] in float32 or better; zeros for `like` [B, N, D] where there is none."""
    dtype = torch.promote_types(like.dtype, torch.float32)
    state = torch.zeros(like.shape[0], like.shape[2], dtype=dtype)
    if h0 is not None:
        state.copy_(h0.detach())
    return state


def run_kernel(
    kernel: Callable[..., None],
    read: tuple[Tensor, ...],
    others: tuple[Tensor, ...],
    narrowest: int = VECTOR,
) -> None:
    """Run a compiled kernel over all rows and channels, on PyTorch's number of threads.

    Parameters
    ----------
    kernel : callable
        Takes the tensors in this order, then the four numbers of a block.
    read : tuple of Tensor
        What the kernel reads along time, by `line`; of any dtype and strides, and the last one
        [B, N, D].
    others : tuple of Tensor
        What the kernel reads or writes as it is, as arrays.
    narrowest : int
        Channels in a block at least, where rows are too few to share.
    """
    arguments: list[Strided | np.ndarray] = []
    for tensor in read:
        # NumPy knows neither bfloat16 nor a tensor whose minus sign PyTorch has put off.
        wide = tensor.detach().to(torch.promote_types(tensor.dtype, torch.float32)).resolve_neg()
        arguments.append(lines_of(wide))
    for tensor in others:
        arguments.append(tensor.numpy())

    def work(first_row: int, last_row: int, first: int, last: int) -> None:
        kernel(*arguments, first_row, last_row, first, last)

    share(read[-1].shape, work, narrowest)


def share(
    shape: tuple[int, ...],
    work: Callable[[int, int, int, int], None],
    narrowest: int = VECTOR,
) -> None:
    """Cut [B, N, D] into blocks and let PyTorch's threads work on them.

    Parameters
    ----------
    shape : tuple of int
        B, N and D.
    work : callable
        Called once per block with its first row, last row, first channel and last channel.
    narrowest : int
        Channels in a block at least, where rows are too few to share.
    """
    n_threads = _threads_for(shape)
    blocks = _cut(shape, n_threads, narrowest)
    _run_on_threads(work, blocks, n_threads)


def _threads_for(shape: tuple[int, ...]) -> int:
    """Count the threads that a tensor is worth: PyTorch's number of them, or one."""
    worth_sharing = math.prod(shape) >= WORTH_SHARING
    forked = os.getpid() != PROCESS
    if worth_sharing and not forked:
        return torch.get_num_threads()
    return 1


def _cut(shape: tuple[int, ...], n_threads: int, narrowest: int) -> list[Block]:
    """Cut [B, N, D] into one block per thread at most: of rows or, if these are few, of channels.

    Blocks of channels begin at multiples of VECTOR.
    """
    n_rows, _, n_channels = shape

    if n_rows >= n_threads:
        cuts = [n_rows * part // n_threads for part in range(n_threads + 1)]
        return [(start, end, 0, n_channels) for start, end in pairwise(cuts)]

    n_parts = min(n_threads, max(1, n_channels // narrowest))
    cuts = []
    for part in range(n_parts):
        vectors = math.ceil(n_channels * part / n_parts / VECTOR)
        cuts.append(min(n_channels, vectors * VECTOR))
    cuts.append(n_channels)
    # Rounded up, two cuts may be one: there is no block between them.
    return [(0, n_rows, start, end) for start, end in pairwise(cuts) if start < end]


def _run_on_threads(
    work: Callable[[int, int, int, int], None], blocks: list[Block], n_threads: int
) -> None:
    """Run `work` over the blocks on OpenMP's threads, each taking a block whenever it is free.

    These are the threads of PyTorch's own operations: they stay awake for a while, and a thread
    of ours beside them would wait for its turn.
    """
    waiting = iter(blocks)
    errors: list[BaseException] = []

    def take_blocks(_: object = None) -> None:
        # All threads run this loop over one iterator. Only one of them at a time runs Python, so
        # no block is taken twice; the kernel itself runs outside Python's lock (nogil).
        try:
            for block in waiting:
                work(*block)
        except BaseException as error:  # what leaves a function that C calls would be lost
            errors.append(error)

    parallel = _openmp() if len(blocks) > 1 else None
    if parallel is None:
        take_blocks()
    else:
        parallel(CALLBACK(take_blocks), None, n_threads, 0)  # returns when all threads are done

    if errors:
        raise errors[0]


@functools.cache
def _openmp() -> Callable | None:
    """Find OpenMP's entry for a parallel region in the library that PyTorch has loaded.

    None where there is none by that name: then one thread does all the work.
    """
    try:
        parallel = ctypes.CDLL(None).GOMP_parallel
    except (AttributeError, OSError, TypeError):
        return None
    # What to run, its argument, how many threads, and flags.
    parallel.argtypes = (CALLBACK, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
    parallel.restype = None
    return parallel
