"""The exercises of notebook 13: a BD-LRU step, the window per step, fake steps, a table of states.

B rows, H channels; h: [B, H], the state; r, i: [B, H], the gates before their sigmoids; x: [B, H],
the input; Lambda: [H], trained; alpha: the decay, so that a step takes h to alpha h + b.
"""

import torch
from torch.nn import functional as F

from minirec.exercises.checker import Exercise, mistake
from minirec.exercises.inputs import random_tensors

# 13.1 One step of the BD-LRU: the new state, [B, H].


def bd_lru_step(h, r, i, x, Lambda):
    alpha = decay(r, Lambda)
    return alpha * h + input_scale(alpha) * i.sigmoid() * x


def decay(r, Lambda):
    return torch.exp(-F.softplus(Lambda) * r.sigmoid())


def input_scale(alpha):
    """Return what the input is multiplied by: it fills the room of what is forgotten."""
    return (1 - alpha**2).sqrt()


@mistake("1 - alpha is a GRU's share. Here the input is scaled by sqrt(1 - alpha^2).")
def share_of_a_gru(h, r, i, x, Lambda):
    alpha = decay(r, Lambda)
    return alpha * h + (1 - alpha) * i.sigmoid() * x


@mistake("the root is missing: the input is scaled by sqrt(1 - alpha^2).")
def without_root(h, r, i, x, Lambda):
    alpha = decay(r, Lambda)
    return alpha * h + (1 - alpha**2) * i.sigmoid() * x


@mistake("the 1e-8 is the released code's; the formula has none.")
def as_released(h, r, i, x, Lambda):
    alpha = decay(r, Lambda)
    return alpha * h + (1 - alpha**2 + 1e-8).sqrt() * i.sigmoid() * x


@mistake(
    "the input comes in at full size. What is forgotten makes room for it: times sqrt(1 - alpha^2)."
)
def input_at_full_size(h, r, i, x, Lambda):
    return decay(r, Lambda) * h + i.sigmoid() * x


@mistake("r must go through a sigmoid before it meets softplus(Lambda).")
def r_without_sigmoid(h, r, i, x, Lambda):
    alpha = torch.exp(-F.softplus(Lambda) * r)
    return alpha * h + input_scale(alpha) * i.sigmoid() * x


@mistake("your alpha is the same for every film: r has no say in it.")
def same_alpha_for_all(h, r, i, x, Lambda):
    alpha = torch.exp(-F.softplus(Lambda))
    return alpha * h + input_scale(alpha) * i.sigmoid() * x


@mistake("Lambda may be negative, and alpha would exceed 1. It goes through softplus first.")
def lambda_without_softplus(h, r, i, x, Lambda):
    alpha = torch.exp(-Lambda * r.sigmoid())
    return alpha * h + input_scale(alpha) * i.sigmoid() * x


@mistake("the input gate lacks its sigmoid.")
def i_without_sigmoid(h, r, i, x, Lambda):
    alpha = decay(r, Lambda)
    return alpha * h + input_scale(alpha) * i * x


@mistake("the input gate sigma(i) is missing.")
def without_input_gate(h, r, i, x, Lambda):
    alpha = decay(r, Lambda)
    return alpha * h + input_scale(alpha) * x


@mistake("r and i are swapped: r decides what is kept, i what comes in.")
def r_and_i_swapped(h, r, i, x, Lambda):
    return bd_lru_step(h, i, r, x, Lambda)


def step_inputs(seed, B, H):
    """Draw h, r, i, x and Lambda; r and Lambda positive, or some mistakes would give no numbers."""
    h, r, i, x, Lambda = random_tensors(seed, (B, H), (B, H), (B, H), (B, H), (H,))
    return h, r.abs(), i, x, Lambda.abs()


BD_LRU_STEP = Exercise(
    solution=bd_lru_step,
    cases=(step_inputs(0, 3, 4), step_inputs(1, 1, 2)),
    mistakes=(
        share_of_a_gru,
        without_root,
        as_released,
        input_at_full_size,
        r_without_sigmoid,
        same_alpha_for_all,
        lambda_without_softplus,
        i_without_sigmoid,
        without_input_gate,
        r_and_i_swapped,
    ),
)


# 13.2 A convolution's output and new window. window: [B, k - 1, H]; weight: [H, k]; bias: [H].


def window_step(window, x, weight, bias):
    seen = with_newest(window, x)
    output = (seen * weight.T).sum(1) + bias
    return output, seen[:, 1:]


def with_newest(window, x):
    """Return all k inputs, oldest first, [B, k, H]."""
    return torch.cat([window, x[:, None]], dim=1)


@mistake("the window has not moved on: the new input enters at its end, the oldest leaves.")
def window_unmoved(window, x, weight, bias):
    output, _ = window_step(window, x, weight, bias)
    return output, window


@mistake("in your new window the newest input stands first. Oldest first: it enters at the end.")
def newest_first(window, x, weight, bias):
    output, _ = window_step(window, x, weight, bias)
    return output, torch.cat([x[:, None], window[:, :-1]], dim=1)


@mistake("the weights are turned round: the last column meets the newest input.")
def weights_turned_round(window, x, weight, bias):
    return window_step(window, x, weight.flip(1), bias)


@mistake("the bias is missing.")
def without_bias(window, x, weight, bias):
    return window_step(window, x, weight, torch.zeros_like(bias))


@mistake("no SiLU here; it comes after.")
def with_silu(window, x, weight, bias):
    output, moved_on = window_step(window, x, weight, bias)
    return F.silu(output), moved_on


@mistake("your window grows. Drop the oldest input: k - 1 remain.")
def window_grows(window, x, weight, bias):
    output, _ = window_step(window, x, weight, bias)
    return output, with_newest(window, x)


WINDOW_STEP = Exercise(
    solution=window_step,
    cases=(
        random_tensors(2, (2, 3, 4), (2, 4), (4, 4), (4,)),
        random_tensors(3, (3, 1, 2), (3, 2), (2, 2), (2,)),
    ),
    mistakes=(
        window_unmoved,
        newest_first,
        weights_turned_round,
        without_bias,
        with_silu,
        window_grows,
    ),
)


# 13.3 The state after n steps of the same alpha and b, [H] both, from zero.


def after_fakes(alpha, b, n):
    return b * (1 - alpha**n) / (1 - alpha)


@mistake("that is where infinitely many steps lead. After n of them 1 - alpha^n of it is reached.")
def after_infinitely_many(alpha, b, n):
    return b / (1 - alpha)


@mistake("what earlier steps put in fades: the sum is b + alpha b + alpha^2 b + ...")
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


def fake_steps(seed, H, n):
    """Draw alpha, between 0 and 1, and b."""
    raw, b = random_tensors(seed, (H,), (H,))
    return raw.sigmoid(), b, n


AFTER_FAKES = Exercise(
    solution=after_fakes,
    cases=(
        fake_steps(4, 3, 5),
        fake_steps(5, 2, 56),
        fake_steps(6, 4, 1),
        fake_steps(7, 2, 0),
    ),
    mistakes=(
        after_infinitely_many,
        nothing_fades,
        left_of_the_first_step,
        one_step_too_many,
        last_step_faded,
    ),
)


# 13.4 The new table of states, [n_users, H], after events of the users `users`, [B]. b: [B, H].


def move_on(table, users, alpha, b):
    return with_states(table, users, alpha * table[users] + b)


def with_states(table, users, states):
    """Return a copy of the table in which these users have these states."""
    table = table.clone()
    table[users] = states
    return table


@mistake(
    "these are the new states of those who came. Write them back: the whole table is asked for."
)
def only_those_who_came(table, users, alpha, b):
    return alpha * table[users] + b


@mistake("you moved on the first B users of the table. `users` says which rows they are.")
def first_users_of_the_table(table, users, alpha, b):
    return move_on(table, torch.arange(len(users)), alpha, b)


@mistake("their old states are gone. They fade by alpha, and b comes on top.")
def old_states_gone(table, users, alpha, b):
    return with_states(table, users, b)


@mistake("the states fade, but nothing comes in: b is missing.")
def nothing_comes_in(table, users, alpha, b):
    return with_states(table, users, alpha * table[users])


@mistake("those who stayed away have lost their states: copy the old table first.")
def others_lost(table, users, alpha, b):
    return with_states(torch.zeros_like(table), users, alpha * table[users] + b)


def events(seed, n_users, users, H):
    """Draw a table, and events; PyTorch refuses to change a table with a gradient in place."""
    B = len(users)
    table, raw, b = random_tensors(seed, (n_users, H), (B, H), (B, H))
    return table.requires_grad_(), torch.tensor(users), raw.sigmoid(), b


MOVE_ON = Exercise(
    solution=move_on,
    cases=(events(8, 6, [4, 1], 3), events(9, 5, [0, 3, 2], 2)),
    mistakes=(
        only_those_who_came,
        first_users_of_the_table,
        old_states_gone,
        nothing_comes_in,
        others_lost,
    ),
)

EXERCISES = {
    "13.1": BD_LRU_STEP,
    "13.2": WINDOW_STEP,
    "13.3": AFTER_FAKES,
    "13.4": MOVE_ON,
}
