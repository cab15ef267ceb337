"""The exercises of notebook 07: the padding tax, truncated windows, the states to start from, GRU steps counted for any kernel."""

import torch

from minirec.exercises import Exercise


def _tax(train_items, max_len, samples_of=lambda n: max(n - 1, 0), cap=min):
    samples = [samples_of(n) for n in train_items]
    real = sum(cap(t, max_len) for s in samples for t in range(1, s + 1))
    return sum(samples), sum(samples) * max_len, real


def _ends(x, w, tap_is_inside=lambda i, m, k: i < k - m, beyond=0.0):
    """tap_is_inside(i, m, k): does tap i of the window at t - r + m count; beyond: what stands where there is no such position."""
    k, r = len(w), len(w) // 2
    rows = []
    for m in range(r + 1):
        row = []
        for t in range(len(x)):
            at = [(i, t - 2 * r + m + i) for i in range(k) if tap_is_inside(i, m, k)]
            value = sum(w[i] * x[n] for i, n in at if 0 <= n < len(x)) + 0 * x[t]
            row.append(value if t - r + m >= 0 else value * beyond)
        rows.append(torch.stack(row))
    return torch.stack(rows)


def _shifted(h, by):
    by = min(by, len(h))
    return torch.cat([torch.zeros_like(h[:by]), h[: len(h) - by]])


def _steps(
    n,
    kernel_size,
    causal,
    shared=lambda n, r: max(n - r, 0),
    own=lambda n, r: sum(min(r, t + 1) for t in range(n)),
    reach=None,
):
    r = (0 if causal else (kernel_size - 1) // 2) if reach is None else reach(kernel_size, causal)
    return shared(n, r) + own(n, r)


def _random(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


PADDING_TAX = Exercise(
    solution=_tax,
    cases=(([5, 3], 4), ([10, 2, 6], 4), ([1, 4], 10), ([200], 50)),
    mistakes=(
        (
            lambda train_items, max_len: _tax(train_items, max_len, lambda n: n),
            "one sample too many for each user: the sample that ends in the last training item has no target left in the training part.",
        ),
        (
            lambda train_items, max_len: _tax(train_items, max_len, cap=lambda t, max_len: t),
            "a prefix longer than max_len keeps only its last max_len items: no sample has more real positions than that.",
        ),
        (
            lambda train_items, max_len: (
                _tax(train_items, max_len)[:1] + _tax(train_items, max_len)[2:] * 2
            ),
            "padding is read too: every sample costs max_len positions, however short its prefix is.",
        ),
    ),
)

TRUNCATED_WINDOWS = Exercise(
    solution=_ends,
    cases=(
        (_random(0, 6), _random(1, 3)),
        (_random(2, 5), _random(3, 5)),
        (_random(4, 2), _random(5, 7)),
        (_random(6, 4), _random(7, 1)),
    ),
    mistakes=(
        (
            lambda x, w: _ends(x, w, lambda i, m, k: True),
            "your windows look beyond the end of their prefix. At t - r + m, tap i meets x at t - 2r + m + i, and that must not lie beyond t.",
        ),
        (
            lambda x, w: _ends(x, w, lambda i, m, k: i >= m),
            "you cut the window at its wrong side. The items that are missing are the newest: the last m taps fall away, not the first.",
        ),
        (
            lambda x, w: _ends(x, w, beyond=1.0),
            "right where there is a position t - r + m. Where there is none (t < r - m) the entry should be 0.",
        ),
    ),
)

START_STATES = Exercise(
    solution=_shifted,
    cases=(
        (_random(8, 6, 2), 1),
        (_random(9, 5, 3), 2),
        (_random(10, 2, 2), 3),
        (_random(11, 4, 1), 0),
    ),
    mistakes=(
        (
            lambda h, r: torch.roll(h, r, 0),
            "the first r prefixes get states from the end of the history: they would see the future. Roll wraps round; they start from zeros.",
        ),
        (
            lambda h, r: _shifted(h, r + 1),
            "one position too far back: the state at t - r has itself read complete windows only, so it can be shared.",
        ),
        (
            lambda h, r: _shifted(h, max(r - 1, 0)),
            "one position too near: the state at t - r + 1 has read a window that reaches t + 1.",
        ),
        (
            lambda h, r: h,
            "that is the state at t, which has read windows that reach t + r. The prefix needs the one r positions back.",
        ),
    ),
)

CELL_STEPS = Exercise(
    solution=_steps,
    cases=((10, 3, False), (10, 7, False), (10, 7, True), (2, 7, False), (50, 1, False)),
    mistakes=(
        (
            lambda n, kernel_size, causal: _steps(n, kernel_size, causal, own=lambda n, r: r * n),
            "nearly: prefix t has only t + 1 positions, so the first prefixes take fewer than r steps of their own, min(r, t + 1).",
        ),
        (
            lambda n, kernel_size, causal: _steps(n, kernel_size, False),
            "a causal convolution sees nothing ahead, whatever its size. No window is ever truncated, and no prefix needs a step of its own.",
        ),
        (
            lambda n, kernel_size, causal: _steps(n, kernel_size, causal, shared=lambda n, r: n),
            "the last r shared states are read by nobody: prefix t starts from the state at t - r, and t ends at n - 1.",
        ),
        (
            lambda n, kernel_size, causal: n * (n + 1) // 2,
            "that is the naive loop, t + 1 steps for every prefix.",
        ),
        (
            lambda n, kernel_size, causal: _steps(
                n, kernel_size, causal, reach=lambda k, causal: k - 1
            ),
            "you let every window reach k - 1 positions ahead. Half of a centred window lies behind: r = (k - 1) / 2; all of a causal one does: r = 0.",
        ),
    ),
)

EXERCISES = {
    "07.1": PADDING_TAX,
    "07.2": TRUNCATED_WINDOWS,
    "07.3": START_STATES,
    "07.4": CELL_STEPS,
}
