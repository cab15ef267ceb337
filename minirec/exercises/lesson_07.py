"""The exercises of notebook 07: paired seeds, seeds needed, a figure, a report, the bootstrap.

difference: of two means; deviation: the standard deviation of the runs of each model; valid, test:
NDCG@10 after every epoch, [n_runs, n_epochs]; differences: [n]; picks: positions, [n_draws, n].
"""

import math

import numpy as np

from minirec.exercises.checker import Exercise, mistake, predicted

# 07.1 The t statistic of the toy's differences 6, 2, 2, 2: mean 3, deviation 2, error 1.

IN_PAIRS = predicted(
    3.0,
    {
        0.75: "that is the distance as two groups. Here the deviation is that of the differences.",
        1.5: "you divided by the standard deviation. The standard error is smaller, by the square "
        "root of n.",
        6.0: "you divided by n instead of its square root.",
        1.0: "that is the standard error itself. Asked is how many of them lie between the mean "
        "and 0.",
        2.0: "that is the standard deviation of the differences. Go on: its standard error, and "
        "then the mean over it.",
        3.464: "you divided the squares by n. With n values it is n - 1: the mean was computed "
        "from them too.",
    },
    title="In pairs",
    stars=1,
    minutes=5,
    hints=(
        "The differences are 6, 2, 2, 2; their distances from their mean are 3, -1, -1, -1.",
        "The squares add up to 12. Divide by n - 1, take the root: the standard deviation.",
        "Divide it by the root of n, and the mean by the result.",
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
    cases=((2.0, 1.0), (1.0, 1.5), (0.5, 0.7), (3.0, 1.1)),
    mistakes=(
        one_mean,
        rounded_down,
        not_whole,
        one_standard_error,
        without_square,
        upside_down,
    ),
    title="How many seeds?",
    kind="derive",
    stars=2,
    minutes=12,
    hints=(
        "With n seeds each, the squared standard error of the difference is s^2 / n + s^2 / n.",
        "Write: the difference is at least three times the root of that. Square both sides, and "
        "solve for n.",
        "math.ceil gives the next whole number.",
    ),
)


# 07.3 The part whose absence five seeds do not show, read off the figure of section 7.

NOT_MISSED = predicted(
    "temporal conv",
    {
        "attention": "its bar of three standard errors lies wholly left of the dashed line.",
        "gated MLP": "its mean is above that without the GRU, and still its whole bar lies left of "
        "the dashed line.",
        "GRU": "the model without it has the lowest mean of all, far left of the dashed line.",
    },
    title="Which part is not missed?",
    kind="read a figure",
    stars=1,
    minutes=3,
    hints=("Look for the row whose bar crosses the dashed line.",),
)


# 07.4 The epoch is chosen on valid, and reported is what it gives on test.


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
        best_run,
        last_epoch,
        one_epoch_for_all,
        all_epochs,
        all_pairs,
    ),
    title="A report that flatters",
    kind="find the bug",
    stars=2,
    minutes=10,
    hints=(
        "Which films decide which epoch is reported? Which films may?",
        "valid.argmax(axis=1) is each run's best epoch on valid, [n_runs].",
        "To take one entry of every row, index rows and columns together: np.arange(n_runs) with "
        "the epochs.",
    ),
)


# 07.5 The bootstrap interval of a mean.


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
        of_sums,
    ),
    title="The bootstrap",
    kind="extend",
    stars=3,
    minutes=25,
    hints=(
        "differences[picks] has the shape of picks: each entry is a difference that was drawn.",
        "Each row is one draw of n differences. What is computed of a draw?",
        "np.quantile takes a list of shares and returns one value for each.",
    ),
)

EXERCISES = {
    "07.1": IN_PAIRS,
    "07.2": SEEDS_NEEDED,
    "07.3": NOT_MISSED,
    "07.4": HONEST_REPORT,
    "07.5": BOOTSTRAP,
}
