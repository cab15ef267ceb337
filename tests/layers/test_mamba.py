"""The Mamba block beside a loop and another implementation; Mamba4Rec and LRURec beside their
pieces. Their promises are in test_contract.py.
"""

import contract
import pytest
import torch
from hypothesis import given, settings
from hypothesis.strategies import integers
from mambapy import mamba
from torch.nn import functional as F

from minirec.layers.mamba import Mamba

CLOSE = {"rtol": 0, "atol": 1e-10}


def random_block(d_model, d_state, kernel_size, seed):
    """A block in float64, and an input of two rows and seven positions."""
    torch.manual_seed(seed)
    block = Mamba(d_model, d_state, kernel_size).double()
    u = torch.randn(2, 7, d_model, dtype=torch.float64)
    return block, u


def block_by_formula(block, u):
    """One row, position by position: u [N, d] -> y [N, d]."""
    d_inner, d_state = block.log_rates.shape
    kernel_size = block.conv.kernel_size
    taps = block.conv.weight[:, 0].T  # [k, E]
    A = -block.log_rates.exp()

    x, z = (u @ block.input.weight.T).split(d_inner, dim=-1)
    padded = F.pad(x, (0, 0, kernel_size - 1, 0))
    h = torch.zeros(d_inner, d_state, dtype=torch.float64)
    outputs = []
    for t in range(len(u)):
        window = padded[t : t + kernel_size]
        x_t = F.silu((window * taps).sum(0) + block.conv.bias)

        selected = block.select.weight @ x_t
        time = selected[: block.rank]
        B = selected[block.rank : block.rank + d_state]
        C = selected[block.rank + d_state :]
        dt = F.softplus(block.time.weight @ time + block.time.bias)

        h = torch.exp(dt[:, None] * A) * h + torch.outer(dt * x_t, B)
        y = F.silu(z[t]) * (h @ C + block.skip * x_t)
        outputs.append(block.output.weight @ y)
    return torch.stack(outputs)


@given(
    d_model=integers(1, 5),
    d_state=integers(1, 4),
    kernel_size=integers(1, 4),
    seed=integers(0, 10**6),
)
@settings(max_examples=20)
def test_the_block_is_its_formula_step_by_step(d_model, d_state, kernel_size, seed):
    block, u = random_block(d_model, d_state, kernel_size, seed)
    expected = torch.stack([block_by_formula(block, row) for row in u])
    torch.testing.assert_close(block(u), expected, **CLOSE)


def test_the_block_equals_mambapys_with_the_same_weights():
    block, u = random_block(32, 16, 4, 0)
    config = mamba.MambaConfig(d_model=32, n_layers=1, d_state=16)
    other = mamba.MambaBlock(config).double()
    names = {
        "in_proj.weight": "input.weight",
        "out_proj.weight": "output.weight",
        "conv1d.weight": "conv.weight",
        "conv1d.bias": "conv.bias",
        "x_proj.weight": "select.weight",
        "dt_proj.weight": "time.weight",
        "dt_proj.bias": "time.bias",
        "A_log": "log_rates",
        "D": "skip",
    }
    weights = block.state_dict()
    other.load_state_dict({theirs: weights[ours] for theirs, ours in names.items()})
    torch.testing.assert_close(block(u), other(u), **CLOSE)


def test_it_starts_as_mamba_does():
    torch.manual_seed(0)
    block = Mamba(64, 8)
    steps = F.softplus(block.time.bias)
    assert 1e-3 <= steps.min() < 2e-3
    assert 5e-2 < steps.max() <= 1e-1 + 1e-6
    torch.testing.assert_close(block.log_rates.exp(), torch.arange(1.0, 9).expand(128, 8))
    assert (block.skip == 1).all()
    assert block.time.weight.abs().max() <= 0.5  # rank 4


def layer_norm(x, norm):
    return F.layer_norm(x, (8,), norm.weight, norm.bias, 1e-12)


@pytest.mark.parametrize(("n_layers", "residual"), [(1, False), (2, True)])
def test_mamba4rec_has_a_residual_only_where_there_are_several_layers(n_layers, residual):
    model = contract.random_model("mamba4rec", {"n_layers": n_layers}, 0)
    items = contract.random_items(0, [6])
    x = layer_norm(model.item_embedding.weight[items], model.norm)
    for layer in model.layers:
        recurred = layer.recurrent(x)
        x = layer_norm(x + recurred if residual else recurred, layer.norm)
        wide = F.gelu(layer.feed_forward.widen(x))
        x = layer.feed_forward.norm(x + layer.feed_forward.narrow(wide))
    torch.testing.assert_close(model.encode(items), x, **CLOSE)


def test_lrurec_steps_through_complex_states():
    model = contract.random_model("lrurec", {}, 0)
    items = contract.random_items(0, [5])
    state = model.init_state(1)
    assert state["h"].shape == (2, 1, 16, 2)

    x = model.embed(items)[0]
    lru = model.layers[0].recurrent
    B = torch.complex(lru.B[0], lru.B[1])
    gamma = (1 - lru.eigenvalues().abs() ** 2).sqrt()
    h = torch.zeros(16, dtype=torch.complex128)
    for t in range(5):
        _, state = model.step(state, items[:, t])
        h = lru.eigenvalues() * h + gamma * (B @ x[t].to(torch.complex128))
        found = torch.view_as_complex(state["h"][0])[0]
        torch.testing.assert_close(found, h, **CLOSE)


def test_under_bfloat16_autocast_the_decay_keeps_float32s_digits():
    torch.manual_seed(0)
    block = Mamba(8, 4, 3)
    u = torch.randn(2, 60, 8)
    exact = block(u)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = block(u)
    found.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in block.parameters())

    # A few roundings to bfloat16 of what enters and leaves; a rounded decay would add its error
    # at each of 60 steps.
    error = (found.float() - exact).norm() / exact.norm()
    assert error < 3 * torch.finfo(torch.bfloat16).eps
