"""The exercises of notebook 01: a history split, NDCG, ranks with ties, the rank among a sample.

rank: 1 is best; k: how many places of a list count; scores: one per item, those of padding first.
"""

import math

import numpy as np

from minirec.exercises.checker import Exercise, mistake

# 01.1 A person's films, oldest first, split: the training films and the two targets.


def leave_one_out(sequence):
    return sequence[:-2], sequence[-2], sequence[-1]


@mistake(
    "validation and test are swapped: the test target is the very last film, the validation "
    "target the one before it."
)
def targets_swapped(sequence):
    return sequence[:-2], sequence[-1], sequence[-2]


@mistake("the validation target is still among the training films; both held-out films must leave.")
def one_target_left_in(sequence):
    return sequence[:-1], sequence[-2], sequence[-1]


@mistake(
    "you hold out the oldest films; the list is oldest first, so the targets stand at its end."
)
def oldest_held_out(sequence):
    return sequence[2:], sequence[1], sequence[0]


LEAVE_ONE_OUT = Exercise(
    solution=leave_one_out,
    cases=(([3, 1, 4],), ([7, 2, 9, 5, 2, 8],)),
    mistakes=(targets_swapped, one_target_left_in, oldest_held_out),
)


# 01.2 NDCG@k: the mean over all people of what the rank of their target earns.


def ndcg_at_k(ranks, k):
    return sum(1 / math.log2(rank + 1) for rank in ranks if rank <= k) / len(ranks)


@mistake("log2(rank) is 0 at rank 1; the discount is log2(rank + 1).")
def discount_of_the_rank_itself(ranks, k):
    return sum(1 / math.log2(rank) for rank in ranks if rank <= k) / len(ranks)


@mistake(
    "this is the natural logarithm; the discount is to base 2, so that rank 1 earns exactly 1."
)
def natural_logarithm(ranks, k):
    return sum(1 / math.log(rank + 1) for rank in ranks if rank <= k) / len(ranks)


@mistake(
    "you average over the hits only; a person whose target lies beyond k earns 0 and still counts "
    "in the mean."
)
def mean_over_hits(ranks, k):
    return np.mean([1 / math.log2(rank + 1) for rank in ranks if rank <= k])


@mistake("ranks beyond k must earn 0.")
def without_cutoff(ranks, k):
    return np.mean([1 / math.log2(rank + 1) for rank in ranks])


NDCG_AT_K = Exercise(
    solution=ndcg_at_k,
    # No rank of 1, where the first mistake would divide by zero.
    cases=(([2, 3, 12], 10), ([7, 2, 10, 11], 10), ([3, 4, 2], 3)),
    mistakes=(discount_of_the_rank_itself, natural_logarithm, mean_over_hits, without_cutoff),
)


# 01.3 The rank of a target among scores, of which some may be equal.


def rank_with_ties(scores, target):
    higher, tied = count_higher_and_tied(scores, target)
    return 1 + higher + math.ceil(tied / 2)


def count_higher_and_tied(scores, target):
    """Count the items that score higher than the target, and the others that score the same."""
    own = scores[target]
    higher = sum(score > own for score in scores)
    same = sum(score == own for score in scores)
    return higher, same - 1  # the target equals itself


@mistake(
    "every tie counts as won, so a constant score would be perfect; half of the ties are lost."
)
def ties_won(scores, target):
    higher, _ = count_higher_and_tied(scores, target)
    return 1 + higher


@mistake("every tie counts as lost; only half of them are.")
def ties_lost(scores, target):
    higher, tied = count_higher_and_tied(scores, target)
    return 1 + higher + tied


@mistake("round half a tie up, not down: against one tied film the rank grows by 1.")
def half_a_tie_rounded_down(scores, target):
    higher, tied = count_higher_and_tied(scores, target)
    return 1 + higher + tied // 2


@mistake("half a tie is rounded up, so that ranks stay whole numbers.")
def half_a_tie_kept(scores, target):
    higher, tied = count_higher_and_tied(scores, target)
    return 1 + higher + tied / 2


@mistake("the target equals itself, but that is no tie: count the OTHER films with the same score.")
def tied_with_itself(scores, target):
    higher, tied = count_higher_and_tied(scores, target)
    return 1 + higher + math.ceil((tied + 1) / 2)


@mistake("ranks start at 1: nothing above the target is rank 1.")
def counted_from_zero(scores, target):
    return rank_with_ties(scores, target) - 1


RANK_WITH_TIES = Exercise(
    solution=rank_with_ties,
    cases=(
        ([-math.inf, 0.0, 0.0, 0.0, 0.0, 0.0], 4),
        ([-math.inf, 0.3, 0.9, 0.3, 0.3, 0.1], 1),
        ([-math.inf, 2.0, 5.0, 5.0, 1.0], 2),
    ),
    mistakes=(
        ties_won,
        ties_lost,
        half_a_tie_rounded_down,
        half_a_tie_kept,
        tied_with_itself,
        counted_from_zero,
    ),
)


# 01.4 The expected rank of a target among films drawn with replacement, from its full rank.


def expected_sampled_rank(rank, n_items, n_draws=100):
    return 1 + (rank - 1) * (1 - missed_by_all(n_items - 1, n_draws))


def missed_by_all(n_films, n_draws):
    """Return the probability that no draw among so many films meets a given one."""
    return (1 - 1 / n_films) ** n_draws


@mistake(
    "this counts draws; a film drawn twice counts once. What is the chance that a given film is "
    "drawn at least once?"
)
def draws_counted(rank, n_items, n_draws=100):
    return 1 + (rank - 1) * n_draws / (n_items - 1)


@mistake("the target is never drawn, so each draw has n_items - 1 films to choose from.")
def target_drawn_too(rank, n_items, n_draws=100):
    return 1 + (rank - 1) * (1 - missed_by_all(n_items, n_draws))


@mistake("this is the number of better films in the sample; the rank is one more.")
def better_films_in_the_sample(rank, n_items, n_draws=100):
    return expected_sampled_rank(rank, n_items, n_draws) - 1


@mistake("a target of rank r has r - 1 better films, not r.")
def one_better_film_too_many(rank, n_items, n_draws=100):
    return expected_sampled_rank(rank + 1, n_items, n_draws)


@mistake(
    "that is the chance that a film is missed by every draw; you want the chance that it is drawn "
    "at least once."
)
def chance_of_a_miss(rank, n_items, n_draws=100):
    return 1 + (rank - 1) * missed_by_all(n_items - 1, n_draws)


EXPECTED_SAMPLED_RANK = Exercise(
    solution=expected_sampled_rank,
    cases=((46, 500), (1, 500), (300, 3706), (20, 50, 10)),
    mistakes=(
        draws_counted,
        target_drawn_too,
        better_films_in_the_sample,
        one_better_film_too_many,
        chance_of_a_miss,
    ),
)

EXERCISES = {
    "01.1": LEAVE_ONE_OUT,
    "01.2": NDCG_AT_K,
    "01.3": RANK_WITH_TIES,
    "01.4": EXPECTED_SAMPLED_RANK,
}
