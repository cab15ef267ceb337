"""Ties: what a user chose at one time, and the orders that it may be put in."""

import re
from collections import Counter, defaultdict

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minirec import Interactions, evaluate, load_dataset
from minirec.data import datasets
from minirec.data.datasets import NAMED_SETS
from minirec.data.splits import split_files
from minirec.errors import DataError
from minirec.models import build_model

ROWS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9), st.integers(0, 3)), min_size=1)


def log(rows):
    users, items, times = zip(*rows, strict=True)
    return Interactions.from_columns(users, [f"item {item}" for item in items], times)


def moments(data):
    """What each user chose at each time, in order."""
    chosen = defaultdict(list)
    frame = data.to_frame()
    for user, item, time in zip(frame["user"], frame["item"], frame["timestamp"], strict=True):
        chosen[user, time].append(item)
    return chosen


@given(ROWS, st.sampled_from(["id", "random"]), st.integers(0, 5))
def test_only_the_order_within_a_moment_changes(rows, order, seed):
    data = log(rows)
    other = data.reorder_ties(order, seed)
    before = moments(data)
    after = moments(other)
    assert {key: Counter(items) for key, items in before.items()} == {
        key: Counter(items) for key, items in after.items()
    }
    assert other.timestamps.tolist() == data.timestamps.tolist()
    assert other.offsets.tolist() == data.offsets.tolist()
    assert other.n_duplicates == data.n_duplicates
    if order == "id":
        assert all(items == sorted(items) for items in after.values())


@given(ROWS, st.randoms(), st.integers(0, 5))
def test_a_seed_gives_one_order_whatever_order_the_rows_came_in(rows, random, seed):
    shuffled = list(rows)
    random.shuffle(shuffled)
    one = log(rows).reorder_ties("random", seed)
    other = log(shuffled).reorder_ties("random", seed)
    assert one.items.tolist() == other.items.tolist()
    assert one.fingerprint == other.fingerprint


def test_every_random_order_of_a_moment_is_equally_likely():
    data = log([(0, item, 0) for item in range(3)])
    drawn = Counter(tuple(data.reorder_ties("random", seed).items) for seed in range(1200))
    assert len(drawn) == 6
    # Each of six orders is expected 200 times, with a standard deviation of 13.
    assert min(drawn.values()) > 200 - 5 * 13
    assert max(drawn.values()) < 200 + 5 * 13


def test_the_order_is_in_name_and_fingerprint():
    data = log([(0, item, 0) for item in (2, 0, 1)])
    by_id = data.reorder_ties("id")
    drawn = data.reorder_ties("random", 3)
    assert (data.ties, by_id.ties, drawn.ties) == ("file", "id", "random 3")
    assert by_id.name.endswith(", ties by id")
    assert drawn.name.endswith(", ties random 3")
    assert len({data.fingerprint, by_id.fingerprint}) == 2
    assert data.reorder_ties("file") is data
    assert by_id.k_core(1).ties == "id"


def test_a_log_without_times_keeps_its_order_and_says_why():
    data = Interactions.from_columns([0, 0, 0], [3, 1, 2])
    assert data.reorder_ties("file") is data
    for order in ("id", "random"):
        with pytest.raises(DataError, match=r"has no times, .*; load a copy that has them"):
            data.reorder_ties(order)


def test_an_order_that_is_gone_or_unknown_is_refused():
    data = log([(0, 1, 0), (0, 0, 0)])
    with pytest.raises(DataError, match="ties are in the order 'id'; load the data once more"):
        data.reorder_ties("id").reorder_ties("file")
    with pytest.raises(ValueError, match="ties must be one of file, id, random; got 'time'"):
        data.reorder_ties("time")


@pytest.mark.parametrize("seed", [None, "7", -1, 1.0, True, [0, 1]])
def test_a_seed_that_would_not_name_one_order_is_refused(seed):
    message = r"seed of a random order of ties must be an integer from 0 up; got "
    with pytest.raises(ValueError, match=message + re.escape(repr(seed))):
        log([(0, 1, 0), (0, 0, 0)]).reorder_ties("random", seed)
    with pytest.raises(ValueError, match=message):
        load_dataset("beauty", ties="random", seed=seed, download=False)


def test_a_seed_of_numpy_names_the_same_order_as_a_plain_one():
    data = log([(0, item, 0) for item in range(9)])
    assert data.reorder_ties("random", np.int64(3)).name == data.reorder_ties("random", 3).name


@pytest.mark.parametrize("order", ["id", "random"])
def test_the_order_in_which_the_rows_came_has_no_say(order):
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "user": draw.integers(0, 8, 300).astype(str),
            "item": draw.integers(0, 15, 300).astype(str),
            "timestamp": draw.integers(0, 4, 300),
        }
    )
    expected = Interactions.from_frame(frame).reorder_ties(order, 3)
    for state in range(3):
        shuffled = Interactions.from_frame(frame.sample(frac=1, random_state=state))
        assert shuffled.reorder_ties(order, 3).fingerprint == expected.fingerprint


def test_a_copy_without_times_is_not_taken_for_the_missing_one(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "_folders", lambda data_home: [tmp_path])
    (tmp_path / "video-games.txt.gz").write_bytes(b"")
    with pytest.raises(DataError, match="a copy of 'video-games' with its times is not in "):
        load_dataset("video-games", data_home=tmp_path, download=False, ties="random")


def test_files_that_were_reordered_alike_name_the_order_when_joined():
    train = log([("u", 2, 0), ("u", 1, 0), ("u", 3, 1)])
    test = log([("u", 1, 5), ("u", 2, 6)])
    joined = split_files(train.reorder_ties("id"), test.reorder_ties("id")).interactions
    assert joined.name.endswith(", ties by id")
    assert split_files(train, test).interactions.ties == "file"
    mixed = split_files(train.reorder_ties("random", 2), test).interactions
    assert mixed.name.endswith(", ties random 2 and file")


def test_statistics_count_tied_neighbours_and_targets():
    rows = [(0, 1, 5), (0, 2, 5), (0, 3, 6), (1, 1, 7), (1, 2, 8), (1, 3, 8), (2, 4, 8)]
    figures = log(rows).statistics()
    assert figures["tied neighbours (%)"] == 50  # two of four pairs of neighbours
    assert figures["tied targets (%)"] == pytest.approx(100 / 3)  # of user 1, of three
    assert "tied targets (%)" not in Interactions.from_columns([0, 0], [1, 2]).statistics()


def test_load_dataset_takes_the_order(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("user,item,timestamp\n0,c,1\n0,a,1\n0,b,1\n1,a,1\n1,b,2\n")
    assert load_dataset(path).item_ids[load_dataset(path).items[:3] - 1].tolist() == ["c", "a", "b"]
    by_id = load_dataset(path, ties="id")
    assert by_id.item_ids[by_id.items[:3] - 1].tolist() == ["a", "b", "c"]
    drawn = load_dataset(path, ties="random", seed=4)
    assert drawn.ties == "random 4"
    assert drawn.items.tolist() == load_dataset(path).reorder_ties("random", 4).items.tolist()


def test_a_named_set_without_any_times_says_so():
    assert not NAMED_SETS["planted"].with_times
    with pytest.raises(DataError, match="planted has no times"):
        load_dataset("planted", ties="random")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, counts",
    [("beauty", (22_363, 12_101, 198_502)), ("sports", (35_598, 18_357, 296_337))],
)
def test_the_real_sets_have_copies_with_times(real_data, name, counts):
    figures = []
    for ties in ("id", "random"):
        data = load_dataset(name, data_home=real_data, download=False, ties=ties)
        assert (data.n_users, data.n_items, data.n_interactions) == counts
        assert data.name.startswith(f"{name}, ties")
        figures.append(data.statistics())
    assert figures[0]["tied targets (%)"] == figures[1]["tied targets (%)"]
    assert 40 < figures[0]["tied targets (%)"] < 50


@pytest.mark.slow
def test_movielens_by_id_comes_from_the_copy_that_was_sorted(real_data):
    data = load_dataset("ml-1m", data_home=real_data, download=False, ties="id")
    assert data.name == "ml-1m, ties by id"
    assert data.n_interactions == 999_611


class KnowsWhatItRead:
    """Scores every item by its id; reads the last two items."""

    max_len = 2

    def __init__(self, n_items):
        self.n_items = n_items

    def scores(self, items):
        scores = torch.arange(self.n_items + 1.0).repeat(len(items), 1)
        scores[:, 0] = -torch.inf
        return scores


@pytest.mark.parametrize("exclude_seen, rank", [(False, 6), (True, 2), ("window", 4)])
def test_what_was_seen_may_stay_a_candidate_or_not_or_only_what_was_read_not(exclude_seen, rank):
    """The target is item 2 of 7; before it the user chose 4, 5, 6 and 7, read are 6 and 7.

    Item 3 is another user's.
    """
    users = [0] * 5 + [1] * 3
    items = [4, 5, 6, 7, 2, 1, 1, 3]
    split = Interactions.from_columns(users, items).split()
    found = evaluate(KnowsWhatItRead(7), split, exclude_seen=exclude_seen)
    assert found.ranks[0] == rank
    assert found.exclude_seen == exclude_seen


def test_another_way_to_exclude_is_refused():
    split = Interactions.from_columns([0] * 4, [1, 2, 3, 4]).split()
    with pytest.raises(ValueError, match="exclude_seen must be False, True or 'window'"):
        evaluate(build_model("popularity", 4), split, exclude_seen="all")
