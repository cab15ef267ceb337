"""The exercises of notebook 10: a scan's work, packed users, the last state alone, another scan.

h_t = a_t h_{t-1} + b_t, from zero; a, b: [n], one channel; h: its states; g_t: the gradient of h_t;
lengths: [users], how many steps each user has.
"""

import math

import torch

from minirec.exercises.checker import Exercise, mistake
from minirec.exercises.inputs import random_tensors

# 10.1 How many rounds and how many combinations the scan of Hillis and Steele needs for n steps.


def count(n):
    combinations = sum(n - reach for reach in reaches(n))
    return len(reaches(n)), combinations


def reaches(n):
    """Return how far back each round reaches: 1, 2, 4, ... while there is a step so far back."""
    found = []
    reach = 1
    while reach < n:
        found.append(reach)
        reach = 2 * reach
    return found


@mistake(
    "you combine at every position in every round. In the round with reach r, the first r "
    "positions have nothing r steps back: they are finished."
)
def at_every_position(n):
    n_rounds = len(reaches(n))
    return n_rounds, n * n_rounds


@mistake(
    "your rounds stop too early where n is no power of two. Go on while the reach is smaller than "
    "n."
)
def rounds_rounded_down(n):
    n_rounds = int(math.log2(n))
    return n_rounds, sum(n - 2**s for s in range(n_rounds))


@mistake("n - 1 products are what the loop needs. Add up n - reach over the rounds.")
def products_of_the_loop(n):
    return len(reaches(n)), n - 1


@mistake(
    "that is Blelloch's number, for powers of two. Hillis and Steele spend more, to have fewer "
    "rounds."
)
def combinations_of_blelloch(n):
    n_rounds = len(reaches(n))
    return n_rounds, 2 * n - 2 - n_rounds


COUNT = Exercise(
    solution=count,
    cases=((8,), (1,), (6,), (200,), (4096,)),
    mistakes=(
        at_every_position,
        rounds_rounded_down,
        products_of_the_loop,
        combinations_of_blelloch,
    ),
)


# 10.2 The steps of users behind one another, changed so that one scan starts every user from zero.


def packed(a, b, lengths):
    return replaced(a, first_steps(lengths), 0), b


def first_steps(lengths):
    """Return the position of each user's first step."""
    return lengths.cumsum(0) - lengths


def replaced(values, positions, by):
    values = values.clone()
    values[positions] = by
    return values


@mistake(
    "you emptied b as well. The first step of a user begins from nothing, but what comes in with "
    "it, b, has to enter."
)
def inputs_emptied_too(a, b, lengths):
    firsts = first_steps(lengths)
    return replaced(a, firsts, 0), replaced(b, firsts, 0)


@mistake(
    "you cut one step too early: the old state is multiplied by the a of the NEW user's first "
    "step. The last of the old user stays."
)
def cut_one_step_early(a, b, lengths):
    lasts_of_the_users_before = first_steps(lengths) - 1  # -1 for user 0: the very last step
    return replaced(a, lasts_of_the_users_before, 0), b


@mistake("b is what comes in; a is what is kept. To forget the user before, nothing must be kept.")
def inputs_emptied_instead(a, b, lengths):
    return a, replaced(b, first_steps(lengths), 0)


@mistake("a = 1 keeps the whole state of the user before. Which a keeps nothing of it?")
def all_kept(a, b, lengths):
    return replaced(a, first_steps(lengths), 1), b


def steps_of_users(seed, lengths):
    """Draw the steps of users packed in one row.

    The very first a meets the zero state, so that it may stay or become 0: here it is 0 already.
    """
    n = sum(lengths)
    a, b = random_tensors(seed, (n,), (n,))
    a[0] = 0
    return a, b, torch.tensor(lengths)


PACKED = Exercise(
    solution=packed,
    cases=(
        steps_of_users(0, [2, 3, 1]),
        steps_of_users(1, [5]),
        steps_of_users(2, [1, 1, 5]),
    ),
    mistakes=(inputs_emptied_too, cut_one_step_early, inputs_emptied_instead, all_kept),
)


# 10.3 The gradients of a and of b, [n] each, where the last state's is 1 and no other counts.


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


@mistake("the right numbers in the wrong order: first the gradient of a, then that of b.")
def in_the_wrong_order(a, b):
    gradient_of_a, gradient_of_b = from_the_end(a, b)
    return gradient_of_b, gradient_of_a


FROM_THE_END = Exercise(
    solution=from_the_end,
    cases=(
        random_tensors(3, (4,), (4,)),
        random_tensors(4, (1,), (1,)),
        random_tensors(5, (6,), (6,)),
    ),
    mistakes=(
        by_its_own_decay,
        by_the_state_after,
        every_state_in_the_loss,
        in_the_wrong_order,
    ),
)


# 10.4 Two steps of the leaky maximum, h_t = max(h_{t-1} + a_t, b_t), as one. A step is (a, b).


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
    mistakes=(faded_by_the_first, leaks_multiplied, added_up, second_step_first),
)

EXERCISES = {
    "10.1": COUNT,
    "10.2": PACKED,
    "10.3": FROM_THE_END,
    "10.4": COMBINE_LEAKY,
}
