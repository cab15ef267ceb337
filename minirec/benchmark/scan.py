"""The linear recurrence, forward and backward, beside other people's scans, a loop, and a bare copy of as many bytes (notebook 10).

B rows, N positions, D channels.
"""

import importlib
from collections.abc import Callable

import pandas as pd
import torch
from torch import Tensor

from minirec.benchmark.timing import keep_memory, take_turns
from minirec.scan import best, linear_recurrence
from minirec.scan.tree import combine

SHAPES = {"cpu": [(64, 200, 128), (16, 1024, 128), (1, 8192, 128), (512, 50, 64)],
          "cuda": [(2048, 200, 512), (2048, 1024, 128), (1, 65_536, 512), (16, 65_536, 256)]}
GRID = [(b, n, d) for b in (1, 16, 256, 2048) for n in (50, 1024, 8192, 65_536) for d in (64, 256, 512) if b * n * d <= 2**30]  # on a GPU only
AUTOGRAD_UP_TO = 1 << 24  # elements: autograd keeps every step
PASSES = 8  # tensors that must move: forward reads a, b and writes h; backward reads a, h and h's gradient, and writes those of a and b


def benchmark_scan(shapes=None, repeats: int = 9) -> pd.DataFrame:
    """Forward and backward in float32 at each shape [B, N, D]; on a GPU over a grid of shapes too. Peers that cannot be imported, or do not fit, are left out.

    Memory that was freed is kept for the next run. The row "copy" moves as many bytes as must be moved, 32 an element, in tensors that exist already:
    the floor. Every peer must agree with us, or it raises.
    """
    keep_memory()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    shapes = (SHAPES[device] + (GRID if device == "cuda" else [])) if shapes is None else shapes
    return pd.concat([_case(tuple(shape), device, repeats) for shape in shapes], ignore_index=True)


def _case(shape: tuple[int, int, int], device: str, repeats: int) -> pd.DataFrame:
    torch.manual_seed(0)
    a, b = (0.5 + 0.5 * torch.rand(shape, device=device)).requires_grad_(), torch.randn(shape, device=device, requires_grad=True)
    grad, ours = torch.randn(shape, device=device), best(a.device)
    exact = torch.autograd.grad(linear_recurrence(a, b), (a, b), grad)
    runs = {f"ours, {ours}": _both_ways(linear_recurrence, a, b, grad), "copy": _copies(shape, device)}
    for name, peer in peers(device).items():
        run = _both_ways(peer, a, b, grad)
        if name in ("tree", "loop") and a.numel() > AUTOGRAD_UP_TO:
            continue
        try:
            gradients = run()
        except (RuntimeError, AssertionError, ValueError) as error:  # a peer's limit: of length, shape or memory
            print(f"{name} leaves out {list(shape)}: {str(error).splitlines()[0] if str(error) else type(error).__name__}")
            continue
        for mine, other in zip(exact, gradients):
            if (mine - other).norm() > 1e-4 * mine.norm():
                raise RuntimeError(f"{name} and ours disagree about a gradient at {list(shape)}.")
        runs[name] = run
    return take_turns(f"forward and backward, {list(shape)}", runs, repeats)


def peers(device: str) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    """Other implementations of the same function of a and b [B, N, D], each with the copies that its layout needs."""
    found = {name: (lambda a, b, name=name: linear_recurrence(a, b, impl=name)) for name in ("tree", "loop")}
    pscan = _import("mambapy.pscan", "pscan")
    if pscan is not None:
        found["mambapy pscan"] = lambda a, b: pscan(a[..., None], b[..., None])[..., 0]
    associative = _import("torch._higher_order_ops.associative_scan", "associative_scan")
    if associative is not None:
        found["torch associative_scan"] = lambda a, b: associative(lambda one, next_one: combine(*one, *next_one), (a, b), dim=1, combine_mode="generic")[1]
    if device == "cuda":
        found |= _gpu_peers()
    return found


def _gpu_peers() -> dict[str, Callable]:
    found = {}
    any_length, hgrn = _import("accelerated_scan.scalar", "scan"), _import("fla.ops.hgrn", "chunk_hgrn")
    if any_length is not None:
        found["accelerated-scan"] = lambda a, b: any_length(a.mT.contiguous(), b.mT.contiguous()).mT
    if hgrn is not None:  # it takes the logarithm of the gates
        found["flash-linear-attention hgrn"] = lambda a, b: hgrn(b, a.log())[0]
    return found


def _import(module: str, name: str):
    """module.name; None where it is not installed, or cannot be built on this machine."""
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, OSError, RuntimeError):
        return None


def _both_ways(scan, a, b, grad):
    def run():
        gradients = torch.autograd.grad(scan(a, b), (a, b), grad)
        wait(a.device)
        return gradients
    return run


def _copies(shape, device):
    tensors = torch.zeros(PASSES, *shape, device=device)
    half = PASSES // 2

    def run():
        tensors[:half].copy_(tensors[half:])
        wait(tensors.device)
    return run


def wait(device: torch.device) -> None:
    """Until a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
