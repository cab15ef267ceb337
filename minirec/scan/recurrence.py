"""The linear recurrence h_t = a_t h_{t-1} + b_t: four implementations, and the one to call.

Notebooks 08 to 10 derive them. B rows, N positions, D channels.
"""

import importlib
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from minirec.scan import loop, tree

IMPLEMENTATIONS = ("auto", "loop", "tree", "numba", "triton")

# Kernels with a backward walk of their own. Their modules are imported only when asked for,
# because a machine may lack the library.
KERNELS = {"numba": "minirec.scan.numba_scan", "triton": "minirec.scan.triton_scan"}

# Plain PyTorch, which autograd differentiates.
IN_PYTORCH = {"loop": loop.loop, "tree": tree.tree}

FASTEST = {"cpu": "numba", "cuda": "triton"}  # by the kind of device
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def linear_recurrence(
    a: Tensor, b: Tensor, h0: Tensor | None = None, *, impl: str = "auto"
) -> Tensor:
    """Compute h_t = a_t h_{t-1} + b_t along dimension 1.

    Any strides are read as they are. The state is carried in float32, or in float64 for float64.
    Gradients flow to a, b and h0; "numba" and "triton" give first derivatives only and refuse
    second ones.

    Parameters
    ----------
    a, b : Tensor
        Coefficients and inputs [B, N, D], of one dtype (float32, float64, bfloat16 or float16)
        and on one device.
    h0 : Tensor, optional
        The state before the first step [B, D]; zeros unless given.
    impl : str
        "loop", one step at a time, the oracle; "tree", a parallel scan in PyTorch; "numba",
        compiled for the CPU; "triton", on a GPU; "auto", the fastest there is for this device.

    Returns
    -------
    Tensor
        The states h [B, N, D], of b's dtype; h[:, -1] is the final state.

    Raises
    ------
    ValueError
        If shapes disagree, or `impl` is unknown.
    TypeError
        If dtypes or devices disagree, or the dtype is none of the four.
    RuntimeError
        If this machine does not have the implementation, or it works on other devices.

    References
    ----------
    Notebooks 08 (loop), 09 (tree) and 10 (Numba and Triton).
    """
    _check(a, b, h0)
    if impl not in IMPLEMENTATIONS:
        raise ValueError(f"impl must be one of {', '.join(IMPLEMENTATIONS)}; got {impl!r}.")
    if impl == "auto":
        impl = best(a.device)

    if impl in KERNELS:
        # autograd takes over here: a, b and h0 go on in _Recurrence.forward, at the end of this
        # file, which hands them to scan_forward of the module named in KERNELS.
        return _Recurrence.apply(a, b, h0, kernels(impl, a.device))
    return _in_pytorch(a, b, h0, impl)


def best(device: torch.device) -> str:
    """Name the fastest implementation that this machine has for tensors on a device.

    Parameters
    ----------
    device : torch.device
        Where the tensors are.

    Returns
    -------
    str
        "numba", "triton" or, where their libraries are missing and on other devices, "tree".
    """
    impl = FASTEST.get(device.type)
    if impl is None:
        return "tree"
    try:
        kernels(impl, device)
    except RuntimeError:
        return "tree"
    return impl


def kernels(impl: str, device: torch.device) -> ModuleType:
    """Import the module that holds an implementation's kernels.

    Parameters
    ----------
    impl : str
        "numba" or "triton".
    device : torch.device
        Where the tensors are.

    Returns
    -------
    ModuleType
        A module with `scan_forward` and `scan_backward`.

    Raises
    ------
    RuntimeError
        If the library is missing, or its kernels do not work on this device.
    """
    try:
        module = importlib.import_module(KERNELS[impl])
    except (ImportError, AttributeError) as error:  # AttributeError: an old Triton
        raise RuntimeError(
            f"impl={impl!r} cannot be used here: {error}. Use impl='auto', or 'tree'."
        ) from error

    home = "cpu" if impl == "numba" else "cuda"
    interpreted = impl == "triton" and module.INTERPRETED  # then any device will do
    if device.type != home and not interpreted:
        raise RuntimeError(
            f"impl={impl!r} works on {home} tensors; these are on {device.type}. Use impl='auto'."
        )
    return module


def _check(a: Tensor, b: Tensor, h0: Tensor | None) -> None:
    """Raise where shapes, dtypes or devices disagree."""
    if a.dim() != 3 or a.shape != b.shape:
        raise ValueError(
            f"a and b must have one shape [B, N, D]; got {list(a.shape)} and {list(b.shape)}."
        )
    if h0 is not None and h0.shape != (a.shape[0], a.shape[2]):
        raise ValueError(
            f"h0 must have the shape [B, D] = {[a.shape[0], a.shape[2]]}; got {list(h0.shape)}."
        )

    given = {"a": a, "b": b}
    if h0 is not None:
        given["h0"] = h0
    for attribute in ("dtype", "device"):
        values = {name: getattr(tensor, attribute) for name, tensor in given.items()}
        if len(set(values.values())) > 1:
            found = ", ".join(f"{name} {value}" for name, value in values.items())
            raise TypeError(f"a, b and h0 must have one {attribute}; got {found}.")

    if a.dtype not in DTYPES:
        raise TypeError(
            f"a, b and h0 must be float32, float64, bfloat16 or float16; got {a.dtype}."
        )


def _in_pytorch(a: Tensor, b: Tensor, h0: Tensor | None, impl: str) -> Tensor:
    """Run "loop" or "tree" in float32 or better, and round once, at the end."""
    if h0 is None:
        h0 = b.new_zeros(b.shape[0], b.shape[2])
    if a.numel() == 0:
        # No step to take: an empty result that still belongs to the graph of all three.
        return a * b + h0[:, None]

    wide = torch.promote_types(b.dtype, torch.float32)
    scan = IN_PYTORCH[impl]
    return scan(a.to(wide), b.to(wide), h0.to(wide)).to(b.dtype)


class _Recurrence(torch.autograd.Function):
    """A kernel and its hand-written backward, as one step of the chain rule.

    `linear_recurrence` calls `apply`, which runs `forward`; autograd runs `backward`. `module` is
    numba_scan or triton_scan; shapes are those of `linear_recurrence`.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, h0: Tensor | None, module: ModuleType) -> Tensor:
        h = module.scan_forward(a, b, h0)
        # b is not kept: no gradient depends on it.
        ctx.save_for_backward(a, h, h0)
        ctx.module = module
        return h

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor | None, None]:
        a, h, h0 = ctx.saved_tensors
        grad_a, grad_b, grad_h0 = ctx.module.scan_backward(a, h, h0, grad)
        return grad_a, grad_b, grad_h0, None  # a module has no gradient
