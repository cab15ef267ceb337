"""The GRU in its two forms: PyTorch's own GRU judges form="torch", a scalar loop over Eq. 1 as printed judges form="paper"."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis.strategies import booleans, integers
from torch import nn

from minirec.layers.gru import GRU, GRUCell

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
    theirs, cell = nn.GRU(d_input, d_state, bias=bias, batch_first=True).double(), gru.cell
    weights = {"weight_ih_l0": cell.weight_x, "weight_hh_l0": cell.weight_h}
    theirs.load_state_dict(
        weights | ({"bias_ih_l0": cell.bias_x, "bias_hh_l0": cell.bias_h} if bias else {})
    )
    return theirs


def printed_step(x: list[float], h: list[float], cell: GRUCell) -> list[float]:
    """Eq. 1 letter by letter, in Python floats: each matrix meets the concatenation [h, x]."""
    n = len(h)
    biases = cell.bias_x.tolist() if cell.bias_x is not None else [0.0] * 3 * n
    rows = [
        u + w + [b] for u, w, b in zip(cell.weight_h.tolist(), cell.weight_x.tolist(), biases)
    ]  # meets [h, x, 1]
    meet = lambda row, vector: math.fsum(a * b for a, b in zip(row, vector, strict=True))
    sigmoid = lambda a: 1 / (1 + math.exp(-a))
    r = [sigmoid(meet(rows[i], h + x + [1.0])) for i in range(n)]
    z = [sigmoid(meet(rows[n + i], h + x + [1.0])) for i in range(n)]
    reset = [r[i] * h[i] for i in range(n)]
    candidate = [math.tanh(meet(rows[2 * n + i], reset + x + [1.0])) for i in range(n)]
    return [z[i] * candidate[i] + (1 - z[i]) * h[i] for i in range(n)]


@given(bias=booleans(), **shapes)
def test_torch_form_is_pytorchs_gru(batch, length, d_input, d_state, seed, bias):
    gru = random_gru(d_input, d_state, bias, "torch", seed)
    x, h = torch.randn(batch, length, d_input).double(), torch.randn(batch, d_state).double()
    torch.testing.assert_close(
        gru(x, h), pytorch_gru(gru, d_input, d_state, bias)(x, h[None])[0], **CLOSE
    )


@given(bias=booleans(), **shapes)
def test_torch_form_cell_by_cell_is_pytorchs_gru(batch, length, d_input, d_state, seed, bias):
    gru = random_gru(d_input, d_state, bias, "torch", seed)
    x, h, states = (
        torch.randn(batch, length, d_input).double(),
        torch.zeros(batch, d_state).double(),
        [],
    )
    for t in range(length):
        h = gru.cell(x[:, t], h)
        states.append(h)
    torch.testing.assert_close(
        torch.stack(states, 1), pytorch_gru(gru, d_input, d_state, bias)(x)[0], **CLOSE
    )


@given(bias=booleans(), **shapes)
def test_paper_form_is_equation_1_as_printed(batch, length, d_input, d_state, seed, bias):
    gru = random_gru(d_input, d_state, bias, "paper", seed)
    x, h = torch.randn(batch, length, d_input).double(), torch.randn(batch, d_state).double()
    states = gru(x, h)
    for row in range(batch):
        state = h[row].tolist()
        for t in range(length):
            state = printed_step(x[row, t].tolist(), state, gru.cell)
            torch.testing.assert_close(
                states[row, t], torch.tensor(state, dtype=torch.float64), **CLOSE
            )


@pytest.mark.parametrize("form", ["paper", "torch"])
def test_without_a_state_it_starts_from_zero(form):
    gru, x = random_gru(3, 4, True, form, seed=0), torch.randn(2, 5, 3).double()
    torch.testing.assert_close(gru(x), gru(x, torch.zeros(2, 4).double()), **CLOSE)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("form", ["paper", "torch"])
def test_gradients_are_those_of_the_function(form, bias):
    gru, x, h = (
        random_gru(2, 3, bias, form, seed=0),
        torch.randn(2, 3, 2).double(),
        torch.randn(2, 3).double(),
    )
    names, weights = zip(*gru.named_parameters())
    states = lambda x, h, *weights: torch.func.functional_call(
        gru, dict(zip(names, weights)), (x, h)
    )
    assert torch.autograd.gradcheck(
        states, [value.detach().requires_grad_() for value in (x, h, *weights)]
    )


def both_forms(seed) -> tuple[GRU, GRU]:
    """The two forms with the same weights, the update gate of the second turned round to match the first."""
    paper, torchs = random_gru(3, 4, False, "paper", seed), GRU(3, 4, False, "torch").double()
    turn = torch.tensor([1.0, -1.0, 1.0]).double().repeat_interleave(4)[:, None]
    torchs.load_state_dict({name: weight * turn for name, weight in paper.state_dict().items()})
    return paper, torchs


def change_both(forms, name, change):
    with torch.no_grad():
        for gru in forms:
            change(getattr(gru.cell, name))


@given(seed=integers(0, 10**6))
def test_the_two_forms_are_different_functions(seed):
    paper, torchs = both_forms(seed)
    x = torch.randn(4, 9, 3).double()
    assert (paper(x) - torchs(x)).abs().max() > 1e-3


@given(seed=integers(0, 10**6))
def test_the_two_forms_agree_where_the_candidates_matrix_is_diagonal(seed):
    paper, torchs = forms = both_forms(seed)
    change_both(forms, "weight_h", lambda U: U[8:].mul_(torch.eye(4)))
    x = torch.randn(4, 9, 3).double()
    torch.testing.assert_close(paper(x), torchs(x), **CLOSE)


@given(seed=integers(0, 10**6))
def test_the_two_forms_agree_where_all_units_share_one_reset_gate(seed):
    paper, torchs = forms = both_forms(seed)
    for name in ("weight_x", "weight_h"):
        change_both(forms, name, lambda weight: weight[:4].copy_(weight[:1].clone().expand(4, -1)))
    x = torch.randn(4, 9, 3).double()
    torch.testing.assert_close(paper(x), torchs(x), **CLOSE)


@pytest.mark.parametrize(
    ("form", "bias", "n_biases"),
    [("paper", True, 3), ("torch", True, 6), ("paper", False, 0), ("torch", False, 0)],
)
def test_the_paper_has_one_bias_where_pytorch_has_two(form, bias, n_biases):
    assert (
        sum(p.numel() for p in GRU(2, 5, bias, form).parameters()) == 3 * 5 * (2 + 5) + n_biases * 5
    )


def test_an_unknown_form_is_refused_by_name():
    with pytest.raises(ValueError, match="form must be 'paper' or 'torch'; got 'keras'"):
        GRU(2, 3, form="keras")


@pytest.mark.parametrize("training", [True, False])
def test_torch_form_has_gradients_in_train_and_eval_mode(training):
    gru = random_gru(3, 4, True, "torch", seed=0).train(training)
    theirs = pytorch_gru(gru, 3, 4, True)
    x = torch.randn(2, 6, 3).double()
    found = torch.autograd.grad(gru(x).sum(), list(gru.parameters()))
    expected = torch.autograd.grad(theirs(x)[0].sum(), list(theirs.parameters()))
    for ours, pytorchs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, pytorchs, **CLOSE)


def test_a_moved_gru_keeps_its_parameters():
    """An optimiser made before the move still holds the same weights after it."""
    gru = GRU(3, 4, form="torch")
    before = list(gru.parameters())
    gru.double()
    assert all(ours is theirs for ours, theirs in zip(gru.parameters(), before, strict=True))
    assert [each.dtype for each in gru.parameters()] == [torch.float64] * 4
