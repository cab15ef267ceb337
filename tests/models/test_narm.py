"""NARM beside a loop; what it promises as every model does is in test_contract.py."""

import math

import contract
import gradients
import pytest
import torch
from hypothesis import given, settings
from hypothesis.strategies import integers, lists, sampled_from
from torch import nn
from torch.nn import functional as F

from minirec import build_model, profiling
from minirec.models import narm
from minirec.models.narm import NARM, AdditiveAttention

CLOSE = {"rtol": 0, "atol": 1e-10}
D_MODEL = contract.SMALL["d_model"]


def sigmoid(x):
    return 1 / (1 + torch.exp(-x))


def states_by_hand(model, history):
    """The last layer's states of one history, gate by gate, in PyTorch's form of the cell."""
    inputs = [model.item_embedding.weight[item] for item in history]
    for layer in model.layers:
        w_r, w_z, w_c = layer.cell.weight_x.chunk(3)
        u_r, u_z, u_c = layer.cell.weight_h.chunk(3)
        h = torch.zeros(model.d_state, dtype=torch.float64)
        states = []
        for x in inputs:
            r = sigmoid(w_r @ x + u_r @ h)
            z = sigmoid(w_z @ x + u_z @ h)
            candidate = torch.tanh(w_c @ x + r * (u_c @ h))
            h = (1 - z) * candidate + z * h
            states.append(h)
        inputs = states
    return inputs


def attend_by_hand(attention, states, t):
    """The sum over j <= t of v . sigmoid(A_1 h_t + A_2 h_j) h_j."""
    local = torch.zeros_like(states[0])
    for j in range(t + 1):
        asked = attention.to_query.weight @ states[t] + attention.to_key.weight @ states[j]
        weight = (attention.to_weight.weight[0] * sigmoid(asked)).sum()
        local = local + weight * states[j]
    return local


def represent_by_hand(model, states, t):
    joined = torch.cat([attend_by_hand(model.attention, states, t), states[t]])
    return model.output.weight @ joined


@given(
    lengths=lists(integers(1, 9), min_size=1, max_size=3),
    n_layers=integers(1, 2),
    d_state=sampled_from([None, 3, 8]),
    seed=integers(0, 10**6),
)
@settings(max_examples=40)
@torch.no_grad()
def test_it_is_the_papers_equations_position_by_position(lengths, n_layers, d_state, seed):
    model = contract.random_model("narm", {"n_layers": n_layers, "d_state": d_state}, seed)
    items = contract.random_items(seed, lengths)
    encoded = model.encode(items)
    for row, length in enumerate(lengths):
        states = states_by_hand(model, items[row, :length].tolist())
        for t in range(length):
            expected = represent_by_hand(model, states, t)
            torch.testing.assert_close(encoded[row, t], expected, **CLOSE)
        torch.testing.assert_close(model.last(items)[row], expected, **CLOSE)


@given(length=integers(1, 9), n_layers=integers(1, 3), seed=integers(0, 10**6))
@torch.no_grad()
def test_its_states_are_those_of_pytorchs_gru(length, n_layers, seed):
    model = contract.random_model("narm", {"n_layers": n_layers}, seed)
    items = contract.random_items(seed, [length, length])
    theirs = nn.GRU(D_MODEL, 2 * D_MODEL, n_layers, bias=False, batch_first=True).double()
    weights = {}
    for i, layer in enumerate(model.layers):
        weights[f"weight_ih_l{i}"] = layer.cell.weight_x
        weights[f"weight_hh_l{i}"] = layer.cell.weight_h
    theirs.load_state_dict(weights)
    states, _ = theirs(model.item_embedding.weight[items])
    torch.testing.assert_close(model.states(items), states, **CLOSE)


@pytest.mark.parametrize("kept_up_to", [0, 10**6], ids=["computed anew", "kept"])
@pytest.mark.parametrize("queries_per_block", [1, 3, 7, 100])
def test_however_the_queries_are_cut_sums_and_gradients_are_the_same(
    monkeypatch, queries_per_block, kept_up_to
):
    torch.manual_seed(0)
    attention = AdditiveAttention(4).double()
    states = torch.randn(2, 7, 4, dtype=torch.float64, requires_grad=True)
    wanted = [*attention.parameters(), states]
    by_hand = []
    for row in states:
        by_hand.append(torch.stack([attend_by_hand(attention, row, t) for t in range(7)]))
    expected = torch.stack(by_hand)
    direction = torch.randn_like(expected)
    expected_gradients = torch.autograd.grad((expected * direction).sum(), wanted)

    monkeypatch.setattr(narm, "QUERIES_PER_BLOCK", queries_per_block)
    monkeypatch.setattr(narm, "KEPT_UP_TO", kept_up_to)
    found = attention(states)
    torch.testing.assert_close(found, expected, **CLOSE)
    found_gradients = torch.autograd.grad((found * direction).sum(), wanted)
    for ours, theirs in zip(found_gradients, expected_gradients, strict=True):
        torch.testing.assert_close(ours, theirs, **CLOSE)


def kept_for_backward(n):
    """How many numbers attention over a row of n states keeps for backward."""
    kept = []
    attention = AdditiveAttention(4)
    states = torch.randn(1, n, 4, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, _same):
        attention(states)
    return sum(kept)


def _same(x):
    return x


def test_long_rows_keep_less_for_backward_than_their_pairs(monkeypatch):
    n_pairs = 64 * 65 // 2
    assert kept_for_backward(64) > 4 * n_pairs  # s = 4 numbers for each, at least
    monkeypatch.setattr(narm, "KEPT_UP_TO", 63)
    assert kept_for_backward(64) < 4 * n_pairs


@pytest.mark.slow
@pytest.mark.parametrize("kept_up_to", [0, 10**6], ids=["computed anew", "kept"])
def test_the_gradients_of_attention_are_right(monkeypatch, kept_up_to):
    monkeypatch.setattr(narm, "QUERIES_PER_BLOCK", 2)
    monkeypatch.setattr(narm, "KEPT_UP_TO", kept_up_to)
    torch.manual_seed(0)
    attention = AdditiveAttention(3).double()
    states = torch.randn(2, 5, 3, dtype=torch.float64)
    assert gradients.gradients_are_right(attention, states)


@pytest.mark.parametrize("n", [15, 16, 17, 37])
def test_the_closed_form_counts_the_pairs_of_all_blocks(n):
    model = build_model("narm", 9, d_model=8, d_state=5, n_layers=2).eval()
    items = torch.randint(1, 10, (1, n))
    with torch.no_grad():
        assert profiling.flops(lambda: model.encode(items)) == profiling.closed_form(model, n)


def test_its_weights_are_no_shares_of_a_whole():
    # Without a softmax a history of equal states has as many times the sum as it is long.
    torch.manual_seed(0)
    attention = AdditiveAttention(4).double()
    states = torch.ones(1, 6, 4, dtype=torch.float64)
    sums = attention(states)[0]
    torch.testing.assert_close(sums[5], 6 * sums[0], **CLOSE)
    assert sums[0].abs().max() > 1e-3


def test_it_drops_embeddings_and_the_joined_vector_by_shares_of_their_own():
    model = build_model("narm", 30, d_model=16, dropout=0.3, inner_dropout=0.6).train()
    items = contract.random_items(0, [6, 6])
    torch.manual_seed(7)
    found = model.encode(items)

    torch.manual_seed(7)
    states = F.dropout(model.item_embedding(items), 0.3)
    for layer in model.layers:
        states = layer(states)
    joined = torch.cat([model.attention(states), states], dim=-1)
    torch.testing.assert_close(found, model.output(F.dropout(joined, 0.6)))


def test_its_shares_of_dropout_are_the_papers_unless_given():
    model = build_model("narm", 30)
    assert (model.dropout.p, model.inner_dropout.p) == (0.25, 0.5)


def test_its_linear_maps_begin_as_released_and_have_no_bias():
    torch.manual_seed(0)
    model = build_model("narm", 500, d_model=64)
    for linear in (model.attention.to_query, model.attention.to_key, model.output):
        d_output, d_input = linear.weight.shape
        expected = math.sqrt(2 / (d_input + d_output))
        assert linear.weight.std().item() == pytest.approx(expected, rel=0.1)
        assert linear.bias is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_layers": 0}, "n_layers must be at least 1; got 0"),
        ({"d_state": 0}, "d_state must be at least 1; got 0"),
        ({"d_model": 0}, "d_model and max_len must be at least 1; got 0 and 200"),
    ],
)
def test_a_wrong_option_is_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        build_model("narm", 10, **options)


def test_it_has_no_state_of_a_fixed_size():
    assert not hasattr(NARM, "step")


# --- What the attention is for: something seen long ago among noise decides ---

N_KEYS = 8
N_NOISE = 20


def histories_with_a_key(generator, n_rows, n_items=23):
    """Rows of noise with one key among the first three items, and which key: [B, N] and [B].

    Keys are the items 1..N_KEYS, noise the N_NOISE items behind them.
    """
    items = torch.randint(N_KEYS + 1, N_KEYS + N_NOISE + 1, (n_rows, n_items), generator=generator)
    keys = torch.randint(1, N_KEYS + 1, (n_rows,), generator=generator)
    places = torch.randint(3, (n_rows,), generator=generator)
    items[torch.arange(n_rows), places] = keys
    return items, keys


class GlobalAlone(NARM):
    """NARM without what its attention finds: the paper's global encoder."""

    def decode(self, local, newest):
        return super().decode(torch.zeros_like(local), newest)


def share_of_keys_found(model_class, seed, n_steps=60):
    """Train on fresh histories to name the key behind twenty items of noise; judge on others."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    no_dropout = {"dropout": 0.0, "inner_dropout": 0.0}
    model = model_class(N_KEYS + N_NOISE, d_model=16, max_len=23, **no_dropout)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(n_steps):
        items, keys = histories_with_a_key(generator, 64)
        loss = F.cross_entropy(model.scores(items), keys)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    items, keys = histories_with_a_key(generator, 500)
    with torch.no_grad():
        return (model.scores(items).argmax(1) == keys).float().mean().item()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0])
def test_with_attention_a_key_from_long_ago_is_found_long_before_the_state_alone_keeps_it(seed):
    # The state alone guesses one key in eight after as many steps. It learns to keep the key too,
    # given some three times as many: attention shortens the way back, it is not the only one.
    assert share_of_keys_found(NARM, seed) > 0.8
    assert share_of_keys_found(GlobalAlone, seed) < 0.5
