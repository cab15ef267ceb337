"""The exercises of notebook 04: a toy predicted, a bug, a gate as a read-out, SiLU's slope, sizes.

c: [B, d], the gate's inputs; h: [B, d], the states; W1, b1, W2, b2 the gate's two maps, through
d_hidden units between them; W_H: [d, d] and b_H: [d], the crossing of the states.
"""

import torch
from torch.nn import functional as F

from minirec.exercises.checker import Exercise, mistake, predicted
from minirec.exercises.inputs import random_tensors

# 04.1 The toy's output for the input (-1, 1): the gate is (2, 7/2), the crossing still (1/2, 1/2).

TURNED_INPUT = predicted(
    (1.0, 1.75),
    [
        ((2.0, 3.5), "that is the gate. It still has to multiply the crossing."),
        (
            (-1.0, 0.25),
            "you turned the old output round. The input passes through SiLU, which treats ln 3 and "
            "-ln 3 differently; begin again at the first layer.",
        ),
        ((1.0, 1.5), "the bias b2 is missing: it is added to the gate's second value."),
        (
            (-0.5, 1.25),
            "you added along the rows of W2. The vector stands on the left, so each gate value "
            "comes from a column.",
        ),
        (
            (0.0, 2.25),
            "SiLU is missing: you took W2 of the first layer's own numbers, -ln 3 and ln 3.",
        ),
        (
            (2.0, 2.25),
            "you set the negative hidden unit to 0 and kept ln 3 as it is, which is ReLU. SiLU "
            "takes a share of both.",
        ),
        ((2.5, 4.0), "you added gate and crossing. In Eq. 9 they are multiplied."),
    ],
    title="The input turned round",
    stars=1,
    minutes=5,
    hints=(
        "The state has not changed, so neither has the crossing.",
        "The two hidden units change places: what does SiLU make of them now?",
        "Each column of W2 gives one gate value. Then add b2, and multiply by the crossing.",
    ),
)


# 04.2 The lines of the lesson's `suspect` that are wrong: it reads h, and squeezes the gate.

SUSPECT_LINES = predicted(
    [1, 2],
    [
        ([1], "that line is wrong. It explains the equal rows, but not that nothing is amplified."),
        ([2], "that line is wrong. It explains why all is damped, but not the equal rows."),
        (
            [1, 3],
            "line 1 is wrong. Line 3 is not: the crossing is to be made from the state (Eq. 7).",
        ),
        (
            [2, 3],
            "line 2 is wrong. Line 3 is not: the crossing is to be made from the state (Eq. 7).",
        ),
        ([1, 4], "line 1 is wrong. Line 4 is Eq. 9's product, as it should be."),
        ([2, 4], "line 2 is wrong. Line 4 is Eq. 9's product, as it should be."),
    ],
    title="Two bugs that train without complaint",
    kind="find the bug",
    stars=1,
    minutes=5,
    hints=(
        "There are two symptoms: equal rows, and outputs that are all smaller than the crossing.",
        "What does each line read? Compare it with Eq. 9, factor by factor.",
        "Nothing in Eq. 9 confines the gate's values to a range.",
    ),
)


# 04.3 The matrix and the bias of the gated crossing as one map of h. g: [d], the gate's values.


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


@mistake(
    "a matrix product with g adds features up and leaves a vector. Each feature is to be scaled "
    "by its own gate value."
)
def multiplied_as_matrices(g, W_H, b_H):
    return W_H @ g, b_H * g


READ_OUT = Exercise(
    solution=read_out,
    cases=(
        random_tensors(1, (3,), (3, 3), (3,)),
        random_tensors(2, (4,), (4, 4), (4,)),
    ),
    mistakes=(
        bias_ungated,
        rows_scaled,
        rows_scaled_and_bias_ungated,
        matrix_ungated,
        multiplied_as_matrices,
    ),
    title="A read-out for one input",
    kind="fill in",
    stars=2,
    minutes=8,
    hints=(
        "Write entry j of the output as a sum over the state's features i, plus a bias.",
        "In that sum the gate's value j stands before every term, the bias among them.",
        "PyTorch lays a vector [d] along the last axis of a matrix [d, d]: is that what you want?",
    ),
)


# 04.4 The derivative of SiLU, a * sigmoid(a), entry by entry.


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


@mistake("the two terms of the product rule are added, not subtracted.")
def terms_subtracted(a):
    sigmoid = torch.sigmoid(a)
    return sigmoid - a * sigmoid * (1 - sigmoid)


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
        terms_subtracted,
    ),
    title="The slope of SiLU",
    kind="derive",
    stars=2,
    minutes=10,
    hints=(
        "SiLU is a product of two functions of a. What is the slope of a product?",
        "The slope of the sigmoid is the sigmoid times 1 minus the sigmoid.",
        "Check yourself: at 0 the slope is one half, far to the right 1, far to the left 0.",
    ),
)


# 04.5 How many numbers the layer trains at d = 64: as printed, and with d / 2 inside the gate.
# As printed: W1, W2 and W_H have 64 * 64 each, the biases 3 * 64. Released: W1 and W2 have half.

PARAMETERS = predicted(
    (12480, 8352),
    [
        ((8320, 4192), "you counted the gate alone. The crossing, W_H and b_H, belongs to it."),
        ((12288, 8192), "the three biases b1, b2 and b_H are missing."),
        (
            (12480, 6240),
            "half of everything is not what the bottleneck saves: the crossing stays whole, and b2 "
            "keeps one number for every feature.",
        ),
        ((12480, 8384), "b1 has one number for each hidden unit, and there are half as many now."),
        ((12480, 8320), "b2 has one number for every feature of the output, in both forms."),
    ],
    title="What the bottleneck saves",
    stars=1,
    minutes=5,
    hints=(
        "Three matrices and three biases: write the shape of each, first for the paper's form.",
        "A matrix from 64 to 32 features has 64 times 32 numbers. Which matrices have shrunk?",
    ),
)


# 04.6 The gate before the crossing: it multiplies the state, and the crossing comes last.


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


@mistake("you added gate and state. They are to be multiplied.")
def gate_added(c, h, W1, b1, W2, b2, W_H, b_H):
    return (gate(c, W1, b1, W2, b2) + h) @ W_H + b_H


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
        gate_added,
    ),
    title="The gate before the crossing",
    kind="extend",
    stars=3,
    minutes=25,
    hints=(
        "The gate itself stays as it is: narrow, SiLU, widen, all of it from c.",
        "What used to multiply the crossing now multiplies the state.",
        "For the open part, count what a diagonal matrix can do on either side of W_H.",
    ),
)

EXERCISES = {
    "04.1": TURNED_INPUT,
    "04.2": SUSPECT_LINES,
    "04.3": READ_OUT,
    "04.4": SILU_SLOPE,
    "04.5": PARAMETERS,
    "04.6": GATE_FIRST,
}
