"""The stored facts about the order of neighbouring events (data/results/order, lesson 11) are those of the data sets, counted here one by one."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import minirec

RECORD = json.loads(
    (
        Path(__file__).resolve().parents[2] / "data" / "results" / "order" / "neighbours.json"
    ).read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", ["ml-1m", "ml-100k"])
def test_neighbours_keep_the_stored_share_of_one_order(name, real_data):
    data, stored = (
        minirec.load_dataset(name, data_home=real_data, download=False),
        RECORD["data"][name],
    )
    ordered = Counter(
        pair
        for user in range(data.n_users)
        for pair in zip(data.sequence(user).tolist(), data.sequence(user)[1:].tolist())
    )
    both = {
        (a, b): (n, ordered[b, a] if a != b else 0)
        for (a, b), n in ordered.items()
        if a <= b or (b, a) not in ordered
    }
    often = [ways for ways in both.values() if sum(ways) >= 10]
    assert stored["one way"] == round(sum(map(max, often)) / sum(map(sum, often)), 4)
    assert stored["fingerprint"] == data.fingerprint
    rng = np.random.default_rng(1)
    coin = np.mean(
        [max(heads, n - heads) / n for n in map(sum, often) for heads in [rng.binomial(n, 0.5)]]
    )
    assert abs(stored["coin"] - coin) < 0.02  # another draw, and a mean of shares: about the same


def test_the_stored_ties_are_those_of_the_log(real_data):
    data = minirec.load_dataset("ml-100k", data_home=real_data, download=False)
    for clock, stored in RECORD["data"]["ml-100k"]["tied"].items():
        n_tied = sum(
            a == b
            for user in range(data.n_users)
            for times in [data.timestamps[slice(*data.offsets[user : user + 2])].astype(clock)]
            for a, b in zip(times, times[1:])
        )
        assert stored == round(n_tied / (data.n_interactions - data.n_users), 4)
