"""The linear recurrence on a CPU, compiled by Numba: a walk along time (notebook 10). B rows, N positions, D channels."""

import ctypes
import functools
import os
from collections.abc import Callable

import numpy as np
import torch
from numba import njit
from torch import Tensor

WORTH_SHARING = 1 << 15  # elements; below, waking another thread costs more than it saves
VECTOR = 16  # channels of a block are a multiple of this: no two threads write into one cache line
WIDE = 256  # channels that the bare recurrence gives a thread at least: memory is read best in long runs
PROCESS = os.getpid()  # OpenMP's threads do not survive a fork: a child works alone
CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def scan_forward(a: Tensor, b: Tensor, h0: Tensor | None) -> Tensor:
    """h_t = a_t h_{t-1} + b_t. a, b [B, N, D], h0 [B, D] or None (zeros) -> h [B, N, D], contiguous, of b's dtype."""
    carry = new_state(h0, b)
    h = torch.empty(b.shape, dtype=carry.dtype)
    run(_walk, (a, b), (carry, h), WIDE)
    return h.to(b.dtype)


def scan_backward(
    a: Tensor, h: Tensor, h0: Tensor | None, grad: Tensor
) -> tuple[Tensor, Tensor, Tensor | None]:
    """The gradients of a, b and h0 from that of h: g_t = grad_t + a_{t+1} g_{t+1}, a walk backwards; grad_b = g, grad_a = g_t h_{t-1}."""
    start, carry = new_state(h0, h), new_state(None, h)
    grad_a, grad_b = (torch.empty(h.shape, dtype=carry.dtype) for _ in range(2))
    run(_walk_back, (a, h, grad), (start, carry, grad_a, grad_b), WIDE)
    return grad_a.to(a.dtype), grad_b.to(a.dtype), None if h0 is None else carry.to(a.dtype)


@njit(cache=True, nogil=True)
def _walk(a, b, carry, h, first_row, last_row, first, last):
    """Rows first_row to last_row, channels first to last. carry: the state before [B, D], afterwards the last."""
    for row in range(first_row, last_row):
        state = carry[row, first:last]
        for t in range(h.shape[1]):
            a_t, b_t, h_t = (
                line(a, row, t, first, last),
                line(b, row, t, first, last),
                h[row, t, first:last],
            )
            for c in range(
                len(state)
            ):  # channels lie side by side in memory: this turns into vector instructions
                state[c] = a_t[c] * state[c] + b_t[c]
                h_t[c] = state[c]


@njit(cache=True, nogil=True)
def _walk_back(a, h, grad, h0, carry, grad_a, grad_b, first_row, last_row, first, last):
    """carry: zeros [B, D], afterwards the gradient of h0."""
    for row in range(first_row, last_row):
        g_next = carry[row, first:last]  # a_{t+1} g_{t+1}
        for t in range(grad_b.shape[1] - 1, -1, -1):
            a_t, grad_t = line(a, row, t, first, last), line(grad, row, t, first, last)
            before = line(h, row, t - 1, first, last) if t else h0[row, first:last]
            to_a, to_b = grad_a[row, t, first:last], grad_b[row, t, first:last]
            for c in range(
                len(g_next) - 1, -1, -1
            ):  # downwards, as t goes, so that addresses only fall (notebook 10)
                g = grad_t[c] + g_next[c]
                to_b[c] = g
                to_a[c] = g * before[c]
                g_next[c] = a_t[c] * g


@njit(cache=True, nogil=True, inline="always")
def line(tensor, row, t, first, last):
    """Channels first to last of one row at one position: side by side in memory. tensor: what `lines_of` made."""
    flat, by_row, by_step = tensor
    start = row * by_row + t * by_step
    return flat[start + first : start + last]


def lines_of(tensor: Tensor) -> tuple[np.ndarray, int, int]:
    """(the memory as one flat array, elements from row to row, from step to step); a copy only where channels do not lie side by side."""
    if tensor.stride(2) != 1 and tensor.shape[2] > 1:
        tensor = tensor.contiguous()
    reach = (
        1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride()))
        if tensor.numel()
        else 0
    )
    return tensor.as_strided((reach,), (1,)).numpy(), tensor.stride(0), tensor.stride(1)


def new_state(h0: Tensor | None, like: Tensor) -> Tensor:
    """A copy of h0 in float32 or better; zeros [B, D] where there is none."""
    state = torch.zeros(
        like.shape[0], like.shape[2], dtype=torch.promote_types(like.dtype, torch.float32)
    )
    return state if h0 is None else state.copy_(h0.detach())


def run(
    kernel: Callable, read: tuple[Tensor, ...], others: tuple[Tensor, ...], narrowest: int = VECTOR
) -> None:
    """kernel(lines of what it reads along time, the others as arrays, block), the blocks shared among threads as `share` has it.

    read: of any dtype and strides, the last one [B, N, D]; others: read or written as they are.
    """
    wide = (
        tensor.detach().to(torch.promote_types(tensor.dtype, torch.float32)).resolve_neg()
        for tensor in read
    )  # NumPy knows no bfloat16
    arguments = [*map(lines_of, wide), *(tensor.numpy() for tensor in others)]
    share(read[-1].shape, lambda *block: kernel(*arguments, *block), narrowest)


def share(
    shape: tuple[int, int, int], work: Callable[[int, int, int, int], None], narrowest: int = VECTOR
) -> None:
    """work(first_row, last_row, first_channel, last_channel) over blocks of [B, N, D]: of rows or, where these are few, of `narrowest` channels or more.

    They run on the threads of PyTorch's own operations: these stay awake for a while, and a thread of ours beside them would wait for its turn.
    """
    n_rows, n_steps, n_channels = shape
    n_threads = (
        torch.get_num_threads()
        if n_rows * n_steps * n_channels >= WORTH_SHARING and os.getpid() == PROCESS
        else 1
    )
    by_rows, n_parts = n_rows >= n_threads, min(n_threads, max(1, n_channels // narrowest))
    cuts = (
        [n_rows * part // n_threads for part in range(n_threads + 1)]
        if by_rows
        else [
            min(n_channels, -(-n_channels * part // n_parts // VECTOR) * VECTOR)
            for part in range(n_parts)
        ]
        + [n_channels]
    )
    blocks = [
        (start, end, 0, n_channels) if by_rows else (0, n_rows, start, end)
        for start, end in zip(cuts, cuts[1:])
        if start < end
    ]
    waiting, errors = iter(blocks), []

    def take_blocks(_=None) -> None:
        try:
            for block in waiting:
                work(*block)
        except BaseException as error:  # what leaves a function that C calls is lost
            errors.append(error)

    team = _openmp() if len(blocks) > 1 else None
    take_blocks() if team is None else team(CALLBACK(take_blocks), None, n_threads, 0)
    if errors:
        raise errors[0]


@functools.cache
def _openmp() -> Callable | None:
    """OpenMP's entry for a parallel region, from the library that PyTorch has loaded; None where there is none by that name: then one thread works."""
    try:
        region = ctypes.CDLL(None).GOMP_parallel
    except (AttributeError, OSError, TypeError):
        return None
    region.argtypes, region.restype = (
        (CALLBACK, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint),
        None,
    )
    return region
