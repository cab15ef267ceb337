"""The stored facts about the order of neighbouring events (data/results/order, lesson 13).

They are those of the data sets, counted here one by one.
"""

import json
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import minirec

pytestmark = pytest.mark.slow

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


def neighbours_both_ways(data) -> list[tuple[int, int]]:
    """How often each pair of films was seen in the one order and in the other."""
    in_order = Counter()
    for user in range(data.n_users):
        in_order.update(pairwise(data.sequence(user).tolist()))
    ways = []
    for (a, b), n in in_order.items():
        if a == b:
            ways.append((n, 0))
        elif a < b or (b, a) not in in_order:  # each pair once
            ways.append((n, in_order[b, a]))
    return ways


@pytest.mark.parametrize("name", ["ml-1m", BY_ID, "ml-100k"])
def test_neighbours_keep_the_stored_share_of_one_order(name, real_data):
    data = load(name, real_data)
    stored = RECORD["data"][name]
    assert stored["fingerprint"] == data.fingerprint

    often = [ways for ways in neighbours_both_ways(data) if sum(ways) >= 10]
    n_one_way = sum(max(ways) for ways in often)
    assert stored["one way"] == round(n_one_way / sum(sum(ways) for ways in often), 4)

    rng = np.random.default_rng(1)
    shares = []
    for ways in often:
        n = sum(ways)
        heads = rng.binomial(n, 0.5)
        shares.append(max(heads, n - heads) / n)
    # Another draw, and a mean of shares: about the same.
    assert abs(stored["coin"] - np.mean(shares)) < 0.02


def test_the_stored_ties_are_those_of_the_log(real_data):
    data = minirec.load_dataset("ml-100k", data_home=real_data, download=False)
    for clock, stored in RECORD["data"]["ml-100k"]["tied"].items():
        n_tied = 0
        for begin, end in pairwise(data.offsets):
            times = data.timestamps[begin:end].astype(clock)
            n_tied += sum(a == b for a, b in pairwise(times))
        assert stored == round(n_tied / (data.n_interactions - data.n_users), 4)


def pieces_of(first, second):
    """Two orders of the same films, cut wherever both have shown the same ones so far."""
    surplus = Counter()
    begin = 0
    for end, (a, b) in enumerate(zip(first, second, strict=True), 1):
        surplus[a] += 1
        surplus[b] -= 1
        surplus = Counter({film: n for film, n in surplus.items() if n != 0})
        if not surplus:
            yield first[begin:end], second[begin:end]
            begin = end


def n_rising(films) -> int:
    return sum(a < b for a, b in pairwise(films))


def test_the_two_orders_of_ml_1m_differ_as_is_stored(real_data):
    stored = RECORD["two orders"]
    assert stored["of"] == ["ml-1m", BY_ID]
    in_file_order, by_id = (load(name, real_data) for name in stored["of"])
    assert in_file_order.user_ids.tolist() == by_id.user_ids.tolist()

    counts = Counter()
    rising = [0, 0]
    for user in range(by_id.n_users):
        first = in_file_order.item_ids[in_file_order.sequence(user) - 1].tolist()
        second = by_id.item_ids[by_id.sequence(user) - 1].tolist()
        assert sorted(first) == sorted(second)
        counts["same film"] += sum(a == b for a, b in zip(first, second, strict=True))
        counts["same last film"] += first[-1] == second[-1]
        for one, other in pieces_of(first, second):
            counts["pieces"] += len(one) > 1
            counts["steps in pieces"] += len(one) - 1
            rising[0] += n_rising(one)
            rising[1] += n_rising(other)

    assert stored["same film"] == round(counts["same film"] / by_id.n_interactions, 4)
    assert stored["same last film"] == round(counts["same last film"] / by_id.n_users, 4)
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
