"""SASRec, BERT4Rec and LinRec beside PyTorch's encoder layer and loops.

What they promise as every model does is in test_contract.py.
"""

import contract
import pytest
import torch
from hypothesis import given
from hypothesis.strategies import integers, lists, sampled_from
from torch import nn
from torch.nn import functional as F

from minirec.layers.attention import SoftmaxAttention
from minirec.models.transformer import TransformerLayer

pytestmark = pytest.mark.slow

CLOSE = {"rtol": 0, "atol": 1e-10}
D_MODEL = contract.SMALL["d_model"]


def theirs(layer: TransformerLayer, d_model: int, n_heads: int) -> nn.TransformerEncoderLayer:
    """PyTorch's encoder layer with the weights of ours."""
    other = nn.TransformerEncoderLayer(
        d_model,
        n_heads,
        dim_feedforward=4 * d_model,
        dropout=0.0,
        activation=F.gelu,
        layer_norm_eps=1e-12,
        batch_first=True,
    )
    other = other.double().eval()
    maps = [layer.attention.query, layer.attention.key, layer.attention.value]
    weights = {
        "self_attn.in_proj_weight": torch.cat([part.weight for part in maps]),
        "self_attn.in_proj_bias": torch.cat([part.bias for part in maps]),
    }
    for name, module in (
        ("self_attn.out_proj", layer.output),
        ("norm1", layer.norm),
        ("linear1", layer.feed_forward.widen),
        ("linear2", layer.feed_forward.narrow),
        ("norm2", layer.feed_forward.norm),
    ):
        weights[f"{name}.weight"] = module.weight
        weights[f"{name}.bias"] = module.bias
    other.load_state_dict(weights)
    return other


def embedded(model, items):
    """LayerNorm(item + position embedding), [B, N, d]."""
    x = model.item_embedding.weight[items] + model.positions.weight[: items.shape[1]]
    return F.layer_norm(x, (D_MODEL,), model.norm.weight, model.norm.bias, 1e-12)


@pytest.mark.parametrize("name", ["sasrec", "bert4rec"])
@given(
    seed=integers(0, 10**6),
    lengths=lists(integers(1, 9), min_size=1, max_size=4),
    n_heads=sampled_from([1, 2, 4]),
)
def test_softmax_models_are_pytorchs_encoder_layers_over_item_and_position_embeddings(
    name, seed, lengths, n_heads
):
    model = contract.random_model(name, {"n_heads": n_heads, "n_layers": 2}, seed)
    items = contract.random_items(seed, lengths)
    real = items > 0
    n = items.shape[1]

    ahead = None
    padding = None
    if name == "sasrec":
        ahead = torch.ones(n, n).triu(1).bool()
    else:
        padding = ~real
    x = embedded(model, items)
    for layer in model.layers:
        encoder_layer = theirs(layer, D_MODEL, n_heads)
        x = encoder_layer(x, src_mask=ahead, src_key_padding_mask=padding)
    if name == "bert4rec":
        x = model.head(x)
    torch.testing.assert_close(model.encode(items)[real], x[real], **CLOSE)


@given(seed=integers(0, 10**6), length=integers(1, 9), n_heads=sampled_from([1, 2]))
def test_linrec_attends_as_eq_2_says(seed, length, n_heads):
    model = contract.random_model("linrec", {"n_heads": n_heads, "n_layers": 1}, seed)
    items = contract.random_items(seed, [length])
    layer = model.layers[0]
    attention = layer.attention
    e = D_MODEL // n_heads
    x = embedded(model, items)[0]
    out = torch.zeros(length, D_MODEL, dtype=torch.float64)
    for head in range(n_heads):
        part = slice(head * e, head * e + e)
        q = F.elu(attention.query(x)[:, part])
        k = F.elu(attention.key(x)[:, part])
        v = attention.value(x)[:, part]
        for t in range(length):
            for s in range(length):
                weight = sum(q[t, c] / q[t].norm() * k[s, c] / k[:, c].norm() for c in range(e))
                out[t, part] += weight * v[s]
    expected = layer.feed_forward(layer.norm(x + layer.output(out)))[-1]
    torch.testing.assert_close(model.last(items)[0], expected, **CLOSE)


def test_bert4rec_puts_a_mask_behind_the_last_item_and_drops_the_oldest_of_a_full_row():
    model = contract.random_model("bert4rec", {"max_len": 4}, 0)
    mask = contract.N_ITEMS + 1
    for row, seen in (
        ([5, 6], [5, 6, mask]),
        ([5, 6, 7], [5, 6, 7, mask]),
        ([5, 6, 7, 8], [6, 7, 8, mask]),
    ):
        last = model.last(torch.tensor([row]))[0]
        at_mask = model.encode(torch.tensor([seen]))[0, -1]
        torch.testing.assert_close(last, at_mask, **CLOSE)

    together = model.last(torch.tensor([[5, 6, 7, 8], [5, 6, 0, 0]]))
    torch.testing.assert_close(together[1], model.last(torch.tensor([[5, 6]]))[0], **CLOSE)
    assert model.output_weights().shape[0] == contract.N_ITEMS + 1  # the mask token is never scored


def test_bert4rec_looks_both_ways_and_sasrec_back_only():
    items = torch.tensor([[1, 2, 3]])
    other = torch.tensor([[1, 2, 4]])
    for name, looks_ahead in (("bert4rec", True), ("sasrec", False)):
        model = contract.random_model(name, {}, 0)
        away = (model.encode(items)[0, 0] - model.encode(other)[0, 0]).abs().max()
        assert bool(away > 1e-6) == looks_ahead


@pytest.mark.parametrize("name", ["sasrec", "bert4rec", "linrec"])
def test_positions_matter_and_end(name):
    model = contract.random_model(name, {"max_len": 4}, 0)
    back = model.last(torch.tensor([[1, 2, 3]]))
    forth = model.last(torch.tensor([[2, 1, 3]]))
    assert (back - forth).abs().max() > 1e-6

    with pytest.raises(ValueError, match=rf"{name} has 4 positions; a row has (5|6) items"):
        if name == "sasrec":
            model.encode(torch.tensor([[1, 2, 3, 4, 5]]))
        else:
            model.last(torch.tensor([[1, 2, 3, 4, 5, 6]]))


@pytest.mark.parametrize("name", ["sasrec", "bert4rec", "linrec"])
def test_bad_options_are_refused(name):
    with pytest.raises(ValueError, match="n_layers must be at least 1"):
        contract.build_model(name, 5, n_layers=0)
    with pytest.raises(ValueError, match="divisible by n_heads"):
        contract.build_model(name, 5, d_model=8, n_heads=3)


def test_a_heads_width_scales_the_softmax():
    torch.manual_seed(0)
    layer = SoftmaxAttention(8, 2).double()
    x = torch.randn(1, 5, 8, dtype=torch.float64)
    q, k, v = (part(x)[0, :, 4:] for part in (layer.query, layer.key, layer.value))
    expected = (q @ k.T / 2).softmax(-1) @ v  # 2: the root of a head's width, 4
    torch.testing.assert_close(layer(x)[0, :, 4:], expected, **CLOSE)


def test_attention_drops_some_of_its_weights():
    torch.manual_seed(0)
    layer = SoftmaxAttention(8, 2, dropout=0.5).double()
    x = torch.randn(1, 5, 8, dtype=torch.float64)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), layer(x))
