"""The exercises of notebook 02: a gate for a given memory, the update gate turned round, parameters counted, a cell with one gate."""

import math

import torch

from minirec.exercises import Exercise


def _change_third(parameter, third, change):
    parts = list(parameter.chunk(3))
    parts[third] = change(parts[third])
    return torch.cat(parts)


def _minus(part):
    return -part


def _minimal_step(x, h, W, U, b, mix, recur):
    """The minimal gated unit, with `mix` for its last line and `recur` for what the candidate gets of the state."""
    x_f, x_c = (x @ W.T + b).chunk(2, dim=-1)
    U_f, U_c = U.chunk(2)
    f = torch.sigmoid(x_f + h @ U_f.T)
    return mix(f, torch.tanh(x_c + recur(f, h, U_c)), h)


def _mix(f, candidate, h):
    return f * candidate + (1 - f) * h


def _before(f, h, U):
    return (f * h) @ U.T


def _random(seed, *shapes):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in shapes)


GATE_FOR = Exercise(
    solution=lambda share, n: 1 - share ** (1 / n),
    cases=((0.5, 1), (0.5, 20), (0.1, 5), (0.9, 3)),
    mistakes=(
        (
            lambda share, n: share ** (1 / n),
            "that is the share each step keeps, 1 - z. In Eq. 1 the gate z is the share that is replaced.",
        ),
        (
            lambda share, n: (1 - share) / n,
            "you spread the loss evenly over the steps. Each step takes its share of what is still left, so the factors multiply.",
        ),
        (
            lambda share, n: 1 - share**n,
            "you took the n-th power where the n-th root is wanted: the share that is left is the n-th power of 1 - z.",
        ),
        (
            lambda share, n: -math.log(share) / n,
            "close for small gates, where ln(1 - z) is nearly -z. Solve (1 - z)^n = share without that approximation.",
        ),
    ),
)

TURNED = Exercise(
    solution=lambda parameter: _change_third(parameter, 1, _minus),
    cases=(_random(0, (6, 3)), _random(1, (6, 2)), _random(2, (9,))),
    mistakes=(
        (
            lambda parameter: _change_third(parameter, 1, lambda part: 1 - part),
            "1 - sigmoid(a) is sigmoid(-a), not sigmoid(1 - a): what changes is the sign inside the sigmoid.",
        ),
        (
            lambda parameter: -parameter,
            "you turned all three. Reset gate and candidate stay as they are; only the middle third changes sign.",
        ),
        (
            lambda parameter: _change_third(parameter, 0, _minus),
            "you turned the first third, the reset gate. The order is reset, update, candidate.",
        ),
        (
            lambda parameter: _change_third(parameter, 2, _minus),
            "you turned the last third, the candidate. The order is reset, update, candidate.",
        ),
    ),
)

COUNT_PARAMETERS = Exercise(
    solution=lambda d, s: (3 * s * (d + s + 2), 3 * s * (d + s + 1)),
    cases=((3, 4), (64, 128), (1, 1)),
    mistakes=(
        (
            lambda d, s: (3 * s * (d + s + 1),) * 2,
            "you counted the bias once for both. PyTorch adds two to each gate and to the candidate, b and u.",
        ),
        (
            lambda d, s: (3 * s * (d + s + 2),) * 2,
            "you counted the bias twice for both. Eq. 1 adds only one to each gate and one to the candidate.",
        ),
        (
            lambda d, s: (3 * s * (d + s) + 4 * s, 3 * s * (d + s + 1)),
            "you merged the two biases of each gate. They could be merged, but PyTorch keeps and trains all six.",
        ),
        (
            lambda d, s: (s * (d + s + 2), s * (d + s + 1)),
            "that is a third of it: reset gate, update gate and candidate have matrices of their own.",
        ),
        (
            lambda d, s: (3 * s * (d + s + 1), 3 * s * (d + s + 2)),
            "the right numbers in the wrong order: first torch.nn.GRU, then Eq. 1.",
        ),
    ),
)

MINIMAL_STEP = Exercise(
    solution=lambda *inputs: _minimal_step(*inputs, _mix, _before),
    cases=(
        _random(3, (5, 3), (5, 4), (8, 3), (8, 4), (8,)),
        _random(4, (1, 2), (1, 2), (4, 2), (4, 2), (4,)),
    ),
    mistakes=(
        (
            lambda *inputs: _minimal_step(
                *inputs, lambda f, candidate, h: (1 - f) * candidate + f * h, _before
            ),
            "the gate is turned round, as PyTorch has it. Here f is the share of the candidate and 1 - f that of the old state.",
        ),
        (
            lambda *inputs: _minimal_step(*inputs, _mix, lambda f, h, U: f * (h @ U.T)),
            "the gate acts after the product, f * (U h), as in PyTorch. Here it acts before: U (f * h).",
        ),
        (
            lambda *inputs: _minimal_step(*inputs, _mix, lambda f, h, U: h @ U.T),
            "the candidate sees the whole old state. The gate stands in two places: it is applied to h before the candidate's product as well.",
        ),
    ),
)

EXERCISES = {"02.1": GATE_FOR, "02.2": TURNED, "02.3": COUNT_PARAMETERS, "02.4": MINIMAL_STEP}
