"""What is GRU4Rec's own; what it promises as every model does is in test_contract.py."""

import contract
import pytest
import torch
from hypothesis import given
from hypothesis.strategies import integers, sampled_from
from torch import nn

from minirec.models import build_model
from minirec.models.gru4rec import GRU4Rec

pytestmark = pytest.mark.slow

CLOSE = {"rtol": 0, "atol": 1e-10}


@given(
    n_layers=integers(1, 3),
    d_state=sampled_from([None, 3, 8]),
    length=integers(1, 9),
    seed=integers(0, 10**6),
)
def test_it_embeds_runs_pytorchs_gru_and_maps_back(n_layers, d_state, length, seed):
    model = contract.random_model("gru4rec", {"n_layers": n_layers, "d_state": d_state}, seed)
    items = contract.random_items(seed, [length, length])
    theirs = nn.GRU(8, d_state or 16, n_layers, bias=False, batch_first=True).double()
    weights = {}
    for i, layer in enumerate(model.layers):
        weights[f"weight_ih_l{i}"] = layer.cell.weight_x
        weights[f"weight_hh_l{i}"] = layer.cell.weight_h
    theirs.load_state_dict(weights)

    states, _ = theirs(model.item_embedding.weight[items])
    expected = states @ model.output.weight.T + model.output.bias
    torch.testing.assert_close(model.encode(items), expected, **CLOSE)


@pytest.mark.parametrize("form", ["paper", "torch"])
def test_the_form_reaches_every_layer(form):
    model = GRU4Rec(5, d_model=2, n_layers=2, form=form)
    assert [layer.cell.form for layer in model.layers] == [form, form]


def test_the_forms_score_differently():
    items = contract.random_items(0, [6, 6])
    torchs = contract.random_model("gru4rec", {"form": "torch"}, seed=0)
    paper = contract.random_model("gru4rec", {"form": "paper"}, seed=0)
    paper.load_state_dict(torchs.state_dict())
    assert (torchs.encode(items) - paper.encode(items)).abs().max() > 1e-3


def test_the_state_is_twice_as_wide_as_the_embeddings_unless_given():
    assert GRU4Rec(5, d_model=3, n_layers=2).init_state(4)["h"].shape == (2, 4, 6)
    assert GRU4Rec(5, d_model=3, d_state=7).init_state(4)["h"].shape == (1, 4, 7)


def test_padding_has_no_embedding_to_learn():
    model = contract.random_model("gru4rec", {}, seed=0)
    items = contract.random_items(0, [6, 2])
    model.encode(items).sum().backward()
    gradient = model.item_embedding.weight.grad
    assert (gradient[0] == 0).all()
    assert (gradient[items[0]] != 0).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_layers": 0}, "n_layers and d_state must be at least 1; got 0"),
        ({"d_state": 0}, "d_state must be at least 1; got 1 and 0"),
        ({"d_model": 0}, "d_model and max_len must be at least 1; got 0 and 200"),
        ({"max_len": -1}, "d_model and max_len must be at least 1; got 64 and -1"),
        ({"form": "minimal"}, "form must be 'paper' or 'torch'; got 'minimal'"),
    ],
)
def test_a_wrong_option_is_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        build_model("gru4rec", 10, **options)


def test_a_model_without_items_is_refused():
    with pytest.raises(ValueError, match="n_items must be at least 1; got 0"):
        build_model("gru4rec", 0)
