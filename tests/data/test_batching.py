"""Training batches: every target once, enough context, little padding, one seed one order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from logs import log

from minirec import load_dataset
from minirec.data.batching import MASK_SHARE, PREFIXES_PER_USER, TrainingBatches, bucketed, windows


def numbered(lengths):
    """A log in which every interaction is an item of its own: an item's id says where it stands.

    User u has lengths[u] items.
    """
    items = np.arange(1, sum(lengths) + 1)
    return log(np.split(items, np.cumsum(lengths)[:-1]))


def all_targets(batches) -> np.ndarray:
    return np.concatenate([batch.targets[batch.targets > 0] for batch in batches])


def epoch_of(lengths, objective, max_len, batch_size, seed=0, epoch=0):
    split = numbered(lengths).split()
    batches = TrainingBatches(split, objective, max_len, batch_size, seed).epoch(epoch)
    return split, [batches[i] for i in range(len(batches))]


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


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=200),
    st.integers(1, 100),
    st.integers(0, 1000),
)
def test_bucketed_batches_hold_every_row_once(lengths, batch_size, seed):
    lengths = np.array(lengths)
    batches = bucketed(lengths, lengths, batch_size, np.random.default_rng(seed))
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    assert max(lengths[rows].sum() for rows in batches) <= 2 * batch_size + 2 * lengths.max()


def test_padding_is_under_a_tenth_on_beauty(real_data):
    split = load_dataset("beauty", data_home=real_data).split()
    batches = TrainingBatches(split, "next-item", 100, 2048, 0)
    for epoch in range(3):
        inputs = [batch.inputs for batch in batches.epoch(epoch)]
        n_padding = sum((items == 0).sum() for items in inputs)
        n_positions = sum(items.size for items in inputs)
        assert n_padding < 0.1 * n_positions


def test_wrong_objective_batch_size_and_an_empty_training_part_are_refused():
    split = numbered([4, 5]).split()
    with pytest.raises(ValueError, match="objective must be"):
        TrainingBatches(split, "next", 10, 5, 0)
    with pytest.raises(ValueError, match="batch_size"):
        TrainingBatches(split, "next-item", 10, 0, 0)
    with pytest.raises(ValueError, match="nothing to learn"):
        TrainingBatches(numbered([3, 3]).split(), "next-item", 10, 5, 0)
