"""The exercises of notebook 01: offsets, a history split, NDCG, ranks with ties and in a sample.

rank: 1 is best; k: how many places of a list count; scores: one per item, those of padding first.
"""

import math

import numpy as np

from minirec.exercises.checker import Exercise, mistake, predicted

# 01.1 Where each of four sequences, of 4, 3, 4 and 2 films, begins in the flat array.

OFFSETS = predicted(
    [0, 4, 7, 11, 13],
    [
        ([0, 4, 7, 11], "one entry is missing: `offsets` also says where the last sequence ends."),
        ([4, 7, 11, 13], "one entry is missing: `offsets` also says where the first one begins."),
        ([4, 3, 4, 2], "these are the lengths; offsets add them up."),
        ([0, 4, 3, 4, 2], "these are 0 and the lengths; offsets add them up."),
        (
            [0, 4, 7, 11, 12],
            "the last entry is one beyond the last film, as the end of a slice is.",
        ),
        ([1, 5, 8, 12, 14], "positions in an array are counted from 0."),
        (
            [3, 6, 10, 12],
            "these are the positions of the last films; offsets say where one begins.",
        ),
    ],
    title="Where everybody begins",
    stars=1,
    minutes=3,
    hints=(
        "The first sequence begins at position 0. How long is it?",
        "Each sequence begins where the one before it has ended: add up the lengths.",
        "The fifth entry is the number of all films.",
    ),
)


# 01.2 A person's films, oldest first, split: the training films and the two targets.


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


@mistake("the first of the three is the whole sequence; neither held-out film may be trained on.")
def prefix_of_the_test_target(sequence):
    return sequence, sequence[-2], sequence[-1]


@mistake("you leave out one film too many: two films are held out, all others are for training.")
def too_few_for_training(sequence):
    return sequence[:-3], sequence[-2], sequence[-1]


@mistake("a target is one film, not a list that holds it: an index gives it, a slice does not.")
def targets_as_lists(sequence):
    return sequence[:-2], sequence[-2:-1], sequence[-1:]


LEAVE_ONE_OUT = Exercise(
    solution=leave_one_out,
    cases=(([3, 1, 4],), ([7, 2, 9, 5, 2, 8],)),
    mistakes=(
        targets_swapped,
        one_target_left_in,
        prefix_of_the_test_target,
        oldest_held_out,
        too_few_for_training,
        targets_as_lists,
    ),
    title="Leave one out",
    kind="fill in",
    stars=1,
    minutes=5,
    hints=(
        "Count from the end: sequence[-1] is the last film.",
        "A slice may end before the last entries: sequence[:-1] leaves one out.",
        "Return three things, in the order of the docstring.",
    ),
)


# 01.3 NDCG@k: the mean over all people of what the rank of their target earns.


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


@mistake("a target at rank k is still on the list of k films.")
def rank_k_left_out(ranks, k):
    return sum(1 / math.log2(rank + 1) for rank in ranks if rank < k) / len(ranks)


@mistake("this is MRR@k; the discount of NDCG is a logarithm.")
def reciprocal_rank(ranks, k):
    return sum(1 / rank for rank in ranks if rank <= k) / len(ranks)


@mistake("you divide by k; the mean is over the people, however long the list is.")
def divided_by_k(ranks, k):
    return sum(1 / math.log2(rank + 1) for rank in ranks if rank <= k) / k


@mistake("this is the sum of the gains; NDCG@k is their mean over all people.")
def sum_over_people(ranks, k):
    return sum(1 / math.log2(rank + 1) for rank in ranks if rank <= k)


NDCG_AT_K = Exercise(
    solution=ndcg_at_k,
    # No rank of 1, where the first mistake would divide by zero.
    cases=(([2, 3, 12], 10), ([7, 2, 10, 11], 10), ([3, 4, 2, 5], 3)),
    mistakes=(
        discount_of_the_rank_itself,
        natural_logarithm,
        mean_over_hits,
        without_cutoff,
        rank_k_left_out,
        reciprocal_rank,
        divided_by_k,
        sum_over_people,
    ),
    title="NDCG from ranks",
    kind="fill in",
    stars=2,
    minutes=8,
    hints=(
        "First the gain of one rank: what does the table say, and what if the rank is above k?",
        "math.log2 is the logarithm to base 2.",
        "Then the mean: the sum of the gains over the number of people.",
    ),
)


# 01.4 The rank of a target among scores, of which some may be equal. The bug: tied with itself.


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


@mistake(
    "this still gives what the bug gives. How large is `equal` where no other film has that score?"
)
def tied_with_itself(scores, target):
    higher, tied = count_higher_and_tied(scores, target)
    return 1 + higher + math.ceil((tied + 1) / 2)


@mistake("ranks start at 1: nothing above the target is rank 1.")
def counted_from_zero(scores, target):
    return rank_with_ties(scores, target) - 1


@mistake("films that score the same are counted twice now: as higher and as equal.")
def not_above_counts_itself(scores, target):
    higher, tied = count_higher_and_tied(scores, target)
    return 1 + higher + tied + math.ceil(tied / 2)


RANK_WITH_TIES = Exercise(
    solution=rank_with_ties,
    cases=(
        ([-math.inf, 0.0, 0.0, 0.0, 0.0, 0.0], 4),
        ([-math.inf, 0.3, 0.9, 0.3, 0.3, 0.1], 1),
        ([-math.inf, 2.0, 5.0, 5.0, 1.0], 2),
        ([-math.inf, 0.1, 0.6, 0.2, 0.5, 0.9], 4),
        ([-math.inf, 7.0, 7.0, 7.0, 9.0, 7.0], 1),
    ),
    mistakes=(
        tied_with_itself,
        ties_won,
        ties_lost,
        half_a_tie_rounded_down,
        half_a_tie_kept,
        not_above_counts_itself,
        counted_from_zero,
    ),
    title="A rank that is too high",
    kind="find the bug",
    stars=2,
    minutes=8,
    hints=(
        "Go through it line by line for Ana: what are `own`, `higher` and `equal`?",
        "How many films have the same score as Dune? How many OTHER films?",
        "The bug is in one line; `higher` and the last line are right.",
    ),
)


# 01.5 Which full rank becomes 10 if 300 of 499 films are drawn, and who leads there.

THREE_HUNDRED_DRAWS = predicted(
    (1 + 9 * 499 / 300, "last-item"),
    [
        ((1 + 9 * 499 / 300, "last item"), "both are right; write the name with a hyphen."),
        ((1 + 9 * 499 / 300, "neighbours"), "the rank is right; which curve is higher there?"),
        ((46, "neighbours"), "that is for 100 draws; with 300, more of the better films are met."),
        ((138, "neighbours"), "more draws meet more of the better films, so the rank is lower."),
        ((10, "last-item"), "10 is the sampled rank; 300 of 499 films are fewer than all."),
        ((15, "last-item"), "nine better films among the draws are about 15 of all: add 1."),
        ((6, "last-item"), "you put the full rank 10 in; 10 is the sampled rank here."),
    ],
    title="Three hundred draws",
    kind="read a figure",
    stars=2,
    minutes=5,
    hints=(
        "Put 300 in the place of 100 in the formula for the sampled rank.",
        "Set the sampled rank to 10 and solve for r.",
        "Find r on the horizontal axis. Which of the two curves is higher there?",
    ),
    tolerance=0.03,
)


# 01.6 The expected rank of a target among films drawn with replacement, from its full rank.


def expected_sampled_rank(rank, n_items, n_draws=100):
    return 1 + (rank - 1) * (1 - missed_by_all(n_items - 1, n_draws))


def missed_by_all(n_films, n_draws):
    """Return the probability that no draw among so many films meets a given one."""
    return (1 - 1 / n_films) ** n_draws


@mistake(
    "this counts draws; a film drawn twice counts once. With which probability is a given film "
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
    "that is the probability that a film is missed by every draw; you want that of the opposite."
)
def missed(rank, n_items, n_draws=100):
    return 1 + (rank - 1) * missed_by_all(n_items - 1, n_draws)


@mistake(
    "that is the probability that ALL better films are missed at once; think of one of them at a "
    "time."
)
def all_missed_at_once(rank, n_items, n_draws=100):
    missed_all = ((n_items - rank) / (n_items - 1)) ** n_draws
    return 1 + (rank - 1) * (1 - missed_all)


EXPECTED_SAMPLED_RANK = Exercise(
    solution=expected_sampled_rank,
    cases=((46, 500), (1, 500), (300, 3706), (20, 50, 10)),
    mistakes=(
        draws_counted,
        target_drawn_too,
        better_films_in_the_sample,
        one_better_film_too_many,
        missed,
        all_missed_at_once,
    ),
    title="The sampled rank, exactly",
    kind="derive",
    stars=3,
    minutes=15,
    hints=(
        "One draw misses a given film with probability 1 - 1 / (V - 1). And all of them?",
        "A better film adds one place if it is drawn at least once: one minus the above.",
        "There are r - 1 better films. The expectation of a sum is the sum of expectations.",
    ),
)

EXERCISES = {
    "01.1": OFFSETS,
    "01.2": LEAVE_ONE_OUT,
    "01.3": NDCG_AT_K,
    "01.4": RANK_WITH_TIES,
    "01.5": THREE_HUNDRED_DRAWS,
    "01.6": EXPECTED_SAMPLED_RANK,
}
