"""The BD-LRU as one operator, and RecBLR's layer around it.

The formula stands against a plain loop, the fused kernel of the CPU against the formula in
float64, gradients included. The kernels of the GPU are in test_triton_scan.py.
"""

import math
from typing import NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis.strategies import booleans, integers, sampled_from
from torch import Tensor
from torch.nn import functional as F

from minirec.layers.bd_lru import BehaviourDependentLRU, GatedRecurrentLayer
from minirec.scan.bd_lru import bd_lru, bd_lru_states, decay_and_scale

pytestmark = pytest.mark.slow

shapes = {
    "n_rows": integers(1, 5),
    "n_steps": integers(1, 40),
    "n_channels": integers(1, 37),
    "seed": integers(0, 10**6),
}


class Inputs(NamedTuple):
    """What the operator reads; z is the second half of xz, as in the layer."""

    gates: Tensor  # [B, N, 2H]
    x: Tensor  # [B, N, H]
    xz: Tensor  # [B, N, 2H]
    Lambda: Tensor  # [H]
    h0: Tensor  # [B, H]

    @property
    def z(self) -> Tensor:
        return self.xz[..., self.x.shape[2] :]


def draw(n_rows, n_steps, n_channels, seed, spread=1.0) -> Inputs:
    """Random inputs in float32."""
    torch.manual_seed(seed)
    return Inputs(
        gates=spread * torch.randn(n_rows, n_steps, 2 * n_channels),
        x=torch.randn(n_rows, n_steps, n_channels),
        xz=torch.randn(n_rows, n_steps, 2 * n_channels),
        Lambda=spread * torch.randn(n_channels) - 3,
        h0=torch.randn(n_rows, n_channels),
    )


def draw_directions(inputs: Inputs) -> list[Tensor]:
    """Random weights of y and of the final state; their weighted sum is what gradients are of."""
    return [torch.randn_like(inputs.x), torch.randn_like(inputs.h0)]


def run(impl, dtype, inputs: Inputs, directions, with_h0=True) -> list[Tensor]:
    """y, the final state, and the gradients of all inputs."""
    inputs = Inputs(*[tensor.to(dtype).requires_grad_() for tensor in inputs])
    of_y, of_last = [direction.to(dtype) for direction in directions]
    h0 = inputs.h0 if with_h0 else None
    y, last = bd_lru(inputs.gates, inputs.x, inputs.z, inputs.Lambda, h0, impl=impl)

    total = (y * of_y).sum() + (last * of_last).sum()
    differentiable = inputs if with_h0 else inputs[:4]
    return [y, last, *torch.autograd.grad(total, differentiable)]


def terms_of_Lambdas_gradient(inputs: Inputs, to_gates: Tensor) -> Tensor:
    """What each row and position adds to the gradient of Lambda, [B, N, H].

    log alpha = -softplus(Lambda) sigmoid(r) depends on Lambda and r alike, so the terms follow
    from the gradient of r: d log alpha / d Lambda over d log alpha / d r.
    """
    r, _ = inputs.gates.double().chunk(2, dim=-1)
    to_r, _ = to_gates.chunk(2, dim=-1)
    Lambda = inputs.Lambda.double()
    return to_r * torch.sigmoid(Lambda) / (F.softplus(Lambda) * torch.sigmoid(-r))


def assert_close(ours, exact, tolerance, inputs: Inputs):
    names = ("y", "final state", "gates", "x", "z", "Lambda", "h0")
    exact = dict(zip(names, exact, strict=False))  # the last is missing where there is no h0
    ours = dict(zip(names, ours, strict=False))
    assert ours.keys() == exact.keys()
    for name, wanted in exact.items():
        size = wanted.norm()
        if name == "Lambda":
            # A sum over all rows and positions, of which little is left where the terms cancel;
            # every term has been rounded.
            terms = terms_of_Lambdas_gradient(inputs, exact["gates"])
            size = torch.maximum(size, terms.norm())
        assert (ours[name].double() - wanted).norm() <= tolerance * size + 1e-30, name


@given(**shapes)
def test_the_formula_is_the_loop(n_rows, n_steps, n_channels, seed):
    inputs = Inputs(*[tensor.double() for tensor in draw(n_rows, n_steps, n_channels, seed)])
    gates, x, _, Lambda, h = inputs
    z = inputs.z
    y, last = bd_lru(gates, x, z, Lambda, h, impl="unfused")

    r, i = gates.chunk(2, dim=-1)
    for t in range(n_steps):
        # exp(-softplus(Lambda) s) = (1 + exp(Lambda))^-s
        alpha = (1 + Lambda.exp()) ** -torch.sigmoid(r[:, t])
        scale = (1 - alpha**2).sqrt()  # 1 - alpha^2 cancels here, hence the tolerance
        h = alpha * h + scale * torch.sigmoid(i[:, t]) * x[:, t]
        silu = z[:, t] / (1 + (-z[:, t]).exp())
        torch.testing.assert_close(y[:, t], h * silu, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(last, h, rtol=1e-9, atol=1e-9)


@given(with_h0=booleans(), **shapes)
def test_the_states_alone_are_those_that_the_output_is_gated_from(
    n_rows, n_steps, n_channels, seed, with_h0
):
    inputs = Inputs(*[tensor.double() for tensor in draw(n_rows, n_steps, n_channels, seed)])
    gates, x, _, Lambda, h0 = inputs
    h0 = h0 if with_h0 else None
    states = bd_lru_states(gates, x, Lambda, h0)
    assert states.dtype == torch.float64
    y, last = bd_lru(gates, x, inputs.z, Lambda, h0, impl="unfused")
    silu = inputs.z / (1 + (-inputs.z).exp())
    torch.testing.assert_close(silu * states, y, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(states[:, -1], last, rtol=0, atol=0)


@given(with_h0=booleans(), spread=sampled_from([0.1, 1.0, 10.0]), **shapes)
def test_fused_equals_the_formula_in_float64(n_rows, n_steps, n_channels, seed, with_h0, spread):
    inputs = draw(n_rows, n_steps, n_channels, seed, spread)
    directions = draw_directions(inputs)
    fused = run("fused", torch.float32, inputs, directions, with_h0)
    formula = run("unfused", torch.float64, inputs, directions, with_h0)
    assert_close(fused, formula, 1e-5, inputs)


@pytest.mark.parametrize("shape", [(64, 60, 40), (1, 3000, 40), (3, 1500, 16)], ids=str)
def test_fused_equals_the_formula_where_threads_share_the_work(shape):
    inputs = draw(*shape, seed=1)
    directions = draw_directions(inputs)
    fused = run("fused", torch.float32, inputs, directions)
    formula = run("unfused", torch.float64, inputs, directions)
    assert_close(fused, formula, 1e-5, inputs)


@given(**shapes)
def test_bfloat16_costs_its_own_rounding_and_no_more(n_rows, n_steps, n_channels, seed):
    inputs = draw(n_rows, n_steps, n_channels, seed)
    directions = draw_directions(inputs)
    inputs = Inputs(*[tensor.bfloat16() for tensor in inputs])
    directions = [direction.bfloat16() for direction in directions]

    # 8 bits: every output is rounded once, 2^-9, and the gradients read an h that was too; a few
    # roundings may add up.
    fused = run("fused", torch.bfloat16, inputs, directions)
    exact = run("unfused", torch.float64, inputs, directions)  # of the same rounded inputs
    assert_close(fused, exact, 4 * 2**-9, inputs)


@pytest.mark.parametrize("impl", ["fused", "unfused"])
@pytest.mark.parametrize(
    "r, Lambda",
    [
        (-200.0, -3.0),
        (-104.0, -3.0),
        (-87.5, -3.0),
        (0.0, -200.0),
        (200.0, -90.0),
        (-200.0, -2000.0),
        (200.0, 50.0),
        (-math.inf, 0.0),
    ],
)
def test_gradients_stay_finite_where_the_decay_underflows(impl, r, Lambda):
    inputs = draw(2, 6, 3, seed=2)
    directions = draw_directions(inputs)
    inputs.gates[..., :3] = r
    inputs.Lambda[:] = Lambda
    for result in run(impl, torch.float32, inputs, directions):
        assert torch.isfinite(result).all()


def test_a_decay_of_nothing_keeps_the_state():
    """r = -inf: alpha = 1 and nothing comes in; so padding is left out of a final state."""
    inputs = draw(3, 7, 5, seed=3)
    gates, x, _, Lambda, h0 = inputs
    gates[1, 4:] = -math.inf
    gates[2, 1:] = -math.inf
    _, last = bd_lru(gates, x, inputs.z, Lambda, h0)
    for b, n in enumerate((7, 4, 1)):
        row = slice(b, b + 1)
        _, alone = bd_lru(gates[row, :n], x[row, :n], inputs.z[row, :n], Lambda, h0[row])
        torch.testing.assert_close(last[b], alone[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("where", range(5))
def test_a_nan_is_not_hidden(where):
    inputs = draw(1, 4, 20, seed=4)
    inputs[where].view(-1)[-1] = math.nan
    y, _ = bd_lru(inputs.gates, inputs.x, inputs.z, inputs.Lambda, inputs.h0, impl="fused")
    assert torch.isnan(y[0, -1, -1])


def test_the_scale_is_accurate_where_alpha_is_near_1():
    r = torch.tensor([-30.0, -20.0, -10.0, 0.0, 30.0])
    log_alpha, scale = decay_and_scale(r, torch.zeros(5))
    exact = (-torch.expm1(-2 * math.log(2) * torch.sigmoid(r.double()))).sqrt()
    torch.testing.assert_close(scale.double(), exact, rtol=1e-6, atol=0)
    naive = (1 - log_alpha.exp() ** 2).sqrt()
    assert naive[0] == 0  # what is lost the short way
    assert scale[0] > 0


def test_the_formula_passes_gradcheck_and_has_second_derivatives():
    inputs = draw(2, 4, 3, seed=5)
    tensors = [inputs.gates, inputs.x, inputs.z.contiguous(), inputs.Lambda, inputs.h0]
    tensors = [tensor.double().requires_grad_() for tensor in tensors]

    def formula(*tensors):
        return bd_lru(*tensors, impl="unfused")

    assert torch.autograd.gradcheck(formula, tensors)


def test_no_positions_leave_the_state_and_its_gradient():
    gates = torch.empty(2, 0, 6)
    x = torch.empty(2, 0, 3)
    h0 = torch.randn(2, 3, requires_grad=True)
    y, last = bd_lru(gates, x, torch.empty(2, 0, 3), torch.zeros(3), h0)
    assert y.shape == (2, 0, 3)
    (gradient,) = torch.autograd.grad(last.sum(), h0)
    assert torch.equal(gradient, torch.ones(2, 3))


def test_halves_of_one_tensor_are_read_where_they_lie():
    inputs = draw(2, 9, 8, seed=7)
    gates, x, _, Lambda, h0 = inputs
    y, last = bd_lru(gates, x, inputs.z, Lambda, h0)

    copied_y, copied_last = bd_lru(gates, x, inputs.z.clone(), Lambda, h0)
    assert torch.equal(y, copied_y)
    assert torch.equal(last, copied_last)

    turned = gates.transpose(0, 1).contiguous().transpose(0, 1)
    turned_y, _ = bd_lru(turned, x, inputs.z, Lambda, h0)
    assert torch.equal(y, turned_y)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"gates": torch.empty(2, 4, 5)}, r"\[2, 4, 5\]"),
        ({"x": torch.empty(2, 3, 3)}, r"\[2, 3, 3\]"),
        ({"z": torch.empty(2, 4, 1)}, r"\[2, 4, 1\]"),
        ({"Lambda": torch.empty(4)}, r"\[4\]"),
        ({"h0": torch.empty(2, 4)}, r"h0.*\[2, 3\].*\[2, 4\]"),
        ({"impl": "fast"}, "'fast'"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(change, message):
    fitting = {
        "gates": torch.empty(2, 4, 6),
        "x": torch.empty(2, 4, 3),
        "z": torch.empty(2, 4, 3),
        "Lambda": torch.empty(3),
    }
    with pytest.raises(ValueError, match=message):
        bd_lru(**{**fitting, **change})


def test_fused_is_refused_where_there_is_no_kernel():
    gates = torch.empty(2, 4, 6).double()
    x = torch.empty(2, 4, 3).double()
    z = torch.empty(2, 4, 3).double()
    Lambda = torch.empty(3).double()
    with pytest.raises(RuntimeError, match="float64"):
        bd_lru(gates, x, z, Lambda, impl="fused")


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (GatedRecurrentLayer, {}),
        (GatedRecurrentLayer, {"temporal_conv": False}),
        (GatedRecurrentLayer, {"behaviour_gates": False}),
        (BehaviourDependentLRU, {}),
        (BehaviourDependentLRU, {"behaviour_gates": False}),
    ],
    ids=str,
)
@torch.no_grad()
def test_a_layer_reads_and_steps_as_it_runs(kind, options):
    torch.manual_seed(8)
    layer = kind(4, **options).double()
    u = torch.randn(3, 6, 4, dtype=torch.float64)
    whole = layer(u)
    lengths = torch.tensor([6, 2, 0])
    read, state = layer.read(u, torch.arange(6) < lengths[:, None])
    torch.testing.assert_close(read[0], whole[0], rtol=0, atol=1e-12)
    assert state.keys() == layer.init_state(1).keys()

    for row, n in enumerate(lengths):
        alone = layer.init_state(1)
        for t in range(n):
            y, alone = layer.step(alone, u[row : row + 1, t])
            torch.testing.assert_close(y[0], whole[row, t], rtol=0, atol=1e-12)
        for name, part in alone.items():
            torch.testing.assert_close(state[name][row], part[0], rtol=0, atol=1e-12)
