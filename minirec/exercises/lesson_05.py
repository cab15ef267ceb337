"""The exercises of notebook 05: operations counted, a running sum, no padding in Eq. 2, fading.

n films, model width d, e = d / heads; q, k, v: [N, e], the queries, keys and values of one head, or
[e] at one position. For the running sum, sums: [e, e], the sum of k^T v so far, and squares: [e],
that of k * k.
"""

import torch

from minirec.exercises.checker import Exercise, mistake
from minirec.exercises.inputs import random_tensors

# 05.1 The operations of the two products of softmax attention, and of linear attention.


def costs(n, d, heads):
    return 2 * n * n * d, 2 * n * d * d // heads


@mistake(
    "your linear attention has one head. With more, each head has a table of its own, e by e with "
    "e = d / heads, and there are `heads` of them."
)
def linear_with_one_head(n, d, heads):
    return 2 * n * n * d, 2 * n * d * d


@mistake(
    "you counted softmax's heads twice. Each head is only d / heads wide, so the number of heads "
    "cancels."
)
def softmax_once_per_head(n, d, heads):
    return 2 * n * n * d * heads, 2 * n * d * d // heads


@mistake(
    "you counted one product of each kind. There are two: queries with keys, and then with the "
    "values."
)
def one_product_of_each(n, d, heads):
    return n * n * d, n * d * d // heads


@mistake("the right numbers in the wrong order: first softmax, then linear.")
def in_the_wrong_order(n, d, heads):
    softmax, linear = costs(n, d, heads)
    return linear, softmax


COSTS = Exercise(
    solution=costs,
    cases=((50, 64, 1), (200, 64, 8), (1000, 128, 4)),
    mistakes=(
        linear_with_one_head,
        softmax_once_per_head,
        one_product_of_each,
        in_the_wrong_order,
    ),
)


# 05.2 One step of the running sum: the answer [e], and both sums with the new film in them.


def running_step(sums, squares, q, k, v):
    sums = sums + torch.outer(k, v)
    squares = squares + k.square()
    return (q / squares.sqrt()) @ sums, sums, squares


@mistake(
    "you asked before the new film was entered. Position t sees itself: first update both sums, "
    "then ask."
)
def asked_before_the_update(sums, squares, q, k, v):
    answer = (q / squares.sqrt()) @ sums
    _, new_sums, new_squares = running_step(sums, squares, q, k, v)
    return answer, new_sums, new_squares


@mistake(
    "the running length is missing. Divide the query by the square root of the new `squares` "
    "before you ask."
)
def without_the_length(sums, squares, q, k, v):
    _, sums, squares = running_step(sums, squares, q, k, v)
    return q @ sums, sums, squares


@mistake(
    "you divided the key before adding it. Then old entries keep the lengths of their own time; "
    "Eq. 2 divides all of them by today's. Add the plain key, and divide the query."
)
def key_divided(sums, squares, q, k, v):
    squares = squares + k.square()
    sums = sums + torch.outer(k / squares.sqrt(), v)
    return q @ sums, sums, squares


@mistake("you divided by the sum of squares. A length is its square root.")
def divided_by_squares(sums, squares, q, k, v):
    _, sums, squares = running_step(sums, squares, q, k, v)
    return (q / squares) @ sums, sums, squares


def state_and_film(seed, e):
    """Draw the state after one earlier film, and q, k and v of the next."""
    key, value, q, k, v = random_tensors(seed, (e,), (e,), (e,), (e,), (e,))
    return torch.outer(key, value), key.square(), q, k, v


RUNNING_STEP = Exercise(
    solution=running_step,
    cases=(state_and_film(0, 3), state_and_film(1, 2), state_and_film(2, 5)),
    mistakes=(
        asked_before_the_update,
        without_the_length,
        key_divided,
        divided_by_squares,
    ),
)


# 05.3 The answers of Eq. 2, [N, e], without the padding. real: [N], false where a row is padding.


def without_padding(q, k, v, real):
    inside = k * real[:, None]
    return answers(q, inside / column_lengths(inside), v)


def column_lengths(k):
    """Return the length of each feature over the positions, [e]."""
    return k.square().sum(0).sqrt()


def answers(q, k, v):
    """Return q (k^T v), the table first."""
    return q @ (k.T @ v)


@mistake("the padded rows are still in it: `real` changes nothing yet.")
def padding_left_in(q, k, v, real):
    return answers(q, k / column_lengths(k), v)


@mistake(
    "the padded keys are out of the sum, but still in the lengths of X2. Set them to zero before "
    "you divide."
)
def padding_in_the_lengths(q, k, v, real):
    inside = k * real[:, None]
    return answers(q, inside / column_lengths(k), v)


@mistake(
    "you silenced the padded queries. Nobody reads their outputs anyway; it is the padded keys "
    "that leak into the outputs of real positions."
)
def queries_silenced(q, k, v, real):
    return answers(q * real[:, None], k / column_lengths(k), v)


def padded_history(seed, n, n_real, e):
    """Draw q, k and v of n positions, of which the first n_real are no padding."""
    q, k, v = random_tensors(seed, (n, e), (n, e), (n, e))
    return q, k, v, torch.arange(n) < n_real


WITHOUT_PADDING = Exercise(
    solution=without_padding,
    cases=(padded_history(3, 5, 3, 2), padded_history(4, 4, 4, 3), padded_history(5, 6, 1, 2)),
    mistakes=(padding_left_in, padding_in_the_lengths, queries_silenced),
)


# 05.4 The answers, [N, e], of a running sum that shrinks by `decay` before each new entry.


def fading(q, k, v, decay):
    age = ages(len(q))
    return weighted_answers(q, k, v, weights=decay**age, seen=age >= 0)


def ages(n):
    """Return t - s, [n, n]: how old the entry of position s is at position t."""
    positions = torch.arange(n, dtype=torch.float64)
    return positions[:, None] - positions


def weighted_answers(q, k, v, weights, seen):
    """Answer at t with the entries s that it sees, each times its weight.

    weights: [N, N], or [N] if they are the same for every t; seen: [N, N].
    """
    return (q @ k.T * torch.where(seen, weights, 0.0)) @ v


@mistake("you faded the new entry as well. Fade the old sum, then add k_t and v_t in full.")
def new_entry_faded(q, k, v, decay):
    return decay * fading(q, k, v, decay)


@mistake("you asked before adding the new entry: position t sees itself, in full.")
def asked_before_the_entry(q, k, v, decay):
    age = ages(len(q))
    return weighted_answers(q, k, v, weights=decay**age, seen=age >= 1)


@mistake("nothing fades yet: this is the plain running sum.")
def nothing_fades(q, k, v, decay):
    return fading(q, k, v, 1.0)


@mistake(
    "you faded by the position counted from the start, decay ** s, so the newest film fades most. "
    "It is the age that counts, t - s."
)
def faded_by_position(q, k, v, decay):
    positions = torch.arange(len(q), dtype=torch.float64)
    return weighted_answers(q, k, v, weights=decay**positions, seen=ages(len(q)) >= 0)


FADING = Exercise(
    solution=fading,
    cases=(
        (*random_tensors(6, (5, 2), (5, 2), (5, 2)), 0.5),
        (*random_tensors(7, (3, 3), (3, 3), (3, 3)), 0.9),
        (*random_tensors(8, (1, 2), (1, 2), (1, 2)), 0.3),
    ),
    mistakes=(new_entry_faded, asked_before_the_entry, nothing_fades, faded_by_position),
)

EXERCISES = {
    "05.1": COSTS,
    "05.2": RUNNING_STEP,
    "05.3": WITHOUT_PADDING,
    "05.4": FADING,
}
