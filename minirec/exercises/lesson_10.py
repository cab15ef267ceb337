"""The exercises of notebook 10: the least time a recurrence can take, a program's lanes, a power of two from bits, a fused backward of another unit."""

import numpy as np
import torch

from minirec.exercises import Exercise


def _random(seed, *shapes):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in shapes)


def _least(passes, per_number=None):
    def seconds(B, N, D, n_bytes, gigabytes_a_second):
        return passes * B * N * D * (per_number or n_bytes) / (gigabytes_a_second * 1e9)

    return seconds


def _lanes(
    place=lambda lane, B, D: (lane // D, lane % D),
    first=lambda program, block: program * block,
    live=lambda lane, B, D: lane < B * D,
):
    def answer(program, block, B, D):
        lane = first(program, block) + np.arange(block)
        return [
            row_channel
            for row_channel, exists in zip(
                zip(*(part.tolist() for part in place(lane, B, D))), live(lane, B, D)
            )
            if exists
        ]

    return answer


def _two_to(bias=127, shift=23):
    return lambda n: ((n + np.int32(bias)) << np.int32(shift)).astype(np.int32).view(np.float32)


def _min_gru_backward(
    before=lambda h, n: h[n - 1], slope=lambda z: z * (1 - z), kept=lambda z: 1 - z, carried=True
):
    def backward(k, c, grad):
        z, h, states = torch.sigmoid(k), torch.zeros_like(c[0]), []
        for n in range(len(c)):
            h = (1 - z[n]) * h + z[n] * c[n]
            states.append(h)
        states = torch.cat(
            [torch.stack(states), torch.zeros_like(c[:1])]
        )  # states[-1] is the zero before the first
        to_k, to_c, onward = torch.empty_like(k), torch.empty_like(c), torch.zeros_like(c[0])
        for n in reversed(range(len(c))):
            g = grad[n] + onward
            to_c[n], to_k[n] = g * z[n], g * (c[n] - before(states, n)) * slope(z[n])
            onward = kept(z[n]) * g if carried else onward
        return to_k, to_c

    return backward


LEAST_SECONDS = Exercise(
    solution=_least(8),
    cases=((64, 200, 128, 4, 10.0), (2048, 200, 128, 2, 4000.0), (1, 8192, 64, 8, 25.0)),
    mistakes=(
        (
            _least(3),
            "that is the forward walk alone. Backward reads three tensors and writes two more.",
        ),
        (
            _least(8, 4),
            "you took four bytes a number. `n_bytes` says how many: 2 in bfloat16, 8 in float64.",
        ),
        (
            _least(5),
            "that is the backward walk alone. Forward reads two tensors and writes one more.",
        ),
        (
            _least(7),
            "one tensor is missing. Forward reads a and b and writes h. Backward reads a, h and the gradient, and writes two gradients.",
        ),
        (
            lambda *given: _least(8)(*given) * 1e9,
            "the bandwidth is in gigabytes a second: multiply it by 1e9.",
        ),
    ),
)

LANES_OF = Exercise(
    solution=_lanes(),
    cases=((0, 4, 3, 5), (3, 4, 3, 5), (1, 8, 2, 16), (2, 4, 2, 3)),
    mistakes=(
        (
            _lanes(place=lambda lane, B, D: (lane % D, lane // D)),
            "row and channel are exchanged. Channels are side by side, so they are the remainder.",
        ),
        (
            _lanes(place=lambda lane, B, D: (lane // B, lane % B)),
            "you divide by the number of rows. A row holds D lanes, so divide by D.",
        ),
        (
            _lanes(live=lambda lane, B, D: lane >= 0),
            "the last program has lanes that do not exist. Leave out those from B * D on: that is the mask.",
        ),
        (
            _lanes(live=lambda lane, B, D: lane <= B * D),
            "one lane too many: they are numbered from 0, so lane B * D does not exist.",
        ),
        (
            _lanes(first=lambda program, block: program),
            "program p starts where p programs of `block` lanes each have ended, at p * block.",
        ),
    ),
)

TWO_TO = Exercise(
    solution=_two_to(),
    cases=(
        (np.array([0, 1, 3, -2], dtype=np.int32),),
        (np.array([-126, 10, 127], dtype=np.int32),),
    ),
    mistakes=(
        (
            _two_to(bias=0),
            "the exponent field holds n + 127, not n: that is how it can say negative powers.",
        ),
        (_two_to(bias=128), "you added 128. The field of 1.0 = 2^0 holds 127."),
        (
            _two_to(shift=22),
            "shifted by 22 places, the number lands partly in the fraction. The fraction has 23 bits.",
        ),
        (
            lambda n: ((n + 127) << 23).astype(np.float32),
            "you converted the integer to the nearest float. Reinterpret its bits instead: `.view(np.float32)`.",
        ),
    ),
)

MIN_GRU_BACKWARD = Exercise(
    solution=_min_gru_backward(),
    cases=(_random(0, (5, 3), (5, 3), (5, 3)), _random(1, (1, 2), (1, 2), (1, 2))),
    mistakes=(
        (
            _min_gru_backward(before=lambda h, n: h[n]),
            "you subtract h_n. The derivative with respect to z_n is c_n - h_{n-1}, the state before the step.",
        ),
        (
            _min_gru_backward(slope=lambda z: 1.0),
            "that is the gradient of z. k comes before the sigmoid: multiply by z (1 - z).",
        ),
        (
            _min_gru_backward(kept=lambda z: z),
            "what flows on to h_{n-1} is multiplied by the factor of h_{n-1}, which is 1 - z_n.",
        ),
        (
            _min_gru_backward(carried=False),
            "each position is treated alone. A state also acts on all later ones: carry (1 - z_n) g_n to the position before.",
        ),
    ),
)

EXERCISES = {"10.1": LEAST_SECONDS, "10.2": LANES_OF, "10.3": TWO_TO, "10.4": MIN_GRU_BACKWARD}
