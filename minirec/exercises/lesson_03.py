"""The exercises of notebook 03: zeros, depthwise, what an output sees, a leak, windows with holes.

x: [B, N, d], the inputs; b: [d], the bias; k the kernel size.
"""

import torch

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
    minutes=5,
    hints=(
        "Write down the positions in the window of the very first output. Which do not exist?",
        "A window holds k inputs, and one of them is the position itself. So k - 1 others have to "
        "be found to its left and to its right.",
        "Causal: all of the k - 1 others are older. Centred: half of them are.",
    ),
)


# 03.2 A causal depthwise convolution. w: [d, k], the oldest input's weights first.


def sliding_sum(x, parts, step, left):
    """Sum over i of parts[i](x at position n + i * step - left), zeros beyond both ends."""
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
        random_tensors(1, (1, 2, 2), (2, 4), (2,)),
    ),
    mistakes=(turned_round, centred, wrapped, without_bias, over_all_channels),
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


# 03.3 Read from a figure of what the outputs see: the kernel size, and the places left of n.

WINDOW_OF_A_FIGURE = predicted(
    (4, 2),
    [
        ((4, 1), "the kernel size is right. Count the inputs with a smaller number than n."),
        ((4, 3), "the kernel size is right. A window with 3 places left of n would be causal."),
        ((3, 1), "take a row away from the ends: there the window meets no zeros."),
        ((3, 2), "take a row away from the ends, and count all shaded cells in it."),
        ((2, 2), "the position itself is in the window too, and so is one that comes later."),
        ((2, 4), "first the kernel size, then how many places lie to the left."),
    ],
    title="Which window is it?",
    kind="read a figure",
    stars=1,
    minutes=4,
    hints=(
        "Go along one row, of an output in the middle: its shaded cells are the inputs it sees.",
        "In that row, which cell is the output's own position? The rest lies left or right of it.",
    ),
)


# 03.4 The furthest input that each of seven outputs hears of: convolution, GRU, convolution.

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


# 03.5 A causal convolution, full, that reads one input too many on the right.
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
        without_the_newest_tap,
        taps_turned_round,
        taps_from_the_wrong_side,
    ),
    title="A window that leaks",
    kind="find the bug",
    stars=2,
    minutes=8,
    hints=(
        "Take k = 3 and the first output. Which inputs ought to be in its window, and at which "
        "places of `padded` do they stand?",
        "With k zeros in front, input n (counted from 0) stands at place n + k of `padded`.",
        "The newest tap, number k - 1, must meet input n itself. At which place does its slice "
        "have to begin for n = 0?",
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
        from_the_wrong_side,
        one_hole_too_many,
    ),
    title="A window with holes",
    kind="extend",
    stars=3,
    minutes=25,
    hints=(
        "With holes a window is (k - 1) * dilation + 1 positions long. So how many zeros stand in "
        "front of a causal one?",
        "The slices of neighbouring taps begin `dilation` places apart.",
        "For the open part, give `WindowRecommender` an `nn.Sequential` of your two layers in the "
        "place of its convolution.",
    ),
)

EXERCISES = {
    "03.1": ZEROS,
    "03.2": DEPTHWISE,
    "03.3": WINDOW_OF_A_FIGURE,
    "03.4": FURTHEST_OF_A_SANDWICH,
    "03.5": LEAK,
    "03.6": DILATED,
}
