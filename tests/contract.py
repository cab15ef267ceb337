"""The contract of the models (minirec/models/base.py) as functions of a model and items [B, N].

Each asserts one promise, in float64. test_contract.py holds every registered model to them; a new
model joins by being registered.
"""

import math

import torch
from torch import nn

from minirec.models import MODELS, build_model, model_options
from minirec.models.base import NeuralRecommender

N_ITEMS = 30
SMALL = {"d_model": 8, "max_len": 40}  # for those models that have these options
CLOSE = {"rtol": 0, "atol": 1e-10}


def variants(more: dict[str, list[dict]], *objectives: str) -> list[tuple[str, dict]]:
    """(name, options) of every registered neural model with one of these objectives.

    Each as it is by default, and with each of more[name].
    """
    found = []
    for name, model in MODELS.items():
        if issubclass(model, NeuralRecommender) and model.objective in objectives:
            found.append((name, {}))
            for options in more.get(name, []):
                found.append((name, options))
    return found


def random_model(name: str, options: dict, seed: int) -> NeuralRecommender:
    """A small model in float64 and eval mode.

    All its weights are random and large enough for every part to show; the padding embedding is 0.
    """
    torch.manual_seed(seed)
    small = {key: value for key, value in SMALL.items() if key in model_options(name)}
    model = build_model(name, N_ITEMS, **{**small, **options}).double().eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    nn.init.zeros_(model.item_embedding.weight[0])
    return model


def random_items(seed: int, lengths: list[int]) -> torch.Tensor:
    """Random histories of these lengths, padded with 0 on the right."""
    generator = torch.Generator().manual_seed(seed)
    items = torch.randint(1, N_ITEMS + 1, (len(lengths), max(lengths)), generator=generator)
    return items * (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None])


@torch.no_grad()
def position_t_is_the_prefix_up_to_t(model, items):
    together = model.encode(items)
    for row in range(len(items)):
        for t in range(int((items[row] > 0).sum())):
            alone = model.last(items[row : row + 1, : t + 1])
            torch.testing.assert_close(together[row, t], alone[0], **CLOSE)


@torch.no_grad()
def padding_changes_nothing(model, items):
    wider = nn.functional.pad(items, (0, 3))
    torch.testing.assert_close(model.last(items), model.last(wider), **CLOSE)
    for row, last in zip(items, model.last(wider), strict=True):
        torch.testing.assert_close(model.last(row[None, row > 0])[0], last, **CLOSE)


@torch.no_grad()
def other_rows_change_nothing(model, items):
    flipped = items.flip(0)
    others = flipped.where(flipped == 0, flipped % N_ITEMS + 1)  # as padded, but other films
    together = model.last(torch.cat([others, items]))
    torch.testing.assert_close(together[len(items) :], model.last(items), **CLOSE)


@torch.no_grad()
def scores_are_inner_products_without_padding(model, items):
    scores = model.scores(items)
    last = model.last(items)
    assert scores.shape == (len(items), N_ITEMS + 1)
    assert (scores[:, 0] == -math.inf).all()
    for item in range(1, N_ITEMS + 1):
        product = (last * model.output_weights()[item]).sum(-1)
        torch.testing.assert_close(scores[:, item], product, **CLOSE)


@torch.no_grad()
def stepping_equals_encoding(model, items):
    encoded = model.encode(items)
    state = model.init_state(len(items))
    for t, column in enumerate(items.T):
        representation, state = model.step(state, column)
        torch.testing.assert_close(representation[column > 0], encoded[:, t][column > 0], **CLOSE)


@torch.no_grad()
def stepping_with_0_leaves_a_row_as_it_was(model, items):
    state = model.init_state(len(items))
    for column in items[:, :2].T:
        _, state = model.step(state, column)

    goes_on = (items[:, 0] % 2 == 0).long()  # some rows pause, some go on
    _, paused = model.step(state, items[:, 0] * goes_on)
    after_pause, _ = model.step(paused, items[:, 0])
    straight_on, _ = model.step(state, items[:, 0])
    torch.testing.assert_close(after_pause[goes_on == 0], straight_on[goes_on == 0], rtol=0, atol=0)


@torch.no_grad()
def the_state_does_not_grow(model, items):
    state = model.init_state(len(items))
    sizes = {name: part.shape for name, part in state.items()}
    for column in items.T:
        _, state = model.step(state, column)
        assert {name: part.shape for name, part in state.items()} == sizes


NEXT_ITEM = [position_t_is_the_prefix_up_to_t]
ANY_OBJECTIVE = [
    padding_changes_nothing,
    other_rows_change_nothing,
    scores_are_inner_products_without_padding,
]
STREAMING = [
    stepping_equals_encoding,
    stepping_with_0_leaves_a_row_as_it_was,
    the_state_does_not_grow,
]
