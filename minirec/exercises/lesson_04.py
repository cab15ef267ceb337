"""The exercises of notebook 04: the slope of SiLU, a gate as a read-out matrix, parameters counted, a gate before the crossing."""

import torch
from torch.nn import functional as F

from minirec.exercises import Exercise


def _random(seed, *shapes):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in shapes)


def _gate(c, W1, b1, W2, b2, inner=F.silu):
    return inner(c @ W1 + b1) @ W2 + b2


def _gate_first(c, h, W1, b1, W2, b2, W_H, b_H):
    return (_gate(c, W1, b1, W2, b2) * h) @ W_H + b_H


def _count(d, d_hidden, crossing=True, gate_biases=True, crossing_bias=True):
    gate = 2 * d * d_hidden + gate_biases * (d_hidden + d)
    return gate + crossing * (d * d + crossing_bias * d)


SLOPE = Exercise(
    solution=lambda a: torch.sigmoid(a) * (1 + a * (1 - torch.sigmoid(a))),
    cases=tuple(
        (values,)
        for values in (
            *_random(0, (5,)),
            torch.tensor([-4.0, -1.0, 0.0, 1.0, 4.0], dtype=torch.float64),
        )
    ),
    mistakes=(
        (
            lambda a: torch.sigmoid(a) * (1 - torch.sigmoid(a)),
            "that is the slope of the sigmoid alone. SiLU is a product, a times sigmoid(a): use the product rule.",
        ),
        (
            lambda a: a * torch.sigmoid(a) * (1 - torch.sigmoid(a)),
            "half of the product rule: you kept a and took the slope of the sigmoid. The other term keeps the sigmoid.",
        ),
        (
            torch.sigmoid,
            "half of the product rule: you took the slope of a and kept the sigmoid. The other term keeps a and takes the sigmoid's slope.",
        ),
        (F.silu, "that is SiLU itself. The exercise asks for its slope."),
    ),
)

READ_OUT = Exercise(
    solution=lambda g, W_H, b_H: (W_H * g, b_H * g),
    cases=(_random(1, (3,), (3, 3), (3,)), _random(2, (4,), (4, 4), (4,))),
    mistakes=(
        (
            lambda g, W_H, b_H: (W_H * g, b_H),
            "the matrix is right. But the gate multiplies all of Phi(h), its bias too.",
        ),
        (
            lambda g, W_H, b_H: (W_H * g[:, None], b_H * g),
            "you scaled the rows of W_H: that gates the state before the crossing. With h on the left, feature i of the output is column i.",
        ),
        (
            lambda g, W_H, b_H: (W_H * g[:, None], b_H),
            "you scaled the rows of W_H, the state before the crossing, and left the bias alone. Feature i is column i of W_H and entry i of b_H.",
        ),
        (
            lambda g, W_H, b_H: (W_H, b_H * g),
            "the bias is right. The matrix has to be scaled as well, column by column.",
        ),
    ),
)

COUNT_PARAMETERS = Exercise(
    solution=lambda d: (_count(d, d), _count(d, d // 2)),
    cases=((4,), (64,), (128,)),
    mistakes=(
        (
            lambda d: (_count(d, d, False), _count(d, d // 2, False)),
            "you counted the gate alone. The crossing, W_H and b_H, belongs to the layer.",
        ),
        (
            lambda d: (_count(d, d, True, False, False), _count(d, d // 2, True, False, False)),
            "the three biases b1, b2 and b_H are missing.",
        ),
        (
            lambda d: (_count(d, d), _count(d, d) // 2),
            "half of everything is not what the bottleneck saves: the crossing stays whole, and b2 keeps one number for every feature.",
        ),
        (
            lambda d: (_count(d, d), _count(d, d // 2) + d - d // 2),
            "b1 has one number for every hidden unit, and in the released code there are only d/2 of those.",
        ),
        (
            lambda d: (_count(d, d // 2), _count(d, d)),
            "the right numbers in the wrong order: first Eq. 7 and 9 as printed, then the released code.",
        ),
    ),
)

_LAYER = ((5, 3), (5, 3), (3, 2), (2,), (2, 3), (3,), (3, 3), (3,))
GATE_FIRST = Exercise(
    solution=_gate_first,
    cases=(
        _random(3, *_LAYER),
        _random(4, (1, 2), (1, 2), (2, 2), (2,), (2, 2), (2,), (2, 2), (2,)),
    ),
    mistakes=(
        (
            lambda c, h, W1, b1, W2, b2, W_H, b_H: _gate(c, W1, b1, W2, b2) * (h @ W_H + b_H),
            "that is Eq. 9 itself, where the gate comes after the crossing. Here it multiplies the state, and the crossing comes last.",
        ),
        (
            lambda c, h, W1, b1, W2, b2, W_H, b_H: (_gate(c, W1, b1, W2, b2) * h) @ W_H,
            "the bias b_H of the crossing is missing; it is added last, where no gate reaches it.",
        ),
        (
            lambda c, h, W1, b1, W2, b2, W_H, b_H: _gate_first(h, h, W1, b1, W2, b2, W_H, b_H),
            "your gate reads the state. It should read c, what came in.",
        ),
        (
            lambda c, h, W1, b1, W2, b2, W_H, b_H: (
                (_gate(c, W1, b1, W2, b2, torch.sigmoid) * h) @ W_H + b_H
            ),
            "you have the sigmoid inside the gate. SiLU is a times sigmoid(a).",
        ),
    ),
)

EXERCISES = {"04.1": SLOPE, "04.2": READ_OUT, "04.3": COUNT_PARAMETERS, "04.4": GATE_FIRST}
