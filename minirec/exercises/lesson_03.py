"""The exercises of notebook 03: zeros, depthwise, what an output sees, a leak, a sum, holes.

x: [B, N, d], the inputs; b: [d], the bias; k the kernel size.
"""

import torch
from torch.nn import functional as F

from minirec.exercises.checker import Exercise, mistake, predicted
from minirec.exercises.inputs import random_tensors

# 03.1 How many zeros to add on the left and on the right of a sequence.


def zeros(k, causal):
    if causal:
        return k - 1, 0
    return (k - 1) // 2, (k - 1) // 2


@mistake(
    "both are centred: half of the window lies to the right of the position. A causal window ends "
    "at the position itself."
)
def always_centred(k, causal):
    return (k - 1) // 2, (k - 1) // 2


@mistake(
    "the causal zeros are at the wrong end. The first position has no past, so the zeros stand on "
    "the left."
)
def on_the_right(k, causal):
    left, right = zeros(k, causal)
    return right, left


@mistake(
    "one too many when causal: of the k inputs in the window one is the position itself, so at "
    "most k - 1 are missing."
)
def one_too_many(k, causal):
    if causal:
        return k, 0
    return k // 2, k // 2


@mistake(
    "that many zeros at both ends give k - 1 outputs too many. A centred window has only half of "
    "its k - 1 neighbours on each side."
)
def all_neighbours_on_both_sides(k, causal):
    if causal:
        return k - 1, 0
    return k - 1, k - 1


ZEROS = Exercise(
    solution=zeros,
    cases=((3, False), (3, True), (5, False), (4, True), (1, True), (7, False), (2, True)),
    mistakes=(always_centred, on_the_right, one_too_many, all_neighbours_on_both_sides),
    title="Where the zeros go",
    kind="derive",
    stars=1,
    minutes=3,
    hints=(
        "Write down the positions in the window of the very first output. Which do not exist?",
        "A window holds k inputs, and one of them is the position itself. So k - 1 others have to "
        "be found to its left and to its right.",
        "Causal: all of the k - 1 others are older. Centred: half of them are.",
    ),
)


# 03.2 A causal depthwise convolution. w: [d, k], the oldest input's weights first.


def sliding_sum(x, parts, step, left):
    """Sum over i of parts[i](x at position t + i * step - left), zeros beyond both ends."""
    n_positions = x.shape[1]
    reach = (len(parts) - 1) * step
    before = torch.zeros_like(x[:, :1]).expand(-1, left, -1)
    after = torch.zeros_like(x[:, :1]).expand(-1, max(0, reach - left), -1)
    padded = torch.cat([before, x, after], dim=1)
    total = 0
    for i, part in enumerate(parts):
        total = total + part(padded[:, i * step : i * step + n_positions])
    return total


def depthwise(x, w, b):
    return depthwise_from(x, w, b, left=w.shape[1] - 1)


def depthwise_from(x, w, b, left):
    """Start the window `left` positions before each position."""
    parts = [weighted_by(w[:, i]) for i in range(w.shape[1])]
    return b + sliding_sum(x, parts, step=1, left=left)


def weighted_by(weights):
    return lambda inputs: inputs * weights


@mistake(
    "the kernel is turned round: w[:, 0] meets the oldest input of the window, w[:, -1] the "
    "position itself."
)
def turned_round(x, w, b):
    return depthwise(x, w.flip(1), b)


@mistake("that is the centred one: it sees ahead. All k - 1 zeros belong in front.")
def centred(x, w, b):
    return depthwise_from(x, w, b, left=(w.shape[1] - 1) // 2)


@mistake(
    "each window begins at its position and looks ahead. Either the zeros stand behind, or outputs "
    "were cut off at the wrong end: a causal window ends at its position."
)
def looking_ahead(x, w, b):
    return depthwise_from(x, w, b, left=0)


@mistake(
    "the zeros were added to the channels. F.pad counts axes from the last one: its first two "
    "numbers are for the channels, the next two for the positions."
)
def padded_along_channels(x, w, b):
    k, n_positions = w.shape[1], x.shape[1]
    padded = F.pad(x, (k - 1, 0))
    return b + sum(padded[:, i : i + n_positions] * w[:, i] for i in range(k))


@mistake(
    "the end of the sequence comes in at its beginning: torch.roll wraps round. Zeros must come in."
)
def wrapped(x, w, b):
    k = w.shape[1]
    total = b
    for i in range(k):
        total = total + torch.roll(x, k - 1 - i, dims=1) * w[:, i]
    return total


@mistake("the bias is missing.")
def without_bias(x, w, b):
    return depthwise(x, w, torch.zeros_like(b))


@mistake(
    "you summed over the channels, which is what a full convolution does. Each channel meets its "
    "own weights and no other channel."
)
def over_all_channels(x, w, b):
    return depthwise(x.sum(-1, keepdim=True).expand_as(x), w, b)


DEPTHWISE = Exercise(
    solution=depthwise,
    cases=(
        random_tensors(0, (2, 6, 3), (3, 3), (3,)),
        # Odd again: whoever centres the window does it in one way only, and is told so.
        random_tensors(1, (1, 2, 2), (2, 5), (2,)),
    ),
    mistakes=(
        turned_round,
        centred,
        looking_ahead,
        padded_along_channels,
        wrapped,
        without_bias,
        over_all_channels,
    ),
    title="Depthwise and causal",
    kind="fill in",
    stars=2,
    minutes=10,
    hints=(
        "Begin with the causal zeros: how many stand in front, and how many behind?",
        "Tap i meets the padded sequence from place i on, N positions of it.",
        "w[:, i] is one number for each channel, [d]. Multiplied entry by entry with a slice "
        "[B, N, d], it meets each channel by itself.",
    ),
)


# 03.3 The furthest input that each of seven outputs hears of: convolution, GRU, convolution.

FURTHEST_OF_A_SANDWICH = predicted(
    [3, 4, 5, 6, 7, 7, 7],
    [
        (
            [2, 3, 4, 5, 6, 7, 7],
            "that is the look ahead of one window. The second one asks outputs of the GRU which "
            "have themselves looked ahead.",
        ),
        (
            [7, 7, 7, 7, 7, 7, 7],
            "the GRU carries on what came before. It does not bring what comes later.",
        ),
        (
            [1, 2, 3, 4, 5, 6, 7],
            "that holds for causal windows. A centred one reaches a position ahead.",
        ),
        (
            [2, 3, 4, 5, 6, 6, 6],
            "that counts positions from 0; here they are numbered from 1.",
        ),
        (
            [3, 4, 5, 6, 7, 8, 9],
            "inputs 8 and 9 do not exist.",
        ),
        (
            [4, 5, 6, 7, 7, 7, 7],
            "the GRU looks at nothing ahead of its own position, so only two of the three layers "
            "add to the look ahead.",
        ),
    ],
    title="How far ahead?",
    stars=1,
    minutes=4,
    hints=(
        "Begin at the end: which outputs of the GRU does the last window read for output 1?",
        "The GRU's output at a position knows the first convolution's outputs up to there. Which "
        "inputs do these see?",
    ),
)


# 03.4 A causal convolution, full, that reads one input too many on the right.
# taps: [k, d, d], the oldest input's first.


def mended(x, taps, b):
    return beginning_at(x, taps, b, first=1)


def beginning_at(x, taps, b, first):
    """Lay k zeros at both ends and let the slice of tap i begin at place i + first."""
    k = len(taps)
    n_positions = x.shape[1]
    zeros_at_an_end = x.new_zeros(x.shape[0], k, x.shape[2])
    padded = torch.cat([zeros_at_an_end, x, zeros_at_an_end], dim=1)
    total = b
    for i in range(k):
        total = total + padded[:, i + first : i + first + n_positions] @ taps[i].T
    return total


@mistake("that still leaks: the newest tap meets the input after the position.")
def as_it_was(x, taps, b):
    return beginning_at(x, taps, b, first=2)


@mistake(
    "it does not leak any more, but now the window ends one position too early: no output sees "
    "its own position."
)
def one_too_far_back(x, taps, b):
    return beginning_at(x, taps, b, first=0)


@mistake(
    "that is right for k = 3 only: how many zeros stand in front must depend on k.",
)
def two_zeros_whatever_k(x, taps, b):
    return beginning_at(x, taps, b, first=len(taps) - 2)


@mistake(
    "the leak is stopped by leaving the newest tap out. The other taps still meet inputs that are "
    "one position too new."
)
def without_the_newest_tap(x, taps, b):
    silent = torch.cat([taps[:-1], torch.zeros_like(taps[-1:])])
    return beginning_at(x, silent, b, first=2)


@mistake("the taps are turned round: taps[0] meets the oldest input of the window.")
def taps_turned_round(x, taps, b):
    return mended(x, taps.flip(0), b)


@mistake("the matrices act from the wrong side: y = T x for a column is x @ T.T for a row.")
def taps_from_the_wrong_side(x, taps, b):
    return mended(x, taps.transpose(1, 2), b)


LEAK = Exercise(
    solution=mended,
    cases=(
        random_tensors(5, (1, 5, 2), (3, 2, 2), (2,)),
        random_tensors(6, (2, 4, 3), (2, 3, 3), (3,)),
    ),
    mistakes=(
        as_it_was,
        one_too_far_back,
        two_zeros_whatever_k,
        without_the_newest_tap,
        taps_turned_round,
        taps_from_the_wrong_side,
    ),
    title="A window that leaks",
    kind="find the bug",
    stars=2,
    minutes=6,
    hints=(
        "Take k = 3 and the first output. Which inputs ought to be in its window, and at which "
        "places of `padded` do they stand?",
        "With k zeros in front, x[:, t] stands at place t + k of `padded` (both counted from 0).",
        "The newest tap, number k - 1, must meet x[:, t] itself. At which place does its slice "
        "have to begin for t = 0?",
    ),
)


# 03.5 A sum of one number per film has learned three of four scores: which is the fourth?
# Rows: the film before; columns: the last film. Known: 4 and 1 in the first row, -1 below the 4.

FOURTH_SCORE = predicted(
    -4,
    [
        (1, "that would be right for people. But the sum has only one number for each film."),
        (-1, "the last film's number is another one in this column: compare the first row."),
        (4, "do not add up the three scores: each of them holds two numbers."),
        (6, "the sign: going down the first column, the score falls."),
        (-5, "that is by how much the score falls from the first row to the second."),
        (-3, "that is by how much the score falls from the first column to the second."),
        (0, "a sum cannot stay silent here: its two numbers are fixed by the other three scores."),
    ],
    title="What a sum has to say",
    kind="derive",
    stars=1,
    minutes=4,
    hints=(
        "Only the film before differs between the two scores of the first column. What does that "
        "say about the numbers of the two films before?",
        "The second column has the same two films before, so its scores differ by as much.",
    ),
)


# 03.6 A causal convolution with holes. taps: [k, d, d], the oldest input's matrix first.


def dilated(x, taps, b, dilation):
    return dilated_from(x, taps, b, dilation, left=(len(taps) - 1) * dilation)


def dilated_from(x, taps, b, dilation, left):
    """Start the window `left` positions before each position."""
    parts = [mapped_by(matrix) for matrix in taps]
    return b + sliding_sum(x, parts, step=dilation, left=left)


def mapped_by(matrix):
    return lambda inputs: inputs @ matrix.T


@mistake(
    "that is the window without holes. Neighbouring matrices meet inputs `dilation` positions "
    "apart."
)
def without_holes(x, taps, b, dilation):
    return dilated(x, taps, b, 1)


@mistake("the order is turned round: taps[0] meets the oldest input, taps[-1] the position itself.")
def matrices_turned_round(x, taps, b, dilation):
    return dilated(x, taps.flip(0), b, dilation)


@mistake(
    "there are k - 1 zeros in front, as without holes, so a window reaches into the future. It is "
    "(k - 1) * dilation inputs long."
)
def too_few_zeros(x, taps, b, dilation):
    return dilated_from(x, taps, b, dilation, left=len(taps) - 1)


@mistake(
    "with k * dilation zeros in front every window ends `dilation` positions too early. The "
    "position itself is one of the k inputs."
)
def one_step_too_far_back(x, taps, b, dilation):
    return dilated_from(x, taps, b, dilation, left=len(taps) * dilation)


@mistake("the matrices act from the wrong side: y = T x for a column is x @ T.T for a row.")
def from_the_wrong_side(x, taps, b, dilation):
    return dilated(x, taps.transpose(1, 2), b, dilation)


@mistake(
    "with `dilation` 1 there is no hole: the inputs stand `dilation` positions apart, not "
    "`dilation` + 1."
)
def one_hole_too_many(x, taps, b, dilation):
    return dilated(x, taps, b, dilation + 1)


DILATED = Exercise(
    solution=dilated,
    cases=(
        (*random_tensors(2, (2, 9, 3), (3, 3, 3), (3,)), 2),
        (*random_tensors(3, (1, 4, 2), (2, 2, 2), (2,)), 3),
        (*random_tensors(4, (2, 5, 2), (3, 2, 2), (2,)), 1),
    ),
    mistakes=(
        without_holes,
        matrices_turned_round,
        too_few_zeros,
        one_step_too_far_back,
        from_the_wrong_side,
        one_hole_too_many,
    ),
    title="A window with holes",
    kind="extend",
    stars=2,
    minutes=8,
    hints=(
        "With holes a window is (k - 1) * dilation + 1 positions long. So how many zeros stand in "
        "front of a causal one?",
        "The slices of neighbouring taps begin `dilation` places apart.",
    ),
)

EXERCISES = {
    "03.1": ZEROS,
    "03.2": DEPTHWISE,
    "03.3": FURTHEST_OF_A_SANDWICH,
    "03.4": LEAK,
    "03.5": FOURTH_SCORE,
    "03.6": DILATED,
}
