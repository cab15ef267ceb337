"""The widths of batches: no other choice has less padding."""

from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minirec.data.widths import best_widths


def padding_of(lengths, widths):
    """Count the padding row by row."""
    return sum(min(width for width in widths if width >= length) - length for length in lengths)


@given(st.lists(st.integers(1, 12), min_size=1, max_size=15), st.integers(1, 5))
def test_no_other_widths_have_less_padding(lengths, n_widths):
    widths = best_widths(np.array(lengths), n_widths).tolist()
    assert widths == sorted(set(widths))
    assert len(widths) <= n_widths
    assert widths[-1] == max(lengths)

    possible = sorted(set(lengths))
    least = np.inf
    for size in range(1, min(n_widths, len(possible)) + 1):
        for chosen in combinations(possible, size):
            if chosen[-1] == max(lengths):
                least = min(least, padding_of(lengths, chosen))
    assert padding_of(lengths, widths) == least


def test_many_different_lengths_are_thinned_out_and_still_held():
    lengths = np.arange(1, 5001)
    widths = best_widths(lengths, 10)
    assert len(widths) == 10
    assert widths[-1] == 5000
    # Rows of evenly spread lengths in 10 even widths have 1 / 11 of their positions padded.
    padded = widths[np.searchsorted(widths, lengths)].sum()
    assert 1 - lengths.sum() / padded < 1 / 10
