"""Every registered model keeps its contract; and the contract notices a model that does not."""

import contract
import pytest
import torch
from hypothesis import given, settings
from hypothesis.strategies import integers, lists
from small_models import RunningMean

from minirec.models import MODELS

pytestmark = pytest.mark.slow

# Options worth a run of their own.
MORE = {
    "narm": [{"n_layers": 2}, {"d_state": 5}],
    "gru4rec": [{"n_layers": 2}, {"form": "paper"}, {"d_state": 5, "n_layers": 3}],
    "recblr": [
        {"n_layers": 1, "kernel_size": 1},
        {"temporal_conv": False},
        {"behaviour_gates": False},
        {"feed_forward": False},
        {"gated_layer": False},
        {"gated_layer": False, "behaviour_gates": False, "n_layers": 1},
        {"initial_decays": "random"},
    ],
    "glint-ru": [
        {"form": "paper"},
        {"kernel_size": 7, "n_heads": 2},
        {"temporal_conv": False, "n_heads": 1},
    ],
}

ALL = contract.variants(MORE, "next-item", "prefix", "cloze")
NEXT_ITEM = contract.variants(MORE, "next-item")
RECURRENT = [(name, options) for name, options in NEXT_ITEM if hasattr(MODELS[name], "step")]
NAMES = [name for name, _ in contract.variants({}, "next-item", "prefix", "cloze")]

histories = {"seed": integers(0, 10**6), "lengths": lists(integers(1, 12), min_size=1, max_size=4)}


def hold(models, promises):
    """Parameters: every promise for every (name, options)."""
    cases = []
    ids = []
    for name, options in models:
        for promise in promises:
            cases.append((name, options, promise))
            listed = [f"{key}={value}" for key, value in options.items()]
            ids.append("-".join([name, *listed, promise.__name__]))
    return pytest.mark.parametrize(("name", "options", "promise"), cases, ids=ids)


@hold(NEXT_ITEM, contract.NEXT_ITEM)
@given(**histories)
@settings(max_examples=15)
def test_next_item_models_encode_every_prefix(name, options, promise, seed, lengths):
    promise(contract.random_model(name, options, seed), contract.random_items(seed, lengths))


@hold(ALL, contract.ANY_OBJECTIVE)
@given(**histories)
@settings(max_examples=15)
def test_whatever_the_objective(name, options, promise, seed, lengths):
    promise(contract.random_model(name, options, seed), contract.random_items(seed, lengths))


@hold(RECURRENT, contract.STREAMING)
@given(**histories)
@settings(max_examples=15)
def test_recurrent_models_stream(name, options, promise, seed, lengths):
    promise(contract.random_model(name, options, seed), contract.random_items(seed, lengths))


@pytest.mark.parametrize("name", NAMES)
def test_dropout_acts_in_training_only(name):
    model = contract.random_model(name, {"dropout": 0.5}, seed=0)
    items = contract.random_items(0, [6])
    representing = [model.last]
    if model.objective == "next-item":
        representing.append(model.encode)
    for represent in representing:
        assert torch.equal(represent(items), represent(items))
        model.train()
        assert not torch.equal(represent(items), represent(items))
        model.eval()


class LooksAhead(RunningMean):
    def encode(self, items):
        x = super().encode(items)
        return x + 1e-6 * x.roll(-1, dims=1)


class ReadsPadding(RunningMean):
    def encode(self, items):
        return super().encode(items) + 1e-6 * (items == 0).sum(1)[:, None, None]


class ReadsOtherRows(RunningMean):
    def encode(self, items):
        x = super().encode(items)
        return x + 1e-6 * x[:, :1].mean(0)


class ScoresPadding(RunningMean):
    def scores(self, items):
        return self.last(items) @ self.output_weights().T


class Sums(RunningMean):
    """The sum of the embeddings so far: the smallest recurrent model that keeps its promises."""

    def encode(self, items):
        return self.item_embedding(items).cumsum(1)

    def init_state(self, batch_size):
        return {"sum": self.item_embedding.weight.new_zeros(batch_size, self.d_model)}

    def step(self, state, items):
        new = state["sum"] + self.item_embedding(items)
        return new, {"sum": new}


class Averages(Sums):
    """Forgets to hold a row that is given 0, and halves it instead."""

    def step(self, state, items):
        new = state["sum"] / 2 + self.item_embedding(items)
        return new, {"sum": new}


class KeepsEverything(Sums):
    def init_state(self, batch_size):
        return super().init_state(batch_size) | {"history": torch.zeros(batch_size, 0)}

    def step(self, state, items):
        new, after = super().step(state, items)
        return new, after | {"history": torch.cat([state["history"], items[:, None]], dim=1)}


def small(model):
    torch.manual_seed(0)
    return model(contract.N_ITEMS).double().eval()


@pytest.mark.parametrize(
    ("model", "promise"),
    [
        (LooksAhead, contract.position_t_is_the_prefix_up_to_t),
        (ReadsPadding, contract.padding_changes_nothing),
        (ReadsOtherRows, contract.other_rows_change_nothing),
        (ScoresPadding, contract.scores_are_inner_products_without_padding),
        (Averages, contract.stepping_equals_encoding),
        (Averages, contract.stepping_with_0_leaves_a_row_as_it_was),
        (KeepsEverything, contract.the_state_does_not_grow),
    ],
    ids=lambda value: value.__name__,
)
def test_a_broken_promise_is_noticed(model, promise):
    items = contract.random_items(0, [6, 1, 4, 6])
    with pytest.raises(AssertionError):
        promise(small(model), items)


@pytest.mark.parametrize(
    "promise",
    contract.NEXT_ITEM + contract.ANY_OBJECTIVE + contract.STREAMING,
    ids=lambda promise: promise.__name__,
)
def test_a_model_that_keeps_its_promises_passes(promise):
    promise(small(Sums), contract.random_items(0, [6, 1, 4, 6]))


@pytest.mark.parametrize(
    "items, message",
    [
        ([[31]], "1..30"),
        ([[-1]], "1..30"),
        ([[0, 3]], "row 0 starts with padding"),
        ([[3, 0, 3]], "0 inside"),
        ([[]], "no items at all"),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_scores_refuse_items_that_cannot_be(name, items, message):
    with pytest.raises(ValueError, match=message):
        contract.random_model(name, {}, 0).scores(torch.tensor(items, dtype=torch.long))
