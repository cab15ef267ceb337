"""The exercises of notebook 12: an interval over seeds, the two-proportion test, the epoch to report."""

import numpy as np

from minirec.exercises import Exercise


def _ends(values, factor, deviation=lambda values: values.std(axis=1, ddof=1), divide=np.sqrt):
    mean, half = values.mean(axis=1), factor * deviation(values) / divide(values.shape[1])
    return mean - half, mean + half


def _z(
    hits_a, n_a, hits_b, n_b, error=lambda a, n, b, m: np.sqrt(a * (1 - a) / n + b * (1 - b) / m)
):
    a, b = hits_a / n_a, hits_b / n_b
    return (a - b) / error(a, n_a, b, n_b)


def _pooled(a, n, b, m):
    share = (a * n + b * m) / (n + m)
    return np.sqrt(share * (1 - share) * (1 / n + 1 / m))


def _at(values, epochs):
    return values[np.arange(len(values)), epochs]


def _curves(seed, *shape):
    rng = np.random.default_rng(seed)
    valid = 0.2 + 0.01 * rng.integers(0, 8, shape)
    valid[0, :2] = valid.max() + 0.01  # two equal maxima: the first counts
    return valid, valid - 0.03 + 0.02 * rng.random(shape)


SEED_INTERVAL = Exercise(
    solution=_ends,
    cases=(
        (np.array([[0.26, 0.28, 0.30], [0.1, 0.2, 0.6]]), 4.303),
        (np.array([[0.41, 0.44, 0.43, 0.40, 0.42]]), 2.776),
    ),
    mistakes=(
        (
            lambda values, factor: _ends(values, factor, deviation=lambda v: v.std(axis=1)),
            "NumPy's std divides by the number of seeds. The sample's divides by one less: ddof=1.",
        ),
        (
            lambda values, factor: _ends(values, factor, divide=lambda n: 1),
            "that is the spread of single runs. The mean of n runs varies sqrt(n) times less.",
        ),
        (
            lambda values, factor: _ends(values, factor, divide=lambda n: n),
            "you divide by the number of seeds; the error of a mean falls with its square root.",
        ),
        (
            lambda values, factor: _ends(values, factor, divide=lambda n: np.sqrt(len(values))),
            "`len(values)` is the number of systems. The seeds are the second axis: values.shape[1].",
        ),
        (
            lambda values, factor: _ends(values, 1.96),
            "1.96 is for a known spread. With few seeds the t factor, which is given, takes its place.",
        ),
        (
            lambda values, factor: _ends(values, factor, deviation=lambda v: v.var(axis=1, ddof=1)),
            "the root is missing: this is the variance, not the deviation.",
        ),
        (
            lambda values, factor: _ends(values, factor / 2),
            "the factor counts standard errors to each side of the mean; do not halve it.",
        ),
        (
            lambda values, factor: (
                values.mean(axis=1),
                _ends(values, factor)[1] - values.mean(axis=1),
            ),
            "these are the middle and half the width. The two ends are asked for.",
        ),
    ),
)

TWO_PROPORTIONS = Exercise(
    solution=_z,
    cases=((20, 100, 10, 100), (450, 1000, 120, 300), (30, 80, 900, 2000)),
    mistakes=(
        (
            lambda *counts: _z(
                *counts,
                error=lambda a, n, b, m: np.sqrt(a * (1 - a) / n) + np.sqrt(b * (1 - b) / m),
            ),
            "you add standard errors. Variances add; the root comes last.",
        ),
        (
            lambda *counts: _z(*counts, error=lambda a, n, b, m: a * (1 - a) / n + b * (1 - b) / m),
            "the root is missing: a variance stands where its root belongs.",
        ),
        (
            lambda *counts: _z(
                *counts, error=lambda a, n, b, m: np.sqrt((a * (1 - a) + b * (1 - b)) / (n + m))
            ),
            "each share has its own number of users: divide each variance by its own n.",
        ),
        (
            lambda *counts: _z(*counts, error=lambda a, n, b, m: np.sqrt(a * (1 - a) / n)),
            "only the first system's error is there. The second one's share is uncertain too.",
        ),
        (
            lambda *counts: _z(
                *counts, error=lambda a, n, b, m: np.sqrt((a * (1 - a) + b * (1 - b)) / n)
            ),
            "that is section 9's formula for one n. Here b's variance is divided by n_b, not by n_a.",
        ),
        (
            lambda *counts: _z(*counts, error=_pooled),
            "this pools both shares into one. That is another test; here each keeps its own variance.",
        ),
        (
            lambda *counts: abs(_z(*counts)),
            "the size is right; keep the sign: negative where b is ahead.",
        ),
        (lambda *counts: -_z(*counts), "the sign is turned round: positive where a is ahead."),
        (
            lambda *counts: counts[0] / counts[1] - counts[2] / counts[3],
            "that is the difference. Divide it by its standard error.",
        ),
    ),
)

TO_REPORT = Exercise(
    solution=lambda valid, test: _at(test, valid.argmax(axis=1)).mean(),
    cases=(_curves(0, 3, 6), _curves(1, 5, 9)),
    mistakes=(
        (
            lambda valid, test: test.max(axis=1).mean(),
            "you chose the epoch on the test films: their luck is in the number. Choose on valid.",
        ),
        (
            lambda valid, test: valid.max(axis=1).mean(),
            "you chose on valid, and reported valid: the best of many epochs flatters. Report test at that epoch.",
        ),
        (
            lambda valid, test: test[:, -1].mean(),
            "that is the last epoch. Report the one that was best on valid.",
        ),
        (
            lambda valid, test: test[:, valid.mean(axis=0).argmax()].mean(),
            "every run has its own best epoch; you took one epoch for all of them.",
        ),
        (
            lambda valid, test: test[:, valid.argmax(axis=1)].mean(),
            "`test[:, best]` takes every run's epoch from every run. Pair them: run i with its own best[i].",
        ),
        (
            lambda valid, test: _at(test, valid.argmax(axis=1)).max(),
            "the best of the runs is luck again. Report their mean.",
        ),
        (
            lambda valid, test: _at(
                test, valid.shape[1] - 1 - valid[:, ::-1].argmax(axis=1)
            ).mean(),
            "of two equal epochs you took the later one; the first is asked for.",
        ),
    ),
)

EXERCISES = {"12.1": SEED_INTERVAL, "12.2": TWO_PROPORTIONS, "12.3": TO_REPORT}
