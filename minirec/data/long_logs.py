"""Very long logs with one rule that reaches far back: the question of RecBLR's Table 4.

A customer browses a shop. Most of the log is pages, drawn at random, which mean nothing. Eight
times, spread over the log, the customer places an order: opens the basket, buys a coffee, and buys
a tea. Brands stand on a shelf, and each order takes the next brand on the shelf after that of the
previous order, and after the last brand the first. Only the brands of the first order are drawn,
anew for each customer. So

    basket, coffee-17, tea-42     at the very beginning,
    page, page, page, ...         about an eighth of the log,
    basket, coffee-18, tea-43     and so on; the eighth order ends the log.

Under leave-one-out the last tea is the test target and the last coffee the valid target. A model
that remembers the previous order knows both. One that does not can only guess among 50 brands, a
Recall@10 of 0.2: the coffee tells nothing about the tea, since the first two brands are drawn
independently. The distance to bridge is about an eighth of the log, and differs from order to
order: about 100 items in a log of 800, and 1,000 in one of 8,000.
"""

import numpy as np

from minirec.data.interactions import Interactions

N_BRANDS = 50  # of coffee, and as many of tea
N_PAGES = 400
N_ORDERS = 8
LONG_LOGS = {"long-800": 800, "long-8000": 8_000}  # the length of every log, by name

# Ids: the basket is 1, then the coffees, the teas and the pages.
BASKET = 1
FIRST_COFFEE = 2
FIRST_TEA = FIRST_COFFEE + N_BRANDS
FIRST_PAGE = FIRST_TEA + N_BRANDS
N_EVENTS = 640_000  # in the whole set: the longer the logs, the fewer they are


def generate_long_logs(length: int, *, n_users: int | None = None, seed: int = 0) -> Interactions:
    """Draw logs of one length.

    Parameters
    ----------
    length : int
        Of every log, a multiple of 8 and at least 32.
    n_users : int, optional
        How many logs there are; unless given, as many as make 640,000 events.
    seed : int
        Of all draws.

    Returns
    -------
    Interactions
        Without timestamps; its source is "long-" and the length.

    Raises
    ------
    ValueError
        For a length that the eight orders do not fit into.
    """
    if length % N_ORDERS or length < 4 * N_ORDERS:
        raise ValueError(f"the length must be a multiple of 8 from 32 up; got {length}.")
    n_users = n_users or N_EVENTS // length
    rng = np.random.Generator(np.random.PCG64(seed))
    coffee = rng.integers(N_BRANDS, size=n_users)
    tea = rng.integers(N_BRANDS, size=n_users)
    baskets = _draw_baskets(length, n_users, rng)
    customers = np.arange(n_users)

    items = FIRST_PAGE + rng.integers(N_PAGES, size=(n_users, length))
    for order in range(N_ORDERS):
        start = baskets[:, order]
        items[customers, start] = BASKET
        items[customers, start + 1] = FIRST_COFFEE + (coffee + order) % N_BRANDS
        items[customers, start + 2] = FIRST_TEA + (tea + order) % N_BRANDS
    return Interactions(
        items=items.astype(np.int32).ravel(),
        offsets=np.arange(n_users + 1) * length,
        item_ids=item_names(),
        user_ids=np.arange(1, n_users + 1),
        source=f"long-{length}",
    )


def _draw_baskets(length: int, n_users: int, rng: np.random.Generator) -> np.ndarray:
    """Draw where the baskets stand, int64[n_users, 8]: the first and last at the log's ends.

    Those between are shifted at random from even steps, each by less than half a step, so that no
    two orders touch.
    """
    even = np.linspace(0, length - 3, N_ORDERS).astype(np.int64)
    room = (length // N_ORDERS - 3) // 2
    shifts = rng.integers(-room, room + 1, size=(n_users, N_ORDERS))
    shifts[:, [0, -1]] = 0
    return even + shifts


def item_names() -> np.ndarray:
    """Return the raw ids in the order of the dense ones, str[V]: "basket" is item 1."""
    coffees = [f"coffee-{number:02d}" for number in range(N_BRANDS)]
    teas = [f"tea-{number:02d}" for number in range(N_BRANDS)]
    pages = [f"page-{number:03d}" for number in range(N_PAGES)]
    return np.array(["basket", *coffees, *teas, *pages], dtype=object)
