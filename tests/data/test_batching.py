"""Training batches: every target once, enough context, little padding, one seed one order."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from logs import log

from minirec import load_dataset
from minirec.data.batching import (
    MASK_SHARE,
    PREFIXES_PER_USER,
    Batch,
    TrainingBatches,
    positions_of,
    windows,
)


def numbered(lengths):
    """A log in which every interaction is an item of its own: an item's id says where it stands.

    User u has lengths[u] items.
    """
    items = np.arange(1, sum(lengths) + 1)
    return log(np.split(items, np.cumsum(lengths)[:-1]))


@dataclass
class ArrayBatch:
    """A batch as NumPy arrays, for comparisons."""

    inputs: np.ndarray
    targets: np.ndarray

    @classmethod
    def of(cls, batch: Batch) -> "ArrayBatch":
        return cls(batch.inputs.numpy(), batch.targets.numpy())


def all_targets(batches) -> np.ndarray:
    return np.concatenate([batch.targets[batch.targets > 0] for batch in batches])


def epoch_of(lengths, objective, max_len, batch_size, seed=0, epoch=0):
    split = numbered(lengths).split()
    batches = TrainingBatches(split, objective, max_len, batch_size, seed).epoch(epoch)
    return split, [ArrayBatch.of(batches[i]) for i in range(len(batches))]


@st.composite
def lengths_with_a_judged_user(draw):
    return [*draw(st.lists(st.integers(1, 40), min_size=1, max_size=12)), 4]


@given(lengths_with_a_judged_user(), st.integers(1, 15), st.integers(1, 60))
def test_every_training_target_counts_exactly_once(lengths, max_len, batch_size):
    split, batches = epoch_of(lengths, "next-item", max_len, batch_size)
    expected = np.concatenate([split.train_sequence(user)[1:] for user in range(len(lengths))])
    assert sorted(all_targets(batches)) == expected.tolist()


@given(lengths_with_a_judged_user(), st.integers(1, 15), st.integers(1, 60))
def test_the_input_at_a_target_is_the_item_just_before_it(lengths, max_len, batch_size):
    _, batches = epoch_of(lengths, "next-item", max_len, batch_size)
    for batch in batches:
        real = batch.targets > 0
        assert np.array_equal(batch.inputs[real] + 1, batch.targets[real])


@given(lengths_with_a_judged_user(), st.integers(1, 15))
def test_a_target_has_half_a_window_of_context_once_that_many_items_exist(lengths, max_len):
    split, batches = epoch_of(lengths, "next-item", max_len, 30)
    offsets = split.interactions.offsets
    begins = np.repeat(offsets[:-1], np.diff(offsets))  # where the history of each item begins
    for batch in batches:
        for row, column in np.argwhere(batch.targets):
            position = batch.targets[row, column] - 1
            n_before = position - begins[position]
            n_in_view = column + 1
            assert n_in_view >= min(n_before, max_len / 2)


@given(
    lengths_with_a_judged_user(),
    st.integers(1, 15),
    st.sampled_from(["next-item", "prefix", "cloze"]),
)
def test_rows_are_consecutive_items_of_one_user_padded_on_the_right_and_trimmed(
    lengths, max_len, objective
):
    split, batches = epoch_of(lengths, objective, max_len, 30)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    for batch in batches:
        assert (batch.inputs[:, -1] > 0).any()
        assert batch.inputs.shape[1] <= max_len
        for items, targets in zip(batch.inputs, batch.targets, strict=True):
            if objective == "cloze":  # what is hidden stands among the targets
                items = np.where(items == split.interactions.n_items + 1, targets, items)
            real = items[items > 0]
            assert len(real) > 0
            assert not items[len(real) :].any()
            assert np.all(np.diff(real) == 1)
            owners = set(owner[real - 1])
            assert len(owners) == 1
            assert real[-1] <= split.train_ends[owners.pop()]


def test_a_prefix_epoch_samples_each_user_without_repeats_and_anew_every_epoch():
    lengths = [30, 5, 12]
    _, batches = epoch_of(lengths, "prefix", 50, 7)
    targets = all_targets(batches)
    owner = np.repeat(np.arange(3), lengths)
    assert len(set(targets.tolist())) == len(targets)
    assert np.bincount(owner[targets - 1]).tolist() == [PREFIXES_PER_USER, 2, PREFIXES_PER_USER]
    _, next_epoch = epoch_of(lengths, "prefix", 50, 7, epoch=1)
    assert sorted(all_targets(next_epoch)) != sorted(targets)


@given(lengths_with_a_judged_user(), st.integers(1, 15))
def test_a_prefix_row_ends_just_before_its_target(lengths, max_len):
    _, batches = epoch_of(lengths, "prefix", max_len, 20)
    for batch in batches:
        assert np.array_equal(batch.inputs.max(1) + 1, batch.targets)


def test_cloze_hides_the_share_it_says_and_at_least_one_item_a_window():
    _, batches = epoch_of([40] * 200, "cloze", 20, 500)
    hidden = sum((batch.targets > 0).sum() for batch in batches)
    visible = sum((batch.inputs > 0).sum() for batch in batches)
    assert all((batch.targets > 0).any(1).all() for batch in batches)
    n = 200 * 38  # training items, each countable in one window
    standard_deviation = np.sqrt(n * MASK_SHARE * (1 - MASK_SHARE))
    assert abs(hidden - MASK_SHARE * n) < 5 * standard_deviation + 10
    assert visible > hidden


@given(lengths_with_a_judged_user(), st.integers(1, 15))
def test_a_hidden_item_is_seen_nowhere_in_its_row_and_stands_where_it_was(lengths, max_len):
    split, batches = epoch_of(lengths, "cloze", max_len, 20)
    mask_token = split.interactions.n_items + 1
    for batch in batches:
        is_target = batch.targets > 0
        assert np.array_equal(batch.inputs == mask_token, is_target)
        # Every item's id says where it stands: so do its neighbours'.
        whole = np.where(is_target, batch.targets, batch.inputs)
        inside = (whole[:, 1:] > 0) & (whole[:, :-1] > 0)
        assert (np.diff(whole, axis=1)[inside] == 1).all()


@given(st.integers(0, 100), st.integers(0, 3))
def test_an_epoch_follows_from_its_seed_and_number(seed, epoch):
    _, first = epoch_of([9, 20, 4], "next-item", 6, 5, seed, epoch)
    _, second = epoch_of([9, 20, 4], "next-item", 6, 5, seed, epoch)
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a.inputs, b.inputs)
        assert np.array_equal(a.targets, b.targets)


def test_epochs_and_seeds_differ_in_order():
    orders = set()
    for seed in range(2):
        for epoch in range(2):
            _, batches = epoch_of([5] * 50, "next-item", 6, 5, seed, epoch)
            orders.add(tuple(batch.inputs[0, 0] for batch in batches))
    assert len(orders) == 4


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30), st.integers(1, 20))
def test_windows_count_every_position_once(lengths, max_len):
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
    begins, widths, counts = windows(starts, np.array(lengths), max_len)
    counted = []
    for end, count in zip(begins + widths, counts, strict=True):
        counted += range(end - count, end)
    assert sorted(counted) == list(range(sum(lengths)))
    assert np.all(widths <= max_len)


OBJECTIVES = st.sampled_from(["next-item", "prefix", "cloze"])


@given(lengths_with_a_judged_user(), st.integers(1, 15), st.integers(1, 60), OBJECTIVES)
def test_a_fixed_shape_holds_what_the_batch_has_and_nothing_else(
    lengths, max_len, batch_size, objective
):
    split = numbered(lengths).split()
    batches = TrainingBatches(split, objective, max_len, batch_size, 0)
    epoch = batches.epoch(0)
    for i in range(len(epoch)):
        shape = epoch.fixed_shape(i)
        assert shape in batches.shapes
        fixed = epoch.batch(i, shape)
        cut = epoch[i]
        n_rows, width = cut.inputs.shape
        assert fixed.inputs.shape == (shape.n_rows, shape.width)
        assert torch.equal(fixed.inputs[:n_rows, :width], cut.inputs)
        assert not fixed.inputs[:n_rows, width:].any()
        # Every empty row repeats the first, so that no model meets a row without an item.
        assert torch.equal(
            fixed.inputs[n_rows:], fixed.inputs[:1].expand(shape.n_rows - n_rows, -1)
        )
        assert not fixed.targets[n_rows:].any()
        assert torch.equal(fixed.targets[fixed.targets > 0], cut.targets[cut.targets > 0])


@given(lengths_with_a_judged_user(), st.integers(1, 15), st.sampled_from(["next-item", "cloze"]))
def test_positions_name_every_target_in_order_and_then_none(lengths, max_len, objective):
    epoch = TrainingBatches(numbered(lengths).split(), objective, max_len, 30, 0).epoch(0)
    for i in range(len(epoch)):
        shape = epoch.fixed_shape(i)
        fixed = epoch.batch(i, shape)
        expected = fixed.targets.flatten().nonzero()[:, 0].tolist()
        n_missing = shape.n_targets - len(expected)
        nowhere = fixed.targets.numel()
        assert fixed.positions.tolist() == expected + [nowhere] * n_missing
        assert epoch.real[i].n_targets == len(expected)
        assert epoch[i].positions.shape == (len(expected),)


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(0, 50))
def test_positions_are_those_of_nonzero(flags, n_targets):
    is_target = torch.tensor(flags)[None]
    expected = is_target.flatten().nonzero()[:, 0].tolist()[:n_targets]
    expected += [len(flags)] * (n_targets - len(expected))
    assert positions_of(is_target, n_targets).tolist() == expected


def test_rows_of_a_width_meet_other_rows_every_epoch():
    split = numbered([5] * 60).split()
    batches = TrainingBatches(split, "next-item", 6, 20, 0)
    meetings = []
    for number in range(2):
        epoch = batches.epoch(number)
        together = [set(epoch[i].inputs[:, 0].tolist()) for i in range(len(epoch))]
        meetings.append({frozenset(rows) for rows in together})
    assert meetings[0] != meetings[1]


def test_short_and_long_rows_come_mixed_in_another_order_every_epoch():
    split = numbered([*range(4, 24)] * 5).split()
    batches = TrainingBatches(split, "next-item", 30, 40, 0)
    orders = []
    for number in range(3):
        epoch = batches.epoch(number)
        orders.append(tuple(epoch.fixed_shape(i).width for i in range(len(epoch))))
    assert len(set(orders[0])) > 3  # widths
    assert len(set(orders)) == 3
    assert all(list(order) != sorted(order) for order in orders)


@pytest.mark.parametrize("name", ["ml-1m", "beauty", "video-games", "sports.inter.gz"])
def test_padding_is_under_15_percent_in_at_most_12_shapes(name, real_data):
    path = Path(real_data) / name
    data = load_dataset(path) if path.exists() else load_dataset(name, data_home=real_data)
    batches = TrainingBatches(data.split(), "next-item", 200, 2048, 0)
    assert 8 <= len(batches.shapes) <= 12
    for number in range(2):
        epoch = batches.epoch(number)
        in_real_rows, in_empty_rows = epoch.padding()
        assert in_real_rows < 0.15
        assert in_empty_rows < 0.02
        # Counted once more, from the batches themselves.
        n_positions = 0
        n_items = 0
        for i in range(len(epoch)):
            shape = epoch.fixed_shape(i)
            n_positions += epoch.real[i].n_rows * shape.width
            n_items += int((epoch[i].inputs > 0).sum())
        assert in_real_rows == pytest.approx(1 - n_items / n_positions)


@given(lengths_with_a_judged_user(), st.integers(1, 15), st.integers(1, 60), OBJECTIVES)
def test_the_number_of_steps_is_known_before_an_epoch_is_planned(
    lengths, max_len, batch_size, objective
):
    batches = TrainingBatches(numbered(lengths).split(), objective, max_len, batch_size, 0)
    assert batches.steps_per_epoch == len(batches.epoch(0))


def test_there_is_no_batch_beyond_the_last():
    epoch = TrainingBatches(numbered([9, 5]).split(), "next-item", 6, 4, 0).epoch(0)
    with pytest.raises(IndexError, match="there is no batch"):
        epoch[len(epoch)]


def test_a_cloze_epoch_with_more_hidden_items_than_room_is_drawn_again(monkeypatch):
    """With no room beyond what is expected, about every other batch would have too many."""
    monkeypatch.setattr("minirec.data.batching.DEVIATIONS_OF_ROOM", 0)
    batches = TrainingBatches(numbered([40] * 20).split(), "cloze", 20, 60, 0)
    for number in range(5):
        epoch = batches.epoch(number)
        for i in range(len(epoch)):
            assert epoch.real[i].n_targets <= epoch.fixed_shape(i).n_targets


def test_wrong_objective_batch_size_and_an_empty_training_part_are_refused():
    split = numbered([4, 5]).split()
    with pytest.raises(ValueError, match="objective must be"):
        TrainingBatches(split, "next", 10, 5, 0)
    with pytest.raises(ValueError, match="batch_size"):
        TrainingBatches(split, "next-item", 10, 0, 0)
    with pytest.raises(ValueError, match="nothing to learn"):
        TrainingBatches(numbered([3, 3]).split(), "next-item", 10, 5, 0)
