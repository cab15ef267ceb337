"""The shell keeps the models' contract with every causal layer, and is the one that is printed."""

import contract
import pytest
import torch
from torch import nn

from minirec.layers.attention import LinearAttention, SoftmaxAttention
from minirec.layers.bd_lru import BehaviourDependentLRU
from minirec.layers.gru import GRU
from minirec.layers.linear_rnn import LRU, MinGRU
from minirec.layers.temporal_conv import TemporalConv
from minirec.models.one_layer import (
    CausalLinearAttention,
    DenseGRU,
    GatedGRU,
    NoLayer,
    OneLayerRecommender,
)

D = 8
LAYERS = {
    "none": NoLayer(),
    "gru": GRU(D, D, bias=False, form="torch"),
    "dense gru": DenseGRU(D),
    "gated gru": GatedGRU(D),
    "linear attention": CausalLinearAttention(D, 2, "released"),
    "linear attention, paper": CausalLinearAttention(D, 1, "paper"),
    "softmax attention": SoftmaxAttention(D, 2, causal=True),
    "mingru": MinGRU(D, D),
    "lru": LRU(D, D),
    "bd-lru": BehaviourDependentLRU(D),
}


def shell_of(layer, dropout=0.0):
    model = OneLayerRecommender(contract.N_ITEMS, layer, d_model=D, dropout=dropout, max_len=40)
    torch.manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    nn.init.zeros_(model.item_embedding.weight[0])
    return model.double().eval()


@pytest.mark.parametrize(
    "promise", contract.NEXT_ITEM + contract.ANY_OBJECTIVE, ids=lambda promise: promise.__name__
)
@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_the_shell_keeps_its_promises_with_a_causal_layer(layer, promise):
    promise(shell_of(layer), contract.random_items(0, [6, 1, 4, 9]))


@pytest.mark.parametrize(
    "layer",
    [TemporalConv(D, 3), LinearAttention(D), SoftmaxAttention(D)],
    ids=lambda layer: type(layer).__name__,
)
def test_a_layer_that_looks_ahead_breaks_the_promise(layer):
    with pytest.raises(AssertionError):
        contract.position_t_is_the_prefix_up_to_t(
            shell_of(layer), contract.random_items(0, [6, 1, 4, 9])
        )


def normalised(x, weight, bias):
    centred = x - x.mean(-1, keepdim=True)
    return centred / (x.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt() * weight + bias


@torch.no_grad()
def test_the_shell_is_residual_norm_and_linear_map_around_the_layer():
    layer = nn.Linear(D, D)
    model = shell_of(layer)
    items = contract.random_items(0, [6, 1, 4, 9])
    x = model.item_embedding.weight[items]
    inner = normalised(x + x @ layer.weight.T + layer.bias, model.norm.weight, model.norm.bias)
    expected = inner @ model.output.weight.T + model.output.bias
    torch.testing.assert_close(model.encode(items), expected, rtol=0, atol=1e-12)  # float64


@torch.no_grad()
def test_without_a_layer_only_the_last_item_counts():
    model = shell_of(NoLayer())
    one_end = model.last(torch.tensor([[3, 9, 5], [7, 7, 5]]))
    torch.testing.assert_close(one_end[0], one_end[1], rtol=0, atol=0)


@torch.no_grad()
def test_the_dense_gru_is_pytorchs_three_layers_with_zeros_in_front():
    ours = DenseGRU(D, kernel_size=3).double()
    gru = nn.GRU(D, D, bias=False, batch_first=True).double()
    cell = ours.gru.cell
    gru.load_state_dict({"weight_ih_l0": cell.weight_x, "weight_hh_l0": cell.weight_h})
    conv = nn.Conv1d(D, D, 3).double()
    conv.load_state_dict(ours.conv.state_dict())

    x = torch.randn(2, 5, D, dtype=torch.float64)
    dense = nn.functional.linear(x, ours.dense.weight, ours.dense.bias)
    in_front = torch.cat([torch.zeros(2, 2, D, dtype=torch.float64), dense], dim=1)
    states, _ = gru(conv(in_front.mT).mT)
    torch.testing.assert_close(ours(x), states, rtol=0, atol=1e-12)  # float64


@torch.no_grad()
def test_the_gated_gru_reads_the_gate_from_the_convolved_input():
    ours = GatedGRU(D).double()
    x = torch.randn(2, 5, D, dtype=torch.float64)
    c = ours.conv(ours.dense(x))
    h = ours.gru(c)
    hidden = c @ ours.gate.narrow.weight.T + ours.gate.narrow.bias
    gate = (hidden * torch.sigmoid(hidden)) @ ours.gate.widen.weight.T + ours.gate.widen.bias
    gated = gate * (h @ ours.gate.crossing.weight.T + ours.gate.crossing.bias)
    torch.testing.assert_close(ours(x), ours.output_conv(gated), rtol=0, atol=1e-12)  # float64


def test_dropout_acts_in_training_only():
    model = shell_of(nn.Linear(D, D), dropout=0.5)
    items = contract.random_items(0, [6])
    assert torch.equal(model.encode(items), model.encode(items))
    model.train()
    assert not torch.equal(model.encode(items), model.encode(items))
