"""Temporal convolution, a weighted sum of neighbours in time (Eqs. 5 and 8, notebook 03). B batch, N positions, d width, k kernel size, r reach ahead."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class TemporalConv(nn.Module):
    """y_n = bias + sum_i W_i x_{n + i - left}, i = 0 .. k - 1, with zeros beyond both ends of the sequence (Eq. 5, notebook 03).

    centred: left = r = (k - 1) / 2, k must be odd; causal: left = k - 1, r = 0. full: W_i is a d x d matrix; depthwise: one number per channel. The weight
    is nn.Conv1d's, [d, d, k] or [d, 1, k], as is its initialisation. Whoever runs a centred one over padded rows sets their padding to 0 first.
    """

    def __init__(
        self, d_model: int, kernel_size: int = 3, *, depthwise: bool = False, causal: bool = False
    ):
        super().__init__()
        if kernel_size < 1 or (kernel_size % 2 == 0 and not causal):
            raise ValueError(
                f"kernel_size must be {'at least 1' if causal else 'odd and at least 1: a centred window has a middle'}; got {kernel_size}."
            )
        self.kernel_size, self.depthwise, self.causal = kernel_size, depthwise, causal
        self.reach = 0 if causal else (kernel_size - 1) // 2  # how many positions ahead it sees
        conv = nn.Conv1d(d_model, d_model, kernel_size, groups=d_model if depthwise else 1)
        self.weight, self.bias = conv.weight, conv.bias

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, N, d] -> [B, N, d]."""
        padded = F.pad(x.transpose(1, 2), (self.kernel_size - 1 - self.reach, self.reach))
        return F.conv1d(
            padded, self.weight, self.bias, groups=x.shape[2] if self.depthwise else 1
        ).transpose(1, 2)

    def ends(self, x: Tensor) -> Tensor:
        """The last r + 1 outputs of every prefix, [r + 1, B, N, d]: [m, :, t] is what `forward` on x[:, :t + 1] gives at position t - r + m (notebook 07).

        Only these see where the prefix ends. For t < r - m the entry means nothing. Full and centred convolutions only. x: [B, N, d].
        """
        if self.depthwise or self.causal:
            raise NotImplementedError(
                "ends is written for full, centred convolutions; this one is depthwise or causal."
            )
        r, n = self.reach, x.shape[1]
        taps = F.linear(x, self.weight.permute(2, 0, 1).flatten(0, 1)).unflatten(
            -1, (self.kernel_size, -1)
        )  # every W_i x_n, once
        before = [F.pad(taps[:, :, i], (0, 0, 2 * r, 0)) for i in range(self.kernel_size)]
        # at position t - r + m, tap i meets x at t - 2r + m + i: m taps of the window fall beyond the prefix's end
        return torch.stack(
            [
                self.bias
                + sum(before[i][:, m + i : m + i + n] for i in range(self.kernel_size - m))
                for m in range(r + 1)
            ]
        )

    def at_end(self, ends: Tensor) -> Tensor:
        """The output at the last position of a prefix, [..., d], from its last r + 1 inputs [r + 1, ..., d], zeros where there is none (notebook 07)."""
        r = self.reach
        return F.linear(
            torch.cat(tuple(ends), dim=-1),
            self.weight[:, :, : r + 1].permute(0, 2, 1).flatten(1),
            self.bias,
        )
