"""The linear recurrence h_t = a_t h_{t-1} + b_t in four implementations, and the one to call (notebooks 08 to 10). B rows, N positions, D channels."""

import importlib
from types import ModuleType

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from minirec.scan import loop, tree

IMPLEMENTATIONS = ("auto", "loop", "tree", "numba", "triton")

KERNELS = {"numba": "minirec.scan.numba_scan", "triton": "minirec.scan.triton_scan"}


def linear_recurrence(
    a: Tensor, b: Tensor, h0: Tensor | None = None, *, impl: str = "auto"
) -> Tensor:
    """h_t = a_t h_{t-1} + b_t along dimension 1: a, b [B, N, D], h0 [B, D] (zeros unless given) -> h [B, N, D]; h[:, -1] is the final state.

    impl: "loop", a step at a time, the oracle; "tree", a parallel scan in PyTorch; "numba", compiled for the CPU; "triton", on a GPU; "auto", the
    fastest there is for this device. Any strides are read as they are. The state is carried in float32, or in float64 for float64. Gradients flow to
    a, b and h0; "numba" and "triton" give first derivatives only and refuse second ones. Raises ValueError or TypeError for shapes, dtypes and
    devices that disagree, RuntimeError for an implementation that this machine does not have (notebooks 08, 09 and 10).
    """
    _check(a, b, h0)
    if impl not in IMPLEMENTATIONS:
        raise ValueError(f"impl must be one of {', '.join(IMPLEMENTATIONS)}; got {impl!r}.")
    impl = best(a.device) if impl == "auto" else impl
    if impl in KERNELS:
        return _Recurrence.apply(a, b, h0, kernels(impl, a.device))
    wide = torch.promote_types(b.dtype, torch.float32)
    start = b.new_zeros(b.shape[0], b.shape[2]) if h0 is None else h0
    if a.numel() == 0:
        return a * b + start[:, None]
    return {"loop": loop.loop, "tree": tree.tree}[impl](a.to(wide), b.to(wide), start.to(wide)).to(
        b.dtype
    )


def best(device: torch.device) -> str:
    """The fastest implementation that this machine has for tensors on `device`."""
    impl = {"cpu": "numba", "cuda": "triton"}.get(device.type)
    try:
        return impl if impl and kernels(impl, device) else "tree"
    except RuntimeError:
        return "tree"


def kernels(impl: str, device: torch.device) -> ModuleType:
    """The module of "numba" or "triton"; RuntimeError, with what to do, where it cannot run."""
    try:
        module = importlib.import_module(KERNELS[impl])
    except (ImportError, AttributeError) as error:  # AttributeError: an old Triton
        raise RuntimeError(
            f"impl={impl!r} cannot be used here: {error}. Use impl='auto', or 'tree'."
        ) from error
    home = "cpu" if impl == "numba" else "cuda"
    if device.type != home and not (impl == "triton" and module.INTERPRETED):
        raise RuntimeError(
            f"impl={impl!r} works on {home} tensors; these are on {device.type}. Use impl='auto'."
        )
    return module


def _check(a: Tensor, b: Tensor, h0: Tensor | None) -> None:
    if a.dim() != 3 or a.shape != b.shape:
        raise ValueError(
            f"a and b must have one shape [B, N, D]; got {list(a.shape)} and {list(b.shape)}."
        )
    if h0 is not None and h0.shape != (a.shape[0], a.shape[2]):
        raise ValueError(
            f"h0 must have the shape [B, D] = {[a.shape[0], a.shape[2]]}; got {list(h0.shape)}."
        )
    given = {"a": a, "b": b} if h0 is None else {"a": a, "b": b, "h0": h0}
    for what in ("dtype", "device"):
        if len({getattr(tensor, what) for tensor in given.values()}) > 1:
            found = ", ".join(f"{name} {getattr(tensor, what)}" for name, tensor in given.items())
            raise TypeError(f"a, b and h0 must have one {what}; got {found}.")
    if a.dtype not in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        raise TypeError(
            f"a, b and h0 must be float32, float64, bfloat16 or float16; got {a.dtype}."
        )


class _Recurrence(torch.autograd.Function):
    """A kernel and its hand-written backward, one step of the chain rule."""

    @staticmethod
    def forward(ctx, a, b, h0, module):
        h = module.scan_forward(a, b, h0)
        ctx.save_for_backward(a, h, h0)
        ctx.module = module
        return h

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        a, h, h0 = ctx.saved_tensors
        return *ctx.module.scan_backward(a, h, h0, grad), None
