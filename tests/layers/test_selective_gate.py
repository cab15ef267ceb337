"""The selective gate: Eqs. 7 and 9 by a loop in plain floats, its widths and ranks, and where
dropout acts.
"""

import math

import pytest
import torch
from gradients import gradients_are_right
from hypothesis import given
from hypothesis.strategies import floats, integers, lists, sampled_from
from plain_floats import affine, sigmoid
from torch import Tensor, nn

from minirec.layers.selective_gate import SelectiveGate

pytestmark = pytest.mark.slow

CLOSE = {"rtol": 0, "atol": 1e-12}
widths = {"d_model": integers(1, 6), "d_hidden": integers(1, 7), "seed": integers(0, 10**6)}


def random_gate(d_model, d_hidden=None, dropout=0.0, seed=0) -> SelectiveGate:
    torch.manual_seed(seed)
    gate = SelectiveGate(d_model, d_hidden, dropout).double()
    for parameter in gate.parameters():
        nn.init.normal_(parameter)
    return gate


def printed_gate(gate: SelectiveGate, c: list[float]) -> list[float]:
    """SiLU(C W1 + b1) W2 + b2 of Eq. 9, letter by letter, for one position."""
    hidden = [a * sigmoid(a) for a in affine(gate.narrow, c)]
    return affine(gate.widen, hidden)


@given(shape=lists(integers(1, 3), max_size=3), **widths)
def test_it_is_equations_7_and_9_as_printed(shape, d_model, d_hidden, seed):
    gate = random_gate(d_model, d_hidden, seed=seed)
    c, h = torch.randn(2, *shape, d_model).double()
    out = gate(c, h)
    values = gate.gate(c)
    assert out.shape == (*shape, d_model)
    assert values.shape == (*shape, d_model)

    flat = [part.reshape(-1, d_model).tolist() for part in (c, h, out, values)]
    for c_n, h_n, out_n, values_n in zip(*flat, strict=True):
        opened = printed_gate(gate, c_n)
        crossed = affine(gate.crossing, h_n)
        expected = [g * p for g, p in zip(opened, crossed, strict=True)]
        torch.testing.assert_close(values_n, opened, **CLOSE)
        torch.testing.assert_close(out_n, expected, **CLOSE)


@given(**widths)
def test_a_position_depends_on_its_own_position_only(d_model, d_hidden, seed):
    gate = random_gate(d_model, d_hidden, seed=seed)
    c, h = torch.randn(2, 3, 5, d_model).double()
    together = gate(c, h)
    for row in range(3):
        for n in range(5):
            torch.testing.assert_close(gate(c[row, n], h[row, n]), together[row, n], **CLOSE)


@given(length=integers(1, 4), **widths)
def test_it_is_linear_in_the_states_and_in_nothing_else(length, d_model, d_hidden, seed):
    gate = random_gate(d_model, d_hidden, seed=seed)
    c, h, other = torch.randn(3, length, d_model).double()
    zero = gate(c, torch.zeros_like(h))
    mixed = gate(c, 2 * h - 3 * other) - zero
    apart = 2 * (gate(c, h) - zero) - 3 * (gate(c, other) - zero)
    torch.testing.assert_close(mixed, apart, rtol=0, atol=1e-11)
    assert (gate(2 * c, h) - 2 * gate(c, h)).abs().max() > 1e-6


def one_wide(slope: float, b1: float, w2: float, b2: float) -> SelectiveGate:
    """d = 1: the gate w2 SiLU(slope c + b1) + b2 before the state itself."""
    values = {
        "narrow.weight": [[slope]],
        "narrow.bias": [b1],
        "widen.weight": [[w2]],
        "widen.bias": [b2],
        "crossing.weight": [[1.0]],
        "crossing.bias": [0.0],
    }
    weights = {}
    for name, value in values.items():
        weights[name] = torch.tensor(value, dtype=torch.float64)
    gate = SelectiveGate(1).double()
    gate.load_state_dict(weights)
    return gate


@given(c=floats(-5, 5), wanted=floats(-5, 5))
def test_gate_values_are_not_confined(c, wanted):
    gate = one_wide(1.0, 0.0, 0.0, wanted)
    c = torch.tensor([c], dtype=torch.float64)
    h = torch.tensor([1.7], dtype=torch.float64)
    torch.testing.assert_close(gate(c, h), wanted * h, **CLOSE)


def test_silu_not_sigmoid_nor_relu_is_inside():
    """SiLU(a) = a sigmoid(a), and sigmoid(ln 3) = 3/4."""
    gate = one_wide(1.0, 0.0, 1.0, 0.0)
    log_3 = math.log(3)
    c = torch.tensor([[-log_3], [0.0], [log_3]], dtype=torch.float64)
    h = torch.ones(3, 1).double()
    expected = torch.tensor([[-log_3 / 4], [0.0], [0.75 * log_3]], dtype=torch.float64)
    torch.testing.assert_close(gate(c, h), expected, **CLOSE)


@given(d_model=integers(2, 8), seed=integers(0, 10**6), part=sampled_from(["d", "half"]))
def test_the_inner_width_bounds_how_many_directions_the_gate_values_take(d_model, seed, part):
    d_hidden = d_model if part == "d" else d_model // 2
    gate = random_gate(d_model, d_hidden, seed=seed)
    values = gate.gate(torch.randn(40, d_model).double()).detach()
    assert torch.linalg.matrix_rank(values - values.mean(0)) == d_hidden


@pytest.mark.parametrize(("d_hidden", "inner"), [(None, 6), (3, 3), (6, 6), (9, 9)])
def test_parameters_are_those_of_the_equations(d_hidden, inner):
    gate = SelectiveGate(6, d_hidden)
    shapes = {name: list(p.shape) for name, p in gate.named_parameters()}
    assert shapes == {
        "narrow.weight": [inner, 6],
        "narrow.bias": [inner],
        "widen.weight": [6, inner],
        "widen.bias": [6],
        "crossing.weight": [6, 6],
        "crossing.bias": [6],
    }
    n_parameters = sum(p.numel() for p in gate.parameters())
    assert n_parameters == 2 * 6 * inner + inner + 6 + 6 * 6 + 6


def as_composed(gate: SelectiveGate, c: Tensor, h: Tensor) -> Tensor:
    opened = nn.Sequential(gate.narrow, nn.SiLU(), gate.widen)
    return opened(c) * gate.crossing(h)


@given(**widths)
def test_in_eval_mode_dropout_does_nothing(d_model, d_hidden, seed):
    gate = random_gate(d_model, d_hidden, dropout=0.3, seed=seed).eval()
    c, h = torch.randn(2, 4, d_model).double()
    torch.testing.assert_close(gate(c, h), as_composed(gate, c, h), **CLOSE)
    torch.testing.assert_close(gate(c, h), gate(c, h), **CLOSE)


def test_without_dropout_training_and_eval_agree():
    gate = random_gate(4)
    c, h = torch.randn(2, 5, 4).double()
    torch.testing.assert_close(gate.train()(c, h), gate.eval()(c, h), **CLOSE)


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_in_training_a_gate_value_is_dropped_or_scaled_and_its_feature_with_it(share):
    gate = random_gate(8, 4, dropout=share)
    c, h = torch.randn(2, 3000, 8).double()
    ratio = gate.train()(c, h) / as_composed(gate, c, h)

    dropped = ratio.abs() < 1e-9
    kept = ratio[~dropped]
    scale = torch.full_like(kept, 1 / (1 - share))
    torch.testing.assert_close(kept, scale, rtol=1e-9, atol=0)

    # No feature or position is special.
    dropped = dropped.double()
    assert abs(dropped.mean() - share) < 0.02
    assert (dropped.mean(0) - share).abs().max() < 0.06
    assert (dropped.mean(1) - share).abs().max() < 0.7


def test_dropout_is_on_the_gate_only():
    """With all gate values dropped nothing passes.

    Had dropout been on the states too, or inside the gate, a bias would pass.
    """
    gate = random_gate(4, 2, dropout=1.0).train()
    c, h = torch.randn(2, 6, 4).double()
    assert (gate(c, h) == 0).all()
    assert (gate.gate(c) == 0).all()

    half = random_gate(4, 2, dropout=0.5).train()
    draws = torch.stack([half(c, h) for _ in range(40)])
    ratios = draws / as_composed(half, c, h)
    found = ratios.detach().unique().round(decimals=6).unique()
    expected = torch.tensor([0.0, 2.0]).double()  # on both factors 4 would occur
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("d_hidden", [None, 2])
def test_gradients_are_those_of_the_function(d_hidden):
    gate = random_gate(4, d_hidden)
    c, h = torch.randn(2, 3, 4).double()
    assert gradients_are_right(gate, c, h)


def test_a_gate_without_inner_width_is_refused_by_name():
    with pytest.raises(ValueError, match="d_hidden must be at least 1; got 0"):
        SelectiveGate(4, d_hidden=0)
