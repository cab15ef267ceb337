"""Runs that take turns, so that whatever else the machine does falls on all of them alike."""

import statistics
import time
from collections.abc import Callable

import pandas as pd


def take_turns(case: str, runs: dict[str, Callable], repeats: int, times: dict[str, float] | None = None) -> pd.DataFrame:
    """Columns case, name, seconds (median), ratio (to the first run's). times: how many such runs a whole takes, where a sample is measured."""
    for run in runs.values():
        run()
    seconds = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    medians = [statistics.median(each) * (times or {}).get(name, 1) for name, each in seconds.items()]
    return pd.DataFrame({"case": case, "name": list(runs), "seconds": medians, "ratio": [median / medians[0] for median in medians]})
