"""The BD-LRU as one operator: the formula against a plain loop, the fused kernel of the CPU against the formula in float64, gradients included.

The kernels of the GPU are in test_scan_gpu.py.
"""

import math

import pytest
import torch
from hypothesis import given
from hypothesis.strategies import booleans, integers, sampled_from

from minirec.layers.bd_lru import GatedRecurrentLayer
from minirec.scan.bd_lru import bd_lru, decay_and_scale

shapes = {
    "n_rows": integers(1, 5),
    "n_steps": integers(1, 40),
    "n_channels": integers(1, 37),
    "seed": integers(0, 10**6),
}


def draw(n_rows, n_steps, n_channels, seed, spread=1.0):
    """gates, x, the tensor that z is half of, Lambda, h0, and directions for y and the final state; in float32."""
    torch.manual_seed(seed)
    shape = (n_rows, n_steps, n_channels)
    return (
        spread * torch.randn(n_rows, n_steps, 2 * n_channels),
        torch.randn(shape),
        torch.randn(n_rows, n_steps, 2 * n_channels),
        spread * torch.randn(n_channels) - 3,
        torch.randn(n_rows, n_channels),
    ), (torch.randn(shape), torch.randn(n_rows, n_channels))


def run(impl, dtype, tensors, directions, with_h0=True):
    """y, the final state, and the gradients of all inputs."""
    gates, x, xz, Lambda, h0 = inputs = [tensor.to(dtype).requires_grad_() for tensor in tensors]
    y, last = bd_lru(gates, x, xz[..., x.shape[2] :], Lambda, h0 if with_h0 else None, impl=impl)
    of_y, of_last = (direction.to(dtype) for direction in directions)
    return [
        y,
        last,
        *torch.autograd.grad(
            (y * of_y).sum() + (last * of_last).sum(), inputs if with_h0 else inputs[:4]
        ),
    ]


def assert_close(ours, exact, tolerance):
    for name, mine, other in zip(
        ("y", "final state", "gates", "x", "z", "Lambda", "h0"), ours, exact, strict=False
    ):
        assert (mine.double() - other).norm() <= tolerance * other.norm() + 1e-30, name


@given(**shapes)
def test_the_formula_is_the_loop(n_rows, n_steps, n_channels, seed):
    (gates, x, xz, Lambda, h), _ = draw(n_rows, n_steps, n_channels, seed)
    gates, x, xz, Lambda, h = (tensor.double() for tensor in (gates, x, xz, Lambda, h))
    z = xz[..., n_channels:]
    y, last = bd_lru(gates, x, z, Lambda, h, impl="unfused")
    for t in range(n_steps):
        alpha = (1 + Lambda.exp()) ** -torch.sigmoid(
            gates[:, t, :n_channels]
        )  # exp(-softplus(L) s) = (1 + e^L)^-s
        h = alpha * h + (1 - alpha**2).sqrt() * torch.sigmoid(gates[:, t, n_channels:]) * x[:, t]
        torch.testing.assert_close(
            y[:, t], h * z[:, t] / (1 + (-z[:, t]).exp()), rtol=1e-9, atol=1e-9
        )  # 1 - alpha^2 cancels here
    torch.testing.assert_close(last, h, rtol=1e-9, atol=1e-9)


@given(with_h0=booleans(), spread=sampled_from([0.1, 1.0, 10.0]), **shapes)
def test_fused_equals_the_formula_in_float64(n_rows, n_steps, n_channels, seed, with_h0, spread):
    tensors, directions = draw(n_rows, n_steps, n_channels, seed, spread)
    assert_close(
        run("fused", torch.float32, tensors, directions, with_h0),
        run("unfused", torch.float64, tensors, directions, with_h0),
        1e-5,
    )


@pytest.mark.parametrize("shape", [(64, 60, 40), (1, 3000, 40), (3, 1500, 16)], ids=str)
def test_fused_equals_the_formula_where_threads_share_the_work(shape):
    tensors, directions = draw(*shape, seed=1)
    assert_close(
        run("fused", torch.float32, tensors, directions),
        run("unfused", torch.float64, tensors, directions),
        1e-5,
    )


@given(**shapes)
def test_bfloat16_costs_its_own_rounding_and_no_more(n_rows, n_steps, n_channels, seed):
    tensors, directions = draw(n_rows, n_steps, n_channels, seed)
    tensors, directions = (
        [tensor.bfloat16() for tensor in group] for group in (tensors, directions)
    )
    exact = run("unfused", torch.float64, tensors, directions)  # of the same rounded inputs
    # 8 bits: every output is rounded once, 2^-9, and the gradients read an h that was too; a few roundings may add up
    assert_close(run("fused", torch.bfloat16, tensors, directions), exact, 4 * 2**-9)


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
    tensors, directions = draw(2, 6, 3, seed=2)
    tensors[0][..., :3], tensors[3][:] = r, Lambda
    for result in run(impl, torch.float32, tensors, directions):
        assert torch.isfinite(result).all()


def test_a_decay_of_nothing_keeps_the_state():
    """r = -inf: alpha = 1 and nothing comes in; so padding is left out of a final state."""
    (gates, x, xz, Lambda, h0), _ = draw(3, 7, 5, seed=3)
    gates[1, 4:], gates[2, 1:] = -math.inf, -math.inf
    _, last = bd_lru(gates, x, xz[..., 5:], Lambda, h0)
    for row, n in enumerate((7, 4, 1)):
        _, alone = bd_lru(
            gates[row : row + 1, :n],
            x[row : row + 1, :n],
            xz[row : row + 1, :n, 5:],
            Lambda,
            h0[row : row + 1],
        )
        torch.testing.assert_close(last[row], alone[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("where", range(5))
def test_a_nan_is_not_hidden(where):
    tensors, _ = draw(1, 4, 20, seed=4)
    tensors[where].view(-1)[-1] = math.nan
    y, _ = bd_lru(*tensors[:2], tensors[2][..., 20:], *tensors[3:], impl="fused")
    assert torch.isnan(y[0, -1, -1])


def test_the_scale_is_accurate_where_alpha_is_near_1():
    r = torch.tensor([-30.0, -20.0, -10.0, 0.0, 30.0])
    log_alpha, scale = decay_and_scale(r, torch.zeros(5))
    exact = (-torch.expm1(-2 * math.log(2) * torch.sigmoid(r.double()))).sqrt()
    torch.testing.assert_close(scale.double(), exact, rtol=1e-6, atol=0)
    naive = (1 - log_alpha.exp() ** 2).sqrt()
    assert naive[0] == 0 < scale[0]  # what is lost the short way


def test_the_formula_passes_gradcheck_and_has_second_derivatives():
    (gates, x, xz, Lambda, h0), _ = draw(2, 4, 3, seed=5)
    inputs = [
        tensor.double().requires_grad_()
        for tensor in (gates, x, xz[..., 3:].contiguous(), Lambda, h0)
    ]
    assert torch.autograd.gradcheck(lambda *tensors: bd_lru(*tensors, impl="unfused"), inputs)


def test_fused_refuses_second_derivatives():
    (gates, x, xz, Lambda, h0), _ = draw(2, 4, 3, seed=6)
    x.requires_grad_()
    y, _ = bd_lru(gates, x, xz[..., 3:], Lambda, h0, impl="fused")
    (first,) = torch.autograd.grad((y**2).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


def test_no_positions_leave_the_state_and_its_gradient():
    h0 = torch.randn(2, 3, requires_grad=True)
    y, last = bd_lru(
        torch.empty(2, 0, 6), torch.empty(2, 0, 3), torch.empty(2, 0, 3), torch.zeros(3), h0
    )
    assert y.shape == (2, 0, 3)
    assert torch.equal(torch.autograd.grad(last.sum(), h0)[0], torch.ones(2, 3))


def test_halves_of_one_tensor_are_read_where_they_lie():
    (gates, x, xz, Lambda, h0), _ = draw(2, 9, 8, seed=7)
    z = xz[..., 8:]
    for one, other in zip(bd_lru(gates, x, z, Lambda, h0), bd_lru(gates, x, z.clone(), Lambda, h0)):
        assert torch.equal(one, other)
    turned = gates.transpose(0, 1).contiguous().transpose(0, 1)
    assert torch.equal(bd_lru(turned, x, z, Lambda, h0)[0], bd_lru(gates, x, z, Lambda, h0)[0])


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
    with pytest.raises(RuntimeError, match="float64"):
        bd_lru(
            torch.empty(2, 4, 6).double(),
            torch.empty(2, 4, 3).double(),
            torch.empty(2, 4, 3).double(),
            torch.empty(3).double(),
            impl="fused",
        )


@pytest.mark.parametrize(
    "options", [{}, {"temporal_conv": False}, {"behaviour_gates": False}], ids=str
)
@torch.no_grad()
def test_a_layer_reads_and_steps_as_it_runs(options):
    torch.manual_seed(8)
    layer, u = GatedRecurrentLayer(4, **options).double(), torch.randn(3, 6, 4, dtype=torch.float64)
    whole, lengths = layer(u), torch.tensor([6, 2, 0])
    read, state = layer.read(u, torch.arange(6) < lengths[:, None])
    torch.testing.assert_close(read[0], whole[0], rtol=0, atol=1e-12)
    for row, n in enumerate(lengths):
        stepped = layer.init_state(1)
        stepped = {name: part.double() for name, part in stepped.items()}
        for t in range(n):
            y, stepped = layer.step(stepped, u[row : row + 1, t])
            torch.testing.assert_close(y[0], whole[row, t], rtol=0, atol=1e-12)
        for name, part in stepped.items():
            torch.testing.assert_close(state[name][row], part[0], rtol=0, atol=1e-12)
