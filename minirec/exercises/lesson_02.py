"""The exercises of notebook 02: a gate for a memory, a gate turned round, sizes, one gate alone.

x: [B, d_input], the input; h: [B, d_state], the state; W, U and b the parameters for the input, for
the state, and the bias; z the update gate, f the gate that does the work of two.
"""

import math

import torch

from minirec.exercises.checker import Exercise, mistake
from minirec.exercises.inputs import random_tensors

# 02.1 The constant gate that leaves a share of the old state after n steps.


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


@mistake(
    "close for small gates, where ln(1 - z) is nearly -z. Solve (1 - z)^n = share without that "
    "approximation."
)
def for_small_gates(share, n):
    return -math.log(share) / n


GATE_FOR = Exercise(
    solution=gate_for,
    cases=((0.5, 1), (0.5, 20), (0.1, 5), (0.9, 3)),
    mistakes=(share_that_is_kept, loss_spread_evenly, power_for_root, for_small_gates),
)


# 02.2 PyTorch's update gate turned round. parameter: [3 d_state, ...], reset, update, candidate.


def turned(parameter):
    reset, update, candidate = parameter.chunk(3)
    return torch.cat([reset, -update, candidate])


@mistake(
    "1 - sigmoid(a) is sigmoid(-a), not sigmoid(1 - a): what changes is the sign inside the "
    "sigmoid."
)
def one_minus(parameter):
    reset, update, candidate = parameter.chunk(3)
    return torch.cat([reset, 1 - update, candidate])


@mistake(
    "you turned all three. Reset gate and candidate stay as they are; only the middle third "
    "changes sign."
)
def all_three_turned(parameter):
    return -parameter


@mistake("you turned the first third, the reset gate. The order is reset, update, candidate.")
def reset_turned(parameter):
    reset, update, candidate = parameter.chunk(3)
    return torch.cat([-reset, update, candidate])


@mistake("you turned the last third, the candidate. The order is reset, update, candidate.")
def candidate_turned(parameter):
    reset, update, candidate = parameter.chunk(3)
    return torch.cat([reset, update, -candidate])


TURNED = Exercise(
    solution=turned,
    cases=(
        random_tensors(0, (6, 3)),
        random_tensors(1, (6, 2)),
        random_tensors(2, (9,)),
    ),
    mistakes=(one_minus, all_three_turned, reset_turned, candidate_turned),
)


# 02.3 How many numbers one layer of torch.nn.GRU trains, and how many are in Eq. 1.


def count_parameters(d_input, d_state):
    pytorch = 3 * d_state * (d_input + d_state + 2)
    equation = 3 * d_state * (d_input + d_state + 1)
    return pytorch, equation


@mistake(
    "you counted the bias once for both. PyTorch adds two to each gate and to the candidate, b "
    "and u."
)
def one_bias_for_both(d_input, d_state):
    _, equation = count_parameters(d_input, d_state)
    return equation, equation


@mistake(
    "you counted the bias twice for both. Eq. 1 adds only one to each gate and one to the "
    "candidate."
)
def two_biases_for_both(d_input, d_state):
    pytorch, _ = count_parameters(d_input, d_state)
    return pytorch, pytorch


@mistake(
    "you merged the two biases of each gate. They could be merged, but PyTorch keeps and trains "
    "all six."
)
def biases_of_gates_merged(d_input, d_state):
    _, equation = count_parameters(d_input, d_state)
    return 3 * d_state * (d_input + d_state) + 4 * d_state, equation


@mistake("that is a third of it: reset gate, update gate and candidate have matrices of their own.")
def one_third(d_input, d_state):
    pytorch, equation = count_parameters(d_input, d_state)
    return pytorch // 3, equation // 3


@mistake("the right numbers in the wrong order: first torch.nn.GRU, then Eq. 1.")
def in_the_wrong_order(d_input, d_state):
    pytorch, equation = count_parameters(d_input, d_state)
    return equation, pytorch


COUNT_PARAMETERS = Exercise(
    solution=count_parameters,
    cases=((3, 4), (64, 128), (1, 1)),
    mistakes=(
        one_bias_for_both,
        two_biases_for_both,
        biases_of_gates_merged,
        one_third,
        in_the_wrong_order,
    ),
)


# 02.4 A step of a cell with one gate. W: [2 d_state, d_input], U: [2 d_state, d_state], gate first.


def minimal_step(x, h, W, U, b):
    f, x_c, U_c = gate_and_the_rest(x, h, W, U, b)
    candidate = torch.tanh(x_c + (f * h) @ U_c.T)
    return f * candidate + (1 - f) * h


def gate_and_the_rest(x, h, W, U, b):
    """Return the gate, and for the candidate: what it gets from x, and its matrix for h."""
    x_f, x_c = (x @ W.T + b).chunk(2, dim=-1)
    U_f, U_c = U.chunk(2)
    return torch.sigmoid(x_f + h @ U_f.T), x_c, U_c


@mistake(
    "the gate is turned round, as PyTorch has it. Here f is the share of the candidate and 1 - f "
    "that of the old state."
)
def shares_exchanged(x, h, W, U, b):
    f, x_c, U_c = gate_and_the_rest(x, h, W, U, b)
    candidate = torch.tanh(x_c + (f * h) @ U_c.T)
    return (1 - f) * candidate + f * h


@mistake(
    "the gate acts after the product, f * (U h), as in PyTorch. Here it acts before: U (f * h)."
)
def gate_after_the_product(x, h, W, U, b):
    f, x_c, U_c = gate_and_the_rest(x, h, W, U, b)
    candidate = torch.tanh(x_c + f * (h @ U_c.T))
    return f * candidate + (1 - f) * h


@mistake(
    "the candidate sees the whole old state. The gate stands in two places: it is applied to h "
    "before the candidate's product as well."
)
def candidate_ungated(x, h, W, U, b):
    f, x_c, U_c = gate_and_the_rest(x, h, W, U, b)
    candidate = torch.tanh(x_c + h @ U_c.T)
    return f * candidate + (1 - f) * h


MINIMAL_STEP = Exercise(
    solution=minimal_step,
    cases=(
        random_tensors(3, (5, 3), (5, 4), (8, 3), (8, 4), (8,)),
        random_tensors(4, (1, 2), (1, 2), (4, 2), (4, 2), (4,)),
    ),
    mistakes=(shares_exchanged, gate_after_the_product, candidate_ungated),
)

EXERCISES = {
    "02.1": GATE_FOR,
    "02.2": TURNED,
    "02.3": COUNT_PARAMETERS,
    "02.4": MINIMAL_STEP,
}
