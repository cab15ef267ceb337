"""The exercises of notebook 00: probabilities, the gap, the last-item predictor by hand, the map.

histories: lists of names, the oldest first.
"""

from itertools import pairwise

from minirec.exercises.checker import Exercise, mistake, predicted

# 00.1 What the shelf rule alone gives to the three films ahead.

WALK_GOES_ON = predicted(
    (0.125, 0.075, 0.05),
    [
        (
            (0.5, 0.3, 0.2),
            "these are the probabilities once the shelf has been chosen; it is chosen in a quarter "
            "of all cases.",
        ),
        (
            (0.0625, 0.0375, 0.025),
            "you let the walk go both ways; after an upward step it goes on upwards.",
        ),
        (
            (0.25, 0.15, 0.1),
            "you weigh the rule by one half; that is how often taste decides, not the shelf.",
        ),
        (
            (1 / 12, 1 / 12, 1 / 12),
            "you share the quarter equally; one place further is more likely than two or three.",
        ),
        (
            (0.25, 0.25, 0.25),
            "a quarter is what the three films have together; share it among them.",
        ),
    ],
    title="Where a walk goes on",
    stars=1,
    minutes=5,
    hints=(
        "Two draws decide: first which rule, then how many places.",
        "Multiply the probability of the rule by that of the number of places.",
        "The three numbers must add up to the probability of the rule, 25%.",
    ),
)


# 00.2 Which share of the gap from popularity to the oracle last-item closes.

POPULARITY, LAST_ITEM, ORACLE = 0.069, 0.261, 0.342  # as the exercise gives them

HOW_FAR_LAST_ITEM_GOES = predicted(
    (LAST_ITEM - POPULARITY) / (ORACLE - POPULARITY),
    [
        (
            LAST_ITEM / ORACLE,
            "you measure from 0; the way starts at popularity, so subtract it twice.",
        ),
        (
            (LAST_ITEM - POPULARITY) / ORACLE,
            "the whole way is not the oracle's value either; it too starts at popularity.",
        ),
        (
            LAST_ITEM - POPULARITY,
            "that is how far it goes, in NDCG@10; divide by the length of the whole way.",
        ),
        (
            (ORACLE - LAST_ITEM) / (ORACLE - POPULARITY),
            "that is the share that is still open; asked is the share that is closed.",
        ),
        (
            100 * (LAST_ITEM - POPULARITY) / (ORACLE - POPULARITY),
            "that is in per cent; a share is between 0 and 1.",
        ),
    ],
    title="How far last-item goes",
    stars=1,
    minutes=5,
    hints=(
        "The gap is the way from popularity to the oracle. How long is it?",
        "How much of that way has last-item covered, starting at popularity?",
        "Divide the second by the first.",
    ),
    tolerance=0.02,
)


# 00.3 The film that most often comes directly after `film`, None where nothing ever follows.


def most_common_follower(histories, film):
    return most_common(followers_of(histories, film))


def followers_of(histories, film):
    """Return what comes directly after `film`, once for each time that it does."""
    followers = []
    for history in histories:
        for before, after in pairwise(history):
            if before == film:
                followers.append(after)
    return followers


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


@mistake("you look only at the first time that `film` occurs in a history; it may occur again.")
def after_its_first_time(histories, film):
    followers = []
    for history in histories:
        if film in history[:-1]:
            followers.append(history[history.index(film) + 1])
    return most_common(followers)


@mistake("the last film of a history has no follower; the next history is another person's.")
def across_the_borders(histories, film):
    flat = [name for history in histories for name in history]
    return most_common(followers_of([flat], film))


@mistake("between films that come equally often, take the first in the alphabet.")
def first_seen_of_equals(histories, film):
    followers = followers_of(histories, film)
    return max(followers, key=followers.count, default=None)


@mistake("between films that come equally often you take the last in the alphabet; take the first.")
def last_of_equals(histories, film):
    followers = followers_of(histories, film)
    return max(sorted(set(followers), reverse=True), key=followers.count, default=None)


@mistake("where nothing ever follows, there is no largest count: return None there.")
def without_the_empty_case(histories, film):
    followers = followers_of(histories, film)
    return max(sorted(set(followers)), key=followers.count)


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
        ([["x", "p", "x", "q"], ["r", "x", "q"], ["x", "p", "x", "q"]], "x"),
        ([["p", "x"], ["a", "x"], ["a", "x", "q"]], "x"),
    ),
    mistakes=(
        any_later_film,
        directly_before,
        after_its_first_time,
        across_the_borders,
        first_seen_of_equals,
        last_of_equals,
        without_the_empty_case,
    ),
    title="What most often comes next",
    kind="fill in",
    stars=2,
    minutes=10,
    hints=(
        "Collect first, count then: one list with every follower, as often as it follows.",
        "itertools.pairwise(history), or zip(history, history[1:]), gives neighbours.",
        "max takes a key; of equals it returns the first that it meets, so sort before.",
    ),
)


# 00.4 The lessons that must be read before lesson 13.

WAY_TO_RECBLR = predicted(
    [0, 1, 2, 3, 4, 9],
    [
        ([9], "that is the one arrow that leads to 13; lesson 09 needs others in turn."),
        ([0, 1, 2, 9], "no arrow leads from 02 to 09; look where the one to 09 starts."),
        ([0, 1, 2, 3, 4, 9, 13], "lesson 13 itself is not read before lesson 13."),
        ([0, 1, 2, 3, 4, 9, 10], "no arrow leads from 10 to 13: the two stand side by side."),
        ([0, 1, 2, 3, 4, 9, 10, 11], "10 and 11 have smaller numbers, but no arrow to 13."),
        ([0, 1, 2, 3, 4, 5, 9], "05 leads to GLINT-RU only; no arrow goes from it towards 13."),
        ([0, 1, 2, 3, 4, 5, 6, 9], "05 and 06 lead to GLINT-RU; no arrow leads on to 09 or 13."),
        ([1, 2, 3, 4, 9], "one lesson has no arrow that leads to it; it comes first."),
        ([9, 4, 3, 2, 1, 0], "read them in the order of their numbers."),
    ],
    title="The shortest way to RecBLR",
    kind="read a figure",
    stars=1,
    minutes=5,
    hints=(
        "Start at 13 and look for arrows whose head points at it.",
        "Do the same for each lesson that you find, until you are at 00.",
    ),
)


# 00.5 The k films that most often come directly after `film`.


def top_followers(histories, film, k):
    followers = followers_of(histories, film)
    ordered = sorted(set(followers), key=lambda name: (-followers.count(name), name))
    return ordered[:k]


@mistake("the rarest come first in your list; the most frequent follower is to be the first.")
def rarest_first(histories, film, k):
    followers = followers_of(histories, film)
    return sorted(set(followers), key=lambda name: (followers.count(name), name))[:k]


@mistake("you return all followers; at most k are asked for.")
def all_of_them(histories, film, k):
    return top_followers(histories, film, len(histories) * 100)


@mistake("of films that come equally often the first in the alphabet comes first.")
def equals_as_they_come(histories, film, k):
    followers = followers_of(histories, film)
    return sorted(dict.fromkeys(followers), key=followers.count, reverse=True)[:k]


@mistake("of films that come equally often you put the last in the alphabet first.")
def equals_backwards(histories, film, k):
    followers = followers_of(histories, film)
    return sorted(set(followers), key=lambda n: (followers.count(n), n), reverse=True)[:k]


@mistake(
    "your list holds a film once for each time that it follows; each film is to be in it once."
)
def with_repetitions(histories, film, k):
    followers = followers_of(histories, film)
    return sorted(followers, key=lambda name: (-followers.count(name), name))[:k]


@mistake("your list holds pairs of a name and its count; only the names are asked for.")
def with_counts(histories, film, k):
    followers = followers_of(histories, film)
    return [(name, followers.count(name)) for name in top_followers(histories, film, k)]


TOP_FOLLOWERS = Exercise(
    solution=top_followers,
    cases=(
        (FIVE_HISTORIES, "a", 2),
        (FIVE_HISTORIES, "d", 3),
        (FIVE_HISTORIES, "c", 1),
        (FIVE_HISTORIES, "z", 4),
        ([["x", "q", "x", "p", "x", "q", "x", "r", "x", "o"]], "x", 3),
    ),
    mistakes=(
        rarest_first,
        equals_as_they_come,
        equals_backwards,
        all_of_them,
        with_repetitions,
        with_counts,
    ),
    title="A recommender of your own",
    kind="extend",
    stars=3,
    minutes=15,
    hints=(
        "Collect the followers as in exercise 00.3; then sort the distinct ones.",
        "The key of a sort may be a pair: the first part decides, between equals the second.",
        "Minus the count sorts from the most frequent to the rarest, the name alphabetically.",
    ),
)

EXERCISES = {
    "00.1": WALK_GOES_ON,
    "00.2": HOW_FAR_LAST_ITEM_GOES,
    "00.3": MOST_COMMON_FOLLOWER,
    "00.4": WAY_TO_RECBLR,
    "00.5": TOP_FOLLOWERS,
}
