"""The exercises of notebook 06: experts mixed, the data-aware gate, the gated MLP, weights by film.

x: [..., d], the block's inputs; attended and recurred: [..., d], what attention and the GRU make of
them; raw: [2], two trained scalars, attention's first; m: [..., d], the mixed experts M of Eq. 11;
z: [..., d], the inputs Z of Eq. 12; W, b and the like: matrices used as in x @ W, and their biases.
"""

import torch
from torch.nn import functional as F

from minirec.exercises.checker import Exercise, mistake
from minirec.exercises.inputs import random_tensors

# 06.1 The two experts mixed by Eq. 10 as it is meant, by a softmax of the two scalars.


def mix_experts(raw, attended, recurred):
    return weighted(raw.softmax(0), attended, recurred)


def weighted(weights, attended, recurred):
    """Mix with one pair of weights for all positions. weights: [2]."""
    return weights[0] * attended + weights[1] * recurred


@mistake(
    "that is Eq. 10 as printed: its numerator lacks an exp, so the weights do not sum to 1. A "
    "softmax has exp above and below."
)
def as_printed(raw, attended, recurred):
    return weighted(raw / raw.exp().sum(), attended, recurred)


@mistake("you used the two scalars as they are. They go through a softmax first.")
def scalars_as_they_are(raw, attended, recurred):
    return weighted(raw, attended, recurred)


@mistake("the weights are swapped: the first one is attention's.")
def experts_swapped(raw, attended, recurred):
    return mix_experts(raw, recurred, attended)


@mistake(
    "a sigmoid treats the two scalars one by one, so both weights may be large at once. In a "
    "softmax they share 1 between them."
)
def sigmoid_for_softmax(raw, attended, recurred):
    return weighted(raw.sigmoid(), attended, recurred)


@mistake(
    "you applied the softmax twice, which pulls the weights towards one half each. Once is enough."
)
def softmax_twice(raw, attended, recurred):
    return weighted(raw.softmax(0).softmax(0), attended, recurred)


MIX_EXPERTS = Exercise(
    solution=mix_experts,
    cases=(
        random_tensors(0, (2,), (3, 4), (3, 4)),
        random_tensors(1, (2,), (2, 3, 5), (2, 3, 5)),
        (torch.tensor([0.5, 0.5]), torch.ones(1, 2), torch.zeros(1, 2)),
    ),
    mistakes=(
        as_printed,
        scalars_as_they_are,
        experts_swapped,
        sigmoid_for_softmax,
        softmax_twice,
    ),
)


# 06.2 The data-aware gate of Eq. 11. W: [d, d]; b: [d].


def data_aware(x, m, W, b):
    return F.gelu(x @ W + b) * m


@mistake("your gate looks at M, which it is to judge. In Eq. 11 it looks at X, the block's input.")
def gate_looks_at_m(x, m, W, b):
    return F.gelu(m @ W + b) * m


@mistake("X and M are swapped: X makes the gate, M goes through it.")
def x_and_m_swapped(x, m, W, b):
    return F.gelu(m @ W + b) * x


@mistake("the GeLU comes too late: it belongs to the gate alone, before the product with M.")
def gelu_of_the_product(x, m, W, b):
    return F.gelu((x @ W + b) * m)


@mistake(
    "a sigmoid confines the gate to 0 .. 1. Eq. 11 has a GeLU, which may amplify, and is a little "
    "negative at times."
)
def sigmoid_for_gelu(x, m, W, b):
    return torch.sigmoid(x @ W + b) * m


@mistake(
    "that is SiLU, the selective gate's. Here it is GeLU: a times the normal distribution's share "
    "below a."
)
def silu_for_gelu(x, m, W, b):
    return F.silu(x @ W + b) * m


@mistake("gate and M are added. A gate multiplies what goes through it, entry by entry.")
def gate_added(x, m, W, b):
    return F.gelu(x @ W + b) + m


@mistake(
    "you turned W round. Eq. 11 writes X W; it is nn.Linear that stores its weight the other way."
)
def matrix_turned_round(x, m, W, b):
    return F.gelu(x @ W.T + b) * m


DATA_AWARE = Exercise(
    solution=data_aware,
    cases=(
        random_tensors(2, (3, 4), (3, 4), (4, 4), (4,)),
        random_tensors(3, (2, 5, 3), (2, 5, 3), (3, 3), (3,)),
    ),
    mistakes=(
        gate_looks_at_m,
        x_and_m_swapped,
        gelu_of_the_product,
        sigmoid_for_gelu,
        silu_for_gelu,
        gate_added,
        matrix_turned_round,
    ),
)


# 06.3 The gated MLP by Eq. 12, and as the released code has it, without the residual.


def gated_mlps(z, W3, b3, W4, b4, Wo, bo):
    gate = F.gelu(z @ W3 + b3)
    paper = (gate * z) @ Wo + bo
    released = (gate * (z @ W4 + b4)) @ Wo + bo
    return paper, released


@mistake("the right results in the wrong order: first the paper's, then the released one.")
def in_the_wrong_order(*inputs):
    paper, released = gated_mlps(*inputs)
    return released, paper


@mistake(
    "your released form is the paper's: there the gate multiplies a second map of Z, Z W4 + b4, "
    "not Z itself."
)
def the_papers_twice(*inputs):
    paper, _ = gated_mlps(*inputs)
    return paper, paper


@mistake(
    "your paper's form is the released one: Eq. 12 multiplies the gate by Z itself; W4 and b4 are "
    "not in it."
)
def the_released_twice(*inputs):
    _, released = gated_mlps(*inputs)
    return released, released


@mistake("the GeLU belongs to the gate alone, before the product.")
def gelu_of_both_products(z, W3, b3, W4, b4, Wo, bo):
    gate = z @ W3 + b3
    paper = F.gelu(gate * z) @ Wo + bo
    released = F.gelu(gate * (z @ W4 + b4)) @ Wo + bo
    return paper, released


@mistake(
    "in your released form gate and value are swapped: the GeLU is around Z W3 + b3, and Z W4 + b4 "
    "goes through it."
)
def gate_and_value_swapped(z, W3, b3, W4, b4, Wo, bo):
    paper, _ = gated_mlps(z, W3, b3, W4, b4, Wo, bo)
    _, released = gated_mlps(z, W4, b4, W3, b3, Wo, bo)
    return paper, released


@mistake("that is an ordinary MLP: the product with the gated value is missing.")
def ordinary_mlp(z, W3, b3, W4, b4, Wo, bo):
    output = F.gelu(z @ W3 + b3) @ Wo + bo
    return output, output


GATED_MLPS = Exercise(
    solution=gated_mlps,
    cases=(
        random_tensors(4, (5, 3), (3, 3), (3,), (3, 3), (3,), (3, 3), (3,)),
        random_tensors(5, (2, 4, 2), (2, 2), (2,), (2, 2), (2,), (2, 2), (2,)),
    ),
    mistakes=(
        in_the_wrong_order,
        the_papers_twice,
        the_released_twice,
        gelu_of_both_products,
        gate_and_value_swapped,
        ordinary_mlp,
    ),
)


# 06.4 The experts mixed anew at every position. x: [B, N, d]; W: [d, 2]; b: [2].


def mix_by_film(x, attended, recurred, W, b):
    weights = (x @ W + b).softmax(-1)
    return weighted_by_position(weights, attended, recurred)


def weighted_by_position(weights, attended, recurred):
    """Mix with a pair of weights at each position. weights: [B, N, 2]."""
    return weights[..., :1] * attended + weights[..., 1:] * recurred


@mistake(
    "your softmax runs along the positions, so films compete with each other. The two experts "
    "should, at every position: the last dimension."
)
def softmax_over_positions(x, attended, recurred, W, b):
    weights = (x @ W + b).softmax(1)
    return weighted_by_position(weights, attended, recurred)


@mistake("the two numbers of a position are used as they are. They go through a softmax first.")
def without_softmax(x, attended, recurred, W, b):
    return weighted_by_position(x @ W + b, attended, recurred)


@mistake(
    "you averaged over the positions: all films of a row get the same weights. Each position "
    "should have its own."
)
def one_pair_per_row(x, attended, recurred, W, b):
    weights = (x @ W + b).mean(1, keepdim=True).softmax(-1)
    return weighted_by_position(weights, attended, recurred)


@mistake("the weights are swapped: the first one is attention's.")
def experts_swapped_by_film(x, attended, recurred, W, b):
    return mix_by_film(x, recurred, attended, W, b)


MIX_BY_FILM = Exercise(
    solution=mix_by_film,
    cases=(
        random_tensors(6, (2, 3, 4), (2, 3, 4), (2, 3, 4), (4, 2), (2,)),
        random_tensors(7, (1, 5, 3), (1, 5, 3), (1, 5, 3), (3, 2), (2,)),
    ),
    mistakes=(
        softmax_over_positions,
        without_softmax,
        one_pair_per_row,
        experts_swapped_by_film,
    ),
)

EXERCISES = {
    "06.1": MIX_EXPERTS,
    "06.2": DATA_AWARE,
    "06.3": GATED_MLPS,
    "06.4": MIX_BY_FILM,
}
