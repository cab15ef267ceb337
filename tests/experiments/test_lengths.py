"""The stored histograms of history lengths are those of the data sets, counted here from the data.

They lie in data/results/lengths.
"""

import json
from collections import Counter
from pathlib import Path

import pytest

import minirec

pytestmark = pytest.mark.slow

RESULTS = Path(__file__).resolve().parents[2] / "data" / "results"
RECORD = json.loads((RESULTS / "lengths" / "histograms.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["ml-1m", "beauty", "video-games"])
def test_the_stored_lengths_are_those_of_the_data(name, real_data):
    data = minirec.load_dataset(name, data_home=real_data, download=False)
    stored = RECORD["data"][name]
    counted = Counter(len(data.sequence(user)) for user in range(data.n_users))
    assert {int(length): users for length, users in stored["users_by_length"].items()} == counted
    assert stored["fingerprint"] == data.fingerprint


def test_nothing_is_stored_but_counts():
    assert set(RECORD["data"]) == {"ml-1m", "beauty", "video-games"}
    for stored in RECORD["data"].values():
        assert set(stored) == {"fingerprint", "users_by_length"}
        for length, users in stored["users_by_length"].items():
            assert length.isdecimal()
            assert type(users) is int
            assert users > 0
