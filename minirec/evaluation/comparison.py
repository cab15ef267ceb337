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
    """Paired t-test and bootstrap interval of the difference between two evaluations of the same users. metric: "recall", "mrr" or "ndcg".

    Returns difference (the mean of a - b over the users), t (its statistic), p (two-sided), low and high (of its 95% interval).
    """
    settings = [
        f"which = {e.which}, protocol = {e.protocol}, k = {e.k}, exclude_seen = {e.exclude_seen}, seed = {e.seed}, {len(e.ranks):,} users"
        for e in (a, b)
    ]
    if settings[0] != settings[1] or not np.array_equal(a.users, b.users):
        raise ValueError(
            f"only evaluations of the same users, with the same settings, can be paired; got {settings[0]} and {settings[1]}."
        )
    if metric not in metrics.GAINS:
        raise ValueError(f"metric must be one of {', '.join(metrics.GAINS)}; got {metric!r}.")
    difference = metrics.gains(metric, a.ranks, a.k) - metrics.gains(metric, b.ranks, a.k)
    if np.ptp(difference) == 0:  # nothing varies, so nothing can be tested
        return pd.Series(
            {
                "difference": difference[0],
                "t": math.nan,
                "p": math.nan,
                "low": difference[0],
                "high": difference[0],
            },
            name=metric,
        )
    test = stats.ttest_1samp(difference, 0.0)
    values, counts = np.unique(
        difference, return_counts=True
    )  # resampling users is drawing how often each value occurs
    rng, n = np.random.default_rng(seed), len(difference)
    low, high = np.quantile(
        rng.multinomial(n, counts / n, n_bootstrap) @ values / n, [0.025, 0.975]
    )
    return pd.Series(
        {
            "difference": difference.mean(),
            "t": test.statistic,
            "p": test.pvalue,
            "low": low,
            "high": high,
        },
        name=metric,
    )
