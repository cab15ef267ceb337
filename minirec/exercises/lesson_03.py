"""The exercises of notebook 03: the convolution's zeros, one per channel, stacked, with holes.

x: [B, N, d], the inputs; b: [d], the bias; k the kernel size.
"""

import torch

from minirec.exercises.checker import Exercise, mistake
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
)


# 03.3 How many inputs a stack of centred layers sees, and how many of them lie ahead.


def stack(k, n_layers):
    return 1 + n_layers * (k - 1), n_layers * (k - 1) // 2


@mistake(
    "windows do not multiply: neighbouring windows overlap in all but one input, so each layer "
    "adds k - 1."
)
def multiplied(k, n_layers):
    return k**n_layers, (k**n_layers - 1) // 2


@mistake("each layer adds k - 1 inputs, not k: the position itself was already seen.")
def k_per_layer(k, n_layers):
    return k * n_layers, n_layers * (k - 1) // 2


@mistake(
    "the first number is right. The look ahead adds up too: what one layer sees ahead has itself "
    "looked ahead."
)
def ahead_of_one_layer(k, n_layers):
    return 1 + n_layers * (k - 1), (k - 1) // 2


@mistake(
    "the first number is right. Of the k - 1 neighbours in a centred window only half lie ahead."
)
def all_ahead(k, n_layers):
    return 1 + n_layers * (k - 1), n_layers * (k - 1)


STACK = Exercise(
    solution=stack,
    cases=((3, 1), (3, 2), (5, 3), (1, 4), (7, 2)),
    mistakes=(multiplied, k_per_layer, ahead_of_one_layer, all_ahead),
)


# 03.4 A causal convolution with holes. W: [k, d, d], the oldest input's matrix first.


def dilated(x, W, b, dilation):
    return dilated_from(x, W, b, dilation, left=(len(W) - 1) * dilation)


def dilated_from(x, W, b, dilation, left):
    """Start the window `left` positions before each position."""
    parts = [mapped_by(matrix) for matrix in W]
    return b + sliding_sum(x, parts, step=dilation, left=left)


def mapped_by(matrix):
    return lambda inputs: inputs @ matrix.T


@mistake(
    "that is the window without holes. Neighbouring matrices meet inputs `dilation` positions "
    "apart."
)
def without_holes(x, W, b, dilation):
    return dilated(x, W, b, 1)


@mistake("the order is turned round: W[0] meets the oldest input, W[-1] the position itself.")
def matrices_turned_round(x, W, b, dilation):
    return dilated(x, W.flip(0), b, dilation)


@mistake(
    "there are k - 1 zeros in front, as without holes, so a window reaches into the future. It is "
    "(k - 1) * dilation inputs long."
)
def too_few_zeros(x, W, b, dilation):
    return dilated_from(x, W, b, dilation, left=len(W) - 1)


@mistake("the matrices act from the wrong side: y = W x for a column is x @ W.T for a row.")
def from_the_wrong_side(x, W, b, dilation):
    return dilated(x, W.transpose(1, 2), b, dilation)


@mistake(
    "with `dilation` 1 there is no hole: the inputs stand `dilation` positions apart, not "
    "`dilation` + 1."
)
def one_hole_too_many(x, W, b, dilation):
    return dilated(x, W, b, dilation + 1)


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
)

EXERCISES = {"03.1": ZEROS, "03.2": DEPTHWISE, "03.3": STACK, "03.4": DILATED}
