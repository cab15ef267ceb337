"""The fused BD-LRU on a CPU: gates, recurrence and output gate in one walk along time, and back.

RecBLR, Eqs. 5 to 8. Notebook 11 derives both walks.

    B, N, H        rows, positions, channels
    r, i, z        the recurrence, input and output gates before their sigmoids
    s_r, s_i, s_z  the sigmoids of r, i and z; r_shut = 1 - s_r, and so on
    decay          softplus(Lambda) [H]
    t              decay s_r = -log alpha
    alpha, beta    how much of the state is kept, and sqrt(1 - alpha^2)
    h, y           the state, and the output SiLU(z) h
    g              the gradient of h
    q              the gradient of log t, and so of log decay

In kernels, `first_row` to `last_row` and `first` to `last` are the rows and channels of a block;
as in a slice, the last one is excluded.

A CPU adds and multiplies eight or sixteen floats in one instruction, but the exponential of its
library takes them one by one. `_exp_parts` is an exponential of additions, products and two
reinterpretations of bits, so that the whole inner loop becomes vector instructions.
"""

import math

import numpy as np
import torch
from numba import njit
from torch import Tensor

from minirec.scan.compiled import compiled
from minirec.scan.numba_scan import Strided, line, new_state, run_kernel

ZERO = np.float32(0)
ONE = np.float32(1)

# The exponential. Within +-LARGEST, exp stays within float32's normal numbers.
LARGEST = np.float32(87)
LOG2_E = np.float32(1 / math.log(2))

# ln 2 in two parts. The high one has 12 bits: its products with small whole numbers are exact.
LN2_HIGH = np.float32(float.fromhex("0x1.62Ep-1"))
LN2_LOW = np.float32(math.log(2) - float(LN2_HIGH))

# The series' coefficients, 1 / k!.
C2 = np.float32(1 / math.factorial(2))
C3 = np.float32(1 / math.factorial(3))
C4 = np.float32(1 / math.factorial(4))
C5 = np.float32(1 / math.factorial(5))
C6 = np.float32(1 / math.factorial(6))
C7 = np.float32(1 / math.factorial(7))

# A number so large has no bits after the point: adding it rounds to a whole number, and leaves
# that in the lowest bits. EXPONENT turns these bits into float32's exponent, which is off by 127.
SHIFT = np.float32(3 << 22)
EXPONENT = np.int32(127 - int(SHIFT.view(np.int32)))


def bd_lru_forward(
    gates: Tensor, x: Tensor, z: Tensor, decay: Tensor, h0: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Walk forwards; in float32, for float32 and smaller types.

    Parameters
    ----------
    gates : Tensor
        r and i side by side [B, N, 2H].
    x, z : Tensor
        The input and the output gate [B, N, H]. All three of any strides.
    decay : Tensor
        softplus(Lambda) [H], in float32.
    h0 : Tensor or None
        The state before the first position [B, H]; None: zeros.

    Returns
    -------
    y, h : Tensor
        The output and the states [B, N, H], of x's dtype.

    References
    ----------
    Notebook 11.
    """
    y = torch.empty(x.shape)
    h = torch.empty(x.shape)
    run_kernel(_forward, (gates, x, z), (decay, new_state(h0, x), y, h))
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
    """Walk backwards, from the gradients of the outputs to those of the inputs.

    Parameters
    ----------
    gates, x, z, decay, h0
        As in `bd_lru_forward`.
    h : Tensor
        The states that `bd_lru_forward` gave [B, N, H].
    grad_y : Tensor
        The gradient of y [B, N, H], of any strides.
    grad_last : Tensor or None
        The gradient of the final state [B, H]; None: zeros.

    Returns
    -------
    to_gates, to_x, to_z : Tensor
        The gradients of gates [B, N, 2H], x and z [B, N, H].
    to_log_decay : Tensor
        The gradient of log decay [H], in float64.
    to_h0 : Tensor
        The gradient of h0 [B, H].

    References
    ----------
    Notebook 11.
    """
    to_gates = torch.empty(gates.shape)
    to_x = torch.empty(x.shape)
    to_z = torch.empty(z.shape)

    # A total per row and channel, so that no two threads ever write to one place.
    to_log_decay = torch.zeros(x.shape[0], x.shape[2], dtype=torch.float64)

    carry = new_state(grad_last, x)
    read = (gates, x, z, h, grad_y)
    others = (decay, new_state(h0, x), carry, to_gates, to_x, to_z, to_log_decay)
    run_kernel(_backward, read, others)
    return (
        to_gates.to(gates.dtype),
        to_x.to(x.dtype),
        to_z.to(z.dtype),
        to_log_decay.sum(0),
        carry.to(x.dtype),
    )


# error_model="numpy": a division by zero gives infinity, as in NumPy. Python's error would need a
# branch, and the loop would not become vector instructions.
@compiled(nogil=True, error_model="numpy")
def _forward(
    gates: Strided,
    x: Strided,
    z: Strided,
    decay: np.ndarray,
    carry: np.ndarray,
    y: np.ndarray,
    h: np.ndarray,
    first_row: int,
    last_row: int,
    first: int,
    last: int,
) -> None:
    """Walk forwards over a block. carry [B, H]: the state before, afterwards the final one."""
    n_channels = h.shape[2]
    decay = decay[first:last]
    for row in range(first_row, last_row):
        state = carry[row, first:last]  # a view: what is written into it is kept in carry
        for n in range(h.shape[1]):
            r = line(gates, row, n, first, last)
            i = line(gates, row, n, n_channels + first, n_channels + last)
            x_n = line(x, row, n, first, last)
            z_n = line(z, row, n, first, last)
            h_n = h[row, n, first:last]
            y_n = y[row, n, first:last]

            for c in range(len(state)):
                s_r, _ = _sigmoids(r[c])
                s_i, _ = _sigmoids(i[c])
                s_z, _ = _sigmoids(z_n[c])
                alpha, minus_one = exp_and_expm1(-decay[c] * s_r)
                beta = np.sqrt(-minus_one * (ONE + alpha))  # sqrt((1 - alpha) (1 + alpha))
                state[c] = alpha * state[c] + beta * s_i * x_n[c]
                h_n[c] = state[c]
                y_n[c] = z_n[c] * s_z * state[c]


@compiled(nogil=True, error_model="numpy")
def _backward(
    gates: Strided,
    x: Strided,
    z: Strided,
    h: Strided,
    grad_y: Strided,
    decay: np.ndarray,
    h0: np.ndarray,
    carry: np.ndarray,
    to_gates: np.ndarray,
    to_x: np.ndarray,
    to_z: np.ndarray,
    to_log_decay: np.ndarray,
    first_row: int,
    last_row: int,
    first: int,
    last: int,
) -> None:
    """Walk backwards over a block. carry [B, H]: the final state's gradient, afterwards h0's.

    The gates are computed again: that is cheaper than reading them from memory.
    """
    n_channels = to_x.shape[2]
    decay = decay[first:last]
    for row in range(first_row, last_row):
        g_next = carry[row, first:last]  # alpha_{n+1} g_{n+1}
        total = to_log_decay[row, first:last]
        for n in range(to_x.shape[1] - 1, -1, -1):
            r = line(gates, row, n, first, last)
            i = line(gates, row, n, n_channels + first, n_channels + last)
            x_n = line(x, row, n, first, last)
            z_n = line(z, row, n, first, last)
            h_n = line(h, row, n, first, last)
            grad_n = line(grad_y, row, n, first, last)
            before = line(h, row, n - 1, first, last) if n > 0 else h0[row, first:last]
            to_r = to_gates[row, n, first:last]
            to_i = to_gates[row, n, n_channels + first : n_channels + last]
            to_x_n = to_x[row, n, first:last]
            to_z_n = to_z[row, n, first:last]

            # Downwards, as n goes: see _walk_back in numba_scan.py.
            for c in range(len(g_next) - 1, -1, -1):
                s_r, r_shut = _sigmoids(r[c])
                s_i, i_shut = _sigmoids(i[c])
                s_z, z_shut = _sigmoids(z_n[c])
                t = decay[c] * s_r
                alpha, minus_one = exp_and_expm1(-t)
                beta = np.sqrt(-minus_one * (ONE + alpha))

                g = grad_n[c] * z_n[c] * s_z + g_next[c]
                g_next[c] = alpha * g
                to_z_n[c] = grad_n[c] * h_n[c] * s_z * (ONE + z_n[c] * z_shut)
                to_x_n[c] = g * beta * s_i
                to_i[c] = g * beta * s_i * i_shut * x_n[c]

                # As t goes to 0, t / beta tends to sqrt(t / 2): finite, where 1 / beta is not.
                ratio = t / beta if beta > ZERO else ZERO
                q = g * alpha * (s_i * x_n[c] * alpha * ratio - before[c] * t)
                to_r[c] = q * r_shut
                total[c] += q


@njit(inline="always")
def _exp_parts(x: np.float32) -> tuple[np.float32, np.float32]:
    """Compute (p, s) with exp(x) = s (1 + p).

    s is a power of 2, and 1 + p the exponential of the rest, at most ln(2) / 2 in size, by its
    series.
    """
    x = min(max(x, -LARGEST), LARGEST)

    # x = whole * ln 2 + rest.
    shifted = x * LOG2_E + SHIFT
    whole = shifted - SHIFT
    rest = (x - whole * LN2_HIGH) - whole * LN2_LOW

    # Horner's rule, from the last term inwards.
    inner = C2 + rest * (C3 + rest * (C4 + rest * (C5 + rest * (C6 + rest * C7))))
    p = rest + rest * rest * inner

    # 2^whole: its exponent, 23 bits up, where float32 keeps it.
    exponent = np.float32(shifted).view(np.int32) + EXPONENT
    s = np.int32(exponent << np.int32(23)).view(np.float32)
    return p, s


@njit(inline="always")
def _sigmoids(x: np.float32) -> tuple[np.float32, np.float32]:
    """Compute sigmoid(x) and 1 - sigmoid(x) = sigmoid(-x), both accurate where they are small."""
    p, s = _exp_parts(-x)
    inverse = s + s * p
    sigmoid = ONE / (ONE + inverse)
    return sigmoid, inverse * sigmoid


@njit(inline="always")
def exp_and_expm1(x: np.float32) -> tuple[np.float32, np.float32]:
    """Compute exp(x), and exp(x) - 1 without cancellation where x is small (float32).

    Parameters
    ----------
    x : float32
        One number; outside +-87 it is taken for the nearer end.

    Returns
    -------
    tuple of float32
        exp(x) and exp(x) - 1.

    References
    ----------
    Notebook 11.
    """
    p, s = _exp_parts(x)
    return s + s * p, (s - ONE) + s * p
