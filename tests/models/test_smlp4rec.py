"""SMLP4Rec beside a loop; what it promises as every model does is in test_contract.py."""

import contract
import torch
from hypothesis import given
from hypothesis.strategies import integers
from torch.nn import functional as F

CLOSE = {"rtol": 0, "atol": 1e-10}


@given(
    length=integers(1, 9), max_len=integers(1, 7), n_layers=integers(1, 2), seed=integers(0, 10**6)
)
def test_it_mixes_the_last_items_position_by_position_and_channel_by_channel(
    length, max_len, n_layers, seed
):
    model = contract.random_model("smlp4rec", {"max_len": max_len, "n_layers": n_layers}, seed)
    items = contract.random_items(seed, [length])
    x = torch.zeros(max_len, 8, dtype=torch.float64)
    seen = items[0, -max_len:]
    x[max_len - len(seen) :] = model.item_embedding.weight[seen]
    for layer in model.layers:
        x = F.layer_norm(x, (8,), layer.norm.weight, layer.norm.bias)
        x[: max_len - len(seen)] = 0
        (w1, w2), (c1, c2) = (
            (part[0].weight, part[3].weight) for part in (layer.sequence, layer.channels)
        )
        along = torch.stack([w2 @ F.gelu(w1 @ x[:, c]) for c in range(8)], dim=1)
        x = along + torch.stack([c2 @ F.gelu(c1 @ x[t]) for t in range(max_len)])
    expected = F.layer_norm(x[-1], (8,), model.norm.weight, model.norm.bias, 1e-12)
    torch.testing.assert_close(model.last(items)[0], expected, **CLOSE)


def test_the_oldest_item_in_view_has_a_say_and_the_one_before_it_none():
    model = contract.random_model("smlp4rec", {"max_len": 3}, 0)
    last = model.last(torch.tensor([[1, 2, 3, 4]]))
    assert torch.equal(last, model.last(torch.tensor([[9, 2, 3, 4]])))
    assert (last - model.last(torch.tensor([[1, 9, 3, 4]]))).abs().max() > 1e-6
