"""The exercises of notebook 06: a mixture, weights that leak, weights counted, a form assembled.

The last two are a third expert, and what remains when the experts are silent.

x: [B, N, d], the block's inputs; attended and recurred: [B, N, d], what attention and the GRU make
of them; raw: trained numbers, one for each expert, before their softmax; W: [d, 2]; b: [2].
"""

import torch
from torch import nn
from torch.nn import functional as F

from minirec.exercises.checker import Exercise, mistake, predicted
from minirec.exercises.inputs import random_tensors

# 06.1 The mixture when the two trained numbers are swapped: mu = (0, ln 3).

SWAPPED_MIXTURE = predicted(
    (-1.0, 3.0),
    {
        (1.0, 1.0): "that is the M of mu = (ln 3, 0). Now Y has the larger number.",
        (-2.0, 4.0): "that is Y alone. A softmax gives the smaller number a share too.",
        (0.0, 2.0): "you gave one half to each. The two numbers differ, and so do the weights.",
        (0.0, 4.0): "you added the two experts. Each has to be multiplied by its weight first.",
        (-2.197, 4.394): "you used 0 and ln 3 themselves as weights. They go through exp and are "
        "divided by the sum.",
        (-4.0, 12.0): "you used 1 and 3 as weights. They still have to be divided by their sum.",
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


# 06.2 The experts mixed anew at every position. x: [B, N, d]; W: [d, 2]; b: [2].


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
    stars=1,
    minutes=6,
    hints=(
        "Print weights.sum(1) and weights.sum(2). Which of the two should be all ones?",
        "x W + b has the shape [B, N, 2]. The number in softmax(...) says along which of these "
        "three the weights share 1 between them.",
    ),
)


# 06.3 How many trained numbers the paper's block has, without the embeddings.


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


def one_map_and_two_numbers(d, k):
    return one_map(d, k) + two_numbers(d, k)


def two_maps(d, k):
    return 2 * one_map(d, k)


def two_maps_and_two_numbers(d, k):
    return two_maps(d, k) + two_numbers(d, k)


def second_biases(d, k):
    return 3 * d


def embeddings(d, k):
    return 31 * d


def narrow_gate(d, k):
    d_hidden = d // 2
    return 2 * d * d_hidden + d_hidden + d - 2 * (d**2 + d)


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
            difference_from(one_map_and_two_numbers),
            "two things are missing: one linear map, and the two trained numbers of Eq. 10. The "
            "crossing is a map of its own, beside the selective gate's two.",
        ),
        (
            difference_from(two_maps),
            "two linear maps are missing. Have you the dense layer, the crossing, the data-aware "
            "gate, and both maps of the MLP?",
        ),
        (
            difference_from(two_maps_and_two_numbers),
            "three things are missing: two linear maps, and the two trained numbers of Eq. 10.",
        ),
        (
            difference_from(second_biases),
            "each of the GRU's gates has one bias here, as in Eq. 1. Two are PyTorch's.",
        ),
        (
            difference_from(embeddings),
            "you counted the embeddings too, those of 30 films and the padding. Asked is the block "
            "alone.",
        ),
        (
            difference_from(narrow_gate),
            "your selective gate is d / 2 wide inside, as in the released code. The paper's is d.",
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
        "Attention has three, and on the way of the recurrent expert there are four: one before "
        "the GRU, and three behind it or beside it.",
        "The data-aware gate and the MLP have three more, which makes ten.",
        "The rest: two convolutions, the GRU's three gates, and two numbers.",
    ),
)


# 06.4 The released form's forward, from its parts. self: a module with the names of the class in
# the lesson; items: Long[B, N].


class Parts(nn.Module):
    """The parts of the released form, small, with linear maps in the place of the two experts."""

    def __init__(self, seed: int, d: int):
        super().__init__()
        self.item_embedding = nn.Embedding(6, d)
        self.attention, self.gru = nn.Linear(d, d), nn.Linear(d, d)
        self.attention_output, self.attention_norm = nn.Linear(d, d), nn.LayerNorm(d)
        self.mixing = nn.Parameter(torch.zeros(2))
        self.data_gate, self.gate_output = nn.Linear(d, d), nn.Linear(d, d)
        self.mlp = nn.Sequential(nn.Linear(d, d), nn.GELU(), nn.Linear(d, d))
        self.norm = nn.LayerNorm(d)
        self.double()
        for parameter, values in zip(
            self.parameters(),
            random_tensors(seed, *[parameter.shape for parameter in self.parameters()]),
            strict=True,
        ):
            parameter.requires_grad_(False).copy_(values)


def released_forward(self, items):
    x = self.item_embedding(items)
    attended = self.attention_norm(self.attention_output(self.attention(x)) + x)
    z = self.norm(self.gate_output(_gated(self, x, attended)) + x)
    return self.norm(self.mlp(z) + z)


def _gated(self, x, attended):
    """Eq. 11: the mixture of the experts, times the data-aware gate."""
    weights = self.mixing.softmax(0)
    mixed = weights[0] * attended + weights[1] * self.gru(x)
    return F.gelu(self.data_gate(x)) * mixed


def _attended(self, x):
    return self.attention_norm(self.attention_output(self.attention(x)) + x)


def _end(self, z):
    return self.norm(self.mlp(z) + z)


@mistake("attention's residual path is missing: what is added to its dense layer's output?")
def no_x_after_attention(self, items):
    x = self.item_embedding(items)
    attended = self.attention_norm(self.attention_output(self.attention(x)))
    return _end(self, self.norm(self.gate_output(_gated(self, x, attended)) + x))


@mistake(
    "the residual path behind the data-aware gate is missing. In the drawing a second line goes "
    "down from X, on the very right."
)
def no_x_after_the_gate(self, items):
    x = self.item_embedding(items)
    return _end(self, self.norm(self.gate_output(_gated(self, x, _attended(self, x)))))


@mistake("what is added behind the MLP is Z, not X: the line begins below the second LayerNorm.")
def x_after_the_mlp(self, items):
    x = self.item_embedding(items)
    z = self.norm(self.gate_output(_gated(self, x, _attended(self, x))) + x)
    return self.norm(self.mlp(z) + x)


@mistake("the residual path around the MLP is missing: what is added to the MLP's output?")
def nothing_after_the_mlp(self, items):
    x = self.item_embedding(items)
    z = self.norm(self.gate_output(_gated(self, x, _attended(self, x))) + x)
    return self.norm(self.mlp(z))


@mistake("you return the MLP's output as it is. A residual path and a LayerNorm follow.")
def bare_mlp(self, items):
    x = self.item_embedding(items)
    return self.mlp(self.norm(self.gate_output(_gated(self, x, _attended(self, x))) + x))


@mistake("the last LayerNorm is missing: the drawing has LayerNorm 2 twice.")
def no_last_norm(self, items):
    x = self.item_embedding(items)
    z = self.norm(self.gate_output(_gated(self, x, _attended(self, x))) + x)
    return self.mlp(z) + z


@mistake("the LayerNorms come too early: first add what the residual path brings, then normalise.")
def norms_before_adding(self, items):
    x = self.item_embedding(items)
    attended = self.attention_norm(self.attention_output(self.attention(x))) + x
    z = self.norm(self.gate_output(_gated(self, x, attended))) + x
    return self.norm(self.mlp(z)) + z


@mistake("attention has a LayerNorm of its own, attention_norm. The other two places share norm.")
def one_norm_for_all(self, items):
    x = self.item_embedding(items)
    attended = self.norm(self.attention_output(self.attention(x)) + x)
    return _end(self, self.norm(self.gate_output(_gated(self, x, attended)) + x))


@mistake("attention's dense layer, attention_output, is missing.")
def no_attention_output(self, items):
    x = self.item_embedding(items)
    attended = self.attention_norm(self.attention(x) + x)
    return _end(self, self.norm(self.gate_output(_gated(self, x, attended)) + x))


@mistake("the dense layer behind the data-aware gate, gate_output, is missing.")
def no_gate_output(self, items):
    x = self.item_embedding(items)
    return _end(self, self.norm(_gated(self, x, _attended(self, x)) + x))


@mistake("the data-aware gate is missing: the mixture went through without being multiplied.")
def no_data_gate(self, items):
    x = self.item_embedding(items)
    weights = self.mixing.softmax(0)
    mixed = weights[0] * _attended(self, x) + weights[1] * self.gru(x)
    return _end(self, self.norm(self.gate_output(mixed) + x))


@mistake("the data-aware gate lacks its GeLU: its linear map alone multiplies the mixture.")
def gate_without_gelu(self, items):
    x = self.item_embedding(items)
    weights = self.mixing.softmax(0)
    mixed = weights[0] * _attended(self, x) + weights[1] * self.gru(x)
    return _end(self, self.norm(self.gate_output(self.data_gate(x) * mixed) + x))


ASSEMBLED = Exercise(
    solution=released_forward,
    cases=(
        (Parts(11, 4), torch.tensor([[1, 2, 3], [4, 5, 1]])),
        (Parts(12, 3), torch.tensor([[5, 2]])),
    ),
    mistakes=(
        no_x_after_attention,
        no_x_after_the_gate,
        x_after_the_mlp,
        nothing_after_the_mlp,
        bare_mlp,
        no_last_norm,
        norms_before_adding,
        one_norm_for_all,
        no_attention_output,
        no_gate_output,
        no_data_gate,
        gate_without_gelu,
    ),
    title="Assemble the released form",
    kind="fill in",
    stars=2,
    minutes=12,
    hints=(
        "Each of the three lines is one of the equations above, and each ends in a LayerNorm.",
        "attended: attention of x, through its dense layer, plus x, through its LayerNorm.",
        "z: the data-aware gate times m, through its dense layer, plus x, through norm. The last "
        "line has the MLP in the place of gate and dense layer, and z in the place of x.",
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


@mistake("you added the experts as they are. Multiply each by its weight first.")
def plain_sum(raw, experts):
    return sum(experts)


@mistake("you chose the expert with the largest number. A softmax gives every one its share.")
def largest_only(raw, experts):
    return experts[int(raw.argmax())]


@mistake(
    "you applied the softmax to the experts' outputs. It belongs to the trained numbers, and the "
    "outputs are multiplied by the weights."
)
def softmax_of_experts(raw, experts):
    return torch.stack(experts).softmax(0).sum(0)


@mistake("the weights are right, but the experts stand in the opposite order.")
def experts_reversed(raw, experts):
    return mix_many(raw, experts[::-1])


@mistake(
    "a sigmoid treats each number by itself, so the weights do not sum to 1. In a softmax they "
    "share 1 between them."
)
def many_by_sigmoid(raw, experts):
    return many_without_softmax.answer(raw.sigmoid(), experts)


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
        plain_sum,
        largest_only,
        softmax_of_experts,
        first_two,
        experts_reversed,
        many_by_sigmoid,
    ),
    title="A third expert",
    kind="extend",
    stars=3,
    minutes=15,  # three of them for the function, the others for the experiment
    hints=(
        "The softmax of raw has one weight for each expert, whatever their number.",
        "Walk over weights and experts together, with zip, and add up the products.",
        "For the experiment: how far do the three recalls of one layer lie apart, and how far the "
        "two means?",
    ),
)

# 06.6 How many different vectors R remain of five histories when both experts are silent: (paper,
# released). Four films end the histories, one of them two of them.

SILENT = predicted(
    (1, 4),
    {
        (1, 5): "the paper's form is right. What else than the last film could tell the first and "
        "the fifth history apart, when only x goes past the experts?",
        (
            4,
            4,
        ): "follow X in the drawing of the paper's form: whatever the gates say, they multiply "
        "M. What is 0 times a gate?",
        (5, 5): "what other positions say reaches the last one through the experts only, and those "
        "are silent. And in the paper's form, what do the gates multiply?",
        (5, 4): "the released form is right. In the paper's, what do the gates multiply?",
        (1, 1): "the paper's form is right. In the released drawing, X goes past the experts: to "
        "the sum behind the data-aware gate.",
        (4, 1): "you have the two forms the other way round: the answer begins with the paper's.",
        (0, 4): "the released form is right. In the paper's, R is not nothing: a bias remains, and "
        "that is one vector.",
    },
    title="The experts fall silent",
    stars=2,
    minutes=5,
    hints=(
        "In the paper's form, M = 0 makes Z = 0, and Z = 0 makes P = 0. What is left of R?",
        "In the released form, which signals are added to M's way? Do they know the last film, "
        "and do they know any other?",
    ),
)

EXERCISES = {
    "06.1": SWAPPED_MIXTURE,
    "06.2": MENDED,
    "06.3": COUNT_WEIGHTS,
    "06.4": ASSEMBLED,
    "06.5": MIX_MANY,
    "06.6": SILENT,
}
