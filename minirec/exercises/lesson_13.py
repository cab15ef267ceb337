"""The exercises of notebook 13: serving, what the gates need, gaps, fake steps, a table.

alpha: the decay, so that a step takes a state h to alpha h + b. B rows of N positions, D numbers in
a state.
"""

import math

import torch

from minirec.exercises.checker import Exercise, mistake, predicted
from minirec.exercises.inputs import random_tensors

# 13.1 Bytes of windows and states, 2 layers (3 + 1) 128 numbers of 4 bytes, and the first film
# after which keys and values, 2 layers 2 64 numbers each, take more.

BYTES_AND_FILM = predicted(
    (4096, 5),
    [
        (
            (4096, 4),
            "the bytes are right. After four films the two take equally much; when is it more?",
        ),
        (
            (1024, 5),
            "that is how many numbers there are. In float32 each takes four bytes.",
        ),
        (
            (1024, 2),
            "those are the states alone. The windows keep three earlier inputs of each channel.",
        ),
        (
            (2048, 3),
            "that is one layer, or two that are as wide as the model. Inside, a layer is 2 d wide, "
            "and there are two of them.",
        ),
        (
            (5120, 6),
            "the window reads four inputs, but the newest one comes with the film: how many are "
            "kept?",
        ),
        (
            (2560, 3),
            "inside, a layer is 2 d wide: windows and states both are.",
        ),
        (
            (2048, 2),
            "you counted d numbers for each, or one layer. There are two, and inside they are 2 d "
            "wide.",
        ),
        (
            (5120, 5),
            "the film would be right, the bytes are not: one of the window's four inputs comes "
            "with the film.",
        ),
        (
            (4352, 5),
            "you counted the latest representation too; windows and states alone are asked for.",
        ),
        (
            (4096, 9),
            "your cache has only keys, or only one layer. For each film and layer it keeps a key "
            "and a value.",
        ),
        (
            (4096, 3),
            "your cache is too wide: keys and values have d numbers each, not 2 d.",
        ),
    ],
    title="What is kept of a user",
    stars=1,
    minutes=6,
    hints=(
        "Per layer and channel: one number of state, and the inputs that the window still needs.",
        "The inner width is 2 d = 128. Count the numbers of both layers, then four bytes each.",
        "A film adds two layers, times key and value, times 64 numbers, times four bytes.",
    ),
)


# 13.2 The line with the bug, and the first film whose output is wrong.

BUG_AND_FILM = predicted(
    (8, 2),
    [
        (
            (8, 1),
            "the right line. But at the first film the window holds zeros, and so it should: is y "
            "wrong there?",
        ),
        (
            (8, 3),
            "the right line. At film 2, what should stand beside the newest input, and what does?",
        ),
        (
            (8, 4),
            "the right line. The window need not be full: x of film 1 is missing before that.",
        ),
        (
            (8, 5),
            "the right line. The zeros of the beginning are at fault long before the window is "
            "full: which input should stand in it after film 1?",
        ),
        (
            (2, 2),
            "line 2 is right: oldest first, and the newest input, which has just come, last.",
        ),
        ((1, 1), "line 1 is RecBLR's lines 1 and 2: two branches of equal width."),
        ((3, 2), "line 3 is right: a weight for each of the four inputs of a channel, and a bias."),
        (
            (4, 1),
            "line 4 is right: the gates read the convolved input, the film, and never the state.",
        ),
        ((5, 1), "line 5 is right: the decay of RecBLR's Eq. 8, with r between 0 and 1."),
        ((6, 1), "line 6 is RecBLR's Eq. 5 with the gates of Eqs. 6 to 8."),
        ((7, 1), "line 7 is right: the output reads the new state."),
    ],
    title="A window that stands still",
    kind="find the bug",
    stars=2,
    minutes=6,
    hints=(
        "Write down the window after film 1 and after film 2, by the numbers of the films.",
        "Four inputs were read; three are kept. Which of the four may be forgotten?",
        "For the film: at which one does the window first have to hold something other than 0?",
    ),
)


# 13.3 Lambda and the recurrence gate that forget a film to 1/64 in three films, r = 1, and keep
# half of it over 16 items of noise. alpha = (1 / (1 + exp(Lambda)))^r: 1 / (1 + e^Lambda) = 1/4.

LAMBDA_AND_GATE = predicted(
    (math.log(3), 1 / 32),
    [
        (
            (0.25, 1 / 32),
            "r is right, and 0.25 is the least alpha. Lambda is behind a softplus: solve "
            "1 / (1 + exp(Lambda)) = 0.25.",
        ),
        (
            (-math.log(3), 1 / 32),
            "r is right. Lambda has the wrong sign: a larger Lambda forgets faster.",
        ),
        (
            (math.log(4), 1 / 32),
            "r is right. ln 4 is softplus(Lambda), not yet Lambda.",
        ),
        (
            (math.log(63), 1 / 96),
            "you let one film take the state to 1/64. It has three.",
        ),
        (
            (math.log(3), 0.5),
            "Lambda is right. r = 1/2 keeps a half over one item. Over 16 of them?",
        ),
        (
            (math.log(3), 0.5 ** (1 / 16)),
            "Lambda is right. That is alpha at noise, asked for is the r that gives it.",
        ),
        (
            (math.log(3), 31 / 32),
            "Lambda is right. At noise the gate is to be nearly shut; r = 1 is open.",
        ),
        (
            (math.log(3), math.log(31)),
            "Lambda is right. r lies behind the sigmoid, between 0 and 1.",
        ),
        (
            (math.log(3), -math.log(31)),
            "Lambda is right. That is the gate before its sigmoid; r is what comes out of it.",
        ),
    ],
    title="Room for the gates",
    kind="derive",
    stars=2,
    minutes=8,
    hints=(
        "With r = 1 the decay is a = 1 / (1 + exp(Lambda)). Over three films a^3 is left.",
        "a^3 = 1/64 gives a. For Lambda, solve the equation of a.",
        "At noise alpha = a^r, and over 16 items a^(16 r) is left. Set it to a half.",
    ),
)


# 13.4 The items with n items of noise in front of the last position, [B, N] -> [B, N + n].


def with_gap(items, noise, n):
    gap = torch.full((len(items), n), noise)
    return torch.cat([items[:, :-1], gap, items[:, -1:]], dim=1)


@mistake("one item of noise is missing: n of them stand in front of the last position.")
def gap_one_short(items, noise, n):
    return with_gap(items, noise, max(0, n - 1))


@mistake("one item of noise too many: n of them stand in front of the last position.")
def gap_one_long(items, noise, n):
    return with_gap(items, noise, n + 1)


@mistake("the noise stands behind the last item. It belongs in front of it.")
def gap_at_the_end(items, noise, n):
    gap = torch.full((len(items), n), noise)
    return torch.cat([items, gap], dim=1)


@mistake("the noise stands in front of the whole row: that makes no gap within it.")
def gap_in_front(items, noise, n):
    gap = torch.full((len(items), n), noise)
    return torch.cat([gap, items], dim=1)


@mistake("the noise has taken the place of items. Rows get longer, by n.")
def items_overwritten(items, noise, n):
    gapped = items.clone()
    gapped[:, max(0, items.shape[1] - 1 - n) : -1] = noise
    return gapped


@mistake("the last item is gone.")
def last_item_lost(items, noise, n):
    gap = torch.full((len(items), n), noise)
    return torch.cat([items[:, :-1], gap], dim=1)


@mistake("the last item stands there twice: before the gap and behind it.")
def last_item_twice(items, noise, n):
    gap = torch.full((len(items), n), noise)
    return torch.cat([items, gap, items[:, -1:]], dim=1)


@mistake("the gap is filled with 0, which is padding. Noise is an item of its own.")
def gap_of_padding(items, noise, n):
    return with_gap(items, 0, n)


def rows_of_items(seed, n_rows, length, noise, n):
    """Draw items 1 .. noise."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, noise + 1, (n_rows, length), generator=generator), noise, n


WITH_GAP = Exercise(
    solution=with_gap,
    cases=(
        rows_of_items(0, 2, 4, 9, 3),
        rows_of_items(1, 3, 2, 5, 1),
        rows_of_items(2, 1, 3, 6, 0),
    ),
    mistakes=(
        gap_one_short,
        gap_one_long,
        gap_at_the_end,
        gap_in_front,
        items_overwritten,
        last_item_lost,
        last_item_twice,
        gap_of_padding,
    ),
    title="A longer gap",
    kind="extend",
    stars=1,
    minutes=10,
    hints=(
        "Cut a row in two: items[:, :-1] is all but the last position, items[:, -1:] the last.",
        "torch.full((rows, n), noise) is the gap.",
        "torch.cat([...], dim=1) puts parts side by side.",
    ),
)


# 13.5 The state after n steps of the same alpha and b, [D] both, from zero. Where alpha = 1 nothing
# fades, and the formula would divide zero by zero.


def after_fakes(alpha, b, n):
    holds = alpha == 1
    left_over = torch.where(holds, 1, 1 - alpha)
    return torch.where(holds, n * b, b * (1 - alpha**n) / left_over)


@mistake("alpha and b have changed places.")
def exchanged(alpha, b, n):
    return after_fakes(b, alpha, n)


@mistake("where nothing fades b still comes in at each of the n steps.")
def nothing_where_held(alpha, b, n):
    return torch.where(alpha == 1, 0, after_fakes(alpha, b, n))


@mistake("what comes in is b at each step; you left b out.")
def without_b(alpha, b, n):
    return after_fakes(alpha, torch.ones_like(b), n)


@mistake("one step too few: n steps put in b n times.")
def one_step_too_few(alpha, b, n):
    return after_fakes(alpha, b, n - 1)


@mistake("that is where infinitely many steps lead. How much of it is reached after n of them?")
def after_infinitely_many(alpha, b, n):
    return b / (1 - alpha)


@mistake("what earlier steps put in fades: write down the state after two steps.")
def nothing_fades(alpha, b, n):
    return n * b


@mistake("that is what is left of the first step alone. Every step adds a b of its own.")
def left_of_the_first_step(alpha, b, n):
    return alpha**n * b


@mistake("one step too many: n steps put in b n times, the first of which has faded n - 1 times.")
def one_step_too_many(alpha, b, n):
    return after_fakes(alpha, b, n + 1)


@mistake("the last step's b has not faded yet: the sum begins with b, not with alpha b.")
def last_step_faded(alpha, b, n):
    return after_fakes(alpha, b, n) * alpha


def fake_steps(seed, width, n):
    """Draw alpha, between 0 and 1, and b; the last channel holds, alpha = 1."""
    raw, b = random_tensors(seed, (width,), (width,))
    alpha = raw.sigmoid()
    alpha[-1] = 1
    return alpha, b, n


AFTER_FAKES = Exercise(
    solution=after_fakes,
    cases=(
        fake_steps(4, 3, 5),
        fake_steps(5, 2, 56),
        fake_steps(6, 4, 1),
        fake_steps(7, 2, 0),
    ),
    mistakes=(
        nothing_where_held,
        exchanged,
        without_b,
        one_step_too_few,
        after_infinitely_many,
        nothing_fades,
        left_of_the_first_step,
        one_step_too_many,
        last_step_faded,
    ),
    title="Where the fake steps lead",
    kind="derive",
    stars=2,
    minutes=8,
    hints=(
        "Write the state after one step, two steps, three steps as a sum of powers of alpha.",
        "Call the sum S and subtract alpha S: nearly everything cancels.",
        "It is a geometric sum. Divide what is left by 1 - alpha, and multiply by b.",
        "Where alpha = 1 the sum is n b. `torch.where(alpha == 1, ..., ...)` chooses by channel.",
    ),
)


# 13.6 Which rows of the table may be ranked together with row A.

RANKED_WITH_A = predicted(
    frozenset("BC"),
    {
        frozenset(
            "ABC"
        ): "these may be ranked together. Name the others only, A is not one of them.",
        frozenset("BCF"): "F has another order of ties: other films are asked for there.",
        frozenset("BCDE"): "D and E have another order of ties: other films are asked for there.",
        frozenset(
            "B"
        ): "why not the predictor that only counts? It was asked for the same targets, and "
        "counting ends by itself.",
        frozenset(
            "C"
        ): "B was asked for the same targets as A, among the same items, and it converged.",
        frozenset(
            "BCG"
        ): "G ended on its budget. How far it would have come is not known; and its data are "
        "others.",
        frozenset("BCGH"): "G and H ended on their budget, and their data are others.",
        frozenset(
            "DE"
        ): "these have another order of ties: other films are asked for. Which rows share A's?",
        frozenset(
            "BCDEF"
        ): "D, E and F have another order of ties, so other films are asked for there.",
        frozenset(
            "D"
        ): "the same system in another order of ties: other films are asked for there.",
        frozenset("BD"): "D has another order of ties: other films are asked for there.",
    },
    title="Which rows may be ranked?",
    kind="read a figure",
    stars=1,
    minutes=4,
    hints=(
        "Ranks compare answers to the same question: which columns say what was asked?",
        "And which column says whether a system had got as far as it would come?",
    ),
)

EXERCISES = {
    "13.1": BYTES_AND_FILM,
    "13.2": BUG_AND_FILM,
    "13.3": LAMBDA_AND_GATE,
    "13.4": WITH_GAP,
    "13.5": AFTER_FAKES,
    "13.6": RANKED_WITH_A,
}
