"""The linear recurrence beside other people's scans and a bare copy (notebook 12).

Forward and backward; the copy moves as many bytes as they must. Shapes are [B, N, D].
"""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from minirec.profiling import keep_memory, take_turns
from minirec.scan.recurrence import best, linear_recurrence
from minirec.scan.tree import combine

Shape = tuple[int, int, int]
Scan = Callable[[Tensor, Tensor], Tensor]  # a, b [B, N, D] -> h [B, N, D]

SHAPES: dict[str, list[Shape]] = {
    "cpu": [(64, 200, 128), (16, 1024, 128), (1, 8192, 128), (512, 50, 64)],
    "cuda": [(2048, 200, 512), (2048, 1024, 128), (1, 65_536, 512), (16, 65_536, 256)],
}
# On a GPU only: whatever of these fits its memory.
GRID: list[Shape] = [
    (b, n, d)
    for b in (1, 16, 256, 2048)
    for n in (50, 1024, 8192, 65_536)
    for d in (64, 256, 512)
    if b * n * d <= 2**30
]
AUTOGRAD_UP_TO = 1 << 24  # elements: autograd keeps every step

# Tensors that must move: forward reads a, b and writes h; backward reads a, h and h's gradient,
# and writes those of a and b.
PASSES = 8


def _call_mambapy(scan: Callable[..., Any], a: Tensor, b: Tensor) -> Tensor:
    return scan(a[..., None], b[..., None])[..., 0]  # its channels have states, here of size 1


def _call_associative_scan(scan: Callable[..., Any], a: Tensor, b: Tensor) -> Tensor:
    def combine_pairs(one: Any, next_one: Any) -> Any:
        return combine(*one, *next_one)

    _, h = scan(combine_pairs, (a, b), dim=1, combine_mode="generic")
    return h


def _call_accelerated_scan(scan: Callable[..., Any], a: Tensor, b: Tensor) -> Tensor:
    return scan(a.mT.contiguous(), b.mT.contiguous()).mT  # time is its last dimension


def _call_hgrn(scan: Callable[..., Any], a: Tensor, b: Tensor) -> Tensor:
    h, _ = scan(b, a.log())  # it takes the logarithm of the gates
    return h


@dataclass(frozen=True)
class Peer:
    """Somebody else's scan."""

    module: str
    function: str
    call: Callable[..., Tensor]  # (scan, a, b) -> h, with the copies that its layout needs


PEERS = {
    "mambapy pscan": Peer("mambapy.pscan", "pscan", _call_mambapy),
    "torch associative_scan": Peer(
        "torch._higher_order_ops.associative_scan", "associative_scan", _call_associative_scan
    ),
}
GPU_PEERS = {
    "accelerated-scan": Peer("accelerated_scan.scalar", "scan", _call_accelerated_scan),
    "flash-linear-attention hgrn": Peer("fla.ops.hgrn", "chunk_hgrn", _call_hgrn),
}


def benchmark_scan(shapes: Sequence[Shape] | None = None, repeats: int = 9) -> pd.DataFrame:
    """Measure forward and backward in float32 at each shape.

    Freed memory is kept for the next run. "copy" moves as many bytes as must be moved, 32 per
    element, in tensors that exist already: the floor.

    Parameters
    ----------
    shapes : sequence of (int, int, int), optional
        B, N and D; unless given, some for this device, on a GPU a grid of them too.
    repeats : int
        How often each is measured.

    Returns
    -------
    DataFrame
        Seconds for both ways, ours first, as `take_turns` returns them.

    Raises
    ------
    RuntimeError
        Where a peer that can be imported and fits does not agree with ours.
    """
    keep_memory()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if shapes is None:
        shapes = SHAPES["cuda"] + GRID if device == "cuda" else SHAPES["cpu"]
    frames = [_case(shape, device, repeats) for shape in shapes]
    return pd.concat(frames, ignore_index=True)


def _case(shape: Shape, device: str, repeats: int) -> pd.DataFrame:
    """Measure one shape: ours, the copy, and every peer that can do it."""
    torch.manual_seed(0)
    a = (0.5 + 0.5 * torch.rand(shape, device=device)).requires_grad_()
    b = torch.randn(shape, device=device, requires_grad=True)
    grad = torch.randn(shape, device=device)
    tensors = torch.zeros(PASSES, *shape, device=device)
    read = tensors[PASSES // 2 :]
    written = tensors[: PASSES // 2]

    def both_ways(scan: Scan) -> tuple[Tensor, ...]:
        return torch.autograd.grad(scan(a, b), (a, b), grad)

    exact = both_ways(linear_recurrence)
    runs: dict[str, Callable[[], Any]] = {
        f"ours, {best(a.device)}": partial(both_ways, linear_recurrence),
        "copy": partial(written.copy_, read),
    }
    for name, peer in peers(device).items():
        if name in ("tree", "loop") and a.numel() > AUTOGRAD_UP_TO:
            continue
        try:
            gradients = both_ways(peer)
        except (RuntimeError, AssertionError, ValueError) as error:
            # A peer's limit: of length, shape or memory.
            print(f"{name} leaves out {list(shape)}: {_first_line(error)}")
            continue
        for ours, theirs in zip(exact, gradients, strict=True):
            if (ours - theirs).norm() > 1e-4 * ours.norm():
                raise RuntimeError(f"{name} and ours disagree about a gradient at {list(shape)}.")
        runs[name] = partial(both_ways, peer)
    return take_turns(f"forward and backward, {list(shape)}", runs, repeats)


def _first_line(error: Exception) -> str:
    """Return an error's first line, the name of its class where it says nothing."""
    text = str(error)
    return text.splitlines()[0] if text else type(error).__name__


def peers(device: str) -> dict[str, Scan]:
    """Find other implementations of the same function.

    Parameters
    ----------
    device : {"cpu", "cuda"}
        Where they are to run.

    Returns
    -------
    dict of str to callable
        By name: ours to read, "tree" and "loop", and the scans of other packages that are
        installed. Each takes a and b [B, N, D].
    """
    found: dict[str, Scan] = {}
    for impl in ("tree", "loop"):
        found[impl] = partial(linear_recurrence, impl=impl)
    known = PEERS | GPU_PEERS if device == "cuda" else PEERS
    for name, peer in known.items():
        try:
            scan = getattr(importlib.import_module(peer.module), peer.function)
        except (ImportError, AttributeError, OSError, RuntimeError):
            continue  # not installed, or it cannot be built on this machine
        found[name] = partial(peer.call, scan)
    return found
