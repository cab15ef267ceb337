"""SASRec beside PyTorch's encoder layer; what it promises as every model does is in test_contract.py."""

import pytest
import torch
from hypothesis import given
from hypothesis.strategies import integers, lists, sampled_from
from torch import nn
from torch.nn import functional as F

import contract
from minirec.layers.attention import SoftmaxAttention
from minirec.models.transformer import TransformerLayer

CLOSE = {"rtol": 0, "atol": 1e-10}


def theirs(layer: TransformerLayer, d_model: int, n_heads: int) -> nn.TransformerEncoderLayer:
    """PyTorch's encoder layer with the weights of ours."""
    other = nn.TransformerEncoderLayer(d_model, n_heads, 4 * d_model, 0.0, F.gelu, 1e-12, batch_first=True).double().eval()
    attention, forward = layer.attention, layer.feed_forward
    stacked = [torch.cat([getattr(getattr(attention, part), kind) for part in ("query", "key", "value")]) for kind in ("weight", "bias")]
    other.load_state_dict({"self_attn.in_proj_weight": stacked[0], "self_attn.in_proj_bias": stacked[1]} | {
        f"{name}.{kind}": getattr(module, kind) for kind in ("weight", "bias") for name, module in (
            ("self_attn.out_proj", layer.output), ("norm1", layer.norm), ("linear1", forward.widen), ("linear2", forward.narrow), ("norm2", forward.norm))})
    return other


@given(seed=integers(0, 10**6), lengths=lists(integers(1, 9), min_size=1, max_size=4), n_heads=sampled_from([1, 2, 4]))
def test_sasrec_is_pytorchs_encoder_layers_over_item_and_position_embeddings(seed, lengths, n_heads):
    model, items = contract.random_model("sasrec", {"n_heads": n_heads, "n_layers": 2}, seed), contract.random_items(seed, lengths)
    real, n = items > 0, items.shape[1]
    x = F.layer_norm(model.item_embedding.weight[items] + model.positions.weight[:n], (8,), model.norm.weight, model.norm.bias, 1e-12)
    for layer in model.layers:
        x = theirs(layer, 8, n_heads)(x, src_mask=torch.ones(n, n).triu(1).bool())
    torch.testing.assert_close(model.encode(items)[real], x[real], **CLOSE)


def test_positions_matter_and_end():
    model = contract.random_model("sasrec", {"max_len": 4}, 0)
    back, forth = model.last(torch.tensor([[1, 2, 3]])), model.last(torch.tensor([[2, 1, 3]]))
    assert (back - forth).abs().max() > 1e-6
    with pytest.raises(ValueError, match="sasrec has 4 positions; a row has 5 items"):
        model.encode(torch.tensor([[1, 2, 3, 4, 5]]))


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match="n_layers must be at least 1"):
        contract.build_model("sasrec", 5, n_layers=0)
    with pytest.raises(ValueError, match="divisible by n_heads"):
        contract.build_model("sasrec", 5, d_model=8, n_heads=3)


def test_a_heads_width_scales_the_softmax():
    torch.manual_seed(0)
    layer, x = SoftmaxAttention(8, 2).double(), torch.randn(1, 5, 8, dtype=torch.float64)
    q, k, v = (part(x)[0, :, 4:] for part in (layer.query, layer.key, layer.value))
    torch.testing.assert_close(layer(x)[0, :, 4:], (q @ k.T / 2).softmax(-1) @ v, **CLOSE)


def test_attention_drops_some_of_its_weights():
    torch.manual_seed(0)
    layer, x = SoftmaxAttention(8, 2, dropout=0.5).double(), torch.randn(1, 5, 8, dtype=torch.float64)
    assert not torch.equal(layer(x), layer(x)) and torch.equal(layer.eval()(x), layer(x))
