"""RecBLR: against the authors' formula, its ablations, and what it promises beyond the contract.

That is: no padding, and a state that can be kept. The contract is in test_contract.py.
"""

import math
from pathlib import Path

import contract
import numpy as np
import pytest
import torch

from minirec.layers.bd_lru import initial_Lambda
from minirec.models import build_model

pytestmark = pytest.mark.slow

CLOSE = {"rtol": 0, "atol": 1e-10}
# Made by running the authors' model (which commit: in it) in float64 on random weights and rows of
# 8 items, which need no padding, with a loop for its scan: "output" with its 1e-8 under the root
# set to 0, "output_with_epsilon" as it stands.
GOLDEN = Path(__file__).parent / "golden_recblr.npz"
RELEASED_NAMES = {
    "layer_norm": "norm",
    "recurrent_layers": "layers",
    "behavior_modeling": "recurrent",
    "conv1d": "conv",
    "ffn": "feed_forward",
    "w_1": "widen",
    "w_2": "narrow",
}


def golden():
    """(our model with the authors' weights, the file)."""
    stored = np.load(GOLDEN)
    weights = {}
    for name in stored.files:
        if name.startswith("weight:"):
            parts = name.removeprefix("weight:").split(".")
            ours = ".".join(RELEASED_NAMES.get(part, part) for part in parts)
            weights[ours] = torch.from_numpy(stored[name])
    n_rows, d_model = weights["item_embedding.weight"].shape
    model = build_model("recblr", n_rows - 1, d_model=d_model).double().eval()
    model.load_state_dict(weights)
    return model, stored


@torch.no_grad()
def test_it_is_the_authors_formula_without_its_epsilon():
    model, stored = golden()
    encoded = model.encode(torch.from_numpy(stored["items"]))
    torch.testing.assert_close(encoded, torch.from_numpy(stored["output"]), **CLOSE)


@torch.no_grad()
def test_the_epsilon_is_small_but_seen():
    model, stored = golden()
    encoded = model.encode(torch.from_numpy(stored["items"]))
    with_epsilon = torch.from_numpy(stored["output_with_epsilon"])
    assert 1e-10 < (encoded - with_epsilon).abs().max() < 1e-5


def n_parameters(**options) -> int:
    model = build_model("recblr", 10, d_model=8, n_layers=1, **options)
    return sum(parameter.numel() for parameter in model.parameters())


def test_parameters_are_those_counted_on_paper():
    d = 8
    inner = 16
    embeddings = 11 * d
    norm = 2 * d
    convolution = 4 * inner + inner
    gates = inner * 2 * inner + 2 * inner
    recurrent = d * 2 * inner + convolution + gates + inner + inner * d  # the middle one: Lambda
    feed_forward = 2 * d * 4 * d + 5 * d + norm
    whole = n_parameters()
    assert whole == embeddings + norm + recurrent + norm + feed_forward
    assert whole - n_parameters(temporal_conv=False) == convolution
    assert whole - n_parameters(behaviour_gates=False) == gates
    assert whole - n_parameters(feed_forward=False) == feed_forward

    recurrence_alone = d * 2 * d + 2 * d + d  # gates and Lambda, as wide as the model
    assert whole - n_parameters(gated_layer=False) == recurrent - recurrence_alone
    assert n_parameters(gated_layer=False, kernel_size=9) == n_parameters(gated_layer=False)
    assert n_parameters(initial_decays="random") == whole


@torch.no_grad()
def test_lambda_begins_with_memories_from_a_tenth_to_a_thousandth_lost_a_step():
    Lambda = build_model("recblr", 5).layers[0].recurrent.Lambda
    left = torch.exp(-torch.nn.functional.softplus(Lambda))
    assert math.isclose(left[0], 0.9, abs_tol=1e-6)
    assert math.isclose(left[-1], 0.999, abs_tol=1e-6)
    assert (left.diff() > 0).all()


def random_decays(n_layers: int) -> list[torch.Tensor]:
    """Lambda of every layer of a wide model whose decays are drawn."""
    model = build_model("recblr", 5, d_model=2000, n_layers=n_layers, initial_decays="random")
    return [layer.recurrent.Lambda.detach() for layer in model.layers]


def test_lambda_drawn_at_random_is_standard_normal_and_every_layers_own():
    torch.manual_seed(0)
    first, second = random_decays(n_layers=2)
    for Lambda in (first, second):
        # Five standard errors of 4000 draws, of the mean and of the deviation.
        assert abs(Lambda.mean()) < 5 / math.sqrt(4000)
        assert abs(Lambda.std() - 1) < 5 / math.sqrt(2 * 4000)
        left = torch.exp(-torch.nn.functional.softplus(Lambda))
        within = ((left > 0.12) & (left < 0.88)).float().mean()
        assert 0.93 < within < 0.97
    assert not torch.equal(first, second)

    torch.manual_seed(0)
    again, _ = random_decays(n_layers=2)
    assert torch.equal(first, again)


def test_spread_decays_draw_no_random_number():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    initial_Lambda(16)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("gated_layer", [True, False])
def test_another_word_for_the_initial_decays_is_refused(gated_layer):
    with pytest.raises(ValueError, match="'spread' or 'random'; got 'wide'"):
        build_model("recblr", 5, initial_decays="wide", gated_layer=gated_layer)


@torch.no_grad()
def test_the_recurrence_alone_is_a_loop_over_the_items():
    options = {"gated_layer": False, "feed_forward": False, "n_layers": 1}
    model = contract.random_model("recblr", options, seed=6)
    items = contract.random_items(6, [9])
    layer = model.layers[0]
    weight = layer.recurrent.gates.weight.numpy()  # [2 d, d]: W_r on top of W_i
    bias = layer.recurrent.gates.bias.numpy()
    Lambda = layer.recurrent.Lambda.numpy()
    u = model.norm(model.item_embedding(items[0])).numpy()

    d = len(Lambda)
    h = np.zeros(d)
    for t in range(9):
        gates = 1 / (1 + np.exp(-(weight @ u[t] + bias)))
        alpha = (1 + np.exp(Lambda)) ** -gates[:d]  # exp(-softplus(L) s) = (1 + e^L)^-s
        h = alpha * h + np.sqrt(1 - alpha**2) * gates[d:] * u[t]
        y = layer.norm(torch.from_numpy(u[t] + h))
        torch.testing.assert_close(model.encode(items)[0, t], y, **CLOSE)


# The paper's Table 3, row by row.
TABLE_3 = [
    {},
    {"n_layers": 1},
    {"gated_layer": False},
    {"temporal_conv": False},
    {"feed_forward": False},
    {"initial_decays": "random"},
]


@torch.no_grad()
def test_every_row_of_the_papers_ablation_is_another_model():
    items = contract.random_items(0, [7])
    found = []
    for options in TABLE_3:
        torch.manual_seed(0)
        found.append(build_model("recblr", contract.N_ITEMS, d_model=8, **options).eval())
    encoded = [model.encode(items) for model in found]
    for first in range(len(found)):
        for second in range(first):
            assert not torch.allclose(encoded[first], encoded[second], atol=1e-3)


@torch.no_grad()
def test_without_the_gates_it_is_a_real_lru():
    left_out = {"behaviour_gates": False, "feed_forward": False, "temporal_conv": False}
    model = contract.random_model("recblr", {**left_out, "n_layers": 1}, seed=3)
    items = contract.random_items(3, [7])
    layer = model.layers[0]
    u = model.norm(model.item_embedding(items[0]))
    x, z = layer.recurrent.input(u).chunk(2, dim=-1)
    x = x * torch.sigmoid(x)
    alpha = 1 / (1 + layer.recurrent.Lambda.exp())  # exp(-softplus(L)) = 1 / (1 + e^L)
    h = 0.0
    for t in range(7):
        h = alpha * h + torch.sqrt(1 - alpha**2) * x[t]
    y = layer.recurrent.output(z[-1] * torch.sigmoid(z[-1]) * h)
    torch.testing.assert_close(model.last(items)[0], layer.norm(u[-1] + y), **CLOSE)


@pytest.mark.parametrize("options", [*TABLE_3, {"behaviour_gates": False}], ids=str)
@torch.no_grad()
def test_the_state_after_a_history_is_that_of_stepping_through_it(options):
    model = contract.random_model("recblr", options, seed=2)
    items = contract.random_items(2, [9, 1, 4, 2])
    lengths = torch.tensor([9, 0, 4, 1])
    state = model.init_state(4)
    for t, column in enumerate(items.T):
        _, state = model.step(state, column * (t < lengths))
    torch.testing.assert_close(model.state_after(items, lengths), state, **CLOSE)


@torch.no_grad()
def test_what_it_says_never_depends_on_the_paddings_row():
    model = contract.random_model("recblr", {"padding_class": True}, seed=7)
    items = contract.random_items(7, [9, 1, 4, 2])
    lengths = torch.tensor([9, 1, 4, 0])

    def said():
        state = model.state_after(items, lengths)
        stepped, _ = model.step(state, items[:, 0])
        return model.scores(items), model.encode(items)[items > 0], state, stepped

    before = said()
    model.item_embedding.weight[0] = 100.0
    torch.testing.assert_close(said(), before, rtol=0, atol=0)


@torch.no_grad()
def test_a_saved_state_goes_on_where_it_was(tmp_path):
    model = contract.random_model("recblr", {}, seed=4)
    items = contract.random_items(4, [9, 5, 7])
    first = items[:, :6]
    torch.save(model.state_after(first, (first > 0).sum(1)), tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    for column in items[:, 6:].T:
        representation, state = model.step(state, column)
    torch.testing.assert_close(representation, model.last(items), **CLOSE)


@torch.no_grad()
def test_thousands_of_states_are_served_by_one_call():
    model = contract.random_model("recblr", {}, seed=5).float()
    items = torch.randint(1, contract.N_ITEMS + 1, (4000, 3))
    state = model.state_after(items[:, :2], torch.full((4000,), 2))
    together, _ = model.step(state, items[:, 2])

    one = slice(1234, 1235)
    state_of_one = {name: part[:, one] for name, part in state.items()}  # [L, B, ...]
    state_of_one["representation"] = state["representation"][one]  # [B, d]
    alone, _ = model.step(state_of_one, items[one, 2])
    # float32, and matrix products of other shapes
    torch.testing.assert_close(together[one], alone, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(together, model.last(items), rtol=1e-4, atol=1e-4)
