"""SMLP4Rec beside a loop; what it promises as every model does is in test_contract.py."""

import contract
import torch
from hypothesis import given
from hypothesis.strategies import integers
from torch.nn import functional as F

CLOSE = {"rtol": 0, "atol": 1e-10}
D_MODEL = contract.SMALL["d_model"]


def perceptron(part, vector):
    """The mixer's perceptron `part` on one vector, its two weights written out."""
    widen = part[0].weight
    narrow = part[3].weight
    return narrow @ F.gelu(widen @ vector)


@given(
    length=integers(1, 9), max_len=integers(1, 7), n_layers=integers(1, 2), seed=integers(0, 10**6)
)
def test_it_mixes_the_last_items_position_by_position_and_channel_by_channel(
    length, max_len, n_layers, seed
):
    model = contract.random_model("smlp4rec", {"max_len": max_len, "n_layers": n_layers}, seed)
    items = contract.random_items(seed, [length])
    seen = items[0, -max_len:]
    n_padding = max_len - len(seen)
    x = torch.zeros(max_len, D_MODEL, dtype=torch.float64)
    x[n_padding:] = model.item_embedding.weight[seen]

    for layer in model.layers:
        x = F.layer_norm(x, (D_MODEL,), layer.norm.weight, layer.norm.bias)
        x[:n_padding] = 0
        by_channel = [perceptron(layer.sequence, x[:, c]) for c in range(D_MODEL)]
        by_position = [perceptron(layer.channels, x[t]) for t in range(max_len)]
        x = torch.stack(by_channel, dim=1) + torch.stack(by_position)
    expected = F.layer_norm(x[-1], (D_MODEL,), model.norm.weight, model.norm.bias, 1e-12)
    torch.testing.assert_close(model.last(items)[0], expected, **CLOSE)


def test_the_oldest_item_in_view_has_a_say_and_the_one_before_it_none():
    model = contract.random_model("smlp4rec", {"max_len": 3}, 0)
    last = model.last(torch.tensor([[1, 2, 3, 4]]))
    out_of_view = model.last(torch.tensor([[9, 2, 3, 4]]))
    oldest_in_view = model.last(torch.tensor([[1, 9, 3, 4]]))
    assert torch.equal(last, out_of_view)
    assert (last - oldest_in_view).abs().max() > 1e-6
