"""The exercises of notebook 07: paired seeds, seeds needed, a report, what may be said, bootstrap.

difference: of two means; deviation: the standard deviation of the runs of each model; valid, test:
NDCG@10 after every epoch, [n_runs, n_epochs]; differences: [n]; picks: positions, [n_draws, n].
"""

import math

import numpy as np

from minirec.exercises.checker import Exercise, mistake, predicted

# 07.1 The t statistic of the toy's differences 12, 4, 4, 4: mean 6, deviation 4, error 2.

IN_PAIRS = predicted(
    3.0,
    {
        0.75: "that is the distance as two groups. Here the deviation is that of the differences.",
        1.5: "you divided by 4. That is the standard deviation, and also the square of the "
        "standard error: a root of n, or the last root, is missing.",
        6.0: "that is the mean, or you divided the deviation by n instead of its square root. How "
        "many standard errors is it?",
        2.0: "that is the standard error itself. Asked is how many of them lie between the mean "
        "and 0.",
        4.0: "that is the standard deviation of the differences. Go on: its standard error, and "
        "then the mean over it.",
        3.464: "you divided the squares by n. With n values it is n - 1: the mean was computed "
        "from them too.",
        -3.0: "you subtracted the other way round. Asked is whole minus without.",
    },
    title="In pairs",
    stars=1,
    minutes=5,
    hints=(
        "Take the difference within each seed: how far is each of the four from their mean?",
        "The formula of the standard error, with the differences as its values, n = 4.",
        "Two roots: one makes the standard deviation, the other is that of n. Then divide the mean "
        "by the result.",
    ),
)


# 07.2 The smallest n with difference >= 3 deviation sqrt(2 / n).


def seeds_needed(difference, deviation):
    return math.ceil(18 * (deviation / difference) ** 2)


@mistake(
    "that is for one mean. A difference of two means has the variances of both, so there is a 2 "
    "under the root."
)
def one_mean(difference, deviation):
    return math.ceil(9 * (deviation / difference) ** 2)


@mistake("rounded down, the last bit of a standard error is missing. Take the next whole number.")
def rounded_down(difference, deviation):
    return math.floor(18 * (deviation / difference) ** 2)


@mistake(
    "where the number is whole already, it is enough: the distance has to be at least three, not "
    "more than three."
)
def always_one_more(difference, deviation):
    return math.floor(18 * (deviation / difference) ** 2) + 1


@mistake("that number need not be whole. Asked is the smallest whole number that is enough.")
def not_whole(difference, deviation):
    return 18 * (deviation / difference) ** 2


@mistake(
    "that is enough for one standard error. The limit is three, and it is squared with the rest."
)
def one_standard_error(difference, deviation):
    return math.ceil(2 * (deviation / difference) ** 2)


@mistake("a root is left: a standard error shrinks with the root of n, so n grows with a square.")
def without_square(difference, deviation):
    return math.ceil(3 * math.sqrt(2) * deviation / difference)


@mistake("the fraction is upside down: a small difference and a large scatter need many seeds.")
def upside_down(difference, deviation):
    return math.ceil(18 * (difference / deviation) ** 2)


SEEDS_NEEDED = Exercise(
    solution=seeds_needed,
    # 5.7 and 3.8 give exactly 8, however the formula is written down.
    cases=((2.0, 1.0), (1.0, 1.5), (0.5, 0.7), (5.7, 3.8)),
    mistakes=(
        one_mean,
        rounded_down,
        always_one_more,
        not_whole,
        one_standard_error,
        without_square,
        upside_down,
    ),
    title="How many seeds?",
    kind="derive",
    stars=2,
    minutes=8,
    hints=(
        "With n seeds each, the squared standard error of the difference is s^2 / n + s^2 / n.",
        "Write: the difference is at least three times the root of that. Square both sides, and "
        "solve for n.",
        "math.ceil gives the next whole number.",
    ),
)


# 07.3 The epoch is chosen on valid, and reported is what it gives on test.


def honest_report(valid, test):
    best = valid.argmax(axis=1)
    return test[np.arange(len(test)), best].mean()


@mistake(
    "that is still the best epoch by test. Whoever looks at the test films to choose an epoch "
    "reports its luck as well."
)
def best_on_test(valid, test):
    return test.max(axis=1).mean()


@mistake("that is the metric on valid. Choose the epoch there, and report what it gives on test.")
def best_on_valid(valid, test):
    return valid.max(axis=1).mean()


@mistake("valid and test have changed places: test chose the epoch, and valid is reported.")
def exchanged(valid, test):
    best = test.argmax(axis=1)
    return valid[np.arange(len(valid)), best].mean()


@mistake("that is the best run of all. Report the mean over the runs.")
def best_run(valid, test):
    return test.max()


@mistake(
    "you took the last epoch of each run. It does not flatter, but training chooses the epoch that "
    "is best on valid."
)
def last_epoch(valid, test):
    return test[:, -1].mean()


@mistake("you chose one epoch for all runs. Each run chooses its own.")
def one_epoch_for_all(valid, test):
    return test[:, valid.mean(axis=0).argmax()].mean()


@mistake("you averaged over all epochs. Each run reports one, the best on valid.")
def all_epochs(valid, test):
    return test.mean()


@mistake(
    "test[:, best] has every run's epoch for every run, [n_runs, n_runs]. Each row needs its own "
    "column."
)
def all_pairs(valid, test):
    best = valid.argmax(axis=1)
    return test[:, best].mean()


def made_up_runs(seed, n_runs, n_epochs):
    rng = np.random.default_rng(seed)
    return rng.random((n_runs, n_epochs)), rng.random((n_runs, n_epochs))


HONEST_REPORT = Exercise(
    solution=honest_report,
    cases=(made_up_runs(0, 5, 8), made_up_runs(1, 3, 4), made_up_runs(2, 6, 3)),
    mistakes=(
        best_on_test,
        best_on_valid,
        exchanged,
        best_run,
        last_epoch,
        one_epoch_for_all,
        all_epochs,
        all_pairs,
    ),
    title="A report that flatters",
    kind="find the bug",
    stars=2,
    minutes=8,
    hints=(
        "Which films decide which epoch is reported? Which films may?",
        "valid.argmax(axis=1) is each run's best epoch on valid, [n_runs].",
        "To take one entry of every row, index rows and columns together: np.arange(n_runs) with "
        "the epochs.",
    ),
)


# 07.4 The systems on Beauty whose runs converged, by our test numbers.

CONVERGED = ("GLINT-RU", "LinRec", "SASRec", "GRU4Rec", "BERT4Rec")

RANKING = predicted(
    CONVERGED,
    [
        (
            ("GLINT-RU", "SASRec", "LinRec", "GRU4Rec", "BERT4Rec"),
            "that is the order of Table 2. Asked is the order of our test numbers.",
        ),
        (
            ("GLINT-RU", "LinRec", "SASRec", "Mamba4Rec", "GRU4Rec", "BERT4Rec"),
            "look at the column 'ended' in every row: one of yours used up its budget.",
        ),
        (
            ("GLINT-RU", "LinRec", "SASRec", "Mamba4Rec", "GRU4Rec", "BERT4Rec", "SMLP4Rec"),
            "all seven are there. Two runs used up their budget, and rank nowhere.",
        ),
        (
            CONVERGED[::-1],
            "that is the worst first. A higher NDCG@10 is better.",
        ),
        (
            ("GLINT-RU", "GRU4Rec"),
            "those are the systems that ran on both data sets. Take all on Beauty that may stand "
            "in a ranking.",
        ),
        (
            ("GLINT-RU", "GLINT-RU", "GRU4Rec", "LinRec", "SASRec", "GRU4Rec", "BERT4Rec"),
            "two data sets have no common ranking. Leave out the rows of Video Games.",
        ),
    ],
    title="Which rows may be ranked?",
    kind="read a figure",
    stars=2,
    minutes=5,
    hints=(
        "Three columns matter: data, ended and our test.",
        "Strike out the rows of Video Games, and those that ended on their budget.",
        "Sort what is left by our test, the largest first.",
    ),
)


# 07.5 Which of six sentences the lesson's tables allow.

MAY_SAY = (True, False, True, True, False, False)


def but_for(*numbers: int) -> tuple[bool, ...]:
    """Return the six answers with those of the sentences of these numbers, from 1, turned round."""
    return tuple(right != (i in numbers) for i, right in enumerate(MAY_SAY, start=1))


SENTENCES = predicted(
    MAY_SAY,
    [
        (
            but_for(1),
            "look at sentence 1 again. How many standard errors, from how many seeds? The sentence "
            "names its setting and its data.",
        ),
        (
            but_for(2),
            "look at sentence 2 again. It compares two parts with each other, and not with the "
            "whole model: section 7 has a table for that.",
        ),
        (
            but_for(3),
            "look at sentence 3 again. It speaks of one trained model, and of *uses*: what was "
            "done to that model in section 8?",
        ),
        (
            but_for(4),
            "look at sentence 4 again. It says for whom the setting was found, and in which sense "
            "the two are equal. Does the table hold it up?",
        ),
        (
            but_for(5),
            "look at sentence 5 again. What does a distance below three say, and what does it not "
            "say?",
        ),
        (
            but_for(6),
            "look at sentence 6 again. How many runs of each stand behind it?",
        ),
        (
            but_for(2, 5),
            "look at sentences 2 and 5 again. What does a distance below three allow you to say?",
        ),
        (
            but_for(2, 5, 6),
            "you said yes to all six. A difference in a table is not yet one that counts: look for "
            "the number of seeds and the standard errors.",
        ),
    ],
    title="May you say that?",
    kind="read a figure",
    stars=2,
    minutes=10,
    hints=(
        "Ask three things of each: how many seeds, how many standard errors, and does the sentence "
        "name what it holds for?",
        "Between two parts the distance is in the second table of section 7.",
        "A distance below three allows neither 'better' nor 'equal'.",
    ),
)


# 07.6 The bootstrap interval of a mean.


def bootstrap(differences, picks):
    means = differences[picks].mean(axis=1)
    return np.quantile(means, [0.025, 0.975])


@mistake("you averaged over the draws. Each row of picks is one draw: average within the row.")
def mean_over_draws(differences, picks):
    means = differences[picks].mean(axis=0)
    return np.quantile(means, [0.025, 0.975])


@mistake("you took the quantiles of single values. They are those of the draws' means.")
def quantiles_of_values(differences, picks):
    return np.quantile(differences[picks], [0.025, 0.975])


@mistake("nothing is drawn yet: picks says which differences each draw takes, repeats included.")
def without_picks(differences, picks):
    return np.quantile(differences, [0.025, 0.975])


@mistake("that leaves out 10%. The middle 95% leave out 2.5% on either side.")
def ninety_percent(differences, picks):
    means = differences[picks].mean(axis=1)
    return np.quantile(means, [0.05, 0.95])


@mistake("that leaves out 5% on one side only. The middle 95% leave out 2.5% on either side.")
def one_sided(differences, picks):
    means = differences[picks].mean(axis=1)
    return np.quantile(means, [0.0, 0.95])


@mistake("the two quantiles have changed places: the smaller one first.")
def upper_first(differences, picks):
    means = differences[picks].mean(axis=1)
    return np.quantile(means, [0.975, 0.025])


@mistake("a quarter on either side leaves the middle half. The middle 95% leave out 2.5%.")
def middle_half(differences, picks):
    means = differences[picks].mean(axis=1)
    return np.quantile(means, [0.25, 0.75])


@mistake("take the mean of each draw, not its median.")
def of_medians(differences, picks):
    medians = np.median(differences[picks], axis=1)
    return np.quantile(medians, [0.025, 0.975])


@mistake(
    "that is the mean, and 1.96 standard deviations of the draws to either side: a formula for a "
    "normal distribution. Take the quantiles of the draws' means."
)
def by_normal_formula(differences, picks):
    means = differences[picks].mean(axis=1)
    return means.mean() + 1.96 * means.std() * np.array([-1, 1])


@mistake("those are sums. Divide by n: asked is the interval of a mean.")
def of_sums(differences, picks):
    sums = differences[picks].sum(axis=1)
    return np.quantile(sums, [0.025, 0.975])


def made_up_draws(seed, n, n_draws):
    rng = np.random.default_rng(seed)
    return rng.normal(size=n), rng.integers(n, size=(n_draws, n))


BOOTSTRAP = Exercise(
    solution=bootstrap,
    cases=(made_up_draws(0, 5, 200), made_up_draws(1, 8, 60)),
    mistakes=(
        mean_over_draws,
        quantiles_of_values,
        without_picks,
        ninety_percent,
        one_sided,
        upper_first,
        middle_half,
        of_medians,
        by_normal_formula,
        of_sums,
    ),
    title="The bootstrap",
    kind="extend",
    stars=3,
    minutes=15,
    hints=(
        "differences[picks] has the shape of picks: each entry is a difference that was drawn.",
        "Each row is one draw of n differences. What is computed of a draw?",
        "np.quantile takes a list of shares and returns one value for each.",
    ),
)

EXERCISES = {
    "07.1": IN_PAIRS,
    "07.2": SEEDS_NEEDED,
    "07.3": HONEST_REPORT,
    "07.4": RANKING,
    "07.5": SENTENCES,
    "07.6": BOOTSTRAP,
}
