"""Attention: loops in plain floats judge the softmax kind, both forms of Eq. 2 and the running sum; every prefix in one pass is each prefix alone."""

import math

import pytest
import torch
from hypothesis import example, given
from hypothesis.strategies import booleans, integers, sampled_from
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from minirec.layers.attention import (
    LinearAttention,
    linear_attention,
    running_linear_attention,
    softmax_attention,
)

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


def inner(a: list[float], b: list[float]) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


def length_one(vector: list[float]) -> list[float]:
    length = max(math.sqrt(inner(vector, vector)), 1e-12)
    return [x / length for x in vector]


def columns(rows: list[list[float]]) -> list[list[float]]:
    return [list(column) for column in zip(*rows)]


def elu(rows: list[list[float]]) -> list[list[float]]:
    return [[x if x > 0 else math.exp(x) - 1 for x in row] for row in rows]


def printed_head(q, k, v, form) -> list[list[float]]:
    """Eq. 2 for one head, lists of N rows of e floats, with the brackets where they cost most: every query meets every key."""
    q = [length_one(row) for row in elu(q)]
    if form == "paper":
        k, shrink = columns([length_one(column) for column in columns(elu(k))]), 1.0
    else:
        k, shrink = [length_one(row) for row in elu(k)], math.sqrt(len(k[0]))
    return [
        [inner([inner(query, key) for key in k], column) / shrink for column in columns(v)]
        for query in q
    ]


def printed_layer(layer: LinearAttention, rows: torch.Tensor) -> torch.Tensor:
    """rows: [N, d], one sequence without padding -> [N, d]: each head through the loop."""
    project = lambda part: (rows @ part.weight.T + part.bias).detach().chunk(layer.n_heads, dim=-1)
    heads = zip(*map(project, (layer.query, layer.key, layer.value)))
    return torch.cat(
        [
            torch.tensor(
                printed_head(*(part.tolist() for part in head), layer.form), dtype=rows.dtype
            )
            for head in heads
        ],
        dim=-1,
    )


# softmax attention


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
    real = torch.rand(batch, length, generator=torch.Generator().manual_seed(seed)) < 0.6
    real[:, 0] = True
    out = softmax_attention(q, k, v, causal, real if masked else None)
    for b in range(batch):
        for h in range(heads):
            for t in range(length):
                seen = [
                    s
                    for s in range(length)
                    if (not causal or s <= t) and (not masked or real[b, s])
                ]
                powers = [
                    math.exp(inner(q[b, h, t].tolist(), k[b, h, s].tolist()) / math.sqrt(width))
                    for s in seen
                ]
                expected = sum(power * v[b, h, s] for power, s in zip(powers, seen)) / math.fsum(
                    powers
                )
                torch.testing.assert_close(out[b, h, t], expected, **CLOSE)


@pytest.mark.parametrize("causal", [False, True])
def test_softmax_attention_is_what_pytorchs_layer_computes(causal):
    torch.manual_seed(0)
    theirs, x = (
        nn.MultiheadAttention(6, 2, bias=False, batch_first=True).double(),
        torch.randn(3, 5, 6).double(),
    )
    real = torch.arange(5) < torch.tensor([5, 3, 1])[:, None]
    q, k, v = (
        part.unflatten(-1, (2, 3)).transpose(1, 2)
        for part in (x @ theirs.in_proj_weight.T).chunk(3, dim=-1)
    )
    out = (
        softmax_attention(q, k, v, causal, real).transpose(1, 2).flatten(2)
        @ theirs.out_proj.weight.T
    )
    future = torch.ones(5, 5, dtype=torch.bool).triu(1) if causal else None
    torch.testing.assert_close(
        out,
        theirs(x, x, x, key_padding_mask=~real, attn_mask=future, need_weights=False)[0],
        **CLOSE,
    )


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
        torch.testing.assert_close(out[:, :, t], (q[:, :, t, :, None] * sums).sum(-2), **CLOSE)


@given(length=integers(1, 12), chunk=integers(1, 12), seed=integers(0, 10**6))
def test_the_chunk_changes_no_gradient(length, chunk, seed):
    q, k, v = (part.requires_grad_() for part in queries_keys_values(seed, 2, 2, length, 3))
    weight = torch.randn(2, 2, length, 3, generator=torch.Generator().manual_seed(seed)).double()
    chunked = torch.autograd.grad(
        (weight * running_linear_attention(q, k, v, chunk)).sum(), (q, k, v)
    )
    pairs = torch.autograd.grad((weight * ((q @ k.mT).tril() @ v)).sum(), (q, k, v))
    torch.testing.assert_close(chunked, pairs, **CLOSE)


class Largest(TorchDispatchMode):
    """While it is entered: the number of entries of the largest tensor that any operation, forward or backward, returns."""

    def __init__(self):
        super().__init__()
        self.entries = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        self.entries = max(
            [
                self.entries,
                *(leaf.numel() for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)),
            ]
        )
        return result


def footprint(layer, length) -> tuple[int, int]:
    """(entries of the largest tensor made, entries saved for the backward pass) of `every_prefix` with its gradient, for one sequence."""
    saved, x = [], torch.randn(1, length, layer.key.in_features, requires_grad=True)
    with (
        Largest() as largest,
        torch.autograd.graph.saved_tensors_hooks(
            lambda t: (saved.append(t.numel()), t)[1], lambda t: t
        ),
    ):
        layer.every_prefix(x).sum().backward()
    return largest.entries, sum(saved)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n_heads", [1, 8])
def test_memory_grows_with_the_length_and_never_holds_a_matrix_for_each_position(n_heads, form):
    layer = LinearAttention(64, n_heads, form)
    short, long = footprint(layer, 1024), footprint(layer, 4096)
    assert all(
        4 * few * 0.9 <= many <= 4 * few * 1.1 for few, many in zip(short, long)
    )  # neither constant nor quadratic
    assert (
        long[0] < 4096 * n_heads * 1024
    )  # a fourth of e x e for each position where e = 64, and of a row of all pairs


# the layer


@given(batch=integers(1, 3), length=integers(1, 6), **layers)
def test_the_layer_is_equation_2_as_printed_or_as_released(
    batch, length, width, n_heads, form, seed
):
    layer = random_layer(width, n_heads, form, seed)
    x = torch.randn(batch, length, width * n_heads).double()
    torch.testing.assert_close(
        layer(x), torch.stack([printed_layer(layer, row) for row in x]), **CLOSE
    )


@given(lengths=sampled_from([[4], [1, 5], [6, 2, 3]]), **layers)
def test_padding_is_not_seen(lengths, width, n_heads, form, seed):
    layer = random_layer(width, n_heads, form, seed)
    rows = [torch.randn(length, width * n_heads).double() for length in lengths]
    real = torch.arange(max(lengths) + 2) < torch.tensor(lengths)[:, None]
    x = torch.randn(*real.shape, width * n_heads).double()  # whatever stands in the padding
    for padded, row in zip(x, rows):
        padded[: len(row)] = row
    for out, row in zip(layer(x, real), rows):
        torch.testing.assert_close(out[: len(row)], printed_layer(layer, row), **CLOSE)


def outputs_and_gradients(out, layer, x, weight):
    return [out.detach(), *torch.autograd.grad((weight * out).sum(), [x, *layer.parameters()])]


@pytest.mark.parametrize("length", [1, 2, 63, 64, 65, 129])
@pytest.mark.parametrize("n_heads, form", [(1, "paper"), (2, "paper"), (2, "released")])
def test_every_prefix_is_each_prefix_alone_gradients_included(length, n_heads, form):
    layer = random_layer(4 // n_heads, n_heads, form, seed=length)
    x, weight = (
        torch.randn(2, length, 4).double().requires_grad_(),
        torch.randn(2, length, 4).double(),
    )
    alone = torch.stack([layer(x[:, : t + 1])[:, t] for t in range(length)], dim=1)
    together = layer.every_prefix(x)
    torch.testing.assert_close(
        outputs_and_gradients(together, layer, x, weight),
        outputs_and_gradients(alone, layer, x, weight),
        rtol=1e-10,
        atol=1e-10,
    )


@given(batch=integers(1, 3), length=integers(1, 9), **layers)
def test_step_by_step_is_every_prefix(batch, length, width, n_heads, form, seed):
    layer = random_layer(width, n_heads, form, seed)
    x = torch.randn(batch, length, width * n_heads).double()
    state, stepped = layer.init_state(batch), []
    sizes = {name: part.shape for name, part in state.items()}
    for t in range(length):
        out, state = layer.step(state, x[:, t])
        stepped.append(out)
        assert {name: part.shape for name, part in state.items()} == sizes
    torch.testing.assert_close(torch.stack(stepped, dim=1), layer.every_prefix(x), **CLOSE)


@given(seed=integers(0, 10**6), form=sampled_from(FORMS))
def test_the_order_of_what_came_before_does_not_matter(seed, form):
    layer, x = random_layer(3, 2, form, seed), torch.randn(2, 6, 6).double()
    mixed = x[:, [3, 0, 4, 2, 1, 5]]
    torch.testing.assert_close(
        layer.every_prefix(mixed)[:, -1], layer.every_prefix(x)[:, -1], **CLOSE
    )


def of_inputs_and_weights(layer, method):
    """`method` of the layer as a function of x and all weights, and those weights."""
    names, weights = zip(*layer.named_parameters())

    def function(x, *weights):
        return torch.func.functional_call(
            Calling(layer, method),
            {f"layer.{name}": weight for name, weight in zip(names, weights)},
            (x,),
        )

    return function, [weight.detach().requires_grad_() for weight in weights]


class Calling(nn.Module):
    """The layer, with `method` for its forward."""

    def __init__(self, layer, method):
        super().__init__()
        self.layer, self.method = layer, method

    def forward(self, x):
        return getattr(self.layer, self.method)(x)


@pytest.mark.parametrize("method", ["forward", "every_prefix"])
@pytest.mark.parametrize("form", FORMS)
def test_gradients_are_those_of_the_function(form, method):
    function, weights = of_inputs_and_weights(random_layer(2, 2, form, seed=0), method)
    assert torch.autograd.gradcheck(
        function, [torch.randn(2, 5, 4).double().requires_grad_(), *weights]
    )


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
        assert all(value.isfinite().all() for value in (out, *gradients))
        assert (out[:, list(zero)] == 0).all()  # a query of length 0 asks for nothing


@pytest.mark.parametrize("form", FORMS)
def test_lengths_are_cut_at_the_smallest(form):
    layer, tiny = random_layer(2, 1, form, seed=0), 1e-15
    with torch.no_grad():
        for part in (layer.query, layer.key, layer.value):
            part.weight.copy_(torch.eye(2))
            part.bias.zero_()
    x = torch.tensor(
        [[[tiny, 0.0], [0.0, 1.0]]], dtype=torch.float64
    )  # the first query and key are a thousandth of the smallest length
    expected = torch.tensor(
        [[tiny / 1e-12 * tiny / 1e-12 * tiny, 0.0], [0.0, 1.0]], dtype=torch.float64
    ) / (1 if form == "paper" else math.sqrt(2))
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
    with pytest.raises(ValueError, match="chunk must be at least 1; got 0"):
        running_linear_attention(*torch.randn(3, 1, 1, 4, 2), chunk=0)
