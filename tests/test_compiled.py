"""The fast way orders rows as plain Python would, and tells texts apart that its hash does not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minirec.data import compiled, formats

rows = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(-3, 3)), min_size=1, max_size=60)


def plainly_ordered(log, n_users):
    """Each user's distinct (time, item), oldest first, ties in the order of rows."""
    users = [[] for _ in range(n_users)]
    for user, item, time in log:
        if (time, item) not in users[user]:
            users[user].append((time, item))
    return [sorted(seen, key=lambda pair: pair[0]) for seen in users]


@pytest.mark.parametrize("processors", [1, 3])
@settings(max_examples=200, deadline=None)
@given(log=rows, scale=st.sampled_from([1, 10**9]))
def test_rows_come_in_the_order_of_user_time_and_file_and_repeats_once(processors, log, scale):
    log = [(user, item, time * scale) for user, item, time in log]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "_processors", lambda: processors)
        items, offsets, times, n_repeats = compiled.order_rows(*(np.array(column) for column in zip(*log)), 5, 5)
    found = [list(zip(times[a:b].tolist(), (items[a:b] - 1).tolist())) for a, b in zip(offsets, offsets[1:])]
    assert found == plainly_ordered(log, 5)
    assert n_repeats == len(log) - len(set(log))


def test_rows_that_no_63_bit_key_can_hold_are_left_to_the_plain_way():
    assert compiled.order_rows(np.array([0, 1]), np.array([0, 1]), np.array([-2**62, 2**62]), 2, 2) is None


def test_different_texts_with_one_hash_are_left_to_the_careful_way(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "FAST_BYTES", 0)
    monkeypatch.setattr(compiled, "_hashes", lambda text, places: np.full(len(places), 7))
    (tmp_path / "log.csv").write_text("user,item\nann,red\nbob,tan\n")
    users, items, _ = formats.read_interactions_file(tmp_path / "log.csv")
    assert (users.tolist(), items.tolist()) == (["ann", "bob"], ["red", "tan"])
