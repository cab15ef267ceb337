"""Which widths: a few of them for rows of many lengths, with as little padding as can be.

A row is laid out at the smallest width that holds it; what is left of the width is padding.
"""

import numpy as np

MOST_CANDIDATES = 256  # of widths; with more lengths than this, these lie evenly among the rows


def best_widths(lengths: np.ndarray, n_widths: int) -> np.ndarray:
    """Choose widths so that the rows, each at the smallest that holds it, have least padding.

    The padding of all rows between two neighbouring widths does not depend on the other widths, so
    the best choice is built up one width at a time (dynamic programming).

    Parameters
    ----------
    lengths : numpy.ndarray
        int64[rows]: how many items each row has, at least 1.
    n_widths : int
        How many widths there may be, at least 1.

    Returns
    -------
    numpy.ndarray
        int64[at most n_widths], ascending; the last is the longest length.
    """
    candidates, n_rows, n_items = _candidates(lengths)
    n_candidates = len(candidates)
    # Of all rows that the candidates up to i hold; with a 0 in front, for "none of them".
    rows_up_to = np.concatenate([[0], np.cumsum(n_rows)])
    items_up_to = np.concatenate([[0], np.cumsum(n_items)])

    # least[i]: the least padding of the rows that the first i candidates hold, if candidate i - 1
    # is the widest of the widths chosen so far. Before any is chosen only "no rows" is possible.
    least = np.full(n_candidates + 1, np.inf)
    least[0] = 0
    chosen_before = []  # for each number of widths: which candidate came before i - 1
    for _ in range(min(n_widths, n_candidates)):
        with_one_more = np.full(n_candidates + 1, np.inf)
        before = np.zeros(n_candidates + 1, dtype=np.int64)
        with_one_more[0] = 0
        for i in range(1, n_candidates + 1):
            rows = rows_up_to[i] - rows_up_to[:i]
            items = items_up_to[i] - items_up_to[:i]
            padding = candidates[i - 1] * rows - items
            totals = least[:i] + padding
            before[i] = np.argmin(totals)
            with_one_more[i] = totals[before[i]]
        least = with_one_more
        chosen_before.append(before)

    widths = []
    i = n_candidates
    for before in reversed(chosen_before):
        if i == 0:
            break
        widths.append(candidates[i - 1])
        i = before[i]
    return np.array(widths[::-1])


def _candidates(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return possible widths, and how many rows and items each is the smallest to hold."""
    candidates = np.unique(lengths)
    if len(candidates) > MOST_CANDIDATES:
        shares = np.linspace(0, 1, MOST_CANDIDATES)
        candidates = np.unique(np.quantile(lengths, shares, method="higher"))
    holder = np.searchsorted(candidates, lengths)
    n_rows = np.bincount(holder, minlength=len(candidates))
    n_items = np.bincount(holder, weights=lengths, minlength=len(candidates)).astype(np.int64)
    return candidates, n_rows, n_items
