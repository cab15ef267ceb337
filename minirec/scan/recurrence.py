"""The linear recurrence h_t = a_t h_{t-1} + b_t: four implementations, and the one to call.

Notebooks 09 to 12 derive them. B rows, N positions, D channels.
"""

import warnings
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from minirec.scan import loop, tree
from minirec.scan.operators import below_autograd, define, lead, transformed

IMPLEMENTATIONS = ("auto", "loop", "tree", "numba", "triton")

# Kernels with a backward walk of their own; their modules are imported by `_import_kernels`.
KERNELS = ("numba", "triton")

# Plain PyTorch, which autograd differentiates.
IN_PYTORCH = {"loop": loop.loop, "tree": tree.tree}

# What importing a library that does not work here raises: AttributeError an old Triton, OSError a
# Numba whose compiler cannot be loaded.
BROKEN = (ImportError, AttributeError, OSError)

FASTEST = {"cpu": "numba", "cuda": "triton"}  # by the kind of device
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


class LibraryError(RuntimeError):
    """The library behind an implementation is missing, or is there and does not work.

    Parameters
    ----------
    impl : str
        "numba" or "triton", which is also the library's name.
    reason : Exception
        What its import has raised.
    """

    def __init__(self, impl: str, reason: Exception) -> None:
        super().__init__(
            f"impl={impl!r} cannot be used here: {reason}. Use impl='auto', or 'tree'."
        )
        self.reason = reason
        self.is_missing = isinstance(reason, ModuleNotFoundError) and reason.name == impl


def linear_recurrence(
    a: Tensor, b: Tensor, h0: Tensor | None = None, *, impl: str = "auto"
) -> Tensor:
    """Compute h_t = a_t h_{t-1} + b_t along dimension 1.

    Any strides are read as they are. The state is carried in float32, or in float64 for float64.
    Gradients of any order flow to a, b and h0. For `torch.compile`, `torch.export` and fake tensors
    "numba" and "triton" are one operator; under `torch.func.grad` and `jvp` they become "tree".

    With |a| <= 1, as in every layer here, all agree. "loop" and "numba" take one step at a time;
    "tree", and "triton" for a few long rows, join steps before they know the state. Where |a| > 1
    the product of many coefficients can exceed the largest number of the dtype, about 3e38 in
    float32. It is then infinite, and states and gradients may be infinite or NaN where those of
    "loop" are finite: see `minirec.scan.tree.tree`.

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
    RecBLR, Eqs. 5, 10, 13 and 14; notebooks 09 to 12: the loop in 09, the tree in 10, Numba in 11,
    Triton in 12.
    """
    _check(a, b, h0)
    if impl not in IMPLEMENTATIONS:
        raise ValueError(f"impl must be one of {', '.join(IMPLEMENTATIONS)}; got {impl!r}.")
    if impl == "auto":
        impl = best(a.device)

    if impl in KERNELS:
        # PyTorch takes over here: the operator, at the end of this file, hands a, b and h0 to
        # scan_forward of numba_scan or triton_scan.
        kernels(impl, a.device)
        return _scan(a, b, h0, impl)
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

    Warns
    -----
    RuntimeWarning
        If the library is installed but cannot be used: then, too, it is "tree".
    """
    impl = FASTEST.get(device.type)
    if impl is None:
        return "tree"
    try:
        kernels(impl, device)
    except LibraryError as error:
        if not error.is_missing:
            warnings.warn(
                f"{impl} is installed but cannot be used, so impl='tree' takes its place, which is "
                f"slower: {error.reason}. Install a version of {impl} that fits, or remove it.",
                RuntimeWarning,
                stacklevel=2,
            )
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
        If the library is missing or fails, or its kernels do not work on this device.
    """
    try:
        module = _import_kernels(impl)
    except BROKEN as error:
        raise LibraryError(impl, error) from error

    home = "cpu" if impl == "numba" else "cuda"
    interpreted = impl == "triton" and module.INTERPRETED  # then any device will do
    if device.type != home and not interpreted:
        raise RuntimeError(
            f"impl={impl!r} works on {home} tensors; these are on {device.type}. Use impl='auto'."
        )
    return module


def _import_kernels(impl: str) -> ModuleType:
    """Import numba_scan or triton_scan: only when asked for, as a machine may lack the library.

    By a statement: `torch.compile` looks through it, and not through importlib.
    """
    if impl == "numba":
        from minirec.scan import numba_scan

        return numba_scan
    from minirec.scan import triton_scan

    return triton_scan


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

    if not _are_of_one_kind(a, b, h0):
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


def _are_of_one_kind(a: Tensor, b: Tensor, h0: Tensor | None) -> bool:
    """Tell whether dtypes and devices agree."""
    if a.dtype != b.dtype or a.device != b.device:
        return False
    return h0 is None or (h0.dtype == a.dtype and h0.device == a.device)


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


# ----- The kernels as operators of PyTorch --------------------------------------------------------


def _compute(a: Tensor, b: Tensor, h0: Tensor | None, impl: str) -> Tensor:
    return _import_kernels(impl).scan_forward(a, b, h0)


def _compute_back(
    a: Tensor, h: Tensor, h0: Tensor | None, grad: Tensor, impl: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the gradients of a, b and h0; the last is empty without h0, as no result is None."""
    module = _import_kernels(impl)
    grad_a, grad_b, grad_h0 = module.scan_backward(a, h, h0, grad)
    if grad_h0 is None:
        grad_h0 = a.new_empty(0)
    return grad_a, grad_b, grad_h0


def _fake(a: Tensor, b: Tensor, h0: Tensor | None, impl: str) -> Tensor:
    return b.new_empty(b.shape)


def _fake_back(
    a: Tensor, h: Tensor, h0: Tensor | None, grad: Tensor, impl: str
) -> tuple[Tensor, Tensor, Tensor]:
    grad_h0 = a.new_empty(0 if h0 is None else h0.shape)
    return a.new_empty(a.shape), h.new_empty(h.shape), grad_h0


def _differentiable(a: Tensor, b: Tensor, h0: Tensor | None, impl: str) -> Tensor:
    if transformed():
        return _in_pytorch(a, b, h0, "tree")
    return _Recurrence.apply(a, b, h0, impl)


def _over_rows(
    info: Any, in_dims: tuple[int | None, ...], a: Tensor, b: Tensor, h0: Tensor | None, impl: str
) -> tuple[Tensor, int]:
    """Compute it for one more dimension, of size V, as V times as many rows."""
    size = info.batch_size
    a = lead(a, in_dims[0], size).flatten(0, 1)
    b = lead(b, in_dims[1], size).flatten(0, 1)
    if h0 is not None:
        h0 = lead(h0, in_dims[2], size).flatten(0, 1)
    h = _scan(a, b, h0, impl)
    return h.unflatten(0, (size, -1)), 0


_scan = define(
    "scan(Tensor a, Tensor b, Tensor? h0, str impl) -> Tensor",
    kernel=_compute,
    fake=_fake,
    autograd=_differentiable,
    vmap=_over_rows,
)
_scan_back = define(
    "scan_backward(Tensor a, Tensor h, Tensor? h0, Tensor grad, str impl)"
    " -> (Tensor, Tensor, Tensor)",
    kernel=_compute_back,
    fake=_fake_back,
)


class _Recurrence(torch.autograd.Function):
    """A kernel and its hand-written backward, as one step of the chain rule.

    The operator calls `apply`, which runs `forward`; autograd runs `backward`. `impl` is "numba"
    or "triton"; shapes are those of `linear_recurrence`.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, h0: Tensor | None, impl: str) -> Tensor:
        with below_autograd():
            h = _scan(a, b, h0, impl)
        # b is not kept: no gradient depends on it.
        ctx.save_for_backward(a, h, h0)
        ctx.impl = impl
        return h

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor | None, None]:
        a, h, h0 = ctx.saved_tensors
        # Under create_graph=True the gradients are to be differentiated in their turn.
        if (torch.is_grad_enabled() or transformed()) and a.numel() > 0:
            grad_a, grad_b, grad_h0 = _gradients_in_pytorch(a, h, h0, grad, ctx.impl)
        else:
            grad_a, grad_b, grad_h0 = _scan_back(a, h, h0, grad, ctx.impl)
        return grad_a, grad_b, None if h0 is None else grad_h0, None  # a name has no gradient


def _gradients_in_pytorch(
    a: Tensor, h: Tensor, h0: Tensor | None, grad: Tensor, impl: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute what the backward walk does by steps that autograd knows, itself a recurrence.

    g_t = grad_t + a_{t+1} g_{t+1} runs from the last position to the first.
    """
    first = torch.zeros_like(h[:, :1]) if h0 is None else h0[:, None]
    before = torch.cat([first, h[:, :-1]], dim=1)
    following = torch.cat([a[:, 1:], torch.zeros_like(a[:, :1])], dim=1)
    g = linear_recurrence(following.flip(1), grad.flip(1), impl=impl).flip(1)
    return g * before, g, a[:, 0] * g[:, 0]
