"""The exercises of notebook 01: sequences, splits and metrics."""

import math

import numpy as np

from minirec.exercises import Exercise


def _ndcg(ranks, k):
    return sum(1 / math.log2(rank + 1) for rank in ranks if rank <= k) / len(ranks)


def _rank(scores, target, ties):
    """1 + how many score higher + what `ties` makes of the number of other items that score the same."""
    own = scores[target]
    return (
        1 + sum(score > own for score in scores) + ties(sum(score == own for score in scores) - 1)
    )


def _sampled_rank(rank, n_items, n_draws=100):
    return 1 + (rank - 1) * (1 - (1 - 1 / (n_items - 1)) ** n_draws)


LEAVE_ONE_OUT = Exercise(
    solution=lambda s: (s[:-2], s[-2], s[-1]),
    cases=(([3, 1, 4],), ([7, 2, 9, 5, 2, 8],)),
    mistakes=(
        (
            lambda s: (s[:-2], s[-1], s[-2]),
            "validation and test are swapped: the test target is the very last film, the validation target the one before it.",
        ),
        (
            lambda s: (s[:-1], s[-2], s[-1]),
            "the validation target is still among the training films; both held-out films must leave.",
        ),
        (
            lambda s: (s[2:], s[1], s[0]),
            "you hold out the oldest films; the list is oldest first, so the targets stand at its end.",
        ),
    ),
)

NDCG = Exercise(
    solution=_ndcg,
    cases=(
        ([2, 3, 12], 10),
        ([7, 2, 10, 11], 10),
        ([3, 4, 2], 3),
    ),  # no rank of 1, where log2(rank) would divide by zero
    mistakes=(
        (
            lambda ranks, k: sum(1 / math.log2(r) for r in ranks if r <= k) / len(ranks),
            "log2(rank) is 0 at rank 1; the discount is log2(rank + 1).",
        ),
        (
            lambda ranks, k: sum(1 / math.log(r + 1) for r in ranks if r <= k) / len(ranks),
            "this is the natural logarithm; the discount is to base 2, so that rank 1 earns exactly 1.",
        ),
        (
            lambda ranks, k: np.mean([1 / math.log2(r + 1) for r in ranks if r <= k]),
            "you average over the hits only; a person whose target lies beyond k earns 0 and still counts in the mean.",
        ),
        (
            lambda ranks, k: np.mean([1 / math.log2(r + 1) for r in ranks]),
            "ranks beyond k must earn 0.",
        ),
    ),
)

TIES = Exercise(
    solution=lambda scores, target: _rank(scores, target, lambda equal: math.ceil(equal / 2)),
    cases=(
        ([-math.inf, 0.0, 0.0, 0.0, 0.0, 0.0], 4),
        ([-math.inf, 0.3, 0.9, 0.3, 0.3, 0.1], 1),
        ([-math.inf, 2.0, 5.0, 5.0, 1.0], 2),
    ),
    mistakes=(
        (
            lambda scores, target: _rank(scores, target, lambda equal: 0),
            "every tie counts as won, so a constant score would be perfect; half of the ties are lost.",
        ),
        (
            lambda scores, target: _rank(scores, target, lambda equal: equal),
            "every tie counts as lost; only half of them are.",
        ),
        (
            lambda scores, target: _rank(scores, target, lambda equal: equal // 2),
            "round half a tie up, not down: against one tied film the rank grows by 1.",
        ),
        (
            lambda scores, target: _rank(scores, target, lambda equal: equal / 2),
            "half a tie is rounded up, so that ranks stay whole numbers.",
        ),
        (
            lambda scores, target: _rank(scores, target, lambda equal: math.ceil((equal + 1) / 2)),
            "the target equals itself, but that is no tie: count the OTHER films with the same score.",
        ),
        (
            lambda scores, target: _rank(scores, target, lambda equal: math.ceil(equal / 2)) - 1,
            "ranks start at 1: nothing above the target is rank 1.",
        ),
    ),
)

SAMPLED_RANK = Exercise(
    solution=_sampled_rank,
    cases=((46, 500), (1, 500), (300, 3706), (20, 50, 10)),
    mistakes=(
        (
            lambda rank, n_items, n_draws=100: 1 + (rank - 1) * n_draws / (n_items - 1),
            "this counts draws; a film drawn twice counts once. What is the chance that a given film is drawn at least once?",
        ),
        (
            lambda rank, n_items, n_draws=100: 1 + (rank - 1) * (1 - (1 - 1 / n_items) ** n_draws),
            "the target is never drawn, so each draw has n_items - 1 films to choose from.",
        ),
        (
            lambda rank, n_items, n_draws=100: _sampled_rank(rank, n_items, n_draws) - 1,
            "this is the number of better films in the sample; the rank is one more.",
        ),
        (
            lambda rank, n_items, n_draws=100: _sampled_rank(rank + 1, n_items, n_draws),
            "a target of rank r has r - 1 better films, not r.",
        ),
        (
            lambda rank, n_items, n_draws=100: 1 + (rank - 1) * (1 - 1 / (n_items - 1)) ** n_draws,
            "that is the chance that a film is missed by every draw; you want the chance that it is drawn at least once.",
        ),
    ),
)

EXERCISES = {"01.1": LEAVE_ONE_OUT, "01.2": NDCG, "01.3": TIES, "01.4": SAMPLED_RANK}
