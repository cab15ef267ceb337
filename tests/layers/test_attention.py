"""Attention: loops in plain floats judge the softmax kind, both forms of Eq. 2 and the running
sum; every prefix in one pass is each prefix alone.
"""

import math

import pytest
import torch
from gradients import gradients_are_right
from hypothesis import example, given
from hypothesis.strategies import booleans, integers, sampled_from
from plain_floats import affine, inner
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from minirec.layers.attention import (
    LinearAttention,
    linear_attention,
    running_linear_attention,
    softmax_attention,
)

pytestmark = pytest.mark.slow

CLOSE = {"rtol": 0, "atol": 1e-10}
FORMS = ["paper", "released"]
layers = {
    "width": integers(1, 4),
    "n_heads": integers(1, 3),
    "form": sampled_from(FORMS),
    "seed": integers(0, 10**6),
}


def queries_keys_values(seed, *shape) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(*shape, generator=generator, dtype=torch.float64) for _ in range(3)]


def random_layer(width, n_heads, form, seed) -> LinearAttention:
    torch.manual_seed(seed)
    layer = LinearAttention(width * n_heads, n_heads, form).double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    return layer


def length_one(vector: list[float]) -> list[float]:
    length = max(math.sqrt(inner(vector, vector)), 1e-12)
    return [x / length for x in vector]


def columns(rows: list[list[float]]) -> list[list[float]]:
    return [list(column) for column in zip(*rows, strict=True)]


def elu(row: list[float]) -> list[float]:
    return [x if x > 0 else math.exp(x) - 1 for x in row]


def printed_head(
    q: list[list[float]], k: list[list[float]], v: list[list[float]], form: str
) -> list[list[float]]:
    """Eq. 2 for one head, lists of N rows of e floats, with the brackets where they cost most.

    Every query meets every key.
    """
    q = [length_one(elu(row)) for row in q]
    k = [elu(row) for row in k]
    if form == "paper":
        k = columns([length_one(column) for column in columns(k)])
        divisor = 1.0
    else:
        k = [length_one(row) for row in k]
        divisor = math.sqrt(len(k[0]))

    outputs = []
    for query in q:
        weights = [inner(query, key) for key in k]
        outputs.append([inner(weights, column) / divisor for column in columns(v)])
    return outputs


def printed_layer(layer: LinearAttention, rows: torch.Tensor) -> torch.Tensor:
    """rows: [N, d], one sequence without padding -> [N, d]: each head through the loop."""
    inputs = rows.tolist()
    q = [affine(layer.query, row) for row in inputs]
    k = [affine(layer.key, row) for row in inputs]
    v = [affine(layer.value, row) for row in inputs]

    width = rows.shape[1] // layer.n_heads
    heads = []
    for head in range(layer.n_heads):
        features = slice(head * width, (head + 1) * width)
        parts = [[row[features] for row in part] for part in (q, k, v)]
        heads.append(torch.tensor(printed_head(*parts, layer.form), dtype=rows.dtype))
    return torch.cat(heads, dim=-1)


# softmax attention


def attend_by_loop(query, keys, values):
    """One query [e] over the keys and values that it may see, [n, e] each."""
    e = len(query)
    powers = [math.exp(inner(query.tolist(), key.tolist()) / math.sqrt(e)) for key in keys]
    weighted = sum(power * value for power, value in zip(powers, values, strict=True))
    return weighted / math.fsum(powers)


@given(
    batch=integers(1, 3),
    heads=integers(1, 3),
    length=integers(1, 7),
    width=integers(1, 4),
    causal=booleans(),
    masked=booleans(),
    seed=integers(0, 10**6),
)
def test_softmax_attention_is_the_loop(batch, heads, length, width, causal, masked, seed):
    q, k, v = queries_keys_values(seed, batch, heads, length, width)
    real = torch.ones(batch, length, dtype=torch.bool)
    if masked:
        real = torch.rand(batch, length, generator=torch.Generator().manual_seed(seed)) < 0.6
        real[:, 0] = True
    out = softmax_attention(q, k, v, causal, real if masked else None)

    for b in range(batch):
        for h in range(heads):
            for t in range(length):
                visible = t + 1 if causal else length
                seen = [s for s in range(visible) if real[b, s]]
                expected = attend_by_loop(q[b, h, t], k[b, h, seen], v[b, h, seen])
                torch.testing.assert_close(out[b, h, t], expected, **CLOSE)


@pytest.mark.parametrize("causal", [False, True])
def test_softmax_attention_is_what_pytorchs_layer_computes(causal):
    torch.manual_seed(0)
    theirs = nn.MultiheadAttention(6, 2, bias=False, batch_first=True).double()
    x = torch.randn(3, 5, 6).double()
    real = torch.arange(5) < torch.tensor([5, 3, 1])[:, None]

    projected = x @ theirs.in_proj_weight.T
    heads = [part.unflatten(-1, (2, 3)).transpose(1, 2) for part in projected.chunk(3, dim=-1)]
    out = softmax_attention(*heads, causal, real)
    out = out.transpose(1, 2).flatten(2) @ theirs.out_proj.weight.T

    future = torch.ones(5, 5, dtype=torch.bool).triu(1) if causal else None
    expected, _ = theirs(x, x, x, key_padding_mask=~real, attn_mask=future, need_weights=False)
    torch.testing.assert_close(out, expected, **CLOSE)


# the linear kind, and its running sum


@given(
    batch=integers(1, 3),
    heads=integers(1, 3),
    length=integers(1, 7),
    width=integers(1, 4),
    seed=integers(0, 10**6),
)
def test_moving_the_brackets_changes_nothing(batch, heads, length, width, seed):
    q, k, v = queries_keys_values(seed, batch, heads, length, width)
    torch.testing.assert_close(linear_attention(q, k, v), (q @ k.mT) @ v, **CLOSE)


@given(
    batch=integers(1, 2),
    heads=integers(1, 2),
    width=integers(1, 4),
    chunk=integers(1, 9),
    chunks=integers(0, 4),
    more=integers(-1, 1),
    seed=integers(0, 10**6),
)
@example(batch=1, heads=1, width=2, chunk=64, chunks=2, more=1, seed=0)
def test_the_running_sum_is_the_loop(batch, heads, width, chunk, chunks, more, seed):
    length = max(1, chunks * chunk + more)  # around the multiples of the chunk
    q, k, v = queries_keys_values(seed, batch, heads, length, width)
    out = running_linear_attention(q, k, v, chunk)
    assert out.shape == (batch, heads, length, width)

    sums = torch.zeros(batch, heads, width, width).double()
    for t in range(length):
        sums = sums + k[:, :, t, :, None] * v[:, :, t, None, :]
        expected = (q[:, :, t, :, None] * sums).sum(-2)
        torch.testing.assert_close(out[:, :, t], expected, **CLOSE)


@given(length=integers(1, 12), chunk=integers(1, 12), seed=integers(0, 10**6))
def test_the_chunk_changes_no_gradient(length, chunk, seed):
    inputs = queries_keys_values(seed, 2, 2, length, 3)
    for part in inputs:
        part.requires_grad_()
    q, k, v = inputs
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(2, 2, length, 3, generator=generator).double()

    by_chunks = running_linear_attention(q, k, v, chunk)
    by_pairs = (q @ k.mT).tril() @ v
    found = torch.autograd.grad((weight * by_chunks).sum(), inputs)
    expected = torch.autograd.grad((weight * by_pairs).sum(), inputs)
    torch.testing.assert_close(found, expected, **CLOSE)


class Largest(TorchDispatchMode):
    """While it is entered: the number of entries of the largest tensor that is made.

    Every operation counts, forward or backward.
    """

    def __init__(self):
        super().__init__()
        self.entries = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self.entries = max(self.entries, leaf.numel())
        return result


def footprint(layer, length) -> tuple[int, int]:
    """What `every_prefix` with its gradient takes for one sequence.

    Returns the entries of the largest tensor made, and the entries saved for the backward pass.
    """
    saved = []

    def pack(tensor):
        saved.append(tensor.numel())
        return tensor

    def unpack(tensor):
        return tensor

    x = torch.randn(1, length, layer.key.in_features, requires_grad=True)
    with Largest() as largest, torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        layer.every_prefix(x).sum().backward()
    return largest.entries, sum(saved)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n_heads", [1, 8])
def test_memory_grows_with_the_length_and_never_holds_a_matrix_for_each_position(n_heads, form):
    layer = LinearAttention(64, n_heads, form)
    short = footprint(layer, 1024)
    long = footprint(layer, 4096)

    # Four times the length takes four times as much: neither constant nor quadratic.
    for few, many in zip(short, long, strict=True):
        assert 4 * few * 0.9 <= many <= 4 * few * 1.1

    # A fourth of e x e for each position where e = 64, and of a row of all pairs.
    largest, _ = long
    assert largest < 4096 * n_heads * 1024


# the layer


@given(batch=integers(1, 3), length=integers(1, 6), **layers)
def test_the_layer_is_equation_2_as_printed_or_as_released(
    batch, length, width, n_heads, form, seed
):
    layer = random_layer(width, n_heads, form, seed)
    x = torch.randn(batch, length, width * n_heads).double()
    expected = torch.stack([printed_layer(layer, row) for row in x])
    torch.testing.assert_close(layer(x), expected, **CLOSE)


@given(lengths=sampled_from([[4], [1, 5], [6, 2, 3]]), **layers)
def test_padding_is_not_seen(lengths, width, n_heads, form, seed):
    layer = random_layer(width, n_heads, form, seed)
    rows = [torch.randn(length, width * n_heads).double() for length in lengths]
    real = torch.arange(max(lengths) + 2) < torch.tensor(lengths)[:, None]
    x = torch.randn(*real.shape, width * n_heads).double()  # whatever stands in the padding
    for padded, row in zip(x, rows, strict=True):
        padded[: len(row)] = row
    for out, row in zip(layer(x, real), rows, strict=True):
        torch.testing.assert_close(out[: len(row)], printed_layer(layer, row), **CLOSE)


def outputs_and_gradients(out, layer, x, weight):
    gradients = torch.autograd.grad((weight * out).sum(), [x, *layer.parameters()])
    return [out.detach(), *gradients]


@pytest.mark.parametrize("length", [1, 2, 63, 64, 65, 129])
@pytest.mark.parametrize("n_heads, form", [(1, "paper"), (2, "paper"), (2, "released")])
def test_every_prefix_is_each_prefix_alone_gradients_included(length, n_heads, form):
    layer = random_layer(4 // n_heads, n_heads, form, seed=length)
    x = torch.randn(2, length, 4).double().requires_grad_()
    weight = torch.randn(2, length, 4).double()
    alone = torch.stack([layer(x[:, : t + 1])[:, t] for t in range(length)], dim=1)
    together = layer.every_prefix(x)
    found = outputs_and_gradients(together, layer, x, weight)
    expected = outputs_and_gradients(alone, layer, x, weight)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@given(batch=integers(1, 3), length=integers(1, 9), **layers)
def test_step_by_step_is_every_prefix(batch, length, width, n_heads, form, seed):
    layer = random_layer(width, n_heads, form, seed)
    x = torch.randn(batch, length, width * n_heads).double()
    state = layer.init_state(batch)
    sizes = {name: part.shape for name, part in state.items()}
    outputs = []
    for t in range(length):
        out, state = layer.step(state, x[:, t])
        outputs.append(out)
        assert {name: part.shape for name, part in state.items()} == sizes
    torch.testing.assert_close(torch.stack(outputs, dim=1), layer.every_prefix(x), **CLOSE)


@given(seed=integers(0, 10**6), form=sampled_from(FORMS))
def test_the_order_of_what_came_before_does_not_matter(seed, form):
    layer = random_layer(3, 2, form, seed)
    x = torch.randn(2, 6, 6).double()
    mixed = x[:, [3, 0, 4, 2, 1, 5]]
    last_of_mixed = layer.every_prefix(mixed)[:, -1]
    torch.testing.assert_close(last_of_mixed, layer.every_prefix(x)[:, -1], **CLOSE)


class Calling(nn.Module):
    """The layer, with `method` for its forward."""

    def __init__(self, layer, method):
        super().__init__()
        self.layer = layer
        self.method = method

    def forward(self, x):
        return getattr(self.layer, self.method)(x)


@pytest.mark.parametrize("method", ["forward", "every_prefix"])
@pytest.mark.parametrize("form", FORMS)
def test_gradients_are_those_of_the_function(form, method):
    layer = random_layer(2, 2, form, seed=0)
    x = torch.randn(2, 5, 4).double()
    assert gradients_are_right(Calling(layer, method), x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "zero", [(), (0, 1), (2,)], ids=["no vector is zero", "the first ones are", "a later one is"]
)
def test_zero_vectors_give_finite_values_and_gradients(zero, form, dtype):
    layer = random_layer(2, 2, form, seed=0).to(dtype)
    for part in (layer.query, layer.key, layer.value):
        nn.init.zeros_(part.bias)  # a zero input has a zero query and a zero key
    x = torch.randn(2, 4, 4, dtype=dtype)
    x[:, list(zero)] = 0
    x.requires_grad_()
    for method in (layer.forward, layer.every_prefix):
        out = method(x)
        gradients = torch.autograd.grad(out.square().sum(), [x, *layer.parameters()])
        for value in (out, *gradients):
            assert value.isfinite().all()
        assert (out[:, list(zero)] == 0).all()  # a query of length 0 asks for nothing


@pytest.mark.parametrize("form", FORMS)
def test_lengths_are_cut_at_the_smallest(form):
    layer = random_layer(2, 1, form, seed=0)
    with torch.no_grad():
        for part in (layer.query, layer.key, layer.value):
            part.weight.copy_(torch.eye(2))
            part.bias.zero_()

    # The first query and key are a thousandth of the smallest length.
    tiny = 1e-15
    x = torch.tensor([[[tiny, 0.0], [0.0, 1.0]]], dtype=torch.float64)
    shortened = tiny / 1e-12  # in place of 1
    expected = torch.tensor([[shortened * shortened * tiny, 0.0], [0.0, 1.0]], dtype=torch.float64)
    if form == "released":
        expected = expected / math.sqrt(2)
    torch.testing.assert_close(layer.every_prefix(x)[0], expected, rtol=1e-9, atol=0)
    torch.testing.assert_close(layer(x)[0], expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"form": "keras"}, "form must be 'paper' or 'released'; got 'keras'"),
        ({"n_heads": 3}, "d_model must be divisible by n_heads; got d_model = 8 and n_heads = 3"),
        ({"n_heads": 0}, "got d_model = 8 and n_heads = 0"),
    ],
)
def test_bad_options_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        LinearAttention(8, **options)


def test_a_chunk_of_nothing_is_refused_by_name():
    q, k, v = torch.randn(3, 1, 1, 4, 2)
    with pytest.raises(ValueError, match="chunk must be at least 1; got 0"):
        running_linear_attention(q, k, v, chunk=0)
