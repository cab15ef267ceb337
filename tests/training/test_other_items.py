"""A trained model is trained on with its own items only: a weight belongs to an item's number."""

import copy

import numpy as np
import pytest
import torch
from small_models import RunningMean

from minirec import Interactions, build_model, fit, recommend

pytestmark = pytest.mark.slow


def data_of(item_ids, n_users=12):
    """Each user has all items, beginning at another one; the first to occur has number 1."""
    users = []
    items = []
    for user in range(n_users):
        for place in range(len(item_ids)):
            users.append(user)
            items.append(item_ids[(user + place) % len(item_ids)])
    return Interactions.from_columns(users, items)


def with_ids(data, item_ids):
    """The same log, whose items have other raw ids."""
    return Interactions(
        items=data.items,
        offsets=data.offsets,
        item_ids=np.asarray(item_ids),
        user_ids=data.user_ids,
        timestamps=data.timestamps,
    )


NUMBERS = [100, 101, 102, 103, 104]
WORDS = np.array(["a", "b", "c", "d", "e"], dtype=object)


def trained(model, data):
    fit(model, data.split(), epochs=1, device="cpu", progress=False)
    return model


def neural(n_items):
    torch.manual_seed(0)
    return RunningMean(n_items)


def counting(n_items):
    return build_model("popularity", n_items)


DIFFERENT = {
    "other ids": (NUMBERS, [1100, 1101, 1102, 1103, 1104], "item 1 was the number '100'"),
    "another order": (NUMBERS, [100, 101, 103, 102, 104], "item 3 was the number '102', and in "),
    "text for numbers": (
        NUMBERS,
        np.array(["100", "101", "102", "103", "104"], dtype=object),
        "item 1 was the number '100', and in the data it is the text '100'",
    ),
    "decimals for integers": (NUMBERS, [100.0, 101.0, 102.0, 103.0, 104.0], "the number '100.0'"),
    "one other word": (
        WORDS,
        np.array(["a", "b", "c", "d", "\x1b[2J"], dtype=object),
        r"item 5 was the text 'e', and in the data it is the text '\x1b[2J'",
    ),
}


@pytest.mark.parametrize("build", [neural, counting])
@pytest.mark.parametrize("ids, others, named", DIFFERENT.values(), ids=DIFFERENT)
def test_other_items_are_refused_by_the_first_that_differs(build, ids, others, named):
    data = with_ids(data_of(NUMBERS), ids)
    model = trained(build(5), data)
    before = copy.deepcopy(model.state_dict())
    vocabulary = model.vocabulary

    with pytest.raises(ValueError) as raised:
        trained(model, with_ids(data, others))
    message = str(raised.value)
    assert named in message
    assert "the same items in the same order; for these data, build a new model" in message
    assert message.isprintable()

    assert model.vocabulary is vocabulary
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_vocabulary_of_another_size_is_refused():
    data = data_of(NUMBERS)
    model = trained(neural(5), data)
    other = trained(neural(4), data_of(NUMBERS[:4]))
    model.vocabulary = other.vocabulary
    with pytest.raises(ValueError, match="trained on 4 items, the data has 5"):
        trained(model, data)


@pytest.mark.parametrize("build", [neural, counting])
@pytest.mark.parametrize("dtype", [np.int64, np.int32])
def test_a_log_that_has_grown_is_trained_on(build, dtype):
    """More users and interactions of the same items; how wide the numbers are stored is nothing."""
    model = trained(build(5), data_of(NUMBERS))
    grown = data_of(NUMBERS, n_users=20)
    grown = with_ids(grown, grown.item_ids.astype(dtype))
    trained(model, grown)
    assert model.vocabulary.fingerprint == grown.fingerprint
    assert set(recommend(model, [[100, 101]], 5)["item"]) == set(NUMBERS)
