"""How compiled kernels become operators of PyTorch, such as torch.ops.minirec.scan.

A kernel written in Numba or Triton reads memory. That is all a plain training step asks for, but
`torch.compile`, `torch.export`, `torch.func.vmap` and fake tensors (which have a shape, a type and
a device but no memory) ask other questions of the same function. As an operator it has an answer to
each of them:

    kernel      compute it: tensors on a CPU or a GPU
    fake        which shapes and types come out? for fake tensors and compilers
    autograd    how do gradients flow? for tensors with gradients
    vmap        compute it for a further dimension of the inputs

PyTorch's dispatcher picks the answer by what the tensors are. The library is filled by
minirec.scan.recurrence and minirec.scan.bd_lru.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# By Library.define and Library.impl: the decorator torch.library.custom_op would add tens of
# microseconds to every call.
LIBRARY = torch.library.Library("minirec", "DEF")


def define(
    schema: str,
    *,
    kernel: Callable[..., Any],
    fake: Callable[..., Any],
    autograd: Callable[..., Any] | None = None,
    vmap: Callable[..., Any] | None = None,
) -> Callable[..., Any]:
    """Make an operator of the namespace "minirec".

    Parameters
    ----------
    schema : str
        Its name, arguments and results, as in "double(Tensor x) -> Tensor".
    kernel : callable
        Computes it for tensors on a CPU or on a GPU.
    fake : callable
        Returns empty tensors of the right shapes and types.
    autograd : callable, optional
        Calls the operator such that gradients flow, beneath `below_autograd`.
    vmap : callable, optional
        As in `torch.library.register_vmap`.

    Returns
    -------
    callable
        The operator. It takes its arguments by position.
    """
    name, _, _ = schema.partition("(")
    LIBRARY.define(schema)
    LIBRARY.impl(name, kernel, "CPU")
    LIBRARY.impl(name, kernel, "CUDA")
    torch.library.register_fake(f"minirec::{name}", fake, lib=LIBRARY)
    if autograd is not None:
        LIBRARY.impl(name, autograd, "Autograd")
    if vmap is not None:
        torch.library.register_vmap(f"minirec::{name}", vmap, lib=LIBRARY)
    return getattr(torch.ops.minirec, name).default


# Within it, an operator is computed and no longer differentiated.
below_autograd = torch._C._AutoDispatchBelowAutograd


def transformed() -> bool:
    """Tell whether torch.func.grad, vmap or jvp is at work.

    These take a `torch.autograd.Function` only in another form, which costs every call more. An
    operator's `autograd` answers them with plain PyTorch, which they go through.
    """
    return torch._C._are_functorch_transforms_active()


def lead(tensor: Tensor, dim: int | None, size: int) -> Tensor:
    """Bring the dimension that vmap adds to the front.

    Parameters
    ----------
    tensor : Tensor
        With that dimension, or without.
    dim : int or None
        Where it is; None: the tensor is one for all, and is expanded.
    size : int
        Its size.

    Returns
    -------
    Tensor
        [size, ...].
    """
    if dim is None:
        return tensor.expand(size, *tensor.shape)
    return tensor.movedim(dim, 0)
