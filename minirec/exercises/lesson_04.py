"""The exercises of notebook 04: a toy predicted, a bug, a gate as a read-out, two swaps judged.

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
        (
            (2.0, 1.75),
            "you took a share of -ln 3 and lost its sign: SiLU of a negative number is negative.",
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
        "Which line could know that the inputs differ? And which one keeps a gate value below 1?",
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


# 04.4 Which shares fall when every history keeps its gate and gets another user's state.

FALLING = predicted(
    ["shelf", "echo", "taste"],
    [
        (
            ["echo", "taste"],
            "those two fall. You trust the gate with the shelf, as it is the last film's own. But "
            "a gate only multiplies: what is there for it to let through?",
        ),
        (["taste"], "taste falls, but not alone. Where would the last premiere be known from?"),
        (["echo"], "the echo falls, but not alone. Whose favourite genre does the state know?"),
        (["shelf"], "the shelf falls, but not alone. What else does the state know of its user?"),
        (
            ["shelf", "taste"],
            "those two fall. The echo comes from the last premiere, often many films ago: who "
            "remembers it, gate or state?",
        ),
        (
            ["shelf", "echo"],
            "those two fall. The taste survived the other gate because the state knows it; now "
            "the state is another user's.",
        ),
        ([], "the gate has read one film only. What does it know of premiere and genre?"),
    ],
    title="Swap the state instead",
    stars=2,
    minutes=5,
    hints=(
        "The gate has read one film. What of the three rules can be known from one film?",
        "For a rule to come out, a state that knows it has to meet a gate that lets it through.",
        "Go through the three rules: does the other user's state know this history's answer?",
    ),
)


# 04.5 Which finding shows what: the gate is used; the swap takes no product; no product is needed.

FINDINGS = predicted(
    [2, 3, 4],
    [
        (
            [1, 3, 4],
            "finding 1 is about another model and another task. Whether *this* recommender uses "
            "its gate shows where its gate is changed.",
        ),
        (
            [2, 1, 4],
            "finding 1 says that a product is needed, on another task. Look for the rival that "
            "was swapped in the same way.",
        ),
        ([2, 4, 3], "the last two stand in each other's place: one is about the swap."),
        ([3, 2, 4], "the first two stand in each other's place: which model has a gate that adds?"),
        (
            [2, 3, 1],
            "finding 1 says the contrary, on another task. What do the two recommenders have in "
            "common?",
        ),
        (
            [2, 3, 3],
            "a part that the rival uses in the same way says nothing about how good either is.",
        ),
        ([4, 3, 4], "equal losses do not tell whether a part is used. Changing it does."),
    ],
    title="Used or needed?",
    kind="read a figure",
    stars=2,
    minutes=5,
    hints=(
        "Used: change the part in the trained model, and see what the output loses.",
        "Needed: train a rival without it, and see what the rival cannot do.",
        "Not every comparison is about these recommenders and these histories.",
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


@mistake("c and h have changed places: the gate is made from c, and multiplies h.")
def inputs_exchanged(c, h, W1, b1, W2, b2, W_H, b_H):
    return gate_first(h, c, W1, b1, W2, b2, W_H, b_H)


@mistake("the gate's second bias, b2, is missing.")
def without_the_gates_second_bias(c, h, W1, b1, W2, b2, W_H, b_H):
    return gate_first(c, h, W1, b1, W2, torch.zeros_like(b2), W_H, b_H)


@mistake("SiLU is missing between the gate's two layers.")
def without_silu(c, h, W1, b1, W2, b2, W_H, b_H):
    return (((c @ W1 + b1) @ W2 + b2) * h) @ W_H + b_H


@mistake("a sigmoid squeezes your gate's values. Nothing in Eq. 9 does; that is for the open part.")
def sigmoid_on_the_gate(c, h, W1, b1, W2, b2, W_H, b_H):
    return (torch.sigmoid(gate(c, W1, b1, W2, b2)) * h) @ W_H + b_H


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
        inputs_exchanged,
        without_the_gates_second_bias,
        without_silu,
        sigmoid_on_the_gate,
        sigmoid_inside_the_gate,
        gate_added,
    ),
    title="The gate before the crossing",
    kind="extend",
    stars=3,
    minutes=20,
    hints=(
        "The gate itself stays as it is: narrow, SiLU, widen, all of it from c.",
        "What used to multiply the crossing now multiplies the state.",
        "For the open part, compare diag(g) W_H with W_H diag(g), for all g. Does one become the "
        "other when W_H is another matrix?",
    ),
)

EXERCISES = {
    "04.1": TURNED_INPUT,
    "04.2": SUSPECT_LINES,
    "04.3": READ_OUT,
    "04.4": FALLING,
    "04.5": FINDINGS,
    "04.6": GATE_FIRST,
}
