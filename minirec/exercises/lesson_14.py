"""The exercises of notebook 14: an interval over seeds, two proportions, the epoch to report.

values: [systems, seeds], a metric; hits_a: of how many of its n_a users system a hit the target,
and so for b; valid, test: [seeds, epochs], a metric after every epoch of several runs. All arrays
are NumPy's.
"""

import numpy as np

from minirec.exercises.checker import Exercise, mistake

# 14.1 The two ends of each system's 95% interval, [systems] both. factor: that of Student's t.


def seed_interval(values, factor):
    half = factor * sample_deviation(values) / np.sqrt(values.shape[1])
    return ends(values, half)


def sample_deviation(values):
    return values.std(axis=1, ddof=1)


def ends(values, half):
    """Return the means over the seeds, less and plus half the width."""
    mean = values.mean(axis=1)
    return mean - half, mean + half


@mistake("NumPy's std divides by the number of seeds. The sample's divides by one less: ddof=1.")
def deviation_of_numpy(values, factor):
    half = factor * values.std(axis=1) / np.sqrt(values.shape[1])
    return ends(values, half)


@mistake("that is the spread of single runs. The mean of n runs varies sqrt(n) times less.")
def spread_of_single_runs(values, factor):
    half = factor * sample_deviation(values)
    return ends(values, half)


@mistake("you divide by the number of seeds; the error of a mean falls with its square root.")
def divided_by_the_seeds(values, factor):
    half = factor * sample_deviation(values) / values.shape[1]
    return ends(values, half)


@mistake("`len(values)` is the number of systems. The seeds are the second axis: values.shape[1].")
def systems_for_seeds(values, factor):
    half = factor * sample_deviation(values) / np.sqrt(len(values))
    return ends(values, half)


@mistake(
    "1.96 is for a known spread. With few seeds the t factor, which is given, takes its place."
)
def factor_of_a_known_spread(values, factor):
    return seed_interval(values, 1.96)


@mistake("the root is missing: this is the variance, not the deviation.")
def variance_for_deviation(values, factor):
    half = factor * values.var(axis=1, ddof=1) / np.sqrt(values.shape[1])
    return ends(values, half)


@mistake("the factor counts standard errors to each side of the mean; do not halve it.")
def factor_halved(values, factor):
    return seed_interval(values, factor / 2)


@mistake("these are the middle and half the width. The two ends are asked for.")
def middle_and_half_width(values, factor):
    mean = values.mean(axis=1)
    _, upper = seed_interval(values, factor)
    return mean, upper - mean


SEED_INTERVAL = Exercise(
    solution=seed_interval,
    cases=(
        (np.array([[0.26, 0.28, 0.30], [0.1, 0.2, 0.6]]), 4.303),
        (np.array([[0.41, 0.44, 0.43, 0.40, 0.42]]), 2.776),
    ),
    mistakes=(
        deviation_of_numpy,
        spread_of_single_runs,
        divided_by_the_seeds,
        systems_for_seeds,
        factor_of_a_known_spread,
        variance_for_deviation,
        factor_halved,
        middle_and_half_width,
    ),
)


# 12.2 z, the difference of two shares of hits in standard errors, positive where a is ahead.


def two_proportion_z(hits_a, n_a, hits_b, n_b):
    a = hits_a / n_a
    b = hits_b / n_b
    error = np.sqrt(variance(a) / n_a + variance(b) / n_b)
    return (a - b) / error


def variance(share):
    """Return the variance of a single user's hit, 0 or 1."""
    return share * (1 - share)


@mistake("you add standard errors. Variances add; the root comes last.")
def errors_added(hits_a, n_a, hits_b, n_b):
    a = hits_a / n_a
    b = hits_b / n_b
    error = np.sqrt(variance(a) / n_a) + np.sqrt(variance(b) / n_b)
    return (a - b) / error


@mistake("the root is missing: a variance stands where its root belongs.")
def root_missing(hits_a, n_a, hits_b, n_b):
    a = hits_a / n_a
    b = hits_b / n_b
    return (a - b) / (variance(a) / n_a + variance(b) / n_b)


@mistake("each share has its own number of users: divide each variance by its own n.")
def both_by_all_users(hits_a, n_a, hits_b, n_b):
    a = hits_a / n_a
    b = hits_b / n_b
    error = np.sqrt((variance(a) + variance(b)) / (n_a + n_b))
    return (a - b) / error


@mistake("only the first system's error is there. The second one's share is uncertain too.")
def error_of_the_first_alone(hits_a, n_a, hits_b, n_b):
    a = hits_a / n_a
    b = hits_b / n_b
    error = np.sqrt(variance(a) / n_a)
    return (a - b) / error


@mistake("that is section 9's formula for one n. Here b's variance is divided by n_b, not by n_a.")
def both_by_the_first_n(hits_a, n_a, hits_b, n_b):
    a = hits_a / n_a
    b = hits_b / n_b
    error = np.sqrt((variance(a) + variance(b)) / n_a)
    return (a - b) / error


@mistake("this pools both shares into one. That is another test; here each keeps its own variance.")
def pooled(hits_a, n_a, hits_b, n_b):
    a = hits_a / n_a
    b = hits_b / n_b
    share = (a * n_a + b * n_b) / (n_a + n_b)
    error = np.sqrt(variance(share) * (1 / n_a + 1 / n_b))
    return (a - b) / error


@mistake("the size is right; keep the sign: negative where b is ahead.")
def without_sign(*counts):
    return abs(two_proportion_z(*counts))


@mistake("the sign is turned round: positive where a is ahead.")
def sign_turned_round(*counts):
    return -two_proportion_z(*counts)


@mistake("that is the difference. Divide it by its standard error.")
def difference_alone(hits_a, n_a, hits_b, n_b):
    return hits_a / n_a - hits_b / n_b


TWO_PROPORTION_Z = Exercise(
    solution=two_proportion_z,
    cases=((20, 100, 10, 100), (450, 1000, 120, 300), (30, 80, 900, 2000)),
    mistakes=(
        errors_added,
        root_missing,
        both_by_all_users,
        error_of_the_first_alone,
        both_by_the_first_n,
        pooled,
        without_sign,
        sign_turned_round,
        difference_alone,
    ),
)


# 14.3 The mean over the runs of the test metric at each run's best epoch, the first of equals.


def to_report(valid, test):
    best = valid.argmax(axis=1)
    return metric_at(test, best).mean()


def metric_at(values, epochs):
    """Return each run's value at its own epoch, [seeds]."""
    runs = np.arange(len(values))
    return values[runs, epochs]


@mistake("you chose the epoch on the test films: their luck is in the number. Choose on valid.")
def chosen_on_test(valid, test):
    return test.max(axis=1).mean()


@mistake(
    "you chose on valid, and reported valid: the best of many epochs flatters. Report test at that "
    "epoch."
)
def valid_reported(valid, test):
    return valid.max(axis=1).mean()


@mistake("that is the last epoch. Report the one that was best on valid.")
def last_epoch(valid, test):
    return test[:, -1].mean()


@mistake("every run has its own best epoch; you took one epoch for all of them.")
def one_epoch_for_all(valid, test):
    best = valid.mean(axis=0).argmax()
    return test[:, best].mean()


@mistake(
    "`test[:, best]` takes every run's epoch from every run. Pair them: run i with its own best[i]."
)
def every_epoch_of_every_run(valid, test):
    best = valid.argmax(axis=1)
    return test[:, best].mean()


@mistake("the best of the runs is luck again. Report their mean.")
def best_run(valid, test):
    best = valid.argmax(axis=1)
    return metric_at(test, best).max()


@mistake("of two equal epochs you took the later one; the first is asked for.")
def last_of_equals(valid, test):
    epochs_from_the_end = valid[:, ::-1].argmax(axis=1)
    best = valid.shape[1] - 1 - epochs_from_the_end
    return metric_at(test, best).mean()


def curves(seed, n_seeds, n_epochs):
    """Draw valid and test; run 0 has two equal maxima, of which the first counts."""
    rng = np.random.default_rng(seed)
    valid = 0.2 + 0.01 * rng.integers(0, 8, (n_seeds, n_epochs))
    valid[0, :2] = valid.max() + 0.01
    test = valid - 0.03 + 0.02 * rng.random((n_seeds, n_epochs))
    return valid, test


TO_REPORT = Exercise(
    solution=to_report,
    cases=(curves(0, 3, 6), curves(1, 5, 9)),
    mistakes=(
        chosen_on_test,
        valid_reported,
        last_epoch,
        one_epoch_for_all,
        every_epoch_of_every_run,
        best_run,
        last_of_equals,
    ),
)

EXERCISES = {"14.1": SEED_INTERVAL, "14.2": TWO_PROPORTION_Z, "14.3": TO_REPORT}
