"""The stored facts about the order of neighbouring events (data/results/order, lesson 11) are those of the data sets, counted here one by one."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import minirec

RESULTS = Path(__file__).resolve().parents[2] / "data" / "results"
RECORD = json.loads((RESULTS / "order" / "neighbours.json").read_text(encoding="utf-8"))
BY_ID = "ml-1m, ties by movie id"


def load(name, folder):
    """A named set; or MovieLens-1M with its ties by movie id, which lies beside the others."""
    if name == BY_ID:
        path = Path(folder) / "ml-1m-by-id.txt.gz"
        if not path.is_file():
            pytest.skip(f"needs {path.name} in the folder MINIREC_DATA")
        return minirec.load_dataset(path)
    return minirec.load_dataset(name, data_home=folder, download=False)


@pytest.mark.parametrize("name", ["ml-1m", BY_ID, "ml-100k"])
def test_neighbours_keep_the_stored_share_of_one_order(name, real_data):
    data, stored = load(name, real_data), RECORD["data"][name]
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


def pieces_of(first, second):
    """Two orders of the same films, cut wherever both have shown the same ones so far."""
    surplus, begin = Counter(), 0
    for end, (a, b) in enumerate(zip(first, second), 1):
        surplus[a] += 1
        surplus[b] -= 1
        surplus = Counter({film: n for film, n in surplus.items() if n != 0})
        if not surplus:
            yield first[begin:end], second[begin:end]
            begin = end


def test_the_two_orders_of_ml_1m_differ_as_is_stored(real_data):
    stored = RECORD["two orders"]
    assert stored["of"] == ["ml-1m", BY_ID]
    orders = [load(name, real_data) for name in stored["of"]]
    assert orders[0].user_ids.tolist() == orders[1].user_ids.tolist()
    counts, rising = Counter(), [0, 0]
    for user in range(orders[0].n_users):
        films = [data.item_ids[data.sequence(user) - 1].tolist() for data in orders]
        assert sorted(films[0]) == sorted(films[1])
        counts["same film"] += sum(a == b for a, b in zip(*films))
        counts["same last film"] += films[0][-1] == films[1][-1]
        for piece in pieces_of(*films):
            counts["pieces"] += len(piece[0]) > 1
            counts["steps in pieces"] += len(piece[0]) - 1
            for which in (0, 1):
                rising[which] += sum(a < b for a, b in zip(piece[which], piece[which][1:]))
    data = orders[0]
    assert stored["same film"] == round(counts["same film"] / data.n_interactions, 4)
    assert stored["same last film"] == round(counts["same last film"] / data.n_users, 4)
    assert stored["pieces"] == counts["pieces"]
    assert stored["steps in pieces"] == counts["steps in pieces"]
    assert stored["of them rising"] == rising


def sorted_in_blocks_of_four(data):
    items = []
    for user in range(data.n_users):
        films = data.sequence(user).tolist()
        for begin in range(0, len(films), 4):
            items += sorted(films[begin : begin + 4], key=lambda film: data.item_ids[film - 1])
    return replace(data, items=np.array(items, dtype=data.items.dtype))


def test_every_record_on_ml_1m_names_the_order_it_was_made_on(real_data):
    fingerprints = {name: load(name, real_data).fingerprint for name in ("ml-1m", BY_ID)}
    in_blocks = sorted_in_blocks_of_four(load(BY_ID, real_data)).fingerprint
    found = Counter()
    for path in sorted(RESULTS.rglob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        name = record.get("data")
        if not isinstance(name, str) or name not in fingerprints:
            continue  # of another data set, or no run
        changed = record.get("changed") == "in blocks of four by film number"
        expected = in_blocks if changed else fingerprints[name]
        assert record["fingerprint"] == expected, path.name
        assert name == BY_ID or not changed, path.name
        found[name] += 1
    assert found[BY_ID] == 9
