"""How a Triton kernel is launched over all lanes and chunks, with little work in Python.

What a launch needs besides the tensors' addresses is the same every time a training step comes by:
the grid, the strides, and the machine code that was compiled for these types and alignments. So it
is prepared at the first launch and looked up at the next ones. Triton itself would find the machine
code anew, from every argument.
"""

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

# Triton's own launch takes arguments one by one to find the compiled kernel; past it, the kernel is
# run as Triton's `JITFunction.run` runs it. The tests compare the two with these versions.
KNOWN_VERSIONS = ("3.6.", "3.7.")
MOST = 4096  # launches to remember; then all are forgotten


class Prepared(NamedTuple):
    """A launch without its tensors."""

    grid: tuple[int, int]
    numbers: tuple[Any, ...]  # the kernel's arguments after the tensors
    compiled: Any  # the kernel for these types and alignments; None: leave it to Triton


_prepared: dict[tuple, Prepared] = {}


def launch(
    kernel: triton.JITFunction,
    like: Tensor,
    strided: tuple[Tensor, ...],
    others: tuple[Tensor | None, ...],
    *,
    block: int,
    warps: int,
    unroll: int,
    n_chunks: int = 1,
    more: tuple[int, ...] = (),
) -> None:
    """Run a kernel over all lanes and chunks of a tensor, on its device.

    A kernel takes, in this order: the strided tensors, the others, the strides of the strided
    ones (row, step, channel of each), the number of lanes, D, N, `more`, and the constants ACC,
    BLOCK and UNROLL.

    Parameters
    ----------
    kernel : triton.JITFunction
        What to run.
    like : Tensor
        [B, N, D]: gives the numbers of lanes and positions, the device and the arithmetic's type.
    strided : tuple of Tensor
        Tensors whose strides the kernel takes.
    others : tuple of Tensor or None
        Contiguous tensors.
    block, warps, unroll : int
        Lanes of a program, warps that share them, and positions in a tile.
    n_chunks : int
        Chunks of time.
    more : tuple of int
        More of the kernel's arguments.
    """
    if like.numel() == 0:
        return
    tensors: tuple[Tensor | None, ...] = strided + others
    shape = like.shape
    kinds: list[Any] = [id(kernel), like.device, shape, block, warps, unroll, n_chunks, more]
    kinds.extend(tensor.stride() for tensor in strided)
    for tensor in tensors:
        # Machine code differs by whether an address is a multiple of 16 bytes.
        kinds.append(None if tensor is None else (tensor.dtype, tensor.data_ptr() % 16))
    key = tuple(kinds)

    prepared = _prepared.get(key)
    if prepared is not None and _run_compiled(prepared, like.device, tensors):
        return

    if prepared is None:
        prepared = _prepare(like, strided, block, unroll, n_chunks, more)
    with torch.cuda.device_of(like):
        compiled = kernel[prepared.grid](*tensors, *prepared.numbers, num_warps=warps)

    if len(_prepared) >= MOST:
        _prepared.clear()
    if not isinstance(compiled, triton.compiler.CompiledKernel) or not _version_is_known():
        compiled = None
    _prepared[key] = prepared._replace(compiled=compiled)


def _prepare(
    like: Tensor,
    strided: tuple[Tensor, ...],
    block: int,
    unroll: int,
    n_chunks: int,
    more: tuple[int, ...],
) -> Prepared:
    B, N, D = like.shape
    lanes = B * D
    block = min(block, 1 << (lanes - 1).bit_length())  # the next power of two
    accumulator = tl.float32
    if like.dtype == torch.float64:
        accumulator = tl.float64
        unroll = max(1, unroll // 2)  # a number takes twice the registers

    strides = [stride for tensor in strided for stride in tensor.stride()]
    numbers = (*strides, lanes, D, N, *more, accumulator, block, unroll)
    grid = (-(-lanes // block), n_chunks)  # rounded up
    return Prepared(grid, numbers, None)


def _run_compiled(
    prepared: Prepared, device: torch.device, tensors: tuple[Tensor | None, ...]
) -> bool:
    """Run a prepared kernel past Triton's own launch; False where that one is needed.

    It is where the tensors are not on the current GPU, or a profiler has asked Triton to call it.
    """
    compiled = prepared.compiled
    if compiled is None:
        return False
    hooks = triton.knobs.runtime
    if hooks.launch_enter_hook.calls or hooks.launch_exit_hook.calls:
        return False
    driver = triton.runtime.driver.active
    current = driver.get_current_device()
    if current != device.index:
        return False

    across, along = prepared.grid
    compiled.run(
        across,
        along,
        1,
        driver.get_current_stream(current),
        compiled.function,
        compiled.packed_metadata,
        None,  # what a profiler would be told
        None,
        None,
        *tensors,
        *prepared.numbers,
    )
    return True


def _version_is_known() -> bool:
    return triton.__version__.startswith(KNOWN_VERSIONS)
