"""FMLP-Rec (Zhou et al., 2022): filters learned in the frequency domain, in place of attention.

A row is taken apart into waves, each wave of each channel is multiplied by a learned complex
number, and the row is put together again. By the convolution theorem this is a circular
convolution: each channel of a position becomes a weighted sum over the whole row, with the same
weights at every position, wrapped around at the ends.

Why the objective is "prefix": at the last of W positions nothing wraps, because its W weights reach
back just to the first one. Every other position wraps, and so reads items that follow it; only the
last one, which represents the row, has none to read. Rows are moved to the end of W = max_len
positions, so that neither the batch's width nor its padding matters.

Where others differ: in the released code, the positions before the first item are filtered like
items, and carry position embeddings and LayerNorm's bias, so that a short history is mostly made
of these; here they are set to 0 before every filter. There, training contrasts an item with one
sampled negative, on every prefix of the last 50 items, the empty one among them, and the reported
ranks are among 99 sampled items; here it is the softmax over all items, as for every system.

B batch, N positions, W the fixed length (max_len), F = W // 2 + 1 frequencies, d model width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minirec.models.base import NeuralRecommender, initialise, moved_to_the_end


class FourierFilter(nn.Module):
    """Multiply each frequency of each channel by a learned complex number.

    y = iFFT(w * FFT(x)) along the positions, which equals the circular convolution
    y_t = sum over s of k_s x_{(t - s) mod W}, with the kernel k = iFFT(w).

    A real row's spectrum is symmetric, so half of it is enough: F = W // 2 + 1 frequencies.

    Parameters
    ----------
    d_model : int
        Width d.
    max_len : int
        Fixed length W of the rows.
    """

    def __init__(self, d_model: int, max_len: int):
        super().__init__()
        self.max_len = max_len

        # The last dimension holds the real and the imaginary part. The spectrum of a real row is
        # real at frequency 0, and at the last one if W is even: there the imaginary part of the
        # weight has no effect.
        n_frequencies = max_len // 2 + 1
        self.weight = nn.Parameter(0.02 * torch.randn(n_frequencies, d_model, 2))

    def forward(self, x: Tensor) -> Tensor:
        """x: [B, W, d]. Returns [B, W, d]."""
        # There is no Fourier transform in bfloat16, in which autocast may hand over x, and in which
        # a model may be stored whole.
        dtype = torch.promote_types(self.weight.dtype, torch.float32)
        spectrum = torch.fft.rfft(x.to(dtype), dim=1)  # [B, F, d]
        filtered = spectrum * torch.view_as_complex(self.weight.to(dtype))
        y = torch.fft.irfft(filtered, n=self.max_len, dim=1)
        return y.to(self.weight.dtype)


class FilterLayer(nn.Module):
    """x' = LayerNorm(x + filter(x)), then LayerNorm(x' + W_2 GELU(W_1 x' + b_1) + b_2).

    Dropout on both branches. The second branch is four times as wide inside.

    Parameters
    ----------
    d_model : int
        Width d.
    max_len : int
        Fixed length W of the rows.
    dropout : float
        Share of values left out of both branches while training.
    """

    def __init__(self, d_model: int, max_len: int, dropout: float):
        super().__init__()
        self.filter = FourierFilter(d_model, max_len)
        self.filter_norm = nn.LayerNorm(d_model, eps=1e-12)
        self.widen = nn.Linear(d_model, 4 * d_model)
        self.narrow = nn.Linear(4 * d_model, d_model)
        self.norm = nn.LayerNorm(d_model, eps=1e-12)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, real: Tensor) -> Tensor:
        """x: [B, W, d]; real: Bool[B, W], False at padding. Returns [B, W, d]."""
        x = x * real[..., None]
        x = self.filter_norm(x + self.dropout(self.filter(x)))
        branch = self.narrow(F.gelu(self.widen(x)))
        return self.norm(x + self.dropout(branch))


class FMLPRec(NeuralRecommender):
    """LayerNorm(item + position embedding), dropout, then layers of filter and feed-forward.

    What stands at the last of W positions represents the row. Positions count from the end: the
    last item is always at position W - 1.

    Parameters
    ----------
    n_items : int
        Number of items.
    d_model : int
        Width d.
    n_layers : int
        Number of layers.
    dropout : float
        Share of values left out while training, of the embeddings and of both branches of a layer.
    max_len : int
        How many of the last items it reads, W.

    References
    ----------
    Zhou, Yu, Zhao and Wen (2022), Filter-enhanced MLP is all you need for sequential
    recommendation, WWW.
    """

    name = "fmlp-rec"
    objective = "prefix"

    def __init__(
        self,
        n_items: int,
        *,
        d_model: int = 64,
        n_layers: int = 2,
        dropout: float = 0.2,
        max_len: int = 50,
    ):
        super().__init__(n_items, d_model, max_len, n_layers)
        self.positions = nn.Embedding(max_len, d_model)
        self.norm = nn.LayerNorm(d_model, eps=1e-12)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(FilterLayer(d_model, max_len, dropout) for _ in range(n_layers))
        self.apply(initialise)
        nn.init.zeros_(self.item_embedding.weight[0])

    def last(self, items: Tensor) -> Tensor:
        """Represent each whole row: items [B, N] -> [B, d].

        Of a row longer than W, only its last W items count.
        """
        items = moved_to_the_end(items, self.max_len)
        x = self.item_embedding(items) + self.positions.weight
        x = self.dropout(self.norm(x))
        for layer in self.layers:
            x = layer(x, items > 0)
        return x[:, -1]

    def multiply_adds(self, n: int) -> int:
        """Return the multiply-adds of a row through the layers, without item scores.

        The same for every n: a row is filled up to W. The filters' Fourier transforms are no
        products of matrices and are not counted; they take about 5 W log2(W) operations for each
        channel of a layer.
        """
        feed_forward = 8 * self.d_model**2  # d to 4 d, and back
        return len(self.layers) * self.max_len * feed_forward
