"""The exercises of lesson 00: a hit at ten, and the last-item predictor by hand."""

from minirec.exercises import Exercise


def _hit(recommended, chosen):
    return int(chosen in recommended[:10])


def _follower(pairs):
    """The predictor that counts the given (before, after) pairs of a history."""

    def predictor(histories, film):
        followers = [
            after for history in histories for before, after in pairs(history) if before == film
        ]
        return max(sorted(set(followers)), key=followers.count, default=None)

    return predictor


_TWELVE = [f"film-{n:02d}" for n in range(12)]
_HISTORIES = [
    ["a", "b", "c", "b", "d"],
    ["a", "c", "d"],
    ["b", "c"],
    ["c", "a", "d", "d", "d"],
    ["d", "a", "d"],
]

EXERCISES = {
    "00.1": Exercise(
        solution=_hit,
        cases=(
            (_TWELVE, "film-00"),
            (_TWELVE, "film-09"),
            (_TWELVE, "film-10"),
            (_TWELVE, "film-11"),
            (_TWELVE, "other"),
        ),
        mistakes=(
            (
                lambda recommended, chosen: int(chosen in recommended),
                "you look at the whole list; only its first ten films count.",
            ),
            (
                lambda recommended, chosen: int(chosen in recommended[:9]),
                "the tenth film counts too: recommended[:10] has the positions 0 to 9.",
            ),
            (
                lambda recommended, chosen: chosen in recommended[:10],
                "the answer is right but has the wrong type: return 1 or 0, for example with int(...).",
            ),
        ),
    ),
    "00.2": Exercise(
        solution=_follower(lambda history: zip(history, history[1:])),
        cases=(
            (_HISTORIES, "a"),
            (_HISTORIES, "b"),
            (_HISTORIES, "c"),
            (_HISTORIES, "d"),
            (_HISTORIES, "z"),
            ([["x", "q"], ["x", "p"]], "x"),
        ),
        mistakes=(
            (
                _follower(
                    lambda history: [
                        (b, a) for i, b in enumerate(history) for a in history[i + 1 :]
                    ]
                ),
                "you count every film that comes later; only the one directly after `film` counts.",
            ),
            (
                _follower(lambda history: zip(history[1:], history)),
                "you count the films directly before `film`; the follower is the next position.",
            ),
        ),
    ),
}
