"""The fused BD-LRU on a CPU: gates, recurrence and output gate in one walk along time, and one walk back (notebook 10).

B rows, N positions, H channels. r, i, z: the gates before their sigmoids; s_r, s_i, s_z after, r_shut = 1 - s_r and so on. decay = softplus(Lambda),
t = decay s_r = -log alpha, beta = sqrt(1 - alpha^2), h the state, y = SiLU(z) h; g the gradient of h, q that of log decay.

A CPU adds and multiplies eight or sixteen floats in one instruction, but the exponential of its library takes them one by one. `_exp_parts` is an
exponential of additions, products and two reinterpretations of bits, so that the whole inner loop becomes vector instructions.
"""

import math

import numpy as np
import torch
from numba import njit
from torch import Tensor

from minirec.scan.numba_scan import line, new_state, run

ZERO, ONE = np.float32(0), np.float32(1)
LARGEST = np.float32(87)  # exp stays within float32's normal numbers
LOG2_E = np.float32(1 / math.log(2))
LN2_HIGH = np.float32(
    float.fromhex("0x1.62Ep-1")
)  # the first 12 bits of ln 2: its products with small whole numbers are exact
LN2_LOW = np.float32(math.log(2) - float(LN2_HIGH))
C2, C3, C4, C5, C6, C7 = (np.float32(1 / math.factorial(k)) for k in range(2, 8))
SHIFT = np.float32(
    3 << 22
)  # a number this large has no bits after the point: adding it rounds, and leaves the whole number in the lowest bits
EXPONENT = np.int32(127 - int(SHIFT.view(np.int32)))


def bd_lru_forward(
    gates: Tensor, x: Tensor, z: Tensor, decay: Tensor, h0: Tensor | None
) -> tuple[Tensor, Tensor]:
    """gates [B, N, 2H] = (r, i), x and z [B, N, H], decay [H], h0 [B, H] or None -> y, h [B, N, H]. In float32, for float32 and less."""
    y, h = torch.empty(x.shape), torch.empty(x.shape)
    run(_forward, (gates, x, z), (decay, new_state(h0, x), y, h))
    return y.to(x.dtype), h.to(x.dtype)


def bd_lru_backward(
    gates: Tensor,
    x: Tensor,
    z: Tensor,
    decay: Tensor,
    h0: Tensor | None,
    h: Tensor,
    grad_y: Tensor,
    grad_last: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The gradients of gates [B, N, 2H], x, z [B, N, H], log decay [H] and h0 [B, H]. grad_last: that of the final state [B, H], or None."""
    to_gates, to_x, to_z = (torch.empty(tensor.shape) for tensor in (gates, x, z))
    to_log_decay, carry = (
        torch.zeros(x.shape[0], x.shape[2], dtype=torch.float64),
        new_state(grad_last, x),
    )
    run(
        _backward,
        (gates, x, z, h, grad_y),
        (decay, new_state(h0, x), carry, to_gates, to_x, to_z, to_log_decay),
    )
    return (
        to_gates.to(gates.dtype),
        to_x.to(x.dtype),
        to_z.to(z.dtype),
        to_log_decay.sum(0),
        carry.to(x.dtype),
    )


@njit(cache=True, nogil=True, error_model="numpy")
def _forward(gates, x, z, decay, carry, y, h, first_row, last_row, first, last):
    """carry: the state before [B, H], afterwards the last."""
    n_channels, decay = h.shape[2], decay[first:last]
    for row in range(first_row, last_row):
        state = carry[row, first:last]
        for n in range(h.shape[1]):
            r, i = (
                line(gates, row, n, first, last),
                line(gates, row, n, n_channels + first, n_channels + last),
            )
            x_n, z_n = line(x, row, n, first, last), line(z, row, n, first, last)
            h_n, y_n = h[row, n, first:last], y[row, n, first:last]
            for c in range(len(state)):
                alpha, minus_one = _exps(-decay[c] * _sigmoids(r[c])[0])
                beta = np.sqrt(-minus_one * (ONE + alpha))  # sqrt((1 - alpha) (1 + alpha))
                state[c] = alpha * state[c] + beta * _sigmoids(i[c])[0] * x_n[c]
                h_n[c] = state[c]
                y_n[c] = z_n[c] * _sigmoids(z_n[c])[0] * state[c]


@njit(cache=True, nogil=True, error_model="numpy")
def _backward(
    gates,
    x,
    z,
    h,
    grad_y,
    decay,
    h0,
    carry,
    to_gates,
    to_x,
    to_z,
    to_log_decay,
    first_row,
    last_row,
    first,
    last,
):
    """carry: the gradient of the final state [B, H], afterwards that of h0. The gates are computed again: cheaper than reading them from memory."""
    n_channels, decay = to_x.shape[2], decay[first:last]
    for row in range(first_row, last_row):
        g_next, total = carry[row, first:last], to_log_decay[row, first:last]
        for n in range(to_x.shape[1] - 1, -1, -1):
            r, i = (
                line(gates, row, n, first, last),
                line(gates, row, n, n_channels + first, n_channels + last),
            )
            x_n, z_n, h_n, grad_n = (
                line(x, row, n, first, last),
                line(z, row, n, first, last),
                line(h, row, n, first, last),
                line(grad_y, row, n, first, last),
            )
            before = line(h, row, n - 1, first, last) if n else h0[row, first:last]
            to_r, to_i = (
                to_gates[row, n, first:last],
                to_gates[row, n, n_channels + first : n_channels + last],
            )
            to_x_n, to_z_n = to_x[row, n, first:last], to_z[row, n, first:last]
            for c in range(len(g_next) - 1, -1, -1):  # downwards, as n goes: see cpu._walk_back
                (s_r, r_shut), (s_i, i_shut), (s_z, z_shut) = (
                    _sigmoids(r[c]),
                    _sigmoids(i[c]),
                    _sigmoids(z_n[c]),
                )
                t = decay[c] * s_r
                alpha, minus_one = _exps(-t)
                beta = np.sqrt(-minus_one * (ONE + alpha))
                g = grad_n[c] * z_n[c] * s_z + g_next[c]
                g_next[c] = alpha * g
                to_z_n[c] = grad_n[c] * h_n[c] * s_z * (ONE + z_n[c] * z_shut)
                to_x_n[c] = g * beta * s_i
                to_i[c] = g * beta * s_i * i_shut * x_n[c]
                ratio = (
                    t / beta if beta > ZERO else ZERO
                )  # tends to sqrt(t / 2): finite, where 1 / beta is not
                q = g * alpha * (s_i * x_n[c] * alpha * ratio - before[c] * t)
                to_r[c] = q * r_shut
                total[c] += q


@njit(cache=True, inline="always")
def _exp_parts(x):
    """(p, s) with exp(x) = s (1 + p): s a power of 2, and 1 + p the exponential of what remains, at most ln(2) / 2, by its series."""
    x = min(max(x, -LARGEST), LARGEST)
    shifted = x * LOG2_E + SHIFT
    whole = shifted - SHIFT
    rest = (x - whole * LN2_HIGH) - whole * LN2_LOW
    p = rest + rest * rest * (
        C2 + rest * (C3 + rest * (C4 + rest * (C5 + rest * (C6 + rest * C7))))
    )
    return p, np.int32((np.float32(shifted).view(np.int32) + EXPONENT) << np.int32(23)).view(
        np.float32
    )


@njit(cache=True, inline="always")
def _sigmoids(x):
    """sigmoid(x) and 1 - sigmoid(x) = sigmoid(-x), both accurate where they are small."""
    p, s = _exp_parts(-x)
    inverse = s + s * p
    sigmoid = ONE / (ONE + inverse)
    return sigmoid, inverse * sigmoid


@njit(cache=True, inline="always")
def _exps(x):
    """exp(x), and exp(x) - 1 without cancellation where x is small."""
    p, s = _exp_parts(x)
    return s + s * p, (s - ONE) + s * p
