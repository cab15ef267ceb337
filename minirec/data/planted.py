"""The planted data set: a film library whose every next choice is drawn from a known mixture.

500 films, 10 genres of 50 that stand in a ring on a shelf of their own; "noir-07" is the eighth
film of the genre noir. The next film is

    with weight 0.50  a matter of TASTE   the user's one favourite genre, its better-known films
                                          first; now and then any film at all
    with weight 0.25  a step ALONG the    one to three films on from the last one, in the direction
                      shelf               of the last step if there was one
    with weight 0.25  an ECHO of the      however long ago it was. Films -00, -10, -20, -30 and -40
                      last premiere seen  of a genre are premieres, and each draws its viewers to
                                          four films of other genres, its companions
                                          (noir-20: romance-25, thriller-35, comedy-45, fantasy-05)

Before the first premiere its weight goes to taste, and the first film is all taste. Everything but
the user's genre can be read off the prefix, and the genre's posterior is a product over the prefix,
so the true probability of every next film can be computed: that is the oracle.

B batch, N positions, C genres, V films; ids 1..V as in every data set, genre (id - 1) // 50, number
(id - 1) % 50.
"""

import math
from collections.abc import Iterable

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

# A step along the shelf: how many films on, and how likely.
STEPS = np.array([1, 2, 3])
STEP_CHANCES = np.array([0.5, 0.3, 0.2])

# A premiere's companions: how many genres further round the ring, and how likely.
COMPANION_GENRES = np.array([1, 2, 4, 7])
COMPANION_CHANCES = np.array([0.4, 0.3, 0.2, 0.1])


def film_names() -> np.ndarray:
    """Return the raw ids in the order of the dense ones, str[V]: "comedy-00" is item 1."""
    names = [f"{genre}-{number:02d}" for genre in GENRES for number in range(SHELF)]
    return np.array(names, dtype=object)


def genre_prior() -> np.ndarray:
    """Return how common each genre is as a favourite, float64[C]: all different, so no two tie."""
    weights = 1.0 / (4 + np.arange(len(GENRES)))
    return weights / weights.sum()


def taste_table() -> np.ndarray:
    """Return P(film | favourite genre, taste), float64[C, V + 1], column 0 is 0.

    A film's fame falls with (7 number mod 50), and so not along the shelf.
    """
    fame = 1.0 / (1 + (7 * np.arange(SHELF)) % SHELF)
    fame = fame / fame.sum()
    of_the_favourite = np.kron(np.eye(len(GENRES)), fame)
    of_any_genre = np.kron(genre_prior(), fame)
    table = (1 - ANY_FILM) * of_the_favourite + ANY_FILM * of_any_genre
    return np.pad(table, ((0, 0), (1, 0)))


def shelf_steps(last: np.ndarray, before: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the walk along the shelf may go from a film, and how likely.

    A step of one to three films from `before` to `last` sets the direction; otherwise both
    directions are alike.

    Parameters
    ----------
    last, before : numpy.ndarray
        int64[...]: the last film and the one before it, 0 where there was none.

    Returns
    -------
    films : numpy.ndarray
        int64[..., 6]: one to three films forwards, then one to three backwards.
    chances : numpy.ndarray
        float64[..., 6]: their probabilities.
    """
    genre = (last - 1) // SHELF
    number = (last - 1) % SHELF
    numbers = (number[..., None] + np.concatenate([STEPS, -STEPS])) % SHELF
    films = genre[..., None] * SHELF + numbers + 1

    same_shelf = (before > 0) & ((before - 1) // SHELF == genre)
    moved = np.where(same_shelf, (last - before) % SHELF, 0)
    went_forwards = np.isin(moved, STEPS)
    went_backwards = np.isin(moved, SHELF - STEPS)
    forwards = np.where(went_forwards, 1.0, np.where(went_backwards, 0.0, 0.5))[..., None]
    chances = np.concatenate([forwards * STEP_CHANCES, (1 - forwards) * STEP_CHANCES], axis=-1)
    return films, chances


def echo_films(premiere: np.ndarray) -> np.ndarray:
    """Return the companions of a premiere: the "-x5" films of four other genres.

    Parameters
    ----------
    premiere : numpy.ndarray
        int64[...]: films; for 0 the companions are films that mean nothing.

    Returns
    -------
    numpy.ndarray
        int64[..., 4], as likely as COMPANION_CHANCES says.
    """
    genre = (premiere - 1) // SHELF
    decade = (premiere - 1) % SHELF // 10
    genres = (genre[..., None] + COMPANION_GENRES) % len(GENRES)
    decades = (decade[..., None] + np.arange(4)) % 5
    return genres * SHELF + decades * 10 + 5 + 1


def is_premiere(items: np.ndarray) -> np.ndarray:
    """Return whether a film is a premiere (every tenth of its genre), bool[...]; padding is not."""
    return (items > 0) & ((items - 1) % SHELF % 10 == 0)


def _last_premiere(items: np.ndarray) -> np.ndarray:
    """Return the last premiere at or before each position, [B, N]; 0 where there was none."""
    own_position = np.where(is_premiere(items), np.arange(items.shape[1]), -1)
    position = np.maximum.accumulate(own_position, axis=1)
    film = np.take_along_axis(items, np.maximum(position, 0), axis=1)
    return np.where(position >= 0, film, 0)


def generate_planted(
    seed: int = 0, n_users: int = 3000, shortest: int = 12, longest: int = 60
) -> Interactions:
    """Draw the data set.

    The same seed gives the same bits on any machine: only uniform draws, divisions and running
    sums are used.

    Parameters
    ----------
    seed : int
        Of all draws.
    n_users : int
        How many users there are.
    shortest, longest : int
        How many films a user has seen, drawn uniformly between the two.

    Returns
    -------
    Interactions
        Without timestamps.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    n_choices = longest - shortest + 1
    lengths = shortest + (rng.random(n_users) * n_choices).astype(np.int64)
    genre = _inverse(np.cumsum(genre_prior()), rng.random(n_users))
    taste = np.cumsum(taste_table()[:, 1:], axis=1)

    items = np.zeros((n_users, longest), dtype=np.int64)
    none = np.zeros(n_users, dtype=np.int64)
    last = none
    before = none
    premiere = none
    for step in range(longest):
        which = rng.random(n_users)  # the part of the mixture
        u = rng.random(n_users)  # what that part draws
        new = _inverse(taste[genre], u) + 1
        if step > 0:
            by_shelf = which < WEIGHTS["shelf"]
            by_echo = (which >= 1 - WEIGHTS["echo"]) & (premiere > 0)
            new = np.where(by_shelf, _draw_along_shelf(last, before, u), new)
            new = np.where(by_echo, _draw_echo(premiere, u), new)
        items[:, step] = new
        before = last
        last = new
        premiere = np.where(is_premiere(new), new, premiere)

    is_inside = np.arange(longest) < lengths[:, None]
    return Interactions(
        items=items[is_inside].astype(np.int32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        item_ids=film_names(),
        user_ids=np.arange(1, n_users + 1),
        source="planted",
    )


def _inverse(cumulative: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Turn uniform draws u [n] into indices by a cumulative distribution [..., k]."""
    return (u[:, None] >= cumulative[..., :-1]).sum(-1)


def _draw_along_shelf(last: np.ndarray, before: np.ndarray, u: np.ndarray) -> np.ndarray:
    films, chances = shelf_steps(last, before)
    index = _inverse(np.cumsum(chances, axis=1), u)
    return np.take_along_axis(films, index[:, None], axis=1)[:, 0]


def _draw_echo(premiere: np.ndarray, u: np.ndarray) -> np.ndarray:
    index = _inverse(np.cumsum(COMPANION_CHANCES), u)
    return np.take_along_axis(echo_films(premiere), index[:, None], axis=1)[:, 0]


class PlantedOracle:
    """Score by the true probability of the next film given the prefix, of at least one film.

    Parameters
    ----------
    parts : iterable of {"taste", "shelf", "echo"}
        What it may use. All three make the oracle; ("taste",) knows the exact posterior over
        genres and no more.

    Raises
    ------
    ValueError
        For no parts, or a part that the mixture does not have.
    """

    n_items = N_ITEMS
    max_len = None

    def __init__(self, parts: Iterable[str] = ("taste", "shelf", "echo")):
        self.parts = tuple(parts)
        if not self.parts or set(self.parts) - set(WEIGHTS):
            raise ValueError(f"parts must be some of {', '.join(WEIGHTS)}; got {parts!r}.")
        self.name = " + ".join(self.parts) + " only"
        if set(self.parts) == set(WEIGHTS):
            self.name = "oracle"
        self.taste = taste_table()

    def scores(self, items: Tensor) -> Tensor:
        """Return P(next film | prefix) as scores, float64[B, V + 1], column 0 at -inf.

        items: [B, N], padded with 0 on the right.
        """
        scores = torch.from_numpy(self.probabilities(items.cpu().numpy()))
        scores[:, 0] = -math.inf
        return scores.to(items.device)

    def probabilities(self, items: np.ndarray) -> np.ndarray:
        """Return P(next film | prefix), float64[B, V + 1], of rows items [B, N].

        Of `parts` alone, and not renormalised, where some are left out.
        """
        rows = np.arange(len(items))
        end = (items > 0).sum(1) - 1
        last = items[rows, end]
        before = np.where(end > 0, items[rows, np.maximum(end - 1, 0)], 0)
        premiere = _last_premiere(items)[rows, end]
        has_premiere = premiere > 0

        # A part that is left out weighs nothing; without a premiere, its weight goes to taste.
        weights = {part: weight * (part in self.parts) for part, weight in WEIGHTS.items()}
        inherited = WEIGHTS["echo"] * ("taste" in self.parts)
        taste_weight = weights["taste"] + inherited * ~has_premiere
        chances = taste_weight[:, None] * (self.posterior(items) @ self.taste)

        films, step_chances = shelf_steps(last, before)
        np.add.at(chances, (rows[:, None], films), weights["shelf"] * step_chances)

        echo_chances = weights["echo"] * has_premiere[:, None] * COMPANION_CHANCES
        np.add.at(chances, (rows[:, None], echo_films(premiere)), echo_chances)
        return chances

    def posterior(self, items: np.ndarray) -> np.ndarray:
        """Return P(favourite genre | prefix), float64[B, C], of rows items [B, N].

        By Bayes' rule: the prior times the probability of every step of the prefix.
        """
        premieres = _last_premiere(items)
        log_posterior = np.log(genre_prior()) + np.log(self.taste[:, items[:, 0]]).T
        for t in range(1, items.shape[1]):
            new = items[:, t]
            last = items[:, t - 1]
            before = items[:, t - 2] if t > 1 else np.zeros_like(last)
            premiere = premieres[:, t - 1]
            has_premiere = premiere > 0

            films, chances = shelf_steps(last, before)
            by_shelf = (chances * (films == new[:, None])).sum(1)
            by_echo = has_premiere * ((echo_films(premiere) == new[:, None]) @ COMPANION_CHANCES)
            whatever_the_genre = WEIGHTS["shelf"] * by_shelf + WEIGHTS["echo"] * by_echo
            taste_weight = WEIGHTS["taste"] + WEIGHTS["echo"] * ~has_premiere
            by_taste = taste_weight[:, None] * self.taste[:, new].T

            real = (new > 0)[:, None]  # padding says nothing about the genre
            step = np.where(real, by_taste + whatever_the_genre[:, None], 1.0)
            log_posterior += np.log(step)
        posterior = np.exp(log_posterior - log_posterior.max(1, keepdims=True))
        return posterior / posterior.sum(1, keepdims=True)
