"""The behaviour-dependent linear recurrent unit as one operator (RecBLR; notebook 08 derives it, notebook 10 fuses it).

B rows, N positions, H channels. s_r = sigmoid(r), s_i = sigmoid(i), t = softplus(Lambda) s_r:

    alpha = exp(-t)    h_n = alpha_n h_{n-1} + sqrt(1 - alpha_n^2) s_i x_n    y_n = SiLU(z_n) h_n
"""

import importlib

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from minirec.scan.recurrence import best, kernels, linear_recurrence

FUSED_KERNELS = {"numba": "minirec.scan.numba_bd_lru", "triton": "minirec.scan.triton_bd_lru"}


def bd_lru(
    gates: Tensor,
    x: Tensor,
    z: Tensor,
    Lambda: Tensor,
    h0: Tensor | None = None,
    *,
    impl: str = "auto",
) -> tuple[Tensor, Tensor]:
    """gates [B, N, 2H] = (r, i) before their sigmoids, x and z [B, N, H], Lambda [H], h0 [B, H] (zeros unless given) -> (y [B, N, H], the final state [B, H]).

    impl: "fused", one pass there and one back; "unfused", the formula in PyTorch around `linear_recurrence`, the reference; "auto", fused where there are
    kernels for the device (in float64 on a GPU only) and at least one position; but on a GPU a few long rows, for which the scan has chunks of time
    and the fused walk has none, take the formula. Gradients flow to all five.
    """
    if (
        gates.dim() != 3
        or gates.shape[2] % 2
        or x.shape != z.shape
        or x.shape != (*gates.shape[:2], gates.shape[2] // 2)
        or Lambda.shape != x.shape[2:]
    ):
        raise ValueError(
            f"gates must be [B, N, 2H], x and z [B, N, H], Lambda [H]; got {list(gates.shape)}, {list(x.shape)}, {list(z.shape)}, "
            f"{list(Lambda.shape)}."
        )
    if h0 is not None and h0.shape != (x.shape[0], x.shape[2]):
        raise ValueError(
            f"h0 must have the shape [B, H] = {[x.shape[0], x.shape[2]]}; got {list(h0.shape)}."
        )
    if impl not in ("auto", "fused", "unfused"):
        raise ValueError(f"impl must be 'auto', 'fused' or 'unfused'; got {impl!r}.")
    library = best(x.device)
    can_fuse = library == "triton" or (library == "numba" and x.dtype != torch.float64)
    if impl == "fused" and not can_fuse:
        raise RuntimeError(
            f"there is no fused kernel for {x.dtype} on {x.device} here; use impl='auto'."
        )
    few_lanes = (
        impl == "auto" and library == "triton" and kernels(library, x.device).chunks(x)[0] > 1
    )
    if impl == "unfused" or not can_fuse or few_lanes or x.shape[1] == 0:
        return unfused(gates, x, z, Lambda, h0)
    return _BDLRU.apply(gates, x, z, Lambda, h0, library)


def unfused(
    gates: Tensor, x: Tensor, z: Tensor, Lambda: Tensor, h0: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The same in PyTorch, operation by operation, in float32 or better: bfloat16 would round a decay of 0.999 to 1."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    (r, i), h0 = (
        gates.to(dtype).chunk(2, dim=-1),
        x.new_zeros(x.shape[0], x.shape[2]) if h0 is None else h0,
    )
    log_alpha, scale = decay_and_scale(r, Lambda.to(dtype))
    h = linear_recurrence(log_alpha.exp(), scale * torch.sigmoid(i) * x, h0.to(dtype))
    return (F.silu(z.to(dtype)) * h).to(x.dtype), (h[:, -1] if x.shape[1] else h0).to(x.dtype)


def decay_and_scale(r: Tensor, Lambda: Tensor) -> tuple[Tensor, Tensor]:
    """log alpha = -softplus(Lambda) sigmoid(r), and sqrt(1 - alpha^2), accurate where alpha is near 1; r [..., H], Lambda [H]."""
    log_alpha = -F.softplus(Lambda) * torch.sigmoid(r)
    # the root's slope is infinite at 0, which sigmoid(r) reaches where it underflows; clamped, the gradient is 0 there
    return log_alpha, (-torch.expm1(2 * log_alpha)).clamp_min(
        torch.finfo(log_alpha.dtype).tiny
    ).sqrt()


class _BDLRU(torch.autograd.Function):
    """The fused kernels as one step of the chain rule. h is kept for the way back: reading it costs 4 bytes an element, computing it anew a walk."""

    @staticmethod
    def forward(ctx, gates, x, z, Lambda, h0, library):
        module = importlib.import_module(FUSED_KERNELS[library])
        decay = F.softplus(Lambda.detach().to(torch.promote_types(x.dtype, torch.float32)))
        y, h = module.bd_lru_forward(gates, x, z, decay, h0)
        ctx.save_for_backward(gates, x, z, Lambda, decay, h0, h)
        ctx.module = module
        return y, h[:, -1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_y, grad_last):
        gates, x, z, Lambda, decay, h0, h = ctx.saved_tensors
        to_gates, to_x, to_z, to_log_decay, to_h0 = ctx.module.bd_lru_backward(
            gates, x, z, decay, h0, h, grad_y, grad_last
        )
        slope = torch.sigmoid(Lambda.double()) / F.softplus(Lambda.double()).clamp_min(
            torch.finfo(torch.float64).tiny
        )  # of log softplus
        return (
            to_gates,
            to_x,
            to_z,
            (to_log_decay * slope).to(Lambda.dtype),
            None if h0 is None else to_h0,
            None,
        )
