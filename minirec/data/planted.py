"""The planted data set: a film library whose every next choice is drawn from a mixture that is known exactly.

500 films, 10 genres of 50 that stand in a ring on a shelf of their own; "noir-07" is the eighth film of the genre noir. The next film is

    with weight 0.50  a matter of TASTE   the user's one favourite genre, its better-known films first; now and then any film at all
    with weight 0.25  a step ALONG the shelf: one to three films on from the last one, in the direction of the last step if there was one
    with weight 0.25  an ECHO of the last premiere seen, however long ago: films -00, -10, -20, -30 and -40 of a genre are premieres, and each
                      draws its viewers to four films of other genres, its companions (noir-20: romance-25, thriller-35, comedy-45, fantasy-05)

Before the first premiere its weight goes to taste, and the first film is all taste. Everything but the user's genre can be read off the prefix, and
the genre's posterior is a product over the prefix, so the true probability of every next film can be computed: that is the oracle.

B batch, N positions, C genres, V films; ids 1..V as in every data set, genre (id - 1) // 50, number (id - 1) % 50.
"""

import math

import numpy as np
import torch
from torch import Tensor

from minirec.data.interactions import Interactions

GENRES = (
    "comedy",
    "crime",
    "drama",
    "fantasy",
    "horror",
    "musical",
    "noir",
    "romance",
    "thriller",
    "western",
)
SHELF = 50
N_ITEMS = len(GENRES) * SHELF
WEIGHTS = {"taste": 0.50, "shelf": 0.25, "echo": 0.25}
ANY_FILM = 0.1  # how often taste strays to any film
STEPS, STEP_CHANCES = np.array([1, 2, 3]), np.array([0.5, 0.3, 0.2])
COMPANION_GENRES, COMPANION_CHANCES = (
    np.array([1, 2, 4, 7]),
    np.array([0.4, 0.3, 0.2, 0.1]),
)  # genres further round the ring


def film_names() -> np.ndarray:
    """The raw ids, in the order of the dense ones: "comedy-00" is item 1."""
    return np.array(
        [f"{genre}-{number:02d}" for genre in GENRES for number in range(SHELF)], dtype=object
    )


def genre_prior() -> np.ndarray:
    """How common each genre is as a favourite: float64[C], all different, so that no two genres tie."""
    weights = 1.0 / (4 + np.arange(len(GENRES)))
    return weights / weights.sum()


def taste_table() -> np.ndarray:
    """P(film | favourite genre, taste): float64[C, V + 1], column 0 is 0. A film's fame falls with (7 number mod 50), not along the shelf."""
    fame = 1.0 / (1 + (7 * np.arange(SHELF)) % SHELF)
    fame = fame / fame.sum()
    table = (1 - ANY_FILM) * np.kron(np.eye(len(GENRES)), fame) + ANY_FILM * np.kron(
        genre_prior(), fame
    )
    return np.pad(table, ((0, 0), (1, 0)))


def shelf_steps(last, before):
    """Where the walk along the shelf may go from `last`, one to three films forwards, then backwards: (ids[..., 6], P[..., 6]).

    A step of one to three films from `before` (ids of one shape, 0 where there was none) to `last` sets the direction; otherwise both are alike.
    """
    genre, number = (last - 1) // SHELF, (last - 1) % SHELF
    films = (
        genre[..., None] * SHELF + (number[..., None] + np.concatenate([STEPS, -STEPS])) % SHELF + 1
    )
    same_shelf = (before > 0) & ((before - 1) // SHELF == genre)
    moved = np.where(same_shelf, (last - before) % SHELF, 0)
    forward = np.where(
        np.isin(moved, STEPS), 1.0, np.where(np.isin(moved, SHELF - STEPS), 0.0, 0.5)
    )[..., None]
    return films, np.concatenate([forward * STEP_CHANCES, (1 - forward) * STEP_CHANCES], axis=-1)


def echo_films(premiere):
    """The four companions of a premiere (ids -> ids[..., 4]): the "-x5" films of four other genres. For 0 they are films that mean nothing."""
    genre, decade = (premiere - 1) // SHELF, (premiere - 1) % SHELF // 10
    genres, decades = (
        (genre[..., None] + COMPANION_GENRES) % len(GENRES),
        (decade[..., None] + np.arange(4)) % 5,
    )
    return genres * SHELF + decades * 10 + 5 + 1


def is_premiere(items):
    """Whether a film is a premiere (every tenth of its genre); False for padding."""
    return (items > 0) & ((items - 1) % SHELF % 10 == 0)


def _last_premiere(items: np.ndarray) -> np.ndarray:
    """[B, N] -> [B, N]: the last premiere at or before each position, 0 where there was none."""
    at = np.maximum.accumulate(np.where(is_premiere(items), np.arange(items.shape[1]), -1), axis=1)
    return np.where(at >= 0, np.take_along_axis(items, np.maximum(at, 0), axis=1), 0)


def generate_planted(
    seed: int = 0, n_users: int = 3000, shortest: int = 12, longest: int = 60
) -> Interactions:
    """Draws the data set; the same seed gives the same bits on any machine (only uniform draws, divisions and running sums are used)."""
    rng = np.random.Generator(np.random.PCG64(seed))
    pick = lambda cumulative, u: (u[:, None] >= cumulative[..., :-1]).sum(-1)
    lengths = shortest + (rng.random(n_users) * (longest - shortest + 1)).astype(np.int64)
    genre = pick(np.cumsum(genre_prior()), rng.random(n_users))
    taste = np.cumsum(taste_table()[:, 1:], axis=1)
    items = np.zeros((n_users, longest), dtype=np.int64)
    premiere = np.zeros(n_users, dtype=np.int64)
    before = last = premiere
    for step in range(longest):
        which, u = rng.random(n_users), rng.random(n_users)
        new = pick(taste[genre], u) + 1
        if step > 0:
            films, chances = shelf_steps(last, before)
            walked = np.take_along_axis(
                films, pick(np.cumsum(chances, axis=1), u)[:, None], axis=1
            )[:, 0]
            echoed = np.take_along_axis(
                echo_films(premiere), pick(np.cumsum(COMPANION_CHANCES), u)[:, None], axis=1
            )[:, 0]
            new = np.where(which < WEIGHTS["shelf"], walked, new)
            new = np.where((which >= 1 - WEIGHTS["echo"]) & (premiere > 0), echoed, new)
        items[:, step] = new
        before, last = last, new
        premiere = np.where(is_premiere(new), new, premiere)
    inside = np.arange(longest) < lengths[:, None]
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Interactions(
        items[inside].astype(np.int32),
        offsets,
        film_names(),
        np.arange(1, n_users + 1),
        source="planted",
    )


class PlantedOracle:
    """Scores by the true probability of the next film given the observed prefix (of at least one film), under the mixture that drew the data.

    parts: which of "taste", "shelf" and "echo" it may use; all three make the oracle, ("taste",) knows the exact posterior over genres and no more.
    """

    n_items, max_len = N_ITEMS, None

    def __init__(self, parts=("taste", "shelf", "echo")):
        if not parts or set(parts) - set(WEIGHTS):
            raise ValueError(f"parts must be some of {', '.join(WEIGHTS)}; got {parts!r}.")
        self.parts = tuple(parts)
        self.name = "oracle" if set(parts) == set(WEIGHTS) else " + ".join(parts) + " only"
        self.taste = taste_table()

    def scores(self, items: Tensor) -> Tensor:
        """items [B, N], 0 on the right -> P(next film | prefix) [B, V + 1], float64, column 0 -inf."""
        scores = torch.from_numpy(self.probabilities(items.cpu().numpy()))
        scores[:, 0] = -math.inf
        return scores.to(items.device)

    def probabilities(self, items: np.ndarray) -> np.ndarray:
        """items [B, N] -> P(next film | prefix) [B, V + 1]; over `parts` alone, not renormalised, when some are left out."""
        rows, end = np.arange(len(items)), (items > 0).sum(1) - 1
        last, premiere = items[rows, end], _last_premiere(items)[rows, end]
        before = np.where(end > 0, items[rows, np.maximum(end - 1, 0)], 0)
        use = {name: weight * (name in self.parts) for name, weight in WEIGHTS.items()}
        taste_weight = use["taste"] + (WEIGHTS["echo"] * ("taste" in self.parts)) * (premiere == 0)
        scores = taste_weight[:, None] * (self.posterior(items) @ self.taste)
        films, chances = shelf_steps(last, before)
        np.add.at(scores, (rows[:, None], films), use["shelf"] * chances)
        echo = use["echo"] * (premiere > 0)[:, None] * COMPANION_CHANCES
        np.add.at(scores, (rows[:, None], echo_films(premiere)), echo)
        return scores

    def posterior(self, items: np.ndarray) -> np.ndarray:
        """items [B, N] -> P(favourite genre | prefix) [B, C]: prior times the probability of every step of the prefix, by Bayes' rule."""
        premieres, log_posterior = (
            _last_premiere(items),
            np.log(genre_prior()) + np.log(self.taste[:, items[:, 0]]).T,
        )
        for t in range(1, items.shape[1]):
            real, premiere = items[:, t] > 0, premieres[:, t - 1]
            films, chances = shelf_steps(
                items[:, t - 1], items[:, t - 2] if t > 1 else np.zeros_like(premiere)
            )
            rest = WEIGHTS["shelf"] * (chances * (films == items[:, t, None])).sum(1)
            rest += (
                WEIGHTS["echo"]
                * (premiere > 0)
                * ((echo_films(premiere) == items[:, t, None]) @ COMPANION_CHANCES)
            )
            taste_weight = WEIGHTS["taste"] + WEIGHTS["echo"] * (premiere == 0)
            step = taste_weight[:, None] * self.taste[:, items[:, t]].T + rest[:, None]
            log_posterior += np.where(
                real[:, None], np.log(np.where(real[:, None], step, 1.0)), 0.0
            )
        posterior = np.exp(log_posterior - log_posterior.max(1, keepdims=True))
        return posterior / posterior.sum(1, keepdims=True)
