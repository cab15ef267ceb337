"""The exercises of notebook 06: GeLU's dip, a mixture, weights that leak, weights counted, a third.

x: [B, N, d], the block's inputs; attended and recurred: [B, N, d], what attention and the GRU make
of them; raw: trained numbers, one for each expert, before their softmax; W: [d, 2]; b: [2].
"""

import torch

from minirec.exercises.checker import Exercise, mistake, predicted
from minirec.exercises.inputs import random_tensors

# 06.1 The lowest value of GeLU, read off its figure.

LOWEST_GATE = predicted(
    -0.17,
    {
        0.17: "mind the sign: the curve dips below the zero line.",
        0.0: "look just left of a = 0: the curve crosses below the zero line there.",
        -0.75: "that is the input at which the curve is lowest. Asked is how low it gets there.",
        -0.5: "that is the next tick below. The curve does not come near it.",
        -1.0: "that is an input, on the horizontal axis. Read the height of the curve.",
    },
    tolerance=0.06,  # a hundredth, as much as a figure tells
    title="The lowest gate",
    kind="read a figure",
    stars=1,
    minutes=3,
    hints=(
        "The lowest point lies between a = -1 and a = -0.5.",
        "Call gelu for -0.5, -0.75 and -1 and take the smallest.",
    ),
)


# 06.2 The mixture when the two trained numbers are swapped: a = (0, ln 3).

SWAPPED_MIXTURE = predicted(
    (-1.0, 3.0),
    {
        (1.0, 1.0): "that is the M of a = (ln 3, 0). Now Y has the larger number.",
        (-2.0, 4.0): "that is Y alone. A softmax gives the smaller number a share too.",
        (0.0, 2.0): "you gave one half to each. The two numbers differ, and so do the weights.",
        (0.0, 4.0): "you added the two experts. Each has to be multiplied by its weight first.",
        (-2.197, 4.394): "you used 0 and ln 3 themselves as weights. They go through exp and are "
        "divided by the sum.",
        (3.0, -1.0): "the two entries are in the wrong order: the first is that of 2 and -2.",
    },
    title="The other expert louder",
    stars=1,
    minutes=4,
    hints=(
        "exp(0) = 1 and exp(ln 3) = 3; divide both by their sum.",
        "Attention's weight is now one quarter. Work out each entry of M by itself.",
    ),
)


# 06.3 The experts mixed anew at every position. x: [B, N, d]; W: [d, 2]; b: [2].


def mix_by_film(x, attended, recurred, W, b):
    weights = (x @ W + b).softmax(-1)
    return weighted_by_position(weights, attended, recurred)


def weighted_by_position(weights, attended, recurred):
    """Mix with a pair of weights at each position. weights: [B, N, 2]."""
    return weights[..., :1] * attended + weights[..., 1:] * recurred


@mistake(
    "the softmax still runs along the positions, so films compete with each other, later ones too. "
    "Who should compete with whom?"
)
def softmax_over_positions(x, attended, recurred, W, b):
    weights = (x @ W + b).softmax(1)
    return weighted_by_position(weights, attended, recurred)


@mistake("now the rows of the batch compete with each other. Who should compete with whom?")
def softmax_over_rows(x, attended, recurred, W, b):
    weights = (x @ W + b).softmax(0)
    return weighted_by_position(weights, attended, recurred)


@mistake(
    "nothing leaks any more, but the two numbers of a position are used as they are. They still "
    "need a softmax."
)
def without_softmax(x, attended, recurred, W, b):
    return weighted_by_position(x @ W + b, attended, recurred)


@mistake(
    "you averaged over the positions: all films of a row get the same weights, and the last film "
    "still changes them. Each position should have its own."
)
def one_pair_per_row(x, attended, recurred, W, b):
    weights = (x @ W + b).mean(1, keepdim=True).softmax(-1)
    return weighted_by_position(weights, attended, recurred)


@mistake("the softmax is right, but the weights are swapped: the first one is attention's.")
def experts_swapped_by_film(x, attended, recurred, W, b):
    return mix_by_film(x, recurred, attended, W, b)


@mistake(
    "a sigmoid treats the two numbers one by one, so both weights may be large at once. In a "
    "softmax they share 1 between them."
)
def sigmoid_for_softmax(x, attended, recurred, W, b):
    return weighted_by_position((x @ W + b).sigmoid(), attended, recurred)


MENDED = Exercise(
    solution=mix_by_film,
    cases=(
        random_tensors(6, (2, 3, 4), (2, 3, 4), (2, 3, 4), (4, 2), (2,)),
        random_tensors(7, (1, 5, 3), (1, 5, 3), (1, 5, 3), (3, 2), (2,)),
    ),
    mistakes=(
        softmax_over_positions,
        softmax_over_rows,
        without_softmax,
        one_pair_per_row,
        experts_swapped_by_film,
        sigmoid_for_softmax,
    ),
    title="Weights that see the future",
    kind="find the bug",
    stars=2,
    minutes=10,
    hints=(
        "Print weights.sum(1) and weights.sum(2). Which of the two should be all ones?",
        "x W + b has the shape [B, N, 2]. The number in softmax(...) says along which of these "
        "three the weights share 1 between them.",
    ),
)


# 06.4 How many trained numbers the paper's block has, without the embeddings.


def n_weights(d, k):
    attention = 3 * (d**2 + d)
    convolutions = 2 * (k * d**2 + d)
    gru = 3 * (2 * d**2 + d)
    selective_gate = 2 * (d**2 + d)
    other_maps = 5 * (d**2 + d)  # dense layer, crossing, data-aware gate, and the MLP's two
    mixing = 2
    return attention + convolutions + gru + selective_gate + other_maps + mixing


def difference_from(count):
    """Return a function that adds count(d, k) to the right number."""

    def counted(d, k):
        return n_weights(d, k) + count(d, k)

    return counted


def biases(d, k):
    return -15 * d


def state_matrices(d, k):
    return -3 * d**2


def one_convolution(d, k):
    return -(k * d**2 + d)


def depthwise(d, k):
    return 2 * k * (d - d**2)


def two_numbers(d, k):
    return -2


def one_map(d, k):
    return -(d**2 + d)


def mixing_matrices(d, k):
    return 2 * (d**2 + d) - 2


COUNT_WEIGHTS = Exercise(
    solution=n_weights,
    cases=((64, 3), (8, 3), (4, 5), (2, 1)),
    mistakes=(
        (
            difference_from(biases),
            "the biases are missing: every linear map has one, of d numbers.",
        ),
        (
            difference_from(state_matrices),
            "the GRU's gates read the input and the state: a matrix of 2 d by d for each.",
        ),
        (difference_from(one_convolution), "there are two convolutions, before and after the GRU."),
        (
            difference_from(depthwise),
            "these convolutions are full: a d by d matrix for each place in the window, not d "
            "numbers.",
        ),
        (difference_from(two_numbers), "nearly: the two trained numbers of Eq. 10 are missing."),
        (
            difference_from(one_map),
            "one linear map is missing. The crossing, the data-aware gate and the MLP's output are "
            "easily overlooked.",
        ),
        (
            difference_from(mixing_matrices),
            "the mixture has no matrices: its weights are two numbers for the whole model.",
        ),
    ),
    title="Count the weights",
    kind="derive",
    stars=2,
    minutes=12,
    hints=(
        "A linear map from d to d with its bias has d^2 + d numbers. How many such maps are there, "
        "convolutions and GRU apart? Go along the arrows of the drawing.",
        "There are ten of them: three in attention, the dense layer, the crossing, two in the "
        "selective gate, the data-aware gate, and two in the MLP.",
        "The rest: two convolutions, the GRU's three gates, and two numbers.",
    ),
)


# 06.5 Any number of experts mixed by one softmax. experts: a list of tensors of one shape.


def mix_many(raw, experts):
    weights = raw.softmax(0)
    return sum(weight * expert for weight, expert in zip(weights, experts, strict=True))


@mistake("you used the numbers as they are. They go through one softmax first.")
def many_without_softmax(raw, experts):
    return sum(number * expert for number, expert in zip(raw, experts, strict=True))


@mistake("you took the plain mean of the experts. Each has its own weight.")
def plain_mean(raw, experts):
    return torch.stack(experts).mean(0)


@mistake("you chose the expert with the largest number. A softmax gives every one its share.")
def largest_only(raw, experts):
    return experts[int(raw.argmax())]


@mistake(
    "you applied the softmax to the experts' outputs. It belongs to the trained numbers, and the "
    "outputs are multiplied by the weights."
)
def softmax_of_experts(raw, experts):
    return torch.stack(experts).softmax(0).sum(0)


@mistake("only the first two experts are in your mixture. There may be any number.")
def first_two(raw, experts):
    weights = raw.softmax(0)
    return weights[0] * experts[0] + weights[1] * experts[1]


def case_of_experts(seed, n_experts, *shape):
    raw, *experts = random_tensors(seed, (n_experts,), *[shape] * n_experts)
    return raw, experts


MIX_MANY = Exercise(
    solution=mix_many,
    cases=(
        case_of_experts(8, 3, 2, 4, 3),
        case_of_experts(9, 2, 1, 3, 2),
        case_of_experts(10, 5, 2, 2, 4),
    ),
    mistakes=(
        many_without_softmax,
        plain_mean,
        largest_only,
        softmax_of_experts,
        first_two,
    ),
    title="A third expert",
    kind="extend",
    stars=3,
    minutes=20,
    hints=(
        "The softmax of raw has one weight for each expert, whatever their number.",
        "Walk over weights and experts together, with zip, and add up the products.",
        "In the frame: the film itself needs no layer, it is x.",
    ),
)

EXERCISES = {
    "06.1": LOWEST_GATE,
    "06.2": SWAPPED_MIXTURE,
    "06.3": MENDED,
    "06.4": COUNT_WEIGHTS,
    "06.5": MIX_MANY,
}
