"""Temporal convolution, a weighted sum of neighbours in time (Eqs. 5 and 8, notebook 03).

B : batch
N : positions
d : model width
k : kernel size, the number of inputs in a window
r : reach, the number of positions that a window looks ahead
x : the input, [B, N, d]
T_i : tap i, the weights that meet the i-th input of the window, i = 0 .. k - 1
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class TemporalConv(nn.Module):
    """Replace each position by a weighted sum of the window around it.

    y_n = bias + sum_i T_i x_{n - left + i}, i = 0 .. k - 1, with zeros beyond both ends of the
    sequence.

    A centred window has as many inputs before n as after it: left = r = (k - 1) / 2, so k must be
    odd. A causal window ends at n: left = k - 1 and r = 0. Whoever runs a centred one over padded
    rows sets their padding to 0 first.

    Parameters
    ----------
    d_model : int
        Width of inputs and outputs.
    kernel_size : int
        k, the number of inputs in a window.
    depthwise : bool
        Whether each channel has a convolution of its own, T_i being one number per channel.
        Otherwise T_i is a d x d matrix.
    causal : bool
        Whether the window ends at its position instead of being centred on it.

    Attributes
    ----------
    weight, bias : nn.Parameter
        Those of nn.Conv1d, initialised as it does: [d, d, k], or [d, 1, k] if depthwise; and [d].
    reach : int
        r, the number of positions that a window looks ahead.

    Raises
    ------
    ValueError
        If kernel_size is below 1, or even for a centred window.

    References
    ----------
    GLINT-RU, Eqs. 5 and 8; derived in notebook 03. The forms for every prefix at once, `ends` and
    `at_end`, are derived in notebook 08.
    """

    def __init__(
        self,
        d_model: int,
        kernel_size: int = 3,
        *,
        depthwise: bool = False,
        causal: bool = False,
    ):
        super().__init__()
        if causal and kernel_size < 1:
            raise ValueError(f"kernel_size must be at least 1; got {kernel_size}.")
        if not causal and (kernel_size < 1 or kernel_size % 2 == 0):
            raise ValueError(
                "kernel_size must be odd and at least 1: a centred window has a middle; "
                f"got {kernel_size}."
            )
        self.kernel_size = kernel_size
        self.depthwise = depthwise
        self.causal = causal
        self.reach = 0 if causal else (kernel_size - 1) // 2
        self.groups = d_model if depthwise else 1  # PyTorch's word for channels kept apart

        # PyTorch's layer only makes the parameters; `forward` lays the zeros itself, because
        # nn.Conv1d knows no padding on one side only.
        made = nn.Conv1d(d_model, d_model, kernel_size, groups=self.groups)
        self.weight = made.get_parameter("weight")
        self.bias = made.get_parameter("bias")

    def forward(self, x: Tensor) -> Tensor:
        """Convolve each row along its positions, [B, N, d] -> [B, N, d]."""
        left = self.kernel_size - 1 - self.reach
        channels_first = x.transpose(1, 2)  # [B, d, N], as PyTorch's convolutions want it
        padded = F.pad(channels_first, (left, self.reach))
        y = F.conv1d(padded, self.weight, self.bias, groups=self.groups)
        return y.transpose(1, 2)

    def step(self, inputs: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Read one more position, x [B, d], after the k - 1 before it, inputs [B, k - 1, d].

        Returns what `forward` gives there, [B, d], and the inputs for the next step. Causal,
        depthwise convolutions only.
        """
        if not (self.causal and self.depthwise):
            raise NotImplementedError(
                "step is written for causal, depthwise convolutions; this one is centred or full."
            )
        window = torch.cat([inputs, x[:, None]], dim=1)  # [B, k, d]
        taps = self.weight[:, 0].T  # [k, d]
        y = (window * taps).sum(1) + self.bias
        return y, window[:, 1:]

    def ends(self, x: Tensor) -> Tensor:
        """Return the last r + 1 outputs of every prefix, [B, N, d] -> [r + 1, B, N, d].

        ends[m, :, t] is what `forward` on x[:, :t + 1] gives at position t - r + m, so that
        ends[0] has the complete windows and ends[r] those at the very end of each prefix. Earlier
        outputs do not see where the prefix ends and are the same for all. Where t < r - m there
        is no such position and the entry means nothing. Full, centred convolutions only
        (notebook 08).
        """
        if self.depthwise or self.causal:
            raise NotImplementedError(
                "ends is written for full, centred convolutions; this one is depthwise or causal."
            )
        k = self.kernel_size
        r = self.reach
        n_positions = x.shape[1]

        # All products T_i x_n, once, by a single matrix product: the k matrices stacked.
        stacked = self.weight.permute(2, 0, 1).flatten(0, 1)  # [k d, d]
        products = F.linear(x, stacked)
        products = products.unflatten(-1, (k, -1))  # [B, N, k, d]

        # 2r zeros in front of each tap's products: the product of x_n now stands at n + 2r.
        shifted = []
        for i in range(k):
            padded = F.pad(products[:, :, i], (0, 0, 2 * r, 0))
            shifted.append(padded)  # [B, 2r + N, d]

        # In the window at t - r + m, tap i meets position t - 2r + m + i: its product stands at
        # t + m + i. It lies within the prefix, not after t, where i <= 2r - m: the last m of the
        # k = 2r + 1 taps fall away. Which ones does not depend on t, so all t go together.
        outputs = []
        for m in range(r + 1):
            total = shifted[0][:, m : m + n_positions]
            for i in range(1, k - m):
                first = m + i
                total = total + shifted[i][:, first : first + n_positions]
            outputs.append(self.bias + total)
        return torch.stack(outputs)

    def at_end(self, inputs: Tensor) -> Tensor:
        """Return the output at the end of a prefix, from its last r + 1 inputs (notebook 08).

        inputs: [r + 1, ..., d], oldest first, zeros where the prefix is shorter. Returns
        [..., d].
        """
        # The taps after the first r + 1 would meet what comes after the prefix: zeros.
        taps = self.weight[:, :, : self.reach + 1]
        weight = taps.permute(0, 2, 1).flatten(1)  # [d, (r + 1) d], tap by tap side by side
        side_by_side = torch.cat(tuple(inputs), dim=-1)  # [..., (r + 1) d]
        return F.linear(side_by_side, weight, self.bias)


class NoConv(nn.Module):
    """Stand in the place of a TemporalConv that is left out: y = x.

    It answers everything that the layers ask of a TemporalConv, as one with a window of a single
    position and the weight 1 would. So a layer is written once, with or without its convolution.
    """

    kernel_size = 1
    reach = 0

    def forward(self, x: Tensor) -> Tensor:
        """Return x as it is, [B, N, d]."""
        return x

    def step(self, inputs: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return x as it is, [B, d], and the inputs for the next step, none: [B, 0, d]."""
        return x, inputs

    def ends(self, x: Tensor) -> Tensor:
        """Return the last output of every prefix, its last input: [B, N, d] -> [1, B, N, d]."""
        return x[None]

    def at_end(self, inputs: Tensor) -> Tensor:
        """Return the last input of a prefix, [1, ..., d] -> [..., d]."""
        return inputs[0]


def last_inputs(x: Tensor, lengths: Tensor, count: int) -> Tensor:
    """Return the inputs that a stream keeps after a part of each row.

    Parameters
    ----------
    x : Tensor
        Whole rows, [B, N, d].
    lengths : Tensor
        How many positions of each row have been read, Long[B], 0 .. N.
    count : int
        How many inputs to keep, for example the k - 1 that a causal convolution reads again.

    Returns
    -------
    Tensor
        x[b, lengths[b] - count : lengths[b]] for every row b, with zeros where the row has
        nothing before its first position; [B, count, d].
    """
    rows = torch.arange(len(x), device=x.device)
    padded = F.pad(x, (0, 0, count, 0))
    windows = padded.unfold(1, count, 1)  # [B, N + 1, d, count]: at n, what stands before x_n
    return windows[rows, lengths].mT
