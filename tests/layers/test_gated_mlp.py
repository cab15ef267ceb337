"""The gated multilayer perceptron: Eq. 12 by a loop in plain floats, in both forms, and against
the same thing put together from torch.nn.
"""

import math

import pytest
import torch
from gradients import gradients_are_right
from hypothesis import given
from hypothesis.strategies import integers, lists, sampled_from
from plain_floats import affine
from torch import nn

from minirec.layers.gated_mlp import GatedMLP

CLOSE = {"rtol": 0, "atol": 1e-12}
FORMS = ["paper", "released"]


def random_mlp(d_model, form, seed=0) -> GatedMLP:
    torch.manual_seed(seed)
    mlp = GatedMLP(d_model, form).double()
    for parameter in mlp.parameters():
        nn.init.normal_(parameter)
    return mlp


def gelu(a: float) -> float:
    """GeLU(a) = a Phi(a), Phi the normal distribution function."""
    return a * (1 + math.erf(a / math.sqrt(2))) / 2


def printed_mlp(mlp: GatedMLP, form: str, z: list[float]) -> list[float]:
    """(GeLU(Z W3 + b3) * V) W_o + b_o for one position."""
    gate = [gelu(a) for a in affine(mlp.gate, z)]
    value = affine(mlp.value, z) if form == "released" else z
    gated = [g * v for g, v in zip(gate, value, strict=True)]
    return affine(mlp.output, gated)


@given(
    shape=lists(integers(1, 3), max_size=3),
    d_model=integers(1, 6),
    form=sampled_from(FORMS),
    seed=integers(0, 10**6),
)
def test_it_is_equation_12(shape, d_model, form, seed):
    mlp = random_mlp(d_model, form, seed)
    z = torch.randn(*shape, d_model).double()
    out = mlp(z)
    assert out.shape == z.shape

    positions = z.reshape(-1, d_model).tolist()
    outputs = out.reshape(-1, d_model).tolist()
    for z_n, out_n in zip(positions, outputs, strict=True):
        torch.testing.assert_close(out_n, printed_mlp(mlp, form, z_n), **CLOSE)


class Composed(nn.Module):
    """Eq. 12 from torch.nn alone; in the released form the value is a linear map of its own."""

    def __init__(self, d_model, released):
        super().__init__()
        self.gated = nn.Sequential(nn.Linear(d_model, d_model), nn.GELU())
        self.value = nn.Linear(d_model, d_model) if released else None
        self.output = nn.Linear(d_model, d_model)

    def forward(self, z):
        value = z if self.value is None else self.value(z)
        return self.output(torch.mul(self.gated(z), value))


@given(d_model=integers(1, 8), form=sampled_from(FORMS), seed=integers(0, 10**6))
def test_it_is_what_torch_nn_composes(d_model, form, seed):
    mlp = random_mlp(d_model, form, seed)
    theirs = Composed(d_model, form == "released").double()
    weights = {}
    for name, value in mlp.state_dict().items():
        weights[name.replace("gate.", "gated.0.")] = value
    theirs.load_state_dict(weights)

    z = torch.randn(3, 5, d_model).double()
    torch.testing.assert_close(mlp(z), theirs(z), **CLOSE)


def test_the_two_forms_agree_where_the_second_map_is_the_identity_and_differ_elsewhere():
    paper = random_mlp(4, "paper")
    released = random_mlp(4, "released", seed=1)
    identity = {
        "value.weight": torch.eye(4).double(),
        "value.bias": torch.zeros(4).double(),
    }
    released.load_state_dict(paper.state_dict() | identity)

    z = torch.randn(6, 4).double()
    torch.testing.assert_close(paper(z), released(z), **CLOSE)
    nn.init.normal_(released.value.weight)
    assert (paper(z) - released(z)).abs().max() > 1e-3


@pytest.mark.parametrize("form", FORMS)
def test_a_position_depends_on_its_own_position_only(form):
    mlp = random_mlp(4, form)
    z = torch.randn(3, 5, 4).double()
    together = mlp(z)
    for row in range(3):
        for n in range(5):
            torch.testing.assert_close(mlp(z[row, n]), together[row, n], **CLOSE)


@pytest.mark.parametrize("form", FORMS)
def test_training_and_eval_agree(form):
    mlp = random_mlp(4, form)
    z = torch.randn(6, 4).double()
    torch.testing.assert_close(mlp.train()(z), mlp.eval()(z), **CLOSE)


@pytest.mark.parametrize(("form", "maps"), [("paper", 2), ("released", 3)])
def test_the_released_form_has_one_linear_map_more(form, maps):
    n_parameters = sum(p.numel() for p in GatedMLP(5, form).parameters())
    assert n_parameters == maps * (5 * 5 + 5)


@pytest.mark.parametrize("form", FORMS)
def test_gradients_are_those_of_the_function(form):
    mlp = random_mlp(3, form)
    z = torch.randn(4, 3).double()
    assert gradients_are_right(mlp, z)


@pytest.mark.parametrize("form", ["keras", "", None])
def test_an_unknown_form_is_refused_by_name(form):
    message = f"form must be 'paper' or 'released'; got {form!r}"
    with pytest.raises(ValueError, match=message):
        GatedMLP(3, form)
