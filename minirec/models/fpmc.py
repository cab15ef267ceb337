"""FPMC (Rendle et al., 2010): what a user likes, plus what follows the last item, both factorised.

A matrix factorisation scores items for a user, a factorised Markov chain scores them after the last
item, and the two scores are added:

    score(u, l, i) = <v_u^UI, v_i^IU> + <v_l^LI, v_i^IL>

    v_u^UI : the user's taste
    v_i^IU : item i, as what such a taste looks for
    v_l^LI : the last item l
    v_i^IL : item i, as what follows such an item

Where others differ: the paper and RecBole's code learn a free vector v_u^UI for each user. Models
here see a row of items and no user id, so that they serve new users, and users who have gone on.
In the place of the free vector stands the mean of vectors of the items that the user has had, as in
FISM (Kabbur et al., 2013) and Fossil (He and McAuley, 2016). It may cost what a user's vector could
learn beyond those items. It may also gain: where users have few items, a free vector has little to
learn from, and it does not move when the user does. The numbers of the two are not comparable as
those of one model.

The paper's last basket is one item here, as in RecBole. Both train on pairs of a target and one
sampled item (BPR), the paper with an L2 penalty; here training is by full softmax, as for every
other system. RecBole has no dropout and no penalty; here dropout of the vectors that are read takes
the penalty's place, and `dropout=0.0` is RecBole's choice.

B batch, N positions, V items, d width of each factor.
"""

import torch
from torch import Tensor, nn

from minirec.models.base import NeuralRecommender, hold_padded


class FPMC(NeuralRecommender):
    """The mean of the items' taste vectors beside the last item's vector, 2 d wide together.

    At position t the mean is over items[:, :t + 1], the last item included. `item_embedding` holds
    what an item says about a taste, `last_embedding` v^LI, and the two halves of `target_embedding`
    v^IU and v^IL, so that one inner product is the sum of both.

    Parameters
    ----------
    n_items : int
        Number of items V.
    d_model : int
        Width d of each of the four factors; representations are twice as wide.
    dropout : float
        Share of the values of the vectors that are read, left out while training.
    max_len : int
        How many of the last items it reads.

    Raises
    ------
    ValueError
        If a size is below 1.

    References
    ----------
    Rendle, Freudenthaler and Schmidt-Thieme, "Factorizing personalized Markov chains for
    next-basket recommendation", WWW 2010.
    """

    name = "fpmc"

    def __init__(
        self,
        n_items: int,
        *,
        d_model: int = 64,
        dropout: float = 0.2,
        max_len: int = 200,
    ):
        super().__init__(n_items, d_model, max_len)
        self.dropout = nn.Dropout(dropout)
        self.last_embedding = nn.Embedding(n_items + 1, d_model, padding_idx=0)
        self.target_embedding = nn.Embedding(n_items + 1, 2 * d_model, padding_idx=0)
        for table in (self.item_embedding, self.last_embedding, self.target_embedding):
            nn.init.xavier_normal_(table.weight[1:])

    def encode(self, items: Tensor) -> Tensor:
        """Represent every prefix: items [B, N] -> [B, N, 2 d]; t has read items[:, :t + 1]."""
        tastes = self.dropout(self.item_embedding(items))
        counts = torch.arange(1, items.shape[1] + 1, device=items.device)
        taste = tastes.cumsum(1) / counts[:, None]
        last = self.dropout(self.last_embedding(items))
        return torch.cat([taste, last], dim=-1)

    def output_weights(self) -> Tensor:
        """Return the embeddings that are scored, [V + 1, 2 d]: row i is v_i^IU, then v_i^IL."""
        return self.target_embedding.weight

    def init_state(self, batch_size: int) -> dict[str, Tensor]:
        """Return the state before the first item.

        Zeros: "total" [B, d], the sum of the taste vectors so far; "count" [B, 1], of how many;
        "last" [B, d], the last item's vector.
        """
        zeros = self.item_embedding.weight.new_zeros
        return {
            "total": zeros(batch_size, self.d_model),
            "count": zeros(batch_size, 1),
            "last": zeros(batch_size, self.d_model),
        }

    def step(self, state: dict[str, Tensor], items: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Read one more item per row, Long[B]; 0 leaves its row as it was.

        Returns the representations [B, 2 d] and the new state.
        """
        new = {
            "total": state["total"] + self.dropout(self.item_embedding(items)),
            "count": state["count"] + 1,
            "last": self.dropout(self.last_embedding(items)),
        }
        real = items > 0
        held = {name: hold_padded(real, part, state[name]) for name, part in new.items()}

        taste = held["total"] / held["count"].clamp_min(1)  # zeros where there was no item yet
        return torch.cat([taste, held["last"]], dim=-1), held

    def multiply_adds(self, n: int) -> int:
        """Return 0: it looks vectors up and averages them; all its products are item scores.

        Those have 2 d V multiply-adds per target, twice as many as other systems'.
        """
        return 0
