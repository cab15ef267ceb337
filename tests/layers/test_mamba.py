"""The Mamba block beside a loop and another implementation; Mamba4Rec and LRURec beside their pieces. Their promises are in test_contract.py."""

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
    torch.manual_seed(seed)
    return Mamba(d_model, d_state, kernel_size).double(), torch.randn(
        2, 7, d_model, dtype=torch.float64
    )


@given(
    d_model=integers(1, 5),
    d_state=integers(1, 4),
    kernel_size=integers(1, 4),
    seed=integers(0, 10**6),
)
@settings(max_examples=20)
def test_the_block_is_its_formula_step_by_step(d_model, d_state, kernel_size, seed):
    block, u = random_block(d_model, d_state, kernel_size, seed)
    x, z = (u @ block.input.weight.T).split(2 * d_model, dim=-1)
    padded = F.pad(x, (0, 0, kernel_size - 1, 0))
    out = []
    for row in range(2):
        h, outs = torch.zeros(2 * d_model, d_state, dtype=torch.float64), []
        for t in range(7):
            at = F.silu(
                (padded[row, t : t + kernel_size] * block.conv.weight[:, 0].T).sum(0)
                + block.conv.bias
            )
            chosen = block.select.weight @ at
            time, write, read = (
                chosen[: block.rank],
                chosen[block.rank : block.rank + d_state],
                chosen[block.rank + d_state :],
            )
            dt = F.softplus(block.time.weight @ time + block.time.bias)
            h = torch.exp(
                -torch.outer(dt, torch.ones(d_state, dtype=torch.float64)) * block.log_rates.exp()
            ) * h + torch.outer(dt * at, write)
            outs.append(block.output.weight @ (F.silu(z[row, t]) * (h @ read + block.skip * at)))
        out.append(torch.stack(outs))
    torch.testing.assert_close(block(u), torch.stack(out), **CLOSE)


def test_the_block_equals_mambapys_with_the_same_weights():
    block, u = random_block(32, 16, 4, 0)
    other = mamba.MambaBlock(mamba.MambaConfig(d_model=32, n_layers=1, d_state=16)).double()
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
    ours = block.state_dict()
    other.load_state_dict({their: ours[our] for their, our in names.items()})
    torch.testing.assert_close(block(u), other(u), **CLOSE)


def test_it_starts_as_mamba_does():
    torch.manual_seed(0)
    block = Mamba(64, 8)
    steps = F.softplus(block.time.bias)
    assert 1e-3 <= steps.min() < 2e-3 and 5e-2 < steps.max() <= 1e-1 + 1e-6
    torch.testing.assert_close(block.log_rates.exp(), torch.arange(1.0, 9).expand(128, 8))
    assert (block.skip == 1).all() and block.time.weight.abs().max() <= 0.5  # rank 4


@pytest.mark.parametrize(("n_layers", "residual"), [(1, False), (2, True)])
def test_mamba4rec_has_a_residual_only_where_there_are_several_layers(n_layers, residual):
    model = contract.random_model("mamba4rec", {"n_layers": n_layers}, 0)
    items = contract.random_items(0, [6])
    x = F.layer_norm(
        model.item_embedding.weight[items], (8,), model.norm.weight, model.norm.bias, 1e-12
    )
    for layer in model.layers:
        recurred = layer.recurrent(x)
        x = F.layer_norm(
            x + recurred if residual else recurred, (8,), layer.norm.weight, layer.norm.bias, 1e-12
        )
        wide = F.gelu(layer.feed_forward.widen(x))
        x = layer.feed_forward.norm(x + layer.feed_forward.narrow(wide))
    torch.testing.assert_close(model.encode(items), x, **CLOSE)


def test_lrurec_steps_through_complex_states():
    model, items = contract.random_model("lrurec", {}, 0), contract.random_items(0, [5])
    state = model.init_state(1)
    assert state["h"].shape == (2, 1, 16, 2)
    x, lru = model.embed(items)[0], model.layers[0].recurrent
    h = torch.zeros(16, dtype=torch.complex128)
    driven = torch.complex(lru.B[0], lru.B[1])
    for t in range(5):
        _, state = model.step(state, items[:, t])
        gamma = (1 - lru.eigenvalues().abs() ** 2).sqrt()
        h = lru.eigenvalues() * h + gamma * (driven @ x[t].to(torch.complex128))
        torch.testing.assert_close(torch.view_as_complex(state["h"][0])[0], h, **CLOSE)
