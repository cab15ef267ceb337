"""The exercises of notebook 04: the slope of SiLU, a gate as a read-out, sizes, the gate first.

c: [B, d], the gate's inputs; h: [B, d], the states; W1, b1, W2, b2 the gate's two maps, through
d_hidden units between them; W_H: [d, d] and b_H: [d], the crossing of the states.
"""

import torch
from torch.nn import functional as F

from minirec.exercises.checker import Exercise, mistake
from minirec.exercises.inputs import random_tensors

# 04.1 The derivative of SiLU, a * sigmoid(a), entry by entry.


def silu_slope(a):
    sigmoid = torch.sigmoid(a)
    return sigmoid * (1 + a * (1 - sigmoid))


@mistake(
    "that is the slope of the sigmoid alone. SiLU is a product, a times sigmoid(a): use the "
    "product rule."
)
def slope_of_the_sigmoid(a):
    sigmoid = torch.sigmoid(a)
    return sigmoid * (1 - sigmoid)


@mistake(
    "half of the product rule: you kept a and took the slope of the sigmoid. The other term keeps "
    "the sigmoid."
)
def term_of_the_sigmoids_slope(a):
    sigmoid = torch.sigmoid(a)
    return a * sigmoid * (1 - sigmoid)


@mistake(
    "half of the product rule: you took the slope of a and kept the sigmoid. The other term keeps "
    "a and takes the sigmoid's slope."
)
def term_of_the_sigmoid(a):
    return torch.sigmoid(a)


@mistake("that is SiLU itself. The exercise asks for its slope.")
def silu_itself(a):
    return F.silu(a)


SILU_SLOPE = Exercise(
    solution=silu_slope,
    cases=(
        random_tensors(0, (5,)),
        (torch.tensor([-4.0, -1.0, 0.0, 1.0, 4.0], dtype=torch.float64),),
    ),
    mistakes=(
        slope_of_the_sigmoid,
        term_of_the_sigmoids_slope,
        term_of_the_sigmoid,
        silu_itself,
    ),
)


# 04.2 The matrix and the bias of the gated crossing as one map of h. g: [d], the gate's values.


def read_out(g, W_H, b_H):
    return W_H * g, b_H * g


@mistake("the matrix is right. But the gate multiplies all of Phi(h), its bias too.")
def bias_ungated(g, W_H, b_H):
    return W_H * g, b_H


@mistake(
    "you scaled the rows of W_H: that gates the state before the crossing. With h on the left, "
    "feature i of the output is column i."
)
def rows_scaled(g, W_H, b_H):
    return W_H * g[:, None], b_H * g


@mistake(
    "you scaled the rows of W_H, the state before the crossing, and left the bias alone. Feature "
    "i is column i of W_H and entry i of b_H."
)
def rows_scaled_and_bias_ungated(g, W_H, b_H):
    return W_H * g[:, None], b_H


@mistake("the bias is right. The matrix has to be scaled as well, column by column.")
def matrix_ungated(g, W_H, b_H):
    return W_H, b_H * g


READ_OUT = Exercise(
    solution=read_out,
    cases=(
        random_tensors(1, (3,), (3, 3), (3,)),
        random_tensors(2, (4,), (4, 4), (4,)),
    ),
    mistakes=(bias_ungated, rows_scaled, rows_scaled_and_bias_ungated, matrix_ungated),
)


# 04.3 How many numbers the layer trains, its gate d or, as in the released code, d / 2 wide inside.


def count_parameters(d):
    return layer_size(d, d), layer_size(d, d // 2)


def layer_size(d, d_hidden):
    return gate_size(d, d_hidden) + crossing_size(d)


def gate_size(d, d_hidden):
    return 2 * d * d_hidden + d_hidden + d


def crossing_size(d):
    return d * d + d


@mistake("you counted the gate alone. The crossing, W_H and b_H, belongs to the layer.")
def gate_alone(d):
    return gate_size(d, d), gate_size(d, d // 2)


@mistake("the three biases b1, b2 and b_H are missing.")
def without_biases(d):
    crossing = d * d
    return 2 * d * d + crossing, 2 * d * (d // 2) + crossing


@mistake(
    "half of everything is not what the bottleneck saves: the crossing stays whole, and b2 keeps "
    "one number for every feature."
)
def half_of_everything(d):
    return layer_size(d, d), layer_size(d, d) // 2


@mistake(
    "b1 has one number for every hidden unit, and in the released code there are only d/2 of those."
)
def first_bias_of_full_width(d):
    return layer_size(d, d), layer_size(d, d // 2) - d // 2 + d


@mistake(
    "the right numbers in the wrong order: first Eq. 7 and 9 as printed, then the released code."
)
def in_the_wrong_order(d):
    full, half = count_parameters(d)
    return half, full


COUNT_PARAMETERS = Exercise(
    solution=count_parameters,
    cases=((4,), (64,), (128,)),
    mistakes=(
        gate_alone,
        without_biases,
        half_of_everything,
        first_bias_of_full_width,
        in_the_wrong_order,
    ),
)


# 04.4 The gate before the crossing: it multiplies the state, and the crossing comes last.


def gate_first(c, h, W1, b1, W2, b2, W_H, b_H):
    return (gate(c, W1, b1, W2, b2) * h) @ W_H + b_H


def gate(c, W1, b1, W2, b2):
    return F.silu(c @ W1 + b1) @ W2 + b2


@mistake(
    "that is Eq. 9 itself, where the gate comes after the crossing. Here it multiplies the state, "
    "and the crossing comes last."
)
def crossing_first(c, h, W1, b1, W2, b2, W_H, b_H):
    return gate(c, W1, b1, W2, b2) * (h @ W_H + b_H)


@mistake("the bias b_H of the crossing is missing; it is added last, where no gate reaches it.")
def without_the_crossings_bias(c, h, W1, b1, W2, b2, W_H, b_H):
    return (gate(c, W1, b1, W2, b2) * h) @ W_H


@mistake("your gate reads the state. It should read c, what came in.")
def gate_reads_the_state(c, h, W1, b1, W2, b2, W_H, b_H):
    return gate_first(h, h, W1, b1, W2, b2, W_H, b_H)


@mistake("you have the sigmoid inside the gate. SiLU is a times sigmoid(a).")
def sigmoid_inside_the_gate(c, h, W1, b1, W2, b2, W_H, b_H):
    values = torch.sigmoid(c @ W1 + b1) @ W2 + b2
    return (values * h) @ W_H + b_H


GATE_FIRST = Exercise(
    solution=gate_first,
    cases=(
        random_tensors(3, (5, 3), (5, 3), (3, 2), (2,), (2, 3), (3,), (3, 3), (3,)),
        random_tensors(4, (1, 2), (1, 2), (2, 2), (2,), (2, 2), (2,), (2, 2), (2,)),
    ),
    mistakes=(
        crossing_first,
        without_the_crossings_bias,
        gate_reads_the_state,
        sigmoid_inside_the_gate,
    ),
)

EXERCISES = {
    "04.1": SILU_SLOPE,
    "04.2": READ_OUT,
    "04.3": COUNT_PARAMETERS,
    "04.4": GATE_FIRST,
}
