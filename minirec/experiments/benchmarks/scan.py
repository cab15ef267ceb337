"""The linear recurrence, forward and backward, beside other people's scans and a bare copy of as many bytes (notebook 10). Shapes are [B, N, D]."""

import importlib
from collections.abc import Callable
from functools import partial

import pandas as pd
import torch
from torch import Tensor

from minirec.profiling import keep_memory, take_turns
from minirec.scan.recurrence import best, linear_recurrence
from minirec.scan.tree import combine

SHAPES = {
    "cpu": [(64, 200, 128), (16, 1024, 128), (1, 8192, 128), (512, 50, 64)],
    "cuda": [(2048, 200, 512), (2048, 1024, 128), (1, 65_536, 512), (16, 65_536, 256)],
}
GRID = [
    (b, n, d)
    for b in (1, 16, 256, 2048)
    for n in (50, 1024, 8192, 65_536)
    for d in (64, 256, 512)
    if b * n * d <= 2**30
]  # on a GPU only
AUTOGRAD_UP_TO = 1 << 24  # elements: autograd keeps every step
PASSES = 8  # tensors that must move: forward reads a, b and writes h; backward reads a, h and h's gradient, and writes those of a and b

PEERS = {  # name: module, function, and how it is called for a and b, with the copies that its layout needs
    "mambapy pscan": (
        "mambapy.pscan",
        "pscan",
        lambda scan, a, b: scan(a[..., None], b[..., None])[..., 0],
    ),
    "torch associative_scan": (
        "torch._higher_order_ops.associative_scan",
        "associative_scan",
        lambda scan, a, b: scan(
            lambda one, next_one: combine(*one, *next_one), (a, b), dim=1, combine_mode="generic"
        )[1],
    ),
}
GPU_PEERS = {
    "accelerated-scan": (
        "accelerated_scan.scalar",
        "scan",
        lambda scan, a, b: scan(a.mT.contiguous(), b.mT.contiguous()).mT,
    ),
    "flash-linear-attention hgrn": (
        "fla.ops.hgrn",
        "chunk_hgrn",
        lambda scan, a, b: scan(b, a.log())[0],
    ),
}  # it takes the logarithm of the gates


def benchmark_scan(shapes=None, repeats: int = 9) -> pd.DataFrame:
    """Forward and backward in float32 at each shape; on a GPU over a grid of shapes too. Every peer that can be imported and fits must agree, or it raises.

    Freed memory is kept for the next run. "copy" moves as many bytes as must be moved, 32 an element, in tensors that exist already: the floor.
    """
    keep_memory()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    shapes = (SHAPES[device] + (GRID if device == "cuda" else [])) if shapes is None else shapes
    return pd.concat([_case(tuple(shape), device, repeats) for shape in shapes], ignore_index=True)


def _case(shape: tuple[int, int, int], device: str, repeats: int) -> pd.DataFrame:
    torch.manual_seed(0)
    a, b = (
        (0.5 + 0.5 * torch.rand(shape, device=device)).requires_grad_(),
        torch.randn(shape, device=device, requires_grad=True),
    )
    grad, tensors = torch.randn(shape, device=device), torch.zeros(PASSES, *shape, device=device)

    def both_ways(scan):
        return torch.autograd.grad(scan(a, b), (a, b), grad)

    ours = f"ours, {best(a.device)}"
    runs = {
        ours: partial(both_ways, linear_recurrence),
        "copy": lambda: tensors[: PASSES // 2].copy_(tensors[PASSES // 2 :]),
    }
    exact = runs[ours]()
    for name, peer in peers(device).items():
        if name in ("tree", "loop") and a.numel() > AUTOGRAD_UP_TO:
            continue
        try:
            gradients = both_ways(peer)
        except (
            RuntimeError,
            AssertionError,
            ValueError,
        ) as error:  # a peer's limit: of length, shape or memory
            print(
                f"{name} leaves out {list(shape)}: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
            )
            continue
        for mine, other in zip(exact, gradients):
            if (mine - other).norm() > 1e-4 * mine.norm():
                raise RuntimeError(f"{name} and ours disagree about a gradient at {list(shape)}.")
        runs[name] = partial(both_ways, peer)
    return take_turns(f"forward and backward, {list(shape)}", runs, repeats)


def peers(device: str) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    """Other implementations of the same function of a and b [B, N, D]."""
    found = {impl: partial(linear_recurrence, impl=impl) for impl in ("tree", "loop")}
    for name, (module, function, call) in (PEERS | (GPU_PEERS if device == "cuda" else {})).items():
        try:
            found[name] = partial(call, getattr(importlib.import_module(module), function))
        except (ImportError, AttributeError, OSError, RuntimeError):
            continue  # not installed, or it cannot be built on this machine
    return found
