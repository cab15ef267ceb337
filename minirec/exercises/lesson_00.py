"""The exercises of notebook 00: a hit at ten, and the last-item predictor by hand.

recommended: names of films, the best first; histories: lists of names, the oldest first.
"""

from itertools import pairwise

from minirec.exercises.checker import Exercise, mistake

# 00.1 Whether the film that was chosen is among the first ten recommended: 1 or 0.


def hit_at_ten(recommended, chosen):
    return int(chosen in recommended[:10])


@mistake("you look at the whole list; only its first ten films count.")
def in_the_whole_list(recommended, chosen):
    return int(chosen in recommended)


@mistake("the tenth film counts too: recommended[:10] has the positions 0 to 9.")
def among_the_first_nine(recommended, chosen):
    return int(chosen in recommended[:9])


@mistake("the answer is right but has the wrong type: return 1 or 0, for example with int(...).")
def true_or_false(recommended, chosen):
    return chosen in recommended[:10]


TWELVE_FILMS = [f"film-{n:02d}" for n in range(12)]

HIT_AT_TEN = Exercise(
    solution=hit_at_ten,
    cases=(
        (TWELVE_FILMS, "film-00"),
        (TWELVE_FILMS, "film-09"),
        (TWELVE_FILMS, "film-10"),
        (TWELVE_FILMS, "film-11"),
        (TWELVE_FILMS, "other"),
    ),
    mistakes=(in_the_whole_list, among_the_first_nine, true_or_false),
)


# 00.2 The film that most often comes directly after `film`, None where nothing ever follows.


def most_common_follower(histories, film):
    followers = []
    for history in histories:
        for before, after in pairwise(history):
            if before == film:
                followers.append(after)
    return most_common(followers)


def most_common(films):
    """Return the most frequent film, between equals the first in the alphabet."""
    return max(sorted(set(films)), key=films.count, default=None)


@mistake("you count every film that comes later; only the one directly after `film` counts.")
def any_later_film(histories, film):
    later = []
    for history in histories:
        for i, before in enumerate(history):
            if before == film:
                later.extend(history[i + 1 :])
    return most_common(later)


@mistake("you count the films directly before `film`; the follower is the next position.")
def directly_before(histories, film):
    predecessors = []
    for history in histories:
        for before, after in pairwise(history):
            if after == film:
                predecessors.append(before)
    return most_common(predecessors)


FIVE_HISTORIES = [
    ["a", "b", "c", "b", "d"],
    ["a", "c", "d"],
    ["b", "c"],
    ["c", "a", "d", "d", "d"],
    ["d", "a", "d"],
]

MOST_COMMON_FOLLOWER = Exercise(
    solution=most_common_follower,
    cases=(
        (FIVE_HISTORIES, "a"),
        (FIVE_HISTORIES, "b"),
        (FIVE_HISTORIES, "c"),
        (FIVE_HISTORIES, "d"),
        (FIVE_HISTORIES, "z"),
        ([["x", "q"], ["x", "p"]], "x"),
    ),
    mistakes=(any_later_film, directly_before),
)

EXERCISES = {"00.1": HIT_AT_TEN, "00.2": MOST_COMMON_FOLLOWER}
