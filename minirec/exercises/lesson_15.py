"""The exercises of notebook 15: an attention layer's multiply-adds, a peak of memory, a least time.

n items of a history, d the model width; tensors: tuples (size, birth, death), alive from moment
birth on, gone at moment death; operators: tuples (flops, n_bytes), which run one after the other.
"""

from minirec.exercises.checker import Exercise, mistake

# 15.1 The multiply-adds of one attention layer, softmax or linear, for one row.


def multiply_adds(n, d, heads, linear):
    maps = 4 * n * d * d  # of queries, keys, values and of the output
    return maps + two_products(n, d, heads, linear)


def two_products(n, d, heads, linear):
    """Count the multiply-adds between the maps."""
    if linear:
        return 2 * n * d * d // heads
    return 2 * n * n * d


@mistake(
    "one map is missing. Besides queries, keys and values there is the output map behind the heads."
)
def without_output_map(n, d, heads, linear):
    return 3 * n * d * d + two_products(n, d, heads, linear)


@mistake("those are operations. One multiply-add is two of them, and multiply-adds are asked for.")
def operations(n, d, heads, linear):
    return 2 * multiply_adds(n, d, heads, linear)


@mistake("yours takes no notice of `linear`: Q (K^T V) makes no [n, n] weights.")
def always_softmax(n, d, heads, linear):
    return multiply_adds(n, d, heads, linear=False)


@mistake(
    "with `linear`, each head has its own table, [d / heads, d / heads]: all of them together are "
    "heads times smaller than one [d, d]."
)
def one_table_for_all_heads(n, d, heads, linear):
    maps = 4 * n * d * d
    if linear:
        return maps + 2 * n * d * d
    return maps + 2 * n * n * d


@mistake(
    "softmax heads are narrower, but each has its own [N, N] weights: over all heads the two "
    "products still cost 2 N N d."
)
def softmax_divided_by_heads(n, d, heads, linear):
    maps = 4 * n * d * d
    if linear:
        return maps + 2 * n * d * d // heads
    return maps + 2 * n * n * d // heads


@mistake(
    "there are two products between the maps: one makes weights (or the table), the other uses "
    "them."
)
def one_product(n, d, heads, linear):
    maps = 4 * n * d * d
    return maps + two_products(n, d, heads, linear) // 2


MULTIPLY_ADDS = Exercise(
    solution=multiply_adds,
    cases=(
        (3, 4, 1, False),
        (3, 4, 2, True),
        (100, 64, 8, False),
        (100, 64, 8, True),
        (2000, 32, 4, False),
    ),
    mistakes=(
        without_output_map,
        operations,
        always_softmax,
        one_table_for_all_heads,
        softmax_divided_by_heads,
        one_product,
    ),
)


# 15.2 How much is alive at most.


def peak(tensors):
    alive = []
    for moment in moments(tensors):
        sizes = [size for size, birth, death in tensors if birth <= moment < death]
        alive.append(sum(sizes))
    return max(alive)


def moments(tensors):
    """Return every moment at which something begins or ends."""
    births = {birth for _, birth, _ in tensors}
    deaths = {death for _, _, death in tensors}
    return sorted(births | deaths)


@mistake("that is everything that was ever made. A tensor that has died makes room for the next.")
def all_ever_made(tensors):
    return sum(size for size, _, _ in tensors)


@mistake("`death` is the first moment at which the tensor is gone: it no longer counts there.")
def alive_at_death(tensors):
    alive = []
    for moment in moments(tensors):
        sizes = [size for size, birth, death in tensors if birth <= moment <= death]
        alive.append(sum(sizes))
    return max(alive)


@mistake("that is the largest tensor. Ask how much all tensors together hold, at each moment.")
def largest_tensor(tensors):
    return max(size for size, _, _ in tensors)


@mistake("a tensor is there from `birth` on, that moment included.")
def not_yet_alive_at_birth(tensors):
    alive = []
    for moment in moments(tensors):
        sizes = [size for size, birth, death in tensors if birth < moment < death]
        alive.append(sum(sizes))
    return max(alive)


PEAK = Exercise(
    solution=peak,
    cases=(
        ([(1, 0, 2), (1, 1, 4), (1, 2, 4)],),
        ([(4, 0, 3), (2, 1, 2), (8, 3, 5), (1, 0, 9)],),
        ([(3, 5, 6), (2, 0, 5)],),
        ([(1, 0, 8), (2, 0, 4), (2, 2, 6), (5, 6, 7)],),
    ),
    mistakes=(all_ever_made, alive_at_death, largest_tensor, not_yet_alive_at_birth),
)


# 15.3 The least seconds of a chain. peak_flops: operations per second; bandwidth: bytes per second.


def least_seconds(operators, peak_flops, bandwidth):
    return sum(seconds_of_each(operators, peak_flops, bandwidth))


def seconds_of_each(operators, peak_flops, bandwidth):
    """Return each operator's least time: the longer of computing and moving its bytes."""
    return [max(flops / peak_flops, n_bytes / bandwidth) for flops, n_bytes in operators]


@mistake(
    "you added up all operations and all bytes first. Operators run one after the other: each has "
    "a roof of its own."
)
def one_roof_for_all(operators, peak_flops, bandwidth):
    all_flops = sum(flops for flops, _ in operators)
    all_bytes = sum(n_bytes for _, n_bytes in operators)
    return max(all_flops / peak_flops, all_bytes / bandwidth)


@mistake(
    "within one operator, moving and computing go on at the same time: the longer of the two "
    "decides."
)
def moving_and_computing_added(operators, peak_flops, bandwidth):
    return sum(flops / peak_flops + n_bytes / bandwidth for flops, n_bytes in operators)


@mistake("the slower of moving and computing decides, not the quicker: take the larger time.")
def quicker_decides(operators, peak_flops, bandwidth):
    return sum(min(flops / peak_flops, n_bytes / bandwidth) for flops, n_bytes in operators)


@mistake("only computing is counted. An operator must also move its bytes.")
def computing_alone(operators, peak_flops, bandwidth):
    return sum(flops / peak_flops for flops, _ in operators)


@mistake("only moving is counted. An operator with much to compute is limited by that.")
def moving_alone(operators, peak_flops, bandwidth):
    return sum(n_bytes / bandwidth for _, n_bytes in operators)


@mistake("that is the slowest operator alone. They run one after the other, so their times add up.")
def slowest_operator(operators, peak_flops, bandwidth):
    return max(seconds_of_each(operators, peak_flops, bandwidth))


LEAST_SECONDS = Exercise(
    solution=least_seconds,
    cases=(
        ([(200.0, 10.0), (10.0, 100.0)], 100.0, 10.0),
        ([(6e9, 1e8), (1e6, 4e8), (1e6, 4e8)], 6e10, 1e10),
        ([(5.0, 1.0)], 2.0, 4.0),
    ),
    mistakes=(
        one_roof_for_all,
        moving_and_computing_added,
        quicker_decides,
        computing_alone,
        moving_alone,
        slowest_operator,
    ),
)

EXERCISES = {"15.1": MULTIPLY_ADDS, "15.2": PEAK, "15.3": LEAST_SECONDS}
