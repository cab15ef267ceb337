"""The exercises of notebook 03: zeros for a window, a depthwise convolution, what a stack of layers sees, a window with holes."""

import torch

from minirec.exercises import Exercise


def _random(seed, *shapes):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in shapes)


def _sliding(x, taps, bias, step, left):
    """Sum over i of taps[i](x at n + i * step - left), with zeros beyond both ends; x: [B, N, d]."""
    n_positions, reach = x.shape[1], (len(taps) - 1) * step
    padded = torch.cat(
        [
            torch.zeros_like(x[:, :1]).expand(-1, left, -1),
            x,
            torch.zeros_like(x[:, :1]).expand(-1, max(0, reach - left), -1),
        ],
        dim=1,
    )
    return bias + sum(
        tap(padded[:, i * step : i * step + n_positions]) for i, tap in enumerate(taps)
    )


def _depthwise(x, w, b, left=None):
    """w: [d, k], the oldest input's weights first."""
    return _sliding(
        x,
        [lambda part, i=i: part * w[:, i] for i in range(w.shape[1])],
        b,
        1,
        w.shape[1] - 1 if left is None else left,
    )


def _wrapped(x, w, b):
    k = w.shape[1]
    return b + sum(torch.roll(x, k - 1 - i, dims=1) * w[:, i] for i in range(k))


def _dilated(x, W, b, dilation, left=None):
    """W: [k, d, d], the oldest input's matrix first."""
    left = (len(W) - 1) * dilation if left is None else left
    return _sliding(
        x, [lambda part, matrix=matrix: part @ matrix.T for matrix in W], b, dilation, left
    )


ZEROS = Exercise(
    solution=lambda k, causal: (k - 1, 0) if causal else ((k - 1) // 2, (k - 1) // 2),
    cases=((3, False), (3, True), (5, False), (4, True), (1, True), (7, False), (2, True)),
    mistakes=(
        (
            lambda k, causal: ((k - 1) // 2, (k - 1) // 2),
            "both are centred: half of the window lies to the right of the position. A causal window ends at the position itself.",
        ),
        (
            lambda k, causal: (0, k - 1) if causal else ((k - 1) // 2, (k - 1) // 2),
            "the causal zeros are at the wrong end. The first position has no past, so the zeros stand on the left.",
        ),
        (
            lambda k, causal: (k, 0) if causal else (k // 2, k // 2),
            "one too many when causal: of the k inputs in the window one is the position itself, so at most k - 1 are missing.",
        ),
        (
            lambda k, causal: (k - 1, 0) if causal else (k - 1, k - 1),
            "that many zeros at both ends give k - 1 outputs too many. A centred window has only half of its k - 1 neighbours on each side.",
        ),
    ),
)

DEPTHWISE = Exercise(
    solution=_depthwise,
    cases=(_random(0, (2, 6, 3), (3, 3), (3,)), _random(1, (1, 2, 2), (2, 4), (2,))),
    mistakes=(
        (
            lambda x, w, b: _depthwise(x, w.flip(1), b),
            "the kernel is turned round: w[:, 0] meets the oldest input of the window, w[:, -1] the position itself.",
        ),
        (
            lambda x, w, b: _depthwise(x, w, b, left=(w.shape[1] - 1) // 2),
            "that is the centred one: it sees ahead. All k - 1 zeros belong in front.",
        ),
        (
            _wrapped,
            "the end of the sequence comes in at its beginning: torch.roll wraps round. Zeros must come in.",
        ),
        (lambda x, w, b: _depthwise(x, w, 0 * b), "the bias is missing."),
        (
            lambda x, w, b: _depthwise(x.sum(-1, keepdim=True).expand_as(x), w, b),
            "you summed over the channels, which is what a full convolution does. Each channel meets its own weights and no other channel.",
        ),
    ),
)

STACK = Exercise(
    solution=lambda k, n_layers: (1 + n_layers * (k - 1), n_layers * (k - 1) // 2),
    cases=((3, 1), (3, 2), (5, 3), (1, 4), (7, 2)),
    mistakes=(
        (
            lambda k, n_layers: (k**n_layers, (k**n_layers - 1) // 2),
            "windows do not multiply: neighbouring windows overlap in all but one input, so each layer adds k - 1.",
        ),
        (
            lambda k, n_layers: (k * n_layers, n_layers * (k - 1) // 2),
            "each layer adds k - 1 inputs, not k: the position itself was already seen.",
        ),
        (
            lambda k, n_layers: (1 + n_layers * (k - 1), (k - 1) // 2),
            "the first number is right. The look ahead adds up too: what one layer sees ahead has itself looked ahead.",
        ),
        (
            lambda k, n_layers: (1 + n_layers * (k - 1), n_layers * (k - 1)),
            "the first number is right. Of the k - 1 neighbours in a centred window only half lie ahead.",
        ),
    ),
)

DILATED = Exercise(
    solution=_dilated,
    cases=(
        (*_random(2, (2, 9, 3), (3, 3, 3), (3,)), 2),
        (*_random(3, (1, 4, 2), (2, 2, 2), (2,)), 3),
        (*_random(4, (2, 5, 2), (3, 2, 2), (2,)), 1),
    ),
    mistakes=(
        (
            lambda x, W, b, dilation: _dilated(x, W, b, 1),
            "that is the window without holes. Neighbouring matrices meet inputs `dilation` positions apart.",
        ),
        (
            lambda x, W, b, dilation: _dilated(x, W.flip(0), b, dilation),
            "the order is turned round: W[0] meets the oldest input, W[-1] the position itself.",
        ),
        (
            lambda x, W, b, dilation: _dilated(x, W, b, dilation, left=len(W) - 1),
            "there are k - 1 zeros in front, as without holes, so a window reaches into the future. It is (k - 1) * dilation inputs long.",
        ),
        (
            lambda x, W, b, dilation: _dilated(x, W.transpose(1, 2), b, dilation),
            "the matrices act from the wrong side: y = W x for a column is x @ W.T for a row.",
        ),
        (
            lambda x, W, b, dilation: _dilated(x, W, b, dilation + 1),
            "with `dilation` 1 there is no hole: the inputs stand `dilation` positions apart, not `dilation` + 1.",
        ),
    ),
)

EXERCISES = {"03.1": ZEROS, "03.2": DEPTHWISE, "03.3": STACK, "03.4": DILATED}
