"""Caser (Tang and Wang, 2018): convolutions over the last items, taken as an image.

The embeddings of the last L items, one below the other, are a picture with L rows and d columns.
Horizontal filters look for patterns of several items in a row, wherever in the picture they
stand; vertical filters are weighted sums over the L positions, so that an item two steps ago can
count for more than the last one.

Where others differ:

- The paper has a free vector for each user beside the convolutions' output, and so have its
  released code and RecBole. The contract's rows carry no user, so ours has none. What a user likes
  in the long run is then known only as far as the last L items tell, which costs accuracy where
  tastes last and most users are known from training. In return it serves users never seen before.
- L is 5 in the released code. RecBole takes the whole row of `max_len` items for the picture and
  has filters of every height up to it, so their weights grow with its square; its own comment
  advises a short row. Ours reads 5 items by default, whatever the row's length.
- Shorter histories are filled up with zero vectors above the first item. The released code puts a
  vector there that is trained like an item's. RecBole fills up below the last item, so that the
  newest one has no row of its own, with a vector that stays about as it was drawn.
- The paper scores with a second table of item vectors and a bias for each item, as ours. RecBole
  maps the output once more, through a ReLU, and scores with the table that is read.
- The paper asks for the next T items and contrasts each with sampled ones; RecBole and ours ask for
  the next one among all. Both codes penalise large weights and ours does not; RecBole's penalty on
  the horizontal filters starts at 0 and is only ever multiplied, so it stays 0.

B batch, N positions, L window, h height of a filter, d model width, V items.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minirec.models.base import NeuralRecommender


class Caser(NeuralRecommender):
    """Convolutions over the last L items, dropout, and one fully connected layer.

    With E [L, d] the embeddings of the last L items of a prefix:

        horizontal   o_k = max over i of ReLU(<F_k, E[i : i + h]> + b_k),   for each height h
        vertical     v_k = sum over l of G_k[l] E[l] + c_k,                 [d]
        z            ReLU(W [v_1 .. ; o_1 ..] + b),                         [d]
        score of j   <W'_j, z> + b'_j

    The bias b'_j is the last number of item j's output vector, and meets a 1 at the end of the
    representation; so both are one longer than d.

    Parameters
    ----------
    n_items : int
        Number of items V.
    d_model : int
        Width d of embeddings.
    window : int
        How many of the last items a position reads, L; also the number of filter heights.
    n_horizontal : int
        Horizontal filters of each height 1 .. L.
    n_vertical : int
        Vertical filters.
    dropout : float
        Share of the convolutions' outputs left out while training.
    max_len : int
        How many of the last items it is given; of these each position reads the last L.

    Raises
    ------
    ValueError
        If a size is below 1.

    References
    ----------
    Tang and Wang (2018), Personalized top-N sequential recommendation via convolutional sequence
    embedding, WSDM.
    """

    name = "caser"

    def __init__(
        self,
        n_items: int,
        *,
        d_model: int = 64,
        window: int = 5,
        n_horizontal: int = 16,
        n_vertical: int = 4,
        dropout: float = 0.2,
        max_len: int = 50,
    ):
        super().__init__(n_items, d_model, max_len)
        if window < 1 or n_horizontal < 1 or n_vertical < 1:
            raise ValueError(
                "window, n_horizontal and n_vertical must be at least 1; got "
                f"{window}, {n_horizontal} and {n_vertical}."
            )
        self.window = window
        self.n_horizontal = n_horizontal
        self.n_vertical = n_vertical

        # A horizontal filter is as wide as the picture, so it moves in one direction only.
        heights = range(1, window + 1)
        self.horizontal = nn.ModuleList(nn.Conv1d(d_model, n_horizontal, h) for h in heights)
        self.vertical = nn.Linear(window, n_vertical)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(n_vertical * d_model + n_horizontal * window, d_model)
        self.output_embedding = nn.Embedding(n_items + 1, d_model + 1, padding_idx=0)

        # As released: both tables begin small, the biases at 0.
        nn.init.normal_(self.item_embedding.weight[1:], std=1 / d_model)
        nn.init.normal_(self.output_embedding.weight[1:, :-1], std=1 / d_model)
        nn.init.zeros_(self.output_embedding.weight[:, -1])

    def encode(self, items: Tensor) -> Tensor:
        """Represent every prefix: items [B, N] -> [B, N, d + 1]; t has read its last L items."""
        x = self.item_embedding(items)
        x = F.pad(x, (0, 0, self.window - 1, 0))  # L - 1 zero vectors before the first item
        features = torch.cat([self._vertical(x), self._horizontal(x)], dim=-1)
        z = F.relu(self.output(self.dropout(features)))
        return F.pad(z, (0, 1), value=1.0)  # the 1 meets the items' biases

    def _vertical(self, x: Tensor) -> Tensor:
        """Sum over each window's positions: x [B, N + L - 1, d] -> [B, N, d n_vertical]."""
        windows = x.unfold(1, self.window, 1)  # [B, N, d, L]
        return self.vertical(windows).flatten(2)

    def _horizontal(self, x: Tensor) -> Tensor:
        """Find each filter's best place in each window: x as above -> [B, N, L n_horizontal].

        Neighbouring windows share their rows, so each filter runs over the whole sequence once. A
        window has L - h + 1 places for a filter of height h; the largest output over them counts.
        """
        columns = x.transpose(1, 2)  # [B, d, N + L - 1]
        best = []
        for height, convolution in enumerate(self.horizontal, start=1):
            found = F.relu(convolution(columns))  # [B, n_horizontal, N + L - h]
            places = self.window - height + 1
            best.append(F.max_pool1d(found, places, stride=1))  # [B, n_horizontal, N]
        return torch.cat(best, dim=1).transpose(1, 2)

    def output_weights(self) -> Tensor:
        """Return what is scored, [V + 1, d + 1]: row i is item i's vector and its bias."""
        return self.output_embedding.weight

    def multiply_adds(self, n: int) -> int:
        """Return the multiply-adds of a row of n items through the layers, without item scores."""
        d = self.d_model
        horizontal = 0
        for height in range(1, self.window + 1):
            n_places = n + self.window - height
            horizontal += n_places * self.n_horizontal * height * d
        vertical = n * self.n_vertical * self.window * d
        output = n * (self.n_vertical * d + self.n_horizontal * self.window) * d
        return horizontal + vertical + output
