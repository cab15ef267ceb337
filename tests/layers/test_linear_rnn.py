"""minGRU and the LRU: each against a loop over its definition, in Python floats and complex
numbers, and what their forms promise.
"""

import cmath
import math

import pytest
import torch
from gradients import gradients_are_right
from hypothesis import given
from hypothesis.strategies import integers
from plain_floats import inner, sigmoid
from torch import nn

from minirec.layers.gru import GRUCell
from minirec.layers.linear_rnn import LRU, MinGRU

pytestmark = pytest.mark.slow

CLOSE = {"rtol": 0, "atol": 1e-11}
shapes = {
    "batch": integers(1, 4),
    "length": integers(1, 9),
    "d_input": integers(1, 5),
    "d_state": integers(1, 6),
    "seed": integers(0, 10**6),
}


def random_layer(kind, d_input, d_state, seed):
    torch.manual_seed(seed)
    layer = kind(d_input, d_state).double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    return layer


def min_gru_by_definition(layer: MinGRU, x: list[list[float]]) -> list[list[float]]:
    """One row, as printed: z = sigmoid(W_z x + b_z), c = W_h x + b_h, h = (1 - z) h + z c."""
    weight = layer.project.weight.tolist()
    bias = layer.project.bias.tolist()
    n = len(bias) // 2
    h = [0.0] * n
    states = []
    for x_t in x:
        z = [sigmoid(inner(weight[c], x_t) + bias[c]) for c in range(n)]
        candidate = [inner(weight[n + c], x_t) + bias[n + c] for c in range(n)]
        h = [(1 - z[c]) * h[c] + z[c] * candidate[c] for c in range(n)]
        states.append(h)
    return states


def lru_by_definition(layer: LRU, x: list[list[float]]) -> list[list[float]]:
    """One row, in Python's complex numbers."""
    nu = layer.nu.tolist()
    theta = layer.theta.tolist()
    B = torch.complex(*layer.B).tolist()
    C = torch.complex(*layer.C).tolist()
    D = layer.D.tolist()

    n = len(nu)
    eigenvalues = [cmath.exp(complex(-math.exp(nu[c]), math.exp(theta[c]))) for c in range(n)]
    gamma = [math.sqrt(1 - abs(eigenvalue) ** 2) for eigenvalue in eigenvalues]

    h = [0j] * n
    outputs = []
    for x_t in x:
        driven = [sum(b * v for b, v in zip(row, x_t, strict=True)) for row in B]
        h = [eigenvalues[c] * h[c] + gamma[c] * driven[c] for c in range(n)]
        read = [sum(c * h_c for c, h_c in zip(row, h, strict=True)).real for row in C]
        outputs.append([read[j] + D[j] * x_t[j] for j in range(len(x_t))])
    return outputs


@pytest.mark.parametrize(
    "kind, by_definition", [(MinGRU, min_gru_by_definition), (LRU, lru_by_definition)]
)
@given(**shapes)
def test_it_is_its_definition(kind, by_definition, batch, length, d_input, d_state, seed):
    layer = random_layer(kind, d_input, d_state, seed)
    x = torch.randn(batch, length, d_input).double()
    expected = [by_definition(layer, row) for row in x.tolist()]
    torch.testing.assert_close(layer(x), torch.tensor(expected, dtype=torch.float64), **CLOSE)


@given(**shapes)
def test_steps_of_the_lru_give_what_forward_gives(batch, length, d_input, d_state, seed):
    layer = random_layer(LRU, d_input, d_state, seed)
    x = torch.randn(batch, length, d_input).double()
    h = torch.zeros(batch, d_state, dtype=torch.complex128)
    for t in range(length):
        y, h = layer.step(h, x[:, t])
        torch.testing.assert_close(y, layer(x)[:, t], **CLOSE)


@pytest.mark.parametrize("kind", [MinGRU, LRU])
def test_gradients_of_every_parameter_and_of_the_input_are_right(kind):
    layer = random_layer(kind, 2, 3, seed=5)
    x = torch.randn(2, 4, 2).double()
    assert gradients_are_right(layer, x)


@torch.no_grad()
def test_an_update_gate_far_open_leaves_no_trace_of_the_past_and_far_shut_keeps_it():
    layer = MinGRU(2, 1)
    layer.project.bias.zero_()
    items = torch.eye(2)[None]
    for gate, after in ((200.0, 3.0), (-200.0, 7.0)):
        # The first item sets the state to 7, the second offers 3.
        layer.project.weight.copy_(torch.tensor([[200.0, gate], [7.0, 3.0]]))
        assert layer(items)[0].flatten().tolist() == [7, after]


@torch.no_grad()
def test_a_gru_whose_gates_see_no_state_and_whose_candidate_is_small_is_a_mingru():
    layer = random_layer(MinGRU, 3, 4, seed=1)
    layer.project.weight[4:] *= 5e-5  # tanh a = a - a^3 / 3 ...
    layer.project.bias[4:] *= 5e-5

    cell = GRUCell(3, 4).double()
    cell.weight_h.zero_()
    cell.weight_x[4:] = layer.project.weight
    cell.bias_x[4:] = layer.project.bias

    x = torch.randn(5, 6, 3).double()
    h = torch.zeros(5, 4).double()
    for t, state in enumerate(layer(x).unbind(1)):
        h = cell(x[:, t], h)
        torch.testing.assert_close(h, state, **CLOSE)


@pytest.mark.parametrize("size", [1e-3, 1.0, 100.0])
@torch.no_grad()
def test_every_eigenvalue_lies_inside_the_unit_circle_whatever_the_weights(size):
    layer = random_layer(LRU, 2, 1000, seed=2)
    nn.init.normal_(layer.nu, std=min(size, 8.0))
    nn.init.normal_(layer.theta, std=min(size, 8.0))
    assert (layer.eigenvalues().abs() < 1).all()
    h = layer.double().eigenvalues() ** 10**6
    assert h.isfinite().all()
    assert (h.abs() < 1).all()


@torch.no_grad()
def test_the_ring_is_filled_evenly_at_the_start():
    torch.manual_seed(0)
    eigenvalues = LRU(1, 20_000, ring=(0.5, 0.9), max_angle=2.0).eigenvalues()
    radius = eigenvalues.abs()
    angle = eigenvalues.angle()
    assert radius.min() >= 0.5 - 1e-6
    assert radius.max() <= 0.9 + 1e-6
    assert angle.min() > 0
    assert angle.max() <= 2.0

    # Half of the ring's area lies on either side of this radius.
    middle = math.sqrt((0.25 + 0.81) / 2)
    assert abs((radius < middle).double().mean() - 0.5) < 0.02
    assert abs((angle < 1).double().mean() - 0.5) < 0.02


@torch.no_grad()
def test_white_noise_keeps_the_state_at_one_size_whatever_the_memory():
    torch.manual_seed(0)
    layer = LRU(1, 64)
    layer.B.fill_(math.sqrt(0.5))  # B x has mean square 1
    h = torch.zeros(256, 64, dtype=torch.complex64)
    for _ in range(4000):
        _, h = layer.step(h, torch.randn(256, 1))
    size = h.abs().square().mean(0)
    assert (size > 0.5).all()
    assert (size < 2).all()


@torch.no_grad()
def test_long_sequences_in_float32_stay_near_float64():
    layer = random_layer(LRU, 3, 8, seed=4)
    x = torch.randn(1, 50_000, 3).double()
    nn.init.uniform_(layer.theta, 0, 1.8)
    layer.nu.fill_(-6.0)
    layer.float()
    single = layer(x.float())
    exact = layer.double()(x)
    assert (single - exact).norm() / exact.norm() < 1e-5


@pytest.mark.parametrize("kind", [MinGRU, LRU])
@torch.no_grad()
def test_an_empty_sequence_gives_an_empty_sequence(kind):
    assert kind(3, 3)(torch.zeros(2, 0, 3)).shape == (2, 0, 3)


@pytest.mark.parametrize(
    "options",
    [
        {"ring": (0.9, 0.9)},
        {"ring": (0.9, 0.5)},
        {"ring": (-0.1, 0.5)},
        {"ring": (0.5, 1.1)},
        {"max_angle": 0},
    ],
    ids=str,
)
def test_a_ring_that_is_none_is_refused(options):
    with pytest.raises(ValueError, match="ring must be two radii"):
        LRU(2, 2, **options)


def test_min_gru_under_bfloat16_autocast_carries_a_long_memory():
    # The gate is nearly shut: 1 - z is .9993, which bfloat16 would round to 1, so that nothing
    # would be forgotten: after 3,000 steps of c = 1 the state would be 2.1 in the place of .87.
    layer = MinGRU(1, 1)
    with torch.no_grad():
        layer.project.weight.zero_()
        layer.project.bias.copy_(torch.tensor([-7.25, 1.0]))
    x = torch.zeros(1, 3000, 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        h = layer(x)
    assert h.dtype == torch.bfloat16
    expected = 1 - (1 - sigmoid(-7.25)) ** 3000
    assert h[0, -1, 0].item() == pytest.approx(expected, rel=0.01)
