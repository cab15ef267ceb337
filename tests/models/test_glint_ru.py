"""GLINT-RU: the released form against the authors' code, the paper's form against the printed equations, and `encode` against the plain model on every prefix.

What it promises as every model does is in test_contract.py.
"""

import math
from pathlib import Path

import contract
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis.strategies import integers, lists, sampled_from

from minirec.models import build_model

CLOSE = {"rtol": 0, "atol": 1e-10}
ABLATIONS = [
    {},
    {"attention": False},
    {"gru": False},
    {"temporal_conv": False},
    {"gated_mlp": False},
]
BARE = {"attention": False, "temporal_conv": False, "gated_mlp": False}

cases = pytest.mark.parametrize(
    "ablation", ABLATIONS, ids=lambda ablation: next(iter(ablation), "whole")
)
forms = pytest.mark.parametrize("form", ["paper", "released"])
kernels = pytest.mark.parametrize("kernel_size", [1, 3, 5, 7])

GOLDEN = (
    Path(__file__).parent / "golden_glint_ru.npz"
)  # made by running the authors' file (which commit: in it) on random weights and items
RELEASED_NAMES = {
    "item_embedding": "item_embedding",
    "linearattention.query": "attention.query",
    "linearattention.key": "attention.key",
    "linearattention.value": "attention.value",
    "linearattention.dense": "attention_output",
    "linearattention.LayerNorm": "attention_norm",
    "dense1": "gru.dense",
    "dense2": "data_gate",
    "conv1d": "gru.conv",
    "selective_gate.0": "gru.gate.narrow",
    "selective_gate.2": "gru.gate.widen",
    "projection": "gru.gate.crossing",
    "conv1dforgru": "gru.output_conv",
    "dense": "gate_output",
    "dense3": "mlp.value",
    "dense4": "mlp.gate",
    "denseout": "mlp.output",
    "LayerNorm": "norm",
}


def golden():
    """(our model with the authors' weights, items, what their model gave for them)."""
    stored = np.load(GOLDEN)
    weights = {
        name.removeprefix("weight:"): torch.from_numpy(stored[name])
        for name in stored.files
        if name.startswith("weight:")
    }
    ours = {
        "mixing": weights.pop("weights").flip(0),  # theirs weighs the GRU first
        "gru.gru.cell.weight_x": weights.pop("gru_layers.weight_ih_l0"),
        "gru.gru.cell.weight_h": weights.pop("gru_layers.weight_hh_l0"),
    }
    for name, value in weights.items():
        module, _, kind = name.rpartition(".")
        ours[f"{RELEASED_NAMES[module]}.{kind}"] = value
    n_items, d_model = (
        len(ours["item_embedding.weight"]) - 1,
        ours["item_embedding.weight"].shape[1],
    )
    model = build_model("glint-ru", n_items, d_model=d_model).double().eval()
    model.load_state_dict(ours)
    return model, torch.from_numpy(stored["items"]), torch.from_numpy(stored["output"])


@torch.no_grad()
def test_the_released_form_is_the_authors_code():
    model, items, theirs = golden()
    torch.testing.assert_close(model(items)[:, -1], theirs, **CLOSE)
    torch.testing.assert_close(model.encode(items)[:, -1], theirs, **CLOSE)
    torch.testing.assert_close(model.last(items), theirs, **CLOSE)


def printed(model, items: list[int]) -> np.ndarray:
    """The paper's form for one history, Eqs. 2 to 12 one after another in NumPy, position by position; the representation of its end."""
    w = {name: value.detach().numpy() for name, value in model.named_parameters()}
    dense = lambda name, x: x @ w[f"{name}.weight"].T + w[f"{name}.bias"]
    gelu = np.vectorize(lambda a: a * (1 + math.erf(a / math.sqrt(2))) / 2)
    sigmoid = lambda a: 1 / (1 + np.exp(-a))

    def convolve(name, x):
        if f"{name}.weight" not in w:
            return x
        kernel, y = w[f"{name}.weight"], np.zeros_like(x)
        r = kernel.shape[2] // 2
        for n in range(len(x)):
            y[n] = w[f"{name}.bias"] + sum(
                kernel[:, :, i] @ x[n + i - r] for i in range(2 * r + 1) if 0 <= n + i - r < len(x)
            )
        return y

    x = w["item_embedding.weight"][items]  # Eqs. 3-4
    attended = recurred = None
    if model.attention is not None:  # Eq. 2
        parts, width = [], x.shape[1] // model.attention.n_heads
        for at in range(0, x.shape[1], width):
            q, k, v = (
                dense(f"attention.{part}", x)[:, at : at + width]
                for part in ("query", "key", "value")
            )
            q, k = (np.where(a > 0, a, np.exp(a) - 1) for a in (q, k))
            q = q / np.sqrt((q**2).sum(1, keepdims=True))
            k = k / np.sqrt((k**2).sum(0, keepdims=True))
            parts.append((q @ k.T) @ v)
        attended = np.concatenate(parts, 1)
    if model.gru is not None:
        c = convolve("gru.conv", dense("gru.dense", x))  # Eq. 5
        d, h, states = c.shape[1], np.zeros(c.shape[1]), []
        u, wx, b = w["gru.gru.cell.weight_h"], w["gru.gru.cell.weight_x"], w["gru.gru.cell.bias_x"]
        for row in c:  # Eqs. 1 and 6
            r, z = (sigmoid(wx[i : i + d] @ row + u[i : i + d] @ h + b[i : i + d]) for i in (0, d))
            h = z * np.tanh(wx[2 * d :] @ row + u[2 * d :] @ (r * h) + b[2 * d :]) + (1 - z) * h
            states.append(h)
        d1 = dense("gru.gate.narrow", c)
        gated = dense("gru.gate.widen", d1 * sigmoid(d1)) * dense(
            "gru.gate.crossing", np.stack(states)
        )  # Eqs. 7 and 9
        recurred = convolve("gru.output_conv", gated)  # Eq. 8
    if attended is not None and recurred is not None:  # Eq. 10
        a = np.exp(w["mixing"]) / np.exp(w["mixing"]).sum()
        mixed = a[0] * attended + a[1] * recurred
    else:
        mixed = recurred if attended is None else attended
    z = gelu(dense("data_gate", x)) * mixed  # Eq. 11
    if model.mlp is None:
        return z[-1]
    return dense("mlp.output", gelu(dense("mlp.gate", z)) * z)[-1]  # Eq. 12


@cases
@kernels
@given(length=integers(1, 9), n_heads=sampled_from([None, 2, 4]), seed=integers(0, 10**6))
@settings(max_examples=5)
def test_the_papers_form_is_the_printed_equations(ablation, kernel_size, length, n_heads, seed):
    model = contract.random_model(
        "glint-ru",
        {"form": "paper", "kernel_size": kernel_size, "n_heads": n_heads, **ablation},
        seed,
    )
    items = contract.random_items(seed, [length])
    torch.testing.assert_close(
        model(items)[0, -1], torch.from_numpy(printed(model, items[0].tolist())), **CLOSE
    )


@forms
@cases
@kernels
@given(seed=integers(0, 10**6), lengths=lists(integers(1, 12), min_size=1, max_size=3))
@settings(max_examples=5)
def test_encode_is_the_plain_model_on_every_prefix_gradients_included(
    form, ablation, kernel_size, seed, lengths
):
    model = contract.random_model(
        "glint-ru", {"form": form, "kernel_size": kernel_size, "n_heads": 2, **ablation}, seed
    )
    items = contract.random_items(seed, lengths)
    encoded, weights, direction = (
        model.encode(items),
        list(model.parameters()),
        torch.randn(*items.shape, 8, dtype=torch.float64),
    )
    plain = torch.zeros_like(encoded)
    for row, history in enumerate(items):
        for t in range(int((history > 0).sum())):
            plain[row, t] = model(history[None, : t + 1])[0, -1]
    real = (items > 0)[..., None]
    torch.testing.assert_close(encoded * real, plain, **CLOSE)
    ours, theirs = (
        torch.autograd.grad((out * real * direction).sum(), weights, allow_unused=True)
        for out in (encoded, plain)
    )
    for name, mine, other in zip(dict(model.named_parameters()), ours, theirs):
        assert (mine is None) == (other is None), name
        if (
            mine is not None
        ):  # gradients sum over positions and rows, and float64 rounds each: relative to the largest of them
            torch.testing.assert_close(
                mine,
                other,
                rtol=0,
                atol=1e-10 * max(1.0, float(other.abs().max())),
                msg=lambda text: f"{name}: {text}",
            )


@forms
@cases
@kernels
@torch.no_grad()
def test_the_plain_model_reads_no_padding_and_agrees_with_last(form, ablation, kernel_size):
    model = contract.random_model(
        "glint-ru", {"form": form, "kernel_size": kernel_size, "n_heads": 2, **ablation}, seed=1
    )
    items = contract.random_items(1, [9, 1, 4, 2, 8])
    ends = (items > 0).sum(1) - 1
    plain = model(items)[torch.arange(5), ends]
    torch.testing.assert_close(
        model(torch.nn.functional.pad(items, (0, 4)))[torch.arange(5), ends], plain, **CLOSE
    )
    torch.testing.assert_close(model.last(items), plain, **CLOSE)


@forms
@kernels
@torch.no_grad()
def test_the_state_after_a_history_is_that_of_stepping_through_it(form, kernel_size):
    model = contract.random_model(
        "glint-ru", {"form": form, "kernel_size": kernel_size, "n_heads": 2}, seed=2
    )
    items = contract.random_items(2, [9, 1, 4, 2])
    lengths = torch.tensor([9, 0, 4, 1])
    state = model.init_state(4)
    for t, column in enumerate(items.T):
        _, state = model.step(state, column * (t < lengths))
    at_once = model.state_after(items, lengths)
    assert at_once.keys() == state.keys()
    for name in state.keys() - {"representation"}:
        torch.testing.assert_close(at_once[name], state[name], **CLOSE)


def test_a_plain_position_before_the_last_sees_the_future():
    """Why `forward` may be read at the end only, and `encode` is needed."""
    model, items = (
        contract.random_model("glint-ru", {"attention": False}, seed=0),
        contract.random_items(0, [6]),
    )
    assert (model(items)[0, 3] - model(items[:, :4])[0, 3]).abs().max() > 1e-3


@pytest.mark.parametrize("form, n_heads", [("paper", 1), ("released", 8)])
def test_heads_of_each_form_unless_given(form, n_heads):
    assert build_model("glint-ru", 9, d_model=16, form=form).attention.n_heads == n_heads
    assert build_model("glint-ru", 9, d_model=16, form=form, n_heads=4).attention.n_heads == 4


def n_parameters(**options) -> int:
    model = build_model("glint-ru", 10, d_model=16, **options)
    return sum(p.numel() for p in model.parameters()) - 11 * 16


def test_parameters_are_those_counted_on_paper():
    d = 16
    dense, conv = d * d + d, 3 * d * d + d
    expert = dense + 2 * conv + 6 * d * d + dense  # L, the convolutions, the cell, the crossing
    assert (
        n_parameters(form="paper") == 3 * dense + expert + 3 * d + 2 * dense + 2 + dense + 2 * dense
    )
    narrow = d * d // 2 + d // 2 + d * d // 2 + d
    assert (
        n_parameters(form="released")
        == 4 * dense + 2 * d + expert + narrow + 2 + 2 * dense + 2 * d + 3 * dense
    )


@forms
def test_an_ablation_leaves_exactly_its_part_out(form):
    d = 16
    whole, dense, conv = n_parameters(form=form), d * d + d, 3 * d * d + d
    released = form == "released"
    assert whole - n_parameters(form=form, temporal_conv=False) == 2 * conv
    assert whole - n_parameters(form=form, gated_mlp=False) == (3 if released else 2) * dense
    assert whole - n_parameters(form=form, attention=False) == 3 * dense + 2 + released * (
        dense + 2 * d
    )
    assert n_parameters(form=form, **BARE) == whole - sum(
        whole - n_parameters(form=form, **{name: False}) for name in BARE
    )


def test_the_released_code_has_one_layer_norm_in_two_places():
    assert (
        sum(
            isinstance(m, torch.nn.LayerNorm)
            for m in build_model("glint-ru", 9, d_model=16).modules()
        )
        == 2
    )  # attention's, and the shared one


@torch.no_grad()
def test_dropout_acts_where_each_form_says():
    items = contract.random_items(0, [7, 5])
    for options, moves in [
        ({"form": "paper", "dropout": 0.0}, False),
        ({"form": "paper", "dropout": 0.5}, True),
        ({"dropout": 0.0, "inner_dropout": 0.0}, False),
        ({"dropout": 0.5, "inner_dropout": 0.0}, True),
        ({"dropout": 0.0}, True),
    ]:
        model = contract.random_model("glint-ru", options, seed=0).train()
        assert torch.equal(model.encode(items), model.encode(items)) != moves, options
        model.eval()
        assert torch.equal(model.encode(items), model.encode(items)), options


def test_a_long_row_takes_memory_in_proportion():
    """The largest tensor kept for the gradient doubles with N, and is far from [N, d, d]."""
    model = build_model("glint-ru", 30, d_model=32, n_heads=1)

    def kept(n):
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t: sizes.append(t.numel()) or t, lambda t: t
        ):
            model.encode(torch.randint(1, 31, (1, n)))
        return max(sizes), sum(sizes)

    (large, total), (larger, double) = kept(256), kept(512)
    assert larger <= 2 * large and double <= 2.1 * total and larger < 512 * 32 * 32 / 2


@forms
def test_rare_values_give_finite_gradients(form):
    """A key of zeros (elu(0) = 0), an embedding of zeros, constant rows for LayerNorm: divisions by nothing."""
    model = build_model("glint-ru", 9, d_model=16, form=form, dropout=0.0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    model.encode(torch.tensor([[1, 2, 3], [4, 0, 0]])).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(
    "options, message",
    [
        ({"kernel_size": 4}, "kernel_size must be odd and at least 1.*got 4"),
        ({"kernel_size": 0}, "kernel_size must be odd and at least 1.*got 0"),
        ({"d_model": 12}, "d_model must be divisible by n_heads; got d_model = 12 and n_heads = 8"),
        ({"n_heads": 0}, "n_heads = 0"),
        ({"attention": False, "gru": False}, "no expert is left"),
        ({"form": "light"}, "form must be 'paper' or 'released'; got 'light'"),
        ({"form": "paper", "inner_dropout": 0.3}, "inner_dropout belongs to form='released'"),
        ({"max_len": 0}, "max_len must be at least 1"),
    ],
)
def test_a_wrong_option_is_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        build_model("glint-ru", 10, **options)


def test_a_model_without_items_is_refused():
    with pytest.raises(ValueError, match="n_items must be at least 1; got 0"):
        build_model("glint-ru", 0)
