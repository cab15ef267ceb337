"""The behaviour-dependent linear recurrent unit (BD-LRU) of RecBLR as one operator.

RecBLR, Eqs. 5 to 8, and the product with SiLU(z) of its Algorithm 1. Notebook 09 derives it,
notebook 11 fuses it.

    B, N, H    rows, positions, channels
    r, i       the recurrence gate and the input gate before their sigmoids s_r and s_i
    x, z       the input, and the output's gate before its SiLU
    t          softplus(Lambda) s_r, the negative logarithm of the decay alpha

    alpha_n = exp(-t_n)
    h_n     = alpha_n h_{n-1} + sqrt(1 - alpha_n^2) s_i x_n
    y_n     = SiLU(z_n) h_n
"""

from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from minirec.scan.chunking import formula_pays
from minirec.scan.operators import below_autograd, define, lead, transformed
from minirec.scan.recurrence import best, kernels, linear_recurrence


def bd_lru(
    gates: Tensor,
    x: Tensor,
    z: Tensor,
    Lambda: Tensor,
    h0: Tensor | None = None,
    *,
    impl: str = "auto",
) -> tuple[Tensor, Tensor]:
    """Compute the BD-LRU's output; gradients of any order flow to all five tensors.

    `torch.compile`, `torch.export` and fake tensors take the fused kernels as one operator,
    torch.ops.minirec.bd_lru; under `torch.func.grad` and `jvp` it is the formula.

    Parameters
    ----------
    gates : Tensor
        r and i side by side [B, N, 2H], before their sigmoids.
    x, z : Tensor
        The input and the output's gate [B, N, H].
    Lambda : Tensor
        The decay's parameter [H].
    h0 : Tensor, optional
        The state before the first position [B, H]; zeros unless given.
    impl : str
        "fused", one pass forward and one back; "unfused", the formula in PyTorch around
        `linear_recurrence`, the reference; "auto", fused where there are kernels for the device
        (in float64 on a GPU only) and at least one position. But on a GPU a few long rows take
        the formula: the scan has chunks of time for them, the fused walk has none.

    Returns
    -------
    y : Tensor
        The output [B, N, H].
    last : Tensor
        The final state [B, H].

    Raises
    ------
    ValueError
        If shapes disagree, or `impl` is unknown.
    RuntimeError
        If "fused" is asked for and there is no kernel for this dtype and device.

    References
    ----------
    RecBLR, Eqs. 5 to 8; notebooks 09 and 11.
    """
    _check(gates, x, z, Lambda, h0)
    if impl not in ("auto", "fused", "unfused"):
        raise ValueError(f"impl must be 'auto', 'fused' or 'unfused'; got {impl!r}.")

    library = best(x.device)
    can_fuse = library == "triton" or (library == "numba" and x.dtype != torch.float64)
    if impl == "fused" and not can_fuse:
        raise RuntimeError(
            f"there is no fused kernel for {x.dtype} on {x.device} here; use impl='auto'."
        )

    few_long_rows = False
    if impl == "auto" and library == "triton":
        n_multiprocessors = kernels(library, x.device).multiprocessors(x.device)
        rows, positions, channels = x.shape
        few_long_rows = formula_pays(rows, positions, channels, n_multiprocessors)

    no_positions = x.shape[1] == 0
    if impl == "unfused" or not can_fuse or few_long_rows or no_positions:
        return unfused(gates, x, z, Lambda, h0)
    y, last, _, _ = _fused(gates, x, z, Lambda, h0, library)
    return y, last


def unfused(
    gates: Tensor, x: Tensor, z: Tensor, Lambda: Tensor, h0: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Compute the same in PyTorch, operation by operation.

    In float32 or better: bfloat16 would round a decay of 0.999 to 1.

    Parameters
    ----------
    gates, x, z, Lambda, h0
        As in `bd_lru`.

    Returns
    -------
    y : Tensor
        The output [B, N, H].
    last : Tensor
        The final state [B, H].

    References
    ----------
    RecBLR, Eqs. 5 to 8; notebook 09.
    """
    if h0 is None:
        h0 = x.new_zeros(x.shape[0], x.shape[2])

    h = bd_lru_states(gates, x, Lambda, h0)
    y = F.silu(z.to(h.dtype)) * h

    last = h.select(1, -1) if x.shape[1] > 0 else h0
    return y.to(x.dtype), last.to(x.dtype)


def bd_lru_states(gates: Tensor, x: Tensor, Lambda: Tensor, h0: Tensor | None = None) -> Tensor:
    """Compute the BD-LRU's states, which nothing gates afterwards.

    Parameters
    ----------
    gates, x, Lambda, h0
        As in `bd_lru`.

    Returns
    -------
    Tensor
        h, [B, N, H], in float32 or better.

    References
    ----------
    RecBLR, Eqs. 5 to 8; notebook 09.
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    if h0 is not None:
        h0 = h0.to(dtype)
    r, i = gates.to(dtype).chunk(2, dim=-1)
    log_alpha, scale = decay_and_scale(r, Lambda.to(dtype))
    return linear_recurrence(log_alpha.exp(), scale * torch.sigmoid(i) * x, h0)


def decay_and_scale(r: Tensor, Lambda: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the logarithm of the decay and the scale of the input, accurate near alpha = 1.

    Parameters
    ----------
    r : Tensor
        The recurrence gate before its sigmoid [..., H].
    Lambda : Tensor
        The decay's parameter [H].

    Returns
    -------
    log_alpha : Tensor
        -softplus(Lambda) sigmoid(r) [..., H].
    scale : Tensor
        sqrt(1 - alpha^2) [..., H].

    References
    ----------
    RecBLR, Eq. 8, without the input gate, with the recurrence gate of RecBLR, Eq. 6; notebook 09.
    """
    log_alpha = -F.softplus(Lambda) * torch.sigmoid(r)

    # 1 - alpha^2 by expm1, which does not cancel where alpha is near 1.
    squared = -torch.expm1(2 * log_alpha)

    # The root's slope is infinite at 0, which sigmoid(r) reaches where it underflows; clamped,
    # the gradient is 0 there.
    smallest = torch.finfo(log_alpha.dtype).tiny
    return log_alpha, squared.clamp_min(smallest).sqrt()


def _check(gates: Tensor, x: Tensor, z: Tensor, Lambda: Tensor, h0: Tensor | None) -> None:
    """Raise where shapes disagree."""
    fits = (
        gates.dim() == 3
        and gates.shape[2] % 2 == 0
        and x.shape == (*gates.shape[:2], gates.shape[2] // 2)
        and z.shape == x.shape
        and Lambda.shape == x.shape[2:]
    )
    if not fits:
        raise ValueError(
            "gates must be [B, N, 2H], x and z [B, N, H], Lambda [H]; "
            f"got {list(gates.shape)}, {list(x.shape)}, {list(z.shape)}, {list(Lambda.shape)}."
        )
    if h0 is not None and h0.shape != (x.shape[0], x.shape[2]):
        raise ValueError(
            f"h0 must have the shape [B, H] = {[x.shape[0], x.shape[2]]}; got {list(h0.shape)}."
        )


# ----- The kernels as operators of PyTorch --------------------------------------------------------


def _import_kernels(library: str) -> ModuleType:
    """Import numba_bd_lru or triton_bd_lru, whose library is there: `best` has asked."""
    if library == "numba":
        from minirec.scan import numba_bd_lru

        return numba_bd_lru
    from minirec.scan import triton_bd_lru

    return triton_bd_lru


def _compute(
    gates: Tensor, x: Tensor, z: Tensor, Lambda: Tensor, h0: Tensor | None, library: str
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Compute y and the final state, and, for the way back, all states and softplus(Lambda)."""
    module = _import_kernels(library)
    dtype = torch.promote_types(x.dtype, torch.float32)
    decay = F.softplus(Lambda.detach().to(dtype))
    y, h = module.bd_lru_forward(gates, x, z, decay, h0)
    return y, h[:, -1].clone(), h, decay


def _compute_back(
    gates: Tensor,
    x: Tensor,
    z: Tensor,
    Lambda: Tensor,
    h0: Tensor | None,
    h: Tensor,
    decay: Tensor,
    grad_y: Tensor,
    grad_last: Tensor | None,
    library: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Compute the gradients of gates, x, z, Lambda and h0; the last is empty without h0."""
    module = _import_kernels(library)
    to_gates, to_x, to_z, to_log_decay, to_h0 = module.bd_lru_backward(
        gates, x, z, decay, h0, h, grad_y, grad_last
    )

    # The kernels give the gradient of log softplus(Lambda); its slope leads to Lambda's own.
    exact = Lambda.double()
    smallest = torch.finfo(torch.float64).tiny
    slope = torch.sigmoid(exact) / F.softplus(exact).clamp_min(smallest)
    to_Lambda = (to_log_decay * slope).to(Lambda.dtype)

    if h0 is None:
        to_h0 = x.new_empty(0)
    return to_gates, to_x, to_z, to_Lambda, to_h0


def _fake(
    gates: Tensor, x: Tensor, z: Tensor, Lambda: Tensor, h0: Tensor | None, library: str
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rows, _, channels = x.shape
    decay = Lambda.new_empty(Lambda.shape, dtype=torch.promote_types(x.dtype, torch.float32))
    return x.new_empty(x.shape), x.new_empty(rows, channels), x.new_empty(x.shape), decay


def _fake_back(
    gates: Tensor,
    x: Tensor,
    z: Tensor,
    Lambda: Tensor,
    h0: Tensor | None,
    h: Tensor,
    decay: Tensor,
    grad_y: Tensor,
    grad_last: Tensor | None,
    library: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    given = (gates, x, z, Lambda)
    to_gates, to_x, to_z, to_Lambda = (tensor.new_empty(tensor.shape) for tensor in given)
    to_h0 = x.new_empty(0 if h0 is None else h0.shape)
    return to_gates, to_x, to_z, to_Lambda, to_h0


def _differentiable(
    gates: Tensor, x: Tensor, z: Tensor, Lambda: Tensor, h0: Tensor | None, library: str
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    if transformed():
        # Nobody reads the other two, which are kept for the kernels' way back.
        y, last = unfused(gates, x, z, Lambda, h0)
        return y, last, torch.empty_like(x), torch.empty_like(Lambda)
    return _BDLRU.apply(gates, x, z, Lambda, h0, library)


def _over_channels(
    info: Any,
    in_dims: tuple[int | None, ...],
    gates: Tensor,
    x: Tensor,
    z: Tensor,
    Lambda: Tensor,
    h0: Tensor | None,
    library: str,
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """Compute it for one more dimension, of size V, as V times as many channels."""
    size = info.batch_size

    def side_by_side(tensor: Tensor, dim: int | None) -> Tensor:
        return lead(tensor, dim, size).movedim(0, -2).flatten(-2)  # [..., V H]

    to_gates, to_x, to_z, to_Lambda, to_h0, _ = in_dims
    r, i = lead(gates, to_gates, size).chunk(2, dim=-1)
    gates = torch.cat([side_by_side(r, 0), side_by_side(i, 0)], dim=-1)
    x = side_by_side(x, to_x)
    z = side_by_side(z, to_z)
    Lambda = side_by_side(Lambda, to_Lambda)
    if h0 is not None:
        h0 = side_by_side(h0, to_h0)

    outputs = _fused(gates, x, z, Lambda, h0, library)
    apart = tuple(tensor.unflatten(-1, (size, -1)) for tensor in outputs)
    return apart, tuple(tensor.dim() - 2 for tensor in apart)


_fused = define(
    "bd_lru(Tensor gates, Tensor x, Tensor z, Tensor Lambda, Tensor? h0, str library)"
    " -> (Tensor, Tensor, Tensor, Tensor)",
    kernel=_compute,
    fake=_fake,
    autograd=_differentiable,
    vmap=_over_channels,
)
_fused_back = define(
    "bd_lru_backward(Tensor gates, Tensor x, Tensor z, Tensor Lambda, Tensor? h0, Tensor h,"
    " Tensor decay, Tensor grad_y, Tensor? grad_last, str library)"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    kernel=_compute_back,
    fake=_fake_back,
)


class _BDLRU(torch.autograd.Function):
    """The fused kernels as one step of the chain rule.

    h is kept for the way back: reading it costs 4 bytes per element, computing it anew a walk.
    `library` is "numba" or "triton"; shapes are those of `bd_lru`.
    """

    @staticmethod
    def forward(
        ctx: Any,
        gates: Tensor,
        x: Tensor,
        z: Tensor,
        Lambda: Tensor,
        h0: Tensor | None,
        library: str,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        with below_autograd():
            y, last, h, decay = _fused(gates, x, z, Lambda, h0, library)
        ctx.save_for_backward(gates, x, z, Lambda, h0, h, decay)
        ctx.library = library
        ctx.mark_non_differentiable(h, decay)
        ctx.set_materialize_grads(False)  # no zeros [B, N, H] in the place of h's gradient
        return y, last, h, decay

    @staticmethod
    def backward(
        ctx: Any, grad_y: Tensor | None, grad_last: Tensor | None, *unused: None
    ) -> tuple[Tensor | None, ...]:
        gates, x, z, Lambda, h0, h, decay = ctx.saved_tensors
        if grad_y is None:
            grad_y = torch.zeros_like(x)

        # Under create_graph=True the gradients are to be differentiated in their turn.
        if torch.is_grad_enabled() or transformed():
            found = _gradients_in_pytorch(ctx.saved_tensors[:5], grad_y, grad_last)
            return *found, None  # None: a name has no gradient

        *found, to_h0 = _fused_back(
            gates, x, z, Lambda, h0, h, decay, grad_y, grad_last, ctx.library
        )
        return *found, None if h0 is None else to_h0, None


def _gradients_in_pytorch(
    inputs: tuple[Tensor | None, ...], grad_y: Tensor, grad_last: Tensor | None
) -> list[Tensor | None]:
    """Compute the gradients through the formula, by steps that autograd knows.

    inputs: gates, x, z, Lambda and h0, the last perhaps None; returned are their gradients.
    """
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        # Views, as two of the inputs may be one tensor, and each has a gradient of its own.
        own = [tensor.view_as(tensor) for tensor in inputs if tensor is not None]
        outputs = unfused(*own)

    gradients = (grad_y, torch.zeros_like(outputs[1]) if grad_last is None else grad_last)
    wanted = [tensor for tensor in own if tensor.requires_grad]
    found = iter(torch.autograd.grad(outputs, wanted, gradients, create_graph=again))
    by_input: list[Tensor | None] = [next(found) if one.requires_grad else None for one in own]
    return by_input + [None] * (len(inputs) - len(own))  # h0's, where there is none
