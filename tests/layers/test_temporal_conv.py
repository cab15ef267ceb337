"""The temporal convolution: torch.nn.Conv1d and a scalar loop judge what it computes, one changed input at a time judges what it sees."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis.strategies import booleans, integers, sampled_from
from torch import nn

from minirec.layers.temporal_conv import TemporalConv

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
    """With weights all far from 0, so that whatever is read shows. An even kernel size makes it causal."""
    torch.manual_seed(seed)
    conv = TemporalConv(
        d_model, kernel_size, depthwise=depthwise, causal=causal or kernel_size % 2 == 0
    ).double()
    with torch.no_grad():
        for parameter in conv.parameters():
            parameter.copy_((0.5 + torch.rand_like(parameter)) * torch.randn_like(parameter).sign())
    return conv


def random_input(batch, length, d_model):
    return torch.randn(batch, length, d_model).double()


def positions_seen(conv, n, length) -> list[int]:
    """What the definition lets output n read: the last kernel_size inputs when causal, as many before as after when centred."""
    k = conv.kernel_size
    first = n - (k - 1) if conv.causal else n - (k - 1) // 2
    return [m for m in range(first, first + k) if 0 <= m < length]


@given(**shapes, **kinds)
def test_it_is_pytorchs_conv1d(batch, length, d_model, seed, kernel_size, depthwise, causal):
    """A causal one is nn.Conv1d padded by k - 1 at both ends, with the k - 1 last outputs thrown away."""
    conv, x = (
        random_conv(d_model, kernel_size, depthwise, causal, seed),
        random_input(batch, length, d_model),
    )
    padding = kernel_size - 1 if conv.causal else (kernel_size - 1) // 2
    theirs = nn.Conv1d(
        d_model, d_model, kernel_size, padding=padding, groups=d_model if depthwise else 1
    ).double()
    theirs.load_state_dict(conv.state_dict())
    torch.testing.assert_close(
        conv(x), theirs(x.transpose(1, 2))[:, :, :length].transpose(1, 2), **CLOSE
    )


@given(**shapes, **kinds)
def test_it_is_the_sum_over_the_window(
    batch, length, d_model, seed, kernel_size, depthwise, causal
):
    """Letter by letter, in Python floats: a term for each input in the window, none for what lies beyond the ends."""
    conv, x = (
        random_conv(d_model, kernel_size, depthwise, causal, seed),
        random_input(batch, length, d_model),
    )
    weight, bias, inputs, outputs = (
        conv.weight.tolist(),
        conv.bias.tolist(),
        x.tolist(),
        conv(x).detach(),
    )
    assert outputs.shape == (batch, length, d_model)
    for row in range(batch):
        for n in range(length):
            seen = positions_seen(conv, n, length)
            tap = {m: m - n + (kernel_size - 1 if conv.causal else kernel_size // 2) for m in seen}
            for out in range(d_model):
                into = (
                    [(0, out)] if depthwise else list(enumerate(range(d_model)))
                )  # (column of the weight, channel it meets)
                terms = [
                    weight[out][column][tap[m]] * inputs[row][m][channel]
                    for m in seen
                    for column, channel in into
                ]
                assert math.isclose(
                    outputs[row, n, out], math.fsum([bias[out], *terms]), rel_tol=0, abs_tol=1e-12
                )


@given(**shapes, **kinds)
def test_a_changed_input_changes_exactly_the_outputs_whose_window_holds_it(
    batch, length, d_model, seed, kernel_size, depthwise, causal
):
    conv, x = (
        random_conv(d_model, kernel_size, depthwise, causal, seed),
        random_input(batch, length, d_model),
    )
    before = conv(x)
    for m in range(length):
        changed = x.clone()
        changed[0, m, 0] += 1.0
        difference = (conv(changed) - before).abs()
        expected = [n for n in range(length) if m in positions_seen(conv, n, length)]
        assert (difference[0, :, 0] > 1e-6).nonzero().flatten().tolist() == expected
        assert (difference[0] > 1e-6)[expected].all(0).tolist() == [True] + [not depthwise] * (
            d_model - 1
        )  # the channels that it mixes
        assert (
            not difference[0, [n for n in range(length) if n not in expected]].any()
            and not difference[1:].any()
        )


@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize("kernel_size", range(1, 8))
def test_a_causal_one_never_sees_the_future(kernel_size, depthwise):
    conv, x = random_conv(3, kernel_size, depthwise, True, seed=0), random_input(2, 9, 3)
    assert conv.reach == 0
    for n in range(9):
        rewritten = torch.cat([x[:, : n + 1], 100 * random_input(2, 8 - n, 3)], dim=1)
        torch.testing.assert_close(conv(rewritten)[:, : n + 1], conv(x)[:, : n + 1], **CLOSE)
        torch.testing.assert_close(conv(x[:, : n + 1]), conv(x)[:, : n + 1], **CLOSE)


@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize("kernel_size", [1, 3, 5, 7])
def test_a_centred_one_sees_its_reach_ahead_and_no_further(kernel_size, depthwise):
    conv, x = random_conv(3, kernel_size, depthwise, False, seed=0), random_input(2, 9, 3)
    reach = (kernel_size - 1) // 2
    assert conv.reach == reach
    difference = (conv(torch.cat([x[:, :8], x[:, 8:] + 1], dim=1)) - conv(x)).abs().amax((0, 2))
    assert (difference > 1e-6).tolist() == [n >= 8 - reach for n in range(9)]


@pytest.mark.parametrize(("kernel_size", "depthwise", "causal"), KINDS)
def test_beyond_the_ends_are_zeros(kernel_size, depthwise, causal):
    conv, x = random_conv(3, kernel_size, depthwise, causal, seed=1), random_input(2, 4, 3)
    zeros = torch.zeros(2, 7, 3).double()
    torch.testing.assert_close(conv(torch.cat([zeros, x, zeros], dim=1))[:, 7:11], conv(x), **CLOSE)


@given(
    d_model=integers(1, 5), kernel_size=integers(1, 7), causal=booleans(), seed=integers(0, 10**6)
)
def test_a_depthwise_one_is_a_full_one_with_diagonal_matrices(d_model, kernel_size, causal, seed):
    narrow = random_conv(d_model, kernel_size, True, causal, seed)
    full, x = random_conv(d_model, kernel_size, False, causal, seed), random_input(2, 6, d_model)
    full.load_state_dict(
        {"weight": torch.diag_embed(narrow.weight[:, 0].T).permute(1, 2, 0), "bias": narrow.bias}
    )
    torch.testing.assert_close(full(x), narrow(x), **CLOSE)


@pytest.mark.parametrize("causal", [False, True])
def test_a_window_of_one_is_a_linear_layer(causal):
    conv, linear, x = (
        random_conv(4, 1, False, causal, seed=2),
        nn.Linear(4, 4).double(),
        random_input(2, 5, 4),
    )
    linear.load_state_dict({"weight": conv.weight[:, :, 0], "bias": conv.bias})
    torch.testing.assert_close(conv(x), linear(x), **CLOSE)


@pytest.mark.parametrize(("kernel_size", "depthwise", "causal"), KINDS)
def test_a_window_may_be_longer_than_the_sequence(kernel_size, depthwise, causal):
    conv, x = random_conv(2, kernel_size, depthwise, causal, seed=3), random_input(3, 1, 2)
    meets = conv.weight[
        :, :, kernel_size - 1 if causal else kernel_size // 2
    ].detach()  # the tap on the only input
    expected = x[:, 0] * meets[:, 0] if depthwise else x[:, 0] @ meets.T
    torch.testing.assert_close(conv(x)[:, 0], expected + conv.bias, **CLOSE)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("depthwise", [False, True])
def test_gradients_are_those_of_the_function(depthwise, causal):
    conv, x = random_conv(2, 3, depthwise, causal, seed=4), random_input(2, 4, 2)
    names, weights = zip(*conv.named_parameters())
    outputs = lambda x, *weights: torch.func.functional_call(conv, dict(zip(names, weights)), (x,))
    assert torch.autograd.gradcheck(
        outputs, [value.detach().requires_grad_() for value in (x, *weights)]
    )


@pytest.mark.parametrize(("kernel_size", "depthwise", "causal"), KINDS)
def test_it_starts_as_pytorchs_conv1d_does(kernel_size, depthwise, causal):
    torch.manual_seed(5)
    conv = TemporalConv(4, kernel_size, depthwise=depthwise, causal=causal)
    torch.manual_seed(5)
    theirs = nn.Conv1d(4, 4, kernel_size, groups=4 if depthwise else 1)
    assert conv.state_dict().keys() == theirs.state_dict().keys() and all(
        map(torch.equal, conv.state_dict().values(), theirs.state_dict().values())
    )
    assert sum(p.numel() for p in conv.parameters()) == 4 + (4 if depthwise else 16) * kernel_size


@pytest.mark.parametrize("kernel_size", [-1, 0, 2, 4])
def test_a_centred_window_without_a_middle_is_refused(kernel_size):
    with pytest.raises(
        ValueError,
        match=f"kernel_size must be odd and at least 1: a centred window has a middle; got {kernel_size}",
    ):
        TemporalConv(3, kernel_size)


@pytest.mark.parametrize("kernel_size", [-2, -1, 0])
def test_an_empty_causal_window_is_refused(kernel_size):
    with pytest.raises(ValueError, match=f"kernel_size must be at least 1; got {kernel_size}"):
        TemporalConv(3, kernel_size, causal=True)


def test_the_default_is_the_released_codes():
    conv = TemporalConv(3)
    assert (conv.kernel_size, conv.depthwise, conv.causal, conv.reach, list(conv.weight.shape)) == (
        3,
        False,
        False,
        1,
        [3, 3, 3],
    )


@given(kernel_size=sampled_from([1, 3, 5, 7]), length=integers(1, 9), seed=integers(0, 10**6))
def test_ends_are_the_last_outputs_of_every_prefix_and_at_end_the_very_last(
    kernel_size, length, seed
):
    torch.manual_seed(seed)
    conv, x, r = (
        TemporalConv(3, kernel_size).double(),
        torch.randn(2, length, 3).double(),
        (kernel_size - 1) // 2,
    )
    ends = conv.ends(x)
    assert ends.shape == (r + 1, 2, length, 3)
    for t in range(length):
        prefix = conv(x[:, : t + 1])
        for m in range(max(0, r - t), r + 1):
            torch.testing.assert_close(ends[m, :, t], prefix[:, t - r + m], rtol=0, atol=1e-12)
        inputs = torch.stack(
            [
                x[:, t - r + m] if t - r + m >= 0 else torch.zeros(2, 3).double()
                for m in range(r + 1)
            ]
        )
        torch.testing.assert_close(conv.at_end(inputs), prefix[:, t], rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", [{"causal": True}, {"depthwise": True}])
def test_ends_of_another_kind_are_refused(kind):
    with pytest.raises(NotImplementedError, match="full, centred convolutions"):
        TemporalConv(4, 3, **kind).ends(torch.randn(1, 5, 4))
