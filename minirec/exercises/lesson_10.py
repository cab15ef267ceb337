"""The exercises of notebook 10: order, one list, counts, chunks, gradients, another scan.

h_t = a_t h_{t-1} + b_t, from h_0 = 0. A step is a pair (a, b); a, b: [n], one channel; h: its
states; g_t: the gradient of h_t.
"""

import torch

from minirec.exercises.checker import Exercise, mistake, predicted
from minirec.exercises.inputs import random_tensors

# 10.1 Steps 3 and 4 as one pair, (2, 2), and then steps 1 and 2 as one, (10, 5).

WRONG_ORDER = predicted(
    (20, 25),
    {
        (20, 12): "that is the right order, (10, 5) and then (2, 2). Here (2, 2) comes first.",
        (12, 7): "the first numbers are multiplied, and the second ones are not just added.",
        (20, 7): "the second numbers are not just added: what the first pair adds goes through "
        "the second.",
        (20, 9): "you multiplied the first pair's addend by its own factor. It goes through the "
        "factor of the pair that comes after it.",
        (20, 52): "you multiplied the second pair's addend. The first pair's addend is there "
        "earlier, so it is what goes through a factor: the second pair's.",
        (20, 15): "you took the second pair's addend through the first pair's factor. It is the "
        "other way round: the first pair's addend goes through the second pair's factor.",
        (20, 10): "that is the product of the addends. One of them is multiplied by a factor, the "
        "other is added.",
    },
    title="In the wrong order",
    stars=1,
    minutes=3,
    hints=(
        "Which of the two is $(a_1, b_1)$ of Eq. 2 now?",
        "Send h = 0 through (2, 2), and what comes out through (10, 5): that is the second number.",
    ),
)


# 10.2 Hillis and Steele's scan on one list of a and one of b: b after each round.


def after_each_round(b, one_round):
    """Return b before the first round and after each; one_round(reach) changes it in place."""
    rows = [list(b)]
    reach = 1
    while reach < len(b):
        one_round(reach)
        rows.append(list(b))
        reach = 2 * reach
    return rows


def in_one_list(a, b):
    def one_round(reach):
        for t in reversed(range(reach, len(a))):
            b[t] = a[t] * b[t - reach] + b[t]
            a[t] = a[t] * a[t - reach]

    return after_each_round(b, one_round)


@mistake(
    "your rounds are those of `overwrite`: the same numbers come out. In round 1, how many steps "
    "does the last position hold, and how many should it?"
)
def from_left_to_right(a, b):
    def one_round(reach):
        for t in range(reach, len(a)):
            b[t] = a[t] * b[t - reach] + b[t]
            a[t] = a[t] * a[t - reach]

    return after_each_round(b, one_round)


@mistake(
    "you exchanged the two lines. Then b is computed from a product that already holds the "
    "neighbour's factor."
)
def factor_first(a, b):
    def one_round(reach):
        for t in range(reach, len(a)):
            a[t] = a[t] * a[t - reach]
            b[t] = a[t] * b[t - reach] + b[t]

    return after_each_round(b, one_round)


@mistake(
    "the walk is right, and the lines are exchanged: b needs the factor as it was before the "
    "round, so it has to be computed first."
)
def factor_first_from_the_right(a, b):
    def one_round(reach):
        for t in reversed(range(reach, len(a))):
            a[t] = a[t] * a[t - reach]
            b[t] = a[t] * b[t - reach] + b[t]

    return after_each_round(b, one_round)


@mistake(
    "the position at `reach` is left out in each round: a range ends before its second number, "
    "backwards too."
)
def one_left_out(a, b):
    def one_round(reach):
        for t in range(len(a) - 1, reach, -1):
            b[t] = a[t] * b[t - reach] + b[t]
            a[t] = a[t] * a[t - reach]

    return after_each_round(b, one_round)


@mistake(
    "you kept the old b and not the old a. Both numbers of the neighbour must be those from "
    "before the round."
)
def only_one_list_kept(a, b):
    def one_round(reach):
        before = list(b)
        for t in range(reach, len(a)):
            b[t] = a[t] * before[t - reach] + before[t]
            a[t] = a[t] * a[t - reach]

    return after_each_round(b, one_round)


@mistake(
    "a is never joined. From round 2 on a position must pass its neighbour's b through the "
    "product of all the factors that it has taken in."
)
def factors_not_joined(a, b):
    def one_round(reach):
        for t in reversed(range(reach, len(a))):
            b[t] = a[t] * b[t - reach] + b[t]

    return after_each_round(b, one_round)


@mistake(
    "that is the naive loop, one turn per step. The states are right; asked for are Hillis and "
    "Steele's rounds, with b after each."
)
def naive_loop(a, b):
    rows = [list(b)]
    for t in range(1, len(a)):
        b[t] = a[t] * b[t - 1] + b[t]
    rows.append(list(b))
    return rows


@mistake(
    "those are the states alone. Asked for are rows: b as given, and b after each of Hillis and "
    "Steele's rounds. (A loop over the steps has no such rounds.)"
)
def only_the_states(a, b):
    for t in range(1, len(a)):
        b[t] = a[t] * b[t - 1] + b[t]
    return b


@mistake("all your rows are the same list, as it is at the end. Append a copy: `list(b)`.")
def same_list_in_every_row(a, b):
    rows = in_one_list(a, b)
    return [rows[-1] for _ in rows]


@mistake("the rows lack the list that you were given, before round 1. It comes first.")
def without_the_given_row(a, b):
    return in_one_list(a, b)[1:]


def steps_in_lists(seed, n):
    """Draw n steps as two lists of numbers."""
    a, b = random_tensors(seed, (n,), (n,))
    return a.tolist(), b.tolist()


IN_ONE_LIST = Exercise(
    solution=in_one_list,
    cases=(
        ([5.0, 2.0, 0.5, 4.0, 3.0], [1.0, 3.0, 1.0, -2.0, 2.0]),
        steps_in_lists(0, 8),
        steps_in_lists(1, 1),
    ),
    mistakes=(
        from_left_to_right,
        factor_first,
        factor_first_from_the_right,
        one_left_out,
        only_one_list_kept,
        factors_not_joined,
        naive_loop,
        only_the_states,
        same_list_in_every_row,
        without_the_given_row,
    ),
    title="One list instead of two",
    kind="find the bug",
    stars=2,
    minutes=10,
    hints=(
        "Compare the printed rows with the second numbers above. In round 1, which position is the "
        "first to differ?",
        "In a round, position t needs what stood at t - reach before the round. Has it been "
        "overwritten by then?",
        "In which order must the positions be visited, so that each is read before it is changed? "
        "Around that stands the loop over `reach`, as in `hillis_steele`.",
    ),
)


# 10.3 Rounds and combinations for N = 12: Hillis and Steele's scan, and the one up and down.

FOR_HILLIS_STEELE = {
    (4, 48): "not every position works in every round of Hillis and Steele: in the round with "
    "reach r the first r are finished.",
    (4, 49): "nothing is padded: Hillis and Steele's first two numbers are those of 16 positions.",
    (4, 37): "the first combinations: for powers of two the reaches add up to N - 1. Which are the "
    "reaches here, and what is their sum?",
    (3, 29): "three rounds of Hillis and Steele join eight steps, and the last position has twelve "
    "before it and with it.",
    (4, 11): "11 combinations are what the loop needs. Add up 12 - reach over the rounds of Hillis "
    "and Steele.",
    (6, 18): "the first two are those of up and down. Hillis and Steele need fewer rounds and more "
    "combinations.",
}
FOR_UP_AND_DOWN = {
    (7, 26): "nothing is padded: the last two numbers are those of up and down for 16 positions.",
    (7, 18): "up and down: the combinations are right. With which reach does the last round up "
    "still find two neighbours, and with which does the first one down find a position to fill in?",
    (5, 18): "up and down: the combinations are right. A round with a single combination is a "
    "round, too.",
    (8, 18): "up and down: the combinations are right, and a round with nothing to join is none.",
    (6, 21): "as many on the way down as on the way up, and one more? Those that hold their prefix "
    "already take no part.",
    (6, 22): "as many on the way down as would fill every position anew? Those that hold their "
    "prefix already take no part.",
    (6, 20): "up and down: twelve positions, as many as two per position less four? Count those "
    "that work, round by round.",
    (3, 10): "that is the way up alone. The way down fills in the positions passed over.",
    (5, 11): "the last two are those for N = 8, as drawn. Go through the rounds for 12 positions.",
    (4, 33): "the last two are those of Hillis and Steele. Up and down has more rounds and fewer "
    "combinations.",
}


def wrong_counts():
    """Pair the wrong halves with the right other half, and with each other."""
    pairs = []
    for first, hint in FOR_HILLIS_STEELE.items():
        pairs.append(((*first, 6, 18), hint))
        pairs += [(first + last, f"{hint} Also: {also}") for last, also in FOR_UP_AND_DOWN.items()]
    return pairs + [((4, 33, *last), hint) for last, hint in FOR_UP_AND_DOWN.items()]


COUNTS = predicted(
    (4, 33, 6, 18),
    wrong_counts(),
    title="Count before you run",
    stars=2,
    minutes=8,
    hints=(
        "Hillis and Steele: the reaches are 1, 2, 4, 8, and in each round N - reach positions "
        "have a neighbour so far to their left.",
        "Up: positions 2, 4, 6, ... in the first round, 4, 8, ... in the second, 8, ... in the "
        "third. How many of each are there up to 12?",
        "Down: with reach r positions 3 r, 5 r, 7 r and so on up to 12. Begin with the largest r "
        "that has any.",
    ),
)


# 10.4 Stages 2 and 3 of a chunked scan from a start h0: products, inside [n_chunks, c].


def from_a_start(products, inside, h0):
    states = torch.empty_like(inside)
    carry = h0
    for chunk in range(len(inside)):
        states[chunk] = inside[chunk] + products[chunk] * carry
        carry = states[chunk, -1]
    return states


def leaving_states(products, inside, h0):
    """Return the state that leaves each chunk."""
    return from_a_start(products, inside, h0)[:, -1]


def add_back(products, inside, carry):
    """Add to each position its product times the carry [n_chunks] of its chunk."""
    return inside + products * carry[:, None]


@mistake("nothing enters your first chunk: 0 instead of h0, as where the history begins.")
def start_forgotten(products, inside, h0):
    return from_a_start(products, inside, 0 * h0)


@mistake(
    "you added h0 to the first chunk only at the end. What it leaves behind goes on into the "
    "second chunk and all that follow: walk over the ends from h0."
)
def start_in_the_first_chunk_only(products, inside, h0):
    states = from_a_start(products, inside, 0 * h0)
    states[0] += products[0] * h0
    return states


@mistake(
    "each chunk gets the state that LEAVES it. What enters a chunk is what leaves the one before, "
    "and h0 enters the first."
)
def own_end_carried(products, inside, h0):
    return add_back(products, inside, leaving_states(products, inside, h0))


@mistake(
    "you carry the chunk's last state from zero. What truly leaves a chunk also holds what entered "
    "it, times the chunk's last product."
)
def ends_from_zero(products, inside, h0):
    return add_back(products, inside, torch.cat([h0.view(1), inside[:-1, -1]]))


@mistake(
    "h0 enters every one of your chunks. It enters the first; the others get what leaves the one "
    "before."
)
def start_in_every_chunk(products, inside, h0):
    return inside + products * h0


@mistake(
    "the carries are right, and you multiply them by the chunk's LAST product at every position. "
    "Each position has its own running product."
)
def last_product_everywhere(products, inside, h0):
    leaving = leaving_states(products, inside, h0)
    return inside + products[:, -1:] * torch.cat([h0.view(1), leaving[:-1]])[:, None]


@mistake("the carries are right, and you added them as they are: each goes through a product.")
def carry_not_multiplied(products, inside, h0):
    leaving = leaving_states(products, inside, h0)
    return inside + torch.cat([h0.view(1), leaving[:-1]])[:, None]


@mistake("you returned what leaves the chunks. Asked for are the states at all positions.")
def ends_only(products, inside, h0):
    return leaving_states(products, inside, h0)


def stage_one(seed, n_chunks, c):
    """Draw what stage 1 leaves for one channel, and a start."""
    a, b, start = random_tensors(seed, (n_chunks, c), (n_chunks, c), (1,))
    state = torch.zeros_like(b[:, 0])
    inside = torch.empty_like(b)
    for t in range(c):
        state = a[:, t] * state + b[:, t]
        inside[:, t] = state
    return a.cumprod(1), inside, start[0]


FROM_A_START = Exercise(
    solution=from_a_start,
    cases=(stage_one(2, 3, 2), stage_one(3, 4, 3), stage_one(4, 1, 3)),
    mistakes=(
        start_forgotten,
        start_in_the_first_chunk_only,
        own_end_carried,
        ends_from_zero,
        start_in_every_chunk,
        last_product_everywhere,
        carry_not_multiplied,
        ends_only,
    ),
    title="The carry of a returning user",
    kind="fill in",
    stars=2,
    minutes=12,
    hints=(
        "What enters the first chunk now? And what enters the second: write it for the toy's first "
        "chunk, whose last pair is (10, 5).",
        "A chunk's last pair takes what enters to what leaves: last product times carry, plus last "
        "state from zero. What leaves enters the next chunk.",
        "A loop over the chunks with one number, the carry, does both stages: add back inside the "
        "chunk, then take its last state.",
    ),
)


# 10.5 The gradients of a and of b, [n] each, where the last state's is 1 and no other counts.


def from_the_end(a, b):
    g = torch.ones_like(a)
    for t in reversed(range(len(a) - 1)):
        g[t] = a[t + 1] * g[t + 1]
    return g * states_before(a, b), g


def states(a, b):
    h = torch.zeros_like(b)
    state = 0
    for t in range(len(b)):
        state = a[t] * state + b[t]
        h[t] = state
    return h


def states_before(a, b):
    """Return h_{t-1} for each t, 0 at the first."""
    h = states(a, b)
    return torch.cat([torch.zeros_like(h[:1]), h[:-1]])


@mistake(
    "you multiply by a_t. What carries h_t into the next state is the NEXT step's a: "
    "g_t = a_{t+1} g_{t+1}."
)
def by_its_own_decay(a, b):
    g = torch.ones_like(a)
    for t in reversed(range(len(a) - 1)):
        g[t] = a[t] * g[t + 1]
    return g * states_before(a, b), g


@mistake("a_t multiplies the state before its step: its gradient is g_t h_{t-1}, not g_t h_t.")
def by_the_state_after(a, b):
    _, g = from_the_end(a, b)
    return g * states(a, b), g


@mistake("you let every state into the loss. Here only the last is: the grad_t of all others is 0.")
def every_state_in_the_loss(a, b):
    g = torch.ones_like(a)
    for t in reversed(range(len(a) - 1)):
        g[t] = 1 + a[t + 1] * g[t + 1]
    return g * states_before(a, b), g


@mistake(
    "your products are right and stand one place off: g_N is 1, not a_N. The factors are shifted "
    "by one place against their steps."
)
def products_not_shifted(a, b):
    g = a.flip(0).cumprod(0).flip(0)
    return g * states_before(a, b), g


@mistake(
    "you took the running product from the front. What carries h_t to the end are the factors to "
    "its RIGHT."
)
def products_from_the_front(a, b):
    g = torch.cat([torch.ones_like(a[:1]), a[1:].cumprod(0)])
    return g * states_before(a, b), g


@mistake("the right numbers in the wrong order: first the gradient of a, then that of b.")
def in_the_wrong_order(a, b):
    gradient_of_a, gradient_of_b = from_the_end(a, b)
    return gradient_of_b, gradient_of_a


@mistake("at the first step the state before is 0, and you took the first state itself.")
def by_the_first_state(a, b):
    _, g = from_the_end(a, b)
    h = states(a, b)
    return g * torch.cat([h[:1], h[:-1]]), g


FROM_THE_END = Exercise(
    solution=from_the_end,
    cases=(
        random_tensors(3, (4,), (4,)),
        random_tensors(4, (1,), (1,)),
        random_tensors(5, (6,), (6,)),
    ),
    mistakes=(
        products_not_shifted,
        products_from_the_front,
        by_its_own_decay,
        by_the_state_after,
        every_state_in_the_loss,
        in_the_wrong_order,
        by_the_first_state,
    ),
    title="Only the last state counts",
    kind="derive",
    stars=2,
    minutes=12,
    hints=(
        "Begin with the last: g_N = 1. By which factor does h_{N-1} act on h_N?",
        "g_t is the product of all factors to its right. A loop from the end will do, and so will "
        "`cumprod` on a flipped tensor.",
        "For the gradient of a you need the state before each step, 0 before the first.",
    ),
)


# 10.6 Two steps of the leaky maximum, h_t = max(h_{t-1} + a_t, b_t), as one. A step is (a, b).


def combine_leaky(first, second):
    a1, b1 = first
    a2, b2 = second
    return a1 + a2, torch.maximum(b1 + a2, b2)


@mistake(
    "you let b1 fade by a1. It has been through that already; it is the SECOND step that makes it "
    "fade, by a2."
)
def faded_by_the_first(first, second):
    a1, b1 = first
    a2, b2 = second
    return a1 + a2, torch.maximum(b1 + a1, b2)


@mistake(
    "the two leaks follow each other: h + a1 and then + a2. That is a sum, where the lesson's "
    "recurrence has a product."
)
def leaks_multiplied(first, second):
    a1, b1 = first
    a2, b2 = second
    return a1 * a2, torch.maximum(b1 + a2, b2)


@mistake("b1 does not fade in your answer. The second step weakens whatever came before it, by a2.")
def first_not_faded(first, second):
    a1, b1 = first
    a2, b2 = second
    return a1 + a2, torch.maximum(b1, b2)


@mistake(
    "you multiplied b1 by a2, as in the lesson's recurrence. Here a step ADDS its (negative) a to "
    "what came before."
)
def faded_by_a_product(first, second):
    a1, b1 = first
    a2, b2 = second
    return a1 + a2, torch.maximum(a2 * b1, b2)


@mistake("that adds up. The second step takes the larger of what came before it, faded, and b2.")
def added_up(first, second):
    a1, b1 = first
    a2, b2 = second
    return a1 + a2, (b1 + a2) + b2


@mistake("you took the steps in the wrong order. This product too depends on which step is first.")
def second_step_first(first, second):
    return combine_leaky(second, first)


def leaky_steps(seed):
    """Draw two steps; a leak is negative."""
    a1, b1, a2, b2 = random_tensors(seed, (5,), (5,), (5,), (5,))
    return (-a1.abs(), b1), (-a2.abs(), b2)


COMBINE_LEAKY = Exercise(
    solution=combine_leaky,
    cases=(leaky_steps(6), leaky_steps(7)),
    mistakes=(
        faded_by_the_first,
        first_not_faded,
        faded_by_a_product,
        leaks_multiplied,
        added_up,
        second_step_first,
    ),
    title="Another recurrence that can be scanned",
    kind="extend",
    stars=3,
    minutes=20,
    hints=(
        "Send a state h through both steps: max(max(h + a1, b1) + a2, b2). Adding a2 to a maximum "
        "adds it to both of its parts.",
        "Three parts are left under one maximum. Which of them holds h, and which two do not?",
        "Open part: find what a step does to any state, as a formula with few numbers in it. Do "
        "two steps in a row have a formula of the same form?",
    ),
)

EXERCISES = {
    "10.1": WRONG_ORDER,
    "10.2": IN_ONE_LIST,
    "10.3": COUNTS,
    "10.4": FROM_A_START,
    "10.5": FROM_THE_END,
    "10.6": COMBINE_LEAKY,
}
