"""The exercises of notebook 08: a decay for a given half-life, steps joined into one, Lambda for a given half-life, the first verdict kept by depth."""

import math

import torch

from minirec.exercises import Exercise
from minirec.scan import linear_recurrence


def _joined(steps, join):
    a, b = 1.0, 0.0
    for a_next, b_next in steps:
        a, b = join(a, b, a_next, b_next)
    return a, b


def _sum(x):
    return linear_recurrence(torch.ones_like(x), x)


def _first_only(x, seen):
    return _sum(torch.where(seen == 0, x, 0.0))


def _last_verdict(x):
    return linear_recurrence((x == 0).to(x.dtype), x)


ROWS = torch.tensor(
    [[0.0, -1.0, 1.0, 1.0, 0.0], [1.0, 1.0, -1.0, -1.0, -1.0], [0.0, 0.0, 1.0, -1.0, 1.0]],
    dtype=torch.float64,
)[..., None]

ALPHA_FOR = Exercise(
    solution=lambda n: 0.5 ** (1 / n),
    cases=((1,), (10,), (2.5,), (693,)),
    mistakes=(
        (
            lambda n: 1 - 0.5 ** (1 / n),
            "that is the share lost in a step. The decay alpha is the share that is kept.",
        ),
        (
            lambda n: math.exp(-1 / n),
            "after n steps that leaves 1/e, 37%. For a half, the exponent is -ln 2 / n.",
        ),
        (lambda n: 0.5 * n, "the factors of n steps multiply: alpha^n = 1/2. Solve for alpha."),
        (
            lambda n: 1 - 0.5 / n,
            "you spread the loss evenly over the steps. Each step takes its share of what is still left, so the factors multiply.",
        ),
        (lambda n: 0.5**n, "you took the n-th power where the n-th root is wanted: alpha^n = 1/2."),
    ),
)

JOIN = Exercise(
    solution=lambda steps: _joined(
        steps, lambda a, b, a_next, b_next: (a * a_next, a_next * b + b_next)
    ),
    cases=(
        ([(0.5, 3.0), (0.25, 1.0)],),
        ([(0.5, 1.0), (2.0, -1.0), (0.1, 4.0)],),
        ([(0.9, 2.0)],),
        ([],),
    ),
    mistakes=(
        (
            lambda steps: _joined(
                reversed(steps), lambda a, b, a_next, b_next: (a * a_next, a_next * b + b_next)
            ),
            "the wrong b decays, as if the last step came first. The earlier b passes through the later steps, so it is the one that meets their a.",
        ),
        (
            lambda steps: _joined(steps, lambda a, b, a_next, b_next: (a * a_next, b + b_next)),
            "you only added the b. What the first step brought in decays in the second: its b meets the second a.",
        ),
        (
            lambda steps: _joined(
                steps, lambda a, b, a_next, b_next: (a + a_next, a_next * b + b_next)
            ),
            "the decays multiply, they do not add: a half of a quarter is an eighth.",
        ),
        (
            lambda steps: _joined(
                steps, lambda a, b, a_next, b_next: (a_next, a_next * b + b_next)
            ),
            "the b is right, but the old state decays in every step, not only in the last: multiply all the a.",
        ),
    ),
)

LAMBDA_FOR = Exercise(
    solution=lambda n, openness: math.log(math.expm1(math.log(2) / (n * openness))),
    cases=((10.0, 1.0), (10.0, 0.5), (0.5, 0.25), (200.0, 0.1)),
    mistakes=(
        (
            lambda n, openness: math.log(2) / (n * openness),
            "that is softplus(Lambda), not yet Lambda. Undo the softplus: s = ln(1 + e^L) gives L = ln(e^s - 1).",
        ),
        (
            lambda n, openness: math.log(math.log(2) / (n * openness)),
            "close for long half-lives, where softplus(Lambda) is nearly e^Lambda. Undo it exactly: L = ln(e^s - 1).",
        ),
        (
            lambda n, openness: math.log(math.expm1(math.log(2) / n)),
            "you left out how far the gate is open: it multiplies softplus(Lambda).",
        ),
        (
            lambda n, openness: math.log(math.expm1(math.log(2) * openness / n)),
            "the gate multiplies softplus(Lambda), so to reach the same decay through a half open gate, softplus(Lambda) must be twice as large, not half.",
        ),
        (
            lambda n, openness: math.log(math.expm1(1 / (n * openness))),
            "that leaves 1/e after n steps. A half needs ln 2.",
        ),
    ),
)

FIRST_VERDICT = Exercise(
    solution=lambda x: _first_only(x, _sum(x.abs()) - x.abs()),
    cases=((ROWS,), (ROWS[:, :1],), (-ROWS[:1, 1:],)),
    mistakes=(
        (
            lambda x: _sum(x),
            "that is the sum of all verdicts. Let in only those before which there was none.",
        ),
        (
            lambda x: _sum(x).sign(),
            "that is the majority so far. Let in only the verdict before which there was none.",
        ),
        (
            _last_verdict,
            "that is the latest verdict, a gate that sees only the input. To know whether a verdict is the first, a second recurrence has to count.",
        ),
        (
            lambda x: _first_only(x, _sum(x.abs())),
            "your count includes the present verdict, so that even the first is not let in. Count those before it.",
        ),
        (
            lambda x: _first_only(x, _sum(x) - x),
            "you added the verdicts up, and +1 and -1 cancel: after one of each it looks as if there had been none. Count |x|.",
        ),
        (
            lambda x: torch.where(_sum(x.abs()) - x.abs() == 0, x, 0.0),
            "the first verdict comes in but is not kept. Run a second recurrence over what was let in.",
        ),
    ),
)

EXERCISES = {"08.1": ALPHA_FOR, "08.2": JOIN, "08.3": LAMBDA_FOR, "08.4": FIRST_VERDICT}
