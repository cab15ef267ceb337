"""Long logs: the rule holds in every log, and nothing but the rule tells the targets."""

import numpy as np
import pytest
from scipy import stats

from minirec import build_model, evaluate, fit
from minirec.data.long_logs import LONG_LOGS, N_BRANDS, N_ORDERS, generate_long_logs


@pytest.mark.parametrize("length", [32, 80, 800])
def test_every_log_has_eight_orders_each_of_the_next_brands_and_ends_with_one(length):
    logs = generate_long_logs(length, n_users=20)
    assert logs.name == f"long-{length}"
    names = logs.item_ids[logs.items - 1].reshape(20, length)
    for log in names:
        baskets = np.flatnonzero(log == "basket")
        assert len(baskets) == N_ORDERS
        assert baskets[0] == 0
        assert baskets[-1] == length - 3
        assert np.diff(baskets).min() >= 3  # no order runs into the next
        for brand, after in (("coffee", 1), ("tea", 2)):
            bought = log[baskets + after]
            assert all(name.startswith(f"{brand}-") for name in bought)
            numbers = np.array([int(name[-2:]) for name in bought])
            assert set(np.diff(numbers) % N_BRANDS) == {1}
        others = np.delete(log, np.concatenate([baskets, baskets + 1, baskets + 2]))
        assert all(name.startswith("page-") for name in others)


def test_brands_are_drawn_alike_and_apart():
    logs = generate_long_logs(32, n_users=20_000)
    first = logs.items.reshape(-1, 32)[:, 1:3]
    for column in first.T:
        _, counts = np.unique(column, return_counts=True)
        assert len(counts) == N_BRANDS
        assert stats.chisquare(counts).pvalue > 1e-4
    pairs = np.zeros((N_BRANDS, N_BRANDS))
    np.add.at(pairs, (first[:, 0] - 2, first[:, 1] - 2 - N_BRANDS), 1)
    assert stats.chi2_contingency(pairs).pvalue > 1e-4


def test_a_seed_gives_one_set():
    first = generate_long_logs(32, n_users=5, seed=1)
    assert first.fingerprint == generate_long_logs(32, n_users=5, seed=1).fingerprint
    assert first.fingerprint != generate_long_logs(32, n_users=5, seed=2).fingerprint


@pytest.mark.parametrize("length", [24, 33])
def test_a_length_into_which_the_orders_do_not_fit_is_refused(length):
    with pytest.raises(ValueError, match=f"multiple of 8 from 32 up; got {length}"):
        generate_long_logs(length)


def test_the_named_lengths_make_as_many_events():
    counts = {generate_long_logs(length).n_interactions for length in LONG_LOGS.values()}
    assert counts == {640_000}


@pytest.mark.slow
def test_who_counts_what_follows_the_last_item_only_guesses():
    """Guessing ten of 50 brands is right one time in five."""
    split = generate_long_logs(32, n_users=1500).split()
    counting = build_model("last-item", split.interactions.n_items)
    fit(counting, split, device="cpu")
    standard_error = np.sqrt(0.2 * 0.8 / 1500)
    assert abs(evaluate(counting, split).recall - 0.2) < 5 * standard_error
