"""What the systems begin with, and where they drop values while training.

Where values are dropped is compared with the formula, under the same random numbers.
"""

import pytest
import torch
from small_models import SYSTEMS
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from minirec import build_model
from minirec.layers.feed_forward import FeedForward
from minirec.models.recurrent import RecurrentLayer
from minirec.models.transformer import TransformerLayer

pytestmark = pytest.mark.slow

WIDTH = 64
SHARE = 0.4


class Doubles(nn.Module):
    """In the place of attention, or of a recurrence."""

    def forward(self, x, real=None):
        return 2 * x


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_embedding_of_the_padding_begins_as_zeros(name):
    model = build_model(name, 30, d_model=16)
    assert not model.item_embedding.weight[0].any()
    assert model.item_embedding.weight[1:].all(1).any()


def test_the_padding_as_a_class_begins_like_the_items():
    torch.manual_seed(0)
    row = build_model("recblr", 30, d_model=4000, padding_class=True).item_embedding.weight[0]
    # Five standard errors of 4000 draws, of the mean and of the deviation.
    assert abs(row.mean()) < 0.02 * 5 / 4000**0.5
    assert row.std().item() == pytest.approx(0.02, rel=5 / (2 * 4000) ** 0.5)


@pytest.mark.parametrize("name", ["recblr", "sasrec", "bert4rec", "linrec", "smlp4rec", "fmlp-rec"])
def test_the_linear_maps_of_layers_begin_small_and_without_bias(name):
    torch.manual_seed(0)
    model = build_model(name, 30, d_model=WIDTH)
    maps = [module for module in model.layers.modules() if isinstance(module, nn.Linear)]
    assert len(maps) >= 4
    for linear in maps:
        assert linear.weight.std().item() == pytest.approx(0.02, rel=0.1)
        assert linear.bias is None or not linear.bias.any()


def dropped_alike(layer: nn.Module, formula, x):
    """Compare a layer in training mode with a formula, which draws the same random numbers."""
    layer.train()
    torch.manual_seed(7)
    found = layer(x)
    torch.manual_seed(7)
    assert_close(found, formula(x))
    torch.manual_seed(8)
    assert not torch.equal(layer(x), found)


def test_a_feed_forward_drops_after_its_activation_and_after_its_second_map():
    layer = FeedForward(WIDTH, SHARE)

    def formula(x):
        hidden = F.dropout(F.silu(layer.widen(x)), SHARE)
        branch = F.dropout(layer.narrow(hidden), SHARE)
        return F.layer_norm(x + branch, (WIDTH,), eps=1e-12)

    dropped_alike(layer, formula, torch.randn(3, 5, WIDTH))


def test_a_recurrent_layer_drops_the_output_of_its_recurrence():
    layer = RecurrentLayer(Doubles(), WIDTH, SHARE, nn.Identity())

    def formula(x):
        return F.layer_norm(x + F.dropout(2 * x, SHARE), (WIDTH,), eps=1e-12)

    dropped_alike(layer, formula, torch.randn(3, 5, WIDTH))


def test_a_transformers_layer_drops_the_output_of_its_attention():
    layer = TransformerLayer(Doubles(), WIDTH, SHARE)

    def formula(x):
        branch = F.dropout(layer.output(2 * x), SHARE)
        return layer.feed_forward(F.layer_norm(x + branch, (WIDTH,), eps=1e-12))

    dropped_alike(layer, formula, torch.randn(3, 5, WIDTH))


def test_glint_rus_two_shares_of_dropout_go_to_different_places():
    model = build_model("glint-ru", 30, d_model=16, dropout=0.1, inner_dropout=0.7)
    shares = {
        name: module.p for name, module in model.named_modules() if isinstance(module, nn.Dropout)
    }
    assert shares == {"dropout": 0.1, "inner_dropout": 0.7, "gru.gate.dropout": 0.7}
