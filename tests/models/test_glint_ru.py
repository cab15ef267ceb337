"""GLINT-RU: the released form against the authors' code, the paper's form against its equations.

And `encode` against the plain model on every prefix. What it promises as every model does is in
test_contract.py.
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

pytestmark = pytest.mark.slow

CLOSE = {"rtol": 0, "atol": 1e-10}
ABLATIONS = [
    {},
    {"attention": False},
    {"gru": False},
    {"temporal_conv": False},
    {"gated_mlp": False},
]
BARE = {"attention": False, "temporal_conv": False, "gated_mlp": False}

ABLATION_NAMES = ["whole", *(name for ablation in ABLATIONS for name in ablation)]
cases = pytest.mark.parametrize("ablation", ABLATIONS, ids=ABLATION_NAMES)
forms = pytest.mark.parametrize("form", ["paper", "released"])
kernels = pytest.mark.parametrize("kernel_size", [1, 3, 5, 7])

# Made by running the authors' file (which commit: in it) on random weights and items.
GOLDEN = Path(__file__).parent / "golden_glint_ru.npz"
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
    weights = {}
    for name in stored.files:
        if name.startswith("weight:"):
            weights[name.removeprefix("weight:")] = torch.from_numpy(stored[name])
    ours = {
        "mixing": weights.pop("weights").flip(0),  # theirs weighs the GRU first
        "gru.gru.cell.weight_x": weights.pop("gru_layers.weight_ih_l0"),
        "gru.gru.cell.weight_h": weights.pop("gru_layers.weight_hh_l0"),
    }
    for name, value in weights.items():
        module, _, kind = name.rpartition(".")
        ours[f"{RELEASED_NAMES[module]}.{kind}"] = value
    n_rows, d_model = ours["item_embedding.weight"].shape
    model = build_model("glint-ru", n_rows - 1, d_model=d_model).double().eval()
    model.load_state_dict(ours)
    return model, torch.from_numpy(stored["items"]), torch.from_numpy(stored["output"])


@torch.no_grad()
def test_the_released_form_is_the_authors_code():
    model, items, theirs = golden()
    torch.testing.assert_close(model(items)[:, -1], theirs, **CLOSE)
    torch.testing.assert_close(model.encode(items)[:, -1], theirs, **CLOSE)
    torch.testing.assert_close(model.last(items), theirs, **CLOSE)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


@np.vectorize
def gelu(a):
    return a * (1 + math.erf(a / math.sqrt(2))) / 2


def dense(w, name, x):
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def convolve(w, name, x):
    """Eqs. 5 and 8, or x itself where the convolutions are left out."""
    if f"{name}.weight" not in w:
        return x
    kernel = w[f"{name}.weight"]
    r = kernel.shape[2] // 2
    y = np.zeros_like(x)
    for n in range(len(x)):
        y[n] = w[f"{name}.bias"]
        for i in range(2 * r + 1):
            if 0 <= n + i - r < len(x):
                y[n] += kernel[:, :, i] @ x[n + i - r]
    return y


def attend(w, x, n_heads):
    """Eq. 2, head by head."""
    width = x.shape[1] // n_heads
    queries = dense(w, "attention.query", x)
    keys = dense(w, "attention.key", x)
    values = dense(w, "attention.value", x)
    parts = []
    for start in range(0, x.shape[1], width):
        head = slice(start, start + width)
        q = elu(queries[:, head])
        k = elu(keys[:, head])
        q = q / np.sqrt((q**2).sum(1, keepdims=True))
        k = k / np.sqrt((k**2).sum(0, keepdims=True))
        parts.append((q @ k.T) @ values[:, head])
    return np.concatenate(parts, 1)


def elu(a):
    return np.where(a > 0, a, np.exp(a) - 1)


def recur(w, x):
    """Eqs. 5 to 9: convolve, recur, gate, convolve."""
    c = convolve(w, "gru.conv", dense(w, "gru.dense", x))  # Eq. 5
    d = c.shape[1]
    u_r, u_z, u_c = np.split(w["gru.gru.cell.weight_h"], 3)
    w_r, w_z, w_c = np.split(w["gru.gru.cell.weight_x"], 3)
    b_r, b_z, b_c = np.split(w["gru.gru.cell.bias_x"], 3)
    h = np.zeros(d)
    states = []
    for row in c:  # Eqs. 1 and 6
        r = sigmoid(w_r @ row + u_r @ h + b_r)
        z = sigmoid(w_z @ row + u_z @ h + b_z)
        candidate = np.tanh(w_c @ row + u_c @ (r * h) + b_c)
        h = z * candidate + (1 - z) * h
        states.append(h)
    narrow = dense(w, "gru.gate.narrow", c)
    gate = dense(w, "gru.gate.widen", narrow * sigmoid(narrow))
    gated = gate * dense(w, "gru.gate.crossing", np.stack(states))  # Eqs. 7 and 9
    return convolve(w, "gru.output_conv", gated)  # Eq. 8


def printed(model, items: list[int]) -> np.ndarray:
    """The paper's form for one history, Eqs. 2 to 12 one after another in NumPy; its end."""
    w = {name: value.detach().numpy() for name, value in model.named_parameters()}
    x = w["item_embedding.weight"][items]  # Eqs. 3-4
    if model.attention is None:
        mixed = recur(w, x)
    elif model.gru is None:
        mixed = attend(w, x, model.attention.n_heads)
    else:  # Eq. 10
        a = np.exp(w["mixing"]) / np.exp(w["mixing"]).sum()
        mixed = a[0] * attend(w, x, model.attention.n_heads) + a[1] * recur(w, x)
    z = gelu(dense(w, "data_gate", x)) * mixed  # Eq. 11
    if model.mlp is None:
        return z[-1]
    return dense(w, "mlp.output", gelu(dense(w, "mlp.gate", z)) * z)[-1]  # Eq. 12


@cases
@kernels
@given(length=integers(1, 9), n_heads=sampled_from([None, 2, 4]), seed=integers(0, 10**6))
@settings(max_examples=5)
def test_the_papers_form_is_the_printed_equations(ablation, kernel_size, length, n_heads, seed):
    options = {"form": "paper", "kernel_size": kernel_size, "n_heads": n_heads, **ablation}
    model = contract.random_model("glint-ru", options, seed)
    items = contract.random_items(seed, [length])
    by_hand = torch.from_numpy(printed(model, items[0].tolist()))
    torch.testing.assert_close(model(items)[0, -1], by_hand, **CLOSE)


def gradients(model, loss):
    """The gradient of every parameter by name; None where the loss does not depend on it."""
    parameters = dict(model.named_parameters())
    found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    return dict(zip(parameters, found, strict=True))


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
    encoded = model.encode(items)
    direction = torch.randn(*items.shape, 8, dtype=torch.float64)
    plain = torch.zeros_like(encoded)
    for row, history in enumerate(items):
        for t in range(int((history > 0).sum())):
            plain[row, t] = model(history[None, : t + 1])[0, -1]
    real = (items > 0)[..., None]
    torch.testing.assert_close(encoded * real, plain, **CLOSE)

    ours = gradients(model, (encoded * real * direction).sum())
    theirs = gradients(model, (plain * real * direction).sum())
    for name, mine in ours.items():
        other = theirs[name]
        assert (mine is None) == (other is None), name
        if mine is not None:
            # Gradients sum over positions and rows, and float64 rounds each: so relative to the
            # largest of them.
            allowed = 1e-10 * max(1.0, float(other.abs().max()))
            message = f"the gradient of {name}"
            torch.testing.assert_close(mine, other, rtol=0, atol=allowed, msg=message)


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
    wider = torch.nn.functional.pad(items, (0, 4))
    torch.testing.assert_close(model(wider)[torch.arange(5), ends], plain, **CLOSE)
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
    model = contract.random_model("glint-ru", {"attention": False}, seed=0)
    items = contract.random_items(0, [6])
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
    dense = d * d + d
    conv = 3 * d * d + d
    mixing = 2
    norm = 2 * d
    expert = dense + 2 * conv + 6 * d * d + dense  # L, the convolutions, the cell, the crossing

    biases = 3 * d  # of the cell
    attention = 3 * dense
    gate = 2 * dense
    data_gate = dense
    mlp = 2 * dense
    paper = attention + expert + biases + gate + mixing + data_gate + mlp
    assert n_parameters(form="paper") == paper

    attention = 4 * dense + norm  # with the dense layer and LayerNorm after it
    gate = d * d // 2 + d // 2 + d * d // 2 + d  # d to d / 2, and back
    data_gate = 2 * dense + norm
    mlp = 3 * dense
    released = attention + expert + gate + mixing + data_gate + mlp
    assert n_parameters(form="released") == released


@forms
def test_an_ablation_leaves_exactly_its_part_out(form):
    d = 16
    dense = d * d + d
    conv = 3 * d * d + d
    attention = 3 * dense + 2  # and the two weights of the mixing
    mlp = 2 * dense
    if form == "released":
        attention += dense + 2 * d
        mlp += dense

    whole = n_parameters(form=form)
    assert whole - n_parameters(form=form, temporal_conv=False) == 2 * conv
    assert whole - n_parameters(form=form, gated_mlp=False) == mlp
    assert whole - n_parameters(form=form, attention=False) == attention
    assert n_parameters(form=form, **BARE) == whole - 2 * conv - mlp - attention


def test_the_released_code_has_one_layer_norm_in_two_places():
    modules = build_model("glint-ru", 9, d_model=16).modules()
    norms = [module for module in modules if isinstance(module, torch.nn.LayerNorm)]
    assert len(norms) == 2  # attention's, and the shared one


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

        def note(tensor):
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            model.encode(torch.randint(1, 31, (1, n)))
        return max(sizes), sum(sizes)

    largest, total = kept(256)
    largest_of_double, total_of_double = kept(512)
    assert largest_of_double <= 2 * largest
    assert total_of_double <= 2.1 * total
    assert largest_of_double < 512 * 32 * 32 / 2


@forms
def test_rare_values_give_finite_gradients(form):
    """Divisions by nothing: a key of zeros (elu(0) = 0), an embedding of zeros, constant rows."""
    model = build_model("glint-ru", 9, d_model=16, form=form, dropout=0.0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    model.encode(torch.tensor([[1, 2, 3], [4, 0, 0]])).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all(), name


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
