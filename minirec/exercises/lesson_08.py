"""The exercises of notebook 08: what samples cost, one more film, steps, two leaks, serving.

x: [N], one channel of a history (in 08.5 [B, N, d]); w, w_out: [3], the kernels of the toy's two
convolutions, the oldest input's tap first; r = (k - 1) / 2, how far a centred window reaches ahead;
t: the position at which a prefix ends, from 1.
"""

import torch
from torch.nn import functional as F

from minirec.exercises.checker import Exercise, mistake, predicted
from minirec.exercises.inputs import random_tensors

# 08.1 Samples, positions and positions with a film, for a history of 12 films and max_len 5.

WHAT_SAMPLES_COST = predicted(
    (9, 45, 35),
    {
        (10, 50, 40): "one sample too many. The sample that ends in the last training film has no "
        "target left in the training part.",
        (12, 60, 50): "the last two films are held out, for valid and test; they make no samples "
        "for training.",
        (11, 55, 45): "a film each is held out for valid and for test, and 12 films have 11 "
        "prefixes only if none is.",
        (
            8,
            40,
            30,
        ): "one sample too few. Ten films are left for training, and each of them but the "
        "first is the target of a sample.",
        (9, 45, 45): "a prefix longer than max_len keeps only its last max_len films, and a "
        "shorter one is filled up with padding: count the films of each sample.",
        (9, 35, 35): "padding is computed too: every sample costs max_len positions, however "
        "short its prefix is.",
        (9, 45, 15): "the prefixes longer than max_len are samples too, with max_len films each.",
        (5, 25, 15): "prefixes longer than max_len are not left out: they lose their oldest "
        "films and stay samples.",
    },
    title="What do samples cost?",
    stars=1,
    minutes=4,
    hints=(
        "Which films are left for training? The first of them has nothing before it.",
        "Write down the length of every prefix that has a training film behind it.",
        "Every sample has max_len positions. Of a prefix that is longer, max_len films are left.",
    ),
)


# 08.2 The toy's history goes on: 2, 4, 2, 6, 8. The output of prefix 5.

ONE_MORE_FILM = predicted(
    55.0,
    {
        47.0: "you went on from 12.5, a provisional state: it was computed without film 5. The "
        "window at position 4 is complete now.",
        38.5: "that is twice the last state alone. The output's window reads the state before it "
        "too.",
        52.25: "you swapped the two weights: the newest state has the middle one, 2.",
        19.25: "that is the state at position 5. The output convolution is still to come.",
        51.0: "the state at 4 is moved on for the state at 5, but the output read the provisional "
        "12.5. It reads the complete one too.",
        35.75: "you added the two states. The output's weights are 1 for the older and 2 for the "
        "newer.",
        63.25: "your output's window stands at position 4. It is read at the end of the prefix, "
        "position 5.",
    },
    title="One more film",
    stars=1,
    minutes=5,
    hints=(
        "Film 5 changes the window at position 4 and adds one at position 5. Nothing before them "
        "changes.",
        "The state at position 4 is half of the state at 3 and half of the new window at 4.",
        "The output takes the state at 4 once and the state at 5 twice.",
    ),
)


# 08.3 The GRU steps of one pass over n positions: the shared ones somebody uses, and all own ones.


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
    return sum(min(r, t) for t in range(1, n + 1))


@mistake(
    "nearly: prefix t has only t positions, so the first prefixes cannot take r steps of their own."
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
    "the last r shared states are used by nobody: prefix t starts from the state at t - r, and t "
    "ends at n."
)
def all_states_shared(n, kernel_size, causal):
    r = reach_ahead(kernel_size, causal)
    return n + own_steps(n, r)


@mistake(
    "your own steps begin with a prefix of no films. Prefixes have 1 to n films, and t counts "
    "from 1."
)
def prefixes_from_zero(n, kernel_size, causal):
    r = reach_ahead(kernel_size, causal)
    return shared_steps(n, r) + own_steps(n - 1, r)


@mistake("right for long histories. One with fewer than r positions has no shared step at all.")
def negative_shared(n, kernel_size, causal):
    r = reach_ahead(kernel_size, causal)
    return n - r + own_steps(n, r)


@mistake(
    "one own step too many for each prefix: it starts from the state at t - r, so only the last r "
    "positions are left."
)
def one_own_step_too_many(n, kernel_size, causal):
    r = reach_ahead(kernel_size, causal)
    return shared_steps(n, r) + (r + 1) * n


@mistake("that is the naive loop, t steps for every prefix.")
def naive_loop(n, kernel_size, causal):
    return n * (n + 1) // 2


@mistake("that is the rough count of the text. The exact one is smaller at both ends.")
def rough_count(n, kernel_size, causal):
    return n * (reach_ahead(kernel_size, causal) + 1)


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
        prefixes_from_zero,
        negative_shared,
        one_own_step_too_many,
        naive_loop,
        rough_count,
        whole_window_ahead,
    ),
    title="Count the steps",
    kind="derive",
    stars=2,
    minutes=8,
    hints=(
        "Add two numbers: the steps of the shared run, and the sum over t of the own steps.",
        "The shared run has complete windows only. At which position does the last one stand?",
        "Prefix t takes a step of its own at each of its last r positions, if it has so many. With "
        "a causal convolution r is 0.",
    ),
)


# 08.4 The toy's outputs for every prefix, [N], with kernels of three.


def toy_outputs(x, w, w_out):
    start = before(shared_states(x, w))
    own = (start + own_windows(x, w)) / 2
    return w_out[0] * start + w_out[1] * own


def before(x):
    """Return x one position later: at t what stood at t - 1, and 0 at the first."""
    return F.pad(x, (1, 0))[:-1]


def after(x):
    """Return x one position earlier: at t what stood at t + 1, and 0 at the last."""
    return F.pad(x, (0, 1))[1:]


def own_windows(x, w):
    return w[0] * before(x) + w[1] * x


def shared_states(x, w):
    h = torch.zeros((), dtype=x.dtype)
    states = []
    for c in own_windows(x, w) + w[2] * after(x):
        h = (h + c) / 2
        states.append(h)
    return torch.stack(states)


def outputs_from(start, x, w, w_out):
    own = (start + own_windows(x, w)) / 2
    return w_out[0] * start + w_out[1] * own


@mistake(
    "that is the function as it was: its first answer depends on the last film. Follow that film: "
    "in which states is it, and which prefix starts from one of these?"
)
def rolled(x, w, w_out):
    return outputs_from(shared_states(x, w).roll(1), x, w, w_out)


@mistake(
    "now every prefix starts from the state at its own end, which has read a window that looks "
    "beyond it."
)
def not_moved(x, w, w_out):
    return outputs_from(shared_states(x, w), x, w, w_out)


@mistake(
    "you moved the states the other way: prefix t now starts from the state at t + 1, and that "
    "one lies ahead of it."
)
def moved_the_wrong_way(x, w, w_out):
    return outputs_from(after(shared_states(x, w)), x, w, w_out)


@mistake(
    "the first prefix is right now, but all others lost their start as well. Only a prefix that "
    "has no earlier position starts from zero."
)
def all_from_zero(x, w, w_out):
    return outputs_from(torch.zeros_like(x), x, w, w_out)


@mistake(
    "the start was moved by two positions. The state at t - 1 has complete windows only, so "
    "prefix t may start there."
)
def moved_by_two(x, w, w_out):
    return outputs_from(before(before(shared_states(x, w))), x, w, w_out)


@mistake(
    "the start is right; but the own windows now look one film ahead. They were right before: cut "
    "off at t."
)
def own_windows_complete(x, w, w_out):
    start = before(shared_states(x, w))
    own = (start + own_windows(x, w) + w[2] * after(x)) / 2
    return w_out[0] * start + w_out[1] * own


@mistake(
    "you cut the windows of the shared run as well. They were right: a shared state has read "
    "complete windows. Look at what moves these states to their prefixes."
)
def shared_windows_cut(x, w, w_out):
    cut = torch.stack([w[0], w[1], torch.zeros_like(w[2])])
    return outputs_from(before(shared_states(x, cut)), x, w, w_out)


@mistake(
    "you wrote a zero over the first answer. The first prefix has an answer: its start is zero, "
    "its own step is not."
)
def first_answer_zero(x, w, w_out):
    outputs = toy_outputs(x, w, w_out)
    outputs[0] = 0
    return outputs


def toy_case(seed, n):
    return random_tensors(seed, (n,), (3,), (3,))


TOY_OUTPUTS = Exercise(
    solution=toy_outputs,
    cases=(toy_case(0, 4), toy_case(1, 6), toy_case(2, 2), toy_case(3, 1)),
    mistakes=(
        rolled,
        not_moved,
        moved_the_wrong_way,
        all_from_zero,
        moved_by_two,
        own_windows_complete,
        shared_windows_cut,
        first_answer_zero,
    ),
    title="The first answer sees the last film",
    kind="find the bug",
    stars=1,
    minutes=5,
    hints=(
        "Print `start` for the toy and for the toy with another last film. Which entry changes?",
        "What does `roll` put at the first place?",
        "The first prefix has no earlier position. What is the state before the first film?",
    ),
)


# 08.5 The positions at which a pass says something else than the prefix alone.


def leaks(run, x):
    return positions_apart(run(x), alone(run, x))


def alone(run, x):
    ends = range(1, x.shape[1] + 1)
    return torch.stack([run(x[:, :t])[:, -1] for t in ends], dim=1)


def positions_apart(whole, prefixes):
    apart = (whole - prefixes).abs().amax(dim=(0, 2))
    return [t for t, difference in enumerate(apart.tolist(), start=1) if difference > 1e-6]


@mistake("right, but for the count: the first position is t = 1.")
def counted_from_zero(run, x):
    return [t - 1 for t in leaks(run, x)]


@mistake("these are the positions that are exact. Asked for are those that leak.")
def exact_positions(run, x):
    wrong = leaks(run, x)
    return [t for t in range(1, x.shape[1] + 1) if t not in wrong]


@mistake("you look at the first history only. A position leaks if it does for any of them.")
def first_history_only(run, x):
    return positions_apart(run(x)[:1], alone(run, x)[:1])


@mistake("you look at the first feature only. A position leaks if any feature differs.")
def first_feature_only(run, x):
    return positions_apart(run(x)[..., :1], alone(run, x)[..., :1])


@mistake(
    "a leak may be negative too: where the whole row gives less than the prefix, it differs too."
)
def without_the_sign(run, x):
    apart = (run(x) - alone(run, x)).amax(dim=(0, 2))
    return [t for t, difference in enumerate(apart.tolist(), start=1) if difference > 1e-6]


@mistake("features may cancel: take the largest difference, not the sum or the mean of them.")
def features_added(run, x):
    return positions_apart(run(x).sum(-1, keepdim=True), alone(run, x).sum(-1, keepdim=True))


@mistake(
    "of each prefix you take the first position. The one that can be compared with position t is "
    "its last."
)
def first_position_of_each_prefix(run, x):
    ends = range(1, x.shape[1] + 1)
    prefixes = torch.stack([run(x[:, :t])[:, 0] for t in ends], dim=1)
    return positions_apart(run(x), prefixes)


@mistake(
    "your prefixes are one position too short: `x[:, :t]` holds positions 1 to t, and t goes from "
    "1 to N."
)
def prefixes_too_short(run, x):
    ends = range(x.shape[1])
    prefixes = torch.stack([run(x[:, :t])[:, -1] for t in ends], dim=1)
    return positions_apart(run(x), prefixes)


@mistake("you compare the pass with itself. Cut x before `run`, not its output afterwards.")
def output_cut(run, x):
    return []


def running_sum(x):
    """Exact: position t has read films 1 to t."""
    return x.cumsum(1)


def running_mean_of_the_row(x):
    """Leaks everywhere but at the end: the mean is taken over the whole row."""
    return x - x.mean(1, keepdim=True)


def right_neighbour(x):
    """Leaks everywhere but at the end: adds what follows, to one feature and from another."""
    after = F.pad(x, (0, 0, 0, 1))[:, 1:]
    return torch.cat([x[..., :1], x[..., 1:] + after[..., 1:]], dim=-1)


def second_film_sees_the_third(x):
    """Leaks at position 2 of the last history only."""
    y = x.clone()
    if x.shape[1] > 2:
        y[-1, 1, 0] -= x[-1, 2, 0].square()
    return y


def features_trade(x):
    """Leaks at position 2, with opposite signs in two features."""
    y = x.clone()
    if x.shape[1] > 2:
        y[:, 1, 0] -= x[:, 2, 0].square()
        y[:, 1, 1] += x[:, 2, 0].square()
    return y


def first_answer_less(x):
    """Leaks at position 1, and gives less there than the prefix alone."""
    y = x.clone()
    if x.shape[1] > 1:
        y[:, 0] -= 1
    return y


def leak_case(run, seed):
    (x,) = random_tensors(seed, (2, 5, 3))
    return run, x


LEAKS = Exercise(
    solution=leaks,
    cases=(
        leak_case(running_sum, 0),
        leak_case(running_mean_of_the_row, 1),
        leak_case(right_neighbour, 2),
        leak_case(second_film_sees_the_third, 3),
        leak_case(features_trade, 4),
        leak_case(first_answer_less, 5),
    ),
    mistakes=(
        counted_from_zero,
        exact_positions,
        first_history_only,
        first_feature_only,
        without_the_sign,
        features_added,
        first_position_of_each_prefix,
        prefixes_too_short,
        output_cut,
    ),
    title="Does it leak?",
    kind="fill in",
    stars=2,
    minutes=8,
    hints=(
        "Two tensors [B, N, d] are compared: `run` on the whole row, and `run` on each prefix, of "
        "which the last position counts.",
        "Section 4 has a function that makes the second one.",
        "The largest absolute difference over the histories and the features leaves [N]. Where "
        "is it above the bound? Count from 1.",
    ),
)


# 08.6 One more film for the toy: the output, and the new state (h, earlier, last, n). h is the
# state at n - 1 of the n films so far, earlier and last are films n - 1 and n.


def toy_step(state, film, w, w_out):
    h, earlier, last, n = state
    if n > 0:
        h = (h + window_of_three(w, earlier, last, film)) / 2
    own = (h + w[0] * last + w[1] * film) / 2
    return w_out[0] * h + w_out[1] * own, (h, last, film, n + 1)


def window_of_three(w, first, second, third):
    return w[0] * first + w[1] * second + w[2] * third


@mistake(
    "right from the second film on. Before the first film there is no position, so the kept state "
    "takes no step: it stays 0."
)
def step_before_the_first(state, film, w, w_out):
    h, earlier, last, n = state
    h = (h + window_of_three(w, earlier, last, film)) / 2
    own = (h + w[0] * last + w[1] * film) / 2
    return w_out[0] * h + w_out[1] * own, (h, last, film, n + 1)


@mistake(
    "the output is right, but you keep the prefix's own state. It was computed without the film "
    "that comes next: keep the one over complete windows."
)
def own_state_kept(state, film, w, w_out):
    output, (h, *rest) = toy_step(state, film, w, w_out)
    own = (h + w[0] * state[2] + w[1] * film) / 2
    return output, (own, *rest)


@mistake(
    "you forgot that the new film completes a window, the one at the film before it. First the "
    "kept state takes that step."
)
def kept_state_not_moved(state, film, w, w_out):
    h, _, last, n = state
    own = (h + w[0] * last + w[1] * film) / 2
    return w_out[0] * h + w_out[1] * own, (h, last, film, n + 1)


@mistake("in the new state `earlier` and `last` are exchanged: the new film is the last one.")
def films_exchanged(state, film, w, w_out):
    output, (h, earlier, last, n) = toy_step(state, film, w, w_out)
    return output, (h, last, earlier, n)


@mistake(
    "the own window reads the film before and the new one, with the first two taps, w[0] and w[1]."
)
def own_window_with_later_taps(state, film, w, w_out):
    _, (h, earlier, last, n) = toy_step(state, film, w, w_out)
    own = (h + w[1] * earlier + w[2] * last) / 2
    return w_out[0] * h + w_out[1] * own, (h, earlier, last, n)


@mistake("the window is read backwards: w[0] belongs to the oldest film, w[2] to the new one.")
def window_backwards(state, film, w, w_out):
    h, earlier, last, n = state
    if n > 0:
        h = (h + window_of_three(w, film, last, earlier)) / 2
    own = (h + w[0] * last + w[1] * film) / 2
    return w_out[0] * h + w_out[1] * own, (h, last, film, n + 1)


@mistake("the output needs both states: the kept one and the own one, each with its tap.")
def own_state_only(state, film, w, w_out):
    _, (h, *rest) = toy_step(state, film, w, w_out)
    own = (h + w[0] * state[2] + w[1] * film) / 2
    return w_out[1] * own, (h, *rest)


@mistake(
    "the two taps of the output are swapped: the oldest state has the first tap, the own state "
    "the middle one."
)
def taps_of_the_output_swapped(state, film, w, w_out):
    return toy_step(state, film, w, [w_out[1], w_out[0], w_out[2]])


@mistake("the output and the state are right but for the films to keep: they do not move on.")
def films_not_moved(state, film, w, w_out):
    output, (h, _, _, n) = toy_step(state, film, w, w_out)
    return output, (h, state[1], state[2], n)


@mistake("all is right but the count: the new state has read one film more.")
def film_not_counted(state, film, w, w_out):
    output, (h, earlier, last, n) = toy_step(state, film, w, w_out)
    return output, (h, earlier, last, n - 1)


TOY_STEP = Exercise(
    solution=toy_step,
    cases=(
        ((0.0, 0.0, 0.0, 0), 2.0, [1.0, 2.0, 1.0], [1.0, 2.0, 1.0]),
        ((0.0, 0.0, 2.0, 1), 4.0, [1.0, 2.0, 3.0], [1.0, 2.0, 1.0]),
        ((8.0, 4.0, 2.0, 3), 6.0, [1.0, 2.0, 3.0], [4.0, 5.0, 6.0]),
        ((0.5, -1.0, 3.0, 7), 0.25, [0.5, -2.0, 3.0], [1.5, 0.75, -1.0]),
    ),
    mistakes=(
        step_before_the_first,
        own_state_kept,
        kept_state_not_moved,
        films_exchanged,
        own_window_with_later_taps,
        window_backwards,
        own_state_only,
        taps_of_the_output_swapped,
        films_not_moved,
        film_not_counted,
    ),
    title="Serve the toy",
    kind="extend",
    stars=3,
    minutes=15,
    hints=(
        "The new film completes one window. Which? The kept state takes a step with it.",
        "From the kept state, the new prefix takes one step of its own, with a window cut off at "
        "the new film.",
        "The output reads the kept state and the own one. Only the kept one goes into the new "
        "state.",
    ),
)

EXERCISES = {
    "08.1": WHAT_SAMPLES_COST,
    "08.2": ONE_MORE_FILM,
    "08.3": CELL_STEPS,
    "08.4": TOY_OUTPUTS,
    "08.5": LEAKS,
    "08.6": TOY_STEP,
}
