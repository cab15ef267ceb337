"""Two evaluations of the same users side by side: a paired test and an interval."""

import math

import numpy as np
import pandas as pd
from scipy import stats

from minirec import metrics
from minirec.evaluation.evaluate import Evaluation


def compare(
    a: Evaluation, b: Evaluation, *, metric: str = "ndcg", n_bootstrap: int = 10_000, seed: int = 0
) -> pd.Series:
    """Test whether two models differ on the same users, and by how much.

    Parameters
    ----------
    a, b : Evaluation
        Of the same users with the same settings, so that each user gives a pair of values.
    metric : str
        "recall", "mrr" or "ndcg", at the k of the evaluations.
    n_bootstrap : int
        How many times the users are resampled for the interval.
    seed : int
        Of the resampling.

    Returns
    -------
    pandas.Series
        difference (the mean of a - b over the users), t and p (statistic and two-sided p-value of
        the paired t-test), low and high (the ends of the 95% bootstrap interval of the difference).
        Where every user has the same difference, nothing can be tested: t and p are NaN.

    Raises
    ------
    ValueError
        For evaluations that cannot be paired, and for an unknown metric.
    """
    if _settings_in_words(a) != _settings_in_words(b) or not np.array_equal(a.users, b.users):
        raise ValueError(
            "only evaluations of the same users, with the same settings, can be paired; "
            f"got {_settings_in_words(a)} and {_settings_in_words(b)}."
        )
    if metric not in metrics.GAINS:
        raise ValueError(f"metric must be one of {', '.join(metrics.GAINS)}; got {metric!r}.")

    # One value per user: what model a earned more than model b.
    differences = metrics.gains(metric, a.ranks, a.k) - metrics.gains(metric, b.ranks, a.k)

    if np.ptp(differences) == 0:
        constant = differences[0]
        result = {
            "difference": constant,
            "t": math.nan,
            "p": math.nan,
            "low": constant,
            "high": constant,
        }
    else:
        test = stats.ttest_1samp(differences, 0.0)
        low, high = _bootstrap_interval(differences, n_bootstrap, seed)
        result = {
            "difference": differences.mean(),
            "t": test.statistic,
            "p": test.pvalue,
            "low": low,
            "high": high,
        }
    return pd.Series(result, name=metric)


def _settings_in_words(evaluation: Evaluation) -> str:
    """Say everything that two evaluations must share to be paired, but for who the users are."""
    return (
        f"which = {evaluation.which}, protocol = {evaluation.protocol}, k = {evaluation.k}, "
        f"exclude_seen = {evaluation.exclude_seen}, seed = {evaluation.seed}, "
        f"{len(evaluation.ranks):,} users"
    )


def _bootstrap_interval(differences: np.ndarray, n_bootstrap: int, seed: int) -> np.ndarray:
    """Return the 2.5% and 97.5% quantiles of the mean over resampled users, [2]."""
    n = len(differences)

    # There are few distinct differences (pairs of ranks up to k), so instead of drawing n users
    # with replacement it is enough, and much cheaper, to draw how often each value occurs.
    values, counts = np.unique(differences, return_counts=True)
    rng = np.random.default_rng(seed)
    resampled_counts = rng.multinomial(n, counts / n, n_bootstrap)  # [n_bootstrap, distinct values]
    means = resampled_counts @ values / n
    return np.quantile(means, [0.025, 0.975])
