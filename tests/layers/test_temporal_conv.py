"""The temporal convolution: torch.nn.Conv1d and a scalar loop judge what it computes, one changed
input at a time judges what it sees.
"""

import math

import pytest
import torch
from gradients import gradients_are_right
from hypothesis import given
from hypothesis.strategies import booleans, integers, lists, sampled_from
from torch import nn

from minirec.layers.temporal_conv import NoConv, TemporalConv, last_inputs

CLOSE = {"rtol": 0, "atol": 1e-12}
shapes = {
    "batch": integers(1, 3),
    "length": integers(1, 10),
    "d_model": integers(1, 5),
    "seed": integers(0, 10**6),
}
kinds = {"kernel_size": integers(1, 7), "depthwise": booleans(), "causal": booleans()}
KINDS = [
    (kernel_size, depthwise, causal)
    for kernel_size in range(1, 8)
    for depthwise in (False, True)
    for causal in (False, True)
    if causal or kernel_size % 2
]


def random_conv(d_model, kernel_size, depthwise, causal, seed) -> TemporalConv:
    """With weights all far from 0, so that whatever is read shows.

    An even kernel size makes it causal.
    """
    torch.manual_seed(seed)
    causal = causal or kernel_size % 2 == 0
    conv = TemporalConv(d_model, kernel_size, depthwise=depthwise, causal=causal).double()
    with torch.no_grad():
        for parameter in conv.parameters():
            size = 0.5 + torch.rand_like(parameter)
            sign = torch.randn_like(parameter).sign()
            parameter.copy_(size * sign)
    return conv


def random_input(batch, length, d_model):
    return torch.randn(batch, length, d_model).double()


def positions_before(conv) -> int:
    """How many positions before its own a window holds by definition."""
    if conv.causal:
        return conv.kernel_size - 1
    return (conv.kernel_size - 1) // 2


def positions_seen(conv, n, length) -> list[int]:
    """What the definition lets output n read.

    A causal one reads the last kernel_size inputs, a centred one as many before as after.
    """
    first = n - positions_before(conv)
    return [m for m in range(first, first + conv.kernel_size) if 0 <= m < length]


@given(**shapes, **kinds)
def test_it_is_pytorchs_conv1d(batch, length, d_model, seed, kernel_size, depthwise, causal):
    """A causal one is nn.Conv1d padded by k - 1 at both ends, without its k - 1 last outputs."""
    conv = random_conv(d_model, kernel_size, depthwise, causal, seed)
    x = random_input(batch, length, d_model)
    theirs = nn.Conv1d(
        d_model,
        d_model,
        kernel_size,
        padding=positions_before(conv),
        groups=d_model if depthwise else 1,
    ).double()
    theirs.load_state_dict(conv.state_dict())
    expected = theirs(x.transpose(1, 2))[:, :, :length].transpose(1, 2)
    torch.testing.assert_close(conv(x), expected, **CLOSE)


@given(**shapes, **kinds)
def test_it_is_the_sum_over_the_window(
    batch, length, d_model, seed, kernel_size, depthwise, causal
):
    """Letter by letter, in Python floats.

    There is a term for each input in the window, none for what lies beyond the ends.
    """
    conv = random_conv(d_model, kernel_size, depthwise, causal, seed)
    x = random_input(batch, length, d_model)
    outputs = conv(x).detach()
    assert outputs.shape == (batch, length, d_model)

    weight = conv.weight.tolist()
    bias = conv.bias.tolist()
    inputs = x.tolist()
    for row in range(batch):
        for n in range(length):
            for out in range(d_model):
                # (column of the weight, channel it meets)
                columns = [(0, out)] if depthwise else [(c, c) for c in range(d_model)]
                terms = [bias[out]]
                for m in positions_seen(conv, n, length):
                    tap = m - n + positions_before(conv)
                    for column, channel in columns:
                        terms.append(weight[out][column][tap] * inputs[row][m][channel])
                expected = math.fsum(terms)
                assert math.isclose(outputs[row, n, out], expected, rel_tol=0, abs_tol=1e-12)


@given(**shapes, **kinds)
def test_a_changed_input_changes_exactly_the_outputs_whose_window_holds_it(
    batch, length, d_model, seed, kernel_size, depthwise, causal
):
    conv = random_conv(d_model, kernel_size, depthwise, causal, seed)
    x = random_input(batch, length, d_model)
    before = conv(x)
    for m in range(length):
        changed = x.clone()
        changed[0, m, 0] += 1.0
        difference = (conv(changed) - before).abs()
        expected = [n for n in range(length) if m in positions_seen(conv, n, length)]
        others = [n for n in range(length) if n not in expected]

        differs = difference[0] > 1e-6  # [N, d]
        assert differs[:, 0].nonzero().flatten().tolist() == expected
        channels_mixed = [True] + [not depthwise] * (d_model - 1)
        assert differs[expected].all(0).tolist() == channels_mixed
        assert not difference[0, others].any()
        assert not difference[1:].any()


@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize("kernel_size", range(1, 8))
def test_a_causal_one_never_sees_the_future(kernel_size, depthwise):
    conv = random_conv(3, kernel_size, depthwise, True, seed=0)
    x = random_input(2, 9, 3)
    assert conv.reach == 0
    for n in range(9):
        until_n = conv(x)[:, : n + 1]
        rewritten = torch.cat([x[:, : n + 1], 100 * random_input(2, 8 - n, 3)], dim=1)
        torch.testing.assert_close(conv(rewritten)[:, : n + 1], until_n, **CLOSE)
        torch.testing.assert_close(conv(x[:, : n + 1]), until_n, **CLOSE)


@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize("kernel_size", [1, 3, 5, 7])
def test_a_centred_one_sees_its_reach_ahead_and_no_further(kernel_size, depthwise):
    conv = random_conv(3, kernel_size, depthwise, False, seed=0)
    x = random_input(2, 9, 3)
    reach = (kernel_size - 1) // 2
    assert conv.reach == reach
    last_changed = torch.cat([x[:, :8], x[:, 8:] + 1], dim=1)
    difference = (conv(last_changed) - conv(x)).abs().amax((0, 2))
    assert (difference > 1e-6).tolist() == [n >= 8 - reach for n in range(9)]


@pytest.mark.parametrize(("kernel_size", "depthwise", "causal"), KINDS)
def test_beyond_the_ends_are_zeros(kernel_size, depthwise, causal):
    conv = random_conv(3, kernel_size, depthwise, causal, seed=1)
    x = random_input(2, 4, 3)
    zeros = torch.zeros(2, 7, 3).double()
    padded = torch.cat([zeros, x, zeros], dim=1)
    torch.testing.assert_close(conv(padded)[:, 7:11], conv(x), **CLOSE)


@given(
    d_model=integers(1, 5),
    kernel_size=integers(1, 7),
    causal=booleans(),
    seed=integers(0, 10**6),
)
def test_a_depthwise_one_is_a_full_one_with_diagonal_matrices(d_model, kernel_size, causal, seed):
    narrow = random_conv(d_model, kernel_size, True, causal, seed)
    full = random_conv(d_model, kernel_size, False, causal, seed)
    x = random_input(2, 6, d_model)
    diagonal = torch.diag_embed(narrow.weight[:, 0].T)  # [k, d, d]
    full.load_state_dict({"weight": diagonal.permute(1, 2, 0), "bias": narrow.bias})
    torch.testing.assert_close(full(x), narrow(x), **CLOSE)


@pytest.mark.parametrize("causal", [False, True])
def test_a_window_of_one_is_a_linear_layer(causal):
    conv = random_conv(4, 1, False, causal, seed=2)
    x = random_input(2, 5, 4)
    linear = nn.Linear(4, 4).double()
    linear.load_state_dict({"weight": conv.weight[:, :, 0], "bias": conv.bias})
    torch.testing.assert_close(conv(x), linear(x), **CLOSE)


@pytest.mark.parametrize(("kernel_size", "depthwise", "causal"), KINDS)
def test_a_window_may_be_longer_than_the_sequence(kernel_size, depthwise, causal):
    conv = random_conv(2, kernel_size, depthwise, causal, seed=3)
    x = random_input(3, 1, 2)
    only_tap = kernel_size - 1 if causal else kernel_size // 2  # the one that meets an input
    weight = conv.weight[:, :, only_tap].detach()
    expected = x[:, 0] * weight[:, 0] if depthwise else x[:, 0] @ weight.T
    torch.testing.assert_close(conv(x)[:, 0], expected + conv.bias, **CLOSE)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("depthwise", [False, True])
def test_gradients_are_those_of_the_function(depthwise, causal):
    conv = random_conv(2, 3, depthwise, causal, seed=4)
    x = random_input(2, 4, 2)
    assert gradients_are_right(conv, x)


@pytest.mark.parametrize(("kernel_size", "depthwise", "causal"), KINDS)
def test_it_starts_as_pytorchs_conv1d_does(kernel_size, depthwise, causal):
    torch.manual_seed(5)
    conv = TemporalConv(4, kernel_size, depthwise=depthwise, causal=causal)
    torch.manual_seed(5)
    theirs = nn.Conv1d(4, 4, kernel_size, groups=4 if depthwise else 1)

    ours = conv.state_dict()
    pytorchs = theirs.state_dict()
    assert ours.keys() == pytorchs.keys()
    for name, value in ours.items():
        assert torch.equal(value, pytorchs[name])

    per_tap = 4 if depthwise else 16
    assert sum(p.numel() for p in conv.parameters()) == 4 + per_tap * kernel_size


@pytest.mark.parametrize("kernel_size", [-1, 0, 2, 4])
def test_a_centred_window_without_a_middle_is_refused(kernel_size):
    message = (
        f"kernel_size must be odd and at least 1: a centred window has a middle; got {kernel_size}"
    )
    with pytest.raises(ValueError, match=message):
        TemporalConv(3, kernel_size)


@pytest.mark.parametrize("kernel_size", [-2, -1, 0])
def test_an_empty_causal_window_is_refused(kernel_size):
    with pytest.raises(ValueError, match=f"kernel_size must be at least 1; got {kernel_size}"):
        TemporalConv(3, kernel_size, causal=True)


def test_the_default_is_the_released_codes():
    conv = TemporalConv(3)
    assert conv.kernel_size == 3
    assert conv.depthwise is False
    assert conv.causal is False
    assert conv.reach == 1
    assert list(conv.weight.shape) == [3, 3, 3]


# every prefix at once, and step by step


@given(kernel_size=sampled_from([1, 3, 5, 7]), length=integers(1, 9), seed=integers(0, 10**6))
def test_ends_are_the_last_outputs_of_every_prefix_and_at_end_the_very_last(
    kernel_size, length, seed
):
    torch.manual_seed(seed)
    conv = TemporalConv(3, kernel_size).double()
    x = torch.randn(2, length, 3).double()
    r = (kernel_size - 1) // 2
    ends = conv.ends(x)
    assert ends.shape == (r + 1, 2, length, 3)

    zeros = torch.zeros(2, r, 3).double()
    padded = torch.cat([zeros, x], dim=1)  # position n of x is at n + r
    for t in range(length):
        prefix = conv(x[:, : t + 1])
        for m in range(max(0, r - t), r + 1):
            torch.testing.assert_close(ends[m, :, t], prefix[:, t - r + m], **CLOSE)
        last_of_prefix = padded[:, t : t + r + 1].transpose(0, 1)  # [r + 1, 2, 3]
        torch.testing.assert_close(conv.at_end(last_of_prefix), prefix[:, t], **CLOSE)


@pytest.mark.parametrize("kind", [{"causal": True}, {"depthwise": True}])
def test_ends_of_another_kind_are_refused(kind):
    conv = TemporalConv(4, 3, **kind)
    with pytest.raises(NotImplementedError, match="full, centred convolutions"):
        conv.ends(torch.randn(1, 5, 4))


@given(kernel_size=integers(1, 5), length=integers(1, 9), seed=integers(0, 10**6))
def test_step_by_step_is_forward(kernel_size, length, seed):
    conv = random_conv(3, kernel_size, True, True, seed)
    x = random_input(2, length, 3)
    together = conv(x)
    inputs = torch.zeros(2, kernel_size - 1, 3).double()
    for t in range(length):
        y, inputs = conv.step(inputs, x[:, t])
        torch.testing.assert_close(y, together[:, t], **CLOSE)
        assert inputs.shape == (2, kernel_size - 1, 3)


@pytest.mark.parametrize("kind", [{"causal": True}, {"depthwise": True}])
def test_a_step_of_another_kind_is_refused(kind):
    conv = TemporalConv(4, 3, **kind)
    with pytest.raises(NotImplementedError, match="causal, depthwise convolutions"):
        conv.step(torch.zeros(1, 2, 4), torch.randn(1, 4))


def test_no_convolution_is_one_of_a_single_position_and_the_weight_1():
    none = NoConv()
    one = TemporalConv(3, 1).double()
    one.load_state_dict({"weight": torch.eye(3)[:, :, None], "bias": torch.zeros(3)})
    assert none.kernel_size == one.kernel_size
    assert none.reach == one.reach

    x = random_input(2, 5, 3)
    torch.testing.assert_close(none(x), one(x), **CLOSE)
    torch.testing.assert_close(none.ends(x), one.ends(x), **CLOSE)
    torch.testing.assert_close(none.at_end(x[None]), one.at_end(x[None]), **CLOSE)

    y, inputs = none.step(torch.zeros(2, 0, 3), x[:, 0])
    assert torch.equal(y, x[:, 0])
    assert inputs.shape == (2, 0, 3)


@given(lengths=lists(integers(0, 6), min_size=1, max_size=4), count=integers(0, 4))
def test_last_inputs_are_what_stands_before_each_length(lengths, count):
    x = random_input(len(lengths), 6, 2)
    found = last_inputs(x, torch.tensor(lengths), count)
    assert found.shape == (len(lengths), count, 2)
    for row, length in enumerate(lengths):
        for back in range(1, count + 1):
            expected = x[row, length - back] if back <= length else torch.zeros(2).double()
            assert torch.equal(found[row, count - back], expected)
