"""The exercises of notebook 11: the least time, a program's lanes, 2^n from bits, a fused backward.

B batch, N positions, D channels; a lane: one row's channel, of which a program owns `block`;
k, c, grad: [N, D], the minGRU's gate before its sigmoid, its candidate, and the gradient of h;
z = sigmoid(k); g: the gradient of h with what later states give back.
"""

import numpy as np
import torch

from minirec.exercises.checker import Exercise, mistake
from minirec.exercises.inputs import random_tensors

# 11.1 The least seconds that the recurrence takes, forward and backward.


def least_seconds(B, N, D, n_bytes, gigabytes_per_second):
    n_tensors = 3 + 5  # forward: a, b, h; backward: a, h and the gradient of h, those of a and b
    return seconds_to_move(n_tensors, B, N, D, n_bytes, gigabytes_per_second)


def seconds_to_move(n_tensors, B, N, D, n_bytes, gigabytes_per_second):
    """Return the seconds to read or write so many tensors of [B, N, D]."""
    return n_tensors * B * N * D * n_bytes / (gigabytes_per_second * 1e9)


@mistake("that is the forward walk alone. Backward reads three tensors and writes two more.")
def forward_alone(B, N, D, n_bytes, gigabytes_per_second):
    return seconds_to_move(3, B, N, D, n_bytes, gigabytes_per_second)


@mistake("you took four bytes a number. `n_bytes` says how many: 2 in bfloat16, 8 in float64.")
def four_bytes_each(B, N, D, n_bytes, gigabytes_per_second):
    return seconds_to_move(8, B, N, D, 4, gigabytes_per_second)


@mistake("that is the backward walk alone. Forward reads two tensors and writes one more.")
def backward_alone(B, N, D, n_bytes, gigabytes_per_second):
    return seconds_to_move(5, B, N, D, n_bytes, gigabytes_per_second)


@mistake(
    "one tensor is missing. Forward reads a and b and writes h. Backward reads a, h and the "
    "gradient, and writes two gradients."
)
def one_tensor_missing(B, N, D, n_bytes, gigabytes_per_second):
    return seconds_to_move(7, B, N, D, n_bytes, gigabytes_per_second)


@mistake("the bandwidth is in gigabytes a second: multiply it by 1e9.")
def bandwidth_in_bytes(B, N, D, n_bytes, gigabytes_per_second):
    return least_seconds(B, N, D, n_bytes, gigabytes_per_second) * 1e9


LEAST_SECONDS = Exercise(
    solution=least_seconds,
    cases=((64, 200, 128, 4, 10.0), (2048, 200, 128, 2, 4000.0), (1, 8192, 64, 8, 25.0)),
    mistakes=(
        forward_alone,
        four_bytes_each,
        backward_alone,
        one_tensor_missing,
        bandwidth_in_bytes,
    ),
)


# 11.2 The (row, channel) pairs that a Triton program owns, in the order of its lanes.


def lanes_of(program, block, B, D):
    lanes = range(program * block, (program + 1) * block)
    return [(lane // D, lane % D) for lane in lanes if lane < B * D]


@mistake("row and channel are exchanged. Channels are side by side, so they are the remainder.")
def row_and_channel_exchanged(program, block, B, D):
    return [(channel, row) for row, channel in lanes_of(program, block, B, D)]


@mistake("you divide by the number of rows. A row holds D lanes, so divide by D.")
def divided_by_rows(program, block, B, D):
    lanes = range(program * block, (program + 1) * block)
    return [(lane // B, lane % B) for lane in lanes if lane < B * D]


@mistake(
    "the last program has lanes that do not exist. Leave out those from B * D on: that is the mask."
)
def without_mask(program, block, B, D):
    lanes = range(program * block, (program + 1) * block)
    return [(lane // D, lane % D) for lane in lanes]


@mistake("one lane too many: they are numbered from 0, so lane B * D does not exist.")
def one_lane_too_many(program, block, B, D):
    lanes = range(program * block, (program + 1) * block)
    return [(lane // D, lane % D) for lane in lanes if lane <= B * D]


@mistake("program p starts where p programs of `block` lanes each have ended, at p * block.")
def starts_at_its_number(program, block, B, D):
    lanes = range(program, program + block)
    return [(lane // D, lane % D) for lane in lanes if lane < B * D]


LANES_OF = Exercise(
    solution=lanes_of,
    cases=((0, 4, 3, 5), (3, 4, 3, 5), (1, 8, 2, 16), (2, 4, 2, 3)),
    mistakes=(
        row_and_channel_exchanged,
        divided_by_rows,
        without_mask,
        one_lane_too_many,
        starts_at_its_number,
    ),
)


# 10.3 2^n as float32, by bits: one for the sign, 8 for the exponent, 23 for the fraction. n: int32.


def two_to(n):
    return ((n + 127) << 23).view(np.float32)


@mistake("the exponent field holds n + 127, not n: that is how it can say negative powers.")
def without_bias(n):
    return (n << 23).view(np.float32)


@mistake("you added 128. The field of 1.0 = 2^0 holds 127.")
def bias_of_128(n):
    return ((n + 128) << 23).view(np.float32)


@mistake("shifted by 22 places, the number lands partly in the fraction. The fraction has 23 bits.")
def shifted_by_22(n):
    return ((n + 127) << 22).view(np.float32)


@mistake(
    "you converted the integer to the nearest float. Reinterpret its bits instead: "
    "`.view(np.float32)`."
)
def converted(n):
    return ((n + 127) << 23).astype(np.float32)


TWO_TO = Exercise(
    solution=two_to,
    cases=(
        (np.array([0, 1, 3, -2], dtype=np.int32),),
        (np.array([-126, 10, 127], dtype=np.int32),),
    ),
    mistakes=(without_bias, bias_of_128, shifted_by_22, converted),
)


# 11.4 The gradients of k and c, [N, D] each, for the minGRU h_n = (1 - z_n) h_{n-1} + z_n c_n.


def min_gru_backward(k, c, grad):
    z = torch.sigmoid(k)
    g = walk_back(1 - z, grad)
    return gradients(z, c, g, states_before(z, c))


def states(z, c):
    h = torch.zeros_like(c)
    state = torch.zeros_like(c[0])
    for n in range(len(c)):
        state = (1 - z[n]) * state + z[n] * c[n]
        h[n] = state
    return h


def states_before(z, c):
    """Return h_{n-1} for each n, 0 at the first."""
    h = states(z, c)
    return torch.cat([torch.zeros_like(h[:1]), h[:-1]])


def walk_back(kept, grad):
    """Return g_n = grad_n + kept_{n+1} g_{n+1}."""
    g = torch.zeros_like(grad)
    onward = torch.zeros_like(grad[0])
    for n in reversed(range(len(grad))):
        g[n] = grad[n] + onward
        onward = kept[n] * g[n]
    return g


def gradients(z, c, g, before):
    """Return the gradients of k and c. before: what is subtracted from c, h_{n-1}."""
    to_k = g * (c - before) * (z * (1 - z))
    to_c = g * z
    return to_k, to_c


@mistake(
    "you subtract h_n. The derivative with respect to z_n is c_n - h_{n-1}, the state before the "
    "step."
)
def state_after_the_step(k, c, grad):
    z = torch.sigmoid(k)
    g = walk_back(1 - z, grad)
    return gradients(z, c, g, states(z, c))


@mistake("that is the gradient of z. k comes before the sigmoid: multiply by z (1 - z).")
def gradient_of_z(k, c, grad):
    z = torch.sigmoid(k)
    g = walk_back(1 - z, grad)
    return g * (c - states_before(z, c)), g * z


@mistake("what flows on to h_{n-1} is multiplied by the factor of h_{n-1}, which is 1 - z_n.")
def wrong_share_flows_on(k, c, grad):
    z = torch.sigmoid(k)
    g = walk_back(z, grad)
    return gradients(z, c, g, states_before(z, c))


@mistake(
    "each position is treated alone. A state also acts on all later ones: carry (1 - z_n) g_n to "
    "the position before."
)
def each_position_alone(k, c, grad):
    z = torch.sigmoid(k)
    return gradients(z, c, grad, states_before(z, c))


MIN_GRU_BACKWARD = Exercise(
    solution=min_gru_backward,
    cases=(
        random_tensors(0, (5, 3), (5, 3), (5, 3)),
        random_tensors(1, (1, 2), (1, 2), (1, 2)),
    ),
    mistakes=(
        state_after_the_step,
        gradient_of_z,
        wrong_share_flows_on,
        each_position_alone,
    ),
)

EXERCISES = {
    "11.1": LEAST_SECONDS,
    "11.2": LANES_OF,
    "11.3": TWO_TO,
    "11.4": MIN_GRU_BACKWARD,
}
