"""The exercises of notebook 02: the GRU's gates, its memory, a first loss, and loops gone wrong.

x: [B, d_input], the input; h: [B, d_state], the state; W and U the weights that meet them, b the
bias, each stacked in the order reset gate, update gate, candidate.
"""

import math

import torch

from minirec.exercises.checker import Exercise, mistake, predicted
from minirec.exercises.inputs import random_tensors

# 02.1 The toy's state after its first film, from h_0 = 0: r = 3/4, z = 9/10, candidate 1/3.

FIRST_STATE = predicted(
    0.3,
    {
        0.575: "that is the new state for h = 1/2. Before the first film the state is 0.",
        1 / 3: "that is the candidate. How far does the update gate let the state move towards it?",
        0.25: "you took z = 3/4, which belongs to h = 1/2. Compute z again with h = 0.",
        1 / 30: "the shares are exchanged: in Eq. 1 the candidate gets z, and the old state 1 - z.",
        0.9: "that is z. The new state is a mixture, with z as the share of the candidate.",
        0.6: "that is the candidate for h = 1/2. With h = 0 the state adds nothing to it.",
        0.54: "you took the candidate for h = 1/2. With h = 0 the state adds nothing to it.",
    },
    title="The first film",
    stars=1,
    minutes=4,
    hints=(
        "Begin with z: the term with h is 0, so only 2 ln 3 is left inside the sigmoid.",
        "tanh(a) = (e^2a - 1) / (e^2a + 1), and here 2a = ln 2. The reset gate has no say: it "
        "multiplies a state that is 0.",
        "The old state is 0, so the new one is z times the candidate.",
    ),
)


# 02.2 The line with the bug, and the first position at which it shows.

BUG_AND_POSITION = predicted(
    (5, 2),
    [
        (
            (5, 1),
            "the right line. But before the first position the state is 0: what is the product "
            "with U then, whether r acts before or after it?",
        ),
        (
            (5, 3),
            "the right line. But the state before position 2 is no longer 0, so r makes a "
            "difference there already.",
        ),
        ((2, 2), "the product is right for r and for z. The bug is in what the candidate does."),
        ((6, 2), "line 6 is Eq. 1's last line, word for word."),
        ((1, 2), "line 1 is what gru_step does: all that x contributes, cut into three."),
    ],
    title="A product saved, a bug made",
    kind="find the bug",
    stars=2,
    minutes=6,
    hints=(
        "Hold each line beside Eq. 1. What does the candidate see of the old state there?",
        "In Eq. 1 the reset gate multiplies h, and then comes U. In which line does r act here?",
        "For the position, put h = 0 into both forms.",
    ),
)


# 02.3 The constant gate that leaves a share of the old state after n steps.


def gate_for(share, n):
    return 1 - share ** (1 / n)


@mistake(
    "that is the share each step keeps, 1 - z. In Eq. 1 the gate z is the share that is replaced."
)
def share_that_is_kept(share, n):
    return share ** (1 / n)


@mistake(
    "you spread the loss evenly over the steps. Each step takes its share of what is still left, "
    "so the factors multiply."
)
def loss_spread_evenly(share, n):
    return (1 - share) / n


@mistake(
    "you took the n-th power where the n-th root is wanted: the share that is left is the n-th "
    "power of 1 - z."
)
def power_for_root(share, n):
    return 1 - share**n


@mistake("you divided where a root is wanted: n equal factors, and not n equal terms, give share.")
def share_over_n(share, n):
    return 1 - share / n


@mistake(
    "1 - share is what is lost, and losses do not multiply. What is kept at each step does: take "
    "the root of share."
)
def root_of_what_is_lost(share, n):
    return (1 - share) ** (1 / n)


@mistake("you divide the share that is left by n. How much is left after one step, after two?")
def share_spread_evenly(share, n):
    return share / n


@mistake(
    "close for small gates, where ln(1 - z) is nearly -z. Solve (1 - z)^n = share without that "
    "approximation."
)
def for_small_gates(share, n):
    return -math.log(share) / n


GATE_FOR = Exercise(
    solution=gate_for,
    cases=((0.5, 1), (0.5, 20), (0.1, 5), (0.9, 3)),
    mistakes=(
        share_that_is_kept,
        loss_spread_evenly,
        power_for_root,
        share_over_n,
        root_of_what_is_lost,
        share_spread_evenly,
        for_small_gates,
    ),
    title="A gate for a given memory",
    kind="derive",
    stars=2,
    minutes=8,
    hints=(
        "Write down what is left after one step, after two, after n.",
        "Set that equal to share, and solve for 1 - z first: it is an n-th root.",
    ),
)


# 02.4 The cross-entropy of 500 films that are all equally likely.

UNTRAINED_LOSS = predicted(
    math.log(500),
    {
        500.0: "that is the number of films. Its logarithm is wanted.",
        1 / 500: "that is the probability of each film. The loss is minus its logarithm.",
        math.log2(500): "that is the logarithm to base 2. The loss takes the natural logarithm.",
        math.log10(500): "that is the logarithm to base 10. The loss takes the natural logarithm.",
        math.log(2): "that is the loss for two equally likely choices; here there are 500.",
        0.0: "a loss of 0 would mean that the target is certain. Here every film is as likely.",
    },
    title="The loss before training",
    stars=1,
    minutes=4,
    hints=(
        "If all scores are equal, so are the probabilities, and they sum to 1.",
        "The loss is minus the natural logarithm of what each of the 500 films gets.",
    ),
)


# 02.5 What each bug does to the loss. Measured over two epochs: 1 stays at 6.25, 2 ends at 0.00, 3
# at 6.13; its floor is ln(e + 499) - 1 = 5.22, for scores of 1 and 0.

THREE_LOOPS = predicted(
    "BAC",
    {
        "ABC": "loop 1 clears the gradient before the step uses it. By how much do weights change "
        "then?",
        "ACB": "loop 1 clears the gradient before the step uses it. By how much do weights change "
        "then? And what has loop 2 to predict at each position: is that hard?",
        "BCA": "loop 1 is right. What is loop 2 asked for at each position, and what has it just "
        "read there?",
        "CAB": "loop 2 is right. In loop 1, what is left of the gradient when the step comes?",
        "CBA": "can loop 3 reach a loss of 0? Its scores are probabilities, between 0 and 1, and "
        "go through a second softmax.",
    },
    title="Three loops gone wrong",
    kind="find the bug",
    stars=2,
    minutes=6,
    hints=(
        "Loop 1: the optimiser sees the gradient as it is when step() is called.",
        "Loop 2: the targets are the inputs of the same positions. The residual connection brings "
        "them straight to the end.",
        "Loop 3: cross_entropy has a softmax of its own. If all scores lie between 0 and 1, what "
        "is the largest probability that one film of 500 can get?",
    ),
)


# 02.6 A step of a cell with one gate. W: [2 d_state, d_input], U: [2 d_state, d_state], gate first.


def minimal_step(x, h, W, U, b):
    f, x_candidate, U_candidate = gate_and_the_rest(x, h, W, U, b)
    candidate = torch.tanh(x_candidate + (f * h) @ U_candidate.T)
    return f * candidate + (1 - f) * h


def gate_and_the_rest(x, h, W, U, b):
    """Return the gate, and for the candidate: what it gets from x, and its matrix for h."""
    x_f, x_candidate = (x @ W.T + b).chunk(2, dim=-1)
    U_f, U_candidate = U.chunk(2)
    return torch.sigmoid(x_f + h @ U_f.T), x_candidate, U_candidate


@mistake(
    "the gate is turned round, as PyTorch has it. Here f is the share of the candidate and 1 - f "
    "that of the old state."
)
def shares_exchanged(x, h, W, U, b):
    f, x_candidate, U_candidate = gate_and_the_rest(x, h, W, U, b)
    candidate = torch.tanh(x_candidate + (f * h) @ U_candidate.T)
    return (1 - f) * candidate + f * h


@mistake(
    "the gate acts after the product, f * (U h), as in PyTorch. Here it acts before: U (f * h)."
)
def gate_after_the_product(x, h, W, U, b):
    f, x_candidate, U_candidate = gate_and_the_rest(x, h, W, U, b)
    candidate = torch.tanh(x_candidate + f * (h @ U_candidate.T))
    return f * candidate + (1 - f) * h


@mistake(
    "the candidate sees the whole old state. The gate stands in two places: it is applied to h "
    "before the candidate's product as well."
)
def candidate_ungated(x, h, W, U, b):
    f, x_candidate, U_candidate = gate_and_the_rest(x, h, W, U, b)
    candidate = torch.tanh(x_candidate + h @ U_candidate.T)
    return f * candidate + (1 - f) * h


@mistake("gate and candidate have changed places: the gate's rows come first in W, U and b.")
def candidate_first(x, h, W, U, b):
    x_candidate, x_f = (x @ W.T + b).chunk(2, dim=-1)
    U_candidate, U_f = U.chunk(2)
    f = torch.sigmoid(x_f + h @ U_f.T)
    candidate = torch.tanh(x_candidate + (f * h) @ U_candidate.T)
    return f * candidate + (1 - f) * h


@mistake("the gate has no bias. Its part of W x + b has one, as the candidate's has.")
def gate_without_bias(x, h, W, U, b):
    d_state = h.shape[-1]
    _, x_candidate, U_candidate = gate_and_the_rest(x, h, W, U, b)
    f = torch.sigmoid(x @ W[:d_state].T + h @ U[:d_state].T)
    candidate = torch.tanh(x_candidate + (f * h) @ U_candidate.T)
    return f * candidate + (1 - f) * h


@mistake("there is no bias. Both sums, the gate's and the candidate's, end with + b.")
def bias_left_out(x, h, W, U, b):
    return minimal_step(x, h, W, U, torch.zeros_like(b))


@mistake(
    "U is not transposed. A row of h times U.T is U h; h @ U runs without an error because U's "
    "two parts are square."
)
def state_weights_not_transposed(x, h, W, U, b):
    parts = [part.T for part in U.chunk(2)]
    return minimal_step(x, h, W, torch.cat(parts), b)


MINIMAL_STEP = Exercise(
    solution=minimal_step,
    cases=(
        random_tensors(3, (5, 3), (5, 4), (8, 3), (8, 4), (8,)),
        random_tensors(4, (1, 2), (1, 3), (6, 2), (6, 3), (6,)),
    ),
    mistakes=(
        shares_exchanged,
        gate_after_the_product,
        candidate_ungated,
        candidate_first,
        state_weights_not_transposed,
        bias_left_out,
        gate_without_bias,
    ),
    title="One gate instead of two",
    kind="extend",
    stars=3,
    minutes=25,
    hints=(
        "Begin with gru_step and take the reset gate out: W @ x has two parts now, so chunk(2).",
        "f takes the place of r in the candidate and of z in the last line.",
        "For the open part, the class OurGRU of section 6 needs another cell, and nothing else.",
    ),
)

EXERCISES = {
    "02.1": FIRST_STATE,
    "02.2": BUG_AND_POSITION,
    "02.3": GATE_FOR,
    "02.4": UNTRAINED_LOSS,
    "02.5": THREE_LOOPS,
    "02.6": MINIMAL_STEP,
}
