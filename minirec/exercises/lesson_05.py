"""The exercises of notebook 05: operations counted, a running sum, a leak, a crossing, fading.

n films, model width d, e = d / heads; q, k, v: [N, e], the queries, keys and values of one head, or
[e] at one position. For the running sum, sums: [e, e], the sum of k^T v so far, and squares: [e],
that of k * k.
"""

import torch

from minirec.exercises.checker import Exercise, mistake, predicted
from minirec.exercises.inputs import random_tensors

# 05.1 The operations of the products of softmax attention and of Eq. 2, for the longest history of
# the paper's Beauty: N = 100, d = 64, 8 heads.

COSTS = predicted(
    (1_280_000, 102_400),
    {
        (102_400, 1_280_000): "the right numbers in the wrong order: first softmax, then Eq. 2.",
        (1_280_000, 819_200): "your Eq. 2 has one head. With eight, each head has a table of its "
        "own, and it is only as wide as the head.",
        (160_000, 12_800): "that is one head. There are eight of them.",
        (640_000, 51_200): "you counted one product of each kind. There are two: one before the "
        "values or the queries join in, and one with them.",
        (10_240_000, 819_200): "you counted every head at the full width of the model. The heads "
        "share it.",
        (2_560_000, 204_800): "you counted a multiplication and its addition as two. Together "
        "they are one multiply-add.",
    },
    title="What does one history cost?",
    stars=1,
    minutes=4,
    hints=(
        "A product of [a, b] with [b, c] has a times c entries, each a sum of b products.",
        "Each head is as wide as the model's width over the number of heads. Count one head first.",
        "Softmax attention multiplies [N, e] with [e, N] and then [N, N] with [N, e]. Which two "
        "products are those of Eq. 2?",
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


@mistake(
    "your table is turned: its rows belong to the values. The rows belong to the keys, so that a "
    "query can be multiplied from the left."
)
def table_turned(sums, squares, q, k, v):
    sums = sums + torch.outer(v, k)
    squares = squares + k.square()
    return (q / squares.sqrt()) @ sums, sums, squares


@mistake(
    "you multiplied the table from the wrong side. In q S the query runs over the rows, which "
    "belong to the keys: `q @ sums`."
)
def table_first(sums, squares, q, k, v):
    _, sums, squares = running_step(sums, squares, q, k, v)
    return sums @ (q / squares.sqrt()), sums, squares


@mistake(
    "you added one number, the square of the key's whole length, to all features. Each feature "
    "has a sum of its own: add k times k, entry by entry."
)
def one_length_for_all(sums, squares, q, k, v):
    sums = sums + torch.outer(k, v)
    squares = squares + k @ k
    return (q / squares.sqrt()) @ sums, sums, squares


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
        table_turned,
        table_first,
        one_length_for_all,
    ),
    title="One step of the running sum",
    kind="fill in",
    stars=2,
    minutes=8,
    hints=(
        "Three lines: enter the film into `sums`, enter it into `squares`, ask.",
        "`torch.outer(a, b)` is the matrix with the entries a[j] * b[f].",
        "The lengths are the square roots of `squares`, one for each feature. In the formula they "
        "stand below the query.",
    ),
)


# 05.3 The answers of Eq. 2 on every prefix, [N, e]. q has been through elu and X1, k through elu.


def every_prefix(q, k, v):
    lengths = k.square().cumsum(0).sqrt()
    return ((q / lengths) @ k.T).tril() @ v


@mistake(
    "that is the function as it was. Its mask is right; look at what the lengths are computed from."
)
def lengths_of_the_whole_row(q, k, v):
    lengths = k.square().sum(0).sqrt()
    return (q @ (k / lengths).T).tril() @ v


@mistake(
    "the leak is closed, but so is the normalisation: without lengths this is no longer Eq. 2."
)
def no_lengths(q, k, v):
    return (q @ k.T).tril() @ v


@mistake(
    "you divide each key by its own length, along its features. Eq. 2 divides each feature by its "
    "length along the sequence."
)
def each_key_by_its_own_length(q, k, v):
    return (q @ (k / k.square().sum(1, keepdim=True).sqrt()).T).tril() @ v


@mistake(
    "you divide key s by the lengths up to s. When position t asks, all keys are to be divided by "
    "the lengths up to t: they belong to the position that asks."
)
def lengths_of_each_keys_own_time(q, k, v):
    lengths = k.square().cumsum(0).sqrt()
    return (q @ (k / lengths).T).tril() @ v


@mistake("you divided by the running sums of squares. A length is a square root.")
def running_squares(q, k, v):
    return ((q / k.square().cumsum(0)) @ k.T).tril() @ v


@mistake(
    "you lost the mask: every position sees the later films too. The leak was in the lengths; the "
    "mask has to stay."
)
def mask_lost(q, k, v):
    lengths = k.square().cumsum(0).sqrt()
    return (q / lengths) @ k.T @ v


@mistake("you added up along the features. The lengths run along the positions, dimension 0.")
def summed_along_features(q, k, v):
    return ((q / k.square().cumsum(1).sqrt()) @ k.T).tril() @ v


EVERY_PREFIX = Exercise(
    solution=every_prefix,
    cases=(
        random_tensors(10, (4, 2), (4, 2), (4, 2)),
        random_tensors(11, (5, 3), (5, 3), (5, 3)),
        random_tensors(12, (1, 2), (1, 2), (1, 2)),
    ),
    mistakes=(
        lengths_of_the_whole_row,
        no_lengths,
        each_key_by_its_own_length,
        lengths_of_each_keys_own_time,
        running_squares,
        mask_lost,
        summed_along_features,
    ),
    title="The mask is right, and still it peeks",
    kind="find the bug",
    stars=2,
    minutes=10,
    hints=(
        "Which line uses numbers of a position before the mask is applied?",
        "The lengths that hold for position t are sums over positions up to t. Which function of "
        "PyTorch gives all sums up to every position at once?",
        "These lengths have one row for each position that asks, like the queries.",
    ),
)


# 05.4 The N at which causal softmax attention and the running sum take equally many operations.


def crossing(d, heads):
    e = d // heads
    return 2 * e - 1


@mistake(
    "that is where the whole square N by N costs as much as Eq. 2. Here position t computes t "
    "products only."
)
def whole_square(d, heads):
    return d // heads


@mistake(
    "close. Is the number of pairs really half of N times N? Each film asks itself too, so count "
    "1 + 2 + ... + N."
)
def half_the_square(d, heads):
    return 2 * d // heads


@mistake("you left out the pair of each film with itself: position t asks t films, not t - 1.")
def not_itself(d, heads):
    return 2 * (d // heads) + 1


@mistake("you have one head as wide as the model. With more heads each is narrower.")
def one_head(d, heads):
    return 2 * d - 1


@mistake(
    "you counted one of the two products of softmax attention and both of the running sum. Each "
    "pair costs e for its weight and e again for its value."
)
def one_product_of_pairs(d, heads):
    return 4 * (d // heads) - 1


CROSSING = Exercise(
    solution=crossing,
    cases=((64, 1), (64, 8), (128, 8)),
    mistakes=(whole_square, half_the_square, not_itself, one_head, one_product_of_pairs),
    title="Where they cross if no work is wasted",
    kind="derive",
    stars=2,
    minutes=8,
    hints=(
        "How many pairs (t, s) with s up to t are there among N positions?",
        "Each pair costs a product for its weight and a multiplication of its value, e "
        "multiply-adds each. Each position of the running sum enters an e by e table and asks it.",
        "Set the two totals equal and divide by N and by e.",
    ),
)


# 05.5 The answers, [..., N, e], of a running sum that shrinks by `decay` before each new entry.


def fading(q, k, v, decay):
    age = ages(q.shape[-2])
    return weighted_answers(q, k, v, weights=decay**age, seen=age >= 0)


def ages(n):
    """Return t - s, [n, n]: how old the entry of position s is at position t."""
    positions = torch.arange(n, dtype=torch.float64)
    return positions[:, None] - positions


def weighted_answers(q, k, v, weights, seen):
    """Answer at t with the entries s that it sees, each times its weight.

    weights: [N, N], or [N] if they are the same for every t; seen: [N, N].
    """
    return (q @ k.mT * torch.where(seen, weights, 0.0)) @ v


@mistake("you faded the new entry as well. Fade the old sum, then add k_t and v_t in full.")
def new_entry_faded(q, k, v, decay):
    return decay * fading(q, k, v, decay)


@mistake("you asked before adding the new entry: position t sees itself, in full.")
def asked_before_the_entry(q, k, v, decay):
    age = ages(q.shape[-2])
    return weighted_answers(q, k, v, weights=decay**age, seen=age >= 1)


@mistake("nothing fades yet: this is the plain running sum.")
def nothing_fades(q, k, v, decay):
    return fading(q, k, v, 1.0)


@mistake(
    "you faded by the position counted from the start, decay ** s, so the newest film fades most. "
    "It is the age that counts, t - s."
)
def faded_by_position(q, k, v, decay):
    n = q.shape[-2]
    positions = torch.arange(n, dtype=torch.float64)
    return weighted_answers(q, k, v, weights=decay**positions, seen=ages(n) >= 0)


@mistake(
    "you took the new entry times 1 - decay, as a running mean does. Here it enters in full: the "
    "table is a sum."
)
def running_mean(q, k, v, decay):
    return (1 - decay) * fading(q, k, v, decay)


@mistake(
    "you multiplied by decay for the future too, where t - s is negative. Position t sees itself "
    "and the earlier ones."
)
def future_seen(q, k, v, decay):
    age = ages(q.shape[-2])
    return weighted_answers(q, k, v, weights=decay**age, seen=age.isfinite())


@mistake(
    "your table is turned: its rows belong to the values. The rows belong to the keys, so that a "
    "query can be multiplied from the left."
)
def faded_table_turned(q, k, v, decay):
    return fading(q, v, k, decay)


FADING = Exercise(
    solution=fading,
    cases=(
        (*random_tensors(6, (5, 2), (5, 2), (5, 2)), 0.5),
        (*random_tensors(7, (3, 3), (3, 3), (3, 3)), 0.9),
        (*random_tensors(8, (1, 2), (1, 2), (1, 2)), 0.3),
        (*random_tensors(13, (2, 3, 4, 2), (2, 3, 4, 2), (2, 3, 4, 2)), 0.8),  # [B, heads, N, e]
    ),
    mistakes=(
        new_entry_faded,
        asked_before_the_entry,
        nothing_fades,
        faded_by_position,
        running_mean,
        future_seen,
        faded_table_turned,
    ),
    # `decay ** age` with integer ages is float32 in PyTorch, whatever the queries are.
    tolerance=1e-5,
    title="A sum that fades",
    kind="extend",
    stars=3,
    minutes=25,
    hints=(
        "As a loop over the positions: carry the table, shrink it, enter the film, ask. With a "
        "batch in front, `x[..., t, :]` is position t.",
        "Masked pairs are faster, and short: an entry of position s has been shrunk once for every "
        "film since. By which power is it multiplied when position t asks?",
        "The powers form an [N, N] matrix, 0 above the diagonal, that multiplies `q @ k.mT` entry "
        "by entry. `torch.arange` of N, as a column and as a row, gives all the ages.",
    ),
)

EXERCISES = {
    "05.1": COSTS,
    "05.2": RUNNING_STEP,
    "05.3": EVERY_PREFIX,
    "05.4": CROSSING,
    "05.5": FADING,
}
