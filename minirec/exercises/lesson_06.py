"""The exercises of notebook 06: experts mixed, the data-aware gate, the gated MLP in both forms, mixing weights that look at the film."""

import torch
from torch.nn import functional as F

from minirec.exercises import Exercise


def _random(seed, *shapes):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in shapes)


def _mix(weights, attended, recurred):
    return weights[0] * attended + weights[1] * recurred


def _gated_mlp(z, W3, b3, W4, b4, Wo, bo, inner=lambda gate, value: F.gelu(gate) * value):
    gate = z @ W3 + b3
    return inner(gate, z) @ Wo + bo, inner(gate, z @ W4 + b4) @ Wo + bo


def _by_film(x, attended, recurred, W, b, weigh):
    weights = weigh(x @ W + b)
    return weights[..., :1] * attended + weights[..., 1:] * recurred


MIX = Exercise(
    solution=lambda raw, attended, recurred: _mix(raw.softmax(0), attended, recurred),
    cases=(
        _random(0, (2,), (3, 4), (3, 4)),
        _random(1, (2,), (2, 3, 5), (2, 3, 5)),
        (torch.tensor([0.5, 0.5]), torch.ones(1, 2), torch.zeros(1, 2)),
    ),
    mistakes=(
        (
            lambda raw, attended, recurred: _mix(raw / raw.exp().sum(), attended, recurred),
            "that is Eq. 10 as printed: its numerator lacks an exp, so the weights do not sum to 1. A softmax has exp above and below.",
        ),
        (
            lambda raw, attended, recurred: _mix(raw, attended, recurred),
            "you used the two scalars as they are. They go through a softmax first.",
        ),
        (
            lambda raw, attended, recurred: _mix(raw.softmax(0).flip(0), attended, recurred),
            "the weights are swapped: the first one is attention's.",
        ),
        (
            lambda raw, attended, recurred: _mix(raw.sigmoid(), attended, recurred),
            "a sigmoid treats the two scalars one by one, so both weights may be large at once. In a softmax they share 1 between them.",
        ),
        (
            lambda raw, attended, recurred: _mix(raw.softmax(0).softmax(0), attended, recurred),
            "you applied the softmax twice, which pulls the weights towards one half each. Once is enough.",
        ),
    ),
)

DATA_GATE = Exercise(
    solution=lambda x, m, W, b: F.gelu(x @ W + b) * m,
    cases=(
        _random(2, (3, 4), (3, 4), (4, 4), (4,)),
        _random(3, (2, 5, 3), (2, 5, 3), (3, 3), (3,)),
    ),
    mistakes=(
        (
            lambda x, m, W, b: F.gelu(m @ W + b) * m,
            "your gate looks at M, which it is to judge. In Eq. 11 it looks at X, the block's input.",
        ),
        (
            lambda x, m, W, b: F.gelu(m @ W + b) * x,
            "X and M are swapped: X makes the gate, M goes through it.",
        ),
        (
            lambda x, m, W, b: F.gelu((x @ W + b) * m),
            "the GeLU comes too late: it belongs to the gate alone, before the product with M.",
        ),
        (
            lambda x, m, W, b: torch.sigmoid(x @ W + b) * m,
            "a sigmoid confines the gate to 0 .. 1. Eq. 11 has a GeLU, which may amplify, and is a little negative at times.",
        ),
        (
            lambda x, m, W, b: F.silu(x @ W + b) * m,
            "that is SiLU, the selective gate's. Here it is GeLU: a times the normal distribution's share below a.",
        ),
        (
            lambda x, m, W, b: F.gelu(x @ W + b) + m,
            "gate and M are added. A gate multiplies what goes through it, entry by entry.",
        ),
        (
            lambda x, m, W, b: F.gelu(x @ W.T + b) * m,
            "you turned W round. Eq. 11 writes X W; it is nn.Linear that stores its weight the other way.",
        ),
    ),
)

GATED_MLP = Exercise(
    solution=_gated_mlp,
    cases=(
        _random(4, (5, 3), (3, 3), (3,), (3, 3), (3,), (3, 3), (3,)),
        _random(5, (2, 4, 2), (2, 2), (2,), (2, 2), (2,), (2, 2), (2,)),
    ),
    mistakes=(
        (
            lambda *inputs: _gated_mlp(*inputs)[::-1],
            "the right results in the wrong order: first the paper's, then the released one.",
        ),
        (
            lambda *inputs: (_gated_mlp(*inputs)[0],) * 2,
            "your released form is the paper's: there the gate multiplies a second map of Z, Z W4 + b4, not Z itself.",
        ),
        (
            lambda *inputs: (_gated_mlp(*inputs)[1],) * 2,
            "your paper's form is the released one: Eq. 12 multiplies the gate by Z itself; W4 and b4 are not in it.",
        ),
        (
            lambda *inputs: _gated_mlp(*inputs, inner=lambda gate, value: F.gelu(gate * value)),
            "the GeLU belongs to the gate alone, before the product.",
        ),
        (
            lambda z, W3, b3, W4, b4, Wo, bo: (
                _gated_mlp(z, W3, b3, W4, b4, Wo, bo)[0],
                (F.gelu(z @ W4 + b4) * (z @ W3 + b3)) @ Wo + bo,
            ),
            "in your released form gate and value are swapped: the GeLU is around Z W3 + b3, and Z W4 + b4 goes through it.",
        ),
        (
            lambda z, W3, b3, W4, b4, Wo, bo: (F.gelu(z @ W3 + b3) @ Wo + bo,) * 2,
            "that is an ordinary MLP: the product with the gated value is missing.",
        ),
    ),
)

MIX_BY_FILM = Exercise(
    solution=lambda x, attended, recurred, W, b: _by_film(
        x, attended, recurred, W, b, lambda raw: raw.softmax(-1)
    ),
    cases=(
        _random(6, (2, 3, 4), (2, 3, 4), (2, 3, 4), (4, 2), (2,)),
        _random(7, (1, 5, 3), (1, 5, 3), (1, 5, 3), (3, 2), (2,)),
    ),
    mistakes=(
        (
            lambda *inputs: _by_film(*inputs, lambda raw: raw.softmax(1)),
            "your softmax runs along the positions, so films compete with each other. The two experts should, at every position: the last dimension.",
        ),
        (
            lambda *inputs: _by_film(*inputs, lambda raw: raw),
            "the two numbers of a position are used as they are. They go through a softmax first.",
        ),
        (
            lambda *inputs: _by_film(*inputs, lambda raw: raw.mean(1, keepdim=True).softmax(-1)),
            "you averaged over the positions: all films of a row get the same weights. Each position should have its own.",
        ),
        (
            lambda *inputs: _by_film(*inputs, lambda raw: raw.softmax(-1).flip(-1)),
            "the weights are swapped: the first one is attention's.",
        ),
    ),
)

EXERCISES = {"06.1": MIX, "06.2": DATA_GATE, "06.3": GATED_MLP, "06.4": MIX_BY_FILM}
