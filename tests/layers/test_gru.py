"""The GRU in its two forms: PyTorch's own GRU judges form="torch", a scalar loop over Eq. 1 as
printed judges form="paper".
"""

import math

import pytest
import torch
from gradients import gradients_are_right
from hypothesis import given
from hypothesis.strategies import booleans, integers
from plain_floats import inner, sigmoid
from torch import nn

from minirec.layers.gru import GRU, GRUCell

pytestmark = pytest.mark.slow

CLOSE = {"rtol": 0, "atol": 1e-12}
shapes = {
    "batch": integers(1, 4),
    "length": integers(1, 9),
    "d_input": integers(1, 5),
    "d_state": integers(1, 6),
    "seed": integers(0, 10**6),
}


def random_gru(d_input, d_state, bias, form, seed) -> GRU:
    torch.manual_seed(seed)
    gru = GRU(d_input, d_state, bias, form).double()
    for parameter in gru.parameters():
        nn.init.normal_(parameter)
    return gru


def pytorch_gru(gru: GRU, d_input, d_state, bias) -> nn.GRU:
    """PyTorch's GRU with the weights of ours."""
    cell = gru.cell
    weights = {"weight_ih_l0": cell.weight_x, "weight_hh_l0": cell.weight_h}
    if bias:
        weights["bias_ih_l0"] = cell.bias_x
        weights["bias_hh_l0"] = cell.bias_h
    theirs = nn.GRU(d_input, d_state, bias=bias, batch_first=True).double()
    theirs.load_state_dict(weights)
    return theirs


def printed_step(x: list[float], h: list[float], cell: GRUCell) -> list[float]:
    """Eq. 1 letter by letter, in Python floats: each matrix meets the concatenation [h, x]."""
    n = len(h)
    biases = [0.0] * 3 * n
    if cell.bias_x is not None:
        biases = cell.bias_x.tolist()

    rows = []  # each meets [h, x, 1]
    for i in range(3 * n):
        rows.append(cell.weight_h[i].tolist() + cell.weight_x[i].tolist() + [biases[i]])

    r = [sigmoid(inner(rows[i], h + x + [1.0])) for i in range(n)]
    z = [sigmoid(inner(rows[n + i], h + x + [1.0])) for i in range(n)]
    reset = [r[i] * h[i] for i in range(n)]
    candidate = [math.tanh(inner(rows[2 * n + i], reset + x + [1.0])) for i in range(n)]
    return [z[i] * candidate[i] + (1 - z[i]) * h[i] for i in range(n)]


@given(bias=booleans(), **shapes)
def test_torch_form_is_pytorchs_gru(batch, length, d_input, d_state, seed, bias):
    gru = random_gru(d_input, d_state, bias, "torch", seed)
    theirs = pytorch_gru(gru, d_input, d_state, bias)
    x = torch.randn(batch, length, d_input).double()
    h = torch.randn(batch, d_state).double()
    expected, _ = theirs(x, h[None])
    torch.testing.assert_close(gru(x, h), expected, **CLOSE)


@given(bias=booleans(), **shapes)
def test_torch_form_cell_by_cell_is_pytorchs_gru(batch, length, d_input, d_state, seed, bias):
    gru = random_gru(d_input, d_state, bias, "torch", seed)
    theirs = pytorch_gru(gru, d_input, d_state, bias)
    x = torch.randn(batch, length, d_input).double()
    h = torch.zeros(batch, d_state).double()
    states = []
    for t in range(length):
        h = gru.cell(x[:, t], h)
        states.append(h)
    expected, _ = theirs(x)
    torch.testing.assert_close(torch.stack(states, 1), expected, **CLOSE)


@given(bias=booleans(), **shapes)
def test_paper_form_is_equation_1_as_printed(batch, length, d_input, d_state, seed, bias):
    gru = random_gru(d_input, d_state, bias, "paper", seed)
    x = torch.randn(batch, length, d_input).double()
    h = torch.randn(batch, d_state).double()
    states = gru(x, h)
    for row in range(batch):
        state = h[row].tolist()
        for t in range(length):
            state = printed_step(x[row, t].tolist(), state, gru.cell)
            expected = torch.tensor(state, dtype=torch.float64)
            torch.testing.assert_close(states[row, t], expected, **CLOSE)


@pytest.mark.parametrize("form", ["paper", "torch"])
def test_without_a_state_it_starts_from_zero(form):
    gru = random_gru(3, 4, True, form, seed=0)
    x = torch.randn(2, 5, 3).double()
    torch.testing.assert_close(gru(x), gru(x, torch.zeros(2, 4).double()), **CLOSE)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("form", ["paper", "torch"])
def test_gradients_are_those_of_the_function(form, bias):
    gru = random_gru(2, 3, bias, form, seed=0)
    x = torch.randn(2, 3, 2).double()
    h = torch.randn(2, 3).double()
    assert gradients_are_right(gru, x, h)


def both_forms(seed) -> tuple[GRU, GRU]:
    """The two forms with the same weights; the second's update gate is turned to match."""
    paper = random_gru(3, 4, False, "paper", seed)
    torchs = GRU(3, 4, False, "torch").double()
    signs = torch.tensor([1.0, -1.0, 1.0]).double()  # of reset gate, update gate, candidate
    turn = signs.repeat_interleave(4)[:, None]
    torchs.load_state_dict({name: weight * turn for name, weight in paper.state_dict().items()})
    return paper, torchs


@given(seed=integers(0, 10**6))
def test_the_two_forms_are_different_functions(seed):
    paper, torchs = both_forms(seed)
    x = torch.randn(4, 9, 3).double()
    assert (paper(x) - torchs(x)).abs().max() > 1e-3


@given(seed=integers(0, 10**6))
def test_the_two_forms_agree_where_the_candidates_matrix_is_diagonal(seed):
    paper, torchs = both_forms(seed)
    with torch.no_grad():
        for gru in (paper, torchs):
            gru.cell.weight_h[8:] *= torch.eye(4)
    x = torch.randn(4, 9, 3).double()
    torch.testing.assert_close(paper(x), torchs(x), **CLOSE)


@given(seed=integers(0, 10**6))
def test_the_two_forms_agree_where_all_units_share_one_reset_gate(seed):
    paper, torchs = both_forms(seed)
    with torch.no_grad():
        for gru in (paper, torchs):
            for weight in (gru.cell.weight_x, gru.cell.weight_h):
                weight[:4] = weight[0].clone()
    x = torch.randn(4, 9, 3).double()
    torch.testing.assert_close(paper(x), torchs(x), **CLOSE)


@pytest.mark.parametrize(
    ("form", "bias", "n_biases"),
    [("paper", True, 3), ("torch", True, 6), ("paper", False, 0), ("torch", False, 0)],
)
def test_the_paper_has_one_bias_where_pytorch_has_two(form, bias, n_biases):
    n_parameters = sum(p.numel() for p in GRU(2, 5, bias, form).parameters())
    assert n_parameters == 3 * 5 * (2 + 5) + n_biases * 5


def test_an_unknown_form_is_refused_by_name():
    with pytest.raises(ValueError, match="form must be 'paper' or 'torch'; got 'keras'"):
        GRU(2, 3, form="keras")


@pytest.mark.parametrize("training", [True, False])
def test_torch_form_has_gradients_in_train_and_eval_mode(training):
    gru = random_gru(3, 4, True, "torch", seed=0).train(training)
    theirs = pytorch_gru(gru, 3, 4, True)
    x = torch.randn(2, 6, 3).double()
    states, _ = theirs(x)
    found = torch.autograd.grad(gru(x).sum(), list(gru.parameters()))
    expected = torch.autograd.grad(states.sum(), list(theirs.parameters()))
    for ours, pytorchs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, pytorchs, **CLOSE)


def test_a_moved_gru_keeps_its_parameters():
    """An optimiser made before the move still holds the same weights after it."""
    gru = GRU(3, 4, form="torch")
    before = list(gru.parameters())
    gru.double()
    for ours, theirs in zip(gru.parameters(), before, strict=True):
        assert ours is theirs
    assert [each.dtype for each in gru.parameters()] == [torch.float64] * 4
