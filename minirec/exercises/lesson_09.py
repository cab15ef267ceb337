"""The exercises of notebook 09: steps joined, minGRU, Lambda, a wrong root, rules, a start.

A step takes a state h to a h + b. r: the value of the recurrence gate, between 0 and 1; Lambda:
what a channel of the BD-LRU trains, behind a softplus; n: steps, or channels.
"""

import math

import torch

from minirec.exercises.checker import Exercise, mistake, predicted
from minirec.layers.bd_lru import initial_Lambda

# 09.1 The one step (a, b) that does what a list of steps does; (1, 0) for an empty list.


def join(steps):
    a = 1.0
    b = 0.0
    for a_next, b_next in steps:
        b = a_next * b + b_next
        a = a * a_next
    return a, b


@mistake(
    "the wrong b decays, as if the last step came first. The earlier b passes through the later "
    "steps, so it is the one that meets their a."
)
def last_step_first(steps):
    return join(steps[::-1])


@mistake(
    "you only added the b. What the first step brought in decays in the second: its b meets the "
    "second a."
)
def inputs_added(steps):
    a = 1.0
    b = 0.0
    for a_next, b_next in steps:
        b = b + b_next
        a = a * a_next
    return a, b


@mistake("the decays multiply, they do not add: a half of a quarter is an eighth.")
def decays_added(steps):
    a = 1.0
    b = 0.0
    for a_next, b_next in steps:
        b = a_next * b + b_next
        a = a + a_next
    return a, b


@mistake(
    "the b is right, but the old state decays in every step, not only in the last: multiply all "
    "the a."
)
def last_decay_alone(steps):
    a = 1.0
    b = 0.0
    for a_next, b_next in steps:
        b = a_next * b + b_next
        a = a_next
    return a, b


@mistake(
    "you multiplied each b by its own step's a. The earlier b passes through the later step, and "
    "the step's own b comes in undiminished."
)
def input_meets_its_own_decay(steps):
    a = 1.0
    b = 0.0
    for a_next, b_next in steps:
        b = b + a_next * b_next
        a = a * a_next
    return a, b


@mistake(
    "before the first step nothing has happened, so the pair for no steps must leave a state as it "
    "is: 0 h + 0 does not."
)
def starts_at_nothing(steps):
    return 0.0, join(steps)[1]


@mistake(
    "what has come in so far meets the new step's a alone. You multiplied it by all the a, as if "
    "you had changed the product before you used it."
)
def product_changed_first(steps):
    a = 1.0
    b = 0.0
    for a_next, b_next in steps:
        a = a * a_next
        b = a * b + b_next
    return a, b


JOIN = Exercise(
    solution=join,
    cases=(
        ([(0.5, 3.0), (0.25, 1.0)],),
        ([(0.5, 1.0), (2.0, -1.0), (0.1, 4.0)],),
        ([(0.9, 2.0)],),
        ([],),
    ),
    mistakes=(
        last_step_first,
        inputs_added,
        decays_added,
        last_decay_alone,
        input_meets_its_own_decay,
        starts_at_nothing,
        product_changed_first,
    ),
    title="Many steps as one",
    kind="fill in",
    stars=2,
    minutes=6,
    hints=(
        "Keep one pair: what all steps so far do together. Before the first step it leaves a state "
        "as it is.",
        "For each step that follows, join the pair so far with it, as two steps are joined.",
        "The pair so far is (1, 0) at the start. The new b needs the new step's a; the new a is a "
        "product.",
    ),
)


# 09.2 minGRU as a loop over the positions of one row, with several channels.


def min_gru(x, W_z, b_z, W, b):
    h = torch.zeros_like(b)
    states = []
    for x_t in x:
        z = torch.sigmoid(W_z @ x_t + b_z)
        candidate = W @ x_t + b
        h = (1 - z) * h + z * candidate
        states.append(h)
    return torch.stack(states)


@mistake("the gate is turned round: z is the share of the candidate, 1 - z that of the old state.")
def gate_turned_round(x, W_z, b_z, W, b):
    return min_gru(x, -W_z, -b_z, W, b)


@mistake("the gate is not between 0 and 1: it lacks the sigmoid.")
def gate_without_sigmoid(x, W_z, b_z, W, b):
    h = torch.zeros_like(b)
    states = []
    for x_t in x:
        z = W_z @ x_t + b_z
        h = (1 - z) * h + z * (W @ x_t + b)
        states.append(h)
    return torch.stack(states)


@mistake("that is the GRU's candidate. minGRU's has no tanh.")
def candidate_with_tanh(x, W_z, b_z, W, b):
    h = torch.zeros_like(b)
    states = []
    for x_t in x:
        z = torch.sigmoid(W_z @ x_t + b_z)
        h = (1 - z) * h + z * torch.tanh(W @ x_t + b)
        states.append(h)
    return torch.stack(states)


@mistake("the candidate comes in whole. The gate lets in the share z of it.")
def candidate_not_gated(x, W_z, b_z, W, b):
    h = torch.zeros_like(b)
    states = []
    for x_t in x:
        z = torch.sigmoid(W_z @ x_t + b_z)
        h = (1 - z) * h + W @ x_t + b
        states.append(h)
    return torch.stack(states)


@mistake("you left out the biases: the gate has b_z, the candidate b.")
def without_biases(x, W_z, b_z, W, b):
    return min_gru(x, W_z, torch.zeros_like(b_z), W, torch.zeros_like(b))


@mistake("that is the last state alone. Collect the state of every position, [N, d_state].")
def last_state_alone(x, W_z, b_z, W, b):
    return min_gru(x, W_z, b_z, W, b)[-1]


def _row(n_positions, d_input, d_state, seed):
    generator = torch.Generator().manual_seed(seed)
    shapes = (
        (n_positions, d_input),
        (d_state, d_input),
        (d_state,),
        (d_state, d_input),
        (d_state,),
    )
    return tuple(torch.randn(shape, generator=generator) for shape in shapes)


MIN_GRU = Exercise(
    solution=min_gru,
    cases=(_row(3, 2, 4, seed=0), _row(6, 3, 2, seed=1), _row(1, 2, 3, seed=2)),
    mistakes=(
        gate_turned_round,
        gate_without_sigmoid,
        candidate_with_tanh,
        candidate_not_gated,
        without_biases,
        last_state_alone,
    ),
    title="minGRU with several channels",
    kind="fill in",
    stars=2,
    minutes=8,
    hints=(
        "Begin as the loop above does: with a state of zeros and an empty list of states.",
        "Gate and candidate each need a matrix times the input of one position (`@`), and a bias.",
        "The loop collects N states of [d_state]; `torch.stack` makes one tensor of such a list.",
    ),
)


# 09.3 The Lambda with which a channel has a half-life of n steps, while its gate stands at r.


def lambda_for(n, r):
    return inverse_softplus(math.log(2) / (n * r))


def inverse_softplus(s):
    return math.log(math.expm1(s))


@mistake(
    "that is softplus(Lambda), not yet Lambda. Undo the softplus: s = ln(1 + e^L), solved for L."
)
def softplus_left_on(n, r):
    return math.log(2) / (n * r)


@mistake(
    "close for long half-lives, where softplus(Lambda) is nearly e^Lambda. Undo it exactly: "
    "s = ln(1 + e^L), solved for L."
)
def for_long_half_lives(n, r):
    return math.log(math.log(2) / (n * r))


@mistake(
    "you divided Lambda by r, which stands outside the softplus: r multiplies softplus(Lambda). "
    "Divide by it before you undo the softplus."
)
def lambda_divided(n, r):
    return inverse_softplus(math.log(2) / n) / r


@mistake("you left out how far the gate is open: it multiplies softplus(Lambda).")
def gate_left_out(n, r):
    return inverse_softplus(math.log(2) / n)


@mistake(
    "the gate multiplies softplus(Lambda), so to reach the same decay through a half open gate, "
    "softplus(Lambda) must be twice as large, not half."
)
def gate_multiplied(n, r):
    return inverse_softplus(math.log(2) * r / n)


@mistake("that leaves 1/e after n steps. A half needs ln 2.")
def without_log_2(n, r):
    return inverse_softplus(1 / (n * r))


@mistake(
    "the sign of Lambda is turned. A large Lambda forgets fast, so a long half-life needs one far "
    "below 0."
)
def sign_of_lambda(n, r):
    return -lambda_for(n, r)


@mistake("that is the decay. The Lambda that makes it is wanted.")
def decay_itself(n, r):
    return 0.5 ** (1 / n)


LAMBDA_FOR = Exercise(
    solution=lambda_for,
    cases=((10.0, 1.0), (10.0, 0.5), (0.5, 0.25), (200.0, 0.1)),
    mistakes=(
        softplus_left_on,
        for_long_half_lives,
        lambda_divided,
        gate_left_out,
        gate_multiplied,
        without_log_2,
        sign_of_lambda,
        decay_itself,
    ),
    title="A parameter for a given half-life",
    kind="derive",
    stars=2,
    minutes=10,
    hints=(
        "After n steps the state has been multiplied by alpha n times. Take the logarithm of "
        "alpha^n = 1/2.",
        "That gives softplus(Lambda) r n = ln 2. Solve it for softplus(Lambda) first.",
        "Then undo the softplus: s = ln(1 + e^L). Take e to the power of both sides.",
    ),
)


# 09.4 The line with the bug, and the mean square that its state settles at, for a decay of 0.9.

WRONG_ROOT = predicted(
    (4, 1 / 1.9),
    [
        (
            (4, math.sqrt(1 / 1.9)),
            "the right line, and the root of the right number: the mean square was asked for.",
        ),
        (
            (4, 1.9),
            "the right line. You divided the wrong way round: what comes in stands above, what "
            "must be made good below.",
        ),
        (
            (4, 0.1),
            "the right line. 0.1 comes in at every step; what has come in before is still there "
            "in part. Where do loss and gain balance?",
        ),
        (
            (4, 1.0),
            "the right line. With alpha squared under the root it would settle at 1; without the "
            "square the sum is another one.",
        ),
        (
            (4, 10.0),
            "the right line, but that is the mean square without any scale divided by the wrong "
            "loss. What share of the mean square does a step keep?",
        ),
        (
            (4, 1 / 0.19),
            "the right line. That is where the state would settle if the whole input came in: with "
            "a scale of 1. What is the scale's square in line 4?",
        ),
        (
            (1 / 1.9, 4),
            "both are right, but the pair is turned round: the line comes first.",
        ),
        ((2, 1 / 1.9), "the number is right. But line 2 is RecBLR, Eqs. 6 and 7."),
        ((3, 1 / 1.9), "the number is right. But line 3 is RecBLR, Eq. 8, first line."),
        ((5, 1 / 1.9), "the number is right. But line 5 is Eq. 5, with beta written out."),
    ],
    title="A root that is almost right",
    kind="find the bug",
    stars=2,
    minutes=8,
    hints=(
        "Hold each line beside RecBLR, Eqs. 5 to 8.",
        "With a constant decay, the mean square q of the state settles where "
        "q = alpha^2 q + scale^2.",
        "Put the scale of the wrong line into that, with alpha = 0.9, and solve for q.",
    ),
)


# 09.5 Which of four rules for a state one linear step can follow.

LINEAR_RULES = predicted(
    "ABD",
    {
        "AB": "there is one more. Write a table for D: which straight line takes 0 to 1 and 1 to "
        "0?",
        "ABCD": "one of them is not linear. Write down for +1 what each state becomes, and look "
        "for a straight line through all the points.",
        "ABC": "look at C and D once more. A straight line has one slope: which of the two tables "
        "needs more than one?",
        "A": "there are more. a and b may be other numbers for each input, and a may be 0 or "
        "below 0.",
        "AD": "B is possible: what is left of the old verdict when a new one comes?",
        "B": "there are more. In A each good verdict adds 1: what are a and b for +1?",
        "BD": "A is possible: a good verdict adds 1, whatever the state.",
        "AC": "in C a +1 takes 2 to 3, but also 3 to 3, and 0 to 1. Does a straight line do that?",
        "C": "it is the other way round: C is the only one that no straight line does.",
    },
    title="Which rules are linear?",
    stars=2,
    minutes=5,
    hints=(
        "Make a table for each rule and each input: state before, state after.",
        "A rule fits if for each input the points of its table lie on one straight line. The line "
        "may be another one for another input.",
        "a = 1 keeps the state, a = 0 forgets it, a = -1 turns it round.",
    ),
)


# 09.6 Lambda for n channels: a share of them with short memories, the rest with long ones.


def start(n, share=0.5):
    n_short = round(n * share)
    short = torch.linspace(0.1, 0.9, n_short)
    return torch.cat([torch.log(1 / short - 1), initial_Lambda(n - n_short)])


@mistake(
    "your first channels hold the decays themselves. Lambda is what makes them: solve "
    "alpha = 1 / (1 + e^Lambda) for Lambda."
)
def decays_themselves(n, share=0.5):
    n_short = round(n * share)
    return torch.cat([torch.linspace(0.1, 0.9, n_short), initial_Lambda(n - n_short)])


@mistake(
    "those are decays, all of them. Lambda is what makes them: solve "
    "alpha = 1 / (1 + e^Lambda) for Lambda."
)
def decays_in_all_channels(n, share=0.5):
    return 1 / (1 + torch.exp(start(n, share)))


@mistake(
    "those are decays, all of them, and the long ones are evenly spaced. Lambda is wanted, and for "
    "the long memories `initial_Lambda` has it."
)
def even_decays_in_all_channels(n, share=0.5):
    n_short = round(n * share)
    short = torch.linspace(0.1, 0.9, n_short)
    return torch.cat([short, torch.linspace(0.9, 0.999, n - n_short)])


@mistake(
    "your long memories have evenly spaced decays. RecBLR's start has an evenly spaced Lambda: "
    "`initial_Lambda` gives it."
)
def long_decays_evenly_spaced(n, share=0.5):
    n_short = round(n * share)
    long = torch.linspace(0.9, 0.999, n - n_short)
    return torch.cat([start(n, share)[:n_short], torch.log(1 / long - 1)])


@mistake(
    "the sign of your short memories is turned: a large Lambda forgets fast, so it belongs to a "
    "small decay."
)
def sign_turned(n, share=0.5):
    n_short = round(n * share)
    first = start(n, share)
    return torch.cat([-first[:n_short], first[n_short:]])


@mistake(
    "your short memories are evenly spaced in Lambda. Here the decays are to be evenly spaced, "
    "from 0.1 to 0.9."
)
def even_in_lambda(n, share=0.5):
    n_short = round(n * share)
    short = torch.linspace(math.log(9), -math.log(9), n_short)
    return torch.cat([short, initial_Lambda(n - n_short)])


@mistake("the two groups are exchanged: the short memories come first.")
def groups_exchanged(n, share=0.5):
    n_short = round(n * share)
    first = start(n, share)
    return torch.cat([first[n_short:], first[:n_short]])


@mistake(
    "your long memories are a piece of RecBLR's start for all n channels. They are to reach from "
    "0.9 to 0.999 by themselves: `initial_Lambda` of as many as they are."
)
def piece_of_the_start(n, share=0.5):
    n_short = round(n * share)
    return torch.cat([start(n, share)[:n_short], initial_Lambda(n)[n_short:]])


@mistake(
    "you left out the softplus: e^(-Lambda) is not the decay, e^(-softplus(Lambda)) is. That is "
    "1 / (1 + e^Lambda)."
)
def without_softplus(n, share=0.5):
    n_short = round(n * share)
    short = torch.linspace(0.1, 0.9, n_short)
    return torch.cat([-torch.log(short), initial_Lambda(n - n_short)])


@mistake("you gave half of the channels short memories, whatever the share: use it.")
def share_left_out(n, share=0.5):
    return start(n)


START = Exercise(
    solution=start,
    cases=((8,), (32,), (8, 0.25), (16, 0.75)),
    mistakes=(
        decays_themselves,
        decays_in_all_channels,
        even_decays_in_all_channels,
        long_decays_evenly_spaced,
        sign_turned,
        even_in_lambda,
        groups_exchanged,
        piece_of_the_start,
        without_softplus,
        share_left_out,
    ),
    title="One start for both tasks",
    kind="extend",
    stars=3,
    minutes=20,
    hints=(
        "`torch.linspace(0.1, 0.9, m)` gives m evenly spaced decays.",
        "Solve alpha = 1 / (1 + e^Lambda) for Lambda, as the section on the start of Lambda does.",
        "`torch.cat([first, second])` puts the two groups one behind the other.",
    ),
)

EXERCISES = {
    "09.1": JOIN,
    "09.2": MIN_GRU,
    "09.3": LAMBDA_FOR,
    "09.4": WRONG_ROOT,
    "09.5": LINEAR_RULES,
    "09.6": START,
}
