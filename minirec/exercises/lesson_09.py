"""The exercises of notebook 09: a decay, joined steps, Lambda for a half-life, the first verdict.

A step takes a state h to a h + b; alpha: a constant decay in the place of a; Lambda: what a channel
of the BD-LRU trains, behind a softplus; openness: the value of its gate sigmoid(r).
"""

import math

import torch

from minirec.exercises.checker import Exercise, mistake
from minirec.scan import linear_recurrence

# 09.1 The constant decay that leaves half of a state after n steps.


def alpha_for(n):
    return 0.5 ** (1 / n)


@mistake("that is the share lost in a step. The decay alpha is the share that is kept.")
def share_lost(n):
    return 1 - 0.5 ** (1 / n)


@mistake("after n steps that leaves 1/e, 37%. For a half, the exponent is -ln 2 / n.")
def leaves_one_over_e(n):
    return math.exp(-1 / n)


@mistake("the factors of n steps multiply: alpha^n = 1/2. Solve for alpha.")
def half_times_n(n):
    return 0.5 * n


@mistake(
    "you spread the loss evenly over the steps. Each step takes its share of what is still left, "
    "so the factors multiply."
)
def loss_spread_evenly(n):
    return 1 - 0.5 / n


@mistake("you took the n-th power where the n-th root is wanted: alpha^n = 1/2.")
def power_for_root(n):
    return 0.5**n


ALPHA_FOR = Exercise(
    solution=alpha_for,
    cases=((1,), (10,), (2.5,), (693,)),
    mistakes=(
        share_lost,
        leaves_one_over_e,
        half_times_n,
        loss_spread_evenly,
        power_for_root,
    ),
)


# 09.2 The one step (a, b) that does what a list of steps does; (1, 0) for an empty list.


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


JOIN = Exercise(
    solution=join,
    cases=(
        ([(0.5, 3.0), (0.25, 1.0)],),
        ([(0.5, 1.0), (2.0, -1.0), (0.1, 4.0)],),
        ([(0.9, 2.0)],),
        ([],),
    ),
    mistakes=(last_step_first, inputs_added, decays_added, last_decay_alone),
)


# 09.3 The Lambda with which a channel has a half-life of n steps, while its gate is at `openness`.


def lambda_for(n, openness):
    return inverse_softplus(math.log(2) / (n * openness))


def inverse_softplus(s):
    return math.log(math.expm1(s))


@mistake(
    "that is softplus(Lambda), not yet Lambda. Undo the softplus: s = ln(1 + e^L) gives "
    "L = ln(e^s - 1)."
)
def softplus_left_on(n, openness):
    return math.log(2) / (n * openness)


@mistake(
    "close for long half-lives, where softplus(Lambda) is nearly e^Lambda. Undo it exactly: "
    "L = ln(e^s - 1)."
)
def for_long_half_lives(n, openness):
    return math.log(math.log(2) / (n * openness))


@mistake("you left out how far the gate is open: it multiplies softplus(Lambda).")
def gate_left_out(n, openness):
    return inverse_softplus(math.log(2) / n)


@mistake(
    "the gate multiplies softplus(Lambda), so to reach the same decay through a half open gate, "
    "softplus(Lambda) must be twice as large, not half."
)
def gate_multiplied(n, openness):
    return inverse_softplus(math.log(2) * openness / n)


@mistake("that leaves 1/e after n steps. A half needs ln 2.")
def without_log_2(n, openness):
    return inverse_softplus(1 / (n * openness))


LAMBDA_FOR = Exercise(
    solution=lambda_for,
    cases=((10.0, 1.0), (10.0, 0.5), (0.5, 0.25), (200.0, 0.1)),
    mistakes=(
        softplus_left_on,
        for_long_half_lives,
        gate_left_out,
        gate_multiplied,
        without_log_2,
    ),
)


# 09.4 The first verdict so far, by two recurrences. x: [B, N, 1], of -1, 0 (no verdict) and +1.


def first_verdict(x):
    verdicts_before = running_sum(x.abs()) - x.abs()
    return kept_where_none(verdicts_before, x)


def running_sum(x):
    return linear_recurrence(torch.ones_like(x), x)


def kept_where_none(verdicts, x):
    """Let in only what meets a count of 0, and keep it."""
    return running_sum(torch.where(verdicts == 0, x, 0.0))


@mistake("that is the sum of all verdicts. Let in only those before which there was none.")
def sum_of_all(x):
    return running_sum(x)


@mistake("that is the majority so far. Let in only the verdict before which there was none.")
def majority(x):
    return running_sum(x).sign()


@mistake(
    "that is the latest verdict, a gate that sees only the input. To know whether a verdict is the "
    "first, a second recurrence has to count."
)
def latest(x):
    keep = (x == 0).to(x.dtype)
    return linear_recurrence(keep, x)


@mistake(
    "your count includes the present verdict, so that even the first is not let in. Count those "
    "before it."
)
def present_verdict_counted(x):
    return kept_where_none(running_sum(x.abs()), x)


@mistake(
    "you added the verdicts up, and +1 and -1 cancel: after one of each it looks as if there had "
    "been none. Count |x|."
)
def verdicts_cancel(x):
    return kept_where_none(running_sum(x) - x, x)


@mistake(
    "the first verdict comes in but is not kept. Run a second recurrence over what was let in."
)
def first_not_kept(x):
    verdicts_before = running_sum(x.abs()) - x.abs()
    return torch.where(verdicts_before == 0, x, 0.0)


THREE_ROWS = torch.tensor(
    [[0.0, -1.0, 1.0, 1.0, 0.0], [1.0, 1.0, -1.0, -1.0, -1.0], [0.0, 0.0, 1.0, -1.0, 1.0]],
    dtype=torch.float64,
).unsqueeze(-1)

FIRST_VERDICT = Exercise(
    solution=first_verdict,
    cases=((THREE_ROWS,), (THREE_ROWS[:, :1],), (-THREE_ROWS[:1, 1:],)),
    mistakes=(
        sum_of_all,
        majority,
        latest,
        present_verdict_counted,
        verdicts_cancel,
        first_not_kept,
    ),
)

EXERCISES = {
    "09.1": ALPHA_FOR,
    "09.2": JOIN,
    "09.3": LAMBDA_FOR,
    "09.4": FIRST_VERDICT,
}
