"""The exercises of notebook 11: a step of the BD-LRU, the convolution's window a step at a time, where fake steps lead, a table of users' states."""

import torch
from torch.nn import functional as F

from minirec.exercises import Exercise


def _random(seed, *shapes):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in shapes)


def _step(
    h,
    r,
    i,
    x,
    Lambda,
    log_decay=lambda r, Lambda: -F.softplus(Lambda) * r.sigmoid(),
    scale=lambda alpha: (1 - alpha**2).sqrt(),
    gate=torch.sigmoid,
):
    alpha = log_decay(r, Lambda).exp()
    return alpha * h + scale(alpha) * gate(i) * x


def _states(seed, *shape):
    h, r, i, x, Lambda = _random(seed, shape, shape, shape, shape, shape[1:])
    return (
        h,
        r.abs(),
        i,
        x,
        Lambda.abs(),
    )  # positive, so that the mistakes below give numbers as well


def _window_step(window, x, weight, bias):
    seen = torch.cat([window, x[:, None]], dim=1)
    return (seen * weight.T).sum(1) + bias, seen[:, 1:]


def _after_fakes(alpha, b, n):
    return b * (1 - alpha**n) / (1 - alpha)


def _move_on(table, users, new):
    table = table.clone()
    table[users] = new
    return table


def _events(seed, n_users, users, width):
    table, raw, b = _random(seed, (n_users, width), (len(users), width), (len(users), width))
    return (
        table.requires_grad_(),
        torch.tensor(users),
        raw.sigmoid(),
        b,
    )  # PyTorch refuses to change such a table in place


BD_LRU_STEP = Exercise(
    solution=_step,
    cases=(_states(0, 3, 4), _states(1, 1, 2)),
    mistakes=(
        (
            lambda *inputs: _step(*inputs, scale=lambda alpha: 1 - alpha),
            "1 - alpha is a GRU's share. Here the input is scaled by sqrt(1 - alpha^2).",
        ),
        (
            lambda *inputs: _step(*inputs, scale=lambda alpha: 1 - alpha**2),
            "the root is missing: the input is scaled by sqrt(1 - alpha^2).",
        ),
        (
            lambda *inputs: _step(*inputs, scale=lambda alpha: (1 - alpha**2 + 1e-8).sqrt()),
            "the 1e-8 is the released code's; the formula has none.",
        ),
        (
            lambda *inputs: _step(*inputs, scale=torch.ones_like),
            "the input comes in at full size. What is forgotten makes room for it: times sqrt(1 - alpha^2).",
        ),
        (
            lambda *inputs: _step(*inputs, log_decay=lambda r, Lambda: -F.softplus(Lambda) * r),
            "r must go through a sigmoid before it meets softplus(Lambda).",
        ),
        (
            lambda *inputs: _step(
                *inputs, log_decay=lambda r, Lambda: -F.softplus(Lambda).expand_as(r)
            ),
            "your alpha is the same for every film: r has no say in it.",
        ),
        (
            lambda *inputs: _step(*inputs, log_decay=lambda r, Lambda: -Lambda * r.sigmoid()),
            "Lambda may be negative, and alpha would exceed 1. It goes through softplus first.",
        ),
        (lambda *inputs: _step(*inputs, gate=lambda i: i), "the input gate lacks its sigmoid."),
        (
            lambda *inputs: _step(*inputs, gate=torch.ones_like),
            "the input gate sigma(i) is missing.",
        ),
        (
            lambda h, r, i, x, Lambda: _step(h, i, r, x, Lambda),
            "r and i are swapped: r decides what is kept, i what comes in.",
        ),
    ),
)

WINDOW_STEP = Exercise(
    solution=_window_step,
    cases=(
        _random(2, (2, 3, 4), (2, 4), (4, 4), (4,)),
        _random(3, (3, 1, 2), (3, 2), (2, 2), (2,)),
    ),
    mistakes=(
        (
            lambda window, x, weight, bias: (_window_step(window, x, weight, bias)[0], window),
            "the window has not moved on: the new input enters at its end, the oldest leaves.",
        ),
        (
            lambda window, x, weight, bias: (
                _window_step(window, x, weight, bias)[0],
                torch.cat([x[:, None], window[:, :-1]], dim=1),
            ),
            "in your new window the newest input stands first. Oldest first: it enters at the end.",
        ),
        (
            lambda window, x, weight, bias: _window_step(window, x, weight.flip(1), bias),
            "the weights are turned round: the last column meets the newest input.",
        ),
        (
            lambda window, x, weight, bias: _window_step(window, x, weight, 0 * bias),
            "the bias is missing.",
        ),
        (
            lambda window, x, weight, bias: (
                F.silu(_window_step(window, x, weight, bias)[0]),
                _window_step(window, x, weight, bias)[1],
            ),
            "no SiLU here; it comes after.",
        ),
        (
            lambda window, x, weight, bias: (
                _window_step(window, x, weight, bias)[0],
                torch.cat([window, x[:, None]], dim=1),
            ),
            "your window grows. Drop the oldest input: k - 1 remain.",
        ),
    ),
)

AFTER_FAKES = Exercise(
    solution=_after_fakes,
    cases=tuple(
        (alpha.sigmoid(), b, n)
        for alpha, b, n in (
            (*_random(4, (3,), (3,)), 5),
            (*_random(5, (2,), (2,)), 56),
            (*_random(6, (4,), (4,)), 1),
            (*_random(7, (2,), (2,)), 0),
        )
    ),
    mistakes=(
        (
            lambda alpha, b, n: b / (1 - alpha),
            "that is where infinitely many steps lead. After n of them 1 - alpha^n of it is reached.",
        ),
        (
            lambda alpha, b, n: n * b,
            "what earlier steps put in fades: the sum is b + alpha b + alpha^2 b + ...",
        ),
        (
            lambda alpha, b, n: alpha**n * b,
            "that is what is left of the first step alone. Every step adds a b of its own.",
        ),
        (
            lambda alpha, b, n: _after_fakes(alpha, b, n + 1),
            "one step too many: n steps put in b n times, the first of which has faded n - 1 times.",
        ),
        (
            lambda alpha, b, n: _after_fakes(alpha, b, n) * alpha,
            "the last step's b has not faded yet: the sum begins with b, not with alpha b.",
        ),
    ),
)

MOVE_ON = Exercise(
    solution=lambda table, users, alpha, b: _move_on(table, users, alpha * table[users] + b),
    cases=(_events(8, 6, [4, 1], 3), _events(9, 5, [0, 3, 2], 2)),
    mistakes=(
        (
            lambda table, users, alpha, b: alpha * table[users] + b,
            "these are the new states of those who came. Write them back: the whole table is asked for.",
        ),
        (
            lambda table, users, alpha, b: _move_on(
                table, torch.arange(len(users)), alpha * table[: len(users)] + b
            ),
            "you moved on the first B users of the table. `users` says which rows they are.",
        ),
        (
            lambda table, users, alpha, b: _move_on(table, users, b),
            "their old states are gone. They fade by alpha, and b comes on top.",
        ),
        (
            lambda table, users, alpha, b: _move_on(table, users, alpha * table[users]),
            "the states fade, but nothing comes in: b is missing.",
        ),
        (
            lambda table, users, alpha, b: _move_on(
                torch.zeros_like(table), users, alpha * table[users] + b
            ),
            "those who stayed away have lost their states: copy the old table first.",
        ),
    ),
)

EXERCISES = {"11.1": BD_LRU_STEP, "11.2": WINDOW_STEP, "11.3": AFTER_FAKES, "11.4": MOVE_ON}
