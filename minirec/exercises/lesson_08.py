"""The exercises of notebook 08: the padding tax, truncated windows, states to start from, steps.

x: [N], one channel of a history; w: [k], a kernel, the oldest input's weight first;
r = (k - 1) / 2, how far its centred window reaches ahead; m: 0 to r, how far a window has moved on
from t - r; t: the position at which a prefix ends; h: [N, d], the states over complete windows.
"""

import torch

from minirec.exercises.checker import Exercise, mistake
from minirec.exercises.inputs import random_tensors

# 08.1 Samples, positions read and positions that hold an item, with every prefix a sample.


def padding_tax(train_items, max_len):
    lengths = prefix_lengths(train_items)
    n_real = sum(min(length, max_len) for length in lengths)
    return len(lengths), len(lengths) * max_len, n_real


def prefix_lengths(train_items):
    """Return the length of each prefix behind which a training item follows, its target."""
    lengths = []
    for n_items in train_items:
        lengths.extend(range(1, n_items))
    return lengths


@mistake(
    "one sample too many for each user: the sample that ends in the last training item has no "
    "target left in the training part."
)
def sample_without_target(train_items, max_len):
    return padding_tax([n_items + 1 for n_items in train_items], max_len)


@mistake(
    "a prefix longer than max_len keeps only its last max_len items: no sample has more real "
    "positions than that."
)
def prefixes_uncut(train_items, max_len):
    lengths = prefix_lengths(train_items)
    return len(lengths), len(lengths) * max_len, sum(lengths)


@mistake("padding is read too: every sample costs max_len positions, however short its prefix is.")
def padding_unread(train_items, max_len):
    n_samples, _, n_real = padding_tax(train_items, max_len)
    return n_samples, n_real, n_real


PADDING_TAX = Exercise(
    solution=padding_tax,
    cases=(([5, 3], 4), ([10, 2, 6], 4), ([1, 4], 10), ([200], 50)),
    mistakes=(sample_without_target, prefixes_uncut, padding_unread),
)


# 08.2 Row m, column t: the convolution at t - r + m of the prefix that ends at t, [r + 1, N].


def truncated_windows(x, w):
    k = len(w)
    r = k // 2
    rows = []
    for m in range(r + 1):
        rows.append(row_of_windows(x, w, m, taps=range(k - m), first=r - m))
    return torch.stack(rows)


def row_of_windows(x, w, m, taps, first):
    """Convolve at t - r + m for each t from `first` on, with these taps only; 0 before."""
    r = len(w) // 2
    row = torch.zeros_like(x)
    for t in range(first, len(x)):
        for i in taps:
            position = t - 2 * r + m + i  # that tap i meets; beyond the ends of x are zeros
            if 0 <= position < len(x):
                row[t] += w[i] * x[position]
    return row


@mistake(
    "your windows look beyond the end of their prefix. At t - r + m, tap i meets x at "
    "t - 2r + m + i, and that must not lie beyond t."
)
def beyond_the_prefix(x, w):
    k = len(w)
    r = k // 2
    rows = []
    for m in range(r + 1):
        rows.append(row_of_windows(x, w, m, taps=range(k), first=r - m))
    return torch.stack(rows)


@mistake(
    "you cut the window at its wrong side. The items that are missing are the newest: the last m "
    "taps fall away, not the first."
)
def cut_at_the_wrong_side(x, w):
    k = len(w)
    r = k // 2
    rows = []
    for m in range(r + 1):
        rows.append(row_of_windows(x, w, m, taps=range(m, k), first=r - m))
    return torch.stack(rows)


@mistake(
    "right where there is a position t - r + m. Where there is none (t < r - m) the entry should "
    "be 0."
)
def before_the_first_position(x, w):
    k = len(w)
    r = k // 2
    rows = []
    for m in range(r + 1):
        rows.append(row_of_windows(x, w, m, taps=range(k - m), first=0))
    return torch.stack(rows)


TRUNCATED_WINDOWS = Exercise(
    solution=truncated_windows,
    cases=(
        (*random_tensors(0, (6,)), *random_tensors(1, (3,))),
        (*random_tensors(2, (5,)), *random_tensors(3, (5,))),
        (*random_tensors(4, (2,)), *random_tensors(5, (7,))),
        (*random_tensors(6, (4,)), *random_tensors(7, (1,))),
    ),
    mistakes=(beyond_the_prefix, cut_at_the_wrong_side, before_the_first_position),
)


# 08.3 The state from which each prefix starts its own r steps, [N, d].


def start_states(h, r):
    n_zeros = min(r, len(h))
    return torch.cat([torch.zeros_like(h[:n_zeros]), h[: len(h) - n_zeros]])


@mistake(
    "the first r prefixes get states from the end of the history: they would see the future. Roll "
    "wraps round; they start from zeros."
)
def rolled(h, r):
    return torch.roll(h, r, 0)


@mistake(
    "one position too far back: the state at t - r has itself read complete windows only, so it "
    "can be shared."
)
def too_far_back(h, r):
    return start_states(h, r + 1)


@mistake("one position too near: the state at t - r + 1 has read a window that reaches t + 1.")
def too_near(h, r):
    return start_states(h, max(r - 1, 0))


@mistake(
    "that is the state at t, which has read windows that reach t + r. The prefix needs the one r "
    "positions back."
)
def state_at_the_end(h, r):
    return h


START_STATES = Exercise(
    solution=start_states,
    cases=(
        (*random_tensors(8, (6, 2)), 1),
        (*random_tensors(9, (5, 3)), 2),
        (*random_tensors(10, (2, 2)), 3),
        (*random_tensors(11, (4, 1)), 0),
    ),
    mistakes=(rolled, too_far_back, too_near, state_at_the_end),
)


# 08.4 The GRU steps of one pass over n positions: the shared ones somebody reads, and all own ones.


def cell_steps(n, kernel_size, causal):
    r = reach_ahead(kernel_size, causal)
    return shared_steps(n, r) + own_steps(n, r)


def reach_ahead(kernel_size, causal):
    if causal:
        return 0
    return (kernel_size - 1) // 2


def shared_steps(n, r):
    return max(n - r, 0)


def own_steps(n, r):
    return sum(min(r, t + 1) for t in range(n))


@mistake(
    "nearly: prefix t has only t + 1 positions, so the first prefixes take fewer than r steps of "
    "their own, min(r, t + 1)."
)
def r_own_steps_for_all(n, kernel_size, causal):
    r = reach_ahead(kernel_size, causal)
    return shared_steps(n, r) + r * n


@mistake(
    "a causal convolution sees nothing ahead, whatever its size. No window is ever truncated, and "
    "no prefix needs a step of its own."
)
def causal_like_centred(n, kernel_size, causal):
    return cell_steps(n, kernel_size, causal=False)


@mistake(
    "the last r shared states are read by nobody: prefix t starts from the state at t - r, and t "
    "ends at n - 1."
)
def all_states_shared(n, kernel_size, causal):
    r = reach_ahead(kernel_size, causal)
    return n + own_steps(n, r)


@mistake("that is the naive loop, t + 1 steps for every prefix.")
def naive_loop(n, kernel_size, causal):
    return n * (n + 1) // 2


@mistake(
    "you let every window reach k - 1 positions ahead. Half of a centred window lies behind: "
    "r = (k - 1) / 2; all of a causal one does: r = 0."
)
def whole_window_ahead(n, kernel_size, causal):
    r = kernel_size - 1
    return shared_steps(n, r) + own_steps(n, r)


CELL_STEPS = Exercise(
    solution=cell_steps,
    cases=((10, 3, False), (10, 7, False), (10, 7, True), (2, 7, False), (50, 1, False)),
    mistakes=(
        r_own_steps_for_all,
        causal_like_centred,
        all_states_shared,
        naive_loop,
        whole_window_ahead,
    ),
)

EXERCISES = {
    "08.1": PADDING_TAX,
    "08.2": TRUNCATED_WINDOWS,
    "08.3": START_STATES,
    "08.4": CELL_STEPS,
}
